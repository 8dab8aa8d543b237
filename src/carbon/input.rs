//! What the user's files turned out to hold.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Basis, Zone};
use crate::time::{HOUR_MS, MINUTE_MS, Window};

/// A format of intensity files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `timestamp,gco2e_per_kwh`, with `zone` and `estimated` if need be.
    Generic,
    /// A download from Electricity Maps' data portal.
    ElectricityMaps,
    /// Answers of Electricity Maps' API, versions 3 and 4, and of CO2signal.
    ElectricityMapsApi,
    /// The UK Carbon Intensity API's answers, national and regional.
    UkCarbonIntensityApi,
    /// The same as a table: `from,to,forecast,actual,index`.
    UkCarbonIntensity,
    /// NESO's historic generation mix.
    NesoMix,
    /// RTE's éCO2mix, as a table.
    Eco2mix,
    /// The same from ODRÉ's API.
    Eco2mixApi,
    /// Energy-Charts' `co2eq`.
    EnergyCharts,
    /// WattTime, version 3.
    WattTime,
    /// Ember's releases since July 2026.
    Ember,
    /// Ember's releases before.
    EmberLong,
    /// Our World in Data.
    Owid,
    /// ENTSO-E's generation by type (16.1.B&C), exported from the web.
    EntsoeGeneration,
    /// The same in tables of the file library.
    EntsoeLibrary,
    /// The same as the Transparency Platform's API answers.
    EntsoeApi,
    /// Generation by fuel of EIA-930, as a table.
    Eia930,
    /// The same as the API, version 2, answers.
    Eia930Api,
    /// SMARD's realised generation.
    SmardGeneration,
    /// CEEMS' series of intensities in a snapshot.
    CeemsSeries,
    /// Figures that an import put into a store.
    Store,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generic => "generic table",
            Self::ElectricityMaps => "Electricity Maps portal CSV",
            Self::ElectricityMapsApi => "Electricity Maps API JSON",
            Self::UkCarbonIntensityApi => "UK Carbon Intensity API JSON",
            Self::UkCarbonIntensity => "UK Carbon Intensity CSV",
            Self::NesoMix => "NESO historic generation mix CSV",
            Self::Eco2mix => "RTE éCO2mix CSV",
            Self::Eco2mixApi => "RTE éCO2mix JSON",
            Self::EnergyCharts => "Energy-Charts JSON",
            Self::WattTime => "WattTime JSON",
            Self::Ember => "Ember CSV",
            Self::EmberLong => "Ember CSV, releases before July 2026",
            Self::Owid => "Our World in Data CSV",
            Self::EntsoeGeneration => "ENTSO-E generation CSV",
            Self::EntsoeLibrary => "ENTSO-E generation, file library",
            Self::EntsoeApi => "ENTSO-E generation XML",
            Self::Eia930 => "EIA-930 generation CSV",
            Self::Eia930Api => "EIA-930 generation JSON",
            Self::SmardGeneration => "SMARD generation CSV",
            Self::CeemsSeries => "series of CEEMS",
            Self::Store => "store of intensities",
        })
    }
}

/// How long the values of a zone in a file hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An hour or less.
    Fine {
        /// Its length in milliseconds.
        step_ms: i64,
    },
    /// Calendar months (UTC).
    Monthly,
    /// Calendar years (UTC).
    Yearly,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine { step_ms } if *step_ms == HOUR_MS => f.write_str("hourly"),
            Self::Fine { step_ms } => write!(f, "every {} min", *step_ms as f64 / MINUTE_MS as f64),
            Self::Monthly => f.write_str("monthly"),
            Self::Yearly => f.write_str("yearly"),
        }
    }
}

/// A line that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedLine {
    /// Its number in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// What a file holds of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSummary {
    /// The zone.
    pub zone: Zone,
    /// How long a value holds.
    pub step: Step,
    /// Values that are used, before other files are laid over them.
    pub values: u64,
    /// From the first value to the end of the last.
    pub window: Window,
    /// Holes between values, filled from the next tier.
    pub gaps: u64,
    /// Length of these holes together, in milliseconds.
    pub missing_ms: i64,
    /// Values that the provider marks as estimated.
    pub estimated: u64,
    /// Values that stood there twice and were dropped once.
    pub duplicates: u64,
    /// Values that contradict an earlier one of the same instant, in this file
    /// or one before it, and replace it.
    pub conflicts: u64,
}

/// What a file holds and what was left out of it.
#[derive(Clone, Debug)]
pub struct InputSummary {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// The basis under which it is used.
    pub basis: Basis,
    /// True where the file does not say its basis and that of the total was
    /// taken for granted.
    pub basis_assumed: bool,
    /// Zone by zone, in the order of their ids.
    pub zones: Vec<ZoneSummary>,
    /// Lines that were left out, all of them.
    pub rejected: u64,
    /// The first of them (at most [`InputSummary::MAX_LISTED`]).
    pub rejected_lines: Vec<RejectedLine>,
    /// Whose figures they are.
    pub source: Arc<str>,
    /// The same with the licence where it is known: to be printed in the report.
    pub attribution: Arc<str>,
}

impl InputSummary {
    /// How many rejected lines are listed one by one.
    pub const MAX_LISTED: usize = 20;
}

/// A file of a directory that is no intensity file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedFile {
    /// The file.
    pub path: PathBuf,
    /// Why it was left out.
    pub reason: String,
}
