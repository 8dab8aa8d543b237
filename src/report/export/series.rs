//! Energy and emissions as counters: of the cluster, of nodes, users, accounts and runs.

use std::collections::BTreeMap;

use polars::prelude::PolarsResult;

use crate::jobs::Run;
use crate::ledger::store::LedgerPeriod;
use crate::time::{Window, step_edges};
use crate::tsdb::{Labels, METRIC_NAME, Samples};

/// A counter, from nought at the beginning of the period or of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportSeries {
    /// Its name and labels.
    pub labels: Labels,
    /// What it stood at.
    pub samples: Samples,
}

/// What two of them count, as their names say.
pub(super) const UNITS: [(&str, &str, &str); 2] = [
    ("energy_joules", "joules", "IT energy"),
    ("emissions_gco2e", "gco2e", "location-based emissions of facility energy"),
];

/// Whose they are: the part of the name before the unit, and what it says of it.
pub(super) const WHOSE: [(&str, &str); 5] = [
    ("wattledger", "of the whole cluster, by component and by what it was used for"),
    ("wattledger_node", "of each node, by component"),
    ("wattledger_user", "of the runs of each user"),
    ("wattledger_account", "of the runs of each account"),
    ("wattledger_run", "of each run"),
];

/// What is known between edges: `(from, to, amount)`.
type Pieces = Vec<(Window, f64)>;

/// All counters of a period, in the order of their labels, with a sample every `step_ms` and at the ends.
///
/// # Errors
///
/// Only if Polars refuses a column.
pub fn series(period: &LedgerPeriod, step_ms: i64) -> PolarsResult<Vec<ExportSeries>> {
    let (entries, runs) = (&period.entries, &period.runs.log.runs);
    let bucket = entries.column("bucket")?.u32()?;
    let (energy, emissions) = (entries.column("energy_j")?.f64()?, entries.column("emissions_gco2e")?.f64()?);
    let (nodes, components) = (entries.column("node")?.str()?, entries.column("component")?.str()?);
    let (kinds, numbers) = (entries.column("beneficiary")?.str()?, entries.column("run")?.u32()?);
    let mut pieces: BTreeMap<Labels, Pieces> = BTreeMap::new();
    for row in 0..entries.height() {
        let window = bucket.get(row).and_then(|bucket| period.books.buckets.get(bucket as usize)).copied();
        let Some(window) = window else { continue };
        let run = numbers.get(row).and_then(|run| runs.get(run as usize));
        for ((unit, _, _), amount) in UNITS.into_iter().zip([energy.get(row), emissions.get(row)]) {
            let Some(amount) = amount else { continue };
            let (node, component) =
                (nodes.get(row).unwrap_or_default(), components.get(row).unwrap_or_default());
            let kind = kinds.get(row).unwrap_or_default();
            let mut add = |whose: &str, labels: &[(&str, &str)], window: Window| {
                let name = format!("{whose}_{unit}_total");
                let pairs = labels.iter().copied().chain([(METRIC_NAME, name.as_str())]);
                let known = pieces.entry(Labels::new(pairs)).or_default();
                match known.last_mut().filter(|(last, _)| *last == window) {
                    Some((_, sum)) => *sum += amount,
                    None => known.push((window, amount)),
                }
            };
            add("wattledger", &[("beneficiary", kind), ("component", component)], window);
            add("wattledger_node", &[("node", node), ("component", component)], window);
            let Some(run) = run else { continue };
            add("wattledger_user", &[("user", &run.user)], window);
            add("wattledger_account", &[("account", &run.account)], window);
            add("wattledger_run", &labels_of(run), of_run(run, window));
        }
    }
    let Some(whole) = crate::time::span(&period.books.buckets) else { return Ok(Vec::new()) };
    let all = pieces.into_iter().map(|(labels, pieces)| {
        let is_run = labels.metric().starts_with("wattledger_run_");
        let samples = counter(pieces, if is_run { None } else { Some(whole) }, step_ms);
        ExportSeries { labels, samples }
    });
    Ok(all.collect())
}

fn labels_of(run: &Run) -> [(&str, &str); 5] {
    [
        ("run_id", &run.run_id),
        ("name", &run.name),
        ("user", &run.user),
        ("account", &run.account),
        ("partition", &run.partition),
    ]
}

/// The part of a bucket in which a run was there.
fn of_run(run: &Run, bucket: Window) -> Window {
    let end_ms = run.end_ms.unwrap_or(bucket.end_ms);
    Window::new(run.start_ms, end_ms).intersect(bucket).unwrap_or(bucket)
}

/// The counter that rises by each amount evenly over its window.
fn counter(mut pieces: Pieces, whole: Option<Window>, step_ms: i64) -> Samples {
    pieces.sort_by_key(|(window, _)| *window);
    let first_ms = pieces.first().map(|(window, _)| window.start_ms);
    let last_ms = pieces.iter().map(|(window, _)| window.end_ms).max();
    let Some((first_ms, last_ms)) = first_ms.zip(last_ms) else { return Samples::default() };
    let whole = whole.unwrap_or(Window::new(first_ms, last_ms));
    // The last instant is the last that belongs to the period: the next one may begin with a counter of its own.
    let last_ms = whole.end_ms.saturating_sub(1).max(whole.start_ms);
    let mut at_ms = vec![whole.start_ms];
    at_ms.extend(step_edges(Window::new(whole.start_ms, last_ms), step_ms));
    if last_ms > whole.start_ms {
        at_ms.push(last_ms);
    }
    let mut samples = Samples::default();
    let mut done = crate::sum::Sum::new();
    let mut open: std::collections::VecDeque<(Window, f64)> = pieces.into();
    let mut running: Vec<(Window, f64)> = Vec::new();
    for at in at_ms {
        // What ends with the period has ended by its last instant.
        let now = if at == last_ms { whole.end_ms } else { at };
        while open.front().is_some_and(|(window, _)| window.start_ms < now) {
            running.extend(open.pop_front());
        }
        running.retain(|(window, amount)| {
            let has_ended = window.end_ms <= now;
            if has_ended {
                done.add(*amount);
            }
            !has_ended
        });
        let mut value = done;
        for (window, amount) in &running {
            value.add(amount * (now - window.start_ms) as f64 / window.length_ms().max(1) as f64);
        }
        samples.timestamps_ms.push(at);
        samples.values.push(value.value());
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_rises_evenly_over_each_piece() {
        let pieces = vec![(Window::new(2000, 3000), 30.0), (Window::new(0, 2000), 100.0)];
        let samples = counter(pieces, None, 500);
        assert_eq!(samples.timestamps_ms, [0, 500, 1000, 1500, 2000, 2500, 2999]);
        assert_eq!(samples.values, [0.0, 25.0, 50.0, 75.0, 100.0, 115.0, 130.0]);
    }

    #[test]
    fn before_and_after_a_piece_it_stands_still() {
        let samples = counter(vec![(Window::new(1000, 2000), 8.0)], Some(Window::new(0, 4000)), 1000);
        assert_eq!(samples.timestamps_ms, [0, 1000, 2000, 3000, 3999]);
        assert_eq!(samples.values, [0.0, 0.0, 8.0, 8.0, 8.0]);
    }
}
