//! The backups that need another one.
//!
//! [`dependents`] returns them before a deletion. Invariant: a backup that is not in the result keeps all files that it has now, because
//! they are in other folders.

use std::collections::HashSet;

use super::super::error::{Error, Result};
use super::super::files;
use super::super::frame::Framing;
use super::super::layout::{Archive, ArchiveBackup, TAE};
use super::super::lists::read_rows;
use super::super::progress::ArchiveProgress;
use super::super::tae_list::Row;
use super::is_damage;

/// A backup that needs another one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dependent {
    /// Its id.
    pub id: Option<String>,
    /// Its folder below the root.
    pub dir: String,
    /// Number of files that it would lose.
    pub files: u64,
    /// Their bytes of content.
    pub bytes: u64,
    /// One of them, below `tae/`.
    pub example: String,
}

/// Finds the later backups that could not be restored without these, in the order of their points in time. A backup whose point in time is
/// unknown, for example because `tae_sum` is damaged, counts as possibly later.
///
/// # Errors
/// If the list of a backup that may be later cannot be read: then the result is unknown.
pub fn dependents(
    archive: &Archive,
    to_delete: &[&ArchiveBackup],
    progress: &dyn ArchiveProgress,
) -> Result<Vec<Dependent>> {
    let held = Held::by(archive, to_delete)?;
    let first = to_delete
        .iter()
        .map(|backup| backup.backup_ts)
        .min()
        .flatten();
    let mut out = Vec::new();
    // Which of these files are also in other backups that are not later than the current one.
    let mut others: HashSet<usize> = HashSet::new();
    for other in archive.backups() {
        if progress.is_cancelled() {
            return Err(Error::cancelled());
        }
        if to_delete.iter().any(|backup| backup.dir == other.dir) {
            continue;
        }
        let is_later = first.zip(other.backup_ts).map(|(first, ts)| ts >= first);
        let found = match held.compare(archive, other) {
            // It needs no later backup, and it cannot replace those to be deleted.
            Err(error) if is_later == Some(false) && is_damage(&error) => continue,
            found => found?,
        };
        if is_later.is_some() {
            others.extend(&found.copied);
        }
        if is_later != Some(false) {
            out.extend(found.into_dependent(other, &held, &others));
        }
    }
    Ok(out)
}

/// The files in the folders of backups.
#[derive(Debug, Default)]
struct Held {
    /// With the size of their content, if a list could be read.
    files: Vec<(Box<str>, Option<u64>)>,
}

/// The files among them that another backup lists.
#[derive(Debug, Default)]
struct Shared {
    /// Files that the other backup has itself.
    copied: Vec<usize>,
    /// Files that it needs from other backups.
    needed: Vec<usize>,
}

impl Held {
    /// The files that these backups have, by their lists. If a list is damaged, by the files in the folder, because the list may be
    /// repaired.
    fn by(archive: &Archive, to_delete: &[&ArchiveBackup]) -> Result<Self> {
        let mut files = Vec::new();
        for backup in to_delete {
            let before = files.len();
            let read = read_rows(archive.folder(), backup, archive.limits(), &mut |row| {
                if row.need_copy {
                    files.push((row.path, Some(row.size)));
                }
                Ok(())
            });
            match read {
                Ok(_) => {}
                Err(error) if is_damage(&error) => {
                    files.truncate(before);
                    files::list(archive.folder(), &backup.path(TAE), &mut |entry| {
                        files.push((entry.path.into_boxed_str(), None));
                        Ok(())
                    })?;
                }
                Err(error) => return Err(error),
            }
        }
        files.sort();
        files.dedup();
        Ok(Self { files })
    }

    fn position(&self, row: &Row) -> Option<usize> {
        let at = self
            .files
            .partition_point(|(path, _)| path.as_ref() < row.path.as_ref());
        let same = self.files[at..]
            .iter()
            .take_while(|(path, _)| *path == row.path);
        let mut sizes = same.enumerate();
        let fits = sizes.find(|(_, (_, size))| size.is_none_or(|size| size == row.size));
        fits.map(|(nth, _)| at + nth)
    }

    fn compare(&self, archive: &Archive, other: &ArchiveBackup) -> Result<Shared> {
        let mut out = Shared::default();
        read_rows(archive.folder(), other, archive.limits(), &mut |row| {
            if let Some(at) = self.position(&row) {
                if row.need_copy {
                    out.copied.push(at);
                } else {
                    out.needed.push(at);
                }
            }
            Ok(())
        })?;
        if out.copied.is_empty() {
            return Ok(out);
        }
        // Ignore files that it lists but does not have.
        let mut there = HashSet::new();
        files::list(archive.folder(), &other.path(TAE), &mut |entry| {
            if entry.is_regular {
                let at = self
                    .files
                    .partition_point(|(path, _)| path.as_ref() < entry.path.as_str());
                let same = self.files[at..].iter().zip(at..);
                let same = same.take_while(|((path, _), _)| **path == *entry.path);
                let whole = same.filter(|((_, size), _)| {
                    size.is_some_and(|size| Framing::of_sizes(size, entry.size).is_some())
                });
                there.extend(whole.map(|(_, at)| at));
            }
            Ok(())
        })?;
        out.copied.retain(|at| there.contains(at));
        Ok(out)
    }
}

impl Shared {
    /// Describes what the other backup would lose.
    fn into_dependent(
        self,
        other: &ArchiveBackup,
        held: &Held,
        others: &HashSet<usize>,
    ) -> Option<Dependent> {
        let mut lost: Vec<_> = self
            .needed
            .into_iter()
            .filter(|at| !others.contains(at))
            .collect();
        lost.sort_unstable();
        lost.dedup();
        let lost: Vec<_> = lost.into_iter().map(|at| &held.files[at]).collect();
        let (example, _) = lost.first()?;
        Some(Dependent {
            id: other.id.clone(),
            dir: other.dir.clone(),
            files: lost.len() as u64,
            bytes: lost
                .iter()
                .fold(0, |sum, (_, size)| sum.saturating_add(size.unwrap_or(0))),
            example: example.clone().into_string(),
        })
    }
}
