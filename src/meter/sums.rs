//! Meters that a server added up: a sum for each step of time instead of
//! samples (`--pushdown`).
//!
//! What a step holds is known, where in the step it was used is not: energy is
//! taken as spread evenly over it, and so are the seconds that nobody saw.

use std::collections::{BTreeMap, BTreeSet};

use super::counter::Tally;
use super::curve::{Coverage, Interval, Missing};
use super::inventory::MeterSeries;
use super::stream::{Scratch, SeriesUse};
use super::utilisation::Load;
use crate::source::SourceError;
use crate::source::remote::{STEP_LABEL, VALUE_LABEL, value};
use crate::time::{MINUTE_MS, Window, day_of};

/// A step that misses less of itself than this was seen in full: counts are whole numbers.
const FULL: f64 = 1.0 - 1e-6;

/// What is known of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Where it lies.
    pub window: Window,
    /// Joules, or a gauge's mean × the seconds that it was there; of CPU time the busy seconds.
    pub sum: f64,
    /// For CPU time: all seconds.
    pub all: f64,
    /// Seconds that were seen.
    pub covered_s: f64,
}

impl Step {
    /// The share of the step that was seen, 0 to 1.
    fn share(&self) -> f64 {
        (self.covered_s / self.window.length_s()).clamp(0.0, 1.0)
    }

    /// The step as stretches that were seen or not: minute by minute, where some of it was not.
    fn pieces(&self) -> Vec<(Window, bool)> {
        let share = self.share();
        if share >= FULL {
            return vec![(self.window, true)];
        }
        let minutes = (self.window.length_ms() / MINUTE_MS).max(1);
        let mut pieces = Vec::new();
        for part in crate::time::split(self.window, minutes) {
            let seen_ms = (part.length_ms() as f64 * share).round() as i64;
            let seen = Window::new(part.start_ms, part.start_ms.saturating_add(seen_ms));
            let unseen = Window::new(seen.end_ms, part.end_ms);
            pieces
                .extend([(seen, true), (unseen, false)].into_iter().filter(|(window, _)| !window.is_empty()));
        }
        pieces
    }
}

/// The steps of one meter, in order, none over another.
#[derive(Clone, Debug, Default)]
pub struct MeterSums {
    /// In order.
    pub steps: Vec<Step>,
    /// What was read and dropped.
    pub tally: Tally,
    /// How each series was used.
    pub uses: Vec<SeriesUse>,
}

impl MeterSums {
    /// The steps as intervals of the curve, with the energy that `energy_j`
    /// gives each. A step of more than `max_power_w` in the mean is dropped and counted.
    pub fn intervals(
        &self,
        energy_j: impl Fn(&Step) -> f64,
        max_power_w: f64,
        tally: &mut Tally,
    ) -> Vec<Interval> {
        let mut intervals = Vec::new();
        let mut increments = crate::sum::Sum::new();
        for step in &self.steps {
            let energy_j = energy_j(step);
            if !(0.0..=max_power_w * step.covered_s).contains(&energy_j) {
                tally.impossible += tally.once(step.window.start_ms);
                intervals.push(Interval::missing(step.window.start_ms, step.window.end_ms, Missing::Gap));
                continue;
            }
            let pieces = step.pieces();
            let seen_ms: i64 =
                pieces.iter().filter(|(_, seen)| *seen).map(|(window, _)| window.length_ms()).sum();
            for (window, seen) in pieces {
                intervals.push(if seen {
                    let part_j = energy_j * window.length_ms() as f64 / seen_ms.max(1) as f64;
                    Interval::flat(window.start_ms, window.end_ms, part_j, Coverage::Covered)
                } else {
                    Interval::missing(window.start_ms, window.end_ms, Missing::Gap)
                });
            }
            if seen_ms > 0 {
                increments.add(energy_j);
            }
        }
        tally.increments_j = increments.value();
        tally.close(&intervals);
        intervals
    }

    /// Utilisation from seconds of CPU time.
    pub fn loads(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        for step in &self.steps {
            let utilisation = step.sum / step.all;
            for (window, seen) in step.pieces() {
                let is_known = seen && utilisation.is_finite();
                let utilisation = if is_known { Ok(utilisation.clamp(0.0, 1.0)) } else { Err(Missing::Gap) };
                loads.push(Load { window, utilisation, complete: true });
            }
        }
        loads
    }
}

/// Steps of the series that are pieces of one stream, by their start.
#[derive(Default)]
struct Stream {
    steps: BTreeMap<i64, Step>,
    members: Vec<usize>,
}

