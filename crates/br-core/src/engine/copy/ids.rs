//! The ids that chunks of the source have in the target.
//!
//! [`Ids`] holds the ids that were found so far. Invariant: an id is noted only for a chunk whose content is known to be equal.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::format::{ChunkIdKey, MasterKey};
use crate::model::{ChunkId, PackId};
use crate::repository::Index;

/// No chunk has this id.
const UNKNOWN: ChunkId = ChunkId([0; 32]);

/// Translates ids. Needs 32 bytes for each chunk of the packs that are copied, and nothing if both repositories have the same key.
pub(super) struct Ids {
    target_key: ChunkIdKey,
    /// For each pack of the source, the id in the target of each slot. `None` if ids are equal in both repositories.
    packs: Option<Mutex<HashMap<PackId, Box<[ChunkId]>>>>,
}

impl Ids {
    pub(super) fn new(source: &MasterKey, target: &MasterKey) -> Self {
        let is_same = source.as_bytes() == target.as_bytes();
        Self {
            target_key: target.chunk_id_key(),
            packs: (!is_same).then(Mutex::default),
        }
    }

    /// True when a chunk has the same id in both repositories.
    pub(super) const fn are_equal(&self) -> bool {
        self.packs.is_none()
    }

    /// The id of bytes that were verified to be the chunk `id` of the source.
    pub(super) fn of_bytes(&self, id: &ChunkId, bytes: &[u8]) -> ChunkId {
        if self.are_equal() {
            *id
        } else {
            self.target_key.id(bytes)
        }
    }

    /// The id in the target of the chunk `id`, which is in a slot of a pack of the source, if known.
    pub(super) fn at(&self, pack: PackId, slot: u32, id: &ChunkId) -> Option<ChunkId> {
        let Some(packs) = &self.packs else {
            return Some(*id);
        };
        let packs = packs.lock().unwrap_or_else(PoisonError::into_inner);
        let found = packs.get(&pack)?.get(slot as usize).copied();
        found.filter(|id| *id != UNKNOWN)
    }

    /// The id in the target of a chunk of the source, if known.
    pub(super) fn find(&self, source: &Index, id: &ChunkId) -> Option<ChunkId> {
        if self.are_equal() {
            return Some(*id);
        }
        let mut locations = source.find_all(id);
        locations.find_map(|location| self.at(location.pack.id, location.slot, id))
    }

    /// Notes ids of slots of a pack that has `count` slots.
    pub(super) fn note(
        &self,
        pack: PackId,
        count: usize,
        found: impl IntoIterator<Item = (u32, ChunkId)>,
    ) {
        let Some(packs) = &self.packs else { return };
        let mut packs = packs.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = packs.entry(pack);
        let slots = slots.or_insert_with(|| vec![UNKNOWN; count].into());
        for (slot, id) in found {
            if let Some(cell) = slots.get_mut(slot as usize) {
                *cell = id;
            }
        }
    }
}
