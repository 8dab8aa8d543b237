//! `wattledger export`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::ledger_report::window;
use super::output::note;
use super::period::PeriodArgs;
use super::report::CellArgs;
use super::{Failure, Outcome};
use crate::config::{ConfigError, Request, find_file};
use crate::ledger::store::Store;
use crate::report::export::{Form, export};
use crate::time::parse_duration_ms;

/// A ledger's energy and emissions for other tools: Prometheus, tables, CodeCarbon.
///
/// As Prometheus series they are counters of the cluster, of nodes, users, accounts and runs: `wattledger_user_energy_joules_total`,
/// `wattledger_run_emissions_gco2e_total` and so on (docs/ledger.md). Blocks are put into the data directory of a Prometheus, whose
/// `--storage.tsdb.retention.time` must reach back to them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger export --ledger ledger --to tsdb --month 2026-10 --out blocks
  cp -r blocks/* /var/lib/prometheus/metrics2/

  wattledger export --ledger ledger --to openmetrics --month 2026-10 --out october.txt
  promtool tsdb create-blocks-from openmetrics october.txt blocks

  wattledger export --ledger ledger --to csv --out tables
  wattledger export --ledger ledger --to codecarbon --month last --out emissions.csv")]
pub(super) struct Args {
    /// Directory of the ledger.
    #[arg(long, value_name = "DIR")]
    ledger: PathBuf,
    /// In which form.
    #[arg(long, value_name = "FORM")]
    to: Target,
    /// File (openmetrics, codecarbon) or directory (tsdb, csv, parquet) to write.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Distance of samples, for openmetrics and tsdb: dashboards want less than five minutes.
    #[arg(long, value_name = "LENGTH", default_value = "4m")]
    step: String,
    /// Start, in the ledger's time zone unless it has an offset; default: where the ledger starts.
    #[arg(long, value_name = "TIME", conflicts_with = "period")]
    from: Option<String>,
    /// End, which does not belong to it; default: where the ledger ends.
    #[arg(long = "until", value_name = "TIME", conflicts_with = "period")]
    to_time: Option<String>,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    cells: CellArgs,
    /// What the site knows once; default: `wattledger.toml` in the working directory, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    /// Text for `promtool tsdb create-blocks-from openmetrics`.
    Openmetrics,
    /// Blocks for the data directory of a Prometheus.
    Tsdb,
    /// `entries.csv` and `runs.csv`.
    Csv,
    /// `entries.parquet` and `runs.parquet`.
    Parquet,
    /// CodeCarbon's `emissions.csv`, a row a run.
    Codecarbon,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let store = Store::open(&args.ledger)?;
    let (file, _) = find_file(args.config.as_deref())?;
    let zone = store.time_zone();
    let named = args.period.asked(zone)?.and_then(|period| period.window(zone));
    let request = Request { from: args.from.clone(), to: args.to_time.clone(), ..Request::default() };
    let window = match named {
        Some(window) => window,
        None => window(&store, &request, zone)?,
    };
    let step_ms = parse_duration_ms(&args.step).map_err(|error| ConfigError::Value {
        setting: "--step".to_owned(),
        reason: error.to_string(),
        hint: None,
    })?;
    let period = store.period(window, zone, &file.aliases()?)?;
    let form = match args.to {
        Target::Openmetrics => Form::OpenMetrics,
        Target::Tsdb => Form::Tsdb,
        Target::Csv => Form::Csv,
        Target::Parquet => Form::Parquet,
        Target::Codecarbon => Form::Codecarbon,
    };
    let written = export(&period, form, step_ms, args.cells.text(), &args.out)?;
    for words in &period.notes {
        note(format_args!("note: {words}"));
    }
    let simulated = if period.simulated { "SIMULATED " } else { "" };
    note(format_args!(
        "{simulated}{window}: wrote {} ({} files or blocks)",
        args.out.display(),
        written.len()
    ));
    Ok(Outcome::Done)
}
