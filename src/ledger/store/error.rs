//! Why a ledger cannot be read or written.

use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use chrono_tz::Tz;

use crate::jobs::JobsError;

/// See the module's description.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error("`{}` is no ledger: there is no `ledger.json` in it", path.display())]
    NoLedger {
        /// The directory.
        path: PathBuf,
    },
    /// A new one would lie among other things.
    #[error("`{}` holds other files, a new ledger needs a directory of its own", path.display())]
    OtherFiles {
        /// The directory.
        path: PathBuf,
    },
    /// Written by a later version.
    #[error("the ledger `{}` has layout {layout}, this program reads layouts up to {}", path.display(), super::LAYOUT)]
    Layout {
        /// The directory.
        path: PathBuf,
        /// Its layout.
        layout: u32,
    },
    /// Its days are those of another zone.
    #[error("the ledger `{}` has the days of {has}, not of {asked}", path.display())]
    TimeZone {
        /// The directory.
        path: PathBuf,
        /// The zone asked for.
        asked: Tz,
        /// The zone that it has.
        has: Tz,
    },
    /// Somebody else writes to it.
    #[error("another process is at work on the ledger `{}`", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// Doing what.
        doing: &'static str,
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A day that is asked for is damaged or not there.
    #[error("the ledger has no {date}")]
    NoDay {
        /// The day.
        date: NaiveDate,
    },
    /// A day was written while it was read.
    #[error("{date} changed while it was read")]
    Changing {
        /// The day.
        date: NaiveDate,
    },
    /// A day's rows are of runs that the kept job logs do not tell of.
    #[error("{date} has rows of a run that is not in `runs.parquet`")]
    UnknownRun {
        /// The day.
        date: NaiveDate,
    },
    /// A job log cannot be kept.
    #[error("`{}` is a directory: the ledger keeps job logs that are files", path.display())]
    LogIsDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A job log that it had is lost.
    #[error("the job log `{name}` is lost: `{}` is not there", path.display())]
    LogLost {
        /// What it was called.
        name: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// A job log cannot be read.
    #[error("cannot read the job logs")]
    Jobs(#[from] JobsError),
}

impl StoreError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path: path.clone(), source }
    }

    /// True where the user asked for what cannot be.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoLedger { .. }
                | Self::OtherFiles { .. }
                | Self::TimeZone { .. }
                | Self::LogIsDirectory { .. }
        )
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoLedger { path } => {
                format!(
                    "make one with `wattledger backfill --ledger {} --snapshot DIR --jobs FILE`",
                    path.display()
                )
            }
            Self::OtherFiles { .. } => "name an empty or a new directory with `--ledger`".to_owned(),
            Self::Layout { .. } => "take the version of wattledger that wrote it, or a later one".to_owned(),
            Self::TimeZone { has, .. } => {
                format!("leave out `--time-zone`, or say `{has}`; another zone needs a ledger of its own")
            }
            Self::Locked { .. } => {
                "wait until it has ended: what it does is safe, and so is trying again".to_owned()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room and run the same command again: the ledger is as it was before this file"
                    .to_owned()
            }
            Self::Damaged { path, .. }
                if path.extension().is_some_and(|extension| extension == "parquet") =>
            {
                format!(
                    "remove `{}` and run `wattledger backfill` with the snapshot of that day again",
                    path.display()
                )
            }
            Self::UnknownRun { .. } => "run `wattledger backfill` again: with the job log that tells of it, read as before, or with the \
                 samples of that day"
                .to_owned(),
            Self::Changing { .. } => "run the same command again".to_owned(),
            Self::NoDay { .. } => "`wattledger verify` says what the ledger has".to_owned(),
            Self::LogIsDirectory { path } => format!(
                "make a table of it: `wattledger jobs {} > runs.csv`, then `--jobs runs.csv`",
                path.display()
            ),
            Self::LogLost { name, .. } => format!("give `{name}` again with `--jobs`"),
            Self::Jobs(error) => return error.hint(),
            _ => return None,
        })
    }
}
