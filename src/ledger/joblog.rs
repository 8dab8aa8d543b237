//! Nodes without any series, modelled from the job log alone (`modelled:joblog`, section 4 of the accounting page).

use super::claims::{Claim, NodeSize};
use super::device::{Device, MethodCurve};
use super::device_model::{DeviceModel, MemoryRule};
use super::hardware::{Hardware, cpu_hardware, gpu_hardware};
use super::measure::MeasuredNode;
use super::method::Method;
use super::node::{Hold, ReadNode};
use super::rules::{NodeHardware, Rules};
use super::size::{BY_ALLOCATION, most_at_once};
use super::usage::{ShareRule, Usage};
use crate::jobs::{Run, SchedulerNode};
use crate::meter::catalog::Component;
use crate::meter::curve::{Coverage, Curve, Interval};
use crate::meter::inventory::{DeviceKey, GpuPart, Machine};
use crate::meter::job_use::JobUse;
use crate::meter::presence::Presence;
use crate::power::{DeviceKind, UNKNOWN_CORE_SPREAD, UNKNOWN_CORE_W, UNKNOWN_GPU_SPREAD, UNKNOWN_GPU_W};
use crate::sum::Sum;
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
    /// By run: share of its allocated CPUs that it kept busy; `None` if the log does not tell.
    pub(super) efficiencies: &'a [Option<f64>],
    /// Time for which the log tells who was there.
    pub(super) covered: Option<Window>,
}

/// CPU time ÷ (length × cores) of each run.
pub(super) fn efficiencies(runs: &[Run]) -> Vec<Option<f64>> {
    let of = |run: &Run| {
        let cpus: f64 = run.allocations.iter().map(|part| part.cpus).sum::<Option<f64>>()?;
        let held_s = Window::new(run.start_ms, run.end_ms?).length_s() * cpus;
        (held_s > 0.0).then_some(run.cpu_time_s? / held_s)
    };
    runs.iter().map(of).collect()
}

