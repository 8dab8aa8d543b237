//! How large a node is, for turning amounts into fractions (rule W4).

use super::claims::NodeSize;
use super::rules::NodeHardware;
use crate::jobs::SchedulerNode;
use crate::meter::inventory::{Machine, NodeSeries};
use crate::time::Window;

/// Share of the time for which an amount must have been held to be believed.
const HELD_SHARE: f64 = 0.01;

/// The most that was held together for at least 1 % of the time in which
/// anything was: logs overlap by seconds where one run follows another.
fn most_held(mut steps: Vec<(f64, i64)>) -> f64 {
    let total_ms: i64 = steps.iter().map(|(_, length_ms)| length_ms).sum();
    steps.sort_by(|left, right| right.0.total_cmp(&left.0));
    let mut at_least_ms = 0;
    for (held, length_ms) in steps {
        at_least_ms += length_ms;
        if at_least_ms as f64 >= HELD_SHARE * total_ms as f64 {
            return held;
        }
    }
    0.0
}

/// How the number of CPUs is known where nothing but the log tells.
pub(super) const BY_ALLOCATION: &str = "most that was allocated at once";

/// The most that was held together (see [`most_held`]), and no less than any one held alone.
pub(super) fn most_at_once(amounts: impl Iterator<Item = (Window, f64)>) -> f64 {
    let amounts: Vec<(Window, f64)> = amounts.collect();
    let largest = amounts.iter().map(|(_, amount)| *amount).fold(0.0, f64::max);
    let mut edges: Vec<(i64, f64)> = amounts
        .into_iter()
        .flat_map(|(window, amount)| [(window.start_ms, amount), (window.end_ms, -amount)])
        .collect();
    // At one instant what ends is given back before what starts is taken.
    edges.sort_by(|left, right| left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)));
    let (mut held, mut since_ms, mut steps) = (0.0, 0, Vec::new());
    for (at_ms, change) in edges {
        if held > 0.0 {
            steps.push((held, at_ms - since_ms));
        }
        (held, since_ms) = (held + change, at_ms);
    }
    most_held(steps).max(largest)
}

/// Rule W4: what the site states, else what the scheduler says, else logical CPUs ÷ threads per core, or all of
/// them if more than that was allocated at one time: `most`, of the whole log, so that a day's size is that of its month.
pub(super) fn node_size(
    machine: &Machine,
    (stated, described): (&NodeHardware, Option<&SchedulerNode>),
    most: f64,
    memory_bytes: Option<f64>,
    series: &NodeSeries<'_>,
) -> (NodeSize, String) {
    let gpus = series.gpus().count();
    let cores = machine
        .logical_cpus
        .map(|cpus| f64::from(cpus) / f64::from(machine.threads_per_core.unwrap_or(1).max(1)));
    let by_scheduler = described.and_then(|node| node.cpus);
    let (cpus, origin) = match (stated.cpus.or(by_scheduler), machine.logical_cpus, cores) {
        (Some(cpus), _, _) => {
            let origin = if stated.cpus.is_some() { "stated" } else { "scontrol show node" };
            (Some(cpus), origin.to_owned())
        }
        // Parts of CPUs, as multi-node totals leave, do not add up to the last bit.
        (None, Some(logical), Some(cores)) if most > cores * (1.0 + 1e-9) => {
            (Some(f64::from(logical)), format!("logical CPUs ({most} were allocated at once)"))
        }
        (None, _, Some(cores)) => (Some(cores), "cores".to_owned()),
        _ if most > 0.0 => (Some(most), BY_ALLOCATION.to_owned()),
        _ => (None, "unknown".to_owned()),
    };
    let by_scheduler = described.and_then(|node| node.memory_bytes);
    let memory_bytes = stated.memory_bytes.or(by_scheduler).or(memory_bytes);
    (NodeSize { cpus, memory_bytes, gpus }, origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_does_not_make_a_node_larger() {
        let machine = Machine { logical_cpus: Some(128), threads_per_core: Some(2), ..Machine::default() };
        let claim = |start_ms, end_ms, cpus: f64| (Window::new(start_ms, end_ms), cpus);
        let size = |claims: &[(Window, f64)]| {
            let most = most_at_once(claims.iter().copied());
            node_size(&machine, (&NodeHardware::default(), None), most, None, &NodeSeries::default()).0.cpus
        };
        // 47/3 + 58/3 + 53/3 taken and given back leaves 9e-15; then the 64 cores are allocated in full.
        let thirds = [47.0 / 3.0, 58.0 / 3.0, 53.0 / 3.0].map(|cpus| claim(0, 10, cpus));
        let [one, two, three] = thirds;
        assert_eq!(size(&[one, two, three, claim(20, 30, 64.0)]), Some(64.0));
        assert_eq!(size(&[claim(0, 10, 65.0)]), Some(128.0));
        // More than there are: shares are divided by their sum (S5), and a run alone still has all of it.
        assert_eq!(size(&[claim(0, 10, 128.0), claim(0, 10, 128.0)]), Some(128.0));
    }
}
