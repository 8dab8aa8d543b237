//! The flags by which a cluster is read, priced and accounted, and the way from them to its books: shared by `report` and
//! `whatif`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ValueEnum;
use polars::prelude::{DataFrame, PolarsResult};

use super::Failure;
use super::job_log::JobsArgs;
use super::output::bar;
use super::period::PeriodArgs;
use super::server::{ServerArgs, is_lossy};
use crate::config::{
    ConfigError, ConfigFile, Plan, Request, TimeFlags, asked_window, cached_request, find_file,
    log_time_zone, log_window, reporting_zone,
};
use crate::jobs::JobLog;
use crate::ledger::{self, Books, Jobs, NodeBooks, Prices, close_books, close_books_with};
use crate::meter::edges::EdgeRule;
use crate::period::Period;
use crate::report::{Entries, EntryLines, NodeRollup, Rollup};
use crate::source::{NoSeries, Snapshot, Source};
use crate::time::format_instant;

/// What is read, and how it is accounted.
#[derive(Debug, clap::Args)]
pub(super) struct InputArgs {
    /// Prometheus snapshot, data directory, folder of TSDB blocks, or one block; without one, and without --prometheus,
    /// nodes are modelled from the job log alone.
    #[arg(long, value_name = "DIR", conflicts_with = "prometheus")]
    snapshot: Option<PathBuf>,
    /// Address of a server to fetch the series from, into a cache; with --last or --from.
    #[arg(long, value_name = "URL", help_heading = "Server")]
    prometheus: Option<String>,
    /// Directory for what is fetched; default: `wattledger` in the user's cache directory.
    #[arg(long, value_name = "DIR", requires = "prometheus", help_heading = "Server")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    pub(super) rules: RuleArgs,
    /// Length of the report up to now, or up to --to: `7d`, `36h`; with --prometheus.
    #[arg(long, value_name = "LENGTH", conflicts_with_all = ["from", "period"], requires = "prometheus")]
    last: Option<String>,
    /// Start of the report (in --time-zone unless it has an offset); default: where the data starts.
    #[arg(long, value_name = "TIME", conflicts_with = "period")]
    from: Option<String>,
    /// End of the report, which does not belong to it; default: where the data ends.
    #[arg(long, value_name = "TIME", conflicts_with = "period")]
    to: Option<String>,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// How energy is accounted and priced.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RuleArgs {
    #[command(flatten)]
    pub(super) prices: PriceArgs,
    /// Zone whose days are reported on, such as `Europe/Berlin`: times without an offset are of it; default UTC.
    #[arg(long, value_name = "ZONE")]
    pub(super) time_zone: Option<String>,
    /// Model for processors and GPUs without a meter: `tdp-curve` (default), `tdp-linear`, `idle-to-tdp`,
    /// `codecarbon-cubic`, `boavizta`, `ccf`, `green-algorithms`.
    #[arg(long, value_name = "NAME")]
    pub(super) power_model: Option<String>,
    /// Curves of `wattledger calibrate`, for processors and GPUs without a meter whose model is in it.
    #[arg(long, value_name = "FILE")]
    pub(super) calibration: Option<PathBuf>,
    /// How shared processors and memory are given to runs: by use where it is measured, or by allocation.
    #[arg(long, value_name = "usage|allocated")]
    pub(super) share: Option<Share>,
    /// Whether whole-node meters see the GPUs.
    #[arg(long, value_name = "yes|no|unknown")]
    pub(super) gpu_in_node_meter: Option<Answer>,
    /// How energy between two readings is split at a run's edge.
    #[arg(long, default_value = "power")]
    pub(super) edges: Edges,
    /// Start of the time that the job log covers; default: its first record.
    #[arg(long, value_name = "TIME")]
    pub(super) jobs_from: Option<String>,
    /// End of the time that the job log covers; default: its last record.
    #[arg(long, value_name = "TIME")]
    pub(super) jobs_to: Option<String>,
}

