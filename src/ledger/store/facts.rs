//! What a day knows beside its rows: nodes, devices, how their meters were read, who was seen in full.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::runs::{Positions, RunKey};
use crate::carbon::Footprint;
use crate::jobs::Run;
use crate::ledger::device::MethodBook;
use crate::ledger::{
    Balances, Beneficiary, Books, DeviceBook, EmbodiedDevice, HeldUse, MeterLine, Method, NodeBooks, NodeSize,
};
use crate::meter::catalog::Component;
use crate::meter::counter::Tally;
use crate::meter::inventory::{DeviceKey, Machine};

/// Everything but rows, inputs and totals.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Facts {
    /// The runs that `runs` of nodes and `peaks_w` count, by id, start and number.
    pub(super) runs: Vec<RunKey>,
    /// Highest mean power over one minute, in watts, by position in `runs`.
    pub(super) peaks_w: Vec<(usize, f64)>,
    /// What runs used of what they held, by position in `runs`.
    #[serde(default)]
    held: Vec<(usize, HeldUse)>,
    pub(super) nodes: Vec<NodeFacts>,
    pub(super) meters: Vec<MeterLine>,
    /// Samples that series gave, with those of the days beside this one.
    pub(super) samples: u64,
    pub(super) stale_markers: u64,
    /// What could not be read.
    pub(super) left_out: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct NodeFacts {
    pub(super) name: String,
    known: bool,
    pub(super) site: String,
    size: Option<NodeSize>,
    size_origin: String,
    cpu_model: Option<String>,
    node_meter: Option<MethodFacts>,
    notes: Vec<String>,
    devices: Vec<DeviceFacts>,
    embodied: Vec<EmbodiedFacts>,
    /// Runs that some meter read twice in a row.
    seen_in_full: Vec<usize>,
    /// Runs that had the node together with others.
    shared: Vec<usize>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct MethodFacts {
    method: Method,
    source: String,
    tally: Tally,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct DeviceFacts {
    component: Component,
    id: String,
    model: String,
    covered_s: f64,
    interpolated_s: f64,
    expected_s: f64,
    methods: Vec<MethodFacts>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct EmbodiedFacts {
    device: String,
    model: String,
    kgco2e: f64,
    source: String,
    is_of_model: bool,
    lifetime_years: f64,
    in_service_s: f64,
}

impl MethodFacts {
    fn of(book: &MethodBook) -> Self {
        Self { method: book.method, source: book.source.clone(), tally: book.tally.clone() }
    }

    fn into_book(self) -> MethodBook {
        MethodBook { method: self.method, source: self.source, tally: self.tally }
    }
}

impl Facts {
    /// Of the books of a day.
    pub(super) fn of(books: &Books, runs: &[Run], twins: &[u32]) -> Self {
        let mut named: BTreeSet<usize> = books.peaks_w.keys().chain(books.held.keys()).copied().collect();
        for node in &books.nodes {
            named.extend(&node.runs_with_full_interval);
            named.extend(&node.runs_that_shared);
        }
        let place: BTreeMap<usize, usize> =
            named.iter().enumerate().map(|(place, run)| (*run, place)).collect();
        let places = |of: &BTreeSet<usize>| of.iter().filter_map(|run| place.get(run).copied()).collect();
        let key = |run: &usize| {
            let twin = twins.get(*run).copied().unwrap_or_default();
            runs.get(*run).map(|run| (run.run_id.clone(), run.start_ms, twin)).unwrap_or_default()
        };
        let node = |node: &NodeBooks| NodeFacts {
            name: node.name.clone(),
            known: node.known,
            site: node.site.clone(),
            size: node.size,
            size_origin: node.size_origin.clone(),
            cpu_model: node.machine.cpu_model.clone(),
            node_meter: node.node_meter.as_ref().map(MethodFacts::of),
            notes: node.notes.clone(),
            devices: node.devices.iter().map(device_facts).collect(),
            embodied: node.embodied.iter().map(embodied_facts).collect(),
            seen_in_full: places(&node.runs_with_full_interval),
            shared: places(&node.runs_that_shared),
        };
        let mut left_out: Vec<String> =
            books.read.problems.iter().map(crate::tsdb::Problem::in_block).collect();
        left_out.extend(books.read.skipped());
        left_out.sort();
        Self {
            runs: named.iter().map(key).collect(),
            peaks_w: books
                .peaks_w
                .iter()
                .filter_map(|(run, watts)| Some((*place.get(run)?, *watts)))
                .collect(),
            held: books.held.iter().filter_map(|(run, used)| Some((*place.get(run)?, *used))).collect(),
            nodes: books.nodes.iter().map(node).collect(),
            meters: books.meters.clone(),
            samples: books.read.samples,
            stale_markers: books.read.stale_markers,
            left_out,
        }
    }

    /// Seconds of each device of which it is known what it used, by node, component and id.
    pub(super) fn known_seconds(&self) -> super::KnownSeconds {
        let mut found = super::KnownSeconds::new();
        for node in &self.nodes {
            for device in &node.devices {
                let key = (node.name.clone(), device.component.to_string(), device.id.clone());
                *found.entry(key).or_default() += device.covered_s + device.interpolated_s;
            }
        }
        found
    }

    /// As a text that takes little room.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn packed(&self) -> Result<String, String> {
        let json = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        let packed = zstd::encode_all(json.as_slice(), 9).map_err(|error| error.to_string())?;
        Ok(STANDARD.encode(packed))
    }

    /// The other way round.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn unpacked(text: &str) -> Result<Self, String> {
        let packed = STANDARD.decode(text).map_err(|error| error.to_string())?;
        let reader = zstd::Decoder::new(packed.as_slice()).map_err(|error| error.to_string())?;
        serde_json::from_reader(reader).map_err(|error| error.to_string())
    }
}

fn device_facts(device: &DeviceBook) -> DeviceFacts {
    DeviceFacts {
        component: device.key.component,
        id: device.key.id.clone(),
        model: device.model.clone(),
        covered_s: device.covered_s,
        interpolated_s: device.interpolated_s,
        expected_s: device.expected_s,
        methods: device.methods.iter().map(MethodFacts::of).collect(),
    }
}

fn embodied_facts(device: &EmbodiedDevice) -> EmbodiedFacts {
    EmbodiedFacts {
        device: device.device.clone(),
        model: device.model.clone(),
        kgco2e: device.footprint.kgco2e,
        source: device.footprint.source.to_string(),
        is_of_model: device.footprint.is_of_model,
        lifetime_years: device.lifetime_years,
        in_service_s: device.in_service_s,
    }
}

/// What falls on one beneficiary of a device's making, as its row says.
#[derive(Clone, Debug)]
pub(super) struct EmbodiedShare {
    pub(super) node: String,
    pub(super) device: String,
    pub(super) beneficiary: Beneficiary,
    pub(super) gco2e: f64,
}

/// Puts days together, in their order.
#[derive(Default)]
pub(super) struct Merge {
    nodes: BTreeMap<String, NodeBooks>,
    meters: Vec<Vec<MeterLine>>,
    pub(super) books: Books,
    pub(super) left_out: Vec<String>,
}

impl Merge {
    /// Adds a day. `part` is the share of the day that is in the period.
    pub(super) fn add(
        &mut self,
        facts: Facts,
        balances: Balances,
        embodied: Vec<EmbodiedShare>,
        positions: &Positions<'_>,
        part: f64,
    ) {
        let runs: Vec<Option<usize>> =
            facts.runs.iter().map(|(id, start_ms, twin)| positions.of(id, *start_ms, *twin)).collect();
        let at = |place: &usize| runs.get(*place).copied().flatten();
        for (place, watts) in &facts.peaks_w {
            if let Some(run) = at(place) {
                let peak = self.books.peaks_w.entry(run).or_insert(*watts);
                *peak = peak.max(*watts);
            }
        }
        for (place, used) in &facts.held {
            if let Some(run) = at(place) {
                self.books.held.entry(run).or_default().add(*used);
            }
        }
        let mut shares: BTreeMap<(String, String), Vec<(Beneficiary, f64)>> = BTreeMap::new();
        for share in embodied {
            let of_device = shares.entry((share.node, share.device)).or_default();
            of_device.push((share.beneficiary, share.gco2e * part));
        }
        for node in facts.nodes {
            let known = self
                .nodes
                .entry(node.name.clone())
                .or_insert_with(|| NodeBooks { name: node.name.clone(), ..NodeBooks::default() });
            known.known |= node.known;
            known.site = node.site;
            known.size = node.size.or(known.size);
            known.size_origin = node.size_origin;
            let cpu_model = node.cpu_model.or(known.machine.cpu_model.take());
            known.machine = Machine { cpu_model, ..Machine::default() };
            known.runs_with_full_interval.extend(node.seen_in_full.iter().filter_map(at));
            known.runs_that_shared.extend(node.shared.iter().filter_map(at));
            for note in node.notes {
                if !known.notes.contains(&note) {
                    known.notes.push(note);
                }
            }
            if let Some(meter) = node.node_meter {
                match &mut known.node_meter {
                    Some(known) => known.tally.add(&meter.tally),
                    None => known.node_meter = Some(meter.into_book()),
                }
            }
            for device in node.devices {
                add_device(&mut known.devices, device);
            }
            for made in node.embodied {
                let shares = shares.remove(&(node.name.clone(), made.device.clone())).unwrap_or_default();
                add_embodied(&mut known.embodied, made, shares, part);
            }
        }
        self.meters.push(facts.meters);
        self.books.balances.merge(balances);
        self.books.read.samples += facts.samples;
        self.books.read.stale_markers += facts.stale_markers;
        for left in facts.left_out {
            if !self.left_out.contains(&left) {
                self.left_out.push(left);
            }
        }
    }

    /// The books of all days.
    pub(super) fn finish(self) -> (Books, Vec<String>) {
        let mut books = self.books;
        books.nodes = self.nodes.into_values().collect();
        for node in &mut books.nodes {
            node.devices.sort_by(|left, right| left.key.cmp(&right.key));
        }
        books.meters = crate::ledger::meter_line::merge(self.meters);
        (books, self.left_out)
    }
}

fn add_device(devices: &mut Vec<DeviceBook>, device: DeviceFacts) {
    let key = DeviceKey { component: device.component, id: device.id };
    let Some(known) = devices.iter_mut().find(|known| known.key == key) else {
        devices.push(DeviceBook {
            key,
            model: device.model,
            methods: device.methods.into_iter().map(MethodFacts::into_book).collect(),
            chosen: Vec::new(),
            spreads: Vec::new(),
            mean_w: Vec::new(),
            covered_s: device.covered_s,
            interpolated_s: device.interpolated_s,
            expected_s: device.expected_s,
        });
        return;
    };
    known.covered_s += device.covered_s;
    known.interpolated_s += device.interpolated_s;
    known.expected_s += device.expected_s;
    for method in device.methods {
        let same = |book: &&mut MethodBook| book.method == method.method && book.source == method.source;
        match known.methods.iter_mut().find(same) {
            Some(book) => book.tally.add(&method.tally),
            None => known.methods.push(method.into_book()),
        }
    }
}

fn add_embodied(
    devices: &mut Vec<EmbodiedDevice>,
    made: EmbodiedFacts,
    shares: Vec<(Beneficiary, f64)>,
    part: f64,
) {
    let same = |known: &&mut EmbodiedDevice| {
        known.device == made.device
            && known.model == made.model
            && known.footprint.kgco2e == made.kgco2e
            && known.lifetime_years == made.lifetime_years
    };
    let Some(known) = devices.iter_mut().find(same) else {
        let source = Arc::from(made.source);
        devices.push(EmbodiedDevice {
            device: made.device,
            model: made.model,
            footprint: Footprint { kgco2e: made.kgco2e, source, is_of_model: made.is_of_model },
            lifetime_years: made.lifetime_years,
            in_service_s: made.in_service_s * part,
            shares,
        });
        return;
    };
    known.in_service_s += made.in_service_s * part;
    for (beneficiary, gco2e) in shares {
        match known.shares.iter_mut().find(|(known, _)| *known == beneficiary) {
            Some((_, sum)) => *sum += gco2e,
            None => known.shares.push((beneficiary, gco2e)),
        }
    }
    known.shares.sort_by_key(|(beneficiary, _)| *beneficiary);
}
