//! Comparison of the source with the base: decides which files must be read.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;

use crossbeam_channel::Sender;
use jiff::{SignedDuration, Timestamp};

use super::dedup::Dedup;
use super::first::{First, paths_of};
use super::job::{Item, Job, Outcome, Place};
use super::start::Start;
use super::walk_limit::WalkLimit;
use crate::model::{Backup, Content, Entry, EntryKind, EntryPath, References};
use crate::progress::{Action, Event, Progress};
use crate::repository::{ChunkReader, Io, TreeReader};
use crate::source::{Details, Source, SourceItem};
use crate::warning::Warning;

/// A job is full when its files have this many bytes.
const JOB_BYTES: u64 = 1 << 20;
/// Maximum items per job.
const JOB_ITEMS: usize = 512;
/// Maximum entries per job that keep their folder open. With all jobs in progress, this stays far below the usual limit of 1,024 open
/// files.
const JOB_OPEN: usize = 80;
/// A file's time stamp may be behind the clock by up to one tick of the kernel.
const CLOCK_TICK: SignedDuration = SignedDuration::from_millis(20);

/// Entries of an earlier run, read in step with the walk.
struct Known {
    entries: Peekable<Box<dyn Iterator<Item = Entry> + Send>>,
    /// Entries changed after this time may have changed again without a new time stamp.
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

    /// Advances to `path`.
    fn at(&mut self, path: &EntryPath) -> Option<Entry> {
        while self.entries.next_if(|entry| entry.path < *path).is_some() {}
        self.entries.next_if(|entry| entry.path == *path)
    }

    /// Advances beyond `folder`, and adds what is at and below it. What is there already stays.
    fn below(&mut self, folder: &EntryPath, found: &mut BTreeMap<EntryPath, Entry>) {
        while self.entries.next_if(|entry| entry.path < *folder).is_some() {}
        while let Some(entry) = self.entries.next_if(|entry| entry.path.is_within(folder)) {
            found.entry(entry.path.clone()).or_insert(entry);
        }
    }

    /// A time stamp does not prove that the entry is unchanged if it is newer than the start of the earlier run. File systems that store
    /// only whole seconds, or even only even seconds, need a wider margin.
    fn may_be_trusted(&self, entry: &Entry) -> bool {
        let limit = self.trusted_before;
        let (seconds, nanos) = (limit.as_second(), limit.subsec_nanosecond().unsigned_abs());
        if entry.ctime.nanos == 0 {
            return entry.ctime.secs.saturating_add(2) < seconds;
        }
        (entry.ctime.secs, entry.ctime.nanos) < (seconds, nanos)
    }
}

/// Walks the source and creates jobs.
pub(super) struct Compare<'a> {
    source: Box<dyn Source>,
    known: Vec<Known>,
    base: Option<(Arc<ChunkReader>, &'a Backup)>,
    dedup: &'a Dedup,
    references: References,
    items: Vec<Item>,
    bytes: u64,
    open: usize,
    number: u64,
}

impl<'a> Compare<'a> {
    pub(super) fn new(
        io: &Io,
        source: Box<dyn Source>,
        start: &'a Start,
        dedup: &'a Dedup,
    ) -> Self {
        let mut known = Vec::new();
        let can_skip = start.skips;
        if can_skip {
            // First in the list, because entries of an interrupted run are newer than the base.
            known.push(Known::new(
                Box::new(start.leftover.entries(io)),
                start.leftover.started,
            ));
        }
        // Even if all files must be read again, the base provides earlier versions for deltas.
        let base = start.base.as_ref().map(|base| {
            let reader = ChunkReader::new(io, Arc::clone(&start.index));
            (Arc::new(reader), base)
        });
        if let Some((reader, base)) = &base {
            let progress = Arc::clone(&io.context.progress);
            let entries = TreeReader::new(reader, base).filter_map(move |entry| {
                entry.map_err(|gap| warn_of_gap(&*progress, gap.error)).ok()
            });
            let started = if can_skip {
                base.started
            } else {
                Timestamp::MIN
            };
            known.push(Known::new(Box::new(entries), started));
        }
        Self {
            source,
            known,
            base,
            dedup,
            references: References::default(),
            items: Vec::new(),
            bytes: 0,
            open: 0,
            number: 0,
        }
    }

