//! How a restore is made.
//!
//! [`RestoreOptions`] say it, [`Overwrite`] is the part about what is there already.

use std::path::PathBuf;

use crate::model::EntryPath;
use crate::target::MetadataOptions;

/// How a restore is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Only these entries and what is below them; everything when empty.
    pub paths: Vec<EntryPath>,
    /// What happens to files that are there already.
    pub overwrite: Overwrite,
    /// Delete what is in restored folders and not in the backup: what was excluded from it, too.
    pub delete: bool,
    /// Folders in which nothing is written and nothing is deleted: those of the repository and of the cache. A target in one of
    /// them is refused.
    pub protected: Vec<PathBuf>,
    /// Set user and group. Only root may.
    pub owner: bool,
    /// Make character and block devices.
    pub devices: bool,
    /// Set the set-user-ID and set-group-ID bits. They are never set on what belongs to another user or group than in the
    /// backup.
    pub set_id: bool,
    /// Patterns of names of extended attributes that are not set; `*` is any run of bytes.
    pub skipped_attributes: Vec<Vec<u8>>,
    /// Do everything but write.
    pub dry_run: bool,
    /// Worker threads; as many as the machine has cores when `None`.
    pub threads: Option<usize>,
}

/// What happens to files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overwrite {
    /// They are replaced.
    Always,
    /// They are replaced unless size and time of the last change are those of the backup.
    #[default]
    IfChanged,
    /// They are left alone.
    Never,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            overwrite: Overwrite::default(),
            delete: false,
            protected: Vec::new(),
            owner: crate::target::may_set_owner(),
            devices: true,
            set_id: true,
            skipped_attributes: Vec::new(),
            dry_run: false,
            threads: None,
        }
    }
}

impl RestoreOptions {
    /// Restores only these entries and what is below them.
    #[must_use]
    pub fn with_paths(mut self, paths: Vec<EntryPath>) -> Self {
        self.paths = paths;
        self
    }

    /// Says what happens to files that are there already.
    #[must_use]
    pub const fn with_overwrite(mut self, overwrite: Overwrite) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Deletes what is in restored folders and not in the backup.
    #[must_use]
    pub const fn with_delete(mut self, delete: bool) -> Self {
        self.delete = delete;
        self
    }

    /// Names folders in which nothing is written or deleted.
    #[must_use]
    pub fn with_protected(mut self, folders: Vec<PathBuf>) -> Self {
        self.protected = folders;
        self
    }

    /// Says whether user and group are set.
    #[must_use]
    pub const fn with_owner(mut self, owner: bool) -> Self {
        self.owner = owner;
        self
    }

    /// Says whether devices are made.
    #[must_use]
    pub const fn with_devices(mut self, devices: bool) -> Self {
        self.devices = devices;
        self
    }

    /// Says whether the set-user-ID and set-group-ID bits are set.
    #[must_use]
    pub const fn with_set_id(mut self, set_id: bool) -> Self {
        self.set_id = set_id;
        self
    }

    /// Sets the patterns of names of extended attributes that are not set.
    #[must_use]
    pub fn with_skipped_attributes(mut self, patterns: Vec<Vec<u8>>) -> Self {
        self.skipped_attributes = patterns;
        self
    }

    /// Makes it a dry run.
    #[must_use]
    pub const fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Sets the number of worker threads.
    #[must_use]
    pub const fn with_threads(mut self, threads: Option<usize>) -> Self {
        self.threads = threads;
        self
    }

    /// What the target is told about metadata.
    pub(super) fn metadata(&self) -> MetadataOptions {
        MetadataOptions::default()
            .with_owner(self.owner)
            .with_set_id(self.set_id)
            .with_skipped_attributes(self.skipped_attributes.clone())
    }
}
