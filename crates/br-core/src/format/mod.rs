//! Encoding and decoding of everything that `docs/format/repository.md` describes, in the same order.
//!
//! No I/O, no clock, no randomness: ids of new objects are arguments. Invariant: a decoder accepts any bytes and returns a value or a
//! [`FormatError`]; it never panics, and never allocates memory for lengths that the bytes only claim.

mod bounded;
mod bytes;
mod codec;
mod config;
mod cut;
mod envelope;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod index;
mod journal;
mod keyring;
mod keyslot;
mod leaf;
pub(crate) mod limits;
mod list;
mod log;
mod manifest;
mod node;
mod pack;
mod reading_key;
mod recipient;
mod reference_set;

pub(crate) use codec::{Codec, Compressor, compress_delta, decompress, decompress_delta};
pub use config::{ChunkerConfig, Cipher, Config, StoreConfig};
pub(crate) use cut::NodeCutter;
pub(crate) use envelope::{
    FRAME_HEAD_LEN, HEADER_LEN, ObjectKind, SealedObject, TAG_LEN, key_number, read_object,
    write_object,
};
pub use error::FormatError;
pub(crate) use index::{Move, PackEntry, Segment, SegmentBuilder};
pub(crate) use journal::JournalRecord;
pub(crate) use keyring::{ChunkIdKey, Keyring, MasterKey};
pub(crate) use keyslot::{KdfCost, KeySlot, MAX_LABEL_LEN, ReadingHalf, SlotLock};
pub(crate) use leaf::{Leaf, LeafBuilder, decode_leaf};
pub(crate) use list::{MAX_CHUNKS_IN_ENTRY, decode_list, encode_list, split_lists};
pub(crate) use log::{
    DamagedPack, ExaminedBackups, LogEntry, LogRecord, Predecessor, ProvenBackups,
};
pub(crate) use manifest::{backup_from_json, backup_id_from_json, backup_to_json};
pub(crate) use node::{Child, decode_node, encode_node};
pub(crate) use pack::{Group, PackContent, PackTable, TRAILER_LEN};
pub(crate) use reading_key::{PackSeal, ReadingKey, SenderKey};
pub(crate) use recipient::{is_identity, is_recipient};
pub(crate) use reference_set::{decode_references, encode_references};

/// The version of the repository format that this library writes.
pub const FORMAT_VERSION: FormatVersion = FormatVersion { major: 1, minor: 0 };

/// A version of the repository format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FormatVersion {
    /// Readers refuse an unknown major version.
    pub major: u8,
    /// Readers accept a newer minor version, but do not write to such a repository.
    pub minor: u8,
}

impl FormatVersion {
    /// Checks that this library can read objects of this version.
    ///
    /// # Errors
    /// [`FormatError::Version`] for another major version.
    pub fn check_readable(self) -> Result<(), FormatError> {
        if self.major == FORMAT_VERSION.major {
            Ok(())
        } else {
            Err(FormatError::Version(self))
        }
    }

    /// Checks that this library can write to a repository of this version.
    ///
    /// # Errors
    /// [`FormatError::Version`] for another major or a greater minor version.
    pub fn check_writable(self) -> Result<(), FormatError> {
        self.check_readable()?;
        if self.minor.cmp(&FORMAT_VERSION.minor).is_le() {
            Ok(())
        } else {
            Err(FormatError::Version(self))
        }
    }
}

impl std::fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
