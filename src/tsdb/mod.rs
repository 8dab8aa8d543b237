//! Prometheus' on-disk time series format, both ways.

mod error;
mod format;
mod labels;
pub mod writer;

pub use error::TsdbError;
pub use labels::Labels;

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

/// The bits of Prometheus' stale marker, a signalling NaN. Compare
/// `value.to_bits()`: ordinary NaNs are measurements, this is an end mark.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// True if `value` is Prometheus' stale marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}
