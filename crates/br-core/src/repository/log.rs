//! Reading and extending the commit log (section 8 of the format).

use br_storage::{Creation, Payload};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::{Io, Layout, State};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, LogEntry, LogRecord, ObjectKind, limits};
use crate::model::ObjectId;

/// Every so many entries one is a checkpoint.
const CHECKPOINT_EVERY: u64 = 32;
/// How many entries are fetched at once.
const PARALLEL: usize = 16;
/// How often a create is tried again after an answer that does not say whether it took effect.
const CREATE_TRIES: u32 = 3;

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
                position.last_digest.clear();
                for (record, bytes) in records.into_iter().skip(at) {
                    position.accept(&record?, &bytes)?;
                }
                return Ok(position);
            }
            if from == 0 {
                for (record, bytes) in records {
                    position.accept(&record?, &bytes)?;
                }
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
        let mut entries = Vec::new();
        for (record, bytes) in fetch(io, self.next, last)? {
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
        if self.next.is_multiple_of(CHECKPOINT_EVERY) {
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
        let id = io.context.runtime.object_id();
        let object = io.new_object(ObjectKind::Log, id);
        let json = record.to_json();
        if json.len() as u64 > limits::LOG_ENTRY {
            let message = "the catalog is too large for one log entry: delete backups";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let bytes = Bytes::from(format::write_object(&object, &[&json]));
        if settle(io, &Layout::log(self.next), id, &bytes)? {
            self.accept(&record, &bytes)?;
            return Ok(Append::Done);
        }
        Ok(Append::Lost(self.refresh(io)?))
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

/// Creates a log entry and finds out, when the answer is unclear, whether it was us.
fn settle(io: &Io, key: &str, id: ObjectId, bytes: &Bytes) -> Result<bool> {
    let mut tries = 0;
    loop {
        tries += 1;
        // Not cancelled half-way: an entry whose fate is unknown would leave the caller with a wrong report.
        let payload = Payload::from(bytes.clone());
        match io.handle().block_on(io.storage().create_new(key, payload)) {
            Ok(Creation::Created) => return Ok(true),
            Ok(Creation::AlreadyExists) => {
                let there = io
                    .handle()
                    .block_on(io.storage().get(key, limits::LOG_ENTRY))?;
                return Ok(there.get(8..24) == Some(id.as_bytes()));
            }
            Err(error)
                if tries < CREATE_TRIES && error.kind() == br_storage::ErrorKind::Unavailable => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn missing(seq: u64) -> Error {
    Error::damaged(format!("{} is missing", Layout::log(seq)))
}

/// The numbers of the entries from `from` on, ascending.
fn list(io: &Io, from: u64) -> Result<Vec<u64>> {
    let after = from.checked_sub(1).map(Layout::log).unwrap_or_default();
    let objects = io.block(io.storage().list_after(Layout::LOG, &after))?;
    Ok(objects
        .iter()
        .filter_map(|object| Layout::log_seq(&object.key))
        .collect())
}

type Fetched = (Result<LogRecord>, Bytes);

/// Reads the entries from `from` to `to`. An unreadable one is an error in its place.
fn fetch(io: &Io, from: u64, to: u64) -> Result<Vec<Fetched>> {
    let storage = io.storage();
    let requests = futures::stream::iter(from..=to).map(|seq| async move {
        let key = Layout::log(seq);
        let bytes = storage.get(&key, limits::LOG_ENTRY).await;
        Ok::<_, Error>((key, bytes))
    });
    let fetched = io.block(requests.buffered(PARALLEL).try_collect::<Vec<_>>())?;
    let parse = |bytes: &Bytes| {
        let (_, [json]) = format::read_object::<1>(
            io.master(),
            io.cipher(),
            ObjectKind::Log,
            bytes,
            limits::LOG_ENTRY,
        )?;
        LogRecord::from_json(&json)
    };
    let mut records = Vec::with_capacity(fetched.len());
    for (key, bytes) in fetched {
        records.push(match bytes {
            Ok(bytes) => (
                parse(&bytes).map_err(|error| Error::format(&key, error)),
                bytes,
            ),
            // Only damage belongs to the entry. That the store does not answer concerns the whole operation.
            Err(error) => match Error::from(error) {
                error if error.kind() == ErrorKind::Damaged => (Err(error), Bytes::new()),
                error => return Err(error),
            },
        });
    }
    Ok(records)
}
