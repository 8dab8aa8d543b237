//! A period beside the one before.

use std::collections::BTreeMap;

use polars::prelude::{DataFrame, PolarsResult};

use super::super::chart::{PeriodGroup, Periods, scale_for};
use super::super::{Before, Report};
use super::{MASS_UNITS, counted, text};
use crate::sum::sum;

/// Accounts shown by name; the rest is one group.
const TOP_ACCOUNTS: usize = 12;

/// Emissions by account, and of what no run used, in both periods.
pub(super) fn by_account(now: &Report<'_>, before: &Before<'_>) -> PolarsResult<Periods> {
    let (of_now, of_before) = (emissions(&now.by_account)?, emissions(&before.report.by_account)?);
    let mut names: Vec<&(bool, String)> = of_now.keys().chain(of_before.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let both = |name: &(bool, String)| [of_now.get(name).copied(), of_before.get(name).copied()];
    // Accounts first, the greatest on top; then what no run used.
    names.sort_by(|left, right| {
        let size = |name: &(bool, String)| sum(both(name).into_iter().flatten());
        left.0.cmp(&right.0).then(size(right).total_cmp(&size(left))).then(left.1.cmp(&right.1))
    });
    let accounts = names.iter().filter(|name| !name.0).count();
    let shown = accounts.min(TOP_ACCOUNTS);
    let mut groups: Vec<(String, [Option<f64>; 2])> = Vec::new();
    let mut others: [Vec<f64>; 2] = Default::default();
    let mut unused: Vec<(String, [Option<f64>; 2])> = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let values = both(name);
        if name.0 {
            unused.push((name.1.clone(), values));
        } else if place < shown {
            let word = if name.1.is_empty() { "(no account)".to_owned() } else { name.1.clone() };
            groups.push((word, values));
        } else {
            for (all, value) in others.iter_mut().zip(values) {
                all.extend(value);
            }
        }
    }
    if accounts > shown {
        let sums = others.map(|all| (!all.is_empty()).then(|| sum(all)));
        groups.push((format!("{} others", accounts - shown), sums));
    }
    groups.extend(unused);
    let largest = groups.iter().flat_map(|(_, values)| values.iter().flatten()).copied().fold(0.0, f64::max);
    let (unit, scale) = scale_for(largest, &MASS_UNITS);
    let total = |values: &BTreeMap<(bool, String), f64>| sum(values.values().copied()) / scale;
    let alt = format!(
        "Emissions of {} in {} and {}: {:.3} and {:.3} {unit} in all",
        counted(accounts, "account"),
        before.now,
        before.then,
        total(&of_now),
        total(&of_before)
    );
    let title = format!("Emissions by account: {} and {}", before.now, before.then);
    Ok(Periods {
        text: text(now, &title, "", alt),
        periods: vec![before.now.clone(), before.then.clone()],
        groups: groups
            .into_iter()
            .map(|(name, values)| PeriodGroup {
                name,
                values: values.iter().map(|value| value.map(|grams| grams / scale)).collect(),
            })
            .collect(),
        x_label: format!("emissions ({unit})"),
    })
}

/// Emissions in gCO2e by account, and by what no run used (`true`).
fn emissions(table: &DataFrame) -> PolarsResult<BTreeMap<(bool, String), f64>> {
    let (kinds, names) = (table.column("beneficiary")?.str()?, table.column("account")?.str()?);
    let grams = table.column("emissions_gco2e")?.f64()?;
    let mut found = BTreeMap::new();
    for row in 0..table.height() {
        let (Some(kind), Some(grams)) = (kinds.get(row), grams.get(row)) else { continue };
        let is_unused = kind != "run";
        let name = if is_unused { kind } else { names.get(row).unwrap_or_default() };
        *found.entry((is_unused, name.to_owned())).or_insert(0.0) += grams;
    }
    Ok(found)
}
