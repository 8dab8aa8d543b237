//! Reading databases whose bytes are made here, well formed and damaged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod block_builder;

use std::collections::BTreeMap;
use std::path::Path;

use block_builder::{STALE, TestBlock, TestChunk, chunk};
use proptest::prelude::*;
use rayon::prelude::*;
use tempfile::TempDir;
use wattledger::time::Window;
use wattledger::tsdb::{Database, Labels, Matcher, ReadBuffer, ReadStats, Samples, Series, TsdbError};

const A: &str = "01AAAAAAAAAAAAAAAAAAAAAAAA";
const B: &str = "01BBBBBBBBBBBBBBBBBBBBBBBB";
const C: &str = "01CCCCCCCCCCCCCCCCCCCCCCCC";

/// `count` samples from `first_ms` on, one a second, counting up from `value`.
fn ramp(first_ms: i64, count: i64, value: f64) -> Vec<(i64, f64)> {
    (0..count).map(|nth| (first_ms + 1000 * nth, value + nth as f64)).collect()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(path: &Path) -> Database {
    Database::open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn select(database: &Database, selector: &str) -> Vec<Series> {
    let matchers = Matcher::parse_selector(selector).unwrap();
    database.select(&matchers, Window::ALL).unwrap()
}

fn names(series: &[Series]) -> Vec<String> {
    series.iter().map(|series| series.labels.to_string()).collect()
}

fn read(database: &Database, series: &Series, window: Window) -> (Vec<(i64, f64)>, ReadStats) {
    let mut buffer = ReadBuffer::default();
    let mut stats = ReadStats::default();
    database.read(series, window, &mut buffer, &mut stats).unwrap();
    let samples = buffer.into_samples();
    (samples.timestamps_ms.into_iter().zip(samples.values).collect(), stats)
}

/// The samples of the one series that `selector` selects.
fn read_one(database: &Database, selector: &str) -> (Vec<(i64, f64)>, ReadStats) {
    let series = select(database, selector);
    assert_eq!(series.len(), 1, "{selector}");
    read(database, &series[0], Window::ALL)
}

/// Five series: metrics `cpu` and `up`, labels `node` and, on some, `mode`.
fn small_block(ulid: &str) -> TestBlock {
    let labels = |metric, node, mode: &'static str| {
        let mut labels = vec![("__name__", metric)];
        labels.extend(Some(("mode", mode)).filter(|(_, mode)| !mode.is_empty()));
        labels.push(("node", node));
        labels
    };
    let two = |value| vec![chunk(&ramp(0, 10, value)), chunk(&ramp(10_000, 10, value + 10.0))];
    TestBlock::new(ulid, (0, 20_000))
        .series(&labels("cpu", "n1", "idle"), two(100.0))
        .series(&labels("cpu", "n2", "idle"), two(200.0))
        .series(&labels("cpu", "n2", "user"), two(300.0))
        .series(&labels("up", "n1", ""), two(400.0))
        .series(&labels("up", "n2", ""), two(500.0))
}

#[test]
fn matchers_select_through_the_postings() {
    let root = folder();
    small_block(A).write(root.path());
    let database = open(root.path());
    let expect = |selector: &str, expected: &[&str]| {
        assert_eq!(names(&select(&database, selector)), expected, "{selector}");
    };
    let idle = [r#"cpu{mode="idle", node="n1"}"#, r#"cpu{mode="idle", node="n2"}"#];
    let user = r#"cpu{mode="user", node="n2"}"#;
    let up = [r#"up{node="n1"}"#, r#"up{node="n2"}"#];
    expect("cpu", &[idle[0], idle[1], user]);
    expect(r#"{node="n2"}"#, &[idle[1], user, up[1]]);
    expect(r#"cpu{mode="idle",node="n1"}"#, &[idle[0]]);
    expect(r#"cpu{mode!="idle"}"#, &[user]);
    expect(r#"{mode!="idle"}"#, &[user, up[0], up[1]]);
    expect(r#"{mode=""}"#, &up);
    expect(r#"{mode!=""}"#, &[idle[0], idle[1], user]);
    expect(r#"{mode=~"idle|user",node="n2"}"#, &[idle[1], user]);
    expect(r#"{mode=~"us"}"#, &[]);
    expect(r#"{mode=~"us.*|"}"#, &[user, up[0], up[1]]);
    expect(r#"{mode!~"us.*"}"#, &[idle[0], idle[1], up[0], up[1]]);
    expect(r#"{mode!~".+"}"#, &up);
    expect(r#"{absent="",__name__="up"}"#, &up);
    expect(r#"{absent="x"}"#, &[]);
    expect("down", &[]);
    let all = database.select(&[], Window::ALL).unwrap();
    assert_eq!(all.len(), 5);
    assert_eq!(database.series_count(), 5);
    assert_eq!(database.label_values("mode").into_iter().collect::<Vec<_>>(), ["idle", "user"]);
    assert_eq!(database.label_values("__name__").into_iter().collect::<Vec<_>>(), ["cpu", "up"]);
    assert!(database.label_values("absent").is_empty());
    assert_eq!(database.time_range(), Some(Window::new(0, 20_000)));
    assert!(database.index_problems().is_empty());
    assert!(database.left_out().is_empty());
}

#[test]
fn windows_are_half_open_and_spare_the_other_chunks() {
    let root = folder();
    small_block(A).write(root.path());
    let database = open(root.path());
    let series = &select(&database, r#"up{node="n1"}"#)[0];
    let (samples, stats) = read(&database, series, Window::new(3000, 6000));
    assert_eq!(samples, [(3000, 403.0), (4000, 404.0), (5000, 405.0)]);
    assert_eq!((stats.samples, stats.decoded, stats.chunks), (3, 10, 1));
    let (samples, stats) = read(&database, series, Window::new(9000, 10_001));
    assert_eq!(samples, [(9000, 409.0), (10_000, 410.0)]);
    assert_eq!((stats.samples, stats.decoded, stats.chunks), (2, 20, 2));
    assert_eq!(read(&database, series, Window::new(3001, 4000)).0, []);
    assert_eq!(read(&database, series, Window::new(6000, 3000)).0, []);
    let (samples, _) = read(&database, series, Window::ALL);
    assert_eq!(samples, ramp(0, 20, 400.0));
    // Blocks, and series without a chunk in the window, are not even named.
    assert!(database.select(&[], Window::new(20_000, 30_000)).unwrap().is_empty());
    assert_eq!(database.select(&[], Window::new(19_999, 30_000)).unwrap().len(), 0);
    assert_eq!(database.select(&[], Window::new(19_000, 30_000)).unwrap().len(), 5);
}

#[test]
fn buffers_are_reused_and_tasks_read_at_the_same_time() {
    let root = folder();
    small_block(A).write(root.path());
    let database = open(root.path());
    let series = database.select(&[], Window::ALL).unwrap();
    let sums: Vec<f64> = series
        .par_iter()
        .map_init(ReadBuffer::default, |buffer, series| {
            let mut stats = ReadStats::default();
            database.read(series, Window::ALL, buffer, &mut stats).unwrap();
            assert_eq!(buffer.samples().values.len(), 20);
            buffer.samples().values.iter().sum()
        })
        .collect();
    // 20 x the first value + 0 + … + 19.
    assert_eq!(sums, [2190.0, 4190.0, 6190.0, 8190.0, 10_190.0]);
    let mut total = ReadStats::default();
    for series in &series {
        total.merge(read(&database, series, Window::ALL).1);
    }
    assert_eq!((total.samples, total.chunks), (100, 10));
    // A series of another database would lead to some other series' samples.
    let other = open(root.path());
    let mut buffer = ReadBuffer::default();
    let refused = other.read(&series[0], Window::ALL, &mut buffer, &mut total);
    assert!(matches!(refused, Err(TsdbError::ForeignSeries { .. })));
}

#[test]
fn blocks_follow_each_other() {
    let root = folder();
    let up = [("__name__", "up")];
    // The later block in time has the lower ULID, as after out-of-order compaction.
    TestBlock::new(B, (0, 3000)).series(&up, vec![chunk(&ramp(0, 3, 0.0))]).write(root.path());
    TestBlock::new(A, (3000, 6000)).series(&up, vec![chunk(&ramp(3000, 3, 3.0))]).write(root.path());
    let database = open(root.path());
    assert_eq!(database.blocks().iter().map(|block| block.ulid.as_str()).collect::<Vec<_>>(), [B, A]);
    assert_eq!(database.time_range(), Some(Window::new(0, 6000)));
    assert_eq!(database.series_count(), 2);
    let (samples, stats) = read_one(&database, "up");
    assert_eq!(samples, ramp(0, 6, 0.0));
    assert_eq!((stats.duplicates_dropped, stats.conflicts), (0, 0));
    let early = database.select(&[], Window::new(0, 3000)).unwrap();
    assert_eq!(read(&database, &early[0], Window::ALL).0, ramp(0, 3, 0.0), "only blocks in the window");
}

#[test]
fn of_overlapping_blocks_the_later_ulid_wins() {
    let root = folder();
    let up = [("__name__", "up")];
    // B's samples at 2 s and 3 s differ from A's; C repeats one of A's at 1 s.
    TestBlock::new(A, (0, 9000)).series(&up, vec![chunk(&ramp(0, 6, 0.0))]).write(root.path());
    let newer = [(2000, 20.0), (2500, 25.0), (3000, 30.0)];
    TestBlock::new(B, (2000, 9000)).series(&up, vec![chunk(&newer)]).write(root.path());
    TestBlock::new(C, (1000, 1001)).series(&up, vec![chunk(&[(1000, 1.0)])]).write(root.path());
    let database = open(root.path());
    let (samples, stats) = read_one(&database, "up");
    let expected =
        [(0, 0.0), (1000, 1.0), (2000, 20.0), (2500, 25.0), (3000, 30.0), (4000, 4.0), (5000, 5.0)];
    assert_eq!(samples, expected);
    assert_eq!((stats.samples, stats.decoded), (7, 10));
    assert_eq!((stats.duplicates_dropped, stats.conflicts), (3, 2));
}

#[test]
fn chunks_of_one_block_may_overlap_and_repeat() {
    let root = folder();
    let chunks = vec![
        chunk(&ramp(0, 4, 0.0)),
        // The first sample again (prometheus issue 12873), then two out of order.
        chunk(&[(3000, 3.0), (4000, 4.0), (4000, 5.0), (7000, 7.0)]),
        chunk(&[(5000, 5.0), (6000, 6.0)]),
    ];
    TestBlock::new(A, (0, 9000)).series(&[("__name__", "up")], chunks).write(root.path());
    let (samples, stats) = read_one(&open(root.path()), "up");
    let expected =
        [(0, 0.0), (1000, 1.0), (2000, 2.0), (3000, 3.0), (4000, 5.0), (5000, 5.0), (6000, 6.0), (7000, 7.0)];
    assert_eq!(samples, expected);
    assert_eq!((stats.duplicates_dropped, stats.conflicts), (2, 1));
}

#[test]
fn special_values_keep_their_bits() {
    let root = folder();
    let bits = [STALE, 0x7ff8_0000_0000_0001, f64::INFINITY.to_bits(), (-0.0_f64).to_bits(), 0, STALE];
    let samples: Vec<(i64, f64)> =
        bits.iter().zip(0..).map(|(bits, at)| (at, f64::from_bits(*bits))).collect();
    let block = TestBlock::new(A, (0, 10)).series(&[("__name__", "up")], vec![chunk(&samples)]);
    block.write(root.path());
    let (samples, stats) = read_one(&open(root.path()), "up");
    assert_eq!(samples.iter().map(|(_, value)| value.to_bits()).collect::<Vec<_>>(), bits);
    assert_eq!(stats.stale_markers, 2);
}

#[test]
fn tombstones_hide_samples() {
    let root = folder();
    let mut block = small_block(A);
    // Of `up` on n1 (series 3): 2 to 4 s, and 8 to 11 s across two chunks; of
    // `up` on n2 all of the first chunk and one of the second.
    block.tombstones = vec![(3, 2000, 4000), (3, 8000, 10_500), (3, 10_000, 11_000), (4, -5, 10_000)];
    block.write(root.path());
    let database = open(root.path());
    let (samples, stats) = read_one(&database, r#"up{node="n1"}"#);
    let kept = |at: i64| !(2000..=4000).contains(&at) && !(8000..=11_000).contains(&at);
    let expected: Vec<_> = ramp(0, 20, 400.0).into_iter().filter(|(at, _)| kept(*at)).collect();
    assert_eq!(samples, expected);
    assert_eq!((stats.samples, stats.deleted, stats.chunks_deleted), (13, 7, 0));
    let (samples, stats) = read_one(&database, r#"up{node="n2"}"#);
    assert_eq!(samples, ramp(11_000, 9, 511.0));
    assert_eq!((stats.deleted, stats.chunks_deleted, stats.chunks), (1, 1, 1));
    assert_eq!(read_one(&database, r#"cpu{node="n1"}"#).0.len(), 20, "others keep theirs");
}

#[test]
fn other_encodings_are_counted_and_never_read() {
    let root = folder();
    let odd = |encoding, first_ms| TestChunk { encoding, ..chunk(&ramp(first_ms, 2, 9.0)) };
    let mut chunks = vec![chunk(&ramp(0, 2, 0.0))];
    chunks.extend([2, 3, 2, 5, 6, 0xff, 77, 0].iter().zip(1..).map(|(code, nth)| odd(*code, nth * 10_000)));
    chunks.push(chunk(&ramp(200_000, 2, 1.0)));
    TestBlock::new(A, (0, 300_000)).series(&[("__name__", "up")], chunks).write(root.path());
    let (samples, stats) = read_one(&open(root.path()), "up");
    assert_eq!(samples, [(0, 0.0), (1000, 1.0), (200_000, 1.0), (201_000, 2.0)]);
    let expected = [
        ("Thanos aggregate", 1),
        ("float histogram", 1),
        ("float histogram ST", 1),
        ("histogram", 2),
        ("histogram ST", 1),
        ("none", 1),
        ("unknown 77", 1),
    ];
    let skipped: BTreeMap<String, u64> =
        expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(stats.chunks_skipped, skipped);
    // Two samples each, where the encoding says where the count stands.
    let known = skipped.iter().filter(|(name, _)| name.contains("histogram"));
    let samples: BTreeMap<String, u64> = known.map(|(name, chunks)| (name.clone(), 2 * chunks)).collect();
    assert_eq!(stats.samples_skipped, samples);
    let said: Vec<String> = stats.skipped().collect();
    assert_eq!(said[0], "1 chunk in encoding Thanos aggregate: downsampled; use the raw block");
    assert_eq!(
        said[3],
        "2 chunks with 4 samples in encoding histogram: native histograms, of which no meter is made"
    );
    assert_eq!(said[6], "1 chunk in encoding unknown 77: an encoding that is not known");
    assert!(stats.problems.is_empty());
}

#[test]
fn a_damaged_chunk_costs_that_chunk() {
    let root = folder();
    let backwards = TestChunk {
        data: block_builder::encode_xor(&[(10_000, 1.0), (9000, 1.0)]),
        ..chunk(&ramp(10_000, 2, 0.0))
    };
    let foreign = TestChunk { first_ms: 20_000, last_ms: 21_000, ..chunk(&ramp(90_000, 2, 0.0)) };
    let chunks = vec![chunk(&ramp(0, 2, 0.0)), backwards, foreign, chunk(&ramp(30_000, 2, 3.0))];
    TestBlock::new(A, (0, 40_000)).series(&[("__name__", "up")], chunks).write(root.path());
    let database = open(root.path());
    let (samples, stats) = read_one(&database, "up");
    assert_eq!(samples, [(0, 0.0), (1000, 1.0), (30_000, 3.0), (31_000, 4.0)]);
    assert_eq!((stats.chunks, stats.chunks_damaged), (2, 2));
    let reasons: Vec<&str> = stats.problems.iter().map(|problem| problem.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "the timestamps run backwards",
            "the chunk holds 90000 to 91000 ms, the index says 20000 to 21000 ms"
        ]
    );
    assert_eq!(stats.problems[0].series, "up");
    assert!(stats.problems[0].path.ends_with(format!("{A}/chunks/000001")));
    // 8 bytes of header; the first chunk takes 1 + 1 + data + 4.
    let first = block_builder::encode_xor(&ramp(0, 2, 0.0)).len() as u64;
    assert_eq!(stats.problems[0].offset, 8 + 1 + 1 + first + 4);
}

/// One series with three chunks in three segments.
fn three_segments() -> TestBlock {
    let part = |segment, first_ms| TestChunk { segment, ..chunk(&ramp(first_ms, 2, first_ms as f64)) };
    let chunks = vec![part(1, 0), part(2, 10_000), part(3, 20_000)];
    TestBlock::new(A, (0, 30_000)).series(&[("__name__", "up")], chunks)
}

#[test]
fn a_missing_segment_costs_its_chunks() {
    for lost in 1..=3 {
        let root = folder();
        let path = three_segments().write(root.path());
        let file = path.join(format!("chunks/{lost:06}"));
        std::fs::remove_file(&file).unwrap();
        let (samples, stats) = read_one(&open(root.path()), "up");
        let times: Vec<i64> = samples.iter().map(|(at, _)| *at).collect();
        let kept = |segment: &i64| *segment != lost;
        let expected: Vec<i64> = (1..=3)
            .filter(kept)
            .flat_map(|segment| [(segment - 1) * 10_000, (segment - 1) * 10_000 + 1000])
            .collect();
        assert_eq!(times, expected, "without segment {lost}");
        assert_eq!((stats.chunks_damaged, stats.problems.len()), (1, 1));
        assert_eq!(stats.problems[0].path, file);
        assert_eq!(stats.problems[0].reason, "the segment file is missing");
    }
}

#[test]
fn segments_are_counted_by_rank_whatever_their_numbers() {
    let root = folder();
    let path = three_segments().write(root.path()).join("chunks");
    for (from, to) in [("000003", "000012"), ("000002", "000007"), ("000001", "000005")] {
        std::fs::rename(path.join(from), path.join(to)).unwrap();
    }
    std::fs::write(path.join("000004.tmp"), "not a segment").unwrap();
    let (samples, stats) = read_one(&open(root.path()), "up");
    assert_eq!(samples.len(), 6);
    assert!(stats.problems.is_empty());
}

#[test]
fn chunks_of_a_broken_segment_make_one_problem_per_series() {
    let root = folder();
    let path = small_block(A).write(root.path());
    std::fs::write(path.join("chunks/000001"), "no segment at all").unwrap();
    let (samples, stats) = read_one(&open(root.path()), r#"up{node="n1"}"#);
    assert!(samples.is_empty());
    assert_eq!((stats.chunks_damaged, stats.problems.len(), stats.problems[0].count), (2, 1, 2));
    assert!(stats.problems[0].to_string().ends_with(
        "chunks/000001` at byte 0: not a chunk segment (its magic number differs), series `up{node=\"n1\"}` (2 chunks)"
    ));
}

#[test]
fn compacted_blocks_replace_their_parents() {
    let root = folder();
    let up = [("__name__", "up")];
    TestBlock::new(A, (0, 2000)).series(&up, vec![chunk(&ramp(0, 2, 7.0))]).write(root.path());
    let parents =
        format!(r#""compaction":{{"level":2,"parents":[{{"ulid":"{A}","minTime":0,"maxTime":9}}]}}"#);
    let child = TestBlock::new(B, (0, 2000)).series(&up, vec![chunk(&ramp(0, 2, 8.0))]).meta(&parents);
    let child = child.write(root.path());
    TestBlock::new(C, (0, 2000))
        .series(&up, vec![chunk(&ramp(0, 2, 9.0))])
        .meta(r#""compaction":{"deletable":true}"#)
        .write(root.path());
    let database = open(root.path());
    assert_eq!(read_one(&database, "up").0, ramp(0, 2, 8.0));
    assert_eq!(database.blocks()[0].compaction_level, 2);
    let left_out: Vec<(&str, bool)> =
        database.left_out().iter().map(|block| (block.name.as_str(), block.is_problem)).collect();
    assert_eq!(left_out, [(A, false), (C, false)]);
    assert_eq!(database.left_out()[0].reason, format!("replaced by the compacted block `{B}`"));

    // A child that cannot be read replaces nothing.
    std::fs::write(child.join("index"), "broken").unwrap();
    let database = open(root.path());
    assert_eq!(read_one(&database, "up").0, ramp(0, 2, 7.0));
    let left_out: Vec<(&str, bool)> =
        database.left_out().iter().map(|block| (block.name.as_str(), block.is_problem)).collect();
    assert_eq!(left_out, [(B, true), (C, false)]);
}

#[test]
fn blocks_that_cannot_be_read_are_named() {
    let root = folder();
    small_block(A).write(root.path());
    std::fs::create_dir(root.path().join(B)).unwrap();
    let version =
        |ulid: &str, index_version| TestBlock { index_version, ..small_block(ulid) }.write(root.path());
    version("01V00000000000000000000000", 0);
    version("01V33333333333333333333333", 3);
    small_block("01D0WNSAMP1ED0000000000000")
        .meta(r#""thanos":{"downsample":{"resolution":300000}}"#)
        .write(root.path());
    let meta = small_block("01META00000000000000000000").write(root.path()).join("meta.json");
    std::fs::write(&meta, std::fs::read_to_string(&meta).unwrap().replace("\"version\":1", "\"version\":2"))
        .unwrap();
    let tombstones = small_block("01T0MBST0NE000000000000000").write(root.path()).join("tombstones");
    std::fs::write(tombstones, [0x01, 0x30, 0xba, 0x30, 1, 1, 2, 3, 4]).unwrap();
    for ignored in ["wal", "chunks_head", "01AAAAAAAAAAAAAAAAAAAAAAAB.tmp-for-deletion", "lost+found"] {
        std::fs::create_dir(root.path().join(ignored)).unwrap();
    }
    std::fs::write(root.path().join("01F1VE00000000000000000000"), "a file").unwrap();

    let database = open(root.path());
    assert_eq!(database.blocks().len(), 1);
    assert!(database.left_out().iter().all(|block| block.is_problem));
    let reasons: Vec<String> =
        database.left_out().iter().map(|block| format!("{} {}", block.name, block.reason)).collect();
    let expected = [
        ("01BBBBBBBBBBBBBBBBBBBBBBBB", "cannot read"),
        ("01D0WNSAMP1ED0000000000000", "a Thanos block downsampled to 300 s; use the raw one"),
        ("01META00000000000000000000", "version 2 of `meta.json`"),
        ("01T0MBST0NE000000000000000", "checksum of the tombstones"),
        ("01V00000000000000000000000", "index version 0; Prometheus writes 2, and 1 in its first releases"),
        ("01V33333333333333333333333", "Loki writes 3, with another layout"),
    ];
    assert_eq!(reasons.len(), expected.len(), "{reasons:#?}");
    for (reason, (name, part)) in reasons.iter().zip(expected) {
        assert!(reason.starts_with(name) && reason.contains(part), "{reason}");
    }

    // A write-ahead log that is none.
    std::fs::write(root.path().join("wal/00000000"), "records").unwrap();
    let database = open(root.path());
    let log: Vec<_> = database.left_out().iter().filter(|part| part.name == "wal/00000000").collect();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].reason, "ends in the middle of a record: its last 7 bytes are not read");
}

/// Symbols and series by their offsets in the file, the table of postings in no
/// order: all that is asked has the same answer.
#[test]
fn an_index_of_version_1_says_the_same() {
    let roots = [1, 2].map(|index_version| {
        let root = folder();
        let mut block = TestBlock { index_version, ..small_block(A) };
        block.tombstones = vec![(3, 2000, 4000)];
        block = block.series(&[("a", "no name"), ("b", "")], vec![chunk(&ramp(0, 3, 7.0))]);
        block.series.rotate_right(1);
        block.write(root.path());
        root
    });
    let [first, second] = &roots;
    let (first_all, second_all) =
        (everything_if_unreported(first.path()).unwrap(), everything_if_unreported(second.path()).unwrap());
    assert_eq!(first_all.0.len(), 6);
    assert_eq!(first_all, second_all);
    for selector in [r#"cpu{mode!="idle"}"#, r#"{node=~"n.*", mode=""}"#, r#"{__name__=""}"#, r#"{b=""}"#] {
        let of = |root: &tempfile::TempDir| names(&select(&open(root.path()), selector));
        assert_eq!(of(first), of(second), "{selector}");
        assert!(!of(first).is_empty(), "{selector}");
    }
    assert_eq!(open(first.path()).series_count(), 6);
}

#[test]
fn a_block_can_be_opened_by_itself_or_through_a_link() {
    let root = folder();
    let path = small_block(A).write(root.path());
    let renamed = root.path().join("some-name");
    std::fs::rename(&path, &renamed).unwrap();
    let database = open(&renamed);
    assert_eq!((database.blocks().len(), database.blocks()[0].ulid.as_str()), (1, A));
    assert_eq!(database.blocks()[0].links, [] as [std::path::PathBuf; 0]);

    let links = folder();
    std::os::unix::fs::symlink(&renamed, links.path().join(A)).unwrap();
    // The same block twice, and a link to nothing.
    std::os::unix::fs::symlink(&renamed, links.path().join(B)).unwrap();
    std::os::unix::fs::symlink("/does/not/exist", links.path().join(C)).unwrap();
    let database = open(links.path());
    assert!(database.blocks().len() == 1 && database.blocks()[0].links == [links.path().join(A)]);
    let left_out: Vec<(String, bool)> = database
        .left_out()
        .iter()
        .map(|block| (block.path.file_name().unwrap().to_string_lossy().into_owned(), block.is_problem))
        .collect();
    assert_eq!(left_out, [(B.to_owned(), false), (C.to_owned(), true)]);
}

#[test]
fn paths_without_blocks_are_errors() {
    let root = folder();
    let absent = root.path().join("absent");
    assert!(matches!(Database::open(&absent), Err(TsdbError::Io { path, .. }) if path == absent));
    assert!(matches!(Database::open(root.path()), Err(TsdbError::NoBlocks { path }) if path == root.path()));
    let file = root.path().join("file");
    std::fs::write(&file, "text").unwrap();
    assert!(matches!(Database::open(&file), Err(TsdbError::Io { path, .. }) if path == file));
    std::fs::create_dir(root.path().join("wal")).unwrap();
    assert!(matches!(Database::open(root.path()), Err(TsdbError::NoBlocks { .. })));
}

#[test]
fn external_labels_join_every_series() {
    let root = folder();
    let thanos = |replica: &str| {
        format!(
            r#""thanos":{{"labels":{{"replica":"{replica}","node":"{replica}-node"}},"downsample":{{}}}}"#
        )
    };
    small_block(A).meta(&thanos("a")).write(root.path());
    small_block(B).meta(&thanos("b")).write(root.path());
    let database = open(root.path());
    assert_eq!(database.blocks()[0].external_labels, Labels::new([("node", "a-node"), ("replica", "a")]));
    assert_eq!(
        names(&select(&database, r#"cpu{mode="user"}"#)),
        [
            r#"cpu{mode="user", node="a-node", replica="a"}"#,
            r#"cpu{mode="user", node="b-node", replica="b"}"#
        ]
    );
    assert_eq!(
        names(&select(&database, r#"cpu{mode="user",replica=~"b|c"}"#)),
        [r#"cpu{mode="user", node="b-node", replica="b"}"#]
    );
    assert!(select(&database, r#"up{node="n1"}"#).is_empty(), "replaced by the external label");
    assert_eq!(database.label_values("replica").len(), 2);
    // Two series of a block become one; here they have equal timestamps.
    let (samples, stats) = read_one(&database, r#"up{replica="a"}"#);
    assert_eq!((samples.len(), stats.duplicates_dropped, stats.conflicts), (20, 20, 20));
}

/// What a database holds: samples by series, series by selector.
type Everything = (BTreeMap<Labels, Samples>, Vec<Vec<String>>);

/// All that `path` holds, or `None` if anything at all was reported.
fn everything_if_unreported(path: &Path) -> Option<Everything> {
    let database = Database::open(path).ok()?;
    let mut reported = !database.left_out().is_empty();
    let mut found = BTreeMap::new();
    for series in database.select(&[], Window::ALL).ok()? {
        let mut buffer = ReadBuffer::default();
        let mut stats = ReadStats::default();
        database.read(&series, Window::ALL, &mut buffer, &mut stats).unwrap();
        reported |= !stats.problems.is_empty() || !stats.chunks_skipped.is_empty();
        found.insert(series.labels.clone(), buffer.into_samples());
    }
    let mut selected = Vec::new();
    for name in ["__name__", "mode", "node"] {
        for value in database.label_values(name) {
            let series = database.select(&[Matcher::equal(name, value)], Window::ALL).ok()?;
            selected.push(names(&series));
        }
    }
    reported |= !database.index_problems().is_empty();
    (!reported).then_some((found, selected))
}

fn damaged_block(root: &Path) -> std::path::PathBuf {
    let mut block = small_block(A);
    block.tombstones = vec![(1, 3000, 4000)];
    block.write(root)
}

const CHECKED_FILES: [&str; 3] = ["index", "chunks/000001", "tombstones"];

/// Wherever a file ends: no panic, and either a report or the whole truth.
#[test]
fn every_truncation_is_reported() {
    let root = folder();
    let path = damaged_block(root.path());
    let whole = everything_if_unreported(root.path()).unwrap();
    assert_eq!((whole.0.len(), whole.1.len()), (5, 6));
    for file in CHECKED_FILES {
        let file = path.join(file);
        let bytes = std::fs::read(&file).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&file, &bytes[..length]).unwrap();
            assert_eq!(everything_if_unreported(root.path()), None, "{} cut at {length}", file.display());
        }
        std::fs::write(&file, &bytes).unwrap();
    }
    let meta = path.join("meta.json");
    let bytes = std::fs::read(&meta).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&meta, &bytes[..length]).unwrap();
        assert_eq!(everything_if_unreported(root.path()), None, "meta.json cut at {length}");
    }
}

/// Whichever bit changes: no panic, and either a report or the whole truth
/// (padding may change without harm).
#[test]
fn every_changed_bit_is_reported_or_harmless() {
    let root = folder();
    let path = damaged_block(root.path());
    let whole = everything_if_unreported(root.path());
    for file in CHECKED_FILES {
        let file = path.join(file);
        let bytes = std::fs::read(&file).unwrap();
        let mut reported = 0_usize;
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << (position % 8);
            std::fs::write(&file, &damaged).unwrap();
            match everything_if_unreported(root.path()) {
                None => reported += 1,
                found => assert_eq!(found, whole, "{} at {position}", file.display()),
            }
        }
        assert!(reported * 10 > bytes.len() * 9, "{reported} of {} in {}", bytes.len(), file.display());
        std::fs::write(&file, &bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What a window returns is what lies in it of all there is, also where
    /// blocks overlap and samples are deleted.
    #[test]
    fn a_window_returns_what_lies_in_it(start_ms in -2000_i64..22_000, length_ms in 0_i64..22_000) {
        let root = folder();
        let mut block = small_block(A);
        block.tombstones = vec![(3, 2500, 4000), (3, 12_000, 12_000)];
        block.write(root.path());
        TestBlock::new(B, (500, 16_000))
            .series(&[("__name__", "up"), ("node", "n1")], vec![chunk(&ramp(500, 5, 0.0)), chunk(&ramp(7000, 9, 1.0))])
            .write(root.path());
        let database = open(root.path());
        let series = &select(&database, r#"up{node="n1"}"#)[0];
        let window = Window::new(start_ms, start_ms + length_ms);
        let (mut expected, _) = read(&database, series, Window::ALL);
        prop_assert_eq!(expected.len(), 20 - 3 + 6);
        expected.retain(|(at, _)| window.contains(*at));
        prop_assert_eq!(read(&database, series, window).0, expected);
    }

    /// Several bytes of any file at once, and bytes added or removed inside.
    #[test]
    fn any_damage_is_survived(
        file in prop::sample::select(CHECKED_FILES.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        inserted in prop::collection::vec(any::<u8>(), 0..6),
    ) {
        let root = folder();
        let path = damaged_block(root.path());
        let whole = everything_if_unreported(root.path());
        let file = path.join(file);
        let mut bytes = std::fs::read(&file).unwrap();
        for (position, mask) in changes {
            let position = position.index(bytes.len());
            bytes[position] ^= mask;
        }
        if let Some(at) = cut {
            let at = at.index(bytes.len());
            bytes.splice(at..at, inserted);
        }
        std::fs::write(&file, bytes).unwrap();
        let found = everything_if_unreported(root.path());
        prop_assert!(found.is_none() || found == whole);
    }

    /// `meta.json` has no checksum: nothing is promised but that it is survived.
    #[test]
    fn any_meta_is_survived(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let root = folder();
        let meta = damaged_block(root.path()).join("meta.json");
        let mut bytes = std::fs::read(&meta).unwrap();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        std::fs::write(&meta, bytes).unwrap();
        everything_if_unreported(root.path());
    }
}
