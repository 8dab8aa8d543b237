//! The binary: parses, runs, prints the error, sets the exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use wattledger::cli::{Cli, listen, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    listen(&cli);
    match run(cli) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{}", failure.text());
            ExitCode::from(failure.code())
        }
    }
}
