//! Slices a node's curves at every edge and gives each piece to whom it
//! belongs (rules W1 to W3, S1 to S5).

use std::collections::BTreeMap;

use super::claims::{Claim, NodeSize, ShareMethod, Slice, Split, Splits, Timeline};
use super::device::{Device, DeviceReader};
use super::entry::{Beneficiary, Entry};
use super::usage::{ShareRule, Usage};
use crate::meter::catalog::Component;
use crate::meter::presence::Presence;
use crate::sum::Sum;
use crate::time::{MINUTE_MS, Window};

/// What attribution needs to know of a node.
pub(super) struct Node<'a> {
    /// Its devices.
    pub devices: &'a [Device],
    /// When it was there.
    pub presence: &'a Presence,
    /// Who held what.
    pub claims: &'a [Claim],
    /// What it has.
    pub size: NodeSize,
    /// True if the scheduler knows it.
    pub known: bool,
    /// Time for which the job log tells who was there.
    pub jobs_covered: Option<Window>,
    /// What was used, where it was measured and counts.
    pub usage: Option<&'a Usage>,
    /// How shared processors and memory are given to runs.
    pub share: ShareRule,
}

/// Mean power of a run on this node in each UTC minute that lies wholly inside it.
#[derive(Clone, Debug, PartialEq)]
pub struct MinutePower {
    /// Position of the run.
    pub run: usize,
    /// The first whole minute.
    pub first_minute_ms: i64,
    /// Energy of each whole minute, in joules; of a run on one node only the greatest.
    pub energy_j: Vec<f64>,
}

impl MinutePower {
    /// Adds the same run's of another node.
    pub(super) fn add_node(&mut self, other: &Self) {
        if self.energy_j.is_empty() {
            self.clone_from(other);
            return;
        }
        let minute = |power: &Self| power.first_minute_ms.div_euclid(MINUTE_MS);
        let earlier = usize::try_from(minute(self).saturating_sub(minute(other))).unwrap_or_default();
        if earlier > 0 {
            self.energy_j.splice(..0, std::iter::repeat_n(0.0, earlier));
            self.first_minute_ms = other.first_minute_ms;
        }
        let from = usize::try_from(minute(other).saturating_sub(minute(self))).unwrap_or_default();
        if self.energy_j.len() < from.saturating_add(other.energy_j.len()) {
            self.energy_j.resize(from.saturating_add(other.energy_j.len()), 0.0);
        }
        let cells = self.energy_j.get_mut(from..).unwrap_or_default();
        cells.iter_mut().zip(&other.energy_j).for_each(|(cell, energy_j)| *cell += energy_j);
    }

    /// Adds a share of what was used in minutes that follow each other, from the one of `first_ms` on; those that are not wholly
    /// inside are left out.
    fn add(&mut self, first_ms: i64, by_minute: &[f64], share: f64) {
        let first_ms = first_ms.div_euclid(MINUTE_MS).saturating_mul(MINUTE_MS);
        let first = (first_ms - self.first_minute_ms).div_euclid(MINUTE_MS);
        // Those before the first whole minute, and the position of the first of the others.
        let before = usize::try_from(first.saturating_neg()).unwrap_or_default();
        let from = usize::try_from(first).unwrap_or_default();
        let cells = self.energy_j.get_mut(from..).unwrap_or_default();
        for (cell, energy_j) in cells.iter_mut().zip(by_minute.iter().skip(before)) {
            *cell += energy_j * share;
        }
    }
}

/// What attribution gives.
#[derive(Debug, Default)]
pub struct Attributed {
    /// The node's rows, by bucket, device and beneficiary.
    pub entries: Vec<Entry>,
    /// For the runs' peak power.
    pub minutes: Vec<MinutePower>,
    /// The least and the greatest share given: rule B1 wants them in [0, 1].
    pub share_bounds: (f64, f64),
    /// Runs so many and so long that their minutes are not held.
    pub without_peak: usize,
    /// True if somewhere what was used was not known well enough, so that allocations decided.
    pub fell_back: bool,
}

impl Attributed {
    fn gave(&mut self, share: f64) {
        let (least, most) = self.share_bounds;
        self.share_bounds = (least.min(share), most.max(share));
    }
}

/// Minutes of runs that are held for one node: 256 runs at any time of a year.
const MOST_MINUTES: usize = 1 << 27;

/// Energy that adds up in one row.
#[derive(Default)]
struct Row {
    energy_j: Sum,
    edge_error_j: f64,
    covered_s: f64,
    interpolated_s: f64,
    expected_s: f64,
    unseen_s: f64,
    unbound_j: f64,
    share_method: Option<ShareMethod>,
}

