//! `wattledger backfill` and `wattledger reprice`: days into the ledger on disk.

use std::path::PathBuf;

use indicatif::ProgressBar;

use super::inputs::{PriceArgs, RuleArgs, prices_of, with_zones};
use super::job_log::JobsArgs;
use super::output::{bar, lines, note};
use super::{Failure, Outcome};
use crate::config::{Plan, Request, find_file, from_to, log_time_zone, reporting_zone};
use crate::figures::{energy, mass};
use crate::ledger::backfill::{Action, Backfill, DayDone, DayPlan, Shard, restated};
use crate::ledger::store::{ReadLogs, RememberedSnapshot, Store};
use crate::time::{Window, format_instant, span};
use crate::units::Joules;

/// Days from snapshots and job logs into a ledger on disk, safe to stop and to repeat.
///
/// Walks any number of snapshots, overlapping and in any order, day by day into a Parquet file for each day. Days that are there already
/// are left as they are; what hangs on something that changed (samples, job log, settings, factors) is made again, and only that. The
/// ledger keeps the job logs and remembers where the snapshots lay. `wattledger report --ledger DIR --month 2026-10` reports on it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger backfill --ledger ledger --snapshot snapshots/20261123T135522Z-3c5e611d6275204e \\
      --jobs sacct.txt --zone DE

  Two years of snapshots, and what would be done first:
  wattledger backfill --ledger ledger --snapshot snapshots/2025* \\
      --snapshot snapshots/2026* --jobs sacct.txt --dry-run

  Each night, from cron (wattledger.toml has the zone; nothing is printed unless something is wrong):
  wattledger backfill --ledger /srv/ledger --snapshot /srv/snapshots/latest \\
      --jobs /srv/sacct/latest.txt --quiet

  A year in eight parts, as a Slurm job array; then once without --shard, and `wattledger verify`:
  sbatch --array=1-8 --wrap 'wattledger backfill --ledger /srv/ledger \\
      --snapshot /srv/2025 --jobs sacct.txt \\
      --shard $SLURM_ARRAY_TASK_ID/8'

  Factors that came later:
  wattledger reprice --ledger ledger --zone DE --intensity DE_2026_hourly.csv")]
pub(super) struct Args {
    /// Directory of the ledger; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    ledger: PathBuf,
    /// Prometheus snapshot, data directory, folder of TSDB blocks, or one block; any number of them.
    #[arg(long = "snapshot", value_name = "DIR", num_args = 1..)]
    snapshots: Vec<PathBuf>,
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    rules: RuleArgs,
    /// First day that is looked at; default: the first that there are samples of.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// First day that is not looked at.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Make one part of the days only, as `3/8`: processes with other parts may write the same ledger at the same time.
    #[arg(long, value_name = "PART")]
    shard: Option<Shard>,
    /// Make all days again, whatever the ledger knows of them.
    #[arg(long)]
    rebuild: bool,
    /// Take what samples say now also where that is less than the ledger knows.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    manner: MannerArgs,
}

/// Works out emissions of a ledger again, by other factors, without reading samples.
///
/// Only days whose factors or PUE changed are written. Months whose figures changed are listed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger reprice --ledger ledger --zone DE --intensity intensity-store
  wattledger reprice --ledger ledger --zone DE --basis direct --dry-run")]
pub(super) struct RepriceArgs {
    /// Directory of the ledger.
    #[arg(long, value_name = "DIR")]
    ledger: PathBuf,
    #[command(flatten)]
    prices: PriceArgs,
    #[command(flatten)]
    manner: MannerArgs,
}

/// How it is done.
#[derive(Clone, Copy, Debug, clap::Args)]
struct MannerArgs {
    /// Print what would be done, day by day, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print nothing unless something is wrong.
    #[arg(long, short)]
    quiet: bool,
    /// Exit with status 3 if days could not be brought up to date, or any data had to be left out.
    #[arg(long)]
    strict: bool,
}

