//! Rows of tables as text, whatever they are packed in: CSV, gzip, Parquet.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use csv::ByteRecord;
use flate2::read::MultiGzDecoder;
use parquet::record::Field;

use crate::carbon::CarbonError;
use crate::metered::{Budget, LONGEST_BYTES, Metered, Unpacked};
use crate::parquet_file::{Instants, Table};
use crate::time::format_instant;

/// The file's bytes, unpacked.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, CarbonError> {
    let failed = |source| CarbonError::Read { path: path.to_path_buf(), source };
    let mut magic = Vec::new();
    File::open(path).map_err(failed)?.take(2).read_to_end(&mut magic).map_err(failed)?;
    let file = File::open(path).map_err(failed)?;
    let packed_bytes = file.metadata().map_err(failed)?.len();
    let file = BufReader::new(file);
    Ok(if magic == [0x1f, 0x8b] {
        Box::new(Unpacked::new(MultiGzDecoder::new(file), packed_bytes))
    } else {
        Box::new(file)
    })
}

/// All of a file that must be in memory at once, unpacked.
pub(super) fn whole(path: &Path) -> Result<Vec<u8>, CarbonError> {
    let failed = |source| CarbonError::Read { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    open(path)?.take(LONGEST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST_BYTES {
        let reason = format!("longer than {} MiB: import it in parts", LONGEST_BYTES >> 20);
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, reason)));
    }
    Ok(bytes)
}

/// True if the file starts as Parquet does.
pub(super) fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(b"PAR1")
}

/// The names of a Parquet file's columns.
pub(super) fn parquet_header(path: &Path) -> Result<Vec<String>, CarbonError> {
    Ok(parquet_table(path)?.header)
}

fn parquet_table(path: &Path) -> Result<Table, CarbonError> {
    let file = File::open(path).map_err(|source| CarbonError::Read { path: path.to_path_buf(), source })?;
    Table::open_to_hold(file).map_err(|error| damaged(path, &error))
}

fn damaged(path: &Path, error: &parquet::errors::ParquetError) -> CarbonError {
    CarbonError::Read { path: path.to_path_buf(), source: std::io::Error::other(error.to_string()) }
}

/// The rows of a table, one after the other.
pub(super) enum Records {
    Csv(csv::Reader<Metered<BufReader<Box<dyn Read>>>>, Budget),
    Parquet { table: Box<Table>, row: u64 },
}

impl Records {
    /// The rows after the header.
    pub(super) fn new(path: &Path, delimiter: u8, is_parquet: bool) -> Result<Self, CarbonError> {
        if is_parquet {
            return Ok(Self::Parquet { table: Box::new(parquet_table(path)?), row: 0 });
        }
        let mut builder = csv::ReaderBuilder::new();
        builder.has_headers(true).flexible(true).comment(Some(b'#')).delimiter(delimiter);
        // A quote that is never closed makes one row of all that follows.
        let (reader, budget) = Metered::new(BufReader::new(open(path)?));
        Ok(Self::Csv(builder.from_reader(reader), budget))
    }

    /// Reads the next row into `record` and says at which line it stands; `None` at the end.
    pub(super) fn next(&mut self, path: &Path, record: &mut ByteRecord) -> Result<Option<u64>, CarbonError> {
        match self {
            Self::Csv(reader, budget) => {
                let failed =
                    |error: csv::Error| CarbonError::Read { path: path.to_path_buf(), source: error.into() };
                let is_row = reader.read_byte_record(record).map_err(failed)?;
                budget.renew();
                Ok(is_row.then(|| record.position().map_or(0, csv::Position::line)))
            }
            Self::Parquet { table, row } => {
                let Some(next) = table.next_row().map_err(|error| damaged(path, &error))? else {
                    return Ok(None);
                };
                *row = row.saturating_add(1);
                record.clear();
                let instants = table.instants.iter().copied().chain(std::iter::repeat(None));
                for ((_, field), instants) in next.get_column_iter().zip(instants) {
                    record.push_field(text(field, instants).as_bytes());
                }
                Ok(Some(*row))
            }
        }
    }
}

/// A cell as a table in text would have it.
fn text(field: &Field, instants: Option<Instants>) -> String {
    // What a clock showed stays without an offset.
    let shown = |at_ms: i64| match instants {
        Some(Instants { is_utc: false, .. }) => format_instant(at_ms).trim_end_matches('Z').to_owned(),
        _ => format_instant(at_ms),
    };
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Double(number) => number.to_string(),
        Field::Float(number) => number.to_string(),
        Field::TimestampMillis(at_ms) => shown(*at_ms),
        Field::TimestampMicros(at_us) => shown(at_us.div_euclid(1000)),
        Field::Long(at) if instants.is_some() => {
            shown(at.div_euclid(instants.map_or(1, |instants| instants.per_ms)))
        }
        // Days since the epoch, of whatever clock.
        Field::Date(days) => {
            let at_ms = i64::from(*days).saturating_mul(crate::time::DAY_MS);
            format_instant(at_ms).split('T').next().unwrap_or_default().to_owned()
        }
        other => other.to_string(),
    }
}
