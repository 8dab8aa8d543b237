//! The files of `wattledger whatif`: all energy elsewhere, the runs at their best start, and a chart of each.

use std::path::{Path, PathBuf};

use polars::prelude::{Column, DataFrame, PolarsResult};

use super::chart::{BarItem, Bars, SegmentStyle, Text, scale_for, three_digits};
use super::chart_files::ChartFiles;
use super::output::Outputs;
use super::pictures::{MASS_UNITS, plural};
use super::tables::{BENEFICIARIES, CellText, write_csv};
use super::{Provenance, ReportError};
use crate::carbon::{Basis, Tier};
use crate::jobs::Run;
use crate::ledger::{Best, MovedRun, Place, WhatIf};
use crate::sum::sum;
use crate::time::{HOUR_MS, Window, format_instant};
use crate::units::Joules;

/// Runs in the chart.
const TOP_RUNS: usize = 15;

/// Everything that the files are made from.
#[derive(Clone, Copy)]
pub struct WhatIfSubject<'a> {
    /// The answer.
    pub found: &'a WhatIf,
    /// The runs of the job log.
    pub runs: &'a [Run],
    /// What all factors count.
    pub basis: Basis,
    /// The time of the books.
    pub window: Window,
    /// By how much runs may start later, in milliseconds; `None` where that was not asked.
    pub slack_ms: Option<i64>,
    /// Title, notes and attributions.
    pub provenance: &'a Provenance,
    /// False of books that do not balance: then every file's name ends in `.unbalanced`.
    pub balanced: bool,
}

