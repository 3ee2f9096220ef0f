//! Copies of MatrixOne backups in a repository.
//!
//! [`ArchiveSource`] reads an archive for a backup, [`keep`] copies an archive into a repository, and
//! [`copies`] lists the copies in a repository. Invariant: a copy holds the files of one backup below the
//! folder that the backup has in the archive root, so that a restore gives an archive again.

mod copies;
mod keep;
mod source;

pub use copies::copies;
pub use keep::{KeepError, KeepOptions, keep};
pub use source::ArchiveSource;

/// The tag of copies of MatrixOne backups.
pub const TAG: &str = "matrixone";
