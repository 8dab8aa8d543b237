//! The fetch from end to end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::client::Client;
use super::error::RemoteError;
use super::plan::{BlockPlan, Identity, PIECES, PiecePlan, SHORTEST_MS, Sizes};
use super::protocol::{Protocol, choose};
use super::selection::Selection;
use super::{Event, Observer, Request, Summary, block, pushdown};
use crate::source::staging::{Piece, PieceWriter, Tally, hold};
use crate::time::{Window, split};

/// Copies what `request` names into blocks under its output directory.
///
/// Blocks of the same request that are there are kept; requests that were
/// answered before a fetch was stopped are not made again. One fetch at a time
/// may work in a directory.
///
/// # Errors
///
/// [`RemoteError`]; blocks that are complete by then stay, and so do the answers
/// that came whole.
pub fn fetch(request: &Request, observer: Observer<'_>) -> Result<Summary, RemoteError> {
    let client = Client::new(&request.access, request.retry, request.timeout, observer)?;
    // A selector that cannot be read is found before anything is asked.
    request.selectors.iter().try_for_each(|selector| Selection::parse(selector).map(drop))?;
    let protocol = match (&request.pushdown, request.protocol) {
        (Some(_), _) => Protocol::Pushdown,
        (None, Some(forced)) => forced,
        (None, None) => choose(&client, request.window.end_ms)?,
    };
    observer(Event::Chosen { protocol });
    let identity = Identity::new(request, client.url(), protocol);
    let _held = hold(&request.out)?;
    let staging = request.out.join(PIECES);
    std::fs::create_dir_all(&staging).map_err(RemoteError::io("create", &staging))?;
    remove(&staging, is_torn)?;

    let blocks = identity.blocks(request.window);
    let there = block::of_request(&request.out, &identity)?;
    let mut kept = Vec::new();
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for plan in &blocks {
        if let Some(path) = block::existing(&request.out, plan, &identity, &there)? {
            kept.push(path);
            continue;
        }
        let sizes = match protocol {
            Protocol::Pushdown => Sizes::unknown(),
            _ => Sizes::ask(&client, request, plan.window)?,
        };
        let pieces = identity.pieces(request, protocol, plan.window, &sizes)?;
        jobs.push(Job { plan, open: AtomicUsize::new(pieces.len()), pieces });
    }
    let requests = jobs.iter().map(|job| job.pieces.len()).sum();
    observer(Event::Planned { requests, blocks: jobs.len(), kept: kept.len() });

    let work = Work { request, client: &client, protocol, identity: &identity, done: Mutex::default() };
    let outcome = work.run(&jobs, requests);
    // Pieces that came whole stay for the next time, if there has to be one: after
    // success those left are of windows that nobody asks for any more.
    let prefix = identity.piece_prefix();
    let done = outcome.is_ok();
    remove(&staging, |name| is_torn(name) || done && name.starts_with(&prefix))?;
    // Fails while there are such.
    let _ = std::fs::remove_dir(&staging);
    outcome?;
    let Done { mut written, tally, error: _ } =
        work.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    written.sort();
    let replaced = block::replace(&request.out, &blocks, &identity)?;
    Ok(Summary { protocol, written, kept, replaced, tally })
}

/// True for a piece whose writing was interrupted.
fn is_torn(name: &str) -> bool {
    name.ends_with(".part")
}

/// Removes the pieces whose names `which` picks.
fn remove(staging: &Path, which: impl Fn(&str) -> bool) -> Result<(), RemoteError> {
    for entry in std::fs::read_dir(staging).map_err(RemoteError::io("list", staging))? {
        let path = entry.map_err(RemoteError::io("list", staging))?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(&which) {
            std::fs::remove_file(&path).map_err(RemoteError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// A block to be made, and the requests for it.
struct Job<'a> {
    plan: &'a BlockPlan,
    pieces: Vec<PiecePlan>,
    /// Requests that are not done.
    open: AtomicUsize,
}

/// What all threads share.
struct Work<'a> {
    request: &'a Request,
    client: &'a Client<'a>,
    protocol: Protocol,
    identity: &'a Identity,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    written: Vec<PathBuf>,
    tally: Tally,
    /// The first failure; those after it follow from it.
    error: Option<RemoteError>,
}

impl Work<'_> {
    fn run(&self, jobs: &[Job<'_>], requests: usize) -> Result<(), RemoteError> {
        let next = AtomicUsize::new(0);
        let queue: Vec<(&Job<'_>, &PiecePlan)> =
            jobs.iter().flat_map(|job| job.pieces.iter().map(move |piece| (job, piece))).collect();
        std::thread::scope(|scope| {
            for _ in 0..self.request.connections.clamp(1, requests.max(1)) {
                scope.spawn(|| {
                    while let Some((job, piece)) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = self.piece(job, piece) {
                            self.done().error.get_or_insert(error);
                            self.client.stop();
                            return;
                        }
                    }
                });
            }
        });
        match self.done().error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one request, and the block if it was the last one for it.
    fn piece(&self, job: &Job<'_>, plan: &PiecePlan) -> Result<(), RemoteError> {
        let earlier = Piece::open(&plan.path, |_, _| {})?.map(|piece| piece.tally);
        let is_earlier = earlier.is_some();
        let tally = match earlier {
            Some(tally) => tally,
            None => {
                let mut piece = PieceWriter::create(&plan.path)?;
                self.read(&plan.selection, plan.window, &mut piece)?;
                piece.finish()?
            }
        };
        self.client.tell(Event::Fetched { samples: tally.samples, earlier: is_earlier });
        if job.open.fetch_sub(1, Ordering::AcqRel) == 1 { self.block(job) } else { Ok(()) }
    }

    /// Reads a window, in halves where it is too much at once: of the time, but of the metrics where there are too
    /// many series, or where no shorter time is worth a request.
    fn read(
        &self,
        selection: &Selection,
        window: Window,
        piece: &mut PieceWriter,
    ) -> Result<(), RemoteError> {
        if let (Some(pushdown), Some(metric)) = (&self.request.pushdown, selection.only_metric()) {
            return pushdown::read(self.client, pushdown, metric, window, piece);
        }
        let (error, of_series) = match self.protocol.read(self.client, selection, window, piece) {
            Err(error @ RemoteError::TooMuch { of_series, .. }) => (error, of_series),
            other => return other,
        };
        let is_long = window.length_ms() >= 2 * SHORTEST_MS;
        if (of_series || !is_long)
            && let Some(halves) = selection.halves()?
        {
            return halves.iter().try_for_each(|half| self.read(half, window, piece));
        }
        if is_long {
            return split(window, 2).into_iter().try_for_each(|half| self.read(selection, half, piece));
        }
        Err(error)
    }

    fn block(&self, job: &Job<'_>) -> Result<(), RemoteError> {
        let paths: Vec<PathBuf> = job.pieces.iter().map(|piece| piece.path.clone()).collect();
        let (path, tally) =
            block::assemble(self.request, job.plan, &paths, self.identity, self.client.url(), self.protocol)?;
        for piece in &paths {
            std::fs::remove_file(piece).map_err(RemoteError::io("remove", piece))?;
        }
        let mut done = self.done();
        done.tally.add(&tally);
        if let Some(path) = path {
            self.client.tell(Event::Written { block: &path });
            done.written.push(path);
        }
        Ok(())
    }
}
