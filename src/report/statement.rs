//! The statement: what of the emissions is Scope 2, by location and by market, what lies upstream, what was bought (rules G4, G5).

use polars::prelude::{Column, DataFrame, PolarsResult};
use serde_json::{Value, json};

use super::rollup::Figures;
use super::{Subject, embodied};
use crate::ledger::Market;
use crate::time::{Window, span};
use crate::units::Joules;

/// One line of the statement.
struct Line {
    scope: &'static str,
    item: &'static str,
    name: String,
    energy_kwh: Option<f64>,
    volume_kwh: Option<f64>,
    intensity: Option<f64>,
    gco2e: Option<f64>,
    note: String,
}

impl Line {
    fn new(scope: &'static str, item: &'static str, gco2e: Option<f64>, note: &str) -> Self {
        Self {
            scope,
            item,
            name: String::new(),
            energy_kwh: None,
            volume_kwh: None,
            intensity: None,
            gco2e,
            note: note.to_owned(),
        }
    }
}

fn lines(sums: &Figures, market: Option<&Market>, subject: &Subject<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let in_kwh = |joules: f64| Joules(joules).to_kwh().value();
    let location = sums.emissions_gco2e();
    let priced_kwh = in_kwh(sums.priced_facility_j());
    let mean = |grams: Option<f64>, kwh: f64| grams.filter(|_| kwh > 0.0).map(|grams| grams / kwh);
    let located = |scope, item, note: &str| Line {
        energy_kwh: Some(priced_kwh),
        intensity: mean(location, priced_kwh),
        ..Line::new(scope, item, location, note)
    };
    match market {
        None => {
            let basis = subject.basis;
            let note = format!("{basis}; no scope is claimed");
            lines.push(located("", "electricity", &note));
        }
        Some(market) => {
            lines.push(located("2", "location-based", "direct emissions at the grid's factors"));
            let matched = crate::sum::sum(market.contracts.iter().map(|used| used.matched_kwh));
            let kwh = matched + market.residual.0 + market.location.0;
            let grams = (kwh > 0.0).then(|| market.emissions_gco2e());
            lines.push(Line {
                energy_kwh: Some(kwh),
                intensity: mean(grams, kwh),
                ..Line::new("2", "market-based", grams, "the sum of the lines below")
            });
            for used in &market.contracts {
                let note = match used.volume_kwh {
                    Some(volume) if volume > used.matched_kwh => "what of its volume finds no use is lost",
                    _ => "",
                };
                lines.push(Line {
                    name: used.contract.name.clone(),
                    energy_kwh: Some(used.matched_kwh),
                    volume_kwh: used.volume_kwh,
                    intensity: Some(used.contract.grams_per_kwh),
                    ..Line::new("", used.contract.kind.as_str(), Some(used.emissions_gco2e), note)
                });
            }
            for (item, (kwh, grams), note) in [
                ("residual-mix", market.residual, "what no contract covers"),
                ("location-factor", market.location, "no residual mix is stated for it"),
            ] {
                if kwh > 0.0 {
                    lines.push(Line {
                        energy_kwh: Some(kwh),
                        intensity: mean(Some(grams), kwh),
                        ..Line::new("", item, Some(grams), note)
                    });
                }
            }
            if market.unknown_kwh > 0.0 {
                let note = "no contract covers it, and neither a residual mix nor a location factor is known: not in the sum";
                lines.push(Line {
                    energy_kwh: Some(market.unknown_kwh),
                    ..Line::new("", "unpriced-market", None, note)
                });
            }
            let upstream = sums.upstream_gco2e();
            let kwh = in_kwh(sums.upstream_facility_j());
            lines.push(Line {
                energy_kwh: Some(kwh),
                intensity: mean(upstream, kwh),
                ..Line::new("3.3", "upstream", upstream, "life-cycle less direct, where one source has both")
            });
        }
    }
    let unpriced =
        |kwh: f64| Line { energy_kwh: Some(kwh), ..Line::new("", "unpriced", None, "no factor is known") };
    let all_kwh = in_kwh(sums.facility_energy_j());
    if all_kwh - priced_kwh > 1e-9 * all_kwh {
        lines.push(unpriced(all_kwh - priced_kwh));
    }
    if let Some(purchases) = subject.purchases {
        let grams = purchases.total_g(window(subject));
        let note = "hardware bought in the time of the report, in full";
        lines.push(Line::new("3.2", "purchases", Some(grams), note));
    }
    let amortised = crate::sum::sum(embodied::rows(subject.books).iter().map(|row| row.gco2e));
    let note = "embodied emissions over the life of the hardware; no scope, and not to be added to purchases";
    lines.push(Line::new("", "embodied-amortised", Some(amortised), note));
    lines
}

fn window(subject: &Subject<'_>) -> Window {
    span(&subject.books.buckets).unwrap_or(Window::new(0, 0))
}

/// `statement.csv`.
pub(super) fn table(
    sums: &Figures,
    market: Option<&Market>,
    subject: &Subject<'_>,
) -> PolarsResult<DataFrame> {
    let lines = lines(sums, market, subject);
    let text = |name: &str, value: &dyn Fn(&Line) -> String| {
        Column::new(name.into(), lines.iter().map(value).collect::<Vec<String>>())
    };
    let number = |name: &str, value: &dyn Fn(&Line) -> Option<f64>| {
        Column::new(name.into(), lines.iter().map(value).collect::<Vec<Option<f64>>>())
    };
    DataFrame::new(
        lines.len(),
        vec![
            text("scope", &|line| line.scope.to_owned()),
            text("item", &|line| line.item.to_owned()),
            text("name", &|line| line.name.clone()),
            number("facility_energy_kwh", &|line| line.energy_kwh),
            number("volume_kwh", &|line| line.volume_kwh),
            number("intensity_gco2e_per_kwh", &|line| line.intensity),
            number("emissions_gco2e", &|line| line.gco2e),
            text("note", &|line| line.note.clone()),
        ],
    )
}

/// The same for `summary.json`.
pub(super) fn summary(sums: &Figures, market: Option<&Market>, subject: &Subject<'_>) -> Value {
    let rows = embodied::rows(subject.books);
    let by_kind = embodied::by(&rows, |row| Some(row.beneficiary.kind()));
    let of_market = market.map(|market| {
        let matched = crate::sum::sum(market.contracts.iter().map(|used| used.matched_kwh));
        json!({
            "matching": subject.matching.as_str(),
            "contracts_kwh": matched,
            "residual_mix_kwh": market.residual.0,
            "location_factor_kwh": market.location.0,
            "unpriced_kwh": market.unknown_kwh,
        })
    });
    json!({
        "scope_2_location_gco2e": market.and_then(|_| sums.emissions_gco2e()),
        "scope_2_market_gco2e": market.filter(|market| market.covers_any()).map(Market::emissions_gco2e),
        "scope_3_category_3_gco2e": sums.upstream_gco2e(),
        "scope_3_category_2_gco2e": subject.purchases.map(|purchases| purchases.total_g(window(subject))),
        "market": of_market,
        "embodied_amortised_gco2e": crate::sum::sum(rows.iter().map(|row| row.gco2e)),
        "embodied_amortised_gco2e_by_beneficiary": by_kind,
    })
}
