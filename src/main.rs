//! The binary: parses, runs, prints the error, sets the exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use wattledger::cli::{Cli, run};

/// Nodes are worked through in parallel, with columns that come and go: this one keeps their pages, where the system's gives them back
/// and clears new ones (CONTRIBUTING.md has the figures).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{}", failure.text());
            ExitCode::from(failure.code())
        }
    }
}
