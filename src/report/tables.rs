//! The tables of a report, grouped from the ledger's rows.

use std::borrow::Cow;
use std::collections::BTreeMap;

use polars::prelude::{Column, CsvWriter, DataFrame, DataType, PolarsResult, SerWriter as _};

use super::bounds::{Figure, RowWidths};
use super::embodied;
use super::group::Grouped;
use crate::jobs::Run;
use crate::ledger::{Beneficiary, Books};
use crate::meter::catalog::Component;
use crate::spreadsheet::guard;
use crate::sum::Sum;
use crate::time::format_instant;
use crate::units::Joules;

/// The components that ledger lines can have, in the order of the columns.
pub(super) const COMPONENTS: [Component; 4] =
    [Component::Cpu, Component::Dram, Component::Gpu, Component::Other];

/// The kinds of beneficiary, in the order of the columns.
pub(super) const BENEFICIARIES: [&str; 4] = ["run", "idle", "infrastructure", "unattributed"];

/// Significant digits of numbers in CSV: what lies beyond is rounding error, and
/// sums of rows still agree far within the tolerance of the balances.
const DIGITS: i32 = 12;

/// What becomes of texts in CSV that a spreadsheet would take for a formula.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CellText {
    /// An apostrophe is put before them.
    #[default]
    Guarded,
    /// They are written as they are.
    Raw,
}

/// A table as CSV.
pub(super) fn csv(table: &DataFrame, text: CellText) -> PolarsResult<Vec<u8>> {
    csv_as_is(rounded(table)?, text)
}

/// A table as CSV, its numbers to the last bit.
pub(super) fn csv_as_is(mut table: DataFrame, text: CellText) -> PolarsResult<Vec<u8>> {
    if text == CellText::Guarded {
        let columns = table.columns().iter().map(guarded).collect::<PolarsResult<Vec<Column>>>()?;
        table = DataFrame::new(table.height(), columns)?;
    }
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(&mut table)?;
    Ok(bytes)
}

/// The column with no text that a spreadsheet would take for a formula.
fn guarded(column: &Column) -> PolarsResult<Column> {
    if column.dtype() != &DataType::String {
        return Ok(column.clone());
    }
    let texts: Vec<Option<Cow<'_, str>>> = column.str()?.iter().map(|text| text.map(guard)).collect();
    if texts.iter().flatten().all(|text| matches!(text, Cow::Borrowed(_))) {
        return Ok(column.clone());
    }
    let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
    Ok(Column::new(column.name().clone(), texts))
}

/// The table with its numbers in [`DIGITS`] significant digits.
pub(super) fn rounded(table: &DataFrame) -> PolarsResult<DataFrame> {
    let columns = table
        .columns()
        .iter()
        .map(|column| match column.f64() {
            Ok(values) => {
                let short: Vec<Option<f64>> = values.iter().map(|value| value.map(round)).collect();
                Column::new(column.name().clone(), short)
            }
            Err(_) => column.clone(),
        })
        .collect();
    DataFrame::new(table.height(), columns)
}

/// `value` in [`DIGITS`] significant digits.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let shift = DIGITS - 1 - value.abs().log10().floor() as i32;
    // Dividing by a power of ten is exact to the last bit, multiplying by a fraction is not.
    let rounded = if shift >= 0 {
        let scale = 10_f64.powi(shift);
        (value * scale).round() / scale
    } else {
        let scale = 10_f64.powi(-shift);
        (value / scale).round() * scale
    };
    if rounded.is_finite() { rounded } else { value }
}

/// A column of joules as kilowatt-hours under another name.
fn kwh(column: &Column, name: &str) -> PolarsResult<Column> {
    let values: Vec<Option<f64>> =
        column.f64()?.iter().map(|joules| joules.map(|joules| Joules(joules).to_kwh().value())).collect();
    Ok(Column::new(name.into(), values))
}

/// `numerator ÷ denominator`, null where the denominator is zero.
fn ratio(numerator: &Column, denominator: &Column, name: &str) -> PolarsResult<Column> {
    let pairs = numerator.f64()?.iter().zip(denominator.f64()?.iter());
    let values: Vec<Option<f64>> = pairs
        .map(|pair| match pair {
            (Some(top), Some(bottom)) if bottom > 0.0 => Some(top / bottom),
            _ => None,
        })
        .collect();
    Ok(Column::new(name.into(), values))
}

