//! What leaves a ledger: blocks and text that a real Prometheus serves, tables that add up to the report, CodeCarbon's list of runs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod scripted;
mod servers;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use servers::Prometheus;
use support::{Row, number, table, total};
use wattledger::simulate::{Scenario, simulate};
use wattledger::time::{Window, parse_instant};

/// A ledger of three days, with its report, in a directory of its own.
struct Made {
    root: tempfile::TempDir,
    window: Window,
}

impl Made {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let scenario = Scenario {
            nodes: 2,
            gpus: 2,
            days: 3.0,
            scrape_interval_s: 120,
            runs: Some(40),
            ..Scenario::default()
        };
        let window = simulate(&scenario, root.path(), &|_| {}).unwrap().window;
        let made = Self { root, window };
        made.run(&[
            "backfill",
            "--ledger",
            "ledger",
            "--snapshot",
            "snapshot",
            "--jobs",
            "sacct.txt",
            "--config",
            "wattledger.toml",
            "--zone",
            "DE",
            "--pue",
            "1.3",
        ]);
        made.run(&[
            "report",
            "--ledger",
            "ledger",
            "--config",
            "wattledger.toml",
            "--no-charts",
            "--out",
            "report",
        ]);
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn run(&self, arguments: &[&str]) {
        let output = Command::new(env!("CARGO_BIN_EXE_wattledger"))
            .args(arguments)
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn export(&self, to: &str, out: &str) -> PathBuf {
        self.run(&["export", "--ledger", "ledger", "--to", to, "--out", out]);
        self.path(out)
    }

    fn table(&self, name: &str) -> Vec<Row> {
        table(&self.path(name))
    }
}

#[track_caller]
fn near(one: f64, other: f64, what: &str) {
    assert!((one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1e-6), "{what}: {one} and {other}");
}

#[test]
fn tables_add_up_to_the_report() {
    let made = Made::new();
    let out = made.export("csv", "tables");
    let (entries, runs) = (table(&out.join("entries.csv")), table(&out.join("runs.csv")));
    let nodes = made.table("report/by_node.csv");
    near(total(&entries, "energy_j") / 3.6e6, total(&nodes, "energy_kwh"), "energy");
    near(total(&entries, "facility_energy_j") / 3.6e6, 1.3 * total(&nodes, "energy_kwh"), "facility energy");
    near(total(&entries, "emissions_gco2e"), total(&nodes, "emissions_gco2e"), "emissions");
    assert_eq!(runs.len(), made.table("report/runs.csv").len());
    for user in made.table("report/by_user.csv").iter().filter(|row| row["beneficiary"] == "run") {
        let of_user: Vec<Row> = entries.iter().filter(|row| row["user"] == user["user"]).cloned().collect();
        near(total(&of_user, "energy_j") / 3.6e6, number(user, "energy_kwh"), &user["user"]);
    }
    // The same in Parquet, read by this program as a table of runs is.
    let parquet = made.export("parquet", "parquet");
    assert!(parquet.join("entries.parquet").is_file() && parquet.join("runs.parquet").is_file());
}

#[test]
fn codecarbons_list_has_every_run_and_is_a_job_log() {
    let made = Made::new();
    let file = made.export("codecarbon", "emissions.csv");
    let (rows, runs) = (table(&file), made.table("report/runs.csv"));
    let with_energy: Vec<&Row> = runs.iter().filter(|row| !row["energy_kwh"].is_empty()).collect();
    assert_eq!(rows.len(), with_energy.len());
    near(total(&rows, "energy_consumed"), runs.iter().map(|row| number(row, "energy_kwh")).sum(), "kWh");
    near(
        1000.0 * total(&rows, "emissions"),
        runs.iter().map(|row| number(row, "emissions_gco2e")).sum(),
        "g",
    );
    near(number(&rows[0], "pue"), 1.3, "PUE");
    assert_eq!(rows[0].len(), 38);
    let log = wattledger::jobs::read(
        &file,
        &wattledger::jobs::Options { default_node: Some("n1".to_owned()), ..Default::default() },
    )
    .unwrap();
    assert_eq!((log.runs.len(), log.rejected_total), (rows.len(), 0), "{:?}", log.rejected.first());
}

/// A cluster's history as a Prometheus has it that was given the blocks.
fn check(made: &Made, server: &Prometheus) {
    let scalar = |query: &str, at_ms: i64| -> f64 {
        let answer = server.ask(query, at_ms);
        let result = answer["data"]["result"].as_array().unwrap();
        assert_eq!(result.len(), 1, "{query}: {answer}");
        result[0]["value"][1].as_str().unwrap().parse().unwrap()
    };
    let end_ms = made.window.end_ms - 1;
    for row in made.table("report/by_user.csv").iter().filter(|row| row["beneficiary"] == "run") {
        let user = &row["user"];
        let joules = scalar(&format!("wattledger_user_energy_joules_total{{user=\"{user}\"}}"), end_ms);
        near(joules / 3.6e6, number(row, "energy_kwh"), user);
        let grams = scalar(&format!("wattledger_user_emissions_gco2e_total{{user=\"{user}\"}}"), end_ms);
        near(grams, number(row, "emissions_gco2e"), user);
    }
    for row in made.table("report/by_node.csv") {
        let node = &row["node"];
        let joules = scalar(&format!("sum(wattledger_node_energy_joules_total{{node=\"{node}\"}})"), end_ms);
        near(joules / 3.6e6, number(&row, "energy_kwh"), node);
    }
    let accounts = scalar("sum(wattledger_account_energy_joules_total)", end_ms);
    let runs = made.table("report/runs.csv");
    near(accounts / 3.6e6, total(&runs, "energy_kwh"), "accounts");
    // What a run used, asked for as people do: over its whole life.
    let days = made.window.length_ms() / 86_400_000;
    for run in runs.iter().filter(|row| number(row, "energy_kwh") > 0.0).take(20) {
        let id = &run["run_id"];
        let query =
            format!("sum(max_over_time(wattledger_run_energy_joules_total{{run_id=\"{id}\"}}[{days}d]))");
        near(scalar(&query, end_ms) / 3.6e6, number(run, "energy_kwh"), id);
    }
    // An hour, by the counters at its edges.
    let hours = made.table("report/hourly.csv");
    let starts: std::collections::BTreeSet<&String> = hours.iter().map(|row| &row["bucket_start"]).collect();
    for start in starts.into_iter().skip(3).step_by(11) {
        let start_ms = parse_instant(start, chrono_tz::Tz::UTC).unwrap();
        if start_ms + 3_600_000 > end_ms {
            continue;
        }
        let expected: f64 =
            hours.iter().filter(|row| row["bucket_start"] == *start).map(|row| number(row, "energy_j")).sum();
        let at = |at_ms| scalar("sum(wattledger_energy_joules_total)", at_ms);
        near(at(start_ms + 3_600_000) - at(start_ms), expected, start);
    }
}

#[test]
#[ignore = "needs prometheus: apt-get install prometheus"]
fn a_prometheus_serves_the_blocks() {
    let made = Made::new();
    let blocks = made.export("tsdb", "blocks");
    let again = made.export("tsdb", "again");
    let names = |directory: &Path| -> std::collections::BTreeSet<std::ffi::OsString> {
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(names(&blocks), names(&again), "a later export takes the place of an earlier one");
    let served = made.path("served");
    std::fs::create_dir(&served).unwrap();
    check(&made, &Prometheus::serve(&served, &blocks, "", &[]));
}

#[test]
#[ignore = "needs prometheus: apt-get install prometheus"]
fn promtool_makes_the_same_of_the_text() {
    let made = Made::new();
    let text = made.export("openmetrics", "ledger.txt");
    let blocks = made.path("made");
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&text, &blocks])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let served = made.path("served");
    std::fs::create_dir(&served).unwrap();
    check(&made, &Prometheus::serve(&served, &blocks, "", &[]));
}
