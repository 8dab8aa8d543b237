//! When a node was there: boots, time known to be off, and how far apart its
//! samples usually are (rules C2, C5).

use crate::time::{DAY_MS, MINUTE_MS, Window, day_of, whole_day};

/// A boot time that moved by less is a clock being corrected, not a boot; nor does a node boot in less.
const BOOT_TOLERANCE_MS: i64 = 30_000;
/// How far off a node's clock may be when it has just booted.
const CLOCK_ERROR_MS: i64 = 10 * MINUTE_MS;

/// The boots of a node, from `node_boot_time_seconds`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Boots {
    /// Instants at which the node booted after it had been seen before, ascending.
    at_ms: Vec<i64>,
}

impl Boots {
    /// From the samples of the boot time, in seconds, in order of their time.
    ///
    /// The boot lies between the last sample with the old value and the first
    /// with the new one, whatever the node's own clock says. A value that rises
    /// without that being possible is a clock that was set.
    pub fn from_samples(samples: impl IntoIterator<Item = (i64, f64)>) -> Self {
        let mut at_ms = Vec::new();
        let mut known: Option<(i64, i64)> = None;
        for (sampled_ms, boot_s) in samples {
            if !boot_s.is_finite() || boot_s.abs() > 1e12 {
                continue;
            }
            let boot_ms = (boot_s * 1000.0).round() as i64;
            if let Some((last_ms, known_ms)) = known
                && boot_ms > known_ms.saturating_add(BOOT_TOLERANCE_MS)
                && boot_ms > last_ms.saturating_sub(CLOCK_ERROR_MS)
                && sampled_ms > last_ms.saturating_add(BOOT_TOLERANCE_MS)
            {
                at_ms.push(boot_ms.clamp(last_ms + 1, sampled_ms));
            }
            known = Some((sampled_ms, known.map_or(boot_ms, |(_, known_ms)| known_ms.max(boot_ms))));
        }
        Self { at_ms }
    }

    /// The last boot in `(after_ms, until_ms]`, if there was one.
    pub fn between(&self, after_ms: i64, until_ms: i64) -> Option<i64> {
        let next = self.at_ms.partition_point(|boot| *boot <= until_ms);
        next.checked_sub(1).and_then(|last| self.at_ms.get(last)).copied().filter(|boot| *boot > after_ms)
    }

    /// All of them.
    pub fn all(&self) -> &[i64] {
        &self.at_ms
    }
}

/// When a node was there to be measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presence {
    /// From its first sample of any kind to its last.
    pub span: Option<Window>,
    /// Known to be off: no target answered, and the node booted later; and all that is in [`gone`](Self::gone). In order, none
    /// over another.
    pub off: Vec<Window>,
    /// Longer than [`LONGEST_GAP_MS`] without a sample of any kind: it was not there.
    pub gone: Vec<Window>,
}

/// What no two samples that are further apart can tell: a day's figures depend on that day and those beside it (rule C5).
pub const LONGEST_GAP_MS: i64 = DAY_MS;

impl Presence {
    /// Works out the time off from the instants at which any target of the node
    /// answered (`up` = 1), ascending, and its boots. Without an `up` series
    /// nothing is known to be off. `seen` are the spans of its samples, in order, with what is too long between them.
    pub fn new(seen: &[Window], answered_ms: &[i64], boots: &Boots) -> Self {
        let mut off: Vec<Window> = Vec::new();
        for boot in boots.all() {
            let next = answered_ms.partition_point(|at| at <= boot);
            let last_seen = next.checked_sub(1).and_then(|last| answered_ms.get(last));
            if let Some(last_seen) = last_seen
                && next < answered_ms.len()
                && boot > last_seen
            {
                // A clock that is put right after the boot looks like a second boot in the same outage.
                match off.last_mut().filter(|before| before.start_ms == *last_seen) {
                    Some(before) => before.end_ms = *boot,
                    None => off.push(Window::new(*last_seen, *boot)),
                }
            }
        }
        let between = seen.iter().zip(seen.iter().skip(1));
        let gone: Vec<Window> =
            between.map(|(before, after)| Window::new(before.end_ms, after.start_ms)).collect();
        off.extend(gone.iter().copied());
        Self { span: crate::time::span(seen), off: union(off), gone }
    }

    /// Seconds of `window` in which the node was there, on or off.
    pub fn there_s(&self, window: Window) -> f64 {
        self.span_without(&self.gone, window)
    }

    /// Seconds of `window` in which the node should have been measured.
    pub fn expected_s(&self, window: Window) -> f64 {
        self.span_without(&self.off, window)
    }