impl WhatIfSubject<'_> {
    /// Writes `whatif_zones.csv` (a row for each place, if any is asked for) and `whatif_shift.csv` (a row for each run, if a
    /// slack is given), and if charts are wanted a picture of each.
    ///
    /// # Errors
    ///
    /// Where a file cannot be written, or a chart cannot be drawn.
    pub fn write(
        &self,
        directory: &Path,
        charts: Option<ChartFiles>,
        cells: CellText,
    ) -> Result<Vec<PathBuf>, ReportError> {
        let mut outputs = Outputs::new(directory, if self.balanced { "" } else { ".unbalanced" });
        if !self.found.elsewhere.is_empty() {
            let table = self.by_zone()?;
            outputs.add_with("whatif_zones.csv", move |out| write_csv(&table, cells, out));
            if let Some(files) = charts {
                files.add(&mut outputs, "whatif_zones", &self.zone_chart())?;
            }
        }
        if let Some(slack_ms) = self.slack_ms {
            let table = self.by_run()?;
            outputs.add_with("whatif_shift.csv", move |out| write_csv(&table, cells, out));
            if let Some(files) = charts {
                files.add(&mut outputs, "whatif_shift", &self.shift_chart(slack_ms))?;
            }
        }
        Ok(outputs.write()?)
    }

    /// As it was first, then the zones as they were asked for.
    fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.found.as_run).chain(&self.found.elsewhere)
    }

    fn by_zone(&self) -> PolarsResult<DataFrame> {
        let places: Vec<&Place> = self.places().collect();
        let cases: Vec<&str> = std::iter::once("as-run").chain(places.iter().map(|_| "elsewhere")).collect();
        let number = |name: &str, value: &dyn Fn(&Place) -> Option<f64>| {
            Column::new(name.into(), places.iter().map(|place| value(place)).collect::<Vec<Option<f64>>>())
        };
        let names: Vec<String> = places.iter().map(|place| zones(place)).collect();
        let mut columns = vec![
            Column::new("case".into(), cases.into_iter().take(places.len()).collect::<Vec<_>>()),
            Column::new("zone".into(), names),
            Column::new("basis".into(), vec![self.basis.to_string(); places.len()]),
            number("facility_energy_kwh", &|place| Some(kwh(place.facility_energy_j))),
            number("unpriced_energy_kwh", &|place| Some(kwh(place.unpriced_j))),
        ];
        for tier in Tier::ALL {
            let name = format!("{}_share", tier.as_str().replace('-', "_"));
            columns.push(number(&name, &|place| {
                let of_tier = place.tiers_j.iter().find(|(other, _)| *other == tier);
                share(of_tier.map_or(0.0, |(_, energy_j)| *energy_j), place.facility_energy_j)
            }));
        }
        columns.push(number("intensity_gco2e_per_kwh", &|place| place.mean_g_per_kwh()));
        for (at, kind) in BENEFICIARIES.iter().enumerate() {
            columns.push(number(&format!("{kind}_emissions_gco2e"), &|place| {
                place.total_gco2e()?;
                place.emissions_gco2e.get(at).copied()
            }));
        }
        let as_run = &self.found.as_run;
        columns.push(number("emissions_gco2e", &|place| place.total_gco2e()));
        columns.push(number("difference_gco2e", &|place| place.beyond_gco2e(as_run)));
        columns
            .push(number("difference", &|place| share(place.beyond_gco2e(as_run)?, as_run.total_gco2e()?)));
        DataFrame::new(places.len(), columns)
    }

    fn by_run(&self) -> PolarsResult<DataFrame> {
        let moved: Vec<(&MovedRun, &Run)> =
            self.found.runs.iter().filter_map(|moved| Some((moved, self.runs.get(moved.run)?))).collect();
        let text = |name: &str, value: &dyn Fn(&MovedRun, &Run) -> String| {
            let values: Vec<String> = moved.iter().map(|(moved, run)| value(moved, run)).collect();
            Column::new(name.into(), values)
        };
        let number = |name: &str, value: &dyn Fn(&MovedRun) -> Option<f64>| {
            let values: Vec<Option<f64>> = moved.iter().map(|(moved, _)| value(moved)).collect();
            Column::new(name.into(), values)
        };
        let later = |of: fn(&MovedRun, &Best) -> f64| {
            move |moved: &MovedRun| moved.later.as_ref().map(|best| of(moved, best))
        };
        let anywhere = |of: fn(&MovedRun, &Best) -> f64| {
            move |moved: &MovedRun| moved.anywhere.as_ref().map(|best| of(moved, best))
        };
        let shift_h = |_: &MovedRun, best: &Best| hours(best.later_ms);
        let part = |moved: &MovedRun, best: &Best| share(moved.saving_gco2e(best), moved.emissions_gco2e?);
        let starts: Vec<Option<u64>> =
            moved.iter().map(|(moved, _)| moved.later.as_ref().map(|best| best.starts as u64)).collect();
        DataFrame::new(
            moved.len(),
            vec![
                text("run_id", &|_, run| run.run_id.clone()),
                text("restart", &|_, run| run.restart.to_string()),
                text("name", &|_, run| run.name.clone()),
                text("user", &|_, run| run.user.clone()),
                text("account", &|_, run| run.account.clone()),
                text("start", &|_, run| format_instant(run.start_ms)),
                text("end", &|_, run| run.end_ms.map(format_instant).unwrap_or_default()),
                number("facility_energy_kwh", &|moved| Some(kwh(moved.facility_energy_j))),
                text("zone", &|moved, _| joined(moved.zones.iter().map(|zone| zone.as_str()))),
                text("intensity_tier", &|moved, _| joined(moved.tiers.iter().map(|tier| tier.as_str()))),
                number("emissions_gco2e", &|moved| moved.emissions_gco2e),
                text("stays", &|moved, _| moved.stays.map_or("", |stays| stays.as_str()).to_owned()),
                Column::new("starts".into(), starts),
                number("best_shift_h", &later(shift_h)),
                text("best_start", &|moved, run| {
                    let best = moved.later.as_ref();
                    best.map(|best| format_instant(run.start_ms.saturating_add(best.later_ms)))
                        .unwrap_or_default()
                }),
                number("best_emissions_gco2e", &later(|_, best| best.emissions_gco2e)),
                number("saving_gco2e", &later(MovedRun::saving_gco2e)),
                number("saving", &|moved| moved.later.as_ref().and_then(|best| part(moved, best))),
                text("best_place_zone", &|moved, _| {
                    let Some(best) = &moved.anywhere else { return String::new() };
                    let own = || joined(moved.zones.iter().map(|zone| zone.as_str()));
                    best.zone.as_ref().map_or_else(own, |zone| zone.as_str().to_owned())
                }),
                number("best_place_shift_h", &anywhere(shift_h)),
                number("best_place_emissions_gco2e", &anywhere(|_, best| best.emissions_gco2e)),
                number("best_place_saving_gco2e", &anywhere(MovedRun::saving_gco2e)),
                number("best_place_saving", &|moved| {
                    moved.anywhere.as_ref().and_then(|best| part(moved, best))
                }),
            ],
        )
    }

    fn text(&self, title: String, note: String, figures: &[String]) -> Text {
        let simulated = if self.provenance.simulated { "SIMULATED · " } else { "" };
        let figures = if figures.is_empty() { String::new() } else { format!(": {}", figures.join(", ")) };
        let alt = format!("{title}, {}{figures}.", self.window);
        let words: Vec<String> =
            std::iter::once(note).chain(self.provenance.attributions.iter().cloned()).collect();
        Text {
            title,
            subtitle: format!("{simulated}{} · {}", self.window, self.provenance.title),
            footnote: words.join(" · "),
            alt,
        }
    }

    fn zone_chart(&self) -> Bars {
        let mut places: Vec<&Place> = self.found.elsewhere.iter().collect();
        // The least first, what is not priced last.
        let order = |place: &Place| place.total_gco2e().unwrap_or(f64::INFINITY);
        places.sort_by(|left, right| order(left).total_cmp(&order(right)));
        places.insert(0, &self.found.as_run);
        let totals = places.iter().filter_map(|place| place.total_gco2e());
        let (unit, scale) = scale_for(totals.fold(0.0, f64::max), &MASS_UNITS);
        // A kind that is nowhere would only fill the legend.
        let kinds: Vec<usize> = (0..BENEFICIARIES.len())
            .filter(|kind| places.iter().any(|place| place.emissions_gco2e.get(*kind) > Some(&0.0)))
            .collect();
        let segment = |place: &Place, kind: usize| {
            let grams = place.total_gco2e().and_then(|_| place.emissions_gco2e.get(kind));
            grams.map_or(f64::NAN, |grams| grams / scale)
        };
        let is_part = |place: &Place| place.unpriced_j > 0.0 && place.total_gco2e().is_some();
        let item = |(at, place): (usize, &&Place)| {
            let zone = zones(place);
            let case = if at == 0 { "as run " } else { "" };
            let tiers = joined(place.tiers_j.iter().map(|(tier, _)| tier.as_str()));
            let tiers = if tiers.is_empty() { String::new() } else { format!(", {tiers}") };
            let part = if is_part(place) { " (part)" } else { "" };
            BarItem {
                name: format!("{case}{zone}{tiers}{part}"),
                segments: kinds.iter().map(|kind| segment(place, *kind)).collect(),
            }
        };
        let mut note = "The same energy in the same hours, at the factors of other zones".to_owned();
        if places.iter().any(|place| is_part(place)) {
            note.push_str("; part: the rest has no factor there");
        }
        let figures: Vec<String> = places
            .iter()
            .map(|place| {
                let total =
                    place.total_gco2e().map(|grams| format!("{} {unit}", three_digits(grams / scale)));
                format!("{} {}", zones(place), total.unwrap_or_else(|| "not known".to_owned()))
            })
            .collect();
        let kind = |at: &usize| BENEFICIARIES.get(*at).copied();
        Bars {
            text: self.text("The same energy elsewhere".to_owned(), note, &figures),
            items: places.iter().enumerate().map(item).collect(),
            segments: kinds
                .iter()
                .filter_map(kind)
                .map(|kind| SegmentStyle { name: plural(kind).to_owned(), muted: kind == "idle" })
                .collect(),
            x_label: format!("emissions ({unit})"),
        }
    }

    fn shift_chart(&self, slack_ms: i64) -> Bars {
        let mut savers: Vec<(&MovedRun, &Best)> = self
            .found
            .runs
            .iter()
            .filter_map(|moved| Some((moved, moved.later.as_ref()?)))
            .filter(|(moved, best)| moved.saving_gco2e(best) > 0.0)
            .collect();
        // They stand in the order of the log, and of equals the first stays first.
        let saving = |(moved, best): &(&MovedRun, &Best)| moved.saving_gco2e(best);
        savers.sort_by(|left, right| saving(right).total_cmp(&saving(left)));
        let saved = |savers: &[(&MovedRun, &Best)]| sum(savers.iter().map(saving));
        let shown = savers.get(..TOP_RUNS).unwrap_or(&savers);
        let largest = shown.iter().filter_map(|(moved, _)| moved.emissions_gco2e).fold(0.0, f64::max);
        let (unit, scale) = scale_for(largest, &MASS_UNITS);
        let item = |(moved, best): &(&MovedRun, &Best)| {
            let run = self.runs.get(moved.run);
            let (id, user) = run.map_or(("", ""), |run| (run.run_id.as_str(), run.user.as_str()));
            let by = if user.is_empty() { String::new() } else { format!(" {user}") };
            BarItem {
                name: format!("{id}{by}, +{} h", hours(best.later_ms)),
                segments: vec![moved.saving_gco2e(best) / scale, best.emissions_gco2e / scale],
            }
        };
        let slack_h = hours(slack_ms);
        let (title, mut note) = match savers.len() {
            0 => (
                format!("No run would save by starting up to {slack_h} h later"),
                "Nothing is saved where factors are not known, or do not tell one hour from another"
                    .to_owned(),
            ),
            count if count > shown.len() => (
                format!("The {TOP_RUNS} runs that would save most by starting up to {slack_h} h later"),
                format!(
                    "{} of {count} runs that would save, with {:.0} % of all that would be saved; whether nodes were free is not asked",
                    shown.len(),
                    100.0 * saved(shown) / saved(&savers)
                ),
            ),
            _ => (
                format!("Runs that would save by starting up to {slack_h} h later"),
                "Whether nodes were free is not asked".to_owned(),
            ),
        };
        if shown.iter().any(|(moved, _)| moved.tiers.first() != Some(&Tier::Hourly)) {
            note.push_str("; by the hours of a mean day, not by real ones");
        }
        let (saved_unit, saved_scale) = scale_for(saved(shown), &MASS_UNITS);
        let figures = (!shown.is_empty())
            .then(|| format!("together {} {saved_unit} less", three_digits(saved(shown) / saved_scale)));
        let segment = |name: &str, muted: bool| SegmentStyle { name: name.to_owned(), muted };
        Bars {
            text: self.text(title, note, figures.as_slice()),
            items: shown.iter().map(item).collect(),
            segments: vec![segment("saved", false), segment("emitted at the best start", true)],
            x_label: format!("emissions as run ({unit})"),
        }
    }
}

fn hours(ms: i64) -> f64 {
    ms as f64 / HOUR_MS as f64
}

fn kwh(joules: f64) -> f64 {
    Joules(joules).to_kwh().value()
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn zones(place: &Place) -> String {
    joined(place.zones.iter().map(|zone| zone.as_str()))
}

/// Words of one field, as the other tables join them.
fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join("+")
}
