//! From files to the store.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Datelike as _};

use super::row::{Key, Period, Row};
use super::summary::zone_summary;
use super::{Change, ImportedZone, Store};
use crate::carbon::import::{self, CEEMS_INTENSITY, Hints, Imported, IntensityGauge, Mean};
use crate::carbon::series::Value;
use crate::carbon::{Basis, CarbonError, Format, InputSummary, SkippedFile, Step, Zone, tables};
use crate::time::{HOUR_MS, Window};

/// What an import did.
#[derive(Clone, Debug, Default)]
pub struct ImportSummary {
    /// Each file, and each of its zones with what became of its figures.
    pub files: Vec<(InputSummary, Vec<ImportedZone>)>,
    /// Files of directories that are no intensity files.
    pub skipped: Vec<SkippedFile>,
    /// Files of the store that were written.
    pub written: Vec<PathBuf>,
}

impl Store {
    /// Takes the figures of `files` in; a directory stands for every file in it that is read.
    ///
    /// Of a file that has several bases, all are taken.
    ///
    /// # Errors
    ///
    /// Any [`CarbonError`] of a file, and [`CarbonError::NoBasis`] for a table that does not say what it counts and of which `hints` do
    /// not either; nothing is written before all are read.
    pub fn import(&self, files: &[PathBuf], hints: &Hints) -> Result<ImportSummary, CarbonError> {
        let _held = self.hold()?;
        let (probes, skipped) = import::probe_all(files, hints)?;
        let names = tables::shipped()?.names;
        let mut summary = ImportSummary { skipped, ..ImportSummary::default() };
        let mut pending = Pending::new(self);
        for probe in &probes {
            if probe.format == Format::Generic && probe.declared.is_none() {
                return Err(CarbonError::NoBasis { path: probe.path.clone() });
            }
            let mut empty = None;
            let before = summary.files.len();
            for basis in probe.bases() {
                let mut imported = match import::read(probe, 0, basis, hints.zone.as_ref(), &names) {
                    // A column may be there and empty throughout; the other basis is not to blame.
                    Err(error @ CarbonError::NoRows { .. }) => {
                        empty = Some(error);
                        continue;
                    }
                    read => read?,
                };
                let of_file = OfFile {
                    basis,
                    source: &probe.source,
                    release: &probe.release,
                    attribution: &probe.attribution,
                };
                let mut zones = Vec::new();
                for found in &imported.summary.zones.clone() {
                    let rows = rows_of(&mut imported, &of_file, &found.zone, found.step);
                    let change = pending.take(&found.zone, rows)?;
                    zones.push(ImportedZone { zone: found.zone.clone(), basis, step: found.step, change });
                }
                summary.files.push((imported.summary, zones));
            }
            if let Some(empty) = empty.filter(|_| summary.files.len() == before) {
                return Err(empty);
            }
        }
        summary.written = pending.write()?;
        Ok(summary)
    }

    /// Takes in what CEEMS recorded in `snapshot`. Of several series of one provider and country the longest is taken; what names no
    /// place is left out and listed under [`ImportSummary::skipped`].
    ///
    /// # Errors
    ///
    /// Where the store cannot be read or written.
    pub fn import_gauges(
        &self,
        snapshot: &Path,
        gauges: Vec<IntensityGauge>,
    ) -> Result<ImportSummary, CarbonError> {
        let _held = self.hold()?;
        let names = tables::shipped()?.names;
        let mut summary = ImportSummary::default();
        let mut pending = Pending::new(self);
        let mut longest: BTreeMap<(String, String), IntensityGauge> = BTreeMap::new();
        for gauge in gauges {
            let key = (gauge.provider.clone(), gauge.country_code.clone());
            match longest.get(&key) {
                Some(known) if known.samples.len() >= gauge.samples.len() => {}
                _ => drop(longest.insert(key, gauge)),
            }
        }
        for ((name, country), mut gauge) in longest {
            let path = snapshot.to_path_buf();
            let mut leave_out =
                |reason: String| summary.skipped.push(SkippedFile { path: path.clone(), reason });
            let series = format!("`{CEEMS_INTENSITY}{{provider=\"{name}\",country_code=\"{country}\"}}`");
            let Some(provider) = import::gauge_provider(&name) else {
                leave_out(format!("{series}: no provider whose figures are of a place"));
                continue;
            };
            let Some(zone) = names.find(&country) else {
                leave_out(format!("{series}: no known country"));
                continue;
            };
            let all = gauge.samples.len();
            gauge.samples.retain(|(_, grams)| (0.0..=import::MAX_GRAMS_PER_KWH).contains(grams));
            let rejected = (all - gauge.samples.len()) as u64;
            let release: Arc<str> = Arc::from("as recorded by CEEMS");
            let of_file = OfFile {
                basis: provider.basis,
                source: &provider.source,
                release: &release,
                attribution: &provider.attribution,
            };
            let rows: Vec<Row> = if provider.is_yearly {
                years_of(&gauge.samples)
                    .into_iter()
                    .map(|(year, grams)| of_file.row(year, grams, true))
                    .collect()
            } else {
                let hours = import::hours_of_gauge(&gauge.samples);
                hours.into_iter().map(|value| of_file.value(value)).collect()
            };
            let Some(found) = zone_summary(&zone, &rows) else {
                leave_out(format!("{series}: not one whole hour"));
                continue;
            };
            let step = found.step;
            let change = pending.take(&zone, rows)?;
            let input = InputSummary {
                path,
                format: Format::CeemsSeries,
                basis: provider.basis,
                basis_assumed: false,
                zones: vec![found],
                rejected,
                rejected_lines: Vec::new(),
                source: provider.source,
                attribution: provider.attribution,
            };
            let imported = ImportedZone { zone, basis: provider.basis, step, change };
            summary.files.push((input, vec![imported]));
        }
        summary.written = pending.write()?;
        Ok(summary)
    }
}

