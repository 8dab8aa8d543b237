//! A second reader of Prometheus' format, slow and plain: one bit at a time,
//! from the description of the format and sharing no code with the library.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A series' labels and its samples as (ms, value).
type OneSeries = (BTreeMap<String, String>, Vec<(i64, f64)>);

/// Samples by label set.
pub(crate) type Series = BTreeMap<BTreeMap<String, String>, Vec<(i64, f64)>>;

/// Everything in a block, or in all blocks under a directory of blocks.
pub(crate) fn read(directory: &Path) -> Series {
    let mut all = Series::new();
    for block in block_directories(directory) {
        for (labels, samples) in read_block(&block) {
            all.entry(labels).or_default().extend(samples);
        }
    }
    all
}

/// The directories with a `meta.json`, by the time they start at.
pub(crate) fn block_directories(directory: &Path) -> Vec<PathBuf> {
    if directory.join("meta.json").exists() {
        return vec![directory.to_owned()];
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("meta.json").exists())
        .collect();
    found.sort_by_key(|path| meta(path)["minTime"].as_i64().unwrap());
    found
}

/// The block's `meta.json`.
pub(crate) fn meta(block: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(block.join("meta.json")).unwrap()).unwrap()
}

fn read_block(block: &Path) -> Vec<OneSeries> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(block.join("chunks")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let segments: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for segment in &segments {
        assert_eq!(segment[..8], [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0]);
    }
    let index = std::fs::read(block.join("index")).unwrap();
    assert_eq!(index[..5], [0xba, 0xaa, 0xd7, 0x00, 2]);
    let contents = &index[index.len() - 52..];
    assert_eq!(castagnoli(&contents[..48]).to_be_bytes(), contents[48..]);
    let toc = |nth: usize| u64::from_be_bytes(contents[8 * nth..8 * nth + 8].try_into().unwrap()) as usize;
    let symbols = read_symbols(section(&index, toc(0)));
    let mut series = Vec::new();
    let mut at = toc(1);
    loop {
        at = at.next_multiple_of(16);
        if at >= toc(2) {
            return series;
        }
        let mut cursor = Bytes { data: &index, at };
        let length = cursor.uvarint() as usize;
        let body = &index[cursor.at..cursor.at + length];
        at = cursor.at + length + 4;
        assert_eq!(castagnoli(body).to_be_bytes(), index[at - 4..at]);
        let mut body = Bytes { data: body, at: 0 };
        let labels = (0..body.uvarint())
            .map(|_| {
                let (name, value) = (body.uvarint() as usize, body.uvarint() as usize);
                (symbols[name].clone(), symbols[value].clone())
            })
            .collect();
        let mut samples = Vec::new();
        let (mut last_ms, mut reference) = (0_i64, 0_i64);
        for nth in 0..body.uvarint() {
            let min_ms = if nth == 0 { body.varint() } else { last_ms + body.uvarint() as i64 };
            let max_ms = min_ms + body.uvarint() as i64;
            reference = if nth == 0 { body.uvarint() as i64 } else { reference + body.varint() };
            last_ms = max_ms;
            let chunk = read_chunk(&segments[(reference >> 32) as usize], (reference & 0xffff_ffff) as usize);
            assert_eq!((chunk[0].0, chunk[chunk.len() - 1].0), (min_ms, max_ms));
            samples.extend(chunk);
        }
        series.push((labels, samples));
    }
}

fn section(file: &[u8], at: usize) -> &[u8] {
    let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let body = &file[at + 4..at + 4 + length];
    assert_eq!(castagnoli(body).to_be_bytes(), file[at + 4 + length..at + 8 + length]);
    body
}

fn read_symbols(body: &[u8]) -> Vec<String> {
    let count = u32::from_be_bytes(body[..4].try_into().unwrap());
    let mut cursor = Bytes { data: body, at: 4 };
    let symbols: Vec<String> = (0..count).map(|_| cursor.text()).collect();
    assert!(symbols.is_sorted());
    symbols
}

fn read_chunk(segment: &[u8], at: usize) -> Vec<(i64, f64)> {
    let mut cursor = Bytes { data: segment, at };
    let length = cursor.uvarint() as usize;
    let record = &segment[cursor.at..cursor.at + 1 + length];
    assert_eq!(castagnoli(record).to_be_bytes(), segment[cursor.at + 1 + length..][..4]);
    assert_eq!(record[0], 1, "encoding");
    decode_xor(&record[1..])
}

/// Decodes the data bytes of an XOR chunk.
pub(crate) fn decode_xor(data: &[u8]) -> Vec<(i64, f64)> {
    let count = u16::from_be_bytes([data[0], data[1]]);
    let mut bits = Bits { data, at: 16 };
    let (mut at_ms, mut delta, mut value) = (0_i64, 0_i64, 0_u64);
    let (mut trailing, mut significant) = (0, 0);
    let mut samples = Vec::new();
    for nth in 0..count {
        if nth == 0 {
            let zigzag = bits.uvarint();
            at_ms = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
            value = bits.take(64);
            samples.push((at_ms, f64::from_bits(value)));
            continue;
        }
        if nth == 1 {
            delta = bits.uvarint() as i64;
        } else {
            let ones = (0..4).take_while(|_| bits.take(1) == 1).count();
            let size = [0, 14, 17, 20, 64][ones];
            let raw = if size == 0 { 0 } else { bits.take(size) };
            let negative = size < 64 && size > 0 && raw > 1 << (size - 1);
            delta = delta.wrapping_add(if negative { raw as i64 - (1 << size) } else { raw as i64 });
        }
        at_ms = at_ms.wrapping_add(delta);
        if bits.take(1) == 1 {
            if bits.take(1) == 1 {
                let leading = bits.take(5) as u32;
                significant = bits.take(6) as u32;
                significant = if significant == 0 { 64 } else { significant };
                trailing = 64 - leading - significant;
            }
            value ^= bits.take(significant) << trailing;
        }
        samples.push((at_ms, f64::from_bits(value)));
    }
    samples
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> u64 {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u64::from(self.data[self.at / 8] >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        value
    }

    fn uvarint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.take(8);
            value |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
}

struct Bytes<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bytes<'_> {
    fn uvarint(&mut self) -> u64 {
        let mut bits = Bits { data: self.data, at: 8 * self.at };
        let value = bits.uvarint();
        self.at = bits.at / 8;
        value
    }

    fn varint(&mut self) -> i64 {
        let zigzag = self.uvarint();
        (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)
    }

    fn text(&mut self) -> String {
        let length = self.uvarint() as usize;
        self.at += length;
        String::from_utf8(self.data[self.at - length..self.at].to_vec()).unwrap()
    }
}

/// CRC-32C, a bit at a time.
fn castagnoli(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}
