//! From an instant in a zone to the best factor of one basis.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Datelike, Timelike};

use super::import::{self, Imported, Mean, Probe};
use super::series::Series;
use super::tables::{self, Annual, SHIPPED_ATTRIBUTION, Shape};
use super::zone::ZoneNames;
use super::{Basis, CarbonError, InputSummary, SkippedFile, Zone};
use crate::time::HOUR_MS;
use crate::units::GramsPerKwh;

/// How a factor was come by, best first (`docs/accounting.md`, G2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// The value of the hour, or of a shorter step.
    Hourly,
    /// The value of the month, spread over its hours by the zone's shape.
    MonthlyProfile,
    /// The value of the month.
    Monthly,
    /// The value of a year, spread over months and hours by the zone's shape.
    AnnualProfile,
    /// The value of a year.
    Annual,
    /// The world's mean.
    World,
}

impl Tier {
    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::MonthlyProfile => "monthly-profile",
            Self::Monthly => "monthly",
            Self::AnnualProfile => "annual-profile",
            Self::Annual => "annual",
            Self::World => "world",
        }
    }

    /// All of them, best first.
    pub const ALL: [Self; 6] =
        [Self::Hourly, Self::MonthlyProfile, Self::Monthly, Self::AnnualProfile, Self::Annual, Self::World];

    /// True where one hour of a day differs from another.
    pub const fn has_hours(self) -> bool {
        matches!(self, Self::Hourly | Self::MonthlyProfile | Self::AnnualProfile)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a kilowatt-hour emits, and on what authority.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// In gCO2e/kWh.
    pub intensity: GramsPerKwh,
    /// How it was come by.
    pub tier: Tier,
    /// True where the provider marks it as estimated, where a shape spread it,
    /// and where it is of another year or place than asked for.
    pub estimated: bool,
    /// What it counts.
    pub basis: Basis,
    /// Whose figure it is.
    pub source: Arc<str>,
    /// Of which edition, and of which year where it is a year's.
    pub release: Arc<str>,
}

/// The source and release of a user's file.
#[derive(Clone, Debug)]
struct Origin {
    source: Arc<str>,
    release: Arc<str>,
}

/// A month's or a year's value from a user's file.
#[derive(Clone, Debug)]
struct Figure {
    grams_per_kwh: f64,
    estimated: bool,
    source: Arc<str>,
    release: Arc<str>,
    /// The release to print where a shape is laid over it.
    profile_release: Arc<str>,
}

/// All that is known of one zone.
#[derive(Clone, Debug, Default)]
struct ZoneFactors {
    fine: Series,
    monthly: BTreeMap<(i32, u32), Figure>,
    annual: BTreeMap<i32, Figure>,
    shape: Option<Shape>,
}

/// Intensities of one basis: the shipped tables and the user's files.
#[derive(Clone, Debug)]
pub struct Intensity {
    basis: Basis,
    names: ZoneNames,
    zones: BTreeMap<Zone, ZoneFactors>,
    world: Option<Figure>,
    origins: Vec<Origin>,
    inputs: Vec<InputSummary>,
    skipped: Vec<SkippedFile>,
    bucket_ms: i64,
    shipped_used: bool,
}

impl Intensity {
    /// The shipped tables alone: life-cycle, average, consumption.
    ///
    /// # Errors
    ///
    /// [`CarbonError::Table`] if the program was built from a broken table.
    pub fn shipped() -> Result<Self, CarbonError> {
        Self::tables(Basis::SHIPPED)
    }

    /// The user's files, and the shipped tables under them where those are of
    /// the same basis.
    ///
    /// A directory stands for every `*.csv` and `*.json` in it, in the order of their
    /// names; where two files give a value for the same instant, the later
    /// holds. `default_zone` is the zone of files that name none. Without
    /// `basis` the files' own is taken: that of the first that has only one,
    /// or life-cycle, average, consumption if each leaves the choice.
    ///
    /// # Errors
    ///
    /// Any [`CarbonError`] of a file named by itself; one found in a directory
    /// and not recognised is listed under [`Self::skipped`] instead. Two files
    /// of different basis are refused.
    pub fn with_files(
        files: &[PathBuf],
        default_zone: Option<&Zone>,
        basis: Option<Basis>,
    ) -> Result<Self, CarbonError> {
        let (probes, skipped) = probe_all(files)?;
        let basis = settle_basis(&probes, basis)?;
        let mut intensity = Self::tables(basis)?;
        intensity.skipped = skipped;
        if let Some(zone) = default_zone {
            intensity.names.add_zone(zone, "");
        }
        for (file, probe) in probes.iter().enumerate() {
            let imported = import::read(probe, file, basis, default_zone, &intensity.names)?;
            intensity.add(probe, imported);
        }
        let buckets = intensity.zones.values().map(|zone| zone.fine.bucket_ms());
        intensity.bucket_ms = buckets.min().unwrap_or(HOUR_MS);
        Ok(intensity)
    }

