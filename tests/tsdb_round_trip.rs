//! What the block writer writes, the reader reads back bit for bit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use wattledger::time::Window;
use wattledger::tsdb::writer::{BlockOptions, BlockWriter, FloatEncoding};
use wattledger::tsdb::{Database, Labels, ReadBuffer, ReadStats, Samples};

type Written = Vec<(Labels, Samples)>;

fn any_series() -> impl Strategy<Value = Written> {
    let sample =
        (1_i64..60_000, prop_oneof![any::<u64>().prop_map(f64::from_bits), (0_u32..300).prop_map(f64::from)]);
    let samples = prop::collection::vec(sample, 1..400);
    prop::collection::btree_map("[a-e]{1,2}", (".{0,9}", samples), 1..6).prop_map(|series| {
        let mut written: Written = series
            .into_iter()
            .map(|(metric, (label, samples))| {
                let mut read = Samples::default();
                let mut at = -100_000;
                for (step, value) in samples {
                    at += step;
                    read.timestamps_ms.push(at);
                    read.values.push(value);
                }
                (Labels::new([("__name__", metric), ("any", label)]), read)
            })
            .collect();
        written.sort_by(|left, right| left.0.cmp(&right.0));
        written
    })
}

proptest! {
    #[test]
    fn blocks_come_back(
        written in any_series(),
        encoding in prop_oneof![Just(FloatEncoding::Xor), Just(FloatEncoding::Xor2)],
        samples_per_chunk in prop_oneof![Just(120), 1_usize..300],
    ) {
        let root = tempfile::tempdir().unwrap();
        let window = Window::new(-100_000, 24_000_001);
        let options = BlockOptions { encoding, samples_per_chunk, ..BlockOptions::default() };
        let mut writer = BlockWriter::create(root.path(), window, options).unwrap();
        for (labels, samples) in &written {
            writer.add_series(labels, samples).unwrap();
        }
        writer.finish().unwrap();

        let database = Database::open(root.path()).unwrap();
        prop_assert!(database.left_out().is_empty());
        prop_assert_eq!(database.time_range(), Some(window));
        let series = database.select(&[], Window::ALL).unwrap();
        prop_assert_eq!(series.len(), written.len());
        let mut buffer = ReadBuffer::default();
        let mut stats = ReadStats::default();
        for (series, (labels, samples)) in series.iter().zip(&written) {
            prop_assert_eq!(&series.labels, labels);
            database.read(series, Window::ALL, &mut buffer, &mut stats).unwrap();
            prop_assert_eq!(&buffer.samples().timestamps_ms, &samples.timestamps_ms);
            let bits = |samples: &Samples| samples.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(buffer.samples()), bits(samples));
        }
        prop_assert_eq!(stats.samples, database.blocks().iter().map(|block| block.stats.samples).sum::<u64>());
        prop_assert!(stats.problems.is_empty() && database.index_problems().is_empty());
    }
}
