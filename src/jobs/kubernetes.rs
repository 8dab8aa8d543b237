//! Pods, as `kubectl get pods --all-namespaces --output=json` prints them: each that was on a node is a run.

use std::io::BufRead;
use std::path::Path;

use serde_json::Value;

use super::clock::{self, When};
use super::collect::{Collector, Record};
use super::json::{at, each_entry, text};
use super::tres::Tres;
use super::{JobsError, RejectReason, Run};

/// Labels that name who a pod belongs to, in the order in which they are believed.
pub(super) const USER_LABELS: [&str; 4] = ["user", "username", "owner", "hub.jupyter.org/username"];
/// Labels that name what is charged; without one of them, the namespace is.
pub(super) const ACCOUNT_LABELS: [&str; 4] = ["account", "project", "team", "cost-center"];

/// Reads every pod; what is no pod is passed over and counted.
pub(super) fn read(collector: &mut Collector, reader: impl BufRead, path: &Path) -> Result<(), JobsError> {
    let (mut entries, mut others) = (0_u64, 0_u64);
    let outcome = each_entry(reader, &["items"], |number, entry| {
        entries = number;
        if text(&entry, &["kind"]) != "Pod" {
            others = others.saturating_add(1);
        } else if let Err(reason) = take_pod(collector, &entry) {
            let name = text(&entry, &["metadata", "name"]);
            collector.reject_entry(number, reason, name);
        }
    });
    if others > 0 {
        collector.note(format!("objects that are no pods were passed over: {others}"));
    }
    match outcome {
        Err(bad) if entries == 0 => {
            Err(JobsError::Unrecognised { path: path.to_path_buf(), reason: format!("it {bad}") })
        }
        Err(bad) => {
            collector.reject(bad.line, RejectReason::BadJson { reason: bad.reason }, "");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn instant(value: &Value, path: &[&str]) -> Result<Option<i64>, RejectReason> {
    match clock::parse(text(value, path), chrono_tz::Tz::UTC) {
        Ok(When::Never) => Ok(None),
        Ok(When::At(instant)) => Ok(Some(instant.at_ms)),
        Err(source) => Err(RejectReason::BadTime { column: "status", source }),
    }
}

fn take_pod(collector: &mut Collector, pod: &Value) -> Result<(), RejectReason> {
    let (namespace, name) = (text(pod, &["metadata", "namespace"]), text(pod, &["metadata", "name"]));
    if name.is_empty() {
        return Err(RejectReason::MissingField { column: "metadata.name" });
    }
    let node = text(pod, &["spec", "nodeName"]);
    let phase = text(pod, &["status", "phase"]);
    let ended = is_over(phase);
    let list = |path: &[&str]| at(pod, path).as_array().map_or(&[][..], Vec::as_slice).to_vec();
    let statuses = list(&["status", "containerStatuses"]);
    // A pod holds what it asked for from when the node took it on until its last container ended.
    let mut starts = vec![instant(pod, &["status", "startTime"])?];
    let mut ends = Vec::new();
    for status in &statuses {
        for state in ["running", "terminated"] {
            starts.push(instant(status, &["state", state, "startedAt"])?);
        }
        ends.push(instant(status, &["state", "terminated", "finishedAt"])?);
    }
    let start = starts.into_iter().flatten().min();
    let created = instant(pod, &["metadata", "creationTimestamp"])?;
    let (Some(start_ms), false) = (start, node.is_empty()) else {
        if let Some(created) = created {
            collector.reaches(created);
        }
        collector.never_started();
        return Ok(());
    };
    let end_ms = if ended {
        // A pod that the node gave up has no container to ask: its last change of state tells.
        let changes = list(&["status", "conditions"]);
        let mut changed = Vec::new();
        for condition in &changes {
            changed.push(instant(condition, &["lastTransitionTime"])?);
        }
        let last = ends.into_iter().flatten().max().or(changed.into_iter().flatten().max());
        Some(last.ok_or(RejectReason::MissingField { column: "finishedAt" })?.max(start_ms))
    } else {
        None
    };
    let label = |names: &[&str]| {
        names.iter().map(|name| text(pod, &["metadata", "labels", name])).find(|value| !value.is_empty())
    };
    let reason = text(pod, &["status", "reason"]);
    collector.record(Record {
        run: Run {
            run_id: format!("{namespace}/{name}"),
            job_id: text(pod, &["metadata", "uid"]).to_owned(),
            name: name.to_owned(),
            user: label(&USER_LABELS).unwrap_or_default().to_owned(),
            account: label(&ACCOUNT_LABELS).unwrap_or(namespace).to_owned(),
            partition: namespace.to_owned(),
            state: if reason == "Evicted" { reason } else { phase }.to_owned(),
            stage: label(&["stage"]).unwrap_or_default().to_owned(),
            start_ms,
            end_ms,
            ..Run::default()
        },
        nodes: vec![node.to_owned()],
        totals: asked_for(pod)?,
        ..Record::default()
    });
    Ok(())
}

/// What the containers ask for together. Init containers run before the others, so that the pod holds
/// the greater of the two.
fn asked_for(pod: &Value) -> Result<Tres, RejectReason> {
    let sum = |path: &[&str], greatest: bool| -> Result<Tres, RejectReason> {
        let mut total = Tres::default();
        for container in at(pod, path).as_array().into_iter().flatten() {
            let of = |resource: &str| {
                // A limit without a request is a request too.
                ["requests", "limits"]
                    .iter()
                    .map(|kind| at(container, &["resources", kind, resource]))
                    .find(|value| !value.is_null())
                    .map(|value| quantity(resource, value))
                    .transpose()
            };
            let add = |total: &mut Option<f64>, amount: Option<f64>| {
                if let Some(amount) = amount {
                    let before = total.unwrap_or(0.0);
                    *total = Some(if greatest { before.max(amount) } else { before + amount });
                }
            };
            add(&mut total.cpus, of("cpu")?);
            add(&mut total.memory_bytes, of("memory")?);
            let gpus = [of("nvidia.com/gpu")?, of("amd.com/gpu")?, of("gpu.intel.com/i915")?];
            for count in gpus {
                add(&mut total.gpus, count);
            }
        }
        Ok(total)
    };
    Ok(promised(sum(&["spec", "containers"], false)?, sum(&["spec", "initContainers"], true)?))
}

/// What a pod holds whose containers ask for `main` together, and of whose init containers none asks for more than `init`.
pub(super) fn promised(main: Tres, init: Tres) -> Tres {
    let most = |one: Option<f64>, other: Option<f64>| [one, other].into_iter().flatten().reduce(f64::max);
    Tres {
        // What asks for nothing is promised nothing; it is not the whole node's.
        cpus: most(main.cpus, init.cpus).or(Some(0.0)),
        memory_bytes: most(main.memory_bytes, init.memory_bytes),
        gpus: most(main.gpus, init.gpus).or(Some(0.0)),
        nodes: None,
    }
}

/// True for the phases in which a pod holds nothing any more.
pub(super) fn is_over(phase: &str) -> bool {
    ["Succeeded", "Failed"].contains(&phase)
}

/// `500m`, `2`, `128Mi`, `1G`, `1e3`: Kubernetes' quantities.
fn quantity(resource: &str, value: &Value) -> Result<f64, RejectReason> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    let bad =
        || RejectReason::BadQuantity { resource: resource.to_owned(), text: super::error::shorten(&text) };
    let digits =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(digits).ok_or_else(bad)?;
    let number: f64 = number.parse().map_err(|_| bad())?;
    let scale = match suffix {
        "" => 1.0,
        "m" => 1e-3,
        "u" => 1e-6,
        "n" => 1e-9,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        "Ei" => 1_152_921_504_606_846_976.0,
        exponent => {
            let power: i32 =
                exponent.strip_prefix(['e', 'E']).and_then(|power| power.parse().ok()).ok_or_else(bad)?;
            if power.abs() > 18 {
                return Err(bad());
            }
            10_f64.powi(power)
        }
    };
    Ok(number * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        let read = |text: &str| quantity("cpu", &Value::String(text.to_owned()));
        assert_eq!(read("500m").unwrap(), 0.5);
        assert_eq!(read("2").unwrap(), 2.0);
        assert_eq!(read("128Mi").unwrap(), 134_217_728.0);
        assert_eq!(read("1G").unwrap(), 1e9);
        assert_eq!(read("1e3").unwrap(), 1000.0);
        assert_eq!(quantity("cpu", &serde_json::json!(4)).unwrap(), 4.0);
        for wrong in ["", "m", "-1", "1x", "1e99", "1Zi", "é"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
