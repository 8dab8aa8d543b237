//! OpenMetrics text with time stamps, as `promtool tsdb create-blocks-from openmetrics` reads it.

use std::io::{Result, Write};

use super::series::{ExportSeries, UNITS, WHOSE};
use crate::tsdb::METRIC_NAME;

/// Writes all series; those of one metric stand together.
pub(super) fn write(all: &[ExportSeries], out: &mut dyn Write) -> Result<()> {
    for (whose, what) in WHOSE {
        for (unit, word, of_what) in UNITS {
            let family = format!("{whose}_{unit}");
            let name = format!("{family}_total");
            let mut members = all.iter().filter(|one| one.labels.metric() == name).peekable();
            if members.peek().is_none() {
                continue;
            }
            writeln!(out, "# TYPE {family} counter")?;
            writeln!(out, "# UNIT {family} {word}")?;
            writeln!(out, "# HELP {family} {of_what} {what}")?;
            for one in members {
                let labels = labels(one);
                for (at_ms, value) in one.samples.timestamps_ms.iter().zip(&one.samples.values) {
                    writeln!(
                        out,
                        "{name}{labels} {value} {}.{:03}",
                        at_ms.div_euclid(1000),
                        at_ms.rem_euclid(1000)
                    )?;
                }
            }
        }
    }
    writeln!(out, "# EOF")
}

fn labels(one: &ExportSeries) -> String {
    let pairs: Vec<String> = one
        .labels
        .iter()
        .filter(|(name, _)| *name != METRIC_NAME)
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsdb::{Labels, Samples};

    #[test]
    fn a_family_has_its_type_unit_and_escaped_labels() {
        let labels = [(METRIC_NAME, "wattledger_user_energy_joules_total"), ("user", "a\"b\\c\nd")];
        let samples = Samples { timestamps_ms: vec![1500, 60_000], values: vec![0.0, 2.5] };
        let mut text = Vec::new();
        write(&[ExportSeries { labels: Labels::new(labels), samples }], &mut text).unwrap();
        let expected = "# TYPE wattledger_user_energy_joules counter
# UNIT wattledger_user_energy_joules joules
# HELP wattledger_user_energy_joules IT energy of the runs of each user
wattledger_user_energy_joules_total{user=\"a\\\"b\\\\c\\nd\"} 0 1.500
wattledger_user_energy_joules_total{user=\"a\\\"b\\\\c\\nd\"} 2.5 60.000
# EOF
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
