//! What all backups together use.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::format::Move;
use crate::model::{PackId, References};
use crate::repository::{Index, Io, State};

/// Follows chunks that were moved since the reference sets were written. Slots of packs that no segment describes stay as
/// they are: the caller decides what that means.
pub(crate) fn follow_moves(index: &Index, references: &mut References) -> Result<()> {
    let moves = index.moves();
    let alive: std::collections::HashSet<_> = index.packs().map(|pack| pack.id).collect();
    // A chain of moves visits a pack once: more rounds than packs are a circle.
    for _ in 0..=moves.len() {
        let moved: Vec<PackId> = references
            .iter()
            .map(|(pack, _)| *pack)
            .filter(|pack| !alive.contains(pack) && moves.contains_key(pack))
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        for pack in moved {
            follow(&moves, pack, references)?;
        }
    }
    Err(Error::damaged("moves of chunks form a circle in the index"))
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
) -> Result<(References, std::collections::BTreeSet<PackId>)> {
    let mut all = References::default();
    for id in state.backups.keys() {
        io.check_cancelled()?;
        all.union(&io.read_manifest(*id)?.1);
    }
    let named = all.iter().map(|(pack, _)| *pack).collect();
    follow_moves(index, &mut all)?;
    Ok((all, named))
}
