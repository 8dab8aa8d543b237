//! One line of VictoriaMetrics' export: a JSON object with a part of a series.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::tsdb::{Labels, STALE_NAN_BITS, Samples};

/// The series of a line, and its samples in the order in which they stand there.
///
/// # Errors
///
/// What is wrong with the line.
pub(in crate::source) fn parse_line(text: &[u8]) -> Result<(Labels, Samples), String> {
    let mended;
    let line: Line<'_> = match serde_json::from_slice(text) {
        Ok(line) => line,
        Err(error) => {
            mended = with_quoted_infinities(text);
            serde_json::from_slice(&mended).map_err(|_| error.to_string())?
        }
    };
    if line.values.len() != line.timestamps.len() {
        return Err(format!("{} values but {} timestamps", line.values.len(), line.timestamps.len()));
    }
    let labels = Labels::new(line.metric.iter().map(|(name, value)| (&**name, &**value)));
    let values = line.values.into_iter().map(|Number(value)| value).collect();
    Ok((labels, Samples { timestamps_ms: line.timestamps, values }))
}

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
