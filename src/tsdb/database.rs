//! A directory of blocks, and of what is no block yet, as one database:
//! selection over all of them.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::block::Block;
use super::bytes::Malformed;
use super::discover::{Found, discover};
use super::head::Head;
use super::matcher::Matcher;
use super::problem::{LeftOut, Problem};
use super::{Labels, TsdbError};
use crate::time::Window;

/// The blocks of a snapshot, of a copied data directory, or a single block.
///
/// Opening maps files, walks the index of each block once and holds the files of a block against each other; memory grows with the
/// label names and a thirty-second of the symbols, not with series or samples. May be
/// read from many threads at once.
#[derive(Debug)]
pub struct Database {
    identity: u64,
    blocks: Vec<Block>,
    /// For each block how many blocks have a lower ULID.
    ranks: Vec<u32>,
    heads: Vec<Head>,
    left_out: Vec<LeftOut>,
    problems: Mutex<BTreeSet<Problem>>,
}

/// A series and where its samples lie in the database that it was selected from.
#[derive(Clone, Debug)]
pub struct Series {
    /// What identifies it, the block's external labels included.
    pub labels: Labels,
    pub(super) database: u64,
    pub(super) parts: Arc<[Part]>,
}

/// Where a part of a series stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// In a block.
    Block {
        /// Position among the database's blocks.
        position: usize,
        /// The series' id in that block's index.
        id: u32,
    },
    /// In a head.
    Head {
        /// Which of the database's.
        head: usize,
        /// Position in it.
        position: usize,
    },
}

impl Database {
    /// Opens a snapshot, a data directory or one block. Links to blocks are followed.
    ///
    /// The files are mapped into memory: they must not be changed or cut off
    /// as long as the database is open. Prometheus itself never does that to a
    /// block; deleting a block does no harm either.
    ///
    /// # Errors
    ///
    /// [`TsdbError`] if the path cannot be read or holds no block at all. A
    /// block that cannot be read is in [`left_out`](Self::left_out).
    pub fn open(path: &Path) -> Result<Self, TsdbError> {
        Self::open_all(&[path.to_owned()])
    }

