//! The same energy elsewhere and at other times (rule G7).

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::Books;
use super::entry::Beneficiary;
use super::pricing::{self, Pricer, Prices};
use crate::carbon::{Intensity, Tier, Zone};
use crate::jobs::Run;
use crate::sum::{Sum, sum};
use crate::time::{Window, span};
use crate::units::{GramsPerKwh, Joules};

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Places instead of the one where it was.
    pub zones: Vec<Zone>,
    /// By how much a run may start later, in milliseconds; `None` where that is not asked.
    pub slack_ms: Option<i64>,
}

/// What would have been.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// Everything as it was.
    pub as_run: Place,
    /// Everything in each of the zones asked for, in their order.
    pub elsewhere: Vec<Place>,
    /// Every run that used energy in the window, in the order of the log; none where no slack was given.
    pub runs: Vec<MovedRun>,
}

/// All energy at the factors of one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// The zone; all of them where nodes or runs have zones of their own.
    pub zones: Vec<Zone>,
    /// Energy at the meter of the building, in joules.
    pub facility_energy_j: f64,
    /// Of that, what no factor is known for, in joules.
    pub unpriced_j: f64,
    /// Energy by tier, best first, in joules.
    pub tiers_j: Vec<(Tier, f64)>,
    /// Emissions of what is priced, in gCO2e: runs, idle, infrastructure, unattributed.
    pub emissions_gco2e: [f64; 4],
}

impl Place {
    /// Emissions of all that is priced, in gCO2e; `None` where nothing is.
    pub fn total_gco2e(&self) -> Option<f64> {
        (!self.tiers_j.is_empty()).then(|| sum(self.emissions_gco2e))
    }

    /// Mean factor, weighted by energy, in gCO2e/kWh.
    pub fn mean_g_per_kwh(&self) -> Option<f64> {
        let priced = Joules(sum(self.tiers_j.iter().map(|(_, energy_j)| *energy_j))).to_kwh().value();
        self.total_gco2e().filter(|_| priced > 0.0).map(|grams| grams / priced)
    }

    /// By how much more is emitted here than `there`, in gCO2e; `None` unless both are priced whole.
    pub fn beyond_gco2e(&self, there: &Self) -> Option<f64> {
        let is_whole = self.unpriced_j == 0.0 && there.unpriced_j == 0.0;
        Some(self.total_gco2e()? - there.total_gco2e()?).filter(|_| is_whole)
    }
}

/// A run and what it could have emitted.
#[derive(Clone, Debug, PartialEq)]
pub struct MovedRun {
    /// Position in the list of runs.
    pub run: usize,
    /// Where it was.
    pub zones: Vec<Zone>,
    /// Energy at the meter of the building, in joules.
    pub facility_energy_j: f64,
    /// How good the factors of its own hours are, best first.
    pub tiers: Vec<Tier>,
    /// As it was, in gCO2e; `None` where some of it has no factor.
    pub emissions_gco2e: Option<f64>,
    /// Why it is not moved in time.
    pub stays: Option<Stays>,
    /// The best start where it was; `None` where it stays.
    pub later: Option<Best>,
    /// The best start where it was or in one of the zones asked for; `None` where nothing can be compared or no zone is asked for.
    pub anywhere: Option<Best>,
}

impl MovedRun {
    /// What `best` spares, in gCO2e.
    pub fn saving_gco2e(&self, best: &Best) -> f64 {
        self.emissions_gco2e.unwrap_or(0.0) - best.emissions_gco2e
    }
}

/// Why a run is not moved in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stays {
    /// Some of its hours have no factor.
    Unpriced,
    /// Its hours have factors of several tiers.
    SeveralTiers,
    /// It began before the window, or went on after it.
    Cut,
    /// Its factors do not know one hour from another.
    Flat,
}

impl Stays {
    /// The word used in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unpriced => "unpriced",
            Self::SeveralTiers => "several tiers",
            Self::Cut => "cut by the window",
            Self::Flat => "factors without hours",
        }
    }
}

