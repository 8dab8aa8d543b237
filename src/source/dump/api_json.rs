//! Saved answers of Prometheus' HTTP API, read in a stream: no more than a part of one series is in memory.
//!
//! Source of the form: "HTTP API" of Prometheus' documentation.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::DumpError;
use super::reading::{OUT_OF_RANGE, Reading, Taken};
use crate::metered::{Budget, Metered};
use crate::source::remote::range_query::number;
use crate::source::staging::Sink as _;
use crate::tsdb::Labels;

/// Steps shorter than this are told from scrapes by nobody.
const SHORTEST_STEP_MS: i64 = 1000;

/// Samples of one series that are held before they are taken.
const HELD_SAMPLES: usize = 1 << 20;

/// Reads one answer after the other.
pub(super) fn read(reader: impl BufRead, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    let (mut reader, budget) = Metered::new(reader);
    let mut answer = Answer { reading, seen: Seen::default(), failure: None, budget };
    loop {
        if skip_blank(&mut reader).map_err(answer.reading.failed())? {
            break;
        }
        answer.seen.status = None;
        answer.budget.renew();
        let mut json = serde_json::Deserializer::from_reader(&mut reader);
        let parsed = json.deserialize_any(Document(&mut answer));
        if let Some(failure) = answer.failure.take() {
            return Err(failure);
        }
        if let Err(error) = parsed {
            let place = format!("line {}, column {}", error.line(), error.column());
            return Err(match error.classify() {
                serde_json::error::Category::Eof => answer.reading.cut("it ends inside the answer"),
                serde_json::error::Category::Io => answer.reading.failed()(error.into()),
                _ => answer.reading.form(place, reason(&error)),
            });
        }
        answer.conclude()?;
    }
    let Answer { reading, seen, .. } = answer;
    seen.note(reading);
    if seen.series == 0
        && let Some(what) = seen.instead
    {
        return Err(DumpError::NoSamples { input: reading.input.name.clone(), reason: what.to_owned() });
    }
    Ok(())
}

/// The message without the place, which is told apart.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// Takes blanks; true at the end.
fn skip_blank(reader: &mut impl BufRead) -> std::io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(true);
        }
        let blank = buffer.len() - buffer.trim_ascii_start().len();
        let is_blank = blank == buffer.len();
        reader.consume(blank);
        if !is_blank {
            return Ok(false);
        }
    }
}

/// What is read of the answers of one input.
struct Answer<'r, 'a> {
    reading: &'r mut Reading<'a>,
    seen: Seen,
    /// A failure that is not JSON's.
    failure: Option<DumpError>,
    /// What may come before the next sample or series is complete.
    budget: Budget,
}

/// What the answers of one input hold.
#[derive(Default)]
struct Seen {
    status: Option<String>,
    error_type: String,
    error: String,
    /// Series with samples or histograms.
    series: u64,
    /// What stands there instead of series.
    instead: Option<&'static str>,
    grid: Grid,
}

impl Seen {
    fn note(&self, reading: &mut Reading<'_>) {
        if let Some(step_ms) = self.grid.step_ms() {
            reading.note(format!(
                "the samples of {} lie on a grid of {} s, as those of a range query do: if it was one, each is what \
                 the server saw last, up to 5 minutes before",
                reading.input.name,
                step_ms as f64 / 1000.0
            ));
        }
    }
}

impl Answer<'_, '_> {
    /// The end of one answer.
    fn conclude(&mut self) -> Result<(), DumpError> {
        match self.seen.status.take() {
            Some(status) if status != "success" => Err(DumpError::ErrorAnswer {
                input: self.reading.input.name.clone(),
                kind: std::mem::take(&mut self.seen.error_type),
                message: std::mem::take(&mut self.seen.error),
            }),
            _ => Ok(()),
        }
    }

