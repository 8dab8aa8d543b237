//! Tables and pictures: what a user gets to see of the books.
//!
//! [`Report::new`] groups the ledger's rows into tables; [`Report::write`]
//! writes them, the summary, the charts, a page and a message of them, each file whole or not at all.

mod change;
pub mod chart;
mod chart_files;
mod comparison;
mod cost;
mod digest;
mod embodied;
mod entries;
pub mod export;
mod groups;
mod hourly;
mod html;
mod intensity;
mod markdown;
mod meters;
mod output;
pub(crate) mod pictures;
mod reserved;
mod rollup;
mod runs;
mod split;
mod statement;
mod summary;
mod tables;
mod whatif;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use polars::prelude::{DataFrame, PolarsError};
use rayon::prelude::*;

pub use chart_files::ChartFiles;
pub use comparison::write_comparison;
pub use cost::EnergyPrice;
pub use digest::{Amount, BalanceLine, Change, Digest, Leader, Part};
pub use entries::{Entries, EntryLines};
pub use intensity::intensity_chart;
pub use output::{Outputs, WriteError};
pub use rollup::{NodeRollup, Rollup, RollupFrame};
pub use split::SplitBy;
pub use summary::{InputFile, Provenance};
pub use tables::CellText;
pub use whatif::WhatIfSubject;

use crate::carbon::{Basis, CarbonError, Contracts, Equivalents, Matching, Purchases};
use crate::jobs::Run;
use crate::ledger::Books;
use chart::{ChartError, Theme};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A table could not be built.
    #[error("cannot build the tables")]
    Table(#[from] PolarsError),
    /// A shipped table is broken.
    #[error(transparent)]
    Carbon(#[from] CarbonError),
    /// A chart could not be drawn.
    #[error("cannot draw `{name}`")]
    Chart {
        /// The stem of the file.
        name: &'static str,
        /// What the renderer says.
        source: ChartError,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a report is made from.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The books.
    pub books: &'a Books,
    /// The runs of the job log.
    pub runs: &'a [Run],
    /// What the factors of the rows count.
    pub basis: Basis,
    /// What the market-based figure is made of.
    pub contracts: Option<&'a Contracts>,
    /// How contracts are matched.
    pub matching: Matching,
    /// Hardware bought, for the statement.
    pub purchases: Option<&'a Purchases>,
    /// What energy costs, if that is stated.
    pub price: Option<&'a EnergyPrice>,
    /// Whose days `by_day.csv` has.
    pub time_zone: chrono_tz::Tz,
    /// Everything needed to repeat the report.
    pub provenance: &'a Provenance,
}

/// All tables of a report.
pub struct Report<'a> {
    subject: Subject<'a>,
    /// The ledger's rows, added up.
    rollup: Rollup,
    /// `summary.json`, once it was asked for.
    summary: OnceLock<serde_json::Value>,
    /// A row for each run.
    pub runs: DataFrame,
    /// A row for each user, and for what nobody used.
    pub by_user: DataFrame,
    /// The same for accounts.
    pub by_account: DataFrame,
    /// The same for stages.
    pub by_stage: DataFrame,
    /// The same for partitions.
    pub by_partition: DataFrame,
    /// The same for final states.
    pub by_state: DataFrame,
    /// A row for each node.
    pub by_node: DataFrame,
    /// A row for each site.
    pub by_site: DataFrame,
    /// A row for each day.
    pub by_day: DataFrame,
    /// A row for each series.
    pub meters: DataFrame,
    /// A row for each device that was made.
    pub embodied: DataFrame,
    /// What runs held, and used of it.
    pub reserved: DataFrame,
    /// By scope.
    pub statement: DataFrame,
    /// The period before, if it is to be compared.
    before: Option<Before<'a>>,
    /// `entries.csv`, if it is wanted.
    entries: Option<Entries>,
}

/// An earlier period beside a report.
pub(crate) struct Before<'a> {
    /// What the report's own period is called.
    now: String,
    /// What the earlier one is called.
    then: String,
    /// Its report.
    report: &'a Report<'a>,
    /// `change.csv`.
    change: DataFrame,
}

impl<'a> Report<'a> {
    /// Groups the ledger's rows (see [`entries_frame`](crate::ledger::entries_frame)) into tables.
    ///
    /// # Errors
    ///
    /// Only if Polars refuses a table.
    pub fn new(subject: Subject<'a>, entries: &DataFrame) -> Result<Self, ReportError> {
        let rollup = Rollup::new(&subject.books.buckets, subject.runs, subject.time_zone, subject.basis);
        Self::of_rollup(subject, rollup.of_frame(entries)?)
    }

