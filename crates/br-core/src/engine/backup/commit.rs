//! The last writes of a backup: index segment, manifest and log entry.
//!
//! [`run`] appends the log entry without reading newer entries first. If another process appended an entry in the meantime, the append
//! fails and returns the new entries. If one of them condemns packs, [`rescue`] replaces the references to these packs; then `run` tries
//! again. Invariant: when the log entry is appended, the writer has read every earlier entry, and the backup uses no condemned pack.

use std::collections::BTreeSet;

use super::dedup::note_location;
use super::options::BackupOptions;
use super::pipeline::Collected;
use super::start::Start;
use super::tally::{BackupReport, describe};
use crate::engine::relocate::relocate;
use crate::error::Result;
use crate::format::LogEntry;
use crate::model::{PackId, References};
use crate::repository::{
    Append, ChunkLocation, Index, IndexSegment, Io, LogPosition, MAX_COMMIT_RACES, SegmentPlan,
    StoredPack, conflict,
};

pub(super) fn run(
    io: &Io,
    mut start: Start,
    collected: Collected,
    options: &BackupOptions,
) -> Result<BackupReport> {
    let Collected {
        tally,
        tree,
        totals,
        mut packs,
        mut references,
        journal,
    } = collected;
    let mut backup = describe(io, &start, options, &tally, (tree, totals));
    let report = |backup| BackupReport {
        backup,
        torn: tally.torn,
        packs_resumed: start.packs_resumed,
        dry_run: options.dry_run,
    };
    if options.dry_run {
        return Ok(report(backup));
    }
    add_resumed(&start.index, &references, &mut packs);
    let mut index = (*start.index).clone();
    // Do not look for newer log entries first: that would cost a request, and a failed append returns them anyway.
    let mut news = Vec::new();
    let mut manifest_written = false;
    for _ in 0..MAX_COMMIT_RACES {
        if let Some(lost) = condemned(&news) {
            let (position, packs) = (&start.position, &mut packs);
            rescue(io, position, &mut index, &lost, packs, &mut references)?;
            // A prune deletes manifests that no log entry names, so write the manifest again.
            manifest_written = false;
        }
        let segments = write_segments(io, &start.position, &packs)?;
        if !manifest_written {
            backup.changes.bytes_stored += segments.bytes_written;
            backup.id = io.context.runtime.backup_id();
            backup.changes.bytes_stored += io.create_manifest(&backup, &references)?;
            manifest_written = true;
        }
        let entry = LogEntry::Commit {
            backup: Box::new((&backup.without_unread()).into()),
            segments_added: segments.added,
            segments_removed: segments.removed,
            after: None,
        };
        match start.position.append(io, entry)? {
            Append::Lost(entries) => news = entries,
            Append::Done => {
                if let Some(journal) = journal {
                    journal.remove();
                }
                start.leftover.remove();
                return Ok(report(backup));
            }
        }
    }
    Err(conflict())
}

/// The packs that these entries condemn; `None` when the entries contain no prune.
fn condemned(entries: &[LogEntry]) -> Option<BTreeSet<PackId>> {
    let mut prunes = entries.iter().filter_map(|entry| match entry {
        LogEntry::Condemn { packs, .. } => Some(packs),
        _ => None,
    });
    let first = prunes.next()?;
    Some(first.iter().chain(prunes.flatten()).copied().collect())
}

/// Adds referenced packs that are in no stored segment, such as those of an interrupted run, to the packs of this backup's segment.
fn add_resumed(index: &Index, references: &References, packs: &mut Vec<StoredPack>) {
    for segment in index
        .segments()
        .iter()
        .filter(|segment| segment.id.is_none())
    {
        let (stored, _) = segment.segment().clone().into_parts();
        for (entry, ids) in stored {
            let known = packs.iter().any(|pack| pack.entry.id == entry.id);
            if !known && references.get(&entry.id).is_some() {
                packs.push(StoredPack { entry, ids });
            }
        }
    }
}

/// Replaces references to packs that another process condemned: uses other copies of the chunks, or copies the chunks into new packs. If a
/// chunk has no readable copy left, fails with a conflict, and another run must read the files again.
fn rescue(
    io: &Io,
    position: &LogPosition,
    index: &mut Index,
    lost: &BTreeSet<PackId>,
    packs: &mut Vec<StoredPack>,
    references: &mut References,
) -> Result<()> {
    // A prune cannot distinguish our uncommitted packs from leftovers, so it may have condemned them.
    index.push(IndexSegment::from_packs(packs));
    packs.retain(|pack| !lost.contains(&pack.entry.id));
    // The prune copied the chunks that committed backups use: look for these copies.
    let newest = Index::read(io, &position.state)?;
    let mut wanted = References::default();
    for pack in lost {
        let Some(slots) = references.remove(pack) else {
            continue;
        };
        let ids = index
            .segments()
            .iter()
            .find_map(|segment| segment.chunk_ids(*pack));
        for slot in slots {
            let id = ids.as_ref().and_then(|ids| ids.get(slot as usize));
            // Stored deltas may use this chunk as a base, and a base must be stored whole, so a delta does not replace it.
            let is_left = |location: &ChunkLocation<'_>| {
                !location.is_delta() && !lost.contains(&location.pack.id)
            };
            let location = id.and_then(|id| newest.find_all(id).find(is_left));
            if !location.is_some_and(|location| note_location(&newest, &location, references)) {
                wanted.insert(*pack, slot);
            }
        }
    }
    let moved = relocate(io, index.clone(), &wanted).map_err(|error| match error.kind() {
        crate::ErrorKind::Damaged => conflict().with_source(error),
        _ => error,
    })?;
    add_resumed(&newest, references, packs);
    // Keep the index complete: another prune may run before this backup is committed.
    index.extend(&newest);
    for pack in &moved.packs {
        references.insert_all(pack.entry.id, pack.ids.len() as u32);
    }
    packs.extend(moved.packs);
    Ok(())
}

/// Writes a segment for the new packs, merged with small existing segments.
fn write_segments(
    io: &Io,
    position: &LogPosition,
    packs: &[StoredPack],
) -> Result<crate::repository::WrittenSegments> {
    let mut plan = SegmentPlan::new(io, &position.state);
    plan.add_packs(packs);
    plan.merge_small()?;
    plan.write()
}
