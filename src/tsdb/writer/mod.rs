//! Writes blocks that Prometheus, promtool and every reader of its format take
//! for their own.
//!
//! Chunks go to disk as they come; only the index is held until the end, so
//! memory grows with series and chunks, not with samples.

mod bits;
mod bytes;
mod data_set;
mod index;
mod segments;
pub mod xor;
pub mod xor2;

pub use data_set::{DataSetWriter, EncodedSeries, SeriesEncoder};

use super::format::{ENCODING_XOR, ENCODING_XOR2, SEGMENT_MAX_BYTES, TOMBSTONES_MAGIC, TOMBSTONES_VERSION};
use super::{Labels, Samples, TsdbError, decode_chunk};
use crate::time::Window;
use crate::unfinished::{Unfinished, in_one_step};
use index::{ChunkMeta, IndexBuilder};
use segments::{SegmentWriter, io_error};
use serde::Serialize;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use ulid::Ulid;

/// How float samples are coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FloatEncoding {
    /// Encoding 1, which every Prometheus reads.
    #[default]
    Xor,
    /// Encoding 4, which Prometheus reads from 3.13 on; see [`xor2`].
    Xor2,
}

impl FloatEncoding {
    /// The number in a chunk record.
    fn number(self) -> u8 {
        match self {
            Self::Xor => ENCODING_XOR,
            Self::Xor2 => ENCODING_XOR2,
        }
    }
}

/// How a block is to be written.
#[derive(Clone, Debug)]
pub struct BlockOptions {
    /// A segment file is closed before it grows past this, in bytes.
    pub segment_max_bytes: u64,
    /// Samples in a full chunk, at most [`xor::MAX_SAMPLES`].
    pub samples_per_chunk: usize,
    /// How the samples of a chunk are coded.
    pub encoding: FloatEncoding,
    /// The block's name; a new one from the clock and chance if absent.
    pub ulid: Option<Ulid>,
    /// Further sections of `meta.json`, which readers ignore, by their key.
    pub meta_sections: BTreeMap<String, serde_json::Value>,
}

impl Default for BlockOptions {
    /// As Prometheus does: 512 MiB, 120 samples, XOR.
    fn default() -> Self {
        Self {
            segment_max_bytes: SEGMENT_MAX_BYTES,
            samples_per_chunk: 120,
            encoding: FloatEncoding::default(),
            ulid: None,
            meta_sections: BTreeMap::new(),
        }
    }
}

/// The chunks of one series, encoded: what a thread can prepare while another writes.
#[derive(Clone, Debug, Default)]
pub struct EncodedChunks {
    spans: Vec<Span>,
    data: Vec<u8>,
    samples: u64,
}

/// One chunk among [`EncodedChunks`].
#[derive(Clone, Copy, Debug)]
struct Span {
    first_ms: i64,
    last_ms: i64,
    encoding: u8,
    /// Where its bytes end.
    end: usize,
}

impl EncodedChunks {
    /// Encodes two columns of equal length into chunks of `samples_per_chunk`.
    ///
    /// # Errors
    ///
    /// What is wrong with the columns: unequal lengths, or timestamps that do
    /// not ascend strictly.
    pub fn encode(
        timestamps_ms: &[i64],
        values: &[f64],
        samples_per_chunk: usize,
        encoding: FloatEncoding,
    ) -> Result<Self, String> {
        let mut encoded = Self::default();
        encoded.push(timestamps_ms, values, samples_per_chunk, encoding)?;
        Ok(encoded)
    }

    /// Encodes two columns and adds their chunks to those that are there.
    ///
    /// # Errors
    ///
    /// As [`Self::encode`], and where the first sample does not follow the last
    /// one that is there.
    pub fn push(
        &mut self,
        timestamps_ms: &[i64],
        values: &[f64],
        samples_per_chunk: usize,
        encoding: FloatEncoding,
    ) -> Result<(), String> {
        if timestamps_ms.len() != values.len() {
            return Err(format!("{} timestamps but {} values", timestamps_ms.len(), values.len()));
        }
        if let Some((before, after)) =
            timestamps_ms.iter().zip(timestamps_ms.iter().skip(1)).find(|(before, after)| before >= after)
        {
            return Err(format!("timestamp {after} ms follows {before} ms"));
        }
        if let Some(first_ms) = timestamps_ms.first() {
            self.follows(*first_ms)?;
        }
        let size = samples_per_chunk.clamp(1, xor::MAX_SAMPLES);
        for (times, values) in timestamps_ms.chunks(size).zip(values.chunks(size)) {
            match encoding {
                FloatEncoding::Xor => xor::encode_into(times, values, &mut self.data),
                FloatEncoding::Xor2 => xor2::encode_into(&[], times, values, &mut self.data),
            }
            self.spans.push(Span {
                first_ms: times.first().copied().unwrap_or_default(),
                last_ms: times.last().copied().unwrap_or_default(),
                encoding: encoding.number(),
                end: self.data.len(),
            });
        }
        self.samples += values.len() as u64;
        Ok(())
    }

