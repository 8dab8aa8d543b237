//! The meter catalog: a table, carried in `data/meters.toml`, that says which
//! metric of which exporter measures what, in which unit.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use regex::Regex;
use serde::Deserialize;

use super::names::reason_of;
use crate::source::remote::SUM_PREFIX;
use crate::tsdb::Labels;

/// The shipped table.
const SHIPPED: &str = include_str!("../../data/meters.toml");

/// What kind of hardware a meter or a ledger line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// Processor packages.
    Cpu,
    /// Memory.
    Dram,
    /// Accelerators.
    Gpu,
    /// What a whole-node meter sees beyond the parts: fans, disks, boards, losses of the power supply.
    Other,
    /// A whole node: never a ledger line of its own, it closes the balance B3.
    Node,
}

impl Component {
    /// The word used in every table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Dram => "dram",
            Self::Gpu => "gpu",
            Self::Other => "other",
            Self::Node => "node",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Cpu, Self::Dram, Self::Gpu, Self::Other, Self::Node];
        all.into_iter().find(|component| component.as_str() == name)
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a series measures of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Cumulative energy.
    Energy,
    /// Power.
    Power,
    /// Share of full load, 0 to 1.
    Utilisation,
    /// Seconds per mode and logical CPU.
    CpuTime,
    /// Installed memory, in bytes.
    Memory,
    /// Configured power cap, in watts.
    PowerLimit,
    /// Contained in another meter; listed, never added.
    Part,
    /// Looks like a meter but cannot be used as one; listed with the reason.
    Unusable,
    /// CPU seconds of one job on the node, from its start on; the device id is the job's.
    JobCpuTime,
    /// The same in pieces that add up: user and system, or each core.
    JobCpuTimePart,
    /// Memory that one job uses on the node, in bytes; the device id is the job's.
    JobMemory,
    /// Memory of the node that can be had without swapping, in bytes.
    MemoryAvailable,
    /// Share of the time for which an instance of a GPU was busy, 0 to 1.
    InstanceActivity,
    /// What a server says that an energy counter rose by, step by step.
    EnergySum,
    /// Mean of a power gauge over a step × the seconds of the step in which it was there.
    PowerSum,
    /// The same of a utilisation.
    UtilisationSum,
    /// The same of installed memory.
    MemorySum,
    /// Seconds of CPU time in a step, over all logical CPUs: the busy ones, and all.
    CpuTimeSum,
}

impl Quantity {
    /// The word used in `meters.csv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Power => "power",
            Self::Utilisation => "utilisation",
            Self::CpuTime => "cpu-time",
            Self::Memory => "memory",
            Self::PowerLimit => "power-limit",
            Self::Part => "part",
            Self::Unusable => "unusable",
            Self::JobCpuTime => "job-cpu-time",
            Self::JobCpuTimePart => "job-cpu-time-part",
            Self::JobMemory => "job-memory",
            Self::MemoryAvailable => "memory-available",
            Self::InstanceActivity => "instance-activity",
            Self::EnergySum => "energy-sum",
            Self::PowerSum => "power-sum",
            Self::UtilisationSum => "utilisation-sum",
            Self::MemorySum => "memory-sum",
            Self::CpuTimeSum => "cpu-time-sum",
        }
    }
}

impl Quantity {
    /// What the sums of this quantity are called; `None` for what is not added up.
    fn summed(self) -> Option<Self> {
        match self {
            Self::Energy => Some(Self::EnergySum),
            Self::Power => Some(Self::PowerSum),
            Self::Utilisation => Some(Self::UtilisationSum),
            Self::CpuTime => Some(Self::CpuTimeSum),
            Self::Memory => Some(Self::MemorySum),
            _ => None,
        }
    }
}

/// What a series that is no meter tells about its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Whether Prometheus could scrape the target.
    Up,
    /// When the node booted, in seconds since the epoch.
    BootTime,
    /// The node's own host name.
    NodeName,
    /// Model, package and core of each logical CPU.
    CpuInfo,
    /// Vendor and product of the machine.
    MachineInfo,
    /// Model and index of each GPU.
    GpuInfo,
    /// A GPU and the job that holds it, both in labels.
    GpuJob,
    /// A GPU in a label and the job that holds it as the value; 0 for none.
    GpuJobNumber,
}

