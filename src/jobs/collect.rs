//! From rows to runs: steps go into their jobs, repeated rows go away, and
//! what the log covers is worked out.

#![allow(clippy::vec_box, reason = "sorting moves pointers instead of records of 400 bytes")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::error::shorten;
use super::tres::{RequestedMemory, Tres};
use super::{
    Allocation, JobLog, LogInput, MAX_REJECTED, Place, RejectReason, Rejected, Run, SchedulerNode, Skipped,
    spread,
};
use crate::time::Window;

/// Hosts that the runs of a log may have, whatever its length, and for each run besides: no cluster's runs have more in the mean, and a
/// short line can claim very many.
const HOSTS_OF_ANY_LOG: usize = 4_000_000;
const HOSTS_A_RECORD: usize = 1_000;
/// Indices of GPUs that take as much memory as a host.
const IDS_A_HOST: usize = 4;
/// Hosts × indices that one record may have.
pub(super) const MOST_IDS: usize = 4_000_000;

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
    /// What it held on each node, where the log says so itself; goes before the totals.
    pub(super) per_node: Option<Vec<Allocation>>,
    /// A window that somebody wrote down: only rows that are alike repeat each other.
    pub(super) by_hand: bool,
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

/// Gathers the rows of all logs.
#[derive(Default)]
pub(super) struct Collector {
    path: PathBuf,
    pub(super) inputs: Vec<LogInput>,
    pub(super) nodes: Vec<SchedulerNode>,
    /// Where runs were that name no node.
    pub(super) default_node: Option<String>,
    /// Hosts of all records.
    hosts: usize,
    /// On the heap, so that sorting moves little.
    records: Vec<Box<Record>>,
    steps: Vec<Step>,
    rejected: Vec<Rejected>,
    rejected_total: u64,
    pub(super) skipped: Skipped,
    /// What the site's numbers of resources stand for.
    pub(super) tres_names: BTreeMap<String, String>,
    first_start_ms: Option<i64>,
    known_from_ms: Option<i64>,
    last_ms: Option<i64>,
    pub(super) zone_assumed: bool,
    pub(super) notes: Vec<String>,
}

impl Collector {
    /// Rows come from the file `path` from now on.
    pub(super) fn begin(&mut self, path: &Path) {
        self.path = path.to_path_buf();
    }

    /// Says once what a user should know.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// How many rows were taken or rejected so far.
    pub(super) fn rows(&self) -> u64 {
        let records = self.records.len().saturating_add(self.nodes.len());
        let skipped = self.skipped.never_started.saturating_add(self.skipped.steps);
        u64::try_from(records).unwrap_or(u64::MAX).saturating_add(skipped).saturating_add(self.rejected_total)
    }

    /// Leaves out a line.
    pub(super) fn reject(&mut self, line: u64, reason: RejectReason, text: &str) {
        self.reject_at(Place::Line(line), reason, text);
    }

    /// Leaves out an entry of a list, counted from 1.
    pub(super) fn reject_entry(&mut self, entry: u64, reason: RejectReason, text: &str) {
        self.reject_at(Place::Entry(entry), reason, text);
    }

    fn reject_at(&mut self, place: Place, reason: RejectReason, text: &str) {
        self.rejected_total = self.rejected_total.saturating_add(1);
        if self.rejected.len() < MAX_REJECTED {
            self.rejected.push(Rejected { path: self.path.clone(), place, reason, text: shorten(text) });
        }
    }

    /// Of what was over before `at_ms` the log knows nothing, though some that it knows of began earlier.
    pub(super) fn knows_from(&mut self, at_ms: i64) {
        self.known_from_ms = self.known_from_ms.max(Some(at_ms));
    }

    /// The log knows of something that happened at `at_ms`, so it reaches so far.
    pub(super) fn reaches(&mut self, at_ms: i64) {
        self.last_ms = self.last_ms.max(Some(at_ms));
    }

    /// Passes over a job that waits, or that ended before it began.
    pub(super) fn never_started(&mut self) {
        self.skipped.never_started = self.skipped.never_started.saturating_add(1);
    }

    pub(super) fn step(&mut self, step: Step) {
        self.skipped.steps = self.skipped.steps.saturating_add(1);
        self.steps.push(step);
    }

    pub(super) fn record(&mut self, mut record: Record) {
        if record.nodes.is_empty() {
            record.nodes.extend(self.default_node.clone());
        }
        let most = HOSTS_A_RECORD.saturating_mul(self.records.len()).saturating_add(HOSTS_OF_ANY_LOG);
        let hosts = self.hosts.saturating_add(record.weight());
        if hosts > most {
            return self.reject_entry(
                self.rows().saturating_add(1),
                RejectReason::TooManyHosts,
                &record.run.run_id,
            );
        }
        self.hosts = hosts;
        let start_ms = record.run.start_ms;
        self.first_start_ms = Some(self.first_start_ms.map_or(start_ms, |first| first.min(start_ms)));
        self.reaches(record.run.end_ms.unwrap_or(start_ms));
        self.records.push(Box::new(record));
    }

