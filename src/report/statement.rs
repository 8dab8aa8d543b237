//! The statement: what of the emissions is Scope 2, by location and by market, what lies upstream, what was bought (rules G4, G5).

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, PolarsResult};
use serde_json::{Value, json};

use super::{Subject, embodied};
use crate::carbon::{Contracts, Zone};
use crate::ledger::{Market, ZoneUse};
use crate::sum::Sum;
use crate::time::{Window, span};
use crate::units::Joules;

/// The market-based factors of a total that may have them.
pub(super) fn market(entries: &DataFrame, subject: &Subject<'_>) -> PolarsResult<Option<Market>> {
    if !subject.basis.is_scope_2() {
        return Ok(None);
    }
    let zones = entries.column("zone")?.str()?;
    let buckets = entries.column("bucket")?.u32()?;
    let energy = entries.column("facility_energy_j")?.f64()?;
    let factors = entries.column("intensity_gco2e_per_kwh")?.f64()?;
    let mut used: BTreeMap<(&str, u32), (Sum, Option<f64>)> = BTreeMap::new();
    for row in 0..entries.height() {
        let (Some(zone), Some(bucket)) = (zones.get(row), buckets.get(row)) else { continue };
        let (sum, factor) = used.entry((zone, bucket)).or_default();
        sum.add(energy.get(row).unwrap_or(0.0));
        *factor = factor.or(factors.get(row));
    }
    let used = used.into_iter().map(|((zone, bucket), (joules, location_g_per_kwh))| {
        let facility_kwh = Joules(joules.value()).to_kwh().value();
        ((Zone::from_id(zone), bucket as usize), ZoneUse { facility_kwh, location_g_per_kwh })
    });
    let none = Contracts::default();
    let contracts = subject.contracts.unwrap_or(&none);
    Ok(Some(Market::new(contracts, subject.matching, &subject.books.buckets, &used.collect())))
}

/// The ledger's rows with their market-based emissions; null where there are none.
pub(super) fn with_market(mut entries: DataFrame, market: Option<&Market>) -> PolarsResult<DataFrame> {
    let zones = entries.column("zone")?.str()?;
    let buckets = entries.column("bucket")?.u32()?;
    let energy = entries.column("facility_energy_j")?.f64()?;
    // Rows of one zone and bucket stand together.
    let mut last: Option<(Zone, u32, Option<f64>)> = None;
    let mut of_row = |row: usize| -> Option<f64> {
        let (market, text, bucket) = (market?, zones.get(row)?, buckets.get(row)?);
        let factor = match &last {
            Some((zone, known, factor)) if zone.as_str() == text && *known == bucket => *factor,
            _ => {
                let zone = Zone::from_id(text);
                let factor = market.factor(&zone, bucket as usize);
                last = Some((zone, bucket, factor));
                factor
            }
        };
        let kwh = Joules(energy.get(row)?).to_kwh().value();
        // Where nothing was used there is nothing to match.
        factor.or((kwh == 0.0).then_some(0.0)).map(|factor| kwh * factor)
    };
    let grams: Vec<Option<f64>> = (0..entries.height()).map(&mut of_row).collect();
    entries.with_column(Column::new("emissions_market_gco2e".into(), grams))?;
    Ok(entries)
}

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

/// The sum of a column; `None` if no row has it.
fn total(entries: &DataFrame, column: &str) -> PolarsResult<Option<f64>> {
    let values = entries.column(column)?.f64()?;
    let mut known = values.iter().flatten().peekable();
    Ok(known.peek().is_some().then(|| known.collect::<Sum>().value()))
}

/// Energy at the building's meter of the rows that have a value in `column`, in kWh.
fn energy_with(entries: &DataFrame, column: &str) -> PolarsResult<f64> {
    let values = entries.column(column)?.f64()?;
    let energy = entries.column("facility_energy_j")?.f64()?;
    let known = values.iter().zip(energy.iter()).filter(|(value, _)| value.is_some());
    let joules = known.filter_map(|(_, joules)| joules).collect::<Sum>().value();
    Ok(Joules(joules).to_kwh().value())
}

fn lines(entries: &DataFrame, market: Option<&Market>, subject: &Subject<'_>) -> PolarsResult<Vec<Line>> {
    let mut lines = Vec::new();
    let location = total(entries, "emissions_gco2e")?;
    let priced_kwh = energy_with(entries, "emissions_gco2e")?;
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
            let upstream = total(entries, "upstream_gco2e")?;
            let kwh = energy_with(entries, "upstream_gco2e")?;
            lines.push(Line {
                energy_kwh: Some(kwh),
                intensity: mean(upstream, kwh),
                ..Line::new("3.3", "upstream", upstream, "life-cycle less direct, where one source has both")
            });
        }
    }
    let unpriced =
        |kwh: f64| Line { energy_kwh: Some(kwh), ..Line::new("", "unpriced", None, "no factor is known") };
    let all_kwh = Joules(total(entries, "facility_energy_j")?.unwrap_or(0.0)).to_kwh().value();
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
    Ok(lines)
}

fn window(subject: &Subject<'_>) -> Window {
    span(&subject.books.buckets).unwrap_or(Window::new(0, 0))
}

/// `statement.csv`.
pub(super) fn table(
    entries: &DataFrame,
    market: Option<&Market>,
    subject: &Subject<'_>,
) -> PolarsResult<DataFrame> {
    let lines = lines(entries, market, subject)?;
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
pub(super) fn summary(
    entries: &DataFrame,
    market: Option<&Market>,
    subject: &Subject<'_>,
) -> PolarsResult<Value> {
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
    Ok(json!({
        "scope_2_location_gco2e": market.map(|_| total(entries, "emissions_gco2e")).transpose()?.flatten(),
        "scope_2_market_gco2e": market.filter(|market| market.covers_any()).map(Market::emissions_gco2e),
        "scope_3_category_3_gco2e": total(entries, "upstream_gco2e")?,
        "scope_3_category_2_gco2e": subject.purchases.map(|purchases| purchases.total_g(window(subject))),
        "market": of_market,
        "embodied_amortised_gco2e": crate::sum::sum(rows.iter().map(|row| row.gco2e)),
        "embodied_amortised_gco2e_by_beneficiary": by_kind,
    }))
}
