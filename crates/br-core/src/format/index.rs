//! Index segments: map chunk ids to locations (section 5).

use super::bytes::{Decoder, put_varint};
use super::pack::PackTable;
use super::{FormatError, PackSeal, limits};
use crate::model::{ChunkId, PackId};

/// A pack's description in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackEntry {
    pub(crate) id: PackId,
    /// Length of the whole object in bytes.
    pub(crate) len: u64,
    pub(crate) table: PackTable,
}

impl PackEntry {
    /// What is needed to open its groups.
    pub(crate) const fn seal(&self) -> PackSeal {
        PackSeal {
            id: self.id,
            sender: self.table.sender,
        }
    }
}

/// Slots whose chunks were copied to another pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: PackId,
    pub(crate) to: PackId,
    /// Slot in `to` of the first chunk; the others follow it.
    pub(crate) first: u32,
    /// Copied slots of `from`, ascending.
    pub(crate) slots: Vec<u32>,
}

/// A segment as stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Segment {
    pub(crate) packs: Vec<PackEntry>,
    /// Ascending.
    pub(crate) ids: Vec<ChunkId>,
    /// For each id, its position among the chunks of all packs of the segment.
    pub(crate) slots: Vec<u32>,
    pub(crate) moves: Vec<Move>,
}

/// Collects packs and sorts their chunks.
#[derive(Debug, Default)]
pub(crate) struct SegmentBuilder {
    packs: Vec<PackEntry>,
    chunks: Vec<(ChunkId, u32)>,
    bases: usize,
    moves: Vec<Move>,
}

impl SegmentBuilder {
    /// Adds a pack with its chunks in slot order.
    pub(crate) fn add(&mut self, pack: PackEntry, ids: &[ChunkId]) {
        let first = self.chunks.len() as u32;
        self.chunks.extend(ids.iter().copied().zip(first..));
        let bases = pack.table.groups.iter().map(|group| group.bases.len());
        self.bases += bases.sum::<usize>();
        self.packs.push(pack);
    }

    pub(crate) fn add_move(&mut self, moved: Move) {
        self.moves.push(moved);
    }

    /// Number of chunks and of bases so far.
    pub(crate) const fn id_count(&self) -> usize {
        self.chunks.len() + self.bases
    }

    pub(crate) fn build(mut self) -> Segment {
        self.chunks.sort_unstable();
        let (ids, slots) = self.chunks.into_iter().unzip();
        Segment {
            packs: self.packs,
            ids,
            slots,
            moves: self.moves,
        }
    }
}

