//! The market-based figure: contracts first, what they leave at the residual mix, the rest at the location factor (rule G4).

use std::collections::BTreeMap;

use crate::carbon::{Contract, Contracts, Matching, Zone};
use crate::sum::Sum;
use crate::time::{Window, span};

/// What was used in a zone during one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ZoneUse {
    /// At the building's meter, in kWh.
    pub facility_kwh: f64,
    /// The location factor, in gCO2e/kWh; `None` where nothing is known.
    pub location_g_per_kwh: Option<f64>,
}

/// What became of one row of the table of contracts.
#[derive(Clone, Debug, PartialEq)]
pub struct ContractUse {
    /// The row.
    pub contract: Contract,
    /// Its volume for the time of the report, in kWh; `None` if it covers all that is left.
    pub volume_kwh: Option<f64>,
    /// What of it was matched, in kWh.
    pub matched_kwh: f64,
    /// Σ matched × its factor, in gCO2e.
    pub emissions_gco2e: f64,
}

/// The market-based factors of a report and what they are made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Market {
    /// gCO2e/kWh by zone and bucket; without what has no factor at all.
    factors: BTreeMap<(Zone, usize), f64>,
    /// Each contract and certificate, in the order of the table.
    pub contracts: Vec<ContractUse>,
    /// At residual mixes, in kWh, and their emissions in gCO2e.
    pub residual: (f64, f64),
    /// At location factors, for nobody states a residual mix, in kWh and gCO2e.
    pub location: (f64, f64),
    /// Without any factor, in kWh.
    pub unknown_kwh: f64,
}

impl Market {
    /// Matches `contracts` with what was used.
    pub fn new(
        contracts: &Contracts,
        matching: Matching,
        buckets: &[Window],
        used: &BTreeMap<(Zone, usize), ZoneUse>,
    ) -> Self {
        let whole = span(buckets).unwrap_or(Window::new(0, 0));
        let edges = edges(contracts);
        let mut cells: Vec<Cell<'_>> = Vec::new();
        for ((zone, bucket), used) in used {
            let Some(window) = buckets.get(*bucket) else { continue };
            // What begins or ends inside a bucket cuts it; its energy is even over it.
            for piece in pieces(*window, &edges) {
                let facility_kwh = used.facility_kwh * piece.length_s() / window.length_s();
                let used = ZoneUse { facility_kwh, ..*used };
                let (covered_kwh, grams) = (0.0, Sum::new());
                cells.push(Cell { zone, bucket: *bucket, window: piece, used, covered_kwh, grams });
            }
        }
        let mut market = Self::default();
        for contract in &contracts.rows {
            market.contracts.push(cover(contract, matching, whole, &mut cells));
        }
        let (mut residual, mut location, mut unknown) = <((Sum, Sum), (Sum, Sum), Sum)>::default();
        let mut by_bucket: BTreeMap<(Zone, usize), (Sum, Sum, bool)> = BTreeMap::new();
        for mut cell in cells {
            let left_kwh = cell.left_kwh();
            let rest = match contracts.residual_at(cell.zone, cell.window.start_ms) {
                Some(mix) => Some((mix.grams_per_kwh, &mut residual)),
                None => cell.used.location_g_per_kwh.map(|grams| (grams, &mut location)),
            };
            let is_known = rest.is_some() || left_kwh <= 0.0;
            match rest {
                Some((grams_per_kwh, (kwh, grams))) => {
                    kwh.add(left_kwh);
                    grams.add(left_kwh * grams_per_kwh);
                    cell.grams.add(left_kwh * grams_per_kwh);
                }
                None => unknown.add(left_kwh),
            }
            let (kwh, grams, all_known) =
                by_bucket.entry((cell.zone.clone(), cell.bucket)).or_insert((Sum::new(), Sum::new(), true));
            kwh.add(cell.used.facility_kwh);
            grams.add(cell.grams.value());
            *all_known &= is_known;
        }
        for (key, (kwh, grams, all_known)) in by_bucket {
            if all_known && kwh.value() > 0.0 {
                market.factors.insert(key, grams.value() / kwh.value());
            }
        }
        market.residual = (residual.0.value(), residual.1.value());
        market.location = (location.0.value(), location.1.value());
        market.unknown_kwh = unknown.value();
        market
    }

