//! Closing the books: node by node in parallel, of one window or of several at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::node::{Context, Hold, OfRuns};
use super::peaks::Peaks;
use super::size::most_at_once;
use super::survey::{Survey, survey};
use super::{Balances, Books, Jobs, LedgerError, NodeBooks, Rules, joblog, meter_line, shift};
use crate::jobs::{Run, SchedulerNode};
use crate::meter::inventory::NodeSeries;
use crate::meter::names::{Aliases, NodeNames, nearest};
use crate::meter::presence::LONGEST_GAP_MS;
use crate::meter::stream::Scratch;
use crate::source::{Series, Source};
use crate::time::{Window, local_days, span, whole_days};
use crate::tsdb::{METRIC_NAME, ReadStats};

/// Unseen nodes for which a likely partner is looked for: each is held against every node that was seen.
const MOST_PARTNERS: usize = 1000;

/// The series that the catalog knows and that have samples in or near the window.
///
/// # Errors
///
/// Where the source cannot be searched.
pub fn select<'a>(source: &'a dyn Source, rules: &Rules) -> Result<Vec<Box<dyn Series + 'a>>, LedgerError> {
    let names = if rules.catalog.has_patterns() { source.label_values(METRIC_NAME) } else { Vec::new() };
    let metrics: Vec<&str> = rules.catalog.readable().chain(rules.catalog.fitting(&names)).collect();
    Ok(source.select(&metrics, read_window(rules))?)
}

/// What is read of the series: whole UTC days, for rules go by them, and as far beyond the window as two samples can be apart, so
/// that the intervals at its edges and the power beside run edges are known.
pub(super) fn read_window(rules: &Rules) -> Window {
    read_for(rules.window)
}

/// The time whose samples can have a part in the figures of `window`.
pub fn read_for(window: Window) -> Window {
    whole_days(Window::new(
        window.start_ms.saturating_sub(LONGEST_GAP_MS),
        window.end_ms.saturating_add(LONGEST_GAP_MS),
    ))
}

/// Makes the books. `progress` is called with the number of nodes done and of all nodes.
///
/// # Errors
///
/// Where the source cannot be searched or a series cannot be read at all; a
/// damaged piece is counted in [`Books::read`] and the rest goes on.
pub fn close_books(
    source: &dyn Source,
    jobs: Jobs<'_>,
    rules: &Rules,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Books, LedgerError> {
    close_books_with(source, jobs, rules, progress, &|_| (), &mut |()| ())
}

/// Makes the books and lets go of what is large on the way: `digest` makes of each node what is needed of its rows, on whatever
/// thread, and may empty it; `take` gets that in the order of the nodes. Memory then grows with what is taken.
///
/// # Errors
///
/// As [`close_books`].
pub fn close_books_with<D: Send>(
    source: &dyn Source,
    jobs: Jobs<'_>,
    rules: &Rules,
    progress: &(dyn Fn(usize, usize) + Sync),
    digest: &(dyn Fn(&mut NodeBooks) -> D + Sync),
    take: &mut dyn FnMut(D),
) -> Result<Books, LedgerError> {
    let books = close_node_by_node(source, &[Asked { jobs, rules }], progress, digest, take)?;
    Ok(books.into_iter().next().unwrap_or_default())
}

/// A window whose books are wanted: that of the rules.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) jobs: Jobs<'a>,
    pub(super) rules: &'a Rules,
}

