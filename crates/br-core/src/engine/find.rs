//! Searching all backups for entries.
//!
//! [`find`] reads the trees of many backups, the newest first. Invariant: a tree node that several backups share is read once.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::diff::same_content;
use super::pattern::PathPattern;
use super::view::View;
use crate::error::{Error, Result};
use crate::model::{Backup, BackupId, ChunkId, Entry, EntryPath};
use crate::progress::Context;
use crate::repository::{BackupFilter, Io, Repository, TreeReader};

/// Maximum number of versions that a search returns.
const MAX_FOUND: usize = 1_000_000;

/// What to search for. The default finds nothing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FindOptions {
    /// The backups to search.
    pub filter: BackupFilter,
    patterns: Vec<PathPattern>,
}

impl FindOptions {
    /// Sets the backups to search; the default is all.
    #[must_use]
    pub fn with_filter(mut self, filter: BackupFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Also finds entries that this pattern matches. `*.rs` matches names in every folder, `src/*.rs` the end of a path, and `/src/*.rs`
    /// a whole path in the backup. `*` and `?` do not match a slash, and `**` matches any number of folders.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the pattern is invalid or empty.
    pub fn with_pattern(mut self, pattern: &str, ignores_case: bool) -> Result<Self> {
        self.patterns
            .push(PathPattern::anywhere(pattern, ignores_case)?);
        Ok(self)
    }

    fn takes(&self, path: &EntryPath) -> bool {
        let mut patterns = self.patterns.iter();
        patterns.any(|pattern| pattern.matches(path.as_bytes()))
    }
}

/// The result of a search.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FindReport {
    /// The versions of the entries that were found, by path, and the newest version of each path first.
    pub found: Vec<FoundEntry>,
    /// Number of backups searched.
    pub backups: u64,
    /// Number of entries that could not be searched, because a part of a tree is damaged.
    pub unreadable: u64,
}

/// One version of an entry: its kind, content and modification time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FoundEntry {
    /// The entry in the newest of these backups.
    pub entry: Entry,
    /// The backups that have it, the newest first.
    pub backups: Vec<BackupId>,
}

/// Searches the backups of a repository for entries.
///
/// Requests: those for the commit log, the index, and one for each run of nearby tree nodes.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when more than a million versions match, and errors of the store. Damage is counted in
/// the report.
pub async fn find(
    repository: &Repository,
    options: &FindOptions,
    context: &Context,
) -> Result<FindReport> {
    let options = options.clone();
    let work = move |io: &Io| {
        let view = View::open(io)?;
        let mut search = Search::new(&options);
        for backup in view.position.state.backups.values().rev() {
            if options.filter.matches(backup) {
                search.backup(io, &view, backup)?;
            }
        }
        Ok(search.into_report())
    };
    repository.run(context, work).await
}

struct Search<'a> {
    options: &'a FindOptions,
    found: Vec<FoundEntry>,
    /// Indexes into `found`.
    by_path: BTreeMap<EntryPath, Vec<usize>>,
    /// What was found in each leaf that was read.
    leaves: HashMap<ChunkId, Vec<usize>>,
    known: HashSet<ChunkId>,
    backups: u64,
    unreadable: u64,
}

impl<'a> Search<'a> {
    fn new(options: &'a FindOptions) -> Self {
        Self {
            options,
            found: Vec::new(),
            by_path: BTreeMap::new(),
            leaves: HashMap::new(),
            known: HashSet::new(),
            backups: 0,
            unreadable: 0,
        }
    }

    fn backup(&mut self, io: &Io, view: &View, backup: &Backup) -> Result<()> {
        self.backups += 1;
        let known = std::mem::take(&mut self.known);
        let mut tree = TreeReader::new(&view.reader, backup).pass_over(known);
        let mut damaged = HashSet::new();
        let mut read = HashSet::new();
        while let Some((node, item)) = tree.next_with_node() {
            match item {
                Ok(entry) => {
                    read.insert(node);
                    if self.options.takes(&entry.path) {
                        self.note(backup.id, node, entry)?;
                    }
                }
                Err(gap) if gap.error.is_damage() => {
                    damaged.insert(node);
                    self.unreadable += gap.entries;
                }
                Err(gap) => return Err(gap.error),
            }
            io.check_cancelled()?;
        }
        let (known, passed) = tree.into_passed();
        self.known = known;
        // A damaged leaf is counted again for every backup that has it.
        self.known.extend(read.difference(&damaged));
        for leaf in passed {
            for at in self.leaves.get(&leaf).into_iter().flatten() {
                add(&mut self.found[*at].backups, backup.id);
            }
        }
        Ok(())
    }

    /// Adds an entry as a new version, or its backup to the same version.
    fn note(&mut self, backup: BackupId, leaf: ChunkId, entry: Entry) -> Result<()> {
        let versions = self.by_path.entry(entry.path.clone()).or_default();
        let is_same = |at: &&usize| {
            let other = &self.found[**at].entry;
            other.mtime == entry.mtime && same_content(&other.kind, &entry.kind)
        };
        let at = match versions.iter().find(is_same) {
            Some(at) => *at,
            None if self.found.len() >= MAX_FOUND => {
                let message = format!("more than {MAX_FOUND} versions match: use another pattern");
                return Err(Error::invalid(message));
            }
            None => {
                versions.push(self.found.len());
                let backups = Vec::new();
                self.found.push(FoundEntry { entry, backups });
                self.found.len() - 1
            }
        };
        add(&mut self.found[at].backups, backup);
        self.leaves.entry(leaf).or_default().push(at);
        Ok(())
    }

    fn into_report(self) -> FindReport {
        let mut found: Vec<Option<FoundEntry>> = self.found.into_iter().map(Some).collect();
        let order = self.by_path.into_values().flatten();
        FindReport {
            found: order.filter_map(|at| found[at].take()).collect(),
            backups: self.backups,
            unreadable: self.unreadable,
        }
    }
}

/// Adds a backup once. All entries of a backup are added before those of the next one.
fn add(backups: &mut Vec<BackupId>, backup: BackupId) {
    if backups.last() != Some(&backup) {
        backups.push(backup);
    }
}
