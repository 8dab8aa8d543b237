//! Files and standard input, unpacked, with a look at how they begin.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use crate::hash::Hashing;

/// How much is looked at to tell what it is.
const HEAD_BYTES: u64 = 64 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A log to be read, and its beginning.
pub(super) struct Opened {
    pub(super) head: Vec<u8>,
    /// All of it, the beginning too.
    pub(super) reader: Box<dyn BufRead>,
    /// What it is read from.
    pub(super) raw: Raw,
}

/// The bytes as they lie there, hashed as they pass: a pipe can be read once only.
#[derive(Clone)]
pub(super) struct Raw(Rc<RefCell<Hashing<Box<dyn Read>>>>);

impl Raw {
    /// Reads what is left; SHA-256 of all, in hexadecimal.
    pub(super) fn sha256(&self) -> io::Result<String> {
        self.0.borrow_mut().finish()
    }
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

/// Opens the file at `path`, or standard input for `-`, and unpacks what gzip or zstd packed.
pub(super) fn open(path: &Path) -> io::Result<Opened> {
    let raw: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let hashed = Raw(Rc::new(RefCell::new(Hashing::new(raw))));
    let (magic, raw) = peek(hashed.clone(), 4)?;
    let plain: Box<dyn Read> = if magic.starts_with(&GZIP_MAGIC) {
        Box::new(MultiGzDecoder::new(BufReader::new(raw)))
    } else if magic.starts_with(&ZSTD_MAGIC) {
        Box::new(zstd::Decoder::new(raw)?)
    } else {
        Box::new(raw)
    };
    let (head, reader) = peek(plain, HEAD_BYTES)?;
    Ok(Opened { head, reader: Box::new(BufReader::with_capacity(1 << 16, reader)), raw: hashed })
}

/// The first `limit` bytes, and a reader that gives them again.
pub(super) fn peek(mut reader: impl Read, limit: u64) -> io::Result<(Vec<u8>, impl Read)> {
    let mut head = Vec::new();
    reader.by_ref().take(limit).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}
