//! Reading and extending the commit log (section 8 of the format).

use std::collections::{BTreeMap, BTreeSet};

use br_storage::{Creation, Payload};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::{Cache, History, Io, KnownEntry, Layout, Salvage, State, give_up_reserve};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, FormatError, LogEntry, LogRecord, ObjectKind, limits};
use crate::model::{BackupId, SegmentId};

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
    /// The same of all entries that were read or that those name.
    digests: BTreeMap<u64, String>,
    /// Where the log was rebuilt, if it was read from there on.
    rebuilt_at: Option<u64>,
    /// What entries that were read took out of the catalog and out of the index.
    pub(crate) gone: Gone,
}

/// What the log says is of no use any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gone {
    pub(crate) backups: BTreeSet<BackupId>,
    pub(crate) segments: BTreeSet<SegmentId>,
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
        Self::load(io)?
    }

    /// As [`LogPosition::read`], for those who only look: what cannot be read of the log is replaced, in memory, by what the
    /// manifests tell. Returns what is wrong with the log as well.
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
            let cause = crate::error::in_one_line(&error);
            let useless = salvage.useless.len();
            io.warn(&format!(
                "{cause}; backups were found by their manifests, of which {useless} are of no use, and some that were deleted \
                 may be among them"
            ));
        }
        let position = Self {
            state: salvage.state,
            next: history.last.map_or(0, |last| last + 1),
            ..Self::default()
        };
        Ok((position, Some(error)))
    }

    /// Reads the log. The inner error is about entries that cannot be read: manifests can replace them. The outer one is
    /// about everything else.
    fn load(io: &Io) -> Result<Result<Self>> {
        if let Some(position) = Self::read_copies(io)? {
            position.compare(io)?;
            return Ok(Ok(position));
        }
        let mut numbers = list(io, 0)?;
        if numbers.is_empty() {
            let empty = Self::default();
            empty.compare(io)?;
            let Some(folder) = stored_in(io)? else {
                return Ok(Ok(empty));
            };
            // A first backup may have been made meanwhile.
            numbers = list(io, 0)?;
            if numbers.is_empty() {
                return Err(lost(folder));
            }
        }
        let last = numbers.last().copied().unwrap_or_default();
        match Self::read_store(io, &numbers, last) {
            Ok(position) => {
                position.compare(io)?;
                Ok(Ok(position))
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {
                if let Some(memory) = io.repository.log_memory()
                    && let Ok(Some(known)) = memory.read()
                    && known.seq > last
                {
                    return Err(memory.went_back(&known, Some(last)));
                }
                let message = "the commit log cannot be read; `check --repair-log` rebuilds it from the manifests";
                let error = crate::error::in_one_line(&error);
                Ok(Err(Error::damaged(message).with_source(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a log that lacks the newest entry that this machine has seen; remembers the newest one that there is now.
    fn compare(&self, io: &Io) -> Result<()> {
        let Some(memory) = io.repository.log_memory() else {
            return Ok(());
        };
        match memory.read() {
            Ok(None) => {}
            Ok(Some(known)) => {
                let newest = self.next.checked_sub(1);
                if newest.is_none_or(|newest| newest < known.seq) {
                    return Err(memory.went_back(&known, newest));
                }
                // A rebuilt log has every backup that was complete, whatever became of the entries before.
                let is_older = self.rebuilt_at.is_some_and(|at| known.seq < at);
                if !is_older && self.digest_of(io, known.seq)?.as_ref() != Some(&known.digest) {
                    return Err(memory.differs(&known));
                }
            }
            Err(error) => io.warn(&memory.unreadable(&error)),
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
    fn remember(&self, io: &Io) {
        let (Some(memory), Some(seq)) = (io.repository.log_memory(), self.next.checked_sub(1))
        else {
            return;
        };
        let digest = self.last_digest.clone();
        if let Err(error) = memory.note(&KnownEntry { seq, digest })
            && io.repository.is_first_warning()
        {
            io.warn(&format!(
                "the newest log entry cannot be remembered on this machine: {error}"
            ));
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
            match position.accept_all(fetch(io, &(newest + 1..=last).collect::<Vec<_>>())?) {
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

    fn read_store(io: &Io, numbers: &[u64], last: u64) -> Result<Self> {
        let mut position = Self::default();
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
            let records = fetch(io, &(from..=last).collect::<Vec<_>>())?;
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
        let entries = self.accept_all(fetch(io, &(self.next..=last).collect::<Vec<_>>())?)?;
        self.remember(io);
        Ok(entries)
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
        if self.last_digest.is_empty() && self.next > 0 {
            match record.previous.is_empty() {
                true => self.rebuilt_at = Some(self.next),
                false => drop(self.digests.insert(self.next - 1, record.previous.clone())),
            }
        }
        self.state
            .apply(&record.entry)
            .map_err(|error| Error::format(&key, error))?;
        self.gone.add(&record.entry);
        self.last_digest = blake3::hash(bytes).to_hex().to_string();
        self.digests.insert(self.next, self.last_digest.clone());
        self.next += 1;
        Ok(())
    }

    /// Writes the first entry, if there is none yet: from then on, a repository without a log has lost it.
    pub(crate) fn begin(&mut self, io: &Io) -> Result<()> {
        if self.next == 0 {
            // Someone else may be faster: then the log has its first entry, too.
            self.append_one(io, State::default().checkpoint())?;
        }
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

    /// As [`LogPosition::append`]. When the disk is full, its reserve is given up: for entries that free space.
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
            let message = "the catalog is too large for one log entry: delete backups";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let bytes = Bytes::from(format::write_object(&object, &[&json]));
        let key = Layout::log(self.next);
        if create(io, &key, &bytes)? {
            io.keep(&key, std::slice::from_ref(&bytes));
            self.accept(&record, &bytes)?;
            self.remember(io);
            return Ok(Append::Done);
        }
        Ok(Append::Lost(self.refresh(io)?))
    }

    /// Makes a state the one that counts, by a checkpoint at this position.
    pub(crate) fn append_state(&mut self, io: &Io, state: &State) -> Result<Append> {
        self.append_one(io, state.checkpoint())
    }

    /// Continues a log that cannot be read, or that is not the one this machine knows: a checkpoint behind the last entry that
    /// there is. False when someone else was faster.
    pub(crate) fn rebuild(io: &Io, history: &History, state: &State) -> Result<bool> {
        let first = history.last.map_or(0, |last| last + 1);
        // A number that was used must not be used again: machines remember what it stood for. The checkpoint at the first
        // one stops those who would go on from the last entry.
        let known = io
            .repository
            .log_memory()
            .and_then(|memory| memory.read().ok()?);
        let second = known.filter(|known| known.seq >= first);
        for next in [Some(first), second.map(|known| known.seq + 1)] {
            let Some(next) = next else { break };
            if Layout::log_seq(&Layout::log(next)).is_none() {
                let message =
                    "log has an entry with the highest number there is: nothing can follow";
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

impl Gone {
    fn add(&mut self, entry: &LogEntry) {
        match entry {
            LogEntry::Commit { backup, .. } => drop(self.backups.remove(&backup.id())),
            LogEntry::Delete { backups } => self.backups.extend(backups),
            _ => {}
        }
        let (added, removed) = entry.segments();
        self.segments.extend(removed);
        self.segments.retain(|id| !added.contains(id));
    }
}

/// A folder of the repository in which there are objects.
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
        "log is empty, and there are objects below {folder}: the commit log is lost; `check --repair-log` rebuilds it from \
         the manifests"
    ))
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
pub(super) fn list(io: &Io, from: u64) -> Result<Vec<u64>> {
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

pub(super) type Fetched = (Result<LogRecord>, Bytes);

/// Reads entries. An unreadable one is an error in its place.
pub(super) fn fetch(io: &Io, numbers: &[u64]) -> Result<Vec<Fetched>> {
    let storage = io.storage();
    // A check has copies that it made itself.
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
