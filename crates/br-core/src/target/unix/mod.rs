//! The target on Unix.
//!
//! `folders` opens folders inside the target, `cursor` has the operations of one thread, `file` and `shared` create files, `nodes` creates
//! all other entries, `apply` sets metadata, `remove` deletes, `record` shows which restores are running. Invariant: every system call
//! uses either a single name relative to an open folder, or a path that the system itself keeps inside one and free of links.

mod apply;
mod cursor;
mod file;
mod folders;
mod nodes;
mod record;
mod remove;
mod shared;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use cursor::Cursor;
pub use file::NewFile;
pub use nodes::Existing;
pub(super) use nodes::is_no_folder;
pub use shared::SharedFile;

use super::TargetError;
use crate::model::{EntryKind, EntryPath};
use folders::Beneath;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

/// A folder that entries are restored into.
#[derive(Debug, Clone)]
pub struct LocalTarget {
    beneath: Arc<Beneath>,
}

impl LocalTarget {
    /// Opens the folder. With `create`, creates it and missing folders above it.
    ///
    /// # Errors
    /// When it is a symbolic link or not a folder, or cannot be opened or created.
    pub fn open(root: &Path, create: bool) -> Result<Self, TargetError> {
        // Remove a trailing slash, which would make the system follow a link.
        let mut path: PathBuf = root.components().collect();
        if path.as_os_str().is_empty() {
            path.push(".");
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(CWD, &path, flags, Mode::empty());
        let failed = |source| TargetError::Root {
            path: root.to_owned(),
            source,
        };
        let opened = match open() {
            Err(Errno::NOENT) if create => {
                std::fs::create_dir_all(&path).map_err(failed)?;
                open()
            }
            other => other,
        };
        match opened {
            Ok(folder) => Ok(Self {
                beneath: Arc::new(Beneath::new(folder, path.canonicalize().ok())),
            }),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let found = path.symlink_metadata().map_err(failed)?;
                let root = root.to_owned();
                Err(if found.is_symlink() {
                    TargetError::RootIsLink(root)
                } else {
                    TargetError::RootIsNoFolder(root)
                })
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Opens the folder if it exists; `None` when [`LocalTarget::open`] would have to create it.
    ///
    /// # Errors
    /// As for [`LocalTarget::open`].
    pub(crate) fn open_existing(root: &Path) -> Result<Option<Self>, TargetError> {
        match Self::open(root, false) {
            Err(TargetError::Root { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            opened => return opened.map(Some),
        }
        // The lowest existing path above it, including a dangling link, must be a folder.
        let mut above = root.ancestors().skip(1);
        let there = above.find(|folder| folder.symlink_metadata().is_ok());
        match there {
            Some(folder) if !folder.is_dir() => Err(TargetError::Root {
                path: root.to_owned(),
                source: Errno::EXIST.into(),
            }),
            _ => Ok(None),
        }
    }

    /// Sets the first number for the names of unfinished files. A number that other users cannot guess prevents them from taking these
    /// names, which would slow the restore down.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.beneath.seed(seed);
        self
    }

    /// Sets whether existing entries are always kept: creating an entry then fails if its name is taken, even if it was taken at the last
    /// moment.
    #[must_use]
    pub fn with_everything_kept(self, yes: bool) -> Self {
        self.beneath.keep_all(yes);
        self
    }

    /// Follows a symbolic link to a folder inside the target from now on: entries below the link are read and created in that folder. Call
    /// this before creating cursors, and for the links of upper folders first. An absolute link is resolved on this machine if that leads
    /// inside the target, otherwise relative to the target's folder.
    ///
    /// Returns false, and follows nothing, if the path is not a link, or does not lead to a folder inside the target.
    ///
    /// # Errors
    /// When the system refuses to examine the path.
    pub fn follow(&mut self, path: &EntryPath) -> Result<bool, TargetError> {
        let found = self.cursor().inspect(path)?;
        let is_link = found.is_some_and(|found| matches!(found.kind, EntryKind::Symlink(_)));
        match Arc::get_mut(&mut self.beneath) {
            Some(beneath) if is_link => {
                let followed = beneath.follow(path);
                followed.map_err(TargetError::entry(path, "follow the link"))
            }
            _ => Ok(false),
        }
    }

    /// True when the link at this path is followed.
    #[must_use]
    pub fn follows(&self, path: &EntryPath) -> bool {
        self.beneath.follows(path.as_bytes())
    }

    /// The path of an entry on this machine, with followed links resolved; `None` when it is unknown.
    #[must_use]
    pub fn real_path(&self, path: &EntryPath) -> Option<PathBuf> {
        self.beneath.real_path(path)
    }

    /// Removes the unfinished files of killed restores whose record is in one of these folders. Creates the record of this restore in the
    /// first of these folders that is writable. Returns the number of removed files.
    ///
    /// A running restore holds a lock on its record. [`LocalTarget::end`] removes the record.
    #[must_use]
    pub fn begin(&self, folders: &[EntryPath]) -> u64 {
        self.beneath.begin(folders)
    }

    /// Finds out whether the file system is case-sensitive, from the names in these folders, for a restore that writes nothing. A restore
    /// that writes finds out in [`LocalTarget::begin`].
    pub(crate) fn look_at_case(&self, folders: &[EntryPath]) {
        self.beneath.look_at_case(folders);
    }

    /// True when the file system ignores case in names.
    pub(crate) fn folds_case(&self) -> bool {
        self.beneath.folds_case()
    }

    /// Removes the record of this restore. All files must be finished or dropped.
    pub fn end(&self) {
        self.beneath.end();
    }

    /// Returns a cursor, which one thread uses to write.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor::new(Arc::clone(&self.beneath))
    }
}

/// The effective user of this process.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// True when this process may change the owner of files.
pub(crate) fn may_set_owner() -> bool {
    rustix::process::geteuid().is_root()
}
