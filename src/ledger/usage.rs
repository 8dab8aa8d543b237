//! Shares by what was used (rules S2 and S3 under `--share usage`).

use super::claims::{Claim, Share, ShareMethod, Split};
use crate::meter::catalog::Component;
use crate::meter::curve::Curve;
use crate::meter::job_use::{JobUse, amount};
use crate::time::Window;

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
}

impl Usage {
    /// True if nothing is known of any run.
    pub(super) fn is_empty(&self) -> bool {
        self.claims.iter().all(|claim| claim.cpu.is_none() && claim.memory.is_none())
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
        let (whole, method) = match component {
            Component::Cpu => (self.busy.as_ref(), ShareMethod::UsedCpuTime),
            Component::Dram => (self.memory.as_ref(), ShareMethod::UsedMemory),
            _ => return None,
        };
        if active.is_empty() || energy_j <= 0.0 {
            return None;
        }
        let mut used = Vec::with_capacity(active.len());
        for &at in active {
            let claim = self.claims.get(at)?;
            let held = claims.get(at)?.window.intersect(window)?;
            let amount = match component {
                Component::Cpu => claim.cpu_s(held, ENOUGH)?,
                _ => claim.memory_bytes_s(held, ENOUGH)?,
            };
            used.push((at, amount));
        }
        let by_runs: f64 = crate::sum::sum(used.iter().map(|(_, amount)| *amount));
        let whole = whole.and_then(|curve| amount(curve, window, ENOUGH)).unwrap_or(0.0).max(by_runs);
        if whole <= 0.0 {
            return None;
        }
        let fixed = (static_j / energy_j).clamp(0.0, 1.0);
        let allocated_of = |at: usize| {
            allocated.shares.iter().find(|share| share.claim == at).map_or(0.0, |share| share.share)
        };
        let shares: Vec<Share> = used
            .iter()
            .map(|&(at, amount)| {
                let share = fixed * allocated_of(at) + (1.0 - fixed) * amount / whole;
                Share { claim: at, share: share.clamp(0.0, 1.0), method }
            })
            .collect();
        // What processes outside of every run used.
        let outside = (1.0 - fixed) * (whole - by_runs) / whole;
        Some(Split::with_outside(shares, outside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::curve::{Coverage, Interval};
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
        Usage { claims: claims.collect(), busy: busy_s.map(flat), memory: None }
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

    #[test]
    fn one_run_without_figures_leaves_all_to_allocation() {
        let claims = [claim(2.0), claim(2.0)];
        let given = (&claims[..], &[0, 1][..]);
        let known = usage(&[Some(1.0), None], Some(4.0));
        assert_eq!(known.split(Component::Cpu, HOUR, given, &allocated(&[0.5, 0.5]), (1.0, 0.0)), None);
        assert_eq!(known.split(Component::Gpu, HOUR, given, &allocated(&[0.5, 0.5]), (1.0, 0.0)), None);
    }
}
