//! Embodied emissions as the tables have them.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, PolarsResult, SortMultipleOptions};

use super::tables::BENEFICIARIES;
use crate::ledger::{Beneficiary, Books, EmbodiedDevice};
use crate::sum::Sum;

/// The column in every table that has it.
pub(super) const EMBODIED: &str = "embodied_amortised_gco2e";

/// What falls on one beneficiary of one device.
pub(super) struct Row<'b> {
    pub(super) node: &'b str,
    pub(super) beneficiary: Beneficiary,
    pub(super) gco2e: f64,
}

/// All rows, in a fixed order.
pub(super) fn rows(books: &Books) -> Vec<Row<'_>> {
    let of_device = |node, device: &'_ EmbodiedDevice| -> Vec<Row<'_>> {
        device
            .shares
            .iter()
            .map(|(beneficiary, gco2e)| Row { node, beneficiary: *beneficiary, gco2e: *gco2e })
            .collect()
    };
    let mut found = Vec::new();
    for node in &books.nodes {
        for device in &node.embodied {
            found.extend(of_device(node.name.as_str(), device));
        }
    }
    found
}

/// Sums of the rows by a key.
pub(super) fn by<'b, K: Ord>(rows: &[Row<'b>], key: impl Fn(&Row<'b>) -> Option<K>) -> BTreeMap<K, f64> {
    let mut sums: BTreeMap<K, Sum> = BTreeMap::new();
    for row in rows {
        if let Some(key) = key(row) {
            sums.entry(key).or_default().add(row.gco2e);
        }
    }
    sums.into_iter().map(|(key, sum)| (key, sum.value())).collect()
}

/// Puts the sums of texts beside the rows of a table with these text columns; what no row is of gets one of its own, in which all else
/// is unknown.
pub(super) fn join(
    table: DataFrame,
    keys: &[&str],
    mut sums: BTreeMap<Vec<String>, f64>,
) -> PolarsResult<DataFrame> {
    let columns = keys.iter().map(|key| table.column(key)?.str()).collect::<PolarsResult<Vec<_>>>()?;
    let key_of = |row: usize| -> Vec<String> {
        columns.iter().map(|column| column.get(row).unwrap_or_default().to_owned()).collect()
    };
    let found: Vec<Option<f64>> = (0..table.height()).map(|row| sums.remove(&key_of(row))).collect();
    let mut all = table.columns().to_vec();
    all.push(Column::new(EMBODIED.into(), found));
    let table = DataFrame::new(table.height(), all)?;
    if sums.is_empty() {
        return Ok(table);
    }
    let extra = table.columns().iter().map(|column| {
        let name = column.name();
        if let Some(at) = keys.iter().position(|key| *key == name.as_str()) {
            let texts: Vec<&str> = sums.keys().filter_map(|key| key.get(at)).map(String::as_str).collect();
            Ok(Column::new(name.clone(), texts))
        } else if name.as_str() == EMBODIED {
            Ok(Column::new(name.clone(), sums.values().copied().collect::<Vec<f64>>()))
        } else {
            Ok(Column::full_null(name.clone(), sums.len(), column.dtype()))
        }
    });
    let extra = DataFrame::new(sums.len(), extra.collect::<PolarsResult<Vec<Column>>>()?)?;
    let both = table.vstack(&extra)?;
    both.sort(keys.iter().copied(), SortMultipleOptions::default())
}

/// `embodied.csv`: every device with its footprint, and who had what of it.
pub(super) fn table(books: &Books) -> PolarsResult<DataFrame> {
    let devices: Vec<(&str, &EmbodiedDevice)> = books
        .nodes
        .iter()
        .flat_map(|node| node.embodied.iter().map(|device| (node.name.as_str(), device)))
        .collect();
    let text = |name: &str, value: &dyn Fn(&(&str, &EmbodiedDevice)) -> String| {
        Column::new(name.into(), devices.iter().map(value).collect::<Vec<String>>())
    };
    let number = |name: &str, value: &dyn Fn(&EmbodiedDevice) -> f64| {
        Column::new(name.into(), devices.iter().map(|(_, device)| value(device)).collect::<Vec<f64>>())
    };
    let mut columns = vec![
        text("node", &|(node, _)| (*node).to_owned()),
        text("device", &|(_, device)| device.device.clone()),
        text("model", &|(_, device)| device.model.clone()),
        number("embodied_kgco2e", &|device| device.footprint.kgco2e),
        text("of_model", &|(_, device)| device.footprint.is_of_model.to_string()),
        text("source", &|(_, device)| device.footprint.source.to_string()),
        number("lifetime_years", &|device| device.lifetime_years),
        number("in_service_s", &|device| device.in_service_s),
        number(EMBODIED, &EmbodiedDevice::amortised_gco2e),
    ];
    for kind in BENEFICIARIES {
        let of_kind = |device: &EmbodiedDevice| {
            let shares = device.shares.iter().filter(|(beneficiary, _)| beneficiary.kind() == kind);
            crate::sum::sum(shares.map(|(_, gco2e)| *gco2e))
        };
        columns.push(number(&format!("{kind}_{EMBODIED}"), &of_kind));
    }
    DataFrame::new(devices.len(), columns)
}
