//! How long a sample takes, by what the samples look like: XOR and XOR2
//! decoding alone, and reading a series from a block with everything that belongs to it.
//!
//! A benchmark's name ends in the encoded bytes per sample; its throughput is
//! in samples.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "not production code")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wattledger::time::Window;
use wattledger::tsdb::writer::{xor, xor2};
use wattledger::tsdb::{Database, ReadBuffer, ReadStats, Samples, decode_chunk};

#[path = "../tests/block_builder/mod.rs"]
mod block_builder;

use block_builder::{TestBlock, chunk};

const SAMPLES_PER_CHUNK: usize = 120;
const CHUNKS: usize = 1000;
const INTERVAL_MS: i64 = 15_000;
const START_MS: i64 = 1_765_000_000_000;

type Pattern = Vec<(i64, f64)>;

/// Samples every 15 s with up to `jitter_ms` to either side; values by position.
fn make(jitter_ms: i64, mut value: impl FnMut(usize, &mut ChaCha8Rng) -> f64) -> Pattern {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    (0..CHUNKS * SAMPLES_PER_CHUNK)
        .zip(0_i64..)
        .map(|(nth, step)| {
            let jitter = random.random_range(-jitter_ms..=jitter_ms);
            (START_MS + INTERVAL_MS * step + jitter, value(nth, &mut random))
        })
        .collect()
}

fn patterns() -> [(&'static str, Pattern); 6] {
    let mut steps = 1.0e9_f64;
    let mut joules = 5.0e6_f64;
    [
        ("constant", make(0, |_, _| 200.0)),
        ("regular, ramp", make(0, |nth, _| nth as f64)),
        (
            "regular, random steps",
            make(0, |_, random| {
                steps += f64::from(random.random_range(0..100_000_u32));
                steps
            }),
        ),
        ("50 ms jitter, random", make(50, |_, random| random.random_range(50.0..700.0))),
        ("1 ms jitter, whole watts", make(1, |_, random| f64::from(random.random_range(190..230_u32)))),
        (
            "1 ms jitter, joule counter",
            make(1, |_, random| {
                joules += random.random_range(1400.0..3400.0);
                (joules * 1e6).round() / 1e6
            }),
        ),
    ]
}

/// By name: the encoding's number, and the encoder of a chunk.
type Encoder = fn(&[i64], &[f64]) -> Vec<u8>;
const ENCODINGS: [(&str, u8, Encoder); 3] =
    [("xor", 1, xor::encode), ("xor2", 4, xor2::encode), ("xor2 with start timestamps", 4, with_starts)];

/// A counter that begins anew at every 40th sample.
fn with_starts(timestamps_ms: &[i64], values: &[f64]) -> Vec<u8> {
    let starts: Vec<i64> = timestamps_ms.chunks(40).flat_map(|run| vec![run[0] - 1; run.len()]).collect();
    xor2::encode_with_starts(&starts, timestamps_ms, values)
}

fn decode(criterion: &mut Criterion) {
    for (encoding, number, encode) in ENCODINGS {
        let mut group = criterion.benchmark_group(encoding);
        for (name, samples) in patterns() {
            let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
            let pieces = times.chunks(SAMPLES_PER_CHUNK).zip(values.chunks(SAMPLES_PER_CHUNK));
            let chunks: Vec<Vec<u8>> = pieces.map(|(times, values)| encode(times, values)).collect();
            let bytes: usize = chunks.iter().map(Vec::len).sum();
            group.throughput(Throughput::Elements(samples.len() as u64));
            let per_sample = bytes as f64 / samples.len() as f64;
            group.bench_function(format!("{name}, {per_sample:.2} bytes"), |bencher| {
                let mut decoded = Samples::default();
                bencher.iter(|| {
                    decoded.timestamps_ms.clear();
                    decoded.values.clear();
                    for data in &chunks {
                        decode_chunk(number, black_box(data), &mut decoded).unwrap();
                    }
                    assert_eq!(decoded.values.len(), samples.len());
                });
            });
        }
    }
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for (name, samples) in patterns() {
        let root = tempfile::tempdir().unwrap();
        let end_ms = samples.last().unwrap().0 + 1;
        TestBlock::new("01AAAAAAAAAAAAAAAAAAAAAAAA", (START_MS - INTERVAL_MS, end_ms))
            .series(&[("__name__", "power")], samples.chunks(SAMPLES_PER_CHUNK).map(chunk).collect())
            .write(root.path());
        let database = Database::open(root.path()).unwrap();
        let series = database.select(&[], Window::ALL).unwrap();
        group.throughput(Throughput::Elements(samples.len() as u64));
        group.bench_function(name, |bencher| {
            let mut buffer = ReadBuffer::default();
            bencher.iter(|| {
                let mut stats = ReadStats::default();
                database.read(&series[0], Window::ALL, &mut buffer, &mut stats).unwrap();
                assert_eq!(stats.samples, samples.len() as u64);
            });
        });
    }
}

criterion_group!(benches, decode, read);
criterion_main!(benches);
