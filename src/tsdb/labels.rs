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
    pairs: Box<[(Arc<str>, Arc<str>)]>,
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
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
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
    }
}
