//! From an instant in a zone to the best factor of one basis.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Datelike, Timelike};

use super::import::{self, Hints, Imported, Mean, Probe};
use super::series::{Series, Value};
use super::store::{Period, SourceFigures, Store, rank, summary_of};
use super::stored::{OfSource, Stored, settle_basis};
use super::tables::{self, Annual, SHIPPED_ATTRIBUTION, Shape};
use super::zone::ZoneNames;
use super::{Basis, CarbonError, Format, InputSummary, SkippedFile, Zone};
use crate::time::{HOUR_MS, Window, buckets};
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

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == name)
    }

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

/// Where intensities are to come from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// Files, directories of files, and stores.
    pub files: &'a [PathBuf],
    /// Zone of files that name none.
    pub default_zone: Option<&'a Zone>,
    /// What all factors are to count; `None` for what the files have.
    pub basis: Option<Basis>,
    /// The zones, by any of their names, that are read from stores; `None` for all.
    pub zones: Option<&'a [String]>,
    /// Sources of stores that go before [`super::PREFERENCE`], best first.
    pub preference: &'a [String],
    /// True to leave out, and not to refuse, what has nothing of the basis.
    pub only_fitting: bool,
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

impl ZoneFactors {
    fn is_empty(&self) -> bool {
        self.fine.is_empty() && self.monthly.is_empty() && self.annual.is_empty()
    }
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
        Self::open(&Sources { files, default_zone, basis, ..Sources::default() })
    }

    /// What `sources` have, and the shipped tables under it where those are of the same basis.
    ///
    /// Files that are named go before stores. Of two sources of a store the one that is preferred holds, and the
    /// other only where it has nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::with_files`], and [`CarbonError::Store`] for a store that cannot be read.
    pub fn open(sources: &Sources<'_>) -> Result<Self, CarbonError> {
        let (mut stores, mut files) = (Vec::new(), Vec::new());
        for path in sources.files {
            let place = if Store::is_one(path)? { &mut stores } else { &mut files };
            place.push(path.clone());
        }
        let (mut probes, skipped) = import::probe_all(&files, &Hints::default())?;
        let mut stored = Vec::new();
        if !stores.is_empty() {
            let names = tables::shipped()?.names;
            for directory in &stores {
                stored.push(Stored::read(directory, sources, &names)?);
            }
        }
        if let Some(basis) = sources.basis.filter(|_| sources.only_fitting) {
            probes.retain(|probe| probe.column(basis).is_ok());
            stored.retain(|stored| stored.has(basis));
        }
        let basis = settle_basis(&probes, &stored, sources.basis)?;
        let mut intensity = Self::tables(basis)?;
        intensity.skipped = skipped;
        if let Some(zone) = sources.default_zone {
            intensity.names.add_zone(zone, "");
        }
        for stored in stored {
            intensity.add_stored(stored, sources.preference);
        }
        for probe in &probes {
            let file = intensity.origins.len();
            let imported = import::read(probe, file, basis, sources.default_zone, &intensity.names)?;
            intensity.add(probe, imported);
        }
        intensity.bucket_ms = Series::common_bucket_ms(intensity.zones.values().map(|zone| &zone.fine));
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

    /// Lays a store's figures under what is there.
    fn add_stored(&mut self, stored: Stored, preference: &[String]) {
        for (zone, mut of_sources) in stored.of_basis(self.basis) {
            self.names.add_zone(&zone, "");
            of_sources.sort_by_key(|of_source| rank(&of_source.figures.source, preference));
            let factors = self.zones.entry(zone.clone()).or_default();
            let mut fine: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
            let mut order: Vec<Arc<str>> = Vec::new();
            let (mut months, mut years) = (BTreeMap::new(), BTreeMap::new());
            for OfSource { path, figures } in of_sources {
                let SourceFigures { source, attribution, rows } = figures;
                let mut of_release: BTreeMap<Arc<str>, usize> = BTreeMap::new();
                self.inputs.extend(summary_of(&path, &zone, self.basis, (&source, &attribution), &rows));
                if !order.contains(&source) {
                    order.push(Arc::clone(&source));
                }
                for (window, period, grams_per_kwh, estimated, release) in rows {
                    let origins = &mut self.origins;
                    let file = *of_release.entry(Arc::clone(&release)).or_insert_with(|| {
                        origins.push(Origin { source: Arc::clone(&source), release: Arc::clone(&release) });
                        origins.len().saturating_sub(1)
                    });
                    let figure = || Figure {
                        grams_per_kwh,
                        estimated,
                        source: Arc::clone(&source),
                        release: Arc::clone(&release),
                        profile_release: with_shape(&release),
                    };
                    let Some(start) = DateTime::from_timestamp_millis(window.start_ms) else { continue };
                    match period {
                        Period::Fine => fine.entry(Arc::clone(&source)).or_default().push(Value {
                            start_ms: window.start_ms,
                            end_ms: window.end_ms,
                            grams_per_kwh,
                            estimated,
                            file,
                        }),
                        Period::Month => {
                            months.entry((start.year(), start.month())).or_insert_with(figure);
                        }
                        Period::Year => {
                            years.entry(start.year()).or_insert_with(figure);
                        }
                    }
                }
            }
            for source in order {
                factors.fine.fill(fine.remove(&source).unwrap_or_default());
            }
            // Whatever the store has goes before the shipped tables.
            factors.monthly.extend(months);
            factors.annual.extend(years);
        }
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
                let overlaps = factors.fine.cover(values);
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

    /// The zones of a country that have factors of their own; none of a zone that is no country.
    pub fn parts(&self, country: &Zone) -> Vec<&Zone> {
        let prefix = format!("{country}-");
        let parts = self.zones.iter().filter(|(zone, _)| zone.as_str().starts_with(&prefix));
        parts.filter(|(_, factors)| !factors.is_empty()).map(|(zone, _)| zone).collect()
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

    /// Lines to print in a report of these zones and this time, each once: of every file that was named, and of what is used
    /// of stores and of the shipped tables.
    pub fn attributions(&self, zones: &[Zone], window: Window) -> Vec<Arc<str>> {
        let mut sources: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut is_shipped = false;
        let of_inputs: BTreeSet<&Arc<str>> = self.inputs.iter().map(|input| &input.source).collect();
        for zone in zones {
            for bucket in buckets(window, self.bucket_ms, chrono_tz::Tz::UTC) {
                let Some(factor) = self.factor_at(zone, bucket.start_ms) else { continue };
                // Only figures of their own hour owe nothing to a shipped shape.
                is_shipped |=
                    !of_inputs.contains(&factor.source) || factor.tier != Tier::Hourly && factor.estimated;
                sources.insert(factor.source);
            }
        }
        let is_used =
            |input: &&InputSummary| input.format != Format::Store || sources.contains(&input.source);
        let own = self.inputs.iter().filter(is_used).map(|input| Arc::clone(&input.attribution));
        let shipped = (self.shipped_used && is_shipped).then(|| Arc::from(SHIPPED_ATTRIBUTION));
        let mut lines: Vec<Arc<str>> = Vec::new();
        for line in own.chain(shipped) {
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
