//! Decoder and encoder of XOR2 chunks against vectors of Prometheus' own library
//! and a decoder that reads one bit at a time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod block_builder;

use block_builder::slow::{Started, decode_xor2_slowly};
use block_builder::{BitWriter, STALE, varint};
use proptest::prelude::*;
use wattledger::tsdb::writer::xor2;
use wattledger::tsdb::{
    ChunkError, Samples, chunk_sample_count, decode_chunk, decode_xor_chunk, decode_xor2_chunk,
};

fn decode(data: &[u8]) -> Result<Vec<(i64, u64)>, ChunkError> {
    let mut samples = Samples::default();
    let ascending = decode_xor2_chunk(data, &mut samples)?;
    assert_eq!(ascending, samples.timestamps_ms.is_sorted_by(|left, right| left < right));
    Ok(samples.timestamps_ms.into_iter().zip(samples.values.into_iter().map(f64::to_bits)).collect())
}

fn decode_slowly(data: &[u8]) -> Option<Vec<(i64, u64)>> {
    let plain = |sample: &Started| (sample.at, sample.value);
    decode_xor2_slowly(data).map(|samples| samples.iter().map(plain).collect())
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Chunks written by Prometheus' own chunkenc (v0.313.1): start timestamp,
/// timestamp, value.
fn vectors() -> Vec<(&'static str, Vec<Started>)> {
    let of = |samples: &[(i64, i64, f64)]| -> Vec<Started> {
        let made =
            |(start, at, value): &(i64, i64, f64)| Started { start: *start, at: *at, value: value.to_bits() };
        samples.iter().map(made).collect()
    };
    let stale = f64::from_bits(STALE);
    vec![
        ("000100d00f3ff8000000000000", of(&[(0, 1000, 1.5)])),
        (
            "00040080c895a3de664069000000000000987500",
            of(&[0, 1, 2, 3].map(|nth| (0, 1_765_000_000_000 + 15_000 * nth, 200.0))),
        ),
        (
            "000500000000000000000000e807c132015000a80180",
            of(&[(0, 0, 0.0), (0, 1000, 12.0), (0, 2000, 12.0), (0, 3000, 24.0), (0, 4000, -24.0)]),
        ),
        (
            "0007008f4e3ff0000000000000e8077010003bf8005c1fffeef00007800000003b9a8105c0",
            of(&[-5000, -4000, 5192, 6193, 72729, 73729, 4_000_000_000].map(|at| (0, at, 1.0))),
        ),
        (
            "000500d00f401c000000000000e807ec001f542780",
            of(&[(0, 1000, 7.0), (0, 2000, stale), (0, 3000, 7.0), (0, 4001, stale), (0, 5002, 8.0)]),
        ),
        (
            "000400d00f3fb999999999999ae807c90fd5e9aaaaaaaaaaaaf1555555555555c0",
            of(&[(0, 1000, 0.1), (0, 2000, 0.2), (0, 3000, 0.300_000_000_000_000_04), (0, 4000, 0.4)]),
        ),
        (
            "000482d00f3ff0000000000000e807e807c12fffd603558580",
            of(&[(500, 1000, 1.0), (500, 2000, 2.0), (2000, 3000, 3.0), (3000, 4000, 4.0)]),
        ),
    ]
}

#[test]
fn chunks_of_prometheus() {
    for (hex, expected) in vectors() {
        let data = bytes(hex);
        assert_eq!(decode_xor2_slowly(&data).as_ref(), Some(&expected), "{hex}");
        let expected: Vec<(i64, u64)> = expected.iter().map(|sample| (sample.at, sample.value)).collect();
        assert_eq!(decode(&data).as_ref(), Ok(&expected), "{hex}");
        assert_eq!(chunk_sample_count(4, &data), Some(expected.len() as u16));
        // Padding after the last sample means nothing; a missing byte is noticed.
        let padded: Vec<u8> = data.iter().copied().chain([0xff; 9]).collect();
        assert_eq!(decode(&padded), Ok(expected), "{hex}");
        assert!(decode(&data[..data.len() - 2]).is_err(), "{hex}");
    }
}

/// Each encoding goes to its own decoder, and what holds no floats to none.
#[test]
fn the_encoding_decides() {
    let (xor, xor2) = (bytes("0001d00f3ff8000000000000"), bytes("000100d00f3ff8000000000000"));
    let expected = Samples { timestamps_ms: vec![1000], values: vec![1.5] };
    for (encoding, data) in [(1, &xor), (4, &xor2)] {
        let mut samples = Samples::default();
        assert_eq!(decode_chunk(encoding, data, &mut samples), Ok(true));
        assert_eq!(samples, expected);
    }
    // The same bytes under the other number are another chunk.
    let mut samples = Samples::default();
    assert_eq!(decode_chunk(1, &xor2, &mut samples), decode_xor_chunk(&xor2, &mut Samples::default()));
    samples = expected.clone();
    for encoding in [0, 2, 3, 5, 6, 7, 0xff] {
        let refused = decode_chunk(encoding, &xor, &mut samples);
        assert_eq!(refused, Err(ChunkError::NoFloats { encoding }));
        assert_eq!(samples, expected);
    }
    let said = |encoding| ChunkError::NoFloats { encoding }.to_string();
    assert_eq!(said(6), "chunks in the encoding float histogram ST hold no float samples");
    assert_eq!(said(9), "chunks in the encoding unknown 9 hold no float samples");
}

#[test]
fn counts_stand_in_the_header() {
    let data = [0xc1, 0x02, 0];
    assert_eq!([1, 2, 3, 4].map(|encoding| chunk_sample_count(encoding, &data)), [Some(0xc102); 4]);
    // With start timestamps the upper two bits are the hint of a counter reset.
    assert_eq!([5, 6].map(|encoding| chunk_sample_count(encoding, &data)), [Some(0x0102); 2]);
    assert_eq!([0, 7, 0xff].map(|encoding| chunk_sample_count(encoding, &data)), [None; 3]);
    assert_eq!(chunk_sample_count(1, &data[..1]), None);
}

/// The first two samples (0 ms, 0.0) and (1 ms, …), then these bits: the
/// second's value and the rest. `header` is what it says of start timestamps.
fn chunk(count: u64, header: u64, bits: &[(u64, usize)]) -> Vec<u8> {
    let mut chunk = BitWriter::default();
    chunk.push(count, 16);
    chunk.push(header, 8);
    chunk.push(0, 8);
    chunk.push(0, 64);
    chunk.push(1, 8);
    bits.iter().for_each(|(value, count)| chunk.push(*value, *count));
    chunk.into_bytes()
}

const SEVEN: u64 = 0x401c_0000_0000_0000;

#[test]
fn prefixes_by_hand() {
    // The second sample: unchanged, the whole width before any was stated, a
    // new width, a stale marker.
    let second = |bits: &[(u64, usize)]| decode(&chunk(2, 0, bits)).map(|samples| samples[1].1);
    assert_eq!(second(&[(0, 1)]), Ok(0));
    assert_eq!(second(&[(0b10, 2), (SEVEN, 64)]), Ok(SEVEN));
    assert_eq!(second(&[(0b110, 3), (1, 5), (63, 6), (SEVEN, 63)]), Ok(SEVEN));
    assert_eq!(second(&[(0b110, 3), (0, 5), (0, 6), (u64::MAX, 64)]), Ok(u64::MAX));
    assert_eq!(second(&[(0b111, 3)]), Ok(STALE));
    // 1 and 64 bits are too many, and 31 and 34.
    assert_eq!(second(&[(0b110, 3), (1, 5), (0, 6), (0, 64)]), Err(ChunkError::Width));
    assert_eq!(second(&[(0b110, 3), (31, 5), (34, 6), (0, 64)]), Err(ChunkError::Width));
    assert!(second(&[(0b110, 3), (31, 5), (33, 6), (0, 33)]).is_ok());

    // The third, 1 ms after the second or another step.
    let third = |bits: &[(u64, usize)]| {
        let all: Vec<(u64, usize)> = [(0, 1)].into_iter().chain(bits.iter().copied()).collect();
        decode(&chunk(3, 0, &all)).map(|samples| samples[2])
    };
    assert_eq!(third(&[(0, 1)]), Ok((2, 0)));
    assert_eq!(third(&[(0b100, 3), (SEVEN, 64)]), Ok((2, SEVEN)));
    assert_eq!(third(&[(0b101, 3), (1, 5), (11, 6), (0b111, 11)]), Ok((2, 0b111 << 52)));
    // Two's complement, unlike in XOR chunks: 2^12 is −4096.
    assert_eq!(third(&[(0b110, 3), (4095, 13), (0, 1)]), Ok((1 + 1 + 4095, 0)));
    assert_eq!(third(&[(0b110, 3), (4096, 13), (0, 1)]), Err(ChunkError::Backwards));
    assert_eq!(third(&[(0b110, 3), (0x1fff, 13), (0, 1)]), Ok((1, 0)));
    assert_eq!(third(&[(0b1110, 4), (524_287, 20), (0b111, 3)]), Ok((2 + 524_287, STALE)));
    assert_eq!(third(&[(0b1110, 4), (524_288, 20), (0, 1)]), Err(ChunkError::Backwards));
    let far = 1_u64 << 40;
    assert_eq!(third(&[(0b11110, 5), (far, 64), (0b10, 2), (SEVEN, 64)]), Ok((2 + (1 << 40), SEVEN)));
    assert_eq!(third(&[(0b11111, 5)]), Ok((2, STALE)));
    assert_eq!(third(&[(0b101, 3), (31, 5), (34, 6), (0, 64)]), Err(ChunkError::Width));
}

/// A stale marker leaves the value that the next one differs from, and its width.
#[test]
fn values_differ_from_the_last_that_is_not_stale() {
    let data =
        chunk(5, 0, &[(0b110, 3), (1, 5), (11, 6), (0x401, 11), (0b11111, 5), (0, 1), (0b100, 3), (1, 11)]);
    let value = 0x401_u64 << 52;
    let expected = [(0, 0), (1, value), (2, STALE), (3, value), (4, value ^ 1 << 52)];
    assert_eq!(decode(&data), Ok(expected.to_vec()));
    // A first sample that is stale differs from 0.
    let first =
        [&[0, 2, 0, 0][..], &STALE.to_be_bytes(), &[1, 0b1000_0000, 0, 0, 0, 0, 0, 0, 0, 0b0100_0000]];
    assert_eq!(decode(&first.concat()), Ok(vec![(0, STALE), (1, 1)]));
}

/// Start timestamps stand between the samples and take their own room.
#[test]
fn start_timestamps_are_passed_over() {
    // From the second sample on; each form of the number once.
    let forms = [(0, 1, 0, 0), (0b10, 2, 4, 3), (0b110, 3, 33, 6), (0b1110, 4, 257, 9)];
    let long = [(0b11110, 5, 7, 12), (0b11_1110, 6, 7, 18), (0b111_1110, 7, 7, 25), (0xfe, 8, 7, 56)];
    let mut bits = Vec::new();
    for (prefix, prefix_bits, payload, payload_bits) in
        forms.into_iter().chain(long).chain([(0xff, 8, 7, 64)])
    {
        bits.extend([(0, 1), (prefix, prefix_bits), (payload, payload_bits)]);
    }
    let data = chunk(10, 1, &bits);
    let expected: Vec<(i64, u64)> = (0..10).map(|at| (at, 0)).collect();
    assert_eq!(decode(&data), Ok(expected.clone()));
    let starts: Vec<i64> =
        decode_xor2_slowly(&data).unwrap().iter().map(|sample| sample.at - 1 - sample.start).collect();
    // Distances from the sample before: 33 of 6 bits is −31, 257 of 9 bits −255.
    assert_eq!(starts[1..], [0, 4, -27, -282, -275, -268, -261, -254, -247]);
    // From the fourth sample on.
    let data = chunk(5, 3, &[(0, 1), (0, 1), (0, 1), (0b10, 2), (1, 3), (0, 1), (0, 1)]);
    assert_eq!(decode(&data), Ok(expected[..5].to_vec()));
    // A first one of more than 64 bits, and one that is cut off.
    let endless: Vec<u8> = [0, 1, 0x80, 0].into_iter().chain([0; 8]).chain([0xff; 30]).collect();
    assert_eq!(decode(&endless), Err(ChunkError::Number));
    assert_eq!(decode(&endless[..14]), Err(ChunkError::CutOff));
}

#[test]
fn what_no_writer_writes_is_refused() {
    assert_eq!(decode(&[]), Err(ChunkError::CutOff));
    assert_eq!(decode(&[0]), Err(ChunkError::CutOff));
    assert_eq!(decode(&[0, 0]), Ok(vec![]));
    assert_eq!(decode(&[0, 1]), Err(ChunkError::CutOff));
    assert_eq!(decode(&[0xff, 0xff, 0, 0]), Err(ChunkError::CutOff));
    let endless: Vec<u8> = [0, 1, 0].into_iter().chain([0xff; 30]).collect();
    assert_eq!(decode(&endless), Err(ChunkError::Number));
    // A step of more than 2^63 ms.
    let back = [&[0, 2, 0, 0][..], &[0; 8], &[0xff; 9], &[1, 0, 0]].concat();
    assert_eq!(decode(&back), Err(ChunkError::Backwards));
    // The third sample steps back by 2 ms.
    assert_eq!(decode(&chunk(3, 0, &[(0, 1), (0b110, 3), (0x1ffe, 13), (0, 1)])), Err(ChunkError::Backwards));
    // More samples than there are bits for, in a chunk of zeros.
    let zeros = |count: u16, length: usize| [count.to_be_bytes().to_vec(), vec![0; length]].concat();
    assert_eq!(decode(&zeros(u16::MAX, 8192)), Err(ChunkError::CutOff));
    assert_eq!(decode(&zeros(u16::MAX, 8203)).map(|samples| samples.len()), Ok(65_535));
}

#[test]
fn samples_are_appended_and_errors_leave_them_alone() {
    let before = Samples { timestamps_ms: vec![5], values: vec![6.0] };
    let mut samples = before.clone();
    let data = bytes(vectors()[3].0);
    assert_eq!(decode_xor2_chunk(&data[..data.len() - 1], &mut samples), Err(ChunkError::CutOff));
    assert_eq!(samples, before);
    assert_eq!(decode_xor2_chunk(&data, &mut samples), Ok(true));
    assert_eq!(samples.timestamps_ms[..3], [5, -5000, -4000]);
    // Equal timestamps: a step of nothing, and none after it.
    let repeated = [&[0, 3, 0, 0][..], &[0; 8], &[0, 0]].concat();
    assert_eq!(decode_xor2_chunk(&repeated, &mut samples), Ok(false));
}

fn encode(starts: &[i64], samples: &[Started]) -> Vec<u8> {
    let times: Vec<i64> = samples.iter().map(|sample| sample.at).collect();
    let values: Vec<f64> = samples.iter().map(|sample| f64::from_bits(sample.value)).collect();
    xor2::encode_with_starts(starts, &times, &values)
}

#[test]
fn chunks_of_prometheus_are_written_byte_by_byte() {
    for (hex, samples) in vectors() {
        let starts: Vec<i64> = samples.iter().map(|sample| sample.start).collect();
        assert_eq!(encode(&starts, &samples), bytes(hex), "{hex}");
    }
}

/// The 128th sample is the last at which start timestamps can set in, so there
/// they do, also where none is known.
#[test]
fn start_timestamps_set_in_at_the_128th_sample() {
    let sample = |at| Started { start: 0, at, value: SEVEN };
    let samples: Vec<Started> = (0..128).map(sample).collect();
    assert_eq!(encode(&[], &samples[..127])[2], 0);
    assert_eq!(encode(&[], &samples)[2], 0x7f);
    let mut known: Vec<Started> = (0..200).map(|at| Started { start: -500, ..sample(at) }).collect();
    assert_eq!(encode(&[-500; 200], &known)[2], 0xff);
    assert_eq!(decode_xor2_slowly(&encode(&[-500; 200], &known)).as_ref(), Some(&known));
    // Unknown after the third.
    known.iter_mut().skip(3).for_each(|sample| sample.start = 0);
    assert_eq!(encode(&[-500; 3], &known)[2], 0x83);
    assert_eq!(decode_xor2_slowly(&encode(&[-500; 3], &known)).as_ref(), Some(&known));
}

#[test]
fn a_chunk_counts_65535_samples_and_no_more() {
    let samples: Vec<Started> = (0..70_000).map(|at| Started { start: 0, at, value: SEVEN }).collect();
    let data = encode(&[], &samples);
    assert_eq!(decode(&data).map(|samples| samples.len()), Ok(65_535));
    assert_eq!(encode(&[], &samples[..65_535]), data);
    assert_eq!(xor2::encode(&[], &[]), [0, 0, 0]);
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (0_u32..500).prop_map(f64::from),
        (0_u32..4).prop_map(|tenths| f64::from(tenths) / 10.0),
        // Other NaNs keep their payload too.
        prop::sample::select(vec![0x7ff8_0000_0000_0001, 0xfff4_0000_0000_0007, STALE + 1, STALE - 1])
            .prop_map(f64::from_bits),
        prop::sample::select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY]),
        Just(f64::from_bits(STALE)),
    ]
}

