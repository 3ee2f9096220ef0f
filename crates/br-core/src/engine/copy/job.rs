//! Transfers the data and the trees of backups from one repository to another, without committing anything.
//!
//! [`Job`] has both repositories and what is known about them. Invariant: packs that it stored are in the target's index in memory, and a
//! commit must describe them.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crossbeam_channel::Sender;

use super::data::copy_slots;
use super::ids::Ids;
use super::inline::{Change, InlineStore};
use super::learn::learn;
use super::options::CopyOptions;
use super::plan::Planned;
use super::runs::Kind;
use super::sides::{Source, Target};
use super::trees::{Converter, Lost, Trees};
use super::worker::{Counts, Shared};
use crate::engine::backup::{Committer, Dedup, NodeStore, Prover};
use crate::error::Result;
use crate::model::{Backup, ChunkId, References};
use crate::repository::{
    ChunkReader, Index, IndexSegment, Packer, RawGroup, StoredPack, target_pack_len,
};

/// A running transfer.
pub(super) struct Job {
    pub(super) source: Source,
    pub(super) target: Target,
    pub(super) ids: Ids,
    pub(super) trees: Trees,
    prover: Option<Arc<Prover>>,
    level: i32,
    threads: Option<usize>,
    pub(super) bytes_read: u64,
    pub(super) bytes_added: u64,
    pub(super) bytes_stored: u64,
}

/// For each backup: the number of its root in the trees (an empty backup has none), or the data that is lost.
pub(super) type Roots = Vec<Result<Option<u32>, Lost>>;

impl Job {
    pub(super) fn new(source: Source, target: Target, options: &CopyOptions) -> Self {
        let ids = Ids::new(source.io.keyring().first(), target.io.keyring().first());
        let prover = options.verify_known.then(|| {
            let reader = ChunkReader::new(&target.io, Arc::clone(&target.index));
            Arc::new(Prover::new(reader))
        });
        Self {
            source,
            target,
            ids,
            trees: Trees::default(),
            prover,
            level: options.level,
            threads: options.threads,
            bytes_read: 0,
            bytes_added: 0,
            bytes_stored: 0,
        }
    }

    /// Decides by the target's index as it is now.
    pub(super) fn dedup(&self) -> Dedup {
        let index = Arc::clone(&self.target.index);
        let id_key = self.target.io.keyring().first().chunk_id_key();
        Dedup::new(index, id_key).with_prover(self.prover.clone())
    }

    /// Learns ids from a backup of the source and its copy in the target.
    pub(super) fn learn(&mut self, original: &Backup, copy: &Backup) -> Result<()> {
        if self.ids.are_equal() {
            return Ok(());
        }
        let dedup = self.dedup();
        let (to, pair) = ((&self.target, &dedup), (original, copy));
        learn(&self.source, to, pair, &self.ids, &mut self.trees)
    }

    /// Transfers the data of some backups, then their trees.
    pub(super) fn transfer(&mut self, batch: &[Planned]) -> Result<Roots> {
        let mut slots = References::default();
        for planned in batch {
            slots.union(&planned.fresh);
        }
        if let Change::ToEntries(limit) = Change::between(&self.source.io, &self.target.io) {
            // Most short chunks become content of entries. Chunks at the end of longer files are copied below.
            slots = self.longer_than(&slots, limit);
        }
        let mut unreadable = HashMap::new();
        self.copy_data(&slots, &mut unreadable)?;
        let mut roots = self.copy_trees(batch, &unreadable)?;
        let lost = roots.iter().filter_map(|root| root.as_ref().err());
        let missing = self.slots_of(lost.flat_map(|lost| &lost.chunks));
        if missing.iter().len() > 0 {
            // The reference sets do not contain these chunks, but the trees need them.
            self.copy_data(&missing, &mut unreadable)?;
            roots = self.copy_trees(batch, &unreadable)?;
        }
        if roots.iter().any(Result::is_err) {
            self.source.check_unpruned()?;
        }
        Ok(roots)
    }

    /// The slots without those of the index whose chunks have at most this number of bytes.
    fn longer_than(&self, slots: &References, limit: u32) -> References {
        let mut longer = slots.clone();
        for pack in self.source.index.packs() {
            let Some(used) = longer.remove(&pack.id) else {
                continue;
            };
            let lengths = pack.table.groups.iter().flat_map(|group| &group.lengths);
            let lengths = (0..).zip(lengths);
            let kept = lengths.filter(|(slot, len)| **len > limit && used.contains(*slot));
            kept.for_each(|(slot, _)| longer.insert(pack.id, slot));
        }
        longer
    }