/// Attributes everything that the node's devices used in `buckets`.
pub(super) fn attribute(node: &Node<'_>, buckets: &[Window]) -> Attributed {
    let covered_edges: Vec<i64> =
        node.jobs_covered.iter().flat_map(|covered| [covered.start_ms, covered.end_ms]).collect();
    let timeline = Timeline::new(node.claims, buckets, &covered_edges);
    let mut attributed = Attributed { share_bounds: (0.0, 0.0), ..Attributed::default() };
    let mut left = MOST_MINUTES;
    let mut minutes: Vec<MinutePower> = Vec::with_capacity(node.claims.len());
    for claim in node.claims {
        let power = whole_minutes(claim, buckets, left);
        attributed.without_peak += usize::from(power.is_none());
        let power = power.unwrap_or(MinutePower { run: claim.run, first_minute_ms: 0, energy_j: Vec::new() });
        left = left.saturating_sub(power.energy_j.len());
        minutes.push(power);
    }
    let processors = processors_part(node, &timeline.slices);
    let mut gpus = 0..;
    let mut sweeps: Vec<Sweep<'_>> = Vec::with_capacity(node.devices.len());
    for (index, device) in node.devices.iter().enumerate() {
        let gpu = if device.key.component == Component::Gpu { gpus.next() } else { None };
        sweeps.push(Sweep {
            node,
            device,
            index,
            gpu: gpu.unwrap_or_default(),
            reader: device.reader(),
            bucket: 0,
            rows: BTreeMap::new(),
            by_minute: Vec::new(),
        });
    }
    for stretch in timeline.stretches(node.claims, node.size) {
        for sweep in &mut sweeps {
            for (slice, nth) in stretch.slices.iter().zip(stretch.first..) {
                if slice.bucket != sweep.bucket {
                    sweep.flush(&mut attributed);
                    sweep.bucket = slice.bucket;
                }
                let splits = stretch.splits(slice);
                let Some(split) = splits.and_then(|splits| split_of(splits, sweep.device, sweep.gpu)) else {
                    continue;
                };
                let active = timeline.sets.get(slice.set).map_or(&[][..], |set| set);
                let processors = processors.get(nth).copied();
                sweep.slice(slice, (split, active, processors), &mut minutes, &mut attributed);
            }
        }
    }
    sweeps.iter_mut().for_each(|sweep| sweep.flush(&mut attributed));
    attributed.entries.sort_by_key(|entry| (entry.bucket, entry.device, entry.beneficiary));
    attributed.minutes = minutes;
    attributed
}

/// Rule S6: for each slice the processors' part of what processors and memory used. Empty where the rule is
/// another, or no whole-node meter tells of the rest.
fn processors_part(node: &Node<'_>, slices: &[Slice]) -> Vec<f64> {
    let has = |component| node.devices.iter().any(|device| device.key.component == component);
    if node.share != ShareRule::Ceems || !has(Component::Other) {
        return Vec::new();
    }
    let mut used_j = vec![(0.0, 0.0); slices.len()];
    for device in node.devices {
        let mut reader = device.reader();
        for (slice, (processors_j, memory_j)) in slices.iter().zip(&mut used_j) {
            match device.key.component {
                Component::Cpu => *processors_j += reader.read(slice.bucket, slice.window).energy_j,
                Component::Dram => *memory_j += reader.read(slice.bucket, slice.window).energy_j,
                _ => {}
            }
        }
    }
    let part = |(processors_j, memory_j): (f64, f64)| {
        if memory_j > 0.0 { processors_j / (processors_j + memory_j) } else { 1.0 }
    };
    used_j.into_iter().map(part).collect()
}

fn split_of<'a>(splits: &'a Splits, device: &Device, gpu: usize) -> Option<&'a Split> {
    match device.key.component {
        Component::Cpu => Some(&splits.cpu),
        Component::Dram => Some(&splits.dram),
        Component::Gpu => splits.gpus.get(gpu),
        Component::Other | Component::Node => Some(&splits.other),
    }
}

/// The whole minutes of a claim inside the report; `None` if they are more than `most`.
fn whole_minutes(claim: &Claim, buckets: &[Window], most: usize) -> Option<MinutePower> {
    let report_start = buckets.first().map_or(i64::MAX, |bucket| bucket.start_ms);
    let report_end = buckets.last().map_or(i64::MIN, |bucket| bucket.end_ms);
    let start_ms = claim.window.start_ms.max(report_start);
    let end_ms = claim.window.end_ms.min(report_end);
    let first = start_ms.div_euclid(MINUTE_MS) + i64::from(start_ms.rem_euclid(MINUTE_MS) != 0);
    let end = end_ms.div_euclid(MINUTE_MS);
    let count = usize::try_from(end.saturating_sub(first)).unwrap_or_default();
    (count <= most).then(|| MinutePower {
        run: claim.run,
        first_minute_ms: first.saturating_mul(MINUTE_MS),
        energy_j: vec![0.0; count],
    })
}

/// One device on its way through the slices.
struct Sweep<'a> {
    node: &'a Node<'a>,
    device: &'a Device,
    index: usize,
    /// Its position among the node's GPUs, if it is one.
    gpu: usize,
    reader: DeviceReader<'a>,
    /// The bucket at hand, and its rows.
    bucket: usize,
    rows: BTreeMap<Beneficiary, Row>,
    /// Energy of the slice at hand by UTC minute.
    by_minute: Vec<f64>,
}

