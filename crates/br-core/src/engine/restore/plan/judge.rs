//! Decisions: what happens to an entry, given the existing file or folder.
//!
//! Invariant: this module writes nothing, so a dry run and a real run decide the same.

use super::{Overwrite, Planner, RestoreOptions};
use crate::error::in_one_line;
use crate::model::{Entry, EntryKind, EntryPath};
use crate::target::Existing;

/// Decision about an entry that is not a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write it. If a file or an empty folder exists, replace it.
    Write,
    /// Delete the existing folder that is not empty, then write it.
    Clear,
    /// Keep the existing entry.
    Keep,
    /// Keep the existing entry and set its metadata.
    Correct,
    /// Fail with this reason.
    Refuse(String),
}

/// What exists at the path of a folder to be restored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// Nothing exists.
    Missing,
    /// A folder, or a link to a folder that is followed.
    Folder,
    /// A folder with these permissions: its owner, this process's user, lacks some right.
    ClosedFolder(u32),
    /// Another kind of entry; it is replaced.
    Other,
    /// Fail with this reason.
    Refuse(String),
}

impl Planner<'_> {
    /// Decides about an entry that is not a folder.
    pub(super) fn judge(&mut self, entry: &Entry, existing: Option<&Existing>) -> Verdict {
        let Some(existing) = existing else {
            return Verdict::Write;
        };
        match self.options.overwrite {
            Overwrite::Never => return Verdict::Keep,
            _ if existing.kind == EntryKind::Directory => return self.judge_clearing(&entry.path),
            Overwrite::Always => return Verdict::Write,
            Overwrite::IfChanged => {}
        }
        if !is_same(entry, existing) {
            Verdict::Write
        } else if !metadata_differs(entry, existing, self.options) && !self.attributes_differ(entry)
        {
            Verdict::Keep
        } else if existing.links > 1 {
            // The other links of the file may be outside the restored paths, so do not change its metadata.
            Verdict::Write
        } else {
            Verdict::Correct
        }
    }

    /// True when the existing entry has other attributes than the backup's entry, for example an additional ACL.
    pub(super) fn attributes_differ(&mut self, entry: &Entry) -> bool {
        let metadata = &self.shared.metadata;
        let cursor = self.cursor.as_mut();
        cursor.is_some_and(|cursor| cursor.attributes_differ(entry, metadata))
    }

    /// Decides about an existing folder that is in the way of another kind of entry.
    pub(super) fn judge_clearing(&mut self, path: &EntryPath) -> Verdict {
        let Some(cursor) = &mut self.cursor else {
            return Verdict::Write;
        };
        match cursor.list(path) {
            Ok(names) if names.is_empty() => return Verdict::Write,
            Ok(_) => {}
            Err(error) => return Verdict::Refuse(error.to_string()),
        }
        let place = self.target.and_then(|target| target.real_path(path));
        if self.scope.must_stay(place) {
            return Verdict::Refuse("a folder in the way contains br's own data".into());
        }
        if self.options.delete {
            Verdict::Clear
        } else {
            let reason = "a folder that is not empty is in the way: move it away, or let the restore delete what is not in the backup";
            Verdict::Refuse(reason.into())
        }
    }

    /// Decides about a folder; `leads` means that the folder was not requested, but leads to requested entries.
    pub(super) fn judge_folder(&mut self, path: &EntryPath, leads: bool) -> Ground {
        let target = self.target;
        let place = target.and_then(|target| target.real_path(path));
        if self.scope.is_protected(place) {
            return Ground::Refuse("br keeps its own data there".into());
        }
        if target.is_some_and(|target| target.follows(path)) {
            return Ground::Folder;
        }
        let existing = match self.look(path) {
            Ok(Some(existing)) => existing,
            Ok(None) => return Ground::Missing,
            Err(error) => return Ground::Refuse(in_one_line(&error)),
        };
        let is_link = matches!(existing.kind, EntryKind::Symlink(_));
        match existing.kind {
            EntryKind::Directory => {
                let me = crate::target::user();
                match existing.mode {
                    mode if me != 0 && existing.uid == me && mode & 0o700 != 0o700 => {
                        Ground::ClosedFolder(mode)
                    }
                    _ => Ground::Folder,
                }
            }
            _ if is_link && (leads || self.scope.is_root(path)) => Ground::Refuse(
                "a link is in the way that does not lead to a folder in the target: move it away, or restore into an empty folder and copy from there"
                    .into(),
            ),
            _ if leads => {
                Ground::Refuse("the path to the restored entries needs a folder here, but another kind of entry exists: move it away".into())
            }
            _ if self.options.overwrite == Overwrite::Never => {
                Ground::Refuse("another kind of entry exists, and nothing is overwritten".into())
            }
            _ => Ground::Other,
        }
    }
}

/// True when the existing file, link or device matches the backup, as far as this can be seen without reading its content.
pub(super) fn is_same(entry: &Entry, existing: &Existing) -> bool {
    match (&entry.kind, &existing.kind) {
        (EntryKind::File(wanted), EntryKind::File(there)) => {
            wanted.size == there.size && entry.mtime == existing.mtime
        }
        (wanted, there) => wanted == there,
    }
}

pub(super) fn metadata_differs(
    entry: &Entry,
    existing: &Existing,
    options: &RestoreOptions,
) -> bool {
    let owner = (entry.owner.uid, entry.owner.gid);
    let mut mode = entry.mode;
    // These bits are not set on an entry that belongs to another user or group.
    if !options.set_id || (!options.owner && owner.0 != existing.uid) {
        mode &= !0o4000;
    }
    if !options.set_id || (!options.owner && owner.1 != existing.gid) {
        mode &= !0o2000;
    }
    mode != existing.mode
        || entry.mtime != existing.mtime
        || (options.owner && owner != (existing.uid, existing.gid))
}
