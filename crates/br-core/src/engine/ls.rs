//! Listing what is in a backup.

use super::feed::Feed;
use super::view::{View, no_such_path};
use crate::error::Result;
use crate::model::{BackupId, Entry, EntryPath};
use crate::progress::Context;
use crate::repository::{Io, Repository, TreeReader};

/// Streams the entries of a backup in path order: all of them, or those at and below `paths` with the folders that
/// lead there.
///
/// # Errors
/// The feed ends with an error when it was called outside of a tokio runtime, when the backup is unknown or a part of its tree cannot be read, and before the first entry
/// with [`ErrorKind::PathNotFound`](crate::ErrorKind::PathNotFound) when the backup does not have one of the paths.
#[must_use]
pub fn ls(
    repository: &Repository,
    backup: BackupId,
    paths: Vec<EntryPath>,
    context: &Context,
) -> Feed<Entry> {
    Feed::start(repository, context, move |io, out| {
        let view = View::open(io)?;
        let backup = view.position.state.get(backup)?;
        for path in &paths {
            if !view.has(backup, path).map_err(|gap| gap.error)? {
                return Err(no_such_path(backup, path));
            }
        }
        for entry in TreeReader::new(&view.reader, backup).select(paths) {
            if !out.put(entry.map_err(|gap| gap.error)?) {
                break;
            }
        }
        Ok(())
    })
}

/// Tells for each path whether a backup has something at it or below it.
///
/// # Errors
/// When the backup is unknown or a part of its tree cannot be read.
pub async fn has_paths(
    repository: &Repository,
    backup: BackupId,
    paths: Vec<EntryPath>,
    context: &Context,
) -> Result<Vec<bool>> {
    let work = move |io: &Io| {
        let view = View::open(io)?;
        let backup = view.position.state.get(backup)?;
        let paths = paths.iter();
        let found = paths.map(|path| view.has(backup, path).map_err(|gap| gap.error));
        found.collect()
    };
    repository.run(context, work).await
}
