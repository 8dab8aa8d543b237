//! `meters.csv`: every series that was looked at, and what became of it.

use polars::prelude::{Column, DataFrame, PolarsResult};

use crate::ledger::{Books, MeterLine};

/// The table.
pub(super) fn table(books: &Books) -> PolarsResult<DataFrame> {
    let lines = &books.meters;
    let text = |name: &str, value: &dyn Fn(&MeterLine) -> String| {
        Column::new(name.into(), lines.iter().map(value).collect::<Vec<String>>())
    };
    let count = |name: &str, value: &dyn Fn(&MeterLine) -> u64| {
        Column::new(name.into(), lines.iter().map(value).collect::<Vec<u64>>())
    };
    DataFrame::new(
        lines.len(),
        vec![
            text("node", &|line| line.node.clone()),
            text("exporter", &|line| line.exporter.clone()),
            text("metric", &|line| line.metric.clone()),
            text("labels", &|line| line.labels.clone()),
            count("series", &|line| line.series),
            text("component", &|line| line.component.clone()),
            text("device", &|line| line.device.clone()),
            text("quantity", &|line| line.quantity.clone()),
            text("status", &MeterLine::status),
            count("samples", &|line| line.read.map_or(0, |read| read.samples)),
            count("dropped_samples", &|line| line.read.map_or(0, |read| read.dropped)),
        ],
    )
}
