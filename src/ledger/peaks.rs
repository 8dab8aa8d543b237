//! The peak power of runs.

use std::collections::BTreeMap;

use super::attribute::MinutePower;
use crate::units::{Joules, Seconds};

/// Peak power of each run: the highest mean over one UTC minute that lies wholly
/// inside it and the window, summed over its nodes. In watts.
pub(super) fn peaks<'a>(minutes: impl Iterator<Item = &'a MinutePower>) -> BTreeMap<usize, f64> {
    let mut peaks: BTreeMap<usize, f64> = BTreeMap::new();
    let mut parts: BTreeMap<usize, Vec<&MinutePower>> = BTreeMap::new();
    for power in minutes {
        parts.entry(power.run).or_default().push(power);
    }
    let watts = |joules: f64| Joules(joules).mean_power(Seconds(60.0)).value();
    for (run, parts) in parts {
        if let [only] = parts.as_slice() {
            peaks.extend(only.energy_j.iter().copied().reduce(f64::max).map(|most| (run, watts(most))));
            continue;
        }
        let mut sums: BTreeMap<i64, f64> = BTreeMap::new();
        for part in parts {
            for (minute, joules) in part.energy_j.iter().enumerate() {
                *sums.entry(part.first_minute_ms.saturating_add(minute as i64 * 60_000)).or_default() +=
                    joules;
            }
        }
        peaks.extend(sums.values().copied().reduce(f64::max).map(|most| (run, watts(most))));
    }
    peaks
}
