//! A ledger's figures in the forms of other tools: Prometheus' blocks and OpenMetrics, tables, CodeCarbon's list of runs.

mod codecarbon;
mod openmetrics;
mod series;
mod tables;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use polars::prelude::PolarsError;
use ulid::Ulid;

pub use series::{ExportSeries, series};

use super::output::WriteError;
use super::tables::CellText;
use crate::ledger::store::LedgerPeriod;
use crate::time::{DAY_MS, Window};
use crate::tsdb::TsdbError;
use crate::tsdb::writer::{BlockOptions, DataSetWriter};
use crate::whole_file;

/// Why a ledger could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A table could not be built.
    #[error("cannot build the tables")]
    Table(#[from] PolarsError),
    /// A block could not be written.
    #[error("cannot write the blocks")]
    Blocks(#[from] TsdbError),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Parquet refused a table.
    #[error("cannot build the Parquet table: {reason}")]
    Parquet {
        /// What it said.
        reason: String,
    },
    /// The directory for blocks has some already.
    #[error("`{}` holds something already", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text for `promtool tsdb create-blocks-from openmetrics`: one file.
    OpenMetrics,
    /// Blocks for a Prometheus' data directory.
    Tsdb,
    /// `entries.csv` and `runs.csv`.
    Csv,
    /// `entries.parquet` and `runs.parquet`.
    Parquet,
    /// `emissions.csv` as CodeCarbon writes it, a row a run: one file.
    Codecarbon,
}

/// Writes `period` to `out`: a file or a directory, as the form has it. `step_ms` is the distance of samples. Returns what was written.
///
/// # Errors
///
/// Where something cannot be written; what was there before is then as it was.
pub fn export(
    period: &LedgerPeriod,
    form: Form,
    step_ms: i64,
    cells: CellText,
    out: &Path,
) -> Result<Vec<PathBuf>, ExportError> {
    match form {
        Form::OpenMetrics => {
            let all = series(period, step_ms)?;
            write_file(out, |file| openmetrics::write(&all, file))
        }
        Form::Tsdb => blocks(&series(period, step_ms)?, period, out),
        Form::Csv => tables::csv(period, cells, out),
        Form::Parquet => tables::parquet(period, out),
        Form::Codecarbon => {
            let bytes = codecarbon::table(period, cells)?;
            write_file(out, |file| file.write_all(&bytes))
        }
    }
}

fn write_file(
    out: &Path,
    fill: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
) -> Result<Vec<PathBuf>, ExportError> {
    let failed = |source| WriteError { doing: "write", path: out.to_path_buf(), source };
    whole_file::write(out, failed, |file| {
        let mut buffered = std::io::BufWriter::new(file);
        fill(&mut buffered).and_then(|()| buffered.flush()).map_err(failed)
    })?;
    Ok(vec![out.to_path_buf()])
}

/// The same day has the same name each time, so that a later export takes the place of an earlier one.
fn name_of(window: Window) -> Ulid {
    let hash = crate::hash::text_sha256(&format!("wattledger export {window}"));
    let random = hash.get(..20).and_then(|digits| u128::from_str_radix(digits, 16).ok()).unwrap_or_default();
    Ulid::from_parts(u64::try_from(window.end_ms).unwrap_or_default(), random)
}

/// True for the end of the name of a block that is made or half-made.
fn is_unfinished(end: &str) -> bool {
    end.is_empty() || end == ".tmp-for-creation"
}

/// Blocks of a UTC day each.
fn blocks(all: &[ExportSeries], period: &LedgerPeriod, out: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let failed = |doing| move |source| WriteError { doing, path: out.to_path_buf(), source };
    std::fs::create_dir_all(out).map_err(failed("create"))?;
    let Some(window) = crate::time::span(&period.books.buckets) else { return Ok(Vec::new()) };
    let days = crate::time::buckets(window, DAY_MS, chrono_tz::Tz::UTC);
    let own: Vec<String> =
        days.iter().map(|day| name_of(crate::time::whole_days(*day)).to_string()).collect();
    let mut leftovers = Vec::new();
    for entry in std::fs::read_dir(out).map_err(failed("list"))? {
        let path = entry.map_err(failed("list"))?.path();
        // What an export of the same time left that was killed: all is made again.
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name)
                if own.iter().any(|own| name.strip_prefix(own.as_str()).is_some_and(is_unfinished)) =>
            {
                leftovers.push(path);
            }
            _ => return Err(ExportError::NotEmpty { path: out.to_path_buf() }),
        }
    }
    for path in leftovers {
        std::fs::remove_dir_all(&path).map_err(failed("remove"))?;
    }
    let options = |window: Window| BlockOptions {
        ulid: Some(name_of(crate::time::whole_days(window))),
        meta_sections: std::collections::BTreeMap::from([(
            "wattledger".to_owned(),
            serde_json::json!({"export": "energy and emissions of a ledger"}),
        )]),
        ..BlockOptions::default()
    };
    let mut writer = DataSetWriter::create(out, window, DAY_MS, options)?;
    for one in all {
        writer.add_series(&one.labels, &one.samples)?;
    }
    Ok(writer.finish()?)
}
