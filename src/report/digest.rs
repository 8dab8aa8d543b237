//! The report in few figures: what a terminal, a page and a chat message show of it alike.

use polars::prelude::{DataFrame, PolarsResult};
use serde_json::Value;

/// Users, accounts and runs that are listed at most.
const TOP: usize = 10;

/// An amount with what its true value should lie between, in the unit of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// The figure.
    pub value: f64,
    /// Lower and upper bound.
    pub bounds: Option<(f64, f64)>,
}

/// A part of the energy.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Component or kind of beneficiary.
    pub name: String,
    /// In kWh.
    pub energy_kwh: Amount,
    /// Of all energy, 0 to 1.
    pub share: f64,
}

/// One of the three balances.
#[derive(Clone, Debug, PartialEq)]
pub struct BalanceLine {
    /// `B1`, `B2`, `B3`.
    pub name: &'static str,
    /// Does it close?
    pub closes: bool,
    /// Places where it does not.
    pub failures: u64,
    /// Places that were compared.
    pub compared: u64,
    /// Largest difference of all, relative.
    pub worst_relative: f64,
    /// What is compared with what.
    pub meaning: String,
}

/// A user, an account or a run with what it used.
#[derive(Clone, Debug, PartialEq)]
pub struct Leader {
    /// User, account, or the run's id.
    pub name: String,
    /// Whose run it is; empty of users and accounts.
    pub user: String,
    /// Name of the run; empty of users and accounts.
    pub job: String,
    /// Number of runs; `None` of a run.
    pub runs: Option<f64>,
    /// In kWh.
    pub energy_kwh: f64,
    /// In gCO2e; `None` where nothing is priced.
    pub emissions_gco2e: Option<f64>,
}

/// A period less the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What the one before is called.
    pub then: String,
    /// Energy before, in kWh.
    pub energy_before_kwh: f64,
    /// Emissions before, in gCO2e; `None` where nothing was priced.
    pub emissions_before_gco2e: Option<f64>,
}

impl Change {
    /// `+12.3 % against 2026-09`, of a figure of now and one of then; nothing where that was nought.
    pub fn words(&self, now: f64, before: f64) -> Option<String> {
        let share = (before > 0.0).then(|| now / before - 1.0)?;
        let sign = if share < 0.0 { "−" } else { "+" };
        Some(format!("{sign}{} against {}", crate::figures::percent(share.abs()), self.then))
    }
}

/// The figures that every short form of a report shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Digest {
    /// What the emissions count.
    pub title: String,
    /// The basis of the factors.
    pub basis: String,
    /// True if the input was simulated.
    pub simulated: bool,
    /// Start and end; `None` of an empty report.
    pub window: Option<(String, String)>,
    /// IT energy in kWh.
    pub energy_kwh: Amount,
    /// At the building's meter, in kWh.
    pub facility_energy_kwh: Amount,
    /// By kind of beneficiary.
    pub by_beneficiary: Vec<Part>,
    /// By component.
    pub by_component: Vec<Part>,
    /// Shares of the energy by method, 0 to 1.
    pub methods: Vec<(String, f64)>,
    /// Shares of the energy by the way it was given to runs.
    pub share_methods: Vec<(String, f64)>,
    /// Shares of the energy by tier of the factor.
    pub tiers: Vec<(String, f64)>,
    /// Shares of the energy by whose factor it is.
    pub sources: Vec<(String, f64)>,
    /// In gCO2e; `None` where nothing is priced.
    pub emissions_gco2e: Option<Amount>,
    /// Kilometres of a car, and months of a tree, that emit or take up as much.
    pub likened: Option<(f64, f64)>,
    /// Market-based, in gCO2e, where contracts or residual mixes are stated.
    pub market_gco2e: Option<f64>,
    /// Upstream (Scope 3 category 3), in gCO2e.
    pub upstream_gco2e: Option<f64>,
    /// Embodied, amortised over the window, in gCO2e.
    pub embodied_gco2e: Option<f64>,
    /// What the facility energy costs, in a currency, where a price is stated.
    pub cost: Option<(f64, String)>,
    /// What the total is less that of the period before, in kWh and in gCO2e, where one stands beside it.
    pub change: Option<Change>,
    /// Share of the expected device-seconds that was covered, 0 to 1.
    pub covered: Option<f64>,
    /// Share whose energy is known but not how it was spread.
    pub interpolated: Option<f64>,
    /// B1, B2, B3.
    pub balances: Vec<BalanceLine>,
    /// Nodes with meters or models.
    pub nodes: u64,
    /// Runs of the job log.
    pub runs: u64,
    /// Users with most energy.
    pub top_users: Vec<Leader>,
    /// Accounts with most energy.
    pub top_accounts: Vec<Leader>,
    /// Runs with most energy.
    pub top_runs: Vec<Leader>,
}

