//! The user's figures against the simulator's exact truth.
//!
//! The simulator integrates power by formula and shares no code with what reads
//! samples back into energy, so a figure that agrees was not agreed upon.
//!
//! What cannot agree is kept apart instead of tolerated: the time before a
//! meter's first and after its last sample (at most two scrapes, so the windows
//! are long enough for it to stay under a thousandth), stretches that no meter
//! saw, and GPUs that no series ties to a run.

#![allow(
    clippy::unwrap_used,
    dead_code,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking and prints what it measured"
)]

#[path = "support/truth.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use support::{
    Cluster, DeviceFigures, PARTS, Row, RunTruth, device_figures, fresh, off_by, table, wattledger,
};
use wattledger::simulate::Scenario;
use wattledger::time::{DAY_MS, HOUR_MS, parse_instant};

/// What most tests look at: every exporter and every fault is in it.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let scenario = Scenario { nodes: 8, gpus: 2, cpus: 8, days: 3.0, seed: 7, ..Scenario::default() };
    Cluster::new("cluster", &scenario)
});
static REPORT: LazyLock<PathBuf> = LazyLock::new(|| CLUSTER.report("report", &[]));
static FIGURES: LazyLock<BTreeMap<(String, String, String), DeviceFigures>> =
    LazyLock::new(|| device_figures(&CLUSTER.books()));

/// The node whose GPUs only have power gauges, and no series that names a job.
const GAUGES_ONLY: &str = "gpu003";
/// The node that two Prometheus servers watch.
const WATCHED_TWICE: &str = "gpu001";

fn of_node<'r>(rows: &'r [Row], node: &str) -> &'r Row {
    rows.iter().find(|row| row.text("node") == node).unwrap()
}

#[test]
fn devices_seen_in_full_are_within_a_thousandth_and_others_are_never_above() {
    let (mut full, mut gaps, mut worst, mut worst_extrapolated) = (0, 0, 0.0_f64, 0.0_f64);
    for device in CLUSTER.devices().iter().filter(|device| device.metered) {
        let key = (device.node.clone(), device.component.clone(), device.device.clone());
        let figures = FIGURES.get(&key).unwrap_or_else(|| panic!("{key:?} is missing"));
        // A meter's first and last sample may lie a scrape inside its node's.
        let gap_s = figures.expected_s - figures.known_s;
        if gap_s <= 30.0 && device.component != "other" {
            full += 1;
            worst = worst.max(off_by(figures.energy_j, device.energy_j));
            assert!(off_by(figures.energy_j, device.energy_j) <= 1e-3, "{key:?}: {figures:?}");
            continue;
        }
        gaps += 1;
        assert!(figures.energy_j <= device.energy_j, "{key:?}: {figures:?}");
        match figures.extrapolated_j {
            Some(extrapolated_j) => {
                worst_extrapolated = worst_extrapolated.max(off_by(extrapolated_j, device.energy_j));
                assert!(off_by(extrapolated_j, device.energy_j) <= 0.01, "{key:?}: {figures:?}");
            }
            // A board of 350 W cannot have used more in the time that is missing.
            None => {
                assert_eq!((device.node.as_str(), device.component.as_str()), (GAUGES_ONLY, "gpu"));
                assert!(device.energy_j - figures.energy_j <= 350.0 * (gap_s + 30.0), "{key:?}: {figures:?}");
            }
        }
    }
    eprintln!("{full} devices seen in full: at most {:.4} % off", 100.0 * worst);
    eprintln!("{gaps} devices with gaps: extrapolated, at most {:.4} % off", 100.0 * worst_extrapolated);
    assert!(full >= 30 && gaps >= 10, "the scenario no longer has both kinds: {full} and {gaps}");
}

