//! A target on Unix.
//!
//! `folders` opens folders beneath the target, `cursor` holds the operations of one thread, `file` and `shared` make
//! files, `nodes` everything else, `apply` sets metadata, `remove` deletes, `record` shows which restores live. Invariant: every system call names one part relative to an open folder,
//! or a path that the system itself keeps beneath one and free of links.

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

/// A folder that entries are laid out in.
#[derive(Debug, Clone)]
pub struct LocalTarget {
    beneath: Arc<Beneath>,
}

impl LocalTarget {
    /// Opens the folder, and makes it, with those above it, if `create` says so.
    ///
    /// # Errors
    /// When it is a symbolic link or no folder, or cannot be opened or made.
    pub fn open(root: &Path, create: bool) -> Result<Self, TargetError> {
        // A slash at the end would make the system follow a link.
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

    /// Opens the folder if it exists; `None` when [`LocalTarget::open`] would make it.
    ///
    /// # Errors
    /// As for [`LocalTarget::open`].
    pub(crate) fn open_existing(root: &Path) -> Result<Option<Self>, TargetError> {
        match Self::open(root, false) {
            Err(TargetError::Root { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            opened => return opened.map(Some),
        }
        // Whatever is above, a link that leads nowhere among it, must be a folder.
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

    /// Sets where the names of unfinished files start to count. A number that others cannot guess keeps them from
    /// taking such a name first, which would only slow the restore down.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.beneath.seed(seed);
        self
    }

    /// Sets that nothing that has a name loses it: what is made fails where something lies already, even if it appears at the
    /// last moment.
    #[must_use]
    pub fn with_everything_kept(self, yes: bool) -> Self {
        self.beneath.keep_all(yes);
        self
    }

    /// Follows a symbolic link to a folder beneath the target from now on: what belongs below the link is looked for and made
    /// in that folder. To be called before there are cursors, the links of upper folders first. An absolute link is taken as the
    /// system takes it if that leads beneath the target, else as one that starts at the target's folder.
    ///
    /// Returns false, and follows nothing, when there is no link, or it leads to no folder beneath the target.
    ///
    /// # Errors
    /// When the system refuses to look.
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

    /// Where something at a path is placed on this machine, links that are followed resolved; `None` when the system does
    /// not tell.
    #[must_use]
    pub fn real_path(&self, path: &EntryPath) -> Option<PathBuf> {
        self.beneath.real_path(path)
    }

    /// Removes the unfinished files that restores left which recorded themselves in one of these folders and are dead, and
    /// records this one in the first of them that it may write to. Returns how many files were removed.
    ///
    /// A restore that lives holds a lock on its record. The record is gone after [`LocalTarget::end`].
    #[must_use]
    pub fn begin(&self, folders: &[EntryPath]) -> u64 {
        self.beneath.begin(folders)
    }

    /// Finds out from the names in these folders whether the file system is case-sensitive, for a restore that writes nothing.
    /// One that writes finds out in [`LocalTarget::begin`].
    pub(crate) fn look_at_case(&self, folders: &[EntryPath]) {
        self.beneath.look_at_case(folders);
    }

    /// True when the file system does not tell names apart by case.
    pub(crate) fn folds_case(&self) -> bool {
        self.beneath.folds_case()
    }

    /// Removes the record of this restore. All files must be finished or dropped.
    pub fn end(&self) {
        self.beneath.end();
    }

    /// Returns a cursor, with which one thread writes.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor::new(Arc::clone(&self.beneath))
    }
}

/// The user whose rights this process has.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// True when this process may give files to others.
pub(crate) fn may_set_owner() -> bool {
    rustix::process::geteuid().is_root()
}
