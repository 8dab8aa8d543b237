//! `runs.parquet`: every run of the kept job logs, for people's own queries and for reports.

use std::collections::HashMap;
use std::path::PathBuf;

use parquet::data_type::ByteArray;
use serde::{Deserialize, Serialize};

use super::logs::ReadLogs;
use super::{Store, StoreError, write_if_new};
use crate::jobs::{JobLog, Run, SchedulerNode, Skipped};
use crate::parquet_columns::{self, Column, Columns, Values};
use crate::there;
use crate::time::Window;

const FILE: &str = "runs.parquet";
const ABOUT: &str = "wattledger.runs";

/// A run by its id, its start, and a number that tells those apart that share both, as tables made by hand may have them.
pub(in crate::ledger) type RunKey = (String, i64, u32);

/// The number of each run among those of the same id and start: by nodes, user and name, so that the order of logs is nothing to it.
pub(in crate::ledger) fn twins(runs: &[Run]) -> Vec<u32> {
    let mut same: HashMap<(&str, i64), Vec<usize>> = HashMap::with_capacity(runs.len());
    for (position, run) in runs.iter().enumerate() {
        same.entry((run.run_id.as_str(), run.start_ms)).or_default().push(position);
    }
    let mut numbers = vec![0; runs.len()];
    for mut positions in same.into_values().filter(|positions| positions.len() > 1) {
        positions.sort_by_cached_key(|position| {
            let run = runs.get(*position);
            run.map(|run| (run.node_names(), run.user.clone(), run.name.clone(), run.end_ms, run.restart))
        });
        for (number, position) in (0..).zip(positions) {
            if let Some(slot) = numbers.get_mut(position) {
                *slot = number;
            }
        }
    }
    numbers
}

/// Where each run stands.
pub(in crate::ledger) struct Positions<'r>(HashMap<(&'r str, i64, u32), usize>);

impl<'r> Positions<'r> {
    pub(in crate::ledger) fn new(runs: &'r [Run]) -> Self {
        let numbered = runs.iter().zip(twins(runs)).enumerate();
        Self(
            numbered
                .map(|(position, (run, twin))| ((run.run_id.as_str(), run.start_ms, twin), position))
                .collect(),
        )
    }

    pub(in crate::ledger) fn of(&self, id: &str, start_ms: i64, twin: u32) -> Option<usize> {
        self.0.get(&(id, start_ms, twin)).copied()
    }
}

/// What stands beside the rows.
#[derive(Debug, Default, Deserialize, Serialize)]
struct About {
    logs: Vec<String>,
    covered_ms: Vec<(i64, i64)>,
    nodes: Vec<SchedulerNode>,
    skipped: Skipped,
    rejected: u64,
    notes: Vec<String>,
}

/// The runs of a ledger.
#[derive(Clone, Debug, Default)]
pub struct StoredRuns {
    /// What the logs tell.
    pub log: JobLog,
    /// The stretches of time that they cover.
    pub covered: Vec<Window>,
    /// SHA-256 of the logs that they are from.
    pub logs: Vec<String>,
}

impl Store {
    /// Where the runs are.
    pub fn runs_path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Writes the runs of the kept logs.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write_runs(&self, read: &ReadLogs) -> Result<(), StoreError> {
        let path = self.runs_path();
        let damaged = |reason: String| StoreError::Damaged { path: path.clone(), reason };
        let about = About {
            logs: read.kept.iter().map(|log| log.sha256.clone()).collect(),
            covered_ms: read.covered.iter().map(|window| (window.start_ms, window.end_ms)).collect(),
            nodes: read.log.nodes.clone(),
            skipped: read.log.skipped,
            rejected: read.log.rejected_total,
            notes: read.log.notes.clone(),
        };
        let about = serde_json::to_string(&about).map_err(|error| damaged(error.to_string()))?;
        let columns = columns(&read.log.runs).map_err(|error| damaged(error.to_string()))?;
        let bytes = parquet_columns::write(&columns, |_| vec![(ABOUT.to_owned(), about)])
            .map_err(|error| damaged(error.to_string()))?;
        write_if_new(&path, &bytes)
    }

    /// Reads the runs; none if there is no such file.
    ///
    /// # Errors
    ///
    /// Where the file is damaged.
    pub fn runs(&self) -> Result<StoredRuns, StoreError> {
        let path = self.runs_path();
        if !there::is_file(&path).map_err(StoreError::io("look at", &path))? {
            return Ok(StoredRuns::default());
        }
        let damaged = |reason: String| StoreError::Damaged { path: path.clone(), reason };
        let file = std::fs::File::open(&path).map_err(StoreError::io("open", &path))?;
        let table = parquet_columns::read(file, true).map_err(|error| damaged(error.to_string()))?;
        let about = table.text(ABOUT).ok_or_else(|| damaged(format!("it has no `{ABOUT}`")))?;
        let about: About = serde_json::from_str(about).map_err(|error| damaged(error.to_string()))?;
        let runs = runs(&table).map_err(damaged)?;
        let covered: Vec<Window> =
            about.covered_ms.iter().map(|(from, to)| Window::new(*from, *to)).collect();
        let log = JobLog {
            runs,
            covered: crate::time::span(&covered),
            nodes: about.nodes,
            skipped: about.skipped,
            rejected_total: about.rejected,
            notes: about.notes,
            ..JobLog::default()
        };
        Ok(StoredRuns { log, covered, logs: about.logs })
    }
}

