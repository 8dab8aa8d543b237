//! `wattledger intensity`: what is known of carbon intensities, and how it gets here.

mod fetch;
mod import;
mod show;

use super::{Failure, Outcome};

/// Carbon intensities: take them into a store, and see what a report would use.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Import(Box<import::Args>),
    Fetch(fetch::Args),
    Show(show::Args),
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    match &args.command {
        Command::Import(args) => import::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Show(args) => show::run(args),
    }
}