/// What emissions are worked out with.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct PriceArgs {
    /// Country or zone whose carbon intensity applies: `DE`, `Germany`, `US-CAL-CISO`.
    #[arg(long, visible_alias = "country", value_name = "ZONE")]
    pub(super) zone: Option<String>,
    /// What the site knows once; default: `wattledger.toml` in the working directory, if it is there.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Carbon intensity: a store of `wattledger intensity import`, a provider's file, a table `timestamp,gco2e_per_kwh`, or a directory of
    /// files; may be given more than once.
    #[arg(long, value_name = "PATH")]
    pub(super) intensity: Vec<PathBuf>,
    /// What the intensity counts: `life-cycle` or `direct`, `average` or `marginal`, `production` or `consumption`.
    #[arg(long, value_name = "WORDS")]
    pub(super) basis: Option<String>,
    /// Facility energy divided by IT energy; default 1.0.
    #[arg(long)]
    pub(super) pue: Option<f64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Edges {
    /// By the power on either side.
    Power,
    /// By time alone, as other tools do; for comparison.
    Linear,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Share {
    /// By CPU time and memory used, where exporters tell them of each job.
    Usage,
    /// By what the job log says was allocated.
    Allocated,
    /// By the recording rules of CEEMS, for comparison.
    Ceems,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Answer {
    Yes,
    No,
    Unknown,
}

/// What is read and what was said about it.
pub(super) struct Inputs {
    /// `None` to model everything from the job log.
    pub(super) snapshot: Option<PathBuf>,
    pub(super) jobs: JobsArgs,
    pub(super) config: Option<PathBuf>,
    pub(super) request: Request,
    pub(super) file: ConfigFile,
    /// True if a server sent something that could not be kept.
    pub(super) lossy: bool,
}

impl RuleArgs {
    /// What was typed; the time, and what is said of the job log, are not in it.
    pub(super) fn request(&self) -> Request {
        Request {
            time_zone: self.time_zone.clone(),
            power_model: self.power_model.clone(),
            calibration: self.calibration.clone(),
            edges: match self.edges {
                Edges::Power => EdgeRule::Power,
                Edges::Linear => EdgeRule::Linear,
            },
            share: self.share.map(|share| match share {
                Share::Usage => ledger::ShareRule::Usage,
                Share::Allocated => ledger::ShareRule::Allocated,
                Share::Ceems => ledger::ShareRule::Ceems,
            }),
            gpu_in_node_meter: self.gpu_in_node_meter.map(|answer| match answer {
                Answer::Yes => ledger::GpuInNodeMeter::Yes,
                Answer::No => ledger::GpuInNodeMeter::No,
                Answer::Unknown => ledger::GpuInNodeMeter::Unknown,
            }),
            jobs_from: self.jobs_from.clone(),
            jobs_to: self.jobs_to.clone(),
            ..self.prices.request()
        }
    }
}

impl PriceArgs {
    /// What was typed of prices.
    pub(super) fn request(&self) -> Request {
        Request {
            zone: self.zone.clone(),
            intensity: self.intensity.clone(),
            basis: self.basis.clone(),
            pue: self.pue,
            ..Request::default()
        }
    }
}

impl InputArgs {
    /// Finds the configuration, and fetches what a server is to give.
    pub(super) fn gather(&self) -> Result<Inputs, Failure> {
        if self.snapshot.is_none() && self.prometheus.is_none() && self.jobs.files().is_empty() {
            return Err(nothing_to_read().into());
        }
        let (file, config) = find_file(self.rules.prices.config.as_deref())?;
        let mut request = self.rules.request();
        let zone = reporting_zone(&request, &file)?;
        let (from, to) = self.times(zone)?;
        let time = TimeFlags { last: self.last.clone(), from, to };
        let (snapshot, time, lossy) = match (&self.snapshot, &self.prometheus) {
            (None, Some(server)) => {
                let (fetched, time, lossy) = self.fetched(server, &time, &file, zone)?;
                (Some(fetched), time, lossy)
            }
            (snapshot, _) => (snapshot.clone(), time, false),
        };
        request.from = time.from;
        request.to = time.to;
        request.from_job_log = snapshot.is_none();
        request.jobs_tz = self.jobs.zone_name().cloned();
        Ok(Inputs { snapshot, jobs: self.jobs.clone(), config, request, file, lossy })
    }

    /// The period that is named, if one is.
    pub(super) fn asked_period(&self, zone: chrono_tz::Tz) -> Result<Option<Period>, Failure> {
        Ok(self.period.asked(zone)?)
    }

    /// The period that is named, or `--from` and `--to` as they were typed.
    pub(super) fn times(&self, zone: chrono_tz::Tz) -> Result<(Option<String>, Option<String>), Failure> {
        let named = self.period.asked(zone)?.and_then(|period| period.window(zone));
        let instants = named.map(|window| (format_instant(window.start_ms), format_instant(window.end_ms)));
        Ok(match instants {
            Some((from, to)) => (Some(from), Some(to)),
            None => (self.from.clone(), self.to.clone()),
        })
    }

    /// Fetches what the report needs into the cache: its directory, the time that is
    /// meant, and whether the server sent something that could not be kept.
    fn fetched(
        &self,
        server: &str,
        time: &TimeFlags,
        file: &ConfigFile,
        zone: chrono_tz::Tz,
    ) -> Result<(PathBuf, TimeFlags, bool), Failure> {
        let now_ms = chrono::Utc::now().timestamp_millis();
        let window = asked_window(time, now_ms, zone)?;
        let flags = self.server.flags(server);
        let variable = |name: &str| std::env::var(name).ok();
        let request =
            cached_request(&flags, &*file.catalog()?, self.cache.as_deref(), window, now_ms, &variable)?;
        let summary = self.server.fetch(&request)?;
        let meant = TimeFlags {
            last: None,
            from: Some(format_instant(window.start_ms)),
            to: Some(format_instant(window.end_ms)),
        };
        Ok((request.out, meant, is_lossy(&summary.tally)))
    }
}

/// The inputs, opened and checked.
pub(super) struct Opened {
    pub(super) source: Box<dyn Source>,
    pub(super) log: Option<JobLog>,
    pub(super) plan: Plan,
}

impl Inputs {
    /// Opens the series, reads the job log and makes the plan.
    pub(super) fn open(&self) -> Result<Opened, Failure> {
        let source: Box<dyn Source> = match &self.snapshot {
            Some(path) => Box::new(Snapshot::open(path)?),
            None => Box::new(NoSeries),
        };
        let log = self.jobs.read(log_time_zone(&self.request, &self.file)?)?;
        let records = log.as_ref().and_then(|log| log.covered).filter(|_| self.snapshot.is_none());
        let of_log = log_window(&self.request, &self.file, records)?;
        if self.snapshot.is_none() && of_log.is_none() {
            return Err(nothing_to_report().into());
        }
        let request = with_zones(&self.request, log.as_ref());
        let plan = Plan::new(&request, &self.file, source.time_range().or(of_log))?;
        Ok(Opened { source, log, plan })
    }
}

impl Opened {
    /// The runs of the log.
    pub(super) fn jobs(&self) -> Jobs<'_> {
        Jobs::of(self.log.as_ref())
    }

    /// What emissions are worked out with.
    pub(super) fn prices(&self) -> Prices<'_> {
        prices_of(&self.plan)
    }

    /// Works through the cluster, with a bar.
    pub(super) fn close_books(&self) -> Result<Books, Failure> {
        let bar = bar("reading nodes");
        let books = close_books(self.source.as_ref(), self.jobs(), &self.plan.rules, &|done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        Ok(books?)
    }

    /// The same, with the rows added up for a report on the way, and written as `entries` if that is wanted; the books then have none.
    pub(super) fn close_books_for_report(
        &self,
        mut entries: Option<(&mut Entries, &EntryLines<'_>)>,
    ) -> Result<(Books, Rollup), Failure> {
        let bar = bar("reading nodes");
        let (rules, jobs, prices) = (&self.plan.rules, self.jobs(), self.prices());
        let basis = self.plan.intensity.basis();
        let mut rollup = Rollup::new(&rules.buckets(), jobs.runs, rules.time_zone, basis);
        let frame = rollup.frame();
        let progress = |done: usize, total: usize| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        };
        let lines = entries.as_ref().map(|(_, lines)| *lines);
        let digest = |node: &mut NodeBooks| {
            let lines = lines.map(|lines| lines.of(node, prices));
            (frame.digest(node, jobs.runs, prices), lines)
        };
        let mut take = |(node, lines): (NodeRollup, Option<PolarsResult<DataFrame>>)| {
            rollup.take(node);
            if let (Some((entries, _)), Some(lines)) = (&mut entries, lines) {
                entries.add(lines);
            }
        };
        let books = close_books_with(self.source.as_ref(), jobs, rules, &progress, &digest, &mut take);
        bar.finish_and_clear();
        Ok((books?, rollup))
    }
}

/// What emissions are worked out with by a plan.
pub(super) fn prices_of(plan: &Plan) -> Prices<'_> {
    Prices {
        intensity: &plan.intensity,
        zone: plan.zone.as_ref(),
        pue: &plan.pue,
        upstream: plan.statement.upstream.as_ref(),
        contracts: plan.statement.contracts.as_ref(),
        matching: plan.statement.matching,
    }
}

/// The request with the zones that runs name: only these are read from a store.
pub(super) fn with_zones(request: &Request, log: Option<&JobLog>) -> Request {
    let of_runs = log.into_iter().flat_map(|log| &log.runs).filter_map(|run| run.zone.clone());
    let zones: BTreeSet<String> = request.run_zones.iter().cloned().chain(of_runs).collect();
    Request { run_zones: zones.into_iter().collect(), ..request.clone() }
}

/// Nothing was named to read.
fn nothing_to_read() -> ConfigError {
    ConfigError::Value {
        setting: "--snapshot".to_owned(),
        reason: "nothing is named to read".to_owned(),
        hint: Some(
            "name a snapshot with `--snapshot`, a server with `--prometheus`, or a job log with `--jobs`"
                .to_owned(),
        ),
    }
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
