//! Energy counters: increases, wraps told from resets (rules C1, C2, C5).

use std::collections::BTreeMap;

use super::curve::{Coverage, Interval, Missing};
use super::presence::{Boots, GapLimits, LONGEST_GAP_MS};
use crate::sum::Sum;
use crate::time::{Window, day_of, whole_day};

/// What is known about a counter before it is read.
#[derive(Clone, Debug)]
pub struct CounterRules<'a> {
    /// Ranges at which it may wrap, ascending, in joules; empty for one that does not.
    pub wrap_j: &'a [f64],
    /// True if it starts again with its driver or process.
    pub resets: bool,
    /// The most that the device can draw, in watts.
    pub max_power_w: f64,
    /// Boots of the node.
    pub boots: &'a Boots,
    /// Distances between samples that count as gaps.
    pub gaps: &'a GapLimits,
}

/// What became of the samples of a meter: nothing is left out in silence.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Tally {
    /// Only what happened in here is counted: what is read beyond the report's window belongs to another report.
    #[serde(skip, default = "everything")]
    pub counted: Window,
    /// Samples read, stale markers not counted.
    pub samples: u64,
    /// Dropped: not a number, or infinite.
    pub not_finite: u64,
    /// Dropped: the exporter's sign for "no value".
    pub blank: u64,
    /// Dropped: negative, or more than the device can draw.
    pub impossible: u64,
    /// Dropped: counter readings that no plausible power leads to.
    pub outliers: u64,
    /// Wraps added, counted once for each turn of the counter.
    pub wraps: u64,
    /// Times the counter started again.
    pub resets: u64,
    /// Seconds missing, by reason.
    pub missing_s: BTreeMap<Missing, f64>,
    /// What the counter rose by between readings more than [`LONGEST_GAP_MS`] apart, in joules: in no line (rule C5).
    pub beyond_longest_gap_j: f64,
    /// All increments, summed while decoding: one side of the balance B2.
    pub increments_j: f64,
}

fn everything() -> Window {
    Window::ALL
}

impl Default for Tally {
    fn default() -> Self {
        Self::of(Window::ALL)
    }
}

impl Tally {
    /// Of what happens in `counted`.
    pub fn of(counted: Window) -> Self {
        Self {
            counted,
            samples: 0,
            not_finite: 0,
            blank: 0,
            impossible: 0,
            outliers: 0,
            wraps: 0,
            resets: 0,
            missing_s: BTreeMap::new(),
            beyond_longest_gap_j: 0.0,
            increments_j: 0.0,
        }
    }

    /// 1 for what is counted at `at_ms`, else 0.
    pub fn once(&self, at_ms: i64) -> u64 {
        u64::from(self.counted.contains(at_ms))
    }

    /// Adds what became of other samples of the same meter.
    pub fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.not_finite += other.not_finite;
        self.blank += other.blank;
        self.impossible += other.impossible;
        self.outliers += other.outliers;
        self.wraps += other.wraps;
        self.resets += other.resets;
        for (why, seconds) in &other.missing_s {
            *self.missing_s.entry(*why).or_default() += seconds;
        }
        self.beyond_longest_gap_j += other.beyond_longest_gap_j;
        self.increments_j += other.increments_j;
    }

    /// Notes the missing time and the energy of finished intervals.
    pub fn close(&mut self, intervals: &[Interval]) {
        for interval in intervals {
            if let (Coverage::Missing(why), Some(inside)) =
                (interval.coverage, interval.window.intersect(self.counted))
            {
                *self.missing_s.entry(why).or_default() += inside.length_s();
            }
        }
    }

    /// Samples that were left out, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.not_finite + self.blank + self.impossible + self.outliers
    }
}

/// What a pair of readings means.
enum Step {
    /// So much energy, over so many wraps.
    Energy { joules: f64, wraps: u64 },
    /// Several numbers of wraps are plausible.
    Ambiguous,
    /// None is.
    Impossible,
}

