//! The job logs that a ledger keeps: packed as they came, so that a late one can be read together with all others.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, write_bytes, write_if_new};
use crate::hash::bytes_sha256;
use crate::jobs::{self, JobLog};
use crate::metered::unpack;
use crate::time::Window;

/// Days without a log between two that are longer are not covered by either.
const HOLE_MS: i64 = crate::time::DAY_MS;

/// How a log is to be read, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct LogOptions {
    /// Zone of times that carry no offset.
    pub time_zone: String,
    /// Kind of log; recognised from its content if not given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format: Option<String>,
    /// Names of columns.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub columns: Option<String>,
    /// Where runs were that name no node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
}

/// A log that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct KeptLog {
    /// What the file was called.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// How it is read.
    pub options: LogOptions,
    /// First and last instant that it tells of, in ms since the epoch.
    pub covered_ms: Option<(i64, i64)>,
    /// Runs in it.
    pub runs: u64,
    /// Lines that could not be used.
    pub rejected: u64,
}

impl LogOptions {
    fn parsed(&self) -> jobs::Options {
        let plain = jobs::Options::default();
        jobs::Options {
            zone: self.time_zone.parse().unwrap_or(plain.zone),
            format: self.format.as_deref().and_then(|text| text.parse().ok()),
            columns: self.columns.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default(),
            default_node: self.node.clone(),
        }
    }
}

/// All logs of a ledger, read as one.
pub struct ReadLogs {
    /// What they tell.
    pub log: JobLog,
    /// The stretches of time that they cover, in order, more than a day apart.
    pub covered: Vec<Window>,
    /// Which they are.
    pub kept: Vec<KeptLog>,
}

impl Store {
    /// The logs that it keeps, the earliest first.
    ///
    /// # Errors
    ///
    /// Where the list cannot be read.
    pub fn kept_logs(&self) -> Result<Vec<KeptLog>, StoreError> {
        let directory = self.logs_directory();
        if !super::is_directory(&directory)? {
            return Ok(Vec::new());
        }
        let mut kept: Vec<KeptLog> = Vec::new();
        for entry in fs::read_dir(&directory).map_err(StoreError::io("list", &directory))? {
            let path = entry.map_err(StoreError::io("list", &directory))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(&path).map_err(StoreError::io("read", &path))?;
                let log = serde_json::from_str(&text)
                    .map_err(|error| StoreError::Damaged { path: path.clone(), reason: error.to_string() })?;
                kept.push(log);
            }
        }
        kept.sort_by(|left, right| (left.covered_ms, &left.sha256).cmp(&(right.covered_ms, &right.sha256)));
        Ok(kept)
    }

    pub(super) fn log_path(&self, sha256: &str) -> PathBuf {
        self.logs_directory().join(format!("{sha256}.zst"))
    }

    /// Keeps the log `path`. One that is there already is not written again.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, is no job log, or cannot be written.
    pub fn keep_log(&self, path: &Path, options: &LogOptions) -> Result<KeptLog, StoreError> {
        let bytes = content(path)?;
        let kept = described(path, &bytes, options)?;
        let about = self.logs_directory().join(format!("{}.json", kept.sha256));
        let packed = self.log_path(&kept.sha256);
        if !packed.is_file() {
            let bytes = zstd::encode_all(bytes.as_slice(), 9).map_err(StoreError::io("pack", path))?;
            write_bytes(&packed, &bytes)?;
        }
        let text = serde_json::to_string_pretty(&kept)
            .map_err(|error| StoreError::Damaged { path: about.clone(), reason: error.to_string() })?;
        // Under another name it is still the same log.
        let is_known = fs::read_to_string(&about)
            .ok()
            .and_then(|text| serde_json::from_str::<KeptLog>(&text).ok())
            .is_some_and(|known| KeptLog { name: kept.name.clone(), ..known } == kept);
        if !is_known {
            write_if_new(&about, format!("{text}\n").as_bytes())?;
        }
        Ok(kept)
    }

    /// Reads all logs that it keeps, as one, and `more` besides.
    ///
    /// # Errors
    ///
    /// Where one is lost or cannot be read.
    pub fn read_logs(&self, more: &[(PathBuf, LogOptions)]) -> Result<ReadLogs, StoreError> {
        let mut kept = self.kept_logs()?;
        let mut places = BTreeMap::new();
        for (path, options) in more {
            let log = described(path, &content(path)?, options)?;
            match kept.iter_mut().find(|known| known.sha256 == log.sha256) {
                Some(known) => known.options = log.options,
                None => {
                    places.insert(log.sha256.clone(), path.clone());
                    kept.push(log);
                }
            }
        }
        kept.sort_by(|left, right| (left.covered_ms, &left.sha256).cmp(&(right.covered_ms, &right.sha256)));
        let mut paths = Vec::with_capacity(kept.len());
        for log in &kept {
            let path = places.remove(&log.sha256).unwrap_or_else(|| self.log_path(&log.sha256));
            if !path.is_file() {
                return Err(StoreError::LogLost { name: log.name.clone(), path });
            }
            paths.push((path, log.options.parsed()));
        }
        let logs: Vec<(&Path, &jobs::Options)> =
            paths.iter().map(|(path, options)| (path.as_path(), options)).collect();
        let log = if logs.is_empty() { JobLog::default() } else { jobs::read_each(&logs)? };
        let windows = kept.iter().filter_map(|log| log.covered_ms).map(|(from, to)| Window::new(from, to));
        Ok(ReadLogs { log, covered: joined(windows.collect()), kept })
    }
}

