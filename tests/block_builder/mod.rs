//! Blocks made byte by byte, well formed or not, and a decoder to compare with.
//!
//! Written for clarity and independently of the library: nothing here calls it.

#![allow(dead_code, reason = "shared by test and bench targets that each need a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) mod slow;

pub(crate) const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Bits in the order they are written, most significant first.
#[derive(Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    used: usize,
}

impl BitWriter {
    pub(crate) fn push(&mut self, value: u64, count: usize) {
        for nth in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if (value >> nth) & 1 == 1 {
                *self.bytes.last_mut().unwrap() |= 0x80 >> (self.used % 8);
            }
            self.used += 1;
        }
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.push(u64::from(*byte), 8));
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

pub(crate) fn uvarint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

pub(crate) fn varint(value: i64) -> Vec<u8> {
    uvarint(((value << 1) ^ (value >> 63)) as u64)
}

/// An XOR chunk as Prometheus' appender writes it.
pub(crate) fn encode_xor(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.push(samples.len() as u64, 16);
    let mut last = (0_i64, 0_u64);
    let mut delta = 0_i64;
    let mut width: Option<(u32, u32)> = None;
    for (nth, (at, value)) in samples.iter().enumerate() {
        let value = value.to_bits();
        let step = at.wrapping_sub(last.0);
        match nth {
            0 => {
                bits.push_bytes(&varint(*at));
                bits.push(value, 64);
            }
            1 => bits.push_bytes(&uvarint(step as u64)),
            _ => match step.wrapping_sub(delta) {
                0 => bits.push(0b0, 1),
                dod @ -8191..=8192 => {
                    bits.push(0b10, 2);
                    bits.push(dod as u64, 14);
                }
                dod @ -65535..=65536 => {
                    bits.push(0b110, 3);
                    bits.push(dod as u64, 17);
                }
                dod @ -524_287..=524_288 => {
                    bits.push(0b1110, 4);
                    bits.push(dod as u64, 20);
                }
                dod => {
                    bits.push(0b1111, 4);
                    bits.push(dod as u64, 64);
                }
            },
        }
        if nth > 0 {
            delta = step;
            let change = value ^ last.1;
            let (lead, trail) = (change.leading_zeros().min(31), change.trailing_zeros());
            match width {
                _ if change == 0 => bits.push(0b0, 1),
                Some((old_lead, old_trail)) if lead >= old_lead && trail >= old_trail => {
                    bits.push(0b10, 2);
                    bits.push(change >> old_trail, (64 - old_lead - old_trail) as usize);
                }
                _ => {
                    let length = 64 - lead - trail;
                    bits.push(0b11, 2);
                    bits.push(u64::from(lead), 5);
                    bits.push(u64::from(length % 64), 6);
                    bits.push(change >> trail, length as usize);
                    width = Some((lead, trail));
                }
            }
        }
        last = (*at, value);
    }
    bits.into_bytes()
}

#[derive(Clone)]
pub(crate) struct TestChunk {
    pub(crate) encoding: u8,
    pub(crate) data: Vec<u8>,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    /// Number of the segment file, from 1 on.
    pub(crate) segment: usize,
}

/// A chunk of `samples`, in the first segment.
pub(crate) fn chunk(samples: &[(i64, f64)]) -> TestChunk {
    TestChunk {
        encoding: 1,
        data: encode_xor(samples),
        first_ms: samples.first().unwrap().0,
        last_ms: samples.last().unwrap().0,
        segment: 1,
    }
}

/// Labels by name and value, and the chunks.
pub(crate) type TestSeries = (Vec<(String, String)>, Vec<TestChunk>);

#[derive(Clone)]
pub(crate) struct TestBlock {
    pub(crate) ulid: String,
    pub(crate) window: (i64, i64),
    /// Series in the order of their labels; labels in the order of their names.
    pub(crate) series: Vec<TestSeries>,
    /// Position of a series, first and last millisecond.
    pub(crate) tombstones: Vec<(usize, i64, i64)>,
    /// More members of `meta.json`, each after a comma.
    pub(crate) more_meta: String,
    /// Version byte of the index; the layout is that of 1 or else of 2.
    pub(crate) index_version: u8,
    /// How often each chunk of a series and each list of postings is named: more than once in no honest index.
    pub(crate) repeats: (usize, usize),
    /// True to put the entry of the second series inside that of the first; for index version 1.
    pub(crate) nested: bool,
}

