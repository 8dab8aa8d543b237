//! What the HTTP API says besides data: errors, warnings, and pages of proxies.

use serde::Deserialize;

use super::Event;
use super::client::Answer;
use super::error::RemoteError;

/// Of what a server says, no more than this is repeated: its beginning, and more of its end, where the cause stands.
const LONGEST_BEGINNING: usize = 150;
const LONGEST_END: usize = 350;

/// What every form asks for besides: answers that lack nothing. Thanos else merges replicas (which rule N2
/// tells apart), leaves out stores that are down and may take downsampled blocks; a cluster of VictoriaMetrics
/// leaves out nodes that are down. Who does not know a field ignores it.
pub(super) const WHOLE: [(&str, &str); 4] = [
    ("dedup", "false"),
    ("partial_response", "false"),
    ("max_source_resolution", "0s"),
    ("deny_partial_response", "1"),
];

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
    /// By VictoriaMetrics: nodes with samples were not there.
    #[serde(default)]
    is_partial: bool,
    data: Option<T>,
}

/// The data of a JSON answer of `/api/v1`; warnings are passed on.
pub(super) fn data<'de, T: Deserialize<'de>>(body: &'de [u8], answer: &Answer<'_>) -> Result<T, RemoteError> {
    const EXPECTED: &str = "JSON of the Prometheus API";
    let mut documents = serde_json::Deserializer::from_slice(body).into_iter::<Envelope<T>>();
    let first = documents.next().unwrap_or_else(|| serde_json::from_slice(body));
    let envelope = first.map_err(|error| {
        if error.is_eof() && !body.is_empty() {
            return answer.cut(error);
        }
        let shown = if answer.kind.contains("json") {
            String::new()
        } else {
            format!(", it is {}", explanation(body, &answer.kind))
        };
        answer.form(EXPECTED, format!("{error}{shown}"))
    })?;
    let rest = body.get(documents.byte_offset()..).unwrap_or_default().trim_ascii();
    if !rest.is_empty() {
        // VictoriaMetrics answers 200 before it is done, and appends what went wrong.
        let said = explanation(rest, &answer.kind);
        return Err(match is_too_much(422, &said) {
            true => answer.too_much(said),
            false => answer.form(EXPECTED, format!("something follows it: {said}")),
        });
    }
    for warning in envelope.warnings.unwrap_or_default() {
        answer.tell(Event::Warning(&line(&answer.redact(&warning))));
    }
    if envelope.is_partial {
        return Err(answer.cut("the server says that parts of it are missing (`isPartial`)"));
    }
    match envelope.data {
        Some(data) if envelope.status == "success" => Ok(data),
        _ if is_too_much(422, &envelope.error) => Err(answer.too_much(envelope.error)),
        _ => Err(answer.form(
            EXPECTED,
            format!("status `{}`, {} {}", envelope.status, envelope.error_type, envelope.error),
        )),
    }
}

/// What the body of an error answer says, all of it: see [`line`].
pub(super) fn explanation(body: &[u8], kind: &str) -> String {
    match serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(body) {
        Ok(envelope) if !envelope.error_type.is_empty() => {
            format!("{}: {}", envelope.error_type, envelope.error)
        }
        Ok(envelope) => envelope.error,
        Err(_) => text(&String::from_utf8_lossy(body), kind),
    }
}

/// A text, or the title of a page.
fn text(text: &str, kind: &str) -> String {
    if kind.contains("html") {
        let title = text.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
        return title
            .map_or_else(|| "an HTML page".to_owned(), |title| format!("an HTML page, `{}`", line(title)));
    }
    text.to_owned()
}

/// One line that a terminal can show. Secrets must be out of `text`: of half of one it would leave that half.
pub(super) fn line(text: &str) -> String {
    let printable: String =
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let line = printable.split_whitespace().collect::<Vec<_>>().join(" ");
    let length = line.chars().count();
    if length <= LONGEST_BEGINNING + LONGEST_END {
        return line;
    }
    let beginning: String = line.chars().take(LONGEST_BEGINNING).collect();
    let end: String = line.chars().skip(length - LONGEST_END).collect();
    format!("{beginning} … {end}")
}

