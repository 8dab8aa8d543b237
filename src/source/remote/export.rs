//! VictoriaMetrics' `/api/v1/export`: a JSON object a line, each with a part of a series.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::client::{Answer, Ask, Client, Content};
use super::error::RemoteError;
use super::piece::PieceWriter;
use super::range_query::seconds;
use super::selection::Selection;
use crate::time::Window;
use crate::tsdb::{Labels, STALE_NAN_BITS, Samples};

const PATH: &str = "api/v1/export";
const EXPECTED: &str = "lines of JSON as VictoriaMetrics exports them";
/// Read from the answer in one go.
const READ_BYTES: u64 = 1 << 20;
/// Longest line that is held in memory.
const LONGEST_LINE_BYTES: usize = 128 << 20;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    metric: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    values: Vec<Number>,
    timestamps: Vec<i64>,
}

/// A value: a number, `null` for every NaN, or an infinity as text.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NumberVisitor).map(Self)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, null or an infinity")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    /// A stale marker or another NaN: the end of a series is the safer reading,
    /// no meter shows a NaN.
    fn visit_unit<E: Error>(self) -> Result<f64, E> {
        Ok(f64::from_bits(STALE_NAN_BITS))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text {
            "Infinity" | "+Inf" => Ok(f64::INFINITY),
            "-Infinity" | "-Inf" => Ok(f64::NEG_INFINITY),
            other => Err(E::custom(format!("`{other}` is not a value"))),
        }
    }
}

fn question(selection: &Selection, window: Window) -> Ask {
    let fields = vec![
        ("match[]", selection.promql()),
        ("start", seconds(window.start_ms)),
        ("end", seconds(window.end_ms.saturating_sub(1))),
        // As stored: without it samples that lie close together are thinned out.
        ("reduce_mem_usage", "1".to_owned()),
    ];
    Ask { path: PATH, content: Content::Form(fields), what: format!("export of {selection}, {window}") }
}

/// Succeeds if the server exports.
pub(super) fn probe(client: &Client<'_>, selection: &Selection, window: Window) -> Result<(), RemoteError> {
    client.ask(&question(selection, window), |answer| {
        // An export of nothing is an empty answer, which others give to anything.
        if !answer.kind.contains("json") {
            return Err(answer.form(EXPECTED, format!("its content type is `{}`", answer.kind)));
        }
        lines(answer, |_| Ok(()))
    })
}

/// Reads `selection` in `window` into `piece`.
pub(super) fn read(
    client: &Client<'_>,
    selection: &Selection,
    window: Window,
    piece: &mut PieceWriter,
) -> Result<(), RemoteError> {
    let mark = piece.mark()?;
    client.ask(&question(selection, window), |answer| {
        piece.rewind(&mark)?;
        lines(answer, |line| {
            let labels = Labels::new(line.metric.iter().map(|(name, value)| (&**name, &**value)));
            let samples = Samples {
                timestamps_ms: line.timestamps,
                values: line.values.into_iter().map(|Number(value)| value).collect(),
            };
            piece.samples(&labels, samples, window)
        })
    })
}

fn lines(
    answer: &mut Answer<'_>,
    mut each: impl FnMut(Line<'_>) -> Result<(), RemoteError>,
) -> Result<(), RemoteError> {
    answer.must_be_framed(EXPECTED)?;
    let mut pending = Vec::new();
    loop {
        // What has been searched for the end of a line already.
        let searched = pending.len();
        let read = answer.up_to(READ_BYTES, &mut pending)?;
        let fresh = pending.get(searched..).unwrap_or_default();
        let end = match fresh.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => searched + at + 1,
            None if read == 0 => pending.len(),
            None => 0,
        };
        let whole = pending.get(..end).unwrap_or_default();
        for text in whole.split(|byte| *byte == b'\n').filter(|text| !text.trim_ascii().is_empty()) {
            let mended;
            let line: Line<'_> = match serde_json::from_slice(text) {
                Ok(line) => line,
                Err(error) => {
                    mended = with_quoted_infinities(text);
                    serde_json::from_slice(&mended).map_err(|_| answer.form(EXPECTED, error.to_string()))?
                }
            };
            if line.values.len() != line.timestamps.len() {
                let reason = format!("{} values but {} timestamps", line.values.len(), line.timestamps.len());
                return Err(answer.form(EXPECTED, reason));
            }
            each(line)?;
        }
        pending.drain(..end);
        if read == 0 {
            return Ok(());
        }
        if pending.len() > LONGEST_LINE_BYTES {
            return Err(answer.too_much(format!("a line of more than {} MiB", LONGEST_LINE_BYTES >> 20)));
        }
    }
}

/// `line` with quotes about `+Inf` and `-Inf`, which VictoriaMetrics up to 1.79 at
/// least writes among the numbers, so that the line is no JSON.
fn with_quoted_infinities(line: &[u8]) -> Vec<u8> {
    let mut mended = Vec::with_capacity(line.len());
    let mut rest = line;
    let (mut in_text, mut escaped) = (false, false);
    while let Some((byte, after)) = rest.split_first() {
        if let Some((word @ (b"+Inf" | b"-Inf"), after)) = rest.split_at_checked(4).filter(|_| !in_text) {
            mended.push(b'"');
            mended.extend_from_slice(word);
            mended.push(b'"');
            rest = after;
            continue;
        }
        in_text ^= *byte == b'"' && !escaped;
        escaped = in_text && *byte == b'\\' && !escaped;
        mended.push(*byte);
        rest = after;
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers as VictoriaMetrics 1.79 wrote them; the label is made to mislead.
    #[test]
    fn infinities_without_quotes() {
        let text = br#"{"metric":{"__name__":"m","a":"\\\",+Inf,-Inf"},"values":[+Inf,1,-Inf],"timestamps":[1,2,3]}"#;
        assert!(serde_json::from_slice::<Line<'_>>(text).is_err());
        let mended = with_quoted_infinities(text);
        let line: Line<'_> = serde_json::from_slice(&mended).unwrap();
        assert_eq!(line.metric["a"], "\\\",+Inf,-Inf");
        let values: Vec<f64> = line.values.iter().map(|Number(value)| *value).collect();
        assert_eq!(values, [f64::INFINITY, 1.0, f64::NEG_INFINITY]);
    }

    #[test]
    fn special_values_as_victoria_metrics_writes_them() {
        let text = r#"{"metric":{"__name__":"m","a":"x\"y"},"values":[1,0.1,-2e3,null,"Infinity","-Infinity"],"timestamps":[1,2,3,4,5,6]}"#;
        let line: Line<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(line.metric["a"], "x\"y");
        let bits: Vec<u64> = line.values.iter().map(|Number(value)| value.to_bits()).collect();
        let expected = [1.0, 0.1, -2000.0, f64::from_bits(STALE_NAN_BITS), f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(bits, expected.map(f64::to_bits));
        assert!(serde_json::from_str::<Number>("\"x\"").is_err());
    }
}
