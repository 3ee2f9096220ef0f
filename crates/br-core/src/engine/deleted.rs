//! Deleted backups whose data still exists.
//!
//! Invariant: a backup counts as recoverable only if its manifest exists and all its data is in packs that are not condemned.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::references::ReferenceFinder;
use crate::error::{Error, Result};
use crate::model::{Backup, BackupId};
use crate::repository::{
    ChunkReader, DeletedBackup, History, Index, Io, Layout, LogPosition, MAX_RACES, conflict,
};

/// Reads the whole log, and the state after its last entry.
pub(super) fn read_history(io: &Io) -> Result<(LogPosition, History)> {
    for _ in 0..MAX_RACES {
        // This also checks that the log was not rolled back.
        let position = LogPosition::read(io)?;
        let history = History::read_with_deleted(io)?;
        if history.is_broken {
            let message = "the commit log has damaged entries: deleted backups cannot come back";
            return Err(Error::damaged(message));
        }
        // Another process may have appended in between.
        if history.last == position.last() {
            return Ok((position, history));
        }
    }
    Err(conflict())
}

/// The deleted backups that can come back, in the order of their deletion.
pub(super) fn recoverable(
    io: &Io,
    position: &LogPosition,
    history: History,
) -> Result<Vec<DeletedBackup>> {
    let mut deleted = history.recoverable;
    if deleted.iter().any(|one| one.condemned) {
        let index = Arc::new(Index::read(io, &position.state)?);
        let reader = Arc::new(ChunkReader::new(io, index));
        let finder = ReferenceFinder::new(&reader);
        let mut failed = None;
        deleted.retain(|one| {
            !one.condemned
                || can_come_back(io, &finder, &one.backup).unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
        });
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(deleted)
}

/// True if the manifest exists and all data of the backup.
pub(super) fn can_come_back(
    io: &Io,
    finder: &ReferenceFinder<'_>,
    backup: &Backup,
) -> Result<bool> {
    let found = io
        .read_manifest(backup.id)
        .and_then(|(_, own)| finder.has_all_data(backup, own));
    match found {
        Err(error) if error.is_damage() => Ok(false),
        found => found,
    }
}

/// The backups that were deleted within this time. The time of a deletion is the time at which the store got the log entry: the time in the
/// entry comes from the writer's clock, and the writer may be an attacker.
///
/// # Errors
/// When some data of such a backup can be read but counts as unused: a prune that keeps the backup does not condemn its data. After an
/// interrupted prune that kept no deleted backups, only a prune of the same kind continues.
pub(super) fn deleted_within(
    io: &Io,
    position: &LogPosition,
    finder: &ReferenceFinder<'_>,
    time: Duration,
) -> Result<Vec<Backup>> {
    let objects = io.list(Layout::LOG)?;
    let times = objects
        .iter()
        .filter_map(|object| Some((Layout::log_seq(&object.key)?, object.modified)));
    let times: HashMap<u64, SystemTime> = times.collect();
    let (newest, history) = read_history(io)?;
    if newest.last() != position.last() {
        return Err(Error::damaged("the commit log has new entries"));
    }
    let since = io.context.runtime.before(time);
    let mut kept = Vec::new();
    for one in history.recoverable {
        let is_old = times.get(&one.entry).is_some_and(|time| *time < since);
        if is_old {
            continue;
        }
        let id = one.backup.id;
        let manifest = io.read_manifest(id);
        let (_, own) =
            manifest.map_err(|error| explain(id, "its manifest cannot be read", error))?;
        // Lost data is not kept, but the rest of the backup is.
        match finder.has_all_data(&one.backup, own) {
            Ok(_) => kept.push(one.backup),
            Err(error) if error.is_damage() => finder
                .refuse_if_readable(id)
                .map_err(|error| explain(id, "some of its data counts as unused", error))?,
            Err(error) => return Err(error),
        }
    }
    Ok(kept)
}

fn explain(id: BackupId, what: &str, error: Error) -> Error {
    if !error.is_damage() {
        return error;
    }
    let message = format!(
        "backup {id} was deleted recently and is to be kept, but {what}: nothing is pruned. \
         If a prune that keeps no deleted backups was interrupted, run it again"
    );
    Error::damaged(message).with_source(error)
}
