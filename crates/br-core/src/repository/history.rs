//! The whole commit log, from its first entry, as far as it is readable.
//!
//! Unlike the newest checkpoint, [`History`] also knows which backups were deleted, which segments were ever named, and which entries are
//! missing or altered. Invariant: an unreadable entry never hides a readable one.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;

use super::log::{self, Fetched};
use super::{Io, Layout, State};
use crate::error::{ErrorKind, Result, in_one_line};
use crate::format::{LogEntry, LogRecord};
use crate::model::{Backup, BackupId, SegmentId};

/// Number of entries held in memory at the same time.
const AT_ONCE: usize = 64;

/// The combined content of all log entries.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The state after the last entry, without the entries that are unreadable.
    pub(crate) state: State,
    /// Backups that were deleted.
    pub(crate) deleted: BTreeSet<BackupId>,
    /// Backups that were deleted after the last condemn entry: their data and manifests exist.
    pub(crate) recoverable: Vec<DeletedBackup>,
    /// The originals of all backups that were ever committed, deleted ones included.
    pub(crate) originals: HashSet<BackupId>,
    /// All backups that were ever committed, in the order of their first commits.
    order: Vec<BackupId>,
    /// The same, for look-ups.
    known: HashSet<BackupId>,
    /// Segments that some entry added or removed.
    pub(crate) segments: BTreeSet<SegmentId>,
    /// Entries that are missing or cannot be used, in order.
    pub(crate) problems: Vec<LogProblem>,
    /// The newest checkpoint; earlier entries are not needed.
    pub(crate) checkpoint: Option<u64>,
    /// The number of the last existing entry.
    pub(crate) last: Option<u64>,
    /// True when a needed entry could not be read: `state` lacks its changes.
    pub(crate) is_broken: bool,
    /// Digest of the previous entry; empty when it is unknown.
    digest: String,
}

/// A deleted backup.
#[derive(Debug, Clone)]
pub(crate) struct DeletedBackup {
    pub(crate) backup: Backup,
    /// When it was deleted.
    pub(crate) deleted: Timestamp,
}

/// Log entries that are missing or cannot be used.
#[derive(Debug)]
pub(crate) struct LogProblem {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) reason: String,
}

impl History {
    /// Reads every entry. Problems of single entries are recorded; only a store that does not answer is an error.
    pub(crate) fn read(io: &Io) -> Result<Self> {
        let mut history = Self::default();
        for numbers in log::list(io, 0)?.chunks(AT_ONCE) {
            for (seq, fetched) in numbers.iter().zip(log::fetch(io, numbers)?) {
                history.take(*seq, fetched)?;
            }
        }
        Ok(history)
    }

    fn take(&mut self, seq: u64, (record, bytes): Fetched) -> Result<()> {
        let expected = self.last.map_or(0, |last| last + 1);
        if seq > expected {
            self.note(expected, seq - 1, "it is missing");
        }
        self.last = Some(seq);
        match record {
            Ok(record) => self.take_record(seq, &record, &bytes),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.note(seq, seq, &in_one_line(&error));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take_record(&mut self, seq: u64, record: &LogRecord, bytes: &[u8]) {
        if record.seq != seq {
            let reason = format!("it says that it is entry {}", record.seq);
            return self.note(seq, seq, &reason);
        }
        let is_checkpoint = matches!(record.entry, LogEntry::Checkpoint { .. });
        let continues = self.digest.is_empty() || record.previous == self.digest;
        let is_restart = is_checkpoint && record.previous.is_empty();
        if !continues && !is_restart {
            self.note(
                seq - 1,
                seq - 1,
                "it is not the entry that the next one continues",
            );
        }
        let before: Vec<_> = if is_checkpoint {
            self.state
                .backups
                .values()
                .map(|backup| backup.id)
                .collect()
        } else {
            Vec::new()
        };
        let deleted = self.deleted_by(record);
        if let Err(error) = self.state.apply(&record.entry) {
            return self.note(seq, seq, &in_one_line(&error));
        }
        self.digest = blake3::hash(bytes).to_hex().to_string();
        match &record.entry {
            LogEntry::Commit { backup, .. } => {
                self.note_order(backup.id());
                let committed = self.state.backups.get(&backup.id());
                self.originals.extend(committed.map(Backup::original_id));
                self.deleted.remove(&backup.id());
                self.recoverable.retain(|one| one.backup.id != backup.id());
            }
            LogEntry::Delete { backups } => {
                self.deleted.extend(backups);
                self.recoverable.extend(deleted);
            }
            LogEntry::Checkpoint { .. } => {
                let listed: Vec<_> = self.state.backups.values().map(|one| one.id).collect();
                listed.into_iter().for_each(|id| self.note_order(id));
                let backups = self.state.backups.values();
                self.originals.extend(backups.map(Backup::original_id));
                self.deleted.extend(before);
                let backups = &self.state.backups;
                self.deleted.retain(|id| !backups.contains_key(id));
                self.segments.extend(&self.state.segments);
                self.checkpoint = Some(seq);
                self.is_broken = false;
            }
            LogEntry::Condemn { .. } => self.recoverable.clear(),
            LogEntry::Swept { .. } | LogEntry::Reindex { .. } => {}
        }
        let (added, removed) = record.entry.segments();
        self.segments.extend(added.iter().chain(removed));
    }

    /// The backups that an entry will delete, as they are before it.
    fn deleted_by(&self, record: &LogRecord) -> Vec<DeletedBackup> {
        let LogEntry::Delete { backups } = &record.entry else {
            return Vec::new();
        };
        let live = backups.iter().filter_map(|id| self.state.backups.get(id));
        let deleted = live.map(|backup| DeletedBackup {
            backup: backup.clone(),
            deleted: record.time,
        });
        deleted.collect()
    }

    /// The nearest backup before a deleted one, in the order of commits, that exists.
    pub(crate) fn predecessor(&self, deleted: BackupId) -> Option<BackupId> {
        let before = self.order.iter().take_while(|id| **id != deleted);
        let live = before.filter(|id| self.state.backups.contains_key(id));
        live.last().copied()
    }

    fn note_order(&mut self, id: BackupId) {
        if self.known.insert(id) {
            self.order.push(id);
        }
    }

    fn note(&mut self, first: u64, last: u64, reason: &str) {
        self.is_broken = true;
        self.digest.clear();
        self.problems.push(LogProblem {
            first,
            last,
            reason: reason.to_owned(),
        });
    }
}

impl LogProblem {
    /// Text that names the entries of this problem.
    pub(crate) fn entries(&self) -> String {
        let (first, last) = (Layout::log(self.first), Layout::log(self.last));
        if self.first == self.last {
            first
        } else {
            format!("{first} to {last}")
        }
    }
}
