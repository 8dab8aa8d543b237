//! What really happened: the energy of every device, and each run's part of it.
//!
//! The true power functions are integrated by formula, slice by slice between
//! the edges of a node's runs; no sample is looked at. A run's share of a
//! device is that of the accounting rules S1 to S5 with allocations alone and
//! no static power configured:
//!
//! - GPU: 1 of each GPU that it is bound to;
//! - CPU: its processors on the node ÷ the node's, of every package;
//! - DRAM: its memory on the node ÷ the node's, of every package;
//! - other: the largest of its processor, memory and GPU fractions of the node,
//!   divided by the sum over runs where that is over 1.
//!
//! What the shares leave of a device is its idle part.

use super::cluster::Cluster;
use super::hardware::{Node, SOCKETS};
use super::profile::LoadCurve;
use super::workload::Part;
use crate::sum::Sum;
use crate::time::Window;
use rayon::prelude::*;

/// What a device belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Component {
    Cpu,
    Dram,
    Gpu,
    Other,
}

impl Component {
    pub(super) const ALL: [Self; 4] = [Self::Cpu, Self::Dram, Self::Gpu, Self::Other];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Dram => "dram",
            Self::Gpu => "gpu",
            Self::Other => "other",
        }
    }
}

/// The truth about one device.
pub(super) struct DeviceTruth {
    pub(super) node: usize,
    pub(super) component: Component,
    pub(super) device: String,
    /// Some series in the snapshot measures it.
    pub(super) metered: bool,
    pub(super) energy_j: f64,
    /// What no run's share holds.
    pub(super) idle_j: f64,
}

/// One component's part of one run's energy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RunEnergy {
    /// Its shares of its devices.
    pub(super) energy: Sum,
    /// Those of them on devices that are metered.
    pub(super) metered: Sum,
    /// What its own load added, without any idle power.
    pub(super) own: Sum,
    /// Its part of what its processors' packages and memory take at rest, by allocation.
    pub(super) rest: Sum,
}

/// The truth about a cluster.
pub(super) struct Truth {
    pub(super) devices: Vec<DeviceTruth>,
    /// Beside the runs; by component, in the order of [`Component::ALL`].
    pub(super) runs: Vec<[RunEnergy; 4]>,
}

impl Truth {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let nodes: Vec<NodeTruth> =
            (0..cluster.nodes.len()).into_par_iter().map(|nth| node_truth(cluster, nth)).collect();
        let mut truth =
            Self { devices: Vec::new(), runs: vec![<[RunEnergy; 4]>::default(); cluster.runs.len()] };
        for node in nodes {
            truth.devices.extend(node.devices);
            for (run, component, energy_j, metered) in node.shares {
                if let Some(slot) = truth.runs.get_mut(run).and_then(|run| run.get_mut(component as usize)) {
                    slot.energy.add(energy_j);
                    slot.metered.add(if metered { energy_j } else { 0.0 });
                }
            }
        }
        for (nth, energies) in truth.runs.iter_mut().enumerate() {
            own_energy(cluster, nth, energies);
        }
        truth
    }
}

struct NodeTruth {
    devices: Vec<DeviceTruth>,
    /// Run, component, joules, metered: one for each run and device.
    shares: Vec<(usize, Component, f64, bool)>,
}

fn node_truth(cluster: &Cluster, nth: usize) -> NodeTruth {
    let mut truth = NodeTruth { devices: Vec::new(), shares: Vec::new() };
    let (Some(node), Some(curves)) = (cluster.nodes.get(nth), cluster.curves.get(nth)) else { return truth };
    let held = held_parts(cluster, nth);
    let slices = slices(cluster.window, &held);
    let mut device =
        |component: Component, device: String, metered: bool, curve: &LoadCurve, gpu: Option<u32>| {
            let mut totals = vec![Sum::new(); held.len()];
            let mut idle = Sum::new();
            let mut cursor = curve.cursor();
            for (slice, present) in &slices {
                let energy_j = -cursor.integral_to(slice.start_ms) + cursor.integral_to(slice.end_ms);
                let share = |index: &usize| {
                    held.get(*index).map_or(0.0, |(_, _, part)| share(node, part, component, gpu))
                };
                let sum: f64 = present.iter().map(share).sum();
                let scale = sum.max(1.0);
                for index in present {
                    if let Some(total) = totals.get_mut(*index) {
                        total.add(energy_j * share(index) / scale);
                    }
                }
                idle.add(energy_j * (1.0 - sum / scale));
            }
            for ((run, ..), total) in held.iter().zip(totals).filter(|(_, total)| total.value() != 0.0) {
                truth.shares.push((*run, component, total.value(), metered));
            }
            truth.devices.push(DeviceTruth {
                node: nth,
                component,
                device,
                metered,
                energy_j: curve.integral(cluster.window),
                idle_j: idle.value(),
            });
        };
    for (index, curve) in curves.package.iter().enumerate() {
        device(Component::Cpu, index.to_string(), node.rapl, curve, None);
    }
    for (index, curve) in curves.dram.iter().enumerate() {
        device(Component::Dram, index.to_string(), node.rapl, curve, None);
    }
    for ((index, gpu), curve) in (0_u32..).zip(&node.gpus).zip(&curves.gpu) {
        device(Component::Gpu, format!("GPU-{}", gpu.uuid), true, curve, Some(index));
    }
    device(Component::Other, "node".to_owned(), node.ipmi.is_some(), &curves.other, None);
    truth
}

