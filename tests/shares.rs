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
use std::fmt::Write as _;

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

/// CEEMS' golden node through the whole program: 500 W by IPMI, 160 W of processors and 40 W of memory by RAPL, 20 busy
/// cores, 128 GB in use. CEEMS' own rules under promtool give A 295 W and B 164.5 W; the 40.5 W that they give to
/// nobody are a line here.
#[test]
fn the_golden_node_of_ceems() {
    const START_MS: i64 = 1_780_272_000_000;
    const SECONDS: i64 = 1800;
    let mut lines = String::new();
    let mut add = |labels: &str, at: &dyn Fn(f64) -> f64| {
        for second in (0..=SECONDS).step_by(30) {
            let at_ms = START_MS + second * 1000;
            writeln!(lines, "{{{labels}}} {} {at_ms}", at(second as f64)).unwrap();
        }
    };
    let node = r#"instance="n1:9100", job="node""#;
    add(r#"__name__="ipmi_dcmi_power_consumption_watts", instance="n1:9290", job="ipmi""#, &|_| 500.0);
    for socket in 0..2 {
        let zone = format!("path=\"/sys/class/powercap/intel-rapl:{socket}\"");
        let memory = format!("path=\"/sys/class/powercap/intel-rapl:{socket}:0\"");
        add(&format!("__name__=\"node_rapl_package_joules_total\", {node}, {zone}"), &|s| 80.0 * s);
        add(&format!("__name__=\"node_rapl_dram_joules_total\", {node}, {memory}"), &|s| 20.0 * s);
    }
    for cpu in 0..32 {
        let busy = if cpu < 20 { 1.0 } else { 0.0 };
        for (mode, rate) in [("user", busy), ("idle", 1.0 - busy)] {
            let labels =
                format!("__name__=\"node_cpu_seconds_total\", cpu=\"{cpu}\", {node}, mode=\"{mode}\"");
            add(&labels, &|s| rate * s);
        }
    }
    add(&format!("__name__=\"node_memory_MemTotal_bytes\", {node}"), &|_| 256e9);
    add(&format!("__name__=\"node_memory_MemAvailable_bytes\", {node}"), &|_| 128e9);
    for (job, cores, bytes) in [("101", 12.5, 64e9), ("102", 6.5, 32e9)] {
        let ceems = format!("instance=\"n1:9010\", job=\"ceems\", uuid=\"{job}\"");
        let of = |metric: &str| format!("__name__=\"ceems_compute_unit_{metric}\", {ceems}");
        add(&of("cpu_user_seconds_total"), &|s| cores * s);
        add(&of("cpu_system_seconds_total"), &|_| 0.0);
        add(&of("memory_used_bytes"), &|_| bytes);
    }
    let directory = support::fresh("ceems");
    let path = |name: &str| directory.join(name);
    support::convert(&directory, &lines);
    let runs = "run_id,start,end,nodes,cpus,memory\n101,2026-06-01T00:00:00Z,2026-06-01T00:30:00Z,n1,16,100G\n\
                102,2026-06-01T00:00:00Z,2026-06-01T00:30:00Z,n1,8,50G\n";
    std::fs::write(path("runs.csv"), runs).unwrap();
    let mut report = support::wattledger();
    report.args(["report", "--no-charts", "--share", "ceems", "--from", "2026-06-01T00:00:00Z"]);
    report.args(["--to", "2026-06-01T00:30:00Z", "--snapshot"]).arg(path("blocks"));
    report.arg("--jobs").arg(path("runs.csv")).arg("--out").arg(path("report")).assert().success();

    let seconds = SECONDS as f64;
    let rows = table(&path("report").join("runs.csv"));
    for (run, watts) in [("101", 295.0), ("102", 164.5)] {
        let row = rows.iter().find(|row| row.text("run_id") == run).unwrap();
        let found_w = row.joules("energy_kwh") / seconds;
        assert!((found_w - watts).abs() < 1e-6, "{run}: {found_w} W");
        assert_eq!(row.text("share_method"), "ceems");
    }
    let nodes = table(&path("report").join("by_node.csv"));
    let nobody_w = nodes[0].joules("unattributed_energy_kwh") / seconds;
    assert!((nobody_w - 40.5).abs() < 1e-6, "{nobody_w} W");
}

/// A log read in a zone that it is not from is found out, and one in its own zone is not accused.
#[test]
fn a_log_read_in_the_wrong_zone_is_found_out() {
    let cluster = cluster("zones");
    let notes = |name: &str, zone: &str| {
        let summary =
            std::fs::read_to_string(cluster.report(name, &["--jobs-tz", zone]).join("summary.json"));
        let summary: serde_json::Value = serde_json::from_str(&summary.unwrap()).unwrap();
        let notes = summary["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap().to_owned());
        notes.filter(|note| note.contains("--jobs-tz")).collect::<Vec<String>>()
    };
    assert_eq!(notes("utc", "UTC"), Vec::<String>::new());
    // Four hours west: what was read lies four hours too late.
    let found = notes("west", "Etc/GMT+4");
    println!("{found:?}");
    assert!(
        found.len() == 1 && found[0].contains("4 h earlier") && found[0].contains("`Etc/GMT+4`"),
        "{found:?}"
    );
    let found = notes("east", "Asia/Tokyo");
    assert!(found.len() == 1 && found[0].contains("9 h later"), "{found:?}");
}

/// Two instances of one card, whose rows both carry the card's 300 W: it counts once, and goes 2 : 1 to jobs of equal
/// slices that were busy 2 : 1, as CEEMS' rule has it; by allocation in halves.
#[test]
fn instances_of_a_gpu_share_it_by_activity() {
    for binding in ["hpc_job", "ceems"] {
        share_instances(binding);
    }
}

/// Who had which instance is told by dcgm-exporter's own label, or by a series of CEEMS.
fn share_instances(binding: &str) {
    const START_MS: i64 = 1_780_272_000_000;
    let mut lines = String::new();
    let mut add = |metric: &str, (id, job): (&str, &str), value: f64| {
        let told = if binding == "hpc_job" { format!("hpc_job=\"{job}\", ") } else { String::new() };
        for second in (0..=1800).step_by(30) {
            let labels = format!(
                "Hostname=\"g1\", UUID=\"GPU-aa\", GPU_I_ID=\"{id}\", GPU_I_PROFILE=\"3g.40gb\", gpu=\"0\", \
                 {told}instance=\"g1:9400\", job=\"dcgm\", modelName=\"NVIDIA A100\""
            );
            let at_ms = START_MS + second * 1000;
            writeln!(lines, "{{__name__=\"{metric}\", {labels}}} {value} {at_ms}").unwrap();
        }
    };
    for (instance, activity) in [(("1", "101"), 0.56), (("2", "102"), 0.28)] {
        add("DCGM_FI_DEV_POWER_USAGE", instance, 300.0);
        add("DCGM_FI_PROF_SM_ACTIVE", instance, activity);
        // Busy with one warp is busy: not what counts where there is better.
        add("DCGM_FI_PROF_GR_ENGINE_ACTIVE", instance, 1.0);
    }
    if binding == "ceems" {
        for (id, job) in [("1", "101"), ("2", "102")] {
            let labels = format!(
                "__name__=\"ceems_compute_unit_gpu_index_flag\", gpuiid=\"{id}\", gpuuuid=\"GPU-aa\", index=\"0\", \
                 instance=\"g1:9010\", job=\"ceems\", uuid=\"{job}\""
            );
            writeln!(lines, "{{{labels}}} 1 {START_MS}").unwrap();
        }
    }
    let directory = support::fresh(&format!("instances-{binding}"));
    let path = |name: &str| directory.join(name);
    support::convert(&directory, &lines);
    std::fs::write(path("wattledger.toml"), "[[hardware]]\ngpu_idle_w = 0\n").unwrap();
    let runs = "run_id,start,end,nodes,cpus,gpus\n101,2026-06-01T00:00:00Z,2026-06-01T00:30:00Z,g1,4,1\n\
                102,2026-06-01T00:00:00Z,2026-06-01T00:30:00Z,g1,4,1\n";
    std::fs::write(path("runs.csv"), runs).unwrap();
    for (share, watts, method) in
        [("usage", [200.0, 100.0], "used:instances"), ("allocated", [150.0, 150.0], "bound")]
    {
        let mut report = support::wattledger();
        report.args([
            "report",
            "--no-charts",
            "--from",
            "2026-06-01T00:00:00Z",
            "--to",
            "2026-06-01T00:30:00Z",
        ]);
        report.args(["--share", share, "--snapshot"]).arg(path("blocks")).arg("--jobs").arg(path("runs.csv"));
        report.arg("--config").arg(path("wattledger.toml")).arg("--out").arg(path(share)).assert().success();
        let rows = table(&path(share).join("runs.csv"));
        for (run, watts) in ["101", "102"].into_iter().zip(watts) {
            let row = rows.iter().find(|row| row.text("run_id") == run).unwrap();
            let found_w = row.joules("gpu_energy_kwh") / 1800.0;
            assert!((found_w - watts).abs() < 1e-6, "{share} {run}: {found_w} W");
            assert_eq!(row.text("share_method"), method);
        }
    }
}
