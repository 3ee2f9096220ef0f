//! Writing index segments, and merging small ones.

use super::index::read_segment;
use super::{Io, Layout, State, StoredPack};
use crate::error::{ErrorKind, Result};
use crate::format::{self, Move, ObjectKind, Segment, SegmentBuilder};
use crate::model::{PackId, SegmentId};

/// More live segments than this are merged.
const MAX_SEGMENTS: usize = 12;

/// What a new segment replaces, and what goes into it.
#[derive(Debug)]
pub(crate) struct SegmentPlan<'a> {
    io: &'a Io,
    state: &'a State,
    builder: SegmentBuilder,
    removed: Vec<SegmentId>,
}

/// Segments that are written and not yet in the log.
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
            builder: SegmentBuilder::default(),
            removed: Vec::new(),
        }
    }

    /// Adds packs that are new.
    pub(crate) fn add_packs(&mut self, packs: &[StoredPack]) {
        for pack in packs {
            self.builder.add(pack.entry.clone(), &pack.ids);
        }
    }

    pub(crate) fn add_moves(&mut self, moves: Vec<Move>) {
        moves
            .into_iter()
            .for_each(|moved| self.builder.add_move(moved));
    }

    /// Replaces a segment: takes over its packs but those in `without`.
    pub(crate) fn replace(
        &mut self,
        id: SegmentId,
        segment: Segment,
        without: impl Fn(&PackId) -> bool,
    ) {
        let (packs, moves) = segment.into_parts();
        for (entry, ids) in packs {
            if !without(&entry.id) {
                self.builder.add(entry, &ids);
            }
        }
        self.add_moves(moves);
        self.removed.push(id);
    }

    /// Drops moves that no reference set needs any more.
    pub(crate) fn drop_moves_from(&mut self, unneeded: impl Fn(&PackId) -> bool) {
        self.builder.retain_moves(|moved| !unneeded(&moved.from));
    }

    /// Drops a segment without taking anything over.
    pub(crate) fn drop_segment(&mut self, id: SegmentId) {
        self.removed.push(id);
    }

    /// Merges segments when there are many: all of them but those that are larger than everything merged so far.
    pub(crate) fn merge_small(&mut self) -> Result<()> {
        if self.state.segments.len() < MAX_SEGMENTS {
            return Ok(());
        }
        let mut segments = Vec::new();
        for id in &self.state.segments {
            match read_segment(self.io, *id) {
                Ok(segment) => segments.push((*id, segment)),
                // A damaged one stays as it is, for `check` to find.
                Err(error) if error.kind() == ErrorKind::Damaged => {}
                Err(error) => return Err(error),
            }
        }
        segments.sort_by_key(|(_, segment)| segment.ids.len());
        let mut merged = 0;
        let keep_at_least = segments.len().saturating_sub(MAX_SEGMENTS / 2);
        for (nth, (id, segment)) in segments.into_iter().enumerate() {
            let len = segment.ids.len();
            if nth >= keep_at_least && len > 2 * merged {
                break;
            }
            merged += len;
            self.replace(id, segment, |pack| self_condemned(pack, self.state));
        }
        Ok(())
    }

    /// Writes the segment, if there is anything in it.
    pub(crate) fn write(self) -> Result<WrittenSegments> {
        let Self {
            io,
            builder,
            removed,
            ..
        } = self;
        if builder.is_empty() {
            return Ok(WrittenSegments {
                removed,
                ..WrittenSegments::default()
            });
        }
        let object = io.new_object(ObjectKind::Segment, io.context.runtime.object_id());
        let id = SegmentId::from(object.id());
        let bytes = format::write_object(&object, &[&builder.build().encode()]);
        let bytes_written = bytes.len() as u64;
        io.create(&Layout::segment(id), bytes)?;
        Ok(WrittenSegments {
            added: vec![id],
            removed,
            bytes_written,
        })
    }
}

fn self_condemned(pack: &PackId, state: &State) -> bool {
    state.condemned.contains(pack)
}
