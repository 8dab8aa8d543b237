//! `wattledger simulate`.

use std::path::{Path, PathBuf};

use super::output::{bar, note};
use super::{Failure, Outcome};
use crate::config::ConfigError;
use crate::figures::energy;
use crate::simulate::{Scenario, Summary, simulate};
use crate::time::parse_instant;
use crate::units::Joules;

/// Simulate a cluster: a real TSDB snapshot, an sacct log, and the exact truth.
///
/// Nothing in the output was measured, and all of it says so. The same options
/// give the same bytes. SIMULATED.txt in the output says what is in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  wattledger simulate --nodes 8 --gpus 4 --days 7 --seed 1 --out cluster
  wattledger report --snapshot cluster/snapshot --jobs cluster/sacct.txt \\
      --config cluster/wattledger.toml --zone DE --out cluster/report")]
pub(super) struct Args {
    /// Compute nodes.
    #[arg(long, default_value_t = 4)]
    nodes: u32,
    /// GPUs in each node.
    #[arg(long, default_value_t = 2)]
    gpus: u32,
    /// Logical CPUs in each node.
    #[arg(long, default_value_t = 16)]
    cpus: u32,
    /// Days to simulate.
    #[arg(long, default_value_t = 3.0)]
    days: f64,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// First instant (UTC).
    #[arg(long, value_name = "TIME", default_value = "2024-06-03")]
    start: String,
    /// Seconds between two scrapes.
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    scrape_interval: u32,
    /// Number of runs; twelve a node and day if not given.
    #[arg(long)]
    runs: Option<u32>,
    /// Also write what each job uses of CPU and memory, as cgroup_exporter shows it.
    #[arg(long)]
    job_series: bool,
    /// Have no exporter name the job that holds a GPU: the series of a GPU then go on from run to run.
    #[arg(long)]
    no_gpu_jobs: bool,
    /// Also write the per-CPU series that have nothing to do with energy.
    #[arg(long)]
    extra_series: bool,
    /// Let machines of one model differ in power as measured ones do.
    #[arg(long)]
    unlike: bool,
    /// Directory to write into; it must not hold a snapshot yet.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let start_ms = parse_instant(&args.start, chrono_tz::Tz::UTC).map_err(|error| ConfigError::Value {
        setting: "--start".to_owned(),
        reason: error.to_string(),
        hint: None,
    })?;
    let scenario = Scenario {
        nodes: args.nodes,
        gpus: args.gpus,
        cpus: args.cpus,
        days: args.days,
        seed: args.seed,
        start_ms,
        scrape_interval_s: args.scrape_interval,
        runs: args.runs,
        job_series: args.job_series,
        gpu_jobs: !args.no_gpu_jobs,
        extra_series: args.extra_series,
        unlike: args.unlike,
        ..Scenario::default()
    };
    write(&scenario, &args.out)?;
    Ok(Outcome::Done)
}

/// Simulates with a bar and says what was written.
pub(super) fn write(scenario: &Scenario, out: &Path) -> Result<Summary, Failure> {
    let bar = bar("simulating");
    let summary = simulate(scenario, out, &|progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
    });
    bar.finish_and_clear();
    let summary = summary?;
    note(format_args!(
        "SIMULATED {} nodes, {} runs, {}: {} samples of {} series",
        scenario.nodes, summary.runs, summary.window, summary.samples, summary.series,
    ));
    note(format_args!(
        "  true energy {}, {} of it on devices with a meter",
        energy(Joules(summary.energy_j).to_kwh().value()),
        energy(Joules(summary.metered_energy_j).to_kwh().value()),
    ));
    note(format_args!("wrote {}", out.display()));
    Ok(summary)
}
