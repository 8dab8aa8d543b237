//! Inputs that real programs left behind, from the collection beside the project;
//! each test says so and passes where that is not there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod support;

use std::path::Path;

use support::{Bench, assert_close, ms, number, only, real, table, tdp_curve_w, total, utilisation};
use wattledger::tsdb::{Database, METRIC_NAME, Matcher, ReadBuffer, ReadStats};

/// Slurm's three nodes of two CPUs each were one host, as was the node `vm` of its first hour.
const CONFIG: &str =
    "[nodes.alias]\n\"n00[1-3]\" = \"vm\"\n\n[[hardware]]\nnodes = \"vm\"\ncpus = 6\ncpu_tdp_w = 100\n";
const J_PER_KWH: f64 = 3.6e6;

fn report(bench: &Bench, snapshot: &Path, more: &[&str]) -> support::Ended {
    bench.write("site.toml", CONFIG);
    let snapshot = snapshot.to_str().unwrap();
    let arguments = [
        "report",
        "--snapshot",
        snapshot,
        "--config",
        "site.toml",
        "--zone",
        "DE",
        "--no-charts",
        "--out",
        "out",
    ];
    bench.run(&[&arguments[..], more].concat())
}

/// Reads every series of a snapshot: what came out and what was left out.
fn read_all(snapshot: &Path) -> (Database, ReadStats) {
    let database = Database::open(snapshot).unwrap();
    let window = database.time_range().unwrap();
    let mut stats = ReadStats::default();
    let mut buffer = ReadBuffer::default();
    for series in database.select(&[], window).unwrap() {
        database.read(&series, window, &mut buffer, &mut stats).unwrap();
    }
    (database, stats)
}

/// Chunks that the blocks' own descriptions count.
fn chunks_described(database: &Database) -> u64 {
    let count = |path: &Path| {
        let text = std::fs::read(path.join("meta.json")).unwrap();
        let meta: serde_json::Value = serde_json::from_slice(&text).unwrap();
        meta["stats"]["numChunks"].as_u64().unwrap()
    };
    database.blocks().iter().map(|block| count(&block.path)).sum()
}

/// Two years of snapshots of a Prometheus that watched nothing but itself.
#[test]
fn a_prometheus_without_a_meter_invents_nothing() {
    let Some(snapshot) = real("ai_co2_tsdb") else { return };
    let bench = Bench::new();
    let ended = report(&bench, &snapshot, &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("no meter was found: none of the series is in the meter catalog"));
    assert!(ended.stderr.contains("B1 closes, B2 closes, B3 closes"), "{}", ended.stderr);
    let summary = bench.json("out/summary.json");
    // The second had targets in the last hour, which only the log has: of its series the log
    // has lost the names, with segment 52.
    assert_eq!(summary["scrape_jobs"], serde_json::json!(["nvidia_gpu_exporter", "prometheus"]));
    assert_eq!(summary["energy_j"], 0.0);
    assert_eq!(summary["energy_extrapolated_kwh"], 0.0);
    assert_eq!(summary["emissions_gco2e"], serde_json::Value::Null, "nothing was priced");
    assert_eq!(summary["nodes"], 0);
    assert_eq!(summary["balances"]["closes"], true);
    for name in ["runs", "hourly", "by_node", "by_user"] {
        assert_eq!(total(&bench.table(&format!("out/{name}.csv")), first_energy(name)), 0.0);
    }
    // Said, and counted with --strict.
    let left_out: Vec<&str> =
        summary["left_out"].as_array().unwrap().iter().map(|left| left.as_str().unwrap()).collect();
    assert!(left_out[0].starts_with("wal: a file is missing between 00000051 and 00000053"), "{left_out:?}");
    assert_eq!(report(&bench, &snapshot, &["--strict"]).code, 3);
    let inspected = bench.run(&["inspect", "--snapshot", snapshot.to_str().unwrap()]);
    assert!(inspected.stdout.contains("\nnodes      none: no series is in the meter catalog\n"));
    assert!(inspected.stdout.contains("longest gap 2024-05-15T09:39:49.771Z to 2024-05-17T05:51:34.769Z"));
}

