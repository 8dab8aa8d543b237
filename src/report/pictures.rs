//! What the charts show: figures taken from the tables, in the units of the axes.

use std::collections::BTreeMap;

use polars::prelude::{DataFrame, PolarsResult};

use super::chart::{
    BarItem, Bars, Layer, LayerKind, Overlay, SegmentStyle, StackedTime, Text, bars, scale_for, stacked_time,
};
use super::tables::{BENEFICIARIES, COMPONENTS};
use super::{Report, ReportError};
use crate::sum::{Sum, sum};
use crate::units::{Joules, Seconds};

/// Users shown by name; the rest is one bar.
const TOP_USERS: usize = 15;
/// Nodes shown at most.
const TOP_NODES: usize = 100;

pub(super) const MASS_UNITS: [(&str, f64); 4] =
    [("gCO₂e", 1.0), ("kgCO₂e", 1e3), ("tCO₂e", 1e6), ("ktCO₂e", 1e9)];
const POWER_UNITS: [(&str, f64); 3] = [("W", 1.0), ("kW", 1e3), ("MW", 1e6)];
pub(super) const ENERGY_UNITS: [(&str, f64); 4] =
    [("Wh", 3.6e3), ("kWh", 3.6e6), ("MWh", 3.6e9), ("GWh", 3.6e12)];

/// Every picture of a report: name and PNG.
pub(super) fn all(report: &Report<'_>) -> Result<Vec<(&'static str, Vec<u8>)>, ReportError> {
    let draw = |name: &'static str, png: Result<Vec<u8>, super::chart::ChartError>| {
        png.map(|png| (name, png)).map_err(|source| ReportError::Chart { name, source })
    };
    Ok(vec![
        draw("power.png", stacked_time(&power(report)?))?,
        draw("emissions_by_hour.png", stacked_time(&emissions_by_hour(report)?))?,
        draw("emissions_by_user.png", bars(&emissions_by_user(report)?))?,
        draw("energy_by_node.png", bars(&energy_by_node(report)?))?,
    ])
}

fn text(report: &Report<'_>, title: &str) -> Text {
    let subject = &report.subject;
    let period = crate::time::span(&subject.books.buckets);
    let period = period.map_or_else(|| "no time".to_owned(), |window| window.to_string());
    let simulated = if subject.provenance.simulated { "SIMULATED · " } else { "" };
    Text {
        title: title.to_owned(),
        subtitle: format!("{simulated}{period} · {}", subject.provenance.title),
        footnote: subject.provenance.attributions.join(" · "),
    }
}

/// Sums of a column by bucket, for each value of a text column.
fn by_bucket(
    entries: &DataFrame,
    value: &str,
    text: &str,
    buckets: usize,
) -> PolarsResult<BTreeMap<String, Vec<f64>>> {
    let bucket = entries.column("bucket")?.u32()?;
    let values = entries.column(value)?.f64()?;
    let texts = entries.column(text)?.str()?;
    let mut sums: BTreeMap<String, Vec<Sum>> = BTreeMap::new();
    for row in 0..entries.height() {
        let (Some(bucket), Some(value), Some(text)) = (bucket.get(row), values.get(row), texts.get(row))
        else {
            continue;
        };
        if !sums.contains_key(text) {
            sums.insert(text.to_owned(), vec![Sum::new(); buckets]);
        }
        if let Some(sum) = sums.get_mut(text).and_then(|row| row.get_mut(bucket as usize)) {
            sum.add(value);
        }
    }
    Ok(sums.into_iter().map(|(text, sums)| (text, sums.into_iter().map(Sum::value).collect())).collect())
}

/// Largest total over all layers in one bucket.
fn highest(layers: &BTreeMap<String, Vec<f64>>, buckets: usize) -> f64 {
    (0..buckets)
        .map(|bucket| sum(layers.values().filter_map(|values| values.get(bucket)).copied()))
        .fold(0.0, f64::max)
}

