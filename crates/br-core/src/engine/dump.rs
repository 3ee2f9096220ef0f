//! Writing the content of one file of a backup to a stream.

use std::io::{Read, Write};

use super::export::hand_over;
use super::view::{View, no_such_path};
use crate::error::{Error, Result, Site};
use crate::model::{Backup, BackupId, Entry, EntryKind, EntryPath};
use crate::progress::Context;
use crate::repository::{Io, Repository, TreeReader};

/// Bytes written at once.
const WRITE_LEN: usize = 128 << 10;

/// Writes the content of the file at `path` to `to`, holes as zeros, and returns its entry.
///
/// # Errors
/// [`ErrorKind::PathNotFound`](crate::ErrorKind::PathNotFound) when there is no such path, and errors when it is no file, its
/// data is damaged (checked before it is written, and once more against the file's
/// SHA-256 at the end), or `to` fails.
pub async fn dump(
    repository: &Repository,
    backup: BackupId,
    path: EntryPath,
    mut to: impl Write + Send + 'static,
    context: &Context,
) -> Result<Entry> {
    let work = move |io: &Io| {
        let view = View::open(io)?;
        let backup = view.position.state.get(backup)?;
        let entry = find_file(&view, backup, &path)?;
        let only = std::iter::once(Ok(entry.clone()));
        hand_over(&view.reader, only, |_, content| copy(content, &mut to))?;
        Ok(entry)
    };
    repository.run(context, work).await
}

fn find_file(view: &View, backup: &Backup, path: &EntryPath) -> Result<Entry> {
    for entry in TreeReader::new(&view.reader, backup).select(vec![path.clone()]) {
        let entry = entry.map_err(|gap| gap.error)?;
        if entry.path != *path {
            continue;
        }
        return match &entry.kind {
            EntryKind::File(_) => Ok(entry),
            other => {
                let what = other.name();
                Err(Error::invalid(format!("{path} is a {what}, not a file")))
            }
        };
    }
    Err(no_such_path(backup, path))
}

fn copy(content: &mut dyn Read, to: &mut dyn Write) -> Result<()> {
    let failed = |error| Error::io("cannot write the output", error).at(Site::Output);
    let mut buffer = vec![0; WRITE_LEN];
    loop {
        let len = content
            .read(&mut buffer)
            .map_err(|error| Error::io("cannot read the content", error))?;
        if len == 0 {
            return to.flush().map_err(failed);
        }
        to.write_all(&buffer[..len]).map_err(failed)?;
    }
}
