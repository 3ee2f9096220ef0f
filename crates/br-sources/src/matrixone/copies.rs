//! Lists the copies of MatrixOne backups in a repository.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use br_core::engine::dump::dump;
use br_core::model::{Backup, EntryPath, OriginKind};
use br_core::{Context, ErrorKind, Repository, Result};
use br_matrixone::archive::split_dir;
use br_matrixone::catalogue::{BackupLocation, CatalogueEntry};
use br_matrixone::find;

use super::TAG;

/// Returns the copies in a repository as entries for a catalogue.
///
/// # Errors
/// If the repository cannot be read.
pub async fn copies(repository: &Repository, context: &Context) -> Result<Vec<CatalogueEntry>> {
    let mut out = Vec::new();
    for backup in repository.backups(context).await? {
        out.extend(copy(repository, &backup, context).await?);
    }
    Ok(out)
}

/// Returns the entry for a copy; `None` if the backup is not a copy.
async fn copy(
    repository: &Repository,
    backup: &Backup,
    context: &Context,
) -> Result<Option<CatalogueEntry>> {
    // Early versions of br recorded no origin, only a tag.
    let is_copy = match &backup.origin {
        Some(origin) => origin.kind == OriginKind::MatrixOne,
        None => backup.tags.iter().any(|tag| tag == TAG),
    };
    if !is_copy {
        return Ok(None);
    }
    let Some(directory) = backup.paths.iter().find_map(|path| directory(path)) else {
        return Ok(None);
    };
    let place = BackupLocation::Repository {
        url: repository.location().to_string(),
        backup: backup.id.to_string(),
    };
    let sum = tae_sum(repository, backup, &directory, context).await?;
    let times = (backup.started, backup.finished);
    Ok(find::copy(place, &directory, times, &sum))
}

/// Returns the last part of a copy's path, if it is the folder of a backup.
fn directory(path: &[u8]) -> Option<String> {
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    let name = std::str::from_utf8(name).ok()?;
    split_dir(name).map(|_| name.to_owned())
}

/// Returns MatrixOne's summary of the backup; empty if it cannot be read, because a restore does not need it.
async fn tae_sum(
    repository: &Repository,
    backup: &Backup,
    directory: &str,
    context: &Context,
) -> Result<Vec<u8>> {
    let path = EntryPath::new(format!("{directory}/tae/tae_sum").into_bytes());
    let Ok(path) = path else {
        return Ok(Vec::new());
    };
    let head = Head::default();
    match dump(repository, backup.id, path, head.clone(), context).await {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Damaged) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    }
    Ok(std::mem::take(&mut *head.lock()))
}

/// A writer that keeps the first bytes.
#[derive(Debug, Clone, Default)]
struct Head(Arc<Mutex<Vec<u8>>>);

impl Head {
    /// The number of bytes to keep. A summary is shorter.
    const MAX_LEN: usize = 64 << 10;

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.lock();
        if kept.len() + bytes.len() <= Self::MAX_LEN {
            kept.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
