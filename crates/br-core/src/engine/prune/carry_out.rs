//! Execution of a prune: copy used chunks, condemn packs, delete them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::decision::Decision;
use super::{PruneReport, Work};
use crate::engine::lock::{Found, retentions};
use crate::engine::relocate::relocate_some;
use crate::error::{ErrorKind, Result};
use crate::format::{LogEntry, Move};
use crate::model::{BackupId, PackId, References, SegmentId};
use crate::progress::Event;
use crate::repository::{
    Append, Index, Io, Layout, MAX_RACES, SegmentPlan, keep_reserve, read_segment,
};
use crate::warning::Warning;

impl Decision {
    /// Copies, condemns and deletes; `None` when another process changed the repository first.
    pub(super) fn carry_out(mut self, io: &Io, work: &mut Work) -> Result<Option<PruneReport>> {
        let wanted = self.wanted();
        let missing = work.not_copied(&wanted);
        if work.is_first_attempt() {
            let bytes = self.plan.bytes_copied;
            io.context
                .progress
                .event(Event::Expect { bytes, entries: 0 });
        }
        self.copy(io, work, &missing)?;
        let (packs, moves) = work.split(&wanted);
        // Condemn packs that an earlier attempt wrote and this one does not use.
        for (pack, len) in work.useless(&packs) {
            self.condemn.insert(pack, None);
            self.to_delete.insert(pack, len);
        }
        let mut segments = SegmentPlan::new(io, &self.position.state);
        segments.add_packs(&packs);
        let needed = self.moves_needed(&moves);
        segments.add_moves(moves);
        let is_deleted = |pack: &PackId| self.to_delete.contains_key(pack);
        for id in self.tables.segments_with(is_deleted) {
            let segment = read_segment(io, id)?;
            segments.replace(id, segment, is_deleted);
        }
        segments.drop_moves_from(|pack| !needed.contains(pack));
        let segments = segments.write()?;
        let dropped = segments.removed.clone();
        // No log entry names the segments of lost attempts, so only this run can delete them.
        let lost = work.lost_segments(&segments.added);
        let entry = LogEntry::Condemn {
            packs: self.condemn.keys().copied().collect(),
            segments_added: segments.added,
            segments_removed: segments.removed,
        };
        if let Append::Lost(new_entries) = self.position.append_on_full_disk(io, &entry)? {
            work.lost_race(self.position, &new_entries);
            return Ok(None);
        }
        let unnamed = dropped.into_iter().chain(lost);
        self.leftovers.extend(unnamed.map(Layout::segment));
        self.sweep(io, work).map(Some)
    }