/// Turns the readings of one counter, in joules, into intervals.
///
/// `samples` are in ascending time; a stale marker stands in `stale_ms` and
/// makes the interval that it falls into interpolated, since the series had ended.
pub fn integrate(
    samples: &[(i64, f64)],
    stale_ms: &[i64],
    rules: &CounterRules<'_>,
    tally: &mut Tally,
) -> Vec<Interval> {
    let mut ranges = WrapRanges::new(samples, rules.wrap_j);
    let mut intervals = Vec::with_capacity(samples.len());
    let mut increments = Sum::new();
    let mut base: Option<(i64, f64)> = None;
    let mut outliers_in_a_row = 0;
    for &(at_ms, value) in samples {
        let Some((base_ms, base_j)) = base else {
            base = Some((at_ms, value));
            continue;
        };
        if at_ms <= base_ms {
            continue;
        }
        if at_ms.saturating_sub(base_ms) > LONGEST_GAP_MS {
            tally.beyond_longest_gap_j += (value - base_j).max(0.0) * tally.once(at_ms) as f64;
            intervals.push(Interval::missing(base_ms, at_ms, Missing::Gap));
            outliers_in_a_row = 0;
            base = Some((at_ms, value));
            continue;
        }
        let wrap_j = ranges.between(base_ms, at_ms);
        let coverage = if rules.gaps.is_gap(base_ms, at_ms) || has_between(stale_ms, base_ms, at_ms) {
            Coverage::Interpolated
        } else {
            Coverage::Covered
        };
        if let Some(boot_ms) = rules.boots.between(base_ms, at_ms) {
            tally.resets += tally.once(at_ms);
            increments.add(after_reset(&mut intervals, base_ms, boot_ms, at_ms, value, rules));
        } else {
            match step(base_j, value, (at_ms - base_ms) as f64 / 1000.0, wrap_j, rules.max_power_w) {
                Step::Energy { joules, wraps } => {
                    tally.wraps += wraps * tally.once(at_ms);
                    increments.add(joules);
                    intervals.push(Interval::flat(base_ms, at_ms, joules, coverage));
                }
                Step::Ambiguous => {
                    intervals.push(Interval::missing(base_ms, at_ms, Missing::WrapAmbiguous));
                }
                Step::Impossible if rules.resets => {
                    tally.resets += tally.once(at_ms);
                    increments.add(after_reset(&mut intervals, base_ms, base_ms, at_ms, value, rules));
                }
                Step::Impossible => {
                    tally.outliers += tally.once(at_ms);
                    outliers_in_a_row += 1;
                    if outliers_in_a_row < 3 {
                        continue;
                    }
                    intervals.push(Interval::missing(base_ms, at_ms, Missing::Outlier));
                }
            }
        }
        outliers_in_a_row = 0;
        base = Some((at_ms, value));
    }
    tally.increments_j = increments.value();
    tally.close(&intervals);
    intervals
}

/// Where the counter may start again, by UTC day (rule C2).
struct WrapRanges {
    /// `None` of a day on which it went beyond every known range.
    days: Vec<(i64, Option<f64>)>,
    /// The day that was asked for last, and its range.
    at_hand: (Window, Option<f64>),
}

impl WrapRanges {
    /// For each day the smallest of the ascending `ranges_j` that holds every reading. Readings
    /// above all of them count only three in a row: fewer are outliers, and one bad
    /// reading would cost every wrap of the counter.
    fn new(samples: &[(i64, f64)], ranges_j: &[f64]) -> Self {
        let at_hand = (Window::new(0, 0), None);
        let Some(most_j) = ranges_j.last().copied() else { return Self { days: Vec::new(), at_hand } };
        let range_of = |readings: &[(i64, f64)]| {
            let mut above_in_a_row = 0;
            let mut largest_j = 0.0_f64;
            for (_, value) in readings {
                if *value <= most_j {
                    above_in_a_row = 0;
                    largest_j = largest_j.max(*value);
                } else {
                    above_in_a_row += 1;
                    if above_in_a_row == 3 {
                        return None;
                    }
                }
            }
            ranges_j.iter().copied().find(|range| *range >= largest_j)
        };
        let mut days = Vec::new();
        let mut rest = samples;
        while let Some((first_ms, _)) = rest.first() {
            let day = day_of(*first_ms);
            let next = rest.partition_point(|(at_ms, _)| *at_ms < whole_day(day).end_ms).max(1);
            let (today, later) = rest.split_at_checked(next).unwrap_or_default();
            days.push((day, range_of(today)));
            rest = later;
        }
        Self { days, at_hand }
    }

    /// The range that holds for readings at these instants: the larger of the two days'.
    fn between(&mut self, from_ms: i64, to_ms: i64) -> Option<f64> {
        if self.days.is_empty() {
            return None;
        }
        Some(self.at(from_ms)?.max(self.at(to_ms)?))
    }

    #[inline]
    fn at(&mut self, at_ms: i64) -> Option<f64> {
        if !self.at_hand.0.contains(at_ms) {
            let found = self.days.binary_search_by_key(&day_of(at_ms), |(day, _)| *day).ok()?;
            let (day, range) = *self.days.get(found)?;
            self.at_hand = (whole_day(day), range);
        }
        self.at_hand.1
    }
}