    pub(super) fn finish(mut self) -> JobLog {
        self.name_the_cluster();
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
        let records = self.without_repeats();
        let mut records = self.with_steps(records);
        number_restarts(&mut records);

        // Slurm lists GPUs only at sites that track them. If it does so anywhere
        // in the log, a list without GPUs means that there were none.
        let tracks_gpus = records.iter().any(|record| record.totals.gpus.is_some());
        let mut runs: Vec<Run> = records.into_iter().map(|record| into_run(*record, tracks_gpus)).collect();
        runs.sort_by(|a, b| (a.start_ms, &a.run_id, a.restart).cmp(&(b.start_ms, &b.run_id, b.restart)));
        let zero_length = runs.iter().filter(|run| run.end_ms == Some(run.start_ms)).count();
        self.skipped.zero_length = u64::try_from(zero_length).unwrap_or(u64::MAX);
        let nowhere = runs.iter().filter(|run| run.allocations.is_empty()).count();
        self.skipped.without_nodes = u64::try_from(nowhere).unwrap_or(u64::MAX);
        if nowhere > 0 {
            self.note(format!(
                "runs that name no node: {nowhere}; they get no energy, unless `--jobs-node` says where they were"
            ));
        }

        let first_ms = self.first_start_ms.max(self.known_from_ms);
        let covered = first_ms.zip(self.last_ms).map(|(first, last)| Window::new(first, last.max(first)));
        JobLog {
            runs,
            rejected: self.rejected,
            rejected_total: self.rejected_total,
            skipped: self.skipped,
            covered,
            inputs: self.inputs,
            nodes: self.nodes,
            zone_assumed: self.zone_assumed,
            notes: self.notes,
        }
    }

    /// A log that names no cluster is of the one that the others name, if that is one.
    fn name_the_cluster(&mut self) {
        let named: BTreeSet<&str> = self
            .records
            .iter()
            .map(|record| record.cluster.as_str())
            .filter(|name| !name.is_empty())
            .collect();
        let (Some(only), 1) = (named.first().map(|name| (*name).to_owned()), named.len()) else { return };
        let nameless = self.records.iter_mut().filter(|record| record.cluster.is_empty() && !record.by_hand);
        nameless.for_each(|record| record.cluster.clone_from(&only));
        let nameless = self.steps.iter_mut().filter(|step| step.cluster.is_empty());
        nameless.for_each(|step| step.cluster.clone_from(&only));
    }

    /// Drops rows that repeat another. In a scheduler's log, rows of one id and
    /// one start are one run seen at different times, of which the last says
    /// most; in a CSV made by hand only rows that are alike repeat each other.
    fn without_repeats(&mut self) -> Vec<Box<Record>> {
        let mut kept: Vec<Box<Record>> = Vec::with_capacity(self.records.len());
        let mut alike = Alike::default();
        for record in std::mem::take(&mut self.records) {
            if kept.last().is_none_or(|other| key(other) != key(&record)) {
                alike = Alike { indexed: kept.len(), ..Alike::default() };
                kept.push(record);
                continue;
            }
            match alike.find(&record, &kept).and_then(|at| Some((at, kept.get_mut(at)?))) {
                None => kept.push(record),
                Some((_, other)) if *other == record => {
                    self.skipped.duplicates = self.skipped.duplicates.saturating_add(1);
                }
                Some((at, other)) => {
                    self.skipped.superseded = self.skipped.superseded.saturating_add(1);
                    alike.forget(at, other);
                    // `None < Some`, so an end beats no end, and a later end an earlier one.
                    if record.run.end_ms >= other.run.end_ms {
                        let earlier = std::mem::replace(other, record);
                        other.complete_with(*earlier);
                    } else {
                        other.complete_with(*record);
                    }
                    alike.note(at, other);
                }
            }
        }
        kept
    }

