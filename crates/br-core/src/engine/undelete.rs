//! Undeletes backups.
//!
//! [`candidates`] lists them, [`undelete`] brings some back. Invariant: a backup comes back only if all its data exists: no log entry since
//! its deletion condemned data, or the packs that it needs are not condemned.

use std::sync::Arc;

use jiff::Timestamp;

use super::delete::append_delete;
use super::deleted::{can_come_back, read_history, recoverable};
use super::references::ReferenceFinder;
use crate::error::{Error, ErrorKind, Result};
use crate::format::LogEntry;
use crate::model::{Backup, BackupId};
use crate::progress::Context;
use crate::repository::{
    Append, BackupSelector, Backups, ChunkReader, DeletedBackup, History, Index, Io, MAX_RACES,
    Repository, State, conflict,
};

/// A deleted backup that can come back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Candidate {
    /// The backup, as it was when it was deleted.
    pub backup: Backup,
    /// When it was deleted.
    pub deleted: Timestamp,
}

/// Lists the deleted backups that can come back, in the order of their deletion: those deleted since the last prune, and those whose data the
/// prunes kept ([`PruneOptions::keep_deleted`](super::prune::PruneOptions::keep_deleted)). Reads the whole log.
///
/// # Errors
/// When the log cannot be read, or an entry of it is missing or damaged.
pub async fn candidates(repository: &Repository, context: &Context) -> Result<Vec<Candidate>> {
    let work = |io: &Io| {
        let (position, history) = read_history(io)?;
        let deleted = recoverable(io, &position, history)?.into_iter();
        let candidate = |one: DeletedBackup| Candidate {
            backup: one.backup,
            deleted: one.deleted,
        };
        Ok(deleted.map(candidate).collect())
    };
    repository.run(context, work).await
}

/// Brings deleted backups back, at their old place in the order of backups. Returns them. A backup that exists is not an
/// error: nothing changes then.
///
/// # Errors
/// [`ErrorKind::BackupNotFound`] when a selector names no backup that can come back: then nothing changes. When the log cannot be read or
/// added to.
pub async fn undelete(
    repository: &Repository,
    selectors: impl IntoIterator<Item: Into<BackupSelector>>,
    context: &Context,
) -> Result<Vec<Backup>> {
    repository.check_writable(context)?;
    let selectors: Vec<BackupSelector> = selectors.into_iter().map(Into::into).collect();
    let work = move |io: &Io| {
        let (_, history) = read_history(io)?;
        let ids = find(&history, &selectors)?;
        ids.into_iter().map(|id| append(io, id)).collect()
    };
    repository.run(context, work).await
}

fn find(history: &History, selectors: &[BackupSelector]) -> Result<Vec<BackupId>> {
    // A backup that exists is a result, too: the caller, or another process, brought it back before.
    let deleted = history
        .recoverable
        .iter()
        .map(|one| Arc::new(one.backup.clone()));
    let live = history.state.backups.shared().cloned();
    let all = State {
        backups: live.chain(deleted).collect::<Backups>(),
        ..State::default()
    };
    let mut ids = Vec::new();
    for selector in selectors {
        let backup = all.find(selector).map_err(|error| match error.kind() {
            ErrorKind::BackupNotFound | ErrorKind::NoBackup => {
                let message = format!(
                    "no deleted backup `{selector}` can come back: there was none, or a prune has removed it"
                );
                Error::new(ErrorKind::BackupNotFound, message)
            }
            _ => error,
        })?;
        if !ids.contains(&backup.id) {
            ids.push(backup.id);
        }
    }
    Ok(ids)
}

fn append(io: &Io, id: BackupId) -> Result<Backup> {
    for _ in 0..MAX_RACES {
        let (mut position, history) = read_history(io)?;
        if let Some(backup) = history.state.backups.get(&id) {
            return Ok(backup.clone());
        }
        let deleted = history.recoverable.iter().find(|one| one.backup.id == id);
        let Some(deleted) = deleted else {
            return Err(pruned(id));
        };
        if deleted.condemned {
            let index = Arc::new(Index::read(io, &position.state)?);
            let reader = Arc::new(ChunkReader::new(io, index));
            if !can_come_back(io, &ReferenceFinder::new(&reader), &deleted.backup)? {
                // A prune may have changed the index since the log was read.
                if position.refresh(io)?.is_empty() {
                    return Err(pruned(id));
                }
                continue;
            }
            if !position.state.condemned.is_empty() {
                // A prune that has not finished may still delete the manifest.
                let message = "a prune is running, or was interrupted: run the command again when `br prune` has finished";
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
        let manifest = match io.read_manifest(id) {
            Ok((manifest, _)) => manifest,
            // A prune may have deleted it since the log was read.
            Err(error) if error.is_damage() && !position.refresh(io)?.is_empty() => continue,
            Err(error) => return Err(error),
        };
        if manifest.id != id {
            return Err(Error::damaged(format!(
                "the manifest of {id} is of another backup"
            )));
        }
        let entry = LogEntry::bring_back(&deleted.backup, history.predecessor(id));
        if let Append::Done = position.append(io, entry)? {
            return match io.read_manifest(id) {
                Err(error) if error.is_damage() => Err(take_back(io, id)),
                _ => Ok(deleted.backup.clone()),
            };
        }
    }
    Err(conflict())
}

/// Deletes a backup again if its manifest disappeared during its commit: a prune on a full disk without a reserve deletes such manifests.
fn take_back(io: &Io, id: BackupId) -> Error {
    let deleted = append_delete(io, |state| {
        let is_live = state.backups.contains_key(&id);
        Ok(is_live.then_some(id).into_iter().collect())
    });
    deleted.err().unwrap_or_else(|| pruned(id))
}

fn pruned(id: BackupId) -> Error {
    let message = format!("backup {id} cannot come back: a prune has removed it");
    Error::new(ErrorKind::BackupNotFound, message)
}
