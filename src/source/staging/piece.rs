//! What came, kept on the disk until its block is complete: memory does not grow
//! with samples, and a fetch that was stopped need not ask again.
//!
//! The file is private to this program and gone when its block is written. It
//! is a row of records, each with a checksum: series, their chunks, and at the
//! end what was counted. It gets its name only when the end is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Sink, StagingError};
use crate::time::Window;
use crate::tsdb::bytes::{Cursor, Malformed};
use crate::tsdb::writer::{BlockOptions, xor};
use crate::tsdb::{ChunkError, ENCODING_XOR, Labels, Samples, decode_chunk, encoding_name};
use crate::unfinished::Unfinished;

const TAG_SERIES: u8 = 1;
const TAG_CHUNK: u8 = 2;
const TAG_END: u8 = 3;
/// Tag and length before a record's body, checksum after it.
const HEAD_BYTES: u64 = 5;
const TAIL_BYTES: u64 = 4;
/// First and last timestamp and the encoding, before a chunk's data.
const CHUNK_HEAD_BYTES: u64 = 17;

/// What was taken and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Samples kept.
    pub samples: u64,
    /// Chunks kept as they came.
    pub chunks_kept: u64,
    /// Chunks that were encoded here: cut at the window, put in order, or from samples.
    pub chunks_encoded: u64,
    /// Chunks of encodings that are not read, by the encoding's name.
    pub chunks_skipped: BTreeMap<String, u64>,
    /// Chunks that do not decode.
    pub chunks_damaged: u64,
    /// Samples that are histograms, which are not read.
    pub histograms_skipped: u64,
    /// Samples left out because the same series had another value at that time, which came later.
    #[serde(default)]
    pub conflicts: u64,
}

impl Tally {
    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.chunks_kept += other.chunks_kept;
        self.chunks_encoded += other.chunks_encoded;
        for (encoding, chunks) in &other.chunks_skipped {
            *self.chunks_skipped.entry(encoding.clone()).or_default() += chunks;
        }
        self.chunks_damaged += other.chunks_damaged;
        self.histograms_skipped += other.histograms_skipped;
        self.conflicts += other.conflicts;
    }
}

/// A piece being written.
pub(in crate::source) struct PieceWriter {
    path: PathBuf,
    part: PathBuf,
    _unfinished: Unfinished,
    file: BufWriter<File>,
    position: u64,
    /// The series whose chunks are being written.
    series: Option<Labels>,
    tally: Tally,
    scratch: Samples,
}

/// A place in a piece to go back to.
pub(in crate::source) struct Mark {
    position: u64,
    tally: Tally,
}

