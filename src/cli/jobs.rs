//! `wattledger jobs`.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::job_log::ReadingArgs;
use super::output::{data, note};
use super::{Failure, Outcome};
use crate::jobs::census::{Census, census};
use crate::jobs::{JobLog, SACCT_COMMAND};
use crate::plain_text::visible;

/// What is understood of job logs: runs by state, users, nodes, time span, CPU and GPU hours, and each line that
/// cannot be used with its reason.
///
/// Reads, each recognised from its content (`--jobs-format` overrides): Slurm (`sacct -P`, `-p` or any --delimiter,
/// `sacct --json`, `scontrol show job -d`, `scontrol show node`), PBS Pro, OpenPBS and Torque (accounting log), LSF
/// (lsb.acct), Grid Engine (accounting), HTCondor (history files, `condor_history -long` or -json), SWF, Kubernetes
/// (`kubectl get pods -A -o json`, or a snapshot with series of kube-state-metrics), tables of runs in CSV or Parquet,
/// and CodeCarbon's emissions.csv. Files may be packed with gzip or zstd; `-` is standard input. Several files are read as one log.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sacct --allusers --duplicates --parsable2 --starttime=2024-05-01 --format=ALL | wattledger jobs -
  wattledger jobs sacct.txt scontrol_job.txt scontrol_node.txt
  wattledger jobs /var/spool/pbs/server_priv/accounting/2024050*
  wattledger jobs mine.csv --jobs-columns run_id=Job,start=Begin,end=Finish,nodes=Host

Exit status: 0 done, 1 failed, 2 wrong usage, 3 lines were left out (with --strict).")]
pub(super) struct Args {
    /// Job logs; `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Exit with status 3 if any line had to be left out.
    #[arg(long)]
    strict: bool,
}

/// Names listed of each kind.
const SHOWN: usize = 10;
/// Rejected lines listed.
const REJECTED_SHOWN: usize = 100;

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let log = args.reading.read(&args.files, args.reading.zone()?)?;
    data(&text(&log, &census(&log)))?;
    if log.runs.is_empty() && log.nodes.is_empty() {
        note(format_args!("no run was found; jobs are exported with `{SACCT_COMMAND}`"));
    }
    Ok(if args.strict && log.rejected_total > 0 { Outcome::LeftOut } else { Outcome::Done })
}

fn text(log: &JobLog, census: &Census) -> String {
    let mut text = String::new();
    let mut line = |name: &str, words: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<10} {}", visible(&words));
    };
    for input in &log.inputs {
        let columns = match input.columns.len() {
            0 => String::new(),
            count => format!(", {count} columns"),
        };
        line("log", format!("{}: {}{columns}", input.path.display(), input.format));
    }
    let covered = log.covered.map_or("nothing".to_owned(), |covered| covered.to_string());
    line("runs", format!("{}, {} of them still running", census.runs, census.running));
    line("time", covered);
    for (state, count) in &census.states {
        let state = if state.is_empty() { "(no state)" } else { state };
        line("state", format!("{state}: {count}"));
    }
    let names = |counts: &[(String, u64)]| {
        let shown: Vec<String> =
            counts.iter().take(SHOWN).map(|(name, count)| format!("{name} ({count})")).collect();
        let more = counts.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}: {}{more}", counts.len(), shown.join(", "))
    };
    for (name, counts) in [
        ("users", &census.users),
        ("accounts", &census.accounts),
        ("partitions", &census.partitions),
        ("nodes", &census.nodes),
        ("stages", &census.stages),
    ] {
        if !counts.is_empty() {
            line(name, names(counts));
        }
    }
    if !log.nodes.is_empty() {
        line("described", format!("nodes with their size: {}", log.nodes.len()));
    }
    line("node hours", format!("{:.2}", census.node_hours));
    line("CPU hours", hours(census.cpu_hours, census.runs, census.with_cpus));
    line("GPU hours", hours(census.gpu_hours, census.runs, census.with_gpus));
    if census.bound_gpus > 0 {
        line("GPU ids", format!("known of {} runs", census.bound_gpus));
    }
    let skipped = &log.skipped;
    for (count, words) in [
        (skipped.never_started, "jobs that never started"),
        (skipped.steps, "steps, folded into their jobs"),
        (skipped.orphan_steps, "of them without a job in the log"),
        (skipped.duplicates, "rows that stand there twice"),
        (skipped.superseded, "rows that a later one of the same run replaces"),
        (skipped.zero_length, "runs that ended as they started"),
        (skipped.without_nodes, "runs that name no node"),
    ] {
        if count > 0 {
            line("counted", format!("{words}: {count}"));
        }
    }
    for words in &log.notes {
        line("note", words.clone());
    }
    if log.rejected_total > 0 {
        line("left out", format!("{} lines", log.rejected_total));
        for rejected in log.rejected.iter().take(REJECTED_SHOWN) {
            line("left out", rejected.to_string());
        }
        let more = log.rejected_total.saturating_sub(REJECTED_SHOWN as u64);
        if more > 0 {
            line("left out", format!("{more} more lines"));
        }
    }
    text
}

/// Hours, and of how many runs they are known.
fn hours(hours: f64, runs: u64, known: u64) -> String {
    match (runs, known) {
        (_, 0) => "not known".to_owned(),
        (runs, known) if runs == known => format!("{hours:.2}"),
        (runs, known) => format!("{hours:.2} (of {known} of {runs} runs)"),
    }
}
