//! Reading blocks that real servers wrote, compared with what they themselves say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wattledger::time::Window;
use wattledger::tsdb::{Database, Labels, Matcher, ReadBuffer, ReadStats, Samples, is_stale};

/// The directory `name` of the recorded data, if it is there.
fn real(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/real").join(name);
    if !path.is_dir() {
        eprintln!("skipped: `{}` is not there", path.display());
        return None;
    }
    Some(path)
}

fn read_all(database: &Database, mut visit: impl FnMut(&Labels, &Samples)) -> ReadStats {
    let mut buffer = ReadBuffer::default();
    let mut stats = ReadStats::default();
    for series in database.select(&[], Window::ALL).unwrap() {
        database.read(&series, Window::ALL, &mut buffer, &mut stats).unwrap();
        visit(&series.labels, buffer.samples());
    }
    assert_eq!(database.index_problems(), []);
    stats
}

/// What the blocks' own `meta.json` count; the total is also what the
/// published description of the data says.
#[test]
fn a_server_with_seven_blocks() {
    let Some(path) = real("ai_co2_tsdb") else { return };
    let database = Database::open(&path).unwrap();
    let counts: Vec<u64> = database.blocks().iter().map(|block| block.stats.samples).collect();
    assert_eq!(counts, [198_541, 1_115_912, 2_099_520, 2_099_520, 2_099_520, 233_280, 130_680]);
    let in_head = database.heads().first().unwrap().series_count();
    assert_eq!(database.series_count(), 653 + 5 * 486 + 630 + in_head);
    let mut ascending = true;
    let stats =
        read_all(&database, |_, samples| ascending &= samples.timestamps_ms.is_sorted_by(|a, b| a < b));
    assert!(ascending);
    // Segments 50 and 51 hold what is in the last block as well; segment 53 is in
    // the head alone, and names few of its series because 52 is lost.
    assert_eq!(stats.samples - stats.decoded, 0);
    assert!(stats.samples > 7_976_973, "{}", stats.samples);
    assert!(stats.problems.is_empty() && stats.chunks_skipped.is_empty());
    assert_eq!((stats.duplicates_dropped, stats.deleted), (0, 0));
    let left_out: Vec<&str> = database.left_out().iter().map(|part| part.reason.as_str()).collect();
    assert_eq!(left_out[0], "a file is missing between 00000051 and 00000053: what was in it is lost");
    assert!(left_out[1].contains("the records that name these series are lost"));
    assert!(left_out[2].starts_with("ends in the middle of a record"));
    assert!(database.label_values("job").contains("prometheus"));
}

/// Native histograms stand beside floats; deletions hide some.
#[test]
fn snapshots_with_histograms_and_deletions() {
    let Some(path) = real("prometheus_live/snapshot_20261123T135522Z") else { return };
    let database = Database::open(&path).unwrap();
    assert_eq!((database.blocks().len(), database.left_out()), (6, &[][..]));
    let before = read_all(&database, |_, _| {});
    let written: u64 = database.blocks().iter().map(|block| block.stats.samples).sum();
    assert!(before.problems.is_empty() && before.stale_markers > 0);
    assert!(before.samples < written, "histogram samples are not floats");
    assert!(before.chunks_skipped.keys().eq(["float histogram", "histogram"]), "{:?}", before.chunks_skipped);
    let Some(path) = real("prometheus_live/snapshot_20261123T135540Z") else { return };
    let after = read_all(&Database::open(&path).unwrap(), |_, _| {});
    assert!(after.problems.is_empty() && after.chunks_deleted > 0);
}

/// Counts and sums of native histograms, against the answer that the server
/// itself gave to `query_range`: at each step the newest one.
#[test]
fn histograms_of_a_live_server() {
    let Some(path) = real("prometheus_live/snapshot_20261123T135522Z") else { return };
    let Some(answers) = real("prometheus_live/api") else { return };
    let answer = std::fs::read(answers.join("query_range_native_hist.json")).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let database = Database::open(&path).unwrap();
    let mut compared = 0;
    for result in answer["data"]["result"].as_array().unwrap() {
        let kind = result["metric"]["type"].as_str().unwrap();
        let wanted = [Matcher::equal("__name__", "lab_nh"), Matcher::equal("type", kind)];
        let series = database.select(&wanted, Window::ALL).unwrap();
        let mut stats = ReadStats::default();
        let read = database.read_histograms(&series[0], Window::ALL, &mut stats).unwrap();
        assert!(stats.problems.is_empty() && stats.chunks > 0);
        for step in result["histograms"].as_array().unwrap() {
            let at_ms = (step[0].as_f64().unwrap() * 1000.0).round() as i64;
            let newest = read.iter().rev().find(|sample| sample.timestamp_ms <= at_ms).unwrap();
            let number = |name: &str| step[1][name].as_str().unwrap().parse::<f64>().unwrap();
            assert_eq!((newest.count, newest.sum), (number("count"), number("sum")), "{kind} {at_ms}");
            compared += 1;
        }
    }
    assert_eq!(compared, 46);
}

