//! `wattledger report`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::explain::explain;
use super::job_log::JobsArgs;
use super::output::{bar, data, wrote};
use super::provenance::provenance;
use super::server::{ServerArgs, is_lossy};
use super::summary::print_summary;
use super::{Failure, Outcome};
use crate::carbon::Matching;
use crate::config::{
    ConfigError, ConfigFile, Defaults, Plan, Request, TimeFlags, asked_window, cached_request, find_file,
    log_time_zone, log_window,
};
use crate::jobs::JobLog;
use crate::ledger::{self, Books, Jobs, Prices, close_books};
use crate::meter::edges::EdgeRule;
use crate::report::{Report, Subject};
use crate::source::{NoSeries, Snapshot, Source};
use crate::time::format_instant;

/// Energy and emissions of every run, user and node: CSV tables and PNG charts.
///
/// Reads a Prometheus snapshot, or fetches from a server, and a job log, and writes runs.csv, hourly.csv,
/// by_user.csv, by_account.csv, by_node.csv, by_stage.csv, meters.csv,
/// summary.json and four charts. What no run used stands in lines of its own, so
/// that every table adds up to what the meters saw.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sacct -a -S 2026-11-16 -E 2026-11-23 -P -o ALL > sacct.txt
  wattledger report --snapshot snapshots/20261123T135522Z-3c5e611d6275204e \\
      --jobs sacct.txt --zone DE --from 2026-11-16 --to 2026-11-23 --out report

  Real hours of carbon intensity instead of the shipped yearly figures:
  wattledger report --snapshot SNAPSHOT --jobs sacct.txt --zone DE \\
      --intensity DE_2026_hourly.csv --out report

  Last week, from a running server:
  wattledger report --prometheus http://localhost:9090 --last 7d --jobs sacct.txt --zone DE --out report

  Without any series, from the job log alone (wattledger.toml says which processors and GPUs the nodes have):
  wattledger report --jobs sacct.txt --zone DE --out report

  What would be done, and with which method for each device:
  wattledger report --snapshot SNAPSHOT --jobs sacct.txt --zone DE --explain")]
