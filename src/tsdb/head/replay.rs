//! What the log says, record by record: the series of the head, and in a second
//! pass the samples of those that are wanted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::InBlocks;
use super::chunk_files::FileChunk;
use super::log::{LogReader, Segment};
use super::record::{Entry, decode};
use crate::tsdb::bytes::Malformed;
use crate::tsdb::problem::Problem;
use crate::tsdb::tombstones::{Deleted, cover, merge};
use crate::tsdb::writer::xor::OpenChunk;
use crate::tsdb::{HistogramSample, Labels};

/// Samples in a full chunk, as Prometheus cuts them.
const SAMPLES_PER_CHUNK: usize = 120;

/// A part of the log, in the order in which a server replays them.
#[derive(Clone, Debug)]
pub(super) struct LogPart {
    pub(super) segment: Segment,
    pub(super) kind: LogKind,
    /// True for the file that a server was writing when it stopped.
    pub(super) is_last: bool,
}

/// Which log a segment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogKind {
    /// The WAL or its checkpoint: samples in order.
    Wal,
    /// The log of samples that came out of order.
    Wbl,
}

/// References are small numbers that servers give out one after the other.
#[derive(Default)]
pub(super) struct ReferenceHasher(u64);

impl Hasher for ReferenceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: high and low bits both depend on the number.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

type References = HashMap<u64, usize, BuildHasherDefault<ReferenceHasher>>;

/// A series of the head.
#[derive(Debug, Default)]
pub(super) struct HeadSeries {
    pub(super) labels: Labels,
    /// First and last time of any of its samples; `None` without one.
    pub(super) span: Option<(i64, i64)>,
    /// Its chunks in `chunks_head/`.
    pub(super) chunks: Vec<FileChunk>,
    /// What was deleted of it, in order.
    pub(super) deleted: Vec<Deleted>,
}

impl HeadSeries {
    fn saw(&mut self, first_ms: i64, last_ms: i64) {
        let (first, last) = self.span.unwrap_or((first_ms, last_ms));
        self.span = Some((first.min(first_ms), last.max(last_ms)));
    }

    /// Times of which chunks in files hold what the log has in order, merged.
    fn in_files(&self) -> Vec<Deleted> {
        let in_order = self.chunks.iter().filter(|chunk| !chunk.is_out_of_order);
        let mut spans: Vec<Deleted> =
            in_order.map(|chunk| Deleted { first_ms: chunk.first_ms, last_ms: chunk.last_ms }).collect();
        merge(&mut spans);
        spans
    }
}

/// What the first pass finds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) series: Vec<HeadSeries>,
    references: References,
    by_labels: HashMap<Labels, usize>,
    texts: HashSet<Arc<str>>,
    /// Earlier samples in order are in blocks.
    pub(super) min_valid_ms: i64,
    in_blocks: InBlocks,
    /// Samples and chunks that are taken to be in blocks, and that no block has.
    pub(super) in_blocks_by_word: u64,
    /// Samples in the log and chunks in files whose series no record names, and
    /// the references that they have.
    pub(super) unknown_samples: u64,
    pub(super) unknown_chunks: u64,
    pub(super) unknown_references: UnknownReferences,
    /// Records of types that are not known, by type.
    pub(super) unknown_records: BTreeMap<u8, u64>,
    pub(super) damage: Vec<Problem>,
    /// Segments that break off, and at which byte.
    pub(super) torn: Vec<(PathBuf, u64)>,
}

/// References that no record names. Of very many not all are kept.
#[derive(Debug, Default)]
pub(super) struct UnknownReferences {
    kept: BTreeSet<u64>,
    has_more: bool,
}

impl UnknownReferences {
    const MOST: usize = 1_000_000;

    fn insert(&mut self, reference: u64) {
        if self.kept.len() < Self::MOST {
            self.kept.insert(reference);
        } else {
            self.has_more |= !self.kept.contains(&reference);
        }
    }

    /// How many there are, in words; `None` without any.
    pub(super) fn count(&self) -> Option<String> {
        let more = if self.has_more { "more than " } else { "" };
        (!self.kept.is_empty()).then(|| format!("{more}{}", self.kept.len()))
    }
}

