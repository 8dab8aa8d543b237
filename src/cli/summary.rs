//! The report in a few lines, on stderr.

use super::output::{energy, figures, mass, note, percent};
use crate::report::Provenance;

/// The report in a few lines, on stderr.
pub(super) fn print_summary(summary: &serde_json::Value, provenance: &Provenance) {
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
    let within = |name: &str, words: fn(f64) -> String| -> String {
        let [low, high] = ["low", "high"].map(|side| number(&format!("/{name}_{side}")));
        low.zip(high)
            .map_or_else(String::new, |(low, high)| format!(", within {} to {}", words(low), words(high)))
    };
    note(format_args!("  energy     {}{}", energy(total), within("energy_kwh", energy)));
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
            "  emissions  {}{} ({} km by car, {} tree-months)",
            mass(grams),
            within("emissions_gco2e", mass),
            figures(number("/equivalents/car_km/count").unwrap_or(0.0)),
            figures(number("/equivalents/tree_months/count").unwrap_or(0.0)),
        )),
        None => note(format_args!("  emissions  not priced")),
    }
    note(format_args!("    priced   {}", shares("/energy_share_by_intensity_tier")));
    if number("/emissions_gco2e").is_some() {
        note(format_args!("    from     {}", shares("/energy_share_by_factor_source")));
    }
    if let Some(market) = number("/statement/scope_2_market_gco2e") {
        let upstream = number("/statement/scope_3_category_3_gco2e");
        let upstream = upstream.map_or("not known".to_owned(), mass);
        note(format_args!("  market     {} by contracts, upstream {upstream}", mass(market)));
    }
    if let Some(embodied) = number("/statement/embodied_amortised_gco2e") {
        note(format_args!("  embodied   {} amortised", mass(embodied)));
    }
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
    print_notes(provenance);
}

/// What was left out and what a reader should know, on stderr.
pub(super) fn print_notes(provenance: &Provenance) {
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