/// Where in the labels a device id stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceRule {
    label: String,
    #[serde(default, with = "optional_regex")]
    pattern: Option<Regex>,
}

/// A regular expression that has to fit the whole of a text.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Whole(Regex);

impl TryFrom<String> for Whole {
    type Error = String;

    fn try_from(pattern: String) -> Result<Self, String> {
        let wrong = |error| format!("`{pattern}` is not a regular expression: {}", reason_of(&error));
        Regex::new(&format!("^(?:{pattern})$")).map(Self).map_err(wrong)
    }
}

/// One row of the catalog.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeterKind {
    /// Name of the series; in a site's own rows also a regular expression for the whole name.
    pub metric: String,
    /// Who exposes it.
    pub exporter: String,
    /// What it is about.
    pub component: Component,
    /// What it measures.
    pub quantity: Quantity,
    /// Factor from the metric's unit to J, W, ratio, s or bytes.
    pub scale: f64,
    #[serde(default)]
    device: Vec<DeviceRule>,
    /// Labels whose values together are the device id, where one alone is not.
    #[serde(default)]
    device_join: Vec<String>,
    /// Label that names the node, where it is none of the usual ones.
    #[serde(default)]
    pub node: Option<String>,
    /// The most that a true reading can be, in watts, where the usual limits of the component do not fit.
    #[serde(default)]
    pub max_w: Option<f64>,
    /// True if it names devices in its own way: it counts only where no other exporter measures the component on the node.
    #[serde(default)]
    pub fallback: bool,
    /// True if it counts only what the device uses at rest, false if only what it uses on top.
    #[serde(default)]
    pub at_rest: Option<bool>,
    /// Hardware models on which this counts a whole module: GPU and processor.
    #[serde(default)]
    module: Option<Whole>,
    /// Ranges at which the counter is known to wrap, in joules, ascending.
    #[serde(default)]
    pub wrap_j: Vec<f64>,
    /// True if the counter starts again with its driver or process, without a reboot.
    #[serde(default)]
    pub resets: bool,
    /// Raw values that mean "no value".
    #[serde(default)]
    pub blank: Vec<f64>,
    /// For [`Quantity::Part`]: the whole that holds it.
    #[serde(default)]
    pub contained_in: Option<String>,
    /// For [`Quantity::Unusable`]: why.
    #[serde(default)]
    pub why: Option<String>,
    /// Labels and what they have to be for the row to apply.
    #[serde(default, rename = "where")]
    condition: BTreeMap<String, Whole>,
    /// Label that names the hardware.
    #[serde(default)]
    pub model: Option<String>,
    /// Label that names the job that holds the device.
    #[serde(default)]
    pub binding: Option<String>,
    /// Labels that must have these values: series with others are parts or sums of those that count.
    #[serde(default)]
    only: BTreeMap<String, String>,
}

impl MeterKind {
    /// True if the row applies to a series of its metric with these labels.
    fn applies(&self, labels: &Labels) -> bool {
        self.condition
            .iter()
            .all(|(label, pattern)| pattern.0.is_match(labels.get(label).unwrap_or_default()))
    }

    /// True if on hardware of this model it counts GPU and processor together (rule N4).
    pub fn counts_module(&self, model: &str) -> bool {
        self.module.as_ref().is_some_and(|module| module.0.is_match(model))
    }

    /// True unless the labels tell that the series is a part or a sum of others of its metric.
    pub fn counts(&self, labels: &Labels) -> bool {
        self.only.iter().all(|(label, value)| labels.get(label).unwrap_or_default() == value)
    }

    /// The device id that `labels` name: empty where the kind has one device a
    /// node. GPU ids come without their `GPU-` prefix and in lower case
    /// (rule N2).
    pub fn device_id(&self, labels: &Labels) -> Option<String> {
        if !self.device_join.is_empty() {
            let values = self.device_join.iter().filter_map(|label| labels.get(label));
            return Some(self.compared(&values.collect::<Vec<_>>().join("/")));
        }
        if self.device.is_empty() {
            return Some(String::new());
        }
        self.device.iter().find_map(|rule| {
            let value = labels.get(&rule.label)?;
            let id = match &rule.pattern {
                Some(pattern) => pattern.captures(value)?.get(1)?.as_str(),
                None => value,
            };
            Some(self.compared(id))
        })
    }