fn columns(runs: &[Run]) -> serde_json::Result<Vec<Column>> {
    let text = |name: &str, of: &dyn Fn(&Run) -> Option<String>| {
        let values = runs.iter().map(|run| of(run).map(|text| ByteArray::from(text.into_bytes())));
        Column::new(name, Values::Text(values.collect()))
    };
    let number = |name: &str, of: &dyn Fn(&Run) -> Option<f64>| {
        Column::new(name, Values::Number(runs.iter().map(of).collect()))
    };
    let instant = |name: &str, of: &dyn Fn(&Run) -> Option<i64>| {
        Column::new(name, Values::Instant(runs.iter().map(of).collect()))
    };
    let allocations: Vec<String> =
        runs.iter().map(|run| serde_json::to_string(&run.allocations)).collect::<serde_json::Result<_>>()?;
    Ok(vec![
        text("run_id", &|run| Some(run.run_id.clone())),
        instant("start", &|run| Some(run.start_ms)),
        Column::new(
            "twin",
            Values::Count(twins(runs).into_iter().map(|twin| Some(i64::from(twin))).collect()),
        ),
        instant("end", &|run| run.end_ms),
        Column::new("restart", Values::Count(runs.iter().map(|run| Some(i64::from(run.restart))).collect())),
        text("job_id", &|run| Some(run.job_id.clone())),
        text("name", &|run| Some(run.name.clone())),
        text("user", &|run| Some(run.user.clone())),
        text("account", &|run| Some(run.account.clone())),
        text("partition", &|run| Some(run.partition.clone())),
        text("state", &|run| Some(run.state.clone())),
        text("stage", &|run| Some(run.stage.clone())),
        text("zone", &|run| run.zone.clone()),
        text("nodes", &|run| Some(run.node_names())),
        number("cpus", &|run| run.total(|part| part.cpus)),
        number("memory_bytes", &|run| run.total(|part| part.memory_bytes)),
        number("gpus", &|run| run.total(|part| part.gpus)),
        number("cpu_time_s", &|run| run.cpu_time_s),
        number("functional_units", &|run| run.functional_units),
        number("scheduler_energy_j", &|run| run.recorded_energy_j),
        Column::new("allocations", Values::texts(allocations.iter().map(|text| Some(text.as_str())))),
    ])
}

fn runs(table: &Columns) -> Result<Vec<Run>, String> {
    let texts = |name: &str| match table.values(name) {
        Some(Values::Text(values)) => values
            .iter()
            .map(|value| {
                let bytes = value.as_ref().map(|bytes| bytes.data().to_vec());
                bytes.map(String::from_utf8).transpose().map_err(|_| format!("`{name}` is no UTF-8"))
            })
            .collect::<Result<Vec<Option<String>>, String>>(),
        _ => Err(format!("it has no texts `{name}`")),
    };
    let numbers = |name: &str| match table.values(name) {
        Some(Values::Number(values)) => Ok(values.clone()),
        _ => Err(format!("it has no numbers `{name}`")),
    };
    let instants = |name: &str| match table.values(name) {
        Some(Values::Instant(values) | Values::Count(values)) => Ok(values.clone()),
        _ => Err(format!("it has no instants `{name}`")),
    };
    let mut run_id = texts("run_id")?.into_iter();
    let (start, end, restart) = (instants("start")?, instants("end")?, instants("restart")?);
    let mut rest: Vec<_> = ["job_id", "name", "user", "account", "partition", "state", "stage"]
        .into_iter()
        .map(|name| texts(name).map(Vec::into_iter))
        .collect::<Result<_, _>>()?;
    let mut next =
        |column: usize| rest.get_mut(column).and_then(Iterator::next).flatten().unwrap_or_default();
    let (mut zone, mut allocations) = (texts("zone")?.into_iter(), texts("allocations")?.into_iter());
    let (cpu_time, units) = (numbers("cpu_time_s")?, numbers("functional_units")?);
    let recorded = numbers("scheduler_energy_j")?;
    let at = |values: &[Option<f64>], row: usize| values.get(row).copied().flatten();
    let when = |values: &[Option<i64>], row: usize| values.get(row).copied().flatten();
    let mut found = Vec::with_capacity(start.len());
    for row in 0..start.len() {
        let held = allocations.next().flatten().unwrap_or_else(|| "[]".to_owned());
        found.push(Run {
            run_id: run_id.next().flatten().unwrap_or_default(),
            start_ms: when(&start, row).ok_or("a run has no start")?,
            end_ms: when(&end, row),
            restart: when(&restart, row).and_then(|number| u32::try_from(number).ok()).unwrap_or_default(),
            job_id: next(0),
            name: next(1),
            user: next(2),
            account: next(3),
            partition: next(4),
            state: next(5),
            stage: next(6),
            zone: zone.next().flatten(),
            allocations: serde_json::from_str(&held).map_err(|error| error.to_string())?,
            cpu_time_s: at(&cpu_time, row),
            functional_units: at(&units, row),
            recorded_energy_j: at(&recorded, row),
        });
    }
    Ok(found)
}
