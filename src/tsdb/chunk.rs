//! The data of a chunk, by its encoding.

use super::Samples;
use super::format::{
    ENCODING_FLOAT_HISTOGRAM, ENCODING_FLOAT_HISTOGRAM_ST, ENCODING_HISTOGRAM, ENCODING_HISTOGRAM_ST,
    ENCODING_THANOS_AGGREGATE, ENCODING_XOR, ENCODING_XOR2,
};
use super::xor::decode_xor_chunk;
use super::xor2::decode_xor2_chunk;

/// More bytes than the largest possible chunk of floats needs: 65,535 samples
/// of at most 219 bits. What lies beyond is padding, and bit positions stay small.
const MAX_USED_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of the sample count at the start.
pub(super) const COUNT_BYTES: usize = 2;

/// Why a chunk cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Its encoding is another one. Not damage: such samples are no floats.
    #[error("chunks in the encoding {} hold no float samples", encoding_name(*.encoding))]
    NoFloats {
        /// The encoding's number.
        encoding: u8,
    },
    /// Its encoding is another one, asked for histograms.
    #[error("chunks in the encoding {} hold no histograms", encoding_name(*.encoding))]
    NoHistograms {
        /// The encoding's number.
        encoding: u8,
    },
    /// The data ends before the last sample.
    #[error("the data ends before its last sample")]
    CutOff,
    /// A number of more than 64 bits.
    #[error("a variable-length number exceeds 64 bits")]
    Number,
    /// A value with more leading and significant bits than a value has.
    #[error("a value has more than 64 bits")]
    Width,
    /// A histogram with buckets of a kind that is not known.
    #[error("a histogram with buckets of an unknown schema")]
    Schema,
    /// Timestamps that are not in order.
    #[error("the timestamps run backwards")]
    Backwards,
}

/// Appends the float samples of the chunk `data` (without length, encoding and
/// checksum) to `samples`, values bit for bit. `encoding` is the number that
/// blocks, head chunks and a streamed remote read give.
///
/// Returns true if the timestamps are strictly ascending, false if one is
/// repeated.
///
/// # Errors
///
/// [`ChunkError`]; `samples` is then as it was before. [`ChunkError::NoFloats`]
/// if the encoding is not one of floats: such a chunk is to be counted
/// ([`chunk_sample_count`]), not to be called damaged.
pub fn decode_chunk(encoding: u8, data: &[u8], samples: &mut Samples) -> Result<bool, ChunkError> {
    match encoding {
        ENCODING_XOR => decode_xor_chunk(data, samples),
        ENCODING_XOR2 => decode_xor2_chunk(data, samples),
        _ => Err(ChunkError::NoFloats { encoding }),
    }
}

/// How many samples the chunk `data` claims to hold, of whatever kind; `None`
/// if its encoding is not known or the data ends in its header.
pub fn chunk_sample_count(encoding: u8, data: &[u8]) -> Option<u16> {
    /// The upper two bits say whether a counter was reset.
    const COUNT_MASK: u16 = 0x3fff;
    let count = data.first_chunk::<COUNT_BYTES>().map(|bytes| u16::from_be_bytes(*bytes))?;
    match encoding {
        ENCODING_XOR | ENCODING_XOR2 | ENCODING_HISTOGRAM | ENCODING_FLOAT_HISTOGRAM => Some(count),
        ENCODING_HISTOGRAM_ST | ENCODING_FLOAT_HISTOGRAM_ST => Some(count & COUNT_MASK),
        _ => None,
    }
}

/// The name by which chunks that are not decoded are counted.
pub(crate) fn encoding_name(encoding: u8) -> String {
    match encoding {
        0 => "none".to_owned(),
        ENCODING_XOR => "XOR".to_owned(),
        ENCODING_HISTOGRAM => "histogram".to_owned(),
        ENCODING_FLOAT_HISTOGRAM => "float histogram".to_owned(),
        ENCODING_XOR2 => "XOR2".to_owned(),
        ENCODING_HISTOGRAM_ST => "histogram ST".to_owned(),
        ENCODING_FLOAT_HISTOGRAM_ST => "float histogram ST".to_owned(),
        ENCODING_THANOS_AGGREGATE => "Thanos aggregate".to_owned(),
        other => format!("unknown {other}"),
    }
}

/// Why chunks of an encoding of this [`encoding_name`] are not read as floats.
pub(super) fn why_not_read(name: &str) -> &'static str {
    match name {
        "histogram" | "float histogram" | "histogram ST" | "float histogram ST" => {
            "native histograms, of which no meter is made"
        }
        "Thanos aggregate" => "downsampled; use the raw block",
        _ => "an encoding that is not known",
    }
}

/// Makes room at the end of `samples` for as many as the chunk `data` claims to
/// hold, and takes it back if `decode` fails to fill it.
///
/// `per_byte` is how many samples a byte can hold, after the first two: a
/// larger count is a lie, and nothing is reserved for it.
pub(super) fn append(
    data: &[u8],
    per_byte: usize,
    samples: &mut Samples,
    decode: impl FnOnce(&[u8], &mut [i64], &mut [f64]) -> Result<bool, ChunkError>,
) -> Result<bool, ChunkError> {
    let data = data.get(..MAX_USED_BYTES).unwrap_or(data);
    let Some(count) = data.first_chunk::<COUNT_BYTES>() else { return Err(ChunkError::CutOff) };
    let count = usize::from(u16::from_be_bytes(*count));
    if count > 2 + data.len() * per_byte {
        return Err(ChunkError::CutOff);
    }
    let start = samples.timestamps_ms.len();
    samples.timestamps_ms.resize(start + count, 0);
    samples.values.resize(start + count, 0.0);
    let timestamps = samples.timestamps_ms.get_mut(start..).unwrap_or_default();
    let values = samples.values.get_mut(start..).unwrap_or_default();
    let decoded = decode(data, timestamps, values);
    if decoded.is_err() {
        samples.timestamps_ms.truncate(start);
        samples.values.truncate(start);
    }
    decoded
}

/// Refuses a sample before the last one, and notes one at the same time.
#[inline]
pub(super) fn in_order(time: i64, next: i64, ascending: &mut bool) -> Result<(), ChunkError> {
    *ascending &= next > time;
    if next < time { Err(ChunkError::Backwards) } else { Ok(()) }
}
