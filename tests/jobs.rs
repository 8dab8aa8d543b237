//! Job logs, from text to runs: hand-worked cases, the project's own recording,
//! and real logs where they are at hand.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::path::Path;

use chrono_tz::Tz;
use proptest::prelude::*;
mod support;

use support::real;
use wattledger::jobs::{self, JobLog, JobsError, LogFormat, Options, RejectReason, Run, hostlist};
use wattledger::time::Window;

const MIB: f64 = 1_048_576.0;

/// The numbers of the rejected lines.
fn lines_of(log: &JobLog) -> Vec<u64> {
    let line = |rejected: &jobs::Rejected| match rejected.place {
        jobs::Place::Line(number) | jobs::Place::Entry(number) => number,
    };
    log.rejected.iter().map(line).collect()
}

fn try_read(text: impl AsRef<[u8]>, zone: Tz) -> Result<JobLog, JobsError> {
    jobs::read_from(text.as_ref(), Path::new("log"), &Options { zone, ..Options::default() })
}

fn read(text: impl AsRef<[u8]>) -> JobLog {
    try_read(text, Tz::UTC).unwrap()
}

fn ids(log: &JobLog) -> Vec<(&str, u32)> {
    log.runs.iter().map(|run| (run.run_id.as_str(), run.restart)).collect()
}

fn nodes(run: &Run) -> Vec<&str> {
    run.allocations.iter().map(|allocation| allocation.node.as_str()).collect()
}

/// Every row is a run, or is counted somewhere.
fn rows_accounted_for(log: &JobLog) -> u64 {
    let skipped = log.skipped;
    log.runs.len() as u64
        + log.rejected_total
        + skipped.never_started
        + skipped.steps
        + skipped.duplicates
        + skipped.superseded
}

fn run_seconds(log: &JobLog) -> i64 {
    log.runs.iter().filter_map(|run| Some((run.end_ms? - run.start_ms) / 1000)).sum()
}

// ---- sacct ----------------------------------------------------------------

#[test]
fn the_header_decides_which_field_is_what() {
    let plain = read(
        "JobID|User|State|Start|End|NodeList|AllocCPUS|JobName\n\
         7|ada|COMPLETED|2026-11-23T13:30:47|2026-11-23T13:31:13|n001|2|fit\n",
    );
    let other = read(
        "end|NODELIST|jobname%30|Start%30|JobID%20|alloccpus|user|STATE\n\
         1795440673|n001|fit|2026-11-23T13:30:47+00:00|7|2|ada|COMPLETED\n",
    );
    assert_eq!(plain.runs, other.runs);
    let run = &plain.runs[0];
    // 2026-11-23T13:30:47Z is 1795440647 s after the epoch, as `date -d` says.
    assert_eq!((run.start_ms, run.end_ms), (1_795_440_647_000, Some(1_795_440_673_000)));
    assert_eq!((run.name.as_str(), run.user.as_str(), run.state.as_str()), ("fit", "ada", "COMPLETED"));
    assert_eq!(run.allocations[0].cpus, Some(2.0));
    assert_eq!(run.allocations[0].memory_bytes, None);
    assert_eq!(run.allocations[0].gpus, None);
    assert!(plain.zone_assumed && plain.notes.iter().any(|note| note.contains("zone `UTC`")));
    assert_eq!(plain.inputs[0].format, LogFormat::SacctText);
    assert_eq!(plain.inputs[0].columns[7], "JobName");
}

#[test]
fn a_trailing_separator_and_other_separators() {
    let trailing = read("JobID|Start|End|NodeList|\n7|1795440647|1795440673|n1|\n");
    let unit = read("JobID\u{1f}Start\u{1f}End\u{1f}NodeList\n7\u{1f}1795440647\u{1f}1795440673\u{1f}n1\n");
    let caret = read("JobID^Start^End^NodeList\n7^1795440647^1795440673^n1\n");
    assert_eq!(trailing.runs, unit.runs);
    assert_eq!(trailing.runs, caret.runs);
    assert_eq!(ids(&trailing), [("7", 0)]);
    assert_eq!(trailing.rejected, []);
}

#[test]
fn local_times_are_read_in_the_zone_given() {
    let text = "JobID|Start|End|NodeList\n7|2026-11-23T08:30:47|2026-11-23T08:31:13|n1\n";
    let log = try_read(text, chrono_tz::America::New_York).unwrap();
    assert_eq!(log.runs[0].start_ms, 1_795_440_647_000);
    let offset = "JobID|Start|End|NodeList\n7|2026-11-23T08:30:47-0500|2026-11-23T08:31:13-05:00|n1\n";
    let log = try_read(offset, chrono_tz::Asia::Tokyo).unwrap();
    assert_eq!(log.runs[0].end_ms, Some(1_795_440_673_000));
    assert!(!log.zone_assumed);
}

