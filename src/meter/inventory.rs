//! Which series measure which device of which node (rules N1 to N4). Looks at
//! labels only; nothing is decoded here.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Catalog, Component, Entry, MeterKind, Quantity, Role, gpu_id};
use super::names::NodeNames;
use super::settle::{settle_fallbacks, settle_modules};
use crate::source::Series;
use crate::tsdb::Labels;

/// Labels that tell one Prometheus or one exporter from another over the same
/// hardware: series that differ in them are replicas.
const STREAM_LABELS: [&str; 8] =
    ["job", "instance", "replica", "prometheus_replica", "__replica__", "prometheus", "path", "GPU_I_ID"];

/// Words in the machine's description that give away a virtual machine.
const VIRTUAL: [&str; 10] = [
    "qemu",
    "kvm",
    "vmware",
    "virtualbox",
    "xen",
    "hypervisor",
    "virtual machine",
    "openstack",
    "amazon ec2",
    "google compute engine",
];

/// A device of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey {
    /// What kind of hardware.
    pub component: Component,
    /// Socket, GPU UUID, or empty for the only one of its kind.
    pub id: String,
}

/// A series that measures something.
#[derive(Clone, Copy)]
pub struct MeterSeries<'a> {
    /// To read it.
    pub series: &'a dyn Series,
    /// What it measures.
    pub kind: &'a MeterKind,
    /// Position in the list of selected series: its row in `meters.csv`.
    pub row: usize,
}

impl MeterSeries<'_> {
    /// Series with equal stream keys are pieces of one stream; those with
    /// different keys are replicas if they run side by side.
    pub fn stream_key(&self) -> String {
        let labels = self.series.labels();
        let mut key = labels.metric().to_owned();
        for label in STREAM_LABELS {
            key.push('\u{1f}');
            key.push_str(labels.get(label).unwrap_or_default());
        }
        key
    }
}

/// What is known about a device before anything is decoded.
#[derive(Clone, Default)]
pub struct DeviceSeries<'a> {
    /// Its series, by quantity.
    pub by_quantity: BTreeMap<Quantity, Vec<MeterSeries<'a>>>,
    /// Hardware model, where the labels tell.
    pub model: Option<String>,
    /// Index by which the scheduler knows it, where the labels tell.
    pub index: Option<String>,
    /// Jobs that the exporter says held it (`hpc_job`).
    pub jobs: BTreeSet<String>,
    /// Instances that it is cut into (MIG), by their id.
    pub instances: BTreeMap<String, Instance<'a>>,
}

/// A part of a GPU with memory and processors of its own (MIG).
#[derive(Clone, Default)]
pub struct Instance<'a> {
    /// Compute slices: 3 of the profile `3g.20gb`.
    pub slices: f64,
    /// Jobs that the exporter says held it.
    pub jobs: BTreeSet<String>,
    /// How busy it was.
    pub activity: Vec<MeterSeries<'a>>,
}

/// What one job had of a GPU that is cut into instances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuPart {
    /// Its compute slices ÷ those of all instances.
    pub share: f64,
    /// Its instances: positions among the GPU's.
    pub instances: Vec<usize>,
}

impl<'a> DeviceSeries<'a> {
    /// Which part of it the job with one of these ids had; `None` if it is whole, or the job had no instance of it.
    pub fn part_of(&self, ids: &[&str]) -> Option<GpuPart> {
        let all: f64 = self.instances.values().map(|instance| instance.slices).sum();
        let mut part = GpuPart::default();
        let mut slices = 0.0;
        for (position, instance) in self.instances.values().enumerate() {
            if ids.iter().any(|id| instance.jobs.contains(*id)) {
                slices += instance.slices;
                part.instances.push(position);
            }
        }
        part.share = slices / all;
        (slices > 0.0).then_some(part)
    }

    /// The series of one quantity.
    pub fn of(&self, quantity: Quantity) -> &[MeterSeries<'a>] {
        self.by_quantity.get(&quantity).map_or(&[], Vec::as_slice)
    }
}

/// What is known of one job's use of a node before anything is decoded.
#[derive(Clone, Default)]
pub struct JobSeries<'a> {
    /// CPU seconds, whole.
    pub cpu_time: Vec<MeterSeries<'a>>,
    /// CPU seconds in pieces that add up.
    pub cpu_time_parts: Vec<MeterSeries<'a>>,
    /// Memory in use.
    pub memory: Vec<MeterSeries<'a>>,
}

