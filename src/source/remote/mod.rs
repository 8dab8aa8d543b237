//! Samples of a Prometheus, or of who speaks like one, copied over HTTP into
//! blocks on the local disk.
//!
//! The best protocol that the server offers is taken ([`Protocol`]). The window
//! is cut into UTC days, each of which becomes a block, and a day into requests
//! that stay under the server's limits. What a request brings lies in a file
//! of its own until its block is complete, so a fetch that was stopped goes on
//! where it was. Blocks are named after what was asked: the same request finds
//! them and keeps them.

mod access;
mod api;
mod block;
mod client;
mod error;
mod export;
pub(super) mod export_line;
mod fetch;
pub(super) mod messages;
mod plan;
mod protobuf;
mod protocol;
mod pushdown;
pub(super) mod range_query;
mod remote_read;
mod selection;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::retry::Retry;
pub use access::{Access, Credentials, Secret};
pub use error::RemoteError;
pub use fetch::fetch;
pub use protocol::Protocol;
pub use pushdown::{Aggregate, Pushdown, STEP_LABEL, SUM_PREFIX, Summed, VALUE_LABEL, value};

pub use super::staging::Tally;

use crate::time::Window;

/// What to copy, from where, to where.
#[derive(Clone, Debug)]
pub struct Request {
    /// The server.
    pub access: Access,
    /// Samples inside it are copied.
    pub window: Window,
    /// Metrics to copy, all their series.
    pub metrics: Vec<String>,
    /// Further series, as PromQL selectors.
    pub selectors: Vec<String>,
    /// Directory for the blocks; made if it is not there.
    pub out: PathBuf,
    /// The protocol to use; the best one offered if absent.
    pub protocol: Option<Protocol>,
    /// Sums by the server instead of samples; goes with [`Protocol::Pushdown`] only.
    pub pushdown: Option<Pushdown>,
    /// Requests at one time, at least one.
    pub connections: usize,
    /// How passing trouble is dealt with.
    pub retry: Retry,
    /// Longest silence of the server.
    pub timeout: Duration,
}

impl Request {
    /// Name of a directory for what this server is asked, by whom, and of which
    /// series: the same for every time and protocol.
    pub fn cache_name(&self) -> String {
        plan::cache_name(self)
    }
}

/// What happens during a fetch, for those who watch. No text in it holds a secret.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// How the server will be asked.
    Chosen {
        /// The protocol.
        protocol: Protocol,
    },
    /// What there is to do.
    Planned {
        /// Requests to be made.
        requests: usize,
        /// Blocks that they will fill.
        blocks: usize,
        /// Blocks that are there already.
        kept: usize,
    },
    /// A request ended, well or not.
    Asked {
        /// What was asked.
        what: &'a str,
        /// How long it took.
        took: Duration,
        /// What went wrong.
        trouble: Option<&'a str>,
    },
    /// A request is made again after a while.
    Retrying {
        /// The while.
        wait: Duration,
        /// Why.
        reason: &'a str,
    },
    /// Bytes came over the network.
    Received {
        /// How many.
        bytes: u64,
    },
    /// One of the planned requests is done.
    Fetched {
        /// Samples that it brought.
        samples: u64,
        /// True if it was done by an earlier fetch.
        earlier: bool,
    },
    /// A block is complete.
    Written {
        /// Its directory.
        block: &'a Path,
    },
    /// The server has something to say.
    Warning(&'a str),
}

/// Called for each [`Event`], from several threads.
pub type Observer<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// What a fetch did.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The protocol used.
    pub protocol: Protocol,
    /// Blocks written, in order of time.
    pub written: Vec<PathBuf>,
    /// Blocks that were complete before.
    pub kept: Vec<PathBuf>,
    /// Blocks of the same request over a shorter time, removed because the new ones hold all of theirs.
    pub replaced: Vec<PathBuf>,
    /// What the blocks written now hold and lack.
    pub tally: Tally,
}
