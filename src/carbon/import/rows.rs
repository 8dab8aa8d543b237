//! The rows of a file, checked and put in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::Tz;
use csv::ByteRecord;

use super::eia;
use super::generation::{self, Plant};
use super::hints::{StampAt, Unit};
use super::json::{self, Entry};
use super::mix;
use super::probe::{Probe, StampForm, Values};
use super::records::Records;
use super::stamp::{Stamp, later_of_twice, order_of};
use crate::carbon::series::Value;
use crate::carbon::zone::ZoneNames;
use crate::carbon::{Basis, CarbonError, Format, InputSummary, RejectedLine, Scope, Step, Zone, ZoneSummary};
use crate::time::{DAY_MS, HOUR_MS, Window};

/// More than any grid emits: a unit error (lb/MWh, t/MWh) or a fault.
pub(in crate::carbon) const MAX_GRAMS_PER_KWH: f64 = 3000.0;

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

/// One usable row.
struct Row {
    line: u64,
    zone: usize,
    stamp: Stamp,
    grams_per_kwh: f64,
    estimated: bool,
}

/// A row in its place in time.
#[derive(Clone, Copy)]
struct Point {
    at_ms: i64,
    grams_per_kwh: f64,
    estimated: bool,
}

impl Point {
    fn mean(&self) -> Mean {
        Mean { grams_per_kwh: self.grams_per_kwh, estimated: self.estimated }
    }
}

/// Lines that were left out.
#[derive(Default)]
struct Rejects {
    count: u64,
    listed: Vec<RejectedLine>,
}

impl Rejects {
    fn add(&mut self, line: u64, reason: &'static str) {
        self.count = self.count.saturating_add(1);
        if self.listed.len() < InputSummary::MAX_LISTED {
            self.listed.push(RejectedLine { line, reason });
        }
    }
}

/// Reads all rows of a probed file as `basis`; `file` is its index among the
/// inputs.
///
/// # Errors
///
/// [`CarbonError::WrongBasis`] if the file does not have it,
/// [`CarbonError::NoZone`] if neither it nor `default_zone` names a place,
/// [`CarbonError::Step`] for steps between an hour and a month, and
/// [`CarbonError::NoRows`] if nothing in it can be used. A line that cannot be
/// used is counted in the summary and costs that line.
pub(in crate::carbon) fn read(
    probe: &Probe,
    file: usize,
    basis: Basis,
    default_zone: Option<&Zone>,
    names: &ZoneNames,
) -> Result<Imported, CarbonError> {
    let column = probe.column(basis).map_err(|has| CarbonError::WrongBasis {
        path: probe.path.clone(),
        basis: has,
        wanted: basis,
    })?;
    let names_zones = probe.columns.zone.is_some() || probe.names_zones();
    let fixed_zone = match (names_zones.then_some(()), &probe.zone, default_zone) {
        (Some(()), ..) => None,
        (None, Some(text), _) => Some(canonical(text, names)),
        (None, None, Some(zone)) => Some(zone.clone()),
        (None, None, None) => return Err(CarbonError::NoZone { path: probe.path.clone() }),
    };
    let mut rejects = Rejects::default();
    let (rows, zones) = if let Some(mix) = mix::of(probe)? {
        let found = mix.found(basis.scope);
        found.rejected.iter().for_each(|(line, reason)| rejects.add(*line, reason));
        entry_rows(found.entries.into_iter(), fixed_zone, names, &mut rejects)
    } else if let Some(json) = &probe.json {
        let entries = (1_u64..).zip(json::entries(json, basis));
        entry_rows(entries, fixed_zone, names, &mut rejects)
    } else {
        rows(probe, (column, basis.scope), fixed_zone, names, &mut rejects)?
    };
    let kind = whole_periods(&rows);
    let points = points_by_zone(&rows, &zones, &mut rejects);
    if points.is_empty() {
        let first = rejects.listed.first().map(|reject| (reject.line, reject.reason));
        return Err(CarbonError::NoRows { path: probe.path.clone(), rejected: rejects.count, first });
    }
    let mut imported = Imported {
        summary: InputSummary {
            path: probe.path.clone(),
            format: probe.format,
            basis,
            basis_assumed: probe.format == Format::Generic && probe.declared.is_none(),
            zones: Vec::new(),
            rejected: rejects.count,
            rejected_lines: rejects.listed,
            source: Arc::clone(&probe.source),
            attribution: Arc::clone(&probe.attribution),
        },
        fine: BTreeMap::new(),
        monthly: BTreeMap::new(),
        yearly: BTreeMap::new(),
    };
    for (zone, points) in points {
        imported.take(probe, file, zone, points, kind)?;
    }
    Ok(imported)
}