/// Where and when a run would have emitted least.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// The zone; `None` where it was.
    pub zone: Option<Zone>,
    /// How much later it starts, in milliseconds.
    pub later_ms: i64,
    /// What it then emits, in gCO2e.
    pub emissions_gco2e: f64,
    /// How many starts were compared, its own included.
    pub starts: usize,
}

impl WhatIf {
    /// What runs would spare at the best start where they were, in gCO2e, by the tier that says so.
    pub fn later_gco2e(&self) -> BTreeMap<Tier, f64> {
        self.savings(|run| run.later.as_ref())
    }

    /// The same at the best start and place.
    pub fn anywhere_gco2e(&self) -> BTreeMap<Tier, f64> {
        self.savings(|run| run.anywhere.as_ref())
    }

    fn savings(&self, best: fn(&MovedRun) -> Option<&Best>) -> BTreeMap<Tier, f64> {
        let mut by_tier: BTreeMap<Tier, Sum> = BTreeMap::new();
        for run in &self.runs {
            if let (Some(best), Some(tier)) = (best(run), run.tiers.first()) {
                by_tier.entry(*tier).or_default().add(run.saving_gco2e(best));
            }
        }
        by_tier.into_iter().map(|(tier, saving)| (tier, saving.value())).collect()
    }

    /// How many runs stay, by the reason.
    pub fn stays(&self) -> BTreeMap<Stays, usize> {
        let mut counts = BTreeMap::new();
        for stays in self.runs.iter().filter_map(|run| run.stays) {
            *counts.entry(stays).or_default() += 1;
        }
        counts
    }
}

/// Prices `books` as they are, in each zone of `question`, and each run at its best start.
pub fn what_if(books: &Books, runs: &[Run], prices: Prices<'_>, question: &Question) -> WhatIf {
    let mut zones: Vec<Zone> = Vec::new();
    let used = used(books, runs, prices, &mut zones);
    let asked: Vec<usize> = question.zones.iter().map(|zone| number_of(&mut zones, zone)).collect();
    let step_ms = prices.intensity.finest_step_ms().max(1);
    let slack = usize::try_from(question.slack_ms.unwrap_or(0) / step_ms).unwrap_or(0);
    let factors = Factors::new(prices.intensity, &zones, books, slack);
    let window = span(&books.buckets).unwrap_or(Window::new(0, 0));
    let search = Search { factors: &factors, zones: &zones, asked: &asked, slack, step_ms };
    let of_run = |(beneficiary, cells): (&Beneficiary, &Vec<Cell>)| match beneficiary {
        Beneficiary::Run(run) => {
            let whole = runs.get(*run).is_some_and(|run| {
                run.start_ms >= window.start_ms && run.end_ms.is_some_and(|end_ms| end_ms <= window.end_ms)
            });
            Some(search.run(*run, cells, whole))
        }
        _ => None,
    };
    let moved: Vec<MovedRun> = match question.slack_ms {
        Some(_) => used.par_iter().filter_map(of_run).collect(),
        None => Vec::new(),
    };
    WhatIf {
        as_run: place(&used, &factors, &zones, None),
        elsewhere: asked.iter().map(|zone| place(&used, &factors, &zones, Some(*zone))).collect(),
        runs: moved,
    }
}

/// Energy of one beneficiary in one bucket and zone.
#[derive(Clone, Copy)]
struct Cell {
    /// Position of the bucket in the books.
    bucket: usize,
    /// Position among the zones; `None` where no zone is known.
    zone: Option<usize>,
    facility_j: f64,
}

/// Position of `zone` in `zones`, to which it is added where it is new.
fn number_of(zones: &mut Vec<Zone>, zone: &Zone) -> usize {
    zones.iter().position(|known| known == zone).unwrap_or_else(|| {
        zones.push(zone.clone());
        zones.len().saturating_sub(1)
    })
}

