//! A backup from its first to its last step.

use super::options::{BackupOptions, check_description};
use super::start::Start;
use super::tally::BackupReport;
use super::{base, commit, pipeline};
use crate::error::Result;
use crate::progress::Context;
use crate::repository::{Io, Repository};
use crate::source::Source;

/// Backs up a source.
///
/// Entries that cannot be read are reported and left out; entries of which only metadata cannot be read or stored are reported
/// and kept without it. The backup says so in both cases ([`Backup::is_complete`](crate::model::Backup::is_complete)). Of a source that
/// [needs everything](Source::needs_everything) there is no such backup.
///
/// # Errors
/// When the repository cannot be read or added to; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the source breaks a rule
/// that a backup cannot do without, such as the order of paths; [`ErrorKind::Io`](crate::ErrorKind::Io) when a source that needs
/// everything cannot be read. Nothing of the backup is listed then; what was stored is used by the next run
/// ([`BackupOptions::journal`]).
pub async fn backup(
    repository: &Repository,
    source: impl Source + 'static,
    options: &BackupOptions,
    context: &Context,
) -> Result<BackupReport> {
    options.check()?;
    repository.check_writable(context)?;
    let mut options = options.clone();
    check_description(&options)?;
    (options.paths, options.folder) = base::normalise(&options.paths, &options.folder);
    repository
        .run(context, move |io| run(io, Box::new(source), &options))
        .await
}

fn run(io: &Io, source: Box<dyn Source>, options: &BackupOptions) -> Result<BackupReport> {
    let start = Start::read(io, &*source, options)?;
    let collected = pipeline::run(io, source, &start, options)?;
    commit::run(io, start, collected, options)
}
