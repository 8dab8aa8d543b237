//! Which series one request asks for.

use std::fmt;

use crate::tsdb::{METRIC_NAME, Matcher, TsdbError};

/// What is printed of a long list of metrics.
const SHOWN_METRICS: usize = 2;

/// The matchers of one request.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    matchers: Vec<Matcher>,
    /// The metrics, where it names them one by one.
    metrics: Vec<String>,
}

impl Selection {
    /// The selection of a PromQL selector.
    pub(super) fn parse(text: &str) -> Result<Self, TsdbError> {
        Ok(Self { matchers: Matcher::parse_selector(text)?, metrics: Vec::new() })
    }

    /// All series of these metrics.
    pub(super) fn metrics(metrics: Vec<String>) -> Result<Self, TsdbError> {
        let matcher = match metrics.as_slice() {
            [only] => Matcher::equal(METRIC_NAME, only),
            several => {
                let pattern =
                    several.iter().map(|metric| regex::escape(metric)).collect::<Vec<_>>().join("|");
                Matcher::regex(METRIC_NAME, &pattern)?
            }
        };
        Ok(Self { matchers: vec![matcher], metrics })
    }

    pub(super) fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// The metric, where there is only one and nothing else is asked for.
    pub(super) fn only_metric(&self) -> Option<&str> {
        match self.metrics.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The first and the second half of the metrics, where it names several.
    pub(super) fn halves(&self) -> Result<Option<[Self; 2]>, TsdbError> {
        let (first, second) = self.metrics.split_at(self.metrics.len() / 2);
        if first.is_empty() {
            return Ok(None);
        }
        Ok(Some([Self::metrics(first.to_vec())?, Self::metrics(second.to_vec())?]))
    }

    /// As PromQL takes it.
    pub(super) fn promql(&self) -> String {
        let matchers: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
        format!("{{{}}}", matchers.join(","))
    }
}

/// Short, for people.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.metrics.is_empty() {
            return f.write_str(&self.promql());
        }
        let shown: Vec<&str> = self.metrics.iter().take(SHOWN_METRICS).map(String::as_str).collect();
        f.write_str(&shown.join(", "))?;
        match self.metrics.len().saturating_sub(SHOWN_METRICS) {
            0 => Ok(()),
            more => write!(f, " and {more} more metrics"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_for_the_server_and_for_people() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let one = Selection::metrics(names(&["up"])).unwrap();
        assert_eq!((one.promql().as_str(), one.to_string().as_str()), (r#"{__name__="up"}"#, "up"));
        let three = Selection::metrics(names(&["a", "b:c", "d"])).unwrap();
        assert_eq!(three.promql(), r#"{__name__=~"a|b:c|d"}"#);
        assert_eq!(three.to_string(), "a, b:c and 1 more metrics");
        let [first, second] = three.halves().unwrap().unwrap();
        assert_eq!(
            (first.promql().as_str(), second.promql().as_str()),
            (r#"{__name__="a"}"#, r#"{__name__=~"b:c|d"}"#)
        );
        assert!(one.halves().unwrap().is_none());
        let own = Selection::parse(r#"m{a!="x\"y"}"#).unwrap();
        assert!(own.halves().unwrap().is_none());
        assert_eq!(own.promql(), r#"{__name__="m",a!="x\"y"}"#);
    }
}
