//! Job logs in JSON: one entry at a time, so that a file of gigabytes takes the memory of one job.

use std::fmt;
use std::io::BufRead;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::metered::Metered;

/// What is wrong with a text that should be JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not JSON: {reason}")]
pub(super) struct BadJson {
    /// Line of the file, counted from 1.
    pub(super) line: u64,
    /// The parser's own words.
    pub(super) reason: String,
}

/// Gives every entry of the list that stands under one of `lists`, or at the top, to `take`, with its number
/// counted from 1. A text that is one object without such a list is one entry. Several texts may follow each
/// other, as `cat` leaves them.
pub(super) fn each_entry(
    reader: impl BufRead,
    lists: &'static [&'static str],
    mut take: impl FnMut(u64, Value),
) -> Result<(), BadJson> {
    let mut number = 0_u64;
    let (reader, budget) = Metered::new(reader);
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    loop {
        let mut each = |value| {
            budget.renew();
            number = number.saturating_add(1);
            take(number, value);
        };
        // `end` looks past white space, and fails where another text begins.
        if deserializer.end().is_ok() {
            return Ok(());
        }
        Top { lists, take: &mut each }.deserialize(&mut deserializer).map_err(|error| BadJson {
            line: u64::try_from(error.line()).unwrap_or(u64::MAX),
            reason: error.to_string(),
        })?;
    }
}

struct Top<'a> {
    lists: &'static [&'static str],
    take: &'a mut dyn FnMut(Value),
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element::<Value>()? {
            (self.take)(value);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut whole = Map::new();
        let mut has_list = false;
        while let Some(key) = object.next_key::<String>()? {
            if self.lists.contains(&key.as_str()) {
                has_list = true;
                object.next_value_seed(Top { lists: &[], take: &mut *self.take })?;
            } else if has_list {
                object.next_value::<IgnoredAny>()?;
            } else {
                whole.insert(key, object.next_value()?);
            }
        }
        if !has_list {
            (self.take)(Value::Object(whole));
        }
        Ok(())
    }
}

/// What stands under a path of keys; `Null` if nothing does.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, key| value.get(key).unwrap_or(&Value::Null))
}

/// The text under a path; empty if there is none.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// The number under a path: plain, as a text, or as Slurm writes it since 23.02,
/// `{"set": true, "infinite": false, "number": 4}`.
pub(super) fn number(value: &Value, path: &[&str]) -> Option<f64> {
    let found = at(value, path);
    match found {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => super::tres::plain_number(text),
        Value::Object(optional) => {
            let is = |key| optional.get(key).and_then(Value::as_bool);
            let usable = is("set") != Some(false) && is("infinite") != Some(true);
            optional.get("number").filter(|_| usable)?.as_f64()
        }
        _ => None,
    }
}

/// The same as a whole number.
pub(super) fn integer(value: &Value, path: &[&str]) -> Option<i64> {
    let number = number(value, path)?;
    // Within 2^53 every whole number is exact.
    (number.abs() < 9.007_199_254_740_992e15).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> (Vec<Value>, Option<u64>) {
        let mut found = Vec::new();
        let outcome = each_entry(text.as_bytes(), &["jobs"], |_, value| found.push(value));
        (found, outcome.err().map(|error| error.line))
    }

    #[test]
    fn lists_under_a_key_at_the_top_and_single_objects() {
        let one = || serde_json::json!({"a": 1});
        assert_eq!(entries(r#"{"meta": {}, "jobs": [{"a": 1}, {"a": 1}], "errors": []}"#).0, [one(), one()]);
        assert_eq!(entries(r#"[{"a": 1}]"#).0, [one()]);
        assert_eq!(entries(r#"{"a": 1}"#).0, [one()]);
        assert_eq!(entries("{\"jobs\": [{\"a\": 1}]}\n{\"jobs\": [{\"a\": 1}]}\n").0.len(), 2);
        assert!(entries("").0.is_empty());
    }

    #[test]
    fn what_stands_before_a_break_is_kept() {
        let (found, line) = entries("{\"jobs\": [{\"a\": 1},\n{\"a\": ");
        assert_eq!((found.len(), line), (1, Some(2)));
        let deep = format!("{{\"jobs\": [{}", "[".repeat(100_000));
        assert!(entries(&deep).1.is_some());
    }

    #[test]
    fn numbers_in_every_form() {
        let value = serde_json::json!({
            "plain": 4, "text": "4", "set": {"set": true, "infinite": false, "number": 4},
            "unset": {"set": false, "infinite": false, "number": 0},
            "infinite": {"set": true, "infinite": true, "number": 0},
        });
        for key in ["plain", "text", "set"] {
            assert_eq!(integer(&value, &[key]), Some(4), "{key}");
        }
        for key in ["unset", "infinite", "missing"] {
            assert_eq!(integer(&value, &[key]), None, "{key}");
        }
    }
}
