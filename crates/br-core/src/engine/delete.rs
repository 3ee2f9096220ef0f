//! Removes backups from the backup list.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::format::LogEntry;
use crate::model::retention::GroupBy;
use crate::model::{Backup, BackupId};
use crate::progress::Context;
use crate::repository::{
    Append, BackupSelector, Io, LogPosition, MAX_COMMIT_RACES, Repository, State, conflict,
};

/// The backups that [`delete`] removes. [`plan`] creates it.
#[derive(Debug, Clone, Serialize)]
#[must_use = "a plan deletes nothing by itself"]
#[non_exhaustive]
pub struct DeletePlan {
    /// The backups, each once, in the order they were named.
    pub backups: Vec<Backup>,
    /// Those of them that are the last complete backup of their host and paths: the deletion leaves only incomplete ones there.
    pub last_complete: Vec<BackupId>,
}

/// Finds the selected backups, without deleting anything.
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
    let group = |backup: &Backup| GroupBy::default().key(backup);
    let is_going = |backup: &&Backup| going.iter().any(|other| other.id == backup.id);
    let leaves_incomplete = |backup: &&Backup| {
        let wanted = group(backup);
        let mut left = state.backups.values().filter(|other| !is_going(other));
        let mut is_left = false;
        let is_last = left.all(|other| {
            let is_alike = group(other) == wanted;
            is_left |= is_alike;
            !is_alike || !other.is_intact()
        });
        is_last && is_left
    };
    let complete = going.iter().filter(|backup| backup.is_intact());
    let last = complete.filter(leaves_incomplete);
    last.map(|backup| backup.id).collect()
}

/// Removes the backups of a plan from the backup list. Their data stays until `prune`, and no other backup depends on them.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when one of them is pinned. When the log cannot be read or added to.
pub async fn delete(repository: &Repository, plan: &DeletePlan, context: &Context) -> Result<()> {
    repository.check_writable(context)?;
    let ids: Vec<_> = plan.backups.iter().map(|backup| backup.id).collect();
    let work = move |io: &Io| {
        // Another process may have deleted some of them meanwhile: the result is the same.
        let choose = |state: &State| {
            let live = ids.iter().filter_map(|id| state.backups.get(id));
            let live: Vec<&Backup> = live.collect();
            refuse_pinned(&live)?;
            Ok(live.into_iter().map(|backup| backup.id).collect())
        };
        append_delete(io, choose).map(drop)
    };
    repository.run(context, work).await
}

fn refuse_pinned(backups: &[&Backup]) -> Result<()> {
    match backups.iter().find(|backup| backup.pinned) {
        Some(backup) => Err(Error::invalid(format!(
            "backup {} is pinned: nothing was deleted",
            backup.id
        ))),
        None => Ok(()),
    }
}

/// Appends an entry that deletes the chosen backups. If other processes append first, it chooses again. Returns the deleted ones.
pub(super) fn append_delete(
    io: &Io,
    mut choose: impl FnMut(&State) -> Result<Vec<BackupId>>,
) -> Result<Vec<BackupId>> {
    let mut position = LogPosition::read(io)?;
    for _ in 0..MAX_COMMIT_RACES {
        let backups = choose(&position.state)?;
        if backups.is_empty() {
            return Ok(backups);
        }
        // A deletion must be possible on a full disk, because it lets a prune free space.
        let entry = LogEntry::Delete {
            backups: backups.clone(),
        };
        if let Append::Done = position.append_on_full_disk(io, &entry)? {
            return Ok(backups);
        }
    }
    Err(conflict())
}
