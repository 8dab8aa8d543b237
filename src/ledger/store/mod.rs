//! The ledger on disk: a Parquet file for each day, the runs beside it, and the job logs that they are from.
//!
//! | path | what |
//! | --- | --- |
//! | `ledger.json` | layout and reporting zone |
//! | `entries/date=YYYY-MM-DD/entries.parquet` | a day's rows, and in the file's metadata what they are made of |
//! | `runs.parquet` | all runs |
//! | `jobs/` | the job logs, packed, each with how it is read |
//! | `inputs.json` | where the blocks of samples lay |
//! | `lock` | held by who writes days |
//! | `lock.inputs` | held by who changes anything else |
//!
//! A day is one file that appears under its name whole or not at all, so that no interruption leaves half a day, and
//! every reader at any time sees each day as it was before or after.

mod day;
mod error;
mod facts;
mod inputs;
mod logs;
mod period;
mod reprice;
mod runs;
mod verify;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

pub use day::{DayInputs, DayManifest, DayNode, DayTotals};
pub(super) use day::{KnownSeconds, Made, write_day};
pub use error::StoreError;
pub use inputs::{BlockRef, RememberedSnapshot};
pub use logs::{KeptLog, LogOptions, ReadLogs};
pub use period::{LedgerPeriod, PeriodError};
pub use runs::StoredRuns;
pub(super) use runs::twins;
pub use verify::{Finding, Verified};

use crate::there;
use crate::time::Window;
use crate::whole_file;

/// Says that a directory is a ledger, and of which layout.
const MARK: &str = "ledger.json";
/// The layout that this program writes. Layouts up to it are read.
pub const LAYOUT: u32 = 1;
const ENTRIES: &str = "entries";
const DAY_PREFIX: &str = "date=";
const DAY_FILE: &str = "entries.parquet";
const LOCK: &str = "lock";
const INPUTS_LOCK: &str = "lock.inputs";

#[derive(Deserialize, Serialize)]
struct Mark {
    layout: u32,
    holds: String,
    time_zone: String,
}

/// A ledger's directory.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
    time_zone: Tz,
}

/// The right to change a ledger, as long as it is held.
#[derive(Debug)]
pub struct WriteLock {
    _file: File,
}

impl Store {
    /// True if `directory` is a ledger.
    ///
    /// # Errors
    ///
    /// Where the system does not say.
    pub fn is_one(directory: &Path) -> Result<bool, StoreError> {
        let mark = directory.join(MARK);
        there::is_file(&mark).map_err(StoreError::io("look at", &mark))
    }

