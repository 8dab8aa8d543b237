//! Reading integers and slices out of bytes that may be anything.

use std::borrow::Cow;
use std::path::Path;

use super::TsdbError;
use super::format::CRC_BYTES;

/// What is wrong with some bytes, and where in their file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Bytes from the start of the file.
    pub(crate) offset: u64,
    /// What was found and what should be there.
    pub(crate) reason: Cow<'static, str>,
}

impl Malformed {
    pub(crate) fn new(offset: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { offset: offset as u64, reason: reason.into() }
    }

    pub(crate) fn in_file(self, path: &Path) -> TsdbError {
        TsdbError::Corrupt { path: path.to_owned(), offset: self.offset, reason: self.reason.into_owned() }
    }
}

/// A position in a slice; every read is checked against its end.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `bytes`, which lie at `offset` in their file.
    pub(crate) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, offset }
    }

    /// Starts `offset` bytes into `file`.
    pub(crate) fn at(file: &'a [u8], offset: usize) -> Result<Self, Malformed> {
        match file.get(offset..) {
            Some(rest) => Ok(Self { rest, offset }),
            None => Err(Malformed::new(offset, format!("beyond the end of the file ({} bytes)", file.len()))),
        }
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// After the last byte that it can reach.
    pub(crate) fn end(&self) -> usize {
        self.offset.saturating_add(self.rest.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn fail(&self, reason: impl Into<Cow<'static, str>>) -> Malformed {
        Malformed::new(self.offset, reason)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += count;
                Ok(taken)
            }
            None => Err(self.fail(format!("{count} bytes are announced, {} are left", self.rest.len()))),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += N;
                Ok(*taken)
            }
            None => Err(self.fail("cut off inside a number")),
        }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// LEB128, seven bits a byte, low group first.
    pub(crate) fn uvarint(&mut self) -> Result<u64, Malformed> {
        let start = self.offset;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::new(start, "a variable-length number that exceeds 64 bits"))
    }

    /// Zigzag, then LEB128.
    pub(crate) fn varint(&mut self) -> Result<i64, Malformed> {
        let folded = self.uvarint()?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// A LEB128 length; one that no slice can have is as wrong as a broken one.
    pub(crate) fn length(&mut self) -> Result<usize, Malformed> {
        let start = self.offset;
        let value = self.uvarint()?;
        usize::try_from(value).map_err(|_| Malformed::new(start, format!("an impossible length {value}")))
    }

    /// A LEB128 number of at most 32 bits.
    pub(crate) fn uvarint_32(&mut self) -> Result<u32, Malformed> {
        let start = self.offset;
        let value = self.uvarint()?;
        u32::try_from(value).map_err(|_| Malformed::new(start, format!("{value} exceeds 32 bits")))
    }

    /// A slice that starts with its own length.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.length()?;
        self.take(count)
    }

    /// Bytes followed by their CRC-32C.
    pub(crate) fn checked(&mut self, count: usize, what: &str) -> Result<&'a [u8], Malformed> {
        let start = self.offset;
        let body = self.take(count)?;
        // No figures in the text: equal problems in a row are counted as one.
        if !checksum_is(body, self.u32()?) {
            return Err(Malformed::new(start, format!("the checksum of {what} does not match")));
        }
        Ok(body)
    }
}

/// True if the CRC-32C of `bytes` is `stated`. Fuzzers have to get behind it.
pub(crate) fn checksum_is(bytes: &[u8], stated: u32) -> bool {
    cfg!(fuzzing) || crc32c::crc32c(bytes) == stated
}

/// The body of an index section at `offset` in `file`: `u32` length, body, CRC.
pub(crate) fn section<'a>(file: &'a [u8], offset: u64, what: &str) -> Result<Cursor<'a>, Malformed> {
    let at = usize::try_from(offset)
        .map_err(|_| Malformed { offset, reason: Cow::Owned(format!("no file is that long ({what})")) })?;
    let mut cursor = Cursor::at(file, at)?;
    let length = cursor.u32()? as usize;
    let start = cursor.offset();
    Ok(Cursor::new(cursor.checked(length, what)?, start))
}

/// Splits the CRC-32C off the end of `bytes` and checks it.
pub(crate) fn without_checksum<'a>(
    bytes: &'a [u8],
    offset: usize,
    what: &str,
) -> Result<Cursor<'a>, Malformed> {
    let Some(body) = bytes.len().checked_sub(CRC_BYTES) else {
        return Err(Malformed::new(offset, format!("{what} has no room for its checksum")));
    };
    Ok(Cursor::new(Cursor::new(bytes, offset).checked(body, what)?, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uvarint(bytes: &[u8]) -> Result<u64, Malformed> {
        Cursor::new(bytes, 0).uvarint()
    }

    #[test]
    fn variable_length_numbers() {
        // 300 = 0b10_0101100 is the worked example of the Protocol Buffers documentation.
        assert_eq!(uvarint(&[0xac, 0x02]), Ok(300));
        assert_eq!(uvarint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Ok(u64::MAX));
        assert!(uvarint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).is_err());
        assert!(uvarint(&[0x80; 11]).is_err());
        assert!(uvarint(&[0x80]).is_err());
        assert_eq!(Cursor::new(&[0x03], 0).varint(), Ok(-2));
        assert_eq!(
            Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 0).varint(),
            Ok(i64::MIN)
        );
    }

    #[test]
    fn a_length_beyond_the_end_is_refused_where_it_stands() {
        let mut cursor = Cursor::new(&[0x05, 1, 2], 100);
        assert_eq!(cursor.prefixed().map_err(|wrong| wrong.offset), Err(101));
    }
}
