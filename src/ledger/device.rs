//! One device's energy: every method that there is, the one chosen for each
//! bucket (rule C7), and what the balance needs to check it.

use super::entry::Entry;
use super::method::Method;
use crate::meter::counter::Tally;
use crate::meter::curve::{Cursor, Curve, Reading};
use crate::meter::edges::{EdgeError, EdgeRule, Holders, Placed, place};
use crate::meter::inventory::DeviceKey;
use crate::meter::presence::Presence;
use crate::sum::Sum;
use crate::time::Window;
use crate::uncertainty::{Spread, Widths};

/// Share of the expected time that a method has to know to be good enough.
const ENOUGH: f64 = 0.9;

/// One way to know a device's energy.
#[derive(Clone, Debug)]
pub struct MethodCurve {
    /// Which.
    pub method: Method,
    /// The meter or model in words: metric name, or model, version and match.
    pub source: String,
    /// The curve, with run edges placed.
    pub curve: Curve,
    /// How far off each run edge may be.
    pub edge_errors: Vec<EdgeError>,
    /// What was read and what was dropped.
    pub tally: Tally,
    /// How far off a model may be; `None` for what a meter saw, which its class tells.
    pub model_spread: Option<Spread>,
    /// The known intervals between readings that were cut at a run edge, as they were.
    cut: Vec<Window>,
}

impl MethodCurve {
    /// Places the run edges on `intervals` and keeps the result.
    pub fn new(
        method: Method,
        source: String,
        intervals: Vec<crate::meter::curve::Interval>,
        holders: &Holders,
        rule: EdgeRule,
        tally: Tally,
    ) -> Self {
        let Placed { intervals, errors, cut } = place(intervals, holders, rule);
        Self {
            method,
            source,
            curve: Curve::new(intervals),
            edge_errors: errors,
            tally,
            model_spread: None,
            cut,
        }
    }

    /// Of intervals that end wherever a run does, so that no edge has to be placed.
    pub fn of_intervals(
        method: Method,
        source: String,
        intervals: Vec<crate::meter::curve::Interval>,
    ) -> Self {
        let increments_j = crate::sum::sum(intervals.iter().map(|interval| interval.energy_j));
        let tally = Tally { increments_j, ..Tally::default() };
        Self::new(method, source, intervals, &Holders::default(), EdgeRule::Linear, tally)
    }

    /// The same, of a model with this spread.
    pub fn with_spread(self, spread: Spread) -> Self {
        Self { model_spread: Some(spread), ..self }
    }

    /// True if two readings next to each other lie inside `window` (rule C6:
    /// a run without such a pair is `short`).
    pub fn has_full_interval(&self, window: Window) -> bool {
        let intervals = self.curve.intervals();
        let first_from = |at_ms: i64| intervals.partition_point(|interval| interval.window.start_ms < at_ms);
        let mut at = first_from(window.start_ms);
        while let Some(interval) = intervals.get(at) {
            let start_ms = interval.window.start_ms;
            let of = self.cut.partition_point(|whole| whole.end_ms <= start_ms);
            let whole = self.cut.get(of).filter(|whole| whole.start_ms <= start_ms);
            match whole {
                _ if !interval.is_known() => at += 1,
                None => return interval.window.end_ms <= window.end_ms,
                Some(whole) if whole.start_ms == start_ms => return whole.end_ms <= window.end_ms,
                // A later piece: the reading before it lies outside.
                Some(whole) => at = first_from(whole.end_ms),
            }
        }
        false
    }

    /// True if this method alone is good enough in every bucket.
    pub fn is_enough(&self, buckets: &[Window], presence: &Presence) -> bool {
        let mut cursor = self.curve.cursor();
        buckets.iter().all(|bucket| cursor.read(*bucket).known_s() >= ENOUGH * presence.expected_s(*bucket))
    }
}

