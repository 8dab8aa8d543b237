//! `wattledger inspect`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::job_log::JobsArgs;
use super::output::lines;
use super::{Failure, Outcome};
use crate::config::{Plan, Request, find_file};
use crate::ledger::{self, LedgerError, Outlook, Side};
use crate::meter;
use crate::meter::inventory::{Inventory, Machine};
use crate::source::{Series, Snapshot, Source};
use crate::time::{Window, format_instant};
use crate::tsdb::ReadStats;

/// What is in a snapshot: nodes, exporters, targets, hardware, gaps, and the
/// method that each device would get.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  wattledger inspect --snapshot snapshots/20261123T135522Z-3c5e611d6275204e
  wattledger inspect --snapshot snapshots/20261123T135522Z-3c5e611d6275204e --jobs sacct.txt")]
pub(super) struct Args {
    /// Prometheus snapshot, folder of TSDB blocks, or one block.
    #[arg(long, value_name = "DIR")]
    snapshot: PathBuf,
    #[command(flatten)]
    jobs: JobsArgs,
    /// What the site knows once; default: `wattledger.toml` in the working directory, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Start of the time looked at; default: where the data starts.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the time looked at; default: where the data ends.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

/// Times down that are listed for one target.
const DOWN_SHOWN: usize = 5;

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let source = Snapshot::open(&args.snapshot)?;
    let (file, _) = find_file(args.config.as_deref())?;
    let request = Request {
        from: args.from.clone(),
        to: args.to.clone(),
        jobs_tz: args.jobs.zone_name().cloned(),
        ..Request::default()
    };
    let plan = Plan::new(&request, &file, source.time_range())?;
    let mut text = String::new();
    overview(&mut text, &source);
    let series = ledger::select(&source, &plan.rules)?;
    let survey = ledger::survey(&series, &plan.rules);
    nodes(&mut text, &survey.inventory, &plan);
    names(&mut text, &args.jobs, &survey, &plan)?;
    targets(&mut text, &series, plan.rules.window)?;
    lines(&text)?;
    Ok(Outcome::Done)
}

fn overview(text: &mut String, source: &Snapshot) {
    let mut line = |words: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words}");
    };
    if source.is_simulated() {
        line("SIMULATED  nothing in this snapshot was measured".to_owned());
    }
    line(format!("snapshot   {}", source.name()));
    if let Some(range) = source.time_range() {
        line(format!("time       {range}"));
    }
    line(format!("series     {} (a series in several blocks counts once for each)", source.series_count()));
    for block in source.database().blocks() {
        line(format!(
            "block      {} {}, level {}, {} samples, {} series",
            block.ulid, block.window, block.compaction_level, block.stats.samples, block.stats.series
        ));
    }
    for head in source.database().heads() {
        let window = head.window().map_or("without samples".to_owned(), |window| window.to_string());
        line(format!("head       {window}, {} series, {} files", head.series_count(), head.files().count()));
    }
    line(format!("jobs       {}", source.label_values("job").join(", ")));
    for words in source.notes() {
        line(format!("note       {words}"));
    }
    for left in source.left_out() {
        line(format!("left out   {}: {}", left.what, left.why));
    }
}

/// Nodes that only the job log or only the series know, with the likely partner on the other side.
fn names(
    text: &mut String,
    jobs: &JobsArgs,
    survey: &ledger::Survey<'_>,
    plan: &Plan,
) -> Result<(), Failure> {
    let Some(log) = jobs.read(plan.jobs_tz)? else { return Ok(()) };
    for missing in survey.unmatched(&log, &plan.rules) {
        let partner = missing.partner.map(|name| format!(": is it `{name}`?")).unwrap_or_default();
        let side = match missing.side {
            Side::Jobs => "in the job log but without series",
            Side::Series => "has series but is not in the job log",
        };
        let _ = writeln!(text, "unmatched  {} {side}{partner}", missing.name);
    }
    Ok(())
}