/// Mean intensity in gCO2e/kWh of what was priced.
fn mean_intensity(emissions: &Column, priced_facility_j: &Column) -> PolarsResult<Column> {
    ratio(emissions, &kwh(priced_facility_j, "kwh")?, "intensity_gco2e_per_kwh")
}

/// The columns that every grouped table ends in.
pub(super) struct Totals {
    pub(super) energy: Vec<Column>,
    pub(super) coverage: Vec<Column>,
    pub(super) carbon: Vec<Column>,
}

fn in_kwh(joules: f64) -> f64 {
    Joules(joules).to_kwh().value()
}

/// A group's energy where `keep` holds, with its bounds, in kWh.
pub(super) fn energy_where(
    (grouped, entries, widths): (&Grouped, &DataFrame, &RowWidths),
    name: &str,
    keep: impl Fn(usize) -> bool,
) -> PolarsResult<Vec<Column>> {
    let mut columns = vec![kwh(&grouped.sum_where(entries, "energy_j", name, &keep)?, name)?];
    columns.extend(widths.columns(grouped, Figure::Energy, name, in_kwh, keep));
    Ok(columns)
}

pub(super) fn totals(grouped: &Grouped, entries: &DataFrame, widths: &RowWidths) -> PolarsResult<Totals> {
    let components = entries.column("component")?.str()?;
    let group = (grouped, entries, widths);
    let mut energy = energy_where(group, "energy_kwh", |_| true)?;
    for component in COMPONENTS {
        let is_this = |row: usize| components.get(row) == Some(component.as_str());
        energy.extend(energy_where(group, &format!("{component}_energy_kwh"), is_this)?);
    }
    let facility = grouped.sum(entries, "facility_energy_j")?;
    energy.push(kwh(&facility, "facility_energy_kwh")?);
    energy.extend(widths.columns(grouped, Figure::Facility, "facility_energy_kwh", in_kwh, |_| true));
    let covered = grouped.sum(entries, "covered_s")?;
    let interpolated = grouped.sum(entries, "interpolated_s")?;
    let expected = grouped.sum(entries, "expected_s")?;
    let known = Column::new(
        "known_s".into(),
        covered
            .f64()?
            .iter()
            .zip(interpolated.f64()?.iter())
            .map(|(covered, interpolated)| covered.unwrap_or(0.0) + interpolated.unwrap_or(0.0))
            .collect::<Vec<f64>>(),
    );
    let coverage = vec![
        ratio(&known, &expected, "coverage")?,
        ratio(&interpolated, &expected, "interpolated")?,
        kwh(&extrapolated(grouped, entries)?, "energy_extrapolated_kwh")?,
        grouped.words(entries, "method")?,
    ];
    let emissions = grouped.sum_if_any(entries, "emissions_gco2e")?;
    let priced = entries.column("emissions_gco2e")?.f64()?;
    let is_priced = |row: usize| priced.get(row).is_some();
    let priced_facility = grouped.sum_where(entries, "facility_energy_j", "priced_j", is_priced)?;
    let unpriced = grouped.sum_where(entries, "energy_j", "unpriced", |row| !is_priced(row))?;
    let mut carbon = vec![
        mean_intensity(&emissions, &priced_facility)?,
        grouped.words(entries, "intensity_tier")?,
        grouped.words(entries, "zone")?,
        emissions,
    ];
    carbon.extend(widths.columns(grouped, Figure::Emissions, "emissions_gco2e", |grams| grams, |_| true));
    carbon.push(kwh(&unpriced, "unpriced_energy_kwh")?);
    carbon.push(grouped.sum_if_any(entries, "emissions_market_gco2e")?);
    carbon.push(grouped.sum_if_any(entries, "upstream_gco2e")?);
    Ok(Totals { energy, coverage, carbon })
}

/// Rule C5 over a group: null if any of its rows knows too little.
fn extrapolated(grouped: &Grouped, entries: &DataFrame) -> PolarsResult<Column> {
    let values = entries.column("energy_extrapolated_j")?.f64()?;
    let expected = entries.column("expected_s")?.f64()?;
    let sums: Vec<Option<f64>> = grouped
        .rows()
        .iter()
        .map(|rows| {
            let mut sum = Sum::new();
            for row in rows.iter().map(|row| *row as usize) {
                match values.get(row) {
                    Some(value) => sum.add(value),
                    None if expected.get(row).unwrap_or(0.0) > 0.0 => return None,
                    None => {}
                }
            }
            Some(sum.value())
        })
        .collect();
    Ok(Column::new("energy_extrapolated_j".into(), sums))
}