    fn span_without(&self, off: &[Window], window: Window) -> f64 {
        let Some(inside) = self.span.and_then(|span| span.intersect(window)) else {
            return 0.0;
        };
        let first = off.partition_point(|off| off.end_ms <= inside.start_ms);
        let near = off.iter().skip(first).take_while(|off| off.start_ms < inside.end_ms);
        let off_ms: i64 = near.filter_map(|off| off.intersect(inside)).map(Window::length_ms).sum();
        (inside.length_ms() - off_ms) as f64 / 1000.0
    }
}

/// The same time in order, none over another.
fn union(mut windows: Vec<Window>) -> Vec<Window> {
    windows.sort_unstable();
    let mut joined: Vec<Window> = Vec::with_capacity(windows.len());
    for window in windows {
        match joined.last_mut().filter(|last| window.start_ms <= last.end_ms) {
            Some(last) => last.end_ms = last.end_ms.max(window.end_ms),
            None => joined.push(window),
        }
    }
    joined
}

/// First and last samples of any kind, with what is too long between them.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Spans of single series.
    spans: Vec<Window>,
}

impl Seen {
    /// The instants of samples, ascending.
    pub fn add(&mut self, times_ms: impl IntoIterator<Item = i64>) {
        let mut now: Option<Window> = None;
        for at_ms in times_ms {
            match &mut now {
                Some(span) if at_ms.saturating_sub(span.end_ms) <= LONGEST_GAP_MS => span.end_ms = at_ms,
                _ => self.spans.extend(now.replace(Window::new(at_ms, at_ms))),
            }
        }
        self.spans.extend(now);
    }

    /// True of no sample at all.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// In order, further apart than [`LONGEST_GAP_MS`].
    pub fn spans(&self) -> Vec<Window> {
        let mut spans = self.spans.clone();
        spans.sort_unstable();
        let mut joined: Vec<Window> = Vec::new();
        for span in spans {
            match joined.last_mut().filter(|last| span.start_ms.saturating_sub(last.end_ms) <= LONGEST_GAP_MS)
            {
                Some(last) => last.end_ms = last.end_ms.max(span.end_ms),
                None => joined.push(span),
            }
        }
        joined
    }
}

/// The longest stretch without a sample that is no gap: for each UTC day
/// max(5 min, 2.5 × the median distance of samples that day) (rule C5).
#[derive(Clone, Debug, Default)]
pub struct GapLimits {
    /// UTC days on which it is longer than the floor, and how long it is then.
    days: Vec<(i64, i64)>,
}

/// Floor of the gap limit.
const GAP_FLOOR_MS: i64 = 5 * MINUTE_MS;
/// The longest median distance for which the floor is the limit.
const FLOOR_DISTANCE_MS: i64 = 2 * MINUTE_MS;

impl GapLimits {
    /// From the instants of a series, ascending. A distance counts for the day in which it begins.
    pub fn from_times(times_ms: impl IntoIterator<Item = i64>) -> Self {
        let mut days = Vec::new();
        by_day(times_ms, |day, distances| {
            // Most series are read so often that the floor holds; that needs no median.
            let short = distances.iter().filter(|distance| **distance <= FLOOR_DISTANCE_MS).count();
            if short <= middle(distances) {
                let limit_ms = median(distances).saturating_mul(5) / 2;
                days.push((day, limit_ms.clamp(GAP_FLOOR_MS, LONGEST_GAP_MS)));
            }
        });
        Self { days }
    }

    /// The limit that holds for an interval that begins at `at_ms`.
    pub fn at(&self, at_ms: i64) -> i64 {
        if self.days.is_empty() {
            return GAP_FLOOR_MS;
        }
        let found = self.days.binary_search_by_key(&day_of(at_ms), |(day, _)| *day).ok();
        found.and_then(|found| self.days.get(found)).map_or(GAP_FLOOR_MS, |(_, limit_ms)| *limit_ms)
    }

    /// True if an interval from `from_ms` to `to_ms` is longer than the limit that holds for it.
    #[inline]
    pub fn is_gap(&self, from_ms: i64, to_ms: i64) -> bool {
        let length_ms = to_ms.saturating_sub(from_ms);
        length_ms > GAP_FLOOR_MS && length_ms > self.at(from_ms)
    }
}

/// How far apart samples usually are: for each UTC day the median distance. A day with fewer than two has none.
#[derive(Clone, Debug, Default)]
pub struct UsualDistances {
    days: Vec<(i64, i64)>,
}

impl UsualDistances {
    /// From the instants of a series, ascending. A distance counts for the day in which it begins.
    pub fn from_times(times_ms: impl IntoIterator<Item = i64>) -> Self {
        let mut days = Vec::new();
        by_day(times_ms, |day, distances| days.push((day, median(distances))));
        Self { days }
    }

    /// That of the day of `at_ms`.
    pub fn at(&self, at_ms: i64) -> Option<i64> {
        let found = self.days.binary_search_by_key(&day_of(at_ms), |(day, _)| *day).ok()?;
        self.days.get(found).map(|(_, distance_ms)| *distance_ms)
    }
}

