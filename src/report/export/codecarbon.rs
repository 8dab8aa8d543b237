//! `emissions.csv` as CodeCarbon 3 writes it: a row for each run, so that tools for that file take a cluster's runs too.
//!
//! What a ledger does not know is left empty; `codecarbon_version` says who wrote it.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, PolarsResult};

use crate::ledger::store::LedgerPeriod;
use crate::report::tables::{CellText, csv_as_is};
use crate::sum::Sum;
use crate::time::Window;
use crate::units::{Joules, Seconds};

/// Its columns, in its order (CodeCarbon 3.2.9).
const COLUMNS: [&str; 38] = [
    "timestamp",
    "project_name",
    "run_id",
    "experiment_id",
    "duration",
    "emissions",
    "emissions_rate",
    "cpu_power",
    "gpu_power",
    "ram_power",
    "cpu_energy",
    "gpu_energy",
    "ram_energy",
    "energy_consumed",
    "water_consumed",
    "country_name",
    "country_iso_code",
    "region",
    "cloud_provider",
    "cloud_region",
    "os",
    "python_version",
    "codecarbon_version",
    "cpu_count",
    "cpu_model",
    "gpu_count",
    "gpu_model",
    "longitude",
    "latitude",
    "ram_total_size",
    "tracking_mode",
    "cpu_utilization_percent",
    "gpu_utilization_percent",
    "ram_utilization_percent",
    "ram_used_gb",
    "on_cloud",
    "pue",
    "wue",
];

/// Sums of a run's rows.
#[derive(Default)]
struct OfRun {
    /// By component, in joules.
    energy_j: BTreeMap<String, Sum>,
    all_j: Sum,
    facility_j: Sum,
    emissions_g: Option<Sum>,
    zone: String,
}

/// The table, as CSV: kWh, kg and W, as CodeCarbon has them.
pub(super) fn table(period: &LedgerPeriod, cells: CellText) -> PolarsResult<Vec<u8>> {
    let (entries, runs) = (&period.entries, &period.runs.log.runs);
    let numbers = entries.column("run")?.u32()?;
    let components = entries.column("component")?.str()?;
    let (energy, facility) =
        (entries.column("energy_j")?.f64()?, entries.column("facility_energy_j")?.f64()?);
    let (emissions, zones) = (entries.column("emissions_gco2e")?.f64()?, entries.column("zone")?.str()?);
    let mut sums: BTreeMap<usize, OfRun> = BTreeMap::new();
    for row in 0..entries.height() {
        let Some(run) = numbers.get(row) else { continue };
        let of_run = sums.entry(run as usize).or_default();
        let joules = energy.get(row).unwrap_or(0.0);
        of_run.energy_j.entry(components.get(row).unwrap_or_default().to_owned()).or_default().add(joules);
        of_run.all_j.add(joules);
        of_run.facility_j.add(facility.get(row).unwrap_or(0.0));
        if let Some(grams) = emissions.get(row) {
            of_run.emissions_g.get_or_insert_default().add(grams);
        }
        zones.get(row).unwrap_or_default().clone_into(&mut of_run.zone);
    }
    let period_window = crate::time::span(&period.books.buckets).unwrap_or(Window::new(0, 0));
    let mut rows: Vec<BTreeMap<&str, String>> = Vec::new();
    for (position, sums) in &sums {
        let Some(run) = runs.get(*position) else { continue };
        let log_end_ms = period.runs.log.covered.map(|covered| covered.end_ms);
        let end_ms = run.end_ms.or(log_end_ms).unwrap_or(run.start_ms);
        let inside = Window::new(run.start_ms, end_ms).intersect(period_window);
        let seconds = inside.map_or(0.0, Window::length_s);
        let joules = |component: &str| sums.energy_j.get(component).map_or(0.0, |sum| sum.value());
        let kwh = |joules: f64| Joules(joules).to_kwh().value().to_string();
        let watts = |joules: f64| {
            if seconds > 0.0 {
                Joules(joules).mean_power(Seconds(seconds)).value().to_string()
            } else {
                String::new()
            }
        };
        let kilograms = sums.emissions_g.map(|grams| grams.value() / 1000.0);
        let rate = kilograms.filter(|_| seconds > 0.0).map(|kilograms| kilograms / seconds);
        let gpus = run.total(|part| part.gpus);
        let cpus = run.total(|part| part.cpus);
        let text = |number: Option<f64>| number.map(|number: f64| number.to_string()).unwrap_or_default();
        let it_j = sums.all_j.value();
        rows.push(BTreeMap::from([
            ("timestamp", stamp(inside.map_or(end_ms, |window| window.end_ms))),
            ("project_name", run.name.clone()),
            ("run_id", run.run_id.clone()),
            ("experiment_id", run.account.clone()),
            ("duration", seconds.to_string()),
            ("emissions", text(kilograms)),
            ("emissions_rate", text(rate)),
            ("cpu_power", watts(joules("cpu"))),
            ("gpu_power", watts(joules("gpu"))),
            ("ram_power", watts(joules("dram"))),
            ("cpu_energy", kwh(joules("cpu"))),
            ("gpu_energy", kwh(joules("gpu"))),
            ("ram_energy", kwh(joules("dram"))),
            ("energy_consumed", kwh(it_j)),
            ("country_iso_code", sums.zone.clone()),
            ("os", "Linux".to_owned()),
            ("codecarbon_version", concat!("wattledger ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("cpu_count", text(cpus)),
            ("gpu_count", text(gpus)),
            ("tracking_mode", "machine".to_owned()),
            ("on_cloud", "N".to_owned()),
            ("pue", if it_j > 0.0 { (sums.facility_j.value() / it_j).to_string() } else { "1".to_owned() }),
        ]));
    }
    let columns: Vec<Column> = COLUMNS
        .into_iter()
        .map(|name| {
            let values: Vec<String> =
                rows.iter().map(|row| row.get(name).cloned().unwrap_or_default()).collect();
            Column::new(name.into(), values)
        })
        .collect();
    csv_as_is(DataFrame::new(rows.len(), columns)?, cells)
}

/// As CodeCarbon writes it: without an offset. In UTC here.
fn stamp(at_ms: i64) -> String {
    crate::time::format_instant(at_ms).trim_end_matches('Z').to_owned()
}
