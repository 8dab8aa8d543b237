//! The first section of the page: the totals, and where the energy went.

use maud::{Markup, html};

use crate::figures::{energy, figures, percent};
use crate::report::digest::{Amount, Digest, Part};

pub(super) fn section(digest: &Digest) -> Markup {
    html! {
        section id="summary" {
            h2 { "Summary" }
            @if !digest.closes() {
                p.alarm role="alert" { strong { "The books do not balance." } " Do not use these figures; " a href="#balances" { "the balances" } " say where they differ." }
            }
            @if digest.simulated {
                p.alarm { strong { "SIMULATED:" } " nothing in this report was measured." }
            }
            dl.cards {
                (card("Energy", &energy(digest.energy_kwh.value), &[
                    within(digest.energy_kwh, energy),
                    digest.change.as_ref().and_then(|change| change.words(digest.energy_kwh.value, change.energy_before_kwh)),
                    at_the_building(digest),
                ]))
                @match digest.emissions_gco2e {
                    Some(emissions) => (card("Emissions", &mass(emissions.value), &[
                        within(emissions, mass),
                        digest.change.as_ref().and_then(|change| change.words(emissions.value, change.emissions_before_gco2e?)),
                        digest.likened.map(|(km, months)| format!("as much as {} km by car, or {} tree-months", figures(km), figures(months))),
                    ])),
                    None => (card("Emissions", "not priced", &[Some("no factor is known".to_owned())])),
                }
                @if let Some(market) = digest.market_gco2e {
                    (card("Market-based", &mass(market), &[Some("by contracts and residual mixes".to_owned())]))
                }
                @if let Some(upstream) = digest.upstream_gco2e {
                    (card("Upstream", &mass(upstream), &[Some("life-cycle less direct emissions".to_owned())]))
                }
                @if let Some((cost, currency)) = &digest.cost {
                    (card("Cost", &format!("{} {currency}", figures(*cost)), &[Some("of the facility's energy".to_owned())]))
                }
                @if let Some(embodied) = digest.embodied_gco2e {
                    (card("Embodied", &mass(embodied), &[Some("amortised over the life of the hardware".to_owned())]))
                }
                @if let Some(covered) = digest.covered {
                    (card("Coverage", &format!("{} seen", percent(covered)), &[
                        digest.interpolated.map(|share| format!("{} interpolated", percent(share))),
                    ]))
                }
                (card("Balance", if digest.closes() { "closes" } else { "DOES NOT CLOSE" }, &[Some(balances(digest))]))
                (card("Cluster", &counted(digest.runs, "run"), &[Some(format!("on {}", counted(digest.nodes, "node")))]))
            }
            (parts("For whom the energy was", "for", &digest.by_beneficiary))
            (parts("Where in the nodes it was used", "component", &digest.by_component))
        }
    }
}

/// A mass of CO₂e with the letters that a page has.
fn mass(grams: f64) -> String {
    crate::figures::mass(grams).replace("CO2e", "CO₂e")
}

fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", crate::figures::cell(count as f64), if count == 1 { "" } else { "s" })
}

fn card(name: &str, value: &str, more: &[Option<String>]) -> Markup {
    html! {
        div {
            dt { (name) }
            dd.value { (value) }
            @for line in more.iter().flatten() { dd { (line) } }
        }
    }
}

fn within(amount: Amount, text: fn(f64) -> String) -> Option<String> {
    amount.bounds.map(|(low, high)| format!("within {} to {}", text(low), text(high)))
}

fn at_the_building(digest: &Digest) -> Option<String> {
    let facility = digest.facility_energy_kwh;
    (facility.value != digest.energy_kwh.value)
        .then(|| format!("{} at the building's meter", energy(facility.value)))
}

fn balances(digest: &Digest) -> String {
    let word = |closes| if closes { "closes" } else { "does not close" };
    let lines = digest.balances.iter().map(|line| format!("{} {}", line.name, word(line.closes)));
    lines.collect::<Vec<_>>().join(", ")
}

/// What components and beneficiaries are called in tables, in words.
fn in_words(name: &str) -> &str {
    match name {
        "cpu" => "processors",
        "dram" => "memory",
        "gpu" => "GPUs",
        "other" => "rest of the nodes",
        "run" => "runs",
        "idle" => "idle: held by no run",
        "infrastructure" => "infrastructure: nodes that the scheduler does not know",
        "unattributed" => "unattributed: what the job log cannot tell",
        other => other,
    }
}

fn parts(caption: &str, first: &str, parts: &[Part]) -> Markup {
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table.parts {
                caption { (caption) }
                thead { tr {
                    th scope="col" { (first) }
                    th scope="col" data-kind="number" { "energy " span.unit { "kWh" } }
                    th scope="col" data-kind="number" { "low " span.unit { "kWh" } }
                    th scope="col" data-kind="number" { "high " span.unit { "kWh" } }
                    th scope="col" data-kind="number" { "of all " span.unit { "%" } }
                    td.bar {}
                } }
                tbody {
                    @for part in parts {
                        tr {
                            th scope="row" { (in_words(&part.name)) }
                            (number(Some(part.energy_kwh.value)))
                            (number(part.energy_kwh.bounds.map(|bounds| bounds.0)))
                            (number(part.energy_kwh.bounds.map(|bounds| bounds.1)))
                            td data-kind="number" data-value=(part.share) { (format!("{:.1}", 100.0 * part.share)) }
                            td.bar { meter min="0" max="1" value=(format!("{:.4}", part.share)) aria-hidden="true" {} }
                        }
                    }
                }
            }
        }
    }
}

fn number(value: Option<f64>) -> Markup {
    html! {
        td data-kind="number" data-value=[value] {
            @if let Some(value) = value { (crate::figures::cell(value)) }
        }
    }
}
