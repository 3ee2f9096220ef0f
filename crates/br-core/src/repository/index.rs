//! The index in memory: sorted segments, looked up by chunk id.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::prefix_table::PrefixTable;
use super::races::MAX_RACES;
use super::state::DamagedGroups;
use super::{Io, Layout, LogPosition, Resolver, State, StoredPack};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{
    Codec, Group, HEADER_LEN, Move, ObjectKind, PackEntry, PackSeal, PackTable, Segment,
    SegmentBuilder, TRAILER_LEN, limits,
};
use crate::model::{ChunkId, PackId, SegmentId};
use crate::warning::Warning;

/// All live segments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    segments: Vec<Arc<IndexSegment>>,
    /// Segments that the log names but that cannot be read.
    pub(crate) damaged: Vec<(SegmentId, String)>,
    /// Groups that are known to be unreadable: new backups must not rely on them.
    bad_groups: Arc<DamagedGroups>,
}

/// A segment with lookup tables. Needs about 46 bytes per chunk.
#[derive(Debug)]
pub(crate) struct IndexSegment {
    /// `None` for packs that no stored segment describes.
    pub(crate) id: Option<SegmentId>,
    segment: Segment,
    prefixes: PrefixTable,
    /// First slot and first group of each pack.
    firsts: Vec<(u32, u32)>,
    /// Pack, first slot and offset of each group.
    groups: Vec<GroupStart>,
    /// True for each condemned pack.
    dead: Vec<bool>,
}

#[derive(Debug, Clone, Copy)]
struct GroupStart {
    pack: u32,
    slot: u32,
    offset: u64,
}

/// Where a chunk is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkLocation<'a> {
    pub(crate) pack: &'a PackEntry,
    /// The chunk's slot in the pack.
    pub(crate) slot: u32,
    /// The group's number in the pack, which is also its number among the sealed pieces.
    pub(crate) group_number: u32,
    pub(crate) group: &'a Group,
    /// Offset of the group's sealed bytes in the pack.
    pub(crate) group_offset: u64,
    /// Offset of the chunk in the unpacked group, and its length.
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl IndexSegment {
    pub(crate) fn new(
        id: Option<SegmentId>,
        segment: Segment,
        condemned: &BTreeSet<PackId>,
    ) -> Self {
        let mut firsts = Vec::with_capacity(segment.packs.len());
        let mut groups = Vec::new();
        let mut slot = 0;
        for (number, pack) in (0..).zip(&segment.packs) {
            firsts.push((slot, groups.len() as u32));
            for (group, offset) in pack.table.groups.iter().zip(pack.table.offsets()) {
                groups.push(GroupStart {
                    pack: number,
                    slot,
                    offset,
                });
                slot += group.lengths.len() as u32;
            }
        }
        let dead = segment
            .packs
            .iter()
            .map(|pack| condemned.contains(&pack.id))
            .collect();
        Self {
            id,
            prefixes: PrefixTable::new(&segment.ids),
            segment,
            firsts,
            groups,
            dead,
        }
    }

    /// Builds a segment for packs that no stored segment describes.
    pub(crate) fn from_packs(packs: &[StoredPack]) -> Self {
        let mut builder = SegmentBuilder::default();
        for pack in packs {
            builder.add(pack.entry.clone(), &pack.ids);
        }
        Self::new(None, builder.build(), &BTreeSet::new())
    }

    pub(crate) fn packs(&self) -> &[PackEntry] {
        &self.segment.packs
    }

    pub(crate) fn moves(&self) -> &[Move] {
        &self.segment.moves
    }

    /// The chunks of a pack in slot order.
    pub(crate) fn chunk_ids(&self, pack: PackId) -> Option<Vec<ChunkId>> {
        let at = self
            .segment
            .packs
            .iter()
            .position(|entry| entry.id == pack)?;
        let first = self.firsts[at].0;
        let count = self.segment.packs[at].table.chunk_count() as u32;
        let mut ids = vec![ChunkId([0; 32]); count as usize];
        for (id, slot) in self.segment.ids.iter().zip(&self.segment.slots) {
            if let Some(cell) = slot
                .checked_sub(first)
                .and_then(|at| ids.get_mut(at as usize))
            {
                *cell = *id;
            }
        }
        Some(ids)
    }

    /// The chunks of all packs, in slot order, packs in order.
    pub(crate) fn ids_by_slot(&self) -> Vec<ChunkId> {
        let mut ids = vec![ChunkId([0; 32]); self.segment.ids.len()];
        for (id, slot) in self.segment.ids.iter().zip(&self.segment.slots) {
            if let Some(cell) = ids.get_mut(*slot as usize) {
                *cell = *id;
            }
        }
        ids
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// All locations of a chunk in this segment.
    fn find(&self, id: &ChunkId) -> impl Iterator<Item = ChunkLocation<'_>> {
        let ids = &self.segment.ids;
        let range = self.prefixes.range(id);
        let first = range.start + ids[range.clone()].partition_point(|other| other < id);
        let same = ids[first..range.end]
            .iter()
            .take_while(move |other| *other == id)
            .count();
        let slots = &self.segment.slots[first..first + same];
        slots
            .iter()
            .map(|slot| self.location(*slot))
            .filter(|(_, dead)| !dead)
            .map(|(location, _)| location)
    }

    /// The location of a slot of the segment, and whether its pack is condemned.
    fn location(&self, slot: u32) -> (ChunkLocation<'_>, bool) {
        // Find the last group that starts at or before the slot. An empty group has the same start as the group after it.
        let at = self.groups.partition_point(|group| group.slot <= slot) - 1;
        let GroupStart {
            pack,
            slot: first,
            offset,
        } = self.groups[at];
        let entry = &self.segment.packs[pack as usize];
        let (pack_slot, pack_group) = self.firsts[pack as usize];
        let group_number = at as u32 - pack_group;
        let group = &entry.table.groups[group_number as usize];
        let nth = (slot - first) as usize;
        let location = ChunkLocation {
            pack: entry,
            slot: slot - pack_slot,
            group_number,
            group,
            group_offset: offset,
            start: group.lengths[..nth].iter().sum(),
            len: group.lengths[nth],
        };
        (location, self.dead[pack as usize])
    }
}

