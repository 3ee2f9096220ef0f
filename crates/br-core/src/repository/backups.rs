//! The backups of a state, in commit order.
//!
//! [`Backups`] is this list. Invariant: a new backup becomes the last one, whatever the clock says, so the commit log decides which backup
//! is the newest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::{Backup, BackupId};

/// Backups by id and in commit order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backups {
    numbers: HashMap<BackupId, u64>,
    /// Shared, because states are copied.
    by_number: BTreeMap<u64, Arc<Backup>>,
}

impl Backups {
    /// Adds a backup as the newest. An existing backup keeps its position.
    pub(crate) fn insert(&mut self, backup: Arc<Backup>) {
        let next = self.by_number.last_key_value();
        let next = next.map_or(0, |(number, _)| number + 1);
        let number = *self.numbers.entry(backup.id).or_insert(next);
        self.by_number.insert(number, backup);
    }

    /// Adds a backup directly after another one, or as the oldest. An existing backup keeps its position. A backup whose predecessor does
    /// not exist becomes the newest.
    pub(crate) fn insert_after(&mut self, predecessor: Option<BackupId>, backup: Arc<Backup>) {
        let is_known = predecessor.is_none_or(|id| self.contains_key(&id));
        if !is_known || self.contains_key(&backup.id) {
            return self.insert(backup);
        }
        let mut all: Vec<_> = std::mem::take(self).by_number.into_values().collect();
        let at = predecessor.and_then(|id| all.iter().position(|other| other.id == id));
        all.insert(at.map_or(0, |at| at + 1), backup);
        *self = all.into_iter().collect();
    }

    /// Sorts backups in commit order, as given by `order`. A backup that is not in `order` is inserted after the last backup with a
    /// smaller id: if the clock was right, ids are ordered by the start of the backup.
    pub(crate) fn in_order(backups: impl IntoIterator<Item = Backup>, order: &[BackupId]) -> Self {
        let mut unordered: BTreeMap<BackupId, Arc<Backup>> = backups
            .into_iter()
            .map(|backup| (backup.id, Arc::new(backup)))
            .collect();
        let known = order.iter().filter_map(|id| unordered.remove(id));
        let mut all: Vec<_> = known.collect();
        for (id, backup) in unordered {
            let before = all.iter().rposition(|other| other.id < id);
            all.insert(before.map_or(0, |at| at + 1), backup);
        }
        all.into_iter().collect()
    }

    /// Removes a backup.
    pub(crate) fn remove(&mut self, id: &BackupId) -> Option<Arc<Backup>> {
        let number = self.numbers.remove(id)?;
        self.by_number.remove(&number)
    }

    /// A backup by its id.
    pub(crate) fn get(&self, id: &BackupId) -> Option<&Backup> {
        self.by_number.get(self.numbers.get(id)?).map(Arc::as_ref)
    }

    /// A backup by its id.
    pub(crate) fn get_mut(&mut self, id: &BackupId) -> Option<&mut Backup> {
        self.by_number
            .get_mut(self.numbers.get(id)?)
            .map(Arc::make_mut)
    }

    /// True when there is a backup with this id.
    pub(crate) fn contains_key(&self, id: &BackupId) -> bool {
        self.numbers.contains_key(id)
    }

    /// All backups, the oldest commit first.
    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &Backup> {
        self.shared().map(Arc::as_ref)
    }

    /// As [`Backups::values`], for callers that keep the backups.
    pub(crate) fn shared(&self) -> impl DoubleEndedIterator<Item = &Arc<Backup>> {
        self.by_number.values()
    }

    /// All backups, the oldest commit first.
    pub(crate) fn into_values(self) -> impl Iterator<Item = Backup> {
        self.by_number.into_values().map(Arc::unwrap_or_clone)
    }

    /// Number of backups.
    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// True when there are no backups.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }
}

impl PartialEq for Backups {
    fn eq(&self, other: &Self) -> bool {
        self.values().eq(other.values())
    }
}

impl FromIterator<Arc<Backup>> for Backups {
    fn from_iter<I: IntoIterator<Item = Arc<Backup>>>(backups: I) -> Self {
        let mut all = Self::default();
        backups.into_iter().for_each(|backup| all.insert(backup));
        all
    }
}
