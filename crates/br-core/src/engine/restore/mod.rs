//! Restoring: from a backup to a folder.
//!
//! ```text
//! plan (tree, existing files) ──► runs of groups, fetched ahead ──► workers (open, verify, write)
//! ```
//!
//! [`restore`] runs it, [`RestoreOptions`] configures it, [`RestoreReport`] holds the result. Invariants: a file gets its name only when
//! all its bytes are written and verified. A damaged entry is left out and reported, and all others are restored. A dry run makes the same
//! decisions as a real run, and a real run changes nothing else.

mod files;
mod options;
mod place;
mod plan;
mod report;
mod scope;
mod select;
mod spelling;
mod surplus;
mod worker;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::Sender;

pub use options::{Overwrite, RestoreOptions};
pub use report::RestoreReport;

use crate::error::{Error, ErrorKind, Result, Site};
use crate::model::Backup;
use crate::progress::{Context, Event};
use crate::repository::{BackupSelector, Gap, Io, Repository};
use crate::target::{LocalTarget, TargetError};

use super::view::{BackupView, View, no_such_path};
use place::{Placed, Places};
use plan::Planner;
use report::Shared;
use scope::Scope;
use worker::Task;

/// Maximum requests that wait for a worker when the repository is on a server; each fetches up to 26 MiB.
const REMOTE_QUEUE: usize = 3;

/// Restores a backup, or a part of it, into the folder `target`, and creates the folder if it is missing.
///
/// # Errors
/// When the backup is unknown, the target cannot be used, or the repository cannot be read at all. Problems with single entries are in the
/// report.
pub async fn restore(
    repository: &Repository,
    selector: impl Into<BackupSelector>,
    target: impl Into<PathBuf>,
    options: &RestoreOptions,
    context: &Context,
) -> Result<RestoreReport> {
    repository.check_reads_content("a restore")?;
    let (selector, target, options) = (selector.into(), target.into(), options.clone());
    repository
        .run(context, move |io| run(io, &selector, &target, &options))
        .await
}

fn run(
    io: &Io,
    selector: &BackupSelector,
    folder: &Path,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    if options.delete && !options.selection.is_everything() {
        let message = "patterns and the deletion of surplus entries exclude each other";
        return Err(Error::invalid(message));
    }
    let view = View::open(io)?;
    let source = view.backup(selector)?;
    let backup = &source.backup;
    find_all(&source, options)?;
    let mut places = Places::new(options);
    let sources = place::find_sources(io, &source, options, &mut places)?;
    places.keeps_target = folder.symlink_metadata().is_ok();
    let scope = Scope::new(backup, options, places);
    scope.refuse_target(folder)?;
    place::refuse_clashes(io, &source, options, &scope, &sources.folders)?;
    let target = open_target(io, folder, &scope, options)?;
    if options.wanted().is_empty() && options.selection.is_everything() {
        let Backup { totals, .. } = backup;
        io.context.progress.event(Event::Expect {
            bytes: totals.bytes,
            entries: totals.entries,
        });
    }
    let shared = Shared::new(io, &view, backup, options);
    shared.update(|report| report.stripped = sources.left_out);
    let target = target.as_ref();
    match target {
        Some(target) if options.dry_run => target.look_at_case(&scope.leading_folders()),
        Some(target) => {
            let removed = target.begin(&scope.leading_folders());
            shared.update(|report| report.leftovers_removed = removed);
        }
        None => {}
    }
    let mut planner = Planner::new(&shared, target, &scope, options);
    let entries = place::placed(&source, options, &scope, &sources.folders);
    let done = carry_out(io, &shared, &mut planner, entries, &source);
    if let Some(target) = target {
        target.end();
    }
    done?;
    if let Some(target) = target.filter(|_| !options.dry_run) {
        planner.finish_folders(&mut target.cursor());
    }
    drop(planner);
    shared.into_report()
}

/// Restores everything except the metadata of folders.
fn carry_out(
    io: &Io,
    shared: &Arc<Shared>,
    planner: &mut Planner<'_>,
    entries: impl Iterator<Item = Result<Placed, Gap>>,
    source: &BackupView,
) -> Result<()> {
    let planned = with_workers(io, shared, planner, |planner, tasks| {
        planner.run(io, entries, tasks)
    });
    io.check_cancelled()?;
    planned?;
    // Write each name that could not be linked as a separate file. The remaining names of its group may then be linked to that file.
    loop {
        let unlinked = planner.link_hard_links();
        if unlinked.is_empty() {
            break;
        }
        with_workers(io, shared, planner, |planner, tasks| {
            planner.write(unlinked, tasks);
            Ok(())
        })?;
        io.check_cancelled()?;
    }
    planner.delete_surplus(&source.backup)
}

/// Fails before anything is written if a requested path is not in the backup.
fn find_all(source: &BackupView, options: &RestoreOptions) -> Result<()> {
    for path in &options.paths {
        if !path.is_within(&options.folder) {
            let message = format!("`{path}` is not in the folder `{}`", options.folder);
            return Err(Error::invalid(message));
        }
    }
    for path in &options.wanted() {
        // If part of the tree is unreadable, the path may be in that part.
        if !source.has(path).unwrap_or(true) {
            return Err(no_such_path(&source.backup, path));
        }
    }
    Ok(())
}

/// Opens the target. Returns `None` in a dry run if the folder does not exist, because a dry run must not create it.
fn open_target(
    io: &Io,
    path: &Path,
    scope: &Scope,
    options: &RestoreOptions,
) -> Result<Option<LocalTarget>> {
    if path.as_os_str().is_empty() {
        let message = "the path of the target is empty: name the folder to restore into";
        return Err(Error::invalid(message).at(Site::Target));
    }
    let refused = |error| match error {
        TargetError::Root { source, .. } => {
            Error::io(format!("cannot use the target {}", path.display()), source).at(Site::Target)
        }
        error => Error::new(ErrorKind::Invalid, format!("the target {error}")).at(Site::Target),
    };
    // The lower half is a counter for the unfinished files of this restore.
    let seed = u64::from_le_bytes(io.context.runtime.bytes()) & !u64::from(u32::MAX);
    let opened = if options.dry_run {
        LocalTarget::open_existing(path)
    } else {
        LocalTarget::open(path, true).map(Some)
    };
    let Some(target) = opened.map_err(refused)? else {
        return Ok(None);
    };
    let mut target = target
        .with_seed(seed)
        .with_everything_kept(options.overwrite == Overwrite::Never);
    for link in scope.links_to_follow() {
        // Ignore an error here: the restore of the entries below this link reports it.
        target.follow(&link).ok();
    }
    Ok(Some(target))
}

/// Runs `plan` with worker threads that process its tasks. A dry run has no workers.
fn with_workers<'a>(
    io: &Io,
    shared: &Arc<Shared>,
    planner: &mut Planner<'a>,
    plan: impl FnOnce(&mut Planner<'a>, Option<&Sender<Task>>) -> Result<()>,
) -> Result<()> {
    let options = planner.options();
    let Some(target) = planner.target().filter(|_| !options.dry_run) else {
        return plan(planner, None);
    };
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let workers = options.threads.unwrap_or(cores).clamp(1, 64);
    // A request to a server is already in progress while its task waits in this queue.
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
        let planned = plan(planner, Some(&sender));
        drop(sender);
        let mut ended = Ok(());
        for thread in threads {
            let joined = thread.join();
            ended = ended.and(joined.map_err(|_| Error::internal("a worker panicked")));
        }
        planned.and(ended)
    })
}
