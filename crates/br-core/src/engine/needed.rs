//! Data that a backup needs although the log or the index says that it is unused.
//!
//! An error in a program, or an attacker with the password, can write such a log entry. Invariant: a prune deletes no pack from which it can
//! read a chunk that a backup needs and that is nowhere else.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::{BackupId, ChunkId, PackId, References};
use crate::repository::{
    ChunkReader, Index, IndexSegment, Io, Layout, Resolver, StoredPack, read_footer,
};

/// Finds references of a backup to packs that exist, that the index does not use, and that have readable chunks that no other pack has.
///
/// # Errors
/// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) if there is one.
pub(super) fn refuse_if_readable(
    io: &Io,
    index: &Index,
    resolver: &Resolver<'_>,
    id: BackupId,
) -> Result<()> {
    let named = io.read_references(id)?;
    let (packs, wanted) = unused_packs(io, index, resolver, &named)?;
    if wanted.is_empty() {
        return Ok(());
    }
    let mut all = index.clone();
    all.push(IndexSegment::from_packs(&packs));
    let reader = ChunkReader::new(io, Arc::new(all));
    for (pack, chunk) in wanted {
        match reader.read(&chunk) {
            Ok(_) => {
                let key = Layout::pack(pack);
                return Err(Error::damaged(format!(
                    "{key} counts as unused, and backup {id} needs data in it: nothing is pruned"
                )));
            }
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A chunk, and the pack that has it.
type Wanted = (PackId, ChunkId);

/// The packs that exist and that the index does not use, and the chunks of `named` in them that have no other sound copy.
fn unused_packs(
    io: &Io,
    index: &Index,
    resolver: &Resolver<'_>,
    named: &References,
) -> Result<(Vec<StoredPack>, Vec<Wanted>)> {
    let (mut packs, mut wanted) = (Vec::new(), Vec::new());
    for (pack, slots) in named.iter().filter(|(pack, _)| !resolver.knows(pack)) {
        io.check_cancelled()?;
        let stored = match read_footer(io, *pack) {
            Ok(stored) => stored,
            // It was lost, or deleted after its data was moved.
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        let ids = slots
            .iter()
            .filter_map(|slot| stored.ids.get(slot as usize));
        let is_elsewhere =
            |id: &ChunkId| index.find_all(id).any(|location| index.is_sound(&location));
        wanted.extend(ids.filter(|id| !is_elsewhere(id)).map(|id| (*pack, *id)));
        packs.push(stored);
    }
    Ok((packs, wanted))
}
