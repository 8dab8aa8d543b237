//! The index file, format version 2, without the obsolete label indices.

use super::bytes::{put_text, put_uvarint, put_varint};
use super::segments::io_error;
use crate::tsdb::format::{INDEX_MAGIC, INDEX_VERSION_2, SERIES_ALIGN};
use crate::tsdb::{Labels, TsdbError};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Postings lists start on multiples of this, as Prometheus writes them.
const POSTINGS_ALIGN: u64 = 4;

/// A chunk as the index knows it: first and last timestamp, both inclusive,
/// and where it is.
#[derive(Clone, Copy)]
pub(super) struct ChunkMeta {
    pub(super) min_ms: i64,
    pub(super) max_ms: i64,
    pub(super) reference: u64,
}

/// Collects series in label order; the file is written at the end because the
/// symbols, which come first in it, are complete only then.
#[derive(Default)]
pub(super) struct IndexBuilder {
    /// Every label name and value, numbered as they came.
    symbols: HashMap<Box<str>, u32>,
    series: Vec<SeriesEntry>,
    /// Chunk lists of all series, coded as they go into the file.
    chunk_lists: Vec<u8>,
}

struct SeriesEntry {
    labels: Box<[(u32, u32)]>,
    /// Where this series' chunk list ends in `chunk_lists`.
    chunks_end: usize,
}

impl IndexBuilder {
    pub(super) fn series_count(&self) -> u64 {
        self.series.len() as u64
    }

    /// Adds the next series; the caller keeps label order.
    pub(super) fn add(&mut self, labels: &Labels, chunks: &[ChunkMeta]) {
        let labels = labels.iter().map(|(name, value)| (self.symbol(name), self.symbol(value))).collect();
        put_chunk_list(&mut self.chunk_lists, chunks);
        self.series.push(SeriesEntry { labels, chunks_end: self.chunk_lists.len() });
    }

    fn symbol(&mut self, text: &str) -> u32 {
        if let Some(&known) = self.symbols.get(text) {
            return known;
        }
        let next = self.symbols.len() as u32;
        self.symbols.insert(text.into(), next);
        next
    }

    /// Writes the file.
    pub(super) fn write(self, path: &Path) -> Result<(), TsdbError> {
        let Self { symbols, series, chunk_lists } = self;
        let mut texts: Vec<(Box<str>, u32)> = symbols.into_iter().collect();
        texts.sort_unstable();
        let mut ordinals = vec![0_u32; texts.len()];
        for (ordinal, (_, provisional)) in texts.iter().enumerate() {
            if let Some(slot) = ordinals.get_mut(*provisional as usize) {
                *slot = ordinal as u32;
            }
        }
        let ordinal_of = |provisional: u32| ordinals.get(provisional as usize).copied().unwrap_or_default();

        let mut file = IndexFile::create(path)?;
        let symbols_at = file.position;
        file.section(&symbol_table(&texts))?;

        let series_at = file.position;
        let mut all = Vec::with_capacity(series.len());
        let mut postings: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        let (mut body, mut head, mut chunks_start) = (Vec::new(), Vec::new(), 0);
        for entry in &series {
            file.align(SERIES_ALIGN as u64)?;
            let id = file.position / SERIES_ALIGN as u64;
            let id = u32::try_from(id).map_err(|_| file.too_large("series"))?;
            all.push(id);
            body.clear();
            put_uvarint(&mut body, entry.labels.len() as u64);
            for &(name, value) in &entry.labels {
                let pair = (ordinal_of(name), ordinal_of(value));
                put_uvarint(&mut body, u64::from(pair.0));
                put_uvarint(&mut body, u64::from(pair.1));
                postings.entry(pair).or_default().push(id);
            }
            body.extend_from_slice(chunk_lists.get(chunks_start..entry.chunks_end).unwrap_or_default());
            chunks_start = entry.chunks_end;
            head.clear();
            put_uvarint(&mut head, body.len() as u64);
            file.put(&head)?;
            file.put(&body)?;
            file.put(&crc32c::crc32c(&body).to_be_bytes())?;
        }

        // Prometheus' writer has no label indices any more, but still notes here
        // where the series end.
        let label_indices_at = file.position;
        file.align(POSTINGS_ALIGN)?;
        let postings_at = file.position;
        let text = |ordinal: u32| texts.get(ordinal as usize).map_or("", |(text, _)| text.as_ref());
        let mut table = Vec::new();
        put_table_entry(&mut table, "", "", file.postings(&all)?);
        for (&(name, value), ids) in &postings {
            put_table_entry(&mut table, text(name), text(value), file.postings(ids)?);
        }
        let postings_table_at = file.position;
        let entries =
            u32::try_from(postings.len() + 1).map_err(|_| file.too_large("postings offset table"))?;
        let mut section = entries.to_be_bytes().to_vec();
        section.append(&mut table);
        file.section(&section)?;

        let mut contents = Vec::with_capacity(48);
        for offset in [symbols_at, series_at, label_indices_at, 0, postings_at, postings_table_at] {
            contents.extend_from_slice(&offset.to_be_bytes());
        }
        file.put(&contents)?;
        file.put(&crc32c::crc32c(&contents).to_be_bytes())?;
        file.finish()
    }
}

