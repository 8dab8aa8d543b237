//! The text of `sacct` with separators: `-P`, `-p`, `--delimiter`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use super::align::{Kind, realign};
use super::{Held, Job, JobId, plausible_energy_j, stage_in, units_in};
use crate::jobs::clock::{self, Instant, When};
use crate::jobs::collect::{Collector, Step};
use crate::jobs::error::shorten;
use crate::jobs::lines::Lines;
use crate::jobs::tres::{self, Tres, TresError};
use crate::jobs::{JobsError, Options, RejectReason, Run, SACCT_COMMAND, column_key, expand_nodes};

/// True for a line that could be a row of `sacct` (used to say that the header is missing).
pub(crate) fn looks_like_row(line: &str) -> bool {
    line.split('|').any(|field| field.contains('T') && clock::parse(field, chrono_tz::Tz::UTC).is_ok())
}

/// Reads the rows after `header`; returns the columns as they stand in it.
pub(crate) fn read(
    collector: &mut Collector,
    mut lines: Lines<impl BufRead>,
    header: &str,
    separator: char,
    path: &Path,
    options: &Options,
) -> Result<Vec<String>, JobsError> {
    let mut columns = Columns::parse(header, separator, path)?;
    let first_columns = columns.names.clone();
    let mut realigned = 0_u64;
    while let Some((number, text)) = lines.next_text(collector, path)? {
        if text.trim().is_empty() {
            continue;
        }
        // Logs that were put together with `cat` have a header in the middle.
        if columns.is_header(&text)
            && let Ok(others) = Columns::parse(&text, separator, path)
        {
            columns = others;
            continue;
        }
        let outcome = columns.fields(&text).and_then(|(fields, moved)| {
            take_row(collector, &Row { columns: &columns, fields: &fields }, options)?;
            Ok(moved)
        });
        match outcome {
            Ok(moved) => realigned = realigned.saturating_add(u64::from(moved)),
            Err(reason) => collector.reject(number, reason, &text),
        }
    }
    add_notes(collector, &columns, realigned);
    Ok(first_columns)
}

fn add_notes(collector: &mut Collector, columns: &Columns, realigned: u64) {
    if realigned > 0 {
        collector.note(format!("lines put right that had separators inside a text: {realigned}"));
    }
    if !columns.has("alloctres") && !columns.has("allocgres") {
        let cpus = if columns.has("alloccpus") || columns.has("ncpus") { "" } else { "CPUs, " };
        collector.note(format!("no column `AllocTRES`: {cpus}memory and GPUs held are not known"));
    }
}

/// The columns of a header.
struct Columns {
    names: Vec<String>,
    kinds: Vec<Kind>,
    /// Position by name in lower case; the first of two with one name.
    positions: HashMap<String, usize>,
    separator: char,
    /// `-p`: every line ends in a separator.
    trailing: bool,
}

impl Columns {
    fn parse(header: &str, separator: char, path: &Path) -> Result<Self, JobsError> {
        let (header, trailing) = match header.trim_end_matches(' ').strip_suffix(separator) {
            Some(rest) => (rest, true),
            None => (header, false),
        };
        let names: Vec<String> = header.split(separator).map(|name| name.trim().to_owned()).collect();
        let keys: Vec<String> = names.iter().map(|name| column_key(name)).collect();
        let kinds = keys.iter().map(|key| Kind::of(key)).collect();
        let mut positions = HashMap::new();
        for (at, key) in keys.into_iter().enumerate() {
            positions.entry(key).or_insert(at);
        }
        let columns = Self { names, kinds, positions, separator, trailing };
        let needed = [("Start", "start"), ("End", "end"), ("NodeList", "nodelist")];
        let missing: Vec<_> =
            needed.into_iter().filter(|(_, key)| !columns.has(key)).map(|(name, _)| name).collect();
        if missing.is_empty() {
            Ok(columns)
        } else {
            let hint = format!("export the jobs with `{SACCT_COMMAND}`");
            Err(JobsError::MissingColumns { path: path.to_path_buf(), missing, hint })
        }
    }

    fn has(&self, key: &str) -> bool {
        self.positions.contains_key(key)
    }

    /// The column with the job's id: as people write it, else as the database has it.
    fn id_key(&self) -> &'static str {
        if self.has("jobid") { "jobid" } else { "jobidraw" }
    }

    fn is_header(&self, line: &str) -> bool {
        // A look over the bytes first: this is asked of every line.
        let is_start = |bytes: &[u8]| matches!(bytes.first(), Some(b'j' | b'J'));
        if !line.as_bytes().windows(5).any(|bytes| is_start(bytes) && bytes.eq_ignore_ascii_case(b"jobid")) {
            return false;
        }
        let names = |wanted: &str| line.split(self.separator).any(|field| column_key(field) == wanted);
        // A job can be called what a header says; but it has times, and a header has none.
        let is_time =
            |field: &str| !field.trim().is_empty() && clock::parse(field.trim(), chrono_tz::Tz::UTC).is_ok();
        names(self.id_key()) && names("start") && names("end") && !line.split(self.separator).any(is_time)
    }

    /// The texts of a line's columns, and whether stray separators had to be put right.
    fn fields<'a>(&self, line: &'a str) -> Result<(Vec<Cow<'a, str>>, bool), RejectReason> {
        let line = if self.trailing { line.strip_suffix(self.separator).unwrap_or(line) } else { line };
        let fields: Vec<&str> = line.split(self.separator).collect();
        let (found, expected) = (fields.len(), self.kinds.len());
        if found < expected {
            return Err(RejectReason::TooFewFields { found, expected });
        }
        if found == expected {
            return Ok((fields.into_iter().map(Cow::Borrowed).collect(), false));
        }
        match realign(&self.kinds, &fields, self.separator) {
            Some(fields) => Ok((fields.into_iter().map(Cow::Owned).collect(), true)),
            None => Err(RejectReason::TooManyFields { found, expected }),
        }
    }
}

