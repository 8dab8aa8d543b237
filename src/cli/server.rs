//! The flags that say how a server is asked, and what is shown while it is:
//! shared by `fetch` and `report --prometheus`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::ValueEnum;
use indicatif::{HumanBytes, HumanCount, ProgressBar};

use super::Failure;
use super::output::{bar, note};
use crate::config::ServerFlags;
use crate::source::remote::{Event, Protocol, Request, Summary, Tally, fetch};

/// How the server is asked.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// How to read samples from the server.
    #[arg(long, default_value = "auto", help_heading = "Server")]
    protocol: Choice,
    /// Have the server add up steps of this length (`1h` if none is given) and copy the sums only: for clusters too
    /// large to copy. The report then rests on the server's `increase`.
    #[arg(
        long,
        value_name = "STEP",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1h",
        conflicts_with = "protocol",
        help_heading = "Server"
    )]
    pushdown: Option<String>,
    /// User name for basic authentication.
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    user: Option<String>,
    /// File with the password for --user.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    password_file: Option<PathBuf>,
    /// File with a bearer token.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    bearer_token_file: Option<PathBuf>,
    /// Header to send, `NAME: VALUE`; may be given more than once. Others can see it in the process list.
    #[arg(long = "header", value_name = "LINE", help_heading = "Server")]
    headers: Vec<String>,
    /// File with further headers, a line each.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    header_file: Option<PathBuf>,
    /// PEM file with the authority that signed the server's certificate, instead of the system's.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate, and its key if there is no --key-file.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    cert_file: Option<PathBuf>,
    /// PEM file with the client's key.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    key_file: Option<PathBuf>,
    /// Requests at one time, at most 64.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64), help_heading = "Server")]
    connections: u8,
    /// Tries after the first one where the trouble may pass.
    #[arg(long, value_name = "NUMBER", default_value_t = 6, help_heading = "Server")]
    retries: u32,
    /// Longest silence of the server.
    #[arg(long, value_name = "SECONDS", default_value_t = 150, help_heading = "Server")]
    timeout: u64,
    /// Print each request.
    #[arg(long, help_heading = "Server")]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    /// The best one that the server offers.
    Auto,
    /// Remote read, chunks streamed.
    Stream,
    /// Remote read, samples.
    Samples,
    /// Range selectors of PromQL; stale markers are lost.
    Range,
    /// VictoriaMetrics' export.
    Export,
}

impl ServerArgs {
    /// The flags, for the server at `prometheus`.
    pub(super) fn flags(&self, prometheus: &str) -> ServerFlags {
        ServerFlags {
            prometheus: prometheus.to_owned(),
            protocol: match self.protocol {
                Choice::Auto => None,
                Choice::Stream => Some(Protocol::Stream),
                Choice::Samples => Some(Protocol::Samples),
                Choice::Range => Some(Protocol::Range),
                Choice::Export => Some(Protocol::Export),
            },
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            bearer_token_file: self.bearer_token_file.clone(),
            headers: self.headers.clone(),
            header_file: self.header_file.clone(),
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            connections: usize::from(self.connections),
            retries: self.retries,
            timeout_s: self.timeout,
            pushdown: self.pushdown.clone(),
        }
    }

    /// Makes `request` and shows how it goes.
    pub(super) fn fetch(&self, request: &Request) -> Result<Summary, Failure> {
        note(format_args!("fetching   {}", request.window));
        let watch = Watch::new(self.verbose);
        let fetched = fetch(request, &|event| watch.see(event));
        watch.bar.finish_and_clear();
        let summary = fetched?;
        watch.conclude(&summary);
        note(format_args!(
            "wrote {}: {} blocks written, {} kept",
            request.out.display(),
            summary.written.len(),
            summary.kept.len()
        ));
        Ok(summary)
    }
}

/// True if something that the server sent could not be kept.
pub(super) fn is_lossy(tally: &Tally) -> bool {
    !tally.chunks_skipped.is_empty() || tally.chunks_damaged > 0 || tally.histograms_skipped > 0
}

/// What is shown while a fetch runs.
struct Watch {
    verbose: bool,
    began: Instant,
    bar: ProgressBar,
    samples: AtomicU64,
    bytes: AtomicU64,
    /// Each is shown once.
    warnings: Mutex<BTreeSet<String>>,
}

impl Watch {
    fn new(verbose: bool) -> Self {
        Self {
            verbose,
            began: Instant::now(),
            bar: bar("fetching"),
            samples: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            warnings: Mutex::default(),
        }
    }

    fn see(&self, event: Event<'_>) {
        match event {
            Event::Chosen { protocol } => {
                self.say(format!("protocol   {protocol} ({})", protocol.description()));
            }
            Event::Planned { requests, blocks, kept } => {
                // What is left is told by the requests for samples, not by the questions before them.
                self.bar.reset();
                self.bar.set_length(requests as u64);
                let there = if kept > 0 { format!(", {kept} there already") } else { String::new() };
                self.say(format!("to do      {blocks} blocks{there}, {requests} requests"));
            }
            Event::Asked { what, took, trouble } if self.verbose => {
                let ended = trouble.unwrap_or("done");
                self.say(format!("asked      {what}: {ended} ({} ms)", took.as_millis()));
            }
            Event::Asked { .. } => {}
            Event::Retrying { wait, reason } => {
                self.say(format!("waiting    {:.1} s, then again: {reason}", wait.as_secs_f64()));
            }
            Event::Received { bytes } => {
                let all = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
                self.show(self.samples.load(Ordering::Relaxed), all);
            }
            Event::Fetched { samples, earlier } => {
                self.bar.inc(1);
                let all = self.samples.fetch_add(samples, Ordering::Relaxed) + samples;
                self.show(all, self.bytes.load(Ordering::Relaxed));
                if earlier && self.verbose {
                    self.say(format!("kept       {samples} samples of an earlier fetch"));
                }
            }
            Event::Written { block } => {
                if self.verbose {
                    self.say(format!("wrote      {}", block.display()));
                }
            }
            Event::Warning(text) => {
                let mut seen = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.insert(text.to_owned()) {
                    self.say(format!("warning    the server says: {text}"));
                }
            }
        }
    }

    fn say(&self, line: String) {
        self.bar.suspend(|| note(line));
    }

    fn show(&self, samples: u64, bytes: u64) {
        self.bar.set_message(format!("{} samples, {}", HumanCount(samples), HumanBytes(bytes)));
    }

    fn conclude(&self, summary: &Summary) {
        let tally = &summary.tally;
        for (encoding, chunks) in &tally.chunks_skipped {
            note(format_args!("left out   {chunks} chunks in encoding {encoding}: not read"));
        }
        if tally.chunks_damaged > 0 {
            note(format_args!("left out   {} chunks that do not decode", tally.chunks_damaged));
        }
        if tally.histograms_skipped > 0 {
            note(format_args!("left out   {} histograms: not read", tally.histograms_skipped));
        }
        let bytes = self.bytes.load(Ordering::Relaxed);
        note(format_args!(
            "fetched    {} samples, {} over the network, {:.1} s; {} chunks as they came, {} encoded here",
            tally.samples,
            HumanBytes(bytes),
            self.began.elapsed().as_secs_f64(),
            tally.chunks_kept,
            tally.chunks_encoded,
        ));
        for block in &summary.replaced {
            note(format_args!("replaced   {}: the new blocks hold all of it", block.display()));
        }
    }
}
