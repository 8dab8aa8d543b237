//! Samples of many series in any order, gathered by series and put into a piece.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use crate::metered::{LONGEST_BYTES, MOST_TIMES};
use crate::source::staging::{Mark, PieceWriter, Sink, StagingError, Tally};
use crate::time::{DAY_MS, Window, day_of};
use crate::tsdb::{ChunkError, Labels, Samples, decode_chunk, encoding_name};

/// Samples held before they are put on the disk: 16 bytes each.
const HELD_SAMPLES: usize = 4 << 20;
/// Texts of series that are remembered; more are read anew each time.
const REMEMBERED: usize = 1 << 20;
const REMEMBERED_BYTES: usize = 64 << 20;
/// The last instant that is taken: the end of the year 9999.
const LATEST_MS: i64 = 253_402_300_799_999;

/// Number of a series within one intake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeriesId(usize);

/// Series by their texts as they stand in an input.
#[derive(Default)]
pub(super) struct Remembered {
    ids: HashMap<Box<[u8]>, SeriesId>,
    bytes: usize,
}

impl Remembered {
    pub(super) fn get(&self, text: &[u8]) -> Option<SeriesId> {
        self.ids.get(text).copied()
    }

    pub(super) fn insert(&mut self, text: &[u8], id: SeriesId) {
        self.bytes += text.len();
        if self.ids.len() >= REMEMBERED || self.bytes > REMEMBERED_BYTES {
            self.ids.clear();
            self.bytes = text.len();
        }
        self.ids.insert(text.into(), id);
    }
}

/// See the module's description.
pub(super) struct Intake {
    piece: PieceWriter,
    /// Labels that every series gets.
    added: Labels,
    ids: HashMap<Labels, SeriesId>,
    /// Bytes of labels that may still come.
    label_bytes: u64,
    series: Vec<(Labels, Samples)>,
    held: usize,
    /// Samples taken, those of inputs that were given up among them.
    pub(super) taken: u64,
    /// Samples of a time that cannot be meant, where nobody else counts them.
    pub(super) out_of_range: u64,
    /// UTC days that have samples.
    days: BTreeSet<i64>,
}

impl Intake {
    /// `input_bytes`: length of all inputs, packed as they are; `None` if nobody knows.
    pub(super) fn create(
        piece: &Path,
        added: Labels,
        input_bytes: Option<u64>,
    ) -> Result<Self, StagingError> {
        // They are held from the first to the last sample, and texts do not pack better.
        let most = |bytes: u64| bytes.saturating_mul(MOST_TIMES).saturating_add(LONGEST_BYTES);
        Ok(Self {
            label_bytes: input_bytes.map_or(u64::MAX, most),
            piece: PieceWriter::create(piece)?,
            added,
            ids: HashMap::new(),
            series: Vec::new(),
            held: 0,
            taken: 0,
            out_of_range: 0,
            days: BTreeSet::new(),
        })
    }

    /// The series with these labels and those that every one gets.
    ///
    /// # Errors
    ///
    /// What is wrong with the labels.
    pub(super) fn series(&mut self, labels: &Labels) -> Result<SeriesId, String> {
        let labels = labels.with(&self.added);
        if labels.is_empty() {
            return Err("it has no labels; `--label __name__=METRIC` gives it a name".to_owned());
        }
        if let Some(id) = self.ids.get(&labels) {
            return Ok(*id);
        }
        let length: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.label_bytes = self
            .label_bytes
            .checked_sub(length as u64)
            .ok_or("the labels of all series are far longer than the input can have been unpacked")?;
        let id = SeriesId(self.series.len());
        self.series.push((labels.clone(), Samples::default()));
        self.ids.insert(labels, id);
        Ok(id)
    }

    /// Takes a sample. Returns false if its time cannot be meant.
    pub(super) fn sample(&mut self, id: SeriesId, at_ms: i64, value: f64) -> Result<bool, StagingError> {
        let Some((_, samples)) = self.series.get_mut(id.0).filter(|_| (0..=LATEST_MS).contains(&at_ms))
        else {
            return Ok(false);
        };
        samples.timestamps_ms.push(at_ms);
        samples.values.push(value);
        self.held += 1;
        self.taken += 1;
        if self.held >= HELD_SAMPLES {
            self.flush()?;
        }
        Ok(true)
    }

