//! `runs.csv`: every run with what follows from its energy.

use polars::prelude::{Column, DataFrame, PolarsResult};

use super::embodied::{self, EMBODIED};
use super::reserved::{self, Reserved};
use super::rollup::Rollup;
use super::tables::Rows;
use crate::carbon::{Basis, Equivalents};
use crate::jobs::Run;
use crate::ledger::{Beneficiary, Books};
use crate::time::{Window, format_instant, span};
use crate::units::{GramsCo2e, Seconds};

/// `runs.csv`: every run of the log that lies in the window, also those without energy.
pub(super) fn runs(
    rollup: &Rollup,
    books: &Books,
    runs: &[Run],
    (basis, equivalents): (Basis, &Equivalents),
) -> PolarsResult<DataFrame> {
    let Some(window) = span(&books.buckets) else {
        return identity(&[], books, runs);
    };
    let mut listed: Vec<usize> = (0..runs.len())
        .filter(|index| {
            runs.get(*index).is_some_and(|run| {
                run.start_ms < window.end_ms
                    && (run.start_ms >= window.start_ms
                        || run.end_ms.is_none_or(|end_ms| end_ms > window.start_ms))
            })
        })
        .collect();
    let order = |index: &usize| runs.get(*index).map(|run| (run.start_ms, &run.run_id, run.restart));
    listed.sort_by(|one, other| order(one).cmp(&order(other)));
    let rows = Rows::new(listed.iter().map(|run| rollup.run(*run)).collect(), rollup);
    let totals = rows.totals();
    let mut all = identity(&listed, books, runs)?.columns().to_vec();
    all.extend(totals.energy);
    all.push(rows.number("edge_error_j", |group| Some(group.edge_error_j())));
    all.push(rows.text("share_method", |group| group.share_method.joined(|method| Some(method.as_str()))));
    all.extend(totals.coverage);
    all.extend(totals.carbon);
    all.push(rows.text("basis", |_| basis.to_string()));
    all.extend(run_figures(&listed, &all, books, runs, equivalents)?);
    all.extend(scores(&listed, &all, books, runs)?);
    DataFrame::new(listed.len(), all)
}

/// Who, what, where and when.
fn identity(listed: &[usize], books: &Books, runs: &[Run]) -> PolarsResult<DataFrame> {
    let chosen: Vec<&Run> = listed.iter().filter_map(|index| runs.get(*index)).collect();
    let text = |name: &str, value: &dyn Fn(&Run) -> String| {
        Column::new(name.into(), chosen.iter().map(|run| value(run)).collect::<Vec<String>>())
    };
    let number = |name: &str, value: &dyn Fn(&Run) -> Option<f64>| {
        Column::new(name.into(), chosen.iter().map(|run| value(run)).collect::<Vec<Option<f64>>>())
    };
    let window = span(&books.buckets).unwrap_or(Window::new(0, 0));
    let log_end_ms = books.jobs_covered.map(|covered| covered.end_ms);
    DataFrame::new(
        chosen.len(),
        vec![
            text("run_id", &|run| run.run_id.clone()),
            text("restart", &|run| run.restart.to_string()),
            text("name", &|run| run.name.clone()),
            text("user", &|run| run.user.clone()),
            text("account", &|run| run.account.clone()),
            text("partition", &|run| run.partition.clone()),
            text("state", &|run| run.state.clone()),
            text("stage", &|run| run.stage.clone()),
            text("start", &|run| format_instant(run.start_ms)),
            text("end", &|run| run.end_ms.map(format_instant).unwrap_or_default()),
            number("in_window_s", &|run| {
                let whole = Window::new(run.start_ms, run.end_ms.or(log_end_ms).unwrap_or(run.start_ms));
                Some(whole.intersect(window).map_or(0.0, Window::length_s))
            }),
            text("nodes", &|run| run.node_names()),
            number("cpus", &|run| run.total(|part| part.cpus)),
            number("gpus", &|run| run.total(|part| part.gpus)),
        ],
    )
}

