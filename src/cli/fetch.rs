//! `wattledger fetch`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::ValueEnum;
use indicatif::{HumanBytes, HumanCount, ProgressBar};

use super::output::{bar, note};
use super::{Failure, Outcome};
use crate::config::{FetchFlags, fetch_request};
use crate::source::remote::{Event, Protocol, Summary, fetch};

/// Copy the series that a report needs from a Prometheus server into a directory of blocks.
///
/// The blocks are Prometheus' own format: `report` and `inspect` read them with
/// --snapshot, and so does every tool of Prometheus. Only the metrics of the meter catalog
/// are copied; --match adds others. The best protocol that the server offers is
/// taken and printed. Stopped or repeated, the same command goes on where it stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger fetch --prometheus http://localhost:9090 --last 7d --out blocks
  wattledger report --snapshot blocks --jobs sacct.txt --zone DE --out report

  A month from Mimir, as one of its tenants, with a token:
  wattledger fetch --prometheus https://mimir.example.org/prometheus \\
      --header 'X-Scope-OrgID: hpc' --bearer-token-file token \\
      --from 2026-10-01 --to 2026-11-01 --out october

  More than the catalog, and one protocol only:
  wattledger fetch --prometheus http://localhost:9090 --last 1d \\
      --match 'slurm_job_state{partition=\"gpu\"}' --protocol range --out blocks

Secrets are read from files, or from the variables WATTLEDGER_PASSWORD and WATTLEDGER_BEARER_TOKEN.
Proxies are taken from HTTP_PROXY, HTTPS_PROXY and NO_PROXY.")]
pub(super) struct Args {
    /// Address of the server, up to what stands before `/api/v1`.
    #[arg(long, value_name = "URL")]
    prometheus: String,
    /// Length of time up to now, or up to --to: `7d`, `36h`.
    #[arg(long, value_name = "LENGTH", conflicts_with = "from", required_unless_present = "from")]
    last: Option<String>,
    /// Start of the time to copy (UTC unless it has an offset).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the time to copy, which does not belong to it; default: the last whole minute.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Directory for the blocks.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Further series to copy, as a PromQL selector; may be given more than once.
    #[arg(long = "match", value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// How to read samples.
    #[arg(long, default_value = "auto")]
    protocol: Choice,
    /// User name for basic authentication.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File with the password for --user.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File with a bearer token.
    #[arg(long, value_name = "FILE")]
    bearer_token_file: Option<PathBuf>,
    /// Header to send, `NAME: VALUE`; may be given more than once. Others can see it in the process list.
    #[arg(long = "header", value_name = "LINE")]
    headers: Vec<String>,
    /// File with further headers, a line each.
    #[arg(long, value_name = "FILE")]
    header_file: Option<PathBuf>,
    /// PEM file with the authority that signed the server's certificate, instead of the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate, and its key if there is no --key-file.
    #[arg(long, value_name = "FILE")]
    cert_file: Option<PathBuf>,
    /// PEM file with the client's key.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Requests at one time, at most 64.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,
    /// Tries after the first one where the trouble may pass.
    #[arg(long, value_name = "NUMBER", default_value_t = 6)]
    retries: u32,
    /// Longest silence of the server.
    #[arg(long, value_name = "SECONDS", default_value_t = 150)]
    timeout: u64,
    /// Print each request.
    #[arg(long)]
    verbose: bool,
    /// Exit with status 3 if any data had to be left out.
    #[arg(long)]
    strict: bool,
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

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let flags = FetchFlags {
        prometheus: args.prometheus.clone(),
        last: args.last.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
        out: args.out.clone(),
        selectors: args.selectors.clone(),
        protocol: match args.protocol {
            Choice::Auto => None,
            Choice::Stream => Some(Protocol::Stream),
            Choice::Samples => Some(Protocol::Samples),
            Choice::Range => Some(Protocol::Range),
            Choice::Export => Some(Protocol::Export),
        },
        user: args.user.clone(),
        password_file: args.password_file.clone(),
        bearer_token_file: args.bearer_token_file.clone(),
        headers: args.headers.clone(),
        header_file: args.header_file.clone(),
        ca_file: args.ca_file.clone(),
        cert_file: args.cert_file.clone(),
        key_file: args.key_file.clone(),
        connections: usize::from(args.connections),
        retries: args.retries,
        timeout_s: args.timeout,
    };
    let now_ms = chrono::Utc::now().timestamp_millis();
    let request = fetch_request(&flags, now_ms, &|name| std::env::var(name).ok())?;
    note(format_args!("fetching {}", request.window));
    let watch = Watch::new(args.verbose);
    let fetched = fetch(&request, &|event| watch.see(event));
    watch.bar.finish_and_clear();
    let summary = fetched?;
    watch.conclude(&summary, args);
    let tally = &summary.tally;
    let lossy = !tally.chunks_skipped.is_empty() || tally.chunks_damaged > 0 || tally.histograms_skipped > 0;
    Ok(if args.strict && lossy { Outcome::LeftOut } else { Outcome::Done })
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

    fn conclude(&self, summary: &Summary, args: &Args) {
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
        note(format_args!(
            "wrote {}: {} blocks written, {} kept",
            args.out.display(),
            summary.written.len(),
            summary.kept.len()
        ));
    }
}
