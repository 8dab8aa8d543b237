//! Tables of runs: windows marked by hand (`run_id,start,end,nodes` and more columns by choice), any other
//! table whose columns are given these names, and CodeCarbon's `emissions.csv`.
//!
//! This is how a program without a scheduler is accounted for: what a script
//! writes down before and after, and on which machine.

use std::fs::File;
use std::io::BufRead;
use std::path::Path;

use parquet::record::Field;

use super::clock::{self, When};
use super::collect::{Collector, Record};
use super::error::shorten;
use super::lines::{Lines, each_line};
use super::tres::{self, Tres};
use super::{JobsError, LogFormat, Options, RejectReason, Run, codecarbon, column_key, expand_nodes};
use crate::parquet_file::Table;
use crate::spreadsheet::unguard;
use crate::time::{DAY_MS, format_instant};

/// Unknown columns that are named.
const MOST_NAMED: usize = 20;

/// Columns that are read; `country` is another name for `zone`.
const COLUMNS: [&str; 18] = [
    "run_id",
    "start",
    "end",
    "nodes",
    "duration_s",
    "name",
    "user",
    "account",
    "partition",
    "state",
    "stage",
    "zone",
    "cpus",
    "cpu_time_s",
    "functional_units",
    "memory",
    "gpus",
    "gpu_ids",
];

/// The columns of a table, by the names that are known here.
struct Header {
    names: Vec<String>,
    keys: Vec<String>,
    format: LogFormat,
}

impl Header {
    fn new(
        names: Vec<String>,
        format: LogFormat,
        path: &Path,
        options: &Options,
        collector: &mut Collector,
    ) -> Result<Self, JobsError> {
        if let Some(missing) = options.columns.missing_in(&names) {
            let hint = format!("its columns are {}", names.join(","));
            return Err(JobsError::MissingColumn {
                path: path.to_path_buf(),
                missing: missing.to_owned(),
                hint,
            });
        }
        let keys: Vec<String> = names.iter().map(|name| canonical(options.columns.known_as(name))).collect();
        let has = |name: &str| keys.iter().any(|key| key == name);
        if format != LogFormat::Codecarbon {
            let placed = options.default_node.is_some() || has("nodes");
            let missing: Vec<_> = [("run_id", has("run_id")), ("start", has("start")), ("nodes", placed)]
                .into_iter()
                .chain([("end", has("end") || has("duration_s"))])
                .filter(|(_, is_there)| !is_there)
                .map(|(name, _)| name)
                .collect();
            if !missing.is_empty() {
                let hint = format!(
                    "the first line must name the columns; those known are {}; say which of yours is which with \
                     `--jobs-columns run_id=…,start=…`",
                    COLUMNS.join(",")
                );
                return Err(JobsError::MissingColumns { path: path.to_path_buf(), missing, hint });
            }
            // With a column map only what is mapped is meant.
            let unknown = || {
                let columns = names.iter().zip(&keys).filter(|_| !options.columns.renames());
                columns.filter(|(_, key)| !COLUMNS.contains(&key.as_str())).map(|(name, _)| name)
            };
            for name in unknown().take(MOST_NAMED) {
                collector.note(format!("column `{}` is not known and was passed over", shorten(name)));
            }
            let more = unknown().count().saturating_sub(MOST_NAMED);
            if more > 0 {
                collector.note(format!("{more} more columns are not known and were passed over"));
            }
        }
        Ok(Self { names, keys, format })
    }

    fn take(
        &self,
        collector: &mut Collector,
        fields: &[String],
        options: &Options,
    ) -> Result<(), RejectReason> {
        let row = Row { keys: &self.keys, fields };
        match self.format {
            LogFormat::Codecarbon => codecarbon::take_row(collector, &row, options),
            _ => take_row(collector, &row, options),
        }
    }
}

