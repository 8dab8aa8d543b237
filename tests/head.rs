//! The head of a data directory: what a server had not made blocks of.
//!
//! Directories are built here byte by byte, so that each has one thing wrong.
//! Real ones stand in `tsdb_read_real.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod wal_builder;

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use wal_builder::{
    Compression, deletion, head_chunk_file, integer_histogram, minimum, record_of_type, samples, samples_v2,
    segment, series, stored,
};
use wattledger::time::Window;
use wattledger::tsdb::writer::{BlockOptions, BlockWriter, xor};
use wattledger::tsdb::{Database, Labels, LeftOut, ReadBuffer, ReadStats, Samples};

const POWER: [(&str, &str); 2] = [("__name__", "power_watts"), ("instance", "n1")];
const OTHER: [(&str, &str); 2] = [("__name__", "other"), ("instance", "n1")];

/// A data directory in the making.
struct Data(tempfile::TempDir);

impl Data {
    fn new() -> Self {
        let data = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(data.path().join("wal")).unwrap();
        data
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// A WAL segment of uncompressed records.
    fn wal(&self, name: &str, records: &[Vec<u8>]) {
        self.file(&format!("wal/{name}"), &segment(Compression::None, records));
    }

    fn open(&self) -> Database {
        Database::open(self.path()).unwrap()
    }

    fn read(&self) -> Read {
        Read::all(&self.open())
    }
}

/// All series of a database with their samples.
#[derive(Debug, Default, PartialEq)]
struct Read {
    series: Vec<(String, Vec<(i64, f64)>)>,
    stats: ReadStats,
}

impl Read {
    fn all(database: &Database) -> Self {
        let mut read = Self::default();
        let mut buffer = ReadBuffer::default();
        for series in database.select(&[], Window::ALL).unwrap() {
            database.read(&series, Window::ALL, &mut buffer, &mut read.stats).unwrap();
            let Samples { timestamps_ms, values } = buffer.samples();
            let pairs = timestamps_ms.iter().copied().zip(values.iter().copied()).collect();
            read.series.push((series.labels.to_string(), pairs));
        }
        assert_eq!(database.index_problems(), []);
        read
    }

