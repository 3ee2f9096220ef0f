//! Backing up: from a [`Source`] to a committed [`Backup`].
//!
//! ```text
//! compare ──► workers ──► collect ──► tree nodes ─┐
//! (walk, base)  (read, cut,  (in path order)        ├─► packer ──► storage
//!                hash, compress) ── groups ──────────┘
//! ```
//!
//! [`backup`] runs it, [`BackupOptions`] say how, [`BackupReport`] tells what came of it. Invariant: the log entry that
//! makes the backup exist is its last write.

mod base;
mod block;
mod collect;
mod commit;
mod compare;
mod dedup;
mod delta;
mod digest;
mod mend;
mod worker;

pub(crate) use dedup::note_what_is_left;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::model::{Backup, BackupKind, Changes, PackId, Reason, Totals, Unread};
use crate::progress::{Context, Event};
use crate::repository::{
    BackupSelector, Index, IndexSegment, Io, Layout, Leftover, LogPosition, Repository,
    keep_reserve,
};
use crate::source::Source;

/// Levels of compression.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// How a backup is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Name of the machine.
    pub host: String,
    /// Name of the user.
    pub user: String,
    /// The paths as typed, raw bytes: for the catalog, to find the base, and for a restore, to which a folder above one of them
    /// is one that was not backed up itself: it keeps its metadata and what else it holds. Give the paths that a source was made
    /// with: every folder with an entry that is above none of them counts as backed up, and a restore that deletes clears it of
    /// what has no entry. `.` and `..` are resolved in what is stored, as text and without following links.
    pub paths: Vec<Vec<u8>>,
    /// The folder that relative paths start from; empty when there are none.
    pub folder: Vec<u8>,
    /// Words to find the backup by.
    pub tags: Vec<String>,
    /// Which earlier backup tells what is unchanged.
    pub base: Base,
    /// Level of zstd, 1 to 19.
    pub level: i32,
    /// Worker threads; as many as the machine has cores when `None`.
    pub threads: Option<usize>,
    /// Folder for the journal. What an interrupted run stored is used by the next one in any case and not stored again. With a
    /// journal, that run on this machine knows the packs without a listing, and files that were finished are not read again.
    /// Without one, each run lists the packs of the repository (on a server, one request for a thousand) and reads the footers of
    /// those that no commit names.
    pub journal: Option<PathBuf>,
    /// Whether new data may be stored as differences from what its place held in the base, which then is read again. Where reading is
    /// cheap when `None`: on local disk, and not on a server.
    pub deltas: Option<bool>,
    /// Read what the repository already has of the data before relying on it, and store again what cannot be read.
    pub verify_known: bool,
    /// Do everything but store.
    pub dry_run: bool,
}

/// Which earlier backup tells what is unchanged, and what new data may resemble.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Base {
    /// The newest backup of the same host and paths, if there is one. Neither the order of paths matters nor in which folder they
    /// were typed, as long as they lead to the same place and are stored alike.
    #[default]
    Auto,
    /// None: read everything.
    None,
    /// This one.
    Backup(BackupSelector),
    /// The newest of the backups that have most of these tags, and at least the first of them; none when there is none. For sources whose
    /// paths are different each time.
    Tagged(Vec<String>),
}

impl BackupOptions {
    /// The defaults for a host, a user and the paths as typed.
    #[must_use]
    pub fn new(host: impl Into<String>, user: impl Into<String>, paths: Vec<Vec<u8>>) -> Self {
        Self {
            host: host.into(),
            user: user.into(),
            paths,
            folder: Vec::new(),
            tags: Vec::new(),
            base: Base::Auto,
            level: 3,
            threads: None,
            journal: None,
            deltas: None,
            verify_known: false,
            dry_run: false,
        }
    }

    /// Sets the folder that relative paths start from.
    #[must_use]
    pub fn with_folder(mut self, folder: Vec<u8>) -> Self {
        self.folder = folder;
        self
    }

    /// Sets the tags.
    #[must_use]
    pub fn with_tags(mut self, tags: Vec<String>) -> Self {
        self.tags = tags;
        self
    }

    /// Sets the base.
    #[must_use]
    pub fn with_base(mut self, base: Base) -> Self {
        self.base = base;
        self
    }

    /// Refuses values that mean nothing.
    fn check(&self) -> Result<()> {
        let message = if self.host.trim().is_empty() {
            "a backup needs the name of its machine, and the one given is empty".to_owned()
        } else if !LEVELS.contains(&self.level) {
            let (from, to) = (LEVELS.start(), LEVELS.end());
            format!(
                "the level of compression is from {from} to {to}, and {} was given",
                self.level
            )
        } else if self.threads == Some(0) {
            "a backup needs at least one worker thread, and 0 was given".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::invalid(message))
    }