/// The greater of a run's best minute and its mean: the minutes at its ends are
/// no whole ones, so that the mean may lie above all others.
fn peak_power(peak_w: Option<f64>, mean_w: Option<f64>) -> Option<f64> {
    [peak_w, mean_w].into_iter().flatten().reduce(f64::max)
}

/// What follows from a run's energy and emissions.
fn run_figures(
    listed: &[usize],
    columns: &[Column],
    books: &Books,
    runs: &[Run],
    equivalents: &Equivalents,
) -> PolarsResult<Vec<Column>> {
    let find = |name: &str| columns.iter().find(|column| column.name().as_str() == name);
    let numbers = |name: &str| -> PolarsResult<Vec<Option<f64>>> {
        Ok(find(name)
            .map(|column| column.f64().map(|values| values.iter().collect()))
            .transpose()?
            .unwrap_or_default())
    };
    let energy_kwh = numbers("energy_kwh")?;
    let seconds = numbers("in_window_s")?;
    let emissions = numbers("emissions_gco2e")?;
    let with_full_interval: std::collections::BTreeSet<usize> =
        books.nodes.iter().flat_map(|node| node.runs_with_full_interval.iter().copied()).collect();
    let mean: Vec<Option<f64>> = energy_kwh
        .iter()
        .zip(&seconds)
        .map(|(energy, seconds)| {
            let seconds = seconds.filter(|seconds| *seconds > 0.0)?;
            Some(crate::units::KilowattHours((*energy)?).to_joules().mean_power(Seconds(seconds)).value())
        })
        .collect();
    let peak: Vec<Option<f64>> = listed
        .iter()
        .zip(&mean)
        .map(|(run, mean)| peak_power(books.peaks_w.get(run).copied(), *mean))
        .collect();
    let short: Vec<bool> = listed.iter().map(|run| !with_full_interval.contains(run)).collect();
    let like = |name: &str| -> Vec<Option<f64>> {
        let like = equivalents.named(name);
        emissions.iter().map(|grams| Some(like?.count(GramsCo2e((*grams)?)))).collect()
    };
    let recorded: Vec<Option<f64>> =
        listed.iter().map(|run| runs.get(*run).and_then(|run| run.recorded_energy_j)).collect();
    let difference = scheduler_differences(listed, &energy_kwh, books, runs);
    let mut columns = vec![
        Column::new("mean_power_w".into(), mean),
        Column::new("peak_power_w".into(), peak),
        Column::new("short".into(), short),
        Column::new("car_km".into(), like("car_km")),
        Column::new("tree_months".into(), like("tree_months")),
        Column::new("scheduler_energy_j".into(), recorded),
        Column::new("scheduler_energy_difference".into(), difference),
    ];
    columns.extend(used_of_held(listed, books, runs));
    Ok(columns)
}

/// What runs used of the processors, GPUs and memory that they held.
fn used_of_held(listed: &[usize], books: &Books, runs: &[Run]) -> [Column; 3] {
    let window = span(&books.buckets).unwrap_or(Window::new(0, 0));
    let log_end_ms = books.jobs_covered.map(|covered| covered.end_ms);
    let reserved: Vec<Option<Reserved>> = listed
        .iter()
        .map(|position| {
            let used = books.held.get(position).copied().unwrap_or_default();
            runs.get(*position).map(|run| reserved::of_run(run, used, log_end_ms, window))
        })
        .collect();
    let share = |name: &str, of: fn(&Reserved) -> Option<f64>| {
        let shares = reserved.iter().map(|reserved| reserved.as_ref().and_then(of));
        Column::new(name.into(), shares.collect::<Vec<Option<f64>>>())
    };
    [
        share("cpu_used", |reserved| reserved.cpu.used_share()),
        share("gpu_used", |reserved| reserved.gpu.used_share()),
        share("memory_used", |reserved| reserved.memory.used_share()),
    ]
}

