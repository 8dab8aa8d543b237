//! One block directory: its meta data, index, chunks and deletions.

use std::path::{Path, PathBuf};

use super::bytes::Malformed;
use super::index::Index;
use super::meta::{BlockStats, Meta};
use super::segment::Segments;
use super::tombstones::Tombstones;
use super::{Labels, TsdbError};
use crate::time::Window;

/// A block that can be read.
#[derive(Debug)]
pub struct Block {
    /// Its name; later blocks have greater ones.
    pub ulid: String,
    /// Its directory.
    pub path: PathBuf,
    /// The first blocks that its samples went through, itself if it was never compacted.
    pub sources: Vec<String>,
    /// The time it says it covers.
    pub window: Window,
    /// What its `meta.json` counts.
    pub stats: BlockStats,
    /// How often it was compacted; 1 for a block as it was first written.
    pub compaction_level: u32,
    /// Labels that are added to every series (Thanos, Mimir).
    pub external_labels: Labels,
    /// True if the directory is a symbolic link, which Prometheus itself would
    /// not follow.
    pub is_symlink: bool,
    /// True if it was made of samples that came out of order.
    pub is_out_of_order: bool,
    pub(super) index: Index,
    pub(super) segments: Segments,
    pub(super) tombstones: Tombstones,
}

impl Block {
    /// Opens the block in the directory `path`, described by `meta`.
    pub(super) fn open(path: &Path, meta: &Meta) -> Result<Self, TsdbError> {
        if meta.resolution_ms != 0 {
            return Err(TsdbError::Unsupported {
                path: path.to_owned(),
                reason: format!(
                    "a Thanos block downsampled to {} s; use the raw one",
                    meta.resolution_ms / crate::time::SECOND_MS
                ),
            });
        }
        let index = Index::open(path)?;
        let mut segments = Segments::open(path)?;
        if !segments.is_complete_sequence() {
            // Files under other numbers are fine as long as there are enough.
            if !highest_rank(&index).is_ok_and(|rank| rank < segments.len()) {
                segments.find_by_number();
            }
        }
        Ok(Self {
            ulid: meta.ulid.clone(),
            sources: meta.sources.clone(),
            path: path.to_owned(),
            window: meta.window,
            stats: meta.stats,
            compaction_level: meta.level,
            external_labels: meta.external_labels.clone(),
            is_symlink: path.is_symlink(),
            is_out_of_order: meta.is_out_of_order,
            index,
            segments,
            tombstones: Tombstones::open(path)?,
        })
    }
}

/// The highest segment rank that any chunk refers to.
fn highest_rank(index: &Index) -> Result<usize, Malformed> {
    let mut highest = 0;
    for id in index.postings.all_series(index.bytes())? {
        for chunk in index.series(id)?.chunks()? {
            highest = highest.max(chunk?.reference.rank());
        }
    }
    Ok(highest)
}