    /// Sets the level of zstd, from 1 to 19.
    #[must_use]
    pub const fn with_level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Sets the number of worker threads.
    #[must_use]
    pub const fn with_threads(mut self, threads: Option<usize>) -> Self {
        self.threads = threads;
        self
    }

    /// Sets the folder for the journal.
    #[must_use]
    pub fn with_journal(mut self, folder: Option<PathBuf>) -> Self {
        self.journal = folder;
        self
    }

    /// Sets whether new data may be stored as differences.
    #[must_use]
    pub const fn with_deltas(mut self, deltas: Option<bool>) -> Self {
        self.deltas = deltas;
        self
    }

    /// Sets whether stored data is read before the backup relies on it.
    #[must_use]
    pub const fn with_verify_known(mut self, verify: bool) -> Self {
        self.verify_known = verify;
        self
    }

    /// Makes it a dry run.
    #[must_use]
    pub const fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What came of a backup.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupReport {
    /// The backup, as the catalog lists it now. Not in the catalog after a dry run.
    pub backup: Backup,
    /// Files that changed while they were read: they are in the backup, and may mix two states.
    pub torn: u64,
    /// Packs taken over from an interrupted run.
    pub packs_resumed: u64,
    /// True when nothing was stored.
    pub dry_run: bool,
}

/// Backs up a source.
///
/// Entries that cannot be read are reported and left out; entries of which only metadata cannot be read or stored are reported
/// and kept without it. The backup says so in both cases ([`Backup::is_complete`]). Of a source that
/// [needs everything](Source::needs_everything) there is no such backup.
///
/// # Errors
/// When the repository cannot be read or added to; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the source breaks a rule
/// that a backup cannot do without, such as the order of paths; [`ErrorKind::Io`](crate::ErrorKind::Io) when a source that needs
/// everything cannot be read. Nothing of the backup is listed then; what was stored is used by the next run
/// ([`BackupOptions::journal`]).
pub async fn backup(
    repository: &Repository,
    source: impl Source + 'static,
    options: &BackupOptions,
    context: &Context,
) -> Result<BackupReport> {
    options.check()?;
    repository.check_writable(context)?;
    let mut options = options.clone();
    check_description(&options)?;
    (options.paths, options.folder) = base::normalise(&options.paths, &options.folder);
    repository
        .run(context, move |io| run(io, Box::new(source), &options))
        .await
}

/// What a backup starts from.
struct Start {
    position: LogPosition,
    index: Arc<Index>,
    base: Option<Backup>,
    leftover: Leftover,
    packs_resumed: u64,
    started: Timestamp,
    /// Whether the source tells what is unchanged since the base.
    skips: bool,
    /// Whether new chunks may be stored as differences.
    deltas: bool,
    /// Whether an entry that cannot be read fails the backup.
    needs_everything: bool,
}

fn run(io: &Io, source: Box<dyn Source>, options: &BackupOptions) -> Result<BackupReport> {
    let started = io.context.runtime.clock.now();
    let leftover = options
        .journal
        .as_ref()
        .map(|folder| Leftover::find(folder, io));
    let leftover = leftover.unwrap_or_default();
    let stored = find_stored(io, &leftover, options.journal.is_some())?;
    let mut position = LogPosition::read(io)?;
    if !options.dry_run {
        position.begin(io)?;
        keep_reserve(io);
    }
    let mut index = Index::read_newest(io, &mut position)?;
    for (id, reason) in &index.damaged {
        let message = format!("index segment {id} was set aside: {reason}");
        io.context
            .progress
            .event(Event::Warning { message: &message });
    }
    let base = base::choose(&position, options)?;
    let packs_resumed = adopt(io, &position, &mut index, stored)?;
    if let Some(base) = &base {
        let Totals { bytes, entries, .. } = base.totals;
        io.context.progress.event(Event::Expect { bytes, entries });
    }
    let deltas = options.deltas.unwrap_or(!io.storage().is_remote());
    let skips = source.can_skip_unchanged();
    let needs_everything = source.needs_everything();
    let start = Start {
        position,
        index: Arc::new(index),
        // Otherwise nothing is compared with it.
        base: base.filter(|_| skips || deltas),
        leftover,
        packs_resumed,
        started,
        skips,
        deltas,
        needs_everything,
    };
    let collected = collect::run(io, source, &start, options)?;
    commit::run(io, start, collected, options)
}

/// The packs that interrupted runs left. All stored packs are listed where there is no journal, and after an interrupted run on
/// this machine: the last packs of that run may be stored and not in its journal. Called before the log is read: what is
/// committed in between is in the index then.
fn find_stored(io: &Io, leftover: &Leftover, has_journal: bool) -> Result<BTreeSet<PackId>> {
    let mut stored: BTreeSet<PackId> = leftover.packs.iter().copied().collect();
    if !has_journal || leftover.is_any() {
        let listed = io.list(Layout::PACKS)?;
        stored.extend(
            listed
                .iter()
                .filter_map(|pack| Layout::id::<PackId>(&pack.key)),
        );
    }
    Ok(stored)
}

/// Takes stored packs that no segment describes into the index, as far as they are still there and not condemned.
fn adopt(
    io: &Io,
    position: &LogPosition,
    index: &mut Index,
    stored: BTreeSet<PackId>,
) -> Result<u64> {
    let known: HashSet<_> = index.packs().map(|pack| pack.id).collect();
    let is_new = |id: &PackId| !known.contains(id) && !position.state.condemned.contains(id);
    let mut packs = Vec::new();
    for id in stored.into_iter().filter(is_new) {
        io.check_cancelled()?;
        // One that is gone or damaged is simply stored again.
        packs.extend(crate::repository::read_footer(io, id).ok());
    }
    // A pack whose deltas rest on what is gone would be kept for its other chunks, and stay half readable.
    loop {
        let mut all = index.clone();
        all.push(IndexSegment::from_packs(&packs));
        let count = packs.len();
        packs.retain(|pack| {
            let mut bases = pack
                .entry
                .table
                .groups
                .iter()
                .flat_map(|group| &group.bases);
            bases.all(|base| all.find_whole(base).is_some())
        });
        if packs.len() == count {
            break;
        }
    }
    if !packs.is_empty() {
        index.push(IndexSegment::from_packs(&packs));
    }
    Ok(packs.len() as u64)
}

/// What the collector found out, before it is committed.
#[derive(Debug, Default)]
struct Tally {
    changes: Changes,
    unread: Vec<Unread>,
    unread_count: u64,
    torn: u64,
}

impl Tally {
    fn unread(&mut self, path: &crate::model::EntryPath, mut reason: String) {
        /// A manifest must not grow beyond what readers accept.
        const MAX_REASON: usize = 1_000;
        self.unread_count += 1;
        if reason.len() > MAX_REASON {
            reason.truncate(reason.floor_char_boundary(MAX_REASON));
            reason.push('…');
        }
        if self.unread.len() < Backup::MAX_UNREAD {
            let path = path.as_bytes().to_vec();
            self.unread.push(Unread {
                path,
                reason: Reason(reason),
            });
        }
    }
}

/// Refuses a description that would make the log too long to be read.
fn check_description(options: &BackupOptions) -> Result<()> {
    const MAX_LEN: usize = 4 << 20;
    let texts = options.tags.iter().map(String::len);
    let paths = options.paths.iter().map(Vec::len);
    let len = options.host.len() + options.user.len() + options.folder.len();
    let len = len + texts.sum::<usize>() + paths.sum::<usize>();
    match len <= MAX_LEN {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "host, user, paths and tags have {len} bytes together, and at most {MAX_LEN} are possible: name a folder above the paths"
        ))),
    }
}

fn describe(
    io: &Io,
    start: &Start,
    options: &BackupOptions,
    tally: &Tally,
    (tree, totals): (Option<crate::model::TreeRoot>, Totals),
) -> Backup {
    // When everything was read, the base only helped to store less.
    let base = start.base.as_ref().filter(|_| start.skips);
    let kind = match base {
        Some(_) => BackupKind::Incremental,
        None => BackupKind::Full,
    };
    Backup {
        id: io.context.runtime.backup_id(),
        kind,
        base: base.map(|base| base.id),
        host: options.host.clone(),
        user: options.user.clone(),
        paths: options.paths.clone(),
        folder: options.folder.clone(),
        tags: options.tags.clone(),
        started: start.started,
        finished: io.context.runtime.clock.now(),
        tree,
        totals,
        changes: tally.changes,
        unread: tally.unread.clone(),
        unread_count: tally.unread_count,
        program: crate::PROGRAM.to_owned(),
    }
}

/// The error for a thread that ended without a word.
fn worker_failed() -> Error {
    Error::internal("a worker panicked")
}
