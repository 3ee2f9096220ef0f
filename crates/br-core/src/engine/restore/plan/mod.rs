//! Planning: what to do with each entry, and in which order.
//!
//! [`Planner`] visits each entry once. `judge` decides about it, in the same way for a dry run and a real run; `folders` creates folders,
//! `links` creates hard links, `requests` combines requests, `finish` does the last steps.

mod finish;
mod folders;
mod judge;
mod links;
mod requests;

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::files::FileJob;
use super::place::Placed;
use super::report::Shared;
use super::scope::Scope;
use super::spelling::Spellings;
use super::surplus::SurplusFinder;
use super::worker::{Task, TaskKind};
use super::{Overwrite, RestoreOptions};
use crate::error::{Result, in_one_line};
use crate::model::{Content, Entry, EntryKind, EntryPath, escape};
use crate::progress::{Action, Event};
use crate::repository::{Gap, Io, MAX_GAP};
use crate::target::{Cursor, Existing, LocalTarget, TargetError};
use judge::{Verdict, is_same};
use links::{Link, LinkGroups};

/// Files are planned in windows of up to this many bytes and this many files.
const WINDOW_BYTES: u64 = 512 << 20;
const WINDOW_FILES: usize = 16_384;
/// Maximum bytes per request, unless a single group is larger.
const RUN_LEN: u64 = 4 << 20;
/// The same for a server, where requests have latency: larger windows, and requests that fetch an ordinary pack as a whole.
const REMOTE_WINDOW_BYTES: u64 = 4 << 30;
const REMOTE_WINDOW_FILES: usize = 65_536;
const REMOTE_RUN_LEN: u64 = 26 << 20;
const REMOTE_MAX_GAP: u64 = 1 << 20;
/// Number of small entries per task.
const BATCH: usize = 128;

/// Sizes of the planner's windows and requests.
#[derive(Clone, Copy)]
struct Reach {
    window_bytes: u64,
    window_files: usize,
    run_len: u64,
    max_gap: u64,
}

