//! Job logs of every scheduler: hand-worked lines, and real logs where they are at hand. Counts of real logs
//! were worked out with Python's `json`, `re` and `csv` from the same files, or by Slurm.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::io::Write as _;
use std::path::Path;

mod support;

use support::real;
use wattledger::jobs::census::census;
use wattledger::jobs::{self, JobLog, LogFormat, Options, Place, RejectReason, Run};

const MIB: f64 = 1_048_576.0;

fn read_with(text: impl AsRef<[u8]>, options: &Options) -> JobLog {
    jobs::read_from(text.as_ref(), Path::new("log"), options).unwrap()
}

fn read(text: impl AsRef<[u8]>) -> JobLog {
    read_with(text, &Options::default())
}

/// Node, CPUs, MiB, GPUs.
type Held<'a> = (&'a str, Option<f64>, Option<f64>, Option<f64>);

/// What a run held on each node.
fn held(run: &Run) -> Vec<Held<'_>> {
    run.allocations
        .iter()
        .map(|part| (part.node.as_str(), part.cpus, part.memory_bytes.map(|bytes| bytes / MIB), part.gpus))
        .collect()
}

fn span_s(run: &Run) -> (i64, Option<i64>) {
    (run.start_ms / 1000, run.end_ms.map(|end_ms| end_ms / 1000))
}

fn states(log: &JobLog) -> Vec<(String, u64)> {
    census(log).states.into_iter().collect()
}

fn pairs(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn places(log: &JobLog) -> Vec<Place> {
    log.rejected.iter().map(|rejected| rejected.place).collect()
}

// ---- Slurm ----------------------------------------------------------------

/// One job as v0.0.37 to v0.0.39 and as v0.0.40 and later write it.
#[test]
fn sacct_json_in_both_generations() {
    let old = r#"{"meta": {"plugin": {"type": "openapi/dbv0.0.37"}}, "jobs": [{
        "account": "ml", "association": {"user": "ada", "account": "ml"}, "cluster": "c",
        "array": {"job_id": 30, "task": null, "task_id": 3}, "het": {"job_id": 0, "job_offset": null},
        "comment": {"administrator": null, "job": "stage=training", "system": null},
        "job_id": 33, "name": "fit|2", "nodes": "g[1-2]", "partition": "gpu",
        "required": {"CPUs": 8, "memory": 1024}, "state": {"current": "COMPLETED", "reason": "None"},
        "time": {"elapsed": 100, "end": 1000000100, "start": 1000000000, "submission": 999999999, "limit": 5},
        "steps": [{"statistics": {"energy": {"consumed": 500}}}, {"statistics": {"energy": {"consumed": 700}}}],
        "tres": {"allocated": [
            {"type": "cpu", "name": null, "id": 1, "count": 8}, {"type": "mem", "name": null, "id": 2, "count": 2048},
            {"type": "node", "name": null, "id": 4, "count": 2}, {"type": "gres", "name": "gpu", "id": 1001, "count": 4},
            {"type": "gres", "name": "gpu:a100", "id": 1002, "count": 4}]},
        "user": "ada"}], "errors": []}"#;
    let new = r#"{"jobs": [{
        "account": "ml", "association": {"user": "ada", "account": "ml", "id": 7}, "cluster": "c",
        "array": {"job_id": 30, "task": "", "task_id": {"set": true, "infinite": false, "number": 3}},
        "het": {"job_id": 0, "job_offset": {"set": false, "infinite": false, "number": 0}},
        "comment": {"administrator": "", "job": "stage=training", "system": ""},
        "job_id": 33, "name": "fit|2", "nodes": "g[1-2]", "partition": "gpu",
        "required": {"CPUs": 8, "memory_per_node": {"set": true, "infinite": false, "number": 1024}},
        "state": {"current": ["COMPLETED"], "reason": "None"},
        "time": {"elapsed": 100, "end": 1000000100, "start": 1000000000, "submission": 999999999,
                 "planned": {"set": true, "infinite": false, "number": 1}},
        "steps": [{"statistics": {"energy": {"consumed": {"set": true, "infinite": false, "number": 700}}}},
                  {"statistics": {"energy": {"consumed": {"set": false, "infinite": false, "number": 0}}}}],
        "tres": {"allocated": [
            {"type": "cpu", "name": "", "id": 1, "count": 8}, {"type": "mem", "name": "", "id": 2, "count": 2048},
            {"type": "energy", "name": "", "id": 3, "count": -2}, {"type": "node", "name": "", "id": 4, "count": 2},
            {"type": "gres", "name": "gpu:a100", "id": 1002, "count": 4}]},
        "user": "ada"}], "meta": {"plugin": {"data_parser": "data_parser/v0.0.43"}}, "errors": [], "warnings": []}"#;
    let text = "JobID|JobIDRaw|User|Account|Partition|State|Start|End|NodeList|AllocTRES|Comment|ConsumedEnergyRaw|\
                JobName\n30_3|33|ada|ml|gpu|COMPLETED|1000000000|1000000100|g[1-2]|cpu=8,gres/gpu=4,mem=2G,node=2|\
                stage=training|700|fit|2\n";
    let (old, new, text) = (read(old), read(new), read(text));
    assert_eq!(old.inputs[0].format, LogFormat::SacctJson);
    assert_eq!(old.runs, text.runs);
    assert_eq!(new.runs, text.runs);
    assert_eq!(old.skipped.steps, 2);
    // 8 CPUs, 2 GiB and 4 GPUs over two nodes.
    assert_eq!(held(&old.runs[0])[1], ("g2", Some(4.0), Some(1024.0), Some(2.0)));
}

