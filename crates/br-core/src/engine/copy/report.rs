//! The result of a copy.
//!
//! [`CopyReport`] names the backups that were copied, and those that were not, with the reason. [`RepairReport`] says what a repair stored again.

use serde::Serialize;

use crate::model::{Backup, BackupId, EntryPath};

/// The result of a copy.
#[derive(Debug, Clone, Default, Serialize)]
#[must_use = "it says whether everything was copied"]
#[non_exhaustive]
pub struct CopyReport {
    /// The backups that were copied, in the order of their commits. In a dry run those that would be copied.
    pub copied: Vec<CopiedBackup>,
    /// Selected backups of the source that the target has already.
    pub present: Vec<BackupId>,
    /// Selected backups that were not copied because they were in the target earlier and deleted there. A backup that is selected by its
    /// id is copied anyway.
    pub deleted: Vec<Backup>,
    /// Selected backups that were not copied because their data is damaged in the source.
    pub damaged: Vec<DamagedBackup>,
    /// With [`CopyOptions::catch_up`](super::CopyOptions::catch_up): the backups of the target that the source missed. A copy in the other
    /// direction with [`CopyOptions::missed`](super::CopyOptions::missed) brings them.
    pub source_missed: Vec<BackupId>,
    /// Bytes read from the source: packs of data, as they are stored.
    pub bytes_read: u64,
    /// Bytes of chunks that the target did not have, before compression.
    pub bytes_added: u64,
    /// Bytes of packs that were written to the target.
    pub bytes_stored: u64,
    /// Packs of an interrupted run that are in the target.
    pub packs_resumed: u64,
    /// True when nothing was stored.
    pub dry_run: bool,
}

/// A backup that was copied.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CopiedBackup {
    /// Its id in the source.
    pub source: BackupId,
    /// The backup as it is in the target; in a dry run as it is in the source.
    pub backup: Backup,
    /// Bytes of chunks of file content that neither the target nor an earlier backup of this copy has, before compression.
    pub bytes_new: u64,
    /// The same as stored in the source.
    pub bytes_to_read: u64,
}

/// A backup with damaged data.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DamagedBackup {
    /// The backup as it is in the source.
    pub backup: Backup,
    /// Number of entries whose data cannot be read.
    pub entries: u64,
    /// The first of them.
    pub first: Vec<DamagedEntry>,
}

/// An entry whose data cannot be read.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DamagedEntry {
    /// Its path in the backup; if a tree node is damaged, the path of its first entry.
    pub path: EntryPath,
    /// Why.
    pub reason: String,
}

/// The result of a repair from another repository.
#[derive(Debug, Clone, Default, Serialize)]
#[must_use = "it says what could not be repaired"]
#[non_exhaustive]
pub struct RepairReport {
    /// Number of backups that both repositories have.
    pub compared: u64,
    /// Backups that the other repository does not have.
    pub missing: Vec<BackupId>,
    /// Backups with data that is damaged in the other repository, too. The backups are those of the other repository.
    pub damaged: Vec<DamagedBackup>,
    /// Bytes read from the other repository: packs of data, as they are stored.
    pub bytes_read: u64,
    /// Bytes of chunks that were stored again, before compression.
    pub bytes_added: u64,
    /// Bytes of packs that were written.
    pub bytes_stored: u64,
}

impl CopyReport {
    /// True when every selected backup is in the target, or was deleted there.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.damaged.is_empty()
    }
}
