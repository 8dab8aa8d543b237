//! Nodes with their runs on them: the true power of every device as a function of time.

use super::faults::Faults;
use super::hardware::{Node, SOCKETS, nodes};
use super::profile::{Load, LoadCurve, Piece, Profile, Pulse};
use super::random::{Purpose, stream};
use super::scenario::Scenario;
use super::workload::{Kind, Part, Run, runs};
use crate::time::{HOUR_MS, SECOND_MS, Window};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::sync::Arc;

/// The load that one part of one run puts on the devices of its node.
pub(super) struct PartLoads {
    /// Fraction of each held processor that is busy.
    pub(super) cpu: Arc<Profile>,
    /// Fraction of the memory's power span.
    pub(super) dram: Arc<Profile>,
    /// Fraction of each held GPU's power span.
    pub(super) gpu: Vec<Arc<Profile>>,
}

/// The true curves of one node's devices.
pub(super) struct NodeCurves {
    /// Watts of each package.
    pub(super) package: Vec<LoadCurve>,
    /// Watts of each package's memory.
    pub(super) dram: Vec<LoadCurve>,
    /// Watts of each GPU.
    pub(super) gpu: Vec<LoadCurve>,
    /// Watts of all the rest: fans, disks, board, losses.
    pub(super) other: LoadCurve,
    /// Busy fraction of each processor.
    pub(super) busy: Vec<LoadCurve>,
    /// Bytes of memory in use.
    pub(super) memory: LoadCurve,
}

/// Everything that is simulated, before anything is measured.
pub(super) struct Cluster {
    pub(super) window: Window,
    pub(super) nodes: Vec<Node>,
    pub(super) runs: Vec<Run>,
    /// Beside `runs`: the loads of each run's parts.
    pub(super) loads: Vec<Vec<PartLoads>>,
    /// Beside `nodes`: the parts of runs that are on it, by position of the run and of the part, in the order of the runs.
    pub(super) on_node: Vec<Vec<(usize, usize)>>,
    /// Beside `nodes`.
    pub(super) curves: Vec<NodeCurves>,
    pub(super) faults: Faults,
}

impl Cluster {
    pub(super) fn draw(scenario: &Scenario) -> Self {
        let window = scenario.window();
        let faults = Faults::draw(scenario, window);
        let nodes = nodes(scenario, window, &faults);
        let runs = runs(scenario, window, &nodes);
        let loads: Vec<Vec<PartLoads>> = runs
            .par_iter()
            .map(|run| {
                (0_u64..)
                    .zip(&run.parts)
                    .map(|(nth, part)| {
                        let mut chance = stream(scenario.seed, Purpose::Profile, run.raw_id << 8 | nth);
                        PartLoads {
                            cpu: Arc::new(cpu_profile(&mut chance, run)),
                            dram: Arc::new(ramped(run.window, chance.random_range(0.3..0.9))),
                            gpu: part.gpus.iter().map(|_| Arc::new(gpu_profile(&mut chance, run))).collect(),
                        }
                    })
                    .collect()
            })
            .collect();
        let mut on_node = vec![Vec::new(); nodes.len()];
        for (run, parts) in runs.iter().enumerate() {
            for (nth, part) in parts.parts.iter().enumerate() {
                if let Some(here) = on_node.get_mut(part.node) {
                    here.push((run, nth));
                }
            }
        }
        let mut cluster = Self { window, nodes, runs, loads, on_node, curves: Vec::new(), faults };
        cluster.curves = (0..cluster.nodes.len())
            .into_par_iter()
            .filter_map(|nth| {
                let mut chance = stream(scenario.seed, Purpose::Infrastructure, nth as u64);
                Some(node_curves(&mut chance, &cluster, nth, cluster.nodes.get(nth)?))
            })
            .collect();
        cluster
    }

    /// The runs on a node, with what they hold there and the load of it.
    pub(super) fn parts_on(&self, node: usize) -> impl Iterator<Item = (&Run, &Part, &PartLoads)> {
        let here = self.on_node.get(node).map_or(&[][..], Vec::as_slice);
        here.iter().filter_map(|&(run, part)| {
            let (of_run, loads) = (self.runs.get(run)?, self.loads.get(run)?);
            Some((of_run, of_run.parts.get(part)?, loads.get(part)?))
        })
    }
}

