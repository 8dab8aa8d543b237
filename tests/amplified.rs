//! Small inputs that would take much memory, time or trust, each named for what it did once.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

mod block_builder;
mod support;

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use block_builder::{TestBlock, chunk};
use flate2::Compression;
use flate2::write::GzEncoder;
use support::{Bench, Ended};

const A: &str = "01AAAAAAAAAAAAAAAAAAAAAAAA";
const GPU: [(&str, &str); 3] = [("Hostname", "n1"), ("__name__", "DCGM_FI_DEV_POWER_USAGE"), ("gpu", "0")];

/// Runs the program with a GiB of address space, for no more than a minute.
fn limited(bench: &Bench, words: &str) -> Ended {
    let mut limited = Command::new("bash");
    let line = format!("ulimit -v 1048576; exec timeout 60 {} {words}", env!("CARGO_BIN_EXE_wattledger"));
    limited.args(["-c", &line]).current_dir(bench.path("")).env("RAYON_NUM_THREADS", "1");
    let ended = Bench::end(&mut limited, &bench.path(""));
    assert!([0, 1, 3].contains(&ended.code), "{ended:?}");
    ended
}

fn packed(start: &[u8], unit: &[u8], mebibytes: usize) -> Vec<u8> {
    let pack = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut all = pack(start);
    // Members of a gzip file follow each other: the same one many times.
    all.extend(pack(&unit.repeat((1 << 20) / unit.len())).repeat(mebibytes));
    all
}

#[test]
fn a_chunk_that_a_series_names_many_times() {
    let bench = Bench::new();
    let samples: Vec<(i64, f64)> = (0..60_000).map(|nth| (1_700_000_000_000 + 1000 * nth, 1.0)).collect();
    let mut block =
        TestBlock::new(A, (1_700_000_000_000, 1_700_060_000_000)).series(&GPU, vec![chunk(&samples)]);
    block.repeats.0 = 20_000;
    block.write(&bench.path("snapshot"));
    let ended = limited(&bench, "report --snapshot snapshot --no-charts --out report");
    assert!(ended.stderr.contains("a chunk that does not lie behind the one before"), "{}", ended.stderr);
}

