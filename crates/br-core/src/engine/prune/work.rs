//! State that one run of a prune keeps between attempts.
//!
//! [`Work`] keeps the chunks that were copied before another writer won the race, so that the next attempt reuses them. Invariant: a pack
//! that another process condemned is no longer used.

use std::collections::BTreeSet;

use super::decision::Decision;
use super::{PruneOptions, PruneReport};
use crate::engine::relocate::Relocated;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{LogEntry, Move};
use crate::model::{PackId, References, SegmentId};
use crate::repository::{Io, Layout, LogPosition, MAX_RACES, StoredPack, conflict};
use crate::warning::Warning;

/// How the run deals with a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    /// There was enough space so far.
    Enough,
    /// Data that no backup relies on was deleted to free space.
    Freed,
    /// There is no space for copies: only unused packs are deleted.
    WithoutCopies,
}

/// A run of a prune.
pub(super) struct Work {
    pub(super) options: PruneOptions,
    position: Option<LogPosition>,
    copied: Relocated,
    /// Segments that were written but are in no log entry.
    segments: Vec<SegmentId>,
    space: Space,
    /// Bytes deleted to free space.
    bytes_freed: u64,
    /// Packs deleted to free space.
    packs_freed: u64,
    /// Packs that were not rewritten for lack of space.
    pub(super) not_rewritten: u64,
}

impl Work {
    pub(super) fn new(options: PruneOptions) -> Self {
        Self {
            options,
            position: None,
            copied: Relocated::default(),
            segments: Vec::new(),
            space: Space::Enough,
            bytes_freed: 0,
            packs_freed: 0,
            not_rewritten: 0,
        }
    }

    pub(super) fn run(mut self, io: &Io) -> Result<PruneReport> {
        for _ in 0..MAX_RACES {
            let decision = Decision::make(io, &mut self)?;
            if decision.plan.is_empty() && self.copied.is_empty() && self.segments.is_empty() {
                return Ok(PruneReport::default());
            }
            let to_rewrite = decision.plan.packs_rewritten;
            match decision.carry_out(io, &mut self) {
                Ok(Some(report)) => return Ok(report),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Full => {
                    if let Some(report) = self.make_space(io, to_rewrite, error)? {
                        return Ok(report);
                    }
                }
                Err(error) => self.retry_if_log_advanced(io, error)?,
            }
        }
        Err(conflict())
    }

    /// Handles a full disk: frees space, then gives up copies. Returns a report when no further attempt can succeed.
    fn make_space(
        &mut self,
        io: &Io,
        to_rewrite: u64,
        error: Error,
    ) -> Result<Option<PruneReport>> {
        match self.space {
            Space::Enough => self.space = Space::Freed,
            Space::Freed => {
                self.space = Space::WithoutCopies;
                self.options.max_unused = 1.0;
                self.not_rewritten = to_rewrite;
                self.copied.give_up();
                io.warn(&Warning::NoSpaceToCopy { packs: to_rewrite });
            }
            Space::WithoutCopies if self.packs_freed > 0 => return self.stop(io).map(Some),
            Space::WithoutCopies => return Err(error),
        }
        Decision::make(io, self)?.free(io, self)?;
        Ok(None)
    }

    /// Stops with the space freed so far. Packs stay condemned, and the next prune continues.
    fn stop(&self, io: &Io) -> Result<PruneReport> {
        let segments = self.segments.iter().map(|id| Layout::segment(*id));
        io.delete_all(segments.collect())?;
        io.warn(&Warning::NoSpaceToFinish);
        Ok(PruneReport {
            packs_deleted: self.packs_freed,
            bytes_deleted: self.bytes_freed,
            failed: self.not_rewritten.max(1),
            ..PruneReport::default()
        })
    }

    /// Returns the newest position in the log, after processing the entries since the last attempt.
    pub(super) fn newest_position(&mut self, io: &Io) -> Result<LogPosition> {
        let position = match self.position.take() {
            None => LogPosition::read(io)?,
            Some(mut position) => {
                let new_entries = position.refresh(io)?;
                self.apply_new_entries(&new_entries);
                position
            }
        };
        self.position = Some(position.clone());
        Ok(position)
    }

