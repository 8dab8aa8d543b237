//! The ledger on disk: the same bytes however it came about, the same figures as straight from the samples, and what happens when it is
//! killed, crowded, damaged or fed late.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a test may"
)]

#[path = "support/truth.rs"]
mod truth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use truth::{Cluster, table};
use wattledger::simulate::Scenario;

/// A small cluster of five days, a block a day.
fn cluster(name: &str) -> Cluster {
    let scenario = Scenario {
        nodes: 2,
        gpus: 2,
        days: 5.0,
        scrape_interval_s: 120,
        runs: Some(60),
        ..Scenario::default()
    };
    Cluster::new(name, &scenario)
}

/// A directory for each block of the cluster's snapshot.
fn pieces(cluster: &Cluster) -> Vec<PathBuf> {
    let mut blocks: Vec<PathBuf> = std::fs::read_dir(cluster.directory.join("snapshot"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("meta.json").is_file())
        .collect();
    blocks.sort();
    let mut found = Vec::new();
    for (number, block) in blocks.iter().enumerate() {
        let piece = cluster.directory.join("pieces").join(number.to_string());
        copy(block, &piece.join(block.file_name().unwrap()));
        found.push(piece);
    }
    assert!(found.len() >= 4, "{found:?}");
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The job log in `parts` files, by the order of its lines.
fn logs(cluster: &Cluster, parts: usize) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(cluster.directory.join("sacct.txt")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    let each = rows.len().div_ceil(parts);
    rows.chunks(each)
        .enumerate()
        .map(|(number, rows)| {
            let path = cluster.directory.join(format!("sacct-{number}.txt"));
            std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
            path
        })
        .collect()
}

fn command(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wattledger"));
    command.args(arguments).current_dir(&cluster.directory).stdin(Stdio::null());
    command
}

/// Runs the program in the cluster's directory; it must succeed.
fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    let output = command(cluster, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

const SETTINGS: [&str; 4] = ["--config", "wattledger.toml", "--zone", "DE"];

fn backfill(cluster: &Cluster, ledger: &str, snapshots: &[&Path], logs: &[&Path]) -> Output {
    run(cluster, &backfill_arguments(ledger, snapshots, logs))
}

fn backfill_arguments<'a>(ledger: &'a str, snapshots: &[&'a Path], logs: &[&'a Path]) -> Vec<&'a str> {
    let mut arguments = vec!["backfill", "--ledger", ledger];
    for snapshot in snapshots {
        arguments.extend(["--snapshot", snapshot.to_str().unwrap()]);
    }
    for log in logs {
        arguments.extend(["--jobs", log.to_str().unwrap()]);
    }
    arguments.extend(SETTINGS);
    arguments
}

/// Every file of a directory by its place, with its bytes.
fn bytes(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, at: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path.strip_prefix(root).unwrap().to_path_buf(), bytes);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(directory, directory, &mut found);
    found
}

#[track_caller]
fn assert_same(one: &Path, other: &Path, what: &str) {
    let (one, other) = (bytes(one), bytes(other));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other), "{what}");
    let differing: Vec<&PathBuf> = one.keys().filter(|name| one[*name] != other[*name]).collect();
    assert!(differing.is_empty(), "{what}: {differing:?}");
}

/// The ledger of everything at once.
fn in_one_go(cluster: &Cluster, pieces: &[PathBuf], logs: &[PathBuf]) -> PathBuf {
    let (pieces, logs): (Vec<&Path>, Vec<&Path>) =
        (pieces.iter().map(PathBuf::as_path).collect(), logs.iter().map(PathBuf::as_path).collect());
    backfill(cluster, "whole", &pieces, &logs);
    cluster.directory.join("whole")
}

#[test]
fn pieces_in_any_order_with_repeats_end_in_the_same_bytes() {
    let cluster = cluster("ledger_pieces");
    let (pieces, logs) = (pieces(&cluster), logs(&cluster, 3));
    let whole = in_one_go(&cluster, &pieces, &logs);
    for seed in 0..4 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // Every piece and every log at least once, some twice, in any order and any company.
        let mut steps: Vec<(Option<usize>, Option<usize>)> =
            (0..pieces.len()).map(|piece| (Some(piece), None)).collect();
        steps.extend((0..logs.len()).map(|log| (None, Some(log))));
        for _ in 0..4 {
            steps
                .push((Some(random.random_range(0..pieces.len())), Some(random.random_range(0..logs.len()))));
        }
        for at in (1..steps.len()).rev() {
            steps.swap(at, random.random_range(0..=at));
        }
        let name = format!("pieces-ledger-{seed}");
        for (piece, log) in &steps {
            let pieces: Vec<&Path> = piece.iter().map(|piece| pieces[*piece].as_path()).collect();
            let logs: Vec<&Path> = log.iter().map(|log| logs[*log].as_path()).collect();
            backfill(&cluster, &name, &pieces, &logs);
        }
        assert_same(&whole, &cluster.directory.join(&name), &format!("seed {seed}, {steps:?}"));
    }
    let before = bytes(&whole);
    let done = backfill(&cluster, "whole", &[], &[]);
    assert!(String::from_utf8_lossy(&done.stderr).contains("5 days: 5 kept"), "{done:?}");
    assert_eq!(before, bytes(&whole));
}

