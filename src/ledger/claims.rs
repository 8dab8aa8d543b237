//! Who holds what on a node, and what share of each device is theirs
//! (rules W1 to W4, S1 to S5).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::meter::edges::Holders;
use crate::meter::inventory::GpuPart;
use crate::time::Window;

/// A run's hold on one node. `None` means that the log does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Position of the run in the list of runs.
    pub run: usize,
    /// While the run was there, cut to the time that is read.
    pub window: Window,
    /// CPUs, as the scheduler counts them.
    pub cpus: Option<f64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<f64>,
    /// Number of GPUs.
    pub gpus: Option<f64>,
    /// Devices that it is known to be bound to: positions in the node's list of GPUs.
    pub bound_gpus: Vec<usize>,
    /// Of those that are cut into instances (MIG): which part of each it has.
    pub gpu_parts: BTreeMap<usize, GpuPart>,
}

impl Claim {
    /// The part that it has of a GPU to which it is bound.
    fn part_of(&self, gpu: usize) -> f64 {
        self.gpu_parts.get(&gpu).map_or(1.0, |part| part.share)
    }
}

/// What a node has, for turning amounts into fractions (rule W4).
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct NodeSize {
    /// CPUs, counted as the scheduler counts them.
    pub cpus: Option<f64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<f64>,
    /// GPUs with a meter.
    pub gpus: usize,
}

/// How a share was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShareMethod {
    /// The run was bound to the device.
    Bound,
    /// By CPU time, above what the processors take at rest.
    UsedCpuTime,
    /// By memory in use.
    UsedMemory,
    /// By CEEMS' rules.
    Ceems,
    /// By how busy its instances of a GPU were, above what the GPU takes at rest.
    UsedInstances,
    /// By number of GPUs asked for.
    AllocatedGpus,
    /// By allocated CPUs.
    AllocatedCpus,
    /// By allocated memory.
    AllocatedMemory,
    /// By the largest of the fractions of CPUs, memory and GPUs.
    LargestFraction,
    /// The log names no amounts: the run has the node.
    WholeNode,
    /// What no run has.
    Remainder,
}

impl ShareMethod {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Bound,
        Self::UsedCpuTime,
        Self::UsedMemory,
        Self::Ceems,
        Self::UsedInstances,
        Self::AllocatedGpus,
        Self::AllocatedCpus,
        Self::AllocatedMemory,
        Self::LargestFraction,
        Self::WholeNode,
        Self::Remainder,
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// The word used in every table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::UsedCpuTime => "used:cpu-time",
            Self::UsedMemory => "used:memory",
            Self::Ceems => "ceems",
            Self::UsedInstances => "used:instances",
            Self::AllocatedGpus => "allocated:gpus",
            Self::AllocatedCpus => "allocated:cpus",
            Self::AllocatedMemory => "allocated:memory",
            Self::LargestFraction => "largest-fraction",
            Self::WholeNode => "whole-node",
            Self::Remainder => "remainder",
        }
    }
}

/// One run's share of one device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    /// Position of the claim in the node's list.
    pub claim: usize,
    /// 0 to 1.
    pub share: f64,
    /// How it was found.
    pub method: ShareMethod,
}

/// All shares of one device while the same runs hold it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Split {
    /// In order of the claims.
    pub shares: Vec<Share>,
    /// 1 − Σ shares − what was used outside of every run.
    pub remainder: f64,
    /// What processes of no run used.
    pub outside: f64,
}

impl Split {
    /// Rule S5: divided by max(1, their sum); the rest is the remainder.
    fn new(shares: Vec<Share>) -> Self {
        Self::with_outside(shares, 0.0)
    }

    /// The same where a part was used by what is no run.
    pub(super) fn with_outside(mut shares: Vec<Share>, mut outside: f64) -> Self {
        shares.retain(|share| share.share > 0.0);
        // Parts that add up to all but a rounding error leave nothing outside.
        if outside < 1e-12 {
            outside = 0.0;
        }
        let total = crate::sum::sum(shares.iter().map(|share| share.share).chain([outside]));
        if total > 1.0 {
            for share in &mut shares {
                share.share /= total;
            }
            outside /= total;
            return Self { shares, remainder: 0.0, outside };
        }
        // Fractions such as 3 × 1/3 leave a rounding error, not a free core.
        let remainder = if 1.0 - total < 1e-12 { 0.0 } else { 1.0 - total };
        Self { shares, remainder, outside }
    }
}