    /// An id as it is compared.
    fn compared(&self, id: &str) -> String {
        if self.component == Component::Gpu { gpu_id(id) } else { id.to_owned() }
    }

    /// True if `raw` is one of the values by which this exporter says "no value".
    pub fn is_blank(&self, raw: f64) -> bool {
        self.blank.iter().any(|blank| ((raw - blank) / blank).abs() < 1e-12)
    }
}

/// A GPU id as it is compared: without the `GPU-` prefix, in lower case.
pub fn gpu_id(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    lower.strip_prefix("gpu-").map_or(lower.clone(), str::to_owned)
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fact {
    metric: String,
    role: Role,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    meter: Vec<MeterKind>,
    fact: Vec<Fact>,
}

/// What a series stands for.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// A meter.
    Meter(&'a MeterKind),
    /// Something told about the node.
    Fact(Role),
    /// Its metric is known, but no row of it applies to its labels.
    NoRow,
}

/// A row that cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("meter `{metric}`: {reason}")]
pub struct RowError {
    /// The row's metric.
    pub metric: String,
    /// What is wrong.
    pub reason: String,
}

/// The table, by metric name. Of the rows of a metric the first that applies counts.
#[derive(Clone, Debug)]
pub struct Catalog {
    meters: BTreeMap<String, Vec<MeterKind>>,
    /// For each meter that can be added up: its sums, made by a server.
    sums: BTreeMap<String, Vec<MeterKind>>,
    facts: BTreeMap<String, Role>,
    /// A site's rows for all metrics whose names fit, in the order in which they stand.
    patterns: Vec<(Whole, MeterKind)>,
}

/// True if `metric` is no name of a metric, so that it is an expression for several.
fn is_pattern(metric: &str) -> bool {
    metric.contains(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '_' | ':'))
}

impl Catalog {
    /// The table that ships with the program.
    ///
    /// # Errors
    ///
    /// Only if the shipped table itself is broken, which a test rules out.
    pub fn shipped() -> Result<Arc<Self>, toml::de::Error> {
        static CATALOG: OnceLock<Arc<Catalog>> = OnceLock::new();
        if let Some(catalog) = CATALOG.get() {
            return Ok(Arc::clone(catalog));
        }
        let catalog = Arc::new(Self::parse(SHIPPED)?);
        Ok(Arc::clone(CATALOG.get_or_init(|| catalog)))
    }