/// Kills backfills at random moments until one gets through; the bytes are those of one that nobody disturbed.
fn kill(cluster: &Cluster, kills: usize, seed: u64) {
    let (pieces, logs) = (pieces(cluster), logs(cluster, 2));
    let started = Instant::now();
    let whole = in_one_go(cluster, &pieces, &logs);
    let undisturbed = started.elapsed();
    let snapshots: Vec<&Path> = pieces.iter().map(PathBuf::as_path).collect();
    let jobs: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut killed, mut ledgers) = (0, 0);
    while killed < kills {
        ledgers += 1;
        let name = format!("killed-{ledgers}");
        loop {
            let mut child = command(cluster, &backfill_arguments(&name, &snapshots, &jobs))
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(undisturbed.mul_f64(random.random_range(0.0..0.7)));
            if killed < kills && child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                killed += 1;
            }
            let ended = child.wait().unwrap();
            let ledger = cluster.directory.join(&name);
            if ledger.join("ledger.json").is_file() {
                // It opens, and every day in it is whole.
                let verified = command(cluster, &["verify", "--ledger", &name]).output().unwrap();
                let text = String::from_utf8_lossy(&verified.stdout).into_owned();
                let wrong: Vec<&str> = text
                    .lines()
                    .filter(|line| line.starts_with("wrong") && !line.contains("runs.parquet"))
                    .collect();
                assert!(wrong.is_empty(), "{text}");
            }
            if ended.success() {
                break;
            }
        }
        let ledger = cluster.directory.join(&name);
        assert_same(&whole, &ledger, &format!("after {killed} kills"));
        std::fs::remove_dir_all(ledger).unwrap();
    }
    eprintln!("killed {killed} times over {ledgers} ledgers; undisturbed it takes {undisturbed:?}");
}

#[cfg(unix)]
#[test]
fn killed_at_random_moments_it_ends_in_the_same_bytes() {
    kill(&cluster("ledger_killed"), 12, 1);
}

#[cfg(unix)]
#[test]
#[ignore = "takes minutes: 200 kills"]
fn killed_at_two_hundred_random_moments_it_ends_in_the_same_bytes() {
    kill(&cluster("ledger_killed_often"), 200, 2);
}

/// What cannot be written ends the command with a message, and the next one goes on from there.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_whole_days_only() {
    let cluster = cluster("ledger_full");
    let (pieces, logs) = (pieces(&cluster), logs(&cluster, 1));
    let whole = in_one_go(&cluster, &pieces, &logs);
    let snapshots: Vec<&Path> = pieces.iter().map(PathBuf::as_path).collect();
    let jobs: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
    let sizes: Vec<u64> = bytes(&whole).values().map(|bytes| bytes.len() as u64).collect();
    let largest = sizes.iter().max().unwrap();
    for kilobytes in [1, 4, largest / 1024] {
        let name = format!("full-{kilobytes}");
        let arguments = backfill_arguments(&name, &snapshots, &jobs);
        // Files longer than this cannot be written; the signal that says so is turned into an error.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kilobytes * 2);
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_wattledger")])
            .args(&arguments)
            .current_dir(&cluster.directory)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("error: cannot write `") && !said.contains("panicked"), "{said}");
        run(&cluster, &arguments);
        assert_same(&whole, &cluster.directory.join(&name), &name);
    }
}

#[test]
fn two_writers_cannot_both_win() {
    let cluster = cluster("ledger_locked");
    let (pieces, logs) = (pieces(&cluster), logs(&cluster, 1));
    let whole = in_one_go(&cluster, &pieces, &logs);
    let before = bytes(&whole);
    let held = std::fs::File::options().write(true).open(whole.join("lock")).unwrap();
    held.lock().unwrap();
    let output = command(&cluster, &backfill_arguments("whole", &[], &[])).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("another process is at work on the ledger `whole`") && said.contains("hint: "),
        "{said}"
    );
    // Readers are not kept out.
    run(&cluster, &["verify", "--ledger", "whole"]);
    drop(held);
    backfill(&cluster, "whole", &[], &[]);
    assert_eq!(before, bytes(&whole));
    // Started together, one of them does the work and the other does none or all of it again.
    let snapshots: Vec<&Path> = pieces.iter().map(PathBuf::as_path).collect();
    let jobs: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
    let arguments = backfill_arguments("both", &snapshots, &jobs);
    let mut both: Vec<_> =
        (0..2).map(|_| command(&cluster, &arguments).stderr(Stdio::null()).spawn().unwrap()).collect();
    let codes: Vec<Option<i32>> = both.iter_mut().map(|child| child.wait().unwrap().code()).collect();
    assert!(codes.contains(&Some(0)) && codes.iter().all(|code| matches!(code, Some(0 | 1))), "{codes:?}");
    assert_same(&whole, &cluster.directory.join("both"), "two at once");
}

