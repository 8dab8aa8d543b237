//! Reading the samples of one series, over all blocks and the head.

use std::path::Path;

use super::block::Block;
use super::bytes::Malformed;
use super::chunk::{ChunkError, decode_chunk};
use super::database::{Database, Part, Series};
use super::head::{Head, HeadChunk};
use super::index::ChunkMeta;
use super::merge::Runs;
use super::problem::{Problem, ReadStats};
use super::tombstones::{Deleted, cover};
use super::{Samples, TsdbError, is_stale};
use crate::time::Window;

/// Memory that reads use again and again, and the samples of the last one.
#[derive(Clone, Debug, Default)]
pub struct ReadBuffer {
    samples: Samples,
    runs: Runs,
}

impl ReadBuffer {
    /// What the last read returned.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// What the last read returned, without a copy.
    pub fn into_samples(self) -> Samples {
        self.samples
    }
}

impl Database {
    /// Reads the float samples of `series` in `window` into `buffer`, in
    /// ascending time, one for each timestamp.
    ///
    /// Where blocks or chunks overlap, the sample of the block with the later
    /// ULID stays. Deleted samples are left out, stale markers are kept.
    /// Damaged chunks and other encodings are left out and counted in `stats`.
    ///
    /// # Errors
    ///
    /// [`TsdbError::ForeignSeries`] if `series` was selected from another database.
    pub fn read(
        &self,
        series: &Series,
        window: Window,
        buffer: &mut ReadBuffer,
        stats: &mut ReadStats,
    ) -> Result<(), TsdbError> {
        buffer.samples.timestamps_ms.clear();
        buffer.samples.values.clear();
        buffer.runs.clear();
        if !self.owns(series) {
            return Err(TsdbError::ForeignSeries { series: series.labels.to_string() });
        }
        let mut reader = Reader { series, window, buffer: &mut *buffer, stats: &mut *stats };
        for part in series.parts.iter() {
            match *part {
                Part::Block { position, id } => {
                    if let Some((block, rank)) = self.block(position) {
                        reader.read_block(block, rank, id);
                    }
                }
                Part::Head(position) => {
                    if let Some(head) = self.head() {
                        reader.read_head(head, self.head_rank(), position);
                    }
                }
            }
        }
        buffer.runs.put_in_order(&mut buffer.samples, stats);
        stats.samples += buffer.samples.values.len() as u64;
        stats.stale_markers += buffer.samples.values.iter().filter(|value| is_stale(**value)).count() as u64;
        Ok(())
    }
}

/// One series, part by part.
struct Reader<'a> {
    series: &'a Series,
    window: Window,
    buffer: &'a mut ReadBuffer,
    stats: &'a mut ReadStats,
}

/// A chunk, and what is known about it from elsewhere.
struct FoundChunk<'a> {
    first_ms: i64,
    last_ms: i64,
    encoding: u8,
    data: &'a [u8],
    path: &'a Path,
    offset: u64,
}

