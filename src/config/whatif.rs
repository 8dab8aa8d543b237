//! What was typed for `wattledger whatif` → one checked question.

use super::plan::value;
use super::{ConfigError, Plan};
use crate::carbon::Zone;
use crate::ledger::Question;
use crate::time::{DAY_MS, MINUTE_MS, parse_duration_ms};

/// No queue waits longer, and each step is tried for each run.
const MOST_SLACK_MS: i64 = 366 * DAY_MS;

/// `--zones` and `--shift`, by what `plan` knows.
///
/// # Errors
///
/// For a zone that nobody knows, with the nearest names, and for a slack that is none.
pub fn question(zones: &[String], shift: Option<&str>, plan: &Plan) -> Result<Question, ConfigError> {
    let mut found: Vec<Zone> = Vec::new();
    for name in zones.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let zone = plan.intensity.zone(name)?;
        if !found.contains(&zone) {
            found.push(zone);
        }
    }
    let slack_ms = shift.map(|text| slack(text, plan.intensity.finest_step_ms())).transpose()?;
    if found.is_empty() && slack_ms.is_none() {
        let hint = "name zones, as in `--zones FR,SE`, or a slack, as in `--shift 24h`".to_owned();
        return Err(value("--zones", "no zone is named".to_owned(), Some(hint)));
    }
    Ok(Question { zones: found, slack_ms })
}

fn slack(text: &str, step_ms: i64) -> Result<i64, ConfigError> {
    let hint = "by how much runs may start later, such as `12h` or `7d`".to_owned();
    let wrong = |reason: String| value("--shift", reason, Some(hint.clone()));
    let slack_ms = parse_duration_ms(text).map_err(|error| wrong(error.to_string()))?;
    if slack_ms < step_ms {
        let minutes = step_ms as f64 / MINUTE_MS as f64;
        return Err(wrong(format!("`{text}` is shorter than a step of the factors, {minutes} min")));
    }
    if slack_ms > MOST_SLACK_MS {
        return Err(wrong(format!("`{text}` is longer than a year")));
    }
    Ok(slack_ms)
}
