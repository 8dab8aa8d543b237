//! Decoding of XOR2 chunks (encoding 4): step and value under one prefix, stale
//! markers in a few bits, and room for start timestamps. Prometheus writes them
//! from 3.13 on where `storage.tsdb.chunk_encoding.floats` is `xor2`.

use super::bits::{VALID_BITS, WIDTH_BITS, Width, take, uvarint, varbit_length, varint, window};
use super::chunk::{COUNT_BYTES, ChunkError, append, in_order};
use super::{STALE_NAN_BITS, Samples};

/// After the second sample, one costs at least one bit.
const SAMPLES_PER_BYTE: usize = 8;
/// Bits of the sample count and of what is said about start timestamps.
const HEADER_BITS: usize = (COUNT_BYTES + 1) * 8;
/// In the header: the first sample has a start timestamp.
const FIRST_START: u8 = 0x80;
/// Bits of the longest step that does not take 64 of its own: prefix and payload.
const LONGEST_SHORT_STEP: usize = 4 + 20;
/// What is left of a window after such a step.
const VALID_BITS_AFTER_STEP: u32 = VALID_BITS - LONGEST_SHORT_STEP as u32;

/// Appends the samples of the XOR2 chunk `data` (without length, encoding and
/// checksum) to `samples`, values bit for bit. Start timestamps are passed
/// over: counters are told from their resets by what they count.
///
/// Returns true if the timestamps are strictly ascending, false if one is
/// repeated. [`decode_chunk`](super::decode_chunk) decodes other encodings too.
///
/// # Errors
///
/// [`ChunkError`]; `samples` is then as it was before.
pub fn decode_xor2_chunk(data: &[u8], samples: &mut Samples) -> Result<bool, ChunkError> {
    append(data, SAMPLES_PER_BYTE, samples, decode_into)
}

/// What one sample hands to the next.
#[derive(Clone, Copy)]
struct State {
    bit: usize,
    time: i64,
    delta: i64,
    /// The last value that is no stale marker: what the next one differs from.
    base: u64,
    width: Width,
    ascending: bool,
}

fn decode_into(data: &[u8], timestamps: &mut [i64], values: &mut [f64]) -> Result<bool, ChunkError> {
    if timestamps.is_empty() {
        return Ok(true);
    }
    let header = data.get(COUNT_BYTES).copied().ok_or(ChunkError::CutOff)?;
    // The position of the first sample but the first whose start timestamp is there; 0: none.
    let starts_from = usize::from(header & !FIRST_START);
    let mut slots = timestamps.iter_mut().zip(values.iter_mut());
    let mut bit = HEADER_BITS;

    let Some((timestamp, value)) = slots.next() else { return Ok(true) };
    let time = varint(data, &mut bit)?;
    let bits = take(data, bit, 64);
    bit += 64;
    *timestamp = time;
    *value = f64::from_bits(bits);
    if header & FIRST_START != 0 {
        varint(data, &mut bit)?;
    }
    let base = if bits == STALE_NAN_BITS { 0 } else { bits };
    let mut state = State { bit, time, delta: 0, base, width: Width::WHOLE, ascending: true };

    if let Some((timestamp, value)) = slots.next() {
        state.delta = uvarint(data, &mut state.bit)?.cast_signed();
        let next = state.time.wrapping_add(state.delta);
        in_order(state.time, next, &mut state.ascending)?;
        state.time = next;
        let bits = state.value_at(data, window(data, state.bit))?;
        if starts_from == 1 {
            state.bit += varbit_length(window(data, state.bit));
        }
        *timestamp = state.time;
        *value = f64::from_bits(bits);
    }
    // All further samples have one form, until start timestamps set in.
    let plain = match starts_from {
        0 => usize::MAX,
        from => from.saturating_sub(2),
    };
    let plain = plain.min(slots.len());
    state.run::<false>(data, slots.by_ref().take(plain))?;
    state.run::<true>(data, slots)?;
    if state.bit > data.len() * 8 { Err(ChunkError::CutOff) } else { Ok(state.ascending) }
}

