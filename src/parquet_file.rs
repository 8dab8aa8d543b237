//! Parquet tables of other people, a row at a time.

use std::fs::File;

use parquet::basic::{LogicalType, TimeUnit};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Row;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use crate::guarded::guarded;
use crate::metered::{LONGEST_BYTES, MOST_TIMES};

/// Rows that a file may have whatever its length, and for each of its bytes besides: of a job log or of factors no two rows are
/// alike, but a column that never changes takes no room at all.
const ROWS_OF_ANY_FILE: u64 = 1 << 16;
const MOST_ROWS_A_BYTE: u64 = 8;
/// Pages of values that never change pack very well; one of them is in memory at a time.
const PAGES_TIMES: u64 = 4096;

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
    /// Reads the description of the table in `file`, whose rows are passed on one after the other.
    ///
    /// # Errors
    ///
    /// Where it is no Parquet, or damaged, or claims to hold what so few bytes cannot.
    pub(crate) fn open(file: File) -> ParquetResult<Self> {
        Self::checked(file, u64::MAX, PAGES_TIMES)
    }

    /// The same of a table whose rows are all held in memory.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) fn open_to_hold(file: File) -> ParquetResult<Self> {
        Self::checked(file, MOST_ROWS_A_BYTE, MOST_TIMES)
    }

    fn checked(file: File, rows_a_byte: u64, times: u64) -> ParquetResult<Self> {
        let file_bytes = file.metadata()?.len();
        let reader = guarded(|| SerializedFileReader::new(file))?;
        let metadata = reader.metadata();
        let positive = |claim: i64| u64::try_from(claim).unwrap_or_default();
        let rows = positive(metadata.file_metadata().num_rows());
        let sizes = metadata.row_groups().iter().map(|group| positive(group.total_byte_size()));
        let unpacked = sizes.fold(0, u64::saturating_add);
        if rows > file_bytes.saturating_mul(rows_a_byte).saturating_add(ROWS_OF_ANY_FILE)
            || unpacked > file_bytes.saturating_mul(times).saturating_add(LONGEST_BYTES)
        {
            let reason = format!("{file_bytes} bytes claim to hold {rows} rows of {unpacked} bytes");
            return Err(ParquetError::General(reason));
        }
        let schema = metadata.file_metadata().schema();
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
