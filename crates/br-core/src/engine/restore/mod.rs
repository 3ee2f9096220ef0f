//! Restoring: from a backup to a folder.
//!
//! ```text
//! plan (tree, what is there) ──► runs of groups, fetched ahead ──► workers (open, verify, write)
//! ```
//!
//! [`restore`] runs it, [`RestoreOptions`] say how, [`RestoreReport`] tells what came of it. Invariant: a file gets its name
//! when all its bytes are there and verified; whatever is damaged is left out and named, and the rest is restored.

mod files;
mod plan;
mod surplus;
mod worker;

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::error::{Error, ErrorKind, Result, Site, in_one_line};
use crate::model::{Backup, BackupId, Entry, EntryKind, EntryPath, FileTime};
use crate::progress::{Context, Event};
use crate::repository::{BackupSelector, Io, Repository, TreeReader};
use crate::target::{Cursor, LocalTarget, MetadataOptions, TargetError, Warning};

use super::view::View;
use plan::Planner;
use worker::Task;

/// How a restore is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Only these entries and what is below them; everything when empty.
    pub paths: Vec<EntryPath>,
    /// What happens to files that are there already.
    pub overwrite: Overwrite,
    /// Delete what is in restored folders and not in the backup: what was excluded from it, too.
    pub delete: bool,
    /// Folders that deleting must spare: those of the repository and of the cache.
    pub protected: Vec<PathBuf>,
    /// Set user and group. Only root may.
    pub owner: bool,
    /// Do everything but write.
    pub dry_run: bool,
    /// Worker threads; as many as the machine has cores when `None`.
    pub threads: Option<usize>,
}

/// What happens to files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// They are replaced.
    Always,
    /// They are replaced unless size and time of the last change are those of the backup.
    #[default]
    IfChanged,
    /// They are left alone.
    Never,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            overwrite: Overwrite::default(),
            delete: false,
            protected: Vec::new(),
            owner: crate::target::may_set_owner(),
            dry_run: false,
            threads: None,
        }
    }
}

impl RestoreOptions {
    /// Restores only these entries and what is below them.
    #[must_use]
    pub fn with_paths(mut self, paths: Vec<EntryPath>) -> Self {
        self.paths = paths;
        self
    }

    /// Says what happens to files that are there already.
    #[must_use]
    pub const fn with_overwrite(mut self, overwrite: Overwrite) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Deletes what is in restored folders and not in the backup.
    #[must_use]
    pub const fn with_delete(mut self, delete: bool) -> Self {
        self.delete = delete;
        self
    }

    /// Names folders that deleting must spare.
    #[must_use]
    pub fn with_protected(mut self, folders: Vec<PathBuf>) -> Self {
        self.protected = folders;
        self
    }

    /// Says whether user and group are set.
    #[must_use]
    pub const fn with_owner(mut self, owner: bool) -> Self {
        self.owner = owner;
        self
    }

    /// Makes it a dry run.
    #[must_use]
    pub const fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Sets the number of worker threads.
    #[must_use]
    pub const fn with_threads(mut self, threads: Option<usize>) -> Self {
        self.threads = threads;
        self
    }
}

/// What came of a restore.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The backup that was restored.
    pub backup: BackupId,
    /// Entries of the backup that were looked at.
    pub entries: u64,
    /// Files written.
    pub files_restored: u64,
    /// Files left as they were.
    pub files_unchanged: u64,
    /// Bytes written.
    pub bytes_restored: u64,
    /// What was deleted, or would be in a dry run.
    pub deleted: Vec<EntryPath>,
    /// Entries that could not be restored, at most [`Backup::MAX_UNREAD`] of them, with the reason.
    pub failed: Vec<(EntryPath, String)>,
    /// How many could not be restored.
    pub failed_count: u64,
    /// True when stored data was missing or altered, and not only the target refused.
    pub damaged: bool,
    /// How many attributes could not be set.
    pub attributes_refused: u64,
}

/// Requests that wait for a worker when the repository is on a server; each brings up to 26 MiB.
const REMOTE_QUEUE: usize = 3;

