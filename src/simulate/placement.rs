//! Which processors, GPUs and memory are free when.

use super::hardware::Node;
use super::workload::Part;
use crate::time::Window;

/// What a run asks for.
pub(super) struct Request {
    /// Nodes to try; all of them are needed if `whole`.
    nodes: Vec<usize>,
    whole: bool,
    cpus: u32,
    gpus: u32,
    memory_mib: u64,
}

impl Request {
    /// Everything on every one of `nodes`.
    pub(super) fn whole(all: &[Node], nodes: &[usize]) -> Self {
        let largest = nodes.first().and_then(|&nth| all.get(nth));
        Self {
            nodes: nodes.to_vec(),
            whole: true,
            cpus: largest.map_or(0, |node| node.cpus),
            gpus: largest.map_or(0, |node| node.gpus.len() as u32),
            memory_mib: largest.map_or(0, |node| node.memory_mib),
        }
    }

    /// A part of the first of `candidates` that has room.
    pub(super) fn shared(candidates: Vec<usize>, cpus: u32, gpus: u32, memory_mib: u64) -> Self {
        Self { nodes: candidates, whole: false, cpus, gpus, memory_mib }
    }
}

struct Allocation {
    window: Window,
    part: Part,
}

/// What is held on every node.
pub(super) struct Schedule<'a> {
    nodes: &'a [Node],
    window: Window,
    held: Vec<Vec<Allocation>>,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(nodes: &'a [Node], window: Window) -> Self {
        Self { nodes, window, held: nodes.iter().map(|_| Vec::new()).collect() }
    }

    /// Holds what is asked for over `wanted`, if it is free. What comes back is
    /// shorter where a node goes down or the simulation ends before.
    pub(super) fn place(&mut self, request: &Request, wanted: Window) -> Option<(Window, Vec<Part>)> {
        let (window, parts) = if request.whole {
            let ends = request.nodes.iter().map(|&node| self.until(node, wanted));
            let end_ms = ends.collect::<Option<Vec<i64>>>()?.into_iter().min()?;
            let window = Window::new(wanted.start_ms, end_ms);
            let parts = request.nodes.iter().map(|&node| self.free(node, window, request));
            (window, parts.collect::<Option<Vec<Part>>>()?)
        } else {
            request.nodes.iter().find_map(|&node| {
                let window = Window::new(wanted.start_ms, self.until(node, wanted)?);
                Some((window, vec![self.free(node, window, request)?]))
            })?
        };
        for part in &parts {
            if let Some(held) = self.held.get_mut(part.node) {
                held.push(Allocation { window, part: part.clone() });
            }
        }
        Some((window, parts))
    }

    /// How far into `wanted` the node stays on, if it is on at the start.
    fn until(&self, node: usize, wanted: Window) -> Option<i64> {
        let on = self.nodes.get(node)?.on.iter().find(|on| on.contains(wanted.start_ms))?;
        Some(wanted.end_ms.min(on.end_ms).min(self.window.end_ms))
    }

    fn free(&self, nth: usize, window: Window, request: &Request) -> Option<Part> {
        let node = self.nodes.get(nth)?;
        let mut cpus = vec![true; node.cpus as usize];
        let mut gpus = vec![true; node.gpus.len()];
        let mut memory_mib = node.memory_mib;
        let overlapping = |held: &&Allocation| held.window.intersect(window).is_some();
        for held in self.held.get(nth)?.iter().filter(overlapping) {
            take(&mut cpus, &held.part.cpus);
            take(&mut gpus, &held.part.gpus);
            // As if all that touch the window did so at once: simple, and never too much.
            memory_mib = memory_mib.saturating_sub(held.part.memory_mib);
        }
        (request.memory_mib <= memory_mib).then_some(())?;
        let part = Part {
            node: nth,
            cpus: first(&cpus, request.cpus)?,
            gpus: first(&gpus, request.gpus)?,
            memory_mib: request.memory_mib,
        };
        Some(part)
    }
}

fn take(free: &mut [bool], taken: &[u32]) {
    for &nth in taken {
        if let Some(slot) = free.get_mut(nth as usize) {
            *slot = false;
        }
    }
}

/// The numbers of the first `count` that are free.
fn first(free: &[bool], count: u32) -> Option<Vec<u32>> {
    let numbers = free.iter().zip(0..).filter(|(free, _)| **free).map(|(_, nth)| nth);
    let chosen: Vec<u32> = numbers.take(count as usize).collect();
    (chosen.len() == count as usize).then_some(chosen)
}