/// Makes the books of several windows, each as [`close_books`] makes it, side by side: what one thread must do of a window does not
/// keep the others waiting.
pub(super) fn close_books_of(source: &dyn Source, asked: &[Asked<'_>]) -> Result<Vec<Books>, LedgerError> {
    close_node_by_node(source, asked, &|_, _| {}, &|_| (), &mut |()| ())
}

/// Nodes that are worked through before what they gave is taken on, for each thread.
const NODES_AT_ONCE: usize = 16;

fn close_node_by_node<D: Send>(
    source: &dyn Source,
    asked: &[Asked<'_>],
    progress: &(dyn Fn(usize, usize) + Sync),
    digest: &(dyn Fn(&mut NodeBooks) -> D + Sync),
    take: &mut dyn FnMut(D),
) -> Result<Vec<Books>, LedgerError> {
    let series = asked.par_iter().map(|asked| select(source, asked.rules)).collect::<Result<Vec<_>, _>>()?;
    let surveys: Vec<Survey<'_>> =
        series.par_iter().zip(asked).map(|(series, asked)| survey(series, asked.rules)).collect();
    let buckets: Vec<Vec<Window>> = asked.iter().map(|asked| asked.rules.buckets()).collect();
    let closings: Vec<Closing<'_>> = asked
        .par_iter()
        .zip(surveys.par_iter().zip(&buckets))
        .map(|(asked, (survey, buckets))| Closing::new(*asked, survey, buckets))
        .collect();
    let names: BTreeSet<&str> =
        closings.iter().flat_map(|closing| closing.nodes.keys()).map(String::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let done = AtomicUsize::new(0);
    let mut unfinished: Vec<Unfinished> = asked.iter().map(|_| Unfinished::default()).collect();
    for some in names.chunks(NODES_AT_ONCE.saturating_mul(rayon::current_num_threads())) {
        let results: Vec<Result<Vec<Option<Closed<D>>>, LedgerError>> = some
            .par_iter()
            .map_init(
                || asked.iter().map(|asked| Scratch::of(asked.rules.window)).collect::<Vec<Scratch>>(),
                |scratches, name| {
                    let of_node = closings.iter().zip(scratches);
                    let made =
                        of_node.map(|(closing, scratch)| closing.node(name, scratch, digest)).collect();
                    source.release();
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1, names.len());
                    made
                },
            )
            .collect();
        for result in results {
            for (closed, books) in result?.into_iter().zip(&mut unfinished) {
                if let Some(closed) = closed {
                    take(books.add(closed));
                }
            }
        }
    }
    let of_windows = closings.par_iter().zip(surveys.par_iter().zip(&buckets));
    Ok(unfinished
        .into_par_iter()
        .zip(of_windows)
        .map(|(books, (closing, (survey, buckets)))| books.finish(closing, survey, buckets.clone()))
        .collect())
}

/// What closing one node's books gave.
struct Closed<D> {
    node: NodeBooks,
    of_runs: OfRuns,
    balances: Balances,
    read: ReadStats,
    activity: Option<shift::Activity>,
    digested: D,
}

/// All that is known of a window before anything is decoded.
struct Closing<'a> {
    context: Context<'a>,
    /// Every node that books are made of, with its series if it has any.
    nodes: BTreeMap<String, Option<&'a NodeSeries<'a>>>,
    holds: BTreeMap<String, Vec<Hold>>,
    /// Nodes that the scheduler knows.
    known: BTreeSet<String>,
}

impl<'a> Closing<'a> {
    fn new(Asked { jobs, rules }: Asked<'a>, survey: &'a Survey<'a>, buckets: &'a [Window]) -> Self {
        let Survey { inventory, names } = survey;
        let from_ms = rules.jobs_from_ms.or(jobs.covered.map(|covered| covered.start_ms));
        let to_ms = rules.jobs_to_ms.or(jobs.covered.map(|covered| covered.end_ms));
        let covered = from_ms.zip(to_ms).filter(|_| jobs.is_given).map(|(from, to)| Window::new(from, to));
        let (holds, mut known) = holds_by_node(jobs.runs, names, rules, covered);
        let most_cpus = most_cpus_by_node(jobs.runs, names.aliases(), covered);
        let described: BTreeMap<String, &SchedulerNode> =
            jobs.nodes.iter().map(|node| (names.aliases().canonical(&node.name), node)).collect();
        known.extend(described.keys().cloned());
        let efficiencies =
            if rules.model_unseen_nodes { joblog::efficiencies(jobs.runs) } else { Vec::new() };
        let mut nodes: BTreeMap<String, Option<&NodeSeries<'_>>> =
            inventory.nodes.iter().map(|(name, series)| (name.clone(), Some(series))).collect();
        if rules.model_unseen_nodes {
            for name in &known {
                nodes.entry(name.clone()).or_insert(None);
            }
        }
        let context = Context {
            rules,
            buckets,
            runs: jobs.runs,
            covered,
            has_log: jobs.is_given,
            efficiencies,
            described,
            days: days_of(buckets, rules.time_zone),
            most_cpus,
        };
        Self { context, nodes, holds, known }
    }

    /// Closes the books of a node, if this window has it.
    fn node<D>(
        &self,
        name: &str,
        scratch: &mut Scratch,
        digest: &(dyn Fn(&mut NodeBooks) -> D + Sync),
    ) -> Result<Option<Closed<D>>, LedgerError> {
        let Some(series) = self.nodes.get(name) else { return Ok(None) };
        let held = self.holds.get(name).map_or(&[][..], Vec::as_slice);
        let made = self.context.node(name, *series, held, self.known.contains(name), scratch);
        // Of a node that failed nothing is left for the next one.
        let read = std::mem::take(&mut scratch.stats);
        let ((mut node, of_runs), balances) = made?;
        let activity = self.context.activity(&node, held);
        let digested = digest(&mut node);
        Ok(Some(Closed { node, of_runs, balances, read, activity, digested }))
    }
}

/// Books on the way.
#[derive(Default)]
struct Unfinished {
    books: Books,
    peaks: Peaks,
    activity: Vec<shift::Activity>,
}

impl Unfinished {
    /// Takes on a node.
    fn add<D>(&mut self, closed: Closed<D>) -> D {
        self.books.balances.merge(closed.balances);
        self.books.read.merge(closed.read);
        self.books.nodes.push(closed.node);
        closed.of_runs.minutes.into_iter().for_each(|power| self.peaks.add(power));
        for (run, used) in closed.of_runs.held {
            self.books.held.entry(run).or_default().add(used);
        }
        self.activity.extend(closed.activity);
        closed.digested
    }

    fn finish(self, closing: &Closing<'_>, survey: &Survey<'_>, buckets: Vec<Window>) -> Books {
        let Self { mut books, peaks, activity } = self;
        let (context, inventory) = (&closing.context, &survey.inventory);
        books.jobs_covered = context.covered;
        books.peaks_w = peaks.watts();
        let unseen = closing.known.iter().filter(|name| !inventory.nodes.contains_key(name.as_str()));
        books.nodes_without_series = unseen
            .enumerate()
            .map(|(nth, name)| {
                let mut seen = inventory.nodes.keys().map(String::as_str);
                let partner = if nth < MOST_PARTNERS { nearest(name, &mut seen) } else { None };
                (name.clone(), partner.map(str::to_owned))
            })
            .collect();
        books.meters = meter_line::lines(&inventory.rows, &books.nodes);
        books.time_shift = context.covered.and_then(|covered| shift::better(&activity, &buckets, covered));
        books.buckets = buckets;
        books
    }
}

/// Every node's holds in the time that is read, and all nodes that the scheduler knows.
fn holds_by_node(
    runs: &[Run],
    names: &NodeNames,
    rules: &Rules,
    covered: Option<Window>,
) -> (BTreeMap<String, Vec<Hold>>, BTreeSet<String>) {
    let read = read_window(rules);
    let mut known: BTreeSet<String> =
        rules.scheduler_nodes.iter().map(|name| names.aliases().canonical(name)).collect();
    let mut canonical: BTreeMap<&str, String> = BTreeMap::new();
    let mut holds: BTreeMap<String, Vec<Hold>> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        // A run that was still going is known to have gone on as far as the log tells, no further.
        let end_ms = run.end_ms.or(covered.map(|covered| covered.end_ms)).unwrap_or(run.start_ms);
        let window = Window::new(run.start_ms, end_ms).intersect(read);
        for allocation in &run.allocations {
            let node = canonical
                .entry(&allocation.node)
                .or_insert_with(|| names.aliases().canonical(&allocation.node));
            if !known.contains(node.as_str()) {
                known.insert(node.clone());
            }
            let Some(window) = window else { continue };
            let here = holds.entry(node.clone()).or_default();
            let add = |left: Option<f64>, right: Option<f64>| Some(left? + right?);
            match here.last_mut().filter(|last| last.run == index) {
                // Two of the scheduler's nodes are one machine: the run holds both parts of it.
                Some(last) => {
                    last.cpus = add(last.cpus, allocation.cpus);
                    last.memory_bytes = add(last.memory_bytes, allocation.memory_bytes);
                    last.gpus = add(last.gpus, allocation.gpus);
                    last.gpu_ids.extend(allocation.gpu_ids.iter().flatten().cloned());
                }
                None => here.push(Hold {
                    run: index,
                    window,
                    cpus: allocation.cpus,
                    memory_bytes: allocation.memory_bytes,
                    gpus: allocation.gpus,
                    gpu_ids: allocation.gpu_ids.clone().unwrap_or_default(),
                }),
            }
        }
    }
    (holds, known)
}