/// Everything that a ledger is brought up to date from.
struct Sources {
    store: Store,
    logs: ReadLogs,
    snapshots: Vec<RememberedSnapshot>,
    plan: Plan,
    window: Window,
    shard: Shard,
    /// Lines of the job logs given this time that could not be used.
    rejected: u64,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let (file, _) = find_file(args.rules.prices.config.as_deref())?;
    let mut request = args.rules.request();
    request.jobs_tz = args.jobs.zone_name().cloned();
    let stated = request.time_zone.is_some() || file.has_time_zone();
    let zone = reporting_zone(&request, &file)?;
    let asked = stated.then_some(zone);
    let dry = args.manner.dry_run;
    let store = if dry {
        Store::open_or_imagine(&args.ledger, asked)?
    } else {
        Store::open_or_create(&args.ledger, asked)?
    };
    let lock = match args.shard {
        _ if dry => None,
        None => Some(store.lock()?),
        Some(_) => Some(store.lock_days()?),
    };
    // What all parts share is changed by one at a time.
    let inputs_lock = if lock.is_some() && args.shard.is_some() { Some(store.lock_inputs()?) } else { None };
    let options = args.jobs.kept_options(log_time_zone(&request, &file)?);
    let given: Vec<_> = args.jobs.files().iter().map(|path| (path.clone(), options.clone())).collect();
    let mut snapshots = Vec::new();
    for path in &args.snapshots {
        snapshots.push(RememberedSnapshot::of(path)?);
    }
    let mut forgotten = Vec::new();
    for known in store.remembered()? {
        if snapshots.iter().any(|given| given.path == known.path) {
            continue;
        }
        // Blocks go where servers drop what is old: what is there now counts.
        match RememberedSnapshot::of(&known.path) {
            Ok(now) => snapshots.push(now),
            Err(error) => forgotten.push(format!("`{}` is left aside: {error}", known.path.display())),
        }
    }
    let mut rejected = 0_u64;
    let logs = if dry {
        store.read_logs(&given)?
    } else {
        for (path, options) in &given {
            rejected = rejected.saturating_add(store.keep_log(path, options)?.rejected);
        }
        let logs = store.read_logs(&[])?;
        store.write_runs(&logs)?;
        logs
    };
    let (from, to) = from_to(&args.from, &args.to, store.time_zone())?;
    let window = Window::new(from.unwrap_or(i64::MIN), to.unwrap_or(i64::MAX));
    let request =
        Request { time_zone: Some(store.time_zone().name().to_owned()), is_day_by_day: true, ..request };
    let request = with_zones(&request, Some(&logs.log));
    let available = available(&store, &snapshots)?;
    let plan = Plan::new(&request, &file, available)?;
    if !dry {
        store.remember(&snapshots)?;
    }
    drop(inputs_lock);
    if !args.manner.quiet {
        forgotten.iter().for_each(note);
    }
    let shard = args.shard.unwrap_or(Shard::WHOLE);
    let sources = Sources { store, logs, snapshots, plan, window, shard, rejected };
    let outcome = bring_up_to_date(&sources, (args.rebuild, args.replace, false), args.manner);
    drop(lock);
    outcome
}

pub(super) fn reprice(args: &RepriceArgs) -> Result<Outcome, Failure> {
    let (file, _) = find_file(args.prices.config.as_deref())?;
    let store = Store::open(&args.ledger)?;
    let lock = if args.manner.dry_run { None } else { Some(store.lock()?) };
    let runs = store.runs()?;
    let logs = ReadLogs { kept: store.kept_logs()?, log: runs.log, covered: runs.covered };
    let zone = store.time_zone().name().to_owned();
    let request = Request { time_zone: Some(zone), is_day_by_day: true, ..args.prices.request() };
    let request = with_zones(&request, Some(&logs.log));
    let plan = Plan::new(&request, &file, available(&store, &[])?)?;
    let sources = Sources {
        store,
        logs,
        snapshots: Vec::new(),
        plan,
        window: Window::ALL,
        shard: Shard::WHOLE,
        rejected: 0,
    };
    let outcome = bring_up_to_date(&sources, (false, false, true), args.manner);
    drop(lock);
    outcome
}

/// The time that there are samples or days of.
fn available(store: &Store, snapshots: &[RememberedSnapshot]) -> Result<Option<Window>, Failure> {
    let mut windows: Vec<Window> =
        snapshots.iter().flat_map(|snapshot| &snapshot.blocks).map(|block| block.window()).collect();
    windows.extend(store.time_range()?);
    windows.sort_unstable();
    let end_ms = windows.iter().map(|window| window.end_ms).max();
    Ok(span(&windows).zip(end_ms).map(|(all, end_ms)| Window::new(all.start_ms, end_ms)))
}

