//! `entries.csv`: the ledger's rows themselves, device × run × hour, written while the books are made.

use std::fs::File;
use std::io::{self, BufReader, Seek as _, SeekFrom, Write};
use std::path::Path;

use polars::prelude::{Column, DataFrame, PolarsResult};
use rayon::prelude::*;

use super::tables::{CellText, csv_of, rounded};
use crate::carbon::Basis;
use crate::jobs::Run;
use crate::ledger::{Beneficiary, NodeBooks, Prices, Row, visit_node};
use crate::time::{Window, format_instant};

/// Turns the rows of a node into lines of the table.
#[derive(Debug)]
pub struct EntryLines<'a> {
    buckets: &'a [Window],
    /// When each bucket starts, in words.
    starts: Vec<String>,
    runs: &'a [Run],
    basis: Basis,
    text: CellText,
}

/// The columns of some rows.
#[derive(Default)]
struct Columns<'a> {
    bucket_start: Vec<&'a str>,
    component: Vec<&'static str>,
    device: Vec<String>,
    beneficiary: Vec<&'static str>,
    run_id: Vec<Option<&'a str>>,
    job_id: Vec<Option<&'a str>>,
    run_start: Vec<Option<String>>,
    user: Vec<Option<&'a str>>,
    account: Vec<Option<&'a str>>,
    method: Vec<&'static str>,
    share_method: Vec<&'static str>,
    numbers: [Vec<Option<f64>>; NUMBERS.len()],
    zone: Vec<Option<String>>,
    intensity_tier: Vec<Option<String>>,
}

/// A column of numbers, and what of a row stands in it.
type Number = (&'static str, fn(&Row<'_>) -> Option<f64>);

const NUMBERS: [Number; 11] = [
    ("energy_j", |row| Some(row.energy_j)),
    ("energy_extrapolated_j", |row| row.energy_extrapolated_j),
    ("edge_error_j", |row| Some(row.edge_error_j)),
    ("unbound_j", |row| Some(row.unbound_j)),
    ("facility_energy_j", |row| Some(row.facility_energy_j)),
    ("covered_s", |row| Some(row.covered_s)),
    ("interpolated_s", |row| Some(row.interpolated_s)),
    ("expected_s", |row| Some(row.expected_s)),
    ("intensity_gco2e_per_kwh", |row| row.price.intensity),
    ("emissions_gco2e", |row| row.emissions_gco2e),
    ("upstream_gco2e", |row| row.upstream_gco2e),
];

impl<'a> EntryLines<'a> {
    /// Of books with these buckets.
    pub fn new(buckets: &'a [Window], runs: &'a [Run], basis: Basis, text: CellText) -> Self {
        let starts = buckets.iter().map(|bucket| format_instant(bucket.start_ms)).collect();
        Self { buckets, starts, runs, basis, text }
    }

    /// The rows of a node; any thread may make them.
    ///
    /// # Errors
    ///
    /// Only if Polars refuses the columns.
    pub fn of(&self, node: &NodeBooks, prices: Prices<'_>) -> PolarsResult<DataFrame> {
        let mut columns = Columns::default();
        visit_node(node, (self.buckets, self.runs), prices, |row| columns.add(row, self));
        columns.into_frame(&node.name, self.basis)
    }
}

impl<'a> Columns<'a> {
    fn add(&mut self, row: &Row<'_>, lines: &'a EntryLines<'_>) {
        let run = match row.beneficiary {
            Beneficiary::Run(run) => lines.runs.get(run),
            _ => None,
        };
        self.bucket_start.push(lines.starts.get(row.bucket).map_or("", String::as_str));
        self.component.push(row.component.as_str());
        self.device.push(row.device.to_owned());
        self.beneficiary.push(row.beneficiary.kind());
        self.run_id.push(run.map(|run| run.run_id.as_str()));
        self.job_id.push(run.map(|run| run.job_id.as_str()));
        self.run_start.push(run.map(|run| format_instant(run.start_ms)));
        self.user.push(run.map(|run| run.user.as_str()));
        self.account.push(run.map(|run| run.account.as_str()));
        self.method.push(row.method.as_str());
        self.share_method.push(row.share_method.as_str());
        for (column, (_, value)) in self.numbers.iter_mut().zip(NUMBERS) {
            column.push(value(row));
        }
        self.zone.push(row.price.words.zone.map(str::to_owned));
        self.intensity_tier.push(row.price.words.tier.map(|tier| tier.to_string()));
    }

