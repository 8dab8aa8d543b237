//! HTCondor: `condor_history -long` and history files, `condor_history -json`, and the lines that grid sites
//! make for their accounting (`GlobalJobId|Owner|wall|cpu|system|start|end|…`).

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use serde_json::Value;

use super::collect::{Collector, Record};
use super::error::shorten;
use super::json::each_entry;
use super::lines::{Lines, each_line};
use super::tres::{MIB, Tres};
use super::{JobsError, RejectReason, Run, tres};
use crate::metered::LONGEST_BYTES;

/// Attributes that one job may have.
const MOST_ATTRIBUTES: usize = 10_000;

/// True for a line of `condor_history -long`, or for what ends a job in a history file.
pub(super) fn looks_like(line: &str) -> bool {
    let attribute = line.split_once(" = ").is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    attribute || line.starts_with("*** ")
}

/// True for a line as APEL's scripts write them.
pub(super) fn looks_like_apel(line: &str) -> bool {
    let fields: Vec<&str> = line.split('|').collect();
    let numbers =
        fields.get(2..10).is_some_and(|fields| fields.iter().all(|text| tres::plain_number(text).is_some()));
    let epoch = fields.get(5).and_then(|text| text.parse::<i64>().ok()).is_some_and(|at| at > 100_000_000);
    (10..=12).contains(&fields.len()) && numbers && epoch
}

/// Reads attributes, a line each; an empty line or one that begins with `***` ends a job.
pub(super) fn read(
    collector: &mut Collector,
    lines: Lines<impl BufRead>,
    path: &Path,
) -> Result<(), JobsError> {
    let mut job: BTreeMap<String, String> = BTreeMap::new();
    let (mut first, mut count, mut bytes) = (0, 0_usize, 0_u64);
    let end = |collector: &mut Collector, job: &mut BTreeMap<String, String>, first: u64, count: usize| {
        if !job.is_empty() {
            let outcome = match count {
                0..=MOST_ATTRIBUTES => take_job(collector, job),
                found => Err(RejectReason::TooManyFields { found, expected: MOST_ATTRIBUTES }),
            };
            if let Err(reason) = outcome {
                collector.reject(first, reason, job.get("globaljobid").map_or("", String::as_str));
            }
        }
        job.clear();
    };
    let mut last_number = 0;
    each_line(collector, lines, path, |collector, number, line| {
        // Blank lines are passed over on the way here: a gap in the numbers is one.
        let is_gap = number > last_number + 1;
        last_number = number;
        if is_gap || line.starts_with("***") {
            end(collector, &mut job, first, count);
            (count, bytes) = (0, 0);
        }
        if line.starts_with("***") {
            return Ok(());
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(RejectReason::NoAttribute);
        };
        if job.is_empty() {
            first = number;
        }
        count = count.saturating_add(1);
        bytes = bytes.saturating_add(line.len() as u64);
        if bytes > LONGEST_BYTES {
            count = usize::MAX;
        } else if count <= MOST_ATTRIBUTES {
            job.insert(name.trim().to_ascii_lowercase(), unquoted(value.trim()));
        }
        Ok(())
    })?;
    end(collector, &mut job, first, count);
    Ok(())
}

fn unquoted(value: &str) -> String {
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.map_or_else(|| value.to_owned(), |inside| inside.replace("\\\"", "\""))
}

/// Reads a list of objects.
pub(super) fn read_json(collector: &mut Collector, reader: impl BufRead) {
    let outcome = each_entry(reader, &[], |entry, value| {
        let job: BTreeMap<String, String> = value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| {
                let text = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                (name.to_ascii_lowercase(), text)
            })
            .collect();
        if let Err(reason) = take_job(collector, &job) {
            collector.reject_entry(entry, reason, job.get("globaljobid").map_or("", String::as_str));
        }
    });
    if let Err(bad) = outcome {
        collector.reject(bad.line, RejectReason::BadJson { reason: bad.reason }, "");
    }
}

