//! The Standard Workload Format of the Parallel Workloads Archive: 18 numbers a line, comments after `;`.
//!
//! It names no nodes: who had which machine was left out of it on purpose.

use std::io::BufRead;
use std::path::Path;

use super::collect::{Collector, Record};
use super::error::shorten;
use super::lines::{Lines, each_line};
use super::tres::{KIB, Tres};
use super::{JobsError, RejectReason, Run};

const FIELDS: usize = 18;

/// True for a line of 18 numbers.
pub(super) fn looks_like(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    fields.len() == FIELDS && fields.iter().all(|field| field.parse::<f64>().is_ok())
}

/// Reads every line.
pub(super) fn read(
    collector: &mut Collector,
    lines: Lines<impl BufRead>,
    path: &Path,
) -> Result<(), JobsError> {
    let mut epoch_s: Option<i64> = None;
    each_line(collector, lines, path, |collector, _, line| {
        if let Some(comment) = line.trim_start().strip_prefix(';') {
            if let Some((name, value)) = comment.split_once(':')
                && name.trim().eq_ignore_ascii_case("UnixStartTime")
            {
                epoch_s = value.split_whitespace().next().and_then(|word| word.parse().ok());
            }
            return Ok(());
        }
        take_line(collector, line, epoch_s)
    })?;
    if epoch_s.is_none() {
        collector.note("no `UnixStartTime` in the header: times count from 1970-01-01".to_owned());
    }
    Ok(())
}

fn take_line(collector: &mut Collector, line: &str, epoch_s: Option<i64>) -> Result<(), RejectReason> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let found = fields.len();
    if found < FIELDS {
        return Err(RejectReason::TooFewFields { found, expected: FIELDS });
    }
    if found > FIELDS {
        return Err(RejectReason::TooManyFields { found, expected: FIELDS });
    }
    let get = |at: usize| fields.get(at).copied().unwrap_or_default();
    // -1 stands for "not known".
    let number = |at: usize, column: &'static str| match get(at).parse::<f64>() {
        Ok(number) if number.abs() < 1e12 => Ok((number >= 0.0).then_some(number)),
        _ => Err(RejectReason::BadNumber { column, text: shorten(get(at)) }),
    };
    let name = |prefix: &str, at: usize, column: &'static str| {
        number(at, column).map(|number| number.map(|number| format!("{prefix}{number}")).unwrap_or_default())
    };
    let job = number(0, "job number")?.ok_or_else(|| RejectReason::BadJobId { text: get(0).to_owned() })?;
    let submit = number(1, "submit time")?.ok_or(RejectReason::MissingField { column: "submit time" })?;
    let (wait, run) = (number(2, "wait time")?, number(3, "run time")?);
    let status = number(10, "status")?;
    let (Some(wait), Some(run)) = (wait, run) else {
        collector.never_started();
        return Ok(());
    };
    let processors = number(4, "processors")?.or(number(7, "requested processors")?).filter(|n| *n > 0.0);
    if run == 0.0 && processors.is_none() {
        collector.never_started();
        return Ok(());
    }
    let each = number(9, "requested memory")?.or(number(6, "used memory")?).filter(|n| *n > 0.0);
    let start_s = submit + wait;
    let start_ms =
        epoch_s.unwrap_or(0).saturating_mul(1000).saturating_add((start_s * 1000.0).round() as i64);
    collector.record(Record {
        run: Run {
            run_id: job.to_string(),
            name: name("executable", 13, "executable")?,
            user: name("user", 11, "user")?,
            account: name("group", 12, "group")?,
            partition: name("queue", 14, "queue")?,
            state: match status {
                Some(0.0) => "FAILED",
                Some(1.0) => "COMPLETED",
                Some(5.0) => "CANCELLED",
                _ => "",
            }
            .to_owned(),
            start_ms,
            end_ms: Some(start_ms.saturating_add((run * 1000.0).round() as i64)),
            // The mean over the processors.
            cpu_time_s: number(5, "average CPU time")?
                .zip(processors)
                .and_then(|(each, processors)| super::plausible_cpu_time_s(each * processors)),
            ..Run::default()
        },
        totals: Tres {
            cpus: processors,
            // Kilobytes for each processor.
            memory_bytes: each.zip(processors).map(|(each, processors)| each * KIB * processors),
            ..Tres::default()
        },
        ..Record::default()
    });
    Ok(())
}
