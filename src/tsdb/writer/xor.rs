//! The XOR encoder for float samples: chunk encoding 1.
//!
//! Delta-of-delta timestamps and XORed values, after Facebook's Gorilla paper
//! (Pelkonen et al., VLDB 2015) with Prometheus' own bit buckets.

/// Most samples that a chunk can count: its header is a `u16`.
pub const MAX_SAMPLES: usize = u16::MAX as usize;
/// Bytes of the sample count at the start.
const COUNT_BYTES: usize = 2;

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
    let mut encoder = Encoder::begin(out);
    for (&at_ms, &value) in timestamps_ms.iter().zip(values).take(MAX_SAMPLES) {
        encoder.push(out, at_ms, value);
    }
    encoder.finish(out);
}

/// A chunk that samples are added to as they come, encoded at once: a few bits
/// a sample where most of them are regular, however many series are open.
#[derive(Clone, Debug)]
pub struct OpenChunk {
    encoder: Encoder,
    data: Vec<u8>,
    first_ms: i64,
}

impl OpenChunk {
    /// A chunk of one sample.
    pub fn new(at_ms: i64, value: f64) -> Self {
        let mut data = Vec::new();
        let mut encoder = Encoder::begin(&mut data);
        encoder.push(&mut data, at_ms, value);
        Self { encoder, data, first_ms: at_ms }
    }

    /// Adds a sample. The caller sees to it that time does not run backwards and
    /// that the chunk holds at most [`MAX_SAMPLES`].
    pub fn push(&mut self, at_ms: i64, value: f64) {
        self.encoder.push(&mut self.data, at_ms, value);
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.encoder.count.into()
    }

    /// Time of the first sample.
    pub fn first_ms(&self) -> i64 {
        self.first_ms
    }

    /// Time of the last sample.
    pub fn last_ms(&self) -> i64 {
        self.encoder.at_ms
    }

    /// The chunk's data, as [`encode`] returns it.
    pub fn into_data(self) -> Vec<u8> {
        let mut data = self.data;
        self.encoder.finish(&mut data);
        data.shrink_to_fit();
        data
    }
}

/// What the next sample is told apart from.
#[derive(Clone, Debug)]
struct Encoder {
    /// Where the chunk begins in the buffer that it is written to.
    start: usize,
    count: u16,
    pending: Pending,
    window: Window,
    at_ms: i64,
    delta_ms: i64,
    value: u64,
}

impl Encoder {
    fn begin(out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; COUNT_BYTES]);
        Self {
            start,
            count: 0,
            pending: Pending::default(),
            window: Window::NONE,
            at_ms: 0,
            delta_ms: 0,
            value: 0,
        }
    }

    fn push(&mut self, out: &mut Vec<u8>, at_ms: i64, value: f64) {
        let mut bits = BitWriter { out, pending: self.pending };
        let value = value.to_bits();
        let delta_ms = at_ms.wrapping_sub(self.at_ms);
        match self.count {
            0 => {
                bits.varint(at_ms);
                bits.write(value, 64);
            }
            1 => {
                bits.uvarint(delta_ms as u64);
                self.window.write(&mut bits, self.value ^ value);
            }
            _ => {
                bits.delta_of_delta(delta_ms.wrapping_sub(self.delta_ms));
                self.window.write(&mut bits, self.value ^ value);
            }
        }
        self.pending = bits.pending;
        self.count = self.count.saturating_add(1);
        (self.at_ms, self.delta_ms, self.value) = (at_ms, delta_ms, value);
    }

    fn finish(self, out: &mut Vec<u8>) {
        if self.pending.count > 0 {
            BitWriter { out, pending: self.pending }.short(0, 8 - self.pending.count);
        }
        if let Some(header) = out.get_mut(self.start..).and_then(|chunk| chunk.first_chunk_mut()) {
            *header = self.count.to_be_bytes();
        }
    }
}

/// The run of bits that the last changed value used.
#[derive(Clone, Copy, Debug)]
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

/// Bits that do not fill a byte yet.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    /// Their low `count` bits count.
    bits: u64,
    /// Fewer than 8.
    count: u32,
}

/// Bits appended most significant first.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: Pending,
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
        let pending = &mut self.pending;
        pending.bits = (pending.bits << count) | low;
        pending.count += count;
        while pending.count >= 8 {
            pending.count -= 8;
            self.out.push((pending.bits >> pending.count) as u8);
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
}