impl UnseenNode<'_> {
    /// Models the node.
    pub(super) fn model(&self) -> ReadNode {
        let (cpus, size_origin) = self.cpus();
        let gpus = self.gpus();
        let wanted: Vec<f64> = self.holds.iter().map(|hold| self.wanted_gpus(hold, cpus, gpus)).collect();
        let bound = assign(self.holds, &wanted, gpus);
        let claims = self.claims(&bound);
        let machine = Machine {
            cpu_model: self.stated.cpu_model.clone(),
            sockets: self.stated.sockets,
            ..Machine::default()
        };
        let span = self.covered.and_then(|covered| covered.intersect(self.rules.window));
        let presence = Presence { span, ..Presence::default() };
        let installed = self.stated.memory_bytes.or(self.described.and_then(|node| node.memory_bytes));
        let held = || {
            let holds = self.holds.iter().filter_map(|hold| Some((hold.window, hold.memory_bytes?)));
            Some(most_at_once(holds)).filter(|most| *most > 0.0)
        };
        let memory_bytes = installed.or_else(held);
        let mut measured = MeasuredNode { memory_bytes, ..MeasuredNode::default() };
        measured.notes.push(HOW.to_owned());
        let add = |key: DeviceKey, model: &str, curve: Option<MethodCurve>, static_w: f64| {
            let methods = curve.into_iter().collect();
            let mut device = Device::new(key, model.to_owned(), methods, self.buckets, &presence);
            device.static_w = static_w;
            device
        };

        let processors = cpu_hardware(&machine, self.stated, self.rules.default_cpu_tdp_w, 1);
        let (curve, static_w) = self.processors(&processors, (cpus, &size_origin), span, &mut measured.notes);
        measured.devices.push(add(key(Component::Cpu, "all"), &processors.model, curve, static_w));

        let memory = memory_bytes.zip(span).map(|(bytes, span)| {
            let rule = MemoryRule::of(self.rules, &processors.model, bytes);
            let energy_j = rule.power(bytes).value() * span.length_s();
            let interval = Interval::flat(span.start_ms, span.end_ms, energy_j, Coverage::Covered);
            let spread = match installed {
                Some(_) => rule.spread,
                None => rule.spread.and_factor(INFERRED_MEMORY),
            };
            curve_of(format!("installed memory × {}", rule.words), vec![interval], spread)
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
        if gpus > 0 && self.holds.iter().any(|hold| hold.gpus.is_none() && hold.gpu_ids.is_empty()) {
            let note = "the log does not say which GPUs some runs had: as many as their share of the cores";
            measured.notes.push(note.to_owned());
        }
        if self.holds.iter().any(|hold| hold.gpus.is_some_and(|gpus| plausible(gpus, MOST_GPUS).is_none())) {
            measured.notes.push("the log has numbers of GPUs that no node has: not believed".to_owned());
        }
        let memory_static_w = self.stated.dram_idle_w.unwrap_or(0.0);
        measured.devices.push(add(key(Component::Dram, "all"), "", memory, memory_static_w));

        let gpu = gpu_hardware(None, self.stated, self.rules.default_gpu_tdp_w, None);
        for position in 0..gpus {
            let curve = self.gpu(&gpu, position, &bound, span, &mut measured.notes);
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
            let holds = self.holds.iter().filter_map(|hold| Some((hold.window, held_cpus(hold)?)));
            Some(most_at_once(holds)).filter(|most| *most > 0.0)
        };
        let ways = [
            (self.stated.cpus, "stated"),
            (self.described.and_then(|node| node.cpus), "scontrol show node"),
            (held(), BY_ALLOCATION),
        ];
        let known = ways.into_iter().find_map(|(cpus, origin)| Some((cpus?, origin)));
        known.map_or((None, "unknown".to_owned()), |(cpus, origin)| (Some(cpus), origin.to_owned()))
    }

    /// The node's GPUs: stated, described, else as many as were held at once or as the log's indices say.
    fn gpus(&self) -> usize {
        let count = |gpus: f64| plausible(gpus, MOST_GPUS).map_or(0, |gpus| gpus.ceil() as usize);
        if let Some(stated) = self.stated.gpus {
            return count(f64::from(stated));
        }
        if let Some(described) = self.described.and_then(|node| node.gpus) {
            return count(described);
        }
        let held =
            self.holds.iter().filter_map(|hold| Some((hold.window, plausible(hold.gpus?, MOST_GPUS)?)));
        let indices = self.holds.iter().flat_map(named_gpus);
        count(most_at_once(held)).max(indices.max().map_or(0, |most| most.saturating_add(1)))
    }

    /// How many of the node's GPUs a run has: what the log says, else its share of the cores (rule S1).
    fn wanted_gpus(&self, hold: &Hold, cpus: Option<f64>, gpus: usize) -> f64 {
        match hold.gpus {
            Some(held) => plausible(held, MOST_GPUS).unwrap_or(0.0).min(gpus as f64),
            None => (core_share(hold, cpus) * gpus as f64).ceil().min(gpus as f64),
        }
    }

    fn claims(&self, bound: &[Vec<(usize, f64)>]) -> Vec<Claim> {
        let claim = |(hold, bound): (&Hold, &Vec<(usize, f64)>)| Claim {
            run: hold.run,
            window: hold.window,
            cpus: hold.cpus,
            memory_bytes: hold.memory_bytes,
            gpus: hold.gpus,
            bound_gpus: bound.iter().map(|(index, _)| *index).collect(),
            gpu_parts: bound
                .iter()
                .map(|(index, share)| (*index, GpuPart { share: *share, instances: Vec::new() }))
                .collect(),
        };
        self.holds.iter().zip(bound).map(claim).collect()
    }

    /// See [`efficiencies`].
    fn efficiency(&self, hold: &Hold) -> Option<f64> {
        self.efficiencies.get(hold.run).copied().flatten()
    }

    /// The processors' power over time, and what they take at rest.
    fn processors(
        &self,
        hardware: &Hardware,
        (cpus, size_origin): (Option<f64>, &str),
        span: Option<Window>,
        notes: &mut Vec<String>,
    ) -> (Option<MethodCurve>, f64) {
        let known = DeviceModel::of(self.rules, DeviceKind::CpuSocket, hardware);
        let by_core = cpus.filter(|_| known.is_none() && hardware.tdp_w.is_none());
        let fallback;
        let (hardware, model) = match (known, by_core) {
            (Some(model), _) => (hardware, Some(model)),
            (None, Some(cpus)) => {
                notes.push(format!(
                    "{}: {UNKNOWN_CORE_W} W a core are taken, the median of server processors; state `cpu_model` or `cpu_tdp_w`",
                    if hardware.model.is_empty() { "nothing names the processor" } else { "the processor is in no table" }
                ));
                fallback = unknown_hardware(hardware, UNKNOWN_CORE_W * cpus, "median of the table by core");
                (&fallback, DeviceModel::of(self.rules, DeviceKind::CpuSocket, &fallback))
            }
            (None, None) => (hardware, None),
        };
        let Some(model) = model else {
            notes.push(if hardware.tdp_w.is_none() {
                "neither the processor nor the number of cores is known: state `cpu_model`, `cpu_tdp_w` or `cpus`"
                    .to_owned()
            } else {
                let name = self.rules.power_model.name();
                format!("power model `{name}` has no figure for the processor: not modelled")
            });
            return (None, 0.0);
        };
        if self.stated.sockets.is_none() && by_core.is_none() {
            notes.push("one processor is taken, state `sockets` if there are more".to_owned());
        }
        let is_guessed = self.holds.iter().any(|hold| self.efficiency(hold).is_none());
        if is_guessed {
            let note = "the log has no CPU time of some runs: their cores are taken to be busy all the time";
            notes.push(note.to_owned());
        }
        let loads = self
            .holds
            .iter()
            .map(|hold| (hold.window, core_share(hold, cpus) * self.efficiency(hold).unwrap_or(1.0)));
        let intervals = intervals(loads, span, |load| model.watts(load) * hardware.scale);
        let mut spread = if is_guessed { guessed(&model) } else { model.spread };
        if by_core.is_some() {
            spread = spread.and_factor(UNKNOWN_CORE_SPREAD);
            if size_origin == BY_ALLOCATION {
                spread = spread.and_factor(INFERRED_CORES);
            }
        }
        let source = format!("job log, {}", model.words);
        let static_w = self.stated.cpu_idle_w.unwrap_or_else(|| model.watts(0.0)) * hardware.scale;
        (Some(curve_of(source, intervals, spread)), static_w)
    }

    /// One GPU's power over time.
    fn gpu(
        &self,
        hardware: &Hardware,
        position: usize,
        bound: &[Vec<(usize, f64)>],
        span: Option<Window>,
        notes: &mut Vec<String>,
    ) -> Option<MethodCurve> {
        let mut note_once = |note: String| {
            if !notes.contains(&note) {
                notes.push(note);
            }
        };
        let known = DeviceModel::of(self.rules, DeviceKind::Gpu, hardware);
        let is_unknown = known.is_none() && hardware.tdp_w.is_none();
        let model = known.or_else(|| {
            let fallback = unknown_hardware(hardware, UNKNOWN_GPU_W, "median of the table");
            is_unknown.then(|| DeviceModel::of(self.rules, DeviceKind::Gpu, &fallback)).flatten()
        });
        let Some(model) = model else {
            let name = self.rules.power_model.name();
            note_once(format!("power model `{name}` has no figure for the GPUs: not modelled"));
            return None;
        };
        if is_unknown {
            note_once(format!(
                "{}: {UNKNOWN_GPU_W} W are taken, the median of the table; state `gpu_model` or `gpu_tdp_w`",
                if hardware.model.is_empty() { "nothing names the GPUs" } else { "the GPUs are in no table" }
            ));
        }
        let held = self.holds.iter().zip(bound).filter_map(|(hold, gpus)| {
            let part = gpus.iter().find(|(index, _)| *index == position)?.1;
            Some((hold.window, part))
        });
        let intervals = intervals(held, span, |load| model.watts(load));
        let spread = guessed(&model);
        let spread = if is_unknown { spread.and_factor(UNKNOWN_GPU_SPREAD) } else { spread };
        Some(curve_of(format!("job log, {}", model.words), intervals, spread))
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

/// More GPUs, or CPUs, in one node are a mistake of the log.
const MOST_GPUS: f64 = 64.0;
const MOST_CPUS: f64 = 65_536.0;
/// What a node has against what was allocated of it: CPUs may be threads, and none may ever have filled it.
const INFERRED_CORES: Spread = Spread::new(0.5, 2.0);
const INFERRED_MEMORY: Spread = Spread::new(1.0, 4.0);

/// An amount that a node can have.
fn plausible(amount: f64, most: f64) -> Option<f64> {
    (0.0..=most).contains(&amount).then_some(amount)
}

fn held_cpus(hold: &Hold) -> Option<f64> {
    plausible(hold.cpus?, MOST_CPUS)
}

/// A run's part of the node's CPUs. A run whose log states no cores has the node (rule S4).
fn core_share(hold: &Hold, cpus: Option<f64>) -> f64 {
    match (held_cpus(hold), cpus) {
        (Some(held), Some(cpus)) if cpus > 0.0 => (held / cpus).min(1.0),
        _ => 1.0,
    }
}

/// The indices of GPUs that the log names for a run.
fn named_gpus(hold: &Hold) -> impl Iterator<Item = usize> {
    let indices = hold.gpu_ids.iter().filter_map(|id| id.parse::<usize>().ok());
    indices.filter(|index| (*index as f64) < MOST_GPUS)
}

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
    MethodCurve::of_intervals(Method::ModelledJobLog, source, intervals).with_spread(spread)
}

/// What a device draws by the part of it that is held, which is at most the whole.
fn intervals(
    held: impl Iterator<Item = (Window, f64)>,
    span: Option<Window>,
    watts: impl Fn(f64) -> f64,
) -> Vec<Interval> {
    let pieces = span.map(|span| levels(held, span)).unwrap_or_default();
    let interval = |(window, load): (Window, f64)| {
        let energy_j = watts(load.clamp(0.0, 1.0)) * window.length_s();
        Interval::flat(window.start_ms, window.end_ms, energy_j, Coverage::Covered)
    };
    pieces.into_iter().map(interval).collect()
}

/// The sum of what is held over `span`, in pieces that are equal within.
fn levels(held: impl Iterator<Item = (Window, f64)>, span: Window) -> Vec<(Window, f64)> {
    let mut changes: Vec<(i64, f64)> = held
        .filter_map(|(window, amount)| Some((window.intersect(span)?, amount)))
        .filter(|(window, amount)| !window.is_empty() && *amount != 0.0)
        .flat_map(|(window, amount)| [(window.start_ms, amount), (window.end_ms, -amount)])
        .collect();
    changes.sort_by(|left, right| left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)));
    let mut pieces: Vec<(Window, f64)> = Vec::new();
    let mut level = Sum::new();
    let mut since_ms = span.start_ms;
    for (at_ms, change) in changes.into_iter().chain([(span.end_ms, 0.0)]) {
        if at_ms > since_ms {
            // What is given back in parts leaves a rounding error, not a load.
            let value = if level.value() < 1e-9 { 0.0 } else { level.value() };
            match pieces.last_mut().filter(|(_, before)| *before == value) {
                Some((window, _)) => window.end_ms = at_ms,
                None => pieces.push((Window::new(since_ms, at_ms), value)),
            }
            since_ms = at_ms;
        }
        level.add(change);
    }
    pieces
}

