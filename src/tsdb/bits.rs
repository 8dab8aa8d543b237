//! Reading a chunk as a string of bits, most significant bit first.

use super::chunk::ChunkError;

/// Bits of a [`window`] that are there: it starts up to seven bits before the
/// position asked for.
pub(super) const VALID_BITS: u32 = 57;
/// Bits of the statement of a [`Width`]: leading zeros and length.
pub(super) const WIDTH_BITS: usize = 5 + 6;

/// The bits from position `bit` on, at least [`VALID_BITS`] of them valid;
/// zeros after the end.
#[inline(always)]
pub(super) fn window(data: &[u8], bit: usize) -> u64 {
    let from = bit >> 3;
    let whole = data.get(from..).and_then(<[u8]>::first_chunk::<8>);
    whole.map_or_else(|| tail(data, from), |bytes| u64::from_be_bytes(*bytes)) << (bit & 7)
}

#[cold]
#[inline(never)]
fn tail(data: &[u8], from: usize) -> u64 {
    let rest = data.get(from..).unwrap_or_default();
    rest.iter().zip((0..64).step_by(8)).fold(0, |word, (byte, shift)| word | u64::from(*byte) << (56 - shift))
}

/// The `length` bits (1 to 64) from position `bit` on; zeros after the end.
#[inline(always)]
pub(super) fn take(data: &[u8], bit: usize, length: u32) -> u64 {
    let mut word = window(data, bit);
    let shift = bit & 7;
    if shift as u32 + length > 64 {
        let ninth = data.get((bit >> 3) + 8).copied().unwrap_or_default();
        word |= u64::from(ninth) >> (8 - shift);
    }
    word >> (64 - length)
}

/// LEB128 in groups of eight bits from position `bit` on.
pub(super) fn uvarint(data: &[u8], bit: &mut usize) -> Result<u64, ChunkError> {
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

/// Zigzag, then LEB128.
pub(super) fn varint(data: &[u8], bit: &mut usize) -> Result<i64, ChunkError> {
    let folded = uvarint(data, bit)?;
    Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
}

/// The largest signed number of each width is positive, unlike two's
/// complement: `x > 2^(k−1)` is negative.
pub(super) const fn signed(raw: u64, bits: u32) -> i64 {
    if raw > 1 << (bits - 1) { raw.cast_signed().wrapping_sub(1 << bits) } else { raw.cast_signed() }
}

/// Where the significant bits of the last changed value lay: how many, and how
/// many zeros come after them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    /// 1 to 64.
    pub(super) length: u32,
    /// At most 64 − `length`.
    trailing: u32,
}

impl Width {
    /// Before any was stated. A Prometheus that goes on with a chunk after a
    /// restart refers to this one if no value has changed until then.
    pub(super) const WHOLE: Self = Self { length: 64, trailing: 0 };

    /// The width stated in the first [`WIDTH_BITS`] of `word`.
    #[inline(always)]
    pub(super) fn stated(word: u64) -> Result<Self, ChunkError> {
        let leading = (word >> (64 - 5)) as u32;
        let length = match ((word << 5) >> (64 - 6)) as u32 {
            // Six bits hold no 64.
            0 => 64,
            length => length,
        };
        let trailing = 64_u32.checked_sub(leading + length).ok_or(ChunkError::Width)?;
        Ok(Self { length, trailing })
    }

    /// The bits in which a value differs from the one before. They stand at
    /// position `bit + skip`; `word` holds the data from `bit` on, `valid` bits
    /// of it. Short ones are taken from there; that spares a read of the data.
    #[inline(always)]
    pub(super) fn change(self, data: &[u8], word: u64, valid: u32, bit: usize, skip: usize) -> u64 {
        let raw = if skip as u32 + self.length <= valid {
            (word << skip) >> (64 - self.length)
        } else {
            take(data, bit + skip, self.length)
        };
        raw << self.trailing
    }
}

/// A signed number in Prometheus' `varbit` form.
pub(super) fn varbit(data: &[u8], bit: &mut usize) -> Result<i64, ChunkError> {
    let (raw, size) = varbit_raw(data, bit)?;
    Ok(match size {
        0 => 0,
        64 => raw.cast_signed(),
        _ => signed(raw, size),
    })
}

/// An unsigned number in Prometheus' `varbit` form.
pub(super) fn varbit_unsigned(data: &[u8], bit: &mut usize) -> Result<u64, ChunkError> {
    varbit_raw(data, bit).map(|(raw, _)| raw)
}

/// The payload and its size in bits.
fn varbit_raw(data: &[u8], bit: &mut usize) -> Result<(u64, u32), ChunkError> {
    let (prefix, size) = varbit_form(window(data, *bit));
    let from = *bit + prefix as usize;
    *bit = from + size as usize;
    if *bit > data.len() * 8 {
        return Err(ChunkError::CutOff);
    }
    Ok((if size == 0 { 0 } else { take(data, from, size) }, size))
}

/// Bits of the number in Prometheus' `varbit` form whose first bits stand on
/// top of `word`.
#[inline(always)]
pub(super) fn varbit_length(word: u64) -> usize {
    let (prefix, payload) = varbit_form(word);
    (prefix + payload) as usize
}

/// Prefix and payload of a `varbit` number, in bits: the more ones come first,
/// the more bits follow.
#[inline(always)]
fn varbit_form(word: u64) -> (u32, u32) {
    match (!word).leading_zeros() {
        0 => (1, 0),
        1 => (2, 3),
        2 => (3, 6),
        3 => (4, 9),
        4 => (5, 12),
        5 => (6, 18),
        6 => (7, 25),
        7 => (8, 56),
        _ => (8, 64),
    }
}