/// The shares of every device of a node while the same claims are active.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Splits {
    /// Processors.
    pub cpu: Split,
    /// Memory.
    pub dram: Split,
    /// The rest of the node.
    pub other: Split,
    /// Each GPU.
    pub gpus: Vec<Split>,
}

impl Splits {
    /// Shares out a node among the claims at `active` positions of `claims`.
    pub(super) fn new(claims: &[Claim], active: &[usize], size: NodeSize) -> Self {
        let held: Vec<(usize, &Claim)> =
            active.iter().filter_map(|&at| claims.get(at).map(|claim| (at, claim))).collect();
        let cpu = held.iter().map(|&(at, claim)| cpu_share(at, claim, size)).collect();
        let dram = held.iter().map(|&(at, claim)| memory_share(at, claim, size)).collect();
        let gpus: Vec<Split> = (0..size.gpus).map(|gpu| Split::new(gpu_shares(gpu, &held, size))).collect();
        let other = held
            .iter()
            .map(|&(at, claim)| {
                let (cpu, memory) = (cpu_share(at, claim, size), memory_share(at, claim, size));
                let gpus_held = gpus
                    .iter()
                    .flat_map(|split| &split.shares)
                    .filter(|share| share.claim == at)
                    .map(|share| share.share);
                let gpu_fraction =
                    if size.gpus == 0 { 0.0 } else { crate::sum::sum(gpus_held) / size.gpus as f64 };
                let share = cpu.share.max(memory.share).max(gpu_fraction);
                let method = match cpu.method {
                    ShareMethod::WholeNode => ShareMethod::WholeNode,
                    _ => ShareMethod::LargestFraction,
                };
                Share { claim: at, share, method }
            })
            .collect();
        Self { cpu: Split::new(cpu), dram: Split::new(dram), other: Split::new(other), gpus }
    }
}

fn cpu_share(at: usize, claim: &Claim, size: NodeSize) -> Share {
    match (claim.cpus, size.cpus) {
        (Some(cpus), Some(node)) if node > 0.0 => {
            Share { claim: at, share: (cpus / node).clamp(0.0, 1.0), method: ShareMethod::AllocatedCpus }
        }
        _ => Share { claim: at, share: 1.0, method: ShareMethod::WholeNode },
    }
}

/// Rule S3: by memory, by cores where the log has none.
fn memory_share(at: usize, claim: &Claim, size: NodeSize) -> Share {
    match (claim.memory_bytes, size.memory_bytes) {
        (Some(memory), Some(node)) if node > 0.0 && memory > 0.0 => {
            Share { claim: at, share: (memory / node).clamp(0.0, 1.0), method: ShareMethod::AllocatedMemory }
        }
        _ => cpu_share(at, claim, size),
    }
}

/// Rule S1: the run bound to it; else by requested counts over the node's unbound GPUs.
fn gpu_shares(gpu: usize, held: &[(usize, &Claim)], size: NodeSize) -> Vec<Share> {
    let bound: Vec<Share> = held
        .iter()
        .filter(|(_, claim)| claim.bound_gpus.contains(&gpu))
        .map(|&(at, claim)| Share { claim: at, share: claim.part_of(gpu), method: ShareMethod::Bound })
        .collect();
    if !bound.is_empty() {
        return bound;
    }
    let taken =
        (0..size.gpus).filter(|other| held.iter().any(|(_, claim)| claim.bound_gpus.contains(other))).count();
    let unbound = (size.gpus - taken).max(1) as f64;
    held.iter()
        .filter(|(_, claim)| claim.bound_gpus.is_empty())
        .map(|&(at, claim)| match claim.gpus {
            Some(gpus) => Share { claim: at, share: gpus / unbound, method: ShareMethod::AllocatedGpus },
            None => cpu_share(at, claim, size),
        })
        .collect()
}

/// A stretch during which the same runs hold a node and no bucket ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slice {
    /// Where it lies.
    pub window: Window,
    /// Position of its bucket.
    pub bucket: usize,
    /// Number of its set of active claims in [`Timeline::sets`].
    pub set: usize,
}

/// A node's time, cut at every run edge and bucket edge.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    /// In order, without gaps, from the start of the first bucket to the end of the last.
    pub slices: Vec<Slice>,
    /// The sets of active claims: ascending positions. Set 0 is empty.
    pub sets: Vec<Arc<[usize]>>,
}