    /// Walks to the end. Returns the references of the unchanged files and the number of jobs; `None` when the receivers have ended.
    pub(super) fn run(
        mut self,
        jobs: &Sender<Job>,
        walk_limit: &WalkLimit,
    ) -> Option<(References, u64)> {
        let mut first = self.read_first(jobs, walk_limit)?;
        while let Some(item) = self.source.next() {
            if let Some(entry) = item.entry() {
                while let Some(outcomes) = first.take_before(Some(&entry.path)) {
                    self.items.push(Item::Ready(outcomes));
                }
            }
            let item = self.item(item);
            if let Item::Fetch { entry, .. } = &item {
                self.open += 1;
                self.bytes = self.bytes.saturating_add(entry.size());
            }
            // It takes as long as many jobs.
            let is_long = matches!(item, Item::Folder { .. });
            self.items.push(item);
            let full = is_long
                || self.bytes >= JOB_BYTES
                || self.items.len() >= JOB_ITEMS
                || self.open >= JOB_OPEN;
            if full {
                self.send(jobs, walk_limit)?;
            }
        }
        while let Some(outcomes) = first.take_before(None) {
            self.items.push(Item::Ready(outcomes));
        }
        self.send(jobs, walk_limit)?;
        Some((self.references, self.number))
    }

    /// Lets the workers read what must be read before the walk begins.
    fn read_first(&mut self, jobs: &Sender<Job>, walk_limit: &WalkLimit) -> Option<First> {
        let items = self.source.take_first();
        if items.is_empty() {
            return Some(First::default());
        }
        let base = self.base.as_ref().map(|(reader, base)| {
            let entries = TreeReader::new(reader, base).select(paths_of(&items));
            // The walk reads the same nodes again, and warns of gaps.
            let entries = entries.filter_map(Result::ok);
            entries.map(|entry| (entry.path.clone(), entry)).collect()
        });
        First::read(items, base.unwrap_or_default(), jobs, walk_limit)
    }

    fn item(&mut self, item: SourceItem) -> Item {
        match item {
            SourceItem::Entry { entry, details } => self.decide(entry, details),
            SourceItem::Folder { folder, reader } => {
                let mut known = BTreeMap::new();
                for one in &mut self.known {
                    one.below(&folder.path, &mut known);
                }
                Item::Folder {
                    folder,
                    reader,
                    known,
                }
            }
            other => Item::Ready(Outcome::of(other).into_iter().collect()),
        }
    }

    fn send(&mut self, jobs: &Sender<Job>, walk_limit: &WalkLimit) -> Option<()> {
        if self.items.is_empty() {
            return Some(());
        }
        if !walk_limit.wait_for(self.number) {
            return None;
        }
        let job = Job {
            place: Place::Number(self.number),
            items: std::mem::take(&mut self.items),
        };
        self.number += 1;
        (self.bytes, self.open) = (0, 0);
        jobs.send(job).ok()
    }

    /// Reuses content and attributes of an earlier run, if that is safe.
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

    /// Advances the remaining earlier runs to `path`.
    fn skip_others(&mut self, from: usize, path: &EntryPath) {
        for known in &mut self.known[from + 1..] {
            known.at(path);
        }
    }

    /// Checks that the repository still has every chunk, and adds the chunks to the references.
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

/// Compares an entry with its version in the base, by metadata only.
pub(super) fn action_of(now: &Entry, before: &Entry) -> Action {
    let is_same_kind = match (&now.kind, &before.kind) {
        (EntryKind::File(now), EntryKind::File(before)) => now.size == before.size,
        (now, before) => now == before,
    };
    let is_same = is_same_kind
        && (now.mode, now.mtime) == (before.mode, before.mtime)
        && now.owner == before.owner;
    if is_same {
        Action::Unchanged
    } else {
        Action::Changed
    }
}

/// True when an entry that is not a regular file is unchanged; its attributes are then unchanged too.
fn is_same_other(now: &Entry, before: &Entry) -> bool {
    !matches!(now.kind, EntryKind::File(_))
        && now.kind == before.kind
        && now.ctime == before.ctime
        && now.mtime == before.mtime
        && now.inode == before.inode
}

fn warn_of_gap(progress: &dyn Progress, error: crate::Error) {
    if error.kind() != crate::ErrorKind::Interrupted {
        progress.event(Event::Warning(&Warning::BaseUnreadable { error }));
    }
}
