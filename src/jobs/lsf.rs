//! The accounting file of LSF, `lsb.acct`: `JOB_FINISH` records of blank-separated fields, texts in quotes.
//!
//! Fields as in the reference of the file (`lsb.acct`(5)): numbers of hosts stand before the lists of hosts,
//! so that what follows moves. A script in the command may hold line breaks, and so a record more than one line.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use super::collect::{Collector, Record};
use super::error::shorten;
use super::lines::Lines;
use super::tres::Tres;
use super::{Allocation, JobsError, RejectReason, Run};
use crate::metered::LONGEST_BYTES;

/// Lines that one record may have: a script of more is none.
const MOST_LINES: usize = 10_000;

/// True for the first line of a record.
pub(super) fn looks_like(line: &str) -> bool {
    line.starts_with("\"JOB_") || line.starts_with("\"EVENT_")
}

/// Reads every record.
pub(super) fn read(
    collector: &mut Collector,
    mut lines: Lines<impl BufRead>,
    path: &Path,
) -> Result<(), JobsError> {
    let mut record = String::new();
    let (mut first, mut count) = (0, 0_usize);
    while let Some((number, text)) = lines.next_text(collector, path)? {
        // Every record begins so; a quote that is never closed costs one record and not the rest of the file.
        if looks_like(&text) || count >= MOST_LINES || record.len() as u64 >= LONGEST_BYTES {
            take(collector, first, &record);
            record.clear();
            (first, count) = (number, 0);
        } else if count > 0 {
            record.push('\n');
        } else {
            first = number;
        }
        count = count.saturating_add(1);
        record.push_str(&text);
    }
    take(collector, first, &record);
    Ok(())
}

fn take(collector: &mut Collector, number: u64, record: &str) {
    if record.trim().is_empty() {
        return;
    }
    if let Err(reason) = take_record(collector, record) {
        collector.reject(number, reason, record);
    }
}

/// A field, and whether it stood in quotes.
struct Field {
    text: String,
    quoted: bool,
}

/// Splits at blanks outside quotes; `""` inside quotes is a quote.
fn split(record: &str) -> Result<Vec<Field>, RejectReason> {
    let mut fields = Vec::new();
    let mut characters = record.chars().peekable();
    loop {
        while characters.next_if(|character| character.is_whitespace()).is_some() {}
        let Some(first) = characters.next() else { return Ok(fields) };
        let mut text = String::new();
        let quoted = first == '"';
        if !quoted {
            text.push(first);
            while let Some(next) = characters.next_if(|character| !character.is_whitespace()) {
                text.push(next);
            }
        } else {
            loop {
                match characters.next() {
                    Some('"') if characters.next_if_eq(&'"').is_some() => text.push('"'),
                    Some('"') => break,
                    Some(other) => text.push(other),
                    None => return Err(RejectReason::OpenQuote),
                }
            }
        }
        fields.push(Field { text, quoted });
    }
}

/// Reads fields in their order.
struct Fields {
    fields: std::vec::IntoIter<Field>,
}

impl Fields {
    fn next(&mut self, column: &'static str, quoted: bool) -> Result<String, RejectReason> {
        let field = self.fields.next().ok_or(RejectReason::MissingField { column })?;
        if field.quoted == quoted {
            Ok(field.text)
        } else {
            Err(RejectReason::BadNumber { column, text: shorten(&field.text) })
        }
    }

    fn text(&mut self, column: &'static str) -> Result<String, RejectReason> {
        self.next(column, true)
    }

    fn integer(&mut self, column: &'static str) -> Result<i64, RejectReason> {
        let text = self.next(column, false)?;
        text.parse().map_err(|_| RejectReason::BadNumber { column, text: shorten(&text) })
    }

    fn hosts(&mut self, column: &'static str) -> Result<Vec<String>, RejectReason> {
        (0..self.integer(column)?).map(|_| self.text(column)).collect()
    }
}

