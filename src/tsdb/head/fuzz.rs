//! Readers of the head's files as functions of bytes; see [`crate::fuzzing`].

use super::chunk_files;
use super::log::LogReader;
use super::record::decode;
use crate::tsdb::{Samples, decode_chunk};

pub(crate) fn log(data: &[u8]) {
    let mut visit = |bytes: &[u8]| decode(bytes, |_| {});
    let end = LogReader::new().read_from(&mut &*data, &mut visit);
    assert!(end.is_ok_and(|end| end.bytes == data.len() as u64));
}

pub(crate) fn record(data: &[u8]) {
    let mut entries = 0_usize;
    let _ = decode(data, |_| entries += 1);
    assert!(entries <= data.len());
}

pub(crate) fn chunks(data: &[u8]) {
    let mut samples = Samples::default();
    let _ = chunk_files::chunks(data, |_, chunk| {
        if let Some(bytes) = chunk.bytes_of(data) {
            samples.timestamps_ms.clear();
            samples.values.clear();
            let _ = decode_chunk(chunk.encoding, bytes, &mut samples);
        }
    });
}