impl Segment {
    /// The packs with their chunks in slot order, and the moves: the input of the builder.
    pub(crate) fn into_parts(self) -> (Vec<(PackEntry, Vec<ChunkId>)>, Vec<Move>) {
        let mut by_slot = vec![ChunkId([0; 32]); self.ids.len()];
        for (id, slot) in self.ids.iter().zip(&self.slots) {
            by_slot[*slot as usize] = *id;
        }
        let mut rest = by_slot.as_slice();
        let mut packs = Vec::with_capacity(self.packs.len());
        for pack in self.packs {
            let (ids, after) = rest.split_at(pack.table.chunk_count());
            rest = after;
            packs.push((pack, ids.to_vec()));
        }
        (packs, self.moves)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.ids.len() * 40 + 1024);
        put_varint(&mut out, self.packs.len() as u64);
        for pack in &self.packs {
            out.extend_from_slice(pack.id.as_bytes());
            put_varint(&mut out, pack.len);
            pack.table.encode(&mut out);
        }
        self.ids
            .iter()
            .for_each(|id| out.extend_from_slice(id.as_bytes()));
        self.slots
            .iter()
            .for_each(|slot| out.extend_from_slice(&slot.to_le_bytes()));
        put_varint(&mut out, self.moves.len() as u64);
        for moved in &self.moves {
            out.extend_from_slice(moved.from.as_bytes());
            out.extend_from_slice(moved.to.as_bytes());
            put_varint(&mut out, moved.first.into());
            put_varint(&mut out, moved.slots.len() as u64);
            let mut last = 0;
            for slot in &moved.slots {
                put_varint(&mut out, u64::from(slot - last));
                last = *slot;
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut read = Decoder::new(bytes);
        let (packs, chunks) = decode_packs(&mut read)?;
        let ids = read.take(chunks.checked_mul(32).ok_or(FormatError::Length)?)?;
        let ids: Vec<_> = ids.as_chunks().0.iter().map(|id| ChunkId(*id)).collect();
        let slots = read.take(chunks * 4)?;
        let slots: Vec<_> = slots
            .as_chunks()
            .0
            .iter()
            .map(|s| u32::from_le_bytes(*s))
            .collect();
        let moves = decode_moves(&mut read)?;
        read.finish()?;
        check_permutation(&ids, &slots)?;
        Ok(Self {
            packs,
            ids,
            slots,
            moves,
        })
    }

    /// Decodes only the packs and the moves.
    pub(crate) fn decode_tables(bytes: &[u8]) -> Result<(Vec<PackEntry>, Vec<Move>), FormatError> {
        let mut read = Decoder::new(bytes);
        let (packs, chunks) = decode_packs(&mut read)?;
        let _ = read.take(chunks.checked_mul(36).ok_or(FormatError::Length)?)?;
        let moves = decode_moves(&mut read)?;
        read.finish()?;
        Ok((packs, moves))
    }
}

/// Decodes the packs, and counts their chunks.
fn decode_packs(read: &mut Decoder<'_>) -> Result<(Vec<PackEntry>, usize), FormatError> {
    let count = read.count(u64::MAX, "packs")?;
    let mut packs = Vec::new();
    let mut chunks = 0;
    for _ in 0..count {
        let id = PackId(read.array()?);
        let len = read.bounded(limits::PACK, "bytes in a pack")?;
        let table = PackTable::decode(read)?;
        chunks += table.chunk_count();
        // Each chunk still needs an id and a slot.
        if chunks.saturating_mul(36) > read.rest().len() {
            return Err(FormatError::Length);
        }
        packs.push(PackEntry { id, len, table });
    }
    Ok((packs, chunks))
}

fn decode_moves(read: &mut Decoder<'_>) -> Result<Vec<Move>, FormatError> {
    let mut moves = Vec::new();
    for _ in 0..read.count(u64::MAX, "moves")? {
        let (from, to) = (PackId(read.array()?), PackId(read.array()?));
        let first = read.bounded(limits::PACK_CHUNKS, "slots")? as u32;
        let mut slots = Vec::new();
        let mut slot = 0;
        for _ in 0..read.count(limits::PACK_CHUNKS, "slots")? {
            slot += read.bounded(limits::PACK_CHUNKS, "slots")?;
            slots.push(u32::try_from(slot).map_err(|_| FormatError::Malformed("a slot is wrong"))?);
        }
        moves.push(Move {
            from,
            to,
            first,
            slots,
        });
    }
    Ok(moves)
}

/// Checks that the ids are sorted and that every slot occurs once: lookups rely on both.
fn check_permutation(ids: &[ChunkId], slots: &[u32]) -> Result<(), FormatError> {
    let mut seen = vec![false; slots.len()];
    let all = slots.iter().all(|slot| {
        seen.get_mut(*slot as usize)
            .is_some_and(|seen| !std::mem::replace(seen, true))
    });
    if all && ids.is_sorted() {
        Ok(())
    } else {
        Err(FormatError::Malformed("its table is not sorted"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::Codec;
    use super::super::pack::{Group, PackContent};
    use super::*;

    #[test]
    fn segment_round_trips() {
        let group = |lengths: Vec<u32>| Group {
            codec: Codec::Raw,
            stored_len: lengths.iter().sum(),
            raw_len: lengths.iter().sum(),
            bases: Vec::new(),
            lengths,
        };
        let pack = |n: u8, groups| PackEntry {
            id: PackId([n; 16]),
            len: 1000,
            table: PackTable {
                content: PackContent::Data,
                sender: None,
                groups,
            },
        };
        let first = pack(1, vec![group(vec![3, 4]), group(vec![5])]);
        let second = pack(2, vec![group(vec![6])]);
        let ids = [[9; 32], [1; 32], [5; 32], [3; 32]].map(ChunkId);
        let mut builder = SegmentBuilder::default();
        builder.add(first.clone(), &ids[..3]);
        builder.add(second.clone(), &ids[3..]);
        let moved = Move {
            from: PackId([8; 16]),
            to: PackId([2; 16]),
            first: 0,
            slots: vec![0, 7, 9],
        };
        builder.add_move(moved.clone());
        let segment = builder.build();
        let bytes = segment.encode();
        assert_eq!(Segment::decode(&bytes).unwrap(), segment);
        let tables = Segment::decode_tables(&bytes).unwrap();
        assert_eq!(tables, (segment.packs.clone(), segment.moves.clone()));
        let (packs, moves) = segment.into_parts();
        assert_eq!(
            packs,
            [(first, ids[..3].to_vec()), (second, ids[3..].to_vec())]
        );
        assert_eq!(moves, [moved]);
        for len in 0..bytes.len() {
            assert!(Segment::decode(&bytes[..len]).is_err(), "cut at {len}");
            let tables = Segment::decode_tables(&bytes[..len]);
            assert!(tables.is_err(), "cut at {len}");
        }
    }
}
