//! `fetch` from real servers: Prometheus and VictoriaMetrics as Debian has them, with
//! samples that they were given and samples that they scraped.
//!
//! What must come out is what the server's own snapshot holds, and that is judged by
//! `promtool`, not by this program. Ports are free ones of the loopback interface, directories
//! temporary; servers end with the test, however it ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod scripted;
mod servers;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use scripted::{Seen, Server, answer, forward};
use servers::{PATIENCE, Prometheus, Running, Victoria, free_port, http};
use support::{Bench, Ended, assert_close, number, only};
use wattledger::meter::catalog::Catalog;
use wattledger::simulate::{Scenario, simulate};
use wattledger::source::remote::{self, Access, Protocol, Request, Retry};
use wattledger::time::Window;
use wattledger::tsdb::{Database, METRIC_NAME, Matcher, ReadBuffer, ReadStats, STALE_NAN_BITS, is_stale};

/// Values by series and time, by their bits.
type All = BTreeMap<(String, i64), u64>;

fn catalog() -> BTreeSet<String> {
    Catalog::shipped().unwrap().metrics().map(str::to_owned).collect()
}

/// What this program reads of `path`: the samples of `metrics` in `window`.
fn read(path: &Path, metrics: &BTreeSet<String>, window: Window) -> All {
    let database = Database::open(path).unwrap();
    assert_eq!(database.left_out(), []);
    let mut all = All::new();
    let mut buffer = ReadBuffer::default();
    let mut stats = ReadStats::default();
    for series in database.select(&[], window).unwrap() {
        if !metrics.contains(series.labels.metric()) {
            continue;
        }
        database.read(&series, window, &mut buffer, &mut stats).unwrap();
        let pairs: Vec<String> =
            series.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = format!("{{{}}}", pairs.join(", "));
        for (at_ms, value) in buffer.samples().timestamps_ms.iter().zip(&buffer.samples().values) {
            assert_eq!(all.insert((labels.clone(), *at_ms), value.to_bits()), None, "twice");
        }
    }
    assert!(stats.problems.is_empty() && stats.conflicts == 0);
    all
}

/// Checks with `promtool` that `all` is what lies in `blocks`; it prints every NaN alike.
fn assert_dumped(blocks: &Path, metrics: &BTreeSet<String>, window: Window, all: &All) {
    let scratch = tempfile::tempdir().unwrap();
    support::copy(blocks, scratch.path());
    // It wants a write-ahead log beside the blocks, if only an empty one.
    std::fs::create_dir_all(scratch.path().join("wal")).unwrap();
    let dumped = Command::new("promtool")
        .args(["tsdb", "dump"])
        .arg(format!("--min-time={}", window.start_ms))
        .arg(format!("--max-time={}", window.end_ms - 1))
        .arg(scratch.path())
        .output()
        .unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    let mut lines = 0;
    for line in String::from_utf8(dumped.stdout).unwrap().lines() {
        let (rest, at_ms) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        let metric = labels.split_once("__name__=\"").unwrap().1.split_once('"').unwrap().0;
        if !metrics.contains(metric) {
            continue;
        }
        let theirs: f64 = value.parse().unwrap();
        let key = (labels.to_owned(), at_ms.parse().unwrap());
        let ours = all.get(&key).unwrap_or_else(|| panic!("not there: {line}"));
        let ours = f64::from_bits(*ours);
        assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{line}: {ours}");
        lines += 1;
    }
    assert_eq!(lines, all.len());
    assert!(lines > 0);
}

fn without_stale(all: &All) -> All {
    all.iter()
        .filter(|(_, bits)| !is_stale(f64::from_bits(**bits)))
        .map(|(key, bits)| (key.clone(), *bits))
        .collect()
}

fn request(url: &str, protocol: Option<Protocol>, window: Window, out: &Path) -> Request {
    Request {
        access: Access { url: url.to_owned(), ..Access::default() },
        window,
        metrics: catalog().into_iter().collect(),
        selectors: Vec::new(),
        out: out.to_owned(),
        protocol,
        pushdown: None,
        connections: 3,
        retry: Retry::default(),
        timeout: PATIENCE,
    }
}

