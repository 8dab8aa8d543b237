//! Saved samples into blocks: the same samples, the same report, and no
//! harm from what is broken.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may"
)]

mod block_reader;
mod dump_writer;
mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use support::{Bench, assert_close, files, fixture, ms, number, real, total};
use wattledger::time::Window;
use wattledger::tsdb::{Database, ReadBuffer, ReadStats, STALE_NAN_BITS};

/// As in the other tests on this fixture.
const CONFIG: &str =
    "[nodes.alias]\n\"n00[1-3]\" = \"vm\"\n\n[[hardware]]\nnodes = \"vm\"\ncpus = 6\ncpu_tdp_w = 100\n";

/// Bits of every sample by series, as the library reads them.
fn samples(path: &Path) -> BTreeMap<String, Vec<(i64, u64)>> {
    let database = Database::open(path).unwrap();
    assert!(database.left_out().iter().all(|left| !left.is_problem), "{:?}", database.left_out());
    let (mut buffer, mut stats) = (ReadBuffer::default(), ReadStats::default());
    let mut all = BTreeMap::new();
    for series in database.select(&[], Window::ALL).unwrap() {
        database.read(&series, Window::ALL, &mut buffer, &mut stats).unwrap();
        let samples = buffer.samples();
        if !samples.values.is_empty() {
            let bits = samples.values.iter().map(|value| value.to_bits());
            all.insert(series.labels.to_string(), samples.timestamps_ms.iter().copied().zip(bits).collect());
        }
    }
    all
}

/// As a text dump has them: no NaN is told from another.
fn with_one_nan(mut samples: BTreeMap<String, Vec<(i64, u64)>>) -> BTreeMap<String, Vec<(i64, u64)>> {
    for (_, bits) in samples.values_mut().flatten() {
        if f64::from_bits(*bits).is_nan() {
            *bits = STALE_NAN_BITS;
        }
    }
    samples
}

fn convert(bench: &Bench, arguments: &[&str]) -> support::Ended {
    bench.run(&[&["convert"], arguments].concat())
}

