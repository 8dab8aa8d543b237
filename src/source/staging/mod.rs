//! Samples on their way into blocks: pieces on the disk as they come, and blocks
//! made of pieces when all is there.

mod assemble;
mod piece;

use std::path::{Path, PathBuf};

pub(super) use assemble::Assembly;
pub use piece::Tally;
pub(super) use piece::{Mark, Piece, PieceWriter};

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
}

impl StagingError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
