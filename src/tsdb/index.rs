//! The index of a block: symbols, series, postings.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::TsdbError;
use super::bytes::{Cursor, Malformed, section, without_checksum};
use super::format::{
    INDEX_HEADER_BYTES, INDEX_MAGIC, INDEX_TOC_BYTES, INDEX_VERSION_1, INDEX_VERSION_2, SERIES_ALIGN,
};
use super::mmap::FileBytes;
use super::postings::PostingsTable;
use super::segment::ChunkReference;

/// File name in a block directory.
pub(crate) const INDEX_FILE: &str = "index";
/// Version byte of Loki's indexes, which have the magic number of Prometheus'.
const LOKI_VERSION: u8 = 3;
/// Every so many symbols the position is remembered; between them is walked.
const SYMBOL_STRIDE: usize = 32;

/// An index of version 1 or 2, mapped.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    bytes: FileBytes,
    version: Version,
    symbols: SymbolTable,
    series: Range<usize>,
    pub(crate) postings: PostingsTable,
}

/// What symbols and series are referred to by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// Both by offsets in the file.
    One,
    /// Symbols by ordinals, series by offsets in units of 16 bytes.
    Two,
}

#[derive(Debug)]
struct SymbolTable {
    /// File offsets of the symbols 0, 32, 64, …
    positions: Vec<usize>,
    count: u32,
    start: usize,
    end: usize,
}

/// The offsets in the table of contents; 0: the section is absent.
struct Contents {
    symbols: u64,
    series: u64,
    /// Ends of the series section, whichever of them are there.
    after_series: [u64; 4],
    postings_table: u64,
}

impl Index {
    /// Maps and checks the index of the block directory `block`: header, table
    /// of contents, symbols and the table of postings. Series and postings are
    /// checked when they are read.
    pub(crate) fn open(block: &Path) -> Result<Self, TsdbError> {
        let path = block.join(INDEX_FILE);
        let bytes = FileBytes::open(&path)?;
        Self::from_bytes(path, bytes)
    }

    /// The same of the bytes of a file.
    pub(crate) fn from_bytes(path: PathBuf, bytes: FileBytes) -> Result<Self, TsdbError> {
        let corrupt = |wrong: Malformed| wrong.in_file(&path);
        let mut header = Cursor::new(&bytes, 0);
        let magic = header.u32().map_err(corrupt)?;
        if magic != INDEX_MAGIC {
            let reason = format!("its magic number is {magic:08x}, an index has {INDEX_MAGIC:08x}");
            return Err(corrupt(Malformed::new(0, reason)));
        }
        let version = match header.u8().map_err(corrupt)? {
            INDEX_VERSION_1 => Version::One,
            INDEX_VERSION_2 => Version::Two,
            other => {
                let mut reason =
                    format!("index version {other}; Prometheus writes 2, and 1 in its first releases");
                if other == LOKI_VERSION {
                    reason.push_str(". Loki writes 3, with another layout");
                }
                return Err(TsdbError::Unsupported { path, reason });
            }
        };
        let contents = contents(&bytes).map_err(corrupt)?;
        let symbols = symbol_table(&bytes, contents.symbols).map_err(corrupt)?;
        let series = series_range(&bytes, &contents).map_err(corrupt)?;
        let postings = PostingsTable::open(&bytes, contents.postings_table).map_err(corrupt)?;
        Ok(Self { path, version, symbols, series, postings, bytes })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives back the memory of what was read so far; see [`FileBytes::release`].
    pub(crate) fn release(&self) {
        self.bytes.release();
    }

    /// The symbol that a series entry refers to so.
    pub(crate) fn symbol(&self, reference: u32) -> Result<&str, Malformed> {
        let mut cursor = match self.version {
            Version::One => self.symbol_at(reference)?,
            Version::Two => self.nth_symbol(reference)?,
        };
        let start = cursor.offset();
        std::str::from_utf8(cursor.prefixed()?)
            .map_err(|_| Malformed::new(start, format!("symbol {reference} is not UTF-8")))
    }

    /// The symbol at an offset in the file.
    fn symbol_at(&self, offset: u32) -> Result<Cursor<'_>, Malformed> {
        let at = offset as usize;
        let SymbolTable { start, end, .. } = self.symbols;
        if !(start..end).contains(&at) {
            return Err(Malformed::new(at, format!("a symbol outside the symbol table ({start} to {end})")));
        }
        Ok(Cursor::new(self.bytes.get(at..end).unwrap_or_default(), at))
    }

    /// The symbol with an ordinal.
    fn nth_symbol(&self, ordinal: u32) -> Result<Cursor<'_>, Malformed> {
        let nth = ordinal as usize;
        let position = self.symbols.positions.get(nth / SYMBOL_STRIDE).copied();
        let (Some(position), true) = (position, ordinal < self.symbols.count) else {
            let reason = format!("symbol {ordinal} of {}", self.symbols.count);
            return Err(Malformed::new(self.symbols.end, reason));
        };
        let inside = self.bytes.get(position..self.symbols.end).unwrap_or_default();
        let mut cursor = Cursor::new(inside, position);
        for _ in 0..nth % SYMBOL_STRIDE {
            cursor.prefixed()?;
        }
        Ok(cursor)
    }

    /// Where the entry of the series with this id begins.
    pub(crate) fn place_of(&self, id: u32) -> usize {
        let unit = match self.version {
            Version::One => 1,
            Version::Two => SERIES_ALIGN,
        };
        usize::try_from(id).unwrap_or(usize::MAX).saturating_mul(unit)
    }

    /// The series with this id, its checksum verified.
    pub(crate) fn series(&self, id: u32) -> Result<SeriesEntry<'_>, Malformed> {
        let at = self.place_of(id);
        if !self.series.contains(&at) {
            return Err(Malformed::new(at, "a series outside the series section"));
        }
        let inside = self.bytes.get(at..self.series.end).unwrap_or_default();
        let mut cursor = Cursor::new(inside, at);
        let length = cursor.length()?;
        let body = cursor.offset();
        let body = Cursor::new(cursor.checked(length, "the series")?, body);
        SeriesEntry::new(body)
    }
}

