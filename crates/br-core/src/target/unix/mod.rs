//! A target on Unix.
//!
//! `folders` opens folders beneath the target, `cursor` holds the operations of one thread, `file` and `shared` make
//! files, `nodes` everything else, `apply` sets metadata, `remove` deletes. Invariant: every system call names one part relative to an open folder,
//! or a path that the system itself keeps beneath one and free of links.

mod apply;
mod cursor;
mod file;
mod folders;
mod nodes;
mod remove;
mod shared;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use cursor::Cursor;
pub use file::NewFile;
pub use nodes::Existing;
pub use shared::SharedFile;

use super::TargetError;
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
                beneath: Arc::new(Beneath::new(folder)),
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

    /// Sets where the names of unfinished files start to count. A number that others cannot guess keeps them from
    /// taking such a name first, which would only slow the restore down.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.beneath.seed(seed);
        self
    }

    /// Returns a cursor, with which one thread writes.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor::new(Arc::clone(&self.beneath))
    }
}

/// True when this process may give files to others.
pub(crate) fn may_set_owner() -> bool {
    rustix::process::geteuid().is_root()
}
