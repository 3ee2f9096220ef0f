//! Lists the entries of a backup.

use super::feed::Feed;
use super::view::BackupView;
use crate::error::Result;
use crate::model::{Entry, EntryPath};
use crate::progress::Context;
use crate::repository::{BackupSelector, Io, Repository};

/// Streams the entries of a backup in path order: all of them, or those at and below `paths` with the folders that
/// lead there. To list again and again, use [`Snapshot::list`](crate::Snapshot::list) or
/// [`Snapshot::children`](crate::Snapshot::children).
///
/// Requests: those for the commit log, the index, and one for each run of nearby tree nodes.
///
/// # Errors
/// The feed ends with an error when it was called outside of a tokio runtime, when the backup is unknown or a part of its tree cannot be
/// read, and before the first entry with [`ErrorKind::PathNotFound`](crate::ErrorKind::PathNotFound) when the backup does not have one of
/// the paths.
pub fn ls(
    repository: &Repository,
    backup: impl Into<BackupSelector>,
    paths: Vec<EntryPath>,
    context: &Context,
) -> Feed<Entry> {
    let selector = backup.into();
    Feed::start(repository, context, move |io, out| {
        BackupView::open(io, &selector)?.list(paths, usize::MAX, out)
    })
}

/// Like [`ls`], but leaves out entries that are more than `depth` levels below the deepest of the paths, or below the root if there are no
/// paths. Skips the tree nodes that have only such entries.
///
/// # Errors
/// As [`ls`].
pub fn ls_to_depth(
    repository: &Repository,
    backup: impl Into<BackupSelector>,
    paths: Vec<EntryPath>,
    depth: usize,
    context: &Context,
) -> Feed<Entry> {
    let selector = backup.into();
    Feed::start(repository, context, move |io, out| {
        let deepest = paths.iter().map(|path| path.parts().count()).max();
        let max_parts = deepest.unwrap_or(0).saturating_add(depth);
        BackupView::open(io, &selector)?.list(paths, max_parts, out)
    })
}

/// Returns for each path whether a backup has an entry at the path or below it.
///
/// # Errors
/// When the backup is unknown or a part of its tree cannot be read.
pub async fn has_paths(
    repository: &Repository,
    backup: impl Into<BackupSelector>,
    paths: Vec<EntryPath>,
    context: &Context,
) -> Result<Vec<bool>> {
    let selector = backup.into();
    let work = move |io: &Io| {
        let view = BackupView::open(io, &selector)?;
        let paths = paths.iter();
        let found = paths.map(|path| view.has(path).map_err(|gap| gap.error));
        found.collect()
    };
    repository.run(context, work).await
}
