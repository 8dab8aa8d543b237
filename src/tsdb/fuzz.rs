//! Readers of Prometheus' files as functions of bytes; see [`crate::fuzzing`].

use std::path::Path;

use super::index::Index;
use super::meta::Meta;
use super::mmap::FileBytes;
use super::tombstones::Tombstones;
use super::{Matcher, Samples, decode_chunk, decode_histogram_chunk, segment};

/// Everything that a selection and a read ask of an index.
pub(crate) fn index(data: &[u8]) {
    let Ok(index) = Index::from_bytes(Path::new("index").into(), FileBytes::of(data)) else { return };
    let _ = index.postings.series_count(index.bytes());
    let _ = index.postings.values(index.bytes(), "__name__", |_, _| {});
    let named = Matcher::not_equal("__name__", "");
    let _ = index.postings.select(index.bytes(), &[&named]);
    let Ok(ids) = index.postings.all_series(index.bytes()) else { return };
    for id in ids {
        let Ok(series) = index.series(id) else { continue };
        for pair in series.label_symbols() {
            let Ok((name, value)) = pair else { break };
            let _ = (index.symbol(name), index.symbol(value));
        }
        let _ = series.chunks().map(|chunks| chunks.take_while(Result::is_ok).count());
    }
}

/// The first byte is the encoding.
pub(crate) fn chunk(data: &[u8]) {
    let Some((encoding, data)) = data.split_first() else { return };
    let mut samples = Samples::default();
    let decoded = decode_chunk(*encoding, data, &mut samples);
    assert_eq!(samples.timestamps_ms.len(), samples.values.len());
    assert!(decoded.is_ok() || samples.values.is_empty());
    if let Ok(ascending) = decoded {
        assert!(samples.timestamps_ms.is_sorted());
        assert_eq!(ascending, samples.timestamps_ms.is_sorted_by(|left, right| left < right));
    }
    let mut histograms = Vec::new();
    let decoded = decode_histogram_chunk(*encoding, data, &mut histograms);
    assert!(decoded.is_ok() || histograms.is_empty());
}

/// The first two bytes are the place of the chunk.
pub(crate) fn segment(data: &[u8]) {
    let Some((at, file)) = data.split_first_chunk::<2>() else { return };
    if let Ok(record) = segment::record(file, usize::from(u16::from_be_bytes(*at))) {
        assert!(record.data.len() < file.len());
    }
}

pub(crate) fn tombstones(data: &[u8]) {
    if let Ok(tombstones) = Tombstones::parse(data) {
        for id in 0..8 {
            let spans = tombstones.of(id);
            assert!(spans.iter().all(|span| span.first_ms <= span.last_ms));
            assert!(spans.windows(2).all(|pair| matches!(pair, [one, next] if one.last_ms < next.first_ms)));
        }
    }
}

pub(crate) fn meta(data: &[u8]) {
    if let Ok(meta) = Meta::parse(data, Path::new("meta.json")) {
        assert!(meta.window.start_ms <= meta.window.end_ms);
    }
}

/// A segment of the log, with its pages and fragments.
pub(crate) fn wal(data: &[u8]) {
    super::head::fuzz::log(data);
}

/// A record of the log.
pub(crate) fn wal_record(data: &[u8]) {
    super::head::fuzz::record(data);
}

/// A file of `chunks_head`.
pub(crate) fn head_chunks(data: &[u8]) {
    super::head::fuzz::chunks(data);
}