impl Reader<'_> {
    fn read_block(&mut self, block: &Block, rank: u32, id: u32) {
        let index = &block.index;
        let deleted = block.tombstones.of(id);
        let chunks = match index.series(id).and_then(|entry| entry.chunks()) {
            Ok(chunks) => chunks,
            Err(wrong) => return self.stats.problems.push(self.problem(index.path(), wrong)),
        };
        for chunk in chunks {
            let ChunkMeta { first_ms, last_ms, reference } = match chunk {
                Ok(chunk) => chunk,
                Err(wrong) => {
                    self.stats.problems.push(self.problem(index.path(), wrong));
                    continue;
                }
            };
            if !self.is_wanted(first_ms, last_ms, deleted) {
                continue;
            }
            match block.segments.chunk(reference) {
                Ok((record, path)) => {
                    let (encoding, data) = (record.encoding, record.data);
                    let offset = reference.offset() as u64;
                    let found = FoundChunk { first_ms, last_ms, encoding, data, path, offset };
                    self.read_chunk(&found, self.window, deleted, rank);
                }
                Err((path, wrong)) => self.stats.damaged_chunk(self.problem(&path, wrong)),
            }
        }
    }

    fn read_head(&mut self, head: &Head, rank: u32, position: usize) {
        let deleted = head.deleted(position);
        for chunk in head.chunks(position) {
            let HeadChunk { first_ms, last_ms, encoding, data, path, offset, valid } = chunk;
            if let Some(window) = self.window.intersect(valid)
                && self.is_wanted(first_ms, last_ms, deleted)
            {
                let found = FoundChunk { first_ms, last_ms, encoding, data, path, offset };
                self.read_chunk(&found, window, deleted, rank);
            }
        }
    }

    /// False for a chunk without samples in the window, or with none left.
    fn is_wanted(&mut self, first_ms: i64, last_ms: i64, deleted: &[Deleted]) -> bool {
        if first_ms >= self.window.end_ms || last_ms < self.window.start_ms {
            return false;
        }
        let is_deleted = cover(deleted, first_ms, last_ms);
        self.stats.chunks_deleted += u64::from(is_deleted);
        !is_deleted
    }

    fn read_chunk(&mut self, chunk: &FoundChunk<'_>, window: Window, deleted: &[Deleted], rank: u32) {
        let samples = &mut self.buffer.samples;
        let start = samples.values.len();
        let decoded = decode_chunk(chunk.encoding, chunk.data, samples);
        if let Err(ChunkError::NoFloats { encoding }) = decoded {
            return self.stats.skipped_chunk(encoding, chunk.data);
        }
        let decoded = decoded
            .map_err(|error| error.to_string())
            .and_then(|ascending| belongs(samples, start, chunk).map(|()| ascending));
        let ascending = match decoded {
            Ok(ascending) => ascending,
            Err(reason) => {
                truncate(samples, start);
                let wrong = Malformed { offset: chunk.offset, reason: reason.into() };
                return self.stats.damaged_chunk(self.problem(chunk.path, wrong));
            }
        };
        self.stats.chunks += 1;
        self.stats.decoded += (samples.values.len() - start) as u64;
        if chunk.first_ms < window.start_ms || chunk.last_ms >= window.end_ms {
            keep_window(samples, start, window);
        }
        self.stats.deleted += delete(samples, start, deleted);
        self.buffer.runs.add(&self.buffer.samples, start, rank, ascending);
    }

    fn problem(&self, path: &Path, wrong: Malformed) -> Problem {
        Problem::new(path, wrong, self.series.labels.to_string())
    }
}

/// Refuses a chunk that has nothing to do with what the index says about it:
/// its checksum is right, but it is another one.
fn belongs(samples: &Samples, start: usize, chunk: &FoundChunk<'_>) -> Result<(), String> {
    let times = samples.timestamps_ms.get(start..).unwrap_or_default();
    match times.first().zip(times.last()) {
        Some((first, last)) if *first > chunk.last_ms || *last < chunk.first_ms => Err(format!(
            "the chunk holds {first} to {last} ms, the index says {} to {} ms",
            chunk.first_ms, chunk.last_ms
        )),
        _ => Ok(()),
    }
}

fn truncate(samples: &mut Samples, length: usize) {
    samples.timestamps_ms.truncate(length);
    samples.values.truncate(length);
}

/// Position of the first sample from `start` on that is not before `at_ms`.
fn position(samples: &Samples, start: usize, at_ms: i64) -> usize {
    let inside = samples.timestamps_ms.get(start..).unwrap_or_default();
    start + inside.partition_point(|timestamp_ms| *timestamp_ms < at_ms)
}

/// Drops what lies outside of the window, of the samples from `start` on.
fn keep_window(samples: &mut Samples, start: usize, window: Window) {
    let end = position(samples, start, window.end_ms);
    truncate(samples, end);
    let begin = position(samples, start, window.start_ms);
    samples.timestamps_ms.drain(start..begin);
    samples.values.drain(start..begin);
}

/// Drops the deleted ones of the samples from `start` on and returns how many.
fn delete(samples: &mut Samples, start: usize, deleted: &[Deleted]) -> u64 {
    let before = samples.values.len();
    for span in deleted {
        let first = position(samples, start, span.first_ms);
        let after = match span.last_ms.checked_add(1) {
            Some(next_ms) => position(samples, start, next_ms),
            None => samples.values.len(),
        };
        samples.timestamps_ms.drain(first..after);
        samples.values.drain(first..after);
    }
    (before - samples.values.len()) as u64
}
