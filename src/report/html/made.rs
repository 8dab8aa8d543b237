//! The last section of the page: how the numbers were made, from what, and what is not in them.

use maud::{Markup, html};
use serde_json::Value;

use crate::figures::{cell, percent};
use crate::plain_text::cut;
use crate::report::Provenance;
use crate::report::digest::Digest;

/// Letters of a line at most.
const LINE: usize = 2000;

pub(super) fn section(digest: &Digest, summary: &Value, provenance: &Provenance) -> Markup {
    html! {
        section id="made" {
            h2 { "How the numbers were made" }

            h3 { "Methods" }
            p { "What a meter shows goes before what a model says, and a counter of energy before a gauge of power." }
            (shares("Energy by method", "method", &digest.methods, method))
            (shares("Energy by how it was given to runs", "share", &digest.share_methods, share_method))

            h3 { "Carbon intensity" }
            p { "Factors count: " (digest.basis) "." }
            (shares("Energy by how good its factor is", "tier", &digest.tiers, tier))
            (shares("Energy by whose factor it is", "source", &digest.sources, |_| ""))
            @if !provenance.attributions.is_empty() {
                p { "Sources and licences, to be named where figures are passed on:" }
                (list(&provenance.attributions))
            }
            (likened(summary))

            h3 id="balances" { "Balances" }
            div.scroll role="region" aria-label="Balances" tabindex="0" {
                table {
                    caption { "Proof that the lines add up to what the meters saw" }
                    thead { tr {
                        th scope="col" { "balance" }
                        th scope="col" { "closes" }
                        th scope="col" data-kind="number" { "places compared" }
                        th scope="col" data-kind="number" { "that differ" }
                        th scope="col" data-kind="number" { "worst, relative" }
                        th.wide scope="col" { "what is compared" }
                    } }
                    tbody {
                        @for line in &digest.balances {
                            tr {
                                th scope="row" { (line.name) }
                                td { (if line.closes { "yes" } else { "NO" }) }
                                td data-kind="number" { (cell(line.compared as f64)) }
                                td data-kind="number" { (cell(line.failures as f64)) }
                                td data-kind="number" { (cell(line.worst_relative)) }
                                td.wide { (line.meaning) }
                            }
                        }
                    }
                }
            }

            h3 { "Settings" }
            (pairs("Settings in force", ["setting", "value"], provenance.settings.iter().map(|(name, value)| (*name, value.as_str()))))

            h3 { "Inputs" }
            @if provenance.inputs.is_empty() { p { "No file is recorded." } } @else {
                div.scroll role="region" aria-label="Inputs" tabindex="0" {
                    table {
                        caption { "What went in, and the SHA-256 of it" }
                        thead { tr { th scope="col" { "role" } th scope="col" { "name" } th scope="col" { "SHA-256" } } }
                        tbody {
                            @for input in &provenance.inputs {
                                tr { td { (input.role) } th.wide scope="row" { (line(&input.name)) } td.wide { code { (input.sha256) } } }
                            }
                        }
                    }
                }
            }

            h3 { "Notes" }
            @if provenance.notes.is_empty() { p { "There is none." } } @else { (list(&provenance.notes)) }

            h3 id="left-out" { "What was left out" }
            @if provenance.left_out.is_empty() { p { "Nothing: every block, chunk and line could be used." } } @else { (list(&provenance.left_out)) }
            (missing(summary))
        }
    }
}

/// Text of others as a line of the page: names in back-ticks are code, links of sources can be followed.
fn line(text: &str) -> Markup {
    let text = cut(text, LINE);
    let pieces: Vec<&str> = text.split('`').collect();
    // An odd number of pieces has all its back-ticks in pairs.
    if pieces.len().is_multiple_of(2) {
        return html! { (text) };
    }
    html! {
        @for (at, piece) in pieces.iter().enumerate() {
            @if at % 2 == 1 { code { (piece) } } @else { (with_links(piece)) }
        }
    }
}

fn with_links(text: &str) -> Markup {
    html! {
        @for (at, word) in text.split(' ').enumerate() {
            @if at > 0 { " " }
            @let link = word.trim_start_matches('(').trim_end_matches([')', ',', '.', ';', ':']);
            @if link.starts_with("https://") && link.chars().all(|letter| letter.is_ascii_graphic()) {
                @let (before, after) = word.split_once(link).unwrap_or_default();
                (before) a href=(link) rel="noopener noreferrer" { (link) } (after)
            } @else { (word) }
        }
    }
}

fn list(lines: &[String]) -> Markup {
    html! { ul.lines { @for text in lines { li { (line(text)) } } } }
}

