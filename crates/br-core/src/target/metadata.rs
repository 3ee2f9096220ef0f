//! Which metadata a target sets, and what it tells when it may not.

use std::fmt;
use std::io;

use crate::model::{EntryPath, escape};

/// Which metadata to set. Permissions, times and extended attributes always are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetadataOptions {
    /// Set user and group, by number. Nobody but root may.
    pub owner: bool,
}

impl MetadataOptions {
    /// Sets whether to set user and group.
    #[must_use]
    pub const fn with_owner(mut self, yes: bool) -> Self {
        self.owner = yes;
        self
    }
}

/// Metadata that the file system or the system refused. The entry is there without it.
#[derive(Debug, thiserror::Error)]
#[error("cannot set {refused} of `{path}`")]
#[non_exhaustive]
pub struct Warning {
    /// The entry.
    pub path: EntryPath,
    /// What it lacks.
    pub refused: Refused,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// A part of an entry's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// User and group. The entry then has no set-user-ID and set-group-ID bits either, as they would give the rights of
    /// somebody else than was meant.
    Owner,
    /// The permission bits.
    Mode,
    /// The time of the last change.
    Times,
    /// An extended attribute, by its name.
    Attribute(Vec<u8>),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("the owner"),
            Self::Mode => f.write_str("the permissions"),
            Self::Times => f.write_str("the times"),
            Self::Attribute(name) => write!(f, "the attribute `{}`", escape(name)),
        }
    }
}