impl Contents {
    /// Reads all of the log once.
    pub(super) fn read(parts: &[LogPart], chunks: Vec<(u64, FileChunk)>, in_blocks: InBlocks) -> Self {
        let mut contents = Self { min_valid_ms: in_blocks.until_ms, in_blocks, ..Self::default() };
        let mut dropped = BTreeSet::new();
        let mut reader = LogReader::new();
        for part in parts {
            let read = reader.read(&part.segment.path, &mut |record| {
                decode(record, |entry| contents.take(entry, part.kind, &mut dropped))
            });
            let path = &part.segment.path;
            match read {
                Ok(end) => {
                    contents.damage.extend(end.damage.into_iter().map(|wrong| Problem::new(path, wrong, "")));
                    match end.torn_at {
                        Some(at) if part.is_last => contents.torn.push((path.clone(), at)),
                        Some(offset) => {
                            let wrong = Malformed { offset, reason: "a record without its end".into() };
                            contents.damage.push(Problem::new(path, wrong, ""));
                        }
                        None => {}
                    }
                }
                Err(error) => contents.damage.push(unreadable(path, &error)),
            }
        }
        for (reference, chunk) in chunks {
            contents.take_chunk(reference, chunk, &dropped);
        }
        contents.by_labels = HashMap::new();
        contents.texts = HashSet::new();
        for series in &mut contents.series {
            merge(&mut series.deleted);
        }
        contents
    }

    fn take(&mut self, entry: Entry<'_>, kind: LogKind, dropped: &mut BTreeSet<u64>) {
        match entry {
            Entry::Series { reference, labels } => self.name(reference, &labels),
            Entry::Sample { reference, at_ms, .. } | Entry::Histogram { reference, at_ms, .. } => {
                if kind == LogKind::Wal && at_ms < self.min_valid_ms {
                    self.in_blocks_by_word += u64::from(self.in_blocks.has_by_word_only(at_ms));
                    return;
                }
                match self.of(reference) {
                    Some(series) => series.saw(at_ms, at_ms),
                    None => {
                        self.unknown_samples += 1;
                        self.unknown_references.insert(reference);
                    }
                }
            }
            Entry::Deleted { reference, first_ms: i64::MIN, last_ms: i64::MAX } => {
                // The server has moved the whole series into a block.
                if let Some(series) = self.of(reference) {
                    series.span = None;
                    dropped.insert(reference);
                }
            }
            Entry::Deleted { reference, first_ms, last_ms } => {
                if last_ms >= self.min_valid_ms
                    && first_ms <= last_ms
                    && let Some(series) = self.of(reference)
                {
                    series.deleted.push(Deleted { first_ms, last_ms });
                }
            }
            Entry::MinValidTime { at_ms } => self.min_valid_ms = self.min_valid_ms.max(at_ms),
            Entry::Other => {}
            Entry::Unknown { kind } => *self.unknown_records.entry(kind).or_default() += 1,
        }
    }

    /// A label set that comes again under another reference is the same series.
    fn name(&mut self, reference: u64, labels: &[(&str, &str)]) {
        let mut text = |text: &str| match self.texts.get(text) {
            Some(known) => Arc::clone(known),
            None => {
                let made: Arc<str> = text.into();
                self.texts.insert(Arc::clone(&made));
                made
            }
        };
        let labels =
            Labels::from_ordered(labels.iter().map(|(name, value)| (text(name), text(value))).collect());
        let position = *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            self.series.push(HeadSeries { labels: labels.clone(), ..HeadSeries::default() });
            self.series.len() - 1
        });
        self.references.insert(reference, position);
    }

    fn take_chunk(&mut self, reference: u64, chunk: FileChunk, dropped: &BTreeSet<u64>) {
        let is_in_block = !chunk.is_out_of_order && chunk.last_ms < self.min_valid_ms;
        if is_in_block || dropped.contains(&reference) {
            let by_word = is_in_block && self.in_blocks.has_by_word_only(chunk.last_ms);
            self.in_blocks_by_word += u64::from(by_word);
            return;
        }
        match self.of(reference) {
            Some(series) => {
                series.saw(chunk.first_ms, chunk.last_ms);
                series.chunks.push(chunk);
            }
            None => {
                self.unknown_chunks += 1;
                self.unknown_references.insert(reference);
            }
        }
    }

    fn of(&mut self, reference: u64) -> Option<&mut HeadSeries> {
        let position = self.references.get(&reference)?;
        self.series.get_mut(*position)
    }
}

