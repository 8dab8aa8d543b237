//! Postings: which series have which label, and the answer to matchers.

use std::collections::BTreeMap;
use std::ops::Range;

use super::bytes::{Cursor, Malformed, section};
use super::matcher::Matcher;

/// Strings per entry of the table: name and value.
const ENTRY_STRINGS: u64 = 2;
const ID_BYTES: usize = 4;
/// Ids that are gathered before it is looked whether there are as many different ones.
const MOST_UNSORTED: usize = 4 << 20;

/// The postings offset table, by label name. Values are walked when asked for.
#[derive(Debug)]
pub(crate) struct PostingsTable {
    /// Where the entries of each name lie; more than one range if they are
    /// not in order.
    names: BTreeMap<Box<str>, Vec<Range<usize>>>,
    /// Offset of the list of all series.
    all: Option<u64>,
}

struct Entry<'a> {
    name: &'a [u8],
    value: &'a [u8],
    offset: u64,
}

fn entry<'a>(cursor: &mut Cursor<'a>) -> Result<Entry<'a>, Malformed> {
    let start = cursor.offset();
    let strings = cursor.uvarint()?;
    if strings != ENTRY_STRINGS {
        return Err(Malformed::new(start, format!("a postings entry of {strings} strings instead of 2")));
    }
    Ok(Entry { name: cursor.prefixed()?, value: cursor.prefixed()?, offset: cursor.uvarint()? })
}

impl PostingsTable {
    /// Walks the table at `offset` of the index once.
    pub(crate) fn open(index: &[u8], offset: u64) -> Result<Self, Malformed> {
        let mut table = Self { names: BTreeMap::new(), all: None };
        let mut cursor = section(index, offset, "the table of postings")?;
        let count = cursor.u32()?;
        let mut current: Option<(&[u8], Range<usize>)> = None;
        for _ in 0..count {
            let start = cursor.offset();
            let Entry { name, value, offset } = entry(&mut cursor)?;
            if name.is_empty() && value.is_empty() {
                table.all = Some(offset);
            }
            match &mut current {
                Some((same, range)) if *same == name => range.end = cursor.offset(),
                _ => {
                    table.close(current.replace((name, start..cursor.offset())));
                }
            }
        }
        table.close(current);
        Ok(table)
    }

    fn close(&mut self, run: Option<(&[u8], Range<usize>)>) {
        if let Some((name, range)) = run.filter(|(name, _)| !name.is_empty()) {
            let name = String::from_utf8_lossy(name).into_owned().into_boxed_str();
            self.names.entry(name).or_default().push(range);
        }
    }

    /// Calls `visit` with every value of the label `name` and where the list of
    /// its series lies.
    pub(crate) fn values(
        &self,
        index: &[u8],
        name: &str,
        mut visit: impl FnMut(&str, u64),
    ) -> Result<(), Malformed> {
        for range in self.names.get(name).into_iter().flatten() {
            let mut cursor = Cursor::new(index.get(range.clone()).unwrap_or_default(), range.start);
            while !cursor.is_empty() {
                let Entry { value, offset, .. } = entry(&mut cursor)?;
                visit(&String::from_utf8_lossy(value), offset);
            }
        }
        Ok(())
    }

    /// Number of series in the index.
    pub(crate) fn series_count(&self, index: &[u8]) -> Result<usize, Malformed> {
        let Some(offset) = self.all else { return Ok(0) };
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut cursor = Cursor::at(index, at)?;
        cursor.u32()?;
        Ok(cursor.u32()? as usize)
    }

    /// The ids of all series, ascending.
    pub(crate) fn all_series(&self, index: &[u8]) -> Result<Vec<u32>, Malformed> {
        let mut ids = Vec::new();
        if let Some(offset) = self.all {
            append_list(index, offset, &mut ids)?;
        } else if !self.names.is_empty() {
            return Err(Malformed::new(0, "the list of all series is missing"));
        }
        Ok(ids)
    }

