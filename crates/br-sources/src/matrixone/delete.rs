//! What has to go with a backup that is deleted.
//!
//! [`dependents`] asks the catalogue and the lists of the backups themselves, as either may know what the other does not. Invariant: when it
//! cannot be found out whether a backup is needed, that is an error, and no backup is called dispensable.

use std::collections::HashSet;

use uuid::Uuid;

use super::archive::{self, Archive, ArchiveBackup, ErrorKind, Progress, Result};
use super::catalog::{Entry, Listing, State};
use super::find;

/// Returns the backups that would be of no use without this one, in the order in which they are to be deleted. Those that the catalogue does
/// not know are among them. `archive` is where the backup lies; when nothing is there any more, only the catalogue is asked.
///
/// # Errors
/// When the list of a later backup cannot be read, the storage does not answer, or the caller asks to stop.
pub fn dependents(
    listing: &Listing,
    entry: &Entry,
    archive: Option<&Archive>,
    progress: &dyn Progress,
) -> Result<Vec<Entry>> {
    let noted = listing.dependents(entry.id);
    let mut out = noted.certain;
    match archive {
        // Its lists say more than that a backup is a later one.
        Some(archive) => add_found(&mut out, listing, entry, archive, progress)?,
        // One that is not whole was never a base.
        None if entry.state == State::Complete => out.extend(noted.possible),
        None => {}
    }
    out.sort_by_key(|entry| std::cmp::Reverse((entry.backup_ts, entry.at_time)));
    Ok(out)
}

/// Adds those that have files in one that is to go.
fn add_found(
    out: &mut Vec<Entry>,
    listing: &Listing,
    entry: &Entry,
    archive: &Archive,
    progress: &dyn Progress,
) -> Result<()> {
    let mut known: HashSet<Uuid> = out.iter().map(|entry| entry.id).collect();
    known.insert(entry.id);
    let mut next = 0;
    let mut doomed = entry.id;
    loop {
        let found = match needing(archive, doomed, progress)? {
            Some(found) => found
                .iter()
                .filter_map(|backup| find::entry(&entry.place, archive, backup))
                .collect(),
            None => listing.dependents(doomed).possible,
        };
        for found in found.into_iter().filter(|found| known.insert(found.id)) {
            let noted = listing.entries.iter().find(|entry| entry.id == found.id);
            out.push(noted.cloned().unwrap_or(found));
        }
        let Some(entry) = out.get(next) else {
            return Ok(());
        };
        doomed = entry.id;
        next += 1;
    }
}

/// The backups that have files in this one; `None` when its own list does not say which it has.
fn needing<'a>(
    archive: &'a Archive,
    id: Uuid,
    progress: &dyn Progress,
) -> Result<Option<Vec<&'a ArchiveBackup>>> {
    let id = id.to_string();
    let is_it = |backup: &&ArchiveBackup| match &backup.id {
        Some(own) => own.eq_ignore_ascii_case(&id),
        None => false,
    };
    // What is unfinished or not there is in nobody's way.
    let Some(backup) = archive.backups().iter().find(is_it) else {
        return Ok(Some(Vec::new()));
    };
    match archive::dependents(archive, backup, progress) {
        Err(error) if is_own_list(&error, backup) => Ok(None),
        found => {
            let found = found?.into_iter();
            let backups = found.map(|found| archive.find(&found.dir));
            backups.collect::<Result<_>>().map(Some)
        }
    }
}

fn is_own_list(error: &archive::Error, backup: &ArchiveBackup) -> bool {
    let is_damage = matches!(
        error.kind(),
        ErrorKind::Damaged | ErrorKind::Refused | ErrorKind::NotFound
    );
    let list = backup.path("tae/");
    is_damage && error.path().is_some_and(|path| path.starts_with(&list))
}
