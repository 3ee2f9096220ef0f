//! Which backups need another one.
//!
//! [`dependents`] answers before anything is deleted. Invariant: a backup that is not among the answers has all its files, as far as it has
//! them now, in other folders.

use std::collections::HashSet;

use super::super::error::{Error, Result};
use super::super::layout::{Archive, ArchiveBackup, TAE};
use super::super::lists::read_rows;
use super::super::progress::Progress;
use super::super::tae_list::Row;

/// A backup that needs another one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dependent {
    /// Its id.
    pub id: Option<String>,
    /// Its folder below the root.
    pub dir: String,
    /// How many files it would lose.
    pub files: u64,
    /// Their bytes of content.
    pub bytes: u64,
    /// One of them, below `tae/`.
    pub example: String,
}

/// Finds the later backups that could not be restored without this one, in the order of their points in time.
///
/// # Errors
/// When the list of the backup, or of one that is later, cannot be read: then nobody knows.
pub fn dependents(
    archive: &Archive,
    backup: &ArchiveBackup,
    progress: &dyn Progress,
) -> Result<Vec<Dependent>> {
    let mut held = Held::default();
    read_rows(archive.place(), backup, archive.limits(), &mut |row| {
        if row.need_copy {
            held.files.push((row.path, row.size));
        }
        Ok(())
    })?;
    held.files.sort();
    let mut out = Vec::new();
    // Which files of this backup others have as well, that are not later than the one looked at.
    let mut others: HashSet<usize> = HashSet::new();
    for other in archive.backups() {
        if progress.is_cancelled() {
            return Err(Error::cancelled());
        }
        if other.dir == backup.dir {
            continue;
        }
        let is_later = match (backup.backup_ts, other.backup_ts) {
            (Some(this), Some(other)) => other >= this,
            // Without points in time there are no incremental backups.
            _ => continue,
        };
        let found = held.compare(archive, other)?;
        others.extend(&found.copied);
        if is_later {
            out.extend(found.into_dependent(other, &held, &others));
        }
    }
    Ok(out)
}

/// The files that a backup has.
#[derive(Debug, Default)]
struct Held {
    files: Vec<(Box<str>, u64)>,
}

/// Those of them that are in another list.
#[derive(Debug, Default)]
struct Shared {
    /// What the other has itself.
    copied: Vec<usize>,
    /// What it needs.
    needed: Vec<usize>,
}

impl Held {
    fn position(&self, row: &Row) -> Option<usize> {
        let found = self.files.binary_search_by(|(path, size)| {
            (path.as_ref(), *size).cmp(&(row.path.as_ref(), row.size))
        });
        found.ok()
    }

    fn compare(&self, archive: &Archive, other: &ArchiveBackup) -> Result<Shared> {
        let mut out = Shared::default();
        read_rows(archive.place(), other, archive.limits(), &mut |row| {
            if let Some(at) = self.position(&row) {
                match row.need_copy {
                    true => out.copied.push(at),
                    false => out.needed.push(at),
                }
            }
            Ok(())
        })?;
        if out.copied.is_empty() {
            return Ok(out);
        }
        // What it lists and does not have is of no help.
        let mut there = HashSet::new();
        archive.place().list(&other.path(TAE), &mut |entry| {
            if entry.is_regular {
                let at = self
                    .files
                    .partition_point(|(path, _)| path.as_ref() < entry.path.as_str());
                let same = self.files[at..]
                    .iter()
                    .take_while(|(path, _)| **path == *entry.path);
                there.extend((at..).take(same.count()));
            }
            Ok(())
        })?;
        out.copied.retain(|at| there.contains(at));
        Ok(out)
    }
}

impl Shared {
    /// What the other backup would lose.
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
                .fold(0, |sum, (_, size)| sum.saturating_add(*size)),
            example: example.clone().into_string(),
        })
    }
}
