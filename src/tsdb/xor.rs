//! Decoding of XOR chunks (encoding 1): Gorilla's scheme as Prometheus writes it.

use super::Samples;

/// More bytes than the largest possible chunk needs: 65,535 samples of at most
/// 145 bits. What lies beyond is padding, and bit positions stay small.
const MAX_USED_BYTES: usize = 2 * 1024 * 1024;
/// Bits of a window that are there: it starts up to seven bits before the position asked for.
const VALID_BITS: u32 = 57;
/// Bits of the longest step that does not take 64 of its own: prefix and payload.
const LONGEST_SHORT_STEP: usize = 4 + 20;
/// What is left of a window after such a step.
const VALID_BITS_AFTER_STEP: u32 = VALID_BITS - LONGEST_SHORT_STEP as u32;
/// Bytes of the sample count at the start.
const COUNT_BYTES: usize = 2;

/// The largest signed number of each timestamp width is positive, unlike two's
/// complement: `x > 2^(k−1)` is negative.
const fn signed(raw: u64, bits: u32) -> i64 {
    if raw > 1 << (bits - 1) { raw.cast_signed().wrapping_sub(1 << bits) } else { raw.cast_signed() }
}

/// Why a chunk cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The data ends before the last sample.
    #[error("the data ends before its last sample")]
    CutOff,
    /// A number of more than 64 bits.
    #[error("a variable-length number exceeds 64 bits")]
    Number,
    /// A value with more leading and significant bits than a value has.
    #[error("a value has more than 64 bits")]
    Width,
    /// A value that refers to an earlier value's width, where there is none.
    #[error("a value reuses a bit window before any was set")]
    NoWindow,
    /// Timestamps that are not in order.
    #[error("the timestamps run backwards")]
    Backwards,
}

/// Appends the samples of the XOR chunk `data` (without length, encoding and
/// checksum) to `samples`, values bit for bit.
///
/// Returns true if the timestamps are strictly ascending, false if one is
/// repeated. Also decodes the chunks of a streamed remote read.
///
/// # Errors
///
/// [`ChunkError`]; `samples` is then as it was before.
pub fn decode_xor_chunk(data: &[u8], samples: &mut Samples) -> Result<bool, ChunkError> {
    let data = data.get(..MAX_USED_BYTES).unwrap_or(data);
    let start = samples.timestamps_ms.len();
    let count = usize::from(sample_count(data)?);
    // After the second sample, one costs at least two bits: a larger count is a
    // lie, and nothing is reserved for it.
    if count > 2 + data.len() * 4 {
        return Err(ChunkError::CutOff);
    }
    samples.timestamps_ms.resize(start + count, 0);
    samples.values.resize(start + count, 0.0);
    let timestamps = samples.timestamps_ms.get_mut(start..).unwrap_or_default();
    let values = samples.values.get_mut(start..).unwrap_or_default();
    let decoded = decode_into(data, timestamps, values);
    if decoded.is_err() {
        samples.timestamps_ms.truncate(start);
        samples.values.truncate(start);
    }
    decoded
}

/// The number of samples that the chunk `data` claims to hold.
fn sample_count(data: &[u8]) -> Result<u16, ChunkError> {
    data.first_chunk::<COUNT_BYTES>().map(|bytes| u16::from_be_bytes(*bytes)).ok_or(ChunkError::CutOff)
}

