//! Reading the native histograms of one series, over all blocks and the head.

use super::TsdbError;
use super::chunk::ChunkError;
use super::database::{Database, Part, Series};
use super::histogram::{HistogramSample, decode_histogram_chunk};
use super::parts::PlacedChunk;
use super::problem::ReadStats;
use super::tombstones::{Deleted, cover};
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
        let mut buffer = Vec::new();
        self.chunks(series, window, stats, |chunk, stats| {
            buffer.clear();
            read_chunk(series, chunk, &mut buffer, stats);
            placed.extend(buffer.iter().map(|sample| (sample.timestamp_ms, chunk.rank, *sample)));
        });
        for part in series.parts.iter() {
            if let Part::Head { head, position } = *part
                && let Some((head, rank)) = self.head(head)
            {
                buffer.clear();
                buffer.extend_from_slice(head.logged_histograms(position));
                stats.deleted += keep(&mut buffer, window, head.deleted(position));
                placed.extend(buffer.iter().map(|sample| (sample.timestamp_ms, rank, *sample)));
            }
        }
        let merged = merge(placed, stats);
        stats.samples += merged.len() as u64;
        stats.stale_markers += merged.iter().filter(|sample| sample.is_stale()).count() as u64;
        Ok(merged)
    }
}

/// Appends the histograms of one chunk to `samples`, which are empty.
fn read_chunk(
    series: &Series,
    chunk: &PlacedChunk<'_>,
    samples: &mut Vec<HistogramSample>,
    stats: &mut ReadStats,
) {
    let decoded = match decode_histogram_chunk(chunk.encoding, chunk.data, samples) {
        Err(ChunkError::NoHistograms { .. }) => return,
        Err(wrong) => Err(wrong.to_string()),
        Ok(_) => chunk.has(samples.iter().map(|sample| sample.timestamp_ms)),
    };
    if let Err(reason) = decoded {
        samples.clear();
        return stats.damaged_chunk(chunk.problem(series, reason));
    }
    stats.chunks += 1;
    stats.decoded += samples.len() as u64;
    stats.deleted += keep(samples, chunk.window, chunk.deleted);
}

/// Drops what lies outside of the window or is deleted, and returns how many are deleted.
fn keep(samples: &mut Vec<HistogramSample>, window: Window, deleted: &[Deleted]) -> u64 {
    let mut hidden = 0;
    samples.retain(|sample| {
        let inside = window.contains(sample.timestamp_ms);
        let is_deleted = inside && cover(deleted, sample.timestamp_ms, sample.timestamp_ms);
        hidden += u64::from(is_deleted);
        inside && !is_deleted
    });
    hidden
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
