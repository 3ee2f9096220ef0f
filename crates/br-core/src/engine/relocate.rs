//! Copies chunks out of packs that are given up into new ones.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{Compressor, Move, PackContent};
use crate::model::{ChunkRef, References};
use crate::progress::Event;
use crate::repository::{ChunkReader, Index, Io, Packer, RawGroup, StoredPack, target_pack_len};

/// A group is closed when it has so many bytes before compression.
const GROUP_LEN: usize = 1 << 20;

/// What was copied, and where it is now.
#[derive(Debug, Default)]
pub(crate) struct Relocated {
    pub(crate) packs: Vec<StoredPack>,
    pub(crate) moves: Vec<Move>,
}

/// Copies the wanted slots of packs that `index` describes. Chunks keep their order, so that a move is a run of slots.
pub(crate) fn relocate(io: &Io, index: Index, wanted: &References) -> Result<Relocated> {
    if wanted.iter().len() == 0 {
        return Ok(Relocated::default());
    }
    let stored: u64 = index.packs().map(|pack| pack.len).sum();
    let reader = ChunkReader::new(io, Arc::new(index));
    let packer = Packer::start(io, target_pack_len(stored), Box::new(|_| {}))?;
    let copied = copy_all(&reader, wanted, &packer);
    let packs = packer.finish()?;
    let order = copied?;
    let moves = find_moves(&packs, &order);
    Ok(Relocated { packs, moves })
}

/// A slot that was copied, in the order in which it went to the packer.
struct Copied {
    pack: crate::model::PackId,
    slot: u32,
    content: PackContent,
}

fn copy_all(reader: &ChunkReader, wanted: &References, packer: &Packer) -> Result<Vec<Copied>> {
    let groups = packer.sender();
    let mut compressor = Compressor::new(3);
    let mut order = Vec::new();
    let described: Vec<_> = reader
        .index()
        .segments()
        .iter()
        .flat_map(|s| s.segment().clone().into_parts().0)
        .collect();
    for (pack, slots) in wanted.iter() {
        let (entry, ids) = described
            .iter()
            .find(|(entry, _)| entry.id == *pack)
            .ok_or_else(|| Error::damaged(format!("no index segment describes pack {pack}")))?;
        let content = entry.table.content;
        let mut raw = Vec::new();
        let mut chunks = Vec::new();
        let mut flush = |raw: &mut Vec<u8>, chunks: &mut Vec<ChunkRef>| {
            if chunks.is_empty() {
                return Ok(());
            }
            let (codec, stored) = compressor.compress(raw);
            let chunks = std::mem::take(chunks);
            raw.clear();
            let group = RawGroup {
                content,
                codec,
                stored,
                chunks,
                bases: Vec::new(),
            };
            groups
                .send(group)
                .map_err(|_| Error::internal("the packer ended too early"))
        };
        for slot in slots {
            reader.io().check_cancelled()?;
            let id = ids.get(slot as usize).ok_or_else(|| {
                Error::damaged(format!(
                    "pack {pack} has no slot {slot}, which a backup uses"
                ))
            })?;
            let bytes = reader.read_from(*pack, id)?;
            chunks.push(ChunkRef {
                id: *id,
                len: bytes.len() as u32,
            });
            let len = bytes.len() as u64;
            reader.io().context.progress.event(Event::Advance {
                bytes: len,
                entries: 0,
            });
            raw.extend_from_slice(&bytes);
            order.push(Copied {
                pack: *pack,
                slot,
                content,
            });
            if raw.len() >= GROUP_LEN || content == PackContent::Tree {
                flush(&mut raw, &mut chunks)?;
            }
        }
        flush(&mut raw, &mut chunks)?;
    }
    Ok(order)
}

/// Follows the packer: of each content, chunks are in new packs in the order they were copied.
fn find_moves(packs: &[StoredPack], order: &[Copied]) -> Vec<Move> {
    let mut moves: Vec<Move> = Vec::new();
    for content in [PackContent::Data, PackContent::Tree] {
        let mut copied = order.iter().filter(|copied| copied.content == content);
        for pack in packs
            .iter()
            .filter(|pack| pack.entry.table.content == content)
        {
            for (new_slot, copied) in (0..pack.ids.len() as u32).zip(&mut copied) {
                let continues = moves.last_mut().filter(|last| {
                    last.from == copied.pack
                        && last.to == pack.entry.id
                        && last.first + last.slots.len() as u32 == new_slot
                });
                match continues {
                    Some(last) => last.slots.push(copied.slot),
                    None => moves.push(Move {
                        from: copied.pack,
                        to: pack.entry.id,
                        first: new_slot,
                        slots: vec![copied.slot],
                    }),
                }
            }
        }
    }
    moves
}