impl Imported {
    /// Sorts one zone's points into the step they have.
    fn take(
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

/// The zones of a file's rows by index, in order of their first row.
struct RowZones<'n> {
    zones: Vec<Zone>,
    /// Files are sorted by zone or have one only.
    known: BTreeMap<String, usize>,
    names: &'n ZoneNames,
}

impl RowZones<'_> {
    fn index(&mut self, text: &str) -> usize {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        self.zones.push(canonical(text, self.names));
        let index = self.zones.len().saturating_sub(1);
        self.known.insert(text.to_owned(), index);
        index
    }
}

/// The rows of a file that is no table of intensities, each with its number.
fn entry_rows(
    entries: impl Iterator<Item = (u64, Entry)>,
    fixed_zone: Option<Zone>,
    names: &ZoneNames,
    rejects: &mut Rejects,
) -> (Vec<Row>, Vec<Zone>) {
    let is_fixed = fixed_zone.is_some();
    let mut zones = RowZones { zones: fixed_zone.into_iter().collect(), known: BTreeMap::new(), names };
    let mut rows = Vec::new();
    for (line, entry) in entries {
        // Times to come have no value yet.
        let Some(value) = entry.grams_per_kwh else { continue };
        let zone = match (&entry.zone, is_fixed) {
            (_, true) => 0,
            (Some(zone), false) => zones.index(zone),
            (None, false) => {
                rejects.add(line, "no zone");
                continue;
            }
        };
        let Some(stamp) = entry.stamp else {
            rejects.add(line, "no time that can be read");
            continue;
        };
        match checked(value) {
            Ok(grams_per_kwh) => {
                rows.push(Row { line, zone, stamp, grams_per_kwh, estimated: entry.estimated });
            }
            Err(reason) => rejects.add(line, reason),
        }
    }
    (rows, zones.zones)
}

/// Every row with a value, a zone and a stamp, and the zones by index.
fn rows(
    probe: &Probe,
    (column, scope): (usize, Scope),
    fixed_zone: Option<Zone>,
    names: &ZoneNames,
    rejects: &mut Rejects,
) -> Result<(Vec<Row>, Vec<Zone>), CarbonError> {
    let mut records = Records::new(&probe.path, probe.delimiter, probe.is_parquet)?;
    let mut record = ByteRecord::new();
    let mut zones = RowZones { zones: fixed_zone.into_iter().collect(), known: BTreeMap::new(), names };
    let columns = &probe.columns;
    let mut rows = Vec::new();
    // For clocks that show an hour twice, by zone.
    let mut before_ms: BTreeMap<usize, i64> = BTreeMap::new();
    let mut clocks = Clocks::default();
    while let Some(line) = records.next(&probe.path, &mut record)? {
        let field =
            |index: usize| record.get(index).map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
        if columns.only.iter().any(|(column, word)| field(*column).as_deref() != Some(word)) {
            continue;
        }
        let zone = match columns.zone {
            None => 0,
            Some(index) => {
                let named = [Some(index), columns.country].into_iter().flatten().filter_map(field);
                match named.into_iter().find(|text| !text.is_empty()) {
                    Some(text) => zones.index(area_code(probe.format, &text)),
                    None => {
                        rejects.add(line, "no zone");
                        continue;
                    }
                }
            }
        };
        let text = field(columns.time).unwrap_or_default();
        let text = match columns.clock.and_then(field) {
            Some(clock) => format!("{text} {clock}"),
            None => text,
        };
        let stamp = match columns.form {
            StampForm::Usual => Stamp::parse_in(&text, columns.time_zone),
            StampForm::Year => Stamp::parse_year(&text),
            StampForm::Dotted => generation::dotted(&text, columns.time_zone),
            StampForm::MarketTimeUnit => generation::market_time_unit(&text),
            StampForm::LocalHour => eia::local_hour(&text).map(Stamp::At),
        };
        let Some(mut stamp) = stamp else {
            rejects.add(line, "no time that can be read");
            continue;
        };
        let has_offset = Stamp::has_offset(&text);
        if probe.format == Format::Generic && !columns.has_clock && clocks.differ(has_offset, &text) {
            rejects.add(
                line,
                if has_offset {
                    "an offset, where lines before have none"
                } else {
                    "no offset, where lines before have one"
                },
            );
            continue;
        }
        if let (Stamp::At(at_ms), true) = (stamp, columns.time_zone != Tz::UTC && !has_offset) {
            let before_ms = before_ms.entry(zone).or_insert(i64::MIN);
            *before_ms = later_of_twice(at_ms, *before_ms, columns.time_zone);
            stamp = Stamp::At(*before_ms);
        }
        if let Values::ByZone(columns_of_zones) = &columns.values {
            for (column, name) in columns_of_zones {
                let value = field(*column).unwrap_or_default();
                if is_blank(&value) {
                    continue;
                }
                match intensity(&value, probe.delimiter, columns.unit) {
                    Ok(grams_per_kwh) => {
                        let zone = zones.index(name);
                        rows.push(Row { line, zone, stamp, grams_per_kwh, estimated: false });
                    }
                    Err(reason) => rejects.add(line, reason),
                }
            }
            continue;
        }
        if let Values::Generation(plants) = &columns.values {
            let has_dots = probe.format == Format::SmardGeneration;
            let mut is_incomplete = false;
            let amounts: Vec<(Plant, f64)> = plants
                .iter()
                .filter_map(|(index, plant)| {
                    let amount = generation::amount(&field(*index).unwrap_or_default(), has_dots);
                    is_incomplete |= amount.is_err();
                    Some((*plant, amount.ok()??))
                })
                .collect();
            match generation::intensity(amounts.into_iter(), scope) {
                Some(grams_per_kwh) => {
                    rows.push(Row { line, zone, stamp, grams_per_kwh, estimated: is_incomplete });
                }
                None => rejects.add(line, "no generation"),
            }
            continue;
        }
        let value = field(column).unwrap_or_default();
        let forecast = columns.forecast.and_then(field).filter(|_| is_blank(&value));
        // A grid of quarter hours with a value every half hour, and times to come.
        if probe.format == Format::Eco2mix && is_blank(&value) {
            continue;
        }
        let grams_per_kwh =
            match intensity(forecast.as_ref().unwrap_or(&value), probe.delimiter, columns.unit) {
                Ok(grams_per_kwh) => grams_per_kwh,
                Err(reason) => {
                    rejects.add(line, reason);
                    continue;
                }
            };
        let said = columns.estimated.and_then(field).is_some_and(|text| {
            text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("yes") || text == "1"
        });
        let estimated = said || forecast.is_some();
        rows.push(Row { line, zone, stamp, grams_per_kwh, estimated });
    }
    Ok((rows, zones.zones))
}

