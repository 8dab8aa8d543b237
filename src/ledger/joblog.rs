//! Nodes without any series, modelled from the job log alone (`modelled:joblog`, section 4 of the accounting page).

use std::collections::{BTreeMap, BTreeSet};

use super::claims::{Claim, NodeSize};
use super::device::{Device, MethodCurve};
use super::device_model::{DeviceModel, MemoryRule};
use super::hardware::{Hardware, cpu_hardware, gpu_hardware};
use super::measure::MeasuredNode;
use super::method::Method;
use super::rules::{NodeHardware, Rules};
use super::size::most_at_once;
use super::usage::{ShareRule, Usage};
use super::{Hold, ReadNode};
use crate::jobs::{Run, SchedulerNode};
use crate::meter::catalog::Component;
use crate::meter::counter::Tally;
use crate::meter::curve::{Coverage, Curve, Interval};
use crate::meter::edges::{EdgeRule, Holders};
use crate::meter::inventory::{DeviceKey, Machine};
use crate::meter::job_use::JobUse;
use crate::meter::presence::Presence;
use crate::power::{DeviceKind, UNKNOWN_CORE_SPREAD, UNKNOWN_CORE_W, UNKNOWN_GPU_SPREAD, UNKNOWN_GPU_W};
use crate::time::Window;
use crate::uncertainty::Spread;

/// Said of every such node.
const HOW: &str = "no series: modelled from the job log; processors by its CPU times, GPUs at full load while a run holds \
                   them, all of it on while the log covers the time";

/// What is known of a node without series.
pub(super) struct UnseenNode<'a> {
    pub(super) rules: &'a Rules,
    /// What the site states of it.
    pub(super) stated: &'a NodeHardware,
    /// What the scheduler says of it.
    pub(super) described: Option<&'a SchedulerNode>,
    pub(super) buckets: &'a [Window],
    pub(super) holds: &'a [Hold],
    pub(super) runs: &'a [Run],
    /// Time for which the log tells who was there.
    pub(super) covered: Option<Window>,
}

/// A time between two edges of runs, with the holds that are there.
struct Piece {
    window: Window,
    active: Vec<usize>,
}