/// Reads all sums of one meter that start in `window`.
///
/// Series of one stream that stand in one step (a job label that changed inside
/// it) are added; of replicas that with most seconds counts, day by day (rule N2).
///
/// # Errors
///
/// Where a series cannot be read at all.
pub fn read_sums(
    series: &[MeterSeries<'_>],
    window: Window,
    scratch: &mut Scratch,
) -> Result<MeterSums, SourceError> {
    let mut sums = MeterSums { tally: Tally::of(scratch.counted), ..MeterSums::default() };
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    for (member, piece) in series.iter().enumerate() {
        piece.series.read(window, &mut scratch.buffer, &mut scratch.stats)?;
        let labels = piece.series.labels();
        let step_ms = labels.get(STEP_LABEL).and_then(|text| text.parse::<i64>().ok()).filter(|ms| *ms > 0);
        let role = labels.get(VALUE_LABEL).unwrap_or_default();
        let mut used = SeriesUse { row: piece.row, ..SeriesUse::default() };
        let key = format!("{}\u{1f}{}", piece.stream_key(), step_ms.unwrap_or_default());
        let stream = streams.entry(key).or_default();
        stream.members.push(member);
        let samples = scratch.buffer.samples();
        for (&start_ms, &raw) in samples.timestamps_ms.iter().zip(&samples.values) {
            let counted = sums.tally.once(start_ms);
            used.samples += counted;
            let Some(step_ms) = step_ms.filter(|_| raw.is_finite()) else {
                sums.tally.not_finite += counted;
                used.dropped += counted;
                continue;
            };
            let step = stream.steps.entry(start_ms).or_insert(Step {
                window: Window::new(start_ms, start_ms.saturating_add(step_ms)),
                sum: 0.0,
                all: 0.0,
                covered_s: 0.0,
            });
            match role {
                value::SUM => step.sum += raw * piece.kind.scale,
                value::ALL => step.all += raw * piece.kind.scale,
                value::COVERED_S => step.covered_s += raw,
                _ => {}
            }
        }
        sums.tally.samples += used.samples;
        sums.uses.push(used);
    }
    let mut streams: Vec<Stream> = streams.into_values().collect();
    for stream in &mut streams {
        stream.steps.retain(|_, step| step.covered_s > 0.0);
    }
    choose_by_day(&mut sums, stitch(streams));
    Ok(sums)
}

/// Joins streams that follow each other in time (rule N3).
fn stitch(mut streams: Vec<Stream>) -> Vec<Stream> {
    streams.sort_by_key(|stream| stream.steps.keys().next().copied().unwrap_or(i64::MAX));
    let mut joined: Vec<Stream> = Vec::new();
    for stream in streams {
        let first = stream.steps.keys().next().copied();
        let follows = joined.iter_mut().find(|before| before.steps.keys().next_back().copied() < first);
        match follows {
            Some(before) => {
                before.steps.extend(stream.steps);
                before.members.extend(stream.members);
            }
            None => joined.push(stream),
        }
    }
    joined.sort_by_key(|stream| stream.members.iter().min().copied());
    joined
}

fn choose_by_day(sums: &mut MeterSums, streams: Vec<Stream>) {
    let days: BTreeSet<i64> =
        streams.iter().flat_map(|stream| stream.steps.keys().map(|start_ms| day_of(*start_ms))).collect();
    for day in days {
        let today = |stream: &Stream| {
            let steps = stream.steps.iter().filter(|(start_ms, _)| day_of(**start_ms) == day);
            steps.map(|(_, step)| *step).collect::<Vec<Step>>()
        };
        let mut best: Option<(f64, usize)> = None;
        for (index, stream) in streams.iter().enumerate() {
            let seen_s = crate::sum::sum(today(stream).iter().map(|step| step.covered_s));
            if seen_s > best.map_or(0.0, |(most_s, _)| most_s) {
                best = Some((seen_s, index));
            }
        }
        for (index, stream) in streams.iter().enumerate() {
            let steps = today(stream);
            let is_best = best.is_some_and(|(_, best)| best == index);
            for member in &stream.members {
                if let Some(used) = sums.uses.get_mut(*member).filter(|_| !steps.is_empty()) {
                    *(if is_best { &mut used.days_used } else { &mut used.days_replica }) += 1;
                }
            }
            if is_best {
                sums.steps.extend(steps);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn sums(steps: &[(i64, f64, f64)]) -> MeterSums {
        let step = |(hour, sum, covered_s): &(i64, f64, f64)| Step {
            window: Window::new(hour * HOUR_MS, (hour + 1) * HOUR_MS),
            sum: *sum,
            all: 7200.0,
            covered_s: *covered_s,
        };
        MeterSums { steps: steps.iter().map(step).collect(), ..MeterSums::default() }
    }

    #[test]
    fn a_step_seen_in_full_is_one_interval() {
        let mut tally = Tally::default();
        let intervals = sums(&[(0, 360_000.0, 3600.0)]).intervals(|step| step.sum, 600.0, &mut tally);
        assert_eq!(intervals, [Interval::flat(0, HOUR_MS, 360_000.0, Coverage::Covered)]);
        assert_eq!(tally.increments_j, 360_000.0);
    }

    #[test]
    fn what_was_not_seen_is_spread_like_what_was() {
        // A quarter of the hour seen: 15 s of every minute, 60 times 1500 J.
        let mut tally = Tally::default();
        let intervals = sums(&[(0, 90_000.0, 900.0)]).intervals(|step| step.sum, 600.0, &mut tally);
        assert_eq!(intervals.len(), 120);
        assert_eq!(intervals[2], Interval::flat(60_000, 75_000, 1500.0, Coverage::Covered));
        assert_eq!(intervals[3], Interval::missing(75_000, 120_000, Missing::Gap));
        assert_eq!(tally.missing_s[&Missing::Gap], 2700.0);
        let curve = super::super::curve::Curve::new(intervals);
        let half = curve.read(Window::new(0, HOUR_MS / 2));
        assert_eq!((half.energy_j.round(), half.covered_s), (45_000.0, 450.0));
    }

    #[test]
    fn impossible_steps_are_dropped_and_counted() {
        // 1 MJ in an hour are 278 W in the mean; 10 MJ are 2.8 kW.
        let mut tally = Tally::default();
        let read = sums(&[(0, 1e6, 3600.0), (1, 1e7, 3600.0), (2, -1.0, 3600.0)]);
        let intervals = read.intervals(|step| step.sum, 600.0, &mut tally);
        assert_eq!((tally.impossible, tally.increments_j), (2, 1e6));
        assert!(!intervals[1].is_known() && !intervals[2].is_known());
    }

    #[test]
    fn utilisation_is_the_busy_part_of_all_seconds() {
        let loads = sums(&[(0, 1800.0, 3600.0)]).loads();
        assert_eq!(loads.len(), 1);
        assert_eq!(loads[0].utilisation, Ok(0.25));
    }
}
