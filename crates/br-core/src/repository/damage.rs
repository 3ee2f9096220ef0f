//! Damaged groups of packs, and their record in the log.
//!
//! Readers record unreadable groups in [`DamageNotes`]. At the end of the operation, [`remember`] writes them to the log, so that later
//! backups do not rely on them. Invariant: no operation fails because damage could not be recorded.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::races::MAX_NOTE_RACES;
use super::state::DamagedGroups;
use super::{Append, Index, Io, LogPosition};
use crate::error::Result;
use crate::format::{DamagedPack, LogEntry};
use crate::model::PackId;

/// The damage found so far. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct DamageNotes(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    bad: DamagedGroups,
    /// Packs that were read in full without any damage.
    sound: BTreeSet<PackId>,
}

impl DamageNotes {
    /// Records an unreadable group.
    pub(crate) fn note(&self, pack: PackId, group: u32) {
        if let Ok(mut found) = self.0.lock() {
            found.bad.entry(pack).or_default().insert(group);
        }
    }

    /// Removes a group after a second attempt succeeded: only a local copy was damaged.
    pub(crate) fn forget(&self, pack: PackId, group: u32) {
        if let Ok(mut found) = self.0.lock()
            && let Some(groups) = found.bad.get_mut(&pack)
        {
            groups.remove(&group);
            found.bad.retain(|_, groups| !groups.is_empty());
        }
    }

    /// Records that a whole pack was read and is sound.
    pub(crate) fn note_sound(&self, pack: PackId) {
        if let Ok(mut found) = self.0.lock() {
            found.sound.insert(pack);
        }
    }

    /// Number of unreadable groups of a pack.
    pub(crate) fn count(&self, pack: PackId) -> usize {
        let count = |found: &Found| found.bad.get(&pack).map_or(0, BTreeSet::len);
        self.0.lock().map_or(0, |found| count(&found))
    }

    /// The unreadable groups.
    pub(crate) fn bad_groups(&self) -> DamagedGroups {
        self.0
            .lock()
            .map(|found| found.bad.clone())
            .unwrap_or_default()
    }
}

/// Writes new findings to the log, if the repository is writable. Best effort: errors are ignored.
pub(crate) fn remember(io: &Io) {
    let found = match io.damage.0.lock() {
        Ok(mut found) => std::mem::take(&mut *found),
        Err(_) => return,
    };
    if found.bad.is_empty() && found.sound.is_empty() || !io.may_take_notes() {
        return;
    }
    // Ignore a failure: the caller's own report names the damage.
    let _ = append(io, &found);
}

fn append(io: &Io, found: &Found) -> Result<()> {
    for _ in 0..MAX_NOTE_RACES {
        let mut position = LogPosition::read(io)?;
        let known = &position.state.damaged;
        let is_new = |(pack, groups): (&PackId, &BTreeSet<u32>)| {
            known.get(pack).is_none_or(|known| !groups.is_subset(known))
        };
        let is_repaired = |pack: &PackId| known.contains_key(pack) && !found.bad.contains_key(pack);
        if !found.bad.iter().any(is_new) && !found.sound.iter().any(is_repaired) {
            return Ok(());
        }
        // Skip packs that were condemned since they were read.
        let index = Index::read(io, &position.state)?;
        let live: BTreeSet<PackId> = index.packs().map(|pack| pack.id).collect();
        let mut damaged: Vec<DamagedPack> = Vec::new();
        for (pack, groups) in found.bad.iter().filter(|(pack, _)| live.contains(pack)) {
            let mut all = known.get(pack).cloned().unwrap_or_default();
            let before = all.len();
            all.extend(groups);
            if all.len() > before {
                let (pack, groups) = (*pack, all.into_iter().collect());
                damaged.push(DamagedPack { pack, groups });
            }
        }
        let repaired = found.sound.iter().filter(|pack| is_repaired(pack));
        damaged.extend(repaired.map(|pack| DamagedPack {
            pack: *pack,
            groups: Vec::new(),
        }));
        if damaged.is_empty() {
            return Ok(());
        }
        if let Append::Done = position.append(io, LogEntry::damage(damaged))? {
            return Ok(());
        }
    }
    Ok(())
}
