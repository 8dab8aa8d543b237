//! The report on one screen, on stderr.

use anstyle::{AnsiColor, Style};

use super::output::{note, styled};
use crate::figures::{energy, figures, mass, percent};
use crate::plain_text::{cut, visible};
use crate::report::{Amount, Digest, Leader, Provenance};

/// Users and runs that are named.
const TOP: usize = 5;
/// Lines on what was left out, and notes.
const LINES: usize = 5;
const NOTES: usize = 8;
/// Columns of names that anybody may have chosen.
const USER: usize = 12;
const JOB: usize = 24;

const HEAD: Style = Style::new().bold();
const ALARM: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default();

fn within(amount: Amount, words: fn(f64) -> String) -> String {
    let bounds = amount.bounds.map(|(low, high)| format!(", within {} to {}", words(low), words(high)));
    format!("{}{}", words(amount.value), bounds.unwrap_or_default())
}

fn shares<'a>(shares: impl Iterator<Item = (&'a str, f64)>) -> String {
    let listed: Vec<String> =
        shares.map(|(name, share)| format!("{} {}", visible(name), percent(share))).collect();
    if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
}

fn named(shares: &[(String, f64)]) -> impl Iterator<Item = (&str, f64)> {
    shares.iter().map(|(name, share)| (name.as_str(), *share))
}

/// A user in few columns, with the part of all energy.
fn user(leader: &Leader, total_kwh: f64) -> String {
    let name = if leader.name.is_empty() { "(no user)" } else { &leader.name };
    let share = if total_kwh > 0.0 { leader.energy_kwh / total_kwh } else { 0.0 };
    format!("{} {}", cut(name, USER), percent(share))
}

/// A run in few columns: whose it is, what it is called, what it used.
fn run(leader: &Leader) -> String {
    let mut text = cut(&leader.name, JOB).into_owned();
    for (name, columns) in [(&leader.user, USER), (&leader.job, JOB)] {
        if !name.is_empty() {
            text.push(' ');
            text.push_str(&cut(name, columns));
        }
    }
    let emissions = leader.emissions_gco2e.map(|grams| format!(", {}", mass(grams)));
    format!("{text}: {}{}", energy(leader.energy_kwh), emissions.unwrap_or_default())
}

/// The report on one screen, on stderr.
pub(super) fn print_summary(digest: &Digest, provenance: &Provenance) {
    let simulated = if digest.simulated { "SIMULATED " } else { "" };
    let window =
        digest.window.as_ref().map_or("no time".to_owned(), |(start, end)| format!("{start} to {end}"));
    styled(HEAD, format_args!("{simulated}{window}, {}", digest.title));
    note(format_args!("  energy     {}", within(digest.energy_kwh, energy)));
    let parts =
        |parts: &[crate::report::Part]| shares(parts.iter().map(|part| (part.name.as_str(), part.share)));
    note(format_args!("    for      {}", parts(&digest.by_beneficiary)));
    note(format_args!("    in       {}", parts(&digest.by_component)));
    note(format_args!("    by       {}", shares(named(&digest.methods))));
    match digest.emissions_gco2e {
        Some(emissions) => {
            note(format_args!("  emissions  {}", within(emissions, mass)));
            if let Some((car_km, tree_months)) = digest.likened {
                let (car_km, tree_months) = (figures(car_km), figures(tree_months));
                note(format_args!("    like     {car_km} km by car, {tree_months} tree-months"));
            }
        }
        None => note(format_args!("  emissions  not priced")),
    }
    note(format_args!("    priced   {}", shares(named(&digest.tiers))));
    if digest.emissions_gco2e.is_some() {
        note(format_args!("    from     {}", shares(named(&digest.sources))));
    }
    if let Some(market) = digest.market_gco2e {
        let upstream = digest.upstream_gco2e.map_or("not known".to_owned(), mass);
        note(format_args!("  market     {} by contracts, upstream {upstream}", mass(market)));
    }
    if let Some(change) = &digest.change {
        let energy = change.words(digest.energy_kwh.value, change.energy_before_kwh);
        let emissions = digest.emissions_gco2e.zip(change.emissions_before_gco2e);
        let emissions = emissions.and_then(|(now, before)| change.words(now.value, before));
        let word = |what: &str, words: Option<String>| words.map(|words| format!("{what} {words}"));
        let listed: Vec<String> =
            [word("energy", energy), word("emissions", emissions)].into_iter().flatten().collect();
        if !listed.is_empty() {
            note(format_args!("  change     {}", listed.join(", ")));
        }
    }
    if let Some((cost, currency)) = &digest.cost {
        note(format_args!("  cost       {} {currency}", figures(*cost)));
    }
    if let Some(embodied) = digest.embodied_gco2e {
        note(format_args!("  embodied   {} amortised", mass(embodied)));
    }
    // One user alone is all of it.
    if digest.top_users.len() > 1 {
        let users: Vec<String> =
            digest.top_users.iter().take(TOP).map(|leader| user(leader, digest.energy_kwh.value)).collect();
        note(format_args!("  top users  {}", users.join(", ")));
    }
    for (at, leader) in digest.top_runs.iter().take(TOP).enumerate() {
        note(format_args!("  {:<9}  {}", if at == 0 { "top runs" } else { "" }, run(leader)));
    }
    if let Some(covered) = digest.covered {
        let interpolated = digest.interpolated.unwrap_or(0.0);
        note(format_args!("  coverage   {} seen, {} interpolated", percent(covered), percent(interpolated)));
    }
    let closes: Vec<String> = digest
        .balances
        .iter()
        .map(|line| match line.closes {
            true => format!("{} closes", line.name),
            false => format!("{} DOES NOT CLOSE ({} failures)", line.name, line.failures),
        })
        .collect();
    let style = if digest.closes() { Style::new() } else { ALARM };
    styled(style, format_args!("  balance    {}", closes.join(", ")));
    print_notes(provenance);
}

/// What was left out and what a reader should know, on stderr.
pub(super) fn print_notes(provenance: &Provenance) {
    let print = |name: &str, style, lines: &[String], shown: usize| {
        for line in lines.iter().take(shown) {
            styled(style, format_args!("  {name:<9}  {line}"));
        }
        match lines.len().saturating_sub(shown) {
            0 => {}
            more => styled(style, format_args!("  {name:<9}  … and {more} more in summary.json")),
        }
    };
    print("left out", WARNING, &provenance.left_out, LINES);
    print("note", Style::new(), &provenance.notes, NOTES);
}
