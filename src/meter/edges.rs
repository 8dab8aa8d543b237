//! Run edges inside an interval: where the energy of the interval belongs is
//! told by the power on either side (rules C3 and C6).

use super::curve::{Coverage, Interval, Shape};
use crate::time::Window;

/// Which set of runs holds a device, over time: a step function.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holders {
    /// Instants at which the set changes, ascending, with the set from then on.
    /// Before the first nobody holds it (set 0).
    changes: Vec<(i64, u32)>,
}

impl Holders {
    /// From changes in ascending time. Changes that change nothing are left out;
    /// of several at one instant the last holds.
    pub fn new(changes: impl IntoIterator<Item = (i64, u32)>) -> Self {
        let mut kept: Vec<(i64, u32)> = Vec::new();
        for (at_ms, set) in changes {
            if kept.last().is_some_and(|(last_ms, _)| *last_ms == at_ms) {
                kept.pop();
            }
            if kept.last().map_or(0, |(_, before)| *before) != set {
                kept.push((at_ms, set));
            }
        }
        Self { changes: kept }
    }

    /// The set that holds the device at `at_ms`.
    fn at(&self, at_ms: i64) -> u32 {
        let next = self.changes.partition_point(|(change_ms, _)| *change_ms <= at_ms);
        next.checked_sub(1).and_then(|last| self.changes.get(last)).map_or(0, |(_, set)| *set)
    }

    /// Answers windows in ascending order without searching.
    pub fn cursor(&self) -> HoldersCursor<'_> {
        HoldersCursor { rest: &self.changes }
    }

    /// The changes strictly inside `window`.
    fn inside(&self, window: Window) -> &[(i64, u32)] {
        let first = self.changes.partition_point(|(at_ms, _)| *at_ms <= window.start_ms);
        let end = self.changes.partition_point(|(at_ms, _)| *at_ms < window.end_ms);
        self.changes.get(first..end.max(first)).unwrap_or_default()
    }
}

/// See [`Holders::cursor`].
#[derive(Clone, Copy, Debug)]
pub struct HoldersCursor<'a> {
    rest: &'a [(i64, u32)],
}

impl<'a> HoldersCursor<'a> {
    /// The changes strictly inside `window`, which must not start before the one asked for last.
    #[inline]
    fn inside(&mut self, window: Window) -> &'a [(i64, u32)] {
        while let Some(((at_ms, _), later)) = self.rest.split_first() {
            if *at_ms > window.start_ms {
                if *at_ms >= window.end_ms {
                    return &[];
                }
                let end = self.rest.partition_point(|(at_ms, _)| *at_ms < window.end_ms);
                return self.rest.get(..end).unwrap_or_default();
            }
            self.rest = later;
        }
        &[]
    }

    /// The first and the last instant strictly inside `window` at which the set changes. Windows must ascend.
    #[inline]
    pub fn outermost_inside(&mut self, window: Window) -> Option<(i64, i64)> {
        let inside = self.inside(window);
        Some((inside.first()?.0, inside.last()?.0))
    }
}

/// How run edges inside an interval are placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EdgeRule {
    /// By the power on either side (rule C6).
    #[default]
    Power,
    /// By time alone, as every other tool does; for comparison.
    Linear,
}

/// How far off the placing of energy at one run edge may be, in joules of the whole device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EdgeError {
    /// The edge.
    pub at_ms: i64,
    /// For a run that starts here: what lies before is the far side.
    pub before_j: f64,
    /// For a run that ends here: what lies after is the far side.
    pub after_j: f64,
}

/// Intervals with the run edges placed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placed {
    /// In order; one that an edge cuts stands in pieces.
    pub intervals: Vec<Interval>,
    /// How far off each edge may be.
    pub errors: Vec<EdgeError>,
    /// The known intervals that were cut, as they were.
    pub cut: Vec<Window>,
}

