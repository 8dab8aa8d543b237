//! Day by day from blocks and job logs into the ledger on disk: what is there already is left as it is, and what hangs on
//! something that changed is made again.
//!
//! A day's file is a function of the blocks near it, the runs that were there, the settings and the factors: whatever the order in
//! which these come, the ledger ends with the same bytes.

mod fingerprints;
mod making;
mod shard;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::NaiveDate;

use fingerprints::Fingerprints;
use making::Making;
pub use shard::{Shard, ShardError};

use super::store::{BlockRef, DayManifest, DayTotals, RememberedSnapshot, Store, StoreError};
use super::{LedgerError, Prices, Rules, priced, read_for};
use crate::jobs::{JobLog, Run};
use crate::source::{Snapshot, Source as _, SourceError};
use crate::time::{DAY_MS, Window, local_day, local_days};

/// No block is longer: what it says of an earlier beginning is damage.
const LONGEST_BLOCK_MS: i64 = 400 * DAY_MS;

/// Why a ledger could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A snapshot cannot be opened.
    #[error("cannot open the snapshots")]
    Source(#[from] SourceError),
    /// The books of a day cannot be made.
    #[error("cannot make the books of {date}")]
    Ledger {
        /// The day.
        date: NaiveDate,
        /// Why.
        source: LedgerError,
    },
    /// The rows of a day cannot be put together.
    #[error("cannot build the rows of {date}")]
    Table {
        /// The day.
        date: NaiveDate,
        /// Why.
        source: polars::prelude::PolarsError,
    },
}

/// What a ledger is to be made from.
pub struct Backfill<'a> {
    /// The ledger.
    pub store: &'a Store,
    /// The settings; the window is that of each day.
    pub rules: &'a Rules,
    /// What emissions are worked out with.
    pub prices: Prices<'a>,
    /// Whose factors are used in a window, as their licences ask for.
    pub attributions: &'a (dyn Fn(Window) -> Vec<String> + Sync),
    /// The runs of all kept logs.
    pub log: &'a JobLog,
    /// The stretches of time that these cover.
    pub covered: &'a [Window],
    /// True if there is a log at all.
    pub has_log: bool,
    /// Where blocks lie.
    pub snapshots: &'a [RememberedSnapshot],
    /// Days that are looked at: those that lie in it.
    pub window: Window,
    /// Of these the part that is looked at.
    pub shard: Shard,
    /// Days that begin later have no samples yet, whatever a block says.
    pub now_ms: i64,
    /// True to work out emissions only.
    pub only_prices: bool,
    /// True to make all of them again.
    pub rebuild: bool,
    /// True to take a day also where it knows less than before.
    pub replace: bool,
}

/// Why a day is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It was asked for.
    Asked,
    /// There are other samples.
    Samples,
    /// The job log tells more.
    Jobs,
    /// The settings changed.
    Settings,
    /// The file is damaged.
    Damaged,
}

impl Reason {
    /// In a word or two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked for",
            Self::Samples => "new samples",
            Self::Jobs => "job log",
            Self::Settings => "settings",
            Self::Damaged => "damaged",
        }
    }
}

/// What is to become of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Make,
    /// It is made again.
    Remake(Vec<Reason>),
    /// Only its emissions are worked out again.
    Reprice,
    /// It is as it should be.
    Keep,
    /// It should be made again, and its samples are not at hand.
    Wait(Vec<Reason>),
}

/// A day and what is to become of it.
#[derive(Clone, Debug)]
pub struct DayPlan {
    /// The day.
    pub date: NaiveDate,
    /// The part of it that there are samples of.
    pub window: Window,
    /// What is to become of it.
    pub action: Action,
    before: Option<DayManifest>,
    /// Blocks with a part in it.
    blocks: BTreeSet<String>,
    /// The time that these have.
    reach_ms: (i64, i64),
    /// True if it waits and has other factors meanwhile.
    is_repriced: bool,
}

impl DayPlan {
    /// True if it is to be made from samples.
    fn is_made(&self) -> bool {
        matches!(self.action, Action::Make | Action::Remake(_))
    }

    /// The day as it was before.
    fn left(&self, action: Action) -> DayDone {
        let before = self.before.as_ref().map(|before| before.totals);
        DayDone {
            date: self.date,
            action,
            before,
            after: before,
            notes: Vec::new(),
            is_balanced: true,
            has_grown: false,
        }
    }
}

