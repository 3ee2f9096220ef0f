//! Hard links: additional names of files.
//!
//! [`LinkGroups`] has the first name of each group. Invariant: a name that cannot be linked becomes a separate file, because its content
//! is in the backup.

use std::collections::{HashMap, HashSet};

use super::judge::Verdict;
use super::{Overwrite, Planner};
use crate::model::{Entry, EntryKind, EntryPath, FileTime};
use crate::target::{Existing, TargetError};
use crate::warning::Warning;

/// Maximum number of files of a group that a name is tried to be linked to.
const ATTEMPTS: usize = 4;

/// All hard-link groups found so far.
pub(super) type LinkGroups = HashMap<u64, LinkGroup>;

/// A name to be linked.
pub(super) struct Link {
    group: u64,
    entry: Entry,
}

/// State of a hard-link group.
pub(super) struct LinkGroup {
    mtime: FileTime,
    kind: EntryKind,
    /// Device and inode of the first name's existing file, if that file is kept.
    kept: Option<(u64, u64)>,
    /// `pending` is the latest name whose result is not checked yet; `linkable` has the names that others can be linked to.
    pending: Option<EntryPath>,
    linkable: Vec<EntryPath>,
    first: EntryPath,
}

impl LinkGroup {
    /// Names of one file have the same content. If they differ, the inode was reused for another file during the backup's walk: no link.
    fn is_joined_by(&self, entry: &Entry) -> bool {
        self.first != entry.path && self.mtime == entry.mtime && self.kind == entry.kind
    }
}

impl Planner<'_> {
    /// Handles an entry that is another name of a group found before, and returns `None`. Returns any other entry.
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

    /// Records the first name of a group. Skips it if the existing file is kept without a comparison: it may be another file, so the
    /// group's next name must not be linked to it.
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

    /// Creates the hard links. Returns names that could not be linked and must be written as separate files. Names that may be linked to
    /// those files wait for the next call.
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
        // Groups with a name that is written only after this call.
        let mut waiting = HashSet::new();
        for link in links {
            let waits = waiting.contains(&link.group);
            if !waits && let Some(reason) = self.settle(link.group) {
                self.shared.failed(&link.entry.path, reason, false);
                continue;
            }
            match self.link(&link) {
                Ok(()) => {}
                Err(error) if waits && !error.as_ref().is_some_and(is_permanent) => {
                    self.links.push(link);
                }
                Err(error) => {
                    if let Some((to, error)) = error {
                        let path = link.entry.path.clone();
                        let warning = Warning::NotLinked { path, to, error };
                        self.shared.io.warn(&warning);
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

    /// Checks the result of the group's pending name. Returns a reason if the group's other names cannot be restored either.
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
            // The next name becomes the first one.
            Some(false) => {}
        }
        None
    }

    /// Links a name to one of the written names of its group.
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

/// True when no link to this file is possible: the file system does not support links or refuses another one.
fn is_permanent((_, error): &(EntryPath, TargetError)) -> bool {
    match error {
        TargetError::Entry { source, .. } => matches!(
            source.kind(),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::Unsupported
        ),
        _ => false,
    }
}
