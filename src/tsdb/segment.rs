//! Chunk segment files: where the samples lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::TsdbError;
use super::bytes::{Cursor, Malformed};
use super::format::{CRC_BYTES, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, SEGMENT_VERSION};
use super::mmap::FileBytes;

/// Directory name in a block directory.
pub(crate) const CHUNKS_DIRECTORY: &str = "chunks";
/// The bytes before the first record: magic, version and three of padding.
const PADDING_BYTES: usize = 3;

/// Where a chunk lies: the segment's rank in the upper 32 bits, the offset of
/// its record in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkReference(pub(crate) u64);

impl ChunkReference {
    pub(crate) fn rank(self) -> usize {
        (self.0 >> 32) as usize
    }

    pub(crate) fn offset(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// A chunk's bytes, their checksum verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkRecord<'a> {
    pub(crate) encoding: u8,
    pub(crate) data: &'a [u8],
}

/// The segments of one block, in the order that chunk references count them.
#[derive(Debug)]
pub(crate) struct Segments {
    directory: PathBuf,
    /// Numbers and files, ascending.
    files: Vec<(u64, Segment)>,
    /// How references find a file.
    by_number: bool,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    /// The mapped file, or what is wrong with it as a whole.
    bytes: Result<FileBytes, Malformed>,
}

impl Segments {
    /// Gives back the memory of what was read so far; see [`FileBytes::release`].
    pub(crate) fn release(&self) {
        for bytes in self.files.iter().filter_map(|(_, segment)| segment.bytes.as_ref().ok()) {
            bytes.release();
        }
    }

    /// Maps the segments under `block`. One that cannot be used costs its chunks only.
    pub(crate) fn open(block: &Path) -> Result<Self, TsdbError> {
        let directory = block.join(CHUNKS_DIRECTORY);
        let failed = |source| TsdbError::Io { doing: "list", path: directory.clone(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()) else {
                continue;
            };
            let path = entry.path();
            let bytes = open_segment(&path);
            files.push((number, Segment { path, bytes }));
        }
        files.sort_by(|(left, one), (right, other)| (left, &one.path).cmp(&(right, &other.path)));
        Ok(Self { directory, files, by_number: false })
    }

    /// True if the files are numbered from 1 on without a gap, as they are
    /// written: then rank and number say the same.
    pub(crate) fn is_complete_sequence(&self) -> bool {
        self.files.iter().zip(1..).all(|((number, _), expected)| *number == expected)
    }

    /// Number of segment files.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// From now on a reference of rank r means the file numbered r + 1. For a
    /// block that has lost a file that is not its last: by rank, references
    /// would then lead to chunks of other series.
    pub(crate) fn find_by_number(&mut self) {
        self.by_number = true;
    }

    /// Holds the files against what an index says of them: `last_chunks` has for each rank the offset of its last chunk, and `offsets` gives
    /// all of a rank. A file that is another's is not read from then on. Returns what is wrong, by file.
    pub(crate) fn check(
        &mut self,
        last_chunks: &BTreeMap<usize, usize>,
        offsets: impl Fn(usize) -> Vec<usize>,
    ) -> Vec<(PathBuf, Malformed)> {
        let mut wrong = Vec::new();
        let by_number = self.by_number;
        for (position, (number, segment)) in self.files.iter_mut().enumerate() {
            let rank = if by_number { usize::try_from(number.wrapping_sub(1)).ok() } else { Some(position) };
            let Ok(bytes) = &segment.bytes else { continue };
            let Some((rank, last)) = rank.and_then(|rank| Some((rank, *last_chunks.get(&rank)?))) else {
                wrong
                    .push((segment.path.clone(), Malformed::new(0, "the index knows no chunk in this file")));
                continue;
            };
            let end = record_end(bytes, last).unwrap_or(usize::MAX);
            // What a segment was made larger for in advance, and was not cut off, is empty.
            let is_whole = bytes.get(end..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
            if is_whole {
                continue;
            }
            let known = offsets(rank);
            let (starts, cut) = starts(bytes);
            let in_reach = known.iter().take_while(|offset| **offset < cut);
            if in_reach.eq(starts.iter().take_while(|offset| **offset <= last)) {
                let reason = format!(
                    "its last chunk begins at byte {last} and does not end where the file ends ({} bytes)",
                    bytes.len()
                );
                wrong.push((segment.path.clone(), Malformed::new(cut, reason)));
            } else {
                let other = Malformed::new(
                    0,
                    "the chunks in it lie elsewhere than the index says: a file of another block",
                );
                segment.bytes = Err(other.clone());
                wrong.push((segment.path.clone(), other));
            }
        }
        wrong
    }

    /// The chunk at `reference`, or what is wrong in which file.
    pub(crate) fn chunk(
        &self,
        reference: ChunkReference,
    ) -> Result<(ChunkRecord<'_>, &Path), (PathBuf, Malformed)> {
        let rank = reference.rank();
        let position = if self.by_number {
            self.files.binary_search_by_key(&(rank as u64 + 1), |(number, _)| *number).ok()
        } else {
            Some(rank)
        };
        let Some((_, segment)) = position.and_then(|position| self.files.get(position)) else {
            let path = self.directory.join(format!("{:06}", rank + 1));
            return Err((path, Malformed::new(reference.offset(), "the segment file is missing")));
        };
        segment
            .bytes
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|bytes| record(bytes, reference.offset()))
            .map(|record| (record, segment.path.as_path()))
            .map_err(|wrong| (segment.path.clone(), wrong))
    }
}

/// The record at `offset`: length, encoding, data, checksum of the last two.
pub(crate) fn record(file: &[u8], offset: usize) -> Result<ChunkRecord<'_>, Malformed> {
    let mut cursor = Cursor::at(file, offset)?;
    let length = cursor.length()?;
    let Some(checked) = length.checked_add(1) else {
        return Err(cursor.fail("an impossible length"));
    };
    match cursor.checked(checked, "the chunk")?.split_first() {
        Some((encoding, data)) => Ok(ChunkRecord { encoding: *encoding, data }),
        None => Err(cursor.fail("no encoding")),
    }
}

/// Where the record at `offset` ends.
fn record_end(file: &[u8], offset: usize) -> Result<usize, Malformed> {
    let mut cursor = Cursor::at(file, offset)?;
    let length = cursor.length()?;
    // Encoding and checksum.
    cursor.take(length.saturating_add(1 + CRC_BYTES))?;
    Ok(cursor.offset())
}

/// Where the records of a segment begin, one behind the other, and where that ends.
fn starts(file: &[u8]) -> (Vec<usize>, usize) {
    let mut starts = Vec::new();
    let mut at = SEGMENT_HEADER_BYTES;
    while at < file.len() {
        let Ok(end) = record_end(file, at) else { break };
        starts.push(at);
        at = end;
    }
    (starts, at)
}

fn open_segment(path: &Path) -> Result<FileBytes, Malformed> {
    let bytes = FileBytes::open(path).map_err(|error| match error {
        TsdbError::Io { doing, source, .. } => Malformed::new(0, format!("cannot {doing} it: {source}")),
        other => Malformed::new(0, other.to_string()),
    })?;
    let mut cursor = Cursor::new(&bytes, 0);
    if cursor.u32()? != SEGMENT_MAGIC {
        return Err(Malformed::new(0, "not a chunk segment (its magic number differs)"));
    }
    let version = cursor.u8()?;
    if version != SEGMENT_VERSION {
        return Err(Malformed::new(4, format!("segment version {version}, only 1 is known")));
    }
    cursor.take(PADDING_BYTES)?;
    Ok(bytes)
}
