//! Tombstones: what was deleted from a block without rewriting it.

use std::collections::BTreeMap;
use std::path::Path;

use super::TsdbError;
use super::bytes::{Malformed, without_checksum};
use super::format::{TOMBSTONES_MAGIC, TOMBSTONES_VERSION};
use super::mmap::FileBytes;

/// File name in a block directory.
pub(crate) const TOMBSTONES_FILE: &str = "tombstones";
/// Magic number and version byte.
const HEADER_BYTES: usize = 5;

/// A deleted span of time, both ends inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deleted {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
}

/// The deletions in one block: per series id ascending spans that do not touch.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    by_series: BTreeMap<u64, Vec<Deleted>>,
}

impl Tombstones {
    /// Reads the file of the block directory `block`; none means no deletions.
    pub(crate) fn open(block: &Path) -> Result<Self, TsdbError> {
        let path = block.join(TOMBSTONES_FILE);
        let bytes = match FileBytes::open(&path) {
            Err(TsdbError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            opened => opened?,
        };
        if let Some(version) = version(&bytes)
            && version != TOMBSTONES_VERSION
        {
            return Err(TsdbError::Unsupported { path, reason: format!("tombstones version {version}") });
        }
        Self::parse(&bytes).map_err(|wrong| wrong.in_file(&path))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(Malformed::new(bytes.len(), "cut off in its header"));
        };
        if !header.starts_with(&TOMBSTONES_MAGIC.to_be_bytes()) {
            return Err(Malformed::new(0, "not a tombstones file (its magic number differs)"));
        }
        let mut cursor = without_checksum(rest, HEADER_BYTES, "the tombstones")?;
        let mut by_series = BTreeMap::<u64, Vec<Deleted>>::new();
        while !cursor.is_empty() {
            let series = cursor.uvarint()?;
            let span = Deleted { first_ms: cursor.varint()?, last_ms: cursor.varint()? };
            if span.first_ms <= span.last_ms {
                by_series.entry(series).or_default().push(span);
            }
        }
        for spans in by_series.values_mut() {
            merge(spans);
        }
        Ok(Self { by_series })
    }

    /// Number of spans.
    pub(crate) fn count(&self) -> u64 {
        self.by_series.values().map(|spans| spans.len() as u64).sum()
    }

    /// What was deleted of the series `id`.
    pub(crate) fn of(&self, id: u32) -> &[Deleted] {
        self.by_series.get(&u64::from(id)).map_or(&[], Vec::as_slice)
    }
}

fn version(bytes: &[u8]) -> Option<u8> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*magic) == TOMBSTONES_MAGIC { rest.first().copied() } else { None }
}

/// Puts spans in order and makes one of those that touch.
pub(crate) fn merge(spans: &mut Vec<Deleted>) {
    spans.sort_unstable();
    spans.dedup_by(|next, kept| {
        let touches = next.first_ms <= kept.last_ms.saturating_add(1);
        if touches {
            kept.last_ms = kept.last_ms.max(next.last_ms);
        }
        touches
    });
}

/// True if one of the merged `spans` holds all of `first_ms` to `last_ms`.
pub(crate) fn cover(spans: &[Deleted], first_ms: i64, last_ms: i64) -> bool {
    let next = spans.partition_point(|span| span.last_ms < last_ms);
    spans.get(next).is_some_and(|span| span.first_ms <= first_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_merged_and_looked_up_per_series() {
        // Magic, version; then by hand: (7, 10, 20), (7, 21, 30), (7, 40, 41), (9, -1, 5).
        let body = [7, 20, 40, 7, 42, 60, 7, 80, 82, 9, 1, 10];
        let mut bytes = vec![0x01, 0x30, 0xba, 0x30, 1];
        bytes.extend(body);
        bytes.extend(crc32c::crc32c(&body).to_be_bytes());
        let read = Tombstones::parse(&bytes).unwrap();
        let span = |first_ms, last_ms| Deleted { first_ms, last_ms };
        assert_eq!(read.of(7), [span(10, 30), span(40, 41)]);
        assert_eq!(read.of(9), [span(-1, 5)]);
        assert!(read.of(8).is_empty());
        assert!(cover(read.of(7), 10, 30) && !cover(read.of(7), 30, 40));
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x10;
            assert!(position == 4 || Tombstones::parse(&damaged).is_err(), "byte {position}");
            assert!(Tombstones::parse(&bytes[..position]).is_err(), "cut at {position}");
        }
    }
}
