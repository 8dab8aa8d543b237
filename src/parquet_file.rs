//! Parquet tables of other people, a row at a time.

use std::fs::File;

use parquet::basic::{LogicalType, TimeUnit};
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Row;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use crate::guarded::guarded;

/// A table whose rows are read one after the other.
pub(crate) struct Table {
    /// The names of its columns.
    pub(crate) header: Vec<String>,
    /// What each column's integers are, if they are instants.
    pub(crate) instants: Vec<Option<Instants>>,
    rows: RowIter<'static>,
}

/// What a column of instants holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instants {
    /// False if they are what some clock showed.
    pub(crate) is_utc: bool,
    /// How many of them make a millisecond.
    pub(crate) per_ms: i64,
}

impl Instants {
    fn of(field: &Type) -> Option<Self> {
        let info = field.get_basic_info();
        match info.logical_type_ref() {
            Some(LogicalType::Timestamp(stamp)) => Some(Self {
                is_utc: stamp.is_adjusted_to_u_t_c,
                per_ms: match stamp.unit {
                    TimeUnit::MILLIS => 1,
                    TimeUnit::MICROS => 1000,
                    TimeUnit::NANOS => 1_000_000,
                },
            }),
            _ => None,
        }
    }
}

impl Table {
    /// Reads the description of the table in `file`.
    ///
    /// # Errors
    ///
    /// Where it is no Parquet, or damaged.
    pub(crate) fn open(file: File) -> ParquetResult<Self> {
        let reader = guarded(|| SerializedFileReader::new(file))?;
        let schema = reader.metadata().file_metadata().schema();
        let header = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
        let instants = schema.get_fields().iter().map(|field| Instants::of(field)).collect();
        Ok(Self { header, instants, rows: guarded(|| Ok(reader.into_iter()))? })
    }

    /// The next row.
    ///
    /// # Errors
    ///
    /// Where the file is damaged.
    pub(crate) fn next_row(&mut self) -> ParquetResult<Option<Row>> {
        guarded(|| self.rows.next().transpose())
    }
}
