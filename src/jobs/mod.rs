//! Who had what, when: job logs of any kind, read into [`Run`]s.
//!
//! What a log is, is recognised from its content ([`LogFormat`] lists the kinds).
//! A line that cannot be used is listed in [`JobLog::rejected`] with its number
//! and the reason; the rest of the log is read on. Several logs are read as one:
//! where two tell of the same run, what only one of them knows is kept, so that
//! `scontrol show job -d` adds the GPUs to what `sacct` says.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono_tz::Tz;

use crate::time::Window;

pub mod census;
mod clock;
mod codecarbon;
mod collect;
mod columns;
mod error;
pub mod hostlist;
mod htcondor;
mod json;
mod kubernetes;
mod lines;
mod lsf;
pub mod mark;
mod open;
mod pbs;
pub(crate) mod pods;
mod recognise;
mod runs_csv;
mod sge;
mod slurm;
mod swf;
pub mod tres;

pub use columns::{ColumnMap, ColumnsError};
pub use error::{JobsError, Place, RejectReason, Rejected, SACCT_COMMAND};

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
    /// CPU time used on all nodes together, in seconds, of a run that has ended; `None` if the log does not tell, or tells nought.
    pub cpu_time_s: Option<f64>,
    /// What it got done, in units of the user's own: requests, samples, epochs (rule G6).
    pub functional_units: Option<f64>,
    /// Energy the scheduler itself recorded for the whole job (`ConsumedEnergyRaw`), in joules.
    pub recorded_energy_j: Option<f64>,
}

impl Run {
    /// What it held on all nodes together; `None` if the log does not say of one of them.
    pub fn total(&self, of: impl Fn(&Allocation) -> Option<f64>) -> Option<f64> {
        self.allocations.iter().map(of).try_fold(0.0, |sum, amount| Some(sum + amount?))
    }

    /// Its nodes in the log's names, with blanks between.
    pub fn node_names(&self) -> String {
        self.allocations.iter().map(|part| part.node.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// A CPU time that a log can mean: schedulers that do not gather it write nought.
fn plausible_cpu_time_s(seconds: f64) -> Option<f64> {
    (seconds > 0.0 && seconds < 1e12).then_some(seconds)
}

/// What a run held on one node. `None` means that the log does not say.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
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
#[derive(Clone, Debug)]
pub struct Options {
    /// The zone of times that carry no offset.
    pub zone: Tz,
    /// The kind of log; recognised from its content if not given.
    pub format: Option<LogFormat>,
    /// Names of columns.
    pub columns: ColumnMap,
    /// Where runs were that name no node.
    pub default_node: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { zone: Tz::UTC, format: None, columns: ColumnMap::default(), default_node: None }
    }
}

/// The kinds of log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogFormat {
    /// Slurm: `sacct -P` or `-p`.
    SacctText,
    /// Slurm: `sacct --json`.
    SacctJson,
    /// Slurm: `scontrol show job -d`, `scontrol show node`.
    Scontrol,
    /// Slurm: `sacctmgr -P show tres`, what the numbers of resources stand for.
    TresTable,
    /// PBS Pro, OpenPBS, Torque: the accounting log.
    Pbs,
    /// LSF: `lsb.acct`.
    Lsf,
    /// Sun, Univa, Altair and Son of Grid Engine: the accounting file.
    GridEngine,
    /// HTCondor: `condor_history -long`, history files.
    Htcondor,
    /// HTCondor: `condor_history -json`.
    HtcondorJson,
    /// HTCondor: lines as APEL's scripts make them for grid accounting.
    HtcondorApel,
    /// The Standard Workload Format of the Parallel Workloads Archive.
    Swf,
    /// `kubectl get pods --output=json`.
    Kubernetes,
    /// A directory with Prometheus' blocks: series of kube-state-metrics.
    KubeStateMetrics,
    /// `run_id,start,end,nodes,…`
    RunsCsv,
    /// The same columns in Parquet.
    RunsParquet,
    /// CodeCarbon's `emissions.csv`.
    Codecarbon,
}

impl LogFormat {
    /// Those that files have, with the words for `--jobs-format`.
    pub const ALL: [(&'static str, Self); 15] = [
        ("sacct", Self::SacctText),
        ("sacct-json", Self::SacctJson),
        ("scontrol", Self::Scontrol),
        ("sacctmgr-tres", Self::TresTable),
        ("pbs", Self::Pbs),
        ("lsf", Self::Lsf),
        ("sge", Self::GridEngine),
        ("htcondor", Self::Htcondor),
        ("htcondor-json", Self::HtcondorJson),
        ("htcondor-apel", Self::HtcondorApel),
        ("swf", Self::Swf),
        ("kubernetes", Self::Kubernetes),
        ("csv", Self::RunsCsv),
        ("parquet", Self::RunsParquet),
        ("codecarbon", Self::Codecarbon),
    ];
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SacctText => "sacct text",
            Self::SacctJson => "sacct JSON",
            Self::Scontrol => "scontrol text",
            Self::TresTable => "sacctmgr's table of resources",
            Self::Pbs => "PBS accounting log",
            Self::Lsf => "LSF accounting file",
            Self::GridEngine => "Grid Engine accounting file",
            Self::Htcondor => "HTCondor history",
            Self::HtcondorJson => "HTCondor history in JSON",
            Self::HtcondorApel => "HTCondor lines for APEL",
            Self::Swf => "Standard Workload Format",
            Self::Kubernetes => "Kubernetes pods",
            Self::KubeStateMetrics => "kube-state-metrics series",
            Self::RunsCsv => "runs CSV",
            Self::RunsParquet => "runs Parquet",
            Self::Codecarbon => "CodeCarbon emissions CSV",
        })
    }
}

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.into_iter().find(|(word, _)| *word == text);
        found.map(|(_, format)| format).ok_or_else(|| UnknownFormat { text: text.to_owned() })
    }
}