    fn with_steps(&mut self, mut records: Vec<Box<Record>>) -> Vec<Box<Record>> {
        let steps = std::mem::take(&mut self.steps);
        let targets = step_targets(&records, &steps);
        for (step, target) in steps.into_iter().zip(targets) {
            let Some(record) = target.and_then(|at| records.get_mut(at)) else {
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

/// For each step the position of its run in `records`, which are in the order of their keys: the run during
/// which it began, since a job that was requeued has several; one that began before all of them is of the first.
fn step_targets(records: &[Box<Record>], steps: &[Step]) -> Vec<Option<usize>> {
    let of_step = |step: &Step| {
        let job = (step.run_id.as_str(), step.cluster.as_str());
        let later = |start_ms| records.partition_point(|record| key(record) <= (job.0, job.1, start_ms));
        let is_its = |at: &usize| {
            records.get(*at).is_some_and(|record| (&*record.run.run_id, &*record.cluster) == job)
        };
        let next = later(step.start_ms.unwrap_or(i64::MAX));
        next.checked_sub(1).filter(is_its).or(Some(next).filter(is_its))
    };
    steps.iter().map(of_step).collect()
}

/// The kept rows of one key, by what a further row can repeat. They can be very many, so none is looked for by going through them.
#[derive(Default)]
struct Alike {
    /// Rows before this one have been noted.
    indexed: usize,
    /// The one from a scheduler's log.
    scheduled: Option<usize>,
    /// Those by hand without an end.
    open: BTreeSet<usize>,
    /// Those by hand, by all that they say.
    by_text: HashMap<String, usize>,
}

impl Alike {
    /// The latest of `kept` that `record` repeats or ends.
    fn find(&mut self, record: &Record, kept: &[Box<Record>]) -> Option<usize> {
        for (at, other) in kept.iter().enumerate().skip(self.indexed) {
            self.note(at, other);
        }
        self.indexed = kept.len();
        if !record.by_hand {
            return self.scheduled;
        }
        let same = self.by_text.get(&text(record)).copied();
        let begun = record.run.end_ms.and_then(|_| self.open.last().copied());
        same.max(begun)
    }

    fn note(&mut self, at: usize, record: &Record) {
        if !record.by_hand {
            self.scheduled = Some(at);
            return;
        }
        self.by_text.insert(text(record), at);
        if record.run.end_ms.is_none() {
            self.open.insert(at);
        }
    }

    fn forget(&mut self, at: usize, record: &Record) {
        self.open.remove(&at);
        if record.by_hand {
            self.by_text.remove(&text(record));
        }
    }
}

/// All that a row says.
fn text(record: &Record) -> String {
    format!("{record:?}")
}

impl Record {
    /// What it takes in memory, in hosts.
    fn weight(&self) -> usize {
        let ids = self.gpu_ids.as_ref().map_or(0, Vec::len);
        self.nodes.len().saturating_mul(ids.div_euclid(IDS_A_HOST).saturating_add(1))
    }

    /// Takes over what only `other`, another row of the same run, tells: `scontrol show job -d` knows
    /// which GPUs it had, `sacct` when it ended.
    fn complete_with(&mut self, other: Self) {
        self.per_node = self.per_node.take().or(other.per_node);
        self.gpu_ids = self.gpu_ids.take().or(other.gpu_ids);
        self.cpus = self.cpus.or(other.cpus);
        self.requested_memory = self.requested_memory.or(other.requested_memory);
        if !self.lists_resources {
            self.totals = other.totals;
            self.lists_resources = other.lists_resources;
        }
        self.run.cpu_time_s = self.run.cpu_time_s.or(other.run.cpu_time_s);
        self.run.functional_units = self.run.functional_units.or(other.run.functional_units);
        let energies = [self.run.recorded_energy_j, other.run.recorded_energy_j];
        self.run.recorded_energy_j = energies.into_iter().flatten().reduce(f64::max);
        let texts = [
            (&mut self.run.job_id, other.run.job_id),
            (&mut self.run.name, other.run.name),
            (&mut self.run.user, other.run.user),
            (&mut self.run.account, other.run.account),
            (&mut self.run.partition, other.run.partition),
            (&mut self.run.stage, other.run.stage),
        ];
        for (mine, theirs) in texts {
            if mine.is_empty() {
                *mine = theirs;
            }
        }
    }
}

fn key(record: &Record) -> (&str, &str, i64) {
    (&record.run.run_id, &record.cluster, record.run.start_ms)
}

/// Numbers the runs of each id by their starts, over all clusters.
fn number_restarts(records: &mut [Box<Record>]) {
    records.sort_by(|a, b| {
        (&a.run.run_id, a.run.start_ms, &a.cluster).cmp(&(&b.run.run_id, b.run.start_ms, &b.cluster))
    });
    for same_id in records.chunk_by_mut(|left, right| left.run.run_id == right.run.run_id) {
        // One that was seen running and whose id began again had ended by then. By cluster: the last start gone by, and the next later one.
        let mut later: HashMap<String, (i64, Option<i64>)> = HashMap::new();
        for record in same_id.iter_mut().rev() {
            let start_ms = record.run.start_ms;
            let (start, next) = later.entry(record.cluster.clone()).or_insert((start_ms, None));
            if start_ms < *start {
                (*start, *next) = (start_ms, Some(*start));
            }
            if record.run.end_ms.is_none() && !record.by_hand {
                record.run.end_ms = *next;
            }
        }
        for (restart, record) in (0_u32..).zip(same_id) {
            record.run.restart = restart;
        }
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
    let allocations = match record.per_node {
        Some(mut allocations) => {
            // What the log gives for the whole job only is spread over the nodes like any other total.
            let spread = spread(record.nodes, &totals, None);
            for (mine, share) in allocations.iter_mut().zip(spread) {
                mine.cpus = mine.cpus.or(share.cpus);
                mine.memory_bytes = mine.memory_bytes.or(share.memory_bytes);
                mine.gpus = mine.gpus.or(share.gpus);
            }
            allocations
        }
        None => spread(record.nodes, &totals, record.gpu_ids.as_deref()),
    };
    Run { allocations, ..record.run }
}
