//! wattledger works out what a cluster's jobs cost in energy and carbon, after
//! the fact, from what the cluster already records.
//!
//! Data flows one way, and a module imports only what stands before it:
//!
//! ```text
//! source ──► meter ──► power ──► ledger ──► report
//!                                 ▲    ▲
//!                               jobs  carbon
//! ```
//!
//! # The tour
//!
//! [`tsdb`] is Prometheus' format on the disk, both ways: blocks with their
//! index, chunks and tombstones are read through a memory map, and written for
//! simulated clusters. It knows nothing of energy.
//!
//! [`source`] is where samples come from: one trait that lists series and reads
//! one of them over a window, and its readers.
//!
//! [`meter`] turns series into energy curves. The catalog says which metric of
//! which exporter measures what; counters with their wraps and resets, gauges
//! and utilisations differ only in how they build the curve.
//!
//! [`power`] has the models for what has no meter, and the tables of rated
//! power that they start from.
//!
//! [`jobs`] reads job logs into runs: who held what on which node, from when
//! to when.
//!
//! [`carbon`] answers what a kilowatt-hour emits at an instant in a zone, by
//! the best figure of one basis, and says whose figure it is.
//!
//! [`ledger`] joins the three: each device's energy, cut at hours and run
//! edges, shared among the runs that hold it, with the idle and unattributed rest in lines
//! of its own, and three balances that prove the sum. [`ledger::store`] keeps days on disk, [`ledger::backfill`]
//! brings them up to date.
//!
//! [`report`] groups the ledger's lines into tables, a summary and charts, and
//! writes them.
//!
//! [`simulate`] makes a cluster whose true energy is known, to hold all of the
//! above against; it imports none of what it tests.
//!
//! [`config`] makes one checked plan of `wattledger.toml` and the flags, with
//! every default in one place. [`cli`] has a file for each command and is all
//! that prints.
//!
//! Under them lie [`units`] (joules, watts, grams as types), [`time`] (instants
//! in milliseconds, half-open windows), [`sum`] (compensated sums in a fixed
//! order), [`hash`] (identity of input files), and what words and numbers look like
//! to people, on a terminal and in a spreadsheet.
//!
//! The rules by which every number comes about stand in `docs/accounting.md`.

pub mod carbon;
pub mod cli;
pub mod config;
mod figures;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod guarded;
pub mod hash;
pub mod jobs;
pub mod ledger;
pub mod meter;
mod metered;
mod parquet_columns;
mod parquet_file;
pub mod period;
mod plain_text;
pub mod power;
pub mod report;
mod retry;
pub mod simulate;
pub mod source;
mod spreadsheet;
pub mod sum;
mod there;
pub mod time;
pub mod tsdb;
pub mod uncertainty;
mod unfinished;
pub mod units;
mod whole_file;