/// For each hold its GPUs, with the part of each that it has: the indices that the log names, else in order of start the lowest that
/// are free, else those that are free first. `wanted` is how many each hold has: the last of them by the fraction.
fn assign(holds: &[Hold], wanted: &[f64], gpus: usize) -> Vec<Vec<(usize, f64)>> {
    let mut order: Vec<usize> = (0..holds.len()).collect();
    order.sort_by_key(|at| holds.get(*at).map(|hold| (hold.window, hold.run)));
    let mut free_from_ms = vec![i64::MIN; gpus];
    let mut bound = vec![Vec::new(); holds.len()];
    for at in order {
        let (Some(hold), Some(wanted)) = (holds.get(at), wanted.get(at).copied()) else { continue };
        let named: Vec<usize> = named_gpus(hold).filter(|index| *index < gpus).collect();
        if named.is_empty() && wanted <= 0.0 {
            continue;
        }
        let is_named = !named.is_empty() && named.len() == hold.gpu_ids.len();
        let chosen: Vec<(usize, f64)> = if is_named {
            named.into_iter().map(|index| (index, 1.0)).collect()
        } else {
            let mut by_freedom: Vec<usize> = (0..gpus).collect();
            let free_at = |index: &usize| free_from_ms.get(*index).copied().unwrap_or(i64::MAX);
            by_freedom.sort_by_key(|index| (free_at(index).max(hold.window.start_ms), *index));
            let count = wanted.ceil().max(0.0) as usize;
            let part = |nth: usize| (wanted - nth as f64).clamp(0.0, 1.0);
            by_freedom.into_iter().take(count).enumerate().map(|(nth, index)| (index, part(nth))).collect()
        };
        for (index, _) in &chosen {
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
        let wanted: Vec<f64> = holds.iter().map(|hold| hold.gpus.unwrap()).collect();
        let whole =
            |indices: &[usize]| -> Vec<(usize, f64)> { indices.iter().map(|index| (*index, 1.0)).collect() };
        let expected = [&[0, 1][..], &[2], &[3], &[2], &[3], &[]].map(whole);
        assert_eq!(assign(&holds, &wanted, 4), expected);
        // One and a half are one, and half of the next.
        assert_eq!(assign(&[hold(0, 0, 10, 1.5, &[])], &[1.5], 4), [vec![(0, 1.0), (1, 0.5)]]);
        // A serial number is no index.
        let odd = hold(0, 0, 10, 1.0, &["1322621077430"]);
        assert_eq!(assign(&[odd], &[1.0], 4), [vec![(0, 1.0)]]);
    }

    #[test]
    fn levels_cover_the_span_and_change_at_edges_alone() {
        let held = [(-5, 10, 0.5), (10, 30, 0.5), (20, 90, 0.1)];
        let held = held.into_iter().map(|(from, to, amount)| (Window::new(from, to), amount));
        let found = levels(held, Window::new(0, 100));
        let expected = [(0, 20, 0.5), (20, 30, 0.6), (30, 90, 0.1), (90, 100, 0.0)];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((window, level), (start_ms, end_ms, expected)) in found.into_iter().zip(expected) {
            assert_eq!(window, Window::new(start_ms, end_ms));
            assert!((level - expected).abs() < 1e-12);
        }
    }
}
