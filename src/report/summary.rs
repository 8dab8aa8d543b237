//! `summary.json`: the totals, the proof that they add up, and everything that
//! is needed to make them again.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::Subject;
use super::rollup::{Figure, Figures, PricePart, Rollup};
use super::tables::{BENEFICIARIES, COMPONENTS};
use crate::carbon::Equivalents;
use crate::ledger::{Balance, Balances, Books};
use crate::sum::Sum;
use crate::time::{format_instant, span};
use crate::units::{GramsCo2e, Joules};

/// Differences that are listed by name for each balance.
const LISTED: usize = 20;

/// A file that went into a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputFile {
    /// What it is for: `snapshot`, `jobs`, `intensity`, `config`.
    pub role: &'static str,
    /// Its name; for a snapshot that of the block's part that identifies it.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// What a report was made from and how, as far as the books do not tell.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// Title that fits the basis of the factors.
    pub title: String,
    /// The files.
    pub inputs: Vec<InputFile>,
    /// The settings, by name.
    pub settings: BTreeMap<&'static str, String>,
    /// True if the input was simulated.
    pub simulated: bool,
    /// Blocks, chunks and lines that could not be used, or were left out on purpose.
    pub left_out: Vec<String>,
    /// What the job log held.
    pub jobs: BTreeMap<&'static str, u64>,
    /// Scrape jobs that Prometheus had.
    pub scrape_jobs: Vec<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// Attribution that the licences of the factors ask for.
    pub attributions: Vec<String>,
}

fn balance(balance: &Balance, meaning: &str) -> Value {
    let failures: Vec<Value> = balance
        .failures
        .iter()
        .take(LISTED)
        .map(|failed| json!({"what": failed.what, "left_j": failed.left_j, "right_j": failed.right_j}))
        .collect();
    json!({
        "meaning": meaning,
        "closes": balance.closes(),
        "compared": balance.compared,
        "left_j": balance.left_j,
        "right_j": balance.right_j,
        "worst_relative_difference": balance.worst_relative,
        "failures": balance.failures.len(),
        "failed": failures,
    })
}

fn balances(balances: &Balances) -> Value {
    json!({
        "closes": balances.close(),
        "tolerance": 1e-9,
        "B1": balance(&balances.entries, "sum of entries = curve at end - curve at start, by device and bucket"),
        "B2": balance(&balances.increments, "sum of buckets + outside = increments summed while decoding, by device and method"),
        "B3": balance(&balances.node_meters, "node meter = parts + other - overmeasured, by node and bucket"),
        "outside_window_j": balances.outside_j,
        "node_meter_unmatched_j": balances.unmatched_j,
        "overmeasured_j": balances.overmeasured_j,
    })
}

/// Shares of a total, as numbers from 0 to 1.
fn shares<'n>(parts: &BTreeMap<&'n str, f64>) -> BTreeMap<&'n str, f64> {
    let total = crate::sum::sum(parts.values().copied());
    parts.iter().map(|(name, part)| (*name, if total > 0.0 { part / total } else { 0.0 })).collect()
}

/// The whole of `summary.json`.
pub(super) fn summary(rollup: &Rollup, subject: &Subject<'_>, equivalents: &Equivalents) -> Value {
    let Subject { books, runs, basis, provenance, .. } = *subject;
    let sums = rollup.all();
    let energy_j = sums.energy_j(None);
    let emissions = sums.emissions_gco2e();
    let by_kind = rollup.by_kind();
    let kwh = |joules: f64| Joules(joules).to_kwh().value();
    let by_beneficiary: BTreeMap<&str, f64> =
        BENEFICIARIES.into_iter().zip(by_kind).map(|(kind, sums)| (kind, kwh(sums.energy_j(None)))).collect();
    let by_component: BTreeMap<&str, f64> = COMPONENTS
        .into_iter()
        .map(|component| (component.as_str(), kwh(sums.energy_j(Some(component)))))
        .collect();
    let by_method = sums.method.sums(|method| Some(method.as_str()));
    let by_share = sums.share_method.sums(|method| Some(method.as_str()));
    let by_price = |part| sums.price.sums(|word| Some(rollup.words().text(word, part).unwrap_or("unpriced")));
    let (by_tier, by_source) = (by_price(PricePart::Tier), by_price(PricePart::Source));
    let window = span(&books.buckets).map(
        |window| json!({"start": format_instant(window.start_ms), "end": format_instant(window.end_ms)}),
    );
    let tallies = tallies(subject);
    let mut all = json!({
        "title": provenance.title,
        "simulated": provenance.simulated,
        "wattledger_version": env!("CARGO_PKG_VERSION"),
        "window": window,
        "energy_kwh": kwh(energy_j),
        "energy_j": energy_j,
        "facility_energy_kwh": kwh(sums.facility_energy_j()),
        "energy_extrapolated_kwh": sums.extrapolated_j().map(kwh),
        "energy_kwh_by_beneficiary": by_beneficiary,
        "energy_kwh_by_component": by_component,
        "energy_share_by_method": shares(&by_method),
        "energy_share_by_share_method": shares(&by_share),
        "emissions_gco2e": emissions,
        "basis": basis.to_string(),
        "energy_share_by_intensity_tier": shares(&by_tier),
        "energy_share_by_factor_source": shares(&by_source),
        "equivalents": equivalents.all().iter().map(|like| {
            let count = emissions.map(|grams| like.count(GramsCo2e(grams)));
            (like.name.clone(), json!({"count": count, "what": like.unit, "source": like.source}))
        }).collect::<serde_json::Map<String, Value>>(),
        "coverage": coverage(books),
        "balances": balances(&books.balances),
        "nodes": books.nodes.len(),
        "nodes_without_series": books.nodes_without_series.iter().map(|(name, partner)| {
            json!({"node": name, "nearest": partner})
        }).collect::<Vec<_>>(),
        "runs": runs.len(),
        "jobs_covered": books.jobs_covered.map(|covered| covered.to_string()),
        "job_log": provenance.jobs,
        "scrape_jobs": provenance.scrape_jobs,
        "meters": tallies,
        "samples": {
            "read": books.read.samples,
            "decoded": books.read.decoded,
            "chunks": books.read.chunks,
            "chunks_skipped_by_encoding": books.read.chunks_skipped,
            "samples_skipped_by_encoding": books.read.samples_skipped,
            "chunks_damaged": books.read.chunks_damaged,
            "duplicates_dropped": books.read.duplicates_dropped,
            "conflicting_duplicates": books.read.conflicts,
            "deleted_by_tombstones": books.read.deleted,
            "stale_markers": books.read.stale_markers,
        },
        "left_out": provenance.left_out,
        "settings": provenance.settings,
        "inputs": provenance.inputs,
        "notes": provenance.notes,
        "attributions": provenance.attributions,
    });
    if let (Value::Object(all), Value::Object(bounds)) = (&mut all, bounds(sums, by_kind, rollup.bucket_ms()))
    {
        all.extend(bounds);
    }
    all
}

