//! Text by lines, each with its number, none longer than memory can bear.

use std::io::{self, BufRead};

/// Longest line that is held: VictoriaMetrics writes a whole series into one.
const LONGEST_BYTES: usize = 128 << 20;

/// Lines of a reader.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
}

/// One line.
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: u64,
    /// Without its end.
    pub(super) text: &'a [u8],
    /// False if the input ends where a line feed should be.
    pub(super) is_ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), number: 0 }
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.buffer.clear();
            self.number += 1;
            let limit = LONGEST_BYTES as u64 + 1;
            let read = io::Read::take(&mut self.reader, limit).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            if read > LONGEST_BYTES {
                let reason = format!("line {} is longer than {} MiB", self.number, LONGEST_BYTES >> 20);
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let is_ended = self.buffer.last() == Some(&b'\n');
        let mut text = self.buffer.as_slice();
        if self.number == 1 {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        text = text.strip_suffix(b"\n").unwrap_or(text);
        text = text.strip_suffix(b"\r").unwrap_or(text);
        Ok(Some(Line { number: self.number, text, is_ended }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_blanks_and_a_byte_order_mark() {
        let mut lines = Lines::new(&b"\xef\xbb\xbfone\r\n\n \ntwo\nthree"[..]);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push((line.number, String::from_utf8(line.text.to_vec()).unwrap(), line.is_ended));
        }
        let expected =
            [(1, "one".to_owned(), true), (4, "two".to_owned(), true), (5, "three".to_owned(), false)];
        assert_eq!(seen, expected);
    }
}