/// `hourly.csv`.
pub(super) fn hourly(entries: &DataFrame, widths: &RowWidths) -> PolarsResult<DataFrame> {
    let keys = ["bucket_start_ms", "node", "component", "beneficiary"];
    let grouped = Grouped::new(entries, &keys)?;
    let mut columns = vec![grouped.sum(entries, "energy_j")?];
    columns.extend(widths.columns(&grouped, Figure::Energy, "energy_j", |joules| joules, |_| true));
    columns.push(grouped.sum(entries, "facility_energy_j")?);
    columns.extend(widths.columns(
        &grouped,
        Figure::Facility,
        "facility_energy_j",
        |joules| joules,
        |_| true,
    ));
    for name in ["covered_s", "interpolated_s", "expected_s"] {
        columns.push(grouped.sum(entries, name)?);
    }
    let emissions = grouped.sum_if_any(entries, "emissions_gco2e")?;
    let priced = entries.column("emissions_gco2e")?.f64()?;
    let is_priced = |row: usize| priced.get(row).is_some();
    let priced_facility = grouped.sum_where(entries, "facility_energy_j", "priced_j", is_priced)?;
    columns.push(grouped.words(entries, "method")?);
    columns.push(grouped.words(entries, "zone")?);
    columns.push(mean_intensity(&emissions, &priced_facility)?);
    for name in ["intensity_tier", "basis", "factor_source", "factor_release"] {
        columns.push(grouped.words(entries, name)?);
    }
    columns.push(emissions);
    columns.extend(widths.columns(&grouped, Figure::Emissions, "emissions_gco2e", |grams| grams, |_| true));
    columns.push(grouped.sum_if_any(entries, "emissions_market_gco2e")?);
    columns.push(grouped.sum_if_any(entries, "upstream_gco2e")?);
    with_instants(grouped.table(columns)?, "bucket_start_ms", "bucket_start")
}

/// Replaces a column of milliseconds by RFC 3339 text.
fn with_instants(table: DataFrame, from: &str, to: &str) -> PolarsResult<DataFrame> {
    let columns = table
        .columns()
        .iter()
        .map(|column| {
            if column.name().as_str() != from {
                return Ok(column.clone());
            }
            let texts: Vec<Option<String>> =
                column.i64()?.iter().map(|at_ms| at_ms.map(format_instant)).collect();
            Ok(Column::new(to.into(), texts))
        })
        .collect::<PolarsResult<Vec<Column>>>()?;
    DataFrame::new(table.height(), columns)
}

/// `by_user.csv`, `by_account.csv`, `by_stage.csv`: a row for each text that
/// runs have, and rows for what no run used, so that the column adds up to the cluster.
pub(super) fn by_run_text<'r>(
    (entries, widths): (&DataFrame, &RowWidths),
    (books, runs): (&Books, &'r [Run]),
    name: &str,
    text: impl Fn(&'r Run) -> &'r String,
) -> PolarsResult<DataFrame> {
    let numbers = entries.column("run")?.u32()?;
    let of_row = |row: usize| numbers.get(row).and_then(|number| runs.get(number as usize));
    let texts: Vec<&str> =
        (0..entries.height()).map(|row| of_row(row).map_or("", |run| text(run).as_str())).collect();
    let mut keyed = entries.clone();
    keyed.with_column(Column::new(name.into(), texts))?;
    let grouped = Grouped::new(&keyed, &["beneficiary", name])?;
    let counts: Vec<u64> = grouped
        .rows()
        .iter()
        .map(|rows| {
            let distinct: std::collections::BTreeSet<u32> =
                rows.iter().filter_map(|row| numbers.get(*row as usize)).collect();
            distinct.len() as u64
        })
        .collect();
    let totals = totals(&grouped, &keyed, widths)?;
    let mut columns = vec![Column::new("runs".into(), counts)];
    columns.extend(totals.energy);
    columns.extend(totals.carbon);
    columns.extend(totals.coverage);
    let of_beneficiary = |row: &embodied::Row<'_>| {
        let text = match row.beneficiary {
            Beneficiary::Run(run) => runs.get(run).map_or("", |run| text(run).as_str()),
            _ => "",
        };
        Some(vec![row.beneficiary.kind().to_owned(), text.to_owned()])
    };
    let sums = embodied::by(&embodied::rows(books), of_beneficiary);
    embodied::join(grouped.table(columns)?, &["beneficiary", name], sums)
}

