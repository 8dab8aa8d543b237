//! What single jobs used of a node: CPU seconds and memory, as exporters read them from control groups.
//!
//! These share out what the node's meters saw (rules S2, S3); they are no meters. Both are kept as a [`Curve`]
//! whose amounts are CPU seconds, or bytes × seconds, in place of joules.

use super::counter::Tally;
use super::curve::{Coverage, Curve, Interval, Missing};
use super::edges::{EdgeRule, Holders};
use super::gauge;
use super::inventory::{JobSeries, MeterSeries};
use super::stream::{MeterSamples, Scratch, SeriesUse, read_meter};
use super::utilisation::Load;
use crate::source::SourceError;
use crate::time::Window;

/// What one job used while it held a node.
#[derive(Clone, Debug, Default)]
pub struct JobUse {
    /// CPU seconds; `None` if no exporter tells.
    pub cpu: Option<Vec<Curve>>,
    /// Bytes × seconds; `None` if no exporter tells.
    pub memory: Option<Curve>,
}

impl JobUse {
    /// CPU seconds in `window`, scaled up to all of it; `None` where less than `enough` of it is known.
    pub fn cpu_s(&self, window: Window, enough: f64) -> Option<f64> {
        let curves = self.cpu.as_ref()?;
        curves.iter().try_fold(0.0, |sum, curve| Some(sum + amount(curve, window, enough)?))
    }

    /// Bytes × seconds in `window`, likewise.
    pub fn memory_bytes_s(&self, window: Window, enough: f64) -> Option<f64> {
        amount(self.memory.as_ref()?, window, enough)
    }
}

/// What a curve holds in `window`, scaled up to all of it; `None` where less than `enough` of it is known.
pub fn amount(curve: &Curve, window: Window, enough: f64) -> Option<f64> {
    let reading = curve.read(window);
    let (known_s, length_s) = (reading.known_s(), window.length_s());
    (known_s > 0.0 && known_s >= enough * length_s).then(|| reading.energy_j * length_s / known_s)
}

/// Reads what the job behind `series` used while it held the node, which it did in `held`.
///
/// # Errors
///
/// Where a series cannot be read at all.
pub fn read_job_use(
    series: &JobSeries<'_>,
    held: Window,
    scratch: &mut Scratch,
    uses: &mut Vec<SeriesUse>,
) -> Result<JobUse, SourceError> {
    let mut used = JobUse::default();
    // The same job seen by two exporters is seen twice: the first in order of name is used.
    let groups = if series.cpu_time.is_empty() {
        pieces(&first_exporter(&series.cpu_time_parts))
    } else {
        vec![first_exporter(&series.cpu_time)]
    };
    let mut curves = Vec::with_capacity(groups.len());
    for group in &groups {
        let read = read_meter(group, held, scratch)?;
        curves.push(cpu_curve(&read, held));
        uses.extend(read.uses);
    }
    used.cpu = (!curves.is_empty()).then_some(curves);
    let memory = first_exporter(&series.memory);
    if !memory.is_empty() {
        let read = read_meter(&memory, held, scratch)?;
        used.memory = Some(memory_curve(&read, held));
        uses.extend(read.uses);
    }
    Ok(used)
}

fn first_exporter<'a>(series: &[MeterSeries<'a>]) -> Vec<MeterSeries<'a>> {
    let first = series.iter().map(|meter| meter.kind.exporter.as_str()).min();
    series.iter().filter(|meter| Some(meter.kind.exporter.as_str()) == first).copied().collect()
}

/// Pieces that add up: series that differ in more than who exposes them (user and system, or core by core).
fn pieces<'a>(series: &[MeterSeries<'a>]) -> Vec<Vec<MeterSeries<'a>>> {
    let mut groups: std::collections::BTreeMap<(&str, [&str; 2]), Vec<MeterSeries<'a>>> = Default::default();
    for meter in series {
        let labels = meter.series.labels();
        let piece = ["core", "mode"].map(|name| labels.get(name).unwrap_or_default());
        groups.entry((meter.kind.metric.as_str(), piece)).or_default().push(*meter);
    }
    groups.into_values().collect()
}

