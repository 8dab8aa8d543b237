//! The recorded data directory of a Prometheus that was killed, against promtool
//! and against the snapshot that the same server made half a minute before.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::Bench;
use wattledger::time::Window;
use wattledger::tsdb::{Database, Labels, ReadBuffer, ReadStats, is_stale};

fn crashed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/crashed_prometheus").join(name)
}

/// Samples by series and time, values by their bits.
type All = BTreeMap<(String, i64), u64>;

/// Labels as promtool prints them; the recording has none that need escapes.
fn printed(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn read(path: &Path) -> (All, ReadStats) {
    let database = Database::open(path).unwrap();
    assert_eq!(database.left_out(), []);
    let mut all = All::new();
    let mut stats = ReadStats::default();
    let mut buffer = ReadBuffer::default();
    for series in database.select(&[], Window::ALL).unwrap() {
        database.read(&series, Window::ALL, &mut buffer, &mut stats).unwrap();
        let samples = buffer.samples();
        let labels = printed(&series.labels);
        for (at_ms, value) in samples.timestamps_ms.iter().zip(&samples.values) {
            assert_eq!(all.insert((labels.clone(), *at_ms), value.to_bits()), None);
        }
    }
    (all, stats)
}

#[test]
fn every_sample_is_the_one_that_promtool_dumps() {
    let (all, stats) = read(&crashed("data"));
    let dump = Command::new("gzip").arg("-dc").arg(crashed("promtool_dump.txt.gz")).output().unwrap().stdout;
    let mut lines = 0;
    for line in String::from_utf8(dump).unwrap().lines() {
        let (rest, at_ms) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        let ours = f64::from_bits(all[&(labels.to_owned(), at_ms.parse().unwrap())]);
        let theirs: f64 = value.parse().unwrap();
        // It prints every NaN alike.
        assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{line}");
        lines += 1;
    }
    assert_eq!((lines, all.len()), (5161, 5161));
    assert!(stats.problems.is_empty() && stats.conflicts == 0 && stats.stale_markers > 0);
    assert_eq!(stats.deleted + 204, 214, "ten seconds of a series of which promtool has 204");
}

/// What the snapshot has is in the data directory, too, with the same bits.
#[test]
fn the_snapshot_is_a_part_of_it() {
    let (snapshot, _) = read(&crashed("snapshot"));
    let (data, _) = read(&crashed("data"));
    let last_ms = snapshot.keys().map(|(_, at_ms)| *at_ms).max().unwrap();
    let before: All = data.into_iter().filter(|((_, at_ms), _)| *at_ms <= last_ms).collect();
    assert_eq!(snapshot, before);
    assert!(snapshot.values().any(|bits| is_stale(f64::from_bits(*bits))));
}

#[test]
fn both_give_the_same_report() {
    let bench = Bench::new();
    bench.write("wattledger.toml", "[[hardware]]\nnodes = \"vm\"\ncpu_tdp_w = 100\n");
    bench.write(
        "runs.csv",
        "run_id,start,end,nodes\none,2026-11-24T04:43:45Z,2026-11-24T04:44:30Z,vm\n\
         two,2026-11-24T04:44:20.5Z,2026-11-24T04:46:31Z,vm\n",
    );
    let report = |of: &str| {
        let from = crashed(of);
        let window = ["--from", "2026-11-24T04:43:40Z", "--to", "2026-11-24T04:46:35Z"];
        let arguments =
            ["report", "--snapshot", from.to_str().unwrap(), "--jobs", "runs.csv", "--zone", "DE"];
        let ended = bench.run(&[&arguments[..], &window, &["--no-charts", "--out", of]].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let file = |name: &str| std::fs::read_to_string(bench.path(of).join(name)).unwrap();
        (file("runs.csv"), file("hourly.csv"))
    };
    let from_snapshot = report("snapshot");
    assert_eq!(from_snapshot, report("data"));
    let runs = bench.table("data/runs.csv");
    assert!(runs.iter().all(|run| support::number(run, "energy_kwh") > 0.0));
}