impl TestBlock {
    pub(crate) fn new(ulid: &str, window: (i64, i64)) -> Self {
        Self {
            ulid: ulid.to_owned(),
            window,
            series: Vec::new(),
            tombstones: Vec::new(),
            more_meta: String::new(),
            index_version: 2,
            repeats: (1, 1),
            nested: false,
        }
    }

    pub(crate) fn series(mut self, labels: &[(&str, &str)], chunks: Vec<TestChunk>) -> Self {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.series.push((labels, chunks));
        self
    }

    pub(crate) fn meta(mut self, more: &str) -> Self {
        self.more_meta = format!(",{more}");
        self
    }

    /// Writes the block into a directory under `root` named by its ULID.
    pub(crate) fn write(&self, root: &Path) -> PathBuf {
        let path = root.join(&self.ulid);
        std::fs::create_dir_all(path.join("chunks")).unwrap();
        let (segments, references) = self.segments();
        for (number, bytes) in segments {
            std::fs::write(path.join("chunks").join(format!("{number:06}")), bytes).unwrap();
        }
        let (index, ids) = self.index(&references);
        std::fs::write(path.join("index"), index).unwrap();
        if !self.tombstones.is_empty() {
            std::fs::write(path.join("tombstones"), self.tombstones_file(&ids)).unwrap();
        }
        let meta = format!(
            r#"{{"ulid":"{}","minTime":{},"maxTime":{},"version":1{}}}"#,
            self.ulid, self.window.0, self.window.1, self.more_meta
        );
        std::fs::write(path.join("meta.json"), meta).unwrap();
        path
    }

    fn segments(&self) -> (BTreeMap<usize, Vec<u8>>, Vec<Vec<u64>>) {
        let mut segments = BTreeMap::new();
        let mut references = Vec::new();
        for (_, chunks) in &self.series {
            let mut of_series = Vec::new();
            for chunk in chunks {
                let file =
                    segments.entry(chunk.segment).or_insert_with(|| vec![0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0]);
                of_series.push((chunk.segment as u64 - 1) << 32 | file.len() as u64);
                file.extend(uvarint(chunk.data.len() as u64));
                let body: Vec<u8> = std::iter::once(chunk.encoding).chain(chunk.data.clone()).collect();
                file.extend(with_checksum(body));
            }
            references.push(of_series);
        }
        (segments, references)
    }

