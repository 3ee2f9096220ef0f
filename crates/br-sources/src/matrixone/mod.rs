//! Backups of MatrixOne in a repository.
//!
//! [`ArchiveSource`] is an archive to back up, [`keep`] copies one into a repository, [`copies`] lists the copies that a repository has.
//! Invariant: a copy holds the files of one backup under the folder that the backup has below the archive's root, so that a restore
//! gives an archive again.

mod copies;
mod keep;
mod source;

pub use copies::copies;
pub use keep::{KeepError, KeepOptions, keep};
pub use source::ArchiveSource;

/// The tag of copies of MatrixOne's backups.
pub const TAG: &str = "matrixone";
