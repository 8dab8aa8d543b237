//! The simulated cluster, read back from its files without the library's help.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod block_reader;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use wattledger::simulate::{Scenario, SimulateError, is_simulated, simulate};
use wattledger::tsdb::STALE_NAN_BITS;

type Table = Vec<BTreeMap<String, String>>;

fn table(path: &Path, delimiter: char) -> Table {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(delimiter).collect();
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(delimiter).collect();
            assert_eq!(fields.len(), header.len(), "{line}");
            header.iter().map(ToString::to_string).zip(fields.iter().map(ToString::to_string)).collect()
        })
        .collect()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}

fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory_here) = open.pop() {
        for entry in std::fs::read_dir(directory_here).unwrap() {
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

fn scenario() -> Scenario {
    Scenario { days: 1.25, cpus: 2, ..Scenario::default() }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    let root = tempfile::tempdir().unwrap();
    let small = Scenario { nodes: 2, days: 0.2, cpus: 2, gpus: 1, ..Scenario::default() };
    let write = |name: &str, seed: u64| {
        let out = root.path().join(name);
        simulate(&Scenario { seed, ..small.clone() }, &out, &|_| {}).unwrap();
        files(&out)
    };
    let (one, again, other) = (write("one", 7), write("again", 7), write("other", 8));
    assert_eq!(one.len(), 9, "five texts and a block of four files");
    assert!(one == again, "the same seed wrote other bytes");
    for name in ["sacct.txt", "truth.csv", "truth_runs.csv", "SIMULATED.txt"] {
        assert_ne!(one[Path::new(name)], other[Path::new(name)], "{name}");
    }
    let segment = |files: &BTreeMap<PathBuf, Vec<u8>>| {
        files.iter().find(|(path, _)| path.ends_with("chunks/000001")).unwrap().1.clone()
    };
    assert_ne!(segment(&one), segment(&other));
}

#[test]
fn what_is_simulated_says_so_and_nothing_is_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let small = Scenario { nodes: 1, gpus: 0, days: 0.01, cpus: 2, ..Scenario::default() };
    let reports = std::cell::RefCell::new(Vec::new());
    let summary = simulate(&small, root.path(), &|progress| reports.borrow_mut().push(progress)).unwrap();
    assert!(reports.borrow().last().is_some_and(|last| last.done == last.total && last.total > 0));
    assert!(is_simulated(&root.path().join("snapshot")));
    assert!(is_simulated(&summary.blocks[0]));
    assert!(!is_simulated(root.path()));
    for name in ["SIMULATED.txt", "truth.csv", "truth_runs.csv", "wattledger.toml"] {
        let text = std::fs::read_to_string(root.path().join(name)).unwrap();
        assert!(text.contains("SIMULATED"), "{name}");
    }
    assert!(matches!(simulate(&small, root.path(), &|_| {}), Err(SimulateError::Exists { .. })));
    for bad in [
        Scenario { nodes: 0, ..Scenario::default() },
        Scenario { cpus: 7, ..Scenario::default() },
        Scenario { days: f64::NAN, ..Scenario::default() },
        Scenario { scrape_interval_s: 1, ..Scenario::default() },
    ] {
        let out = root.path().join("bad");
        assert!(matches!(simulate(&bad, &out, &|_| {}), Err(SimulateError::Scenario { .. })), "{bad:?}");
        assert!(!out.exists());
    }
}

/// Energy that a counter's samples show, put together by hand: a fall is a wrap
/// if the node did not boot in between, else the counter began at 0 again.
/// Returns also the seconds that it says nothing of: before the first sample,
/// after the last, and from the last sample before a boot to the first scrape that failed.
fn seen(samples: &[(i64, f64)], range: f64, node: &NodeTimes, window: (i64, i64)) -> (f64, f64) {
    let real: Vec<(i64, f64)> = samples
        .iter()
        .copied()
        .filter(|(_, value)| value.to_bits() != STALE_NAN_BITS && *value < 9e18)
        .collect();
    let mut energy = 0.0;
    let mut unseen_ms = real[0].0 - window.0 + window.1 - real[real.len() - 1].0;
    for pair in real.windows(2) {
        let ((before_ms, before), (at_ms, value)) = (pair[0], pair[1]);
        match node.boots_ms.iter().find(|boot_ms| before_ms < **boot_ms && **boot_ms <= at_ms) {
            Some(_) => {
                energy += value;
                let failed_ms = node.failed_ms.iter().find(|failed_ms| **failed_ms > before_ms).unwrap();
                unseen_ms += failed_ms - before_ms;
            }
            None if value < before => energy += value + range - before,
            None => energy += value - before,
        }
    }
    (energy, unseen_ms as f64 / 1000.0)
}

/// When a node booted and when it could not be scraped, as its series show.
struct NodeTimes {
    boots_ms: Vec<i64>,
    failed_ms: Vec<i64>,
}

fn node_times(series: &block_reader::Series, node: &str) -> NodeTimes {
    let instance = format!("{node}:9100");
    let samples = |metric: &'static str| {
        let of = |labels: &BTreeMap<String, String>| {
            labels["__name__"] == metric && labels["instance"] == instance
        };
        let samples: Vec<(i64, f64)> = series
            .iter()
            .filter(|(labels, _)| of(labels))
            .flat_map(|(_, samples)| samples)
            .copied()
            .collect();
        samples
    };
    let real = |(_, value): &(i64, f64)| value.to_bits() != STALE_NAN_BITS;
    let boots: BTreeSet<i64> = samples("node_boot_time_seconds")
        .iter()
        .filter(|sample| real(sample))
        .map(|(_, value)| (value * 1000.0) as i64)
        .collect();
    let failed: BTreeSet<i64> =
        samples("up").iter().filter(|(_, value)| *value == 0.0).map(|(at_ms, _)| *at_ms).collect();
    NodeTimes { boots_ms: boots.into_iter().collect(), failed_ms: failed.into_iter().collect() }
}

