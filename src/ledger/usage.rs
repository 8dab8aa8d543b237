//! Shares by what was used (rules S2 and S3 under `--share usage`).

use std::collections::BTreeMap;

use super::claims::{Claim, Share, ShareMethod, Split};
use crate::meter::catalog::Component;
use crate::meter::curve::Curve;
use crate::meter::job_use::{JobUse, amount};
use crate::time::Window;

/// Part of a node's power that CEEMS gives to all jobs alike, for the network.
const CEEMS_EVEN: f64 = 0.1;

/// Part of a slice that has to be known of every run.
const ENOUGH: f64 = 0.9;

/// How energy of shared processors and memory is given to runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareRule {
    /// By what was allocated.
    Allocated,
    /// The dynamic part by what was used, where that was measured; the static part by what was allocated.
    #[default]
    Usage,
    /// As the recording rules of CEEMS do, for comparison.
    Ceems,
}

/// What was used of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    /// Beside the node's claims.
    pub(super) claims: Vec<JobUse>,
    /// CPU seconds that the node was busy.
    pub(super) busy: Option<Curve>,
    /// Memory that the node had in use, in bytes × seconds.
    pub(super) memory: Option<Curve>,
    /// By position of the GPU: its instances, where the activity of all of them was recorded.
    pub(super) instances: BTreeMap<usize, Vec<InstanceUse>>,
}

/// What an instance of a GPU (MIG) did.
#[derive(Clone, Debug)]
pub(super) struct InstanceUse {
    /// Compute slices.
    pub(super) slices: f64,
    /// Seconds of full load.
    pub(super) busy: Curve,
}