fn contents(bytes: &[u8]) -> Result<Contents, Malformed> {
    let Some(start) = bytes.len().checked_sub(INDEX_TOC_BYTES).filter(|start| *start >= INDEX_HEADER_BYTES)
    else {
        return Err(Malformed::new(bytes.len(), "too short for an index"));
    };
    let toc = bytes.get(start..).unwrap_or_default();
    let mut cursor = without_checksum(toc, start, "the table of contents")?;
    let symbols = cursor.u64()?;
    let series = cursor.u64()?;
    let label_indices = cursor.u64()?;
    let label_indices_table = cursor.u64()?;
    let postings = cursor.u64()?;
    let postings_table = cursor.u64()?;
    let after_series = [label_indices, label_indices_table, postings, postings_table];
    Ok(Contents { symbols, series, after_series, postings_table })
}

fn symbol_table(bytes: &[u8], offset: u64) -> Result<SymbolTable, Malformed> {
    let mut cursor = section(bytes, offset, "the symbol table")?;
    let count = cursor.u32()?;
    let start = cursor.offset();
    let mut positions = Vec::new();
    for nth in 0..count as usize {
        if nth % SYMBOL_STRIDE == 0 {
            positions.push(cursor.offset());
        }
        cursor.prefixed()?;
    }
    Ok(SymbolTable { positions, count, start, end: cursor.offset() })
}

fn series_range(bytes: &[u8], contents: &Contents) -> Result<Range<usize>, Malformed> {
    let last = (bytes.len() - INDEX_TOC_BYTES) as u64;
    let ends = contents.after_series.iter().copied().filter(|end| *end > contents.series);
    let end = ends.min().unwrap_or(last).min(last);
    match (usize::try_from(contents.series), usize::try_from(end)) {
        (Ok(start), Ok(end)) if INDEX_HEADER_BYTES <= start && start <= end => Ok(start..end),
        _ => Err(Malformed { offset: last, reason: "an impossible place for the series".into() }),
    }
}

/// Where a chunk lies and when its samples were taken (both ends inside).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkMeta {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) reference: ChunkReference,
}

/// One series in the index: labels by symbol, then chunks.
#[derive(Clone, Debug)]
pub(crate) struct SeriesEntry<'a> {
    labels: Cursor<'a>,
    label_count: u64,
}

impl<'a> SeriesEntry<'a> {
    fn new(mut body: Cursor<'a>) -> Result<Self, Malformed> {
        let label_count = body.uvarint()?;
        Ok(Self { labels: body, label_count })
    }

    /// After its last byte, in the file.
    pub(crate) fn end(&self) -> usize {
        self.labels.end()
    }

    /// References to the symbols of names and values.
    pub(crate) fn label_symbols(&self) -> impl Iterator<Item = Result<(u32, u32), Malformed>> {
        let mut cursor = self.labels.clone();
        let mut left = self.label_count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let pair = cursor.uvarint_32().and_then(|name| Ok((name, cursor.uvarint_32()?)));
            if pair.is_err() {
                left = 0;
            }
            Some(pair)
        })
    }

    /// The chunks in the order of the index.
    pub(crate) fn chunks(&self) -> Result<Chunks<'a>, Malformed> {
        let mut cursor = self.labels.clone();
        for _ in 0..self.label_count {
            cursor.uvarint_32()?;
            cursor.uvarint_32()?;
        }
        let left = cursor.uvarint()?;
        Ok(Chunks { cursor, left, previous: None })
    }
}

/// Iterator over the chunks of a series; it ends after an error.
pub(crate) struct Chunks<'a> {
    cursor: Cursor<'a>,
    left: u64,
    previous: Option<ChunkMeta>,
}

impl Chunks<'_> {
    fn read(&mut self) -> Result<ChunkMeta, Malformed> {
        let start = self.cursor.offset();
        // All differences wrap: an overlapping chunk has a "negative" one.
        let (first_ms, last_ms, reference) = match self.previous {
            None => {
                let first_ms = self.cursor.varint()?;
                let last_ms = first_ms.wrapping_add(self.cursor.uvarint()?.cast_signed());
                (first_ms, last_ms, self.cursor.uvarint()?)
            }
            Some(previous) => {
                let first_ms = previous.last_ms.wrapping_add(self.cursor.uvarint()?.cast_signed());
                let last_ms = first_ms.wrapping_add(self.cursor.uvarint()?.cast_signed());
                let step = self.cursor.varint()?;
                (first_ms, last_ms, previous.reference.0.wrapping_add_signed(step))
            }
        };
        if last_ms < first_ms {
            return Err(Malformed::new(start, format!("a chunk from {first_ms} to {last_ms} ms")));
        }
        // They are written in the order of the index, and one that is named twice would count twice.
        if self.previous.is_some_and(|previous| reference <= previous.reference.0) {
            return Err(Malformed::new(start, "a chunk that does not lie behind the one before"));
        }
        let chunk = ChunkMeta { first_ms, last_ms, reference: ChunkReference(reference) };
        self.previous = Some(chunk);
        Ok(chunk)
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<ChunkMeta, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let chunk = self.read();
        if chunk.is_err() {
            self.left = 0;
        }
        Some(chunk)
    }
}
