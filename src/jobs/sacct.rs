//! The text of `sacct` with separators: `-P`, `-p`, `--delimiter`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use super::align::{Kind, realign};
use super::clock::{self, Instant, When};
use super::collect::{Collector, Record, Step};
use super::error::shorten;
use super::lines::{Line, Lines, MAX_LINE_BYTES};
use super::tres::{self, Tres, TresError};
use super::{JobLog, JobsError, LogFormat, Options, RejectReason, Run, SACCT_COMMAND, column_key, hostlist};

/// A job id, taken apart: `12_3`, `28+0`, `33_[1%1]`, `5.batch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JobId<'a> {
    /// Without the step.
    pub(super) job: &'a str,
    /// `batch`, `extern`, `interactive`, `0`, … of a step.
    pub(super) step: Option<&'a str>,
}

impl<'a> JobId<'a> {
    /// `None` for what is no job id.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (job, step) = match text.split_once('.') {
            Some((job, step)) if !step.is_empty() => (job, Some(step)),
            Some(_) => return None,
            None => (text, None),
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let tasks = |text: &str| {
            let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            inner.is_some_and(|inner| inner.bytes().all(|byte| b"0123456789-,:%.".contains(&byte)))
        };
        let (head, part) = job.split_once('+').map_or((job, None), |(head, part)| (head, Some(part)));
        let (number, task) = head.split_once('_').map_or((head, None), |(number, task)| (number, Some(task)));
        let sound =
            digits(number) && part.is_none_or(digits) && task.is_none_or(|task| digits(task) || tasks(task));
        sound.then_some(Self { job, step })
    }
}

/// True for a line that could be a row of `sacct` (used to say that the header is missing).
pub(super) fn looks_like_row(line: &str) -> bool {
    line.split('|').any(|field| field.contains('T') && clock::parse(field, chrono_tz::Tz::UTC).is_ok())
}

/// Reads the rows after `header`.
pub(super) fn read(
    mut lines: Lines<impl BufRead>,
    header: &str,
    separator: char,
    path: &Path,
    options: &Options,
) -> Result<JobLog, JobsError> {
    let mut columns = Columns::parse(header, separator, path)?;
    let first_columns = columns.names.clone();
    let mut collector = Collector::new(path);
    let mut realigned = 0_u64;
    let io = |source| JobsError::Io { doing: "read", path: path.to_path_buf(), source };
    while let Some(line) = lines.next_line().map_err(io)? {
        let (number, text) = match line {
            Line::Text { text, .. } if text.trim().is_empty() => continue,
            Line::Text { number, text } => (number, text),
            Line::TooLong { number } => {
                collector.reject(number, RejectReason::LineTooLong { limit: MAX_LINE_BYTES }, "");
                continue;
            }
        };
        // Logs that were put together with `cat` have a header in the middle.
        if columns.is_header(&text) {
            columns = Columns::parse(&text, separator, path)?;
            continue;
        }
        let outcome = columns.fields(&text).and_then(|(fields, moved)| {
            take_row(&mut collector, &Row { columns: &columns, fields: &fields }, options)?;
            Ok(moved)
        });
        match outcome {
            Ok(moved) => realigned = realigned.saturating_add(u64::from(moved)),
            Err(reason) => collector.reject(number, reason, &text),
        }
    }
    add_notes(&mut collector, &columns, realigned, options);
    Ok(collector.finish(LogFormat::SacctText, first_columns))
}

