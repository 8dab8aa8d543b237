//! A line with one sample: `name{label="value"} value timestamp`, as the text
//! formats of Prometheus share it.
//!
//! Sources: "Exposition formats" of Prometheus' documentation, the OpenMetrics
//! 1.0 text format, and promtool, which prints labels as Go quotes texts.

use std::borrow::Cow;
use std::sync::Arc;

use crate::tsdb::{Labels, METRIC_NAME, MOST_LABELS};

/// A line, cut at its blanks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SampleLine<'a> {
    /// Name and labels.
    pub(super) series: &'a [u8],
    /// The value; `None` for a native histogram.
    pub(super) value: Option<&'a [u8]>,
    /// The timestamp, if there is one.
    pub(super) time: Option<&'a [u8]>,
}

/// Cuts a line. `before` is the series of the line before, which most often is
/// the same and need not be looked through again.
pub(super) fn cut<'a>(line: &'a [u8], before: &[u8]) -> Result<SampleLine<'a>, &'static str> {
    let known = before.len();
    let same = known > 0 && line.starts_with(before) && line.get(known).is_some_and(|next| is_blank(*next));
    let end = if same { known } else { series_end(line)? };
    let (series, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
    if rest.trim_ascii_start().starts_with(b"{") {
        return Ok(SampleLine { series, value: None, time: None });
    }
    let mut words = rest.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty());
    let value = words.next().ok_or("no value follows the series")?;
    let mut next = words.next();
    let is_exemplar = |word: &&[u8]| *word == b"#";
    let time = next.filter(|word| !is_exemplar(word));
    if time.is_some() {
        next = words.next();
    }
    // An exemplar belongs to no series.
    if next.is_some_and(|word| !is_exemplar(&word)) {
        return Err("more follows than a value and a timestamp");
    }
    Ok(SampleLine { series, value: Some(value), time })
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Where name and labels end.
fn series_end(line: &[u8]) -> Result<usize, &'static str> {
    let (mut in_braces, mut in_text, mut escaped, mut labels_follow) = (false, false, false, false);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if in_text => {
                in_text = escaped || *byte != b'"';
                escaped = !escaped && *byte == b'\\';
            }
            b'"' if in_braces => in_text = true,
            b'{' if !in_braces => in_braces = true,
            b'}' if in_braces => return Ok(at + 1),
            // Between a name and its labels there may be blanks.
            byte if is_blank(*byte) && !in_braces && !labels_follow && at > 0 => {
                let rest = line.get(at..).unwrap_or_default();
                let skipped = rest.len() - rest.trim_ascii_start().len();
                let opens = rest.get(skipped) == Some(&b'{');
                // A native histogram looks the same; only labels have `=` or are empty.
                if !(opens && holds_labels(rest.get(skipped..).unwrap_or_default())) {
                    return Ok(at);
                }
                labels_follow = true;
            }
            _ => {}
        }
    }
    Err(if in_text {
        "a text in quotes does not end"
    } else if in_braces {
        "the labels do not end"
    } else {
        "no value follows the series"
    })
}

/// True if what begins with a brace are labels and not a histogram, `{count:6, …}`.
fn holds_labels(text: &[u8]) -> bool {
    let inner = text.get(1..).unwrap_or_default().trim_ascii_start();
    let name = inner.iter().take_while(|byte| is_name(**byte)).count();
    let after = inner.get(name..).unwrap_or_default().trim_ascii_start();
    inner.starts_with(b"}") || inner.starts_with(b"\"") || name > 0 && after.starts_with(b"=")
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.') || byte >= 0x80
}

