//! Chunk segment files: `chunks/000001`, `chunks/000002`, …

use super::bytes::{put_uvarint, uvarint_len};
use crate::tsdb::TsdbError;
use crate::tsdb::format::{CRC_BYTES, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, SEGMENT_VERSION};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 256 * 1024;

/// Appends chunk records and starts a new file when the limit would be passed.
pub(super) struct SegmentWriter {
    directory: PathBuf,
    max_bytes: u64,
    /// Files started so far; the current one's rank is one less.
    started: u64,
    current: Option<(PathBuf, BufWriter<File>)>,
    position: u64,
    record: Vec<u8>,
}

impl SegmentWriter {
    /// Writes into `directory`, which must exist.
    pub(super) fn new(directory: &Path, max_bytes: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            // A reference holds 32 bits of offset.
            max_bytes: max_bytes.min(u64::from(u32::MAX)),
            started: 0,
            current: None,
            position: 0,
            record: Vec::new(),
        }
    }

    /// Appends one chunk and returns its reference: the file's rank in the
    /// upper, the record's offset in the lower 32 bits.
    pub(super) fn append(&mut self, encoding: u8, data: &[u8]) -> Result<u64, TsdbError> {
        let record_bytes = (uvarint_len(data.len() as u64) + 1 + data.len() + CRC_BYTES) as u64;
        let full = self.position.saturating_add(record_bytes) > self.max_bytes;
        // A chunk larger than the limit still gets a file, of its own.
        if self.current.is_none() || (full && self.position > SEGMENT_HEADER_BYTES as u64) {
            self.next_file()?;
        }
        self.record.clear();
        put_uvarint(&mut self.record, data.len() as u64);
        self.record.push(encoding);
        self.record.extend_from_slice(data);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&[encoding]), data);
        self.record.extend_from_slice(&crc.to_be_bytes());
        let reference = (self.started.saturating_sub(1) << 32) | self.position;
        if let Some((path, file)) = &mut self.current {
            file.write_all(&self.record).map_err(io_error("write", path))?;
        }
        self.position += record_bytes;
        Ok(reference)
    }

    fn next_file(&mut self) -> Result<(), TsdbError> {
        self.close()?;
        self.started += 1;
        let path = self.directory.join(format!("{:06}", self.started));
        let file = File::create_new(&path).map_err(io_error("create", &path))?;
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut header = [0_u8; SEGMENT_HEADER_BYTES];
        for (slot, byte) in
            header.iter_mut().zip(SEGMENT_MAGIC.to_be_bytes().into_iter().chain([SEGMENT_VERSION]))
        {
            *slot = byte;
        }
        file.write_all(&header).map_err(io_error("write", &path))?;
        self.position = SEGMENT_HEADER_BYTES as u64;
        self.current = Some((path, file));
        Ok(())
    }

    /// Brings everything to the file.
    pub(super) fn close(&mut self) -> Result<(), TsdbError> {
        match self.current.take() {
            Some((path, mut file)) => file.flush().map_err(io_error("write", &path)),
            None => Ok(()),
        }
    }
}

/// Names the file and the deed in an error of the system's.
pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TsdbError {
    let path = path.to_owned();
    move |source| TsdbError::Io { doing, path, source }
}
