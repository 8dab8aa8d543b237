//! The join: device energy × runs × hours, with the books closed.
//!
//! [`close_books`] takes a source of series, the runs of a job log and the
//! site's rules, works through the cluster node by node in parallel, and
//! returns for each node its rows and the proof that they add up.

mod attribute;
pub mod backfill;
mod balance;
mod calibrate;
mod claims;
mod close;
mod compare;
mod device;
mod device_model;
mod embodied;
mod entry;
mod frame;
mod hardware;
mod held;
mod joblog;
mod market;
mod measure;
mod meter_line;
mod method;
mod models;
mod node;
mod node_meter;
mod outlook;
mod peaks;
mod pricing;
mod pue;
mod row;
mod rules;
mod shift;
mod size;
pub mod store;
mod survey;
mod usage;
mod whatif;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

pub use balance::{Balance, Balances, Difference};
pub use calibrate::calibrate;
pub use claims::{Claim, NodeSize, ShareMethod};
pub use close::{close_books, close_books_with, read_for, select};
pub use compare::{Account, ComponentEnergy, compare};
pub use device::{DeviceBook, MethodBook};
pub use device_model::{HardwareModel, hardware_model};
pub use embodied::EmbodiedDevice;
pub use entry::{Beneficiary, Entry};
pub use frame::{entries_frame, priced};
pub use held::HeldUse;
pub use market::{ContractUse, Market, ZoneUse};
pub use meter_line::{LineUse, MeterLine};
pub use method::Method;
pub use outlook::{Outlook, outlook};
pub use pricing::Prices;
pub use pue::Pue;
pub use row::{PriceWords, Row, RowPrice, visit_frame, visit_node};
pub use rules::{GpuInNodeMeter, NodeHardware, Rules};
pub use shift::TimeShift;
pub use survey::{Side, Survey, Unmatched, survey};
pub use usage::ShareRule;
pub use whatif::{Best, MovedRun, Place, Question, Stays, WhatIf, what_if};
pub use whole::NodeBucket;

use close::{Asked, close_books_of, most_cpus_by_node, read_window};

use crate::jobs::{JobLog, Run, SchedulerNode};
use crate::meter::inventory::Machine;
use crate::meter::presence::Presence;
use crate::meter::stream::SeriesUse;
use crate::source::SourceError;
use crate::time::Window;
use crate::tsdb::ReadStats;

/// Why the books could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The source failed.
    #[error("cannot read the series")]
    Source(#[from] SourceError),
}

/// The runs and what is known about their log.
#[derive(Clone, Copy, Debug)]
pub struct Jobs<'a> {
    /// All runs.
    pub runs: &'a [Run],
    /// Time for which the log tells who was there, by its records; `None` if there are none.
    pub covered: Option<Window>,
    /// True if there is a log at all, be it empty.
    pub is_given: bool,
    /// Nodes that the scheduler described.
    pub nodes: &'a [SchedulerNode],
}

impl<'a> Jobs<'a> {
    /// What a log tells; nothing without one.
    pub fn of(log: Option<&'a JobLog>) -> Self {
        Self {
            runs: log.map_or(&[], |log| &log.runs),
            covered: log.and_then(|log| log.covered),
            is_given: log.is_some(),
            nodes: log.map_or(&[], |log| &log.nodes),
        }
    }
}

/// The books of one node.
#[derive(Debug, Default)]
pub struct NodeBooks {
    /// The node.
    pub name: String,
    /// The machine, as its exporters describe it.
    pub machine: Machine,
    /// True if the scheduler knows it.
    pub known: bool,
    /// What it has, for shares.
    pub size: Option<NodeSize>,
    /// How that was found, in words.
    pub size_origin: String,
    /// Its site; empty if it has no name.
    pub site: String,
    /// Zone stated for this node.
    pub zone: Option<String>,
    /// When it was there.
    pub presence: Presence,
    /// Its devices.
    pub devices: Vec<DeviceBook>,
    /// Its rows.
    pub entries: Vec<Entry>,
    /// Runs that some meter of the node read twice in a row: all others are `short` (rule C6).
    pub runs_with_full_interval: BTreeSet<usize>,
    /// Runs that had to share it with others for a time.
    pub runs_that_shared: BTreeSet<usize>,
    /// Its whole-node meter by bucket.
    pub node_buckets: Vec<NodeBucket>,
    /// The whole-node meter, if it has one.
    pub node_meter: Option<MethodBook>,
    /// What it took to make it, and who had what of that (rule G5).
    pub embodied: Vec<EmbodiedDevice>,
    /// How each series was used.
    pub uses: Vec<SeriesUse>,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// The books of the cluster.
#[derive(Debug, Default)]
pub struct Books {
    /// The buckets, in order.
    pub buckets: Vec<Window>,
    /// Nodes, by name.
    pub nodes: Vec<NodeBooks>,
    /// Every series that was looked at.
    pub meters: Vec<MeterLine>,
    /// The highest mean power of each run over one minute, in watts, by the run's position.
    pub peaks_w: BTreeMap<usize, f64>,
    /// What runs used of the GPUs and the memory that they held, by the run's position.
    pub held: BTreeMap<usize, HeldUse>,
    /// The proof.
    pub balances: Balances,
    /// What decoding left out.
    pub read: ReadStats,
    /// Nodes of the job log without any series, each with the likely partner.
    pub nodes_without_series: Vec<(String, Option<String>)>,
    /// Time for which the job log tells who was there.
    pub jobs_covered: Option<Window>,
    /// By how much all runs would have to move to fit the nodes' activity clearly better.
    pub time_shift: Option<TimeShift>,
}
