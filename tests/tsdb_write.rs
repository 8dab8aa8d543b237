//! What the block writer writes is what Prometheus reads.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

mod block_reader;

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wattledger::time::{DAY_MS, HOUR_MS, Window};
use wattledger::tsdb::writer::{BlockOptions, BlockWriter, DataSetWriter, EncodedChunks, FloatEncoding, xor};
use wattledger::tsdb::{Labels, STALE_NAN_BITS, Samples, TsdbError};

const START_MS: i64 = 1_764_979_200_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(samples: &[(i64, f64)]) -> String {
    let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
    hex(&xor::encode(&times, &values))
}

/// Chunk bytes that Prometheus' own Go code (chunkenc, v0.313.1) produced.
#[test]
fn xor_bytes_are_those_of_prometheus() {
    let stale = f64::from_bits(STALE_NAN_BITS);
    assert_eq!(encoded(&[(1000, 1.5)]), "0001d00f3ff8000000000000");
    let steady: Vec<(i64, f64)> = (0..4).map(|k| (1_765_000_000_000 + 15_000 * k, 200.0)).collect();
    assert_eq!(encoded(&steady), "000480c895a3de664069000000000000987500");
    assert_eq!(
        encoded(&[(0, 0.0), (1000, 12.0), (2000, 12.0), (3000, 24.0), (4000, -24.0)]),
        "0005000000000000000000e807c264028800980180"
    );
    // Deltas of deltas on the edges of the buckets: 2^13, −8191, 65535, −65536, then 64 bits.
    let edges = [-5000, -4000, 5192, 6193, 72_729, 73_729, 4_000_000_000].map(|at_ms| (at_ms, 1.0));
    assert_eq!(encoded(&edges), "00078f4e3ff0000000000000e8075000280059fffeef00007800000007735020b8");
    assert_eq!(
        encoded(&[(1000, 7.0), (2000, stale), (3000, 7.0), (4001, stale), (5002, 8.0)]),
        "0005d00f401c000000000000e807c5effd80000000000057fd80000000000060006ffb000000000000aff400000000000080"
    );
    assert_eq!(
        encoded(&[(1000, 0.1), (2000, 0.2), (3000, 0.300_000_000_000_000_04), (4000, 0.4)]),
        "0004d00f3fb999999999999ae807d21f6bd3555555555555d2aaaaaaaaaaab80"
    );
    assert_eq!(encoded(&[]), "0000");
}

proptest! {
    #[test]
    fn xor_keeps_every_bit(samples in prop::collection::vec((1..=i64::from(u32::MAX), any::<u64>()), 0..300), start in any::<i32>()) {
        let mut at_ms = i64::from(start);
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for (step, bits) in samples {
            // Small steps too, so that every bucket is met.
            at_ms += if bits & 1 == 0 { step } else { 15_000 + step % 7 };
            times.push(at_ms);
            values.push(f64::from_bits(if bits & 6 == 0 { STALE_NAN_BITS } else { bits }));
        }
        let decoded = block_reader::decode_xor(&xor::encode(&times, &values));
        prop_assert_eq!(decoded.len(), times.len());
        for ((at_ms, value), (time, original)) in decoded.into_iter().zip(times.into_iter().zip(values)) {
            prop_assert_eq!((at_ms, value.to_bits()), (time, original.to_bits()));
        }
    }
}

