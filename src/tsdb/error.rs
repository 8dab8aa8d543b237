//! What can be wrong with a TSDB directory, with the place where it is.

use std::path::PathBuf;

/// A failure to read or write Prometheus' on-disk format.
#[derive(Debug, thiserror::Error)]
pub enum TsdbError {
    /// The operating system refused.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was being done, as an infinitive: `open`, `read`, `map`, `create`, …
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// Bytes that are not what the format asks for.
    #[error("`{}` is corrupt at byte {offset}: {reason}", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it, in bytes from its start.
        offset: u64,
        /// What was found and what should be there.
        reason: String,
    },
    /// A format or version that this program does not read.
    #[error("`{}` is not supported: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        reason: String,
    },
    /// No block anywhere under the directory.
    #[error("`{}` holds no Prometheus block", path.display())]
    NoBlocks {
        /// The directory that was searched.
        path: PathBuf,
    },
    /// No block in the directory, but in directories in it, as with the tenants
    /// of Mimir and Cortex.
    #[error("`{}` holds no Prometheus block itself, but {}", path.display(), said_of(inside))]
    BlocksInside {
        /// The directory that was searched.
        path: PathBuf,
        /// The directories in it that hold blocks, in order; at least one.
        inside: Vec<PathBuf>,
    },
    /// A selector with a regular expression that does not compile.
    #[error("invalid matcher `{matcher}`: {reason}")]
    Matcher {
        /// The matcher as text.
        matcher: String,
        /// Why it is refused.
        reason: String,
    },
    /// A series that came out of another [`Database`](crate::tsdb::Database).
    #[error("series `{series}` was selected from another database")]
    ForeignSeries {
        /// The series' labels.
        series: String,
    },
    /// Input handed to the block writer that would make an invalid block.
    #[error("cannot write series `{series}`: {reason}")]
    InvalidSeries {
        /// The series' labels.
        series: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl TsdbError {
    /// The error with what the system says about it.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            other => other.to_string(),
        }
    }
}

/// One directory by name, several by the first and how many more.
fn said_of(inside: &[PathBuf]) -> String {
    let first = inside.first().map(|path| path.display().to_string()).unwrap_or_default();
    match inside.len() {
        0 | 1 => format!("`{first}` does"),
        2 => format!("`{first}` and 1 more directory in it do"),
        count => format!("`{first}` and {} more directories in it do", count - 1),
    }
}
