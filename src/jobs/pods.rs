//! Pods as kube-state-metrics shows them in a snapshot: each that was on a node is a run.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::collections::BTreeMap;
use std::path::Path;

use super::collect::{Collector, Record};
use super::kubernetes::{ACCOUNT_LABELS, USER_LABELS, is_over, promised};
use super::tres::Tres;
use super::{JobsError, LogFormat, LogInput, Run};
use crate::source::{Series, Snapshot, Source, SourceError};
use crate::time::Window;
use crate::tsdb::{Labels, ReadBuffer, ReadStats, is_stale};

const INFO: &str = "kube_pod_info";
const START: &str = "kube_pod_start_time";
const COMPLETION: &str = "kube_pod_completion_time";
const PHASE: &str = "kube_pod_status_phase";
const LABELS: &str = "kube_pod_labels";
const REQUESTS: &str = "kube_pod_container_resource_requests";
const INIT_REQUESTS: &str = "kube_pod_init_container_resource_requests";
/// Before kube-state-metrics 2 these were metrics of their own.
const OLD_REQUESTS: [(&str, &str); 2] = [
    ("kube_pod_container_resource_requests_cpu_cores", "cpu"),
    ("kube_pod_container_resource_requests_memory_bytes", "memory"),
];
/// Resources that are GPUs, as the label `resource` has them.
const GPUS: [&str; 3] = ["nvidia_com_gpu", "amd_com_gpu", "gpu_intel_com_i915"];
const EVERYTHING: Window = Window::new(i64::MIN, i64::MAX);
/// A pod that was seen once only is gone when it was not seen for this long.
const STEP_MS: i64 = 60_000;

/// A pod, put together from its series.
#[derive(Default)]
struct Pod {
    uid: String,
    node: String,
    /// First and last time that it was seen.
    seen: Option<(i64, i64)>,
    /// Time between two looks at it.
    step_ms: Option<i64>,
    start_ms: Option<i64>,
    completion_ms: Option<i64>,
    /// By phase: when it was first and last in it.
    phases: BTreeMap<String, (i64, i64)>,
    /// By resource and container.
    requests: BTreeMap<(String, String), f64>,
    /// The same of init containers, which run before the others.
    init_requests: BTreeMap<(String, String), f64>,
    user: String,
    account: String,
    stage: String,
}

/// By namespace and name, then by UID, in which pods of one name that followed each other differ.
#[derive(Default)]
struct Pods {
    by_name: BTreeMap<(String, String), BTreeMap<String, Pod>>,
}

/// Takes the pods out of the series of the snapshot at `path`.
pub(super) fn read(collector: &mut Collector, path: &Path) -> Result<(), JobsError> {
    let failed =
        |source: SourceError| JobsError::Snapshot { path: path.to_path_buf(), source: Box::new(source) };
    let source = Snapshot::open(path).map_err(failed)?;
    let mut stats = ReadStats::default();
    let pods = find(&source, &mut stats).map_err(failed)?;
    let seen = pods.by_name.values().flat_map(BTreeMap::values).filter_map(|pod| pod.seen);
    let Some((first_ms, last_ms)) = seen.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))) else {
        return Err(JobsError::NoPods { path: path.to_path_buf() });
    };
    collector.begin(path);
    collector.knows_from(first_ms);
    collector.reaches(last_ms);
    for damage in &stats.problems {
        collector.note(format!("`{}`: {damage}", path.display()));
    }
    pods.hand_over(collector, last_ms);
    let (path, format) = (path.to_path_buf(), LogFormat::KubeStateMetrics);
    collector.inputs.push(LogInput { path, format, columns: Vec::new(), sha256: String::new() });
    Ok(())
}