#[test]
fn resources_are_spread_evenly_over_the_nodes() {
    let log = read(
        "JobID|Start|End|NodeList|AllocTRES|JobName\n\
         1|1000000000|1000000100|gpu[07-09]|billing=2,cpu=48,gres/gpu=6,gres/gpu:a100=6,mem=1.5G,node=3|a\n\
         2|1000000000|1000000100|cpu1|billing=2,cpu=1,mem=100M,node=1|b\n\
         3|1000000000|1000000100|cpu2||c\n",
    );
    let [a, b, c] = &log.runs[..] else { panic!("{log:?}") };
    assert_eq!(nodes(a), ["gpu07", "gpu08", "gpu09"]);
    for allocation in &a.allocations {
        // 1.5 GiB / 3 = 512 MiB
        assert_eq!(allocation.cpus, Some(16.0));
        assert_eq!(allocation.memory_bytes, Some(512.0 * MIB));
        assert_eq!(allocation.gpus, Some(2.0));
    }
    // The log tracks GPUs, so a list without them says that there were none; no list says nothing.
    assert_eq!(b.allocations[0].gpus, Some(0.0));
    assert_eq!(c.allocations[0].gpus, None);
    assert_eq!(c.allocations[0].cpus, None);
}

#[test]
fn a_log_that_tracks_no_gpus_says_nothing_of_them() {
    let log = read("JobID|Start|End|NodeList|AllocTRES\n1|1000000000|1000000100|n1|cpu=1,mem=100M,node=1\n");
    assert_eq!(log.runs[0].allocations[0].gpus, None);
}

#[test]
fn without_a_list_the_columns_of_their_own_count() {
    let log = read(
        "JobID|Start|End|NodeList|NCPUS|ReqMem\n\
         1|1000000000|1000000100|n[1-2]|8|6760Mc\n\
         2|1000000000|1000000100|n[1-2]|8|250Gn\n\
         3|1000000000|1000000100|n[1-2]|8|0n\n",
    );
    let memory: Vec<_> = log.runs.iter().map(|run| run.allocations[1].memory_bytes).collect();
    // 6760 MiB × 8 CPUs over 2 nodes; 250 GiB on each; "all of it" is no figure.
    assert_eq!(memory, [Some(27_040.0 * MIB), Some(250.0 * 1024.0 * MIB), None]);
    assert!(log.runs.iter().all(|run| run.allocations[0].cpus == Some(4.0)));
}

/// A real job: `.extern` spans the allocation, so adding its steps up would count it twice.
#[test]
fn step_energies_are_never_added_up() {
    let log = read(
        "JobID|State|Start|End|NodeList|ConsumedEnergyRaw\n\
         5|COMPLETED|1000000000|1000000100|n1|\n\
         5.batch|COMPLETED|1000000000|1000000100|n1|5094129\n\
         5.extern|COMPLETED|1000000000|1000000100|n1|20543125\n\
         5.0|COMPLETED|1000000001|1000000100|n1|20536917\n\
         6|COMPLETED|1000000000|1000000100|n1|0\n\
         6.batch|COMPLETED|1000000000|1000000100|n1|18446744073709551614\n\
         9.batch|COMPLETED|1000000000|1000000100|n1|1\n",
    );
    assert_eq!(ids(&log), [("5", 0), ("6", 0)]);
    assert_eq!(log.runs[0].recorded_energy_j, Some(20_543_125.0));
    assert_eq!(log.runs[1].recorded_energy_j, None, "nought and 2^64 - 2 are no readings");
    assert_eq!((log.skipped.steps, log.skipped.orphan_steps), (5, 1));
}

#[test]
fn the_extern_step_tells_what_the_job_row_does_not() {
    let log = read(
        "JobID|Start|End|NodeList|AllocTRES\n\
         5|1000000000|1000000100|n[1-2]|\n\
         5.batch|1000000000|1000000100|n1|cpu=3,mem=1G,node=1\n\
         5.extern|1000000000|1000000100|n[1-2]|cpu=8,gres/gpu=4,mem=2G,node=2\n",
    );
    let allocation = &log.runs[0].allocations[0];
    assert_eq!(allocation.cpus, Some(4.0));
    assert_eq!(allocation.gpus, Some(2.0));
    assert_eq!(allocation.memory_bytes, Some(1024.0 * MIB));
}

#[test]
fn jobs_that_never_ran_are_counted_and_those_that_run_have_no_end() {
    let log = read(
        "JobID|State|Submit|Start|End|ElapsedRaw|NodeList\n\
         1|RUNNING|1000000000|1000000050|Unknown|500|n1\n\
         2|PENDING|1000000900|Unknown|Unknown|0|None assigned\n\
         3_[1-9%2]|PENDING|1000000100|1000005000|Unknown|0|None assigned\n\
         4|CANCELLED by 1000|1000000100|None|1000000700|0|None assigned\n\
         5|CANCELLED by 1000|1000000100|1000000200|1000000300|100|n2\n\
         6|FAILED|1000000100|1000000400|1000000400|0|n2\n",
    );
    assert_eq!(ids(&log), [("1", 0), ("5", 0), ("6", 0)]);
    assert_eq!(log.runs[0].end_ms, None);
    assert_eq!(log.runs[1].state, "CANCELLED");
    assert_eq!(log.skipped.never_started, 3);
    assert_eq!(log.skipped.zero_length, 1);
    // From the first start to the submission of job 2, the last thing that the log knows of.
    assert_eq!(log.covered, Some(Window::new(1_000_000_050_000, 1_000_000_900_000)));
}

