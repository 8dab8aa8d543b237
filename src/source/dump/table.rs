//! Long tables: a row for each sample, with a time, a value, the metric's name
//! and labels in columns.

use std::borrow::Cow;
use std::io::BufRead;

use csv::{ByteRecord, ReaderBuilder};

use super::error::DumpError;
use super::format::Format;
use super::intake::Remembered;
use super::jtop;
use super::reading::{OUT_OF_RANGE, Reading, Taken};
use super::recognise::LEAST_MILLISECONDS;
use super::sample_line;
use crate::metered::Metered;
use crate::time::{TimeError, parse_instant};
use crate::tsdb::{Labels, METRIC_NAME};

/// Between cells, the likeliest first.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];
const TIME_NAMES: [&str; 4] = ["timestamp", "time", "ts", "datetime"];
const VALUE_NAMES: [&str; 2] = ["value", "val"];
const METRIC_NAMES: [&str; 4] = ["metric", METRIC_NAME, "metric_name", "name"];
/// Words of tables for a value that is missing.
const MISSING: [&str; 6] = ["", "nan", "null", "na", "n/a", "none"];
/// No table has more: each is a label.
const MOST_COLUMNS: usize = 4096;

/// Which column of a table is what, where the names do not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The time's.
    time: Option<String>,
    /// The value's.
    value: Option<String>,
    /// The metric name's.
    metric: Option<String>,
    /// Columns that are no label.
    ignored: Vec<String>,
    /// Labels and their columns, where the names differ.
    labels: Vec<(String, String)>,
}

impl Columns {
    /// Reads `time=ts,value=watts,metric=name,instance=host,ignore=row`: what
    /// each column is; any other word than the four is a label.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut columns = Self::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (what, column) =
                part.split_once('=').ok_or_else(|| format!("`{}` is not WHAT=COLUMN", part.trim()))?;
            let (what, column) = (what.trim(), column.trim().to_owned());
            if what.is_empty() || column.is_empty() {
                return Err(format!("`{}` is not WHAT=COLUMN", part.trim()));
            }
            let slot = match what {
                "time" => &mut columns.time,
                "value" => &mut columns.value,
                "metric" => &mut columns.metric,
                "ignore" => {
                    columns.ignored.push(column);
                    continue;
                }
                label => {
                    columns.labels.push((label.to_owned(), column));
                    continue;
                }
            };
            if slot.replace(column).is_some() {
                return Err(format!("`{what}` is given twice"));
            }
        }
        Ok(columns)
    }

    /// As it can be parsed: the same text for the same columns.
    pub(super) fn text(&self) -> String {
        let named = [("time", &self.time), ("value", &self.value), ("metric", &self.metric)];
        let named =
            named.into_iter().filter_map(|(what, column)| Some(format!("{what}={}", column.as_ref()?)));
        let ignored = self.ignored.iter().map(|column| format!("ignore={column}"));
        let labels = self.labels.iter().map(|(label, column)| format!("{label}={column}"));
        named.chain(ignored).chain(labels).collect::<Vec<_>>().join(",")
    }
}

/// Where in a row each thing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) time: usize,
    pub(super) value: usize,
    pub(super) metric: Option<usize>,
    /// Labels and their columns.
    pub(super) labels: Vec<(String, usize)>,
}

impl Layout {
    /// Finds the columns among `header`.
    pub(super) fn find(header: &[String], columns: &Columns, has_name: bool) -> Result<Self, String> {
        let named = |wanted: &str| header.iter().position(|name| name == wanted);
        let pick = |given: Option<&String>, usual: &[&str]| match given {
            Some(name) => named(name).map(Some).ok_or_else(|| format!("there is no column `{name}`")),
            None => Ok(usual
                .iter()
                .find_map(|usual| header.iter().position(|name| name.trim().eq_ignore_ascii_case(usual)))),
        };
        if header.len() > MOST_COLUMNS {
            return Err(format!("{} columns, more than {MOST_COLUMNS}", header.len()));
        }
        let missing = |what: &str| {
            format!("no column is recognised as the {what}; there are `{}`", header.join("`, `"))
        };
        let time = pick(columns.time.as_ref(), &TIME_NAMES)?.ok_or_else(|| missing("time"))?;
        let value = pick(columns.value.as_ref(), &VALUE_NAMES)?.ok_or_else(|| missing("value"))?;
        let metric = pick(columns.metric.as_ref(), &METRIC_NAMES)?;
        if metric.is_none() && !has_name {
            return Err(missing("metric's name"));
        }
        let mut used = vec![time, value];
        used.extend(metric);
        for name in &columns.ignored {
            used.push(named(name).ok_or_else(|| format!("there is no column `{name}`"))?);
        }
        let mut labels = Vec::new();
        for (label, name) in &columns.labels {
            let at = named(name).ok_or_else(|| format!("there is no column `{name}`"))?;
            labels.push((label.clone(), at));
            used.push(at);
        }
        let others =
            header.iter().enumerate().filter(|(at, name)| !used.contains(at) && !name.trim().is_empty());
        labels.extend(others.map(|(at, name)| (name.trim().to_owned(), at)));
        Ok(Self { time, value, metric, labels })
    }
}

