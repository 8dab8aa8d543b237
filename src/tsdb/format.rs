//! Numbers that the format fixes, shared by reader and writer.

/// First four bytes of an index file.
pub(crate) const INDEX_MAGIC: u32 = 0xBAAA_D700;
/// Version byte of the index format that is read and written.
pub(crate) const INDEX_VERSION_2: u8 = 2;
/// Bytes of an index header: magic and version.
pub(crate) const INDEX_HEADER_BYTES: usize = 5;
/// Bytes of the table of contents at the end of an index: six offsets and a CRC.
pub(crate) const INDEX_TOC_BYTES: usize = 6 * 8 + 4;
/// Series entries start on multiples of this; a series id is its offset divided by it.
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