#[test]
fn a_running_job_tells_when_the_log_was_written() {
    let log = read("JobID|Start|End|Elapsed|NodeList\n1|1000000050|Unknown|1-00:00:10|n1\n");
    assert_eq!(log.covered, Some(Window::new(1_000_000_050_000, 1_000_086_460_000)));
}

#[test]
fn a_requeued_job_is_two_runs_of_one_id_and_each_has_its_steps() {
    let log = read(
        "JobID|State|Start|End|NodeList|ConsumedEnergyRaw\n\
         27|COMPLETED|1000000200|1000000300|n3|\n\
         27.batch|COMPLETED|1000000200|1000000300|n3|700\n\
         27|REQUEUED|1000000000|1000000100|n2|\n\
         27.batch|CANCELLED|1000000000|1000000100|n2|500\n",
    );
    assert_eq!(ids(&log), [("27", 0), ("27", 1)]);
    assert_eq!(log.runs[0].recorded_energy_j, Some(500.0));
    assert_eq!(log.runs[1].recorded_energy_j, Some(700.0));
    assert_eq!((nodes(&log.runs[0]), nodes(&log.runs[1])), (vec!["n2"], vec!["n3"]));
}

#[test]
fn logs_of_two_days_put_together() {
    let header = "JobID|State|Start|End|NodeList\n";
    let text = format!(
        "{header}1|COMPLETED|1000000000|1000000100|n1\n2|RUNNING|1000000000|Unknown|n1\n\n\
         {header}2|COMPLETED|1000000000|1000000900|n1\n1|COMPLETED|1000000000|1000000100|n1\n"
    );
    let log = read(&text);
    assert_eq!(ids(&log), [("1", 0), ("2", 0)]);
    assert_eq!(log.runs[1].end_ms, Some(1_000_000_900_000));
    assert_eq!((log.skipped.duplicates, log.skipped.superseded), (1, 1));
    assert_eq!(log.rejected, []);
}

#[test]
fn ids_of_two_clusters_do_not_meet() {
    let log = read(
        "Cluster|JobID|Start|End|NodeList|ConsumedEnergyRaw\n\
         a|1|1000000000|1000000100|n1|\nb|1|1000000000|1000000200|m1|\na|1.0|1000000000|1000000100|n1|9\n",
    );
    assert_eq!(ids(&log), [("1", 0), ("1", 1)]);
    assert_eq!((log.runs[0].recorded_energy_j, log.runs[1].recorded_energy_j), (Some(9.0), None));
    assert!(log.notes.iter().any(|note| note.contains("`a`, `b`")), "{:?}", log.notes);
}

#[test]
fn a_broken_line_costs_that_line() {
    let log = read(
        "JobID|State|Start|End|NodeList|AllocTRES\n\
         1|COMPLETED|1000000000|1000000100|n1|cpu=1\n\
         2|COMPLETED|1000000100|1000000000|n1|cpu=1\n\
         3|COMPLETED|yesterday|1000000100|n1|cpu=1\n\
         4|COMPLETED|1000000000\n\
         x|COMPLETED|1000000000|1000000100|n1|cpu=1\n\
         6|COMPLETED|1000000000|1000000100|n[1-|cpu=1\n\
         7|COMPLETED|1000000000|1000000100|None assigned|cpu=1\n\
         8|COMPLETED|1000000000|1000000100|n1|cpu=many\n\
         9|COMPLETED|1000000000|1000000100|n1|cpu=1|\n\
         10|COMPLETED|1000000000|1000000100|n2|cpu=1\n",
    );
    assert_eq!(ids(&log), [("1", 0), ("10", 0)]);
    let lines: Vec<u64> = lines_of(&log);
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(log.rejected_total, 8);
    let reason = |at: usize| &log.rejected[at].reason;
    assert!(matches!(reason(0), RejectReason::EndBeforeStart { .. }));
    assert!(matches!(reason(1), RejectReason::BadTime { column: "Start", .. }));
    assert!(matches!(reason(2), RejectReason::TooFewFields { found: 3, expected: 6 }));
    assert!(matches!(reason(3), RejectReason::BadJobId { .. }));
    assert!(matches!(reason(4), RejectReason::BadHostList { .. }));
    assert!(matches!(reason(5), RejectReason::NoNodes));
    assert!(matches!(reason(6), RejectReason::BadResource { column: "AllocTRES", .. }));
    assert!(matches!(reason(7), RejectReason::TooManyFields { found: 7, expected: 6 }));
    assert_eq!(
        log.rejected[0].to_string(),
        "`log` line 3: ends at `1000000000`, before it starts at `1000000100`"
    );
}

