//! `wattledger report --explain`: the plan as text.

use std::fmt::Write as _;

use super::Failure;
use super::inputs::Inputs;
use crate::config::Plan;
use crate::jobs::JobLog;
use crate::ledger;
use crate::source::Source;
use crate::time::format_instant;

/// The plan as text: sources, window, nodes matched and not, methods.
pub(super) fn explain(
    source: &dyn Source,
    plan: &Plan,
    log: Option<&JobLog>,
    inputs: &Inputs,
) -> Result<String, Failure> {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words}");
    };
    line(format!("window     {}", plan.rules.window));
    line(format!("snapshot   {} ({})", source.name(), source.describe()));
    match log {
        Some(log) => {
            for input in &log.inputs {
                line(format!("jobs       {} ({})", input.path.display(), input.format));
            }
            let covered =
                log.covered.map(|covered| covered.to_string()).unwrap_or_else(|| "nothing".to_owned());
            line(format!("runs       {}, the log covers {covered}", log.runs.len()));
        }
        None => line("jobs       none: all energy will be unattributed".to_owned()),
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
    if let Some(contracts) = &plan.statement.contracts {
        line(format!(
            "contracts  {}: {} rows and {} residual mixes, matched {}",
            contracts.path.display(),
            contracts.rows.len(),
            contracts.residual.len(),
            plan.statement.matching.as_str()
        ));
    }
    let series = ledger::select(source, &plan.rules)?;
    let survey = ledger::survey(&series, &plan.rules);
    let in_log = survey.known_to_scheduler(log, &plan.rules);
    for (name, node) in &survey.inventory.nodes {
        let known = if in_log.contains(name) || log.is_none() { "" } else { ", not known to the scheduler" };
        line(format!("node       {name}{known}"));
        for device in ledger::outlook(name, node, &plan.rules) {
            line(format!("  {}", super::inspect::outlook_line(&device)));
        }
    }
    for name in in_log.iter().filter(|name| !survey.inventory.nodes.contains_key(*name)) {
        let how =
            if plan.rules.model_unseen_nodes { ": modelled from the log (modelled:joblog)" } else { "" };
        line(format!("missing    node `{name}` of the job log has no series{how}"));
    }
    for words in plan.notes.iter().chain(&plan.intensity_notes).chain(&source.notes()) {
        line(format!("note       {words}"));
    }
    Ok(text)
}
