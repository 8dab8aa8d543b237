//! A zone's year as a Parquet file.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::{Field, RowAccessor as _};
use parquet::schema::parser::parse_message_type;

use super::row::Row;
use crate::carbon::{Basis, Zone};
use crate::parquet_file::Table;

/// Column by column, with units in the names; readers of other languages get a timestamp in UTC.
const SCHEMA: &str = "message intensity {
  required binary zone (UTF8);
  required int64 start (TIMESTAMP(MILLIS,true));
  required int64 length_s;
  required double gco2e_per_kwh;
  required binary basis (UTF8);
  required binary source (UTF8);
  required binary release (UTF8);
  required binary attribution (UTF8);
  required boolean estimated;
}";

/// Writes the rows of one zone, in their order: the same rows give the same bytes.
pub(super) fn write(zone: &Zone, rows: &[Row], sink: impl Write + Send) -> ParquetResult<()> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_created_by(concat!("wattledger ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(sink, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let texts = |text: &dyn Fn(&Row) -> String| -> Vec<ByteArray> {
        rows.iter().map(|row| ByteArray::from(text(row).into_bytes())).collect()
    };
    write_texts(&mut group, texts(&|_| zone.as_str().to_owned()))?;
    write_integers(&mut group, rows.iter().map(|row| row.start_ms).collect())?;
    write_integers(&mut group, rows.iter().map(|row| row.length_ms / 1000).collect())?;
    next(&mut group, |column| {
        let values: Vec<f64> = rows.iter().map(|row| row.grams_per_kwh).collect();
        column.typed::<DoubleType>().write_batch(&values, None, None)
    })?;
    write_texts(&mut group, texts(&|row| row.basis.to_string()))?;
    write_texts(&mut group, texts(&|row| row.source.to_string()))?;
    write_texts(&mut group, texts(&|row| row.release.to_string()))?;
    write_texts(&mut group, texts(&|row| row.attribution.to_string()))?;
    next(&mut group, |column| {
        let values: Vec<bool> = rows.iter().map(|row| row.estimated).collect();
        column.typed::<BoolType>().write_batch(&values, None, None)
    })?;
    group.close()?;
    writer.close()?;
    Ok(())
}

fn next<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    write: impl FnOnce(&mut parquet::file::writer::SerializedColumnWriter<'_>) -> ParquetResult<usize>,
) -> ParquetResult<()> {
    let column = group.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::General("no such column".to_owned()))?;
    write(&mut column)?;
    column.close()
}

fn write_texts<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: Vec<ByteArray>,
) -> ParquetResult<()> {
    next(group, |column| column.typed::<ByteArrayType>().write_batch(&values, None, None))
}

fn write_integers<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: Vec<i64>,
) -> ParquetResult<()> {
    next(group, |column| column.typed::<Int64Type>().write_batch(&values, None, None))
}

/// Reads the rows of a file and the zone that they are of.
///
/// # Errors
///
/// What is wrong, where it is no file of a store.
pub(super) fn read(path: &Path) -> Result<(Option<Zone>, Vec<Row>), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut table = Table::open(file).map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    let mut zone: Option<Zone> = None;
    let mut texts = Interned::default();
    let mut bases: Option<(String, Basis)> = None;
    while let Some(row) = table.next_row().map_err(|error| error.to_string())? {
        let text = |at: usize| row.get_string(at).map_err(|error| error.to_string());
        let here = text(0)?;
        match &zone {
            Some(known) if known.as_str() != here => return Err(format!("`{known}` and `{here}` are in it")),
            Some(_) => {}
            None => zone = Some(Zone::from_id(here)),
        }
        let start_ms = match row.get_column_iter().nth(1) {
            Some((_, Field::TimestampMillis(at_ms))) => *at_ms,
            _ => return Err("`start` is no timestamp in milliseconds".to_owned()),
        };
        let words = text(4)?;
        let basis = match &bases {
            Some((known, basis)) if known == words => *basis,
            _ => {
                let basis = words.parse::<Basis>().map_err(|error| error.to_string())?;
                bases = Some((words.clone(), basis));
                basis
            }
        };
        let grams_per_kwh = row.get_double(3).map_err(|error| error.to_string())?;
        let length_s = row.get_long(2).map_err(|error| error.to_string())?;
        if !grams_per_kwh.is_finite() || grams_per_kwh < 0.0 || length_s <= 0 {
            return Err(format!("{grams_per_kwh} gCO2e/kWh over {length_s} s is no intensity"));
        }
        rows.push(Row {
            basis,
            source: texts.intern(text(5)?),
            start_ms,
            length_ms: length_s.saturating_mul(1000),
            grams_per_kwh,
            estimated: row.get_bool(8).map_err(|error| error.to_string())?,
            release: texts.intern(text(6)?),
            attribution: texts.intern(text(7)?),
        });
    }
    Ok((zone, rows))
}

/// Texts that stand in every row, kept once.
#[derive(Default)]
struct Interned(Vec<Arc<str>>);

impl Interned {
    fn intern(&mut self, text: &str) -> Arc<str> {
        // The text of the row before is nearly always the one.
        if let Some(known) = self.0.iter().rev().find(|known| known.as_ref() == text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.0.push(Arc::clone(&new));
        new
    }
}