#[test]
fn names_with_separators_and_bytes_that_are_no_text() {
    let log = read(
        b"JobID|JobName|Comment|Start|End|NodeList\n\
          1|a|b||c|x stage=training|1000000000|1000000100|n1\n\
          2|\xff\xfe|stage=inference|1000000000|1000000100|n1\n",
    );
    assert_eq!(log.rejected, []);
    assert_eq!(log.runs[0].stage, "training");
    assert_eq!(log.runs[0].name, "a|b||c");
    assert_eq!((log.runs[1].name.as_str(), log.runs[1].stage.as_str()), ("\u{fffd}\u{fffd}", "inference"));
    assert!(log.notes.iter().any(|note| note.contains("separators inside a text: 1")), "{:?}", log.notes);
}

#[test]
fn line_endings_and_byte_order_marks_do_not_matter() {
    let text = "JobID|Start|End|NodeList\n7|1795440647|1795440673|n1\n";
    let plain = read(text);
    assert_eq!(read(text.replace('\n', "\r\n")).runs, plain.runs);
    assert_eq!(read(format!("\u{feff}{text}")).runs, plain.runs);
    assert_eq!(read(text.trim_end()).runs, plain.runs);
    assert_eq!(read(format!("\n\n{text}")).runs, plain.runs);
}

#[test]
fn the_order_of_the_rows_does_not_matter() {
    let rows = "27|REQUEUED|1000000000|1000000100|n2|\n27.batch|CANCELLED|1000000000|1000000100|n2|500\n\
                3|COMPLETED|1000000000|1000000100|n2|\n27|COMPLETED|1000000200|1000000300|n3|\n\
                27.0|COMPLETED|1000000210|1000000300|n3|700\n";
    let header = "JobID|State|Start|End|NodeList|ConsumedEnergyRaw\n";
    let mut reversed: Vec<&str> = rows.lines().collect();
    reversed.reverse();
    assert_eq!(read(format!("{header}{rows}")).runs, read(format!("{header}{}", reversed.join("\n"))).runs);
}

