//! What must be done where, and in which order.

mod finish;
mod requests;

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::files::FileJob;
use super::surplus::SurplusFinder;
use super::worker::{Task, TaskKind};
use super::{LinkGroup, LinkGroups, Overwrite, RestoreOptions, Shared, cursor};
use crate::error::{Result, in_one_line};
use crate::model::{Content, Entry, EntryKind, EntryPath};
use crate::repository::{Gap, Io, TreeReader};
use crate::target::{Cursor, Existing, LocalTarget};

/// Files are planned together up to so many bytes, or so many of them.
const WINDOW_BYTES: u64 = 512 << 20;
const WINDOW_FILES: usize = 16_384;
/// One request fetches at most so much, unless a group is larger.
const RUN_LEN: u64 = 4 << 20;
/// The same for a server, where every request takes its time: files are looked at further ahead, ordinary packs come whole.
const REMOTE_WINDOW_BYTES: u64 = 4 << 30;
const REMOTE_WINDOW_FILES: usize = 65_536;
const REMOTE_RUN_LEN: u64 = 26 << 20;
const REMOTE_MAX_GAP: u64 = 1 << 20;
/// A request reads on over so many bytes that nobody wants.
const MAX_GAP: u64 = 256 << 10;
/// Small entries handed to a worker at once.
const BATCH: usize = 128;

/// How far the planner looks.
#[derive(Clone, Copy)]
struct Reach {
    window_bytes: u64,
    window_files: usize,
    run_len: u64,
    max_gap: u64,
}

impl Reach {
    /// How far it looks for the first files, so that workers have something to do soon.
    fn at_first(self) -> Self {
        Self {
            window_bytes: WINDOW_BYTES,
            window_files: WINDOW_FILES,
            ..self
        }
    }

    fn of(io: &Io) -> Self {
        if io.storage().is_remote() {
            Self {
                window_bytes: REMOTE_WINDOW_BYTES,
                window_files: REMOTE_WINDOW_FILES,
                run_len: REMOTE_RUN_LEN,
                max_gap: REMOTE_MAX_GAP,
            }
        } else {
            Self {
                window_bytes: WINDOW_BYTES,
                window_files: WINDOW_FILES,
                run_len: RUN_LEN,
                max_gap: MAX_GAP,
            }
        }
    }
}

