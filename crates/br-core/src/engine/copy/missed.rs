//! Backups that one of two repositories did not get from the other, because a copy failed.
//!
//! Invariant: only backups of the same host, paths and tags count, and only those after the newest one that both repositories have. So a repository that
//! gets its first copy does not get the whole history with it.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::model::retention::GroupBy;
use crate::model::{Backup, BackupId};
use crate::repository::State;

/// The backups of `from` that `to` missed: those of the same host, paths and tags before each backup of `ends`, and after the newest one that `to` has. If
/// `to` has no other backup at all, those that were finished after it was created; if it has only backups that `from` lacks, those that were finished
/// after the newest of them.
pub(super) fn find(
    from: &State,
    to: &State,
    created: Timestamp,
    ends: &[Backup],
) -> HashSet<BackupId> {
    let originals = ends.iter().map(Backup::original_id);
    let originals: HashSet<BackupId> = originals.collect();
    let there = to.backups.values().map(Backup::original_id);
    let there: HashSet<BackupId> = there.filter(|id| !originals.contains(id)).collect();
    // A backup with other tags may be meant for one repository only.
    let group_by = GroupBy {
        tags: true,
        ..GroupBy::default()
    };
    let mut missed = HashSet::new();
    for end in ends {
        let group = group_by.key(end);
        let before = from.backups.values();
        let before = before.take_while(|backup| backup.original_id() != end.original_id());
        let alike = before.filter(|backup| {
            !originals.contains(&backup.original_id()) && group_by.key(backup) == group
        });
        let alike: Vec<&Backup> = alike.collect();
        let known = |backup: &&Backup| there.contains(&backup.original_id());
        let after = match alike.iter().rposition(known) {
            Some(at) => &alike[at + 1..],
            None if there.is_empty() => &alike[..],
            // Retention deleted the ones that both had.
            None => since_newest(to, |backup| group_by.key(backup) == group, &alike),
        };
        let is_young = |backup: &&&Backup| !there.is_empty() || backup.finished > created;
        missed.extend(after.iter().filter(is_young).map(|backup| backup.id));
    }
    missed
}

/// Of these backups, those that were finished after the newest one of the group in `to`; none if `to` has no such backup.
fn since_newest<'a, 'b>(
    to: &State,
    is_alike: impl Fn(&Backup) -> bool,
    backups: &'b [&'a Backup],
) -> &'b [&'a Backup] {
    let there = to.backups.values().filter(|backup| is_alike(backup));
    let Some(newest) = there.map(|backup| backup.finished).max() else {
        return &[];
    };
    let first = backups.iter().position(|backup| backup.finished > newest);
    first.map_or(&[], |first| &backups[first..])
}
