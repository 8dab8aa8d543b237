//! The machines: what they are made of, what they measure, when they were on.

use super::faults::Faults;
use super::random::{Purpose, stream};
use super::scenario::Scenario;
use crate::time::{DAY_MS, SECOND_MS, Window};
use rand::RngExt;
use std::sync::Arc;

/// Processor packages in every node.
pub(super) const SOCKETS: u32 = 2;

/// A processor: published core count and thermal design power.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuModel {
    pub(super) name: &'static str,
    pub(super) vendor: &'static str,
    pub(super) family: &'static str,
    pub(super) model: &'static str,
    pub(super) tdp_w: f64,
}

/// A GPU: published memory and board power, and a typical idle power.
#[derive(Clone, Copy, Debug)]
pub(super) struct GpuModel {
    pub(super) name: &'static str,
    pub(super) driver: &'static str,
    pub(super) tdp_w: f64,
    pub(super) idle_w: f64,
    pub(super) memory_mib: u64,
}

const fn intel(name: &'static str, tdp_w: f64) -> CpuModel {
    CpuModel { name, vendor: "GenuineIntel", family: "6", model: "106", tdp_w }
}

const fn amd(name: &'static str, tdp_w: f64) -> CpuModel {
    CpuModel { name, vendor: "AuthenticAMD", family: "25", model: "1", tdp_w }
}

/// Real processors by cores per socket, Intel and AMD; TDP from the makers' product pages.
const CPU_MODELS: [(u32, CpuModel, CpuModel); 4] = [
    (
        8,
        intel("Intel(R) Xeon(R) Gold 6334 CPU @ 3.60GHz", 165.0),
        amd("AMD EPYC 72F3 8-Core Processor", 180.0),
    ),
    (
        16,
        intel("Intel(R) Xeon(R) Gold 6326 CPU @ 2.90GHz", 185.0),
        amd("AMD EPYC 7313 16-Core Processor", 155.0),
    ),
    (
        24,
        intel("Intel(R) Xeon(R) Gold 6342 CPU @ 2.80GHz", 230.0),
        amd("AMD EPYC 7413 24-Core Processor", 180.0),
    ),
    (
        32,
        intel("Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz", 250.0),
        amd("AMD EPYC 7513 32-Core Processor", 200.0),
    ),
];

const A100: GpuModel = GpuModel {
    name: "NVIDIA A100-SXM4-40GB",
    driver: "550.54.15",
    tdp_w: 400.0,
    idle_w: 54.0,
    memory_mib: 40_960,
};
const L40S: GpuModel =
    GpuModel { name: "NVIDIA L40S", driver: "590.48.01", tdp_w: 350.0, idle_w: 34.0, memory_mib: 46_068 };

/// Which exporter a node's GPUs are read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GpuExporter {
    /// dcgm-exporter with the job mapping on.
    Dcgm,
    /// nvidia_gpu_exporter.
    NvidiaSmi,
}

/// How a node's whole power is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ipmi {
    /// The target's `instance`.
    pub(super) instance: String,
    /// The name before or since ipmi_exporter renamed it.
    pub(super) metric: &'static str,
}

/// One GPU.
#[derive(Clone, Debug)]
pub(super) struct Gpu {
    /// Without the `GPU-` prefix.
    pub(super) uuid: String,
}

/// One machine.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The scheduler's name.
    pub(super) name: String,
    /// What the kernel calls itself, with a domain on some.
    pub(super) nodename: String,
    /// False for login and storage nodes, which the scheduler does not know.
    pub(super) scheduled: bool,
    /// Logical processors; one thread a core.
    pub(super) cpus: u32,
    pub(super) memory_mib: u64,
    pub(super) cpu_model: CpuModel,
    pub(super) gpu_model: GpuModel,
    pub(super) gpus: Vec<Gpu>,
    pub(super) rapl: bool,
    pub(super) gpu_exporter: GpuExporter,
    pub(super) ipmi: Option<Ipmi>,
    /// Watched by a second Prometheus.
    pub(super) replicated: bool,
    /// Idle power of one package, one package's memory, and all the rest, in watts.
    pub(super) cpu_idle_w: f64,
    /// Power of one package and of one GPU at full load, in watts.
    pub(super) cpu_full_w: f64,
    pub(super) gpu_full_w: f64,
    pub(super) dram_idle_w: f64,
    pub(super) other_w: f64,
    /// Boot times, ascending; the first is before the window.
    pub(super) boots_ms: Vec<i64>,
    /// When it was on, inside the window.
    pub(super) on: Arc<[Window]>,
}

impl Node {
    pub(super) fn cores_per_socket(&self) -> u32 {
        self.cpus / SOCKETS
    }

    pub(super) fn socket_of(&self, cpu: u32) -> u32 {
        (cpu / self.cores_per_socket().max(1)).min(SOCKETS - 1)
    }

