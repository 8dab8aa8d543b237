//! The blocks of samples that a ledger was made from, and where they lay: a day at the edge of two snapshots needs both.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, write_json};
use crate::source::{Snapshot, Source as _};
use crate::there;
use crate::time::Window;

const FILE: &str = "inputs.json";

/// A block, or what a data directory holds beside its blocks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct BlockRef {
    /// First instant, in ms since the epoch.
    pub start_ms: i64,
    /// First instant after.
    pub end_ms: i64,
    /// ULIDs of the blocks that it was compacted from in the end, so that a compaction is no news; `head:` and a hash of what is no
    /// block yet.
    pub sources: BTreeSet<String>,
}

/// A directory that blocks were read from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct RememberedSnapshot {
    /// Where it lay.
    pub path: PathBuf,
    /// What it had.
    pub blocks: Vec<BlockRef>,
}

impl BlockRef {
    /// The time that it covers. A block of one instant covers a millisecond.
    pub fn window(&self) -> Window {
        Window::new(self.start_ms, self.end_ms.max(self.start_ms.saturating_add(1)))
    }
}

impl RememberedSnapshot {
    /// What is in the directory `path`.
    ///
    /// # Errors
    ///
    /// Where it holds nothing that can be used.
    pub fn of(path: &Path) -> Result<Self, crate::source::SourceError> {
        let snapshot = Snapshot::open(path)?;
        let database = snapshot.database();
        let mut blocks: Vec<BlockRef> = database
            .blocks()
            .iter()
            .map(|block| BlockRef {
                start_ms: block.window.start_ms,
                end_ms: block.window.end_ms,
                sources: block.sources.iter().cloned().collect(),
            })
            .collect();
        if let Some(window) = database.heads().iter().find_map(crate::tsdb::Head::window) {
            let in_files = snapshot.identity().into_iter().filter(|(name, _)| !name.ends_with("/meta.json"));
            let hash = crate::hash::text_sha256(&format!("{:?}", in_files.collect::<Vec<_>>()));
            let sources = BTreeSet::from([format!("head:{hash}")]);
            blocks.push(BlockRef { start_ms: window.start_ms, end_ms: window.end_ms, sources });
        }
        blocks.sort();
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        Ok(Self { path, blocks })
    }
}

impl Store {
    /// The directories that it was made from, as far as they are still there.
    ///
    /// # Errors
    ///
    /// Where the list cannot be read.
    pub fn remembered(&self) -> Result<Vec<RememberedSnapshot>, StoreError> {
        let path = self.directory.join(FILE);
        if !there::is_file(&path).map_err(StoreError::io("look at", &path))? {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).map_err(StoreError::io("read", &path))?;
        let all: Vec<RememberedSnapshot> = serde_json::from_str(&text)
            .map_err(|error| StoreError::Damaged { path, reason: error.to_string() })?;
        Ok(all.into_iter().filter(|snapshot| snapshot.path.is_dir()).collect())
    }

    /// Remembers these and no others.
    ///
    /// # Errors
    ///
    /// Where the list cannot be written.
    pub fn remember(&self, snapshots: &[RememberedSnapshot]) -> Result<(), StoreError> {
        let mut sorted = snapshots.to_vec();
        sorted.sort();
        sorted.dedup_by(|left, right| left.path == right.path);
        write_json(&self.directory.join(FILE), &sorted)
    }
}
