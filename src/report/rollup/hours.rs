//! The rows of `hourly.csv`, kept as plain numbers: a month of a thousand nodes has millions of them.

use std::collections::BTreeMap;

use super::figures::{Figure, Figures};
use super::words::{JoinedWords, Words};

/// Numbers of one row; not a number where there is none.
const NUMBERS: usize = 15;

/// One node, bucket, component and kind of beneficiary.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Hour {
    /// Position of the bucket.
    pub(in crate::report) bucket: u32,
    /// Position of the component.
    pub(in crate::report) component: u8,
    /// Position of the kind of beneficiary.
    pub(in crate::report) kind: u8,
    /// Number of the words.
    pub(in crate::report) words: u32,
    numbers: [f64; NUMBERS],
}

/// The columns of an hour that hold numbers, in the order in which they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum HourNumber {
    Energy,
    EnergyLow,
    EnergyHigh,
    Facility,
    FacilityLow,
    FacilityHigh,
    Covered,
    Interpolated,
    Expected,
    Intensity,
    Emissions,
    EmissionsLow,
    EmissionsHigh,
    Market,
    Upstream,
}

impl Hour {
    /// One of its numbers, in joules, seconds, gCO2e or gCO2e/kWh; `None` where there is none.
    pub(in crate::report) fn number(&self, number: HourNumber) -> Option<f64> {
        self.numbers.get(number as usize).copied().filter(|value| !value.is_nan())
    }

    /// Adds market-based emissions, in gCO2e.
    pub(super) fn add_market(&mut self, grams: f64) {
        if let Some(sum) = self.numbers.get_mut(HourNumber::Market as usize) {
            *sum = if sum.is_nan() { grams } else { *sum + grams };
        }
    }
}

/// The hours of one node.
#[derive(Debug, Default)]
pub(super) struct Hours {
    pub(super) rows: Vec<Hour>,
    pub(super) words: Vec<JoinedWords>,
    /// What of the bucket at hand is known so far, by component and kind.
    now: BTreeMap<(u8, u8), Figures>,
    bucket: Option<usize>,
}

impl Hours {
    /// The figures that a row belongs to.
    pub(super) fn figures(
        &mut self,
        bucket: usize,
        key: (u8, u8),
        (words, bucket_ms): (&Words, i64),
    ) -> &mut Figures {
        if self.bucket != Some(bucket) {
            self.close(words, bucket_ms);
            self.bucket = Some(bucket);
        }
        self.now.entry(key).or_default()
    }

    /// Ends the bucket at hand.
    pub(super) fn close(&mut self, words: &Words, bucket_ms: i64) {
        let Some(bucket) = self.bucket.take() else { return };
        for ((component, kind), figures) in std::mem::take(&mut self.now) {
            let joined = words.joined(&figures);
            let known = self.words.iter().rposition(|known| *known == joined);
            let number = known.unwrap_or_else(|| {
                self.words.push(joined);
                self.words.len() - 1
            });
            let bounds = |figure| figures.bounds(figure, None, bucket_ms).unwrap_or((f64::NAN, f64::NAN));
            let (energy, facility) = (bounds(Figure::Energy), bounds(Figure::Facility));
            let emissions = bounds(Figure::Emissions);
            let (covered_s, interpolated_s, expected_s) = figures.seconds();
            let or_none = |value: Option<f64>| value.unwrap_or(f64::NAN);
            self.rows.push(Hour {
                bucket: u32::try_from(bucket).unwrap_or(u32::MAX),
                component,
                kind,
                words: u32::try_from(number).unwrap_or(u32::MAX),
                numbers: [
                    figures.energy_j(None),
                    energy.0,
                    energy.1,
                    figures.facility_energy_j(),
                    facility.0,
                    facility.1,
                    covered_s,
                    interpolated_s,
                    expected_s,
                    or_none(super::mean_intensity(&figures)),
                    or_none(figures.emissions_gco2e()),
                    emissions.0,
                    emissions.1,
                    or_none(figures.market_gco2e()),
                    or_none(figures.upstream_gco2e()),
                ],
            });
        }
    }
}
