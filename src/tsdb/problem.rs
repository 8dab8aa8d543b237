//! What could not be read, and the counts that every read keeps.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::bytes::Malformed;
use super::chunk::{chunk_sample_count, encoding_name, why_not_read};

/// Something that was left out because it is damaged: where, what and how often.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes from its start.
    pub offset: u64,
    /// The series that lacks something now, as in PromQL; empty if unknown.
    pub series: String,
    /// What is wrong.
    pub reason: String,
    /// How many chunks of the series have it, from `offset` on.
    pub count: u64,
}

impl Problem {
    pub(crate) fn new(path: &Path, wrong: Malformed, series: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            offset: wrong.offset,
            series: series.into(),
            reason: wrong.reason.into_owned(),
            count: 1,
        }
    }

    /// In words, with the file's place in its block and not where that lay.
    pub fn in_block(&self) -> String {
        let mut parts: Vec<_> = self.path.components().rev().take(3).map(|part| part.as_os_str()).collect();
        parts.reverse();
        let file: PathBuf = parts.into_iter().collect();
        Self { path: file, ..self.clone() }.to_string()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at byte {}: {}", self.path.display(), self.offset, self.reason)?;
        if !self.series.is_empty() {
            write!(f, ", series `{}`", self.series)?;
        }
        if self.count > 1 {
            write!(f, " ({} chunks)", self.count)?;
        }
        Ok(())
    }
}

/// A block, or another part of a data directory, that is not read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The block's ULID or the directory's name.
    pub name: String,
    /// The directory.
    pub path: PathBuf,
    /// Why it is not read.
    pub reason: String,
    /// True if data is missing for it; false if all is as it should be, as
    /// with a block that a compaction has replaced.
    pub is_problem: bool,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path.display(), self.reason)
    }
}

/// Counts over any number of reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Samples returned.
    pub samples: u64,
    /// Stale markers among them.
    pub stale_markers: u64,
    /// Samples decoded, also outside the window.
    pub decoded: u64,
    /// Chunks decoded.
    pub chunks: u64,
    /// Chunks in the window that hold no floats, by the encoding's name; none
    /// of their samples is returned.
    pub chunks_skipped: BTreeMap<String, u64>,
    /// Samples that these chunks claim to hold, also outside the window, by the
    /// same names; an encoding that is not known has none here.
    pub samples_skipped: BTreeMap<String, u64>,
    /// Chunks in the window that are missing or damaged; see `problems`.
    pub chunks_damaged: u64,
    /// Chunks that a deletion (tombstone) covers wholly; they are not decoded.
    pub chunks_deleted: u64,
    /// Samples in the window that a deletion hides, of the chunks decoded.
    pub deleted: u64,
    /// Samples dropped because another one has the same timestamp.
    pub duplicates_dropped: u64,
    /// Those among them whose value is another one, bit for bit.
    pub conflicts: u64,
    /// What was damaged.
    pub problems: Vec<Problem>,
}

impl ReadStats {
    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: Self) {
        self.samples += other.samples;
        self.stale_markers += other.stale_markers;
        self.decoded += other.decoded;
        self.chunks += other.chunks;
        for (encoding, chunks) in other.chunks_skipped {
            *self.chunks_skipped.entry(encoding).or_default() += chunks;
        }
        for (encoding, samples) in other.samples_skipped {
            *self.samples_skipped.entry(encoding).or_default() += samples;
        }
        self.chunks_damaged += other.chunks_damaged;
        self.chunks_deleted += other.chunks_deleted;
        self.deleted += other.deleted;
        self.duplicates_dropped += other.duplicates_dropped;
        self.conflicts += other.conflicts;
        self.problems.extend(other.problems);
    }

    /// What was skipped, a line for each encoding: how much, and why.
    pub fn skipped(&self) -> impl Iterator<Item = String> {
        let counted = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        self.chunks_skipped.iter().map(move |(encoding, chunks)| {
            let chunks = counted(*chunks, "chunk");
            let samples = self.samples_skipped.get(encoding).map(|samples| counted(*samples, "sample"));
            let samples = samples.map(|samples| format!(" with {samples}")).unwrap_or_default();
            format!("{chunks}{samples} in encoding {encoding}: {}", why_not_read(encoding))
        })
    }

    /// Counts a chunk of histograms or of an unknown encoding.
    pub(crate) fn skipped_chunk(&mut self, encoding: u8, data: &[u8]) {
        let name = encoding_name(encoding);
        if let Some(samples) = chunk_sample_count(encoding, data) {
            *self.samples_skipped.entry(name.clone()).or_default() += u64::from(samples);
        }
        *self.chunks_skipped.entry(name).or_default() += 1;
    }

    /// Counts a chunk that is lost. Equal problems of one series in a row
    /// become one, so that a missing segment does not fill the memory.
    pub(crate) fn damaged_chunk(&mut self, problem: Problem) {
        self.chunks_damaged += 1;
        match self.problems.last_mut() {
            Some(last)
                if last.path == problem.path
                    && last.reason == problem.reason
                    && last.series == problem.series =>
            {
                last.count += 1;
            }
            _ => self.problems.push(problem),
        }
    }
}
