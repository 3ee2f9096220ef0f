//! Taking backups out of the catalog.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::format::LogEntry;
use crate::model::{Backup, BackupId, normal_path};
use crate::progress::Context;
use crate::repository::{
    Append, BackupSelector, Io, LogPosition, MAX_COMMIT_RACES, Repository, State, conflict,
};

/// What [`delete`] takes out of the catalog. Made by [`plan`].
#[derive(Debug, Clone)]
#[must_use = "a plan deletes nothing by itself"]
#[non_exhaustive]
pub struct DeletePlan {
    /// The backups, each once, in the order they were named.
    pub backups: Vec<Backup>,
    /// Those of them that are complete, and after which only incomplete ones of the same host and paths are left.
    pub last_complete: Vec<BackupId>,
}

/// Finds the backups that are meant, without deleting anything.
///
/// # Errors
/// When one of them is unknown or ambiguous.
pub async fn plan(
    repository: &Repository,
    selectors: impl IntoIterator<Item: Into<BackupSelector>>,
    context: &Context,
) -> Result<DeletePlan> {
    let selectors: Vec<BackupSelector> = selectors.into_iter().map(Into::into).collect();
    let work = move |io: &Io| {
        let position = LogPosition::read(io)?;
        let mut backups: Vec<Backup> = Vec::new();
        for selector in &selectors {
            let backup = position.state.find(selector)?;
            if !backups.iter().any(|other| other.id == backup.id) {
                backups.push(backup.clone());
            }
        }
        let last_complete = last_complete(&position.state, &backups);
        Ok(DeletePlan {
            backups,
            last_complete,
        })
    };
    repository.run(context, work).await
}

fn last_complete(state: &State, going: &[Backup]) -> Vec<BackupId> {
    let is_going = |backup: &&Backup| going.iter().any(|other| other.id == backup.id);
    let leaves_incomplete = |backup: &&Backup| {
        let wanted = group(backup);
        let mut left = state.backups.values().filter(|other| !is_going(other));
        let mut is_left = false;
        let is_last = left.all(|other| {
            let is_alike = group(other) == wanted;
            is_left |= is_alike;
            !is_alike || !other.is_complete()
        });
        is_last && is_left
    };
    let complete = going.iter().filter(|backup| backup.is_complete());
    let last = complete.filter(leaves_incomplete);
    last.map(|backup| backup.id).collect()
}

/// What was backed up, whatever the order and the spelling of paths.
fn group(backup: &Backup) -> (&str, BTreeSet<Vec<u8>>) {
    let paths = backup.paths.iter();
    let paths = paths.map(|path| normal_path(path, &backup.folder));
    (&backup.host, paths.collect())
}

/// Takes the backups of a plan out of the catalog. Their data stays until `prune`, and no other backup depends on them.
///
/// # Errors
/// When the log cannot be read or added to.
pub async fn delete(repository: &Repository, plan: &DeletePlan, context: &Context) -> Result<()> {
    repository.check_writable(context)?;
    let ids: Vec<_> = plan.backups.iter().map(|backup| backup.id).collect();
    let work = move |io: &Io| {
        let mut position = LogPosition::read(io)?;
        for _ in 0..MAX_COMMIT_RACES {
            let live = &position.state.backups;
            let backups: Vec<_> = ids
                .iter()
                .copied()
                .filter(|id| live.contains_key(id))
                .collect();
            // Another process may have deleted them meanwhile: that is what was wanted.
            if backups.is_empty() {
                return Ok(());
            }
            // What frees space must be possible on a full disk.
            let entry = LogEntry::Delete { backups };
            if let Append::Done = position.append_on_full_disk(io, &entry)? {
                return Ok(());
            }
        }
        Err(conflict())
    };
    repository.run(context, work).await
}