fn take_job(collector: &mut Collector, job: &BTreeMap<String, String>) -> Result<(), RejectReason> {
    let get = |name: &str| job.get(name).map_or("", String::as_str);
    let number = |name: &str| tres::plain_number(get(name));
    let epoch_ms = |names: &[&str]| {
        let seconds = names.iter().filter_map(|name| number(name)).find(|seconds| *seconds > 0.0)?;
        (seconds < 1e12).then_some((seconds * 1000.0).round() as i64)
    };
    let (cluster, process) = (get("clusterid"), get("procid"));
    if cluster.is_empty() || process.is_empty() {
        return Err(RejectReason::BadJobId { text: format!("{cluster}.{process}") });
    }
    let status = get("jobstatus");
    let state = match status {
        "1" => "IDLE",
        "2" => "RUNNING",
        "3" => "REMOVED",
        "4" => "COMPLETED",
        "5" => "HELD",
        "6" => "TRANSFERRING_OUTPUT",
        "7" => "SUSPENDED",
        other => other,
    };
    let Some(start_ms) = epoch_ms(&["jobcurrentstartdate", "jobstartdate"]) else {
        collector.never_started();
        return Ok(());
    };
    let runs = ["2", "6", "7"].contains(&status);
    let end_ms = if runs { None } else { epoch_ms(&["completiondate", "enteredcurrentstatus"]) };
    if end_ms.is_none() && !runs {
        return Err(RejectReason::MissingField { column: "CompletionDate" });
    }
    if let Some(end) = end_ms.filter(|end_ms| *end_ms < start_ms) {
        let (start, end) = ((start_ms / 1000).to_string(), (end / 1000).to_string());
        return Err(RejectReason::EndBeforeStart { start, end });
    }
    if number("numjobstarts").is_some_and(|starts| starts > 1.0) {
        collector
            .note("HTCondor keeps only the last start of a job: energy of earlier ones is idle".to_owned());
    }
    // `slot1_2@node7.example` is a slot of the machine.
    let host = ["lastremotehost", "remotehost"].map(get).into_iter().find(|host| !host.is_empty());
    let node = host.map(|host| host.rsplit('@').next().unwrap_or(host).to_owned());
    let gpu_ids: Vec<String> = get("assignedgpus")
        .split([',', ' '])
        .map(|id| id.trim().trim_start_matches("CUDA").to_owned())
        .filter(|id| !id.is_empty())
        .collect();
    let first = |names: &[&str]| names.iter().find_map(|name| number(name));
    let memory = first(&["memoryprovisioned", "requestmemory"]).map(|mebibytes| mebibytes * MIB);
    let bound = (!gpu_ids.is_empty()).then_some(gpu_ids.len() as f64);
    collector.record(Record {
        run: Run {
            run_id: format!("{cluster}.{process}"),
            job_id: get("globaljobid").to_owned(),
            name: [get("jobbatchname"), get("cmd")]
                .into_iter()
                .find(|name| !name.is_empty())
                .unwrap_or_default()
                .to_owned(),
            user: get("owner").to_owned(),
            account: [get("acctgroup"), get("accountinggroup")]
                .into_iter()
                .find(|name| !name.is_empty())
                .unwrap_or_default()
                .to_owned(),
            state: state.to_owned(),
            start_ms,
            end_ms,
            cpu_time_s: number("remoteusercpu")
                .map(|user| user + number("remotesyscpu").unwrap_or(0.0))
                .and_then(super::plausible_cpu_time_s),
            ..Run::default()
        },
        nodes: node.into_iter().collect(),
        totals: Tres {
            cpus: first(&["cpusprovisioned", "requestcpus"]),
            memory_bytes: memory.filter(|bytes| *bytes > 0.0),
            gpus: bound.or(first(&["gpusprovisioned", "requestgpus"])),
            nodes: None,
        },
        gpu_ids: (!gpu_ids.is_empty()).then_some(gpu_ids),
        ..Record::default()
    });
    Ok(())
}

/// Reads lines as APEL's scripts make them of `condor_history`:
/// `GlobalJobId|Owner|RemoteWallClockTime|RemoteUserCpu|RemoteSysCpu|JobStartDate|EnteredCurrentStatus|
/// ResidentSetSize_RAW|ImageSize_RAW|RequestCpus|…`. They name no machine.
pub(super) fn read_apel(
    collector: &mut Collector,
    lines: Lines<impl BufRead>,
    path: &Path,
) -> Result<(), JobsError> {
    each_line(collector, lines, path, |collector, _, line| {
        let fields: Vec<&str> = line.split('|').collect();
        if fields.len() < 10 {
            return Err(RejectReason::TooFewFields { found: fields.len(), expected: 10 });
        }
        let get = |at: usize| fields.get(at).map_or("", |text| text.trim());
        let at_ms = |at: usize, column: &'static str| {
            let seconds = get(at).parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000));
            seconds.ok_or_else(|| RejectReason::BadNumber { column, text: shorten(get(at)) })
        };
        if get(0).is_empty() {
            return Err(RejectReason::BadJobId { text: String::new() });
        }
        let (start_ms, end_ms) = (at_ms(5, "JobStartDate")?, at_ms(6, "EnteredCurrentStatus")?);
        if end_ms < start_ms {
            let (start, end) = (get(5).to_owned(), get(6).to_owned());
            return Err(RejectReason::EndBeforeStart { start, end });
        }
        collector.record(Record {
            run: Run {
                run_id: get(0).to_owned(),
                user: get(1).to_owned(),
                state: "COMPLETED".to_owned(),
                start_ms,
                end_ms: Some(end_ms),
                cpu_time_s: tres::plain_number(get(3))
                    .zip(tres::plain_number(get(4)))
                    .and_then(|(user, system)| super::plausible_cpu_time_s(user + system)),
                ..Run::default()
            },
            cpus: tres::plain_number(get(9)),
            ..Record::default()
        });
        Ok(())
    })
}
