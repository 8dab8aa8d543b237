//! `fetch` against servers that are slow, break, lie, or are not what they seem.
//!
//! Everything is told by what the server was asked, by what stands on stderr, and by
//! what lies in the output directory. The samples are two series made up here and
//! written in each protocol by code of the test's own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod scripted;
mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use scripted::{Seen, Server, answer, in_chunks, proto, send};
use support::{Bench, Ended};
use wattledger::meter::catalog::Catalog;
use wattledger::source::remote::{self, Access, Protocol, RemoteError, Request, Retry, Summary};
use wattledger::time::Window;
use wattledger::tsdb::writer::xor;
use wattledger::tsdb::{Database, ReadBuffer, ReadStats};

/// 2025-06-02T00:00:00Z.
const START_MS: i64 = 1_748_822_400_000;
const WINDOW: Window = Window::new(START_MS, START_MS + 600_000);
const METRIC: &str = "node_cpu_seconds_total";
const SECRET: &str = "correct-horse-77";
/// `user:correct-horse-77` as basic authentication has it.
const CODED_SECRET: &str = "dXNlcjpjb3JyZWN0LWhvcnNlLTc3";
const PROTOCOLS: [Protocol; 4] = [Protocol::Stream, Protocol::Samples, Protocol::Range, Protocol::Export];

/// The samples of series `cpu`: 20 of them, 15 s apart.
fn samples(cpu: u32) -> Vec<(i64, f64)> {
    (0..20).map(|nth| (START_MS + 15_000 * nth + 7, 100.5 + f64::from(cpu) + 14.75 * nth as f64)).collect()
}

/// All samples by series and time, values by their bits.
type All = BTreeMap<(String, i64), u64>;

fn expected() -> All {
    let mut all = All::new();
    for cpu in 0..2 {
        for (at_ms, value) in samples(cpu) {
            let labels = format!("{{__name__=\"{METRIC}\", cpu=\"{cpu}\", mode=\"idle\"}}");
            all.insert((labels, at_ms), value.to_bits());
        }
    }
    all
}

/// Everything in the blocks under `out`.
fn read(out: &Path) -> All {
    let database = Database::open(out).unwrap();
    assert_eq!(database.left_out(), []);
    let mut all = All::new();
    let mut buffer = ReadBuffer::default();
    for series in database.select(&[], Window::ALL).unwrap() {
        database.read(&series, Window::ALL, &mut buffer, &mut ReadStats::default()).unwrap();
        let pairs: Vec<String> =
            series.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = format!("{{{}}}", pairs.join(", "));
        for (at_ms, value) in buffer.samples().timestamps_ms.iter().zip(&buffer.samples().values) {
            assert_eq!(all.insert((labels.clone(), *at_ms), value.to_bits()), None, "twice");
        }
    }
    all
}

/// Nothing under `out` looks like a block, whole or half, and no piece is torn.
fn assert_nothing_written(out: &Path) {
    let mut open = vec![out.to_owned()];
    while let Some(here) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&here) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(
                name == ".wattledger-fetch" || name.ends_with(".piece"),
                "`{}` was left behind",
                path.display()
            );
            open.push(path);
        }
    }
}

/// A good answer.
struct Whole {
    kind: &'static str,
    body: Vec<u8>,
}

fn series_labels(cpu: u32) -> Vec<u8> {
    proto::labels([("__name__", METRIC), ("cpu", &cpu.to_string()), ("mode", "idle")])
}

fn frame(message: &[u8]) -> Vec<u8> {
    let checksum = crc32c::crc32c(message).to_be_bytes();
    [&proto::varint(message.len() as u64)[..], &checksum, message].concat()
}

/// The frame of one series.
fn series_frame(cpu: u32) -> Vec<u8> {
    let (times, values): (Vec<i64>, Vec<f64>) = samples(cpu).into_iter().unzip();
    let chunk = [
        proto::int(1, times[0]),
        proto::int(2, times[times.len() - 1]),
        proto::int(3, 1),
        proto::bytes(4, &xor::encode(&times, &values)),
    ]
    .concat();
    let series = [series_labels(cpu), proto::bytes(2, &chunk)].concat();
    frame(&proto::bytes(1, &series))
}

