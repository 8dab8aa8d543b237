//! Small reports of single accounts, users and so on, each in a directory of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use polars::prelude::BooleanChunked;
use serde_json::json;

use super::output::{Outputs, WriteError};
use super::rollup::Figures;
use super::tables::CellText;
use super::{Report, ReportError, groups, tables};
use crate::jobs::Run;

/// What runs have that a report can be split by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// Account.
    Account,
    /// User.
    User,
    /// Partition.
    Partition,
}

impl SplitBy {
    /// The column of `runs.csv`.
    pub fn column(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::User => "user",
            Self::Partition => "partition",
        }
    }

    fn of(self, run: &Run) -> &str {
        match self {
            Self::Account => &run.account,
            Self::User => &run.user,
            Self::Partition => &run.partition,
        }
    }
}

/// The files of a small report.
const FILES: [&str; 4] = ["runs.csv", "by_user.csv", "by_day.csv", "summary.json"];

/// Longest name of a directory that is made of a text.
const LONGEST: usize = 60;

/// A name that every file system takes and that leads nowhere else: letters, digits, `.`, `_` and `-`. What had to be changed, or
/// would be the same name to a system that knows no capitals, has a piece of its hash behind it.
pub(super) fn file_name(text: &str) -> String {
    let safe: String = text
        .chars()
        .take(LONGEST)
        .map(|letter| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '_' })
        .collect();
    let stem = safe.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_device = ["con", "prn", "aux", "nul"].contains(&stem.as_str())
        || (stem.len() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")));
    let is_plain = safe == text
        && !safe.is_empty()
        && !safe.starts_with(['.', '-'])
        && !safe.ends_with('.')
        && !is_device
        && !safe.chars().any(|letter| letter.is_ascii_uppercase());
    if is_plain {
        return safe;
    }
    let hash = crate::hash::text_sha256(text);
    let safe = safe.trim_start_matches(['.', '-']).trim_end_matches('.');
    format!("{}-{}", if safe.is_empty() || is_device { "_" } else { safe }, hash.get(..8).unwrap_or_default())
}

/// Writes `by_WHAT/NAME/` for each text that runs have: its runs, users and days, and its sums. Returns the directories.
pub(super) fn write(
    report: &Report<'_>,
    by: SplitBy,
    out: &Path,
    cells: CellText,
) -> Result<Vec<PathBuf>, ReportError> {
    let runs = report.subject.runs;
    let texts = report.runs.column(by.column())?.str()?.clone();
    let names: BTreeSet<&str> = texts.iter().flatten().collect();
    let place = out.join(format!("by_{}", by.column()));
    remove_others(&place, &names.iter().map(|name| file_name(name)).collect())?;
    let mut written = Vec::new();
    for name in names {
        let is_this: BooleanChunked = texts.iter().map(|text| Some(text == Some(name))).collect();
        let table = report.runs.filter(&is_this)?;
        let is_wanted = |run: &Run| by.of(run) == name;
        let directory = place.join(file_name(name));
        let suffix = if report.subject.books.balances.close() { "" } else { ".unbalanced" };
        let mut outputs = Outputs::new(&directory, suffix);
        let books = report.subject.books;
        let by_user = tables::by_run_text_of(&report.rollup, (books, runs), ("user", user_of), is_wanted)?;
        // What falls on others of the making of devices is not this one's.
        let by_user = by_user.drop(super::embodied::EMBODIED)?;
        let kinds = by_user.column("beneficiary")?.str()?;
        let energy = by_user.column("energy_kwh")?.f64()?;
        let of_runs: BooleanChunked = kinds
            .iter()
            .zip(energy.iter())
            .map(|(kind, energy)| Some(kind == Some("run") && energy.is_some()))
            .collect();
        let by_day = groups::by_day(&report.rollup, runs, Some(&is_wanted))?;
        let price = report.subject.price;
        for (file, table) in
            [("runs.csv", table), ("by_user.csv", by_user.filter(&of_runs)?), ("by_day.csv", by_day)]
        {
            let table = super::cost::with_cost(table, price)?;
            outputs.add_with(file, move |out| tables::write_csv(&table, cells, out));
        }
        let of_runs = report
            .rollup
            .groups()
            .iter()
            .filter(|(key, _)| report.rollup.classes().example(key.class, runs).is_some_and(is_wanted));
        let sums = Figures::all(of_runs.map(|(_, figures)| figures));
        outputs.add("summary.json", format!("{:#}\n", summary(report, &sums, by, name)).into_bytes());
        outputs.write()?;
        written.push(directory);
    }
    Ok(written)
}

fn user_of(run: &Run) -> &String {
    &run.user
}

/// Removes small reports of an earlier time that are of nobody in this one: they would pass for today's.
fn remove_others(place: &Path, names: &BTreeSet<String>) -> Result<(), WriteError> {
    let Ok(entries) = std::fs::read_dir(place) else { return Ok(()) };
    for directory in entries.flatten().map(|entry| entry.path()) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_ours = FILES.iter().all(|file| directory.join(file).is_file());
        if names.contains(&name) || !is_ours {
            continue;
        }
        let failed = |source| WriteError { doing: "remove", path: directory.clone(), source };
        for file in FILES {
            std::fs::remove_file(directory.join(file)).map_err(failed)?;
        }
        // Something else may lie in it.
        let _ = std::fs::remove_dir(&directory);
    }
    Ok(())
}

fn summary(report: &Report<'_>, sums: &Figures, by: SplitBy, name: &str) -> serde_json::Value {
    let kwh = |joules: f64| crate::units::Joules(joules).to_kwh().value();
    let facility_kwh = kwh(sums.facility_energy_j());
    let window = crate::time::span(&report.subject.books.buckets);
    json!({
        "title": report.subject.provenance.title,
        "simulated": report.subject.provenance.simulated,
        by.column(): name,
        "window": window.map(|window| json!({
            "start": crate::time::format_instant(window.start_ms),
            "end": crate::time::format_instant(window.end_ms),
        })),
        "energy_kwh": kwh(sums.energy_j(None)),
        "facility_energy_kwh": facility_kwh,
        "emissions_gco2e": sums.emissions_gco2e(),
        "emissions_market_gco2e": sums.market_gco2e(),
        "basis": report.subject.basis.to_string(),
        "cost": report.subject.price.map(|price| json!({
            "currency": price.currency,
            "per_kwh": price.per_kwh,
            "total": price.of_kwh(facility_kwh),
        })),
        "attributions": report.subject.provenance.attributions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_and_stay_apart() {
        assert_eq!(file_name("physics-2.b_c"), "physics-2.b_c");
        let hostile = [
            "",
            ".",
            "..",
            "../../etc/passwd",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "CON",
            "nul.txt",
            "com1",
            "-rf",
            "Physics",
            "физика",
            "a\nb",
            "x".repeat(500).as_str(),
        ]
        .map(str::to_owned);
        let names: BTreeSet<String> = hostile.iter().map(|text| file_name(text)).collect();
        assert_eq!(names.len(), hostile.len(), "{names:?}");
        for name in names {
            let is_safe = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
            assert!(
                is_safe && !name.starts_with(['.', '-']) && name.len() <= LONGEST + 9 && name != "..",
                "{name}"
            );
        }
        // Telling capitals apart is left to no file system.
        assert_ne!(file_name("Physics").to_lowercase(), file_name("physics"));
    }
}
