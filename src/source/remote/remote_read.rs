//! Prometheus' remote read: the request, and both kinds of answer.

use super::client::{Answer, Ask, Client, Content};
use super::error::RemoteError;
use super::messages::{self, Stop};
use super::protobuf::Message;
use super::protocol::Protocol;
use super::selection::Selection;
use crate::source::staging::PieceWriter;
use crate::time::Window;

const PATH: &str = "api/v1/read";
/// Content type of an answer in frames.
const STREAMED: &str = "application/x-streamed-protobuf";
/// Content type of an answer in one piece.
const SAMPLED: &str = "application/x-protobuf";
/// Response types by their numbers in the request.
const ACCEPT_SAMPLES: u8 = 0;
const ACCEPT_STREAMED_XOR: u8 = 1;
/// Largest frame that Prometheus' own client takes.
const LONGEST_FRAME_BYTES: u64 = 50 * 1024 * 1024;
/// Largest sampled answer, as it comes and unpacked; a shorter window is asked for beyond it.
const LONGEST_PACKED_BYTES: u64 = 128 << 20;
const LONGEST_UNPACKED_BYTES: usize = 512 << 20;

/// The question for `selection` in `window`, by which the server may stream.
fn question(selection: &Selection, window: Window, streamed: bool) -> Ask {
    let mut query = Message::default()
        .int(1, window.start_ms)
        // Both ends belong to it.
        .int(2, window.end_ms.saturating_sub(1));
    for matcher in selection.matchers() {
        let (operator, value) = matcher.condition();
        let kind = match operator {
            "=" => 0,
            "!=" => 1,
            "=~" => 2,
            _ => 3,
        };
        query = query.message(3, &Message::default().int(1, kind).text(2, matcher.name()).text(3, value));
    }
    let accepted: &[u8] = if streamed { &[ACCEPT_STREAMED_XOR, ACCEPT_SAMPLES] } else { &[ACCEPT_SAMPLES] };
    let request = Message::default().message(1, &query).packed(2, accepted).into_bytes();
    // Only a request of more than 4 GiB could not be packed.
    let packed = snap::raw::Encoder::new().compress_vec(&request).unwrap_or_default();
    Ask {
        path: PATH,
        content: Content::ReadRequest(packed),
        what: format!("remote read of {selection}, {window}"),
    }
}

/// Asks for next to nothing, to learn which answer the server gives.
pub(super) fn probe(
    client: &Client<'_>,
    selection: &Selection,
    window: Window,
) -> Result<Protocol, RemoteError> {
    client.ask(&question(selection, window, true), |answer| {
        let kind = kind_of(answer)?;
        // To its end, so that the connection can be used again.
        answer.whole(LONGEST_PACKED_BYTES)?;
        Ok(kind)
    })
}

fn kind_of(answer: &Answer<'_>) -> Result<Protocol, RemoteError> {
    match answer.kind.split(';').next().unwrap_or_default().trim() {
        STREAMED => Ok(Protocol::Stream),
        SAMPLED => Ok(Protocol::Samples),
        other => Err(answer.form("a remote-read answer", format!("its content type is `{other}`"))),
    }
}

/// Reads `selection` in `window` into `piece`; `streamed`: chunks are asked for.
pub(super) fn read(
    client: &Client<'_>,
    selection: &Selection,
    window: Window,
    streamed: bool,
    piece: &mut PieceWriter,
) -> Result<(), RemoteError> {
    let mark = piece.mark()?;
    client.ask(&question(selection, window, streamed), |answer| {
        piece.rewind(&mark)?;
        // A server may decide anew each time.
        match kind_of(answer)? {
            Protocol::Stream => frames(answer, window, piece),
            _ => message(answer, window, piece),
        }
    })
}

