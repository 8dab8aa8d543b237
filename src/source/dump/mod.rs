//! Samples that somebody saved to files: answers of the HTTP API, text dumps,
//! exports and tables, made into blocks.
//!
//! Every input is recognised by its content ([`Format`]), unpacked where it is
//! compressed, and read in a stream: memory does not grow with its size. Blocks
//! are written when all inputs are read. They are named after what was read: the same
//! inputs with the same settings give the same blocks.

mod api_json;
mod convert;
mod error;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod input;
mod intake;
mod jtop;
mod lines;
mod parquet;
mod reading;
mod recognise;
mod remote_read;
mod sample_line;
mod table;
mod text;
mod vm_export;

use std::path::{Path, PathBuf};

use chrono_tz::Tz;

pub use convert::convert;
pub use error::DumpError;
pub use format::Format;
pub use input::Place;
pub use table::Columns;

use crate::tsdb::Labels;

/// What to convert, how, to where.
#[derive(Clone, Debug)]
pub struct Request {
    /// Files, folders, standard input.
    pub inputs: Vec<Place>,
    /// Directory for the blocks; made if it is not there.
    pub out: PathBuf,
    /// What the inputs are; recognised by content if absent.
    pub format: Option<Format>,
    /// Labels that every series gets; they replace its own of the same name.
    pub labels: Labels,
    /// Which column of a table is what.
    pub columns: Columns,
    /// The time of samples that have none.
    pub at: Option<At>,
    /// Time zone of local times.
    pub zone: Tz,
}

/// When samples without a timestamp were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// At that instant, in milliseconds since the epoch.
    Instant(i64),
    /// When the file was last written to.
    Modified,
}

/// What happens during a conversion, for those who watch.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// What there is to read.
    Planned {
        /// Number of inputs.
        inputs: usize,
        /// Their size together, as far as it is known.
        bytes: u64,
    },
    /// An input was opened.
    Opened {
        /// Its name.
        input: &'a str,
        /// What it is.
        format: Format,
    },
    /// Bytes were read, as they lie in the file.
    Read {
        /// How many.
        bytes: u64,
    },
    /// A line, a row or a series cannot be read; the first few of each input are told.
    Rejected {
        /// The input's name.
        input: &'a str,
        /// Where in it.
        place: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// An input is left out.
    LeftOut {
        /// Its name.
        input: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A block is complete.
    Written {
        /// Its directory.
        block: &'a Path,
    },
}

/// Called for each [`Event`].
pub type Observer<'a> = &'a dyn Fn(Event<'_>);

/// What was converted.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Inputs that were read, and what each was.
    pub inputs: Vec<(String, Format)>,
    /// Series, over all blocks.
    pub series: u64,
    /// Samples in the blocks that were written.
    pub samples: u64,
    /// Blocks written, in order of time.
    pub written: Vec<PathBuf>,
    /// Blocks of the same inputs that were there already.
    pub kept: Vec<PathBuf>,
    /// What a reader of a report should know about these samples.
    pub notes: Vec<String>,
    /// What was lost.
    pub left_out: LeftOut,
}

/// What inputs hold that blocks do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Lines, rows and series that cannot be read.
    pub rejected: u64,
    /// Native histograms, which are not read.
    pub histograms: u64,
    /// Chunks that hold no floats or do not decode.
    pub chunks: u64,
    /// Samples for which the same series has another value at the same time, which came later.
    pub conflicts: u64,
    /// Files that hold samples, or should, and cannot be read.
    pub inputs: u64,
}

impl LeftOut {
    /// True if anything was lost.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}