/// What became of a day.
#[derive(Clone, Debug)]
pub struct DayDone {
    /// The day.
    pub date: NaiveDate,
    /// What was done, or [`Action::Keep`] where it would have known less than before.
    pub action: Action,
    /// Its sums before, if it was there.
    pub before: Option<DayTotals>,
    /// Its sums now.
    pub after: Option<DayTotals>,
    /// Why it was left as it was, or what could not be read.
    pub notes: Vec<String>,
    /// False where it was not written because its balances do not close.
    pub is_balanced: bool,
    /// True of a day that is now longer than it was: that is no restatement.
    pub has_grown: bool,
}

/// What was done.
#[derive(Debug)]
pub struct Done {
    /// Day by day.
    pub days: Vec<DayDone>,
    /// Parts of the snapshots that could not be used.
    pub problems: Vec<String>,
}

/// A month whose figures are others now.
#[derive(Clone, Debug, PartialEq)]
pub struct Restated {
    /// `YYYY-MM`.
    pub month: String,
    /// Energy before and now of its changed days, in joules.
    pub energy_j: (f64, f64),
    /// Emissions before and now of its changed days, in gCO2e.
    pub emissions_gco2e: (Option<f64>, Option<f64>),
    /// Days that changed.
    pub days: u64,
}

/// The months whose figures changed by what was done, in order.
pub fn restated(done: &[DayDone]) -> Vec<Restated> {
    let mut months: BTreeMap<String, Restated> = BTreeMap::new();
    for day in done {
        let (Some(before), Some(after)) = (day.before, day.after) else { continue };
        if before == after || day.has_grown {
            continue;
        }
        let month = day.date.format("%Y-%m").to_string();
        let found = months.entry(month.clone()).or_insert(Restated {
            month,
            energy_j: (0.0, 0.0),
            emissions_gco2e: (None, None),
            days: 0,
        });
        found.energy_j.0 += before.energy_j;
        found.energy_j.1 += after.energy_j;
        for (sum, grams) in [
            (&mut found.emissions_gco2e.0, before.emissions_gco2e),
            (&mut found.emissions_gco2e.1, after.emissions_gco2e),
        ] {
            if let Some(grams) = grams {
                *sum.get_or_insert(0.0) += grams;
            }
        }
        found.days += 1;
    }
    months.into_values().collect()
}

/// The time that blocks have.
fn reach(blocks: &[&BlockRef]) -> (i64, i64) {
    let start_ms = blocks.iter().map(|block| block.start_ms).min().unwrap_or_default();
    let end_ms = blocks.iter().map(|block| block.end_ms).max().unwrap_or_default();
    (start_ms, end_ms)
}

/// True if there are samples near a day that it was not made from. A block that was compacted from known ones and others is none
/// where the known ones had all of the time that matters: the others are of another time.
fn has_news(before: &DayManifest, found: &[&BlockRef]) -> bool {
    let known = &before.inputs.blocks;
    let read = read_for(before.window());
    let had_all = before.reach_ms.0 <= read.start_ms && before.reach_ms.1 >= read.end_ms;
    found.iter().any(|block| {
        let all_known = block.sources.is_subset(known);
        let some_known = block.sources.iter().any(|source| known.contains(source));
        !(all_known || had_all && some_known)
    })
}