fn first_energy(table: &str) -> &'static str {
    if table == "hourly" { "energy_j" } else { "energy_kwh" }
}

/// Watts of a 100 W processor between each two scrapes of the host, and its bytes of memory.
fn host(database: &Database) -> (Vec<(i64, i64, f64)>, f64, i64) {
    let window = database.time_range().unwrap();
    let read = |metric: &str| {
        let mut buffer = ReadBuffer::default();
        let mut found = Vec::new();
        for series in database.select(&[Matcher::equal(METRIC_NAME, metric)], window).unwrap() {
            database.read(&series, window, &mut buffer, &mut ReadStats::default()).unwrap();
            let samples = buffer.samples();
            let pairs = samples.timestamps_ms.iter().copied().zip(samples.values.iter().copied());
            found.push((series.labels.clone(), pairs.collect::<Vec<_>>()));
        }
        found
    };
    let mut cpus = support::Modes::new();
    for (labels, samples) in read("node_cpu_seconds_total") {
        let label = |name| labels.get(name).unwrap().to_owned();
        cpus.entry(label("cpu")).or_default().insert(label("mode"), samples);
    }
    assert_eq!(cpus.len(), 2);
    let memory = read("node_memory_MemTotal_bytes").remove(0).1;
    // Between two readings that no stale marker parts.
    let known_ms = memory
        .windows(2)
        .filter(|pair| !pair[0].1.is_nan() && !pair[1].1.is_nan())
        .map(|pair| pair[1].0 - pair[0].0)
        .sum();
    let watts = utilisation(&cpus).into_iter().map(|(from, to, load)| (from, to, tdp_curve_w(load, 100.0)));
    (watts.collect(), memory[0].1, known_ms)
}

