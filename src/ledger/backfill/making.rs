//! Making days from samples.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rayon::prelude::*;

use super::fingerprints::Fingerprints;
use super::{Action, Backfill, BackfillError, DayDone, DayPlan};
use crate::jobs::Run;
use crate::ledger::store::{DayInputs, DayNode, KnownSeconds, Made, write_day};
use crate::ledger::{Asked, Books, Jobs, LedgerError, Rules, close_books_of, entries_frame, read_for};
use crate::source::{Snapshot, Source as _};
use crate::time::Window;

/// A day knows less than before if fewer device seconds than this share of them are known.
const AS_MUCH: f64 = 1.0 - 1e-9;

/// Days that are made together at most, however many threads there are.
const MOST_DAYS: usize = 8;
/// Scrape targets × days that are made together at most: the rows of so many are in memory at once.
const MOST_TARGET_DAYS: usize = 16_384;

/// A block that was opened.
struct OpenedBlock {
    path: PathBuf,
    window: Window,
    sources: Vec<String>,
}

impl OpenedBlock {
    fn window(&self) -> Window {
        Window::new(self.window.start_ms, self.window.end_ms.max(self.window.start_ms.saturating_add(1)))
    }
}

/// What days are made from.
pub(super) struct Making<'b> {
    backfill: &'b Backfill<'b>,
    source: &'b Snapshot,
    facts: &'b Fingerprints<'b>,
    opened: Vec<OpenedBlock>,
    /// Days that are made together at most.
    most: usize,
}

/// A day whose books are to be made.
struct Start<'b> {
    plan: &'b DayPlan,
    rules: Rules,
    blocks: BTreeSet<String>,
    covered: Option<Window>,
    /// The runs, where those of the log are not as they stand there.
    ended: Option<Vec<Run>>,
}

impl<'b> Making<'b> {
    pub(super) fn new(backfill: &'b Backfill<'b>, source: &'b Snapshot, facts: &'b Fingerprints<'b>) -> Self {
        let opened = source.database().blocks().iter().map(|block| OpenedBlock {
            path: block.path.clone(),
            window: block.window,
            sources: block.sources.clone(),
        });
        let targets = source.label_values("instance").len().max(1);
        Self {
            backfill,
            source,
            facts,
            opened: opened.collect(),
            most: (MOST_TARGET_DAYS / targets).min(rayon::current_num_threads()).clamp(1, MOST_DAYS),
        }
    }

    /// How many of `plans`, from the first on, are taken together: at least one.
    pub(super) fn together(&self, plans: &[DayPlan]) -> usize {
        plans.iter().take(self.most).take_while(|plan| plan.is_made()).count().max(1)
    }

    /// Makes and writes those of the days that are to be made; without those whose samples are not at hand after all.
    pub(super) fn make(&self, plans: &[DayPlan]) -> Result<Vec<DayDone>, BackfillError> {
        let starts: Vec<Start<'_>> =
            plans.iter().filter(|plan| plan.is_made()).filter_map(|plan| self.start(plan)).collect();
        let books = match self.books(&starts) {
            Ok(books) => books,
            // Day by day the others are done, and the one is named.
            Err(_) if starts.len() > 1 => {
                let each = plans.chunks(1).map(|plan| self.make(plan));
                return each.collect::<Result<Vec<_>, _>>().map(|days| days.concat());
            }
            Err(source) => {
                let date = starts.first().map(|start| start.plan.date).unwrap_or_default();
                return Err(BackfillError::Ledger { date, source });
            }
        };
        // All of them, also where one fails: the days before it are then done.
        let done: Vec<Result<DayDone, BackfillError>> =
            starts.par_iter().zip(books).map(|(start, books)| self.finish(start, &books)).collect();
        done.into_iter().collect()
    }

