//! Pictures that set users, accounts, runs and nodes side by side.

use polars::prelude::PolarsResult;

use super::super::Report;
use super::super::chart::{BarItem, Bars, SegmentStyle, scale_for};
use super::super::tables::{BENEFICIARIES, COMPONENTS};
use super::{ENERGY_UNITS, MASS_UNITS, component_name, counted, listed, percent, period, plural, text};
use crate::sum::sum;
use crate::units::KilowattHours;

/// Users and accounts shown by name; the rest is one bar.
const TOP_NAMES: usize = 15;
/// Runs shown.
const TOP_RUNS: usize = 20;
/// Nodes shown at most.
const TOP_NODES: usize = 100;

fn joules(kwh: f64) -> f64 {
    KilowattHours(kwh).to_joules().value()
}

/// Emissions by user: the greatest, the others together, and what no run used.
pub(super) fn emissions_by_user(report: &Report<'_>) -> PolarsResult<Bars> {
    emissions_by(report, &report.by_user, "user")
}

/// The same by account.
pub(super) fn emissions_by_account(report: &Report<'_>) -> PolarsResult<Bars> {
    emissions_by(report, &report.by_account, "account")
}

fn emissions_by(
    report: &Report<'_>,
    table: &polars::prelude::DataFrame,
    column: &'static str,
) -> PolarsResult<Bars> {
    let kinds = table.column("beneficiary")?.str()?;
    let names = table.column(column)?.str()?;
    let grams = table.column("emissions_gco2e")?.f64()?;
    let mut named: Vec<(&str, f64)> = Vec::new();
    let mut rest: Vec<(&str, f64)> = Vec::new();
    for row in 0..table.height() {
        let (Some(kind), Some(name), Some(grams)) = (kinds.get(row), names.get(row), grams.get(row)) else {
            continue;
        };
        if kind == "run" { named.push((name, grams)) } else { rest.push((kind, grams)) }
    }
    named.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(right.0)));
    let all = named.len();
    let others = named.split_off(named.len().min(TOP_NAMES));
    let of_others = sum(others.iter().map(|(_, grams)| *grams));
    let largest = named.iter().chain(&rest).map(|(_, grams)| *grams).fold(of_others, f64::max);
    let (unit, scale) = scale_for(largest, &MASS_UNITS);
    let item =
        |name: String, used: f64, unused: f64| BarItem { name, segments: vec![used / scale, unused / scale] };
    let no_name = format!("(no {column})");
    let shown = |name: &'_ str| if name.is_empty() { no_name.clone() } else { name.to_owned() };
    let mut items: Vec<BarItem> = named.iter().map(|(name, grams)| item(shown(name), *grams, 0.0)).collect();
    if !others.is_empty() {
        items.push(item(format!("{} others", others.len()), of_others, 0.0));
    }
    items.extend(rest.iter().map(|(kind, grams)| item(format!("({kind})"), 0.0, *grams)));
    let figures = named.iter().chain(&rest).map(|(name, grams)| (*name, grams / scale));
    let alt =
        format!("Emissions by {column}, {}, {all} in all: {}", period(report), listed(figures, unit, 5));
    Ok(Bars {
        text: text(report, &format!("Emissions by {column}"), "", alt),
        items,
        segments: vec![
            SegmentStyle { name: "runs".to_owned(), muted: false },
            SegmentStyle { name: "no run".to_owned(), muted: true },
        ],
        x_label: format!("emissions ({unit})"),
    })
}

