//! Deduplication: which chunks the repository has, and which chunks this run is about to store.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex};

use crate::format::ChunkIdKey;
use crate::model::{ChunkId, PackId, References};
use crate::repository::{ChunkLocation, ChunkReader, Index};

/// Number of locks. Several locks make it unlikely that workers wait for each other.
const SHARDS: usize = 64;

/// Chunk ids are already random, so their first bytes are a sufficient hash.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

pub(super) type IdSet = HashSet<ChunkId, BuildHasherDefault<IdHasher>>;
pub(super) type IdMap<V> = HashMap<ChunkId, V, BuildHasherDefault<IdHasher>>;

/// Decides whether a chunk must be stored.
#[derive(Debug)]
pub(in crate::engine) struct Dedup {
    index: Arc<Index>,
    id_key: ChunkIdKey,
    claimed: Vec<Mutex<IdSet>>,
    prover: Option<Arc<Prover>>,
}

/// Reads stored chunks before the operation relies on them, and remembers the ones that were readable.
#[derive(Debug)]
pub(in crate::engine) struct Prover {
    reader: ChunkReader,
    /// The packs that were stored before the operation.
    earlier: HashSet<PackId>,
    proven: Vec<Mutex<IdSet>>,
}

impl Prover {
    pub(in crate::engine) fn new(reader: ChunkReader) -> Self {
        let proven = std::iter::repeat_with(Mutex::default)
            .take(SHARDS)
            .collect();
        let earlier = reader.index().packs().map(|pack| pack.id).collect();
        Self {
            reader,
            earlier,
            proven,
        }
    }

    /// True when the chunk can be read, or this operation stored it. The reader remembers a chunk that cannot be read as damaged.
    fn proves(&self, id: &ChunkId, location: &ChunkLocation<'_>) -> bool {
        if !self.earlier.contains(&location.pack.id) {
            return true;
        }
        let shard = &self.proven[shard(id)];
        if shard.lock().is_ok_and(|proven| proven.contains(id)) {
            return true;
        }
        let is_sound = self.reader.read_at(id, location).is_ok();
        if let (true, Ok(mut proven)) = (is_sound, shard.lock()) {
            proven.insert(*id);
        }
        is_sound
    }
}

fn shard(id: &ChunkId) -> usize {
    usize::from(id.0[31]) % SHARDS
}

impl Dedup {
    pub(in crate::engine) fn new(index: Arc<Index>, id_key: ChunkIdKey) -> Self {
        let claimed = std::iter::repeat_with(Mutex::default)
            .take(SHARDS)
            .collect();
        Self {
            index,
            id_key,
            claimed,
            prover: None,
        }
    }

    /// With a prover, this reads stored chunks before it relies on them.
    pub(in crate::engine) fn with_prover(mut self, prover: Option<Arc<Prover>>) -> Self {
        self.prover = prover;
        self
    }

    pub(in crate::engine) fn id(&self, chunk: &[u8]) -> ChunkId {
        self.id_key.id(chunk)
    }

    /// Adds the location of a stored chunk to the references. False when no usable copy of the chunk is stored.
    pub(in crate::engine) fn note_stored(&self, id: &ChunkId, references: &mut References) -> bool {
        let mut locations = self.index.find_all(id);
        locations.any(|location| {
            self.index.is_sound(&location)
                && self.proves(id, &location)
                && note_location(&self.index, &location, references)
        })
    }

    fn proves(&self, id: &ChunkId, location: &ChunkLocation<'_>) -> bool {
        let prover = self.prover.as_ref();
        prover.is_none_or(|prover| prover.proves(id, location))
    }

    /// True when a usable copy of the chunk is stored.
    pub(in crate::engine) fn is_stored(&self, id: &ChunkId) -> bool {
        let mut locations = self.index.find_all(id);
        locations.any(|location| is_usable(&self.index, &location) && self.proves(id, &location))
    }

    /// True when a usable copy of the chunk is stored that is no delta.
    pub(in crate::engine) fn is_stored_whole(&self, id: &ChunkId) -> bool {
        let location = self.index.find_whole(id);
        location.is_some_and(|location| self.proves(id, &location))
    }

    /// True when the chunk was claimed.
    pub(in crate::engine) fn is_claimed(&self, id: &ChunkId) -> bool {
        let claimed = self.claimed[shard(id)].lock();
        claimed.is_ok_and(|claimed| claimed.contains(id))
    }

    /// True when the chunk is neither stored nor claimed; the caller must then store it.
    pub(in crate::engine) fn claim(&self, id: ChunkId, references: &mut References) -> bool {
        if self.note_stored(&id, references) {
            return false;
        }
        let shard = &self.claimed[shard(&id)];
        // A poisoned lock means that a worker panicked. Then nothing is committed.
        shard.lock().is_ok_and(|mut claimed| claimed.insert(id))
    }
}

/// Adds a location and the locations of its bases to the references. Returns false and adds nothing when one of them is damaged or missing.
pub(super) fn note_location(
    index: &Index,
    location: &ChunkLocation<'_>,
    references: &mut References,
) -> bool {
    if !is_usable(index, location) {
        return false;
    }
    add_live_references(index, location, references);
    true
}

/// True when the location is not damaged and its bases exist.
fn is_usable(index: &Index, location: &ChunkLocation<'_>) -> bool {
    let is_there = |base| index.find_whole(base).is_some();
    index.is_sound(location) && location.group.bases.iter().all(is_there)
}

/// Adds a location to the references, and those of its bases that still exist.
pub(crate) fn add_live_references(
    index: &Index,
    location: &ChunkLocation<'_>,
    references: &mut References,
) {
    let bases = location.group.bases.iter();
    for base in bases.filter_map(|base| index.find_whole(base)) {
        references.insert(base.pack.id, base.slot);
    }
    references.insert(location.pack.id, location.slot);
}