/// What a series about a job calls a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GpuName {
    /// UUID, as devices have it; empty if not told.
    pub uuid: String,
    /// Index on the node; empty if not told.
    pub index: String,
    /// Id of the instance (MIG), as dcgm-exporter's `GPU_I_ID`; empty for the whole GPU.
    pub instance: String,
}

impl GpuName {
    /// From the labels of any exporter that tells of jobs and GPUs.
    fn of(labels: &Labels) -> Self {
        let first = |names: &[&str]| {
            names
                .iter()
                .filter_map(|name| labels.get(name))
                .find(|value| !value.is_empty())
                .unwrap_or_default()
        };
        let uuid = gpu_id(first(&["gpuuuid", "uuid", "UUID"]));
        let index = first(&["minor_number", "index", "gpu"]).to_owned();
        // CEEMS calls the job `uuid`; only what has a GPU's own label is a GPU's.
        let uuid = if labels.get("gpuuuid").is_none() && labels.metric().starts_with("ceems_") {
            String::new()
        } else {
            uuid
        };
        let instance = labels.get("gpuiid").unwrap_or_default().to_owned();
        // slurm-job-exporter puts either into `gpu`.
        if index.contains('-') {
            Self { uuid: gpu_id(&index), index: String::new(), instance }
        } else {
            Self { uuid, index, instance }
        }
    }

    /// True if this is the GPU with this id (UUID or index) and index.
    pub fn is(&self, id: &str, index: Option<&str>) -> bool {
        (!self.uuid.is_empty() && self.uuid == id)
            || (!self.index.is_empty() && (self.index == id || Some(self.index.as_str()) == index))
    }
}

/// The machine, as its exporters describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// `node_cpu_info{model_name}`.
    pub cpu_model: Option<String>,
    /// Distinct packages of `node_cpu_info`.
    pub sockets: Option<u32>,
    /// Logical CPUs that the kernel sees.
    pub logical_cpus: Option<u32>,
    /// Logical CPUs ÷ distinct cores.
    pub threads_per_core: Option<u32>,
    /// Vendor and product of `node_dmi_info`.
    pub product: Option<String>,
    /// Kernel release of `node_uname_info`.
    pub kernel: Option<String>,
    /// True if the description gives away a virtual machine.
    pub is_virtual: bool,
}

/// Everything that is known about a node before decoding.
#[derive(Clone, Default)]
pub struct NodeSeries<'a> {
    /// Devices with meters of their own.
    pub devices: BTreeMap<DeviceKey, DeviceSeries<'a>>,
    /// Whole-node power meters by feed: `""` for the node's own, else the outlets that feed it, which add up.
    pub node_power: BTreeMap<String, Vec<MeterSeries<'a>>>,
    /// Whole-node energy counters.
    pub node_energy: Vec<MeterSeries<'a>>,
    /// Sums of whole-node power meters.
    pub node_power_sums: Vec<MeterSeries<'a>>,
    /// CPU seconds by mode.
    pub cpu_time: Vec<MeterSeries<'a>>,
    /// Sums of CPU seconds.
    pub cpu_time_sums: Vec<MeterSeries<'a>>,
    /// Installed memory.
    pub memory: Vec<MeterSeries<'a>>,
    /// Sums of installed memory.
    pub memory_sums: Vec<MeterSeries<'a>>,
    /// Memory that is free to use.
    pub memory_available: Vec<MeterSeries<'a>>,
    /// What each job uses, by its id.
    pub jobs: BTreeMap<String, JobSeries<'a>>,
    /// Series whose value is the number of the job that holds a GPU, with the GPU's UUID and index.
    pub gpu_job_numbers: Vec<(GpuName, &'a dyn Series)>,
    /// GPUs and the jobs that held them, by labels.
    pub gpu_jobs: BTreeSet<(GpuName, String)>,
    /// `up` of its targets.
    pub up: Vec<&'a dyn Series>,
    /// `node_boot_time_seconds`.
    pub boot_time: Vec<&'a dyn Series>,
    /// The machine.
    pub machine: Machine,
    /// Exporters recognised on it.
    pub exporters: BTreeSet<String>,
}

/// What becomes of one selected series.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// A meter; how it was used is known after reading.
    Meter,
    /// Contained in another meter.
    Part(String),
    /// Tells something about the node or target.
    Fact,
    /// Not used, and why.
    Ignored(String),
}

impl<'a> NodeSeries<'a> {
    /// True if its utilisation can be worked out.
    pub fn has_cpu_time(&self) -> bool {
        !self.cpu_time.is_empty() || !self.cpu_time_sums.is_empty()
    }

