//! Lists of chunks: the content of files with too many chunks for a leaf (section 6).

use super::bytes::{Decoder, put_varint};
use super::{FormatError, limits};
use crate::model::{ChunkId, ChunkRef};

/// Files with more chunks than this use lists.
pub(crate) const MAX_CHUNKS_IN_ENTRY: usize = 4096;
/// Minimum and maximum number of chunks in a list; the last list of a file may have fewer.
const MIN_LEN: usize = 512;
const MAX_LEN: usize = 8192;
/// A list ends after a chunk id that is divisible by this number, so an insertion changes one list and not all later ones.
const DIVISOR: u16 = 2048;
/// First byte of a list; nodes have their level there.
const MARK: u8 = 0xff;

/// Splits chunks into the runs that become lists.
pub(crate) fn split_lists(mut chunks: &[ChunkRef]) -> impl Iterator<Item = &[ChunkRef]> {
    std::iter::from_fn(move || {
        let ends = |(at, chunk): (usize, &ChunkRef)| {
            let [a, b, ..] = chunk.id.0;
            let by_content = u16::from_le_bytes([a, b]).is_multiple_of(DIVISOR);
            at + 1 >= MAX_LEN || (at + 1 >= MIN_LEN && by_content)
        };
        let len = chunks
            .iter()
            .enumerate()
            .position(ends)
            .map_or(chunks.len(), |at| at + 1);
        let (list, rest) = chunks.split_at(len);
        chunks = rest;
        (!list.is_empty()).then_some(list)
    })
}

pub(crate) fn encode_list(chunks: &[ChunkRef]) -> Vec<u8> {
    let mut out = vec![MARK];
    put_varint(&mut out, chunks.len() as u64);
    chunks
        .iter()
        .for_each(|chunk| put_varint(&mut out, chunk.len.into()));
    chunks
        .iter()
        .for_each(|chunk| out.extend_from_slice(chunk.id.as_bytes()));
    out
}

/// Reads the number of chunks and their lengths. The caller reads the ids.
pub(super) fn read_lengths(read: &mut Decoder<'_>) -> Result<Vec<ChunkRef>, FormatError> {
    let mut chunks = Vec::new();
    let count = read.count(limits::TREE_NODE, "chunks")?;
    // Each chunk needs a length and an id.
    if count.saturating_mul(33) > read.rest().len() {
        return Err(FormatError::Length);
    }
    for _ in 0..count {
        let len = read.bounded(limits::CHUNK, "bytes in a chunk")? as u32;
        if len == 0 {
            return Err(FormatError::Malformed("a chunk is empty"));
        }
        chunks.push(ChunkRef {
            id: ChunkId([0; 32]),
            len,
        });
    }
    Ok(chunks)
}

pub(crate) fn decode_list(bytes: &[u8]) -> Result<Vec<ChunkRef>, FormatError> {
    let mut read = Decoder::new(bytes);
    if read.u8()? != MARK {
        return Err(FormatError::Malformed("a list of chunks was expected"));
    }
    let mut chunks = read_lengths(&mut read)?;
    for chunk in &mut chunks {
        chunk.id = ChunkId(read.array()?);
    }
    read.finish()?;
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_and_an_insertion_changes_few() {
        let chunk = |n: u64| ChunkRef {
            id: ChunkId(*blake3::hash(&n.to_le_bytes()).as_bytes()),
            len: 9,
        };
        let chunks: Vec<_> = (0..100_000).map(chunk).collect();
        let before: Vec<_> = split_lists(&chunks).map(encode_list).collect();
        let back: Vec<_> = before
            .iter()
            .flat_map(|list| decode_list(list).unwrap())
            .collect();
        assert_eq!(back, chunks);
        let mut more = chunks;
        more.insert(10, chunk(u64::MAX));
        let after: Vec<_> = split_lists(&more).map(encode_list).collect();
        let new = after.iter().filter(|list| !before.contains(list)).count();
        assert!(new <= 3, "{new} of {} lists are new", after.len());
        for len in (0..before[0].len()).step_by(997) {
            assert!(decode_list(&before[0][..len]).is_err(), "cut at {len}");
        }
    }
}