impl Index {
    /// Reads every live segment. If one is unreadable, its packs are found by listing the store.
    pub(crate) fn read(io: &Io, state: &State) -> Result<Self> {
        Self::default().read_more(io, state)
    }

    /// As [`Index::read`], and takes the segments that this index has already.
    fn read_more(&self, io: &Io, state: &State) -> Result<Self> {
        let mut index = Self {
            bad_groups: Arc::new(state.damaged.clone()),
            ..Self::default()
        };
        for id in &state.segments {
            let mut known = self.segments.iter();
            if let Some(known) = known.find(|segment| segment.id == Some(*id)) {
                index.segments.push(Arc::clone(known));
                continue;
            }
            match read_segment(io, *id) {
                Ok(segment) => {
                    let segment = IndexSegment::new(Some(*id), segment, &state.condemned);
                    index.segments.push(Arc::new(segment));
                }
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    index.damaged.push((*id, cause_text(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        if !index.damaged.is_empty() {
            let known: BTreeSet<_> = index.packs().map(|pack| pack.id).collect();
            let (found, _) = find_packs(io, |id| {
                !known.contains(&id) && !state.condemned.contains(&id)
            })?;
            index.push(IndexSegment::from_packs(&found));
        }
        Ok(index)
    }

    /// Reads the index at the newest log entry. If a segment cannot be read because another writer replaced and deleted it, refreshes the
    /// position and reads the index again.
    pub(crate) fn read_newest(io: &Io, position: &mut LogPosition) -> Result<Self> {
        let mut index = Self::read(io, &position.state)?;
        for _ in 0..MAX_RACES {
            if index.damaged.is_empty() || position.refresh(io)?.is_empty() {
                break;
            }
            index = Self::read(io, &position.state)?;
        }
        Ok(index)
    }

    /// As [`Index::read_newest`], and does not read the segments again that this index has. Only if no pack was condemned since it was read: a
    /// segment does not have the packs that were condemned before.
    pub(crate) fn refreshed(&self, io: &Io, position: &mut LogPosition) -> Result<Self> {
        let index = self.read_more(io, &position.state)?;
        if index.damaged.is_empty() {
            return Ok(index);
        }
        Self::read_newest(io, position)
    }

    /// Warns of the segments that cannot be read.
    pub(crate) fn warn_of_damage(&self, io: &Io) {
        for (segment, reason) in &self.damaged {
            io.warn(&Warning::SegmentSetAside {
                segment: *segment,
                reason: reason.clone(),
            });
        }
    }

    pub(crate) fn push(&mut self, segment: IndexSegment) {
        self.segments.push(Arc::new(segment));
    }

    /// Adds all segments of another index.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.segments.extend(other.segments.iter().cloned());
    }

    pub(crate) fn segments(&self) -> &[Arc<IndexSegment>] {
        &self.segments
    }

    /// The packs that were stored and that no log entry describes yet.
    pub(crate) fn undescribed(&self) -> impl Iterator<Item = StoredPack> {
        let own = self.segments.iter().filter(|segment| segment.id.is_none());
        let packs = own.flat_map(|segment| segment.segment().clone().into_parts().0);
        packs.map(|(entry, ids)| StoredPack { entry, ids })
    }

    /// All packs that are not condemned.
    pub(crate) fn packs(&self) -> impl Iterator<Item = &PackEntry> {
        self.segments.iter().flat_map(|segment| {
            let alive = segment.segment.packs.iter().zip(&segment.dead);
            alive.filter(|(_, dead)| !**dead).map(|(pack, _)| pack)
        })
    }

    /// A location of the chunk; a sound one if any.
    pub(crate) fn find<'a>(&'a self, id: &'a ChunkId) -> Option<ChunkLocation<'a>> {
        self.find_all(id).next()
    }

    /// A sound location where the chunk is stored whole, not as a delta.
    pub(crate) fn find_whole(&self, id: &ChunkId) -> Option<ChunkLocation<'_>> {
        self.segments.iter().find_map(|segment| {
            let mut locations = segment.find(id);
            locations.find(|location| !location.is_delta() && self.is_sound(location))
        })
    }

    /// False when the group of this location was found damaged.
    pub(crate) fn is_sound(&self, location: &ChunkLocation<'_>) -> bool {
        let groups = self.bad_groups.get(&location.pack.id);
        !groups.is_some_and(|groups| groups.contains(&location.group_number))
    }

    pub(crate) fn bad_groups(&self) -> &DamagedGroups {
        &self.bad_groups
    }

    /// Marks more groups as unreadable.
    pub(crate) fn add_bad_groups(&mut self, more: &DamagedGroups) {
        let all = Arc::make_mut(&mut self.bad_groups);
        for (pack, groups) in more {
            all.entry(*pack).or_default().extend(groups);
        }
    }

    /// Bases of deltas that are not stored whole anywhere, for example because packs were lost.
    pub(crate) fn lost_bases(&self) -> HashSet<ChunkId> {
        let groups = self.packs().flat_map(|pack| &pack.table.groups);
        let bases: HashSet<ChunkId> = groups.flat_map(|group| group.bases.clone()).collect();
        let is_lost = |id: &ChunkId| self.find_whole(id).is_none();
        bases.into_iter().filter(is_lost).collect()
    }

    /// All locations of the chunk, the sound ones first. A chunk has several locations if two writers stored it at the same time, or if it was
    /// stored again after damage.
    pub(crate) fn find_all<'a>(
        &'a self,
        id: &'a ChunkId,
    ) -> impl Iterator<Item = ChunkLocation<'a>> {
        let locations = move || {
            self.segments
                .iter()
                .flat_map(move |segment| segment.find(id))
        };
        let damaged = (!self.bad_groups.is_empty()).then(locations).into_iter();
        let damaged = damaged
            .flatten()
            .filter(|location| !self.is_sound(location));
        locations()
            .filter(|location| self.is_sound(location))
            .chain(damaged)
    }

    pub(crate) fn resolver(&self) -> Resolver<'_> {
        let moves = self.segments.iter().flat_map(|segment| segment.moves());
        Resolver::new(self.packs(), moves)
    }
}