/// Puts a figure among the others. Of one basis and source there is one figure for each instant: one of another step goes, unless the new
/// one is an estimate and it is measured.
fn lay(rows: &mut BTreeMap<Key, Row>, row: Row) -> (Change, bool) {
    let mut change = Change::default();
    if let Some(known) = rows.get_mut(&row.key())
        && (known.length_ms, known.grams_per_kwh, known.estimated)
            == (row.length_ms, row.grams_per_kwh, row.estimated)
    {
        // The edition that says so last is the one that is named.
        let is_newer = known.release != row.release;
        change.unchanged = 1;
        *known = row;
        return (change, is_newer);
    }
    let under = covered(rows, &row);
    if row.estimated && under.iter().any(|key| rows.get(key).is_some_and(|known| !known.estimated)) {
        change.kept = 1;
        return (change, false);
    }
    for key in &under {
        rows.remove(key);
    }
    if under.is_empty() {
        change.added = 1;
    } else {
        change.revised = 1;
    }
    rows.insert(row.key(), row);
    (change, true)
}

/// The figures of the same basis, source and period that lie in part under `row`.
fn covered(rows: &BTreeMap<Key, Row>, row: &Row) -> Vec<Key> {
    // Months and years are told by their start.
    if row.period() != Period::Fine {
        return rows.contains_key(&row.key()).then(|| row.key()).into_iter().collect();
    }
    let end_ms = row.start_ms.saturating_add(row.length_ms);
    // No fine step is longer than an hour.
    let from = row.key().at(row.start_ms.saturating_sub(HOUR_MS));
    let near = rows.range(from..row.key().at(end_ms));
    let reaches = |known: &Row| known.start_ms.saturating_add(known.length_ms) > row.start_ms;
    near.filter(|(_, known)| reaches(known)).map(|(key, _)| key.clone()).collect()
}

/// Zones and years that an import touches, as they will be.
struct Pending<'s> {
    store: &'s Store,
    years: BTreeMap<(Zone, i32), (BTreeMap<Key, Row>, bool)>,
}

impl<'s> Pending<'s> {
    fn new(store: &'s Store) -> Self {
        Self { store, years: BTreeMap::new() }
    }

    fn take(&mut self, zone: &Zone, rows: Vec<Row>) -> Result<Change, CarbonError> {
        let mut change = Change::default();
        for row in rows {
            let Some(year) = row.year() else { continue };
            let (rows, is_changed) = match self.years.entry((zone.clone(), year)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let rows = self.store.read_file(zone, year)?;
                    new.insert((rows.into_iter().map(|row| (row.key(), row)).collect(), false))
                }
            };
            let (made, is_new) = lay(rows, row);
            *is_changed |= is_new;
            change.add(&made);
        }
        Ok(change)
    }

    fn write(self) -> Result<Vec<PathBuf>, CarbonError> {
        let mut written = Vec::new();
        for ((zone, year), (rows, is_changed)) in self.years {
            if is_changed {
                let rows: Vec<Row> = rows.into_values().collect();
                written.push(self.store.write_file(&zone, year, &rows)?);
            }
        }
        Ok(written)
    }
}

/// What all rows of a file have in common.
struct OfFile<'f> {
    basis: Basis,
    source: &'f Arc<str>,
    release: &'f Arc<str>,
    attribution: &'f Arc<str>,
}

impl OfFile<'_> {
    fn row(&self, window: Window, grams_per_kwh: f64, estimated: bool) -> Row {
        Row {
            basis: self.basis,
            source: Arc::clone(self.source),
            start_ms: window.start_ms,
            // To the second: no step is finer.
            length_ms: (window.length_ms() / 1000).max(1).saturating_mul(1000),
            grams_per_kwh,
            estimated,
            release: Arc::clone(self.release),
            attribution: Arc::clone(self.attribution),
        }
    }

    fn value(&self, value: Value) -> Row {
        let end_ms = value.end_ms.min(value.start_ms.saturating_add(HOUR_MS));
        self.row(Window::new(value.start_ms, end_ms), value.grams_per_kwh, value.estimated)
    }
}

/// The figures that a file has of one zone in normal form.
fn rows_of(imported: &mut Imported, of_file: &OfFile<'_>, zone: &Zone, step: Step) -> Vec<Row> {
    let of_mean =
        |window: Option<Window>, mean: Mean| Some(of_file.row(window?, mean.grams_per_kwh, mean.estimated));
    match step {
        Step::Fine { .. } => {
            let values = imported.fine.remove(zone).unwrap_or_default();
            values.into_iter().map(|value| of_file.value(value)).collect()
        }
        Step::Monthly => {
            let months = imported.monthly.remove(zone).unwrap_or_default();
            months
                .into_iter()
                .filter_map(|((year, month), mean)| of_mean(import::month(year, month), mean))
                .collect()
        }
        Step::Yearly => {
            let years = imported.yearly.remove(zone).unwrap_or_default();
            years.into_iter().filter_map(|(year, mean)| of_mean(import::year(year), mean)).collect()
        }
    }
}

/// What a provider of yearly figures said last in each year.
fn years_of(samples: &[(i64, f64)]) -> Vec<(Window, f64)> {
    let mut years: BTreeMap<i32, f64> = BTreeMap::new();
    for (at_ms, grams_per_kwh) in samples {
        if let Some(at) = DateTime::from_timestamp_millis(*at_ms) {
            years.insert(at.year(), *grams_per_kwh);
        }
    }
    years.into_iter().filter_map(|(year, grams)| Some((import::year(year)?, grams))).collect()
}