/// Days are made side by side; one of them has damaged chunks.
#[test]
fn days_made_alone_are_those_made_together() {
    let cluster = cluster("ledger_alone");
    let (pieces, logs) = (pieces(&cluster), logs(&cluster, 1));
    let segment =
        std::fs::read_dir(&pieces[2]).unwrap().next().unwrap().unwrap().path().join("chunks/000001");
    let mut bytes = std::fs::read(&segment).unwrap();
    let step = bytes.len() / 40;
    (1..40).for_each(|nth| bytes[nth * step] ^= 0x10);
    std::fs::write(&segment, bytes).unwrap();
    let whole = in_one_go(&cluster, &pieces, &logs);
    let snapshots: Vec<&Path> = pieces.iter().map(PathBuf::as_path).collect();
    let jobs: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
    let mut days: Vec<String> = std::fs::read_dir(whole.join("entries"))
        .unwrap()
        .map(|day| day.unwrap().file_name().to_str().unwrap().rsplit('=').next().unwrap().to_owned())
        .collect();
    days.sort();
    assert_eq!(days.len(), 5, "{days:?}");
    let mut damaged = 0;
    for pair in days.windows(2).rev() {
        let mut arguments = backfill_arguments("alone", &snapshots, &jobs);
        arguments.extend(["--from", pair[0].as_str(), "--to", pair[1].as_str()]);
        damaged +=
            usize::from(String::from_utf8_lossy(&run(&cluster, &arguments).stderr).contains("at byte"));
    }
    // The day itself and those beside it, but for the last, which is made now.
    assert!(damaged >= 2, "{damaged}");
    backfill(&cluster, "alone", &snapshots, &jobs);
    assert_same(&whole, &cluster.directory.join("alone"), "alone");
}

#[test]
fn parts_made_at_the_same_time_end_in_the_same_bytes() {
    let cluster = cluster("ledger_shards");
    let (pieces, logs) = (pieces(&cluster), logs(&cluster, 2));
    let whole = in_one_go(&cluster, &pieces, &logs);
    let snapshots: Vec<&Path> = pieces.iter().map(PathBuf::as_path).collect();
    let jobs: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
    let arguments = backfill_arguments("parts", &snapshots, &jobs);
    let part = |shard: &str| {
        let mut part = command(&cluster, &arguments);
        part.args(["--shard", shard]).stderr(Stdio::piped());
        part
    };
    // The five days in three parts, and one of them twice.
    let parts: Vec<_> =
        ["1/3", "2/3", "3/3", "2/3"].iter().map(|shard| part(shard).spawn().unwrap()).collect();
    for child in parts {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_same(&whole, &cluster.directory.join("parts"), "in parts");
    // While a part is at work nobody has all of it, and the other way round.
    let lock = |name: &str| {
        std::fs::File::options().write(true).open(cluster.directory.join("parts").join(name)).unwrap()
    };
    let held = lock("lock");
    held.lock_shared().unwrap();
    let said = command(&cluster, &arguments).output().unwrap();
    assert_eq!(said.status.code(), Some(1), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(part("1/3").output().unwrap().status.success());
    held.unlock().unwrap();
    held.lock().unwrap();
    assert_eq!(part("1/3").output().unwrap().status.code(), Some(1));
    drop(held);
    let said = run(&cluster, &arguments);
    assert!(String::from_utf8_lossy(&said.stderr).contains("5 days: 5 kept"), "{said:?}");
    let wrong = part("4/3").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("the third of eight is `3/8`"), "{wrong:?}");
}

/// Rows of two tables by all their texts, with their numbers.
fn assert_equal_tables(one: &Path, other: &Path) {
    assert_equal_but(one, other, &[]);
}

/// The same, but for some columns.
fn assert_equal_but(one: &Path, other: &Path, skipped: &[&str]) {
    let (one_rows, other_rows) = (table(one), table(other));
    assert_eq!(one_rows.len(), other_rows.len(), "{}", one.display());
    for (number, (left, right)) in one_rows.iter().zip(&other_rows).enumerate() {
        for (column, text) in left.columns() {
            let with = right.text(column);
            if text == with || skipped.contains(&column.as_str()) {
                continue;
            }
            let numbers = text.parse::<f64>().ok().zip(with.parse::<f64>().ok());
            let is_near = numbers.is_some_and(|(left, right)| {
                (left - right).abs() <= 1e-9 * left.abs().max(right.abs()).max(1e-6)
            });
            assert!(is_near, "{} row {number} {column}: `{text}` and `{with}`", one.display());
        }
    }
}

const TABLES: [&str; 14] = [
    "reserved.csv",
    "by_partition.csv",
    "by_state.csv",
    "by_site.csv",
    "by_day.csv",
    "runs.csv",
    "hourly.csv",
    "by_user.csv",
    "by_account.csv",
    "by_node.csv",
    "by_stage.csv",
    "meters.csv",
    "embodied.csv",
    "statement.csv",
];

/// A period from a ledger in `zone` and straight from the samples, table by table.
fn assert_equal_reports(cluster: &Cluster, zone: &str, period: &[&str]) {
    let (pieces, ledger) = (pieces(cluster), format!("ledger-{}", zone.replace('/', "-")));
    let snapshots: Vec<&Path> = pieces.iter().map(PathBuf::as_path).collect();
    let log = cluster.directory.join("sacct.txt");
    let mut arguments = backfill_arguments(&ledger, &snapshots, &[&log]);
    arguments.extend(["--time-zone", zone]);
    run(cluster, &arguments);
    let report = |name: &str, from: &[&str]| {
        let mut arguments = vec!["report", "--no-charts", "--config", "wattledger.toml", "--out", name];
        arguments.extend(["--time-zone", zone]);
        arguments.extend(from);
        arguments.extend(period);
        run(cluster, &arguments);
        cluster.directory.join(name)
    };
    let from_ledger = report("from-ledger", &["--ledger", &ledger]);
    let straight = report("straight", &["--snapshot", "snapshot", "--jobs", "sacct.txt", "--zone", "DE"]);
    for name in TABLES {
        // On how many days a replica was the best is counted by days of UTC, or by those of the ledger.
        let skipped: &[&str] = if zone == "UTC" { &[] } else { &["status"] };
        assert_equal_but(&from_ledger.join(name), &straight.join(name), skipped);
    }
    let summary = |directory: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(directory.join("summary.json")).unwrap()).unwrap()
    };
    let (one, other) = (summary(&from_ledger), summary(&straight));
    for key in ["window", "basis", "nodes", "energy_share_by_method", "title"] {
        let near = format!("{:.6?}", one[key]) == format!("{:.6?}", other[key]);
        assert!(near || equal(&one[key], &other[key]), "{key}: {} and {}", one[key], other[key]);
    }
    for key in
        ["energy_j", "emissions_gco2e", "facility_energy_kwh", "energy_kwh_low", "emissions_gco2e_high"]
    {
        assert!(equal(&one[key], &other[key]), "{key}: {} and {}", one[key], other[key]);
    }
    assert_eq!(one["balances"]["closes"], true);
}

