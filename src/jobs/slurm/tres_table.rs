//! `sacctmgr --parsable2 show tres`: which number stands for which trackable resource at this site.

use std::io::BufRead;
use std::path::Path;

use crate::jobs::collect::Collector;
use crate::jobs::lines::Lines;
use crate::jobs::{JobsError, RejectReason, column_key, error::shorten};

/// The columns that are needed.
const COLUMNS: [&str; 3] = ["type", "name", "id"];

/// True for the header of such a table.
pub(crate) fn is_header(names: &[String]) -> bool {
    COLUMNS.iter().all(|wanted| names.iter().any(|name| name == wanted)) && names.len() <= 4
}

/// Keeps the names for the logs that are read after it.
pub(crate) fn read(
    collector: &mut Collector,
    mut lines: Lines<impl BufRead>,
    separator: char,
    path: &Path,
) -> Result<(), JobsError> {
    let mut columns: Option<Vec<String>> = None;
    while let Some((number, text)) = lines.next_text(collector, path)? {
        if text.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = text.split(separator).map(str::trim).collect();
        let Some(columns) = &columns else {
            columns = Some(fields.into_iter().map(column_key).collect());
            continue;
        };
        let of = |wanted: &str| {
            let position = columns.iter().position(|name| name == wanted);
            position.and_then(|position| fields.get(position)).copied().unwrap_or_default()
        };
        let (kind, name, id) = (of("type"), of("name"), of("id"));
        let reason = if fields.len() < columns.len() {
            Some(RejectReason::TooFewFields { found: fields.len(), expected: columns.len() })
        } else if kind.is_empty() {
            Some(RejectReason::MissingField { column: "Type" })
        } else if id.parse::<u32>().is_err() {
            Some(RejectReason::BadNumber { column: "ID", text: shorten(id) })
        } else {
            None
        };
        if let Some(reason) = reason {
            collector.reject(number, reason, &text);
            continue;
        }
        let full = if name.is_empty() { kind.to_owned() } else { format!("{kind}/{name}") };
        collector.tres_names.insert(id.to_owned(), full);
    }
    Ok(())
}
