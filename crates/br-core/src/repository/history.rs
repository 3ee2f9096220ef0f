//! The whole commit log, from its first entry, as far as it is readable.
//!
//! Unlike the newest checkpoint, [`History`] also knows which backups were deleted, which segments were ever named, and which entries are
//! missing or altered. Invariant: an unreadable entry never hides a readable one.

use std::collections::{BTreeSet, HashMap, HashSet};

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
    pub(crate) gone: BTreeSet<BackupId>,
    /// Backups that were deleted after the last condemn entry: their data and manifests exist.
    pub(crate) recoverable: Vec<DeletedBackup>,
    /// For every deleted backup, the backup before it in the order of commits.
    predecessors: HashMap<BackupId, Option<BackupId>>,
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
                self.gone.remove(&backup.id());
                self.recoverable.retain(|one| one.backup.id != backup.id());
            }
            LogEntry::Delete { backups } => {
                self.gone.extend(backups);
                self.recoverable.extend(deleted);
            }
            LogEntry::Checkpoint { .. } => {
                self.gone.extend(before);
                let backups = &self.state.backups;
                self.gone.retain(|id| !backups.contains_key(id));
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
    fn deleted_by(&mut self, record: &LogRecord) -> Vec<DeletedBackup> {
        let LogEntry::Delete { backups } = &record.entry else {
            return Vec::new();
        };
        let going: HashSet<&BackupId> = backups.iter().collect();
        let mut deleted = Vec::new();
        let mut previous = None;
        for backup in self.state.backups.values() {
            if going.contains(&backup.id) {
                self.predecessors.insert(backup.id, previous);
                deleted.push(DeletedBackup {
                    backup: backup.clone(),
                    deleted: record.time,
                });
            }
            previous = Some(backup.id);
        }
        deleted
    }

    /// The nearest backup before a deleted one, in the order of commits, that exists.
    pub(crate) fn predecessor(&self, deleted: BackupId) -> Option<BackupId> {
        let mut at = self.predecessors.get(&deleted).copied().flatten();
        // Every step leads to an earlier commit, unless the log is hostile.
        for _ in 0..self.predecessors.len() {
            match at {
                Some(id) if !self.state.backups.contains_key(&id) => {
                    at = self.predecessors.get(&id).copied().flatten();
                }
                found => return found,
            }
        }
        at.filter(|id| self.state.backups.contains_key(id))
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