#[test]
fn what_is_no_job_log_is_refused_with_a_way_out() {
    let message = |text: &[u8]| {
        let error = try_read(text, Tz::UTC).unwrap_err();
        let hint = error.hint().unwrap();
        assert!(hint.contains("sacct --allusers --duplicates --parsable2"), "{hint}");
        error.to_string()
    };
    assert_eq!(message(b""), "job log `log` is empty");
    assert_eq!(message(b"\n \n\r\n"), "job log `log` is empty");
    assert!(message(b"{\"data\": []}").contains("JSON"));
    assert!(message(b"JobID   JobName  Start End NodeList\n").contains("fixed width"));
    assert!(message(b"7|fit|2026-11-23T13:30:47|2026-11-23T13:31:13|n1\n").contains("without its header"));
    assert!(message(b"\x00\x01\x02\xff\xfe\n\x00\x00").contains("its first line is"));
    assert_eq!(message(b"JobID|User|End\n1|a|b\n"), "job log `log` has no column `Start`, `NodeList`");
    let error = jobs::read(Path::new("no such file"), &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot open job log `no such file`");
}

#[test]
fn a_header_alone_is_a_log_without_jobs() {
    let log = read("JobID|Start|End|NodeList\n");
    assert_eq!((log.runs.len(), log.rejected_total, log.covered), (0, 0, None));
}

/// A list as a real cluster of 800 nodes printed it; the counts are those of its ranges.
#[test]
fn a_host_list_with_holes() {
    let text = "o[0002-0006,0008-0011,0013-0183,0185-0261,0263-0399,0401-0499,0501-0647]";
    let hosts = hostlist::expand(text).unwrap();
    assert_eq!(hosts.len(), 5 + 4 + 171 + 77 + 137 + 99 + 147);
    assert_eq!((hosts[0].as_str(), hosts[639].as_str()), ("o0002", "o0647"));
}

// ---- CSV ------------------------------------------------------------------

#[test]
fn windows_marked_by_hand() {
    let log = read(
        "run_id,start,end,nodes,name,stage,country,cpus,memory,gpus,gpu_ids\n\
         bert-1,2024-05-18T10:00:00Z,2024-05-18T11:30:00Z,n1;n2,bert,training,FR,8,16G,4,0;1\n\
         bert-2,2024-05-18T12:00:00Z,,\"n[1-3]\",bert,inference,,,17179869184,,GPU-5a1;GPU-7c2\n\
         bert-3,1716026400,1716026460,\"n1,n2 n2\",\"a, \"\"b\"\"\",,,,,,\n",
    );
    assert_eq!(log.rejected, []);
    assert_eq!(log.inputs[0].format, LogFormat::RunsCsv);
    // 2024-05-18T10:00:00Z is 1716026400.
    let [first, third, second] = &log.runs[..] else { panic!("{log:?}") };
    assert_eq!((first.start_ms, first.end_ms), (1_716_026_400_000, Some(1_716_031_800_000)));
    assert_eq!((first.zone.as_deref(), first.stage.as_str()), (Some("FR"), "training"));
    assert_eq!(nodes(first), ["n1", "n2"]);
    let allocation = &first.allocations[1];
    assert_eq!((allocation.cpus, allocation.gpus), (Some(4.0), Some(2.0)));
    assert_eq!(allocation.memory_bytes, Some(8.0 * 1024.0 * MIB));
    assert_eq!(allocation.gpu_ids, Some(vec!["0".to_owned(), "1".to_owned()]));

    assert_eq!((second.end_ms, second.zone.as_deref()), (None, None));
    assert_eq!(second.allocations.len(), 3);
    assert_eq!(second.allocations[0].gpus, Some(2.0), "two ids on each node");

    assert_eq!(third.name, "a, \"b\"");
    assert_eq!(nodes(third), ["n1", "n2"], "a node named twice is one node");
    assert_eq!(third.allocations[0].cpus, None);
}

#[test]
fn a_csv_by_another_spreadsheet_and_rows_that_repeat() {
    let log = read(
        "Run_ID;Start;End;Node;Colour\n\
         a;2024-05-18 10:00;2024-05-18 11:00;n1;red\n\
         a;2024-05-18 10:00;2024-05-18 11:00;n1;red\n\
         a;2024-05-18 10:00;2024-05-18 11:00;n2;red\n",
    );
    // Two nodes in two rows are both meant; a row that repeats another is not.
    assert_eq!(ids(&log), [("a", 0), ("a", 1)]);
    assert_eq!((log.skipped.duplicates, log.skipped.superseded), (1, 0));
    assert!(log.notes.iter().any(|note| note.contains("`Colour`")));
}

#[test]
fn broken_rows_of_a_csv() {
    let log = read(
        "run_id,start,end,nodes,cpus\n\
         a,2024-05-18T10:00:00Z,2024-05-18T11:00:00Z,n1,1\n\
         ,2024-05-18T10:00:00Z,2024-05-18T11:00:00Z,n1,1\n\
         b,,2024-05-18T11:00:00Z,n1,1\n\
         c,2024-05-18T10:00:00Z,2024-05-18T09:00:00Z,n1,1\n\
         d,2024-05-18T10:00:00Z,2024-05-18T11:00:00Z,,1\n\
         e,2024-05-18T10:00:00Z,2024-05-18T11:00:00Z,n1,-1\n\
         f,2024-05-18T10:00:00Z,2024-05-18T11:00:00Z,n1,n2,1\n\
         g,\"2024-05-18T10:00:00Z,2024-05-18T11:00:00Z,n1,1\n\
         h,2024-05-18T10:00:00Z,2024-05-18T11:00:00Z,n1,1\n",
    );
    assert_eq!(ids(&log), [("a", 0), ("h", 0)]);
    let lines: Vec<u64> = lines_of(&log);
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9]);
    let missing = |at: usize| match &log.rejected[at].reason {
        RejectReason::MissingField { column } => *column,
        other => panic!("{other}"),
    };
    assert_eq!((missing(0), missing(1), missing(3)), ("run_id", "start", "nodes"));
    assert!(matches!(log.rejected[4].reason, RejectReason::BadNumber { column: "cpus", .. }));
    assert!(matches!(log.rejected[5].reason, RejectReason::TooManyFields { .. }));
    assert!(matches!(log.rejected[6].reason, RejectReason::TooFewFields { found: 2, expected: 5 }));
}

#[test]
fn a_csv_without_a_column_it_needs() {
    let error = try_read("run_id,start,nodes\n", Tz::UTC).unwrap_err();
    assert_eq!(error.to_string(), "job log `log` has no column `end`");
    assert!(error.hint().unwrap().contains("run_id,start,end,nodes"));
}

// ---- properties -----------------------------------------------------------

