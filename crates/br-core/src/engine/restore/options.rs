//! Options of a restore.
//!
//! [`RestoreOptions`] has all of them, [`Overwrite`] says what happens to existing files.

use std::path::PathBuf;

use super::super::pattern::PathPattern;
use super::select::Selection;
use crate::error::Result;
use crate::model::EntryPath;
use crate::target::MetadataOptions;

/// Options of a restore.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Restore only these entries and everything below them; all entries when empty.
    pub paths: Vec<EntryPath>,
    /// Restore only what is below this folder, into the target itself; the root means everything.
    pub folder: EntryPath,
    /// Leave out the first parts of each path, after those of `folder`.
    pub stripped_parts: usize,
    /// Restore only entries that these patterns select.
    pub(super) selection: Selection,
    /// What happens to existing files.
    pub overwrite: Overwrite,
    /// Delete everything in restored folders that is not in the backup, including files that were excluded from it.
    pub delete: bool,
    /// Folders in which nothing is written or deleted: those of the repository and of the cache. A target inside one of them is refused.
    pub protected: Vec<PathBuf>,
    /// Set user and group. Requires root.
    pub owner: bool,
    /// Create character and block devices.
    pub devices: bool,
    /// Set the set-user-ID and set-group-ID bits. They are never set on an entry whose user or group differs from the backup.
    pub set_id: bool,
    /// Patterns for the names of extended attributes that are not set; `*` matches any bytes.
    pub skipped_attributes: Vec<Vec<u8>>,
    /// Do everything except writing.
    pub dry_run: bool,
    /// Number of worker threads; `None` means one per core.
    pub threads: Option<usize>,
}

/// What happens to existing files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overwrite {
    /// Replace them.
    Always,
    /// Replace them unless size and modification time match the backup.
    #[default]
    IfChanged,
    /// Leave them unchanged.
    Never,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            folder: EntryPath::root(),
            stripped_parts: 0,
            selection: Selection::default(),
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
    /// Restores only these entries and everything below them.
    #[must_use]
    pub fn with_paths(mut self, paths: Vec<EntryPath>) -> Self {
        self.paths = paths;
        self
    }

    /// Restores only what is below this folder of the backup, into the target itself: the target takes the place of the folder. A target that
    /// exists keeps its metadata. The requested paths must be in the folder. Patterns match the paths in the backup, and the report has the
    /// paths in the target.
    #[must_use]
    pub fn with_folder(mut self, folder: EntryPath) -> Self {
        self.folder = folder;
        self
    }

    /// Leaves out the first parts of each path, after those of the folder that is restored, as the option `--strip-components` of tar does.
    /// Entries with too few parts are left out. Folders that get the same path become one folder; a restore of other entries that get the
    /// same path, or of more than 256 folders into one, fails before it writes anything.
    #[must_use]
    pub const fn with_stripped_parts(mut self, parts: usize) -> Self {
        self.stripped_parts = parts;
        self
    }

    /// Restores only entries that this pattern or another one matches, with everything below them. `*.rs` matches names in every folder,
    /// `src/*.rs` the end of a path, and `/src/*.rs` a whole path in the backup. `*` and `?` do not match a slash, and `**` matches any
    /// number of folders.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the pattern is invalid or empty.
    pub fn with_include(mut self, pattern: &str, ignores_case: bool) -> Result<Self> {
        let pattern = PathPattern::anywhere(pattern, ignores_case)?;
        self.selection.includes.push(pattern);
        Ok(self)
    }

    /// Does not restore entries that this pattern matches, and nothing below them. The syntax is that of [`RestoreOptions::with_include`].
    ///
    /// # Errors
    /// As [`RestoreOptions::with_include`].
    pub fn with_exclude(mut self, pattern: &str, ignores_case: bool) -> Result<Self> {
        let pattern = PathPattern::anywhere(pattern, ignores_case)?;
        self.selection.excludes.push(pattern);
        Ok(self)
    }

    /// Sets what happens to existing files.
    #[must_use]
    pub const fn with_overwrite(mut self, overwrite: Overwrite) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Sets whether to delete everything in restored folders that is not in the backup.
    #[must_use]
    pub const fn with_delete(mut self, delete: bool) -> Self {
        self.delete = delete;
        self
    }

    /// Sets the folders in which nothing is written or deleted.
    #[must_use]
    pub fn with_protected(mut self, folders: Vec<PathBuf>) -> Self {
        self.protected = folders;
        self
    }

    /// Sets whether to restore user and group.
    #[must_use]
    pub const fn with_owner(mut self, owner: bool) -> Self {
        self.owner = owner;
        self
    }

    /// Sets whether to create devices.
    #[must_use]
    pub const fn with_devices(mut self, devices: bool) -> Self {
        self.devices = devices;
        self
    }

    /// Sets whether to restore the set-user-ID and set-group-ID bits.
    #[must_use]
    pub const fn with_set_id(mut self, set_id: bool) -> Self {
        self.set_id = set_id;
        self
    }

    /// Sets the patterns for the names of extended attributes that are not set.
    #[must_use]
    pub fn with_skipped_attributes(mut self, patterns: Vec<Vec<u8>>) -> Self {
        self.skipped_attributes = patterns;
        self
    }

    /// Sets whether this is a dry run.
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

    /// The paths in the backup that are restored; all when empty.
    pub(super) fn wanted(&self) -> Vec<EntryPath> {
        if self.paths.is_empty() && !self.folder.is_root() {
            vec![self.folder.clone()]
        } else {
            self.paths.clone()
        }
    }

    /// The metadata options for the target.
    pub(super) fn metadata(&self) -> MetadataOptions {
        MetadataOptions::default()
            .with_owner(self.owner)
            .with_set_id(self.set_id)
            .with_skipped_attributes(self.skipped_attributes.clone())
    }
}
