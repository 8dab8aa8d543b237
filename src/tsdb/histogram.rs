//! Decoding of native histograms (encodings 2, 3, 5 and 6): when each was
//! observed, how many observations it counts, and their sum. Buckets are read
//! over.

use super::bits::{Width, take, varbit, varbit_unsigned, varint, window};
use super::chunk::{COUNT_BYTES, ChunkError, chunk_sample_count, in_order};
use super::format::{
    ENCODING_FLOAT_HISTOGRAM, ENCODING_FLOAT_HISTOGRAM_ST, ENCODING_HISTOGRAM, ENCODING_HISTOGRAM_ST,
};
use super::xor::value_at;
use super::{STALE_NAN_BITS, is_stale};

/// More bytes than a chunk that Prometheus writes has; bit positions stay small.
const MAX_USED_BYTES: usize = 1 << 28;
/// Bits of the sample count and a byte of flags.
const HEADER_BITS: usize = (COUNT_BYTES + 1) * 8;
/// In the header of a chunk with start timestamps: the first sample has one.
const FIRST_START: u8 = 0x80;
/// A zero threshold that is no power of two stands in full after this byte.
const FULL_THRESHOLD: u64 = 255;
/// The schema whose bucket bounds stand in the chunk.
const CUSTOM_BOUNDS: i64 = -53;
/// The schemas of exponential buckets, those reserved for later among them.
const EXPONENTIAL: std::ops::RangeInclusive<i64> = -9..=52;

/// One native histogram, without its buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HistogramSample {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Observations; 0 in a stale marker.
    pub count: f64,
    /// Sum of the observations. A stale marker ends the series here
    /// ([`is_stale`]).
    pub sum: f64,
}

impl HistogramSample {
    /// True if this is the end of a series and no histogram.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }
}

/// Appends the histograms of the chunk `data` (without length, encoding and
/// checksum) to `samples`. `encoding` is the number that a block or a streamed
/// remote read gives.
///
/// Returns true if the timestamps are strictly ascending, false if one is
/// repeated.
///
/// # Errors
///
/// [`ChunkError`]; `samples` is then as it was before.
/// [`ChunkError::NoHistograms`] if the encoding is another one.
pub fn decode_histogram_chunk(
    encoding: u8,
    data: &[u8],
    samples: &mut Vec<HistogramSample>,
) -> Result<bool, ChunkError> {
    let (has_float_counts, has_starts) = match encoding {
        ENCODING_HISTOGRAM => (false, false),
        ENCODING_FLOAT_HISTOGRAM => (true, false),
        ENCODING_HISTOGRAM_ST => (false, true),
        ENCODING_FLOAT_HISTOGRAM_ST => (true, true),
        _ => return Err(ChunkError::NoHistograms { encoding }),
    };
    let before = samples.len();
    let count = chunk_sample_count(encoding, data).ok_or(ChunkError::CutOff)?;
    let decoded = Reader::new(data, has_starts).and_then(|mut reader| {
        if has_float_counts {
            reader.float_histograms(count, samples)
        } else {
            reader.histograms(count, samples)
        }
    });
    if decoded.is_err() {
        samples.truncate(before);
    }
    decoded
}

/// A number that differs from the one before in some bits only.
#[derive(Clone, Copy)]
struct Changing {
    bits: u64,
    width: Width,
}

/// A number whose step to the next changes by what is written.
#[derive(Clone, Copy, Default)]
struct Stepping {
    value: i64,
    step: i64,
}

impl Stepping {
    fn advance(&mut self, change: i64) -> i64 {
        self.step = self.step.wrapping_add(change);
        self.value = self.value.wrapping_add(self.step);
        self.value
    }
}

/// A chunk and how far it has been read.
struct Reader<'a> {
    data: &'a [u8],
    bit: usize,
    /// What the header says of start timestamps; 0: there are none.
    starts: u8,
    time: Stepping,
    ascending: bool,
}

impl<'a> Reader<'a> {
    fn new(data: &'a [u8], has_starts: bool) -> Result<Self, ChunkError> {
        let data = data.get(..MAX_USED_BYTES).unwrap_or(data);
        let flags = data.get(COUNT_BYTES).copied().ok_or(ChunkError::CutOff)?;
        let starts = if has_starts { flags } else { 0 };
        Ok(Self { data, bit: HEADER_BITS, starts, time: Stepping::default(), ascending: true })
    }

    /// Integer counts: steps that change, in `varbit` numbers.
    fn histograms(&mut self, count: u16, samples: &mut Vec<HistogramSample>) -> Result<bool, ChunkError> {
        if count == 0 {
            return Ok(true);
        }
        let buckets = self.layout()?;
        let mut sum = Changing { bits: 0, width: Width::WHOLE };
        let mut observed = Stepping::default();
        for nth in 0..count {
            self.next_time(nth)?;
            if nth == 0 {
                observed.value = varbit_unsigned(self.data, &mut self.bit)?.cast_signed();
                varbit_unsigned(self.data, &mut self.bit)?;
                sum.bits = self.whole()?;
            } else {
                observed.advance(varbit(self.data, &mut self.bit)?);
                varbit(self.data, &mut self.bit)?;
                self.change(&mut sum)?;
            }
            // A stale marker has no buckets, unless it says what buckets there are.
            if nth == 0 || sum.bits != STALE_NAN_BITS {
                for _ in 0..buckets {
                    varbit(self.data, &mut self.bit)?;
                }
            }
            self.end(nth, observed.value.cast_unsigned() as f64, sum.bits, samples)?;
        }
        Ok(self.ascending)
    }

