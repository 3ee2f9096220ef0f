//! Backups that no rule may remove.

use super::KeepReason;
use super::rules::Kept;
use crate::model::Backup;

/// The newest backup, the newest complete and the newest proven one, and pinned ones.
pub(super) fn protected(backups: &[&Backup]) -> Vec<Kept> {
    let newest = |fits: fn(&Backup) -> bool, reason: KeepReason| {
        let at = backups.iter().rposition(|backup| fits(backup));
        at.map(|at| (at, reason))
    };
    let mut kept = Vec::new();
    kept.extend(newest(|_| true, KeepReason::Newest));
    kept.extend(newest(Backup::is_intact, KeepReason::LastComplete));
    kept.extend(newest(
        |backup| backup.proven.is_some(),
        KeepReason::LastProven,
    ));
    for (at, backup) in backups.iter().enumerate() {
        if backup.pinned {
            kept.push((at, KeepReason::Pinned));
        }
    }
    kept
}

/// The newest complete backups that are missing for the minimum. Only those at the positions `dated` count.
pub(super) fn fill_up(
    backups: &[&Backup],
    dated: &[usize],
    is_kept: &[bool],
    minimum: u32,
) -> Vec<Kept> {
    let complete = || {
        let all = dated.iter().rev().map(|at| (*at, backups[*at]));
        all.filter(|(_, backup)| backup.is_intact())
    };
    let there = complete().filter(|(at, _)| is_kept[*at]).count();
    let lacking = (minimum as usize).saturating_sub(there);
    let more = complete().filter(|(at, _)| !is_kept[*at]).take(lacking);
    more.map(|(at, _)| (at, KeepReason::Minimum)).collect()
}
