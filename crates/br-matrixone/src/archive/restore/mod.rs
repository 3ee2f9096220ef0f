//! Restore of a backup: copies its files into the folders from which MatrixOne starts.
//!
//! A [`RestoreTarget`] is the destination, a [`RestorePlan`] lists source and destination of every file, and all missing files, before
//! anything is written; [`RestorePlan::execute`] copies them and returns a [`RestoreReport`]. Invariant: a file in the target is complete
//! and has the recorded digest, or does not exist; `hk_data`, without which no cluster starts from the folders, is written last.
//!
//! An interrupted restore leaves a marker `.br-restore`, and the next restore of the same backup continues: it reads the existing files and
//! keeps the correct ones. A target with any other content is refused.

mod execute;
mod inspect;
mod plan;
mod target;
mod tn_config;

use std::num::NonZeroUsize;

use super::parallel::default_threads;

pub use plan::{PlannedFile, RestorePlan};
pub use target::RestoreTarget;
pub use tn_config::{Backend, FileService, TnConfig};

/// Options of a restore.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Number of files that are copied at once. More than the number of processors helps if the archive or the target is remote.
    pub threads: NonZeroUsize,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            threads: default_threads(),
        }
    }
}

impl RestoreOptions {
    /// Sets how many files are copied at once.
    #[must_use]
    pub const fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }
}

/// The result of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// All files of the backup, including `hk_data`.
    pub files: u64,
    /// Their bytes of content.
    pub bytes: u64,
    /// Number of files that already existed from an interrupted restore.
    pub kept: u64,
    /// Number of files whose framing changed.
    pub reframed: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Files for which no digest is recorded: their sizes, frames and headers were right.
    pub unproven: u64,
}