#[test]
fn counters_in_the_snapshot_lead_back_to_the_truth() {
    let root = tempfile::tempdir().unwrap();
    let summary = simulate(&scenario(), root.path(), &|_| {}).unwrap();
    assert_eq!(summary.blocks.len(), 2, "a day and a quarter");
    let series = block_reader::read(&root.path().join("snapshot"));
    assert_eq!(series.len() as u64, summary.series);
    assert_eq!(series.values().map(|samples| samples.len() as u64).sum::<u64>(), summary.samples);
    let window = (summary.window.start_ms, summary.window.end_ms);
    let truth = table(&root.path().join("truth.csv"), ',');
    let mut compared = BTreeMap::<String, u32>::new();
    for device in &truth {
        let node = &device["node"];
        let times = node_times(&series, node);
        let (metric, label, range, scale) = match device["component"].as_str() {
            "cpu" => ("node_rapl_package_joules_total", "index", 262_143.328_850, 1.0),
            "dram" => ("node_rapl_dram_joules_total", "index", 65_712.999_613, 1.0),
            // Millijoules, and no wrap.
            "gpu" => ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "UUID", 0.0, 1000.0),
            _ => continue,
        };
        let matching = series.iter().filter(|(labels, _)| {
            labels["__name__"] == metric
                && labels.get(label) == Some(&device["device"])
                && labels["instance"].starts_with(&format!("{node}:"))
                && labels.get("prometheus_replica").is_none_or(|replica| replica == "a")
        });
        // Of a GPU there is a series for each job: together they are one counter.
        let mut samples: Vec<(i64, f64)> =
            matching.flat_map(|(_, samples)| samples.iter().copied()).collect();
        if samples.is_empty() {
            let modelled = device["metered"] == "false" || device["component"] == "gpu";
            assert!(modelled, "{device:?} has no counter");
            continue;
        }
        assert_eq!(device["metered"], "true");
        samples.sort_by_key(|sample| sample.0);
        let (energy, unseen_s) = seen(&samples, range, &times, window);
        let (energy, truth) = (energy / scale, number(device, "energy_j"));
        let most_w = match device["component"].as_str() {
            "cpu" => 185.0,
            "dram" => 10.0,
            _ => 400.0,
        };
        assert!(energy < truth + 1.0 && energy > truth - most_w * unseen_s, "{device:?}: {energy}");
        assert!(unseen_s < 60.0 || device["component"] == "gpu", "{unseen_s} s");
        *compared.entry(metric.to_owned()).or_default() += 1;
    }
    // Three of four compute nodes have RAPL, and two others; three have DCGM and two GPUs.
    assert_eq!(compared["node_rapl_package_joules_total"], 10);
    assert_eq!(compared["node_rapl_dram_joules_total"], 10);
    assert_eq!(compared["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"], 6);
}

