//! Sums by what rows have of their own: the site of the node, the day.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, PolarsResult};

use super::embodied;
use super::rollup::Rollup;
use super::tables::{OfKinds, sums_of_kinds};
use crate::jobs::Run;
use crate::ledger::Books;

/// `by_site.csv`.
pub(super) fn by_site(rollup: &Rollup, books: &Books) -> PolarsResult<DataFrame> {
    let sites: BTreeMap<&str, &str> =
        books.nodes.iter().map(|node| (node.name.as_str(), node.site.as_str())).collect();
    let site_of = |node: &str| sites.get(node).copied().unwrap_or_default();
    let mut rows: BTreeMap<&str, OfKinds> = BTreeMap::new();
    for node in rollup.nodes() {
        let row = rows.entry(site_of(&node.name)).or_default();
        for (kind, figures) in node.by_kind.iter().enumerate() {
            figures.iter().for_each(|figures| row.add(kind, figures));
        }
    }
    let of_site = embodied::by(&embodied::rows(books), |row| Some(vec![site_of(row.node).to_owned()]));
    embodied::join(table("site", &rows, rollup)?, &["site"], of_site)
}

/// `by_day.csv` of the runs that are wanted, and of what no run used where all are.
pub(super) fn by_day(
    rollup: &Rollup,
    runs: &[Run],
    is_wanted: Option<&dyn Fn(&Run) -> bool>,
) -> PolarsResult<DataFrame> {
    let mut rows: BTreeMap<&str, OfKinds> = BTreeMap::new();
    for (key, figures) in rollup.groups() {
        let of =
            |wanted: &dyn Fn(&Run) -> bool| rollup.classes().example(key.class, runs).is_some_and(wanted);
        if is_wanted.is_none_or(of) {
            let day = rollup.days().get(key.day as usize).map_or("", String::as_str);
            rows.entry(day).or_default().add(key.kind, figures);
        }
    }
    table("date", &rows, rollup)
}

fn table(name: &str, rows: &BTreeMap<&str, OfKinds>, rollup: &Rollup) -> PolarsResult<DataFrame> {
    let mut columns = vec![Column::new(name.into(), rows.keys().copied().collect::<Vec<&str>>())];
    columns.extend(sums_of_kinds(&rows.values().collect::<Vec<_>>(), rollup));
    DataFrame::new(rows.len(), columns)
}