/// Slices that follow each other, with the shares of the sets in them.
pub(super) struct Stretch<'t> {
    /// The first's position among all slices.
    pub first: usize,
    pub slices: &'t [Slice],
    splits: BTreeMap<usize, Splits>,
}

impl Stretch<'_> {
    /// The shares during one of its slices.
    pub(super) fn splits(&self, slice: &Slice) -> Option<&Splits> {
        self.splits.get(&slice.set)
    }
}

/// Claims in the sets of one stretch: a node that very many runs held, one after the other or together, is not shared out for all
/// time at once.
const CLAIMS_OF_A_STRETCH: usize = 1 << 18;

impl Timeline {
    /// Cuts `buckets`, which follow each other without gaps, at the edges of
    /// `claims` and at `more_edges`.
    pub(super) fn new(claims: &[Claim], buckets: &[Window], more_edges: &[i64]) -> Self {
        let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else {
            return Self { slices: Vec::new(), sets: vec![Arc::default()] };
        };
        let whole = Window::new(first.start_ms, last.end_ms);
        let mut events: Vec<(i64, bool, usize)> = claims
            .iter()
            .enumerate()
            .filter(|(_, claim)| !claim.window.is_empty())
            .flat_map(|(at, claim)| [(claim.window.start_ms, true, at), (claim.window.end_ms, false, at)])
            .collect();
        events.sort_unstable();
        let mut edges: Vec<i64> = buckets.iter().map(|bucket| bucket.start_ms).collect();
        edges.extend(events.iter().map(|(at_ms, _, _)| *at_ms));
        edges.extend_from_slice(more_edges);
        edges.retain(|at_ms| whole.contains(*at_ms));
        edges.sort_unstable();
        edges.dedup();

        let mut sets: Vec<Arc<[usize]>> = vec![Arc::default()];
        let mut numbers: BTreeMap<Arc<[usize]>, usize> = BTreeMap::from([(Arc::default(), 0)]);
        let mut active: Vec<usize> = Vec::new();
        let mut events = events.into_iter().peekable();
        let mut slices = Vec::with_capacity(edges.len());
        let mut bucket = 0;
        let ends = edges.iter().skip(1).copied().chain([whole.end_ms]);
        for (start_ms, end_ms) in edges.iter().copied().zip(ends) {
            let mut changed = false;
            while let Some((_, is_start, claim)) = events.next_if(|(at_ms, _, _)| *at_ms <= start_ms) {
                changed = true;
                match active.binary_search(&claim) {
                    Err(place) if is_start => active.insert(place, claim),
                    Ok(place) if !is_start => drop(active.remove(place)),
                    _ => {}
                }
            }
            let set = if changed || slices.is_empty() {
                match numbers.get(active.as_slice()) {
                    Some(number) => *number,
                    None => {
                        let set: Arc<[usize]> = active.as_slice().into();
                        numbers.insert(Arc::clone(&set), sets.len());
                        sets.push(set);
                        sets.len() - 1
                    }
                }
            } else {
                slices.last().map_or(0, |slice: &Slice| slice.set)
            };
            while buckets.get(bucket).is_some_and(|bucket| bucket.end_ms <= start_ms) {
                bucket += 1;
            }
            slices.push(Slice { window: Window::new(start_ms, end_ms), bucket, set });
        }
        Self { slices, sets }
    }