fn cause_text(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Reads a stored segment.
pub(crate) fn read_segment(io: &Io, id: SegmentId) -> Result<Segment> {
    let payload = segment_payload(io, id)?;
    Segment::decode(&payload).map_err(|error| Error::format(&Layout::segment(id), error))
}

/// Reads a stored segment and checks its id, but does not decode it.
pub(super) fn segment_payload(io: &Io, id: SegmentId) -> Result<Vec<u8>> {
    let key = Layout::segment(id);
    let (object, [payload]) = io.read_object(&key, ObjectKind::Segment, limits::SEGMENT)?;
    if SegmentId::from(object) != id {
        return Err(Error::damaged(format!(
            "{key} is another segment, {object}"
        )));
    }
    Ok(payload)
}

/// Packs whose footer cannot be read, with the reason.
type BadPacks = Vec<(PackId, Error)>;

/// Lists the packs for which `wanted` is true and reads their footers.
pub(crate) fn find_packs(
    io: &Io,
    wanted: impl Fn(PackId) -> bool,
) -> Result<(Vec<StoredPack>, BadPacks)> {
    let mut found = Vec::new();
    let mut bad = Vec::new();
    for object in io.list(Layout::PACKS)? {
        let Some(id) = Layout::id(&object.key).filter(|id| wanted(*id)) else {
            continue;
        };
        io.check_cancelled()?;
        match read_footer(io, id) {
            Ok(pack) => found.push(pack),
            Err(error) if error.kind() == ErrorKind::Damaged => bad.push((id, error)),
            Err(error) => return Err(error),
        }
    }
    Ok((found, bad))
}

/// Reads a pack's description from its footer.
pub(crate) fn read_footer(io: &Io, id: PackId) -> Result<StoredPack> {
    /// Footers of ordinary packs are shorter than this, so one request is enough.
    const GUESS: u64 = 128 << 10;
    let key = Layout::pack(id);
    let named = |error| Error::format(&key, error);
    let (mut end, len) = io.block(io.storage().get_suffix(&key, GUESS))?;
    let footer_len = PackTable::read_trailer(&end).map_err(named)?;
    let wanted = footer_len + TRAILER_LEN as u64;
    if wanted + HEADER_LEN as u64 > len {
        return Err(named(crate::format::FormatError::Length));
    }
    if (end.len() as u64) < wanted {
        end = io.block(io.storage().get_range(&key, len - wanted..len))?;
    }
    let end = &end[end.len() - wanted as usize..];
    let footer = io.open_in_pack(PackSeal::of_footer(id), |object| {
        PackTable::read_footer(object, end, len)
    });
    let (table, ids) = footer.map_err(named)?;
    Ok(StoredPack {
        entry: PackEntry { id, len, table },
        ids,
    })
}

impl ChunkLocation<'_> {
    /// True when the chunk can only be read together with its bases.
    pub(crate) fn is_delta(&self) -> bool {
        self.group.codec == Codec::ZstdDelta
    }
}
