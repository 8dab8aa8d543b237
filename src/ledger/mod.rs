//! The join: device energy × runs × hours, with the books closed.
//!
//! [`close_books`] takes a source of series, the runs of a job log and the
//! site's rules, works through the cluster node by node in parallel, and
//! returns for each node its rows and the proof that they add up.

mod attribute;
pub mod backfill;
mod balance;
mod calibrate;
mod claims;
mod compare;
mod device;
mod device_model;
mod embodied;
mod entry;
mod frame;
mod hardware;
mod held;
mod joblog;
mod market;
mod measure;
mod meter_line;
mod method;
mod models;
mod node_meter;
mod outlook;
mod peaks;
mod pricing;
mod pue;
mod row;
mod rules;
mod shift;
mod size;
pub mod store;
mod survey;
mod usage;
mod whatif;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

pub use balance::{Balance, Balances, Difference};
pub use calibrate::calibrate;
pub use claims::{Claim, NodeSize, ShareMethod};
pub use compare::{Account, ComponentEnergy, compare};
pub use device::{DeviceBook, MethodBook};
pub use device_model::{HardwareModel, hardware_model};
pub use embodied::EmbodiedDevice;
pub use entry::{Beneficiary, Entry};
pub use frame::{entries_frame, priced};
pub use held::HeldUse;
pub use market::{ContractUse, Market, ZoneUse};
pub use meter_line::{LineUse, MeterLine};
pub use method::Method;
pub use outlook::{Outlook, outlook};
pub use pricing::Prices;
pub use pue::Pue;
pub use row::{PriceWords, Row, RowPrice, visit_frame, visit_node};
pub use rules::{GpuInNodeMeter, NodeHardware, Rules};
pub use shift::TimeShift;
pub use survey::{Side, Survey, Unmatched, survey};
pub use usage::ShareRule;
pub use whatif::{Best, MovedRun, Place, Question, Stays, WhatIf, what_if};
pub use whole::NodeBucket;

use attribute::MinutePower;
use size::{most_at_once, node_size};

use crate::jobs::{JobLog, Run, SchedulerNode};
use crate::meter::catalog::{Component, gpu_id};
use crate::meter::inventory::{DeviceSeries, GpuName, Machine, NodeSeries};
use crate::meter::names::{Aliases, NodeNames, nearest};
use crate::meter::presence::{LONGEST_GAP_MS, Presence};
use crate::meter::stream::{Scratch, SeriesUse};
use crate::source::{Series, Source, SourceError};
use crate::time::{Window, local_days, span, whole_days};
use crate::tsdb::{METRIC_NAME, ReadStats};

/// Why the books could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The source failed.
    #[error("cannot read the series")]
    Source(#[from] SourceError),
}

/// The runs and what is known about their log.
#[derive(Clone, Copy, Debug)]
pub struct Jobs<'a> {
    /// All runs.
    pub runs: &'a [Run],
    /// Time for which the log tells who was there, by its records; `None` if there are none.
    pub covered: Option<Window>,
    /// True if there is a log at all, be it empty.
    pub is_given: bool,
    /// Nodes that the scheduler described.
    pub nodes: &'a [SchedulerNode],
}

impl<'a> Jobs<'a> {
    /// What a log tells; nothing without one.
    pub fn of(log: Option<&'a JobLog>) -> Self {
        Self {
            runs: log.map_or(&[], |log| &log.runs),
            covered: log.and_then(|log| log.covered),
            is_given: log.is_some(),
            nodes: log.map_or(&[], |log| &log.nodes),
        }
    }
}

