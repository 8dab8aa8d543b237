//! A real GPU under known loads (`tests/fixtures/nvidia_gpu`): what its energy counter says ten
//! times a second against what a report makes of the counter and of nvidia-smi's power, read as
//! seldom as Prometheus reads them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may"
)]

mod support;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use support::{Bench, number, only};
use wattledger::time::{Window, format_instant};
use wattledger::tsdb::writer::{BlockOptions, BlockWriter};
use wattledger::tsdb::{Labels, Samples};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nvidia_gpu").join(name)
}

fn rows(name: &str) -> Vec<csv::StringRecord> {
    let mut text = String::new();
    let file = std::fs::File::open(fixture(name)).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    reader.records().map(Result::unwrap).collect()
}

/// What was recorded.
struct Recording {
    uuid: String,
    /// Power in watts and utilisation as a share, by time: nvidia-smi once a second.
    smi: Vec<(i64, f64, f64)>,
    /// The energy counter in joules, by time: NVML ten times a second.
    counter: Vec<(i64, f64)>,
}

impl Recording {
    fn read() -> Self {
        let smi = rows("nvidia_smi.csv.gz");
        let stamp = |text: &str| {
            let at = chrono::NaiveDateTime::parse_from_str(text, "%Y/%m/%d %H:%M:%S%.f").unwrap();
            at.and_utc().timestamp_millis()
        };
        let reading = |row: &csv::StringRecord| {
            (stamp(&row[0]), row[4].parse().unwrap(), row[7].parse::<f64>().unwrap() / 100.0)
        };
        let energy =
            |row: &csv::StringRecord| (row[0].parse().unwrap(), row[1].parse::<f64>().unwrap() / 1000.0);
        Self {
            uuid: smi[0][2].to_owned(),
            smi: smi.iter().map(reading).collect(),
            counter: rows("nvml.csv.gz").iter().map(energy).collect(),
        }
    }

    /// What the counter showed at an instant, by its readings 0.1 s apart, in joules.
    fn energy_at(&self, at_ms: i64) -> f64 {
        let after = self.counter.partition_point(|(reading_ms, _)| *reading_ms <= at_ms);
        let ((from_ms, from_j), (to_ms, to_j)) = (self.counter[after - 1], self.counter[after]);
        from_j + (to_j - from_j) * (at_ms - from_ms) as f64 / (to_ms - from_ms) as f64
    }

