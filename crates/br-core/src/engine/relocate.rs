//! Copies chunks out of condemned packs into new packs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::format::{Compressor, Move, PackContent};
use crate::model::{ChunkRef, PackId, References};
use crate::progress::Event;
use crate::repository::{
    ChunkReader, GROUP_LEN, Index, Io, Packer, RawGroup, StoredPack, target_pack_len,
};

/// Result of copying: the new packs and the moves into them.
#[derive(Debug, Default)]
pub(crate) struct Relocated {
    pub(crate) packs: Vec<StoredPack>,
    pub(crate) moves: Vec<Move>,
    /// Every pack that was stored, with its length if known. Has more packs than `packs` when copying failed.
    pub(crate) stored: BTreeMap<PackId, u64>,
}

impl Relocated {
    pub(crate) fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    /// Removes packs that another process condemned.
    pub(crate) fn forget(&mut self, packs: &BTreeSet<PackId>) {
        self.packs.retain(|pack| !packs.contains(&pack.entry.id));
        self.moves.retain(|moved| !packs.contains(&moved.to));
        self.stored.retain(|pack, _| !packs.contains(pack));
    }

    /// Discards the copies; `stored` still lists their packs.
    pub(crate) fn give_up(&mut self) {
        self.packs.clear();
        self.moves.clear();
    }
}

/// Copies the wanted slots of packs that `index` describes. Chunks keep their order, so each move is a run of slots.
pub(crate) fn relocate(io: &Io, index: Index, wanted: &References) -> Result<Relocated> {
    let (moved, done) = relocate_some(io, index, wanted);
    done.map(|()| moved)
}

/// As [`relocate`], but also returns the chunks that were copied before an error.
pub(crate) fn relocate_some(io: &Io, index: Index, wanted: &References) -> (Relocated, Result<()>) {
    let mut moved = Relocated::default();
    let stored = Arc::new(Mutex::new(Vec::new()));
    let done = run(io, index, wanted, &stored, &mut moved);
    let stored = stored.lock().map(|mut all| std::mem::take(&mut *all));
    let stored = stored.unwrap_or_default().into_iter();
    moved.stored.extend(stored.map(|pack| (pack, 0)));
    let lengths = moved
        .packs
        .iter()
        .map(|pack| (pack.entry.id, pack.entry.len));
    moved.stored.extend(lengths);
    (moved, done)
}

fn run(
    io: &Io,
    index: Index,
    wanted: &References,
    stored: &Arc<Mutex<Vec<PackId>>>,
    moved: &mut Relocated,
) -> Result<()> {
    if wanted.iter().len() == 0 {
        return Ok(());
    }
    let len: u64 = index.packs().map(|pack| pack.len).sum();
    let reader = ChunkReader::new(io, Arc::new(index));
    let stored = Arc::clone(stored);
    let note = Box::new(move |pack| {
        if let Ok(mut stored) = stored.lock() {
            stored.push(pack);
        }
    });
    let packer = Packer::start(io, target_pack_len(len), note)?;
    let mut order = Vec::new();
    let copied = copy_all(&reader, wanted, &packer, &mut order);
    moved.packs = packer.finish()?;
    moved.moves = find_moves(&moved.packs, &order);
    copied
}

/// A copied slot; these are listed in the order in which the packer received them.
struct Copied {
    pack: PackId,
    slot: u32,
    content: PackContent,
}

fn copy_all(
    reader: &ChunkReader,
    wanted: &References,
    packer: &Packer,
    order: &mut Vec<Copied>,
) -> Result<()> {
    let groups = packer.sender();
    let mut compressor = Compressor::new(3);
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
            .ok_or_else(|| {
                Error::damaged_pack(format!("no index segment describes pack {pack}"))
            })?;
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
                Error::damaged_pack(format!(
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
    Ok(())
}

/// Derives the moves from the packer's behavior: for each content, the new packs contain the chunks in the order they were copied.
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
