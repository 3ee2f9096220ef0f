//! The last writes of a backup: index segment, manifest and log entry.
//!
//! [`Committer`] appends the log entry without reading newer entries first. If another process appended an entry in the meantime, the
//! append fails and returns the new entries. If one of them condemns packs, [`rescue`] replaces the references to these packs; then the
//! committer tries again. Invariant: when the log entry is appended, the writer has read every earlier entry, and the backup uses no
//! condemned pack.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dedup::note_location;
use super::options::BackupOptions;
use super::pipeline::Collected;
use super::start::Start;
use super::tally::{BackupReport, describe};
use crate::engine::relocate::relocate;
use crate::error::Result;
use crate::format::{LogEntry, Predecessor};
use crate::model::{Backup, PackId, References};
use crate::repository::{
    Append, ChunkLocation, Index, IndexSegment, Io, LogPosition, MAX_COMMIT_RACES, SegmentPlan,
    State, StoredPack, WrittenSegments, conflict,
};

pub(super) fn run(
    io: &Io,
    start: Start,
    collected: Collected,
    options: &BackupOptions,
) -> Result<BackupReport> {
    let Collected {
        tally,
        tree,
        totals,
        packs,
        references,
        journal,
    } = collected;
    let backup = describe(io, &start, options, &tally, (tree, totals));
    let mut report = BackupReport {
        backup,
        torn: tally.torn,
        packs_resumed: start.packs_resumed,
        dry_run: options.dry_run,
    };
    if options.dry_run {
        return Ok(report);
    }
    let mut committer = Committer::new(start.position, &start.index);
    committer.add_packs(packs);
    let mut draft = Draft {
        backup: report.backup,
        references,
        counts_writes: true,
    };
    committer.commit(io, &mut draft, |_| Some(Place::Last))?;
    if let Some(journal) = journal {
        journal.remove();
    }
    start.leftover.remove();
    report.backup = draft.backup;
    Ok(report)
}

/// Where a backup comes in the order of backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Place {
    /// It is the newest.
    Last,
    /// Directly after its predecessor.
    After(Predecessor),
}

/// A backup whose data is stored and that is not in the log yet.
#[derive(Debug)]
pub(in crate::engine) struct Draft {
    /// The description. The committer chooses the id.
    pub(in crate::engine) backup: Backup,
    pub(in crate::engine) references: References,
    /// Whether the bytes that the committer writes count as bytes stored by the backup.
    pub(in crate::engine) counts_writes: bool,
}

/// Commits backups, one after the other, whose packs were stored by the same process.
#[derive(Debug)]
pub(in crate::engine) struct Committer {
    position: LogPosition,
    index: Index,
    /// Stored packs that no segment in the log describes.
    packs: Vec<StoredPack>,
    /// Packs that segments of this committer describe, and that are in the log.
    described: BTreeSet<PackId>,
    /// Packs that other processes condemned since the index was read.
    lost: BTreeSet<PackId>,
}

impl Committer {
    /// Commits after this position. The index is the one that the references were made with.
    pub(in crate::engine) fn new(position: LogPosition, index: &Index) -> Self {
        Self {
            position,
            index: index.clone(),
            packs: Vec::new(),
            described: BTreeSet::new(),
            lost: BTreeSet::new(),
        }
    }

    /// Adds packs that the next backup brings.
    pub(in crate::engine) fn add_packs(&mut self, packs: Vec<StoredPack>) {
        self.packs.extend(packs);
    }

