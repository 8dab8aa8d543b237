//! The ways to read samples from a server, and the choice between them.

use std::fmt;

use super::client::Client;
use super::error::RemoteError;
use super::selection::Selection;
use super::{export, range_query, remote_read};
use crate::source::staging::PieceWriter;
use crate::time::{MINUTE_MS, Window};

/// A way to read samples, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Remote read, chunks as they lie in the server's blocks.
    Stream,
    /// Remote read, samples in one message.
    Samples,
    /// VictoriaMetrics' `/api/v1/export`.
    Export,
    /// Instant queries with a range selector, `metric[6h]`: the stored samples as JSON. Stale markers are lost.
    Range,
    /// No samples: range queries for sums that the server makes. Never chosen by itself.
    Pushdown,
}

impl Protocol {
    /// The word for flags and for `meta.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Samples => "samples",
            Self::Range => "range",
            Self::Export => "export",
            Self::Pushdown => "pushdown",
        }
    }

    /// What it is, in words.
    pub fn description(self) -> &'static str {
        match self {
            Self::Stream => "remote read, chunks streamed",
            Self::Samples => "remote read, samples",
            Self::Range => "raw range selectors: stale markers are lost",
            Self::Export => "VictoriaMetrics' export: stale markers and NaN cannot be told apart",
            Self::Pushdown => "sums that the server makes, no samples",
        }
    }

    /// What it loses, in sentences for those who read the report.
    pub(super) fn notes(self) -> &'static [&'static str] {
        match self {
            // A push-down says more: see `Pushdown::notes`.
            Self::Stream | Self::Samples | Self::Pushdown => &[],
            Self::Range => &[
                "raw range selectors: stale markers are lost; where a series ended, a gauge is taken to go on \
                 until its next sample if that comes within 5 minutes, or 2.5 intervals where that is more",
                "raw range selectors: the server's external labels are not among the labels",
            ],
            Self::Export => &[
                "VictoriaMetrics' export: stale markers and NaN cannot be told apart; both are taken for the end \
                 of a series",
                "VictoriaMetrics keeps decimal numbers: the last digits of a value may differ from those that \
                 were scraped",
            ],
        }
    }

    /// Samples that one request should bring at most, by what they cost in memory on both sides.
    pub(super) fn samples_a_request(self) -> f64 {
        match self {
            Self::Stream => 2e7,
            Self::Samples | Self::Export => 4e6,
            Self::Range => 1e6,
            // Each metric is a request of its own, whatever its size.
            Self::Pushdown => 0.0,
        }
    }

    /// Reads `selection` in `window` into `piece`.
    pub(super) fn read(
        self,
        client: &Client<'_>,
        selection: &Selection,
        window: Window,
        piece: &mut PieceWriter,
    ) -> Result<(), RemoteError> {
        match self {
            Self::Stream => remote_read::read(client, selection, window, true, piece),
            Self::Samples => remote_read::read(client, selection, window, false, piece),
            Self::Range => range_query::read(client, selection, window, piece),
            Self::Export => export::read(client, selection, window, piece),
            // Sums are no samples: see `pushdown::read`.
            Self::Pushdown => Ok(()),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The best protocol that the server offers, found by asking for a minute of `up` before `at_ms`.
pub(super) fn choose(client: &Client<'_>, at_ms: i64) -> Result<Protocol, RemoteError> {
    let selection = Selection::metrics(vec!["up".to_owned()])?;
    let window = Window::new(at_ms.saturating_sub(MINUTE_MS), at_ms);
    let mut tried = Vec::new();
    let mut refused = |protocol: &str, error: RemoteError| {
        if !is_not_offered(&error) {
            return Err(error);
        }
        tried.push(format!("{protocol}: {error}"));
        Ok(())
    };
    match remote_read::probe(client, &selection, window) {
        Ok(protocol) => return Ok(protocol),
        Err(error) => refused("remote read", error)?,
    }
    // Before the queries, which VictoriaMetrics answers as well, but without stale markers.
    match export::probe(client, &selection, window) {
        Ok(()) => return Ok(Protocol::Export),
        Err(error) => refused("export", error)?,
    }
    match range_query::probe(client, &selection, window) {
        Ok(()) => return Ok(Protocol::Range),
        Err(error) => refused("range selectors", error)?,
    }
    Err(RemoteError::NoProtocol { url: client.url().to_owned(), tried })
}

/// True if the server does not know what was asked; false if it knows but
/// refuses, or does not answer.
fn is_not_offered(error: &RemoteError) -> bool {
    match error {
        RemoteError::Form { .. } => true,
        RemoteError::Status { status, .. } => matches!(status, 400 | 404 | 405 | 406 | 415 | 422 | 500 | 501),
        _ => false,
    }
}
