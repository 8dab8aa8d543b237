//! Samples on their way into blocks: pieces on the disk as they come, and blocks
//! made of pieces when all is there.

mod assemble;
mod piece;

use std::path::{Path, PathBuf};

pub(super) use assemble::Assembly;
pub use piece::Tally;
pub(super) use piece::{Mark, Piece, PieceWriter};

use crate::there::{self, Held};
use crate::time::Window;
use crate::tsdb::{Labels, Samples, TsdbError};

/// Whoever takes samples.
pub(super) trait Sink {
    /// Takes the samples inside `window` of a chunk.
    fn chunk(
        &mut self,
        labels: &Labels,
        encoding: u8,
        data: &[u8],
        window: Window,
    ) -> Result<(), StagingError>;

    /// Takes samples in any order; of those with one timestamp the last stays.
    fn samples(&mut self, labels: &Labels, samples: Samples, window: Window) -> Result<(), StagingError>;

    /// Counts samples that are not read.
    fn skipped_histograms(&mut self, count: u64);
}

/// Section of `meta.json` that only this program reads.
pub(super) const META_SECTION: &str = "wattledger";

/// Samples that cannot be kept, or not be made into a block.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// The blocks.
    #[error(transparent)]
    Tsdb(#[from] TsdbError),
    /// The operating system refused.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was being done, as an infinitive.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// Another process has the directory.
    #[error("another `wattledger` writes blocks into `{}`", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
}

/// Makes the directory for blocks, and takes it for this process alone.
pub(super) fn hold(out: &Path) -> Result<Held, StagingError> {
    std::fs::create_dir_all(out).map_err(StagingError::io("create", out))?;
    there::try_hold(out).ok_or_else(|| StagingError::Busy { path: out.to_owned() })
}

impl StagingError {
    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Busy { .. } => Some("wait for it, or choose another directory"),
            Self::Tsdb(_) | Self::Io { .. } => None,
        }
    }

    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
