//! A file's bytes, mapped into memory.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use super::TsdbError;

/// The bytes of a regular file, read by the system as they are touched.
#[derive(Debug)]
pub(crate) struct FileBytes(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    /// Of no file, for fuzzers.
    #[cfg(any(test, fuzzing))]
    Given(Vec<u8>),
}

impl FileBytes {
    pub(crate) fn open(path: &Path) -> Result<Self, TsdbError> {
        let failed = |doing| move |source| TsdbError::Io { doing, path: path.to_owned(), source };
        // Before it is opened: a pipe would wait for somebody to write into it.
        if !std::fs::metadata(path).map_err(failed("open"))?.is_file() {
            return Err(failed("read")(std::io::Error::other("not a regular file")));
        }
        let file = File::open(path).map_err(failed("open"))?;
        map(&file).map(Bytes::Mapped).map(Self).map_err(failed("map"))
    }

    /// Bytes of no file.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Bytes::Given(bytes.to_vec()))
    }

    /// Tells the system that the pages touched so far are not needed soon: they
    /// leave this program's memory and come back, from the file, when touched
    /// again. Where the system does not take the hint, nothing is lost.
    pub(crate) fn release(&self) {
        match &self.0 {
            #[cfg(unix)]
            Bytes::Mapped(map) => release(map),
            #[cfg(any(test, fuzzing, not(unix)))]
            _ => {}
        }
    }
}

#[expect(
    unsafe_code,
    reason = "a memory map is undefined behaviour if the file is changed meanwhile. Prometheus never changes \
              the files of a finished block, it only replaces whole blocks, and `Database::open` asks for the \
              same. The bytes are only ever read as plain integers, each after a check against the end"
)]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: see the reason above; the map is read-only and private to this program.
    unsafe { Mmap::map(file) }
}

#[cfg(unix)]
#[expect(
    unsafe_code,
    reason = "`MADV_DONTNEED` may change what a private writable map holds. This one is read-only and of a file, so \
              its bytes afterwards are again those of the file"
)]
fn release(map: &Mmap) {
    // SAFETY: see the reason above.
    let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            #[cfg(any(test, fuzzing))]
            Bytes::Given(bytes) => bytes,
        }
    }
}