/// Whether stamps carry offsets: a file in which some do and some do not has hours in two clocks, and nobody knows which.
#[derive(Default)]
struct Clocks {
    first: Option<bool>,
}

impl Clocks {
    /// True if this stamp is not of the first one's kind.
    fn differ(&mut self, has_offset: bool, text: &str) -> bool {
        // A date alone has no clock.
        let has_clock = text.contains(':') || has_offset;
        has_clock && *self.first.get_or_insert(has_offset) != has_offset
    }
}

/// ENTSO-E names an area and its code: `Germany (DE)`.
fn area_code(format: Format, text: &str) -> &str {
    let code = text.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    code.filter(|_| format == Format::EntsoeGeneration).unwrap_or(text)
}

/// True for what files write where they have no value.
fn is_blank(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["", "-", "n/e", "n/a", "na", "nd", "null", "nan"].contains(&lower.as_str())
}

/// A checked intensity in gCO2e/kWh.
fn intensity(text: &str, delimiter: u8, unit: Unit) -> Result<f64, &'static str> {
    let text = text.trim();
    if is_blank(text) {
        return Err("no intensity");
    }
    // Where the semicolon parts the fields, the comma is the decimal point.
    let decimal_comma = delimiter != b',' && !text.contains('.');
    let number = if decimal_comma { text.replacen(',', ".", 1).parse::<f64>() } else { text.parse::<f64>() };
    number.map_err(|_| "intensity is not a number").and_then(|number| checked(number * unit.grams_per_kwh()))
}

/// An intensity that a grid can have, in gCO2e/kWh.
fn checked(grams_per_kwh: f64) -> Result<f64, &'static str> {
    match grams_per_kwh {
        value if !value.is_finite() => Err("intensity is not a number"),
        value if value < 0.0 => Err("intensity is negative"),
        value if value > MAX_GRAMS_PER_KWH => Err("intensity is over 3000 g/kWh"),
        value => Ok(value),
    }
}

/// The known zone of that name, or a zone of the user's own.
fn canonical(text: &str, names: &ZoneNames) -> Zone {
    names.find(text).unwrap_or_else(|| Zone::from_id(text.trim()))
}

/// The step of a file whose every stamp is a year, or a month.
fn whole_periods(rows: &[Row]) -> Option<Step> {
    let all = |is: fn(&Stamp) -> bool| !rows.is_empty() && rows.iter().all(|row| is(&row.stamp));
    if all(|stamp| matches!(stamp, Stamp::Year(_))) {
        return Some(Step::Yearly);
    }
    all(|stamp| matches!(stamp, Stamp::Month(..))).then_some(Step::Monthly)
}

fn points_by_zone(rows: &[Row], zones: &[Zone], rejects: &mut Rejects) -> BTreeMap<Zone, Vec<Point>> {
    let order = order_of(rows.iter().map(|row| row.stamp));
    let mut points: BTreeMap<Zone, Vec<Point>> = BTreeMap::new();
    for row in rows {
        let Some(at_ms) = row.stamp.resolve(order).filter(|at_ms| utc(*at_ms).is_some()) else {
            rejects.add(row.line, "no such day");
            continue;
        };
        if let Some(zone) = zones.get(row.zone) {
            let point = Point { at_ms, grams_per_kwh: row.grams_per_kwh, estimated: row.estimated };
            points.entry(zone.clone()).or_default().push(point);
        }
    }
    points
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

fn utc(at_ms: i64) -> Option<DateTime<Utc>> {
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