fn put_chunk_list(out: &mut Vec<u8>, chunks: &[ChunkMeta]) {
    put_uvarint(out, chunks.len() as u64);
    let mut previous: Option<ChunkMeta> = None;
    for chunk in chunks {
        match previous {
            None => {
                put_varint(out, chunk.min_ms);
                put_uvarint(out, chunk.max_ms.wrapping_sub(chunk.min_ms) as u64);
                put_uvarint(out, chunk.reference);
            }
            Some(before) => {
                put_uvarint(out, chunk.min_ms.wrapping_sub(before.max_ms) as u64);
                put_uvarint(out, chunk.max_ms.wrapping_sub(chunk.min_ms) as u64);
                put_varint(out, chunk.reference.wrapping_sub(before.reference) as i64);
            }
        }
        previous = Some(*chunk);
    }
}

fn symbol_table(texts: &[(Box<str>, u32)]) -> Vec<u8> {
    let mut section = (texts.len() as u32).to_be_bytes().to_vec();
    for (text, _) in texts {
        put_text(&mut section, text);
    }
    section
}

fn put_table_entry(table: &mut Vec<u8>, name: &str, value: &str, offset: u64) {
    put_uvarint(table, 2);
    put_text(table, name);
    put_text(table, value);
    put_uvarint(table, offset);
}

/// A file that knows where it is.
struct IndexFile {
    path: PathBuf,
    file: BufWriter<File>,
    position: u64,
}

impl IndexFile {
    fn create(path: &Path) -> Result<Self, TsdbError> {
        let file = File::create_new(path).map_err(io_error("create", path))?;
        let mut created = Self { path: path.to_owned(), file: BufWriter::new(file), position: 0 };
        created.put(&INDEX_MAGIC.to_be_bytes())?;
        created.put(&[INDEX_VERSION_2])?;
        Ok(created)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), TsdbError> {
        self.file.write_all(bytes).map_err(io_error("write", &self.path))?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn align(&mut self, to: u64) -> Result<(), TsdbError> {
        let padding = self.position.next_multiple_of(to) - self.position;
        let zeros = [0_u8; SERIES_ALIGN];
        self.put(zeros.get(..padding as usize).unwrap_or_default())
    }

    /// Length, bytes, CRC.
    fn section(&mut self, bytes: &[u8]) -> Result<(), TsdbError> {
        let length = u32::try_from(bytes.len()).map_err(|_| self.too_large("section"))?;
        self.put(&length.to_be_bytes())?;
        self.put(bytes)?;
        self.put(&crc32c::crc32c(bytes).to_be_bytes())
    }

    /// Writes one postings list and returns where it stands.
    fn postings(&mut self, ids: &[u32]) -> Result<u64, TsdbError> {
        self.align(POSTINGS_ALIGN)?;
        let at = self.position;
        let mut section = Vec::with_capacity(4 + 4 * ids.len());
        section.extend_from_slice(&(ids.len() as u32).to_be_bytes());
        for id in ids {
            section.extend_from_slice(&id.to_be_bytes());
        }
        self.section(&section)?;
        Ok(at)
    }

    fn too_large(&self, what: &str) -> TsdbError {
        let reason = format!("its {what} would be larger than the format allows; write smaller blocks");
        TsdbError::Unsupported { path: self.path.clone(), reason }
    }

    fn finish(mut self) -> Result<(), TsdbError> {
        self.file.flush().map_err(io_error("write", &self.path))
    }
}
