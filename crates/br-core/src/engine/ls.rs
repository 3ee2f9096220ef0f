//! Listing what is in a backup.

use super::feed::Feed;
use super::view::View;
use crate::model::{BackupId, Entry, EntryPath};
use crate::progress::Context;
use crate::repository::{Repository, TreeReader};

/// Streams the entries of a backup in path order: all of them, or those at and below `paths` with the folders that
/// lead there.
///
/// # Errors
/// The feed ends with an error when the backup is unknown or a part of its tree cannot be read.
///
/// # Panics
/// When called outside of a tokio runtime.
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
        for entry in TreeReader::new(&view.reader, backup).select(paths) {
            if !out.put(entry.map_err(|gap| gap.error)?) {
                break;
            }
        }
        Ok(())
    })
}
