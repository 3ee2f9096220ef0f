//! Errors of the decoders.

use super::{FORMAT_VERSION, FormatVersion};

/// Why bytes could not be decoded. The caller adds the name of the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// There are too few or too many bytes.
    #[error("it is truncated or has the wrong length")]
    Length,
    /// A checksum or authentication tag does not match: the bytes were altered, or belong to another repository.
    #[error("its checksum does not match: the bytes were altered")]
    Checksum,
    /// The object has another type than expected.
    #[error("it is not {0}")]
    Kind(&'static str),
    /// A value is invalid.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// A value exceeds the reader's limit.
    #[error("it claims more than the limit of {limit} {what}")]
    Limit {
        /// The unit that is limited.
        what: &'static str,
        /// The maximum.
        limit: u64,
    },
    /// Written by a newer br.
    #[error("it was written by a newer br: unknown {0}")]
    Unknown(&'static str),
    /// A format version that this library cannot read or write.
    #[error("it has format version {0}, this br knows {known}", known = FORMAT_VERSION)]
    Version(FormatVersion),
    /// The password does not open the key slot.
    #[error("the password is wrong")]
    Password,
    /// The object was written with a master key that the key slot in use does not have.
    #[error("the master key was changed after this password was added")]
    OutdatedKey,
    /// The content of files is encrypted for a reading key, and the key slot in use has only its public half.
    #[error(
        "the key that opened the repository only writes: it cannot decrypt the content of files"
    )]
    WriteOnly,
}

impl FormatError {
    /// True when a newer br could read the object.
    #[must_use]
    pub const fn is_newer(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Version(_))
    }
}