/// Goes through the entries and hands out tasks.
pub(super) struct Planner<'a> {
    shared: &'a Arc<Shared>,
    options: &'a RestoreOptions,
    cursor: Option<Cursor>,
    /// A folder that could not be made: what belongs into it fails.
    blocked: Option<EntryPath>,
    /// A folder this restore made, and below which nothing can be there already.
    fresh: Option<EntryPath>,
    folders: Vec<Entry>,
    /// The folders on the way to the current entry.
    open: Vec<EntryPath>,
    groups: LinkGroups,
    links: Vec<(EntryPath, Entry)>,
    window: Vec<Arc<FileJob>>,
    window_bytes: u64,
    batch: Vec<Entry>,
    surplus: Option<SurplusFinder>,
    /// Parts of the tree that cannot be read: nothing is deleted then.
    gaps: u64,
    entries: u64,
    found: Vec<EntryPath>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        target: Option<&LocalTarget>,
        options: &'a RestoreOptions,
    ) -> Self {
        Self {
            shared,
            options,
            cursor: cursor(target),
            blocked: None,
            fresh: None,
            folders: Vec::new(),
            open: Vec::new(),
            groups: LinkGroups::new(),
            links: Vec::new(),
            window: Vec::new(),
            window_bytes: 0,
            batch: Vec::new(),
            surplus: (options.delete && target.is_some()).then(SurplusFinder::default),
            gaps: 0,
            entries: 0,
            found: Vec::new(),
        }
    }

    /// Takes all entries; without `tasks` nothing is written.
    pub(super) fn run(
        &mut self,
        io: &Io,
        entries: TreeReader,
        tasks: Option<&Sender<Task>>,
    ) -> Result<()> {
        let mut reach = Reach::of(io).at_first();
        for entry in entries {
            io.check_cancelled()?;
            let entry = match entry {
                Ok(entry) => entry,
                Err(gap) => {
                    self.gap(gap)?;
                    continue;
                }
            };
            self.entries += 1;
            if let Some(selected) = self.options.paths.iter().find(|path| **path == entry.path) {
                self.found.push(selected.clone());
            }
            if let (Some(surplus), Some(cursor)) = (&mut self.surplus, &mut self.cursor) {
                surplus.visit(&entry, cursor);
            }
            self.plan(entry);
            if self.batch.len() >= BATCH {
                self.send_batch(tasks);
            }
            if self.window_bytes >= reach.window_bytes || self.window.len() >= reach.window_files {
                self.send_window(tasks);
                reach = Reach::of(io);
            }
        }
        self.send_batch(tasks);
        self.send_window(tasks);
        let entries = self.entries;
        self.shared.update(|report| report.entries = entries);
        Ok(())
    }

    fn gap(&mut self, gap: Gap) -> Result<()> {
        if !gap.error.is_damage() {
            return Err(gap.error);
        }
        self.gaps += 1;
        let reason = format!(
            "{}: {} entries from here on cannot be listed",
            in_one_line(&gap.error),
            gap.entries.max(1)
        );
        self.shared.failed(&gap.first, reason, true);
        Ok(())
    }

    fn plan(&mut self, entry: Entry) {
        if self
            .blocked
            .as_ref()
            .is_some_and(|folder| entry.path.is_within(folder))
        {
            let reason = "the folder it belongs into was not made".to_owned();
            self.shared.failed(&entry.path, reason, false);
            return;
        }
        if let EntryKind::Directory = entry.kind {
            self.plan_folder(entry);
            return;
        }
        self.provide_folder(&entry.path);
        if let Some(group) = entry.link_group {
            if let Some(first) = self
                .groups
                .get(&group)
                .filter(|first| first.is_joined_by(&entry))
            {
                self.links.push((first.path.clone(), entry));
                return;
            }
            // What stays whatever it is may be another file: the group's next name is not linked to it.
            if !(self.options.overwrite == Overwrite::Never && self.exists(&entry)) {
                self.groups
                    .entry(group)
                    .or_insert_with(|| LinkGroup::new(&entry));
            }
        }
        if self.is_left_alone(&entry) {
            let files = u64::from(matches!(entry.kind, EntryKind::File(_)));
            self.shared.update(|report| report.files_unchanged += files);
            self.shared.advance(entry.size(), 1);
            return;
        }
        match &entry.kind {
            EntryKind::File(file) => match &file.content {
                Content::Chunks(chunks) if !chunks.is_empty() => {
                    self.window_bytes += file.data_len();
                    self.window.push(Arc::new(FileJob::new(entry)));
                }
                _ => self.batch.push(entry),
            },
            _ => self.batch.push(entry),
        }
    }

    fn plan_folder(&mut self, entry: Entry) {
        while self
            .open
            .last()
            .is_some_and(|folder| !entry.path.is_within(folder))
        {
            self.open.pop();
        }
        let is_below_fresh = self
            .fresh
            .as_ref()
            .is_some_and(|fresh| entry.path.is_within(fresh));
        if let (Some(cursor), false) = (&mut self.cursor, self.options.dry_run)
            && !entry.path.is_root()
        {
            if self.options.overwrite == Overwrite::Never
                && let Ok(Some(there)) = cursor.inspect(&entry.path)
                && there.kind != EntryKind::Directory
            {
                let reason = "something else is there, and nothing is overwritten".to_owned();
                self.shared.failed(&entry.path, reason, false);
                self.blocked = Some(entry.path);
                return;
            }
            match cursor.make_dir(&entry.path) {
                Ok(true) if !is_below_fresh => self.fresh = Some(entry.path.clone()),
                Ok(_) => {}
                Err(error) => {
                    self.shared.target_failed(&entry.path, &error);
                    self.blocked = Some(entry.path);
                    return;
                }
            }
        }
        self.shared.advance(0, 1);
        self.open.push(entry.path.clone());
        self.folders.push(entry);
    }

    /// Makes the folder an entry lies in when the backup has none: a stream may be stored as `db/dump.sql`.
    fn provide_folder(&mut self, path: &EntryPath) {
        while self
            .open
            .last()
            .is_some_and(|folder| !path.is_within(folder))
        {
            self.open.pop();
        }
        let parent = path.parent().unwrap_or_default();
        if parent == self.open.last().map_or(&[][..], EntryPath::as_bytes) {
            return;
        }
        let Ok(parent) = EntryPath::new(parent) else {
            return;
        };
        if let (Some(cursor), false) = (&mut self.cursor, self.options.dry_run)
            && let Err(error) = cursor.make_dir(&parent)
        {
            self.shared.target_failed(&parent, &error);
        }
        self.open.push(parent);
    }

    /// True when what is there stays.
    fn is_left_alone(&mut self, entry: &Entry) -> bool {
        if self
            .fresh
            .as_ref()
            .is_some_and(|fresh| entry.path.is_within(fresh))
        {
            return false;
        }
        let Some(cursor) = &mut self.cursor else {
            return false;
        };
        if self.options.overwrite == Overwrite::Always {
            return false;
        }
        let Ok(Some(existing)) = cursor.inspect(&entry.path) else {
            return false;
        };
        if self.options.overwrite == Overwrite::Never {
            return true;
        }
        let same = is_same(entry, &existing);
        if same && !self.options.dry_run && metadata_differs(entry, &existing, self.options.owner) {
            let set = cursor.set_metadata(entry, &self.shared.metadata);
            match set {
                Ok(warnings) => self.shared.warn(&warnings),
                Err(error) => self.shared.target_failed(&entry.path, &error),
            }
        }
        same
    }

    /// Hands small entries to a worker.
    fn send_batch(&mut self, tasks: Option<&Sender<Task>>) {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return;
        }
        if let Some(tasks) = tasks {
            // Workers go away only by panicking, which is noticed when they are joined.
            let _ = tasks.send(Task {
                kind: TaskKind::Small(batch),
            });
        } else {
            self.pretend(batch.iter());
        }
    }

    /// Counts what a dry run would write.
    fn pretend<'e>(&self, entries: impl Iterator<Item = &'e Entry>) {
        self.shared.update(|report| {
            for entry in entries {
                if let EntryKind::File(file) = &entry.kind {
                    report.files_restored += 1;
                    report.bytes_restored += file.data_len();
                }
            }
        });
    }

    fn exists(&mut self, entry: &Entry) -> bool {
        self.cursor
            .as_mut()
            .is_some_and(|cursor| matches!(cursor.inspect(&entry.path), Ok(Some(_))))
    }
}

/// True when the file, or link, or device at the target is what the backup has, as far as can be seen without reading it.
fn is_same(entry: &Entry, existing: &Existing) -> bool {
    match (&entry.kind, &existing.kind) {
        (EntryKind::File(wanted), EntryKind::File(there)) => {
            wanted.size == there.size && entry.mtime == existing.mtime
        }
        (wanted, there) => wanted == there,
    }
}

fn metadata_differs(entry: &Entry, existing: &Existing, owner: bool) -> bool {
    entry.mode != existing.mode
        || entry.mtime != existing.mtime
        || (owner && (entry.owner.uid, entry.owner.gid) != (existing.uid, existing.gid))
}
