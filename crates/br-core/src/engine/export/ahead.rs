//! Read-ahead of an export.
//!
//! The [`Planner`] turns entries into [`Step`]s. It collects steps in windows and fetches the groups of a window together. Each
//! window is cut into batches, and one thread opens the chunks of a batch. Invariant: the number of bytes in flight is bounded,
//! for any distribution of the chunks over packs and for any compression ratio.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::groups::{WantedGroup, fetch};
use crate::error::{Error, Result};
use crate::model::{ChunkRef, Content, Entry, EntryKind};
use crate::repository::{ChunkLocation, ChunkReader};

/// Maximum stored bytes of a window, and of a request. While one window is opened, the next is fetched.
const WINDOW_STORED: u64 = 4 << 20;
/// Maximum bytes of a window after decompression.
const WINDOW_RAW: u64 = 32 << 20;
/// Maximum groups of a window: if they are scattered, each needs its own request.
const WINDOW_GROUPS: usize = 64;
/// Maximum entries and chunks of a window.
const WINDOW_STEPS: usize = 4096;
/// Maximum bytes of the groups of a batch.
const BATCH_RAW: u64 = 2 << 20;
/// Maximum entries and chunks of a batch.
const BATCH_STEPS: usize = 512;
/// Maximum batches that wait for the sink.
pub(super) const QUEUE: usize = 8;
/// Bytes and number of groups kept for later chunks: a changed file is in another pack than its neighbours, so the groups of the
/// neighbours are needed again after it.
const RECENT_RAW: u64 = 16 << 20;
const RECENT_GROUPS: usize = 64;

/// One step of an export, with a `C` for each chunk.
pub(super) enum Step<C> {
    /// The next entry.
    Entry(Arc<Entry>),
    /// The next chunk of the last entry.
    Chunk(C),
    /// The last step: the export fails.
    Failed(Error),
}

/// A chunk of an entry.
pub(super) struct FilePart {
    /// The number of its entry, from 1.
    pub(super) entry: u64,
    pub(super) chunk: ChunkRef,
    /// Its group and its offset in the group; `None` when it is in no pack.
    pub(super) location: Option<(Arc<WantedGroup>, u32)>,
}

/// Steps with opened chunks.
pub(super) type Opened = Vec<Step<Result<Bytes>>>;

/// Steps to open, and the channel for the result.
pub(super) struct Task {
    pub(super) steps: Vec<Step<FilePart>>,
    pub(super) done: Sender<Opened>,
}

/// Sends tasks to the workers, and the receivers of their results, in order, to the sink's thread.
pub(super) struct FileSender {
    pub(super) tasks: Sender<Task>,
    /// This channel is bounded, which bounds the whole read-ahead.
    pub(super) order: Sender<Receiver<Opened>>,
}

impl FileSender {
    /// Sends a task; false when the receiver is gone.
    fn put(&self, steps: Vec<Step<FilePart>>) -> bool {
        let (done, opened) = bounded(1);
        self.order.send(opened).is_ok() && self.tasks.send(Task { steps, done }).is_ok()
    }
}

/// Steps whose groups are fetched together.
#[derive(Default)]
struct ReadAheadLimit {
    batches: Vec<Vec<Step<FilePart>>>,
    groups: Vec<Arc<WantedGroup>>,
    steps: usize,
    stored: u64,
    raw: u64,
    /// The part of `raw` that is in batches before the last one.
    raw_before: u64,
}

impl ReadAheadLimit {
    fn push(&mut self, step: Step<FilePart>) {
        let is_full = self.raw - self.raw_before >= BATCH_RAW;
        match self.batches.last_mut() {
            Some(batch) if batch.len() < BATCH_STEPS && !is_full => batch.push(step),
            _ => {
                self.raw_before = self.raw;
                self.batches.push(vec![step]);
            }
        }
        self.steps += 1;
    }

    fn is_full(&self) -> bool {
        self.stored >= WINDOW_STORED
            || self.raw >= WINDOW_RAW
            || self.groups.len() >= WINDOW_GROUPS
            || self.steps >= WINDOW_STEPS
    }
}

/// The receiver is gone: the export has ended.
struct Disconnected;