/// The labels of a series, the metric's name among them.
pub(super) fn labels(series: &[u8]) -> Result<Labels, String> {
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let series = series.trim_ascii();
    let open = series.iter().position(|byte| matches!(byte, b'{' | b'"')).unwrap_or(series.len());
    let (name, inner) = series.split_at_checked(open).unwrap_or((series, &[]));
    let name = name.trim_ascii_end();
    if !name.iter().all(|byte| is_name(*byte)) || name.first().is_some_and(u8::is_ascii_digit) {
        return Err(format!("`{}` is not the name of a metric", name.escape_ascii()));
    }
    if !name.is_empty() {
        pairs.push((METRIC_NAME.into(), text(name)));
    }
    if inner.is_empty() {
        return if name.is_empty() { Err("there is no name".to_owned()) } else { Ok(Labels::new(pairs)) };
    }
    let inner = inner.strip_prefix(b"{").and_then(|inner| inner.strip_suffix(b"}"));
    let mut rest = inner.ok_or("the labels do not end")?.trim_ascii_start();
    while !rest.is_empty() {
        let (key, quoted) = if rest.starts_with(b"\"") {
            let (key, after) = quoted(rest)?;
            rest = after.trim_ascii_start();
            (key, true)
        } else {
            let length = rest.iter().take_while(|byte| is_name(**byte)).count();
            let (key, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = after.trim_ascii_start();
            (text(key), false)
        };
        if let Some(after) = rest.strip_prefix(b"=") {
            if key.is_empty() {
                return Err("a label has no name".to_owned());
            }
            let (value, after) = self::quoted(after.trim_ascii_start())?;
            rest = after.trim_ascii_start();
            if pairs.len() >= MOST_LABELS {
                return Err(format!("a series of more than {MOST_LABELS} labels"));
            }
            pairs.push((key, value));
        } else if quoted && !pairs.iter().any(|(name, _)| &**name == METRIC_NAME) {
            // A name that is no word stands in quotes among the labels.
            pairs.push((METRIC_NAME.into(), key));
        } else {
            return Err(format!("`=` is missing after `{key}`"));
        }
        match rest.strip_prefix(b",") {
            Some(after) => rest = after.trim_ascii_start(),
            None if rest.is_empty() => {}
            None => return Err(format!("a comma is missing before `{}`", shown(rest))),
        }
    }
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    let mut neighbours = names.iter().zip(names.iter().skip(1));
    if let Some((twice, _)) = neighbours.find(|(one, next)| one == next) {
        return Err(format!("the label `{twice}` stands there twice"));
    }
    Ok(Labels::new(pairs))
}

fn text(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}

/// The text in quotes at the start of `from`, and what comes after it.
fn quoted(from: &[u8]) -> Result<(Arc<str>, &[u8]), String> {
    let body = from.strip_prefix(b"\"").ok_or("a label's value is not in quotes")?;
    let mut escaped = false;
    let end = body.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let (inside, after) =
        end.and_then(|end| body.split_at_checked(end)).ok_or("a text in quotes does not end")?;
    Ok((text(&unescaped(inside)), after.get(1..).unwrap_or_default()))
}

/// Replaces the escapes of Go's quoted texts, of which those of the exposition
/// format are some. What is none of them stays as it is.
fn unescaped(body: &[u8]) -> Cow<'_, [u8]> {
    if !body.contains(&b'\\') {
        return Cow::Borrowed(body);
    }
    let mut plain = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            plain.push(*byte);
            continue;
        }
        let Some((letter, after)) = rest.split_first() else {
            plain.push(b'\\');
            break;
        };
        let simple = match letter {
            b'n' => Some(b'\n'),
            b't' => Some(b'\t'),
            b'r' => Some(b'\r'),
            b'a' => Some(7),
            b'b' => Some(8),
            b'f' => Some(12),
            b'v' => Some(11),
            b'"' | b'\\' | b'\'' => Some(*letter),
            _ => None,
        };
        if let Some(simple) = simple {
            plain.push(simple);
            rest = after;
            continue;
        }
        let number = |digits: &[u8], radix| {
            std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, radix).ok())
        };
        let (digits, radix, is_byte) = match letter {
            b'x' => (after.get(..2), 16, true),
            b'u' => (after.get(..4), 16, false),
            b'U' => (after.get(..8), 16, false),
            b'0'..=b'7' => (rest.get(..3), 8, true),
            _ => (None, 10, false),
        };
        let code = digits.and_then(|digits| number(digits, radix));
        let length = digits.map_or(0, <[u8]>::len);
        match code {
            Some(code) if is_byte && let Ok(code) = u8::try_from(code) => plain.push(code),
            Some(code) if !is_byte && let Some(character) = char::from_u32(code) => {
                plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => {
                plain.push(b'\\');
                continue;
            }
        }
        let digits_from = if radix == 8 { rest } else { after };
        rest = digits_from.get(length..).unwrap_or_default();
    }
    Cow::Owned(plain)
}

/// A value as Go prints it. NaN is `None`.
pub(super) fn value(word: &[u8]) -> Result<Option<f64>, String> {
    let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok());
    match number {
        Some(number) if number.is_nan() => Ok(None),
        Some(number) => Ok(Some(number)),
        None => Err(format!("`{}` is not a value", shown(word))),
    }
}

/// A timestamp in whole milliseconds.
pub(super) fn milliseconds(word: &[u8]) -> Result<i64, String> {
    let number = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
    number.ok_or_else(|| format!("`{}` is not a timestamp in milliseconds", shown(word)))
}

/// A timestamp in seconds, to the millisecond.
pub(super) fn seconds(word: &[u8]) -> Result<i64, String> {
    let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok());
    // 2^53 ms: beyond it a float has no milliseconds.
    match number.map(|seconds| (seconds * 1000.0).round()) {
        Some(at_ms) if at_ms.abs() <= 9_007_199_254_740_992.0 => Ok(at_ms as i64),
        _ => Err(format!("`{}` is not a timestamp in seconds", shown(word))),
    }
}

