//! The rows of a period as tables of their own, with what their runs are called.

use std::path::{Path, PathBuf};

use polars::prelude::{Column, DataFrame, DataType, PolarsResult};

use super::ExportError;
use crate::jobs::Run;
use crate::ledger::store::LedgerPeriod;
use crate::parquet_columns::{self, Column as Stored, Values};
use crate::report::output::Outputs;
use crate::report::tables::{CellText, csv_as_is};
use crate::time::format_instant;

/// `entries.csv` and `runs.csv`.
pub(super) fn csv(period: &LedgerPeriod, cells: CellText, out: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let mut outputs = Outputs::new(out, "");
    for (name, table) in [("entries.csv", entries(period)?), ("runs.csv", runs(period)?)] {
        outputs.add(name, csv_as_is(with_texts(table)?, cells)?);
    }
    Ok(outputs.write()?)
}

/// The same in Parquet.
pub(super) fn parquet(period: &LedgerPeriod, out: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let mut outputs = Outputs::new(out, "");
    for (name, table) in [("entries.parquet", entries(period)?), ("runs.parquet", runs(period)?)] {
        let columns = table.columns().iter().map(stored).collect::<PolarsResult<Vec<Stored>>>()?;
        let bytes = parquet_columns::write(&columns, |_| Vec::new())
            .map_err(|error| ExportError::Parquet { reason: error.to_string() })?;
        outputs.add(name, bytes);
    }
    Ok(outputs.write()?)
}

/// Instants are told from other numbers by their names.
const INSTANTS: [&str; 3] = ["bucket_start", "run_start", "run_end"];

fn stored(column: &Column) -> PolarsResult<Stored> {
    let name = column.name().as_str();
    let values = match column.dtype() {
        DataType::Float64 => Values::Number(column.f64()?.iter().collect()),
        DataType::Boolean => Values::Flag(column.bool()?.iter().collect()),
        DataType::Int64 if INSTANTS.contains(&name) => Values::Instant(column.i64()?.iter().collect()),
        DataType::Int64 => Values::Count(column.i64()?.iter().collect()),
        _ => Values::texts(column.str()?.iter()),
    };
    Ok(Stored::new(name, values))
}

/// Instants as RFC 3339.
fn with_texts(table: DataFrame) -> PolarsResult<DataFrame> {
    let columns = table.columns().iter().map(|column| {
        if !INSTANTS.contains(&column.name().as_str()) {
            return Ok(column.clone());
        }
        let texts: Vec<Option<String>> =
            column.i64()?.iter().map(|at_ms| at_ms.map(format_instant)).collect();
        Ok(Column::new(column.name().clone(), texts))
    });
    DataFrame::new(table.height(), columns.collect::<PolarsResult<Vec<Column>>>()?)
}

/// The rows, with the run's id, user, account and partition.
fn entries(period: &LedgerPeriod) -> PolarsResult<DataFrame> {
    let (entries, runs) = (&period.entries, &period.runs.log.runs);
    let numbers = entries.column("run")?.u32()?;
    let of_row: Vec<Option<&Run>> =
        numbers.iter().map(|run| run.and_then(|run| runs.get(run as usize))).collect();
    let text = |name: &str, of: fn(&Run) -> &str| {
        let texts: Vec<Option<&str>> = of_row.iter().map(|run| run.map(of)).collect();
        Column::new(name.into(), texts)
    };
    let starts: Vec<Option<i64>> = entries.column("bucket_start_ms")?.i64()?.iter().collect();
    let bucket = entries.column("bucket")?.u32()?;
    let window = |bucket: Option<u32>| bucket.and_then(|bucket| period.books.buckets.get(bucket as usize));
    let lengths: Vec<Option<f64>> =
        bucket.iter().map(|bucket| window(bucket).map(|window| window.length_s())).collect();
    let run_starts: Vec<Option<i64>> = of_row.iter().map(|run| run.map(|run| run.start_ms)).collect();
    let mut columns = vec![
        Column::new("bucket_start".into(), starts),
        Column::new("bucket_s".into(), lengths),
        text("run_id", |run| &run.run_id),
        Column::new("run_start".into(), run_starts),
        text("user", |run| &run.user),
        text("account", |run| &run.account),
        text("partition", |run| &run.partition),
    ];
    let skipped = ["bucket", "bucket_start_ms", "run"];
    let rest = entries.columns().iter().filter(|column| !skipped.contains(&column.name().as_str()));
    columns.extend(rest.cloned());
    DataFrame::new(entries.height(), columns)
}

/// The runs that lie in the period.
fn runs(period: &LedgerPeriod) -> PolarsResult<DataFrame> {
    let window = crate::time::span(&period.books.buckets);
    let is_inside = |run: &&Run| {
        window.is_some_and(|window| {
            run.start_ms < window.end_ms && run.end_ms.is_none_or(|end_ms| end_ms > window.start_ms)
        })
    };
    let runs: Vec<&Run> = period.runs.log.runs.iter().filter(is_inside).collect();
    let text = |name: &str, of: &dyn Fn(&Run) -> String| {
        Column::new(name.into(), runs.iter().map(|run| of(run)).collect::<Vec<String>>())
    };
    let total = |name: &str, of: fn(&crate::jobs::Allocation) -> Option<f64>| {
        let sums = runs.iter().map(|run| run.total(of));
        Column::new(name.into(), sums.collect::<Vec<Option<f64>>>())
    };
    DataFrame::new(
        runs.len(),
        vec![
            text("run_id", &|run| run.run_id.clone()),
            Column::new("run_start".into(), runs.iter().map(|run| run.start_ms).collect::<Vec<i64>>()),
            Column::new("run_end".into(), runs.iter().map(|run| run.end_ms).collect::<Vec<Option<i64>>>()),
            Column::new(
                "restart".into(),
                runs.iter().map(|run| i64::from(run.restart)).collect::<Vec<i64>>(),
            ),
            text("name", &|run| run.name.clone()),
            text("user", &|run| run.user.clone()),
            text("account", &|run| run.account.clone()),
            text("partition", &|run| run.partition.clone()),
            text("state", &|run| run.state.clone()),
            text("stage", &|run| run.stage.clone()),
            text("nodes", &|run| run.node_names()),
            total("cpus", |part| part.cpus),
            total("memory_bytes", |part| part.memory_bytes),
            total("gpus", |part| part.gpus),
        ],
    )
}