    /// Adds a chunk as somebody else encoded it, byte for byte: what a chunk
    /// record has between the encoding and the checksum. One without samples is skipped.
    ///
    /// # Errors
    ///
    /// What is wrong with it: an encoding that holds no floats, data that do not
    /// decode, timestamps that do not ascend or do not follow those before.
    pub fn push_raw(&mut self, encoding: u8, data: &[u8]) -> Result<(), String> {
        let mut samples = Samples::default();
        let ascending = decode_chunk(encoding, data, &mut samples).map_err(|error| error.to_string())?;
        let times = &samples.timestamps_ms;
        let Some((first_ms, last_ms)) = times.first().copied().zip(times.last().copied()) else {
            return Ok(());
        };
        if !ascending {
            return Err("a timestamp is repeated in a chunk".to_owned());
        }
        self.follows(first_ms)?;
        self.data.extend_from_slice(data);
        self.spans.push(Span { first_ms, last_ms, encoding, end: self.data.len() });
        self.samples += times.len() as u64;
        Ok(())
    }

    /// Refuses what would not come after the last chunk.
    fn follows(&self, first_ms: i64) -> Result<(), String> {
        match self.spans.last() {
            Some(before) if first_ms <= before.last_ms => {
                Err(format!("timestamp {first_ms} ms follows {} ms", before.last_ms))
            }
            _ => Ok(()),
        }
    }

    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.samples
    }
}

/// Writes one block. It appears under its name only when it is complete;
/// dropped before that, it leaves nothing behind.
pub struct BlockWriter {
    root: PathBuf,
    window: Window,
    ulid: Ulid,
    options: BlockOptions,
    construction: Construction,
    segments: SegmentWriter,
    index: IndexBuilder,
    last: Option<Labels>,
    samples: u64,
    chunks: u64,
}

/// The directory under construction, removed if it is not completed.
struct Construction {
    path: PathBuf,
    completed: bool,
    _unfinished: Unfinished,
}

/// A block that only lacks its name.
struct Nameless {
    construction: Construction,
    finished: PathBuf,
}