    /// Copies slots into new packs.
    fn copy(&self, io: &Io, work: &mut Work, wanted: &References) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let index = Index::read(io, &self.position.state)?;
        let (moved, done) = relocate_some(io, index, wanted);
        work.add(moved);
        done
    }

    /// The slots to copy before their packs are deleted.
    fn wanted(&self) -> References {
        let mut wanted = References::default();
        for (pack, slots) in &self.condemn {
            if let Some(slots) = slots {
                wanted.insert_slots(*pack, slots);
            }
        }
        wanted
    }

    /// Frees space on a full disk: deletes data that no backup relies on, and writes as little as possible. The packs condemned here stay
    /// in the index until a later prune has enough space to rewrite it.
    pub(super) fn free(mut self, io: &Io, work: &mut Work) -> Result<()> {
        let leftovers = std::mem::take(&mut self.leftovers);
        let removed = &self.position.removed;
        let is_segment = |key: &String| {
            Layout::id::<SegmentId>(key).is_some_and(|id| removed.segments.contains(&id))
        };
        let is_manifest = |key: &String| {
            Layout::id::<BackupId>(key).is_some_and(|id| removed.backups.contains(&id))
        };
        // A deleted backup can come back until the next condemn entry, so its manifest stays until then.
        let (mut manifests, others): (Vec<String>, Vec<String>) =
            leftovers.into_iter().partition(is_manifest);
        let mut keys: Vec<String> = others.into_iter().filter(is_segment).collect();
        let condemned = &self.position.state.condemned;
        keys.extend(condemned.iter().map(|pack| Layout::pack(*pack)));
        let there = condemned.iter().filter_map(|pack| self.to_delete.get(pack));
        let there: Vec<u64> = there.copied().filter(|len| *len > 0).collect();
        io.delete_all(keys)?;
        work.note_freed(there.len(), there.iter().sum());
        let unused = self.condemn.iter().filter(|(_, slots)| slots.is_none());
        let mut packs: BTreeSet<PackId> = unused.map(|(pack, _)| *pack).collect();
        packs.extend(work.wasted());
        if packs.is_empty() {
            work.lost_race(self.position, &[]);
            return Ok(());
        }
        let entry = LogEntry::Condemn {
            packs: packs.iter().copied().collect(),
            segments_added: Vec::new(),
            segments_removed: Vec::new(),
        };
        let mut appended = self.position.append_on_full_disk(io, &entry);
        if appended
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::Full)
        {
            // Without a reserve only these manifests can make space for the entry. An undelete looks for its manifest again after its commit.
            io.delete_all(std::mem::take(&mut manifests))?;
            appended = self.position.append_on_full_disk(io, &entry);
        }
        let new_entries = match appended? {
            Append::Lost(new_entries) => new_entries,
            Append::Done => {
                let packs_to_delete = packs.iter().map(|pack| Layout::pack(*pack));
                io.delete_all(packs_to_delete.chain(manifests).collect())?;
                let lengths = packs.iter().filter_map(|pack| self.to_delete.get(pack));
                work.note_freed(packs.len(), lengths.sum());
                vec![entry]
            }
        };
        work.lost_race(self.position, &new_entries);
        Ok(())
    }

    /// Packs from which some manifest needs a chain of moves to start or continue.
    fn moves_needed(&self, new: &[Move]) -> BTreeSet<PackId> {
        let mut needed = self.named.clone();
        let moves: Vec<_> = self.tables.moves().chain(new).collect();
        loop {
            let before = needed.len();
            let more = moves.iter().filter(|moved| needed.contains(&moved.from));
            let more: Vec<_> = more.map(|moved| moved.to).collect();
            needed.extend(more);
            if needed.len() == before {
                return needed;
            }
        }
    }

    fn sweep(mut self, io: &Io, work: &Work) -> Result<PruneReport> {
        let mut keys = std::mem::take(&mut self.leftovers);
        if keys.iter().any(|key| Layout::id::<BackupId>(key).is_some()) {
            // An undelete may have brought back a backup whose data other backups share.
            self.position.refresh(io)?;
            let backups = &self.position.state.backups;
            keys.retain(|key| !Layout::id(key).is_some_and(|id| backups.contains_key(&id)));
        }
        let objects = keys.len() as u64;
        keys.extend(self.to_delete.keys().map(|pack| Layout::pack(*pack)));
        let failed = io.delete_all(keys)?;
        let refused = failed.len() as u64;
        let is_pack = |(key, _): &(String, _)| Layout::id::<PackId>(key);
        let kept: BTreeSet<PackId> = failed.iter().filter_map(is_pack).collect();
        let (failed, locked_until) = without_locked(io, failed);
        let failures = failed.len() as u64;
        for (key, error) in failed {
            io.warn(&Warning::NotDeleted { key, error });
        }
        if let Some(until) = locked_until {
            let objects = refused - failures;
            io.warn(&Warning::StillLocked { objects, until });
        }
        self.to_delete.retain(|pack, _| !kept.contains(pack));
        let packs: Vec<_> = self.to_delete.keys().copied().collect();
        for _ in 0..MAX_RACES {
            let entry = LogEntry::Swept {
                packs: packs.clone(),
            };
            if packs.is_empty() || matches!(self.position.append(io, entry)?, Append::Done) {
                break;
            }
            // If this entry is lost, the next prune only looks for these deleted packs once more.
        }
        keep_reserve(io);
        Ok(PruneReport {
            // An earlier run may have deleted some of them already.
            packs_deleted: self.to_delete.values().filter(|len| **len > 0).count() as u64,
            bytes_deleted: self.to_delete.values().sum::<u64>() + work.bytes_freed(),
            bytes_written: work.bytes_written(),
            objects_deleted: objects - (refused - kept.len() as u64),
            unfinished_removed: 0,
            locked: refused - failures,
            locked_until,
            failed: failures + work.not_rewritten,
        })
    }
}

/// An object that the store did not delete, and why.
type Refused = (String, br_storage::Error);

/// Leaves out the objects that are locked, and returns the latest end of their locks. In a bucket that keeps versions a locked object can
/// be hidden, so only some servers refuse.
fn without_locked(io: &Io, failed: Vec<Refused>) -> (Vec<Refused>, Option<Timestamp>) {
    let is_refused = |(_, error): &&Refused| error.kind() == br_storage::ErrorKind::Denied;
    let refused: Vec<_> = failed.iter().filter(is_refused).collect();
    if refused.is_empty() || io.block(io.storage().object_lock()).is_err() {
        return (failed, None);
    }
    let keys = refused.into_iter().map(|(key, _)| key.clone()).collect();
    let now = io.context.runtime.clock.now();
    // If the server does not say it, the first errors are what to report.
    let found = retentions(io, keys).unwrap_or_default();
    let locked: BTreeMap<String, Timestamp> = found
        .into_iter()
        .filter_map(|(key, found)| match found {
            Found::Lock(Some((_, until))) if until > now => Some((key, until)),
            _ => None,
        })
        .collect();
    let until = locked.values().max().copied();
    let mut failed = failed;
    failed.retain(|(key, _)| !locked.contains_key(key));
    (failed, until)
}
