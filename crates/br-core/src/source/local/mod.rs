//! Local folders as a source of backups.
//!
//! [`LocalSource`] walks the paths it is given, [`LocalSourceOptions`] say what to leave out. All that differs between
//! systems lies in `unix`. Invariant: paths are never put together for the system; everything is looked at relative to an
//! open folder, so that paths of any length work and nothing that moves meanwhile leads elsewhere.

use std::io;
use std::path::{Path, PathBuf};

use super::{ExcludeError, Excludes, Source, SourceItem};
use crate::model::EntryPath;

mod names;
mod not_kept;
mod roots;
mod unix;
mod walk;

use roots::Plan;
use walk::Walk;

/// Why paths cannot be backed up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Nothing to back up.
    #[error("no path to back up")]
    NoPath,
    /// A pattern cannot be understood.
    #[error(transparent)]
    Exclude(#[from] ExcludeError),
    /// None of the paths exists or can be looked at; this is the first of them.
    #[error("cannot look at `{}`", path.display())]
    Path {
        /// The path as typed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Two paths from different places would be stored under one path, or one inside the other.
    #[error("`{}` and `{}` would both be stored under `{stored}`", first.display(), second.display())]
    Conflict {
        /// One path as typed.
        first: PathBuf,
        /// The other path as typed.
        second: PathBuf,
        /// Where they meet in the backup.
        stored: EntryPath,
    },
    /// A path leads through a symbolic link inside of another path, where links are stored and not followed.
    #[error("`{}` lies behind a symbolic link inside of `{}`", path.display(), root.display())]
    BehindLink {
        /// The path as typed.
        path: PathBuf,
        /// The path it is in, as typed.
        root: PathBuf,
    },
}

/// What a [`LocalSource`] leaves out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LocalSourceOptions {
    /// Patterns of paths to leave out. The paths to back up themselves are always taken.
    pub excludes: Excludes,
    /// Names of files that hold patterns for their folder and all below, in the syntax of `.gitignore`. `excludes`
    /// decide before them, a deeper file before those above.
    pub ignore_files: Vec<String>,
    /// Leave out what a folder with a `CACHEDIR.TAG` file holds, but for that file.
    pub exclude_caches: bool,
    /// Leave out what is mounted below the paths, on devices which none of the paths is on. The folder stays, empty.
    pub one_file_system: bool,
    /// Folders to leave out wherever the walk meets them: a repository should not hold itself.
    pub skipped_folders: Vec<PathBuf>,
    /// The current folder, absolute: where patterns start that begin with `./`. Without it they match only below paths that
    /// start there as well.
    pub folder: Option<PathBuf>,
    /// Yield a [`SourceItem::LeftOut`] for what is left out.
    pub tells_left_out: bool,
}

impl Default for LocalSourceOptions {
    fn default() -> Self {
        Self {
            excludes: Excludes::default(),
            ignore_files: vec![".brignore".to_owned()],
            exclude_caches: false,
            one_file_system: false,
            skipped_folders: Vec::new(),
            folder: None,
            tells_left_out: false,
        }
    }
}

impl LocalSourceOptions {
    /// Sets the patterns of paths to leave out.
    #[must_use]
    pub fn with_excludes(mut self, excludes: Excludes) -> Self {
        self.excludes = excludes;
        self
    }

    /// Sets the names of ignore files; none switches them off.
    #[must_use]
    pub fn with_ignore_files(mut self, names: Vec<String>) -> Self {
        self.ignore_files = names;
        self
    }

    /// Sets whether to leave out what caches hold.
    #[must_use]
    pub const fn with_exclude_caches(mut self, yes: bool) -> Self {
        self.exclude_caches = yes;
        self
    }

    /// Sets whether to leave out what is mounted below.
    #[must_use]
    pub const fn with_one_file_system(mut self, yes: bool) -> Self {
        self.one_file_system = yes;
        self
    }

    /// Sets the folders to leave out wherever the walk meets them. They are known by device and inode, so it does not matter
    /// how their path is spelled; those that do not exist are no harm.
    #[must_use]
    pub fn with_skipped_folders(mut self, folders: Vec<PathBuf>) -> Self {
        self.skipped_folders = folders;
        self
    }

    /// Sets whether the source tells what it leaves out.
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
/// A path is stored as typed: absolute ones without the leading slash, `a/../b` as `b`, leading `..` parts dropped. Where `a`
/// is a symbolic link, `a/../b` is what the system takes it for, and stored with its absolute path. Paths
/// that reduce to nothing, `.` above all, are the root of the backup. Folders that lead to a path are entries as well.
/// A path that is a symbolic link is followed; links below are not.
#[derive(Debug)]
pub struct LocalSource {
    walk: Walk,
    symlinked: Vec<PathBuf>,
}

impl LocalSource {
    /// Looks at the paths, without walking them yet. One given twice, or inside of another, is walked once. One that cannot be
    /// looked at is yielded as [`SourceItem::Unreadable`].
    ///
    /// # Errors
    /// When there is no path, none can be looked at, one is empty or too long, or two would meet in the backup.
    pub fn new(
        paths: &[impl AsRef<Path>],
        options: LocalSourceOptions,
    ) -> Result<Self, SourceError> {
        // Not any iterator: a single `&Path` is one, over its parts.
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        let mut plan = Plan::new(&paths)?;
        Ok(Self {
            symlinked: std::mem::take(&mut plan.symlinked),
            walk: Walk::new(plan, options)?,
        })
    }

    /// The path that leads to the same place without a `..` after a symbolic link, where the system would not go to the folder
    /// above the link. Other paths stay as they are. Use it for [`BackupOptions::paths`](crate::engine::backup::BackupOptions).
    #[must_use]
    pub fn settle(path: &Path) -> PathBuf {
        roots::settle(path).into_owned()
    }

    /// The paths, as typed, that are symbolic links: they are followed, and stored as what they lead to.
    #[must_use]
    pub fn symlinked_roots(&self) -> &[PathBuf] {
        &self.symlinked
    }
}

/// Where a path that was typed as these bytes is stored; `None` when it is too long.
pub(crate) fn stored_path(typed: &[u8]) -> Option<EntryPath> {
    let typed = Path::new(unix::os_str(typed));
    roots::reduce(typed).ok().map(|(_, stored)| stored)
}

impl Source for LocalSource {
    fn next(&mut self) -> Option<SourceItem> {
        self.walk.next()
    }

    /// The system changes the time of the last inode change with every change of a file. Where it does not, as on the images
    /// of read-only file systems, the walk says so by a time that is never trusted.
    fn can_skip_unchanged(&self) -> bool {
        true
    }
}
