//! Reads a series of PUE: CSV with `timestamp,pue`.

use std::path::Path;

use chrono_tz::Tz;

use super::ConfigError;
use super::plan::value;
use crate::ledger::Pue;
use crate::time::{Window, format_instant, parse_instant};

/// What a PUE can be: below 1 a facility would use less than what stands in it.
pub(super) const RANGE: std::ops::RangeInclusive<f64> = 1.0..=10.0;

/// The series in the file at `path`. It has to begin before `window` does, or `before` has to say what holds until then.
pub(super) fn read(path: &Path, window: Window, before: Option<f64>) -> Result<Pue, ConfigError> {
    let wrong = |reason: String| {
        let hint = "a CSV with the columns `timestamp` (start of a step) and `pue`".to_owned();
        value("site.pue_series", format!("`{}`: {reason}", path.display()), Some(hint))
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_path(path)
        .map_err(|error| wrong(error.to_string()))?;
    let headers = reader.headers().map_err(|error| wrong(error.to_string()))?;
    let column = |name: &str| headers.iter().position(|header| header == name);
    let (Some(at), Some(figure)) = (column("timestamp"), column("pue")) else {
        return Err(wrong("it has no columns `timestamp` and `pue`".to_owned()));
    };
    let mut steps: Vec<(i64, f64)> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = |column: usize| record.get(column).unwrap_or_default();
        let at_ms =
            parse_instant(text(at), Tz::UTC).map_err(|error| wrong(format!("line {line}: {error}")))?;
        let pue = text(figure).parse::<f64>().ok().filter(|pue| RANGE.contains(pue));
        let Some(pue) = pue else {
            return Err(wrong(format!("line {line}: `{}` is no PUE between 1 and 10", text(figure))));
        };
        if steps.last().is_some_and(|(last_ms, _)| *last_ms >= at_ms) {
            return Err(wrong(format!("line {line}: `{}` is not after the line before", text(at))));
        }
        steps.push((at_ms, pue));
    }
    match (steps.first(), before) {
        (Some(_), Some(before)) => {
            steps.insert(0, (i64::MIN, before));
            Ok(Pue::Series(steps))
        }
        (Some((first_ms, _)), None) if *first_ms <= window.start_ms || window.is_empty() => {
            Ok(Pue::Series(steps))
        }
        (Some((first_ms, _)), None) => {
            let (first, start) = (format_instant(*first_ms), format_instant(window.start_ms));
            Err(wrong(format!("it begins at {first}, the report at {start}, and no `pue` is stated")))
        }
        (None, _) => Err(wrong("it has no line".to_owned())),
    }
}
