//! Speed of reading the head of a data directory from its write-ahead log.
//!
//! Two hours of 1,000 series, scraped every 15 s from ten targets, as a server writes them: a record for
//! each scrape, Snappy. `open` finds the series, `read` the samples of all or of a tenth of them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking, and its functions are made by a macro"
)]

#[path = "../tests/wal_builder/mod.rs"]
#[allow(dead_code, reason = "made for the tests")]
mod wal_builder;

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wal_builder::{Compression, samples, segment, series};
use wattledger::time::Window;
use wattledger::tsdb::{Database, Matcher, ReadBuffer, ReadStats};

const TARGETS: u64 = 10;
const SERIES_PER_TARGET: u64 = 100;
const SCRAPES: i64 = 480;

fn write_log(root: &Path) {
    let mut records = Vec::new();
    for target in 0..TARGETS {
        for nth in 0..SERIES_PER_TARGET {
            let (instance, metric) = (format!("n{target}:9100"), format!("metric_{nth}"));
            let labels = [("__name__", metric.as_str()), ("instance", instance.as_str()), ("job", "node")];
            records.push(series(&[(target * SERIES_PER_TARGET + nth + 1, &labels)]));
        }
    }
    for scrape in 0..SCRAPES {
        for target in 0..TARGETS {
            let at_ms = 1_700_000_000_000 + scrape * 15_000 + target.cast_signed() * 37;
            let all: Vec<_> = (0..SERIES_PER_TARGET)
                .map(|nth| {
                    // A tenth of the series moves, as on real nodes.
                    let value =
                        if nth % 10 == 0 { (scrape * scrape % 977) as f64 * 0.25 } else { nth as f64 };
                    (target * SERIES_PER_TARGET + nth + 1, at_ms, value)
                })
                .collect();
            records.push(samples(&all));
        }
    }
    std::fs::create_dir(root.join("wal")).unwrap();
    std::fs::write(root.join("wal/00000000"), segment(Compression::Snappy, &records)).unwrap();
}

fn read(database: &Database, matchers: &[Matcher]) -> u64 {
    let mut buffer = ReadBuffer::default();
    let mut stats = ReadStats::default();
    for series in database.select(matchers, Window::ALL).unwrap() {
        database.read(&series, Window::ALL, &mut buffer, &mut stats).unwrap();
    }
    stats.samples
}

fn head(criterion: &mut Criterion) {
    let data = tempfile::tempdir().unwrap();
    write_log(data.path());
    let all = TARGETS * SERIES_PER_TARGET * SCRAPES.cast_unsigned();
    let tenth = [Matcher::regex("__name__", "metric_.").unwrap()];
    let database = Database::open(data.path()).unwrap();
    assert_eq!((read(&database, &[]), read(&database, &tenth)), (all, all / 10));

    let mut group = criterion.benchmark_group("head");
    group.throughput(Throughput::Elements(all)).sample_size(20);
    group.bench_function("open", |bencher| bencher.iter(|| black_box(Database::open(data.path()).unwrap())));
    group.bench_function("open and read all", |bencher| {
        bencher.iter(|| read(&Database::open(data.path()).unwrap(), &[]));
    });
    group.bench_function("open and read a tenth", |bencher| {
        bencher.iter(|| read(&Database::open(data.path()).unwrap(), &tenth));
    });
    group.finish();
}

criterion_group!(benches, head);
criterion_main!(benches);