#[test]
fn what_real_snapshots_have_is_there() {
    let root = tempfile::tempdir().unwrap();
    simulate(&scenario(), root.path(), &|_| {}).unwrap();
    let series = block_reader::read(&root.path().join("snapshot"));
    let of = |metric: &'static str| series.iter().filter(move |(labels, _)| labels["__name__"] == metric);
    // Down targets, with stale markers on what they had shown.
    let down: Vec<i64> =
        of("up").flat_map(|(_, samples)| samples).filter(|s| s.1 == 0.0).map(|s| s.0).collect();
    assert!(!down.is_empty());
    let stale = |samples: &[(i64, f64)]| samples.iter().filter(|s| s.1.to_bits() == STALE_NAN_BITS).count();
    assert!(of("node_boot_time_seconds").any(|(_, samples)| stale(samples) > 0));
    // Stale markers never follow each other and never come first.
    for (labels, samples) in &series {
        assert!(samples.windows(2).all(|pair| pair[0].0 < pair[1].0), "{labels:?}");
        assert!(samples[0].1.to_bits() != STALE_NAN_BITS, "{labels:?}");
        assert!(!samples.windows(2).any(|pair| stale(pair) == 2), "{labels:?}");
    }
    // A job's series end with its label; the times are its job's.
    let jobs = table(&root.path().join("sacct.txt"), '|');
    let mut labelled = 0;
    for (labels, samples) in of("DCGM_FI_DEV_POWER_USAGE") {
        let Some(id) = labels.get("hpc_job") else { continue };
        let job = jobs.iter().find(|job| &job["JobIDRaw"] == id).unwrap();
        let ms = |text: &str| wattledger::time::parse_instant(text, chrono_tz::Tz::UTC).unwrap();
        let shown: Vec<i64> =
            samples.iter().filter(|s| s.1.to_bits() != STALE_NAN_BITS).map(|sample| sample.0).collect();
        assert!(shown.first().unwrap() >= &ms(&job["Start"]), "{id}");
        if job["End"] != "Unknown" {
            assert!(shown.last().unwrap() < &ms(&job["End"]), "{id}");
        }
        labelled += 1;
    }
    assert!(labelled > 20, "{labelled} series with a job");
    // Two replicas with the same values at other times.
    let replica = |name: &str| {
        let (_, samples) = of("node_rapl_package_joules_total")
            .find(|(labels, _)| labels.get("prometheus_replica").is_some_and(|replica| replica == name))
            .unwrap();
        samples[1].0
    };
    assert_ne!(replica("a"), replica("b"));
    // IPMI sees the sum of the parts: compare its mean with the truth of its node.
    let (_, ipmi) = of("ipmi_dcmi_power_consumption_watts").next().unwrap();
    let watts = ipmi.iter().map(|sample| sample.1).sum::<f64>() / ipmi.len() as f64;
    let truth = table(&root.path().join("truth.csv"), ',');
    let energy: f64 =
        truth.iter().filter(|row| row["node"] == "gpu002").map(|row| number(row, "energy_j")).sum();
    let mean = energy / (1.25 * 86_400.0);
    assert!((watts - mean).abs() < 0.01 * mean, "{watts} W and {mean} W");
}

#[test]
fn the_job_log_is_slurms() {
    let root = tempfile::tempdir().unwrap();
    let summary =
        simulate(&Scenario { days: 4.0, cpus: 2, ..Scenario::default() }, root.path(), &|_| {}).unwrap();
    let rows = table(&root.path().join("sacct.txt"), '|');
    let is_step = |row: &&BTreeMap<String, String>| row["JobID"].contains('.');
    let jobs: Vec<_> = rows.iter().filter(|row| !is_step(row)).collect();
    assert_eq!(jobs.iter().filter(|job| job["NodeList"] != "None assigned").count(), summary.runs);
    let states: BTreeSet<&str> = jobs.iter().map(|job| job["State"].as_str()).collect();
    for state in ["COMPLETED", "FAILED", "CANCELLED by 1000", "TIMEOUT", "NODE_FAIL", "RUNNING", "PENDING"] {
        assert!(states.contains(state), "no {state} in {states:?}");
    }
    assert!(jobs.iter().any(|job| job["JobID"].contains('_')));
    assert!(jobs.iter().any(|job| job["NodeList"].contains('[')));
    assert!(jobs.iter().any(|job| job["Elapsed"].as_str() < "00:00:30" && job["State"] == "COMPLETED"));
    let raw: BTreeSet<&str> = jobs.iter().map(|job| job["JobIDRaw"].as_str()).collect();
    assert_eq!(raw.len(), jobs.len());
    for step in rows.iter().filter(is_step) {
        let (job, _) = step["JobID"].split_once('.').unwrap();
        assert!(jobs.iter().any(|row| row["JobID"] == job));
        assert_eq!((step["User"].as_str(), step["Partition"].as_str()), ("", ""));
    }
    // Every run in the truth is in the log, with its times.
    let truth = table(&root.path().join("truth_runs.csv"), ',');
    assert_eq!(truth.len(), 4 * summary.runs);
    for row in &truth {
        let job = jobs.iter().find(|job| job["JobID"] == row["run_id"]).unwrap();
        assert_eq!(format!("{}Z", job["Start"]), row["start"]);
        assert!(job["End"] == "Unknown" || format!("{}Z", job["End"]) == row["end"]);
        // A GPU is one run's alone, idle power and all.
        assert!(row["component"] != "gpu" || number(row, "energy_j") >= number(row, "own_energy_j"));
        assert!(number(row, "metered_energy_j") <= number(row, "energy_j"));
    }
}

