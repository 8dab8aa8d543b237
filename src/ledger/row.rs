//! One priced row of the ledger at a time: from the books of a node, or from a frame of rows.

use polars::prelude::{DataFrame, PolarsResult};

use super::claims::ShareMethod;
use super::device::DeviceBook;
use super::entry::{Beneficiary, Entry};
use super::method::Method;
use super::pricing::{Place, Pricer};
use super::{NodeBooks, Prices};
use crate::carbon::Tier;
use crate::jobs::Run;
use crate::meter::catalog::Component;
use crate::time::Window;
use crate::uncertainty::Widths;
use crate::units::{GramsPerKwh, Joules};

/// Below this share of the expected time nothing is extrapolated (rule C5).
const EXTRAPOLATE_FROM: f64 = 0.5;

/// One row: bucket × device × beneficiary, with its price.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Position of its bucket.
    pub bucket: usize,
    /// What kind of device.
    pub component: Component,
    /// Socket, GPU UUID, or empty for the only one of its kind.
    pub device: &'a str,
    /// Who it was used for.
    pub beneficiary: Beneficiary,
    /// How the device's energy was found.
    pub method: Method,
    /// How the share was found.
    pub share_method: ShareMethod,
    /// IT energy at the node, in joules.
    pub energy_j: f64,
    /// What it would be had the unseen time been as the seen, in joules; `None` where too little is known.
    pub energy_extrapolated_j: Option<f64>,
    /// How far off the placing at run edges may be, in joules.
    pub edge_error_j: f64,
    /// How far off the energy may be, in joules.
    pub widths: Widths,
    /// How much of the energy may be another GPU's, in joules.
    pub unbound_j: f64,
    /// Seconds that were seen.
    pub covered_s: f64,
    /// Seconds whose energy is known but not how it was spread.
    pub interpolated_s: f64,
    /// Seconds that should have been seen.
    pub expected_s: f64,
    /// Energy at the building's meter, in joules.
    pub facility_energy_j: f64,
    /// In gCO2e; `None` where unpriced.
    pub emissions_gco2e: Option<f64>,
    /// Upstream of them, in gCO2e; `None` where not known.
    pub upstream_gco2e: Option<f64>,
    /// The factor.
    pub price: RowPrice<'a>,
}

/// What a row was priced with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowPrice<'a> {
    /// Facility energy ÷ IT energy.
    pub pue: f64,
    /// In gCO2e/kWh; `None` where unpriced.
    pub intensity: Option<f64>,
    /// Whose factors apply, and where they are from.
    pub words: PriceWords<'a>,
}

/// What a factor is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriceWords<'a> {
    /// The zone.
    pub zone: Option<&'a str>,
    /// How the factor was come by.
    pub tier: Option<Tier>,
    /// Whose figure it is.
    pub source: Option<&'a str>,
    /// Of which edition.
    pub release: Option<&'a str>,
}

impl RowPrice<'_> {
    /// gCO2e for each joule of IT energy; `None` where unpriced.
    pub fn grams_per_j(&self) -> Option<f64> {
        self.intensity.map(|intensity| Joules(self.pue).to_kwh().emissions(GramsPerKwh(intensity)).value())
    }
}

/// Rule C5: what the energy would be had the unseen time been as the seen.
pub(super) fn extrapolated_j(entry: &Entry) -> Option<f64> {
    let known_s = entry.covered_s + entry.interpolated_s;
    (known_s > 0.0 && known_s >= EXTRAPOLATE_FROM * entry.expected_s)
        .then(|| entry.energy_j * (entry.expected_s / known_s).max(1.0))
}

/// The device and method of an entry.
pub(super) fn device_of<'n>(node: &'n NodeBooks, entry: &Entry) -> Option<(&'n DeviceBook, Method)> {
    let device = node.devices.get(entry.device)?;
    Some((device, device.chosen.get(entry.bucket).copied().unwrap_or(Method::None)))
}

