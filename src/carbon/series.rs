//! Intensities of an hour or less, looked up by instant.

use crate::time::{HOUR_MS, MINUTE_MS};

/// One value and the half-open span in which it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) grams_per_kwh: f64,
    pub(super) estimated: bool,
    /// Index of the file it is from.
    pub(super) file: usize,
}

/// Values in order of time that do not overlap; where there is none is a gap.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    values: Vec<Value>,
}

/// What laying values over each other found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Overlaps {
    pub(super) duplicates: u64,
    pub(super) conflicts: u64,
}

impl Series {
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Lays `later` over what is there. Where both have a value of the same
    /// start, the later holds; where a value reaches into the next, the next
    /// holds from its start.
    pub(super) fn lay_over(&mut self, later: Vec<Value>) -> Overlaps {
        let mut overlaps = Overlaps::default();
        let mut all = std::mem::take(&mut self.values);
        all.extend(later);
        // Stable: of the same start, the later stays later.
        all.sort_by_key(|value| value.start_ms);
        let mut merged: Vec<Value> = Vec::with_capacity(all.len());
        for value in all {
            match merged.last_mut() {
                Some(last) if last.start_ms == value.start_ms => {
                    if last.grams_per_kwh == value.grams_per_kwh {
                        overlaps.duplicates = overlaps.duplicates.saturating_add(1);
                    } else {
                        overlaps.conflicts = overlaps.conflicts.saturating_add(1);
                    }
                    *last = value;
                }
                Some(last) => {
                    last.end_ms = last.end_ms.min(value.start_ms);
                    merged.push(value);
                }
                None => merged.push(value),
            }
        }
        self.values = merged;
        overlaps
    }

    /// Puts `lower` where there is nothing yet, and its pieces into the holes that it covers in part.
    pub(super) fn fill(&mut self, lower: Vec<Value>) {
        let mut under = Self::default();
        under.lay_over(lower);
        let upper = std::mem::take(&mut self.values);
        let mut merged: Vec<Value> = Vec::with_capacity(upper.len().saturating_add(under.values.len()));
        let mut above = upper.iter().copied().peekable();
        for mut value in under.values {
            // The last one above may reach into this one.
            value.start_ms = merged.last().map_or(value.start_ms, |last| last.end_ms.max(value.start_ms));
            while let Some(over) = above.next_if(|over| over.start_ms < value.end_ms) {
                if value.start_ms < over.start_ms {
                    merged.push(Value { end_ms: over.start_ms, ..value });
                }
                value.start_ms = value.start_ms.max(over.end_ms);
                merged.push(over);
            }
            if value.start_ms < value.end_ms {
                merged.push(value);
            }
        }
        merged.extend(above);
        self.values = merged;
    }

    /// Lays `later` over what is there: it holds wherever it has a value, whatever the lengths of the steps.
    pub(super) fn cover(&mut self, later: Vec<Value>) -> Overlaps {
        let mut above = Self::default();
        let mut overlaps = above.lay_over(later);
        let below = std::mem::take(&mut self.values);
        for value in &below {
            let place = above.values.binary_search_by_key(&value.start_ms, |above| above.start_ms);
            match place.ok().and_then(|at| above.values.get(at)) {
                Some(over) if over.grams_per_kwh == value.grams_per_kwh => {
                    overlaps.duplicates = overlaps.duplicates.saturating_add(1);
                }
                Some(_) => overlaps.conflicts = overlaps.conflicts.saturating_add(1),
                None => {}
            }
        }
        above.fill(below);
        *self = above;
        overlaps
    }

    /// The value that holds at `at_ms`.
    pub(super) fn at(&self, at_ms: i64) -> Option<&Value> {
        let after = self.values.partition_point(|value| value.start_ms <= at_ms);
        self.values.get(after.checked_sub(1)?).filter(|value| at_ms < value.end_ms)
    }

    /// The longest bucket, counted from the epoch and no longer than an hour,
    /// that no value's start or end cuts. Stamps that jitter would make it
    /// arbitrarily small: it is at least a minute.
    #[cfg(test)]
    fn bucket_ms(&self) -> i64 {
        Self::common_bucket_ms([self].into_iter())
    }

