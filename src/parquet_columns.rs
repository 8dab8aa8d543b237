//! Parquet tables of our own, a column at a time: the same columns give the same bytes.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, FileReader as _, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use crate::guarded::guarded;

/// Rows of a row group: readers of other languages take one at a time.
const ROWS_IN_A_GROUP: usize = 1 << 20;

/// The values of a column, `None` for null.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Text.
    Text(Vec<Option<ByteArray>>),
    /// Numbers with a fraction.
    Number(Vec<Option<f64>>),
    /// Whole numbers.
    Count(Vec<Option<i64>>),
    /// Instants in UTC, in milliseconds.
    Instant(Vec<Option<i64>>),
    /// Yes or no.
    Flag(Vec<Option<bool>>),
}

impl Values {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Count(values) | Self::Instant(values) => values.len(),
            Self::Flag(values) => values.len(),
        }
    }

    /// Of texts, each of which is kept once as long as it repeats the one before.
    pub(crate) fn texts<'t>(texts: impl Iterator<Item = Option<&'t str>>) -> Self {
        let mut last: Option<(&str, ByteArray)> = None;
        let mut share = |text: &'t str| match &last {
            Some((known, bytes)) if *known == text => bytes.clone(),
            _ => {
                let bytes = ByteArray::from(text);
                last = Some((text, bytes.clone()));
                bytes
            }
        };
        Self::Text(texts.map(|text| text.map(&mut share)).collect())
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// Its values.
    pub(crate) values: Values,
}

impl Column {
    pub(crate) fn new(name: &str, values: Values) -> Self {
        Self { name: name.to_owned(), values }
    }
}

/// A table as it stands in a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Columns {
    /// All of one length.
    pub(crate) columns: Vec<Column>,
    /// Texts by name beside the table.
    pub(crate) metadata: Vec<(String, String)>,
}

impl Columns {
    /// The values of a column.
    pub(crate) fn values(&self, name: &str) -> Option<&Values> {
        self.columns.iter().find(|column| column.name == name).map(|column| &column.values)
    }

    /// What stands beside the table under `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.metadata.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str())
    }
}

/// A table as the bytes of a file. `metadata` is made of the bytes of its data, so that it can hold a hash of them.
///
/// # Errors
///
/// Where columns are not of one length.
pub(crate) fn write(
    columns: &[Column],
    metadata: impl FnOnce(&[u8]) -> Vec<(String, String)>,
) -> ParquetResult<Vec<u8>> {
    let rows = columns.first().map_or(0, |column| column.values.len());
    if columns.iter().any(|column| column.values.len() != rows) {
        return Err(ParquetError::General("columns of different lengths".to_owned()));
    }
    let fields = columns.iter().map(|column| field(column).map(Arc::new)).collect::<ParquetResult<_>>()?;
    let schema = Arc::new(Type::group_type_builder("ledger").with_fields(fields).build()?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_created_by(concat!("wattledger ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut from = 0;
    while from < rows {
        let to = from.saturating_add(ROWS_IN_A_GROUP).min(rows);
        let mut group = writer.next_row_group()?;
        for column in columns {
            write_column(&mut group, &column.values, from..to)?;
        }
        group.close()?;
        from = to;
    }
    writer.flush().map_err(|error| ParquetError::General(error.to_string()))?;
    let metadata = metadata(writer.inner());
    for (key, text) in metadata {
        writer.append_key_value_metadata(KeyValue::new(key, text));
    }
    writer.into_inner()
}

fn field(column: &Column) -> ParquetResult<Type> {
    let of =
        |physical| Type::primitive_type_builder(&column.name, physical).with_repetition(Repetition::OPTIONAL);
    match &column.values {
        Values::Text(_) => of(Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)).build(),
        Values::Number(_) => of(Physical::DOUBLE).build(),
        Values::Count(_) => of(Physical::INT64).build(),
        Values::Instant(_) => {
            let stamp = LogicalType::timestamp(true, TimeUnit::MILLIS);
            of(Physical::INT64).with_logical_type(Some(stamp)).build()
        }
        Values::Flag(_) => of(Physical::BOOLEAN).build(),
    }
}

type Group<'g> = SerializedRowGroupWriter<'g, Vec<u8>>;

fn write_column(group: &mut Group<'_>, values: &Values, rows: std::ops::Range<usize>) -> ParquetResult<()> {
    let column = group.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::General("no such column".to_owned()))?;
    match values {
        Values::Text(values) => put::<ByteArrayType>(&mut column, values.get(rows))?,
        Values::Number(values) => put::<DoubleType>(&mut column, values.get(rows))?,
        Values::Count(values) | Values::Instant(values) => put::<Int64Type>(&mut column, values.get(rows))?,
        Values::Flag(values) => put::<BoolType>(&mut column, values.get(rows))?,
    }
    column.close()
}

fn put<D: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: Option<&[Option<D::T>]>,
) -> ParquetResult<()> {
    let values = values.unwrap_or_default();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let known: Vec<D::T> = values.iter().flatten().cloned().collect();
    column.typed::<D>().write_batch(&known, Some(&levels), None)?;
    Ok(())
}

