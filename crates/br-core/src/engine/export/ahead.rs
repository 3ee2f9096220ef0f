//! What is fetched ahead, and how far.
//!
//! The [`Planner`] goes through the entries and makes [`Step`]s of them: windows of steps whose groups are fetched together,
//! cut into batches that are opened together. Invariant: the bytes that are on their way are bounded, however scattered the
//! chunks are and however well they compressed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::groups::{WantedGroup, fetch};
use crate::error::{Error, Result};
use crate::model::{ChunkRef, Content, Entry, EntryKind};
use crate::repository::{ChunkReader, Place};

/// Stored bytes that are fetched together, and the longest request. While one window is opened, the next is fetched.
const WINDOW_STORED: u64 = 4 << 20;
/// The same as it is unpacked, in bytes.
const WINDOW_RAW: u64 = 32 << 20;
/// Groups that are fetched together: as many requests when they are scattered.
const WINDOW_GROUPS: usize = 64;
/// Entries and chunks that are planned together.
const WINDOW_STEPS: usize = 4096;
/// Bytes of groups that are opened together.
const BATCH_RAW: u64 = 2 << 20;
/// Entries and chunks that are opened together.
const BATCH_STEPS: usize = 512;
/// Batches that were opened, or are about to be, and wait for the sink.
pub(super) const QUEUE: usize = 8;
/// Groups kept for what comes later: files that changed since a backup are elsewhere than their neighbours.
const RECENT_RAW: u64 = 16 << 20;
const RECENT_GROUPS: usize = 64;

/// One step of an export, with a `C` for each chunk.
pub(super) enum Step<C> {
    /// The next entry.
    Entry(Arc<Entry>),
    /// The next chunk of the last entry.
    Chunk(C),
    /// Nothing follows.
    Failed(Error),
}

/// A chunk that is wanted.
pub(super) struct FilePart {
    /// Number of its entry, counted from 1.
    pub(super) entry: u64,
    pub(super) chunk: ChunkRef,
    /// Its group and where it starts in there; `None` when it is in no pack.
    pub(super) place: Option<(Arc<WantedGroup>, u32)>,
}

/// Steps whose chunks are there.
pub(super) type Opened = Vec<Step<Result<Bytes>>>;

/// Steps to be opened, and where they go then.
pub(super) struct Task {
    pub(super) steps: Vec<Step<FilePart>>,
    pub(super) done: Sender<Opened>,
}

/// Where a planner puts tasks: for any free worker, and in their order.
pub(super) struct FileSender {
    pub(super) tasks: Sender<Task>,
    /// Bounded, and thereby everything is.
    pub(super) order: Sender<Receiver<Opened>>,
}

impl FileSender {
    /// Hands out a task; false when the receiver is gone.
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
    /// How much of `raw` is in earlier batches than the last one.
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

/// The sink needs no more.
struct Disconnected;

/// Goes through the entries and hands out tasks.
pub(super) struct Planner<'a> {
    reader: &'a ChunkReader,
    /// The last entry whose content is left unread.
    skipped: &'a AtomicU64,
    out: FileSender,
    window: ReadAheadLimit,
    /// The window before, whose bytes are on their way.
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

    /// Plans all entries. What goes wrong is the last step.
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

    /// Starts to fetch the window, and hands out the one before it meanwhile.
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
        let place = reader.index().find(&chunk.id);
        let place = place.filter(|place| place.len == chunk.len);
        FilePart {
            entry,
            chunk,
            place: place.map(|place| (self.group(&place), place.start)),
        }
    }

    /// The group of a place, which may be on its way already.
    fn group(&mut self, place: &Place<'_>) -> Arc<WantedGroup> {
        let is_it = |group: &Arc<WantedGroup>| {
            group.number == place.group_number && group.pack == place.pack.id
        };
        let known = self.recent.iter().position(is_it);
        let group = match known.and_then(|at| self.recent.remove(at)) {
            Some(group) => group,
            None => {
                let group = Arc::new(WantedGroup::new(place));
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

    /// Keeps no more groups than it should.
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
