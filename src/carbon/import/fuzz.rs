//! Readers of intensities as functions of bytes; see [`crate::fuzzing`].

use std::cell::RefCell;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{Hints, probe, read};
use crate::carbon::zone::ZoneNames;
use crate::carbon::{CarbonError, Zone, tables};

/// Any format: recognised, and read as every basis that it has.
pub(crate) fn intensity(data: &[u8]) {
    thread_local! {
        static PLACE: RefCell<Option<TempDir>> = const { RefCell::new(None) };
    }
    PLACE.with_borrow_mut(|place| {
        let Ok(place) = place.take().map_or_else(tempfile::tempdir, Ok).map(|made| place.insert(made)) else {
            return;
        };
        let path = place.path().join("intensity");
        if std::fs::write(&path, data).is_ok() {
            let _ = all(&path);
        }
    });
}

fn all(path: &std::path::Path) -> Result<(), CarbonError> {
    let probed = probe(path, &Hints::default())?;
    // They take longer to read than most inputs.
    static NAMES: OnceLock<ZoneNames> = OnceLock::new();
    let names = match NAMES.get() {
        Some(names) => names,
        None => {
            let names = tables::shipped()?.names;
            NAMES.get_or_init(|| names)
        }
    };
    for basis in probed.bases() {
        let _ = read(&probed, 0, basis, Some(&Zone::from_id("DE")), names);
    }
    Ok(())
}
