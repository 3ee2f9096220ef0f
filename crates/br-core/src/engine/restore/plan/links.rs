//! Further names of files that have several.
//!
//! [`LinkGroups`] holds what was met first of each group. Invariant: a name that cannot be a link becomes a file of its own: its
//! content is in the backup.

use std::collections::{HashMap, HashSet};

use super::judge::Verdict;
use super::{Overwrite, Planner};
use crate::error::in_one_line;
use crate::model::{Entry, EntryKind, EntryPath, FileTime};
use crate::target::{Existing, TargetError};

/// How many files of a group a name is tried to be linked to.
const ATTEMPTS: usize = 4;

/// All hard-link groups that were met.
pub(super) type LinkGroups = HashMap<u64, LinkGroup>;

/// A name that is to be linked.
pub(super) struct Link {
    group: u64,
    entry: Entry,
}

/// What was met of a hard-link group.
pub(super) struct LinkGroup {
    mtime: FileTime,
    kind: EntryKind,
    /// Device and inode of the first name when what is there stays.
    kept: Option<(u64, u64)>,
    /// The name that was met last as one that is written, and those that others can be linked to.
    pending: Option<EntryPath>,
    linkable: Vec<EntryPath>,
    first: EntryPath,
}

impl LinkGroup {
    /// Names of one file have one content. While a tree is walked an inode may be given to another file: that is no link.
    fn is_joined_by(&self, entry: &Entry) -> bool {
        self.first != entry.path && self.mtime == entry.mtime && self.kind == entry.kind
    }
}

impl Planner<'_> {
    /// Takes an entry that is another name of something met before, and gives back any other.
    pub(super) fn join_link_group(
        &mut self,
        entry: Entry,
        existing: Option<&Existing>,
    ) -> Option<Entry> {
        let Some(number) = entry.link_group else {
            return Some(entry);
        };
        let group = self.groups.get(&number);
        let Some(group) = group.filter(|group| group.is_joined_by(&entry)) else {
            return Some(entry);
        };
        let is_linked = group.kept.is_some() && existing.map(Existing::id) == group.kept;
        let verdict = match (existing, self.options.overwrite) {
            (None, _) => Verdict::Write,
            (Some(_), Overwrite::Never) => Verdict::Keep,
            (Some(there), _) if there.kind == EntryKind::Directory => {
                self.judge_clearing(&entry.path)
            }
            (Some(_), Overwrite::IfChanged) if is_linked => Verdict::Keep,
            (Some(_), _) => Verdict::Write,
        };
        self.tell_verdict(&entry.path, &verdict, existing.is_some());
        let cleared = match verdict {
            Verdict::Keep | Verdict::Correct => {
                self.keep(&entry, existing);
                return None;
            }
            Verdict::Refuse(reason) => Err(reason),
            Verdict::Clear => self.clear(&entry.path),
            Verdict::Write => Ok(()),
        };
        match cleared {
            Ok(()) => self.links.push(Link {
                group: number,
                entry,
            }),
            Err(reason) => self.shared.failed(&entry.path, reason, false),
        }
        None
    }

    /// Notes the first name of a group, unless what is there stays whatever it is: that may be another file, to which the
    /// group's next name is not linked.
    pub(super) fn start_link_group(
        &mut self,
        entry: &Entry,
        existing: Option<&Existing>,
        verdict: &Verdict,
    ) {
        let Some(number) = entry.link_group else {
            return;
        };
        let stays = matches!(verdict, Verdict::Keep | Verdict::Correct);
        let is_other = stays && self.options.overwrite == Overwrite::Never;
        if is_other || matches!(verdict, Verdict::Refuse(_)) {
            return;
        }
        let kept = existing.filter(|_| stays).map(Existing::id);
        self.groups.entry(number).or_insert_with(|| LinkGroup {
            mtime: entry.mtime,
            kind: entry.kind.clone(),
            kept,
            pending: Some(entry.path.clone()),
            linkable: Vec::new(),
            first: entry.path.clone(),
        });
    }

    /// Links what can be linked. Returns the names that must be written as files of their own; those that may be linked to them
    /// wait for the next call.
    pub(in crate::engine::restore) fn link_hard_links(&mut self) -> Vec<Entry> {
        let links = std::mem::take(&mut self.links);
        if self.options.dry_run {
            for link in &links {
                let files = u64::from(matches!(link.entry.kind, EntryKind::File(_)));
                self.shared.update(|report| report.files_restored += files);
                self.shared.advance(link.entry.size(), 1);
            }
            return Vec::new();
        }
        let mut unlinked = Vec::new();
        // Groups of which a name is written only after this.
        let mut waiting = HashSet::new();
        for link in links {
            let waits = waiting.contains(&link.group);
            if !waits && let Some(reason) = self.settle(link.group) {
                self.shared.failed(&link.entry.path, reason, false);
                continue;
            }
            match self.link(&link) {
                Ok(()) => {}
                Err(error) if waits && !error.as_ref().is_some_and(is_for_ever) => {
                    self.links.push(link);
                }
                Err(error) => {
                    if let Some((path, error)) = error {
                        let reason = in_one_line(&error);
                        let entry = &link.entry.path;
                        self.shared.message(&format!(
                            "{entry} becomes a file of its own, as it cannot be linked to {path}: {reason}"
                        ));
                        self.shared.update(|report| report.links_separate += 1);
                    }
                    if let Some(group) = self.groups.get_mut(&link.group) {
                        group.pending = Some(link.entry.path.clone());
                    }
                    waiting.insert(link.group);
                    unlinked.push(link.entry);
                }
            }
        }
        unlinked
    }

    /// Looks at what became of the name of a group that was written last. Returns why the others cannot be had either.
    fn settle(&mut self, group: u64) -> Option<String> {
        let group = self.groups.get_mut(&group)?;
        let path = group.pending.take()?;
        match self.shared.failure(&path) {
            None => group.linkable.push(path),
            Some(true) => {
                let reason = format!("it is a hard link of {path}, which could not be restored");
                group.pending = Some(path);
                return Some(reason);
            }
            // The next name becomes the first.
            Some(false) => {}
        }
        None
    }

    /// Links a name to one of the names of its group that are there.
    fn link(&mut self, link: &Link) -> Result<(), Option<(EntryPath, TargetError)>> {
        let (Some(group), Some(cursor)) = (self.groups.get(&link.group), &mut self.cursor) else {
            return Err(None);
        };
        let mut failed = None;
        for path in group.linkable.iter().rev().take(ATTEMPTS) {
            match cursor.hard_link(path, &link.entry.path) {
                Ok(()) => {
                    self.shared.wrote(&link.entry, Ok(Vec::new()));
                    self.shared.advance(link.entry.size(), 1);
                    return Ok(());
                }
                Err(error) if self.shared.is_kept(&error) => {
                    self.shared.wrote(&link.entry, Err(error));
                    self.shared.advance(link.entry.size(), 1);
                    return Ok(());
                }
                Err(error) => failed = Some((path.clone(), error)),
            }
        }
        Err(failed)
    }
}

/// True when no link to this file can be made: the file system has none, or the file may not have more.
fn is_for_ever((_, error): &(EntryPath, TargetError)) -> bool {
    match error {
        TargetError::Entry { source, .. } => matches!(
            source.kind(),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::Unsupported
        ),
        _ => false,
    }
}
