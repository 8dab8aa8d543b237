//! The books of one node: what was read of it, attributed and proved.

use std::collections::{BTreeMap, BTreeSet};

use super::attribute::MinutePower;
use super::claims::{Claim, NodeSize};
use super::close::read_window;
use super::device::DeviceBook;
use super::held::HeldUse;
use super::method::Method;
use super::rules::{NodeHardware, Rules};
use super::size::node_size;
use super::usage::ShareRule;
use super::{
    Balances, LedgerError, MethodBook, NodeBooks, attribute, device, embodied, joblog, measure, shift, whole,
};
use crate::jobs::{Run, SchedulerNode};
use crate::meter::catalog::{Component, gpu_id};
use crate::meter::inventory::{DeviceSeries, GpuName, Machine, NodeSeries};
use crate::meter::stream::Scratch;
use crate::time::Window;

/// What a node tells of runs beyond its rows.
pub(super) struct OfRuns {
    pub(super) minutes: Vec<MinutePower>,
    pub(super) held: Vec<(usize, HeldUse)>,
}

/// A node before anything is attributed.
pub(super) struct ReadNode {
    pub(super) measured: measure::MeasuredNode,
    pub(super) claims: Vec<Claim>,
    pub(super) size: NodeSize,
    pub(super) size_origin: String,
    pub(super) machine: Machine,
    /// True of a node without series.
    pub(super) is_unseen: bool,
}

/// What a run holds on a node, before its GPUs are matched with devices.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) run: usize,
    pub(super) window: Window,
    pub(super) cpus: Option<f64>,
    pub(super) memory_bytes: Option<f64>,
    pub(super) gpus: Option<f64>,
    pub(super) gpu_ids: Vec<String>,
}

/// What the nodes of a window have in common.
pub(super) struct Context<'a> {
    pub(super) rules: &'a Rules,
    pub(super) buckets: &'a [Window],
    pub(super) runs: &'a [Run],
    pub(super) covered: Option<Window>,
    pub(super) has_log: bool,
    /// By run, where nodes are modelled from the job log.
    pub(super) efficiencies: Vec<Option<f64>>,
    /// What the scheduler says that nodes have, by their names here.
    pub(super) described: BTreeMap<String, &'a SchedulerNode>,
    /// Of each bucket the day that it is of, counted from 0.
    pub(super) days: Vec<usize>,
    /// CPUs allocated at one time, the most in the whole log, by node.
    pub(super) most_cpus: BTreeMap<String, f64>,
}

impl Context<'_> {
    /// Closes the books of a node, with its `holds`.
    pub(super) fn node(
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
    pub(super) fn activity(&self, node: &NodeBooks, holds: &[Hold]) -> Option<shift::Activity> {
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
        if attributed.without_peak > 0 {
            measured.notes.push(format!(
                "the peak power of {} runs is not worked out: all runs here have more minutes than are held at once",
                attributed.without_peak
            ));
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