    /// One location of each chunk.
    fn slots_of<'c>(&self, chunks: impl Iterator<Item = &'c ChunkId>) -> References {
        let mut slots = References::default();
        for id in chunks {
            if let Some(location) = self.source.index.find(id) {
                slots.insert(location.pack.id, location.slot);
            }
        }
        slots
    }

    /// Copies the chunks in these slots of the source.
    fn copy_data(
        &mut self,
        slots: &References,
        unreadable: &mut HashMap<ChunkId, String>,
    ) -> Result<()> {
        let (whole, deltas) = (self.dedup(), self.dedup());
        let counts = Counts::default();
        let failed = Mutex::new(std::mem::take(unreadable));
        let first = self.shared(&whole, None, &counts, &failed);
        // A delta may use chunks of the first pass as bases.
        let second = self.shared(&deltas, Some(&whole), &counts, &failed);
        let packs = self.with_packer(|groups| {
            copy_slots(&first, slots, Kind::Whole, self.threads, groups)?;
            copy_slots(&second, slots, Kind::Delta, self.threads, groups)
        })?;
        *unreadable = failed.into_inner().unwrap_or_default();
        self.bytes_read += counts.bytes_read.load(Ordering::Relaxed);
        self.bytes_added += counts.bytes_added.load(Ordering::Relaxed);
        self.add_packs(&packs);
        Ok(())
    }

    fn shared<'a>(
        &'a self,
        dedup: &'a Dedup,
        whole: Option<&'a Dedup>,
        counts: &'a Counts,
        unreadable: &'a Mutex<HashMap<ChunkId, String>>,
    ) -> Shared<'a> {
        Shared {
            source: &self.source,
            ids: &self.ids,
            dedup,
            whole,
            level: self.level,
            counts,
            unreadable,
        }
    }

    /// Runs work that stores groups in the target, and returns the packs.
    fn with_packer(
        &self,
        work: impl FnOnce(&Sender<RawGroup>) -> Result<()>,
    ) -> Result<Vec<StoredPack>> {
        let stored: u64 = self.target.index.packs().map(|pack| pack.len).sum();
        let packer = Packer::start(&self.target.io, target_pack_len(stored), Box::new(drop))?;
        let groups = packer.sender();
        let worked = work(&groups);
        drop(groups);
        // If the packer fails, the work stops without a specific reason.
        let packs = packer.finish()?;
        worked.map(|()| packs)
    }

    /// Adds new packs to the index.
    fn add_packs(&mut self, packs: &[StoredPack]) {
        if packs.is_empty() {
            return;
        }
        self.bytes_stored += packs.iter().map(|pack| pack.entry.len).sum::<u64>();
        let mut index = Index::clone(&self.target.index);
        index.push(IndexSegment::from_packs(packs));
        self.target.index = Arc::new(index);
    }

    /// Begins to commit what was transferred. [`Self::finish`] must follow.
    pub(super) fn committer(&mut self) -> Committer {
        let position = std::mem::take(&mut self.target.position);
        Committer::new(position, &self.target.index)
    }

    /// Continues after the commits of a batch.
    pub(super) fn finish(&mut self, committer: Committer) -> Result<()> {
        let (position, was_pruned) = committer.finish();
        if self.target.advance(position, was_pruned)? {
            self.trees.clear();
        }
        Ok(())
    }

    fn copy_trees(
        &mut self,
        batch: &[Planned],
        unreadable: &HashMap<ChunkId, String>,
    ) -> Result<Roots> {
        let dedup = self.dedup();
        let mut trees = std::mem::take(&mut self.trees);
        let mut roots = Vec::new();
        let packs = self.with_packer(|groups| {
            let mut inline = InlineStore::new(&self.source.io, &self.target.io, &dedup, groups);
            for planned in batch {
                let Some(root) = planned.backup.tree else {
                    roots.push(Ok(None));
                    continue;
                };
                let mut converter = Converter {
                    source: &self.source,
                    ids: &self.ids,
                    dedup: &dedup,
                    trees: &mut trees,
                    store: NodeStore::new(&dedup, Some(groups)),
                    inline: &mut inline,
                    unreadable,
                    lost: Lost::default(),
                };
                let number = converter.tree(root, planned.backup.totals.entries)?;
                let lost = converter.lost;
                roots.push(match number {
                    Some(_) if lost.is_empty() => Ok(number),
                    _ => Err(lost),
                });
            }
            inline.flush()
        });
        self.trees = trees;
        self.add_packs(&packs?);
        Ok(roots)
    }
}