    /// The samples of the only series.
    fn only(&self) -> &[(i64, f64)] {
        assert_eq!(self.series.len(), 1, "{:?}", self.series);
        &self.series[0].1
    }
}

fn reasons(left_out: &[LeftOut]) -> Vec<String> {
    left_out.iter().map(|left| format!("{}: {}", left.name, left.reason)).collect()
}

/// Samples of series 1 at `times`, each with its own time in seconds as the value.
fn at(times: &[i64]) -> Vec<u8> {
    let all: Vec<_> = times.iter().map(|&at_ms| (1, at_ms, at_ms as f64 / 1000.0)).collect();
    samples(&all)
}

fn pairs(times: &[i64]) -> Vec<(i64, f64)> {
    times.iter().map(|&at_ms| (at_ms, at_ms as f64 / 1000.0)).collect()
}

#[test]
fn records_of_every_compression_and_version() {
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let data = Data::new();
        let records = [
            series(&[(1, &POWER), (7, &OTHER)]),
            samples(&[(1, 1000, 1.5), (7, 1001, -0.0)]),
            // Metadata, exemplars and markers hold no samples.
            record_of_type(6, &[1, 2, 0]),
            samples_v2(&[(7, 500, 2001, f64::NAN), (1, 0, 2000, 2.5), (1, 500, 3000, f64::INFINITY)]),
        ];
        data.file("wal/00000000", &segment(compression, &records));
        let read = data.read();
        assert_eq!(read.series[0].0, r#"other{instance="n1"}"#);
        assert_eq!(read.series[0].1[0], (1001, -0.0));
        assert!(read.series[0].1[1].1.is_nan() && read.series[0].1[1].0 == 2001);
        assert_eq!(read.series[1].1, [(1000, 1.5), (2000, 2.5), (3000, f64::INFINITY)]);
        let database = data.open();
        assert_eq!(database.left_out(), []);
        assert_eq!(database.time_range(), Some(Window::new(1000, 3001)));
        assert_eq!(database.heads().first().unwrap().series_count(), 2);
        assert_eq!(database.series_count(), 2);
        assert!(database.label_values("__name__").contains("power_watts"));
    }
}

/// 40,000 samples of 10 bytes and more: a record of many pages, and a chunk
/// for each 120 of them.
#[test]
fn a_record_longer_than_a_page() {
    let data = Data::new();
    let times: Vec<i64> = (0..40_000).map(|nth| nth * 15_000).collect();
    data.wal("00000000", &[series(&[(1, &POWER)]), at(&times)]);
    let read = data.read();
    assert_eq!(read.only(), pairs(&times));
    assert_eq!(read.stats.chunks, 40_000_u64.div_ceil(120));
}

#[test]
fn only_selected_series_are_decoded() {
    let data = Data::new();
    data.wal(
        "00000000",
        &[series(&[(1, &POWER), (2, &OTHER)]), samples(&[(1, 0, 1.0), (2, 0, 1.0), (1, 9, 1.0)])],
    );
    let database = data.open();
    let power = wattledger::tsdb::Matcher::equal("__name__", "power_watts");
    let found = database.select(std::slice::from_ref(&power), Window::ALL).unwrap();
    let mut stats = ReadStats::default();
    let mut buffer = ReadBuffer::default();
    for series in &found {
        database.read(series, Window::new(5, 10), &mut buffer, &mut stats).unwrap();
    }
    assert_eq!((found.len(), stats.samples, stats.decoded), (1, 1, 2));
    assert!(database.select(&[power], Window::new(10, 20)).unwrap().is_empty(), "its last sample is at 9");
    // The other series is loaded when it is wanted.
    assert_eq!(Read::all(&database).stats.samples, 3);
}

/// Segments up to the checkpoint's number are in it; those behind it follow.
#[test]
fn the_newest_checkpoint_and_what_follows_it() {
    let data = Data::new();
    data.wal("00000003", &[series(&[(1, &POWER)]), at(&[-5000])]);
    data.wal("00000004", &[at(&[-4000])]);
    data.wal("checkpoint.00000003/00000000", &[series(&[(1, &POWER)]), at(&[-3000])]);
    data.wal("checkpoint.00000004/00000000", &[series(&[(1, &POWER)])]);
    data.wal("checkpoint.00000004/00000001", &[at(&[1000])]);
    data.wal("checkpoint.00000005.tmp/00000000", &[at(&[-2000])]);
    data.wal("00000005", &[at(&[2000])]);
    data.wal("00000006", &[at(&[3000])]);
    assert_eq!(data.read().only(), pairs(&[1000, 2000, 3000]));
    assert_eq!(data.open().left_out(), []);
}

#[test]
fn a_checkpoint_says_before_when_nothing_counts() {
    let data = Data::new();
    let head = [series(&[(1, &POWER)]), minimum(2000), at(&[1000, 2000, 3000])];
    data.wal("checkpoint.00000000/00000000", &head);
    assert_eq!(data.read().only(), pairs(&[2000, 3000]));
}

/// In the WAL a server takes no sample that is not after the one before; those
/// that it did accept are in the WBL, where they may stand in any order.
#[test]
fn samples_out_of_order() {
    let data = Data::new();
    data.wal("00000000", &[series(&[(1, &POWER)]), at(&[10_000, 5000, 20_000])]);
    data.file("wbl/00000000", &segment(Compression::None, &[at(&[7000, 6000, 6500]), at(&[6000, 9000])]));
    let read = data.read();
    assert_eq!(read.only(), pairs(&[6000, 6500, 7000, 9000, 10_000, 20_000]));
    assert_eq!((read.stats.duplicates_dropped, read.stats.conflicts), (1, 0));
}

/// A server forgets what the first reference had: that is in blocks by then.
/// Where the blocks are lost, the log still has it.
#[test]
fn a_series_under_two_references_is_one() {
    let data = Data::new();
    data.wal(
        "00000000",
        &[series(&[(1, &POWER)]), at(&[1000]), series(&[(9, &POWER)]), samples(&[(9, 2000, 2.0)])],
    );
    assert_eq!(data.read().only(), pairs(&[1000, 2000]));
}

#[test]
fn deletions_in_the_log() {
    let data = Data::new();
    let times: Vec<i64> = (1..=9).map(|nth| nth * 1000).collect();
    data.wal(
        "00000000",
        &[
            series(&[(1, &POWER)]),
            at(&times),
            deletion(&[(1, 2000, 3500), (1, 3000, 4000), (5, 0, 9)]),
            at(&[10_000]),
        ],
    );
    let read = data.read();
    assert_eq!(read.only(), pairs(&[1000, 5000, 6000, 7000, 8000, 9000, 10_000]));
    assert_eq!(read.stats.deleted, 3);
}

/// All of time deleted: the server has moved a stale series into a block.
#[test]
fn a_series_that_was_moved_into_a_block() {
    let data = Data::new();
    let moved = deletion(&[(1, i64::MIN, i64::MAX)]);
    data.wal(
        "00000000",
        &[series(&[(1, &POWER)]), at(&[1000]), moved, series(&[(2, &POWER)]), samples(&[(2, 5000, 5.0)])],
    );
    assert_eq!(data.read().only(), pairs(&[5000]));
}

/// The log goes further back than the head: what a block has is not read again,
/// or what was deleted from the block would come back.
#[test]
fn samples_that_are_in_a_block() {
    let data = Data::new();
    let times: Vec<i64> = (0..=9).map(|nth| nth * 1000).collect();
    data.wal("00000000", &[series(&[(1, &POWER)]), at(&times)]);
    let mut block = BlockWriter::create(data.path(), Window::new(0, 5000), BlockOptions::default()).unwrap();
    // As after a deletion of 3000 to 4999 and a compaction.
    let kept = Samples { timestamps_ms: vec![0, 1000, 2000], values: vec![0.0, 1.0, 2.0] };
    block.add_series(&Labels::new(POWER), &kept).unwrap();
    block.finish().unwrap();
    let read = data.read();
    assert_eq!(read.only(), pairs(&[0, 1000, 2000, 5000, 6000, 7000, 8000, 9000]));
    assert_eq!(read.stats.duplicates_dropped, 0);
    // Nothing but the block's word tells that they were deleted: a digit of it might be wrong, so it is said.
    let database = data.open();
    let said: Vec<&str> = database.left_out().iter().map(|left| left.reason.as_str()).collect();
    assert!(
        said.iter().any(|said| said.starts_with("2 samples or chunks lie behind the last sample")),
        "{said:?}"
    );
}

/// Eight kilobytes made eight gigabytes.
#[test]
fn records_that_unfold() {
    let data = Data::new();
    let labels = 100_000_000_u32;
    // A series of very many empty labels, in all 200 MB of noughts.
    let head = [&[1_u8][..], &1_u64.to_be_bytes(), &[0x80, 0xc2, 0xd7, 0x2f]].concat();
    let record = [head, vec![0; 2 * labels as usize]].concat();
    let packed = zstd::bulk::compress(&record, 3).unwrap();
    assert!(packed.len() < 50_000);
    let bytes = stored(Compression::Zstd, &packed);
    data.file(
        "wal/00000000",
        &[bytes, segment(Compression::None, &[series(&[(1, &POWER)]), at(&[1000])])].concat(),
    );
    let read = data.read();
    assert_eq!(read.only(), pairs(&[1000]));
    let said = format!("{:?}", data.open().left_out());
    assert!(said.contains("it unpacks to more than"), "{said}");

    let data = Data::new();
    let names: Vec<String> = (0..5000).map(|nth| format!("l{nth:04}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    data.wal("00000000", &[series(&[(1, &many)]), series(&[(2, &POWER)]), samples(&[(2, 1000, 1.0)])]);
    assert_eq!(data.read().only(), pairs(&[1000]));
    let said = format!("{:?}", data.open().left_out());
    assert!(said.contains("a series of 5000 labels"), "{said}");
}

/// A chunk in a file holds what the log has for its time; a damaged one does not.
#[test]
fn full_chunks_of_the_head() {
    let chunk = |times: &[i64]| {
        let values: Vec<f64> = times.iter().map(|&at_ms| at_ms as f64 / 1000.0).collect();
        (1_u64, times[0], *times.last().unwrap(), 1_u8, xor::encode(times, &values))
    };
    let data = Data::new();
    data.wal("00000000", &[series(&[(1, &POWER)]), at(&[1000, 2000, 3000, 4000, 5000])]);
    let out_of_order = (1, 1500, 1600, 1 | 0x80, chunk(&[1500, 1600]).4);
    let file = head_chunk_file(&[chunk(&[1000, 2000, 3000]), out_of_order, chunk(&[4000])]);
    data.file("chunks_head/000001", &file);
    let read = data.read();
    assert_eq!(read.only(), pairs(&[1000, 1500, 1600, 2000, 3000, 4000, 5000]));
    assert_eq!((read.stats.chunks, read.stats.decoded, read.stats.duplicates_dropped), (4, 7, 0));

    // Reserved space behind the chunks, as a running server has it.
    let reserved = [file.clone(), vec![0; 5000]].concat();
    data.file("chunks_head/000001", &reserved);
    assert_eq!(data.read().series, read.series);
    assert_eq!(data.open().left_out(), []);

    for position in 0..file.len() {
        let mut damaged = file.clone();
        damaged[position] ^= 0x20;
        data.file("chunks_head/000001", &damaged);
        let damaged = data.read();
        // The log has all but the samples that came out of order.
        let in_order: Vec<_> =
            damaged.only().iter().copied().filter(|(at_ms, _)| at_ms % 1000 == 0).collect();
        assert_eq!(in_order, pairs(&[1000, 2000, 3000, 4000, 5000]), "byte {position}");
        // Three bytes of padding in the header mean nothing.
        let is_noted =
            reasons(data.open().left_out()).iter().any(|reason| reason.starts_with("chunks_head/000001"));
        assert!(is_noted || (5..8).contains(&position), "byte {position}");
    }
    for length in 0..file.len() {
        data.file("chunks_head/000001", &file[..length]);
        let in_order = data.read().only().iter().filter(|(at_ms, _)| at_ms % 1000 == 0).count();
        assert_eq!(in_order, 5, "cut at {length}");
        assert!(data.open().left_out().iter().all(|left| !left.is_problem), "the last file may break off");
    }
    data.file("chunks_head/000001", &file);
    data.file("chunks_head/000003", &file);
    assert!(reasons(data.open().left_out())[0].contains("a file is missing between 000001 and 000003"));
    assert_eq!(data.read().series, read.series);
}

#[test]
fn histograms_beside_floats() {
    let data = Data::new();
    data.wal(
        "00000000",
        &[series(&[(1, &POWER)]), at(&[1000]), integer_histogram(&[(1, 2000, 5, 2.5)]), at(&[3000])],
    );
    assert_eq!(data.read().only(), pairs(&[1000, 3000]));
}

#[test]
fn what_no_record_names_is_counted() {
    let data = Data::new();
    data.wal(
        "00000000",
        &[
            series(&[(1, &POWER)]),
            samples(&[(1, 1000, 1.0), (2, 1000, 1.0), (3, 1000, 1.0), (3, 2000, 1.0)]),
            record_of_type(99, &[1]),
        ],
    );
    data.file("chunks_head/000001", &head_chunk_file(&[(3, 0, 9, 1, xor::encode(&[0, 9], &[1.0, 1.0]))]));
    assert_eq!(data.read().only(), pairs(&[1000]));
    assert_eq!(
        reasons(data.open().left_out()),
        [
            "wal: 3 samples and 1 full chunks of 2 series are not read: the records that name these series are lost",
            "wal: 1 records of the unknown type 99 are not read",
        ]
    );
}

#[test]
fn a_missing_segment_is_named_and_the_rest_is_read() {
    let data = Data::new();
    data.wal("00000000", &[series(&[(1, &POWER)]), at(&[1000])]);
    data.wal("00000001", &[at(&[2000])]);
    data.wal("00000004", &[at(&[5000])]);
    data.wal("00000005", &[]);
    assert_eq!(data.read().only(), pairs(&[1000, 2000, 5000]));
    assert_eq!(
        reasons(data.open().left_out()),
        ["wal: 2 files are missing between 00000001 and 00000004: what was in them is lost"]
    );
    assert!(data.open().left_out()[0].is_problem);
}

/// Cut anywhere, the last segment gives the records before the cut; that is
/// how every crash leaves it, and no problem.
#[test]
fn a_last_segment_that_breaks_off() {
    let data = Data::new();
    let records = [series(&[(1, &POWER)]), at(&[1000, 2000]), at(&[3000]), at(&[4000, 5000])];
    let whole = segment(Compression::None, &records);
    let ends: Vec<usize> =
        (0..=records.len()).map(|count| segment(Compression::None, &records[..count]).len()).collect();
    for length in 0..whole.len() {
        data.file("wal/00000000", &whole[..length]);
        let complete = ends.iter().filter(|end| **end <= length).count() - 1;
        let expected = [0, 0, 2, 3, 5][complete];
        let read = data.read();
        let count: usize = read.series.iter().map(|(_, samples)| samples.len()).sum();
        assert_eq!(count, expected, "cut at {length}");
        let database = data.open();
        assert!(database.left_out().iter().all(|left| !left.is_problem));
        assert_eq!(database.left_out().is_empty(), ends.contains(&length), "cut at {length}");
    }
    data.file("wal/00000000", &whole[..whole.len() - 3]);
    let torn = whole.len() - 3 - ends[3];
    assert_eq!(
        reasons(data.open().left_out()),
        [format!("wal/00000000: ends in the middle of a record: its last {torn} bytes are not read")]
    );
    // Not the last one: then something is lost that should be there.
    data.wal("00000001", &[at(&[9000])]);
    assert!(data.open().left_out()[0].is_problem);
    assert_eq!(data.read().only(), pairs(&[1000, 2000, 3000, 9000]));
}

/// Damage costs the record, or the page that it is in; later pages are read.
#[test]
fn a_damaged_page_costs_no_other() {
    let data = Data::new();
    let first: Vec<i64> = (0..3000).map(|nth| nth * 1000).collect();
    let second: Vec<i64> = (3000..9000).map(|nth| nth * 1000).collect();
    let third: Vec<i64> = (9000..9010).map(|nth| nth * 1000).collect();
    let records = [series(&[(1, &POWER)]), at(&first), at(&second), at(&third)];
    let mut bytes = segment(Compression::None, &records);
    bytes[40_000] ^= 1;
    data.file("wal/00000000", &bytes);
    let kept: Vec<i64> = first.iter().chain(&third).copied().collect();
    assert_eq!(data.read().only(), pairs(&kept));
    let begins = segment(Compression::None, &records[..2]).len();
    assert_eq!(
        reasons(data.open().left_out()),
        [format!("wal/00000000: byte {begins}: the checksum of a record does not match")]
    );
}

#[test]
fn compressed_data_that_claims_too_much() {
    let data = Data::new();
    // Snappy: a length of 4 GiB - 1 in front of nothing.
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    data.file("wal/00000000", &wal_builder::stored(Compression::Snappy, &bomb));
    assert!(reasons(data.open().left_out())[0].contains("claims to hold 4294967295 bytes"));
    data.file("wal/00000000", &wal_builder::stored(Compression::Zstd, &bomb));
    assert!(reasons(data.open().left_out())[0].contains("not Zstandard data"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever stands in a segment: no panic, and nothing is made up.
    #[test]
    fn any_bytes_in_the_log(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0_u8..40) {
        let data = Data::new();
        data.wal("00000000", &[series(&[(1, &POWER)]), at(&[1000]), record_of_type(kind % 20, &bytes)]);
        data.file("wal/00000001", &bytes);
        data.file("wbl/00000000", &bytes);
        data.file("chunks_head/000001", &bytes);
        data.open().select(&[], Window::ALL).unwrap();
    }

    /// A flipped byte anywhere is found, and costs what follows it in its page at most.
    #[test]
    fn a_flipped_byte(position in 0_usize..200, bit in 0_u8..8) {
        let data = Data::new();
        let mut bytes = segment(Compression::Snappy, &[series(&[(1, &POWER)]), at(&[1000, 2000]), at(&[3000])]);
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        data.file("wal/00000000", &bytes);
        let read = data.read();
        for (_, samples) in &read.series {
            prop_assert!(samples.iter().all(|sample| pairs(&[1000, 2000, 3000]).contains(sample)));
        }
        let count: usize = read.series.iter().map(|(_, samples)| samples.len()).sum();
        prop_assert!(count == 3 || !data.open().left_out().is_empty());
    }
}

/// The directories built here are those that a real server would read.
#[test]
#[ignore = "needs promtool: apt-get install prometheus"]
fn promtool_reads_the_same_from_a_built_directory() {
    let data = Data::new();
    let deleted = deletion(&[(1, 1500, 2000)]);
    data.wal("00000000", &[series(&[(1, &POWER)]), at(&[1000, 2000]), deleted]);
    let more = [at(&[3000, 2500]), series(&[(4, &OTHER)]), samples(&[(4, 4000, 4.0)])];
    data.file("wal/00000001", &segment(Compression::Snappy, &more));
    let full = xor::encode(&[5000, 6000], &[5.0, 6.0]);
    data.file("chunks_head/000001", &head_chunk_file(&[(1, 5000, 6000, 1, full)]));
    let ours = data.read();
    assert_eq!(ours.series[0].1, [(4000, 4.0)]);
    // The chunk makes promtool drop what the log has before it; a real log then
    // has a chunk for that, too.
    assert_eq!(ours.series[1].1, pairs(&[1000, 3000, 5000, 6000]));
    std::fs::remove_dir_all(data.path().join("chunks_head")).unwrap();
    let output =
        Command::new("promtool").args(["tsdb", "dump"]).arg(data.path()).output().expect("promtool runs");
    let printed = String::from_utf8(output.stdout).unwrap();
    let expected = r#"{__name__="other", instance="n1"} 4 4000
{__name__="power_watts", instance="n1"} 1 1000
{__name__="power_watts", instance="n1"} 3 3000
"#;
    assert_eq!(printed, expected);
}
