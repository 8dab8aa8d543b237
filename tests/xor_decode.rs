//! The decoder of XOR chunks against published vectors, an encoder and a
//! decoder that reads one bit at a time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod block_builder;

use block_builder::slow::decode_xor_slowly;
use block_builder::{BitWriter, STALE, encode_xor, varint};
use proptest::prelude::*;
use wattledger::tsdb::{ChunkError, Samples, decode_xor_chunk};

fn decode(data: &[u8]) -> Result<Vec<(i64, u64)>, ChunkError> {
    let mut samples = Samples::default();
    decode_xor_chunk(data, &mut samples)?;
    Ok(samples.timestamps_ms.into_iter().zip(samples.values.into_iter().map(f64::to_bits)).collect())
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Chunks written by Prometheus' own chunkenc (v0.313.1).
#[test]
fn chunks_of_prometheus() {
    let watts = |pairs: &[(i64, f64)]| -> Vec<(i64, u64)> {
        pairs.iter().map(|(at, value)| (*at, value.to_bits())).collect()
    };
    let stale = f64::from_bits(STALE);
    let vectors = [
        ("0001d00f3ff8000000000000", watts(&[(1000, 1.5)])),
        (
            "000480c895a3de664069000000000000987500",
            watts(&[0, 1, 2, 3].map(|nth| (1_765_000_000_000 + 15_000 * nth, 200.0))),
        ),
        (
            "0005000000000000000000e807c264028800980180",
            watts(&[(0, 0.0), (1000, 12.0), (2000, 12.0), (3000, 24.0), (4000, -24.0)]),
        ),
        (
            "00078f4e3ff0000000000000e8075000280059fffeef00007800000007735020b8",
            watts(&[-5000, -4000, 5192, 6193, 72729, 73729, 4_000_000_000].map(|at| (at, 1.0))),
        ),
        (
            "0005d00f401c000000000000e807c5effd80000000000057fd80000000000060006ffb000000000000aff400000000000080",
            watts(&[(1000, 7.0), (2000, stale), (3000, 7.0), (4001, stale), (5002, 8.0)]),
        ),
        (
            "0004d00f3fb999999999999ae807d21f6bd3555555555555d2aaaaaaaaaaab80",
            watts(&[(1000, 0.1), (2000, 0.2), (3000, 0.300_000_000_000_000_04), (4000, 0.4)]),
        ),
    ];
    for (hex, expected) in vectors {
        let data = bytes(hex);
        assert_eq!(decode(&data).as_ref(), Ok(&expected), "{hex}");
        assert_eq!(decode_xor_slowly(&data), Some(expected.clone()), "{hex}");
        // Padding after the last sample means nothing; a missing byte is noticed.
        let padded: Vec<u8> = data.iter().copied().chain([0xff; 9]).collect();
        assert_eq!(decode(&padded), Ok(expected), "{hex}");
        assert_eq!(decode(&data[..data.len() - 2]), Err(ChunkError::CutOff), "{hex}");
    }
}

#[test]
fn samples_are_appended_and_errors_leave_them_alone() {
    let mut samples = Samples { timestamps_ms: vec![5], values: vec![6.0] };
    assert_eq!(decode_xor_chunk(&encode_xor(&[(7, 8.0), (9, 10.0)]), &mut samples), Ok(true));
    assert_eq!(samples, Samples { timestamps_ms: vec![5, 7, 9], values: vec![6.0, 8.0, 10.0] });
    let cut = encode_xor(&[(11, 1.0), (12, 1.1), (13, 1.7)]);
    assert!(decode_xor_chunk(&cut[..cut.len() - 3], &mut samples).is_err());
    assert_eq!(samples, Samples { timestamps_ms: vec![5, 7, 9], values: vec![6.0, 8.0, 10.0] });
    assert_eq!(decode_xor_chunk(&encode_xor(&[(20, 1.0), (20, 2.0)]), &mut samples), Ok(false));
    assert_eq!(decode(&[0, 0]), Ok(vec![]));
}

/// Two samples by hand, the second with these bits as its value.
fn second_value(bits: &[(u64, usize)]) -> Vec<u8> {
    let mut chunk = BitWriter::default();
    chunk.push(2, 16);
    chunk.push(0, 8);
    chunk.push(0, 64);
    chunk.push(1, 8);
    bits.iter().for_each(|(value, count)| chunk.push(*value, *count));
    chunk.push(0, 64);
    chunk.into_bytes()
}

#[test]
fn what_no_writer_writes_is_refused() {
    // 31 leading and 34 significant bits are 65; 31 and 33 are 64.
    assert_eq!(decode(&second_value(&[(0b11, 2), (31, 5), (34, 6)])), Err(ChunkError::Width));
    assert!(decode(&second_value(&[(0b11, 2), (31, 5), (33, 6)])).is_ok());
    // A length of 0 means 64, which leaves no room for leading bits.
    assert_eq!(decode(&second_value(&[(0b11, 2), (1, 5), (0, 6)])), Err(ChunkError::Width));
    let whole = decode(&second_value(&[(0b11, 2), (0, 5), (0, 6), (u64::MAX, 64)])).unwrap();
    assert_eq!(whole, [(0, 0), (1, u64::MAX)]);
    assert_eq!(decode(&encode_xor(&[(5, 1.0), (9, 1.0), (8, 1.0)])), Err(ChunkError::Backwards));
    assert_eq!(decode(&encode_xor(&[(5, 1.0), (4, 1.0)])), Err(ChunkError::Backwards));
    assert_eq!(decode(&[0xff, 0xff, 0, 0]), Err(ChunkError::CutOff));
    assert_eq!(decode(&[0]), Err(ChunkError::CutOff));
    let endless: Vec<u8> = [0, 1].into_iter().chain([0xff; 30]).collect();
    assert_eq!(decode(&endless), Err(ChunkError::Number));
}

/// A Prometheus that goes on with a chunk after a restart (feature
/// `memory-snapshot-on-shutdown`) takes the whole value as the width of the one
/// before, where none has changed until then.
#[test]
fn the_width_before_any_is_the_whole_value() {
    let data = second_value(&[(0b10, 2), (7.0_f64.to_bits(), 64)]);
    assert_eq!(decode(&data), Ok(vec![(0, 0), (1, 7.0_f64.to_bits())]));
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (0_u32..500).prop_map(f64::from),
        (0_u32..4).prop_map(|tenths| f64::from(tenths) / 10.0),
        prop::sample::select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]),
        Just(f64::from_bits(STALE)),
    ]
}