    /// The shipped tables under `basis`: names of zones in any case, figures
    /// only where they are of it.
    fn tables(basis: Basis) -> Result<Self, CarbonError> {
        let shipped = tables::shipped()?;
        let mut intensity = Self {
            basis,
            names: shipped.names,
            zones: BTreeMap::new(),
            world: None,
            origins: Vec::new(),
            inputs: Vec::new(),
            skipped: Vec::new(),
            bucket_ms: HOUR_MS,
            shipped_used: basis == Basis::SHIPPED,
        };
        if intensity.shipped_used {
            for (zone, years) in shipped.annual {
                let annual = years.into_iter().map(|annual| (annual.year, Figure::shipped(annual))).collect();
                intensity.zones.insert(zone, ZoneFactors { annual, ..ZoneFactors::default() });
            }
            for (zone, shape) in shipped.shapes {
                intensity.zones.entry(zone).or_default().shape = Some(shape);
            }
            intensity.world = Some(Figure::shipped(shipped.world));
        }
        Ok(intensity)
    }

    fn add(&mut self, probe: &Probe, mut imported: Imported) {
        self.origins.push(Origin { source: Arc::clone(&probe.source), release: Arc::clone(&probe.release) });
        let figure = |mean: Mean| Figure {
            grams_per_kwh: mean.grams_per_kwh,
            estimated: mean.estimated,
            source: Arc::clone(&probe.source),
            release: Arc::clone(&probe.release),
            profile_release: with_shape(&probe.release),
        };
        for summary in &mut imported.summary.zones {
            self.names.add_zone(&summary.zone, "");
            let factors = self.zones.entry(summary.zone.clone()).or_default();
            if let Some(values) = imported.fine.remove(&summary.zone) {
                let overlaps = factors.fine.lay_over(values);
                summary.duplicates = summary.duplicates.saturating_add(overlaps.duplicates);
                summary.conflicts = summary.conflicts.saturating_add(overlaps.conflicts);
            }
            for (month, value) in imported.monthly.remove(&summary.zone).unwrap_or_default() {
                factors.monthly.insert(month, figure(value));
            }
            for (year, value) in imported.yearly.remove(&summary.zone).unwrap_or_default() {
                factors.annual.insert(year, figure(value));
            }
        }
        self.inputs.push(imported.summary);
    }

    /// The zone of that id or name: `DE`, `DEU`, `Germany`, `germany`.
    ///
    /// # Errors
    ///
    /// [`CarbonError::UnknownZone`] with the nearest names.
    pub fn zone(&self, text: &str) -> Result<Zone, CarbonError> {
        self.names.resolve(text)
    }

    /// The factor of the step that holds `at_ms`, by the best tier there is;
    /// `None` where nothing of this basis is known of the zone.
    pub fn factor_at(&self, zone: &Zone, at_ms: i64) -> Option<Factor> {
        let known = self.zones.get(zone);
        known.and_then(|factors| self.own_factor(factors, at_ms)).or_else(|| self.world_factor(at_ms))
    }

    fn own_factor(&self, factors: &ZoneFactors, at_ms: i64) -> Option<Factor> {
        if let Some(value) = factors.fine.at(at_ms)
            && let Some(origin) = self.origins.get(value.file)
        {
            return Some(Factor {
                intensity: GramsPerKwh(value.grams_per_kwh),
                tier: Tier::Hourly,
                estimated: value.estimated,
                basis: self.basis,
                source: Arc::clone(&origin.source),
                release: Arc::clone(&origin.release),
            });
        }
        let at = DateTime::from_timestamp_millis(at_ms)?;
        let (month, hour) = (at.month0() as usize, at.hour() as usize);
        if let Some(figure) = factors.monthly.get(&(at.year(), at.month())) {
            let shape = factors.shape.as_ref().and_then(|shape| shape.of_month(month, hour));
            return Some(match shape {
                Some(shape) => self.shaped(figure, shape, Tier::MonthlyProfile),
                None => self.flat(figure, Tier::Monthly, false),
            });
        }
        let of_year = factors.annual.get(&at.year());
        let other_year = of_year.is_none();
        let figure = of_year.or_else(|| factors.annual.last_key_value().map(|(_, newest)| newest))?;
        let shape = factors.shape.as_ref().and_then(|shape| shape.of_year(month, hour));
        Some(match shape {
            Some(shape) => self.shaped(figure, shape, Tier::AnnualProfile),
            None => self.flat(figure, Tier::Annual, other_year),
        })
    }