/// Cuts `intervals` at the run edges of `holders` and gives each piece its
/// energy. The sum over the pieces of an interval is the interval's energy.
pub fn place(intervals: Vec<Interval>, holders: &Holders, rule: EdgeRule) -> Placed {
    if holders.changes.is_empty() {
        return Placed { intervals, ..Placed::default() };
    }
    let mut placed = Vec::with_capacity(intervals.len() + holders.changes.len());
    let mut errors = Vec::new();
    let mut whole = Vec::new();
    let mut cursor = holders.cursor();
    for (index, interval) in intervals.iter().enumerate() {
        let changes = cursor.inside(interval.window);
        if changes.is_empty() {
            placed.push(*interval);
            continue;
        }
        let mut pieces = cut(interval, changes, holders.at(interval.window.start_ms));
        if interval.is_known() {
            whole.push(interval.window);
            let sides = Sides::of(&intervals, index, holders);
            match (interval.shape, rule) {
                (_, EdgeRule::Linear) => spread_by_time(&mut pieces, interval),
                (Shape::Flat, EdgeRule::Power) => {
                    let before = index.checked_sub(1).and_then(|at| full_interval(&intervals, at, holders));
                    let after = full_interval(&intervals, index + 1, holders);
                    let before = before.filter(|one| one.window.end_ms == interval.window.start_ms);
                    let after = after.filter(|one| one.window.start_ms == interval.window.end_ms);
                    share_by_power(&mut pieces, interval, &sides, (before, after), holders);
                }
                (Shape::Ramp { from_w, to_w }, EdgeRule::Power) => hold_gauge(&mut pieces, from_w, to_w),
            }
            let is_gauge = matches!(interval.shape, Shape::Ramp { .. });
            errors.extend(edge_errors(&pieces, is_gauge, &sides));
        }
        placed.extend(pieces.into_iter().map(|piece| piece.interval));
    }
    Placed { intervals: placed, errors, cut: whole }
}

/// A part of an interval between two edges.
struct Piece {
    interval: Interval,
    set: u32,
}

fn cut(interval: &Interval, changes: &[(i64, u32)], first_set: u32) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(changes.len() + 1);
    let (mut start_ms, mut set) = (interval.window.start_ms, first_set);
    for (at_ms, next) in changes.iter().copied().chain([(interval.window.end_ms, 0)]) {
        pieces.push(Piece { interval: Interval::flat(start_ms, at_ms, 0.0, interval.coverage), set });
        (start_ms, set) = (at_ms, next);
    }
    pieces
}

/// Energy by time alone; a gauge's trapezoid keeps its slope.
fn spread_by_time(pieces: &mut [Piece], whole: &Interval) {
    let length_s = whole.window.length_s();
    for piece in pieces {
        let window = piece.interval.window;
        match whole.shape {
            Shape::Flat => piece.interval.energy_j = whole.energy_j * window.length_s() / length_s,
            Shape::Ramp { from_w, to_w } => {
                let power_at = |at_ms: i64| {
                    from_w + (to_w - from_w) * (at_ms - whole.window.start_ms) as f64 / 1000.0 / length_s
                };
                let (start_w, end_w) = (power_at(window.start_ms), power_at(window.end_ms));
                piece.interval.energy_j = 0.5 * (start_w + end_w) * window.length_s();
                piece.interval.shape = Shape::Ramp { from_w: start_w, to_w: end_w };
            }
        }
    }
}

/// Rule C3: the first reading holds up to the first edge, the second from the
/// last edge on; a piece that no sample saw takes the mean of both.
fn hold_gauge(pieces: &mut [Piece], from_w: f64, to_w: f64) {
    let last = pieces.len().saturating_sub(1);
    for (index, piece) in pieces.iter_mut().enumerate() {
        let power_w = if index == 0 {
            from_w
        } else if index == last {
            to_w
        } else {
            piece.interval.coverage = Coverage::Interpolated;
            0.5 * (from_w + to_w)
        };
        piece.interval.energy_j = power_w * piece.interval.window.length_s();
    }
}

