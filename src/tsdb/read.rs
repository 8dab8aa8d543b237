//! Reading the float samples of one series, over all blocks and the head.

use super::chunk::{ChunkError, decode_chunk};
use super::database::{Database, Series};
use super::merge::Runs;
use super::parts::PlacedChunk;
use super::problem::ReadStats;
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
        let ReadBuffer { samples, runs } = &mut *buffer;
        self.chunks(series, window, stats, |chunk, stats| {
            read_chunk(series, chunk, samples, runs, stats);
        });
        buffer.runs.put_in_order(&mut buffer.samples, stats);
        stats.samples += buffer.samples.values.len() as u64;
        stats.stale_markers += buffer.samples.values.iter().filter(|value| is_stale(**value)).count() as u64;
        Ok(())
    }
}

/// Appends the floats of one chunk.
fn read_chunk(
    series: &Series,
    chunk: &PlacedChunk<'_>,
    samples: &mut Samples,
    runs: &mut Runs,
    stats: &mut ReadStats,
) {
    let start = samples.values.len();
    let decoded = decode_chunk(chunk.encoding, chunk.data, samples);
    if let Err(ChunkError::NoFloats { encoding }) = decoded {
        return stats.skipped_chunk(encoding, chunk.data);
    }
    let decoded = decoded.map_err(|error| error.to_string()).and_then(|ascending| {
        let times = samples.timestamps_ms.get(start..).unwrap_or_default();
        chunk.has(times.iter().copied()).map(|()| ascending)
    });
    let ascending = match decoded {
        Ok(ascending) => ascending,
        Err(reason) => {
            truncate(samples, start);
            return stats.damaged_chunk(chunk.problem(series, reason));
        }
    };
    stats.chunks += 1;
    stats.decoded += (samples.values.len() - start) as u64;
    if chunk.first_ms < chunk.window.start_ms || chunk.last_ms >= chunk.window.end_ms {
        keep_window(samples, start, chunk.window);
    }
    stats.deleted += delete(samples, start, chunk.deleted);
    runs.add(samples, start, chunk.rank, ascending);
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
    if deleted.is_empty() {
        return 0;
    }
    let before = samples.values.len();
    let times = samples.timestamps_ms.split_off(start);
    let values = samples.values.split_off(start);
    for (at_ms, value) in times.into_iter().zip(values) {
        if !cover(deleted, at_ms, at_ms) {
            samples.timestamps_ms.push(at_ms);
            samples.values.push(value);
        }
    }
    (before - samples.values.len()) as u64
}
