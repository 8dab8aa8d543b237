//! The XOR2 encoder for float samples: chunk encoding 4, which Prometheus writes
//! from 3.13 on if it is told to.
//!
//! For round trips and for readers that are to be tried with such blocks; what
//! Prometheus before 3.13 and promtool of Debian 12 read is [`xor`](super::xor),
//! the default. No command of the program chooses it.

use super::bits::{BitWriter, Window};
use super::xor::MAX_SAMPLES;
use crate::tsdb::STALE_NAN_BITS;

/// In the header: the first sample has a start timestamp.
const FIRST_START: u8 = 0x80;
/// The last position at which start timestamps can set in: what the header holds.
const LAST_START: usize = 0x7f;

/// The data bytes of one XOR2 chunk without start timestamps: what stands
/// between the encoding byte and the CRC of a chunk record.
///
/// Timestamps are milliseconds since the epoch, ascending; values keep their
/// bits, so a stale marker stays one. Pairs past the shorter column or past
/// [`MAX_SAMPLES`] are left out, because a chunk cannot count them.
pub fn encode(timestamps_ms: &[i64], values: &[f64]) -> Vec<u8> {
    encode_with_starts(&[], timestamps_ms, values)
}

/// As [`encode`], with the time from which each sample's counter counts, in
/// milliseconds since the epoch. 0, or the end of `starts_ms`, means unknown.
pub fn encode_with_starts(starts_ms: &[i64], timestamps_ms: &[i64], values: &[f64]) -> Vec<u8> {
    let mut data = Vec::new();
    encode_into(starts_ms, timestamps_ms, values, &mut data);
    data
}

/// [`encode_with_starts`], appended to `out`.
pub(crate) fn encode_into(starts_ms: &[i64], timestamps_ms: &[i64], values: &[f64], out: &mut Vec<u8>) {
    let count = timestamps_ms.len().min(values.len()).min(MAX_SAMPLES);
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    let header_at = out.len();
    out.push(0);
    let mut bits = BitWriter::new(out);
    let mut value = Value { base: 0, window: Window::NONE };
    let mut starts = Starts::default();
    let (mut at_ms, mut delta_ms) = (0_i64, 0_i64);
    let starts_ms = starts_ms.iter().copied().chain(std::iter::repeat(0));
    for (nth, ((&next_ms, &next), start_ms)) in
        timestamps_ms.iter().zip(values).zip(starts_ms).take(count).enumerate()
    {
        let next_delta_ms = next_ms.wrapping_sub(at_ms);
        match nth {
            0 => {
                bits.varint(next_ms);
                bits.write(next.to_bits(), 64);
                if next.to_bits() != STALE_NAN_BITS {
                    value.base = next.to_bits();
                }
            }
            1 => {
                bits.uvarint(next_delta_ms as u64);
                value.put(&mut bits, next.to_bits());
            }
            _ => value.put_after_step(&mut bits, next_delta_ms.wrapping_sub(delta_ms), next.to_bits()),
        }
        if nth == 0 {
            starts.put_first(&mut bits, next_ms, start_ms);
        } else {
            starts.put(&mut bits, nth, at_ms, start_ms);
            delta_ms = next_delta_ms;
        }
        at_ms = next_ms;
    }
    bits.flush();
    if let Some(header) = out.get_mut(header_at) {
        *header = starts.header;
    }
}

/// What the next value is told from.
struct Value {
    /// The last one that is no stale marker.
    base: u64,
    window: Window,
}

impl Value {
    /// Writes a value under a prefix of its own.
    fn put(&mut self, bits: &mut BitWriter<'_>, next: u64) {
        let xor = next ^ self.base;
        if next == STALE_NAN_BITS {
            bits.write(0b111, 3);
        } else if xor == 0 {
            bits.write(0b0, 1);
        } else if self.window.holds(xor) {
            bits.write(0b10, 2);
            self.put_changed(bits, next, false);
        } else {
            bits.write(0b110, 3);
            self.put_changed(bits, next, true);
        }
    }

    /// Writes the change of the step and the value, under one prefix if the
    /// step does not change.
    fn put_after_step(&mut self, bits: &mut BitWriter<'_>, change: i64, next: u64) {
        // Plain two's complement here.
        let fits = |size: u32| (-(1_i64 << (size - 1))..1_i64 << (size - 1)).contains(&change);
        if change == 0 {
            let xor = next ^ self.base;
            if next == STALE_NAN_BITS {
                bits.write(0b11111, 5);
            } else if xor == 0 {
                bits.write(0b0, 1);
            } else {
                let opens = !self.window.holds(xor);
                bits.write(if opens { 0b101 } else { 0b100 }, 3);
                self.put_changed(bits, next, opens);
            }
            return;
        }
        if fits(13) {
            bits.write(0b110, 3);
            bits.write(change as u64, 13);
        } else if fits(20) {
            bits.write(0b1110, 4);
            bits.write(change as u64, 20);
        } else {
            bits.write(0b11110, 5);
            bits.write(change as u64, 64);
        }
        self.put(bits, next);
    }

    fn put_changed(&mut self, bits: &mut BitWriter<'_>, next: u64, opens: bool) {
        let xor = next ^ self.base;
        if opens {
            self.window = Window::open(bits, xor);
        }
        self.window.put(bits, xor);
        self.base = next;
    }
}

/// Start timestamps: nothing is written until one changes, from then on the
/// distance to the sample before.
#[derive(Default)]
struct Starts {
    header: u8,
    start_ms: i64,
    /// From the start timestamp to the sample before, once they are written.
    distance_ms: Option<i64>,
}

impl Starts {
    fn put_first(&mut self, bits: &mut BitWriter<'_>, at_ms: i64, start_ms: i64) {
        if start_ms != 0 {
            bits.varint(at_ms.wrapping_sub(start_ms));
            self.header = FIRST_START;
            self.start_ms = start_ms;
        }
    }

    /// What follows the `nth` sample, not the first, if the one before was at `before_ms`.
    fn put(&mut self, bits: &mut BitWriter<'_>, nth: usize, before_ms: i64, start_ms: i64) {
        let distance_ms = before_ms.wrapping_sub(start_ms);
        match self.distance_ms {
            Some(last_ms) => bits.varbit(distance_ms.wrapping_sub(last_ms)),
            // Later than this the header could not say where they begin.
            None if start_ms != self.start_ms || nth == LAST_START => {
                self.header |= u8::try_from(nth).unwrap_or_default();
                bits.varbit(distance_ms);
            }
            None => return,
        }
        self.distance_ms = Some(distance_ms);
        self.start_ms = start_ms;
    }
}