    /// Takes what was read of a series so far; a failure that is not JSON's is kept apart.
    fn take<E: Error>(&mut self, series: &mut Series) -> Result<(), E> {
        self.batch(series).map_err(|failure| {
            self.failure = Some(failure);
            E::custom("given up")
        })
    }

    fn batch(&mut self, series: &mut Series) -> Result<(), DumpError> {
        self.reading.intake.skipped_histograms(std::mem::take(&mut series.histograms));
        let metric = series.metric.iter().flatten();
        let labels = Labels::new(metric.map(|(name, value)| (name.as_str(), value.as_str())));
        let place = || labels.to_string();
        let id = match self.reading.intake.series(&labels) {
            Ok(id) => id,
            Err(reason) => {
                // Once for a series, however many its samples.
                if !std::mem::replace(&mut series.is_rejected, true) {
                    self.reading.reject(place, &reason);
                }
                series.samples.clear();
                return Ok(());
            }
        };
        for (at_s, value) in series.samples.drain(..) {
            let at_ms = (at_s * 1000.0).round();
            // A float beyond 2^53 has no milliseconds; such a time is out of range anyway.
            let at_ms = if at_ms.abs() < 9e15 { at_ms as i64 } else { i64::MAX };
            if series.is_row {
                self.seen.grid.add(at_ms);
            }
            let value = (!value.is_nan()).then_some(value);
            if self.reading.sample(id, at_ms, value)? == Taken::OutOfRange {
                self.reading.reject(place, OUT_OF_RANGE);
            }
        }
        Ok(())
    }
}

/// The greatest step that all timestamps share.
#[derive(Default)]
struct Grid {
    first_ms: Option<i64>,
    step_ms: i64,
}

impl Grid {
    fn add(&mut self, at_ms: i64) {
        let first_ms = *self.first_ms.get_or_insert(at_ms);
        let (mut left, mut right) = (self.step_ms, at_ms.saturating_sub(first_ms).saturating_abs());
        if self.step_ms != 0 && right % self.step_ms == 0 {
            return;
        }
        while right != 0 {
            (left, right) = (right, left % right);
        }
        self.step_ms = left;
    }

    fn step_ms(&self) -> Option<i64> {
        (self.step_ms >= SHORTEST_STEP_MS).then_some(self.step_ms)
    }
}

/// One element of a result.
#[derive(Default)]
struct Series {
    /// The labels, once they came.
    metric: Option<BTreeMap<String, String>>,
    /// Seconds and value of samples that are not taken yet.
    samples: Vec<(f64, f64)>,
    /// True if it has `values`, not one `value`.
    is_row: bool,
    histograms: u64,
    is_rejected: bool,
}

/// An answer, or the bare result of one.
struct Document<'x, 'r, 'a>(&'x mut Answer<'r, 'a>);

impl<'de> Visitor<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of the Prometheus API")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "status" => self.0.seen.status = Some(map.next_value()?),
                "errorType" => self.0.seen.error_type = map.next_value()?,
                "error" => self.0.seen.error = map.next_value()?,
                "data" => map.next_value_seed(Data(self.0))?,
                _ => map.next_value::<Skipped>().map(|_| ())?,
            }
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, seq: S) -> Result<(), S::Error> {
        elements(self.0, seq)
    }
}

/// What stands under `data`.
struct Data<'x, 'r, 'a>(&'x mut Answer<'r, 'a>);

impl<'de> DeserializeSeed<'de> for Data<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Data<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data of an answer")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut has_result = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "result" {
                has_result = true;
                map.next_value_seed(Elements(self.0))?;
            } else {
                map.next_value::<Skipped>().map(|_| ())?;
            }
        }
        if !has_result {
            self.0.seen.instead = Some("it is an answer about the server, not of a query");
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        self.0.seen.instead = Some("it lists series or names");
        while seq.next_element::<Skipped>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// What stands under `result`.
struct Elements<'x, 'r, 'a>(&'x mut Answer<'r, 'a>);

