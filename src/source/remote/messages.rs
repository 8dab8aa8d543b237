//! The messages of remote read, as a server sends them or as they were saved.

use std::sync::Arc;

use super::protobuf::Fields;
use crate::source::staging::{Sink, StagingError};
use crate::time::Window;
use crate::tsdb::bytes::Malformed;
use crate::tsdb::{Labels, MOST_LABELS, Samples};

/// Snappy's longest copy makes 64 bytes of 3: nothing unpacks to more than this many times itself.
const SNAPPY_RATIO: usize = 24;

/// Why a message cannot be read to its end.
pub(in crate::source) enum Stop {
    Form(Malformed),
    Staging(StagingError),
}

impl From<StagingError> for Stop {
    fn from(error: StagingError) -> Self {
        Self::Staging(error)
    }
}

/// Reads a `ChunkedReadResponse`, the message in one frame of a stream, into `sink`.
pub(in crate::source) fn chunked(message: &[u8], window: Window, sink: &mut dyn Sink) -> Result<(), Stop> {
    Fields::new(message).try_for_each(|field| match field.map_err(Stop::Form)? {
        (1, series) => chunked_series(series.bytes(), window, sink),
        _ => Ok(()),
    })
}

/// Reads a `ReadResponse` into `sink`.
pub(in crate::source) fn sampled(message: &[u8], window: Window, sink: &mut dyn Sink) -> Result<(), Stop> {
    Fields::new(message).try_for_each(|field| match field.map_err(Stop::Form)? {
        (1, result) => Fields::new(result.bytes()).try_for_each(|field| match field.map_err(Stop::Form)? {
            (1, series) => sampled_series(series.bytes(), window, sink),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })
}

/// Length of `packed` when unpacked, if it can be that.
pub(in crate::source) fn unpacked_length(packed: &[u8]) -> Result<usize, String> {
    let length = snap::raw::decompress_len(packed).map_err(|error| error.to_string())?;
    if length / SNAPPY_RATIO > packed.len() {
        return Err(format!("{} bytes claim to hold {length}", packed.len()));
    }
    Ok(length)
}

fn chunked_series(message: &[u8], window: Window, sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut labels = Vec::new();
    let mut chunks = Vec::new();
    for field in Fields::new(message) {
        match field.map_err(Stop::Form)? {
            (1, label) => push_label(&mut labels, label.bytes())?,
            (2, chunk) => chunks.push(chunk.bytes()),
            _ => {}
        }
    }
    let labels = Labels::new(labels);
    for chunk in chunks {
        let (mut encoding, mut data) = (0, &[][..]);
        for field in Fields::new(chunk) {
            match field.map_err(Stop::Form)? {
                (3, kind) => encoding = u8::try_from(kind.int()).unwrap_or_default(),
                (4, bytes) => data = bytes.bytes(),
                // The times that it states are worked out from the samples instead.
                _ => {}
            }
        }
        sink.chunk(&labels, encoding, data, window)?;
    }
    Ok(())
}

/// Takes in one more label.
fn push_label(labels: &mut Vec<(Arc<str>, Arc<str>)>, message: &[u8]) -> Result<(), Stop> {
    if labels.len() >= MOST_LABELS {
        return Err(Stop::Form(Malformed::new(0, format!("a series of more than {MOST_LABELS} labels"))));
    }
    labels.push(pair(message)?);
    Ok(())
}

fn pair(message: &[u8]) -> Result<(Arc<str>, Arc<str>), Stop> {
    let (mut name, mut value) = (Arc::default(), Arc::default());
    for field in Fields::new(message) {
        match field.map_err(Stop::Form)? {
            (1, text) => name = String::from_utf8_lossy(text.bytes()).into(),
            (2, text) => value = String::from_utf8_lossy(text.bytes()).into(),
            _ => {}
        }
    }
    Ok((name, value))
}

fn sampled_series(message: &[u8], window: Window, sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut labels = Vec::new();
    let mut samples = Samples::default();
    let mut histograms = 0;
    for field in Fields::new(message) {
        match field.map_err(Stop::Form)? {
            (1, label) => push_label(&mut labels, label.bytes())?,
            (2, sample) => {
                let (mut value, mut at_ms) = (0.0, 0);
                for field in Fields::new(sample.bytes()) {
                    match field.map_err(Stop::Form)? {
                        (1, number) => value = number.double(),
                        (2, number) => at_ms = number.int(),
                        _ => {}
                    }
                }
                samples.timestamps_ms.push(at_ms);
                samples.values.push(value);
            }
            (4, _) => histograms += 1,
            _ => {}
        }
    }
    sink.skipped_histograms(histograms);
    Ok(sink.samples(&Labels::new(labels), samples, window)?)
}