/// A Slurm and a Prometheus on one host without any power meter.
#[test]
fn runs_of_a_real_cluster_have_modelled_energy() {
    for name in ["snapshot_20261123T135522Z", "snapshot_20261123T135540Z"] {
        let Some(snapshot) = real(&format!("prometheus_live/{name}")) else { return };
        let Some(jobs) = real("slurm/sacct_P_dup_ALL_final.psv") else { return };
        let bench = Bench::new();
        let ended = report(&bench, &snapshot, &["--jobs", jobs.to_str().unwrap()]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let summary = bench.json("out/summary.json");
        assert_eq!(summary["balances"]["closes"], true);
        assert_eq!(summary["nodes_without_series"], serde_json::json!([]));

        // The node, by hand.
        let (database, stats) = read_all(&snapshot);
        let (cpu_w, memory_bytes, memory_ms) = host(&database);
        let cpu_j: f64 = cpu_w.iter().map(|(from, to, watts)| watts * (to - from) as f64 / 1000.0).sum();
        let nodes = bench.table("out/by_node.csv");
        let node = only(&nodes, "node", "vm");
        assert_close(number(node, "cpu_energy_kwh") * J_PER_KWH, cpu_j, 1e-9);
        let dram_j = 0.3725e-9 * memory_bytes * memory_ms as f64 / 1000.0;
        assert_close(number(node, "dram_energy_kwh") * J_PER_KWH, dram_j, 1e-9);
        assert_close(summary["energy_j"].as_f64().unwrap(), cpu_j + dram_j, 1e-9);

        // Job 6 held one CPU for 500 s. By hand by time alone: the two edges lie somewhere in 5 s
        // between scrapes each, at no less than 12 and no more than 102 W.
        let runs = bench.table("out/runs.csv");
        let run = only(&runs, "run_id", "6");
        let (start_ms, end_ms) = (ms(&run["start"]), ms(&run["end"]));
        assert_eq!(end_ms - start_ms, 500_000);
        let part = |(from, to, watts): &(i64, i64, f64)| {
            watts * ((*to).min(end_ms) - (*from).max(start_ms)).max(0) as f64 / 1000.0
        };
        let linear_j: f64 = cpu_w.iter().map(part).sum::<f64>() / 6.0;
        let cpu_run_j = number(run, "cpu_energy_kwh") * J_PER_KWH;
        assert!((cpu_run_j - linear_j).abs() < 2.0 * 5.0 * 90.0 / 6.0, "{cpu_run_j} and {linear_j}");
        assert!((cpu_run_j - linear_j).abs() < 0.05 * linear_j, "{cpu_run_j} and {linear_j}");
        assert_eq!(run["method"], "modelled:utilisation+modelled:constant");
        // Every run in the snapshot's time that lasted has energy; all add up.
        let lasted = runs.iter().filter(|run| number(run, "in_window_s") > 0.0);
        assert!(lasted.clone().count() > 20 && lasted.clone().all(|run| number(run, "energy_kwh") > 0.0));
        let of_runs = summary["energy_kwh_by_beneficiary"]["run"].as_f64().unwrap();
        assert_close(total(&runs, "energy_kwh"), of_runs, 1e-9);

        // Native histograms are no meters, so the report does not touch them; a reader of all
        // series names them, and every chunk is decoded or counted.
        assert_eq!(summary["samples"]["chunks_skipped_by_encoding"], serde_json::json!({}));
        let skipped: u64 = stats.chunks_skipped.values().sum();
        assert!(skipped > 0 && stats.chunks_skipped.keys().all(|name| name.contains("histogram")));
        let seen = stats.chunks + skipped + stats.chunks_deleted + stats.chunks_damaged;
        assert_eq!(seen, chunks_described(&database), "{stats:?}");
        assert_eq!(stats.chunks_damaged, 0);
    }
}

/// The same server's snapshots and its data directory as `kill -9` left it.
#[test]
fn a_snapshot_and_a_crashed_data_directory_give_the_same_report() {
    let Some(jobs) = real("slurm/sacct_P_dup_ALL_final.psv") else { return };
    let more =
        ["--jobs", jobs.to_str().unwrap(), "--from", "2026-11-23T13:30:00", "--to", "2026-11-23T13:53:30"];
    let names =
        ["snapshot_20261123T135522Z", "snapshot_20261123T135540Z", "data_after_kill9", "data_ooo_wbl_kill9"];
    let runs: Vec<String> = names
        .iter()
        .map(|name| {
            let bench = Bench::new();
            let ended = report(&bench, &real(&format!("prometheus_live/{name}")).unwrap(), &more);
            assert_eq!(ended.code, 0, "{}", ended.stderr);
            std::fs::read_to_string(bench.path("out/runs.csv")).unwrap()
        })
        .collect();
    assert!(runs[0].lines().count() > 20);
    assert!(runs.iter().all(|text| text == &runs[0]));
}

/// Prometheus 3.13 with its newest float encoding: a report like any other.
#[test]
fn a_report_from_xor2_chunks() {
    let Some(snapshot) = real("prometheus_3/xor2_zstd") else { return };
    let (database, stats) = read_all(&snapshot);
    assert_eq!(stats.chunks_skipped.keys().collect::<Vec<_>>(), ["float histogram", "histogram"]);
    let skipped: u64 = stats.chunks_skipped.values().sum();
    assert!(skipped + stats.chunks > chunks_described(&database), "the head has more");

    let bench = Bench::new();
    let ended = report(&bench, &snapshot, &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let summary = bench.json("out/summary.json");
    assert!(summary["energy_j"].as_f64().unwrap() > 0.0);
    assert_eq!(summary["balances"]["closes"], true);
    assert_eq!(summary["samples"]["chunks_skipped_by_encoding"], serde_json::json!({}));
    let meters = table(&bench.path("out/meters.csv"));
    let rapl: Vec<_> =
        meters.iter().filter(|row| row["metric"] == "node_rapl_package_joules_total").collect();
    assert_eq!(rapl.len(), 4);
    assert!(rapl.iter().all(|row| number(row, "samples") > 100.0));
}