/// Samples of one series that only the log has, as chunks in memory.
#[derive(Debug, Default)]
pub(super) struct Logged {
    pub(super) chunks: Vec<LoggedChunk>,
    pub(super) histograms: Vec<HistogramSample>,
}

/// A chunk of samples from the log, in XOR encoding.
#[derive(Debug)]
pub(super) struct LoggedChunk {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) data: Box<[u8]>,
}

/// A series that is being filled from the log.
#[derive(Default)]
struct Filling {
    logged: Logged,
    open: Option<OpenChunk>,
    /// The last sample in order: a server takes no earlier ones from the WAL,
    /// those that it accepted are in the WBL.
    last_ms: Option<i64>,
}

impl Filling {
    fn is_next(&mut self, at_ms: i64) -> bool {
        let is_next = self.last_ms.is_none_or(|last_ms| last_ms < at_ms);
        if is_next {
            self.last_ms = Some(at_ms);
        }
        is_next
    }

    fn push(&mut self, at_ms: i64, value: f64) {
        match &mut self.open {
            Some(open) if open.last_ms() < at_ms && open.samples() < SAMPLES_PER_CHUNK => {
                open.push(at_ms, value)
            }
            open => {
                let full = open.replace(OpenChunk::new(at_ms, value));
                self.logged.chunks.extend(full.map(closed));
            }
        }
    }

    fn finish(mut self) -> Logged {
        self.logged.chunks.extend(self.open.take().map(closed));
        self.logged
    }
}

fn closed(open: OpenChunk) -> LoggedChunk {
    LoggedChunk { first_ms: open.first_ms(), last_ms: open.last_ms(), data: open.into_data().into() }
}

impl Contents {
    /// Reads the log again for the samples of the series at `wanted` positions,
    /// in that order. What is damaged was found by the first pass; the problems
    /// are segments that cannot be read any more.
    pub(super) fn samples(&self, parts: &[LogPart], wanted: &[usize]) -> (Vec<Logged>, Vec<Problem>) {
        let places: HashMap<usize, usize> =
            wanted.iter().enumerate().map(|(place, position)| (*position, place)).collect();
        let place_of: HashMap<u64, usize, BuildHasherDefault<ReferenceHasher>> = self
            .references
            .iter()
            .filter_map(|(reference, position)| Some((*reference, *places.get(position)?)))
            .collect();
        let mut filling: Vec<Filling> = wanted.iter().map(|_| Filling::default()).collect();
        let in_files: Vec<Vec<Deleted>> = wanted
            .iter()
            .map(|at| self.series.get(*at).map(HeadSeries::in_files).unwrap_or_default())
            .collect();
        let mut problems = Vec::new();
        let mut reader = LogReader::new();
        for LogPart { segment, kind, .. } in parts {
            let mut take = |entry: Entry<'_>| {
                let (reference, at_ms) = match entry {
                    Entry::Sample { reference, at_ms, .. } | Entry::Histogram { reference, at_ms, .. } => {
                        (reference, at_ms)
                    }
                    Entry::Deleted { reference, first_ms: i64::MIN, last_ms: i64::MAX } => {
                        if let Some(filled) =
                            place_of.get(&reference).and_then(|place| filling.get_mut(*place))
                        {
                            *filled = Filling::default();
                        }
                        return;
                    }
                    _ => return,
                };
                let Some(place) = place_of.get(&reference).copied() else { return };
                let Some((filled, in_files)) = filling.get_mut(place).zip(in_files.get(place)) else {
                    return;
                };
                if *kind == LogKind::Wal {
                    let in_file = || cover(in_files, at_ms, at_ms);
                    if at_ms < self.min_valid_ms || !filled.is_next(at_ms) || in_file() {
                        return;
                    }
                }
                match entry {
                    Entry::Sample { value, .. } => filled.push(at_ms, value),
                    Entry::Histogram { count, sum, .. } => {
                        filled.logged.histograms.push(HistogramSample { timestamp_ms: at_ms, count, sum });
                    }
                    _ => {}
                }
            };
            if let Err(error) = reader.read(&segment.path, &mut |record| decode(record, &mut take)) {
                problems.push(unreadable(&segment.path, &error));
            }
        }
        (filling.into_iter().map(Filling::finish).collect(), problems)
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(path, Malformed::new(0, format!("cannot read it: {error}")), "")
}