impl Drop for Construction {
    fn drop(&mut self) {
        if !self.completed {
            // Nothing can be done about a failure here; Prometheus and this
            // program skip directories of this name.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl BlockWriter {
    /// Starts a block for samples inside `window` as `<root>/<ULID>.tmp-for-creation`.
    ///
    /// # Errors
    ///
    /// [`TsdbError::Io`] where directories cannot be made.
    pub fn create(root: &Path, window: Window, options: BlockOptions) -> Result<Self, TsdbError> {
        let ulid = options.ulid.unwrap_or_else(new_ulid);
        let path = root.join(format!("{ulid}.tmp-for-creation"));
        if path.exists() {
            // Left behind by a crash under the same, fixed name.
            std::fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
        }
        let unfinished = Unfinished::at(&path);
        let chunks = path.join("chunks");
        std::fs::create_dir_all(&chunks).map_err(io_error("create", &chunks))?;
        Ok(Self {
            root: root.to_owned(),
            window,
            ulid,
            segments: SegmentWriter::new(&chunks, options.segment_max_bytes),
            options,
            construction: Construction { path, completed: false, _unfinished: unfinished },
            index: IndexBuilder::default(),
            last: None,
            samples: 0,
            chunks: 0,
        })
    }

    /// Samples written so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Adds the next series. A series without samples is skipped.
    ///
    /// # Errors
    ///
    /// [`TsdbError::InvalidSeries`] if `labels` do not come after those before,
    /// or the samples do not ascend or lie outside the window;
    /// [`TsdbError::Io`] if the disk refuses.
    pub fn add_series(&mut self, labels: &Labels, samples: &Samples) -> Result<(), TsdbError> {
        let BlockOptions { samples_per_chunk, encoding, .. } = self.options;
        let chunks =
            EncodedChunks::encode(&samples.timestamps_ms, &samples.values, samples_per_chunk, encoding)
                .map_err(|reason| invalid(labels, reason))?;
        self.add_encoded(labels, &chunks)
    }

    /// Adds the next series from chunks encoded elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Self::add_series`].
    pub fn add_encoded(&mut self, labels: &Labels, chunks: &EncodedChunks) -> Result<(), TsdbError> {
        let (Some(first), Some(last)) = (chunks.spans.first(), chunks.spans.last()) else {
            return Ok(());
        };
        let (first, last) = (first.first_ms, last.last_ms);
        if labels.is_empty() {
            return Err(invalid(labels, "it has no labels".to_owned()));
        }
        if self.last.as_ref().is_some_and(|before| before >= labels) {
            return Err(invalid(labels, "series must come in ascending order of their labels".to_owned()));
        }
        if !self.window.contains(first) || !self.window.contains(last) {
            let reason = format!("samples from {first} ms to {last} ms leave the block's {}", self.window);
            return Err(invalid(labels, reason));
        }
        let mut start = 0;
        let mut metas = Vec::with_capacity(chunks.spans.len());
        for span in &chunks.spans {
            let data = chunks.data.get(start..span.end).unwrap_or_default();
            let reference = self.segments.append(span.encoding, data)?;
            metas.push(ChunkMeta { min_ms: span.first_ms, max_ms: span.last_ms, reference });
            start = span.end;
        }
        self.index.add(labels, &metas);
        self.chunks += metas.len() as u64;
        self.samples += chunks.samples;
        self.last = Some(labels.clone());
        Ok(())
    }

    /// Writes index, tombstones and `meta.json`, gives the block its name and
    /// returns its directory.
    ///
    /// # Errors
    ///
    /// [`TsdbError::Io`], also where a block of that name is there already;
    /// [`TsdbError::Unsupported`] if the index outgrows the format.
    pub fn finish(self) -> Result<PathBuf, TsdbError> {
        let block = self.complete()?;
        let finished = block.finished.clone();
        name_all(vec![block])?;
        Ok(finished)
    }

    /// Writes all but the name.
    fn complete(mut self) -> Result<Nameless, TsdbError> {
        self.segments.close()?;
        let meta = self.meta()?;
        let directory = &self.construction.path;
        std::mem::take(&mut self.index).write(&directory.join("index"))?;
        write_file(&directory.join("tombstones"), &empty_tombstones())?;
        write_file(&directory.join("meta.json"), &meta)?;
        let finished = self.root.join(self.ulid_text());
        Ok(Nameless { construction: self.construction, finished })
    }

    fn ulid_text(&self) -> String {
        format!("{}", self.ulid)
    }

    fn meta(&self) -> Result<Vec<u8>, TsdbError> {
        let meta = Meta {
            ulid: self.ulid_text(),
            min_time: self.window.start_ms,
            max_time: self.window.end_ms,
            stats: Stats {
                samples: self.samples,
                float_samples: self.samples,
                series: self.index.series_count(),
                chunks: self.chunks,
            },
            compaction: Compaction { level: 1, sources: vec![self.ulid_text()] },
            version: 1,
            sections: &self.options.meta_sections,
        };
        let mut text = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, tabs);
        let path = self.construction.path.join("meta.json");
        meta.serialize(&mut serializer).map_err(std::io::Error::from).map_err(io_error("write", &path))?;
        Ok(text)
    }
}

/// Gives the blocks their names, and no interruption falls between; returns their directories.
fn name_all(mut blocks: Vec<Nameless>) -> Result<Vec<PathBuf>, TsdbError> {
    in_one_step(|| {
        for Nameless { construction, finished } in &mut blocks {
            std::fs::rename(&construction.path, &*finished).map_err(io_error("create", finished))?;
            construction.completed = true;
        }
        Ok(())
    })?;
    Ok(blocks.iter().map(|block| block.finished.clone()).collect())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    ulid: String,
    min_time: i64,
    max_time: i64,
    stats: Stats,
    compaction: Compaction,
    version: u32,
    #[serde(flatten)]
    sections: &'a BTreeMap<String, serde_json::Value>,
}

#[derive(Serialize)]
struct Stats {
    #[serde(rename = "numSamples", skip_serializing_if = "is_zero")]
    samples: u64,
    #[serde(rename = "numFloatSamples", skip_serializing_if = "is_zero")]
    float_samples: u64,
    #[serde(rename = "numSeries", skip_serializing_if = "is_zero")]
    series: u64,
    #[serde(rename = "numChunks", skip_serializing_if = "is_zero")]
    chunks: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Serialize)]
struct Compaction {
    level: u32,
    sources: Vec<String>,
}

/// Magic, version and the CRC of no entries at all.
fn empty_tombstones() -> Vec<u8> {
    let mut bytes = TOMBSTONES_MAGIC.to_be_bytes().to_vec();
    bytes.push(TOMBSTONES_VERSION);
    bytes.extend_from_slice(&crc32c::crc32c(&[]).to_be_bytes());
    bytes
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), TsdbError> {
    std::fs::write(path, bytes).map_err(io_error("write", path))
}

fn invalid(labels: &Labels, reason: String) -> TsdbError {
    TsdbError::InvalidSeries { series: labels.to_string(), reason }
}

/// A name that no other block has: the clock and 80 bits of chance.
fn new_ulid() -> Ulid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    // A new `RandomState` is seeded by the system and differs from the one before.
    let chance = [RandomState::new().hash_one(now), RandomState::new().hash_one(millis)];
    Ulid::from_parts(millis, chance.into_iter().fold(0, |all, half| (all << 64) | u128::from(half)))
}
