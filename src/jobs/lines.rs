//! Lines of a text, one at a time and of bounded length, whatever the file holds.

use std::io::{self, BufRead};
use std::path::Path;

use super::collect::Collector;
use super::{JobsError, RejectReason};

/// No line of a job log is longer, not even with a job summary in `AdminComment`.
pub(super) const MAX_LINE_BYTES: usize = 4 << 20;

/// One line.
pub(super) enum Line {
    /// Its number, counted from 1, and its text without the line ending.
    Text { number: u64, text: String },
    /// Its number; it is longer than [`MAX_LINE_BYTES`] and was passed over.
    TooLong { number: u64 },
}

/// Reads lines; bytes that are not UTF-8 become replacement characters, a byte
/// order mark and carriage returns at line ends are dropped.
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, number: 0, buffer: Vec::new() }
    }

    /// The number and text of the next line that is not too long; those that are go to `collector`. `None` at the end.
    ///
    /// # Errors
    ///
    /// Where the system does not let it be read.
    pub(super) fn next_text(
        &mut self,
        collector: &mut Collector,
        path: &Path,
    ) -> Result<Option<(u64, String)>, JobsError> {
        loop {
            let line = self.next_line();
            match line.map_err(|source| JobsError::Io { doing: "read", path: path.to_path_buf(), source })? {
                None => return Ok(None),
                Some(Line::Text { number, text }) => return Ok(Some((number, text))),
                Some(Line::TooLong { number }) => {
                    collector.reject(number, RejectReason::LineTooLong { limit: MAX_LINE_BYTES }, "");
                }
            }
        }
    }

    /// The next line, or `None` at the end.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        self.buffer.clear();
        let mut too_long = false;
        let mut seen = false;
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                break;
            }
            seen = true;
            let newline = chunk.iter().position(|&byte| byte == b'\n');
            let content = newline.and_then(|at| chunk.get(..at)).unwrap_or(chunk);
            if self.buffer.len().saturating_add(content.len()) > MAX_LINE_BYTES {
                too_long = true;
            } else {
                self.buffer.extend_from_slice(content);
            }
            let used = newline.map_or(chunk.len(), |at| at.saturating_add(1));
            self.reader.consume(used);
            if newline.is_some() {
                break;
            }
        }
        if !seen {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        let number = self.number;
        if too_long {
            return Ok(Some(Line::TooLong { number }));
        }
        let mut bytes = self.buffer.as_slice();
        if number == 1 {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Ok(Some(Line::Text { number, text: String::from_utf8_lossy(bytes).into_owned() }))
    }
}

/// Gives `take` every line that is not blank, with its number; what it rejects goes to `collector`.
pub(super) fn each_line(
    collector: &mut Collector,
    mut lines: Lines<impl BufRead>,
    path: &Path,
    mut take: impl FnMut(&mut Collector, u64, &str) -> Result<(), RejectReason>,
) -> Result<(), JobsError> {
    while let Some((number, text)) = lines.next_text(collector, path)? {
        if !text.trim().is_empty()
            && let Err(reason) = take(collector, number, &text)
        {
            collector.reject(number, reason, &text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], capacity: usize) -> Vec<String> {
        let mut lines = Lines::new(io::BufReader::with_capacity(capacity, bytes));
        let mut out = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            out.push(match line {
                Line::Text { number, text } => format!("{number}:{text}"),
                Line::TooLong { number } => format!("{number} too long"),
            });
        }
        out
    }

    #[test]
    fn endings_marks_and_bytes() {
        for capacity in [1, 3, 100] {
            assert_eq!(
                all(b"\xef\xbb\xbfa\r\n\nb\xff\nlast", capacity),
                ["1:a", "2:", "3:b\u{fffd}", "4:last"]
            );
        }
        assert!(all(b"", 8).is_empty());
    }

    #[test]
    fn a_line_without_end_is_passed_over_and_counted() {
        let mut bytes = vec![b'x'; MAX_LINE_BYTES + 1];
        bytes.extend_from_slice(b"\nnext\n");
        assert_eq!(all(&bytes, 1 << 16), ["1 too long", "2:next"]);
    }
}
