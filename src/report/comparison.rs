//! The files of `wattledger compare`: the runs by several methods, the methods, and a chart of them.

use std::path::{Path, PathBuf};

use polars::prelude::{Column, DataFrame, PolarsResult};

use super::chart::{BarItem, Bars, SegmentStyle, Text, scale_for, three_digits};
use super::chart_files::ChartFiles;
use super::output::Outputs;
use super::tables::{CellText, write_csv};
use super::{ReportError, pictures};
use crate::jobs::Run;
use crate::ledger::{Account, ComponentEnergy};
use crate::time::format_instant;
use crate::units::Joules;

/// Writes `compare.csv` (a row for each run), `compare_methods.csv` (a row for each method) and, if charts are wanted, the chart `compare`.
///
/// # Errors
///
/// Where a file cannot be written, or a chart cannot be drawn.
pub fn write_comparison(
    directory: &Path,
    accounts: &[Account],
    runs: &[Run],
    subtitle: &str,
    (charts, cells): (Option<ChartFiles>, CellText),
) -> Result<Vec<PathBuf>, ReportError> {
    let mut outputs = Outputs::new(directory, "");
    let table = by_run(accounts, runs)?;
    outputs.add_with("compare.csv", move |out| write_csv(&table, cells, out));
    let table = by_method(accounts)?;
    outputs.add_with("compare_methods.csv", move |out| write_csv(&table, cells, out));
    if let Some(files) = charts {
        files.add(&mut outputs, "compare", &chart(accounts, subtitle))?;
    }
    Ok(outputs.write()?)
}

fn kwh(joules: f64) -> f64 {
    Joules(joules).to_kwh().value()
}

/// The share by which a figure differs from that of the first method.
fn difference(found: Option<f64>, first: Option<f64>) -> Option<f64> {
    let first = first.filter(|first| *first > 0.0)?;
    found.map(|found| found / first - 1.0)
}

/// `NAME_low` and `NAME_high` of bounds in joules, in kWh.
fn bound_columns(name: &str, bounds: &[Option<(f64, f64)>]) -> [Column; 2] {
    let side = |of: fn((f64, f64)) -> f64| -> Vec<Option<f64>> {
        bounds.iter().map(|bounds| bounds.map(|bounds| kwh(of(bounds)))).collect()
    };
    [
        Column::new(format!("{name}_low").into(), side(|bounds| bounds.0)),
        Column::new(format!("{name}_high").into(), side(|bounds| bounds.1)),
    ]
}

fn by_run(accounts: &[Account], runs: &[Run]) -> PolarsResult<DataFrame> {
    let of = |account: &Account, run: usize| account.runs.get(run).and_then(ComponentEnergy::total_j);
    // A run outside of the window has a figure nowhere.
    let shown: Vec<usize> =
        (0..runs.len()).filter(|run| accounts.iter().any(|account| of(account, *run).is_some())).collect();
    let text = |name: &str, value: &dyn Fn(&Run) -> String| {
        let values: Vec<String> = shown.iter().filter_map(|run| runs.get(*run)).map(value).collect();
        Column::new(name.into(), values)
    };
    let mut columns = vec![
        text("run_id", &|run| run.run_id.clone()),
        text("name", &|run| run.name.clone()),
        text("user", &|run| run.user.clone()),
        text("account", &|run| run.account.clone()),
        text("start", &|run| format_instant(run.start_ms)),
        text("end", &|run| run.end_ms.map(format_instant).unwrap_or_default()),
    ];
    for (position, account) in accounts.iter().enumerate() {
        let found: Vec<Option<f64>> = shown.iter().map(|run| of(account, *run)).collect();
        let energy: Vec<Option<f64>> = found.iter().map(|joules| joules.map(kwh)).collect();
        columns.push(Column::new(format!("{}_energy_kwh", account.name).into(), energy));
        let bounds: Vec<Option<(f64, f64)>> = shown
            .iter()
            .map(|run| of(account, *run).and_then(|_| Some(account.runs.get(*run)?.bounds_j)))
            .collect();
        columns.extend(bound_columns(&format!("{}_energy_kwh", account.name), &bounds));
        if let (Some(first), true) = (accounts.first(), position > 0) {
            let differences: Vec<Option<f64>> =
                shown.iter().zip(found).map(|(run, found)| difference(found, of(first, *run))).collect();
            columns.push(Column::new(format!("{}_difference", account.name).into(), differences));
        }
    }
    DataFrame::new(shown.len(), columns)
}

fn by_method(accounts: &[Account]) -> PolarsResult<DataFrame> {
    let first = accounts.first().and_then(|account| account.all.total_j());
    let column = |name: &str, value: &dyn Fn(&Account) -> f64| {
        Column::new(name.into(), accounts.iter().map(value).collect::<Vec<f64>>())
    };
    let part =
        |at: usize| move |account: &Account| kwh(account.all.energy_j.get(at).copied().unwrap_or_default());
    let total = |account: &Account| account.all.total_j();
    let runs = |account: &Account| kwh(crate::sum::sum(account.runs.iter().map(ComponentEnergy::sum_j)));
    let words: Vec<String> = accounts.iter().map(|account| account.words.clone()).collect();
    let names: Vec<&str> = accounts.iter().map(|account| account.name).collect();
    let differences: Vec<Option<f64>> =
        accounts.iter().map(|account| difference(total(account), first)).collect();
    let bounds: Vec<Option<(f64, f64)>> = accounts.iter().map(|account| Some(account.all.bounds_j)).collect();
    let [low, high] = bound_columns("energy_kwh", &bounds);
    DataFrame::new(
        accounts.len(),
        vec![
            Column::new("method".into(), names),
            column("energy_kwh", &|account| kwh(account.all.sum_j())),
            low,
            high,
            Column::new("difference".into(), differences),
            column("run_energy_kwh", &runs),
            column("cpu_energy_kwh", &part(0)),
            column("dram_energy_kwh", &part(1)),
            column("gpu_energy_kwh", &part(2)),
            column("other_energy_kwh", &part(3)),
            column("coverage", &|account| account.all.known),
            Column::new("what".into(), words),
        ],
    )
}

fn chart(accounts: &[Account], subtitle: &str) -> Bars {
    let totals = accounts.iter().map(|account| account.all.sum_j());
    let (unit, scale) = scale_for(totals.fold(0.0, f64::max), &pictures::ENERGY_UNITS);
    let items = accounts.iter().map(|account| BarItem {
        name: account.name.replace('_', "-"),
        segments: account.all.energy_j.iter().map(|joules| joules / scale).collect(),
    });
    let totals: Vec<String> = accounts
        .iter()
        .map(|account| format!("{} {} {unit}", account.name, three_digits(account.all.sum_j() / scale)))
        .collect();
    let segment = |name: &str, muted: bool| SegmentStyle { name: name.to_owned(), muted };
    Bars {
        text: Text {
            title: "The same cluster by several methods".to_owned(),
            subtitle: subtitle.to_owned(),
            footnote: "report and ceems read the meters; all others see utilisation and rated power only. \
                       A method that has no figure for some hardware leaves it out: see coverage in compare_methods.csv"
                .to_owned(),
            alt: format!("Energy of the same cluster by several methods: {}.", totals.join(", ")),
        },
        items: items.collect(),
        segments: vec![
            segment("CPU", false),
            segment("memory", false),
            segment("GPU", false),
            segment("rest of the node", true),
        ],
        x_label: format!("energy ({unit})"),
    }
}
