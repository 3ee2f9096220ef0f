//! Loading the log from its newest checkpoint, from local copies or from the store.

use super::{CHECKPOINT_EVERY, LogPosition, fetch, list, list_async, missing, parse};
use crate::error::{Error, ErrorKind, ObjectKind, Result};
use crate::format::{LogEntry, LogRecord, limits};
use crate::repository::{Cache, History, Io, KnownEntry, Layout, Salvage};
use crate::warning::Warning;

impl LogPosition {
    /// Reads the log: the newest checkpoint and all later entries.
    pub(crate) fn read(io: &Io) -> Result<Self> {
        Self::load(io)?
    }

    /// As [`LogPosition::read`], for operations that only read: if the log is unreadable, rebuilds the state from the manifests, in memory
    /// only. Also returns the error of the log.
    pub(crate) fn read_or_rebuild(io: &Io) -> Result<(Self, Option<Error>)> {
        let error = match Self::load(io)? {
            Ok(position) => return Ok((position, None)),
            Err(error) => error,
        };
        let manifests = io.list(Layout::MANIFESTS)?;
        let history = History::read(io)?;
        let salvage = Salvage::make(io, &manifests, &history)?;
        if salvage.state.backups.is_empty() {
            return Err(error);
        }
        if io.repository.is_first_warning() {
            io.warn(&Warning::LogUnreadable {
                reason: crate::error::in_one_line(&error),
                unusable: salvage.useless.len() as u64,
            });
        }
        let position = Self {
            state: salvage.state,
            next: history.last.map_or(0, |last| last + 1),
            ..Self::default()
        };
        Ok((position, Some(error)))
    }

