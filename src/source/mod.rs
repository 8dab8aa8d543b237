//! Where samples come from. One trait, many readers: whoever can list series
//! and read one of them over a window is a source.

pub mod dump;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod origin;
pub mod remote;
mod snapshot;
mod staging;

pub use snapshot::Snapshot;
pub use staging::StagingError;

use std::path::PathBuf;

use crate::time::Window;
use crate::tsdb::{Labels, ReadBuffer, ReadStats, TsdbError};

/// A failure to list or read series.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// From Prometheus' on-disk format.
    #[error(transparent)]
    Tsdb(#[from] TsdbError),
    /// There are blocks or a log, and none of them can be used.
    #[error("`{}` holds nothing that can be read: {reason}{}", path.display(), and_more(*more))]
    NothingUsable {
        /// The directory.
        path: PathBuf,
        /// What is wrong with the first of them.
        reason: String,
        /// How many more there are.
        more: usize,
    },
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(", and {more} more") }
}

/// One series that can be read.
pub trait Series: Send + Sync {
    /// What identifies it.
    fn labels(&self) -> &Labels;

    /// Reads its samples inside `window` into `buffer`, in ascending time, each
    /// instant once; counts what was left out in `stats`.
    ///
    /// # Errors
    ///
    /// Only where nothing of the series can be read; a damaged piece is
    /// recorded in `stats` and the rest is read.
    fn read(&self, window: Window, buffer: &mut ReadBuffer, stats: &mut ReadStats)
    -> Result<(), SourceError>;
}

/// A part of the source that could not be used, or was left out on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What it is, by name.
    pub what: String,
    /// Why it was left out.
    pub why: String,
    /// True if data was lost by it, false where that is in order.
    pub is_problem: bool,
}

/// Something that holds series.
pub trait Source: Sync {
    /// How the source is named to the user.
    fn name(&self) -> String;

    /// From the first sample to after the last; `None` if there are none.
    fn time_range(&self) -> Option<Window>;

    /// Number of series entries, over all blocks.
    fn series_count(&self) -> u64;

    /// What it holds, in words.
    fn describe(&self) -> String {
        format!("{} series", self.series_count())
    }

    /// Values of a label, in order.
    fn label_values(&self, label: &str) -> Vec<String>;

    /// The series named by any of `metrics` that may have samples inside
    /// `window`, in label order.
    ///
    /// # Errors
    ///
    /// Where the source cannot be searched.
    fn select<'a>(
        &'a self,
        metrics: &[&str],
        window: Window,
    ) -> Result<Vec<Box<dyn Series + 'a>>, SourceError>;

    /// Gives back memory that holds what was read so far, where there is any.
    /// Called after each node, so that memory does not grow with the data.
    fn release(&self) {}

    /// What could not be used.
    fn left_out(&self) -> Vec<LeftOut>;

    /// What a reader of the report should know about how the samples came here.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Identity of the data that was read, for the record: names and hashes.
    fn identity(&self) -> Vec<(String, String)>;

    /// True for the output of `wattledger simulate`.
    fn is_simulated(&self) -> bool;
}

/// No series at all: the job log is all that there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSeries;

impl Source for NoSeries {
    fn name(&self) -> String {
        "none".to_owned()
    }

    fn time_range(&self) -> Option<Window> {
        None
    }

    fn series_count(&self) -> u64 {
        0
    }

    fn label_values(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn select<'a>(&'a self, _: &[&str], _: Window) -> Result<Vec<Box<dyn Series + 'a>>, SourceError> {
        Ok(Vec::new())
    }

    fn left_out(&self) -> Vec<LeftOut> {
        Vec::new()
    }

    fn identity(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn is_simulated(&self) -> bool {
        false
    }
}
