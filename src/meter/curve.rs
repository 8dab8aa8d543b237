//! The energy curve: a device's cumulative joules over time, with what was not
//! seen marked (rules C1, C3, C6). All edges are query points on it.

use crate::sum::Sum;
use crate::time::Window;

/// What is known about a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coverage {
    /// A meter saw it.
    Covered,
    /// Its energy is known, how it was spread in time is not.
    Interpolated,
    /// Nothing is known.
    Missing(Missing),
}

/// Why nothing is known about a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Samples too far apart (rule C5).
    Gap,
    /// More than one number of wraps would be plausible (rule C2).
    WrapAmbiguous,
    /// The counter started again, and what it had counted is lost (rule C2).
    Reset,
    /// The series ended with a stale marker and came back (rule N3).
    Stale,
    /// Readings that no device can give, until three in a row agreed (rule C2).
    Outlier,
}

impl Missing {
    /// The word used in `meters.csv` and `summary.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::WrapAmbiguous => "wrap_ambiguous",
            Self::Reset => "reset",
            Self::Stale => "stale",
            Self::Outlier => "outlier",
        }
    }
}

/// How power runs inside an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Constant: what a counter tells between two readings.
    Flat,
    /// Straight line between two gauge readings, in watts.
    Ramp {
        /// Power at the start.
        from_w: f64,
        /// Power at the end.
        to_w: f64,
    },
}

/// One stretch between two readings (or between a reading and a run edge).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Where it lies.
    pub window: Window,
    /// Energy used in it, in joules; zero where missing.
    pub energy_j: f64,
    /// What is known about it.
    pub coverage: Coverage,
    /// How power runs inside.
    pub shape: Shape,
}

impl Interval {
    /// An interval of constant power.
    pub fn flat(start_ms: i64, end_ms: i64, energy_j: f64, coverage: Coverage) -> Self {
        Self { window: Window::new(start_ms, end_ms), energy_j, coverage, shape: Shape::Flat }
    }

    /// An interval of which nothing is known.
    pub fn missing(start_ms: i64, end_ms: i64, why: Missing) -> Self {
        Self::flat(start_ms, end_ms, 0.0, Coverage::Missing(why))
    }

    /// Mean power in watts.
    pub fn mean_power_w(&self) -> f64 {
        let seconds = self.window.length_s();
        if seconds > 0.0 { self.energy_j / seconds } else { 0.0 }
    }

    /// True unless nothing is known.
    pub fn is_known(&self) -> bool {
        !matches!(self.coverage, Coverage::Missing(_))
    }

    /// Energy from the interval's start up to `at_ms`, which lies inside.
    fn energy_until(&self, at_ms: i64) -> f64 {
        let length_ms = self.window.length_ms();
        if length_ms == 0 || at_ms >= self.window.end_ms {
            return self.energy_j;
        }
        let part = (at_ms - self.window.start_ms).max(0) as f64 / length_ms as f64;
        match self.shape {
            Shape::Flat => self.energy_j * part,
            Shape::Ramp { from_w, to_w } => {
                self.window.length_s() * part * (from_w + 0.5 * (to_w - from_w) * part)
            }
        }
    }
}

/// What one window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Energy, in joules.
    pub energy_j: f64,
    /// Seconds that a meter saw.
    pub covered_s: f64,
    /// Seconds whose energy is known but not how it was spread.
    pub interpolated_s: f64,
}

impl Reading {
    /// Seconds of which the energy is known.
    pub fn known_s(&self) -> f64 {
        self.covered_s + self.interpolated_s
    }
}

/// Running totals at the start of an interval.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    energy_j: f64,
    covered_ms: i64,
    interpolated_ms: i64,
}

/// A device's cumulative energy. Constant before its first and after its last reading.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    intervals: Vec<Interval>,
    totals: Vec<Totals>,
    end: Totals,
}

impl Curve {
    /// A curve of `intervals`, which must be in order and may not overlap; what
    /// lies between two of them counts as missing.
    pub fn new(intervals: Vec<Interval>) -> Self {
        let mut totals = Vec::with_capacity(intervals.len());
        let mut energy = Sum::new();
        let mut end = Totals::default();
        for interval in &intervals {
            totals.push(end);
            energy.add(interval.energy_j);
            end.energy_j = energy.value();
            match interval.coverage {
                Coverage::Covered => end.covered_ms += interval.window.length_ms(),
                Coverage::Interpolated => end.interpolated_ms += interval.window.length_ms(),
                Coverage::Missing(_) => {}
            }
        }
        Self { intervals, totals, end }
    }

    /// The intervals, in order.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// From the first reading to the last; `None` for a curve without any.
    pub fn span(&self) -> Option<Window> {
        let first = self.intervals.first()?;
        let last = self.intervals.last()?;
        Some(Window::new(first.window.start_ms, last.window.end_ms))
    }

    /// Total energy, in joules.
    pub fn total_j(&self) -> f64 {
        self.end.energy_j
    }

