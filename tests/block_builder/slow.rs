//! The definitions of the chunk encodings, one bit at a time. `None`: not a
//! valid chunk.

use super::STALE;

struct Bits<'a>(&'a [u8], usize);

impl Bits<'_> {
    fn bit(&mut self) -> Option<u64> {
        let byte = self.0.get(self.1 / 8)?;
        self.1 += 1;
        Some(u64::from(byte >> (7 - (self.1 - 1) % 8)) & 1)
    }

    fn number(&mut self, count: u32) -> Option<u64> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | self.bit()?;
        }
        Some(value)
    }

    fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0_u128;
        for group in 0..10 {
            let byte = self.number(8)?;
            value |= u128::from(byte & 0x7f) << (7 * group);
            if byte < 0x80 {
                return u64::try_from(value).ok();
            }
        }
        None
    }

    fn varint(&mut self) -> Option<i64> {
        let folded = self.uvarint()?;
        Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    /// Ones up to a zero, at most `most` of them.
    fn ones(&mut self, most: usize) -> Option<usize> {
        let mut ones = 0;
        while ones < most && self.bit()? == 1 {
            ones += 1;
        }
        Some(ones)
    }

    /// A number of `size` bits whose largest half-range is positive.
    fn signed(&mut self, size: u32) -> Option<i64> {
        let raw = i128::from(self.number(size)?);
        // 64 bits are plain two's complement: only 2^63 itself would differ.
        Some(if size > 0 && raw > 1 << (size - 1) { raw - (1_i128 << size) } else { raw } as i64)
    }

    fn varbit(&mut self) -> Option<i64> {
        let size = [0, 3, 6, 9, 12, 18, 25, 56, 64][self.ones(8)?];
        self.signed(size)
    }

    /// Leading zeros and length of a changed value, as length and trailing zeros.
    fn width(&mut self) -> Option<(u32, u32)> {
        let lead = self.number(5)? as u32;
        let length = match self.number(6)? as u32 {
            0 => 64,
            length => length,
        };
        Some((length, 64_u32.checked_sub(lead + length)?))
    }
}

pub(crate) fn decode_xor_slowly(data: &[u8]) -> Option<Vec<(i64, u64)>> {
    let mut bits = Bits(data, 0);
    let count = bits.number(16)?;
    let mut samples = Vec::new();
    let (mut at, mut delta, mut value) = (0_i64, 0_i64, 0_u64);
    let mut width = (64, 0);
    for nth in 0..count {
        let before = at;
        if nth == 0 {
            at = bits.varint()?;
            value = bits.number(64)?;
        } else {
            if nth == 1 {
                delta = bits.uvarint()? as i64;
            } else {
                let size = [0, 14, 17, 20, 64][bits.ones(4)?];
                delta = delta.wrapping_add(bits.signed(size)?);
            }
            at = at.wrapping_add(delta);
            if bits.bit()? == 1 {
                if bits.bit()? == 1 {
                    width = bits.width()?;
                }
                value ^= bits.number(width.0)? << width.1;
            }
            if at < before {
                return None;
            }
        }
        samples.push((at, value));
    }
    Some(samples)
}

/// A sample of an XOR2 chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    /// The start timestamp; 0: unknown.
    pub(crate) start: i64,
    pub(crate) at: i64,
    /// The bits of the value.
    pub(crate) value: u64,
}

pub(crate) fn decode_xor2_slowly(data: &[u8]) -> Option<Vec<Started>> {
    let mut bits = Bits(data, 0);
    let count = bits.number(16)?;
    if count == 0 {
        return Some(Vec::new());
    }
    let has_first_start = bits.bit()? == 1;
    let starts_from = bits.number(7)?;
    let mut samples: Vec<Started> = Vec::new();
    let (mut at, mut delta, mut base) = (0_i64, 0_i64, 0_u64);
    let (mut start, mut distance) = (0_i64, 0_i64);
    let mut width = (64, 0);
    for nth in 0..count {
        let before = at;
        // What is said of the value: nothing new, in the old width, in a new
        // width, a stale marker.
        let said = match nth {
            0 => {
                at = bits.varint()?;
                0
            }
            1 => {
                delta = bits.uvarint()? as i64;
                bits.ones(3)?
            }
            _ => match bits.ones(5)? {
                0 => 0,
                1 => 1 + bits.bit()? as usize,
                5 => 3,
                step => {
                    let size = [13, 20, 64][step - 2];
                    let raw = i128::from(bits.number(size)?);
                    let dod = if raw >> (size - 1) == 1 { raw - (1_i128 << size) } else { raw };
                    delta = delta.wrapping_add(dod as i64);
                    bits.ones(3)?
                }
            },
        };
        at = at.wrapping_add(delta);
        if said == 2 {
            width = bits.width()?;
        }
        let value = match (nth, said) {
            (0, _) => bits.number(64)?,
            (_, 0) => base,
            (_, 3) => STALE,
            _ => base ^ bits.number(width.0)? << width.1,
        };
        if value != STALE || said == 1 || said == 2 {
            base = value;
        }
        if nth == 0 {
            if has_first_start {
                start = at.wrapping_sub(bits.varint()?);
            }
        } else {
            if at < before {
                return None;
            }
            if starts_from > 0 && nth >= starts_from {
                let read = bits.varbit()?;
                distance = if nth == starts_from { read } else { distance.wrapping_add(read) };
                start = before.wrapping_sub(distance);
            }
        }
        samples.push(Started { start, at, value });
    }
    Some(samples)
}
