//! VictoriaMetrics' export, saved.

use std::io::BufRead;

use super::error::DumpError;
use super::lines::Lines;
use super::reading::{OUT_OF_RANGE, Reading, Taken};
use crate::source::remote::export_line::parse_line;

/// Reads lines of JSON.
pub(super) fn read(reader: impl BufRead, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    let mut lines = Lines::new(reader);
    while let Some(line) = lines.next().map_err(reading.failed())? {
        let place = || format!("line {}", line.number);
        let (labels, samples) = match parse_line(line.text) {
            Ok(parsed) => parsed,
            Err(reason) => {
                reading.reject(place, &reason);
                continue;
            }
        };
        let id = match reading.intake.series(&labels) {
            Ok(id) => id,
            Err(reason) => {
                reading.reject(place, &reason);
                continue;
            }
        };
        for (at_ms, value) in samples.timestamps_ms.into_iter().zip(samples.values) {
            let value = (!value.is_nan()).then_some(value);
            if reading.sample(id, at_ms, value)? == Taken::OutOfRange {
                reading.reject(place, OUT_OF_RANGE);
            }
        }
    }
    Ok(())
}
