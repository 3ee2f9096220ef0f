//! Reference sets: the chunks that a backup uses, as slots of packs.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::PackId;

/// A set of slots of packs. The union over all backups is what must stay.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct References {
    packs: BTreeMap<PackId, RoaringBitmap>,
}

impl References {
    /// Notes a slot of a pack.
    pub fn insert(&mut self, pack: PackId, slot: u32) {
        self.packs.entry(pack).or_default().insert(slot);
    }

    /// Notes the first `count` slots of a pack.
    pub fn insert_all(&mut self, pack: PackId, count: u32) {
        self.packs.entry(pack).or_default().insert_range(0..count);
    }

    /// Notes a whole set of slots of a pack.
    pub fn insert_slots(&mut self, pack: PackId, slots: &RoaringBitmap) {
        *self.packs.entry(pack).or_default() |= slots;
    }

    /// Adds all of another set.
    pub fn union(&mut self, other: &Self) {
        for (pack, slots) in &other.packs {
            self.insert_slots(*pack, slots);
        }
    }

    /// Removes a pack, and returns its slots.
    pub fn remove(&mut self, pack: &PackId) -> Option<RoaringBitmap> {
        self.packs.remove(pack)
    }

    /// The slots of a pack; `None` when none is used.
    #[must_use]
    pub fn get(&self, pack: &PackId) -> Option<&RoaringBitmap> {
        self.packs.get(pack)
    }

    /// True when the slot of the pack is in the set.
    #[must_use]
    pub fn contains(&self, pack: &PackId, slot: u32) -> bool {
        self.packs
            .get(pack)
            .is_some_and(|slots| slots.contains(slot))
    }

    /// True when no slot is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// The packs with their slots, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&PackId, &RoaringBitmap)> {
        self.packs.iter()
    }
}