    fn totals_at(&self, index: usize, at_ms: i64) -> Totals {
        let (Some(interval), Some(base)) = (self.intervals.get(index), self.totals.get(index)) else {
            return self.end;
        };
        if at_ms <= interval.window.start_ms {
            return *base;
        }
        let passed_ms = at_ms.min(interval.window.end_ms) - interval.window.start_ms;
        let mut at = *base;
        at.energy_j += interval.energy_until(at_ms);
        match interval.coverage {
            Coverage::Covered => at.covered_ms += passed_ms,
            Coverage::Interpolated => at.interpolated_ms += passed_ms,
            Coverage::Missing(_) => {}
        }
        at
    }

    /// A reader that answers windows in ascending order without searching.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { curve: self, index: 0, last: None }
    }

    /// Energy and coverage of one window, by binary search.
    pub fn read(&self, window: Window) -> Reading {
        let index = self.intervals.partition_point(|interval| interval.window.end_ms <= window.start_ms);
        Cursor { curve: self, index, last: None }.read(window)
    }

    /// The parts of `window` of which nothing is known, in order.
    pub fn unknown(&self, window: Window) -> Vec<Window> {
        let mut gaps = Vec::new();
        let mut known_until = window.start_ms;
        let first = self.intervals.partition_point(|interval| interval.window.end_ms <= window.start_ms);
        for interval in self.intervals.iter().skip(first) {
            if interval.window.start_ms >= window.end_ms {
                break;
            }
            if interval.is_known() {
                if interval.window.start_ms > known_until {
                    gaps.push(Window::new(known_until, interval.window.start_ms));
                }
                known_until = known_until.max(interval.window.end_ms);
            }
        }
        if known_until < window.end_ms {
            gaps.push(Window::new(known_until, window.end_ms));
        }
        gaps
    }
}

/// See [`Curve::cursor`].
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    curve: &'a Curve,
    index: usize,
    /// The instant that was asked for last, where the next window is likely to start.
    last: Option<(i64, Totals)>,
}

