//! `wattledger man`.

use std::path::PathBuf;

use clap::CommandFactory as _;

use super::output::{data, note};
use super::{Cli, Failure, Outcome};
use crate::report::Outputs;

/// Print the manual page, or write those of all commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger man | man -l -
  wattledger man --out ~/.local/share/man/man1")]
pub(super) struct Args {
    /// Directory to write the pages into, one for each command.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let failed = |source| Failure::Io { doing: "make the manual page".to_owned(), source };
    let mut program = Cli::command();
    program.build();
    let Some(out) = &args.out else {
        data(&String::from_utf8_lossy(&page(program).map_err(failed)?))?;
        return Ok(Outcome::Done);
    };
    let mut pages = Outputs::new(out, "");
    let mut waiting = vec![program];
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().filter(|below| below.get_name() != "help").cloned());
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        pages.add(&format!("{name}.1"), page(command).map_err(failed)?);
    }
    let written = pages.write().map_err(crate::report::ReportError::Write)?;
    note(format_args!("wrote {}: {} pages", out.display(), written.len()));
    Ok(Outcome::Done)
}

fn page(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