    /// Opens a ledger.
    ///
    /// # Errors
    ///
    /// Where it is none, or of a layout that this program does not know.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let mark = directory.join(MARK);
        if !Self::is_one(directory)? {
            return Err(StoreError::NoLedger { path: directory.to_path_buf() });
        }
        let text = fs::read_to_string(&mark).map_err(StoreError::io("read", &mark))?;
        let damaged = |reason: String| StoreError::Damaged { path: mark.clone(), reason };
        let said: Mark = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if said.layout == 0 || said.layout > LAYOUT {
            return Err(StoreError::Layout { path: directory.to_path_buf(), layout: said.layout });
        }
        let time_zone =
            said.time_zone.parse().map_err(|_| damaged(format!("`{}` is no time zone", said.time_zone)))?;
        Ok(Self { directory: directory.to_path_buf(), time_zone })
    }

    /// Opens a ledger, or makes one of an empty or missing directory. `time_zone` is the reporting zone of a new one; `None` is that of
    /// an old one, or UTC.
    ///
    /// # Errors
    ///
    /// As [`Self::open`]; where a directory holds something else; where an old one has another zone.
    pub fn open_or_create(directory: &Path, time_zone: Option<Tz>) -> Result<Self, StoreError> {
        if Self::is_one(directory)? {
            let store = Self::open(directory)?;
            return match time_zone {
                Some(asked) if asked != store.time_zone => {
                    Err(StoreError::TimeZone { path: directory.to_path_buf(), asked, has: store.time_zone })
                }
                _ => Ok(store),
            };
        }
        fs::create_dir_all(directory).map_err(StoreError::io("make", directory))?;
        // One at a time begins it, and the others find it begun.
        let _held = there::hold(directory);
        if Self::is_one(directory)? {
            return Self::open_or_create(directory, time_zone);
        }
        let entries = fs::read_dir(directory).map_err(StoreError::io("list", directory))?;
        // What an interrupted beginning left is no reason to stop.
        let mut has_others = false;
        for entry in entries {
            let name = entry.map_err(StoreError::io("list", directory))?.file_name();
            let name = name.to_string_lossy();
            has_others |= name != LOCK && name != INPUTS_LOCK && !whole_file::is_leftover(Path::new(&*name));
        }
        if has_others {
            return Err(StoreError::OtherFiles { path: directory.to_path_buf() });
        }
        let zone = time_zone.unwrap_or(Tz::UTC);
        let mark = Mark {
            layout: LAYOUT,
            holds: "energy and emissions of a cluster's runs, a Parquet file a day".to_owned(),
            time_zone: zone.name().to_owned(),
        };
        write_json(&directory.join(MARK), &mark)?;
        Self::open(directory)
    }

    /// Opens a ledger, or imagines one where there is none yet: nothing is written.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and where it has another zone.
    pub fn open_or_imagine(directory: &Path, time_zone: Option<Tz>) -> Result<Self, StoreError> {
        if Self::is_one(directory)? {
            return Self::open_or_create(directory, time_zone);
        }
        Ok(Self { directory: directory.to_path_buf(), time_zone: time_zone.unwrap_or(Tz::UTC) })
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whose days it has.
    pub fn time_zone(&self) -> Tz {
        self.time_zone
    }

    /// Takes the right to change it, and removes what an interrupted writer left.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] where another process has it.
    pub fn lock(&self) -> Result<WriteLock, StoreError> {
        let (path, file) = self.lock_file(LOCK)?;
        self.taken(&path, file.try_lock())?;
        // So that a ledger has the same files whoever wrote it.
        self.lock_file(INPUTS_LOCK)?;
        for leftover in self.leftovers()? {
            let removed =
                if leftover.is_dir() { fs::remove_dir_all(&leftover) } else { fs::remove_file(&leftover) };
            removed.map_err(StoreError::io("remove", &leftover))?;
        }
        Ok(WriteLock { _file: file })
    }

    /// Takes the right to write some of its days, beside others who write other days. What an interrupted writer
    /// left stays until the next [`lock`](Self::lock): it may be another's that is at work.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] where a process has all of it.
    pub fn lock_days(&self) -> Result<WriteLock, StoreError> {
        let (path, file) = self.lock_file(LOCK)?;
        self.taken(&path, file.try_lock_shared())?;
        Ok(WriteLock { _file: file })
    }

    /// Waits for the right to change what is no day: the job logs, the runs, the list of snapshots.
    ///
    /// # Errors
    ///
    /// Where the system has no locks there.
    pub fn lock_inputs(&self) -> Result<WriteLock, StoreError> {
        let (path, file) = self.lock_file(INPUTS_LOCK)?;
        file.lock().map_err(StoreError::io("lock", &path))?;
        Ok(WriteLock { _file: file })
    }

    fn lock_file(&self, name: &str) -> Result<(PathBuf, File), StoreError> {
        let path = self.directory.join(name);
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(StoreError::io("open", &path))?;
        Ok((path, file))
    }

    fn taken(&self, path: &Path, tried: Result<(), fs::TryLockError>) -> Result<(), StoreError> {
        match tried {
            Ok(()) => Ok(()),
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::Locked { path: self.directory.clone() }),
            Err(fs::TryLockError::Error(source)) => Err(StoreError::io("lock", path)(source)),
        }
    }

    /// Files that an interrupted writer left.
    pub(super) fn leftovers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut places = vec![self.directory.clone(), self.logs_directory(), self.directory.join(ENTRIES)];
        places.extend(
            self.dates()?.into_iter().filter_map(|date| Some(self.day_path(date).parent()?.to_path_buf())),
        );
        let mut found = Vec::new();
        for place in places {
            if !is_directory(&place)? {
                continue;
            }
            for entry in fs::read_dir(&place).map_err(StoreError::io("list", &place))? {
                let entry = entry.map_err(StoreError::io("list", &place))?;
                if whole_file::is_leftover(&entry.path()) {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn logs_directory(&self) -> PathBuf {
        self.directory.join("jobs")
    }

    /// Where a day's rows are, or would be.
    pub fn day_path(&self, date: NaiveDate) -> PathBuf {
        self.directory.join(ENTRIES).join(format!("{DAY_PREFIX}{date}")).join(DAY_FILE)
    }

    /// The days that have a directory, in order.
    ///
    /// # Errors
    ///
    /// Where it cannot be listed.
    pub fn dates(&self) -> Result<Vec<NaiveDate>, StoreError> {
        let entries = self.directory.join(ENTRIES);
        if !is_directory(&entries)? {
            return Ok(Vec::new());
        }
        let mut dates = Vec::new();
        for entry in fs::read_dir(&entries).map_err(StoreError::io("list", &entries))? {
            let entry = entry.map_err(StoreError::io("list", &entries))?;
            let name = entry.file_name();
            let date: Option<NaiveDate> =
                name.to_str().and_then(|name| name.strip_prefix(DAY_PREFIX)?.parse().ok());
            dates.extend(date);
        }
        dates.sort_unstable();
        Ok(dates)
    }

    /// What a day is made of; `None` of a day that is not there.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or is damaged.
    pub fn manifest(&self, date: NaiveDate) -> Result<Option<DayManifest>, StoreError> {
        day::read_manifest(&self.day_path(date))
    }

    /// The manifests of all days that have one, by date.
    ///
    /// # Errors
    ///
    /// Where one cannot be read.
    pub fn manifests(&self) -> Result<BTreeMap<NaiveDate, DayManifest>, StoreError> {
        let mut found = BTreeMap::new();
        for date in self.dates()? {
            found.extend(self.manifest(date)?.map(|manifest| (date, manifest)));
        }
        Ok(found)
    }

    /// From the beginning of its first day to the end of its last.
    ///
    /// # Errors
    ///
    /// Where a day cannot be read.
    pub fn time_range(&self) -> Result<Option<Window>, StoreError> {
        let dates = self.dates()?;
        let mut ends = Vec::new();
        let (mut early, mut late) = (dates.iter(), dates.iter().rev());
        // A day may have been taken out.
        for from in [&mut early as &mut dyn Iterator<Item = &NaiveDate>, &mut late] {
            for date in from {
                if let Some(manifest) = self.manifest(*date)? {
                    ends.push(manifest.window());
                    break;
                }
            }
        }
        Ok(crate::time::span(&ends))
    }
}

/// True if there is such a directory.
fn is_directory(path: &Path) -> Result<bool, StoreError> {
    there::is_directory(path).map_err(StoreError::io("look at", path))
}

/// Writes a file whole, so that it outlives a power failure.
fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(StoreError::io("make", parent))?;
    }
    whole_file::write(path, StoreError::io("write", path), |file| {
        file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(StoreError::io("write", path))
    })?;
    sync_directory(path)
}

/// A rename is safe once the directory is.
fn sync_directory(path: &Path) -> Result<(), StoreError> {
    whole_file::sync_directory_of(path).map_err(StoreError::io("write", path))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| StoreError::Damaged { path: path.to_path_buf(), reason: error.to_string() })?;
    write_if_new(path, format!("{text}\n").as_bytes())
}

/// Writes a file unless it holds these bytes.
fn write_if_new(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    write_bytes(path, bytes)
}