/// Shows `close` each UTC day with the distances that begin in it; there is at least one.
fn by_day(times_ms: impl IntoIterator<Item = i64>, mut close: impl FnMut(i64, &mut [i64])) {
    let mut distances: Vec<i64> = Vec::new();
    let mut times_ms = times_ms.into_iter();
    let Some(mut before_ms) = times_ms.next() else { return };
    let mut day = day_of(before_ms);
    let mut day_ends_ms = whole_day(day).end_ms;
    for at_ms in times_ms {
        if before_ms >= day_ends_ms {
            if !distances.is_empty() {
                close(day, &mut distances);
                distances.clear();
            }
            day = day_of(before_ms);
            day_ends_ms = whole_day(day).end_ms;
        }
        distances.push(at_ms.saturating_sub(before_ms));
        before_ms = at_ms;
    }
    if !distances.is_empty() {
        close(day, &mut distances);
    }
}

/// Position of the median in order; of an even number the lower of the two.
fn middle(distances: &[i64]) -> usize {
    distances.len().saturating_sub(1) / 2
}

fn median(distances: &mut [i64]) -> i64 {
    if distances.is_empty() {
        return 0;
    }
    *distances.select_nth_unstable(middle(distances)).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR_MS;

    #[test]
    fn a_corrected_clock_is_no_boot() {
        let boots = Boots::from_samples([
            (4_000_000, 1000.0),
            (4_100_000, 1001.0),
            (4_200_000, 1000.0),
            // Set forward by 400 s: no boot, for the node was seen since.
            (4_300_000, 1400.0),
            (6_000_000, 5000.0),
            (6_100_000, f64::NAN),
            (6_200_000, 5001.0),
        ]);
        assert_eq!(boots.all(), [5_000_000]);
        assert_eq!(boots.between(4_000_000, 6_000_000), Some(5_000_000));
        assert_eq!(boots.between(5_000_000, 6_000_000), None);
        assert_eq!(boots.between(0, 4_999_999), None);
    }

    #[test]
    fn time_off_is_not_expected() {
        let boots = Boots::from_samples([(0, 0.0), (900_000, 800.0)]);
        let span = [Window::new(0, 1_000_000)];
        let presence = Presence::new(&span, &[0, 300_000, 900_000], &boots);
        assert_eq!(presence.off, [Window::new(300_000, 800_000)]);
        assert_eq!(presence.expected_s(Window::new(0, 2_000_000)), 500.0);
        assert_eq!(presence.expected_s(Window::new(700_000, 900_000)), 100.0);
        assert_eq!(Presence::new(&span, &[], &boots).expected_s(Window::new(0, 1_000_000)), 1000.0);
    }

    #[test]
    fn a_boot_lies_between_the_samples_whatever_the_clock_says() {
        let boots = Boots::from_samples([(4_000_000, 0.0), (4_300_000, 4700.0)]);
        assert_eq!(boots.all(), [4_300_000]);
    }

    #[test]
    fn a_clock_put_right_after_the_boot_is_no_second_boot() {
        // The clock was an hour behind at boot.
        let boots = Boots::from_samples([(0, 0.0), (9_000_000, 3600.0), (9_015_000, 7200.0)]);
        let span = [Window::new(0, 10_000_000)];
        let presence = Presence::new(&span, &[0, 9_000_000, 9_015_000], &boots);
        assert_eq!(presence.off, [Window::new(0, 3_600_000)]);
        assert_eq!(presence.expected_s(Window::new(0, 10_000_000)), 6400.0);
    }

    #[test]
    fn a_node_that_was_silent_for_more_than_a_day_was_gone() {
        let mut seen = Seen::default();
        seen.add([0, HOUR_MS, HOUR_MS + DAY_MS, 4 * DAY_MS]);
        seen.add([2 * HOUR_MS + DAY_MS]);
        let spans = [Window::new(0, DAY_MS + 2 * HOUR_MS), Window::new(4 * DAY_MS, 4 * DAY_MS)];
        assert_eq!(seen.spans(), spans);
        let presence = Presence::new(&seen.spans(), &[], &Boots::default());
        assert_eq!(presence.expected_s(Window::new(DAY_MS, 5 * DAY_MS)), 7200.0);
        assert_eq!(presence.there_s(Window::new(0, 5 * DAY_MS)), 93_600.0);
        assert_eq!(presence.there_s(Window::new(2 * DAY_MS, 3 * DAY_MS)), 0.0);
    }

    #[test]
    fn gap_limit_follows_the_median_of_the_day() {
        let quarter_hours = (0..20).map(|n| n * 900_000);
        assert_eq!(GapLimits::from_times(quarter_hours).at(0), 2_250_000);
        let seconds = (0..100).map(|n| n * 15_000);
        assert_eq!(GapLimits::from_times(seconds).at(0), 300_000);
        assert_eq!(GapLimits::default().at(0), 300_000);
    }
}