/// True if less may be answered: the limits on samples, series, chunks and
/// time of Prometheus, Thanos, Cortex, Mimir and VictoriaMetrics, by their words.
pub(super) fn is_too_much(status: u16, message: &str) -> bool {
    const WORDS: [&str; 13] = [
        "too many samples",
        "sample limit",
        "exceeded series limit",
        "exceeded chunks limit",
        "time range exceeds",
        "err-mimir-max",
        "maximum number of",
        "max number of",
        "number of matching timeseries exceeds",
        "exceeds limit",
        "response too large",
        "larger than max",
        "search.max",
    ];
    let message = message.to_ascii_lowercase();
    status == 413
        || matches!(status, 400 | 422 | 500) && WORDS.iter().any(|words| message.contains(words))
        // Prometheus' own limit on time: the same again would take as long.
        || status == 503 && message.contains("query timed out")
}

/// True if the limit is one on series: a shorter window has as many, fewer metrics have less.
pub(super) fn is_too_many_series(message: &str) -> bool {
    // Of other limits some say that a lower "number of series" would help as well.
    const WORDS: [&str; 6] = [
        "exceeded series limit",
        "maximum number of series",
        "max number of series",
        "max-series-per-query",
        "timeseries exceeds",
        "search.maxuniquetimeseries",
    ];
    let message = message.to_ascii_lowercase();
    WORDS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_are_one_line() {
        let shown = |body: &[u8], kind: &str| line(&explanation(body, kind));
        let recorded = br#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\""}"#;
        assert_eq!(shown(recorded, "application/json"), "bad_data: invalid parameter \"query\"");
        let page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>no</h1>";
        assert_eq!(shown(page, "text/html"), "an HTML page, `502 Bad Gateway`");
        assert_eq!(shown(b"no\nsuch\x1b[2J  thing\n", "text/plain"), "no such [2J thing");
        assert_eq!(shown(b"", ""), "");
        // A terminal would take the first for an order, and nobody reads the second to its end.
        let coloured = br#"{"status":"error","errorType":"x","error":"\u001b[2Jred\nflag"}"#;
        assert_eq!(shown(coloured, "application/json"), "x: [2Jred flag");
        let long = format!("begin {} end", "y".repeat(5000));
        let said = shown(format!(r#"{{"status":"error","error":"{long}"}}"#).as_bytes(), "application/json");
        assert_eq!((said.starts_with("begin yy"), said.ends_with("yy end")), (true, true));
        assert_eq!(said.chars().count(), LONGEST_BEGINNING + LONGEST_END + 3);
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
        // A limit on series of Mimir, Thanos, Cortex and VictoriaMetrics, old and new.
        for (status, series) in [
            (
                422,
                "the query exceeded the maximum number of series (limit: 1 series) (err-mimir-max-series-per-query)",
            ),
            (422, "exceeded series limit: limit 3 violated (got 4)"),
            (422, "the query hit the max number of series limit (limit: 3 series)"),
            (
                422,
                "the number of matching timeseries exceeds 300000; either narrow down the search or increase -search.max*",
            ),
            (400, "cannot find more than 10 series; increase -search.maxUniqueTimeseries"),
        ] {
            assert!(is_too_much(status, series) && is_too_many_series(series), "{series}");
        }
        for other in [
            "the query exceeded the maximum number of chunks (limit: 11 chunks) (err-mimir-max-chunks-per-query). \
             Consider reducing the time range and/or number of series selected by the query",
            "cannot select more than -search.maxSamplesPerQuery=100 samples; possible solutions: to reduce time range \
             for the query; to use more specific label filters in order to select lower number of series",
        ] {
            assert!(is_too_much(422, other) && !is_too_many_series(other), "{other}");
        }
        assert!(!is_too_many_series("query processing would load too many samples into memory"));
        assert!(!is_too_much(503, "Service Unavailable"));
        assert!(!is_too_much(400, "parse error: unexpected end of input"));
        assert!(!is_too_much(401, "too many samples"));
    }
}