/// What is said of `1001=4` where no table says that this is `gres/gpu`.
const NUMBERED: &str = "generic resources stand in the log by number, so GPUs are not known: give the output of \
                        `sacctmgr --parsable2 show tres` as a job log before it";

/// One line's fields by column name.
struct Row<'a> {
    columns: &'a Columns,
    fields: &'a [Cow<'a, str>],
}

impl Row<'_> {
    /// The column's text without surrounding blanks; empty if there is no such column.
    fn get(&self, key: &str) -> &str {
        let at = self.columns.positions.get(key);
        at.and_then(|&at| self.fields.get(at)).map_or("", |text| text.trim())
    }

    fn time(
        &self,
        key: &str,
        column: &'static str,
        options: &Options,
    ) -> Result<Option<Instant>, RejectReason> {
        match clock::parse(self.get(key), options.zone) {
            Ok(When::Never) => Ok(None),
            Ok(When::At(instant)) => Ok(Some(instant)),
            Err(source) => Err(RejectReason::BadTime { column, source }),
        }
    }

    fn elapsed_ms(&self) -> Option<i64> {
        let seconds =
            self.get("elapsedraw").parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000));
        seconds.or_else(|| clock::parse_elapsed(self.get("elapsed")))
    }

    fn energy_j(&self) -> Option<f64> {
        tres::plain_number(self.get("consumedenergyraw")).and_then(plausible_energy_j)
    }

    fn resources(&self, collector: &mut Collector) -> Result<Option<Tres>, RejectReason> {
        let (text, unknown) = tres::named(self.get("alloctres"), &collector.tres_names);
        if unknown {
            collector.note(NUMBERED.to_owned());
        }
        let mut resources = match &*text {
            "" => None,
            text => Some(tres::parse(text).map_err(|source| bad_resource("AllocTRES", source))?),
        };
        // Up to Slurm 20.11 GPUs stood in a column of their own.
        if let Some(gres) = tres::gres(self.get("allocgres")) {
            let resources = resources.get_or_insert_default();
            resources.gpus = resources.gpus.or(Some(gres.gpus));
        }
        Ok(resources)
    }

    /// A column of its own, else `stage=…` in one of the comments.
    fn stage(&self) -> String {
        let column = self.get("stage");
        if !column.is_empty() {
            return column.to_owned();
        }
        COMMENTS.iter().find_map(|key| stage_in(self.get(key))).unwrap_or_default().to_owned()
    }
}

/// Columns that hold whatever people put there.
const COMMENTS: [&str; 3] = ["comment", "admincomment", "systemcomment"];

fn bad_resource(column: &'static str, source: TresError) -> RejectReason {
    RejectReason::BadResource { column, source }
}

fn take_row(collector: &mut Collector, row: &Row<'_>, options: &Options) -> Result<(), RejectReason> {
    let id_text = row.get(row.columns.id_key());
    let id = JobId::parse(id_text).ok_or_else(|| RejectReason::BadJobId { text: shorten(id_text) })?;
    let start = row.time("start", "Start", options)?;
    if let Some(step) = id.step {
        // Only `extern` spans the allocation; other steps may hold a part of it.
        let allocation = if step == "extern" { row.resources(collector).unwrap_or_default() } else { None };
        collector.step(Step {
            cluster: row.get("cluster").to_owned(),
            run_id: id.job.to_owned(),
            start_ms: start.map(|start| start.at_ms),
            energy_j: row.energy_j(),
            allocation,
        });
        return Ok(());
    }
    let job = Job {
        run: Run {
            run_id: id.job.to_owned(),
            job_id: row.get("jobidraw").to_owned(),
            name: row.get("jobname").to_owned(),
            user: row.get("user").to_owned(),
            account: row.get("account").to_owned(),
            partition: row.get("partition").to_owned(),
            state: row.get("state").split(' ').next().unwrap_or_default().trim_end_matches('+').to_owned(),
            stage: row.stage(),
            functional_units: COMMENTS.iter().find_map(|key| units_in(row.get(key))),
            cpu_time_s: clock::parse_cpu_time_s(row.get("totalcpu")),
            recorded_energy_j: row.energy_j(),
            ..Run::default()
        },
        cluster: row.get("cluster").to_owned(),
        submit: row.time("submit", "Submit", options).unwrap_or_default(),
        start,
        end: row.time("end", "End", options)?,
        elapsed_ms: row.elapsed_ms(),
        nodes: expand_nodes(row.get("nodelist"))?,
    };
    if !job.has_run(collector) {
        return Ok(());
    }
    let held = Held {
        resources: row.resources(collector)?,
        cpus: ["alloccpus", "ncpus"].iter().find_map(|key| tres::plain_number(row.get(key))),
        requested_memory: tres::requested_memory(row.get("reqmem"))
            .map_err(|source| bad_resource("ReqMem", source))?,
        ..Held::default()
    };
    job.record(held, collector).map_err(|reason| match reason {
        // As they stand in the line.
        RejectReason::EndBeforeStart { .. } => RejectReason::EndBeforeStart {
            start: row.get("start").to_owned(),
            end: row.get("end").to_owned(),
        },
        reason => reason,
    })
}
