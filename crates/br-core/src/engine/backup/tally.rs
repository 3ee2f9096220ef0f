//! Counters and the report of a backup.

use serde::Serialize;

use super::options::BackupOptions;
use super::start::Start;
use crate::model::{Backup, BackupKind, Changes, Reason, StreamRecord, Totals, Unread};
use crate::repository::Io;

/// The result of a backup.
#[derive(Debug, Clone, Serialize)]
#[must_use = "it says whether the backup is complete"]
#[non_exhaustive]
pub struct BackupReport {
    /// The backup as it is in the backup list. After a dry run it is not there.
    pub backup: Backup,
    /// Files that changed while they were read. They are in the backup, but may mix two states.
    pub torn: u64,
    /// Packs reused from an interrupted run.
    pub packs_resumed: u64,
    /// True when nothing was stored.
    pub dry_run: bool,
}

/// The collector's counts, before the commit.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) changes: Changes,
    pub(super) unread: Vec<Unread>,
    pub(super) unread_count: u64,
    pub(super) torn: u64,
    pub(super) streams: Vec<StreamRecord>,
}

impl Tally {
    pub(super) fn unread(&mut self, path: &crate::model::EntryPath, mut reason: String) {
        /// A manifest must not exceed the readers' limit.
        const MAX_REASON: usize = 1_000;
        self.unread_count += 1;
        if reason.len() > MAX_REASON {
            reason.truncate(reason.floor_char_boundary(MAX_REASON));
            reason.push('…');
        }
        if self.unread.len() < Backup::MAX_UNREAD {
            let path = path.as_bytes().to_vec();
            self.unread.push(Unread {
                path,
                reason: Reason(reason),
            });
        }
    }

    pub(super) fn stream(&mut self, record: StreamRecord) {
        if self.streams.len() < StreamRecord::MAX_NUMBER {
            self.streams.push(record);
        }
    }
}

pub(super) fn describe(
    io: &Io,
    start: &Start,
    options: &BackupOptions,
    tally: &Tally,
    (tree, totals): (Option<crate::model::TreeRoot>, Totals),
) -> Backup {
    // If every file was read, the base was used only for deltas: the backup is a full one.
    let base = start.base.as_ref().filter(|_| start.skips);
    let kind = match base {
        Some(_) => BackupKind::Incremental,
        None => BackupKind::Full,
    };
    Backup {
        id: io.context.runtime.backup_id(),
        kind,
        base: base.map(|base| base.id),
        origin: options.origin.clone(),
        host: options.host.clone(),
        user: options.user.clone(),
        paths: options.paths.clone(),
        folder: options.folder.clone(),
        tags: options.tags.clone(),
        started: start.started,
        finished: io.context.runtime.clock.now(),
        tree,
        totals,
        changes: tally.changes,
        unread: tally.unread.clone(),
        unread_count: tally.unread_count,
        program: crate::PROGRAM.to_owned(),
        note: None,
        pinned: false,
        proven: None,
        damaged: None,
        copy_of: None,
        rewrite_of: None,
        configuration: options.configuration.clone(),
        streams: tally.streams.clone(),
    }
}
