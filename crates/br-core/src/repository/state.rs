//! The state of a repository, derived from log entries. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Backups;
use crate::format::{DamagedPack, ExaminedBackups, LogEntry, Predecessor, ProvenBackups};
use crate::model::{KeyId, PackId, Proof, SegmentId};

/// The state of a repository after some log entry.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    /// The backup list, in the order of commits.
    pub(crate) backups: Backups,
    /// Live index segments.
    pub(crate) segments: BTreeSet<SegmentId>,
    /// Packs that writers must not rely on and that may still exist.
    pub(crate) condemned: BTreeSet<PackId>,
    /// Groups of packs that a reader found damaged.
    pub(crate) damaged: DamagedGroups,
    /// Removed key slots, the last one at the end. Their objects may still exist.
    pub(crate) keys_removed: Vec<KeyId>,
}

/// Maximum removed key slots that a checkpoint carries. More than a repository can have, so that a writer which opened the repository
/// before a checkpoint still learns that its own slot was removed.
const KEYS_REMOVED: usize = 256;

/// Groups that cannot be read, by pack.
pub(crate) type DamagedGroups = BTreeMap<PackId, BTreeSet<u32>>;

impl State {
    /// Applies an entry. Removing a missing item is not an error: two writers may have merged the same segments.
    pub(crate) fn apply(&mut self, entry: &LogEntry) {
        match entry {
            LogEntry::Commit {
                backup,
                segments_added,
                segments_removed,
                after,
            } => {
                // Only labels change. A writer cannot replace the content of another's backup.
                let backup = match self.backups.get(&backup.id) {
                    Some(before) => Arc::new(before.with_labels_of(backup)),
                    None => Arc::clone(backup),
                };
                match after {
                    None => self.backups.insert(backup),
                    Some(Predecessor::None) => self.backups.insert_after(None, backup),
                    Some(Predecessor::Backup(id)) => self.backups.insert_after(Some(*id), backup),
                }
                self.replace(segments_removed, segments_added);
            }
            LogEntry::Delete { backups } => {
                for id in backups {
                    self.backups.remove(id);
                }
            }
            LogEntry::Condemn {
                packs,
                segments_added,
                segments_removed,
            } => {
                self.condemned.extend(packs);
                packs
                    .iter()
                    .for_each(|pack| drop(self.damaged.remove(pack)));
                self.replace(segments_removed, segments_added);
            }
            LogEntry::Swept { packs } => {
                for pack in packs {
                    self.condemned.remove(pack);
                }
            }
            LogEntry::Reindex {
                segments_added,
                segments_removed,
                damaged,
                proven,
                examined,
                keys_removed,
            } => {
                self.replace(segments_removed, segments_added);
                self.note_damage(damaged);
                self.note_proof(proven.as_ref());
                self.note_examined(examined.as_ref());
                self.note_removed_keys(keys_removed);
            }
            LogEntry::Checkpoint {
                backups,
                segments,
                condemned,
                damaged,
                keys_removed,
            } => {
                *self = Self {
                    backups: backups.iter().cloned().collect(),
                    segments: segments.iter().copied().collect(),
                    condemned: condemned.iter().copied().collect(),
                    damaged: DamagedGroups::default(),
                    keys_removed: Vec::new(),
                };
                self.note_damage(damaged);
                self.note_removed_keys(keys_removed);
            }
        }
    }

    fn replace(&mut self, removed: &[SegmentId], added: &[SegmentId]) {
        for id in removed {
            self.segments.remove(id);
        }
        self.segments.extend(added);
    }

    /// Records damage. For each pack, this replaces the groups recorded before.
    fn note_damage(&mut self, damaged: &[DamagedPack]) {
        for DamagedPack { pack, groups } in damaged {
            if groups.is_empty() || self.condemned.contains(pack) {
                self.damaged.remove(pack);
            } else {
                self.damaged.insert(*pack, groups.iter().copied().collect());
            }
        }
    }

    fn note_proof(&mut self, proven: Option<&ProvenBackups>) {
        let Some(proven) = proven else { return };
        // An empty method removes the proof.
        let by = Some(proven.by.clone()).filter(|by| !by.is_empty());
        let proof = by.map(|by| Proof::new(proven.time, by.into()));
        for id in &proven.backups {
            if let Some(backup) = self.backups.get_mut(id) {
                if proof.is_some() {
                    backup.damaged = None;
                }
                backup.proven = proof.clone();
            }
        }
    }

    fn note_examined(&mut self, examined: Option<&ExaminedBackups>) {
        let Some(examined) = examined else { return };
        for id in &examined.sound {
            if let Some(backup) = self.backups.get_mut(id) {
                backup.damaged = None;
            }
        }
        for id in &examined.damaged {
            if let Some(backup) = self.backups.get_mut(id) {
                backup.damaged = Some(examined.time);
                backup.proven = None;
            }
        }
    }

    fn note_removed_keys(&mut self, removed: &[KeyId]) {
        self.keys_removed.retain(|key| !removed.contains(key));
        self.keys_removed.extend(removed);
        let surplus = self.keys_removed.len().saturating_sub(KEYS_REMOVED);
        drop(self.keys_removed.drain(..surplus));
    }

    /// The whole state as one log entry.
    pub(crate) fn checkpoint(&self) -> LogEntry {
        LogEntry::Checkpoint {
            backups: self.backups.shared().cloned().collect(),
            segments: self.segments.iter().copied().collect(),
            condemned: self.condemned.iter().copied().collect(),
            damaged: damaged_packs(&self.damaged),
            keys_removed: self.keys_removed.clone(),
        }
    }
}

/// Damaged groups in the form that log entries use.
pub(crate) fn damaged_packs(groups: &DamagedGroups) -> Vec<DamagedPack> {
    let pack = |(pack, groups): (&PackId, &BTreeSet<u32>)| DamagedPack {
        pack: *pack,
        groups: groups.iter().copied().collect(),
    };
    groups.iter().map(pack).collect()
}