    /// What was counted so far.
    pub(super) fn tally_mut(&mut self) -> &mut Tally {
        self.piece.tally_mut()
    }

    /// Puts what is held into the piece.
    fn flush(&mut self) -> Result<(), StagingError> {
        for (labels, samples) in &mut self.series {
            let samples = std::mem::take(samples);
            let (Some(first), Some(last)) =
                (samples.timestamps_ms.iter().min().copied(), samples.timestamps_ms.iter().max().copied())
            else {
                continue;
            };
            let (first_day, last_day) = (day_of(first), day_of(last));
            if first_day == last_day {
                self.days.insert(first_day);
                self.piece.samples(labels, samples, day(first_day))?;
                continue;
            }
            // A chunk must not cross the border of its block.
            let mut by_day: HashMap<i64, Samples> = HashMap::new();
            for (at_ms, value) in samples.timestamps_ms.iter().zip(&samples.values) {
                let part = by_day.entry(day_of(*at_ms)).or_default();
                part.timestamps_ms.push(*at_ms);
                part.values.push(*value);
            }
            let mut by_day: Vec<(i64, Samples)> = by_day.into_iter().collect();
            by_day.sort_unstable_by_key(|(number, _)| *number);
            for (number, samples) in by_day {
                self.days.insert(number);
                self.piece.samples(labels, samples, day(number))?;
            }
        }
        self.held = 0;
        Ok(())
    }

    /// Notes how far it is.
    pub(super) fn mark(&mut self) -> Result<(Mark, BTreeSet<i64>), StagingError> {
        self.flush()?;
        Ok((self.piece.mark()?, self.days.clone()))
    }

    /// Forgets everything after `mark`.
    pub(super) fn rewind(&mut self, (mark, days): &(Mark, BTreeSet<i64>)) -> Result<(), StagingError> {
        for (_, samples) in &mut self.series {
            *samples = Samples::default();
        }
        self.held = 0;
        self.days.clone_from(days);
        self.piece.rewind(mark)
    }

    /// Completes the piece; returns the UTC days for which there are samples.
    pub(super) fn finish(mut self) -> Result<Vec<Window>, StagingError> {
        self.flush()?;
        self.piece.finish()?;
        Ok(self.days.into_iter().map(day).collect())
    }
}

impl Sink for Intake {
    fn chunk(
        &mut self,
        labels: &Labels,
        encoding: u8,
        data: &[u8],
        window: Window,
    ) -> Result<(), StagingError> {
        let mut samples = Samples::default();
        match decode_chunk(encoding, data, &mut samples) {
            Ok(_) => self.samples(labels, samples, window),
            Err(ChunkError::NoFloats { .. }) => {
                *self.tally_mut().chunks_skipped.entry(encoding_name(encoding)).or_default() += 1;
                Ok(())
            }
            Err(_) => {
                self.tally_mut().chunks_damaged += 1;
                Ok(())
            }
        }
    }

    fn samples(&mut self, labels: &Labels, samples: Samples, window: Window) -> Result<(), StagingError> {
        // A series without labels is nothing that a block can hold.
        let Ok(id) = self.series(labels) else {
            self.tally_mut().chunks_damaged += 1;
            return Ok(());
        };
        for (at_ms, value) in samples.timestamps_ms.into_iter().zip(samples.values) {
            if window.contains(at_ms) {
                self.out_of_range += u64::from(!self.sample(id, at_ms, value)?);
            }
        }
        Ok(())
    }

    fn skipped_histograms(&mut self, count: u64) {
        self.tally_mut().histograms_skipped += count;
    }
}

fn day(number: i64) -> Window {
    let start_ms = number.saturating_mul(DAY_MS);
    Window::new(start_ms, start_ms.saturating_add(DAY_MS))
}
