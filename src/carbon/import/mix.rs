//! What each kind of plant generated, row by row of one kind, brought together by area and time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::generation::{self, Plant};
use super::json::Entry;
use super::probe::Probe;
use super::stamp::Stamp;
use super::{eia, entsoe};
use crate::carbon::{CarbonError, Format, Scope};

/// Of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Amount {
    /// A mean power or an energy: the steps of an area are brought to one length.
    Of(f64),
    /// Not there.
    Missing,
    /// Of a plant that nobody knows.
    NoPlant,
}

/// What one kind of plant generated in one step.
#[derive(Clone, Copy, Debug)]
struct Share {
    area: usize,
    kind: usize,
    start_ms: i64,
    length_ms: i64,
    amount: Amount,
    line: u64,
}

/// Rows of plants, areas and times in any order.
#[derive(Debug, Default)]
pub(super) struct Mix {
    /// Names of their zones; none for that of the site.
    areas: Vec<Option<String>>,
    area_keys: BTreeMap<String, usize>,
    kinds: Vec<Option<Plant>>,
    kind_keys: BTreeMap<String, usize>,
    shares: Vec<Share>,
    rejected: Vec<(u64, &'static str)>,
}

/// All kinds of one area and one step.
struct Step {
    area: usize,
    start_ms: i64,
    line: u64,
    present: Vec<usize>,
    /// Those that gave something.
    running: Vec<usize>,
    grams_per_kwh: Option<f64>,
    is_incomplete: bool,
}

/// The intensities of a mix, and the lines that could not be used.
#[derive(Default)]
pub(super) struct Found {
    pub(super) entries: Vec<(u64, Entry)>,
    pub(super) rejected: Vec<(u64, &'static str)>,
}

/// The mix of a file that is one; `None` if it is none.
pub(super) fn of(probe: &Probe) -> Result<Option<Arc<Mix>>, CarbonError> {
    Ok(match (probe.format, &probe.json) {
        (Format::Eia930, _) => Some(Arc::new(eia::table(probe)?)),
        (Format::Eia930Api, Some(json)) => Some(Arc::new(eia::answer(json.whole()))),
        (Format::EntsoeLibrary, _) => Some(Arc::new(entsoe::library(probe)?)),
        _ => probe.mix.clone(),
    })
}

impl Mix {
    /// The index of an area by its key; `zone` is the name of its zone.
    pub(super) fn area(&mut self, key: &str, zone: Option<&str>) -> usize {
        if let Some(known) = self.area_keys.get(key) {
            return *known;
        }
        let index = self.areas.len();
        self.areas.push(zone.map(str::to_owned));
        self.area_keys.insert(key.to_owned(), index);
        index
    }

    /// The index of a kind of plant by its key.
    pub(super) fn kind(&mut self, key: &str, plant: Option<Plant>) -> usize {
        if let Some(known) = self.kind_keys.get(key) {
            return *known;
        }
        let index = self.kinds.len();
        self.kinds.push(plant);
        self.kind_keys.insert(key.to_owned(), index);
        index
    }

    pub(super) fn add(
        &mut self,
        line: u64,
        (area, kind): (usize, usize),
        (start_ms, length_ms): (i64, i64),
        amount: Amount,
    ) {
        self.shares.push(Share { area, kind, start_ms, length_ms, amount, line });
    }

    pub(super) fn reject(&mut self, line: u64, reason: &'static str) {
        self.rejected.push((line, reason));
    }

    /// How many rows it has.
    pub(super) fn len(&self) -> usize {
        self.shares.len()
    }

    /// The intensities, by area and time. What stands there twice counts as it stands there last.
    pub(super) fn found(&self, scope: Scope) -> Found {
        let mut finest = vec![i64::MAX; self.areas.len()];
        for share in &self.shares {
            if let Some(finest) = finest.get_mut(share.area) {
                *finest = share.length_ms.clamp(1, *finest);
            }
        }
        let step_ms = |area: usize| finest.get(area).copied().unwrap_or(i64::MAX);
        let mut shares: Vec<Share> = Vec::with_capacity(self.shares.len());
        for share in &self.shares {
            // A power that holds for an hour holds for each of its quarters.
            let step_ms = step_ms(share.area);
            let parts = (share.length_ms / step_ms).max(1);
            let starts = (0..parts).filter_map(|nth| share.start_ms.checked_add(nth.checked_mul(step_ms)?));
            shares.extend(starts.map(|start_ms| Share { start_ms, ..*share }));
        }
        shares.sort_by_key(|share| (share.area, share.start_ms, share.kind));
        let known: BTreeSet<(usize, usize)> = shares
            .iter()
            .filter(|share| matches!(share.amount, Amount::Of(_)))
            .map(|share| (share.area, share.kind))
            .collect();
        let same = |one: &Share, other: &Share| (one.area, one.start_ms) == (other.area, other.start_ms);
        let steps: Vec<Step> =
            shares.chunk_by(same).filter_map(|shares| self.step(shares, &known, scope)).collect();

        let mut found = Found { rejected: self.rejected.clone(), ..Found::default() };
        for (nth, step) in steps.iter().enumerate() {
            let beside = [nth.checked_sub(1), nth.checked_add(1)];
            let lacks = beside.into_iter().flatten().filter_map(|nth| steps.get(nth)).any(|other| {
                // An answer that ends in the middle of an hour lacks what the hour before it has.
                other.area == step.area
                    && other.start_ms.abs_diff(step.start_ms) <= step_ms(step.area).unsigned_abs()
                    && other.running.iter().any(|kind| !step.present.contains(kind))
            });
            let Some(grams_per_kwh) = step.grams_per_kwh else {
                found.rejected.push((step.line, "no generation"));
                continue;
            };
            let entry = Entry {
                zone: self.areas.get(step.area).cloned().flatten(),
                stamp: Some(Stamp::At(step.start_ms)),
                grams_per_kwh: Some(grams_per_kwh),
                estimated: step.is_incomplete || lacks,
            };
            found.entries.push((step.line, entry));
        }
        found
    }

