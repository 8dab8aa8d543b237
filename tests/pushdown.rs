//! Reports straight from a server: with its samples, and with its sums alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod support;

use std::collections::BTreeMap;

use support::prometheus::Prometheus;
use support::{Bench, number};
use wattledger::simulate::{Scenario, simulate};

const SERVER: &str = "http://127.0.0.1:";

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

/// A simulated cluster, two days of it, behind a real Prometheus: a report from
/// the server is that from the snapshot, byte for byte; one from its sums differs
/// by what `increase` gets wrong, and says so.
#[test]
#[ignore = "needs prometheus: apt-get install prometheus"]
fn reports_from_a_server_and_from_its_sums() {
    let bench = Bench::new();
    let scenario = Scenario { nodes: 3, gpus: 2, days: 2.0, seed: 3, ..Scenario::default() };
    simulate(&scenario, &bench.path("sim"), &|_| {}).unwrap();
    support::copy(&bench.path("sim/snapshot"), &bench.path("data"));
    let server = Prometheus::serve(&bench.path("data"), &bench.path(""));
    let address = format!("{SERVER}{}", server.port);
    let common =
        ["--jobs", "sim/sacct.txt", "--config", "sim/wattledger.toml", "--zone", "DE", "--no-charts"];
    let report = |out: &str, source: &[&str]| {
        let all = [&["report", "--out", out], source, &common[..]].concat();
        let ended = bench.run(&all);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stderr.contains("B1 closes, B2 closes, B3 closes"), "{}", ended.stderr);
        ended.stderr
    };
    let from_server = |out: &str, more: &[&str]| {
        let source =
            ["--prometheus", &address, "--cache", "cache", "--from", "2024-06-03", "--to", "2024-06-05"];
        report(out, &[&source[..], more].concat())
    };
    report("exact", &["--snapshot", "sim/snapshot"]);

    let said = from_server("raw", &[]);
    assert!(said.contains("protocol   stream"), "{said}");
    let runs = |report: &str| std::fs::read(bench.path(&format!("{report}/runs.csv"))).unwrap();
    assert_eq!(runs("raw"), runs("exact"));
    // The days that hold nothing are asked for again, those that do are there.
    let said = from_server("again", &[]);
    assert!(said.contains("2 kept") && said.contains("fetched    0 samples"), "{said}");
    assert_eq!(runs("again"), runs("exact"));

    let exact = by_part(&bench, "exact");
    for step in ["1h", "15m", "5m"] {
        let out = format!("sums-{step}");
        let said = from_server(&out, &[&format!("--pushdown={step}")]);
        assert!(said.contains("protocol   pushdown"), "{said}");
        let summary = bench.json(&format!("{out}/summary.json"));
        let notes = summary["notes"].to_string();
        assert!(notes.contains("pushed down") && notes.contains("`increase`"), "{notes}");
        let sums = by_part(&bench, &out);
        for ((node, part), energy) in &exact {
            if *energy == 0.0 {
                continue;
            }
            let differs = sums[&(node.clone(), *part)] / energy - 1.0;
            println!("{step:>4} {node:9} {part:5} {:+.2} %", 100.0 * differs);
            // Wraps taken for resets make RAPL low, and nothing makes it high.
            if *part == "cpu" {
                assert!((-0.006..0.0).contains(&differs), "{step} {node} {part}: {differs}");
            }
            if *part == "dram" {
                assert!((-0.006..0.006).contains(&differs), "{step} {node} {part}: {differs}");
            }
            // On gpu002 the meters were not read for hours: the counters' energy of that
            // time is lost to `increase`.
            if *part == "gpu" {
                assert!(
                    differs.abs() < if node == "gpu002" { 0.03 } else { 0.006 },
                    "{step} {node}: {differs}"
                );
            }
        }
        for (least_s, most_s) in [(0.0, 600.0), (600.0, 3600.0), (3600.0, 14_400.0), (14_400.0, f64::MAX)] {
            let (runs, median) = runs_differ(&bench, &out, least_s, most_s);
            println!(
                "{step:>4} runs of {least_s} to {most_s:.0e} s: {runs}, median {:.1} % off",
                100.0 * median
            );
        }
    }
    // The longer a run against the step, the less the step's edges matter.
    let (_, short) = runs_differ(&bench, "sums-1h", 600.0, 3600.0);
    let (_, long) = runs_differ(&bench, "sums-1h", 14_400.0, f64::MAX);
    let (_, fine) = runs_differ(&bench, "sums-5m", 600.0, 3600.0);
    assert!(long < short && fine < short, "{long} {short} {fine}");
}