/// A device with its methods.
#[derive(Clone, Debug)]
pub struct Device {
    /// Which.
    pub key: DeviceKey,
    /// Hardware model in words, if known.
    pub model: String,
    /// All methods that were needed, best first.
    pub methods: Vec<MethodCurve>,
    /// For each bucket the method taken; `None` where there is none at all.
    pub choice: Vec<Option<usize>>,
    /// For each bucket the factor on the energy: below 1 where a modelled part had to fit under a node meter (rule T1).
    pub energy_scale: Vec<f64>,
    /// Power that it takes whatever runs, in watts: shared by allocation (rule S2).
    pub static_w: f64,
    /// For each bucket the factor on the seconds: below 1 where the curve stands for less than its bucket (rule T1).
    pub coverage_scale: Vec<f64>,
    /// For each bucket how far off the energy may be (rule U1).
    pub spreads: Vec<Spread>,
}

impl Device {
    /// Chooses for each bucket the best method that knows at least 90 % of the
    /// expected time, else the one that knows most.
    pub fn new(
        key: DeviceKey,
        model: String,
        methods: Vec<MethodCurve>,
        buckets: &[Window],
        presence: &Presence,
    ) -> Self {
        let mut cursors: Vec<Cursor<'_>> = methods.iter().map(|method| method.curve.cursor()).collect();
        let choice: Vec<Option<usize>> = buckets
            .iter()
            .map(|bucket| {
                let enough_s = ENOUGH * presence.expected_s(*bucket);
                let mut most: Option<(f64, usize)> = None;
                let known: Vec<f64> =
                    cursors.iter_mut().map(|cursor| cursor.read(*bucket).known_s()).collect();
                for (index, known_s) in known.iter().copied().enumerate() {
                    if known_s > 0.0 && known_s >= enough_s {
                        return Some(index);
                    }
                    if known_s > 0.0 && most.is_none_or(|(best_s, _)| known_s > best_s) {
                        most = Some((known_s, index));
                    }
                }
                most.map(|(_, index)| index)
            })
            .collect();
        drop(cursors);
        let spread =
            |method: &MethodCurve| method.model_spread.unwrap_or_else(|| method.method.spread(key.component));
        let spreads = choice
            .iter()
            .map(|chosen| chosen.and_then(|index| methods.get(index)).map_or(Spread::NONE, spread))
            .collect();
        let ones = vec![1.0; buckets.len()];
        Self {
            key,
            model,
            methods,
            choice,
            energy_scale: ones.clone(),
            static_w: 0.0,
            coverage_scale: ones,
            spreads,
        }
    }

    /// The method taken in a bucket.
    pub fn chosen(&self, bucket: usize) -> Option<&MethodCurve> {
        self.choice.get(bucket).copied().flatten().and_then(|index| self.methods.get(index))
    }

    /// What the chosen method says of `window`, which lies inside `bucket`.
    pub fn read(&self, bucket: usize, window: Window) -> Reading {
        let reading = self.chosen(bucket).map(|method| method.curve.read(window)).unwrap_or_default();
        self.scaled(bucket, reading)
    }

    /// Applies the factors of `bucket`.
    fn scaled(&self, bucket: usize, reading: Reading) -> Reading {
        let energy = self.energy_scale.get(bucket).copied().unwrap_or(1.0);
        let seconds = self.coverage_scale.get(bucket).copied().unwrap_or(1.0);
        Reading {
            energy_j: reading.energy_j * energy,
            covered_s: reading.covered_s * seconds,
            interpolated_s: reading.interpolated_s * seconds,
        }
    }

    /// Uncertainty at a run edge: before it for a start, after it for an end. Zero
    /// where the edge fell on a sample, or into time of which nothing is known.
    pub fn edge_error_j(&self, bucket: usize, at_ms: i64, is_start: bool) -> f64 {
        let Some(method) = self.chosen(bucket) else { return 0.0 };
        method
            .edge_errors
            .binary_search_by_key(&at_ms, |error| error.at_ms)
            .ok()
            .and_then(|found| method.edge_errors.get(found))
            .map_or(0.0, |error| if is_start { error.before_j } else { error.after_j })
    }

    /// A reader that answers windows in ascending order without searching.
    pub fn reader(&self) -> DeviceReader<'_> {
        DeviceReader {
            device: self,
            cursors: self.methods.iter().map(|method| method.curve.cursor()).collect(),
            steps: self.methods.iter().map(|method| method.curve.cursor()).collect(),
        }
    }
}