#[test]
fn a_list_of_series_that_is_named_many_times() {
    let bench = Bench::new();
    let mut block = TestBlock::new(A, (1_700_000_000_000, 1_700_000_060_000));
    for nth in 0..4096 {
        // Many series of few values: long lists in a short table.
        let values = [nth % 16, nth / 16 % 16, nth / 256].map(|value: usize| value.to_string());
        let labels = [
            GPU[0],
            GPU[1],
            ("a", values[0].as_str()),
            ("b", values[1].as_str()),
            ("gpu", values[2].as_str()),
        ];
        block = block.series(&labels, vec![chunk(&[(1_700_000_000_000, 1.0), (1_700_000_015_000, 1.0)])]);
    }
    block.series.sort_by(|one, other| one.0.cmp(&other.0));
    block.repeats.1 = 30_000;
    block.write(&bench.path("snapshot"));
    let ended = limited(&bench, "inspect --snapshot snapshot");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn series_that_lie_inside_each_other() {
    let bench = Bench::new();
    let samples = [(1_700_000_000_000, 1.0), (1_700_000_015_000, 1.0)];
    let other = [GPU[0], GPU[1], ("gpu", "1")];
    let mut block = TestBlock::new(A, (1_700_000_000_000, 1_700_000_015_001))
        .series(&GPU, vec![chunk(&samples)])
        .series(&other, vec![chunk(&samples)]);
    block.index_version = 1;
    block.write(&bench.path("apart"));
    let ended = limited(&bench, "inspect --snapshot apart");
    assert!(ended.code == 0 && !ended.stderr.contains("inside another"), "{}{}", ended.stdout, ended.stderr);
    // Of entries in entries each checksum goes over all that follow: 60 MB took hours.
    block.nested = true;
    block.write(&bench.path("nested"));
    let ended = limited(&bench, "inspect --snapshot nested");
    assert!(
        ended.stderr.contains("a series that begins inside another one"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
}

#[test]
fn rows_that_take_no_bytes() {
    use parquet::data_type::{ByteArray, ByteArrayType};
    let bench = Bench::new();
    let schema = "message runs { required binary run_id (UTF8); required binary start (UTF8); required binary end (UTF8); \
                  required binary nodes (UTF8); }";
    let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let file = std::fs::File::create(bench.path("runs.parquet")).unwrap();
    let mut writer =
        parquet::file::writer::SerializedFileWriter::new(file, schema, std::sync::Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for value in ["a", "1767225600", "1767229200", "n1"] {
        let mut column = group.next_column().unwrap().unwrap();
        let values = vec![ByteArray::from(value); 2_000_000];
        column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    assert!(std::fs::metadata(bench.path("runs.parquet")).unwrap().len() < 100_000);
    let ended = limited(&bench, "jobs runs.parquet");
    assert!(ended.code == 1 && ended.stderr.contains("claim to hold 2000000 rows"), "{}", ended.stderr);
}

#[test]
fn host_lists_of_very_many_and_of_very_long_names() {
    let bench = Bench::new();
    let header = "JobID|JobIDRaw|User|Account|Partition|State|Submit|Start|End|NodeList|JobName\n";
    let row = |number: usize, nodes: &str| {
        format!(
            "{number}|{number}|u|a|p|COMPLETED|2026-01-01T00:00:00|2026-01-01T00:00:00|2026-01-01T01:00:00|{nodes}|x\n"
        )
    };
    let wide: String = (0..30).map(|number| row(number, &format!("n{number}x[1-250000]"))).collect();
    bench.write("wide.txt", &format!("{header}{wide}"));
    let ended = limited(&bench, "jobs wide.txt");
    assert!(ended.stdout.contains("more than any cluster's"), "{}{}", ended.stdout, ended.stderr);

    bench.write(
        "long.txt",
        &format!("{header}{}{}", row(1, "n1"), row(2, &format!("{}[1-250000]", "n".repeat(100_000)))),
    );
    let ended = limited(&bench, "jobs long.txt");
    assert!(ended.stdout.contains("a name of more than 255 bytes"), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn texts_without_an_end() {
    let bench = Bench::new();
    let json = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":""#;
    for (name, start, unit) in [
        ("cell", "time,metric,value\n2026-01-01T00:00:00Z,up,\"", "x"),
        ("cells", "time,metric,value\n2026-01-01T00:00:00Z", ",x"),
        ("label", json, "x"),
        ("labels", &json[..json.len() - 12], r#""a":"b","#),
        ("error", r#"{"status":"error","error":""#, "x"),
    ] {
        std::fs::write(bench.path(name), packed(start.as_bytes(), unit.as_bytes(), 80)).unwrap();
        let ended = limited(&bench, &format!("convert {name} --out blocks"));
        assert!(ended.code == 1 && ended.stderr.contains("more than 64 MiB"), "{name}: {}", ended.stderr);
    }
    for (name, start, unit) in
        [("key", r#"{"jobs":[{""#, "x"), ("nested", r#"{"a":"#, "["), ("value", r#"{"jobs":[{"a":""#, "x")]
    {
        std::fs::write(bench.path(name), packed(start.as_bytes(), unit.as_bytes(), 80)).unwrap();
        let ended = limited(&bench, &format!("jobs {name}"));
        assert_eq!(ended.code, 1, "{name}: {}{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn a_job_log_that_unfolds() {
    let bench = Bench::new();
    std::fs::write(bench.path("sacct.gz"), packed(b"JobID|", b"\0", 2000)).unwrap();
    let ended = limited(&bench, "backfill --ledger ledger --jobs sacct.gz");
    assert!(ended.code == 1 && ended.stderr.contains("unpacked it is more than"), "{}", ended.stderr);
}

#[test]
fn a_packed_parquet_file_does_not_fill_the_disk() {
    let bench = Bench::new();
    std::fs::write(bench.path("table.gz"), packed(b"PAR1", b"\0", 1000)).unwrap();
    let ended = limited(&bench, "convert table.gz --format parquet --out blocks");
    assert!(ended.code == 1 && ended.stderr.contains("unpacked it is more than"), "{}", ended.stderr);
}

#[test]
fn pipes_and_devices_in_a_snapshot() {
    let bench = Bench::new();
    let block = || {
        let samples = [(1_700_000_000_000, 1.0), (1_700_000_015_000, 1.0)];
        TestBlock::new(A, (1_700_000_000_000, 1_700_000_060_000)).series(&GPU, vec![chunk(&samples)])
    };
    for file in ["meta.json", "index", "tombstones", "chunks/000001"] {
        for kind in ["pipe", "device"] {
            let name = format!("{kind}-{}", file.replace('/', "-"));
            let path = block().write(&bench.path(&name)).join(file);
            let _ = std::fs::remove_file(&path);
            if kind == "pipe" {
                assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            } else {
                symlink("/dev/zero", &path).unwrap();
            }
            let ended = limited(&bench, &format!("inspect --snapshot {name}"));
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(said.contains("not a regular file") || file.starts_with("chunks"), "{name}: {said}");
        }
    }
}

#[test]
fn links_are_followed_with_a_word_or_not_at_all() {
    let bench = Bench::new();
    let snapshot = bench.copy_snapshot();
    let block = std::fs::read_dir(&snapshot).unwrap().next().unwrap().unwrap().path();
    std::fs::rename(block.join("index"), bench.path("elsewhere")).unwrap();
    symlink(bench.path("elsewhere"), block.join("index")).unwrap();
    let ended = limited(&bench, "inspect --snapshot snapshot");
    assert!(ended.stdout.contains("/index` was followed to `[DIR]elsewhere`"), "{}", ended.stdout);

    std::fs::create_dir(bench.path("dumps")).unwrap();
    bench.write("secret", "root:x:0:0\n");
    bench.write("dumps/a.prom", "up 1 1700000000000\n");
    symlink(bench.path("secret"), bench.path("dumps/b")).unwrap();
    let ended = limited(&bench, "convert dumps --out blocks");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("dumps/b` in a folder was not followed") && !ended.stderr.contains("root:"),
        "{}",
        ended.stderr
    );
}

#[test]
fn labels_do_not_act_on_the_terminal() {
    let bench = Bench::new();
    bench.write("a.prom", "up{job=\"\u{1b}[2Jx\",instance=\"\u{1b}]0;y\u{7}\"} 1 1700000000000\n");
    let ended = limited(&bench, "convert a.prom --format exposition --out blocks");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let ended = limited(&bench, "inspect --snapshot blocks");
    assert!(ended.code == 0 && ended.stdout.contains("[2Jx"), "{ended:?}");
    assert!(!ended.stdout.contains('\u{1b}') && !ended.stdout.contains('\u{7}'), "{}", ended.stdout);
}

/// What is written is as open as its user's other files, and no more.
#[test]
fn the_umask_holds() {
    let bench = Bench::new();
    bench.copy_snapshot();
    let words = "report --snapshot snapshot --no-charts --out";
    let backfill = "backfill --snapshot snapshot --ledger";
    for (umask, file, directory) in [("077", 0o600, 0o700), ("022", 0o644, 0o755)] {
        for words in [format!("{words} report{umask}"), format!("{backfill} ledger{umask}")] {
            let line = format!("umask {umask}; exec {} {words}", env!("CARGO_BIN_EXE_wattledger"));
            let ended = Bench::end(
                Command::new("bash").args(["-c", &line]).current_dir(bench.path("")),
                &bench.path(""),
            );
            assert_eq!(ended.code, 0, "{}", ended.stderr);
        }
        for place in ["report", "ledger"] {
            modes(&bench.path(&format!("{place}{umask}")), file, directory);
        }
    }
}

fn modes(path: &Path, file: u32, directory: u32) {
    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, if path.is_dir() { directory } else { file }, "{}", path.display());
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| modes(&entry.unwrap().path(), file, directory));
    }
}

const SACCT: &str = "JobID|JobIDRaw|User|Account|Partition|State|Submit|Start|End|NodeList|JobName\n";

fn sacct(number: usize, nodes: &str, name: &str) -> String {
    format!(
        "{number}|{number}|u|a|p|COMPLETED|2026-01-01T00:00:00|2026-01-01T00:00:00|2026-01-01T01:00:00|{nodes}|{name}\n"
    )
}

#[test]
fn a_job_that_is_called_like_a_header() {
    let bench = Bench::new();
    // Anybody may call a job so: it stopped the whole log, or made columns of it and lost all jobs after it.
    for (nth, name) in ["x|JobID|Start|End", "x|JobID|Start|End|NodeList"].into_iter().enumerate() {
        let file = format!("sacct-{nth}.txt");
        bench.write(
            &file,
            &format!("{SACCT}{}{}{}", sacct(1, "n1", "a"), sacct(2, "n1", name), sacct(3, "n2", "b")),
        );
        let ended = limited(&bench, &format!("jobs {file}"));
        assert!(
            ended.code == 0 && ended.stdout.contains("runs       3,"),
            "{}{}",
            ended.stdout,
            ended.stderr
        );
    }
}

#[test]
fn lines_that_took_hours() {
    let bench = Bench::new();
    let blanks = " ".repeat(1 << 20);
    let labels: String = (0..200_000).map(|nth| format!("l{nth}=\"v\",")).collect();
    bench.write(
        "text",
        &format!("a{blanks}{{}} 1 1700000000000\nb{{{labels}}} 1 1700000000000\nc 2 1700000000000\n"),
    );
    let ended = limited(&bench, "convert text --format exposition --out blocks");
    assert!(ended.stderr.contains("more than 4096 labels"), "{}{}", ended.stdout, ended.stderr);

    let columns: String = (0..200_000).map(|nth| format!(",c{nth}")).collect();
    bench.write("wide.csv", &format!("time,metric,value{columns}\n1700000000,m,1\n"));
    let ended = limited(&bench, "convert wide.csv --format csv --out wide");
    assert!(ended.code == 1 && ended.stderr.contains("more than 4096"), "{}", ended.stderr);

    // Words without `=`, each of which was searched for one to the end of the line; hosts that were looked for one by one.
    let words = "w ".repeat(1 << 20);
    let hosts: String = (0..200_000).map(|nth| format!("h{nth}/0+")).collect();
    bench.write(
        "pbs",
        &format!(
            "01/01/2026 01:00:00;E;1.s;user=u {words}\n01/01/2026 01:00:00;E;2.s;user=u start=1767225600 end=1767229200 exec_host={}\n",
            hosts.trim_end_matches('+')
        ),
    );
    let ended = limited(&bench, "jobs pbs");
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);

    let columns: String = (0..200_000).map(|nth| format!(",c{nth}")).collect();
    bench.write("runs.csv", &format!("run_id,start,end,nodes{columns}\na,1767225600,1767229200,n1\n"));
    let ended = limited(&bench, "jobs runs.csv");
    assert!(ended.stdout.contains("199980 more columns"), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn gpus_of_very_many_hosts() {
    let bench = Bench::new();
    let ids: Vec<String> = (0..1000).map(|nth| nth.to_string()).collect();
    bench.write(
        "runs.csv",
        &format!("run_id,start,end,nodes,gpu_ids\na,1767225600,1767229200,n[1-250000],{}\n", ids.join(";")),
    );
    let ended = limited(&bench, "jobs runs.csv");
    assert!(ended.stdout.contains("more than any cluster's"), "{}{}", ended.stdout, ended.stderr);

    bench.write(
        "scontrol.txt",
        "JobId=1 JobName=a\n   UserId=u(1) JobState=COMPLETED\n   StartTime=2026-01-01T00:00:00 EndTime=2026-01-01T01:00:00\n   \
         NodeList=n[1-250000]\n     Nodes=n[1-250000] CPU_IDs=0 Mem=0 GRES=gpu:1024(IDX:0-1023)\n",
    );
    let ended = limited(&bench, "jobs scontrol.txt");
    assert!(ended.stdout.contains("more than any cluster's"), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn attributes_beyond_the_last_that_is_kept() {
    let bench = Bench::new();
    let many: String = (0..10_001).map(|nth| format!("A{nth} = 1\n")).collect();
    let job = "GlobalJobId = \"s#1.0\"\nClusterId = 1\nProcId = 0\nJobStartDate = 1767225600\nCompletionDate = 1767229200\nLastRemoteHost = \"slot1@n1\"\n";
    bench.write("history", &format!("{many}{job}\n{job}\n"));
    let ended = limited(&bench, "jobs history");
    // The first had lost its times, and without a word.
    assert!(ended.stdout.contains("runs       1,"), "{}", ended.stdout);
    assert!(ended.stdout.contains("10007 fields"), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn intensities_that_unfold() {
    let bench = Bench::new();
    for (name, start, unit) in [
        ("list.json", "[", "0,"),
        ("cell.csv", "# basis: direct average production\nstart,gco2e_per_kwh\n2026-01-01T00:00:00Z,\"", "x"),
        ("rows.csv", "# basis: direct average production\nstart,gco2e_per_kwh\n", "2026-01-01T00:00:00Z,\n"),
    ] {
        std::fs::write(bench.path(name), packed(start.as_bytes(), unit.as_bytes(), 80)).unwrap();
        let ended = limited(&bench, &format!("intensity import {name} --zone DE --store {name}.store"));
        // What was longer than 4 GiB was cut off there, and what came after it lost without a word.
        assert!(ended.code == 1 && ended.stderr.contains("MiB"), "{name}: {}{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn two_samples_that_are_ages_apart() {
    let bench = Bench::new();
    let labels = [("__name__", "ceems_emissions_gCo2_kWh"), ("country_code", "FR"), ("provider", "rte")];
    let samples = [(0, 40.0), (253_402_300_000_000, 41.0)];
    TestBlock::new(A, (0, 253_402_300_000_001))
        .series(&labels, vec![chunk(&samples)])
        .write(&bench.path("snapshot"));
    let ended = limited(&bench, "intensity import --snapshot snapshot --store store");
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn a_job_log_from_a_pipe_is_hashed_as_it_is_read() {
    let bench = Bench::new();
    let log = format!("{SACCT}{}", sacct(1, "n1", "a"));
    bench.write("sacct.txt", &log);
    assert!(Command::new("mkfifo").arg(bench.path("pipe")).status().unwrap().success());
    let writer = {
        let path = bench.path("pipe");
        std::thread::spawn(move || std::fs::write(path, log).unwrap())
    };
    // It was opened a second time for its hash, and nobody writes a pipe twice.
    let ended = limited(&bench, "report --jobs pipe --zone DE --no-charts --out report");
    writer.join().unwrap();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let summary = std::fs::read_to_string(bench.path("report/summary.json")).unwrap();
    let sum = Command::new("sha256sum").arg(bench.path("sacct.txt")).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    assert!(summary.contains(sum.split(' ').next().unwrap()), "{summary}");
}
