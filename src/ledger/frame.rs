//! The ledger as a Polars frame: one row for each entry, with the columns of
//! the ledger's schema. Everything after this is grouping.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, PolarsResult};

use super::Books;
use super::entry::Beneficiary;
use super::pricing::{Place, Pricer, Prices};
use super::row::{device_of, extrapolated_j};
use crate::jobs::Run;
use crate::time::Window;

/// The price of rows.
#[derive(Default)]
struct PriceColumns {
    pue: Vec<f64>,
    facility_energy_j: Vec<f64>,
    zone: Vec<Option<String>>,
    intensity: Vec<Option<f64>>,
    tier: Vec<Option<String>>,
    estimated: Vec<Option<bool>>,
    source: Vec<Option<String>>,
    release: Vec<Option<String>>,
    emissions_gco2e: Vec<Option<f64>>,
    upstream_gco2e: Vec<Option<f64>>,
}

/// `entries` with their prices, in place of those that they may have had: rules G1 to G3, T3. `zones` are those stated for nodes.
///
/// # Errors
///
/// Where a column is missing.
pub fn priced(
    mut entries: DataFrame,
    buckets: &[Window],
    zones: &BTreeMap<&str, &str>,
    runs: &[Run],
    prices: Prices<'_>,
) -> PolarsResult<DataFrame> {
    let mut columns = PriceColumns::default();
    let mut pricer = Pricer::new(prices, runs, buckets);
    let (nodes, numbers) = (entries.column("node")?.str()?, entries.column("run")?.u32()?);
    let (bucket, energy) = (entries.column("bucket")?.u32()?, entries.column("energy_j")?.f64()?);
    let mut last: Option<(&str, Option<&str>)> = None;
    for row in 0..entries.height() {
        let node = nodes.get(row).unwrap_or_default();
        let node_zone = match last {
            Some((known, zone)) if known == node => zone,
            _ => zones.get(node).copied(),
        };
        last = Some((node, node_zone));
        let place = Place {
            node_zone,
            run: numbers.get(row).map(|run| run as usize),
            bucket: bucket.get(row).map_or(usize::MAX, |bucket| bucket as usize),
        };
        let priced = pricer.price(place, energy.get(row).unwrap_or(0.0));
        columns.pue.push(priced.pue);
        columns.facility_energy_j.push(priced.facility_energy_j);
        columns.zone.push(priced.zone.map(|zone| zone.as_str().to_owned()));
        columns.emissions_gco2e.push(priced.emissions_gco2e);
        columns.upstream_gco2e.push(priced.upstream_gco2e);
        let factor = priced.factor;
        columns.intensity.push(factor.as_ref().map(|factor| factor.intensity.value()));
        columns.tier.push(factor.as_ref().map(|factor| factor.tier.to_string()));
        columns.estimated.push(factor.as_ref().map(|factor| factor.estimated));
        columns.source.push(factor.as_ref().map(|factor| factor.source.to_string()));
        columns.release.push(factor.as_ref().map(|factor| factor.release.to_string()));
    }
    let basis = prices.intensity.basis().to_string();
    for column in [
        Column::new("pue".into(), columns.pue),
        Column::new("facility_energy_j".into(), columns.facility_energy_j),
        Column::new("zone".into(), columns.zone),
        Column::new("intensity_gco2e_per_kwh".into(), columns.intensity),
        Column::new("intensity_tier".into(), columns.tier),
        Column::new("intensity_estimated".into(), columns.estimated),
        Column::new("basis".into(), vec![basis; entries.height()]),
        Column::new("factor_source".into(), columns.source),
        Column::new("factor_release".into(), columns.release),
        Column::new("emissions_gco2e".into(), columns.emissions_gco2e),
        Column::new("upstream_gco2e".into(), columns.upstream_gco2e),
    ] {
        entries.with_column(column)?;
    }
    Ok(entries)
}

/// Number of a run in the frame's `run` column; rows of nobody's run have none.
fn run_number(beneficiary: Beneficiary) -> Option<u32> {
    match beneficiary {
        Beneficiary::Run(run) => u32::try_from(run).ok(),
        _ => None,
    }
}

