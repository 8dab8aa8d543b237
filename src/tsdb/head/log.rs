//! The records of a write-ahead log: segments of pages, records cut into
//! fragments, each fragment with its checksum.
//!
//! The same for the WAL, its checkpoint and the WBL (out-of-order samples).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::tsdb::bytes::{Malformed, checksum_is};

/// Records are cut where a page ends.
const PAGE_BYTES: usize = 32 * 1024;
/// Of a fragment: kind, length, checksum.
const HEADER_BYTES: usize = 1 + 2 + 4;
/// The bits of a fragment's first byte that say which part of a record it is.
const KIND_BITS: u8 = 0b111;
const SNAPPY_BIT: u8 = 1 << 3;
const ZSTD_BIT: u8 = 1 << 4;
/// Snappy's densest element makes 64 bytes of three.
const SNAPPY_MAX_RATIO: usize = 22;
/// A server flushes its records long before this; what is longer is damage.
const ZSTD_MAX_RECORD_BYTES: usize = 256 * 1024 * 1024;
/// Labels and samples do not pack better, but for short records.
const ZSTD_MAX_RATIO: usize = 200;
const ZSTD_SHORT_BYTES: usize = 64 * 1024;

/// A numbered file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
}

/// The numbered files under `directory`, in order; none if it is not there.
pub(super) fn segments(directory: &Path) -> io::Result<Vec<Segment>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut segments = Vec::new();
    for entry in entries {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(number) = number
            && entry.path().is_file()
        {
            segments.push(Segment { number, path: entry.path() });
        }
    }
    segments.sort_by(|left, right| (left.number, &left.path).cmp(&(right.number, &right.path)));
    Ok(segments)
}

/// How a segment ended.
#[derive(Debug, Default)]
pub(super) struct SegmentEnd {
    /// What is damaged in it. The rest of a damaged page is left out, reading
    /// goes on with the first record that begins in a later one.
    pub(super) damage: Vec<Malformed>,
    /// Where the last record is torn off: the process or the copy stopped while
    /// it was written.
    pub(super) torn_at: Option<u64>,
    /// Length of the file that was read.
    pub(super) bytes: u64,
}

/// Reads logs; made to be used for many segments, since it keeps its memory.
pub(super) struct LogReader {
    page: Box<[u8]>,
    /// The fragments of the record so far, as they are stored.
    joined: Vec<u8>,
    record: Vec<u8>,
    zstd: FrameDecoder,
}

/// The record that is being put together.
#[derive(Clone, Copy)]
struct Begun {
    offset: usize,
    /// The first byte of its first fragment.
    flags: u8,
}

impl LogReader {
    pub(super) fn new() -> Self {
        Self {
            page: vec![0; PAGE_BYTES].into_boxed_slice(),
            joined: Vec::new(),
            record: Vec::new(),
            zstd: FrameDecoder::new(),
        }
    }

