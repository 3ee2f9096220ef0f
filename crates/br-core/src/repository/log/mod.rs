//! Reading and extending the commit log (section 8 of the format).
//!
//! A [`LogPosition`] is the state after reading the log up to some entry. Invariant: a new entry is only appended directly after the entry
//! that the position ends with.

mod load;

use std::collections::{BTreeMap, BTreeSet};

use br_storage::{Creation, Payload};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::{History, Io, Layout, State, give_up_reserve};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, FormatError, LogEntry, LogRecord, ObjectKind, limits};
use crate::model::{BackupId, SegmentId};

/// Checkpoints have numbers that this divides.
const CHECKPOINT_EVERY: u64 = 32;
/// A checkpoint is due when there are as many entries as backups divided by this: otherwise checkpoints of long lists would fill the log.
const BACKUPS_PER_ENTRY: u64 = 100;
/// Maximum log entries that are fetched in parallel.
const PARALLEL: usize = 16;

/// The state after a log entry, and the number of the next entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogPosition {
    pub(crate) state: State,
    /// Number of the next entry.
    next: u64,
    /// Digest of the last entry's object, in hexadecimal.
    last_digest: String,
    /// Digests of all entries that were read, and of the entries that they name as their previous one.
    digests: BTreeMap<u64, String>,
    /// Number of the master key of the last entry.
    key_number: u8,
    /// Number of the last checkpoint that was read.
    checkpoint: u64,
    /// Number of the checkpoint at which the log was rebuilt, if the log was read from there.
    rebuilt_at: Option<u64>,
    /// Backups and segments that the entries read so far removed.
    pub(crate) removed: Removed,
}

/// Removed backups and segments: objects that the log no longer needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Removed {
    pub(crate) backups: BTreeSet<BackupId>,
    pub(crate) segments: BTreeSet<SegmentId>,
}

/// Result of an attempt to append.
#[derive(Debug)]
pub(crate) enum Append {
    /// The entry is in the log.
    Done,
    /// Another process appended first; the position now includes its entries, which are returned.
    Lost(Vec<LogEntry>),
}

impl LogPosition {
    /// Reads the entries added since the position, and returns them.
    pub(crate) fn refresh(&mut self, io: &Io) -> Result<Vec<LogEntry>> {
        let numbers = list(io, self.next)?;
        let Some(&last) = numbers.last() else {
            return Ok(Vec::new());
        };
        if let Some((next, _)) = (self.next..)
            .zip(numbers)
            .find(|(next, there)| next != there)
        {
            return Err(missing(next));
        }
        let entries = self.accept_all(fetch(io, &(self.next..=last).collect::<Vec<_>>())?)?;
        self.check_key(io)?;
        self.remember(io);
        Ok(entries)
    }

    /// Applies entries in order, and returns them.
    fn accept_all(&mut self, records: impl IntoIterator<Item = Fetched>) -> Result<Vec<LogEntry>> {
        let mut entries = Vec::new();
        for (record, bytes) in records {
            let record = record?;
            self.accept(&record, &bytes)?;
            entries.push(record.entry);
        }
        Ok(entries)
    }

    fn accept(&mut self, record: &LogRecord, bytes: &[u8]) -> Result<()> {
        let key = Layout::log(self.next);
        if record.seq != self.next {
            let message = format!("{key} contains entry number {}", record.seq);
            return Err(Error::damaged(message));
        }
        if !self.last_digest.is_empty() && record.previous != self.last_digest {
            let before = Layout::log(self.next - 1);
            return Err(Error::damaged(format!("{key} does not follow {before}")));
        }
        if self.last_digest.is_empty() && self.next > 0 {
            if record.previous.is_empty() {
                self.rebuilt_at = Some(self.next);
            } else {
                drop(self.digests.insert(self.next - 1, record.previous.clone()));
            }
        }
        let number = format::key_number(bytes);
        if number < self.key_number {
            return Err(old_key(&key));
        }
        self.key_number = number;
        self.state.apply(&record.entry);
        if let LogEntry::Checkpoint { .. } = record.entry {
            self.checkpoint = record.seq;
        }
        self.removed.add(&record.entry);
        self.last_digest = blake3::hash(bytes).to_hex().to_string();
        self.digests.insert(self.next, self.last_digest.clone());
        self.next += 1;
        Ok(())
    }

    /// Refuses a log whose last entry was written with an old master key. Only the log's end is checked: entries before it may be from
    /// before the change.
    fn check_key(&self, io: &Io) -> Result<()> {
        if self.next > 0 && self.key_number < io.keyring().floor() {
            return Err(old_key(&Layout::log(self.next - 1)));
        }
        Ok(())
    }