/// Run, its window and its part, for each part on a node.
fn held_parts(cluster: &Cluster, nth: usize) -> Vec<(usize, Window, &Part)> {
    let here = cluster.on_node.get(nth).map_or(&[][..], Vec::as_slice);
    let held = here.iter().filter_map(|&(index, part)| {
        let run = cluster.runs.get(index)?;
        Some((index, run.window, run.parts.get(part)?))
    });
    held.collect()
}

/// The stretches between edges, with the parts that are there.
fn slices(window: Window, held: &[(usize, Window, &Part)]) -> Vec<(Window, Vec<usize>)> {
    let mut edges: Vec<i64> = held.iter().flat_map(|(_, held, _)| [held.start_ms, held.end_ms]).collect();
    edges.extend([window.start_ms, window.end_ms]);
    edges.retain(|edge_ms| (window.start_ms..=window.end_ms).contains(edge_ms));
    edges.sort_unstable();
    edges.dedup();
    let mut starts: Vec<usize> = (0..held.len()).collect();
    let window_of = |index: usize| held.get(index).map_or(Window::new(0, 0), |(_, window, _)| *window);
    starts.sort_by_key(|&index| window_of(index));
    let (mut next, mut present) = (0, Vec::new());
    let mut slices = Vec::new();
    for (start_ms, end_ms) in edges.iter().copied().zip(edges.iter().copied().skip(1)) {
        while let Some(&index) = starts.get(next).filter(|&&index| window_of(index).start_ms <= start_ms) {
            present.push(index);
            next += 1;
        }
        present.retain(|&index| window_of(index).end_ms > start_ms);
        slices.push((Window::new(start_ms, end_ms), present.clone()));
    }
    slices
}

fn share(node: &Node, part: &Part, component: Component, gpu: Option<u32>) -> f64 {
    let cores = part.cpus.len() as f64 / f64::from(node.cpus);
    let memory = part.memory_mib as f64 / node.memory_mib as f64;
    match component {
        Component::Cpu => cores,
        Component::Dram => memory,
        Component::Gpu => f64::from(u8::from(gpu.is_some_and(|gpu| part.gpus.contains(&gpu)))),
        Component::Other => cores.max(memory).max(part.gpus.len() as f64 / node.gpus.len().max(1) as f64),
    }
}

fn own_energy(cluster: &Cluster, nth: usize, energies: &mut [RunEnergy; 4]) {
    let (Some(run), Some(loads)) = (cluster.runs.get(nth), cluster.loads.get(nth)) else { return };
    let [cpu, dram, gpu, _] = energies;
    for (part, load) in run.parts.iter().zip(loads) {
        let Some(node) = cluster.nodes.get(part.node) else { continue };
        let on_s = crate::sum::sum(
            node.on.iter().filter_map(|on| on.intersect(run.window)).map(|part| part.length_s()),
        );
        let sockets_s = f64::from(SOCKETS) * on_s;
        cpu.rest.add(node.cpu_idle_w * sockets_s * part.cpus.len() as f64 / f64::from(node.cpus));
        dram.rest.add(node.dram_idle_w * sockets_s * part.memory_mib as f64 / node.memory_mib as f64);
        cpu.own.add(node.core_w() * part.cpus.len() as f64 * load.cpu.integral(run.window));
        let memory = part.memory_mib as f64 / node.memory_mib as f64;
        dram.own.add(f64::from(SOCKETS) * node.dram_span_w() * memory * load.dram.integral(run.window));
        for profile in &load.gpu {
            gpu.own.add(node.gpu_span_w() * profile.integral(run.window));
        }
    }
}

/// `truth.csv`.
pub(super) fn devices_csv(cluster: &Cluster, truth: &Truth) -> String {
    let mut text = "source,node,scheduled,component,device,metered,energy_j,idle_energy_j\n".to_owned();
    for device in &truth.devices {
        let Some(node) = cluster.nodes.get(device.node) else { continue };
        text.push_str(&format!(
            "SIMULATED,{},{},{},{},{},{:.6},{:.6}\n",
            node.name,
            node.scheduled,
            device.component.name(),
            device.device,
            device.metered,
            device.energy_j,
            device.idle_j
        ));
    }
    text
}

/// `truth_runs.csv`.
pub(super) fn runs_csv(cluster: &Cluster, truth: &Truth) -> String {
    let mut text =
        "source,run_id,job_id_raw,start,end,component,energy_j,metered_energy_j,own_energy_j,used_energy_j\n"
            .to_owned();
    for (run, energies) in cluster.runs.iter().zip(&truth.runs).filter(|(run, _)| run.started()) {
        let (start, end) = (
            crate::time::format_instant(run.window.start_ms),
            crate::time::format_instant(run.window.end_ms),
        );
        for (component, energy) in Component::ALL.iter().zip(energies) {
            text.push_str(&format!(
                "SIMULATED,{},{},{start},{end},{},{:.6},{:.6},{:.6},{:.6}\n",
                run.id,
                run.raw_id,
                component.name(),
                energy.energy.value(),
                energy.metered.value(),
                energy.own.value(),
                // GPUs and the rest of the node are not shared by use.
                match component {
                    Component::Cpu | Component::Dram => energy.rest.value() + energy.own.value(),
                    Component::Gpu | Component::Other => energy.energy.value(),
                }
            ));
        }
    }
    text
}
