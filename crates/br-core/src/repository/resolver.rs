//! Finds chunks that were moved after a reference set was written.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, ObjectKind, Result};
use crate::format::{Move, PackEntry};
use crate::model::{PackId, References};

/// Finds the current locations of the chunks in reference sets. It knows all packs and moves, so create it once and use it for many sets.
pub(crate) struct Resolver<'a> {
    alive: HashSet<PackId>,
    moves: HashMap<PackId, Vec<&'a Move>>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        packs: impl Iterator<Item = &'a PackEntry>,
        moves: impl Iterator<Item = &'a Move>,
    ) -> Self {
        let mut by_pack: HashMap<PackId, Vec<&Move>> = HashMap::new();
        for moved in moves {
            by_pack.entry(moved.from).or_default().push(moved);
        }
        Self {
            alive: packs.map(|pack| pack.id).collect(),
            moves: by_pack,
        }
    }

    /// True if the index describes the pack and it is not condemned.
    pub(crate) fn knows(&self, pack: &PackId) -> bool {
        self.alive.contains(pack)
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
        let circle = Error::damaged("moves of chunks form a cycle in the index");
        Err(circle.about(ObjectKind::Index))
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
            Error::damaged_pack(format!(
                "slot {slot} of pack {pack} is in use and was not moved"
            ))
        })?;
        references.insert(*to, *new);
    }
    Ok(())
}
