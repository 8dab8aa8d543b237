//! Parquet tables of other people, a row at a time.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Row;
use parquet::record::reader::RowIter;

/// A table whose rows are read one after the other.
pub(crate) struct Table {
    /// The names of its columns.
    pub(crate) header: Vec<String>,
    rows: RowIter<'static>,
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
        Ok(Self { header, rows: guarded(|| Ok(reader.into_iter()))? })
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

/// Runs what may panic on a damaged file: the library takes some of it at its word.
fn guarded<T>(read: impl FnOnce() -> ParquetResult<T>) -> ParquetResult<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ParquetError::General("it is damaged".to_owned())))
}