    /// Its GPUs, in the order in which claims count them.
    pub fn gpus(&self) -> impl Iterator<Item = (&DeviceKey, &DeviceSeries<'a>)> {
        self.devices.iter().filter(|(key, _)| key.component == Component::Gpu)
    }

    /// True if it says how much memory it has.
    pub fn has_memory(&self) -> bool {
        !self.memory.is_empty() || !self.memory_sums.is_empty()
    }
}

fn ignored(why: &str) -> Use {
    Use::Ignored(why.to_owned())
}

/// One selected series, as `meters.csv` lists it.
#[derive(Clone, Debug)]
pub struct SeriesRow {
    /// Its labels.
    pub labels: Labels,
    /// Its node; empty if none could be found.
    pub node: String,
    /// Its kind, for meters.
    pub meter: Option<(Component, String, Quantity)>,
    /// Who exposes it.
    pub exporter: String,
    /// What becomes of it.
    pub used: Use,
}

/// All nodes, and a row for every series.
#[derive(Default)]
pub struct Inventory<'a> {
    /// By node name.
    pub nodes: BTreeMap<String, NodeSeries<'a>>,
    /// In the order of the selected series.
    pub rows: Vec<SeriesRow>,
}

/// Sorts `series` by node and device. `names` must know the `node_uname_info` series.
pub fn take_inventory<'a>(
    series: &'a [Box<dyn Series + 'a>],
    catalog: &'a Catalog,
    names: &NodeNames,
) -> Inventory<'a> {
    let mut inventory = Inventory::default();
    let mut cpus: BTreeMap<String, CpuInfo> = BTreeMap::new();
    let mut gpu_info: BTreeMap<(String, String), GpuInfo> = BTreeMap::new();
    for (row, series) in series.iter().enumerate() {
        let series: &'a dyn Series = series.as_ref();
        let labels = series.labels();
        let Some(entry) = catalog.find(labels) else {
            continue;
        };
        let named_by = match entry {
            Entry::Meter(kind) => kind.node.as_deref(),
            Entry::Fact(_) | Entry::NoRow => None,
        };
        let node = names.node_of(labels, named_by).unwrap_or_default();
        let mut listed = SeriesRow {
            labels: labels.clone(),
            node: node.clone(),
            meter: None,
            exporter: String::new(),
            used: Use::Fact,
        };
        match entry {
            Entry::Fact(role) => {
                if !node.is_empty() && role != Role::Up {
                    add_fact(&mut inventory, &node, role, series, &mut cpus, &mut gpu_info);
                } else if role == Role::Up && !node.is_empty() {
                    // Kept aside: a target is a node's only if the node has meters or facts of its own.
                    inventory.nodes.entry(node).or_default().up.push(series);
                }
            }
            Entry::NoRow => listed.used = ignored("no row of the catalog applies to its labels"),
            Entry::Meter(kind) => {
                listed.exporter.clone_from(&kind.exporter);
                listed.used =
                    add_meter(&mut inventory, &node, MeterSeries { series, kind, row }, &mut listed.meter);
            }
        }
        inventory.rows.push(listed);
    }
    // A target such as Prometheus itself answers on some machine, but is no node of the cluster.
    inventory.nodes.retain(|_, node| !node.exporters.is_empty());
    for (name, node) in &mut inventory.nodes {
        let mut settled = settle_fallbacks(node);
        describe(node, cpus.get(name));
        settled.extend(settle_modules(node));
        for (row, whole) in settled {
            if let Some(listed) = inventory.rows.get_mut(row) {
                listed.used = Use::Part(whole);
            }
        }
        for (key, device) in &mut node.devices {
            if let Some(info) = gpu_info.get(&(name.clone(), key.id.clone())) {
                device.model = device.model.take().or_else(|| info.model.clone());
                device.index = device.index.take().or_else(|| info.index.clone());
            }
            // Who had which instance, where a series about jobs says so.
            for (gpu, job) in node.gpu_jobs.iter().filter(|(gpu, _)| gpu.is(&key.id, device.index.as_deref()))
            {
                if let Some(instance) = device.instances.get_mut(&gpu.instance) {
                    instance.jobs.insert(job.clone());
                }
            }
        }
    }
    inventory
}

#[derive(Default)]
struct CpuInfo {
    model: Option<String>,
    packages: BTreeSet<String>,
    cores: BTreeSet<(String, String)>,
    cpus: BTreeSet<String>,
}

/// What `nvidia_smi_gpu_info` tells of a GPU.
struct GpuInfo {
    model: Option<String>,
    index: Option<String>,
}

