//! Label sets: what identifies a series.

use std::fmt;
use std::sync::Arc;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// A label set, sorted by label name; the metric's name is a label like others.
///
/// Ordered as Prometheus orders series: by the pairs, byte by byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels {
    /// Shared: a clone costs no allocation.
    pairs: Arc<[(Arc<str>, Arc<str>)]>,
}

impl Labels {
    /// A label set of `pairs` in any order. Of a name given twice the last stays;
    /// an empty value means that the label is absent, as in Prometheus.
    pub fn new<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Arc<str>>,
        V: Into<Arc<str>>,
    {
        let sorted: std::collections::BTreeMap<Arc<str>, Arc<str>> =
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { pairs: sorted.into_iter().filter(|(_, value)| !value.is_empty()).collect() }
    }

    /// A label set of pairs that are likely in order already, as they are in an index.
    pub(crate) fn from_ordered(pairs: Vec<(Arc<str>, Arc<str>)>) -> Self {
        let ordered = pairs.is_sorted_by(|(left, _), (right, _)| left < right);
        if ordered && pairs.iter().all(|(_, value)| !value.is_empty()) {
            return Self { pairs: pairs.into() };
        }
        Self::new(pairs)
    }

    /// This label set with the labels of `others` added; theirs replace labels
    /// of the same name.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        if others.is_empty() {
            return self.clone();
        }
        Self::new(self.pairs.iter().chain(others.pairs.iter()).cloned())
    }

    /// The value of label `name`, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.binary_search_by(|(candidate, _)| candidate.as_ref().cmp(name)).ok()?;
        self.pairs.get(found).map(|(_, value)| value.as_ref())
    }

    /// The metric's name, empty if the series has none.
    pub fn metric(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or_default()
    }

    /// The pairs in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True for the set of no labels.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

/// As in PromQL: `metric{name="value", …}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric())?;
        let mut others = self.iter().filter(|(name, _)| *name != METRIC_NAME).peekable();
        if others.peek().is_none() && !self.metric().is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        for (nth, (name, value)) in others.enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={}", Quoted(value))?;
        }
        f.write_str("}")
    }
}

/// A text in double quotes, escaped as PromQL reads it back.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
                other => write!(f, "{other}")?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_looked_up_and_printed_as_in_promql() {
        let labels =
            Labels::new([("job", "node"), ("__name__", "up"), ("empty", ""), ("instance", "a\"b:9100")]);
        assert_eq!(labels.get("job"), Some("node"));
        assert_eq!(labels.get("empty"), None);
        assert_eq!(labels.to_string(), r#"up{instance="a\"b:9100", job="node"}"#);
        assert_eq!(Labels::new([("__name__", "up")]).to_string(), "up");
        assert_eq!(Labels::default().to_string(), "{}");
        let odd = Labels::new([("a", "\u{1}é\\\n")]);
        assert_eq!(odd.to_string(), r#"{a="\u0001é\\\n"}"#);
    }

    #[test]
    fn added_labels_replace_their_namesakes() {
        let labels = Labels::new([("a", "1"), ("b", "2")]).with(&Labels::new([("b", "3"), ("c", "4")]));
        assert_eq!(labels, Labels::new([("a", "1"), ("b", "3"), ("c", "4")]));
    }
}