/// A word that names no kind of log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no kind of job log")]
pub struct UnknownFormat {
    /// The word.
    pub text: String,
}

/// What the scheduler says that a node has.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct SchedulerNode {
    /// Its name in the scheduler.
    pub name: String,
    /// CPUs, as the scheduler counts them.
    pub cpus: Option<f64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<f64>,
    /// GPUs.
    pub gpus: Option<f64>,
}

/// One file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInput {
    /// Where it lies; `-` for standard input.
    pub path: PathBuf,
    /// What kind of log it is.
    pub format: LogFormat,
    /// The columns of a table, as they stand in it.
    pub columns: Vec<String>,
    /// SHA-256 of its bytes as they lie there, in hexadecimal; empty of a directory, and of what came as a stream.
    pub sha256: String,
}

/// Rows that are well formed and yet no run of their own, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Skipped {
    /// Jobs that wait, or that were cancelled before they started, and arrays as a whole.
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
    /// Runs of logs that name no nodes. They are kept in [`JobLog::runs`], where no energy can be given to them.
    pub without_nodes: u64,
}

/// Job logs, read.
#[derive(Clone, Debug, Default)]
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
    /// The files that were read.
    pub inputs: Vec<LogInput>,
    /// Nodes that the scheduler described (`scontrol show node`).
    pub nodes: Vec<SchedulerNode>,
    /// True if some time carried no offset and was read in [`Options::zone`].
    pub zone_assumed: bool,
    /// What a user should know about how the log was read.
    pub notes: Vec<String>,
}

/// Rejected lines that are kept with their text; beyond that they are counted.
pub const MAX_REJECTED: usize = 10_000;

/// Reads the job log at `path`, or standard input for `-`.
///
/// # Errors
///
/// [`JobsError`] if it cannot be opened, is no job log, or lacks a column that
/// is needed. Broken lines are no error; they are in [`JobLog::rejected`].
pub fn read(path: &Path, options: &Options) -> Result<JobLog, JobsError> {
    read_all(&[path.to_path_buf()], options)
}

/// Reads several job logs as one. Files that gzip or zstd packed are unpacked; of a directory with Prometheus'
/// blocks the series of kube-state-metrics are read.
///
/// # Errors
///
/// As [`read`], for the first of them that cannot be used.
pub fn read_all(paths: &[PathBuf], options: &Options) -> Result<JobLog, JobsError> {
    let logs: Vec<(&Path, &Options)> = paths.iter().map(|path| (path.as_path(), options)).collect();
    read_each(&logs)
}

/// Reads several job logs as one, each with options of its own.
///
/// # Errors
///
/// As [`read`], for the first of them that cannot be used.
pub fn read_each(logs: &[(&Path, &Options)]) -> Result<JobLog, JobsError> {
    let plain = Options::default();
    let first = logs.first().map_or(&plain, |(_, options)| *options);
    let mut collector = new_collector(first);
    for (path, options) in logs {
        collector.default_node.clone_from(&options.default_node);
        if path.is_dir() {
            pods::read(&mut collector, path)?;
            continue;
        }
        let opened = open::open(path).map_err(|source| JobsError::Io {
            doing: "open",
            path: path.to_path_buf(),
            source,
        })?;
        read_one(&mut collector, &opened.head, opened.reader, path, options)?;
        let read = |source| JobsError::Io { doing: "read", path: path.to_path_buf(), source };
        let sha256 = opened.raw.sha256().map_err(read)?;
        collector.inputs.last_mut().into_iter().for_each(|input| input.sha256.clone_from(&sha256));
    }
    Ok(finish(collector, first))
}

/// Reads a job log from `reader`; `path` names it in errors and rejected lines.
///
/// # Errors
///
/// As [`read`].
pub fn read_from(reader: impl BufRead, path: &Path, options: &Options) -> Result<JobLog, JobsError> {
    let io = |source| JobsError::Io { doing: "read", path: path.to_path_buf(), source };
    let (head, reader) = open::peek(reader, 64 << 10).map_err(io)?;
    let mut collector = new_collector(options);
    read_one(&mut collector, &head, std::io::BufReader::new(reader), path, options)?;
    Ok(finish(collector, options))
}

fn new_collector(options: &Options) -> collect::Collector {
    let mut collector = collect::Collector::default();
    collector.default_node.clone_from(&options.default_node);
    collector
}