fn whole(protocol: Protocol) -> Whole {
    match protocol {
        Protocol::Stream => Whole {
            kind: "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse",
            body: [series_frame(0), series_frame(1)].concat(),
        },
        Protocol::Samples => {
            let series = |cpu: u32| {
                let bits: Vec<(i64, u64)> =
                    samples(cpu).into_iter().map(|(at_ms, value)| (at_ms, value.to_bits())).collect();
                proto::bytes(1, &proto::series(&series_labels(cpu), &bits))
            };
            let message = proto::bytes(1, &[series(0), series(1)].concat());
            Whole { kind: "application/x-protobuf", body: proto::packed(&message) }
        }
        Protocol::Range => {
            let series = |cpu: u32| {
                let values: Vec<String> = samples(cpu)
                    .iter()
                    .map(|(at_ms, value)| format!("[{}.{:03},\"{value}\"]", at_ms / 1000, at_ms % 1000))
                    .collect();
                let metric = format!(r#"{{"__name__":"{METRIC}","cpu":"{cpu}","mode":"idle"}}"#);
                format!(r#"{{"metric":{metric},"values":[{}]}}"#, values.join(","))
            };
            let data = format!(r#"{{"resultType":"matrix","result":[{},{}]}}"#, series(0), series(1));
            let body = format!(r#"{{"status":"success","data":{data}}}"#).into_bytes();
            Whole { kind: "application/json", body }
        }
        Protocol::Pushdown => panic!("no samples"),
        Protocol::Export => {
            let line = |cpu: u32| {
                let (times, values): (Vec<String>, Vec<String>) =
                    samples(cpu).iter().map(|(at_ms, value)| (at_ms.to_string(), value.to_string())).unzip();
                let metric = format!(r#"{{"__name__":"{METRIC}","cpu":"{cpu}","mode":"idle"}}"#);
                let (times, values) = (times.join(","), values.join(","));
                format!("{{\"metric\":{metric},\"values\":[{values}],\"timestamps\":[{times}]}}\n")
            };
            let body = [line(0), line(1)].concat().into_bytes();
            Whole { kind: "application/stream+json; charset=utf-8", body }
        }
    }
}

/// False for the questions by which the size of a request is chosen.
fn asks_for_data(seen: &Seen) -> bool {
    let counts = ["query=count", "query=max"].iter().any(|start| seen.body.starts_with(start.as_bytes()));
    !(seen.is("/api/v1/query") && counts)
}

fn data_requests(server: &Server) -> Vec<Seen> {
    server.seen().into_iter().filter(asks_for_data).collect()
}

/// A server of `protocol`. `fault` gets the number of each request for data and says
/// true if it has answered itself; what it has not is answered well.
fn serve(
    protocol: Protocol,
    fault: impl Fn(usize, &Whole, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> Server {
    let whole = whole(protocol);
    let asked = AtomicUsize::new(0);
    Server::start(move |seen, stream| {
        if !asks_for_data(seen) {
            let nothing = br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
            answer(stream, "200 OK", "application/json", nothing);
        } else if !fault(asked.fetch_add(1, Ordering::SeqCst), &whole, stream) {
            answer(stream, "200 OK", whole.kind, &whole.body);
        }
    })
}

fn request(url: &str, protocol: Option<Protocol>, out: &Path) -> Request {
    Request {
        access: Access { url: url.to_owned(), ..Access::default() },
        window: WINDOW,
        metrics: vec![METRIC.to_owned()],
        selectors: Vec::new(),
        out: out.to_owned(),
        protocol,
        pushdown: None,
        connections: 2,
        retry: Retry {
            retries: 2,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(20),
        },
        timeout: Duration::from_secs(20),
    }
}

fn fetch(server: &Server, protocol: Protocol, out: &Path) -> Result<Summary, RemoteError> {
    remote::fetch(&request(&server.url(), Some(protocol), out), &|_| {})
}

/// Runs `wattledger fetch` for the window, with the output in `blocks`.
fn run(bench: &Bench, url: &str, more: &[&str], environment: &[(&str, &str)]) -> Ended {
    let window = ["--from", "2025-06-02T00:00:00Z", "--to", "2025-06-02T00:10:00Z", "--out", "blocks"];
    let mut command = bench.command(&[&["fetch", "--prometheus", url], &window[..], more].concat());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.env_remove("WATTLEDGER_PASSWORD").env_remove("WATTLEDGER_BEARER_TOKEN");
    command.envs(environment.iter().copied());
    let ended = Bench::end(&mut command, &bench.path(""));
    for text in [&ended.stderr, &ended.stdout] {
        assert!(!text.contains(SECRET) && !text.contains(CODED_SECRET), "{text}");
    }
    ended
}

#[test]
fn every_protocol_brings_every_sample() {
    for protocol in PROTOCOLS {
        let server = serve(protocol, |_, _, _| false);
        let out = tempfile::tempdir().unwrap();
        let summary = fetch(&server, protocol, out.path()).unwrap();
        assert_eq!(read(out.path()), expected(), "{protocol}");
        assert_eq!((summary.tally.samples, data_requests(&server).len()), (40, 1), "{protocol}");
        assert_eq!(summary.tally.chunks_kept, if protocol == Protocol::Stream { 2 } else { 0 });
        // The same once more finds its block, and asks nothing.
        let again = fetch(&server, protocol, out.path()).unwrap();
        assert_eq!((again.written.len(), again.kept), (0, summary.written));
        assert_eq!(server.seen().len(), 5, "four about sizes, one about data");
        assert!(!out.path().join(".wattledger-fetch").exists());
    }
}

/// What the block says about how it came, for the report to repeat.
#[test]
fn blocks_say_what_their_protocol_loses() {
    let words = |protocol| match protocol {
        Protocol::Stream | Protocol::Samples => Vec::new(),
        Protocol::Range => vec!["stale markers are lost", "external labels"],
        Protocol::Export => vec!["cannot be told apart", "last digits"],
        Protocol::Pushdown => panic!("no samples"),
    };
    for protocol in PROTOCOLS {
        let server = serve(protocol, |_, _, _| false);
        let out = tempfile::tempdir().unwrap();
        let block = fetch(&server, protocol, out.path()).unwrap().written.remove(0);
        let meta: serde_json::Value =
            serde_json::from_slice(&std::fs::read(block.join("meta.json")).unwrap()).unwrap();
        let section = &meta["wattledger"]["fetch"];
        assert_eq!(section["protocol"], protocol.as_str());
        let notes: Vec<&str> =
            section["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
        let words = words(protocol);
        assert_eq!(notes.len(), words.len());
        assert!(notes.iter().zip(words).all(|(note, words)| note.contains(words)), "{notes:?}");
    }
}

/// Passing trouble, then a good answer: every sample once, as many requests as it took.
#[test]
fn what_passes_is_tried_again() {
    type Fault = fn(&Whole, &mut TcpStream);
    let faults: [(&str, Fault); 5] = [
        ("503", |_, stream| answer(stream, "503 Service Unavailable", "text/plain", b"not now")),
        ("502 of a proxy", |_, stream| answer(stream, "502 Bad Gateway", "text/html", b"<title>no</title>")),
        ("closed without an answer", |_, _| {}),
        ("cut in the middle, with a length", |whole, stream| {
            let (kind, length) =
                (format!("Content-Type: {}", whole.kind), format!("Content-Length: {}", whole.body.len()));
            send(stream, "200 OK", &[&kind, &length], &whole.body[..whole.body.len() / 2 + 20]);
        }),
        ("cut in the middle, in chunks", |whole, stream| {
            let kind = format!("Content-Type: {}", whole.kind);
            let coded = in_chunks(&whole.body[..whole.body.len() / 2 + 20]);
            send(stream, "200 OK", &[&kind, "Transfer-Encoding: chunked"], &coded);
        }),
    ];
    for protocol in PROTOCOLS {
        for (name, fault) in faults {
            let server = serve(protocol, move |nth, whole, stream| {
                if nth < 2 {
                    fault(whole, stream);
                }
                nth < 2
            });
            let out = tempfile::tempdir().unwrap();
            let waits = Mutex::new(Vec::new());
            let summary = remote::fetch(&request(&server.url(), Some(protocol), out.path()), &|event| {
                if let remote::Event::Retrying { wait, .. } = event {
                    waits.lock().unwrap().push(wait.as_millis());
                }
            })
            .unwrap_or_else(|error| panic!("{protocol}, {name}: {error}"));
            assert_eq!(data_requests(&server).len(), 3, "{protocol}, {name}");
            assert_eq!(read(out.path()), expected(), "{protocol}, {name}");
            assert_eq!((summary.tally.samples, waits.into_inner().unwrap()), (40, vec![5, 10]));

            // For ever: as many tries as allowed, then an error.
            let server = serve(protocol, move |_, whole, stream| {
                fault(whole, stream);
                true
            });
            let out = tempfile::tempdir().unwrap();
            let error = fetch(&server, protocol, out.path()).unwrap_err();
            assert_eq!(data_requests(&server).len(), 3, "{protocol}, {name}: {error}");
            assert!(
                error.hint().unwrap().contains("run the same command again"),
                "{protocol}, {name}: {error}"
            );
            assert!(!matches!(error, RemoteError::GivenUp));
            assert_nothing_written(out.path());
        }
    }
}

/// An answer that ends where it may end, on a connection that says neither how long it
/// is nor that it is over: nobody can tell it from one that was cut.
#[test]
fn a_cut_that_does_not_show_is_not_taken_for_an_end() {
    for protocol in [Protocol::Stream, Protocol::Export] {
        let server = serve(protocol, move |_, whole, stream| {
            let one = match protocol {
                Protocol::Stream => series_frame(0).len(),
                _ => whole.body.iter().position(|byte| *byte == b'\n').unwrap() + 1,
            };
            send(stream, "200 OK", &[&format!("Content-Type: {}", whole.kind)], &whole.body[..one]);
            true
        });
        let out = tempfile::tempdir().unwrap();
        let error = fetch(&server, protocol, out.path()).unwrap_err();
        assert!(error.to_string().contains("neither a length nor chunks"), "{error}");
        assert_eq!(data_requests(&server).len(), 1);
        assert_nothing_written(out.path());
    }
    // Of the others the content tells: whole it is taken, cut it is asked for again.
    for protocol in [Protocol::Samples, Protocol::Range] {
        let server = serve(protocol, |nth, whole, stream| {
            let length = if nth == 0 { whole.body.len() - 30 } else { whole.body.len() };
            send(stream, "200 OK", &[&format!("Content-Type: {}", whole.kind)], &whole.body[..length]);
            true
        });
        let out = tempfile::tempdir().unwrap();
        fetch(&server, protocol, out.path()).unwrap();
        assert_eq!(read(out.path()), expected(), "{protocol}");
        assert_eq!(data_requests(&server).len(), 2);
    }
}

/// Answers with 200 that are not what was asked for: one request, no second try.
#[test]
fn answers_of_another_kind_are_refused() {
    let page = b"<html><head><title>Sign in</title></head><body>please</body></html>";
    let refused = br#"{"status":"error","errorType":"execution","error":"no such tenant"}"#;
    type Case = (Option<&'static str>, &'static [u8], &'static str);
    let cases: [Case; 4] = [
        (Some("text/html; charset=utf-8"), page, "Sign in"),
        (Some("application/json"), refused, "no such tenant"),
        // Of the kind that was asked for, but nonsense; of frames there is a test of their own.
        (None, b"{\"status\":5}\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", ""),
        (Some("text/plain"), b"hello", ""),
    ];
    for protocol in PROTOCOLS {
        for (kind, body, words) in cases {
            if kind.is_none() && protocol == Protocol::Stream {
                continue;
            }
            let server = serve(protocol, move |_, whole, stream| {
                answer(stream, "200 OK", kind.unwrap_or(whole.kind), body);
                true
            });
            let out = tempfile::tempdir().unwrap();
            let error = fetch(&server, protocol, out.path()).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, RemoteError::Form { .. }), "{protocol}: {error:?}");
            // Protocol buffers are told by the content type, whatever is in them.
            if matches!(protocol, Protocol::Range) {
                assert!(text.contains(words), "{protocol}: {text}");
            }
            assert!(error.hint().unwrap().contains("login page"), "{text}");
            assert_eq!(data_requests(&server).len(), 1, "{protocol}: {text}");
            assert_nothing_written(out.path());
        }
    }
}

#[test]
fn frames_that_lie_are_refused() {
    let wrong_checksum = || {
        let mut body = [series_frame(0), series_frame(1)].concat();
        let last = body.len() - 1;
        body[last] ^= 1;
        body
    };
    type Case = (&'static str, Vec<u8>, &'static str, usize);
    let cases: [Case; 5] = [
        // A damaged frame may come whole next time.
        ("checksum", wrong_checksum(), "checksum", 3),
        ("a length of 2^62", [series_frame(0), proto::varint(1 << 62)].concat(), "is announced", 1),
        ("a length without end", vec![0xff; 40], "exceeds 63 bits", 1),
        (
            "more than comes",
            [series_frame(0), proto::varint(40 << 20), vec![7; 100]].concat(),
            "inside a frame",
            3,
        ),
        // Prometheus writes what went wrong after the frames.
        ("text", [series_frame(0), b"expanding series: context canceled\n".to_vec()].concat(), "cut off", 3),
    ];
    for (name, body, words, requests) in cases {
        let server = serve(Protocol::Stream, move |_, whole, stream| {
            answer(stream, "200 OK", whole.kind, &body);
            true
        });
        let out = tempfile::tempdir().unwrap();
        let error = fetch(&server, Protocol::Stream, out.path()).unwrap_err();
        assert!(error.to_string().contains(words), "{name}: {error}");
        assert_eq!(data_requests(&server).len(), requests, "{name}");
        assert_nothing_written(out.path());
    }
}

/// A chunk that does not decode costs that chunk, and is counted.
#[test]
fn a_damaged_chunk_in_a_sound_frame_is_left_out() {
    let chunk = [proto::int(3, 1), proto::bytes(4, &[0, 9, 1, 2])].concat();
    let histogram = [proto::int(3, 2), proto::bytes(4, &[0, 1, 0, 0, 0, 0])].concat();
    let labels = series_labels(7);
    let series = [labels, proto::bytes(2, &chunk), proto::bytes(2, &histogram)].concat();
    let body = [series_frame(0), series_frame(1), frame(&proto::bytes(1, &series))].concat();
    let server = serve(Protocol::Stream, move |_, whole, stream| {
        answer(stream, "200 OK", whole.kind, &body);
        true
    });
    let bench = Bench::new();
    let ended = run(&bench, &server.url(), &["--protocol", "stream", "--strict"], &[]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("1 chunks that do not decode"), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 chunks in encoding histogram"), "{}", ended.stderr);
    assert_eq!(read(&bench.path("blocks")), expected());
}

/// Runs the program with at most `mebibytes` of address space.
fn run_in(bench: &Bench, mebibytes: u32, url: &str, protocol: &str) -> Ended {
    let mut command = Command::new("sh");
    let limited = format!("ulimit -v {} && exec \"$0\" \"$@\"", mebibytes * 1024);
    command.current_dir(bench.path("")).args(["-c", &limited, env!("CARGO_BIN_EXE_wattledger")]);
    command.args(["fetch", "--prometheus", url, "--protocol", protocol, "--out", "blocks"]);
    command.args(["--from", "2025-06-02T00:00:00Z", "--to", "2025-06-02T00:10:00Z", "--retries", "1"]);
    Bench::end(command.stdin(Stdio::null()), &bench.path(""))
}

/// Of 10 min, 5, 2.5 and 1.25 none is short enough, and nothing shorter than a minute is asked for: then half of
/// the catalog's metrics are, half of those, and so on, down to one.
fn halvings() -> usize {
    Catalog::shipped().unwrap().metrics().count().ilog2() as usize
}

/// Four gibibytes of white space in four mebibytes of gzip: members can follow each other.
#[test]
fn a_gzip_bomb_costs_no_memory() {
    let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    member.write_all(&vec![b' '; 1 << 20]).unwrap();
    let bomb = member.finish().unwrap().repeat(4096);
    assert!(bomb.len() < 8 << 20);
    for (protocol, name) in [(Protocol::Range, "range"), (Protocol::Export, "export")] {
        let bomb = bomb.clone();
        let server = serve(protocol, move |_, whole, stream| {
            let (kind, length) =
                (format!("Content-Type: {}", whole.kind), format!("Content-Length: {}", bomb.len()));
            send(stream, "200 OK", &[&kind, &length, "Content-Encoding: gzip"], &bomb);
            true
        });
        let bench = Bench::new();
        let ended = run_in(&bench, 1024, &server.url(), name);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        assert!(ended.stderr.contains("would answer too much at once"), "{}", ended.stderr);
        assert!(ended.stderr.contains("128 MiB"), "{}", ended.stderr);
        assert!(ended.stderr.contains("\nhint: "), "{}", ended.stderr);
        assert_eq!(data_requests(&server).len(), 4 + halvings());
        assert_nothing_written(&bench.path("blocks"));
    }
}

#[test]
fn a_snappy_bomb_costs_no_memory() {
    // The length that it claims stands in front: 4 GiB less one byte.
    let claim = [proto::varint(u64::from(u32::MAX)), vec![0; 100]].concat();
    let server = serve(Protocol::Samples, move |_, whole, stream| {
        answer(stream, "200 OK", whole.kind, &claim);
        true
    });
    let bench = Bench::new();
    let ended = run_in(&bench, 1024, &server.url(), "samples");
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("claim to hold 4294967295"), "{}", ended.stderr);
    assert_eq!(data_requests(&server).len(), 1);
    assert_nothing_written(&bench.path("blocks"));
    // A real one: a gibibyte of zeros in 50 MiB is believed, and too much.
    let bomb = proto::packed(&vec![0; 1 << 30]);
    let server = serve(Protocol::Samples, move |_, whole, stream| {
        answer(stream, "200 OK", whole.kind, &bomb);
        true
    });
    let ended = run_in(&bench, 1024, &server.url(), "samples");
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("1024 MiB when unpacked"), "{}", ended.stderr);
    assert_eq!(data_requests(&server).len(), 4 + halvings());
    assert_nothing_written(&bench.path("blocks"));
}

/// `--timeout` is how long the server may be silent, not how long an answer may take.
#[test]
fn silence_ends_slowness_does_not() {
    let server = serve(Protocol::Stream, |_, _, stream| {
        std::thread::sleep(Duration::from_millis(2500));
        answer(stream, "200 OK", "text/plain", b"");
        true
    });
    let bench = Bench::new();
    let began = Instant::now();
    let patience = ["--protocol", "stream", "--timeout", "1", "--retries", "1"];
    let ended = run(&bench, &server.url(), &patience, &[]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("error: cannot fetch: cannot ask `http://127.0.0.1:"), "{}", ended.stderr);
    assert!(ended.stderr.contains("timed out"), "{}", ended.stderr);
    assert!(ended.stderr.contains("\nhint: run the same command again"), "{}", ended.stderr);
    assert_eq!(data_requests(&server).len(), 2);
    // Twice a second of silence, half a second between.
    let took = began.elapsed();
    assert!(took > Duration::from_millis(2400) && took < Duration::from_secs(20), "{took:?}");
    assert_nothing_written(&bench.path("blocks"));

    let server = serve(Protocol::Stream, |_, whole, stream| {
        let (kind, length) =
            (format!("Content-Type: {}", whole.kind), format!("Content-Length: {}", whole.body.len()));
        send(stream, "200 OK", &[&kind, &length], &[]);
        for part in whole.body.chunks(whole.body.len().div_ceil(6)) {
            std::thread::sleep(Duration::from_millis(400));
            let _ = stream.write_all(part);
        }
        true
    });
    let ended = run(&bench, &server.url(), &patience, &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(data_requests(&server).len(), 1);
    assert_eq!(read(&bench.path("blocks")), expected());
}

#[test]
fn the_wait_that_a_server_asks_for_is_kept() {
    // A date has whole seconds: up to one of the three is lost to that.
    for (by_date, at_least_ms) in [(false, 2000), (true, 1900)] {
        let server = serve(Protocol::Stream, move |nth, _, stream| {
            let date = chrono::Utc::now() + chrono::Duration::seconds(3);
            let when =
                if by_date { date.format("%a, %d %b %Y %H:%M:%S GMT").to_string() } else { "2".to_owned() };
            if nth == 0 {
                let header = format!("Retry-After: {when}");
                send(stream, "429 Too Many Requests", &[&header, "Content-Length: 0"], b"");
            }
            nth == 0
        });
        let bench = Bench::new();
        let ended = run(&bench, &server.url(), &["--protocol", "stream"], &[]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stderr.contains("waiting "), "{}", ended.stderr);
        let asked = data_requests(&server);
        assert_eq!(asked.len(), 2);
        let waited = asked[1].at - asked[0].at;
        assert!(
            waited >= Duration::from_millis(at_least_ms) && waited < Duration::from_secs(20),
            "{waited:?}: {}",
            ended.stderr
        );
        assert_eq!(read(&bench.path("blocks")), expected());
    }
}

#[test]
fn a_server_that_stays_away_is_given_up() {
    let server = serve(Protocol::Stream, |_, _, stream| {
        answer(stream, "503 Service Unavailable", "text/plain", b"being repaired");
        true
    });
    let bench = Bench::new();
    let ended = run(&bench, &server.url(), &["--protocol", "stream", "--retries", "2"], &[]);
    assert_eq!(ended.code, 1);
    let url = format!("`{}/api/v1/read` answers 503: being repaired", server.url());
    assert!(
        ended.stderr.contains(&format!("error: cannot fetch: {url}\nhint: run the same")),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("waiting    0.5 s") && ended.stderr.contains("waiting    1.0 s"));
    assert_eq!(data_requests(&server).len(), 3);
    assert_nothing_written(&bench.path("blocks"));
    // Nobody listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let ended = run(&bench, &url, &["--retries", "0"], &[]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("refused") && ended.stderr.contains("\nhint: "), "{}", ended.stderr);
    assert!(!bench.path("blocks").join(".wattledger-fetch").exists());
}

/// A redirect could carry the password to another host.
#[test]
fn no_redirect_is_followed() {
    let other = Server::start(|_, stream| answer(stream, "200 OK", "text/plain", b"thanks"));
    let target = format!("Location: {}/api/v1/read?key=abc", other.url());
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let target = target.clone();
        let server =
            Server::start(move |_, stream| send(stream, status, &[&target, "Content-Length: 0"], b""));
        let bench = Bench::new();
        let ended =
            run(&bench, &server.url(), &["--user", "user", "--verbose"], &[("WATTLEDGER_PASSWORD", SECRET)]);
        assert_eq!(ended.code, 1);
        let said = format!("redirects to `{}/api/v1/read`\nhint: no redirect is followed", other.url());
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
        assert_eq!(server.seen().len(), 1);
        assert_nothing_written(&bench.path("blocks"));
    }
    assert_eq!(other.connections(), 0);
}

/// A server that repeats what it was sent, as some proxies do in their error pages.
#[test]
fn secrets_are_sent_and_shown_nowhere() {
    let echo = || {
        Server::start(|seen, stream| {
            let headers: Vec<String> =
                seen.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            answer(stream, "401 Unauthorized", "text/plain", headers.join(", ").as_bytes());
        })
    };
    let bench = Bench::new();
    bench.write("password", &format!("{SECRET}\n"));
    bench.write("headers", &format!("X-Key: {SECRET}\n\nX-Other: plain\n"));
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str, String);
    let basic = format!("Basic {CODED_SECRET}");
    let cases: [Case<'_>; 6] = [
        (&["--user", "user", "--password-file", "password"], &[], "authorization", basic.clone()),
        (&["--user", "user"], &[("WATTLEDGER_PASSWORD", SECRET)], "authorization", basic),
        (&["--bearer-token-file", "password"], &[], "authorization", format!("Bearer {SECRET}")),
        (&[], &[("WATTLEDGER_BEARER_TOKEN", SECRET)], "authorization", format!("Bearer {SECRET}")),
        (&["--header-file", "headers"], &[], "x-key", SECRET.to_owned()),
        (&["--header", "X-Scope-OrgID: hpc|ml"], &[], "x-scope-orgid", "hpc|ml".to_owned()),
    ];
    for (flags, environment, header, value) in cases {
        for protocol in ["auto", "stream", "range"] {
            let server = echo();
            let more = [flags, &["--verbose", "--protocol", protocol][..]].concat();
            let ended = run(&bench, &server.url(), &more, environment);
            assert_eq!(ended.code, 1, "{}", ended.stderr);
            assert!(ended.stderr.contains("answers 401"), "{}", ended.stderr);
            assert!(
                ended.stderr.contains("\nhint: give `--user` with `--password-file`"),
                "{}",
                ended.stderr
            );
            let seen = server.seen();
            assert_eq!(seen.len(), 1, "no second try: {}", ended.stderr);
            assert_eq!(seen[0].header(header), Some(value.as_str()));
            assert_eq!(seen[0].header("x-other").is_some(), flags.contains(&"--header-file"));
            assert_nothing_written(&bench.path("blocks"));
        }
    }
}

#[test]
fn a_proxy_is_taken_from_the_environment() {
    // It answers itself: nobody has to know where `prometheus.example` is.
    let proxy = serve(Protocol::Stream, |_, _, _| false);
    let bench = Bench::new();
    for (nth, name) in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"].into_iter().enumerate() {
        let out = format!("blocks{nth}");
        let arguments = [
            &["fetch", "--prometheus", "http://prometheus.example:9090/base", "--protocol", "stream"][..],
            &["--from", "2025-06-02T00:00:00Z", "--to", "2025-06-02T00:10:00Z", "--out", &out],
        ];
        let mut command = bench.command(&arguments.concat());
        for other in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(other).env_remove(other.to_ascii_lowercase());
        }
        command.env(name, proxy.url());
        let ended = Bench::end(&mut command, &bench.path(""));
        assert_eq!(ended.code, 0, "{name}: {}", ended.stderr);
        assert_eq!(read(&bench.path(&out)), expected());
        let reads = proxy.asked("/api/v1/read");
        assert_eq!(reads.len(), nth + 1);
        assert_eq!(reads[nth].target, "POST http://prometheus.example:9090/base/api/v1/read");
        assert_eq!(reads[nth].header("host"), Some("prometheus.example:9090"));
    }
    // A proxy that wants a password, and repeats what it was sent.
    let strict = Server::start(|seen, stream| {
        let sent = seen.header("proxy-authorization").unwrap_or("nothing");
        answer(
            stream,
            "407 Proxy Authentication Required",
            "text/plain",
            format!("you sent {sent}").as_bytes(),
        );
    });
    let address = strict.url().replace("http://", "http://user:correct%2Dhorse-77@");
    let more = ["--protocol", "stream", "--verbose"];
    let ended = run(&bench, "http://prometheus.example", &more, &[("HTTP_PROXY", &address)]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.contains("answers 407: you sent Basic [redacted]\nhint: the proxy"),
        "{}",
        ended.stderr
    );
    assert_eq!(strict.seen()[0].header("proxy-authorization"), Some(&*format!("Basic {CODED_SECRET}")));
    // The loopback interface is one's own, never a proxy's.
    let server = serve(Protocol::Stream, |_, _, _| false);
    let before = proxy.connections();
    let ended = run(&bench, &server.url(), &["--protocol", "stream"], &[("HTTP_PROXY", &proxy.url())]);
    assert_eq!((ended.code, proxy.connections()), (0, before), "{}", ended.stderr);
}

/// How a server is asked if nobody insists, and what is said of it.
#[test]
fn the_best_protocol_on_offer_is_taken() {
    // What each of these servers knows; all else is 404.
    type Case = (&'static [Protocol], Protocol, &'static str, usize);
    let cases: [Case; 4] = [
        (&PROTOCOLS, Protocol::Stream, "protocol   stream (remote read, chunks streamed)", 1),
        (
            &[Protocol::Samples, Protocol::Range],
            Protocol::Samples,
            "protocol   samples (remote read, samples)",
            1,
        ),
        (
            &[Protocol::Range, Protocol::Export],
            Protocol::Export,
            "protocol   export (VictoriaMetrics' export",
            2,
        ),
        (
            &[Protocol::Range],
            Protocol::Range,
            "protocol   range (raw range selectors: stale markers are lost)",
            3,
        ),
    ];
    for (offered, chosen, words, probes) in cases {
        let server = Server::start(move |seen, stream| {
            let path = |protocol: &&Protocol| match protocol {
                Protocol::Stream | Protocol::Samples => seen.is("/api/v1/read"),
                Protocol::Range => seen.is("/api/v1/query"),
                Protocol::Export => seen.is("/api/v1/export"),
                Protocol::Pushdown => false,
            };
            match offered.iter().find(path) {
                Some(_) if !asks_for_data(seen) => {
                    let nothing = br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
                    answer(stream, "200 OK", "application/json", nothing);
                }
                Some(protocol) => {
                    let whole = whole(*protocol);
                    answer(stream, "200 OK", whole.kind, &whole.body);
                }
                None => answer(stream, "404 Not Found", "text/plain", b"404 page not found\n"),
            }
        });
        let bench = Bench::new();
        let ended = run(&bench, &server.url(), &[], &[]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        assert_eq!(read(&bench.path("blocks")), expected(), "{chosen}");
        // The probes, four questions about sizes unless there are no queries, and one for the data.
        let sizes = if offered.contains(&Protocol::Range) { 4 } else { 1 };
        assert_eq!(server.seen().len(), probes + sizes + 1, "{chosen}");
        // To insist on one that is not there is an error that names it.
        if !offered.contains(&Protocol::Export) {
            let ended = run(&bench, &server.url(), &["--protocol", "export"], &[]);
            assert_eq!(ended.code, 1);
            assert!(ended.stderr.contains("/api/v1/export` answers 404"), "{}", ended.stderr);
            assert!(ended.stderr.contains("\nhint: the address must be"), "{}", ended.stderr);
        }
    }
}

#[test]
fn a_server_that_offers_nothing_is_named_with_what_was_tried() {
    let server =
        Server::start(|_, stream| answer(stream, "404 Not Found", "text/plain", b"404 page not found\n"));
    let bench = Bench::new();
    let ended = run(&bench, &server.url(), &[], &[]);
    assert_eq!(ended.code, 1);
    let said =
        format!("error: cannot fetch: `{}/` offers no way to read its samples: remote read: ", server.url());
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    for tried in ["remote read: ", "; export: ", "; range selectors: ", "answers 404: 404 page not found"] {
        assert!(ended.stderr.contains(tried), "{}", ended.stderr);
    }
    assert!(ended.stderr.contains("\nhint: `--verbose` shows each request"), "{}", ended.stderr);
    assert_eq!(server.seen().len(), 3);
    assert_nothing_written(&bench.path("blocks"));
    // A page for every path, as the front of a web application is: the same.
    let server = Server::start(|_, stream| answer(stream, "200 OK", "text/html", b"<title>App</title>"));
    let ended = run(&bench, &server.url(), &[], &[]);
    assert_eq!((ended.code, server.seen().len()), (1, 3), "{}", ended.stderr);
    assert!(ended.stderr.contains("offers no way to read its samples"), "{}", ended.stderr);
    // An empty answer to everything is no export of nothing.
    let server = Server::start(|_, stream| answer(stream, "200 OK", "text/plain", b""));
    let ended = run(&bench, &server.url(), &[], &[]);
    assert_eq!((ended.code, server.seen().len()), (1, 3), "{}", ended.stderr);
    assert_nothing_written(&bench.path("blocks"));
}

/// A limit of the server on the samples of one answer: the window is halved until it fits,
/// and nothing is lost or doubled at the seams.
#[test]
fn what_is_too_much_at_once_is_asked_for_in_parts() {
    for protocol in [Protocol::Samples, Protocol::Range, Protocol::Export] {
        // A window of ten minutes is too much, one of five is not.
        let server = serve(protocol, |nth, _, stream| {
            if nth == 0 {
                let (status, said) =
                    ("422 Unprocessable Entity", br#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}"#);
                answer(stream, status, "application/json", said);
            }
            nth == 0
        });
        let out = tempfile::tempdir().unwrap();
        let summary = fetch(&server, protocol, out.path()).unwrap();
        // All 20 samples of a series lie in the first half of the window; the answers hold
        // them all, and what lies outside of the half that was asked for is dropped.
        assert_eq!((data_requests(&server).len(), summary.tally.samples), (3, 40), "{protocol}");
        assert_eq!(read(out.path()), expected(), "{protocol}");
    }
}

/// Secrets in what a server says besides errors: in warnings, in what limit was passed, in an error of an
/// answer with status 200, and where a long text is cut.
#[test]
fn a_server_that_repeats_secrets_is_not_repeated() {
    let sent = |seen: &Seen| format!("you sent {}", seen.header("authorization").unwrap_or("nothing"));
    let matrix = r#"{"resultType":"matrix","result":[]}"#;
    type Said = Box<dyn Fn(&str) -> (&'static str, String) + Send + Sync>;
    let cases: [(&str, Said); 4] = [
        (
            "warning    the server says: you sent Basic [redacted]",
            Box::new(move |sent| {
                let warned = format!(r#"{{"status":"success","warnings":["{sent}"],"data":{matrix}}}"#);
                ("200 OK", warned)
            }),
        ),
        (
            "would answer too much at once: execution: too many samples, you sent",
            Box::new(|sent| {
                let error = format!(
                    r#"{{"status":"error","errorType":"execution","error":"too many samples, {sent}"}}"#
                );
                ("422 Unprocessable Entity", error)
            }),
        ),
        (
            "would answer too much at once: too many samples, you sent",
            Box::new(|sent| {
                ("200 OK", format!(r#"{{"status":"error","error":"too many samples, {sent}"}}"#))
            }),
        ),
        ("answers 400: xxx", Box::new(|sent| ("400 Bad Request", format!("{}{sent}", "x".repeat(274))))),
    ];
    for (words, said) in cases {
        let server = Server::start(move |seen, stream| {
            let (status, body) = said(&sent(seen));
            answer(stream, status, "application/json", body.as_bytes());
        });
        let bench = Bench::new();
        let more = ["--protocol", "range", "--user", "user", "--verbose"];
        let ended = run(&bench, &server.url(), &more, &[("WATTLEDGER_PASSWORD", SECRET)]);
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        assert!(ended.stderr.contains("[redacted"), "{words}: {}", ended.stderr);
        // `Basic correct-…` would be cut in the middle of the coded password.
        assert!(!ended.stderr.contains(&CODED_SECRET[..8]), "{}", ended.stderr);
    }
}

/// The fields of a form as they were sent.
fn form(seen: &Seen) -> BTreeMap<String, String> {
    let plain = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            (bytes, rest) = match byte {
                b'+' => ([bytes, b" ".to_vec()].concat(), after),
                b'%' => {
                    let code = std::str::from_utf8(&after[..2]).unwrap();
                    ([bytes, vec![u8::from_str_radix(code, 16).unwrap()]].concat(), &after[2..])
                }
                other => ([bytes, vec![*other]].concat(), after),
            };
        }
        String::from_utf8(bytes).unwrap()
    };
    let body = std::str::from_utf8(&seen.body).unwrap();
    body.split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

/// Clusters that answer with what they have when parts of them are down: they are told not to, and an
/// answer that says it is one of those is asked for again.
#[test]
fn what_a_server_has_in_part_is_not_taken() {
    let partial = |whole: &Whole| {
        String::from_utf8(whole.body.clone()).unwrap().replacen('{', r#"{"isPartial":true,"#, 1)
    };
    let server = serve(Protocol::Range, move |nth, whole, stream| {
        if nth == 0 {
            answer(stream, "200 OK", whole.kind, partial(whole).as_bytes());
        }
        nth == 0
    });
    let out = tempfile::tempdir().unwrap();
    fetch(&server, Protocol::Range, out.path()).unwrap();
    assert_eq!(read(out.path()), expected());
    assert_eq!(data_requests(&server).len(), 2);
    for seen in server.seen() {
        let form = form(&seen);
        let said = ["dedup", "partial_response", "max_source_resolution", "deny_partial_response"];
        assert_eq!(said.map(|name| form[name].as_str()), ["false", "false", "0s", "1"]);
    }
    let server = serve(Protocol::Range, move |_, whole, stream| {
        answer(stream, "200 OK", whole.kind, partial(whole).as_bytes());
        true
    });
    let out = tempfile::tempdir().unwrap();
    let error = fetch(&server, Protocol::Range, out.path()).unwrap_err();
    assert!(error.to_string().contains("parts of it are missing"), "{error}");
    assert_eq!(data_requests(&server).len(), 3);
    assert_nothing_written(out.path());
}

/// VictoriaMetrics says 200 before it knows, and appends what went wrong, as recorded here of 1.79.
#[test]
fn an_error_after_the_answer_is_one() {
    let limit = r#"{"status":"error","errorType":"422","error":"error when exporting data for query=\"a\" on the time range (start=1717372800001, end=1717402800000): error during sending the data to remote client: error during time series unpacking: cannot process more than 1000 samples per series; either increase -search.maxSamplesPerSeries or reduce time range for the query"}"#;
    let other = r#"{"status":"error","errorType":"422","error":"disk on fire"}"#;
    for (protocol, appended, is_limit) in [
        (Protocol::Range, limit, true),
        (Protocol::Export, limit, true),
        (Protocol::Range, other, false),
        (Protocol::Export, other, false),
    ] {
        let server = serve(protocol, move |nth, whole, stream| {
            let body = [&whole.body, appended.as_bytes()].concat();
            // Five minutes are few enough.
            if nth == 0 || !is_limit {
                answer(stream, "200 OK", whole.kind, &body);
            }
            nth == 0 || !is_limit
        });
        let out = tempfile::tempdir().unwrap();
        let fetched = fetch(&server, protocol, out.path());
        if is_limit {
            fetched.unwrap();
            assert_eq!((read(out.path()), data_requests(&server).len()), (expected(), 3), "{protocol}");
        } else {
            let error = fetched.unwrap_err();
            assert!(matches!(error, RemoteError::Form { .. }), "{error}");
            assert!(protocol != Protocol::Range || error.to_string().contains("disk on fire"), "{error}");
            assert_nothing_written(out.path());
        }
    }
}

/// An answer of the wrong type has no samples, which is not the same as that there are none.
#[test]
fn an_answer_that_is_no_matrix_is_refused() {
    let server = serve(Protocol::Range, |_, whole, stream| {
        let vector = br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        answer(stream, "200 OK", whole.kind, vector);
        true
    });
    let out = tempfile::tempdir().unwrap();
    let error = fetch(&server, Protocol::Range, out.path()).unwrap_err();
    assert!(error.to_string().contains("not a matrix: it is of type `vector`"), "{error}");
    assert_nothing_written(out.path());
}

/// A limit on series is not met by asking for less time: the metrics are asked for in parts.
#[test]
fn too_many_series_are_asked_for_by_metric() {
    let server = Server::start(|seen, stream| {
        if !asks_for_data(seen) {
            let nothing = br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
            return answer(stream, "200 OK", "application/json", nothing);
        }
        let query = form(seen)["query"].clone();
        if query.contains('|') {
            let said = br#"{"status":"error","errorType":"execution","error":"the query exceeded the maximum number of series (limit: 2 series) (err-mimir-max-series-per-query)"}"#;
            return answer(stream, "422 Unprocessable Entity", "application/json", said);
        }
        let empty = br#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.to_vec();
        let body = if query.contains(METRIC) { whole(Protocol::Range).body } else { empty };
        answer(stream, "200 OK", "application/json", &body);
    });
    let out = tempfile::tempdir().unwrap();
    let mut request = request(&server.url(), Some(Protocol::Range), out.path());
    request.metrics = [METRIC, "a", "b", "c", "d"].map(str::to_owned).to_vec();
    let summary = remote::fetch(&request, &|_| {}).unwrap();
    assert_eq!((read(out.path()), summary.tally.samples), (expected(), 40));
    let mut asked: Vec<String> =
        data_requests(&server).iter().map(|seen| form(seen)["query"].clone()).collect();
    // All five; two and three of them; of the three one and two. Each for the ten minutes as a whole.
    assert_eq!(asked.len(), 9);
    assert!(asked.iter().all(|query| query.ends_with("[600000ms]")), "{asked:?}");
    asked.retain(|query| !query.contains('|'));
    let one = |metric: &str| format!("{{__name__=\"{metric}\"}}[600000ms]");
    assert_eq!(asked, [METRIC, "a", "b", "c", "d"].map(one));
    // Of one metric there is nothing to be cut but the time, down to a minute: 10 min, 5, 2.5 and 1.25.
    let server = serve(Protocol::Samples, |_, _, stream| {
        answer(
            stream,
            "422 Unprocessable Entity",
            "text/plain",
            b"exceeded series limit: limit 3 violated (got 4)",
        );
        true
    });
    let error = fetch(&server, Protocol::Samples, out.path().join("one").as_path()).unwrap_err();
    assert!(matches!(error, RemoteError::TooMuch { .. }), "{error}");
    assert_eq!(data_requests(&server).len(), 4);
}

/// Samples each second, answered as Prometheus before and since 3.0 does: before, both ends of a range
/// belonged to it, since then the first does not. Either way, and at the seams of halved windows, each sample
/// comes once, and none from outside.
#[test]
fn ranges_of_prometheus_2_and_3_bring_the_same() {
    for first_belongs in [true, false] {
        let server = Server::start(move |seen, stream| {
            if !asks_for_data(seen) {
                let nothing = br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
                return answer(stream, "200 OK", "application/json", nothing);
            }
            let form = form(seen);
            let length_ms: i64 =
                form["query"].rsplit_once('[').unwrap().1.strip_suffix("ms]").unwrap().parse().unwrap();
            let end_ms = (form["time"].parse::<f64>().unwrap() * 1000.0).round() as i64;
            let start_ms = end_ms - length_ms;
            let values: Vec<String> = (START_MS / 1000 - 100..START_MS / 1000 + 700)
                .filter(|second| {
                    *second * 1000 > start_ms - i64::from(first_belongs) && *second * 1000 <= end_ms
                })
                .map(|second| format!("[{second},\"{}\"]", second % 1000))
                .collect();
            if values.len() > 200 {
                let said = br#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}"#;
                return answer(stream, "422 Unprocessable Entity", "application/json", said);
            }
            let body = format!(
                r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{"__name__":"{METRIC}"}},"values":[{}]}}]}}}}"#,
                values.join(",")
            );
            answer(stream, "200 OK", "application/json", body.as_bytes());
        });
        let out = tempfile::tempdir().unwrap();
        let summary = fetch(&server, Protocol::Range, out.path()).unwrap();
        let came = read(out.path());
        let times: Vec<i64> = came.keys().map(|(_, at_ms)| *at_ms).collect();
        // 600 of them: from the first millisecond of the window to before its end.
        assert_eq!(times, (0..600).map(|nth| START_MS + 1000 * nth).collect::<Vec<i64>>());
        assert_eq!((summary.tally.samples, summary.tally.conflicts), (600, 0), "{first_belongs}");
        // 600 and 300 are too many, four times 150 are not.
        assert_eq!(data_requests(&server).len(), 1 + 2 + 4);
    }
}

/// On a terminal: what came so far, in samples and bytes, how much of it that is, and the time left.
#[test]
#[cfg(target_os = "linux")]
fn a_terminal_shows_how_far_it_is() {
    let server = serve_any_time(Duration::from_millis(300));
    let bench = Bench::new();
    let program = env!("CARGO_BIN_EXE_wattledger");
    let fetch = format!(
        "stty cols 120; {program} fetch --prometheus {} --protocol export --connections 1 --out blocks \
         --from 2025-06-01 --to 2025-06-09",
        server.url()
    );
    // `script` gives it a terminal, and says what came on it.
    let mut command = Command::new("script");
    command.args(["-qec", &fetch, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
    let ended = Bench::end(command.current_dir(bench.path("")), &bench.path(""));
    assert_eq!(ended.code, 0, "{} {}", ended.stdout, ended.stderr);
    // Days of 96 samples for each of two series.
    let shown: Vec<&str> = ended.stdout.split(['\r', '\n']).filter(|line| line.contains("4/8")).collect();
    assert!(!shown.is_empty(), "{}", ended.stdout);
    let line = shown.iter().find(|line| line.contains("768 samples, ")).unwrap();
    assert!(line.contains("KiB [==") && line.contains("left"), "{line}");
    // Four requests of 0.3 s and the questions about sizes: seconds, not none and not minutes.
    let left = line.rsplit_once("4/8").unwrap().1;
    let seconds: Vec<u32> =
        left.split(|sign: char| !sign.is_ascii_digit()).filter_map(|text| text.parse().ok()).collect();
    assert!((1..=20).contains(&seconds[0]), "{line}");
}

/// No more requests at one time than `--connections` says.
#[test]
fn connections_are_bounded() {
    static OPEN: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let server = serve(Protocol::Stream, |_, _, _| {
        let open = OPEN.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(open, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        OPEN.fetch_sub(1, Ordering::SeqCst);
        false
    });
    let selectors: Vec<String> = (0..9).map(|nth| format!("{METRIC}{{cpu=\"{nth}\"}}")).collect();
    let mut more = vec!["--protocol", "stream", "--connections", "3"];
    selectors.iter().for_each(|selector| more.extend(["--match", selector]));
    let bench = Bench::new();
    let ended = run(&bench, &server.url(), &more, &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("to do      1 blocks, 10 requests"), "{}", ended.stderr);
    assert_eq!((data_requests(&server).len(), MOST.load(Ordering::SeqCst)), (10, 3));
    // The server gave the same to every selector: each sample stands once.
    assert_eq!(read(&bench.path("blocks")), expected());
    for wrong in ["0", "65", "many"] {
        let ended = run(&bench, &server.url(), &["--connections", wrong], &[]);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
    }
}

/// An export of two series with a sample each quarter of an hour, for whatever time it is asked.
fn serve_any_time(pause: Duration) -> Server {
    Server::start(move |seen, stream| {
        std::thread::sleep(pause);
        if !seen.is("/api/v1/export") {
            let nothing = br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
            return answer(stream, "200 OK", "application/json", nothing);
        }
        let form = String::from_utf8(seen.body.clone()).unwrap();
        let instant = |name: &str| {
            let text = form.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap();
            (text.parse::<f64>().unwrap() * 1000.0).round() as i64
        };
        let (start_ms, end_ms) = (instant("start="), instant("end="));
        let mut body = String::new();
        for cpu in 0..2 {
            let first_ms = (start_ms + 899_999).div_euclid(900_000) * 900_000;
            let times: Vec<i64> =
                (0..).map(|nth| first_ms + 900_000 * nth).take_while(|at_ms| *at_ms <= end_ms).collect();
            let values: Vec<String> =
                times.iter().map(|at_ms| format!("{}.{cpu}", at_ms / 900_000 % 1000)).collect();
            let times: Vec<String> = times.iter().map(i64::to_string).collect();
            body.push_str(&format!(
                "{{\"metric\":{{\"__name__\":\"{METRIC}\",\"cpu\":\"{cpu}\"}},\"values\":[{}],\"timestamps\":[{}]}}\n",
                values.join(","),
                times.join(","),
            ));
        }
        answer(stream, "200 OK", "application/stream+json", body.as_bytes());
    })
}

/// `fetch` of six days in 24 requests, as a command that can be killed.
fn six_days(bench: &Bench, server: &Server, out: &str) -> Command {
    let mut command =
        bench.command(&["fetch", "--protocol", "export", "--connections", "2", "--retries", "0"]);
    command.args(["--prometheus", &server.url(), "--out", out]);
    command.args(["--from", "2025-06-01T12:00:00Z", "--to", "2025-06-07T00:00:00Z"]);
    for name in ["a", "b", "c"] {
        command.args(["--match", name]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// True for the name of a whole block.
fn is_block(path: &Path) -> bool {
    path.file_name().unwrap().len() == 26
}

fn entries(directory: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Killed again and again, at whatever it was doing: every block that has its name is whole, and
/// in the end they are those of a fetch that nobody disturbed.
#[test]
fn killed_at_any_time_it_leaves_whole_blocks_only() {
    let server = serve_any_time(Duration::from_millis(5));
    let bench = Bench::new();
    assert!(six_days(&bench, &server, "whole").status().unwrap().success());
    let whole = support::files(&bench.path("whole"));
    // Days of 96 samples and a half one, twice; the four selections bring the same.
    assert_eq!(read(&bench.path("whole")).len(), 2 * (48 + 5 * 96));
    let mut kills = 0;
    for wait_ms in (0..24).map(|nth| 15 + 5 * nth) {
        let mut child = six_days(&bench, &server, "killed").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().unwrap();
        kills += usize::from(!child.wait().unwrap().success());
        for path in entries(&bench.path("killed")) {
            if is_block(&path) {
                let name = path.file_name().unwrap();
                let files = support::files(&path);
                let expected = support::files(&bench.path("whole").join(name));
                assert!(files == expected, "{}", path.display());
            }
        }
    }
    assert!(kills > 3, "{kills}");
    assert!(six_days(&bench, &server, "killed").status().unwrap().success());
    assert!(support::files(&bench.path("killed")) == whole);
}

/// What a crash of the machine can leave: a block whose files are not all there, one under its
/// name for the time of writing, an answer with a wrong bit. All are made again.
#[test]
fn damaged_remains_are_fetched_again() {
    let server = serve_any_time(Duration::ZERO);
    let bench = Bench::new();
    assert!(six_days(&bench, &server, "whole").status().unwrap().success());
    let whole = support::files(&bench.path("whole"));
    support::copy(&bench.path("whole"), &bench.path("remains"));
    let blocks = entries(&bench.path("remains"));
    assert_eq!(blocks.len(), 6);
    std::fs::write(blocks[0].join("meta.json"), "{").unwrap();
    std::fs::write(blocks[1].join("index"), "").unwrap();
    std::fs::rename(&blocks[2], blocks[2].with_extension("tmp-for-creation")).unwrap();
    std::fs::remove_dir_all(&blocks[3]).unwrap();
    let staging = bench.path("remains").join(".wattledger-fetch");
    std::fs::create_dir(&staging).unwrap();
    std::fs::write(staging.join("0123456789abcdef-torn.part"), "half").unwrap();
    assert_eq!(server.asked("/api/v1/export").len(), 24);
    assert!(six_days(&bench, &server, "remains").status().unwrap().success());
    assert!(support::files(&bench.path("remains")) == whole);
    assert_eq!(server.asked("/api/v1/export").len(), 24 + 4 * 4, "four blocks of four requests");
}

/// Answers of a fetch that failed are kept for the next one, and when that is done, none is left over.
#[test]
fn answers_are_kept_until_nobody_can_want_them() {
    // The third request, for `b`, fails as long as the flag is up.
    let good = serve_any_time(Duration::ZERO);
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let failing = std::sync::Arc::clone(&fails);
    let upstream = good.address.to_string();
    let server = Server::start(move |seen, stream| {
        let third = seen.is("/api/v1/export") && String::from_utf8_lossy(&seen.body).contains("%22b%22");
        if third && failing.load(Ordering::SeqCst) {
            return answer(stream, "500 Internal Server Error", "text/plain", b"no");
        }
        let _ = stream.write_all(&scripted::forward(seen, &upstream));
    });
    let bench = Bench::new();
    let fetch = |from: &str| {
        let mut command =
            bench.command(&["fetch", "--protocol", "export", "--connections", "1", "--retries", "0"]);
        command.args([
            "--prometheus",
            &server.url(),
            "--out",
            "blocks",
            "--from",
            from,
            "--to",
            "2025-06-02T00:00:00Z",
        ]);
        command.args(["--match", "a", "--match", "b"]);
        Bench::end(&mut command, &bench.path(""))
    };
    let pieces = || entries(&bench.path("blocks/.wattledger-fetch")).len();
    let ended = fetch("2025-06-01T06:00:00Z");
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("answers 500: no"), "{}", ended.stderr);
    // The catalog in one request, and `a`.
    assert_eq!(pieces(), 2);
    // Of another window that fails: two more.
    assert_eq!(fetch("2025-06-01T12:00:00Z").code, 1);
    assert_eq!(pieces(), 4);
    fails.store(false, Ordering::SeqCst);
    let before = good.asked("/api/v1/export").len();
    let ended = fetch("2025-06-01T12:00:00Z");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(good.asked("/api/v1/export").len() - before, 1, "only the one that failed");
    assert!(!bench.path("blocks/.wattledger-fetch").exists());
    assert_eq!(read(&bench.path("blocks")).len(), 2 * 48);
}

/// `--last` moves on from one time to the next: what is there of the first day is enough, and the last
/// day gives way to one that holds more of it.
#[test]
fn a_window_that_moves_on_neither_doubles_nor_fetches_again() {
    let server = serve_any_time(Duration::ZERO);
    let bench = Bench::new();
    let fetch = |from: &str, to: &str| {
        let common = ["fetch", "--protocol", "export", "--prometheus", &server.url(), "--out", "blocks"];
        let ended = bench.run(&[&common[..], &["--from", from, "--to", to]].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stderr
    };
    fetch("2025-06-01T06:00:00Z", "2025-06-03T06:00:00Z");
    let before = server.asked("/api/v1/export").len();
    let said = fetch("2025-06-01T07:00:00Z", "2025-06-03T07:00:00Z");
    assert!(said.contains("to do      1 blocks, 2 there already, 1 requests"), "{said}");
    assert!(said.contains("1 blocks written, 2 kept") && said.contains("replaced   "), "{said}");
    assert_eq!(server.asked("/api/v1/export").len() - before, 1);
    assert_eq!(entries(&bench.path("blocks")).len(), 3);
    // A sample each quarter of an hour, from six o'clock of the first day to seven of the third.
    assert_eq!(read(&bench.path("blocks")).len(), 2 * 4 * (18 + 24 + 7));
    // Further back there is more to the first day.
    let said = fetch("2025-06-01T05:00:00Z", "2025-06-03T07:00:00Z");
    assert!(said.contains("1 blocks written, 2 kept") && said.contains("replaced   "), "{said}");
    assert_eq!(read(&bench.path("blocks")).len(), 2 * 4 * (19 + 24 + 7));
}