    /// The ids of the series that all `matchers` select, ascending.
    pub(crate) fn select(&self, index: &[u8], matchers: &[&Matcher]) -> Result<Vec<u32>, Malformed> {
        let mut selected: Option<Vec<u32>> = None;
        // First what asks for a label: it is what keeps the lists short.
        let (optional, required): (Vec<_>, Vec<_>) =
            matchers.iter().copied().partition(|matcher| matcher.matches_absent());
        for matcher in required {
            let with = self.union(index, matcher.name(), |value| matcher.matches(value))?;
            selected = Some(match selected {
                None => with,
                Some(before) => common(&before, &with),
            });
            if selected.as_ref().is_some_and(Vec::is_empty) {
                return Ok(Vec::new());
            }
        }
        let mut selected = match selected {
            Some(selected) => selected,
            None => self.all_series(index)?,
        };
        for matcher in optional {
            let without = self.union(index, matcher.name(), |value| !matcher.matches(value))?;
            selected = difference(&selected, &without);
        }
        Ok(selected)
    }

    /// The series whose label `name` has a value that is `wanted`.
    fn union(&self, index: &[u8], name: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<u32>, Malformed> {
        let mut offsets = Vec::new();
        self.values(index, name, |value, offset| {
            if wanted(value) {
                offsets.push(offset);
            }
        })?;
        // A damaged table may name one list many times.
        offsets.sort_unstable();
        offsets.dedup();
        let mut ids = Vec::new();
        let mut most = MOST_UNSORTED;
        for offset in &offsets {
            append_list(index, *offset, &mut ids)?;
            if ids.len() > most {
                ids.sort_unstable();
                ids.dedup();
                most = ids.len().saturating_mul(2).max(MOST_UNSORTED);
            }
        }
        if offsets.len() > 1 {
            ids.sort();
            ids.dedup();
        }
        Ok(ids)
    }
}

/// Appends the postings list at `offset`, which must be ascending.
fn append_list(index: &[u8], offset: u64, ids: &mut Vec<u32>) -> Result<(), Malformed> {
    let mut cursor = section(index, offset, "the postings")?;
    let count = cursor.u32()? as usize;
    let start = cursor.offset();
    let list = cursor.take(count.saturating_mul(ID_BYTES))?;
    let before = ids.len();
    ids.extend(list.as_chunks::<ID_BYTES>().0.iter().map(|bytes| u32::from_be_bytes(*bytes)));
    let added = ids.get(before..).unwrap_or_default();
    if !added.is_sorted_by(|left, right| left < right) {
        return Err(Malformed::new(start, "postings that are not in order"));
    }
    Ok(())
}

/// What two ascending lists have in common.
fn common(left: &[u32], right: &[u32]) -> Vec<u32> {
    let (short, long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    let mut rest = long;
    let mut both = Vec::new();
    for id in short {
        rest = rest.get(rest.partition_point(|other| other < id)..).unwrap_or_default();
        if rest.first() == Some(id) {
            both.push(*id);
        }
    }
    both
}

/// What of the ascending list `from` is not in the ascending list `without`.
fn difference(from: &[u32], without: &[u32]) -> Vec<u32> {
    let mut rest = without.iter().peekable();
    from.iter()
        .copied()
        .filter(|id| {
            while rest.next_if(|other| *other < id).is_some() {}
            rest.peek() != Some(&id)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn list_operations_are_set_operations(
            left in prop::collection::btree_set(0_u32..60, 0..40),
            right in prop::collection::btree_set(0_u32..60, 0..40),
        ) {
            let lists: (Vec<u32>, Vec<u32>) = (left.iter().copied().collect(), right.iter().copied().collect());
            let expected: Vec<u32> = left.intersection(&right).copied().collect();
            prop_assert_eq!(common(&lists.0, &lists.1), expected);
            let expected: Vec<u32> = left.difference(&right).copied().collect();
            prop_assert_eq!(difference(&lists.0, &lists.1), expected);
        }
    }
}
