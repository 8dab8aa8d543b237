//! What tables show of a group of rows, added up row by row or group by group: every sum, bound and word of it in one pass.

use std::collections::BTreeMap;

use crate::carbon::Tier;
use crate::ledger::{Beneficiary, Method, Row, ShareMethod};
use crate::meter::catalog::Component;
use crate::sum::Sum;
use crate::time::HOUR_MS;
use crate::uncertainty::{Bounds, Spread, Widths};

/// Components that rows can have.
const COMPONENTS: usize = 4;

/// Position of a component among those that rows can have.
pub(in crate::report) fn position_of(component: Component) -> usize {
    match component {
        Component::Cpu => 0,
        Component::Dram => 1,
        Component::Gpu => 2,
        Component::Other | Component::Node => 3,
    }
}

/// What a bound is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Figure {
    /// IT energy, in joules.
    Energy,
    /// Energy at the building's meter, in joules.
    Facility,
    /// Emissions of what is priced, in gCO2e.
    Emissions,
}

/// A sum, and of its bounds what does not hang on the class of the rows.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    total: Sum,
    unseen: f64,
    placing_squared: f64,
}

impl Part {
    fn add(&mut self, value: f64, widths: Widths) {
        self.total.add(value);
        self.unseen += widths.unseen;
        self.placing_squared += widths.placing * widths.placing;
    }

    fn merge(&mut self, other: &Self) {
        self.total.add(other.total.value());
        self.unseen += other.unseen;
        self.placing_squared += other.placing_squared;
    }
}

/// Widths of the rows of one component and method, which are off in the same direction; for each [`Figure`] below and above.
#[derive(Clone, Copy, Debug)]
struct ClassWidths {
    component: u8,
    method: Method,
    widths: [(f64, f64); 3],
}

/// Emissions at factors of one tier, and the time that they span.
#[derive(Clone, Copy, Debug)]
struct TierSum {
    tier: Tier,
    grams: Sum,
    first_ms: i64,
    last_ms: i64,
}

/// What may be another GPU's of a component and run, by [`Figure`].
#[derive(Clone, Copy, Debug)]
struct Unbound {
    run: usize,
    component: u8,
    amounts: [f64; 3],
}

/// In order of runs and components, each once.
fn settled(unbound: &mut Vec<Unbound>) {
    let key = |one: &Unbound| (one.run, one.component);
    if unbound.is_sorted_by(|one, other| key(one) < key(other)) {
        return;
    }
    // Stable: sums are in the order in which the rows came.
    unbound.sort_by_key(key);
    unbound.dedup_by(|later, kept| {
        let is_same = key(later) == key(kept);
        if is_same {
            kept.amounts.iter_mut().zip(later.amounts).for_each(|(sum, more)| *sum += more);
        }
        is_same
    });
}

/// Energy by a word, in the order of first sight.
#[derive(Clone, Debug)]
pub(in crate::report) struct ByWord<T>(Vec<(T, Sum)>);

impl<T> Default for ByWord<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + PartialEq> ByWord<T> {
    fn add(&mut self, word: T, joules: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == word) {
            Some((_, sum)) => sum.add(joules),
            None => self.0.push((word, std::iter::once(joules).collect())),
        }
    }

    fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(word, sum)| self.add(*word, sum.value()));
    }

    /// Joules by what `text` makes of the words, in the order of these texts; without those of which it makes nothing.
    pub(in crate::report) fn sums<'t>(&self, text: impl Fn(T) -> Option<&'t str>) -> BTreeMap<&'t str, f64> {
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        for (word, sum) in &self.0 {
            if let Some(text) = text(*word) {
                sums.entry(text).or_default().add(sum.value());
            }
        }
        sums.into_iter().map(|(text, sum)| (text, sum.value())).collect()
    }

    /// The distinct texts by energy, greatest first, joined with `+`.
    pub(in crate::report) fn joined<'t>(&self, text: impl Fn(T) -> Option<&'t str>) -> String {
        if let [(only, _)] = self.0.as_slice() {
            return text(*only).unwrap_or_default().to_owned();
        }
        let mut words: Vec<(&str, f64)> = self.sums(text).into_iter().collect();
        words.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(right.0)));
        words.into_iter().map(|(word, _)| word).collect::<Vec<_>>().join("+")
    }
}

/// Number of a price among the words of a [`Rollup`](super::Rollup).
pub(in crate::report) type PriceWord = u32;

