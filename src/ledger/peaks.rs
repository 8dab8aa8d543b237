//! The peak power of runs.

use std::collections::BTreeMap;

use super::attribute::MinutePower;
use crate::units::{Joules, Seconds};

/// Energy of each run by UTC minute, over the nodes so far.
#[derive(Debug, Default)]
pub(super) struct Peaks {
    of_runs: BTreeMap<usize, MinutePower>,
}

impl Peaks {
    /// Adds what one node knows. Nodes come in the same order always, so that the sums are the same to the bit.
    pub(super) fn add(&mut self, power: MinutePower) {
        match self.of_runs.get_mut(&power.run) {
            None => drop(self.of_runs.insert(power.run, power)),
            Some(known) => known.add_node(&power),
        }
    }

    /// Peak power of each run: the highest mean over one UTC minute that lies wholly inside it and the window, summed over its
    /// nodes. In watts.
    pub(super) fn watts(self) -> BTreeMap<usize, f64> {
        let watts = |joules: f64| Joules(joules).mean_power(Seconds(60.0)).value();
        let most =
            |power: MinutePower| Some((power.run, watts(power.energy_j.iter().copied().reduce(f64::max)?)));
        self.of_runs.into_values().filter_map(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_add_up_minute_by_minute() {
        let power = |run, first: i64, energy_j: &[f64]| MinutePower {
            run,
            first_minute_ms: first * 60_000,
            energy_j: energy_j.to_vec(),
        };
        let mut peaks = Peaks::default();
        // By hand: minutes 3 to 6 of run 0 are 600, 60 + 6000, 600, 60 J; run 1 has one node, run 2 no whole minute.
        peaks.add(power(0, 4, &[60.0, 600.0, 60.0]));
        peaks.add(power(1, 4, &[120.0]));
        peaks.add(power(2, 4, &[]));
        peaks.add(power(0, 3, &[600.0, 6000.0]));
        assert_eq!(peaks.watts(), BTreeMap::from([(0, 101.0), (1, 2.0)]));
    }
}