/// Mean power by component, with the carbon intensity over it.
fn power(report: &Report<'_>) -> PolarsResult<StackedTime> {
    let buckets = &report.subject.books.buckets;
    let mut watts = by_bucket(&report.entries, "energy_j", "component", buckets.len())?;
    for values in watts.values_mut() {
        for (value, bucket) in values.iter_mut().zip(buckets) {
            *value = Joules(*value).mean_power(Seconds(bucket.length_s())).value();
        }
    }
    let (unit, scale) = scale_for(highest(&watts, buckets.len()), &POWER_UNITS);
    let layers = COMPONENTS
        .iter()
        .filter_map(|component| {
            let values = watts.get(component.as_str())?;
            let kind = if component.as_str() == "other" { LayerKind::Muted } else { LayerKind::Normal };
            let name = match component.as_str() {
                "cpu" => "CPU",
                "dram" => "memory",
                "gpu" => "GPU",
                _ => "rest of the node",
            };
            let values = values.iter().map(|value| value / scale).collect();
            Some(Layer { name: name.to_owned(), values, kind })
        })
        .collect();
    Ok(StackedTime {
        text: text(report, "Power by component and carbon intensity"),
        buckets: buckets.clone(),
        layers,
        y_label: format!("mean power ({unit})"),
        overlay: intensity(report)?,
    })
}

/// Mean intensity of each bucket, weighted by what was used.
fn intensity(report: &Report<'_>) -> PolarsResult<Option<Overlay>> {
    let entries = &report.entries;
    let bucket = entries.column("bucket")?.u32()?;
    let intensity = entries.column("intensity_gco2e_per_kwh")?.f64()?;
    let weight = entries.column("facility_energy_j")?.f64()?;
    let mut sums = vec![(Sum::new(), Sum::new()); report.subject.books.buckets.len()];
    for row in 0..entries.height() {
        if let (Some(bucket), Some(intensity), Some(weight)) =
            (bucket.get(row), intensity.get(row), weight.get(row))
            && let Some((weighted, weights)) = sums.get_mut(bucket as usize)
        {
            weighted.add(intensity * weight);
            weights.add(weight);
        }
    }
    let values: Vec<Option<f64>> = sums
        .into_iter()
        .map(|(weighted, weights)| (weights.value() > 0.0).then(|| weighted.value() / weights.value()))
        .collect();
    Ok(values.iter().any(Option::is_some).then(|| Overlay {
        name: "carbon intensity".to_owned(),
        values,
        y_label: "gCO₂e/kWh".to_owned(),
    }))
}

/// Emissions of each bucket by kind of beneficiary, as a rate.
fn emissions_by_hour(report: &Report<'_>) -> PolarsResult<StackedTime> {
    let buckets = &report.subject.books.buckets;
    let mut rates = by_bucket(&report.entries, "emissions_gco2e", "beneficiary", buckets.len())?;
    for values in rates.values_mut() {
        for (value, bucket) in values.iter_mut().zip(buckets) {
            let hours = bucket.length_s() / 3600.0;
            *value = if hours > 0.0 { *value / hours } else { 0.0 };
        }
    }
    let (unit, scale) = scale_for(highest(&rates, buckets.len()), &MASS_UNITS);
    let layers = BENEFICIARIES
        .iter()
        .filter_map(|kind| {
            let values = rates.get(*kind)?.iter().map(|value| value / scale).collect();
            let muted = if *kind == "idle" { LayerKind::Muted } else { LayerKind::Normal };
            Some(Layer { name: plural(kind).to_owned(), values, kind: muted })
        })
        .collect();
    Ok(StackedTime {
        text: text(report, "Emissions by hour"),
        buckets: buckets.clone(),
        layers,
        y_label: format!("{unit} per hour"),
        overlay: None,
    })
}

pub(super) fn plural(kind: &str) -> &str {
    if kind == "run" { "runs" } else { kind }
}