/// A method, without its curve.
#[derive(Clone, Debug)]
pub struct MethodBook {
    /// Which.
    pub method: Method,
    /// The meter or model in words.
    pub source: String,
    /// What was read and what was dropped.
    pub tally: Tally,
}

/// What stays of a device once its energy is in the ledger. Curves go: memory
/// grows with nodes × buckets of the answer, never with samples.
#[derive(Clone, Debug)]
pub struct DeviceBook {
    /// Which.
    pub key: DeviceKey,
    /// Hardware model in words, if known.
    pub model: String,
    /// All methods that were needed, best first.
    pub methods: Vec<MethodBook>,
    /// The method taken for each bucket.
    pub chosen: Vec<Method>,
    /// For each bucket how far off the energy may be (rule U1).
    pub spreads: Vec<Spread>,
    /// For each bucket the mean power over all that was seen on its day, in watts; `None` of a day on which nothing was (rule U2).
    pub mean_w: Vec<Option<f64>>,
    /// Seconds seen, over all buckets.
    pub covered_s: f64,
    /// Seconds whose energy is known but not how it was spread.
    pub interpolated_s: f64,
    /// Seconds that should have been seen.
    pub expected_s: f64,
}

/// Share of interpolated energy that may belong into another row (rule U3).
const INTERPOLATED_OFF: f64 = 0.5;

impl DeviceBook {
    /// How far off one of its rows may be, in joules (section 11 of the accounting page).
    pub fn widths(&self, entry: &Entry) -> Widths {
        let spread = self.spreads.get(entry.bucket).copied().unwrap_or(Spread::NONE);
        let known_s = entry.covered_s + entry.interpolated_s;
        let interpolated = if known_s > 0.0 { entry.interpolated_s / known_s } else { 0.0 };
        Widths {
            low: entry.energy_j * (1.0 - spread.low()),
            high: entry.energy_j * (spread.high() - 1.0),
            unseen: self
                .mean_w
                .get(entry.bucket)
                .copied()
                .flatten()
                .map_or(0.0, |watts| watts * entry.unseen_s),
            placing: entry.edge_error_j.hypot(INTERPOLATED_OFF * entry.energy_j * interpolated),
        }
    }

    /// Closes the book of `device`; `days` says of each bucket which day it is of.
    pub fn new(device: &Device, buckets: &[Window], days: &[usize], presence: &Presence) -> Self {
        let (mut covered, mut interpolated, mut expected) = (Sum::new(), Sum::new(), Sum::new());
        let mut by_day: Vec<(Sum, Sum)> = vec![Default::default(); days.last().map_or(0, |last| last + 1)];
        let mut reader = device.reader();
        for (index, bucket) in buckets.iter().enumerate() {
            let reading = reader.read(index, *bucket);
            if let Some((energy, known)) = days.get(index).and_then(|day| by_day.get_mut(*day)) {
                energy.add(reading.energy_j);
                known.add(reading.covered_s + reading.interpolated_s);
            }
            covered.add(reading.covered_s);
            interpolated.add(reading.interpolated_s);
            expected.add(presence.expected_s(*bucket));
        }
        let methods = device.methods.iter().map(|method| MethodBook {
            method: method.method,
            source: method.source.clone(),
            tally: method.tally.clone(),
        });
        let chosen = (0..buckets.len())
            .map(|bucket| device.chosen(bucket).map_or(Method::None, |chosen| chosen.method));
        let mean_w = |day: &usize| {
            let (energy, known) = by_day.get(*day)?;
            (known.value() > 0.0).then(|| energy.value() / known.value())
        };
        Self {
            key: device.key.clone(),
            model: device.model.clone(),
            methods: methods.collect(),
            chosen: chosen.collect(),
            spreads: device.spreads.clone(),
            mean_w: days.iter().map(mean_w).collect(),
            covered_s: covered.value(),
            interpolated_s: interpolated.value(),
            expected_s: expected.value(),
        }
    }
}