    /// The factor of a zone in a bucket, in gCO2e/kWh; `None` where nothing is known.
    pub fn factor(&self, zone: &Zone, bucket: usize) -> Option<f64> {
        self.factors.get(&(zone.clone(), bucket)).copied()
    }

    /// True if anything has a market-based figure.
    pub fn covers_any(&self) -> bool {
        self.residual.0 > 0.0
            || self.location.0 > 0.0
            || self.contracts.iter().any(|used| used.matched_kwh > 0.0)
    }

    /// All of it, in gCO2e.
    pub fn emissions_gco2e(&self) -> f64 {
        let contracts = self.contracts.iter().map(|used| used.emissions_gco2e);
        crate::sum::sum(contracts.chain([self.residual.1, self.location.1]))
    }
}

/// A zone's use in one bucket, and how much of it is covered.
struct Cell<'a> {
    zone: &'a Zone,
    bucket: usize,
    window: Window,
    used: ZoneUse,
    covered_kwh: f64,
    grams: Sum,
}

impl Cell<'_> {
    fn left_kwh(&self) -> f64 {
        (self.used.facility_kwh - self.covered_kwh).max(0.0)
    }

    fn take(&mut self, kwh: f64, grams_per_kwh: f64) {
        self.covered_kwh += kwh;
        self.grams.add(kwh * grams_per_kwh);
    }
}

