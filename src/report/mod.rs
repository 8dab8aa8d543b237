//! Tables and pictures: what a user gets to see of the books.
//!
//! [`Report::new`] groups the ledger's rows into tables; [`Report::write`]
//! writes them, the summary and the charts, each file whole or not at all.

mod bounds;
pub mod chart;
mod chart_files;
mod comparison;
mod embodied;
mod group;
mod intensity;
mod meters;
mod output;
pub(crate) mod pictures;
mod runs;
mod statement;
mod summary;
mod tables;
mod whatif;

use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, PolarsError};
use rayon::prelude::*;

pub use chart_files::ChartFiles;
pub use comparison::write_comparison;
pub use intensity::intensity_chart;
pub use output::{Outputs, WriteError};
pub use summary::{InputFile, Provenance};
pub use whatif::WhatIfSubject;

use crate::carbon::{CarbonError, Equivalents, Purchases};
use crate::jobs::Run;
use crate::ledger::{Books, Market, Prices, entries_frame};
use bounds::RowWidths;
use chart::ChartError;

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
    /// What emissions are worked out with.
    pub prices: Prices<'a>,
    /// Hardware bought, for the statement.
    pub purchases: Option<&'a Purchases>,
    /// Everything needed to repeat the report.
    pub provenance: &'a Provenance,
}

/// All tables of a report.
pub struct Report<'a> {
    subject: Subject<'a>,
    widths: RowWidths,
    market: Option<Market>,
    /// The ledger's rows.
    pub entries: DataFrame,
    /// A row for each run.
    pub runs: DataFrame,
    /// Hour × node × component × kind of beneficiary.
    pub hourly: DataFrame,
    /// A row for each user, and for what nobody used.
    pub by_user: DataFrame,
    /// The same for accounts.
    pub by_account: DataFrame,
    /// The same for stages.
    pub by_stage: DataFrame,
    /// A row for each node.
    pub by_node: DataFrame,
    /// A row for each series.
    pub meters: DataFrame,
    /// A row for each device that was made.
    pub embodied: DataFrame,
    /// By scope.
    pub statement: DataFrame,
}

impl<'a> Report<'a> {
    /// Groups the books into tables.
    ///
    /// # Errors
    ///
    /// Only if Polars refuses a table.
    pub fn new(subject: Subject<'a>) -> Result<Self, ReportError> {
        let entries = entries_frame(subject.books, subject.runs, subject.prices)?;
        let bucket_ms = subject.books.buckets.first().map_or(0, |bucket| bucket.length_ms());
        let widths = RowWidths::new(&entries, bucket_ms)?;
        let market = statement::market(&entries, &subject)?;
        let entries = statement::with_market(entries, market.as_ref())?;
        let rows = (&entries, &widths);
        Ok(Self {
            runs: runs::runs(rows, subject.books, subject.runs, &Equivalents::shipped()?)?,
            hourly: tables::hourly(&entries, &widths)?,
            by_user: tables::by_run_text(rows, (subject.books, subject.runs), "user", |run| &run.user)?,
            by_account: tables::by_run_text(rows, (subject.books, subject.runs), "account", |run| {
                &run.account
            })?,
            by_stage: tables::by_run_text(rows, (subject.books, subject.runs), "stage", |run| &run.stage)?,
            by_node: tables::by_node(rows, subject.books)?,
            meters: meters::table(subject.books)?,
            embodied: embodied::table(subject.books)?,
            statement: statement::table(&entries, market.as_ref(), &subject)?,
            entries,
            widths,
            market,
            subject,
        })
    }

    /// Totals, balances, methods, coverage and inputs, as `summary.json` has them.
    ///
    /// # Errors
    ///
    /// Only if Polars refuses a grouping.
    pub fn summary(&self) -> Result<serde_json::Value, ReportError> {
        let mut summary =
            summary::summary(&self.entries, &self.widths, &self.subject, &Equivalents::shipped()?)?;
        if let Some(all) = summary.as_object_mut() {
            let statement = statement::summary(&self.entries, self.market.as_ref(), &self.subject)?;
            all.insert("statement".to_owned(), statement);
        }
        Ok(summary)
    }

    /// Writes everything into the directory `out`, with the charts if they are wanted. Where a balance does not
    /// close, every file's name ends in `.unbalanced`. Returns what was written.
    ///
    /// # Errors
    ///
    /// Where a chart cannot be drawn or a file cannot be written; a file that
    /// was there before is then as it was.
    pub fn write(&self, out: &Path, charts: Option<ChartFiles>) -> Result<Vec<PathBuf>, ReportError> {
        let suffix = if self.subject.books.balances.close() { "" } else { ".unbalanced" };
        let mut outputs = Outputs::new(out, suffix);
        for (name, table) in [
            ("runs.csv", &self.runs),
            ("hourly.csv", &self.hourly),
            ("by_user.csv", &self.by_user),
            ("by_account.csv", &self.by_account),
            ("by_node.csv", &self.by_node),
            ("by_stage.csv", &self.by_stage),
            ("meters.csv", &self.meters),
            ("embodied.csv", &self.embodied),
            ("statement.csv", &self.statement),
        ] {
            outputs.add(name, tables::csv(table)?);
        }
        outputs.add("summary.json", format!("{:#}\n", self.summary()?).into_bytes());
        if let Some(files) = charts {
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
        Ok(outputs.write()?)
    }
}
