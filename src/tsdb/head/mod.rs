//! The head of a data directory: what a server had not made blocks of yet.
//!
//! Read as a server does that starts again after a crash: full chunks from
//! `chunks_head/`, the rest from the write-ahead log (`wal/`, its newest
//! checkpoint first) and from the log of out-of-order samples (`wbl/`). Unlike a
//! server, which gives up what follows the first damaged record, reading goes on
//! behind it; what is lost is named. A snapshot of the chunks in memory
//! (`chunk_snapshot.*`) only makes a server's start faster: the log has the same.
//!
//! A log is read twice: once for the series, and once for the samples of those
//! that are selected, which stay in memory in the encoding of chunks. The others
//! are not decoded.

mod chunk_files;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod log;
mod record;
mod replay;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use self::chunk_files::{CHUNKS_HEAD_DIRECTORY, ChunkFiles, Faults, FileChunk};
use self::log::{Segment, segments};
use self::replay::{Contents, LogKind, LogPart, Logged};
use super::format::ENCODING_XOR;
use super::problem::{LeftOut, Problem};
use super::tombstones::Deleted;
use super::{HistogramSample, Labels, TsdbError};
use crate::time::Window;

/// Directory of the write-ahead log.
const WAL_DIRECTORY: &str = "wal";
/// Directory of the log of out-of-order samples.
const WBL_DIRECTORY: &str = "wbl";
/// What the directories of checkpoints in the log are called, before their number.
const CHECKPOINT_PREFIX: &str = "checkpoint.";

/// The head of a data directory.
#[derive(Debug)]
pub struct Head {
    root: PathBuf,
    parts: Vec<LogPart>,
    chunk_files: ChunkFiles,
    contents: Contents,
    /// Samples that only the log has, of each series that was selected so far.
    logged: Vec<OnceLock<Logged>>,
    loading: Mutex<()>,
}

/// A chunk of a head series.
pub(super) struct HeadChunk<'a> {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) encoding: u8,
    pub(super) data: &'a [u8],
    /// The file that it is from.
    pub(super) path: &'a Path,
    /// Where its data lies in it, in bytes.
    pub(super) offset: u64,
    /// Samples outside of it are in blocks, and may have been deleted there.
    pub(super) valid: Window,
}

/// How far a data directory's blocks go.
#[derive(Clone, Copy, Debug)]
pub(super) struct InBlocks {
    /// Earlier samples in order are in blocks, or were deleted there.
    until_ms: i64,
    /// After the last chunk of any block.
    chunks_end_ms: i64,
}

impl Default for InBlocks {
    fn default() -> Self {
        Self { until_ms: i64::MIN, chunks_end_ms: i64::MIN }
    }
}

impl InBlocks {
    /// A block of samples in order that says that it ends at `until_ms`, and whose last chunk ends at `chunks_end_ms`.
    pub(super) fn add(&mut self, until_ms: i64, chunks_end_ms: i64) {
        self.until_ms = self.until_ms.max(until_ms);
        self.chunks_end_ms = self.chunks_end_ms.max(chunks_end_ms);
    }

    /// True of a sample or chunk up to `last_ms` that a block claims to have, and that is behind all that blocks do have: it was
    /// deleted there, or a block says of itself that it is longer than it is.
    fn has_by_word_only(&self, last_ms: i64) -> bool {
        (self.chunks_end_ms..self.until_ms).contains(&last_ms)
    }
}