/// A control group's counter starts at nought with its job. From the job's start to the first sample it rose by the
/// first value; after the last sample its last rate holds for one interval between samples.
fn cpu_curve(read: &MeterSamples, held: Window) -> Curve {
    let samples = &read.samples;
    let (Some(&(first_ms, first_s)), Some(&(last_ms, _))) = (samples.first(), samples.last()) else {
        return Curve::new(Vec::new());
    };
    // Of one sample: as long as from the start to it.
    let step_ms = median_step_ms(samples).unwrap_or(first_ms.saturating_sub(held.start_ms));
    let mut intervals = Vec::with_capacity(samples.len() + 1);
    // A job that was restarted under its number may go on counting: what it had before is not its own now.
    let fresh = first_ms.saturating_sub(held.start_ms) <= read.gaps.at(first_ms);
    if first_ms > held.start_ms {
        intervals.push(if fresh {
            Interval::flat(held.start_ms, first_ms, first_s.max(0.0), Coverage::Covered)
        } else {
            Interval::missing(held.start_ms, first_ms, Missing::Gap)
        });
    }
    for (&(from_ms, from_s), &(to_ms, to_s)) in samples.iter().zip(samples.iter().skip(1)) {
        // A fall is a new control group, which counts from nought.
        let rise_s = if to_s >= from_s { to_s - from_s } else { to_s.max(0.0) };
        let long = read.gaps.is_gap(from_ms, to_ms);
        let coverage = if long { Coverage::Interpolated } else { Coverage::Covered };
        intervals.push(Interval::flat(from_ms, to_ms, rise_s, coverage));
    }
    let rate = intervals.last().filter(|last| last.is_known()).map(Interval::mean_power_w);
    let tail_ms = held.end_ms.saturating_sub(last_ms).min(step_ms);
    if let Some(rate) = rate.filter(|_| tail_ms > 0) {
        let seconds = tail_ms as f64 / 1000.0;
        intervals.push(Interval::flat(last_ms, last_ms + tail_ms, rate * seconds, Coverage::Interpolated));
    }
    Curve::new(intervals)
}

fn median_step_ms(samples: &[(i64, f64)]) -> Option<i64> {
    let mut steps: Vec<i64> =
        samples.iter().zip(samples.iter().skip(1)).map(|((from, _), (to, _))| to - from).collect();
    steps.sort_unstable();
    steps.get(steps.len().checked_sub(1)? / 2).copied()
}

/// Between samples memory runs straight; before the first and after the last it is as there, for one interval.
fn memory_curve(read: &MeterSamples, held: Window) -> Curve {
    let step_ms = median_step_ms(&read.samples).unwrap_or(0);
    let mut samples = read.samples.clone();
    if let Some(&(first_ms, bytes)) = samples.first() {
        let start_ms = held.start_ms.max(first_ms - step_ms);
        if start_ms < first_ms {
            samples.insert(0, (start_ms, bytes));
        }
    }
    if let Some(&(last_ms, bytes)) = samples.last() {
        let end_ms = held.end_ms.min(last_ms + step_ms);
        if end_ms > last_ms {
            samples.push((end_ms, bytes));
        }
    }
    gauge_curve(&samples, &read.stale_ms, read)
}

fn gauge_curve(samples: &[(i64, f64)], stale_ms: &[i64], read: &MeterSamples) -> Curve {
    let plain = (&Holders::default(), EdgeRule::Linear);
    Curve::new(gauge::integrate(samples, stale_ms, f64::MAX, &read.gaps, plain, &mut Tally::default()))
}

