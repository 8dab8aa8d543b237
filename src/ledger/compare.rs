//! The same runs by several methods: the site's own, then the rules of other tools, which see no meter.

use super::method::Method;
use super::usage::ShareRule;
use super::{Beneficiary, Books, Jobs, LedgerError, Rules, close_books};
use crate::meter::catalog::Component;
use crate::power::calibration::Calibration;
use crate::power::{BOAVIZTA_MEMORY_W_PER_GB, CCF_MEMORY_W_PER_GB, MemoryModel, UtilisationModel};
use crate::source::Source;
use crate::sum::Sum;
use crate::uncertainty::Bounds;

/// Share of the expected time of which an approach has to know the energy of a run, or it has no figure.
const ENOUGH: f64 = 0.9;

/// A way to account: its name and what it is, as [`Account`] has them, and the rules for it.
struct Approach {
    name: &'static str,
    words: String,
    rules: Rules,
}

/// The site's own way first, with which all others are compared.
fn approaches(rules: &Rules) -> Vec<Approach> {
    let mut all = vec![Approach {
        name: "report",
        words: "as `wattledger report`: meters, else calibration, else the power model".to_owned(),
        rules: rules.clone(),
    }];
    let ceems = Rules { share: ShareRule::Ceems, ..rules.clone() };
    all.push(Approach {
        name: "ceems",
        words: "meters, shared to runs by CEEMS' recording rules".to_owned(),
        rules: ceems,
    });
    let blind = Rules { ignore_meters: true, ..rules.clone() };
    if !rules.calibration.calibrated.is_empty() {
        all.push(Approach {
            name: "calibrated",
            words: "no meter: the calibration file, else the power model".to_owned(),
            rules: blind.clone(),
        });
    }
    let own_memory = rules.memory_model;
    for (name, power_model, memory_model) in [
        ("tdp_linear", UtilisationModel::TdpLinear, own_memory),
        ("codecarbon", UtilisationModel::CodeCarbonCubic, MemoryModel::PerModule),
        ("ccf", UtilisationModel::Ccf, MemoryModel::PerGigabyte(CCF_MEMORY_W_PER_GB)),
        ("teads", UtilisationModel::TdpCurve, own_memory),
        ("boavizta", UtilisationModel::Boavizta, MemoryModel::PerGigabyte(BOAVIZTA_MEMORY_W_PER_GB)),
        ("green_algorithms", UtilisationModel::GreenAlgorithms, MemoryModel::default()),
    ] {
        all.push(Approach {
            name,
            words: format!("no meter: {power_model}, memory {memory_model}"),
            rules: Rules { power_model, memory_model, calibration: Calibration::default(), ..blind.clone() },
        });
    }
    all
}

/// Energy of one beneficiary or of all, by component.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ComponentEnergy {
    /// Processors, memory, GPUs and the rest of the node, in joules.
    pub energy_j: [f64; 4],
    /// Share of the expected time of which the energy is known.
    pub known: f64,
    /// The least and the most that all components together may be, in joules.
    pub bounds_j: (f64, f64),
}

impl ComponentEnergy {
    /// All components, in joules, however much of the time is known.
    pub fn sum_j(&self) -> f64 {
        self.energy_j.iter().sum()
    }

    /// The same; `None` where too little of the time is known.
    pub fn total_j(&self) -> Option<f64> {
        (self.known >= ENOUGH).then(|| self.sum_j())
    }
}

/// What one approach finds.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name, as in the table's columns.
    pub name: &'static str,
    /// What it is, in a sentence for people.
    pub words: String,
    /// For each run of the log; zero where it was not in the window.
    pub runs: Vec<ComponentEnergy>,
    /// Runs, idle, infrastructure and unattributed together.
    pub all: ComponentEnergy,
}

/// Works through the cluster once for each approach. `progress` is called with the approaches done and all.
///
/// # Errors
///
/// As [`close_books`].
pub fn compare(
    source: &dyn Source,
    jobs: Jobs<'_>,
    rules: &Rules,
    progress: &dyn Fn(usize, usize),
) -> Result<Vec<Account>, LedgerError> {
    let approaches = approaches(rules);
    let count = approaches.len();
    let mut accounts = Vec::with_capacity(count);
    for (done, approach) in approaches.into_iter().enumerate() {
        progress(done, count);
        let books = close_books(source, jobs, &approach.rules, &|_, _| {})?;
        accounts.push(account(approach, &books, jobs.runs.len()));
    }
    Ok(accounts)
}

/// Components of a [`ComponentEnergy`].
const COMPONENTS: usize = 4;

#[derive(Clone, Default)]
struct Line {
    energy_j: [Sum; 4],
    known_s: Sum,
    expected_s: Sum,
    bounds: Bounds,
    /// What may be another GPU's, of one run (rule U3).
    unbound_j: Sum,
}

impl Line {
    fn close(mut self) -> ComponentEnergy {
        self.bounds.add_placing(self.unbound_j.value());
        let (known_s, expected_s) = (self.known_s.value(), self.expected_s.value());
        ComponentEnergy {
            energy_j: self.energy_j.map(Sum::value),
            known: if expected_s > 0.0 { known_s / expected_s } else { 0.0 },
            bounds_j: self.bounds.low_and_high(),
        }
    }
}

fn account(approach: Approach, books: &Books, runs: usize) -> Account {
    let mut lines = vec![Line::default(); runs];
    let mut all = Line::default();
    for node in &books.nodes {
        for entry in &node.entries {
            let Some(device) = node.devices.get(entry.device) else { continue };
            let mut run = match entry.beneficiary {
                Beneficiary::Run(run) => lines.get_mut(run),
                _ => None,
            };
            let component = match device.key.component {
                Component::Cpu => 0,
                Component::Dram => 1,
                Component::Gpu => 2,
                Component::Other | Component::Node => 3,
            };
            let method = device.chosen.get(entry.bucket).copied().unwrap_or(Method::None);
            // Of one component and method: off in the same direction.
            let class = component + COMPONENTS * method as usize;
            let widths = device.widths(entry);
            if let Some(run) = &mut run {
                run.unbound_j.add(entry.unbound_j);
            }
            for line in std::iter::once(&mut all).chain(run) {
                line.bounds.add(entry.energy_j, class, widths);
                if let Some(sum) = line.energy_j.get_mut(component) {
                    sum.add(entry.energy_j);
                }
                line.known_s.add(entry.covered_s + entry.interpolated_s);
                line.expected_s.add(entry.expected_s);
            }
        }
    }
    // Which GPU one run has says nothing of the next.
    lines.iter().for_each(|line| all.bounds.add_placing(line.unbound_j.value()));
    Account {
        name: approach.name,
        words: approach.words,
        runs: lines.into_iter().map(Line::close).collect(),
        all: all.close(),
    }
}
