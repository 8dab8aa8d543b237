//! Prometheus' on-disk time series format, both ways.

mod bits;
mod block;
pub(crate) mod bytes;
mod check;
mod chunk;
mod database;
mod discover;
mod error;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod head;
mod histogram;
mod index;
mod labels;
mod matcher;
mod merge;
mod meta;
mod mmap;
mod parts;
mod postings;
mod problem;
mod read;
mod read_histograms;
mod segment;
mod selector;
mod tombstones;
pub mod writer;
mod xor;
mod xor2;

pub use block::Block;
pub use chunk::{ChunkError, chunk_sample_count, decode_chunk};
pub use database::{Database, Series};
pub use error::TsdbError;
pub use head::Head;
pub use histogram::{HistogramSample, decode_histogram_chunk};
pub use labels::{Labels, METRIC_NAME};
pub use matcher::Matcher;
pub use meta::BlockStats;
pub use problem::{LeftOut, Problem, ReadStats};
pub use read::ReadBuffer;
pub use xor::decode_xor_chunk;
pub use xor2::decode_xor2_chunk;

pub(crate) use chunk::encoding_name;
pub(crate) use format::ENCODING_XOR;

/// Samples of one series in ascending time: two columns of equal length.
///
/// Made to be reused: reading into it clears it and keeps its memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Milliseconds since the epoch, strictly ascending.
    pub timestamps_ms: Vec<i64>,
    /// The values; a stale marker keeps its bits ([`STALE_NAN_BITS`]).
    pub values: Vec<f64>,
}

/// No series has more labels. One takes two bytes in a record and sixteen times that in memory.
pub(crate) const MOST_LABELS: usize = 4096;

/// The bits of Prometheus' stale marker, a signalling NaN. Compare
/// `value.to_bits()`: ordinary NaNs are measurements, this is an end mark.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The bits of any other NaN that Prometheus stores.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// True if `value` is Prometheus' stale marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}
