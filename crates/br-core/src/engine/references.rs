//! What all backups together use.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::backup::note_what_is_left;
use crate::error::{Error, Result};
use crate::format::Move;
use crate::model::{Backup, ChunkRef, Content, EntryKind, FileContent, PackId, References};
use crate::progress::Event;
use crate::repository::{ChunkReader, Index, Io, State, TreeReader};

/// Finds where chunks are now that reference sets name. Made once and used for many sets: it knows all packs and moves.
pub(crate) struct Resolver<'a> {
    alive: HashSet<PackId>,
    moves: HashMap<PackId, Vec<&'a Move>>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(index: &'a Index) -> Self {
        Self {
            alive: index.packs().map(|pack| pack.id).collect(),
            moves: index.moves(),
        }
    }

    /// Follows moves; false when that does not lead to packs that the index describes, as after a loss of packs or a repair.
    pub(crate) fn resolve(&self, references: &mut References) -> bool {
        self.follow_moves(references).is_ok()
            && references.iter().all(|(pack, _)| self.alive.contains(pack))
    }

    /// Follows chunks that were moved since the reference sets were written. Slots of packs that no segment describes stay as
    /// they are.
    fn follow_moves(&self, references: &mut References) -> Result<()> {
        // A chain of moves visits a pack once: more rounds than packs are a circle.
        for _ in 0..=self.moves.len() {
            let moved: Vec<PackId> = references
                .iter()
                .map(|(pack, _)| *pack)
                .filter(|pack| !self.alive.contains(pack) && self.moves.contains_key(pack))
                .collect();
            if moved.is_empty() {
                return Ok(());
            }
            for pack in moved {
                follow(&self.moves, pack, references)?;
            }
        }
        Err(Error::damaged("moves of chunks form a circle in the index"))
    }
}

fn follow(
    moves: &HashMap<PackId, Vec<&Move>>,
    pack: PackId,
    references: &mut References,
) -> Result<()> {
    let Some(slots) = references.remove(&pack) else {
        return Ok(());
    };
    let places: HashMap<u32, (PackId, u32)> = moves
        .get(&pack)
        .into_iter()
        .flatten()
        .flat_map(|m| {
            m.slots
                .iter()
                .zip(m.first..)
                .map(|(old, new)| (*old, (m.to, new)))
        })
        .collect();
    for slot in slots {
        let (to, new) = places.get(&slot).ok_or_else(|| {
            Error::damaged(format!(
                "slot {slot} of pack {pack} is in use and was not moved"
            ))
        })?;
        references.insert(*to, *new);
    }
    Ok(())
}

/// The union of what all live backups use, moves followed; and the packs that their manifests name.
pub(crate) fn all_references(
    io: &Io,
    state: &State,
    index: &Index,
) -> Result<(References, BTreeSet<PackId>)> {
    let reader = Arc::new(ChunkReader::new(io, Arc::new(index.clone())));
    let resolver = Resolver::new(index);
    let mut all = References::default();
    let mut named = BTreeSet::new();
    for backup in state.backups.values() {
        io.check_cancelled()?;
        let (_, mut own) = io.read_manifest(backup.id)?;
        named.extend(own.iter().map(|(pack, _)| *pack));
        if !resolver.resolve(&mut own) {
            let message = format!(
                "backup {} names packs that are not there any more: its tree is walked instead",
                backup.id
            );
            io.context
                .progress
                .event(Event::Warning { message: &message });
            own = by_tree(&reader, backup)?;
        }
        all.union(&own);
    }
    Ok((all, named))
}

/// What a backup uses, found by walking its tree. Chunks that are nowhere are lost already; they do not keep anything.
fn by_tree(reader: &Arc<ChunkReader>, backup: &Backup) -> Result<References> {
    let index = reader.index();
    let mut references = References::default();
    let mut note = |chunk: &ChunkRef| {
        for place in index.find_all(&chunk.id) {
            // Part of what it rests on may be lost, and stored again.
            note_what_is_left(index, &place, &mut references);
        }
    };
    let mut tree = TreeReader::new(reader, backup).remember_nodes();
    while let Some(entry) = tree.next() {
        reader.io().check_cancelled()?;
        // Without its tree nobody knows what a backup uses.
        let entry = entry.map_err(|gap| gap.error)?;
        if let EntryKind::File(FileContent {
            content: Content::Chunks(chunks),
            ..
        }) = &entry.kind
        {
            chunks.iter().for_each(&mut note);
        }
        tree.take_nodes().iter().for_each(&mut note);
    }
    tree.take_nodes().iter().for_each(&mut note);
    Ok(references)
}
