//! The source beside the base: which files must be read.

use std::iter::Peekable;
use std::sync::{Arc, Condvar, Mutex};

use crossbeam_channel::Sender;
use jiff::{SignedDuration, Timestamp};

use super::Start;
use super::dedup::Dedup;
use crate::model::{Content, Entry, EntryKind, EntryPath, FileContent, References};
use crate::progress::{Action, Event, Progress};
use crate::repository::{ChunkReader, Io, TreeReader};
use crate::source::{Details, Exclusion, Source, SourceItem};

/// Bytes to be read in one job.
const JOB_BYTES: u64 = 1 << 20;
/// Entries in one job.
const JOB_ITEMS: usize = 512;
/// Entries of one job that hold their folder open. Jobs under way times this stays far below the usual limit of 1,024 files.
const JOB_OPEN: usize = 80;
/// How many jobs the walk may be ahead of what is finished: bounds what waits behind one huge file.
const JOBS_AHEAD: u64 = 512;
/// Time stamps of files may lag behind the clock by the kernel's tick.
const CLOCK_TICK: SignedDuration = SignedDuration::from_millis(20);

/// A run of consecutive items.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) items: Vec<Item>,
}

/// What is to be done with an entry.
pub(super) enum Item {
    /// Nothing: it is complete.
    Done {
        entry: Entry,
        /// A file whose content is taken from the base.
        unchanged_file: bool,
    },
    /// Fetch its attributes, and its content if it is a file.
    Fetch {
        entry: Entry,
        details: Box<dyn Details>,
        /// The content that the base has under that path.
        known: Option<Box<FileContent>>,
        /// How it compares with the base, by its metadata.
        action: Action,
    },
    /// It could not be looked at.
    Failed { path: EntryPath, reason: String },
    /// It is left out on purpose.
    LeftOut { path: EntryPath, reason: Exclusion },
    /// Something to be told.
    Told { message: String, is_warning: bool },
}

/// How a file compares with the base.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FileOutcome {
    /// It is no regular file.
    NotAFile(Action),
    Unchanged,
    /// It was read, as the base could not be trusted, and has the same content.
    Same,
    New,
    Changed,
}

impl FileOutcome {
    /// What is told about the entry.
    pub(super) const fn action(self) -> Action {
        match self {
            Self::NotAFile(action) => action,
            Self::Unchanged | Self::Same => Action::Unchanged,
            Self::New => Action::New,
            Self::Changed => Action::Changed,
        }
    }
}

/// Keeps the walk from running too far ahead.
#[derive(Default)]
pub(super) struct Window {
    finished: Mutex<Option<u64>>,
    moved: Condvar,
}

impl Window {
    pub(super) fn open() -> Self {
        Self {
            finished: Mutex::new(Some(0)),
            moved: Condvar::new(),
        }
    }

    /// Says how many jobs are finished.
    pub(super) fn advance(&self, finished: u64) {
        if let Ok(mut count) = self.finished.lock() {
            *count = count.map(|_| finished);
        }
        self.moved.notify_all();
    }

    /// Says that no more jobs will finish.
    pub(super) fn close(&self) {
        if let Ok(mut count) = self.finished.lock() {
            *count = None;
        }
        self.moved.notify_all();
    }

    /// Closes the window when the guard is dropped, unless it was disarmed: a worker that ends early, by an error or a panic, must
    /// not leave the walk waiting for a job that will never finish.
    pub(super) fn guard(&self) -> WindowGuard<'_> {
        WindowGuard(Some(self))
    }

    /// Waits until job `number` may start; false when no worker is left to do it.
    fn wait_for(&self, number: u64) -> bool {
        let Ok(count) = self.finished.lock() else {
            return false;
        };
        let blocked = |count: &mut Option<u64>| count.is_some_and(|n| number >= n + JOBS_AHEAD);
        self.moved
            .wait_while(count, blocked)
            .is_ok_and(|count| count.is_some())
    }
}

/// See [`Window::guard`].
pub(super) struct WindowGuard<'a>(Option<&'a Window>);

impl WindowGuard<'_> {
    /// All went well: the window stays open.
    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for WindowGuard<'_> {
    fn drop(&mut self) {
        if let Some(window) = self.0 {
            window.close();
        }
    }
}

/// Entries of an earlier run, beside which the walk goes.
struct Known {
    entries: Peekable<Box<dyn Iterator<Item = Entry> + Send>>,
    /// Entries that changed later than this may have changed again unnoticed.
    trusted_before: Timestamp,
}

impl Known {
    fn new(entries: Box<dyn Iterator<Item = Entry> + Send>, started: Timestamp) -> Self {
        let trusted_before = started.checked_sub(CLOCK_TICK).unwrap_or(Timestamp::MIN);
        Self {
            entries: entries.peekable(),
            trusted_before,
        }
    }

    /// Moves on to `path`.
    fn at(&mut self, path: &EntryPath) -> Option<Entry> {
        while self.entries.next_if(|entry| entry.path < *path).is_some() {}
        self.entries.next_if(|entry| entry.path == *path)
    }

    /// A time stamp from after the earlier run began does not prove that nothing happened since. Whole seconds come from file
    /// systems that know nothing finer, some of them only even ones.
    fn may_be_trusted(&self, entry: &Entry) -> bool {
        let limit = self.trusted_before;
        let (seconds, nanos) = (limit.as_second(), limit.subsec_nanosecond().unsigned_abs());
        if entry.ctime.nanos == 0 {
            return entry.ctime.secs.saturating_add(2) < seconds;
        }
        (entry.ctime.secs, entry.ctime.nanos) < (seconds, nanos)
    }
}

