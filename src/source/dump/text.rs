//! Text formats with a sample a line: the exposition formats, and what promtool dumps.

use std::io::BufRead;

use super::error::DumpError;
use super::format::Format;
use super::intake::Remembered;
use super::lines::Lines;
use super::reading::{OUT_OF_RANGE, Reading, Taken};
use super::sample_line::{self, SampleLine, cut};
use crate::source::staging::Sink as _;

/// Reads one of [`Format::Promtool`], [`Format::OpenMetrics`] and [`Format::Exposition`].
pub(super) fn read(reader: impl BufRead, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    let mut lines = Lines::new(reader);
    let mut seen = Remembered::default();
    // The series of the line before: most often that of the next, too.
    let mut before: Vec<u8> = Vec::new();
    let mut id = None;
    let mut is_ended = false;
    while let Some(line) = lines.next().map_err(reading.failed())? {
        let place = || format!("line {}", line.number);
        let text = line.text.trim_ascii();
        if text.starts_with(b"#") {
            is_ended |= text == b"# EOF";
            continue;
        }
        if !line.is_ended {
            // All that write these formats end each line: a number may lack its last digits.
            reading.reject(place, "the input ends within the line");
            continue;
        }
        let SampleLine { series, value, time } = match cut(text, &before) {
            Ok(cut) => cut,
            Err(reason) => {
                reading.reject(place, reason);
                continue;
            }
        };
        let Some(value) = value else {
            reading.intake.skipped_histograms(1);
            continue;
        };
        if series != before || id.is_none() {
            id = match seen.get(series) {
                Some(id) => Some(id),
                None => match sample_line::labels(series).and_then(|labels| reading.intake.series(&labels)) {
                    Ok(found) => {
                        seen.insert(series, found);
                        Some(found)
                    }
                    Err(reason) => {
                        reading.reject(place, &reason);
                        continue;
                    }
                },
            };
            before.clear();
            before.extend_from_slice(series);
        }
        let parsed = sample_line::value(value).and_then(|value| {
            let time = match (time, reading.format) {
                (None, _) => None,
                (Some(word), Format::OpenMetrics) => Some(sample_line::seconds(word)?),
                (Some(word), _) => Some(sample_line::milliseconds(word)?),
            };
            Ok((value, time))
        });
        let (value, time) = match parsed {
            Ok(parsed) => parsed,
            Err(reason) => {
                reading.reject(place, &reason);
                continue;
            }
        };
        let at_ms = match time {
            Some(at_ms) => at_ms,
            None => reading.untimed(place)?,
        };
        let Some(id) = id else { continue };
        if reading.sample(id, at_ms, value)? == Taken::OutOfRange {
            reading.reject(place, OUT_OF_RANGE);
        }
    }
    if reading.format == Format::OpenMetrics && !is_ended {
        reading.note("OpenMetrics text without `# EOF` at its end: it may have been cut off");
    }
    Ok(())
}