/// How far off the totals may be.
fn bounds(sums: &Figures, by_kind: &[Figures], bucket_ms: i64) -> Value {
    let kwh = |joules: f64| Joules(joules).to_kwh().value();
    let of_energy = sums.bounds(Figure::Energy, None, bucket_ms).unwrap_or_default();
    let of_facility = sums.bounds(Figure::Facility, None, bucket_ms).unwrap_or_default();
    let of_emissions = sums.bounds(Figure::Emissions, None, bucket_ms);
    let part = |sums: &Figures, component| {
        let (low, high) = sums.bounds(Figure::Energy, component, bucket_ms).unwrap_or_default();
        [kwh(low), kwh(high)]
    };
    let by_kind: BTreeMap<&str, [f64; 2]> =
        BENEFICIARIES.into_iter().zip(by_kind).map(|(kind, sums)| (kind, part(sums, None))).collect();
    let by_component: BTreeMap<&str, [f64; 2]> =
        COMPONENTS.into_iter().map(|component| (component.as_str(), part(sums, Some(component)))).collect();
    json!({
        "energy_kwh_low": kwh(of_energy.0),
        "energy_kwh_high": kwh(of_energy.1),
        "facility_energy_kwh_low": kwh(of_facility.0),
        "facility_energy_kwh_high": kwh(of_facility.1),
        "emissions_gco2e_low": of_emissions.map(|bounds| bounds.0),
        "emissions_gco2e_high": of_emissions.map(|bounds| bounds.1),
        "energy_kwh_bounds_by_beneficiary": by_kind,
        "energy_kwh_bounds_by_component": by_component,
    })
}

/// Share of the expected time that is known, over all devices. From the devices
/// themselves: their rows hold the same seconds once for each beneficiary.
fn coverage(books: &Books) -> Value {
    let (mut covered, mut interpolated, mut expected) = (Sum::new(), Sum::new(), Sum::new());
    for device in books.nodes.iter().flat_map(|node| &node.devices) {
        covered.add(device.covered_s);
        interpolated.add(device.interpolated_s);
        expected.add(device.expected_s);
    }
    let expected = expected.value();
    let share = |part: Sum| if expected > 0.0 { Value::from(part.value() / expected) } else { Value::Null };
    json!({
        "covered": share(covered),
        "interpolated": share(interpolated),
        "expected_device_seconds": expected,
    })
}

/// What was dropped, corrected and missing, over all meters.
fn tallies(subject: &Subject<'_>) -> Value {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut missing: BTreeMap<&str, Sum> = BTreeMap::new();
    let mut beyond = Sum::new();
    let devices = subject.books.nodes.iter().flat_map(|node| &node.devices);
    let of_devices = devices.flat_map(|device| &device.methods).map(|method| &method.tally);
    let of_nodes = subject.books.nodes.iter().filter_map(|node| node.node_meter.as_ref());
    for tally in of_devices.chain(of_nodes.map(|meter| &meter.tally)) {
        for (name, count) in [
            ("samples", tally.samples),
            ("dropped_not_finite", tally.not_finite),
            ("dropped_blank", tally.blank),
            ("dropped_impossible", tally.impossible),
            ("dropped_outliers", tally.outliers),
            ("wraps_corrected", tally.wraps),
            ("resets", tally.resets),
        ] {
            *counts.entry(name).or_default() += count;
        }
        beyond.add(tally.beyond_longest_gap_j);
        for (reason, seconds) in &tally.missing_s {
            missing.entry(reason.as_str()).or_default().add(*seconds);
        }
    }
    let missing: BTreeMap<&str, f64> =
        missing.into_iter().map(|(reason, sum)| (reason, sum.value())).collect();
    json!({
        "counts": counts,
        "missing_device_seconds_by_reason": missing,
        "increase_over_gaps_of_more_than_a_day_j": beyond.value(),
    })
}
