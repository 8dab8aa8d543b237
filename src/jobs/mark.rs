//! Windows marked by hand: `wattledger mark start NAME`, `wattledger mark stop NAME`.
//!
//! Each mark appends one line to a CSV of runs and changes nothing that stands in it, so that marks of several
//! programs at once, and a program that is killed, leave a file that can be read.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{JobsError, Options, Run};
use crate::there;
use crate::time::format_instant;

/// The file that is used if no other is named.
pub const FILE_NAME: &str = "wattledger-runs.csv";

const HEADER: &str = "run_id,start,end,nodes,stage,user,account,zone\n";

/// Why a mark cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The file cannot be read as a table of runs.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// The file cannot be written.
    #[error("cannot append to `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// `start` of a run that goes on.
    #[error("`{name}` was started at {since} and is not stopped")]
    Started {
        /// The run.
        name: String,
        /// Its start.
        since: String,
    },
    /// `stop` of a run that does not go on.
    #[error("no run `{name}` has been started in `{}`", path.display())]
    NotStarted {
        /// The run.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A text that cannot stand in the file.
    #[error("`{text}` has a line break in it")]
    Text {
        /// The text.
        text: String,
    },
}

/// What is written down of a run at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Its name: the `run_id`.
    pub name: String,
    /// The machine that it has.
    pub node: String,
    /// `training`, `inference`, …
    pub stage: String,
    /// Who runs it.
    pub user: String,
    /// Who is charged.
    pub account: String,
    /// Zone of the carbon intensity, if it differs from the report's.
    pub zone: String,
}

/// Writes down that a run starts at `at_ms`.
///
/// # Errors
///
/// If a run of this name goes on, or the file cannot be written.
pub fn start(path: &Path, mark: &Mark, at_ms: i64) -> Result<(), MarkError> {
    let mut file = Held::open(path)?;
    if let Some(run) = file.open_run(path, &mark.name)? {
        return Err(MarkError::Started { name: mark.name.clone(), since: format_instant(run.start_ms) });
    }
    file.append(path, mark, at_ms, None)
}

/// Writes down that the run of this name stops at `at_ms`; returns its start (UTC, ms).
///
/// # Errors
///
/// If no such run goes on, or the file cannot be written.
pub fn stop(path: &Path, name: &str, at_ms: i64) -> Result<i64, MarkError> {
    let not_started = || MarkError::NotStarted { name: name.to_owned(), path: path.to_owned() };
    if !there::is_file(path).map_err(io(path))? {
        return Err(not_started());
    }
    let mut file = Held::open(path)?;
    let Some(run) = file.open_run(path, name)? else {
        return Err(not_started());
    };
    let mark = Mark {
        name: name.to_owned(),
        node: run.allocations.iter().map(|held| held.node.as_str()).collect::<Vec<_>>().join(";"),
        stage: run.stage,
        user: run.user,
        account: run.account,
        zone: run.zone.unwrap_or_default(),
    };
    file.append(path, &mark, run.start_ms, Some(at_ms.max(run.start_ms)))?;
    Ok(run.start_ms)
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> MarkError {
    let path = path.to_owned();
    move |source| MarkError::Io { path: path.clone(), source }
}

/// The file, which no other process changes meanwhile.
struct Held {
    file: File,
    bytes: u64,
}

impl Held {
    fn open(path: &Path) -> Result<Self, MarkError> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(io(path))?;
        file.lock().map_err(io(path))?;
        let bytes = file.metadata().map_err(io(path))?.len();
        Ok(Self { file, bytes })
    }

    /// The run of this name that has a start and no end.
    fn open_run(&self, path: &Path, name: &str) -> Result<Option<Run>, MarkError> {
        if self.bytes == 0 {
            return Ok(None);
        }
        let log = super::read(path, &Options::default())?;
        Ok(log.runs.into_iter().rev().find(|run| run.run_id == name && run.end_ms.is_none()))
    }

    /// Adds a line whole or not at all.
    fn append(
        &mut self,
        path: &Path,
        mark: &Mark,
        start_ms: i64,
        end_ms: Option<i64>,
    ) -> Result<(), MarkError> {
        let mut lines = line(mark, start_ms, end_ms)?;
        if self.bytes == 0 {
            lines.insert_str(0, HEADER);
        } else if self.last_byte().map_err(io(path))? != b'\n' {
            lines.insert(0, '\n');
        }
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Half a line would take the next one with it.
            let _ = self.file.set_len(self.bytes);
        }
        written.map_err(io(path))
    }

    fn last_byte(&mut self) -> std::io::Result<u8> {
        let mut last = [0];
        self.file.seek(SeekFrom::Start(self.bytes.saturating_sub(1)))?;
        self.file.read_exact(&mut last)?;
        Ok(last[0])
    }
}

fn line(mark: &Mark, start_ms: i64, end_ms: Option<i64>) -> Result<String, MarkError> {
    let end = end_ms.map(format_instant).unwrap_or_default();
    let start = format_instant(start_ms);
    let fields = [&mark.name, &start, &end, &mark.node, &mark.stage, &mark.user, &mark.account, &mark.zone];
    let mut line = String::new();
    for (at, field) in fields.into_iter().enumerate() {
        if field.contains(['\n', '\r']) {
            return Err(MarkError::Text { text: field.clone() });
        }
        if at > 0 {
            line.push(',');
        }
        if field.contains([',', '"']) {
            line.push_str(&format!("\"{}\"", field.replace('"', "\"\"")));
        } else {
            line.push_str(field);
        }
    }
    line.push('\n');
    Ok(line)
}
