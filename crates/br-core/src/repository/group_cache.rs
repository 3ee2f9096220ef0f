//! The last groups that were unpacked, in memory.
//!
//! [`GroupCache`] keeps groups of tree nodes separate from groups of data, so that reading a long file does not evict the tree.
//! Invariant: it holds no more bytes than its limit, except that it always keeps the newest group.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::ChunkLocation;
use crate::format::PackContent;
use crate::model::PackId;

/// An unpacked group.
pub(super) type GroupData = Arc<Vec<u8>>;

/// A pack and the number of a group in it.
type Key = (PackId, u32);

/// Maximum number of groups in a shelf: a lookup compares with all of them.
const MAX_GROUPS: usize = 256;

/// Keeps groups, newest first.
#[derive(Debug)]
pub(super) struct GroupCache {
    tree: Mutex<Shelf>,
    data: Mutex<Shelf>,
    /// Maximum bytes of each shelf.
    max_len: usize,
}

#[derive(Debug, Default)]
struct Shelf {
    groups: VecDeque<(Key, GroupData)>,
    len: usize,
}

impl GroupCache {
    /// A cache of at most `max_len` bytes of tree nodes, and the same amount of data.
    pub(super) fn new(max_len: usize) -> Self {
        Self {
            tree: Mutex::default(),
            data: Mutex::default(),
            max_len,
        }
    }

    fn shelf(&self, location: &ChunkLocation<'_>) -> &Mutex<Shelf> {
        match location.pack.table.content {
            PackContent::Tree => &self.tree,
            PackContent::Data => &self.data,
        }
    }

    /// The group of a location, if it is in the cache.
    pub(super) fn get(&self, location: &ChunkLocation<'_>) -> Option<GroupData> {
        let key = (location.pack.id, location.group_number);
        let groups = &mut self.shelf(location).lock().ok()?.groups;
        let at = groups.iter().position(|(other, _)| *other == key)?;
        let hit = groups.remove(at)?;
        let raw = Arc::clone(&hit.1);
        groups.push_front(hit);
        Some(raw)
    }

    /// Keeps the group of a location.
    pub(super) fn put(&self, location: &ChunkLocation<'_>, raw: &GroupData) {
        let key = (location.pack.id, location.group_number);
        let Ok(mut shelf) = self.shelf(location).lock() else {
            return;
        };
        let shelf = &mut *shelf;
        if shelf.groups.iter().any(|(other, _)| *other == key) {
            return;
        }
        shelf.len += raw.len();
        shelf.groups.push_front((key, Arc::clone(raw)));
        while shelf.groups.len() > 1
            && (shelf.len > self.max_len || shelf.groups.len() > MAX_GROUPS)
        {
            let oldest = shelf.groups.pop_back();
            shelf.len -= oldest.map_or(0, |(_, raw)| raw.len());
        }
    }
}