/// See [`Device::reader`].
pub struct DeviceReader<'a> {
    device: &'a Device,
    cursors: Vec<Cursor<'a>>,
    /// Where [`steps`](Self::steps) is.
    steps: Vec<Cursor<'a>>,
}

impl DeviceReader<'_> {
    /// What the method chosen for `bucket` says of `window` inside it; windows must ascend.
    pub fn read(&mut self, bucket: usize, window: Window) -> Reading {
        let chosen = self.device.choice.get(bucket).copied().flatten();
        let reading = chosen.and_then(|index| self.cursors.get_mut(index)).map(|cursor| cursor.read(window));
        self.device.scaled(bucket, reading.unwrap_or_default())
    }

    /// The energy of each part of `window` that multiples of `step_ms` cut it into, in joules, as the method chosen for `bucket`
    /// has it; windows must ascend.
    pub fn steps(&mut self, bucket: usize, window: Window, step_ms: i64, energy_j: &mut Vec<f64>) {
        energy_j.clear();
        let chosen = self.device.choice.get(bucket).copied().flatten();
        if let Some(cursor) = chosen.and_then(|index| self.steps.get_mut(index)) {
            cursor.steps(window, step_ms, energy_j);
        }
        let scale = self.device.energy_scale.get(bucket).copied().unwrap_or(1.0);
        energy_j.iter_mut().for_each(|joules| *joules *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::catalog::Component;
    use crate::meter::curve::{Coverage, Interval};

    fn method(method: Method, spans: &[(i64, i64, f64)]) -> MethodCurve {
        let intervals =
            spans.iter().map(|(start, end, energy)| Interval::flat(*start, *end, *energy, Coverage::Covered));
        let source = String::new();
        let holders = Holders::default();
        MethodCurve::new(method, source, intervals.collect(), &holders, EdgeRule::Power, Tally::default())
    }

    #[test]
    fn two_readings_inside_a_window_whether_run_edges_cut_between_them_or_not() {
        let span = |start: i64, end: i64| Interval::flat(start, end, 1.0, Coverage::Covered);
        let missing = Interval::missing(30, 40, crate::meter::curve::Missing::Gap);
        let intervals = vec![span(0, 10), span(10, 20), span(20, 30), missing, span(40, 50)];
        let holders = Holders::new([(13, 1), (16, 2), (35, 0)]);
        let method = MethodCurve::new(
            Method::MeasuredCounter,
            String::new(),
            intervals.clone(),
            &holders,
            EdgeRule::Power,
            Tally::default(),
        );
        for start in 0..52 {
            for end in start..52 {
                let window = Window::new(start, end);
                let inside = |interval: &&Interval| interval.is_known() && interval.window.start_ms >= start;
                let expected =
                    intervals.iter().find(inside).is_some_and(|interval| interval.window.end_ms <= end);
                assert_eq!(method.has_full_interval(window), expected, "{start} {end}");
            }
        }
    }

    #[test]
    fn the_better_method_wins_only_where_it_knows_enough() {
        let buckets = [Window::new(0, 100_000), Window::new(100_000, 200_000), Window::new(200_000, 300_000)];
        let presence = Presence { span: Some(Window::new(0, 300_000)), ..Presence::default() };
        // The counter knows 95 s, 85 s, nothing; the gauge 100 s, 80 s, 10 s.
        let counter = method(Method::MeasuredCounter, &[(0, 95_000, 95.0), (100_000, 185_000, 85.0)]);
        let gauge = method(
            Method::MeasuredGauge,
            &[(0, 100_000, 1000.0), (100_000, 180_000, 800.0), (200_000, 210_000, 100.0)],
        );
        assert!(!counter.is_enough(&buckets, &presence));
        let key = DeviceKey { component: Component::Gpu, id: "a".to_owned() };
        let device = Device::new(key, String::new(), vec![counter, gauge], &buckets, &presence);
        assert_eq!(device.choice, [Some(0), Some(0), Some(1)]);
        let energy: Vec<f64> =
            buckets.iter().enumerate().map(|(n, bucket)| device.read(n, *bucket).energy_j).collect();
        assert_eq!(energy, [95.0, 85.0, 100.0]);
    }
}
