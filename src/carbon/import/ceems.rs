//! Intensities that CEEMS' exporter put into Prometheus: `ceems_emissions_gCo2_kWh{provider,country_code}`.
//!
//! The exporter asks a provider now and then and shows the last answer at each scrape, so a sample is what the provider last said, and an
//! hour's figure is the mean of what it said in that hour.

use std::sync::Arc;

use crate::carbon::series::Value;
use crate::carbon::{Attribution, Basis, Perspective, Scope};
use crate::sum::Sum;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

/// The metric's name.
pub const CEEMS_INTENSITY: &str = "ceems_emissions_gCo2_kWh";

/// An hour counts if so much of it was seen.
const LEAST_SEEN: f64 = 0.9;
/// A sample stands for no longer than this, or 2.5 times the usual distance if that is more (rule C5), but for a day at most.
const LEAST_GAP_MS: i64 = 5 * MINUTE_MS;

/// One series of the metric.
#[derive(Clone, Debug)]
pub struct IntensityGauge {
    /// Its label `provider`.
    pub provider: String,
    /// Its label `country_code`.
    pub country_code: String,
    /// Instants (ms) and gCO2e/kWh, in order.
    pub samples: Vec<(i64, f64)>,
}

/// What is known of a provider by CEEMS' name for it.
pub(in crate::carbon) struct GaugeProvider {
    pub(in crate::carbon) basis: Basis,
    pub(in crate::carbon) source: Arc<str>,
    pub(in crate::carbon) attribution: Arc<str>,
    /// True if it says one figure a year.
    pub(in crate::carbon) is_yearly: bool,
}

/// `None` for those that name no place, such as `global`.
pub(in crate::carbon) fn gauge_provider(name: &str) -> Option<GaugeProvider> {
    use {Attribution::*, Perspective::*, Scope::*};
    let (scope, attribution, perspective, source, attribution_line, is_yearly) = match name {
        "rte" => {
            (Direct, Average, Production, "RTE éCO2mix", "RTE éCO2mix, Licence Ouverte 2.0 (Etalab)", false)
        }
        "emaps" => (
            LifeCycle,
            Average,
            Consumption,
            "Electricity Maps",
            "Electricity Maps, https://www.electricitymaps.com, by its terms of use",
            false,
        ),
        "wt" => (
            Direct,
            Marginal,
            Consumption,
            "WattTime",
            "WattTime, https://watttime.org, by its terms of use",
            false,
        ),
        "owid" => (
            LifeCycle,
            Average,
            Production,
            "Our World in Data",
            "Our World in Data after Ember and the Energy Institute, CC BY 4.0",
            true,
        ),
        _ => return None,
    };
    Some(GaugeProvider {
        basis: Basis { scope, attribution, perspective },
        source: Arc::from(source),
        attribution: Arc::from(format!("{attribution_line}, as recorded by CEEMS")),
        is_yearly,
    })
}

/// The mean of each hour of which enough was seen.
pub(in crate::carbon) fn hours(samples: &[(i64, f64)]) -> Vec<Value> {
    let mut distances: Vec<i64> = samples
        .iter()
        .zip(samples.iter().skip(1))
        .map(|((one, _), (next, _))| next.saturating_sub(*one))
        .collect();
    distances.sort_unstable();
    let median = distances.get(distances.len() / 2).copied().unwrap_or(0);
    let longest_ms = (median.saturating_mul(5) / 2).clamp(LEAST_GAP_MS, DAY_MS);
    let mut found: Vec<Value> = Vec::new();
    let mut hour: Option<(i64, Sum, i64)> = None;
    let mut close = |hour: Option<(i64, Sum, i64)>| {
        let Some((start_ms, grams, seen_ms)) = hour else { return };
        if seen_ms as f64 >= LEAST_SEEN * HOUR_MS as f64 {
            let end_ms = start_ms.saturating_add(HOUR_MS);
            let grams_per_kwh = grams.value() / seen_ms as f64;
            found.push(Value { start_ms, end_ms, grams_per_kwh, estimated: false, file: 0 });
        }
    };
    let ends = samples.iter().skip(1).map(|(next, _)| *next).chain([i64::MAX]);
    for ((at_ms, grams_per_kwh), next_ms) in samples.iter().zip(ends) {
        let (mut from_ms, until_ms) = (*at_ms, next_ms.min(at_ms.saturating_add(longest_ms)));
        while from_ms < until_ms {
            let start_ms = from_ms.div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
            let to_ms = until_ms.min(start_ms.saturating_add(HOUR_MS));
            if hour.as_ref().is_some_and(|(open_ms, ..)| *open_ms != start_ms) {
                close(hour.take());
            }
            let (_, grams, seen_ms) = hour.get_or_insert((start_ms, Sum::new(), 0));
            grams.add(grams_per_kwh * (to_ms - from_ms) as f64);
            *seen_ms += to_ms - from_ms;
            from_ms = to_ms;
        }
    }
    close(hour);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_the_mean_of_what_was_said_in_it() {
        // Every minute: 40 for 45 min, 80 for 15 min, 80 for the next hour but for its last 10 min.
        let minutes = (0..110).map(|minute| (minute * MINUTE_MS, if minute < 45 { 40.0 } else { 80.0 }));
        let hours = hours(&minutes.collect::<Vec<_>>());
        // The last sample stands for 5 minutes: 55 of the second hour's 60 were seen.
        let expected = [(0, 50.0), (HOUR_MS, 80.0)];
        assert_eq!(
            hours.iter().map(|hour| (hour.start_ms, hour.grams_per_kwh)).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn half_an_hour_is_no_hour() {
        let minutes: Vec<_> = (0..30).map(|minute| (minute * MINUTE_MS, 40.0)).collect();
        assert!(hours(&minutes).is_empty() && hours(&[]).is_empty());
    }
}