/// Emissions by user: the greatest, the others together, and what no run used.
fn emissions_by_user(report: &Report<'_>) -> PolarsResult<Bars> {
    let table = &report.by_user;
    let kinds = table.column("beneficiary")?.str()?;
    let users = table.column("user")?.str()?;
    let grams = table.column("emissions_gco2e")?.f64()?;
    let mut by_user: Vec<(&str, f64)> = Vec::new();
    let mut rest: Vec<(&str, f64)> = Vec::new();
    for row in 0..table.height() {
        let (Some(kind), Some(user), Some(grams)) = (kinds.get(row), users.get(row), grams.get(row)) else {
            continue;
        };
        if kind == "run" { by_user.push((user, grams)) } else { rest.push((kind, grams)) }
    }
    by_user.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(right.0)));
    let others = by_user.split_off(by_user.len().min(TOP_USERS));
    let largest = by_user.iter().chain(&rest).map(|(_, grams)| *grams).fold(0.0, f64::max);
    let (unit, scale) = scale_for(largest, &MASS_UNITS);
    let item =
        |name: String, used: f64, unused: f64| BarItem { name, segments: vec![used / scale, unused / scale] };
    let mut items: Vec<BarItem> = by_user
        .iter()
        .map(|(user, grams)| {
            let name = if user.is_empty() { "(no user)" } else { user };
            item(name.to_owned(), *grams, 0.0)
        })
        .collect();
    if !others.is_empty() {
        let total = sum(others.iter().map(|(_, grams)| *grams));
        items.push(item(format!("{} others", others.len()), total, 0.0));
    }
    items.extend(rest.iter().map(|(kind, grams)| item(format!("({kind})"), 0.0, *grams)));
    Ok(Bars {
        text: text(report, "Emissions by user"),
        items,
        segments: vec![
            SegmentStyle { name: "runs".to_owned(), muted: false },
            SegmentStyle { name: "no run".to_owned(), muted: true },
        ],
        x_label: unit.to_owned(),
    })
}

/// What of each node's energy runs used, and what not.
fn energy_by_node(report: &Report<'_>) -> PolarsResult<Bars> {
    let table = &report.by_node;
    let nodes = table.column("node")?.str()?;
    let columns: Vec<_> = BENEFICIARIES
        .iter()
        .map(|kind| table.column(&format!("{kind}_energy_kwh"))?.f64())
        .collect::<PolarsResult<_>>()?;
    let mut rows: Vec<(&str, Vec<f64>)> = nodes
        .iter()
        .enumerate()
        .map(|(row, node)| {
            let kwh = |column: &&polars::prelude::Float64Chunked| column.get(row).unwrap_or(0.0);
            let joules =
                columns.iter().map(|column| crate::units::KilowattHours(kwh(column)).to_joules().value());
            (node.unwrap_or_default(), joules.collect())
        })
        .collect();
    let shown = rows.len().min(TOP_NODES);
    if rows.len() > shown {
        rows.sort_by(|left, right| sum(right.1.iter().copied()).total_cmp(&sum(left.1.iter().copied())));
    }
    let others = rows.split_off(shown);
    if !others.is_empty() {
        let total = |kind: usize| sum(others.iter().filter_map(|(_, joules)| joules.get(kind)).copied());
        rows.push(("(other nodes)", (0..BENEFICIARIES.len()).map(total).collect()));
    }
    let largest = rows.iter().map(|(_, joules)| sum(joules.iter().copied())).fold(0.0, f64::max);
    let (unit, scale) = scale_for(largest, &ENERGY_UNITS);
    // A kind that no node has would only fill the legend.
    let kinds: Vec<usize> = (0..BENEFICIARIES.len())
        .filter(|kind| rows.iter().any(|(_, joules)| joules.get(*kind).is_some_and(|joules| *joules > 0.0)))
        .collect();
    let items = rows
        .into_iter()
        .map(|(node, joules)| BarItem {
            name: node.to_owned(),
            segments: kinds
                .iter()
                .filter_map(|kind| joules.get(*kind))
                .map(|joules| joules / scale)
                .collect(),
        })
        .collect();
    let segments = kinds
        .iter()
        .filter_map(|kind| BENEFICIARIES.get(*kind))
        .map(|kind| SegmentStyle { name: plural(kind).to_owned(), muted: *kind == "idle" })
        .collect();
    Ok(Bars {
        text: text(report, "Energy by node, used and idle"),
        items,
        segments,
        x_label: unit.to_owned(),
    })
}