/// The runs with most energy, by component.
pub(super) fn runs_by_energy(report: &Report<'_>) -> PolarsResult<Bars> {
    let table = &report.runs;
    let mut runs: Vec<(usize, f64)> = Vec::new();
    // Without a window there are no runs, and no columns of energy.
    if let Ok(energy) = table.column("energy_kwh") {
        let energy = energy.f64()?.iter().enumerate();
        runs.extend(energy.filter_map(|(row, kwh)| Some((row, joules(kwh.filter(|kwh| *kwh > 0.0)?)))));
    }
    runs.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    let (count, all) = (runs.len(), sum(runs.iter().map(|(_, joules)| *joules)));
    runs.truncate(TOP_RUNS);
    let shown = sum(runs.iter().map(|(_, joules)| *joules));
    let (unit, scale) = scale_for(runs.first().map_or(0.0, |(_, joules)| *joules), &ENERGY_UNITS);
    let words = |name: &str| table.column(name).and_then(|column| column.str());
    let (ids, restarts) = (words("run_id")?, words("restart")?);
    let (users, names) = (words("user")?, words("name")?);
    let name_of = |row: usize| {
        let restart = restarts.get(row).filter(|restart| *restart != "0");
        let id = ids.get(row).unwrap_or_default();
        let id = restart.map_or_else(|| id.to_owned(), |restart| format!("{id} (restart {restart})"));
        let words = [Some(id.as_str()), users.get(row), names.get(row)];
        words.into_iter().flatten().filter(|word| !word.is_empty()).collect::<Vec<&str>>().join(" · ")
    };
    let mut components = Vec::new();
    for component in COMPONENTS {
        let Ok(column) = table.column(&format!("{component}_energy_kwh")) else { continue };
        let column = column.f64()?;
        let of = |row: usize| joules(column.get(row).unwrap_or(0.0)) / scale;
        let values: Vec<f64> = runs.iter().map(|(row, _)| of(*row)).collect();
        // A component that no run has would only fill the legend.
        if values.iter().any(|value| *value > 0.0) {
            components.push((component.as_str(), values));
        }
    }
    let items: Vec<BarItem> = runs
        .iter()
        .enumerate()
        .map(|(place, (row, _))| BarItem {
            name: name_of(*row),
            segments: components.iter().filter_map(|(_, values)| values.get(place)).copied().collect(),
        })
        .collect();
    let note = match runs.len() {
        some if some < count => {
            format!("{some} of {count} runs, with {} of the energy of all runs", percent(shown / all))
        }
        _ => String::new(),
    };
    let figures = items.iter().zip(&runs).map(|(item, (_, joules))| (item.name.as_str(), joules / scale));
    let alt = format!(
        "Of {} those with most energy, {}: {}",
        counted(count, "run"),
        period(report),
        listed(figures, unit, 3)
    );
    let segments = components
        .iter()
        .map(|(component, _)| SegmentStyle {
            name: component_name(component).to_owned(),
            muted: *component == "other",
        })
        .collect();
    Ok(Bars {
        text: text(report, "Runs with most energy", &note, alt),
        items,
        segments,
        x_label: format!("energy ({unit})"),
    })
}

/// What of each node's energy runs used, and what not.
pub(super) fn energy_by_node(report: &Report<'_>) -> PolarsResult<Bars> {
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
            let of = |column: &&polars::prelude::Float64Chunked| joules(column.get(row).unwrap_or(0.0));
            (node.unwrap_or_default(), columns.iter().map(of).collect())
        })
        .collect();
    let all = rows.len();
    let of_kind = |kind: usize| sum(rows.iter().filter_map(|(_, joules)| joules.get(kind)).copied());
    let totals: Vec<f64> = (0..BENEFICIARIES.len()).map(of_kind).collect();
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
    let whole = sum(totals.iter().copied());
    let (total_unit, total_scale) = scale_for(whole, &ENERGY_UNITS);
    let figures =
        BENEFICIARIES.iter().zip(&totals).map(|(kind, joules)| (plural(kind), joules / total_scale));
    let alt = format!(
        "Energy of {}, used and idle, {}: in all {}",
        counted(all, "node"),
        period(report),
        listed(figures, total_unit, BENEFICIARIES.len())
    );
    Ok(Bars {
        text: text(report, "Energy by node, used and idle", "", alt),
        items,
        segments,
        x_label: format!("energy ({unit})"),
    })
}