/// The format of a table with this header, if it is one.
pub(super) fn recognise(header: &[u8], columns: &Columns) -> Option<Format> {
    let delimiter = delimiter(header);
    let names = names(header, delimiter);
    if jtop::is_header(&names) {
        return Some(Format::Jtop);
    }
    (names.len() > 1 && Layout::find(&names, columns, true).is_ok()).then_some(Format::Csv)
}

fn delimiter(header: &[u8]) -> u8 {
    let count = |delimiter: &u8| header.iter().filter(|byte| *byte == delimiter).count();
    let mut best = b',';
    for delimiter in DELIMITERS {
        if count(&delimiter) > count(&best) {
            best = delimiter;
        }
    }
    best
}

fn names(header: &[u8], delimiter: u8) -> Vec<String> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).has_headers(false).from_reader(header);
    let mut record = ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(true) => record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// Reads a table in CSV.
pub(super) fn read(mut reader: impl BufRead, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    let mut header = Vec::new();
    // Comments and blank lines before the header, as InfluxDB and R write them.
    let mut skipped = 0;
    loop {
        header.clear();
        let limit = 1 << 20;
        if std::io::Read::take(&mut reader, limit).read_until(b'\n', &mut header).map_err(reading.failed())?
            == 0
        {
            return Err(reading.form("line 1", "there is no header"));
        }
        skipped += 1;
        let text = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&header).trim_ascii();
        if !text.is_empty() && !text.starts_with(b"#") {
            header = text.to_vec();
            break;
        }
    }
    let delimiter = delimiter(&header);
    let names = names(&header, delimiter);
    let mut rows = Rows::new(&names, reading)?;
    // A quote that is never closed makes one row of all that follows.
    let (reader, budget) = Metered::new(reader);
    let mut table =
        ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(reader);
    let mut record = ByteRecord::new();
    loop {
        match table.read_byte_record(&mut record) {
            Ok(true) => budget.renew(),
            Ok(false) => return Ok(()),
            Err(error) => match error.into_kind() {
                csv::ErrorKind::Io(error) => return Err(reading.failed()(error)),
                other => return Err(reading.form("a row", format!("{other:?}"))),
            },
        }
        let line = record.position().map_or(0, csv::Position::line) + skipped;
        let place = || format!("line {line}");
        let cell = |at: usize| record.get(at).map(|cell| String::from_utf8_lossy(cell));
        let (Some(time), Some(value)) = (cell(rows.layout.time), cell(rows.layout.value)) else {
            reading.reject(place, "the row is too short");
            continue;
        };
        let at_ms = match rows.time(time.trim(), reading) {
            Ok(at_ms) => at_ms,
            Err(reason) => {
                reading.reject(place, &reason);
                continue;
            }
        };
        let value = match number(value.trim()) {
            Ok(Some(value)) => value,
            Ok(None) => continue,
            Err(reason) => {
                reading.reject(place, &reason);
                continue;
            }
        };
        rows.row(|at| cell(at).unwrap_or_default(), at_ms, value, place, reading)?;
    }
}

/// A value; nothing where it is missing.
pub(super) fn number(text: &str) -> Result<Option<f64>, String> {
    if MISSING.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Ok(None);
    }
    let parsed = text.parse::<f64>().ok().filter(|value| !value.is_nan());
    parsed.map(Some).ok_or_else(|| format!("`{}` is not a value", sample_line::shown(text.as_bytes())))
}

/// Milliseconds of an instant in seconds, milliseconds, microseconds or
/// nanoseconds since the epoch, by its size: those of 1973 to 5138 are told apart.
pub(super) fn epoch_ms(number: f64) -> i64 {
    let size = number.abs();
    let at_ms = if size < LEAST_MILLISECONDS {
        number * 1e3
    } else if size < LEAST_MILLISECONDS * 1e3 {
        number
    } else if size < LEAST_MILLISECONDS * 1e6 {
        number / 1e3
    } else {
        number / 1e6
    };
    at_ms.round() as i64
}

/// Rows of a table on their way to their series.
pub(super) struct Rows {
    pub(super) layout: Layout,
    /// By their cells.
    seen: Remembered,
    key: Vec<u8>,
    /// The last time that was read, as text.
    last: Option<(String, i64)>,
}

impl Rows {
    pub(super) fn new(header: &[String], reading: &Reading<'_>) -> Result<Self, DumpError> {
        let request = reading.request;
        let has_name = request.labels.get(METRIC_NAME).is_some();
        let layout = Layout::find(header, &request.columns, has_name)
            .map_err(|reason| DumpError::Columns { input: reading.input.name.clone(), reason })?;
        Ok(Self { layout, seen: Remembered::default(), key: Vec::new(), last: None })
    }