/// Everything that tables show of a group of rows.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Figures {
    energy: [Part; COMPONENTS],
    facility: Part,
    /// `None` if no row is priced.
    emissions: Option<Part>,
    classes: Vec<ClassWidths>,
    tiers: Vec<TierSum>,
    /// What may be another GPU's, of each component and run: the same error for the run's whole time. By [`Figure`]. In any order,
    /// a run several times, until [`settle`](Self::settle).
    unbound: Vec<Unbound>,
    pub(in crate::report) method: ByWord<Method>,
    pub(in crate::report) share_method: ByWord<ShareMethod>,
    pub(in crate::report) price: ByWord<PriceWord>,
    edge_error_j: Sum,
    covered_s: Sum,
    interpolated_s: Sum,
    expected_s: Sum,
    extrapolated_j: Sum,
    /// True if some row knows too little to be extrapolated (rule C5).
    knows_too_little: bool,
    priced_facility_j: Sum,
    unpriced_j: Sum,
    market_gco2e: Option<Sum>,
    upstream_gco2e: Option<Sum>,
    upstream_facility_j: Sum,
}

fn add_option(sum: &mut Option<Sum>, value: Option<f64>) {
    if let Some(value) = value {
        sum.get_or_insert_default().add(value);
    }
}

impl Figures {
    /// Adds a row. `price` is the number of its price's words, `start_ms` where its bucket begins.
    pub(super) fn add(&mut self, row: &Row<'_>, price: PriceWord, start_ms: i64) {
        let component = position_of(row.component);
        if let Some(part) = self.energy.get_mut(component) {
            part.add(row.energy_j, row.widths);
        }
        let grams_per_j = row.price.grams_per_j();
        let scales = [1.0, row.price.pue, grams_per_j.unwrap_or(0.0)];
        self.facility.add(row.facility_energy_j, row.widths.times(row.price.pue));
        if let (Some(grams), Some(grams_per_j)) = (row.emissions_gco2e, grams_per_j) {
            self.emissions.get_or_insert_default().add(grams, row.widths.times(grams_per_j));
            if let Some(tier) = row.price.words.tier {
                self.add_tier(TierSum {
                    tier,
                    grams: std::iter::once(grams).collect(),
                    first_ms: start_ms,
                    last_ms: start_ms,
                });
            }
        }
        let (low, high) = (row.widths.low, row.widths.high);
        let widths = scales.map(|scale| (low * scale, high * scale));
        self.add_class(&ClassWidths { component: component as u8, method: row.method, widths });
        if row.unbound_j > 0.0
            && let Beneficiary::Run(run) = row.beneficiary
        {
            let amounts = scales.map(|scale| row.unbound_j * scale);
            self.add_unbound(Unbound { run, component: component as u8, amounts });
        }
        self.method.add(row.method, row.energy_j);
        self.share_method.add(row.share_method, row.energy_j);
        self.price.add(price, row.energy_j);
        self.edge_error_j.add(row.edge_error_j);
        self.covered_s.add(row.covered_s);
        self.interpolated_s.add(row.interpolated_s);
        self.expected_s.add(row.expected_s);
        match row.energy_extrapolated_j {
            Some(joules) => self.extrapolated_j.add(joules),
            None => self.knows_too_little |= row.expected_s > 0.0,
        }
        if row.emissions_gco2e.is_some() {
            self.priced_facility_j.add(row.facility_energy_j);
        } else {
            self.unpriced_j.add(row.energy_j);
        }
        add_option(&mut self.upstream_gco2e, row.upstream_gco2e);
        if row.upstream_gco2e.is_some() {
            self.upstream_facility_j.add(row.facility_energy_j);
        }
    }

    /// Adds the market-based emissions of a row that was added before, in gCO2e.
    pub(super) fn add_market(&mut self, grams: f64) {
        self.market_gco2e.get_or_insert_default().add(grams);
    }

    fn add_class(&mut self, more: &ClassWidths) {
        let is_same =
            |known: &&mut ClassWidths| (known.component, known.method) == (more.component, more.method);
        match self.classes.iter_mut().find(is_same) {
            Some(known) => {
                for (sum, width) in known.widths.iter_mut().zip(more.widths) {
                    *sum = (sum.0 + width.0, sum.1 + width.1);
                }
            }
            None => self.classes.push(*more),
        }
    }

    fn add_tier(&mut self, more: TierSum) {
        match self.tiers.iter_mut().find(|known| known.tier == more.tier) {
            Some(known) => {
                known.grams.add(more.grams.value());
                known.first_ms = known.first_ms.min(more.first_ms);
                known.last_ms = known.last_ms.max(more.last_ms);
            }
            None => self.tiers.push(more),
        }
    }