#[track_caller]
fn converted(bench: &Bench, arguments: &[&str]) -> String {
    let ended = convert(bench, arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
    ended.stderr
}

/// The recorded cluster as a table, by pyarrow.
fn parquet(codec: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/parquet/samples.{codec}.parquet"))
}

/// `runs.csv` from the blocks in `snapshot`.
fn runs(bench: &Bench, snapshot: &str, out: &str) -> String {
    bench.write("site.toml", CONFIG);
    let jobs = fixture("sacct.txt");
    let ended = bench.run(&[
        "report",
        "--snapshot",
        snapshot,
        "--config",
        "site.toml",
        "--zone",
        "DE",
        "--no-charts",
        "--jobs",
        jobs.to_str().unwrap(),
        "--out",
        out,
    ]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    std::fs::read_to_string(bench.path(out).join("runs.csv")).unwrap()
}

/// The lines of `runs.csv` but that of the run during which the exporter was away for 25 s: where
/// no marker says so, counters are taken to have risen evenly meanwhile.
fn but_the_unmarked(runs: &str) -> Vec<&str> {
    let lines: Vec<&str> = runs.lines().filter(|line| !line.contains(",still-running,")).collect();
    assert_eq!(lines.len(), runs.lines().count() - 1);
    lines
}

/// Every format carries the recorded cluster: the report is the same, byte for byte,
/// where stale markers have something to stand for them.
#[test]
fn a_report_is_the_same_whichever_way_the_samples_came() {
    let bench = Bench::new();
    let snapshot = fixture("snapshot");
    let series = block_reader::read(&snapshot);
    let expected = runs(&bench, snapshot.to_str().unwrap(), "exact");
    assert!(total(&bench.table("exact/runs.csv"), "energy_kwh") > 0.0);
    for (name, text) in [
        ("promtool", dump_writer::promtool(&series)),
        ("openmetrics", dump_writer::openmetrics(&series)),
        ("exposition", dump_writer::exposition(&series)),
        ("vm-export", dump_writer::vm_export(&series)),
        ("api-json", dump_writer::matrix(&series)),
        ("csv", dump_writer::csv(&series)),
    ] {
        bench.write(name, &text);
        let said = converted(&bench, &[name, "--out", &format!("{name}-blocks"), "--strict"]);
        let read = samples(&bench.path(&format!("{name}-blocks")));
        let stored = with_one_nan(samples(&snapshot));
        match name {
            "promtool" | "openmetrics" | "vm-export" => assert_eq!(read, stored, "{name}"),
            _ => {
                let mut numbers = stored;
                for samples in numbers.values_mut() {
                    samples.retain(|(_, bits)| !f64::from_bits(*bits).is_nan());
                }
                numbers.retain(|_, samples| !samples.is_empty());
                let mut read = read;
                for samples in read.values_mut() {
                    samples.retain(|(_, bits)| !f64::from_bits(*bits).is_nan());
                }
                read.retain(|_, samples| !samples.is_empty());
                assert_eq!(read, numbers, "{name}");
            }
        }
        let runs = runs(&bench, &format!("{name}-blocks"), &format!("{name}-out"));
        match name {
            "promtool" | "openmetrics" | "vm-export" => assert_eq!(runs, expected, "{name}"),
            _ => {
                assert!(said.contains("stale markers are lost"), "{said}");
                assert_eq!(but_the_unmarked(&runs), but_the_unmarked(&expected), "{name}");
            }
        }
    }
    // Written by pyarrow, see the README beside it.
    for codec in ["zstd", "snappy"] {
        let table = parquet(codec);
        let columns = ["--columns", "time=when,value=how_much,metric=what", "--out"];
        let out = format!("{codec}-blocks");
        converted(&bench, &[&[table.to_str().unwrap()], &columns[..], &[&out, "--strict"]].concat());
        let runs = runs(&bench, &out, &format!("{codec}-out"));
        assert_eq!(but_the_unmarked(&runs), but_the_unmarked(&expected));
        assert_eq!(samples(&bench.path(&out)), samples(&bench.path("csv-blocks")));
    }
}

/// A report repeats what a dump cannot tell.
#[test]
fn the_report_says_what_text_dumps_cannot_tell() {
    let bench = Bench::new();
    let series = block_reader::read(&fixture("snapshot"));
    let nans = series.values().flatten().filter(|(_, value)| value.is_nan()).count();
    assert!(nans > 0, "the fixture has stale markers");
    bench.write("dump.txt", &dump_writer::promtool(&series));
    converted(&bench, &["dump.txt", "--out", "blocks"]);
    runs(&bench, "blocks", "out");
    let summary = std::fs::read_to_string(bench.path("out/summary.json")).unwrap();
    let told = format!(
        "`promtool tsdb dump` cannot tell a stale marker from NaN: {nans} NaN were taken for the end of a series"
    );
    assert!(summary.contains(&told), "{summary}");
    assert!(summary.contains("samples were converted from dump.txt (`promtool`)"), "{summary}");
}

/// The dump that promtool made of a data directory after `kill -9`.
#[test]
fn what_promtool_dumped_is_what_the_directory_holds() {
    let bench = Bench::new();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/crashed_prometheus");
    let dump = recorded.join("promtool_dump.txt.gz");
    let said = converted(&bench, &[dump.to_str().unwrap(), "--out", "blocks", "--strict"]);
    assert!(said.contains("5,161 samples of 24 series"), "{said}");
    assert_eq!(samples(&bench.path("blocks")), with_one_nan(samples(&recorded.join("data"))));
}

/// Compressed, in several parts, from a pipe: the same blocks; and the same again when repeated.
#[test]
fn packed_inputs_and_standard_input() {
    let bench = Bench::new();
    let text = dump_writer::promtool(&block_reader::read(&fixture("snapshot")));
    let (first, second) = text.split_at(text.len() / 2);
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    bench.write("plain", &text);
    std::fs::write(bench.path("gzip"), [gzip(first), gzip(second)].concat()).unwrap();
    std::fs::write(bench.path("zstd"), [zstd(first), zstd(second)].concat()).unwrap();
    converted(&bench, &["plain", "--out", "from-plain"]);
    let expected = samples(&bench.path("from-plain"));
    for name in ["gzip", "zstd"] {
        converted(&bench, &[name, "--out", &format!("from-{name}")]);
        assert_eq!(samples(&bench.path(&format!("from-{name}"))), expected, "{name}");
    }
    let mut command = bench.command(&["convert", "-", "--out", "from-stdin"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A pipe that gives little at a time, the magic number in two parts.
    for part in [&gzip(&text)[..1], &gzip(&text)[1..]] {
        pipe.write_all(part).unwrap();
        pipe.flush().unwrap();
    }
    drop(pipe);
    assert!(child.wait().unwrap().success());
    assert_eq!(samples(&bench.path("from-stdin")), expected);

    let before = files(&bench.path("from-plain"));
    let said = converted(&bench, &["plain", "--out", "from-plain"]);
    assert!(said.contains("0 blocks") && said.contains("were there already"), "{said}");
    assert_eq!(files(&bench.path("from-plain")), before);
    converted(&bench, &["plain", "--out", "again"]);
    assert_eq!(files(&bench.path("again")), before);
}

/// A folder with dumps of two days, a page of text, a broken file and a folder in it.
#[test]
fn folders() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("in/more")).unwrap();
    bench.write("in/a.txt", "{__name__=\"up\"} 1 1700000000000\n{__name__=\"up\"} 0 1700000015000\n");
    bench.write("in/more/b.prom", "up 1 1700090000000\n");
    bench.write("in/README.md", "What is in here\n");
    bench.write("in/labels.json", r#"{"status":"success","data":["up"]}"#);
    bench.write("in/error.json", r#"{"status":"error","errorType":"timeout","error":"too slow"}"#);
    bench.write("in/cut.json", r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up"},"value":[1700000030,"1"]}"#);
    bench.write("in/.hidden", "up 2 1700000000000\n");
    let ended = convert(&bench, &["in", "--out", "blocks", "--strict"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    insta::assert_snapshot!(ended.stderr, @r"
    left out   `in/README.md` is none of the formats that are read: its first line is `What is in here`
    reading    `in/a.txt`: `promtool tsdb dump`
    reading    `in/cut.json`: an answer of the HTTP API
    left out   `in/cut.json` is cut off: it ends inside the answer
    reading    `in/error.json`: an answer of the HTTP API
    left out   `in/error.json` holds an error instead of an answer: timeout: too slow
    reading    `in/labels.json`: an answer of the HTTP API
    left out   `in/labels.json` holds no samples: it lists series or names
    reading    `in/more/b.prom`: text exposition
    left out   2 files that cannot be read
    note       text exposition: stale markers are lost; where a series ended and came back, a counter's rise is spread over the gap, and a gauge is taken to go on until its next sample if that comes within 5 minutes, or 2.5 intervals where that is more
    wrote blocks: 2 blocks, 3 samples of 1 series
    ");
    let up = &samples(&bench.path("blocks"))["up"];
    let one = 1.0_f64.to_bits();
    assert_eq!(up, &[(1_700_000_000_000, one), (1_700_000_015_000, 0), (1_700_090_000_000, one)]);
    assert_eq!(block_reader::block_directories(&bench.path("blocks")).len(), 2, "a block for each day");

    std::fs::create_dir_all(bench.path("empty")).unwrap();
    let ended = convert(&bench, &["empty", "--out", "none"]);
    assert_eq!(ended.code, 1);
    insta::assert_snapshot!(ended.stderr, @"error: cannot convert: `empty` holds no files");
    assert!(!bench.path("none").exists());
    let snapshot = fixture("snapshot");
    let block = block_reader::block_directories(&snapshot)[0].clone();
    let ended = convert(&bench, &[block.to_str().unwrap(), "--out", "none"]);
    assert!(ended.stderr.contains("is a Prometheus data directory, not a dump"), "{}", ended.stderr);
}

/// What is wrong with an input that was named, and that nothing is written then.
#[test]
fn broken_inputs() {
    let bench = Bench::new();
    let text = dump_writer::promtool(&block_reader::read(&fixture("snapshot")));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    std::fs::write(bench.path("cut.gz"), &packed[..packed.len() / 2]).unwrap();
    let mut wrong = packed.clone();
    let end = wrong.len() - 6;
    wrong[end] ^= 1;
    std::fs::write(bench.path("wrong.gz"), wrong).unwrap();
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    std::fs::write(bench.path("cut.zst"), &packed[..packed.len() / 2]).unwrap();
    bench.write("empty", "");
    bench.write("page.html", "<!doctype html><title>Sign in</title>");
    bench.write("letter.txt", "Dear all,\nsee below\n");
    bench.write("words.json", r#"{"a": [1, 2]}"#);
    bench.write("error.json", r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#);
    bench.write("rate.json", r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000000,"1"]}]}}"#);
    bench.write("deep.json", &format!("{{\"status\":{}", "[".repeat(100_000)));
    bench.write("nested.json", &format!("{{\"status\":\"success\",\"data\":{{\"x\":{}", "[".repeat(100_000)));
    bench.write("scrape.prom", "# TYPE up gauge\nup 1\n");
    bench.write("words.prom", "up one 1700000000000\nup two\n");
    bench.write("units.txt", "{__name__=\"up\"} 1 1700000000000000000\n");
    bench.write("table.csv", "when;host;watts\n2026-11-16;a;3\n");
    std::fs::write(bench.path("binary"), [0_u8; 100]).unwrap();
    std::fs::write(bench.path("utf16.txt"), b"\xff\xfeu\0p\0 \x001\0").unwrap();
    let mut said = String::new();
    for (input, more) in [
        ("cut.gz", None),
        ("wrong.gz", None),
        ("cut.zst", None),
        ("empty", None),
        ("missing", None),
        ("page.html", None),
        ("letter.txt", None),
        ("words.json", None),
        ("error.json", None),
        ("rate.json", None),
        ("deep.json", None),
        ("scrape.prom", None),
        ("words.prom", None),
        ("units.txt", None),
        ("table.csv", Some(["--format", "csv"])),
        ("binary", None),
        ("nested.json", None),
        ("utf16.txt", None),
        ("letter.txt", Some(["--format", "api-json"])),
    ] {
        let mut arguments = vec![input, "--out", "blocks"];
        arguments.extend(more.into_iter().flatten());
        let ended = convert(&bench, &arguments);
        assert_eq!(ended.code, 1, "{input}: {}", ended.stderr);
        let lines = ended.stderr.lines().filter(|line| !line.starts_with("reading"));
        for line in lines {
            said.push_str(line);
            said.push('\n');
        }
        assert!(!bench.path("blocks").exists() || files(&bench.path("blocks")).is_empty(), "{input}");
    }
    insta::assert_snapshot!(said, @r"
    error: cannot convert: `cut.gz` is cut off: incomplete deflate stream
    hint: save or copy it again; what is there of it was not used
    error: cannot convert: cannot read `wrong.gz` to its end: corrupt gzip stream does not have a matching checksum
    error: cannot convert: `cut.zst` is cut off: incomplete frame
    hint: save or copy it again; what is there of it was not used
    error: cannot convert: `empty` is none of the formats that are read: it is empty
    hint: `--format` says what it is; docs/inputs.md shows each format
    error: cannot convert: cannot read `missing`: No such file or directory (os error 2)
    error: cannot convert: `page.html` is none of the formats that are read: it is a page of HTML or XML
    hint: `--format` says what it is; docs/inputs.md shows each format
    error: cannot convert: `letter.txt` is none of the formats that are read: its first line is `Dear all,`
    hint: `--format` says what it is; docs/inputs.md shows each format
    error: cannot convert: `words.json` is none of the formats that are read: it is JSON, but neither an answer of Prometheus' HTTP API nor VictoriaMetrics' export
    hint: `--format` says what it is; docs/inputs.md shows each format
    error: cannot convert: `error.json` holds an error instead of an answer: bad_data: parse error
    hint: ask the server again
    rejected   `rate.json`, {}: it has no labels; `--label __name__=METRIC` gives it a name
    error: cannot convert: nothing in `rate.json` can be read as api-json: {}: it has no labels; `--label __name__=METRIC` gives it a name
    error: cannot convert: `deep.json` cannot be read as api-json: line 1, column 11: invalid type: sequence, expected a string
    hint: is it what `--format` says, or what it looks like at its head? docs/inputs.md shows each format
    error: cannot convert: `scrape.prom` has samples without a timestamp: line 2
    hint: give their time with `--at TIME`, or `--at modified` for the time at which the file was written
    error: cannot convert: `words.prom` is none of the formats that are read: its first line is `up one 1700000000000`
    hint: `--format` says what it is; docs/inputs.md shows each format
    rejected   `units.txt`, line 1: the timestamp is before 1970 or after 9999: is it in another unit?
    error: cannot convert: nothing in `units.txt` can be read as promtool: line 1: the timestamp is before 1970 or after 9999: is it in another unit?
    hint: is it what `--format` says, or what it looks like at its head? docs/inputs.md shows each format
    error: cannot convert: `table.csv`: no column is recognised as the time; there are `when`, `host`, `watts`
    hint: name them with `--columns time=COLUMN,value=COLUMN,metric=COLUMN`; a metric that stands in no column comes with `--label __name__=METRIC`
    error: cannot convert: `binary` is none of the formats that are read: it is binary
    hint: `--format` says what it is; docs/inputs.md shows each format
    error: cannot convert: `nested.json` cannot be read as api-json: line 1, column 158: recursion limit exceeded
    hint: is it what `--format` says, or what it looks like at its head? docs/inputs.md shows each format
    error: cannot convert: `utf16.txt` is none of the formats that are read: it is UTF-16 text; save it as UTF-8
    hint: `--format` says what it is; docs/inputs.md shows each format
    error: cannot convert: `letter.txt` cannot be read as api-json: line 1, column 1: expected value
    hint: is it what `--format` says, or what it looks like at its head? docs/inputs.md shows each format
    ");
}

/// Wrong flags are told before anything is read.
#[test]
fn wrong_flags() {
    let bench = Bench::new();
    bench.write("a.prom", "up 1\n");
    let mut said = String::new();
    for flags in [["--at", "noon"], ["--label", "instance"], ["--columns", "time"], ["--tz", "Mars/Base"]] {
        let ended = convert(&bench, &[&["a.prom", "--out", "blocks"], &flags[..]].concat());
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        said.push_str(&ended.stderr);
    }
    assert_eq!(convert(&bench, &["--out", "blocks"]).code, 2, "no input");
    assert_eq!(convert(&bench, &["-", "-", "--out", "blocks"]).code, 2, "standard input twice");
    assert_eq!(convert(&bench, &["a.prom", "--format", "excel", "--out", "blocks"]).code, 2);
    insta::assert_snapshot!(said, @r"
    error: --at: `noon` is not a time: expected `2024-05-01`, `2024-05-01T08:00:00` or `2024-05-01T08:00:00Z`
    hint: give a time such as 2026-11-16T12:00:00Z, or `modified`
    error: --label: `instance` is not NAME=VALUE
    error: --columns: `time` is not WHAT=COLUMN
    hint: as in `--columns time=ts,value=watts,metric=name,instance=host`
    error: --tz: `Mars/Base` is not a time zone
    hint: an IANA name such as `Europe/Berlin` or `UTC`
    ");
}

/// A line that is wrong costs that line, and is told with its number.
#[test]
fn bad_lines() {
    let bench = Bench::new();
    bench.write(
        "dump.txt",
        "{__name__=\"up\", a=\"1\"} 1 1700000000000\n\
         {__name__=\"up\", a=\"1\"} one 1700000015000\n\
         {__name__=\"up\", a=\"1} 1 1700000030000\n\
         \n\
         {__name__=\"up\", a=\"1\"} 0 1700000045000\n\
         {__name__=\"up\", a=\"1\"} 0 yesterday\n\
         {__name__=\"up\", a=\"1\"} 7 1700000045000\n\
         {__name__=\"up\", a=\"1\"} 0 -5\n\
         {__name__=\"h\"} {count:6, sum:12.5} 1700000045000\n\
         {__name__=\"up\", a=\"1\"} 1 170000006",
    );
    let ended = convert(&bench, &["dump.txt", "--out", "blocks"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    insta::assert_snapshot!(ended.stderr, @r"
    reading    `dump.txt`: `promtool tsdb dump`
    rejected   `dump.txt`, line 2: `one` is not a value
    rejected   `dump.txt`, line 3: a text in quotes does not end
    rejected   `dump.txt`, line 6: `yesterday` is not a timestamp in milliseconds
    rejected   `dump.txt`, line 8: the timestamp is before 1970 or after 9999: is it in another unit?
    rejected   `dump.txt`, line 10: the input ends within the line
    left out   5 lines, rows or series that cannot be read
    left out   1 native histograms: not read
    left out   1 samples that have another value at the same time later in the input
    wrote blocks: 1 block, 2 samples of 1 series
    ");
    let ended = convert(&bench, &["dump.txt", "--out", "strict", "--strict"]);
    assert_eq!(ended.code, 3);
    let up = &samples(&bench.path("blocks"))[r#"up{a="1"}"#];
    assert_eq!(up, &[(1_700_000_000_000, 1.0_f64.to_bits()), (1_700_000_045_000, 7.0_f64.to_bits())]);
    // The report tells it as well.
    runs(&bench, "blocks", "out");
    let summary = std::fs::read_to_string(bench.path("out/summary.json")).unwrap();
    assert!(summary.contains("lines rejected: 5"), "{summary}");
    assert!(summary.contains("samples in conflict: 1"), "{summary}");
}

/// Two inputs that hold the same: the later one's value counts, and it is told.
#[test]
fn inputs_that_contradict_each_other() {
    let bench = Bench::new();
    bench.write("a.txt", "{__name__=\"w\"} 1 1700000000000\n{__name__=\"w\"} 2 1700000015000\n");
    bench.write("b.txt", "{__name__=\"w\"} 2 1700000015000\n{__name__=\"w\"} 9 1700000000000\n");
    let ended = convert(&bench, &["a.txt", "b.txt", "--out", "ab"]);
    assert!(ended.stderr.contains("1 samples that have another value"), "{}", ended.stderr);
    let bits = |value: f64| value.to_bits();
    let w = &samples(&bench.path("ab"))["w"];
    assert_eq!(w, &[(1_700_000_000_000, bits(9.0)), (1_700_000_015_000, bits(2.0))]);
    converted(&bench, &["b.txt", "a.txt", "--out", "ba"]);
    assert_eq!(samples(&bench.path("ba"))["w"][0].1, bits(1.0));
}

/// Half a gigabyte in half a megabyte of gzip: neither memory nor disk grows with it.
#[test]
fn a_bomb() {
    let bench = Bench::new();
    for (name, unit, members) in [
        ("line", &b"0"[..], 512),
        ("blanks", b"\n", 32),
        ("nested", b"[", 512),
        ("series", b"[1700000000,\"1\"],", 32),
    ] {
        let pack = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let start: &[u8] = match name {
            "series" => {
                b"{\"status\":\"success\",\"data\":{\"result\":[{\"metric\":{\"__name__\":\"w\"},\"values\":["
            }
            "nested" => b"{\"status\":\"success\",\"data\":{\"x\":",
            _ => b"up 1 1700000000000\n",
        };
        // Members of a gzip file follow each other: the same one many times.
        let mut bomb = pack(start);
        bomb.extend(pack(&unit.repeat((1 << 20) / unit.len())).repeat(members));
        std::fs::write(bench.path(name), bomb).unwrap();
        let mut limited = Command::new("bash");
        // 512 MiB of address space; the program itself takes a fifth of it.
        let program = env!("CARGO_BIN_EXE_wattledger");
        let out = bench.path("blocks");
        let line = format!("ulimit -v 524288; exec {program} convert {name} --out {}", out.display());
        limited.args(["-c", &line]).current_dir(bench.path("")).env("RAYON_NUM_THREADS", "1");
        let ended = Bench::end(&mut limited, &bench.path(""));
        match name {
            // Blank lines are nothing wrong.
            "blanks" => assert_eq!(ended.code, 0, "{}", ended.stderr),
            _ => assert_eq!(ended.code, 1, "{}", ended.stderr),
        }
    }
}

/// A scrape has neither time nor node; both are given.
#[test]
fn scrapes() {
    let bench = Bench::new();
    bench.write(
        "a.prom",
        "# HELP node_power Watts.\n# TYPE node_power gauge\nnode_power 3.5\nnode_power{instance=\"x\",job=\"y\"} NaN\n",
    );
    let flags = ["--label", "instance=gpu01:9100", "--out", "blocks", "--at"];
    converted(&bench, &[&["a.prom"], &flags[..], &["2026-11-16T12:00:00+01:00"]].concat());
    let read = samples(&bench.path("blocks"));
    let at_ms = ms("2026-11-16T11:00:00Z");
    assert_eq!(read[r#"node_power{instance="gpu01:9100"}"#], [(at_ms, 3.5_f64.to_bits())]);
    // Prometheus' ordinary NaN: a scrape has no stale markers.
    let other = &read[r#"node_power{instance="gpu01:9100", job="y"}"#];
    assert_eq!(other, &[(at_ms, 0x7ff8_0000_0000_0001)]);

    let file = std::fs::File::options().write(true).open(bench.path("a.prom")).unwrap();
    let written = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_123);
    file.set_modified(written).unwrap();
    converted(&bench, &["a.prom", "--at", "modified", "--out", "modified"]);
    assert_eq!(samples(&bench.path("modified"))["node_power"][0].0, 1_700_000_000_123);
}

/// Tables as people have them: semicolons, local times, names of their own.
#[test]
fn tables() {
    let bench = Bench::new();
    bench.write(
        "power.csv",
        "\u{feff}# exported by hand\nwhen;host;watts;note\n\
         2026-07-01 12:00:00;a;100.5;x\n\
         2026-07-01 12:00:15;a;;missing\n\
         2026-07-01 12:00:30;b;200;y\n\
         2026-03-29 02:30:00;b;200;never was\n\
         2026-07-01 12:00:45;b;many;z\n\
         short\n",
    );
    let ended = convert(
        &bench,
        &[
            "power.csv",
            "--columns",
            "time=when,value=watts,instance=host,ignore=note",
            "--label",
            "__name__=ipmi_dcmi_power_consumption_watts",
            "--tz",
            "Europe/Berlin",
            "--out",
            "blocks",
        ],
    );
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    insta::assert_snapshot!(ended.stderr, @r"
    reading    `power.csv`: a table in CSV
    rejected   `power.csv`, line 6: `2026-03-29 02:30:00` does not exist in Europe/Berlin: the clocks were put forward over it
    rejected   `power.csv`, line 7: `many` is not a value
    rejected   `power.csv`, line 8: the row is too short
    left out   3 lines, rows or series that cannot be read
    note       times without an offset were read as local times of Europe/Berlin
    wrote blocks: 1 block, 2 samples of 2 series
    ");
    let read = samples(&bench.path("blocks"));
    let expected = [("a", "2026-07-01T10:00:00Z", 100.5_f64), ("b", "2026-07-01T10:00:30Z", 200.0)];
    for (node, at, value) in expected {
        let series = format!("ipmi_dcmi_power_consumption_watts{{instance=\"{node}\"}}");
        assert_eq!(read[&series], [(ms(at), value.to_bits())]);
    }
    // A metric's column may hold whole series; microseconds are told by their size.
    bench.write("series.csv", "ts,name,value\n1700000000123456,\"up{job=\"\"node\"\"}\",1\n");
    converted(&bench, &["series.csv", "--out", "series"]);
    assert_eq!(samples(&bench.path("series"))[r#"up{job="node"}"#][0].0, 1_700_000_000_123);
}

/// AI_Co2_Calculator's own arithmetic on its own log: mean use × TDP × time,
/// `(15 × mean CPU % + 30 × mean GPU %) / 100 × seconds / 3600` Wh, worked out by hand for
/// a log of a steady load, 20 % and 50 %, of 60 s: 15 × 0.2 + 30 × 0.5 = 18 W, 0.3 Wh.
#[test]
fn a_jtop_log_gives_what_its_own_program_gave() {
    let bench = Bench::new();
    let mut log = "time,CPU_usage,GPU_usage,RAM_usage\n".to_owned();
    for second in 0..=90 {
        let row = format!("2024-05-17 15:{:02}:{:02},20.0,50.0,0.03\n", 13 + second / 60, second % 60);
        log.push_str(&row);
    }
    bench.write("jtop_usage.csv", &log);
    let said = converted(
        &bench,
        &["jtop_usage.csv", "--tz", "Europe/Paris", "--label", "instance=jetson1", "--out", "blocks"],
    );
    assert!(said.contains("read as local times of Europe/Paris"), "{said}");
    bench.write(
        "runs.csv",
        "run_id,start,end,nodes\ntraining,2024-05-17T13:13:15Z,2024-05-17T13:14:15Z,jetson1\n",
    );
    bench.write("site.toml", "[power]\nmodel = \"tdp-linear\"\n\n[[hardware]]\nnodes = \"jetson1\"\ncpu_tdp_w = 15\ngpu_tdp_w = 30\n");
    let ended = bench.run(&[
        "report",
        "--snapshot",
        "blocks",
        "--jobs",
        "runs.csv",
        "--config",
        "site.toml",
        "--zone",
        "FR",
        "--no-charts",
        "--out",
        "out",
    ]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let runs = bench.table("out/runs.csv");
    assert_close(number(&runs[0], "cpu_energy_kwh"), 15.0 * 0.2 * 60.0 / 3.6e6, 1e-9);
    assert_close(number(&runs[0], "gpu_energy_kwh"), 30.0 * 0.5 * 60.0 / 3.6e6, 1e-9);
    assert_eq!(runs[0]["method"], "modelled:utilisation");
}

/// Damage anywhere in a Parquet file is an error or other numbers, never a panic that ends the program.
#[test]
fn damaged_parquet() {
    let bench = Bench::new();
    let whole = std::fs::read(parquet("zstd")).unwrap();
    let columns = ["--columns", "time=when,value=how_much,metric=what", "--out", "blocks"];
    for nth in 0..24 {
        let mut damaged = whole.clone();
        match nth % 3 {
            0 => damaged.truncate(whole.len() * (nth + 1) / 26),
            1 => {
                let at = whole.len() * nth / 26;
                damaged[at..at + 16].fill(0xff);
            }
            _ => {
                // The table of contents.
                let at = whole.len() - 8 - 17 * nth;
                damaged[at] ^= 0x55;
            }
        }
        std::fs::write(bench.path("damaged.parquet"), damaged).unwrap();
        let mut command = bench.command(&[&["convert", "damaged.parquet"], &columns[..]].concat());
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{nth}: {output:?}");
    }
}

/// Every body that a real Prometheus answered with, in the collection of real inputs.
#[test]
fn every_body_of_a_real_server() {
    let Some(api) = real("prometheus_live/api") else { return };
    let bench = Bench::new();
    let expected = [
        ("federate.prom", Ok("512 samples of 512 series")),
        ("query_matrix_raw_samples.json", Ok("235 samples of 1 series")),
        ("query_range_node_cpu.json", Ok("1,616 samples of 16 series")),
        ("query_range_specials.json", Ok("136 samples of 2 series")),
        ("query_vector.json", Ok("2 samples of 2 series")),
        ("remote_read_samples.response.bin", Ok("4,800 samples of 16 series")),
        ("remote_read_stream_xor.response.bin", Ok("4,800 samples of 16 series")),
        ("error_parse.json", Err("holds an error instead of an answer: bad_data: 1:4: parse error")),
        ("error_too_many_points.json", Err("bad_data: exceeded maximum resolution of 11,000 points")),
        ("buildinfo.json", Err("holds no samples: it is an answer about the server")),
        ("runtimeinfo.json", Err("holds no samples: it is an answer about the server")),
        ("metadata.json", Err("holds no samples: it is an answer about the server")),
        ("targets.json", Err("holds no samples: it is an answer about the server")),
        ("labels.json", Err("holds no samples: it lists series or names")),
        ("label_values_name.json", Err("holds no samples: it lists series or names")),
        ("series.json", Err("holds no samples: it lists series or names")),
        ("query_scalar.json", Err("holds no samples: a scalar or a string has no series")),
        ("query_range_empty.json", Err("holds no samples: the result of the query is empty")),
        ("query_range_native_hist.json", Err("holds no samples: all are native histograms")),
        ("query_range_rate.json", Err("it has no labels; `--label __name__=METRIC` gives it a name")),
        ("gzip_headers.txt", Err("its first line is `HTTP/1.1 200 OK`")),
        ("remote_read_samples.headers", Err("none of the formats")),
        ("remote_read_stream_xor.headers", Err("none of the formats")),
        ("remote_read_samples.request.pb", Err("it is binary")),
        ("remote_read_stream_xor.request.pb", Err("it is binary")),
    ];
    let mut there: Vec<String> = std::fs::read_dir(&api)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut listed: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(there, listed);
    for (name, outcome) in expected {
        let path = api.join(name);
        let ended = convert(&bench, &[path.to_str().unwrap(), "--out", &format!("{name}.blocks")]);
        let (code, words) = match outcome {
            Ok(words) => (0, words),
            Err(words) => (1, words),
        };
        assert_eq!(ended.code, code, "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{name}: {}", ended.stderr);
    }
    // Both answers of remote read are of the same samples, and those are the snapshot's.
    let streamed = samples(&bench.path("remote_read_stream_xor.response.bin.blocks"));
    assert_eq!(streamed, samples(&bench.path("remote_read_samples.response.bin.blocks")));
    let stored = samples(&real("prometheus_live/snapshot_20261123T135522Z").unwrap());
    for (series, samples) in &streamed {
        // The server adds its external label.
        let series = &series.replace(r#"cluster="lab", "#, "");
        let (first, last) = (samples[0].0, samples[samples.len() - 1].0);
        let inside: Vec<(i64, u64)> =
            stored[series].iter().copied().filter(|(at_ms, _)| (first..=last).contains(at_ms)).collect();
        assert_eq!(*samples, inside, "{series}");
    }
    // A folder with all of them: what holds samples is read, what should and does not is counted.
    let folder = api.to_str().unwrap();
    let ended = convert(&bench, &[folder, "--out", "all", "--strict"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    // Two error bodies and the rate without labels.
    assert!(ended.stderr.contains("left out   3 files that cannot be read"), "{}", ended.stderr);
}

/// Real exporters' text, from the collection of real inputs.
#[test]
fn scrapes_of_real_exporters() {
    let Some(exporters) = real("exporters") else { return };
    let bench = Bench::new();
    let mut read = 0;
    let mut folders = vec![exporters];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if !path.extension().is_some_and(|ending| ending == "prom" || ending == "metrics") {
                continue;
            }
            let out = format!("{read}");
            let ended =
                convert(&bench, &[path.to_str().unwrap(), "--at", "2026-11-16", "--out", &out, "--strict"]);
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).count();
            if lines == 0 {
                assert_eq!(ended.code, 1, "{}: {}", path.display(), ended.stderr);
                continue;
            }
            assert_eq!(ended.code, 0, "{}: {}", path.display(), ended.stderr);
            let found = samples(&bench.path(&out)).values().map(Vec::len).sum::<usize>();
            assert_eq!(found, lines, "{}", path.display());
            read += 1;
        }
    }
    assert!(read >= 20, "{read}");
}

/// promtool's dump of every real directory that it can read, made into blocks,
/// is what the library reads there; and promtool dumps the blocks as the same lines.
#[test]
#[ignore = "needs promtool: apt-get install prometheus"]
fn dumps_by_promtool_and_back() {
    let bench = Bench::new();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/slurm_prometheus/snapshot");
    let mut directories = vec![recorded];
    for name in ["data_after_kill9", "snapshot_20261123T135522Z", "snapshot_20261123T135540Z"] {
        directories.extend(real(&format!("prometheus_live/{name}")));
    }
    for (nth, directory) in directories.iter().enumerate() {
        let copy = bench.path(&format!("copy-{nth}"));
        support::copy(directory, &copy);
        let dump = dump(&copy);
        std::fs::write(bench.path("dump.txt"), &dump).unwrap();
        let out = format!("blocks-{nth}");
        converted(&bench, &["dump.txt", "--out", &out, "--strict"]);
        assert_eq!(samples(&bench.path(&out)), with_one_nan(samples(directory)), "{}", directory.display());
        let sorted = |text: &[u8]| {
            let mut lines: Vec<String> =
                String::from_utf8(text.to_vec()).unwrap().lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(sorted(&self::dump(&bench.path(&out))), sorted(&dump), "{}", directory.display());
    }
}

/// What `promtool tsdb dump` prints of `directory`, which it wants a log in.
fn dump(directory: &Path) -> Vec<u8> {
    std::fs::create_dir_all(directory.join("wal")).unwrap();
    let output = Command::new("promtool").args(["tsdb", "dump"]).arg(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty());
    output.stdout
}

mod any_bytes {
    //! No bytes make the reader panic, in any format.

    use proptest::prelude::*;
    use wattledger::source::dump::{At, Columns, Format, Place, Request, convert};
    use wattledger::tsdb::Labels;

    fn input() -> impl Strategy<Value = Vec<u8>> {
        let words: Vec<&'static [u8]> = vec![
            b"{",
            b"}",
            b"\"",
            b"__name__",
            b"=",
            b"up",
            b" 1",
            b" 1700000000000",
            b"\n",
            b",",
            b"[",
            b"]",
            b":",
            b"\"status\"",
            b"\"success\"",
            b"\"data\"",
            b"\"result\"",
            b"\"metric\"",
            b"\"values\"",
            b"\"value\"",
            b"\"timestamps\"",
            b"null",
            b"NaN",
            b"-1e400",
            b"# TYPE",
            b"# EOF",
            b"time",
            b"value",
            b"metric",
            b";",
            b"\\",
            b"\xff",
            b"\0",
            b"PAR1",
            b"\x1f\x8b",
            b"\x28\xb5\x2f\xfd",
            b"time,CPU_usage,GPU_usage,RAM_usage\n",
        ];
        let part = prop_oneof![
            4 => prop::sample::select(words).prop_map(<[u8]>::to_vec),
            1 => prop::collection::vec(any::<u8>(), 0..8),
        ];
        prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
        #[test]
        fn never_panic(bytes in input()) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("input");
            std::fs::write(&path, &bytes).unwrap();
            for format in std::iter::once(None).chain(Format::ALL.map(Some)) {
                let request = Request {
                    inputs: vec![Place::Path(path.clone())],
                    out: directory.path().join("out"),
                    format,
                    labels: Labels::new([("__name__", "given")]),
                    columns: Columns::default(),
                    at: Some(At::Instant(0)),
                    zone: chrono_tz::Tz::UTC,
                };
                let _ = convert(&request, &|_| {});
            }
        }
    }
}