    /// Writes the first entry if there is none. After that, a repository without log entries has lost its log.
    pub(crate) fn begin(&mut self, io: &Io) -> Result<()> {
        if self.next == 0 {
            // If another process appends first, the log has its first entry as well.
            self.append_one(io, State::default().checkpoint())?;
        }
        Ok(())
    }

    /// Number of the last entry.
    pub(crate) const fn last(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    /// Number of the master key of the last entry.
    pub(super) const fn key_number(&self) -> u8 {
        self.key_number
    }

    /// Digest of the last entry's object, in hexadecimal.
    pub(super) fn last_digest(&self) -> &str {
        &self.last_digest
    }

    /// Appends an entry, unless another writer won the race.
    pub(crate) fn append(&mut self, io: &Io, entry: LogEntry) -> Result<Append> {
        if self.is_checkpoint_due() {
            let checkpoint = self.state.checkpoint();
            if let Append::Lost(entries) = self.append_one(io, checkpoint)? {
                return Ok(Append::Lost(entries));
            }
        }
        self.append_one(io, entry)
    }

    fn is_checkpoint_due(&self) -> bool {
        let backups = self.state.backups.len() as u64;
        is_checkpoint_due(self.next, self.checkpoint, backups)
    }

    /// As [`LogPosition::append`], but frees the reserve when the disk is full. Only for entries that help to free space.
    pub(crate) fn append_on_full_disk(&mut self, io: &Io, entry: &LogEntry) -> Result<Append> {
        match self.append(io, entry.clone()) {
            Err(error) if error.kind() == ErrorKind::Full && give_up_reserve(io) => {
                self.append(io, entry.clone())
            }
            appended => appended,
        }
    }

    fn append_one(&mut self, io: &Io, entry: LogEntry) -> Result<Append> {
        let record = LogRecord {
            seq: self.next,
            previous: self.last_digest.clone(),
            time: io.context.runtime.clock.now(),
            program: crate::PROGRAM.to_owned(),
            entry,
        };
        let object = io.new_object(ObjectKind::Log, io.context.runtime.object_id());
        let json = record.to_json();
        if json.len() as u64 > limits::LOG_ENTRY {
            let message = "the backup list is too large for one log entry: delete backups";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let bytes = Bytes::from(format::write_object(&object, &[&json]));
        let key = Layout::log(self.next);
        io.block(io.repository.check_place())?;
        if create(io, &key, &bytes)? {
            io.keep(&key, std::slice::from_ref(&bytes));
            self.accept(&record, &bytes)?;
            self.remember(io);
            return Ok(Append::Done);
        }
        Ok(Append::Lost(self.refresh(io)?))
    }

    /// Sets the repository to this state, by a checkpoint at this position.
    pub(crate) fn append_state(&mut self, io: &Io, state: &State) -> Result<Append> {
        self.append_one(io, state.checkpoint())
    }

    /// Rebuilds a log that is unreadable or differs from the one that this machine knows: appends a checkpoint after the last existing
    /// entry. False when another writer won the race.
    pub(crate) fn rebuild(io: &Io, history: &History, state: &State) -> Result<bool> {
        let first = history.last.map_or(0, |last| last + 1);
        // Do not reuse numbers that this machine remembers. The checkpoint at `first` also stops writers that would continue from the last
        // entry.
        let known = io
            .repository
            .log_memory()
            .and_then(|memory| memory.read().ok()?);
        let second = known.filter(|known| known.seq >= first);
        for next in [Some(first), second.map(|known| known.seq + 1)] {
            let Some(next) = next else { break };
            if Layout::log_seq(&Layout::log(next)).is_none() {
                let message =
                    "log has an entry with the highest possible number: no entry can follow";
                return Err(Error::damaged(message));
            }
            let mut position = Self {
                next,
                ..Self::default()
            };
            if let Append::Lost(_) = position.append_one(io, state.checkpoint())? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Removed {
    fn add(&mut self, entry: &LogEntry) {
        match entry {
            LogEntry::Commit { backup, .. } => drop(self.backups.remove(&backup.id)),
            LogEntry::Delete { backups } => self.backups.extend(backups),
            _ => {}
        }
        let (added, removed) = entry.segments();
        self.segments.extend(removed);
        self.segments.retain(|id| !added.contains(id));
    }
}

/// The error of an operation that lost too many races.
pub(crate) fn conflict() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "other processes kept changing the repository",
    )
}

/// Creates a log entry; false if another process created it first. The random id in the header makes every entry unique.
fn create(io: &Io, key: &str, bytes: &Bytes) -> Result<bool> {
    // Not cancellable: if it were unknown whether the entry was written, the caller would report a wrong result.
    let payload = Payload::from(bytes.clone());
    let creation = io
        .handle()
        .block_on(io.storage().create_new(key, payload))?;
    Ok(creation == Creation::Created)
}

fn old_key(key: &str) -> Error {
    Error::damaged(format!(
        "{key} was written with an old master key after the master key was changed"
    ))
}

fn missing(seq: u64) -> Error {
    Error::damaged(format!("{} is missing", Layout::log(seq)))
}

/// The numbers of the entries from `from`, ascending. Includes all entries before the last one, unless they are lost.
pub(super) fn list(io: &Io, from: u64) -> Result<Vec<u64>> {
    io.block(list_async(io, from))
}

async fn list_async(io: &Io, from: u64) -> Result<Vec<u64>> {
    let numbers = list_once(io, from).await?;
    let is_whole = |last: &u64| last - from + 1 == numbers.len() as u64;
    if numbers.last().is_none_or(is_whole) {
        return Ok(numbers);
    }
    // A listing while other processes add entries may lack an entry but have a later one. A second listing has both.
    list_once(io, from).await
}

async fn list_once(io: &Io, from: u64) -> Result<Vec<u64>> {
    let after = from.checked_sub(1).map(Layout::log).unwrap_or_default();
    let keys = io.storage().keys_after(Layout::LOG, &after).await?;
    Ok(keys.iter().filter_map(|key| Layout::log_seq(key)).collect())
}

pub(super) type Fetched = (Result<LogRecord>, Bytes);

/// Reads entries. An unreadable one is an error at its position.
pub(super) fn fetch(io: &Io, numbers: &[u64]) -> Result<Vec<Fetched>> {
    let storage = io.storage();
    // A temporary cache has only copies from the same operation, so they can be used here.
    let own = io.cache().filter(|cache| cache.is_temporary());
    let requests = futures::stream::iter(numbers).map(|seq| async move {
        let key = Layout::log(*seq);
        let copy = own.and_then(|own| own.get(&key, limits::LOG_ENTRY));
        let bytes = match copy {
            Some(bytes) => Ok(bytes),
            None => storage.get(&key, limits::LOG_ENTRY).await,
        };
        Ok::<_, Error>((key, bytes))
    });
    let fetched = io.block_on_read(requests.buffered(PARALLEL).try_collect::<Vec<_>>())?;
    let mut records = Vec::with_capacity(fetched.len());
    for (key, bytes) in fetched {
        records.push(match bytes {
            Ok(bytes) => {
                let record = parse(io, &bytes).map_err(|error| Error::format(&key, error));
                if record.is_ok() {
                    io.keep(&key, std::slice::from_ref(&bytes));
                }
                (record, bytes)
            }
            // Only damage concerns a single entry. If the store does not answer, the whole operation fails.
            Err(error) => match Error::from(error) {
                error if error.kind() == ErrorKind::Damaged => (Err(error), Bytes::new()),
                error => return Err(error),
            },
        });
    }
    Ok(records)
}

fn parse(io: &Io, bytes: &[u8]) -> Result<LogRecord, FormatError> {
    let (keys, cipher) = (io.keyring(), io.cipher());
    let (_, [json]) =
        format::read_object::<1>(keys, cipher, ObjectKind::Log, bytes, limits::LOG_ENTRY)?;
    let record = LogRecord::from_json(&json)?;
    keys.advance_to(format::key_number(bytes));
    Ok(record)
}

/// Whether a checkpoint comes before entry `next`, when the last one has the number `checkpoint`.
const fn is_checkpoint_due(next: u64, checkpoint: u64, backups: u64) -> bool {
    let entries = next.saturating_sub(checkpoint);
    next > 0 && next.is_multiple_of(CHECKPOINT_EVERY) && entries >= backups / BACKUPS_PER_ENTRY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_of_long_lists_are_further_apart() {
        for (next, checkpoint, backups, is_due) in [
            (0, 0, 0, false),
            (31, 0, 30, false),
            (32, 0, 31, true),
            (33, 0, 32, false),
            (64, 32, 3_299, true),
            (64, 32, 3_300, false),
            (96, 32, 3_300, true),
            (100_000, 99_008, 99_000, true),
            (100_000, 99_040, 99_000, false),
        ] {
            let found = is_checkpoint_due(next, checkpoint, backups);
            assert_eq!(found, is_due, "{next}, {checkpoint}, {backups}");
        }
    }

    #[test]
    fn all_checkpoints_together_stay_in_proportion_to_the_log() {
        let (mut checkpoint, mut listed) = (0, 0);
        // Every entry is a backup.
        for next in 1..=100_000 {
            if is_checkpoint_due(next, checkpoint, next) {
                (checkpoint, listed) = (next, listed + next);
            }
        }
        assert!(listed < 110 * 100_000, "{listed} backups in checkpoints");
    }
}
