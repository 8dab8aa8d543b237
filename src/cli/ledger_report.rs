//! `wattledger report --ledger`: a period of a ledger on disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Failure;
use super::provenance::{job_counts, node_notes};
use crate::config::{ConfigError, ConfigFile, LedgerPlan, Request, from_to};
use crate::hash::file_sha256;
use crate::ledger::store::{LedgerPeriod, Store};
use crate::period::Period;
use crate::report::{InputFile, Provenance, Subject};
use crate::time::Window;

/// A period of a ledger, read, and what a report on it needs.
pub(super) struct FromLedger {
    pub(super) period: LedgerPeriod,
    pub(super) plan: LedgerPlan,
    pub(super) provenance: Provenance,
    time_zone: chrono_tz::Tz,
}

/// Which period of which ledger.
pub(super) struct Asked<'a> {
    pub(super) store: &'a Store,
    pub(super) window: Window,
    /// Whose days are reported on.
    pub(super) time_zone: chrono_tz::Tz,
    pub(super) request: &'a Request,
    pub(super) file: &'a ConfigFile,
    pub(super) config: Option<&'a PathBuf>,
}

/// `--from` and `--to`, or all that the ledger has.
pub(super) fn window(store: &Store, request: &Request, zone: chrono_tz::Tz) -> Result<Window, Failure> {
    let (from, to) = from_to(&request.from, &request.to, zone)?;
    let all = store.time_range()?.unwrap_or(Window::new(0, 0));
    Ok(Window::new(from.unwrap_or(all.start_ms), to.unwrap_or(all.end_ms)))
}

/// What a period and an earlier one are called, and the time of the earlier one: `previous`, or a period by name.
pub(super) fn earlier(
    text: &str,
    now: Option<Period>,
    window: Window,
    zone: chrono_tz::Tz,
) -> Result<(String, String, Window), ConfigError> {
    let wrong = |reason: &str, hint: &str| ConfigError::Value {
        setting: "--compare".to_owned(),
        reason: reason.to_owned(),
        hint: Some(hint.to_owned()),
    };
    let then = if text == "previous" {
        let named = now.ok_or_else(|| {
            wrong("`previous` needs a period by name", "name one with `--month`, `--week` or the like")
        })?;
        named.previous()
    } else {
        text.parse::<Period>().ok()
    };
    let expected = || {
        wrong(
            &format!("`{text}` is no period"),
            "expected `previous`, a month such as `2025-10`, a week such as `2025-W41`, a quarter, a year or a day",
        )
    };
    let then = then.ok_or_else(expected)?;
    let earlier = then.window(zone).ok_or_else(expected)?;
    let name = now.map_or_else(|| window.to_string(), |now| now.to_string());
    Ok((name, then.to_string(), earlier))
}

impl FromLedger {
    /// Reads it.
    pub(super) fn read(asked: &Asked<'_>) -> Result<Self, Failure> {
        let period = asked.store.period(asked.window, asked.time_zone, &asked.file.aliases()?)?;
        let plan = LedgerPlan::new(asked.request, asked.file, period.basis)?;
        let provenance = provenance(asked, &period, &plan);
        Ok(Self { period, plan, provenance, time_zone: asked.time_zone })
    }

    /// What a report is made from.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            books: &self.period.books,
            runs: &self.period.runs.log.runs,
            basis: self.period.basis,
            contracts: self.plan.contracts.as_ref(),
            matching: self.plan.matching,
            purchases: self.plan.purchases.as_ref(),
            price: self.plan.price.as_ref(),
            time_zone: self.time_zone,
            provenance: &self.provenance,
        }
    }
}

fn provenance(asked: &Asked<'_>, period: &LedgerPeriod, plan: &LedgerPlan) -> Provenance {
    let days = period.days.iter().map(|day| InputFile {
        role: "ledger",
        name: format!("date={}", day.date),
        sha256: day.data_sha256.clone(),
    });
    let mut inputs: Vec<InputFile> = days.collect();
    let mut add = |role: &'static str, path: &std::path::Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        inputs.push(InputFile { role, name, sha256: file_sha256(path).unwrap_or_default() });
    };
    asked.config.into_iter().for_each(|path| add("config", path));
    plan.contracts.iter().for_each(|contracts| add("contracts", &contracts.path));
    plan.purchases.iter().for_each(|purchases| add("purchases", &purchases.path));
    let mut notes = plan.notes.clone();
    notes.extend(period.notes.iter().cloned());
    if period.simulated {
        notes.push("SIMULATED: nothing in this report was measured".to_owned());
    }
    if period.runs.logs.is_empty() {
        notes.push("no job log: all energy is unattributed".to_owned());
    }
    notes.extend(period.runs.log.notes.iter().map(|note| format!("job log: {note}")));
    notes.extend(node_notes(&period.books, false));
    let versions: std::collections::BTreeSet<&str> =
        period.days.iter().map(|day| day.wattledger_version.as_str()).collect();
    let settings = BTreeMap::from([
        ("window", asked.window.to_string()),
        ("basis", period.basis.to_string()),
        ("time_zone", asked.store.time_zone().to_string()),
        ("days", period.days.len().to_string()),
        ("made_by_versions", versions.into_iter().collect::<Vec<_>>().join(", ")),
    ]);
    Provenance {
        title: plan.title.clone(),
        inputs,
        settings,
        simulated: period.simulated,
        left_out: period.left_out.clone(),
        jobs: job_counts(&period.runs.log),
        scrape_jobs: Vec::new(),
        notes,
        attributions: period.attributions.clone(),
    }
}
