//! The log that AI_Co2_Calculator keeps of a Jetson: `jtop_usage.csv`, with
//! the mean use of all CPUs and that of the GPU in percent, and of memory as a share.
//! It names no machine and no time zone.

use std::io::BufRead;

use super::error::DumpError;
use super::reading::{OUT_OF_RANGE, Reading, Taken};
use super::table::local_time;
use crate::tsdb::{Labels, METRIC_NAME};

const TIME: &str = "time";
/// A column and what it becomes.
struct Column {
    name: &'static str,
    metric: &'static str,
    /// Label and value that name the device: a Jetson has one of each.
    device: Option<(&'static str, &'static str)>,
}

const COLUMNS: [Column; 3] = [
    Column { name: "CPU_usage", metric: "jtop_cpu_usage_percent", device: Some(("package", "0")) },
    Column { name: "GPU_usage", metric: "jtop_gpu_usage_percent", device: Some(("gpu", "0")) },
    Column { name: "RAM_usage", metric: "jtop_ram_usage_ratio", device: None },
];
/// The machine's name, where the user gives none.
const INSTANCE: &str = "localhost";

/// True for the header of such a log.
pub(super) fn is_header(names: &[String]) -> bool {
    names.len() == COLUMNS.len() + 1
        && std::iter::once(TIME)
            .chain(COLUMNS.map(|column| column.name))
            .all(|wanted| names.iter().any(|name| name == wanted))
}

/// Reads a log.
pub(super) fn read(reader: impl BufRead, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    let mut table = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
    let header = match table.headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(reading.form("line 1", error.to_string())),
    };
    let header: Vec<String> =
        header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect();
    let column = |wanted: &str| header.iter().position(|name| name == wanted);
    let time = column(TIME).ok_or_else(|| reading.form("line 1", format!("there is no column `{TIME}`")))?;
    if reading.request.labels.get("instance").is_none() {
        reading.note(format!(
            "a jtop log names no machine: `{INSTANCE}` is put in its place; `--label instance=NAME` names it"
        ));
    }
    let mut series = Vec::new();
    for Column { name, metric, device } in COLUMNS {
        let Some(at) = column(name) else { continue };
        let all = [(METRIC_NAME, metric), ("instance", INSTANCE), ("job", "jtop")];
        let labels = Labels::new(all.into_iter().chain(device));
        let id = reading.intake.series(&labels).map_err(|reason| reading.form("line 1", reason))?;
        series.push((at, id));
    }
    let mut record = csv::StringRecord::new();
    loop {
        match table.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                match error.into_kind() {
                    csv::ErrorKind::Io(error) => return Err(reading.failed()(error)),
                    _ => {
                        reading.reject(|| format!("line {line}"), "it is not UTF-8 text");
                        continue;
                    }
                }
            }
        }
        let line = record.position().map_or(0, csv::Position::line);
        let place = || format!("line {line}");
        let at_ms = match local_time(record.get(time).unwrap_or_default(), reading) {
            Ok(at_ms) => at_ms,
            Err(error) => {
                reading.reject(place, &error.to_string());
                continue;
            }
        };
        for (at, id) in &series {
            let text = record.get(*at).unwrap_or_default().trim();
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() => {
                    if reading.sample(*id, at_ms, Some(value))? == Taken::OutOfRange {
                        reading.reject(place, OUT_OF_RANGE);
                    }
                }
                _ => reading.reject(place, &format!("`{text}` is not a value")),
            }
        }
    }
}