/// A block of the first releases of Prometheus 2.0 in a folder named as blocks are.
fn block_of_index_version_1() -> Option<tempfile::TempDir> {
    let path = real("prometheus_fixtures/index_format_v1")?;
    let root = tempfile::tempdir().unwrap();
    copy(&path, &root.path().join("01DXXFZDYD1MQW6079WK0K6EDQ"));
    Some(root)
}

/// 102 series of one sample and one label, which is not `__name__`.
#[test]
fn an_index_of_version_1() {
    let Some(root) = block_of_index_version_1() else { return };
    let database = Database::open(root.path()).unwrap();
    assert_eq!(database.left_out(), []);
    let mut series = 0;
    let stats = read_all(&database, |labels, samples| {
        assert_eq!((labels.metric(), labels.iter().count(), samples.values.len()), ("", 1, 1));
        series += 1;
    });
    assert_eq!((series, stats.samples, database.series_count()), (102, 102, 102));
    assert!(stats.problems.is_empty() && database.index_problems().is_empty());
    assert_eq!(database.select(&[Matcher::equal("bar", "42")], Window::ALL).unwrap().len(), 1);
}

#[test]
#[ignore = "needs promtool: apt-get install prometheus"]
fn promtool_dumps_the_same_samples_of_an_index_of_version_1() {
    let Some(root) = block_of_index_version_1() else { return };
    let copy = copy_for_promtool(root.path(), None);
    assert_eq!(same_as_promtool(copy.path()), 102);
}

/// A `meta.json` of version 2 is refused by name, and the blocks beside it are read.
#[test]
fn a_meta_of_version_2_costs_its_block() {
    let Some(path) = real("prometheus_fixtures/repair_index_version") else { return };
    let Some(root) = block_of_index_version_1() else { return };
    copy(&path, root.path());
    let database = Database::open(root.path()).unwrap();
    assert_eq!(database.blocks().len(), 1);
    let left_out = &database.left_out()[0];
    assert!(left_out.name == "01BZJ9WJQPWHGNC2W4J9TA62KC" && left_out.is_problem);
    assert!(left_out.reason.contains("version 2 of `meta.json`"));
    assert_eq!(read_all(&database, |_, _| {}).samples, 102);
}

/// Two of the three blocks cover the same hours, 10 of the series twice:
/// promtool dumps 30,000 samples of the 35,000 that are stored.
#[test]
fn samples_in_two_blocks_count_once() {
    let Some(path) = real("prometheus_fixtures/tsdb2columnar") else { return };
    let stats = read_all(&Database::open(&path).unwrap(), |_, _| {});
    assert_eq!((stats.decoded, stats.samples), (35_000, 30_000));
    assert_eq!((stats.duplicates_dropped, stats.conflicts), (5000, 0));
}

/// Copies a directory; what was read-only can be written in the copy.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// A copy of the blocks in `from` that promtool takes: writable, with an empty `wal`.
fn copy_for_promtool(from: &Path, only: Option<&str>) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    std::fs::create_dir(to.path().join("wal")).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let wanted = only.map_or(name.len() == 26, |only| name == only);
        if wanted && entry.path().join("meta.json").exists() {
            copy(&entry.path(), &to.path().join(name));
        }
    }
    to
}

