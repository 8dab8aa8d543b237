//! Tells a format by the first bytes of its content.

use super::format::Format;
use super::sample_line::{cut, labels, shown};
use super::table::{self, Columns};

/// Whole numbers below this are seconds, not milliseconds: in seconds it is
/// the year 5138, in milliseconds 1973.
pub(super) const LEAST_MILLISECONDS: f64 = 1e11;

/// What `head` is the start of, or what it looks like instead. `is_whole`: there is no more.
pub(super) fn recognise(head: &[u8], is_whole: bool, columns: &Columns) -> Result<Format, String> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = text.trim_ascii_start();
    if start.is_empty() {
        return Err("it is empty".to_owned());
    }
    if head.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16 text; save it as UTF-8".to_owned());
    }
    if is_binary(head) {
        let is_answer = is_stream(head) || is_packed_message(head);
        return if is_answer { Ok(Format::RemoteRead) } else { Err("it is binary".to_owned()) };
    }
    if start.starts_with(b"[") || start.starts_with(b"{") && is_json(start) {
        return json(start);
    }
    if start.starts_with(b"<") {
        return Err("it is a page of HTML or XML".to_owned());
    }
    text_lines(text, is_whole, columns)
}

/// True if a saved answer of remote read is a stream of frames, not one message.
pub(super) fn is_stream(head: &[u8]) -> bool {
    // A frame: its length, a checksum, and a message whose first field is a series.
    let mut length = 0_u64;
    let mut prefix = 0;
    for (nth, byte) in head.iter().take(9).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * nth);
        prefix = nth + 1;
        if *byte < 0x80 {
            break;
        }
    }
    let after = head.get(prefix..).unwrap_or_default();
    let Some((checksum, message)) = after.split_first_chunk::<4>() else { return false };
    match usize::try_from(length).ok().and_then(|length| message.get(..length)) {
        Some(message) => length > 0 && crc32c::crc32c(message) == u32::from_be_bytes(*checksum),
        // Longer than what is looked at.
        None => message.starts_with(b"\x0a") && !is_packed_message(head),
    }
}

/// True if snappy packed a message whose first field is a message: it begins
/// with its length, then a literal, whose length is in its tag or behind it.
fn is_packed_message(head: &[u8]) -> bool {
    let Ok(length) = snap::raw::decompress_len(head) else { return false };
    let prefix = head.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let Some((tag, rest)) = head.get(prefix..).and_then(<[u8]>::split_first) else { return false };
    let behind = usize::from((tag >> 2).saturating_sub(59));
    let literal = rest.get(..behind).unwrap_or_default();
    let stated = literal.iter().rev().fold(0, |all, byte| (all << 8) | usize::from(*byte));
    let stated = if behind == 0 { usize::from(tag >> 2) } else { stated };
    tag & 3 == 0 && stated < length && rest.get(behind) == Some(&b'\x0a')
}

fn is_binary(head: &[u8]) -> bool {
    head.get(..1024).unwrap_or(head).iter().any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31))
}

/// True if a brace opens a JSON object, not the labels of a series.
fn is_json(start: &[u8]) -> bool {
    let inner = start.get(1..).unwrap_or_default().trim_ascii_start();
    if inner.starts_with(b"}") {
        return true;
    }
    let Some(key) = inner.strip_prefix(b"\"") else { return false };
    let after = key.iter().position(|byte| *byte == b'"').and_then(|end| key.get(end + 1..));
    after.is_some_and(|after| after.trim_ascii_start().starts_with(b":"))
}

fn json(start: &[u8]) -> Result<Format, String> {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |text: &[u8], key: &str| {
        let key = format!("\"{key}\"");
        text.windows(key.len()).any(|word| word == key.as_bytes())
    };
    // VictoriaMetrics begins each line with it; `timestamps` may lie beyond what is looked at.
    let inner = start.get(1..).unwrap_or_default().trim_ascii_start();
    if start.starts_with(b"{") && inner.starts_with(b"\"metric\"") && has(line, "values") {
        return Ok(Format::VmExport);
    }
    if start.starts_with(b"[") || has(start, "status") || has(start, "resultType") {
        return Ok(Format::ApiJson);
    }
    Err("it is JSON, but neither an answer of Prometheus' HTTP API nor VictoriaMetrics' export".to_owned())
}

