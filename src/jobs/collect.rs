//! From rows to runs: steps go into their jobs, repeated rows go away, and
//! what the log covers is worked out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::shorten;
use super::tres::{RequestedMemory, Tres};
use super::{JobLog, LogFormat, MAX_REJECTED, RejectReason, Rejected, Run, Skipped, spread};
use crate::time::Window;

/// A run as its row has it, before its steps are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record {
    /// Everything but the allocations.
    pub(super) run: Run,
    /// Slurm's cluster, where the log names it: ids repeat between clusters.
    pub(super) cluster: String,
    pub(super) nodes: Vec<String>,
    pub(super) totals: Tres,
    /// The row lists its resources, so that what is not in the list is not there.
    pub(super) lists_resources: bool,
    /// CPUs by a column of their own, where the list has none.
    pub(super) cpus: Option<f64>,
    pub(super) requested_memory: Option<RequestedMemory>,
    pub(super) gpu_ids: Option<Vec<String>>,
}

/// What a job step adds to its job.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) cluster: String,
    pub(super) run_id: String,
    pub(super) start_ms: Option<i64>,
    pub(super) energy_j: Option<f64>,
    /// Resources of the whole allocation (only the `extern` step has those).
    pub(super) allocation: Option<Tres>,
}

/// Gathers the rows of one log.
pub(super) struct Collector {
    path: PathBuf,
    records: Vec<Record>,
    steps: Vec<Step>,
    rejected: Vec<Rejected>,
    rejected_total: u64,
    pub(super) skipped: Skipped,
    first_start_ms: Option<i64>,
    last_ms: Option<i64>,
    pub(super) zone_assumed: bool,
    pub(super) notes: Vec<String>,
}