fn find(source: &Snapshot, stats: &mut ReadStats) -> Result<Pods, SourceError> {
    let mut pods = Pods::default();
    let mut buffer = ReadBuffer::default();
    for series in source.select(&[INFO], EVERYTHING)? {
        pods.show(series.labels(), &samples(series.as_ref(), &mut buffer, stats)?);
    }
    let old = OLD_REQUESTS.map(|(metric, _)| metric);
    let metrics = [&[START, COMPLETION, PHASE, LABELS, REQUESTS, INIT_REQUESTS][..], &old[..]].concat();
    for series in source.select(&metrics, EVERYTHING)? {
        if pods.by_name.contains_key(&name_of(series.labels())) {
            pods.tell(series.labels(), &samples(series.as_ref(), &mut buffer, stats)?);
        }
    }
    Ok(pods)
}

impl Pods {
    /// Takes in a series of [`INFO`], which says that there was a pod.
    fn show(&mut self, labels: &Labels, samples: &[(i64, f64)]) {
        let (Some((first_ms, _)), Some((last_ms, _))) = (samples.first(), samples.last()) else { return };
        let uid = labels.get("uid").unwrap_or_default();
        let same_name = self.by_name.entry(name_of(labels)).or_default();
        let pod =
            same_name.entry(uid.to_owned()).or_insert_with(|| Pod { uid: uid.to_owned(), ..Pod::default() });
        pod.seen = Some(
            pod.seen.map_or((*first_ms, *last_ms), |seen| (seen.0.min(*first_ms), seen.1.max(*last_ms))),
        );
        // A pod that waits has a series without a node.
        let node = labels.get("node").unwrap_or_default();
        if !node.is_empty() {
            node.clone_into(&mut pod.node);
        }
        let mut steps =
            samples.iter().zip(samples.iter().skip(1)).map(|((from, _), (to, _))| to.saturating_sub(*from));
        pod.step_ms = pod.step_ms.max(steps.next_back());
    }

    /// Takes in any other series of a pod.
    fn tell(&mut self, labels: &Labels, samples: &[(i64, f64)]) {
        let Some(same_name) = self.by_name.get_mut(&name_of(labels)) else { return };
        let uid = labels.get("uid").unwrap_or_default();
        if uid.is_empty() {
            // Old releases put the UID on few metrics.
            same_name.values_mut().for_each(|pod| add(pod, labels, samples));
            return;
        }
        for uid in [uid, ""] {
            if let Some(pod) = same_name.get_mut(uid) {
                add(pod, labels, samples);
            }
        }
    }

    /// `last_ms` is the last time that any pod was seen.
    fn hand_over(self, collector: &mut Collector, last_ms: i64) {
        for ((namespace, name), pods) in self.by_name {
            for pod in pods.into_values() {
                take(collector, (&namespace, &name), &pod, last_ms);
            }
        }
    }
}

fn name_of(labels: &Labels) -> (String, String) {
    let owned = |name: &str| labels.get(name).unwrap_or_default().to_owned();
    // Where the target's own labels win, what kube-state-metrics says stands behind `exported_`.
    let either = |exported: &str, name: &str| {
        if labels.get(exported).is_some() { owned(exported) } else { owned(name) }
    };
    (either("exported_namespace", "namespace"), either("exported_pod", "pod"))
}

/// Samples without stale markers.
fn samples(
    series: &dyn Series,
    buffer: &mut ReadBuffer,
    stats: &mut ReadStats,
) -> Result<Vec<(i64, f64)>, SourceError> {
    series.read(EVERYTHING, buffer, stats)?;
    let read = buffer.samples();
    let pairs = read.timestamps_ms.iter().copied().zip(read.values.iter().copied());
    Ok(pairs.filter(|(_, value)| !is_stale(*value) && value.is_finite()).collect())
}