/// Label names by metric in captures of real exporters; empty values are no labels to Prometheus.
fn captured(files: &[PathBuf]) -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics = BTreeMap::<String, BTreeSet<String>>::new();
    for file in files {
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
            let names = metrics.entry(name.to_owned()).or_default();
            // name="value" pairs; a comma or brace follows each closing quote.
            let mut rest = rest.strip_prefix('{').unwrap_or_default();
            while let Some((label, after)) = rest.split_once("=\"") {
                let end = after.find("\",").or_else(|| after.find("\"}")).unwrap();
                if end > 0 {
                    names.insert(label.trim().to_owned());
                }
                rest = after[end + 1..].trim_start_matches(',');
                if rest.starts_with('}') {
                    break;
                }
            }
        }
    }
    metrics
}

#[test]
fn names_and_labels_are_those_of_real_exporters() {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/real/exporters");
    if !real.exists() {
        println!("skipped: `{}` with captures of real exporters is not here", real.display());
        return;
    }
    let node =
        captured(&["e2e-output.txt", "live_vm_1.5.0.prom"].map(|file| real.join("node_exporter").join(file)));
    let smi = "linux-x86_64__nvidia-l40s__595.80__load.metrics";
    let smi = captured(&[real.join("nvidia_gpu_exporter").join(smi)]);
    let dcgm = captured(&[real.join("dcgm/dcgm_L40S_upcloud.prom")]);
    let root = tempfile::tempdir().unwrap();
    let small = Scenario { days: 0.02, cpus: 2, extra_series: true, ..Scenario::default() };
    simulate(&small, root.path(), &|_| {}).unwrap();
    let mut compared = BTreeSet::new();
    for labels in block_reader::read(&root.path().join("snapshot")).keys() {
        let metric = labels["__name__"].clone();
        // What the scrape adds, not the exporter.
        let added = ["__name__", "job", "instance", "prometheus_replica", "hpc_job"];
        let own: BTreeSet<String> =
            labels.keys().filter(|name| !added.contains(&name.as_str())).cloned().collect();
        let expected = match labels["job"].as_str() {
            _ if metric == "up" => &BTreeSet::new(),
            // No package in the captures, but the same collector with the same two labels.
            "node" if metric == "node_rapl_dram_joules_total" => &node["node_rapl_package_joules_total"],
            "node" => node.get(&metric).unwrap_or_else(|| panic!("no node_exporter shows `{metric}`")),
            "nvidia_smi" => {
                smi.get(&metric).unwrap_or_else(|| panic!("no nvidia_gpu_exporter shows `{metric}`"))
            }
            "dcgm" => dcgm.get(&metric).unwrap_or_else(|| panic!("no dcgm-exporter shows `{metric}`")),
            // No capture of ipmi_exporter; its two names for the reading have no labels.
            "ipmi" => {
                let names =
                    ["ipmi_dcmi_power_consumption_watts", "ipmi_dcmi_power_consumption_current_watts"];
                assert!(names.contains(&metric.as_str()), "{metric}");
                &BTreeSet::new()
            }
            other => panic!("unknown job `{other}`"),
        };
        let mut expected = expected.clone();
        if metric == "node_dmi_info" {
            // The capture's machine has a version that is not UTF-8; most have none.
            expected.remove("product_version");
        }
        assert_eq!(own, expected, "{metric}");
        compared.insert(metric);
    }
    assert!(compared.len() > 30, "{} metrics", compared.len());
}

#[test]
#[ignore = "needs promtool: apt-get install prometheus"]
fn promtool_reads_the_snapshot() {
    let root = tempfile::tempdir().unwrap();
    let summary =
        simulate(&Scenario { days: 0.5, cpus: 2, ..Scenario::default() }, root.path(), &|_| {}).unwrap();
    let snapshot = root.path().join("snapshot");
    // promtool wants a data directory with a write-ahead log.
    std::fs::create_dir(snapshot.join("wal")).unwrap();
    let output =
        std::process::Command::new("promtool").args(["tsdb", "dump"]).arg(&snapshot).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dump = String::from_utf8(output.stdout).unwrap();
    assert_eq!(dump.lines().count() as u64, summary.samples);
    let series: BTreeSet<&str> = dump.lines().map(|line| line.rsplitn(3, ' ').nth(2).unwrap()).collect();
    assert_eq!(series.len() as u64, summary.series);
}
