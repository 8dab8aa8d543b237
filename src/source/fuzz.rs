//! Readers of what servers answer, as functions of bytes; see [`crate::fuzzing`].

use super::remote::messages::{chunked, sampled, unpacked_length};
use super::staging::{Sink, StagingError};
use crate::time::Window;
use crate::tsdb::{Labels, Samples, decode_chunk};

/// Decodes what it gets, and keeps nothing.
struct Nothing;

impl Sink for Nothing {
    fn chunk(&mut self, _: &Labels, encoding: u8, data: &[u8], _: Window) -> Result<(), StagingError> {
        let mut samples = Samples::default();
        let _ = decode_chunk(encoding, data, &mut samples);
        Ok(())
    }

    fn samples(&mut self, _: &Labels, samples: Samples, _: Window) -> Result<(), StagingError> {
        assert_eq!(samples.timestamps_ms.len(), samples.values.len());
        Ok(())
    }

    fn skipped_histograms(&mut self, _: u64) {}
}

/// A frame of a streamed answer.
pub(crate) fn remote_read_chunks(data: &[u8]) {
    let _ = chunked(data, Window::ALL, &mut Nothing);
}

/// An answer with samples, unpacked; and packed, as far as its length goes.
pub(crate) fn remote_read_samples(data: &[u8]) {
    let _ = sampled(data, Window::ALL, &mut Nothing);
    let _ = unpacked_length(data);
}
