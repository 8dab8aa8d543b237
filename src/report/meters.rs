//! `meters.csv`: every series that was looked at, and what became of it.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, PolarsResult};

use crate::ledger::Books;
use crate::meter::catalog::Quantity;
use crate::meter::inventory::{SeriesRow, Use};
use crate::meter::stream::SeriesUse;

/// A row: one series, or all CPU-time series of a node, which are one meter.
struct Row {
    node: String,
    exporter: String,
    metric: String,
    labels: String,
    series: u64,
    component: String,
    device: String,
    quantity: String,
    status: String,
    samples: u64,
    dropped: u64,
}

/// The table.
pub(super) fn table(books: &Books) -> PolarsResult<DataFrame> {
    let uses: BTreeMap<usize, &SeriesUse> =
        books.nodes.iter().flat_map(|node| &node.uses).map(|used| (used.row, used)).collect();
    let mut rows: Vec<Row> = Vec::new();
    let mut cpu_time: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (index, series) in books.series.iter().enumerate() {
        let row = row(series, uses.get(&index).copied());
        if row.quantity == Quantity::CpuTime.as_str() {
            let place = *cpu_time.entry((row.node.clone(), row.status.clone())).or_insert(rows.len());
            if let Some(known) = rows.get_mut(place) {
                known.series += 1;
                known.samples += row.samples;
                known.dropped += row.dropped;
                known.labels = "{cpu, mode}".to_owned();
                continue;
            }
        }
        rows.push(row);
    }
    let text = |name: &str, value: &dyn Fn(&Row) -> String| {
        Column::new(name.into(), rows.iter().map(value).collect::<Vec<String>>())
    };
    let count = |name: &str, value: &dyn Fn(&Row) -> u64| {
        Column::new(name.into(), rows.iter().map(value).collect::<Vec<u64>>())
    };
    DataFrame::new(
        rows.len(),
        vec![
            text("node", &|row| row.node.clone()),
            text("exporter", &|row| row.exporter.clone()),
            text("metric", &|row| row.metric.clone()),
            text("labels", &|row| row.labels.clone()),
            count("series", &|row| row.series),
            text("component", &|row| row.component.clone()),
            text("device", &|row| row.device.clone()),
            text("quantity", &|row| row.quantity.clone()),
            text("status", &|row| row.status.clone()),
            count("samples", &|row| row.samples),
            count("dropped_samples", &|row| row.dropped),
        ],
    )
}

fn row(series: &SeriesRow, used: Option<&SeriesUse>) -> Row {
    let (component, device, quantity) = match &series.meter {
        Some((component, device, quantity)) => (component.as_str(), device.clone(), quantity.as_str()),
        None => ("", String::new(), ""),
    };
    Row {
        node: series.node.clone(),
        exporter: series.exporter.clone(),
        metric: series.labels.metric().to_owned(),
        labels: series.labels.to_string().trim_start_matches(series.labels.metric()).to_owned(),
        series: 1,
        component: component.to_owned(),
        device,
        quantity: quantity.to_owned(),
        status: status(&series.used, used),
        samples: used.map_or(0, |used| used.samples),
        dropped: used.map_or(0, |used| used.dropped),
    }
}

/// What became of a series, in words.
fn status(planned: &Use, used: Option<&SeriesUse>) -> String {
    match (planned, used) {
        (Use::Fact, _) => "tells about the node".to_owned(),
        (Use::Part(whole), _) => format!("part of {whole}"),
        (Use::Ignored(why), _) => format!("ignored: {why}"),
        (Use::Meter, None) => "not read: a better method knows enough, or no model applies".to_owned(),
        (Use::Meter, Some(used)) => match (used.days_used, used.days_replica) {
            (0, 0) => "no samples in the window".to_owned(),
            (0, _) => "replica".to_owned(),
            (_, 0) => "used".to_owned(),
            (days, replica) => format!("used on {days} of {} days, else replica", days + replica),
        },
    }
}
