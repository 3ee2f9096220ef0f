//! Copies a backup of MatrixOne into a repository.

use br_core::engine::backup::{BackupOptions, Base, backup_with_retry};
use br_core::model::{Backup, Origin, OriginKind};
use br_core::{Context, Repository};
use br_matrixone::archive::{self, Folder};
use br_matrixone::catalogue::CatalogueEntry;

use super::{ArchiveSource, TAG};

/// Who makes the copy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeepOptions {
    /// Name of the machine.
    pub host: String,
    /// Name of the user.
    pub user: String,
}

impl KeepOptions {
    /// The options for a machine and a user.
    #[must_use]
    pub fn new(host: impl Into<String>, user: impl Into<String>) -> Self {
        let (host, user) = (host.into(), user.into());
        Self { host, user }
    }
}

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// The repository cannot be written.
    #[error(transparent)]
    Repository(#[from] br_core::Error),
}

/// Returns the origin of a copy: the version of the server, and the time stamp up to which the backup is
/// complete.
fn origin(entry: &CatalogueEntry) -> Origin {
    Origin::new(OriginKind::MatrixOne)
        .with_version(entry.server_version.clone())
        .with_position(entry.backup_ts.map(|ts| ts.to_string()))
}

/// Copies the backup of a catalogue entry, which is below `root`, into a repository.
///
/// If a prune removes data that the copy relied on, the copy starts once more.
///
/// # Errors
/// If the archive cannot be listed, and those of [`br_core::engine::backup::backup`].
pub async fn keep(
    repository: &Repository,
    root: &Folder,
    entry: &CatalogueEntry,
    options: &KeepOptions,
    context: &Context,
) -> Result<Backup, KeepError> {
    let directory = entry.sub_directory.clone().unwrap_or_default();
    let path = format!("{}/{directory}", entry.place);
    let backup_options = BackupOptions::new(&options.host, &options.user, vec![path.into_bytes()])
        .with_tags(vec![TAG.to_owned(), entry.id.to_string()])
        .with_origin(origin(entry))
        .with_base(Base::None);
    let secs = entry.at_time.as_second();
    let open = async || {
        let (root, directory) = (root.clone(), directory.clone());
        let work = move || ArchiveSource::open(&root, &directory, secs);
        // The task fails only by a panic, which continues here.
        match tokio::task::spawn_blocking(work).await {
            Ok(source) => Ok::<_, KeepError>(source?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    };
    let report = backup_with_retry(repository, open, &backup_options, context).await?;
    Ok(report.backup)
}
