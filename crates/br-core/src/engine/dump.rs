//! Writing the content of one file of a backup to a stream, or to a program.

use std::io::{Read, Write};

use super::export::hand_over;
use super::view::BackupView;
use crate::error::{Error, ErrorKind, Result, Site};
use crate::model::{Entry, EntryPath};
use crate::progress::Context;
use crate::repository::{BackupSelector, Io, Repository};
use crate::target::{CommandTarget, CommandTargetError};

/// Bytes written at once.
const WRITE_LEN: usize = 128 << 10;

/// Writes the content of the file at `path` to `to`, holes as zeros, and returns its entry. To read parts of a file, use
/// [`Snapshot::open_file`](crate::Snapshot::open_file).
///
/// Requests: those for the commit log, the index, the tree nodes that lead to the file, and one for each run of nearby data.
///
/// # Errors
/// [`ErrorKind::PathNotFound`] when there is no such path, and errors when it is no file, its
/// data is damaged (checked before it is written, and once more against the file's
/// SHA-256 at the end), or `to` fails.
pub async fn dump(
    repository: &Repository,
    backup: impl Into<BackupSelector>,
    path: EntryPath,
    mut to: impl Write + Send + 'static,
    context: &Context,
) -> Result<Entry> {
    repository.check_reads_content("a dump")?;
    let selector = backup.into();
    let work = move |io: &Io| write(&BackupView::open(io, &selector)?, &path, &mut to);
    repository.run(context, work).await
}

/// Writes the content of the file at `path` to the standard input of a program, holes as zeros, and returns its entry and what the program
/// wrote.
///
/// br starts the program when it has the first data. It holds back the last bytes, up to 128 KiB, until all of the content is verified:
/// so a program that needs all of its input to finish, such as one transaction, does not finish with damaged data.
///
/// Requests: as [`dump()`].
///
/// # Errors
/// Those of [`dump()`], and [`ErrorKind::Io`] at [`Site::Output`] when the program fails: then the cause is a
/// [`CommandTargetError`]. If the content is damaged, br ends the program. In each case, what the program has done with the bytes that it
/// got is not undone.
pub async fn dump_to_command(
    repository: &Repository,
    backup: impl Into<BackupSelector>,
    path: EntryPath,
    target: CommandTarget,
    context: &Context,
) -> Result<(Entry, String)> {
    repository.check_reads_content("a restore to a program")?;
    let selector = backup.into();
    let work = move |io: &Io| {
        let view = BackupView::open(io, &selector)?;
        let mut input = target.start(io.context.cancel.clone());
        let written = write(&view, &path, &mut input);
        match written {
            Ok(entry) => {
                let finished = input.finish();
                // Then the error of the program is only that it was ended.
                if finished.is_err() {
                    io.check_cancelled()?;
                }
                Ok((entry, finished.map_err(of_program)?))
            }
            // If the program has ended, its own error says why it takes no more.
            Err(error) if error.site() == Site::Output => {
                io.check_cancelled()?;
                Err(input.failure().map_or(error, of_program))
            }
            Err(error) => Err(error),
        }
    };
    repository.run(context, work).await
}

fn of_program(error: CommandTargetError) -> Error {
    Error::new(ErrorKind::Io, "the program did not take the file")
        .at(Site::Output)
        .with_source(error)
}

/// Writes a file of a backup, and returns its entry.
pub(super) fn write(view: &BackupView, path: &EntryPath, to: &mut dyn Write) -> Result<Entry> {
    let entry = view.file(path)?;
    let only = std::iter::once(Ok(entry.clone()));
    hand_over(&view.reader, only, |_, content| copy(content, to))?;
    Ok(entry)
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