    fn add_unbound(&mut self, more: Unbound) {
        match self.unbound.last_mut() {
            Some(last) if (last.run, last.component) == (more.run, more.component) => {
                last.amounts.iter_mut().zip(more.amounts).for_each(|(sum, more)| *sum += more);
            }
            _ => self.unbound.push(more),
        }
    }

    /// After the last row or group, so that bounds of a large group need no sorting each.
    pub(in crate::report) fn settle(&mut self) {
        settled(&mut self.unbound);
    }

    /// Adds another group.
    pub(in crate::report) fn merge(&mut self, other: &Self) {
        for (part, more) in self.energy.iter_mut().zip(&other.energy) {
            part.merge(more);
        }
        self.facility.merge(&other.facility);
        if let Some(emissions) = &other.emissions {
            self.emissions.get_or_insert_default().merge(emissions);
        }
        other.classes.iter().for_each(|class| self.add_class(class));
        other.tiers.iter().for_each(|tier| self.add_tier(*tier));
        self.unbound.extend_from_slice(&other.unbound);
        self.method.merge(&other.method);
        self.share_method.merge(&other.share_method);
        self.price.merge(&other.price);
        for (sum, more) in [
            (&mut self.edge_error_j, other.edge_error_j),
            (&mut self.covered_s, other.covered_s),
            (&mut self.interpolated_s, other.interpolated_s),
            (&mut self.expected_s, other.expected_s),
            (&mut self.extrapolated_j, other.extrapolated_j),
            (&mut self.priced_facility_j, other.priced_facility_j),
            (&mut self.unpriced_j, other.unpriced_j),
            (&mut self.upstream_facility_j, other.upstream_facility_j),
        ] {
            sum.add(more.value());
        }
        self.knows_too_little |= other.knows_too_little;
        add_option(&mut self.market_gco2e, other.market_gco2e.map(Sum::value));
        add_option(&mut self.upstream_gco2e, other.upstream_gco2e.map(Sum::value));
    }

    /// Gives the prices other numbers: `numbers` has the new one of each.
    pub(super) fn renumber(&mut self, numbers: &[PriceWord]) {
        for (word, _) in &mut self.price.0 {
            *word = numbers.get(*word as usize).copied().unwrap_or(PriceWord::MAX);
        }
    }