/// Reads the rows after `header`, which is line `header_number`; returns the columns as they stand in it.
pub(super) fn read(
    collector: &mut Collector,
    lines: Lines<impl BufRead>,
    header: (u64, Vec<String>),
    (separator, format): (char, LogFormat),
    path: &Path,
    options: &Options,
) -> Result<Vec<String>, JobsError> {
    let header = Header::new(header.1, format, path, options, collector)?;
    each_line(collector, lines, path, |collector, _, text| {
        header.take(collector, &split(text, separator)?, options)
    })?;
    Ok(header.names)
}

/// The names in a header.
pub(super) fn names(line: &str, separator: char) -> Result<Vec<String>, RejectReason> {
    split(line, separator)
}

/// Reads the rows of a Parquet table.
pub(super) fn read_parquet(
    collector: &mut Collector,
    path: &Path,
    options: &Options,
) -> Result<Vec<String>, JobsError> {
    let io = |source| JobsError::Io { doing: "open", path: path.to_path_buf(), source };
    let broken = |error: &parquet::errors::ParquetError| JobsError::Unrecognised {
        path: path.to_path_buf(),
        reason: format!("it looks like Parquet: {error}"),
    };
    let mut table = Table::open_to_hold(File::open(path).map_err(io)?).map_err(|error| broken(&error))?;
    let header =
        Header::new(std::mem::take(&mut table.header), LogFormat::RunsParquet, path, options, collector)?;
    let mut number = 0;
    loop {
        number += 1;
        match table.next_row() {
            Ok(None) => return Ok(header.names),
            Ok(Some(row)) => {
                let fields: Vec<String> = row.get_column_iter().map(|(_, field)| cell(field)).collect();
                if let Err(reason) = header.take(collector, &fields, options) {
                    collector.reject_entry(number, reason, &fields.join(","));
                }
            }
            Err(error) => {
                // Nothing can be read behind a damaged place.
                collector.reject_entry(number, RejectReason::BadParquet { reason: error.to_string() }, "");
                return Ok(header.names);
            }
        }
    }
}

/// A cell as it would stand in a CSV.
fn cell(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.trim().to_owned(),
        Field::TimestampMillis(at_ms) => format_instant(*at_ms),
        Field::TimestampMicros(at_us) => format_instant(at_us.div_euclid(1000)),
        Field::Date(days) => format_instant(i64::from(*days).saturating_mul(DAY_MS)),
        Field::Double(number) => number.to_string(),
        Field::Float(number) => number.to_string(),
        Field::ListInternal(list) => list.elements().iter().map(cell).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

fn canonical(name: &str) -> String {
    match column_key(name).replace([' ', '-'], "_").as_str() {
        "country" => "zone".to_owned(),
        "node" => "nodes".to_owned(),
        other => other.to_owned(),
    }
}

/// The fields of one line. Each line is read by itself, so that a quote that
/// is never closed costs one line and not the rest of the file.
fn split(line: &str, separator: char) -> Result<Vec<String>, RejectReason> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(u8::try_from(separator).unwrap_or(b','))
        .trim(csv::Trim::All)
        .buffer_capacity(line.len().max(1))
        .from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(_) => Ok(record.iter().map(str::to_owned).collect()),
        Err(error) => Err(RejectReason::BadCsv { reason: error.to_string() }),
    }
}

/// The fields of one line, by the name of their column.
pub(super) struct Row<'a> {
    keys: &'a [String],
    fields: &'a [String],
}

