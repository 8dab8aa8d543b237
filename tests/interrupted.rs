//! Ctrl-C, requests to end and closed pipes: the program stops at once, leaves nothing half-made, and says how to go on.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
/// A second, and what a busy machine adds to it.
const AT_ONCE: Duration = Duration::from_secs(3);

fn program(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wattledger"));
    command.current_dir(directory).args(words).stdin(Stdio::null());
    command
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Sends the signal; exit status and stderr.
fn interrupt(mut child: Child, name: &str) -> (i32, String) {
    // Else waiting would close it, and the program end for that.
    let _open = child.stdin.take();
    let began = Instant::now();
    signal(&child, name);
    let status = child.wait().unwrap();
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (status.code().unwrap_or_else(|| panic!("ended by the signal itself: {stderr}")), stderr)
}

/// All files under a directory, relative to it.
fn files(directory: &Path) -> Vec<PathBuf> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_path_buf());
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, directory, &mut found);
    found.sort();
    found
}

#[test]
fn half_a_simulated_cluster_is_removed() {
    let bench = TempDir::new().unwrap();
    let words = ["simulate", "--nodes", "30", "--days", "30", "--out", "cluster"];
    let child = start(program(bench.path(), &words));
    until("a block", || !files(&bench.path().join("cluster/.snapshot.tmp")).is_empty());
    let (code, stderr) = interrupt(child, "INT");
    assert_eq!(code, 130, "{stderr}");
    assert!(
        stderr.ends_with(
            "interrupted by SIGINT: nothing half-made is left\nhint: the same command begins anew\n"
        ),
        "{stderr}"
    );
    assert_eq!(files(bench.path()), Vec::<PathBuf>::new());
    assert_eq!(std::fs::read_dir(bench.path().join("cluster")).unwrap().count(), 0);
}

#[test]
fn what_was_read_of_a_dump_is_removed() {
    let bench = TempDir::new().unwrap();
    let mut command = program(bench.path(), &["convert", "-", "--out", "blocks"]);
    command.stdin(Stdio::piped());
    let child = start(command);
    let staging = bench.path().join("blocks/.wattledger-convert");
    until("the staging directory", || !files(&staging).is_empty());
    let (code, stderr) = interrupt(child, "TERM");
    assert_eq!(code, 143, "{stderr}");
    assert!(stderr.contains("interrupted by SIGTERM"), "{stderr}");
    assert!(!staging.exists() && files(bench.path()).is_empty());
}

#[test]
fn a_backfill_goes_on_where_it_was_stopped() {
    let bench = TempDir::new().unwrap();
    let simulate = ["simulate", "--nodes", "1", "--days", "5", "--out", "cluster"];
    assert!(program(bench.path(), &simulate).output().unwrap().status.success());
    let backfill = |ledger: &str| {
        let words = [
            "backfill",
            "--ledger",
            ledger,
            "--snapshot",
            "cluster/snapshot",
            "--jobs",
            "cluster/sacct.txt",
            "--config",
            "cluster/wattledger.toml",
            "--zone",
            "DE",
            "--quiet",
        ];
        let mut command = program(bench.path(), &words);
        command.env("RAYON_NUM_THREADS", "1");
        command
    };
    assert!(backfill("whole").output().unwrap().status.success());
    let whole = files(&bench.path().join("whole"));
    let is_day = |path: &PathBuf| path.ends_with("entries.parquet");
    let ledger = bench.path().join("stopped");
    let mut stops = 0;
    // Once after each day, until a run comes to its end.
    loop {
        let days = files(&ledger).iter().filter(|path| is_day(path)).count();
        let mut child = start(backfill("stopped"));
        let mut ended = None;
        until("another day", || {
            ended = child.try_wait().unwrap();
            ended.is_some() || files(&ledger).iter().filter(|path| is_day(path)).count() > days
        });
        if let Some(status) = ended {
            assert!(status.success());
            break;
        }
        let (code, stderr) = interrupt(child, "INT");
        if code == 0 {
            break;
        }
        assert_eq!(code, 130, "{stderr}");
        assert!(stderr.contains("days that were finished are kept"), "{stderr}");
        let leftovers: Vec<PathBuf> =
            files(&ledger).into_iter().filter(|path| path.to_string_lossy().contains(".tmp")).collect();
        assert_eq!(leftovers, Vec::<PathBuf>::new());
        stops += 1;
    }
    assert!(stops >= 2, "{stops} stops");
    assert_eq!(files(&ledger), whole);
    for file in &whole {
        let read = |ledger: &str| std::fs::read(bench.path().join(ledger).join(file)).unwrap();
        assert!(read("stopped") == read("whole"), "{} differs", file.display());
    }
}

#[test]
fn a_signal_that_is_to_be_ignored_is() {
    let bench = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    let script = format!("trap '' HUP; exec '{}' convert - --out blocks", env!("CARGO_BIN_EXE_wattledger"));
    command.current_dir(bench.path()).args(["-c", &script]).stdin(Stdio::piped());
    let mut child = start(command);
    let staging = bench.path().join("blocks/.wattledger-convert");
    until("the staging directory", || !files(&staging).is_empty());
    signal(&child, "HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it heeded a signal that nohup had it ignore");
    assert_eq!(interrupt(child, "TERM").0, 143);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let bench = TempDir::new().unwrap();
    for words in [
        ["completions", "bash"].as_slice(),
        &["man"],
        &["hardware", "NVIDIA H100 80GB HBM3"],
        &["--help"],
        &["report", "--help"],
    ] {
        let mut child = start(program(bench.path(), words));
        drop(child.stdout.take());
        let status = child.wait().unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(stderr, "", "{words:?}");
        assert_eq!(status.code(), Some(0), "{words:?}");
    }
}
