//! The chunks of one series, in whatever block or file they lie.

use std::path::Path;

use super::block::Block;
use super::bytes::Malformed;
use super::database::{Database, Part, Series};
use super::head::{Head, HeadChunk};
use super::index::ChunkMeta;
use super::problem::{Problem, ReadStats};
use super::tombstones::{Deleted, cover};
use crate::time::Window;

/// A chunk in the window, its checksum verified.
pub(super) struct PlacedChunk<'a> {
    /// Time of the first sample, as stated beside the chunk.
    pub(super) first_ms: i64,
    /// Time of the last sample, as stated beside the chunk.
    pub(super) last_ms: i64,
    pub(super) encoding: u8,
    pub(super) data: &'a [u8],
    path: &'a Path,
    offset: u64,
    /// Samples outside of it do not count.
    pub(super) window: Window,
    /// What was deleted of the series in the same block.
    pub(super) deleted: &'a [Deleted],
    /// Of two samples at the same time the one of the higher rank stays.
    pub(super) rank: u32,
}

impl PlacedChunk<'_> {
    /// Refuses a chunk whose samples, at `times`, have nothing to do with what is
    /// stated beside it: its checksum is right, but it is another one.
    pub(super) fn has(&self, times: impl DoubleEndedIterator<Item = i64>) -> Result<(), String> {
        let mut times = times;
        let Some(first) = times.next() else { return Ok(()) };
        let last = times.next_back().unwrap_or(first);
        if first > self.last_ms || last < self.first_ms {
            let (stated_first, stated_last) = (self.first_ms, self.last_ms);
            return Err(format!(
                "the chunk holds {first} to {last} ms, the index says {stated_first} to {stated_last} ms"
            ));
        }
        Ok(())
    }

    /// What is wrong with it.
    pub(super) fn problem(&self, series: &Series, reason: String) -> Problem {
        let wrong = Malformed { offset: self.offset, reason: reason.into() };
        Problem::new(self.path, wrong, series.labels.to_string())
    }
}

impl Database {
    /// Shows the chunks of `series` that overlap `window` to `visit`. Those that
    /// are deleted or lost are counted in `stats`.
    pub(super) fn chunks<'a>(
        &'a self,
        series: &Series,
        window: Window,
        stats: &mut ReadStats,
        mut visit: impl FnMut(&PlacedChunk<'a>, &mut ReadStats),
    ) {
        for part in series.parts.iter() {
            match *part {
                Part::Block { position, id } => {
                    if let Some((block, rank)) = self.block(position) {
                        let place = Place { series, window, rank };
                        place.in_block(block, id, stats, &mut visit);
                    }
                }
                Part::Head { head, position } => {
                    if let Some((head, rank)) = self.head(head) {
                        let place = Place { series, window, rank };
                        place.in_head(head, position, stats, &mut visit);
                    }
                }
            }
        }
    }
}

/// One part of a series.
struct Place<'s> {
    series: &'s Series,
    window: Window,
    rank: u32,
}

impl Place<'_> {
    fn in_block<'a>(
        &self,
        block: &'a Block,
        id: u32,
        stats: &mut ReadStats,
        visit: &mut impl FnMut(&PlacedChunk<'a>, &mut ReadStats),
    ) {
        let index = &block.index;
        let problem = |path: &Path, wrong| Problem::new(path, wrong, self.series.labels.to_string());
        let deleted = block.tombstones.of(id);
        let chunks = match index.series(id).and_then(|entry| entry.chunks()) {
            Ok(chunks) => chunks,
            Err(wrong) => return stats.problems.push(problem(index.path(), wrong)),
        };
        for chunk in chunks {
            let ChunkMeta { first_ms, last_ms, reference } = match chunk {
                Ok(chunk) => chunk,
                Err(wrong) => {
                    stats.problems.push(problem(index.path(), wrong));
                    continue;
                }
            };
            if !self.wants(first_ms, last_ms, deleted, stats) {
                continue;
            }
            let (window, rank) = (self.window, self.rank);
            match block.segments.chunk(reference) {
                Ok((record, path)) => {
                    let (encoding, data) = (record.encoding, record.data);
                    let offset = reference.offset() as u64;
                    let chunk = PlacedChunk {
                        first_ms,
                        last_ms,
                        encoding,
                        data,
                        path,
                        offset,
                        window,
                        deleted,
                        rank,
                    };
                    visit(&chunk, stats);
                }
                Err((path, wrong)) => stats.damaged_chunk(problem(&path, wrong)),
            }
        }
    }

    fn in_head<'a>(
        &self,
        head: &'a Head,
        position: usize,
        stats: &mut ReadStats,
        visit: &mut impl FnMut(&PlacedChunk<'a>, &mut ReadStats),
    ) {
        let deleted = head.deleted(position);
        for HeadChunk { first_ms, last_ms, encoding, data, path, offset, valid } in head.chunks(position) {
            if let Some(window) = self.window.intersect(valid)
                && self.wants(first_ms, last_ms, deleted, stats)
            {
                let rank = self.rank;
                let chunk =
                    PlacedChunk { first_ms, last_ms, encoding, data, path, offset, window, deleted, rank };
                visit(&chunk, stats);
            }
        }
    }

    /// False for a chunk without samples in the window, or with none left.
    fn wants(&self, first_ms: i64, last_ms: i64, deleted: &[Deleted], stats: &mut ReadStats) -> bool {
        if first_ms >= self.window.end_ms || last_ms < self.window.start_ms {
            return false;
        }
        let is_deleted = cover(deleted, first_ms, last_ms);
        stats.chunks_deleted += u64::from(is_deleted);
        !is_deleted
    }
}
