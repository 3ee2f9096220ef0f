//! Errors of a target.

use std::io;
use std::path::PathBuf;

use crate::model::EntryPath;

/// Why the target could not be opened, or an entry could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The folder to restore into is a symbolic link. Not followed: a user who can change the link would decide where the restore writes.
    #[error("`{}` is a symbolic link: name the folder that it leads to", .0.display())]
    RootIsLink(PathBuf),
    /// The folder to restore into is not a folder.
    #[error("`{}` is not a folder", .0.display())]
    RootIsNoFolder(PathBuf),
    /// The folder to restore into does not exist, or cannot be created or opened.
    #[error("cannot open `{}`", path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// One entry could not be written, examined or removed. Other entries are not affected.
    #[error("cannot {operation} `{path}`")]
    Entry {
        /// The entry's path.
        path: EntryPath,
        /// The operation, as words that follow "cannot".
        operation: &'static str,
        /// The cause.
        source: io::Error,
    },
}

impl TargetError {
    /// True when another entry already has the requested name and was kept.
    pub(crate) fn is_taken(&self) -> bool {
        let taken = io::ErrorKind::AlreadyExists;
        matches!(self, Self::Entry { source, .. } if source.kind() == taken)
    }

    /// True when nothing exists at the path: a part of it is missing or is not a folder.
    pub(crate) fn leads_nowhere(&self) -> bool {
        matches!(self, Self::Entry { source, .. } if super::unix::is_no_folder(source))
    }

    /// Adds the entry's path and the operation to an I/O error.
    pub(super) fn entry(
        path: &EntryPath,
        operation: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Entry {
            path: path.clone(),
            operation,
            source,
        }
    }
}
