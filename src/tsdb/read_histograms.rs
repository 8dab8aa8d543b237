//! Reading the native histograms of one series, over all blocks that have it.

use super::TsdbError;
use super::block::Block;
use super::chunk::ChunkError;
use super::database::{Database, Part, Series};
use super::histogram::{HistogramSample, decode_histogram_chunk};
use super::index::ChunkMeta;
use super::problem::{Problem, ReadStats};
use super::read::{Found, belongs, chunks_in};
use super::tombstones::cover;
use crate::time::Window;

impl Database {
    /// Reads the native histograms of `series` in `window`, in ascending time,
    /// one for each timestamp.
    ///
    /// As [`read`](Self::read), which has the floats of the same series, if it
    /// has any: where blocks or chunks overlap, the sample of the block with the
    /// later ULID stays; deleted ones are left out, stale markers are kept, and
    /// damaged chunks are left out and counted in `stats`. Chunks of floats are
    /// passed over.
    ///
    /// # Errors
    ///
    /// [`TsdbError::ForeignSeries`] if `series` was selected from another database.
    pub fn read_histograms(
        &self,
        series: &Series,
        window: Window,
        stats: &mut ReadStats,
    ) -> Result<Vec<HistogramSample>, TsdbError> {
        if !self.owns(series) {
            return Err(TsdbError::ForeignSeries { series: series.labels.to_string() });
        }
        let mut placed = Vec::new();
        for part in series.parts.iter() {
            let Some((block, block_rank)) = self.block(*part) else { continue };
            let mut reader = Reader { series, window, block, part: *part, stats };
            let samples = reader.read();
            placed.extend(samples.into_iter().map(|sample| (sample.timestamp_ms, block_rank, sample)));
        }
        let merged = merge(placed, stats);
        stats.samples += merged.len() as u64;
        stats.stale_markers += merged.iter().filter(|sample| sample.is_stale()).count() as u64;
        Ok(merged)
    }
}

/// One series in one block.
struct Reader<'a> {
    series: &'a Series,
    window: Window,
    block: &'a Block,
    part: Part,
    stats: &'a mut ReadStats,
}

impl Reader<'_> {
    fn read(&mut self) -> Vec<HistogramSample> {
        let mut samples = Vec::new();
        for found in chunks_in(self.block, self.part, self.window) {
            let problem = match found {
                Found::Chunk(chunk) => match self.read_chunk(chunk, &mut samples) {
                    Ok(()) => continue,
                    Err(problem) => problem,
                },
                // Of which kind it was is not known.
                Found::Deleted => continue,
                Found::Damaged(wrong) => {
                    let series = self.series.labels.to_string();
                    self.stats.problems.push(Problem::new(self.block.index.path(), wrong, series));
                    continue;
                }
            };
            self.stats.damaged_chunk(problem);
        }
        samples
    }

    fn read_chunk(&mut self, chunk: ChunkMeta, samples: &mut Vec<HistogramSample>) -> Result<(), Problem> {
        let name = || self.series.labels.to_string();
        let (record, path) = self
            .block
            .segments
            .chunk(chunk.reference)
            .map_err(|(path, wrong)| Problem::new(&path, wrong, name()))?;
        let start = samples.len();
        let decoded = match decode_histogram_chunk(record.encoding, record.data, samples) {
            Err(ChunkError::NoHistograms { .. }) => return Ok(()),
            Err(wrong) => Err(wrong.to_string()),
            Ok(_) => {
                let new = samples.get(start..).unwrap_or_default();
                let times: Vec<i64> = new.iter().map(|sample| sample.timestamp_ms).collect();
                belongs(&times, 0, chunk)
            }
        };
        if let Err(reason) = decoded {
            samples.truncate(start);
            let offset = chunk.reference.offset() as u64;
            return Err(Problem { path: path.to_owned(), offset, series: name(), reason, count: 1 });
        }
        self.stats.chunks += 1;
        self.stats.decoded += (samples.len() - start) as u64;
        let deleted = self.block.tombstones.of(self.part.id);
        let mut hidden = 0;
        let mut kept = samples.split_off(start);
        kept.retain(|sample| {
            let inside = self.window.contains(sample.timestamp_ms);
            let is_deleted = inside && cover(deleted, sample.timestamp_ms, sample.timestamp_ms);
            hidden += u64::from(is_deleted);
            inside && !is_deleted
        });
        samples.append(&mut kept);
        self.stats.deleted += hidden;
        Ok(())
    }
}

/// In order of time, of equal times the one of the block with the later ULID,
/// within a block the one that stands later.
fn merge(mut placed: Vec<(i64, u32, HistogramSample)>, stats: &mut ReadStats) -> Vec<HistogramSample> {
    placed.sort_by_key(|(timestamp_ms, block_rank, _)| (*timestamp_ms, *block_rank));
    let mut merged = Vec::with_capacity(placed.len());
    for same_time in placed.chunk_by(|left, right| left.0 == right.0) {
        let Some(((_, _, kept), dropped)) = same_time.split_last() else { continue };
        let bits = |sample: &HistogramSample| (sample.count.to_bits(), sample.sum.to_bits());
        stats.duplicates_dropped += dropped.len() as u64;
        stats.conflicts += dropped.iter().filter(|(_, _, other)| bits(other) != bits(kept)).count() as u64;
        merged.push(*kept);
    }
    merged
}
