//! Pack tables: the groups and chunks of a pack, and where they are (section 4).

use roaring::RoaringBitmap;

use super::bytes::{Decoder, put_varint};
use super::codec::Codec;
use super::envelope::{HEADER_LEN, SealedObject, TAG_LEN};
use super::{FormatError, SenderKey, limits};
use crate::model::ChunkId;

/// Length of a pack's trailer.
pub(crate) const TRAILER_LEN: usize = 16;
const TRAILER_MAGIC: &[u8; 8] = b"brpack1\n";
/// The footer's number among the sealed pieces of the pack.
const FOOTER_NUMBER: u32 = u32::MAX;
/// The first byte of a pack table.
const DATA: u8 = 0;
const TREE: u8 = 1;
const DATA_FOR_READERS: u8 = 2;

/// The content of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackContent {
    /// Content of files.
    Data,
    /// Nodes of entry trees.
    Tree,
}

/// A group: chunks stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) codec: Codec,
    /// Stored length in bytes, without the tag.
    pub(crate) stored_len: u32,
    /// Sum of the lengths of all its chunks.
    pub(crate) raw_len: u32,
    /// The chunks whose bytes are the prefix of this delta; empty for other groups.
    pub(crate) bases: Vec<ChunkId>,
    /// Length of each chunk.
    pub(crate) lengths: Vec<u32>,
}

/// The groups of a pack, in order. Chunk ids are separate, because a footer and an index segment store them differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackTable {
    pub(crate) content: PackContent,
    /// Present if the groups are encrypted for a reading key, which only data can be.
    pub(crate) sender: Option<SenderKey>,
    pub(crate) groups: Vec<Group>,
}

impl PackTable {
    /// Number of chunks.
    pub(crate) fn chunk_count(&self) -> usize {
        self.groups.iter().map(|g| g.lengths.len()).sum()
    }

    /// Each group, with the raw bytes of its chunks in these slots.
    pub(crate) fn used(&self, slots: &RoaringBitmap) -> impl Iterator<Item = (&Group, u64)> {
        let mut next = 0..;
        self.groups.iter().map(move |group| {
            let lengths = group.lengths.iter().zip(next.by_ref());
            let used = lengths.filter(|(_, slot)| slots.contains(*slot));
            (group, used.map(|(len, _)| u64::from(*len)).sum())
        })
    }

