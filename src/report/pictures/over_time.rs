//! Pictures of the whole over time: by hour, by day, and both.

use std::collections::BTreeMap;

use polars::prelude::PolarsResult;

use super::super::Report;
use super::super::chart::{
    Calendar, CalendarDay, Layer, LayerKind, Overlay, StackedTime, scale_for, three_digits,
};
use super::super::rollup::BucketSums;
use super::super::tables::{BENEFICIARIES, COMPONENTS};
use super::{ENERGY_UNITS, MASS_UNITS, POWER_UNITS, component_name, counted, listed, period, plural, text};
use crate::sum::{Sum, sum};
use crate::time::{DAY_MS, HOUR_MS, Window, day_of};
use crate::units::{Joules, Seconds};

/// What `pick` takes of each bucket, for each of `names`; without those of which no bucket has anything.
fn by_bucket<const N: usize>(
    report: &Report<'_>,
    names: [&str; N],
    pick: impl Fn(&BucketSums) -> [Option<Sum>; N],
) -> BTreeMap<String, Vec<f64>> {
    let buckets: Vec<[Option<Sum>; N]> = report.rollup.over_time().iter().map(pick).collect();
    let of = |at: usize| buckets.iter().map(move |sums| sums.get(at).copied().flatten());
    let found = names.iter().enumerate().filter(|(at, _)| of(*at).any(|sum| sum.is_some()));
    found
        .map(|(at, name)| ((*name).to_owned(), of(at).map(|sum| sum.map_or(0.0, Sum::value)).collect()))
        .collect()
}

/// Emissions of each bucket in gCO2e by kind of beneficiary.
fn grams_by_kind(report: &Report<'_>) -> BTreeMap<String, Vec<f64>> {
    by_bucket(report, BENEFICIARIES, |sums| sums.emissions_gco2e)
}

/// Largest total over all layers in one bucket.
fn highest(layers: &BTreeMap<String, Vec<f64>>, buckets: usize) -> f64 {
    (0..buckets)
        .map(|bucket| sum(layers.values().filter_map(|values| values.get(bucket)).copied()))
        .fold(0.0, f64::max)
}

/// Mean power by component, with the carbon intensity over it.
pub(super) fn power(report: &Report<'_>) -> PolarsResult<StackedTime> {
    let buckets = &report.subject.books.buckets;
    let joules = by_bucket(report, COMPONENTS.map(|component| component.as_str()), |sums| sums.energy_j);
    let seconds = Seconds(buckets.iter().map(|bucket| bucket.length_s()).sum());
    let mut watts = joules.clone();
    for values in watts.values_mut() {
        for (value, bucket) in values.iter_mut().zip(buckets) {
            *value = Joules(*value).mean_power(Seconds(bucket.length_s())).value();
        }
    }
    let most = highest(&watts, buckets.len());
    let (unit, scale) = scale_for(most, &POWER_UNITS);
    let mean = |component: &str| {
        let joules = joules.get(component).map_or(0.0, |values| sum(values.iter().copied()));
        if seconds.value() > 0.0 { Joules(joules).mean_power(seconds).value() / scale } else { 0.0 }
    };
    let means = COMPONENTS.iter().map(|component| component.as_str());
    let means = means.map(|component| (component_name(component), mean(component)));
    let overlay = intensity(report);
    let mut alt = format!(
        "Mean power by component, {}: at most {} {unit}, over the whole time {}",
        period(report),
        three_digits(most / scale),
        listed(means, unit, COMPONENTS.len())
    );
    if let Some(overlay) = &overlay {
        let known = || overlay.values.iter().flatten().copied();
        alt.push_str(&format!(
            "; the carbon intensity lies between {} and {} {}",
            three_digits(known().fold(f64::INFINITY, f64::min)),
            three_digits(known().fold(0.0, f64::max)),
            overlay.y_label
        ));
    }
    let layers = COMPONENTS
        .iter()
        .filter_map(|component| {
            let values = watts.get(component.as_str())?;
            let kind = if component.as_str() == "other" { LayerKind::Muted } else { LayerKind::Normal };
            let values = values.iter().map(|value| value / scale).collect();
            Some(Layer { name: component_name(component.as_str()).to_owned(), values, kind })
        })
        .collect();
    Ok(StackedTime {
        text: text(report, "Power by component and carbon intensity", "", alt),
        buckets: buckets.clone(),
        layers,
        y_label: format!("mean power ({unit})"),
        overlay,
    })
}

/// Mean intensity of each bucket, weighted by what was used.
fn intensity(report: &Report<'_>) -> Option<Overlay> {
    let sums = report.rollup.over_time().iter().map(|sums| sums.weighted);
    let values: Vec<Option<f64>> = sums
        .map(|(weighted, weights)| (weights.value() > 0.0).then(|| weighted.value() / weights.value()))
        .collect();
    values.iter().any(Option::is_some).then(|| Overlay {
        name: "carbon intensity".to_owned(),
        values,
        y_label: "gCO₂e/kWh".to_owned(),
    })
}

/// What the emissions of each kind of beneficiary are called and how they step back.
fn layers(by_kind: &BTreeMap<String, Vec<f64>>, scale: f64) -> Vec<Layer> {
    BENEFICIARIES
        .iter()
        .filter_map(|kind| {
            let values = by_kind.get(*kind)?.iter().map(|value| value / scale).collect();
            let muted = if *kind == "idle" { LayerKind::Muted } else { LayerKind::Normal };
            Some(Layer { name: plural(kind).to_owned(), values, kind: muted })
        })
        .collect()
}

