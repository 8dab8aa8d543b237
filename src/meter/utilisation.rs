//! Processor utilisation from `node_cpu_seconds_total` (rule C4):
//! 1 − Δ(idle + iowait + steal)/Δ(all modes without guest), per logical CPU,
//! and of that the mean over the node.

use super::counter::has_between;
use super::curve::Missing;
use super::presence::{Boots, GapLimits};
use crate::time::Window;

/// Modes in which a logical CPU does nothing for this machine.
const NOT_BUSY: [&str; 3] = ["idle", "iowait", "steal"];
/// Modes that are already contained in `user` and `nice`.
const CONTAINED: [&str; 2] = ["guest", "guest_nice"];

/// Utilisation of a node over one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Where it lies.
    pub window: Window,
    /// Mean over the logical CPUs, 0 to 1, or why it is not known.
    pub utilisation: Result<f64, Missing>,
    /// False where some logical CPU could not be read: the mean is that of the others.
    pub complete: bool,
}

/// Sums up the modes of each logical CPU in turn and keeps only the node's mean.
#[derive(Debug, Default)]
pub struct LoadBuilder {
    times_ms: Vec<i64>,
    stale_ms: Vec<i64>,
    /// For each interval between two of `times_ms`: utilisations added up, and how many.
    added: Vec<(f64, u32)>,
    cpu: Vec<CpuTime>,
}

/// One logical CPU's seconds at one instant.
#[derive(Clone, Copy, Debug, Default)]
struct CpuTime {
    not_busy_s: f64,
    all_s: f64,
    modes: u32,
}

impl LoadBuilder {
    /// Starts on the instants at which the node was scraped, ascending, and
    /// those at which its series ended with a stale marker.
    pub fn new(times_ms: Vec<i64>, stale_ms: Vec<i64>) -> Self {
        let intervals = times_ms.len().saturating_sub(1);
        Self {
            added: vec![(0.0, 0); intervals],
            cpu: vec![CpuTime::default(); times_ms.len()],
            times_ms,
            stale_ms,
        }
    }

    /// Adds one mode of the logical CPU at hand. Samples at other instants than
    /// the node's are left out.
    pub fn add_mode(&mut self, mode: &str, samples: impl IntoIterator<Item = (i64, f64)>) {
        if CONTAINED.contains(&mode) {
            return;
        }
        let not_busy = NOT_BUSY.contains(&mode);
        let mut cells = self.times_ms.iter().zip(self.cpu.iter_mut()).peekable();
        for (at_ms, seconds) in samples {
            while cells.next_if(|(time, _)| **time < at_ms).is_some() {}
            if let Some((_, cell)) = cells.next_if(|(time, _)| **time == at_ms)
                && seconds.is_finite()
            {
                cell.all_s += seconds;
                cell.modes += 1;
                if not_busy {
                    cell.not_busy_s += seconds;
                }
            }
        }
    }

    /// Ends the logical CPU at hand: its utilisation joins the node's.
    pub fn finish_cpu(&mut self, boots: &Boots) {
        let modes = self.cpu.iter().map(|cell| cell.modes).max().unwrap_or(0);
        let pairs = self.cpu.iter().zip(self.cpu.iter().skip(1));
        let instants = self.times_ms.iter().zip(self.times_ms.iter().skip(1));
        for (((from, to), (from_ms, to_ms)), added) in pairs.zip(instants).zip(self.added.iter_mut()) {
            // An instant at which a mode is absent would look like time gone by.
            if modes == 0 || from.modes != modes || to.modes != modes {
                continue;
            }
            let (not_busy_s, all_s) = if boots.between(*from_ms, *to_ms).is_some() {
                (to.not_busy_s, to.all_s)
            } else {
                (to.not_busy_s - from.not_busy_s, to.all_s - from.all_s)
            };
            // Seconds near the largest number add up to infinity, and their ratio to none.
            let utilisation = (1.0 - not_busy_s / all_s).clamp(0.0, 1.0);
            if all_s > 0.0 && utilisation.is_finite() {
                added.0 += utilisation;
                added.1 += 1;
            }
        }
        self.cpu.fill(CpuTime::default());
    }