/// Equal but for rounding.
fn equal(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1e-6)
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| equal(value, other)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        _ => one == other,
    }
}

#[test]
fn a_report_from_the_ledger_is_that_from_the_samples() {
    let cluster = cluster("ledger_equal");
    assert_equal_reports(&cluster, "UTC", &["--month", "2024-06"]);
    assert_equal_reports(&cluster, "UTC", &["--from", "2024-06-04", "--to", "2024-06-06"]);
}

#[test]
fn days_of_half_hour_zones_split_an_hour() {
    let cluster = cluster("ledger_kolkata");
    assert_equal_reports(&cluster, "Asia/Kolkata", &["--month", "2024-06"]);
    assert_equal_reports(&cluster, "Asia/Kolkata", &["--day", "2024-06-05"]);
    // A day of UTC begins inside an hour of India's days.
    let output = command(
        &cluster,
        &[
            "report",
            "--ledger",
            "ledger-Asia-Kolkata",
            "--time-zone",
            "Asia/Kathmandu",
            "--day",
            "2024-06-05",
            "--out",
            "no",
        ],
    )
    .output()
    .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("lies inside a bucket of the ledger, which goes from 2024-06-04T18:00:00Z")
            || said.contains("lies inside a bucket"),
        "{said}"
    );
}

/// From Saturday noon over the night in which Berlin's clocks go back.
#[test]
fn a_day_of_twenty_five_hours() {
    let scenario = Scenario {
        nodes: 1,
        gpus: 1,
        days: 4.0,
        scrape_interval_s: 120,
        runs: Some(20),
        start_ms: 1_729_814_400_000,
        ..Scenario::default()
    };
    let cluster = Cluster::new("ledger_berlin", &scenario);
    assert_equal_reports(&cluster, "Europe/Berlin", &["--day", "2024-10-27"]);
    let hours: std::collections::BTreeSet<String> = table(&cluster.directory.join("from-ledger/hourly.csv"))
        .iter()
        .map(|row| row.text("bucket_start").to_owned())
        .collect();
    assert_eq!(hours.len(), 25);
    assert_eq!(hours.first().map(String::as_str), Some("2024-10-26T22:00:00Z"));
}

#[test]
fn what_changed_is_made_again_and_nothing_else() {
    let cluster = cluster("ledger_changes");
    let (pieces, logs) = (pieces(&cluster), logs(&cluster, 2));
    let snapshots: Vec<&Path> = pieces.iter().map(PathBuf::as_path).collect();
    backfill(&cluster, "ledger", &snapshots, &[&logs[0]]);
    let ledger = cluster.directory.join("ledger");
    let first = bytes(&ledger);
    // A dry run says what a late log touches, and touches nothing.
    let mut arguments = backfill_arguments("ledger", &[], &[&logs[1]]);
    arguments.push("--dry-run");
    let said = String::from_utf8(run(&cluster, &arguments).stdout).unwrap();
    assert!(said.contains("make again (job log)") && said.contains("2024-06-03  "), "{said}");
    assert_eq!(first, bytes(&ledger));
    // Blocks that the ledger knows are found again where they lay.
    let said = String::from_utf8(backfill(&cluster, "ledger", &[], &[&logs[1]]).stderr).unwrap();
    assert!(said.contains("made again") && said.contains("restated 2024-06"), "{said}");
    let with_all = bytes(&ledger);
    // Other factors: emissions only, and without the samples.
    std::fs::rename(cluster.directory.join("pieces"), cluster.directory.join("gone")).unwrap();
    let said = String::from_utf8(
        run(&cluster, &["reprice", "--ledger", "ledger", "--config", "wattledger.toml", "--zone", "FR"])
            .stderr,
    )
    .unwrap();
    assert!(said.contains("5 days: 5 priced again") && said.contains("restated 2024-06: 5 days"), "{said}");
    let french = bytes(&ledger);
    let back =
        run(&cluster, &["reprice", "--ledger", "ledger", "--config", "wattledger.toml", "--zone", "DE"]);
    assert!(back.status.success());
    for (name, bytes_before) in &with_all {
        assert_eq!(bytes_before, &bytes(&ledger)[name], "{}", name.display());
        let is_day = name.starts_with("entries");
        assert_eq!(is_day, french[name] != *bytes_before, "{}", name.display());
    }
    // Other settings need the samples, which are not there: said, and left.
    let mut arguments = backfill_arguments("ledger", &[], &[]);
    arguments.extend(["--share", "allocated", "--strict"]);
    let output = command(&cluster, &arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("not up to date: 2024-06-03") && said.contains("--snapshot"), "{said}");
    std::fs::rename(cluster.directory.join("gone"), cluster.directory.join("pieces")).unwrap();
}