impl Row<'_> {
    /// An error unless there is a field for each column.
    pub(super) fn complete(&self) -> Result<(), RejectReason> {
        let (found, expected) = (self.fields.len(), self.keys.len());
        match found.cmp(&expected) {
            std::cmp::Ordering::Less => Err(RejectReason::TooFewFields { found, expected }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(RejectReason::TooManyFields { found, expected }),
        }
    }

    pub(super) fn get(&self, key: &str) -> &str {
        let at = self.keys.iter().position(|name| name == key);
        // A report's own runs.csv is a job log, too: what it put before a formula is no part of the text.
        at.and_then(|at| self.fields.get(at)).map_or("", |field| unguard(field).trim())
    }

    pub(super) fn count(&self, column: &'static str) -> Result<Option<f64>, RejectReason> {
        match self.get(column) {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
                _ => Err(RejectReason::BadNumber { column, text: shorten(text) }),
            },
        }
    }

    pub(super) fn time(&self, column: &'static str, options: &Options) -> Result<When, RejectReason> {
        clock::parse(self.get(column), options.zone)
            .map_err(|source| RejectReason::BadTime { column, source })
    }
}

fn take_row(collector: &mut Collector, row: &Row<'_>, options: &Options) -> Result<(), RejectReason> {
    row.complete()?;
    if row.get("run_id").is_empty() {
        return Err(RejectReason::MissingField { column: "run_id" });
    }
    let When::At(start) = row.time("start", options)? else {
        return Err(RejectReason::MissingField { column: "start" });
    };
    let end = match row.time("end", options)? {
        When::At(end) => Some(end),
        When::Never => None,
    };
    let length_ms = row
        .count("duration_s")?
        .map(|seconds| {
            let sound = (seconds < 1e10).then_some((seconds * 1000.0).round() as i64);
            sound.ok_or_else(|| RejectReason::BadNumber { column: "duration_s", text: seconds.to_string() })
        })
        .transpose()?;
    let (start_ms, end_ms) = clock::settle(start, end, length_ms);
    let end_ms = end_ms.or(length_ms.map(|length_ms| start_ms.saturating_add(length_ms)));
    if end_ms.is_some_and(|end_ms| end_ms < start_ms) {
        let (start, end) = (row.get("start").to_owned(), row.get("end").to_owned());
        return Err(RejectReason::EndBeforeStart { start, end });
    }
    let is_separator = |character: char| character == ';' || character.is_whitespace();
    let nodes = expand_nodes(&row.get("nodes").replace(is_separator, ","))?;
    if nodes.is_empty() && options.default_node.is_none() {
        return Err(RejectReason::MissingField { column: "nodes" });
    }
    let memory_bytes = match row.get("memory") {
        "" => None,
        text => Some(
            tres::memory_in_bytes(text)
                .map_err(|source| RejectReason::BadResource { column: "memory", source })?,
        ),
    };
    let gpu_ids: Vec<String> = row
        .get("gpu_ids")
        .split(|character: char| is_separator(character) || character == ',')
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect();
    // Ids are those on each node: index 0 of two nodes is two GPUs.
    let bound = || (!gpu_ids.is_empty()).then_some(gpu_ids.len() as f64 * nodes.len() as f64);
    let gpus = row.count("gpus")?.or_else(bound);
    let zone = row.get("zone");
    let totals = Tres { cpus: row.count("cpus")?, memory_bytes, gpus, nodes: None };

    collector.zone_assumed |= start.zone_assumed || end.is_some_and(|end| end.zone_assumed);
    collector.record(Record {
        run: Run {
            run_id: row.get("run_id").to_owned(),
            name: row.get("name").to_owned(),
            user: row.get("user").to_owned(),
            account: row.get("account").to_owned(),
            partition: row.get("partition").to_owned(),
            state: row.get("state").to_owned(),
            stage: row.get("stage").to_owned(),
            zone: (!zone.is_empty()).then(|| zone.to_owned()),
            start_ms,
            end_ms,
            functional_units: row.count("functional_units")?.filter(|units| *units > 0.0),
            cpu_time_s: row.count("cpu_time_s")?.and_then(super::plausible_cpu_time_s),
            ..Run::default()
        },
        nodes,
        totals,
        gpu_ids: (!gpu_ids.is_empty()).then_some(gpu_ids),
        by_hand: true,
        ..Record::default()
    });
    Ok(())
}
