//! The header of MatrixOne's objects.
//!
//! Every file below `tae/` begins with 64 bytes that [`ObjectHeader`] reads. Invariant of such a file: the extent of its metadata ends 64
//! bytes before the end of the file, so a truncated or extended file is detected without reading the rest.

use std::fmt;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// Bytes of the footer behind the metadata.
const FOOTER_BYTES: u64 = 64;
const MAGIC: u64 = 0xFFFF_FFFF;
const VERSION: u16 = 1;

/// The first bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectHeader {
    /// The offset of the metadata, in bytes.
    pub offset: u32,
    /// The size of the metadata, in bytes.
    pub length: u32,
}

/// Why a file is not a valid object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadHeader {
    /// It is shorter than a header.
    Short,
    /// It begins with other bytes.
    Magic(u64),
    /// Its version is not 1.
    Version(u16),
    /// By its header it should have another size, in bytes.
    Length(u64),
}

impl ObjectHeader {
    /// Reads the header of a file, and checks that the file has the size that follows from it.
    ///
    /// # Errors
    /// If it is not a valid object.
    pub fn check(head: &[u8], logical: u64) -> Result<Self, BadHeader> {
        let head: &[u8; HEADER_BYTES] = head.first_chunk().ok_or(BadHeader::Short)?;
        let magic = u64::from_le_bytes(part(head, 0));
        if magic != MAGIC {
            return Err(BadHeader::Magic(magic));
        }
        let version = u16::from_le_bytes(part(head, 8));
        if version != VERSION {
            return Err(BadHeader::Version(version));
        }
        let offset = u32::from_le_bytes(part(head, 11));
        let length = u32::from_le_bytes(part(head, 15));
        let expected = u64::from(offset) + u64::from(length) + FOOTER_BYTES;
        if expected == logical {
            Ok(Self { offset, length })
        } else {
            Err(BadHeader::Length(expected))
        }
    }
}

fn part<const N: usize>(head: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&head[at..at + N]);
    out
}

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("it is too short for an object of MatrixOne"),
            Self::Magic(magic) => write!(f, "it begins with {magic:016x}, not as an object does"),
            Self::Version(version) => write!(f, "its header has the version {version}, not 1"),
            Self::Length(bytes) => write!(f, "by its header it has {bytes} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extent_ends_before_the_footer() {
        let mut head = [0; 64];
        head[..4].fill(0xff);
        head[8] = 1;
        head[11..15].copy_from_slice(&1000u32.to_le_bytes());
        head[15..19].copy_from_slice(&200u32.to_le_bytes());
        let header = ObjectHeader::check(&head, 1264).unwrap();
        assert_eq!((header.offset, header.length), (1000, 200));
        assert_eq!(
            ObjectHeader::check(&head, 1263),
            Err(BadHeader::Length(1264))
        );
        assert_eq!(
            ObjectHeader::check(&head[..63], 1264),
            Err(BadHeader::Short)
        );
        head[11..19].fill(0xff);
        assert!(ObjectHeader::check(&head, 0).is_err());
        head[8] = 2;
        assert_eq!(ObjectHeader::check(&head, 1264), Err(BadHeader::Version(2)));
        head[0] = 0;
        assert!(matches!(
            ObjectHeader::check(&head, 1264),
            Err(BadHeader::Magic(_))
        ));
    }
}