fn add_fact<'a>(
    inventory: &mut Inventory<'a>,
    node: &str,
    role: Role,
    series: &'a dyn Series,
    cpus: &mut BTreeMap<String, CpuInfo>,
    gpu_info: &mut BTreeMap<(String, String), GpuInfo>,
) {
    let labels = series.labels();
    let owned = |label: &str| labels.get(label).map(str::to_owned);
    let here = inventory.nodes.entry(node.to_owned()).or_default();
    if !matches!(role, Role::GpuInfo | Role::GpuJob | Role::GpuJobNumber) {
        here.exporters.insert("node_exporter".to_owned());
    }
    match role {
        Role::Up => {}
        Role::BootTime => here.boot_time.push(series),
        Role::NodeName => here.machine.kernel = owned("release"),
        Role::MachineInfo => {
            let vendor = labels.get("system_vendor").unwrap_or_default();
            let product = labels.get("product_name").unwrap_or_default();
            let described = format!("{vendor} {product}").trim().to_owned();
            here.machine.is_virtual =
                is_virtual(&format!("{described} {}", labels.get("bios_vendor").unwrap_or_default()));
            here.machine.product = (!described.is_empty()).then_some(described);
        }
        Role::CpuInfo => {
            let info = cpus.entry(node.to_owned()).or_default();
            info.model = info.model.take().or_else(|| owned("model_name"));
            let package = labels.get("package").unwrap_or_default().to_owned();
            info.cores.insert((package.clone(), labels.get("core").unwrap_or_default().to_owned()));
            info.packages.insert(package);
            info.cpus.insert(labels.get("cpu").unwrap_or_default().to_owned());
        }
        Role::GpuJob => {
            let job = ["slurmjobid", "jobid", "uuid"].iter().find_map(|label| labels.get(label));
            if let Some(job) = job {
                here.gpu_jobs.insert((GpuName::of(labels), job.to_owned()));
            }
        }
        Role::GpuJobNumber => here.gpu_job_numbers.push((GpuName::of(labels), series)),
        Role::GpuInfo => {
            if let Some(uuid) = labels.get("uuid") {
                let info = GpuInfo { model: owned("name"), index: owned("index") };
                gpu_info.insert((node.to_owned(), gpu_id(uuid)), info);
            }
        }
    }
}

/// True if a description names a hypervisor: whole words only, since `Xenon` builds real machines.
fn is_virtual(description: &str) -> bool {
    let lower = description.to_lowercase();
    let words: Vec<&str> = lower.split(|letter: char| !letter.is_alphanumeric()).collect();
    let spaced = format!(" {} ", words.join(" "));
    VIRTUAL.iter().any(|name| spaced.contains(&format!(" {name} ")))
}

fn add_meter<'a>(
    inventory: &mut Inventory<'a>,
    node: &str,
    meter: MeterSeries<'a>,
    listed: &mut Option<(Component, String, Quantity)>,
) -> Use {
    let kind = meter.kind;
    let labels = meter.series.labels();
    let device_id = kind.device_id(labels);
    *listed = Some((kind.component, device_id.clone().unwrap_or_default(), kind.quantity));
    if node.is_empty() {
        return ignored("names no node");
    }
    let here = inventory.nodes.entry(node.to_owned()).or_default();
    here.exporters.insert(kind.exporter.clone());
    match kind.quantity {
        Quantity::Part => return Use::Part(kind.contained_in.clone().unwrap_or_default()),
        Quantity::Unusable => return Use::Ignored(kind.why.clone().unwrap_or_default()),
        _ => {}
    }
    if !kind.counts(labels) {
        return Use::Part(kind.metric.clone());
    }
    match (kind.component, kind.quantity) {
        (_, Quantity::JobCpuTime | Quantity::JobCpuTimePart | Quantity::JobMemory) => {
            let Some(job) = device_id else {
                return ignored("of no job");
            };
            // systemd writes the dashes of a pod's UID as underscores.
            let job = here.jobs.entry(job.replace('_', "-")).or_default();
            match kind.quantity {
                Quantity::JobCpuTime => job.cpu_time.push(meter),
                Quantity::JobCpuTimePart => job.cpu_time_parts.push(meter),
                _ => job.memory.push(meter),
            }
        }
        (_, Quantity::MemoryAvailable) => here.memory_available.push(meter),
        (_, Quantity::CpuTime) => here.cpu_time.push(meter),
        (_, Quantity::CpuTimeSum) => here.cpu_time_sums.push(meter),
        (_, Quantity::Memory) => here.memory.push(meter),
        (_, Quantity::MemorySum) => here.memory_sums.push(meter),
        (Component::Node, Quantity::PowerSum) => here.node_power_sums.push(meter),
        (Component::Node, Quantity::Power) => {
            here.node_power.entry(device_id.unwrap_or_default()).or_default().push(meter);
        }
        (Component::Node, Quantity::Energy) => here.node_energy.push(meter),
        (Component::Node | Component::Other, _) => return ignored("no rule for this quantity"),
        _ => {
            let Some(id) = device_id else {
                return ignored("names no device");
            };
            let device = here.devices.entry(DeviceKey { component: kind.component, id }).or_default();
            let label =
                |name: &Option<String>| name.as_deref().and_then(|name| labels.get(name)).map(str::to_owned);
            device.model = device.model.take().or_else(|| label(&kind.model));
            if kind.component == Component::Gpu {
                let index = ["gpu", "minor_number", "gpu_id"].iter().find_map(|label| labels.get(label));
                device.index = device.index.take().or_else(|| index.map(str::to_owned));
            }
            device.jobs.extend(label(&kind.binding));
            let profile = labels.get("GPU_I_PROFILE").and_then(slices);
            if let (Some(instance), Some(slices)) = (labels.get("GPU_I_ID"), profile) {
                let instance = device.instances.entry(instance.to_owned()).or_default();
                instance.slices = slices;
                instance.jobs.extend(label(&kind.binding));
            }
            if kind.quantity == Quantity::InstanceActivity {
                let instance = labels.get("GPU_I_ID").and_then(|id| device.instances.get_mut(id));
                let Some(instance) = instance else {
                    return ignored("of no instance");
                };
                instance.activity.push(meter);
                return Use::Meter;
            }
            device.by_quantity.entry(kind.quantity).or_default().push(meter);
        }
    }
    Use::Meter
}

