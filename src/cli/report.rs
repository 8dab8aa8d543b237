//! `wattledger report`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::charts::ChartArgs;
use super::explain::explain;
use super::inputs::{InputArgs, Inputs, Opened};
use super::ledger_report::{self, Asked, FromLedger};
use super::output::{lines, wrote};
use super::provenance::provenance;
use super::summary::print_summary;
use super::{Failure, Outcome};
use crate::carbon::Matching;
use crate::config::{ConfigError, Defaults, Request, find_file, reporting_zone};
use crate::ledger::Books;
use crate::ledger::store::Store;
use crate::report::{CellText, Entries, EntryLines, Formats, GroupBy, Report, SplitBy, Subject};

/// Energy and emissions of every run, user and node: a page, CSV tables and charts.
///
/// Reads a Prometheus snapshot, or fetches from a server, and a job log, and writes report.html (one file with all of it),
/// report.md (for a chat or a wiki), runs.csv, hourly.csv, by_user.csv, by_account.csv, by_stage.csv, by_partition.csv, by_state.csv, by_node.csv, by_site.csv, by_day.csv, reserved.csv, meters.csv,
/// embodied.csv, statement.csv, summary.json and eleven charts. What no run used stands in lines of its own, so
/// that every table adds up to what the meters saw.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sacct -a -S 2026-11-16 -E 2026-11-23 -P -o ALL > sacct.txt
  wattledger report --snapshot snapshots/20261123T135522Z-3c5e611d6275204e \\
      --jobs sacct.txt --zone DE --from 2026-11-16 --to 2026-11-23 --out report

  Real hours of carbon intensity instead of the shipped yearly figures:
  wattledger report --snapshot SNAPSHOT --jobs sacct.txt --zone DE \\
      --intensity DE_2026_hourly.csv --out report

  Last week, from a running server:
  wattledger report --prometheus http://localhost:9090 --last 7d --jobs sacct.txt \\
      --zone DE --out report

  Without any series, from the job log alone (wattledger.toml says which processors and GPUs the nodes have):
  wattledger report --jobs sacct.txt --zone DE --out report

  A month of a ledger that `wattledger backfill` made, beside the month before, and what it cost:
  wattledger report --ledger ledger --month 2026-10 --compare previous --price 0.25EUR \\
      --split-by account

  What would be done, and with which method for each device:
  wattledger report --snapshot SNAPSHOT --jobs sacct.txt --zone DE --explain")]
