//! wattledger works out what a cluster's jobs cost in energy and carbon, after
//! the fact, from what the cluster already records.

pub mod carbon;
pub mod cli;
pub mod config;
pub mod hash;
pub mod jobs;
pub mod ledger;
pub mod meter;
pub mod power;
pub mod report;
pub mod simulate;
pub mod source;
pub mod sum;
pub mod time;
pub mod tsdb;
pub mod units;
