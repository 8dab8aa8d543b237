//! Intensities on disk: a Parquet file for each zone and year, every figure in
//! one normal form.
//!
//! A figure is told by its basis, source, length and start: importing the same
//! file twice changes nothing, a later edition replaces the figures that it
//! changes, and what two sources say of one hour stands side by side until a
//! total asks for one of them ([`preference`]).

mod import;
mod parquet;
mod preference;
mod row;
mod summary;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use import::ImportSummary;
pub use preference::PREFERENCE;
pub(super) use preference::rank;
pub(in crate::carbon) use row::Period;
pub use row::{Change, ImportedZone};
use summary::Figure;
pub(in crate::carbon) use summary::summary_of;

use row::Row;

use super::files::files_of;
use super::{Basis, CarbonError, Zone};
use crate::there::{self, Held};
use crate::time::Window;
use crate::whole_file;

/// Says that a directory is a store, and of which layout.
const MARK: &str = "wattledger-intensity.json";
/// The layout that this program writes and reads.
const LAYOUT: u32 = 1;

/// A directory of intensities.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// All figures of one zone, basis and source.
pub(super) struct SourceFigures {
    pub(super) source: Arc<str>,
    pub(super) attribution: Arc<str>,
    /// When, how long, how much, whether it is an estimate, and of which edition.
    pub(super) rows: Vec<Figure>,
}

impl Store {
    /// True if `directory` is a store.
    ///
    /// # Errors
    ///
    /// Where the system does not say.
    pub fn is_one(directory: &Path) -> Result<bool, CarbonError> {
        let mark = directory.join(MARK);
        there::is_file(&mark).map_err(|source| CarbonError::Read { path: mark, source })
    }