#[test]
fn json_that_breaks_off_or_holds_nonsense() {
    let job = |id: &str, nodes: &str| {
        format!(
            "{{\"job_id\": {id}, \"nodes\": \"{nodes}\", \"state\": {{\"current\": \"COMPLETED\"}}, \
             \"time\": {{\"start\": 1000000000, \"end\": 1000000100}}}}"
        )
    };
    let log = read(format!(
        "{{\"jobs\": [{},\n{},\n{},\n{{\"job_id\"",
        job("1", "a"),
        job("\"x\"", "a"),
        job("3", "a[")
    ));
    assert_eq!(log.runs.len(), 1);
    assert_eq!(places(&log), [Place::Entry(2), Place::Entry(3), Place::Line(4)]);
    assert!(log.rejected[2].to_string().contains("nothing behind it was read"), "{}", log.rejected[2]);
    let error = jobs::read_from(&b"{\"jobs\": ["[..], Path::new("log"), &Options::default());
    assert!(error.unwrap_err().to_string().contains("is not JSON"));
}

#[test]
fn what_scontrol_adds_to_sacct() {
    let sacct = "JobID|Start|End|NodeList|AllocTRES|State\n\
        41|2024-05-01T10:00:00|2024-05-01T11:00:00|g[1-2]|cpu=12,gres/gpu=3,mem=12G,node=2|COMPLETED\n";
    let scontrol = "JobId=41 JobName=fit it\n   UserId=ada(1001) GroupId=ada(1001)\n   JobState=RUNNING Account=ml\n   \
        RunTime=00:30:00 StartTime=2024-05-01T10:00:00 EndTime=2024-05-02T10:00:00\n   NodeList=g[1-2]\n   NumCPUs=12\n   \
        TRES=cpu=12,mem=12G,node=2,gres/gpu=3\n   \
        JOB_GRES=gpu:a100:3\n     Nodes=g1 CPU_IDs=0-7 Mem=8192 GRES=gpu:a100:2(IDX:1,3)\n     \
        Nodes=g2 CPU_IDs=0-1,4-5 Mem=4096 GRES=gpu:a100:1(IDX:0)\n\n";
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let paths = [write("scontrol.txt", scontrol), write("sacct.txt", sacct)];
    let alone = jobs::read(&paths[0], &Options::default()).unwrap();
    // The end that stands there is when the time limit ends it.
    assert_eq!(alone.runs[0].end_ms, None);
    assert_eq!(alone.covered.unwrap().length_s(), 1800.0);
    for order in [[0, 1], [1, 0]] {
        let paths = order.map(|at: usize| paths[at].clone());
        let log = jobs::read_all(&paths, &Options::default()).unwrap();
        let [run] = &log.runs[..] else { panic!("{log:?}") };
        assert_eq!(run.end_ms.unwrap() - run.start_ms, 3_600_000);
        assert_eq!(
            (run.name.as_str(), run.user.as_str(), run.state.as_str()),
            ("fit it", "ada", "COMPLETED")
        );
        assert_eq!(
            held(run),
            [("g1", Some(8.0), Some(8192.0), Some(2.0)), ("g2", Some(4.0), Some(4096.0), Some(1.0))]
        );
        assert_eq!(run.allocations[0].gpu_ids.as_deref(), Some(&["1".to_owned(), "3".to_owned()][..]));
        assert_eq!(log.skipped.superseded, 1);
        assert_eq!(log.inputs.len(), 2);
    }
    let node = "NodeName=g1 Arch=x86_64 CoresPerSocket=32\n   CPUAlloc=1 CPUTot=64 CPULoad=6.14\n   \
        Gres=gpu:a100:4(S:0-1)\n   RealMemory=512000 AllocMem=50\n\nNodeName=g2 CPUTot=8 RealMemory=1000 Gres=(null)\n";
    let log = read(node);
    assert_eq!((log.nodes[0].cpus, log.nodes[0].gpus), (Some(64.0), Some(4.0)));
    assert_eq!(log.nodes[0].memory_bytes, Some(512_000.0 * MIB));
    assert_eq!((log.nodes[1].name.as_str(), log.nodes[1].gpus), ("g2", None));
}