fn any_step() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => Just(15_000_i64),
        4 => 14_950_i64..15_050,
        1 => 0_i64..200_000,
        1 => 0_i64..2_000_000_000_000,
        // The edges of the width classes, in steps of the step.
        1 => prop::sample::select(vec![8191_i64, 8192, 8193, 65_535, 65_536, 65_537, 524_288, 524_289]),
    ]
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back(
        first in -4_000_000_000_000_i64..4_000_000_000_000,
        steps in prop::collection::vec((any_step(), any_value()), 1..300),
    ) {
        let mut at = first;
        let samples: Vec<(i64, f64)> = steps
            .iter()
            .map(|(step, value)| {
                at += step;
                (at, *value)
            })
            .collect();
        let data = encode_xor(&samples);
        let expected: Vec<(i64, u64)> = samples.iter().map(|(at, value)| (*at, value.to_bits())).collect();
        prop_assert_eq!(decode_xor_slowly(&data), Some(expected.clone()));
        prop_assert_eq!(decode(&data), Ok(expected));
    }

    /// Any bytes at all: both decoders agree on what they say, and on whether
    /// they say anything.
    #[test]
    fn fast_and_slow_agree_on_any_bytes(
        count in 0_u16..40,
        first in any::<i64>(),
        rest in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff), 0x80_u8..0xa0], 0..120),
    ) {
        let data: Vec<u8> = count.to_be_bytes().into_iter().chain(varint(first)).chain(rest).collect();
        prop_assert_eq!(decode(&data).ok(), decode_xor_slowly(&data));
        // Without the well-formed first timestamp too.
        let tail = [&count.to_be_bytes(), &data[3..]].concat();
        prop_assert_eq!(decode(&tail).ok(), decode_xor_slowly(&tail));
    }
}