    /// Opens a store.
    ///
    /// # Errors
    ///
    /// [`CarbonError::Store`] where it is none, or of a layout that this program does not know.
    pub fn open(directory: &Path) -> Result<Self, CarbonError> {
        let wrong = |reason: String| CarbonError::Store { path: directory.to_path_buf(), reason };
        let mark = directory.join(MARK);
        if !Self::is_one(directory)? {
            return Err(wrong(format!("there is no `{MARK}` in it")));
        }
        let text =
            fs::read_to_string(&mark).map_err(|source| CarbonError::Read { path: mark.clone(), source })?;
        let said: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| wrong(format!("`{MARK}`: {error}")))?;
        match said.get("layout").and_then(serde_json::Value::as_u64) {
            Some(layout) if layout == u64::from(LAYOUT) => Ok(Self { directory: directory.to_path_buf() }),
            Some(layout) => Err(wrong(format!("it has layout {layout}, this program reads {LAYOUT}"))),
            None => Err(wrong(format!("`{MARK}` names no layout"))),
        }
    }

    /// Opens a store, or makes one of an empty or missing directory.
    ///
    /// # Errors
    ///
    /// As [`Self::open`]; a directory that holds something else is left alone.
    pub fn open_or_create(directory: &Path) -> Result<Self, CarbonError> {
        if Self::is_one(directory)? {
            return Self::open(directory);
        }
        let failed = |source| CarbonError::Write { path: directory.to_path_buf(), source };
        fs::create_dir_all(directory).map_err(failed)?;
        // One at a time begins it, and the others find it begun.
        let _held = there::hold(directory);
        if Self::is_one(directory)? {
            return Self::open(directory);
        }
        for entry in fs::read_dir(directory).map_err(failed)? {
            // What an interrupted beginning left is no reason to stop.
            if !whole_file::is_leftover(&entry.map_err(failed)?.path()) {
                return Err(CarbonError::Store {
                    path: directory.to_path_buf(),
                    reason: "it holds other files".to_owned(),
                });
            }
        }
        let text = format!(
            "{{\"layout\": {LAYOUT}, \"holds\": \"carbon intensity, a Parquet file by zone and year\"}}\n"
        );
        write_whole(&directory.join(MARK), |file| file.write_all(text.as_bytes()))?;
        Self::open(directory)
    }

    /// Takes the right to change it, waiting for whoever has it, and removes what interrupted ones left.
    pub(super) fn hold(&self) -> Result<Held, CarbonError> {
        let held = there::hold(&self.directory);
        let failed = |source| CarbonError::Write { path: self.directory.clone(), source };
        let zones = self.zones()?;
        let folders = zones.iter().map(|zone| self.directory.join(folder_of_zone(zone)));
        for folder in folders.chain([self.directory.clone()]) {
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if whole_file::is_leftover(&path) {
                    fs::remove_file(&path).map_err(failed)?;
                }
            }
        }
        Ok(held)
    }

    /// Where answers of providers are kept.
    pub fn answers(&self) -> PathBuf {
        self.directory.join(".answers")
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The zones of the store, by id.
    ///
    /// # Errors
    ///
    /// Where the directory cannot be read.
    pub fn zones(&self) -> Result<Vec<Zone>, CarbonError> {
        let failed = |source| CarbonError::Read { path: self.directory.clone(), source };
        let mut zones = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            // Answers of providers lie beside the zones, out of sight.
            if !name.to_string_lossy().starts_with('.')
                && there::is_directory(&entry.path()).map_err(failed)?
            {
                zones.extend(name.to_str().and_then(zone_of_folder));
            }
        }
        zones.sort();
        Ok(zones)
    }

    /// The files of a zone, by year.
    pub(super) fn files(&self, zone: &Zone) -> Result<Vec<PathBuf>, CarbonError> {
        let folder = self.directory.join(folder_of_zone(zone));
        if !there::is_directory(&folder)
            .map_err(|source| CarbonError::Read { path: folder.clone(), source })?
        {
            return Ok(Vec::new());
        }
        files_of(&folder, &["parquet"])
    }

    /// The figures of one file by basis and source.
    pub(super) fn figures(
        &self,
        path: &Path,
    ) -> Result<BTreeMap<Basis, BTreeMap<Arc<str>, SourceFigures>>, CarbonError> {
        let (_, rows) = read_file(path)?;
        let mut figures: BTreeMap<Basis, BTreeMap<Arc<str>, SourceFigures>> = BTreeMap::new();
        for row in rows {
            let of_source = figures.entry(row.basis).or_default().entry(Arc::clone(&row.source));
            let window = Window::new(row.start_ms, row.start_ms.saturating_add(row.length_ms));
            let period = row.period();
            let figures = of_source.or_insert_with(|| SourceFigures {
                source: row.source,
                attribution: row.attribution,
                rows: Vec::new(),
            });
            figures.rows.push((window, period, row.grams_per_kwh, row.estimated, row.release));
        }
        Ok(figures)
    }

    fn path(&self, zone: &Zone, year: i32) -> PathBuf {
        self.directory.join(folder_of_zone(zone)).join(format!("{year:04}.parquet"))
    }

    fn read_file(&self, zone: &Zone, year: i32) -> Result<Vec<Row>, CarbonError> {
        let path = self.path(zone, year);
        if !there::is_file(&path).map_err(|source| CarbonError::Read { path: path.clone(), source })? {
            return Ok(Vec::new());
        }
        let (found, rows) = read_file(&path)?;
        match found {
            Some(found) if found != *zone => {
                let reason = format!("`{found}` stands in the file of `{zone}`");
                Err(CarbonError::Store { path, reason })
            }
            _ => Ok(rows),
        }
    }

    fn write_file(&self, zone: &Zone, year: i32, rows: &[Row]) -> Result<PathBuf, CarbonError> {
        let path = self.path(zone, year);
        if let Some(folder) = path.parent() {
            let failed = |source| CarbonError::Write { path: folder.to_path_buf(), source };
            fs::create_dir_all(folder).map_err(failed)?;
        }
        write_whole(&path, |file| {
            parquet::write(zone, rows, file).map_err(|error| std::io::Error::other(error.to_string()))
        })?;
        Ok(path)
    }
}

fn read_file(path: &Path) -> Result<(Option<Zone>, Vec<Row>), CarbonError> {
    parquet::read(path).map_err(|reason| CarbonError::Store { path: path.to_path_buf(), reason })
}

/// A folder's name for any zone, however users call theirs: what could leave the store is written as `%2F`.
fn folder_of_zone(zone: &Zone) -> String {
    let mut name = String::new();
    for (at, byte) in zone.as_str().bytes().enumerate() {
        let is_plain =
            byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || (byte == b'.' && at > 0);
        if is_plain {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

/// The zone of a folder's name.
fn zone_of_folder(name: &str) -> Option<Zone> {
    let mut bytes = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok().map(|id| Zone::from_id(&id))
}

/// Writes a file that is on the disk before it has its name.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut fs::File) -> std::io::Result<()>,
) -> Result<(), CarbonError> {
    let failed = |source| CarbonError::Write { path: path.to_path_buf(), source };
    whole_file::write(path, failed, |file| {
        write(file.as_file_mut()).and_then(|()| file.as_file().sync_all()).map_err(failed)
    })?;
    // The name is safe once the directory is.
    whole_file::sync_directory_of(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_zone_leaves_the_store(id in "\\PC{1,20}") {
            let zone = Zone::from_id(&id);
            let folder = folder_of_zone(&zone);
            prop_assert!(!folder.contains(['/', '\\']) && !folder.starts_with('.'));
            prop_assert_eq!(zone_of_folder(&folder), Some(zone));
        }
    }
}
