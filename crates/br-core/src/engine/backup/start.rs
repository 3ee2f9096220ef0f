//! The state that a backup starts from: the log, the index, the base and the packs of interrupted runs.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::base;
use super::options::BackupOptions;
use crate::error::Result;
use crate::model::{Backup, PackId, Totals};
use crate::progress::Event;
use crate::repository::{Index, IndexSegment, Io, Layout, Leftover, LogPosition, keep_reserve};
use crate::source::Source;

/// The state that a backup starts from.
pub(super) struct Start {
    pub(super) position: LogPosition,
    pub(super) index: Arc<Index>,
    pub(super) base: Option<Backup>,
    pub(super) leftover: Leftover,
    pub(super) packs_resumed: u64,
    pub(super) started: Timestamp,
    /// Whether the source can tell which files are unchanged since the base.
    pub(super) skips: bool,
    /// Whether new chunks may be stored as deltas.
    pub(super) deltas: bool,
    /// Whether an entry that cannot be read fails the backup.
    pub(super) needs_everything: bool,
}

impl Start {
    /// Reads the state that a backup of `source` starts from.
    pub(super) fn read(io: &Io, source: &dyn Source, options: &BackupOptions) -> Result<Self> {
        let started = io.context.runtime.clock.now();
        let leftover = options
            .journal
            .as_ref()
            .map(|folder| Leftover::find(folder, io));
        let leftover = leftover.unwrap_or_default();
        let stored = find_stored(io, &leftover, options.journal.is_some())?;
        let mut position = LogPosition::read(io)?;
        if !options.dry_run {
            position.begin(io)?;
            keep_reserve(io);
        }
        let mut index = Index::read_newest(io, &mut position)?;
        index.warn_of_damage(io);
        let base = base::choose(&position, options)?;
        let packs_resumed = adopt(io, &position, &mut index, stored)?;
        if let Some(base) = &base {
            let Totals { bytes, entries, .. } = base.totals;
            io.context.progress.event(Event::Expect { bytes, entries });
        }
        let deltas = options.deltas.unwrap_or(!io.storage().is_remote());
        // A delta needs the content of its bases.
        let deltas = deltas && !io.repository.is_write_only();
        let skips = source.can_skip_unchanged();
        let needs_everything = source.needs_everything();
        Ok(Self {
            position,
            index: Arc::new(index),
            // If the source cannot skip files and deltas are off, the backup does not need the base.
            base: base.filter(|_| skips || deltas),
            leftover,
            packs_resumed,
            started,
            skips,
            deltas,
            needs_everything,
        })
    }
}

/// Finds the packs that interrupted runs left. Lists all stored packs if there is no journal, and also after an interrupted run on this
/// machine, because its last packs may be stored but missing from its journal. Must be called before the log is read: then the index
/// contains every pack that another writer commits in between.
pub(in crate::engine) fn find_stored(
    io: &Io,
    leftover: &Leftover,
    has_journal: bool,
) -> Result<BTreeSet<PackId>> {
    let mut stored: BTreeSet<PackId> = leftover.packs.iter().copied().collect();
    if !has_journal || leftover.is_any() {
        let listed = io.list(Layout::PACKS)?;
        stored.extend(
            listed
                .iter()
                .filter_map(|pack| Layout::id::<PackId>(&pack.key)),
        );
    }
    Ok(stored)
}

/// Adds stored packs that no segment describes to the index, unless they are condemned or can no longer be read.
pub(in crate::engine) fn adopt(
    io: &Io,
    position: &LogPosition,
    index: &mut Index,
    stored: BTreeSet<PackId>,
) -> Result<u64> {
    let known: HashSet<_> = index.packs().map(|pack| pack.id).collect();
    let is_new = |id: &PackId| !known.contains(id) && !position.state.condemned.contains(id);
    let mut packs = Vec::new();
    for id in stored.into_iter().filter(is_new) {
        io.check_cancelled()?;
        // Ignore a missing or damaged pack: its chunks are stored again.
        packs.extend(crate::repository::read_footer(io, id).ok());
    }
    // Drop packs whose deltas have missing bases. Otherwise such a pack would be kept for its other chunks although its deltas are
    // unreadable.
    loop {
        let mut all = index.clone();
        all.push(IndexSegment::from_packs(&packs));
        let count = packs.len();
        packs.retain(|pack| {
            let mut bases = pack
                .entry
                .table
                .groups
                .iter()
                .flat_map(|group| &group.bases);
            bases.all(|base| all.find_whole(base).is_some())
        });
        if packs.len() == count {
            break;
        }
    }
    if !packs.is_empty() {
        index.push(IndexSegment::from_packs(&packs));
    }
    Ok(packs.len() as u64)
}