    /// Reads the log. The inner error means that log entries are unreadable, so the manifests can replace them. The outer error is any
    /// other failure.
    fn load(io: &Io) -> Result<Result<Self>> {
        // Read this before the store: another process may append a newer entry afterwards and remember it.
        let known = known(io);
        let known = known.as_ref();
        if let Some(position) = Self::read_copies(io)? {
            position.compare(io, known)?;
            return Ok(Ok(position));
        }
        let mut numbers = list(io, 0)?;
        if numbers.is_empty() {
            let empty = Self::default();
            empty.compare(io, known)?;
            let Some(folder) = stored_in(io)? else {
                return Ok(Ok(empty));
            };
            // A first backup may have been committed since the listing.
            numbers = list(io, 0)?;
            if numbers.is_empty() {
                return Err(lost(folder));
            }
        }
        let last = numbers.last().copied().unwrap_or_default();
        match Self::read_store(io, &numbers, last) {
            Ok(position) => {
                position.compare(io, known)?;
                Ok(Ok(position))
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {
                if let Some(memory) = io.repository.log_memory()
                    && let Some(known) = known.filter(|known| known.seq > last)
                {
                    return Err(memory.went_back(known, Some(last)));
                }
                let message = "the commit log cannot be read; `check --repair-log` rebuilds it from the manifests";
                let error = crate::error::in_one_line(&error);
                Ok(Err(Error::damaged(message)
                    .about(ObjectKind::Log)
                    .with_source(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a log that lacks the newest entry that this machine knew before reading; then remembers the newest entry.
    fn compare(&self, io: &Io, known: Option<&KnownEntry>) -> Result<()> {
        self.check_key(io)?;
        let Some(memory) = io.repository.log_memory() else {
            return Ok(());
        };
        if let Some(known) = known {
            let newest = self.next.checked_sub(1);
            if newest.is_none_or(|newest| newest < known.seq) {
                return Err(memory.went_back(known, newest));
            }
            // A rebuilt log starts with a complete state, so the older entries no longer matter.
            let is_older = self.rebuilt_at.is_some_and(|at| known.seq < at);
            if !is_older && self.digest_of(io, known.seq)?.as_ref() != Some(&known.digest) {
                return Err(memory.differs(known));
            }
        }
        self.remember(io);
        Ok(())
    }

    fn digest_of(&self, io: &Io, seq: u64) -> Result<Option<String>> {
        if let Some(digest) = self.digests.get(&seq) {
            return Ok(Some(digest.clone()));
        }
        match io.block(io.storage().get(&Layout::log(seq), limits::LOG_ENTRY)) {
            Ok(bytes) => Ok(Some(blake3::hash(&bytes).to_hex().to_string())),
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Remembers the newest entry on this machine.
    pub(super) fn remember(&self, io: &Io) {
        let (Some(memory), Some(seq)) = (io.repository.log_memory(), self.next.checked_sub(1))
        else {
            return;
        };
        let digest = self.last_digest.clone();
        if let Err(error) = memory.note(&KnownEntry { seq, digest })
            && io.repository.is_first_warning()
        {
            io.warn(&Warning::NewestLogNotSaved { error });
        }
    }

    /// Reads the local copies and fetches newer entries, with one listing of the store. `None` when the copies do not match the store, for
    /// example because a bucket was rolled back to an earlier state.
    fn read_copies(io: &Io) -> Result<Option<Self>> {
        let Some(cache) = io.cache() else {
            return Ok(None);
        };
        let Some(newest) = cache.newest_log() else {
            return Ok(None);
        };
        let key = Layout::log(newest);
        let look = async {
            let there = io.storage().get(&key, limits::LOG_ENTRY);
            Ok::<_, Error>(futures::future::join(list_async(io, newest), there).await)
        };
        let (numbers, there) = io.block(look)?;
        let numbers = numbers?;
        let copy = cache.get(&key, limits::LOG_ENTRY);
        let same = copy.is_some()
            && there.ok() == copy
            && (newest..).zip(&numbers).all(|(n, there)| n == *there);
        let position = if same {
            Self::replay_copies(io, cache, newest)
        } else {
            None
        };
        let Some(mut position) = position else {
            cache.forget_log();
            return Ok(None);
        };
        if let Some(&last) = numbers.last().filter(|last| **last > newest) {
            match position.accept_all(fetch(io, &(newest + 1..=last).collect::<Vec<_>>())?) {
                // A rebuilt log starts with a checkpoint that names no previous entry.
                Err(error) if error.is_damage() => {
                    cache.forget_log();
                    return Ok(None);
                }
                accepted => accepted.map(drop)?,
            }
        }
        Ok(Some(position))
    }

    fn replay_copies(io: &Io, cache: &Cache, newest: u64) -> Option<Self> {
        let mut records = Vec::new();
        let mut position = Self::default();
        for seq in (0..=newest).rev() {
            let bytes = cache.get(&Layout::log(seq), limits::LOG_ENTRY)?;
            let record = parse(io, &bytes).ok()?;
            let is_checkpoint = matches!(record.entry, LogEntry::Checkpoint { .. });
            records.push((Ok(record), bytes));
            if is_checkpoint {
                position.next = seq;
                break;
            }
        }
        records.reverse();
        position.accept_all(records).ok()?;
        Some(position)
    }

    fn read_store(io: &Io, numbers: &[u64], last: u64) -> Result<Self> {
        let mut position = Self::default();
        // Entries before a gap are useless: without a checkpoint after the gap, the log cannot be read.
        let mut oldest = last;
        for number in numbers.iter().rev() {
            if *number == oldest || *number + 1 == oldest {
                oldest = *number;
            } else {
                break;
            }
        }
        let mut from = (last - last % CHECKPOINT_EVERY).max(oldest);
        let mut records = fetch(io, &(from..=last).collect::<Vec<_>>())?;
        loop {
            // A rebuilt log has an extra checkpoint, and the entries before it may be damaged.
            let checkpoint = records.iter().rposition(|(record, _)| {
                matches!(
                    record,
                    Ok(LogRecord {
                        entry: LogEntry::Checkpoint { .. },
                        ..
                    })
                )
            });
            if let Some(at) = checkpoint {
                position.next = from + at as u64;
                position.accept_all(records.into_iter().skip(at))?;
                return Ok(position);
            }
            if from == 0 {
                position.accept_all(records)?;
                return Ok(position);
            }
            if from == oldest {
                return Err(missing(oldest - 1));
            }
            // Checkpoints of long lists are far apart.
            let more = CHECKPOINT_EVERY.max(records.len() as u64);
            let before = from.saturating_sub(more).max(oldest);
            let mut earlier = fetch(io, &(before..from).collect::<Vec<_>>())?;
            earlier.append(&mut records);
            (records, from) = (earlier, before);
        }
    }
}

/// The newest entry that this machine knows.
fn known(io: &Io) -> Option<KnownEntry> {
    let memory = io.repository.log_memory()?;
    memory.read().unwrap_or_else(|error| {
        io.warn(&memory.unreadable(error));
        None
    })
}

/// A folder of the repository that has objects.
fn stored_in(io: &Io) -> Result<Option<&'static str>> {
    let names = io.block(io.storage().top_level())?;
    for folder in [Layout::MANIFESTS, Layout::INDEX, Layout::PACKS] {
        if names.iter().any(|name| name == folder) && !io.list(folder)?.is_empty() {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

fn lost(folder: &str) -> Error {
    Error::damaged(format!(
        "log is empty, but {folder} has objects: the commit log is lost; `check --repair-log` rebuilds it from \
         the manifests"
    ))
    .about(ObjectKind::Log)
}
