//! Comparing two backups.

use std::cmp::Ordering;
use std::iter::Peekable;

use super::feed::{Feed, FeedSender};
use super::view::{BackupView, View, no_such_path};
use crate::error::Result;
use crate::model::{Content, Entry, EntryKind, EntryPath};
use crate::progress::Context;
use crate::repository::{BackupSelector, Repository};

/// An entry that differs between two backups.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// Only in the second.
    Added(Entry),
    /// Only in the first.
    Removed(Entry),
    /// In both.
    Changed {
        /// In the first.
        from: Box<Entry>,
        /// In the second.
        to: Box<Entry>,
        /// Kind, content or link target differ; otherwise only metadata does.
        content: bool,
    },
}

/// Streams what differs between two backups, in path order: everything, or what is at and below `paths`. Inode numbers and change times do
/// not count.
///
/// # Errors
/// The feed ends with an error when it was called outside of a tokio runtime, when a backup is unknown or a part of its tree cannot be read,
/// and with [`ErrorKind::PathNotFound`](crate::ErrorKind::PathNotFound) when neither backup has one of the paths.
pub fn diff(
    repository: &Repository,
    from: impl Into<BackupSelector>,
    to: impl Into<BackupSelector>,
    paths: Vec<EntryPath>,
    context: &Context,
) -> Feed<Difference> {
    let (from, to) = (from.into(), to.into());
    Feed::start(repository, context, move |io, out| {
        let view = View::open(io)?;
        let (from, to) = (view.backup(&from)?, view.backup(&to)?);
        for path in &paths {
            let has = |backup: &BackupView| backup.has(path).map_err(|gap| gap.error);
            if !has(&from)? && !has(&to)? {
                return Err(no_such_path(&to.backup, path));
            }
        }
        let entries = |backup: &BackupView| entries(backup, &paths).peekable();
        merge(entries(&from), entries(&to), out)
    })
}

/// The entries of a backup at and below these paths; all if there are none.
fn entries(
    backup: &BackupView,
    paths: &[EntryPath],
) -> impl Iterator<Item = Result<Entry>> + use<> {
    let paths = paths.to_vec();
    let entries = backup.entries(paths.clone());
    let entries = entries.map(|entry| entry.map_err(|gap| gap.error));
    // The reader also returns the folders that lead to the paths.
    let is_wanted = move |path: &EntryPath| {
        paths.is_empty() || paths.iter().any(|wanted| path.is_within(wanted))
    };
    entries.filter(move |entry| entry.as_ref().map_or(true, |entry| is_wanted(&entry.path)))
}

fn merge(
    mut from: Peekable<impl Iterator<Item = Result<Entry>>>,
    mut to: Peekable<impl Iterator<Item = Result<Entry>>>,
    out: &mut FeedSender<Difference>,
) -> Result<()> {
    loop {
        let order = match (from.peek(), to.peek()) {
            (None, None) => return Ok(()),
            (Some(Ok(a)), Some(Ok(b))) => a.path.cmp(&b.path),
            (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
            (None, Some(_)) | (_, Some(Err(_))) => Ordering::Greater,
        };
        let mut old = if order.is_le() {
            from.next().transpose()?
        } else {
            None
        };
        let mut new = if order.is_ge() {
            to.next().transpose()?
        } else {
            None
        };
        let difference = match (old.take(), new.take()) {
            (Some(old), Some(new)) => compare(old, new),
            (Some(old), None) => Some(Difference::Removed(old)),
            (None, Some(new)) => Some(Difference::Added(new)),
            (None, None) => None,
        };
        if difference.is_some_and(|difference| !out.put(difference)) {
            return Ok(());
        }
    }
}

fn compare(from: Entry, to: Entry) -> Option<Difference> {
    let content = !same_content(&from.kind, &to.kind);
    let metadata = from.mode != to.mode
        || from.owner != to.owner
        || from.mtime != to.mtime
        || from.xattrs != to.xattrs
        || from.link_group.is_some() != to.link_group.is_some();
    (content || metadata).then_some(Difference::Changed {
        from: Box::new(from),
        to: Box::new(to),
        content,
    })
}

/// Whether two entries have the same kind, and the same content or link target.
pub(super) fn same_content(from: &EntryKind, to: &EntryKind) -> bool {
    let (EntryKind::File(from), EntryKind::File(to)) = (from, to) else {
        return from == to;
    };
    if from.size != to.size {
        return false;
    }
    match (from.sha256, to.sha256) {
        (Some(from), Some(to)) => from == to,
        _ => match (&from.content, &to.content) {
            (Content::Inline(from), Content::Inline(to)) => from == to,
            (from_content, to_content) => from_content == to_content && from.holes == to.holes,
        },
    }
}
