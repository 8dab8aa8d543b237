//! The XOR encoder for float samples: chunk encoding 1.
//!
//! Delta-of-delta timestamps and XORed values, after Facebook's Gorilla paper
//! (Pelkonen et al., VLDB 2015) with Prometheus' own bit buckets.

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
    let mut bits = BitWriter { out, pending: 0, pending_bits: 0 };
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
                window.write(&mut bits, value ^ next_bits);
            }
            _ => {
                let next_delta_ms = next_ms.wrapping_sub(at_ms);
                bits.delta_of_delta(next_delta_ms.wrapping_sub(delta_ms));
                delta_ms = next_delta_ms;
                window.write(&mut bits, value ^ next_bits);
            }
        }
        at_ms = next_ms;
        value = next_bits;
    }
    bits.flush();
}

/// The run of bits that the last changed value used.
#[derive(Clone, Copy)]
struct Window {
    leading: u32,
    trailing: u32,
}

impl Window {
    /// Before the first changed value. No value fits into it, so that value opens one.
    const NONE: Self = Self { leading: u32::MAX, trailing: 0 };

    fn write(&mut self, bits: &mut BitWriter<'_>, xor: u64) {
        if xor == 0 {
            return bits.write(0, 1);
        }
        // Five bits hold at most 31.
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        if leading >= self.leading && trailing >= self.trailing {
            bits.write(0b10, 2);
            bits.write(xor >> self.trailing, 64 - self.leading - self.trailing);
            return;
        }
        *self = Self { leading, trailing };
        let significant = 64 - leading - trailing;
        // Six bits hold at most 63: 64 is written as 0.
        bits.write((0b11 << 11) | (u64::from(leading) << 6) | u64::from(significant & 63), 13);
        bits.write(xor >> trailing, significant);
    }
}

/// Bits appended most significant first.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// The low `pending_bits` (fewer than 8) of this are not in `out` yet.
    pending: u64,
    pending_bits: u32,
}

impl BitWriter<'_> {
    /// Appends the low `count` (1 to 64) bits of `value`.
    fn write(&mut self, value: u64, count: u32) {
        if count > 32 {
            self.short(value >> 32, count - 32);
            self.short(value, 32);
        } else {
            self.short(value, count);
        }
    }

    /// [`Self::write`] for up to 32 bits, which fit beside the pending ones.
    fn short(&mut self, value: u64, count: u32) {
        let low = value & (u64::MAX >> (64 - count));
        self.pending = (self.pending << count) | low;
        self.pending_bits += count;
        while self.pending_bits >= 8 {
            self.pending_bits -= 8;
            self.out.push((self.pending >> self.pending_bits) as u8);
        }
    }

    fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.short((value & 0x7f) | 0x80, 8);
            value >>= 7;
        }
        self.short(value, 8);
    }

    fn varint(&mut self, value: i64) {
        self.uvarint(((value << 1) ^ (value >> 63)) as u64);
    }

    fn delta_of_delta(&mut self, change: i64) {
        // The buckets reach one further up than down: −(2^(k−1) − 1) … 2^(k−1).
        let fits = |size: u32| {
            let half = 1_i64 << (size - 1);
            -half < change && change <= half
        };
        let payload = change as u64;
        if change == 0 {
            self.short(0, 1);
        } else if fits(14) {
            self.short(0b10, 2);
            self.short(payload, 14);
        } else if fits(17) {
            self.short(0b110, 3);
            self.short(payload, 17);
        } else if fits(20) {
            self.short(0b1110, 4);
            self.short(payload, 20);
        } else {
            self.short(0b1111, 4);
            self.write(payload, 64);
        }
    }

    fn flush(&mut self) {
        if self.pending_bits > 0 {
            self.short(0, 8 - self.pending_bits);
        }
    }
}
