//! A data set that spans several blocks.

use super::{BlockOptions, BlockWriter, EncodedChunks, FloatEncoding, invalid, name_all};
use crate::time::{Window, buckets};
use crate::tsdb::{Labels, Samples, TsdbError};
use std::path::{Path, PathBuf};

/// Cuts each series at block borders and writes all blocks side by side.
///
/// Borders are multiples of the block range since the epoch, as Prometheus
/// aligns its blocks (2 h, 6 h, 18 h, …): with a day, UTC midnights.
pub struct DataSetWriter {
    samples_per_chunk: usize,
    encoding: FloatEncoding,
    blocks: Vec<BlockWriter>,
}

/// The samples of one series, encoded for every block of a [`DataSetWriter`].
#[derive(Clone, Debug, Default)]
pub struct EncodedSeries {
    blocks: Vec<EncodedChunks>,
}

/// Encodes series for a [`DataSetWriter`]; can be given to other threads.
#[derive(Clone, Debug)]
pub struct SeriesEncoder {
    samples_per_chunk: usize,
    encoding: FloatEncoding,
    windows: Vec<Window>,
}

impl SeriesEncoder {
    /// Encodes `samples`, cut at block borders.
    ///
    /// # Errors
    ///
    /// [`TsdbError::InvalidSeries`] if the samples do not ascend or lie outside
    /// the data set's window.
    pub fn encode(&self, labels: &Labels, samples: &Samples) -> Result<EncodedSeries, TsdbError> {
        let (mut times, mut values) = (samples.timestamps_ms.as_slice(), samples.values.as_slice());
        let mut encoded = EncodedSeries::default();
        if times.len() != values.len() {
            return Err(invalid(labels, format!("{} timestamps but {} values", times.len(), values.len())));
        }
        for window in &self.windows {
            let inside = times.partition_point(|&at_ms| at_ms < window.end_ms);
            let (block_times, later_times) = times.split_at(inside);
            let (block_values, later_values) = values.split_at(inside);
            let chunks =
                EncodedChunks::encode(block_times, block_values, self.samples_per_chunk, self.encoding)
                    .map_err(|reason| invalid(labels, reason))?;
            encoded.blocks.push(chunks);
            (times, values) = (later_times, later_values);
        }
        match times.first() {
            Some(late) => Err(invalid(labels, format!("a sample at {late} ms is after the data set's end"))),
            None => Ok(encoded),
        }
    }
}

impl DataSetWriter {
    /// Starts blocks of `block_range_ms` that cover `window`, under `root`.
    /// `options` is asked once for each block's window.
    ///
    /// # Errors
    ///
    /// As [`BlockWriter::create`].
    pub fn create(
        root: &Path,
        window: Window,
        block_range_ms: i64,
        options: impl Fn(Window) -> BlockOptions,
    ) -> Result<Self, TsdbError> {
        let BlockOptions { mut samples_per_chunk, mut encoding, .. } = BlockOptions::default();
        let mut blocks = Vec::new();
        for block_window in buckets(window, block_range_ms, chrono_tz::Tz::UTC) {
            let options = options(block_window);
            samples_per_chunk = options.samples_per_chunk;
            encoding = options.encoding;
            blocks.push(BlockWriter::create(root, block_window, options)?);
        }
        Ok(Self { samples_per_chunk, encoding, blocks })
    }

    /// An encoder for this data set.
    pub fn encoder(&self) -> SeriesEncoder {
        let windows = self.blocks.iter().map(|block| block.window).collect();
        SeriesEncoder { samples_per_chunk: self.samples_per_chunk, encoding: self.encoding, windows }
    }

    /// Adds the next series to every block in which it has samples.
    ///
    /// # Errors
    ///
    /// As [`BlockWriter::add_series`].
    pub fn add_series(&mut self, labels: &Labels, samples: &Samples) -> Result<(), TsdbError> {
        let encoded = self.encoder().encode(labels, samples)?;
        self.add_encoded(labels, &encoded)
    }

    /// Adds the next series, encoded by [`Self::encoder`].
    ///
    /// # Errors
    ///
    /// As [`BlockWriter::add_encoded`].
    pub fn add_encoded(&mut self, labels: &Labels, encoded: &EncodedSeries) -> Result<(), TsdbError> {
        for (block, chunks) in self.blocks.iter_mut().zip(&encoded.blocks) {
            block.add_encoded(labels, chunks)?;
        }
        Ok(())
    }

    /// Samples written so far, in all blocks.
    pub fn samples(&self) -> u64 {
        self.blocks.iter().map(BlockWriter::samples).sum()
    }

    /// Completes the blocks that hold samples, drops the others, and returns
    /// the directories in order of time.
    ///
    /// # Errors
    ///
    /// As [`BlockWriter::finish`].
    pub fn finish(self) -> Result<Vec<PathBuf>, TsdbError> {
        let full = self.blocks.into_iter().filter(|block| block.samples() > 0);
        name_all(full.map(BlockWriter::complete).collect::<Result<_, _>>()?)
    }
}
