//! The accounting log of PBS Pro, OpenPBS and Torque: `10/02/2011 06:41:44;E;123.server;user=… start=…`.
//!
//! `E` says that a job ended, with everything about it; `S` that it started, which counts until its end is
//! in the log; `R` and `A` that an execution was taken back. Of other types only the time counts.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::path::Path;

use super::clock::{self, Instant, When};
use super::collect::{Collector, Record};
use super::error::shorten;
use super::lines::{Lines, each_line};
use super::tres::{self, Tres};
use super::{Allocation, JobsError, Options, RejectReason, Run};
use crate::time::TimeError;

/// `MM/DD/YYYY HH:MM:SS`.
const STAMP_BYTES: usize = 19;

/// True for a line of such a log. A file name may stand before it, as `grep` prints it.
pub(super) fn looks_like(line: &str) -> bool {
    let mut parts = line.splitn(4, ';');
    let (Some(before), Some(kind), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    kind.len() == 1 && kind.bytes().all(|byte| byte.is_ascii_uppercase()) && stamp(before).is_some()
}

/// The date in front of a line, as `YYYY-MM-DDTHH:MM:SS`.
fn stamp(before: &str) -> Option<String> {
    let text = before.get(before.len().checked_sub(STAMP_BYTES)?..)?;
    let (date, time) = text.split_once(' ')?;
    let mut parts = date.split('/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let sound = digits(month, 2) && digits(day, 2) && digits(year, 4) && time.len() == 8;
    sound.then(|| format!("{year}-{month}-{day}T{time}"))
}

/// Reads every line.
pub(super) fn read(
    collector: &mut Collector,
    lines: Lines<impl BufRead>,
    path: &Path,
    options: &Options,
) -> Result<(), JobsError> {
    // Executions that have started and of which no end is known yet, by job id.
    let mut open: BTreeMap<String, Record> = BTreeMap::new();
    each_line(collector, lines, path, |collector, _, line| take_line(collector, &mut open, line, options))?;
    for record in open.into_values() {
        collector.record(record);
    }
    Ok(())
}

fn take_line(
    collector: &mut Collector,
    open: &mut BTreeMap<String, Record>,
    line: &str,
    options: &Options,
) -> Result<(), RejectReason> {
    let fields: Vec<&str> = line.splitn(4, ';').collect();
    let (&[before, kind, id], rest) = fields
        .split_first_chunk::<3>()
        .ok_or(RejectReason::TooFewFields { found: fields.len(), expected: 4 })?;
    let message = rest.first().copied().unwrap_or_default();
    let stamp = stamp(before).unwrap_or_else(|| before.to_owned());
    let logged = match clock::parse(&stamp, options.zone) {
        Ok(When::At(instant)) => instant,
        Ok(When::Never) => return Err(RejectReason::MissingField { column: "date" }),
        Err(source) => return Err(RejectReason::BadTime { column: "date", source }),
    };
    collector.reaches(logged.at_ms);
    match kind {
        "E" => {
            open.remove(id);
            match job(id, &pairs(message))? {
                Some(record) if record.run.end_ms.is_none() => {
                    Err(RejectReason::MissingField { column: "end" })
                }
                Some(record) => {
                    collector.record(record);
                    Ok(())
                }
                None => {
                    collector.never_started();
                    Ok(())
                }
            }
        }
        "S" => {
            let Some(mut record) = job(id, &pairs(message))? else { return Ok(()) };
            "RUNNING".clone_into(&mut record.run.state);
            if let Some(before) = open.insert(id.to_owned(), record) {
                close(collector, before, logged, "REQUEUED");
            }
            Ok(())
        }
        "R" | "A" => {
            if let Some(record) = open.remove(id) {
                close(collector, record, logged, if kind == "R" { "REQUEUED" } else { "ABORTED" });
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// An execution that ended without a record of its own, at the latest when the log says so.
fn close(collector: &mut Collector, mut record: Record, logged: Instant, state: &str) {
    collector.zone_assumed |= logged.zone_assumed;
    record.run.end_ms = Some(logged.at_ms.max(record.run.start_ms));
    state.clone_into(&mut record.run.state);
    collector.record(record);
}

/// The `key=value` pairs of a message. Values may be quoted; a word without `=` belongs to the value before it.
fn pairs(message: &str) -> BTreeMap<&str, String> {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let mut rest = message.trim_start();
    let mut last = "";
    while !rest.is_empty() {
        let word_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let key_end = rest.get(..word_end).and_then(|word| word.find('='));
        let (value, after) = match key_end {
            Some(at) => {
                last = rest.get(..at).unwrap_or_default();
                value(rest.get(at.saturating_add(1)..).unwrap_or_default())
            }
            None => {
                let (word, after) = rest.split_at_checked(word_end).unwrap_or((rest, ""));
                if let Some(before) = found.get_mut(last) {
                    before.push(' ');
                    before.push_str(word);
                }
                rest = after.trim_start();
                continue;
            }
        };
        found.entry(last).or_insert_with(|| value.to_owned());
        rest = after.trim_start();
    }
    found
}

/// A value and what stands after it.
fn value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some((inside, after)) = text.strip_prefix(quote).and_then(|inside| inside.split_once(quote)) {
            return (inside, after);
        }
    }
    text.find(char::is_whitespace).and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""))
}

/// A job that has run; `None` if it never did.
fn job(id: &str, pairs: &BTreeMap<&str, String>) -> Result<Option<Record>, RejectReason> {
    let get = |key: &str| pairs.get(key).map_or("", |value| value.trim());
    let run_id = id.trim().split('.').next().unwrap_or_default();
    if !run_id.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        return Err(RejectReason::BadJobId { text: shorten(id) });
    }
    // A whole array, which has no nodes of its own: its tasks have records.
    if run_id.ends_with("[]") {
        return Ok(None);
    }
    let epoch_ms = |column: &'static str| match get(column) {
        "" => Ok(None),
        text => text
            .parse::<i64>()
            .ok()
            .and_then(|seconds| seconds.checked_mul(1000))
            .ok_or_else(|| RejectReason::BadTime {
                column,
                source: TimeError::Format { text: shorten(text) },
            })
            .map(|at_ms| Some(at_ms).filter(|at_ms| *at_ms > 0)),
    };
    let end_ms = epoch_ms("end")?;
    let Some(start_ms) = epoch_ms("start")? else {
        return if end_ms.is_some() && get("exec_host").is_empty() {
            Ok(None)
        } else {
            Err(RejectReason::MissingField { column: "start" })
        };
    };
    if end_ms.is_some_and(|end_ms| end_ms < start_ms) {
        let (start, end) = (get("start").to_owned(), get("end").to_owned());
        return Err(RejectReason::EndBeforeStart { start, end });
    }
    let Some(per_node) = allocations(&get)? else {
        return if end_ms == Some(start_ms) { Ok(None) } else { Err(RejectReason::NoNodes) };
    };
    let memory = match get("Resource_List.mem") {
        "" => None,
        text => Some(
            tres::memory_in_bytes(text)
                .map_err(|source| RejectReason::BadResource { column: "Resource_List.mem", source })?,
        ),
    };
    let gpus = tres::plain_number(get("Resource_List.ngpus")).or_else(|| {
        let each = get("Resource_List.nodes").split(':').find_map(|part| part.strip_prefix("gpus="))?;
        tres::plain_number(each).map(|each| each * per_node.len() as f64)
    });
    let project = get("project");
    let charged =
        [get("account"), if project == "_pbs_project_default" { "" } else { project }, get("group")];
    let state = match (end_ms, get("Exit_status")) {
        (None, _) => "RUNNING",
        (_, "0") => "COMPLETED",
        _ => "FAILED",
    };
    Ok(Some(Record {
        run: Run {
            run_id: run_id.to_owned(),
            job_id: id.trim().to_owned(),
            name: get("jobname").to_owned(),
            user: get("user").to_owned(),
            account: charged.into_iter().find(|name| !name.is_empty()).unwrap_or_default().to_owned(),
            partition: get("queue").to_owned(),
            state: state.to_owned(),
            start_ms,
            end_ms,
            cpu_time_s: clock::parse_cpu_time_s(get("resources_used.cput")),
            ..Run::default()
        },
        nodes: per_node.iter().map(|allocation| allocation.node.clone()).collect(),
        totals: Tres { memory_bytes: memory, gpus, ..Tres::default() },
        per_node: Some(per_node),
        ..Record::default()
    }))
}