#[test]
fn sacct_with_commas_and_without_a_header() {
    let piped = read(
        "JobID|NodeList|AllocTRES|Start|End|JobName\n7|n[1,3]|cpu=4,mem=4G,node=2|1000000000|1000000100|a, b\n",
    );
    let commas = read(
        "JobID,NodeList,AllocTRES,Start,End,JobName\n7,n[1,3],cpu=4,mem=4G,node=2,1000000000,1000000100,a, b\n",
    );
    assert_eq!(commas.rejected, []);
    assert_eq!(commas.runs, piped.runs);
    let columns = "JobID,NodeList,AllocTRES,Start,End,JobName".parse().unwrap();
    let options = Options { columns, ..Options::default() };
    let bare = read_with("7|n[1,3]|cpu=4,mem=4G,node=2|1000000000|1000000100|a, b\n", &options);
    assert_eq!(bare.runs, piped.runs);
}

#[test]
fn gpus_of_old_and_of_numbered_resources() {
    let log = read(
        "JobID|NodeList|AllocGRES|AllocCPUS|Start|End\n1|n1|gpu:a100:4(IDX:0-3)|8|1000000000|1000000100\n\
         2|n1||8|1000000000|1000000100\n",
    );
    assert_eq!(held(&log.runs[0]), [("n1", Some(8.0), None, Some(4.0))]);
    assert_eq!(held(&log.runs[1]), [("n1", Some(8.0), None, None)]);
    let numbered = read("JobID|NodeList|AllocTRES|Start|End\n1|n1|1=8,2=1024,4=1|1000000000|1000000100\n");
    assert_eq!(held(&numbered.runs[0]), [("n1", Some(8.0), Some(1024.0), None)]);
}

/// 41 rows, of which three never ran; CPU seconds by Python: 1,383 and 1,856.
#[test]
fn the_json_of_a_real_slurm_tells_the_same_as_its_text() {
    for (json, text, cpu_seconds) in [
        ("slurm/sacct_v0.0.38.json", "slurm/sacct_P_common.psv", 1383.0),
        ("slurm/sacct_v0.0.38_final.json", "slurm/sacct_P_dup_ALL_final.psv", 1856.0),
    ] {
        let (Some(json), Some(text)) = (real(json), real(text)) else { continue };
        let json = jobs::read(&json, &Options::default()).unwrap();
        let text = jobs::read(&text, &Options::default()).unwrap();
        assert_eq!((json.runs.len(), json.skipped.never_started, json.rejected_total), (38, 3, 0));
        assert_eq!((json.skipped.steps, text.skipped.steps), (46, 46));
        let ended = json.runs.iter().filter(|run| run.end_ms.is_some());
        let seconds: f64 = ended
            .map(|run| {
                let cpus: f64 = run.allocations.iter().filter_map(|part| part.cpus).sum();
                cpus * (run.end_ms.unwrap() - run.start_ms) as f64 / 1000.0
            })
            .sum();
        assert_eq!(seconds, cpu_seconds);
        for (json, text) in json.runs.iter().zip(&text.runs) {
            // `sacct -P` writes what it cannot write in ASCII as it likes.
            let plain = |run: &Run| Run {
                name: String::new(),
                stage: String::new(),
                cpu_time_s: None,
                ..run.clone()
            };
            assert_eq!(plain(json), plain(text));
            // `sacct` writes milliseconds up to an hour.
            let (json_s, text_s) = (json.cpu_time_s.unwrap_or(0.0), text.cpu_time_s.unwrap_or(0.0));
            assert!((json_s - text_s).abs() < 0.002, "{}: {json_s} and {text_s}", json.run_id);
        }
    }
}