impl State {
    /// Fills the `slots`, from the third sample on. `STARTS`: with a start
    /// timestamp after each.
    #[inline(always)]
    fn run<'a, const STARTS: bool>(
        &mut self,
        data: &[u8],
        slots: impl Iterator<Item = (&'a mut i64, &'a mut f64)>,
    ) -> Result<(), ChunkError> {
        let end = data.len() * 8;
        // A sample that keeps step and value is a zero bit, a start timestamp
        // that keeps its distance another: such samples are counted in a window once.
        let shortest = if STARTS { 2 } else { 1 };
        let mut repeats = 0_u32;
        let mut state = *self;
        // Apart, because the reference to it would keep all of the state in memory.
        let mut ascending = state.ascending;
        for (timestamp, value) in slots {
            let mut bits = state.base;
            if repeats > 0 {
                repeats -= 1;
                state.bit += shortest as usize;
            } else {
                let word = window(data, state.bit);
                let zeros = word.leading_zeros();
                if zeros >= shortest {
                    repeats = zeros.min(VALID_BITS) / shortest - 1;
                    state.bit += shortest as usize;
                } else {
                    bits = state.step(data, word)?;
                    if STARTS {
                        state.bit += varbit_length(window(data, state.bit));
                    }
                }
            }
            let next = state.time.wrapping_add(state.delta);
            if next <= state.time {
                in_order(state.time, next, &mut ascending)?;
            }
            if state.bit > end {
                return Err(ChunkError::CutOff);
            }
            state.time = next;
            *timestamp = next;
            *value = f64::from_bits(bits);
        }
        *self = Self { ascending, ..state };
        Ok(())
    }

    /// Reads the prefix on top of `word`, the change of the step and the value,
    /// which it returns.
    #[inline(always)]
    fn step(&mut self, data: &[u8], word: u64) -> Result<u64, ChunkError> {
        if word >> 63 == 0 {
            self.bit += 1;
            return Ok(self.base);
        }
        if word >> 62 == 0b10 {
            let states_width = (word << 2) >> 63 == 1;
            return self.changed_value(data, word, VALID_BITS, 3, states_width);
        }
        if word >> 59 == 0b11111 {
            self.bit += 5;
            return Ok(STALE_NAN_BITS);
        }
        let (change, used) = if word >> 61 == 0b110 {
            ((word << 3).cast_signed() >> (64 - 13), 3 + 13)
        } else {
            wide_change(data, word, self.bit)
        };
        self.delta = self.delta.wrapping_add(change);
        self.bit += used;
        let word = if used <= LONGEST_SHORT_STEP { word << used } else { window(data, self.bit) };
        self.value_at(data, word)
    }

    /// Reads the value on top of `word`, which has a prefix of its own.
    #[inline(always)]
    fn value_at(&mut self, data: &[u8], word: u64) -> Result<u64, ChunkError> {
        if word >> 63 == 0 {
            self.bit += 1;
            Ok(self.base)
        } else if word >> 62 == 0b10 {
            self.changed_value(data, word, VALID_BITS_AFTER_STEP, 2, false)
        } else if word >> 61 == 0b110 {
            self.changed_value(data, word, VALID_BITS_AFTER_STEP, 3, true)
        } else {
            self.bit += 3;
            Ok(STALE_NAN_BITS)
        }
    }

    /// Reads the value whose prefix took the first `skip` of the `valid` bits of `word`.
    #[inline(always)]
    fn changed_value(
        &mut self,
        data: &[u8],
        word: u64,
        valid: u32,
        mut skip: usize,
        states_width: bool,
    ) -> Result<u64, ChunkError> {
        if states_width {
            self.width = Width::stated(word << skip)?;
            skip += WIDTH_BITS;
        }
        self.base ^= self.width.change(data, word, valid, self.bit, skip);
        self.bit += skip + self.width.length as usize;
        Ok(self.base)
    }
}

/// The change of the step that starts with three ones, and the bits it takes.
#[inline(never)]
fn wide_change(data: &[u8], word: u64, bit: usize) -> (i64, usize) {
    if word >> 60 == 0b1110 {
        ((word << 4).cast_signed() >> (64 - 20), 4 + 20)
    } else {
        (take(data, bit + 5, 64).cast_signed(), 5 + 64)
    }
}
