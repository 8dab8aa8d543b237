//! Simulated clusters, the reports made of them, and the truth beside both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use wattledger::config::{ConfigFile, Plan, Request};
use wattledger::jobs;
use wattledger::ledger::{Books, Jobs, close_books};
use wattledger::meter::catalog::Component;
use wattledger::simulate::{Scenario, simulate};
use wattledger::source::{Snapshot, Source as _};
use wattledger::time::Window;
use wattledger::tsdb::{ReadBuffer, ReadStats, is_stale};

const JOULES_PER_KWH: f64 = 3.6e6;

/// An empty directory of this test, under the build directory.
pub(crate) fn fresh(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("truth").join(name);
    if directory.exists() {
        std::fs::remove_dir_all(&directory).unwrap();
    }
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// A simulated cluster on disk.
pub(crate) struct Cluster {
    pub(crate) directory: PathBuf,
    pub(crate) window: Window,
}

impl Cluster {
    pub(crate) fn new(name: &str, scenario: &Scenario) -> Self {
        let directory = fresh(name);
        let window = simulate(scenario, &directory, &|_| ()).unwrap().window;
        Self { directory, window }
    }

    /// Runs `wattledger report` as a user would and gives the directory of the report.
    pub(crate) fn report(&self, name: &str, options: &[&str]) -> PathBuf {
        let out = self.directory.join(name);
        let mut command = wattledger();
        command.arg("report").arg("--no-charts");
        command.arg("--snapshot").arg(self.directory.join("snapshot"));
        command.arg("--jobs").arg(self.directory.join("sacct.txt"));
        command.arg("--config").arg(self.directory.join("wattledger.toml"));
        command.arg("--out").arg(&out).args(options).assert().success();
        out
    }

    /// The books themselves, which tell devices apart where the tables only tell components.
    pub(crate) fn books(&self) -> Books {
        let source = Snapshot::open(&self.directory.join("snapshot")).unwrap();
        let file = ConfigFile::read(&self.directory.join("wattledger.toml")).unwrap();
        let plan = Plan::new(&Request::default(), &file, source.time_range()).unwrap();
        let log = jobs::read(
            &self.directory.join("sacct.txt"),
            &jobs::Options { zone: plan.jobs_tz, ..jobs::Options::default() },
        )
        .unwrap();
        let jobs = Jobs { runs: &log.runs, covered: log.covered, is_given: true, nodes: &log.nodes };
        close_books(&source, jobs, &plan.rules, &|_, _| ()).unwrap()
    }

    /// `truth.csv`.
    pub(crate) fn devices(&self) -> Vec<DeviceTruth> {
        let rows = table(&self.directory.join("truth.csv"));
        rows.iter()
            .map(|row| DeviceTruth {
                node: row.text("node").to_owned(),
                scheduled: row.text("scheduled") == "true",
                component: row.text("component").to_owned(),
                device: row.text("device").trim_start_matches("GPU-").to_owned(),
                metered: row.text("metered") == "true",
                energy_j: row.number("energy_j"),
                idle_j: row.number("idle_energy_j"),
            })
            .collect()
    }

    /// `truth_runs.csv`, by run.
    pub(crate) fn runs(&self) -> BTreeMap<String, RunTruth> {
        let mut runs: BTreeMap<String, RunTruth> = BTreeMap::new();
        for row in table(&self.directory.join("truth_runs.csv")) {
            let run = runs.entry(row.text("run_id").to_owned()).or_default();
            let component = row.text("component").to_owned();
            let energy_j = row.number("energy_j");
            run.metered &= component == "other" || row.number("metered_energy_j") == energy_j;
            run.used_j.insert(component.clone(), row.number("used_energy_j"));
            run.energy_j.insert(component, energy_j);
        }
        runs
    }

    /// All series of `metric`: labels as text, samples without stale markers.
    pub(crate) fn samples(&self, metric: &str) -> Vec<(String, Vec<(i64, f64)>)> {
        let source = Snapshot::open(&self.directory.join("snapshot")).unwrap();
        let (mut buffer, mut stats) = (ReadBuffer::default(), ReadStats::default());
        let everything = Window::new(i64::MIN, i64::MAX);
        let series = source.select(&[metric], everything).unwrap();
        series
            .iter()
            .map(|series| {
                series.read(everything, &mut buffer, &mut stats).unwrap();
                let samples = buffer.samples();
                let pairs = samples.timestamps_ms.iter().copied().zip(samples.values.iter().copied());
                (series.labels().to_string(), pairs.filter(|(_, value)| !is_stale(*value)).collect())
            })
            .collect()
    }
}

/// Adds rows to the site's configuration that take `meters` (metric, component) of the targets of `instances` away; its path.
pub(crate) fn take_away(cluster: &Cluster, instances: &str, meters: &[(&str, &str)]) -> PathBuf {
    let config = cluster.directory.join("wattledger.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    for (metric, component) in meters {
        text += &format!(
            "\n[[meter]]\nmetric = \"{metric}\"\nexporter = \"none\"\ncomponent = \"{component}\"\nquantity = \"unusable\"\n\
             scale = 1.0\nwhy = \"taken away for a test\"\nwhere = {{ instance = \"{instances}\" }}\n"
        );
    }
    std::fs::write(&config, text).unwrap();
    config
}

/// The curves of `wattledger calibrate` for a cluster, as a file.
pub(crate) fn calibrate(cluster: &Cluster, config: &Path) -> PathBuf {
    let curves = cluster.directory.join("calibration.toml");
    let mut command = wattledger();
    command.arg("calibrate").arg("--snapshot").arg(cluster.directory.join("snapshot"));
    command.arg("--config").arg(config).arg("--out").arg(&curves).assert().success();
    curves
}

/// The binary, with no setting of the test's surroundings.
pub(crate) fn wattledger() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wattledger"));
    command.env_remove("RAYON_NUM_THREADS");
    command
}

