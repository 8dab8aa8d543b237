//! cgroup_exporter of jobstats 0.3: what each job uses, from when its control group is made until it is removed.

use super::{Exporter, Meter, Series, pair};
use std::sync::Arc;

pub(super) fn series(exporter: &Exporter<'_>) -> Vec<Series> {
    let cluster = exporter.cluster;
    let mut all = Vec::new();
    for (run, part, load) in cluster.parts_on(exporter.nth) {
        let labels = [
            pair("cluster", "sim"),
            pair("jobid", run.raw_id.to_string()),
            pair("step", ""),
            pair("task", ""),
        ];
        let mut add = |metric, meter| {
            all.push(exporter.visible_series(metric, &labels, meter, [run.window].into()));
        };
        let cpus = part.cpus.len() as f64;
        let profile = Arc::clone(&load.cpu);
        add("cgroup_cpu_total_seconds", Meter::JobCpuSeconds { profile, cpus, window: run.window });
        let profile = Arc::clone(&load.dram);
        let bytes = (part.memory_mib << 20) as f64;
        add("cgroup_memory_rss_bytes", Meter::JobMemory { profile, bytes });
        add("cgroup_cpus", Meter::Constant(cpus));
        add("cgroup_memory_total_bytes", Meter::Constant(bytes));
    }
    all
}
