//! Local folders as a source of backups.
//!
//! [`LocalSource`] walks the given paths, [`LocalSourceOptions`] says what to exclude. Code that depends on the operating system is in
//! `unix`. Invariant: no path is ever joined for a system call. Every entry is examined relative to an open folder, so that paths of any
//! length work, and a folder that is moved during the walk cannot redirect it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::{ExcludeError, Excludes, Source, SourceItem, SourcePaths};
use crate::model::EntryPath;

mod active_excludes;
mod control_files;
mod named;
mod names;
mod not_kept;
mod roots;
mod unix;
mod walk;

use roots::Plan;
use walk::Walk;

/// Why the paths cannot be backed up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No path was given.
    #[error("no path to back up")]
    NoPath,
    /// A pattern is invalid.
    #[error(transparent)]
    Exclude(#[from] ExcludeError),
    /// None of the paths exists or can be examined; this is the first of them.
    #[error("cannot look at `{}`", path.display())]
    Path {
        /// The path as typed.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Two paths with different starting folders would have the same path in the backup, or one inside the other.
    #[error("`{}` and `{}` would both be stored under `{stored}`", first.display(), second.display())]
    Conflict {
        /// One path as typed.
        first: PathBuf,
        /// The other path as typed.
        second: PathBuf,
        /// Their common path in the backup.
        stored: EntryPath,
    },
    /// A path leads through a symbolic link inside another path, where links are stored and not followed.
    #[error("`{}` is behind a symbolic link inside `{}`", path.display(), root.display())]
    BehindLink {
        /// The path as typed.
        path: PathBuf,
        /// The path it is in, as typed.
        root: PathBuf,
    },
}

/// What a [`LocalSource`] excludes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LocalSourceOptions {
    /// Patterns of paths to exclude. The paths to back up themselves are never excluded.
    pub excludes: Excludes,
    /// Names of ignore files: their patterns apply to their folder and everything below it, in the syntax of `.gitignore`. `excludes`
    /// takes precedence over them, and a deeper ignore file over those above it.
    pub ignore_files: Vec<String>,
    /// Exclude the contents of folders that have a `CACHEDIR.TAG` file, except this file.
    pub exclude_caches: bool,
    /// Exclude the contents of folders that have an entry with one of these names, except this entry.
    pub exclude_if_present: Vec<OsString>,
    /// Exclude files that are longer than this, in bytes. The paths to back up themselves are never excluded.
    pub exclude_larger_than: Option<u64>,
    /// Exclude the contents of mount points whose device none of the paths is on. The folder itself is backed up, empty.
    pub one_file_system: bool,
    /// Folders to exclude wherever the walk finds them: a repository should not contain itself.
    pub skipped_folders: Vec<PathBuf>,
    /// The current folder, absolute: patterns that begin with `./` start here. Without it, they match only below paths that start here as
    /// well.
    pub folder: Option<PathBuf>,
    /// Yield a [`SourceItem::LeftOut`] for each excluded entry.
    pub tells_left_out: bool,
}

impl Default for LocalSourceOptions {
    fn default() -> Self {
        Self {
            excludes: Excludes::default(),
            ignore_files: vec![".brignore".to_owned()],
            exclude_caches: false,
            exclude_if_present: Vec::new(),
            exclude_larger_than: None,
            one_file_system: false,
            skipped_folders: Vec::new(),
            folder: None,
            tells_left_out: false,
        }
    }
}

impl LocalSourceOptions {
    /// Sets the patterns of paths to exclude.
    #[must_use]
    pub fn with_excludes(mut self, excludes: Excludes) -> Self {
        self.excludes = excludes;
        self
    }

    /// Sets the names of ignore files; an empty list disables them.
    #[must_use]
    pub fn with_ignore_files(mut self, names: Vec<String>) -> Self {
        self.ignore_files = names;
        self
    }

    /// Sets whether to exclude the contents of caches.
    #[must_use]
    pub const fn with_exclude_caches(mut self, yes: bool) -> Self {
        self.exclude_caches = yes;
        self
    }

    /// Sets the names that exclude the contents of their folder.
    #[must_use]
    pub fn with_exclude_if_present(mut self, names: Vec<OsString>) -> Self {
        self.exclude_if_present = names;
        self
    }

