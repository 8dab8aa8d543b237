//! Reports straight from a server: with its samples, and with its sums alone.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may; differences are printed for the documentation"
)]

mod scripted;
mod servers;
mod support;

use std::collections::BTreeMap;

use servers::{Prometheus, Victoria};
use support::{Bench, number};
use wattledger::simulate::{Scenario, simulate};

/// Energy by node and component, in kWh.
fn by_part(bench: &Bench, report: &str) -> BTreeMap<(String, &'static str), f64> {
    let rows = bench.table(&format!("{report}/by_node.csv"));
    let parts = ["cpu", "dram", "gpu", "other"];
    let of = |row: &support::Row| {
        parts.map(|part| ((row["node"].clone(), part), number(row, &format!("{part}_energy_kwh"))))
    };
    rows.iter().flat_map(of).collect()
}

/// Median relative difference of the energy of runs that last from `least_s` up to `most_s`.
fn runs_differ(bench: &Bench, report: &str, least_s: f64, most_s: f64) -> (usize, f64) {
    let energies = |report: &str| -> BTreeMap<String, (f64, f64)> {
        let rows = bench.table(&format!("{report}/runs.csv"));
        let run = |row: &support::Row| {
            let key = format!("{} {}", row["run_id"], row["start"]);
            (key, (number(row, "in_window_s"), number(row, "energy_kwh")))
        };
        rows.iter().map(run).collect()
    };
    let (exact, pushed) = (energies("exact"), energies(report));
    let mut differences: Vec<f64> = exact
        .iter()
        .filter(|(_, (seconds, energy))| (least_s..most_s).contains(seconds) && *energy > 0.0)
        .map(|(run, (_, energy))| (pushed[run].1 / energy - 1.0).abs())
        .collect();
    differences.sort_by(f64::total_cmp);
    (differences.len(), differences[differences.len() / 2])
}

/// Two days of a simulated cluster of three GPU nodes, in `sim`, and the report from its snapshot, in `exact`.
fn cluster(bench: &Bench) {
    let scenario = Scenario { nodes: 3, gpus: 2, days: 2.0, seed: 3, ..Scenario::default() };
    simulate(&scenario, &bench.path("sim"), &|_| {}).unwrap();
    report(bench, "exact", &["--snapshot", "sim/snapshot"]);
}

/// Makes a report, whose balances must close; returns what stood on stderr.
fn report(bench: &Bench, out: &str, source: &[&str]) -> String {
    let common =
        ["--jobs", "sim/sacct.txt", "--config", "sim/wattledger.toml", "--zone", "DE", "--no-charts"];
    let ended = bench.run(&[&["report", "--out", out], source, &common[..]].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("B1 closes, B2 closes, B3 closes"), "{}", ended.stderr);
    ended.stderr
}

fn from_server(bench: &Bench, address: &str, out: &str, more: &[&str]) -> String {
    let source = ["--prometheus", address, "--cache", "cache", "--from", "2024-06-03", "--to", "2024-06-05"];
    report(bench, out, &[&source[..], more].concat())
}

/// Makes the report `out` from sums in steps of `step`, and hands every node's part that has energy to
/// `judge`, with what it differs from exact integration; prints these differences, and those of the runs.
fn sums(bench: &Bench, address: &str, step: &str, out: &str, judge: impl Fn(&str, &str, f64)) {
    let said = from_server(bench, address, out, &[&format!("--pushdown={step}")]);
    assert!(said.contains("protocol   pushdown"), "{said}");
    let copied = said.lines().find(|line| line.starts_with("fetched ")).unwrap();
    println!("{step:>4} {copied}");
    let notes = bench.json(&format!("{out}/summary.json"))["notes"].to_string();
    assert!(notes.contains("pushed down") && notes.contains("`increase`"), "{notes}");
    let sums = by_part(bench, out);
    for ((node, part), energy) in &by_part(bench, "exact") {
        if *energy == 0.0 {
            continue;
        }
        let differs = sums[&(node.clone(), *part)] / energy - 1.0;
        println!("{step:>4} {node:9} {part:5} {:+.2} %", 100.0 * differs);
        judge(node, part, differs);
    }
    for (least_s, most_s) in [(0.0, 600.0), (600.0, 3600.0), (3600.0, 14_400.0), (14_400.0, f64::MAX)] {
        let (runs, median) = runs_differ(bench, out, least_s, most_s);
        println!("{step:>4} runs of {least_s} to {most_s:.0e} s: {runs}, median {:.1} % off", 100.0 * median);
    }
}

