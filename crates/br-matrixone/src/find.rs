//! Finding backups in an archive, for a catalogue that was lost or does not list them.
//!
//! [`find`] reads an archive root and returns a [`Found`];
//! [`Catalogue::rebuild`](super::catalogue::Catalogue::rebuild) adds its entries. [`entry`] makes the catalogue
//! entry of one backup. Invariant: a found backup counts as complete only if all its files exist and have the
//! right sizes.

use jiff::Timestamp;
use uuid::Uuid;

use super::BackupKind;
use super::archive::{
    Archive, ArchiveBackup, ArchiveProgress, CheckLevel, CheckOptions, CheckReport, Result, TaeSum,
    check, split_dir,
};
use super::catalogue::{BackupLocation, CatalogueEntry, Origin, State};

/// The backups that were found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Found {
    /// Their catalogue entries, oldest first.
    pub entries: Vec<CatalogueEntry>,
    /// Backups without an id, which the catalogue cannot record. They are checked and restored by their
    /// location.
    pub nameless: Vec<String>,
}

/// Finds the backups below a root. The catalogue records `place` as their location. Reads lists, but no data.
///
/// # Errors
/// If the storage does not respond, or the caller cancels.
pub fn find(
    place: &BackupLocation,
    archive: &Archive,
    progress: &dyn ArchiveProgress,
) -> Result<Found> {
    let mut found = Found::default();
    for backup in archive.backups().iter().chain(archive.unfinished()) {
        let Some(mut note) = entry(place, archive, backup) else {
            found.nameless.push(backup.name().to_owned());
            continue;
        };
        if backup.unfinished.is_none() {
            let options = CheckOptions::default().with_level(CheckLevel::Existence);
            let report = check(archive, backup, &options, progress)?;
            note.state = if report.is_good() {
                State::Complete
            } else {
                State::Failed
            };
            note.logical_size = Some(report.logical_bytes);
            note.stored_size = Some(report.stored_bytes);
            note.base = note.base.or_else(|| base(archive, backup, &report));
        }
        found.entries.push(note);
    }
    found.entries.sort_by_key(|entry| entry.at_time);
    Ok(found)
}

/// Makes the catalogue entry of a backup from the metadata in the archive. The entry does not count as
/// complete, because the files were not checked.
#[must_use]
pub fn entry(
    place: &BackupLocation,
    archive: &Archive,
    backup: &ArchiveBackup,
) -> Option<CatalogueEntry> {
    let id = Uuid::try_parse(backup.id.as_ref()?).ok()?;
    let noted = backup.meta.as_ref();
    let kind = backup.kind.unwrap_or(BackupKind::Full);
    let at_time = noted.map(|entry| entry.at_time);
    let at_time = at_time.or_else(|| backup.made_at()).or_else(|| made_at(id));
    let mut entry =
        CatalogueEntry::new(id, kind, root(place, archive), at_time.unwrap_or_default());
    entry.sub_directory = Some(backup.dir.clone()).filter(|dir| !dir.is_empty());
    entry.duration = noted.and_then(|entry| entry.duration);
    entry.complete_time = noted
        .and_then(|entry| entry.complete_time)
        .or_else(|| backup.made_at());
    entry.backup_ts = backup.backup_ts;
    entry.logical_size = backup.bytes;
    entry.state = State::Failed;
    entry.origin = Origin::Own;
    Some(entry)
}

/// Makes the catalogue entry of a copy in a repository from the folder that it holds. `sum` is the copy's
/// `tae_sum`. Returns `None` if the folder is not that of a backup.
#[must_use]
pub fn copy(
    place: BackupLocation,
    directory: &str,
    (begun, complete): (Timestamp, Timestamp),
    sum: &[u8],
) -> Option<CatalogueEntry> {
    // A restore does not need it.
    let sum = TaeSum::parse_stored(sum).ok();
    let (kind, id) = split_dir(directory)?;
    let id = Uuid::try_parse(id).ok()?;
    let mut entry = CatalogueEntry::new(id, kind, place, begun);
    entry.sub_directory = Some(directory.to_owned());
    entry.complete_time = Some(complete);
    entry.backup_ts = sum.as_ref().and_then(|sum| sum.backup_ts);
    entry.logical_size = sum.map(|sum| sum.bytes);
    entry.state = State::Complete;
    Some(entry)
}

/// Returns the archive root. Removes the folder of the backup from `place` if it names one.
fn root(place: &BackupLocation, archive: &Archive) -> BackupLocation {
    let Some(chosen) = archive.chosen() else {
        return place.clone();
    };
    let above = |path: &str| {
        let path = path.trim_end_matches('/');
        let above = path.strip_suffix(chosen).unwrap_or(path);
        match above.trim_end_matches('/') {
            // The root of the file system keeps its slash.
            "" if above.starts_with('/') => "/".to_owned(),
            above => above.to_owned(),
        }
    };
    match place.clone() {
        BackupLocation::FileSystem { path } => BackupLocation::FileSystem { path: above(&path) },
        BackupLocation::S3(mut bucket) => {
            bucket.filepath = above(&bucket.filepath);
            BackupLocation::S3(bucket)
        }
        repository @ BackupLocation::Repository { .. } => repository,
    }
}

/// The archive does not record the base of a backup. The best guess is the latest backup whose files it uses.
fn base(archive: &Archive, own: &ArchiveBackup, report: &CheckReport) -> Option<Uuid> {
    let used = |backup: &&ArchiveBackup| {
        backup.dir != own.dir && report.uses.iter().any(|used| used.dir == backup.dir)
    };
    let latest = archive.backups().iter().rev().find(used)?;
    Uuid::try_parse(latest.id.as_ref()?).ok()
}

/// Returns the time at which an id was made.
fn made_at(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
}