/// One job each, by hand from the files; the two of Mila were still running.
#[test]
fn json_of_four_versions_of_slurm() {
    for (file, id, node_count, span, cpus, gpus, state) in [
        ("21_8_8", "55978384", 1, (1_673_275_023, Some(1_673_369_386)), 4.0, 1.0, "REQUEUED"),
        ("22_5_9", "20247445_100", 4, (1_693_740_641, Some(1_693_865_044)), 96.0, 16.0, "FAILED"),
        ("23_2_6", "4", 1, (1_613_725_209, None), 4.0, 2.0, "RUNNING"),
        ("23_11_5", "4", 1, (1_613_725_209, None), 4.0, 2.0, "RUNNING"),
    ] {
        let Some(path) = real(&format!("joblogs/sacct_json/SARC_real_anon/slurm_{file}.json")) else {
            continue;
        };
        let log = jobs::read(&path, &Options::default()).unwrap();
        let [run] = &log.runs[..] else { panic!("{file}: {log:?}") };
        assert_eq!(
            (run.run_id.as_str(), run.allocations.len(), span_s(run)),
            (id, node_count, span),
            "{file}"
        );
        let sum =
            |of: fn(&jobs::Allocation) -> Option<f64>| run.allocations.iter().filter_map(of).sum::<f64>();
        assert_eq!((sum(|part| part.cpus), sum(|part| part.gpus)), (cpus, gpus), "{file}");
        assert_eq!(run.state, state, "{file}");
    }
}

/// Jobs by state counted with Python's `re`; Slurm itself gives three nodes of two CPUs and 8,000 MiB.
#[test]
fn scontrol_of_a_real_slurm() {
    let Some(path) = real("slurm/scontrol_show_job.txt") else { return };
    let log = jobs::read(&path, &Options::default()).unwrap();
    assert_eq!((log.runs.len() as u64 + log.skipped.never_started, log.rejected_total), (23, 0));
    let counted = [
        ("CANCELLED", 2),
        ("COMPLETED", 16),
        ("FAILED", 1),
        ("NODE_FAIL", 1),
        ("RUNNING", 1),
        ("TIMEOUT", 1),
    ];
    // Of three that were cancelled, one never started.
    assert_eq!(states(&log), pairs(&counted));
    let odd = log.runs.iter().find(|run| run.run_id == "21").unwrap();
    assert_eq!((odd.name.as_str(), odd.allocations.len()), ("we|ird, \"name\" é", 2));
    assert!(
        log.runs.iter().any(|run| run.run_id == "28+1") && log.runs.iter().any(|run| run.run_id == "22_4")
    );
    let Some(path) = real("slurm/scontrol_show_node.txt") else { return };
    let log = jobs::read(&path, &Options::default()).unwrap();
    assert_eq!(log.nodes.len(), 3);
    assert!(log.nodes.iter().all(|node| node.cpus == Some(2.0)), "{:?}", log.nodes);
}

/// The columns of these lines, which have no header, as the program that made them asks for them.
#[test]
fn lines_of_slurm_as_grid_accounting_takes_them() {
    let Some(path) = real("joblogs/apel/test_slurm.lines.txt") else { return };
    let columns = "JobID,JobName,User,Account,Start,End,Elapsed,CPUTimeRAW,Partition,NNodes,NCPUS,NodeList,MaxRSS,\
                   MaxVMSize,State";
    let options = Options { columns: columns.parse().unwrap(), ..Options::default() };
    let log = jobs::read(&path, &options).unwrap();
    // 27 lines: nine are steps of jobs that are not there, four are jobs, fourteen are one job in fourteen states,
    // of which the one that waits never ran.
    assert_eq!((log.skipped.steps, log.skipped.orphan_steps), (9, 9));
    assert_eq!((log.runs.len(), log.skipped.superseded, log.skipped.never_started), (5, 12, 1));
    assert_eq!(log.rejected_total, 0);
    let long = log.runs.iter().find(|run| run.run_id == "5940815").unwrap();
    // 2018-06-03T02:11:12 to 06-05T03:36:08 are 49 h 24 min 56 s.
    assert_eq!(long.end_ms.unwrap() - long.start_ms, 177_896_000);
}

// ---- PBS ------------------------------------------------------------------