impl PieceWriter {
    /// Starts the piece that will be `path`.
    pub(in crate::source) fn create(path: &Path) -> Result<Self, StagingError> {
        let part = path.with_extension("part");
        let unfinished = Unfinished::at(&part);
        // Not through a link that somebody put there.
        match std::fs::remove_file(&part) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StagingError::io("remove", &part)(source));
            }
            _ => {}
        }
        let file = File::create_new(&part).map_err(StagingError::io("create", &part))?;
        Ok(Self {
            path: path.to_owned(),
            part,
            _unfinished: unfinished,
            file: BufWriter::new(file),
            position: 0,
            series: None,
            tally: Tally::default(),
            scratch: Samples::default(),
        })
    }

    /// Notes how far it is.
    pub(in crate::source) fn mark(&mut self) -> Result<Mark, StagingError> {
        self.series = None;
        self.file.flush().map_err(StagingError::io("write", &self.part))?;
        Ok(Mark { position: self.position, tally: self.tally.clone() })
    }

    /// Forgets everything after `mark`.
    pub(in crate::source) fn rewind(&mut self, mark: &Mark) -> Result<(), StagingError> {
        self.series = None;
        if self.position != mark.position {
            let io = StagingError::io("write", &self.part);
            let rewound = self.file.flush().and_then(|()| {
                self.file.get_ref().set_len(mark.position)?;
                self.file.seek(SeekFrom::Start(mark.position))
            });
            rewound.map_err(io)?;
            self.position = mark.position;
        }
        self.tally = mark.tally.clone();
        Ok(())
    }

    /// What was taken so far, to count more.
    pub(in crate::source) fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn encode(&mut self, labels: &Labels, samples: &mut Samples, window: Window) -> Result<(), StagingError> {
        self.tally.conflicts += put_in_order(samples, window);
        self.tally.samples += samples.values.len() as u64;
        let size = BlockOptions::default().samples_per_chunk;
        for (times, values) in samples.timestamps_ms.chunks(size).zip(samples.values.chunks(size)) {
            let (Some(first_ms), Some(last_ms)) = (times.first(), times.last()) else { continue };
            self.tally.chunks_encoded += 1;
            self.put_chunk(labels, *first_ms, *last_ms, ENCODING_XOR, &xor::encode(times, values))?;
        }
        Ok(())
    }

    fn put_chunk(
        &mut self,
        labels: &Labels,
        first_ms: i64,
        last_ms: i64,
        encoding: u8,
        data: &[u8],
    ) -> Result<(), StagingError> {
        if self.series.as_ref() != Some(labels) {
            let mut body = Vec::new();
            for text in labels.iter().flat_map(|(name, value)| [name, value]) {
                body.extend_from_slice(&(text.len() as u32).to_be_bytes());
                body.extend_from_slice(text.as_bytes());
            }
            self.put(TAG_SERIES, &[&body])?;
            self.series = Some(labels.clone());
        }
        self.put(TAG_CHUNK, &[&first_ms.to_be_bytes(), &last_ms.to_be_bytes(), &[encoding], data])
    }

    fn put(&mut self, tag: u8, body: &[&[u8]]) -> Result<(), StagingError> {
        let length: usize = body.iter().map(|part| part.len()).sum();
        let checksum = body.iter().fold(crc32c::crc32c(&[tag]), |crc, part| crc32c::crc32c_append(crc, part));
        let io = StagingError::io("write", &self.part);
        let mut put = || {
            self.file.write_all(&[tag])?;
            self.file.write_all(&(length as u32).to_be_bytes())?;
            body.iter().try_for_each(|part| self.file.write_all(part))?;
            self.file.write_all(&checksum.to_be_bytes())
        };
        put().map_err(io)?;
        self.position += HEAD_BYTES + length as u64 + TAIL_BYTES;
        Ok(())
    }

    /// Completes the piece and gives it its name.
    pub(in crate::source) fn finish(mut self) -> Result<Tally, StagingError> {
        // A map of strings and numbers always has a JSON form.
        let tally = serde_json::to_vec(&self.tally).unwrap_or_default();
        self.put(TAG_END, &[&tally])?;
        let kept = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        kept.map_err(StagingError::io("write", &self.part))?;
        std::fs::rename(&self.part, &self.path).map_err(StagingError::io("create", &self.path))?;
        Ok(self.tally)
    }
}

impl Sink for PieceWriter {
    /// The chunk is kept byte for byte where all its samples
    /// ascend and lie inside `window`, else the samples inside are encoded anew.
    fn chunk(
        &mut self,
        labels: &Labels,
        encoding: u8,
        data: &[u8],
        window: Window,
    ) -> Result<(), StagingError> {
        let mut samples = std::mem::take(&mut self.scratch);
        samples.timestamps_ms.clear();
        samples.values.clear();
        let decoded = decode_chunk(encoding, data, &mut samples);
        let span = samples.timestamps_ms.first().copied().zip(samples.timestamps_ms.last().copied());
        let taken = match (decoded, span) {
            (Err(ChunkError::NoFloats { .. }), _) => {
                *self.tally.chunks_skipped.entry(encoding_name(encoding)).or_default() += 1;
                Ok(())
            }
            (Err(_), _) => {
                self.tally.chunks_damaged += 1;
                Ok(())
            }
            (Ok(_), None) => Ok(()),
            (Ok(true), Some((first_ms, last_ms)))
                if window.contains(first_ms) && window.contains(last_ms) =>
            {
                self.tally.samples += samples.values.len() as u64;
                self.tally.chunks_kept += 1;
                self.put_chunk(labels, first_ms, last_ms, encoding, data)
            }
            (Ok(_), Some(_)) => self.encode(labels, &mut samples, window),
        };
        self.scratch = samples;
        taken
    }

    fn samples(&mut self, labels: &Labels, mut samples: Samples, window: Window) -> Result<(), StagingError> {
        self.encode(labels, &mut samples, window)
    }

    fn skipped_histograms(&mut self, count: u64) {
        self.tally.histograms_skipped += count;
    }
}

