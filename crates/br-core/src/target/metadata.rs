//! Which metadata a target sets, and what it tells when it may not.

use std::fmt;
use std::io;

use crate::model::{EntryPath, escape};

/// Which metadata to set. Permissions, times and extended attributes always are, but for what is left out here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetadataOptions {
    /// Set user and group, by number. Only root may.
    pub owner: bool,
    /// Set the set-user-ID and set-group-ID bits. They are never set on what belongs to another user or group than the
    /// entry says.
    pub set_id: bool,
    /// Patterns of names of extended attributes that are not set; `*` is any run of bytes.
    pub skipped_attributes: Vec<Vec<u8>>,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self {
            owner: false,
            set_id: true,
            skipped_attributes: Vec::new(),
        }
    }
}

impl MetadataOptions {
    /// Sets whether to set user and group.
    #[must_use]
    pub const fn with_owner(mut self, yes: bool) -> Self {
        self.owner = yes;
        self
    }

    /// Sets whether to set the set-user-ID and set-group-ID bits.
    #[must_use]
    pub const fn with_set_id(mut self, yes: bool) -> Self {
        self.set_id = yes;
        self
    }

    /// Sets the patterns of names of extended attributes that are not set.
    #[must_use]
    pub fn with_skipped_attributes(mut self, patterns: Vec<Vec<u8>>) -> Self {
        self.skipped_attributes = patterns;
        self
    }

    /// True when an extended attribute of this name is not set.
    #[must_use]
    pub fn skips_attribute(&self, name: &[u8]) -> bool {
        let mut patterns = self.skipped_attributes.iter();
        patterns.any(|pattern| matches(pattern, name))
    }
}

/// Whether a name matches a pattern in which `*` is any run of bytes.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to continue when the last `*` must take one byte more.
    let mut retry: Option<(usize, usize)> = None;
    while read < name.len() {
        match (pattern.get(at), retry) {
            (Some(b'*'), _) => {
                retry = Some((at, read));
                at += 1;
            }
            (Some(byte), _) if *byte == name[read] => {
                at += 1;
                read += 1;
            }
            (_, Some((star, taken))) => {
                retry = Some((star, taken + 1));
                (at, read) = (star + 1, taken + 1);
            }
            _ => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
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
    /// True when it is more than a refusal that is to be expected of some file systems and users: an error of the disk, say.
    pub is_failure: bool,
}

/// A part of an entry's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// User and group.
    Owner,
    /// The set-user-ID and set-group-ID bits: with another owner they would give away the wrong user's rights.
    SetId,
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
            Self::SetId => f.write_str("the set-user-ID and set-group-ID bits"),
            Self::Mode => f.write_str("the permissions"),
            Self::Times => f.write_str("the times"),
            Self::Attribute(name) => write!(f, "the attribute `{}`", escape(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_bytes() {
        for (pattern, name, expected) in [
            ("security.*", "security.capability", true),
            ("security.*", "user.security.x", false),
            ("*.b*d", "a.bcbd", true),
            ("*.b*d", "a.bcbde", false),
            ("user.a", "user.a", true),
            ("user.a", "user.ab", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
        ] {
            let found = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(found, expected, "{pattern} {name}");
        }
    }
}