proptest! {
    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), headed in any::<bool>()) {
        let mut text = if headed { b"JobID|JobName|Start|End|NodeList|AllocTRES\n".to_vec() } else { Vec::new() };
        text.extend_from_slice(&bytes);
        if let Ok(log) = try_read(&text, chrono_tz::Europe::Berlin) {
            prop_assert!(log.runs.iter().all(|run| run.end_ms.is_none_or(|end_ms| end_ms >= run.start_ms)));
        }
    }

    #[test]
    fn every_row_is_a_run_or_counted(
        rows in prop::collection::vec(
            ("[0-9]{1,2}(_[0-9])?(\\.batch|\\.0)?|x", "[A|]{0,3}", 0_i64..5, 0_i64..6, "n[0-9]|n\\[1-3\\]|None assigned|n\\["),
            0..40,
        ),
    ) {
        let mut text = "JobID|JobName|State|Start|End|NodeList\n".to_owned();
        for (id, name, start, end, list) in &rows {
            let at = |step: i64| if step == 5 { "Unknown".to_owned() } else { (1_000_000_000 + step).to_string() };
            text.push_str(&format!("{id}|{name}|COMPLETED|{}|{}|{list}\n", at(*start), at(*end)));
        }
        let log = read(&text);
        prop_assert_eq!(rows_accounted_for(&log), rows.len() as u64);
        let mut keys = ids(&log);
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(keys.len(), log.runs.len(), "id and restart name a run");
        for run in &log.runs {
            let covered = log.covered.unwrap();
            prop_assert!(covered.start_ms <= run.start_ms && run.end_ms.unwrap_or(run.start_ms) <= covered.end_ms);
        }
    }
}

// ---- the project's own recording ------------------------------------------

fn fixture(name: &str) -> JobLog {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/slurm_prometheus").join(name);
    jobs::read(&path, &Options::default()).unwrap()
}

/// The figures are those of the recording's README, added up from its table.
#[test]
fn the_recording() {
    let log = fixture("sacct.txt");
    assert_eq!(log.rejected, []);
    assert_eq!((log.skipped.steps, log.skipped.orphan_steps, log.skipped.never_started), (15, 0, 1));
    assert_eq!(
        ids(&log),
        [
            ("1", 0),
            ("2", 0),
            ("3", 0),
            ("4", 0),
            ("5", 0),
            ("7", 0),
            ("8_0", 0),
            ("9", 0),
            ("8_1", 0),
            ("8_2", 0),
            ("12", 0),
            ("13", 0),
            ("14", 0),
            ("3", 1)
        ]
    );
    assert_eq!(run_seconds(&log), 50 + 40 + 9 + 24 + 12 + 20 + 3 + 5 + 8 + 8 + 7 + 15 + 20);
    // 23:06:23Z; job 14 began at 23:08:28Z and had run for 122 s when the log was written.
    assert_eq!(log.covered, Some(Window::new(1_795_475_183_000, (1_795_475_308 + 122) * 1000)));
    let run = |id: &str| log.runs.iter().find(|run| run.run_id == id).unwrap();
    assert_eq!(
        (run("1").stage.as_str(), run("2").stage.as_str(), run("7").stage.as_str()),
        ("training", "inference", "")
    );
    assert_eq!(run("5").name, "sweep|lr=0.1");
    assert_eq!((run("4").state.as_str(), run("9").state.as_str()), ("CANCELLED", "FAILED"));
    assert_eq!(nodes(run("12")), ["n001", "n002"]);
    assert_eq!(run("12").allocations[1].cpus, Some(1.0));
    assert_eq!(run("12").allocations[1].memory_bytes, Some(100.0 * MIB));
    assert_eq!(run("14").end_ms, None);

    let full = fixture("sacct_all.txt");
    assert_eq!(full.rejected, []);
    // The choice lacks `JobIDRaw`: Slurm gave the array's tasks the numbers 10, 11 and 8.
    let raw = |id: &str| full.runs.iter().find(|run| run.run_id == id).unwrap().job_id.clone();
    assert_eq!(["7", "8_0", "8_1", "8_2"].map(raw), ["7", "10", "11", "8"]);
    let without_raw: Vec<Run> =
        full.runs.iter().map(|run| Run { job_id: String::new(), ..run.clone() }).collect();
    assert_eq!(without_raw, log.runs, "every field or a choice of them");
}

#[test]
fn the_recording_by_hand() {
    let (by_hand, log) = (fixture("runs.csv"), fixture("sacct.txt"));
    assert_eq!(by_hand.inputs[0].format, LogFormat::RunsCsv);
    assert!(!by_hand.zone_assumed);
    for (marked, job) in by_hand.runs.iter().zip(["2", "1"]) {
        let job = log.runs.iter().find(|run| run.run_id == job).unwrap();
        assert_eq!((marked.start_ms, marked.end_ms), (job.start_ms, job.end_ms));
        assert_eq!((&marked.name, &marked.stage), (&job.name, &job.stage));
        assert_eq!(marked.allocations, job.allocations);
    }
    assert_eq!(by_hand.runs.len(), 2);
}

// ---- real logs, where they are at hand -------------------------------------

fn read_real(name: &str) -> Option<JobLog> {
    real(name).map(|path| jobs::read(&path, &Options::default()).unwrap())
}