    /// A block as Prometheus would have it that scrapes every `every_s` seconds, `phase_s` seconds
    /// after the first reading: dcgm-exporter's counter or nvidia_gpu_exporter's power.
    fn block(&self, root: &Path, counter: bool, every_s: i64, phase_s: i64) -> Window {
        let first_ms = self.smi[0].0.max(self.counter[0].0);
        let last_ms = self.smi[self.smi.len() - 1].0;
        let mut times_ms = Vec::new();
        let mut at_ms = first_ms + phase_s * 1000;
        while at_ms <= last_ms {
            times_ms.push(at_ms);
            at_ms += every_s * 1000;
        }
        let last_ms = times_ms[times_ms.len() - 1];
        let window = Window::new(first_ms, last_ms + 1);
        let mut writer = BlockWriter::create(root, window, BlockOptions::default()).unwrap();
        let mut add = |metric: &str, uuid: &str, value: &dyn Fn(i64) -> f64| {
            let labels =
                Labels::new([("__name__", metric), ("instance", "gpu001:9835"), (uuid, self.uuid.as_str())]);
            let values = times_ms.iter().map(|at_ms| value(*at_ms)).collect();
            writer.add_series(&labels, &Samples { timestamps_ms: times_ms.clone(), values }).unwrap();
        };
        if counter {
            // Whole millijoules, as the exporter has them.
            let counter_mj = |at_ms| {
                let reading = self.counter.partition_point(|(reading_ms, _)| *reading_ms <= at_ms) - 1;
                (self.counter[reading].1 * 1000.0).round()
            };
            add("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "UUID", &counter_mj);
        } else {
            let smi = |at_ms| self.smi[self.smi.partition_point(|(reading_ms, ..)| *reading_ms <= at_ms) - 1];
            add("nvidia_smi_power_draw_watts", "uuid", &|at_ms| smi(at_ms).1);
            add("nvidia_smi_utilization_gpu_ratio", "uuid", &|at_ms| smi(at_ms).2);
        }
        writer.finish().unwrap();
        Window::new(times_ms[0], last_ms)
    }
}

/// How far a report is from the counter: the whole, and each run with its printed edge error.
struct Differences {
    whole: f64,
    runs: Vec<(String, f64, bool)>,
}

fn differences(recording: &Recording, counter: bool, every_s: i64, phase_s: i64) -> Differences {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("blocks")).unwrap();
    let window = recording.block(&bench.path("blocks"), counter, every_s, phase_s);
    let (from, to) = (format_instant(window.start_ms), format_instant(window.end_ms));
    let runs_csv = fixture("runs.csv");
    let ended = bench.run(&[
        "report",
        "--snapshot",
        "blocks",
        "--jobs",
        runs_csv.to_str().unwrap(),
        "--from",
        &from,
        "--to",
        &to,
        "--jobs-from",
        &from,
        "--jobs-to",
        &to,
        "--no-charts",
        "--out",
        "report",
    ]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("B1 closes, B2 closes, B3 closes"), "{}", ended.stderr);
    let truth_j = |start_ms: i64, end_ms: i64| recording.energy_at(end_ms) - recording.energy_at(start_ms);
    let nodes = bench.table("report/by_node.csv");
    let whole_j = number(only(&nodes, "node", "gpu001"), "energy_kwh") * 3.6e6;
    let mut runs = Vec::new();
    for row in bench.table("report/runs.csv") {
        let (start_ms, end_ms) = (support::ms(&row["start"]), support::ms(&row["end"]));
        // The first scrape may come after the first run has begun.
        if start_ms < window.start_ms || end_ms > window.end_ms {
            continue;
        }
        let (ours_j, truth_j) = (number(&row, "energy_kwh") * 3.6e6, truth_j(start_ms, end_ms));
        let within = (ours_j - truth_j).abs() <= number(&row, "edge_error_j") + 0.001 * truth_j;
        runs.push((row["run_id"].clone(), ours_j / truth_j - 1.0, within));
    }
    Differences { whole: whole_j / truth_j(window.start_ms, window.end_ms) - 1.0, runs }
}

/// The counter by the driver and nvidia-smi's power are two meters of one card. Second by second
/// they agree; what a slow scrape makes of a gauge is chance, of a counter it is not.
#[test]
fn a_slow_scrape_loses_nothing_of_a_counter_and_much_of_a_gauge() {
    let recording = Recording::read();
    println!("             scrapes  phase   whole   runs");
    for counter in [true, false] {
        for (every_s, whole_within) in [(1, 0.005), (5, 0.05), (15, 0.15)] {
            let mut within = (0, 0);
            for phase_s in (0..every_s).step_by(4) {
                let found = differences(&recording, counter, every_s, phase_s);
                let runs: Vec<String> =
                    found.runs.iter().map(|(run, off, _)| format!("{run} {:+.1} %", 100.0 * off)).collect();
                let name = if counter { "counter" } else { "power.draw" };
                println!(
                    "{name:11} {every_s:5} s {phase_s:5} s {:+6.2} % {}",
                    100.0 * found.whole,
                    runs.join(", ")
                );
                let limit = if counter { 0.001 } else { whole_within };
                assert!(found.whole.abs() < limit, "{name} {every_s} s {phase_s} s: {}", found.whole);
                within.0 += found.runs.iter().filter(|(_, _, within)| *within).count();
                within.1 += found.runs.len();
                for (run, off, _) in &found.runs {
                    // Longer than two scrapes, and alone on the card before and after.
                    let is_long = ["1-products", "2-bursts", "3-copies"].contains(&run.as_str());
                    if counter && is_long && every_s < 15 {
                        assert!(off.abs() < 0.02, "{run} at {every_s} s: {off}");
                    }
                }
            }
            assert!(within.0 * 100 >= within.1 * 85, "{within:?}");
            println!("            within edge_error_j + 0.1 %: {} of {}", within.0, within.1);
        }
    }
}
