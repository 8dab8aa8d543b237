//! `wattledger verify`.

use std::path::PathBuf;

use super::output::lines;
use super::{Failure, Outcome};
use crate::figures::{energy, mass};
use crate::ledger::store::Store;
use crate::units::Joules;

/// Whether a ledger is what was written: hashes, sums, balances, runs, gaps and overlaps.
///
/// Reads every file and says of each thing that is not as it should be what to do. Exit status 1 if anything is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  wattledger verify --ledger ledger")]
pub(super) struct Args {
    /// Directory of the ledger.
    #[arg(long, value_name = "DIR")]
    ledger: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let store = Store::open(&args.ledger)?;
    let found = store.verify()?;
    let mut text = String::new();
    let dates = found.dates.map_or_else(String::new, |(first, last)| format!(", {first} to {last}"));
    text.push_str(&format!(
        "{}: {} days{dates}, in {}\n",
        args.ledger.display(),
        found.days,
        store.time_zone()
    ));
    text.push_str(&format!("  {} rows, {} runs from {} job logs\n", found.rows, found.runs, found.logs));
    let emissions = found.emissions_gco2e.map_or("not priced".to_owned(), mass);
    text.push_str(&format!("  {}, {emissions}\n", energy(Joules(found.energy_j).to_kwh().value())));
    for finding in &found.findings {
        let kind = if finding.is_problem { "wrong" } else { "note" };
        text.push_str(&format!("{kind}: {}: {}\n  to do: {}\n", finding.what, finding.wrong, finding.remedy));
    }
    if found.is_sound() {
        text.push_str("sound\n");
    }
    lines(&text)?;
    Ok(if found.is_sound() { Outcome::Done } else { Outcome::Unsound })
}
