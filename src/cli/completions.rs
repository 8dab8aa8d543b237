//! `wattledger completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::output::data;
use super::{Cli, Failure, Outcome};

/// Print what makes a shell complete commands, flags and their values.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger completions bash > ~/.local/share/bash-completion/completions/wattledger
  wattledger completions zsh > ~/.zfunc/_wattledger
  wattledger completions fish > ~/.config/fish/completions/wattledger.fish")]
pub(super) struct Args {
    /// Whose.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wattledger", &mut script);
    data(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