    /// Power that full load adds to one GPU, in watts.
    pub(super) fn gpu_span_w(&self) -> f64 {
        self.gpu_full_w - self.gpu_model.idle_w
    }

    /// Power that one busy core adds to its package, in watts.
    pub(super) fn core_w(&self) -> f64 {
        (self.cpu_full_w - self.cpu_idle_w) / f64::from(self.cores_per_socket().max(1))
    }

    /// Power that memory in full use adds in one package's DRAM, in watts.
    pub(super) fn dram_span_w(&self) -> f64 {
        3.0 * self.dram_idle_w
    }
}

/// All machines of a scenario: compute nodes, then login and storage.
pub(super) fn nodes(scenario: &Scenario, window: Window, faults: &Faults) -> Vec<Node> {
    let compute = (0..scenario.nodes).map(|nth| (nth, format!("gpu{:03}", nth + 1), true));
    let others = ["login1", "storage1"].into_iter().map(str::to_owned);
    let others = (scenario.nodes..).zip(others).map(|(nth, name)| (nth, name, false));
    compute
        .chain(others.take(scenario.infrastructure_nodes.min(2) as usize))
        .map(|(nth, name, scheduled)| node(scenario, window, faults, nth, name, scheduled))
        .collect()
}

fn node(
    scenario: &Scenario,
    window: Window,
    faults: &Faults,
    nth: u32,
    name: String,
    scheduled: bool,
) -> Node {
    let mut chance = stream(scenario.seed, Purpose::Hardware, u64::from(nth));
    // AMD without readable RAPL on every sixth compute node.
    let rapl = !scheduled || nth % 6 != 3;
    let dcgm = nth % 6 != 2;
    let cores = scenario.cpus / SOCKETS;
    let nearest = CPU_MODELS.iter().min_by_key(|(size, ..)| size.abs_diff(cores));
    let cpu_model = nearest.map_or(intel("Intel(R) Xeon(R)", 165.0), |(_, i, a)| if rapl { *i } else { *a });
    let uuid = |chance: &mut rand_chacha::ChaCha8Rng| {
        let text = format!("{:032x}", chance.random::<u128>());
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    };
    let gpus = if scheduled { scenario.gpus } else { 0 };
    let ipmi = (scheduled && nth % 4 == 1).then(|| {
        // The first board answers under its management controller's own name.
        if nth == 1 {
            Ipmi { instance: format!("bmc-{name}"), metric: "ipmi_dcmi_power_consumption_watts" }
        } else {
            Ipmi { instance: format!("{name}:9290"), metric: "ipmi_dcmi_power_consumption_current_watts" }
        }
    });
    let off = faults.outages(nth);
    let first_boot_ms =
        window.start_ms - chance.random_range(5 * DAY_MS..60 * DAY_MS) / SECOND_MS * SECOND_MS;
    let mut on = Vec::new();
    let mut from_ms = window.start_ms;
    for outage in off {
        on.push(Window::new(from_ms, outage.start_ms));
        from_ms = outage.end_ms;
    }
    on.push(Window::new(from_ms, window.end_ms));
    let gpu_model = if dcgm { A100 } else { L40S };
    let mut node = Node {
        nodename: if nth % 5 == 2 { format!("{name}.cluster.example") } else { name.clone() },
        name,
        scheduled,
        cpus: scenario.cpus,
        memory_mib: 8192 * u64::from(scenario.cpus),
        cpu_model,
        gpu_model,
        gpus: (0..gpus).map(|_| Gpu { uuid: uuid(&mut chance) }).collect(),
        rapl,
        gpu_exporter: if dcgm { GpuExporter::Dcgm } else { GpuExporter::NvidiaSmi },
        ipmi,
        replicated: scheduled && nth.is_multiple_of(8),
        cpu_idle_w: cpu_model.tdp_w * chance.random_range(0.22..0.30),
        cpu_full_w: cpu_model.tdp_w,
        gpu_full_w: gpu_model.tdp_w,
        dram_idle_w: f64::from(scenario.cpus) * chance.random_range(0.16..0.22),
        other_w: chance.random_range(90.0..140.0) + 12.0 * f64::from(gpus),
        boots_ms: std::iter::once(first_boot_ms).chain(off.iter().map(|outage| outage.end_ms)).collect(),
        on: on.into(),
    };
    if scenario.unlike {
        // Ranges of the machines in CodeCarbon's load profiles of 2025-01 and of Zeus (NSDI 2023).
        node.cpu_idle_w = cpu_model.tdp_w * chance.random_range(0.08..0.30);
        node.cpu_full_w = cpu_model.tdp_w * chance.random_range(0.55..1.40);
        node.gpu_full_w = gpu_model.tdp_w * chance.random_range(0.75..1.00);
        let socket_gb = f64::from(scenario.cpus * 8) / f64::from(SOCKETS);
        node.dram_idle_w = socket_gb * chance.random_range(0.03..0.12);
    }
    node
}