/// Makes tasks from entries and sends them.
pub(super) struct Planner<'a> {
    reader: &'a ChunkReader,
    /// The number of the last entry whose content the sink left unread.
    skipped: &'a AtomicU64,
    out: FileSender,
    window: ReadAheadLimit,
    /// The previous window, whose groups are being fetched.
    fetched: ReadAheadLimit,
    /// Newest first.
    recent: VecDeque<Arc<WantedGroup>>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(reader: &'a ChunkReader, skipped: &'a AtomicU64, out: FileSender) -> Self {
        Self {
            reader,
            skipped,
            out,
            window: ReadAheadLimit::default(),
            fetched: ReadAheadLimit::default(),
            recent: VecDeque::new(),
        }
    }

    /// Plans all entries. An error becomes the last step.
    pub(super) fn run(mut self, entries: impl Iterator<Item = Result<Entry>>) {
        for (number, entry) in (1..).zip(entries) {
            let cancelled = self.reader.io().check_cancelled();
            let planned = match cancelled.and(entry) {
                Ok(entry) => self.plan(number, &Arc::new(entry)),
                Err(error) => {
                    self.window.push(Step::Failed(error));
                    break;
                }
            };
            if planned.is_err() {
                return;
            }
        }
        // The last window, and the one before it.
        let _ = self.turn().and_then(|()| self.turn());
    }

    fn plan(&mut self, number: u64, entry: &Arc<Entry>) -> Result<(), Disconnected> {
        self.push(Step::Entry(Arc::clone(entry)))?;
        let EntryKind::File(file) = &entry.kind else {
            return Ok(());
        };
        let Content::Chunks(chunks) = &file.content else {
            return Ok(());
        };
        for chunk in chunks {
            if self.skipped.load(Ordering::Relaxed) >= number {
                break;
            }
            let piece = self.piece(number, *chunk);
            self.push(Step::Chunk(piece))?;
        }
        Ok(())
    }

    fn push(&mut self, step: Step<FilePart>) -> Result<(), Disconnected> {
        self.window.push(step);
        if self.window.is_full() {
            self.turn()?;
        }
        Ok(())
    }

    /// Starts to fetch the window, and sends the batches of the previous window.
    fn turn(&mut self) -> Result<(), Disconnected> {
        let groups = std::mem::take(&mut self.window.groups);
        fetch(self.reader.io(), groups, WINDOW_STORED);
        let next = std::mem::take(&mut self.window);
        let ready = std::mem::replace(&mut self.fetched, next);
        let all_wanted = ready.batches.into_iter().all(|steps| self.out.put(steps));
        all_wanted.then_some(()).ok_or(Disconnected)
    }

    fn piece(&mut self, entry: u64, chunk: ChunkRef) -> FilePart {
        let reader = self.reader;
        let location = reader.index().find(&chunk.id);
        let location = location.filter(|location| location.len == chunk.len);
        FilePart {
            entry,
            chunk,
            location: location.map(|location| (self.group(&location), location.start)),
        }
    }

    /// The group of a chunk, which may have been requested already.
    fn group(&mut self, location: &ChunkLocation<'_>) -> Arc<WantedGroup> {
        let is_it = |group: &Arc<WantedGroup>| {
            group.number == location.group_number && group.pack.id == location.pack.id
        };
        let known = self.recent.iter().position(is_it);
        let group = match known.and_then(|at| self.recent.remove(at)) {
            Some(group) => group,
            None => {
                let group = Arc::new(WantedGroup::new(location));
                self.window.stored += group.stored_len();
                self.window.raw += u64::from(group.group.raw_len);
                self.window.groups.push(Arc::clone(&group));
                group
            }
        };
        self.recent.push_front(Arc::clone(&group));
        self.forget();
        group
    }

    /// Drops the oldest groups above the limits.
    fn forget(&mut self) {
        let mut raw = 0;
        let fits = |group: &&Arc<WantedGroup>| {
            raw += u64::from(group.group.raw_len);
            raw <= RECENT_RAW
        };
        let count = self
            .recent
            .iter()
            .take(RECENT_GROUPS)
            .take_while(fits)
            .count();
        self.recent.truncate(count);
    }
}