    /// Sets the length above which a file is excluded, in bytes.
    #[must_use]
    pub const fn with_exclude_larger_than(mut self, bytes: Option<u64>) -> Self {
        self.exclude_larger_than = bytes;
        self
    }

    /// Sets whether to exclude other mounted file systems.
    #[must_use]
    pub const fn with_one_file_system(mut self, yes: bool) -> Self {
        self.one_file_system = yes;
        self
    }

    /// Sets the folders to exclude wherever the walk finds them. They are identified by device and inode, so the spelling of their path
    /// does not matter. A folder that does not exist is ignored.
    #[must_use]
    pub fn with_skipped_folders(mut self, folders: Vec<PathBuf>) -> Self {
        self.skipped_folders = folders;
        self
    }

    /// Sets whether the source reports excluded entries.
    #[must_use]
    pub const fn with_left_out_told(mut self, yes: bool) -> Self {
        self.tells_left_out = yes;
        self
    }

    /// Sets the current folder, for patterns that begin with `./`.
    #[must_use]
    pub fn with_folder(mut self, folder: Option<PathBuf>) -> Self {
        self.folder = folder;
        self
    }
}

/// Walks local paths, depth-first in path order.
///
/// A path is stored as typed, but without a leading slash, with `a/../b` as `b`, and without leading `..` parts. If `a` is a symbolic
/// link, `a/../b` is resolved as the system does and stored with its absolute path. A path that reduces to nothing, such as `.`, is the
/// root of the backup. Folders that lead to a path are entries as well. A path that is a symbolic link is followed; links below it are
/// not.
#[derive(Debug)]
pub struct LocalSource {
    walk: Walk,
    /// As typed.
    paths: Vec<PathBuf>,
    symlinked: Vec<PathBuf>,
}

impl LocalSource {
    /// Examines the paths, without walking them yet. A path that is given twice or is inside another path is walked once. A path that
    /// cannot be examined is yielded as [`SourceItem::Unreadable`].
    ///
    /// # Errors
    /// When there is no path, none can be examined, one is empty or too long, or two would have overlapping paths in the backup.
    pub fn new(
        paths: &[impl AsRef<Path>],
        options: LocalSourceOptions,
    ) -> Result<Self, SourceError> {
        // A slice and not an iterator: a single `&Path` is an iterator over its parts.
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        let mut plan = Plan::new(&paths)?;
        Ok(Self {
            symlinked: std::mem::take(&mut plan.symlinked),
            walk: Walk::new(plan, options)?,
            paths,
        })
    }

    /// Returns a path to the same location without a `..` after a symbolic link, where the system would not go to the folder that contains
    /// the link. Returns other paths unchanged. Use it for [`BackupOptions::paths`](crate::engine::backup::BackupOptions).
    #[must_use]
    pub fn settle(path: &Path) -> PathBuf {
        roots::settle(path).into_owned()
    }

    /// The paths, as typed, that are symbolic links. They are followed, and their targets are stored.
    #[must_use]
    pub fn symlinked_roots(&self) -> &[PathBuf] {
        &self.symlinked
    }
}

/// The paths with the current folder, if one is relative.
fn described(paths: &[PathBuf]) -> SourcePaths {
    let bytes = |path: &Path| unix::bytes(path).to_vec();
    let is_relative = paths.iter().any(|path| path.is_relative());
    let folder = is_relative.then(|| std::env::current_dir().ok()).flatten();
    SourcePaths {
        paths: paths.iter().map(|path| bytes(path)).collect(),
        folder: folder.map_or_else(Vec::new, |folder| bytes(&folder)),
    }
}

/// The path in the backup of a path that was typed as these bytes; `None` when it is too long.
pub(crate) fn stored_path(typed: &[u8]) -> Option<EntryPath> {
    let typed = Path::new(unix::os_str(typed));
    roots::reduce(typed).ok().map(|(_, stored)| stored)
}

impl Source for LocalSource {
    fn next(&mut self) -> Option<SourceItem> {
        self.walk.next()
    }

    fn paths(&self) -> SourcePaths {
        described(&self.paths)
    }

    /// The system updates the inode's change time with every change of a file. On file systems where it does not, such as read-only
    /// images, the walk sets a change time that is never trusted.
    fn can_skip_unchanged(&self) -> bool {
        true
    }
}