/// All instants at which a row begins or ends, ascending.
fn edges(contracts: &Contracts) -> Vec<i64> {
    let rows = contracts.rows.iter().chain(&contracts.residual);
    let mut edges: Vec<i64> = rows.flat_map(|row| [row.period.start_ms, row.period.end_ms]).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// A window in pieces that no edge cuts.
fn pieces(window: Window, edges: &[i64]) -> Vec<Window> {
    let inside = edges.iter().copied().filter(|edge| window.start_ms < *edge && *edge < window.end_ms);
    let mut start_ms = window.start_ms;
    let mut pieces = Vec::new();
    for end_ms in inside.chain([window.end_ms]) {
        pieces.push(Window::new(start_ms, end_ms));
        start_ms = end_ms;
    }
    pieces
}

/// Lets one contract cover what it can.
fn cover(contract: &Contract, matching: Matching, whole: Window, cells: &mut [Cell<'_>]) -> ContractUse {
    let part_of = |window: Window| {
        let both = contract.period.intersect(window).map_or(0.0, Window::length_s);
        both / contract.period.length_s()
    };
    let volume_kwh = contract.energy_kwh.map(|kwh| kwh * part_of(whole));
    let is_here = |cell: &Cell<'_>| {
        contract.zone.as_ref().is_none_or(|zone| zone == cell.zone)
            && contract.period.contains(cell.window.start_ms)
    };
    let open_kwh = |cell: &Cell<'_>| if is_here(cell) { cell.left_kwh() } else { 0.0 };
    let all_kwh = crate::sum::sum(cells.iter().map(open_kwh));
    let mut matched = Sum::new();
    // In one bucket a contract of all zones is shared by what each of them uses.
    let mut by_piece: BTreeMap<Window, Sum> = BTreeMap::new();
    for cell in cells.iter() {
        by_piece.entry(cell.window).or_default().add(open_kwh(cell));
    }
    for cell in cells.iter_mut() {
        let open = open_kwh(cell);
        if open <= 0.0 {
            continue;
        }
        let share = match (contract.energy_kwh, matching) {
            (None, _) => 1.0,
            (Some(_), Matching::Annual) => volume_kwh.unwrap_or(0.0) / all_kwh,
            (Some(kwh), Matching::Hourly) => {
                let here = by_piece.get(&cell.window).map_or(open, |sum| sum.value());
                kwh * part_of(cell.window) / here
            }
        };
        let kwh = open * share.clamp(0.0, 1.0);
        matched.add(kwh);
        cell.take(kwh, contract.grams_per_kwh);
    }
    let matched_kwh = matched.value();
    ContractUse {
        contract: contract.clone(),
        volume_kwh,
        matched_kwh,
        emissions_gco2e: matched_kwh * contract.grams_per_kwh,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::carbon::ContractKind;
    use crate::time::HOUR_MS;

    fn contract(
        zone: Option<&str>,
        hours: (i64, i64),
        energy_kwh: Option<f64>,
        grams_per_kwh: f64,
    ) -> Contract {
        Contract {
            kind: ContractKind::Contract,
            name: "x".to_owned(),
            zone: zone.map(Zone::from_id),
            period: Window::new(hours.0 * HOUR_MS, hours.1 * HOUR_MS),
            energy_kwh,
            grams_per_kwh,
        }
    }

    fn table(rows: Vec<Contract>, residual: Vec<Contract>) -> Contracts {
        let mix = |contract: Contract| Contract { kind: ContractKind::ResidualMix, ..contract };
        Contracts { rows, residual: residual.into_iter().map(mix).collect(), ..Contracts::default() }
    }

    /// Four hours of 10, 20, 30 and 40 kWh in `A` at 100, 200, 300 and 400 g.
    fn used() -> (Vec<Window>, BTreeMap<(Zone, usize), ZoneUse>) {
        let buckets: Vec<Window> =
            (0..4).map(|hour| Window::new(hour * HOUR_MS, (hour + 1) * HOUR_MS)).collect();
        let cell = |hour: usize| {
            let step = (hour + 1) as f64;
            let used = ZoneUse { facility_kwh: 10.0 * step, location_g_per_kwh: Some(100.0 * step) };
            ((Zone::from_id("A"), hour), used)
        };
        (buckets, (0..4).map(cell).collect())
    }

    fn factors(market: &Market) -> Vec<f64> {
        (0..4).map(|hour| market.factor(&Zone::from_id("A"), hour).unwrap()).collect()
    }

    #[test]
    fn annual_volumes_cover_every_hour_alike_and_hourly_ones_their_own() {
        let (buckets, used) = used();
        // 100 kWh over the 8 hours of its period: 50 of them for the report's four.
        let contracts = table(vec![contract(Some("A"), (0, 8), Some(100.0), 0.0)], Vec::new());
        let annual = Market::new(&contracts, Matching::Annual, &buckets, &used);
        assert_eq!((annual.contracts[0].volume_kwh, annual.contracts[0].matched_kwh), (Some(50.0), 50.0));
        // Half of every hour.
        assert_eq!(factors(&annual), [50.0, 100.0, 150.0, 200.0]);
        // Half of 10×100 + 20×200 + 30×300 + 40×400 = 30,000.
        assert_eq!(annual.emissions_gco2e(), 15_000.0);
        assert_eq!(annual.location, (50.0, 15_000.0));
        // 12.5 kWh in each hour: the first needs 10 only.
        let hourly = Market::new(&contracts, Matching::Hourly, &buckets, &used);
        assert_eq!(hourly.contracts[0].matched_kwh, 10.0 + 12.5 * 3.0);
        assert_eq!(factors(&hourly)[..2], [0.0, 200.0 * 7.5 / 20.0]);
    }

    #[test]
    fn what_is_left_takes_the_residual_mix_and_a_surplus_is_lost() {
        let (buckets, used) = used();
        // Two of the four hours, and more than both need; then a tariff for all that is left in the third.
        let rows = vec![
            contract(None, (0, 2), Some(1000.0), 10.0),
            contract(Some("B"), (0, 4), None, 1.0),
            contract(Some("A"), (2, 3), None, 20.0),
        ];
        let market = Market::new(
            &table(rows, vec![contract(None, (0, 4), None, 500.0)]),
            Matching::Annual,
            &buckets,
            &used,
        );
        assert_eq!(factors(&market), [10.0, 10.0, 20.0, 500.0]);
        let matched: Vec<f64> = market.contracts.iter().map(|used| used.matched_kwh).collect();
        assert_eq!(matched, [30.0, 0.0, 30.0]);
        assert_eq!((market.residual, market.location), ((40.0, 20_000.0), (0.0, 0.0)));
        assert_eq!(market.emissions_gco2e(), 300.0 + 600.0 + 20_000.0);
    }

    #[test]
    fn without_any_factor_only_what_is_covered_is_known() {
        let buckets = vec![Window::new(0, HOUR_MS)];
        let used = BTreeMap::from([(
            (Zone::from_id("A"), 0),
            ZoneUse { facility_kwh: 4.0, location_g_per_kwh: None },
        )]);
        let half = table(vec![contract(None, (0, 1), Some(2.0), 0.0)], Vec::new());
        let market = Market::new(&half, Matching::Annual, &buckets, &used);
        assert_eq!((market.factor(&Zone::from_id("A"), 0), market.unknown_kwh), (None, 2.0));
        let all = table(vec![contract(None, (0, 1), None, 7.0)], Vec::new());
        let market = Market::new(&all, Matching::Annual, &buckets, &used);
        assert_eq!(market.factor(&Zone::from_id("A"), 0), Some(7.0));
    }

    #[test]
    fn a_period_that_ends_inside_an_hour_covers_its_part_of_it() {
        let (buckets, used) = used();
        let half = |grams: f64| Contract {
            period: Window::new(0, HOUR_MS / 2),
            ..contract(None, (0, 1), None, grams)
        };
        let contracts = table(vec![half(10.0), half(900.0)], Vec::new());
        let market = Market::new(&contracts, Matching::Annual, &buckets, &used);
        let matched: Vec<f64> = market.contracts.iter().map(|used| used.matched_kwh).collect();
        // Of 10 kWh the first half at 10 g, the second at 100; the other row finds nothing left.
        assert_eq!(matched, [5.0, 0.0]);
        assert_eq!(factors(&market)[0], 55.0);
        let hourly = Market::new(
            &table(vec![Contract { energy_kwh: Some(2.0), ..half(0.0) }], Vec::new()),
            Matching::Hourly,
            &buckets,
            &used,
        );
        assert_eq!((hourly.contracts[0].matched_kwh, factors(&hourly)[0]), (2.0, 80.0));
    }

    proptest! {
        #[test]
        fn nothing_is_negative_and_all_is_accounted_for(
            rows in prop::collection::vec((0_i64..4, 1_i64..8, prop::option::of(0.0_f64..200.0), 0.0_f64..900.0), 0..5),
            is_hourly: bool,
        ) {
            let (buckets, used) = used();
            let rows = rows.into_iter().map(|(from, length, kwh, grams)| contract(None, (from, from + length), kwh, grams));
            let matching = if is_hourly { Matching::Hourly } else { Matching::Annual };
            let market = Market::new(&table(rows.collect(), Vec::new()), matching, &buckets, &used);
            prop_assert!(factors(&market).iter().all(|factor| *factor >= 0.0));
            let matched: f64 = market.contracts.iter().map(|used| used.matched_kwh).sum();
            prop_assert!((matched + market.location.0 - 100.0).abs() < 1e-9);
            let by_factor: f64 =
                factors(&market).iter().zip([10.0, 20.0, 30.0, 40.0]).map(|(factor, kwh)| factor * kwh).sum();
            prop_assert!((by_factor - market.emissions_gco2e()).abs() < 1e-6);
            for used in &market.contracts {
                prop_assert!(used.volume_kwh.is_none_or(|volume| used.matched_kwh <= volume + 1e-9));
            }
        }
    }
}
