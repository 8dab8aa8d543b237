//! What the HTTP API says besides data: errors, warnings, and pages of proxies.

use serde::Deserialize;

use super::Event;
use super::client::Answer;
use super::error::RemoteError;

/// Of a text that is no JSON, no more than this is repeated.
const LONGEST_TEXT: usize = 300;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<T> {
    status: String,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    data: Option<T>,
}

/// The data of a JSON answer of `/api/v1`; warnings are passed on.
pub(super) fn data<'de, T: Deserialize<'de>>(body: &'de [u8], answer: &Answer<'_>) -> Result<T, RemoteError> {
    const EXPECTED: &str = "JSON of the Prometheus API";
    let envelope: Envelope<T> = serde_json::from_slice(body).map_err(|error| {
        if error.is_eof() && !body.is_empty() {
            return answer.cut(error);
        }
        let shown = if answer.kind.contains("json") {
            String::new()
        } else {
            format!(", it is {}", text(body, &answer.kind))
        };
        answer.form(EXPECTED, format!("{error}{shown}"))
    })?;
    for warning in envelope.warnings.unwrap_or_default() {
        answer.tell(Event::Warning(&warning));
    }
    match envelope.data {
        Some(data) if envelope.status == "success" => Ok(data),
        _ if is_too_much(422, &envelope.error) => Err(answer.too_much(envelope.error)),
        _ => Err(answer.form(
            EXPECTED,
            format!("status `{}`, {} {}", envelope.status, envelope.error_type, envelope.error).trim_end(),
        )),
    }
}

/// What the body of an error answer says, in one line.
pub(super) fn explanation(body: &[u8], kind: &str) -> String {
    match serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(body) {
        Ok(envelope) if !envelope.error_type.is_empty() => {
            format!("{}: {}", envelope.error_type, envelope.error)
        }
        Ok(envelope) => envelope.error,
        Err(_) => text(body, kind),
    }
}

/// A text or a page in one line, shortened.
fn text(body: &[u8], kind: &str) -> String {
    let text = String::from_utf8_lossy(body);
    if kind.contains("html") {
        let title = text.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
        return title
            .map_or_else(|| "an HTML page".to_owned(), |title| format!("an HTML page, `{}`", line(title)));
    }
    line(&text)
}

fn line(text: &str) -> String {
    let printable = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let words: String = printable.take(LONGEST_TEXT).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// True if a shorter window may be answered: the limits on samples, chunks and
/// time of Prometheus, Thanos, Cortex, Mimir and VictoriaMetrics, by their words.
pub(super) fn is_too_much(status: u16, message: &str) -> bool {
    const WORDS: [&str; 9] = [
        "too many samples",
        "sample limit",
        "time range exceeds",
        "err-mimir-max",
        "maximum number of",
        "exceeds limit",
        "response too large",
        "larger than max",
        "search.maxsamplesper",
    ];
    let message = message.to_ascii_lowercase();
    status == 413
        || matches!(status, 400 | 422 | 500) && WORDS.iter().any(|words| message.contains(words))
        // Prometheus' own limit on time: the same again would take as long.
        || status == 503 && message.contains("query timed out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_are_one_line() {
        let recorded = br#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\""}"#;
        assert_eq!(explanation(recorded, "application/json"), "bad_data: invalid parameter \"query\"");
        let page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>no</h1>";
        assert_eq!(explanation(page, "text/html"), "an HTML page, `502 Bad Gateway`");
        assert_eq!(explanation(b"no\nsuch\x1b[2J  thing\n", "text/plain"), "no such [2J thing");
        assert_eq!(explanation(&[b'x'; 5000], "text/plain").len(), LONGEST_TEXT);
        assert_eq!(explanation(b"", ""), "");
    }

    /// The words of the servers' sources.
    #[test]
    fn limits_are_told_from_other_refusals() {
        assert!(is_too_much(400, "exceeded sample limit (50000000)"));
        assert!(is_too_much(
            422,
            "query processing would load too many samples into memory in query execution"
        ));
        assert!(is_too_much(422, "the query time range exceeds the limit (query length: 768h, limit: 720h)"));
        assert!(is_too_much(413, ""));
        assert!(is_too_much(503, "timeout: query timed out in expression evaluation"));
        assert!(is_too_much(422, "cannot select more than -search.maxSamplesPerQuery=1000000000 samples"));
        assert!(!is_too_much(503, "Service Unavailable"));
        assert!(!is_too_much(400, "parse error: unexpected end of input"));
        assert!(!is_too_much(401, "too many samples"));
    }
}