/// What the job held on each host; `None` if it names no host.
fn allocations<'a>(get: &impl Fn(&str) -> &'a str) -> Result<Option<Vec<Allocation>>, RejectReason> {
    let mut hosts: Vec<Allocation> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut host = |hosts: &mut Vec<Allocation>, name: &str| {
        *places.entry(name.to_owned()).or_insert_with(|| {
            hosts.push(Allocation { node: name.to_owned(), ..Allocation::default() });
            hosts.len().saturating_sub(1)
        })
    };
    let bad = |text: &str| RejectReason::BadNodeSpec { text: shorten(text) };
    let vnodes = get("exec_vnode");
    let chunks = vnodes.split('+').filter(|chunk| !chunk.is_empty());
    for chunk in chunks {
        let mut parts = chunk.trim_matches(['(', ')']).split(':');
        // A host may be several vnodes: `node1[0]`, `node1[1]`.
        let name = parts.next().and_then(|name| name.split('[').next()).unwrap_or_default();
        if name.is_empty() {
            return Err(bad(chunk));
        }
        let place = host(&mut hosts, name);
        let Some(here) = hosts.get_mut(place) else { continue };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let amount = match key {
                "mem" => tres::memory_in_bytes(value).ok(),
                _ => tres::plain_number(value),
            };
            let held = match key {
                "ncpus" => &mut here.cpus,
                "mem" => &mut here.memory_bytes,
                "ngpus" => &mut here.gpus,
                _ => continue,
            };
            *held = Some(held.unwrap_or(0.0) + amount.ok_or_else(|| bad(chunk))?);
        }
    }
    if hosts.is_empty() {
        for slot in get("exec_host").split('+').filter(|slot| !slot.is_empty()) {
            let (name, slots) = slot.split_once('/').unwrap_or((slot, ""));
            let cpus = slot_count(slots).ok_or_else(|| bad(slot))?;
            let place = host(&mut hosts, name);
            if let Some(here) = hosts.get_mut(place) {
                here.cpus = Some(here.cpus.unwrap_or(0.0) + cpus);
            }
        }
    }
    // Torque: `node1-gpu/0+node1-gpu/1`.
    for slot in get("exec_gpus").split('+').filter(|slot| !slot.is_empty()) {
        let Some((name, index)) = slot.split_once("-gpu/") else { return Err(bad(slot)) };
        if let Some(here) = hosts.iter_mut().find(|known| known.node == name) {
            here.gpu_ids.get_or_insert_default().push(index.to_owned());
            here.gpus = Some(here.gpus.unwrap_or(0.0) + 1.0);
        }
    }
    Ok((!hosts.is_empty()).then_some(hosts))
}