fn node_curves(chance: &mut ChaCha8Rng, cluster: &Cluster, nth: usize, node: &Node) -> NodeCurves {
    let sockets = SOCKETS as usize;
    let mut package = vec![Vec::new(); sockets];
    let mut dram = vec![Vec::new(); sockets];
    let mut gpu = vec![Vec::new(); node.gpus.len()];
    let mut busy = vec![Vec::new(); node.cpus as usize];
    let mut memory = Vec::new();
    if !node.scheduled {
        // Nobody's jobs, but people's sessions and file traffic: a level an hour.
        let profile = Arc::new(service_profile(chance, cluster.window));
        for loads in &mut package {
            let factor = node.core_w() * f64::from(node.cores_per_socket());
            loads.push(Load { profile: Arc::clone(&profile), factor });
        }
        for loads in &mut busy {
            loads.push(Load { profile: Arc::clone(&profile), factor: 1.0 });
        }
    }
    for (_, part, load) in cluster.parts_on(nth) {
        for (socket, loads) in (0_u32..).zip(&mut package) {
            let cores = part.cpus.iter().filter(|&&cpu| node.socket_of(cpu) == socket).count();
            if cores > 0 {
                loads.push(Load { profile: Arc::clone(&load.cpu), factor: node.core_w() * cores as f64 });
            }
        }
        let share = part.memory_mib as f64 / node.memory_mib as f64;
        for loads in &mut dram {
            loads.push(Load { profile: Arc::clone(&load.dram), factor: node.dram_span_w() * share });
        }
        for (&held, profile) in part.gpus.iter().zip(&load.gpu) {
            if let Some(loads) = gpu.get_mut(held as usize) {
                let factor = node.gpu_span_w();
                loads.push(Load { profile: Arc::clone(profile), factor });
            }
        }
        for &cpu in &part.cpus {
            if let Some(loads) = busy.get_mut(cpu as usize) {
                loads.push(Load { profile: Arc::clone(&load.cpu), factor: 1.0 });
            }
        }
        let bytes = (part.memory_mib << 20) as f64;
        memory.push(Load { profile: Arc::clone(&load.dram), factor: bytes });
    }
    let curve = |base: f64, loads: Vec<Load>| LoadCurve::new(base, Arc::clone(&node.on), loads);
    NodeCurves {
        package: package.into_iter().map(|loads| curve(node.cpu_idle_w, loads)).collect(),
        dram: dram.into_iter().map(|loads| curve(node.dram_idle_w, loads)).collect(),
        gpu: gpu.into_iter().map(|loads| curve(node.gpu_model.idle_w, loads)).collect(),
        other: curve(node.other_w, Vec::new()),
        busy: busy.into_iter().map(|loads| curve(0.004, loads)).collect(),
        memory: curve(3.0e9, memory),
    }
}

fn gpu_profile(chance: &mut ChaCha8Rng, run: &Run) -> Profile {
    match run.kind {
        Kind::Train => phases(chance, run.window, 0.55..0.80, Some(0.18)),
        Kind::Infer => random_pulses(chance, run.window),
        Kind::Prepare => ramped(run.window, 0.1),
        Kind::Check => ramped(run.window, 0.97),
    }
}

fn cpu_profile(chance: &mut ChaCha8Rng, run: &Run) -> Profile {
    match run.kind {
        Kind::Train => phases(chance, run.window, 0.25..0.55, Some(0.3)),
        Kind::Infer => random_pulses(chance, run.window),
        Kind::Prepare => phases(chance, run.window, 0.5..0.98, None),
        Kind::Check => ramped(run.window, 0.99),
    }
}

/// Up to 20 s of rise, at most half of the window.
fn rise(window: Window, level: f64) -> Piece {
    let length_ms = (window.length_ms() / 2).min(20 * SECOND_MS);
    let window = Window::new(window.start_ms, window.start_ms + length_ms);
    Piece { window, from: 0.0, to: level, pulse: None }
}

fn ramped(window: Window, level: f64) -> Profile {
    let rise = rise(window, level);
    let rest = Window::new(rise.window.end_ms, window.end_ms);
    Profile::new(vec![rise, Piece::constant(rest, level)])
}

/// A rise, then one to six steps, each with a periodic wave of `burst` on it.
fn phases(
    chance: &mut ChaCha8Rng,
    window: Window,
    levels: std::ops::Range<f64>,
    burst: Option<f64>,
) -> Profile {
    let first_level = chance.random_range(levels.clone());
    let rise = rise(window, first_level);
    let rest = Window::new(rise.window.end_ms, window.end_ms);
    let steps = chance.random_range(1..=6).min(1 + rest.length_ms() / 30_000);
    let mut edges: Vec<i64> =
        (1..steps).map(|_| rest.start_ms + chance.random_range(1..rest.length_ms().max(2))).collect();
    edges.extend([rest.start_ms, rest.end_ms]);
    edges.sort_unstable();
    edges.dedup();
    let mut pieces = vec![rise];
    for (start_ms, end_ms) in edges.iter().copied().zip(edges.iter().copied().skip(1)) {
        let level = if start_ms == rest.start_ms { first_level } else { chance.random_range(levels.clone()) };
        let period_ms = chance.random_range(3_000..90_000);
        let high_ms = period_ms * chance.random_range(15..70) / 100;
        let pulse =
            burst.map(|most| Pulse { amplitude: most * chance.random_range(0.2..1.0), period_ms, high_ms });
        pieces.push(Piece { window: Window::new(start_ms, end_ms), from: level, to: level, pulse });
    }
    Profile::new(pieces)
}

/// A rise to a low level, then square pulses at random.
fn random_pulses(chance: &mut ChaCha8Rng, window: Window) -> Profile {
    let low = chance.random_range(0.04..0.12);
    let rise = rise(window, low);
    let mut at_ms = rise.window.end_ms;
    let mut pieces = vec![rise];
    // About 200 pulses at most, however long the run.
    let scale = 1 + window.length_ms() / (200 * 60_000);
    let mut high = false;
    while at_ms < window.end_ms {
        let length_ms = scale
            * if high { chance.random_range(1_500..40_000) } else { chance.random_range(2_000..90_000) };
        let end_ms = (at_ms + length_ms).min(window.end_ms);
        let level = if high { chance.random_range(0.35..0.95) } else { low };
        pieces.push(Piece::constant(Window::new(at_ms, end_ms), level));
        (at_ms, high) = (end_ms, !high);
    }
    Profile::new(pieces)
}

/// A level for each hour, busier by day.
fn service_profile(chance: &mut ChaCha8Rng, window: Window) -> Profile {
    let pieces = crate::time::buckets(window, HOUR_MS, chrono_tz::Tz::UTC).into_iter().map(|hour| {
        let by_day = (8..18).contains(&(hour.start_ms.div_euclid(HOUR_MS) % 24));
        let level = chance.random_range(0.01..0.08) + if by_day { 0.12 } else { 0.0 };
        Piece::constant(hour, level)
    });
    Profile::new(pieces.collect())
}
