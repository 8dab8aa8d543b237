//! What a user says of files that do not say it themselves.

use std::str::FromStr;

use chrono_tz::Tz;

use crate::carbon::{Basis, CarbonError, Zone};

/// One pound, in grams.
const GRAMS_IN_POUND: f64 = 453.592_37;

/// The unit of a table's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// gCO2e/kWh, the same number as kg/MWh.
    GramsPerKwh,
    /// kgCO2e/kWh, the same number as t/MWh.
    KilogramsPerKwh,
    /// lbCO2e/MWh.
    PoundsPerMwh,
}

impl Unit {
    /// One of it, in gCO2e/kWh.
    pub const fn grams_per_kwh(self) -> f64 {
        match self {
            Self::GramsPerKwh => 1.0,
            Self::KilogramsPerKwh => 1000.0,
            Self::PoundsPerMwh => GRAMS_IN_POUND / 1000.0,
        }
    }
}

impl FromStr for Unit {
    type Err = CarbonError;

    fn from_str(text: &str) -> Result<Self, CarbonError> {
        let folded: String = text.to_lowercase().replace('₂', "2").replace([' ', '_'], "");
        // What the mass is of changes no number here: basis says what is counted.
        let plain = ["co2eq", "co2e", "co2"].iter().fold(folded, |text, gas| text.replacen(gas, "", 1));
        match plain.as_str() {
            "g/kwh" | "kg/mwh" => Ok(Self::GramsPerKwh),
            "kg/kwh" | "t/mwh" => Ok(Self::KilogramsPerKwh),
            "lb/mwh" | "lbs/mwh" => Ok(Self::PoundsPerMwh),
            _ => Err(CarbonError::UnitText { text: text.to_owned() }),
        }
    }
}

/// Which end of its step a stamp names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StampAt {
    /// Its first instant.
    #[default]
    Start,
    /// The first instant after it.
    End,
}

impl FromStr for StampAt {
    type Err = CarbonError;

    fn from_str(text: &str) -> Result<Self, CarbonError> {
        match text.trim().to_lowercase().as_str() {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            _ => Err(CarbonError::StampText { text: text.to_owned() }),
        }
    }
}

/// Names of columns where they are none of the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnNames {
    /// The stamp's.
    pub time: Option<String>,
    /// The intensity's.
    pub value: Option<String>,
    /// The zone's.
    pub zone: Option<String>,
    /// Of what marks estimates.
    pub estimated: Option<String>,
}

impl FromStr for ColumnNames {
    type Err = CarbonError;

    /// Reads `time=when,value=ci,zone=region,estimated=is_estimate`.
    fn from_str(text: &str) -> Result<Self, CarbonError> {
        let wrong = || CarbonError::ColumnsText { text: text.to_owned() };
        let mut columns = Self::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (what, name) = part.split_once('=').ok_or_else(wrong)?;
            let slot = match what.trim() {
                "time" => &mut columns.time,
                "value" => &mut columns.value,
                "zone" => &mut columns.zone,
                "estimated" => &mut columns.estimated,
                _ => return Err(wrong()),
            };
            if name.trim().is_empty() || slot.replace(name.trim().to_owned()).is_some() {
                return Err(wrong());
            }
        }
        Ok(columns)
    }
}

/// What a user says of files; each file's own word goes before it, but for names of columns.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Zone of files that name none.
    pub zone: Option<Zone>,
    /// Clock of stamps without an offset, in tables of nobody's form; UTC if none is stated.
    pub time_zone: Option<Tz>,
    /// Unit of tables whose columns do not name one.
    pub unit: Option<Unit>,
    /// What stamps name, in tables of nobody's form.
    pub stamp: Option<StampAt>,
    /// What the figures count, of tables that do not say.
    pub basis: Option<Basis>,
    /// Whose figures they are, of tables of nobody's form.
    pub source: Option<String>,
    /// Which edition.
    pub release: Option<String>,
    /// On what terms.
    pub licence: Option<String>,
    /// Names of columns.
    pub columns: ColumnNames,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_by_their_usual_names() {
        let grams = |text: &str| text.parse::<Unit>().map(Unit::grams_per_kwh).ok();
        for text in ["g/kWh", "gCO2e/kWh", "gCO₂eq/kWh", "kg/MWh", "kgCO2/MWh"] {
            assert_eq!(grams(text), Some(1.0), "{text}");
        }
        assert_eq!((grams("t/MWh"), grams("kg CO2e/kWh")), (Some(1000.0), Some(1000.0)));
        // One pound is 453.59237 g.
        assert_eq!((grams("lb/MWh"), grams("lbs_co2/MWh")), (Some(0.453_592_37), Some(0.453_592_37)));
        assert!(grams("g").is_none() && grams("MWh").is_none());
    }

    #[test]
    fn columns_are_named_once() {
        let columns: ColumnNames = "time=when, value=ci".parse().unwrap();
        assert_eq!((columns.time.as_deref(), columns.value.as_deref()), (Some("when"), Some("ci")));
        for wrong in ["when", "time=", "time=a,time=b", "watts=a"] {
            assert!(wrong.parse::<ColumnNames>().is_err(), "{wrong}");
        }
    }
}