/// The books of one node.
#[derive(Debug, Default)]
pub struct NodeBooks {
    /// The node.
    pub name: String,
    /// The machine, as its exporters describe it.
    pub machine: Machine,
    /// True if the scheduler knows it.
    pub known: bool,
    /// What it has, for shares.
    pub size: Option<NodeSize>,
    /// How that was found, in words.
    pub size_origin: String,
    /// Its site; empty if it has no name.
    pub site: String,
    /// Zone stated for this node.
    pub zone: Option<String>,
    /// When it was there.
    pub presence: Presence,
    /// Its devices.
    pub devices: Vec<DeviceBook>,
    /// Its rows.
    pub entries: Vec<Entry>,
    /// Runs that some meter of the node read twice in a row: all others are `short` (rule C6).
    pub runs_with_full_interval: BTreeSet<usize>,
    /// Runs that had to share it with others for a time.
    pub runs_that_shared: BTreeSet<usize>,
    /// Its whole-node meter by bucket.
    pub node_buckets: Vec<NodeBucket>,
    /// The whole-node meter, if it has one.
    pub node_meter: Option<MethodBook>,
    /// What it took to make it, and who had what of that (rule G5).
    pub embodied: Vec<EmbodiedDevice>,
    /// How each series was used.
    pub uses: Vec<SeriesUse>,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// The books of the cluster.
#[derive(Debug, Default)]
pub struct Books {
    /// The buckets, in order.
    pub buckets: Vec<Window>,
    /// Nodes, by name.
    pub nodes: Vec<NodeBooks>,
    /// Every series that was looked at.
    pub meters: Vec<MeterLine>,
    /// The highest mean power of each run over one minute, in watts, by the run's position.
    pub peaks_w: BTreeMap<usize, f64>,
    /// What runs used of the GPUs and the memory that they held, by the run's position.
    pub held: BTreeMap<usize, HeldUse>,
    /// The proof.
    pub balances: Balances,
    /// What decoding left out.
    pub read: ReadStats,
    /// Nodes of the job log without any series, each with the likely partner.
    pub nodes_without_series: Vec<(String, Option<String>)>,
    /// Time for which the job log tells who was there.
    pub jobs_covered: Option<Window>,
    /// By how much all runs would have to move to fit the nodes' activity clearly better.
    pub time_shift: Option<TimeShift>,
}

/// The series that the catalog knows and that have samples in or near the window.
///
/// # Errors
///
/// Where the source cannot be searched.
pub fn select<'a>(source: &'a dyn Source, rules: &Rules) -> Result<Vec<Box<dyn Series + 'a>>, LedgerError> {
    let names = if rules.catalog.has_patterns() { source.label_values(METRIC_NAME) } else { Vec::new() };
    let metrics: Vec<&str> = rules.catalog.readable().chain(rules.catalog.fitting(&names)).collect();
    Ok(source.select(&metrics, read_window(rules))?)
}

/// What is read of the series: whole UTC days, for rules go by them, and as far beyond the window as two samples can be apart, so
/// that the intervals at its edges and the power beside run edges are known.
fn read_window(rules: &Rules) -> Window {
    read_for(rules.window)
}

/// The time whose samples can have a part in the figures of `window`.
pub fn read_for(window: Window) -> Window {
    whole_days(Window::new(
        window.start_ms.saturating_sub(LONGEST_GAP_MS),
        window.end_ms.saturating_add(LONGEST_GAP_MS),
    ))
}