/// Of each bucket the day of `zone` that it is of, counted from 0.
fn days_of(buckets: &[Window], zone: chrono_tz::Tz) -> Vec<usize> {
    let days = span(buckets).map(|window| local_days(window, zone)).unwrap_or_default();
    let day_of =
        |bucket: &Window| days.partition_point(|(_, day)| day.start_ms <= bucket.start_ms).saturating_sub(1);
    buckets.iter().map(day_of).collect()
}

/// The CPUs that were allocated at one time, the most in the whole log, by node (rule W4).
pub(crate) fn most_cpus_by_node(
    runs: &[Run],
    aliases: &Aliases,
    covered: Option<Window>,
) -> BTreeMap<String, f64> {
    let mut canonical: BTreeMap<&str, String> = BTreeMap::new();
    let mut amounts: BTreeMap<String, Vec<(Window, f64)>> = BTreeMap::new();
    for run in runs {
        let end_ms = run.end_ms.or(covered.map(|covered| covered.end_ms)).unwrap_or(run.start_ms);
        let window = Window::new(run.start_ms, end_ms.max(run.start_ms));
        for allocation in &run.allocations {
            let Some(cpus) = allocation.cpus else { continue };
            let node =
                canonical.entry(&allocation.node).or_insert_with(|| aliases.canonical(&allocation.node));
            match amounts.get_mut(node.as_str()) {
                Some(known) => known.push((window, cpus)),
                None => drop(amounts.insert(node.clone(), vec![(window, cpus)])),
            }
        }
    }
    amounts.into_iter().map(|(node, amounts)| (node, most_at_once(amounts.into_iter()))).collect()
}
