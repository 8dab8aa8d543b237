//! `reserved.csv`: what runs held of processors, GPUs and memory, and what they used of it.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, PolarsResult};

use crate::jobs::Run;
use crate::ledger::{Books, HeldUse};
use crate::sum::Sum;
use crate::time::{Window, span};

/// Amounts of one resource, in hours of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hours {
    /// Held.
    held: Sum,
    /// Of that, with known use.
    known: Sum,
    /// Of that, used.
    used: Sum,
}

impl Hours {
    /// Share of what is known that was used.
    pub(super) fn used_share(&self) -> Option<f64> {
        (self.known.value() > 0.0).then(|| self.used.value() / self.known.value())
    }

    /// What is known of, in hours.
    pub(super) fn known(&self) -> f64 {
        self.known.value()
    }

    fn add(&mut self, held: Option<f64>, known: f64, used: f64) {
        self.held.add(held.unwrap_or(0.0));
        self.known.add(known);
        self.used.add(used);
    }

    fn merge(&mut self, other: &Self) {
        self.add(Some(other.held.value()), other.known.value(), other.used.value());
    }
}

/// Of processors in CPU-hours, of GPUs in GPU-hours, of memory in GB-hours (10⁹ bytes).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserved {
    pub(super) cpu: Hours,
    pub(super) gpu: Hours,
    pub(super) memory: Hours,
}

const HOUR_S: f64 = 3600.0;
const GB: f64 = 1e9;

/// What a run held in `window`, and used. A log tells the CPU time of the whole run: of a part it is its share by time.
pub(super) fn of_run(run: &Run, used: HeldUse, log_end_ms: Option<i64>, window: Window) -> Reserved {
    let end_ms = run.end_ms.or(log_end_ms).unwrap_or(run.start_ms);
    let whole = Window::new(run.start_ms, end_ms);
    let inside_s = whole.intersect(window).map_or(0.0, Window::length_s);
    let mut reserved = Reserved::default();
    let cpu_h = run.total(|part| part.cpus).map(|cpus| cpus * inside_s / HOUR_S);
    let part = if whole.length_s() > 0.0 { inside_s / whole.length_s() } else { 0.0 };
    match (cpu_h, run.cpu_time_s.filter(|_| run.end_ms.is_some())) {
        (Some(held), Some(seconds)) => reserved.cpu.add(Some(held), held, seconds * part / HOUR_S),
        (held, _) => reserved.cpu.add(held, 0.0, 0.0),
    }
    let gpu_h = run.total(|part| part.gpus).map(|gpus| gpus * inside_s / HOUR_S);
    reserved.gpu.add(gpu_h, used.gpu_known_s / HOUR_S, used.gpu_busy_s / HOUR_S);
    let memory = run.total(|part| part.memory_bytes).map(|bytes| bytes * inside_s / HOUR_S / GB);
    let scale = HOUR_S * GB;
    reserved.memory.add(memory, used.memory_known_bytes_s / scale, used.memory_used_bytes_s / scale);
    reserved
}

/// Of all runs.
pub(super) fn total(books: &Books, runs: &[Run]) -> Reserved {
    let mut all = Reserved::default();
    for (_, reserved) in each(books, runs) {
        merge(&mut all, &reserved);
    }
    all
}

fn merge(all: &mut Reserved, other: &Reserved) {
    all.cpu.merge(&other.cpu);
    all.gpu.merge(&other.gpu);
    all.memory.merge(&other.memory);
}

/// Every run of the window.
fn each<'r>(books: &'r Books, runs: &'r [Run]) -> impl Iterator<Item = (&'r Run, Reserved)> {
    let window = span(&books.buckets).unwrap_or(Window::new(0, 0));
    let log_end_ms = books.jobs_covered.map(|covered| covered.end_ms);
    runs.iter().enumerate().filter_map(move |(position, run)| {
        let is_inside =
            run.start_ms < window.end_ms && run.end_ms.is_none_or(|end_ms| end_ms > window.start_ms);
        let used = books.held.get(&position).copied().unwrap_or_default();
        is_inside.then(|| (run, of_run(run, used, log_end_ms, window)))
    })
}