impl UnseenNode<'_> {
    /// Models the node.
    pub(super) fn model(&self) -> ReadNode {
        let (cpus, size_origin) = self.cpus();
        let gpus = self.gpus();
        let bound = assign(self.holds, gpus);
        let claims = self.claims(&bound);
        let machine = Machine {
            cpu_model: self.stated.cpu_model.clone(),
            sockets: self.stated.sockets,
            ..Machine::default()
        };
        let span = self.covered.and_then(|covered| covered.intersect(self.rules.window));
        let presence = Presence { span, off: Vec::new() };
        let installed = self.stated.memory_bytes.or(self.described.and_then(|node| node.memory_bytes));
        let held = || {
            let holds = self.holds.iter().filter_map(|hold| Some((hold.window, hold.memory_bytes?)));
            Some(most_at_once(holds)).filter(|most| *most > 0.0)
        };
        let memory_bytes = installed.or_else(held);
        let mut measured = MeasuredNode { memory_bytes, ..MeasuredNode::default() };
        measured.notes.push(HOW.to_owned());
        let pieces = span.map(|span| pieces(self.holds, span)).unwrap_or_default();
        let add = |key: DeviceKey, model: &str, curve: Option<MethodCurve>, static_w: f64| {
            let methods = curve.into_iter().collect();
            let mut device = Device::new(key, model.to_owned(), methods, self.buckets, &presence);
            device.static_w = static_w;
            device
        };

        let processors = cpu_hardware(&machine, self.stated, self.rules.default_cpu_tdp_w, 1);
        let (curve, static_w) = self.processors(&processors, cpus, &pieces, &mut measured.notes);
        measured.devices.push(add(key(Component::Cpu, "all"), &processors.model, curve, static_w));

        let memory = memory_bytes.zip(span).map(|(bytes, span)| {
            let rule = MemoryRule::of(self.rules, &processors.model, bytes);
            let energy_j = rule.power(bytes).value() * span.length_s();
            let interval = Interval::flat(span.start_ms, span.end_ms, energy_j, Coverage::Covered);
            curve_of(format!("installed memory × {}", rule.words), vec![interval], rule.spread)
        });
        if installed.is_none() {
            let instead = match memory_bytes {
                Some(_) => "the most that was allocated at once is taken",
                None => "none is modelled",
            };
            measured.notes.push(format!(
                "installed memory not known, {instead}: state `memory`, or give `scontrol show node` as a job log"
            ));
        }
        let memory_static_w = self.stated.dram_idle_w.unwrap_or(0.0);
        measured.devices.push(add(key(Component::Dram, "all"), "", memory, memory_static_w));

        let gpu = gpu_hardware(None, self.stated, self.rules.default_gpu_tdp_w, None);
        for position in 0..gpus {
            let curve = self.gpu(&gpu, position, &bound, &pieces, &mut measured.notes);
            measured.devices.push(add(key(Component::Gpu, &position.to_string()), &gpu.model, curve, 0.0));
        }
        measured.usage = self.usage(&claims);
        measured.presence = presence;
        let size = NodeSize { cpus, memory_bytes, gpus };
        ReadNode { measured, claims, size, size_origin, machine, is_unseen: true }
    }

    /// The node's CPUs as the scheduler counts them, and how that is known (rule W4).
    fn cpus(&self) -> (Option<f64>, String) {
        let held = || {
            let holds = self.holds.iter().filter_map(|hold| Some((hold.window, hold.cpus?)));
            Some(most_at_once(holds)).filter(|most| *most > 0.0)
        };
        let ways = [
            (self.stated.cpus, "stated"),
            (self.described.and_then(|node| node.cpus), "scontrol show node"),
            (held(), "most that was allocated at once"),
        ];
        let known = ways.into_iter().find_map(|(cpus, origin)| Some((cpus?, origin)));
        known.map_or((None, "unknown".to_owned()), |(cpus, origin)| (Some(cpus), origin.to_owned()))
    }

    /// The node's GPUs: stated, described, else as many as were held at once or as the log's indices say.
    fn gpus(&self) -> usize {
        let count = |gpus: f64| if gpus.is_finite() { gpus.ceil().clamp(0.0, MOST_GPUS) as usize } else { 0 };
        if let Some(stated) = self.stated.gpus {
            return count(f64::from(stated));
        }
        if let Some(described) = self.described.and_then(|node| node.gpus) {
            return count(described);
        }
        let held = most_at_once(self.holds.iter().filter_map(|hold| Some((hold.window, hold.gpus?.ceil()))));
        let indices = self.holds.iter().flat_map(|hold| &hold.gpu_ids);
        let named = indices.filter_map(|id| id.parse::<usize>().ok()).max().map_or(0, |most| most + 1);
        count(held).max(named.min(count(f64::MAX)))
    }

    fn claims(&self, bound: &[Vec<usize>]) -> Vec<Claim> {
        let claim = |(hold, bound): (&Hold, &Vec<usize>)| Claim {
            run: hold.run,
            window: hold.window,
            cpus: hold.cpus,
            memory_bytes: hold.memory_bytes,
            gpus: hold.gpus,
            bound_gpus: bound.clone(),
            gpu_parts: BTreeMap::new(),
        };
        self.holds.iter().zip(bound).map(claim).collect()
    }

    /// Share of a run's allocated CPUs that it kept busy; `None` if the log does not tell.
    fn efficiency(&self, hold: &Hold) -> Option<f64> {
        let run = self.runs.get(hold.run)?;
        let cpu_time_s = run.cpu_time_s?;
        let cpus: f64 = run.allocations.iter().map(|part| part.cpus).sum::<Option<f64>>()?;
        let held_s = Window::new(run.start_ms, run.end_ms?).length_s() * cpus;
        (held_s > 0.0).then(|| (cpu_time_s / held_s).min(1.0))
    }

    /// The processors' power over time, and what they take at rest.
    fn processors(
        &self,
        hardware: &Hardware,
        cpus: Option<f64>,
        pieces: &[Piece],
        notes: &mut Vec<String>,
    ) -> (Option<MethodCurve>, f64) {
        let fallback;
        let unknown_cpus = cpus.filter(|_| hardware.tdp_w.is_none() && hardware.curve.is_none());
        let hardware = match unknown_cpus {
            Some(cpus) => {
                fallback = unknown_hardware(hardware, UNKNOWN_CORE_W * cpus, "median of the table by core");
                notes.push(format!(
                    "{}: {UNKNOWN_CORE_W} W a core are taken, the median of server processors; state `cpu_model` or `cpu_tdp_w`",
                    if hardware.model.is_empty() { "nothing names the processor" } else { "the processor is in no table" }
                ));
                &fallback
            }
            None => hardware,
        };
        let Some(model) = DeviceModel::of(self.rules, DeviceKind::CpuSocket, hardware) else {
            notes.push(format!(
                "power model `{}` has no figure for the processor: not modelled",
                self.rules.power_model.name()
            ));
            return (None, 0.0);
        };
        if self.stated.sockets.is_none() && unknown_cpus.is_none() {
            notes.push("one processor is taken, state `sockets` if there are more".to_owned());
        }
        let efficiencies: Vec<Option<f64>> = self.holds.iter().map(|hold| self.efficiency(hold)).collect();
        let mut is_guessed = false;
        let intervals = pieces.iter().map(|piece| {
            let loads = piece.active.iter().map(|at| {
                let efficiency = efficiencies.get(*at).copied().flatten();
                is_guessed |= efficiency.is_none();
                let share = match (self.holds.get(*at).and_then(|hold| hold.cpus), cpus) {
                    (Some(held), Some(cpus)) if cpus > 0.0 => held / cpus,
                    // A run whose log states no cores has the node (rule S4).
                    _ => 1.0,
                };
                share * efficiency.unwrap_or(1.0)
            });
            let load = crate::sum::sum(loads).clamp(0.0, 1.0);
            let energy_j = model.watts(load) * hardware.scale * piece.window.length_s();
            Interval::flat(piece.window.start_ms, piece.window.end_ms, energy_j, Coverage::Covered)
        });
        let intervals: Vec<Interval> = intervals.collect();
        if is_guessed {
            let note = "the log has no CPU time of some runs: their cores are taken to be busy all the time";
            notes.push(note.to_owned());
        }
        let spread = if is_guessed { guessed(&model) } else { model.spread };
        let spread = if unknown_cpus.is_some() { spread.and_factor(UNKNOWN_CORE_SPREAD) } else { spread };
        let source = format!("job log, {}", model.words);
        let static_w = self.stated.cpu_idle_w.unwrap_or_else(|| model.watts(0.0)) * hardware.scale;
        (Some(curve_of(source, intervals, spread)), static_w)
    }

    /// One GPU's power over time.
    fn gpu(
        &self,
        hardware: &Hardware,
        position: usize,
        bound: &[Vec<usize>],
        pieces: &[Piece],
        notes: &mut Vec<String>,
    ) -> Option<MethodCurve> {
        let mut note_once = |note: String| {
            if !notes.contains(&note) {
                notes.push(note);
            }
        };
        let fallback;
        let is_unknown = hardware.tdp_w.is_none() && hardware.curve.is_none();
        let hardware = if is_unknown {
            fallback = unknown_hardware(hardware, UNKNOWN_GPU_W, "median of the table");
            note_once(format!(
                "{}: {UNKNOWN_GPU_W} W are taken, the median of the table; state `gpu_model` or `gpu_tdp_w`",
                if hardware.model.is_empty() { "nothing names the GPUs" } else { "the GPUs are in no table" }
            ));
            &fallback
        } else {
            hardware
        };
        let Some(model) = DeviceModel::of(self.rules, DeviceKind::Gpu, hardware) else {
            let name = self.rules.power_model.name();
            note_once(format!("power model `{name}` has no figure for the GPUs: not modelled"));
            return None;
        };
        let intervals = pieces.iter().map(|piece| {
            let is_held =
                piece.active.iter().any(|at| bound.get(*at).is_some_and(|gpus| gpus.contains(&position)));
            let energy_j = model.watts(if is_held { 1.0 } else { 0.0 }) * piece.window.length_s();
            Interval::flat(piece.window.start_ms, piece.window.end_ms, energy_j, Coverage::Covered)
        });
        let spread = guessed(&model);
        let spread = if is_unknown { spread.and_factor(UNKNOWN_GPU_SPREAD) } else { spread };
        Some(curve_of(format!("job log, {}", model.words), intervals.collect(), spread))
    }

    /// CPU seconds of each claim, spread evenly over its run; `None` where no run has any.
    fn usage(&self, claims: &[Claim]) -> Option<Usage> {
        if self.rules.share == ShareRule::Allocated {
            return None;
        }
        let of = |(claim, hold): (&Claim, &Hold)| {
            let busy_s = self.efficiency(hold).zip(hold.cpus).map(|(efficiency, cpus)| {
                let window = claim.window;
                let used = efficiency * cpus * window.length_s();
                Curve::new(vec![Interval::flat(window.start_ms, window.end_ms, used, Coverage::Covered)])
            });
            JobUse { cpu: busy_s.map(|curve| vec![curve]), memory: None }
        };
        let usage = Usage { claims: claims.iter().zip(self.holds).map(of).collect(), ..Usage::default() };
        (!usage.is_empty()).then_some(usage)
    }
}