/// What each beneficiary used, by bucket and zone.
fn used(
    books: &Books,
    runs: &[Run],
    prices: Prices<'_>,
    zones: &mut Vec<Zone>,
) -> BTreeMap<Beneficiary, Vec<Cell>> {
    let mut pricer = Pricer::new(prices, runs, &books.buckets);
    let mut sums: BTreeMap<(Beneficiary, usize, Option<usize>), Sum> = BTreeMap::new();
    for node in &books.nodes {
        for entry in &node.entries {
            let (zone, pue) = pricer.place(pricing::Place::of(node.zone.as_deref(), entry));
            let zone = zone.map(|zone| number_of(zones, &zone));
            sums.entry((entry.beneficiary, entry.bucket, zone)).or_default().add(entry.energy_j * pue);
        }
    }
    let mut used: BTreeMap<Beneficiary, Vec<Cell>> = BTreeMap::new();
    for ((beneficiary, bucket, zone), energy) in sums {
        let cell = Cell { bucket, zone, facility_j: energy.value() };
        used.entry(beneficiary).or_default().push(cell);
    }
    used
}

/// What a kilowatt-hour emits in each step, in gCO2e, from the first bucket to the end of the slack after the last.
struct Factors {
    by_zone: Vec<Vec<Option<(GramsPerKwh, Tier)>>>,
    /// The step of each bucket.
    steps: Vec<usize>,
}

impl Factors {
    fn new(intensity: &Intensity, zones: &[Zone], books: &Books, slack: usize) -> Self {
        let step_ms = intensity.finest_step_ms().max(1);
        let first = books.buckets.first().map_or(0, |bucket| bucket.start_ms.div_euclid(step_ms));
        let step_of = |bucket: &Window| {
            usize::try_from(bucket.start_ms.div_euclid(step_ms).saturating_sub(first)).unwrap_or(0)
        };
        let steps: Vec<usize> = books.buckets.iter().map(step_of).collect();
        let count = steps.last().map_or(0, |last| last.saturating_add(slack).saturating_add(1));
        let at_ms = |step: usize| first.saturating_add_unsigned(step as u64).saturating_mul(step_ms);
        let of_zone = |zone: &Zone| {
            let factor = |step| intensity.factor_at(zone, at_ms(step));
            (0..count).map(|step| factor(step).map(|factor| (factor.intensity, factor.tier))).collect()
        };
        Self { by_zone: zones.iter().map(of_zone).collect(), steps }
    }

    /// The factor of a zone, `later` steps after a bucket.
    fn get(&self, zone: usize, bucket: usize, later: usize) -> Option<(GramsPerKwh, Tier)> {
        let step = self.steps.get(bucket)?.saturating_add(later);
        self.by_zone.get(zone)?.get(step).copied().flatten()
    }
}

fn emissions_gco2e(facility_j: f64, factor: GramsPerKwh) -> f64 {
    Joules(facility_j).to_kwh().emissions(factor).value()
}

/// All energy in `zone`, or each where it was.
fn place(
    used: &BTreeMap<Beneficiary, Vec<Cell>>,
    factors: &Factors,
    zones: &[Zone],
    zone: Option<usize>,
) -> Place {
    let mut emissions = [Sum::new(); 4];
    let (mut all, mut unpriced) = (Sum::new(), Sum::new());
    let mut tiers: BTreeMap<Tier, Sum> = BTreeMap::new();
    let mut found: BTreeSet<usize> = zone.into_iter().collect();
    for (beneficiary, cells) in used {
        let kind = match beneficiary {
            Beneficiary::Run(_) => 0,
            Beneficiary::Idle => 1,
            Beneficiary::Infrastructure => 2,
            Beneficiary::Unattributed => 3,
        };
        for cell in cells {
            all.add(cell.facility_j);
            let here = zone.or(cell.zone);
            found.extend(here);
            let Some((factor, tier)) = here.and_then(|here| factors.get(here, cell.bucket, 0)) else {
                unpriced.add(cell.facility_j);
                continue;
            };
            tiers.entry(tier).or_default().add(cell.facility_j);
            if let Some(sum) = emissions.get_mut(kind) {
                sum.add(emissions_gco2e(cell.facility_j, factor));
            }
        }
    }
    Place {
        zones: found.into_iter().filter_map(|zone| zones.get(zone).cloned()).collect(),
        facility_energy_j: all.value(),
        unpriced_j: unpriced.value(),
        tiers_j: tiers.into_iter().map(|(tier, energy)| (tier, energy.value())).collect(),
        emissions_gco2e: emissions.map(Sum::value),
    }
}