    /// Commits a backup. Before each attempt `place` is called with the newest state. Returns false, and commits nothing, when it
    /// returns `None`.
    pub(in crate::engine) fn commit(
        &mut self,
        io: &Io,
        draft: &mut Draft,
        place: impl Fn(&State) -> Option<Place>,
    ) -> Result<bool> {
        add_resumed(&self.index, &draft.references, &mut self.packs);
        let described = &self.described;
        self.packs
            .retain(|pack| !described.contains(&pack.entry.id));
        // Do not look for newer log entries first: that would cost a request, and a failed append returns them anyway.
        let mut is_rescued = self.lost.is_empty();
        let mut manifest_written = false;
        for _ in 0..MAX_COMMIT_RACES {
            let Some(place) = place(&self.position.state) else {
                return Ok(false);
            };
            if !is_rescued {
                self.rescue(io, &mut draft.references)?;
                is_rescued = true;
                // A prune deletes manifests that no log entry names, so write the manifest again.
                manifest_written = false;
            }
            let segments = self.write_segments(io)?;
            if !manifest_written {
                let backup = &mut draft.backup;
                if draft.counts_writes {
                    backup.changes.bytes_stored += segments.bytes_written;
                }
                backup.id = io.context.runtime.backup_id();
                let written = io.create_manifest(backup, &draft.references)?;
                if draft.counts_writes {
                    backup.changes.bytes_stored += written;
                }
                manifest_written = true;
            }
            match self
                .position
                .append(io, entry(&draft.backup, segments, place))?
            {
                Append::Lost(new_entries) => {
                    if let Some(lost) = condemned(&new_entries) {
                        self.lost.extend(lost);
                        is_rescued = false;
                    }
                }
                Append::Done => {
                    self.note_described();
                    return Ok(true);
                }
            }
        }
        Err(conflict())
    }

    /// Adds the stored packs that no log entry describes to the index, without a backup. Fails with a conflict if other processes condemned
    /// all of them: a prune cannot tell them from leftovers.
    pub(in crate::engine) fn commit_packs(&mut self, io: &Io) -> Result<()> {
        self.packs = self.index.undescribed().collect();
        if self.packs.is_empty() {
            return Ok(());
        }
        for _ in 0..MAX_COMMIT_RACES {
            let segments = self.write_segments(io)?;
            let entry = LogEntry::index(segments.added, segments.removed);
            let Append::Lost(new_entries) = self.position.append(io, entry)? else {
                self.note_described();
                return Ok(());
            };
            self.lost
                .extend(condemned(&new_entries).into_iter().flatten());
            let lost = &self.lost;
            self.packs.retain(|pack| !lost.contains(&pack.entry.id));
            if self.packs.is_empty() {
                break;
            }
        }
        Err(conflict())
    }

    fn note_described(&mut self) {
        let packs = self.packs.drain(..);
        self.described.extend(packs.map(|pack| pack.entry.id));
    }

    /// The state after the newest entry that was read.
    pub(in crate::engine) const fn state(&self) -> &State {
        &self.position.state
    }

    /// The position after the last commit, and whether another process condemned packs meanwhile.
    pub(in crate::engine) fn finish(self) -> (LogPosition, bool) {
        (self.position, !self.lost.is_empty())
    }

    fn rescue(&mut self, io: &Io, references: &mut References) -> Result<()> {
        let (position, packs) = (&self.position, &mut self.packs);
        rescue(io, position, &mut self.index, &self.lost, packs, references)
    }

    /// Writes a segment for the new packs, merged with small existing segments.
    fn write_segments(&self, io: &Io) -> Result<WrittenSegments> {
        let mut plan = SegmentPlan::new(io, &self.position.state);
        plan.add_packs(&self.packs);
        plan.merge_small()?;
        plan.write()
    }
}

fn entry(backup: &Backup, segments: WrittenSegments, place: Place) -> LogEntry {
    LogEntry::Commit {
        backup: Arc::new(backup.as_listed()),
        segments_added: segments.added,
        segments_removed: segments.removed,
        after: match place {
            Place::Last => None,
            Place::After(predecessor) => Some(predecessor),
        },
    }
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
    for pack in index.undescribed() {
        let id = pack.entry.id;
        let known = packs.iter().any(|pack| pack.entry.id == id);
        if !known && references.get(&id).is_some() {
            packs.push(pack);
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
        // A write-only key cannot copy content. The next attempt reads it from the source again.
        crate::ErrorKind::Damaged | crate::ErrorKind::KeyRights => conflict().with_source(error),
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
