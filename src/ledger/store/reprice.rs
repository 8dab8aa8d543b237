//! Emissions of a day again, by other factors, without its samples.

use chrono::NaiveDate;
use polars::prelude::{DataFrame, PolarsError};

use super::day::{DayInputs, DayManifest, DayTotals, FACTS, read_day, sums, write};
use super::runs::Positions;
use super::{Store, StoreError};
use crate::jobs::Run;
use crate::parquet_columns::Values;

impl Store {
    /// Works out emissions of a day again, without its samples: `price` gives its rows their prices.
    ///
    /// # Errors
    ///
    /// Where the day is not there, is damaged, or cannot be written.
    pub(in crate::ledger) fn reprice_day(
        &self,
        date: NaiveDate,
        runs: &[Run],
        prices: String,
        basis: String,
        attributions: Vec<String>,
        price: impl FnOnce(DataFrame) -> Result<DataFrame, PolarsError>,
    ) -> Result<DayManifest, StoreError> {
        let path = self.day_path(date);
        let damaged = |reason: String| StoreError::Damaged { path: path.clone(), reason };
        let day = read_day(&path)?;
        let buckets = day.manifest.buckets(self.time_zone);
        let positions = Positions::new(runs);
        let (rows, embodied) = day.rows(&buckets, &positions).map_err(|wrong| wrong.in_day(date, &path))?;
        let count = rows.height();
        let rows = price(rows).map_err(|error| damaged(error.to_string()))?;
        let more = embodied.len();
        let mut columns = day.columns.columns;
        if columns.first().map_or(0, |column| column.values.len()) != count + more {
            return Err(damaged("rows lie outside of its buckets".to_owned()));
        }
        for name in PRICES {
            let found = columns.iter_mut().find(|column| column.name == name);
            let Some(column) = found else { return Err(damaged(format!("it has no `{name}`"))) };
            column.values = repriced(&rows, name, more).map_err(|error| damaged(error.to_string()))?;
        }
        let facts = day.columns.metadata.into_iter().find(|(name, _)| name == FACTS);
        let facts = facts.map(|(_, text)| text).unwrap_or_default();
        let before = day.manifest.totals;
        let manifest = DayManifest {
            layout: super::LAYOUT,
            wattledger_version: env!("CARGO_PKG_VERSION").to_owned(),
            basis,
            attributions,
            inputs: DayInputs { prices, ..day.manifest.inputs },
            totals: DayTotals {
                covered_s: before.covered_s,
                interpolated_s: before.interpolated_s,
                expected_s: before.expected_s,
                ..sums(&columns)
            },
            ..day.manifest
        };
        write(&path, &columns, manifest, facts)
    }
}

/// The columns that prices are in.
const PRICES: [&str; 11] = [
    "pue",
    "facility_energy_j",
    "zone",
    "intensity_gco2e_per_kwh",
    "intensity_tier",
    "intensity_estimated",
    "basis",
    "factor_source",
    "factor_release",
    "emissions_gco2e",
    "upstream_gco2e",
];

/// The values of such a column, with those of `more` rows without energy.
fn repriced(rows: &DataFrame, name: &str, more: usize) -> Result<Values, PolarsError> {
    let column = rows.column(name)?;
    if let Ok(values) = column.f64() {
        let nothing = (name == "facility_energy_j").then_some(0.0);
        return Ok(Values::Number(values.iter().chain(std::iter::repeat_n(nothing, more)).collect()));
    }
    if let Ok(values) = column.bool() {
        return Ok(Values::Flag(values.iter().chain(std::iter::repeat_n(None, more)).collect()));
    }
    Ok(Values::texts(column.str()?.iter().chain(std::iter::repeat_n(None, more))))
}
