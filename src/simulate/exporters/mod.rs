//! Which series each exporter shows, and through which target they are read.
//!
//! Names and label names are those of real exporters: node_exporter 1.5,
//! dcgm-exporter 4, nvidia_gpu_exporter 1.14, ipmi_exporter 1.10.

mod cgroup;
mod dcgm;
mod ipmi;
mod meter;
mod node;
mod nvidia_smi;

pub(super) use meter::Meter;

use super::cluster::Cluster;
use super::hardware::{GpuExporter, Node};
use super::random::{Purpose, stream};
use super::scenario::Scenario;
use super::scrape::Target;
use crate::time::{SECOND_MS, Window};
use crate::tsdb::{Labels, Samples};
use rand::RngExt;
use std::sync::Arc;

/// One series: what it is called and how its samples come about.
pub(super) struct Series {
    pub(super) labels: Labels,
    /// Index into the targets.
    target: usize,
    /// Index into the cluster's nodes.
    node: usize,
    /// When the exporter shows it: windows apart and ascending.
    visible: Arc<[Window]>,
    meter: Meter,
}

/// Everything that the Prometheus servers scrape.
pub(super) struct Scraped {
    targets: Vec<Target>,
    /// In label order.
    pub(super) series: Vec<Series>,
}

/// A pair of label name and value; shared between series.
type Pair = (Arc<str>, Arc<str>);

fn pair(name: &str, value: impl AsRef<str>) -> Pair {
    (name.into(), value.as_ref().into())
}

/// One exporter on one node, as one Prometheus sees it.
struct Exporter<'a> {
    cluster: &'a Cluster,
    scenario: &'a Scenario,
    nth: usize,
    node: &'a Node,
    target: usize,
    /// `job`, `instance` and the replica, if there are two.
    common: Vec<Pair>,
}

impl Exporter<'_> {
    fn series(&self, metric: &str, own: &[Pair], meter: Meter) -> Series {
        self.visible_series(metric, own, meter, [self.cluster.window].into())
    }

    fn visible_series(&self, metric: &str, own: &[Pair], meter: Meter, visible: Arc<[Window]>) -> Series {
        let name = std::iter::once(pair("__name__", metric));
        let labels = Labels::new(name.chain(self.common.iter().cloned()).chain(own.iter().cloned()));
        Series { labels, target: self.target, node: self.nth, visible, meter }
    }
}

impl Scraped {
    /// Every target and series of a cluster.
    pub(super) fn of(cluster: &Cluster, scenario: &Scenario) -> Self {
        let mut all = Self { targets: Vec::new(), series: Vec::new() };
        for (nth, node) in cluster.nodes.iter().enumerate() {
            all.exporter(cluster, scenario, nth, "node", &format!("{}:9100", node.name), node::series);
            if !node.gpus.is_empty() {
                let name = &node.name;
                match node.gpu_exporter {
                    GpuExporter::Dcgm => {
                        all.exporter(cluster, scenario, nth, "dcgm", &format!("{name}:9400"), dcgm::series);
                    }
                    GpuExporter::NvidiaSmi => {
                        let instance = format!("{name}:9835");
                        all.exporter(cluster, scenario, nth, "nvidia_smi", &instance, nvidia_smi::series);
                    }
                }
            }
            if scenario.job_series && node.scheduled {
                all.exporter(
                    cluster,
                    scenario,
                    nth,
                    "cgroup",
                    &format!("{}:9306", node.name),
                    cgroup::series,
                );
            }
            if let Some(ipmi) = &node.ipmi {
                all.exporter(cluster, scenario, nth, "ipmi", &ipmi.instance, ipmi::series);
            }
        }
        all.series.sort_by(|one, other| one.labels.cmp(&other.labels));
        all
    }

    /// Adds an exporter's series, twice where two Prometheus servers watch the node.
    fn exporter(
        &mut self,
        cluster: &Cluster,
        scenario: &Scenario,
        nth: usize,
        job: &str,
        instance: &str,
        series: impl Fn(&Exporter<'_>) -> Vec<Series>,
    ) {
        let Some(node) = cluster.nodes.get(nth) else { return };
        let replicas: &[Option<&str>] = if node.replicated { &[Some("a"), Some("b")] } else { &[None] };
        for (replica, away) in replicas.iter().zip(&cluster.faults.prometheus_away) {
            let down = down(cluster, scenario, nth, node, job);
            let number = self.targets.len() as u64;
            let interval_ms = i64::from(scenario.scrape_interval_s) * SECOND_MS;
            self.targets.push(Target::new(scenario.seed, number, interval_ms, down, away.clone()));
            let mut common = vec![pair("job", job), pair("instance", instance)];
            common.extend(replica.map(|name| pair("prometheus_replica", name)));
            let exporter = Exporter { cluster, scenario, nth, node, target: self.targets.len() - 1, common };
            self.series.push(exporter.series("up", &[], Meter::Up));
            self.series.extend(series(&exporter));
        }
    }

    /// The samples of one series over the whole window.
    pub(super) fn sample(&self, cluster: &Cluster, series: &Series, samples: &mut Samples) {
        let (Some(target), Some(node), Some(curves)) = (
            self.targets.get(series.target),
            cluster.nodes.get(series.node),
            cluster.curves.get(series.node),
        ) else {
            return;
        };
        if matches!(series.meter, Meter::Up) {
            let written = target.scrapes(cluster.window, cluster.window).filter(|scrape| !scrape.skipped);
            for scrape in written {
                samples.timestamps_ms.push(scrape.at_ms);
                samples.values.push(f64::from(u8::from(scrape.succeeded)));
            }
            return;
        }
        series.meter.read(cluster.window, node, curves, |value| {
            target.sample(cluster.window, &series.visible, samples, value);
        });
    }
}

/// When an exporter does not answer: its node is off or it has not come up
/// since, or it has faults of its own. A management controller stays on.
fn down(cluster: &Cluster, scenario: &Scenario, nth: usize, node: &Node, job: &str) -> Vec<Window> {
    if job == "ipmi" {
        return Vec::new();
    }
    let mut chance = stream(scenario.seed, Purpose::Meter, (nth as u64) << 8 | 255);
    let off = node.on.iter().zip(node.on.iter().skip(1));
    let mut down: Vec<Window> = off
        .map(|(before, after)| {
            let startup_ms = chance.random_range(20 * SECOND_MS..60 * SECOND_MS);
            Window::new(before.end_ms, after.start_ms + startup_ms)
        })
        .collect();
    let faults =
        if job == "node" { &cluster.faults.exporter_restarts } else { &cluster.faults.gpu_exporter_down };
    down.extend(faults.get(&(nth as u32)).into_iter().flatten().copied());
    down
}
