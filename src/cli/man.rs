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

/// The page of a command: as clap_mangen has it, but examples stand as they are to be typed.
fn page(mut command: clap::Command) -> std::io::Result<Vec<u8>> {
    let examples = command.get_after_help().map(ToString::to_string);
    command = command.after_help("");
    let has_options = command.get_arguments().any(|argument| !argument.is_hide_set());
    let has_commands = command.get_subcommands().next().is_some();
    let has_version = command.get_version().is_some();
    let man = clap_mangen::Man::new(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if has_options {
        man.render_options_section(&mut page)?;
    }
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(examples) = examples {
        page.extend_from_slice(b".SH EXAMPLES\n.nf\n");
        for line in examples.lines() {
            page.extend_from_slice(verbatim(line).as_bytes());
        }
        page.extend_from_slice(b".fi\n");
    }
    if has_version {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// A line in which roff sees no request and no escape, and makes no typographic hyphen of a minus.
fn verbatim(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    let guard = if escaped.starts_with(['.', '\'']) { "\\&" } else { "" };
    format!("{guard}{escaped}\n")
}
