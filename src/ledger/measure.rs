//! Reads what one node's meters recorded. Lower-ranked methods are read only
//! where better ones leave a bucket unknown.

use std::collections::BTreeSet;

use super::claims::{Claim, Timeline};
use super::device::Device;
use super::held::{HeldUse, held_use};
use super::models::Builder;
use super::node_meter::{NodeMeter, read_node_meter};
use super::rules::{NodeHardware, Rules};
use super::usage::{InstanceUse, ShareRule, Usage};
use crate::meter::catalog::Quantity;
use crate::meter::inventory::{DeviceKey, NodeSeries};
use crate::meter::job_use::{JobUse, busy_curve, read_activity, read_job_use, used_memory_curve};
use crate::meter::presence::{Boots, Presence, Seen};
use crate::meter::stream::{MeterSamples, Scratch, SeriesUse, read_meter};
use crate::meter::sums::{MeterSums, read_sums};
use crate::source::SourceError;
use crate::time::Window;
use crate::tsdb::{Labels, is_stale};

/// A node, read.
#[derive(Debug, Default)]
pub(super) struct MeasuredNode {
    /// When it was there.
    pub presence: Presence,
    /// Its devices, in the order of their keys.
    pub devices: Vec<Device>,
    /// Its whole-node meter, if it has one.
    pub node_meter: Option<NodeMeter>,
    /// Installed memory, in bytes.
    pub memory_bytes: Option<f64>,
    /// What single runs used of it, where that was measured and counts.
    pub usage: Option<Usage>,
    /// What runs used of what they held.
    pub held: Vec<(usize, HeldUse)>,
    /// How each series was used.
    pub uses: Vec<SeriesUse>,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// What reading needs besides the series.
pub(super) struct Reading<'a> {
    /// The settings.
    pub rules: &'a Rules,
    /// What the site states of this node.
    pub stated: &'a NodeHardware,
    /// Time that is read: the report's window and a margin on either side.
    pub window: Window,
    /// The buckets of the report.
    pub buckets: &'a [Window],
    /// Who held what.
    pub claims: &'a [Claim],
    /// What exporters call the job of each claim.
    pub job_ids: &'a [Vec<&'a str>],
}

/// Reads the node `series`.
///
/// # Errors
///
/// Where a series cannot be read at all.
pub(super) fn measure(
    series: &NodeSeries<'_>,
    reading: &Reading<'_>,
    scratch: &mut Scratch,
) -> Result<MeasuredNode, SourceError> {
    let mut node = MeasuredNode::default();
    let mut span = Seen::default();
    let answered = read_answers(series, reading.window, scratch, &mut span)?;
    let boots = read_boots(series, reading.window, scratch, &mut span)?;
    let memory = read_meter(&series.memory, reading.window, scratch)?;
    let memory_sums = read_sums(&series.memory_sums, reading.window, scratch)?;
    let means = memory_sums.steps.iter().map(|step| step.sum / step.covered_s);
    node.memory_bytes = memory.samples.iter().map(|(_, bytes)| *bytes).chain(means).reduce(f64::max);
    node.uses.extend(memory_sums.uses.iter().cloned());
    add_sums(&mut span, &memory_sums);
    node.uses.extend(memory.uses.iter().cloned());
    add_all(&mut span, &memory);

    let mut first: Vec<MeterSamples> = Vec::new();
    for device in series.devices.values() {
        let best = if device.of(Quantity::Energy).is_empty() { Quantity::Power } else { Quantity::Energy };
        let samples = read_meter(device.of(best), reading.window, scratch)?;
        add_all(&mut span, &samples);
        first.push(samples);
        for quantity in [Quantity::EnergySum, Quantity::PowerSum] {
            add_sums(&mut span, &read_sums(device.of(quantity), reading.window, scratch)?);
        }
    }
    // Read in any case: its samples tell when the node was there.
    let node_meter = read_node_meter(series, reading, &boots, scratch, &mut node.uses, &mut span)?;
    node.node_meter = node_meter.filter(|_| !reading.rules.ignore_meters);

    let mut builder = Builder {
        series,
        reading,
        boots: &boots,
        memory: &memory,
        memory_sums: &memory_sums,
        timeline: Timeline::new(reading.claims, &[reading.window], &[]),
        gpus: gpu_positions(series),
        loads: None,
        presence: Presence::default(),
    };
    // Utilisation alone tells when such a node was there, so it is read first.
    if span.is_empty() && series.has_cpu_time() {
        let loads = builder.loads(scratch, &mut node)?;
        span.add(loads.iter().flat_map(|load| [load.window.start_ms, load.window.end_ms]));
    }
    if span.is_empty() {
        for device in series.devices.values() {
            add_all(&mut span, &read_meter(device.of(Quantity::Utilisation), reading.window, scratch)?);
        }
    }
    builder.presence = Presence::new(&span.spans(), &answered, &boots);
    for ((key, device), samples) in series.devices.iter().zip(first) {
        let built = builder.device(key, device, samples, scratch, &mut node)?;
        node.devices.push(built);
    }
    if reading.rules.share != ShareRule::Allocated && (!series.jobs.is_empty() || has_instances(series)) {
        node.usage = usage(&mut builder, scratch, &mut node)?;
    }
    node.presence = builder.presence;
    let windows = (reading.rules.window, reading.window);
    node.held = held_use(series, reading.claims, node.usage.as_ref(), windows, scratch, &mut node.uses)?;
    Ok(node)
}

