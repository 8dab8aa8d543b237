//! The texts beside the data: what it is, and what a site would have to configure.

use super::cluster::Cluster;
use super::hardware::GpuExporter;
use super::scenario::{Scenario, Summary};
use super::workload::{Run, State};
use crate::time::format_instant;

/// `wattledger.toml`: what the job log and the snapshot do not tell. The node
/// meters see the GPUs, the log is complete for the whole window, and some
/// boards answer under names of their own.
pub(super) fn config(scenario: &Scenario, cluster: &Cluster) -> String {
    let quoted = |text: &str| format!("\"{text}\"");
    let scheduled = cluster.nodes.iter().filter(|node| node.scheduled);
    let names: Vec<String> = scheduled.map(|node| quoted(&node.name)).collect();
    let mut text = format!(
        "\
# SIMULATED: what a site with these nodes would have to say.

[site]
gpu_in_node_meter = \"yes\"

[scheduler]
nodes = [{}]
jobs_from = {}
jobs_to = {}
",
        names.join(", "),
        quoted(&format_instant(cluster.window.start_ms)),
        quoted(&format_instant(cluster.window.end_ms)),
    );
    let mut heading = "\n[nodes.alias]\n";
    for node in &cluster.nodes {
        let foreign = node.ipmi.as_ref().filter(|ipmi| !ipmi.instance.starts_with(&node.name));
        if let Some(ipmi) = foreign {
            text.push_str(&format!("{heading}\"{}\" = \"{}\"\n", ipmi.instance, node.name));
            heading = "";
        }
    }
    // What processors and memory take at rest is shared by allocation, the rest by use.
    for node in cluster.nodes.iter().filter(|_| scenario.job_series) {
        text.push_str(&format!(
            "\n[[hardware]]\nnodes = \"{}\"\ncpu_idle_w = {}\ndram_idle_w = {}\n",
            node.name, node.cpu_idle_w, node.dram_idle_w
        ));
    }
    text
}

fn count(cluster: &Cluster, which: impl Fn(&Run) -> bool) -> usize {
    cluster.runs.iter().filter(|run| which(run)).count()
}

