//! Takes back condemned packs that are in the store again.
//!
//! A repair condemns packs that are missing. If they were only away, for example because a disk was not mounted, their data is copied into new
//! packs. Invariant: a pack that was condemned is never used again, because a prune may delete it at any time.

use std::collections::HashSet;

use super::CheckReport;
use crate::engine::relocate::relocate;
use crate::error::Result;
use crate::format::LogEntry;
use crate::model::{PackId, References};
use crate::repository::{
    Append, Index, IndexSegment, Io, Layout, LogPosition, MAX_RACES, SegmentPlan, StoredPack,
    conflict, find_packs,
};

/// Copies what backups need and what is in no other pack.
pub(super) fn packs(io: &Io, report: &mut CheckReport) -> Result<()> {
    for _ in 0..MAX_RACES {
        let mut position = LogPosition::read(io)?;
        let condemned = &position.state.condemned;
        if condemned.is_empty() {
            return Ok(());
        }
        let (there, _) = find_packs(io, |id| condemned.contains(&id))?;
        let mut index = Index::read(io, &position.state)?;
        let wanted = needed(io, &position, &index, &there)?;
        if wanted.is_empty() {
            return Ok(());
        }
        index.push(IndexSegment::from_packs(&there));
        let moved = match relocate(io, index, &wanted) {
            Ok(moved) => moved,
            // A prune deleted one of them, or it is damaged. Then the check names what is lost.
            Err(error) if error.is_damage() => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut plan = SegmentPlan::new(io, &position.state);
        plan.add_packs(&moved.packs);
        plan.add_moves(moved.moves);
        let segments = plan.write()?;
        let entry = LogEntry::index(segments.added, segments.removed);
        if let Append::Done = position.append(io, entry)? {
            let keys = wanted.iter().map(|(pack, _)| Layout::pack(*pack));
            let text = |key| format!("{key} is there again: its data was copied into a new pack");
            report.repaired.extend(keys.map(text));
            return Ok(());
        }
    }
    Err(conflict())
}

/// The slots of these packs that backups use, without packs whose chunks are all in others.
fn needed(
    io: &Io,
    position: &LogPosition,
    index: &Index,
    packs: &[StoredPack],
) -> Result<References> {
    let ids: HashSet<PackId> = packs.iter().map(|pack| pack.entry.id).collect();
    let mut used = References::default();
    for backup in position.state.backups.values() {
        io.check_cancelled()?;
        let own = match io.read_references(backup.id) {
            Ok(own) => own,
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        for (pack, slots) in own.iter().filter(|(pack, _)| ids.contains(pack)) {
            used.insert_slots(*pack, slots);
        }
    }
    for pack in packs {
        let lacks = |slot: u32| {
            let id = pack.ids.get(slot as usize);
            id.is_some_and(|id| !index.find_all(id).any(|location| index.is_sound(&location)))
        };
        let id: PackId = pack.entry.id;
        if !used.get(&id).is_some_and(|slots| slots.iter().any(lacks)) {
            let _ = used.remove(&id);
        }
    }
    Ok(used)
}