impl Digest {
    /// From `summary.json` and the tables that it sums up.
    pub(super) fn new(
        summary: &Value,
        (runs, by_user, by_account): (&DataFrame, &DataFrame, &DataFrame),
    ) -> PolarsResult<Self> {
        let number = |pointer: &str| summary.pointer(pointer).and_then(Value::as_f64);
        let count = |pointer: &str| summary.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let text = |pointer: &str| {
            summary.pointer(pointer).and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
        };
        let amount = |name: &str| {
            let [low, high] = ["low", "high"].map(|side| number(&format!("/{name}_{side}")));
            Amount { value: number(&format!("/{name}")).unwrap_or(0.0), bounds: low.zip(high) }
        };
        let energy_kwh = amount("energy_kwh");
        let parts = |by: &str, names: &[&str]| -> Vec<Part> {
            let part = |name: &&str| {
                let value = number(&format!("/energy_kwh_by_{by}/{name}")).unwrap_or(0.0);
                let [low, high] = [0, 1].map(|at| number(&format!("/energy_kwh_bounds_by_{by}/{name}/{at}")));
                let share = if energy_kwh.value > 0.0 { value / energy_kwh.value } else { 0.0 };
                let energy_kwh = Amount { value, bounds: low.zip(high) };
                Part { name: (*name).to_owned(), energy_kwh, share }
            };
            names.iter().map(part).collect()
        };
        let shares = |name: &str| -> Vec<(String, f64)> {
            let shares = summary.get(name).and_then(Value::as_object).into_iter().flatten();
            shares.map(|(name, share)| (name.clone(), share.as_f64().unwrap_or(0.0))).collect()
        };
        let balance = |name: &'static str| BalanceLine {
            name,
            closes: summary.pointer(&format!("/balances/{name}/closes")) == Some(&Value::Bool(true)),
            failures: count(&format!("/balances/{name}/failures")),
            compared: count(&format!("/balances/{name}/compared")),
            worst_relative: number(&format!("/balances/{name}/worst_relative_difference")).unwrap_or(0.0),
            meaning: text(&format!("/balances/{name}/meaning")),
        };
        let components = super::tables::COMPONENTS.map(|component| component.as_str());
        let emissions = number("/emissions_gco2e");
        Ok(Self {
            title: text("/title"),
            basis: text("/basis"),
            simulated: summary.get("simulated") == Some(&Value::Bool(true)),
            window: summary
                .get("window")
                .filter(|window| !window.is_null())
                .map(|_| (text("/window/start"), text("/window/end"))),
            energy_kwh,
            facility_energy_kwh: amount("facility_energy_kwh"),
            by_beneficiary: parts("beneficiary", &super::tables::BENEFICIARIES),
            by_component: parts("component", &components),
            methods: shares("energy_share_by_method"),
            share_methods: shares("energy_share_by_share_method"),
            tiers: shares("energy_share_by_intensity_tier"),
            sources: shares("energy_share_by_factor_source"),
            emissions_gco2e: emissions.map(|_| amount("emissions_gco2e")),
            likened: number("/equivalents/car_km/count").zip(number("/equivalents/tree_months/count")),
            market_gco2e: number("/statement/scope_2_market_gco2e"),
            upstream_gco2e: number("/statement/scope_3_category_3_gco2e"),
            embodied_gco2e: number("/statement/embodied_amortised_gco2e"),
            cost: number("/cost/total").zip(Some(text("/cost/currency"))),
            change: None,
            covered: number("/coverage/covered"),
            interpolated: number("/coverage/interpolated"),
            balances: vec![balance("B1"), balance("B2"), balance("B3")],
            nodes: count("/nodes"),
            runs: count("/runs"),
            top_users: leaders(by_user, "user")?,
            top_accounts: leaders(by_account, "account")?,
            top_runs: leaders(runs, "run_id")?,
        })
    }

    /// True if all three balances close.
    pub fn closes(&self) -> bool {
        self.balances.iter().all(|balance| balance.closes)
    }
}

