//! `hourly.csv`: hour × node × component × kind of beneficiary.

use std::io::{self, Write};

use polars::prelude::{Column, DataFrame, PolarsResult};

use super::rollup::{Hour, HourNumber, JoinedWords, NodeSums, Rollup};
use super::tables::{BENEFICIARIES, COMPONENTS, CellText, write_parts};
use crate::carbon::Basis;
use crate::time::{Window, format_instant};

/// Rows that become CSV at a time.
const ROWS_AT_ONCE: usize = 1 << 14;

/// Where a row lies: position of its node and of it there.
type Place = (u32, u32);

/// The table, written part by part.
pub(super) struct Hourly<'r> {
    rollup: &'r Rollup,
    buckets: &'r [Window],
    basis: Basis,
    /// All rows in the order of bucket, node, component and kind.
    places: Vec<Place>,
}

fn kind_name(hour: &Hour) -> &'static str {
    BENEFICIARIES.get(usize::from(hour.kind)).copied().unwrap_or_default()
}

impl<'r> Hourly<'r> {
    pub(super) fn new(rollup: &'r Rollup, buckets: &'r [Window], basis: Basis) -> Self {
        let mut nodes: Vec<(u32, &NodeSums)> = (0..).zip(rollup.nodes()).collect();
        nodes.sort_by(|one, other| one.1.name.cmp(&other.1.name));
        let mut next = vec![0_usize; nodes.len()];
        let mut places = Vec::with_capacity(nodes.iter().map(|(_, node)| node.hours.len()).sum());
        for bucket in 0..buckets.len() {
            for ((number, node), next) in nodes.iter().zip(&mut next) {
                let rest = node.hours.get(*next..).unwrap_or_default();
                let here = rest.iter().take_while(|hour| hour.bucket as usize == bucket).count();
                let mut hours: Vec<(u32, &Hour)> = (*next as u32..).zip(rest.iter().take(here)).collect();
                hours.sort_by_key(|(_, hour)| (hour.component, kind_name(hour)));
                places.extend(hours.into_iter().map(|(hour, _)| (*number, hour)));
                *next += here;
            }
        }
        Self { rollup, buckets, basis, places }
    }

    /// Writes all of it as CSV.
    pub(super) fn write(&self, text: CellText, out: &mut dyn Write) -> io::Result<()> {
        let parts = self.places.len().div_ceil(ROWS_AT_ONCE).max(1);
        write_parts(parts, text, out, |part| {
            let first = part.saturating_mul(ROWS_AT_ONCE);
            let end = first.saturating_add(ROWS_AT_ONCE).min(self.places.len());
            self.frame(self.places.get(first..end).unwrap_or_default())
        })
    }

    fn frame(&self, places: &[Place]) -> PolarsResult<DataFrame> {
        let rows: Vec<(&NodeSums, &Hour)> = places
            .iter()
            .filter_map(|(node, hour)| {
                let node = self.rollup.nodes().get(*node as usize)?;
                Some((node, node.hours.get(*hour as usize)?))
            })
            .collect();
        let text = |name: &str, value: &dyn Fn(&(&'r NodeSums, &Hour)) -> &'r str| {
            Column::new(name.into(), rows.iter().map(value).collect::<Vec<&str>>())
        };
        let word = |name: &str, value: fn(&JoinedWords) -> &String| {
            let of = |row: &(&NodeSums, &Hour)| {
                self.rollup.words_of(row.1).map_or("", |words| value(words).as_str())
            };
            Column::new(name.into(), rows.iter().map(of).collect::<Vec<&str>>())
        };
        let number = |name: &str, number: HourNumber| {
            Column::new(
                name.into(),
                rows.iter().map(|(_, hour)| hour.number(number)).collect::<Vec<Option<f64>>>(),
            )
        };
        let mut starts: Vec<String> = Vec::with_capacity(rows.len());
        let mut last = None;
        for (_, hour) in &rows {
            match (last == Some(hour.bucket), starts.last().cloned()) {
                (true, Some(same)) => starts.push(same),
                _ => {
                    let start =
                        self.buckets.get(hour.bucket as usize).map(|bucket| format_instant(bucket.start_ms));
                    starts.push(start.unwrap_or_default());
                    last = Some(hour.bucket);
                }
            }
        }
        let basis = self.basis.to_string();
        let columns = vec![
            Column::new("bucket_start".into(), starts),
            text("node", &|(node, _)| node.name.as_str()),
            text("component", &|(_, hour)| {
                COMPONENTS.get(usize::from(hour.component)).map_or("", |component| component.as_str())
            }),
            text("beneficiary", &|(_, hour)| kind_name(hour)),
            number("energy_j", HourNumber::Energy),
            number("energy_j_low", HourNumber::EnergyLow),
            number("energy_j_high", HourNumber::EnergyHigh),
            number("facility_energy_j", HourNumber::Facility),
            number("facility_energy_j_low", HourNumber::FacilityLow),
            number("facility_energy_j_high", HourNumber::FacilityHigh),
            number("covered_s", HourNumber::Covered),
            number("interpolated_s", HourNumber::Interpolated),
            number("expected_s", HourNumber::Expected),
            word("method", |words| &words.method),
            word("zone", |words| &words.zone),
            number("intensity_gco2e_per_kwh", HourNumber::Intensity),
            word("intensity_tier", |words| &words.tier),
            Column::new("basis".into(), vec![basis.as_str(); rows.len()]),
            word("factor_source", |words| &words.source),
            word("factor_release", |words| &words.release),
            number("emissions_gco2e", HourNumber::Emissions),
            number("emissions_gco2e_low", HourNumber::EmissionsLow),
            number("emissions_gco2e_high", HourNumber::EmissionsHigh),
            number("emissions_market_gco2e", HourNumber::Market),
            number("upstream_gco2e", HourNumber::Upstream),
        ];
        DataFrame::new(rows.len(), columns)
    }
}
