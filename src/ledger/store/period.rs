//! The books of a period, put together from the days of a ledger.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use chrono_tz::Tz;
use polars::prelude::DataFrame;

use super::facts::Merge;
use super::runs::Positions;
use super::{DayManifest, Store, StoreError, StoredRuns, day};
use crate::carbon::Basis;
use crate::jobs::Run;
use crate::ledger::Books;
use crate::meter::names::{Aliases, nearest};
use crate::time::{Window, format_instant, local_days};

/// Days without a manifest that are listed by name.
const LISTED: usize = 10;

/// Why a period has no books.
#[derive(Debug, thiserror::Error)]
pub enum PeriodError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It has no day of it.
    #[error("{}", nothing(*.window, *.has))]
    Nothing {
        /// The period.
        window: Window,
        /// What it has.
        has: Option<Window>,
    },
    /// An end of the period lies inside a bucket.
    #[error("{} lies inside a bucket of the ledger, which goes from {bucket}", format_instant(*.at_ms))]
    CutsBucket {
        /// The end.
        at_ms: i64,
        /// The bucket.
        bucket: Window,
    },
    /// Its days count different things.
    #[error("{one_day} is priced by factors of the basis {one}, {other_day} by {other}")]
    Bases {
        /// A day.
        one_day: NaiveDate,
        /// What its factors count.
        one: String,
        /// Another.
        other_day: NaiveDate,
        /// What they count there.
        other: String,
    },
}

fn nothing(window: Window, has: Option<Window>) -> String {
    has.map_or_else(
        || "the ledger has no day yet".to_owned(),
        |has| format!("the ledger has no day in {window}: it goes from {has}"),
    )
}

impl PeriodError {
    /// True where the user asked for what cannot be.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_usage(),
            Self::Nothing { .. } | Self::CutsBucket { .. } => true,
            Self::Bases { .. } => false,
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Store(error) => return error.hint(),
            Self::Nothing { .. } => "`wattledger verify` says which days it has".to_owned(),
            Self::CutsBucket { .. } => {
                "report in the ledger's own time zone, or in one whose midnights are full hours of it"
                    .to_owned()
            }
            Self::Bases { .. } => "`wattledger reprice` prices all days by one basis".to_owned(),
        })
    }
}

/// The books of a period, as they stand in a ledger.
#[derive(Debug)]
pub struct LedgerPeriod {
    /// The books, without rows.
    pub books: Books,
    /// The rows, priced.
    pub entries: DataFrame,
    /// The runs of the ledger.
    pub runs: StoredRuns,
    /// What its factors count.
    pub basis: Basis,
    /// True if any of it was simulated.
    pub simulated: bool,
    /// Whose factors were used.
    pub attributions: Vec<String>,
    /// What could not be read when the days were made.
    pub left_out: Vec<String>,
    /// What a user should know.
    pub notes: Vec<String>,
    /// The days.
    pub days: Vec<DayManifest>,
}

impl Store {
    /// Reads the days of `window`, to be reported on in `zone`. Names of nodes in job logs go by `aliases`.
    ///
    /// # Errors
    ///
    /// [`PeriodError`] where there is none, where an end of the window lies inside a bucket, where days are priced by
    /// different bases, and where one is damaged.
    pub fn period(&self, window: Window, zone: Tz, aliases: &Aliases) -> Result<LedgerPeriod, PeriodError> {
        // A backfill may be at work between the runs and the days.
        for _ in 0..2 {
            match self.period_now(window, zone, aliases) {
                Err(PeriodError::Store(StoreError::UnknownRun { .. } | StoreError::Changing { .. })) => {}
                read => return read,
            }
        }
        self.period_now(window, zone, aliases)
    }

