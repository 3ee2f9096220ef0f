//! Groups of packs that were found damaged, and that the log remembers.
//!
//! Readers note in [`DamageNotes`] what they could not read. [`remember`] writes it into the log at the end of the
//! operation, so that no backup relies on it from then on. Invariant: nothing fails because damage could not be remembered.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::state::DamagedGroups;
use super::{Append, Index, Io, LogPosition};
use crate::error::Result;
use crate::format::{DamagedPack, LogEntry};
use crate::model::PackId;

/// Maximum commit retries after losing a race; after that the next reader finds the same damage.
const MAX_RACES: u32 = 4;

/// What was found in packs. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct DamageNotes(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    bad: DamagedGroups,
    /// Packs that were read from end to end.
    sound: BTreeSet<PackId>,
}

impl DamageNotes {
    /// Notes a group that cannot be read.
    pub(crate) fn note(&self, pack: PackId, group: u32) {
        if let Ok(mut found) = self.0.lock() {
            found.bad.entry(pack).or_default().insert(group);
        }
    }

    /// A second attempt went well: a copy on this machine was damaged.
    pub(crate) fn forget(&self, pack: PackId, group: u32) {
        if let Ok(mut found) = self.0.lock()
            && let Some(groups) = found.bad.get_mut(&pack)
        {
            groups.remove(&group);
            found.bad.retain(|_, groups| !groups.is_empty());
        }
    }

    /// Notes that a whole pack was read and is sound.
    pub(crate) fn note_sound(&self, pack: PackId) {
        if let Ok(mut found) = self.0.lock() {
            found.sound.insert(pack);
        }
    }

    /// Groups of a pack that cannot be read.
    pub(crate) fn count(&self, pack: PackId) -> usize {
        let count = |found: &Found| found.bad.get(&pack).map_or(0, BTreeSet::len);
        self.0.lock().map_or(0, |found| count(&found))
    }

    /// What cannot be read.
    pub(crate) fn bad_groups(&self) -> DamagedGroups {
        self.0
            .lock()
            .map(|found| found.bad.clone())
            .unwrap_or_default()
    }
}

/// Writes into the log what was found, when that is allowed and is news. Best effort: a repository that may only be read stays
/// as it is.
pub(crate) fn remember(io: &Io) {
    let found = match io.damage.0.lock() {
        Ok(mut found) => std::mem::take(&mut *found),
        Err(_) => return,
    };
    let config = io.repository.config();
    let may_write = config.version.check_writable().is_ok() && config.store.exclusive_create;
    if found.bad.is_empty() && found.sound.is_empty() || !may_write || !io.storage().is_own() {
        return;
    }
    // That it did not work is no news to the caller, whose own report names the damage.
    let _ = append(io, &found);
}

fn append(io: &Io, found: &Found) -> Result<()> {
    for _ in 0..MAX_RACES {
        let mut position = LogPosition::read(io)?;
        let known = &position.state.damaged;
        let is_news = |(pack, groups): (&PackId, &BTreeSet<u32>)| {
            known.get(pack).is_none_or(|known| !groups.is_subset(known))
        };
        let is_mended = |pack: &PackId| known.contains_key(pack) && !found.bad.contains_key(pack);
        if !found.bad.iter().any(is_news) && !found.sound.iter().any(is_mended) {
            return Ok(());
        }
        // A pack that was given up meanwhile does not matter any more.
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
        let mended = found.sound.iter().filter(|pack| is_mended(pack));
        damaged.extend(mended.map(|pack| DamagedPack {
            pack: *pack,
            groups: Vec::new(),
        }));
        if damaged.is_empty() {
            return Ok(());
        }
        let entry = LogEntry::Reindex {
            segments_added: Vec::new(),
            segments_removed: Vec::new(),
            damaged,
        };
        if let Append::Done = position.append(io, entry)? {
            return Ok(());
        }
    }
    Ok(())
}