/// A word as it can be printed.
pub(super) fn shown(word: &[u8]) -> String {
    let start = word.get(..40).unwrap_or(word);
    format!("{}{}", start.escape_ascii(), if start.len() < word.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> (String, Option<Vec<u8>>, Option<Vec<u8>>) {
        let line = cut(line.as_bytes(), b"").unwrap();
        (
            labels(line.series).unwrap().to_string(),
            line.value.map(<[u8]>::to_vec),
            line.time.map(<[u8]>::to_vec),
        )
    }

    #[test]
    fn the_forms_of_a_line() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        // promtool 2.42.
        assert_eq!(
            read(r#"{__name__="node_cpu_seconds_total", cpu="0", mode="idle"} 1.23e+07 1715758819769"#),
            (
                r#"node_cpu_seconds_total{cpu="0", mode="idle"}"#.to_owned(),
                some("1.23e+07"),
                some("1715758819769")
            )
        );
        // A scrape.
        assert_eq!(read("up 1"), ("up".to_owned(), some("1"), None));
        assert_eq!(read("up {a=\"b\"}\t1 "), (r#"up{a="b"}"#.to_owned(), some("1"), None));
        assert_eq!(read("up{} 1 2"), ("up".to_owned(), some("1"), some("2")));
        assert_eq!(read(r#"up{ a = "b" , } +Inf"#), (r#"up{a="b"}"#.to_owned(), some("+Inf"), None));
        // OpenMetrics, with an exemplar and without a timestamp before it.
        assert_eq!(
            read(r#"h_bucket{le="1"} 17 1520879607.789 # {trace_id="a b"} 0.67 1520879606.5"#),
            (r#"h_bucket{le="1"}"#.to_owned(), some("17"), some("1520879607.789"))
        );
        assert_eq!(read(r#"h 17 # {trace_id="a b"} 0.67"#), ("h".to_owned(), some("17"), None));
        // Names that are no words, from Prometheus 3.
        assert_eq!(
            read(r#"{"node.power","host.name"="a"} 1 2"#).0,
            Labels::new([(METRIC_NAME, "node.power"), ("host.name", "a")]).to_string()
        );
        // Native histograms, as promtool 3 prints them.
        let line = cut(br#"{__name__="h"} {count:6, sum:12.5, [0.6,0.7]:1} 1715758819769"#, b"").unwrap();
        assert_eq!(line, SampleLine { series: br#"{__name__="h"}"#, value: None, time: None });
        assert_eq!(cut(b"h {count:6, sum:12.5} 1.5", b"").unwrap().value, None);
    }

    #[test]
    fn a_series_seen_before_is_cut_in_the_same_place() {
        for line in ["up{a=\"b\"} 1 2", "up 1 2", "up_more 1", "up{a=\"b\"}1"] {
            for before in ["", "up", "up{a=\"b\"}", "other"] {
                assert_eq!(
                    cut(line.as_bytes(), before.as_bytes()),
                    cut(line.as_bytes(), b""),
                    "{line}, {before}"
                );
            }
        }
    }

    /// As Go's `strconv.Quote` writes, checked against its documentation.
    #[test]
    fn escapes() {
        let series = br#"{__name__="m", a="q\" b\\ n\n t\t \x1b \u200b \U0001f600 \xc3\xa9 \101 \q"}"#;
        let labels = labels(series).unwrap();
        assert_eq!(labels.get("a"), Some("q\" b\\ n\n t\t \u{1b} \u{200b} \u{1f600} \u{e9} A \\q"));
    }

    #[test]
    fn lines_that_are_none() {
        for line in ["up", "up{a=\"b\" 1", "up{a=\"b} 1", "{a=\"b\"}", "up 1 2 3"] {
            assert!(cut(line.as_bytes(), b"").is_err(), "{line}");
        }
        for series in [
            "",
            "{",
            "{a}",
            "{a=b}",
            "{a=\"b\" c=\"d\"}",
            "{a=\"b\",a=\"c\"}",
            "1up",
            "a-b",
            "{=\"x\"}",
            "{\"a\",\"b\"}",
        ] {
            assert!(labels(series.as_bytes()).is_err(), "{series}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(value(b"NaN").unwrap(), None);
        assert_eq!(value(b"-Inf").unwrap(), Some(f64::NEG_INFINITY));
        assert_eq!(value(b"-0").unwrap().map(f64::to_bits), Some(1 << 63));
        assert!(value(b"1.5W").is_err());
        assert_eq!(milliseconds(b"-5"), Ok(-5));
        assert!(milliseconds(b"1.5").is_err());
        assert_eq!(seconds(b"1795440922.554"), Ok(1_795_440_922_554));
        assert_eq!(seconds(b"1.7e9"), Ok(1_700_000_000_000));
        assert!(seconds(b"1e300").is_err());
        assert!(seconds(b"NaN").is_err());
    }

    proptest! {
        /// What is printed as PromQL is read back the same.
        #[test]
        fn labels_survive(pairs in prop::collection::btree_map("[a-z_]{1,8}", "\\PC{0,12}|[\\x00-\\x7f]{0,8}", 1..5)) {
            let written = Labels::new(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([(METRIC_NAME, "m")]));
            let line = format!("{written} 1.5 7");
            let cut = cut(line.as_bytes(), b"").unwrap();
            prop_assert_eq!(labels(cut.series).unwrap(), written);
            prop_assert_eq!(cut.value, Some(&b"1.5"[..]));
            prop_assert_eq!(cut.time, Some(&b"7"[..]));
        }

        #[test]
        fn no_bytes_panic(line in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}\"\\=, #ax0u".to_vec())], 0..80)) {
            if let Ok(cut) = cut(&line, b"") {
                let _ = labels(cut.series);
            }
        }
    }
}
