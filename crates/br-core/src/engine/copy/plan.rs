//! Which backups are copied, and which chunks each of them adds.
//!
//! [`select`] decides by the backup lists alone; [`plan`] finds the chunks by the reference sets of the manifests. Invariant: each chunk
//! is planned once, for the oldest backup that needs it.

use std::collections::HashSet;

use super::ids::Ids;
use super::missed;
use super::options::CopyOptions;
use super::runs::{Kind, plan_runs};
use super::sides::Source;
use crate::engine::backup::Dedup;
use crate::error::Result;
use crate::model::{Backup, BackupId, PackId, References};
use crate::repository::{History, Io, State};

/// The selected backups, in the order of the source.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// The ones that the target lacks.
    pub(super) wanted: Vec<Backup>,
    /// The ones that it has.
    pub(super) present: Vec<Backup>,
    /// The ones that were deleted in the target, and were not selected by their id.
    pub(super) deleted: Vec<Backup>,
    /// Backups of the target that the source missed, if the copy looks for them.
    pub(super) source_missed: Vec<BackupId>,
}

/// Selects backups. Reads the whole log of the target only if it lacks one of them.
pub(super) fn select(
    source: &State,
    source_io: &Io,
    target: &State,
    target_io: &Io,
    options: &CopyOptions,
) -> Result<Selection> {
    let mut named = HashSet::new();
    let mut chosen = HashSet::new();
    for selector in &options.backups {
        let id = source.find(selector)?.id;
        chosen.insert(id);
        if selector.is_id() {
            named.insert(id);
        }
    }
    let mut source_missed = Vec::new();
    if options.catch_up {
        let ends = source.backups.values();
        let ends: Vec<Backup> = ends
            .filter(|one| chosen.contains(&one.id))
            .cloned()
            .collect();
        chosen.extend(missed::find(source, target, target_io.created(), &ends));
        let missed = missed::find(target, source, source_io.created(), &ends);
        let missed = target
            .backups
            .values()
            .filter(|one| missed.contains(&one.id));
        source_missed = missed.map(|backup| backup.id).collect();
    }
    chosen.extend(&options.missed);
    let is_chosen = |backup: &Backup| {
        if options.backups.is_empty() {
            options.filter.matches(backup)
        } else {
            chosen.contains(&backup.id)
        }
    };
    let there: HashSet<BackupId> = target.backups.values().map(Backup::original_id).collect();
    let mut selection = Selection {
        source_missed,
        ..Selection::default()
    };
    for backup in source.backups.values().filter(|backup| is_chosen(backup)) {
        if there.contains(&backup.original_id()) {
            selection.present.push(backup.clone());
        } else {
            selection.wanted.push(backup.clone());
        }
    }
    if selection
        .wanted
        .iter()
        .all(|backup| named.contains(&backup.id))
    {
        return Ok(selection);
    }
    // Entries before the newest checkpoint may be unreadable. Then it is not known what they deleted, and the backup is copied.
    let earlier = History::read(target_io)?.originals;
    let was_there = |backup: &mut Backup| {
        earlier.contains(&backup.original_id()) && !named.contains(&backup.id)
    };
    selection.deleted = selection.wanted.extract_if(.., was_there).collect();
    Ok(selection)
}

/// A backup to copy.
pub(super) struct Planned {
    /// The backup as it is in the source, with its unread entries and its configuration.
    pub(super) backup: Backup,
    /// Slots of data packs of the source that no earlier backup of the plan needs.
    pub(super) fresh: References,
    /// Bytes of those of them that the target lacks, before compression.
    pub(super) bytes_new: u64,
    /// The same as stored in the source.
    pub(super) bytes_to_read: u64,
}

/// Plans the copy of backups that the target lacks.
pub(super) fn plan(
    source: &mut Source,
    dedup: &Dedup,
    ids: &Ids,
    wanted: Vec<Backup>,
) -> Result<Vec<Planned>> {
    let mut seen = References::default();
    let mut planned = Vec::new();
    for backup in wanted {
        source.io.check_cancelled()?;
        let (backup, references) = read_manifest(source, backup)?;
        let fresh = new_slots(&references, &mut seen);
        planned.push(Planned {
            backup,
            fresh,
            bytes_new: 0,
            bytes_to_read: 0,
        });
    }
    for one in &mut planned {
        source.io.check_cancelled()?;
        measure(source, dedup, ids, one);
    }
    Ok(planned)
}

/// Reads the manifest of a backup. If it is lost, the chunks of the backup are found by its tree.
fn read_manifest(source: &mut Source, listed: Backup) -> Result<(Backup, References)> {
    let (manifest, mut references) = match source.io.read_manifest(listed.id) {
        Ok(read) => read,
        Err(error) if error.is_damage() => {
            source.check_unpruned()?;
            return Ok((listed, References::default()));
        }
        Err(error) => return Err(error),
    };
    let resolver = source.index.resolver();
    // If this leads to packs that no longer exist, their chunks are found by the tree.
    let _ = resolver.resolve(&mut references);
    let mut data = References::default();
    let alive = source.index.packs();
    for pack in alive.filter(|pack| pack.table.content == crate::format::PackContent::Data) {
        if let Some(slots) = references.get(&pack.id) {
            data.insert_slots(pack.id, slots);
        }
    }
    Ok((listed.with_parts_of(manifest), data))
}

/// Returns the slots that are not in `seen`, and adds them to `seen`.
fn new_slots(references: &References, seen: &mut References) -> References {
    let mut fresh = References::default();
    for (pack, slots) in references.iter() {
        let new = match seen.get(pack) {
            Some(seen) => slots - seen,
            None => slots.clone(),
        };
        if !new.is_empty() {
            fresh.insert_slots(*pack, &new);
            seen.insert_slots(*pack, &new);
        }
    }
    fresh
}

/// Counts what the target lacks.
fn measure(source: &Source, dedup: &Dedup, ids: &Ids, planned: &mut Planned) {
    let (mut new, mut to_read) = (0, 0);
    let is_wanted = |pack: PackId, slot: u32, id: &_| {
        let there = ids.at(pack, slot, id).filter(|id| dedup.is_stored(id));
        there.is_none()
    };
    plan_runs(&source.index, &planned.fresh, Kind::Any, is_wanted, |run| {
        for job in &run.groups {
            let group = &run.pack.table.groups[job.number];
            let lengths = job.wanted.iter().map(|nth| u64::from(group.lengths[*nth]));
            new += lengths.sum::<u64>();
            to_read += u64::from(group.stored_len);
        }
        true
    });
    (planned.bytes_new, planned.bytes_to_read) = (new, to_read);
}