#[test]
fn pbs_starts_ends_and_what_was_taken_back() {
    let log = read(
        "05/01/2024 10:00:00;S;1.pbs;user=ada group=g queue=q start=1714557600 exec_host=a/0*4 Resource_List.mem=8gb\n\
         05/01/2024 10:30:00;Q;9.pbs;queue=q\n\
         05/01/2024 11:00:00;E;1.pbs;user=ada group=g project=\"deep sea\" queue=q jobname=fit start=1714557600 \
         end=1714561200 Exit_status=0 exec_host=a/0*4+b/0*4 exec_vnode=(a:ncpus=4:mem=4gb:ngpus=1)+(b:ncpus=4:mem=4gb)\n\
         05/01/2024 11:00:00;S;2.pbs;user=bob queue=q start=1714561200 exec_host=a/0\n\
         05/01/2024 11:10:00;R;2.pbs;Exit_status=-4\n\
         05/01/2024 11:20:00;S;2.pbs;user=bob queue=q start=1714562400 exec_host=b/0\n\
         05/01/2024 12:00:00;E;3[].pbs;user=bob queue=q start=1714561200 end=1714564800 Exit_status=0\n\
         05/01/2024 12:00:00;L;license;floating license hour:0 day:0 month:0 max:0\n",
    );
    assert_eq!(log.inputs[0].format, LogFormat::Pbs);
    assert_eq!(log.rejected, []);
    let [one, two, again] = &log.runs[..] else { panic!("{log:?}") };
    assert_eq!((one.run_id.as_str(), one.job_id.as_str(), one.account.as_str()), ("1", "1.pbs", "deep sea"));
    assert_eq!(span_s(one), (1_714_557_600, Some(1_714_561_200)));
    assert_eq!(held(one), [("a", Some(4.0), Some(4096.0), Some(1.0)), ("b", Some(4.0), Some(4096.0), None)]);
    // Taken back at 11:10 UTC, and still running where the log ends.
    assert_eq!((span_s(two), two.state.as_str()), ((1_714_561_200, Some(1_714_561_800)), "REQUEUED"));
    assert_eq!((span_s(again), again.restart), ((1_714_562_400, None), 1));
    assert_eq!(log.covered.unwrap().end_ms, 1_714_564_800_000);
    assert_eq!(log.skipped.never_started, 1);
}

/// Ten lines: one without a start, one that never ran and names no host, one that ends before it starts, two of
/// one job, of which the later says more.
#[test]
fn pbs_lines_of_real_sites() {
    let Some(path) = real("joblogs/apel/test_pbs.lines.txt") else { return };
    let log = jobs::read(&path, &Options::default()).unwrap();
    assert_eq!(places(&log), [Place::Line(1), Place::Line(10)]);
    assert_eq!(log.rejected[0].reason, RejectReason::MissingField { column: "start" });
    assert!(matches!(log.rejected[1].reason, RejectReason::EndBeforeStart { .. }));
    assert_eq!((log.runs.len(), log.skipped.never_started, log.skipped.superseded), (6, 1, 1));
    let slots: Vec<_> = log.runs.iter().map(|run| (run.run_id.as_str(), held(run)[0].1.unwrap())).collect();
    let expected = [
        ("21010040", 8.0),
        ("21048463", 1.0),
        ("21414868", 4.0),
        ("21430205", 4.0),
        ("24940336", 1.0),
        ("37803854", 1.0),
    ];
    assert_eq!(slots, expected);
    assert_eq!(span_s(&log.runs[4]), (1_448_914_025, Some(1_448_926_926)));
}

// ---- LSF ------------------------------------------------------------------

/// Records 1 and 7 are cut or damaged; the fifth holds a script with a line break in it and has two hosts of eight.
#[test]
fn lsf_records_of_three_versions() {
    let Some(path) = real("joblogs/apel/test_lsf.lines.txt") else { return };
    let log = jobs::read(&path, &Options::default()).unwrap();
    assert_eq!(log.inputs[0].format, LogFormat::Lsf);
    let array = log.runs.iter().find(|run| run.run_id == "436491[23]").unwrap();
    assert_eq!(held(array), [("comp042", Some(8.0), None, None), ("comp043", Some(8.0), None, None)]);
    assert_eq!(
        (array.state.as_str(), array.partition.as_str(), span_s(array)),
        ("EXIT", "normal", (1_302_184_004, Some(1_302_184_020)))
    );
    // 2004: ended at 1089407406, started at 1089406862; the one that starts after its end is left out.
    let old = log.runs.iter().find(|run| run.run_id == "699195").unwrap();
    assert_eq!((span_s(old), held(old)[0].0), ((1_089_406_862, Some(1_089_407_406)), "tbed0079"));
    assert!(
        log.rejected.iter().any(|rejected| matches!(rejected.reason, RejectReason::EndBeforeStart { .. }))
    );
}