/// More GPUs in one node are a mistake of the log.
const MOST_GPUS: f64 = 1024.0;

/// Hardware of which nothing is known but this figure.
fn unknown_hardware(named: &Hardware, tdp_w: f64, words: &str) -> Hardware {
    Hardware {
        model: named.model.clone(),
        tdp_w: Some(tdp_w),
        origin: format!("in no table: {words}"),
        scale: 1.0,
        ..Hardware::default()
    }
}

fn key(component: Component, id: &str) -> DeviceKey {
    DeviceKey { component, id: id.to_owned() }
}

/// The spread of a model that was asked for full load where that is a guess: it may have been at rest.
fn guessed(model: &DeviceModel) -> Spread {
    let (rest_w, full_w) = (model.watts(0.0), model.watts(1.0));
    let at_rest = if full_w > 0.0 { (rest_w / full_w).clamp(0.0, 1.0) } else { 1.0 };
    Spread::new(model.spread.low() * at_rest, model.spread.high())
}

fn curve_of(source: String, intervals: Vec<Interval>, spread: Spread) -> MethodCurve {
    let increments_j = crate::sum::sum(intervals.iter().map(|interval| interval.energy_j));
    let tally = Tally { increments_j, ..Tally::default() };
    let holders = Holders::default();
    MethodCurve::new(Method::ModelledJobLog, source, intervals, &holders, EdgeRule::Linear, tally)
        .with_spread(spread)
}