/// `SIMULATED.txt`.
pub(super) fn text(scenario: &Scenario, cluster: &Cluster, summary: &Summary) -> String {
    let names = |which: &dyn Fn(&super::hardware::Node) -> bool| {
        let names: Vec<&str> =
            cluster.nodes.iter().filter(|node| which(node)).map(|node| node.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    };
    let state = |state: State| count(cluster, |run| run.state == state);
    let restarts: usize = cluster.faults.exporter_restarts.values().map(Vec::len).sum();
    let unreachable: usize = cluster.faults.gpu_exporter_down.values().map(Vec::len).sum();
    let (start, end) = (format_instant(cluster.window.start_ms), format_instant(cluster.window.end_ms));
    format!(
        "\
SIMULATED: nothing in this directory was measured.

A made-up cluster, from `wattledger simulate` with seed {seed}. The true power of every device is a
known function of time; the snapshot shows it as real exporters would, the truth files hold its
integrals. The same options give the same bytes.

Window        {start} to {end} (the end does not belong to it), all times UTC
Nodes         {nodes} compute nodes with {gpus} GPUs and {cpus} processors each, and: {infrastructure}
Snapshot      {series} series, {samples} samples, scraped every {interval} s, a block for each UTC day
Runs          {runs} started

sacct.txt     `sacct -P` as Slurm 22.05 prints it. Whole seconds, no offset: the times are UTC.
              It does not reach from the window's first instant to its last; give both with
              `--jobs-from {start} --jobs-to {end}` to have all idle time called idle.
wattledger.toml   the node names that cannot be guessed

truth.csv     a row for each device
  source            always SIMULATED
  node              the scheduler's name
  scheduled         false: the scheduler does not know this node
  component         cpu (a package), dram (a package's memory), gpu, other (all the rest of the node)
  device            socket number, GPU UUID, or `node`
  metered           true if a series in the snapshot measures it; `other` is metered where IPMI measures
                    the whole node, as the difference to its parts. What is not metered can only be modelled;
                    its truth is the simulated power all the same.
  energy_j          its energy in the window, in joules, exact
  idle_energy_j     what is left of that after all runs' shares (all of it where nothing ran)
truth_runs.csv    four rows for each run that started, one for each component
  source, run_id, job_id_raw, start, end, component
                    start and end as simulated; a run that was still going ends with the window
  energy_j          the run's shares of its devices' energy between start and end: GPUs that it is
                    bound to, in full; of the packages its processors / the node's processors; of the
                    memory its memory / the node's memory; of `other` the largest of its processor,
                    memory and GPU fractions, divided by the sum over the runs there if that is over 1.
                    No static power is set apart. For every component, runs and idle add up to the devices.
  metered_energy_j  the part of energy_j on metered devices
  own_energy_j      what the run's own load added to its devices, without any idle power
  used_energy_j     own_energy_j and, by allocation, what processors and memory take at rest: what rules that
                    share by use should find

What is in it, as in real clusters:
  {dcgm} dcgm-exporter: energy counter, power, use; the label hpc_job begins and ends with each job;
      now and then a blank value (2^47, 2^63 - 14)
  {smi} nvidia_gpu_exporter: power and use, no energy counter; no series says which job has which GPU
  {no_rapl} without readable RAPL: CPU and memory can only be modelled
  {ipmi} with IPMI for the whole node, GPUs and all losses included; one board answers under its own name
  {fqdn} calling themselves by a name with a domain
  {replicated} watched by two Prometheus servers (label prometheus_replica, each with its own jitter)
  {outages} node outages: power off, then a boot; RAPL, GPU and CPU counters start again at 0
  {restarts} restarts of a node exporter, {unreachable} long outages of a GPU exporter (up = 0, stale markers)
  {away} stretches in which the first Prometheus was not running, {away_second} of the second
  RAPL wraps at 262143.328850 J (package) and 65712.999613 J (DRAM)
  every target scraped at its own offset with 10 to 50 ms of jitter, one scrape in 2,000 late
  {arrays} array tasks, {multi} runs on several nodes, {short} runs shorter than two scrapes
  states: {completed} completed, {failed} failed, {cancelled} cancelled, {timeout} timed out, {memory} out of
      memory, {node_fail} lost their node, {running} still running, {pending} pending, {withdrawn} cancelled
      while pending
  one compute node of four or more runs its check and then nothing
",
        seed = scenario.seed,
        nodes = scenario.nodes,
        gpus = scenario.gpus,
        cpus = scenario.cpus,
        infrastructure = names(&|node| !node.scheduled),
        series = summary.series,
        samples = summary.samples,
        interval = scenario.scrape_interval_s,
        runs = summary.runs,
        dcgm = names(&|node| !node.gpus.is_empty() && node.gpu_exporter == GpuExporter::Dcgm),
        smi = names(&|node| !node.gpus.is_empty() && node.gpu_exporter == GpuExporter::NvidiaSmi),
        no_rapl = names(&|node| !node.rapl),
        ipmi = names(&|node| node.ipmi.is_some()),
        fqdn = names(&|node| node.nodename != node.name),
        replicated = names(&|node| node.replicated),
        outages = cluster.faults.outage_count(),
        away = cluster.faults.prometheus_away[0].len(),
        away_second = cluster.faults.prometheus_away[1].len(),
        arrays = count(cluster, |run| run.id.contains('_')),
        multi = count(cluster, |run| run.parts.len() > 1),
        short = count(cluster, |run| {
            run.started() && run.window.length_ms() < 2000 * i64::from(scenario.scrape_interval_s)
        }),
        completed = state(State::Completed),
        failed = state(State::Failed),
        cancelled = state(State::CancelledByUser),
        timeout = state(State::Timeout),
        memory = state(State::OutOfMemory),
        node_fail = state(State::NodeFail),
        running = state(State::Running),
        pending = state(State::Pending),
        withdrawn = state(State::CancelledWaiting),
    )
}