/// Rule C6: what is known of each piece from the power beside it, reconciled
/// with the energy of the whole.
fn share_by_power(
    pieces: &mut [Piece],
    whole: &Interval,
    sides: &Sides,
    neighbours: (Option<&Interval>, Option<&Interval>),
    holders: &Holders,
) {
    let last = pieces.len().saturating_sub(1);
    let of_set = |neighbour: Option<&Interval>, set: u32| {
        neighbour.filter(|interval| holders.at(interval.window.start_ms) == set).map(Interval::mean_power_w)
    };
    let known: Vec<Option<f64>> = pieces
        .iter()
        .enumerate()
        .map(|(at, piece)| match at {
            0 => of_set(neighbours.0, piece.set),
            _ if at == last => of_set(neighbours.1, piece.set),
            _ => None,
        })
        .collect();
    let mut known_j = 0.0;
    let mut unknown_s = 0.0;
    for (piece, power_w) in pieces.iter_mut().zip(&known) {
        match power_w {
            Some(power_w) => {
                piece.interval.energy_j = power_w * piece.interval.window.length_s();
                known_j += piece.interval.energy_j;
            }
            None => unknown_s += piece.interval.window.length_s(),
        }
    }
    let left_j = whole.energy_j - known_j;
    if unknown_s == 0.0 {
        reconcile(pieces, left_j, sides);
        return;
    }
    // A neighbour at 0 W is known as well: a device without idle power is no reason to spread by time.
    if left_j >= 0.0 && known.iter().any(Option::is_some) {
        for (piece, power_w) in pieces.iter_mut().zip(&known) {
            if power_w.is_none() {
                piece.interval.energy_j = left_j * piece.interval.window.length_s() / unknown_s;
            }
        }
    } else if known_j > 0.0 {
        scale(pieces, whole.energy_j / known_j);
    } else {
        spread_by_time(pieces, whole);
    }
}

/// Spreads `left_j` over a first and a last piece that are both known: least
/// squares, so that the steadier side keeps its power.
fn reconcile(pieces: &mut [Piece], left_j: f64, sides: &Sides) {
    let [first, last] = pieces else { return };
    let weight =
        |piece: &Piece, side: &Side| (piece.interval.window.length_s() * side.unsteadiness_w).powi(2);
    let (first_weight, last_weight) = (weight(first, &sides.before), weight(last, &sides.after));
    let total = first_weight + last_weight;
    let first_part = if total > 0.0 { first_weight / total } else { 0.5 };
    first.interval.energy_j += left_j * first_part;
    last.interval.energy_j += left_j * (1.0 - first_part);
    let energy_j = first.interval.energy_j + last.interval.energy_j;
    for (one, other) in [(0, 1), (1, 0)] {
        if pieces.get(one).is_some_and(|piece| piece.interval.energy_j < 0.0) {
            if let Some(piece) = pieces.get_mut(one) {
                piece.interval.energy_j = 0.0;
            }
            if let Some(piece) = pieces.get_mut(other) {
                piece.interval.energy_j = energy_j;
            }
        }
    }
}

fn scale(pieces: &mut [Piece], factor: f64) {
    for piece in pieces {
        piece.interval.energy_j *= factor;
    }
}

/// The interval at `index` if its energy is known and no edge lies inside.
fn full_interval<'a>(intervals: &'a [Interval], index: usize, holders: &Holders) -> Option<&'a Interval> {
    intervals.get(index).filter(|interval| interval.is_known() && holders.inside(interval.window).is_empty())
}

/// How many intervals are looked through for the two nearest full ones.
const NEAREST: usize = 8;
/// Relative floor of the change of power that is allowed for at an edge.
const POWER_FLOOR: f64 = 0.02;

/// What the two nearest full intervals on one side of an interval tell.
#[derive(Clone, Copy, Default)]
struct Side {
    /// P₁, if there is a full interval near.
    power_w: Option<f64>,
    /// max(|P₁ − P₂|, 2 % of P₁).
    unsteadiness_w: f64,
}

impl Side {
    fn new<'a>(mut nearest: impl Iterator<Item = &'a Interval>) -> Self {
        let Some(first_w) = nearest.next().map(Interval::mean_power_w) else {
            return Self::default();
        };
        let second_w = nearest.next().map_or(first_w, Interval::mean_power_w);
        let unsteadiness_w = (first_w - second_w).abs().max(POWER_FLOOR * first_w);
        Self { power_w: Some(first_w), unsteadiness_w }
    }

    /// Rule C6: τ·max(|P₁ − P₂|, 2 % of P₁) + |E − P₁·τ|.
    fn error_j(&self, piece: &Interval) -> f64 {
        let seconds = piece.window.length_s();
        let given_j = piece.energy_j;
        seconds * self.unsteadiness_w
            + self.power_w.map_or(0.0, |power_w| (given_j - power_w * seconds).abs())
    }
}