fn text_lines(text: &[u8], is_whole: bool, columns: &Columns) -> Result<Format, String> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if !is_whole && lines.len() > 1 {
        // Cut off by the looking.
        lines.pop();
    }
    let mut is_open_metrics = false;
    let mut has_comments = false;
    for line in lines.iter().map(|line| line.trim_ascii()).filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix(b"#") {
            let mut words = comment.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            match words.next() {
                Some(b"EOF" | b"UNIT") => is_open_metrics = true,
                // Types that only OpenMetrics has.
                Some(b"TYPE") => {
                    has_comments = true;
                    let kind = words.nth(1);
                    is_open_metrics |= kind.is_some_and(|kind| {
                        matches!(kind, b"unknown" | b"info" | b"stateset" | b"gaugehistogram")
                    });
                }
                Some(b"HELP") => has_comments = true,
                _ => {}
            }
            continue;
        }
        if line.starts_with(b"{__name__=") {
            return Ok(Format::Promtool);
        }
        if let Some(format) = table::recognise(line, columns) {
            return Ok(format);
        }
        let sample = cut(line, b"").ok().filter(|sample| labels(sample.series).is_ok());
        let number = |word: &[u8]| std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok());
        let Some(sample) = sample.filter(|sample| sample.value.is_none_or(|value| number(value).is_some()))
        else {
            return Err(format!("its first line is `{}`", shown(line)));
        };
        let time = sample.time.and_then(number);
        if is_open_metrics || time.is_some_and(|time| time.abs() < LEAST_MILLISECONDS) {
            return Ok(Format::OpenMetrics);
        }
        if line.starts_with(b"{") && time.is_some() && !has_comments {
            return Ok(Format::Promtool);
        }
        return Ok(Format::Exposition);
    }
    if is_open_metrics {
        return Ok(Format::OpenMetrics);
    }
    if has_comments {
        return Ok(Format::Exposition);
    }
    Err("it holds comments only".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_content() {
        let all = |text: &str| recognise(text.as_bytes(), true, &Columns::default());
        let cases = [
            (r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#, Format::ApiJson),
            ("\u{feff} {\n  \"status\": \"error\"", Format::ApiJson),
            (r#"[{"metric":{"__name__":"up"},"values":[[1,"1"]]}]"#, Format::ApiJson),
            (r#"{"metric":{"__name__":"up"},"values":[1],"timestamps":[1]}"#, Format::VmExport),
            (r#"{"metric":{"status":"200"},"values":[1],"timestamps":[1]}"#, Format::VmExport),
            (r#"{"status":"success","data":{"result":[{"metric":{},"values":["#, Format::ApiJson),
            (r#"{__name__="up", a="b"} 1 1715758819769"#, Format::Promtool),
            (r#"{"node.power", a="b"} 1 1715758819769"#, Format::Promtool),
            ("up{a=\"b\"} 1 1715758819.769\n# EOF\n", Format::OpenMetrics),
            ("up{a=\"b\"} 1 1715758819", Format::OpenMetrics),
            ("# TYPE up unknown\nup 1", Format::OpenMetrics),
            ("# TYPE up gauge\n# UNIT up s\nup 1", Format::OpenMetrics),
            ("# EOF\n", Format::OpenMetrics),
            ("# HELP up x\n# TYPE up untyped\nup 1 1715758819769", Format::Exposition),
            ("# a comment\n\nup 1", Format::Exposition),
            ("h {count:6} 1715758819769", Format::Exposition),
            ("time,CPU_usage,GPU_usage,RAM_usage\n", Format::Jtop),
            ("timestamp,metric,value,host\n", Format::Csv),
        ];
        for (text, format) in cases {
            assert_eq!(all(text), Ok(format), "{text}");
        }
        for (text, reason) in [
            ("", "it is empty"),
            (" \n\t", "it is empty"),
            ("{}", "it is JSON, but neither"),
            (r#"{"a":1}"#, "it is JSON, but neither"),
            ("<html>", "it is a page of HTML or XML"),
            ("Dear all,\nhere are the numbers", "its first line is `Dear all,`"),
            ("# just talk", "it holds comments only"),
            ("a\0b", "it is binary"),
        ] {
            let found = all(text).unwrap_err();
            assert!(found.starts_with(reason), "{text}: {found}");
        }
    }
}