/// Walks the source and makes jobs.
pub(super) struct Compare<'a> {
    source: Box<dyn Source>,
    known: Vec<Known>,
    dedup: &'a Dedup,
    references: References,
    items: Vec<Item>,
    bytes: u64,
    open: usize,
    number: u64,
}

impl<'a> Compare<'a> {
    pub(super) fn new(io: &Io, source: Box<dyn Source>, start: &Start, dedup: &'a Dedup) -> Self {
        let mut known = Vec::new();
        let can_skip = start.skips;
        if can_skip {
            // Entries of an interrupted run are newer than the base.
            known.push(Known::new(
                Box::new(start.leftover.entries(io)),
                start.leftover.started,
            ));
        }
        // What must be read again may still resemble what was there.
        if let Some(base) = &start.base {
            let reader = Arc::new(ChunkReader::new(io, Arc::clone(&start.index)));
            let progress = Arc::clone(&io.context.progress);
            let entries = TreeReader::new(&reader, base).filter_map(move |entry| {
                entry
                    .map_err(|gap| warn_of_gap(&*progress, &gap.error))
                    .ok()
            });
            let started = match can_skip {
                true => base.started,
                false => Timestamp::MIN,
            };
            known.push(Known::new(Box::new(entries), started));
        }
        Self {
            source,
            known,
            dedup,
            references: References::default(),
            items: Vec::new(),
            bytes: 0,
            open: 0,
            number: 0,
        }
    }

    /// Walks to the end. Returns what the unchanged files use, and how many jobs there were; `None` when the receivers are
    /// gone.
    pub(super) fn run(mut self, jobs: &Sender<Job>, window: &Window) -> Option<(References, u64)> {
        while let Some(item) = self.source.next() {
            let item = match item {
                SourceItem::Entry { entry, details } => self.decide(entry, details),
                SourceItem::Unreadable { path, error } => Item::Failed {
                    path,
                    reason: error.to_string(),
                },
                SourceItem::LeftOut { path, reason } => Item::LeftOut { path, reason },
                SourceItem::Warning(message) => Item::Told {
                    message,
                    is_warning: true,
                },
                SourceItem::Note(message) => Item::Told {
                    message,
                    is_warning: false,
                },
            };
            if let Item::Fetch { entry, .. } = &item {
                self.open += 1;
                self.bytes = self.bytes.saturating_add(entry.size());
            }
            self.items.push(item);
            let full =
                self.bytes >= JOB_BYTES || self.items.len() >= JOB_ITEMS || self.open >= JOB_OPEN;
            if full {
                self.send(jobs, window)?;
            }
        }
        self.send(jobs, window)?;
        Some((self.references, self.number))
    }

    fn send(&mut self, jobs: &Sender<Job>, window: &Window) -> Option<()> {
        if self.items.is_empty() {
            return Some(());
        }
        if !window.wait_for(self.number) {
            return None;
        }
        let job = Job {
            number: self.number,
            items: std::mem::take(&mut self.items),
        };
        self.number += 1;
        (self.bytes, self.open) = (0, 0);
        jobs.send(job).ok()
    }

    /// Takes content and attributes from an earlier run, if that is safe.
    fn decide(&mut self, mut entry: Entry, details: Box<dyn Details>) -> Item {
        let (mut known, mut action) = (None, None);
        for at in 0..self.known.len() {
            let Some(before) = self.known[at].at(&entry.path) else {
                continue;
            };
            let trusted = self.known[at].may_be_trusted(&before);
            let file = trusted && entry.is_unchanged_since(&before) && self.has_content(&before);
            if file || (trusted && is_same_other(&entry, &before)) {
                entry.kind = before.kind;
                entry.xattrs = before.xattrs;
                self.skip_others(at, &entry.path);
                return Item::Done {
                    entry,
                    unchanged_file: file,
                };
            }
            action.get_or_insert_with(|| action_of(&entry, &before));
            if let EntryKind::File(content) = before.kind {
                known.get_or_insert_with(|| Box::new(content));
            }
        }
        Item::Fetch {
            entry,
            details,
            known,
            action: action.unwrap_or(Action::New),
        }
    }

    /// Keeps the remaining streams in step.
    fn skip_others(&mut self, from: usize, path: &EntryPath) {
        for known in &mut self.known[from + 1..] {
            known.at(path);
        }
    }

    /// Checks that the repository still has every chunk, and notes them as used.
    fn has_content(&mut self, entry: &Entry) -> bool {
        let EntryKind::File(file) = &entry.kind else {
            return true;
        };
        match &file.content {
            Content::Inline(_) => true,
            Content::Chunks(chunks) => chunks
                .iter()
                .all(|chunk| self.dedup.note_stored(&chunk.id, &mut self.references)),
        }
    }
}

/// How an entry compares with what the base has, as far as metadata tells.
fn action_of(now: &Entry, before: &Entry) -> Action {
    let is_same_kind = match (&now.kind, &before.kind) {
        (EntryKind::File(now), EntryKind::File(before)) => now.size == before.size,
        (now, before) => now == before,
    };
    let is_same = is_same_kind
        && (now.mode, now.mtime) == (before.mode, before.mtime)
        && now.owner == before.owner;
    match is_same {
        true => Action::Unchanged,
        false => Action::Changed,
    }
}

/// True when something that is no regular file has not changed, so that its attributes have not either.
fn is_same_other(now: &Entry, before: &Entry) -> bool {
    !matches!(now.kind, EntryKind::File(_))
        && now.kind == before.kind
        && now.ctime == before.ctime
        && now.mtime == before.mtime
        && now.inode == before.inode
}

fn warn_of_gap(progress: &dyn Progress, error: &crate::Error) {
    if error.kind() == crate::ErrorKind::Interrupted {
        return;
    }
    let message = format!("the base cannot be read in part, files there are read again: {error}");
    progress.event(Event::Warning { message: &message });
}