    /// If the log has new entries, another prune may have removed the missing data: returns `Ok` for a retry. Otherwise returns the error.
    pub(super) fn retry_if_log_advanced(&mut self, io: &Io, error: Error) -> Result<()> {
        let Some(position) = &mut self.position else {
            return Err(error);
        };
        if error.kind() != ErrorKind::Damaged {
            return Err(error);
        }
        let new_entries = position.refresh(io)?;
        self.apply_new_entries(&new_entries);
        if new_entries.is_empty() {
            Err(error)
        } else {
            Ok(())
        }
    }

    /// Another writer won the race: continues from a position that includes its entries.
    pub(super) fn lost_race(&mut self, position: LogPosition, new_entries: &[LogEntry]) {
        self.apply_new_entries(new_entries);
        self.position = Some(position);
    }

    /// Drops own packs that another process condemned: a prune cannot distinguish packs that are not in the log yet from leftovers.
    fn apply_new_entries(&mut self, new_entries: &[LogEntry]) {
        for entry in new_entries {
            if let LogEntry::Condemn { packs, .. } = entry {
                self.copied.forget(&packs.iter().copied().collect());
            }
        }
    }

    pub(super) fn is_first_attempt(&self) -> bool {
        self.copied.is_empty() && self.segments.is_empty()
    }

    /// Packs that this run stored.
    pub(super) fn own_packs(&self) -> impl Iterator<Item = PackId> {
        self.copied.stored.keys().copied()
    }

    /// The wanted slots that no attempt has copied yet.
    pub(super) fn not_copied(&self, wanted: &References) -> References {
        let mut missing = References::default();
        for (pack, slots) in wanted.iter() {
            let mut slots = slots.clone();
            let copied = self.copied.moves.iter().filter(|moved| moved.from == *pack);
            let copied: roaring::RoaringBitmap = copied.flat_map(|moved| &moved.slots).collect();
            slots -= copied;
            if !slots.is_empty() {
                missing.insert_slots(*pack, &slots);
            }
        }
        missing
    }

    pub(super) fn add(&mut self, moved: Relocated) {
        self.copied.packs.extend(moved.packs);
        self.copied.moves.extend(moved.moves);
        self.copied.stored.extend(moved.stored);
    }

    /// The packs and moves of this run that are needed when these slots are condemned.
    pub(super) fn split(&self, wanted: &References) -> (Vec<StoredPack>, Vec<Move>) {
        let is_wanted = |moved: &&Move| {
            let slots = wanted.get(&moved.from);
            slots.is_some_and(|slots| moved.slots.iter().any(|slot| slots.contains(*slot)))
        };
        let moves: Vec<Move> = self
            .copied
            .moves
            .iter()
            .filter(is_wanted)
            .cloned()
            .collect();
        let to: BTreeSet<PackId> = moves.iter().map(|moved| moved.to).collect();
        let packs = self.copied.packs.iter();
        let packs = packs.filter(|pack| to.contains(&pack.entry.id)).cloned();
        (packs.collect(), moves)
    }

    /// Packs of this run that are not in `used`, with their lengths.
    pub(super) fn useless(&self, used: &[StoredPack]) -> Vec<(PackId, u64)> {
        let used: BTreeSet<PackId> = used.iter().map(|pack| pack.entry.id).collect();
        let stored = self.copied.stored.iter();
        let useless = stored.filter(|(pack, _)| !used.contains(pack));
        useless.map(|(pack, len)| (*pack, *len)).collect()
    }

    /// Packs of this run whose content is unknown or no longer needed.
    pub(super) fn wasted(&self) -> Vec<PackId> {
        self.useless(&self.copied.packs)
            .into_iter()
            .map(|(pack, _)| pack)
            .collect()
    }

    /// Returns the segments of earlier attempts, and records those of this one.
    pub(super) fn lost_segments(&mut self, added: &[SegmentId]) -> Vec<SegmentId> {
        let lost = self.segments.clone();
        self.segments.extend(added);
        lost
    }

    /// Counts packs that were deleted to free space.
    pub(super) fn note_freed(&mut self, packs: usize, bytes: u64) {
        self.packs_freed += packs as u64;
        self.bytes_freed += bytes;
    }

    pub(super) const fn bytes_freed(&self) -> u64 {
        self.bytes_freed
    }

    pub(super) fn bytes_written(&self) -> u64 {
        self.copied.stored.values().sum()
    }
}