/// Counts worked out with awk and Python from the same files: jobs are the
/// rows without a dot in their id, those with `None assigned` never ran.
#[test]
fn a_real_slurm_in_all_its_shapes() {
    // (file, rows, steps, runs, still running, run seconds, log's end)
    let files = [
        ("slurm/sacct_P_common.psv", 87, 46, 38, 1, 1247, 1_795_441_850),
        ("slurm/sacct_P_dup_ALL_final.psv", 87, 46, 38, 0, 1720, 1_795_442_175),
        ("slurm/sacct_P_X_ALL.psv", 40, 0, 37, 1, 1242, 1_795_441_849),
        ("slurm/sacct_epoch.psv", 41, 0, 38, 1, 1247, 1_795_441_850),
        ("slurm/sacct_p_trailingpipe.psv", 87, 46, 38, 1, 1247, 1_795_441_850),
    ];
    for (file, rows, steps, runs, running, seconds, end_s) in files {
        let Some(log) = read_real(file) else { continue };
        assert_eq!(log.rejected, [], "{file}");
        assert_eq!(rows_accounted_for(&log), rows, "{file}");
        assert_eq!((log.skipped.steps, log.skipped.orphan_steps), (steps, 0), "{file}");
        assert_eq!((log.runs.len(), log.skipped.never_started), (runs, 3), "{file}");
        assert_eq!(log.skipped.zero_length, 9, "{file}");
        assert_eq!(log.runs.iter().filter(|run| run.end_ms.is_none()).count(), running, "{file}");
        assert_eq!(run_seconds(&log), seconds, "{file}");
        assert_eq!(log.covered, Some(Window::new(1_795_440_647_000, end_s * 1000)), "{file}");
        assert!(log.runs.iter().all(|run| run.recorded_energy_j.is_none()), "{file}: no energy plugin ran");
        let odd = log.runs.iter().find(|run| run.run_id == "2").unwrap();
        assert_eq!(odd.name, "we|ird, `name` é", "{file}");
    }
}

/// What Slurm itself says: the rows of `sacct -X` by state, counted with Python, without the three that never had a node
/// (`CANCELLED by 0` names who did it).
#[test]
fn states_of_a_real_slurm() {
    let Some(log) = read_real("slurm/sacct_P_X_ALL.psv") else { return };
    let census = jobs::census::census(&log);
    let states: Vec<(&str, u64)> =
        census.states.iter().map(|(state, count)| (state.as_str(), *count)).collect();
    let of_slurm = [
        ("CANCELLED", 2),
        ("COMPLETED", 28),
        ("FAILED", 3),
        ("NODE_FAIL", 1),
        ("RUNNING", 1),
        ("TIMEOUT", 2),
    ];
    assert_eq!(states, of_slurm);
}

#[test]
fn allocations_of_a_real_slurm() {
    let Some(log) = read_real("slurm/sacct_P_dup_ALL_final.psv") else { return };
    let on = |node: &str| log.runs.iter().filter(|run| nodes(run).contains(&node)).count();
    assert_eq!([on("vm"), on("n001"), on("n002"), on("n003")], [10, 13, 11, 7]);
    let total = |of: fn(&jobs::Allocation) -> Option<f64>| -> f64 {
        log.runs.iter().flat_map(|run| &run.allocations).filter_map(of).sum()
    };
    // AllocCPUS, `mem=` and AllocCPUS × ElapsedRaw of the 38 rows, added up with Python.
    assert_eq!(total(|allocation| allocation.cpus), 46.0);
    assert_eq!(total(|allocation| allocation.memory_bytes), 3160.0 * MIB);
    let cpu_seconds: f64 = log
        .runs
        .iter()
        .map(|run| {
            let seconds = (run.end_ms.unwrap() - run.start_ms) as f64 / 1000.0;
            run.allocations.iter().filter_map(|allocation| allocation.cpus).sum::<f64>() * seconds
        })
        .sum();
    assert_eq!(cpu_seconds, 1856.0);
    assert!(ids(&log).contains(&("27", 0)) && ids(&log).contains(&("27", 1)));
    let requeued: Vec<_> =
        log.runs.iter().filter(|run| run.run_id == "27").map(|run| (&run.state[..], nodes(run))).collect();
    assert_eq!(requeued, [("REQUEUED", vec!["n002"]), ("COMPLETED", vec!["n003"])]);
    assert!(ids(&log).contains(&("28+1", 0)) && ids(&log).contains(&("22_4", 0)));
}

