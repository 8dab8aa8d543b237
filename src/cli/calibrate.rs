//! `wattledger calibrate`.

use std::io::Write as _;
use std::path::PathBuf;

use super::output::{data, note};
use super::{Failure, Outcome};
use crate::config::{Plan, Request, find_file};
use crate::ledger;
use crate::source::{Snapshot, Source};
use crate::whole_file;

/// Fits power curves to devices that have both a utilisation and a meter, for siblings that have no meter.
///
/// For each hardware model the power at rest, what full load adds, and how far the curve bends, from every interval between
/// scrapes that the meter knows in full, with the error on devices that were left out of the fit in turn. `report
/// --calibration FILE` then models devices of the same model name by it (`modelled:calibrated`). A snapshot of a week with busy and
/// idle hours is plenty.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  wattledger calibrate --snapshot snapshots/20261123T135522Z-3c5e611d6275204e --out calibration.toml
  wattledger report --snapshot SNAPSHOT --jobs sacct.txt --zone DE --calibration calibration.toml

Exit status: 0 done, 1 failed or nothing to fit, 2 wrong usage.")]
pub(super) struct Args {
    /// Prometheus snapshot, data directory, folder of TSDB blocks, or one block.
    #[arg(long, value_name = "DIR")]
    snapshot: PathBuf,
    /// What the site knows once; default: `wattledger.toml` in the working directory, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Start of the time looked at; default: where the data starts.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the time looked at; default: where the data ends.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// File for the curves; without it they go to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let source = Snapshot::open(&args.snapshot)?;
    let (file, _) = find_file(args.config.as_deref())?;
    let request = Request { from: args.from.clone(), to: args.to.clone(), ..Request::default() };
    let plan = Plan::new(&request, &file, source.time_range())?;
    let (calibration, notes) = ledger::calibrate(&source, &plan.rules)?;
    for words in &notes {
        note(format_args!("not fitted: {words}"));
    }
    if calibration.calibrated.is_empty() {
        note("no device has both a utilisation and a meter: nothing to fit");
        return Ok(Outcome::NotFound);
    }
    let comment = format!(
        "Power curves by wattledger calibrate, fitted to {} over {}.\n\
         P(u) = idle_w + slope_w·u + bend_w·u·(1 − u), of one socket or GPU. error_percent: mean error on machines left out in turn;\n\
         low_percent and high_percent: what 90 % of their energy lay between, against the curve, widened for one more machine. dram: of 10⁹ bytes, beside processors of that name.",
        source.name(),
        plan.rules.window
    );
    let text = calibration.to_text(&comment);
    match &args.out {
        Some(path) => {
            let failed = |source| Failure::Io { doing: format!("write `{}`", path.display()), source };
            whole_file::write(path, failed, |file| file.write_all(text.as_bytes()).map_err(failed))?;
            for row in &calibration.calibrated {
                if row.component == "dram" {
                    note(format_args!(
                        "dram beside {}: {:.4} W/GB, {:.1} % off ({} points of {} machines)",
                        row.model, row.idle_w, row.error_percent, row.points, row.machines
                    ));
                    continue;
                }
                note(format_args!(
                    "{} {}: {:.1} W at rest, {:.1} W at full load, {:.1} % off ({} points of {} machines)",
                    row.component,
                    row.model,
                    row.idle_w,
                    row.curve().power(1.0).value(),
                    row.error_percent,
                    row.points,
                    row.machines
                ));
            }
        }
        None => data(&text)?,
    }
    Ok(Outcome::Done)
}
