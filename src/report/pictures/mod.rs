//! What the charts show: figures taken from the tables, in the units of the axes.

mod coverage;
mod efficiency;
mod groups;
mod over_time;
mod periods;
mod used;

use polars::prelude::PolarsResult;
use rayon::prelude::*;

use super::chart::{Chart, Drawing, Text, Theme, three_digits};
use super::{Report, ReportError};

pub(super) const MASS_UNITS: [(&str, f64); 4] =
    [("gCO₂e", 1.0), ("kgCO₂e", 1e3), ("tCO₂e", 1e6), ("ktCO₂e", 1e9)];
const POWER_UNITS: [(&str, f64); 3] = [("W", 1.0), ("kW", 1e3), ("MW", 1e6)];
pub(super) const ENERGY_UNITS: [(&str, f64); 4] =
    [("Wh", 3.6e3), ("kWh", 3.6e6), ("MWh", 3.6e9), ("GWh", 3.6e12)];

/// A picture of a report.
#[derive(Debug)]
pub(crate) struct Picture {
    /// Stem of its file.
    pub(crate) name: &'static str,
    /// Its heading.
    pub(crate) title: String,
    /// The picture; the ids in it begin with its name and theme.
    pub(crate) svg: String,
    drawing: Drawing,
}

impl Picture {
    /// The picture as PNG.
    pub(crate) fn png(&self) -> Result<Vec<u8>, ReportError> {
        self.drawing.png().map_err(|source| ReportError::Chart { name: self.name, source })
    }
}

type Table = fn(&Report<'_>) -> PolarsResult<Box<dyn Chart>>;

/// The pictures, in the order in which a report lists them.
const PICTURES: [(&str, Table); 11] = [
    ("power", |report| boxed(over_time::power(report))),
    ("emissions_by_hour", |report| boxed(over_time::emissions_by_hour(report))),
    ("emissions_by_day", |report| boxed(over_time::emissions_by_day(report))),
    ("calendar", |report| boxed(over_time::calendar(report))),
    ("emissions_by_user", |report| boxed(groups::emissions_by_user(report))),
    ("emissions_by_account", |report| boxed(groups::emissions_by_account(report))),
    ("runs_by_energy", |report| boxed(groups::runs_by_energy(report))),
    ("run_efficiency", |report| boxed(efficiency::run_efficiency(report))),
    ("energy_by_node", |report| boxed(groups::energy_by_node(report))),
    ("cpu_and_gpu", |report| boxed(used::cpu_and_gpu(report))),
    ("coverage", |report| boxed(coverage::coverage(report))),
];

fn boxed<C: Chart + 'static>(chart: PolarsResult<C>) -> PolarsResult<Box<dyn Chart>> {
    Ok(Box::new(chart?))
}

/// Every picture of a report.
///
/// # Errors
///
/// Where a table lacks a column, or the built-in font cannot be used.
pub(crate) fn svgs(report: &Report<'_>, theme: Theme) -> Result<Vec<Picture>, ReportError> {
    let draw = |name: &'static str, chart: &dyn Chart| {
        let failed = |source| ReportError::Chart { name, source };
        let drawing = chart.draw(theme).map_err(failed)?;
        let svg = drawing.svg(&format!("{name}-{}", theme.as_str()));
        let title = drawing.title().to_owned();
        Ok(Picture { name, title, svg, drawing })
    };
    let mut pictures: Vec<Picture> = PICTURES
        .par_iter()
        .map(|(name, table)| draw(name, table(report)?.as_ref()))
        .collect::<Result<_, ReportError>>()?;
    if let Some(before) = &report.before {
        pictures.push(draw("change", &periods::by_account(report, before)?)?);
    }
    Ok(pictures)
}

/// The words around a picture: period and title of the report, before them what is `shown` where the title does not say it all.
fn text(report: &Report<'_>, title: &str, shown: &str, alt: String) -> Text {
    let subject = &report.subject;
    let simulated = if subject.provenance.simulated { "SIMULATED · " } else { "" };
    let shown = if shown.is_empty() { String::new() } else { format!(" · {shown}") };
    Text {
        title: title.to_owned(),
        subtitle: format!("{simulated}{} · {}{shown}", period(report), subject.provenance.title),
        footnote: subject.provenance.attributions.join(" · "),
        alt: format!("{alt}."),
    }
}

/// The time of the report in words.
fn period(report: &Report<'_>) -> String {
    let period = crate::time::span(&report.subject.books.buckets);
    period.map_or_else(|| "no time".to_owned(), |window| window.to_string())
}

pub(super) fn plural(kind: &str) -> &str {
    if kind == "run" { "runs" } else { kind }
}

/// `GPU 3.20 kW, CPU 1.10 kW`, of the first `most` that are not zero; `nothing` of none.
fn listed<'a>(figures: impl IntoIterator<Item = (&'a str, f64)>, unit: &str, most: usize) -> String {
    let words: Vec<String> = figures
        .into_iter()
        .filter(|(_, figure)| *figure > 0.0)
        .take(most)
        .map(|(name, figure)| format!("{name} {} {unit}", three_digits(figure)))
        .collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// `1 node`, `5 nodes`.
fn counted(count: usize, of: &str) -> String {
    if count == 1 { format!("1 {of}") } else { format!("{count} {of}s") }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// The name of a component in legends.
fn component_name(component: &str) -> &'static str {
    match component {
        "cpu" => "CPU",
        "dram" => "memory",
        "gpu" => "GPU",
        _ => "rest of the node",
    }
}
