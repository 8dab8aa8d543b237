//! Who had what, when: job logs of any kind, read into [`Run`]s.

/// One job, array task, or hand-marked program run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// The scheduler's id as people write it: `1234`, `1234_7` for an array task, `28+0` for a het job's part.
    pub run_id: String,
    /// Job name.
    pub name: String,
    /// User (login name).
    pub user: String,
    /// Account or project that is charged.
    pub account: String,
    /// Partition or queue.
    pub partition: String,
    /// Final state in the scheduler's words (`COMPLETED`, `CANCELLED`, …), without the ` by 1000`.
    pub state: String,
    /// `training`, `inference`, …; empty if the log does not say.
    pub stage: String,
    /// Zone or country whose carbon intensity applies to this run, if the log names one.
    pub zone: Option<String>,
    /// First instant (UTC, ms).
    pub start_ms: i64,
    /// First instant after the run (UTC, ms); `None` if it was still running where the log ends.
    pub end_ms: Option<i64>,
    /// What it held on each node.
    pub allocations: Vec<Allocation>,
    /// Energy the scheduler itself recorded for the whole job (`ConsumedEnergyRaw`), in joules.
    pub recorded_energy_j: Option<f64>,
}

/// What a run held on one node. `None` means that the log does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allocation {
    /// The node's name in the scheduler.
    pub node: String,
    /// Allocated CPUs, as the scheduler counts them.
    pub cpus: Option<f64>,
    /// Allocated memory, in bytes.
    pub memory_bytes: Option<f64>,
    /// Number of GPUs; `Some(0.0)` means that the log shows there were none.
    pub gpus: Option<f64>,
    /// GPU ids it was bound to on this node, where the log tells: indices (`0`) or UUIDs.
    pub gpu_ids: Option<Vec<String>>,
}