/// A snapshot that has lost what the ledger knows does not take it away.
#[test]
fn what_the_ledger_knows_is_not_lost_with_old_samples() {
    let cluster = cluster("ledger_keeps");
    let pieces = pieces(&cluster);
    let log = cluster.directory.join("sacct.txt");
    let snapshots: Vec<&Path> = pieces.iter().map(PathBuf::as_path).collect();
    backfill(&cluster, "ledger", &snapshots[..2], &[&log]);
    let day = cluster.directory.join("ledger/entries/date=2024-06-04/entries.parquet");
    let before = std::fs::read(&day).unwrap();
    std::fs::remove_dir_all(&pieces[1]).unwrap();
    // The next block touches the second day, whose own is gone.
    let output = backfill(&cluster, "ledger", &snapshots[2..3], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not up to date: 2024-06-04"), "{said}");
    assert_eq!(before, std::fs::read(&day).unwrap());
}

#[test]
fn verify_finds_what_is_wrong_and_says_what_to_do() {
    let cluster = cluster("ledger_verify");
    let (pieces, logs) = (pieces(&cluster), logs(&cluster, 1));
    let ledger = in_one_go(&cluster, &pieces, &logs);
    let sound = run(&cluster, &["verify", "--ledger", "whole"]);
    let text = String::from_utf8(sound.stdout).unwrap();
    assert!(text.ends_with("sound\n") && text.contains("5 days, 2024-06-03 to 2024-06-07, in UTC"), "{text}");
    let day = ledger.join("entries/date=2024-06-05/entries.parquet");
    let whole = std::fs::read(&day).unwrap();
    let verify = || {
        let output = command(&cluster, &["verify", "--ledger", "whole"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
        (output.status.code(), text)
    };
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..60 {
        let at = random.random_range(0..whole.len());
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << random.random_range(0..8);
        std::fs::write(&day, &damaged).unwrap();
        let (code, text) = verify();
        assert!(
            code == Some(1) && text.contains("2024-06-05") && text.contains("to do: "),
            "byte {at}: {text}"
        );
    }
    for length in [0, 1, 11, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&day, &whole[..length]).unwrap();
        let (code, text) = verify();
        assert!(code == Some(1) && text.contains("2024-06-05"), "cut at {length}: {text}");
    }
    std::fs::remove_file(&day).unwrap();
    assert!(verify().1.contains("its rows are not"));
    std::fs::remove_dir(day.parent().unwrap()).unwrap();
    assert!(verify().1.contains("nothing of the 1 days between 2024-06-04 and 2024-06-06"));
    // All of it is mended by the same command.
    backfill(&cluster, "whole", &[], &[]);
    assert_eq!(whole, std::fs::read(&day).unwrap());
    // A lost and a damaged job log, and other people's files.
    let log = std::fs::read_dir(ledger.join("jobs")).unwrap().map(|entry| entry.unwrap().path());
    let log =
        log.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "zst")).unwrap();
    std::fs::remove_file(&log).unwrap();
    let (code, text) = verify();
    assert!(code == Some(1) && text.contains("give `sacct-0.txt` again"), "{text}");
    backfill(&cluster, "whole", &[], &[&logs[0]]);
    std::fs::write(ledger.join(".half.tmp"), "half").unwrap();
    let (code, text) = verify();
    assert!(code == Some(0) && text.contains("an interrupted writer left it"), "{text}");
    std::fs::remove_file(ledger.join("runs.parquet")).unwrap();
    assert!(verify().1.contains("runs.parquet"));
    backfill(&cluster, "whole", &[], &[]);
    assert!(verify().1.ends_with("sound\n"));
}

