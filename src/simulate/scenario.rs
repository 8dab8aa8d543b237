//! What to simulate, and what came of it.

use crate::time::{DAY_MS, SECOND_MS, Window};
use crate::tsdb::TsdbError;
use std::path::PathBuf;

/// The cluster to simulate.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Compute nodes, 1 to 20,000.
    pub nodes: u32,
    /// GPUs in each compute node, up to 16.
    pub gpus: u32,
    /// Logical processors in each node, in two sockets: 2 to 512, even.
    pub cpus: u32,
    /// Login and storage nodes, which the scheduler does not know: up to 2.
    pub infrastructure_nodes: u32,
    /// Length in days.
    pub days: f64,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// First instant; cut to whole seconds.
    pub start_ms: i64,
    /// Seconds between scrapes, 5 to 3600.
    pub scrape_interval_s: u32,
    /// How many jobs and arrays to submit; for each node and day six and three for each
    /// of its GPUs if absent.
    pub runs: Option<u32>,
    /// Also what each job uses, as cgroup_exporter shows it.
    pub job_series: bool,
    /// dcgm-exporter names the job that holds a GPU: with many short runs, that makes many short series.
    pub gpu_jobs: bool,
    /// Also the per-processor series that have nothing to do with energy.
    pub extra_series: bool,
    /// Machines of one model differ as measured ones do: processors take 8 to 30 % of their rated power at rest and 55 to
    /// 140 % at full load, GPUs 75 to 100 % at full load, memory 0.03 to 0.12 W/GB at rest. Else processors take 22 to 30 % at rest, and
    /// processors and GPUs their rated power at full load.
    pub unlike: bool,
}

impl Default for Scenario {
    /// Four nodes with two GPUs for three days from Monday, 3 June 2024.
    fn default() -> Self {
        Self {
            nodes: 4,
            gpus: 2,
            cpus: 16,
            infrastructure_nodes: 2,
            days: 3.0,
            seed: 1,
            start_ms: 1_717_372_800_000,
            scrape_interval_s: 15,
            runs: None,
            job_series: false,
            gpu_jobs: true,
            extra_series: false,
            unlike: false,
        }
    }
}

impl Scenario {
    /// The simulated window.
    pub fn window(&self) -> Window {
        let start_ms = self.start_ms.div_euclid(SECOND_MS) * SECOND_MS;
        let length_s = (self.days * DAY_MS as f64 / 1000.0).round() as i64;
        Window::new(start_ms, start_ms.saturating_add(length_s.saturating_mul(SECOND_MS)))
    }

    /// Compute nodes that get work: of four or more, the last gets nothing but its check.
    pub(super) fn busy_nodes(&self) -> u32 {
        if self.nodes >= 4 { self.nodes - 1 } else { self.nodes }
    }

    /// How many jobs and arrays are submitted.
    pub(super) fn run_target(&self) -> u32 {
        let a_day = f64::from(self.nodes) * f64::from(6 + 3 * self.gpus);
        self.runs.unwrap_or_else(|| (a_day * self.days).ceil() as u32)
    }

    pub(super) fn check(&self) -> Result<(), SimulateError> {
        let checks = [
            ((1..=20_000).contains(&self.nodes), "nodes must be 1 to 20000"),
            (self.gpus <= 16, "gpus must be at most 16"),
            (
                (2..=512).contains(&self.cpus) && self.cpus.is_multiple_of(2),
                "cpus must be an even number from 2 to 512",
            ),
            (self.infrastructure_nodes <= 2, "infrastructure nodes must be at most 2"),
            ((0.01..=3700.0).contains(&self.days), "days must be 0.01 to 3700"),
            ((5..=3600).contains(&self.scrape_interval_s), "the scrape interval must be 5 to 3600 s"),
            (
                (0..=4_102_444_800_000).contains(&self.start_ms),
                "the start must be between the years 1970 and 2100",
            ),
            (self.runs.is_none_or(|runs| runs <= 10_000_000), "runs must be at most 10000000"),
        ];
        match checks.into_iter().find(|(good, _)| !good) {
            Some((_, reason)) => Err(SimulateError::Scenario { reason }),
            None => Ok(()),
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The simulated window.
    pub window: Window,
    /// Blocks under `snapshot/`, in order of time.
    pub blocks: Vec<PathBuf>,
    /// Series over all blocks, each counted once.
    pub series: u64,
    /// Samples over all blocks, stale markers included.
    pub samples: u64,
    /// Runs that were started.
    pub runs: usize,
    /// True energy of everything, metered or not, in joules.
    pub energy_j: f64,
    /// True energy of the devices that some series measures, in joules.
    pub metered_energy_j: f64,
}

/// A simulation that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// Something about the scenario.
    #[error("cannot simulate this: {reason}")]
    Scenario {
        /// What.
        reason: &'static str,
    },
    /// Another process has the directory.
    #[error("another `wattledger` writes into `{}`", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// There is something already where the snapshot should go.
    #[error("`{}` exists and is not replaced", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was being done, as an infinitive.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// The snapshot could not be written.
    #[error("cannot write the snapshot")]
    Snapshot(#[from] TsdbError),
}