    /// Reads a table of the form of `data/meters.toml`.
    ///
    /// # Errors
    ///
    /// Where the text is not TOML of that form.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let table: Table = toml::from_str(text)?;
        let facts = table.fact.into_iter().map(|fact| (fact.metric, fact.role)).collect();
        Ok(Self::new(table.meter, facts))
    }

    fn new(rows: Vec<MeterKind>, facts: BTreeMap<String, Role>) -> Self {
        let mut catalog =
            Self { meters: BTreeMap::new(), sums: BTreeMap::new(), facts, patterns: Vec::new() };
        for kind in rows {
            if let Some(quantity) = kind.quantity.summed() {
                let metric = format!("{SUM_PREFIX}{}", kind.metric);
                let sum = MeterKind {
                    metric: metric.clone(),
                    quantity,
                    wrap_j: Vec::new(),
                    blank: Vec::new(),
                    ..kind.clone()
                };
                catalog.sums.entry(metric).or_default().push(sum);
            }
            catalog.meters.entry(kind.metric.clone()).or_default().push(kind);
        }
        catalog
    }

    /// With a site's own rows, which come before those of this table.
    ///
    /// # Errors
    ///
    /// For a row that cannot be used as it stands.
    pub fn with(&self, rows: &[MeterKind]) -> Result<Self, RowError> {
        for row in rows {
            let wrong = |reason: &str| RowError { metric: row.metric.clone(), reason: reason.to_owned() };
            if row.metric.is_empty() {
                return Err(wrong("`metric` is empty"));
            }
            if self.facts.contains_key(&row.metric) {
                return Err(wrong("tells about the node and is no meter"));
            }
            if !(row.scale.is_finite() && row.scale > 0.0) {
                return Err(wrong("`scale` has to be a positive number"));
            }
            if row.max_w.is_some_and(|most| !(most.is_finite() && most > 0.0)) {
                return Err(wrong("`max_w` has to be a positive number"));
            }
            let ascending = row.wrap_j.windows(2).all(|pair| matches!(pair, [low, high] if low < high));
            if !ascending || row.wrap_j.iter().any(|range| !(range.is_finite() && *range > 0.0)) {
                return Err(wrong("`wrap_j` has to be positive numbers in ascending order"));
            }
            if row.component == Component::Other {
                return Err(wrong("`other` is what a node meter sees beyond the parts: no meter of its own"));
            }
        }
        let (patterns, named): (Vec<&MeterKind>, Vec<&MeterKind>) =
            rows.iter().partition(|row| is_pattern(&row.metric));
        let shipped = self.meters.values().flatten();
        let mut catalog = Self::new(named.into_iter().chain(shipped).cloned().collect(), self.facts.clone());
        for row in patterns {
            let wrong = |reason| RowError { metric: row.metric.clone(), reason };
            catalog.patterns.push((Whole::try_from(row.metric.clone()).map_err(wrong)?, row.clone()));
        }
        Ok(catalog)
    }

    /// What the series with these labels stands for, if its metric is in the table.
    pub fn find(&self, labels: &Labels) -> Option<Entry<'_>> {
        let metric = labels.metric();
        if let Some(role) = self.facts.get(metric) {
            return Some(Entry::Fact(*role));
        }
        let Some(rows) = self.meters.get(metric).or_else(|| self.sums.get(metric)) else {
            let mut fitting =
                self.patterns.iter().filter(|(pattern, _)| pattern.0.is_match(metric)).peekable();
            fitting.peek()?;
            let row = fitting.find(|(_, kind)| kind.applies(labels));
            return Some(row.map_or(Entry::NoRow, |(_, kind)| Entry::Meter(kind)));
        };
        Some(rows.iter().find(|kind| kind.applies(labels)).map_or(Entry::NoRow, Entry::Meter))
    }

    /// Of all `names` of metrics those that only a pattern of the site's own rows fits.
    pub fn fitting<'n>(&self, names: &'n [String]) -> impl Iterator<Item = &'n str> {
        names.iter().map(String::as_str).filter(|name| {
            !self.meters.contains_key(*name)
                && !self.sums.contains_key(*name)
                && !self.facts.contains_key(*name)
                && self.patterns.iter().any(|(pattern, _)| pattern.0.is_match(name))
        })
    }

    /// True if there are rows with patterns, so that names have to be asked for.
    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// The patterns of the site's own rows, each a regular expression for the whole name.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|(_, kind)| kind.metric.as_str())
    }

    /// The rows of a metric, first that counts first.
    pub fn rows(&self, metric: &str) -> &[MeterKind] {
        self.meters.get(metric).map_or(&[], Vec::as_slice)
    }

    /// All rows, by metric name.
    pub fn meters(&self) -> impl Iterator<Item = &MeterKind> {
        self.meters.values().flatten()
    }

    /// Everything that is told about nodes, by metric name.
    pub fn facts(&self) -> impl Iterator<Item = (&str, Role)> {
        self.facts.iter().map(|(metric, role)| (metric.as_str(), *role))
    }

    /// All metric names of the table, in order: what exporters expose.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.meters.keys().chain(self.facts.keys()).map(String::as_str)
    }

    /// All metric names that mean something, the sums that servers made included.
    pub fn readable(&self) -> impl Iterator<Item = &str> {
        self.metrics().chain(self.sums.keys().map(String::as_str))
    }
}