#[test]
fn the_tables_say_what_the_books_say() {
    let by_node = table(&REPORT.join("by_node.csv"));
    for row in &by_node {
        for component in ["cpu", "dram", "gpu", "other"] {
            let devices =
                FIGURES.iter().filter(|((node, kind, _), _)| node == row.text("node") && kind == component);
            let sum: f64 = devices.map(|(_, figures)| figures.energy_j).sum();
            assert!(off_by(row.joules(&format!("{component}_energy_kwh")), sum) <= 1e-9);
        }
    }
    assert_eq!(by_node.len(), 10);
    let gauges = of_node(&by_node, GAUGES_ONLY);
    assert_eq!(gauges.text("energy_extrapolated_kwh"), "", "an hour of it was seen by less than half");
}

/// What meters see only as a difference is constant in the simulator, so each hour's is known.
#[test]
fn other_is_right_in_each_hour() {
    let mut errors: Vec<f64> = Vec::new();
    let hourly = table(&REPORT.join("hourly.csv"));
    for device in CLUSTER.devices().iter().filter(|device| device.component == "other" && device.metered) {
        let power_w = device.energy_j / CLUSTER.window.length_s();
        let mut hours: BTreeMap<&str, f64> = BTreeMap::new();
        for row in
            hourly.iter().filter(|row| row.text("node") == device.node && row.text("component") == "other")
        {
            *hours.entry(row.text("bucket_start")).or_default() += row.number("energy_j");
        }
        assert_eq!(hours.len(), 72);
        errors.extend(hours.values().map(|hour_j| off_by(*hour_j, power_w * 3600.0)));
    }
    errors.sort_by(f64::total_cmp);
    let (median, ninth) = (errors[errors.len() / 2], errors[errors.len() * 9 / 10]);
    eprintln!(
        "`other` by hour: {:.2} % off in the median, {:.2} % for nine in ten",
        100.0 * median,
        100.0 * ninth
    );
    // A node's power is read once in 15 s, in whole watts, while its GPUs burst.
    assert!(errors.len() >= 144 && median <= 0.02 && ninth <= 0.1);
}

/// A run that can be compared one by one: all its devices metered, all its time
/// seen, and no GPU shared out by number.
fn is_comparable(row: &Row, truth: &RunTruth) -> bool {
    let is_seen = row.number("coverage") >= 1.0 - 1e-9 && row.number("interpolated") == 0.0;
    truth.metered && is_seen && !row.text("share_method").contains("allocated:gpus")
}

/// The energy of a run's parts is off by, and may be by its `edge_error_j` and a thousandth.
fn error_of(row: &Row, truth: &RunTruth) -> (f64, f64) {
    (row.parts_j() - truth.parts_j(), row.number("edge_error_j") + 1e-3 * truth.parts_j())
}

#[test]
fn nineteen_runs_in_twenty_lie_within_their_edge_error() {
    let truth = CLUSTER.runs();
    // Nodes whose meters are all counters, and nodes with a gauge among them.
    let mut groups: BTreeMap<bool, (usize, usize)> = BTreeMap::new();
    let mut worst = 0.0_f64;
    for row in table(&REPORT.join("runs.csv")) {
        let run = &truth[row.text("run_id")];
        if !is_comparable(&row, run) {
            continue;
        }
        let (error_j, allowed_j) = error_of(&row, run);
        let group = groups.entry(row.text("method") == "measured:counter").or_default();
        group.0 += 1;
        group.1 += usize::from(error_j.abs() <= allowed_j);
        if error_j.abs() > allowed_j {
            worst = worst.max(error_j.abs() / run.parts_j());
        }
    }
    for (only_counters, (compared, within)) in &groups {
        let kind = if *only_counters { "counters" } else { "counters and gauges" };
        eprintln!("{kind}: {within} of {compared} runs within edge_error_j + 0.1 %");
    }
    eprintln!("the others are at most {:.2} % off", 100.0 * worst);
    assert_eq!(groups.len(), 2);
    assert!(groups.values().all(|(compared, within)| *compared >= 50 && 20 * within >= 19 * compared));
    assert!(worst <= 0.1);
}

