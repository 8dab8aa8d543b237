//! Long tables in Parquet, a row at a time.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::record::{Field, Row};

use super::error::DumpError;
use super::reading::Reading;
use super::table::{Rows, epoch_ms};
use crate::parquet_file::Table;
use crate::time::DAY_MS;

/// Reads the table at `path`.
pub(super) fn read(path: &Path, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    let broken = |reading: &Reading<'_>, nth: u64, error: &ParquetError| {
        let place = if nth == 0 { "the file".to_owned() } else { format!("row {nth}") };
        reading.form(place, error.to_string())
    };
    let file = File::open(path).map_err(reading.failed())?;
    let mut table = Table::open(file).map_err(|error| broken(reading, 0, &error))?;
    let mut rows = Rows::new(&table.header, reading)?;
    let mut nth = 0;
    loop {
        nth += 1;
        match table.next_row() {
            Ok(Some(row)) => take(&row, nth, &mut rows, reading)?,
            Ok(None) => return Ok(()),
            Err(error) => return Err(broken(reading, nth, &error)),
        }
    }
}

fn take(row: &Row, nth: u64, rows: &mut Rows, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    let place = || format!("row {nth}");
    let cells: Vec<&Field> = row.get_column_iter().map(|(_, cell)| cell).collect();
    let cell = |at: usize| cells.get(at).copied().unwrap_or(&Field::Null);
    let at_ms = match time(cell(rows.layout.time)) {
        Time::Instant(at_ms) => at_ms,
        Time::Text(text) => match rows.time(text.trim(), reading) {
            Ok(at_ms) => at_ms,
            Err(reason) => {
                reading.reject(place, &reason);
                return Ok(());
            }
        },
        Time::None => {
            reading.reject(place, "there is no time");
            return Ok(());
        }
    };
    let value = match number(cell(rows.layout.value)) {
        Ok(Some(value)) => value,
        Ok(None) => return Ok(()),
        Err(reason) => {
            reading.reject(place, &reason);
            return Ok(());
        }
    };
    rows.row(|at| text(cell(at)), at_ms, value, place, reading)
}

enum Time<'a> {
    Instant(i64),
    Text(&'a str),
    None,
}

fn time(cell: &Field) -> Time<'_> {
    match cell {
        Field::TimestampMillis(at_ms) => Time::Instant(*at_ms),
        Field::TimestampMicros(at_us) => Time::Instant(at_us.div_euclid(1000)),
        Field::Date(days) => Time::Instant(i64::from(*days).saturating_mul(DAY_MS)),
        Field::Str(text) => Time::Text(text),
        other => match number(other) {
            Ok(Some(epoch)) if epoch.is_finite() => Time::Instant(epoch_ms(epoch)),
            _ => Time::None,
        },
    }
}

/// A number; nothing where it is missing.
fn number(cell: &Field) -> Result<Option<f64>, String> {
    let number = match cell {
        Field::Null => return Ok(None),
        Field::Bool(yes) => f64::from(u8::from(*yes)),
        Field::Byte(number) => f64::from(*number),
        Field::Short(number) => f64::from(*number),
        Field::Int(number) => f64::from(*number),
        Field::Long(number) => *number as f64,
        Field::UByte(number) => f64::from(*number),
        Field::UShort(number) => f64::from(*number),
        Field::UInt(number) => f64::from(*number),
        Field::ULong(number) => *number as f64,
        Field::Float16(number) => f64::from(f32::from(*number)),
        Field::Float(number) => f64::from(*number),
        Field::Double(number) => *number,
        Field::Str(text) => return super::table::number(text.trim()),
        other => return Err(format!("`{other}` is not a value")),
    };
    Ok((!number.is_nan()).then_some(number))
}

/// A label's value.
fn text(cell: &Field) -> Cow<'_, str> {
    match cell {
        Field::Null => Cow::Borrowed(""),
        Field::Str(text) => Cow::Borrowed(text),
        Field::Bytes(bytes) => Cow::Owned(String::from_utf8_lossy(bytes.data()).into_owned()),
        other => Cow::Owned(other.to_string()),
    }
}
