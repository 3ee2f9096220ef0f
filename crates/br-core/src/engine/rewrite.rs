//! Stores backups again without some of their entries.
//!
//! ```text
//! tree ──► entries that no pattern excludes ──► tree nodes ──► packer ──► index segment ──► manifest ──► log entry
//! ```
//!
//! [`rewrite`] does it, [`RewriteOptions`] has the patterns, [`RewriteReport`] the result. Invariant: the data of files is neither read nor
//! stored, and the original stays as it is.

use std::cell::Cell;
use std::sync::Arc;

use crossbeam_channel::Sender;
use serde::Serialize;

use super::backup::{Committer, Dedup, Draft, NodeStore, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{LogEntry, Predecessor};
use crate::model::{
    Backup, Content, Entry, EntryKind, EntryPath, References, Totals, TreeRoot, Unread,
};
use crate::progress::{Action, Context, Event};
use crate::repository::{
    BackupSelector, ChunkReader, Index, Io, LogPosition, Packer, RawGroup, Repository, StoredPack,
    TreeReader, TreeWriter, keep_reserve, target_pack_len,
};
use crate::source::{EntryMatcher, Excludes};

/// Options of [`rewrite`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RewriteOptions {
    /// Leave out what these patterns match, and everything below it. Patterns that start with a slash start at the root of the backup.
    pub excludes: Excludes,
    /// Store nothing.
    pub dry_run: bool,
}

impl RewriteOptions {
    /// Leaves out what these patterns match.
    #[must_use]
    pub fn with_excludes(mut self, excludes: Excludes) -> Self {
        self.excludes = excludes;
        self
    }

    /// Sets whether to store nothing.
    #[must_use]
    pub const fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// The result of [`rewrite`].
#[derive(Debug, Clone, Default, Serialize)]
#[must_use]
#[non_exhaustive]
pub struct RewriteReport {
    /// One for each selected backup, in the order in which they were selected.
    pub backups: Vec<Rewritten>,
}

/// What became of one backup.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Rewritten {
    /// The backup that was selected.
    pub original: Backup,
    /// The new backup. `None` in a dry run, and if no pattern matches an entry.
    pub backup: Option<Backup>,
    /// The entries that the new backup lacks.
    pub removed: Totals,
}

/// Stores backups again, without the entries that patterns match and everything below them. The originals stay.
///
/// A new backup keeps times, host, tags, note, pin, origin and paths, but not the proof. It comes directly after its original in the order
/// of backups, and [`Backup::rewrite_of`] names the original. The progress gets an entry with [`Action::LeaveOut`] for each entry that a
/// pattern matches; entries below it are only counted.
///
/// Requests: the log, the index, the tree of each backup twice, and its manifest; then only the tree nodes that changed are stored.
///
/// # Errors
/// [`ErrorKind::Invalid`] when there is no pattern, one starts at the current folder, or the patterns match every entry of a backup. When a
/// backup is unknown: then nothing is stored. [`ErrorKind::Damaged`] when a part of a tree cannot be read. [`ErrorKind::Conflict`] when
/// another process deleted the original, or a prune removed data meanwhile: call it again. After an error, the backups that were stored
/// before it stay.
pub async fn rewrite(
    repository: &Repository,
    selectors: impl IntoIterator<Item: Into<BackupSelector>>,
    options: &RewriteOptions,
    context: &Context,
) -> Result<RewriteReport> {
    if !options.dry_run {
        repository.check_writable(context)?;
    }
    let selectors: Vec<BackupSelector> = selectors.into_iter().map(Into::into).collect();
    let options = options.clone();
    repository
        .run(context, move |io| run(io, &selectors, &options))
        .await
}

fn run(io: &Io, selectors: &[BackupSelector], options: &RewriteOptions) -> Result<RewriteReport> {
    let filter = Filter::new(&options.excludes)?;
    let mut position = LogPosition::read(io)?;
    if !options.dry_run {
        position.begin(io)?;
        keep_reserve(io);
    }
    let mut index = Arc::new(Index::read_newest(io, &mut position)?);
    index.warn_of_damage(io);
    let mut originals: Vec<Backup> = Vec::new();
    for selector in selectors {
        let backup = position.state.find(selector)?;
        if !originals.iter().any(|other| other.id == backup.id) {
            originals.push(backup.clone());
        }
    }
    let mut report = RewriteReport::default();
    for original in originals {
        let work = Work {
            io,
            index: Arc::clone(&index),
            filter: &filter,
        };
        let done = work.run(&original, options.dry_run);
        let (removed, draft) = done.map_err(|error| explain(io, &mut position, error))?;
        let mut backup = None;
        if let Some(draft) = draft {
            let (new, next) = commit(io, &original, draft, position, &index)?;
            position = next;
            index = Arc::new(Index::read_newest(io, &mut position)?);
            backup = Some(new);
        }
        report.backups.push(Rewritten {
            original,
            backup,
            removed,
        });
    }
    for note in options.excludes.notes(&filter.used) {
        io.context.progress.event(Event::Note(&note));
    }
    Ok(report)
}

