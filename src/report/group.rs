//! Grouping with sums that do not depend on threads or order of groups: each
//! group is summed in row order with compensation, and the groups are sorted.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, GroupsIndicator, IdxSize, PolarsResult, SortMultipleOptions};

use crate::sum::Sum;

/// The rows of each group, and the frame of their keys in the same order.
pub(super) struct Grouped {
    keys: DataFrame,
    rows: Vec<Vec<IdxSize>>,
}

impl Grouped {
    /// Groups `frame` by `keys`.
    pub(super) fn new(frame: &DataFrame, keys: &[&str]) -> PolarsResult<Self> {
        if frame.height() == 0 {
            return Ok(Self { keys: frame.select(keys.iter().copied())?, rows: Vec::new() });
        }
        let grouped = frame.group_by_stable(keys.iter().copied())?;
        let rows = grouped
            .get_groups()
            .iter()
            .map(|group| match group {
                GroupsIndicator::Idx((_, rows)) => rows.to_vec(),
                GroupsIndicator::Slice([first, length]) => (first..first.saturating_add(length)).collect(),
            })
            .collect();
        Ok(Self { keys: DataFrame::new_infer_height(grouped.keys())?, rows })
    }

    /// The sum of a column in each group; a null adds nothing.
    pub(super) fn sum(&self, frame: &DataFrame, column: &str) -> PolarsResult<Column> {
        let values = frame.column(column)?.f64()?;
        let sums: Vec<f64> = self
            .rows
            .iter()
            .map(|rows| rows.iter().filter_map(|row| values.get(*row as usize)).collect::<Sum>().value())
            .collect();
        Ok(Column::new(column.into(), sums))
    }

    /// The same, null where a group has no value at all.
    pub(super) fn sum_if_any(&self, frame: &DataFrame, column: &str) -> PolarsResult<Column> {
        let values = frame.column(column)?.f64()?;
        let sums: Vec<Option<f64>> = self
            .rows
            .iter()
            .map(|rows| {
                let mut known = rows.iter().filter_map(|row| values.get(*row as usize)).peekable();
                known.peek().is_some().then(|| known.collect::<Sum>().value())
            })
            .collect();
        Ok(Column::new(column.into(), sums))
    }

    /// The sum over the rows for which `keep` holds.
    pub(super) fn sum_where(
        &self,
        frame: &DataFrame,
        column: &str,
        name: &str,
        keep: impl Fn(usize) -> bool,
    ) -> PolarsResult<Column> {
        let values = frame.column(column)?.f64()?;
        let sums: Vec<f64> = self
            .rows
            .iter()
            .map(|rows| {
                let kept = rows.iter().map(|row| *row as usize).filter(|row| keep(*row));
                kept.filter_map(|row| values.get(row)).collect::<Sum>().value()
            })
            .collect();
        Ok(Column::new(name.into(), sums))
    }

    /// For each group the distinct texts of a column, by energy, greatest first,
    /// joined with `+`; nulls do not appear.
    pub(super) fn words(&self, frame: &DataFrame, column: &str) -> PolarsResult<Column> {
        let texts = frame.column(column)?.str()?;
        let energy = frame.column("energy_j")?.f64()?;
        let joined: Vec<String> = self
            .rows
            .iter()
            .map(|rows| {
                let mut by_word: BTreeMap<&str, Sum> = BTreeMap::new();
                for row in rows.iter().map(|row| *row as usize) {
                    if let Some(text) = texts.get(row) {
                        by_word.entry(text).or_default().add(energy.get(row).unwrap_or(0.0));
                    }
                }
                let mut words: Vec<(&str, f64)> =
                    by_word.into_iter().map(|(word, sum)| (word, sum.value())).collect();
                words.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(right.0)));
                words.into_iter().map(|(word, _)| word).collect::<Vec<_>>().join("+")
            })
            .collect();
        Ok(Column::new(column.into(), joined))
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows of each group.
    pub(super) fn rows(&self) -> &[Vec<IdxSize>] {
        &self.rows
    }

    /// Keys and `columns` side by side, sorted by the keys.
    pub(super) fn table(&self, columns: Vec<Column>) -> PolarsResult<DataFrame> {
        let keys: Vec<String> = self.keys.get_column_names().iter().map(ToString::to_string).collect();
        let mut all: Vec<Column> = self.keys.columns().to_vec();
        all.extend(columns);
        DataFrame::new(self.len(), all)?.sort(keys, SortMultipleOptions::default())
    }
}