    /// The same for several series: no bucket is cut by a value of any of them.
    pub(super) fn common_bucket_ms<'s>(all: impl Iterator<Item = &'s Self>) -> i64 {
        let values = all.flat_map(|series| &series.values);
        let edges = values.flat_map(|value| [value.start_ms, value.end_ms]);
        edges.fold(HOUR_MS, greatest_common_divisor).max(MINUTE_MS)
    }
}

fn greatest_common_divisor(left: i64, right: i64) -> i64 {
    let (mut left, mut right) = (left.unsigned_abs(), right.unsigned_abs());
    while right != 0 {
        (left, right) = (right, left.checked_rem(right).unwrap_or(0));
    }
    i64::try_from(left).unwrap_or(HOUR_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(start_ms: i64, length_ms: i64, grams_per_kwh: f64) -> Value {
        Value { start_ms, end_ms: start_ms + length_ms, grams_per_kwh, estimated: false, file: 0 }
    }

    #[test]
    fn half_hours_cut_the_hour_under_them() {
        let half = HOUR_MS / 2;
        let mut series = Series::default();
        series.lay_over(vec![value(0, HOUR_MS, 100.0), value(HOUR_MS, HOUR_MS, 200.0)]);
        assert_eq!(series.bucket_ms(), HOUR_MS);
        let overlaps = series.lay_over(vec![value(half, half, 150.0), value(HOUR_MS, half, 200.0)]);
        assert_eq!(overlaps, Overlaps { duplicates: 1, conflicts: 0 });
        let at = |at_ms| series.at(at_ms).map(|value| value.grams_per_kwh);
        assert_eq!(at(-1), None);
        assert_eq!(at(half - 1), Some(100.0));
        assert_eq!(at(half), Some(150.0));
        assert_eq!(at(HOUR_MS), Some(200.0));
        // The later value of 01:00 holds for half an hour only; then there is a gap.
        assert_eq!(at(HOUR_MS + half), None);
        assert_eq!(series.bucket_ms(), half);
    }

    proptest! {
        #[test]
        fn at_finds_what_a_scan_finds(starts in prop::collection::vec(-50_i64..50, 0..40), at_ms in -60_i64..70) {
            let later: Vec<Value> = starts.iter().enumerate().map(|(n, s)| value(*s, 7, n as f64)).collect();
            let mut series = Series::default();
            series.lay_over(later.clone());
            // By definition: the last-given value of the newest start not after `at_ms`, if it reaches it.
            let newest = later.iter().filter(|v| v.start_ms <= at_ms).map(|v| v.start_ms).max();
            let expected = newest.filter(|start| at_ms < start + 7)
                .and_then(|start| later.iter().rfind(|v| v.start_ms == start))
                .map(|v| v.grams_per_kwh);
            prop_assert_eq!(series.at(at_ms).map(|v| v.grams_per_kwh), expected);
        }

        #[test]
        fn what_fills_never_hides(
            upper in prop::collection::vec((-50_i64..50, 1_i64..9), 0..12),
            lower in prop::collection::vec((-50_i64..50, 1_i64..20), 0..12),
            at_ms in -60_i64..80,
        ) {
            let series = |spans: &[(i64, i64)], grams: f64| {
                let mut series = Series::default();
                series.lay_over(spans.iter().map(|(start, length)| value(*start, *length, grams)).collect());
                series
            };
            let (above, below) = (series(&upper, 1.0), series(&lower, 2.0));
            let mut filled = above.clone();
            filled.fill(below.values.clone());
            let expected = above.at(at_ms).or(below.at(at_ms)).map(|value| value.grams_per_kwh);
            prop_assert_eq!(filled.at(at_ms).map(|value| value.grams_per_kwh), expected);
            prop_assert!(filled.values.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms));
        }

        #[test]
        fn no_bucket_is_cut(starts in prop::collection::btree_set(0_i64..200, 1..20)) {
            let step = 5 * MINUTE_MS;
            let mut series = Series::default();
            series.lay_over(starts.iter().map(|s| value(s * step, step, 1.0)).collect());
            let bucket = series.bucket_ms();
            prop_assert!((MINUTE_MS..=HOUR_MS).contains(&bucket));
            prop_assert!(series.values.iter().all(|v| v.start_ms % bucket == 0 && v.end_ms % bucket == 0));
        }
    }
}
