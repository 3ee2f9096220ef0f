//! What happens to an entry, given what is there already.
//!
//! Invariant: nothing here writes, so that a dry run and a real one decide the same.

use super::{Overwrite, Planner, RestoreOptions};
use crate::error::in_one_line;
use crate::model::{Entry, EntryKind, EntryPath};
use crate::target::Existing;

/// What happens to an entry that is no folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is written, in place of a file or an empty folder if one is there.
    Write,
    /// It is written in place of a folder that holds something, which is deleted.
    Clear,
    /// What is there stays.
    Keep,
    /// What is there stays, and its metadata is set.
    Correct,
    /// It fails.
    Refuse(String),
}

/// What a folder of the backup meets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// Nothing.
    Missing,
    /// A folder, or a link to one that is followed.
    Folder,
    /// A folder whose owner, this process's user, lacks rights in it. It has these permissions.
    ClosedFolder(u32),
    /// Something else, which is replaced.
    Other,
    /// It fails.
    Refuse(String),
}

impl Planner<'_> {
    /// Decides about an entry that is no folder.
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
            // Its other names may be none of the backup's.
            Verdict::Write
        } else {
            Verdict::Correct
        }
    }

    /// True when what is there has attributes that the entry does not have, an ACL above all, or lacks some.
    pub(super) fn attributes_differ(&mut self, entry: &Entry) -> bool {
        let metadata = &self.shared.metadata;
        let cursor = self.cursor.as_mut();
        cursor.is_some_and(|cursor| cursor.attributes_differ(entry, metadata))
    }

    /// Decides about a folder that is where something else belongs.
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
            return Verdict::Refuse("br keeps its own data in a folder that is in the way".into());
        }
        if self.options.delete {
            Verdict::Clear
        } else {
            let reason = "a folder that holds something is in the way: move it away, or let the restore delete what is not in the backup";
            Verdict::Refuse(reason.into())
        }
    }

    /// Decides about a folder; `leads` says that it is none of what was asked for, but only on the way to that.
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
                "a link is in the way that leads to no folder in the target: move it away, or restore into an empty folder and copy from there"
                    .into(),
            ),
            _ if leads => {
                Ground::Refuse("something else is where a folder leads on: move it away".into())
            }
            _ if self.options.overwrite == Overwrite::Never => {
                Ground::Refuse("something else is there, and nothing is overwritten".into())
            }
            _ => Ground::Other,
        }
    }
}

/// True when the file, or link, or device at the target is what the backup has, as far as can be seen without reading it.
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
    // What belongs to another user does not get these bits.
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