pub(super) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    /// Ledger of `wattledger backfill` to report on, in place of samples and a job log.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["snapshot", "prometheus", "files", "zone", "intensity", "basis", "pue",
        "power_model", "calibration", "share", "gpu_in_node_meter", "edges", "jobs_from", "jobs_to", "jobs_tz", "jobs_format", "jobs_columns", "jobs_node", "explain"])]
    ledger: Option<PathBuf>,
    /// Contracts, certificates and residual mixes for the market-based figure, as CSV (docs/statement.md); with direct factors.
    #[arg(long, value_name = "FILE")]
    contracts: Option<PathBuf>,
    /// How contracts' volumes are matched with what was used: `annual` (default) or `hourly`.
    #[arg(long, value_name = "annual|hourly")]
    matching: Option<MatchingChoice>,
    /// Earlier period of the ledger to set beside this one, in change.csv and a chart: `previous`, or as `2025-10`.
    #[arg(long, value_name = "PERIOD", requires = "ledger")]
    compare: Option<String>,
    /// By what the by_ tables sum up; default: all of them.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    by: Vec<Group>,
    /// Write a small report besides for each account, user or partition, into a directory of its own.
    #[arg(long, value_name = "WHAT")]
    split_by: Option<Split>,
    /// Price of a kilowatt-hour at the building's meter, for costs: `0.25EUR`.
    #[arg(long, value_name = "PRICE")]
    price: Option<String>,
    /// Directory for the report.
    #[arg(long, value_name = "DIR", default_value = Defaults::OUT)]
    out: PathBuf,
    #[command(flatten)]
    charts: ChartArgs,
    /// Write entries.csv besides: every row of the ledger, device × run × hour.
    #[arg(long, conflicts_with = "ledger")]
    entries: bool,
    /// Write no report.html.
    #[arg(long)]
    no_html: bool,
    /// Write no report.md.
    #[arg(long)]
    no_md: bool,
    #[command(flatten)]
    cells: CellArgs,
    /// Exit with status 3 if any data had to be left out.
    #[arg(long)]
    strict: bool,
    /// Print the plan and stop.
    #[arg(long)]
    explain: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MatchingChoice {
    /// Over the whole of the period that lies in the report.
    Annual,
    /// In each hour on its own.
    Hourly,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Group {
    Account,
    User,
    Partition,
    Node,
    Stage,
    Site,
    State,
    Day,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Split {
    Account,
    User,
    Partition,
}

impl Group {
    fn meant(self) -> GroupBy {
        match self {
            Self::Account => GroupBy::Account,
            Self::User => GroupBy::User,
            Self::Partition => GroupBy::Partition,
            Self::Node => GroupBy::Node,
            Self::Stage => GroupBy::Stage,
            Self::Site => GroupBy::Site,
            Self::State => GroupBy::State,
            Self::Day => GroupBy::Day,
        }
    }
}

/// How texts stand in CSV.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct CellArgs {
    /// Write texts into CSV as they are: without it those that a spreadsheet would take for a formula get an apostrophe.
    #[arg(long)]
    raw_csv: bool,
}

impl CellArgs {
    pub(super) fn text(self) -> CellText {
        if self.raw_csv { CellText::Raw } else { CellText::Guarded }
    }
}

/// What is to become of the inputs.
pub(super) struct Wanted {
    pub(super) out: PathBuf,
    pub(super) formats: Formats,
    /// True for a table of all rows.
    pub(super) entries: bool,
    pub(super) strict: bool,
    pub(super) explain: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let formats = Formats {
        charts: args.charts.files(),
        html: !args.no_html,
        markdown: !args.no_md,
        cells: args.cells.text(),
        split: args.split_by.map(|split| match split {
            Split::Account => SplitBy::Account,
            Split::User => SplitBy::User,
            Split::Partition => SplitBy::Partition,
        }),
        by: args.by.iter().map(|group| group.meant()).collect(),
    };
    let wanted = Wanted {
        out: args.out.clone(),
        formats,
        entries: args.entries,
        strict: args.strict,
        explain: args.explain,
    };
    let matching = args.matching.map(|matching| match matching {
        MatchingChoice::Annual => Matching::Annual,
        MatchingChoice::Hourly => Matching::Hourly,
    });
    if let Some(ledger) = &args.ledger {
        return from_ledger(args, ledger, matching, &wanted);
    }
    let mut inputs = args.inputs.gather()?;
    inputs.request.contracts.clone_from(&args.contracts);
    inputs.request.matching = matching;
    inputs.request.price.clone_from(&args.price);
    match make(&inputs, &wanted)? {
        Outcome::Done if inputs.lossy && args.strict => Ok(Outcome::LeftOut),
        outcome => Ok(outcome),
    }
}

/// A report on a period of a ledger.
fn from_ledger(
    args: &Args,
    ledger: &Path,
    matching: Option<Matching>,
    wanted: &Wanted,
) -> Result<Outcome, Failure> {
    can_be_written(&wanted.out)?;
    let store = Store::open(ledger)?;
    let (file, config) = find_file(args.inputs.rules.prices.config.as_deref())?;
    let typed = args.inputs.rules.request();
    let zone = match &typed.time_zone {
        Some(_) => reporting_zone(&typed, &file)?,
        None => store.time_zone(),
    };
    let (from, to) = args.inputs.times(zone)?;
    let (contracts, price) = (args.contracts.clone(), args.price.clone());
    let request = Request { from, to, contracts, matching, price, ..typed };
    let window = ledger_report::window(&store, &request, zone)?;
    let asked = |window| Asked {
        store: &store,
        window,
        time_zone: zone,
        request: &request,
        file: &file,
        config: config.as_ref(),
    };
    let mut read = FromLedger::read(&asked(window))?;
    let earlier = match &args.compare {
        Some(text) => {
            let now = args.inputs.asked_period(zone)?;
            let (now, then, window) = ledger_report::earlier(text, now, window, zone)?;
            let earlier = FromLedger::read(&asked(window))?;
            // A part of a month is no month.
            let notes = earlier.period.notes.iter().map(|note| format!("{then}: {note}"));
            read.provenance.notes.extend(notes);
            Some((now, then, earlier))
        }
        None => None,
    };
    let earlier_report = match &earlier {
        Some((_, _, read)) => Some(Report::new(read.subject(), &read.period.entries)?),
        None => None,
    };
    let mut report = Report::new(read.subject(), &read.period.entries)?;
    if let (Some((now, then, _)), Some(earlier)) = (&earlier, &earlier_report) {
        report = report.beside(now.clone(), then.clone(), earlier)?;
    }
    let written = report.write(&wanted.out, &wanted.formats)?;
    print_summary(&report.digest()?, &read.provenance);
    wrote(&wanted.out, &written);
    Ok(if !read.period.books.balances.close() {
        Outcome::Unbalanced
    } else if wanted.strict && !read.period.left_out.is_empty() {
        Outcome::LeftOut
    } else {
        Outcome::Done
    })
}

/// Makes a report, or with `explain` says how it would be made.
pub(super) fn make(inputs: &Inputs, wanted: &Wanted) -> Result<Outcome, Failure> {
    if !wanted.explain {
        can_be_written(&wanted.out)?;
    }
    let opened = inputs.open()?;
    let (source, plan, log) = (opened.source.as_ref(), &opened.plan, opened.log.as_ref());
    if wanted.explain {
        lines(&explain(source, plan, log, inputs)?)?;
        return Ok(Outcome::Done);
    }
    let (runs, buckets) = (opened.jobs().runs, plan.rules.buckets());
    let lines = || EntryLines::new(&buckets, runs, plan.intensity.basis(), wanted.formats.cells);
    let lines = wanted.entries.then(lines);
    let mut entries = lines.as_ref().map(|lines| Entries::begin(&wanted.out, lines));
    let (books, rollup) = opened.close_books_for_report(entries.as_mut().zip(lines.as_ref()))?;
    let provenance = provenance(source, plan, log, &books, inputs);
    let subject = Subject {
        books: &books,
        runs,
        basis: plan.intensity.basis(),
        contracts: plan.statement.contracts.as_ref(),
        matching: plan.statement.matching,
        purchases: plan.statement.purchases.as_ref(),
        price: plan.statement.price.as_ref(),
        time_zone: plan.rules.time_zone,
        provenance: &provenance,
    };
    let report = Report::of_rollup(subject, rollup)?.with_entries(entries.map(Entries::ended));
    let written = report.write(&wanted.out, &wanted.formats)?;
    print_summary(&report.digest()?, &provenance);
    wrote(&wanted.out, &written);
    Ok(if !books.balances.close() {
        Outcome::Unbalanced
    } else if wanted.strict && has_left_out(&opened, &books) {
        Outcome::LeftOut
    } else {
        Outcome::Done
    })
}

/// Before any work, not after it: refuses a file where the directory for the output should be.
pub(super) fn can_be_written(out: &Path) -> Result<(), ConfigError> {
    if !out.exists() || out.is_dir() {
        return Ok(());
    }
    Err(ConfigError::Value {
        setting: "--out".to_owned(),
        reason: format!("`{}` exists and is not a directory", out.display()),
        hint: Some("choose another directory".to_owned()),
    })
}

fn has_left_out(opened: &Opened, books: &Books) -> bool {
    opened.source.left_out().iter().any(|left| left.is_problem)
        || opened.log.as_ref().is_some_and(|log| log.rejected_total > 0)
        || books.read.chunks_damaged > 0
        || !books.read.chunks_skipped.is_empty()
        || opened.plan.intensity.inputs().iter().any(|input| input.rejected > 0)
}
