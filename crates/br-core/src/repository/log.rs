//! Reading and extending the commit log (section 8 of the format).

use br_storage::{Creation, Payload};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::{Cache, Io, Layout, State};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, BackupV1, FormatError, LogEntry, LogRecord, ObjectKind, limits};
use crate::model::BackupId;

/// Every so many entries one is a checkpoint.
const CHECKPOINT_EVERY: u64 = 32;
/// How many entries are fetched at once.
const PARALLEL: usize = 16;

/// The state after a log entry, and where that is.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogPosition {
    pub(crate) state: State,
    /// Number of the next entry.
    next: u64,
    /// Digest of the last entry's object, in hexadecimal.
    last_digest: String,
}

/// What became of an attempt to append.
#[derive(Debug)]
pub(crate) enum Append {
    /// The entry is in the log.
    Done,
    /// Someone else was first; the position now includes their entries, which are returned.
    Lost(Vec<LogEntry>),
}

impl LogPosition {
    /// Reads the log: the newest checkpoint and what follows it.
    pub(crate) fn read(io: &Io) -> Result<Self> {
        match Self::read_copies(io)? {
            Some(position) => Ok(position),
            None => Self::read_store(io),
        }
    }

    /// Reads copies on this machine and what came since, with one look at the store. `None` when they do not fit what is
    /// there: then the log is another one, as when a bucket was set back to an earlier state.
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
        let position = match same {
            true => Self::replay_copies(io, cache, newest),
            false => None,
        };
        let Some(mut position) = position else {
            cache.forget_log();
            return Ok(None);
        };
        if let Some(&last) = numbers.last().filter(|last| **last > newest) {
            match position.accept_all(fetch(io, newest + 1, last)?) {
                // A rebuilt log goes on with a checkpoint that continues nothing.
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

    fn read_store(io: &Io) -> Result<Self> {
        let mut position = Self::default();
        let numbers = list(io, 0)?;
        let Some(&last) = numbers.last() else {
            return Ok(position);
        };
        // What lies behind a gap is of use to nobody: without a checkpoint after it the log cannot be read.
        let (mut oldest, mut from) = (last, last - last % CHECKPOINT_EVERY);
        for number in numbers.iter().rev() {
            if *number == oldest || *number + 1 == oldest {
                oldest = *number;
            } else {
                break;
            }
        }
        from = from.max(oldest);
        loop {
            let records = fetch(io, from, last)?;
            // A rebuilt log has a checkpoint where none is due, and what lies before it may be damaged.
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
            from = from.saturating_sub(CHECKPOINT_EVERY).max(oldest);
        }
    }

    /// Reads entries that were added since, and returns them.
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
        self.accept_all(fetch(io, self.next, last)?)
    }

    /// Accepts entries one after the other, and returns them.
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
            let message = format!("{key} says that it is entry {}", record.seq);
            return Err(Error::damaged(message));
        }
        if !self.last_digest.is_empty() && record.previous != self.last_digest {
            let before = Layout::log(self.next - 1);
            return Err(Error::damaged(format!(
                "{before} is not the entry that {key} continues"
            )));
        }
        self.state
            .apply(&record.entry)
            .map_err(|error| Error::format(&key, error))?;
        self.next += 1;
        self.last_digest = blake3::hash(bytes).to_hex().to_string();
        Ok(())
    }

    /// Appends an entry, unless someone else was faster.
    pub(crate) fn append(&mut self, io: &Io, entry: LogEntry) -> Result<Append> {
        if self.next > 0 && self.next.is_multiple_of(CHECKPOINT_EVERY) {
            let checkpoint = self.state.checkpoint();
            if let Append::Lost(entries) = self.append_one(io, checkpoint)? {
                return Ok(Append::Lost(entries));
            }
        }
        self.append_one(io, entry)
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
            let message = "the catalog is too large for one log entry: delete backups";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let bytes = Bytes::from(format::write_object(&object, &[&json]));
        let key = Layout::log(self.next);
        if create(io, &key, &bytes)? {
            io.keep(&key, std::slice::from_ref(&bytes));
            self.accept(&record, &bytes)?;
            return Ok(Append::Done);
        }
        Ok(Append::Lost(self.refresh(io)?))
    }

    /// The ids that readable entries name, in the order of their commits: for a log that cannot be read as a whole.
    pub(crate) fn salvage_order(io: &Io) -> Result<Vec<BackupId>> {
        let numbers = list(io, 0)?;
        let mut newest_first = Vec::new();
        for numbers in numbers.rchunks(CHECKPOINT_EVERY as usize) {
            let records = fetch_each(io, numbers.iter().copied())?;
            for (record, _) in records.into_iter().rev() {
                match record.map(|record| record.entry) {
                    Ok(LogEntry::Commit { backup, .. }) => newest_first.push(backup.id()),
                    Ok(LogEntry::Checkpoint { backups, .. }) => {
                        newest_first.extend(backups.iter().rev().map(BackupV1::id));
                        newest_first.reverse();
                        return Ok(newest_first);
                    }
                    _ => {}
                }
            }
        }
        newest_first.reverse();
        Ok(newest_first)
    }

    /// Continues a log whose entries cannot be read: a checkpoint with `state` behind the last one.
    pub(crate) fn rebuild(io: &Io, state: State) -> Result<Self> {
        let next = list(io, 0)?.last().map_or(0, |last| last + 1);
        if Layout::log_seq(&Layout::log(next)).is_none() {
            let message = "log has an entry with the highest number there is: nothing can follow";
            return Err(Error::damaged(message));
        }
        let mut position = Self {
            state,
            next,
            last_digest: String::new(),
        };
        let checkpoint = position.state.checkpoint();
        match position.append_one(io, checkpoint)? {
            Append::Done => Ok(position),
            Append::Lost(_) => Err(conflict()),
        }
    }
}