/// Makes the books. `progress` is called with the number of nodes done and of all nodes.
///
/// # Errors
///
/// Where the source cannot be searched or a series cannot be read at all; a
/// damaged piece is counted in [`Books::read`] and the rest goes on.
pub fn close_books(
    source: &dyn Source,
    jobs: Jobs<'_>,
    rules: &Rules,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Books, LedgerError> {
    close_books_with(source, jobs, rules, progress, &|_| (), &mut |()| ())
}

/// Nodes that are worked through before what they gave is taken on, for each thread.
const NODES_AT_ONCE: usize = 16;

/// Makes the books and lets go of what is large on the way: `digest` makes of each node what is needed of its rows, on whatever
/// thread, and may empty it; `take` gets that in the order of the nodes. Memory then grows with what is taken.
///
/// # Errors
///
/// As [`close_books`].
pub fn close_books_with<D: Send>(
    source: &dyn Source,
    jobs: Jobs<'_>,
    rules: &Rules,
    progress: &(dyn Fn(usize, usize) + Sync),
    digest: &(dyn Fn(&mut NodeBooks) -> D + Sync),
    take: &mut dyn FnMut(D),
) -> Result<Books, LedgerError> {
    let series = select(source, rules)?;
    let Survey { inventory, names } = survey(&series, rules);
    let from_ms = rules.jobs_from_ms.or(jobs.covered.map(|covered| covered.start_ms));
    let to_ms = rules.jobs_to_ms.or(jobs.covered.map(|covered| covered.end_ms));
    let covered = from_ms.zip(to_ms).filter(|_| jobs.is_given).map(|(from, to)| Window::new(from, to));
    let buckets = rules.buckets();
    let (holds, mut known) = holds_by_node(jobs.runs, &names, rules, covered);
    let most_cpus = most_cpus_by_node(jobs.runs, names.aliases(), covered);
    let described: BTreeMap<String, &SchedulerNode> =
        jobs.nodes.iter().map(|node| (names.aliases().canonical(&node.name), node)).collect();
    known.extend(described.keys().cloned());
    let done = AtomicUsize::new(0);
    let unseen: Vec<&String> =
        known.iter().filter(|name| !inventory.nodes.contains_key(name.as_str())).collect();
    let efficiencies = if rules.model_unseen_nodes { joblog::efficiencies(jobs.runs) } else { Vec::new() };
    let context = Context {
        rules,
        buckets: &buckets,
        runs: jobs.runs,
        covered,
        has_log: jobs.is_given,
        efficiencies,
        described,
        days: days_of(&buckets, rules.time_zone),
        most_cpus,
    };
    let mut nodes: Vec<(&String, Option<&NodeSeries<'_>>)> =
        inventory.nodes.iter().map(|(name, series)| (name, Some(series))).collect();
    if rules.model_unseen_nodes {
        nodes.extend(unseen.iter().map(|name| (*name, None)));
        nodes.sort_by_key(|(name, _)| *name);
    }
    let total = nodes.len();
    let mut books = Books { jobs_covered: covered, ..Books::default() };
    let mut minutes = Vec::new();
    let mut activity: Vec<shift::Activity> = Vec::new();
    for some in nodes.chunks(NODES_AT_ONCE.saturating_mul(rayon::current_num_threads())) {
        let results: Vec<Result<_, LedgerError>> = some
            .par_iter()
            .map_init(
                || Scratch::of(rules.window),
                |scratch, (name, series)| {
                    let held = holds.get(*name).map_or(&[][..], Vec::as_slice);
                    let made = context.node(name, *series, held, known.contains(*name), scratch);
                    source.release();
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                    let ((mut node, of_runs), balances) = made?;
                    let activity = context.activity(&node, held);
                    let digested = digest(&mut node);
                    Ok((node, of_runs, balances, std::mem::take(&mut scratch.stats), activity, digested))
                },
            )
            .collect();
        for result in results {
            let (node, of_node, balances, read, of_shift, digested) = result?;
            books.balances.merge(balances);
            books.read.merge(read);
            books.nodes.push(node);
            minutes.extend(of_node.minutes);
            for (run, used) in of_node.held {
                books.held.entry(run).or_default().add(used);
            }
            activity.extend(of_shift);
            take(digested);
        }
    }
    books.peaks_w = peaks::peaks(minutes.iter());
    books.nodes_without_series = unseen
        .into_iter()
        .map(|name| {
            let partner = nearest(name, inventory.nodes.keys().map(String::as_str));
            (name.clone(), partner.map(str::to_owned))
        })
        .collect();
    books.meters = meter_line::lines(&inventory.rows, &books.nodes);
    books.time_shift = covered.and_then(|covered| shift::better(&activity, &buckets, covered));
    books.buckets = buckets;
    Ok(books)
}

/// What a node tells of runs beyond its rows.
struct OfRuns {
    minutes: Vec<MinutePower>,
    held: Vec<(usize, HeldUse)>,
}

/// A node before anything is attributed.
struct ReadNode {
    measured: measure::MeasuredNode,
    claims: Vec<Claim>,
    size: NodeSize,
    size_origin: String,
    machine: Machine,
    /// True of a node without series.
    is_unseen: bool,
}

/// What a run holds on a node, before its GPUs are matched with devices.
#[derive(Clone, Debug)]
struct Hold {
    run: usize,
    window: Window,
    cpus: Option<f64>,
    memory_bytes: Option<f64>,
    gpus: Option<f64>,
    gpu_ids: Vec<String>,
}

/// Every node's holds in the time that is read, and all nodes that the scheduler knows.
fn holds_by_node(
    runs: &[Run],
    names: &NodeNames,
    rules: &Rules,
    covered: Option<Window>,
) -> (BTreeMap<String, Vec<Hold>>, BTreeSet<String>) {
    let read = read_window(rules);
    let mut known: BTreeSet<String> =
        rules.scheduler_nodes.iter().map(|name| names.aliases().canonical(name)).collect();
    let mut canonical: BTreeMap<&str, String> = BTreeMap::new();
    let mut holds: BTreeMap<String, Vec<Hold>> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        // A run that was still going is known to have gone on as far as the log tells, no further.
        let end_ms = run.end_ms.or(covered.map(|covered| covered.end_ms)).unwrap_or(run.start_ms);
        let window = Window::new(run.start_ms, end_ms).intersect(read);
        for allocation in &run.allocations {
            let node = canonical
                .entry(&allocation.node)
                .or_insert_with(|| names.aliases().canonical(&allocation.node));
            if !known.contains(node.as_str()) {
                known.insert(node.clone());
            }
            let Some(window) = window else { continue };
            let here = holds.entry(node.clone()).or_default();
            let add = |left: Option<f64>, right: Option<f64>| Some(left? + right?);
            match here.last_mut().filter(|last| last.run == index) {
                // Two of the scheduler's nodes are one machine: the run holds both parts of it.
                Some(last) => {
                    last.cpus = add(last.cpus, allocation.cpus);
                    last.memory_bytes = add(last.memory_bytes, allocation.memory_bytes);
                    last.gpus = add(last.gpus, allocation.gpus);
                    last.gpu_ids.extend(allocation.gpu_ids.iter().flatten().cloned());
                }
                None => here.push(Hold {
                    run: index,
                    window,
                    cpus: allocation.cpus,
                    memory_bytes: allocation.memory_bytes,
                    gpus: allocation.gpus,
                    gpu_ids: allocation.gpu_ids.clone().unwrap_or_default(),
                }),
            }
        }
    }
    (holds, known)
}

/// Of each bucket the day of `zone` that it is of, counted from 0.
fn days_of(buckets: &[Window], zone: chrono_tz::Tz) -> Vec<usize> {
    let days = span(buckets).map(|window| local_days(window, zone)).unwrap_or_default();
    let day_of =
        |bucket: &Window| days.partition_point(|(_, day)| day.start_ms <= bucket.start_ms).saturating_sub(1);
    buckets.iter().map(day_of).collect()
}

/// The CPUs that were allocated at one time, the most in the whole log, by node (rule W4).
pub(crate) fn most_cpus_by_node(
    runs: &[Run],
    aliases: &Aliases,
    covered: Option<Window>,
) -> BTreeMap<String, f64> {
    let mut canonical: BTreeMap<&str, String> = BTreeMap::new();
    let mut amounts: BTreeMap<String, Vec<(Window, f64)>> = BTreeMap::new();
    for run in runs {
        let end_ms = run.end_ms.or(covered.map(|covered| covered.end_ms)).unwrap_or(run.start_ms);
        let window = Window::new(run.start_ms, end_ms.max(run.start_ms));
        for allocation in &run.allocations {
            let Some(cpus) = allocation.cpus else { continue };
            let node =
                canonical.entry(&allocation.node).or_insert_with(|| aliases.canonical(&allocation.node));
            match amounts.get_mut(node.as_str()) {
                Some(known) => known.push((window, cpus)),
                None => drop(amounts.insert(node.clone(), vec![(window, cpus)])),
            }
        }
    }
    amounts.into_iter().map(|(node, amounts)| (node, most_at_once(amounts.into_iter()))).collect()
}

struct Context<'a> {
    rules: &'a Rules,
    buckets: &'a [Window],
    runs: &'a [Run],
    covered: Option<Window>,
    has_log: bool,
    /// By run, where nodes are modelled from the job log.
    efficiencies: Vec<Option<f64>>,
    /// What the scheduler says that nodes have, by their names here.
    described: BTreeMap<String, &'a SchedulerNode>,
    /// Of each bucket the day that it is of, counted from 0.
    days: Vec<usize>,
    /// CPUs allocated at one time, the most in the whole log, by node.
    most_cpus: BTreeMap<String, f64>,
}