    /// Makes tables of rows that were added up while the books were made.
    ///
    /// # Errors
    ///
    /// Only if Polars refuses a table.
    pub fn of_rollup(subject: Subject<'a>, mut rollup: Rollup) -> Result<Self, ReportError> {
        let Subject { books, runs, basis, .. } = subject;
        rollup.finish(subject.contracts, subject.matching);
        let of_runs = runs::runs(&rollup, books, runs, (basis, &Equivalents::shipped()?))?;
        rollup.forget_runs();
        let rows = &rollup;
        let all = (books, runs);
        Ok(Self {
            runs: of_runs,
            by_user: tables::by_run_text(rows, all, "user", |run| &run.user)?,
            by_account: tables::by_run_text(rows, all, "account", |run| &run.account)?,
            by_stage: tables::by_run_text(rows, all, "stage", |run| &run.stage)?,
            by_partition: tables::by_run_text(rows, all, "partition", |run| &run.partition)?,
            by_state: tables::by_run_text(rows, all, "state", |run| &run.state)?,
            by_node: tables::by_node(rows, books)?,
            by_site: groups::by_site(rows, books)?,
            by_day: groups::by_day(rows, runs, None)?,
            meters: meters::table(books)?,
            embodied: embodied::table(books)?,
            reserved: reserved::table(books, runs)?,
            statement: statement::table(rows.all(), rows.market(), &subject)?,
            before: None,
            entries: None,
            summary: OnceLock::new(),
            rollup,
            subject,
        })
    }

    /// Totals, balances, methods, coverage and inputs, as `summary.json` has them.
    ///
    /// # Errors
    ///
    /// Only if Polars refuses a grouping.
    pub fn summary(&self) -> Result<&serde_json::Value, ReportError> {
        if let Some(known) = self.summary.get() {
            return Ok(known);
        }
        let mut summary = summary::summary(&self.rollup, &self.subject, &Equivalents::shipped()?);
        if let Some(all) = summary.as_object_mut() {
            let statement = statement::summary(self.rollup.all(), self.rollup.market(), &self.subject);
            all.insert("statement".to_owned(), statement);
            let facility_kwh = all.get("facility_energy_kwh").and_then(serde_json::Value::as_f64);
            let cost = self.subject.price.map(|price| {
                serde_json::json!({
                    "currency": price.currency,
                    "per_kwh": price.per_kwh,
                    "total": facility_kwh.map(|kwh| price.of_kwh(kwh)),
                })
            });
            all.insert("cost".to_owned(), serde_json::json!(cost));
        }
        Ok(self.summary.get_or_init(|| summary))
    }

    /// The figures that every short form of the report shows.
    ///
    /// # Errors
    ///
    /// Only if Polars refuses a grouping.
    pub fn digest(&self) -> Result<Digest, ReportError> {
        self.digest_of(self.summary()?)
    }

    fn digest_of(&self, summary: &serde_json::Value) -> Result<Digest, ReportError> {
        let mut digest = Digest::new(summary, (&self.runs, &self.by_user, &self.by_account))?;
        if let Some(before) = &self.before {
            let then = before.report.digest()?;
            digest.change = Some(Change {
                then: before.then.clone(),
                energy_before_kwh: then.energy_kwh.value,
                emissions_before_gco2e: then.emissions_gco2e.map(|emissions| emissions.value),
            });
        }
        Ok(digest)
    }