/// The table: a row for all runs, then for each account, user and partition.
pub(super) fn table(books: &Books, runs: &[Run]) -> PolarsResult<DataFrame> {
    let mut groups: BTreeMap<(u8, &str), Reserved> = BTreeMap::new();
    let mut all = Reserved::default();
    for (run, reserved) in each(books, runs) {
        merge(&mut all, &reserved);
        for (order, name) in [(1, &run.account), (2, &run.user), (3, &run.partition)] {
            merge(groups.entry((order, name)).or_default(), &reserved);
        }
    }
    groups.insert((0, ""), all);
    let word = |order: u8| match order {
        0 => "total",
        1 => "account",
        2 => "user",
        _ => "partition",
    };
    let rows: Vec<(&str, &str, Reserved)> =
        groups.iter().map(|((order, name), reserved)| (word(*order), *name, *reserved)).collect();
    let mut columns = vec![
        Column::new("group".into(), rows.iter().map(|(group, ..)| *group).collect::<Vec<&str>>()),
        Column::new("name".into(), rows.iter().map(|(_, name, _)| *name).collect::<Vec<&str>>()),
    ];
    type Pick = fn(&Reserved) -> &Hours;
    let resources: [(&str, &str, Pick); 3] = [
        ("cpu", "cpu_h", |reserved| &reserved.cpu),
        ("gpu", "gpu_h", |reserved| &reserved.gpu),
        ("memory", "memory_gb_h", |reserved| &reserved.memory),
    ];
    for (name, unit, pick) in resources {
        let number = |of: &dyn Fn(&Hours) -> Option<f64>| -> Vec<Option<f64>> {
            rows.iter().map(|(.., reserved)| of(pick(reserved))).collect()
        };
        columns.push(Column::new(format!("{unit}_held").into(), number(&|hours| Some(hours.held.value()))));
        columns.push(Column::new(format!("{unit}_known").into(), number(&|hours| Some(hours.known()))));
        columns.push(Column::new(format!("{unit}_used").into(), number(&|hours| Some(hours.used.value()))));
        columns.push(Column::new(format!("{name}_used").into(), number(&Hours::used_share)));
    }
    DataFrame::new(rows.len(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Allocation;

    #[test]
    fn hours_by_hand() {
        // Two hours with 4 CPUs, 2 GPUs and 8 GB, the second of which is reported on; 6 CPU-hours were used in all.
        let allocation = Allocation {
            node: "n1".to_owned(),
            cpus: Some(4.0),
            memory_bytes: Some(8e9),
            gpus: Some(2.0),
            gpu_ids: None,
        };
        let run = Run {
            start_ms: 0,
            end_ms: Some(7_200_000),
            allocations: vec![allocation],
            cpu_time_s: Some(21_600.0),
            ..Run::default()
        };
        let used = HeldUse {
            gpu_known_s: 7200.0,
            gpu_busy_s: 1800.0,
            memory_known_bytes_s: 8e9 * 1800.0,
            memory_used_bytes_s: 2e9 * 1800.0,
        };
        let reserved = of_run(&run, used, None, Window::new(3_600_000, 10_800_000));
        let figures = |hours: Hours| (hours.held.value(), hours.known.value(), hours.used.value());
        assert_eq!(figures(reserved.cpu), (4.0, 4.0, 3.0));
        assert_eq!(figures(reserved.gpu), (2.0, 2.0, 0.5));
        assert_eq!(figures(reserved.memory), (8.0, 4.0, 1.0));
        assert_eq!(reserved.gpu.used_share(), Some(0.25));
        assert_eq!(Hours::default().used_share(), None);
    }
}