/// Where no series tells which GPU is whose, runs and idle still add up to the
/// GPUs, and a run that had them all is right.
#[test]
fn gpus_without_a_job_label_are_right_in_sum_and_where_a_run_has_them_all() {
    let truth = CLUSTER.runs();
    let mut compared = 0;
    for row in table(&REPORT.join("runs.csv")) {
        let whole = row.text("nodes") == GAUGES_ONLY && row.text("gpus") == "2.0";
        if !whole || row.number("coverage") < 1.0 - 1e-9 {
            continue;
        }
        compared += 1;
        let run = &truth[row.text("run_id")];
        let (got_j, true_j) = (row.joules("gpu_energy_kwh"), run.energy_j["gpu"]);
        eprintln!(
            "{} for {} s: {:+.2} %",
            row.text("run_id"),
            row.text("in_window_s"),
            100.0 * (got_j / true_j - 1.0)
        );
        // Bursts of seconds, read once in 15 s.
        assert!(off_by(got_j, true_j) <= 0.03, "{}", row.text("run_id"));
    }
    assert!(compared >= 2);
    let is_gpu_here = |row: &&Row| row.text("node") == GAUGES_ONLY && row.text("component") == "gpu";
    let hourly = table(&REPORT.join("hourly.csv"));
    let sum: f64 = hourly.iter().filter(is_gpu_here).map(|row| row.number("energy_j")).sum();
    let gpus = FIGURES.iter().filter(|((node, kind, _), _)| node == GAUGES_ONLY && kind == "gpu");
    assert!(off_by(sum, gpus.map(|(_, figures)| figures.energy_j).sum()) <= 1e-9);
}

#[test]
fn runs_of_seconds_are_within_a_few_per_cent_and_linear_edges_are_many_times_worse() {
    // One in eight of these is a run of 5 to 40 s.
    let scenario = Scenario {
        nodes: 2,
        gpus: 2,
        cpus: 8,
        days: 2.0,
        seed: 3,
        infrastructure_nodes: 0,
        runs: Some(700),
        ..Scenario::default()
    };
    let cluster = Cluster::new("short", &scenario);
    let truth = cluster.runs();
    let mean_error = |options: &[&str], name: &str| {
        let mut errors: Vec<f64> = Vec::new();
        let mut signed = 0.0;
        for row in table(&cluster.report(name, options).join("runs.csv")) {
            let run = &truth[row.text("run_id")];
            if (15.0..=40.0).contains(&row.number("in_window_s")) && is_comparable(&row, run) {
                errors.push(off_by(row.parts_j(), run.parts_j()));
                signed += row.parts_j() / run.parts_j() - 1.0;
            }
        }
        let count = errors.len() as f64;
        let mean = errors.iter().sum::<f64>() / count;
        eprintln!(
            "{name} edges, {count} runs of 15 to 40 s every 15 s: mean |error| {:.2} %, mean error {:+.2} %",
            100.0 * mean,
            100.0 * signed / count
        );
        assert!(errors.len() >= 20, "only {count} short runs");
        mean
    };
    let by_power = mean_error(&[], "power");
    let by_time = mean_error(&["--edges", "linear"], "linear");
    assert!(by_power <= 0.04, "{by_power}");
    assert!(by_time >= 5.0 * by_power, "{by_time} against {by_power}");
}

/// What `increase()` makes of samples: after a fall, all of the new value. A
/// wrap then loses what was counted between the last sample and the range's end.
fn increase(samples: &[(i64, f64)]) -> f64 {
    let steps = samples.iter().zip(samples.iter().skip(1));
    steps.map(|((_, before), (_, after))| if after < before { *after } else { after - before }).sum()
}