// ---- Grid Engine ----------------------------------------------------------

fn sge(host: &str, job: &str, times: [i64; 2], slots: u32, task: u32, part: &str) -> String {
    let zeros = ["0"; 17].join(":");
    format!(
        "all.q:{host}:users:ada:fit:{job}:sge:0:{}:{}:{}:0:0:10:{zeros}:NONE:dep:mpi:{slots}:{task}:0:0:0:-q all.q:0:\
         {part}:0:0:0\n",
        times[0], times[0], times[1]
    )
}

#[test]
fn grid_engine_in_seconds_and_milliseconds_and_over_hosts() {
    let text = [
        "# Version: 8.1.9\n".to_owned(),
        sge("n2", "7", [1_000_000_000, 1_000_000_100], 1, 0, "1.n2"),
        sge("n1", "7", [1_000_000_000, 1_000_000_100], 8, 0, "NONE"),
        sge("n3", "8", [1_000_000_000_000, 1_000_000_100_500], 1, 4, "NONE"),
        sge("n3", "9", [0, 0], 1, 0, "NONE"),
    ]
    .concat();
    let log = read(text);
    assert_eq!(log.inputs[0].format, LogFormat::GridEngine);
    assert_eq!(log.rejected, []);
    let [parallel, task] = &log.runs[..] else { panic!("{log:?}") };
    assert_eq!(held(parallel), [("n1", Some(4.0), None, None), ("n2", Some(4.0), None, None)]);
    assert_eq!((task.run_id.as_str(), task.end_ms), ("8.4", Some(1_000_000_100_500)));
    assert_eq!((log.skipped.steps, log.skipped.never_started), (1, 1));
}

/// Eight lines: six runs, of which the sixth repeats the first, and two that are cut off.
#[test]
fn grid_engine_lines_of_real_sites() {
    let Some(path) = real("joblogs/apel/test_sge.lines.txt") else { return };
    let log = jobs::read(&path, &Options::default()).unwrap();
    assert_eq!(places(&log), [Place::Line(7), Place::Line(8)]);
    assert_eq!((log.runs.len(), log.skipped.duplicates), (5, 1));
    let spans: Vec<_> = log.runs.iter().map(|run| run.end_ms.unwrap() - run.start_ms).collect();
    assert_eq!(spans, [1000, 180_001_000, 20_572_000, 359_000, 220_488]);
}

// ---- HTCondor -------------------------------------------------------------

#[test]
fn condor_history_long_and_json() {
    let long = "ClusterId = 12\nProcId = 3\nOwner = \"ada\"\nGlobalJobId = \"ce#12.3#99\"\nJobStatus = 4\n\
        JobStartDate = 900000000\nJobCurrentStartDate = 1000000000\nCompletionDate = 1000000100\nNumJobStarts = 2\n\
        LastRemoteHost = \"slot1_2@n7.site\"\nRequestCpus = 4\nRequestMemory = 2048\nAssignedGPUs = \"GPU-ab12,GPU-cd34\"\n\
        Cmd = \"/bin/fit\"\n*** Offset = 0 ClusterId = 12 ProcId = 3 Owner = \"ada\" CompletionDate = 1000000100\n\
        ClusterId = 13\nProcId = 0\nJobStatus = 1\n*** Offset = 9\n";
    let json = r#"[{"ClusterId": 12, "ProcId": 3, "Owner": "ada", "GlobalJobId": "ce#12.3#99", "JobStatus": 4,
        "JobStartDate": 900000000, "JobCurrentStartDate": 1000000000, "CompletionDate": 1000000100, "NumJobStarts": 2,
        "LastRemoteHost": "slot1_2@n7.site", "RequestCpus": 4, "RequestMemory": 2048,
        "AssignedGPUs": "GPU-ab12,GPU-cd34", "Cmd": "/bin/fit"}, {"ClusterId": 13, "ProcId": 0, "JobStatus": 1}]"#;
    let (long, json) = (read(long), read(json));
    assert_eq!(
        (long.inputs[0].format, json.inputs[0].format),
        (LogFormat::Htcondor, LogFormat::HtcondorJson)
    );
    assert_eq!(long.runs, json.runs);
    let [run] = &long.runs[..] else { panic!("{long:?}") };
    assert_eq!((run.run_id.as_str(), span_s(run)), ("12.3", (1_000_000_000, Some(1_000_000_100))));
    assert_eq!(held(run), [("n7.site", Some(4.0), Some(2048.0), Some(2.0))]);
    assert_eq!(run.allocations[0].gpu_ids.as_ref().unwrap()[0], "GPU-ab12");
    assert_eq!(long.skipped.never_started, 1);
}