/// Blocks made by `wattledger convert` of a dump's text, as `blocks` in `directory`.
pub(crate) fn convert(directory: &Path, text: &str) -> PathBuf {
    let (dump, blocks) = (directory.join("dump.txt"), directory.join("blocks"));
    std::fs::write(&dump, text).unwrap();
    wattledger().arg("convert").arg(dump).arg("--out").arg(&blocks).assert().success();
    blocks
}

/// A device of `truth.csv`.
pub(crate) struct DeviceTruth {
    pub(crate) node: String,
    pub(crate) scheduled: bool,
    pub(crate) component: String,
    /// As the ledger writes it: without `GPU-`.
    pub(crate) device: String,
    pub(crate) metered: bool,
    pub(crate) energy_j: f64,
    pub(crate) idle_j: f64,
}

/// A run of `truth_runs.csv`.
pub(crate) struct RunTruth {
    /// By component.
    pub(crate) energy_j: BTreeMap<String, f64>,
    /// By component, where the dynamic part follows what was used.
    pub(crate) used_j: BTreeMap<String, f64>,
    /// All of its processors, memory and GPUs have a meter.
    pub(crate) metered: bool,
}

impl Default for RunTruth {
    fn default() -> Self {
        Self { energy_j: BTreeMap::new(), used_j: BTreeMap::new(), metered: true }
    }
}

impl RunTruth {
    /// Energy of all that meters measure by the device.
    pub(crate) fn parts_j(&self) -> f64 {
        PARTS.iter().map(|part| self.energy_j.get(*part).unwrap()).sum()
    }
}

/// The components that meters measure by the device.
pub(crate) const PARTS: [&str; 3] = ["cpu", "dram", "gpu"];

/// What the books say about one device over the whole window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeviceFigures {
    pub(crate) energy_j: f64,
    /// By hour: energy × expected ÷ known; `None` where less than half of some hour is known.
    pub(crate) extrapolated_j: Option<f64>,
    pub(crate) known_s: f64,
    pub(crate) interpolated_s: f64,
    pub(crate) expected_s: f64,
}

/// Node, component, device → figures.
pub(crate) fn device_figures(books: &Books) -> BTreeMap<(String, String, String), DeviceFigures> {
    let mut all = BTreeMap::new();
    for node in &books.nodes {
        for (index, device) in node.devices.iter().enumerate() {
            let mut figures = DeviceFigures { extrapolated_j: Some(0.0), ..DeviceFigures::default() };
            for entry in node.entries.iter().filter(|entry| entry.device == index) {
                figures.energy_j += entry.energy_j;
                let known_s = entry.covered_s + entry.interpolated_s;
                figures.extrapolated_j = figures.extrapolated_j.and_then(|sum| {
                    (2.0 * known_s >= entry.expected_s).then_some(match known_s {
                        0.0 => sum,
                        _ => sum + entry.energy_j * (entry.expected_s / known_s).max(1.0),
                    })
                });
            }
            figures.known_s = device.covered_s + device.interpolated_s;
            figures.interpolated_s = device.interpolated_s;
            figures.expected_s = device.expected_s;
            let id = match device.key.component {
                Component::Other => "node".to_owned(),
                _ => device.key.id.clone(),
            };
            all.insert((node.name.clone(), device.key.component.as_str().to_owned(), id), figures);
        }
    }
    all
}

/// A row of a CSV, by column.
pub(crate) struct Row(BTreeMap<String, String>);

impl Row {
    pub(crate) fn text(&self, column: &str) -> &str {
        self.0.get(column).unwrap_or_else(|| panic!("no column `{column}`"))
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    pub(crate) fn number(&self, column: &str) -> f64 {
        self.text(column).parse().unwrap_or_else(|_| panic!("`{column}` = `{}`", self.text(column)))
    }

    /// A column of kilowatt-hours, in joules.
    pub(crate) fn joules(&self, column: &str) -> f64 {
        self.number(column) * JOULES_PER_KWH
    }

    /// The energy in processors, memory and GPUs, in joules.
    pub(crate) fn parts_j(&self) -> f64 {
        PARTS.iter().map(|part| self.joules(&format!("{part}_energy_kwh"))).sum()
    }
}

/// A whole CSV.
pub(crate) fn table(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let records = reader.records().map(|record| {
        let record = record.unwrap();
        Row(names.iter().cloned().zip(record.iter().map(str::to_owned)).collect())
    });
    records.collect()
}

/// `|got − true| ÷ true`.
pub(crate) fn off_by(got: f64, truth: f64) -> f64 {
    (got - truth).abs() / truth.abs().max(1.0)
}