#[test]
fn rapl_wraps_cost_nothing_at_any_scrape_interval() {
    // As long as it takes for the two half scrapes at the ends to stay under a thousandth.
    for (interval_s, days) in [(15, 2.0), (60, 4.0), (300, 20.0)] {
        let scenario = Scenario {
            nodes: 2,
            gpus: 0,
            cpus: 4,
            days,
            seed: 11,
            infrastructure_nodes: 0,
            scrape_interval_s: interval_s,
            ..Scenario::default()
        };
        let cluster = Cluster::new(&format!("wraps-{interval_s}"), &scenario);
        let (mut got, mut truth, mut known_s, mut expected_s) = (0.0, 0.0, 0.0, 0.0);
        let figures = device_figures(&cluster.books());
        for device in cluster.devices().iter().filter(|device| device.component == "cpu") {
            let figures = figures[&(device.node.clone(), device.component.clone(), device.device.clone())];
            got += figures.energy_j;
            truth += device.energy_j;
            known_s += figures.known_s;
            expected_s += figures.expected_s;
            assert!(off_by(figures.energy_j, device.energy_j) <= 1e-3, "{interval_s} s: {figures:?}");
        }
        // Also of the node that was off while its management controller answered.
        assert!(known_s >= 0.999 * expected_s, "{known_s} s of {expected_s} s");
        let replica_b = "prometheus_replica=\"b\"";
        let series = cluster.samples("node_rapl_package_joules_total");
        let naive: f64 = series
            .iter()
            .filter(|(labels, _)| !labels.contains(replica_b))
            .map(|(_, samples)| increase(samples))
            .sum();
        let lost = 1.0 - naive / truth;
        eprintln!(
            "packages every {interval_s} s for {days} days: {:+.4} %; reading wraps as resets {:+.2} %",
            100.0 * (got / truth - 1.0),
            -100.0 * lost
        );
        // A wrap in 25 to 100 minutes loses half an interval on average.
        assert!(lost >= 0.2 * f64::from(interval_s) / 6000.0, "the scenario hardly wraps");
    }
}

#[test]
fn the_accounts_add_up_from_the_tables_alone() {
    let nodes = table(&REPORT.join("by_node.csv"));
    let hourly = table(&REPORT.join("hourly.csv"));
    let runs = table(&REPORT.join("runs.csv"));
    let by_user = table(&REPORT.join("by_user.csv"));
    let kinds = ["run", "idle", "infrastructure", "unattributed"];
    for row in &nodes {
        let total: f64 = row.joules("energy_kwh");
        let parts = ["cpu", "dram", "gpu", "other"].map(|part| row.joules(&format!("{part}_energy_kwh")));
        assert!(off_by(parts.iter().sum(), total) <= 1e-9);
        assert!(
            off_by(kinds.iter().map(|kind| row.joules(&format!("{kind}_energy_kwh"))).sum(), total) <= 1e-9
        );
        let of_node = hourly.iter().filter(|hour| hour.text("node") == row.text("node"));
        assert!(off_by(of_node.map(|hour| hour.number("energy_j")).sum(), total) <= 1e-9);
    }
    let total: f64 = nodes.iter().map(|row| row.joules("energy_kwh")).sum();
    let of_runs: f64 = nodes.iter().map(|row| row.joules("run_energy_kwh")).sum();
    assert!(off_by(runs.iter().map(|row| row.joules("energy_kwh")).sum(), of_runs) <= 1e-9);
    assert!(off_by(by_user.iter().map(|row| row.joules("energy_kwh")).sum(), total) <= 1e-9);
    // The log covers the whole window, so all that nobody used is idle or infrastructure.
    assert_eq!(nodes.iter().map(|row| row.number("unattributed_energy_kwh")).sum::<f64>(), 0.0);
}

#[test]
fn idle_and_infrastructure_are_those_of_the_truth() {
    let hourly = table(&REPORT.join("hourly.csv"));
    let sum = |node: &str, component: &str, kind: &str| -> f64 {
        let rows = hourly.iter().filter(|row| {
            row.text("node") == node && row.text("component") == component && row.text("beneficiary") == kind
        });
        rows.map(|row| row.number("energy_j")).sum()
    };
    let mut truth: BTreeMap<(&str, &str, bool), (f64, f64)> = BTreeMap::new();
    let devices = CLUSTER.devices();
    for device in devices.iter().filter(|device| device.metered && PARTS.contains(&device.component.as_str()))
    {
        let sums = truth.entry((&device.node, &device.component, device.scheduled)).or_default();
        sums.0 += device.energy_j;
        sums.1 += device.idle_j;
    }
    let mut worst = 0.0_f64;
    for ((node, component, is_scheduled), (energy_j, idle_j)) in truth {
        if !is_scheduled {
            assert!(off_by(sum(node, component, "infrastructure"), energy_j) <= 2e-3, "{node} {component}");
            assert_eq!(sum(node, component, "idle") + sum(node, component, "run"), 0.0);
            continue;
        }
        assert_eq!(sum(node, component, "infrastructure"), 0.0);
        // GPUs by number give the free one half of the busy one's power.
        if (node, component) != (GAUGES_ONLY, "gpu") {
            let error = off_by(sum(node, component, "idle"), idle_j);
            worst = worst.max(error);
            assert!(error <= 2e-3, "{node} {component}: {error}");
        }
    }
    eprintln!("idle by node and component: at most {:.3} % off", 100.0 * worst);
}

