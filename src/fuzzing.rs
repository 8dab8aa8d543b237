//! What fuzzers call: every reader of bytes from outside, each as a function of bytes that must neither panic, nor hang, nor take
//! memory beyond a small multiple of its input.
//!
//! Only there for `cargo fuzz`, which drives them by coverage with checksums that always match, and for the tests, which call them
//! with damaged files of every kind.

use std::io::BufReader;
use std::path::Path;

use crate::carbon::intensity;
use crate::config::ConfigFile;
use crate::jobs::pods::fuzz::pods;
use crate::jobs::{self, LogFormat, Options, hostlist, tres};
use crate::source::dump::fuzz::dump;
use crate::source::fuzz::{remote_read_chunks, remote_read_samples};
use crate::time::parse_instant;
use crate::tsdb::{Matcher, fuzz as tsdb};

/// A reader: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 18] = [
    ("index", tsdb::index),
    ("chunk", tsdb::chunk),
    ("segment", tsdb::segment),
    ("tombstones", tsdb::tombstones),
    ("meta", tsdb::meta),
    ("wal", tsdb::wal),
    ("wal_record", tsdb::wal_record),
    ("head_chunks", tsdb::head_chunks),
    ("selector", selector),
    ("remote_read_chunks", remote_read_chunks),
    ("remote_read_samples", remote_read_samples),
    ("dump", dump),
    ("intensity", intensity),
    ("job_log", job_log),
    ("pods", pods),
    ("host_list", host_list),
    ("resources", resources),
    ("config", config),
];

fn selector(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Matcher::parse_selector(text);
    }
}

/// Every kind of log: the first byte says which, or that it is to be recognised.
fn job_log(data: &[u8]) {
    let Some((kind, log)) = data.split_first() else { return };
    let format = LogFormat::ALL.get(usize::from(*kind)).map(|(_, format)| *format);
    let options = Options { format, ..Options::default() };
    let _ = jobs::read_from(BufReader::new(log), Path::new("log"), &options);
}

fn host_list(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = hostlist::expand(text);
    }
}

fn resources(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = (tres::parse(text), tres::gres(text), tres::requested_memory(text), tres::memory(text));
        let _ = parse_instant(text, chrono_tz::Tz::UTC);
    }
}

fn config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = ConfigFile::parse(text, Path::new("wattledger.toml")).map(|file| file.catalog());
    }
}

#[cfg(test)]
mod tests;