    /// Writes the tables, the summary and what else is wanted into the directory `out`. Where a balance does not
    /// close, every file's name ends in `.unbalanced`. Returns what was written.
    ///
    /// # Errors
    ///
    /// Where a chart cannot be drawn or a file cannot be written; a file that
    /// was there before is then as it was.
    pub fn write(&self, out: &Path, formats: &Formats) -> Result<Vec<PathBuf>, ReportError> {
        let suffix = if self.subject.books.balances.close() { "" } else { ".unbalanced" };
        let mut outputs = Outputs::new(out, suffix);
        if let Some(before) = &self.before {
            outputs.add_with("change.csv", |out| tables::write_csv(&before.change, formats.cells, out));
        }
        let summary = self.summary()?;
        let digest = self.digest_of(summary)?;
        if formats.html {
            let drawn =
                |theme| formats.charts.map_or_else(|| Ok(Vec::new()), |_| pictures::svgs(self, theme));
            let (light, dark) = (drawn(Theme::Light)?, drawn(Theme::Dark)?);
            let figures: Vec<html::Figure<'_>> =
                light.iter().zip(&dark).map(|(light, dark)| html::Figure { light, dark }).collect();
            let page = html::page(self, (summary, &digest), &figures)?;
            outputs.add("report.html", page.into_bytes());
        }
        if formats.markdown {
            outputs.add("report.md", markdown::markdown(&digest, self.subject.provenance).into_bytes());
        }
        for (name, table) in [
            ("runs.csv", &self.runs),
            ("by_user.csv", &self.by_user),
            ("by_account.csv", &self.by_account),
            ("by_node.csv", &self.by_node),
            ("by_stage.csv", &self.by_stage),
            ("by_partition.csv", &self.by_partition),
            ("by_state.csv", &self.by_state),
            ("by_site.csv", &self.by_site),
            ("by_day.csv", &self.by_day),
            ("meters.csv", &self.meters),
            ("embodied.csv", &self.embodied),
            ("reserved.csv", &self.reserved),
            ("statement.csv", &self.statement),
        ] {
            if formats.has(name) {
                let table = self.with_cost(table)?;
                outputs.add_with(name, move |out| tables::write_csv(&table, formats.cells, out));
            }
        }
        let hourly = hourly::Hourly::new(&self.rollup, &self.subject.books.buckets, self.subject.basis);
        outputs.add_with("hourly.csv", move |out| hourly.write(formats.cells, out));
        if let Some(entries) = &self.entries {
            outputs.add_with("entries.csv", |out| entries.write(out));
        }
        outputs.add("summary.json", format!("{summary:#}\n").into_bytes());
        if let Some(files) = formats.charts {
            let pictures = pictures::svgs(self, files.theme)?;
            let pngs: Vec<Option<Vec<u8>>> = pictures
                .par_iter()
                .map(|picture| files.png.then(|| picture.png()).transpose())
                .collect::<Result<_, ReportError>>()?;
            for (picture, png) in pictures.into_iter().zip(pngs) {
                if let Some(png) = png {
                    outputs.add(&format!("{}.png", picture.name), png);
                }
                if files.svg {
                    outputs.add(&format!("{}.svg", picture.name), picture.svg.into_bytes());
                }
            }
        }
        let mut written = outputs.write()?;
        if let Some(by) = formats.split {
            written.extend(split::write(self, by, out, formats.cells)?);
        }
        Ok(written)
    }

    /// The same, with a table of all rows of the ledger.
    pub fn with_entries(self, entries: Option<Entries>) -> Self {
        Self { entries, ..self }
    }

    fn with_cost(&self, table: &DataFrame) -> Result<DataFrame, ReportError> {
        Ok(cost::with_cost(table.clone(), self.subject.price)?)
    }

    /// The same, with an earlier period to stand beside it in `change.csv`.
    /// Both are called by name.
    ///
    /// # Errors
    ///
    /// Only if Polars refuses the table.
    pub fn beside(self, now: String, then: String, report: &'a Report<'a>) -> Result<Self, ReportError> {
        let change = change::table(&self, report)?;
        Ok(Self { before: Some(Before { now, then, report, change }), ..self })
    }
}

/// What of a report is written besides the tables and `summary.json`, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Charts as files; without them the page has none either.
    pub charts: Option<ChartFiles>,
    /// `report.html`.
    pub html: bool,
    /// `report.md`.
    pub markdown: bool,
    /// Texts in the tables.
    pub cells: CellText,
    /// Small reports besides, of each account, user or partition.
    pub split: Option<SplitBy>,
    /// By what the `by_` tables are that are written; empty for all there are.
    pub by: Vec<GroupBy>,
}

/// What sums can be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// Account.
    Account,
    /// User.
    User,
    /// Partition.
    Partition,
    /// Node.
    Node,
    /// Stage.
    Stage,
    /// Site.
    Site,
    /// Final state.
    State,
    /// Day.
    Day,
}

impl GroupBy {
    fn file(self) -> &'static str {
        match self {
            Self::Account => "by_account.csv",
            Self::User => "by_user.csv",
            Self::Partition => "by_partition.csv",
            Self::Node => "by_node.csv",
            Self::Stage => "by_stage.csv",
            Self::Site => "by_site.csv",
            Self::State => "by_state.csv",
            Self::Day => "by_day.csv",
        }
    }
}

impl Formats {
    /// True of a table that is written.
    fn has(&self, name: &str) -> bool {
        !name.starts_with("by_") || self.by.is_empty() || self.by.iter().any(|by| by.file() == name)
    }
}

impl Default for Formats {
    /// Everything.
    fn default() -> Self {
        Self {
            charts: Some(ChartFiles::default()),
            html: true,
            markdown: true,
            cells: CellText::Guarded,
            split: None,
            by: Vec::new(),
        }
    }
}