fn bring_up_to_date(
    sources: &Sources,
    (rebuild, replace, only_prices): (bool, bool, bool),
    manner: MannerArgs,
) -> Result<Outcome, Failure> {
    let plan = &sources.plan;
    let attributions = |window: Window| {
        let texts = plan.intensity.attributions(&plan.used_zones, window);
        texts.iter().map(ToString::to_string).collect()
    };
    let backfill = Backfill {
        store: &sources.store,
        rules: &plan.rules,
        prices: prices_of(plan),
        attributions: &attributions,
        log: &sources.logs.log,
        covered: &sources.logs.covered,
        has_log: !sources.logs.kept.is_empty(),
        snapshots: &sources.snapshots,
        window: sources.window,
        shard: sources.shard,
        now_ms: chrono::Utc::now().timestamp_millis(),
        only_prices,
        rebuild,
        replace,
    };
    let plans = backfill.plan()?;
    if manner.dry_run {
        lines(&listed(&plans))?;
        return Ok(Outcome::Done);
    }
    if !manner.quiet {
        for words in plan.notes.iter().chain(&plan.intensity_notes) {
            note(format_args!("note: {words}"));
        }
    }
    if sources.rejected > 0 && (!manner.quiet || manner.strict) {
        note(format_args!(
            "note: {} lines of the job logs could not be used; `wattledger jobs` lists them",
            sources.rejected
        ));
    }
    let to_come = backfill.blocks_to_come();
    if to_come > 0 && (!manner.quiet || manner.strict) {
        let now = format_instant(backfill.now_ms);
        note(format_args!(
            "note: {to_come} blocks begin after this machine's clock ({now}): no day is made of them"
        ));
    }
    let progress = if manner.quiet { ProgressBar::hidden() } else { bar("days") };
    progress.set_length(plans.len() as u64);
    let done = backfill.run(&plans, &|count| progress.set_position(count as u64));
    progress.finish_and_clear();
    let done = done?;
    for problem in &done.problems {
        note(format_args!("left out: {problem}"));
    }
    tell(&sources.store, &done.days, manner);
    let lost = sources.rejected > 0 || to_come > 0 || !done.problems.is_empty();
    Ok(outcome(&done.days, lost, manner))
}

fn outcome(done: &[DayDone], lost: bool, manner: MannerArgs) -> Outcome {
    let left_out = done
        .iter()
        .any(|day| matches!(day.action, Action::Wait(_)) || (day.is_balanced && !day.notes.is_empty()));
    if done.iter().any(|day| !day.is_balanced) {
        Outcome::Unbalanced
    } else if manner.strict && (left_out || lost) {
        Outcome::LeftOut
    } else {
        Outcome::Done
    }
}

/// What is planned, a line a day.
fn listed(plans: &[DayPlan]) -> String {
    let lines = plans.iter().map(|plan| format!("{}  {}\n", plan.date, words(&plan.action)));
    let counts = counts(plans.iter().map(|plan| &plan.action));
    lines.chain(std::iter::once(format!("{counts}\n"))).collect()
}

fn words(action: &Action) -> String {
    let because = |reasons: &[crate::ledger::backfill::Reason]| {
        reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ")
    };
    match action {
        Action::Make => "make".to_owned(),
        Action::Remake(reasons) => format!("make again ({})", because(reasons)),
        Action::Reprice => "price again".to_owned(),
        Action::Keep => "keep".to_owned(),
        Action::Wait(reasons) => format!("needs its samples ({})", because(reasons)),
    }
}

fn counts<'a>(actions: impl Iterator<Item = &'a Action>) -> String {
    let mut counts = [0_u64; 5];
    for action in actions {
        let place = match action {
            Action::Make => 0,
            Action::Remake(_) => 1,
            Action::Reprice => 2,
            Action::Keep => 3,
            Action::Wait(_) => 4,
        };
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
    let names = ["made", "made again", "priced again", "kept", "in need of their samples"];
    let days: u64 = counts.iter().sum();
    let parts: Vec<String> = counts
        .iter()
        .zip(names)
        .filter(|(count, _)| **count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    if parts.is_empty() { "no day".to_owned() } else { format!("{days} days: {}", parts.join(", ")) }
}

/// What was done; with `--quiet` only what is wrong.
fn tell(store: &Store, done: &[DayDone], manner: MannerArgs) {
    for day in done {
        for words in &day.notes {
            note(format_args!("{}: {words}", day.date));
        }
    }
    let waiting: Vec<String> = done
        .iter()
        .filter(|day| matches!(day.action, Action::Wait(_)))
        .map(|day| day.date.to_string())
        .collect();
    if !waiting.is_empty() {
        let shown = waiting.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
        let more = waiting.len().saturating_sub(8);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        note(format_args!(
            "not up to date: {shown}{more}; give the snapshots that have their samples with `--snapshot`"
        ));
    }
    for month in restated(done) {
        let of = |pair: (Option<f64>, Option<f64>)| match pair {
            (Some(before), Some(now)) => format!(", emissions {} to {}", mass(before), mass(now)),
            (None, Some(now)) => format!(", emissions now {}", mass(now)),
            (Some(_), None) => ", emissions no longer priced".to_owned(),
            (None, None) => String::new(),
        };
        let kwh = |joules: f64| energy(Joules(joules).to_kwh().value());
        note(format_args!(
            "restated {}: {} days, energy {} to {}{}",
            month.month,
            month.days,
            kwh(month.energy_j.0),
            kwh(month.energy_j.1),
            of(month.emissions_gco2e)
        ));
    }
    if !manner.quiet {
        let counts = counts(done.iter().map(|day| &day.action));
        note(format_args!("{}: {counts}", store.directory().display()));
    }
}
