//! The command line: a file for each command with its flags, its help and its
//! call into the library. Nothing else in the program prints.

mod backfill;
mod calibrate;
mod charts;
mod compare;
mod completions;
mod convert;
mod demo;
mod explain;
mod export;
mod fetch;
mod hardware;
mod inputs;
mod inspect;
mod intensity;
mod interrupt;
mod job_log;
mod jobs;
mod ledger_report;
mod man;
mod mark;
mod output;
mod period;
mod provenance;
mod report;
mod server;
mod simulate;
mod summary;
mod verify;
mod whatif;

pub use interrupt::listen;

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use clap::{Parser, Subcommand};

use crate::carbon::CarbonError;
use crate::carbon::fetch::FetchError;
use crate::config::ConfigError;
use crate::jobs::JobsError;
use crate::jobs::mark::MarkError;
use crate::ledger::LedgerError;
use crate::ledger::backfill::BackfillError;
use crate::ledger::store::{PeriodError, StoreError};
use crate::plain_text::visible;
use crate::report::ReportError;
use crate::report::export::ExportError;
use crate::simulate::SimulateError;
use crate::source::SourceError;
use crate::source::dump::DumpError;
use crate::source::remote::RemoteError;
use crate::tsdb::TsdbError;

/// Energy and carbon ledger for compute clusters.
///
/// Reads what a cluster already records (Prometheus time series and the
/// scheduler's job log), works out where every joule went, prices it with the
/// carbon intensity of its hour and zone, and closes the books: what the meters
/// saw equals what runs, idle time and the unattributed rest add up to.
#[derive(Debug, Parser)]
#[command(
    name = "wattledger",
    version = env!("WATTLEDGER_VERSION"),
    arg_required_else_help = true,
    after_help = "Examples:
  wattledger demo
  wattledger inspect --snapshot /data/snapshots/20261123T135522Z-3c5e611d6275204e
  wattledger report --snapshot /data/snapshots/20261123T135522Z-3c5e611d6275204e \\
      --jobs sacct.txt --zone DE --from 2026-11-16 --to 2026-11-23 --out report
  wattledger whatif --snapshot SNAPSHOT --jobs sacct.txt --zone DE --zones FR,SE --shift 24h
  wattledger jobs sacct.txt
  wattledger hardware \"NVIDIA H100 80GB HBM3\"
  wattledger fetch --prometheus http://localhost:9090 --last 7d --out blocks
  wattledger convert dump.txt.gz --out blocks

Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but data was left out (with --strict), 130 interrupted (Ctrl-C),\n143 terminated."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Report(Box<report::Args>),
    Backfill(Box<backfill::Args>),
    Reprice(backfill::RepriceArgs),
    Verify(verify::Args),
    Export(Box<export::Args>),
    Inspect(inspect::Args),
    Jobs(jobs::Args),
    Mark(mark::Args),
    Hardware(hardware::Args),
    Intensity(intensity::Args),
    Calibrate(calibrate::Args),
    Compare(compare::Args),
    Whatif(Box<whatif::Args>),
    Fetch(Box<fetch::Args>),
    Convert(convert::Args),
    Simulate(simulate::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl From<CarbonError> for Failure {
    fn from(error: CarbonError) -> Self {
        Self::Config(error.into())
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All done.
    Done,
    /// Done, but data was left out, and the user asked to be told.
    LeftOut,
    /// The books do not balance: written under other names.
    Unbalanced,
    /// What was asked for is in no table.
    NotFound,
    /// A ledger is not what was written.
    Unsound,
}

impl Outcome {
    /// The process' exit status.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unbalanced | Self::NotFound | Self::Unsound => 1,
            Self::LeftOut => 3,
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The job log.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// A window marked by hand.
    #[error("cannot mark the run")]
    Mark(#[from] MarkError),
    /// A provider of intensities.
    #[error("cannot fetch intensities")]
    Intensity(#[from] FetchError),
    /// The series.
    #[error("cannot open the snapshot")]
    Source(#[from] SourceError),
    /// The server.
    #[error("cannot fetch")]
    Remote(#[from] RemoteError),
    /// A saved input.
    #[error("cannot convert")]
    Dump(#[from] DumpError),
    /// A ledger could not be exported.
    #[error("cannot export")]
    Export(#[from] ExportError),
    /// The ledger on disk cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger on disk cannot be brought up to date.
    #[error(transparent)]
    Backfill(#[from] BackfillError),
    /// The ledger on disk has no books of a period.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// The books.
    #[error("cannot make the books")]
    Ledger(#[from] LedgerError),
    /// The report.
    #[error("cannot make the report")]
    Report(#[from] ReportError),
    /// The simulation.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    /// The operating system refused.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's own words.
        source: std::io::Error,
    },
}

impl Failure {
    /// The process' exit status.
    pub fn code(&self) -> u8 {
        match self {
            Self::Config(error) if error.is_usage() => 2,
            Self::Store(error) | Self::Backfill(BackfillError::Store(error)) if error.is_usage() => 2,
            Self::Period(error) if error.is_usage() => 2,
            Self::Intensity(FetchError::UnknownProvider { .. } | FetchError::NoZone { .. }) => 2,
            Self::Remote(error) if error.is_usage() => 2,
            Self::Simulate(SimulateError::Scenario { .. }) => 2,
            _ => 1,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Store(error) | Self::Backfill(BackfillError::Store(error)) => error.hint(),
            Self::Period(error) => error.hint(),
            Self::Jobs(error) => error.hint(),
            Self::Mark(MarkError::Started { name, .. }) => {
                Some(format!("stop it with `wattledger mark stop {name}`, or give the new one another name"))
            }
            Self::Mark(MarkError::NotStarted { name, .. }) => {
                Some(format!("start it with `wattledger mark start {name}`, or name its file with `--file`"))
            }
            Self::Source(SourceError::Tsdb(TsdbError::BlocksInside { inside, .. })) => {
                let (first, others) = inside.split_first()?;
                let flag = format!("`--snapshot {}`", first.display());
                Some(if others.is_empty() {
                    format!("give {flag}")
                } else {
                    format!("give one of them, as in {flag}: each is a database of its own")
                })
            }
            Self::Intensity(error) => error.hint(),
            Self::Remote(error) => error.hint(),
            Self::Dump(error) => error.hint().map(str::to_owned),
            Self::Source(SourceError::Tsdb(TsdbError::Io { path, .. } | TsdbError::Unsupported { path, .. }))
                if path.is_file() =>
            {
                Some(format!(
                    "if it is a dump, an export or a saved answer, make blocks of it: \
                     `wattledger convert {} --out blocks`, then `--snapshot blocks`",
                    path.display()
                ))
            }
            Self::Source(SourceError::Tsdb(TsdbError::NoBlocks { path })) if holds_files(path) => Some(format!(
                "give a snapshot (`<data>/snapshots/<name>`), a data directory (with `wal/`) or a folder of blocks; \
                 saved answers and dumps are made into blocks with `wattledger convert {} --out blocks`",
                path.display()
            )),
            Self::Source(SourceError::Tsdb(_)) => Some(
                "give a snapshot (`<data>/snapshots/<name>`), a data directory (with `wal/`), a folder of blocks, \
                 or one block: a directory that holds `meta.json`, `index` and `chunks/`"
                    .to_owned(),
            ),
            Self::Simulate(SimulateError::Busy { .. }) => {
                Some("wait for it, or choose another directory with `--out`".to_owned())
            }
            Self::Simulate(SimulateError::Exists { .. }) => {
                Some("remove it, or choose another directory with `--out`".to_owned())
            }
            Self::Export(ExportError::NotEmpty { .. } | ExportError::Write(_)) => {
                Some("choose another place with `--out`".to_owned())
            }
            Self::Report(ReportError::Write(_)) => Some("choose another directory with `--out`".to_owned()),
            _ => None,
        }
    }

    /// The whole chain of causes in one line, and what to try in another.
    pub fn text(&self) -> String {
        let mut text = format!("error: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            let said = error.to_string();
            // A transparent layer says the same as what it wraps.
            if !text.ends_with(&said) {
                let _ = write!(text, ": {said}");
            }
            cause = error.source();
        }
        if let Some(hint) = self.hint() {
            let _ = write!(text, "\nhint: {hint}");
        }
        // Names of others stand in it, too.
        text.lines().map(visible).collect::<Vec<_>>().join("\n")
    }
}

/// True if files lie in the directory itself, as dumps would.
fn holds_files(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
    })
}

/// Runs the command.
///
/// # Errors
///
/// [`Failure`], with its text and exit status.
pub fn run(cli: Cli) -> Result<Outcome, Failure> {
    match cli.command {
        Command::Report(args) => report::run(&args),
        Command::Backfill(args) => backfill::run(&args),
        Command::Reprice(args) => backfill::reprice(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Jobs(args) => jobs::run(&args),
        Command::Mark(args) => mark::run(&args),
        Command::Hardware(args) => hardware::run(&args),
        Command::Intensity(args) => intensity::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Whatif(args) => whatif::run(&args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
