//! `_low` and `_high` of every sum of ledger rows (section 11 of the accounting page).

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, PolarsResult};

use super::group::Grouped;
use crate::carbon::Tier;
use crate::time::HOUR_MS;
use crate::uncertainty::{Bounds, Spread, Widths};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// IT energy, in joules.
    Energy,
    /// Energy at the building's meter, in joules.
    Facility,
    /// Emissions of what is priced, in gCO2e.
    Emissions,
}

/// How far off each row of the ledger may be.
pub(super) struct RowWidths {
    rows: Vec<RowWidth>,
    /// Components × methods that there are.
    methods: usize,
    bucket_ms: i64,
}

#[derive(Clone, Copy)]
struct RowWidth {
    bucket_start_ms: i64,
    energy_j: f64,
    /// Which component and method: rows of one class are off in the same direction.
    class: usize,
    /// In joules of IT energy.
    widths: Widths,
    /// What may be another GPU's, and the run that it is the same of for its whole time.
    unbound: Option<(u32, f64)>,
    pue: f64,
    /// gCO2e for each joule of IT energy, and how good the factor is; `None` where unpriced.
    priced: Option<(f64, Tier)>,
}

impl RowWidths {
    /// Of the ledger's rows; `bucket_ms` is the length of their buckets.
    pub(super) fn new(entries: &DataFrame, bucket_ms: i64) -> PolarsResult<Self> {
        let number = |name: &str| -> PolarsResult<Vec<f64>> {
            Ok(entries.column(name)?.f64()?.iter().map(|value| value.unwrap_or(0.0)).collect())
        };
        let (energy_j, low, high) = (number("energy_j")?, number("width_low_j")?, number("width_high_j")?);
        let (unseen, placing, pue) = (number("unseen_j")?, number("placing_j")?, number("pue")?);
        let (unbound_j, runs) = (entries.column("unbound_j")?.f64()?, entries.column("run")?.u32()?);
        let starts = entries.column("bucket_start_ms")?.i64()?;
        let (components, methods) = (entries.column("component")?.str()?, entries.column("method")?.str()?);
        let intensities = entries.column("intensity_gco2e_per_kwh")?.f64()?;
        let tiers = entries.column("intensity_tier")?.str()?;
        let mut classes: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut rows = Vec::with_capacity(entries.height());
        let figures = energy_j.into_iter().zip(low).zip(high).zip(unseen).zip(placing).zip(pue);
        for (row, (((((energy_j, low), high), unseen), placing), pue)) in figures.enumerate() {
            let key = (components.get(row).unwrap_or_default(), methods.get(row).unwrap_or_default());
            let next = classes.len();
            let tier =
                tiers.get(row).and_then(|text| Tier::ALL.into_iter().find(|tier| tier.as_str() == text));
            let per_j = |grams_per_kwh: f64| {
                let energy = crate::units::Joules(pue).to_kwh();
                energy.emissions(crate::units::GramsPerKwh(grams_per_kwh)).value()
            };
            rows.push(RowWidth {
                bucket_start_ms: starts.get(row).unwrap_or_default(),
                energy_j,
                class: *classes.entry(key).or_insert(next),
                widths: Widths { low, high, unseen, placing },
                unbound: runs.get(row).zip(unbound_j.get(row).filter(|joules| *joules > 0.0)),
                pue,
                priced: intensities.get(row).map(per_j).zip(tier),
            });
        }
        Ok(Self { rows, methods: classes.len(), bucket_ms })
    }

    /// The least and the most of a sum over `rows`; `None` where no row has the figure.
    fn of(&self, rows: impl Iterator<Item = usize>, figure: Figure) -> Option<(f64, f64)> {
        let mut bounds = Bounds::new(self.methods + Tier::ALL.len());
        let mut by_tier: [Option<(f64, i64, i64)>; Tier::ALL.len()] = Default::default();
        let mut by_run: BTreeMap<u32, f64> = BTreeMap::new();
        let mut is_any = false;
        for row in rows.filter_map(|row| self.rows.get(row)) {
            let scale = match (figure, row.priced) {
                (Figure::Energy, _) => 1.0,
                (Figure::Facility, _) => row.pue,
                (Figure::Emissions, Some((grams_per_j, _))) => grams_per_j,
                (Figure::Emissions, None) => continue,
            };
            is_any = true;
            let value = row.energy_j * scale;
            bounds.add(value, row.class, row.widths.times(scale));
            if let Some((run, unbound_j)) = row.unbound {
                *by_run.entry(run).or_default() += unbound_j * scale;
            }
            let (Figure::Emissions, Some((_, tier))) = (figure, row.priced) else { continue };
            let at = Tier::ALL.iter().position(|other| *other == tier);
            if let Some(slot) = at.and_then(|at| by_tier.get_mut(at)) {
                let start_ms = row.bucket_start_ms;
                let (sum, first_ms, last_ms) = slot.get_or_insert((0.0, start_ms, start_ms));
                *sum += value;
                *first_ms = start_ms.min(*first_ms);
                *last_ms = start_ms.max(*last_ms);
            }
        }
        for (at, (tier, found)) in Tier::ALL.into_iter().zip(by_tier).enumerate() {
            let Some((sum, first_ms, last_ms)) = found else { continue };
            let hours = (last_ms - first_ms + self.bucket_ms) as f64 / HOUR_MS as f64;
            let spread = Spread::of_factor(tier, hours);
            bounds.add_width(self.methods + at, sum * (1.0 - spread.low()), sum * (spread.high() - 1.0));
        }
        by_run.into_values().for_each(|unbound| bounds.add_placing(unbound));
        is_any.then(|| bounds.low_and_high())
    }

    /// The least and the most of each group's sum over the rows for which `keep` holds; null where it has no such row.
    fn of_groups(
        &self,
        grouped: &Grouped,
        figure: Figure,
        keep: impl Fn(usize) -> bool,
    ) -> Vec<Option<(f64, f64)>> {
        let of = |rows: &Vec<polars::prelude::IdxSize>| {
            self.of(rows.iter().map(|row| *row as usize).filter(|row| keep(*row)), figure)
        };
        grouped.rows().iter().map(of).collect()
    }

    /// `NAME_low` and `NAME_high` of each group's sum over the rows for which `keep` holds, in the unit of `in_unit`.
    pub(super) fn columns(
        &self,
        grouped: &Grouped,
        figure: Figure,
        name: &str,
        in_unit: impl Fn(f64) -> f64,
        keep: impl Fn(usize) -> bool,
    ) -> [Column; 2] {
        let bounds = self.of_groups(grouped, figure, keep);
        // A sum of no rows is a known nothing, but emissions of none are unknown.
        let none = if figure == Figure::Emissions { None } else { Some(0.0) };
        let side = |pick: fn((f64, f64)) -> f64| -> Vec<Option<f64>> {
            bounds.iter().map(|bounds| bounds.map(|bounds| in_unit(pick(bounds))).or(none)).collect()
        };
        [
            Column::new(format!("{name}_low").into(), side(|bounds| bounds.0)),
            Column::new(format!("{name}_high").into(), side(|bounds| bounds.1)),
        ]
    }

    /// The least and the most of the sum over all rows for which `keep` holds.
    pub(super) fn of_all(&self, figure: Figure, keep: impl Fn(usize) -> bool) -> Option<(f64, f64)> {
        self.of((0..self.rows.len()).filter(|row| keep(*row)), figure)
    }
}
