//! What was typed for `wattledger convert` → one checked request.

use std::path::PathBuf;

use super::ConfigError;
use super::plan::{time_zone, value};
use crate::source::dump::{At, Columns, Format, Place, Request};
use crate::time::parse_instant;
use crate::tsdb::Labels;

/// The word for standard input.
const STDIN: &str = "-";
/// The word for the time at which a file was written.
const MODIFIED: &str = "modified";

/// What was typed for `wattledger convert`.
#[derive(Clone, Debug, Default)]
pub struct ConvertFlags {
    /// Files and folders; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    /// `--out`.
    pub out: PathBuf,
    /// `--format`.
    pub format: Option<Format>,
    /// `--label`.
    pub labels: Vec<String>,
    /// `--columns`.
    pub columns: Option<String>,
    /// `--at`.
    pub at: Option<String>,
    /// `--tz`.
    pub tz: Option<String>,
}

/// Checks the flags.
///
/// # Errors
///
/// For any value that cannot be, naming the flag.
pub fn convert_request(flags: &ConvertFlags) -> Result<Request, ConfigError> {
    let zone = match &flags.tz {
        Some(name) => time_zone("--tz", name)?,
        None => chrono_tz::Tz::UTC,
    };
    let at = match flags.at.as_deref() {
        None => None,
        Some(MODIFIED) => Some(At::Modified),
        Some(text) => {
            let instant = parse_instant(text, zone).map_err(|error| {
                let hint = format!("give a time such as 2026-11-16T12:00:00Z, or `{MODIFIED}`");
                value("--at", error.to_string(), Some(hint))
            })?;
            Some(At::Instant(instant))
        }
    };
    let labels = flags.labels.iter().map(|text| label(text)).collect::<Result<Vec<_>, _>>()?;
    let columns = match &flags.columns {
        Some(text) => Columns::parse(text).map_err(|reason| {
            let hint = "as in `--columns time=ts,value=watts,metric=name,instance=host`".to_owned();
            value("--columns", reason, Some(hint))
        })?,
        None => Columns::default(),
    };
    let place = |path: &PathBuf| {
        if path.as_os_str() == STDIN { Place::Stdin } else { Place::Path(path.clone()) }
    };
    let inputs: Vec<Place> = flags.inputs.iter().map(place).collect();
    if inputs.iter().filter(|place| **place == Place::Stdin).count() > 1 {
        return Err(value("IN", "standard input can be read only once".to_owned(), None));
    }
    Ok(Request {
        inputs,
        out: flags.out.clone(),
        format: flags.format,
        labels: Labels::new(labels),
        columns,
        at,
        zone,
    })
}

fn label(text: &str) -> Result<(String, String), ConfigError> {
    let form = || value("--label", format!("`{text}` is not NAME=VALUE"), None);
    let (name, label) = text.split_once('=').ok_or_else(form)?;
    if name.is_empty() || label.is_empty() { Err(form()) } else { Ok((name.to_owned(), label.to_owned())) }
}
