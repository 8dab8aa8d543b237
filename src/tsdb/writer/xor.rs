//! The XOR encoder for float samples: chunk encoding 1.
//!
//! Delta-of-delta timestamps and XORed values, after Facebook's Gorilla paper
//! (Pelkonen et al., VLDB 2015) with Prometheus' own bit buckets.

use super::bits::{BitWriter, Pending, Window, fits};

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
        let mut bits = BitWriter::resume(out, self.pending);
        let value = value.to_bits();
        let delta_ms = at_ms.wrapping_sub(self.at_ms);
        match self.count {
            0 => {
                bits.varint(at_ms);
                bits.write(value, 64);
            }
            1 => {
                bits.uvarint(delta_ms as u64);
                put_change(&mut bits, &mut self.window, self.value ^ value);
            }
            _ => {
                put_step_change(&mut bits, delta_ms.wrapping_sub(self.delta_ms));
                put_change(&mut bits, &mut self.window, self.value ^ value);
            }
        }
        self.pending = bits.pending();
        self.count = self.count.saturating_add(1);
        (self.at_ms, self.delta_ms, self.value) = (at_ms, delta_ms, value);
    }

    fn finish(self, out: &mut Vec<u8>) {
        BitWriter::resume(out, self.pending).flush();
        if let Some(header) = out.get_mut(self.start..).and_then(|chunk| chunk.first_chunk_mut()) {
            *header = self.count.to_be_bytes();
        }
    }
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
