//! The pack tables and moves of the index, without chunk ids.
//!
//! [`PackTables`] answers which packs there are and where chunks were moved to. It needs about 10 bytes per chunk; the
//! [`Index`](super::Index) also finds chunks by their ids, and needs about 46.

use std::collections::BTreeSet;

use super::index::segment_payload;
use super::{Io, Layout, Resolver, State};
use crate::error::{Error, Result};
use crate::format::{Move, PackEntry, Segment};
use crate::model::{PackId, SegmentId};

/// The packs and moves of all live segments.
#[derive(Debug, Default)]
pub(crate) struct PackTables {
    segments: Vec<SegmentTables>,
}

#[derive(Debug)]
struct SegmentTables {
    id: SegmentId,
    packs: Vec<PackEntry>,
    moves: Vec<Move>,
    /// True for each condemned pack.
    dead: Vec<bool>,
}

impl PackTables {
    /// Reads every live segment.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) if a segment cannot be read: it is damaged, or another writer replaced and deleted
    /// it.
    pub(crate) fn read(io: &Io, state: &State) -> Result<Self> {
        let mut segments = Vec::with_capacity(state.segments.len());
        for id in &state.segments {
            io.check_cancelled()?;
            let payload = segment_payload(io, *id)?;
            let key = Layout::segment(*id);
            let (packs, moves) =
                Segment::decode_tables(&payload).map_err(|error| Error::format(&key, error))?;
            let dead = packs.iter().map(|pack| state.condemned.contains(&pack.id));
            segments.push(SegmentTables {
                id: *id,
                dead: dead.collect(),
                packs,
                moves,
            });
        }
        Ok(Self { segments })
    }

    /// All packs that are not condemned.
    pub(crate) fn packs(&self) -> impl Iterator<Item = &PackEntry> {
        self.segments.iter().flat_map(|segment| {
            let alive = segment.packs.iter().zip(&segment.dead);
            alive.filter(|(_, dead)| !**dead).map(|(pack, _)| pack)
        })
    }

    pub(crate) fn moves(&self) -> impl Iterator<Item = &Move> {
        self.segments.iter().flat_map(|segment| &segment.moves)
    }

    /// The segments that describe a pack for which `wanted` is true.
    pub(crate) fn segments_with(&self, wanted: impl Fn(&PackId) -> bool) -> BTreeSet<SegmentId> {
        let has = |segment: &&SegmentTables| segment.packs.iter().any(|pack| wanted(&pack.id));
        let found = self.segments.iter().filter(has);
        found.map(|segment| segment.id).collect()
    }

    pub(crate) fn resolver(&self) -> Resolver<'_> {
        Resolver::new(self.packs(), self.moves())
    }
}