/// Reads a table of our own, or only what stands beside it.
///
/// # Errors
///
/// Where it is no Parquet, damaged, or has columns of other kinds.
pub(crate) fn read(file: impl ChunkReader + 'static, with_rows: bool) -> ParquetResult<Columns> {
    guarded(|| read_trusting(file, with_rows))
}

fn read_trusting(file: impl ChunkReader + 'static, with_rows: bool) -> ParquetResult<Columns> {
    let reader = SerializedFileReader::new(file)?;
    let about = reader.metadata().file_metadata();
    let metadata = about.key_value_metadata().into_iter().flatten();
    let metadata = metadata.map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect();
    let mut found = Columns { columns: Vec::new(), metadata };
    if !with_rows {
        return Ok(found);
    }
    for field in about.schema().get_fields() {
        let other =
            || ParquetError::General(format!("column `{}` is of no kind that a ledger has", field.name()));
        let is_primitive =
            field.is_primitive() && field.get_basic_info().repetition() == Repetition::OPTIONAL;
        if !is_primitive {
            return Err(other());
        }
        let values = match (field.get_physical_type(), field.get_basic_info().logical_type_ref()) {
            (Physical::BYTE_ARRAY, _) => Values::Text(Vec::new()),
            (Physical::DOUBLE, _) => Values::Number(Vec::new()),
            (Physical::INT64, Some(LogicalType::Timestamp(_))) => Values::Instant(Vec::new()),
            (Physical::INT64, _) => Values::Count(Vec::new()),
            (Physical::BOOLEAN, _) => Values::Flag(Vec::new()),
            _ => return Err(other()),
        };
        found.columns.push(Column::new(field.name(), values));
    }
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        for (position, column) in found.columns.iter_mut().enumerate() {
            let wrong =
                || ParquetError::General("a column is of another kind than the schema says".to_owned());
            match (&mut column.values, group.get_column_reader(position)?) {
                (Values::Text(values), ColumnReader::ByteArrayColumnReader(reader)) => {
                    take(reader, rows, values)?
                }
                (Values::Number(values), ColumnReader::DoubleColumnReader(reader)) => {
                    take(reader, rows, values)?
                }
                (
                    Values::Count(values) | Values::Instant(values),
                    ColumnReader::Int64ColumnReader(reader),
                ) => {
                    take(reader, rows, values)?;
                }
                (Values::Flag(values), ColumnReader::BoolColumnReader(reader)) => take(reader, rows, values)?,
                _ => return Err(wrong()),
            }
        }
    }
    Ok(found)
}

fn take<D: DataType>(
    mut reader: ColumnReaderImpl<D>,
    rows: usize,
    values: &mut Vec<Option<D::T>>,
) -> ParquetResult<()> {
    const AT_ONCE: usize = 1 << 16;
    let mut left = rows;
    while left > 0 {
        let (mut known, mut levels) = (Vec::new(), Vec::new());
        let (records, _, _) = reader.read_records(left.min(AT_ONCE), Some(&mut levels), None, &mut known)?;
        if records == 0 {
            return Err(ParquetError::General("a column ends before its rows do".to_owned()));
        }
        let mut known = known.into_iter();
        values.extend(levels.into_iter().map(|level| if level > 0 { known.next() } else { None }));
        left = left.saturating_sub(records);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let columns = [
            Column::new("name", Values::texts([Some("a"), None, Some("a"), Some("ü")].into_iter())),
            Column::new("energy_j", Values::Number(vec![Some(0.1), Some(f64::MAX), None, Some(-0.0)])),
            Column::new("start", Values::Instant(vec![Some(0), Some(i64::MIN), Some(5), None])),
            Column::new("n", Values::Count(vec![None, Some(7), Some(8), Some(9)])),
            Column::new("ok", Values::Flag(vec![Some(true), Some(false), None, Some(true)])),
        ];
        let bytes = write(&columns, |data| vec![("bytes".to_owned(), data.len().to_string())]).unwrap();
        assert_eq!(
            bytes,
            write(&columns, |data| vec![("bytes".to_owned(), data.len().to_string())]).unwrap()
        );
        let length: usize =
            read(bytes::Bytes::from(bytes.clone()), false).unwrap().text("bytes").unwrap().parse().unwrap();
        assert!(length > 4 && length < bytes.len());
        assert_eq!(read(bytes::Bytes::from(bytes), true).unwrap().columns, columns);
        let none = [Column::new("name", Values::Text(Vec::new()))];
        let empty = write(&none, |_| Vec::new()).unwrap();
        assert_eq!(read(bytes::Bytes::from(empty), true).unwrap().columns, none);
    }
}
