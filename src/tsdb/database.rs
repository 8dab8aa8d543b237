//! A directory of blocks, and of what is no block yet, as one database:
//! selection over all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::block::Block;
use super::bytes::Malformed;
use super::discover::{Found, discover};
use super::head::Head;
use super::index::SeriesEntry;
use super::matcher::Matcher;
use super::problem::{LeftOut, Problem};
use super::{Labels, TsdbError};
use crate::time::Window;

/// The blocks of a snapshot, of a copied data directory, or a single block.
///
/// Opening maps files and reads tables of contents; memory grows with the
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
        let lower = |block: &Block| blocks.iter().filter(|other| other.ulid < block.ulid).count() as u32;
        Ok(Self {
            identity: OPENED.fetch_add(1, Ordering::Relaxed),
            ranks: blocks.iter().map(lower).collect(),
            blocks,
            heads,
            left_out,
            problems: Mutex::default(),
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
        let mut selected = BTreeMap::new();
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
        Ok(selected.into_iter().map(series).collect())
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
        selected: &mut BTreeMap<Labels, Vec<Part>>,
    ) -> Result<(), Malformed> {
        // External labels are not in the index: decide on them here.
        let (external, indexed): (Vec<_>, Vec<_>) =
            matchers.iter().partition(|matcher| block.external_labels.get(matcher.name()).is_some());
        if !external.iter().all(|matcher| matcher.matches_labels(&block.external_labels)) {
            return Ok(());
        }
        let mut symbols = HashMap::new();
        for id in block.index.postings.select(block.index.bytes(), &indexed)? {
            match series_in(block, id, window, &mut symbols) {
                Ok(Some(labels)) => selected.entry(labels).or_default().push(Part::Block { position, id }),
                Ok(None) => {}
                Err(wrong) => self.note(block, wrong, &format!("id {id}")),
            }
        }
        Ok(())
    }

    /// True if they have any of these series. Their samples are then at hand.
    fn select_in_heads(
        &self,
        matchers: &[Matcher],
        window: Window,
        selected: &mut BTreeMap<Labels, Vec<Part>>,
    ) -> bool {
        let mut is_any = false;
        for (number, head) in self.heads.iter().enumerate() {
            let mut wanted = Vec::new();
            for (position, labels, (first_ms, last_ms)) in head.series() {
                if first_ms < window.end_ms
                    && window.start_ms <= last_ms
                    && matchers.iter().all(|matcher| matcher.matches_labels(labels))
                {
                    selected.entry(labels.clone()).or_default().push(Part::Head { head: number, position });
                    wanted.push(position);
                }
            }
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

/// The labels of series `id`, or `None` if it has no chunk in the window.
fn series_in(
    block: &Block,
    id: u32,
    window: Window,
    symbols: &mut HashMap<u32, Arc<str>>,
) -> Result<Option<Labels>, Malformed> {
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
        return Ok(None);
    }
    Ok(Some(labels_of(block, &entry, symbols)?.with(&block.external_labels)))
}

fn labels_of(
    block: &Block,
    entry: &SeriesEntry<'_>,
    symbols: &mut HashMap<u32, Arc<str>>,
) -> Result<Labels, Malformed> {
    // Series share most of their texts: each is made once per selection.
    let mut text = |ordinal: u32| -> Result<Arc<str>, Malformed> {
        if let Some(known) = symbols.get(&ordinal) {
            return Ok(Arc::clone(known));
        }
        let made: Arc<str> = block.index.symbol(ordinal)?.into();
        symbols.insert(ordinal, Arc::clone(&made));
        Ok(made)
    };
    let mut pairs = Vec::new();
    for pair in entry.label_symbols() {
        let (name, value) = pair?;
        pairs.push((text(name)?, text(value)?));
    }
    Ok(Labels::from_ordered(pairs))
}
