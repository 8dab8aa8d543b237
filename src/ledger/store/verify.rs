//! Whether a ledger is what was written, and adds up.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;

use super::runs::{RunKey, twins};
use super::{Store, StoreError, day};
use crate::hash::bytes_sha256;
use crate::time::{Window, local_day};

/// Relative tolerance of sums.
const TOLERANCE: f64 = 1e-9;

/// How long a check waits for a writer between one look at a ledger that changes and the next, in ms.
const WAITS_MS: [u64; 5] = [100, 200, 400, 800, 1600];

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file or day.
    pub what: String,
    /// What is wrong with it.
    pub wrong: String,
    /// What to do.
    pub remedy: String,
    /// False for what is only worth knowing.
    pub is_problem: bool,
}

/// What a check of a ledger found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Days that are there and whole.
    pub days: u64,
    /// Rows in them.
    pub rows: u64,
    /// Runs.
    pub runs: u64,
    /// Job logs.
    pub logs: u64,
    /// First and last day.
    pub dates: Option<(NaiveDate, NaiveDate)>,
    /// Energy of all days, in joules.
    pub energy_j: f64,
    /// Emissions of all days, in gCO2e; `None` if nothing is priced.
    pub emissions_gco2e: Option<f64>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl Verified {
    /// True if nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| !finding.is_problem)
    }

    fn find(&mut self, what: impl std::fmt::Display, wrong: impl Into<String>, remedy: impl Into<String>) {
        let (what, wrong, remedy) = (what.to_string(), wrong.into(), remedy.into());
        self.findings.push(Finding { what, wrong, remedy, is_problem: true });
    }

    fn mention(&mut self, what: impl std::fmt::Display, wrong: impl Into<String>, remedy: impl Into<String>) {
        let (what, wrong, remedy) = (what.to_string(), wrong.into(), remedy.into());
        self.findings.push(Finding { what, wrong, remedy, is_problem: false });
    }
}

