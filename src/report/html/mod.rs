//! `report.html`: the whole report in one file that needs nothing from anywhere: summary, charts, tables, and how
//! the numbers were made.
//!
//! Names in it are anybody's. All text goes through `maud`, which escapes it, data for the script through
//! [`sheet`]; and the page's policy lets no script and no style run but these two files, and loads nothing.

mod heading;
mod made;
mod sheet;
mod totals;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::digest::Digest;
use super::pictures::Picture;
use super::{Report, ReportError};
use sheet::{Outline, Sheet};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A chart on its way into the page.
pub(super) struct Figure<'a> {
    /// On white.
    pub(super) light: &'a Picture,
    /// On dark.
    pub(super) dark: &'a Picture,
}

impl Figure<'_> {
    fn markup(&self) -> Markup {
        html! {
            figure id=(self.light.name) {
                // Drawn by this program, names in it escaped; a narrow screen scrolls it.
                div.chart.on-light tabindex="0" { (PreEscaped(&self.light.svg)) }
                div.chart.on-dark tabindex="0" { (PreEscaped(&self.dark.svg)) }
                figcaption { (self.light.title) }
            }
        }
    }
}

/// The whole page; `summary` is what `summary.json` has.
///
/// # Errors
///
/// Only if Polars refuses a table.
pub(super) fn page(
    report: &Report<'_>,
    (summary, digest): (&serde_json::Value, &Digest),
    figures: &[Figure<'_>],
) -> Result<String, ReportError> {
    let sheets = sheets(report)?;
    let provenance = report.subject.provenance;
    let period =
        digest.window.as_ref().map_or("no time".to_owned(), |(start, end)| format!("{start} to {end}"));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "wattledger " (env!("CARGO_PKG_VERSION")) };
                title { "Energy and emissions, " (period) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the report" }
                header {
                    h1 { "Energy and emissions" }
                    p { (period) br; (digest.title) }
                    button id="theme" type="button" hidden { "Dark colours" }
                }
                nav aria-label="Sections" {
                    ul {
                        li { a href="#summary" { "Summary" } }
                        @if !figures.is_empty() { li { a href="#charts" { "Charts" } } }
                        @for sheet in &sheets { li { a href={ "#" (sheet.id()) } { (sheet.title()) } } }
                        li { a href="#made" { "How the numbers were made" } }
                    }
                }
                main id="main" tabindex="-1" {
                    (totals::section(digest))
                    @if !figures.is_empty() {
                        section id="charts" {
                            h2 { "Charts" }
                            @for figure in figures { (figure.markup()) }
                        }
                    }
                    section id="tables" {
                        h2 { "Tables" }
                        p { "The columns are those of the CSV files beside this page; a heading shows its name there when the pointer rests on it." }
                        noscript { p { "Sorting, searching and turning pages need JavaScript; without it the first rows of each table are shown." } }
                        @for sheet in &sheets { (sheet.section()) }
                    }
                    (made::section(digest, summary, provenance))
                }
                footer {
                    p {
                        "Made by wattledger " (env!("CARGO_PKG_VERSION"))
                        ". This page is one file, holds all of its data, and loads nothing."
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Ok(page.into_string())
}

/// Nothing is loaded and nothing is run but the page's own style and script, known by their hashes.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(Sha256::digest(text.as_bytes())));
    format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; form-action 'none'; base-uri 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// The tables in the order of the page.
fn sheets(report: &Report<'_>) -> Result<Vec<Sheet>, ReportError> {
    let mut sheets = Vec::new();
    if let Some(before) = &report.before {
        sheets.push(Sheet::new(
            Outline {
                id: "change",
                title: "Change",
                file: "change.csv",
                about: "This period beside the earlier one, by group, and whether use or the grid made the difference.",
                key: "name",
                main: &[
                    "group",
                    "name",
                    "energy_kwh",
                    "energy_before_kwh",
                    "energy_change",
                    "emissions_gco2e",
                    "emissions_before_gco2e",
                    "change_by_energy_gco2e",
                    "change_by_intensity_gco2e",
                ],
                highest: None,
            },
            &before.change,
        )?);
    }
    sheets.push(Sheet::new(
        Outline {
            id: "runs",
            title: "Runs",
            file: "runs.csv",
            about: "A row for each run of the job log in the window, by energy.",
            key: "run_id",
            main: &[
                "run_id",
                "name",
                "user",
                "account",
                "energy_kwh",
                "emissions_gco2e",
                "mean_power_w",
                "in_window_s",
                "start",
                "state",
                "coverage",
                "method",
            ],
            highest: Some("energy_kwh"),
        },
        &report.runs,
    )?);
    macro_rules! who {
        ($id:literal, $title:literal, $column:literal, $about:literal) => {
            Outline {
                id: $id,
                title: $title,
                file: concat!("by_", $column, ".csv"),
                about: $about,
                key: $column,
                main: &[
                    $column,
                    "beneficiary",
                    "runs",
                    "energy_kwh",
                    "energy_kwh_low",
                    "energy_kwh_high",
                    "emissions_gco2e",
                    "embodied_amortised_gco2e",
                    "coverage",
                    "method",
                ],
                highest: Some("energy_kwh"),
            }
        };
    }
    let by_user = who!("users", "Users", "user", "A row for each user, and for what no run used.");
    sheets.push(Sheet::new(by_user, &report.by_user)?);
    let by_account =
        who!("accounts", "Accounts", "account", "A row for each account, and for what no run used.");
    sheets.push(Sheet::new(by_account, &report.by_account)?);
    let by_stage = who!(
        "stages",
        "Stages",
        "stage",
        "A row for each stage that the job log names, and for what no run used."
    );
    sheets.push(Sheet::new(by_stage, &report.by_stage)?);
    let by_partition =
        who!("partitions", "Partitions", "partition", "A row for each partition, and for what no run used.");
    sheets.push(Sheet::new(by_partition, &report.by_partition)?);
    let by_state =
        who!("states", "Final states", "state", "What runs took that ended well, failed or were cancelled.");
    sheets.push(Sheet::new(by_state, &report.by_state)?);
    macro_rules! sums {
        ($id:literal, $title:literal, $column:literal, $about:literal) => {
            Outline {
                id: $id,
                title: $title,
                file: concat!("by_", $id, ".csv"),
                about: $about,
                key: $column,
                main: &[
                    $column,
                    "energy_kwh",
                    "energy_kwh_low",
                    "energy_kwh_high",
                    "emissions_gco2e",
                    "run_energy_kwh",
                    "idle_energy_kwh",
                    "infrastructure_energy_kwh",
                    "unattributed_energy_kwh",
                    "intensity_gco2e_per_kwh",
                    "coverage",
                ],
                highest: None,
            }
        };
    }
    let by_day = sums!("day", "Days", "date", "A row for each day.");
    sheets.push(Sheet::new(by_day, &report.by_day)?);
    let by_site = sums!("site", "Sites", "site", "A row for each site.");
    sheets.push(Sheet::new(by_site, &report.by_site)?);
    sheets.push(Sheet::new(
        Outline {
            id: "nodes",
            title: "Nodes",
            file: "by_node.csv",
            about: "A row for each node: for whom its energy was, and how it is known.",
            key: "node",
            main: &[
                "node",
                "energy_kwh",
                "emissions_gco2e",
                "run_energy_kwh",
                "idle_energy_kwh",
                "infrastructure_energy_kwh",
                "unattributed_energy_kwh",
                "coverage",
                "gpus",
                "cpu_model",
                "method",
                "notes",
            ],
            highest: Some("energy_kwh"),
        },
        &report.by_node,
    )?);
    sheets.push(Sheet::new(
        Outline {
            id: "reserved",
            title: "Held and used",
            file: "reserved.csv",
            about: "What runs held of processors, GPUs and memory, and what they used of it, as far as that is known.",
            key: "name",
            main: &[
                "group",
                "name",
                "cpu_h_held",
                "cpu_used",
                "gpu_h_held",
                "gpu_h_known",
                "gpu_used",
                "memory_gb_h_held",
                "memory_used",
            ],
            highest: None,
        },
        &report.reserved,
    )?);
    sheets.push(Sheet::new(
        Outline {
            id: "statement",
            title: "Statement",
            file: "statement.csv",
            about: "What of the emissions is what, by the scopes of the GHG Protocol where one is claimed.",
            key: "item",
            main: &[
                "item",
                "scope",
                "name",
                "emissions_gco2e",
                "facility_energy_kwh",
                "intensity_gco2e_per_kwh",
                "volume_kwh",
                "note",
            ],
            highest: None,
        },
        &report.statement,
    )?);
    sheets.push(Sheet::new(
        Outline {
            id: "embodied",
            title: "Embodied carbon",
            file: "embodied.csv",
            about: "What it took to make each device, and what of it falls on the window.",
            key: "device",
            main: &[
                "node",
                "device",
                "model",
                "embodied_kgco2e",
                "of_model",
                "source",
                "lifetime_years",
                "embodied_amortised_gco2e",
            ],
            highest: None,
        },
        &report.embodied,
    )?);
    sheets.push(Sheet::new(
        Outline {
            id: "meters",
            title: "Meters",
            file: "meters.csv",
            about: "Every series that was looked at, and what became of it.",
            key: "metric",
            main: &[
                "metric",
                "node",
                "exporter",
                "component",
                "device",
                "quantity",
                "status",
                "samples",
                "dropped_samples",
            ],
            highest: None,
        },
        &report.meters,
    )?);
    Ok(sheets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_do_not_end_their_elements() {
        assert!(!STYLE.contains("</"));
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
        // What would take text for code, or markup.
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
    }

    #[test]
    fn the_hash_is_that_of_the_standard() {
        // The example of Content Security Policy Level 2, section 7.18.
        let hash = BASE64.encode(Sha256::digest(b"alert('Hello, world.');"));
        assert_eq!(hash, "qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
        assert_eq!(policy().matches("sha256-").count(), 2);
    }
}
