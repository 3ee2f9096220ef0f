//! Ids: one type for each kind of object, so that the compiler finds a mix-up.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id")]
pub struct IdPrefixError(pub String);

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]);
    digits.map(|d| char::from(DIGITS[usize::from(d)])).collect()
}

/// Reads lower-case hexadecimal digits.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The id's bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        /// The text of the id.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl FromStr for $name {
            type Err = IdPrefixError;

            fn from_str(text: &str) -> Result<Self, IdPrefixError> {
                unhex(text).map(Self).ok_or_else(|| IdPrefixError(text.to_owned()))
            }
        }
    };
}

bytes_id!(
    /// Names a chunk: the keyed BLAKE3-256 of its bytes.
    ChunkId,
    32
);
bytes_id!(
    /// Random bytes in an object's header, new for every attempt to write one.
    ObjectId,
    16
);
bytes_id!(
    /// Names a pack; random, never reused.
    PackId,
    16
);
bytes_id!(
    /// Names an index segment; random, never reused.
    SegmentId,
    16
);
bytes_id!(
    /// Names a key slot, which one password opens.
    KeyId,
    16
);

impl From<ObjectId> for PackId {
    fn from(id: ObjectId) -> Self {
        Self(id.0)
    }
}

impl From<ObjectId> for SegmentId {
    fn from(id: ObjectId) -> Self {
        Self(id.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        /// The text of the id.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl FromStr for $name {
            type Err = IdPrefixError;

            fn from_str(text: &str) -> Result<Self, IdPrefixError> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdPrefixError(text.to_owned()))
            }
        }
    };
}

uuid_id!(
    /// Names a backup: a UUIDv7, so that ids sort by the time they were made.
    BackupId
);
uuid_id!(
    /// Names a repository.
    RepositoryId
);

/// A piece of content: its id and its length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkRef {
    /// The chunk's id.
    pub id: ChunkId,
    /// The chunk's length in bytes.
    pub len: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse() {
        let id = PackId([0xab; 16]);
        assert_eq!(id.to_string(), "ab".repeat(16));
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "ab",
            "zz",
            &"AB".repeat(16),
            &"ab".repeat(17),
            &"é".repeat(16),
        ] {
            assert!(bad.parse::<PackId>().is_err(), "{bad}");
        }
    }
}