#[test]
fn condor_lines_of_grid_sites_name_no_machine() {
    let Some(path) = real("joblogs/apel/test_htcondor_parser.lines.txt") else { return };
    let log = jobs::read(&path, &Options::default()).unwrap();
    // Nine lines, of which two are one job at two times.
    assert_eq!((log.runs.len(), log.skipped.superseded, log.rejected_total), (8, 1, 0));
    assert_eq!(log.skipped.without_nodes, 8);
    assert!(log.notes.iter().any(|note| note.contains("--jobs-node")));
    let options = Options { default_node: Some("ce1".to_owned()), ..Options::default() };
    let placed = jobs::read(&path, &options).unwrap();
    assert_eq!(placed.skipped.without_nodes, 0);
    assert!(placed.runs.iter().all(|run| held(run)[0].0 == "ce1"));
}

// ---- SWF, Kubernetes, tables ------------------------------------------------

#[test]
fn standard_workload_format() {
    let log = read(
        "; Version: 2.2\n; UnixStartTime: 1000000000 Sun Sep 09\n; MaxNodes: 128\n\
         1 10 5 100 8 -1 1024 8 200 -1 1 3 2 7 1 -1 -1 -1\n2 20 -1 -1 4 -1 -1 4 200 -1 5 3 2 7 1 -1 -1 -1\n3 30 0 x\n",
    );
    assert_eq!(log.inputs[0].format, LogFormat::Swf);
    let [run] = &log.runs[..] else { panic!("{log:?}") };
    assert_eq!(span_s(run), (1_000_000_015, Some(1_000_000_115)));
    assert_eq!(
        (run.user.as_str(), run.partition.as_str(), run.state.as_str()),
        ("user3", "queue1", "COMPLETED")
    );
    assert_eq!((log.skipped.never_started, places(&log)), (1, vec![Place::Line(6)]));
}

/// Phases, times and requests as Python's `json` reads them from the files; pods without a node never started.
#[test]
fn pods_of_a_real_cluster() {
    let read = |name: &str| {
        real(&format!("joblogs/ood_core/k8s/{name}.json"))
            .map(|path| jobs::read(&path, &Options::default()).unwrap())
    };
    let Some(several) = read("several_pods") else { return };
    assert_eq!(states(&several), pairs(&[("Failed", 1), ("Running", 1), ("Succeeded", 1)]));
    assert_eq!(several.skipped.never_started, 1);
    let bash = several.runs.iter().find(|run| run.name == "bash").unwrap();
    // 2020-04-27T21:32:15Z to 21:37:16Z.
    assert_eq!(span_s(bash), (1_588_023_135, Some(1_588_023_436)));
    assert_eq!(bash.job_id, "994d1241-168b-4546-ac8c-ccb2128f54ea");
    let running = read("single_running_pod").unwrap();
    assert_eq!(held(&running.runs[0]), [("kubeworker01-dev", Some(1.0), Some(4096.0), Some(0.0))]);
    assert_eq!(read("ns_prefixed_pod").unwrap().runs[0].account, "PZS0714");
    for (name, runs, never) in [
        ("single_queued_pod", 1, 0),
        ("single_unscheduleable_pod", 0, 1),
        ("single_crash_loop_pod", 1, 0),
        ("single_image_error_pod", 1, 0),
    ] {
        let log = read(name).unwrap();
        assert_eq!((log.runs.len(), log.skipped.never_started), (runs, never), "{name}");
    }
    let secret = read("single_secret").unwrap();
    assert!(secret.runs.is_empty() && secret.notes[0].contains("no pods"), "{secret:?}");
}

