//! Each joule at its hour, its zone and one basis (rules G1 to G3, T3).

use std::collections::BTreeMap;

use super::entry::{Beneficiary, Entry};
use super::pue::Pue;
use crate::carbon::{Contracts, Factor, Intensity, Matching, Zone};
use crate::jobs::Run;
use crate::time::Window;
use crate::units::{GramsPerKwh, Joules};

/// What emissions are worked out with.
#[derive(Clone, Copy)]
pub struct Prices<'a> {
    /// Factors.
    pub intensity: &'a Intensity,
    /// Zone of nodes and runs that name none; `None` leaves them unpriced.
    pub zone: Option<&'a Zone>,
    /// Facility energy ÷ IT energy.
    pub pue: &'a Pue,
    /// Life-cycle factors beside direct ones, for what lies upstream (rule G4).
    pub upstream: Option<&'a Intensity>,
    /// What the market-based figure is made of.
    pub contracts: Option<&'a Contracts>,
    /// How contracts are matched.
    pub matching: Matching,
}

/// A row's price.
#[derive(Clone, Debug)]
pub(super) struct Priced {
    /// Whose factors apply.
    pub zone: Option<Zone>,
    /// The factor; `None` where nothing of the basis is known.
    pub factor: Option<Factor>,
    /// Facility energy ÷ IT energy in the row's bucket.
    pub pue: f64,
    /// Energy at the meter of the building, in joules.
    pub facility_energy_j: f64,
    /// Emissions in gCO2e; `None` where unpriced.
    pub emissions_gco2e: Option<f64>,
    /// Upstream of them, in gCO2e; `None` where not known (rule G4).
    pub upstream_gco2e: Option<f64>,
}

/// What energy in a zone and bucket is priced with.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// Whose factors apply.
    pub zone: Option<Zone>,
    /// The factor; `None` where nothing of the basis is known.
    pub factor: Option<Factor>,
    /// Facility energy ÷ IT energy.
    pub pue: f64,
    /// What lies upstream; `None` where not known.
    upstream: Option<GramsPerKwh>,
}

/// What an amount of energy comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct PricedEnergy {
    /// Energy at the meter of the building, in joules.
    pub facility_energy_j: f64,
    /// Emissions in gCO2e; `None` where unpriced.
    pub emissions_gco2e: Option<f64>,
    /// Upstream of them, in gCO2e; `None` where not known (rule G4).
    pub upstream_gco2e: Option<f64>,
}

impl Unit {
    /// Of `energy_j` joules of IT energy.
    pub(super) fn of(&self, energy_j: f64) -> PricedEnergy {
        let facility_energy_j = energy_j * self.pue;
        let grams = |intensity| Joules(facility_energy_j).to_kwh().emissions(intensity).value();
        PricedEnergy {
            facility_energy_j,
            emissions_gco2e: self.factor.as_ref().map(|factor| grams(factor.intensity)),
            upstream_gco2e: self.upstream.map(grams),
        }
    }
}

/// What is to be priced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    /// Zone stated for the node.
    pub node_zone: Option<&'p str>,
    /// Whose energy it is; `None` of nobody's.
    pub run: Option<usize>,
    /// Position of the bucket.
    pub bucket: usize,
}

impl<'p> Place<'p> {
    /// Of a row of a node in `node_zone`.
    pub(super) fn of(node_zone: Option<&'p str>, entry: &Entry) -> Self {
        let run = match entry.beneficiary {
            Beneficiary::Run(run) => Some(run),
            _ => None,
        };
        Self { node_zone, run, bucket: entry.bucket }
    }
}

/// Looks factors up once for each zone and bucket.
pub(super) struct Pricer<'a> {
    prices: Prices<'a>,
    runs: &'a [Run],
    buckets: &'a [Window],
    named: BTreeMap<String, Option<Zone>>,
    factors: BTreeMap<(Zone, usize), Option<Factor>>,
    upstreams: BTreeMap<(Zone, usize), Option<GramsPerKwh>>,
    /// By bucket, once asked for.
    pues: Option<Vec<f64>>,
}

impl<'a> Pricer<'a> {
    /// With the zones that `runs` may name.
    pub(super) fn new(prices: Prices<'a>, runs: &'a [Run], buckets: &'a [Window]) -> Self {
        Self {
            prices,
            runs,
            buckets,
            named: BTreeMap::new(),
            factors: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            pues: None,
        }
    }

    /// Prices `energy_j` joules of IT energy.
    pub(super) fn price(&mut self, place: Place<'_>, energy_j: f64) -> Priced {
        let unit = self.unit(place);
        let PricedEnergy { facility_energy_j, emissions_gco2e, upstream_gco2e } = unit.of(energy_j);
        let Unit { zone, factor, pue, .. } = unit;
        Priced { zone, factor, pue, facility_energy_j, emissions_gco2e, upstream_gco2e }
    }

    /// What any energy there is priced with.
    pub(super) fn unit(&mut self, place: Place<'_>) -> Unit {
        let (zone, pue) = self.place(place);
        let factor = zone.as_ref().and_then(|zone| self.factor(zone, place.bucket));
        let upstream = self.upstream(zone.as_ref(), place.bucket, factor.as_ref());
        Unit { zone, factor, pue, upstream }
    }

    /// Whose factors apply, and facility energy ÷ IT energy in the bucket.
    pub(super) fn place(&mut self, place: Place<'_>) -> (Option<Zone>, f64) {
        let run = place.run.and_then(|run| self.runs.get(run));
        let zone = match run.and_then(|run| run.zone.as_deref()).or(place.node_zone) {
            Some(named) => self.named_zone(named),
            None => self.prices.zone.cloned(),
        };
        (zone, self.pue(place.bucket))
    }

    /// Life-cycle less direct, where both are of one kind.
    fn upstream(
        &mut self,
        zone: Option<&Zone>,
        bucket: usize,
        direct: Option<&Factor>,
    ) -> Option<GramsPerKwh> {
        let (intensity, zone, direct) = (self.prices.upstream?, zone?, direct?);
        let key = (zone.clone(), bucket);
        if let Some(known) = self.upstreams.get(&key) {
            return *known;
        }
        let whole = intensity.factor_at(zone, self.buckets.get(bucket)?.start_ms);
        let found = whole.and_then(|whole| {
            let is_like =
                (whole.tier, &whole.source, &whole.release) == (direct.tier, &direct.source, &direct.release);
            let difference = whole.intensity.value() - direct.intensity.value();
            (is_like && difference >= 0.0).then_some(GramsPerKwh(difference))
        });
        self.upstreams.insert(key, found);
        found
    }

    fn pue(&mut self, bucket: usize) -> f64 {
        let (prices, buckets) = (self.prices, self.buckets);
        let all = || buckets.iter().map(|window| prices.pue.over(*window)).collect();
        self.pues.get_or_insert_with(all).get(bucket).copied().unwrap_or(1.0)
    }

    fn named_zone(&mut self, named: &str) -> Option<Zone> {
        if let Some(known) = self.named.get(named) {
            return known.clone();
        }
        let zone = self.prices.intensity.zone(named).ok();
        self.named.insert(named.to_owned(), zone.clone());
        zone
    }

    fn factor(&mut self, zone: &Zone, bucket: usize) -> Option<Factor> {
        let key = (zone.clone(), bucket);
        if let Some(known) = self.factors.get(&key) {
            return known.clone();
        }
        let window = self.buckets.get(bucket)?;
        let factor = self.prices.intensity.factor_at(zone, window.start_ms);
        self.factors.insert(key, factor.clone());
        factor
    }
}