/// How often a log may be packed over: more is a trick.
const MOST_LAYERS: usize = 2;

/// The bytes of a log, unpacked, from a file, a pipe or standard input.
fn content(path: &Path) -> Result<Vec<u8>, StoreError> {
    if path.is_dir() {
        return Err(StoreError::LogIsDirectory { path: path.to_path_buf() });
    }
    let failed = StoreError::io("read", path);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(&failed)?;
    } else {
        bytes = fs::read(path).map_err(&failed)?;
    }
    // Nobody packs a log more often than that.
    let packed = bytes.len() as u64;
    for _ in 0..MOST_LAYERS {
        bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
            unpack(flate2::read::MultiGzDecoder::new(bytes.as_slice()), packed).map_err(&failed)?
        } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let decoder = zstd::Decoder::with_buffer(bytes.as_slice()).map_err(&failed)?;
            unpack(decoder, packed).map_err(&failed)?
        } else {
            break;
        };
    }
    Ok(bytes)
}

fn described(path: &Path, bytes: &[u8], options: &LogOptions) -> Result<KeptLog, StoreError> {
    let sha256 = bytes_sha256(bytes);
    let log = jobs::read_from(bytes, path, &options.parsed())?;
    Ok(KeptLog {
        name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        options: options.clone(),
        covered_ms: log.covered.map(|covered| (covered.start_ms, covered.end_ms)),
        runs: log.runs.len() as u64,
        rejected: log.rejected_total,
        sha256,
    })
}

/// What leaves no more than [`HOLE_MS`] between is one stretch.
fn joined(mut windows: Vec<Window>) -> Vec<Window> {
    windows.sort_unstable();
    let mut stretches: Vec<Window> = Vec::new();
    for window in windows {
        match stretches.last_mut().filter(|last| window.start_ms.saturating_sub(last.end_ms) <= HOLE_MS) {
            Some(last) => last.end_ms = last.end_ms.max(window.end_ms),
            None => stretches.push(window),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_without_a_log_is_not_covered() {
        let day = crate::time::DAY_MS;
        let logs = vec![Window::new(40 * day, 50 * day), Window::new(0, day), Window::new(2 * day, 3 * day)];
        assert_eq!(joined(logs), [Window::new(0, 3 * day), Window::new(40 * day, 50 * day)]);
    }
}