impl Collector {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            records: Vec::new(),
            steps: Vec::new(),
            rejected: Vec::new(),
            rejected_total: 0,
            skipped: Skipped::default(),
            first_start_ms: None,
            last_ms: None,
            zone_assumed: false,
            notes: Vec::new(),
        }
    }

    pub(super) fn reject(&mut self, line: u64, reason: RejectReason, text: &str) {
        self.rejected_total = self.rejected_total.saturating_add(1);
        if self.rejected.len() < MAX_REJECTED {
            self.rejected.push(Rejected { path: self.path.clone(), line, reason, text: shorten(text) });
        }
    }

    /// The log knows of something that happened at `at_ms`, so it reaches so far.
    pub(super) fn reaches(&mut self, at_ms: i64) {
        self.last_ms = self.last_ms.max(Some(at_ms));
    }

    pub(super) fn step(&mut self, step: Step) {
        self.skipped.steps = self.skipped.steps.saturating_add(1);
        self.steps.push(step);
    }

    pub(super) fn record(&mut self, record: Record) {
        let start_ms = record.run.start_ms;
        self.first_start_ms = Some(self.first_start_ms.map_or(start_ms, |first| first.min(start_ms)));
        self.reaches(record.run.end_ms.unwrap_or(start_ms));
        self.records.push(record);
    }

    pub(super) fn finish(mut self, format: LogFormat, columns: Vec<String>) -> JobLog {
        let clusters: BTreeSet<&str> = self.records.iter().map(|record| record.cluster.as_str()).collect();
        if clusters.len() > 1 {
            let names: Vec<&str> = clusters.into_iter().collect();
            self.notes.push(format!(
                "the log covers several clusters (`{}`): job ids may repeat",
                names.join("`, `")
            ));
        }
        // Stable: rows that compare equal stay in the order of the file.
        self.records.sort_by(|a, b| key(a).cmp(&key(b)));
        let records = self.without_repeats(format);
        let mut records = self.with_steps(records);
        number_restarts(&mut records);

        // Slurm lists GPUs only at sites that track them. If it does so anywhere
        // in the log, a list without GPUs means that there were none.
        let tracks_gpus = records.iter().any(|record| record.totals.gpus.is_some());
        let mut runs: Vec<Run> = records.into_iter().map(|record| into_run(record, tracks_gpus)).collect();
        runs.sort_by(|a, b| (a.start_ms, &a.run_id, a.restart).cmp(&(b.start_ms, &b.run_id, b.restart)));
        let zero_length = runs.iter().filter(|run| run.end_ms == Some(run.start_ms)).count();
        self.skipped.zero_length = u64::try_from(zero_length).unwrap_or(u64::MAX);

        let covered = self.first_start_ms.zip(self.last_ms).map(|(first, last)| Window::new(first, last));
        JobLog {
            runs,
            rejected: self.rejected,
            rejected_total: self.rejected_total,
            skipped: self.skipped,
            covered,
            format,
            columns,
            zone_assumed: self.zone_assumed,
            notes: self.notes,
        }
    }

    /// Drops rows that repeat another. In a scheduler's log, rows of one id and
    /// one start are one run seen at different times, of which the last says
    /// most; in a CSV made by hand only rows that are alike repeat each other.
    fn without_repeats(&mut self, format: LogFormat) -> Vec<Record> {
        let mut kept: Vec<Record> = Vec::with_capacity(self.records.len());
        for record in std::mem::take(&mut self.records) {
            match kept
                .iter_mut()
                .rev()
                .take_while(|other| key(other) == key(&record))
                .find(|other| **other == record || format == LogFormat::SacctText)
            {
                None => kept.push(record),
                Some(other) if *other == record => {
                    self.skipped.duplicates = self.skipped.duplicates.saturating_add(1);
                }
                Some(other) => {
                    self.skipped.superseded = self.skipped.superseded.saturating_add(1);
                    // `None < Some`, so an end beats no end, and a later end an earlier one.
                    if record.run.end_ms >= other.run.end_ms {
                        *other = record;
                    }
                }
            }
        }
        kept
    }

    fn with_steps(&mut self, mut records: Vec<Record>) -> Vec<Record> {
        for step in std::mem::take(&mut self.steps) {
            let before = |record: &Record| {
                record.run.run_id.cmp(&step.run_id).then_with(|| record.cluster.cmp(&step.cluster))
            };
            let from = records.partition_point(|record| before(record).is_lt());
            let to = records.partition_point(|record| before(record).is_le());
            let runs = records.get_mut(from..to).unwrap_or_default();
            // The run during which the step began; a job that was requeued has several.
            let started = step.start_ms.unwrap_or(i64::MAX);
            let index = runs.iter().rposition(|record| record.run.start_ms <= started).unwrap_or(0);
            let Some(record) = runs.get_mut(index) else {
                self.skipped.orphan_steps = self.skipped.orphan_steps.saturating_add(1);
                continue;
            };
            // Steps overlap (`extern` spans them all), so their energies are never added up.
            let energies = [record.run.recorded_energy_j, step.energy_j];
            record.run.recorded_energy_j = energies.into_iter().flatten().reduce(f64::max);
            if let Some(allocation) = step.allocation.filter(|_| !record.lists_resources) {
                record.totals = allocation;
                record.lists_resources = true;
            }
        }
        records
    }
}

fn key(record: &Record) -> (&str, &str, i64) {
    (&record.run.run_id, &record.cluster, record.run.start_ms)
}

/// Numbers the runs of each id by their starts, over all clusters.
fn number_restarts(records: &mut [Record]) {
    records.sort_by(|a, b| {
        (&a.run.run_id, a.run.start_ms, &a.cluster).cmp(&(&b.run.run_id, b.run.start_ms, &b.cluster))
    });
    let mut previous: Option<(String, u32)> = None;
    for record in records {
        let restart = match &previous {
            Some((run_id, restart)) if *run_id == record.run.run_id => restart.saturating_add(1),
            _ => 0,
        };
        record.run.restart = restart;
        previous = Some((record.run.run_id.clone(), restart));
    }
}

fn into_run(record: Record, tracks_gpus: bool) -> Run {
    let cpus = record.totals.cpus.or(record.cpus);
    let requested =
        || record.requested_memory.and_then(|memory| memory.total_bytes(cpus, record.nodes.len()));
    let no_gpus = (tracks_gpus && record.lists_resources).then_some(0.0);
    let totals = Tres {
        cpus,
        memory_bytes: record.totals.memory_bytes.filter(|bytes| *bytes > 0.0).or_else(requested),
        gpus: record.totals.gpus.or(no_gpus),
        nodes: record.totals.nodes,
    };
    let allocations = spread(record.nodes, &totals, record.gpu_ids.as_deref());
    Run { allocations, ..record.run }
}