    /// A time as text, in the zone that local times are in.
    pub(super) fn time(&mut self, text: &str, reading: &mut Reading<'_>) -> Result<i64, String> {
        if let Some((last, at_ms)) = &self.last
            && last == text
        {
            return Ok(*at_ms);
        }
        let at_ms = match text.parse::<f64>() {
            Ok(number) if number.is_finite() => epoch_ms(number),
            _ => local_time(text, reading).map_err(|error| error.to_string())?,
        };
        self.last = Some((text.to_owned(), at_ms));
        Ok(at_ms)
    }

    /// Takes the sample of one row; `cell` gives a column's text.
    pub(super) fn row<'c>(
        &mut self,
        cell: impl Fn(usize) -> Cow<'c, str>,
        at_ms: i64,
        value: f64,
        place: impl Fn() -> String,
        reading: &mut Reading<'_>,
    ) -> Result<(), DumpError> {
        self.key.clear();
        let columns = self.layout.metric.into_iter().chain(self.layout.labels.iter().map(|(_, at)| *at));
        for at in columns {
            self.key.extend_from_slice(cell(at).as_bytes());
            self.key.push(0xff);
        }
        let id = match self.seen.get(&self.key) {
            Some(id) => id,
            None => match self.labels(cell).and_then(|labels| reading.intake.series(&labels)) {
                Ok(id) => {
                    self.seen.insert(&self.key, id);
                    id
                }
                Err(reason) => {
                    reading.reject(place, &reason);
                    return Ok(());
                }
            },
        };
        if reading.sample(id, at_ms, Some(value))? == Taken::OutOfRange {
            reading.reject(place, OUT_OF_RANGE);
        }
        Ok(())
    }

    fn labels<'c>(&self, cell: impl Fn(usize) -> Cow<'c, str>) -> Result<Labels, String> {
        let others =
            self.layout.labels.iter().map(|(label, at)| (label.clone(), cell(*at).trim().to_owned()));
        let others = Labels::new(others);
        let Some(metric) = self.layout.metric.map(&cell) else { return Ok(others) };
        // A name, or a whole series: `node_power_watts{instance="a"}`.
        let metric = metric.trim();
        if metric.is_empty() {
            return Err("the metric has no name".to_owned());
        }
        Ok(sample_line::labels(metric.as_bytes())?.with(&others))
    }
}

/// A date and time; one without an offset is of the user's zone, and that is noted.
pub(super) fn local_time(text: &str, reading: &mut Reading<'_>) -> Result<i64, TimeError> {
    let zone = reading.request.zone;
    let at_ms = parse_instant(text, zone)?;
    // Where another zone makes another instant of it, the text names none.
    if parse_instant(text, chrono_tz::Tz::Etc__GMTPlus12).ok() != parse_instant(text, chrono_tz::Tz::UTC).ok()
    {
        reading.note(format!("times without an offset were read as local times of {zone}"));
    }
    Ok(at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_by_name_and_by_word() {
        let header = |names: &str| names.split(',').map(str::to_owned).collect::<Vec<_>>();
        let find = |names: &str, columns: &str| {
            Layout::find(&header(names), &Columns::parse(columns).unwrap(), false)
        };
        let layout = find("Time,host,metric,value,gpu", "").unwrap();
        let labels = vec![("host".to_owned(), 1), ("gpu".to_owned(), 4)];
        assert_eq!(layout, Layout { time: 0, value: 3, metric: Some(2), labels });
        let layout =
            find("when,host,what,watts,row", "time=when,value=watts,metric=what,instance=host,ignore=row");
        let labels = vec![("instance".to_owned(), 1)];
        assert_eq!(layout.unwrap(), Layout { time: 0, value: 3, metric: Some(2), labels });
        assert_eq!(find("a,b", "").unwrap_err(), "no column is recognised as the time; there are `a`, `b`");
        assert_eq!(find("time,value", "time=t").unwrap_err(), "there is no column `t`");
        assert!(
            find("time,value", "").unwrap_err().starts_with("no column is recognised as the metric's name")
        );
        assert!(Columns::parse("time").is_err());
        assert!(Columns::parse("time=a,time=b").is_err());
        let columns = Columns::parse("time=a, host=b,ignore=c").unwrap();
        assert_eq!(Columns::parse(&columns.text()).unwrap(), columns);
    }

    #[test]
    fn units_of_time_by_size() {
        // 2024-05-15T07:40:19.769Z.
        for (number, at_ms) in [
            (1_715_758_819.0, 1_715_758_819_000),
            (1_715_758_819.769, 1_715_758_819_769),
            (1_715_758_819_769.0, 1_715_758_819_769),
            (1_715_758_819_769_000.0, 1_715_758_819_769),
            (1_715_758_819_769_000_000.0, 1_715_758_819_769),
        ] {
            assert_eq!(epoch_ms(number), at_ms);
        }
    }

    #[test]
    fn values_that_are_missing() {
        assert_eq!(number("1e3"), Ok(Some(1000.0)));
        assert_eq!(number("NaN"), Ok(None));
        assert_eq!(number(""), Ok(None));
        assert!(number("12 W").is_err());
    }
}