/// Reads how busy an instance of a GPU was: seconds of full load.
///
/// # Errors
///
/// Where a series cannot be read at all.
pub fn read_activity(
    series: &[MeterSeries<'_>],
    window: Window,
    scratch: &mut Scratch,
    uses: &mut Vec<SeriesUse>,
) -> Result<Curve, SourceError> {
    // Of two metrics the last by name, which is `DCGM_FI_PROF_SM_ACTIVE`: an engine counts as active with one warp.
    let best = series.iter().map(|meter| meter.kind.metric.as_str()).max();
    let series: Vec<MeterSeries<'_>> =
        series.iter().filter(|meter| Some(meter.kind.metric.as_str()) == best).copied().collect();
    read_busy(&series, window, scratch, uses)
}

/// Reads how busy something was whose load is a gauge from 0 to 1: seconds of full load.
///
/// # Errors
///
/// Where a series cannot be read at all.
pub fn read_busy(
    series: &[MeterSeries<'_>],
    window: Window,
    scratch: &mut Scratch,
    uses: &mut Vec<SeriesUse>,
) -> Result<Curve, SourceError> {
    let read = read_meter(series, window, scratch)?;
    uses.extend(read.uses.iter().cloned());
    // Above 1 it is no share; so says no exporter but a broken one.
    let samples: Vec<(i64, f64)> =
        read.samples.iter().map(|(at_ms, share)| (*at_ms, share.clamp(0.0, 1.0))).collect();
    Ok(gauge_curve(&samples, &read.stale_ms, &read))
}

/// CPU seconds that a node was busy.
pub fn busy_curve(loads: &[Load], logical_cpus: u32) -> Curve {
    let intervals = loads.iter().map(|load| match load.utilisation {
        Ok(utilisation) => {
            let busy_s = utilisation * f64::from(logical_cpus) * load.window.length_s();
            Interval::flat(load.window.start_ms, load.window.end_ms, busy_s, Coverage::Covered)
        }
        Err(why) => Interval::missing(load.window.start_ms, load.window.end_ms, why),
    });
    Curve::new(intervals.collect())
}

/// Memory that a node has in use: what it has less what is free, in bytes × seconds.
pub fn used_memory_curve(total_bytes: f64, available: &MeterSamples) -> Curve {
    let used: Vec<(i64, f64)> =
        available.samples.iter().map(|(at_ms, free)| (*at_ms, (total_bytes - free).max(0.0))).collect();
    gauge_curve(&used, &available.stale_ms, available)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::presence::GapLimits;

    fn samples(list: &[(i64, f64)]) -> MeterSamples {
        MeterSamples {
            samples: list.to_vec(),
            gaps: GapLimits::from_times(list.iter().map(|(at_ms, _)| *at_ms)),
            ..MeterSamples::default()
        }
    }

    #[test]
    fn a_jobs_counter_counts_from_its_start() {
        let held = Window::new(100_000, 200_000);
        let read =
            samples(&[(110_000, 5.0), (125_000, 20.0), (140_000, 35.0), (155_000, 35.0), (185_000, 65.0)]);
        let curve = cpu_curve(&read, held);
        let seconds = |start_ms, end_ms| amount(&curve, Window::new(start_ms, end_ms), 0.9);
        // 5 s in the first 10 s, though no sample is older than that.
        assert_eq!(seconds(100_000, 110_000), Some(5.0));
        assert_eq!(seconds(110_000, 140_000), Some(30.0));
        // The last rate, 1 CPU, holds on for one interval of 15 s: to the job's end.
        assert_eq!(seconds(185_000, 200_000), Some(15.0));
        assert_eq!(seconds(100_000, 200_000), Some(80.0));
    }

    #[test]
    fn too_little_is_not_enough_and_a_fall_counts_from_nought() {
        let held = Window::new(0, 3_600_000);
        let curve = cpu_curve(&samples(&[(15_000, 15.0), (30_000, 30.0), (45_000, 2.0)]), held);
        assert_eq!(amount(&curve, Window::new(0, 45_000), 0.9), Some(32.0));
        assert_eq!(amount(&curve, held, 0.9), None);
        assert_eq!(amount(&cpu_curve(&samples(&[]), held), held, 0.9), None);
    }

    #[test]
    fn memory_is_a_mean() {
        let held = Window::new(0, 60_000);
        let curve = memory_curve(&samples(&[(15_000, 4.0), (30_000, 8.0), (45_000, 8.0)]), held);
        // 4 for 15 s, 4 to 8 over 15 s, 8 for 30 s.
        assert_eq!(amount(&curve, held, 0.9), Some(60.0 + 90.0 + 240.0));
    }
}
