//! Pieces into blocks.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::piece::{Piece, StoredChunk, Tally, put_in_order};
use super::{META_SECTION, StagingError};
use crate::hash::bytes_sha256;
use crate::time::Window;
use crate::tsdb::writer::{BlockOptions, BlockWriter, EncodedChunks, FloatEncoding};
use crate::tsdb::{Labels, Samples, TsdbError, decode_chunk};
use ulid::Ulid;

/// Pieces, and where in them each series has its chunks.
pub(in crate::source) struct Assembly {
    pieces: Vec<Piece>,
    /// By first timestamp; of equal ones the later piece comes later.
    series: BTreeMap<Labels, Vec<(usize, StoredChunk)>>,
    tally: Tally,
}

impl Assembly {
    /// Opens the pieces at `paths`. Pieces that are not whole any more are an error.
    pub(in crate::source) fn open(paths: &[PathBuf]) -> Result<Self, StagingError> {
        let mut pieces = Vec::new();
        let mut series: BTreeMap<Labels, Vec<(usize, StoredChunk)>> = BTreeMap::new();
        let mut tally = Tally::default();
        for path in paths {
            let nth = pieces.len();
            let piece = Piece::open(path, |labels, chunk| match series.get_mut(labels) {
                Some(chunks) => chunks.push((nth, chunk)),
                None => drop(series.insert(labels.clone(), vec![(nth, chunk)])),
            })?;
            let broken = || {
                std::io::Error::new(std::io::ErrorKind::InvalidData, "it was changed after it was written")
            };
            let piece = piece.ok_or_else(|| StagingError::io("read", path)(broken()))?;
            tally.add(&piece.tally);
            pieces.push(piece);
        }
        for chunks in series.values_mut() {
            chunks.sort_by_key(|(_, chunk)| (chunk.first_ms, chunk.last_ms));
        }
        Ok(Self { pieces, series, tally })
    }

    /// What all pieces hold and lack.
    pub(in crate::source) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Number of series.
    pub(in crate::source) fn series(&self) -> usize {
        self.series.len()
    }

    /// From the first sample of the chunks that begin inside `window` to after
    /// the last; `None` if there are none.
    pub(in crate::source) fn span(&self, window: Window) -> Option<Window> {
        let chunks = self.series.values().flat_map(|chunks| inside(chunks, window));
        let all = |before: Option<Window>, (_, chunk): &(usize, StoredChunk)| {
            let own = Window::new(chunk.first_ms, chunk.last_ms.saturating_add(1));
            let before = before.unwrap_or(own);
            Some(Window::new(before.start_ms.min(own.start_ms), before.end_ms.max(own.end_ms)))
        };
        chunks.fold(None, all)
    }

    /// Writes the chunks that begin inside `window` as one block, or nothing if
    /// there are none. `section` is what `meta.json` is to say of them. Returns the block
    /// and how many samples it has, and adds what was found to conflict to the tally.
    pub(in crate::source) fn write(
        &mut self,
        out: &Path,
        window: Window,
        ulid: Ulid,
        section: Value,
    ) -> Result<(Option<PathBuf>, u64), StagingError> {
        let options = BlockOptions {
            ulid: Some(ulid),
            meta_sections: BTreeMap::from([(META_SECTION.to_owned(), section)]),
            ..BlockOptions::default()
        };
        let mut writer = BlockWriter::create(out, window, options)?;
        for (labels, chunks) in &self.series {
            let invalid = |reason| TsdbError::InvalidSeries { series: labels.to_string(), reason };
            let mut encoded = EncodedChunks::default();
            for together in overlapping(inside(chunks, window)) {
                self.tally.conflicts +=
                    join(&mut encoded, together, &mut self.pieces, window)?.map_err(invalid)?;
            }
            writer.add_encoded(labels, &encoded)?;
        }
        let samples = writer.samples();
        if samples == 0 {
            return Ok((None, 0));
        }
        Ok((Some(writer.finish()?), samples))
    }
}

/// Those that begin inside `window`.
fn inside(chunks: &[(usize, StoredChunk)], window: Window) -> &[(usize, StoredChunk)] {
    let begin = chunks.partition_point(|(_, chunk)| chunk.first_ms < window.start_ms);
    let end = chunks.partition_point(|(_, chunk)| chunk.first_ms < window.end_ms);
    chunks.get(begin..end).unwrap_or_default()
}

/// Neighbours that share time, in groups; one that stands alone is a group.
fn overlapping(chunks: &[(usize, StoredChunk)]) -> impl Iterator<Item = &[(usize, StoredChunk)]> {
    let mut rest = chunks;
    std::iter::from_fn(move || {
        let mut last_ms = rest.first()?.1.last_ms;
        let mut count = 1;
        while let Some((_, next)) = rest.get(count).filter(|(_, next)| next.first_ms <= last_ms) {
            last_ms = last_ms.max(next.last_ms);
            count += 1;
        }
        let (group, after) = rest.split_at_checked(count)?;
        rest = after;
        Some(group)
    })
}

/// Adds one group to `into`: a chunk as it is, several as the samples of all.
/// Returns how many samples gave way to others.
fn join(
    into: &mut EncodedChunks,
    group: &[(usize, StoredChunk)],
    pieces: &mut [Piece],
    window: Window,
) -> Result<Result<u64, String>, StagingError> {
    // As they came: of two samples at one time the later stays.
    let mut group = group.to_vec();
    group.sort_by_key(|(nth, chunk)| (*nth, chunk.offset));
    let mut data: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut known = HashSet::new();
    for (nth, chunk) in &group {
        let mut bytes = Vec::new();
        if let Some(piece) = pieces.get_mut(*nth) {
            piece.read(chunk, &mut bytes)?;
        }
        // Asked for twice, by two selectors: the same chunk.
        if known.insert((chunk.encoding, bytes_sha256(&bytes))) {
            data.push((chunk.encoding, bytes));
        }
    }
    if let [(encoding, bytes)] = data.as_slice() {
        return Ok(into.push_raw(*encoding, bytes).map(|()| 0));
    }
    let mut samples = Samples::default();
    for (encoding, bytes) in &data {
        // What is stored did decode when it came.
        let _ = decode_chunk(*encoding, bytes, &mut samples);
    }
    let conflicts = put_in_order(&mut samples, window);
    let size = BlockOptions::default().samples_per_chunk;
    let pushed = into.push(&samples.timestamps_ms, &samples.values, size, FloatEncoding::default());
    Ok(pushed.map(|()| conflicts))
}