#[test]
fn real_logs_that_cannot_be_used_say_why() {
    for (file, words) in [
        ("slurm/sacct_tz.psv", "`NodeList`"),
        ("slurm/sacct_fixedwidth.txt", "fixed width"),
        ("slurm/sacct_v0.0.38.yaml", "its first line is"),
        ("joblogs/apel/test_slurm.lines.txt", "without its header"),
        ("joblogs/ood_core/slurm/non_utf8_job_name.txt", "`Start`, `End`"),
    ] {
        let Some(path) = real(file) else { continue };
        let error = jobs::read(&path, &Options::default()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// A task of an array as Slurm 25.11 prints it, written after its `data_parser/v0.0.44`: times and counts are plain, what
/// may be unset is an object, states are a list.
#[test]
fn sacct_json_of_the_newest_slurm() {
    let text = r#"{"jobs": [{
        "account": "climate", "comment": {"administrator": "", "job": "stage=training", "system": ""},
        "allocation_nodes": 2, "array": {"job_id": 700, "limits": {"max": {"running": {"tasks": 0}}},
            "task_id": {"set": true, "infinite": false, "number": 3}, "task": ""},
        "association": {"account": "climate", "cluster": "lab", "partition": "", "user": "alice", "id": 5},
        "cluster": "lab", "het": {"job_id": 0, "job_offset": {"set": false, "infinite": false, "number": 0}},
        "job_id": 703, "name": "sweep", "nodes": "gpu[01-02]", "partition": "gpu", "restart_cnt": 0, "segment_size": 0,
        "required": {"CPUs": 16, "memory_per_cpu": {"set": false, "infinite": false, "number": 0},
            "memory_per_node": {"set": true, "infinite": false, "number": 65536}},
        "state": {"current": ["COMPLETED"], "reason": "None"}, "steps": [],
        "time": {"elapsed": 3600, "eligible": 1780271900, "end": 1780275600, "start": 1780272000, "submission": 1780271900,
            "suspended": 0, "planned": {"set": true, "infinite": false, "number": 100}},
        "tres": {"allocated": [{"type": "cpu", "name": "", "id": 1, "count": 16}, {"type": "mem", "name": "", "id": 2, "count": 131072},
            {"type": "node", "name": "", "id": 4, "count": 2}, {"type": "gres", "name": "gpu", "id": 1001, "count": 8},
            {"type": "gres", "name": "gpu:h100", "id": 1002, "count": 8}], "requested": []},
        "user": "alice"}],
        "meta": {"plugin": {"type": "", "data_parser": "data_parser/v0.0.44"}, "slurm": {"release": "25.11.1"}},
        "errors": [], "warnings": []}"#;
    let log = jobs::read_from(text.as_bytes(), Path::new("log"), &Options::default()).unwrap();
    assert_eq!((log.runs.len(), log.rejected_total), (1, 0));
    let run = &log.runs[0];
    assert_eq!((run.run_id.as_str(), run.job_id.as_str(), run.stage.as_str()), ("700_3", "703", "training"));
    assert_eq!((run.start_ms, run.end_ms), (1_780_272_000_000, Some(1_780_275_600_000)));
    let second = &run.allocations[1];
    assert_eq!((second.node.as_str(), second.cpus, second.gpus), ("gpu02", Some(8.0), Some(4.0)));
    assert_eq!(second.memory_bytes, Some(65_536.0 * MIB));
}

/// A job that was requeued after it was seen running had ended when it began again.
#[test]
fn what_was_running_ended_before_its_id_began_again() {
    let log = read(
        "JobID|State|Start|End|NodeList|AllocCPUS\n\
         100|RUNNING|2024-06-03T00:00:00|Unknown|n1|4\n\
         100|COMPLETED|2024-06-04T00:00:00|2024-06-04T01:00:00|n1|4\n\
         101|RUNNING|2024-06-04T00:00:00|Unknown|n1|4\n",
    );
    let ends: Vec<(&str, u32, Option<i64>)> =
        log.runs.iter().map(|run| (run.run_id.as_str(), run.restart, run.end_ms)).collect();
    let midnight = 1_717_459_200_000;
    assert_eq!(ends, [("100", 0, Some(midnight)), ("100", 1, Some(midnight + 3_600_000)), ("101", 0, None)]);
}

/// Logs with and without the cluster's name tell of the same jobs, if there is one cluster.
#[test]
fn a_log_without_the_clusters_name_is_of_the_only_one() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let with = "Cluster|JobID|State|Start|End|NodeList|AllocCPUS\n\
                alpha|100|COMPLETED|2024-06-03T00:00:00|2024-06-03T01:00:00|n1|4\n";
    let without = "JobID|State|Start|End|NodeList|AllocCPUS\n\
                   100|COMPLETED|2024-06-03T00:00:00|2024-06-03T01:00:00|n1|4\n";
    let two = "Cluster|JobID|State|Start|End|NodeList|AllocCPUS\n\
               beta|100|COMPLETED|2024-06-03T00:00:00|2024-06-03T01:00:00|n2|4\n";
    let (with, without, two) = (write("with", with), write("without", without), write("two", two));
    let runs = |logs: &[&std::path::PathBuf]| {
        let logs: Vec<std::path::PathBuf> = logs.iter().map(|path| (*path).clone()).collect();
        jobs::read_all(&logs, &Options::default()).unwrap().runs.len()
    };
    assert_eq!(runs(&[&with, &without]), 1);
    // Of two clusters nobody can tell which.
    assert_eq!(runs(&[&with, &two, &without]), 3);
}