/// When each target answered and when not.
fn targets(text: &mut String, series: &[Box<dyn Series + '_>], window: Window) -> Result<(), Failure> {
    let mut stats = ReadStats::default();
    for target in meter::targets::targets(series, window, &mut stats).map_err(LedgerError::from)? {
        let or_unknown = |name: &str| if name.is_empty() { "?".to_owned() } else { name.to_owned() };
        let (job, instance) = (or_unknown(&target.job), or_unknown(&target.instance));
        let share = target.availability().map_or("-".to_owned(), crate::figures::percent);
        let _ = writeln!(text, "target     {job} {instance}: {} scrapes, up {share}", target.scrapes);
        for down in target.down.iter().take(DOWN_SHOWN) {
            let _ = writeln!(text, "             down {down}");
        }
        if let Some(more) = target.down.len().checked_sub(DOWN_SHOWN).filter(|more| *more > 0) {
            let _ = writeln!(text, "             down {more} more times");
        }
        if let Some(gap) = target.longest_gap {
            let _ = writeln!(text, "             longest gap {gap} ({:.0} s)", gap.length_s());
        }
        if let Some((first, last)) = target.seen_ms {
            let _ = writeln!(text, "             seen {} to {}", format_instant(first), format_instant(last));
        }
    }
    for skipped in stats.skipped() {
        let _ = writeln!(text, "left out   `up`: {skipped}");
    }
    for problem in &stats.problems {
        let _ = writeln!(text, "left out   {problem}");
    }
    Ok(())
}

fn nodes(text: &mut String, inventory: &Inventory<'_>, plan: &Plan) {
    if inventory.nodes.is_empty() {
        let _ = writeln!(text, "nodes      none: no series is in the meter catalog");
    }
    for (name, node) in &inventory.nodes {
        let exporters: Vec<&str> = node.exporters.iter().map(String::as_str).collect();
        let _ = writeln!(text, "node       {name}: {}", exporters.join(", "));
        let _ = writeln!(text, "  machine  {}", machine(&node.machine));
        for device in ledger::outlook(name, node, &plan.rules) {
            let _ = writeln!(text, "  {}", outlook_line(&device));
        }
    }
    let mut parts: BTreeMap<String, usize> = BTreeMap::new();
    for row in &inventory.rows {
        if let crate::meter::inventory::Use::Part(whole) = &row.used {
            *parts.entry(format!("{} is part of {whole}", row.labels.metric())).or_default() += 1;
        }
    }
    for (part, count) in parts {
        let _ = writeln!(text, "not added  {part} ({count} series)");
    }
}

fn machine(machine: &Machine) -> String {
    let count = |number: Option<u32>, one: &str, more: &str| {
        number.map(|number| format!("{number} {}", if number == 1 { one } else { more }))
    };
    let words: Vec<String> = [
        machine.product.clone(),
        machine.cpu_model.clone(),
        count(machine.sockets, "socket", "sockets"),
        count(machine.logical_cpus, "logical CPU", "logical CPUs"),
        count(machine.threads_per_core, "thread a core", "threads a core"),
        machine.kernel.clone().map(|kernel| format!("kernel {kernel}")),
        machine.is_virtual.then(|| "virtual machine".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if words.is_empty() { "not described".to_owned() } else { words.join(", ") }
}

/// One device and its method.
pub(super) fn outlook_line(device: &Outlook) -> String {
    let id = if device.key.id.is_empty() { String::new() } else { format!(" {}", device.key.id) };
    let model = if device.model.is_empty() { String::new() } else { format!(" ({})", device.model) };
    let source = if device.source.is_empty() { String::new() } else { format!(" from {}", device.source) };
    let why = if device.why.is_empty() { String::new() } else { format!("; {}", device.why) };
    format!("{}{id}{model}: {}{source}{why}", device.key.component, device.method)
}
