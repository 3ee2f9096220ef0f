//! Which metadata a target sets, and warnings about metadata that it could not set.

use std::fmt;
use std::io;

use crate::model::{EntryPath, escape};

/// Which metadata to set. Permissions, times and extended attributes are always set, except those that these options exclude.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetadataOptions {
    /// Set user and group, by number. Requires root.
    pub owner: bool,
    /// Set the set-user-ID and set-group-ID bits. They are never set on a file whose user or group differs from the entry.
    pub set_id: bool,
    /// Patterns for the names of extended attributes that are not set; `*` matches any bytes.
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

    /// Sets the patterns for the names of extended attributes that are not set.
    #[must_use]
    pub fn with_skipped_attributes(mut self, patterns: Vec<Vec<u8>>) -> Self {
        self.skipped_attributes = patterns;
        self
    }

    /// True when an extended attribute with this name is not set.
    #[must_use]
    pub fn skips_attribute(&self, name: &[u8]) -> bool {
        let mut patterns = self.skipped_attributes.iter();
        patterns.any(|pattern| matches(pattern, name))
    }
}

/// True when a name matches a pattern, in which `*` matches any bytes.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Position to continue from when the last `*` must match one more byte.
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

/// Metadata that the operating system or the file system refused. The entry exists without it.
#[derive(Debug, thiserror::Error)]
#[error("cannot set {refused} of `{path}`")]
#[non_exhaustive]
pub struct MetadataWarning {
    /// The entry.
    pub path: EntryPath,
    /// The missing metadata.
    pub refused: Refused,
    /// The cause.
    #[source]
    pub source: io::Error,
    /// True for an unexpected error, such as a disk error; false for a refusal that is normal for some file systems and users.
    pub is_failure: bool,
}

/// A part of an entry's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// User and group.
    Owner,
    /// The set-user-ID and set-group-ID bits. With a different owner, they would grant the rights of the wrong user.
    SetId,
    /// The permission bits.
    Mode,
    /// The modification time.
    Times,
    /// An extended attribute, by name.
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
