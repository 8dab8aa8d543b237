//! Readers that give only so much before something whole was taken from it: a packed file can unfold to any length, and what reads it
//! would hold all of a text, a list or a row before it could look at it.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::rc::Rc;

/// The longest text, row or entry of a list that is held in memory.
pub(crate) const LONGEST_BYTES: u64 = 64 << 20;
/// No `meta.json` is longer.
const LONGEST_SMALL_FILE: u64 = 64 << 20;
/// Texts do not pack better than this.
pub(crate) const MOST_TIMES: u64 = 200;

/// See the module's description.
pub(crate) struct Metered<R> {
    inner: R,
    budget: Budget,
}

/// What is left of a [`Metered`] reader until it fails.
#[derive(Clone)]
pub(crate) struct Budget(Rc<Cell<u64>>);

impl Budget {
    /// Something whole was taken: as much may follow.
    pub(crate) fn renew(&self) {
        self.0.set(LONGEST_BYTES);
    }
}

impl<R: BufRead> Metered<R> {
    /// Gives [`LONGEST_BYTES`] of `inner` between two calls of [`Budget::renew`].
    pub(crate) fn new(inner: R) -> (Self, Budget) {
        let budget = Budget(Rc::new(Cell::new(LONGEST_BYTES)));
        (Self { inner, budget: budget.clone() }, budget)
    }

    fn left(&self) -> io::Result<usize> {
        match self.budget.0.get() {
            0 => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("more than {} MiB without an end of a value, a row or an entry", LONGEST_BYTES >> 20),
            )),
            left => Ok(usize::try_from(left).unwrap_or(usize::MAX)),
        }
    }
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.left()?.min(buffer.len());
        let read = self.inner.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.budget.0.set(self.budget.0.get().saturating_sub(read as u64));
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let most = self.left()?;
        let buffer = self.inner.fill_buf()?;
        Ok(buffer.get(..most).unwrap_or(buffer))
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.budget.0.set(self.budget.0.get().saturating_sub(count as u64));
    }
}

/// The bytes of a file that should be small. What is no regular file, such as a pipe, is not opened: it could have no end, or no writer.
///
/// # Errors
///
/// What the system says; [`io::ErrorKind::InvalidData`] for what is no file, or longer than anything that is meant.
pub(crate) fn small_file(path: &Path) -> io::Result<Vec<u8>> {
    let wrong = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    if !std::fs::metadata(path)?.is_file() {
        return Err(wrong("not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST_SMALL_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_SMALL_FILE {
        return Err(wrong(format!("longer than {} MiB", LONGEST_SMALL_FILE >> 20)));
    }
    Ok(bytes)
}

/// What a packed file unpacks to, a piece at a time; fails where that is so much more that it was packed to do harm.
pub(crate) struct Unpacked<R> {
    inner: R,
    packed_bytes: u64,
    most: u64,
    left: u64,
}

impl<R: Read> Unpacked<R> {
    /// `inner` unpacks `packed_bytes`.
    pub(crate) fn new(inner: R, packed_bytes: u64) -> Self {
        let most = packed_bytes.saturating_mul(MOST_TIMES).max(LONGEST_BYTES);
        Self { inner, packed_bytes, most, left: most }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let (most, packed) = (self.most >> 20, self.packed_bytes);
            let reason = format!("unpacked it is more than {most} MiB, of {packed} bytes");
            io::Error::new(io::ErrorKind::InvalidData, reason)
        })?;
        Ok(read)
    }
}

/// Everything that `unpacked` gives, of `packed_bytes`.
///
/// # Errors
///
/// What it says itself; [`io::ErrorKind::InvalidData`] where it is so much more that it was packed to do harm.
pub(crate) fn unpack(unpacked: impl Read, packed_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    copy_unpacked(unpacked, packed_bytes, &mut bytes)?;
    Ok(bytes)
}

/// The same into a writer.
///
/// # Errors
///
/// As [`unpack`], and what the writer says.
pub(crate) fn copy_unpacked(
    unpacked: impl Read,
    packed_bytes: u64,
    to: &mut impl io::Write,
) -> io::Result<()> {
    io::copy(&mut Unpacked::new(unpacked, packed_bytes), to).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_fails_where_nothing_whole_comes() {
        let (mut reader, budget) = Metered::new(io::BufReader::new(io::repeat(b'x')));
        let mut piece = vec![0; 1 << 20];
        for _ in 0..63 {
            reader.read_exact(&mut piece).unwrap();
        }
        budget.renew();
        for _ in 0..64 {
            reader.read_exact(&mut piece).unwrap();
        }
        assert_eq!(reader.read(&mut piece).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(reader.fill_buf().is_err());
        budget.renew();
        assert!(!reader.fill_buf().unwrap().is_empty());
    }

    #[test]
    fn what_unfolds_too_far_is_refused() {
        assert_eq!(unpack(io::repeat(0).take(1 << 20), 10).unwrap().len(), 1 << 20);
        assert_eq!(unpack(io::repeat(0), 10).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_are_no_small_files() {
        assert!(small_file(Path::new("/dev/zero")).is_err());
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(small_file(&pipe).is_err());
    }
}
