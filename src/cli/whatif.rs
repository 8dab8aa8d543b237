//! `wattledger whatif`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::charts::ChartArgs;
use super::inputs::InputArgs;
use super::output::{note, wrote};
use super::provenance::provenance;
use super::report::{CellArgs, can_be_written};
use super::summary::print_notes;
use super::{Failure, Outcome};
use crate::carbon::Tier;
use crate::config::question;
use crate::figures::{figures, mass, percent};
use crate::ledger::{Place, WhatIf, what_if};
use crate::report::WhatIfSubject;
use crate::sum::sum;

/// The same runs elsewhere and at other times: what their energy would have emitted in other zones, and at each run's best start.
///
/// Takes the inputs of `wattledger report`. With --zones it writes whatif_zones.csv and whatif_zones.png: all energy, hour by hour,
/// at the factors of other zones. With --shift it writes whatif_shift.csv and whatif_shift.png: each run at the start within its slack
/// at which it would have emitted least, where it was and, with --zones, in the best zone. Runs are moved later only, with their
/// energy over time as it was; the best start is known afterwards, and it is not asked whether nodes were free, so that
/// the sum is a bound and no forecast.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  In other places, by the shipped figures:
  wattledger whatif --snapshot SNAPSHOT --jobs sacct.txt --zone DE --zones FR,SE,US-CAL-CISO

  Up to a day later, by real hours:
  wattledger whatif --snapshot SNAPSHOT --jobs sacct.txt --zone DE \\
      --intensity DE_2026_hourly.csv --shift 24h

  Both, with hours of each place:
  wattledger whatif --snapshot SNAPSHOT --jobs sacct.txt --zone DE --intensity hours/ \\
      --zones FR,SE --shift 24h")]
pub(super) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    /// Zones to price the same energy in, parted by commas.
    #[arg(long, value_name = "ZONES", value_delimiter = ',', required_unless_present = "shift")]
    zones: Vec<String>,
    /// By how much each run may start later: `24h`, `7d`.
    #[arg(long, value_name = "LENGTH")]
    shift: Option<String>,
    /// Directory for the files.
    #[arg(long, value_name = "DIR", default_value = "wattledger-whatif")]
    out: PathBuf,
    #[command(flatten)]
    charts: ChartArgs,
    #[command(flatten)]
    cells: CellArgs,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    can_be_written(&args.out)?;
    let mut inputs = args.inputs.gather()?;
    inputs.request.run_zones.clone_from(&args.zones);
    let opened = inputs.open()?;
    let plan = &opened.plan;
    let question = question(&args.zones, args.shift.as_deref(), plan)?;
    let books = opened.close_books()?;
    let runs = opened.jobs().runs;
    let found = what_if(&books, runs, opened.prices(), &question);
    let provenance = provenance(opened.source.as_ref(), plan, opened.log.as_ref(), &books, &inputs);
    let subject = WhatIfSubject {
        found: &found,
        runs,
        basis: plan.intensity.basis(),
        window: plan.rules.window,
        slack_ms: question.slack_ms,
        provenance: &provenance,
        balanced: books.balances.close(),
    };
    let written = subject.write(&args.out, args.charts.files(), args.cells.text())?;
    let simulated = if provenance.simulated { "SIMULATED " } else { "" };
    note(format_args!("{simulated}{}, {}", plan.rules.window, provenance.title));
    print_places(&found);
    if let Some(text) = &args.shift {
        print_shift(&found, text);
    }
    print_notes(&provenance);
    wrote(&args.out, &written);
    Ok(if books.balances.close() { Outcome::Done } else { Outcome::Unbalanced })
}

/// A line for each place.
fn print_places(found: &WhatIf) {
    let as_run = &found.as_run;
    let width = found.elsewhere.iter().map(|place| name(place).len()).fold("as run".len(), usize::max);
    let line = |name: &str, words: &str| note(format_args!("  {name:<width$}  {words}"));
    line("as run", &place_words(as_run));
    for place in &found.elsewhere {
        let difference = place.beyond_gco2e(as_run).zip(as_run.total_gco2e());
        let difference = difference.filter(|(_, total)| *total > 0.0);
        let words = difference.map(|(more, total)| format!(", {}", signed_percent(more / total)));
        line(&name(place), &format!("{}{}", place_words(place), words.unwrap_or_default()));
    }
}

fn name(place: &Place) -> String {
    place.zones.iter().map(|zone| zone.as_str()).collect::<Vec<_>>().join("+")
}

fn place_words(place: &Place) -> String {
    let Some((grams, mean)) = place.total_gco2e().zip(place.mean_g_per_kwh()) else {
        let why =
            if place.zones.is_empty() { "no zone is named" } else { "no factor of this basis is known" };
        return format!("not priced: {why}");
    };
    let all_j = place.facility_energy_j;
    let share = |part_j: f64| percent(if all_j > 0.0 { part_j / all_j } else { 0.0 });
    let mut by: Vec<String> =
        place.tiers_j.iter().map(|(tier, energy_j)| format!("{tier} {}", share(*energy_j))).collect();
    if place.unpriced_j > 0.0 {
        by.push(format!("not priced {}", share(place.unpriced_j)));
    }
    format!("{} at {} gCO2e/kWh by {}", mass(grams), figures(mean), by.join(", "))
}

fn signed_percent(share: f64) -> String {
    let sign = if share < 0.0 { "-" } else { "+" };
    format!("{sign}{}", percent(share.abs()))
}

/// What could have been saved by starting later, and the runs that stay.
fn print_shift(found: &WhatIf, slack: &str) {
    let Some(all) = found.as_run.total_gco2e() else { return };
    let of_runs = found.as_run.emissions_gco2e.first().copied().unwrap_or(0.0);
    let line = |name: &str, savings: &BTreeMap<Tier, f64>| {
        let saved = sum(savings.values().copied());
        let part = |whole: f64| percent(if whole > 0.0 { saved / whole } else { 0.0 });
        note(format_args!(
            "  {name}: at most {} less, {} of the runs' emissions and {} of all; {} remain",
            mass(saved),
            part(of_runs),
            part(all),
            mass(all - saved)
        ));
        for (tier, grams) in savings {
            let what = match tier {
                Tier::Hourly => "by real hours",
                _ if tier.has_hours() => "by the hours of a mean day, not by real ones",
                _ => "by figures that know no hours",
            };
            note(format_args!("    {} {what} ({tier})", mass(*grams)));
        }
    };
    line(&format!("up to {slack} later"), &found.later_gco2e());
    if !found.elsewhere.is_empty() {
        line(&format!("up to {slack} later, in the best zone"), &found.anywhere_gco2e());
    }
    let stay: Vec<String> =
        found.stays().into_iter().map(|(stays, runs)| format!("{runs} {}", stays.as_str())).collect();
    if !stay.is_empty() {
        note(format_args!("  not moved: of {} runs {}", found.runs.len(), stay.join(", ")));
    }
    note(format_args!(
        "  no forecast: the best start is known afterwards only, and whether nodes were free is not asked"
    ));
}
