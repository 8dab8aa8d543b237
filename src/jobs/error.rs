//! What can be wrong with a job log, and with one line of it.

use std::path::{Path, PathBuf};

use super::hostlist::HostListError;
use super::tres::TresError;
use crate::time::TimeError;

/// The command that exports everything there is a use for: all users, requeued
/// runs too, times that need no zone, and the only free text in the last columns.
pub const SACCT_COMMAND: &str = "SLURM_TIME_FORMAT=%s sacct --allusers --duplicates --parsable2 \
    --starttime=2024-05-01 --endtime=2024-06-01 --format=JobID,JobIDRaw,User,Account,Partition,State,Submit,Start,End,\
    ElapsedRaw,NNodes,NodeList,AllocCPUS,AllocTRES,ReqMem,ConsumedEnergyRaw,TotalCPU,Comment,JobName";

/// A job log that cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// The operating system refused.
    #[error("cannot {doing} job log `{}`", path.display())]
    Io {
        /// What was being done, as an infinitive.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A directory whose series cannot be read.
    #[error("cannot read pods from `{}`", path.display())]
    Snapshot {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<crate::source::SourceError>,
    },
    /// A directory without series of kube-state-metrics.
    #[error("no pod is in `{}`: it has no series `kube_pod_info`", path.display())]
    NoPods {
        /// The directory.
        path: PathBuf,
    },
    /// No line in it.
    #[error("job log `{}` is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The first line is the header of no kind of log that is known.
    #[error("`{}` is not a job log that can be read: {reason}", path.display())]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        reason: String,
    },
    /// A column that `--jobs-columns` names is not there.
    #[error("job log `{}` has no column `{missing}`", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        missing: String,
        /// What to do about it.
        hint: String,
    },
    /// The header lacks columns that are needed.
    #[error("job log `{}` has no column {}", path.display(), quoted(missing))]
    MissingColumns {
        /// The file.
        path: PathBuf,
        /// The columns that are not there.
        missing: Vec<&'static str>,
        /// What to do about it.
        hint: String,
    },
}

impl JobsError {
    /// What to try, for the line after the error.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::Snapshot { .. } | Self::NoPods { .. } => Some(
                "a directory as a job log is a Prometheus snapshot with series of kube-state-metrics; job logs are files"
                    .to_owned(),
            ),
            Self::Empty { .. } | Self::Unrecognised { .. } => Some(format!(
                "export the jobs with `{SACCT_COMMAND}`, or write a CSV with the columns run_id,start,end,nodes; \
                 `wattledger jobs --help` lists what else is read"
            )),
            Self::MissingColumns { hint, .. } | Self::MissingColumn { hint, .. } => Some(hint.clone()),
        }
    }

    /// Names what the first line of an unknown file looks like.
    pub(super) fn unrecognised(path: &Path, first_line: &str) -> Self {
        let first_line = first_line.trim();
        let names_jobs = first_line.split_whitespace().any(|word| word.eq_ignore_ascii_case("jobid"));
        let reason = if first_line.starts_with(['{', '[']) {
            "it is JSON of no kind that is known".to_owned()
        } else if names_jobs {
            "it looks like `sacct` output in columns of fixed width, which cuts off values".to_owned()
        } else if first_line.contains('|') && super::slurm::sacct::looks_like_row(first_line) {
            "it looks like `sacct` output without its header".to_owned()
        } else {
            format!("its first line is `{}`", shorten(first_line))
        };
        Self::Unrecognised { path: path.to_path_buf(), reason }
    }
}

fn quoted(columns: &[&str]) -> String {
    columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ")
}

/// Where in a log something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line, counted from 1.
    Line(u64),
    /// An entry of a list or a row of a table, counted from 1.
    Entry(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Entry(number) => write!(f, "entry {number}"),
        }
    }
}

/// A line, or an entry of a list, that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The log.
    pub path: PathBuf,
    /// Where in it.
    pub place: Place,
    /// Why.
    pub reason: RejectReason,
    /// The line's beginning.
    pub text: String,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}: {}", self.path.display(), self.place, self.reason)
    }
}

/// Why a line was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// The end lies before the start.
    #[error("ends at `{end}`, before it starts at `{start}`")]
    EndBeforeStart {
        /// The start as given.
        start: String,
        /// The end as given.
        end: String,
    },
    /// A time that cannot be read.
    #[error("column `{column}`: {source}")]
    BadTime {
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        source: TimeError,
    },
    /// A value that must be there is not.
    #[error("column `{column}` is empty")]
    MissingField {
        /// The column.
        column: &'static str,
    },
    /// Fewer fields than the header has.
    #[error("has {found} fields, the header has {expected}")]
    TooFewFields {
        /// Fields in the line.
        found: usize,
        /// Columns in the header.
        expected: usize,
    },
    /// More fields than the header has, and no way, or more than one, to make
    /// them fit by taking separators as part of a free text.
    #[error("has {found} fields, the header has {expected}, and they cannot be told apart")]
    TooManyFields {
        /// Fields in the line.
        found: usize,
        /// Columns in the header.
        expected: usize,
    },
    /// A host list that cannot be read.
    #[error("host list `{text}`: {source}")]
    BadHostList {
        /// The list's beginning.
        text: String,
        /// What is wrong with it.
        source: HostListError,
    },
    /// With its hosts the log would have more than any cluster's runs.
    #[error("with its hosts, the runs of the log would have more than any cluster's")]
    TooManyHosts,
    /// It ran, but no node is named.
    #[error("it ran, but no node is named")]
    NoNodes,
    /// A job id that is none.
    #[error("`{text}` is not a job id")]
    BadJobId {
        /// The id's beginning.
        text: String,
    },
    /// A resource list or an amount that cannot be read.
    #[error("column `{column}`: {source}")]
    BadResource {
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        source: TresError,
    },
    /// A number that cannot be read.
    #[error("column `{column}`: `{text}` is not a number")]
    BadNumber {
        /// The column.
        column: &'static str,
        /// The value's beginning.
        text: String,
    },
    /// Longer than any line of a job log.
    #[error("is longer than {limit} bytes")]
    LineTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Not a line of `Name = value`.
    #[error("is no attribute: `Name = value`")]
    NoAttribute,
    /// A text that does not end.
    #[error("has a quote that is not closed")]
    OpenQuote,
    /// A place of execution that cannot be read.
    #[error("`{text}` does not say which part of which host was held")]
    BadNodeSpec {
        /// The text's beginning.
        text: String,
    },
    /// An amount of a resource that cannot be read.
    #[error("`{text}` is no amount of `{resource}`")]
    BadQuantity {
        /// The resource.
        resource: String,
        /// The text's beginning.
        text: String,
    },
    /// The text breaks off or is damaged here: nothing behind it was read.
    #[error("breaks off: {reason}; nothing behind it was read")]
    BadJson {
        /// The reader's own words.
        reason: String,
    },
    /// The table is damaged here: nothing behind it was read.
    #[error("{reason}; nothing behind it was read")]
    BadParquet {
        /// The reader's own words.
        reason: String,
    },
    /// Quotes that do not match, or the like.
    #[error("is not a row of CSV: {reason}")]
    BadCsv {
        /// The reader's own words.
        reason: String,
    },
}

/// The beginning of a text, short enough for a message.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 80;
    let clean = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    let mut short: String = text.chars().take(LONGEST).map(clean).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
