//! What went into a report and what of it could not be used, in words.

use std::collections::BTreeMap;
use std::path::Path;

use super::inputs::Inputs;
use crate::config::Plan;
use crate::hash::file_sha256;
use crate::jobs::JobLog;
use crate::ledger::Books;
use crate::meter::catalog::Component;
use crate::report::{InputFile, Provenance};
use crate::source::Source;

/// What went in, and what of it could not be used.
pub(super) fn provenance(
    source: &dyn Source,
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
    let name_of = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let logs = log.iter().flat_map(|log| &log.inputs).filter(|input| !input.sha256.is_empty());
    files.extend(logs.map(|input| InputFile {
        role: "jobs",
        name: name_of(&input.path).unwrap_or_default(),
        sha256: input.sha256.clone(),
    }));
    let mut add = |role: &'static str, path: &Path| {
        let name = name_of(path).unwrap_or_default();
        files.push(InputFile { role, name, sha256: file_sha256(path).unwrap_or_default() });
    };
    inputs.config.iter().for_each(|path| add("config", path));
    plan.statement.contracts.iter().for_each(|contracts| add("contracts", &contracts.path));
    plan.statement.purchases.iter().for_each(|purchases| add("purchases", &purchases.path));
    // A file of a store has a line for each source in it.
    let mut intensities: Vec<_> = plan.intensity.inputs().iter().map(|input| input.path.as_path()).collect();
    intensities.dedup();
    intensities.into_iter().for_each(|path| add("intensity", path));

    let mut left_out: Vec<String> =
        source.left_out().iter().map(|left| format!("{}: {}", left.what, left.why)).collect();
    left_out.extend(books.read.problems.iter().map(ToString::to_string));
    left_out.extend(books.read.skipped());
    let more = |what: String, total: u64, listed: usize| {
        let more = total.saturating_sub(listed as u64);
        (more > 0).then(|| format!("{what}: {more} more lines"))
    };
    if let Some(log) = log {
        left_out.extend(log.rejected.iter().map(ToString::to_string));
        left_out.extend(more("the job log".to_owned(), log.rejected_total, log.rejected.len()));
    }
    for input in plan.intensity.inputs() {
        let lines = input.rejected_lines.iter();
        left_out
            .extend(lines.map(|bad| format!("`{}` line {}: {}", input.path.display(), bad.line, bad.reason)));
        let name = format!("`{}`", input.path.display());
        left_out.extend(more(name, input.rejected, input.rejected_lines.len()));
    }
    let mut notes = plan.notes.clone();
    notes.extend_from_slice(&plan.intensity_notes);
    notes.extend(source.notes());
    if source.is_simulated() {
        notes.push("SIMULATED: nothing in this report was measured".to_owned());
    }
    if books.nodes.is_empty() {
        notes.push(if source.series_count() == 0 {
            "no series, and no node in the job log".to_owned()
        } else {
            "no meter was found: none of the series is in the meter catalog".to_owned()
        });
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
    notes.extend(books.time_shift.map(|shift| {
        let way = if shift.hours > 0 { "later" } else { "earlier" };
        format!(
            "runs fit what their nodes did clearly better {} h {way} (correlation {:.2} instead of {:.2}): if the job log \
             has local times, name their zone with `--jobs-tz`; it is now `{}`",
            shift.hours.abs(),
            shift.fit,
            shift.fit_as_read,
            plan.jobs_tz.name()
        )
    }));
    notes.extend(node_notes(books, plan.rules.model_unseen_nodes));
    if plan.rules.hardware.iter().all(|stated| stated.other_w.is_none())
        && books.nodes.iter().any(|node| node.node_meter.is_none())
    {
        notes.push("nodes without a node meter have no `other`: 0 W is taken for it".to_owned());
    }
    let counts = log.map(job_counts);
    Provenance {
        title: plan.title(),
        inputs: files,
        settings: plan.settings(),
        simulated: source.is_simulated(),
        left_out,
        jobs: counts.unwrap_or_default(),
        scrape_jobs: source.label_values("job"),
        notes,
        attributions: plan.attributions.iter().map(ToString::to_string).collect(),
    }
}

/// What a job log held.
pub(super) fn job_counts(log: &JobLog) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("runs", log.runs.len() as u64),
        ("rejected_lines", log.rejected_total),
        ("never_started", log.skipped.never_started),
        ("steps_folded", log.skipped.steps),
        ("orphan_steps", log.skipped.orphan_steps),
        ("duplicates", log.skipped.duplicates),
        ("superseded", log.skipped.superseded),
        ("zero_length", log.skipped.zero_length),
        ("without_nodes", log.skipped.without_nodes),
    ])
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
pub(super) fn node_notes(books: &Books, models_unseen: bool) -> Vec<String> {
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
        if !models_unseen {
            notes.push(format!("in the job log but without series: {}{hint}{all}", shorten(&names)));
        } else if !hint.is_empty() {
            notes.push(format!(
                "modelled from the job log, for they have no series: {}{hint} If they are one machine its energy is counted \
                 twice until `[nodes.alias]` says so",
                shorten(&names)
            ));
        }
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
