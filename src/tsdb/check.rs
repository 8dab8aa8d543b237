//! Whether the files of a block belong together.
//!
//! Index, chunks and tombstones have checksums, but each only of its own; `meta.json` has none. So what it says is held against the
//! index, and the index against the segments: files of another block, or of this one in another order, are found before any
//! number comes of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::bytes::Malformed;
use super::index::Index;
use super::meta::{META_FILE, Meta, is_ulid};
use super::problem::Problem;
use super::segment::Segments;
use super::tombstones::Tombstones;
use crate::time::{DAY_MS, Window};

/// Longest time before the first chunk and after the last that a block may cover: Prometheus' longest block.
const LONGEST_BLOCK_MS: i64 = 31 * DAY_MS;

/// What all series entries of an index say together.
#[derive(Debug, Default)]
pub(super) struct Extent {
    series: u64,
    chunks: u64,
    /// First and last millisecond of any chunk.
    span_ms: Option<(i64, i64)>,
    /// For each segment rank the offset of its last chunk.
    last_chunks: BTreeMap<usize, usize>,
    /// An entry that no index has.
    pub(super) overlap: Option<Malformed>,
    /// Entries that could not be read.
    damaged: Vec<Malformed>,
}

impl Extent {
    /// Walks all series of the index.
    pub(super) fn of(index: &Index) -> Self {
        let mut extent = Self::default();
        let mut ids = index.postings.all_series(index.bytes()).unwrap_or_else(|wrong| {
            extent.damaged.push(wrong);
            Vec::new()
        });
        ids.sort_unstable();
        ids.dedup();
        let mut end = 0;
        for id in ids {
            // Entries inside of each other would be read, and their checksums worked out, many times over.
            if index.place_of(id) < end {
                extent.overlap = Some(Malformed::new(end, "a series that begins inside another one"));
                break;
            }
            match extent.add(index, id) {
                Ok(after) => end = after,
                Err(wrong) => extent.damaged.push(wrong),
            }
        }
        index.release();
        extent
    }

    /// Returns where the series' entry ends.
    fn add(&mut self, index: &Index, id: u32) -> Result<usize, Malformed> {
        let series = index.series(id)?;
        for chunk in series.chunks()? {
            let chunk = chunk?;
            self.chunks += 1;
            let (first_ms, last_ms) = self.span_ms.unwrap_or((chunk.first_ms, chunk.last_ms));
            self.span_ms = Some((first_ms.min(chunk.first_ms), last_ms.max(chunk.last_ms)));
            let (rank, offset) = (chunk.reference.rank(), chunk.reference.offset());
            let last = self.last_chunks.entry(rank).or_insert(offset);
            *last = offset.max(*last);
        }
        self.series += 1;
        Ok(series.end())
    }

    /// After the last chunk.
    pub(super) fn end_ms(&self) -> Option<i64> {
        self.span_ms.map(|(_, last_ms)| last_ms.saturating_add(1))
    }

    /// The highest rank of a segment that a chunk lies in.
    pub(super) fn highest_rank(&self) -> Option<usize> {
        self.last_chunks.keys().next_back().copied()
    }
}

/// Holds the parts of the block in the directory `block` against each other: says what does not agree and which time the
/// block really covers, and takes away segments that are not the index' own.
pub(super) fn check(
    block: &Path,
    meta: &Meta,
    (index, extent): (&Index, &Extent),
    segments: &mut Segments,
    tombstones: &Tombstones,
) -> (Window, Vec<Problem>) {
    let mut problems: Vec<Problem> =
        extent.damaged.iter().map(|wrong| Problem::new(index.path(), wrong.clone(), "")).collect();
    let meta_path = block.join(META_FILE);
    let mut note = |reason: String| problems.push(Problem::new(&meta_path, Malformed::new(0, reason), ""));
    names(block, meta, &mut note);
    // Of a damaged index nothing is known that could be held against it.
    if extent.damaged.is_empty() {
        counts(meta, extent, tombstones, &mut note);
    }
    let window = window(meta, extent, &mut note);
    let offsets = |rank| offsets_in(index, rank);
    let torn = segments.check(&extent.last_chunks, offsets);
    problems.extend(torn.into_iter().map(|(path, wrong)| Problem::new(&path, wrong, "")));
    (window, problems)
}

fn names(block: &Path, meta: &Meta, note: &mut impl FnMut(String)) {
    let directory = block.file_name().unwrap_or_default().to_string_lossy().to_ascii_uppercase();
    if is_ulid(&directory) && directory != meta.ulid {
        note(format!("it is of the block `{}`, and the directory has the name of another", meta.ulid));
    }
    if meta.level == 1 && meta.sources != [meta.ulid.clone()] {
        note("a block that was never compacted, and it names another one as what it was made of".to_owned());
    }
}

fn counts(meta: &Meta, extent: &Extent, tombstones: &Tombstones, note: &mut impl FnMut(String)) {
    let Some(stats) = meta.stats else { return };
    let counted = [
        ("series", stats.series, extent.series, "the index"),
        ("chunks", stats.chunks, extent.chunks, "the index"),
        ("deleted spans of time", stats.tombstones, tombstones.count(), "the file of tombstones"),
    ];
    for (what, said, found, place) in counted {
        if said != found {
            note(format!(
                "it counts {said} {what}, {place} has {found}: data is lost, or the files are not of one block"
            ));
        }
    }
}

/// The time that the block covers: what `meta.json` says, unless the index knows better.
fn window(meta: &Meta, extent: &Extent, note: &mut impl FnMut(String)) -> Window {
    let said = meta.window;
    let Some((first_ms, last_ms)) = extent.span_ms else { return said };
    let end_ms = last_ms.saturating_add(1);
    let within = |said_ms: i64, found_ms: i64, is_outside: bool| {
        if is_outside || said_ms.abs_diff(found_ms) > LONGEST_BLOCK_MS.unsigned_abs() {
            found_ms
        } else {
            said_ms
        }
    };
    // A block that ends where it begins has that instant.
    let is_late = said.start_ms > first_ms;
    let is_early = said.end_ms.max(said.start_ms.saturating_add(1)) < end_ms;
    let found = Window::new(within(said.start_ms, first_ms, is_late), within(said.end_ms, end_ms, is_early));
    if found != said {
        note(format!(
            "it says that the block covers {said}, and its chunks lie in {}",
            Window::new(first_ms, end_ms)
        ));
    }
    found
}

/// The offsets of all chunks in the segment of a rank, ascending.
fn offsets_in(index: &Index, rank: usize) -> Vec<usize> {
    let mut offsets = Vec::new();
    for id in index.postings.all_series(index.bytes()).unwrap_or_default() {
        let Ok(chunks) = index.series(id).and_then(|series| series.chunks()) else { continue };
        let in_it = chunks.flatten().map(|chunk| chunk.reference).filter(|chunk| chunk.rank() == rank);
        offsets.extend(in_it.map(|chunk| chunk.offset()));
    }
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}