pub(super) struct Args {
    /// Prometheus snapshot, data directory, folder of TSDB blocks, or one block; without one, and without --prometheus,
    /// nodes are modelled from the job log alone.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["prometheus", "files"], conflicts_with = "prometheus")]
    snapshot: Option<PathBuf>,
    /// Address of a server to fetch the series from, into a cache; with --last or --from.
    #[arg(long, value_name = "URL", help_heading = "Server")]
    prometheus: Option<String>,
    /// Directory for what is fetched; default: `wattledger` in the user's cache directory.
    #[arg(long, value_name = "DIR", requires = "prometheus", help_heading = "Server")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    jobs: JobsArgs,
    /// Country or zone whose carbon intensity applies: `DE`, `Germany`, `US-CAL-CISO`.
    #[arg(long, visible_alias = "country", value_name = "ZONE")]
    zone: Option<String>,
    /// Length of the report up to now, or up to --to: `7d`, `36h`; with --prometheus.
    #[arg(long, value_name = "LENGTH", conflicts_with = "from", requires = "prometheus")]
    last: Option<String>,
    /// Start of the report (UTC unless it has an offset); default: where the data starts.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the report, which does not belong to it; default: where the data ends.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Directory for the report.
    #[arg(long, value_name = "DIR", default_value = Defaults::OUT)]
    out: PathBuf,
    /// What the site knows once; default: `wattledger.toml` in the working directory, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Carbon intensity: a store of `wattledger intensity import`, a provider's file, a table `timestamp,gco2e_per_kwh`, or a directory of
    /// files; may be given more than once.
    #[arg(long, value_name = "PATH")]
    intensity: Vec<PathBuf>,
    /// What the intensity counts: `life-cycle` or `direct`, `average` or `marginal`, `production` or `consumption`.
    #[arg(long, value_name = "WORDS")]
    basis: Option<String>,
    /// Contracts, certificates and residual mixes for the market-based figure, as CSV (docs/statement.md); with direct factors.
    #[arg(long, value_name = "FILE")]
    contracts: Option<PathBuf>,
    /// How contracts' volumes are matched with what was used: `annual` (default) or `hourly`.
    #[arg(long, value_name = "annual|hourly")]
    matching: Option<MatchingChoice>,
    /// Facility energy divided by IT energy; default 1.0.
    #[arg(long)]
    pue: Option<f64>,
    /// Model for processors and GPUs without a meter: `tdp-curve` (default), `tdp-linear`, `idle-to-tdp`,
    /// `codecarbon-cubic`, `boavizta`, `ccf`, `green-algorithms`.
    #[arg(long, value_name = "NAME")]
    power_model: Option<String>,
    /// Curves of `wattledger calibrate`, for processors and GPUs without a meter whose model is in it.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// How shared processors and memory are given to runs: by use where it is measured, or by allocation.
    #[arg(long, value_name = "usage|allocated")]
    share: Option<Share>,
    /// Whether whole-node meters see the GPUs.
    #[arg(long, value_name = "yes|no|unknown")]
    gpu_in_node_meter: Option<Answer>,
    /// How energy between two readings is split at a run's edge.
    #[arg(long, default_value = "power")]
    edges: Edges,
    /// Start of the time that the job log covers; default: its first record.
    #[arg(long, value_name = "TIME")]
    jobs_from: Option<String>,
    /// End of the time that the job log covers; default: its last record.
    #[arg(long, value_name = "TIME")]
    jobs_to: Option<String>,
    /// Write no charts.
    #[arg(long)]
    no_charts: bool,
    /// Exit with status 3 if any data had to be left out.
    #[arg(long)]
    strict: bool,
    /// Print the plan and stop.
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Edges {
    /// By the power on either side.
    Power,
    /// By time alone, as other tools do; for comparison.
    Linear,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Share {
    /// By CPU time and memory used, where exporters tell them of each job.
    Usage,
    /// By what the job log says was allocated.
    Allocated,
    /// By the recording rules of CEEMS, for comparison.
    Ceems,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MatchingChoice {
    /// Over the whole of the period that lies in the report.
    Annual,
    /// In each hour on its own.
    Hourly,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Answer {
    Yes,
    No,
    Unknown,
}

/// The files of one report.
pub(super) struct Inputs {
    /// `None` to model everything from the job log.
    pub(super) snapshot: Option<PathBuf>,
    pub(super) jobs: JobsArgs,
    pub(super) config: Option<PathBuf>,
    pub(super) out: PathBuf,
    pub(super) charts: bool,
    pub(super) strict: bool,
    pub(super) explain: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let (file, config) = find_file(args.config.as_deref())?;
    let time = TimeFlags { last: args.last.clone(), from: args.from.clone(), to: args.to.clone() };
    let (snapshot, time, lossy) = match (&args.snapshot, &args.prometheus) {
        (None, Some(server)) => {
            let (fetched, time, lossy) = fetched(args, server, &time, &file)?;
            (Some(fetched), time, lossy)
        }
        (snapshot, _) => (snapshot.clone(), time, false),
    };
    let request = Request {
        from: time.from,
        to: time.to,
        zone: args.zone.clone(),
        run_zones: Vec::new(),
        intensity: args.intensity.clone(),
        basis: args.basis.clone(),
        contracts: args.contracts.clone(),
        matching: args.matching.map(|matching| match matching {
            MatchingChoice::Annual => Matching::Annual,
            MatchingChoice::Hourly => Matching::Hourly,
        }),
        pue: args.pue,
        power_model: args.power_model.clone(),
        calibration: args.calibration.clone(),
        edges: match args.edges {
            Edges::Power => EdgeRule::Power,
            Edges::Linear => EdgeRule::Linear,
        },
        share: args.share.map(|share| match share {
            Share::Usage => ledger::ShareRule::Usage,
            Share::Allocated => ledger::ShareRule::Allocated,
            Share::Ceems => ledger::ShareRule::Ceems,
        }),
        gpu_in_node_meter: args.gpu_in_node_meter.map(|answer| match answer {
            Answer::Yes => ledger::GpuInNodeMeter::Yes,
            Answer::No => ledger::GpuInNodeMeter::No,
            Answer::Unknown => ledger::GpuInNodeMeter::Unknown,
        }),
        from_job_log: snapshot.is_none(),
        jobs_tz: args.jobs.zone_name().cloned(),
        jobs_from: args.jobs_from.clone(),
        jobs_to: args.jobs_to.clone(),
    };
    let inputs = Inputs {
        snapshot,
        jobs: args.jobs.clone(),
        config,
        out: args.out.clone(),
        charts: !args.no_charts,
        strict: args.strict,
        explain: args.explain,
    };
    match make(&inputs, &request, &file)? {
        Outcome::Done if lossy && args.strict => Ok(Outcome::LeftOut),
        outcome => Ok(outcome),
    }
}

/// Fetches what the report needs into the cache: its directory, the time that is
/// meant, and whether the server sent something that could not be kept.
fn fetched(
    args: &Args,
    server: &str,
    time: &TimeFlags,
    file: &ConfigFile,
) -> Result<(PathBuf, TimeFlags, bool), Failure> {
    let now_ms = chrono::Utc::now().timestamp_millis();
    let window = asked_window(time, now_ms)?;
    let flags = args.server.flags(server);
    let variable = |name: &str| std::env::var(name).ok();
    let request =
        cached_request(&flags, &*file.catalog()?, args.cache.as_deref(), window, now_ms, &variable)?;
    let summary = args.server.fetch(&request)?;
    let meant = TimeFlags {
        last: None,
        from: Some(format_instant(window.start_ms)),
        to: Some(format_instant(window.end_ms)),
    };
    Ok((request.out, meant, is_lossy(&summary.tally)))
}

/// Makes a report, or with `explain` says how it would be made.
pub(super) fn make(inputs: &Inputs, request: &Request, file: &ConfigFile) -> Result<Outcome, Failure> {
    if !inputs.explain {
        can_be_written(&inputs.out)?;
    }
    let source: Box<dyn Source> = match &inputs.snapshot {
        Some(path) => Box::new(Snapshot::open(path)?),
        None => Box::new(NoSeries),
    };
    let source = source.as_ref();
    let log = inputs.jobs.read(log_time_zone(request, file)?)?;
    let records = log.as_ref().and_then(|log| log.covered).filter(|_| inputs.snapshot.is_none());
    let of_log = log_window(request, file, records)?;
    if inputs.snapshot.is_none() && of_log.is_none() {
        return Err(nothing_to_report().into());
    }
    let request = &with_zones(request, log.as_ref());
    let plan = Plan::new(request, file, source.time_range().or(of_log))?;
    if inputs.explain {
        data(&explain(source, &plan, log.as_ref(), inputs)?)?;
        return Ok(Outcome::Done);
    }
    let jobs = Jobs::of(log.as_ref());
    let bar = bar("reading nodes");
    let books = close_books(source, jobs, &plan.rules, &|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let books = books?;
    let provenance = provenance(source, &plan, log.as_ref(), &books, inputs);
    let prices = Prices {
        intensity: &plan.intensity,
        zone: plan.zone.as_ref(),
        pue: &plan.pue,
        upstream: plan.statement.upstream.as_ref(),
        contracts: plan.statement.contracts.as_ref(),
        matching: plan.statement.matching,
    };
    let purchases = plan.statement.purchases.as_ref();
    let subject = Subject { books: &books, runs: jobs.runs, prices, purchases, provenance: &provenance };
    let report = Report::new(subject)?;
    let written = report.write(&inputs.out, inputs.charts)?;
    print_summary(&report.summary()?, &provenance);
    wrote(&inputs.out, &written);
    Ok(if !books.balances.close() {
        Outcome::Unbalanced
    } else if inputs.strict && has_left_out(source, log.as_ref(), &books, &plan) {
        Outcome::LeftOut
    } else {
        Outcome::Done
    })
}

/// The request with the zones that runs name.
pub(super) fn with_zones(request: &Request, log: Option<&JobLog>) -> Request {
    let zones = log.into_iter().flat_map(|log| &log.runs).filter_map(|run| run.zone.clone());
    let zones: std::collections::BTreeSet<String> = zones.collect();
    Request { run_zones: zones.into_iter().collect(), ..request.clone() }
}

/// Neither series nor runs.
fn nothing_to_report() -> ConfigError {
    ConfigError::Value {
        setting: "--jobs".to_owned(),
        reason: "no run in the job log, or none that has ended, and there are no series".to_owned(),
        hint: Some(
            "name a snapshot with `--snapshot`, a log with runs, or what the log covers with `--jobs-from` and `--jobs-to`"
                .to_owned(),
        ),
    }
}

/// Before any work, not after it: refuses a file where the directory for the output should be.
pub(super) fn can_be_written(out: &Path) -> Result<(), ConfigError> {
    if !out.exists() || out.is_dir() {
        return Ok(());
    }
    Err(ConfigError::Value {
        setting: "--out".to_owned(),
        reason: format!("`{}` exists and is not a directory", out.display()),
        hint: Some("choose another directory".to_owned()),
    })
}

fn has_left_out(source: &dyn Source, log: Option<&JobLog>, books: &Books, plan: &Plan) -> bool {
    source.left_out().iter().any(|left| left.is_problem)
        || log.is_some_and(|log| log.rejected_total > 0)
        || books.read.chunks_damaged > 0
        || !books.read.chunks_skipped.is_empty()
        || plan.intensity.inputs().iter().any(|input| input.rejected > 0)
}