impl Store {
    /// Reads every file and checks hashes, sums, balances, runs, gaps and overlaps.
    ///
    /// # Errors
    ///
    /// Where the directory itself cannot be read, and where files do not fit each other while another process changes them;
    /// else what is wrong with files is found, not an error.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        let mut waits = WAITS_MS.into_iter();
        loop {
            let verified = self.verify_now()?;
            if verified.is_sound() {
                return Ok(verified);
            }
            // Another process may have changed it meanwhile: once more, while nobody does, or a little later.
            match (self.lock_days(), waits.next()) {
                (Ok(_lock), _) => return self.verify_now(),
                (Err(StoreError::Locked { .. }), Some(wait_ms)) => {
                    std::thread::sleep(Duration::from_millis(wait_ms));
                }
                (Err(locked @ StoreError::Locked { .. }), None) => return Err(locked),
                // Who may only read it has no lock for it.
                (Err(_), _) => return Ok(verified),
            }
        }
    }

    fn verify_now(&self) -> Result<Verified, StoreError> {
        const AGAIN: &str = "run `wattledger backfill` with the snapshot of that day again";
        let mut verified = Verified::default();
        let known = self.check_runs(&mut verified)?;
        let mut before: Option<(NaiveDate, Window)> = None;
        let mut energy = crate::sum::Sum::new();
        let mut emissions: Option<crate::sum::Sum> = None;
        for date in self.dates()? {
            let path = self.day_path(date);
            if !path.is_file() {
                verified.find(date, "its directory is there and its rows are not", AGAIN);
                continue;
            }
            let day = match day::read_day(&path) {
                Ok(day) => day,
                Err(error) => {
                    let remedy = format!("remove `{}` and {AGAIN}", path.display());
                    verified.find(date, error.to_string(), remedy);
                    continue;
                }
            };
            let manifest = &day.manifest;
            let wrong_place = manifest.date != date || manifest.time_zone != self.time_zone().name();
            let whole = local_day(date, self.time_zone());
            let is_inside =
                whole.is_some_and(|whole| whole.intersect(manifest.window()) == Some(manifest.window()));
            if wrong_place || !is_inside {
                let wrong =
                    format!("it holds {} of {}, {}", manifest.date, manifest.time_zone, manifest.window());
                verified.find(date, wrong, format!("remove `{}` and {AGAIN}", path.display()));
            }
            if !manifest.balances.close() {
                verified.find(
                    date,
                    "its balances do not close",
                    "please report this: it is an error of the program",
                );
            }
            let as_written = day.bytes().zip(std::fs::read(&path).ok());
            if as_written.is_some_and(|(written, there)| written != there) {
                let wrong = "its description of the columns is not what was written";
                verified.find(date, wrong, format!("remove `{}` and {AGAIN}", path.display()));
            }
            let rows = day.columns.columns.first().map_or(0, |column| column.values.len() as u64);
            let sums = day::sums(&day.columns.columns);
            let near =
                |one: f64, other: f64| (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()).max(1.0);
            let totals = manifest.totals;
            if rows != manifest.rows
                || !near(sums.energy_j, totals.energy_j)
                || !near(sums.facility_energy_j, totals.facility_energy_j)
                || !near(sums.emissions_gco2e.unwrap_or(0.0), totals.emissions_gco2e.unwrap_or(0.0))
                || !near(sums.embodied_amortised_gco2e, totals.embodied_amortised_gco2e)
            {
                let wrong = "its rows do not add up to what it says of them";
                verified.find(date, wrong, format!("remove `{}` and {AGAIN}", path.display()));
            }
            match day.run_keys() {
                Ok(keys) => {
                    let lost = keys.iter().filter(|key| !known.contains(*key)).count();
                    if lost > 0 {
                        let wrong = format!("{lost} of its runs are not in `runs.parquet`");
                        verified.find(
                            date,
                            wrong,
                            "run `wattledger backfill` again, with the job log that has them",
                        );
                    }
                }
                Err(reason) => verified.find(date, reason, AGAIN),
            }
            if let Some((last, window)) = before {
                let missing = date.signed_duration_since(last).num_days().saturating_sub(1);
                if missing > 0 {
                    let wrong =
                        format!("the ledger has nothing of the {missing} days between {last} and {date}");
                    verified.mention(date, wrong, "give the snapshots of these days, if there are any");
                }
                if window.end_ms > manifest.start_ms {
                    verified.find(date, format!("it overlaps with {last}"), AGAIN);
                }
            }
            before = Some((date, manifest.window()));
            verified.days += 1;
            verified.rows += rows;
            energy.add(totals.energy_j);
            if let Some(grams) = totals.emissions_gco2e {
                emissions.get_or_insert_default().add(grams);
            }
            let first = verified.dates.map_or(date, |(first, _)| first);
            verified.dates = Some((first, date));
        }
        verified.energy_j = energy.value();
        verified.emissions_gco2e = emissions.map(crate::sum::Sum::value);
        for leftover in self.leftovers()? {
            let remedy = "nothing: the next `wattledger backfill` removes it";
            verified.mention(leftover.display(), "an interrupted writer left it", remedy);
        }
        Ok(verified)
    }

    fn check_runs(&self, verified: &mut Verified) -> Result<BTreeSet<RunKey>, StoreError> {
        const AGAIN: &str = "run `wattledger backfill` again: it writes the file from the kept job logs";
        let mut hashes = Vec::new();
        match self.kept_logs() {
            Ok(logs) => {
                for log in logs {
                    let path = self.log_path(&log.sha256);
                    verified.logs += 1;
                    match unpacked_sha256(&path) {
                        Ok(found) if found == log.sha256 => {}
                        Ok(_) => verified.find(
                            path.display(),
                            "it is not the log that was kept",
                            give(&path, &log.name),
                        ),
                        Err(error) => {
                            verified.find(path.display(), error.to_string(), give(&path, &log.name))
                        }
                    }
                    hashes.push(log.sha256);
                }
            }
            Err(error) => {
                verified.find(
                    "jobs",
                    error.to_string(),
                    "remove the file that it names, and give the log again",
                );
            }
        }
        match self.runs() {
            Ok(runs) => {
                if runs.logs != hashes {
                    let is_behind = runs.logs.iter().all(|log| hashes.contains(log));
                    if is_behind {
                        // A log is kept before the runs are written: nothing is lost.
                        let wrong = "logs were kept since that it does not have yet: a backfill is at work, or was interrupted";
                        verified.mention("runs.parquet", wrong, AGAIN);
                    } else {
                        verified.find("runs.parquet", "it is not of the job logs that are kept", AGAIN);
                    }
                }
                verified.runs = runs.log.runs.len() as u64;
                let twins = twins(&runs.log.runs);
                let keys = runs.log.runs.into_iter().zip(twins);
                Ok(keys.map(|(run, twin)| (run.run_id, run.start_ms, twin)).collect())
            }
            Err(error) => {
                verified.find("runs.parquet", error.to_string(), AGAIN);
                Ok(BTreeSet::new())
            }
        }
    }
}

fn give(path: &std::path::Path, name: &str) -> String {
    format!("remove `{}` and give `{name}` again with `wattledger backfill --jobs`", path.display())
}

fn unpacked_sha256(path: &PathBuf) -> std::io::Result<String> {
    let bytes = zstd::decode_all(File::open(path)?)?;
    Ok(bytes_sha256(&bytes))
}
