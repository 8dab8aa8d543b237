//! The accounting file of Sun, Univa, Altair and Son of Grid Engine: colon-separated, as in accounting(5).

use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;
use std::path::Path;

use super::collect::{Collector, Record};
use super::error::shorten;
use super::lines::{Lines, each_line};
use super::{JobsError, RejectReason, Run, tres};

/// Fields up to `task_number`; more follow.
const NEEDED: usize = 36;
/// From here on times are in milliseconds (Univa Grid Engine 8.2 and later): the year 5138 in seconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// True for a line of such a file.
pub(super) fn looks_like(line: &str) -> bool {
    let fields: Vec<&str> = line.split(':').collect();
    let number = |at: usize| fields.get(at).is_some_and(|text| text.parse::<i64>().is_ok());
    fields.len() >= 30 && [5, 8, 9, 10].into_iter().all(number)
}

/// Reads every line. A parallel job that was not accounted as one has a line for each of its hosts.
pub(super) fn read(
    collector: &mut Collector,
    lines: Lines<impl BufRead>,
    path: &Path,
) -> Result<(), JobsError> {
    let mut jobs: Vec<Record> = Vec::new();
    let mut parts: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    let mut first_hosts_only = 0_u64;
    each_line(collector, lines, path, |collector, _, line| {
        if line.starts_with('#') {
            return Ok(());
        }
        let Some(row) = row(line)? else {
            collector.never_started();
            return Ok(());
        };
        if row.is_part {
            collector.skipped.steps = collector.skipped.steps.saturating_add(1);
            parts.entry(row.record.run.run_id.clone()).or_default().push(row.record);
        } else {
            let is_parallel = row.is_parallel && row.record.cpus.is_some_and(|slots| slots > 1.0);
            first_hosts_only = first_hosts_only.saturating_add(u64::from(is_parallel));
            jobs.push(row.record);
        }
        Ok(())
    })?;
    // What the lines of parts say of hosts goes into the job's own line, which has the number of its slots.
    for mut job in jobs {
        let mut known: HashSet<String> = job.nodes.iter().cloned().collect();
        for part in parts.get(&job.run.run_id).into_iter().flatten() {
            let is_within = part.run.start_ms >= job.run.start_ms && part.run.end_ms <= job.run.end_ms;
            // The job's own line has the time of its first task alone.
            if let (Some(whole), Some(more), true) =
                (job.run.cpu_time_s.as_mut(), part.run.cpu_time_s, is_within)
            {
                *whole += more;
            }
            for node in part.nodes.iter().filter(|_| is_within) {
                if known.insert(node.clone()) {
                    job.nodes.push(node.clone());
                }
            }
        }
        collector.record(job);
    }
    if first_hosts_only > 0 {
        collector.note(format!(
            "parallel jobs of Grid Engine: {first_hosts_only}; where the log has no lines for their other hosts, all \
             is given to the first"
        ));
    }
    Ok(())
}

struct Row {
    record: Record,
    /// A line about one host of a parallel job.
    is_part: bool,
    is_parallel: bool,
}

/// One line; `None` for a job that never ran.
fn row(line: &str) -> Result<Option<Row>, RejectReason> {
    let fields: Vec<&str> = line.split(':').collect();
    if fields.len() < NEEDED {
        return Err(RejectReason::TooFewFields { found: fields.len(), expected: NEEDED });
    }
    let get = |at: usize| fields.get(at).map_or("", |text| text.trim());
    let integer = |at: usize, column: &'static str| {
        get(at).parse::<i64>().map_err(|_| RejectReason::BadNumber { column, text: shorten(get(at)) })
    };
    let at_ms = |at: usize, column: &'static str| {
        let time = integer(at, column)?;
        let scale = if time >= MILLISECONDS_FROM { 1 } else { 1000 };
        time.checked_mul(scale).ok_or_else(|| RejectReason::BadNumber { column, text: shorten(get(at)) })
    };
    let job = get(5);
    if job.is_empty() || !job.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RejectReason::BadJobId { text: shorten(job) });
    }
    let (start_ms, end_ms) = (at_ms(9, "start_time")?, at_ms(10, "end_time")?);
    if start_ms <= 0 {
        return Ok(None);
    }
    if end_ms < start_ms {
        let (start, end) = (get(9).to_owned(), get(10).to_owned());
        return Err(RejectReason::EndBeforeStart { start, end });
    }
    let none = |text: &str| text.is_empty() || text.eq_ignore_ascii_case("none");
    if none(get(1)) {
        return Err(RejectReason::NoNodes);
    }
    let task = integer(35, "task_number")?;
    let (failed, exit) = (integer(11, "failed")?, integer(12, "exit_status")?);
    // Where a project is charged it is named, else the department, else the group.
    let charged = [31, 6].map(get).into_iter().find(|name| !none(name) && *name != "sge");
    let record = Record {
        run: Run {
            run_id: if task > 0 { format!("{job}.{task}") } else { job.to_owned() },
            job_id: job.to_owned(),
            name: get(4).to_owned(),
            user: get(3).to_owned(),
            account: charged.unwrap_or_else(|| get(2)).to_owned(),
            partition: get(0).to_owned(),
            state: if failed == 0 && exit == 0 { "COMPLETED" } else { "FAILED" }.to_owned(),
            start_ms,
            end_ms: Some(end_ms),
            cpu_time_s: tres::plain_number(get(36)).and_then(super::plausible_cpu_time_s),
            ..Run::default()
        },
        nodes: vec![get(1).to_owned()],
        cpus: tres::plain_number(get(34)),
        ..Record::default()
    };
    Ok(Some(Row { record, is_part: !none(get(41)), is_parallel: !none(get(33)) }))
}