    /// The node's utilisation, interval by interval.
    pub fn finish(self, boots: &Boots, gaps: &GapLimits) -> Vec<Load> {
        let mut loads = Vec::with_capacity(self.added.len());
        let all_cpus = self.added.iter().map(|(_, cpus)| *cpus).max().unwrap_or(0);
        let instants = self.times_ms.iter().zip(self.times_ms.iter().skip(1));
        for ((&from_ms, &to_ms), (sum, cpus)) in instants.zip(self.added) {
            let mut start_ms = from_ms;
            if let Some(boot_ms) = boots.between(from_ms, to_ms) {
                let off = Window::new(from_ms, boot_ms.min(to_ms));
                loads.push(Load { window: off, utilisation: Err(Missing::Reset), complete: false });
                start_ms = off.end_ms;
            }
            let utilisation = if cpus == 0 {
                Err(Missing::Reset)
            } else if to_ms - start_ms > gaps.at(from_ms) {
                Err(Missing::Gap)
            } else if start_ms == from_ms && has_between(&self.stale_ms, from_ms, to_ms) {
                Err(Missing::Stale)
            } else {
                Ok(sum / f64::from(cpus))
            };
            if to_ms > start_ms {
                loads.push(Load {
                    window: Window::new(start_ms, to_ms),
                    utilisation,
                    complete: cpus == all_cpus,
                });
            }
        }
        loads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_of_the_logical_cpus_by_hand() {
        let times = vec![0, 10_000, 20_000];
        let mut builder = LoadBuilder::new(times.clone(), Vec::new());
        let boots = Boots::default();
        // CPU 0: busy 5 of 10 s, then 10 of 10; guest stands in user already.
        builder.add_mode("idle", [(0, 100.0), (10_000, 104.0), (20_000, 104.0)]);
        builder.add_mode("iowait", [(0, 0.0), (10_000, 1.0), (20_000, 1.0)]);
        builder.add_mode("user", [(0, 50.0), (10_000, 55.0), (20_000, 65.0)]);
        builder.add_mode("guest", [(0, 0.0), (10_000, 5.0), (20_000, 15.0)]);
        builder.finish_cpu(&boots);
        // CPU 1: idle throughout.
        builder.add_mode("idle", [(0, 100.0), (10_000, 110.0), (20_000, 120.0)]);
        builder.add_mode("user", [(0, 50.0), (10_000, 50.0), (20_000, 50.0)]);
        builder.finish_cpu(&boots);
        let loads = builder.finish(&boots, &GapLimits::from_times(times));
        let utilisations: Vec<_> = loads.iter().map(|load| load.utilisation).collect();
        assert_eq!(utilisations, [Ok(0.25), Ok(0.5)]);
    }

    #[test]
    fn absurd_seconds_are_not_known_rather_than_not_a_number() {
        let times = vec![0, 10_000];
        let boots = Boots::default();
        let mut builder = LoadBuilder::new(times.clone(), Vec::new());
        builder.add_mode("idle", [(0, 0.0), (10_000, f64::MAX)]);
        builder.add_mode("iowait", [(0, 0.0), (10_000, f64::MAX)]);
        builder.finish_cpu(&boots);
        let loads = builder.finish(&boots, &GapLimits::from_times(times));
        assert_eq!(loads[0].utilisation, Err(Missing::Reset));
    }

    #[test]
    fn a_reboot_counts_from_the_boot() {
        let times = vec![60_000, 160_000];
        let boots = Boots::from_samples([(0, 0.0), (200_000, 100.0)]);
        let mut builder = LoadBuilder::new(times.clone(), Vec::new());
        builder.add_mode("idle", [(60_000, 5000.0), (160_000, 45.0)]);
        builder.add_mode("user", [(60_000, 900.0), (160_000, 15.0)]);
        builder.finish_cpu(&boots);
        let loads = builder.finish(&boots, &GapLimits::from_times(times));
        assert_eq!(
            loads[0],
            Load { window: Window::new(60_000, 100_000), utilisation: Err(Missing::Reset), complete: false }
        );
        assert_eq!(
            loads[1],
            Load { window: Window::new(100_000, 160_000), utilisation: Ok(0.25), complete: true }
        );
    }
}