/// Drops what is outside of `window`, sorts by time, and of samples with one
/// timestamp keeps the last. Returns how many were dropped that had another value than it.
pub(in crate::source) fn put_in_order(samples: &mut Samples, window: Window) -> u64 {
    let times = &samples.timestamps_ms;
    let ascending = times.is_sorted_by(|before, after| before < after);
    let inside = |at_ms: Option<&i64>| at_ms.is_none_or(|at_ms| window.contains(*at_ms));
    if ascending && inside(times.first()) && inside(times.last()) {
        return 0;
    }
    let mut conflicts = 0;
    let pairs = times.iter().copied().zip(samples.values.iter().copied());
    let mut pairs: Vec<(i64, f64)> = pairs.filter(|(at_ms, _)| window.contains(*at_ms)).collect();
    pairs.sort_by_key(|(at_ms, _)| *at_ms);
    samples.timestamps_ms.clear();
    samples.values.clear();
    for (at_ms, value) in pairs {
        match samples.values.last_mut() {
            Some(last) if samples.timestamps_ms.last() == Some(&at_ms) => {
                conflicts += u64::from(last.to_bits() != value.to_bits());
                *last = value;
            }
            _ => {
                samples.timestamps_ms.push(at_ms);
                samples.values.push(value);
            }
        }
    }
    conflicts
}

/// Where a chunk lies in its piece.
#[derive(Clone, Copy, Debug)]
pub(in crate::source) struct StoredChunk {
    pub(in crate::source) first_ms: i64,
    pub(in crate::source) last_ms: i64,
    pub(in crate::source) encoding: u8,
    /// In its piece: of two chunks, the one that came later has the greater one.
    pub(super) offset: u64,
    length: u64,
}

/// A complete piece.
pub(in crate::source) struct Piece {
    path: PathBuf,
    file: File,
    pub(in crate::source) tally: Tally,
}

impl Piece {
    /// Opens the piece at `path` and hands every chunk to `each`, in the order
    /// in which they came. `None` if it is not there or not whole.
    pub(in crate::source) fn open(
        path: &Path,
        mut each: impl FnMut(&Labels, StoredChunk),
    ) -> Result<Option<Self>, StagingError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StagingError::io("open", path)(error)),
        };
        let mut reader = BufReader::new(&file);
        let mut labels = Labels::default();
        let (mut position, mut body) = (0, Vec::new());
        let tally = loop {
            let Some(tag) = record(&mut reader, &mut body).map_err(StagingError::io("read", path))? else {
                return Ok(None);
            };
            let length = body.len() as u64;
            match tag {
                TAG_SERIES => match labels_of(&body) {
                    Ok(read) => labels = read,
                    Err(_) => return Ok(None),
                },
                TAG_CHUNK => {
                    let mut cursor = Cursor::new(&body, 0);
                    let (Ok(first_ms), Ok(last_ms), Ok(encoding)) = (cursor.u64(), cursor.u64(), cursor.u8())
                    else {
                        return Ok(None);
                    };
                    let stored = StoredChunk {
                        first_ms: first_ms.cast_signed(),
                        last_ms: last_ms.cast_signed(),
                        encoding,
                        offset: position + HEAD_BYTES + CHUNK_HEAD_BYTES,
                        length: length.saturating_sub(CHUNK_HEAD_BYTES),
                    };
                    each(&labels, stored);
                }
                TAG_END => match serde_json::from_slice(&body) {
                    Ok(tally) => break tally,
                    Err(_) => return Ok(None),
                },
                _ => return Ok(None),
            }
            position += HEAD_BYTES + length + TAIL_BYTES;
        };
        Ok(Some(Self { path: path.to_owned(), file, tally }))
    }

    /// Reads the data of `chunk`.
    pub(in crate::source) fn read(
        &mut self,
        chunk: &StoredChunk,
        data: &mut Vec<u8>,
    ) -> Result<(), StagingError> {
        data.clear();
        let read = self.file.seek(SeekFrom::Start(chunk.offset));
        let read = read.and_then(|_| (&self.file).take(chunk.length).read_to_end(data));
        read.map(drop).map_err(StagingError::io("read", &self.path))
    }
}

