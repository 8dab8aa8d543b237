//! Runs the program on copies of the recorded fixture and reads what it wrote.
#![allow(dead_code, clippy::print_stderr, reason = "each test binary uses its part; a skipped test says so")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A row of a CSV table by column name.
pub(crate) type Row = BTreeMap<String, String>;

/// `tests/fixtures/slurm_prometheus` or a file in it.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/slurm_prometheus").join(name)
}

/// A file of the collection of real inputs beside the project, which not every
/// checkout has: then says that the test is skipped.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/real").join(name);
    if !path.exists() {
        eprintln!("skipped: `{}` is not there", path.display());
        return None;
    }
    Some(path)
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    /// With the working directory as `[DIR]`.
    pub(crate) stderr: String,
}

/// A working directory of its own for the program.
pub(crate) struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A copy of the fixture's snapshot in `snapshot/`, to be damaged.
    pub(crate) fn copy_snapshot(&self) -> PathBuf {
        let to = self.path("snapshot");
        copy(&fixture("snapshot"), &to);
        to
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wattledger"));
        command.args(arguments).current_dir(self.root.path()).env_remove("RAYON_NUM_THREADS");
        command
    }

    /// Runs the program in the directory. Whatever happens it does not panic.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Self::end(&mut self.command(arguments), self.root.path())
    }

    pub(crate) fn end(command: &mut Command, root: &Path) -> Ended {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(root.to_str().unwrap(), "[DIR]")
                .replace(fixture("").to_str().unwrap().trim_end_matches('/'), "[FIXTURE]")
        };
        let ended = Ended {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        ended
    }

    pub(crate) fn table(&self, name: &str) -> Vec<Row> {
        table(&self.path(name))
    }

    pub(crate) fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }
}

/// The rows of a CSV file; quoted fields may hold commas.
pub(crate) fn table(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    reader
        .records()
        .map(|record| header.iter().cloned().zip(record.unwrap().iter().map(str::to_owned)).collect())
        .collect()
}

/// A number in a row; an empty field is 0.
pub(crate) fn number(row: &Row, column: &str) -> f64 {
    let text = row.get(column).unwrap_or_else(|| panic!("no column {column}"));
    if text.is_empty() { 0.0 } else { text.parse().unwrap() }
}

/// The sum over a column.
pub(crate) fn total(rows: &[Row], column: &str) -> f64 {
    rows.iter().map(|row| number(row, column)).sum()
}

/// The row with `value` in `column`; there must be one only.
pub(crate) fn only<'a>(rows: &'a [Row], column: &str, value: &str) -> &'a Row {
    let mut found = rows.iter().filter(|row| row[column] == value);
    let row = found.next().unwrap_or_else(|| panic!("no row with {column} = {value}"));
    assert!(found.next().is_none(), "several rows with {column} = {value}");
    row
}

/// `left` and `right` differ by at most `relative` of the larger.
#[track_caller]
pub(crate) fn assert_close(left: f64, right: f64, relative: f64) {
    let most = relative * left.abs().max(right.abs()).max(1e-12);
    assert!((left - right).abs() <= most, "{left} is not {right} within {relative}");
}

/// Copies a directory with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All files under a directory, by their path in it.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(here) = open.pop() {
        for entry in std::fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                all.insert(path.strip_prefix(directory).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// Milliseconds since the epoch of an RFC 3339 instant.
pub(crate) fn ms(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
}

/// The TDP curve of the accounting rules (§4), written down a second time: watts at
/// a utilisation from 0 to 1 of a processor rated at `tdp_w`.
pub(crate) fn tdp_curve_w(utilisation: f64, tdp_w: f64) -> f64 {
    let share = if utilisation <= 0.1 {
        0.12 + 2.0 * utilisation
    } else if utilisation <= 0.5 {
        0.32 + 1.075 * (utilisation - 0.1)
    } else {
        0.75 + 0.54 * (utilisation - 0.5)
    };
    share * tdp_w
}

/// Samples of the modes of each logical CPU, stale markers included.
pub(crate) type Modes = BTreeMap<String, BTreeMap<String, Vec<(i64, f64)>>>;

/// Mean utilisation of a node (rule C4) from raw samples: `(start, end, utilisation)` between
/// each two scrapes, those next to a stale marker left out.
pub(crate) fn utilisation(cpus: &Modes) -> Vec<(i64, i64, f64)> {
    let idle = &cpus.values().next().unwrap()["idle"];
    let mut found = Vec::new();
    for pair in idle.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        if from.1.is_nan() || to.1.is_nan() {
            continue;
        }
        let mut mean = 0.0;
        for modes in cpus.values() {
            let delta = |mode: &str| {
                let at = |at_ms: i64| modes[mode].iter().find(|sample| sample.0 == at_ms).unwrap().1;
                at(to.0) - at(from.0)
            };
            let rest = delta("idle") + delta("iowait") + delta("steal");
            let all = rest + ["user", "nice", "system", "irq", "softirq"].map(delta).iter().sum::<f64>();
            mean += (1.0 - rest / all).clamp(0.0, 1.0) / cpus.len() as f64;
        }
        found.push((from.0, to.0, mean));
    }
    found
}