    /// The index, and the ids of the series in it.
    fn index(&self, references: &[Vec<u64>]) -> (Vec<u8>, Vec<u32>) {
        let texts = self.series.iter().flat_map(|(labels, _)| labels);
        let symbols: BTreeSet<&String> = texts.flat_map(|(name, value)| [name, value]).collect();
        let is_first = self.index_version == 1;

        let mut file = vec![0xba, 0xaa, 0xd7, 0x00, self.index_version];
        let symbols_at = file.len();
        let mut body = (symbols.len() as u32).to_be_bytes().to_vec();
        let mut references_to = BTreeMap::new();
        for (ordinal, symbol) in symbols.iter().enumerate() {
            // In version 1 a symbol is known by where it stands in the file.
            let reference = if is_first { symbols_at + 4 + body.len() } else { ordinal };
            references_to.insert(*symbol, reference as u64);
            body.extend(uvarint(symbol.len() as u64));
            body.extend(symbol.as_bytes());
        }
        file.extend(section(body));

        // A series is known by its offset in units of this.
        let unit = if is_first { 1 } else { 16 };
        file.resize(file.len().next_multiple_of(unit), 0);
        let series_at = file.len();
        let mut entries: Vec<Vec<u8>> = Vec::new();
        for ((labels, chunks), references) in self.series.iter().zip(references) {
            let mut body = uvarint(labels.len() as u64);
            for (name, value) in labels {
                body.extend(uvarint(references_to[name]));
                body.extend(uvarint(references_to[value]));
            }
            let named =
                chunks.iter().zip(references).flat_map(|chunk| std::iter::repeat_n(chunk, self.repeats.0));
            body.extend(uvarint((chunks.len() * self.repeats.0) as u64));
            let mut before: Option<(i64, u64)> = None;
            for (chunk, reference) in named {
                match before {
                    None => body.extend(varint(chunk.first_ms)),
                    Some((last_ms, _)) => body.extend(uvarint(chunk.first_ms.wrapping_sub(last_ms) as u64)),
                }
                body.extend(uvarint((chunk.last_ms - chunk.first_ms) as u64));
                match before {
                    None => body.extend(uvarint(*reference)),
                    Some((_, last)) => body.extend(varint(reference.wrapping_sub(last) as i64)),
                }
                before = Some((chunk.last_ms, *reference));
            }
            entries.push(body);
        }
        let mut ids = Vec::new();
        for (nth, body) in entries.iter().enumerate() {
            if self.nested && nth > 0 {
                // Behind what the one before says of itself, and before its checksum.
                let inner = entry(body.clone());
                let outer = entry([entries[nth - 1].clone(), inner.clone()].concat());
                file.truncate(ids[nth - 1] as usize);
                ids.push((file.len() + outer.len() - 4 - inner.len()) as u32);
                file.extend(outer);
                break;
            }
            file.resize(file.len().next_multiple_of(unit), 0);
            ids.push((file.len() / unit) as u32);
            file.extend(entry(body.clone()));
        }
        let mut postings: BTreeMap<(String, String), Vec<u32>> = BTreeMap::new();
        for (id, (labels, _)) in ids.iter().zip(&self.series) {
            postings.entry(Default::default()).or_default().push(*id);
            for (name, value) in labels {
                postings.entry((name.clone(), value.clone())).or_default().push(*id);
            }
        }
        let series_end = file.len();

        let postings_at = file.len();
        let mut table = ((postings.len() * self.repeats.1) as u32).to_be_bytes().to_vec();
        let mut in_table: Vec<_> = postings.iter().collect();
        if is_first {
            // There it is in no order: here, the halves of the names change places.
            in_table =
                in_table.iter().step_by(2).chain(in_table.iter().skip(1).step_by(2)).copied().collect();
        }
        for ((name, value), ids) in in_table {
            file.resize(file.len().next_multiple_of(4), 0);
            let mut entry = uvarint(2);
            for text in [name, value] {
                entry.extend(uvarint(text.len() as u64));
                entry.extend(text.as_bytes());
            }
            entry.extend(uvarint(file.len() as u64));
            table.extend(entry.repeat(self.repeats.1));
            let mut list = (ids.len() as u32).to_be_bytes().to_vec();
            ids.iter().for_each(|id| list.extend(id.to_be_bytes()));
            file.extend(section(list));
        }
        let table_at = file.len();
        file.extend(section(table));

        let contents = [symbols_at, series_at, series_end, 0, postings_at, table_at];
        let contents: Vec<u8> = contents.iter().flat_map(|at| (*at as u64).to_be_bytes()).collect();
        file.extend(with_checksum(contents));
        (file, ids)
    }

    fn tombstones_file(&self, ids: &[u32]) -> Vec<u8> {
        let mut body = Vec::new();
        for (series, first_ms, last_ms) in &self.tombstones {
            body.extend(uvarint(u64::from(ids[*series])));
            body.extend(varint(*first_ms));
            body.extend(varint(*last_ms));
        }
        let mut file = vec![0x01, 0x30, 0xba, 0x30, 1];
        file.extend(with_checksum(body));
        file
    }
}

fn with_checksum(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&body);
    body.extend(checksum.to_be_bytes());
    body
}

/// A series in the index.
fn entry(body: Vec<u8>) -> Vec<u8> {
    [uvarint(body.len() as u64), with_checksum(body)].concat()
}

fn section(body: Vec<u8>) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend(with_checksum(body));
    bytes
}