impl Usage {
    /// True if nothing is known of any run.
    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty()
            && self.claims.iter().all(|claim| claim.cpu.is_none() && claim.memory.is_none())
    }

    /// The shares of a device that used `energy_j` in `window`, of which at most `static_j` whatever ran;
    /// `None` where use is not known well enough, so that allocations decide.
    ///
    /// `allocated` are the shares by allocation, `active` the claims that hold the node.
    pub(super) fn split(
        &self,
        component: Component,
        window: Window,
        (claims, active): (&[Claim], &[usize]),
        allocated: &Split,
        (energy_j, static_j): (f64, f64),
    ) -> Option<Split> {
        let method = match component {
            Component::Cpu => ShareMethod::UsedCpuTime,
            Component::Dram => ShareMethod::UsedMemory,
            _ => return None,
        };
        if energy_j <= 0.0 {
            return None;
        }
        let used = self.parts(component, window, claims, active)?;
        let by_runs = crate::sum::sum(used.iter().copied());
        let fixed = (static_j / energy_j).clamp(0.0, 1.0);
        let allocated_of = |at: usize| {
            allocated.shares.iter().find(|share| share.claim == at).map_or(0.0, |share| share.share)
        };
        let shares: Vec<Share> = active
            .iter()
            .zip(&used)
            .map(|(&at, part)| {
                let share = fixed * allocated_of(at) + (1.0 - fixed) * part;
                Share { claim: at, share: share.clamp(0.0, 1.0), method }
            })
            .collect();
        // What processes outside of every run used.
        let outside = (1.0 - fixed) * (1.0 - by_runs).max(0.0);
        Some(Split::with_outside(shares, outside))
    }

    /// Rule S1 for the instances of the GPU at `gpu`, of whose energy at most `static_j` is there whatever runs.
    pub(super) fn instances(
        &self,
        gpu: usize,
        window: Window,
        (claims, active): (&[Claim], &[usize]),
        (energy_j, static_j): (f64, f64),
    ) -> Option<Split> {
        let instances = self.instances.get(&gpu)?;
        let busy: Vec<f64> = instances
            .iter()
            .map(|instance| Some(instance.slices * amount(&instance.busy, window, ENOUGH)?))
            .collect::<Option<_>>()?;
        let all_busy = crate::sum::sum(busy.iter().copied());
        if all_busy <= 0.0 || energy_j <= 0.0 {
            return None;
        }
        let fixed = (static_j / energy_j).clamp(0.0, 1.0);
        let mut shares = Vec::new();
        for &at in active {
            let Some(part) = claims.get(at)?.gpu_parts.get(&gpu) else { continue };
            let used =
                crate::sum::sum(part.instances.iter().filter_map(|&instance| busy.get(instance).copied()));
            let share = (fixed * part.share + (1.0 - fixed) * used / all_busy).clamp(0.0, 1.0);
            shares.push(Share { claim: at, share, method: ShareMethod::UsedInstances });
        }
        // What instances of no run did is the remainder; without any run's there is nothing to share.
        (!shares.is_empty()).then(|| Split::with_outside(shares, 0.0))
    }

    /// The shares by rule S6, in which `processors` is the part of processors in what processors and memory use;
    /// `None` for it where the node has no whole-node meter.
    ///
    /// Formula: CEEMS, recording rules `host-power-ipmi.rules` and `host-power-rapl.rules`.
    pub(super) fn ceems(
        &self,
        component: Component,
        window: Window,
        (claims, active): (&[Claim], &[usize]),
        processors: Option<f64>,
    ) -> Option<Split> {
        let part = |component| self.parts(component, window, claims, active);
        let parts: Vec<f64> = match (component, processors) {
            (Component::Gpu, _) => return None,
            (Component::Cpu | Component::Dram, None) => part(component)?,
            (_, None) => return None,
            (_, Some(k)) => {
                let even = CEEMS_EVEN / active.len() as f64;
                let (cpu, memory) = (part(Component::Cpu)?, part(Component::Dram));
                // Without a meter of memory only processors count.
                let memory = if k < 1.0 { memory? } else { vec![0.0; cpu.len()] };
                let by_use = cpu.iter().zip(&memory).map(|(cpu, memory)| k * cpu + (1.0 - k) * memory);
                by_use.map(|part| (1.0 - CEEMS_EVEN) * part + even).collect()
            }
        };
        let outside = (1.0 - crate::sum::sum(parts.iter().copied())).max(0.0);
        let method = ShareMethod::Ceems;
        let shares = active.iter().zip(&parts).map(|(&claim, &share)| Share { claim, share, method });
        Some(Split::with_outside(shares.collect(), outside))
    }

    /// What each active claim used of what the node used, 0 to 1; `None` where that is not known well enough.
    fn parts(
        &self,
        component: Component,
        window: Window,
        claims: &[Claim],
        active: &[usize],
    ) -> Option<Vec<f64>> {
        if active.is_empty() {
            return None;
        }
        let whole = if component == Component::Cpu { &self.busy } else { &self.memory };
        let mut used = Vec::with_capacity(active.len());
        for &at in active {
            let claim = self.claims.get(at)?;
            let held = claims.get(at)?.window.intersect(window)?;
            used.push(match component {
                Component::Cpu => claim.cpu_s(held, ENOUGH)?,
                _ => claim.memory_bytes_s(held, ENOUGH)?,
            });
        }
        let by_runs = crate::sum::sum(used.iter().copied());
        let whole =
            whole.as_ref().and_then(|curve| amount(curve, window, ENOUGH)).unwrap_or(0.0).max(by_runs);
        (whole > 0.0).then(|| used.iter().map(|used| (used / whole).clamp(0.0, 1.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::curve::{Coverage, Interval};
    use crate::meter::inventory::GpuPart;
    use proptest::prelude::*;

    const HOUR: Window = Window::new(0, 3_600_000);

    fn flat(amount: f64) -> Curve {
        Curve::new(vec![Interval::flat(HOUR.start_ms, HOUR.end_ms, amount, Coverage::Covered)])
    }

    fn claim(cpus: f64) -> Claim {
        Claim {
            run: 0,
            window: HOUR,
            cpus: Some(cpus),
            memory_bytes: None,
            gpus: None,
            bound_gpus: Vec::new(),
            gpu_parts: std::collections::BTreeMap::new(),
        }
    }

    fn allocated(shares: &[f64]) -> Split {
        let shares = shares.iter().enumerate();
        let method = ShareMethod::AllocatedCpus;
        Split::with_outside(shares.map(|(claim, &share)| Share { claim, share, method }).collect(), 0.0)
    }

    fn usage(cpu_s: &[Option<f64>], busy_s: Option<f64>) -> Usage {
        let claims = cpu_s.iter().map(|seconds| JobUse { cpu: seconds.map(|s| vec![flat(s)]), memory: None });
        Usage { claims: claims.collect(), busy: busy_s.map(flat), ..Usage::default() }
    }

    proptest! {
        /// Whatever was used: every share lies in [0, 1], and they add up to one.
        #[test]
        fn shares_by_use_add_up(
            amounts in prop::collection::vec((0.0..1e6_f64, 0.0..40.0_f64), 1..6),
            busy_s in prop::option::of(0.0..1e7_f64),
            energy_j in 1e-3..1e9_f64,
            static_part in 0.0..2.0_f64,
        ) {
            let claims: Vec<Claim> = amounts.iter().map(|(_, cpus)| claim(*cpus)).collect();
            let active: Vec<usize> = (0..claims.len()).collect();
            let used: Vec<Option<f64>> = amounts.iter().map(|(seconds, _)| Some(*seconds)).collect();
            let by_cores: Vec<f64> = amounts.iter().map(|(_, cpus)| (cpus / 32.0).min(1.0)).collect();
            let usage = usage(&used, busy_s);
            let given = (&claims[..], &active[..]);
            let energy = (energy_j, static_part * energy_j);
            let Some(split) = usage.split(Component::Cpu, HOUR, given, &allocated(&by_cores), energy) else {
                return Ok(());
            };
            let total: f64 = split.shares.iter().map(|share| share.share).sum();
            prop_assert!(split.shares.iter().all(|share| (0.0..=1.0).contains(&share.share)));
            prop_assert!((0.0..=1.0).contains(&split.outside) && (0.0..=1.0).contains(&split.remainder));
            prop_assert!((total + split.outside + split.remainder - 1.0).abs() < 1e-9);
        }
    }

    /// 1,000 J, of which 200 J static; a quarter of the cores each. One is busy for 3,000 s, one for 600 s, and
    /// 400 s belong to nobody: 50 + 0.75 × 800, 50 + 0.15 × 800, 0.1 × 800, and 100 J idle.
    #[test]
    fn static_by_cores_and_the_rest_by_cpu_time() {
        let claims = [claim(2.0), claim(2.0)];
        let usage = usage(&[Some(3000.0), Some(600.0)], Some(4000.0));
        let given = (&claims[..], &[0, 1][..]);
        let split =
            usage.split(Component::Cpu, HOUR, given, &allocated(&[0.25, 0.25]), (1000.0, 200.0)).unwrap();
        let energies: Vec<f64> = split.shares.iter().map(|share| share.share * 1000.0).collect();
        assert!((energies[0] - 650.0).abs() < 1e-9 && (energies[1] - 170.0).abs() < 1e-9, "{energies:?}");
        assert!((split.outside * 1000.0 - 80.0).abs() < 1e-9);
        assert!((split.remainder * 1000.0 - 100.0).abs() < 1e-9);
    }

    /// CEEMS' own rules under promtool: a node of 500 W with 160 W of processors and 40 W of memory, 20 busy cores and
    /// 128 GB in use. A has 12.5 cores and 64 GB, B 6.5 and 32: 295 W, 164.5 W, and 40.5 W of nobody. Without the
    /// node's meter A has 100 W of the processors and 20 W of the memory.
    #[test]
    fn the_rule_of_ceems_gives_its_own_figures() {
        let claims = [claim(12.5), claim(6.5)];
        let given = (&claims[..], &[0, 1][..]);
        let mut used = usage(&[Some(12.5), Some(6.5)], Some(20.0));
        for (claim, gigabytes) in used.claims.iter_mut().zip([64.0, 32.0]) {
            claim.memory = Some(flat(gigabytes));
        }
        used.memory = Some(flat(128.0));
        for component in [Component::Cpu, Component::Dram, Component::Other] {
            let split = used.ceems(component, HOUR, given, Some(0.8)).unwrap();
            let powers: Vec<f64> = split.shares.iter().map(|share| share.share * 500.0).collect();
            assert!((powers[0] - 295.0).abs() < 1e-9 && (powers[1] - 164.5).abs() < 1e-9, "{powers:?}");
            assert!((split.outside * 500.0 - 40.5).abs() < 1e-9 && split.remainder < 1e-12);
        }
        let first =
            |component, watts| used.ceems(component, HOUR, given, None).unwrap().shares[0].share * watts;
        assert!((first(Component::Cpu, 160.0) - 100.0).abs() < 1e-9);
        assert!((first(Component::Dram, 40.0) - 20.0).abs() < 1e-9);
        assert_eq!(used.ceems(Component::Other, HOUR, given, None), None);
        assert_eq!(used.ceems(Component::Gpu, HOUR, given, Some(0.8)), None);
        // A node whose memory has no meter: the package's part is not lost.
        used.memory = None;
        used.claims.iter_mut().for_each(|claim| claim.memory = None);
        let split = used.ceems(Component::Cpu, HOUR, given, Some(1.0)).unwrap();
        assert!((split.shares[0].share - (0.9 * 0.625 + 0.05)).abs() < 1e-12);
    }

    /// CEEMS' MIG case: activity × size of 56 to 28 on a card of 300 W is 200 W and 100 W. Where 60 W are there whatever
    /// runs, an instance of half the card that does nothing keeps 30 W, and what nobody's instance did is left.
    #[test]
    fn instances_share_by_what_they_did() {
        // Each has one of two instances of equal size.
        let holds = |instance: usize| Claim {
            gpu_parts: BTreeMap::from([(0, GpuPart { share: 0.5, instances: vec![instance] })]),
            ..claim(1.0)
        };
        let usage = |busy_s: [f64; 2], slices: [f64; 2]| Usage {
            instances: BTreeMap::from([(
                0,
                busy_s
                    .into_iter()
                    .zip(slices)
                    .map(|(busy_s, slices)| InstanceUse { slices, busy: flat(busy_s) })
                    .collect(),
            )]),
            ..Usage::default()
        };
        let claims = [holds(0), holds(1)];
        let powers = |usage: &Usage, active: &[usize], static_w: f64| {
            let split = usage.instances(0, HOUR, (&claims, active), (300.0, static_w)).unwrap();
            let of: Vec<f64> = split.shares.iter().map(|share| share.share * 300.0).collect();
            (of, split.remainder * 300.0)
        };
        let near = |left: f64, right: f64| (left - right).abs() < 1e-9;
        let (both, left) = powers(&usage([14.0, 7.0], [4.0, 4.0]), &[0, 1], 0.0);
        assert!(near(both[0], 200.0) && near(both[1], 100.0) && near(left, 0.0), "{both:?}");
        let (both, _) = powers(&usage([14.0, 0.0], [3.0, 3.0]), &[0, 1], 60.0);
        assert!(near(both[0], 270.0) && near(both[1], 30.0), "{both:?}");
        let (one, left) = powers(&usage([14.0, 7.0], [4.0, 4.0]), &[0], 0.0);
        assert!(near(one[0], 200.0) && near(left, 100.0), "{one:?} {left}");
        // Nothing happened, or it is not known what: by slices, as allocated.
        let idle = usage([0.0, 0.0], [3.0, 3.0]);
        assert_eq!(idle.instances(0, HOUR, (&claims, &[0, 1]), (300.0, 0.0)), None);
        let later = Window::new(HOUR.end_ms, HOUR.end_ms + 1000);
        assert_eq!(usage([1.0, 1.0], [3.0, 3.0]).instances(0, later, (&claims, &[0]), (300.0, 0.0)), None);
    }

    #[test]
    fn one_run_without_figures_leaves_all_to_allocation() {
        let claims = [claim(2.0), claim(2.0)];
        let given = (&claims[..], &[0, 1][..]);
        let known = usage(&[Some(1.0), None], Some(4.0));
        assert_eq!(known.split(Component::Cpu, HOUR, given, &allocated(&[0.5, 0.5]), (1.0, 0.0)), None);
        assert_eq!(known.split(Component::Gpu, HOUR, given, &allocated(&[0.5, 0.5]), (1.0, 0.0)), None);
    }
}
