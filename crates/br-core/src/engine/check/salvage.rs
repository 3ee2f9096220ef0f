//! Replaces packs that have unreadable groups: copies the sound groups into new packs and drops the damaged ones.

use std::collections::{BTreeSet, HashSet};

use roaring::RoaringBitmap;

use super::proof::record_losses;
use super::{CheckReport, ReadData, data};
use crate::engine::relocate::{Relocated, relocate};
use crate::engine::view::View;
use crate::error::{ErrorKind, Result};
use crate::format::{LogEntry, PackEntry};
use crate::model::{PackId, References};
use crate::progress::Event;
use crate::repository::{
    Append, DamagedGroups, Index, Io, Layout, LogPosition, MAX_RACES, SegmentPlan, conflict,
    present_packs, read_segment, remember_damage as remember,
};

/// Reads packs and replaces damaged ones. The chunks of damaged groups then count as missing, and the next backup that finds them at its
/// source stores them again.
pub(super) fn packs(io: &Io, data: ReadData, report: &mut CheckReport) -> Result<()> {
    let replaced = replace(io, data, report);
    // Write the damage that was found to the log: later steps read it from there.
    remember(io);
    replaced
}

fn replace(io: &Io, data: ReadData, report: &mut CheckReport) -> Result<()> {
    let view = View::open(io)?;
    let packs = data::packs(view.reader.index(), None);
    let chosen = data::choose(io, packs, data)?;
    let bytes = chosen.iter().map(|pack| pack.len).sum();
    io.context
        .progress
        .event(Event::Expect { bytes, entries: 0 });
    let found = data::read(io, &view, &chosen, &HashSet::new(), data.max_time())?;
    report.packs_read = found.packs_read;
    report.bytes_read = found.bytes_read;
    let damaged = io.damage.bad_groups();
    // Data that a disk cannot read may still be there, and be readable on another one.
    let is_bad = |bad: &&data::BadPack| !bad.is_bad_medium && (bad.frame || bad.groups > 0);
    let mut bad: BTreeSet<PackId> = found.bad.iter().filter(is_bad).map(|bad| bad.id).collect();
    bad.extend(with_wrong_length(io, &chosen)?);
    record_lost_slots(io, &bad, &damaged)?;
    let mut copied: Option<Relocated> = None;
    for _ in 0..MAX_RACES {
        let mut position = LogPosition::read(io)?;
        let mut index = Index::read(io, &position.state)?;
        index.add_bad_groups(&damaged);
        let before = bad.len();
        let live: BTreeSet<PackId> = index.packs().map(|pack| pack.id).collect();
        bad.retain(|pack| live.contains(pack));
        if bad.is_empty() {
            return Ok(());
        }
        // If a prune condemned some of these packs, it copied their used chunks already. Then copy only the remaining packs again.
        let moved = match copied.take().filter(|_| bad.len() == before) {
            Some(moved) => moved,
            None => relocate(io, index.clone(), &sound_slots(&index, &bad))?,
        };
        let mut plan = SegmentPlan::new(io, &position.state);
        for id in &position.state.segments {
            match read_segment(io, *id) {
                Ok(segment) if segment.packs.iter().any(|pack| bad.contains(&pack.id)) => {
                    plan.replace(*id, segment, |pack| bad.contains(pack));
                }
                Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
                _ => {}
            }
        }
        plan.add_packs(&moved.packs);
        plan.add_moves(moved.moves.clone());
        let segments = plan.write()?;
        let entry = LogEntry::Condemn {
            packs: bad.iter().copied().collect(),
            segments_added: segments.added,
            segments_removed: segments.removed,
        };
        if let Append::Done = position.append(io, entry)? {
            report_replaced(&index, &bad, &damaged, report);
            return Ok(());
        }
        copied = Some(moved);
    }
    Err(conflict())
}

/// The packs that have another length than the index says. Their groups may be sound.
fn with_wrong_length(io: &Io, packs: &[&PackEntry]) -> Result<Vec<PackId>> {
    let sizes = present_packs(io)?;
    let differs = |pack: &&&PackEntry| sizes.get(&pack.id).is_some_and(|size| *size != pack.len);
    let wrong = packs.iter().filter(differs);
    Ok(wrong.map(|pack| pack.id).collect())
}

fn record_lost_slots(io: &Io, bad: &BTreeSet<PackId>, damaged: &DamagedGroups) -> Result<()> {
    if bad.is_empty() {
        return Ok(());
    }
    let position = LogPosition::read(io)?;
    let mut index = Index::read(io, &position.state)?;
    index.add_bad_groups(damaged);
    let sound = sound_slots(&index, bad);
    record_losses(io, &position, index, |pack, slots| {
        let is_sound =
            |slots: &RoaringBitmap| sound.get(pack).is_some_and(|all| slots.is_subset(all));
        bad.contains(pack) && !is_sound(slots)
    })
}

fn report_replaced(
    index: &Index,
    bad: &BTreeSet<PackId>,
    damaged: &DamagedGroups,
    report: &mut CheckReport,
) {
    for pack in index.packs().filter(|pack| bad.contains(&pack.id)) {
        let key = Layout::pack(pack.id);
        let (lost, all) = (
            damaged.get(&pack.id).map_or(0, BTreeSet::len),
            pack.table.groups.len(),
        );
        report.repaired.push(format!(
            "{key} was replaced without its damaged groups ({lost} of {all}); the next backup of the same data, or `--repair-from`, stores the \
             missing chunks again"
        ));
    }
}

/// The slots of these packs that can be read.
fn sound_slots(index: &Index, packs: &BTreeSet<PackId>) -> References {
    let mut wanted = References::default();
    for pack in index.packs().filter(|pack| packs.contains(&pack.id)) {
        let bad = index.bad_groups().get(&pack.id);
        let mut slot = 0;
        for (number, group) in (0..).zip(&pack.table.groups) {
            let after = slot + group.lengths.len() as u32;
            let is_sound = !bad.is_some_and(|bad| bad.contains(&number));
            let rests = group.bases.iter().all(|id| index.find_whole(id).is_some());
            if is_sound && rests {
                (slot..after).for_each(|slot| wanted.insert(pack.id, slot));
            }
            slot = after;
        }
    }
    wanted
}