/// Behind a real Prometheus: a report from the server is that from the snapshot, byte for byte; one from its
/// sums differs by what `increase` gets wrong, and says so.
#[test]
#[ignore = "needs prometheus: apt-get install prometheus"]
fn reports_from_a_server_and_from_its_sums() {
    let bench = Bench::new();
    cluster(&bench);
    let server = Prometheus::serve(&bench.path("server"), &bench.path("sim/snapshot"), "", &[]);
    let address = server.url();

    let said = from_server(&bench, &address, "raw", &[]);
    assert!(said.contains("protocol   stream"), "{said}");
    println!("{}", said.lines().find(|line| line.starts_with("fetched ")).unwrap());
    let runs = |report: &str| std::fs::read(bench.path(&format!("{report}/runs.csv"))).unwrap();
    assert_eq!(runs("raw"), runs("exact"));
    // The days that hold nothing are asked for again, those that do are there.
    let said = from_server(&bench, &address, "again", &[]);
    assert!(said.contains("2 kept") && said.contains("fetched    0 samples"), "{said}");
    assert_eq!(runs("again"), runs("exact"));

    for step in ["1h", "15m", "5m"] {
        sums(&bench, &address, step, &format!("sums-{step}"), |node, part, differs| match part {
            // Wraps taken for resets make RAPL low, and nothing makes it high.
            "cpu" => assert!((-0.006..0.0).contains(&differs), "{step} {node} {part}: {differs}"),
            "dram" => assert!(differs.abs() < 0.006, "{step} {node} {part}: {differs}"),
            // On gpu002 the meters were not read for hours: the counters' energy of that
            // time is lost to `increase`.
            "gpu" => {
                let most = if node == "gpu002" { 0.03 } else { 0.006 };
                assert!(differs.abs() < most, "{step} {node} {part}: {differs}");
            }
            _ => {}
        });
    }
    // The longer a run against the step, the less the step's edges matter.
    let (_, short) = runs_differ(&bench, "sums-1h", 600.0, 3600.0);
    let (_, long) = runs_differ(&bench, "sums-1h", 14_400.0, f64::MAX);
    let (_, fine) = runs_differ(&bench, "sums-5m", 600.0, 3600.0);
    assert!(long < short && fine < short, "{long} {short} {fine}");
}

/// Behind a real VictoriaMetrics, which was given the same samples. Its `increase` counts from the last sample
/// before the step, to the last in it, and extrapolates nothing: what Prometheus' makes of the ends of steps is not
/// there, and what was used across a gap is, where a step spans it.
#[test]
#[ignore = "needs victoria-metrics: apt-get install victoria-metrics"]
fn reports_from_sums_of_victoria_metrics() {
    let bench = Bench::new();
    cluster(&bench);
    let server = Victoria::start(&bench.path("sim"), &[]);
    server.feed(&bench.path("sim/snapshot"));
    for step in ["1h", "15m", "5m"] {
        sums(&bench, &server.url(), step, &format!("sums-{step}"), |node, part, differs| {
            match (part, node) {
                ("cpu", _) => assert!((-0.006..0.0).contains(&differs), "{step} {node} {part}: {differs}"),
                ("dram", _) => assert!((-0.001..0.0).contains(&differs), "{step} {node} {part}: {differs}"),
                ("gpu", "gpu002") if step != "1h" => {
                    assert!((-0.03..-0.01).contains(&differs), "{step} {node} {part}: {differs}");
                }
                ("gpu", _) => {
                    // A step of 5 min that lies in a gap as a whole is lost.
                    let least = if step == "5m" { -0.006 } else { -0.001 };
                    assert!((least..0.0002).contains(&differs), "{step} {node} {part}: {differs}");
                }
                _ => {}
            }
        });
    }
}