    /// Opens several as one: a block that lies in more than one of them is read once.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), for the first of them.
    pub fn open_all(paths: &[PathBuf]) -> Result<Self, TsdbError> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let Found { blocks, heads, left_out } = discover(paths)?;
        let problems = blocks.iter().flat_map(|block| block.problems.iter().cloned()).collect();
        let lower = |block: &Block| blocks.iter().filter(|other| other.ulid < block.ulid).count() as u32;
        Ok(Self {
            identity: OPENED.fetch_add(1, Ordering::Relaxed),
            ranks: blocks.iter().map(lower).collect(),
            blocks,
            heads,
            left_out,
            problems: Mutex::new(problems),
        })
    }

    /// The blocks that are read, by the beginning of their time, then ULID.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// What servers had not made blocks of yet, in data directories.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// Gives back the memory of chunks that were read so far. They can be read again.
    pub fn release(&self) {
        self.blocks.iter().for_each(|block| block.segments.release());
        self.heads.iter().for_each(Head::release);
    }

    /// The blocks and other parts that are not read, and why.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// From the beginning of the first block to the end of the last, as they
    /// say themselves, and of the samples of the head; `None` without either.
    pub fn time_range(&self) -> Option<Window> {
        let windows = || {
            let heads = self.heads.iter().filter_map(Head::window);
            self.blocks.iter().map(|block| block.window).chain(heads)
        };
        let start_ms = windows().map(|window| window.start_ms).min()?;
        let end_ms = windows().map(|window| window.end_ms).max()?;
        Some(Window::new(start_ms, end_ms))
    }

    /// The number of series, summed over blocks and head: a series in three blocks
    /// counts three times.
    pub fn series_count(&self) -> usize {
        let count = |block: &Block| {
            let counted = block.index.postings.series_count(block.index.bytes());
            counted.unwrap_or_else(|wrong| {
                self.note(block, wrong, "");
                0
            })
        };
        let in_heads: usize = self.heads.iter().map(Head::series_count).sum();
        self.blocks.iter().map(count).sum::<usize>() + in_heads
    }

    /// All values of the label `name`, external labels included.
    pub fn label_values(&self, name: &str) -> BTreeSet<String> {
        let mut values = BTreeSet::new();
        for block in &self.blocks {
            if let Some(value) = block.external_labels.get(name) {
                values.insert(value.to_owned());
                continue;
            }
            let walked = block.index.postings.values(block.index.bytes(), name, |value, _| {
                if !values.contains(value) {
                    values.insert(value.to_owned());
                }
            });
            if let Err(wrong) = walked {
                self.note(block, wrong, "");
            }
        }
        for (_, labels, _) in self.heads.iter().flat_map(Head::series) {
            if let Some(value) = labels.get(name)
                && !values.contains(value)
            {
                values.insert(value.to_owned());
            }
        }
        values
    }

    /// The series that all `matchers` select and that have chunks in `window`,
    /// in the order of their labels. A series in several blocks is one.
    ///
    /// Damage costs the series or the block that has it and is kept in
    /// [`index_problems`](Self::index_problems).
    ///
    /// # Errors
    ///
    /// [`TsdbError::Corrupt`] if not one of the blocks in the window could be asked,
    /// and the heads have nothing.
    pub fn select(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Series>, TsdbError> {
        let mut selected = Selection::default();
        let mut asked = 0_usize;
        let mut failed = Vec::new();
        for (position, block) in self.blocks.iter().enumerate() {
            if !overlaps(block.window, window) {
                continue;
            }
            asked += 1;
            if let Err(wrong) = self.select_in(position, block, matchers, window, &mut selected) {
                self.note(block, wrong.clone(), "");
                failed.push(wrong.in_file(block.index.path()));
            }
        }
        // A selection touches all of an index, reading a series little of it.
        self.blocks.iter().for_each(|block| block.index.release());
        let in_heads = self.select_in_heads(matchers, window, &mut selected);
        if !in_heads
            && failed.len() == asked
            && let Some(first) = failed.into_iter().next()
        {
            return Err(first);
        }
        let series = |(labels, parts): (Labels, Vec<Part>)| Series {
            labels,
            database: self.identity,
            parts: parts.into(),
        };
        Ok(selected.finish().into_iter().map(series).collect())
    }

    /// What was found damaged in the indexes so far, by any selection: series
    /// that could not be returned for it, or whole blocks.
    pub fn index_problems(&self) -> Vec<Problem> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn select_in(
        &self,
        position: usize,
        block: &Block,
        matchers: &[Matcher],
        window: Window,
        selected: &mut Selection,
    ) -> Result<(), Malformed> {
        // External labels are not in the index: decide on them here.
        let (external, indexed): (Vec<_>, Vec<_>) =
            matchers.iter().partition(|matcher| block.external_labels.get(matcher.name()).is_some());
        if !external.iter().all(|matcher| matcher.matches_labels(&block.external_labels)) {
            return Ok(());
        }
        let mut texts = Texts { block, known: HashMap::new(), shared: HashMap::new() };
        let mut pairs = Vec::new();
        selected.rewind();
        for id in block.index.postings.select(block.index.bytes(), &indexed)? {
            match series_in(block, id, window, (&mut texts, &mut pairs)) {
                Ok(true) => {
                    let part = Part::Block { position, id };
                    if block.external_labels.is_empty() {
                        selected.add(&pairs, part, || texts.labels(&pairs));
                    } else {
                        let labels = texts.labels(&pairs).with(&block.external_labels);
                        let pairs: Vec<(&str, &str)> = labels.iter().collect();
                        selected.add(&pairs, part, || labels.clone());
                    }
                }
                Ok(false) => {}
                Err(wrong) => self.note(block, wrong, &format!("id {id}")),
            }
        }
        selected.settle();
        Ok(())
    }

    /// True if they have any of these series. Their samples are then at hand.
    fn select_in_heads(&self, matchers: &[Matcher], window: Window, selected: &mut Selection) -> bool {
        let mut is_any = false;
        for (number, head) in self.heads.iter().enumerate() {
            let mut wanted = Vec::new();
            selected.rewind();
            for (position, labels, (first_ms, last_ms)) in head.series() {
                if first_ms < window.end_ms
                    && window.start_ms <= last_ms
                    && matchers.iter().all(|matcher| matcher.matches_labels(labels))
                {
                    let pairs: Vec<(&str, &str)> = labels.iter().collect();
                    selected.add(&pairs, Part::Head { head: number, position }, || labels.clone());
                    wanted.push(position);
                }
            }
            selected.settle();
            is_any |= !wanted.is_empty();
            let problems = head.load(&wanted);
            self.problems.lock().unwrap_or_else(PoisonError::into_inner).extend(problems);
        }
        is_any
    }

    /// The block at `position`, and how many blocks have a lower ULID.
    pub(super) fn block(&self, position: usize) -> Option<(&Block, u32)> {
        self.blocks.get(position).zip(self.ranks.get(position).copied())
    }

    /// As [`Self::block`] has it for a head, whose samples were written last.
    pub(super) fn head(&self, number: usize) -> Option<(&Head, u32)> {
        let rank = self.blocks.len().saturating_add(number);
        self.heads.get(number).map(|head| (head, u32::try_from(rank).unwrap_or(u32::MAX)))
    }

    /// True if the series was selected from this database.
    pub(super) fn owns(&self, series: &Series) -> bool {
        series.database == self.identity
    }

    fn note(&self, block: &Block, wrong: Malformed, series: &str) {
        let problem = Problem::new(block.index.path(), wrong, series);
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).insert(problem);
    }
}

