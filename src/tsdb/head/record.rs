//! What stands in the records of a write-ahead log.
//!
//! Types and layouts as in Prometheus' `tsdb/record` (the page `wal.md` of its
//! documentation lacks the newer ones and calls signed deltas unsigned).

use crate::tsdb::MOST_LABELS;
use crate::tsdb::bytes::{Cursor, Malformed};

/// One thing that a record says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry<'a> {
    /// From now on `reference` stands for the series with these labels.
    Series { reference: u64, labels: Vec<(&'a str, &'a str)> },
    /// A float sample.
    Sample { reference: u64, at_ms: i64, value: f64 },
    /// A histogram, of which count and sum are read.
    Histogram { reference: u64, at_ms: i64, count: f64, sum: f64 },
    /// Samples of a series that were deleted, both ends inside.
    Deleted { reference: u64, first_ms: i64, last_ms: i64 },
    /// The time before which a checkpoint kept nothing.
    MinValidTime { at_ms: i64 },
    /// A record of a type that holds no samples (exemplars, metadata, markers).
    Other,
    /// A record of a type that is not known.
    Unknown { kind: u8 },
}

/// A histogram's bucket values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Buckets {
    Integer,
    Float,
}

/// Bucket schema with bounds of its own.
const SCHEMA_CUSTOM: i64 = -53;

/// Shows the entries of one record to `visit`.
pub(super) fn decode<'a>(record: &'a [u8], mut visit: impl FnMut(Entry<'a>)) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(record, 0);
    match cursor.u8()? {
        1 => series(&mut cursor, visit),
        2 => samples(&mut cursor, visit),
        3 => deletions(&mut cursor, visit),
        4..=6 => {
            visit(Entry::Other);
            Ok(())
        }
        7 | 9 => histograms(&mut cursor, Buckets::Integer, visit),
        8 | 10 => histograms(&mut cursor, Buckets::Float, visit),
        11 => samples_v2(&mut cursor, visit),
        12 => histograms_v2(&mut cursor, Buckets::Integer, visit),
        13 => histograms_v2(&mut cursor, Buckets::Float, visit),
        14 => {
            visit(Entry::MinValidTime { at_ms: i64_be(&mut cursor)? });
            Ok(())
        }
        kind => {
            visit(Entry::Unknown { kind });
            Ok(())
        }
    }
}

fn series<'a>(cursor: &mut Cursor<'a>, mut visit: impl FnMut(Entry<'a>)) -> Result<(), Malformed> {
    while !cursor.is_empty() {
        let reference = cursor.u64()?;
        let (start, count) = (cursor.offset(), cursor.length()?);
        if count > MOST_LABELS {
            return Err(Malformed::new(start, format!("a series of {count} labels")));
        }
        let mut labels = Vec::new();
        for _ in 0..count {
            labels.push((text(cursor)?, text(cursor)?));
        }
        visit(Entry::Series { reference, labels });
    }
    Ok(())
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Malformed> {
    let start = cursor.offset();
    std::str::from_utf8(cursor.prefixed()?).map_err(|_| Malformed::new(start, "a label that is not UTF-8"))
}

/// References and times as differences from the first sample.
fn samples<'a>(cursor: &mut Cursor<'a>, mut visit: impl FnMut(Entry<'a>)) -> Result<(), Malformed> {
    let Some(first) = Stamp::first(cursor)? else { return Ok(()) };
    while !cursor.is_empty() {
        let Stamp { reference, at_ms } = first.offset_by(cursor)?;
        visit(Entry::Sample { reference, at_ms, value: f64_be(cursor)? });
    }
    Ok(())
}

fn samples_v2<'a>(cursor: &mut Cursor<'a>, mut visit: impl FnMut(Entry<'a>)) -> Result<(), Malformed> {
    let mut stamps = StampsV2::default();
    while !cursor.is_empty() {
        let Stamp { reference, at_ms } = stamps.next(cursor)?;
        visit(Entry::Sample { reference, at_ms, value: f64_be(cursor)? });
    }
    Ok(())
}

fn deletions<'a>(cursor: &mut Cursor<'a>, mut visit: impl FnMut(Entry<'a>)) -> Result<(), Malformed> {
    while !cursor.is_empty() {
        let reference = cursor.u64()?;
        let (first_ms, last_ms) = (cursor.varint()?, cursor.varint()?);
        visit(Entry::Deleted { reference, first_ms, last_ms });
    }
    Ok(())
}

fn histograms<'a>(
    cursor: &mut Cursor<'a>,
    buckets: Buckets,
    mut visit: impl FnMut(Entry<'a>),
) -> Result<(), Malformed> {
    let Some(first) = Stamp::first(cursor)? else { return Ok(()) };
    while !cursor.is_empty() {
        let stamp = first.offset_by(cursor)?;
        visit(histogram(cursor, buckets, stamp)?);
    }
    Ok(())
}

fn histograms_v2<'a>(
    cursor: &mut Cursor<'a>,
    buckets: Buckets,
    mut visit: impl FnMut(Entry<'a>),
) -> Result<(), Malformed> {
    let mut stamps = StampsV2::default();
    while !cursor.is_empty() {
        let stamp = stamps.next(cursor)?;
        visit(histogram(cursor, buckets, stamp)?);
    }
    Ok(())
}

/// Which series, and when.
#[derive(Clone, Copy)]
struct Stamp {
    reference: u64,
    at_ms: i64,
}

impl Stamp {
    /// What the others of the record are differences from; `None` for an empty record.
    fn first(cursor: &mut Cursor<'_>) -> Result<Option<Self>, Malformed> {
        if cursor.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { reference: cursor.u64()?, at_ms: i64_be(cursor)? }))
    }

    fn offset_by(self, cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            reference: self.reference.wrapping_add_signed(cursor.varint()?),
            at_ms: self.at_ms.wrapping_add(cursor.varint()?),
        })
    }
}