/// `by_node.csv`.
pub(super) fn by_node((entries, widths): (&DataFrame, &RowWidths), books: &Books) -> PolarsResult<DataFrame> {
    let grouped = Grouped::new(entries, &["node"])?;
    let totals = totals(&grouped, entries, widths)?;
    let kinds = entries.column("beneficiary")?.str()?;
    let mut columns = totals.energy;
    for kind in BENEFICIARIES {
        let is_this = |row: usize| kinds.get(row) == Some(kind);
        columns.extend(energy_where((&grouped, entries, widths), &format!("{kind}_energy_kwh"), is_this)?);
    }
    columns.extend(totals.carbon);
    columns.extend(totals.coverage);
    let sums = embodied::by(&embodied::rows(books), |row| Some(vec![row.node.to_owned()]));
    let table = embodied::join(grouped.table(columns)?, &["node"], sums)?;
    let by_name: BTreeMap<&str, &crate::ledger::NodeBooks> =
        books.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    let nodes: Vec<Option<&crate::ledger::NodeBooks>> = table
        .column("node")?
        .str()?
        .iter()
        .map(|name| name.and_then(|name| by_name.get(name).copied()))
        .collect();
    let text = |name: &str, value: &dyn Fn(&crate::ledger::NodeBooks) -> String| {
        let values: Vec<String> = nodes.iter().map(|node| node.map(value).unwrap_or_default()).collect();
        Column::new(name.into(), values)
    };
    let mut all = table.columns().to_vec();
    all.push(text("known_to_scheduler", &|node| node.known.to_string()));
    all.push(text("cpus", &|node| {
        node.size.and_then(|size| size.cpus).map(|cpus| cpus.to_string()).unwrap_or_default()
    }));
    all.push(text("cpus_origin", &|node| node.size_origin.clone()));
    all.push(text("cpu_model", &|node| node.machine.cpu_model.clone().unwrap_or_default()));
    all.push(text("gpus", &|node| node.size.map(|size| size.gpus.to_string()).unwrap_or_default()));
    all.push(text("node_meter", &|node| {
        node.node_meter.as_ref().map(|meter| meter.source.clone()).unwrap_or_default()
    }));
    all.push(text("notes", &|node| node.notes.join("; ")));
    DataFrame::new(table.height(), all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_twelve_digits() {
        assert_eq!(round(255.827_639_254_756_9), 255.827_639_255);
        assert_eq!(round(-0.000_123_456_789_012_345), -0.000_123_456_789_012);
        assert_eq!(round(1.234_567_890_123_4e20), 1.234_567_890_12e20);
        assert_eq!(round(5e-324), 5e-324);
        assert!(round(f64::NAN).is_nan());
    }

    #[test]
    fn texts_that_compute_are_guarded_and_numbers_are_not() {
        let columns = vec![
            Column::new("name".into(), [Some("=1+1"), Some("train"), None]),
            Column::new("saving".into(), [-0.5, 0.0, 1.0]),
        ];
        let table = DataFrame::new(3, columns).unwrap();
        let text = |text| String::from_utf8(csv(&table, text).unwrap()).unwrap();
        assert_eq!(text(CellText::Guarded), "name,saving\n'=1+1,-0.5\ntrain,0.0\n,1.0\n");
        assert_eq!(text(CellText::Raw), "name,saving\n=1+1,-0.5\ntrain,0.0\n,1.0\n");
    }

    #[test]
    fn groups_are_sorted_and_add_up_however_the_rows_lie() {
        let rows = |order: [usize; 4]| {
            let user = order.map(|row| ["b", "a", "b", "b"][row]);
            let energy = order.map(|row| [1e16, 3.0, 1.0, 1.0][row]);
            let columns = vec![Column::new("user".into(), user), Column::new("energy_j".into(), energy)];
            DataFrame::new(4, columns).unwrap()
        };
        for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
            let frame = rows(order);
            let grouped = Grouped::new(&frame, &["user"]).unwrap();
            let table = grouped.table(vec![grouped.sum(&frame, "energy_j").unwrap()]).unwrap();
            let users: Vec<_> = table.column("user").unwrap().str().unwrap().iter().flatten().collect();
            assert_eq!(users, ["a", "b"]);
            let sums: Vec<_> = table.column("energy_j").unwrap().f64().unwrap().iter().flatten().collect();
            // A plain sum from the left gives 1e16 for the second.
            assert_eq!(sums, [3.0, 10_000_000_000_000_002.0]);
        }
    }
}
