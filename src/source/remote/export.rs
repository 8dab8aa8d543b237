//! VictoriaMetrics' `/api/v1/export`: a JSON object a line, each with a part of a series.

use super::api::{explanation, is_too_much};
use super::client::{Answer, Ask, Client, Content};
use super::error::RemoteError;
use super::export_line::parse_line;
use super::range_query::seconds;
use super::selection::Selection;
use crate::source::staging::{PieceWriter, Sink as _};
use crate::time::Window;
use crate::tsdb::{Labels, Samples};

const PATH: &str = "api/v1/export";
const EXPECTED: &str = "lines of JSON as VictoriaMetrics exports them";
/// Read from the answer in one go.
const READ_BYTES: u64 = 1 << 20;
/// Longest line that is held in memory.
const LONGEST_LINE_BYTES: usize = 128 << 20;

fn question(selection: &Selection, window: Window) -> Ask {
    let fields = vec![
        ("match[]", selection.promql()),
        ("start", seconds(window.start_ms)),
        ("end", seconds(window.end_ms.saturating_sub(1))),
        // As stored: without it samples that lie close together are thinned out.
        ("reduce_mem_usage", "1".to_owned()),
    ];
    Ask { path: PATH, content: Content::Form(fields), what: format!("export of {selection}, {window}") }
}

/// Succeeds if the server exports.
pub(super) fn probe(client: &Client<'_>, selection: &Selection, window: Window) -> Result<(), RemoteError> {
    client.ask(&question(selection, window), |answer| {
        // An export of nothing is an empty answer, which others give to anything.
        if !answer.kind.contains("json") {
            return Err(answer.form(EXPECTED, format!("its content type is `{}`", answer.kind)));
        }
        lines(answer, |_, _| Ok(()))
    })
}

/// Reads `selection` in `window` into `piece`.
pub(super) fn read(
    client: &Client<'_>,
    selection: &Selection,
    window: Window,
    piece: &mut PieceWriter,
) -> Result<(), RemoteError> {
    let mark = piece.mark()?;
    client.ask(&question(selection, window), |answer| {
        piece.rewind(&mark)?;
        lines(answer, |labels, samples| Ok(piece.samples(labels, samples, window)?))
    })
}

fn lines(
    answer: &mut Answer<'_>,
    mut each: impl FnMut(&Labels, Samples) -> Result<(), RemoteError>,
) -> Result<(), RemoteError> {
    answer.must_be_framed(EXPECTED)?;
    let mut pending = Vec::new();
    loop {
        // What has been searched for the end of a line already.
        let searched = pending.len();
        let read = answer.up_to(READ_BYTES, &mut pending)?;
        let fresh = pending.get(searched..).unwrap_or_default();
        let end = match fresh.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => searched + at + 1,
            None if read == 0 => pending.len(),
            None => 0,
        };
        let whole = pending.get(..end).unwrap_or_default();
        for text in whole.split(|byte| *byte == b'\n').filter(|text| !text.trim_ascii().is_empty()) {
            let (labels, samples) = parse_line(text).map_err(|reason| {
                // What goes wrong after the first lines is appended to them.
                let said = explanation(text, "");
                if is_too_much(422, &said) { answer.too_much(said) } else { answer.form(EXPECTED, reason) }
            })?;
            each(&labels, samples)?;
        }
        pending.drain(..end);
        if read == 0 {
            return Ok(());
        }
        if pending.len() > LONGEST_LINE_BYTES {
            return Err(answer.too_much(format!("a line of more than {} MiB", LONGEST_LINE_BYTES >> 20)));
        }
    }
}