/// Series with escapes, UTF-8, jitter, stale markers, NaN and infinities, over three days.
fn data_set() -> Vec<(Labels, Samples)> {
    let mut all = Vec::new();
    for nth in 0..40_i64 {
        let labels = Labels::new([
            ("__name__", if nth % 2 == 0 { "node_rapl_package_joules_total" } else { "up" }.to_owned()),
            ("instance", format!("n{nth:03}:9100")),
            ("odd", format!("a\"b\\c\né {}", nth % 3)),
        ]);
        let mut samples = Samples::default();
        for k in 0..(3 * DAY_MS / 60_000) {
            let jitter = (k * 7919 + nth * 31) % 97;
            samples.timestamps_ms.push(START_MS + 60_000 * k + jitter);
            samples.values.push(match (k + nth) % 1009 {
                17 => f64::from_bits(STALE_NAN_BITS),
                18 => f64::INFINITY,
                19 => -0.0,
                20 => 1e-310,
                _ => (k as f64 * 9_123.456_789).rem_euclid(262_143.328_85),
            });
        }
        all.push((labels, samples));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn write_data_set(root: &Path, data: &[(Labels, Samples)]) -> Vec<PathBuf> {
    let window = Window::new(START_MS, START_MS + 3 * DAY_MS);
    // A small limit, so that there are several segment files in a block.
    let options = |_| BlockOptions { segment_max_bytes: 100_000, ..BlockOptions::default() };
    let mut writer = DataSetWriter::create(root, window, DAY_MS, options).unwrap();
    for (labels, samples) in data {
        writer.add_series(labels, samples).unwrap();
    }
    writer.finish().unwrap()
}

fn plain(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn an_independent_reader_gets_every_sample_back() {
    let root = tempfile::tempdir().unwrap();
    let data = data_set();
    let blocks = write_data_set(root.path(), &data);
    assert_eq!(blocks.len(), 3);
    assert!(blocks[0].join("chunks/000002").exists(), "several segments");
    for (day, block) in blocks.iter().enumerate() {
        let meta = block_reader::meta(block);
        let name = block.file_name().unwrap().to_str().unwrap();
        assert_eq!(meta["ulid"], name);
        assert_eq!(meta["compaction"], serde_json::json!({"level": 1, "sources": [name]}));
        assert_eq!(meta["minTime"], START_MS + day as i64 * DAY_MS);
        assert_eq!(meta["maxTime"], START_MS + (day as i64 + 1) * DAY_MS);
        // 40 series, 1,440 samples a day in 12 chunks of 120.
        assert_eq!(meta["stats"]["numSamples"], 40 * 1440);
        assert_eq!(meta["stats"]["numSeries"], 40);
        assert_eq!(meta["stats"]["numChunks"], 40 * 12);
        assert_eq!(hex(&std::fs::read(block.join("tombstones")).unwrap()), "0130ba300100000000");
    }
    let read = block_reader::read(root.path());
    assert_eq!(read.len(), data.len());
    for (labels, samples) in &data {
        let back = &read[&plain(labels)];
        let times: Vec<i64> = back.iter().map(|sample| sample.0).collect();
        assert_eq!(times, samples.timestamps_ms);
        assert!(back.iter().zip(&samples.values).all(|(a, b)| a.1.to_bits() == b.to_bits()));
    }
}

fn samples(times: &[i64]) -> Samples {
    Samples { timestamps_ms: times.to_vec(), values: vec![1.0; times.len()] }
}

#[test]
fn what_would_make_an_invalid_block_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let window = Window::new(0, HOUR_MS);
    let mut writer = BlockWriter::create(root.path(), window, BlockOptions::default()).unwrap();
    let refused = |result: Result<(), TsdbError>| match result {
        Err(TsdbError::InvalidSeries { reason, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    };
    let b = Labels::new([("__name__", "b")]);
    writer.add_series(&b, &samples(&[5, 6])).unwrap();
    writer.add_series(&Labels::new([("__name__", "a")]), &Samples::default()).unwrap();
    assert!(refused(writer.add_series(&b, &samples(&[7]))).contains("ascending order"));
    assert!(refused(writer.add_series(&Labels::new([("__name__", "a")]), &samples(&[7]))).contains("order"));
    let c = Labels::new([("__name__", "c")]);
    assert!(refused(writer.add_series(&c, &samples(&[9, 9]))).contains("9 ms follows 9 ms"));
    assert!(refused(writer.add_series(&c, &samples(&[-1, 9]))).contains("-1 ms"));
    assert!(refused(writer.add_series(&c, &samples(&[9, HOUR_MS]))).contains("leave the block"));
    assert!(refused(writer.add_series(&Labels::default(), &samples(&[9]))).contains("no labels"));
    assert!(EncodedChunks::encode(&[1, 2], &[0.0], 120, FloatEncoding::Xor).is_err());
    let block = writer.finish().unwrap();
    assert_eq!(block_reader::meta(&block)["stats"]["numSamples"], 2);
}

#[test]
fn an_unfinished_block_leaves_nothing_and_a_fixed_name_gives_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let window = Window::new(0, HOUR_MS);
    drop(BlockWriter::create(root.path(), window, BlockOptions::default()).unwrap());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    let ulid = ulid::Ulid::from_parts(1_764_979_200_000, 42);
    let files = ["a", "b"].map(|name| {
        let options = BlockOptions { ulid: Some(ulid), ..BlockOptions::default() };
        let mut writer = BlockWriter::create(&root.path().join(name), window, options).unwrap();
        writer.add_series(&Labels::new([("__name__", "m")]), &samples(&[1, 2, 3])).unwrap();
        let block = writer.finish().unwrap();
        ["index", "meta.json", "tombstones", "chunks/000001"]
            .map(|file| std::fs::read(block.join(file)).unwrap())
    });
    assert_eq!(files[0], files[1]);
}

fn promtool(arguments: &[&str], root: &Path) -> String {
    let output = Command::new("promtool").args(["tsdb"]).args(arguments).arg(root).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool tsdb {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs promtool: apt-get install prometheus"]
fn promtool_lists_analyzes_and_dumps_what_was_written() {
    let root = tempfile::tempdir().unwrap();
    let data = data_set();
    write_data_set(root.path(), &data);
    // promtool wants a data directory with a write-ahead log.
    std::fs::create_dir(root.path().join("wal")).unwrap();
    let list = promtool(&["list"], root.path());
    assert_eq!(
        list.lines().filter(|line| line.contains(" 57600 ") && line.contains(" 480 ")).count(),
        3,
        "{list}"
    );
    let analysis = promtool(&["analyze"], root.path());
    assert!(analysis.contains("Series: 40"), "{analysis}");
    let dump = promtool(&["dump"], root.path());
    let mut lines = Vec::new();
    for (labels, samples) in &data {
        let name = labels.metric();
        let (instance, odd) = (labels.get("instance").unwrap(), labels.get("odd").unwrap());
        let odd = odd.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        for (at_ms, value) in samples.timestamps_ms.iter().zip(&samples.values) {
            lines.push((
                format!("{{__name__=\"{name}\", instance=\"{instance}\", odd=\"{odd}\"}}"),
                *value,
                *at_ms,
            ));
        }
    }
    let mut dumped: Vec<(String, f64, i64)> = dump
        .lines()
        .map(|line| {
            let mut fields = line.rsplitn(3, ' ');
            let at_ms = fields.next().unwrap().parse().unwrap();
            let value = fields.next().unwrap().parse().unwrap();
            (fields.next().unwrap().to_owned(), value, at_ms)
        })
        .collect();
    assert_eq!(dumped.len(), 40 * 4320);
    let key = |a: &(String, f64, i64), b: &(String, f64, i64)| (&a.0, a.2).cmp(&(&b.0, b.2));
    dumped.sort_by(key);
    lines.sort_by(key);
    for (found, expected) in dumped.iter().zip(&lines) {
        let same = found.1.to_bits() == expected.1.to_bits() || (found.1.is_nan() && expected.1.is_nan());
        assert!(found.0 == expected.0 && found.2 == expected.2 && same, "{found:?} is not {expected:?}");
    }
}

/// A server that is stopped when the test ends, however it ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(port: u16, target: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "GET {target} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

#[test]
#[ignore = "needs prometheus: apt-get install prometheus"]
fn a_prometheus_server_serves_the_blocks() {
    let root = tempfile::tempdir().unwrap();
    let data = data_set();
    write_data_set(root.path(), &data);
    let config = root.path().join("prometheus.yml");
    std::fs::write(&config, "global: {}\n").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", root.path().display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--storage.tsdb.retention.time=100y")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Server(child);
    let started = Instant::now();
    while get(port, "/-/ready").is_none_or(|(status, _)| status != 200) {
        assert!(started.elapsed() < Duration::from_secs(60), "the server did not get ready");
        std::thread::sleep(Duration::from_millis(100));
    }
    let end_s = (START_MS + 3 * DAY_MS) / 1000;
    let target = format!("/api/v1/query?query=%7Binstance%3D%22n006%3A9100%22%7D%5B72h%5D&time={end_s}");
    let (status, body) = get(port, &target).unwrap();
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let result = answer["data"]["result"].as_array().unwrap();
    assert_eq!(result.len(), 1);
    let served: Vec<(i64, f64)> = result[0]["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| {
            let at_ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
            (at_ms, pair[1].as_str().unwrap().parse().unwrap())
        })
        .collect();
    let (_, samples) = data.iter().find(|(labels, _)| labels.get("instance") == Some("n006:9100")).unwrap();
    // The engine drops stale markers.
    let expected: Vec<(i64, f64)> = samples
        .timestamps_ms
        .iter()
        .copied()
        .zip(samples.values.iter().copied())
        .filter(|(_, value)| value.to_bits() != STALE_NAN_BITS)
        .collect();
    assert_eq!(served.len(), expected.len());
    assert!(expected.len() < samples.values.len());
    assert_eq!(served, expected);
}

#[test]
fn a_chunk_filled_sample_by_sample_is_the_same_chunk() {
    let times: Vec<i64> = (0..300).map(|nth| nth * 15_000 + nth * nth % 7).collect();
    let values: Vec<f64> = (0..300).map(|nth| f64::from(nth % 5) * 0.1).collect();
    let mut open = xor::OpenChunk::new(times[0], values[0]);
    for (&at_ms, &value) in times.iter().zip(&values).skip(1) {
        open.push(at_ms, value);
    }
    assert_eq!((open.samples(), open.first_ms(), open.last_ms()), (300, 0, *times.last().unwrap()));
    assert_eq!(open.into_data(), xor::encode(&times, &values));
}
