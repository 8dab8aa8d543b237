//! Jobs of known loads that shared the nodes of a real Slurm (`tests/fixtures/shared_nodes`): who gets the energy of
//! the processors, by use and by allocation.
//!
//! What each job used is known from two sides that wattledger does not read: the loads that were asked for, and
//! `TotalCPU`, which Slurm itself counted.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a test fails by panicking and prints what it measured; helpers are shared"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[path = "support/truth.rs"]
mod support;

use support::{fresh, table, wattledger};

const JOULES_PER_KWH: f64 = 3.6e6;
/// Processor at rest in these tests, in watts: what the model says of 100 W at no load.
const IDLE_W: f64 = 12.0;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/shared_nodes").join(name)
}

/// The machine is virtual and has no meter: its processors are rated at 100 W, 12 % of it at no load.
fn report(name: &str, share: &str) -> PathBuf {
    let directory = fresh(name);
    let config = directory.join("wattledger.toml");
    std::fs::write(&config, format!("[[hardware]]\ncpu_tdp_w = 100\ncpu_idle_w = {IDLE_W}\n")).unwrap();
    let out = directory.join("report");
    let mut command = wattledger();
    command.args(["report", "--no-charts", "--share", share, "--out"]).arg(&out);
    command.arg("--snapshot").arg(fixture("snapshot")).arg("--config").arg(&config);
    command.arg("--jobs").arg(fixture("sacct.txt")).arg("--jobs").arg(fixture("scontrol_nodes.txt"));
    command.assert().success();
    out
}

/// Joules of processors, and how they were shared, by job name.
fn processors(report: &Path) -> BTreeMap<String, (f64, String)> {
    table(&report.join("runs.csv"))
        .iter()
        .map(|row| {
            let energy_j = row.text("cpu_energy_kwh").parse::<f64>().unwrap_or(0.0) * JOULES_PER_KWH;
            (row.text("name").to_owned(), (energy_j, row.text("share_method").to_owned()))
        })
        .collect()
}

/// Seconds that Slurm says a job lasted, and CPU seconds that it used.
fn slurm() -> BTreeMap<String, (f64, f64)> {
    let text = std::fs::read_to_string(fixture("sacct.txt")).unwrap();
    let rows = text.lines().skip(1).map(|line| line.split('|').collect::<Vec<&str>>());
    rows.filter(|row| !row[0].contains('.'))
        .map(|row| {
            let cpu_s = row[14].split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap());
            ((*row.last().unwrap()).to_owned(), (row[8].parse().unwrap(), cpu_s))
        })
        .collect()
}

/// What is left of the processors' energy without the static part of one CPU of two.
fn dynamic_j((energy_j, _): &(f64, String), lasted_s: f64) -> f64 {
    energy_j - 0.5 * IDLE_W * lasted_s
}

#[test]
fn the_busy_job_has_the_dynamic_energy_by_use_and_half_by_allocation() {
    let slurm = slurm();
    let by_use = processors(&report("shared_nodes_usage", "usage"));
    let allocated = processors(&report("shared_nodes_allocated", "allocated"));
    for (name, (energy_j, method)) in &by_use {
        let (lasted_s, cpu_s) = slurm[name];
        println!(
            "{name}: {lasted_s} s, {cpu_s} CPU s; {energy_j:.0} J by use ({method}), {:.0} J by allocation",
            allocated[name].0
        );
    }
    for (busy, idle) in [("busy", "sleeping"), ("sixty", "twenty")] {
        let (busy_s, busy_cpu_s) = slurm[busy];
        let (idle_s, idle_cpu_s) = slurm[idle];
        let (most, least) = (dynamic_j(&by_use[busy], busy_s), dynamic_j(&by_use[idle], idle_s));
        // Of what both have, each has its part of the CPU time that Slurm counted.
        let part = busy_cpu_s / (busy_cpu_s + idle_cpu_s);
        assert!((most / (most + least) - part).abs() < 0.01, "{busy}: {most} J, {idle}: {least} J, {part}");
        assert!(by_use[busy].1.contains("used:cpu-time"), "{}", by_use[busy].1);
        // By allocation equal cores have equal energy, but for the second that one lasted longer.
        let (left, right) = (allocated[busy].0, allocated[idle].0);
        assert!((left - right).abs() < 0.02 * left, "{left} {right}");
        assert!(allocated[busy].1.contains("allocated:cpus"), "{}", allocated[busy].1);
    }
    // It sleeps beside a job that keeps this node busy and the other one nearly idle: nothing but the static part.
    let (lasted_s, _) = slurm["neighbour"];
    assert!(dynamic_j(&by_use["neighbour"], lasted_s).abs() < 0.01 * by_use["lopsided"].0);
    // No exporter ran on its node.
    assert_eq!(by_use["unmetered"].0, 0.0);
}

#[test]
fn what_a_daemon_used_beside_a_job_is_unattributed() {
    let report = report("shared_nodes_daemon", "usage");
    let job_j = dynamic_j(&processors(&report)["beside-a-daemon"], slurm()["beside-a-daemon"].0);
    let nodes = table(&report.join("by_node.csv"));
    let node = nodes.iter().find(|row| row.text("node") == "n002").unwrap();
    // The daemon took 40 % of the CPU while the job took 30 %.
    let unattributed_j = node.joules("unattributed_energy_kwh");
    assert!(job_j > 0.0 && unattributed_j > 1.3 * job_j, "{unattributed_j} {job_j}");
}

/// The rule moves energy between beneficiaries, and none in or out.
#[test]
fn nodes_keep_their_energy_whatever_the_rule() {
    let of = |share: &str| -> Vec<f64> {
        let rows = table(&report(&format!("shared_nodes_sum_{share}"), share).join("by_node.csv"));
        rows.iter().map(|row| row.joules("energy_kwh")).collect()
    };
    let allocated = of("allocated");
    assert!(allocated.iter().sum::<f64>() > 1000.0);
    for share in ["usage", "ceems"] {
        for (left, right) in allocated.iter().zip(of(share)) {
            assert!((left - right).abs() <= 1e-9 * left.max(1.0), "{share}: {left} {right}");
        }
    }
}