/// Reads frames until the answer ends between two of them.
fn frames(answer: &mut Answer<'_>, window: Window, piece: &mut PieceWriter) -> Result<(), RemoteError> {
    answer.must_be_framed("a stream of chunks")?;
    let mut frame = Vec::new();
    while let Some(length) = frame_length(answer)? {
        if length > LONGEST_FRAME_BYTES {
            return Err(answer.form("a stream of chunks", format!("a frame of {length} bytes is announced")));
        }
        frame.clear();
        let announced = length.saturating_add(4);
        let read = answer.up_to(announced, &mut frame)?;
        if (read as u64) < announced {
            return Err(answer.cut("it ends inside a frame"));
        }
        let (checksum, message) = frame.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        if crc32c::crc32c(message) != u32::from_be_bytes(*checksum) {
            // What went wrong on the server stands as a text where a frame should be.
            return Err(answer.cut("the checksum of a frame does not match"));
        }
        messages::chunked(message, window, piece).map_err(|stop| stopped(stop, answer))?;
    }
    Ok(())
}

/// The length of the next frame; `None` at the end of the answer.
fn frame_length(answer: &mut Answer<'_>) -> Result<Option<u64>, RemoteError> {
    let mut length = 0_u64;
    let mut byte = Vec::new();
    for shift in (0..63).step_by(7) {
        byte.clear();
        answer.up_to(1, &mut byte)?;
        match byte.first() {
            None if shift == 0 => return Ok(None),
            None => return Err(answer.cut("it ends inside a frame")),
            Some(byte) => {
                length |= u64::from(byte & 0x7f) << shift;
                if *byte < 0x80 {
                    return Ok(Some(length));
                }
            }
        }
    }
    Err(answer.form("a stream of chunks", "a frame's length exceeds 63 bits"))
}

/// Why reading stopped, as an error about `answer`.
fn stopped(stop: Stop, answer: &Answer<'_>) -> RemoteError {
    match stop {
        Stop::Form(wrong) => {
            answer.form("a remote-read message", format!("byte {}: {}", wrong.offset, wrong.reason))
        }
        Stop::Staging(error) => error.into(),
    }
}

/// Reads an answer that is one packed message.
fn message(answer: &mut Answer<'_>, window: Window, piece: &mut PieceWriter) -> Result<(), RemoteError> {
    let packed = answer.whole(LONGEST_PACKED_BYTES)?;
    let message = unpack(answer, &packed)?;
    messages::sampled(&message, window, piece).map_err(|stop| stopped(stop, answer))
}

fn unpack(answer: &Answer<'_>, packed: &[u8]) -> Result<Vec<u8>, RemoteError> {
    const EXPECTED: &str = "packed with snappy";
    let length = messages::unpacked_length(packed).map_err(|reason| answer.form(EXPECTED, reason))?;
    if length > LONGEST_UNPACKED_BYTES {
        return Err(answer.too_much(format!("{} MiB when unpacked", length >> 20)));
    }
    snap::raw::Decoder::new().decompress_vec(packed).map_err(|error| match error {
        // A cut answer; without `Content-Length` nothing else tells.
        snap::Error::CopyRead { .. } | snap::Error::Literal { .. } | snap::Error::HeaderMismatch { .. } => {
            answer.cut(error)
        }
        other => answer.form(EXPECTED, other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::protobuf::Fields;
    use super::*;

    /// The request that a recorded server was sent, which named the response types one by one.
    #[test]
    fn a_request_as_prometheus_understood_it() {
        let selection = Selection::parse("node_cpu_seconds_total").unwrap();
        let ask = question(&selection, Window::new(1_795_441_880_000, 1_795_442_245_905), true);
        let Content::ReadRequest(packed) = ask.content else { panic!("a form") };
        let request = snap::raw::Decoder::new().decompress_vec(&packed).unwrap();
        let mut fields = Fields::new(&request).map(Result::unwrap);
        let (number, query) = fields.next().unwrap();
        assert_eq!(number, 1);
        let fields_of_query: Vec<_> = Fields::new(query.bytes()).map(Result::unwrap).collect();
        assert_eq!(fields_of_query[0].1.int(), 1_795_441_880_000);
        assert_eq!(fields_of_query[1].1.int(), 1_795_442_245_904, "the last millisecond inside");
        // `type: EQ` is the default and left out.
        assert_eq!(fields_of_query[2].1.bytes(), b"\x12\x08__name__\x1a\x16node_cpu_seconds_total");
        assert_eq!(fields.next().unwrap().1.bytes(), [1, 0]);
    }
}