impl Sweep<'_> {
    fn slice(
        &mut self,
        slice: &Slice,
        (allocated, active, processors): (&Split, &[usize], Option<f64>),
        minutes: &mut [MinutePower],
        out: &mut Attributed,
    ) {
        let expected_s = self.node.presence.expected_s(slice.window);
        let whole = self.reader.read(slice.bucket, slice.window);
        let static_j = self.device.static_w * whole.known_s();
        let used = self.node.usage.and_then(|usage| {
            let component = self.device.key.component;
            let held = (self.node.claims, active);
            if component == Component::Gpu {
                usage.instances(self.gpu, slice.window, held, (whole.energy_j, static_j))
            } else if self.node.share == ShareRule::Ceems {
                usage.ceems(component, slice.window, held, processors)
            } else {
                usage.split(component, slice.window, held, allocated, (whole.energy_j, static_j))
            }
        });
        out.fell_back |= used.is_none()
            && self.node.usage.is_some()
            && matches!(self.device.key.component, Component::Cpu | Component::Dram)
            && !active.is_empty()
            && whole.energy_j > 0.0;
        let split = used.as_ref().unwrap_or(allocated);
        // For the runs' peaks.
        if !split.shares.is_empty() {
            self.reader.steps(slice.bucket, slice.window, MINUTE_MS, &mut self.by_minute);
        }
        for share in &split.shares {
            if let Some(power) = minutes.get_mut(share.claim) {
                power.add(slice.window.start_ms, &self.by_minute, share.share);
            }
            let Some(claim) = self.node.claims.get(share.claim) else { continue };
            let edge_error_j = self.edge_error_j(claim, slice) * share.share;
            self.give(
                Beneficiary::Run(claim.run),
                share.share,
                share.method,
                whole,
                expected_s,
                edge_error_j,
            );
            out.gave(share.share);
        }
        if split.outside > 0.0 {
            let to = if self.node.known { Beneficiary::Unattributed } else { Beneficiary::Infrastructure };
            self.give(to, split.outside, ShareMethod::Remainder, whole, expected_s, 0.0);
            out.gave(split.outside);
        }
        if split.remainder > 0.0 {
            let covered = self.node.jobs_covered;
            let rest = Beneficiary::of_the_rest(self.node.known, covered, slice.window.start_ms);
            self.give(rest, split.remainder, ShareMethod::Remainder, whole, expected_s, 0.0);
            out.gave(split.remainder);
        }
    }

    /// Rule C6: the uncertainty at the claim's edges, if they are this slice's edges.
    fn edge_error_j(&self, claim: &Claim, slice: &Slice) -> f64 {
        let mut error_j = 0.0;
        if claim.window.start_ms == slice.window.start_ms {
            error_j += self.device.edge_error_j(slice.bucket, slice.window.start_ms, true);
        }
        if claim.window.end_ms == slice.window.end_ms {
            error_j += self.device.edge_error_j(slice.bucket, slice.window.end_ms, false);
        }
        error_j
    }

    fn give(
        &mut self,
        to: Beneficiary,
        share: f64,
        method: ShareMethod,
        reading: crate::meter::curve::Reading,
        expected_s: f64,
        edge_error_j: f64,
    ) {
        let row = self.rows.entry(to).or_default();
        row.energy_j.add(reading.energy_j * share);
        row.edge_error_j += edge_error_j;
        row.covered_s += reading.covered_s;
        row.interpolated_s += reading.interpolated_s;
        row.expected_s += expected_s;
        row.unseen_s += share * (expected_s - reading.covered_s - reading.interpolated_s).max(0.0);
        if method == ShareMethod::AllocatedGpus {
            // Of 7 of 8 GPUs the eighth may be any; of 1 of 8 nothing is sure.
            row.unbound_j += reading.energy_j * share * (2.0 * (1.0 - share)).clamp(0.0, 1.0);
        }
        // A row that was shared in two ways says the weaker one.
        row.share_method = row.share_method.max(Some(method));
    }

    /// Ends the bucket at hand.
    fn flush(&mut self, out: &mut Attributed) {
        let bucket = self.bucket;
        for (beneficiary, row) in std::mem::take(&mut self.rows) {
            let energy_j = row.energy_j.value();
            if energy_j == 0.0 && row.covered_s == 0.0 && row.interpolated_s == 0.0 && row.expected_s == 0.0 {
                continue;
            }
            out.entries.push(Entry {
                bucket,
                device: self.index,
                beneficiary,
                energy_j,
                edge_error_j: row.edge_error_j,
                covered_s: row.covered_s,
                interpolated_s: row.interpolated_s,
                expected_s: row.expected_s,
                unseen_s: row.unseen_s,
                unbound_j: row.unbound_j,
                share_method: row.share_method.unwrap_or(ShareMethod::Remainder),
            });
        }
    }
}