    /// One step of `shares`, which are sorted by kind.
    fn step(&self, shares: &[Share], known: &BTreeSet<(usize, usize)>, scope: Scope) -> Option<Step> {
        let first = shares.first()?;
        let mut amounts: Vec<(usize, Plant, f64)> = Vec::with_capacity(shares.len());
        let mut is_incomplete = false;
        for same_kind in shares.chunk_by(|one, other| one.kind == other.kind) {
            let Some(share) = same_kind.last() else { continue };
            let plant = self.kinds.get(share.kind).copied().flatten();
            match (share.amount, plant) {
                (Amount::Of(amount), Some(plant)) => amounts.push((share.kind, plant, amount)),
                // A column that the area never fills is of a plant that it does not have.
                (Amount::Missing, _) => is_incomplete |= known.contains(&(share.area, share.kind)),
                (Amount::Of(_), None) | (Amount::NoPlant, _) => is_incomplete = true,
            }
        }
        let running = amounts.iter().filter(|(_, _, amount)| *amount > 0.0).map(|(kind, ..)| *kind);
        Some(Step {
            area: first.area,
            start_ms: first.start_ms,
            line: shares.iter().map(|share| share.line).min().unwrap_or(first.line),
            present: amounts.iter().map(|(kind, ..)| *kind).collect(),
            running: running.collect(),
            grams_per_kwh: generation::intensity(
                amounts.iter().map(|(_, plant, amount)| (*plant, *amount)),
                scope,
            ),
            is_incomplete,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{HOUR_MS, MINUTE_MS};

    #[test]
    fn an_hour_and_its_quarters_are_brought_together() {
        let mut mix = Mix::default();
        let area = mix.area("A", Some("A"));
        let plants = ["fossil gas", "nuclear"].map(|name| generation::plant_of(name).unwrap());
        let (gas, nuclear) = (mix.kind("gas", plants[0]), mix.kind("nuclear", plants[1]));
        // 100 MW of nuclear for the hour; gas 100, none, 300 and missing by quarters.
        mix.add(1, (area, nuclear), (0, HOUR_MS), Amount::Of(100.0));
        for (nth, amount) in
            [Amount::Of(100.0), Amount::Of(0.0), Amount::Of(300.0), Amount::Missing].into_iter().enumerate()
        {
            mix.add(2, (area, gas), (nth as i64 * 15 * MINUTE_MS, 15 * MINUTE_MS), amount);
        }
        let found = mix.found(Scope::LifeCycle);
        let values: Vec<(f64, bool)> =
            found.entries.iter().map(|(_, entry)| (entry.grams_per_kwh.unwrap(), entry.estimated)).collect();
        // (490 + 12) / 2, 12, (3 × 490 + 12) / 4, 12.
        assert_eq!(values, [(251.0, false), (12.0, false), (370.5, false), (12.0, true)]);
        assert!(found.rejected.is_empty());
    }

    #[test]
    fn what_stands_there_twice_counts_once_and_an_hour_that_lacks_a_plant_is_an_estimate() {
        let mut mix = Mix::default();
        let area = mix.area("", None);
        let plants = ["fossil gas", "solar"].map(|name| generation::plant_of(name).unwrap());
        let (gas, solar) = (mix.kind("gas", plants[0]), mix.kind("solar", plants[1]));
        mix.add(1, (area, gas), (0, HOUR_MS), Amount::Of(7.0));
        mix.add(2, (area, gas), (0, HOUR_MS), Amount::Of(100.0));
        mix.add(3, (area, solar), (0, HOUR_MS), Amount::Of(300.0));
        mix.add(4, (area, solar), (HOUR_MS, HOUR_MS), Amount::Of(300.0));
        mix.add(5, (area, solar), (9 * HOUR_MS, HOUR_MS), Amount::Of(0.0));
        let found = mix.found(Scope::Direct);
        let values: Vec<(f64, bool)> =
            found.entries.iter().map(|(_, entry)| (entry.grams_per_kwh.unwrap(), entry.estimated)).collect();
        // 370 × 100 / 400; sun alone has nothing at the chimney.
        assert_eq!(values, [(92.5, false), (0.0, true)]);
        assert_eq!(found.rejected, [(5, "no generation")]);
    }
}