impl Head {
    /// Reads the head of the data directory `root`; `None` if there is nothing
    /// of it.
    pub(super) fn open(
        root: &Path,
        in_blocks: InBlocks,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<Option<Self>, TsdbError> {
        let parts = log_parts(root, left_out)?;
        let mut faults = Faults::default();
        let mut chunks = Vec::new();
        let chunk_files =
            ChunkFiles::open(root, &mut faults, |reference, chunk| chunks.push((reference, chunk)))
                .map_err(|source| list_error(&root.join(CHUNKS_HEAD_DIRECTORY), source))?;
        if parts.is_empty() && chunk_files.len() == 0 && faults.damage.is_empty() {
            return Ok(None);
        }
        note_missing(&segments(&root.join(CHUNKS_HEAD_DIRECTORY)).unwrap_or_default(), left_out);
        let contents = Contents::read(&parts, chunks, in_blocks);
        let torn = faults.torn.iter().chain(&contents.torn);
        left_out.extend(torn.map(|(path, at)| torn_off(path, *at)));
        left_out.extend(faults.damage.iter().chain(&contents.damage).map(damaged));
        left_out.extend(nameless(root, &contents));
        let logged = contents.series.iter().map(|_| OnceLock::new()).collect();
        Ok(Some(Self {
            root: root.to_owned(),
            parts,
            chunk_files,
            contents,
            logged,
            loading: Mutex::default(),
        }))
    }

    /// From the first sample to after the last; `None` if it holds none.
    pub fn window(&self) -> Option<Window> {
        let spans = self.contents.series.iter().filter_map(|series| series.span);
        let (first, last) = spans.reduce(|(first, last), span| (first.min(span.0), last.max(span.1)))?;
        Some(Window::new(first, last.saturating_add(1)))
    }

    /// Number of series that have samples.
    pub fn series_count(&self) -> usize {
        self.contents.series.iter().filter(|series| series.span.is_some()).count()
    }

    /// The files that it is read from, in the order in which a server reads them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.chunk_files.paths().chain(self.parts.iter().map(|part| part.segment.path.as_path()))
    }

    /// The data directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The labels of its series with samples, and where they stand.
    pub(super) fn series(&self) -> impl Iterator<Item = (usize, &Labels, (i64, i64))> {
        let all = self.contents.series.iter().enumerate();
        all.filter_map(|(position, series)| Some((position, &series.labels, series.span?)))
    }

    /// Reads the samples of these series from the log, unless that was done before.
    pub(super) fn load(&self, wanted: &[usize]) -> Vec<Problem> {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing =
            |position: &usize| self.logged.get(*position).is_some_and(|logged| logged.get().is_none());
        let missing: Vec<usize> = wanted.iter().copied().filter(is_missing).collect();
        if missing.is_empty() {
            return Vec::new();
        }
        let (samples, problems) = self.contents.samples(&self.parts, &missing);
        for (position, samples) in missing.into_iter().zip(samples) {
            if let Some(place) = self.logged.get(position) {
                // Only this function sets it, under the lock.
                let _ = place.set(samples);
            }
        }
        problems
    }

    /// The chunks of the series at `position`, which must have been loaded.
    pub(super) fn chunks(&self, position: usize) -> impl Iterator<Item = HeadChunk<'_>> {
        let in_order = Window::new(self.contents.min_valid_ms, i64::MAX);
        let series = self.contents.series.get(position);
        let in_files = series.into_iter().flat_map(|series| &series.chunks).filter_map(move |chunk| {
            let FileChunk { first_ms, last_ms, encoding, .. } = *chunk;
            let (data, path) = self.chunk_files.data(*chunk)?;
            let offset = chunk.offset();
            let valid = if chunk.is_out_of_order { Window::ALL } else { in_order };
            Some(HeadChunk { first_ms, last_ms, encoding, data, path, offset, valid })
        });
        let logged = self.logged.get(position).and_then(OnceLock::get);
        let in_log = logged.into_iter().flat_map(|logged| &logged.chunks).map(|chunk| HeadChunk {
            first_ms: chunk.first_ms,
            last_ms: chunk.last_ms,
            encoding: ENCODING_XOR,
            data: &chunk.data,
            path: &self.root,
            offset: 0,
            valid: Window::ALL,
        });
        in_files.chain(in_log)
    }

    /// The histograms that only the log has, of a series that was loaded.
    pub(super) fn logged_histograms(&self, position: usize) -> &[HistogramSample] {
        let logged = self.logged.get(position).and_then(OnceLock::get);
        logged.map_or(&[], |logged| &logged.histograms)
    }

    /// What was deleted of the series at `position`.
    pub(super) fn deleted(&self, position: usize) -> &[Deleted] {
        self.contents.series.get(position).map_or(&[], |series| &series.deleted)
    }

    pub(super) fn release(&self) {
        self.chunk_files.release();
    }
}