#[test]
fn a_ledger_that_is_none_is_told_apart() {
    let cluster = cluster("ledger_none");
    let said = |arguments: &[&str]| {
        let output = command(&cluster, arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = said(&["report", "--ledger", "nowhere", "--month", "2024-06"]);
    assert!(
        code == Some(2) && text.contains("`nowhere` is no ledger") && text.contains("hint: make one"),
        "{text}"
    );
    let (code, text) = said(&["backfill", "--ledger", "snapshot", "--snapshot", "snapshot"]);
    assert!(code == Some(2) && text.contains("holds other files"), "{text}");
    backfill(&cluster, "empty", &[], &[]);
    let (code, text) = said(&["report", "--ledger", "empty"]);
    assert!(code == Some(2) && text.contains("error: the ledger has no day yet"), "{text}");
    backfill(&cluster, "ledger", &[&cluster.directory.join("snapshot")], &[]);
    let (code, text) = said(&["report", "--ledger", "ledger", "--month", "2023-01"]);
    assert!(
        code == Some(2)
            && text
                .contains("no day in 2023-01-01T00:00:00Z to 2023-02-01T00:00:00Z: it goes from 2024-06-03"),
        "{text}"
    );
    let (code, text) = said(&["report", "--ledger", "ledger", "--month", "June"]);
    assert!(
        code == Some(2) && text.contains("`June` is no month: expected `2026-10`, `last` or `this`"),
        "{text}"
    );
    let (code, text) = said(&["backfill", "--ledger", "ledger", "--time-zone", "Asia/Tokyo"]);
    assert!(code == Some(2) && text.contains("has the days of UTC, not of Asia/Tokyo"), "{text}");
    let (code, text) = said(&["report", "--ledger", "ledger", "--zone", "DE"]);
    assert!(code == Some(2) && text.contains("cannot be used with"), "{text}");
    std::fs::write(
        cluster.directory.join("ledger/ledger.json"),
        "{\"layout\": 99, \"holds\": \"\", \"time_zone\": \"UTC\"}",
    )
    .unwrap();
    let (code, text) = said(&["verify", "--ledger", "ledger"]);
    assert!(code == Some(1) && text.contains("has layout 99, this program reads layouts up to 1"), "{text}");
}

/// The recorded Prometheus, day by day and at once.
#[test]
fn a_recorded_prometheus_gives_the_same_figures() {
    let live = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/real/prometheus_live");
    if !live.exists() {
        eprintln!("skipped: `{}` is not there", live.display());
        return;
    }
    let directory = truth::fresh("ledger_live");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_wattledger"))
            .args(arguments)
            .current_dir(&directory)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    // Two snapshots of one server, and data directories as crashes left them, with logs that are no block yet.
    let places =
        ["snapshot_20261123T135522Z", "snapshot_20261123T135540Z", "data_after_kill9", "data_ooo_wbl_kill9"];
    let places = places.map(|name| data_in(&live.join(name)));
    let path = |place: usize| places[place].to_str().unwrap();
    let mut arguments = vec!["backfill", "--ledger", "ledger", "--zone", "DE"];
    (0..places.len()).for_each(|place| arguments.extend(["--snapshot", path(place)]));
    run(&arguments);
    for (number, order) in [[3, 0, 3, 2, 1], [1, 2, 0, 1, 3], [2, 3, 1, 0, 2]].into_iter().enumerate() {
        let ledger = format!("pieces-{number}");
        for place in order {
            run(&["backfill", "--ledger", &ledger, "--zone", "DE", "--snapshot", path(place)]);
        }
        assert_same(&directory.join("ledger"), &directory.join(&ledger), &format!("{order:?}"));
    }
    let snapshot = path(0);
    run(&["backfill", "--ledger", "one-ledger", "--snapshot", snapshot, "--zone", "DE"]);
    run(&["report", "--ledger", "one-ledger", "--no-charts", "--out", "one"]);
    run(&["report", "--snapshot", snapshot, "--zone", "DE", "--no-charts", "--out", "other"]);
    for name in TABLES {
        assert_equal_tables(&directory.join("one").join(name), &directory.join("other").join(name));
    }
}

/// The directory itself, or the one in it that holds blocks or a log.
fn data_in(directory: &Path) -> PathBuf {
    let holds = |path: &Path| {
        let mut inside = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        inside.any(|path| {
            path.join("meta.json").is_file() || path.file_name().is_some_and(|name| name == "wal")
        })
    };
    if holds(directory) {
        return directory.to_path_buf();
    }
    let mut inside: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    inside.sort();
    inside.into_iter().find(|path| holds(path)).unwrap()
}
fn number(row: &truth::Row, column: &str) -> f64 {
    row.text(column).parse().unwrap_or(0.0)
}

fn near(one: f64, other: f64, what: &str) {
    assert!((one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1e-6), "{what}: {one} and {other}");
}

/// A day beside the day before, its cost, and small reports of it, against two reports of their own.
#[test]
fn a_period_beside_another_and_in_small_parts() {
    let cluster = cluster("ledger_beside");
    let log = cluster.directory.join("sacct.txt");
    backfill(&cluster, "ledger", &[&cluster.directory.join("snapshot")], &[&log]);
    let report = |day: &str, out: &str, more: &[&str]| {
        let mut arguments =
            vec!["report", "--ledger", "ledger", "--config", "wattledger.toml", "--no-charts", "--out", out];
        arguments.extend(["--day", day]);
        arguments.extend(more);
        run(&cluster, &arguments);
        cluster.directory.join(out)
    };
    let more =
        ["--compare", "previous", "--price", "0.25EUR", "--split-by", "account", "--by", "account,day"];
    let both = report("2024-06-05", "both", &more);
    let (now, before) = (report("2024-06-05", "now", &[]), report("2024-06-04", "before", &[]));
    assert!(!both.join("by_user.csv").exists() && both.join("by_day.csv").exists());
    let change = table(&both.join("change.csv"));
    let line = |group: &str, name: &str| {
        change.iter().find(|row| row.text("group") == group && row.text("name") == name).unwrap()
    };
    let sum = |directory: &Path, file: &str, column: &str| -> f64 {
        table(&directory.join(file)).iter().map(|row| number(row, column)).sum()
    };
    let total = line("total", "");
    for (column, directory, of) in [
        ("energy_kwh", &now, "energy_kwh"),
        ("energy_before_kwh", &before, "energy_kwh"),
        ("emissions_gco2e", &now, "emissions_gco2e"),
        ("emissions_before_gco2e", &before, "emissions_gco2e"),
    ] {
        near(number(total, column), sum(directory, "by_node.csv", of), column);
    }
    for row in &change {
        let parts = number(row, "change_by_energy_gco2e") + number(row, "change_by_intensity_gco2e");
        if !row.text("change_by_energy_gco2e").is_empty() {
            near(parts, number(row, "emissions_change_gco2e"), row.text("name"));
        }
    }
    // By hand: had the mean intensity stayed, the energy alone would have made this difference.
    let intensity = number(total, "emissions_before_gco2e") / number(total, "energy_before_kwh");
    let by_energy = (number(total, "energy_kwh") - number(total, "energy_before_kwh")) * intensity;
    near(number(total, "change_by_energy_gco2e"), by_energy, "by energy");
    for user in table(&now.join("by_user.csv")).iter().filter(|row| row.text("beneficiary") == "run") {
        near(
            number(line("user", user.text("user")), "energy_kwh"),
            number(user, "energy_kwh"),
            user.text("user"),
        );
    }
    // Costs, and the parts of the split.
    for account in table(&both.join("by_account.csv")) {
        near(number(&account, "cost_eur"), 0.25 * number(&account, "facility_energy_kwh"), "cost");
        if account.text("beneficiary") != "run" {
            continue;
        }
        let part = both.join("by_account").join(account.text("account"));
        for file in ["runs.csv", "by_user.csv", "by_day.csv"] {
            near(sum(&part, file, "energy_kwh"), number(&account, "energy_kwh"), file);
            near(sum(&part, file, "emissions_gco2e"), number(&account, "emissions_gco2e"), file);
        }
        let summary: serde_json::Value =
            serde_json::from_slice(&std::fs::read(part.join("summary.json")).unwrap()).unwrap();
        near(summary["energy_kwh"].as_f64().unwrap(), number(&account, "energy_kwh"), "summary");
        near(summary["cost"]["total"].as_f64().unwrap(), number(&account, "cost_eur"), "cost of the summary");
    }
    let said = |arguments: &[&str]| {
        let mut all = vec!["report", "--ledger", "ledger", "--out", "no", "--no-charts"];
        all.extend(arguments);
        let output = command(&cluster, &all).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (arguments, expected) in [
        (&["--compare", "previous"][..], "--compare: `previous` needs a period by name"),
        (&["--day", "2024-06-05", "--compare", "June"][..], "--compare: `June` is no period"),
        (&["--day", "2024-06-03", "--compare", "previous"][..], "the ledger has no day in 2024-06-02"),
        (&["--price", "0.25"][..], "--price: `` is no currency code of three letters"),
        (&["--price=-1EUR"][..], "--price: -1 is no price"),
        (&["--price", "cheap"][..], "--price: `cheap` is no price"),
    ] {
        let (code, text) = said(arguments);
        assert!(code == Some(2) && text.contains(expected), "{arguments:?}: {text}");
    }
}

/// Groups by site, as the configuration names them.
#[test]
fn nodes_stand_at_sites() {
    let cluster = cluster("ledger_sites");
    let config = cluster.directory.join("wattledger.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[site]\n", "[site]\nname = \"north\"\n");
    assert!(text.contains("name = \"north\""), "{text}");
    std::fs::write(&config, format!("{text}\n[[hardware]]\nnodes = \"gpu002\"\nsite = \"south\"\n")).unwrap();
    let log = cluster.directory.join("sacct.txt");
    backfill(&cluster, "ledger", &[&cluster.directory.join("snapshot")], &[&log]);
    run(
        &cluster,
        &["report", "--ledger", "ledger", "--config", "wattledger.toml", "--no-charts", "--out", "sites"],
    );
    let directory = cluster.directory.join("sites");
    let (sites, nodes) = (table(&directory.join("by_site.csv")), table(&directory.join("by_node.csv")));
    let of = |name: &str| sites.iter().find(|row| row.text("site") == name).unwrap();
    let south = nodes.iter().find(|row| row.text("node") == "gpu002").unwrap();
    let all: f64 = nodes.iter().map(|row| number(row, "energy_kwh")).sum();
    near(number(of("south"), "energy_kwh"), number(south, "energy_kwh"), "south");
    near(number(of("north"), "energy_kwh"), all - number(south, "energy_kwh"), "north");
    assert_eq!(sites.len(), 2);
}

/// Two runs of one id that begin in the same second stay two.
#[test]
fn runs_that_share_id_and_start_stay_apart() {
    let cluster = cluster("ledger_twins");
    let log = cluster.directory.join("sacct.txt");
    std::fs::write(
        &log,
        "run_id,start,end,nodes,user\n1,2024-06-03T02:00:00Z,2024-06-04T05:00:00Z,gpu001,alice\n\
         1,2024-06-03T02:00:00Z,2024-06-03T09:00:00Z,gpu002,bob\n",
    )
    .unwrap();
    assert_equal_reports(&cluster, "UTC", &["--month", "2024-06"]);
    let users: Vec<String> = table(&cluster.directory.join("from-ledger/by_user.csv"))
        .iter()
        .filter(|row| row.text("beneficiary") == "run" && number(row, "energy_kwh") > 0.0)
        .map(|row| row.text("user").to_owned())
        .collect();
    assert_eq!(users, ["alice", "bob"]);
}

/// What a remembered directory has lost since is not taken for nought.
#[test]
fn a_block_that_has_gone_does_not_become_nothing() {
    let cluster = cluster("ledger_gone");
    let logs = logs(&cluster, 2);
    let snapshot = cluster.directory.join("snapshot");
    backfill(&cluster, "ledger", &[&snapshot], &[&logs[0]]);
    let days = |name: &str| {
        run(
            &cluster,
            &["report", "--ledger", "ledger", "--config", "wattledger.toml", "--no-charts", "--out", name],
        );
        let rows = table(&cluster.directory.join(name).join("by_day.csv"));
        rows.iter().map(|row| number(row, "energy_kwh")).collect::<Vec<f64>>()
    };
    let before = days("before");
    let mut blocks: Vec<PathBuf> = std::fs::read_dir(&snapshot)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("meta.json").is_file())
        .collect();
    blocks.sort();
    std::fs::remove_dir_all(&blocks[1]).unwrap();
    let said = String::from_utf8(backfill(&cluster, "ledger", &[], &[&logs[1]]).stderr).unwrap();
    assert!(said.contains("not up to date"), "{said}");
    for (day, (now, then)) in days("after").iter().zip(&before).enumerate() {
        assert!((now - then).abs() < 0.01 * then, "day {day}: {now} and {then}");
    }
    // A directory with nothing left in it stops nobody.
    for block in &blocks[..1] {
        std::fs::remove_dir_all(block).unwrap();
    }
    for block in blocks.iter().skip(2) {
        std::fs::remove_dir_all(block).unwrap();
    }
    backfill(&cluster, "ledger", &[], &[]);
}

/// Factors of a quarter of an hour do not become those of the hour's first.
#[test]
fn shorter_steps_need_the_samples() {
    let cluster = cluster("ledger_steps");
    let log = cluster.directory.join("sacct.txt");
    backfill(&cluster, "ledger", &[&cluster.directory.join("snapshot")], &[&log]);
    let mut factors = String::from("timestamp,gco2e_per_kwh\n");
    for quarter in 0..5 * 96 {
        let at_ms = cluster.window.start_ms + quarter * 900_000;
        factors += &format!(
            "{},{}\n",
            wattledger::time::format_instant(at_ms),
            [0, 400, 800, 1200][quarter as usize % 4]
        );
    }
    std::fs::write(cluster.directory.join("quarters.csv"), factors).unwrap();
    let before = bytes(&cluster.directory.join("ledger"));
    let arguments = [
        "reprice",
        "--ledger",
        "ledger",
        "--config",
        "wattledger.toml",
        "--zone",
        "DE",
        "--intensity",
        "quarters.csv",
        "--strict",
    ];
    let output = command(&cluster, &arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && said.contains("not up to date"), "{said}");
    assert_eq!(before, bytes(&cluster.directory.join("ledger")));
}

/// Packed and piped logs are logs.
#[test]
fn a_packed_log_is_kept_as_what_is_in_it() {
    use std::io::Write as _;
    let cluster = cluster("ledger_packed");
    let text = std::fs::read(cluster.directory.join("sacct.txt")).unwrap();
    let snapshot = cluster.directory.join("snapshot");
    let plain = cluster.directory.join("sacct.txt");
    backfill(&cluster, "plain", &[&snapshot], &[&plain]);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(&text).unwrap();
    let packed = cluster.directory.join("sacct.txt.gz");
    std::fs::write(&packed, packer.finish().unwrap()).unwrap();
    std::fs::create_dir(cluster.directory.join("elsewhere")).unwrap();
    backfill(&cluster, "packed", &[&snapshot], &[&packed]);
    backfill(&cluster, "packed", &[], &[]);
    let names =
        |ledger: &str| -> Vec<PathBuf> { bytes(&cluster.directory.join(ledger)).into_keys().collect() };
    assert_eq!(names("plain"), names("packed"));
    let rows = |ledger: &str| bytes(&cluster.directory.join(ledger).join("entries"));
    assert_eq!(rows("plain"), rows("packed"));
}
