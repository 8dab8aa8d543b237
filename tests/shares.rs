//! Shared nodes: who gets what of processors and memory, by allocation and by use, against a simulated truth.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a test fails by panicking and prints what it measured; helpers are shared"
)]

use std::collections::BTreeMap;

use wattledger::simulate::Scenario;

#[path = "support/truth.rs"]
mod support;

use support::{Cluster, table};

const JOULES_PER_KWH: f64 = 3.6e6;

fn cluster(name: &str) -> Cluster {
    let scenario =
        Scenario { nodes: 4, gpus: 0, days: 1.0, runs: Some(160), job_series: true, ..Scenario::default() };
    Cluster::new(name, &scenario)
}

/// Relative errors of the runs' energies of one component, weighted by energy: mean and 90th percentile.
fn errors(
    report: &std::path::Path,
    truth: &BTreeMap<String, support::RunTruth>,
    column: &str,
    component: &str,
) -> (f64, f64) {
    let rows = table(&report.join("runs.csv"));
    let mut all: Vec<(f64, f64)> = Vec::new();
    for row in &rows {
        let Some(run) = truth.get(row.text("run_id")).filter(|run| run.metered) else { continue };
        let expected_j = run.used_j.get(component).copied().unwrap();
        if expected_j < 1000.0 {
            continue;
        }
        let found_j = row.number(column) * JOULES_PER_KWH;
        all.push(((found_j - expected_j).abs() / expected_j, expected_j));
    }
    assert!(all.len() > 60, "{} runs to compare", all.len());
    all.sort_by(|left, right| left.0.total_cmp(&right.0));
    let total: f64 = all.iter().map(|(_, energy)| energy).sum();
    let mean = all.iter().map(|(error, energy)| error * energy).sum::<f64>() / total;
    (mean, all[all.len() * 9 / 10].0)
}

#[test]
fn use_tells_busy_from_idle_runs_where_allocation_cannot() {
    let cluster = cluster("shares");
    let truth = cluster.runs();
    let by_use = cluster.report("usage", &[]);
    let allocated = cluster.report("allocated", &["--share", "allocated"]);
    // The memory of the system itself, 3 GB that no job holds, draws nothing in the simulation, and a share by use.
    let limits = [("cpu_energy_kwh", "cpu", 0.015, 0.05), ("dram_energy_kwh", "dram", 0.08, 0.2)];
    for (column, component, mean, most) in limits {
        let (used_mean, used_most) = errors(&by_use, &truth, column, component);
        let (allocated_mean, _) = errors(&allocated, &truth, column, component);
        println!(
            "{component}: by use {used_mean:.4} (90 % under {used_most:.4}), by allocation {allocated_mean:.4}"
        );
        assert!(used_mean < mean && used_most < most, "{component}: {used_mean} {used_most}");
        assert!(allocated_mean > 3.0 * used_mean, "{component}: {allocated_mean} {used_mean}");
    }
}

/// What a node used is the same whoever gets it.
#[test]
fn the_rule_of_shares_moves_nothing_between_nodes() {
    let cluster = cluster("shares-sum");
    let of = |report: &std::path::Path| -> Vec<(String, f64)> {
        table(&report.join("by_node.csv"))
            .iter()
            .map(|row| (row.text("node").to_owned(), row.number("energy_kwh")))
            .collect()
    };
    let by_use = cluster.report("usage", &[]);
    let allocated = cluster.report("allocated", &["--share", "allocated"]);
    for ((node, left), (_, right)) in of(&by_use).into_iter().zip(of(&allocated)) {
        assert!((left - right).abs() <= 1e-9 * right.max(1.0), "{node}: {left} {right}");
    }
    // Services outside of every job use 0.4 % of each processor: a line of its own.
    let unattributed: f64 =
        table(&by_use.join("by_node.csv")).iter().map(|row| row.number("unattributed_energy_kwh")).sum();
    assert!(unattributed > 0.0);
}