/// A label set as promtool prints it: Go's `%q` for the values.
fn printed(labels: &Labels) -> String {
    let mut text = String::from("{");
    for (nth, (name, value)) in labels.iter().enumerate() {
        write!(text, "{}{name}=\"", if nth == 0 { "" } else { ", " }).unwrap();
        for character in value.chars() {
            match character {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text + "}"
}

/// Compares every sample that `promtool tsdb dump` prints for the directory
/// with every sample that is read from it; returns how many there are.
fn same_as_promtool(root: &Path) -> u64 {
    let database = Database::open(root).unwrap();
    assert!(database.left_out().iter().all(|part| !part.is_problem), "{:?}", database.left_out());
    let mut series: HashMap<String, Samples> = HashMap::new();
    let stats = read_all(&database, |labels, samples| {
        assert!(series.insert(printed(labels), samples.clone()).is_none());
    });
    assert_eq!((&stats.problems[..], stats.conflicts), (&[][..], 0));

    let mut promtool = Command::new("promtool")
        .args(["tsdb", "dump"])
        .arg(root)
        .stdout(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut lines = 0_u64;
    let mut positions: HashMap<String, usize> = HashMap::new();
    let mut current = (String::new(), 0_usize);
    for line in BufReader::new(promtool.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let mut fields = line.rsplitn(3, ' ');
        let at: i64 = fields.next().unwrap().parse().unwrap();
        let value: f64 = fields.next().unwrap().parse().unwrap();
        let labels = fields.next().unwrap();
        if labels != current.0 {
            positions.insert(std::mem::take(&mut current.0), current.1);
            current = (labels.to_owned(), positions.remove(labels).unwrap_or_default());
        }
        let samples = series.get(labels).unwrap_or_else(|| panic!("promtool alone has {labels}"));
        let ours = (samples.timestamps_ms[current.1], samples.values[current.1]);
        // It prints every NaN alike, stale markers too.
        let same_value = ours.1.to_bits() == value.to_bits() || ours.1.is_nan() && value.is_nan();
        assert!(ours.0 == at && same_value, "{line}: read {ours:?}");
        current.1 += 1;
        lines += 1;
    }
    assert!(promtool.wait().unwrap().success());
    assert_eq!(lines, stats.samples, "as many as were read");
    lines
}

#[test]
#[ignore = "needs promtool: apt-get install prometheus"]
fn promtool_dumps_the_same_samples_of_compacted_blocks() {
    let Some(path) = real("ai_co2_tsdb") else { return };
    let copy = copy_for_promtool(&path, None);
    assert_eq!(same_as_promtool(copy.path()), 7_976_973);
}

#[test]
#[ignore = "needs promtool: apt-get install prometheus"]
fn promtool_dumps_the_same_samples_of_snapshots() {
    for name in ["snapshot_20261123T135522Z", "snapshot_20261123T135540Z"] {
        let Some(path) = real(&format!("prometheus_live/{name}")) else { return };
        let copy = copy_for_promtool(&path, None);
        assert!(same_as_promtool(copy.path()) > 100_000);
    }
    for name in ["data_after_kill9", "data_ooo_wbl_kill9"] {
        let Some(path) = real(&format!("prometheus_live/{name}")) else { return };
        let copy = copy_for_promtool(&path, None);
        assert!(same_as_promtool(copy.path()) > 100_000);
    }
}

/// The segments of a log with a hole in a data directory of their own.
fn log_with(segments: &[&str]) -> Option<tempfile::TempDir> {
    let from = real("prometheus_fixtures/repair_unsequential_wals")?;
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir(data.path().join("wal")).unwrap();
    for segment in segments {
        std::fs::write(data.path().join("wal").join(segment), std::fs::read(from.join(segment)).unwrap())
            .unwrap();
    }
    Some(data)
}

/// A server refuses such a log; here the rest of it is read. 36,065 samples
/// stand in the first segment (counted by another reader).
#[test]
fn a_log_with_a_hole() {
    let Some(data) = log_with(&["00000000", "00000001", "00000003", "00000004"]) else { return };
    let database = Database::open(data.path()).unwrap();
    let missing = "a file is missing between 00000001 and 00000003: what was in it is lost";
    assert!(database.left_out().iter().any(|left| left.reason == missing && left.is_problem));
    let whole = read_all(&database, |_, _| {});
    let first = read_all(&Database::open(log_with(&["00000000"]).unwrap().path()).unwrap(), |_, _| {});
    assert_eq!(first.samples, 36_065);
    assert!(whole.samples > first.samples && whole.problems.is_empty(), "{whole:?}");
}

#[test]
#[ignore = "needs promtool: apt-get install prometheus"]
fn promtool_dumps_the_same_samples_of_a_log_alone() {
    let Some(data) = log_with(&["00000000", "00000001"]) else { return };
    assert!(same_as_promtool(data.path()) > 36_065);
}

/// Blocks, head chunks, WAL and WBL as `kill -9` left them: the counts are
/// those of promtool 2.42.
#[test]
#[ignore = "needs promtool: apt-get install prometheus"]
fn promtool_dumps_the_same_samples_of_data_directories() {
    for (name, samples) in [("data_after_kill9", 195_989), ("data_ooo_wbl_kill9", 196_139)] {
        let Some(path) = real(&format!("prometheus_live/{name}")) else { return };
        let whole = tempfile::tempdir().unwrap();
        copy(&path, whole.path());
        assert_eq!(same_as_promtool(whole.path()), samples, "{name}");
    }
}

#[test]
#[ignore = "needs promtool: apt-get install prometheus"]
fn promtool_dumps_the_same_samples_of_overlapping_blocks() {
    let Some(path) = real("prometheus_fixtures/tsdb2columnar") else { return };
    let blocks = [
        ("01JNEESHZDHVFFMBMDGE7RJPQK", 5000),
        ("01JNJW5SEDF7KY5MSWGZWEN46E", 5000),
        ("01JNKD9FDDMFY4Y19GSP8ZKT94", 25_000),
    ];
    for (block, samples) in blocks {
        let copy = copy_for_promtool(&path, Some(block));
        assert_eq!(same_as_promtool(copy.path()), samples, "{block}");
    }
    let copy = copy_for_promtool(&path, None);
    assert_eq!(same_as_promtool(copy.path()), 30_000);
}

/// A stale marker is told from the NaN beside it.
#[test]
fn specials_of_a_live_server() {
    let Some(path) = real("prometheus_live/snapshot_20261123T135522Z") else { return };
    let database = Database::open(&path).unwrap();
    let mut specials = Vec::new();
    read_all(&database, |labels, samples| {
        if labels.metric() == "lab_specials" {
            specials.extend(samples.values.iter().copied());
        }
    });
    assert!(specials.iter().any(|value| is_stale(*value)));
    assert!(specials.iter().any(|value| value.is_nan() && !is_stale(*value)));
    for wanted in [f64::INFINITY, f64::NEG_INFINITY, -0.0] {
        assert!(specials.iter().any(|value| value.to_bits() == wanted.to_bits()), "{wanted}");
    }
}
