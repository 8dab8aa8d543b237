//! Writes the files of a server's head, by the description of their format and
//! with none of the program's code.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support")]

const PAGE_BYTES: usize = 32 * 1024;

/// How the records of a segment are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Snappy,
    Zstd,
}

impl Compression {
    fn flag(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Snappy => 1 << 3,
            Self::Zstd => 1 << 4,
        }
    }

    fn apply(self, record: &[u8]) -> Vec<u8> {
        match self {
            Self::None => record.to_vec(),
            Self::Snappy => snap::raw::Encoder::new().compress_vec(record).unwrap(),
            Self::Zstd => {
                ruzstd::encoding::compress_to_vec(record, ruzstd::encoding::CompressionLevel::Uncompressed)
            }
        }
    }
}

/// A segment that holds `records`, cut at pages.
pub(crate) fn segment(compression: Compression, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        append(&mut bytes, compression.flag(), &compression.apply(record));
    }
    bytes
}

/// A segment of one record whose stored bytes are these.
pub(crate) fn stored(compression: Compression, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(&mut bytes, compression.flag(), data);
    bytes
}

fn append(bytes: &mut Vec<u8>, flag: u8, mut data: &[u8]) {
    let mut is_first = true;
    loop {
        let left = PAGE_BYTES - bytes.len() % PAGE_BYTES;
        if left < 7 {
            bytes.resize(bytes.len() + left, 0);
            continue;
        }
        let (now, rest) = data.split_at(data.len().min(left - 7));
        let kind = match (is_first, rest.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        };
        bytes.push(kind | flag);
        bytes.extend(u16::try_from(now.len()).unwrap().to_be_bytes());
        bytes.extend(crc32c::crc32c(now).to_be_bytes());
        bytes.extend(now);
        if rest.is_empty() {
            break;
        }
        data = rest;
        is_first = false;
    }
}

fn uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(out: &mut Vec<u8>, value: i64) {
    uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(crate) fn record_of_type(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], body].concat()
}

/// References with their labels.
pub(crate) fn series(all: &[(u64, &[(&str, &str)])]) -> Vec<u8> {
    let mut out = vec![1];
    for (reference, labels) in all {
        out.extend(reference.to_be_bytes());
        uvarint(&mut out, labels.len() as u64);
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            uvarint(&mut out, text.len() as u64);
            out.extend(text.as_bytes());
        }
    }
    out
}

/// Reference, time, value.
pub(crate) fn samples(all: &[(u64, i64, f64)]) -> Vec<u8> {
    let mut out = vec![2];
    if let Some((reference, at_ms, _)) = all.first() {
        out.extend(reference.to_be_bytes());
        out.extend(at_ms.to_be_bytes());
        for (other, later_ms, value) in all {
            varint(&mut out, other.wrapping_sub(*reference) as i64);
            varint(&mut out, later_ms - at_ms);
            out.extend(value.to_bits().to_be_bytes());
        }
    }
    out
}

/// Reference, start timestamp (0: none), time, value.
pub(crate) fn samples_v2(all: &[(u64, i64, i64, f64)]) -> Vec<u8> {
    let mut out = vec![11];
    let (_, first_start_ms, first_ms, _) = all[0];
    let (mut reference_before, mut start_before_ms) = (0, 0);
    for (nth, (reference, start_ms, at_ms, value)) in all.iter().enumerate() {
        varint(&mut out, reference.wrapping_sub(reference_before) as i64);
        if nth == 0 {
            varint(&mut out, *at_ms);
            varint(&mut out, *start_ms);
        } else {
            varint(&mut out, at_ms - first_ms);
            if *start_ms == 0 {
                out.push(0);
            } else if *start_ms == start_before_ms {
                out.push(1);
            } else {
                out.push(2);
                varint(&mut out, start_ms - first_start_ms);
            }
        }
        out.extend(value.to_bits().to_be_bytes());
        (reference_before, start_before_ms) = (*reference, *start_ms);
    }
    out
}

/// Reference, first and last time.
pub(crate) fn deletion(all: &[(u64, i64, i64)]) -> Vec<u8> {
    let mut out = vec![3];
    for (reference, first_ms, last_ms) in all {
        out.extend(reference.to_be_bytes());
        varint(&mut out, *first_ms);
        varint(&mut out, *last_ms);
    }
    out
}

/// The time before which a checkpoint kept nothing.
pub(crate) fn minimum(at_ms: i64) -> Vec<u8> {
    record_of_type(14, &at_ms.to_be_bytes())
}

/// Reference, time, count and sum of histograms with two spans and three buckets.
pub(crate) fn integer_histogram(all: &[(u64, i64, u64, f64)]) -> Vec<u8> {
    let mut out = vec![7];
    let (reference, at_ms, ..) = all[0];
    out.extend(reference.to_be_bytes());
    out.extend(at_ms.to_be_bytes());
    for (other, later_ms, count, sum) in all {
        varint(&mut out, other.wrapping_sub(reference) as i64);
        varint(&mut out, later_ms - at_ms);
        out.push(0);
        varint(&mut out, 2);
        out.extend(1e-128_f64.to_bits().to_be_bytes());
        uvarint(&mut out, 1);
        uvarint(&mut out, *count);
        out.extend(sum.to_bits().to_be_bytes());
        // One positive span of two buckets, one negative of one.
        uvarint(&mut out, 1);
        varint(&mut out, -3);
        uvarint(&mut out, 2);
        uvarint(&mut out, 1);
        varint(&mut out, 0);
        uvarint(&mut out, 1);
        uvarint(&mut out, 2);
        varint(&mut out, 1);
        varint(&mut out, 2);
        uvarint(&mut out, 1);
        varint(&mut out, 1);
    }
    out
}

/// Series reference, first and last time, encoding, data.
pub(crate) fn head_chunk_file(chunks: &[(u64, i64, i64, u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0x01, 0x30, 0xbc, 0x91, 1, 0, 0, 0];
    for (reference, first_ms, last_ms, encoding, data) in chunks {
        let start = out.len();
        out.extend(reference.to_be_bytes());
        out.extend(first_ms.to_be_bytes());
        out.extend(last_ms.to_be_bytes());
        out.push(*encoding);
        uvarint(&mut out, data.len() as u64);
        out.extend(data);
        let checksum = crc32c::crc32c(&out[start..]);
        out.extend(checksum.to_be_bytes());
    }
    out
}
