//! The XOR encoder for float samples: chunk encoding 1.
//!
//! Delta-of-delta timestamps and XORed values, after Facebook's Gorilla paper
//! (Pelkonen et al., VLDB 2015) with Prometheus' own bit buckets.

use super::bits::{BitWriter, Window, fits};

/// Most samples that a chunk can count: its header is a `u16`.
pub const MAX_SAMPLES: usize = u16::MAX as usize;

/// The data bytes of one XOR chunk: what stands between the encoding byte and
/// the CRC of a chunk record.
///
/// Timestamps are milliseconds since the epoch, ascending; values keep their
/// bits, so a stale marker stays one. Pairs past the shorter column or past
/// [`MAX_SAMPLES`] are left out, because a chunk cannot count them.
pub fn encode(timestamps_ms: &[i64], values: &[f64]) -> Vec<u8> {
    let mut data = Vec::new();
    encode_into(timestamps_ms, values, &mut data);
    data
}

/// [`encode`], appended to `out`.
pub(crate) fn encode_into(timestamps_ms: &[i64], values: &[f64], out: &mut Vec<u8>) {
    let count = timestamps_ms.len().min(values.len()).min(MAX_SAMPLES);
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    let mut bits = BitWriter::new(out);
    let mut window = Window::NONE;
    let (mut at_ms, mut delta_ms, mut value) = (0_i64, 0_i64, 0_u64);
    for (nth, (&next_ms, &next)) in timestamps_ms.iter().zip(values).take(count).enumerate() {
        let next_bits = next.to_bits();
        match nth {
            0 => {
                bits.varint(next_ms);
                bits.write(next_bits, 64);
            }
            1 => {
                delta_ms = next_ms.wrapping_sub(at_ms);
                bits.uvarint(delta_ms as u64);
                put_change(&mut bits, &mut window, value ^ next_bits);
            }
            _ => {
                let next_delta_ms = next_ms.wrapping_sub(at_ms);
                put_step_change(&mut bits, next_delta_ms.wrapping_sub(delta_ms));
                delta_ms = next_delta_ms;
                put_change(&mut bits, &mut window, value ^ next_bits);
            }
        }
        at_ms = next_ms;
        value = next_bits;
    }
    bits.flush();
}

/// Writes the bits in which a value differs from the one before.
fn put_change(bits: &mut BitWriter<'_>, window: &mut Window, xor: u64) {
    if xor == 0 {
        bits.write(0b0, 1);
    } else if window.holds(xor) {
        bits.write(0b10, 2);
        window.put(bits, xor);
    } else {
        bits.write(0b11, 2);
        *window = Window::open(bits, xor);
        window.put(bits, xor);
    }
}

/// Writes how the step between samples changes.
fn put_step_change(bits: &mut BitWriter<'_>, change: i64) {
    let payload = change as u64;
    if change == 0 {
        bits.write(0b0, 1);
    } else if fits(change, 14) {
        bits.write(0b10, 2);
        bits.write(payload, 14);
    } else if fits(change, 17) {
        bits.write(0b110, 3);
        bits.write(payload, 17);
    } else if fits(change, 20) {
        bits.write(0b1110, 4);
        bits.write(payload, 20);
    } else {
        bits.write(0b1111, 4);
        bits.write(payload, 64);
    }
}
