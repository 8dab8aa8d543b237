//! What a job log holds, counted.

use std::collections::BTreeMap;

use super::{JobLog, Run};

const HOUR_S: f64 = 3600.0;

/// Counts and sums over the runs of a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    /// Runs.
    pub runs: u64,
    /// Runs without an end.
    pub running: u64,
    /// Runs by state, in the scheduler's words.
    pub states: BTreeMap<String, u64>,
    /// Users and their runs, the busiest first.
    pub users: Vec<(String, u64)>,
    /// Accounts and their runs.
    pub accounts: Vec<(String, u64)>,
    /// Partitions and their runs.
    pub partitions: Vec<(String, u64)>,
    /// Nodes and the runs on them.
    pub nodes: Vec<(String, u64)>,
    /// Stages and their runs.
    pub stages: Vec<(String, u64)>,
    /// Σ nodes × hours. A run without an end counts to the end of what the log covers.
    pub node_hours: f64,
    /// Σ CPUs × hours.
    pub cpu_hours: f64,
    /// Σ GPUs × hours.
    pub gpu_hours: f64,
    /// Runs of which the CPUs are known.
    pub with_cpus: u64,
    /// Runs of which the GPUs are known, be it none.
    pub with_gpus: u64,
    /// Runs of which it is known which GPUs they had.
    pub bound_gpus: u64,
}

/// Counts the runs of `log`.
pub fn census(log: &JobLog) -> Census {
    let mut census = Census { runs: count(log.runs.len()), ..Census::default() };
    let mut by: [BTreeMap<&str, u64>; 4] = Default::default();
    let mut nodes: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut node_s, mut cpu_s, mut gpu_s) =
        (crate::sum::Sum::new(), crate::sum::Sum::new(), crate::sum::Sum::new());
    for run in &log.runs {
        census.running += u64::from(run.end_ms.is_none());
        *census.states.entry(run.state.clone()).or_default() += 1;
        for (counts, name) in by.iter_mut().zip([&run.user, &run.account, &run.partition, &run.stage]) {
            if !name.is_empty() {
                *counts.entry(name).or_default() += 1;
            }
        }
        let length_s = length_s(run, log);
        node_s.add(length_s * run.allocations.len() as f64);
        for held in &run.allocations {
            *nodes.entry(&held.node).or_default() += 1;
            cpu_s.add(length_s * held.cpus.unwrap_or(0.0));
            gpu_s.add(length_s * held.gpus.unwrap_or(0.0));
        }
        let all = |known: fn(&super::Allocation) -> bool| {
            u64::from(!run.allocations.is_empty() && run.allocations.iter().all(known))
        };
        census.with_cpus += all(|held| held.cpus.is_some());
        census.with_gpus += all(|held| held.gpus.is_some());
        census.bound_gpus += u64::from(run.allocations.iter().any(|held| held.gpu_ids.is_some()));
    }
    let [users, accounts, partitions, stages] = by.map(sorted);
    (census.users, census.accounts, census.partitions, census.stages) = (users, accounts, partitions, stages);
    census.nodes = sorted(nodes);
    census.node_hours = node_s.value() / HOUR_S;
    census.cpu_hours = cpu_s.value() / HOUR_S;
    census.gpu_hours = gpu_s.value() / HOUR_S;
    census
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn length_s(run: &Run, log: &JobLog) -> f64 {
    let end_ms = run.end_ms.or(log.covered.map(|covered| covered.end_ms)).unwrap_or(run.start_ms);
    end_ms.saturating_sub(run.start_ms).max(0) as f64 / 1000.0
}

/// The greatest count first, then by name.
fn sorted(counts: BTreeMap<&str, u64>) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> =
        counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    all.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    all
}
