//! Errors of the catalogue.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use uuid::Uuid;

/// A result of this module.
pub type Result<T, E = CatalogueError> = std::result::Result<T, E>;

/// Why an operation failed, and what the caller can do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The system failed.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// The action that failed.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The catalogue was changed or truncated. The backups themselves are not affected.
    #[error("the catalogue {} is damaged: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        why: String,
    },
    /// A newer version of this program wrote the catalogue. Use that version.
    #[error("the catalogue {} has format {version}, which this version does not know: use a newer one", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// Another process holds the lock of the catalogue.
    #[error("the catalogue {} is in use by another process: try again", .0.display())]
    Busy(PathBuf),
    /// No backup has this id.
    #[error("there is no backup '{0}' in the catalogue: `list` shows all")]
    NotFound(String),
    /// Several backups have ids that begin with the prefix.
    #[error("{} backups begin with '{prefix}', {} and {} among them: give more of the id", .ids.len(), .ids[0], .ids[1])]
    Several {
        /// The prefix.
        prefix: String,
        /// The ids, at least two.
        ids: Vec<Uuid>,
    },
    /// The backup was deleted.
    #[error("backup {0} was deleted")]
    Deleted(Uuid),
    /// The id is taken.
    #[error("there is a backup {0} in the catalogue already")]
    Exists(Uuid),
    /// An address contains a user or password, which the catalogue would make readable for others.
    #[error("'{0}' is not recorded because it has a user or password in it: give keys as keys")]
    SecretInPlace(&'static str),
}

/// A problem that does not prevent the use of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Warning {
    /// A line of the original tool's file was left out.
    #[error("{}, line {line}: {why}; the line is left out", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The problem.
        why: &'static str,
    },
    /// The original tool's file does not match its checksum file.
    #[error("{} does not match its .sha256: it was changed by hand, or not written to its end", .0.display())]
    Checksum(PathBuf),
    /// The original tool's file could not be read.
    #[error("{} cannot be read: {why}; its backups are not listed", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}
