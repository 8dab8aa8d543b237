//! Label matchers, as in PromQL's selectors.

use std::fmt;

use regex::Regex;

use super::TsdbError;
use super::labels::{Labels, METRIC_NAME, Quoted};

/// A condition on one label. A label that a series lacks counts as empty.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    NotEqual(String),
    Regex(Pattern),
    NotRegex(Pattern),
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    anchored: Regex,
}

impl Matcher {
    /// `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), test: Test::Equal(value.into()) }
    }

    /// `name!="value"`.
    pub fn not_equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), test: Test::NotEqual(value.into()) }
    }

    /// `name=~"pattern"`: the whole value must match, as in Prometheus.
    ///
    /// # Errors
    ///
    /// [`TsdbError::Matcher`] if the pattern does not compile.
    pub fn regex(name: impl Into<String>, pattern: &str) -> Result<Self, TsdbError> {
        let name = name.into();
        let compiled = compile(&name, "=~", pattern)?;
        Ok(Self { name, test: Test::Regex(compiled) })
    }

    /// `name!~"pattern"`: the whole value must not match.
    ///
    /// # Errors
    ///
    /// [`TsdbError::Matcher`] if the pattern does not compile.
    pub fn not_regex(name: impl Into<String>, pattern: &str) -> Result<Self, TsdbError> {
        let name = name.into();
        let compiled = compile(&name, "!~", pattern)?;
        Ok(Self { name, test: Test::NotRegex(compiled) })
    }

    /// The matchers of an instant selector: `metric{a="b",c=~"d.*"}`, `metric`
    /// or `{…}`; quotes may be `"`, `'` or `` ` ``.
    ///
    /// # Errors
    ///
    /// [`TsdbError::Matcher`] if the text is not a selector.
    pub fn parse_selector(text: &str) -> Result<Vec<Self>, TsdbError> {
        super::selector::parse(text)
    }

    /// The label it looks at.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// PromQL's operator and the value or pattern that stands after it.
    pub fn condition(&self) -> (&'static str, &str) {
        match &self.test {
            Test::Equal(value) => ("=", value),
            Test::NotEqual(value) => ("!=", value),
            Test::Regex(pattern) => ("=~", &pattern.text),
            Test::NotRegex(pattern) => ("!~", &pattern.text),
        }
    }

    /// True if a label with this value is selected.
    pub fn matches(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(unwanted) => value != unwanted,
            Test::Regex(pattern) => pattern.anchored.is_match(value),
            Test::NotRegex(pattern) => !pattern.anchored.is_match(value),
        }
    }

    /// True if series without the label are selected too.
    pub fn matches_absent(&self) -> bool {
        self.matches("")
    }

    /// True if a series with these labels is selected by this matcher.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or_default())
    }
}

fn compile(name: &str, operator: &str, pattern: &str) -> Result<Pattern, TsdbError> {
    let anchored = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| TsdbError::Matcher {
        matcher: format!("{name}{operator}{}", Quoted(pattern)),
        reason: error.to_string(),
    })?;
    Ok(Pattern { text: pattern.to_owned(), anchored })
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operator, value) = self.condition();
        if is_plain_label(&self.name) {
            write!(f, "{}{operator}{}", self.name, Quoted(value))
        } else {
            write!(f, "{}{operator}{}", Quoted(&self.name), Quoted(value))
        }
    }
}

/// True for names that PromQL takes without quotes.
pub(crate) fn is_plain_label(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// A matcher for the metric's name.
pub(crate) fn metric(name: &str) -> Matcher {
    Matcher::equal(METRIC_NAME, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored() {
        let matcher = Matcher::regex("mode", "idle|sys.*").unwrap();
        assert!(matcher.matches("idle") && matcher.matches("system"));
        assert!(!matcher.matches("idle2") && !matcher.matches("xsys"));
        assert!(!matcher.matches_absent());
        assert!(Matcher::not_regex("mode", "idle").unwrap().matches_absent());
        assert!(Matcher::regex("mode", "").unwrap().matches_absent());
        assert!(Matcher::equal("mode", "").matches_absent());
        assert!(Matcher::not_equal("mode", "x").matches_labels(&Labels::default()));
    }

    #[test]
    fn printed_as_in_promql() {
        assert_eq!(Matcher::equal("a", "x\"\\\n").to_string(), r#"a="x\"\\\n""#);
        assert_eq!(Matcher::not_regex("a.b", "c").unwrap().to_string(), r#""a.b"!~"c""#);
        let refused = Matcher::regex("a", "(").unwrap_err().to_string();
        assert!(refused.starts_with("invalid matcher `a=~\"(\"`"), "{refused}");
    }
}