fn finish(mut collector: collect::Collector, options: &Options) -> JobLog {
    if collector.zone_assumed {
        let note = format!("times carry no offset and were read in the zone `{}`", options.zone);
        collector.notes.insert(0, note);
    }
    collector.finish()
}

fn read_one(
    collector: &mut collect::Collector,
    head: &[u8],
    reader: impl BufRead,
    path: &Path,
    options: &Options,
) -> Result<(), JobsError> {
    let text = String::from_utf8_lossy(head);
    let first_line = text.trim_start_matches('\u{feff}').lines().find(|line| !line.trim().is_empty());
    let Some(first_line) = first_line else {
        return Err(JobsError::Empty { path: path.into() });
    };
    let unrecognised = || JobsError::unrecognised(path, first_line);
    let found = match (options.format, recognise::recognise(head, &options.columns)) {
        (None, found) => found.ok_or_else(unrecognised)?,
        (Some(format), Some(found)) if found.format == format => found,
        // Not what it looks like: tables have the separator of their header, if any.
        (Some(format), _) => {
            let separator =
                recognise::separator(first_line, format, &options.columns).ok_or_else(unrecognised)?;
            recognise::Recognised { format, separator }
        }
    };
    collector.begin(path);
    let columns = read_as(collector, found, reader, path, options)?;
    let (path, format) = (path.to_path_buf(), found.format);
    collector.inputs.push(LogInput { path, format, columns, sha256: String::new() });
    Ok(())
}

/// Reads a log of a known kind; returns its columns, if it is a table.
fn read_as(
    collector: &mut collect::Collector,
    found: recognise::Recognised,
    reader: impl BufRead,
    path: &Path,
    options: &Options,
) -> Result<Vec<String>, JobsError> {
    let lines = lines::Lines::new;
    match found.format {
        LogFormat::SacctJson => slurm::json::read(collector, reader, path)?,
        LogFormat::Kubernetes => kubernetes::read(collector, reader, path)?,
        // A directory, which is no stream: no file is recognised as one.
        LogFormat::KubeStateMetrics => return Err(JobsError::unrecognised(path, "")),
        LogFormat::HtcondorJson => htcondor::read_json(collector, reader),
        LogFormat::RunsParquet => return runs_csv::read_parquet(collector, path, options),
        LogFormat::Scontrol => slurm::scontrol::read(collector, lines(reader), path, options)?,
        LogFormat::TresTable => {
            slurm::tres_table::read(collector, lines(reader), found.separator, path)?;
        }
        LogFormat::Pbs => pbs::read(collector, lines(reader), path, options)?,
        LogFormat::Lsf => lsf::read(collector, lines(reader), path)?,
        LogFormat::GridEngine => sge::read(collector, lines(reader), path)?,
        LogFormat::Htcondor => htcondor::read(collector, lines(reader), path)?,
        LogFormat::HtcondorApel => htcondor::read_apel(collector, lines(reader), path)?,
        LogFormat::Swf => swf::read(collector, lines(reader), path)?,
        LogFormat::SacctText | LogFormat::RunsCsv | LogFormat::Codecarbon => {
            let separator = found.separator;
            let mut lines = lines(reader);
            let (number, names) = match options.columns.header() {
                Some(names) => (0, names.to_vec()),
                None => header(collector, &mut lines, found, path)?,
            };
            return match found.format {
                LogFormat::SacctText => {
                    let header = names.join(separator.encode_utf8(&mut [0; 4]));
                    slurm::sacct::read(collector, lines, &header, separator, path, options)
                }
                format => {
                    let header = (number, names);
                    runs_csv::read(collector, lines, header, (separator, format), path, options)
                }
            };
        }
    }
    Ok(Vec::new())
}

/// The names in the first line that is not blank, and its number.
fn header(
    collector: &mut collect::Collector,
    lines: &mut lines::Lines<impl BufRead>,
    found: recognise::Recognised,
    path: &Path,
) -> Result<(u64, Vec<String>), JobsError> {
    let io = |source| JobsError::Io { doing: "read", path: path.to_path_buf(), source };
    loop {
        match lines.next_line().map_err(io)? {
            None => return Err(JobsError::Empty { path: path.into() }),
            Some(lines::Line::Text { text, .. }) if text.trim().is_empty() => {}
            Some(lines::Line::Text { number, text }) if found.format == LogFormat::SacctText => {
                return Ok((number, text.split(found.separator).map(str::to_owned).collect()));
            }
            Some(lines::Line::Text { number, text }) => {
                let names = runs_csv::names(&text, found.separator).unwrap_or_else(|reason| {
                    collector.reject(number, reason, &text);
                    Vec::new()
                });
                return Ok((number, names));
            }
            Some(lines::Line::TooLong { .. }) => return Err(JobsError::unrecognised(path, "")),
        }
    }
}

/// The hosts of a list, or the reason why it is none.
fn expand_nodes(list: &str) -> Result<Vec<String>, RejectReason> {
    hostlist::expand(list).map_err(|source| RejectReason::BadHostList { text: error::shorten(list), source })
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