impl Context<'_> {
    fn node(
        &self,
        name: &str,
        series: Option<&NodeSeries<'_>>,
        holds: &[Hold],
        known: bool,
        scratch: &mut Scratch,
    ) -> Result<((NodeBooks, OfRuns), Balances), LedgerError> {
        let stated = self.rules.hardware_of(name);
        let described = self.described.get(name).copied();
        let read = match series {
            Some(series) => {
                let most = self.most_cpus.get(name).copied().unwrap_or(0.0);
                self.read_node(series, holds, (&stated, described, most), scratch)?
            }
            None => self.unseen_node(holds, &stated, described),
        };
        Ok(self.close(name, read, stated, known))
    }

    /// What a node did and what was held of it, to tell whether the log's times fit.
    fn activity(&self, node: &NodeBooks, holds: &[Hold]) -> Option<shift::Activity> {
        self.covered?;
        // A node modelled from the log fits the log, however wrong its times are.
        let mut methods = node.devices.iter().flat_map(|device| &device.chosen);
        if holds.is_empty() || methods.any(|method| *method == Method::ModelledJobLog) {
            return None;
        }
        let holds = holds.iter().map(|hold| (hold.window, hold.cpus.unwrap_or(1.0))).collect();
        Some(shift::Activity::new(node, self.buckets.len(), holds))
    }

    /// A node without series, as far as the job log tells.
    fn unseen_node(
        &self,
        holds: &[Hold],
        stated: &NodeHardware,
        described: Option<&SchedulerNode>,
    ) -> ReadNode {
        let (rules, buckets, covered) = (self.rules, self.buckets, self.covered);
        let efficiencies = &self.efficiencies;
        joblog::UnseenNode { rules, stated, described, buckets, holds, efficiencies, covered }.model()
    }

    /// Reads a node's series.
    fn read_node(
        &self,
        series: &NodeSeries<'_>,
        holds: &[Hold],
        (stated, described, most): (&NodeHardware, Option<&SchedulerNode>, f64),
        scratch: &mut Scratch,
    ) -> Result<ReadNode, LedgerError> {
        let numbers = gpu_job_numbers(series, read_window(self.rules), scratch)?;
        let claims: Vec<Claim> = holds.iter().map(|hold| self.claim(hold, series, &numbers)).collect();
        let job_ids: Vec<Vec<&str>> = holds.iter().map(|hold| self.job_ids(hold)).collect();
        let reading = measure::Reading {
            rules: self.rules,
            stated,
            window: read_window(self.rules),
            buckets: self.buckets,
            claims: &claims,
            job_ids: &job_ids,
        };
        let measured = measure::measure(series, &reading, scratch)?;
        let (size, size_origin) =
            node_size(&series.machine, (stated, described), most, measured.memory_bytes, series);
        let machine = series.machine.clone();
        Ok(ReadNode { measured, claims, size, size_origin, machine, is_unseen: false })
    }

    /// Attributes what a node used, and proves it.
    fn close(
        &self,
        name: &str,
        read: ReadNode,
        stated: NodeHardware,
        known: bool,
    ) -> ((NodeBooks, OfRuns), Balances) {
        let ReadNode { mut measured, claims, size, size_origin, machine, is_unseen } = read;
        let whole = whole::add_other(
            &mut measured.devices,
            measured.node_meter.as_ref(),
            self.rules.gpu_in_node_meter,
            (stated.other_w, stated.psu_efficiency),
            self.buckets,
            &measured.presence,
        );
        measured.notes.extend(whole.note);
        if self.rules.share == ShareRule::Ceems && measured.usage.is_none() && !claims.is_empty() {
            let note =
                "no exporter tells what jobs used: shares are by allocation, not by the rules of CEEMS";
            measured.notes.push(note.to_owned());
        }
        let node = attribute::Node {
            devices: &measured.devices,
            presence: &measured.presence,
            claims: &claims,
            size,
            // Without a job log nobody can tell infrastructure from compute nodes.
            known: known || !self.has_log,
            jobs_covered: self.covered,
            usage: measured.usage.as_ref(),
            share: self.rules.share,
        };
        let mut attributed = attribute::attribute(&node, self.buckets);
        if attributed.fell_back && !is_unseen {
            let note = "at times a run was here of which no exporter told what it used: processors and memory are \
                        shared by allocation then (`share_method` says of whom)";
            measured.notes.push(note.to_owned());
        }
        for power in &mut attributed.minutes {
            // Only what has to be added up over nodes is kept minute by minute.
            if self.runs.get(power.run).is_some_and(|run| run.allocations.len() == 1) {
                power.energy_j = power.energy_j.iter().copied().reduce(f64::max).into_iter().collect();
            }
        }
        let balances = Balances::of_node(name, &measured.devices, &attributed, &whole.buckets, self.buckets);
        let seen_in_full = |claim: &&Claim| {
            let parts = measured.devices.iter().filter(|device| device.key.component != Component::Other);
            parts.flat_map(|device| &device.methods).any(|method| method.has_full_interval(claim.window))
        };
        let runs_with_full_interval = claims.iter().filter(seen_in_full).map(|claim| claim.run).collect();
        let node_meter = measured.node_meter.map(|meter| MethodBook {
            method: meter.method,
            source: meter.source,
            tally: meter.tally,
        });
        let presence = &measured.presence;
        let is_gpu = |device: &&device::Device| device.key.component == Component::Gpu;
        let gpus = measured.devices.iter().filter(is_gpu);
        let embodied = embodied::EmbodiedNode {
            stated: &stated,
            gpus: gpus.map(|gpu| (gpu.key.id.clone(), gpu.model.clone())).collect(),
            claims: &claims,
            size,
            presence,
            known: known || !self.has_log,
            jobs_covered: self.covered,
        };
        let embodied = embodied.devices(&self.rules.footprints, self.buckets);
        let books_of = |device| DeviceBook::new(device, self.buckets, &self.days, presence);
        let devices: Vec<DeviceBook> = measured.devices.iter().map(books_of).collect();
        let books = NodeBooks {
            runs_that_shared: shared(&claims),
            runs_with_full_interval,
            name: name.to_owned(),
            machine,
            embodied,
            known: known || !self.has_log,
            size: Some(size),
            size_origin,
            site: stated.site.unwrap_or_else(|| self.rules.site.clone()),
            zone: stated.zone,
            devices,
            presence: measured.presence,
            entries: attributed.entries,
            node_buckets: whole.buckets,
            node_meter,
            uses: measured.uses,
            notes: measured.notes,
        };
        ((books, OfRuns { minutes: attributed.minutes, held: measured.held }), balances)
    }

    /// What exporters may call the job of a hold.
    fn job_ids(&self, hold: &Hold) -> Vec<&str> {
        let run = self.runs.get(hold.run);
        let ids = run.into_iter().flat_map(|run| [run.job_id.as_str(), run.run_id.as_str()]);
        ids.filter(|id| !id.is_empty()).collect()
    }

    fn claim(&self, hold: &Hold, series: &NodeSeries<'_>, numbers: &[GpuJobNumber]) -> Claim {
        let ids = self.job_ids(hold);
        let told = |id: &str, index: Option<&str>| {
            let by_label = series.gpu_jobs.iter().filter(|(gpu, _)| gpu.is(id, index));
            let by_value = numbers
                .iter()
                .filter(|number| number.gpu.is(id, index) && number.window.intersect(hold.window).is_some());
            by_label
                .map(|(_, job)| job.as_str())
                .chain(by_value.map(|number| number.job.as_str()))
                .any(|job| ids.contains(&job))
        };
        let bound_gpus = series
            .gpus()
            .enumerate()
            .filter(|(_, (key, device))| {
                self.is_bound(hold, &key.id, device) || told(&key.id, device.index.as_deref())
            })
            .map(|(position, _)| position)
            .collect::<Vec<usize>>();
        let gpus = series.gpus().enumerate();
        let gpu_parts =
            gpus.filter_map(|(position, (_, device))| Some((position, device.part_of(&ids)?))).collect();
        // A requeued job has one number and several runs: what they were bound to in turn is no
        // binding of any one of them.
        let fits = hold.gpus.is_none_or(|gpus| bound_gpus.len() as f64 <= gpus.max(1.0));
        let bound_gpus = if fits { bound_gpus } else { Vec::new() };
        Claim {
            run: hold.run,
            window: hold.window,
            cpus: hold.cpus,
            memory_bytes: hold.memory_bytes,
            gpus: hold.gpus,
            bound_gpus,
            gpu_parts,
        }
    }

    /// Rule S1: an index or UUID in the log, or `hpc_job` on the GPU's series.
    fn is_bound(&self, hold: &Hold, id: &str, device: &DeviceSeries<'_>) -> bool {
        let named = hold
            .gpu_ids
            .iter()
            .any(|named| gpu_id(named) == id || device.index.as_deref().is_some_and(|index| index == named));
        let run = self.runs.get(hold.run);
        named || run.is_some_and(|run| device.jobs.contains(&run.job_id) || device.jobs.contains(&run.run_id))
    }
}