    fn into_frame(self, node: &str, basis: Basis) -> PolarsResult<DataFrame> {
        let rows = self.component.len();
        let mut columns = vec![
            Column::new("bucket_start".into(), self.bucket_start),
            Column::new("node".into(), vec![node; rows]),
            Column::new("component".into(), self.component),
            Column::new("device".into(), self.device),
            Column::new("beneficiary".into(), self.beneficiary),
            Column::new("run_id".into(), self.run_id),
            Column::new("job_id".into(), self.job_id),
            Column::new("run_start".into(), self.run_start),
            Column::new("user".into(), self.user),
            Column::new("account".into(), self.account),
            Column::new("method".into(), self.method),
            Column::new("share_method".into(), self.share_method),
        ];
        let numbers = NUMBERS.iter().zip(self.numbers);
        columns.extend(numbers.map(|((name, _), values)| Column::new((*name).into(), values)));
        columns.extend([
            Column::new("zone".into(), self.zone),
            Column::new("intensity_tier".into(), self.intensity_tier),
            Column::new("basis".into(), vec![basis.to_string(); rows]),
        ]);
        DataFrame::new(rows, columns)
    }
}

/// Rows that wait until they are written.
const ROWS_AT_ONCE: usize = 1 << 16;

/// The table on its way: a file without a name until it is whole, for its rows may be more than fit in memory.
#[derive(Debug)]
pub struct Entries {
    file: io::Result<File>,
    text: CellText,
    waiting: Vec<DataFrame>,
}

impl Entries {
    /// Begins the table on the file system of `out`.
    pub fn begin(out: &Path, lines: &EntryLines<'_>) -> Self {
        // The directory may not be there yet.
        let there = out.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
        let mut entries = Self { file: tempfile::tempfile_in(there), text: lines.text, waiting: Vec::new() };
        let header =
            Columns::default().into_frame("", lines.basis).and_then(|none| csv_of(none, lines.text, true));
        entries.append(header);
        entries
    }

    /// Adds the rows of the next node. What goes wrong is told when the report is written.
    pub fn add(&mut self, rows: PolarsResult<DataFrame>) {
        match rows {
            Ok(rows) => self.waiting.push(rows),
            Err(error) => self.append(Err(error)),
        }
        if self.waiting.iter().map(DataFrame::height).sum::<usize>() >= ROWS_AT_ONCE {
            self.flush();
        }
    }

    /// Writes what waits, and no more will come.
    #[must_use]
    pub fn ended(mut self) -> Self {
        self.flush();
        self
    }

    /// Not while nodes are worked through: a thread that waits for Polars' own ones would begin with another node meanwhile.
    fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let text = self.text;
        let parts: Vec<PolarsResult<Vec<u8>>> =
            waiting.par_iter().map(|rows| rounded(rows).and_then(|rows| csv_of(rows, text, false))).collect();
        parts.into_iter().for_each(|part| self.append(part));
    }

    fn append(&mut self, lines: PolarsResult<Vec<u8>>) {
        if let Ok(file) = &mut self.file
            && let Err(error) = lines.map_err(io::Error::other).and_then(|lines| file.write_all(&lines))
        {
            self.file = Err(error);
        }
    }

    /// Writes what was added.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut file = self.file.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        file.seek(SeekFrom::Start(0))?;
        io::copy(&mut BufReader::with_capacity(1 << 20, file), out)?;
        Ok(())
    }
}