mod optional_regex {
    use regex::Regex;
    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Regex>, D::Error> {
        Option::<String>::deserialize(from)?
            .map(|pattern| Regex::new(&pattern).map_err(D::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(metric: &str) -> MeterKind {
        Catalog::shipped().unwrap().rows(metric)[0].clone()
    }

    fn named(metric: &str, labels: &[(&str, &str)]) -> Labels {
        Labels::new(labels.iter().copied().chain([("__name__", metric)]))
    }

    #[test]
    fn every_metric_of_the_accounting_rules_is_there() {
        let catalog = Catalog::shipped().unwrap();
        assert!(matches!(catalog.find(&named("up", &[])), Some(Entry::Fact(Role::Up))));
        assert!(catalog.find(&named("go_goroutines", &[])).is_none());
        assert_eq!(kind("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION").scale, 1e-3);
    }

    #[test]
    fn rapl_zones_of_one_socket_share_a_device_id() {
        let package = kind("node_rapl_package_joules_total");
        let id = |path: &str| package.device_id(&Labels::new([("index", "7"), ("path", path)]));
        assert_eq!(id("/sys/class/powercap/intel-rapl:1").as_deref(), Some("1"));
        assert_eq!(id("/host/sys/class/powercap/intel-rapl-mmio:1").as_deref(), Some("1"));
        assert_eq!(package.device_id(&Labels::new([("index", "7")])).as_deref(), Some("7"));
        let dram = kind("node_rapl_dram_joules_total");
        let path = "/sys/class/powercap/intel-rapl:1:0";
        assert_eq!(dram.device_id(&Labels::new([("index", "1"), ("path", path)])).as_deref(), Some("1"));
    }

    #[test]
    fn gpu_ids_compare_without_prefix_and_case() {
        let power = kind("DCGM_FI_DEV_POWER_USAGE");
        let id = power.device_id(&Labels::new([("UUID", "GPU-5B4E07f6"), ("gpu", "0")]));
        assert_eq!(id.as_deref(), Some("5b4e07f6"));
    }

    #[test]
    fn dcgm_blanks_are_known_after_rounding_to_double() {
        let energy = kind("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION");
        for blank in [9_223_372_036_854_775_794_i64, i64::MAX - 16] {
            assert!(energy.is_blank(blank as f64));
        }
        assert!(energy.is_blank(140_737_488_355_328.0));
        assert!(!energy.is_blank(319_159_391.0));
    }

    #[test]
    fn the_first_row_whose_labels_fit_counts() {
        let catalog = Catalog::shipped().unwrap();
        let quantity =
            |zone: &str| match catalog.find(&named("kepler_node_cpu_joules_total", &[("zone", zone)])) {
                Some(Entry::Meter(kind)) => (kind.component, kind.quantity),
                other => panic!("{zone}: {other:?}"),
            };
        assert_eq!(quantity("package"), (Component::Cpu, Quantity::Energy));
        assert_eq!(quantity("dram"), (Component::Dram, Quantity::Energy));
        assert_eq!(quantity("core"), (Component::Cpu, Quantity::Part));
        let sensor = |name: &str| catalog.find(&named("ipmi_power_watts", &[("name", name)]));
        assert!(
            matches!(sensor("Pwr Consumption"), Some(Entry::Meter(kind)) if kind.quantity == Quantity::Power)
        );
        assert!(
            matches!(sensor("PS1 Input Power"), Some(Entry::Meter(kind)) if kind.quantity == Quantity::Part)
        );
    }

    #[test]
    fn a_sites_rows_come_first_and_are_checked() {
        let row = |text: &str| toml::from_str::<MeterKind>(text).unwrap();
        let text = "metric = \"ipmi_power_watts\"\nexporter = \"ours\"\ncomponent = \"node\"\nquantity = \"power\"\n\
                    scale = 2.0\nwhere = { name = \"Odd\" }";
        let shipped = Catalog::shipped().unwrap();
        let catalog = shipped.with(&[row(text)]).unwrap();
        let exporter = |name: &str| match catalog.find(&named("ipmi_power_watts", &[("name", name)])) {
            Some(Entry::Meter(kind)) => kind.exporter.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((exporter("Odd").as_str(), exporter("Oddity").as_str()), ("ours", "ipmi_exporter"));
        for (wrong, reason) in [
            ("scale = -1.0", "scale"),
            ("scale = 1.0\nmax_w = 0.0", "max_w"),
            ("scale = 1.0\nwrap_j = [2.0, 1.0]", "wrap_j"),
        ] {
            let text = format!(
                "metric = \"x\"\nexporter = \"y\"\ncomponent = \"cpu\"\nquantity = \"energy\"\n{wrong}"
            );
            let error = shipped.with(&[row(&text)]).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