/// Reads the next record into `body` and returns its tag; `None` if it is not whole.
fn record(reader: &mut impl Read, body: &mut Vec<u8>) -> std::io::Result<Option<u8>> {
    let mut read = |most: u64, into: &mut Vec<u8>| {
        into.clear();
        reader.by_ref().take(most).read_to_end(into).map(|read| read as u64 == most)
    };
    let mut head = Vec::new();
    if !read(HEAD_BYTES, &mut head)? {
        return Ok(None);
    }
    let mut cursor = Cursor::new(&head, 0);
    let (Ok(tag), Ok(length)) = (cursor.u8(), cursor.u32()) else { return Ok(None) };
    let mut tail = Vec::new();
    if !read(u64::from(length), body)? || !read(TAIL_BYTES, &mut tail)? {
        return Ok(None);
    }
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&[tag]), body);
    Ok((tail == checksum.to_be_bytes()).then_some(tag))
}

fn labels_of(body: &[u8]) -> Result<Labels, Malformed> {
    let mut cursor = Cursor::new(body, 0);
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    while !cursor.is_empty() {
        let mut text = || -> Result<Arc<str>, Malformed> {
            let length = cursor.u32()?;
            Ok(String::from_utf8_lossy(cursor.take(length as usize)?).into())
        };
        pairs.push((text()?, text()?));
    }
    Ok(Labels::from_ordered(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window::new(1000, 5000);

    /// A chunk's series, first and last timestamp, and data.
    type Found = (String, i64, i64, Vec<u8>);

    fn read(path: &Path) -> Option<(Vec<Found>, Tally)> {
        let mut found = Vec::new();
        let mut piece =
            Piece::open(path, |labels, chunk| found.push((labels.to_string(), chunk))).unwrap()?;
        let mut data = Vec::new();
        let chunks = found
            .into_iter()
            .map(|(labels, chunk)| {
                piece.read(&chunk, &mut data).unwrap();
                (labels, chunk.first_ms, chunk.last_ms, data.clone())
            })
            .collect();
        Some((chunks, piece.tally.clone()))
    }

    #[test]
    fn chunks_are_kept_as_they_came_unless_the_window_cuts_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.piece");
        let (up, down) = (Labels::new([("__name__", "up")]), Labels::new([("__name__", "down")]));
        let mut writer = PieceWriter::create(&path).unwrap();
        let inside = xor::encode(&[1000, 4999], &[1.0, 2.0]);
        let across = xor::encode(&[999, 1000, 5000], &[0.0, 1.0, 2.0]);
        writer.chunk(&up, ENCODING_XOR, &inside, WINDOW).unwrap();
        let mark = writer.mark().unwrap();
        writer.chunk(&down, ENCODING_XOR, &across, WINDOW).unwrap();
        writer.rewind(&mark).unwrap();
        writer.chunk(&down, ENCODING_XOR, &across, WINDOW).unwrap();
        writer.chunk(&down, 2, &inside, WINDOW).unwrap();
        writer.chunk(&down, ENCODING_XOR, &inside[..4], WINDOW).unwrap();
        assert!(read(&path).is_none(), "not there before its end");
        let tally = writer.finish().unwrap();
        let expected = Tally {
            samples: 3,
            chunks_kept: 1,
            chunks_encoded: 1,
            chunks_skipped: [(encoding_name(2), 1)].into(),
            chunks_damaged: 1,
            histograms_skipped: 0,
            conflicts: 0,
        };
        assert_eq!(tally, expected);
        let chunks = vec![
            ("up".to_owned(), 1000, 4999, inside),
            ("down".to_owned(), 1000, 1000, xor::encode(&[1000], &[1.0])),
        ];
        assert_eq!(read(&path).unwrap(), (chunks, expected));

        // A file that lacks its end, or has a wrong bit, is none.
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(read(&path).is_none());
        for at in [0, 3, 12, bytes.len() / 2, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(read(&path).is_none(), "byte {at}");
        }
    }

    #[test]
    fn samples_are_put_in_order() {
        let mut samples = Samples {
            timestamps_ms: vec![3000, 1000, 5000, 3000, 2000],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0],
        };
        let conflicts = put_in_order(&mut samples, WINDOW);
        assert_eq!(conflicts, 1, "two values at 3000");
        assert_eq!(samples, Samples { timestamps_ms: vec![1000, 2000, 3000], values: vec![2.0, 5.0, 4.0] });
    }
}
