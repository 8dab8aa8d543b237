//! Windows marked by hand: `run_id,start,end,nodes` and more columns by choice.
//!
//! This is how a program without a scheduler is accounted for: what a script
//! writes down before and after, and on which machine.

use std::io::BufRead;
use std::path::Path;

use super::clock::{self, When};
use super::collect::{Collector, Record};
use super::error::shorten;
use super::lines::{Line, Lines, MAX_LINE_BYTES};
use super::sacct::expand_nodes;
use super::tres::{self, Tres};
use super::{JobLog, JobsError, LogFormat, Options, RejectReason, Run, column_key};

/// Columns that are read; `country` is another name for `zone`.
const COLUMNS: [&str; 15] = [
    "run_id",
    "start",
    "end",
    "nodes",
    "name",
    "user",
    "account",
    "partition",
    "state",
    "stage",
    "zone",
    "cpus",
    "memory",
    "gpus",
    "gpu_ids",
];
const NEEDED: [&str; 4] = ["run_id", "start", "end", "nodes"];

/// Reads the rows after `header`, which is line `header_number`.
pub(super) fn read(
    mut lines: Lines<impl BufRead>,
    header_number: u64,
    header: &str,
    separator: char,
    path: &Path,
    options: &Options,
) -> Result<JobLog, JobsError> {
    let mut collector = Collector::new(path);
    let names = split(header, separator).unwrap_or_else(|reason| {
        collector.reject(header_number, reason, header);
        Vec::new()
    });
    let keys: Vec<String> = names.iter().map(|name| canonical(name)).collect();
    let missing: Vec<_> = NEEDED.into_iter().filter(|name| !keys.iter().any(|key| key == name)).collect();
    if !missing.is_empty() {
        let hint = format!("the first line must name the columns; those known are {}", COLUMNS.join(","));
        return Err(JobsError::MissingColumns { path: path.to_path_buf(), missing, hint });
    }
    for (name, key) in names.iter().zip(&keys) {
        if !COLUMNS.contains(&key.as_str()) {
            collector.notes.push(format!("column `{}` is not known and was passed over", shorten(name)));
        }
    }
    let io = |source| JobsError::Io { doing: "read", path: path.to_path_buf(), source };
    while let Some(line) = lines.next_line().map_err(io)? {
        let (number, text) = match line {
            Line::Text { text, .. } if text.trim().is_empty() => continue,
            Line::Text { number, text } => (number, text),
            Line::TooLong { number } => {
                collector.reject(number, RejectReason::LineTooLong { limit: MAX_LINE_BYTES }, "");
                continue;
            }
        };
        let outcome = split(&text, separator)
            .and_then(|fields| take_row(&mut collector, &Row { keys: &keys, fields: &fields }, options));
        if let Err(reason) = outcome {
            collector.reject(number, reason, &text);
        }
    }
    if collector.zone_assumed {
        collector.notes.push(format!("times carry no offset and were read in the zone `{}`", options.zone));
    }
    Ok(collector.finish(LogFormat::RunsCsv, names))
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

struct Row<'a> {
    keys: &'a [String],
    fields: &'a [String],
}

impl Row<'_> {
    fn get(&self, key: &str) -> &str {
        let at = self.keys.iter().position(|name| name == key);
        at.and_then(|at| self.fields.get(at)).map_or("", String::as_str)
    }

    fn count(&self, column: &'static str) -> Result<Option<f64>, RejectReason> {
        match self.get(column) {
            "" => Ok(None),
            text => match tres::plain_number(text) {
                Some(number) => Ok(Some(number)),
                None => Err(RejectReason::BadNumber { column, text: shorten(text) }),
            },
        }
    }

    fn time(&self, column: &'static str, options: &Options) -> Result<When, RejectReason> {
        clock::parse(self.get(column), options.zone)
            .map_err(|source| RejectReason::BadTime { column, source })
    }
}

fn take_row(collector: &mut Collector, row: &Row<'_>, options: &Options) -> Result<(), RejectReason> {
    let (found, expected) = (row.fields.len(), row.keys.len());
    if found < expected {
        return Err(RejectReason::TooFewFields { found, expected });
    }
    if found > expected {
        return Err(RejectReason::TooManyFields { found, expected });
    }
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
    let (start_ms, end_ms) = clock::settle(start, end, None);
    if end_ms.is_some_and(|end_ms| end_ms < start_ms) {
        let (start, end) = (row.get("start").to_owned(), row.get("end").to_owned());
        return Err(RejectReason::EndBeforeStart { start, end });
    }
    let is_separator = |character: char| character == ';' || character.is_whitespace();
    let nodes = expand_nodes(&row.get("nodes").replace(is_separator, ","))?;
    if nodes.is_empty() {
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
            ..Run::default()
        },
        nodes,
        totals,
        gpu_ids: (!gpu_ids.is_empty()).then_some(gpu_ids),
        ..Record::default()
    });
    Ok(())
}