impl Reach {
    /// A smaller window for the first files, so that workers start early.
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

/// Plans the entries in order and sends tasks to the workers.
pub(super) struct Planner<'a> {
    shared: &'a Arc<Shared>,
    options: &'a RestoreOptions,
    scope: &'a Scope,
    target: Option<&'a LocalTarget>,
    cursor: Option<Cursor>,
    /// A folder that could not be created: all entries below it fail.
    blocked: Option<EntryPath>,
    /// The names found so far, on a target that ignores case.
    spellings: Option<Spellings>,
    /// A folder that a dry run cannot list: entries below it are skipped.
    unseen: Option<EntryPath>,
    /// A folder that this restore creates, so nothing exists below it.
    fresh: Option<EntryPath>,
    folders: Vec<Entry>,
    /// The folders on the way to the current entry.
    open: Vec<EntryPath>,
    groups: LinkGroups,
    links: Vec<Link>,
    window: Vec<Arc<FileJob>>,
    window_bytes: u64,
    batch: Vec<Entry>,
    surplus: Option<SurplusFinder>,
    /// Folders that were deleted because they were in the way.
    cleared: Vec<EntryPath>,
    /// Number of unreadable parts of the tree. If there are any, nothing is deleted.
    gaps: u64,
    entries: u64,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        target: Option<&'a LocalTarget>,
        scope: &'a Scope,
        options: &'a RestoreOptions,
    ) -> Self {
        Self {
            shared,
            options,
            scope,
            target,
            cursor: target.map(LocalTarget::cursor),
            blocked: None,
            spellings: target
                .is_some_and(LocalTarget::folds_case)
                .then(Spellings::default),
            unseen: None,
            fresh: None,
            folders: Vec::new(),
            open: Vec::new(),
            groups: LinkGroups::new(),
            links: Vec::new(),
            window: Vec::new(),
            window_bytes: 0,
            batch: Vec::new(),
            surplus: (options.delete && target.is_some()).then(SurplusFinder::default),
            cleared: Vec::new(),
            gaps: 0,
            entries: 0,
        }
    }

    pub(super) fn options(&self) -> &'a RestoreOptions {
        self.options
    }

    pub(super) fn target(&self) -> Option<&'a LocalTarget> {
        self.target
    }

    /// Plans all entries; without `tasks`, nothing is written.
    pub(super) fn run(
        &mut self,
        io: &Io,
        entries: impl Iterator<Item = Result<Placed, Gap>>,
        tasks: Option<&Sender<Task>>,
    ) -> Result<()> {
        let mut reach = Reach::of(io).at_first();
        self.open_target_folder();
        for entry in entries {
            io.check_cancelled()?;
            let Placed { entry, leads } = match entry {
                Ok(placed) => placed,
                Err(gap) => {
                    self.gap(gap)?;
                    continue;
                }
            };
            self.entries += 1;
            if let (Some(surplus), Some(cursor)) = (&mut self.surplus, &mut self.cursor) {
                surplus.visit(&entry, cursor);
            }
            self.plan(entry, leads);
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

    /// Writes entries without any further decision.
    pub(super) fn write(&mut self, entries: Vec<Entry>, tasks: Option<&Sender<Task>>) {
        for entry in entries {
            self.add(entry);
        }
        self.send_batch(tasks);
        self.send_window(tasks);
    }

    fn gap(&mut self, gap: Gap) -> Result<()> {
        if !gap.error.is_damage() {
            return Err(gap.error);
        }
        self.gaps += 1;
        let reason = format!(
            "{}: {} entries from this one on cannot be listed",
            in_one_line(&gap.error),
            gap.entries.max(1)
        );
        self.shared.failed(&gap.first, reason, true);
        Ok(())
    }

    fn plan(&mut self, entry: Entry, leads: bool) {
        if self.fails_as_blocked(&entry.path) || self.fails_as_clash(&entry) {
            return;
        }
        if let EntryKind::Directory = entry.kind {
            self.plan_folder(entry, leads);
            return;
        }
        self.ensure_parent(&entry.path);
        if !self.fails_as_blocked(&entry.path) {
            self.plan_other(entry);
        }
    }

    /// Fails an entry if its folder could not be created; true also for an entry below an unseen folder.
    fn fails_as_blocked(&self, path: &EntryPath) -> bool {
        let blocked = self.blocked.as_ref();
        let fails = blocked.is_some_and(|folder| path.is_within(folder));
        if fails {
            let reason = "its parent folder was not created".to_owned();
            self.shared.failed(path, reason, false);
        }
        fails || self.is_unseen(path)
    }

    /// Fails an entry that would overwrite another one, because the target ignores case.
    fn fails_as_clash(&mut self, entry: &Entry) -> bool {
        let spellings = self.spellings.as_mut();
        let Some(met) = spellings.and_then(|spellings| spellings.clash(&entry.path)) else {
            return false;
        };
        let reason = format!(
            "its name differs only in case from that of `{}` in the same folder, and the target ignores case",
            escape(&met)
        );
        self.shared.failed(&entry.path, reason, false);
        if let EntryKind::Directory = entry.kind {
            self.blocked = Some(entry.path.clone());
        }
        true
    }

    /// True below a folder that a dry run cannot list. The folder was reported; entries below it are skipped.
    fn is_unseen(&self, path: &EntryPath) -> bool {
        let unseen = self.unseen.as_ref();
        unseen.is_some_and(|folder| path.is_within(folder))
    }

    /// Plans an entry that is not a folder.
    fn plan_other(&mut self, entry: Entry) {
        let is_device = matches!(
            entry.kind,
            EntryKind::CharDevice(_) | EntryKind::BlockDevice(_)
        );
        if is_device && !self.options.devices {
            self.shared.update(|report| report.left_out += 1);
            self.tell(&entry.path, Action::LeaveOut);
            self.shared.advance(0, 1);
            return;
        }
        let existing = match self.look(&entry.path) {
            Ok(existing) => existing,
            Err(error) => {
                self.shared.target_failed(&entry.path, &error);
                self.shared.advance(entry.size(), 1);
                return;
            }
        };
        let Some(entry) = self.join_link_group(entry, existing.as_ref()) else {
            return;
        };
        let verdict = self.judge(&entry, existing.as_ref());
        self.start_link_group(&entry, existing.as_ref(), &verdict);
        self.tell_verdict(&entry.path, &verdict, existing.is_some());
        match verdict {
            Verdict::Write => self.add(entry),
            Verdict::Keep | Verdict::Correct => {
                if verdict == Verdict::Correct {
                    self.correct(&entry);
                } else if let Some(existing) = existing.as_ref()
                    && self.options.overwrite != Overwrite::Never
                {
                    self.shared.note_lacking(&entry, existing);
                }
                self.keep(&entry, existing.as_ref());
            }
            Verdict::Clear => match self.clear(&entry.path) {
                Ok(()) => self.add(entry),
                Err(reason) => self.shared.failed(&entry.path, reason, false),
            },
            Verdict::Refuse(reason) => self.shared.failed(&entry.path, reason, false),
        }
    }

    /// Reports what happens to an entry.
    fn tell(&self, path: &EntryPath, action: Action) {
        let progress = &self.shared.io.context.progress;
        progress.event(Event::Entry { path, action });
    }

    /// Reports what happens to an entry that is not a folder. A refused entry is reported as a failure elsewhere.
    fn tell_verdict(&self, path: &EntryPath, verdict: &Verdict, exists: bool) {
        let action = match verdict {
            Verdict::Refuse(_) => return,
            Verdict::Correct => Action::Correct,
            Verdict::Keep if self.options.overwrite == Overwrite::Never => Action::Keep,
            Verdict::Keep => Action::Unchanged,
            Verdict::Write | Verdict::Clear if exists => Action::Replace,
            Verdict::Write | Verdict::Clear => Action::Create,
        };
        self.tell(path, action);
    }

    /// Counts an entry whose content stays unchanged.
    fn keep(&self, entry: &Entry, existing: Option<&Existing>) {
        let files = u64::from(matches!(entry.kind, EntryKind::File(_)));
        let is_same = existing.is_none_or(|existing| is_same(entry, existing));
        self.shared.update(|report| {
            if is_same {
                report.files_unchanged += files;
            } else {
                report.files_kept += files;
            }
        });
        self.shared.advance(entry.size(), 1);
    }

    /// Sets the metadata of an existing entry that is kept.
    fn correct(&mut self, entry: &Entry) {
        self.shared.note_left_out(entry);
        let Some(cursor) = self.cursor.as_mut().filter(|_| !self.options.dry_run) else {
            return;
        };
        match cursor.set_metadata(entry, &self.shared.metadata) {
            Ok(warnings) => self.shared.warn(warnings),
            Err(error) => self.shared.target_failed(&entry.path, &error),
        }
    }

    /// Queues an entry to be written.
    fn add(&mut self, entry: Entry) {
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

    /// Returns the existing entry at a path. An error never means that the path is free.
    fn look(&mut self, path: &EntryPath) -> Result<Option<Existing>, TargetError> {
        let fresh = self.fresh.as_ref();
        let is_fresh = fresh.is_some_and(|fresh| path.is_within(fresh));
        match self.cursor.as_mut().filter(|_| !is_fresh) {
            Some(cursor) => cursor.inspect(path),
            None => Ok(None),
        }
    }

    /// Sends the small entries to a worker.
    fn send_batch(&mut self, tasks: Option<&Sender<Task>>) {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return;
        }
        if let Some(tasks) = tasks {
            // A worker ends early only by a panic, which is reported when it is joined.
            let _ = tasks.send(Task {
                kind: TaskKind::Small(batch),
            });
        } else {
            self.count_dry_run(batch.iter());
        }
    }

    /// Counts entries that a dry run would write.
    fn count_dry_run<'e>(&self, entries: impl Iterator<Item = &'e Entry>) {
        for entry in entries {
            self.shared.note_left_out(entry);
            if let EntryKind::File(file) = &entry.kind {
                self.shared.update(|report| {
                    report.files_restored += 1;
                    report.bytes_restored += file.data_len();
                });
            }
        }
    }
}
