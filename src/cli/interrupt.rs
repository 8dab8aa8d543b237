//! Ctrl-C and requests to end: the program stops at once, leaves nothing half-made, and says how to go on.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::{Cli, Command};
use crate::unfinished;

/// How long files that are being given their names are waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// From now on an interruption removes what is unfinished, says what can be done, and ends the program with the status that shells
/// give for the signal: 130 for Ctrl-C, 143 for a request to end, 129 where the terminal is gone. A signal that whoever started the
/// program had it ignore (`nohup`) stays ignored.
pub fn listen(cli: &Cli) {
    #[cfg(unix)]
    on_unix::listen(cli.how_to_go_on());
    #[cfg(not(unix))]
    let _ = cli;
}

impl Cli {
    /// What to do after an interruption.
    fn how_to_go_on(&self) -> &'static str {
        match &self.command {
            Command::Backfill(_) | Command::Reprice(_) => {
                "days that were finished are kept; the same command goes on with the others"
            }
            Command::Fetch(_) => "what came whole is kept; the same command goes on from there",
            Command::Convert(_) => "blocks that were finished are kept; the same command makes the others",
            Command::Intensity(_) => "files that came whole are kept; the same command goes on from there",
            Command::Report(_) | Command::Whatif(_) | Command::Export(_) => {
                "files that are there are whole; the same command begins anew. A report is complete if it has its summary.json"
            }
            Command::Simulate(_) | Command::Demo(_) => "the same command begins anew",
            Command::Verify(_)
            | Command::Inspect(_)
            | Command::Jobs(_)
            | Command::Mark(_)
            | Command::Hardware(_)
            | Command::Calibrate(_)
            | Command::Compare(_)
            | Command::Completions(_)
            | Command::Man(_) => "nothing was changed; the same command begins anew",
        }
    }
}

/// Ends the program.
#[cfg_attr(not(unix), expect(dead_code, reason = "there are no signals to listen to"))]
fn stop(name: &str, status: i32, advice: &str) -> ! {
    let held = unfinished::remove_all(PATIENCE);
    let mut stderr = std::io::stderr();
    // A bar may stand in the line.
    let end = if stderr.is_terminal() { "\n" } else { "" };
    let left = if held.is_some() { "nothing half-made is left" } else { "a temporary file may be left" };
    let _ = writeln!(stderr, "{end}interrupted by {name}: {left}\nhint: {advice}");
    std::process::exit(status)
}

#[cfg(unix)]
mod on_unix {
    use std::ffi::c_int;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    const SIGNALS: [(c_int, &str); 3] = [(SIGINT, "SIGINT"), (SIGTERM, "SIGTERM"), (SIGHUP, "SIGHUP")];
    /// Shells add it to the number of the signal that ended a program.
    const BY_SIGNAL: c_int = 128;

    pub(super) fn listen(advice: &'static str) {
        let ignored = ignored();
        let wanted = SIGNALS.iter().map(|(signal, _)| *signal).filter(|signal| !is_in(ignored, *signal));
        // Without a handler the system ends the program all the same; only temporary files may stay.
        let Ok(mut signals) = Signals::new(wanted) else { return };
        let wait = move || {
            let Some(signal) = signals.forever().next() else { return };
            let name =
                SIGNALS.iter().find(|(known, _)| *known == signal).map_or("a signal", |(_, name)| *name);
            super::stop(name, BY_SIGNAL.saturating_add(signal), advice);
        };
        let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
    }

    /// A bit for each signal that is ignored, the lowest for signal 1; nothing where the system has no such file.
    fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
    }

    fn is_in(mask: u64, signal: c_int) -> bool {
        u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).is_some_and(|rest| rest & 1 == 1))
    }
}