/// Where the best start of a run is looked for.
struct Search<'a> {
    factors: &'a Factors,
    zones: &'a [Zone],
    asked: &'a [usize],
    /// In steps.
    slack: usize,
    step_ms: i64,
}

impl Search<'_> {
    fn run(&self, run: usize, cells: &[Cell], is_whole: bool) -> MovedRun {
        let own = |cell: &Cell| self.factors.get(cell.zone?, cell.bucket, 0);
        let mut tiers = BTreeSet::new();
        let mut grams = Some(Sum::new());
        for cell in cells {
            let factor = own(cell);
            tiers.extend(factor.map(|(_, tier)| tier));
            grams = grams.zip(factor).map(|(mut grams, (factor, _))| {
                grams.add(emissions_gco2e(cell.facility_j, factor));
                grams
            });
        }
        let emissions = grams.map(Sum::value);
        let zones: BTreeSet<usize> = cells.iter().filter_map(|cell| cell.zone).collect();
        let only = tiers.first().filter(|_| tiers.len() == 1).copied();
        let stays = match only {
            _ if emissions.is_none() => Some(Stays::Unpriced),
            None => Some(Stays::SeveralTiers),
            Some(_) if !is_whole => Some(Stays::Cut),
            Some(tier) if !tier.has_hours() => Some(Stays::Flat),
            Some(_) => None,
        };
        let (mut later, mut anywhere) = (None, None);
        if let (Some(tier), true) = (only, emissions.is_some()) {
            let slack = if stays.is_none() { self.slack } else { 0 };
            let here = self.best(cells, None, tier, slack);
            if !self.asked.is_empty() {
                let there = self.asked.iter().filter_map(|zone| self.best(cells, Some(*zone), tier, slack));
                anywhere = here.clone().into_iter().chain(there).reduce(|best, other| {
                    let starts = best.starts.saturating_add(other.starts);
                    let less = other.emissions_gco2e < best.emissions_gco2e;
                    Best { starts, ..if less { other } else { best } }
                });
            }
            later = here.filter(|_| stays.is_none());
        }
        MovedRun {
            run,
            zones: zones.into_iter().filter_map(|zone| self.zones.get(zone).cloned()).collect(),
            facility_energy_j: sum(cells.iter().map(|cell| cell.facility_j)),
            tiers: tiers.into_iter().collect(),
            emissions_gco2e: emissions,
            stays,
            later,
            anywhere,
        }
    }

    /// The start with the least emissions in `zone`, or where the run was.
    fn best(&self, cells: &[Cell], zone: Option<usize>, tier: Tier, slack: usize) -> Option<Best> {
        let mut starts = 0_usize;
        let mut least: Option<(usize, f64)> = None;
        for later in 0..=slack {
            let Some(grams) = self.emissions(cells, zone, tier, later) else { continue };
            starts = starts.saturating_add(1);
            // Of equals the earliest.
            if least.is_none_or(|(_, least)| grams < least) {
                least = Some((later, grams));
            }
        }
        let (later, emissions_gco2e) = least?;
        Some(Best {
            zone: zone.and_then(|zone| self.zones.get(zone).cloned()),
            later_ms: i64::try_from(later).unwrap_or(0).saturating_mul(self.step_ms),
            emissions_gco2e,
            starts,
        })
    }

    /// `None` unless every factor is of `tier`.
    fn emissions(&self, cells: &[Cell], zone: Option<usize>, tier: Tier, later: usize) -> Option<f64> {
        let mut grams = Sum::new();
        for cell in cells {
            let (factor, of_tier) = self.factors.get(zone.or(cell.zone)?, cell.bucket, later)?;
            if of_tier != tier {
                return None;
            }
            grams.add(emissions_gco2e(cell.facility_j, factor));
        }
        Some(grams.value())
    }
}
