//! Who had what, when: job logs of any kind, read into [`Run`]s.
//!
//! Two kinds are read, told apart by their header: the text of Slurm's `sacct`
//! with separators (`-P`, `-p`, `--delimiter`) and any choice and order of
//! fields, and a CSV of hand-marked windows (`run_id,start,end,nodes,…`).
//! A line that cannot be used is listed in [`JobLog::rejected`] with its number
//! and the reason; the rest of the log is read on.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use chrono_tz::Tz;

use crate::time::Window;

mod align;
mod clock;
mod collect;
mod error;
pub mod hostlist;
mod lines;
mod runs_csv;
mod sacct;
pub mod tres;

pub use error::{JobsError, RejectReason, Rejected, SACCT_COMMAND};

/// One job, array task, or hand-marked program run.
///
/// A requeued job ran more than once under one id: each of its runs is a `Run`
/// of its own, and only `run_id` together with `restart` is unique in a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// The scheduler's id as people write it: `1234`, `1234_7` for an array task, `28+0` for a het job's part.
    pub run_id: String,
    /// The number by which the scheduler's daemons and exporters know it (`JobIDRaw`, `SLURM_JOB_ID`), where
    /// the log has it: an array task has one of its own. Empty if unknown.
    pub job_id: String,
    /// 0 for the first run of this id in the log, 1 for the next, in order of their starts.
    pub restart: u32,
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

/// How a log is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The zone of times that carry no offset.
    pub zone: Tz,
}

impl Default for Options {
    fn default() -> Self {
        Self { zone: Tz::UTC }
    }
}

/// The kinds of log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `sacct -P` or `-p`.
    SacctText,
    /// `run_id,start,end,nodes,…`
    RunsCsv,
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SacctText => "sacct text",
            Self::RunsCsv => "runs CSV",
        })
    }
}

/// Rows that are well formed and yet no run of their own, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Jobs that wait, or that were cancelled before they started.
    pub never_started: u64,
    /// Job steps (`1.batch`, `1.extern`, `1.0`), folded into their job.
    pub steps: u64,
    /// Steps whose job is not among the runs.
    pub orphan_steps: u64,
    /// Rows that stand in the log more than once.
    pub duplicates: u64,
    /// Earlier rows of a run whose later row says more: still running, then ended.
    pub superseded: u64,
    /// Runs that ended in the instant they started. They are kept in
    /// [`JobLog::runs`], where they cost nothing, and only counted here.
    pub zero_length: u64,
}

/// A job log, read.
#[derive(Clone, Debug)]
pub struct JobLog {
    /// The runs, by start, then id.
    pub runs: Vec<Run>,
    /// Lines that were left out, the first [`MAX_REJECTED`] of them.
    pub rejected: Vec<Rejected>,
    /// How many lines were left out in all.
    pub rejected_total: u64,
    /// Rows that are no run of their own.
    pub skipped: Skipped,
    /// From the first start to the last instant that any row tells of (a start, an end, a submission, or
    /// for running jobs the start plus the time elapsed). `None` if nothing started.
    pub covered: Option<Window>,
    /// What kind of log it is.
    pub format: LogFormat,
    /// The header's columns as they stand in the log.
    pub columns: Vec<String>,
    /// True if some time carried no offset and was read in [`Options::zone`].
    pub zone_assumed: bool,
    /// What a user should know about how the log was read.
    pub notes: Vec<String>,
}

/// Rejected lines that are kept with their text; beyond that they are counted.
pub const MAX_REJECTED: usize = 10_000;

/// Reads the job log at `path`. Its kind is recognised from its header.
///
/// # Errors
///
/// [`JobsError`] if it cannot be opened, is no job log, or lacks a column that
/// is needed. Broken lines are no error; they are in [`JobLog::rejected`].
pub fn read(path: &Path, options: &Options) -> Result<JobLog, JobsError> {
    let file =
        File::open(path).map_err(|source| JobsError::Io { doing: "open", path: path.into(), source })?;
    read_from(BufReader::new(file), path, options)
}

/// Reads a job log from `reader`; `path` names it in errors and rejected lines.
///
/// # Errors
///
/// As [`read`].
pub fn read_from(reader: impl BufRead, path: &Path, options: &Options) -> Result<JobLog, JobsError> {
    let mut lines = lines::Lines::new(reader);
    let io = |source| JobsError::Io { doing: "read", path: path.to_path_buf(), source };
    let (number, header) = loop {
        match lines.next_line().map_err(io)? {
            None => return Err(JobsError::Empty { path: path.into() }),
            Some(lines::Line::Text { number, text }) if !text.trim().is_empty() => break (number, text),
            Some(lines::Line::Text { .. }) => {}
            Some(lines::Line::TooLong { .. }) => return Err(JobsError::unrecognised(path, "")),
        }
    };
    match recognise(&header) {
        Some((LogFormat::SacctText, separator)) => sacct::read(lines, &header, separator, path, options),
        Some((LogFormat::RunsCsv, separator)) => {
            runs_csv::read(lines, number, &header, separator, path, options)
        }
        None => Err(JobsError::unrecognised(path, &header)),
    }
}

/// What kind of log a header belongs to, and what separates its columns.
fn recognise(header: &str) -> Option<(LogFormat, char)> {
    let has = |separator: char, wanted: &[&str]| {
        header.split(separator).any(|column| wanted.contains(&column_key(column).as_str()))
    };
    let sacct =
        ['|', '\u{1f}', '^', '\t', ';'].into_iter().find(|&separator| has(separator, &["jobid", "jobidraw"]));
    let csv = [',', ';', '\t'].into_iter().find(|&separator| has(separator, &["run_id"]));
    // A header of one column would match with every separator and is of no use with any.
    let several = |separator: &char| header.contains(*separator);
    sacct
        .filter(several)
        .map(|separator| (LogFormat::SacctText, separator))
        .or_else(|| csv.filter(several).map(|separator| (LogFormat::RunsCsv, separator)))
}

/// A column's name in the form in which it is compared: `JobName%30` is `jobname`.
fn column_key(column: &str) -> String {
    let name = column.split('%').next().unwrap_or_default();
    name.trim().trim_matches('"').to_ascii_lowercase()
}

/// Spreads a run's totals evenly over its nodes (rule W4). A node named twice counts once.
fn spread(nodes: Vec<String>, totals: &tres::Tres, gpu_ids: Option<&[String]>) -> Vec<Allocation> {
    let mut seen = std::collections::HashSet::new();
    let nodes: Vec<String> = nodes.into_iter().filter(|node| seen.insert(node.clone())).collect();
    let count = nodes.len() as f64;
    let share = |total: Option<f64>| total.map(|total| total / count);
    nodes
        .into_iter()
        .map(|node| Allocation {
            node,
            cpus: share(totals.cpus),
            memory_bytes: share(totals.memory_bytes),
            gpus: share(totals.gpus),
            gpu_ids: gpu_ids.map(<[String]>::to_vec),
        })
        .collect()
}