/// As [`Window::intersect`], but a block that ends where it begins has one instant.
fn overlaps(block: Window, window: Window) -> bool {
    let end_ms = block.end_ms.max(block.start_ms.saturating_add(1));
    Window::new(block.start_ms, end_ms).intersect(window).is_some()
}

/// True if series `id` has a chunk in the window; `pairs` are then its labels as they stand in the index.
fn series_in<'b>(
    block: &'b Block,
    id: u32,
    window: Window,
    (texts, pairs): (&mut Texts<'b>, &mut Vec<(&'b str, &'b str)>),
) -> Result<bool, Malformed> {
    let entry = block.index.series(id)?;
    let mut in_window = false;
    for chunk in entry.chunks()? {
        let chunk = chunk?;
        if chunk.first_ms < window.end_ms && window.start_ms <= chunk.last_ms {
            in_window = true;
            break;
        }
    }
    if !in_window {
        return Ok(false);
    }
    pairs.clear();
    for pair in entry.label_symbols() {
        let (name, value) = pair?;
        pairs.push((texts.text(name)?, texts.text(value)?));
    }
    Ok(true)
}

/// The symbols of a block that were needed so far. Series share most of them.
struct Texts<'b> {
    block: &'b Block,
    known: HashMap<u32, &'b str>,
    shared: HashMap<&'b str, Arc<str>>,
}

impl<'b> Texts<'b> {
    fn text(&mut self, ordinal: u32) -> Result<&'b str, Malformed> {
        if let Some(known) = self.known.get(&ordinal) {
            return Ok(known);
        }
        let found = self.block.index.symbol(ordinal)?;
        self.known.insert(ordinal, found);
        Ok(found)
    }

    /// A label set of its own, its texts shared with those made before.
    fn labels(&mut self, pairs: &[(&'b str, &'b str)]) -> Labels {
        let mut shared = |text: &'b str| Arc::clone(self.shared.entry(text).or_insert_with(|| text.into()));
        Labels::from_ordered(pairs.iter().map(|(name, value)| (shared(name), shared(value))).collect())
    }
}

/// Series that were selected, in the order of their labels, from one block after the other: most series of a block
/// are those of the block before, in the same order.
#[derive(Default)]
struct Selection {
    series: Vec<(Labels, Vec<Part>)>,
    /// Those of the block at hand that are new.
    fresh: Vec<(Labels, Vec<Part>)>,
    /// Where the next one is likely to stand.
    next: usize,
}

impl Selection {
    /// Before the first series of a block.
    fn rewind(&mut self) {
        self.next = 0;
    }

    /// Adds a part of the series with the labels `pairs`, of which `labels` makes a label set if it is new.
    fn add(&mut self, pairs: &[(&str, &str)], part: Part, labels: impl FnOnce() -> Labels) {
        use std::cmp::Ordering::{Equal, Less};
        let at = |position: usize| {
            self.series.get(position).map(|(known, _)| known.iter().cmp(pairs.iter().copied()))
        };
        let found = match (at(self.next), at(self.next.saturating_add(1))) {
            (Some(Equal), _) => Some(self.next),
            (Some(Less), Some(Equal)) => Some(self.next.saturating_add(1)),
            (None, _) if self.series.is_empty() => None,
            _ => {
                let searched =
                    self.series.binary_search_by(|(known, _)| known.iter().cmp(pairs.iter().copied()));
                self.next = searched.unwrap_or_else(|place| place.saturating_sub(1));
                searched.ok()
            }
        };
        match found.and_then(|found| Some((found, self.series.get_mut(found)?))) {
            Some((found, (_, parts))) => {
                parts.push(part);
                self.next = found.saturating_add(1);
            }
            // Empty values stand for absent labels: what is looked for may not be what is made of it.
            None => self.fresh.push((labels(), vec![part])),
        }
    }

    /// After the last series of a block.
    fn settle(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        self.series.append(&mut self.fresh);
        // Stable, and fast on two runs that are in order each.
        self.series.sort_by(|one, other| one.0.cmp(&other.0));
        self.series.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1.append(&mut later.1);
            }
            same
        });
    }

    fn finish(mut self) -> Vec<(Labels, Vec<Part>)> {
        self.settle();
        self.series
    }
}
