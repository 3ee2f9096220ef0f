//! The state of a repository at one moment, which all reading operations start from.

use std::sync::Arc;

use super::feed::FeedSender;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Backup, Entry, EntryKind, EntryPath};
use crate::repository::{BackupSelector, ChunkReader, Gap, Index, Io, LogPosition, TreeReader};
use crate::warning::Warning;

/// The log and the index, read once.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) position: LogPosition,
    pub(crate) reader: Arc<ChunkReader>,
    /// Why the log could not be read. In that case, the backup list comes from the manifests.
    pub(crate) log_damage: Option<Error>,
}

impl View {
    pub(crate) fn open(io: &Io) -> Result<Self> {
        let (mut position, log_damage) = LogPosition::read_or_rebuild(io)?;
        let index = Index::read_newest(io, &mut position)?;
        for (id, reason) in &index.damaged {
            io.warn(&Warning::SegmentRebuilt {
                segment: *id,
                reason: reason.clone(),
            });
        }
        let reader = Arc::new(ChunkReader::new(io, Arc::new(index)));
        Ok(Self {
            position,
            reader,
            log_damage,
        })
    }

    /// The backup that a selector selects.
    pub(super) fn backup(&self, selector: &BackupSelector) -> Result<BackupView> {
        Ok(BackupView {
            backup: self.position.state.find(selector)?.clone(),
            reader: Arc::clone(&self.reader),
        })
    }
}

/// One backup of a [`View`], with access to its entries.
#[derive(Debug, Clone)]
pub(super) struct BackupView {
    pub(super) backup: Backup,
    pub(super) reader: Arc<ChunkReader>,
}

impl BackupView {
    /// The backup as the repository has it now.
    pub(super) fn open(io: &Io, selector: &BackupSelector) -> Result<Self> {
        View::open(io)?.backup(selector)
    }

    /// All entries, or those at and below `paths` with the folders that lead there.
    pub(super) fn entries(&self, paths: Vec<EntryPath>) -> TreeReader {
        TreeReader::new(&self.reader, &self.backup).select(paths)
    }

    /// True when the backup has an entry at a path, or below it: a stream stored as `db/dump.sql` has no entry `db`.
    pub(super) fn has(&self, path: &EntryPath) -> Result<bool, Gap> {
        for entry in self.entries(vec![path.clone()]).near() {
            if entry?.path.is_within(path) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The entry at a path.
    pub(super) fn stat(&self, path: &EntryPath) -> Result<Entry> {
        let entries = self.entries(vec![path.clone()]).near();
        // The entries below the path are not needed.
        for entry in entries.down_to(path.parts().count()) {
            let entry = entry.map_err(|gap| gap.error)?;
            if entry.path == *path {
                return Ok(entry);
            }
        }
        Err(no_such_path(&self.backup, path))
    }

    /// The entry at a path, which must be a file.
    pub(super) fn file(&self, path: &EntryPath) -> Result<Entry> {
        let entry = self.stat(path)?;
        match &entry.kind {
            EntryKind::File(_) => Ok(entry),
            other => {
                let what = other.name();
                Err(Error::invalid(format!("`{path}` is a {what}, not a file")))
            }
        }
    }

    /// Sends all entries with at most `max_parts` parts, or those at and below `paths` with the folders that lead there.
    pub(super) fn list(
        &self,
        paths: Vec<EntryPath>,
        max_parts: usize,
        out: &mut FeedSender<Entry>,
    ) -> Result<()> {
        for path in &paths {
            if !self.has(path).map_err(|gap| gap.error)? {
                return Err(no_such_path(&self.backup, path));
            }
        }
        for entry in self.entries(paths).down_to(max_parts) {
            if !out.put(entry.map_err(|gap| gap.error)?) {
                break;
            }
        }
        Ok(())
    }
}

/// The error for a requested path that a backup does not have.
pub(super) fn no_such_path(backup: &Backup, path: &EntryPath) -> Error {
    let message = format!("the backup {} has no `{path}`", backup.id);
    Error::new(ErrorKind::PathNotFound, message)
}