    /// Shows each record of the segment to `visit`, which may find it malformed.
    pub(super) fn read(
        &mut self,
        path: &Path,
        visit: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> io::Result<SegmentEnd> {
        self.read_from(&mut File::open(path)?, visit)
    }

    /// The same of the bytes of a segment.
    pub(super) fn read_from(
        &mut self,
        file: &mut impl Read,
        visit: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> io::Result<SegmentEnd> {
        let mut end = SegmentEnd::default();
        let mut begun = None;
        let mut offset = 0;
        loop {
            let mut page = std::mem::take(&mut self.page);
            let filled = fill(file, &mut page);
            if let Ok(filled) = filled {
                let bytes = page.get(..filled).unwrap_or_default();
                match self.read_page(bytes, offset, &mut begun, &mut end, visit) {
                    Ok(()) => {}
                    Err(Stop::Damaged(wrong)) => {
                        begun = None;
                        end.damage.push(wrong);
                    }
                    Err(Stop::Torn(at)) => {
                        begun.get_or_insert(Begun { offset: at, flags: 0 });
                    }
                }
            }
            self.page = page;
            let filled = filled?;
            offset += filled;
            if filled < PAGE_BYTES {
                break;
            }
        }
        if let Some(Begun { offset, .. }) = begun {
            end.torn_at = Some(offset as u64);
        }
        end.bytes = offset as u64;
        Ok(end)
    }

    /// The fragments of one page, which lies at `offset` in its file.
    fn read_page(
        &mut self,
        page: &[u8],
        offset: usize,
        begun: &mut Option<Begun>,
        end: &mut SegmentEnd,
        visit: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Stop> {
        let mut at = 0;
        while let Some(fragment) = Fragment::read(page, at, offset)? {
            let here = offset + at;
            at += HEADER_BYTES + fragment.data.len();
            match (fragment.part, *begun) {
                (Part::Full | Part::First, was) => {
                    if let Some(unfinished) = was {
                        end.damage.push(Malformed::new(unfinished.offset, "a record without its end"));
                    }
                    self.joined.clear();
                    *begun = Some(Begun { offset: here, flags: fragment.flags });
                }
                (Part::Middle | Part::Last, Some(_)) => {}
                // What is left of a record that began in a damaged page is counted already.
                (Part::Middle | Part::Last, None) => {
                    if end.damage.is_empty() {
                        end.damage.push(Malformed::new(here, "a record without its beginning"));
                    }
                    continue;
                }
            }
            self.joined.extend_from_slice(fragment.data);
            if let Some(whole) = begun.take_if(|_| fragment.part.ends()) {
                let seen = self.expand(whole.flags).and_then(|()| visit(&self.record));
                if let Err(wrong) = seen {
                    let reason = format!("{} (byte {} of the record)", wrong.reason, wrong.offset);
                    end.damage.push(Malformed::new(whole.offset, reason));
                }
            }
        }
        Ok(())
    }

    /// Decompresses the joined record.
    fn expand(&mut self, flags: u8) -> Result<(), Malformed> {
        let failed = |reason: String| Malformed::new(0, reason);
        self.record.clear();
        if flags & SNAPPY_BIT != 0 {
            let length = snap::raw::decompress_len(&self.joined)
                .map_err(|error| failed(format!("not Snappy data: {error}")))?;
            if length > self.joined.len().saturating_mul(SNAPPY_MAX_RATIO) {
                return Err(failed(format!("Snappy data that claims to hold {length} bytes")));
            }
            self.record.resize(length, 0);
            snap::raw::Decoder::new()
                .decompress(&self.joined, &mut self.record)
                .map_err(|error| failed(format!("not Snappy data: {error}")))?;
        } else if flags & ZSTD_BIT != 0 {
            let failed = |error: String| failed(format!("not Zstandard data: {error}"));
            let source = StreamingDecoder::new_with_decoder(self.joined.as_slice(), &mut self.zstd)
                .map_err(|error| failed(error.to_string()))?;
            let most = self.joined.len().saturating_mul(ZSTD_MAX_RATIO);
            let most = most.clamp(ZSTD_SHORT_BYTES, ZSTD_MAX_RECORD_BYTES);
            source
                .take(most as u64 + 1)
                .read_to_end(&mut self.record)
                .map_err(|error| failed(error.to_string()))?;
            if self.record.len() > most {
                return Err(failed(format!("it unpacks to more than {most} bytes")));
            }
        } else {
            self.record.extend_from_slice(&self.joined);
        }
        Ok(())
    }
}

/// Why the rest of a page is not read.
enum Stop {
    Damaged(Malformed),
    /// The file ends inside the fragment at this offset.
    Torn(usize),
}

/// Which part of its record a fragment holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Full,
    First,
    Middle,
    Last,
}

impl Part {
    fn ends(self) -> bool {
        matches!(self, Self::Full | Self::Last)
    }
}

struct Fragment<'a> {
    part: Part,
    flags: u8,
    data: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// The fragment `at` bytes into a page that lies at `offset` in its file;
    /// `None` where the page holds no more.
    fn read(page: &'a [u8], at: usize, offset: usize) -> Result<Option<Self>, Stop> {
        let rest = page.get(at..).unwrap_or_default();
        let Some((&flags, after)) = rest.split_first() else { return Ok(None) };
        let damaged = |reason: &'static str| Stop::Damaged(Malformed::new(offset + at, reason));
        // A page that is not full ends where the file does.
        let too_short =
            |reason| if page.len() < PAGE_BYTES { Stop::Torn(offset + at) } else { damaged(reason) };
        let part = match flags & KIND_BITS {
            0 if after.iter().all(|byte| *byte == 0) => return Ok(None),
            0 => return Err(damaged("bytes where a page should be empty")),
            1 => Part::Full,
            2 => Part::First,
            3 => Part::Middle,
            4 => Part::Last,
            _ => return Err(damaged("an unknown kind of record fragment")),
        };
        let header = after.split_first_chunk::<2>().and_then(|(length, after)| {
            let (checksum, after) = after.split_first_chunk::<4>()?;
            Some((u16::from_be_bytes(*length), u32::from_be_bytes(*checksum), after))
        });
        let Some((length, checksum, after)) = header else {
            return Err(too_short("a record fragment whose header does not fit its page"));
        };
        let Some(data) = after.get(..usize::from(length)) else {
            return Err(too_short("a record fragment that leaves its page"));
        };
        if !checksum_is(data, checksum) {
            return Err(damaged("the checksum of a record does not match"));
        }
        Ok(Some(Self { part, flags, data }))
    }
}

/// Reads until `page` is full or the file ends, and returns how far.
fn fill(file: &mut impl Read, page: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = page.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
