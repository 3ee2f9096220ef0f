//! Options of a copy. Invariant: invalid values are refused before anything is read.

use crate::engine::backup::check_work;
use crate::error::Result;
use crate::model::BackupId;
use crate::repository::{BackupFilter, BackupSelector};

/// Options of a copy. The default copies all backups that the target lacks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CopyOptions {
    /// The backups of the source to copy; empty: all that match the filter.
    pub backups: Vec<BackupSelector>,
    /// Which backups count if none is selected.
    pub filter: BackupFilter,
    /// Also copy the backups of the same host, paths and tags that the target missed before the selected ones: those after the newest one of
    /// them that it has. If the target has no other backups, those that were made since it was created.
    pub catch_up: bool,
    /// Besides the selected backups, copy these of the source if the target never had them: those that a copy in the other direction reported as
    /// [`source_missed`](super::CopyReport::source_missed).
    pub missed: Vec<BackupId>,
    /// Compression level of zstd, 1 to 19, for data that cannot be stored as it was compressed in the source.
    pub level: i32,
    /// Number of worker threads; `None` means one per core.
    pub threads: Option<usize>,
    /// Read the target's data before relying on it. Damaged data is stored again and recorded.
    pub verify_known: bool,
    /// Find out what would be copied, and store nothing.
    pub dry_run: bool,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            backups: Vec::new(),
            filter: BackupFilter::default(),
            catch_up: false,
            missed: Vec::new(),
            level: 3,
            threads: None,
            verify_known: false,
            dry_run: false,
        }
    }
}

impl CopyOptions {
    /// Sets the backups to copy.
    #[must_use]
    pub fn with_backups(mut self, backups: impl IntoIterator<Item: Into<BackupSelector>>) -> Self {
        self.backups = backups.into_iter().map(Into::into).collect();
        self
    }

    /// Limits the copy to the backups that match.
    #[must_use]
    pub fn with_filter(mut self, filter: BackupFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets whether the copy includes backups that earlier copies missed.
    #[must_use]
    pub const fn with_catch_up(mut self, catch_up: bool) -> Self {
        self.catch_up = catch_up;
        self
    }

    /// Sets the backups that a copy in the other direction found to be missing in the target.
    #[must_use]
    pub fn with_missed(mut self, missed: Vec<BackupId>) -> Self {
        self.missed = missed;
        self
    }

    /// Sets the compression level of zstd, from 1 to 19.
    #[must_use]
    pub const fn with_level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Sets the number of worker threads.
    #[must_use]
    pub const fn with_threads(mut self, threads: Option<usize>) -> Self {
        self.threads = threads;
        self
    }

    /// Sets whether the target's data is read before the copy relies on it.
    #[must_use]
    pub const fn with_verify_known(mut self, verify: bool) -> Self {
        self.verify_known = verify;
        self
    }

    /// Sets whether this is a dry run.
    #[must_use]
    pub const fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Refuses invalid values.
    pub(super) fn check(&self) -> Result<()> {
        check_work("a copy", self.level, self.threads)
    }
}
