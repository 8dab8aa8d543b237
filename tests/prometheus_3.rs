//! Data directories that Prometheus 3.13 wrote with XOR2 chunks, against every
//! sample as Prometheus' own library reads it back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use support::real;
use wattledger::time::Window;
use wattledger::tsdb::{Database, HistogramSample, Labels, ReadBuffer, ReadStats};

/// Series, timestamp, bits of the value; `None` for a histogram.
type Sample = (String, i64, Option<u64>);

/// The listing's form: labels with `__name__` among them.
fn listed(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// `labels timestamp_ms value_bits_hex`, or the word `histogram` for the bits.
fn expected(listing: &Path) -> BTreeSet<Sample> {
    let text = Command::new("gzip").arg("-dc").arg(listing).output().unwrap().stdout;
    let sample = |line: &str| {
        let (rest, value) = line.rsplit_once(' ').unwrap();
        let (labels, at_ms) = rest.rsplit_once(' ').unwrap();
        let bits = (value != "histogram").then(|| u64::from_str_radix(value, 16).unwrap());
        (labels.to_owned(), at_ms.parse().unwrap(), bits)
    };
    String::from_utf8(text).unwrap().lines().map(sample).collect()
}

/// All samples that are read, and what reading them counted.
fn read_all(database: &Database) -> (BTreeSet<Sample>, ReadStats) {
    let mut stats = ReadStats::default();
    let mut buffer = ReadBuffer::default();
    let mut all = BTreeSet::new();
    for series in database.select(&[], Window::ALL).unwrap() {
        let labels = listed(&series.labels);
        database.read(&series, Window::ALL, &mut buffer, &mut stats).unwrap();
        let samples = buffer.samples();
        for (at_ms, value) in samples.timestamps_ms.iter().zip(&samples.values) {
            assert!(all.insert((labels.clone(), *at_ms, Some(value.to_bits()))), "{labels} {at_ms} twice");
        }
        let histograms = database.read_histograms(&series, Window::ALL, &mut stats).unwrap();
        for HistogramSample { timestamp_ms, .. } in histograms {
            assert!(all.insert((labels.clone(), timestamp_ms, None)), "{labels} {timestamp_ms} twice");
        }
    }
    (all, stats)
}

/// Series whose samples came out of order: what is not in the blocks yet stands
/// in the write-ahead log for such samples.
const LATE: &str = "lab_late_watts";

/// Holds a directory, or a block, to a listing of the same time and longer:
/// `is_whole` if there is nothing of the listing that it should not have.
fn compare(path: &Path, listing: &Path, is_whole: bool) {
    let expected = expected(listing);
    let database = Database::open(path).unwrap();
    assert!(database.left_out().iter().all(|left| !left.is_problem), "{:?}", database.left_out());
    let (read, stats) = read_all(&database);
    assert!(stats.problems.is_empty(), "{:?}", stats.problems);
    let invented: Vec<&Sample> = read.difference(&expected).collect();
    assert_eq!(invented, [] as [&Sample; 0]);
    // Samples that came late may stand in the log alone.
    let window = database.time_range().unwrap();
    let must_be_there =
        |(labels, at_ms, _): &Sample| is_whole || *at_ms < window.end_ms && !labels.contains(LATE);
    let missing: Vec<&Sample> = expected.difference(&read).filter(|sample| must_be_there(sample)).collect();
    assert_eq!(missing, [] as [&Sample; 0]);

    // Deletions, samples that came late, several segments in each block.
    assert!(stats.deleted > 0);
    assert!(read.iter().any(|(labels, ..)| labels.contains(LATE)));
    assert!(database.blocks().iter().all(|block| block.path.join("chunks/000002").exists()));
    assert_eq!(stats.samples, read.len() as u64);
    let histograms = read.iter().filter(|(.., bits)| bits.is_none()).count() as u64;
    assert!(histograms > 0);
    if !is_whole {
        // As `meta.json` counts, apart from what was deleted; what is no float was
        // counted as such before it was read as a histogram.
        let written: u64 = database.blocks().iter().map(|block| block.stats.samples).sum();
        assert_eq!(stats.samples + stats.deleted, written);
        assert_eq!(stats.samples_skipped.values().sum::<u64>(), histograms);
    }
}

#[test]
fn a_block_of_the_fixtures() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prometheus_3");
    let name = "01M84DFD0PFBVDQ5T86TNZNBVC";
    compare(&fixtures.join(name), &fixtures.join(format!("{name}.expected.txt.gz")), false);
}

#[test]
fn directories_as_a_crash_left_them() {
    for name in ["xor2_zstd", "xor2_st_snappy"] {
        let Some(path) = real(&format!("prometheus_3/{name}")) else { return };
        compare(&path, &real(&format!("prometheus_3/{name}.expected.txt.gz")).unwrap(), true);
    }
}