/// True if the activity of parts of a GPU was recorded.
fn has_instances(series: &NodeSeries<'_>) -> bool {
    let mut instances = series.gpus().flat_map(|(_, device)| device.instances.values());
    instances.any(|instance| !instance.activity.is_empty())
}

/// What single runs used, and the whole node; `None` if no run has figures.
fn usage(
    builder: &mut Builder<'_>,
    scratch: &mut Scratch,
    node: &mut MeasuredNode,
) -> Result<Option<Usage>, SourceError> {
    let (series, reading) = (builder.series, builder.reading);
    let mut usage = Usage::default();
    for (claim, ids) in reading.claims.iter().zip(reading.job_ids) {
        let job = ids.iter().find_map(|id| series.jobs.get(*id));
        usage.claims.push(match job {
            Some(job) => read_job_use(job, claim.window, scratch, &mut node.uses)?,
            None => JobUse::default(),
        });
    }
    for (position, (_, gpu)) in series.gpus().enumerate() {
        if gpu.instances.is_empty() || gpu.instances.values().any(|instance| instance.activity.is_empty()) {
            continue;
        }
        let mut instances = Vec::with_capacity(gpu.instances.len());
        for instance in gpu.instances.values() {
            let busy = read_activity(&instance.activity, reading.window, scratch, &mut node.uses)?;
            instances.push(InstanceUse { slices: instance.slices, busy });
        }
        usage.instances.insert(position, instances);
    }
    if usage.is_empty() {
        return Ok(None);
    }
    if series.jobs.is_empty() {
        return Ok(Some(usage));
    }
    if let Some(cpus) = series.machine.logical_cpus.filter(|_| series.has_cpu_time()) {
        usage.busy = Some(busy_curve(builder.loads(scratch, node)?, cpus));
    } else {
        node.notes.push("no CPU time of the node: what was used outside of jobs is not known".to_owned());
    }
    let available = read_meter(&series.memory_available, reading.window, scratch)?;
    node.uses.extend(available.uses.iter().cloned());
    if let Some(total) = node.memory_bytes.filter(|_| !available.samples.is_empty()) {
        usage.memory = Some(used_memory_curve(total, &available));
    }
    Ok(Some(usage))
}

/// The positions of a node's GPUs, in the order in which claims count them.
pub(super) fn gpu_positions(series: &NodeSeries<'_>) -> Vec<DeviceKey> {
    series.gpus().map(|(key, _)| key.clone()).collect()
}

pub(super) fn add_all(seen: &mut Seen, meter: &MeterSamples) {
    seen.add(meter.samples.iter().map(|(at_ms, _)| *at_ms));
}

pub(super) fn add_sums(seen: &mut Seen, sums: &MeterSums) {
    seen.add(sums.steps.iter().flat_map(|step| [step.window.start_ms, step.window.end_ms]));
}

/// The instants at which any target of the node answered, ascending. That one
/// did not answer is a sample too: exporters that died are time unseen, not time
/// that nobody expected (rule C5). A management controller answers also while
/// its node is off, so it tells nothing.
fn read_answers(
    series: &NodeSeries<'_>,
    window: Window,
    scratch: &mut Scratch,
    span: &mut Seen,
) -> Result<Vec<i64>, SourceError> {
    let target = |labels: &Labels| ["job", "instance"].map(|name| labels.get(name).map(str::to_owned));
    let in_system: BTreeSet<_> = series.boot_time.iter().map(|boot| target(boot.labels())).collect();
    let of_node = series.node_power.values().flatten().chain(&series.node_energy);
    let mut controllers: BTreeSet<_> = of_node.map(|meter| target(meter.series.labels())).collect();
    controllers.retain(|controller| !in_system.contains(controller));
    let mut answered = Vec::new();
    for up in series.up.iter().filter(|up| !controllers.contains(&target(up.labels()))) {
        up.read(window, &mut scratch.buffer, &mut scratch.stats)?;
        let samples = scratch.buffer.samples();
        let pairs = || samples.timestamps_ms.iter().copied().zip(&samples.values);
        span.add(pairs().filter(|(_, value)| !is_stale(**value)).map(|(at_ms, _)| at_ms));
        answered.extend(pairs().filter(|(_, value)| **value == 1.0).map(|(at_ms, _)| at_ms));
    }
    answered.sort_unstable();
    answered.dedup();
    Ok(answered)
}

pub(super) fn read_boots(
    series: &NodeSeries<'_>,
    window: Window,
    scratch: &mut Scratch,
    span: &mut Seen,
) -> Result<Boots, SourceError> {
    let mut samples: Vec<(i64, f64)> = Vec::new();
    for boot in &series.boot_time {
        boot.read(window, &mut scratch.buffer, &mut scratch.stats)?;
        let read = scratch.buffer.samples();
        let pairs = read.timestamps_ms.iter().copied().zip(read.values.iter().copied());
        samples.extend(pairs.filter(|(_, value)| !is_stale(*value)));
    }
    samples.sort_by_key(|(at_ms, _)| *at_ms);
    span.add(samples.iter().map(|(at_ms, _)| *at_ms));
    Ok(Boots::from_samples(samples))
}
