//! Decoding of XOR chunks (encoding 1): Gorilla's scheme as Prometheus writes it.

use super::Samples;
use super::bits::{VALID_BITS, WIDTH_BITS, Width, signed, take, uvarint, varint, window};
use super::chunk::{COUNT_BYTES, ChunkError, append, in_order};

/// Bits of the longest step that does not take 64 of its own: prefix and payload.
const LONGEST_SHORT_STEP: usize = 4 + 20;
/// What is left of a window after such a step.
const VALID_BITS_AFTER_STEP: u32 = VALID_BITS - LONGEST_SHORT_STEP as u32;
/// After the second sample, one costs at least two bits.
const SAMPLES_PER_BYTE: usize = 4;

/// Appends the samples of the XOR chunk `data` (without length, encoding and
/// checksum) to `samples`, values bit for bit.
///
/// Returns true if the timestamps are strictly ascending, false if one is
/// repeated. [`decode_chunk`](super::decode_chunk) decodes other encodings too.
///
/// # Errors
///
/// [`ChunkError`]; `samples` is then as it was before.
pub fn decode_xor_chunk(data: &[u8], samples: &mut Samples) -> Result<bool, ChunkError> {
    append(data, SAMPLES_PER_BYTE, samples, decode_into)
}

fn decode_into(data: &[u8], timestamps: &mut [i64], values: &mut [f64]) -> Result<bool, ChunkError> {
    let end = data.len() * 8;
    let mut bit = COUNT_BYTES * 8;
    let mut slots = timestamps.iter_mut().zip(values);

    let Some((timestamp, value)) = slots.next() else { return Ok(true) };
    let mut time = varint(data, &mut bit)?;
    let mut bits = take(data, bit, 64);
    bit += 64;
    *timestamp = time;
    *value = f64::from_bits(bits);

    let mut width = Width::WHOLE;
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
        // Beyond the end there are zeros: what is cut off is found out after the loop.
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

/// Applies the value coded at `bit`, whose first bits stand on top of `word`,
/// to `bits`, and returns the position after it. Histograms code their sums,
/// and float histograms all their numbers, in the same way.
#[inline(always)]
pub(super) fn value_at(
    data: &[u8],
    word: u64,
    bit: usize,
    bits: &mut u64,
    width: &mut Width,
) -> Result<usize, ChunkError> {
    if word >> 63 == 0 {
        return Ok(bit + 1);
    }
    let mut control = 2;
    if word >> 62 == 0b11 {
        *width = Width::stated(word << control)?;
        control += WIDTH_BITS;
    }
    *bits ^= width.change(data, word, VALID_BITS_AFTER_STEP, bit, control);
    Ok(bit + control + width.length as usize)
}
