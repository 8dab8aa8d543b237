//! Numbers that the format fixes, shared by reader and writer.

/// First four bytes of an index file.
pub(crate) const INDEX_MAGIC: u32 = 0xBAAA_D700;
/// Version byte of the index format of Prometheus 2.0's first releases, which is read only.
pub(crate) const INDEX_VERSION_1: u8 = 1;
/// Version byte of the index format that is read and written.
pub(crate) const INDEX_VERSION_2: u8 = 2;
/// Bytes of an index header: magic and version.
pub(crate) const INDEX_HEADER_BYTES: usize = 5;
/// Bytes of the table of contents at the end of an index: six offsets and a CRC.
pub(crate) const INDEX_TOC_BYTES: usize = 6 * 8 + 4;
/// Series entries start on multiples of this; a series id is its offset divided
/// by it. In version 1 it is the offset.
pub(crate) const SERIES_ALIGN: usize = 16;

/// First four bytes of a chunk segment file.
pub(crate) const SEGMENT_MAGIC: u32 = 0x85BD_40DD;
/// Version byte of chunk segment files.
pub(crate) const SEGMENT_VERSION: u8 = 1;
/// Bytes of a segment header: magic, version, padding.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 8;
/// Prometheus' own limit for one segment file.
pub(crate) const SEGMENT_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// First four bytes of a tombstones file.
pub(crate) const TOMBSTONES_MAGIC: u32 = 0x0130_BA30;
/// Version byte of tombstones files.
pub(crate) const TOMBSTONES_VERSION: u8 = 1;

/// Bytes of a CRC-32C, stored big-endian.
pub(crate) const CRC_BYTES: usize = 4;

/// Chunk encoding: float samples, XOR.
pub(crate) const ENCODING_XOR: u8 = 1;
/// Chunk encoding: native histograms with integer counts.
pub(crate) const ENCODING_HISTOGRAM: u8 = 2;
/// Chunk encoding: native histograms with float counts.
pub(crate) const ENCODING_FLOAT_HISTOGRAM: u8 = 3;
/// Chunk encoding: float samples, XOR2, with start timestamps or without.
pub(crate) const ENCODING_XOR2: u8 = 4;
/// Chunk encoding: [`ENCODING_HISTOGRAM`] with start timestamps.
pub(crate) const ENCODING_HISTOGRAM_ST: u8 = 5;
/// Chunk encoding: [`ENCODING_FLOAT_HISTOGRAM`] with start timestamps.
pub(crate) const ENCODING_FLOAT_HISTOGRAM_ST: u8 = 6;
/// Chunk encoding: what a downsampling of Thanos' leaves, in five chunks of its own.
pub(crate) const ENCODING_THANOS_AGGREGATE: u8 = 0xff;