/// Data that cannot be read is no damage if a prune removed it meanwhile.
fn explain(io: &Io, position: &mut LogPosition, error: Error) -> Error {
    let is_prune = |entry: &LogEntry| matches!(entry, LogEntry::Condemn { .. });
    let mut was_pruned = || {
        let new_entries = position.refresh(io);
        new_entries.is_ok_and(|entries| entries.iter().any(is_prune))
    };
    if !error.is_damage() || !was_pruned() {
        return error;
    }
    let message = "a prune removed data while the backup was read: run the command again";
    Error::new(ErrorKind::Conflict, message).with_source(error)
}

/// Decides which entries stay.
struct Filter {
    matcher: EntryMatcher,
    /// Which patterns matched.
    used: Vec<Cell<bool>>,
}

impl Filter {
    fn new(excludes: &Excludes) -> Result<Self> {
        if excludes.is_empty() {
            return Err(Error::invalid("there is no pattern: nothing would change"));
        }
        let matcher = excludes.for_entries();
        Ok(Self {
            matcher: matcher.map_err(|error| Error::invalid(error.to_string()))?,
            used: excludes.unused(),
        })
    }

    /// Whether a pattern matches this entry, regardless of the folders above it.
    fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        self.matcher.verdict(path, is_folder, &self.used) == Some(true)
    }

    /// Whether a pattern matches a folder, or a folder above it. The folder may have no entry.
    fn matches_folder(&self, folder: &[u8]) -> bool {
        let ends = folder.iter().enumerate();
        let ends = ends.filter_map(|(at, byte)| (*byte == b'/').then_some(at));
        let mut folders = ends.chain([folder.len()]).map(|end| &folder[..end]);
        !folder.is_empty() && folders.any(|folder| self.matches(folder, true))
    }

    fn leaves_out(&self, unread: &Unread) -> bool {
        // It is not known whether it was a folder.
        self.matches_folder(&unread.path) || self.matches(&unread.path, false)
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// A pattern matches it.
    Matches,
    /// It is below an entry that a pattern matches.
    IsBelow,
}

/// A backup that is not committed yet, and the packs with its tree.
type Stored = (Draft, Vec<StoredPack>);

/// The work on one backup.
struct Work<'a> {
    io: &'a Io,
    index: Arc<Index>,
    filter: &'a Filter,
}