fn shares(caption: &str, first: &str, shares: &[(String, f64)], meaning: fn(&str) -> &'static str) -> Markup {
    let has_meaning = shares.iter().any(|(name, _)| !meaning(name).is_empty());
    html! {
        @if !shares.is_empty() {
            div.scroll role="region" aria-label=(caption) tabindex="0" {
                table {
                    caption { (caption) }
                    thead { tr {
                        th scope="col" { (first) }
                        th scope="col" data-kind="number" { "of all energy" }
                        @if has_meaning { th.wide scope="col" { "meaning" } }
                    } }
                    tbody {
                        @for (name, share) in shares {
                            tr {
                                th scope="row" { (line(name)) }
                                td data-kind="number" data-value=(share) { (percent(*share)) }
                                @if has_meaning { td.wide { (meaning(name)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn pairs<'a>(caption: &str, head: [&str; 2], rows: impl Iterator<Item = (&'a str, &'a str)>) -> Markup {
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table {
                caption { (caption) }
                thead { tr { @for word in head { th scope="col" { (word) } } } }
                tbody { @for (name, value) in rows { tr { th scope="row" { (name) } td.wide { (line(value)) } } } }
            }
        }
    }
}

/// What the emissions are likened to, with whose figures these are.
fn likened(summary: &Value) -> Markup {
    let all = summary.get("equivalents").and_then(Value::as_object).into_iter().flatten();
    let text = |like: &Value, key: &str| like.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows: Vec<(String, f64, String)> = all
        .filter_map(|(_, like)| {
            Some((text(like, "what"), like.get("count")?.as_f64()?, text(like, "source")))
        })
        .collect();
    html! {
        @if !rows.is_empty() {
            div.scroll role="region" aria-label="Equivalents" tabindex="0" {
                table {
                    caption { "What emits, or takes up, as much" }
                    thead { tr { th scope="col" { "what" } th scope="col" data-kind="number" { "count" } th.wide scope="col" { "source" } } }
                    tbody {
                        @for (what, count, source) in &rows {
                            tr { th scope="row" { (what) } td data-kind="number" data-value=(count) { (cell(*count)) } td.wide { (line(source)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Time that no meter saw, by reason.
fn missing(summary: &Value) -> Markup {
    let reasons = summary.pointer("/meters/missing_device_seconds_by_reason").and_then(Value::as_object);
    let rows: Vec<(&String, f64)> = reasons
        .into_iter()
        .flatten()
        .filter_map(|(reason, seconds)| Some((reason, seconds.as_f64()?)))
        .collect();
    html! {
        @if !rows.is_empty() {
            div.scroll role="region" aria-label="Time without energy" tabindex="0" {
                table {
                    caption { "Time for which no energy is counted" }
                    thead { tr { th scope="col" { "reason" } th scope="col" data-kind="number" { "device-seconds" } } }
                    tbody {
                        @for (reason, seconds) in &rows {
                            tr { th scope="row" { (line(reason)) } td data-kind="number" data-value=(seconds) { (cell(*seconds)) } }
                        }
                    }
                }
            }
        }
    }
}

fn method(name: &str) -> &'static str {
    match name {
        "measured:counter" => "increments of an energy counter",
        "measured:gauge" => "readings of power, over time",
        "modelled:calibrated" => "utilisation, by a curve fitted to devices that have a meter",
        "modelled:utilisation" => "utilisation and rated power, by a model",
        "modelled:joblog" => "what the job log tells, by a model",
        "modelled:constant" => "a stated power, over time",
        "none" => "not known",
        _ => "",
    }
}

fn tier(name: &str) -> &'static str {
    match name {
        "hourly" => "factors of the very hours",
        "monthly-profile" => "a month's factor, shaped by a mean day of the month",
        "monthly" => "the month's factor",
        "annual-profile" => "a year's factor, shaped by month and hour of other years",
        "annual" => "the year's factor",
        "world" => "the world's mean, for want of the zone's",
        "unpriced" => "no factor is known: not in the emissions",
        _ => "",
    }
}

fn share_method(name: &str) -> &'static str {
    match name {
        "bound" => "the device belonged to the run alone",
        "used:cpu-time" => "by the CPU time that each run used",
        "used:memory" => "by the memory that each run used",
        "used:instances" => "by the activity of the GPU's instances",
        "ceems" => "by the recording rules of CEEMS",
        "allocated:gpus" => "by the GPUs that each run asked for",
        "allocated:cpus" => "by the CPUs that each run was given",
        "allocated:memory" => "by the memory that each run was given",
        "largest-fraction" => "by the largest part of the node that each run had",
        "whole-node" => "one run had the node to itself",
        "remainder" => "what no run has",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_become_links() {
        let html = |text| line(text).into_string();
        assert_eq!(
            html("By (https://example.org/a?b=1&c), ODbL."),
            "By (<a href=\"https://example.org/a?b=1&amp;c\" rel=\"noopener noreferrer\">https://example.org/a?b=1&amp;c</a>), ODbL."
        );
        for text in ["javascript:alert(1)", "http://example.org", "data:text/html,x"] {
            assert_eq!(html(text), text);
        }
        assert_eq!(
            html("https://x/\"onclick=x"),
            "<a href=\"https://x/&quot;onclick=x\" rel=\"noopener noreferrer\">https://x/&quot;onclick=x</a>"
        );
        assert_eq!(html("in `UTC` & `<b>`"), "in <code>UTC</code> &amp; <code>&lt;b&gt;</code>");
        assert_eq!(html("one ` alone"), "one ` alone");
        assert_eq!(html("<b> & \"x\""), "&lt;b&gt; &amp; &quot;x&quot;");
    }
}
