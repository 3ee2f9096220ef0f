//! Little-endian integers, varints and byte strings.

use super::{FormatError, limits};

/// Appends a LEB128 varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number, zigzag-encoded so that numbers near zero are short.
pub(super) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a length and the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads values from a slice, front to back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(FormatError::Length)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(FormatError::Length)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn varint(&mut self) -> Result<u64, FormatError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(FormatError::Malformed("a number is too large"))
    }

    pub(super) fn zigzag(&mut self) -> Result<i64, FormatError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Reads a varint of at most `limit`.
    pub(super) fn bounded(&mut self, limit: u64, what: &'static str) -> Result<u64, FormatError> {
        let value = self.varint()?;
        if value > limit {
            Err(FormatError::Limit { what, limit })
        } else {
            Ok(value)
        }
    }

    /// Reads the number of items that each have at least one byte, so it cannot exceed the number of bytes left.
    pub(super) fn count(&mut self, limit: u64, what: &'static str) -> Result<usize, FormatError> {
        let count = self.bounded(limit, what)?;
        usize::try_from(count)
            .ok()
            .filter(|n| *n <= self.0.len())
            .ok_or(FormatError::Length)
    }

    pub(super) fn bytes(
        &mut self,
        limit: u64,
        what: &'static str,
    ) -> Result<&'a [u8], FormatError> {
        let len = self.bounded(limit, what)?;
        self.take(usize::try_from(len).map_err(|_| FormatError::Length)?)
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) const fn finish(self) -> Result<(), FormatError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(FormatError::Length)
        }
    }
}

/// Memory left for the decoded values of one node.
#[derive(Debug)]
pub(super) struct Memory(usize);

impl Default for Memory {
    fn default() -> Self {
        Self(limits::NODE_MEMORY)
    }
}

impl Memory {
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), FormatError> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.ok_or(FormatError::Limit {
            what: "bytes of memory for a tree node",
            limit: limits::NODE_MEMORY as u64,
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_zigzag(&mut out, signed);
            let mut read = Decoder::new(&out);
            prop_assert_eq!(read.varint().unwrap(), value);
            prop_assert_eq!(read.zigzag().unwrap(), signed);
            read.finish().unwrap();
        }
    }

    #[test]
    fn overlong_numbers_are_refused() {
        assert!(Decoder::new(&[0xff; 11]).varint().is_err());
        assert!(Decoder::new(&[0x80; 9]).varint().is_err());
        assert!(
            Decoder::new(&[0xff, 0xff, 0xff, 0xff, 0x0f])
                .count(u64::MAX, "x")
                .is_err()
        );
    }
}