/// `kgCO₂e` of each kind of beneficiary over the whole time.
fn totals(by_kind: &BTreeMap<String, Vec<f64>>) -> String {
    let total = |kind: &&str| by_kind.get(*kind).map_or(0.0, |values| sum(values.iter().copied()));
    let totals: Vec<(&str, f64)> = BENEFICIARIES.iter().map(|kind| (plural(kind), total(kind))).collect();
    let (unit, scale) = scale_for(sum(totals.iter().map(|(_, total)| *total)), &MASS_UNITS);
    listed(totals.into_iter().map(|(kind, total)| (kind, total / scale)), unit, BENEFICIARIES.len())
}

/// Emissions of each bucket by kind of beneficiary, as a rate.
pub(super) fn emissions_by_hour(report: &Report<'_>) -> PolarsResult<StackedTime> {
    let buckets = &report.subject.books.buckets;
    let grams = grams_by_kind(report);
    let mut rates = grams.clone();
    for values in rates.values_mut() {
        for (value, bucket) in values.iter_mut().zip(buckets) {
            let hours = bucket.length_s() / 3600.0;
            *value = if hours > 0.0 { *value / hours } else { 0.0 };
        }
    }
    let most = highest(&rates, buckets.len());
    let (unit, scale) = scale_for(most, &MASS_UNITS);
    let alt = format!(
        "Emissions by hour, {}: at most {} {unit} per hour, in all {}",
        period(report),
        three_digits(most / scale),
        totals(&grams)
    );
    Ok(StackedTime {
        text: text(report, "Emissions by hour", "", alt),
        buckets: buckets.clone(),
        layers: layers(&rates, scale),
        y_label: format!("{unit} per hour"),
        overlay: None,
    })
}

/// Emissions of each day of UTC by kind of beneficiary; the first and the last may be parts of days.
pub(super) fn emissions_by_day(report: &Report<'_>) -> PolarsResult<StackedTime> {
    let buckets = &report.subject.books.buckets;
    let grams = grams_by_kind(report);
    let mut days: BTreeMap<i64, Window> = BTreeMap::new();
    for bucket in buckets {
        let day = days.entry(day_of(bucket.start_ms)).or_insert(*bucket);
        *day = Window::new(day.start_ms.min(bucket.start_ms), day.end_ms.max(bucket.end_ms));
    }
    let numbers: Vec<i64> = days.keys().copied().collect();
    let by_day: BTreeMap<String, Vec<f64>> = grams
        .iter()
        .map(|(kind, values)| {
            let mut sums = vec![Sum::new(); numbers.len()];
            for (bucket, value) in buckets.iter().zip(values) {
                let day = numbers.binary_search(&day_of(bucket.start_ms)).ok();
                if let Some(sum) = day.and_then(|day| sums.get_mut(day)) {
                    sum.add(*value);
                }
            }
            (kind.clone(), sums.into_iter().map(Sum::value).collect())
        })
        .collect();
    let most = highest(&by_day, numbers.len());
    let (unit, scale) = scale_for(most, &MASS_UNITS);
    let alt = format!(
        "Emissions by day, {}: at most {} {unit} on one day, in all {}",
        period(report),
        three_digits(most / scale),
        totals(&grams)
    );
    Ok(StackedTime {
        text: text(report, "Emissions by day", "", alt),
        buckets: days.into_values().collect(),
        layers: layers(&by_day, scale),
        y_label: format!("{unit} per day"),
        overlay: None,
    })
}

/// Energy of each hour of each day of UTC; hours of which no device was seen have none.
pub(super) fn calendar(report: &Report<'_>) -> PolarsResult<Calendar> {
    let mut hours: BTreeMap<i64, Sum> = BTreeMap::new();
    for (bucket, sums) in report.subject.books.buckets.iter().zip(report.rollup.over_time()) {
        if let Some(seen) = sums.seen_j {
            hours.entry(bucket.start_ms.div_euclid(HOUR_MS)).or_default().add(seen.value());
        }
    }
    let value = |hour: &i64| hours.get(hour).map(|sum| sum.value());
    let most =
        hours.iter().map(|(hour, sum)| (*hour, sum.value())).max_by(|left, right| left.1.total_cmp(&right.1));
    let (unit, scale) = scale_for(most.map_or(0.0, |(_, joules)| joules), &ENERGY_UNITS);
    let days = report.subject.books.buckets.iter().map(|bucket| day_of(bucket.start_ms));
    let days: std::collections::BTreeSet<i64> = days.collect();
    let days: Vec<CalendarDay> = days
        .into_iter()
        .map(|day| {
            let mut cells = [None; 24];
            for (hour, cell) in (0_i64..).zip(&mut cells) {
                let at = day.saturating_mul(24).saturating_add(hour);
                *cell = value(&at).map(|joules| joules / scale);
            }
            CalendarDay { start_ms: day.saturating_mul(DAY_MS), hours: cells }
        })
        .collect();
    let most = most.map_or_else(
        || "nothing is known".to_owned(),
        |(hour, joules)| {
            let at = crate::time::format_instant(hour.saturating_mul(HOUR_MS));
            format!("most in the hour from {at}, {} {unit}", three_digits(joules / scale))
        },
    );
    let alt = format!("Energy of each hour of {}, {}: {most}", counted(days.len(), "day"), period(report));
    Ok(Calendar {
        text: text(report, "Energy by hour and day", "", alt),
        days,
        quantity: format!("energy in an hour ({unit})"),
    })
}
