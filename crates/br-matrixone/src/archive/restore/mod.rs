//! Restoring a backup: its files into the folders that a MatrixOne starts from.
//!
//! A [`RestoreTarget`] is where to, a [`RestorePlan`] names what goes where and all that is missing, before anything is written;
//! [`RestorePlan::execute`] copies and gives a [`RestoreReport`]. Invariant: a file in the target is whole and has the digest that was written
//! down, or is not there; `hk_data`, without which no cluster starts from the folders, comes last.
//!
//! A restore that was interrupted leaves a mark `.br-restore`, and the next one of the same backup goes on: it reads what is there and keeps
//! what is right. A target that holds anything else is refused.

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

/// How to restore.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// How many files at once. More than there are processors helps when the archive or the target is far away.
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

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// All files of the backup, `hk_data` among them.
    pub files: u64,
    /// Their bytes of content.
    pub bytes: u64,
    /// How many of the files were there already, from a restore that was interrupted.
    pub kept: u64,
    /// How many were put into frames or taken out of them.
    pub reframed: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Files that have no digest anywhere: their sizes, frames and headers were right.
    pub unproven: u64,
}