impl<'de> DeserializeSeed<'de> for Elements<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the result of a query")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, seq: S) -> Result<(), S::Error> {
        elements(self.0, seq)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

fn elements<'de, S: SeqAccess<'de>>(answer: &mut Answer<'_, '_>, mut seq: S) -> Result<(), S::Error> {
    let mut is_empty = true;
    while let Some(is_series) = seq.next_element_seed(Element(answer))? {
        is_empty = false;
        if is_series {
            answer.seen.series += 1;
        } else {
            answer.seen.instead = Some("a scalar or a string has no series");
        }
    }
    if is_empty {
        answer.seen.instead.get_or_insert("the result of the query is empty");
    }
    Ok(())
}

/// A series; false for a part of a scalar or a string.
struct Element<'x, 'r, 'a>(&'x mut Answer<'r, 'a>);

impl<'de> DeserializeSeed<'de> for Element<'_, '_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, '_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut series = Series::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metric" => series.metric = Some(map.next_value()?),
                "value" => series.samples.push(map.next_value_seed(Sample)?),
                "values" => {
                    series.is_row = true;
                    map.next_value_seed(Samples(self.0, &mut series))?;
                }
                "histogram" => {
                    series.histograms += 1;
                    map.next_value::<Skipped>().map(|_| ())?;
                }
                "histograms" => {
                    series.histograms += map.next_value::<Vec<Skipped>>()?.len() as u64;
                }
                _ => map.next_value::<Skipped>().map(|_| ())?,
            }
        }
        self.0.take(&mut series)?;
        self.0.budget.renew();
        Ok(true)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(false)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(false)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(false)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(false)
    }
}

/// A value that nobody needs. Unlike `IgnoredAny` it is read by recursion, whose depth is
/// limited: what is nested a million times takes no memory.
struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Skipped {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self, M::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self, S::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
}

/// What stands under `values`.
struct Samples<'x, 'y, 'r, 'a>(&'x mut Answer<'r, 'a>, &'y mut Series);

impl<'de> DeserializeSeed<'de> for Samples<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Samples<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row of samples")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let Self(answer, series) = self;
        while let Some(sample) = seq.next_element_seed(Sample)? {
            answer.budget.renew();
            if series.samples.len() >= HELD_SAMPLES {
                if series.metric.is_none() {
                    return Err(S::Error::custom("so long a series must have its labels before its samples"));
                }
                answer.take(series)?;
            }
            series.samples.push(sample);
        }
        Ok(())
    }
}

/// `[seconds, "value"]`.
struct Sample;

impl<'de> DeserializeSeed<'de> for Sample {
    type Value = (f64, f64);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Sample {
    type Value = (f64, f64);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pair of a time in seconds and a value as text")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let missing = |_| S::Error::custom("a sample is not a pair of a time in seconds and a value as text");
        let at_s = seq.next_element()?.ok_or(()).map_err(missing)?;
        let value = seq.next_element_seed(Number)?.ok_or(()).map_err(missing)?;
        match seq.next_element::<Skipped>()? {
            None => Ok((at_s, value)),
            Some(_) => Err(missing(())),
        }
    }
}

/// A value as text; a number is taken as well.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = f64;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<f64, D::Error> {
        from.deserialize_any(self)
    }
}

impl Visitor<'_> for Number {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number as text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        number(text).ok_or_else(|| E::custom(format!("`{text}` is not a number")))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids() {
        let mut grid = Grid::default();
        assert_eq!(grid.step_ms(), None);
        grid.add(1_000_123);
        assert_eq!(grid.step_ms(), None, "one sample has no step");
        grid.add(1_060_123);
        grid.add(1_150_123);
        assert_eq!(grid.step_ms(), Some(30_000));
        grid.add(1_150_124);
        assert_eq!(grid.step_ms(), None, "a scrape that came a millisecond late");
    }
}
