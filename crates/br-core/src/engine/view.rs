//! A repository as it is at one moment: what operations that read start from.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Backup, EntryPath};
use crate::progress::Event;
use crate::repository::{ChunkReader, Gap, Index, Io, LogPosition, TreeReader};

/// The log and the index, read once.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) position: LogPosition,
    pub(crate) reader: Arc<ChunkReader>,
    /// Why the log could not be read; the catalog was found by manifests then.
    pub(crate) log_damage: Option<Error>,
}

impl View {
    pub(crate) fn open(io: &Io) -> Result<Self> {
        let (mut position, log_damage) = LogPosition::read_or_rebuild(io)?;
        let index = Index::read_newest(io, &mut position)?;
        for (id, reason) in &index.damaged {
            let message =
                format!("index segment {id} cannot be read and was rebuilt in memory: {reason}");
            io.context
                .progress
                .event(Event::Warning { message: &message });
        }
        let reader = Arc::new(ChunkReader::new(io, Arc::new(index)));
        Ok(Self {
            position,
            reader,
            log_damage,
        })
    }

    /// True when a backup has an entry at a path, or below it: a stream stored as `db/dump.sql` has no entry `db`.
    pub(crate) fn has(&self, backup: &Backup, path: &EntryPath) -> Result<bool, Gap> {
        let entries = TreeReader::new(&self.reader, backup).select(vec![path.clone()]);
        for entry in entries.near() {
            if entry?.path.is_within(path) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The error for a path that was asked for and that a backup does not have.
pub(super) fn no_such_path(backup: &Backup, path: &EntryPath) -> Error {
    let message = format!("the backup {} has no `{path}`", backup.id);
    Error::new(ErrorKind::PathNotFound, message)
}