/// The newest checkpoint, the segments after it, then the out-of-order log.
fn log_parts(root: &Path, left_out: &mut Vec<LeftOut>) -> Result<Vec<LogPart>, TsdbError> {
    let wal = root.join(WAL_DIRECTORY);
    let wbl = root.join(WBL_DIRECTORY);
    let listed = |directory: &Path| segments(directory).map_err(|source| list_error(directory, source));
    let checkpoint = newest_checkpoint(&wal).map_err(|source| list_error(&wal, source))?;
    let mut ordered = listed(&wal)?;
    let mut parts = Vec::new();
    if let Some(checkpoint) = checkpoint {
        ordered.retain(|segment| segment.number > checkpoint.number);
        let in_checkpoint = listed(&checkpoint.path)?;
        note_missing(&in_checkpoint, left_out);
        parts.extend(in_checkpoint.into_iter().map(|segment| LogPart {
            segment,
            kind: LogKind::Wal,
            is_last: false,
        }));
    }
    let out_of_order = listed(&wbl)?;
    for (segments, kind) in [(ordered, LogKind::Wal), (out_of_order, LogKind::Wbl)] {
        note_missing(&segments, left_out);
        let last = segments.last().map(|segment| segment.number);
        parts.extend(segments.into_iter().map(|segment| LogPart {
            is_last: Some(segment.number) == last,
            segment,
            kind,
        }));
    }
    Ok(parts)
}

/// The finished checkpoint with the highest number.
fn newest_checkpoint(wal: &Path) -> std::io::Result<Option<Segment>> {
    let entries = match std::fs::read_dir(wal) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        listed => listed?,
    };
    let mut newest: Option<Segment> = None;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(CHECKPOINT_PREFIX)?.parse().ok());
        if let Some(number) = number
            && entry.path().is_dir()
            && newest.as_ref().is_none_or(|newest| newest.number < number)
        {
            newest = Some(Segment { number, path: entry.path() });
        }
    }
    Ok(newest)
}

/// Numbers that are left out in a row of files.
fn note_missing(segments: &[Segment], left_out: &mut Vec<LeftOut>) {
    for (before, after) in segments.iter().zip(segments.iter().skip(1)) {
        let missing = after.number.saturating_sub(before.number).saturating_sub(1);
        if missing > 0 {
            let path = before.path.parent().unwrap_or(&before.path).to_owned();
            let reason = format!(
                "{} between {} and {}: what was in {} is lost",
                if missing == 1 {
                    "a file is missing".to_owned()
                } else {
                    format!("{missing} files are missing")
                },
                name_of(&before.path),
                name_of(&after.path),
                if missing == 1 { "it" } else { "them" },
            );
            left_out.push(LeftOut { name: name_of(&path), path, reason, is_problem: true });
        }
    }
}

fn torn_off(path: &Path, at: u64) -> LeftOut {
    let length = std::fs::metadata(path).map_or(at, |metadata| metadata.len());
    let reason =
        format!("ends in the middle of a record: its last {} bytes are not read", length.saturating_sub(at));
    LeftOut { name: place(path), path: path.to_owned(), reason, is_problem: false }
}

fn damaged(problem: &Problem) -> LeftOut {
    let reason = format!("byte {}: {}", problem.offset, problem.reason);
    LeftOut { name: place(&problem.path), path: problem.path.clone(), reason, is_problem: true }
}

/// What is left out because no record says what it is.
fn nameless(root: &Path, contents: &Contents) -> Vec<LeftOut> {
    let path = root.join(WAL_DIRECTORY);
    let left_out = |reason: String| LeftOut {
        name: WAL_DIRECTORY.to_owned(),
        path: path.clone(),
        reason,
        is_problem: true,
    };
    let mut all = Vec::new();
    if let Some(series) = contents.unknown_references.count() {
        let chunks = match contents.unknown_chunks {
            0 => String::new(),
            chunks => format!(" and {chunks} full chunks"),
        };
        all.push(left_out(format!(
            "{} samples{chunks} of {series} series are not read: the records that name these series are lost",
            contents.unknown_samples,
        )));
    }
    if contents.in_blocks_by_word > 0 {
        all.push(left_out(format!(
            "{} samples or chunks lie behind the last sample of every block and before the end that a block's `meta.json` states: \
             they were deleted from it, or that end is wrong",
            contents.in_blocks_by_word
        )));
    }
    for (kind, count) in &contents.unknown_records {
        all.push(left_out(format!("{count} records of the unknown type {kind} are not read")));
    }
    all
}

/// A file or directory with the directory that it is in.
fn place(path: &Path) -> String {
    let parent = path.parent().map(name_of).unwrap_or_default();
    format!("{parent}/{}", name_of(path))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn list_error(path: &Path, source: std::io::Error) -> TsdbError {
    TsdbError::Io { doing: "list", path: path.to_owned(), source }
}