    fn period_now(&self, window: Window, zone: Tz, aliases: &Aliases) -> Result<LedgerPeriod, PeriodError> {
        let runs = self.runs()?;
        let mut manifests = Vec::new();
        for date in self.dates()? {
            // A day of any zone begins and ends within two of UTC.
            let near = crate::time::local_day(date, self.time_zone).and_then(|day| day.intersect(window));
            if near.is_some() {
                manifests.extend(
                    self.manifest(date)?.filter(|manifest| manifest.window().intersect(window).is_some()),
                );
            }
        }
        let (Some(first), Some(_)) = (manifests.first(), manifests.last()) else {
            return Err(PeriodError::Nothing { window, has: self.time_range()? });
        };
        if let Some(other) = manifests.iter().find(|manifest| manifest.basis != first.basis) {
            return Err(PeriodError::Bases {
                one_day: first.date,
                one: first.basis.clone(),
                other_day: other.date,
                other: other.basis.clone(),
            });
        }
        let damaged = |reason: String, date| StoreError::Damaged { path: self.day_path(date), reason };
        let basis: Basis =
            first.basis.parse().map_err(|_| damaged(format!("`{}` is no basis", first.basis), first.date))?;
        let mut buckets = Vec::new();
        for manifest in &manifests {
            for bucket in manifest.buckets(self.time_zone) {
                let Some(inside) = bucket.intersect(window) else { continue };
                if inside != bucket {
                    let at_ms =
                        if inside.start_ms > bucket.start_ms { window.start_ms } else { window.end_ms };
                    return Err(PeriodError::CutsBucket { at_ms, bucket });
                }
                buckets.push(bucket);
            }
        }
        for (_, day) in local_days(window, zone) {
            let after = buckets.partition_point(|bucket| bucket.start_ms < day.start_ms);
            let cut = after.checked_sub(1).and_then(|before| buckets.get(before)).copied();
            if let Some(bucket) =
                cut.filter(|bucket| bucket.end_ms > day.start_ms && window.contains(day.start_ms))
            {
                return Err(PeriodError::CutsBucket { at_ms: day.start_ms, bucket });
            }
        }
        let positions = Positions::new(&runs.log.runs);
        let mut merge = Merge::default();
        let mut entries: Option<DataFrame> = None;
        let (mut attributions, mut simulated, mut cut) = (Vec::new(), false, Vec::new());
        for manifest in &manifests {
            let day = day::read_day(&self.day_path(manifest.date))?;
            let path = self.day_path(manifest.date);
            if day.manifest.window() != manifest.window() {
                return Err(StoreError::Changing { date: manifest.date }.into());
            }
            let (rows, embodied) =
                day.rows(&buckets, &positions).map_err(|wrong| wrong.in_day(manifest.date, &path))?;
            let whole = manifest.window();
            let inside = whole.intersect(window).unwrap_or(whole);
            if inside != whole {
                cut.push(manifest.date);
            }
            let part = inside.length_s() / whole.length_s().max(f64::MIN_POSITIVE);
            merge.add(day.facts, day.manifest.balances.clone(), embodied, &positions, part);
            entries = Some(match entries.take() {
                None => rows,
                Some(all) => all.vstack(&rows).map_err(|error| damaged(error.to_string(), manifest.date))?,
            });
            simulated |= day.manifest.simulated;
            for attribution in day.manifest.attributions {
                if !attributions.contains(&attribution) {
                    attributions.push(attribution);
                }
            }
        }
        // A piece for each day would make every look at a row a search.
        if let Some(all) = &mut entries {
            all.rechunk_mut();
        }
        let (mut books, left_out) = merge.finish();
        books.nodes_without_series = without_series(&runs.log.runs, &books, window, aliases);
        let covered: Vec<Window> = manifests
            .iter()
            .filter_map(|manifest| manifest.jobs_covered_ms)
            .map(|(from_ms, to_ms)| Window::new(from_ms, to_ms))
            .collect();
        let from_ms = covered.iter().map(|window| window.start_ms).min();
        let to_ms = covered.iter().map(|window| window.end_ms).max();
        books.jobs_covered = from_ms.zip(to_ms).map(|(from_ms, to_ms)| Window::new(from_ms, to_ms));
        books.buckets = buckets;
        let mut notes = self.missing(&manifests, window);
        if !cut.is_empty() {
            let dates: Vec<String> = cut.iter().map(ToString::to_string).collect();
            notes.push(format!(
                "{}: only a part of the day is in the report; counts of samples, coverage and peaks are of the whole day, and embodied \
                 emissions are its part by time",
                dates.join(", ")
            ));
        }
        Ok(LedgerPeriod {
            books,
            entries: entries.unwrap_or_default(),
            runs,
            basis,
            simulated,
            attributions,
            left_out,
            notes,
            days: manifests,
        })
    }

    /// Days of the window that the ledger has nothing of, and days that are not whole, in words.
    fn missing(&self, manifests: &[DayManifest], window: Window) -> Vec<String> {
        let there: BTreeMap<NaiveDate, Window> =
            manifests.iter().map(|manifest| (manifest.date, manifest.window())).collect();
        let (mut none, mut partial) = (Vec::new(), Vec::new());
        for (date, day) in local_days(window, self.time_zone) {
            let Some(asked) = day.intersect(window) else { continue };
            match there.get(&date) {
                None => none.push(date.to_string()),
                Some(has) if has.intersect(asked) != Some(asked) => partial.push(format!("{date} ({has})")),
                Some(_) => {}
            }
        }
        let listed = |days: &[String]| {
            let shown = days.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
            match days.len().saturating_sub(LISTED) {
                0 => shown,
                more => format!("{shown} and {more} more"),
            }
        };
        let mut notes = Vec::new();
        if !none.is_empty() {
            notes.push(format!("the ledger has nothing of {}", listed(&none)));
        }
        if !partial.is_empty() {
            notes.push(format!("the ledger has only a part of {}", listed(&partial)));
        }
        notes
    }
}

/// Nodes of the runs in `window` that no day has, each with the likely partner.
fn without_series(
    runs: &[Run],
    books: &Books,
    window: Window,
    aliases: &Aliases,
) -> Vec<(String, Option<String>)> {
    let seen: BTreeSet<&str> = books.nodes.iter().map(|node| node.name.as_str()).collect();
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for run in runs {
        if run.start_ms < window.end_ms && run.end_ms.is_none_or(|end_ms| end_ms > window.start_ms) {
            named.extend(run.allocations.iter().map(|part| part.node.as_str()));
        }
    }
    let canonical: BTreeSet<String> = named.into_iter().map(|name| aliases.canonical(name)).collect();
    let unseen = canonical.into_iter().filter(|name| !seen.contains(name.as_str()));
    unseen
        .map(|name| {
            let partner = nearest(&name, seen.iter().copied()).map(str::to_owned);
            (name, partner)
        })
        .collect()
}