    /// Offset of each group's sealed bytes.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = u64> {
        self.groups.iter().scan(HEADER_LEN as u64, |next, group| {
            let offset = *next;
            *next += u64::from(group.stored_len) + TAG_LEN as u64;
            Some(offset)
        })
    }

    /// Offset where the groups end and the footer starts.
    pub(crate) fn groups_end(&self) -> u64 {
        let sealed = |g: &Group| u64::from(g.stored_len) + TAG_LEN as u64;
        HEADER_LEN as u64 + self.groups.iter().map(sealed).sum::<u64>()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match (self.content, self.sender) {
            (PackContent::Data, None) => out.push(DATA),
            (PackContent::Tree, _) => out.push(TREE),
            (PackContent::Data, Some(sender)) => {
                out.push(DATA_FOR_READERS);
                out.extend_from_slice(&sender.0);
            }
        }
        put_varint(out, self.groups.len() as u64);
        for group in &self.groups {
            out.push(group.codec.byte());
            put_varint(out, group.stored_len.into());
            put_varint(out, group.raw_len.into());
            put_varint(out, group.lengths.len() as u64);
            if group.codec == Codec::ZstdDelta {
                put_varint(out, group.bases.len() as u64);
                group
                    .bases
                    .iter()
                    .for_each(|id| out.extend_from_slice(id.as_bytes()));
            }
            group
                .lengths
                .iter()
                .for_each(|len| put_varint(out, (*len).into()));
        }
    }

    pub(super) fn decode(read: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let (content, sender) = match read.u8()? {
            DATA => (PackContent::Data, None),
            TREE => (PackContent::Tree, None),
            DATA_FOR_READERS => (PackContent::Data, Some(SenderKey(read.array()?))),
            _ => return Err(FormatError::Unknown("content of a pack")),
        };
        let count = read.count(limits::PACK_GROUPS, "groups")?;
        // A group has at least five bytes.
        let mut groups = Vec::with_capacity(count.min(read.rest().len() / 5));
        let mut chunks = 0;
        let mut end = 0;
        for _ in 0..count {
            let group = decode_group(read)?;
            chunks += group.lengths.len() as u64;
            end += u64::from(group.stored_len) + TAG_LEN as u64;
            groups.push(group);
            // Each chunk still needs an id.
            if chunks * 32 > read.rest().len() as u64 {
                return Err(FormatError::Length);
            }
        }
        for (value, what, limit) in [
            (chunks, "chunks in a pack", limits::PACK_CHUNKS),
            (end, "bytes in a pack", limits::PACK),
        ] {
            if value > limit {
                return Err(FormatError::Limit { what, limit });
            }
        }
        Ok(Self {
            content,
            sender,
            groups,
        })
    }

    /// Appends footer and trailer to a pack.
    pub(crate) fn write_footer(&self, ids: &[ChunkId], object: &SealedObject, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        self.encode(&mut payload);
        ids.iter()
            .for_each(|id| payload.extend_from_slice(id.as_bytes()));
        let start = out.len();
        object.write_frame(FOOTER_NUMBER, &payload, out);
        let len = u32::try_from(out.len() - start).expect("a footer is far below 4 GiB");
        let groups = u32::try_from(self.groups.len()).expect("a pack has at most 65,535 groups");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&groups.to_le_bytes());
        out.extend_from_slice(TRAILER_MAGIC);
    }

    /// Reads a pack's trailer and returns the length of the footer.
    pub(crate) fn read_trailer(end: &[u8]) -> Result<u64, FormatError> {
        let trailer: &[u8; TRAILER_LEN] = end.last_chunk().ok_or(FormatError::Length)?;
        let mut read = Decoder::new(trailer);
        let (len, _groups) = (u64::from(read.u32()?), read.u32()?);
        if read.rest() != TRAILER_MAGIC {
            return Err(FormatError::Length);
        }
        if len > limits::FOOTER {
            return Err(FormatError::Limit {
                what: "bytes of footer",
                limit: limits::FOOTER,
            });
        }
        Ok(len)
    }

    /// Reads the footer and trailer of a pack of `pack_len` bytes; `end` contains exactly these two.
    pub(crate) fn read_footer(
        object: &SealedObject,
        end: &[u8],
        pack_len: u64,
    ) -> Result<(Self, Vec<ChunkId>), FormatError> {
        let (footer, trailer) = end
            .split_last_chunk::<TRAILER_LEN>()
            .ok_or(FormatError::Length)?;
        let (payload, rest) = object.read_frame(FOOTER_NUMBER, footer, limits::FOOTER)?;
        Decoder::new(rest).finish()?;
        let (table, ids) = Self::decode_footer(&payload)?;
        if trailer[4..8] != (table.groups.len() as u32).to_le_bytes() {
            return Err(FormatError::Malformed(
                "the trailer has a different number of groups",
            ));
        }
        if table.groups_end() + end.len() as u64 != pack_len {
            return Err(FormatError::Length);
        }
        Ok((table, ids))
    }

    /// Decodes the payload of a footer.
    pub(super) fn decode_footer(payload: &[u8]) -> Result<(Self, Vec<ChunkId>), FormatError> {
        let mut read = Decoder::new(payload);
        let table = Self::decode(&mut read)?;
        let mut ids = Vec::with_capacity(table.chunk_count());
        for _ in 0..table.chunk_count() {
            ids.push(ChunkId(read.array()?));
        }
        read.finish()?;
        Ok((table, ids))
    }
}

fn decode_group(read: &mut Decoder<'_>) -> Result<Group, FormatError> {
    let codec = Codec::from_byte(read.u8()?)?;
    let stored_len = read.bounded(limits::GROUP_STORED, "bytes in a stored group")?;
    let raw_len = read.bounded(limits::GROUP_RAW, "bytes in a group")?;
    let count = read.count(limits::PACK_CHUNKS, "chunks in a group")?;
    let mut bases = Vec::new();
    if codec == Codec::ZstdDelta {
        for _ in 0..read.count(limits::GROUP_BASES, "bases of a group")? {
            bases.push(ChunkId(read.array()?));
        }
    }
    let mut lengths = Vec::with_capacity(count);
    let mut sum = 0;
    for _ in 0..count {
        let len = read.bounded(limits::CHUNK, "bytes in a chunk")?;
        if len == 0 {
            return Err(FormatError::Malformed("a chunk is empty"));
        }
        sum += len;
        lengths.push(len as u32);
    }
    if count == 0 {
        return Err(FormatError::Malformed("a group is empty"));
    }
    if sum != raw_len || (codec == Codec::Raw && stored_len != raw_len) {
        return Err(FormatError::Malformed(
            "lengths of a group contradict each other",
        ));
    }
    Ok(Group {
        codec,
        stored_len: stored_len as u32,
        raw_len: raw_len as u32,
        bases,
        lengths,
    })
}
