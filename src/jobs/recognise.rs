//! What kind of log a file is, by how it begins.

use super::columns::ColumnMap;
use super::{LogFormat, column_key, htcondor, lsf, pbs, sge, slurm, swf};

/// A kind of log, and for tables what separates their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recognised {
    pub(super) format: LogFormat,
    pub(super) separator: char,
}

/// Separators of `sacct`'s output at real sites, in the order in which they are tried.
const SACCT_SEPARATORS: [char; 6] = ['|', '\u{1f}', '^', '\t', ';', ','];
const CSV_SEPARATORS: [char; 4] = [',', ';', '\t', '|'];
/// Lines looked at: headers of comments may stand before the first record.
const LINES: usize = 200;

/// Tells by `head`, the beginning of the file.
pub(super) fn recognise(head: &[u8], columns: &ColumnMap) -> Option<Recognised> {
    let of = |format| Some(Recognised { format, separator: ',' });
    if head.starts_with(b"PAR1") {
        return of(LogFormat::RunsParquet);
    }
    let text = String::from_utf8_lossy(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head));
    let mut lines = text.lines().map(|line| line.trim_end_matches('\r'));
    let first = lines.find(|line| !line.trim().is_empty())?;
    if let Some(names) = columns.header() {
        let separator = header_less(first, names)?;
        return Some(Recognised { format: table(names)?, separator });
    }
    let start = first.trim_start();
    if start.starts_with(['{', '[']) {
        return json(&text).and_then(of);
    }
    if ["JobId=", "NodeName="].iter().any(|key| start.starts_with(key)) {
        return of(LogFormat::Scontrol);
    }
    if lsf::looks_like(first) {
        return of(LogFormat::Lsf);
    }
    if pbs::looks_like(first) {
        return of(LogFormat::Pbs);
    }
    if let Some(found) = header(first, columns) {
        return Some(found);
    }
    // Comments may stand before the first record.
    let is_comment = |line: &&str| line.trim().is_empty() || line.starts_with(['#', ';']);
    let record = [first].into_iter().chain(lines.take(LINES)).find(|line| !is_comment(line))?;
    if sge::looks_like(record) {
        return of(LogFormat::GridEngine);
    }
    if swf::looks_like(record) {
        return of(LogFormat::Swf);
    }
    if htcondor::looks_like_apel(first) {
        return of(LogFormat::HtcondorApel);
    }
    if htcondor::looks_like(first) {
        return of(LogFormat::Htcondor);
    }
    None
}

fn json(text: &str) -> Option<LogFormat> {
    let has = |key: &str| text.contains(&format!("\"{key}\""));
    if has("jobs") || has("association") {
        Some(LogFormat::SacctJson)
    } else if has("apiVersion") {
        Some(LogFormat::Kubernetes)
    } else if has("ClusterId") || has("GlobalJobId") {
        Some(LogFormat::HtcondorJson)
    } else {
        None
    }
}

/// The format of a table with these columns.
fn table(names: &[String]) -> Option<LogFormat> {
    let has = |wanted: &str| names.iter().any(|name| column_key(name) == wanted);
    if has("jobid") || has("jobidraw") {
        Some(LogFormat::SacctText)
    } else if has("run_id") {
        Some(LogFormat::RunsCsv)
    } else {
        None
    }
}

/// The separator by which `line` has as many fields as there are names.
fn header_less(line: &str, names: &[String]) -> Option<char> {
    let fits = |separator: &char| {
        let line = line.strip_suffix(*separator).unwrap_or(line);
        line.split(*separator).count() >= names.len()
    };
    SACCT_SEPARATORS.into_iter().find(fits)
}

/// What separates the columns of a table that is said to be `format`; any character for other kinds.
pub(super) fn separator(first_line: &str, format: LogFormat, columns: &ColumnMap) -> Option<char> {
    match format {
        LogFormat::SacctText => match columns.header() {
            Some(names) => header_less(first_line, names),
            None => SACCT_SEPARATORS.into_iter().find(|separator| first_line.contains(*separator)),
        },
        LogFormat::TresTable => {
            SACCT_SEPARATORS.into_iter().find(|separator| first_line.contains(*separator))
        }
        LogFormat::RunsCsv | LogFormat::Codecarbon => {
            CSV_SEPARATORS.into_iter().find(|separator| first_line.contains(*separator))
        }
        _ => Some(','),
    }
}

/// What kind of table a header belongs to, and what separates its columns.
fn header(line: &str, columns: &ColumnMap) -> Option<Recognised> {
    // A header of one column would match with every separator and is of no use with any.
    let several = |separator: &char| line.contains(*separator);
    let names = |separator: char| -> Vec<String> {
        line.split(separator).map(|name| column_key(columns.known_as(column_key(name).as_str()))).collect()
    };
    let has = |separator: char, wanted: &[&str]| {
        names(separator).iter().any(|name| wanted.contains(&name.as_str()))
    };
    let sacct = SACCT_SEPARATORS.into_iter().find(|&separator| has(separator, &["jobid", "jobidraw"]));
    let csv = CSV_SEPARATORS.into_iter().find(|&separator| has(separator, &["run_id"]));
    if let Some(separator) = csv.filter(several) {
        let all = names(separator);
        let has = |name: &str| all.iter().any(|known| known == name);
        let emissions = has("emissions") && has("duration") && has("country_iso_code");
        let format = if emissions { LogFormat::Codecarbon } else { LogFormat::RunsCsv };
        return Some(Recognised { format, separator });
    }
    let tres =
        SACCT_SEPARATORS.into_iter().find(|&separator| slurm::tres_table::is_header(&names(separator)));
    if let Some(separator) = tres {
        return Some(Recognised { format: LogFormat::TresTable, separator });
    }
    sacct.filter(several).map(|separator| Recognised { format: LogFormat::SacctText, separator })
}