/// Restores a backup, or a part of it, into the folder `target`, which is made if it is missing.
///
/// # Errors
/// When the backup is unknown, the target cannot be used, or the repository cannot be read at all. What concerns single
/// entries is in the report.
pub async fn restore(
    repository: &Repository,
    selector: &BackupSelector,
    target: PathBuf,
    options: &RestoreOptions,
    context: &Context,
) -> Result<RestoreReport> {
    let (selector, options) = (selector.clone(), options.clone());
    repository
        .run(context, move |io| run(io, &selector, &target, &options))
        .await
}

fn run(
    io: &Io,
    selector: &BackupSelector,
    target: &std::path::Path,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    let view = View::open(io)?;
    let backup = view.position.state.find(selector)?.clone();
    // A dry run of a restore to a folder that does not exist must not make it.
    let missing = options.dry_run && !target.exists();
    let folder = target;
    let target = match missing {
        true => None,
        false => Some(open_target(io, folder, options)?),
    };
    if options.paths.is_empty() {
        let Backup { totals, .. } = &backup;
        io.context.progress.event(Event::Expect {
            bytes: totals.bytes,
            entries: totals.entries,
        });
    }
    let shared = Shared::new(io, &view, &backup, options);
    let entries = TreeReader::new(&view.reader, &backup).select(options.paths.clone());
    let mut planner = Planner::new(&shared, target.as_ref(), options);
    let planned = lay_out(io, &shared, &mut planner, entries, target.as_ref(), options);
    io.check_cancelled()?;
    planned?;
    if let Some(target) = &target {
        let mut cursor = target.cursor();
        if !options.dry_run {
            planner.link_hard_links(&mut cursor);
        }
        let folder = folder.canonicalize();
        let named = |error| Error::io("cannot look at the target", error).at(Site::Target);
        let folder = folder.map_err(named)?;
        planner.delete_surplus(&mut cursor, &backup, &folder)?;
        if !options.dry_run {
            planner.finish_folders(&mut cursor);
        }
    }
    planner.check_found(&options.paths)?;
    drop(planner);
    shared.into_report()
}

fn open_target(io: &Io, path: &std::path::Path, options: &RestoreOptions) -> Result<LocalTarget> {
    let seed = u64::from_le_bytes(io.context.runtime.bytes());
    let target = LocalTarget::open(path, !options.dry_run).map_err(|error| match error {
        TargetError::Root { source, .. } => {
            Error::io(format!("cannot use the target {}", path.display()), source).at(Site::Target)
        }
        error => Error::new(ErrorKind::Invalid, format!("the target {error}")).at(Site::Target),
    })?;
    Ok(target.with_seed(seed))
}

/// Streams the entries to the planner and its tasks to the workers.
fn lay_out(
    io: &Io,
    shared: &Arc<Shared>,
    planner: &mut Planner<'_>,
    entries: TreeReader,
    target: Option<&LocalTarget>,
    options: &RestoreOptions,
) -> Result<()> {
    let Some(target) = target.filter(|_| !options.dry_run) else {
        return planner.run(io, entries, None);
    };
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let workers = options.threads.unwrap_or(cores).clamp(1, 64);
    // Requests to a server are under way while their task waits here.
    let queue = match io.storage().connections() {
        0 => 2 * workers,
        connections => REMOTE_QUEUE.min(connections),
    };
    let (sender, tasks) = crossbeam_channel::bounded::<Task>(queue);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..workers {
            let (tasks, cursor) = (tasks.clone(), target.cursor());
            threads.push(scope.spawn(move || worker::run(shared, cursor, &tasks)));
        }
        drop(tasks);
        let planned = planner.run(io, entries, Some(&sender));
        drop(sender);
        let mut ended = Ok(());
        for thread in threads {
            let joined = thread.join();
            ended = ended.and(joined.map_err(|_| Error::internal("a worker panicked")));
        }
        planned.and(ended)
    })
}