/// `span`, cut at every edge of a hold.
fn pieces(holds: &[Hold], span: Window) -> Vec<Piece> {
    let mut edges: Vec<(i64, usize, bool)> = Vec::with_capacity(2 * holds.len());
    for (at, hold) in holds.iter().enumerate() {
        if let Some(inside) = hold.window.intersect(span) {
            edges.push((inside.start_ms, at, true));
            edges.push((inside.end_ms, at, false));
        }
    }
    edges.sort_unstable();
    let mut pieces = Vec::new();
    let mut active: BTreeSet<usize> = BTreeSet::new();
    let mut since_ms = span.start_ms;
    for (at_ms, hold, is_start) in edges.into_iter().chain([(span.end_ms, usize::MAX, false)]) {
        if at_ms > since_ms {
            pieces.push(Piece {
                window: Window::new(since_ms, at_ms),
                active: active.iter().copied().collect(),
            });
            since_ms = at_ms;
        }
        if is_start {
            active.insert(hold);
        } else {
            active.remove(&hold);
        }
    }
    pieces
}

/// For each hold its GPUs: the indices that the log names, else in order of start the lowest that are free, else those
/// that are free first.
fn assign(holds: &[Hold], gpus: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..holds.len()).collect();
    order.sort_by_key(|at| holds.get(*at).map(|hold| (hold.window, hold.run)));
    let mut free_from_ms = vec![i64::MIN; gpus];
    let mut bound = vec![Vec::new(); holds.len()];
    for at in order {
        let Some(hold) = holds.get(at) else { continue };
        let named: Vec<usize> = hold.gpu_ids.iter().filter_map(|id| id.parse().ok()).collect();
        let count = hold.gpus.map_or(0.0, f64::ceil).clamp(0.0, gpus as f64) as usize;
        let chosen = if !named.is_empty() && named.iter().all(|index| *index < gpus) {
            named
        } else {
            let mut by_freedom: Vec<usize> = (0..gpus).collect();
            let free_at = |index: &usize| free_from_ms.get(*index).copied().unwrap_or(i64::MAX);
            by_freedom.sort_by_key(|index| (free_at(index).max(hold.window.start_ms), *index));
            by_freedom.truncate(count);
            by_freedom
        };
        for index in &chosen {
            if let Some(from_ms) = free_from_ms.get_mut(*index) {
                *from_ms = hold.window.end_ms.max(*from_ms);
            }
        }
        if let Some(slot) = bound.get_mut(at) {
            *slot = chosen;
        }
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(run: usize, start_ms: i64, end_ms: i64, gpus: f64, ids: &[&str]) -> Hold {
        Hold {
            run,
            window: Window::new(start_ms, end_ms),
            cpus: Some(4.0),
            memory_bytes: None,
            gpus: Some(gpus),
            gpu_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    #[test]
    fn gpus_are_those_that_the_log_names_else_the_lowest_free() {
        let holds = [
            hold(0, 0, 100, 2.0, &[]),
            hold(1, 10, 50, 1.0, &[]),
            hold(2, 20, 60, 1.0, &["3"]),
            // 0 and 1 are taken until 100, 2 until 50: 2 again.
            hold(3, 50, 90, 1.0, &[]),
            // Nothing is free: 3 is free first.
            hold(4, 55, 58, 1.0, &[]),
            hold(5, 0, 10, 0.0, &[]),
        ];
        let bound = assign(&holds, 4);
        assert_eq!(bound, [vec![0, 1], vec![2], vec![3], vec![2], vec![3], vec![]]);
    }

    #[test]
    fn pieces_end_at_every_edge_and_cover_the_span() {
        let holds = [hold(0, -5, 10, 0.0, &[]), hold(1, 10, 30, 0.0, &[]), hold(2, 20, 90, 0.0, &[])];
        let found: Vec<(i64, i64, Vec<usize>)> = pieces(&holds, Window::new(0, 100))
            .into_iter()
            .map(|piece| (piece.window.start_ms, piece.window.end_ms, piece.active))
            .collect();
        let expected =
            [(0, 10, vec![0]), (10, 20, vec![1]), (20, 30, vec![1, 2]), (30, 90, vec![2]), (90, 100, vec![])];
        assert_eq!(found, expected);
    }
}
