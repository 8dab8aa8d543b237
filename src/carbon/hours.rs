//! What a zone's factors are over a time, for people to look at before a report.

use std::collections::BTreeMap;

use super::{Factor, Intensity, Tier, Zone};
use crate::sum::Sum;
use crate::time::{Window, buckets};

/// A step and the factor that holds in it.
#[derive(Clone, Debug, PartialEq)]
pub struct HourFactor {
    /// The step.
    pub window: Window,
    /// `None` where nothing of the basis is known.
    pub factor: Option<Factor>,
}

/// The time of one tier.
#[derive(Clone, Debug, PartialEq)]
pub struct TierCoverage {
    /// The tier; `None` for time without a factor.
    pub tier: Option<Tier>,
    /// Share of the whole time, 0 to 1.
    pub share: f64,
    /// Mean over this time, in gCO2e/kWh; `None` without a factor.
    pub mean_g_per_kwh: Option<f64>,
}

/// Time without a break in which the factors come from one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// When.
    pub window: Window,
    /// The tier; `None` for time without a factor.
    pub tier: Option<Tier>,
    /// Whose figures, of which release.
    pub origin: String,
}

/// The factor of every step of `window`, in order.
pub fn hours(intensity: &Intensity, zone: &Zone, window: Window) -> Vec<HourFactor> {
    buckets(window, intensity.finest_step_ms(), chrono_tz::Tz::UTC)
        .into_iter()
        .map(|window| HourFactor { factor: intensity.factor_at(zone, window.start_ms), window })
        .collect()
}

/// Mean, least and most over all steps that have a factor, weighted by time, in gCO2e/kWh.
pub fn mean_and_range(hours: &[HourFactor]) -> Option<(f64, f64, f64)> {
    let (mut grams, mut seconds) = (Sum::new(), Sum::new());
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for hour in hours {
        let Some(factor) = &hour.factor else { continue };
        let value = factor.intensity.value();
        grams.add(value * hour.window.length_s());
        seconds.add(hour.window.length_s());
        least = least.min(value);
        most = most.max(value);
    }
    (seconds.value() > 0.0).then(|| (grams.value() / seconds.value(), least, most))
}

/// How much of the time each tier has, best first, and time without a factor last.
pub fn by_tier(hours: &[HourFactor]) -> Vec<TierCoverage> {
    let mut found: BTreeMap<(bool, Option<Tier>), (Sum, Sum)> = BTreeMap::new();
    for hour in hours {
        let tier = hour.factor.as_ref().map(|factor| factor.tier);
        let (seconds, grams) = found.entry((tier.is_none(), tier)).or_default();
        seconds.add(hour.window.length_s());
        let value = hour.factor.as_ref().map_or(0.0, |factor| factor.intensity.value());
        grams.add(value * hour.window.length_s());
    }
    let all_s = crate::sum::sum(hours.iter().map(|hour| hour.window.length_s()));
    found
        .into_iter()
        .map(|((_, tier), (seconds, grams))| TierCoverage {
            tier,
            share: seconds.value() / all_s,
            mean_g_per_kwh: tier.map(|_| grams.value() / seconds.value()),
        })
        .collect()
}

/// The stretches of one tier and origin, in order.
pub fn stretches(hours: &[HourFactor]) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for hour in hours {
        let tier = hour.factor.as_ref().map(|factor| factor.tier);
        let origin = hour
            .factor
            .as_ref()
            .map(|factor| format!("{}, {}", factor.source, factor.release))
            .unwrap_or_default();
        match found.last_mut() {
            Some(last)
                if last.tier == tier
                    && last.origin == origin
                    && last.window.end_ms == hour.window.start_ms =>
            {
                last.window.end_ms = hour.window.end_ms;
            }
            _ => found.push(Stretch { window: hour.window, tier, origin }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR_MS;

    /// Four hours of a file with a gap in the third: 100, 200, -, 400.
    fn four_hours() -> Vec<HourFactor> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hours.csv");
        let text = "# basis: direct\n# zone: XX\n# source: somebody\n# release: one\ntimestamp,gco2e_per_kwh\n\
                    2026-01-01T00:00Z,100\n2026-01-01T01:00Z,200\n2026-01-01T03:00Z,400\n";
        std::fs::write(&path, text).unwrap();
        let intensity = Intensity::with_files(&[path], None, None).unwrap();
        // 2026-01-01.
        let start_ms = 1_767_225_600_000;
        hours(&intensity, &Zone::from_id("XX"), Window::new(start_ms, start_ms + 4 * HOUR_MS))
    }

    #[test]
    fn what_is_known_and_what_is_not() {
        let hours = four_hours();
        assert_eq!(hours.len(), 4);
        let (mean, least, most) = mean_and_range(&hours).unwrap();
        assert!((mean - 700.0 / 3.0).abs() < 1e-12 && (least, most) == (100.0, 400.0));
        let tiers = by_tier(&hours);
        assert_eq!(
            tiers.iter().map(|tier| (tier.tier, tier.share)).collect::<Vec<_>>(),
            [(Some(Tier::Hourly), 0.75), (None, 0.25)]
        );
        assert_eq!(tiers[1].mean_g_per_kwh, None);
        let lengths: Vec<(i64, Option<Tier>)> = stretches(&hours)
            .iter()
            .map(|stretch| (stretch.window.length_ms() / HOUR_MS, stretch.tier))
            .collect();
        assert_eq!(lengths, [(2, Some(Tier::Hourly)), (1, None), (1, Some(Tier::Hourly))]);
        assert_eq!(mean_and_range(&[]), None);
    }
}