fn add(pod: &mut Pod, labels: &Labels, samples: &[(i64, f64)]) {
    let label = |name: &str| labels.get(name).unwrap_or_default();
    let last_ms = samples.last().and_then(|(_, seconds)| from_seconds(*seconds));
    let most = samples.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    match labels.metric() {
        START => pod.start_ms = last_ms.or(pod.start_ms),
        COMPLETION => pod.completion_ms = last_ms.or(pod.completion_ms),
        PHASE => {
            let mut when = samples.iter().filter(|(_, value)| *value == 1.0).map(|(at_ms, _)| *at_ms);
            if let Some(first) = when.next() {
                let last = when.next_back().unwrap_or(first);
                let phase = pod.phases.entry(label("phase").to_owned()).or_insert((first, last));
                *phase = (phase.0.min(first), phase.1.max(last));
            }
        }
        LABELS => {
            let find = |names: &[&str]| {
                names
                    .iter()
                    .map(|name| label(&label_name(name)))
                    .find(|value| !value.is_empty())
                    .map(str::to_owned)
            };
            let told = [
                (&mut pod.user, find(&USER_LABELS)),
                (&mut pod.account, find(&ACCOUNT_LABELS)),
                (&mut pod.stage, find(&["stage"])),
            ];
            for (known, value) in told {
                if let Some(value) = value {
                    *known = value;
                }
            }
        }
        metric => {
            let old = OLD_REQUESTS.iter().find(|(name, _)| *name == metric).map(|(_, resource)| *resource);
            let key = (old.unwrap_or(label("resource")).to_owned(), label("container").to_owned());
            let of = if metric == INIT_REQUESTS { &mut pod.init_requests } else { &mut pod.requests };
            let known = of.entry(key).or_insert(0.0);
            *known = known.max(most);
        }
    }
}

/// `hub.jupyter.org/username` is the label `label_hub_jupyter_org_username`.
fn label_name(name: &str) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    format!("label_{}", name.chars().map(plain).collect::<String>())
}

fn from_seconds(seconds: f64) -> Option<i64> {
    // Until the year 9999; casts of what is out of range would not fail.
    (0.0..253_402_300_800.0).contains(&seconds).then(|| (seconds * 1000.0).round() as i64)
}

/// `last_ms` is the last time that any pod was seen.
fn take(collector: &mut Collector, (namespace, name): (&str, &str), pod: &Pod, last_ms: i64) {
    let Some((first_seen_ms, last_seen_ms)) = pod.seen.filter(|_| !pod.node.is_empty()) else {
        collector.never_started();
        return;
    };
    let start_ms = pod.start_ms.unwrap_or(first_seen_ms);
    let phase = pod.phases.iter().max_by_key(|(_, (_, last))| *last);
    let ended = phase.filter(|(phase, _)| is_over(phase));
    let limit_ms = pod.step_ms.unwrap_or(STEP_MS).saturating_mul(5) / 2;
    let gone = last_ms.saturating_sub(last_seen_ms) > limit_ms;
    let end_ms = match (pod.completion_ms, ended) {
        (Some(completion_ms), Some(_)) => Some(completion_ms),
        (None, Some((_, (first_ms, _)))) => Some(*first_ms),
        // Deleted while it ran.
        _ if gone => Some(last_seen_ms),
        _ => None,
    };
    collector.record(Record {
        run: Run {
            run_id: format!("{namespace}/{name}"),
            job_id: pod.uid.clone(),
            name: name.to_owned(),
            user: pod.user.clone(),
            account: if pod.account.is_empty() { namespace } else { &pod.account }.to_owned(),
            partition: namespace.to_owned(),
            state: phase.map_or_else(String::new, |(phase, _)| phase.clone()),
            stage: pod.stage.clone(),
            start_ms,
            end_ms: end_ms.map(|end_ms| end_ms.max(start_ms)),
            ..Run::default()
        },
        nodes: vec![pod.node.clone()],
        totals: asked_for(pod),
        ..Record::default()
    });
}

fn asked_for(pod: &Pod) -> Tres {
    let of = |requests: &BTreeMap<(String, String), f64>, merge: fn(f64, f64) -> f64| {
        let amount = |resource: &str| {
            let here = requests.iter().filter(|((name, _), _)| name == resource);
            here.map(|(_, amount)| *amount).reduce(merge)
        };
        Tres {
            cpus: amount("cpu"),
            memory_bytes: amount("memory"),
            gpus: GPUS.iter().filter_map(|resource| amount(resource)).reduce(merge),
            nodes: None,
        }
    };
    promised(of(&pod.requests, |sum, amount| sum + amount), of(&pod.init_requests, f64::max))
}
