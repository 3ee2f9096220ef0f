//! Search for the files of one list.
//!
//! [`Search`] keeps the rows and, for each, the best candidate so far. Invariant: a candidate has the size in the row; a file with another
//! digest is not a candidate, and a file that is certainly the same object wins over one with only the same name.

use br_storage::FileInfo;

use super::super::error::{Error, Result};
use super::super::files;
use super::super::frame::Framing;
use super::super::layout::{Archive, ArchiveBackup, TAE};
use super::super::lists::read_rows;
use super::super::sha256::Digest;
use super::super::tae_list::Row;
use super::ResolvedFile;

/// How certain it is that a file is the wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// It is in the backup's own folder although the list does not require it: only the size is known.
    Own,
    /// Name and size are equal. A cloned object has another time in each list.
    Size,
    /// Digest or time are also equal.
    Sure,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    likeness: Likeness,
    dir: u32,
    physical: u64,
    framing: Framing,
    digest: Option<Digest>,
}

/// A row, and what is known about the place of its file.
#[derive(Debug)]
struct Wanted {
    row: Row,
    found: Option<Found>,
    /// The latest backup whose list says that it has the file.
    listed_in: Option<u32>,
    /// The size of another file found in its place.
    other: Option<u64>,
}

/// A row whose file was not found.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) row: Row,
    pub(super) listed_in: Option<u32>,
    pub(super) found: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Search {
    /// Sorted by path.
    wanted: Vec<Wanted>,
    /// Number of files that are not certain yet.
    open: usize,
}

impl Search {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        let wanted = rows.into_iter().map(|row| Wanted {
            listed_in: row.need_copy.then_some(0),
            row,
            found: None,
            other: None,
        });
        let wanted: Vec<_> = wanted.collect();
        Self {
            open: wanted.len(),
            wanted,
        }
    }

    /// True if the search is complete.
    pub(super) const fn is_over(&self) -> bool {
        self.open == 0
    }

    fn position(&self, path: &str) -> Option<usize> {
        let found = self
            .wanted
            .binary_search_by(|wanted| wanted.row.path.as_ref().cmp(path));
        found.ok()
    }

    /// Adds a file of the own folder; false if it is in no list.
    pub(super) fn found_own(&mut self, entry: &FileInfo) -> bool {
        let Some(wanted) = self.position(&entry.path).map(|at| &mut self.wanted[at]) else {
            return false;
        };
        if !entry.is_regular {
            return true;
        }
        match Framing::of_sizes(wanted.row.size, entry.size) {
            Some(framing) => {
                let likeness = if wanted.row.need_copy {
                    Likeness::Sure
                } else {
                    Likeness::Own
                };
                wanted.found = Some(Found {
                    likeness,
                    dir: 0,
                    physical: entry.size,
                    framing,
                    digest: wanted.row.digest,
                });
                if likeness == Likeness::Sure {
                    self.open -= 1;
                }
            }
            None if wanted.row.need_copy => wanted.other = Some(entry.size),
            None => {}
        }
        true
    }

    /// Searches an earlier backup for the files that are not certain yet.
    pub(super) fn look_into(
        &mut self,
        archive: &Archive,
        backup: &ArchiveBackup,
        dir: u32,
    ) -> Result<()> {
        let folder = archive.folder();
        // Sorted by the position of the wanted file, so that the listing can be looked up in it.
        let mut offers: Vec<(usize, Likeness, Option<Digest>)> = Vec::new();
        read_rows(folder, backup, archive.limits(), &mut |row| {
            let at = self.position(&row.path).filter(|_| row.need_copy);
            if let Some((at, likeness)) = at.and_then(|at| Some((at, self.compare(at, &row)?))) {
                offers.push((at, likeness, row.digest));
            }
            Ok(())
        })?;
        if offers.is_empty() {
            return Ok(());
        }
        offers.sort_unstable_by_key(|(at, likeness, _)| (*at, std::cmp::Reverse(*likeness)));
        offers.dedup_by_key(|(at, _, _)| *at);
        for (at, _, _) in &offers {
            self.wanted[*at].listed_in.get_or_insert(dir);
        }
        files::list(folder, &backup.path(TAE), &mut |entry| {
            let at = self.position(&entry.path);
            let offer = at.and_then(|at| offers.binary_search_by_key(&at, |offer| offer.0).ok());
            if let Some(offer) = offer {
                self.take(offers[offer], &entry, dir);
            }
            Ok::<_, Error>(())
        })
    }

    /// How well a row of an earlier list matches a wanted one; `None` if it is another file, or the wanted file is already certain.
    fn compare(&self, at: usize, row: &Row) -> Option<Likeness> {
        let wanted = &self.wanted[at];
        let sure = wanted
            .found
            .is_some_and(|found| found.likeness == Likeness::Sure);
        if sure || wanted.row.size != row.size {
            return None;
        }
        let same_digest = match (wanted.row.digest, row.digest) {
            (Some(own), Some(other)) if own == other => true,
            (Some(_), Some(_)) => return None,
            _ => false,
        };
        let same_time = wanted.row.ts.is_some() && wanted.row.ts == row.ts;
        match (same_digest || same_time, wanted.row.need_copy) {
            (true, _) => Some(Likeness::Sure),
            (false, false) => Some(Likeness::Size),
            // The own folder should have it: another file of the same name does not match.
            (false, true) => None,
        }
    }

    fn take(&mut self, offer: (usize, Likeness, Option<Digest>), entry: &FileInfo, dir: u32) {
        let (at, likeness, digest) = offer;
        let wanted = &mut self.wanted[at];
        if !entry.is_regular {
            return;
        }
        let Some(framing) = Framing::of_sizes(wanted.row.size, entry.size) else {
            if wanted.listed_in == Some(dir) {
                wanted.other = Some(entry.size);
            }
            return;
        };
        if wanted.found.is_some_and(|found| found.likeness >= likeness) {
            return;
        }
        wanted.found = Some(Found {
            likeness,
            dir,
            physical: entry.size,
            framing,
            digest: wanted.row.digest.or(digest),
        });
        if likeness == Likeness::Sure {
            self.open -= 1;
        }
    }

    /// Discards the candidates from a backup whose list is damaged.
    pub(super) fn forget(&mut self, dir: u32) {
        for wanted in &mut self.wanted {
            if wanted.listed_in == Some(dir) {
                wanted.listed_in = None;
            }
            if let Some(found) = wanted.found.filter(|found| found.dir == dir) {
                self.open += usize::from(found.likeness == Likeness::Sure);
                wanted.found = None;
            }
        }
    }

    /// The files that were found and those that were not, sorted by path.
    pub(super) fn into_parts(self) -> (Vec<ResolvedFile>, Vec<Lost>) {
        let mut files = Vec::with_capacity(self.wanted.len() - self.open.min(self.wanted.len()));
        let mut lost = Vec::new();
        for wanted in self.wanted {
            let Wanted { mut row, .. } = wanted;
            match wanted.found {
                Some(found) => {
                    row.digest = found.digest;
                    files.push(ResolvedFile {
                        noted: None,
                        row,
                        dir: found.dir,
                        physical: found.physical,
                        framing: found.framing,
                    });
                }
                None => lost.push(Lost {
                    row,
                    listed_in: wanted.listed_in,
                    found: wanted.other,
                }),
            }
        }
        (files, lost)
    }
}
