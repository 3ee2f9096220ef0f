//! Runs a backup from start to commit.

use super::options::{BackupOptions, check_description};
use super::start::Start;
use super::tally::BackupReport;
use super::{base, commit, pipeline};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Context, Event};
use crate::repository::{Io, Repository};
use crate::source::{Source, SourcePaths};

/// Maximum attempts at a backup, including the first.
const MAX_ATTEMPTS: u32 = 2;

/// Backs up a source.
///
/// If an entry cannot be read, the backup reports it and leaves it out. If only metadata of an entry cannot be read or stored, the backup
/// reports the entry and keeps it without that metadata. In both cases the backup is incomplete
/// ([`Backup::is_complete`](crate::model::Backup::is_complete)). If the source [needs everything](Source::needs_everything), an
/// unreadable entry fails the backup instead.
///
/// # Errors
/// When the repository cannot be read or written; [`ErrorKind::Invalid`] when the source breaks a rule that a
/// backup requires, such as the order of paths; [`ErrorKind::Io`] when an entry of a source that needs everything
/// cannot be read. After an error the backup is not in the backup list, but the next run uses the data stored so far
/// ([`BackupOptions::journal`]).
pub async fn backup(
    repository: &Repository,
    source: impl Source + 'static,
    options: &BackupOptions,
    context: &Context,
) -> Result<BackupReport> {
    options.check()?;
    if options.verify_known {
        repository.check_reads_content("a backup that verifies known data")?;
    }
    repository.check_writable(context)?;
    let mut options = options.clone();
    if options.paths.is_empty() {
        let SourcePaths { paths, folder } = source.paths();
        (options.paths, options.folder) = (paths, folder);
    }
    check_description(&options)?;
    (options.paths, options.folder) = base::normalise(&options.paths, &options.folder);
    repository
        .run(context, move |io| run(io, Box::new(source), &options))
        .await
}

/// Backs up a source that can be opened again, and retries once if another writer removed data that the backup relied on.
///
/// This happens when a prune removes chunks that the backup found stored and cannot restore by itself. Calls `open` once per attempt. For
/// a stream that can be read only once, use [`backup`].
///
/// # Errors
/// Errors of `open` and of [`backup`].
pub async fn backup_with_retry<S, E>(
    repository: &Repository,
    mut open: impl AsyncFnMut() -> std::result::Result<S, E>,
    options: &BackupOptions,
    context: &Context,
) -> std::result::Result<BackupReport, E>
where
    S: Source + 'static,
    E: From<Error>,
{
    for _ in 1..MAX_ATTEMPTS {
        match backup(repository, open().await?, options, context).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                context.progress.event(Event::Restart);
            }
            result => return Ok(result?),
        }
    }
    Ok(backup(repository, open().await?, options, context).await?)
}

fn run(io: &Io, source: Box<dyn Source>, options: &BackupOptions) -> Result<BackupReport> {
    let start = Start::read(io, &*source, options)?;
    let collected = pipeline::run(io, source, &start, options)?;
    commit::run(io, start, collected, options)
}
