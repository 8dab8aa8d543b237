//! `change.csv`: a period beside an earlier one, in all and by group, and whether use or the grid made the difference.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, PolarsResult};

use super::Report;

/// Figures of a group in one period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Figures {
    energy_kwh: f64,
    facility_kwh: f64,
    emissions_g: Option<f64>,
}

/// How a change of emissions comes about, in gCO2e. Both parts add up to it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Parts {
    /// Had the mean intensity stayed as it was.
    by_energy_g: f64,
    /// What the other intensity does to the energy of now.
    by_intensity_g: f64,
}

/// What changes of emissions come from: ΔE × I before, and E now × ΔI.
fn parts(now: Figures, before: Figures) -> Option<Parts> {
    let (now_g, before_g) = (now.emissions_g?, before.emissions_g?);
    if before.facility_kwh <= 0.0 {
        return None;
    }
    let intensity = before_g / before.facility_kwh;
    let by_energy_g = (now.facility_kwh - before.facility_kwh) * intensity;
    Some(Parts { by_energy_g, by_intensity_g: now_g - before_g - by_energy_g })
}

type Groups = BTreeMap<(String, String), Figures>;

fn add(groups: &mut Groups, group: &str, name: &str, row: Figures) {
    let sum = groups.entry((group.to_owned(), name.to_owned())).or_default();
    sum.energy_kwh += row.energy_kwh;
    sum.facility_kwh += row.facility_kwh;
    if let Some(grams) = row.emissions_g {
        *sum.emissions_g.get_or_insert(0.0) += grams;
    }
}

/// The figures of a report by group and name.
fn groups(report: &Report<'_>) -> PolarsResult<Groups> {
    let mut found = Groups::new();
    for (group, table, keyed_by_run) in [
        ("account", &report.by_account, true),
        ("user", &report.by_user, true),
        ("partition", &report.by_partition, true),
        ("stage", &report.by_stage, true),
        ("state", &report.by_state, true),
        ("node", &report.by_node, false),
        ("site", &report.by_site, false),
    ] {
        let names = table.column(group)?.str()?;
        let kinds = if keyed_by_run { Some(table.column("beneficiary")?.str()?) } else { None };
        let (energy, facility) =
            (table.column("energy_kwh")?.f64()?, table.column("facility_energy_kwh")?.f64()?);
        let emissions = table.column("emissions_gco2e")?.f64()?;
        for row in 0..table.height() {
            let figures = Figures {
                energy_kwh: energy.get(row).unwrap_or(0.0),
                facility_kwh: facility.get(row).unwrap_or(0.0),
                emissions_g: emissions.get(row),
            };
            let kind = kinds.and_then(|kinds| kinds.get(row));
            match kind {
                Some("run") | None => add(&mut found, group, names.get(row).unwrap_or_default(), figures),
                Some(_) => {}
            }
            // Every row of accounts is of one beneficiary, and all of them are everything.
            if group == "account" {
                add(&mut found, "beneficiary", kind.unwrap_or_default(), figures);
                add(&mut found, "total", "", figures);
            }
        }
    }
    Ok(found)
}

/// The table. Groups that are in one of the periods only have nought in the other.
pub(super) fn table(now: &Report<'_>, before: &Report<'_>) -> PolarsResult<DataFrame> {
    let (of_now, of_before) = (groups(now)?, groups(before)?);
    let total_kwh = of_now.get(&("total".to_owned(), String::new())).map_or(0.0, |sum| sum.energy_kwh);
    let mut keys: Vec<&(String, String)> = of_now.keys().chain(of_before.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let order = |group: &str| {
        ["total", "beneficiary", "site", "account", "user", "partition", "stage", "state", "node"]
            .iter()
            .position(|known| *known == group)
    };
    keys.sort_by_key(|(group, _)| order(group));
    let rows: Vec<(&(String, String), Figures, Figures)> = keys
        .into_iter()
        .map(|key| {
            let of = |groups: &Groups| groups.get(key).copied().unwrap_or_default();
            (key, of(&of_now), of(&of_before))
        })
        .collect();
    let number = |name: &str, of: &dyn Fn(Figures, Figures) -> Option<f64>| {
        let values: Vec<Option<f64>> = rows.iter().map(|(_, now, before)| of(*now, *before)).collect();
        Column::new(name.into(), values)
    };
    let ratio = |top: f64, bottom: f64| (bottom > 0.0).then(|| top / bottom);
    DataFrame::new(
        rows.len(),
        vec![
            Column::new("group".into(), rows.iter().map(|(key, ..)| key.0.as_str()).collect::<Vec<&str>>()),
            Column::new("name".into(), rows.iter().map(|(key, ..)| key.1.as_str()).collect::<Vec<&str>>()),
            number("energy_kwh", &|now, _| Some(now.energy_kwh)),
            number("energy_before_kwh", &|_, before| Some(before.energy_kwh)),
            number("energy_change_kwh", &|now, before| Some(now.energy_kwh - before.energy_kwh)),
            number("energy_change", &|now, before| {
                ratio(now.energy_kwh - before.energy_kwh, before.energy_kwh)
            }),
            number("energy_share", &|now, _| ratio(now.energy_kwh, total_kwh)),
            number("intensity_gco2e_per_kwh", &|now, _| ratio(now.emissions_g?, now.facility_kwh)),
            number("intensity_before_gco2e_per_kwh", &|_, before| {
                ratio(before.emissions_g?, before.facility_kwh)
            }),
            number("emissions_gco2e", &|now, _| now.emissions_g),
            number("emissions_before_gco2e", &|_, before| before.emissions_g),
            number("emissions_change_gco2e", &|now, before| match (now.emissions_g, before.emissions_g) {
                (None, None) => None,
                (now, before) => Some(now.unwrap_or(0.0) - before.unwrap_or(0.0)),
            }),
            number("change_by_energy_gco2e", &|now, before| {
                parts(now, before).map(|parts| parts.by_energy_g)
            }),
            number("change_by_intensity_gco2e", &|now, before| {
                parts(now, before).map(|parts| parts.by_intensity_g)
            }),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_that_of_use_and_that_of_the_grid() {
        // 100 kWh at 400 g/kWh become 80 kWh at 500: use alone −8 kg, the grid +8 kg.
        let before = Figures { energy_kwh: 100.0, facility_kwh: 100.0, emissions_g: Some(40_000.0) };
        let now = Figures { energy_kwh: 80.0, facility_kwh: 80.0, emissions_g: Some(40_000.0) };
        assert_eq!(parts(now, before), Some(Parts { by_energy_g: -8000.0, by_intensity_g: 8000.0 }));
        assert_eq!(parts(now, Figures::default()), None);
    }
}
