//! Figures in order of time, sorted into the steps that they have.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Utc};

use super::hints::StampAt;
use super::probe::Probe;
use crate::carbon::series::Value;
use crate::carbon::{CarbonError, Format, InputSummary, Step, Zone, ZoneSummary};
use crate::time::{DAY_MS, HOUR_MS, Window};

/// A month's or a year's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::carbon) struct Mean {
    pub(in crate::carbon) grams_per_kwh: f64,
    pub(in crate::carbon) estimated: bool,
}

/// What a file holds, by zone.
pub(in crate::carbon) struct Imported {
    pub(in crate::carbon) summary: InputSummary,
    pub(in crate::carbon) fine: BTreeMap<Zone, Vec<Value>>,
    /// By year and month (from 1).
    pub(in crate::carbon) monthly: BTreeMap<Zone, BTreeMap<(i32, u32), Mean>>,
    /// By year.
    pub(in crate::carbon) yearly: BTreeMap<Zone, BTreeMap<i32, Mean>>,
}

/// A row in its place in time.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) at_ms: i64,
    pub(super) grams_per_kwh: f64,
    pub(super) estimated: bool,
}

impl Point {
    fn mean(&self) -> Mean {
        Mean { grams_per_kwh: self.grams_per_kwh, estimated: self.estimated }
    }
}

impl Imported {
    /// Sorts one zone's points into the step they have.
    pub(super) fn take(
        &mut self,
        probe: &Probe,
        file: usize,
        zone: Zone,
        points: Vec<Point>,
        kind: Option<Step>,
    ) -> Result<(), CarbonError> {
        let (mut points, duplicates, conflicts) = in_order(points);
        let found = kind.map_or_else(|| step_of(probe, &points), Ok);
        let step = found.map_err(|step_ms| CarbonError::Step {
            path: probe.path.clone(),
            zone: zone.clone(),
            step_ms,
        })?;
        if probe.columns.stamp_at == StampAt::End {
            let Step::Fine { step_ms } = step else {
                return Err(CarbonError::EndOfPeriod { path: probe.path.clone(), zone });
            };
            for point in &mut points {
                point.at_ms = point.at_ms.saturating_sub(step_ms);
            }
        }
        let end_of = |point: &Point| match step {
            Step::Fine { step_ms } => point.at_ms.saturating_add(step_ms),
            Step::Monthly => month_after(point.at_ms),
            Step::Yearly => year_after(point.at_ms),
        };
        let starts = points.iter().map(|point| point.at_ms);
        // A step that a clock's jitter makes a little short is no hole: half a step is.
        let slack = if let Step::Fine { step_ms } = step { step_ms / 2 } else { 0 };
        let holes =
            points.iter().zip(starts.clone().skip(1)).map(|(point, next)| next.saturating_sub(end_of(point)));
        let holes: Vec<i64> = holes.filter(|hole| *hole > slack).collect();
        self.summary.zones.push(ZoneSummary {
            zone: zone.clone(),
            step,
            values: points.len() as u64,
            window: Window::new(
                starts.min().unwrap_or_default(),
                points.last().map(end_of).unwrap_or_default(),
            ),
            gaps: holes.len() as u64,
            missing_ms: holes.iter().fold(0, |total, hole| total.saturating_add(*hole)),
            estimated: points.iter().filter(|point| point.estimated).count() as u64,
            duplicates,
            conflicts,
        });
        match step {
            Step::Fine { .. } => {
                let ends =
                    points.iter().zip(points.iter().skip(1).map(|next| Some(next.at_ms)).chain([None]));
                let fine = ends.map(|(point, next)| Value {
                    start_ms: point.at_ms,
                    end_ms: match next {
                        Some(next) if next.saturating_sub(end_of(point)) <= slack => next,
                        _ => end_of(point),
                    },
                    grams_per_kwh: point.grams_per_kwh,
                    estimated: point.estimated,
                    file,
                });
                self.fine.insert(zone, fine.collect());
            }
            Step::Monthly => {
                let months = points.iter().filter_map(|point| {
                    let date = utc(point.at_ms)?;
                    Some(((date.year(), date.month()), point.mean()))
                });
                self.monthly.insert(zone, months.collect());
            }
            Step::Yearly => {
                let years = points.iter().filter_map(|point| Some((utc(point.at_ms)?.year(), point.mean())));
                self.yearly.insert(zone, years.collect());
            }
        }
        Ok(())
    }
}

