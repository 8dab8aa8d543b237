//! What can go wrong with a saved input.

use std::path::PathBuf;

use super::Format;
use crate::source::staging::StagingError;
use crate::tsdb::TsdbError;

/// A failure to convert.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// An input cannot be opened or listed.
    #[error("cannot read `{}`", path.display())]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A folder without files.
    #[error("`{}` holds no files", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A directory that needs no conversion.
    #[error("`{}` is a Prometheus data directory, not a dump", path.display())]
    IsBlocks {
        /// The directory.
        path: PathBuf,
    },
    /// Reading an input failed halfway, compressed data that do not unpack among it.
    #[error("cannot read {input} to its end")]
    Read {
        /// The input.
        input: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Nobody knows what it is.
    #[error("{input} is none of the formats that are read: {reason}")]
    Unrecognised {
        /// The input.
        input: String,
        /// What it looks like.
        reason: String,
    },
    /// It is not what it is said or seemed to be.
    #[error("{input} cannot be read as {format}: {place}: {reason}")]
    Form {
        /// The input.
        input: String,
        /// What it was read as.
        format: Format,
        /// Line or byte.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing in it can be read.
    #[error("nothing in {input} can be read as {format}: {place}: {reason}{}", and_more(*more))]
    AllRejected {
        /// The input.
        input: String,
        /// What it was read as.
        format: Format,
        /// The first line, row or series that cannot be read.
        place: String,
        /// What is wrong with it.
        reason: String,
        /// How many there are besides it.
        more: u64,
    },
    /// It ends too early.
    #[error("{input} is cut off: {reason}")]
    Cut {
        /// The input.
        input: String,
        /// How that shows.
        reason: String,
    },
    /// A saved answer of the API that says that something went wrong.
    #[error("{input} holds an error instead of an answer: {kind}: {message}")]
    ErrorAnswer {
        /// The input.
        input: String,
        /// The API's `errorType`.
        kind: String,
        /// The API's `error`.
        message: String,
    },
    /// It is well, and holds no samples.
    #[error("{input} holds no samples: {reason}")]
    NoSamples {
        /// The input.
        input: String,
        /// What it holds.
        reason: String,
    },
    /// Samples of no known time.
    #[error("{input} has samples without a timestamp: {place}")]
    NoTime {
        /// The input.
        input: String,
        /// The first of them.
        place: String,
    },
    /// A table lacks a column.
    #[error("{input}: {reason}")]
    Columns {
        /// The input.
        input: String,
        /// Which, and what is there.
        reason: String,
    },
    /// Timestamps that cannot be meant.
    #[error(
        "the samples lie on {days} different days, from {first} to {last}; more than {most} are not converted at once"
    )]
    ManyDays {
        /// Days with samples.
        days: usize,
        /// The first.
        first: String,
        /// The last.
        last: String,
        /// The limit.
        most: usize,
    },
    /// The blocks.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The blocks.
    #[error(transparent)]
    Tsdb(#[from] TsdbError),
}

fn and_more(more: u64) -> String {
    if more == 0 { String::new() } else { format!(", and {more} more") }
}

impl DumpError {
    /// True if the input can be left out of a folder and the rest be read: it is
    /// the input that is wrong, not the machine.
    pub(super) fn is_of_input(&self) -> bool {
        match self {
            Self::Open { .. }
            | Self::Read { .. }
            | Self::Unrecognised { .. }
            | Self::Form { .. }
            | Self::AllRejected { .. }
            | Self::Cut { .. }
            | Self::ErrorAnswer { .. }
            | Self::NoSamples { .. }
            | Self::NoTime { .. }
            | Self::Columns { .. } => true,
            Self::EmptyFolder { .. }
            | Self::IsBlocks { .. }
            | Self::ManyDays { .. }
            | Self::Staging(_)
            | Self::Tsdb(_) => false,
        }
    }

    /// True if nothing that could be read is lost with it: a page of text among dumps.
    pub(super) fn is_harmless(&self) -> bool {
        matches!(self, Self::Unrecognised { .. } | Self::NoSamples { .. })
    }

    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::IsBlocks { .. } => Some("give it to `report` or `inspect` as it is, with `--snapshot`"),
            Self::Unrecognised { .. } => Some("`--format` says what it is; docs/inputs.md shows each format"),
            Self::AllRejected { reason, .. } if reason.contains("--label") => None,
            Self::Form { .. } | Self::AllRejected { .. } => Some(
                "is it what `--format` says, or what it looks like at its head? docs/inputs.md shows each format",
            ),
            Self::Cut { .. } => Some("save or copy it again; what is there of it was not used"),
            Self::ErrorAnswer { .. } => Some("ask the server again"),
            Self::Staging(error) => error.hint(),
            Self::NoSamples { .. } => Some(
                "samples come with `query`, `query_range` or `remote_read`; docs/inputs.md shows how to save them",
            ),
            Self::NoTime { .. } => Some(
                "give their time with `--at TIME`, or `--at modified` for the time at which the file was written",
            ),
            Self::Columns { .. } => Some(
                "name them with `--columns time=COLUMN,value=COLUMN,metric=COLUMN`; a metric that stands in no column \
                 comes with `--label __name__=METRIC`",
            ),
            Self::ManyDays { .. } => Some("are the timestamps in another unit than the format has?"),
            Self::Open { .. } | Self::EmptyFolder { .. } | Self::Read { .. } | Self::Tsdb(_) => None,
        }
    }
}
