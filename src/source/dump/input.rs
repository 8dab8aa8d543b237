//! Files, folders and standard input, unpacked.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::error::DumpError;
use super::{Event, Observer};

/// Read from a file in one go.
const BUFFER_BYTES: usize = 256 << 10;
/// How much of the unpacked content is looked at to tell what it is.
pub(super) const HEAD_BYTES: usize = 64 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Where samples lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file, or a folder of files.
    Path(PathBuf),
    /// Standard input.
    Stdin,
}

/// One file, or standard input.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) place: Place,
    /// As people see it.
    pub(super) name: String,
    /// True if it was found in a folder, where other files are expected too.
    pub(super) from_folder: bool,
    /// Size as it lies there; unknown for standard input.
    pub(super) bytes: u64,
}

/// All inputs behind `places`, folders replaced by their files, in order of name. What is passed over is said in `notes`.
pub(super) fn expand(places: &[Place], notes: &mut Vec<String>) -> Result<Vec<Input>, DumpError> {
    let mut inputs = Vec::new();
    for place in places {
        match place {
            Place::Stdin => {
                let name = "standard input".to_owned();
                inputs.push(Input { place: Place::Stdin, name, from_folder: false, bytes: 0 });
            }
            Place::Path(path) => {
                let metadata = std::fs::metadata(path).map_err(open_error(path))?;
                if metadata.is_dir() {
                    let before = inputs.len();
                    folder(path, &mut inputs, notes)?;
                    if inputs.len() == before {
                        return Err(DumpError::EmptyFolder { path: path.clone() });
                    }
                } else {
                    inputs.push(file(path, false, metadata.len()));
                }
            }
        }
    }
    Ok(inputs)
}

fn file(path: &Path, from_folder: bool, bytes: u64) -> Input {
    Input { place: Place::Path(path.to_owned()), name: format!("`{}`", path.display()), from_folder, bytes }
}

fn open_error(path: &Path) -> impl FnOnce(io::Error) -> DumpError {
    let path = path.to_owned();
    move |source| DumpError::Open { path, source }
}

/// Adds the files of a folder and of those below it. Hidden ones and links are passed over: who may put one there could have files
/// read that are not theirs to read.
fn folder(path: &Path, inputs: &mut Vec<Input>, notes: &mut Vec<String>) -> Result<(), DumpError> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(open_error(path))? {
        entries.push(entry.map_err(open_error(path))?.path());
    }
    entries.sort();
    let names = |name: &str| entries.iter().any(|entry| entry.file_name().is_some_and(|found| found == name));
    if names("wal") || names("meta.json") && names("index") {
        return Err(DumpError::IsBlocks { path: path.to_owned() });
    }
    for entry in entries {
        let hidden = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let metadata = std::fs::symlink_metadata(&entry).map_err(open_error(&entry))?;
        if hidden {
            continue;
        }
        if metadata.is_symlink() {
            notes.push(format!(
                "the symbolic link `{}` in a folder was not followed; name it to have it read",
                entry.display()
            ));
        } else if metadata.is_dir() {
            folder(&entry, inputs, notes)?;
        } else if metadata.is_file() {
            inputs.push(file(&entry, true, metadata.len()));
        }
    }
    Ok(())
}

/// Content of an input, unpacked, and what is known of it.
pub(super) struct Opened<'a> {
    /// The first of it, no more than [`HEAD_BYTES`].
    pub(super) head: Vec<u8>,
    /// True if there is no more than that.
    pub(super) is_whole: bool,
    /// True if it lies on the disk as it is read.
    pub(super) is_plain_file: bool,
    /// True if it is unpacked while it is read.
    pub(super) is_packed: bool,
    rest: Box<dyn Read + 'a>,
    digest: Arc<Mutex<Sha256>>,
}

impl<'a> Opened<'a> {
    /// Opens `input`, and unpacks what gzip or zstd packed.
    pub(super) fn open(input: &Input, observer: Observer<'a>) -> Result<Self, DumpError> {
        let raw: Box<dyn Read> = match &input.place {
            Place::Stdin => Box::new(io::stdin().lock()),
            Place::Path(path) => Box::new(File::open(path).map_err(open_error(path))?),
        };
        Self::of(raw, matches!(input.place, Place::Path(_)), observer)
            .map_err(|source| read_error(input, source))
    }

    fn of(raw: Box<dyn Read + 'a>, is_file: bool, observer: Observer<'a>) -> io::Result<Self> {
        let digest = Arc::new(Mutex::new(Sha256::new()));
        let counted = Counted { raw, digest: Arc::clone(&digest), observer };
        let mut packed = BufReader::with_capacity(BUFFER_BYTES, counted);
        let mut magic = Vec::new();
        packed.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic)?;
        let is_gzip = magic.starts_with(&GZIP_MAGIC);
        let is_zstd = magic == ZSTD_MAGIC;
        let packed = io::Cursor::new(magic).chain(packed);
        let mut rest: Box<dyn Read + 'a> = if is_gzip {
            Box::new(MultiGzDecoder::new(packed))
        } else if is_zstd {
            Box::new(zstd::Decoder::with_buffer(packed)?)
        } else {
            Box::new(packed)
        };
        let is_plain = !is_gzip && !is_zstd;
        let mut head = Vec::new();
        rest.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok(Self {
            is_whole: head.len() < HEAD_BYTES,
            head,
            is_plain_file: is_file && is_plain,
            is_packed: !is_plain,
            rest,
            digest,
        })
    }

    /// All of it, from the start.
    pub(super) fn reader(&mut self) -> impl BufRead + use<'_, 'a> {
        BufReader::with_capacity(BUFFER_BYTES, self.head.as_slice().chain(&mut self.rest))
    }

    /// SHA-256 of the file as it lies there, in hexadecimal; what was not read yet is read.
    pub(super) fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self.rest, &mut io::sink())?;
        drop(self.rest);
        let digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A failure while `input` is read.
pub(super) fn read_error(input: &Input, source: io::Error) -> DumpError {
    // What the decoders say when a packed file was cut.
    if source.kind() == io::ErrorKind::UnexpectedEof {
        return DumpError::Cut { input: input.name.clone(), reason: source.to_string() };
    }
    DumpError::Read { input: input.name.clone(), source }
}

/// When the file was last written to, in milliseconds since the epoch.
pub(super) fn modified_ms(input: &Input) -> Option<i64> {
    let Place::Path(path) = &input.place else { return None };
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// Counts and hashes what is read through it.
struct Counted<'a> {
    raw: Box<dyn Read + 'a>,
    digest: Arc<Mutex<Sha256>>,
    observer: Observer<'a>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.raw.read(buffer)?;
        self.digest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .update(buffer.get(..read).unwrap_or_default());
        (self.observer)(Event::Read { bytes: read as u64 });
        Ok(read)
    }
}
