//! Answers of `/api/v1/read`, saved as they came over the network.

use std::io::{BufRead, Read};

use super::error::DumpError;
use super::reading::Reading;
use crate::source::remote::messages::{self, Stop};
use crate::time::Window;

/// Longest message that is held, packed or not.
const LONGEST_BYTES: usize = 512 << 20;

/// Reads a stream of frames with chunks, or one message with samples.
pub(super) fn read(
    mut reader: impl BufRead,
    is_stream: bool,
    reading: &mut Reading<'_>,
) -> Result<(), DumpError> {
    if is_stream { frames(reader, reading) } else { message(&mut reader, reading) }
}

fn frames(mut reader: impl BufRead, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    let mut position = 0_u64;
    let mut frame = Vec::new();
    loop {
        let place = format!("byte {position}");
        let Some((length, prefix)) = frame_length(&mut reader, &place, reading)? else { return Ok(()) };
        let length = length.checked_add(4).filter(|length| *length <= LONGEST_BYTES as u64);
        let length = length.ok_or_else(|| reading.form(&*place, "a frame is longer than 512 MiB"))?;
        frame.clear();
        let read = reader.by_ref().take(length).read_to_end(&mut frame).map_err(reading.failed())?;
        let (checksum, message) = frame.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        if (read as u64) < length {
            return Err(reading.cut("it ends inside a frame"));
        }
        if crc32c::crc32c(message) != u32::from_be_bytes(*checksum) {
            return Err(reading.form(place, "the checksum of a frame does not match"));
        }
        messages::chunked(message, Window::ALL, reading.intake).map_err(|stop| stopped(stop, reading))?;
        position += prefix + length;
    }
}

/// The length that a frame begins with, and how many bytes it takes; `None` at the end.
fn frame_length(
    reader: &mut impl BufRead,
    place: &str,
    reading: &Reading<'_>,
) -> Result<Option<(u64, u64)>, DumpError> {
    let mut length = 0_u64;
    for nth in 0..9 {
        let mut byte = [0];
        if reader.read(&mut byte).map_err(reading.failed())? == 0 {
            return if nth == 0 { Ok(None) } else { Err(reading.cut("it ends inside a frame")) };
        }
        let [byte] = byte;
        length |= u64::from(byte & 0x7f) << (7 * nth);
        if byte < 0x80 {
            return Ok(Some((length, nth + 1)));
        }
    }
    Err(reading.form(place, "a frame's length exceeds 63 bits"))
}

fn message(reader: &mut impl BufRead, reading: &mut Reading<'_>) -> Result<(), DumpError> {
    let mut packed = Vec::new();
    let limit = LONGEST_BYTES as u64 + 1;
    reader.take(limit).read_to_end(&mut packed).map_err(reading.failed())?;
    let length = messages::unpacked_length(&packed).map_err(|reason| reading.form("byte 0", reason))?;
    if length > LONGEST_BYTES || packed.len() > LONGEST_BYTES {
        return Err(reading.form("byte 0", "a message is longer than 512 MiB"));
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(&packed).map_err(|error| match error {
        snap::Error::CopyRead { .. } | snap::Error::Literal { .. } | snap::Error::HeaderMismatch { .. } => {
            reading.cut(error.to_string())
        }
        other => reading.form("byte 0", other.to_string()),
    })?;
    messages::sampled(&unpacked, Window::ALL, reading.intake).map_err(|stop| stopped(stop, reading))
}

fn stopped(stop: Stop, reading: &Reading<'_>) -> DumpError {
    match stop {
        Stop::Form(wrong) => reading.form(format!("byte {} of a message", wrong.offset), wrong.reason),
        Stop::Staging(error) => error.into(),
    }
}