/// True of a run that lies in the window whole, and has ended.
fn is_inside(run: &Run, window: Option<Window>) -> bool {
    let whole = window.zip(run.end_ms);
    whole.is_some_and(|(window, end_ms)| run.start_ms >= window.start_ms && end_ms <= window.end_ms)
}

/// Embodied emissions and the software carbon intensity (rules G5, G6).
fn scores(listed: &[usize], columns: &[Column], books: &Books, runs: &[Run]) -> PolarsResult<Vec<Column>> {
    let numbers = |name: &str| -> PolarsResult<Vec<Option<f64>>> {
        let found = columns.iter().find(|column| column.name().as_str() == name);
        Ok(found
            .map(|column| column.f64().map(|values| values.iter().collect()))
            .transpose()?
            .unwrap_or_default())
    };
    let of_run = |row: &embodied::Row<'_>| match row.beneficiary {
        Beneficiary::Run(run) => Some(run),
        _ => None,
    };
    let sums = embodied::by(&embodied::rows(books), of_run);
    let embodied: Vec<Option<f64>> = listed.iter().map(|run| sums.get(run).copied()).collect();
    // Of a run that is priced in part the score would be of that part.
    let unpriced = numbers("unpriced_energy_kwh")?;
    let is_whole = |row: usize| unpriced.get(row).copied().flatten().is_some_and(|kwh| kwh == 0.0);
    let located: Vec<Option<f64>> = numbers("emissions_gco2e")?
        .into_iter()
        .enumerate()
        .map(|(row, grams)| grams.filter(|_| is_whole(row)))
        .collect();
    let sci: Vec<Option<f64>> =
        located.iter().zip(&embodied).map(|(located, embodied)| Some((*located)? + (*embodied)?)).collect();
    let hours: Vec<Option<f64>> =
        numbers("in_window_s")?.iter().map(|seconds| seconds.map(|seconds| seconds / 3600.0)).collect();
    let gpu_hours: Vec<Option<f64>> =
        numbers("gpus")?.iter().zip(&hours).map(|(gpus, hours)| Some((*gpus)? * (*hours)?)).collect();
    let window = span(&books.buckets);
    let units: Vec<Option<f64>> = listed
        .iter()
        .map(|run| {
            let run = runs.get(*run)?;
            run.functional_units.filter(|_| is_inside(run, window))
        })
        .collect();
    let per = |name: &str, amounts: &[Option<f64>]| {
        let pairs = sci.iter().zip(amounts);
        let values = pairs.map(|(sci, amount)| Some((*sci)? / amount.filter(|amount| *amount > 0.0)?));
        Column::new(name.into(), values.collect::<Vec<Option<f64>>>())
    };
    Ok(vec![
        Column::new(EMBODIED.into(), embodied),
        per("sci_gco2e_per_hour", &hours),
        per("sci_gco2e_per_gpu_hour", &gpu_hours),
        per("sci_gco2e_per_unit", &units),
        Column::new("sci_gco2e".into(), sci),
    ])
}

/// Our energy of a run against the scheduler's, relative to that: of runs that had their nodes to themselves and
/// lie in the window whole, since the scheduler's meters see the node and not the run.
fn scheduler_differences(
    listed: &[usize],
    energy_kwh: &[Option<f64>],
    books: &Books,
    runs: &[Run],
) -> Vec<Option<f64>> {
    let shared: std::collections::BTreeSet<usize> =
        books.nodes.iter().flat_map(|node| node.runs_that_shared.iter().copied()).collect();
    let window = span(&books.buckets);
    let difference = |index: &usize, energy: Option<f64>| {
        let run = runs.get(*index).filter(|_| !shared.contains(index))?;
        let theirs_j = run.recorded_energy_j.filter(|joules| is_inside(run, window) && *joules > 0.0)?;
        let ours_j = crate::units::KilowattHours(energy?).to_joules().value();
        Some((ours_j - theirs_j) / theirs_j)
    };
    let energies = energy_kwh.iter().copied().chain(std::iter::repeat(None));
    listed.iter().zip(energies).map(|(index, energy)| difference(index, energy)).collect()
}