/// Shows `visit` the rows of a node, by bucket, device and beneficiary.
pub fn visit_node(
    node: &NodeBooks,
    (buckets, runs): (&[Window], &[Run]),
    prices: Prices<'_>,
    mut visit: impl FnMut(&Row<'_>),
) {
    let mut pricer = Pricer::new(prices, runs, buckets);
    let node_zone = node.zone.as_deref();
    let zone_of = |entry: &Entry| match entry.beneficiary {
        Beneficiary::Run(run) => runs.get(run).and_then(|run| run.zone.as_deref()).or(node_zone),
        _ => node_zone,
    };
    // Rows of one zone and bucket stand together.
    for entries in
        node.entries.chunk_by(|one, other| one.bucket == other.bucket && zone_of(one) == zone_of(other))
    {
        let Some(first) = entries.first().filter(|entry| entry.bucket < buckets.len()) else { continue };
        let unit = pricer.unit(Place::of(node_zone, first));
        let words = PriceWords {
            zone: unit.zone.as_ref().map(|zone| zone.as_str()),
            tier: unit.factor.as_ref().map(|factor| factor.tier),
            source: unit.factor.as_ref().map(|factor| &*factor.source),
            release: unit.factor.as_ref().map(|factor| &*factor.release),
        };
        let intensity = unit.factor.as_ref().map(|factor| factor.intensity.value());
        let price = RowPrice { pue: unit.pue, intensity, words };
        for entry in entries {
            let Some((device, method)) = device_of(node, entry) else { continue };
            let priced = unit.of(entry.energy_j);
            visit(&Row {
                bucket: entry.bucket,
                component: device.key.component,
                device: &device.key.id,
                beneficiary: entry.beneficiary,
                method,
                share_method: entry.share_method,
                energy_j: entry.energy_j,
                energy_extrapolated_j: extrapolated_j(entry),
                edge_error_j: entry.edge_error_j,
                widths: device.widths(entry),
                unbound_j: entry.unbound_j,
                covered_s: entry.covered_s,
                interpolated_s: entry.interpolated_s,
                expected_s: entry.expected_s,
                facility_energy_j: priced.facility_energy_j,
                emissions_gco2e: priced.emissions_gco2e,
                upstream_gco2e: priced.upstream_gco2e,
                price,
            });
        }
    }
}

/// Shows `visit` the rows of a frame as [`entries_frame`](super::entries_frame) makes it, with their node.
///
/// # Errors
///
/// Where a column is missing.
pub fn visit_frame(entries: &DataFrame, mut visit: impl FnMut(&str, &Row<'_>)) -> PolarsResult<()> {
    let text = |name: &str| entries.column(name)?.str();
    let number = |name: &str| entries.column(name)?.f64();
    let (nodes, components, devices) = (text("node")?, text("component")?, text("device")?);
    let (kinds, methods, share_methods) = (text("beneficiary")?, text("method")?, text("share_method")?);
    let (bucket, runs) = (entries.column("bucket")?.u32()?, entries.column("run")?.u32()?);
    let (energy, extrapolated) = (number("energy_j")?, number("energy_extrapolated_j")?);
    let (edge_error, unbound) = (number("edge_error_j")?, number("unbound_j")?);
    let (low, high) = (number("width_low_j")?, number("width_high_j")?);
    let (unseen, placing) = (number("unseen_j")?, number("placing_j")?);
    let (covered, interpolated) = (number("covered_s")?, number("interpolated_s")?);
    let (expected, pue) = (number("expected_s")?, number("pue")?);
    let (facility, intensity) = (number("facility_energy_j")?, number("intensity_gco2e_per_kwh")?);
    let (emissions, upstream) = (number("emissions_gco2e")?, number("upstream_gco2e")?);
    let (zones, tiers) = (text("zone")?, text("intensity_tier")?);
    let (sources, releases) = (text("factor_source")?, text("factor_release")?);
    for row in 0..entries.height() {
        let of = |column: &polars::prelude::Float64Chunked| column.get(row).unwrap_or(0.0);
        let component = components.get(row).and_then(Component::named).unwrap_or(Component::Other);
        let method = methods.get(row).and_then(Method::named).unwrap_or(Method::None);
        let share_method =
            share_methods.get(row).and_then(ShareMethod::named).unwrap_or(ShareMethod::Remainder);
        let beneficiary = match (runs.get(row), kinds.get(row)) {
            (Some(run), _) => Beneficiary::Run(run as usize),
            (None, Some("idle")) => Beneficiary::Idle,
            (None, Some("infrastructure")) => Beneficiary::Infrastructure,
            _ => Beneficiary::Unattributed,
        };
        let words = PriceWords {
            zone: zones.get(row),
            tier: tiers.get(row).and_then(Tier::named),
            source: sources.get(row),
            release: releases.get(row),
        };
        visit(
            nodes.get(row).unwrap_or_default(),
            &Row {
                bucket: bucket.get(row).map_or(usize::MAX, |bucket| bucket as usize),
                component,
                device: devices.get(row).unwrap_or_default(),
                beneficiary,
                method,
                share_method,
                energy_j: of(energy),
                energy_extrapolated_j: extrapolated.get(row),
                edge_error_j: of(edge_error),
                widths: Widths { low: of(low), high: of(high), unseen: of(unseen), placing: of(placing) },
                unbound_j: of(unbound),
                covered_s: of(covered),
                interpolated_s: of(interpolated),
                expected_s: of(expected),
                facility_energy_j: of(facility),
                emissions_gco2e: emissions.get(row),
                upstream_gco2e: upstream.get(row),
                price: RowPrice { pue: of(pue), intensity: intensity.get(row), words },
            },
        );
    }
    Ok(())
}