/// Both sides of an interval.
struct Sides {
    before: Side,
    after: Side,
}

impl Sides {
    fn of(intervals: &[Interval], index: usize, holders: &Holders) -> Self {
        let before = (0..index).rev().take(NEAREST).filter_map(|at| full_interval(intervals, at, holders));
        let after = (index + 1..intervals.len()).take(NEAREST);
        let after = after.filter_map(|at| full_interval(intervals, at, holders));
        Self { before: Side::new(before), after: Side::new(after) }
    }
}

/// How far off the energy may be on either side of each edge.
fn edge_errors(pieces: &[Piece], is_gauge: bool, sides: &Sides) -> impl Iterator<Item = EdgeError> {
    pieces.windows(2).filter_map(move |pair| {
        let [left, right] = pair else { return None };
        let before_j = sides.before.error_j(&left.interval);
        let after_j = sides.after.error_j(&right.interval);
        let near_j = |near_j: f64| if is_gauge { near_j } else { 0.0 };
        Some(EdgeError {
            at_ms: right.interval.window.start_ms,
            before_j: before_j + near_j(after_j),
            after_j: after_j + near_j(before_j),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sum::sum;
    use proptest::prelude::*;

    /// A counter read every 15 s while power steps between `levels` at `edges`.
    fn steps(edges: &[i64], levels: &[f64], until_ms: i64) -> Vec<Interval> {
        let power_at = |at_ms: i64| levels[edges.partition_point(|edge| *edge <= at_ms)];
        (0..until_ms / 15_000)
            .map(|n| {
                let window = Window::new(n * 15_000, (n + 1) * 15_000);
                let energy = (window.start_ms..window.end_ms).step_by(100).map(|at| power_at(at) * 0.1);
                Interval::flat(window.start_ms, window.end_ms, sum(energy), Coverage::Covered)
            })
            .collect()
    }

    fn energy(intervals: &[Interval], window: Window) -> f64 {
        super::super::curve::Curve::new(intervals.to_vec()).read(window).energy_j
    }

    #[test]
    fn a_step_is_found_where_linear_loses_to_the_run() {
        // 60 W idle, 400 W from 20 s to 95 s: neither edge at a sample.
        let intervals = steps(&[20_000, 95_000], &[60.0, 400.0, 60.0], 150_000);
        let holders = Holders::new([(20_000, 1), (95_000, 0)]);
        let run = Window::new(20_000, 95_000);
        let Placed { intervals: by_power, errors, .. } = place(intervals.clone(), &holders, EdgeRule::Power);
        assert!((energy(&by_power, run) - 75.0 * 400.0).abs() < 1e-6);
        let linear = place(intervals, &holders, EdgeRule::Linear).intervals;
        // By hand: 60 s in full at 400 W, and 10 s and 5 s at the mean powers of their intervals.
        let expected =
            60.0 * 400.0 + 10.0 * (5.0 * 60.0 + 10.0 * 400.0) / 15.0 + 5.0 * (5.0 * 400.0 + 600.0) / 15.0;
        assert!((energy(&linear, run) - expected).abs() < 1e-6);
        // 5 s of idle before, 10 s after, at 2 % of 60 W.
        assert_eq!(errors.len(), 2);
        assert!((errors[0].before_j - 5.0 * 1.2).abs() < 1e-9);
        assert!((errors[1].after_j - 10.0 * 1.2).abs() < 1e-9);
    }

    #[test]
    fn a_run_that_no_sample_saw_gets_what_is_left() {
        let intervals = steps(&[32_000, 40_000], &[60.0, 400.0, 60.0], 90_000);
        let holders = Holders::new([(32_000, 1), (40_000, 0)]);
        let placed = place(intervals, &holders, EdgeRule::Power).intervals;
        assert!((energy(&placed, Window::new(32_000, 40_000)) - 8.0 * 400.0).abs() < 1e-6);
    }

    #[test]
    fn a_run_over_one_sample_but_no_full_interval() {
        let intervals = steps(&[25_000, 41_000], &[60.0, 400.0, 60.0], 90_000);
        let holders = Holders::new([(25_000, 1), (41_000, 0)]);
        let placed = place(intervals, &holders, EdgeRule::Power).intervals;
        assert!((energy(&placed, Window::new(25_000, 41_000)) - 16.0 * 400.0).abs() < 1e-6);
    }

    #[test]
    fn less_energy_than_the_neighbour_explains_leaves_nothing_for_the_unknown() {
        let mut intervals = steps(&[], &[100.0], 60_000);
        intervals[1].energy_j = 300.0;
        let holders = Holders::new([(20_000, 1), (25_000, 2), (28_000, 0)]);
        let placed = place(intervals, &holders, EdgeRule::Power).intervals;
        // Known: 5 s before and 2 s after at 100 W = 700 J > 300 J.
        assert_eq!(energy(&placed, Window::new(20_000, 28_000)), 0.0);
        assert!((energy(&placed, Window::new(15_000, 20_000)) - 300.0 * 5.0 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_short_run_on_a_device_that_idles_at_nothing_gets_all() {
        // 10 s at 300 W, 0 W before and after, read every 60 s.
        let flat =
            |n: i64, energy_j: f64| Interval::flat(n * 60_000, (n + 1) * 60_000, energy_j, Coverage::Covered);
        let intervals = vec![flat(0, 0.0), flat(1, 3000.0), flat(2, 0.0)];
        let holders = Holders::new([(70_000, 1), (80_000, 0)]);
        let placed = place(intervals, &holders, EdgeRule::Power).intervals;
        assert_eq!(energy(&placed, Window::new(70_000, 80_000)), 3000.0);
    }

    #[test]
    fn a_gauge_holds_its_readings_up_to_the_edges() {
        let shape = Shape::Ramp { from_w: 60.0, to_w: 400.0 };
        let window = Window::new(0, 15_000);
        let ramp = Interval { window, energy_j: 230.0 * 15.0, coverage: Coverage::Covered, shape };
        let placed = place(vec![ramp], &Holders::new([(5_000, 1)]), EdgeRule::Power).intervals;
        assert_eq!(placed[0].energy_j, 300.0);
        assert_eq!(placed[1].energy_j, 4000.0);
        let placed = place(vec![ramp], &Holders::new([(5_000, 1), (10_000, 0)]), EdgeRule::Power).intervals;
        assert_eq!((placed[1].energy_j, placed[1].coverage), (5.0 * 230.0, Coverage::Interpolated));
        assert_eq!(placed[2].energy_j, 2000.0);
    }

    #[test]
    fn holders_forget_changes_that_change_nothing() {
        let holders = Holders::new([(10, 1), (20, 1), (30, 2), (30, 0), (40, 0)]);
        assert_eq!(holders.changes, [(10, 1), (30, 0)]);
        assert_eq!((holders.at(9), holders.at(10), holders.at(35)), (0, 1, 0));
    }

    proptest! {
        /// Whatever the edges, a counter's energy is neither made nor lost, and no piece is negative.
        #[test]
        fn pieces_add_up(
            energies in prop::collection::vec(0.0..9000.0_f64, 1..30),
            edges in prop::collection::vec((0_i64..450_000, 0_u32..4), 0..12),
            linear in any::<bool>(),
        ) {
            let intervals: Vec<_> = energies.iter().enumerate().map(|(n, energy)| {
                let start = n as i64 * 15_000;
                Interval::flat(start, start + 15_000, *energy, Coverage::Covered)
            }).collect();
            let mut edges = edges;
            edges.sort_unstable();
            let rule = if linear { EdgeRule::Linear } else { EdgeRule::Power };
            let placed = place(intervals.clone(), &Holders::new(edges), rule).intervals;
            prop_assert!(placed.iter().all(|piece| piece.energy_j >= 0.0));
            let placed = super::super::curve::Curve::new(placed);
            for interval in &intervals {
                let after = placed.read(interval.window).energy_j;
                prop_assert!((after - interval.energy_j).abs() <= 1e-9 * interval.energy_j.max(1.0) * 30.0);
            }
        }
    }
}
