//! Rebuilding what can be rebuilt: the index from packs, the catalog from manifests.

use std::collections::BTreeSet;

use super::{CheckReport, Finding, read_log};
use crate::error::{ErrorKind, Result, in_one_line};
use crate::format::LogEntry;
use crate::model::{BackupId, PackId, SegmentId};
use crate::repository::{
    Append, Io, Layout, LogPosition, SegmentPlan, State, conflict, find_packs, read_segment,
};

/// How often others may be faster before a repair gives up.
const MAX_RACES: u32 = 20;

/// Replaces segments that cannot be read by one made from the footers of the packs.
pub(super) fn index(io: &Io, report: &mut CheckReport) -> Result<()> {
    for _ in 0..MAX_RACES {
        let mut position = read_log(io)?;
        let state = &position.state;
        let mut known = BTreeSet::new();
        let mut damaged = Vec::new();
        for id in &state.segments {
            match read_segment(io, *id) {
                Ok(segment) => known.extend(segment.packs.iter().map(|pack| pack.id)),
                Err(error) if error.kind() == ErrorKind::Damaged => damaged.push(*id),
                Err(error) => return Err(error),
            }
        }
        // Nothing is damaged, and yet a pack may be missing from the index: one whose segment a repair could not use.
        let wanted = |id| !known.contains(&id) && !state.condemned.contains(&id);
        let (found, bad) = find_packs(io, wanted)?;
        for (id, error) in bad {
            report
                .findings
                .push(Finding::damage(Layout::pack(id), in_one_line(&error)));
        }
        if damaged.is_empty() {
            return Ok(());
        }
        let mut plan = SegmentPlan::new(io, state);
        plan.add_packs(&found);
        for id in &damaged {
            plan.drop_segment(*id);
        }
        let segments = plan.write()?;
        let entry = LogEntry::Reindex {
            segments_added: segments.added,
            segments_removed: segments.removed,
        };
        if let Append::Done = position.append(io, entry)? {
            let packs = found.len();
            for id in damaged {
                let key = Layout::segment(id);
                report
                    .repaired
                    .push(format!("{key} was rebuilt from {packs} packs"));
            }
            return Ok(());
        }
    }
    Err(conflict())
}

/// When the log cannot be read: takes every manifest and every segment that is there as live, and continues the log.
///
/// Backups that were deleted and not pruned come back, and so does a backup whose last write failed: both are complete,
/// as manifests are written when all they need is stored.
pub(super) fn log(io: &Io, report: &mut CheckReport) -> Result<()> {
    match read_log(io) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::Damaged => {
            report.repaired.push(format!(
                "the commit log was rebuilt: {}",
                in_one_line(&error)
            ));
        }
        Err(error) => return Err(error),
    }
    let mut state = State::default();
    for object in io.list(Layout::MANIFESTS)? {
        let Some(id) = Layout::id::<BackupId>(&object.key) else {
            continue;
        };
        match io.read_manifest(id) {
            Ok((backup, _)) => {
                state.backups.insert(id, backup.without_unread());
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {
                report
                    .findings
                    .push(Finding::damage(object.key, in_one_line(&error)));
            }
            Err(error) => return Err(error),
        }
    }
    for object in io.list(Layout::INDEX)? {
        state.segments.extend(Layout::id::<SegmentId>(&object.key));
    }
    // A segment may describe packs that a prune deleted: those must not be relied on.
    let present: BTreeSet<PackId> = io
        .list(Layout::PACKS)?
        .iter()
        .filter_map(|object| Layout::id(&object.key))
        .collect();
    for id in &state.segments {
        if let Ok(segment) = read_segment(io, *id) {
            let gone = segment
                .packs
                .iter()
                .map(|pack| pack.id)
                .filter(|id| !present.contains(id));
            state.condemned.extend(gone);
        }
    }
    LogPosition::rebuild(io, state).map(drop)
}
