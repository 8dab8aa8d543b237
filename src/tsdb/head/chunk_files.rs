//! `chunks_head/`: full chunks of the head, which the server maps into memory
//! before a block is made of them.

use std::io;
use std::path::{Path, PathBuf};

use super::log::{Segment, segments};
use crate::tsdb::bytes::{Cursor, Malformed, checksum_is};
use crate::tsdb::format::CRC_BYTES;
use crate::tsdb::mmap::FileBytes;
use crate::tsdb::problem::Problem;

/// Directory in a data directory.
pub(super) const CHUNKS_HEAD_DIRECTORY: &str = "chunks_head";
/// First four bytes of a file.
const MAGIC: u32 = 0x0130_BC91;
const VERSION: u8 = 1;
/// Magic, version and three bytes of padding.
const HEADER_BYTES: usize = 8;
/// In the byte of the encoding: the chunk holds out-of-order samples.
const OUT_OF_ORDER_BIT: u8 = 1 << 7;

/// The files, mapped. A server appends to the last of them and deletes whole
/// ones, which does no harm to what is read of them here.
#[derive(Debug, Default)]
pub(super) struct ChunkFiles {
    files: Vec<(PathBuf, FileBytes)>,
}

/// A chunk of the head in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileChunk {
    file: usize,
    /// Where its data lies.
    start: usize,
    end: usize,
    /// Time of the first sample.
    pub(super) first_ms: i64,
    /// Time of the last sample.
    pub(super) last_ms: i64,
    pub(super) encoding: u8,
    pub(super) is_out_of_order: bool,
}

impl FileChunk {
    /// Where its data lies in its file, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.start as u64
    }

    /// Its data in the bytes of its file.
    pub(super) fn bytes_of<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        file.get(self.start..self.end)
    }
}

/// What is wrong with the files.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) damage: Vec<Problem>,
    /// Files that break off where the server stopped, and at which byte.
    pub(super) torn: Vec<(PathBuf, u64)>,
}

impl ChunkFiles {
    /// Maps the files of the data directory `root` and shows each chunk with the
    /// reference of its series.
    pub(super) fn open(
        root: &Path,
        faults: &mut Faults,
        mut visit: impl FnMut(u64, FileChunk),
    ) -> io::Result<Self> {
        let mut opened = Self::default();
        let segments = segments(&root.join(CHUNKS_HEAD_DIRECTORY))?;
        let last = segments.last().map(|segment| segment.number);
        for Segment { number, path } in segments {
            let bytes = match FileBytes::open(&path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let wrong = Malformed::new(0, error.reason());
                    faults.damage.push(Problem::new(&path, wrong, ""));
                    continue;
                }
            };
            let file = opened.files.len();
            match chunks(&bytes, |reference, chunk| visit(reference, FileChunk { file, ..chunk })) {
                Ok(()) => {}
                Err(Stop::CutOff(at)) if Some(number) == last => faults.torn.push((path.clone(), at)),
                Err(Stop::CutOff(at)) => {
                    let wrong = Malformed { offset: at, reason: "cut off inside a chunk".into() };
                    faults.damage.push(Problem::new(&path, wrong, ""));
                }
                Err(Stop::Damaged(wrong)) => faults.damage.push(Problem::new(&path, wrong, "")),
            }
            opened.files.push((path, bytes));
        }
        Ok(opened)
    }

    /// The data of a chunk and the file it lies in.
    pub(super) fn data(&self, chunk: FileChunk) -> Option<(&[u8], &Path)> {
        let (path, bytes) = self.files.get(chunk.file)?;
        Some((chunk.bytes_of(bytes)?, path))
    }

    /// Number of files.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    pub(super) fn release(&self) {
        self.files.iter().for_each(|(_, bytes)| bytes.release());
    }
}

pub(super) enum Stop {
    /// The file ends inside the record that begins at this byte.
    CutOff(u64),
    Damaged(Malformed),
}

/// Chunks cannot be found again after a damaged one: the rest of the file is lost.
pub(super) fn chunks(bytes: &[u8], mut visit: impl FnMut(u64, FileChunk)) -> Result<(), Stop> {
    let Some(header) = bytes.get(..HEADER_BYTES) else { return Err(Stop::CutOff(0)) };
    if header.iter().all(|byte| *byte == 0) {
        // Space that was reserved, and never written to.
        return Err(Stop::CutOff(0));
    }
    let mut cursor = Cursor::new(bytes, 0);
    let mut start = || Ok((cursor.u32()?, cursor.u8()?));
    match start().map_err(Stop::Damaged)? {
        (MAGIC, VERSION) => {}
        (MAGIC, version) => {
            let reason = format!("version {version} of a head chunk file, only 1 is known");
            return Err(Stop::Damaged(Malformed::new(4, reason)));
        }
        _ => {
            let reason = "not a file of head chunks (its magic number differs)";
            return Err(Stop::Damaged(Malformed::new(0, reason)));
        }
    }
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        let cut_off = |_| Stop::CutOff(at as u64);
        let mut cursor = Cursor::at(bytes, at).map_err(cut_off)?;
        let reference = cursor.u64().map_err(cut_off)?;
        let first_ms = cursor.u64().map_err(cut_off)?.cast_signed();
        let last_ms = cursor.u64().map_err(cut_off)?.cast_signed();
        if (reference, first_ms, last_ms) == (0, 0, 0) {
            // The file was reserved at full length; from here on it is empty.
            return Ok(());
        }
        let encoding = cursor.u8().map_err(cut_off)?;
        let length = cursor.length().map_err(cut_off)?;
        let start = cursor.offset();
        cursor.take(length).map_err(cut_off)?;
        let end = cursor.offset();
        let checksum = cursor.u32().map_err(cut_off)?;
        if !checksum_is(bytes.get(at..end).unwrap_or_default(), checksum) {
            return Err(Stop::Damaged(Malformed::new(at, "the checksum of a chunk does not match")));
        }
        let chunk = FileChunk {
            file: 0,
            start,
            end,
            first_ms,
            last_ms,
            encoding: encoding & !OUT_OF_ORDER_BIT,
            is_out_of_order: encoding & OUT_OF_ORDER_BIT != 0,
        };
        visit(reference, chunk);
        at = end + CRC_BYTES;
    }
    Ok(())
}