fn take_record(collector: &mut Collector, record: &str) -> Result<(), RejectReason> {
    let mut fields = Fields { fields: split(record)?.into_iter() };
    let kind = fields.text("event type")?;
    fields.text("version")?;
    let event = fields.integer("event time")?;
    let at_ms = |seconds: i64, column: &'static str| {
        seconds.checked_mul(1000).ok_or_else(|| RejectReason::BadNumber { column, text: seconds.to_string() })
    };
    collector.reaches(at_ms(event, "event time")?);
    if kind != "JOB_FINISH" {
        return Ok(());
    }
    let job_id = fields.integer("jobId")?;
    for column in ["userId", "options", "numProcessors", "submitTime", "beginTime", "termTime"] {
        fields.integer(column)?;
    }
    let start = fields.integer("startTime")?;
    let user = fields.text("userName")?;
    let queue = fields.text("queue")?;
    for column in
        ["resReq", "dependCond", "preExecCmd", "fromHost", "cwd", "inFile", "outFile", "errFile", "jobFile"]
    {
        fields.text(column)?;
    }
    fields.hosts("askedHosts")?;
    let hosts = fields.hosts("execHosts")?;
    let status = fields.integer("jStatus")?;
    fields.next("hostFactor", false)?;
    let name = fields.text("jobName")?;
    fields.text("command")?;
    // Nineteen figures of the operating system's accounting, -1 where it has none: user and system time first.
    let mut cpu_time_s = 0.0;
    for nth in 0..19 {
        let figure = fields.next("resource usage", false)?;
        if nth < 2 {
            cpu_time_s += figure.parse::<f64>().unwrap_or(0.0).max(0.0);
        }
    }
    fields.text("mailUser")?;
    let project = fields.text("projectName")?;
    for (column, quoted) in
        [("exitStatus", false), ("maxNumProcessors", false), ("loginShell", true), ("timeEvent", true)]
    {
        fields.next(column, quoted)?;
    }
    let index = fields.integer("idx")?;

    if start <= 0 || hosts.is_empty() {
        collector.never_started();
        return Ok(());
    }
    if event < start {
        let (start, end) = (start.to_string(), event.to_string());
        return Err(RejectReason::EndBeforeStart { start, end });
    }
    let per_node = allocations(&hosts)?;
    collector.note("LSF's log does not tell which memory and GPUs a job held".to_owned());
    collector.record(Record {
        run: Run {
            run_id: if index > 0 { format!("{job_id}[{index}]") } else { job_id.to_string() },
            job_id: job_id.to_string(),
            name,
            user,
            account: project,
            partition: queue,
            state: match status {
                32 => "EXIT".to_owned(),
                64 => "DONE".to_owned(),
                other => other.to_string(),
            },
            start_ms: at_ms(start, "startTime")?,
            end_ms: Some(at_ms(event, "event time")?),
            cpu_time_s: super::plausible_cpu_time_s(cpu_time_s),
            ..Run::default()
        },
        nodes: per_node.iter().map(|allocation| allocation.node.clone()).collect(),
        totals: Tres::default(),
        per_node: Some(per_node),
        ..Record::default()
    });
    Ok(())
}

/// A host stands once for each slot, or as `8*host`.
fn allocations(hosts: &[String]) -> Result<Vec<Allocation>, RejectReason> {
    let mut found: Vec<Allocation> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for text in hosts {
        let (slots, name) = match text.split_once('*') {
            Some((slots, name)) => {
                let slots = slots.parse::<u32>();
                (f64::from(slots.map_err(|_| RejectReason::BadNodeSpec { text: shorten(text) })?), name)
            }
            None => (1.0, text.as_str()),
        };
        let place = *places.entry(name).or_insert(found.len());
        match found.get_mut(place) {
            Some(known) => known.cpus = known.cpus.map(|cpus| cpus + slots),
            None => {
                found.push(Allocation { node: name.to_owned(), cpus: Some(slots), ..Allocation::default() })
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_quotes() {
        let texts = |record: &str| {
            split(record).map(|fields| fields.into_iter().map(|field| field.text).collect::<Vec<_>>())
        };
        assert_eq!(texts("\"a\" 1  \"b \"\"c\"\" d\" \"\" -1").unwrap(), ["a", "1", "b \"c\" d", "", "-1"]);
        assert_eq!(texts("\"a\nb\" 2").unwrap(), ["a\nb", "2"]);
        assert_eq!(texts("\"a").unwrap_err(), RejectReason::OpenQuote);
    }

    #[test]
    fn slots_of_hosts() {
        let hosts = ["a", "a", "4*b"].map(str::to_owned);
        let held: Vec<_> =
            allocations(&hosts).unwrap().into_iter().map(|host| (host.node, host.cpus)).collect();
        assert_eq!(held, [("a".to_owned(), Some(2.0)), ("b".to_owned(), Some(4.0))]);
        assert!(allocations(&["x*b".to_owned()]).is_err());
    }
}
