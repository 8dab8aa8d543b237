//! Samples in the formats that `convert` reads, written from their
//! descriptions and sharing no code with the library.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::block_reader::Series;

/// Go's `%g` has other exponents than Rust's `{}`; both are read back to the same number.
fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        format!("{value:e}")
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn braces(labels: &BTreeMap<String, String>, with_name: bool) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .filter(|(name, _)| with_name || *name != "__name__")
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// As `promtool tsdb dump` prints.
pub(crate) fn promtool(series: &Series) -> String {
    let mut text = String::new();
    for (labels, samples) in series {
        for (at_ms, value) in samples {
            writeln!(text, "{} {} {at_ms}", braces(labels, true), number(*value)).unwrap();
        }
    }
    text
}

/// As `promtool tsdb dump-openmetrics` prints.
pub(crate) fn openmetrics(series: &Series) -> String {
    let mut text = String::new();
    for (labels, samples) in series {
        for (at_ms, value) in samples {
            let (name, braces) = (&labels["__name__"], braces(labels, false));
            writeln!(text, "{name}{braces} {} {}.{:03}", number(*value), at_ms / 1000, at_ms % 1000).unwrap();
        }
    }
    text + "# EOF\n"
}

/// The text exposition format with timestamps, as `/federate` answers: all series at one time, then the next.
pub(crate) fn exposition(series: &Series) -> String {
    let mut by_time: BTreeMap<i64, String> = BTreeMap::new();
    for (labels, samples) in series {
        for (at_ms, value) in samples {
            let text = by_time.entry(*at_ms).or_default();
            writeln!(text, "{}{} {} {at_ms}", labels["__name__"], braces(labels, false), number(*value))
                .unwrap();
        }
    }
    "# TYPE up untyped\n".to_owned() + &by_time.into_values().collect::<String>()
}

/// As VictoriaMetrics exports.
pub(crate) fn vm_export(series: &Series) -> String {
    let mut text = String::new();
    for (labels, samples) in series {
        let values: Vec<serde_json::Value> =
            samples.iter().map(|(_, value)| serde_json::json!(value)).collect();
        let times: Vec<i64> = samples.iter().map(|(at_ms, _)| *at_ms).collect();
        let line = serde_json::json!({"metric": labels, "values": values, "timestamps": times});
        writeln!(text, "{line}").unwrap();
    }
    text
}

/// The answer to an instant query with a range selector: stale markers are not in it.
pub(crate) fn matrix(series: &Series) -> String {
    let result: Vec<serde_json::Value> = series
        .iter()
        .map(|(labels, samples)| {
            let values: Vec<serde_json::Value> = samples
                .iter()
                .filter(|(_, value)| !value.is_nan())
                .map(|(at_ms, value)| serde_json::json!([*at_ms as f64 / 1000.0, number(*value)]))
                .collect();
            serde_json::json!({"metric": labels, "values": values})
        })
        .collect();
    serde_json::json!({"status": "success", "data": {"resultType": "matrix", "result": result}}).to_string()
}

/// Names of all labels but the metric's.
fn label_names(series: &Series) -> Vec<String> {
    let mut names: Vec<String> =
        series.keys().flat_map(|labels| labels.keys()).filter(|name| *name != "__name__").cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// A long table, ordered by time.
pub(crate) fn csv(series: &Series) -> String {
    let names = label_names(series);
    let mut rows: Vec<(i64, Vec<String>)> = Vec::new();
    for (labels, samples) in series {
        for (at_ms, value) in samples.iter().filter(|(_, value)| !value.is_nan()) {
            let mut row = vec![at_ms.to_string(), labels["__name__"].clone(), number(*value)];
            row.extend(names.iter().map(|name| labels.get(name).cloned().unwrap_or_default()));
            rows.push((*at_ms, row));
        }
    }
    rows.sort_by_key(|(at_ms, _)| *at_ms);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = ["timestamp", "metric", "value"].map(str::to_owned);
    writer.write_record(header.iter().chain(&names)).unwrap();
    for (_, row) in rows {
        writer.write_record(row).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}
