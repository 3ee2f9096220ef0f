//! What has to go with a backup that is deleted.
//!
//! [`dependents`] asks the catalogue and the lists of the backups themselves, as either may know what the other does not. Invariant: when it
//! cannot be found out whether a backup is needed, that is an error, and no backup is called dispensable.

use std::collections::HashSet;

use uuid::Uuid;

use super::archive::{self, Archive, ArchiveBackup, Progress, Result};
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
    // What has no point in time is not done, and goes first.
    let order = |entry: &Entry| (entry.backup_ts.is_none(), entry.backup_ts, entry.at_time);
    out.sort_by_key(|entry| std::cmp::Reverse(order(entry)));
    Ok(out)
}

/// Adds those that have files in what is to go, until nothing is left that does.
fn add_found(
    out: &mut Vec<Entry>,
    listing: &Listing,
    entry: &Entry,
    archive: &Archive,
    progress: &dyn Progress,
) -> Result<()> {
    let mut known: HashSet<Uuid> = out.iter().map(|entry| entry.id).collect();
    known.insert(entry.id);
    loop {
        let doomed = std::iter::once(entry).chain(out.iter());
        // What is unfinished or not there is in nobody's way.
        let doomed: Vec<_> = doomed
            .filter_map(|entry| backup_of(archive, entry))
            .collect();
        let found = archive::dependents(archive, &doomed, progress)?;
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

/// The backup that a note is about, among the complete ones.
fn backup_of<'a>(archive: &'a Archive, entry: &Entry) -> Option<&'a ArchiveBackup> {
    archive
        .backups()
        .iter()
        .find(|backup| entry.is_about(backup))
}
