//! `wattledger compare`.

use std::path::PathBuf;

use super::charts::ChartArgs;
use super::job_log::JobsArgs;
use super::output::{bar, note, wrote};
use super::report::{CellArgs, can_be_written};
use super::{Failure, Outcome};
use crate::config::{Plan, Request, find_file};
use crate::figures::{energy, percent};
use crate::ledger::{self, Jobs};
use crate::report::write_comparison;
use crate::source::{Snapshot, Source};
use crate::units::Joules;

/// The same runs under several methods side by side: what the meters saw, and what other tools' rules would have said.
///
/// Writes compare.csv with a row for each run and a column and a difference for each method, compare_methods.csv with the
/// totals of each, and the chart compare.png. Methods: report (as `wattledger report` does it), ceems (meters, shared by CEEMS' rules), calibrated
/// (with --calibration), and, without any meter, tdp_linear (AI_Co2_Calculator), codecarbon, ccf, teads, boavizta and
/// green_algorithms. A run of which a method knows less than 90 % has no figure there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  wattledger compare --snapshot snapshots/20261123T135522Z-3c5e611d6275204e \\
      --jobs sacct.txt --out compare")]
pub(super) struct Args {
    /// Prometheus snapshot, data directory, folder of TSDB blocks, or one block.
    #[arg(long, value_name = "DIR")]
    snapshot: PathBuf,
    #[command(flatten)]
    jobs: JobsArgs,
    /// Start of the comparison; default: where the data starts.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the comparison, which does not belong to it; default: where the data ends.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Directory for the files.
    #[arg(long, value_name = "DIR", default_value = "wattledger-compare")]
    out: PathBuf,
    /// What the site knows once; default: `wattledger.toml` in the working directory, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Curves of `wattledger calibrate`.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    charts: ChartArgs,
    #[command(flatten)]
    cells: CellArgs,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    can_be_written(&args.out)?;
    let source = Snapshot::open(&args.snapshot)?;
    let (file, _) = find_file(args.config.as_deref())?;
    let request = Request {
        from: args.from.clone(),
        to: args.to.clone(),
        calibration: args.calibration.clone(),
        jobs_tz: args.jobs.zone_name().cloned(),
        ..Request::default()
    };
    let plan = Plan::new(&request, &file, source.time_range())?;
    let log = args.jobs.read(plan.jobs_tz)?;
    let jobs = Jobs::of(log.as_ref());
    let bar = bar("methods");
    let accounts = ledger::compare(&source, jobs, &plan.rules, &|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let accounts = accounts?;
    let simulated = if source.is_simulated() { "SIMULATED · " } else { "" };
    let subtitle = format!("{simulated}{}", plan.rules.window);
    let wanted = (args.charts.files(), args.cells.text());
    let written = write_comparison(&args.out, &accounts, jobs.runs, &subtitle, wanted)?;
    for account in &accounts {
        let kwh = Joules(account.all.sum_j()).to_kwh().value();
        let known = percent(account.all.known);
        note(format_args!("{:<17} {:>10}, {known} of the time known", account.name, energy(kwh)));
    }
    wrote(&args.out, &written);
    Ok(Outcome::Done)
}
