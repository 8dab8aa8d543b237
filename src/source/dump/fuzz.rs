//! Readers of saved samples as functions of bytes; see [`crate::fuzzing`].

use std::cell::RefCell;

use tempfile::TempDir;

use super::input::{Input, Place};
use super::intake::Intake;
use super::reading::Reading;
use super::recognise::{is_stream, recognise};
use super::{At, Columns, DumpError, Format, Request};
use super::{api_json, jtop, parquet, remote_read, table, text, vm_export};
use crate::tsdb::Labels;

/// Every format: the first byte says which, or that it is to be recognised. Samples go to a piece, as in a conversion.
pub(crate) fn dump(data: &[u8]) {
    thread_local! {
        static PLACE: RefCell<Option<TempDir>> = const { RefCell::new(None) };
    }
    let Some((kind, content)) = data.split_first() else { return };
    PLACE.with_borrow_mut(|place| {
        let Ok(place) = place.take().map_or_else(tempfile::tempdir, Ok).map(|made| place.insert(made)) else {
            return;
        };
        let request = Request {
            inputs: Vec::new(),
            out: place.path().to_path_buf(),
            format: None,
            labels: Labels::default(),
            columns: Columns::default(),
            at: Some(At::Instant(1_700_000_000_000)),
            zone: chrono_tz::Tz::UTC,
        };
        let recognised = || recognise(content, true, &request.columns).ok();
        let Some(format) = Format::ALL.get(usize::from(*kind)).copied().or_else(recognised) else { return };
        let input = Input {
            place: Place::Stdin,
            name: "input".to_owned(),
            from_folder: false,
            bytes: content.len() as u64,
        };
        let Ok(mut intake) =
            Intake::create(&place.path().join("samples.piece"), Labels::default(), Some(input.bytes))
        else {
            return;
        };
        let mut reading = Reading::new(&input, format, &request, &mut intake, &|_| {});
        let _ = read(content, format, place, &mut reading);
        assert!(intake.taken <= 4 * content.len() as u64, "samples out of nothing");
    });
}

fn read(content: &[u8], format: Format, place: &TempDir, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    match format {
        Format::ApiJson => api_json::read(content, reading),
        Format::Promtool | Format::OpenMetrics | Format::Exposition => text::read(content, reading),
        Format::VmExport => vm_export::read(content, reading),
        Format::RemoteRead => remote_read::read(content, is_stream(content), reading),
        Format::Jtop => jtop::read(content, reading),
        Format::Csv => table::read(content, reading),
        Format::Parquet => {
            let path = place.path().join("input.parquet");
            if std::fs::write(&path, content).is_err() {
                return Ok(());
            }
            parquet::read(&path, reading)
        }
    }
}