/// The data of every chunk in the segments of the blocks under `path`, with its encoding.
fn chunks(path: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (name, bytes) in support::files(path) {
        if !name.parent().is_some_and(|parent| parent.ends_with("chunks")) {
            continue;
        }
        // Magic number, version, padding.
        let mut at = 8;
        while at < bytes.len() {
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = usize::from(bytes[at]);
                at += 1;
                length |= (byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            found.push(bytes[at..=at + length].to_vec());
            at += 1 + length + 4;
        }
    }
    found
}

/// Three hours of a small simulated cluster, with outages; returns its directory and its window.
fn cluster(root: &Path, days: f64, scrape_interval_s: u32) -> (PathBuf, Window) {
    let out = root.join("cluster");
    let scenario = Scenario { nodes: 2, gpus: 1, cpus: 2, days, scrape_interval_s, ..Scenario::default() };
    let summary = simulate(&scenario, &out, &|_| {}).unwrap();
    (out, summary.window)
}

fn rfc3339(at_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(at_ms)
        .unwrap()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Runs `wattledger fetch` for `window`.
fn run(bench: &Bench, url: &str, window: Window, out: &str, more: &[&str]) -> Ended {
    let (from, to) = (rfc3339(window.start_ms), rfc3339(window.end_ms));
    let common = ["fetch", "--prometheus", url, "--from", &from, "--to", &to, "--out", out];
    bench.run(&[&common[..], more].concat())
}

/// The tables of a report over `blocks`.
fn report(
    bench: &Bench,
    blocks: &Path,
    window: Window,
    more: &[&str],
    out: &str,
) -> BTreeMap<PathBuf, Vec<u8>> {
    let (from, to) = (rfc3339(window.start_ms), rfc3339(window.end_ms));
    let common =
        ["report", "--snapshot", blocks.to_str().unwrap(), "--zone", "DE", "--no-charts", "--out", out];
    let ended = bench.run(&[&common[..], &["--from", &from, "--to", &to], more].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let mut files = support::files(&bench.path(out));
    // These name their input.
    files.remove(Path::new("summary.json"));
    files
}

/// Recorded samples of a real cluster, with stale markers, through a Prometheus.
#[test]
#[ignore = "needs Debian's prometheus, prometheus-node-exporter and victoria-metrics"]
fn every_sample_of_existing_blocks_comes_over() {
    let root = tempfile::tempdir().unwrap();
    let (simulated, simulated_window) = cluster(&root.path().join("simulated"), 0.3, 30);
    let recorded = Window::new(support::ms("2026-11-23T23:05:00Z"), support::ms("2026-11-23T23:11:00Z"));
    for (nth, (blocks, window)) in
        [(support::fixture("snapshot"), recorded), (simulated.join("snapshot"), simulated_window)]
            .into_iter()
            .enumerate()
    {
        let root = root.path().join(format!("server{nth}"));
        let server = Prometheus::serve(&root, &blocks, "", &[]);
        let snapshot = server.snapshot();
        let metrics = catalog();
        let truth = read(&snapshot, &metrics, window);
        assert_dumped(&snapshot, &metrics, window, &truth);
        let stale = truth.len() - without_stale(&truth).len();
        assert!(stale > 0, "nothing to lose");
        let servers: BTreeSet<Vec<u8>> = chunks(&snapshot).into_iter().collect();
        for (name, protocol) in [
            ("auto", None),
            ("stream", Some(Protocol::Stream)),
            ("samples", Some(Protocol::Samples)),
            ("range", Some(Protocol::Range)),
        ] {
            let out = root.join(name);
            let summary = remote::fetch(&request(&server.url(), protocol, window, &out), &|_| {}).unwrap();
            let came = read(&out, &metrics, window);
            // Range selectors lose the stale markers, all of them and nothing else.
            let expected = if name == "range" { without_stale(&truth) } else { truth.clone() };
            assert_eq!(came.len(), expected.len(), "{name}");
            assert!(came == expected, "{name}: values differ");
            assert_dumped(&out, &metrics, window, &came);
            assert_eq!(summary.protocol, protocol.unwrap_or(Protocol::Stream));
            // Chunks of a stream are those of the server, byte for byte.
            let stored = chunks(&out);
            let same = stored.iter().filter(|chunk| servers.contains(*chunk)).count();
            assert_eq!(
                stored.len() as u64,
                summary.tally.chunks_kept + summary.tally.chunks_encoded,
                "{name}"
            );
            if summary.protocol == Protocol::Stream {
                assert_eq!((summary.tally.chunks_encoded, same), (0, stored.len()), "{name}");
            }
        }
        // A window that cuts chunks: what lies inside of it comes, and the chunks that it does
        // not cut are the server's.
        let third = window.length_ms() / 3;
        let inner = Window::new(window.start_ms + third + 1, window.end_ms - third);
        let out = root.join("inner");
        remote::fetch(&request(&server.url(), Some(Protocol::Stream), inner, &out), &|_| {}).unwrap();
        assert!(read(&out, &metrics, inner) == read(&snapshot, &metrics, inner));
        let stored = chunks(&out);
        let same = stored.iter().filter(|chunk| servers.contains(*chunk)).count();
        let series = read(&out, &metrics, inner).into_keys().map(|(labels, _)| labels);
        let series = series.collect::<BTreeSet<String>>().len();
        assert!(same < stored.len(), "the window cuts no chunk");
        assert!(stored.len() - same <= 2 * series, "{same} of {} chunks, {series} series", stored.len());
        // 120 samples a chunk, and 288 inside of most series: one chunk at least is whole.
        assert!(nth == 0 || 2 * same > series, "{same} whole chunks of {series} series");
    }
}

/// Limits of the server far below what there is to read: requests are split until they fit.
#[test]
#[ignore = "needs Debian's prometheus, prometheus-node-exporter and victoria-metrics"]
fn small_limits_of_the_server_cost_requests_and_no_samples() {
    let root = tempfile::tempdir().unwrap();
    let (cluster, window) = cluster(root.path(), 0.1, 30);
    let blocks = cluster.join("snapshot");
    let limits = ["--query.max-samples=700", "--storage.remote.read-sample-limit=600"];
    let server = Prometheus::serve(&root.path().join("server"), &blocks, "", &limits);
    let metrics = catalog();
    let truth = read(&blocks, &metrics, window);
    assert!(truth.len() > 10_000, "{}", truth.len());
    for protocol in [Protocol::Stream, Protocol::Samples, Protocol::Range] {
        let out = root.path().join(protocol.as_str());
        let (asked, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        remote::fetch(&request(&server.url(), Some(protocol), window, &out), &|event| {
            if let remote::Event::Asked { what, trouble, .. } = event
                && !what.starts_with("query ")
            {
                asked.fetch_add(1, Ordering::SeqCst);
                refused.fetch_add(usize::from(trouble.is_some()), Ordering::SeqCst);
            }
        })
        .unwrap();
        let came = read(&out, &metrics, window);
        assert!(came == if protocol == Protocol::Range { without_stale(&truth) } else { truth.clone() });
        let (asked, refused) = (asked.into_inner(), refused.into_inner());
        println!("{protocol}: {asked} requests, {refused} of them refused");
        // The limit is not for streams. Nor may it make a request for each minute.
        assert_eq!(refused > 0, protocol != Protocol::Stream);
        assert!(asked < 300, "{protocol}: {asked} requests");
    }
}

/// Two replicas of one Prometheus, told apart by external labels: the labels come with remote
/// read, and a report over both directories' blocks counts each joule once (rule N2).
#[test]
#[ignore = "needs Debian's prometheus, prometheus-node-exporter and victoria-metrics"]
fn replicas_are_labelled_and_count_once() {
    let root = tempfile::tempdir().unwrap();
    let (cluster, window) = cluster(root.path(), 0.3, 30);
    let blocks = cluster.join("snapshot");
    let bench = Bench::new();
    let metrics = catalog();
    let truth = read(&blocks, &metrics, window);
    for replica in ["a", "b"] {
        let labels = format!("cluster: hpc, replica: {replica}");
        let server = Prometheus::serve(&root.path().join(replica), &blocks, &labels, &[]);
        let ended = run(&bench, &server.url(), window, "both", &[]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(
            ended.stderr.contains("protocol   stream (remote read, chunks streamed)"),
            "{}",
            ended.stderr
        );
        // The sampled answer has them as well.
        let out = format!("samples_{replica}");
        let ended = run(&bench, &server.url(), window, &out, &["--protocol", "samples"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    let came = read(&bench.path("both"), &metrics, window);
    assert_eq!(came.len(), 2 * truth.len());
    for replica in ["a", "b"] {
        let label = format!(", replica=\"{replica}\"");
        let of: All = came
            .iter()
            .filter(|((labels, _), _)| labels.contains(&label) && labels.contains("cluster=\"hpc\", "))
            .map(|((labels, at_ms), bits)| ((labels.clone(), *at_ms), *bits))
            .collect();
        assert_eq!(of, read(&bench.path(&format!("samples_{replica}")), &metrics, window));
        let plain: All = of
            .into_iter()
            .map(|((labels, at_ms), bits)| {
                ((labels.replace("cluster=\"hpc\", ", "").replace(&label, ""), at_ms), bits)
            })
            .collect();
        assert!(
            plain
                == truth
                    .iter()
                    .map(|((labels, at_ms), bits)| ((labels.replace("cluster=\"hpc\", ", ""), *at_ms), *bits))
                    .collect()
        );
    }
    let (jobs, config) = (cluster.join("sacct.txt"), cluster.join("wattledger.toml"));
    let more = ["--jobs", jobs.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let once = report(&bench, &blocks, window, &more, "once");
    let twice = report(&bench, &bench.path("both"), window, &more, "twice");
    for table in ["runs.csv", "hourly.csv", "by_node.csv", "by_user.csv"] {
        assert!(once[Path::new(table)] == twice[Path::new(table)], "{table}");
    }
    let (once, twice) = (bench.table("once/meters.csv"), bench.table("twice/meters.csv"));
    assert_close(support::total(&twice, "series"), 2.0 * support::total(&once, "series"), 0.0);
    let used = |rows: &[support::Row]| rows.iter().filter(|row| row["status"] == "used").count();
    assert_eq!(used(&twice), used(&once));
    assert!(used(&once) > 20, "{}", used(&once));
}

/// What the endpoint of a rack of meters would show: a counter and a gauge of known power.
struct Meters {
    server: Server,
    silent: Arc<AtomicBool>,
}

const PACKAGE_W: f64 = 80.0;
const GPU_W: f64 = 250.0;

impl Meters {
    fn start() -> Self {
        let began = Instant::now();
        let silent = Arc::new(AtomicBool::new(false));
        let off = Arc::clone(&silent);
        let server = Server::start(move |_, stream| {
            if off.load(Ordering::SeqCst) {
                return answer(stream, "500 Internal Server Error", "text/plain", b"");
            }
            let joules = 1000.0 + PACKAGE_W * began.elapsed().as_secs_f64();
            let text = format!(
                "node_rapl_package_joules_total{{index=\"0\",path=\"/sys/class/powercap/intel-rapl:0\"}} {joules}\n\
                 node_uname_info{{nodename=\"n1\"}} 1\n\
                 DCGM_FI_DEV_POWER_USAGE{{gpu=\"0\",UUID=\"GPU-1\",Hostname=\"n1\"}} {GPU_W}\n"
            );
            answer(stream, "200 OK", "text/plain; version=0.0.4", text.as_bytes());
        });
        Self { server, silent }
    }
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

fn sleep_until(at_ms: i64) {
    let left = u64::try_from(at_ms - now_ms()).unwrap_or_default();
    std::thread::sleep(Duration::from_millis(left));
}

/// A server that scrapes: the same books from its snapshot, from its data directory after a
/// `kill -9`, and from what was fetched of it.
#[test]
#[ignore = "needs Debian's prometheus, prometheus-node-exporter and victoria-metrics"]
fn a_live_server_gives_the_same_books_by_every_way() {
    const GAP_MS: i64 = 8_000;
    let root = tempfile::tempdir().unwrap();
    let meters = Meters::start();
    let exporter_port = free_port();
    let exporter = Running::start(
        "prometheus-node-exporter",
        &[
            format!("--web.listen-address=127.0.0.1:{exporter_port}"),
            "--collector.disable-defaults".to_owned(),
            "--collector.cpu".to_owned(),
            "--collector.meminfo".to_owned(),
            "--collector.uname".to_owned(),
            "--collector.stat".to_owned(),
        ],
        &root.path().join("exporter.log"),
    );
    exporter.wait_until(|| http(exporter_port, "GET", "/metrics", "", b"").is_some());
    let config = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
         scrape_configs:\n\
         - {{ job_name: node, static_configs: [{{ targets: [\"127.0.0.1:{exporter_port}\"] }}] }}\n\
         - {{ job_name: meters, static_configs: [{{ targets: [\"{}\"] }}] }}\n",
        meters.server.address
    );
    let mut server = Prometheus::start(root.path(), &root.path().join("data"), &config, &[]);
    let vm = nodename(exporter_port);

    // Fetches end with a whole minute: the first one that leaves time enough.
    std::thread::sleep(Duration::from_secs(4));
    let start_ms = now_ms() / 1000 * 1000 + 3_000;
    let end_ms = (start_ms + 50_000).div_euclid(60_000) * 60_000 + 60_000;
    let window = Window::new(start_ms - 2_000, end_ms);
    let gap_ms = start_ms + 25_000;
    sleep_until(gap_ms);
    meters.silent.store(true, Ordering::SeqCst);
    sleep_until(gap_ms + GAP_MS);
    meters.silent.store(false, Ordering::SeqCst);
    sleep_until(end_ms + 3_000);

    let bench = Bench::new();
    for protocol in ["stream", "samples", "range"] {
        let ended = run(&bench, &server.url(), window, protocol, &["--protocol", protocol]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    let ended = run(&bench, &server.url(), window, "auto", &["--verbose"]);
    assert!(ended.stderr.contains("protocol   stream (remote read, chunks streamed)"), "{}", ended.stderr);
    let snapshot = server.snapshot();
    server.kill();
    let crashed = root.path().join("crashed");
    support::copy(&server.data, &crashed);
    std::fs::remove_dir_all(crashed.join("snapshots")).unwrap();

    let metrics = catalog();
    let truth = read(&snapshot, &metrics, window);
    assert_dumped(&snapshot, &metrics, window, &truth);
    assert!(truth == read(&crashed, &metrics, window), "the data directory");
    assert!(truth == read(&bench.path("stream"), &metrics, window), "stream");
    assert!(truth == read(&bench.path("samples"), &metrics, window), "samples");
    assert!(truth == read(&bench.path("auto"), &metrics, window), "auto");
    assert!(without_stale(&truth) == read(&bench.path("range"), &metrics, window), "range");
    let stale = truth.len() - without_stale(&truth).len();
    assert_eq!(stale, 3, "the series of the meters, when these were silent");

    let at = |s: f64| rfc3339(start_ms + (s * 1000.0) as i64);
    bench.write(
        "jobs.csv",
        &format!(
            "run_id,start,end,nodes\nmetered,{},{},n1\nacross,{},{},n1\nmodelled,{},{},{vm}\n",
            at(3.0),
            at(19.5),
            at(21.0),
            at(45.0),
            at(10.0),
            at(40.0),
        ),
    );
    bench.write("wattledger.toml", &format!("[[hardware]]\nnodes = \"{vm}\"\ncpu_tdp_w = 100\n"));
    let books = Window::new(start_ms, end_ms - 4_000);
    let report = |blocks: &Path, out: &str| report(&bench, blocks, books, &["--jobs", "jobs.csv"], out);
    let from_snapshot = report(&snapshot, "r_snapshot");
    for (blocks, name) in
        [(crashed, "r_crashed"), (bench.path("stream"), "r_stream"), (bench.path("samples"), "r_samples")]
    {
        let others = report(&blocks, name);
        for table in ["runs.csv", "hourly.csv", "by_node.csv"] {
            assert!(
                from_snapshot[Path::new(table)] == others[Path::new(table)],
                "{name}/{table}:\n{}\n{}",
                String::from_utf8_lossy(&from_snapshot[Path::new(table)]),
                String::from_utf8_lossy(&others[Path::new(table)]),
            );
        }
    }
    // A kilowatt-hour is 3.6 MJ. Scrapes are a second apart and take a moment themselves.
    let kwh = |watts: f64, seconds: f64| watts * seconds / 3.6e6;
    let runs = bench.table("r_snapshot/runs.csv");
    let energy = |runs: &[support::Row], id: &str| number(only(runs, "run_id", id), "energy_kwh");
    assert_close(energy(&runs, "metered"), kwh(PACKAGE_W + GPU_W, 16.5), 0.01);
    assert!(energy(&runs, "modelled") > 0.0);
    // While the meters were silent the counter went on, and the gauge said nothing: from the
    // stale marker to the next sample, a second less or more, there is no GPU energy.
    let silent_s = GAP_MS as f64 / 1000.0;
    let low = kwh(PACKAGE_W, 24.0) + kwh(GPU_W, 24.0 - silent_s - 2.0);
    let high = kwh(PACKAGE_W, 24.0) + kwh(GPU_W, 24.0 - silent_s + 2.0);
    let across = energy(&runs, "across");
    assert!(low < across && across < high, "{low} < {across} < {high}");
    // Range selectors do not say that the gauge had ended: it is taken to go on for these seconds.
    report(&bench.path("range"), "r_range");
    let lossy = bench.table("r_range/runs.csv");
    assert_close(energy(&lossy, "across"), kwh(PACKAGE_W + GPU_W, 24.0), 0.01);
    for id in ["metered", "modelled"] {
        assert_eq!(energy(&lossy, id), energy(&runs, id), "{id}");
    }
}

/// The name that the exporter gives its host.
fn nodename(port: u16) -> String {
    let metrics = http(port, "GET", "/metrics", "", b"").unwrap();
    let line = metrics.lines().find(|line| line.starts_with("node_uname_info{")).unwrap();
    line.split_once("nodename=\"").unwrap().1.split_once('"').unwrap().0.to_owned()
}

/// VictoriaMetrics 1.79, which was given what a simulated cluster's Prometheus has.
///
/// It keeps milliseconds and stale markers. It does not keep every bit: a value is a decimal
/// number, and those that stand together share an exponent. It drops a NaN that is no stale
/// marker when it is written. Two samples at one time it keeps both, and the later one counts.
#[test]
#[ignore = "needs Debian's prometheus, prometheus-node-exporter and victoria-metrics"]
fn victoria_metrics_exports_what_it_was_given() {
    let root = tempfile::tempdir().unwrap();
    let (cluster, window) = cluster(root.path(), 0.1, 30);
    let blocks = cluster.join("snapshot");
    let server = Victoria::start(root.path(), &[]);
    let metrics = catalog();
    server.feed(&blocks);
    let mut buffer = ReadBuffer::default();
    // Every kind of value; the first and the last millisecond of the window, and those outside.
    let end_ms = window.end_ms;
    let specials = [
        (window.start_ms - 1, 1.25_f64.to_bits()),
        (window.start_ms, 2.5_f64.to_bits()),
        (window.start_ms + 1, f64::INFINITY.to_bits()),
        (window.start_ms + 2, f64::NEG_INFINITY.to_bits()),
        (window.start_ms + 3, f64::NAN.to_bits()),
        (window.start_ms + 4, STALE_NAN_BITS),
        (window.start_ms + 5, (-7.5_f64).to_bits()),
        (end_ms - 2, 3.5_f64.to_bits()),
        (end_ms - 1, 4.5_f64.to_bits()),
        (end_ms, 5.5_f64.to_bits()),
    ];
    let name = [(METRIC_NAME, "lab_specials"), ("text", "a \"quoted\" \\ +Inf, ü")];
    server.write(&name, &specials);
    server.write(&[(METRIC_NAME, "lab_twice")], &[(end_ms - 9, 1_f64.to_bits())]);
    server.write(&[(METRIC_NAME, "lab_twice")], &[(end_ms - 9, 2_f64.to_bits())]);
    server.flush();

    let bench = Bench::new();
    let more = ["--match", "lab_specials", "--match", "{__name__=\"lab_twice\"}"];
    let ended = run(&bench, &server.url(), window, "auto", &more);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("protocol   export (VictoriaMetrics' export"), "{}", ended.stderr);
    let ended =
        run(&bench, &server.url(), window, "export", &[&more[..], &["--protocol", "export"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(support::files(&bench.path("auto")), support::files(&bench.path("export")));
    let ended = run(&bench, &server.url(), window, "range", &["--protocol", "range"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);

    let truth = read(&blocks, &metrics, window);
    let came = read(&bench.path("export"), &metrics, window);
    assert!(truth.keys().eq(came.keys()), "{} and {}", truth.len(), came.len());
    let mut worst = 0.0_f64;
    for (key, bits) in &truth {
        let (given, got) = (f64::from_bits(*bits), f64::from_bits(came[key]));
        if is_stale(given) {
            assert!(is_stale(got), "{key:?}");
            continue;
        }
        worst = worst.max((given - got).abs() / given.abs().max(1e-300));
    }
    println!("{} samples, at most {worst:e} off", truth.len());
    assert!(worst < 1e-12, "{worst:e}");
    // Its answer to a range selector has no stale markers: they come as plain NaN.
    let ranged = read(&bench.path("range"), &metrics, window);
    assert!(truth.keys().eq(ranged.keys()));
    assert!(truth.iter().all(|(key, bits)| {
        let got = f64::from_bits(ranged[key]);
        if is_stale(f64::from_bits(*bits)) {
            got.is_nan() && !is_stale(got)
        } else {
            ranged[key] == came[key]
        }
    }));

    let labs: BTreeSet<String> = ["lab_specials".to_owned(), "lab_twice".to_owned()].into();
    let database = Database::open(&bench.path("export")).unwrap();
    let mut read_lab = |metric: &str| {
        let found = database.select(&[Matcher::equal(METRIC_NAME, metric)], Window::ALL).unwrap();
        assert_eq!(found.len(), 1, "{labs:?}");
        database.read(&found[0], Window::ALL, &mut buffer, &mut ReadStats::default()).unwrap();
        let samples = buffer.samples().clone();
        let bits: Vec<(i64, u64)> = samples
            .timestamps_ms
            .into_iter()
            .zip(samples.values.iter().map(|value| value.to_bits()))
            .collect();
        (found[0].labels.get("text").map(str::to_owned), bits)
    };
    let (text, bits) = read_lab("lab_specials");
    assert_eq!(text.as_deref(), Some("a \"quoted\" \\ +Inf, ü"));
    // Those outside of the window are not there, nor is the NaN.
    assert_eq!(bits, [&specials[1..4], &specials[5..9]].concat());
    assert_eq!(read_lab("lab_twice").1, [(end_ms - 9, 2_f64.to_bits())]);
}

/// A limit of VictoriaMetrics on the series of a request, which any one metric meets and the catalog does not.
/// It refuses to count them already: each metric is asked for by itself.
#[test]
#[ignore = "needs Debian's prometheus, prometheus-node-exporter and victoria-metrics"]
fn a_limit_of_victoria_metrics_on_series_costs_requests_and_no_samples() {
    let root = tempfile::tempdir().unwrap();
    let (cluster, window) = cluster(root.path(), 0.1, 30);
    let blocks = cluster.join("snapshot");
    let metrics = catalog();
    let mut series: BTreeMap<String, usize> = BTreeMap::new();
    for found in Database::open(&blocks).unwrap().select(&[], window).unwrap() {
        if metrics.contains(found.labels.metric()) {
            *series.entry(found.labels.metric().to_owned()).or_default() += 1;
        }
    }
    let most = series.values().max().unwrap();
    assert!(series.values().sum::<usize>() > 2 * most, "{series:?}");
    let limits = [format!("-search.maxExportSeries={most}"), format!("-search.maxUniqueTimeseries={most}")];
    let server = Victoria::start(root.path(), &limits.each_ref().map(String::as_str));
    server.feed(&blocks);
    let truth = read(&blocks, &metrics, window);
    for protocol in [Protocol::Export, Protocol::Range] {
        let out = root.path().join(protocol.as_str());
        let (asked, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        remote::fetch(&request(&server.url(), Some(protocol), window, &out), &|event| match event {
            remote::Event::Asked { trouble: Some(trouble), .. } => {
                assert!(trouble.contains("number of matching timeseries exceeds"), "{trouble}");
                refused.fetch_add(1, Ordering::SeqCst);
            }
            remote::Event::Fetched { .. } => drop(asked.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        })
        .unwrap();
        assert!(truth.keys().eq(read(&out, &metrics, window).keys()), "{protocol}");
        assert_eq!((refused.into_inner(), asked.into_inner()), (1, metrics.len()), "{protocol}");
    }
}

/// Passes everything on to a server, and counts; can be told to stand still.
struct Proxy {
    server: Server,
    /// The request for data at which it does not answer any more.
    still_at: Arc<AtomicUsize>,
}

impl Proxy {
    fn before(upstream: u16) -> Self {
        let still_at = Arc::new(AtomicUsize::new(usize::MAX));
        let (still, reads) = (Arc::clone(&still_at), AtomicUsize::new(0));
        let server = Server::start(move |seen, stream| {
            if seen.is("/api/v1/read") {
                let nth = reads.fetch_add(1, Ordering::SeqCst);
                let began = Instant::now();
                while nth >= still.load(Ordering::SeqCst) {
                    if began.elapsed() > PATIENCE {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            let raw = forward(seen, &format!("127.0.0.1:{upstream}"));
            let _ = stream.write_all(&raw);
        });
        Self { server, still_at }
    }

    fn reads(&self) -> Vec<Seen> {
        self.server.asked("/api/v1/read")
    }
}

/// Stopped by force, by Ctrl-C and by a polite signal, and repeated: what was answered is not asked
/// for again, and the blocks are those of a fetch that nobody disturbed.
#[test]
#[ignore = "needs Debian's prometheus, prometheus-node-exporter and victoria-metrics"]
fn a_fetch_that_was_stopped_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let (cluster, window) = cluster(root.path(), 2.5, 60);
    let server = Prometheus::serve(&root.path().join("server"), &cluster.join("snapshot"), "", &[]);
    let bench = Bench::new();
    // Three days, of each the catalog and three selectors: twelve requests.
    let (from, to) = (rfc3339(window.start_ms), rfc3339(window.end_ms));
    let mut arguments: Vec<&str> =
        vec!["--from", &from, "--to", &to, "--protocol", "stream", "--connections", "1", "--match", "up"];
    arguments.extend(["--match", "node_load1", "--match", "{__name__=~\"node_memory_.*\"}"]);
    for (signal, ended) in
        [("-KILL", (None, Some(9))), ("-INT", (Some(130), None)), ("-TERM", (Some(143), None))]
    {
        let undisturbed = Proxy::before(server.port);
        let fetch = |proxy: &Proxy, out: &str| {
            let url = proxy.server.url();
            // A test may run where Ctrl-C is ignored.
            let mut command = Command::new("env");
            command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_wattledger"), "fetch"]);
            command.args(["--prometheus", &url, "--out", out]).args(&arguments);
            command.current_dir(bench.path("")).stdin(Stdio::null());
            command
        };
        // The address is part of the name of a block: one proxy for the two.
        let (whole, halved) = (format!("whole{signal}"), format!("halved{signal}"));
        let done = Bench::end(&mut fetch(&undisturbed, &whole), &bench.path(""));
        assert_eq!(done.code, 0, "{}", done.stderr);
        let first = undisturbed.reads();
        assert_eq!(first.len(), 12);

        // It answers six requests, of which four fill a day, and hangs at the seventh.
        undisturbed.still_at.store(12 + 6, Ordering::SeqCst);
        let mut command = fetch(&undisturbed, &halved);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while undisturbed.reads().len() < 12 + 7 {
            assert!(began.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), ended, "{status:?}");
        let blocks = |out: &str| {
            let blocks: Vec<PathBuf> = support::files(&bench.path(out))
                .into_keys()
                .filter(|name| name.ends_with("meta.json") || name.to_string_lossy().contains(".tmp"))
                .collect();
            blocks
        };
        assert_eq!(blocks(&halved).len(), 1, "one whole day and nothing half-written");
        let report = bench.run(&["inspect", "--snapshot", &halved]);
        assert_eq!(report.code, 0, "what is there can be read: {}", report.stderr);

        undisturbed.still_at.store(usize::MAX, Ordering::SeqCst);
        let before = undisturbed.reads().len();
        let ended = Bench::end(&mut fetch(&undisturbed, &halved), &bench.path(""));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(
            ended.stderr.contains("to do      2 blocks, 1 there already, 8 requests"),
            "{}",
            ended.stderr
        );
        let again: Vec<Vec<u8>> =
            undisturbed.reads()[before..].iter().map(|seen| seen.body.clone()).collect();
        let expected: Vec<Vec<u8>> = first[6..].iter().map(|seen| seen.body.clone()).collect();
        assert_eq!(again.len(), 6);
        assert!(again == expected, "{signal}");
        let (whole, halved_files) =
            (support::files(&bench.path(&whole)), support::files(&bench.path(&halved)));
        assert!(whole == halved_files, "{:?} and {:?}", whole.keys(), halved_files.keys());
        assert!(whole.len() >= 3 * 4);

        // Finished: nothing is asked at all.
        let before = undisturbed.server.seen().len();
        let ended = Bench::end(&mut fetch(&undisturbed, &halved), &bench.path(""));
        assert_eq!((ended.code, undisturbed.server.seen().len()), (0, before), "{}", ended.stderr);
        assert!(ended.stderr.contains("0 blocks written, 3 kept"), "{}", ended.stderr);
        assert!(support::files(&bench.path(&halved)) == whole);
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority in `directory`, as `<name>.pem` and `<name>.key`.
fn authority(directory: &Path, name: &str) {
    let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let files = ["-keyout", &key, "-out", &certificate, "-subj", &subject, "-days", "30"];
    openssl(directory, &[&request[..], &files].concat());
}

/// A certificate of `ca` for `name`, with `extension`.
fn certificate(directory: &Path, ca: &str, name: &str, extension: &str) {
    let file = |ending: &str| format!("{name}.{ending}");
    let request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let (key, csr, pem, ext) = (file("key"), file("csr"), file("pem"), file("ext"));
    let subject = format!("/CN={name}");
    openssl(directory, &[&request[..], &["-keyout", &key, "-out", &csr, "-subj", &subject]].concat());
    std::fs::write(directory.join(&ext), extension).unwrap();
    let (ca_pem, ca_key) = (format!("{ca}.pem"), format!("{ca}.key"));
    let sign = ["x509", "-req", "-in", &csr, "-CA", &ca_pem, "-CAkey", &ca_key, "-CAcreateserial"];
    openssl(directory, &[&sign[..], &["-out", &pem, "-days", "30", "-extfile", &ext]].concat());
}

/// A Prometheus that wants TLS, a certificate of the client and a password.
#[test]
#[ignore = "needs Debian's prometheus, prometheus-node-exporter and victoria-metrics"]
fn tls_client_certificates_and_passwords() {
    const SECRET: &str = "correct-horse-77";
    const HASH: &str = "$2b$04$mikU2T9PV1VPvX3DrB0Unet3NXUTrV5AgEu4ktiQaITjtQsOiYjC.";
    let root = tempfile::tempdir().unwrap();
    let (cluster, window) = cluster(root.path(), 0.05, 60);
    let bench = Bench::new();
    let keys = bench.path("");
    authority(&keys, "ca");
    authority(&keys, "other");
    certificate(&keys, "ca", "server", "subjectAltName=IP:127.0.0.1\n");
    certificate(&keys, "ca", "client", "extendedKeyUsage=clientAuth\n");
    certificate(&keys, "other", "stranger", "extendedKeyUsage=clientAuth\n");
    let both = |name: &str| {
        let text = |ending: &str| std::fs::read_to_string(bench.path(&format!("{name}.{ending}"))).unwrap();
        bench.write(&format!("{name}_both.pem"), &(text("pem") + &text("key")));
    };
    both("client");
    let web = format!(
        "tls_server_config:\n  cert_file: {0}/server.pem\n  key_file: {0}/server.key\n  \
         client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {0}/ca.pem\n\
         basic_auth_users:\n  reader: {HASH}\n",
        keys.display()
    );
    bench.write("web.yml", &web);
    bench.write("password", &format!("{SECRET}\n"));
    bench.write("wrong", "wrong-horse-78\n");
    let file = format!("--web.config.file={}", bench.path("web.yml").display());
    let server = Prometheus::serve(&root.path().join("server"), &cluster.join("snapshot"), "", &[&file]);
    let url = format!("https://127.0.0.1:{}", server.port);

    let ca = ["--ca-file", "ca.pem"];
    let client = ["--cert-file", "client.pem", "--key-file", "client.key"];
    let password = ["--user", "reader", "--password-file", "password"];
    let fetch = |url: &str, out: &str, flags: &[&[&str]]| {
        let ended = run(&bench, url, window, out, &[&flags.concat()[..], &["--verbose"]].concat());
        for text in [&ended.stderr, &ended.stdout] {
            assert!(!text.contains("horse"), "{text}");
            // `reader:correct-horse-77` and the wrong one in base64.
            assert!(!text.contains("cmVhZGVyOmNvcn") && !text.contains("cmVhZGVyOndyb2"), "{text}");
        }
        ended
    };
    let metrics = catalog();
    let truth = read(&cluster.join("snapshot"), &metrics, window);
    let ended = fetch(&url, "good", &[&ca, &client, &password]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(truth == read(&bench.path("good"), &metrics, window));
    // Certificate and key in one file.
    let ended = fetch(&url, "one_file", &[&ca, &["--cert-file", "client_both.pem"], &password]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);

    let wrong = |flags: &[&[&str]], url: &str, words: &[&str]| {
        let ended = fetch(url, "none", flags);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        for word in words {
            assert!(ended.stderr.contains(word), "{word:?} is not in:\n{}", ended.stderr);
        }
        assert!(!ended.stderr.contains("waiting "), "no second try: {}", ended.stderr);
        assert!(!bench.path("none").exists());
    };
    let unknown = [
        "UnknownIssuer",
        "\nhint: give the certificate of the authority that signed the server's with `--ca-file`",
    ];
    wrong(&[&["--ca-file", "other.pem"], &client, &password], &url, &unknown);
    wrong(&[&client, &password], &url, &unknown);
    let no_client =
        ["\nhint: the server does not accept this client: give the client's certificate with `--cert-file`"];
    wrong(&[&ca, &password], &url, &no_client);
    wrong(
        &[&ca, &["--cert-file", "stranger.pem", "--key-file", "stranger.key"], &password],
        &url,
        &no_client,
    );
    let who = ["answers 401", "\nhint: give `--user` with `--password-file`"];
    wrong(&[&ca, &client], &url, &who);
    wrong(&[&ca, &client, &["--user", "reader", "--password-file", "wrong"]], &url, &who);
    wrong(&[&ca, &client, &["--user", "nobody", "--password-file", "password"]], &url, &who);
    // The certificate is for the address, not for the name.
    let by_name = format!("https://localhost:{}", server.port);
    wrong(
        &[&ca, &client, &password],
        &by_name,
        &["\nhint: give the address with the name that the certificate is for"],
    );
    // Files that are not what they should be.
    wrong(
        &[&["--ca-file", "password"], &client],
        &url,
        &["cannot use `password` for TLS: ", "no certificate in PEM form"],
    );
    wrong(&[&ca, &["--cert-file", "client.pem"]], &url, &["cannot use `client.pem` for TLS: "]);
    wrong(&[&["--ca-file", "absent.pem"]], &url, &["cannot read `absent.pem`: No such file"]);
    // One side speaks TLS and the other does not.
    let plain = format!("http://127.0.0.1:{}", server.port);
    wrong(&[&password], &plain, &["HTTP request to an HTTPS server"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 16]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        std::thread::sleep(Duration::from_secs(2));
    });
    wrong(
        &[&ca],
        &format!("https://{}", address),
        &["\nhint: the server does not seem to speak TLS there: try `http://`"],
    );
}
