//! Whether the runs would fit what their nodes did clearly better some whole hours earlier or later: local times
//! that were read in another zone (rules, section 9).

use super::NodeBooks;
use crate::meter::catalog::Component;
use crate::time::{HOUR_MS, Window};

/// Zones lie no farther apart than this that people mix up.
const FARTHEST_H: i64 = 14;
/// Node-buckets without which nothing is said.
const LEAST_PAIRS: f64 = 24.0;
/// Correlation that a better place must reach, and by how much it must exceed that of the times as read.
const GOOD: f64 = 0.6;
const CLEARLY: f64 = 0.3;

/// A shift of all runs under which they would fit better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeShift {
    /// By how many hours later; negative for earlier.
    pub hours: i64,
    /// Correlation between what is held of a node and the power of its processors and GPUs, in the mean of the nodes.
    pub fit: f64,
    /// The same for the times as read.
    pub fit_as_read: f64,
}

/// What a node did, and what was held of it.
pub(super) struct Activity {
    /// Energy of its processors and GPUs in each bucket, in joules; `None` where it is not known.
    pub(super) energy_j: Vec<Option<f64>>,
    /// When how much of it was held.
    pub(super) holds: Vec<(Window, f64)>,
}

impl Activity {
    /// What the books say that `node` did in their `buckets`.
    pub(super) fn new(node: &NodeBooks, buckets: usize, holds: Vec<(Window, f64)>) -> Self {
        let mut energy_j: Vec<Option<f64>> = vec![None; buckets];
        for entry in &node.entries {
            let component = node.devices.get(entry.device).map(|device| device.key.component);
            if !matches!(component, Some(Component::Cpu | Component::Gpu)) || entry.covered_s <= 0.0 {
                continue;
            }
            if let Some(sum) = energy_j.get_mut(entry.bucket) {
                *sum = Some(sum.unwrap_or(0.0) + entry.energy_j);
            }
        }
        Self { energy_j, holds }
    }
}

/// The shift that fits clearly better than the times as read; `None` if none does or too little is known.
/// `covered` is the time that the job log tells of.
pub(super) fn better(nodes: &[Activity], buckets: &[Window], covered: Window) -> Option<TimeShift> {
    let fit_as_read = fit(nodes, buckets, covered, 0).unwrap_or(0.0);
    let best = (-FARTHEST_H..=FARTHEST_H)
        .filter(|hours| *hours != 0)
        .filter_map(|hours| Some((hours, fit(nodes, buckets, covered, hours * HOUR_MS)?)))
        // Of equals the nearest.
        .min_by(|left, right| right.1.total_cmp(&left.1).then(left.0.abs().cmp(&right.0.abs())))?;
    let (hours, fit) = best;
    (fit >= GOOD && fit - fit_as_read >= CLEARLY).then_some(TimeShift { hours, fit, fit_as_read })
}

/// The mean of the nodes' correlations, by buckets, where all runs lie `by_ms` later.
fn fit(nodes: &[Activity], buckets: &[Window], covered: Window, by_ms: i64) -> Option<f64> {
    let told = Window::new(covered.start_ms.saturating_add(by_ms), covered.end_ms.saturating_add(by_ms));
    let (mut sum, mut weight) = (0.0, 0.0);
    for node in nodes {
        let mut held = vec![0.0; buckets.len()];
        for (window, amount) in &node.holds {
            let moved =
                Window::new(window.start_ms.saturating_add(by_ms), window.end_ms.saturating_add(by_ms));
            let first = buckets.partition_point(|bucket| bucket.end_ms <= moved.start_ms);
            for (held, bucket) in held.iter_mut().zip(buckets).skip(first) {
                let Some(common) = bucket.intersect(moved) else { break };
                *held += amount * common.length_s() / bucket.length_s();
            }
        }
        let known = buckets.iter().zip(held).zip(&node.energy_j);
        let pairs: Vec<(f64, f64)> = known
            .filter(|((bucket, _), _)| bucket.intersect(told) == Some(**bucket))
            .filter_map(|((bucket, held), energy_j)| Some((held, (*energy_j)? / bucket.length_s())))
            .collect();
        if let Some(correlation) = correlation(&pairs) {
            sum += correlation * pairs.len() as f64;
            weight += pairs.len() as f64;
        }
    }
    (weight >= LEAST_PAIRS).then(|| sum / weight)
}

/// Pearson's; `None` where one side never changes.
fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let count = pairs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| crate::sum::sum(pairs.iter().map(of)) / count;
    let (left, right) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let product = |of: &dyn Fn(f64, f64) -> f64| {
        crate::sum::sum(pairs.iter().map(|(held, watts)| of(held - left, watts - right)))
    };
    let spread = (product(&|held, _| held * held) * product(&|_, watts| watts * watts)).sqrt();
    (spread > 1e-9).then(|| product(&|held, watts| held * watts) / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(hours: i64) -> Vec<Window> {
        (0..hours).map(|hour| Window::new(hour * HOUR_MS, (hour + 1) * HOUR_MS)).collect()
    }

    /// A node that is busy where it is held, in hours that follow no period; the log reads `late` hours too late.
    fn activity(hours: i64, late: i64) -> Activity {
        let busy = |hour: i64| {
            let mixed = (hour as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 62 == 0
        };
        let at = |hour: i64| Window::new((hour + late) * HOUR_MS, (hour + late + 1) * HOUR_MS);
        Activity {
            energy_j: (0..hours).map(|hour| Some(if busy(hour) { 1e6 } else { 2e5 })).collect(),
            holds: (0..hours).filter(|hour| busy(*hour)).map(|hour| (at(hour), 4.0)).collect(),
        }
    }

    #[test]
    fn runs_read_in_another_zone_are_found_out() {
        let (buckets, whole) = (buckets(96), Window::new(0, 96 * HOUR_MS));
        for late in [-9, -1, 2, 5] {
            let covered = Window::new(late * HOUR_MS, (96 + late) * HOUR_MS);
            let found = better(&[activity(96, late)], &buckets, covered).unwrap();
            assert_eq!(found.hours, -late);
            assert!(found.fit > 0.999 && found.fit_as_read < 0.4, "{found:?}");
        }
        assert_eq!(better(&[activity(96, 0)], &buckets, whole), None);
    }

    #[test]
    fn too_little_or_nothing_to_tell_by_is_silence() {
        let (few, whole) = (buckets(20), Window::new(0, 20 * HOUR_MS));
        assert_eq!(better(&[activity(20, 2)], &few, whole), None);
        let (many, whole) = (buckets(96), Window::new(0, 96 * HOUR_MS));
        let mut always = activity(96, 2);
        always.energy_j.fill(Some(1e6));
        assert_eq!(better(&[always], &many, whole), None);
        let mut unknown = activity(96, 2);
        unknown.energy_j.fill(None);
        assert_eq!(better(&[unknown], &many, whole), None);
        assert_eq!(better(&[], &many, whole), None);
    }

    #[test]
    fn pearson_by_hand() {
        // Deviations −1, 0, 1 and −1, 1, 0: 1 ÷ √(2 × 2).
        assert_eq!(correlation(&[(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)]), Some(0.5));
        assert_eq!(correlation(&[(1.0, 1.0), (1.0, 3.0)]), None);
        assert_eq!(correlation(&[]), None);
    }
}