    /// Float counts: all numbers in full first, then by the bits that change.
    fn float_histograms(
        &mut self,
        count: u16,
        samples: &mut Vec<HistogramSample>,
    ) -> Result<bool, ChunkError> {
        if count == 0 {
            return Ok(true);
        }
        let buckets = self.layout()?;
        // Each stands in the first sample with 64 bits: what does not fit is a lie.
        let left = (self.data.len() * 8).saturating_sub(self.bit) as u64;
        if buckets > left / 64 {
            return Err(ChunkError::CutOff);
        }
        let new = Changing { bits: 0, width: Width::WHOLE };
        let (mut observed, mut in_zero, mut sum) = (new, new, new);
        let mut in_buckets = vec![new; usize::try_from(buckets).map_err(|_| ChunkError::CutOff)?];
        for nth in 0..count {
            self.next_time(nth)?;
            if nth == 0 {
                for number in [&mut observed, &mut in_zero, &mut sum].into_iter().chain(&mut in_buckets) {
                    number.bits = self.whole()?;
                }
            } else {
                self.change(&mut observed)?;
                self.change(&mut in_zero)?;
                self.change(&mut sum)?;
                if sum.bits != STALE_NAN_BITS {
                    for number in &mut in_buckets {
                        self.change(number)?;
                    }
                }
            }
            self.end(nth, f64::from_bits(observed.bits), sum.bits, samples)?;
        }
        Ok(self.ascending)
    }

    /// Reads what buckets there are, and returns how many.
    fn layout(&mut self) -> Result<u64, ChunkError> {
        if self.take(8)? == FULL_THRESHOLD {
            self.take(64)?;
        }
        let schema = varbit(self.data, &mut self.bit)?;
        if schema != CUSTOM_BOUNDS && !EXPONENTIAL.contains(&schema) {
            return Err(ChunkError::Schema);
        }
        let buckets = self.spans()?.saturating_add(self.spans()?);
        if schema == CUSTOM_BOUNDS {
            for _ in 0..varbit_unsigned(self.data, &mut self.bit)? {
                if varbit_unsigned(self.data, &mut self.bit)? == 0 {
                    self.take(64)?;
                }
            }
        }
        Ok(buckets)
    }

    /// Reads the runs of positive or of negative buckets, and returns how many
    /// buckets they hold.
    fn spans(&mut self) -> Result<u64, ChunkError> {
        let mut buckets = 0_u64;
        for _ in 0..varbit_unsigned(self.data, &mut self.bit)? {
            buckets = buckets.saturating_add(varbit_unsigned(self.data, &mut self.bit)?);
            varbit(self.data, &mut self.bit)?;
        }
        Ok(buckets)
    }

    fn next_time(&mut self, nth: u16) -> Result<(), ChunkError> {
        let read = varbit(self.data, &mut self.bit)?;
        if nth == 0 {
            self.time.value = read;
            return Ok(());
        }
        let before = self.time.value;
        let next = self.time.advance(read);
        in_order(before, next, &mut self.ascending)
    }

    /// What follows every sample; then it is complete.
    fn end(
        &mut self,
        nth: u16,
        count: f64,
        sum: u64,
        samples: &mut Vec<HistogramSample>,
    ) -> Result<(), ChunkError> {
        let starts_from = u16::from(self.starts & !FIRST_START);
        if nth == 0 && self.starts & FIRST_START != 0 {
            varint(self.data, &mut self.bit)?;
        } else if nth > 0 && starts_from > 0 && nth >= starts_from {
            varbit(self.data, &mut self.bit)?;
        }
        let sum = f64::from_bits(sum);
        let count = if is_stale(sum) { 0.0 } else { count };
        samples.push(HistogramSample { timestamp_ms: self.time.value, count, sum });
        Ok(())
    }

    fn whole(&mut self) -> Result<u64, ChunkError> {
        self.take(64)
    }

    fn take(&mut self, length: u32) -> Result<u64, ChunkError> {
        let read = take(self.data, self.bit, length);
        self.bit += length as usize;
        self.not_beyond_the_end()?;
        Ok(read)
    }

    fn change(&mut self, number: &mut Changing) -> Result<(), ChunkError> {
        let word = window(self.data, self.bit);
        self.bit = value_at(self.data, word, self.bit, &mut number.bits, &mut number.width)?;
        self.not_beyond_the_end()
    }

    fn not_beyond_the_end(&self) -> Result<(), ChunkError> {
        if self.bit > self.data.len() * 8 { Err(ChunkError::CutOff) } else { Ok(()) }
    }
}
