//! Power gauges: trapezoids between consecutive samples (rules C3, C5).

use super::counter::{Tally, has_between};
use super::curve::{Coverage, Interval, Missing, Shape};
use super::edges::{EdgeRule, Holders};
use super::presence::GapLimits;
use crate::sum::Sum;
use crate::time::Window;

/// Turns the readings of one power gauge, in watts, into intervals.
///
/// Readings that are negative or above `max_power_w` are dropped and counted.
/// A stale marker between two readings leaves the time between them missing:
/// a gauge says nothing about when it was not read.
///
/// The intervals are whole; run edges are placed later. But since they change
/// what a gauge adds up to, the tally's increments (balance B2) count with the
/// run edges of `holders`, worked out here a second time.
pub fn integrate(
    samples: &[(i64, f64)],
    stale_ms: &[i64],
    max_power_w: f64,
    gaps: &GapLimits,
    (holders, rule): (&Holders, EdgeRule),
    tally: &mut Tally,
) -> Vec<Interval> {
    let mut intervals = Vec::with_capacity(samples.len());
    let mut increments = Sum::new();
    let mut last: Option<(i64, f64)> = None;
    let mut holders = holders.cursor();
    for &(at_ms, power_w) in samples {
        if !(0.0..=max_power_w).contains(&power_w) {
            tally.impossible += tally.once(at_ms);
            continue;
        }
        let Some((last_ms, last_w)) = last else {
            last = Some((at_ms, power_w));
            continue;
        };
        if at_ms <= last_ms {
            continue;
        }
        if has_between(stale_ms, last_ms, at_ms) {
            intervals.push(Interval::missing(last_ms, at_ms, Missing::Stale));
        } else if gaps.is_gap(last_ms, at_ms) {
            intervals.push(Interval::missing(last_ms, at_ms, Missing::Gap));
        } else {
            let window = Window::new(last_ms, at_ms);
            let energy_j = 0.5 * (last_w + power_w) * window.length_s();
            increments.add(match holders.outermost_inside(window) {
                Some((first_ms, last_ms)) if rule == EdgeRule::Power => {
                    let seconds = |from_ms: i64, to_ms: i64| (to_ms - from_ms) as f64 / 1000.0;
                    last_w * seconds(window.start_ms, first_ms)
                        + 0.5 * (last_w + power_w) * seconds(first_ms, last_ms)
                        + power_w * seconds(last_ms, at_ms)
                }
                _ => energy_j,
            });
            let shape = Shape::Ramp { from_w: last_w, to_w: power_w };
            intervals.push(Interval { window, energy_j, coverage: Coverage::Covered, shape });
        }
        last = Some((at_ms, power_w));
    }
    tally.increments_j = increments.value();
    tally.close(&intervals);
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(samples: &[(i64, f64)], stale_ms: &[i64]) -> (Vec<Interval>, Tally) {
        let gaps = GapLimits::from_times(samples.iter().map(|(at, _)| *at));
        let mut tally = Tally::default();
        let intervals =
            integrate(samples, stale_ms, 1200.0, &gaps, (&Holders::default(), EdgeRule::Power), &mut tally);
        (intervals, tally)
    }

    #[test]
    fn trapezoids_by_hand() {
        let (_, tally) = run(&[(0, 100.0), (10_000, 200.0), (30_000, 200.0)], &[]);
        assert_eq!(tally.increments_j, 1500.0 + 4000.0);
    }

    #[test]
    fn impossible_readings_are_dropped_and_counted() {
        let (intervals, tally) = run(&[(0, 100.0), (15_000, -3.0), (30_000, 3.69e12), (45_000, 100.0)], &[]);
        assert_eq!((tally.impossible, intervals.len()), (2, 1));
        assert_eq!(tally.increments_j, 4500.0);
    }

    #[test]
    fn nothing_is_invented_over_gaps_and_ends() {
        let (intervals, tally) = run(&[(0, 100.0), (15_000, 100.0), (1_000_000, 100.0)], &[]);
        assert_eq!(intervals[1], Interval::missing(15_000, 1_000_000, Missing::Gap));
        assert_eq!(tally.increments_j, 1500.0);
        let (intervals, tally) = run(&[(0, 100.0), (15_000, 100.0), (45_000, 100.0)], &[30_000]);
        assert_eq!(intervals[1], Interval::missing(15_000, 45_000, Missing::Stale));
        assert_eq!(tally.missing_s[&Missing::Stale], 30.0);
    }
}
