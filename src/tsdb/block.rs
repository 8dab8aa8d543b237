//! One block directory: its meta data, index, chunks and deletions.

use std::path::{Path, PathBuf};

use super::check::{Extent, check};
use super::index::{INDEX_FILE, Index};
use super::meta::{BlockStats, META_FILE, Meta};
use super::problem::Problem;
use super::segment::{CHUNKS_DIRECTORY, Segments};
use super::tombstones::{TOMBSTONES_FILE, Tombstones};
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
    /// The time it says it covers, or where its index knows better that.
    pub window: Window,
    /// What its `meta.json` counts.
    pub stats: BlockStats,
    /// How often it was compacted; 1 for a block as it was first written.
    pub compaction_level: u32,
    /// Labels that are added to every series (Thanos, Mimir).
    pub external_labels: Labels,
    /// The symbolic links that were followed to read it: the directory, which Prometheus itself would not follow, or files in it.
    pub links: Vec<PathBuf>,
    /// After its last chunk: later samples are in no chunk of it, whatever it says that it covers.
    pub(super) chunks_end_ms: i64,
    /// True if it was made of samples that came out of order.
    pub is_out_of_order: bool,
    pub(super) index: Index,
    pub(super) segments: Segments,
    pub(super) tombstones: Tombstones,
    /// What of its files does not agree.
    pub(super) problems: Vec<Problem>,
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
        let extent = Extent::of(&index);
        if let Some(wrong) = extent.overlap {
            return Err(wrong.in_file(index.path()));
        }
        let mut segments = Segments::open(path)?;
        if !segments.is_complete_sequence() {
            // Files under other numbers are fine as long as there are enough.
            if extent.highest_rank().is_some_and(|rank| rank >= segments.len()) {
                segments.find_by_number();
            }
        }
        let tombstones = Tombstones::open(path)?;
        let said = meta.stats.map_or(0, |stats| stats.tombstones);
        if tombstones.count() < said {
            // What was deleted would count again.
            let reason =
                format!("`{META_FILE}` counts {said} deleted spans of time, here are {}", tombstones.count());
            return Err(TsdbError::Corrupt { path: path.join(TOMBSTONES_FILE), offset: 0, reason });
        }
        let (window, problems) = check(path, meta, (&index, &extent), &mut segments, &tombstones);
        Ok(Self {
            ulid: meta.ulid.clone(),
            sources: meta.sources.clone(),
            path: path.to_owned(),
            window,
            stats: meta.stats.unwrap_or_default(),
            compaction_level: meta.level,
            external_labels: meta.external_labels.clone(),
            links: links(path),
            chunks_end_ms: extent.end_ms().unwrap_or(window.end_ms),
            is_out_of_order: meta.is_out_of_order,
            index,
            segments,
            tombstones,
            problems,
        })
    }
}

/// What of the block in the directory `path` is a symbolic link.
fn links(path: &Path) -> Vec<PathBuf> {
    let chunks = path.join(CHUNKS_DIRECTORY);
    let segments = std::fs::read_dir(&chunks).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut links: Vec<PathBuf> = [META_FILE, INDEX_FILE, TOMBSTONES_FILE]
        .map(|file| path.join(file))
        .into_iter()
        .chain(segments)
        .chain([path.to_path_buf(), chunks.clone()])
        .filter(|file| file.is_symlink())
        .collect();
    links.sort();
    links
}
