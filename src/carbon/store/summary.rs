//! What figures hold, for the record.

use std::path::Path;
use std::sync::Arc;

use super::row::{Period, Row};
use crate::carbon::{Basis, Format, InputSummary, Step, Zone, ZoneSummary};
use crate::time::{HOUR_MS, Window};

/// When, how long, how much, whether it is an estimate, and of which edition.
pub(in crate::carbon) type Figure = (Window, Period, f64, bool, Arc<str>);

/// What rows of one length hold.
pub(super) fn zone_summary(zone: &Zone, rows: &[Row]) -> Option<ZoneSummary> {
    let rows: Vec<Figure> = rows
        .iter()
        .map(|row| {
            let window = Window::new(row.start_ms, row.start_ms.saturating_add(row.length_ms));
            (window, row.period(), row.grams_per_kwh, row.estimated, Arc::clone(&row.release))
        })
        .collect();
    [Period::Fine, Period::Month, Period::Year]
        .into_iter()
        .find_map(|period| period_summary(zone, &rows, period))
}

/// What the figures of one length hold; `None` if there are none.
fn period_summary(zone: &Zone, rows: &[Figure], wanted: Period) -> Option<ZoneSummary> {
    let of_period = || rows.iter().filter(move |(_, period, ..)| *period == wanted);
    let (first, ..) = of_period().next()?;
    let lengths = of_period().map(|(window, ..)| window.length_ms());
    let holes: Vec<i64> = of_period()
        .zip(of_period().skip(1))
        .map(|((one, ..), (next, ..))| next.start_ms.saturating_sub(one.end_ms))
        .filter(|hole| *hole > 0)
        .collect();
    Some(ZoneSummary {
        zone: zone.clone(),
        step: match wanted {
            Period::Fine => Step::Fine { step_ms: lengths.min().unwrap_or(HOUR_MS) },
            Period::Month => Step::Monthly,
            Period::Year => Step::Yearly,
        },
        values: of_period().count() as u64,
        window: Window::new(
            first.start_ms,
            of_period().map(|(window, ..)| window.end_ms).max().unwrap_or(first.end_ms),
        ),
        gaps: holes.len() as u64,
        missing_ms: holes.iter().fold(0, |total, hole| total.saturating_add(*hole)),
        estimated: of_period().filter(|(_, _, _, estimated, _)| *estimated).count() as u64,
        duplicates: 0,
        conflicts: 0,
    })
}

/// What one file of a store has of one source, for the record: hours, months and years each.
pub(in crate::carbon) fn summary_of(
    path: &Path,
    zone: &Zone,
    basis: Basis,
    (source, attribution): (&Arc<str>, &Arc<str>),
    rows: &[Figure],
) -> Option<InputSummary> {
    let zones: Vec<ZoneSummary> = [Period::Fine, Period::Month, Period::Year]
        .into_iter()
        .filter_map(|period| period_summary(zone, rows, period))
        .collect();
    (!zones.is_empty()).then(|| InputSummary {
        path: path.to_path_buf(),
        format: Format::Store,
        basis,
        basis_assumed: false,
        zones,
        rejected: 0,
        rejected_lines: Vec::new(),
        source: Arc::clone(source),
        attribution: Arc::clone(attribution),
    })
}