/// Compute slices of a MIG profile: `3g.20gb`, `1g.10gb+me`.
fn slices(profile: &str) -> Option<f64> {
    let (slices, _) = profile.split_once("g.")?;
    slices.parse::<u8>().ok().filter(|slices| *slices > 0).map(f64::from)
}

/// Fills in what several series together tell, and gives a node without
/// counters the devices that a model can be applied to.
fn describe(node: &mut NodeSeries<'_>, info: Option<&CpuInfo>) {
    // An exporter that adds the CPUs up (CEEMS) counts only where none tells them apart.
    if node.cpu_time.iter().any(|meter| meter.series.labels().get("cpu").is_some()) {
        node.cpu_time.retain(|meter| meter.series.labels().get("cpu").is_some());
    }
    let cpus_with_time: BTreeSet<&str> =
        node.cpu_time.iter().filter_map(|meter| meter.series.labels().get("cpu")).collect();
    let count = |len: usize| u32::try_from(len).ok().filter(|count| *count > 0);
    node.machine.logical_cpus = count(cpus_with_time.len());
    if let Some(info) = info {
        node.machine.cpu_model.clone_from(&info.model);
        node.machine.sockets = count(info.packages.len());
        node.machine.logical_cpus = node.machine.logical_cpus.or(count(info.cpus.len()));
        node.machine.threads_per_core = count(info.cpus.len() / info.cores.len().max(1));
    }
    let has = |node: &NodeSeries<'_>, component| node.devices.keys().any(|key| key.component == component);
    if node.has_cpu_time() && !has(node, Component::Cpu) {
        let packages: Vec<String> = match info {
            Some(info) if !info.packages.is_empty() => info.packages.iter().cloned().collect(),
            _ => vec!["0".to_owned()],
        };
        for id in packages {
            node.devices.entry(DeviceKey { component: Component::Cpu, id }).or_default();
        }
    }
    if node.has_memory() && !has(node, Component::Dram) {
        node.devices.entry(DeviceKey { component: Component::Dram, id: "all".to_owned() }).or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::{is_virtual, slices};

    #[test]
    fn slices_of_profiles() {
        assert_eq!(slices("3g.20gb"), Some(3.0));
        assert_eq!(slices("1g.10gb+me"), Some(1.0));
        for wrong in ["", "g", "0g.5gb", "MIG 1g", "20gb"] {
            assert_eq!(slices(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hypervisors_are_whole_words() {
        for machine in ["QEMU Standard PC (Q35 + ICH9, 2009)", "VMware, Inc. VMware7,1", "Xen HVM domU"] {
            assert!(is_virtual(machine), "{machine}");
        }
        for machine in ["XENON Systems Pty Ltd", "Supermicro SYS-4029GP"] {
            assert!(!is_virtual(machine), "{machine}");
        }
    }
}