/// A counter that started again at `since_ms` (a boot, or the last reading) and
/// stands at `value` by `at_ms`. Returns the energy that is taken.
fn after_reset(
    intervals: &mut Vec<Interval>,
    base_ms: i64,
    since_ms: i64,
    at_ms: i64,
    value: f64,
    rules: &CounterRules<'_>,
) -> f64 {
    let since_ms = since_ms.clamp(base_ms, at_ms);
    let limit = rules.max_power_w * (at_ms - since_ms) as f64 / 1000.0;
    if !(0.0..=limit).contains(&value) || since_ms == at_ms {
        intervals.push(Interval::missing(base_ms, at_ms, Missing::Reset));
        return 0.0;
    }
    if since_ms > base_ms {
        intervals.push(Interval::missing(base_ms, since_ms, Missing::Reset));
    }
    intervals.push(Interval::flat(since_ms, at_ms, value, Coverage::Covered));
    value
}

/// Rule C2: the numbers of wraps k for which 0 ≤ b − a + k·R ≤ P_max·Δt.
fn step(from_j: f64, to_j: f64, seconds: f64, wrap_j: Option<f64>, max_power_w: f64) -> Step {
    let rise = to_j - from_j;
    let most = max_power_w * seconds;
    let Some(range) = wrap_j.filter(|range| *range > 0.0) else {
        return if (0.0..=most).contains(&rise) {
            Step::Energy { joules: rise, wraps: 0 }
        } else {
            Step::Impossible
        };
    };
    let fewest = if rise < 0.0 { (-rise / range).ceil().max(1.0) } else { 0.0 };
    let energy = rise + fewest * range;
    if energy > most {
        Step::Impossible
    } else if energy + range <= most {
        Step::Ambiguous
    } else {
        Step::Energy { joules: energy, wraps: fewest as u64 }
    }
}

