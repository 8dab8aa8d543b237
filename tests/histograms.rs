//! Native histograms: chunks made by hand after the format's definition, and
//! series that hold floats and histograms.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod block_builder;
mod support;

use block_builder::{BitWriter, STALE, TestBlock, TestChunk, chunk};
use proptest::prelude::*;
use support::Bench;
use wattledger::time::Window;
use wattledger::tsdb::{
    ChunkError, Database, HistogramSample, ReadBuffer, ReadStats, Samples, chunk_sample_count, decode_chunk,
    decode_histogram_chunk,
};

/// A histogram as it is written: all chunks here have two positive buckets in
/// one span and one negative.
#[derive(Clone, Copy, Debug)]
struct Written {
    start: i64,
    at: i64,
    count: u64,
    in_zero: u64,
    sum: f64,
    buckets: [i64; 3],
}

/// Payload sizes of `varbit` numbers, by the ones that come before.
const SIZES: [usize; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

fn put_varbit(bits: &mut BitWriter, ones: usize, payload: u64) {
    (0..ones).for_each(|_| bits.push(1, 1));
    if ones < 8 {
        bits.push(0, 1);
    }
    bits.push(payload, SIZES[ones]);
}

fn varbit(bits: &mut BitWriter, value: i64) {
    let fits = |size: usize| {
        let half = 1_i128 << (size - 1);
        (-half + 1..=half).contains(&i128::from(value))
    };
    let ones = if value == 0 { 0 } else { (1..8).find(|ones| fits(SIZES[*ones])).unwrap_or(8) };
    put_varbit(bits, ones, value as u64);
}

fn varbit_unsigned(bits: &mut BitWriter, value: u64) {
    let ones = (0..9).find(|ones| u128::from(value) < 1 << SIZES[*ones]).unwrap();
    put_varbit(bits, ones, value);
}

/// A value by the bits that change; every change states its width anew.
fn changed(bits: &mut BitWriter, before: u64, next: u64) {
    let xor = before ^ next;
    if xor == 0 {
        return bits.push(0, 1);
    }
    let (lead, trail) = (xor.leading_zeros().min(31), xor.trailing_zeros());
    let length = 64 - lead - trail;
    bits.push(0b11, 2);
    bits.push(u64::from(lead), 5);
    bits.push(u64::from(length % 64), 6);
    bits.push(xor >> trail, length as usize);
}

struct Kind {
    encoding: u8,
    is_float: bool,
    has_starts: bool,
}

const KINDS: [Kind; 4] = [
    Kind { encoding: 2, is_float: false, has_starts: false },
    Kind { encoding: 3, is_float: true, has_starts: false },
    Kind { encoding: 5, is_float: false, has_starts: true },
    Kind { encoding: 6, is_float: true, has_starts: true },
];

/// `hint`: of a counter reset. `custom`: bucket bounds in the chunk.
fn encode(kind: &Kind, hint: u64, custom: bool, samples: &[Written]) -> Vec<u8> {
    let mut bits = BitWriter::default();
    // Start timestamps of the first, and from the third on.
    let header = if kind.has_starts { 0x80 | 2 } else { hint << 6 };
    bits.push(samples.len() as u64 | if kind.has_starts { hint << 14 } else { 0 }, 16);
    bits.push(header, 8);
    // The zero threshold in full; with custom bounds the byte for 2^-128.
    if custom {
        bits.push(116, 8);
    } else {
        bits.push(255, 8);
        bits.push(0.001_f64.to_bits(), 64);
    }
    varbit(&mut bits, if custom { -53 } else { 3 });
    for (spans, length) in [(1, 2), (1, 1)] {
        varbit_unsigned(&mut bits, spans);
        varbit_unsigned(&mut bits, length);
        varbit(&mut bits, -4);
    }
    if custom {
        varbit_unsigned(&mut bits, 2);
        varbit_unsigned(&mut bits, 1 + 250);
        varbit_unsigned(&mut bits, 0);
        bits.push(0.1_f64.to_bits(), 64);
    }
    let float = |count: i64| (count as f64).to_bits();
    let mut before = samples[0];
    let mut steps = [0_i64; 6];
    let mut distance = 0_i64;
    for (nth, sample) in samples.iter().enumerate() {
        let numbers = |of: &Written| {
            [of.at, of.count as i64, of.in_zero as i64, of.buckets[0], of.buckets[1], of.buckets[2]]
        };
        let (now, last) = (numbers(sample), numbers(&before));
        let is_stale = sample.sum.to_bits() == STALE;
        let stepped = |position: usize, steps: &mut [i64; 6], bits: &mut BitWriter| {
            let step = now[position].wrapping_sub(last[position]);
            varbit(bits, step.wrapping_sub(steps[position]));
            steps[position] = step;
        };
        if nth == 0 {
            varbit(&mut bits, sample.at);
            if kind.is_float {
                bits.push(float(now[1]), 64);
                bits.push(float(now[2]), 64);
            } else {
                varbit_unsigned(&mut bits, sample.count);
                varbit_unsigned(&mut bits, sample.in_zero);
            }
            bits.push(sample.sum.to_bits(), 64);
            for bucket in sample.buckets {
                if kind.is_float { bits.push(float(bucket), 64) } else { varbit(&mut bits, bucket) }
            }
            if kind.has_starts {
                let folded = ((sample.at - sample.start) << 1 ^ (sample.at - sample.start) >> 63) as u64;
                block_builder::uvarint(folded).iter().for_each(|byte| bits.push(u64::from(*byte), 8));
            }
        } else {
            stepped(0, &mut steps, &mut bits);
            for position in [1, 2] {
                if kind.is_float {
                    changed(&mut bits, float(last[position]), float(now[position]));
                } else {
                    stepped(position, &mut steps, &mut bits);
                }
            }
            changed(&mut bits, before.sum.to_bits(), sample.sum.to_bits());
            for position in [3, 4, 5].into_iter().filter(|_| !is_stale) {
                if kind.is_float {
                    changed(&mut bits, float(last[position]), float(now[position]));
                } else {
                    stepped(position, &mut steps, &mut bits);
                }
            }
            if kind.has_starts && nth >= 2 {
                let next = before.at - sample.start;
                varbit(&mut bits, if nth == 2 { next } else { next - distance });
                distance = next;
            }
        }
        before = *sample;
    }
    bits.into_bytes()
}

fn decode(encoding: u8, data: &[u8]) -> Result<Vec<HistogramSample>, ChunkError> {
    let mut samples = Vec::new();
    decode_histogram_chunk(encoding, data, &mut samples)?;
    Ok(samples)
}

fn read_back(samples: &[Written]) -> Vec<(i64, u64, u64)> {
    let count = |sample: &Written| if sample.sum.to_bits() == STALE { 0 } else { sample.count };
    let read = |sample: &Written| (sample.at, (count(sample) as f64).to_bits(), sample.sum.to_bits());
    samples.iter().map(read).collect()
}

fn bits_of(samples: &[HistogramSample]) -> Vec<(i64, u64, u64)> {
    samples.iter().map(|sample| (sample.timestamp_ms, sample.count.to_bits(), sample.sum.to_bits())).collect()
}

const FIVE: [Written; 5] = [
    Written { start: 90, at: 1000, count: 10, in_zero: 1, sum: 12.5, buckets: [4, 3, 2] },
    Written { start: 90, at: 2000, count: 25, in_zero: 2, sum: 30.25, buckets: [10, 9, 4] },
    Written { start: 90, at: 3003, count: 25, in_zero: 2, sum: 30.25, buckets: [10, 9, 4] },
    Written { start: 3000, at: 4000, count: 4_000_000, in_zero: 0, sum: -1e300, buckets: [0, -1, 4_000_000] },
    Written { start: 3000, at: 90_000, count: 4_000_000, in_zero: 0, sum: 0.1, buckets: [5, 6, 7] },
];

#[test]
fn every_encoding_gives_time_count_and_sum() {
    for kind in &KINDS {
        for (hint, custom) in [(0, false), (1, true), (2, false), (3, true)] {
            let data = encode(kind, hint, custom, &FIVE);
            let read = decode(kind.encoding, &data).unwrap();
            assert_eq!(bits_of(&read), read_back(&FIVE), "encoding {}", kind.encoding);
            assert_eq!(chunk_sample_count(kind.encoding, &data), Some(5));
            assert!(read.iter().all(|sample| !sample.is_stale()));
            // Cut anywhere it is no chunk, and never a panic.
            for length in 0..data.len() {
                assert!(decode(kind.encoding, &data[..length]).is_err(), "{length} of {}", data.len());
            }
        }
    }
}

/// A stale marker has a time and no buckets; what was, ends there.
#[test]
fn stale_markers() {
    let stale = f64::from_bits(STALE);
    let mut samples = FIVE;
    samples[4] = Written { sum: stale, ..samples[3] };
    samples[4].at = 5000;
    for kind in &KINDS {
        let read = decode(kind.encoding, &encode(kind, 0, false, &samples)).unwrap();
        assert_eq!(bits_of(&read), read_back(&samples));
        assert!(read[4].is_stale() && read[4].count == 0.0 && !read[3].is_stale());
    }
    // As Prometheus begins a chunk with one: schema 0, no span, nothing observed.
    let mut bits = BitWriter::default();
    for (value, count) in [(1, 16), (0, 8), (0, 8), (0, 1), (0, 1), (0, 1)] {
        bits.push(value, count);
    }
    varbit(&mut bits, 77);
    bits.push(0, 2);
    bits.push(STALE, 64);
    let read = decode(2, &bits.into_bytes()).unwrap();
    assert_eq!((read.len(), read[0].timestamp_ms, read[0].is_stale()), (1, 77, true));
}

#[test]
fn what_no_writer_writes_is_refused() {
    for encoding in [0, 1, 4, 7, 0xff] {
        assert_eq!(decode(encoding, &[0, 0, 0]), Err(ChunkError::NoHistograms { encoding }));
    }
    for kind in &KINDS {
        assert_eq!(decode(kind.encoding, &[0, 0, 0]), Ok(vec![]));
        assert_eq!(decode(kind.encoding, &[0]), Err(ChunkError::CutOff));
        let mut samples = FIVE;
        samples[3].at = 2999;
        assert_eq!(decode(kind.encoding, &encode(kind, 0, false, &samples)), Err(ChunkError::Backwards));
        // What was there stays.
        let before = vec![HistogramSample { timestamp_ms: 1, count: 2.0, sum: 3.0 }];
        let mut read = before.clone();
        let data = encode(kind, 0, false, &FIVE);
        assert!(decode_histogram_chunk(kind.encoding, &data[..data.len() - 2], &mut read).is_err());
        assert_eq!(read, before);
        // Never a float chunk.
        let mut floats = Samples::default();
        let refused = decode_chunk(kind.encoding, &data, &mut floats);
        assert_eq!(refused, Err(ChunkError::NoFloats { encoding: kind.encoding }));
    }
    let with_layout = |layout: &dyn Fn(&mut BitWriter)| {
        let mut bits = BitWriter::default();
        bits.push(1, 16);
        bits.push(0, 16);
        layout(&mut bits);
        bits.push(0, 64);
        bits.into_bytes()
    };
    assert_eq!(decode(2, &with_layout(&|bits| varbit(bits, 53))), Err(ChunkError::Schema));
    // More spans, buckets and bounds than there is data for: nothing is reserved for them.
    let most = |bits: &mut BitWriter| {
        varbit(bits, 0);
        varbit_unsigned(bits, 1);
        varbit_unsigned(bits, u64::MAX);
        bits.push(0, 1 + 1);
    };
    for encoding in [2, 3] {
        assert_eq!(decode(encoding, &with_layout(&most)), Err(ChunkError::CutOff));
        let spans = |bits: &mut BitWriter| {
            varbit(bits, 0);
            varbit_unsigned(bits, u64::MAX);
        };
        assert_eq!(decode(encoding, &with_layout(&spans)), Err(ChunkError::CutOff));
    }
}

fn histogram_chunk(kind: &Kind, samples: &[Written]) -> TestChunk {
    TestChunk {
        encoding: kind.encoding,
        data: encode(kind, 0, false, samples),
        first_ms: samples.first().unwrap().at,
        last_ms: samples.last().unwrap().at,
        segment: 1,
    }
}

/// One series that was a float, then a histogram, then a float again.
#[test]
fn a_series_of_floats_and_histograms_gives_both() {
    let root = tempfile::tempdir().unwrap();
    let floats = [chunk(&[(0, 1.0), (500, 2.0)]), chunk(&[(100_000, 3.0), (101_000, 4.0)])];
    let mut block = TestBlock::new("01AAAAAAAAAAAAAAAAAAAAAAAA", (0, 200_000)).series(
        &[("__name__", "mixed")],
        vec![floats[0].clone(), histogram_chunk(&KINDS[0], &FIVE), floats[1].clone()],
    );
    block.tombstones = vec![(0, 400, 1500), (0, 100_500, 200_000)];
    block.write(root.path());
    // A later block repeats two of the histograms, one of them with another sum.
    let mut again = [FIVE[1], FIVE[2]];
    again[1].sum = 31.0;
    TestBlock::new("01BBBBBBBBBBBBBBBBBBBBBBBB", (0, 200_000))
        .series(&[("__name__", "mixed")], vec![histogram_chunk(&KINDS[3], &again)])
        .write(root.path());

    let database = Database::open(root.path()).unwrap();
    let series = database.select(&[], Window::ALL).unwrap();
    let mut stats = ReadStats::default();
    let mut buffer = ReadBuffer::default();
    database.read(&series[0], Window::ALL, &mut buffer, &mut stats).unwrap();
    assert_eq!(buffer.samples().timestamps_ms, [0, 100_000]);
    assert_eq!(buffer.samples().values, [1.0, 3.0]);
    assert!(
        stats
            .chunks_skipped
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .eq([("float histogram ST", 1), ("histogram", 1)])
    );
    assert_eq!((stats.samples_skipped["histogram"], stats.samples_skipped["float histogram ST"]), (5, 2));
    assert!(stats.problems.is_empty());

    let mut stats = ReadStats::default();
    let window = Window::new(0, 90_000);
    let read = database.read_histograms(&series[0], window, &mut stats).unwrap();
    // The first is deleted, the last outside the window; the later block's stay.
    let expected = [(2000, 25.0, 30.25), (3003, 25.0, 31.0), (4000, 4e6, -1e300)];
    assert!(read.iter().map(|sample| (sample.timestamp_ms, sample.count, sample.sum)).eq(expected));
    assert_eq!((stats.samples, stats.deleted, stats.chunks, stats.decoded), (3, 1, 2, 7));
    assert_eq!((stats.duplicates_dropped, stats.conflicts), (2, 1));
    assert!(stats.problems.is_empty() && stats.chunks_skipped.is_empty());

    let other = Database::open(root.path()).unwrap();
    assert!(other.read_histograms(&series[0], window, &mut stats).is_err());
}

/// A chunk that is damaged or not the one that the index means costs itself.
#[test]
fn damaged_histograms_are_named() {
    let root = tempfile::tempdir().unwrap();
    let good = histogram_chunk(&KINDS[0], &FIVE[..2]);
    let foreign = TestChunk { first_ms: 10_000, last_ms: 20_000, ..good.clone() };
    let mut cut = TestChunk { first_ms: 30_000, last_ms: 40_000, ..histogram_chunk(&KINDS[1], &FIVE) };
    cut.data.truncate(60);
    TestBlock::new("01AAAAAAAAAAAAAAAAAAAAAAAA", (0, 200_000))
        .series(&[("__name__", "mixed")], vec![good, foreign, cut])
        .write(root.path());
    let database = Database::open(root.path()).unwrap();
    let series = database.select(&[], Window::ALL).unwrap();
    let mut stats = ReadStats::default();
    let read = database.read_histograms(&series[0], Window::ALL, &mut stats).unwrap();
    assert_eq!((read.len(), stats.chunks_damaged, stats.problems.len()), (2, 2, 2));
    assert!(stats.problems[0].reason.contains("the index says 10000 to 20000 ms"));
    assert_eq!(stats.problems[1].reason, "the data ends before its last sample");
}

/// The program says what it skips: how much, in which encoding, and why.
#[test]
fn reports_name_what_is_skipped() {
    let bench = Bench::new();
    let floats: Vec<(i64, f64)> =
        (0_u32..20).map(|nth| (100_000 + 15_000 * i64::from(nth), f64::from(nth) * 600.0)).collect();
    let chunks = || vec![histogram_chunk(&KINDS[0], &FIVE), chunk(&floats)];
    TestBlock::new("01AAAAAAAAAAAAAAAAAAAAAAAA", (0, 400_000))
        .series(
            &[
                ("__name__", "node_rapl_package_joules_total"),
                ("index", "0"),
                ("instance", "n1:9100"),
                ("job", "node"),
            ],
            chunks(),
        )
        .series(&[("__name__", "up"), ("instance", "n1:9100"), ("job", "node")], chunks())
        .write(&bench.path("blocks"));
    let why = "in encoding histogram: native histograms, of which no meter is made";
    let inspected = bench.run(&["inspect", "--snapshot", "blocks"]);
    assert!(
        inspected.stdout.contains(&format!("left out   `up`: 1 chunk with 5 samples {why}\n")),
        "{}",
        inspected.stdout
    );
    let arguments =
        ["report", "--snapshot", "blocks", "--zone", "DE", "--no-charts", "--out", "out", "--strict"];
    let reported = bench.run(&arguments);
    assert_eq!(reported.code, 3, "{}", reported.stderr);
    // Of the meter and of `up`, from which scrapes are told.
    assert!(
        reported.stderr.contains(&format!("  left out   2 chunks with 10 samples {why}\n")),
        "{}",
        reported.stderr
    );
    let summary = bench.json("out/summary.json");
    assert_eq!(summary["samples"]["samples_skipped_by_encoding"], serde_json::json!({"histogram": 10}));
    // 600 J each of 15 s between the floats, and nothing from the histograms.
    assert_eq!(summary["energy_j"], 19.0 * 600.0);
}

proptest! {
    #[test]
    fn what_was_written_comes_back(
        kind in 0_usize..4,
        custom in any::<bool>(),
        first in -4_000_000_000_000_i64..4_000_000_000_000,
        steps in prop::collection::vec(
            (0_i64..100_000_000, 0_u64..1 << 52, 0_u64..1000, any::<u64>(), any::<[i32; 3]>()), 1..200),
    ) {
        let mut at = first;
        let samples: Vec<Written> = steps
            .iter()
            .map(|(step, count, in_zero, sum, buckets)| {
                at += step;
                let sum = if *sum == STALE { 0 } else { *sum };
                let buckets = buckets.map(i64::from);
                Written { start: at / 7, at, count: *count, in_zero: *in_zero, sum: f64::from_bits(sum), buckets }
            })
            .collect();
        let kind = &KINDS[kind];
        let read = decode(kind.encoding, &encode(kind, 2, custom, &samples)).unwrap();
        prop_assert_eq!(bits_of(&read), read_back(&samples));
    }

    /// No bytes make it panic, loop or take memory, and none make more samples
    /// than they claim.
    #[test]
    fn any_bytes_end_well(
        encoding in prop::sample::select(vec![2_u8, 3, 5, 6]),
        count in any::<u16>(),
        rest in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff), 0x80_u8..0xa0], 0..200),
    ) {
        let data: Vec<u8> = count.to_be_bytes().into_iter().chain(rest).collect();
        if let Ok(samples) = decode(encoding, &data) {
            prop_assert_eq!(samples.len() as u64, u64::from(chunk_sample_count(encoding, &data).unwrap()));
        }
    }
}