impl Cursor<'_> {
    fn advance(&mut self, at_ms: i64) -> Totals {
        let intervals = &self.curve.intervals;
        let is_over =
            |index: usize| intervals.get(index).is_some_and(|interval| interval.window.end_ms <= at_ms);
        if let Some(interval) = intervals.get(self.index).filter(|interval| interval.window.end_ms <= at_ms) {
            // Most intervals are as long as the one at hand, so that the one that is looked for is near where it would then be.
            // From there by steps that double, then by halves: every look at a curve that is longer than a cache costs.
            let passed_ms = at_ms.saturating_sub(interval.window.end_ms);
            let guess = usize::try_from(passed_ms / interval.window.length_ms().max(1)).unwrap_or(usize::MAX);
            let guess = self.index.saturating_add(guess).saturating_add(1).min(intervals.len());
            let (mut over, mut not_over) = (self.index, guess);
            let mut step = 1_usize;
            if is_over(guess) {
                over = guess;
                while is_over(over.saturating_add(step)) {
                    over = over.saturating_add(step);
                    step = step.saturating_mul(2);
                }
                not_over = over.saturating_add(step).min(intervals.len());
            } else {
                while not_over.saturating_sub(over) > step && !is_over(not_over.saturating_sub(step)) {
                    not_over = not_over.saturating_sub(step);
                    step = step.saturating_mul(2);
                }
                over = over.max(not_over.saturating_sub(step));
            }
            let between = intervals.get(over..not_over).unwrap_or_default();
            self.index = over + between.partition_point(|interval| interval.window.end_ms <= at_ms);
        }
        self.curve.totals_at(self.index, at_ms)
    }

    /// The energy of each part of `window` that multiples of `step_ms` cut it into, in joules, in order. `window` must not start
    /// before the last one ended.
    pub fn steps(&mut self, window: Window, step_ms: i64, energy_j: &mut Vec<f64>) {
        energy_j.clear();
        let mut before_j = self.advance(window.start_ms).energy_j;
        let mut at_ms = window.start_ms.div_euclid(step_ms).saturating_mul(step_ms);
        while at_ms < window.end_ms {
            at_ms = at_ms.saturating_add(step_ms);
            let end_ms = at_ms.min(window.end_ms);
            let mut intervals = self.curve.intervals.iter().skip(self.index);
            // The next step begins a few intervals from here.
            let over = intervals.by_ref().take_while(|interval| interval.window.end_ms <= end_ms).count();
            self.index += over;
            let here = self.curve.intervals.get(self.index).zip(self.curve.totals.get(self.index));
            let now_j = match here {
                Some((interval, totals)) if end_ms > interval.window.start_ms => {
                    totals.energy_j + interval.energy_until(end_ms)
                }
                Some((_, totals)) => totals.energy_j,
                None => self.curve.end.energy_j,
            };
            energy_j.push(now_j - before_j);
            before_j = now_j;
        }
    }

    /// Cumulative energy at `at_ms`, in joules; instants must not go back.
    pub fn energy_at(&mut self, at_ms: i64) -> f64 {
        self.advance(at_ms).energy_j
    }

    /// Energy and coverage of `window`, which must not start before the last one ended.
    pub fn read(&mut self, window: Window) -> Reading {
        let start = match self.last {
            Some((at_ms, totals)) if at_ms == window.start_ms => totals,
            _ => self.advance(window.start_ms),
        };
        let end_ms = window.end_ms.max(window.start_ms);
        let end = self.advance(end_ms);
        self.last = Some((end_ms, end));
        Reading {
            energy_j: end.energy_j - start.energy_j,
            covered_s: (end.covered_ms - start.covered_ms) as f64 / 1000.0,
            interpolated_s: (end.interpolated_ms - start.interpolated_ms) as f64 / 1000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn curve() -> Curve {
        Curve::new(vec![
            Interval::flat(0, 10_000, 1000.0, Coverage::Covered),
            Interval::missing(10_000, 20_000, Missing::Gap),
            Interval {
                window: Window::new(20_000, 30_000),
                energy_j: 1500.0,
                coverage: Coverage::Covered,
                shape: Shape::Ramp { from_w: 100.0, to_w: 200.0 },
            },
            Interval::flat(30_000, 40_000, 500.0, Coverage::Interpolated),
        ])
    }

    #[test]
    fn energy_between_knots_by_hand() {
        let curve = curve();
        let energy = |start, end| curve.read(Window::new(start, end)).energy_j;
        assert_eq!(energy(0, 5_000), 500.0);
        assert_eq!(energy(12_000, 18_000), 0.0);
        // 100 W rising by 10 W a second: 5 s from the start, ∫ = 5·100 + 10·25/2.
        assert_eq!(energy(20_000, 25_000), 625.0);
        assert_eq!(energy(25_000, 30_000), 875.0);
        assert_eq!(energy(-100, 100_000), 3000.0);
        assert_eq!(curve.total_j(), 3000.0);
    }

    #[test]
    fn coverage_and_gaps_by_hand() {
        let curve = curve();
        let reading = curve.read(Window::new(5_000, 35_000));
        assert_eq!((reading.covered_s, reading.interpolated_s), (15.0, 5.0));
        assert_eq!(
            curve.unknown(Window::new(-5_000, 45_000)),
            [Window::new(-5_000, 0), Window::new(10_000, 20_000), Window::new(40_000, 45_000)]
        );
    }

    #[test]
    fn steps_are_windows_between_multiples() {
        let curve = curve();
        let mut cursor = curve.cursor();
        let mut steps = Vec::new();
        for window in [Window::new(-3_000, 1_000), Window::new(2_500, 27_000), Window::new(27_000, 55_000)] {
            cursor.steps(window, 5_000, &mut steps);
            let mut edges = crate::time::step_edges(window, 5_000);
            edges.insert(0, window.start_ms);
            edges.push(window.end_ms);
            let windows = edges.iter().zip(edges.iter().skip(1));
            let expected: Vec<f64> =
                windows.map(|(from, to)| curve.read(Window::new(*from, *to)).energy_j).collect();
            assert_eq!(steps, expected, "{window}");
        }
    }

    proptest! {
        /// A cursor finds what a search finds, however uneven the intervals and however far apart the windows.
        #[test]
        fn cursors_find_what_searches_find(
            lengths in prop::collection::vec((1_i64..5, 0_u32..12), 1..60),
            mut cuts in prop::collection::vec(0_i64..20_000, 2..30),
        ) {
            let mut at_ms = 0;
            let intervals = lengths.iter().map(|(length, power)| {
                let start_ms = at_ms;
                at_ms += length << power;
                Interval::flat(start_ms, at_ms, 1.0, Coverage::Covered)
            });
            let curve = Curve::new(intervals.collect());
            cuts.sort_unstable();
            let mut cursor = curve.cursor();
            for pair in cuts.windows(2) {
                let window = Window::new(pair[0], pair[1]);
                prop_assert_eq!(cursor.read(window), curve.read(window));
            }
        }

        /// Cutting a window anywhere loses nothing.
        #[test]
        fn energy_is_additive(mut cuts in prop::collection::vec(-5_000_i64..50_000, 2..20)) {
            cuts.sort_unstable();
            let curve = curve();
            let mut cursor = curve.cursor();
            let mut parts = Sum::new();
            for pair in cuts.windows(2) {
                let reading = cursor.read(Window::new(pair[0], pair[1]));
                prop_assert_eq!(reading, curve.read(Window::new(pair[0], pair[1])));
                parts.add(reading.energy_j);
            }
            let whole = curve.read(Window::new(cuts[0], cuts[cuts.len() - 1])).energy_j;
            prop_assert!((parts.value() - whole).abs() <= 1e-9 * whole.max(1.0));
        }
    }
}
