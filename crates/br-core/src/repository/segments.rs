//! Writing index segments, and merging small ones.

use super::index::read_segment;
use super::{Io, Layout, State, StoredPack};
use crate::error::{ErrorKind, Result};
use crate::format::{self, Move, ObjectKind, PackEntry, Segment, SegmentBuilder};
use crate::model::{ChunkId, PackId, SegmentId};

/// Small live segments are merged when there are at least this many.
const MAX_SEGMENTS: usize = 12;
/// A segment shorter than this, in bytes, is small.
const SMALL: u64 = 32 << 20;
/// A segment is closed when it has this many chunks and bases, which is about 80 MB.
const MAX_IDS: usize = 2_000_000;

/// The contents of new segments, and the segments they replace.
#[derive(Debug)]
pub(crate) struct SegmentPlan<'a> {
    io: &'a Io,
    state: &'a State,
    /// Segments to write; the last one is still open.
    builders: Vec<SegmentBuilder>,
    moves: Vec<Move>,
    removed: Vec<SegmentId>,
}

/// Segments that are written, but not in the log yet.
#[derive(Debug, Default)]
pub(crate) struct WrittenSegments {
    pub(crate) added: Vec<SegmentId>,
    pub(crate) removed: Vec<SegmentId>,
    pub(crate) bytes_written: u64,
}

impl<'a> SegmentPlan<'a> {
    pub(crate) fn new(io: &'a Io, state: &'a State) -> Self {
        Self {
            io,
            state,
            builders: Vec::new(),
            moves: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// Adds new packs.
    pub(crate) fn add_packs(&mut self, packs: &[StoredPack]) {
        for pack in packs {
            self.add(pack.entry.clone(), &pack.ids);
        }
    }

    fn add(&mut self, entry: PackEntry, ids: &[ChunkId]) {
        let is_full = |builder: &SegmentBuilder| builder.id_count() >= MAX_IDS;
        if self.builders.last().is_none_or(is_full) {
            self.builders.push(SegmentBuilder::default());
        }
        if let Some(builder) = self.builders.last_mut() {
            builder.add(entry, ids);
        }
    }

    pub(crate) fn add_moves(&mut self, moves: Vec<Move>) {
        self.moves.extend(moves);
    }

    /// Replaces a segment: keeps its packs except those for which `without` is true.
    pub(crate) fn replace(
        &mut self,
        id: SegmentId,
        segment: Segment,
        without: impl Fn(&PackId) -> bool,
    ) {
        let (packs, moves) = segment.into_parts();
        for (entry, ids) in packs {
            if !without(&entry.id) {
                self.add(entry, &ids);
            }
        }
        self.add_moves(moves);
        self.removed.push(id);
    }

    /// Drops moves from packs that no reference set names any more.
    pub(crate) fn drop_moves_from(&mut self, unneeded: impl Fn(&PackId) -> bool) {
        self.moves.retain(|moved| !unneeded(&moved.from));
    }

    /// Removes a segment without keeping its packs.
    pub(crate) fn drop_segment(&mut self, id: SegmentId) {
        self.removed.push(id);
    }

    /// Merges small segments if there are many. Skips segments that are much larger than all that are merged so far.
    pub(crate) fn merge_small(&mut self) -> Result<()> {
        if self.state.segments.len() < MAX_SEGMENTS {
            return Ok(());
        }
        let mut small = Vec::new();
        for object in self.io.list(Layout::INDEX)? {
            let id = Layout::id(&object.key).filter(|id| self.state.segments.contains(id));
            small.extend(
                id.filter(|_| object.size < SMALL)
                    .map(|id| (object.size, id)),
            );
        }
        if small.len() < MAX_SEGMENTS {
            return Ok(());
        }
        small.sort_unstable();
        let merge_at_least = small.len() - MAX_SEGMENTS / 2;
        let mut merged = 0;
        for (nth, (len, id)) in small.into_iter().enumerate() {
            if nth >= merge_at_least && len > 2 * merged {
                break;
            }
            merged += len;
            match read_segment(self.io, id) {
                Ok(segment) => {
                    let condemned = &self.state.condemned;
                    self.replace(id, segment, |pack| condemned.contains(pack));
                }
                // Keep a damaged segment, so that `check` reports it.
                Err(error) if error.kind() == ErrorKind::Damaged => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes the added packs and moves as one or more segments.
    pub(crate) fn write(mut self) -> Result<WrittenSegments> {
        if !self.moves.is_empty() && self.builders.is_empty() {
            self.builders.push(SegmentBuilder::default());
        }
        let mut written = WrittenSegments {
            removed: self.removed,
            ..WrittenSegments::default()
        };
        let mut moves = self.moves;
        for mut builder in self.builders {
            moves.drain(..).for_each(|moved| builder.add_move(moved));
            let io = self.io;
            let object = io.new_object(ObjectKind::Segment, io.context.runtime.object_id());
            let id = SegmentId::from(object.id());
            let bytes = format::write_object(&object, &[&builder.build().encode()]);
            written.bytes_written += bytes.len() as u64;
            io.create(&Layout::segment(id), bytes)?;
            written.added.push(id);
        }
        Ok(written)
    }
}