/// The error of an operation that lost too many races.
pub(crate) fn conflict() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "others kept changing the repository meanwhile",
    )
}

/// Creates a log entry and tells whether it was us. The random id in its header makes it differ from everybody else's.
fn create(io: &Io, key: &str, bytes: &Bytes) -> Result<bool> {
    // Not cancelled half-way: an entry whose fate is unknown would leave the caller with a wrong report.
    let payload = Payload::from(bytes.clone());
    let creation = io
        .handle()
        .block_on(io.storage().create_new(key, payload))?;
    Ok(creation == Creation::Created)
}

fn missing(seq: u64) -> Error {
    Error::damaged(format!("{} is missing", Layout::log(seq)))
}

/// The numbers of the entries from `from` on, ascending.
fn list(io: &Io, from: u64) -> Result<Vec<u64>> {
    io.block(list_async(io, from))
}

async fn list_async(io: &Io, from: u64) -> Result<Vec<u64>> {
    let after = from.checked_sub(1).map(Layout::log).unwrap_or_default();
    let objects = io.storage().list_after(Layout::LOG, &after).await?;
    let numbers = objects
        .iter()
        .filter_map(|object| Layout::log_seq(&object.key));
    Ok(numbers.collect())
}

type Fetched = (Result<LogRecord>, Bytes);

/// Reads the entries from `from` to `to`. An unreadable one is an error in its place.
fn fetch(io: &Io, from: u64, to: u64) -> Result<Vec<Fetched>> {
    fetch_each(io, from..=to)
}

fn fetch_each(io: &Io, numbers: impl Iterator<Item = u64>) -> Result<Vec<Fetched>> {
    let storage = io.storage();
    let requests = futures::stream::iter(numbers).map(|seq| async move {
        let key = Layout::log(seq);
        let bytes = storage.get(&key, limits::LOG_ENTRY).await;
        Ok::<_, Error>((key, bytes))
    });
    let fetched = io.block(requests.buffered(PARALLEL).try_collect::<Vec<_>>())?;
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
            // Only damage belongs to the entry. That the store does not answer concerns the whole operation.
            Err(error) => match Error::from(error) {
                error if error.kind() == ErrorKind::Damaged => (Err(error), Bytes::new()),
                error => return Err(error),
            },
        });
    }
    Ok(records)
}

fn parse(io: &Io, bytes: &[u8]) -> Result<LogRecord, FormatError> {
    let (master, cipher) = (io.master(), io.cipher());
    let (_, [json]) =
        format::read_object::<1>(master, cipher, ObjectKind::Log, bytes, limits::LOG_ENTRY)?;
    LogRecord::from_json(&json)
}
