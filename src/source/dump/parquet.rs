//! Long tables in Parquet, a row group at a time.

use std::borrow::Cow;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use polars::prelude::{
    Column, DataFrame, DataType, ParquetReader, PolarsError, PolarsResult, SerReader as _, TimeUnit,
};

use super::error::DumpError;
use super::reading::Reading;
use super::table::{Rows, epoch_ms};

/// Reads the table at `path`.
pub(super) fn read(path: &Path, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    let broken = |reading: &Reading<'_>, error: &PolarsError| reading.form("the file", error.to_string());
    let groups = guarded(|| groups(path)).map_err(|error| broken(reading, &error))?;
    let mut first = 0_usize;
    let mut rows = None;
    for length in groups {
        let frame = guarded(|| group(path, first, length)).map_err(|error| broken(reading, &error))?;
        let rows = match &mut rows {
            Some(rows) => rows,
            None => {
                let header: Vec<String> =
                    frame.get_column_names().iter().map(|name| name.to_string()).collect();
                rows.insert(Rows::new(&header, reading)?)
            }
        };
        take(&frame, first, rows, reading)?;
        first = first.saturating_add(length);
    }
    Ok(())
}

/// Rows of each row group.
fn groups(path: &Path) -> PolarsResult<Vec<usize>> {
    let mut reader = ParquetReader::new(File::open(path)?);
    Ok(reader.get_metadata()?.row_groups.iter().map(|group| group.num_rows()).collect())
}

fn group(path: &Path, first: usize, length: usize) -> PolarsResult<DataFrame> {
    ParquetReader::new(File::open(path)?).with_slice(Some((first, length))).finish()
}

/// Runs what may panic on a damaged file: the library takes much of it at its word.
fn guarded<T>(read: impl FnOnce() -> PolarsResult<T>) -> PolarsResult<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(PolarsError::ComputeError("it is damaged".into())))
}

fn take(
    frame: &DataFrame,
    first: usize,
    rows: &mut Rows,
    reading: &mut Reading<'_>,
) -> Result<(), DumpError> {
    let wrong = |error: PolarsError| error.to_string();
    let column = |at: usize| frame.columns().get(at).ok_or_else(|| "a column is missing".to_owned());
    let form = |reason: String| reading.form(format!("rows from {}", first + 1), reason);
    let layout = rows.layout.clone();
    let times = column(layout.time).and_then(|column| times(column).map_err(wrong)).map_err(form)?;
    let values = column(layout.value)
        .and_then(|column| column.cast(&DataType::Float64).map_err(wrong))
        .map_err(form)?;
    let values = values.f64().map_err(|error| form(wrong(error)))?;
    let texts = layout.metric.into_iter().chain(layout.labels.iter().map(|(_, at)| *at));
    let texts = texts
        .map(|at| Ok((at, column(at)?.cast(&DataType::String).map_err(wrong)?)))
        .collect::<Result<Vec<(usize, Column)>, String>>()
        .map_err(form)?;
    let texts = texts
        .iter()
        .map(|(at, column)| Ok((*at, column.str().map_err(wrong)?)))
        .collect::<Result<Vec<_>, String>>()
        .map_err(form)?;
    for (nth, value) in values.iter().enumerate() {
        let place = || format!("row {}", first + nth + 1);
        let at_ms = match times.at(nth) {
            Time::Instant(at_ms) => at_ms,
            Time::Text(text) => match rows.time(text.trim(), reading) {
                Ok(at_ms) => at_ms,
                Err(reason) => {
                    reading.reject(place, &reason);
                    continue;
                }
            },
            Time::Missing => {
                reading.reject(place, "there is no time");
                continue;
            }
        };
        let Some(value) = value.filter(|value| !value.is_nan()) else { continue };
        let cell = |wanted: usize| {
            let found = texts.iter().find(|(at, _)| *at == wanted);
            Cow::Borrowed(found.and_then(|(_, column)| column.get(nth)).unwrap_or_default())
        };
        rows.row(cell, at_ms, value, place, reading)?;
    }
    Ok(())
}

/// A column of times.
enum Times {
    /// Whole milliseconds.
    Milliseconds(Column),
    /// Since the epoch, in a unit that its size tells.
    Epoch(Column),
    /// As text.
    Text(Column),
}

enum Time<'a> {
    Instant(i64),
    Text(&'a str),
    Missing,
}

fn times(column: &Column) -> PolarsResult<Times> {
    Ok(match column.dtype() {
        DataType::Date | DataType::Datetime(..) => {
            let milliseconds = column.cast(&DataType::Datetime(TimeUnit::Milliseconds, None))?;
            Times::Milliseconds(milliseconds.cast(&DataType::Int64)?)
        }
        DataType::String => Times::Text(column.clone()),
        _ => Times::Epoch(column.cast(&DataType::Float64)?),
    })
}

impl Times {
    fn at(&self, nth: usize) -> Time<'_> {
        let time = match self {
            Self::Milliseconds(column) => {
                column.i64().ok().and_then(|column| column.get(nth)).map(Time::Instant)
            }
            Self::Epoch(column) => column
                .f64()
                .ok()
                .and_then(|column| column.get(nth))
                .filter(|number| number.is_finite())
                .map(|number| Time::Instant(epoch_ms(number))),
            Self::Text(column) => column.str().ok().and_then(|column| column.get(nth)).map(Time::Text),
        };
        time.unwrap_or(Time::Missing)
    }
}