/// The rows of runs with most energy, named by a column.
fn leaders(table: &DataFrame, name: &str) -> PolarsResult<Vec<Leader>> {
    // A report without any time has only the columns that name the runs.
    let Ok(energies) = table.column("energy_kwh") else { return Ok(Vec::new()) };
    let energies = energies.f64()?;
    let names = table.column(name)?.str()?;
    let emissions = table.column("emissions_gco2e")?.f64()?;
    let kinds = table.column("beneficiary").ok().map(|column| column.str()).transpose()?;
    let is_run = |row: usize| kinds.is_none_or(|kinds| kinds.get(row) == Some("run"));
    let mut rows: Vec<(usize, f64)> = (0..table.height())
        .filter(|row| is_run(*row))
        .filter_map(|row| energies.get(row).filter(|kwh| *kwh > 0.0).map(|kwh| (row, kwh)))
        .collect();
    // Of equals the first stays first.
    rows.sort_by(|left, right| right.1.total_cmp(&left.1));
    rows.truncate(TOP);
    let text = |column: &str, row: usize| -> String {
        let column = table.column(column).ok().and_then(|column| column.str().ok());
        column.and_then(|values| values.get(row)).unwrap_or_default().to_owned()
    };
    let is_of_runs = kinds.is_none();
    let counts = table.column("runs").ok().map(|column| column.u64()).transpose()?;
    let leader = |(row, energy_kwh): (usize, f64)| Leader {
        name: names.get(row).unwrap_or_default().to_owned(),
        user: if is_of_runs { text("user", row) } else { String::new() },
        job: if is_of_runs { text("name", row) } else { String::new() },
        runs: counts.and_then(|counts| counts.get(row)).map(|count| count as f64),
        energy_kwh,
        emissions_gco2e: emissions.get(row),
    };
    Ok(rows.into_iter().map(leader).collect())
}

#[cfg(test)]
mod tests {
    use polars::prelude::Column;

    use super::*;

    #[test]
    fn leaders_are_runs_by_energy() {
        let table = DataFrame::new(
            4,
            vec![
                Column::new("beneficiary".into(), ["idle", "run", "run", "run"]),
                Column::new("user".into(), ["", "anna", "bert", "cleo"]),
                Column::new("energy_kwh".into(), [Some(9.0), Some(1.0), Some(2.0), None]),
                Column::new("emissions_gco2e".into(), [None, None, Some(700.0), None]),
                Column::new("runs".into(), [0_u64, 3, 4, 1]),
            ],
        )
        .unwrap();
        let found = leaders(&table, "user").unwrap();
        let short: Vec<_> = found
            .iter()
            .map(|leader| (leader.name.as_str(), leader.energy_kwh, leader.runs, leader.emissions_gco2e))
            .collect();
        assert_eq!(short, [("bert", 2.0, Some(4.0), Some(700.0)), ("anna", 1.0, Some(3.0), None)]);
    }
}
