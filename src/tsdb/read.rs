//! Reading the samples of one series, over all blocks that have it.

use super::block::Block;
use super::bytes::Malformed;
use super::chunk::{ChunkError, decode_chunk};
use super::database::{Database, Part, Series};
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
    /// Histograms ([`read_histograms`](Self::read_histograms) has them), damaged
    /// chunks and unknown encodings are left out and counted in `stats`.
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
        for part in series.parts.iter() {
            if let Some((block, block_rank)) = self.block(*part) {
                let mut reader = Reader { series, window, block, block_rank, buffer, stats };
                reader.read(*part);
            }
        }
        buffer.runs.put_in_order(&mut buffer.samples, stats);
        stats.samples += buffer.samples.values.len() as u64;
        stats.stale_markers += buffer.samples.values.iter().filter(|value| is_stale(**value)).count() as u64;
        Ok(())
    }
}

/// What a series' entry says of a chunk in the window.
pub(super) enum Found {
    /// It is to be read.
    Chunk(ChunkMeta),
    /// A deletion covers it wholly.
    Deleted,
    /// The entry cannot be read from here on.
    Damaged(Malformed),
}

/// The chunks of a series in one block that overlap `window`.
pub(super) fn chunks_in(block: &Block, part: Part, window: Window) -> impl Iterator<Item = Found> {
    let deleted = block.tombstones.of(part.id);
    let (chunks, damaged) = match block.index.series(part.id).and_then(|entry| entry.chunks()) {
        Ok(chunks) => (Some(chunks), None),
        Err(wrong) => (None, Some(Found::Damaged(wrong))),
    };
    let of_chunk = move |chunk: Result<ChunkMeta, Malformed>| match chunk {
        Ok(chunk) if chunk.first_ms >= window.end_ms || chunk.last_ms < window.start_ms => None,
        Ok(chunk) if cover(deleted, chunk.first_ms, chunk.last_ms) => Some(Found::Deleted),
        Ok(chunk) => Some(Found::Chunk(chunk)),
        Err(wrong) => Some(Found::Damaged(wrong)),
    };
    damaged.into_iter().chain(chunks.into_iter().flatten().filter_map(of_chunk))
}

/// One series in one block.
struct Reader<'a> {
    series: &'a Series,
    window: Window,
    block: &'a Block,
    block_rank: u32,
    buffer: &'a mut ReadBuffer,
    stats: &'a mut ReadStats,
}

impl Reader<'_> {
    fn read(&mut self, part: Part) {
        let deleted = self.block.tombstones.of(part.id);
        for found in chunks_in(self.block, part, self.window) {
            match found {
                Found::Chunk(chunk) => self.read_chunk(chunk, deleted),
                Found::Deleted => self.stats.chunks_deleted += 1,
                Found::Damaged(wrong) => {
                    let path = self.block.index.path();
                    self.stats.problems.push(Problem::new(path, wrong, self.series.labels.to_string()));
                }
            }
        }
    }

    fn read_chunk(&mut self, chunk: ChunkMeta, deleted: &[Deleted]) {
        let (record, path) = match self.block.segments.chunk(chunk.reference) {
            Ok(found) => found,
            Err((path, wrong)) => {
                let problem = Problem::new(&path, wrong, self.series.labels.to_string());
                return self.stats.damaged_chunk(problem);
            }
        };
        let samples = &mut self.buffer.samples;
        let start = samples.values.len();
        let decoded = decode_chunk(record.encoding, record.data, samples);
        if let Err(ChunkError::NoFloats { encoding }) = decoded {
            return self.stats.skipped_chunk(encoding, record.data);
        }
        let decoded = decoded
            .map_err(|error| error.to_string())
            .and_then(|ascending| belongs(&samples.timestamps_ms, start, chunk).map(|()| ascending));
        let ascending = match decoded {
            Ok(ascending) => ascending,
            Err(reason) => {
                truncate(samples, start);
                return self.stats.damaged_chunk(Problem {
                    path: path.to_owned(),
                    offset: chunk.reference.offset() as u64,
                    series: self.series.labels.to_string(),
                    reason,
                    count: 1,
                });
            }
        };
        self.stats.chunks += 1;
        self.stats.decoded += (samples.values.len() - start) as u64;
        if chunk.first_ms < self.window.start_ms || chunk.last_ms >= self.window.end_ms {
            keep_window(samples, start, self.window);
        }
        self.stats.deleted += delete(samples, start, deleted);
        self.buffer.runs.add(&self.buffer.samples, start, self.block_rank, ascending);
    }
}

/// Refuses a chunk that has nothing to do with what the index says about it:
/// its checksum is right, but it is another one.
pub(super) fn belongs(times: &[i64], start: usize, chunk: ChunkMeta) -> Result<(), String> {
    let times = times.get(start..).unwrap_or_default();
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