impl Work<'_> {
    /// Calls `take` with every entry.
    fn walk(&self, backup: &Backup, mut take: impl FnMut(Entry, Fate) -> Result<()>) -> Result<()> {
        let reader = Arc::new(ChunkReader::new(self.io, Arc::clone(&self.index)));
        let mut parent: Option<(Box<[u8]>, bool)> = None;
        for entry in TreeReader::new(&reader, backup) {
            self.io.check_cancelled()?;
            let entry = entry.map_err(|gap| gap.error)?;
            let folder = entry.path.parent().unwrap_or_default();
            let is_below = match &parent {
                Some((known, is_below)) if **known == *folder => *is_below,
                _ => {
                    let is_below = self.filter.matches_folder(folder);
                    parent = Some((folder.into(), is_below));
                    is_below
                }
            };
            let is_folder = matches!(entry.kind, EntryKind::Directory);
            let fate = if is_below {
                Fate::IsBelow
            } else if self.filter.matches(entry.path.as_bytes(), is_folder) {
                Fate::Matches
            } else {
                Fate::Stays
            };
            take(entry, fate)?;
        }
        Ok(())
    }

    /// Finds the entries to leave out, and stores the tree of the others if there are any to leave out.
    fn run(&self, original: &Backup, dry_run: bool) -> Result<(Totals, Option<Stored>)> {
        let removed = self.count(original)?;
        let is_needed = removed.entries > 0 && !dry_run;
        let draft = is_needed.then(|| self.draft(original)).transpose()?;
        Ok((removed, draft))
    }

    /// Finds the entries to leave out, and reports them.
    fn count(&self, backup: &Backup) -> Result<Totals> {
        let progress = &self.io.context.progress;
        let (mut removed, mut stays) = (Totals::default(), 0_u64);
        self.walk(backup, |entry, fate| {
            if fate == Fate::Stays {
                stays += 1;
                return Ok(());
            }
            removed.add(&Totals {
                entries: 1,
                files: u64::from(matches!(entry.kind, EntryKind::File(_))),
                directories: u64::from(matches!(entry.kind, EntryKind::Directory)),
                bytes: entry.size(),
            });
            if fate == Fate::Matches {
                let (path, action) = (&entry.path, Action::LeaveOut);
                progress.event(Event::Entry { path, action });
            }
            Ok(())
        })?;
        if stays == 0 && removed.entries > 0 {
            let message = format!(
                "the patterns match every entry of the backup {}: delete the backup instead",
                backup.id
            );
            return Err(Error::invalid(message));
        }
        Ok(removed)
    }

    /// Stores the tree of the entries that stay.
    fn draft(&self, original: &Backup) -> Result<Stored> {
        let id_key = self.io.keyring().first().chunk_id_key();
        let dedup = Dedup::new(Arc::clone(&self.index), id_key);
        let mut references = References::default();
        let stored: u64 = self.index.packs().map(|pack| pack.len).sum();
        let packer = Packer::start(self.io, target_pack_len(stored), Box::new(drop))?;
        let groups = packer.sender();
        let written = self.write_tree(original, &dedup, &groups, &mut references);
        drop(groups);
        // If the packer fails, the work stops without a specific reason.
        let packs = packer.finish()?;
        let (tree, totals) = written?;
        for pack in &packs {
            references.insert_all(pack.entry.id, pack.ids.len() as u32);
        }
        let manifest = self.io.read_manifest(original.id);
        let (mut unread, mut unread_count) = (Vec::new(), original.unread_count);
        let (mut configuration, mut streams) = (None, Vec::new());
        // If the manifest is damaged, only the number is known.
        if let Ok((manifest, _)) = manifest {
            let named = manifest.unread.len();
            unread = manifest.unread;
            (configuration, streams) = (manifest.configuration, manifest.streams);
            unread.retain(|unread| !self.filter.leaves_out(unread));
            unread_count = unread_count.saturating_sub((named - unread.len()) as u64);
        }
        let backup = Backup {
            tree,
            totals,
            unread,
            unread_count,
            configuration,
            streams,
            // The new backup is not proven, and has no copies.
            proven: None,
            copy_of: None,
            rewrite_of: Some(original.id),
            ..original.clone()
        };
        let draft = Draft {
            backup,
            references,
            counts_writes: false,
        };
        Ok((draft, packs))
    }

    fn write_tree(
        &self,
        original: &Backup,
        dedup: &Dedup,
        groups: &Sender<RawGroup>,
        references: &mut References,
    ) -> Result<(Option<TreeRoot>, Totals)> {
        let mut nodes = NodeStore::new(dedup, Some(groups));
        let mut tree = TreeWriter::default();
        self.walk(original, |entry, fate| {
            if fate != Fate::Stays {
                return Ok(());
            }
            note_content(&entry, dedup, references)?;
            tree.push(&entry, &mut |node| nodes.store(node, references))
        })?;
        let totals = tree.totals();
        let root = tree.finish(&mut |node| nodes.store(node, references))?;
        Ok((root, totals))
    }
}

/// Adds the chunks of a file to the references.
fn note_content(entry: &Entry, dedup: &Dedup, references: &mut References) -> Result<()> {
    let EntryKind::File(file) = &entry.kind else {
        return Ok(());
    };
    let Content::Chunks(chunks) = &file.content else {
        return Ok(());
    };
    for chunk in chunks {
        if !dedup.note_stored(&chunk.id, references) {
            return Err(lost(&entry.path));
        }
    }
    Ok(())
}

fn lost(path: &EntryPath) -> Error {
    Error::damaged(format!(
        "data of {path} is in no pack, so the backup cannot be stored again"
    ))
}

/// Adds a backup to the backup list, directly after its original.
fn commit(
    io: &Io,
    original: &Backup,
    (mut draft, packs): Stored,
    position: LogPosition,
    index: &Index,
) -> Result<(Backup, LogPosition)> {
    let mut committer = Committer::new(position, index);
    committer.add_packs(packs);
    let after = Place::After(Predecessor::Backup(original.id));
    let is_done = committer.commit(io, &mut draft, |state| {
        state.backups.contains_key(&original.id).then_some(after)
    })?;
    if !is_done {
        let message = format!("another process deleted the backup {}", original.id);
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    let (position, _) = committer.finish();
    Ok((draft.backup.as_listed(), position))
}
