//! Why bytes are not what they should be.

use super::{FORMAT_VERSION, FormatVersion};

/// Why bytes could not be read. The caller that fetched the object adds its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end too early, or continue too long.
    #[error("it is truncated or has the wrong length")]
    Length,
    /// A checksum or authentication tag does not match: the bytes were altered, or belong to another repository.
    #[error("its checksum does not match: the bytes were altered")]
    Checksum,
    /// Not what is where it was found.
    #[error("it is not {0}")]
    Kind(&'static str),
    /// A value that cannot be right.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// More than a reader accepts.
    #[error("it claims more than the limit of {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The most there may be.
        limit: u64,
    },
    /// Written by a program that knows more.
    #[error("it was written by a newer br: unknown {0}")]
    Unknown(&'static str),
    /// A format version this library cannot read or write.
    #[error("it has format version {0}, this br knows {known}", known = FORMAT_VERSION)]
    Version(FormatVersion),
    /// The passphrase opens none of the key slots.
    #[error("the password is wrong")]
    Password,
}

impl FormatError {
    /// True when a newer br could read it.
    #[must_use]
    pub const fn is_newer(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Version(_))
    }
}
