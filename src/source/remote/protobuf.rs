//! Protocol buffers, as much of them as remote read needs: fields in, fields out.

use crate::tsdb::bytes::{Cursor, Malformed};

/// A field's content by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// `int64`, `enum`, `bool`.
    Varint(u64),
    /// `double`, as bits.
    Fixed64(u64),
    /// `string`, `bytes`, a message.
    Bytes(&'a [u8]),
    /// `float`; no message that is read here has one.
    Fixed32,
}

impl<'a> Value<'a> {
    /// The bytes; nothing where the field is of another type than expected.
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// An `int64`; 0 where the field is of another type than expected.
    pub(super) fn int(self) -> i64 {
        match self {
            Self::Varint(value) => value.cast_signed(),
            _ => 0,
        }
    }

    /// A `double`; 0 where the field is of another type than expected.
    pub(super) fn double(self) -> f64 {
        match self {
            Self::Fixed64(bits) => f64::from_bits(bits),
            _ => 0.0,
        }
    }
}

/// The fields of one message, in their order.
pub(super) struct Fields<'a>(Cursor<'a>);

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self(Cursor::new(message, 0))
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let key = self.0.uvarint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.0.uvarint()?),
            1 => {
                let bytes = self.0.take(8)?;
                let bits = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                Value::Fixed64(bits)
            }
            2 => Value::Bytes(self.0.prefixed()?),
            5 => {
                self.0.take(4)?;
                Value::Fixed32
            }
            other => return Err(self.0.fail(format!("wire type {other} is not known"))),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.field())
    }
}

/// A message being written.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Adds an `int64` or `enum`; 0 is the default and left out.
    #[must_use]
    pub(super) fn int(mut self, field: u64, value: i64) -> Self {
        if value != 0 {
            self.uvarint(field << 3);
            self.uvarint(value.cast_unsigned());
        }
        self
    }

    /// Adds the elements of a repeated `enum`, packed into one field.
    #[must_use]
    pub(super) fn packed(mut self, field: u64, values: &[u8]) -> Self {
        self.uvarint(field << 3 | 2);
        self.uvarint(values.len() as u64);
        self.0.extend_from_slice(values);
        self
    }

    /// Adds a `string`.
    #[must_use]
    pub(super) fn text(mut self, field: u64, text: &str) -> Self {
        self.uvarint(field << 3 | 2);
        self.uvarint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Adds a message.
    #[must_use]
    pub(super) fn message(mut self, field: u64, message: &Self) -> Self {
        self.uvarint(field << 3 | 2);
        self.uvarint(message.0.len() as u64);
        self.0.extend_from_slice(&message.0);
        self
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of the encoding's own documentation: 150 in field 1, `testing` in field 2, a message in field 3.
    #[test]
    fn as_the_encoding_is_described() {
        let inner = Message::default().int(1, 150);
        let message = Message::default().int(1, 150).text(2, "testing").message(3, &inner);
        let bytes = message.into_bytes();
        assert_eq!(bytes, b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01");
        let fields: Vec<_> = Fields::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(
            fields,
            [(1, Value::Varint(150)), (2, Value::Bytes(b"testing")), (3, Value::Bytes(b"\x08\x96\x01"))]
        );
        // -2 takes ten bytes; 1.5 is little-endian.
        assert_eq!(Message::default().int(1, -2).into_bytes().len(), 11);
        let double = b"\x09\x00\x00\x00\x00\x00\x00\xf8\x3f";
        assert_eq!(Fields::new(double).next().unwrap().unwrap().1.double(), 1.5);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for bytes in
            [&b"\x08"[..], b"\x12\x07test", b"\x09\x00", b"\x0b", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f"]
        {
            assert!(Fields::new(bytes).any(|field| field.is_err()), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut fields = 0;
            for field in Fields::new(&bytes).take(300) {
                fields += 1;
                if field.is_err() {
                    break;
                }
            }
            prop_assert!(fields <= bytes.len().max(1));
        }
    }
}
