//! Sums by what rows have of their own: the site of the node, the day.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use polars::prelude::{Column, DataFrame, PolarsResult};

use super::bounds::RowWidths;
use super::embodied;
use super::group::Grouped;
use super::tables::{BENEFICIARIES, energy_where, totals};
use crate::ledger::Books;
use crate::time::{Window, local_days};

/// `by_site.csv`.
pub(super) fn by_site((entries, widths): (&DataFrame, &RowWidths), books: &Books) -> PolarsResult<DataFrame> {
    let sites: BTreeMap<&str, &str> =
        books.nodes.iter().map(|node| (node.name.as_str(), node.site.as_str())).collect();
    let nodes = entries.column("node")?.str()?;
    let texts: Vec<&str> =
        nodes.iter().map(|node| node.and_then(|node| sites.get(node).copied()).unwrap_or_default()).collect();
    let table = sums((entries, widths), "site", texts)?;
    let of_site = embodied::by(&embodied::rows(books), |row| {
        Some(vec![sites.get(row.node).copied().unwrap_or_default().to_owned()])
    });
    embodied::join(table, &["site"], of_site)
}

/// `by_day.csv`: days of `zone`, those without a row among them.
pub(super) fn by_day(
    (entries, widths): (&DataFrame, &RowWidths),
    books: &Books,
    zone: Tz,
) -> PolarsResult<DataFrame> {
    let days: Vec<(String, Window)> = crate::time::span(&books.buckets)
        .map(|window| local_days(window, zone))
        .unwrap_or_default()
        .into_iter()
        .map(|(date, day)| (date.to_string(), day))
        .collect();
    let starts = entries.column("bucket_start_ms")?.i64()?;
    let texts: Vec<&str> = starts
        .iter()
        .map(|start_ms| {
            let after = days.partition_point(|(_, day)| Some(day.start_ms) <= start_ms);
            days.get(after.saturating_sub(1)).map_or("", |(date, _)| date.as_str())
        })
        .collect();
    sums((entries, widths), "date", texts)
}

/// Energy, for whom, emissions and coverage by a text of each row.
fn sums(
    (entries, widths): (&DataFrame, &RowWidths),
    name: &str,
    texts: Vec<&str>,
) -> PolarsResult<DataFrame> {
    let mut keyed = entries.clone();
    keyed.with_column(Column::new(name.into(), texts))?;
    let grouped = Grouped::new(&keyed, &[name])?;
    let of = totals(&grouped, &keyed, widths)?;
    let kinds = keyed.column("beneficiary")?.str()?;
    let mut columns = of.energy;
    for kind in BENEFICIARIES {
        let is_this = |row: usize| kinds.get(row) == Some(kind);
        columns.extend(energy_where((&grouped, &keyed, widths), &format!("{kind}_energy_kwh"), is_this)?);
    }
    columns.extend(of.carbon);
    columns.extend(of.coverage);
    grouped.table(columns)
}