fn any_step() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => Just(15_000_i64),
        4 => 14_950_i64..15_050,
        1 => 0_i64..2_000_000_000_000,
        1 => 0_i64..i64::MAX / 4,
        // The edges of the width classes, as steps.
        1 => prop::sample::select(vec![4095_i64, 4096, 4097, 524_287, 524_288, 524_289]),
        1 => prop::sample::select(vec![15_000_i64 - 4096, 15_000 - 4097, 15_000 + 4095, 15_000 + 4096]),
    ]
}

/// How long before its sample a start timestamp lies; `None`: the same as before.
fn any_start() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        4 => Just(None),
        2 => (-300_i64..300).prop_map(Some),
        2 => (-40_000_i64..40_000).prop_map(Some),
        1 => any::<i64>().prop_map(Some),
    ]
}

proptest! {
    /// Any bytes at all: both decoders agree on what they say, and on whether
    /// they say anything.
    #[test]
    fn fast_and_slow_agree_on_any_bytes(
        count in 0_u16..40,
        header in prop_oneof![Just(0_u8), any::<u8>(), 0_u8..8, 0x80_u8..0x88],
        first in prop_oneof![any::<i64>(), -1000_i64..1000],
        rest in prop::collection::vec(
            prop_oneof![any::<u8>(), Just(0), Just(0xff), 0x80_u8..0xa0, 0xc0_u8..=0xff],
            0..160,
        ),
    ) {
        let data: Vec<u8> =
            count.to_be_bytes().into_iter().chain([header]).chain(varint(first)).chain(rest).collect();
        prop_assert_eq!(decode(&data).ok(), decode_slowly(&data));
        let tail = [&count.to_be_bytes(), &data[4..]].concat();
        prop_assert_eq!(decode(&tail).ok(), decode_slowly(&tail));
    }

    /// Samples of any kind, with start timestamps or without: what was encoded
    /// comes back.
    #[test]
    fn what_was_encoded_comes_back(
        first in prop_oneof![any::<i64>(), -4_000_000_000_000_i64..4_000_000_000_000],
        steps in prop::collection::vec((any_step(), any_value(), any_start()), 1..400),
        starts_from in prop_oneof![Just(None), Just(Some(0)), (0_usize..200).prop_map(Some)],
    ) {
        let mut expected = Vec::new();
        let (mut at, mut start) = (first, 0_i64);
        for (nth, (step, value, start_step)) in steps.iter().enumerate() {
            let Some(next) = at.checked_add(*step) else { break };
            at = next;
            if starts_from.is_some_and(|from| nth >= from) {
                start = start_step.map_or(start, |step| at.wrapping_sub(step));
            }
            expected.push(Started { start, at, value: value.to_bits() });
        }
        let starts: Vec<i64> = expected.iter().map(|sample| sample.start).collect();
        let data = encode(&starts, &expected);
        prop_assert_eq!(decode_xor2_slowly(&data), Some(expected.clone()));
        let pairs: Vec<(i64, u64)> = expected.iter().map(|sample| (sample.at, sample.value)).collect();
        prop_assert_eq!(decode(&data), Ok(pairs));
    }

    /// Steps forward only, so that chunks get past the order of time: prefixes
    /// and values in any sequence.
    #[test]
    fn fast_and_slow_agree_on_any_prefixes(
        header in prop_oneof![Just(0_u64), 1_u64..8, 0x80_u64..0x88],
        steps in prop::collection::vec((0_usize..8, any::<u64>(), 0_u64..32, 1_u64..33, 0_usize..9), 1..60),
    ) {
        let mut bits = BitWriter::default();
        let count = steps.len() as u64 + 2;
        bits.push(count, 16);
        bits.push(header, 8);
        bits.push(0, 8);
        bits.push(SEVEN, 64);
        if header & 0x80 != 0 {
            bits.push(2, 8);
        }
        bits.push(10, 8);
        bits.push(0, 1);
        for (nth, (form, number, lead, length, start)) in steps.iter().enumerate() {
            if header & 0x7f == 1 && nth == 0 {
                bits.push(0, 1);
            }
            let value = |bits: &mut BitWriter, long: bool| {
                let forms = if long { [(0, 1), (0b10, 2), (0b110, 3), (0b111, 3)] }
                    else { [(0, 1), (0, 1), (1, 1), (1, 1)] };
                let said = (number & 3) as usize;
                bits.push(forms[said].0, forms[said].1);
                let (new, same) = if long { (said == 2, said == 1) } else { (said >= 2, said < 2) };
                if new {
                    bits.push(*lead, 5);
                    bits.push(*length, 6);
                    bits.push(*number, *length as usize);
                } else if same {
                    bits.push(*number, 64);
                }
            };
            match form {
                0 | 1 => bits.push(0, 1),
                2 | 3 => { bits.push(0b10, 2); value(&mut bits, false); }
                4 => { bits.push(0b110, 3); bits.push(number & 0xfff, 13); value(&mut bits, true); }
                5 => { bits.push(0b1110, 4); bits.push(number & 0x7_ffff, 20); value(&mut bits, true); }
                6 => { bits.push(0b11110, 5); bits.push(number >> 24, 64); value(&mut bits, true); }
                _ => bits.push(0b11111, 5),
            }
            if header & 0x7f > 0 && nth as u64 + 2 >= header & 0x7f {
                bits.push((0xff00 >> start) & 0xff, (start + 1).min(8));
                bits.push(*number, [0, 3, 6, 9, 12, 18, 25, 56, 64][*start]);
            }
        }
        let data = bits.into_bytes();
        prop_assert_eq!(decode(&data).ok(), decode_slowly(&data));
    }
}