/// What planner and workers share.
struct Shared {
    io: Io,
    reader: Arc<crate::repository::ChunkReader>,
    metadata: MetadataOptions,
    report: Mutex<RestoreReport>,
    /// Every entry that could not be restored: its other names cannot be either.
    failed: Mutex<HashSet<EntryPath>>,
}

impl Shared {
    fn new(io: &Io, view: &View, backup: &Backup, options: &RestoreOptions) -> Arc<Self> {
        let report = RestoreReport {
            backup: backup.id,
            entries: 0,
            files_restored: 0,
            files_unchanged: 0,
            bytes_restored: 0,
            deleted: Vec::new(),
            failed: Vec::new(),
            failed_count: 0,
            damaged: false,
            attributes_refused: 0,
        };
        Arc::new(Self {
            io: io.clone(),
            reader: Arc::clone(&view.reader),
            metadata: MetadataOptions::default().with_owner(options.owner),
            report: Mutex::new(report),
            failed: Mutex::default(),
        })
    }

    fn update(&self, change: impl FnOnce(&mut RestoreReport)) {
        // A poisoned lock means that a thread panicked, and then there is no report.
        if let Ok(mut report) = self.report.lock() {
            change(&mut report);
        }
    }

    fn failed(&self, path: &EntryPath, reason: String, damaged: bool) {
        self.io.context.progress.event(Event::Failed {
            path,
            reason: &reason,
        });
        if let Ok(mut failed) = self.failed.lock() {
            failed.insert(path.clone());
        }
        self.update(|report| {
            report.failed_count += 1;
            report.damaged |= damaged;
            if report.failed.len() < Backup::MAX_UNREAD {
                report.failed.push((path.clone(), reason));
            }
        });
    }

    fn has_failed(&self, path: &EntryPath) -> bool {
        self.failed.lock().is_ok_and(|failed| failed.contains(path))
    }

    fn target_failed(&self, path: &EntryPath, error: &TargetError) {
        self.failed(path, in_one_line(error), false);
    }

    fn warn(&self, warnings: &[Warning]) {
        for warning in warnings {
            let message = format!("{warning}: {}", warning.source);
            self.io
                .context
                .progress
                .event(Event::Warning { message: &message });
        }
        if !warnings.is_empty() {
            self.update(|report| report.attributes_refused += warnings.len() as u64);
        }
    }

    /// Notes what became of an entry that was written.
    fn wrote(&self, entry: &Entry, result: Result<Vec<Warning>, TargetError>) {
        match result {
            Ok(warnings) => {
                self.warn(&warnings);
                if matches!(entry.kind, EntryKind::File(_)) {
                    self.update(|report| report.files_restored += 1);
                }
            }
            Err(error) => self.target_failed(&entry.path, &error),
        }
    }

    fn advance(&self, bytes: u64, entries: u64) {
        self.io
            .context
            .progress
            .event(Event::Advance { bytes, entries });
    }

    fn into_report(self: Arc<Self>) -> Result<RestoreReport> {
        let shared = Arc::into_inner(self).ok_or_else(|| Error::internal("a worker goes on"))?;
        shared
            .report
            .into_inner()
            .map_err(|_| Error::internal("a worker panicked"))
    }
}

/// What was met first of a hard-link group.
struct LinkGroup {
    path: EntryPath,
    mtime: FileTime,
    kind: EntryKind,
}

/// All hard-link groups that were met.
type LinkGroups = HashMap<u64, LinkGroup>;

impl LinkGroup {
    fn new(entry: &Entry) -> Self {
        Self {
            path: entry.path.clone(),
            mtime: entry.mtime,
            kind: entry.kind.clone(),
        }
    }

    /// Names of one file have one content. While a tree is walked an inode may be given to another file: that is no link.
    fn is_joined_by(&self, entry: &Entry) -> bool {
        self.path != entry.path && self.mtime == entry.mtime && self.kind == entry.kind
    }
}

/// Opens a cursor for the planner, if there is anything to look at.
fn cursor(target: Option<&LocalTarget>) -> Option<Cursor> {
    target.map(LocalTarget::cursor)
}