/// CPUs of what stands after the host: `5` is one, `0-7` and `0-3,8-11` are eight, `0*8` is eight.
fn slot_count(slots: &str) -> Option<f64> {
    if slots.is_empty() {
        return Some(1.0);
    }
    if let Some((_, count)) = slots.split_once('*') {
        return tres::plain_number(count);
    }
    let mut count = 0.0;
    for item in slots.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        count += f64::from(last.checked_sub(first)?) + 1.0;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_with_quotes_and_blanks() {
        let found = pairs("user=a jobname=\"my job\" project='x y' queue=q word start=1 Exit_status=0");
        assert_eq!(found["jobname"], "my job");
        assert_eq!(found["project"], "x y");
        assert_eq!(found["queue"], "q word");
        assert_eq!(found["Exit_status"], "0");
        assert_eq!(pairs("a=\"open b=1")["a"], "\"open");
        assert!(pairs("  ").is_empty());
    }

    #[test]
    fn hosts_in_every_form() {
        let read = |key: &str, text: &str| {
            let get = |wanted: &str| if wanted == key { text.to_owned() } else { String::new() };
            let owned: BTreeMap<&str, String> =
                ["exec_vnode", "exec_host", "exec_gpus"].map(|k| (k, get(k))).into();
            let get = |wanted: &str| owned.get(wanted).map_or("", String::as_str);
            allocations(&get).map(|hosts| {
                hosts
                    .unwrap_or_default()
                    .into_iter()
                    .map(|host| (host.node, host.cpus, host.gpus))
                    .collect::<Vec<_>>()
            })
        };
        let host = |name: &str, cpus, gpus| (name.to_owned(), Some(cpus), gpus);
        assert_eq!(read("exec_host", "a/5").unwrap(), [host("a", 1.0, None)]);
        assert_eq!(read("exec_host", "a/1+a/0+b/0").unwrap(), [host("a", 2.0, None), host("b", 1.0, None)]);
        assert_eq!(read("exec_host", "a/0*8+b/0*4").unwrap(), [host("a", 8.0, None), host("b", 4.0, None)]);
        assert_eq!(read("exec_host", "a/0-3,8-11").unwrap(), [host("a", 8.0, None)]);
        let vnodes = "(a[0]:ncpus=4:mem=8gb:ngpus=1+a[1]:ncpus=4:ngpus=1)+(b:ncpus=2)";
        assert_eq!(read("exec_vnode", vnodes).unwrap(), [host("a", 8.0, Some(2.0)), host("b", 2.0, None)]);
        for wrong in ["a/x", "a/3-1", "a/0*"] {
            assert!(read("exec_host", wrong).is_err(), "{wrong}");
        }
        assert!(read("exec_vnode", "(:ncpus=1)").is_err());
    }
}
