//! Reports of operations that left something out, as errors.
//!
//! [`Incomplete`] has the report. Invariant: the error undoes nothing. The backup exists, and the restored entries stay.

use std::fmt;

use super::backup::BackupReport;
use super::restore::RestoreReport;

/// The operation finished, but left something out. The report says what.
#[derive(Debug, Clone)]
pub struct Incomplete<R> {
    report: Box<R>,
    message: String,
}

impl<R> Incomplete<R> {
    /// The report of the operation.
    #[must_use]
    pub fn report(&self) -> &R {
        &self.report
    }

    /// The report of the operation.
    #[must_use]
    pub fn into_report(self) -> R {
        *self.report
    }
}

impl<R> fmt::Display for Incomplete<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<R: fmt::Debug> std::error::Error for Incomplete<R> {}

impl BackupReport {
    /// The report, if every entry of the source is in the backup with all its metadata
    /// ([`Backup::is_complete`](crate::model::Backup::is_complete)).
    ///
    /// # Errors
    /// When something is missing. The backup exists nevertheless.
    pub fn into_complete(self) -> Result<Self, Incomplete<Self>> {
        if self.backup.is_complete() {
            return Ok(self);
        }
        let count = self.backup.unread_count;
        Err(Incomplete {
            message: format!("the backup lacks {count} entries or parts of their metadata"),
            report: Box::new(self),
        })
    }
}

impl RestoreReport {
    /// The report, if every entry was restored. Attributes that the target refused do not count as failures.
    ///
    /// # Errors
    /// When an entry was not restored. The other entries were restored.
    pub fn into_complete(self) -> Result<Self, Incomplete<Self>> {
        if self.failed_count == 0 {
            return Ok(self);
        }
        Err(Incomplete {
            message: format!("{} entries were not restored", self.failed_count),
            report: Box::new(self),
        })
    }
}
