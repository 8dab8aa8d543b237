//! `sacct --json`, from Slurm 21.08 (`v0.0.37`) on.
//!
//! What changed between its versions and matters here: numbers became
//! `{"set", "infinite", "number"}` in v0.0.39, `state.current` a list in
//! v0.0.40, `derived_exit_code` and others likewise. Up to v0.0.44 (Slurm
//! 25.11, `src/plugins/data_parser/v0.0.44/parsers.c`: `JOB`, `TRES`) paths and
//! types of what is read stayed so. Every form is read wherever it stands, so
//! the version itself is not asked for.

use std::io::BufRead;
use std::path::Path;

use serde_json::Value;

use super::{Held, Job, plausible_energy_j, stage_in, units_in};
use crate::jobs::clock::Instant;
use crate::jobs::collect::Collector;
use crate::jobs::json::{at, each_entry, integer, number, text};
use crate::jobs::tres::{MIB, RequestedMemory, Tres};
use crate::jobs::{JobsError, RejectReason, Run, expand_nodes, plausible_cpu_time_s};

/// Reads every job.
pub(crate) fn read(collector: &mut Collector, reader: impl BufRead, path: &Path) -> Result<(), JobsError> {
    let before = collector.rows();
    let mut taken = 0_u64;
    let outcome = each_entry(reader, &["jobs"], |entry, job| {
        taken = taken.saturating_add(1);
        if let Err(reason) = take_job(collector, &job) {
            collector.reject_entry(entry, reason, &format!("job {}", at(&job, &["job_id"])));
        }
    });
    match outcome {
        Err(bad) if taken == 0 && collector.rows() == before => {
            Err(JobsError::Unrecognised { path: path.to_path_buf(), reason: format!("it {bad}") })
        }
        Err(bad) => {
            collector.reject(bad.line, RejectReason::BadJson { reason: bad.reason }, "");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn take_job(collector: &mut Collector, entry: &Value) -> Result<(), RejectReason> {
    let id = integer(entry, &["job_id"])
        .ok_or_else(|| RejectReason::BadJobId { text: at(entry, &["job_id"]).to_string() })?;
    let instant = |key: &str| {
        integer(entry, &["time", key]).filter(|seconds| *seconds > 0).and_then(|seconds| {
            Some(Instant { at_ms: seconds.checked_mul(1000)?, later_ms: None, zone_assumed: false })
        })
    };
    let job = Job {
        run: Run {
            run_id: run_id(entry, id),
            job_id: id.to_string(),
            name: text(entry, &["name"]).to_owned(),
            user: first_text(entry, &[&["association", "user"], &["user"]]).to_owned(),
            account: first_text(entry, &[&["account"], &["association", "account"]]).to_owned(),
            partition: text(entry, &["partition"]).to_owned(),
            state: state(entry).to_owned(),
            stage: ["job", "administrator", "system"]
                .iter()
                .find_map(|who| stage_in(text(entry, &["comment", who])))
                .unwrap_or_default()
                .to_owned(),
            functional_units: ["job", "administrator", "system"]
                .iter()
                .find_map(|who| units_in(text(entry, &["comment", who]))),
            cpu_time_s: cpu_time_s(entry),
            recorded_energy_j: energy_j(entry),
            ..Run::default()
        },
        cluster: text(entry, &["cluster"]).to_owned(),
        submit: instant("submission"),
        start: instant("start"),
        end: instant("end"),
        elapsed_ms: integer(entry, &["time", "elapsed"]).and_then(|seconds| seconds.checked_mul(1000)),
        nodes: expand_nodes(text(entry, &["nodes"]))?,
    };
    if let Some(steps) = entry.get("steps").and_then(Value::as_array) {
        let steps = u64::try_from(steps.len()).unwrap_or(u64::MAX);
        collector.skipped.steps = collector.skipped.steps.saturating_add(steps);
    }
    if !job.has_run(collector) {
        return Ok(());
    }
    let per_cpu = number(entry, &["required", "memory_per_cpu"]).filter(|mebibytes| *mebibytes > 0.0);
    let per_node = number(entry, &["required", "memory_per_node"]).filter(|mebibytes| *mebibytes > 0.0);
    let held = Held {
        resources: entry.get("tres").and_then(|tres| tres.get("allocated")).and_then(allocated),
        requested_memory: per_cpu
            .map(|mebibytes| RequestedMemory::PerCpu(mebibytes * MIB))
            .or_else(|| per_node.map(|mebibytes| RequestedMemory::PerNode(mebibytes * MIB))),
        ..Held::default()
    };
    job.record(held, collector)
}

fn first_text<'a>(entry: &'a Value, paths: &[&[&str]]) -> &'a str {
    paths.iter().map(|path| text(entry, path)).find(|found| !found.is_empty()).unwrap_or_default()
}

/// `33_2` for a task of an array, `28+1` for a part of a het job, as people write them.
fn run_id(entry: &Value, id: i64) -> String {
    let array = integer(entry, &["array", "job_id"]).filter(|array| *array > 0);
    let het = integer(entry, &["het", "job_id"]).filter(|het| *het > 0);
    let waiting = text(entry, &["array", "task"]);
    match (array, integer(entry, &["array", "task_id"]), het) {
        (Some(array), Some(task), _) => format!("{array}_{task}"),
        (Some(array), None, _) if !waiting.is_empty() => format!("{array}_[{waiting}]"),
        (_, _, Some(het)) => {
            let part = integer(entry, &["het", "job_offset"]).unwrap_or_else(|| id.saturating_sub(het));
            format!("{het}+{part}")
        }
        _ => id.to_string(),
    }
}

/// A text up to v0.0.39, a list after it, of which the first is the state and the others are flags.
fn state(entry: &Value) -> &str {
    match at(entry, &["state", "current"]) {
        Value::String(state) => state,
        Value::Array(states) => states.first().and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    }
}

/// The job's own CPU time, which some versions leave at nought, else that of its steps together: `TotalCPU` of the text.
fn cpu_time_s(entry: &Value) -> Option<f64> {
    // Whole seconds, and the microseconds beyond them.
    let total = |of: &Value| {
        let seconds = number(of, &["time", "total", "seconds"])?;
        let microseconds = number(of, &["time", "total", "microseconds"]).unwrap_or(0.0);
        Some(seconds + microseconds / 1e6)
    };
    let of_steps = || {
        let steps = entry.get("steps").and_then(Value::as_array)?;
        Some(crate::sum::sum(steps.iter().filter_map(total)))
    };
    total(entry).and_then(plausible_cpu_time_s).or_else(|| of_steps().and_then(plausible_cpu_time_s))
}

/// The greatest of the steps' energies: `extern` spans the others, so they are never added up.
fn energy_j(entry: &Value) -> Option<f64> {
    let steps = entry.get("steps").and_then(Value::as_array)?;
    steps
        .iter()
        .filter_map(|step| number(step, &["statistics", "energy", "consumed"]))
        .filter_map(plausible_energy_j)
        .reduce(f64::max)
}

fn allocated(list: &Value) -> Option<Tres> {
    let list = list.as_array().filter(|list| !list.is_empty())?;
    let mut tres = Tres::default();
    let mut typed_gpus: Option<f64> = None;
    for item in list {
        let Some(count) = number(item, &["count"]).filter(|count| *count >= 0.0) else { continue };
        match (text(item, &["type"]), text(item, &["name"])) {
            ("cpu", _) => tres.cpus = Some(count),
            ("mem", _) => tres.memory_bytes = Some(count * MIB),
            ("node", _) => tres.nodes = Some(count),
            ("gres", "gpu") => tres.gpus = Some(count),
            ("gres", name) if name.starts_with("gpu:") => {
                typed_gpus = Some(typed_gpus.unwrap_or(0.0) + count);
            }
            _ => {}
        }
    }
    tres.gpus = tres.gpus.or(typed_gpus);
    Some(tres)
}
