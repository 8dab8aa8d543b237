//! Putting overlapping pieces of one series in order.

use super::Samples;
use super::problem::ReadStats;

/// A piece of the samples that was read in one go and is in order, apart from
/// repeated timestamps. It ends where the next one starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Position of its first sample.
    pub(crate) start: usize,
    /// How many blocks have a lower ULID than the one it is from.
    pub(crate) block_rank: u32,
}

/// A sample with what decides where it goes and whether it stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    timestamp_ms: i64,
    block_rank: u32,
    run: u32,
    value: f64,
}

/// The runs of one series, as they were read one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    runs: Vec<Run>,
    /// Start of the first run that does not follow what was before it.
    disorder_from: Option<usize>,
    scratch: Vec<Placed>,
}

impl Runs {
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.disorder_from = None;
    }

    /// Takes note of the samples from `start` on, read from a block of
    /// `block_rank`. `ascending`: no timestamp is repeated among them.
    pub(crate) fn add(&mut self, samples: &Samples, start: usize, block_rank: u32, ascending: bool) {
        let time = |position: usize| samples.timestamps_ms.get(position);
        let Some(first) = time(start) else { return };
        let follows = start.checked_sub(1).and_then(time).is_none_or(|before| before < first);
        if !follows || !ascending {
            self.disorder_from.get_or_insert(start);
        } else if self.runs.last().is_some_and(|run| run.block_rank == block_rank) {
            return;
        }
        self.runs.push(Run { start, block_rank });
    }

    /// If pieces overlap, sorts the samples by time and keeps one for each
    /// timestamp: the one from the block with the later ULID (the newest
    /// write), within a block the one that stands later.
    pub(crate) fn put_in_order(&mut self, samples: &mut Samples, stats: &mut ReadStats) {
        let Some(disorder_from) = self.disorder_from else { return };
        let from = self.first_to_move(samples, disorder_from);
        self.place_from(samples, from);
        // Stable, and fast where it meets runs that are sorted already.
        self.scratch.sort_by_key(|placed| (placed.timestamp_ms, placed.block_rank, placed.run));
        samples.timestamps_ms.truncate(from);
        samples.values.truncate(from);
        for same_time in self.scratch.chunk_by(|left, right| left.timestamp_ms == right.timestamp_ms) {
            let Some((kept, dropped)) = same_time.split_last() else { continue };
            samples.timestamps_ms.push(kept.timestamp_ms);
            samples.values.push(kept.value);
            stats.duplicates_dropped += dropped.len() as u64;
            let differs = |other: &&Placed| other.value.to_bits() != kept.value.to_bits();
            stats.conflicts += dropped.iter().filter(differs).count() as u64;
        }
    }

    /// Everything before this position stays where it is: it is in order and
    /// earlier than all that is out of order.
    fn first_to_move(&self, samples: &Samples, disorder_from: usize) -> usize {
        let out_of_order = self.runs.iter().filter(|run| run.start >= disorder_from);
        let earliest = out_of_order.filter_map(|run| samples.timestamps_ms.get(run.start)).min();
        let ordered = samples.timestamps_ms.get(..disorder_from).unwrap_or_default();
        earliest.map_or(0, |earliest| ordered.partition_point(|timestamp_ms| timestamp_ms < earliest))
    }

    fn place_from(&mut self, samples: &Samples, from: usize) {
        let later = samples.timestamps_ms.iter().zip(&samples.values).enumerate().skip(from);
        let mut runs = self.runs.iter().zip(0_u32..).peekable();
        let mut block_rank = 0;
        let mut run = 0;
        self.scratch.clear();
        self.scratch.extend(later.map(|(position, (timestamp_ms, value))| {
            while let Some((begun, nth)) = runs.next_if(|(begun, _)| begun.start <= position) {
                block_rank = begun.block_rank;
                run = nth;
            }
            Placed { timestamp_ms: *timestamp_ms, block_rank, run, value: *value }
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a map: what is written last, in the order of block rank and
        /// then of reading, stays.
        #[test]
        fn merging_is_writing_into_a_map(
            chunks in prop::collection::vec((0_u32..3, prop::collection::vec((0_i64..3, 0_u8..4), 1..9)), 0..9),
            starts in prop::collection::vec(-3_i64..12, 9),
        ) {
            let mut samples = Samples::default();
            let mut runs = Runs::default();
            let mut written = Vec::new();
            for (nth, ((rank, steps), first)) in chunks.iter().zip(&starts).enumerate() {
                let start = samples.values.len();
                let mut at = *first;
                let mut ascending = true;
                for (position, (step, value)) in steps.iter().enumerate() {
                    at += step;
                    ascending &= position == 0 || *step > 0;
                    samples.timestamps_ms.push(at);
                    samples.values.push(f64::from(*value));
                    written.push((*rank, nth, at, f64::from(*value)));
                }
                runs.add(&samples, start, *rank, ascending);
            }
            let mut stats = ReadStats::default();
            runs.put_in_order(&mut samples, &mut stats);

            written.sort_by_key(|(rank, nth, ..)| (*rank, *nth));
            let map: BTreeMap<i64, f64> = written.iter().map(|(_, _, at, value)| (*at, *value)).collect();
            prop_assert_eq!(&samples.timestamps_ms, &map.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(&samples.values, &map.values().copied().collect::<Vec<_>>());
            prop_assert_eq!(stats.duplicates_dropped as usize, written.len() - map.len());
            let conflicts = written.iter().filter(|(_, _, at, value)| map[at] != *value).count();
            prop_assert_eq!(stats.conflicts as usize, conflicts);
        }
    }
}