#[test]
fn two_servers_watching_a_node_do_not_double_it() {
    let meters = table(&REPORT.join("meters.csv"));
    let mut days: BTreeMap<&str, [bool; 2]> = BTreeMap::new();
    let packages = meters.iter().filter(|row| {
        row.text("node") == WATCHED_TWICE && row.text("metric") == "node_rapl_package_joules_total"
    });
    for row in packages {
        let replica = usize::from(row.text("labels").contains("prometheus_replica=\"b\""));
        assert!(row.text("status").contains("replica") || row.text("status") == "used");
        days.entry(row.text("device")).or_default()[replica] = row.text("status") == "used";
    }
    assert_eq!(days.len(), 2);
    assert!(days.values().all(|used| *used != [true, true]), "{days:?}");
    // Each of the two alone has all of the energy, and the books have it once.
    let series = CLUSTER.samples("node_rapl_package_joules_total");
    let replicas = series.iter().filter(|(labels, _)| labels.contains("prometheus_replica")).count();
    assert_eq!(replicas, 4);
    let truth: f64 = CLUSTER
        .devices()
        .iter()
        .filter(|device| device.node == WATCHED_TWICE && device.component == "cpu")
        .map(|device| device.energy_j)
        .sum();
    let nodes = table(&REPORT.join("by_node.csv"));
    assert!(off_by(of_node(&nodes, WATCHED_TWICE).joules("cpu_energy_kwh"), truth) <= 1e-3);
}

#[test]
fn every_blank_of_dcgm_is_dropped_and_counted() {
    const METRIC: &str = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION";
    // 2⁴⁷ mJ are 4.5 years at 1 kW: no counter of the simulator gets there.
    let is_blank = |value: f64| value >= 140_737_488_355_328.0;
    let watched_twice = format!("Hostname=\"{WATCHED_TWICE}\"");
    let blanks: usize = CLUSTER
        .samples(METRIC)
        .iter()
        .filter(|(labels, _)| !labels.contains(&watched_twice))
        .map(|(_, samples)| samples.iter().filter(|(_, value)| is_blank(*value)).count())
        .sum();
    let meters = table(&REPORT.join("meters.csv"));
    let dropped: f64 = meters
        .iter()
        .filter(|row| row.text("metric") == METRIC && row.text("node") != WATCHED_TWICE)
        .map(|row| row.number("dropped_samples"))
        .sum();
    eprintln!("{blanks} blank readings");
    assert!(blanks >= 2, "the scenario has no blanks");
    assert_eq!(dropped, blanks as f64);
}