    fn world_factor(&self, at_ms: i64) -> Option<Factor> {
        let figure = self.world.as_ref()?;
        DateTime::from_timestamp_millis(at_ms)?;
        Some(self.flat(figure, Tier::World, true))
    }

    fn flat(&self, figure: &Figure, tier: Tier, stand_in: bool) -> Factor {
        Factor {
            intensity: GramsPerKwh(figure.grams_per_kwh),
            tier,
            estimated: figure.estimated || stand_in,
            basis: self.basis,
            source: Arc::clone(&figure.source),
            release: Arc::clone(&figure.release),
        }
    }

    fn shaped(&self, figure: &Figure, shape: f64, tier: Tier) -> Factor {
        Factor {
            intensity: GramsPerKwh(figure.grams_per_kwh * shape),
            tier,
            estimated: true,
            basis: self.basis,
            source: Arc::clone(&figure.source),
            release: Arc::clone(&figure.profile_release),
        }
    }

    /// The longest bucket, counted from the epoch, that no step of the user's
    /// files cuts: an hour, or less where a file is finer or its hours start
    /// off the hour. Buckets of this length see one factor each.
    pub fn finest_step_ms(&self) -> i64 {
        self.bucket_ms
    }

    /// What each of the user's files holds.
    pub fn inputs(&self) -> &[InputSummary] {
        &self.inputs
    }

    /// Files of the given directories that are no intensity files.
    pub fn skipped(&self) -> &[SkippedFile] {
        &self.skipped
    }

    /// What all factors count.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Lines to print in a report that uses these factors, each once.
    pub fn attributions(&self) -> Vec<Arc<str>> {
        let own = self.inputs.iter().map(|input| Arc::clone(&input.attribution));
        let mut lines: Vec<Arc<str>> = Vec::new();
        for line in own.chain(self.shipped_used.then(|| Arc::from(SHIPPED_ATTRIBUTION))) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }
}

impl Figure {
    fn shipped(annual: Annual) -> Self {
        Self {
            grams_per_kwh: annual.grams_per_kwh,
            estimated: false,
            source: annual.source,
            profile_release: with_shape(&annual.release),
            release: annual.release,
        }
    }
}

fn with_shape(release: &str) -> Arc<str> {
    Arc::from(format!("{release}; shape of 2021 to 2024, release 2025-01-27"))
}

/// The heads of all files, in order, and the files of directories that have none.
fn probe_all(files: &[PathBuf]) -> Result<(Vec<Probe>, Vec<SkippedFile>), CarbonError> {
    let (mut probes, mut skipped) = (Vec::new(), Vec::new());
    for path in files {
        if !path.is_dir() {
            probes.push(import::probe(path)?);
            continue;
        }
        let mut found = 0_usize;
        for path in intensity_files(path)? {
            match import::probe(&path) {
                Ok(probe) => {
                    probes.push(probe);
                    found = found.saturating_add(1);
                }
                Err(error) => skipped.push(SkippedFile { path, reason: error.to_string() }),
            }
        }
        if found == 0 {
            return Err(CarbonError::NoFiles { path: path.clone() });
        }
    }
    Ok((probes, skipped))
}

/// Every `*.csv` and `*.json` of a directory, by name.
fn intensity_files(directory: &Path) -> Result<Vec<PathBuf>, CarbonError> {
    let failed = |source| CarbonError::Read { path: directory.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_one = |extension: &std::ffi::OsStr| {
            extension.eq_ignore_ascii_case("csv") || extension.eq_ignore_ascii_case("json")
        };
        if path.extension().is_some_and(is_one) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The basis of the total: what was asked for, or what the files have.
fn settle_basis(probes: &[Probe], wanted: Option<Basis>) -> Result<Basis, CarbonError> {
    // Generation serves either scope: what was asked for decides.
    let basis_of = |probe: &Probe| {
        let only = probe.only_basis()?;
        Some(wanted.filter(|wanted| probe.column(*wanted).is_ok()).unwrap_or(only))
    };
    let mut with_one_basis = probes.iter().filter_map(|probe| Some((probe, basis_of(probe)?)));
    let Some((first, first_basis)) = with_one_basis.next() else {
        return Ok(wanted.unwrap_or(Basis::SHIPPED));
    };
    if let Some((second, second_basis)) = with_one_basis.find(|(_, basis)| *basis != first_basis) {
        return Err(CarbonError::MixedBasis {
            first: first.path.clone(),
            first_basis,
            second: second.path.clone(),
            second_basis,
        });
    }
    match wanted {
        Some(wanted) if wanted != first_basis => {
            Err(CarbonError::WrongBasis { path: first.path.clone(), basis: first_basis, wanted })
        }
        _ => Ok(first_basis),
    }
}