#[derive(Default)]
struct Columns {
    bucket: Vec<u32>,
    bucket_start_ms: Vec<i64>,
    node: Vec<String>,
    component: Vec<&'static str>,
    device: Vec<String>,
    beneficiary: Vec<&'static str>,
    run: Vec<Option<u32>>,
    energy_j: Vec<f64>,
    energy_extrapolated_j: Vec<Option<f64>>,
    edge_error_j: Vec<f64>,
    width_low_j: Vec<f64>,
    width_high_j: Vec<f64>,
    unseen_j: Vec<f64>,
    placing_j: Vec<f64>,
    unbound_j: Vec<f64>,
    covered_s: Vec<f64>,
    interpolated_s: Vec<f64>,
    expected_s: Vec<f64>,
    method: Vec<&'static str>,
    share_method: Vec<&'static str>,
}

/// All entries of `books`, in the order node, device, bucket, beneficiary
/// being that of the nodes' own rows: bucket, device, beneficiary.
///
/// # Errors
///
/// Only if Polars refuses the columns.
pub fn entries_frame(books: &Books, runs: &[Run], prices: Prices<'_>) -> PolarsResult<DataFrame> {
    let mut columns = Columns::default();
    for node in &books.nodes {
        for entry in &node.entries {
            let (Some((device, method)), Some(bucket)) =
                (device_of(node, entry), books.buckets.get(entry.bucket))
            else {
                continue;
            };
            columns.bucket.push(u32::try_from(entry.bucket).unwrap_or(u32::MAX));
            columns.bucket_start_ms.push(bucket.start_ms);
            columns.node.push(node.name.clone());
            columns.component.push(device.key.component.as_str());
            columns.device.push(device.key.id.clone());
            columns.beneficiary.push(entry.beneficiary.kind());
            columns.run.push(run_number(entry.beneficiary));
            columns.energy_j.push(entry.energy_j);
            columns.energy_extrapolated_j.push(extrapolated_j(entry));
            columns.edge_error_j.push(entry.edge_error_j);
            let widths = device.widths(entry);
            columns.width_low_j.push(widths.low);
            columns.width_high_j.push(widths.high);
            columns.unseen_j.push(widths.unseen);
            columns.placing_j.push(widths.placing);
            columns.unbound_j.push(entry.unbound_j);
            columns.covered_s.push(entry.covered_s);
            columns.interpolated_s.push(entry.interpolated_s);
            columns.expected_s.push(entry.expected_s);
            columns.method.push(method.as_str());
            columns.share_method.push(entry.share_method.as_str());
        }
    }
    let zones: BTreeMap<&str, &str> =
        books.nodes.iter().filter_map(|node| Some((node.name.as_str(), node.zone.as_deref()?))).collect();
    priced(columns.into_frame()?, &books.buckets, &zones, runs, prices)
}

impl Columns {
    fn into_frame(self) -> PolarsResult<DataFrame> {
        let rows = self.bucket.len();
        DataFrame::new(
            rows,
            vec![
                Column::new("bucket".into(), self.bucket),
                Column::new("bucket_start_ms".into(), self.bucket_start_ms),
                Column::new("node".into(), self.node),
                Column::new("component".into(), self.component),
                Column::new("device".into(), self.device),
                Column::new("beneficiary".into(), self.beneficiary),
                Column::new("run".into(), self.run),
                Column::new("energy_j".into(), self.energy_j),
                Column::new("energy_extrapolated_j".into(), self.energy_extrapolated_j),
                Column::new("edge_error_j".into(), self.edge_error_j),
                Column::new("width_low_j".into(), self.width_low_j),
                Column::new("width_high_j".into(), self.width_high_j),
                Column::new("unseen_j".into(), self.unseen_j),
                Column::new("placing_j".into(), self.placing_j),
                Column::new("unbound_j".into(), self.unbound_j),
                Column::new("covered_s".into(), self.covered_s),
                Column::new("interpolated_s".into(), self.interpolated_s),
                Column::new("expected_s".into(), self.expected_s),
                Column::new("method".into(), self.method),
                Column::new("share_method".into(), self.share_method),
            ],
        )
    }
}