/// The runs that overlap with another.
fn shared(claims: &[Claim]) -> BTreeSet<usize> {
    let mut by_start: Vec<&Claim> = claims.iter().filter(|claim| !claim.window.is_empty()).collect();
    by_start.sort_by_key(|claim| claim.window);
    let mut found = BTreeSet::new();
    // Of those that have begun, the one that ends last: what overlaps any of them overlaps it.
    let mut longest: Option<&Claim> = None;
    for claim in by_start {
        if let Some(other) = longest.filter(|other| other.window.end_ms > claim.window.start_ms) {
            found.extend([other.run, claim.run]);
        }
        if longest.is_none_or(|other| other.window.end_ms < claim.window.end_ms) {
            longest = Some(claim);
        }
    }
    found
}

/// Which job had a GPU, as a series tells by its value.
struct GpuJobNumber {
    gpu: GpuName,
    job: String,
    /// From the first sample of that value to the last.
    window: Window,
}

/// Reads the series whose value is the number of the job that holds a GPU.
fn gpu_job_numbers(
    series: &NodeSeries<'_>,
    window: Window,
    scratch: &mut Scratch,
) -> Result<Vec<GpuJobNumber>, LedgerError> {
    let mut found: Vec<GpuJobNumber> = Vec::new();
    for (gpu, series) in &series.gpu_job_numbers {
        series.read(window, &mut scratch.buffer, &mut scratch.stats)?;
        let samples = scratch.buffer.samples();
        let mut last: Option<usize> = None;
        for (&at_ms, &value) in samples.timestamps_ms.iter().zip(&samples.values) {
            // 0 stands for no job; a number beyond 2^53 is none.
            let number =
                ((1.0..9.007_199_254_740_992e15).contains(&value) && value.fract() == 0.0).then_some(value);
            let Some(job) = number.map(|number| format!("{number}")) else {
                last = None;
                continue;
            };
            match last.and_then(|at| found.get_mut(at)).filter(|known| known.job == job) {
                Some(known) => known.window.end_ms = at_ms.saturating_add(1),
                None => {
                    last = Some(found.len());
                    let window = Window::new(at_ms, at_ms.saturating_add(1));
                    found.push(GpuJobNumber { gpu: gpu.clone(), job, window });
                }
            }
        }
    }
    Ok(found)
}
