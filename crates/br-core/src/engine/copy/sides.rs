//! Source and target of a copy, as they were read.

use std::collections::HashSet;
use std::sync::Arc;

use crate::engine::backup::{adopt, find_stored};
use crate::error::{Error, ErrorKind, Result};
use crate::format::LogEntry;
use crate::model::{Backup, BackupId, PackId};
use crate::repository::{
    ChunkReader, Index, IndexSegment, Io, Leftover, LogPosition, StoredPack, keep_reserve,
};

/// The repository that is copied from.
pub(super) struct Source {
    pub(super) io: Io,
    position: LogPosition,
    /// The log was rebuilt in memory, so newer entries cannot be read.
    is_rebuilt: bool,
    pub(super) index: Arc<Index>,
    pub(super) reader: Arc<ChunkReader>,
}

impl Source {
    /// Reads the index at a position of the log.
    pub(super) fn read(io: Io, mut position: LogPosition, is_rebuilt: bool) -> Result<Self> {
        let index = if is_rebuilt {
            Index::read(&io, &position.state)?
        } else {
            Index::read_newest(&io, &mut position)?
        };
        index.warn_of_damage(&io);
        let index = Arc::new(index);
        let reader = Arc::new(ChunkReader::new(&io, Arc::clone(&index)));
        Ok(Self {
            io,
            position,
            is_rebuilt,
            index,
            reader,
        })
    }

    /// The original of a backup of the source; the backup itself if the source does not have it.
    pub(super) fn original_of(&self, id: BackupId) -> BackupId {
        let backup = self.position.state.backups.get(&id);
        backup.map_or(id, Backup::original_id)
    }

    /// Fails when a prune condemned packs since the index was read: then unreadable data is not damaged, but was deleted.
    pub(super) fn check_unpruned(&mut self) -> Result<()> {
        if self.is_rebuilt {
            return Ok(());
        }
        let new_entries = self.position.refresh(&self.io)?;
        if !new_entries.iter().any(is_prune) {
            return Ok(());
        }
        let message = "a prune removed data of the source while it was copied: copy again";
        Err(Error::new(ErrorKind::Conflict, message))
    }
}

/// The repository that is copied into.
pub(super) struct Target {
    pub(super) io: Io,
    pub(super) position: LogPosition,
    pub(super) index: Arc<Index>,
    /// Packs of an interrupted run.
    pub(super) packs_resumed: u64,
}

impl Target {
    /// Reads the index at the newest position, and finds the packs of interrupted runs.
    pub(super) fn read(io: &Io, mut position: LogPosition, dry_run: bool) -> Result<Self> {
        // The packs are listed first: then the index has every pack that another writer commits in between.
        let stored = find_stored(io, &Leftover::default(), false)?;
        if dry_run {
            let _ = position.refresh(io)?;
        } else {
            position.begin(io)?;
            let _ = position.refresh(io)?;
            keep_reserve(io);
        }
        let mut index = Index::read_newest(io, &mut position)?;
        index.warn_of_damage(io);
        let packs_resumed = adopt(io, &position, &mut index, stored)?;
        Ok(Self {
            io: io.clone(),
            position,
            index: Arc::new(index),
            packs_resumed,
        })
    }

    /// Continues at the position after a batch. True when a prune condemned packs meanwhile, or if `was_pruned` is true already.
    pub(super) fn advance(&mut self, mut position: LogPosition, was_pruned: bool) -> Result<bool> {
        let new_entries = position.refresh(&self.io)?;
        let was_pruned = was_pruned || new_entries.iter().any(is_prune);
        let is_same = !was_pruned && position.state.condemned == self.position.state.condemned;
        let mut index = if is_same {
            self.index.refreshed(&self.io, &mut position)?
        } else {
            Index::read_newest(&self.io, &mut position)?
        };
        if !was_pruned {
            keep_undescribed(&self.index, &mut index);
        }
        self.index = Arc::new(index);
        self.position = position;
        Ok(was_pruned)
    }
}

/// Keeps stored packs that no commit describes yet: those of an interrupted run, and of a backup that turned out to be damaged.
fn keep_undescribed(old: &Index, new: &mut Index) {
    let known: HashSet<PackId> = new.packs().map(|pack| pack.id).collect();
    let rest = old
        .undescribed()
        .filter(|pack| !known.contains(&pack.entry.id));
    let rest: Vec<StoredPack> = rest.collect();
    if !rest.is_empty() {
        new.push(IndexSegment::from_packs(&rest));
    }
}

const fn is_prune(entry: &LogEntry) -> bool {
    matches!(entry, LogEntry::Condemn { .. })
}