fn decode_into(data: &[u8], timestamps: &mut [i64], values: &mut [f64]) -> Result<bool, ChunkError> {
    let end = data.len() * 8;
    let mut bit = COUNT_BYTES * 8;
    let mut slots = timestamps.iter_mut().zip(values);

    let Some((timestamp, value)) = slots.next() else { return Ok(true) };
    let folded = uvarint(data, &mut bit)?;
    let mut time = (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed();
    let mut bits = take(data, bit, 64);
    bit += 64;
    *timestamp = time;
    *value = f64::from_bits(bits);

    let mut width = Width::default();
    let mut delta = 0_i64;
    let mut ascending = true;
    if let Some((timestamp, value)) = slots.next() {
        delta = uvarint(data, &mut bit)?.cast_signed();
        let next = time.wrapping_add(delta);
        in_order(time, next, &mut ascending)?;
        time = next;
        let word = window(data, bit);
        bit = value_at(data, word, bit, &mut bits, &mut width)?;
        *timestamp = time;
        *value = f64::from_bits(bits);
    }
    // Samples that keep step and value take two zero bits each; they are
    // counted in a window once, because many gauges hold nothing else.
    let mut repeats = 0_u32;
    for (timestamp, value) in slots {
        if repeats > 0 {
            repeats -= 1;
            bit += 2;
        } else {
            // One window serves the step and the control bits of the value.
            let word = window(data, bit);
            let zeros = word.leading_zeros();
            if zeros >= 2 {
                repeats = zeros.min(VALID_BITS) / 2 - 1;
                bit += 2;
            } else {
                let (change, used) = if word >> 63 == 0 {
                    (0, 1)
                } else if word >> 62 == 0b10 {
                    (signed((word << 2) >> (64 - 14), 14), 2 + 14)
                } else {
                    wide_change(data, word, bit)
                };
                bit += used;
                let word = if used <= LONGEST_SHORT_STEP { word << used } else { window(data, bit) };
                delta = delta.wrapping_add(change);
                bit = value_at(data, word, bit, &mut bits, &mut width)?;
            }
        }
        let next = time.wrapping_add(delta);
        if next <= time {
            in_order(time, next, &mut ascending)?;
        }
        if bit > end {
            return Err(ChunkError::CutOff);
        }
        time = next;
        *timestamp = time;
        *value = f64::from_bits(bits);
    }
    if bit > end { Err(ChunkError::CutOff) } else { Ok(ascending) }
}

/// The change of the step that starts with two ones, and the bits it takes.
#[inline(never)]
fn wide_change(data: &[u8], word: u64, bit: usize) -> (i64, usize) {
    match (!word).leading_zeros() {
        2 => (signed((word << 3) >> (64 - 17), 17), 3 + 17),
        3 => (signed((word << 4) >> (64 - 20), 20), 4 + 20),
        _ => (take(data, bit + 4, 64).cast_signed(), 4 + 64),
    }
}

/// Where the significant bits of the last changed value lay; `length` 0: nowhere yet.
#[derive(Clone, Copy, Default)]
struct Width {
    length: u32,
    trailing: u32,
}

/// Applies the value coded at `bit`, whose first bits stand on top of `word`,
/// to `bits`, and returns the position after it.
#[inline(always)]
fn value_at(
    data: &[u8],
    word: u64,
    bit: usize,
    bits: &mut u64,
    width: &mut Width,
) -> Result<usize, ChunkError> {
    if word >> 63 == 0 {
        return Ok(bit + 1);
    }
    let control = if word >> 62 == 0b11 {
        let leading = ((word << 2) >> (64 - 5)) as u32;
        let length = match ((word << 7) >> (64 - 6)) as u32 {
            0 => 64,
            length => length,
        };
        let trailing = 64_u32.checked_sub(leading + length).ok_or(ChunkError::Width)?;
        *width = Width { length, trailing };
        13
    } else if width.length == 0 {
        return Err(ChunkError::NoWindow);
    } else {
        2
    };
    let from = bit + control;
    // Short values stand in `word` itself; that spares a read of the data.
    let raw = if control as u32 + width.length <= VALID_BITS_AFTER_STEP {
        (word << control) >> (64 - width.length)
    } else {
        take(data, from, width.length)
    };
    *bits ^= raw << width.trailing;
    Ok(from + width.length as usize)
}

fn in_order(time: i64, next: i64, ascending: &mut bool) -> Result<(), ChunkError> {
    *ascending &= next > time;
    if next < time { Err(ChunkError::Backwards) } else { Ok(()) }
}

/// The bits from position `bit` on, at least 57 of them valid; zeros after the end.
#[inline(always)]
fn window(data: &[u8], bit: usize) -> u64 {
    let rest = data.get(bit >> 3..).unwrap_or_default();
    let word = rest.first_chunk::<8>().map_or_else(|| tail(rest), |bytes| u64::from_be_bytes(*bytes));
    word << (bit & 7)
}

#[cold]
fn tail(rest: &[u8]) -> u64 {
    rest.iter().zip((0..64).step_by(8)).fold(0, |word, (byte, shift)| word | u64::from(*byte) << (56 - shift))
}

/// The `length` bits (1 to 64) from position `bit` on; zeros after the end.
#[inline(always)]
fn take(data: &[u8], bit: usize, length: u32) -> u64 {
    let mut word = window(data, bit);
    let shift = bit & 7;
    if shift as u32 + length > 64 {
        let ninth = data.get((bit >> 3) + 8).copied().unwrap_or_default();
        word |= u64::from(ninth) >> (8 - shift);
    }
    word >> (64 - length)
}

/// LEB128 in groups of eight bits from position `bit` on.
fn uvarint(data: &[u8], bit: &mut usize) -> Result<u64, ChunkError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(data, *bit, 8);
        *bit += 8;
        if *bit > data.len() * 8 {
            return Err(ChunkError::CutOff);
        }
        if shift == 63 && byte > 1 {
            break;
        }
        value |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(ChunkError::Number)
}
