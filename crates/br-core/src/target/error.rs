//! What can go wrong with a target.

use std::io;
use std::path::PathBuf;

use crate::model::EntryPath;

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The folder to restore into is a symbolic link: a user who can change the link decides where the restore goes.
    #[error("`{}` is a symbolic link: name the folder that it leads to", .0.display())]
    RootIsLink(PathBuf),
    /// The folder to restore into is something else.
    #[error("`{}` is not a folder", .0.display())]
    RootIsNoFolder(PathBuf),
    /// The folder to restore into does not exist, or cannot be made or opened.
    #[error("cannot open `{}`", path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One entry could not be written, looked at or removed. Others can.
    #[error("cannot {operation} `{path}`")]
    Entry {
        /// The entry's path.
        path: EntryPath,
        /// What was tried, as words that follow "cannot".
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl TargetError {
    /// True when something else has the name that was to be given, and stays.
    pub(crate) fn is_taken(&self) -> bool {
        let taken = io::ErrorKind::AlreadyExists;
        matches!(self, Self::Entry { source, .. } if source.kind() == taken)
    }

    /// True when there is nothing at the path: something on it is missing or is no folder.
    pub(crate) fn leads_nowhere(&self) -> bool {
        matches!(self, Self::Entry { source, .. } if super::unix::is_no_folder(source))
    }

    /// Says which entry an operation failed for.
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
