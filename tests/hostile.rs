//! Damaged, missing and wrong input: the exit status, one line that says what is
//! wrong and where, and everything sound still reported.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod support;

use std::path::Path;

use insta::assert_snapshot;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::{Bench, Ended, assert_close, fixture, number, only, total};

/// The block in the middle of the fixture's three.
const BLOCK: &str = "01M85AQ2ST22878VYXT338BRC3";
/// Slurm's three nodes of two CPUs each are one host.
const CONFIG: &str =
    "[nodes.alias]\n\"n00[1-3]\" = \"vm\"\n\n[[hardware]]\nnodes = \"vm\"\ncpus = 6\ncpu_tdp_w = 100\n";

/// A report of `snapshot` in the bench with the fixture's job log.
fn report(bench: &Bench, more: &[&str]) -> Ended {
    bench.write("site.toml", CONFIG);
    let jobs = fixture("sacct.txt");
    let mut arguments = vec!["report", "--snapshot", "snapshot", "--config", "site.toml", "--no-charts"];
    arguments.extend(["--out", "out", "--jobs", jobs.to_str().unwrap()]);
    arguments.extend(more);
    bench.run(&arguments)
}

/// What the summary on stderr says was left out.
fn left_out(ended: &Ended) -> String {
    let lines = ended.stderr.lines().filter_map(|line| line.strip_prefix("  left out   "));
    lines.collect::<Vec<_>>().join("\n")
}

/// The books close, what is sound stands in the tables, and the summary names what is not.
fn check_sound(bench: &Bench, ended: &Ended) {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    let summary = bench.json("out/summary.json");
    assert_eq!(summary["balances"]["closes"], true);
    assert_eq!(bench.table("out/runs.csv").len(), 14);
    let said: Vec<&str> =
        summary["left_out"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(!said.is_empty());
    for line in left_out(ended).lines().filter(|line| !line.starts_with('…')) {
        assert!(said.contains(&line), "{line}");
    }
    let rows = bench.table("out/hourly.csv");
    let (energy, whole) = (total(&rows, "energy_j"), summary["energy_j"].as_f64().unwrap());
    assert!((energy - whole).abs() < 1e-6 && energy > 0.0, "{energy} and {whole}");
}

/// Inverts the byte at `at`.
fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0xff;
    std::fs::write(path, bytes).unwrap();
}

/// The report of the undamaged snapshot.
fn sound() -> Bench {
    let bench = Bench::new();
    bench.copy_snapshot();
    assert_eq!(report(&bench, &["--strict"]).code, 0);
    bench
}

#[test]
fn a_truncated_index_costs_its_block() {
    let bench = Bench::new();
    let index = bench.copy_snapshot().join(BLOCK).join("index");
    let whole = std::fs::read(&index).unwrap();
    std::fs::write(&index, &whole[..whole.len() / 2]).unwrap();
    let ended = report(&bench, &[]);
    check_sound(&bench, &ended);
    let said = left_out(&ended);
    assert!(said.contains(BLOCK) && said.contains("index") && said.contains("at byte"), "{said}");
    // Job 14 began after the block and is as it was; job 13 lies across its end.
    let (before, after) = (sound().table("out/runs.csv"), bench.table("out/runs.csv"));
    let energy = |rows: &[support::Row], id: &str| number(only(rows, "run_id", id), "energy_kwh");
    assert_close(energy(&before, "14"), energy(&after, "14"), 1e-12);
    assert_eq!(report(&bench, &["--strict"]).code, 3);
}

#[test]
fn an_index_of_four_bytes_costs_its_block() {
    let bench = Bench::new();
    let index = bench.copy_snapshot().join(BLOCK).join("index");
    std::fs::write(&index, [0xba, 0xaa, 0xd7, 0x00]).unwrap();
    let ended = report(&bench, &[]);
    check_sound(&bench, &ended);
    assert_snapshot!(left_out(&ended), @"01M85AQ2ST22878VYXT338BRC3: `snapshot/01M85AQ2ST22878VYXT338BRC3/index` is corrupt at byte 4: cut off inside a number");
}

