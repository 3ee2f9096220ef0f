//! The backups that depend on a deleted one.
//!
//! [`dependents`] uses the catalogue and the lists of the backups themselves, because either may know a
//! dependent that the other does not. Invariant: if it is not known whether a backup is needed, the result is
//! an error.

use std::collections::HashSet;

use uuid::Uuid;

use super::archive::{self, Archive, ArchiveBackup, ArchiveProgress, Result};
use super::catalogue::{CatalogueEntry, Listing, State};
use super::find;

/// Returns the backups that cannot be restored without this one, in the order in which to delete them,
/// including those that the catalogue does not know. `archive` is the archive with the backup; if its files
/// are gone, only the catalogue is used.
///
/// # Errors
/// If the list of a later backup cannot be read, the storage does not respond, or the caller cancels.
pub fn dependents(
    listing: &Listing,
    entry: &CatalogueEntry,
    archive: Option<&Archive>,
    progress: &dyn ArchiveProgress,
) -> Result<Vec<CatalogueEntry>> {
    let noted = listing.dependents(entry.id);
    let mut out = noted.certain;
    match archive {
        // The lists in the archive are more precise than the order of the backups.
        Some(archive) => add_found(&mut out, listing, entry, archive, progress)?,
        // An incomplete backup was never a base.
        None if entry.state == State::Complete => out.extend(noted.possible),
        None => {}
    }
    // A backup without a time stamp is unfinished and comes first.
    let order =
        |entry: &CatalogueEntry| (entry.backup_ts.is_none(), entry.backup_ts, entry.at_time);
    out.sort_by_key(|entry| std::cmp::Reverse(order(entry)));
    Ok(out)
}

/// Adds the backups that use files of the deleted ones, until there are no more.
fn add_found(
    out: &mut Vec<CatalogueEntry>,
    listing: &Listing,
    entry: &CatalogueEntry,
    archive: &Archive,
    progress: &dyn ArchiveProgress,
) -> Result<()> {
    let mut known: HashSet<Uuid> = out.iter().map(|entry| entry.id).collect();
    known.insert(entry.id);
    loop {
        let to_delete = std::iter::once(entry).chain(out.iter());
        // No backup depends on one that is unfinished or missing.
        let to_delete: Vec<_> = to_delete
            .filter_map(|entry| backup_of(archive, entry))
            .collect();
        let found = archive::dependents(archive, &to_delete, progress)?;
        let of = |dir: &str| archive.backups().iter().find(|backup| backup.dir == dir);
        let backups = found.iter().filter_map(|found| of(&found.dir));
        let notes = backups.filter_map(|backup| find::entry(&entry.place, archive, backup));
        let before = out.len();
        for found in notes.filter(|found| known.insert(found.id)) {
            let noted = listing.entries.iter().find(|entry| entry.id == found.id);
            out.push(noted.cloned().unwrap_or(found));
        }
        if out.len() == before {
            return Ok(());
        }
    }
}

/// Returns the complete backup that a catalogue entry describes.
fn backup_of<'a>(archive: &'a Archive, entry: &CatalogueEntry) -> Option<&'a ArchiveBackup> {
    archive
        .backups()
        .iter()
        .find(|backup| entry.is_about(backup))
}