#[test]
fn a_counter_whose_job_label_changes_is_one_counter() {
    let node = "gpu007";
    let series: Vec<Vec<(i64, f64)>> = CLUSTER
        .samples("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION")
        .into_iter()
        .filter(|(labels, _)| labels.contains(&format!("Hostname=\"{node}\"")))
        .map(|(_, samples)| samples.into_iter().filter(|(_, value)| *value < 1.4e14).collect())
        .collect();
    let apart_j = series.iter().map(|samples| increase(samples)).sum::<f64>() / 1000.0;
    let truth_j: f64 = CLUSTER
        .devices()
        .iter()
        .filter(|device| device.node == node && device.component == "gpu")
        .map(|device| device.energy_j)
        .sum();
    let nodes = table(&REPORT.join("by_node.csv"));
    let got_j = of_node(&nodes, node).joules("gpu_energy_kwh");
    // The series without a job ends where a job begins and goes on after it: read
    // for itself, it has the job's energy a second time.
    eprintln!(
        "{} series: {:+.1} % each for itself, {:+.4} % as one",
        series.len(),
        100.0 * (apart_j / truth_j - 1.0),
        100.0 * (got_j / truth_j - 1.0)
    );
    assert!(series.len() >= 20 && off_by(got_j, truth_j) <= 1e-3);
    assert!(off_by(apart_j, truth_j) >= 0.05, "stitching makes no difference here");
}

#[test]
fn each_started_run_has_a_row_and_no_other() {
    let truth = CLUSTER.runs();
    let rows = table(&REPORT.join("runs.csv"));
    let listed: BTreeSet<&str> = rows.iter().map(|row| row.text("run_id")).collect();
    assert_eq!(listed.len(), rows.len());
    assert_eq!(listed, truth.keys().map(String::as_str).collect());
    assert!(listed.iter().filter(|id| id.contains('_')).count() >= 20, "array tasks");
    let log = std::fs::read_to_string(CLUSTER.directory.join("sacct.txt")).unwrap();
    let mut lines = log.lines().map(|line| line.split('|').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let (id, start) = (column("JobID"), column("Start"));
    let never: Vec<String> =
        lines.filter(|line| !line[start].contains('T')).map(|line| line[id].to_owned()).collect();
    assert!(never.len() >= 4, "{never:?}");
    assert!(never.iter().all(|id| !listed.contains(id.as_str())));
}

#[test]
fn a_run_on_several_nodes_is_the_sum_over_them() {
    let truth = CLUSTER.runs();
    let mut compared = 0;
    for row in table(&REPORT.join("runs.csv")).iter().filter(|row| row.text("nodes").contains(' ')) {
        let run = &truth[row.text("run_id")];
        if !run.metered || row.number("coverage") < 1.0 - 1e-9 {
            continue;
        }
        compared += 1;
        let error = off_by(row.parts_j(), run.parts_j());
        eprintln!("{} on {}: {:.3} % off", row.text("run_id"), row.text("nodes"), 100.0 * error);
        // Whole nodes, so that GPUs without a job label are all its own.
        assert!(error <= 5e-3, "{}", row.text("run_id"));
    }
    assert!(compared >= 1);
}

/// All files under `directory`, by name.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let directory = fresh("threads");
    let made: Vec<_> = ["1", "2"]
        .iter()
        .map(|threads| {
            let cluster = directory.join(format!("cluster-{threads}"));
            let options = ["--nodes", "3", "--gpus", "1", "--days", "0.4", "--seed", "5"];
            let mut simulate = wattledger();
            simulate.env("RAYON_NUM_THREADS", threads).arg("simulate").args(options);
            simulate.arg("--out").arg(&cluster).assert().success();
            let report = directory.join(format!("report-{threads}"));
            let mut command = wattledger();
            command
                .env("RAYON_NUM_THREADS", threads)
                .arg("report")
                .args(["--zone", "DE", "--out"])
                .arg(&report);
            command
                .arg("--snapshot")
                .arg(cluster.join("snapshot"))
                .arg("--jobs")
                .arg(cluster.join("sacct.txt"));
            command.arg("--config").arg(cluster.join("wattledger.toml")).assert().success();
            (contents(&cluster), contents(&report))
        })
        .collect();
    assert!(made[0].1.len() >= 12, "{:?}", made[0].1.keys());
    for (one, two) in [(&made[0].0, &made[1].0), (&made[0].1, &made[1].1)] {
        assert!(one.keys().eq(two.keys()));
        for (name, bytes) in one {
            assert!(two[name] == *bytes, "`{name}` differs");
        }
    }
}

/// gCO2e/kWh of hour `nth` of the day, no two alike.
fn intensity_of_hour(nth: i64) -> f64 {
    100.0 + 17.0 * ((nth * 7) % 24) as f64
}