/// Points by time, one for each instant: the one that came last in the file.
fn in_order(mut points: Vec<Point>) -> (Vec<Point>, u64, u64) {
    points.sort_by_key(|point| point.at_ms);
    let (mut duplicates, mut conflicts) = (0_u64, 0_u64);
    let mut kept: Vec<Point> = Vec::with_capacity(points.len());
    for point in points {
        match kept.last_mut() {
            Some(last) if last.at_ms == point.at_ms => {
                if last.grams_per_kwh == point.grams_per_kwh {
                    duplicates = duplicates.saturating_add(1);
                } else {
                    conflicts = conflicts.saturating_add(1);
                }
                *last = point;
            }
            _ => kept.push(point),
        }
    }
    (kept, duplicates, conflicts)
}

/// The step of a series by the median distance of its stamps; the distance
/// where it is no step that can be used.
fn step_of(probe: &Probe, points: &[Point]) -> Result<Step, i64> {
    let next = points.iter().skip(1);
    let mut distances: Vec<i64> =
        points.iter().zip(next).map(|(one, other)| other.at_ms.saturating_sub(one.at_ms)).collect();
    distances.sort_unstable();
    let median = distances.get(distances.len().saturating_sub(1) / 2).copied();
    let all_start_months = points.iter().all(|point| point.at_ms.rem_euclid(DAY_MS) == 0)
        && points.iter().all(|point| utc(point.at_ms).is_some_and(|date| date.day() == 1));
    match median {
        Some(step_ms) if step_ms <= HOUR_MS => Ok(Step::Fine { step_ms }),
        Some(step_ms) if all_start_months && step_ms >= 364 * DAY_MS => Ok(Step::Yearly),
        Some(step_ms) if all_start_months && step_ms <= 31 * DAY_MS => Ok(Step::Monthly),
        Some(step_ms) => Err(step_ms),
        // One value alone: the portal's yearly and monthly files have no column for estimates; otherwise an hour is
        // all that it can stand for.
        None if probe.format == Format::ElectricityMaps
            && probe.columns.estimated.is_none()
            && all_start_months =>
        {
            let january =
                points.first().and_then(|point| utc(point.at_ms)).is_some_and(|date| date.month() == 1);
            Ok(if january { Step::Yearly } else { Step::Monthly })
        }
        None => Ok(Step::Fine { step_ms: HOUR_MS }),
    }
}

pub(super) fn utc(at_ms: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(at_ms)
}

fn start_of_month(year: i32, month: u32) -> Option<i64> {
    let midnight = chrono::NaiveDate::from_ymd_opt(year, month, 1)?.and_hms_opt(0, 0, 0)?;
    Some(midnight.and_utc().timestamp_millis())
}

/// A calendar month (UTC), from 1.
pub(in crate::carbon) fn month(year: i32, month: u32) -> Option<Window> {
    let start_ms = start_of_month(year, month)?;
    Some(Window::new(start_ms, month_after(start_ms)))
}

/// A calendar year (UTC).
pub(in crate::carbon) fn year(year: i32) -> Option<Window> {
    let start_ms = start_of_month(year, 1)?;
    Some(Window::new(start_ms, year_after(start_ms)))
}

fn month_after(at_ms: i64) -> i64 {
    let next = utc(at_ms).and_then(|date| match date.month() {
        12 => start_of_month(date.year().checked_add(1)?, 1),
        month => start_of_month(date.year(), month.checked_add(1)?),
    });
    next.unwrap_or(at_ms)
}

fn year_after(at_ms: i64) -> i64 {
    utc(at_ms).and_then(|date| start_of_month(date.year().checked_add(1)?, 1)).unwrap_or(at_ms)
}