    fn start<'p>(&self, plan: &'p DayPlan) -> Option<Start<'p>> {
        let read = read_for(plan.window);
        // What was opened, not what was there when the list was made.
        let near = self.opened.iter().filter(|block| block.window().intersect(read).is_some());
        let mut blocks: BTreeSet<String> = near.flat_map(|block| block.sources.iter().cloned()).collect();
        blocks.extend(plan.blocks.iter().filter(|name| name.starts_with("head:")).cloned());
        if blocks.is_empty() {
            return None;
        }
        let covered = self.backfill.stretch_of(plan.window);
        let ended = self.backfill.ended(covered);
        let rules = Rules { window: plan.window, ..self.backfill.rules.clone() };
        Some(Start { plan, rules, blocks, covered, ended })
    }

    fn runs<'s>(&'s self, start: &'s Start<'_>) -> &'s [Run] {
        start.ended.as_deref().unwrap_or(&self.backfill.log.runs)
    }

    fn books(&self, starts: &[Start<'_>]) -> Result<Vec<Books>, LedgerError> {
        let asked: Vec<Asked<'_>> = starts
            .iter()
            .map(|start| Asked {
                jobs: Jobs {
                    runs: self.runs(start),
                    covered: start.covered,
                    is_given: self.backfill.has_log,
                    nodes: &self.backfill.log.nodes,
                },
                rules: &start.rules,
            })
            .collect();
        close_books_of(self.source, &asked)
    }

    /// Writes a day whose books are made, unless it knew more before.
    fn finish(&self, start: &Start<'_>, books: &Books) -> Result<DayDone, BackfillError> {
        let (plan, backfill, runs) = (start.plan, self.backfill, self.runs(start));
        let date = plan.date;
        let mut blocks = start.blocks.clone();
        let entries = entries_frame(books, runs, backfill.prices)
            .map_err(|source| BackfillError::Table { date, source })?;
        let before = plan.before.as_ref();
        let mut done = DayDone {
            is_balanced: books.balances.close(),
            has_grown: before.is_some_and(|before| before.window() != plan.window),
            ..plan.left(plan.action.clone())
        };
        if !done.is_balanced {
            done.notes.push("its balances do not close: it is not written".to_owned());
            return Ok(done);
        }
        if let Some(before) = before
            && !backfill.replace
            && !before.inputs.blocks.is_subset(&blocks)
            && let Some(lost) = lost(&backfill.store.known_seconds(before.date), books)
        {
            done.action = Action::Wait(match &plan.action {
                Action::Remake(reasons) => reasons.clone(),
                _ => Vec::new(),
            });
            done.notes.push(format!("{lost}: it is left as it was (`--replace` takes what is at hand)"));
            return Ok(done);
        }
        // A block that is damaged is not done with: another copy of it may be whole.
        for problem in &books.read.problems {
            let of = self.opened.iter().filter(|block| problem.path.starts_with(&block.path));
            for source in of.flat_map(|block| &block.sources) {
                blocks.remove(source);
            }
        }
        let nodes: Vec<DayNode> = books.nodes.iter().map(DayNode::of).collect();
        let inputs = DayInputs { blocks, ..self.facts.of(plan.window, &nodes) };
        done.notes.extend(books.read.problems.iter().map(ToString::to_string));
        let manifest = write_day(
            backfill.store,
            &Made {
                date,
                window: plan.window,
                bucket_ms: start.rules.bucket_ms,
                basis: backfill.prices.intensity.basis().to_string(),
                inputs,
                books,
                entries: &entries,
                runs,
                twins: &self.facts.twins,
                reach_ms: plan.reach_ms,
                simulated: self.source.is_simulated(),
                attributions: (backfill.attributions)(plan.window),
            },
        )?;
        done.after = Some(manifest.totals);
        Ok(done)
    }
}

/// Says which device was known better before, if one was.
fn lost(before: &KnownSeconds, books: &Books) -> Option<String> {
    let mut now = KnownSeconds::new();
    for node in &books.nodes {
        for device in &node.devices {
            let key = (node.name.clone(), device.key.component.to_string(), device.key.id.clone());
            *now.entry(key).or_default() += device.covered_s + device.interpolated_s;
        }
    }
    let worse = before.iter().find_map(|(key, knew_s)| {
        let known_s = now.get(key).copied().unwrap_or(0.0);
        (known_s < AS_MUCH * knew_s).then_some((key, known_s, *knew_s))
    });
    worse.map(|((node, component, id), known_s, knew_s)| {
        let share = 100.0 * known_s / knew_s;
        format!("the samples that are at hand know {share:.1} % of what it knows of {node} {component} {id}")
    })
}