#[test]
fn emissions_are_energy_by_hour_times_the_hours_intensity() {
    const PUE: f64 = 1.25;
    let scenario = Scenario {
        nodes: 4,
        gpus: 1,
        cpus: 4,
        days: 1.0,
        seed: 2,
        infrastructure_nodes: 0,
        runs: Some(8),
        ..Scenario::default()
    };
    let cluster = Cluster::new("emissions", &scenario);
    let start_ms = cluster.window.start_ms;
    let mut csv = "timestamp,gco2e_per_kwh\n".to_owned();
    for hour in 0..DAY_MS / HOUR_MS {
        let at = wattledger::time::format_instant(start_ms + hour * HOUR_MS);
        csv.push_str(&format!("{at},{}\n", intensity_of_hour(hour)));
    }
    let intensity = cluster.directory.join("intensity.csv");
    std::fs::write(&intensity, csv).unwrap();
    let options = ["--zone", "DE", "--pue", "1.25", "--intensity", intensity.to_str().unwrap()];
    let report = cluster.report("report", &options);
    let hour_of =
        |text: &str| (parse_instant(text, chrono_tz::Tz::UTC).unwrap() - start_ms).div_euclid(HOUR_MS);

    let hourly = table(&report.join("hourly.csv"));
    let emitted = |joules: f64, hour: i64| joules / 3.6e6 * PUE * intensity_of_hour(hour);
    let mut expected_of_all = 0.0;
    for row in &hourly {
        let grams = emitted(row.number("energy_j"), hour_of(row.text("bucket_start")));
        assert!((row.number("emissions_gco2e") - grams).abs() <= 1e-9 * grams.max(1.0));
        assert_eq!(row.text("intensity_tier"), "hourly");
        expected_of_all += grams;
    }

    let runs = table(&report.join("runs.csv"));
    let hours_of = |row: &Row| {
        // One that is still running has no end and lasts as long as the window.
        let end_ms = match row.text("end") {
            "" => cluster.window.end_ms,
            end => parse_instant(end, chrono_tz::Tz::UTC).unwrap(),
        };
        hour_of(row.text("start"))..=(end_ms - 1 - start_ms).div_euclid(HOUR_MS)
    };
    let (mut alone, mut over_an_edge) = (0, 0);
    for run in runs.iter().filter(|run| !run.text("nodes").contains(' ')) {
        let hours = hours_of(run);
        let meets = |other: &&Row| {
            let theirs = hours_of(other);
            other.text("run_id") != run.text("run_id")
                && other.text("nodes").split(' ').any(|node| node == run.text("nodes"))
                && theirs.start() <= hours.end()
                && hours.start() <= theirs.end()
        };
        if runs.iter().any(|other| meets(&other)) {
            continue;
        }
        // Nobody else was there in these hours: what runs used there is this run's.
        let (mut energy_j, mut grams) = (0.0, 0.0);
        for row in &hourly {
            let hour = hour_of(row.text("bucket_start"));
            if row.text("node") == run.text("nodes")
                && row.text("beneficiary") == "run"
                && hours.contains(&hour)
            {
                energy_j += row.number("energy_j");
                grams += emitted(row.number("energy_j"), hour);
            }
        }
        assert!(energy_j > 0.0 && off_by(run.joules("energy_kwh"), energy_j) <= 1e-9);
        assert!(off_by(run.number("emissions_gco2e"), grams) <= 1e-9, "{}", run.text("run_id"));
        alone += 1;
        over_an_edge += usize::from(hours.start() < hours.end());
    }
    eprintln!("{alone} runs priced by hand, {over_an_edge} of them over an hour edge");
    assert!(alone >= 3 && over_an_edge >= 1, "{alone}, {over_an_edge}");

    let by_node = table(&report.join("by_node.csv"));
    let reported: f64 = by_node.iter().map(|row| row.number("emissions_gco2e")).sum();
    assert!(off_by(reported, expected_of_all) <= 1e-9);
}