#[test]
fn a_flipped_byte_in_a_chunk_costs_the_chunk() {
    let bench = Bench::new();
    let segment = bench.copy_snapshot().join(BLOCK).join("chunks/000001");
    flip(&segment, 500);
    let ended = report(&bench, &[]);
    check_sound(&bench, &ended);
    assert_snapshot!(left_out(&ended), @r#"`snapshot/01M85AQ2ST22878VYXT338BRC3/chunks/000001` at byte 381: the checksum of the chunk does not match, series `node_cpu_seconds_total{cpu="0", instance="127.0.0.1:29100", job="node", mode="system"}`"#);
    assert_eq!(report(&bench, &["--strict"]).code, 3);
}

#[test]
fn a_flipped_byte_in_the_table_of_contents_costs_the_block() {
    let bench = Bench::new();
    let index = bench.copy_snapshot().join(BLOCK).join("index");
    flip(&index, std::fs::read(&index).unwrap().len() - 20);
    let ended = report(&bench, &[]);
    check_sound(&bench, &ended);
    assert!(left_out(&ended).contains("the checksum of the table of contents does not match"));
}

#[test]
fn a_missing_segment_costs_its_chunks() {
    let bench = Bench::new();
    std::fs::remove_file(bench.copy_snapshot().join(BLOCK).join("chunks/000001")).unwrap();
    let ended = report(&bench, &[]);
    check_sound(&bench, &ended);
    let said = left_out(&ended);
    assert!(said.lines().next().unwrap().contains("000001` at byte"), "{said}");
    assert!(said.contains("the segment file is missing, series `up{"), "{said}");
    // Five lines are enough on a terminal; the summary has them all.
    assert!(said.ends_with("more in summary.json"), "{said}");
    assert_eq!(said.lines().count(), 6);
}

#[test]
fn a_broken_description_costs_its_block() {
    let bench = Bench::new();
    std::fs::write(bench.copy_snapshot().join(BLOCK).join("meta.json"), "{\n").unwrap();
    let ended = report(&bench, &[]);
    check_sound(&bench, &ended);
    assert_snapshot!(left_out(&ended), @"01M85AQ2ST22878VYXT338BRC3: `snapshot/01M85AQ2ST22878VYXT338BRC3/meta.json` is corrupt at byte 2: EOF while parsing an object at line 2 column 0");
    let summary = bench.json("out/summary.json");
    assert!(summary["left_out"][0].as_str().unwrap().starts_with(BLOCK));
}

#[test]
fn a_snapshot_without_one_good_block_is_an_error_not_an_empty_report() {
    let bench = Bench::new();
    let snapshot = bench.copy_snapshot();
    for block in std::fs::read_dir(&snapshot).unwrap() {
        std::fs::write(block.unwrap().path().join("meta.json"), "{\n").unwrap();
    }
    let ended = report(&bench, &[]);
    assert_eq!(ended.code, 1);
    assert_snapshot!(ended.stderr, @"error: cannot open the snapshot: `snapshot` holds nothing that can be read: `snapshot/01M85APS1BDYQDFY6F660KKPJT/meta.json` is corrupt at byte 2: EOF while parsing an object at line 2 column 0, and 2 more");
    assert!(!bench.path("out").exists());
}

#[test]
fn what_is_no_snapshot() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("empty")).unwrap();
    bench.write("file", "");
    let of = |name: &str| {
        let ended = bench.run(&["report", "--snapshot", name]);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
        assert_eq!(bench.run(&["inspect", "--snapshot", name]).stderr, ended.stderr);
        ended.stderr
    };
    assert_snapshot!(of("empty"), @r#"
    error: cannot open the snapshot: `empty` holds no Prometheus block
    hint: give a snapshot (`<data>/snapshots/<name>`), a data directory (with `wal/`), a folder of blocks, or one block: a directory that holds `meta.json`, `index` and `chunks/`
    "#);
    // As Mimir keeps them: a directory for each tenant.
    let tenant = |name: &str| {
        std::fs::create_dir_all(bench.path(&format!("mimir/{name}/01DXXFZDYD1MQW6079WK0K6EDQ"))).unwrap();
    };
    tenant("site-b");
    assert_snapshot!(of("mimir"), @r#"
    error: cannot open the snapshot: `mimir` holds no Prometheus block itself, but `mimir/site-b` does
    hint: give `--snapshot mimir/site-b`
    "#);
    tenant("anonymous");
    assert_snapshot!(of("mimir"), @r#"
    error: cannot open the snapshot: `mimir` holds no Prometheus block itself, but `mimir/anonymous` and 1 more directory in it do
    hint: give one of them, as in `--snapshot mimir/anonymous`: each is a database of its own
    "#);
    assert_snapshot!(of("missing"), @r#"
    error: cannot open the snapshot: cannot list `missing`: No such file or directory (os error 2)
    hint: give a snapshot (`<data>/snapshots/<name>`), a data directory (with `wal/`), a folder of blocks, or one block: a directory that holds `meta.json`, `index` and `chunks/`
    "#);
    assert_snapshot!(of("file"), @r#"
    error: cannot open the snapshot: cannot list `file`: Not a directory (os error 20)
    hint: if it is a dump, an export or a saved answer, make blocks of it: `wattledger convert file --out blocks`, then `--snapshot blocks`
    "#);
    std::fs::create_dir(bench.path("dumps")).unwrap();
    bench.write("dumps/monday.txt", "");
    assert_snapshot!(of("dumps"), @r#"
    error: cannot open the snapshot: `dumps` holds no Prometheus block
    hint: give a snapshot (`<data>/snapshots/<name>`), a data directory (with `wal/`) or a folder of blocks; saved answers and dumps are made into blocks with `wattledger convert dumps --out blocks`
    "#);
}

#[test]
fn job_logs_that_cannot_be_read_at_all() {
    let bench = sound();
    bench.write("empty.txt", "");
    bench.write("letter.txt", "Dear Sir or Madam\n");
    let of = |name: &str| {
        let ended = bench.run(&["report", "--snapshot", "snapshot", "--jobs", name]);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
        // The export command is long; its beginning will do.
        let hint = ended.stderr.find(" --allusers").unwrap_or(ended.stderr.len());
        ended.stderr[..hint].to_owned()
    };
    assert_snapshot!(of("missing.txt"), @"error: cannot open job log `missing.txt`: No such file or directory (os error 2)");
    assert_snapshot!(of("empty.txt"), @r#"
    error: job log `empty.txt` is empty
    hint: export the jobs with `SLURM_TIME_FORMAT=%s sacct
    "#);
    assert_snapshot!(of("letter.txt"), @r#"
    error: `letter.txt` is not a job log that can be read: its first line is `Dear Sir or Madam`
    hint: export the jobs with `SLURM_TIME_FORMAT=%s sacct
    "#);
}

#[test]
fn broken_lines_of_a_job_log_cost_those_runs() {
    let bench = sound();
    let before = bench.table("out/runs.csv");
    let good = std::fs::read_to_string(fixture("sacct.txt")).unwrap();
    let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
    // Job 4 ends before it starts, job 5 loses its tail; their steps are left without a job.
    let at = |id: &str| lines.iter().position(|line| line.starts_with(&format!("{id}|"))).unwrap();
    let (fourth, fifth) = (at("4"), at("5"));
    lines[fourth] = lines[fourth].replace("2026-11-23T23:06:47", "2026-11-23T23:05:47");
    lines[fifth].truncate(20);
    bench.write("broken.txt", &(lines.join("\n") + "\n"));
    let arguments = ["report", "--snapshot", "snapshot", "--config", "site.toml", "--no-charts"];
    let ended = bench.run(&[&arguments[..], &["--jobs", "broken.txt", "--out", "broken"]].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    assert_snapshot!(left_out(&ended), @r#"
    `broken.txt` line 8: ends at `2026-11-23T23:05:47`, before it starts at `2026-11-23T23:06:23`
    `broken.txt` line 10: has 5 fields, the header has 18
    "#);
    let after = bench.table("broken/runs.csv");
    assert_eq!(after.len(), 12);
    // Runs at other times are as they were.
    for id in ["12", "13", "14"] {
        let energy = |rows| number(only(rows, "run_id", id), "energy_kwh");
        assert_close(energy(&after), energy(&before), 1e-12);
    }
    let summary = bench.json("broken/summary.json");
    assert_eq!(summary["job_log"]["rejected_lines"], 2);
    assert_eq!(summary["left_out"].as_array().unwrap().len(), 2);
    assert_eq!(summary["balances"]["closes"], true);
    let strict = [&arguments[..], &["--jobs", "broken.txt", "--out", "broken", "--strict"]].concat();
    assert_eq!(bench.run(&strict).code, 3);
    assert_eq!(bench.table("broken/runs.csv").len(), 12, "written all the same");
}

#[test]
fn a_job_log_without_a_job_says_so() {
    let bench = sound();
    let header = std::fs::read_to_string(fixture("sacct.txt")).unwrap();
    bench.write("none.txt", &format!("{}\n", header.lines().next().unwrap()));
    let ended = bench.run(&["report", "--snapshot", "snapshot", "--jobs", "none.txt", "--out", "none"]);
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("note       job log: no run in it\n"), "{}", ended.stderr);
    assert_eq!(bench.table("none/runs.csv").len(), 0);
}

/// Names that spreadsheets, terminals and chats would obey are words everywhere; nothing is lost of them on the way.
#[test]
fn names_that_are_more_than_names() {
    let bench = Bench::new();
    let names = [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\u{1b}]0;title\u{7}\u{1b}[31m",
        "模型`|<b>",
        "plain",
    ];
    let mut log = "run_id,start,end,nodes,cpus,user,name\n".to_owned();
    for (at, name) in names.iter().enumerate() {
        log += &format!(
            "{at},2026-11-16T0{at}:00:00Z,2026-11-16T0{}:00:00Z,n1,8,\"={at}\",\"{name}\"\n",
            at + 1
        );
    }
    bench.write("log.csv", &log);
    bench.write("site.toml", "[[hardware]]\ncpus = 8\ncpu_tdp_w = 100\n");
    let report = |jobs: &str, out: &str, more: &[&str]| {
        let arguments = ["report", "--jobs", jobs, "--config", "site.toml", "--no-charts", "--out", out];
        let ended = bench.run(&[&arguments[..], more].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stderr
    };
    let of = |out: &str| -> Vec<String> {
        bench.table(&format!("{out}/runs.csv")).into_iter().map(|row| row["name"].clone()).collect()
    };
    let said = report("log.csv", "out", &[]);
    let guarded: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(at, name)| if at < 4 { format!("'{name}") } else { (*name).to_owned() })
        .collect();
    assert_eq!(of("out"), guarded);
    assert_eq!(bench.table("out/by_user.csv")[0]["user"], "'=0");
    // What terminals obey is gone, in runs of the summary too, and what is long is cut.
    assert!(!said.contains(['\u{1b}', '\u{7}']), "{said:?}");
    assert!(said.contains("\u{fffd}]0;title\u{fffd}\u{fffd}[31m: "), "{said}");
    let message = std::fs::read_to_string(bench.path("out/report.md")).unwrap();
    assert!(message.contains("`模型'\\|<b>`"), "{message}");

    report("log.csv", "raw", &["--raw-csv"]);
    assert_eq!(of("raw"), names);
    // Either is a job log that gives the first report again.
    for out in ["out", "raw"] {
        report(&format!("{out}/runs.csv"), "again", &[]);
        assert_eq!(of("again"), guarded, "{out}");
    }
}

/// Flags and settings that cannot be: exit status 2, nothing on stdout, nothing written.
#[test]
fn wrong_usage() {
    let bench = Bench::new();
    bench.copy_snapshot();
    bench.write("file", "");
    bench.write("pue.toml", "[site]\npue = 0.5\n");
    bench.write("zone.toml", "[site]\nzone = \"Atlantis\"\n");
    let of = |more: &[&str]| {
        let ended = bench.run(&[&["report", "--snapshot", "snapshot"], more].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{more:?}: {}", ended.stderr);
        assert!(!bench.path("wattledger-report").exists());
        ended.stderr
    };
    assert_snapshot!(of(&["--zone", "Atlantis"]), @r#"
    error: cannot use the carbon intensity: `Atlantis` is not a known zone
    hint: a country's name or ISO code, or a zone of Electricity Maps such as `US-CAL-CISO`
    "#);
    assert_snapshot!(of(&["--zone", "Germny"]), @r#"
    error: cannot use the carbon intensity: `Germny` is not a known zone
    hint: did you mean `DE` (Germany)?
    "#);
    assert_snapshot!(of(&["--config", "zone.toml"]), @r#"
    error: cannot use the carbon intensity: `Atlantis` is not a known zone
    hint: a country's name or ISO code, or a zone of Electricity Maps such as `US-CAL-CISO`
    "#);
    assert_snapshot!(of(&["--from", "yesterday"]), @"error: --from: `yesterday` is not a time: expected `2024-05-01`, `2024-05-01T08:00:00` or `2024-05-01T08:00:00Z`");
    assert_snapshot!(of(&["--to", "2026-02-30"]), @"error: --to: `2026-02-30` is not a time: expected `2024-05-01`, `2024-05-01T08:00:00` or `2024-05-01T08:00:00Z`");
    assert_snapshot!(of(&["--from", "2026-11-23T23:09:00Z", "--to", "2026-11-23T23:08:00Z"]), @"error: --to: the end is not after the start");
    assert_snapshot!(of(&["--from", "2024-01-01", "--to", "2024-01-02"]), @r#"
    error: --from/--to: there is no data from 2024-01-01T00:00:00Z to 2024-01-02T00:00:00Z
    hint: the data covers 2026-11-23T23:05:49.183Z to 2026-11-23T23:10:30.274Z
    "#);
    assert_snapshot!(of(&["--from", "2027-01-01"]), @r#"
    error: --from: there is no data from 2027-01-01T00:00:00Z on
    hint: the data covers 2026-11-23T23:05:49.183Z to 2026-11-23T23:10:30.274Z
    "#);
    assert_snapshot!(of(&["--to", "2024-01-01"]), @r#"
    error: --to: there is no data before 2024-01-01T00:00:00Z
    hint: the data covers 2026-11-23T23:05:49.183Z to 2026-11-23T23:10:30.274Z
    "#);
    assert_snapshot!(of(&["--pue", "0.9"]), @"error: --pue: 0.9 is not between 1 and 10");
    assert_snapshot!(of(&["--pue", "NaN"]), @"error: --pue: NaN is not between 1 and 10");
    assert_snapshot!(of(&["--config", "pue.toml"]), @"error: site.pue: 0.5 is not between 1 and 10");
    assert_snapshot!(of(&["--power-model", "magic"]), @"error: --power-model: `magic` is not a power model: expected `tdp-curve`, `tdp-linear`, `idle-to-tdp`, `codecarbon-cubic`, `boavizta`, `ccf`, `green-algorithms`");
    assert_snapshot!(of(&["--jobs-tz", "Mars/Olympus"]), @r#"
    error: --jobs-tz: `Mars/Olympus` is not a time zone
    hint: an IANA name such as `Europe/Berlin` or `UTC`
    "#);
    assert_snapshot!(of(&["--basis", "green"]), @r#"
    error: cannot use the carbon intensity: `green` is not a basis
    hint: one word of each: `life-cycle` or `direct`, `average` or `marginal`, `production` or `consumption`
    "#);
    assert_snapshot!(of(&["--out", "file"]), @r#"
    error: --out: `file` exists and is not a directory
    hint: choose another directory
    "#);
    // What clap says itself.
    assert!(of(&["--snapshoot", "x"]).starts_with("error: unexpected argument '--snapshoot' found\n"));
    assert!(of(&["--edges", "sharp"]).contains("[possible values: power, linear]"));
    assert!(of(&["--pue", "many"]).starts_with("error: invalid value 'many' for '--pue <PUE>'"));
    let ended = bench.run(&["report"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("nothing is named to read") && ended.stderr.contains("`--snapshot`"));
    assert_eq!(bench.run(&["audit"]).code, 2);
    assert_eq!(bench.run(&[]).code, 2);
}

/// Files that cannot be used: exit status 1.
#[test]
fn configuration_and_intensity_files() {
    let bench = Bench::new();
    bench.copy_snapshot();
    bench.write("key.toml", "[site]\nzone = \"DE\"\npew = 1.2\n");
    bench.write("syntax.toml", "[site\nzone = \"DE\"\n");
    bench.write("type.toml", "[site]\n\npue = \"much\"\n");
    bench.write("alias.toml", "[nodes.alias]\n\"n(\" = \"vm\"\n");
    bench.write("letter.csv", "Dear Sir or Madam\n");
    bench.write("values.csv", "timestamp,gco2e_per_kwh\n2026-11-23T23:00:00Z,much\n");
    bench.write("place.csv", "timestamp,gco2e_per_kwh\n2026-11-23T23:00:00Z,400\n");
    let of = |more: &[&str]| {
        let ended = bench.run(&[&["report", "--snapshot", "snapshot"], more].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{more:?}: {}", ended.stderr);
        ended.stderr
    };
    assert_snapshot!(of(&["--config", "key.toml"]), @r#"
    error: `key.toml` is not a valid configuration: line 3: unknown field `pew`, expected one of `name`, `time_zone`, `zone`, `pue`, `pue_series`, `gpu_in_node_meter`, `intensity`, `intensity_preference`, `contracts`, `matching`, `purchases`, `basis`, `price_per_kwh`, `currency`
    hint: docs/configuration.md lists every key
    "#);
    assert_snapshot!(of(&["--config", "syntax.toml"]), @r#"
    error: `syntax.toml` is not a valid configuration: line 1: unclosed table, expected `]`
    hint: docs/configuration.md lists every key
    "#);
    assert_snapshot!(of(&["--config", "type.toml"]), @r#"
    error: `type.toml` is not a valid configuration: line 3: invalid type: string "much", expected f64
    hint: docs/configuration.md lists every key
    "#);
    assert_snapshot!(of(&["--config", "alias.toml"]), @"error: alias pattern `n(` is not a regular expression: unclosed group");
    assert_snapshot!(of(&["--config", "missing.toml"]), @"error: cannot read `missing.toml`: No such file or directory (os error 2)");
    let intensity = |name| of(&["--zone", "DE", "--intensity", name]);
    assert_snapshot!(intensity("letter.csv"), @r#"
    error: cannot use the carbon intensity: cannot tell the format of `letter.csv` from its header `Dear Sir or Madam`
    hint: expected `timestamp,gco2e_per_kwh` (and `zone` if there are several), or a file of Electricity Maps, the UK Carbon Intensity API, NESO, RTE, Energy-Charts, WattTime, Ember, Our World in Data, ENTSO-E, SMARD or EIA
    "#);
    assert_snapshot!(intensity("values.csv"), @"error: cannot use the carbon intensity: no line of `values.csv` can be used: 1 rejected, the first at line 2: intensity is not a number");
    assert_snapshot!(intensity("missing.csv"), @"error: cannot use the carbon intensity: cannot read intensities from `missing.csv`: No such file or directory (os error 2)");
    assert_snapshot!(of(&["--intensity", "place.csv"]), @r#"
    error: cannot use the carbon intensity: `place.csv` does not say of which zone its intensities are
    hint: add a column `zone`, a first line `# zone: DE`, or name the site's zone
    "#);
    // The file in the working directory is read without being named, and blamed by its name.
    std::fs::rename(bench.path("key.toml"), bench.path("wattledger.toml")).unwrap();
    assert!(of(&[]).starts_with("error: `wattledger.toml` is not a valid configuration: line 3: "));
}

#[test]
fn one_bad_line_of_an_intensity_file_costs_that_hour() {
    let bench = Bench::new();
    bench.copy_snapshot();
    bench.write(
        "hours.csv",
        "timestamp,gco2e_per_kwh\n2026-11-23T22:00:00Z,much\n2026-11-23T23:00:00Z,400\n2026-11-24T00:00:00Z,410\n",
    );
    let ended = report(&bench, &["--zone", "DE", "--intensity", "hours.csv"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_snapshot!(left_out(&ended), @"`hours.csv` line 2: intensity is not a number");
    assert!(ended.stderr.contains("priced   hourly 100.0 %"), "{}", ended.stderr);
    assert_eq!(report(&bench, &["--zone", "DE", "--intensity", "hours.csv", "--strict"]).code, 3);
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_that_cannot_be_written() {
    let bench = sound();
    // No user, root included, makes directories there.
    let ended = report(&bench, &[]);
    assert_eq!(ended.code, 0);
    let ended = bench.run(&["report", "--snapshot", "snapshot", "--out", "/proc/wattledger"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    let last: Vec<&str> = ended.stderr.lines().collect();
    assert_snapshot!(last.join("\n"), @r#"
    error: cannot make the report: cannot create `/proc/wattledger`: No such file or directory (os error 2)
    hint: choose another directory with `--out`
    "#);
}

/// Whatever bytes of a snapshot are damaged: no panic, the books close, and it is
/// an error or a report, never something between.
#[test]
fn flipped_bytes_anywhere() {
    let files: Vec<(std::path::PathBuf, usize)> = support::files(&fixture("snapshot"))
        .into_iter()
        .map(|(path, bytes)| (path, bytes.len()))
        .filter(|(_, length)| *length > 0)
        .collect();
    let damage = prop::collection::vec((0..files.len(), any::<prop::sample::Index>(), 1..=255_u8), 1..12);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&damage, |damage| {
            let bench = Bench::new();
            let snapshot = bench.copy_snapshot();
            for (file, at, mask) in damage {
                let (path, length) = &files[file];
                let path = snapshot.join(path);
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[at.index(*length)] ^= mask;
                std::fs::write(&path, bytes).unwrap();
            }
            // `run` itself fails at a panic.
            let ended = report(&bench, &[]);
            if ended.code == 0 {
                let summary = bench.json("out/summary.json");
                prop_assert_eq!(&summary["balances"]["closes"], true);
                let rows = bench.table("out/hourly.csv");
                let (energy, whole) = (total(&rows, "energy_j"), summary["energy_j"].as_f64().unwrap());
                prop_assert!((energy - whole).abs() <= 1e-9 * whole.max(1.0));
            } else {
                // A block that claims to reach into the year 2343 leaves it to the user to name the time.
                let must_name_the_time = ended.code == 2 && ended.stderr.contains("--from");
                prop_assert!(ended.code == 1 || must_name_the_time, "{}", ended.stderr);
                prop_assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
                prop_assert!(!bench.path("out").exists());
            }
            let ended = bench.run(&["inspect", "--snapshot", "snapshot"]);
            prop_assert!(ended.code == 0 || ended.stderr.starts_with("error: "), "{}", ended.stderr);
            Ok(())
        })
        .unwrap();
}