impl Backfill<'_> {
    /// Blocks that begin after now: either they or the machine's clock are wrong, and no day is made of them.
    pub fn blocks_to_come(&self) -> usize {
        let blocks: BTreeSet<&BlockRef> =
            self.snapshots.iter().flat_map(|snapshot| &snapshot.blocks).collect();
        blocks.iter().filter(|block| block.start_ms > self.now_ms).count()
    }

    /// What is to become of each day.
    ///
    /// # Errors
    ///
    /// Where the ledger cannot be listed.
    pub fn plan(&self) -> Result<Vec<DayPlan>, BackfillError> {
        let facts = Fingerprints::new(self);
        let blocks: BTreeSet<&BlockRef> =
            self.snapshots.iter().flat_map(|snapshot| &snapshot.blocks).collect();
        let zone = self.store.time_zone();
        let made: BTreeSet<NaiveDate> = self.store.dates()?.into_iter().collect();
        let mut dates = made.clone();
        for block in &blocks {
            let end_ms = block.end_ms.min(self.now_ms.saturating_add(DAY_MS));
            let sane = Window::new(block.start_ms.max(end_ms.saturating_sub(LONGEST_BLOCK_MS)), end_ms);
            dates.extend(local_days(sane, zone).into_iter().map(|(date, _)| date));
        }
        let is_asked = |day: &Window| day.intersect(self.window) == Some(*day);
        let days: Vec<(NaiveDate, Window)> = dates
            .into_iter()
            .filter_map(|date| Some((date, local_day(date, zone).filter(is_asked)?)))
            // A damaged block can claim any time; a day that is there was made of real samples, whatever the clock says now.
            .filter(|(date, day)| day.start_ms <= self.now_ms || made.contains(date))
            .collect();
        let mut plans = Vec::new();
        for &(date, whole) in self.shard.of(&days) {
            let here = blocks.iter().filter_map(|block| block.window().intersect(whole));
            let now = here.reduce(|all, part| {
                Window::new(all.start_ms.min(part.start_ms), all.end_ms.max(part.end_ms))
            });
            let (before, is_damaged) = match self.store.manifest(date) {
                Ok(before) => (before, false),
                Err(StoreError::Damaged { .. }) => (None, true),
                Err(error) => return Err(error.into()),
            };
            let near = |window: Window| -> Vec<&BlockRef> {
                let read = read_for(window);
                blocks.iter().copied().filter(|block| block.window().intersect(read).is_some()).collect()
            };
            let found = now.or(before.as_ref().map(DayManifest::window)).map(near).unwrap_or_default();
            let action = match (&before, now) {
                (None, Some(_)) if is_damaged => Action::Remake(vec![Reason::Damaged]),
                (None, Some(_)) => Action::Make,
                (None, None) if is_damaged => Action::Wait(vec![Reason::Damaged]),
                (None, None) => continue,
                (Some(before), now) => self.change(before, now, &found, &facts),
            };
            let window = now.or(before.as_ref().map(DayManifest::window)).unwrap_or(whole);
            let is_repriced = matches!(action, Action::Wait(_))
                && before.as_ref().is_some_and(|before| self.has_other_prices(before, &facts));
            let reach_ms = reach(&found);
            let blocks = found.iter().flat_map(|block| block.sources.iter().cloned()).collect();
            plans.push(DayPlan { date, window, action, before, blocks, reach_ms, is_repriced });
        }
        Ok(plans)
    }

    /// What is to become of a day that is there.
    fn change(
        &self,
        before: &DayManifest,
        now: Option<Window>,
        found: &[&BlockRef],
        facts: &Fingerprints<'_>,
    ) -> Action {
        let inputs = facts.of(before.window(), &before.nodes);
        if self.only_prices {
            // Factors of shorter steps need shorter buckets (rule G3).
            return match inputs.prices != before.inputs.prices {
                true if self.rules.bucket_ms < before.bucket_ms => Action::Wait(vec![Reason::Settings]),
                true => Action::Reprice,
                false => Action::Keep,
            };
        }
        let mut reasons = Vec::new();
        if self.rebuild {
            reasons.push(Reason::Asked);
        }
        if has_news(before, found) {
            reasons.push(Reason::Samples);
        }
        if inputs.jobs != before.inputs.jobs {
            reasons.push(Reason::Jobs);
        }
        if inputs.rules != before.inputs.rules {
            reasons.push(Reason::Settings);
        }
        match (reasons.is_empty(), now) {
            (true, _) if inputs.prices != before.inputs.prices => Action::Reprice,
            (true, _) => Action::Keep,
            (false, Some(_)) => Action::Remake(reasons),
            (false, None) => Action::Wait(reasons),
        }
    }

    /// True if a day that waits for samples can at least be priced anew.
    fn has_other_prices(&self, before: &DayManifest, facts: &Fingerprints<'_>) -> bool {
        self.rules.bucket_ms >= before.bucket_ms
            && facts.of(before.window(), &before.nodes).prices != before.inputs.prices
    }

    /// Does what is planned, day by day. `progress` is told how many days are done.
    ///
    /// # Errors
    ///
    /// Where a snapshot cannot be opened, or a day cannot be made or written. The days before it are then done.
    pub fn run(&self, plans: &[DayPlan], progress: &dyn Fn(usize)) -> Result<Done, BackfillError> {
        let facts = Fingerprints::new(self);
        let source = self.open(plans)?;
        let making = source.as_ref().map(|source| Making::new(self, source, &facts));
        let mut done: Vec<DayDone> = Vec::new();
        let mut rest = plans;
        while !rest.is_empty() {
            // As many as there are threads, for much of a day is done by one.
            let together = making.as_ref().map_or(1, |making| making.together(rest));
            let (some, later) = rest.split_at_checked(together).unwrap_or((rest, &[]));
            rest = later;
            let made = making.as_ref().map(|making| making.make(some)).transpose()?.unwrap_or_default();
            let mut made: BTreeMap<NaiveDate, DayDone> =
                made.into_iter().map(|day| (day.date, day)).collect();
            for plan in some {
                done.push(match &plan.action {
                    Action::Make | Action::Remake(_) => made
                        .remove(&plan.date)
                        .unwrap_or_else(|| plan.left(Action::Wait(vec![Reason::Samples]))),
                    Action::Reprice => self.reprice(plan, &facts)?,
                    Action::Wait(reasons) if plan.is_repriced => {
                        DayDone { action: Action::Wait(reasons.clone()), ..self.reprice(plan, &facts)? }
                    }
                    action => plan.left(action.clone()),
                });
                progress(done.len());
            }
        }
        let left_out = source.as_ref().map(|source| source.left_out()).unwrap_or_default();
        let problems = left_out.into_iter().filter(|left| left.is_problem);
        Ok(Done {
            days: done,
            problems: problems.map(|left| format!("{}: {}", left.what, left.why)).collect(),
        })
    }

    /// The snapshots that have blocks near days that are to be made, as one source.
    fn open(&self, plans: &[DayPlan]) -> Result<Option<Snapshot>, BackfillError> {
        let wanted: BTreeSet<&str> = plans
            .iter()
            .filter(|plan| plan.is_made())
            .flat_map(|plan| plan.blocks.iter().map(String::as_str))
            .collect();
        let is_wanted = |snapshot: &&RememberedSnapshot| {
            let mut sources = snapshot.blocks.iter().flat_map(|block| &block.sources);
            sources.any(|source| wanted.contains(source.as_str()))
        };
        let paths: Vec<PathBuf> =
            self.snapshots.iter().filter(is_wanted).map(|snapshot| snapshot.path.clone()).collect();
        if paths.is_empty() { Ok(None) } else { Ok(Some(Snapshot::open_all(&paths)?)) }
    }

    fn reprice(&self, plan: &DayPlan, facts: &Fingerprints<'_>) -> Result<DayDone, BackfillError> {
        let date = plan.date;
        let Some(before) = &plan.before else {
            return Err(StoreError::NoDay { date }.into());
        };
        let buckets = before.buckets(self.store.time_zone());
        let zones: BTreeMap<&str, String> = before
            .nodes
            .iter()
            .filter_map(|node| Some((node.name.as_str(), self.rules.hardware_of(&node.name).zone?)))
            .collect();
        let zones: BTreeMap<&str, &str> = zones.iter().map(|(node, zone)| (*node, zone.as_str())).collect();
        let prices = facts.of(before.window(), &before.nodes).prices;
        let manifest = self.store.reprice_day(
            date,
            &self.log.runs,
            prices,
            self.prices.intensity.basis().to_string(),
            (self.attributions)(before.window()),
            |rows| priced(rows, &buckets, &zones, &self.log.runs, self.prices),
        )?;
        Ok(DayDone {
            date,
            action: Action::Reprice,
            before: Some(before.totals),
            after: Some(manifest.totals),
            notes: Vec::new(),
            is_balanced: true,
            has_grown: false,
        })
    }

    /// The stretch of the job logs that has most of `window`, but for what the site states of its ends.
    fn stretch_of(&self, window: Window) -> Option<Window> {
        let overlap = |stretch: &&Window| stretch.intersect(window).map_or(0, Window::length_ms);
        let found = self.covered.iter().max_by_key(overlap).filter(|stretch| overlap(stretch) > 0).copied();
        let from_ms = self.rules.jobs_from_ms.or(found.map(|stretch| stretch.start_ms));
        let to_ms = self.rules.jobs_to_ms.or(found.map(|stretch| stretch.end_ms));
        from_ms.zip(to_ms).filter(|_| self.has_log).map(|(from_ms, to_ms)| Window::new(from_ms, to_ms))
    }

    /// The runs, where some that nobody saw end began in an earlier stretch: they are known to have gone on as far as that tells.
    fn ended(&self, stretch: Option<Window>) -> Option<Vec<Run>> {
        let stretch = stretch?;
        let earlier = |run: &Run| {
            let known = self.covered.iter().find(|known| run.start_ms <= known.end_ms)?;
            (run.end_ms.is_none() && known.end_ms < stretch.start_ms).then_some(known.end_ms)
        };
        if self.covered.len() < 2 || !self.log.runs.iter().any(|run| earlier(run).is_some()) {
            return None;
        }
        let ended = |run: &Run| Run { end_ms: run.end_ms.or(earlier(run)), ..run.clone() };
        Some(self.log.runs.iter().map(ended).collect())
    }
}