    /// All slices in order, a stretch at a time.
    pub(super) fn stretches<'t>(
        &'t self,
        claims: &'t [Claim],
        size: NodeSize,
    ) -> impl Iterator<Item = Stretch<'t>> {
        self.stretches_of(claims, size, CLAIMS_OF_A_STRETCH)
    }

    fn stretches_of<'t>(
        &'t self,
        claims: &'t [Claim],
        size: NodeSize,
        most: usize,
    ) -> impl Iterator<Item = Stretch<'t>> {
        let mut first = 0;
        std::iter::from_fn(move || {
            let rest = self.slices.get(first..).filter(|rest| !rest.is_empty())?;
            let mut splits: BTreeMap<usize, Splits> = BTreeMap::new();
            let (mut weight, mut count) = (0, 0);
            for slice in rest {
                let set = self.sets.get(slice.set).map_or(&[][..], |set| set);
                if let Entry::Vacant(place) = splits.entry(slice.set) {
                    weight += set.len() + 1;
                    if count > 0 && weight > most {
                        break;
                    }
                    place.insert(Splits::new(claims, set, size));
                }
                count += 1;
            }
            let (slices, _) = rest.split_at_checked(count)?;
            let stretch = Stretch { first, slices, splits };
            first += count;
            Some(stretch)
        })
    }

    /// Which set of runs holds the node, as the curve needs to know it.
    pub(super) fn node_holders(&self) -> Holders {
        self.holders(|set| set)
    }

    /// The same for one device, where `holding` says which claims of a set hold it.
    pub(super) fn device_holders(&self, holding: impl Fn(&[usize]) -> Vec<usize>) -> Holders {
        let mut numbers: BTreeMap<Vec<usize>, usize> = BTreeMap::from([(Vec::new(), 0)]);
        let by_set: Vec<usize> = self
            .sets
            .iter()
            .map(|set| {
                let next = numbers.len();
                *numbers.entry(holding(set)).or_insert(next)
            })
            .collect();
        self.holders(|set| by_set.get(set).copied().unwrap_or_default())
    }

    fn holders(&self, number: impl Fn(usize) -> usize) -> Holders {
        let changes = self.slices.iter().map(|slice| (slice.window.start_ms, number(slice.set)));
        // The window's own start is no run edge: what runs there ran before.
        let start_ms = self.slices.first().map_or(0, |slice| slice.window.start_ms);
        Holders::new(changes.map(|(at_ms, set)| {
            (if at_ms == start_ms { i64::MIN } else { at_ms }, u32::try_from(set).unwrap_or(u32::MAX))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(window: Window, cpus: Option<f64>, gpus: Option<f64>) -> Claim {
        Claim {
            run: 0,
            window,
            cpus,
            memory_bytes: None,
            gpus,
            bound_gpus: Vec::new(),
            gpu_parts: BTreeMap::new(),
        }
    }

    const HOUR: Window = Window::new(0, 3_600_000);

    #[test]
    fn stretches_are_all_slices_with_their_shares() {
        let minute = |nth: i64| nth * 60_000;
        let claims: Vec<Claim> = (0..20)
            .map(|nth| claim(Window::new(minute(nth), minute(nth + 1 + nth % 7)), Some(2.0), None))
            .collect();
        let size = NodeSize { cpus: Some(64.0), memory_bytes: None, gpus: 1 };
        let timeline = Timeline::new(&claims, &[HOUR], &[]);
        for most in [0, 1, 5, 40, usize::MAX] {
            let mut slices = Vec::new();
            let mut count = 0;
            for stretch in timeline.stretches_of(&claims, size, most) {
                assert_eq!(stretch.first, slices.len());
                for slice in stretch.slices {
                    let expected = Splits::new(&claims, &timeline.sets[slice.set], size);
                    assert_eq!(stretch.splits(slice), Some(&expected));
                }
                slices.extend_from_slice(stretch.slices);
                count += 1;
            }
            assert_eq!(slices, timeline.slices);
            assert_eq!(count == 1, most == usize::MAX, "{most}: {count} stretches");
        }
    }

    #[test]
    fn cores_share_a_node_and_leave_the_rest() {
        let claims = [claim(HOUR, Some(8.0), Some(0.0)), claim(HOUR, Some(16.0), Some(2.0))];
        let size = NodeSize { cpus: Some(32.0), memory_bytes: None, gpus: 4 };
        let splits = Splits::new(&claims, &[0, 1], size);
        let shares: Vec<f64> = splits.cpu.shares.iter().map(|share| share.share).collect();
        assert_eq!((shares, splits.cpu.remainder), (vec![0.25, 0.5], 0.25));
        // Two of four GPUs, not known which: half of each.
        assert_eq!(
            splits.gpus[3].shares,
            [Share { claim: 1, share: 0.5, method: ShareMethod::AllocatedGpus }]
        );
        assert_eq!(splits.gpus[3].remainder, 0.5);
        // Largest fraction: cores for the first, cores = GPUs for the second.
        assert_eq!(splits.other.shares[1].share, 0.5);
        assert_eq!(splits.other.remainder, 0.25);
    }

    #[test]
    fn bound_gpus_are_whole_and_unbound_requests_take_what_is_left() {
        let mut bound = claim(HOUR, Some(8.0), Some(1.0));
        bound.bound_gpus = vec![2];
        let claims = [bound, claim(HOUR, Some(8.0), Some(1.0))];
        let size = NodeSize { cpus: Some(32.0), memory_bytes: None, gpus: 3 };
        let splits = Splits::new(&claims, &[0, 1], size);
        assert_eq!(splits.gpus[2].shares, [Share { claim: 0, share: 1.0, method: ShareMethod::Bound }]);
        assert_eq!(
            splits.gpus[0].shares,
            [Share { claim: 1, share: 0.5, method: ShareMethod::AllocatedGpus }]
        );
    }

    /// One card of 300 W in instances of 4 and 2 slices: 200 W and 100 W, as CEEMS' rule gives for activities of
    /// 56 and 28. Alone, the first leaves a third to idle.
    #[test]
    fn instances_of_one_card_share_it_by_slices() {
        let part = |slices: f64| {
            let mut claim = claim(HOUR, Some(8.0), Some(1.0));
            claim.bound_gpus = vec![0];
            claim.gpu_parts = BTreeMap::from([(0, GpuPart { share: slices / 6.0, instances: Vec::new() })]);
            claim
        };
        let claims = [part(4.0), part(2.0)];
        let size = NodeSize { cpus: Some(32.0), memory_bytes: None, gpus: 1 };
        let splits = Splits::new(&claims, &[0, 1], size);
        let powers: Vec<f64> = splits.gpus[0].shares.iter().map(|share| 300.0 * share.share).collect();
        assert!((powers[0] - 200.0).abs() < 1e-9 && (powers[1] - 100.0).abs() < 1e-9, "{powers:?}");
        assert_eq!(splits.gpus[0].remainder, 0.0);
        let alone = Splits::new(&claims, &[0], size);
        assert!((alone.gpus[0].remainder - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn overlapping_whole_node_runs_share_evenly() {
        let claims = [claim(HOUR, None, None), claim(HOUR, None, None)];
        let size = NodeSize { cpus: Some(32.0), memory_bytes: None, gpus: 1 };
        let splits = Splits::new(&claims, &[0, 1], size);
        assert_eq!(splits.cpu.shares[0].share, 0.5);
        assert_eq!(splits.gpus[0].shares[1].share, 0.5);
        assert_eq!(splits.gpus[0].remainder, 0.0);
    }

    #[test]
    fn time_is_cut_at_run_and_bucket_edges() {
        let buckets = [Window::new(0, 100), Window::new(100, 200)];
        let claims = [claim(Window::new(50, 150), None, None), claim(Window::new(150, 200), None, None)];
        let timeline = Timeline::new(&claims, &buckets, &[120]);
        let cut: Vec<(i64, usize, &[usize])> = timeline
            .slices
            .iter()
            .map(|slice| (slice.window.start_ms, slice.bucket, &*timeline.sets[slice.set]))
            .collect();
        assert_eq!(cut, [(0, 0, &[][..]), (50, 0, &[0]), (100, 1, &[0]), (120, 1, &[0]), (150, 1, &[1])]);
        // Bucket edges are no run edges.
        assert_eq!(timeline.node_holders(), Holders::new([(50, 1), (150, 2)]));
    }

    proptest! {
        /// Every split adds up to one, and no share leaves [0, 1].
        #[test]
        fn shares_add_up(
            amounts in prop::collection::vec((prop::option::of(0.0..80.0_f64), prop::option::of(0.0..9.0_f64), prop::option::of(0_usize..4)), 0..6),
            cpus in prop::option::of(1.0..128.0_f64),
        ) {
            let claims: Vec<Claim> = amounts.iter().map(|(cpus, gpus, bound)| {
                let mut claim = claim(HOUR, *cpus, *gpus);
                claim.bound_gpus = bound.iter().copied().collect();
                claim
            }).collect();
            let active: Vec<usize> = (0..claims.len()).collect();
            let splits = Splits::new(&claims, &active, NodeSize { cpus, memory_bytes: None, gpus: 4 });
            for split in [&splits.cpu, &splits.dram, &splits.other].into_iter().chain(&splits.gpus) {
                let total = crate::sum::sum(split.shares.iter().map(|share| share.share)) + split.remainder;
                prop_assert!((total - 1.0).abs() < 1e-9);
                prop_assert!(split.shares.iter().all(|share| (0.0..=1.0).contains(&share.share)));
                prop_assert!((0.0..=1.0).contains(&split.remainder));
            }
        }
    }
}