/// The stamps of a record of version 2: references as differences from the one
/// before, times from the first, and start timestamps, which no energy needs.
#[derive(Default)]
struct StampsV2 {
    before: Option<(u64, i64)>,
}

impl StampsV2 {
    fn next(&mut self, cursor: &mut Cursor<'_>) -> Result<Stamp, Malformed> {
        /// The marker before a start timestamp that is written out.
        const NONE: u8 = 0;
        const AS_BEFORE: u8 = 1;
        let (reference, at_ms, first_ms) = match self.before {
            None => {
                let (reference, first_ms) = (cursor.varint()?.cast_unsigned(), cursor.varint()?);
                cursor.varint()?;
                (reference, first_ms, first_ms)
            }
            Some((reference, first_ms)) => {
                let reference = reference.wrapping_add_signed(cursor.varint()?);
                let at_ms = first_ms.wrapping_add(cursor.varint()?);
                if !matches!(cursor.u8()?, NONE | AS_BEFORE) {
                    cursor.varint()?;
                }
                (reference, at_ms, first_ms)
            }
        };
        self.before = Some((reference, first_ms));
        Ok(Stamp { reference, at_ms })
    }
}

fn histogram<'a>(cursor: &mut Cursor<'a>, buckets: Buckets, stamp: Stamp) -> Result<Entry<'a>, Malformed> {
    let _counter_reset_hint = cursor.u8()?;
    let schema = cursor.varint()?;
    let _zero_threshold = f64_be(cursor)?;
    let _zero_count = amount(cursor, buckets)?;
    let count = amount(cursor, buckets)?;
    let sum = f64_be(cursor)?;
    for _positive_then_negative in 0..2 {
        for _ in 0..cursor.length()? {
            cursor.varint()?;
            cursor.uvarint()?;
        }
    }
    for _positive_then_negative in 0..2 {
        for _ in 0..cursor.length()? {
            match buckets {
                Buckets::Integer => cursor.varint().map(|_| ())?,
                Buckets::Float => f64_be(cursor).map(|_| ())?,
            }
        }
    }
    if schema == SCHEMA_CUSTOM {
        for _ in 0..cursor.length()? {
            f64_be(cursor)?;
        }
    }
    Ok(Entry::Histogram { reference: stamp.reference, at_ms: stamp.at_ms, count, sum })
}

fn amount(cursor: &mut Cursor<'_>, buckets: Buckets) -> Result<f64, Malformed> {
    match buckets {
        Buckets::Integer => cursor.uvarint().map(|count| count as f64),
        Buckets::Float => f64_be(cursor),
    }
}

fn f64_be(cursor: &mut Cursor<'_>) -> Result<f64, Malformed> {
    cursor.u64().map(f64::from_bits)
}

fn i64_be(cursor: &mut Cursor<'_>) -> Result<i64, Malformed> {
    cursor.u64().map(u64::cast_signed)
}