/// True if one of the ascending `times_ms` lies in `(after_ms, until_ms]`.
#[inline]
pub(super) fn has_between(times_ms: &[i64], after_ms: i64, until_ms: i64) -> bool {
    !times_ms.is_empty()
        && times_ms.get(times_ms.partition_point(|at| *at <= after_ms)).is_some_and(|at| *at <= until_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANGE: f64 = 262_143.328_85;

    fn run(samples: &[(i64, f64)], wrap_j: &[f64], resets: bool, boots: &Boots) -> (Vec<Interval>, Tally) {
        let gaps = GapLimits::from_times(samples.iter().map(|(at, _)| *at));
        let rules = CounterRules { wrap_j, resets, max_power_w: 600.0, boots, gaps: &gaps };
        let mut tally = Tally::default();
        let intervals = integrate(samples, &[], &rules, &mut tally);
        (intervals, tally)
    }

    #[test]
    fn a_wrap_is_added_not_taken_for_a_reset() {
        // 100 W for 15 s across the wrap.
        let (intervals, tally) =
            run(&[(0, RANGE - 500.0), (15_000, 1000.0)], &[65_532.6, RANGE], false, &Boots::default());
        assert_eq!(tally.wraps, 1);
        assert!((intervals[0].energy_j - 1500.0).abs() < 1e-6);
        assert_eq!(intervals[0].coverage, Coverage::Covered);
    }

    #[test]
    fn several_wraps_between_two_readings_are_ambiguous_only_if_power_allows() {
        // Small range, 300 s: at 600 W up to 180 kJ, 0, 1 or 2 turns of 65.5 kJ.
        let samples = [(0, 10_000.0), (300_000, 20_000.0)];
        let (intervals, tally) = run(&samples, &[65_532.6], false, &Boots::default());
        assert_eq!(intervals[0].coverage, Coverage::Missing(Missing::WrapAmbiguous));
        assert_eq!(tally.missing_s[&Missing::WrapAmbiguous], 300.0);
        // The large range leaves one candidate.
        let (intervals, _) = run(&samples, &[RANGE], false, &Boots::default());
        assert_eq!(intervals[0].energy_j, 10_000.0);
    }

    #[test]
    fn the_smallest_range_above_the_largest_reading_is_taken() {
        let samples = [(0, 65_000.0), (15_000, 500.0)];
        let (_, tally) = run(&samples, &[65_532.610_987, RANGE], false, &Boots::default());
        assert_eq!(tally.wraps, 1);
        assert!((tally.increments_j - 1_032.610_987).abs() < 1e-6);
    }

    #[test]
    fn a_boot_resets_even_where_the_value_rose() {
        let boots = Boots::from_samples([(0, 0.0), (200_000, 100.0)]);
        let (intervals, tally) = run(&[(60_000, 10.0), (160_000, 3000.0)], &[RANGE], false, &boots);
        assert_eq!(tally.resets, 1);
        assert_eq!(intervals[0], Interval::missing(60_000, 100_000, Missing::Reset));
        assert_eq!(intervals[1], Interval::flat(100_000, 160_000, 3000.0, Coverage::Covered));
    }

    #[test]
    fn a_driver_restart_keeps_what_was_counted_since() {
        let (intervals, tally) = run(&[(0, 5e6), (15_000, 900.0)], &[], true, &Boots::default());
        assert_eq!((tally.resets, intervals[0].energy_j), (1, 900.0));
        let (intervals, _) = run(&[(0, 5e9), (15_000, 4e9)], &[], true, &Boots::default());
        assert_eq!(intervals[0].coverage, Coverage::Missing(Missing::Reset));
    }

    #[test]
    fn one_wild_reading_is_dropped_three_become_the_new_base() {
        let boots = Boots::default();
        let (intervals, tally) = run(&[(0, 0.0), (15_000, 1e9), (30_000, 3000.0)], &[], false, &boots);
        assert_eq!((tally.outliers, intervals.len(), intervals[0].energy_j), (1, 1, 3000.0));
        let wild = [(0, 0.0), (15_000, 1e9), (30_000, 1e9), (45_000, 1e9), (60_000, 1e9 + 100.0)];
        let (intervals, tally) = run(&wild, &[], false, &boots);
        assert_eq!(tally.outliers, 3);
        assert_eq!(intervals[0], Interval::missing(0, 45_000, Missing::Outlier));
        assert_eq!(intervals[1].energy_j, 100.0);
    }

    #[test]
    fn an_increase_over_a_gap_is_energy_but_interpolated() {
        let samples = [(0, 0.0), (15_000, 1500.0), (30_000, 3000.0), (1_230_000, 123_000.0)];
        let (intervals, _) = run(&samples, &[RANGE], false, &Boots::default());
        assert_eq!(intervals[2].coverage, Coverage::Missing(Missing::WrapAmbiguous));
        let (intervals, _) = run(&samples, &[], false, &Boots::default());
        assert_eq!(intervals[2].coverage, Coverage::Interpolated);
        assert_eq!(intervals[2].energy_j, 120_000.0);
    }

    #[test]
    fn over_more_than_a_day_nobody_knows_when() {
        let day = crate::time::DAY_MS;
        let samples = [(0, 0.0), (15_000, 1500.0), (15_000 + day, 50_000.0), (15_001 + 2 * day, 70_000.0)];
        let (intervals, tally) = run(&samples, &[], false, &Boots::default());
        assert_eq!((intervals[1].energy_j, intervals[1].coverage), (48_500.0, Coverage::Interpolated));
        assert_eq!(intervals[2].coverage, Coverage::Missing(Missing::Gap));
        assert_eq!((tally.increments_j, tally.beyond_longest_gap_j), (50_000.0, 20_000.0));
    }

    #[test]
    fn each_day_tells_the_range_of_its_own_readings() {
        let day = crate::time::DAY_MS;
        let mut ranges =
            WrapRanges::new(&[(0, 65_000.0), (day, 200_000.0), (2 * day, 900.0)], &[65_532.6, RANGE]);
        assert_eq!(ranges.between(0, 1), Some(65_532.6));
        assert_eq!(ranges.between(0, day), Some(RANGE));
        assert_eq!(ranges.between(2 * day, 2 * day + 1), Some(65_532.6));
    }

    proptest! {
        /// A counter read modulo its range gives back what was counted.
        #[test]
        fn unwrapping_restores_the_truth(powers in prop::collection::vec(0.0..590.0_f64, 1..200)) {
            let mut total = 0.0;
            let mut samples = vec![(0, 0.0)];
            for (n, power) in powers.iter().enumerate() {
                total += power * 15.0;
                samples.push(((n as i64 + 1) * 15_000, total % RANGE));
            }
            let (_, tally) = run(&samples, &[RANGE], false, &Boots::default());
            // Only if a value near the range was seen is the range certain to be the larger one.
            prop_assert!((tally.increments_j - total).abs() < 1e-6 * total.max(1.0));
        }
    }
}