    /// All of some groups together.
    pub(in crate::report) fn all<'f>(groups: impl IntoIterator<Item = &'f Self>) -> Self {
        let mut all = Self::default();
        groups.into_iter().for_each(|group| all.merge(group));
        all.settle();
        all
    }

    /// IT energy in joules, of a component or of all.
    pub(in crate::report) fn energy_j(&self, component: Option<Component>) -> f64 {
        match component.map(position_of) {
            Some(at) => self.energy.get(at).map_or(0.0, |part| part.total.value()),
            None => crate::sum::sum(self.energy.iter().map(|part| part.total.value())),
        }
    }

    /// Energy at the building's meter, in joules.
    pub(in crate::report) fn facility_energy_j(&self) -> f64 {
        self.facility.total.value()
    }

    /// Location-based emissions in gCO2e; `None` where nothing is priced.
    pub(in crate::report) fn emissions_gco2e(&self) -> Option<f64> {
        self.emissions.map(|emissions| emissions.total.value())
    }

    /// Market-based emissions in gCO2e; `None` where nothing has any.
    pub(in crate::report) fn market_gco2e(&self) -> Option<f64> {
        self.market_gco2e.map(Sum::value)
    }

    /// Upstream emissions in gCO2e; `None` where none are known.
    pub(in crate::report) fn upstream_gco2e(&self) -> Option<f64> {
        self.upstream_gco2e.map(Sum::value)
    }

    /// Energy at the building's meter of the rows whose upstream emissions are known, in joules.
    pub(in crate::report) fn upstream_facility_j(&self) -> f64 {
        self.upstream_facility_j.value()
    }

    /// Energy at the building's meter of what is priced, in joules.
    pub(in crate::report) fn priced_facility_j(&self) -> f64 {
        self.priced_facility_j.value()
    }

    /// IT energy of what is not priced, in joules.
    pub(in crate::report) fn unpriced_j(&self) -> f64 {
        self.unpriced_j.value()
    }

    /// How far off the placing at run edges may be, in joules.
    pub(in crate::report) fn edge_error_j(&self) -> f64 {
        self.edge_error_j.value()
    }

    /// Seconds that were seen, whose energy is known but not how it was spread, and that should have been seen.
    pub(in crate::report) fn seconds(&self) -> (f64, f64, f64) {
        (self.covered_s.value(), self.interpolated_s.value(), self.expected_s.value())
    }

    /// What the energy would be had the unseen time been as the seen, in joules; `None` if any row knows too little: a total
    /// without it could be less than what was measured (rule C5).
    pub(in crate::report) fn extrapolated_j(&self) -> Option<f64> {
        (!self.knows_too_little).then(|| self.extrapolated_j.value())
    }

    /// The squares of what may be another GPU's of each run, added up.
    fn unbound_squared(&self, side: usize, component: Option<usize>) -> f64 {
        if self.unbound.is_empty() {
            return 0.0;
        }
        let mut known = std::borrow::Cow::Borrowed(&self.unbound);
        if !self.unbound.is_sorted_by(|one, other| (one.run, one.component) < (other.run, other.component)) {
            settled(known.to_mut());
        }
        let is_meant = |one: &&Unbound| component.is_none_or(|meant| meant == usize::from(one.component));
        let of_runs = known.chunk_by(|one, other| one.run == other.run).map(|of_run| {
            of_run.iter().filter(is_meant).filter_map(|one| one.amounts.get(side)).sum::<f64>()
        });
        of_runs.fold(0.0, |sum, joules| sum + joules * joules)
    }

    /// The least and the most that a figure may be, of a component or of all (section 11 of the accounting page); `None` of
    /// emissions where nothing is priced. `bucket_ms` is the length of the rows' buckets.
    pub(in crate::report) fn bounds(
        &self,
        figure: Figure,
        component: Option<Component>,
        bucket_ms: i64,
    ) -> Option<(f64, f64)> {
        let component = component.map(position_of);
        let is_meant = |at: u8| component.is_none_or(|meant| meant == usize::from(at));
        let whole = match figure {
            Figure::Energy => {
                let mut whole = Part::default();
                let parts = self.energy.iter().zip(0_u8..).filter(|(_, at)| is_meant(*at));
                parts.for_each(|(part, _)| whole.merge(part));
                whole
            }
            Figure::Facility => self.facility,
            Figure::Emissions => self.emissions?,
        };
        let side = figure as usize;
        let placing_squared = whole.placing_squared + self.unbound_squared(side, component);
        let mut bounds = Bounds::of_sums(whole.total.value(), whole.unseen, placing_squared);
        let mut next = 0;
        for class in self.classes.iter().filter(|class| is_meant(class.component)) {
            let (low, high) = class.widths.get(side).copied().unwrap_or_default();
            bounds.add_width(next, low, high);
            next += 1;
        }
        if figure == Figure::Emissions {
            for found in &self.tiers {
                let hours = (found.last_ms - found.first_ms + bucket_ms) as f64 / HOUR_MS as f64;
                let spread = Spread::of_factor(found.tier, hours);
                let grams = found.grams.value();
                bounds.add_width(next, grams * (1.0 - spread.low()), grams * (spread.high() - 1.0));
                next += 1;
            }
        }
        Some(bounds.low_and_high())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::{PriceWords, RowPrice};

    /// A row of a device of `component`, for run `run` or nobody.
    fn row(component: Component, run: Option<usize>, energy_j: f64, method: Method) -> Row<'static> {
        let words = PriceWords { zone: Some("DE"), tier: Some(Tier::Hourly), source: None, release: None };
        let price = RowPrice { pue: 1.5, intensity: Some(400.0), words };
        Row {
            bucket: 0,
            component,
            device: "",
            beneficiary: run.map_or(Beneficiary::Idle, Beneficiary::Run),
            method,
            share_method: ShareMethod::Bound,
            energy_j,
            energy_extrapolated_j: Some(energy_j),
            edge_error_j: 1.0,
            widths: Widths { low: 0.1 * energy_j, high: 0.2 * energy_j, unseen: 0.0, placing: 3.0 },
            unbound_j: 0.0,
            covered_s: 3600.0,
            interpolated_s: 0.0,
            expected_s: 3600.0,
            facility_energy_j: 1.5 * energy_j,
            emissions_gco2e: Some(1.5 * energy_j / 3.6e6 * 400.0),
            upstream_gco2e: None,
            price,
        }
    }

    #[test]
    fn bounds_by_hand() {
        let mut figures = Figures::default();
        // Of one class: 0.1 × 300 below, 0.2 × 300 above, and 3² + 3² misplaced.
        for joules in [100.0, 200.0] {
            figures.add(&row(Component::Gpu, Some(1), joules, Method::MeasuredCounter), 0, 0);
        }
        let off = |below: f64, above: f64| {
            (300.0 - (below * below + 18.0).sqrt(), 300.0 + (above * above + 18.0).sqrt())
        };
        assert_eq!(figures.bounds(Figure::Energy, None, HOUR_MS), Some(off(30.0, 60.0)));
        assert_eq!(figures.bounds(Figure::Energy, Some(Component::Cpu), HOUR_MS), Some((0.0, 0.0)));
        let (low, high) = figures.bounds(Figure::Facility, None, HOUR_MS).unwrap();
        // All of it is half as much again.
        assert!(
            (low - 1.5 * off(30.0, 60.0).0).abs() < 1e-9 && (high - 1.5 * off(30.0, 60.0).1).abs() < 1e-9
        );
        // 100 J of another class: 10 and 20 in quadrature to 30 and 60, and a third misplaced.
        figures.add(&row(Component::Cpu, None, 100.0, Method::ModelledUtilisation), 1, 0);
        let (low, high) = figures.bounds(Figure::Energy, None, HOUR_MS).unwrap();
        assert!(
            (low - (400.0 - 1027.0_f64.sqrt())).abs() < 1e-9
                && (high - (400.0 + 4027.0_f64.sqrt())).abs() < 1e-9
        );
        // The factor of an hour is off by a tenth, and that of two hours by as much.
        let grams = 1.5 * 400.0 * 400.0 / 3.6e6;
        let in_grams: f64 = 1.5 * 400.0 / 3.6e6;
        let below = (1027.0 * in_grams * in_grams + (0.1 * grams) * (0.1 * grams)).sqrt();
        let (low, _) = figures.bounds(Figure::Emissions, None, HOUR_MS).unwrap();
        assert!((low - (grams - below)).abs() < 1e-12, "{low}");
        assert_eq!(
            figures.method.joined(|method| Some(method.as_str())),
            "measured:counter+modelled:utilisation"
        );
    }

    #[test]
    fn what_may_be_another_gpus_is_one_error_for_a_run_and_several_for_many() {
        let unbound = |run| Row {
            unbound_j: 30.0,
            widths: Widths::default(),
            ..row(Component::Gpu, Some(run), 100.0, Method::MeasuredCounter)
        };
        let bounds = |runs: [usize; 2]| {
            let mut figures = Figures::default();
            runs.into_iter().for_each(|run| figures.add(&unbound(run), 0, 0));
            figures.bounds(Figure::Energy, None, HOUR_MS).unwrap()
        };
        assert_eq!(bounds([1, 1]), (140.0, 260.0));
        assert_eq!(bounds([1, 2]), (200.0 - 1800.0_f64.sqrt(), 200.0 + 1800.0_f64.sqrt()));
    }

    proptest! {
        /// Rows in one group or in several that are merged: the same figures.
        #[test]
        fn merged_groups_are_the_group_of_all_their_rows(
            rows in proptest::collection::vec((0_usize..4, 0_usize..4, 0.0..1e6_f64, 0_usize..7, 0_usize..3, any::<bool>()), 0..40),
        ) {
            let components = [Component::Cpu, Component::Dram, Component::Gpu, Component::Other];
            let mut whole = Figures::default();
            let mut parts: [Figures; 3] = Default::default();
            for (component, run, joules, method, part, is_priced) in rows {
                let mut row = row(components[component], (run > 0).then_some(run), joules, Method::ALL[method]);
                row.unbound_j = if component == 2 { 0.1 * joules } else { 0.0 };
                if !is_priced {
                    (row.emissions_gco2e, row.price.intensity) = (None, None);
                }
                whole.add(&row, run as u32, 0);
                parts[part].add(&row, run as u32, 0);
            }
            let merged = Figures::all(&parts);
            let near = |one: f64, other: f64| (one - other).abs() <= 1e-9 * one.abs().max(1.0);
            let near_pair = |one: Option<(f64, f64)>, other: Option<(f64, f64)>| match (one, other) {
                (Some(one), Some(other)) => near(one.0, other.0) && near(one.1, other.1),
                (one, other) => one == other,
            };
            for figure in [Figure::Energy, Figure::Facility, Figure::Emissions] {
                prop_assert!(near_pair(whole.bounds(figure, None, HOUR_MS), merged.bounds(figure, None, HOUR_MS)));
            }
            for component in components {
                let (one, other) = (whole.energy_j(Some(component)), merged.energy_j(Some(component)));
                prop_assert!(near(one, other));
            }
            prop_assert!(near(whole.facility_energy_j(), merged.facility_energy_j()));
            prop_assert!(near(whole.unpriced_j(), merged.unpriced_j()));
            prop_assert_eq!(whole.emissions_gco2e().is_some(), merged.emissions_gco2e().is_some());
            prop_assert!(near(whole.seconds().2, merged.seconds().2));
        }
    }
}