fn add_notes(collector: &mut Collector, columns: &Columns, realigned: u64, options: &Options) {
    if collector.zone_assumed {
        collector.notes.push(format!("times carry no offset and were read in the zone `{}`", options.zone));
    }
    if realigned > 0 {
        collector.notes.push(format!("lines put right that had separators inside a text: {realigned}"));
    }
    if !columns.has("alloctres") {
        let cpus = if columns.has("alloccpus") || columns.has("ncpus") { "" } else { "CPUs, " };
        collector.notes.push(format!("no column `AllocTRES`: {cpus}memory and GPUs held are not known"));
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
        if !line.as_bytes().windows(5).any(|bytes| bytes.eq_ignore_ascii_case(b"jobid")) {
            return false;
        }
        let names = |wanted: &str| line.split(self.separator).any(|field| column_key(field) == wanted);
        names(self.id_key()) && names("start") && names("end")
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

    /// Joules by the scheduler's own reading. Slurm writes nought where no
    /// energy plugin runs, and values near 2^64 for "not known".
    fn energy_j(&self) -> Option<f64> {
        let unknown_from = 9.2e18;
        tres::plain_number(self.get("consumedenergyraw"))
            .filter(|joules| *joules > 0.0 && *joules < unknown_from)
    }

    fn resources(&self) -> Result<Option<Tres>, RejectReason> {
        let text = self.get("alloctres");
        if text.is_empty() {
            return Ok(None);
        }
        tres::parse(text).map(Some).map_err(|source| bad_resource("AllocTRES", source))
    }

    /// A column of its own, else `stage=…` in one of the comments.
    fn stage(&self) -> String {
        let column = self.get("stage");
        if !column.is_empty() {
            return column.to_owned();
        }
        let comments = ["comment", "admincomment", "systemcomment"];
        comments.iter().find_map(|key| stage_in(self.get(key))).unwrap_or_default().to_owned()
    }
}

fn bad_resource(column: &'static str, source: TresError) -> RejectReason {
    RejectReason::BadResource { column, source }
}

fn stage_in(comment: &str) -> Option<&str> {
    let words = comment.split(|character: char| character.is_whitespace() || ",;|&".contains(character));
    words
        .filter_map(|word| word.split_once('='))
        .find_map(|(name, value)| (name.eq_ignore_ascii_case("stage") && !value.is_empty()).then_some(value))
}

fn take_row(collector: &mut Collector, row: &Row<'_>, options: &Options) -> Result<(), RejectReason> {
    let id_text = row.get(row.columns.id_key());
    let id = JobId::parse(id_text).ok_or_else(|| RejectReason::BadJobId { text: shorten(id_text) })?;
    let start = row.time("start", "Start", options)?;
    if let Some(step) = id.step {
        // Only `extern` spans the allocation; other steps may hold a part of it.
        let allocation = if step == "extern" { row.resources().unwrap_or_default() } else { None };
        collector.step(Step {
            cluster: row.get("cluster").to_owned(),
            run_id: id.job.to_owned(),
            start_ms: start.map(|start| start.at_ms),
            energy_j: row.energy_j(),
            allocation,
        });
        return Ok(());
    }
    let end = row.time("end", "End", options)?;
    let submit = row.time("submit", "Submit", options).unwrap_or_default();
    let state = row.get("state").split(' ').next().unwrap_or_default().trim_end_matches('+');
    let nodes = expand_nodes(row.get("nodelist"))?;
    let elapsed_ms = row.elapsed_ms();

    let at_once = start.map(|start| start.at_ms) == end.map(|end| end.at_ms);
    let no_run = nodes.is_empty() && (at_once || elapsed_ms == Some(0));
    let started = start.filter(|_| state != "PENDING" && !no_run);
    let Some(start) = started else {
        // Waiting jobs have a start in the future at most, cancelled ones a real end.
        for instant in [submit, end.filter(|_| state != "PENDING")].into_iter().flatten() {
            collector.reaches(instant.at_ms);
        }
        collector.skipped.never_started = collector.skipped.never_started.saturating_add(1);
        return Ok(());
    };
    if nodes.is_empty() {
        return Err(RejectReason::NoNodes);
    }
    let (start_ms, end_ms) = clock::settle(start, end, elapsed_ms);
    if end_ms.is_some_and(|end_ms| end_ms < start_ms) {
        let (start, end) = (row.get("start").to_owned(), row.get("end").to_owned());
        return Err(RejectReason::EndBeforeStart { start, end });
    }
    let resources = row.resources()?;
    let requested_memory =
        tres::requested_memory(row.get("reqmem")).map_err(|source| bad_resource("ReqMem", source))?;
    let cpus = ["alloccpus", "ncpus"].iter().find_map(|key| tres::plain_number(row.get(key)));

    collector.zone_assumed |= start.zone_assumed || end.is_some_and(|end| end.zone_assumed);
    if let (None, Some(elapsed_ms)) = (end_ms, elapsed_ms) {
        // Still running: the log was written when this much had passed.
        collector.reaches(start_ms.saturating_add(elapsed_ms.max(0)));
    }
    collector.record(Record {
        run: Run {
            run_id: id.job.to_owned(),
            job_id: row.get("jobidraw").to_owned(),
            name: row.get("jobname").to_owned(),
            user: row.get("user").to_owned(),
            account: row.get("account").to_owned(),
            partition: row.get("partition").to_owned(),
            state: state.to_owned(),
            stage: row.stage(),
            start_ms,
            end_ms,
            recorded_energy_j: row.energy_j(),
            ..Run::default()
        },
        cluster: row.get("cluster").to_owned(),
        nodes,
        totals: resources.unwrap_or_default(),
        lists_resources: resources.is_some(),
        cpus,
        requested_memory,
        gpu_ids: None,
    });
    Ok(())
}

/// The hosts of a list, or the reason why it is none.
pub(super) fn expand_nodes(list: &str) -> Result<Vec<String>, RejectReason> {
    hostlist::expand(list).map_err(|source| RejectReason::BadHostList { text: shorten(list), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_as_slurm_writes_them() {
        let id = |text| JobId::parse(text).map(|id| (id.job, id.step));
        assert_eq!(id("1234"), Some(("1234", None)));
        assert_eq!(id("12_3.batch"), Some(("12_3", Some("batch"))));
        assert_eq!(id("33_[1%1]"), Some(("33_[1%1]", None)));
        assert_eq!(id("7_[1,3-9:2%4]"), Some(("7_[1,3-9:2%4]", None)));
        assert_eq!(id("28+0.extern"), Some(("28+0", Some("extern"))));
        for wrong in ["", "JobID", "12.", "12_", "12_a", "x1", "12+", "12 13", "_3", "12_[a]"] {
            assert_eq!(id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn stages_in_comments() {
        assert_eq!(stage_in("stage=training"), Some("training"));
        assert_eq!(stage_in("proj=x; Stage=inference,note=y"), Some("inference"));
        assert_eq!(stage_in("backstage=1 stage="), None);
        assert_eq!(stage_in(""), None);
    }
}