#[test]
fn tables_with_columns_of_other_names() {
    let text = "Job No;Begin;Finish;Host;Who\n7;2024-05-01T10:00:00Z;2024-05-01T11:00:00Z;n1;ada\n";
    let columns = "run_id=job no,start=Begin,end=Finish,nodes=Host,user=Who".parse().unwrap();
    let log = read_with(text, &Options { columns, ..Options::default() });
    let [run] = &log.runs[..] else { panic!("{log:?}") };
    assert_eq!((run.run_id.as_str(), run.user.as_str(), held(run)[0].0), ("7", "ada", "n1"));
    let columns = "run_id=job no,start=Begun".parse().unwrap();
    let wrong =
        jobs::read_from(text.as_bytes(), Path::new("log"), &Options { columns, ..Options::default() });
    assert_eq!(wrong.unwrap_err().to_string(), "job log `log` has no column `Begun`");
}

/// A duration stands for an end, and exponents are numbers.
#[test]
fn emissions_of_codecarbon() {
    let text = "timestamp,project_name,run_id,duration,emissions,energy_consumed,country_iso_code,gpu_count\n\
        2024-05-01T11:00:00,fit,5ea60e3e,3600.5,1.2e-05,0.25,FRA,\n2024-05-01T11:00:00,fit,x,inf,0,0,FRA,\n";
    let options = Options { default_node: Some("n1".to_owned()), ..Options::default() };
    let log = read_with(text, &options);
    assert_eq!(log.inputs[0].format, LogFormat::Codecarbon);
    let [run] = &log.runs[..] else { panic!("{log:?}") };
    // 11:00:00Z − 3,600.5 s; 0.25 kWh = 900 kJ.
    assert_eq!((run.start_ms, run.end_ms), (1_714_557_599_500, Some(1_714_561_200_000)));
    assert_eq!((run.recorded_energy_j, run.zone.as_deref()), (Some(900_000.0), Some("FRA")));
    assert_eq!(places(&log), [Place::Line(3)]);
}

#[test]
fn packed_logs_and_a_kind_that_is_forced() {
    let text = "JobID|Start|End|NodeList\n7|1000000000|1000000100|n1\n";
    let directory = tempfile::tempdir().unwrap();
    let gzip = directory.path().join("log.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    std::fs::write(&gzip, encoder.finish().unwrap()).unwrap();
    let zstd = directory.path().join("log.zst");
    std::fs::write(&zstd, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    let plain = read(text).runs;
    for path in [gzip, zstd] {
        assert_eq!(jobs::read(&path, &Options::default()).unwrap().runs, plain);
    }
    let forced = Options { format: Some(LogFormat::Pbs), ..Options::default() };
    let log = read_with(text, &forced);
    assert_eq!((log.runs.len(), log.rejected_total), (0, 2));
}

/// `1001=4` is what `sacctmgr` says it is; without its table that is said, not passed over in silence.
#[test]
fn numbers_of_generic_resources_have_names_in_a_table() {
    let table = "Type|Name|ID\ncpu||1\nmem||2\nenergy||3\nnode||4\nbilling||5\ngres|gpu|1001\ngres|gpu:a100|1002\nlicense|matlab|1003\n";
    let sacct = "JobID|Start|End|NodeList|AllocTRES|JobName\n\
                 7|2024-06-03T10:00:00|2024-06-03T11:00:00|n1|1=8,2=16384,4=1,5=8,1001=4,1002=4,1003=2|train\n";
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (table, sacct) = (path("tres.txt", table), path("sacct.txt", sacct));
    let log = jobs::read_all(&[table, sacct.clone()], &Options::default()).unwrap();
    assert_eq!(log.inputs[0].format, LogFormat::TresTable);
    let held = &log.runs[0].allocations[0];
    assert_eq!((held.cpus, held.memory_bytes, held.gpus), (Some(8.0), Some(16_384.0 * MIB), Some(4.0)));
    assert!(log.notes.iter().all(|note| !note.contains("sacctmgr")), "{:?}", log.notes);
    let log = jobs::read_all(&[sacct], &Options::default()).unwrap();
    assert_eq!(log.runs[0].allocations[0].gpus, None);
    assert!(log.notes.iter().any(|note| note.contains("sacctmgr --parsable2 show tres")), "{:?}", log.notes);
    // A real one; and a broken line costs that line.
    if let Some(real) = real("slurm/sacctmgr_tres.psv") {
        let log = jobs::read_all(&[real], &Options::default()).unwrap();
        assert_eq!((log.inputs[0].format, log.runs.len(), log.rejected_total), (LogFormat::TresTable, 0, 0));
    }
    let log = read("Type|Name|ID\ncpu||one\n|gpu|7\n");
    assert_eq!(log.rejected_total, 2);
}
