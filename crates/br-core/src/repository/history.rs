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
    /// Backups that were deleted and whose data may exist: those deleted after the last condemn entry and, after
    /// [`History::read_with_deleted`], those whose manifest exists.
    pub(crate) recoverable: Vec<DeletedBackup>,
    /// The manifests that exist.
    manifests: HashSet<BackupId>,
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
    /// When it was deleted, by the clock of the process that did it.
    pub(crate) deleted: Timestamp,
    /// The number of the log entry that deleted it.
    pub(crate) entry: u64,
    /// True if a later entry condemned packs: they may be packs of this backup.
    pub(crate) condemned: bool,
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
        Self::default().read_log(io)
    }

    /// As [`History::read`], and also finds deleted backups that a prune kept.
    pub(crate) fn read_with_deleted(io: &Io) -> Result<Self> {
        let manifests = io.list(Layout::MANIFESTS)?;
        let manifests = manifests.iter().filter_map(|one| Layout::id(&one.key));
        let history = Self {
            manifests: manifests.collect(),
            ..Self::default()
        };
        history.read_log(io)
    }

    fn read_log(mut self, io: &Io) -> Result<Self> {
        let history = &mut self;
        for numbers in log::list(io, 0)?.chunks(AT_ONCE) {
            for (seq, fetched) in numbers.iter().zip(log::fetch(io, numbers)?) {
                history.take(*seq, fetched)?;
            }
        }
        Ok(self)
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
        let deleted = self.deleted_by(seq, record);
        self.state.apply(&record.entry);
        self.digest = blake3::hash(bytes).to_hex().to_string();
        match &record.entry {
            LogEntry::Commit { backup, .. } => {
                self.note_order(backup.id);
                let committed = self.state.backups.get(&backup.id);
                self.originals.extend(committed.map(Backup::original_id));
                self.deleted.remove(&backup.id);
                self.recoverable.retain(|one| one.backup.id != backup.id);
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
                let backups = &self.state.backups;
                let is_gone = |id: &BackupId| !backups.contains_key(id);
                self.deleted.extend(deleted.iter().map(|one| one.backup.id));
                self.deleted.retain(is_gone);
                self.recoverable.extend(deleted);
                self.recoverable.retain(|one| is_gone(&one.backup.id));
                self.segments.extend(&self.state.segments);
                self.checkpoint = Some(seq);
                self.is_broken = false;
            }
            LogEntry::Condemn { .. } => {
                let manifests = &self.manifests;
                self.recoverable
                    .retain(|one| manifests.contains(&one.backup.id));
                for one in &mut self.recoverable {
                    one.condemned = true;
                }
            }
            LogEntry::Swept { .. } | LogEntry::Reindex { .. } => {}
        }
        let (added, removed) = record.entry.segments();
        self.segments.extend(added.iter().chain(removed));
    }

    /// The backups that an entry will delete, as they are before it. A checkpoint deletes the backups that it lacks: a program with an error
    /// or an attacker wrote it, because a checkpoint of br lacks none.
    fn deleted_by(&self, seq: u64, record: &LogRecord) -> Vec<DeletedBackup> {
        let backups: Vec<&Backup> = match &record.entry {
            LogEntry::Delete { backups } => backups
                .iter()
                .filter_map(|id| self.state.backups.get(id))
                .collect(),
            LogEntry::Checkpoint { .. } => self.state.backups.values().collect(),
            _ => Vec::new(),
        };
        let deleted = backups.into_iter().map(|backup| DeletedBackup {
            backup: backup.clone(),
            deleted: record.time,
            entry: seq,
            condemned: false,
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
