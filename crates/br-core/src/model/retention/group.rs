//! Groups of backups that succeed each other.

use std::collections::BTreeSet;

use crate::model::{Backup, normal_path};

/// What the backups of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct GroupBy {
    /// The host.
    pub host: bool,
    /// The paths, in any order and spelling.
    pub paths: bool,
    /// The kind of source.
    pub origin: bool,
    /// The tags, in any order.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self {
            host: true,
            paths: true,
            origin: true,
            tags: false,
        }
    }
}

impl GroupBy {
    /// All backups are one group.
    pub const NOTHING: Self = Self {
        host: false,
        paths: false,
        origin: false,
        tags: false,
    };

    /// Sets whether only backups of the same host form a group.
    #[must_use]
    pub const fn with_host(mut self, host: bool) -> Self {
        self.host = host;
        self
    }

    /// Sets whether only backups of the same paths form a group.
    #[must_use]
    pub const fn with_paths(mut self, paths: bool) -> Self {
        self.paths = paths;
        self
    }

    /// Sets whether only backups of the same kind of source form a group.
    #[must_use]
    pub const fn with_origin(mut self, origin: bool) -> Self {
        self.origin = origin;
        self
    }

    /// Sets whether only backups with the same tags form a group.
    #[must_use]
    pub const fn with_tags(mut self, tags: bool) -> Self {
        self.tags = tags;
        self
    }

    /// The group of a backup.
    #[must_use]
    pub fn key(&self, backup: &Backup) -> GroupKey {
        let paths = || {
            let paths = backup.paths.iter();
            paths
                .map(|path| normal_path(path, &backup.folder))
                .collect()
        };
        let origin = || backup.origin.as_ref().map(|origin| origin.kind.name());
        GroupKey {
            host: self.host.then(|| backup.host.clone()),
            paths: self.paths.then(paths),
            // Early versions recorded no origin, and made backups of files or streams.
            origin: self.origin.then(|| origin().unwrap_or("files").to_owned()),
            tags: self.tags.then(|| backup.tags.iter().cloned().collect()),
        }
    }
}

/// What the backups of one group have in common; `None` where backups may differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct GroupKey {
    /// The host.
    pub host: Option<String>,
    /// The paths in one spelling.
    pub paths: Option<BTreeSet<Vec<u8>>>,
    /// The name of the kind of source.
    pub origin: Option<String>,
    /// The tags.
    pub tags: Option<BTreeSet<String>>,
}
