//! Pods that kube-state-metrics showed in a snapshot, as runs.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::fmt::Write as _;
use std::path::PathBuf;

use wattledger::jobs::{self, Options, Run};
use wattledger::time::Window;

#[path = "support/truth.rs"]
mod support;

use support::{convert, fresh, table, wattledger};

/// 2026-06-01T00:00:00Z.
const START_S: i64 = 1_780_272_000;

/// Lines as `promtool tsdb dump` prints them.
#[derive(Default)]
struct Dump(String);

impl Dump {
    /// A series from one second of the hour to another, every 30 s.
    fn add(&mut self, labels: &str, (from_s, to_s): (i64, i64), value: impl Fn(i64) -> f64) {
        for second in (from_s..=to_s).step_by(30) {
            writeln!(self.0, "{{{labels}}} {} {}", value(second), (START_S + second) * 1000).unwrap();
        }
    }

    fn pod(&mut self, name: &str, (uid, node): (&str, &str), seen: (i64, i64)) {
        let labels = format!(r#"__name__="kube_pod_info", {}, node="{node}""#, Self::of(name, uid));
        self.add(&labels, seen, |_| 1.0);
    }

    fn of(name: &str, uid: &str) -> String {
        format!(r#"job="kube-state-metrics", namespace="ml", pod="{name}", uid="{uid}""#)
    }

    /// Values of one metric of a pod, with more labels.
    fn tell(&mut self, metric: &str, (name, uid): (&str, &str), more: &str, seen: (i64, i64), value: f64) {
        let labels = format!(r#"__name__="{metric}", {}{more}"#, Self::of(name, uid));
        self.add(&labels, seen, |_| value);
    }

    /// Blocks of it, in a directory of the test's own.
    fn blocks(&self, name: &str) -> PathBuf {
        convert(&fresh(name), &self.0)
    }
}

const HOUR: (i64, i64) = (0, 3600);

fn cluster() -> Dump {
    let mut dump = Dump::default();
    let start = |second: i64| (START_S + second) as f64;
    // Runs from before to after; what its containers ask for adds up, what its init container asks for does not.
    let train = ("train-0", "u1");
    dump.pod(train.0, (train.1, "n1"), HOUR);
    dump.tell("kube_pod_start_time", train, "", HOUR, start(-600));
    dump.tell("kube_pod_status_phase", train, r#", phase="Running""#, HOUR, 1.0);
    dump.tell("kube_pod_status_phase", train, r#", phase="Failed""#, HOUR, 0.0);
    dump.tell("kube_pod_labels", train, r#", label_user="alice", label_stage="training""#, HOUR, 1.0);
    for (metric, container, resource, amount) in [
        ("kube_pod_container_resource_requests", "main", "cpu", 4.0),
        ("kube_pod_container_resource_requests", "sidecar", "cpu", 0.5),
        ("kube_pod_container_resource_requests", "main", "memory", 8_589_934_592.0),
        ("kube_pod_container_resource_requests", "main", "nvidia_com_gpu", 1.0),
        ("kube_pod_init_container_resource_requests", "fetch", "cpu", 6.0),
    ] {
        let more = format!(r#", container="{container}", resource="{resource}", node="n1""#);
        dump.tell(metric, train, &more, HOUR, amount);
    }
    // Waited without a node, then ran and ended.
    let batch = ("batch-1", "u2");
    dump.pod(batch.0, (batch.1, ""), (0, 270));
    dump.pod(batch.0, (batch.1, "n2"), (300, 3600));
    dump.tell("kube_pod_start_time", batch, "", (300, 3600), start(290));
    dump.tell("kube_pod_status_phase", batch, r#", phase="Running""#, (300, 1170), 1.0);
    dump.tell("kube_pod_status_phase", batch, r#", phase="Succeeded""#, (1200, 3600), 1.0);
    dump.tell("kube_pod_completion_time", batch, "", (1200, 3600), start(1190));
    // Deleted while it ran.
    dump.pod("gone-2", ("u3", "n1"), (600, 1800));
    dump.tell("kube_pod_start_time", ("gone-2", "u3"), "", (600, 1800), start(600));
    dump.tell("kube_pod_status_phase", ("gone-2", "u3"), r#", phase="Running""#, (600, 1800), 1.0);
    // Failed, and nothing says when but its phase.
    dump.pod("failed-3", ("u4", "n2"), HOUR);
    dump.tell("kube_pod_start_time", ("failed-3", "u4"), "", HOUR, start(-60));
    dump.tell("kube_pod_status_phase", ("failed-3", "u4"), r#", phase="Failed""#, (900, 3600), 1.0);
    // Never had a node.
    dump.pod("waiting-4", ("u5", ""), HOUR);
    // One name, twice.
    dump.pod("web-0", ("u6", "n1"), (0, 1200));
    dump.pod("web-0", ("u7", "n2"), (1260, 3600));
    dump
}

fn window(run: &Run) -> (i64, Option<i64>) {
    let seconds = |at_ms: i64| at_ms / 1000 - START_S;
    (seconds(run.start_ms), run.end_ms.map(seconds))
}

#[test]
fn pods_are_runs() {
    let blocks = cluster().blocks("pods");
    let log = jobs::read_all(std::slice::from_ref(&blocks), &Options::default()).unwrap();
    let start_ms = START_S * 1000;
    assert_eq!(log.covered, Some(Window::new(start_ms, start_ms + 3_600_000)));
    assert_eq!((log.runs.len(), log.skipped.never_started, log.rejected_total), (6, 1, 0));
    let pod = |uid: &str| log.runs.iter().find(|run| run.job_id == uid).unwrap();

    let train = pod("u1");
    assert_eq!(window(train), (-600, None));
    assert_eq!((train.run_id.as_str(), train.state.as_str()), ("ml/train-0", "Running"));
    let words = [&train.user, &train.account, &train.partition, &train.stage].map(String::as_str);
    assert_eq!(words, ["alice", "ml", "ml", "training"]);
    let held = &train.allocations[0];
    assert_eq!((held.node.as_str(), held.cpus, held.gpus), ("n1", Some(6.0), Some(1.0)));
    assert_eq!(held.memory_bytes, Some(8_589_934_592.0));

    let batch = pod("u2");
    assert_eq!((window(batch), batch.state.as_str()), ((290, Some(1190)), "Succeeded"));
    assert_eq!(batch.allocations[0].node, "n2");
    assert_eq!(batch.allocations[0].cpus, Some(0.0));
    assert_eq!(window(pod("u3")), (600, Some(1800)));
    assert_eq!((window(pod("u4")), pod("u4").state.as_str()), ((-60, Some(900)), "Failed"));
    assert_eq!((window(pod("u6")), pod("u6").restart), ((0, Some(1200)), 0));
    assert_eq!((window(pod("u7")), pod("u7").restart), ((1260, None), 1));

    let output = wattledger().arg("jobs").arg(&blocks).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("kube-state-metrics series") && text.contains("state      Running: 2"), "{text}");
}

/// One snapshot holds the meters and the pods; processors follow what cAdvisor says that pods used.
#[test]
fn a_report_from_one_snapshot() {
    let uids = ["11111111-aaaa-4bbb-8ccc-000000000001", "11111111-aaaa-4bbb-8ccc-000000000002"];
    let mut dump = Dump::default();
    let meter = r#"instance="10.0.0.1:9100", job="node", node="n1""#;
    let zone = r#"path="/sys/class/powercap/intel-rapl:0""#;
    let package = format!(r#"__name__="node_rapl_package_joules_total", {meter}, {zone}"#);
    dump.add(&package, HOUR, |second| 50.0 * second as f64);
    for (cpu, mode, rate) in [(0, "user", 1.0), (0, "idle", 0.0), (1, "user", 0.0), (1, "idle", 1.0)] {
        let time = format!(r#"__name__="node_cpu_seconds_total", cpu="{cpu}", {meter}, mode="{mode}""#);
        dump.add(&time, HOUR, |second| rate * second as f64);
    }
    for (name, uid, rate) in [("busy", uids[0], 0.75), ("calm", uids[1], 0.25)] {
        dump.pod(name, (uid, "n1"), HOUR);
        dump.tell("kube_pod_start_time", (name, uid), "", HOUR, START_S as f64);
        dump.tell("kube_pod_status_phase", (name, uid), r#", phase="Running""#, HOUR, 1.0);
        let more = r#", container="main", resource="cpu""#;
        dump.tell("kube_pod_container_resource_requests", (name, uid), more, HOUR, 1.0);
        let id = format!("/kubepods.slice/kubepods-pod{}.slice", uid.replace('-', "_"));
        let used = format!(
            r#"__name__="container_cpu_usage_seconds_total", id="{id}", instance="n1", job="kubelet""#
        );
        dump.add(&used, HOUR, |second| rate * second as f64);
    }
    let blocks = dump.blocks("pods-report");
    let out = blocks.with_file_name("report");
    let mut report = wattledger();
    report.args(["report", "--no-charts", "--snapshot"]).arg(&blocks).arg("--jobs").arg(&blocks);
    report.args(["--from", "2026-06-01T00:00:00Z", "--to", "2026-06-01T01:00:00Z", "--out"]).arg(&out);
    report.assert().success();
    let rows = table(&out.join("runs.csv"));
    for (name, expected_j) in [("busy", 135_000.0), ("calm", 45_000.0)] {
        let row = rows.iter().find(|row| row.text("name") == name).unwrap();
        let found_j = row.joules("cpu_energy_kwh");
        assert!((found_j - expected_j).abs() < 1e-6 * expected_j, "{name}: {found_j}");
        assert_eq!(row.text("share_method"), "used:cpu-time");
    }
}

#[test]
fn directories_without_pods_say_so() {
    let mut dump = Dump::default();
    dump.add(r#"__name__="up", instance="n1:9100", job="node""#, HOUR, |_| 1.0);
    let blocks = dump.blocks("no-pods");
    let told = |directory: &std::path::Path| {
        let output = wattledger().arg("jobs").arg(directory).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let text = told(&blocks);
    assert!(text.contains("no pod is in") && text.contains("kube_pod_info"), "{text}");
    let empty = fresh("no-blocks");
    let text = told(&empty);
    assert!(text.contains("cannot read pods from") && text.contains("job logs are files"), "{text}");
}
