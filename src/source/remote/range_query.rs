//! Raw range selectors: an instant query for `metric[6h]` returns the stored
//! samples with their own timestamps. Stale markers are not among them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::api;
use super::client::{Answer, Ask, Client, Content};
use super::error::RemoteError;
use super::selection::Selection;
use crate::source::staging::{PieceWriter, Sink as _};
use crate::time::Window;
use crate::tsdb::{Labels, NORMAL_NAN_BITS, Samples};

const PATH: &str = "api/v1/query";
/// Longest answer that is held in memory.
const LONGEST_BYTES: u64 = 128 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    result_type: Cow<'a, str>,
    #[serde(borrow)]
    result: Vec<Series<'a>>,
}

#[derive(Deserialize)]
struct Series<'a> {
    #[serde(borrow)]
    metric: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// Seconds, and the value as text. Instant vectors have none.
    #[serde(borrow, default)]
    values: Vec<(f64, Cow<'a, str>)>,
    #[serde(default)]
    histograms: Vec<serde::de::IgnoredAny>,
}

fn question(selection: &Selection, window: Window) -> Ask {
    let last_ms = window.end_ms.saturating_sub(1);
    // Up to Prometheus 2 the range starts at `last − length`, since 3.0 after
    // it. With a millisecond more than lies between first and last, both have
    // the first one; what the former has too much is filtered out.
    let query = format!("{}[{}ms]", selection.promql(), window.length_ms());
    Ask {
        path: PATH,
        content: Content::Form(vec![("query", query), ("time", seconds(last_ms))]),
        what: format!("range selector of {selection}, {window}"),
    }
}

/// An instant in seconds with three decimals.
pub(super) fn seconds(at_ms: i64) -> String {
    let sign = if at_ms < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", at_ms.unsigned_abs() / 1000, at_ms.unsigned_abs() % 1000)
}

/// Succeeds if the server answers range selectors.
pub(super) fn probe(client: &Client<'_>, selection: &Selection, window: Window) -> Result<(), RemoteError> {
    client.ask(&question(selection, window), |answer| {
        let body = answer.whole(LONGEST_BYTES)?;
        matrix(&body, answer).map(drop)
    })
}

fn matrix<'a>(body: &'a [u8], answer: &Answer<'_>) -> Result<Vec<Series<'a>>, RemoteError> {
    let data: Data<'a> = api::data(body, answer)?;
    // The others have no samples, or none of their own times.
    if data.result_type != "matrix" {
        return Err(answer.form("a matrix", format!("it is of type `{}`", data.result_type)));
    }
    Ok(data.result)
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
        let body = answer.whole(LONGEST_BYTES)?;
        for series in matrix(&body, answer)? {
            let mut samples = Samples::default();
            for (at_s, text) in &series.values {
                let value = number(text)
                    .ok_or_else(|| answer.form("a matrix of numbers", format!("`{text}` is not a number")))?;
                samples.timestamps_ms.push((at_s * 1000.0).round() as i64);
                samples.values.push(value);
            }
            let labels = Labels::new(series.metric.iter().map(|(name, value)| (&**name, &**value)));
            piece.skipped_histograms(series.histograms.len() as u64);
            piece.samples(&labels, samples, window)?;
        }
        Ok(())
    })
}

/// A value as the API writes it. A NaN is no stale marker: those are not among the samples.
pub(in crate::source) fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::from_bits(NORMAL_NAN_BITS)),
        other => other.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_reaches_one_millisecond_further() {
        let selection = Selection::parse("up").unwrap();
        let ask = question(&selection, Window::new(1_000, 61_000));
        let Content::Form(fields) = ask.content else { panic!("no form") };
        // 2.x: [999, 60 999]; 3.x: (999, 60 999]. Both have 1000.
        assert_eq!(fields[0].1, r#"{__name__="up"}[60000ms]"#);
        assert_eq!(fields[1].1, "60.999");
        assert_eq!(seconds(-1_500), "-1.500");
    }

    #[test]
    fn values_as_prometheus_writes_them() {
        assert_eq!(number("+Inf"), Some(f64::INFINITY));
        assert_eq!(number("-Inf"), Some(f64::NEG_INFINITY));
        assert_eq!(number("NaN").map(f64::to_bits), Some(NORMAL_NAN_BITS));
        assert_eq!(number("-0").map(f64::to_bits), Some(1 << 63));
        assert_eq!(number("4.9e-324").map(f64::to_bits), Some(1));
        assert_eq!(number("1.5 W"), None);
    }
}
