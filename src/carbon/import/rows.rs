//! The rows of a file, checked and put in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono_tz::Tz;
use csv::ByteRecord;

use super::eia;
use super::generation::{self, Plant};
use super::hints::Unit;
use super::json::{self, Entry};
use super::mix;
use super::probe::{Probe, StampForm, Values};
use super::records::Records;
use super::stamp::{Stamp, later_of_twice, on_clock, order_of};
use super::steps::{Imported, Point, utc};
use crate::carbon::zone::ZoneNames;
use crate::carbon::{Basis, CarbonError, Format, InputSummary, RejectedLine, Scope, Step, Zone};

/// More than any grid emits: a unit error (lb/MWh, t/MWh) or a fault.
pub(in crate::carbon) const MAX_GRAMS_PER_KWH: f64 = 3000.0;

/// One usable row.
struct Row {
    line: u64,
    zone: usize,
    stamp: Stamp,
    /// True if the stamp is on the file's clock.
    is_local: bool,
    grams_per_kwh: f64,
    estimated: bool,
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
    let points = points_by_zone(&rows, &zones, probe.columns.time_zone, &mut rejects);
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
            (Some(zone), false) if !zone.trim().is_empty() => zones.index(zone),
            (_, false) => {
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
                let estimated = entry.estimated;
                rows.push(Row { line, zone, stamp, is_local: false, grams_per_kwh, estimated });
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
        let Some(stamp) = stamp else {
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
        let is_local = columns.time_zone != Tz::UTC && !has_offset;
        if let Values::ByZone(columns_of_zones) = &columns.values {
            for (column, name) in columns_of_zones {
                let value = field(*column).unwrap_or_default();
                if is_blank(&value) {
                    continue;
                }
                match intensity(&value, probe.delimiter, columns.unit) {
                    Ok(grams_per_kwh) => {
                        let zone = zones.index(name);
                        rows.push(Row { line, zone, stamp, is_local, grams_per_kwh, estimated: false });
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
                    rows.push(Row { line, zone, stamp, is_local, grams_per_kwh, estimated: is_incomplete });
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
        rows.push(Row { line, zone, stamp, is_local, grams_per_kwh, estimated });
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

/// Every zone's figures, in the order of the file; `clock` is what stamps without an offset are on.
fn points_by_zone(
    rows: &[Row],
    zones: &[Zone],
    clock: Tz,
    rejects: &mut Rejects,
) -> BTreeMap<Zone, Vec<Point>> {
    let order = order_of(rows.iter().map(|row| row.stamp));
    let mut points: BTreeMap<Zone, Vec<(Point, bool)>> = BTreeMap::new();
    for row in rows {
        let at_ms = match row.stamp {
            Stamp::Slashed { .. } if row.is_local => {
                row.stamp.resolve(order).and_then(|shown_ms| on_clock(shown_ms, clock))
            }
            stamp => stamp.resolve(order),
        };
        let Some(at_ms) = at_ms.filter(|at_ms| utc(*at_ms).is_some()) else {
            rejects.add(row.line, "no such day");
            continue;
        };
        if let Some(zone) = zones.get(row.zone) {
            let point = Point { at_ms, grams_per_kwh: row.grams_per_kwh, estimated: row.estimated };
            points.entry(zone.clone()).or_default().push((point, row.is_local));
        }
    }
    points.into_iter().map(|(zone, points)| (zone, told_apart(points, clock))).collect()
}

/// Of the hour that a clock shows twice, the second is told by the order of the rows, whichever way they go.
fn told_apart(mut points: Vec<(Point, bool)>, clock: Tz) -> Vec<Point> {
    let is_falling =
        points.first().zip(points.last()).is_some_and(|((first, _), (last, _))| last.at_ms < first.at_ms);
    if is_falling {
        points.reverse();
    }
    let mut before_ms = i64::MIN;
    let mut told: Vec<Point> = Vec::with_capacity(points.len());
    for (mut point, is_local) in points {
        if is_local {
            point.at_ms = later_of_twice(point.at_ms, before_ms, clock);
            before_ms = point.at_ms;
        }
        told.push(point);
    }
    if is_falling {
        told.reverse();
    }
    told
}
