//! `wattledger report`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;

use super::output::{bar, data, energy, figures, mass, note, percent};
use super::{Failure, Outcome};
use crate::config::{ConfigError, ConfigFile, Defaults, Plan, Request, find_file};
use crate::hash::file_sha256;
use crate::jobs::{self, JobLog};
use crate::ledger::{self, Books, Jobs, Prices, close_books};
use crate::meter::catalog::Component;
use crate::meter::edges::EdgeRule;
use crate::report::{InputFile, Provenance, Report, Subject};
use crate::source::{Snapshot, Source};
use crate::time::format_instant;

/// Energy and emissions of every run, user and node: CSV tables and PNG charts.
///
/// Reads a Prometheus snapshot and a job log, and writes runs.csv, hourly.csv,
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

  What would be done, and with which method for each device:
  wattledger report --snapshot SNAPSHOT --jobs sacct.txt --zone DE --explain")]
pub(super) struct Args {
    /// Prometheus snapshot, folder of TSDB blocks, or one block.
    #[arg(long, value_name = "DIR")]
    snapshot: PathBuf,
    /// Job log: `sacct -P` text, or a CSV with run_id,start,end,nodes. Without it all energy is unattributed.
    #[arg(long, value_name = "FILE")]
    jobs: Option<PathBuf>,
    /// Country or zone whose carbon intensity applies: `DE`, `Germany`, `US-CAL-CISO`.
    #[arg(long, visible_alias = "country", value_name = "ZONE")]
    zone: Option<String>,
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
    /// Carbon intensity: CSV `timestamp,gco2e_per_kwh` or an Electricity Maps download; may be given more than once.
    #[arg(long, value_name = "PATH")]
    intensity: Vec<PathBuf>,
    /// What the intensity counts: `life-cycle` or `direct`, `average` or `marginal`, `production` or `consumption`.
    #[arg(long, value_name = "WORDS")]
    basis: Option<String>,
    /// Facility energy divided by IT energy; default 1.0.
    #[arg(long)]
    pue: Option<f64>,
    /// Model for processors and GPUs without a meter: `tdp-curve`, `tdp-linear`, `codecarbon-cubic`.
    #[arg(long, value_name = "NAME")]
    power_model: Option<String>,
    /// Whether whole-node meters see the GPUs.
    #[arg(long, value_name = "yes|no|unknown")]
    gpu_in_node_meter: Option<Answer>,
    /// How energy between two readings is split at a run's edge.
    #[arg(long, default_value = "power")]
    edges: Edges,
    /// Time zone of job-log times without an offset, such as `Europe/Berlin`; default UTC.
    #[arg(long, value_name = "ZONE")]
    jobs_tz: Option<String>,
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Edges {
    /// By the power on either side.
    Power,
    /// By time alone, as other tools do; for comparison.
    Linear,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Answer {
    Yes,
    No,
    Unknown,
}

/// The files of one report.
pub(super) struct Inputs {
    pub(super) snapshot: PathBuf,
    pub(super) jobs: Option<PathBuf>,
    pub(super) config: Option<PathBuf>,
    pub(super) out: PathBuf,
    pub(super) charts: bool,
    pub(super) strict: bool,
    pub(super) explain: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let (file, config) = find_file(args.config.as_deref())?;
    let request = Request {
        from: args.from.clone(),
        to: args.to.clone(),
        zone: args.zone.clone(),
        intensity: args.intensity.clone(),
        basis: args.basis.clone(),
        pue: args.pue,
        power_model: args.power_model.clone(),
        edges: match args.edges {
            Edges::Power => EdgeRule::Power,
            Edges::Linear => EdgeRule::Linear,
        },
        gpu_in_node_meter: args.gpu_in_node_meter.map(|answer| match answer {
            Answer::Yes => ledger::GpuInNodeMeter::Yes,
            Answer::No => ledger::GpuInNodeMeter::No,
            Answer::Unknown => ledger::GpuInNodeMeter::Unknown,
        }),
        jobs_tz: args.jobs_tz.clone(),
        jobs_from: args.jobs_from.clone(),
        jobs_to: args.jobs_to.clone(),
    };
    let inputs = Inputs {
        snapshot: args.snapshot.clone(),
        jobs: args.jobs.clone(),
        config,
        out: args.out.clone(),
        charts: !args.no_charts,
        strict: args.strict,
        explain: args.explain,
    };
    make(&inputs, &request, &file)
}

/// Makes a report, or with `explain` says how it would be made.
pub(super) fn make(inputs: &Inputs, request: &Request, file: &ConfigFile) -> Result<Outcome, Failure> {
    // Before any work, not after it.
    if inputs.out.exists() && !inputs.out.is_dir() && !inputs.explain {
        return Err(ConfigError::Value {
            setting: "--out".to_owned(),
            reason: format!("`{}` exists and is not a directory", inputs.out.display()),
            hint: Some("choose another directory".to_owned()),
        }
        .into());
    }
    let source = Snapshot::open(&inputs.snapshot)?;
    let plan = Plan::new(request, file, source.time_range())?;
    let log = match &inputs.jobs {
        Some(path) => Some(jobs::read(path, &jobs::Options { zone: plan.jobs_tz })?),
        None => None,
    };
    if inputs.explain {
        data(&explain(&source, &plan, log.as_ref(), inputs)?)?;
        return Ok(Outcome::Done);
    }
    let runs = log.as_ref().map_or(&[][..], |log| log.runs.as_slice());
    let covered = log.as_ref().and_then(|log| log.covered);
    let jobs = Jobs { runs, covered, is_given: log.is_some() };
    let bar = bar("reading nodes");
    let books = close_books(&source, jobs, &plan.rules, &|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let books = books?;
    let provenance = provenance(&source, &plan, log.as_ref(), &books, inputs);
    let prices = Prices { intensity: &plan.intensity, zone: plan.zone.as_ref(), pue: plan.pue };
    let report = Report::new(Subject { books: &books, runs, prices, provenance: &provenance })?;
    let written = report.write(&inputs.out, inputs.charts)?;
    print_summary(&report.summary()?, &provenance);
    let names: Vec<String> = written
        .iter()
        .filter_map(|path| path.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    note(format_args!("wrote {}: {}", inputs.out.display(), names.join(", ")));
    Ok(if !books.balances.close() {
        Outcome::Unbalanced
    } else if inputs.strict && has_left_out(&source, log.as_ref(), &books, &plan) {
        Outcome::LeftOut
    } else {
        Outcome::Done
    })
}

fn has_left_out(source: &Snapshot, log: Option<&JobLog>, books: &Books, plan: &Plan) -> bool {
    source.left_out().iter().any(|left| left.is_problem)
        || log.is_some_and(|log| log.rejected_total > 0)
        || books.read.chunks_damaged > 0
        || !books.read.chunks_skipped.is_empty()
        || plan.intensity.inputs().iter().any(|input| input.rejected > 0)
}

/// What went in, and what of it could not be used.
fn provenance(
    source: &Snapshot,
    plan: &Plan,
    log: Option<&JobLog>,
    books: &Books,
    inputs: &Inputs,
) -> Provenance {
    let mut files: Vec<InputFile> = source
        .identity()
        .into_iter()
        .map(|(name, sha256)| InputFile { role: "snapshot", name, sha256 })
        .collect();
    let mut add = |role: &'static str, path: &std::path::Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.push(InputFile { role, name, sha256: file_sha256(path).unwrap_or_default() });
    };
    inputs.jobs.iter().for_each(|path| add("jobs", path));
    inputs.config.iter().for_each(|path| add("config", path));
    plan.intensity.inputs().iter().for_each(|input| add("intensity", &input.path));

    let mut left_out: Vec<String> =
        source.left_out().iter().map(|left| format!("{}: {}", left.what, left.why)).collect();
    left_out.extend(books.read.problems.iter().map(ToString::to_string));
    for (encoding, chunks) in &books.read.chunks_skipped {
        left_out.push(format!("{chunks} chunks in encoding {encoding}: not read yet"));
    }
    let more = |path: &std::path::Path, total: u64, listed: usize| {
        let more = total.saturating_sub(listed as u64);
        (more > 0).then(|| format!("`{}`: {more} more lines", path.display()))
    };
    for (log, path) in log.iter().zip(&inputs.jobs) {
        left_out.extend(log.rejected.iter().map(ToString::to_string));
        left_out.extend(more(path, log.rejected_total, log.rejected.len()));
    }
    for input in plan.intensity.inputs() {
        let lines = input.rejected_lines.iter();
        left_out
            .extend(lines.map(|bad| format!("`{}` line {}: {}", input.path.display(), bad.line, bad.reason)));
        left_out.extend(more(&input.path, input.rejected, input.rejected_lines.len()));
    }
    let mut notes = plan.notes.clone();
    if source.is_simulated() {
        notes.push("SIMULATED: nothing in this report was measured".to_owned());
    }
    if books.nodes.is_empty() {
        notes.push("no meter was found: none of the series is in the meter catalog".to_owned());
    }
    match log {
        None => notes.push("no job log: all energy is unattributed".to_owned()),
        Some(log) => {
            if log.runs.is_empty() {
                notes.push("job log: no run in it".to_owned());
            }
            notes.extend(log.notes.iter().map(|note| format!("job log: {note}")));
            notes.extend(unknown_zones(log, plan));
        }
    }
    notes.extend(node_notes(books));
    if plan.rules.hardware.iter().all(|stated| stated.other_w.is_none())
        && books.nodes.iter().any(|node| node.node_meter.is_none())
    {
        notes.push("nodes without a node meter have no `other`: 0 W is taken for it".to_owned());
    }
    let counts = log.map(|log| {
        BTreeMap::from([
            ("runs", log.runs.len() as u64),
            ("rejected_lines", log.rejected_total),
            ("never_started", log.skipped.never_started),
            ("steps_folded", log.skipped.steps),
            ("orphan_steps", log.skipped.orphan_steps),
            ("duplicates", log.skipped.duplicates),
            ("superseded", log.skipped.superseded),
            ("zero_length", log.skipped.zero_length),
        ])
    });
    Provenance {
        title: plan.title(),
        inputs: files,
        settings: plan.settings(),
        simulated: source.is_simulated(),
        left_out,
        jobs: counts.unwrap_or_default(),
        scrape_jobs: source.label_values("job"),
        notes,
        attributions: plan.intensity.attributions().iter().map(ToString::to_string).collect(),
    }
}

/// Zones that runs name and that nobody knows: their energy is not priced.
fn unknown_zones(log: &JobLog, plan: &Plan) -> Vec<String> {
    let mut runs: BTreeMap<&str, usize> = BTreeMap::new();
    for zone in log.runs.iter().filter_map(|run| run.zone.as_deref()) {
        *runs.entry(zone).or_default() += 1;
    }
    runs.retain(|zone, _| plan.intensity.zone(zone).is_err());
    runs.into_iter()
        .map(|(zone, runs)| {
            format!("`{zone}` in the job log is not a known zone: {runs} runs are not priced")
        })
        .collect()
}

/// Notes of nodes, each once with the nodes that it holds for.
fn node_notes(books: &Books) -> Vec<String> {
    let mut by_note: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in &books.nodes {
        for note in &node.notes {
            by_note.entry(note).or_default().push(&node.name);
        }
    }
    let boards: Vec<&str> = books
        .nodes
        .iter()
        .filter(|node| {
            node.node_meter.is_some()
                && node.devices.iter().all(|device| device.key.component == Component::Other)
        })
        .map(|node| node.name.as_str())
        .collect();
    let mut notes: Vec<String> =
        by_note.into_iter().map(|(note, nodes)| format!("{}: {note}", shorten(&nodes))).collect();
    if !boards.is_empty() {
        notes.push(format!(
            "{}: a node meter and nothing else: if it is the board of another node, that energy is counted twice \
             until `[nodes.alias]` says whose it is",
            shorten(&boards)
        ));
    }
    if !books.nodes_without_series.is_empty() {
        let names: Vec<&str> = books.nodes_without_series.iter().map(|(name, _)| name.as_str()).collect();
        let hint = books
            .nodes_without_series
            .iter()
            .find_map(|(name, partner)| {
                partner.as_ref().map(|partner| format!(", is `{name}` called `{partner}`?"))
            })
            .unwrap_or_default();
        let all = if !books.nodes.is_empty() && books.nodes.iter().all(|node| !node.known) {
            "; not one node of the job log has series: state the names in `[nodes.alias]`, such as `\"n(\\d+)\" = \"node$1\"`"
        } else {
            ""
        };
        notes.push(format!("in the job log but without series: {}{hint}{all}", shorten(&names)));
    }
    notes
}

fn shorten(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The report in a few lines, on stderr.
fn print_summary(summary: &serde_json::Value, provenance: &Provenance) {
    let number = |pointer: &str| summary.pointer(pointer).and_then(serde_json::Value::as_f64);
    let text = |pointer: &str| summary.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or("?");
    let total = number("/energy_kwh").unwrap_or(0.0);
    let parts = |pointer: &str, names: &[&str]| -> String {
        names
            .iter()
            .map(|name| {
                let part = number(&format!("{pointer}/{name}")).unwrap_or(0.0);
                format!("{name} {}", percent(if total > 0.0 { part / total } else { 0.0 }))
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    let shares = |pointer: &str| -> String {
        let shares = summary.pointer(pointer).and_then(serde_json::Value::as_object);
        let listed: Vec<String> = shares
            .into_iter()
            .flatten()
            .map(|(name, share)| format!("{name} {}", percent(share.as_f64().unwrap_or(0.0))))
            .collect();
        if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
    };
    let simulated = if provenance.simulated { "SIMULATED " } else { "" };
    note(format_args!("{simulated}{} to {}, {}", text("/window/start"), text("/window/end"), text("/title")));
    note(format_args!("  energy     {}", energy(total)));
    note(format_args!(
        "    for      {}",
        parts("/energy_kwh_by_beneficiary", &["run", "idle", "infrastructure", "unattributed"])
    ));
    note(format_args!(
        "    in       {}",
        parts("/energy_kwh_by_component", &["cpu", "dram", "gpu", "other"])
    ));
    note(format_args!("    by       {}", shares("/energy_share_by_method")));
    match number("/emissions_gco2e") {
        Some(grams) => note(format_args!(
            "  emissions  {} ({} km by car, {} tree-months)",
            mass(grams),
            figures(number("/equivalents/car_km").unwrap_or(0.0)),
            figures(number("/equivalents/tree_months").unwrap_or(0.0)),
        )),
        None => note(format_args!("  emissions  not priced")),
    }
    note(format_args!("    priced   {}", shares("/energy_share_by_intensity_tier")));
    if let Some(covered) = number("/coverage/covered") {
        let interpolated = number("/coverage/interpolated").unwrap_or(0.0);
        note(format_args!("  coverage   {} seen, {} interpolated", percent(covered), percent(interpolated)));
    }
    let closes = |name: &str| {
        let good =
            summary.pointer(&format!("/balances/{name}/closes")) == Some(&serde_json::Value::Bool(true));
        let failures = number(&format!("/balances/{name}/failures")).unwrap_or(0.0);
        if good { format!("{name} closes") } else { format!("{name} DOES NOT CLOSE ({failures} failures)") }
    };
    note(format_args!("  balance    {}, {}, {}", closes("B1"), closes("B2"), closes("B3")));
    const SHOWN: usize = 10;
    for left in provenance.left_out.iter().take(SHOWN) {
        note(format_args!("  left out   {left}"));
    }
    if provenance.left_out.len() > SHOWN {
        note(format_args!("  left out   … and {} more in summary.json", provenance.left_out.len() - SHOWN));
    }
    for line in &provenance.notes {
        note(format_args!("  note       {line}"));
    }
}

/// The plan as text: sources, window, nodes matched and not, methods.
fn explain(source: &Snapshot, plan: &Plan, log: Option<&JobLog>, inputs: &Inputs) -> Result<String, Failure> {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words}");
    };
    line(format!("window     {}", plan.rules.window));
    line(format!(
        "snapshot   {} ({} series, {} blocks)",
        source.name(),
        source.series_count(),
        source.database().blocks().len()
    ));
    match (log, &inputs.jobs) {
        (Some(log), Some(path)) => {
            let covered =
                log.covered.map(|covered| covered.to_string()).unwrap_or_else(|| "nothing".to_owned());
            line(format!(
                "jobs       {} ({}, {} runs, covers {covered})",
                path.display(),
                log.format,
                log.runs.len()
            ));
        }
        _ => line("jobs       none: all energy will be unattributed".to_owned()),
    }
    if let Some(config) = &inputs.config {
        line(format!("config     {}", config.display()));
    }
    for (name, value) in plan.settings() {
        line(format!("setting    {name} = {value}"));
    }
    let zone = plan.zone.as_ref();
    match zone.and_then(|zone| plan.intensity.factor_at(zone, plan.rules.window.start_ms)) {
        Some(factor) => line(format!(
            "intensity  {} gCO2e/kWh at {}, tier {}, {} {}",
            factor.intensity.value(),
            format_instant(plan.rules.window.start_ms),
            factor.tier,
            factor.source,
            factor.release
        )),
        None => line("intensity  none: energy will be unpriced".to_owned()),
    }
    let series = ledger::select(source, &plan.rules)?;
    let survey = ledger::survey(&series, &plan.rules)?;
    let mut in_log: std::collections::BTreeSet<String> = log
        .iter()
        .flat_map(|log| &log.runs)
        .flat_map(|run| &run.allocations)
        .map(|part| survey.names.aliases().canonical(&part.node))
        .collect();
    in_log.extend(plan.rules.scheduler_nodes.iter().map(|name| survey.names.aliases().canonical(name)));
    for (name, node) in &survey.inventory.nodes {
        let known = if in_log.contains(name) || log.is_none() { "" } else { ", not known to the scheduler" };
        line(format!("node       {name}{known}"));
        for device in ledger::outlook(name, node, &plan.rules) {
            line(format!("  {}", super::inspect::outlook_line(&device)));
        }
    }
    for name in in_log.iter().filter(|name| !survey.inventory.nodes.contains_key(*name)) {
        line(format!("missing    node `{name}` of the job log has no series"));
    }
    for words in &plan.notes {
        line(format!("note       {words}"));
    }
    Ok(text)
}
