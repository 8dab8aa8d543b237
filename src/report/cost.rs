//! What energy costs, where its price is stated.

use polars::prelude::{Column, DataFrame, PolarsResult};

/// A price for each kilowatt-hour at the building's meter.
#[derive(Clone, Debug, PartialEq)]
pub struct EnergyPrice {
    /// Money per kWh.
    pub per_kwh: f64,
    /// Of which currency, by its ISO 4217 code.
    pub currency: String,
}

impl EnergyPrice {
    /// The name of the column: `cost_eur`.
    pub fn column(&self) -> String {
        format!("cost_{}", self.currency.to_ascii_lowercase())
    }

    /// What so many kilowatt-hours at the building's meter cost.
    pub fn of_kwh(&self, facility_kwh: f64) -> f64 {
        facility_kwh * self.per_kwh
    }
}

/// `table` with the cost of its facility energy; as it is without a price, or without that column.
pub(super) fn with_cost(table: DataFrame, price: Option<&EnergyPrice>) -> PolarsResult<DataFrame> {
    let (Some(price), Ok(energy)) = (price, table.column("facility_energy_kwh")) else { return Ok(table) };
    let costs: Vec<Option<f64>> = energy.f64()?.iter().map(|kwh| kwh.map(|kwh| price.of_kwh(kwh))).collect();
    let mut table = table;
    table.with_column(Column::new(price.column().into(), costs))?;
    Ok(table)
}
