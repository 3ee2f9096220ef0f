//! Resolution of a backup: finds the place of each of its files.
//!
//! [`Resolution::of`] decides for every row of a `tae_list` which backup of the root has its file: its own, or an earlier one that listed
//! the file as copied. [`Missing`] names the files that no backup has, and the backup that should have them. Invariant: no file comes from
//! a later or unfinished backup, and no file has another size than listed, or another digest if both are known.

mod candidates;
mod dependents;
mod holder;

use std::fmt;

use super::error::{Error, ErrorKind, Result};
use super::files;
use super::frame::Framing;
use super::layout::{Archive, ArchiveBackup, TAE, TAE_LIST};
use super::lists::{ListFacts, read_rows};
use super::path::join;
use super::problem::{Problem, ProblemKind};
use super::progress::ArchiveProgress;
use super::sha256::Digest;
use super::tae_list::{Row, TaeList};
use candidates::Search;
pub use dependents::{Dependent, dependents};
pub use holder::Holder;

/// A file of a backup, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolvedFile {
    /// Its row in the list. If the own list has no digest, the digest is from the backup that copied the file.
    pub row: Row,
    /// Which backup has it: an index into [`Resolution::dirs`].
    pub dir: u32,
    /// Its stored size in bytes.
    pub physical: u64,
    /// Whether it is framed; this follows from the two sizes.
    pub framing: Framing,
    /// The digest from [`Archive::with_digests`].
    pub noted: Option<Digest>,
}

impl ResolvedFile {
    /// The expected digest of its content, if one was recorded.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.row.digest.or(self.noted)
    }
}

/// A file that no backup has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// Its path below `tae/`.
    pub path: Box<str>,
    /// Bytes of its content.
    pub size: u64,
    /// The backup that should have it.
    pub holder: Holder,
    /// The size of another file of the same name that was found there.
    pub found: Option<u64>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, holder, .. } = self;
        write!(f, "{}: ", self.path.escape_debug())?;
        match self.found {
            Some(found) => write!(
                f,
                "{holder} should have it with {size} bytes, it has {found}"
            ),
            None => write!(f, "{holder} should have it with {size} bytes"),
        }
    }
}

/// The part of a backup that is in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Use {
    /// The folder of the backup, below the root.
    pub dir: String,
    /// Number of files.
    pub files: u64,
    /// Their bytes of content.
    pub bytes: u64,
}

/// The places of all files of a backup.
#[derive(Debug)]
#[non_exhaustive]
pub struct Resolution {
    /// Folders of backups below the root; the first is the chosen one's own.
    pub dirs: Vec<String>,
    /// The files that were found, sorted by path.
    pub files: Vec<ResolvedFile>,
    /// The files that were not found.
    pub missing: Vec<Missing>,
    /// The sum of all sizes in the list, as MatrixOne computes it, in bytes.
    pub sum: u64,
    /// The bytes of content of all files, each path once.
    pub bytes: u64,
    /// Paths that the list contains twice with different values.
    pub conflicts: Vec<Box<str>>,
    /// Lists of earlier backups that could not be used.
    pub unusable: Vec<Problem>,
    /// Files in the own folder below `tae/` that are in no list: leftovers of failed runs. At most 1,000 are named.
    pub strays: Vec<String>,
    /// Paths of listed files that are links or devices.
    pub irregular: Vec<String>,
    /// The facts about the own list.
    pub(crate) list: ListFacts,
}

/// The maximum number of unowned files that are named.
const STRAYS: usize = 1_000;

impl Resolution {
    /// Finds the files of a backup. Reads lists only, no file of `tae/`.
    ///
    /// # Errors
    /// If the backup's own list is damaged, breaks a rule or exceeds a limit, or the storage does not answer.
    pub fn of(
        archive: &Archive,
        backup: &ArchiveBackup,
        progress: &dyn ArchiveProgress,
    ) -> Result<Self> {
        let mut rows = Vec::new();
        let mut list = read_rows(archive.folder(), backup, archive.limits(), &mut |row| {
            rows.push(row);
            if rows.len() % 4096 == 0 && progress.is_cancelled() {
                Err(Error::cancelled())
            } else {
                Ok(())
            }
        })?;
        list.is_proven |= compare_list(archive, backup, &list)?;
        let TaeList {
            rows,
            conflicts,
            sum,
            bytes,
            ..
        } = TaeList::new(rows);
        let mut out = Self {
            dirs: vec![backup.dir.clone()],
            files: Vec::new(),
            missing: Vec::new(),
            sum,
            bytes,
            conflicts,
            unusable: Vec::new(),
            strays: Vec::new(),
            irregular: Vec::new(),
            list,
        };
        let mut search = Search::new(rows);
        out.look_at_own(archive, backup, &mut search)?;
        out.look_at_earlier(archive, backup, &mut search, progress)?;
        out.settle(archive, backup, search)?;
        Ok(out)
    }

    /// Finds the files in the backup's own folder.
    fn look_at_own(
        &mut self,
        archive: &Archive,
        backup: &ArchiveBackup,
        search: &mut Search,
    ) -> Result<()> {
        files::list(archive.folder(), &backup.path(TAE), &mut |entry| {
            let known = search.found_own(&entry);
            let path = entry.path.as_str();
            if known && !entry.is_regular {
                self.irregular.push(entry.path);
            } else if !known && !is_known_beside(path) && self.strays.len() < STRAYS {
                self.strays.push(join(TAE, path));
            }
            Ok(())
        })
    }

    /// Searches earlier backups, the latest first, until all files are found.
    fn look_at_earlier(
        &mut self,
        archive: &Archive,
        backup: &ArchiveBackup,
        search: &mut Search,
        progress: &dyn ArchiveProgress,
    ) -> Result<()> {
        for earlier in earlier(archive, backup) {
            if search.is_over() {
                break;
            }
            if progress.is_cancelled() {
                return Err(Error::cancelled());
            }
            let dir = u32::try_from(self.dirs.len()).unwrap_or(u32::MAX);
            let searched = search.look_into(archive, earlier, dir);
            match searched {
                Ok(()) => {}
                Err(error) if is_damage(&error) => {
                    search.forget(dir);
                    let path = error.path().unwrap_or(&earlier.dir).to_owned();
                    self.unusable
                        .push(Problem::new(path, ProblemKind::Format, error.message()));
                }
                Err(error) => return Err(error),
            }
            self.dirs.push(earlier.dir.clone());
        }
        Ok(())
    }

    /// Turns the result of the search into found and missing files.
    fn settle(&mut self, archive: &Archive, backup: &ArchiveBackup, search: Search) -> Result<()> {
        let (files, missing) = search.into_parts();
        self.files = files;
        let count = if archive.has_noted() {
            self.files.len()
        } else {
            0
        };
        for at in 0..count {
            self.files[at].noted = archive.noted(&self.path(&self.files[at]));
        }
        let holders = holder::Holders::new(archive, backup, &missing)?;
        self.missing = missing
            .into_iter()
            .map(|lost| {
                let named = lost.listed_in.map(|dir| self.dirs[dir as usize].clone());
                Missing {
                    holder: holders.of(&lost.row, named),
                    path: lost.row.path,
                    size: lost.row.size,
                    found: lost.found,
                }
            })
            .collect();
        Ok(())
    }

    /// The path below the root of a file.
    #[must_use]
    pub fn path(&self, file: &ResolvedFile) -> String {
        let dir = self.dirs.get(file.dir as usize).map_or("", String::as_str);
        join(&join(dir, TAE), &file.row.path)
    }

    /// The files and bytes in each folder; the own folder first, and no folder without files.
    #[must_use]
    pub fn uses(&self) -> Vec<Use> {
        let dirs = self.dirs.iter().cloned();
        let mut out: Vec<_> = dirs
            .map(|dir| Use {
                dir,
                files: 0,
                bytes: 0,
            })
            .collect();
        for file in &self.files {
            if let Some(at) = out.get_mut(file.dir as usize) {
                at.files += 1;
                at.bytes = at.bytes.saturating_add(file.row.size);
            }
        }
        out.retain(|dir| dir.files > 0);
        out
    }

    /// Fails with an error that names all missing files, if there are any.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] if files are missing.
    pub fn require_all(&self) -> Result<()> {
        let Some(first) = self.missing.first() else {
            return Ok(());
        };
        let text = format!(
            "{} of {} files are missing; the first is {first}",
            self.missing.len(),
            self.missing.len() + self.files.len()
        );
        let own = self.dirs.first().map_or("", String::as_str);
        let problems = self.missing.iter().take(super::problem::Problems::NAMED);
        let problems = problems.map(|missing| missing.problem(own)).collect();
        Err(Error::new(ErrorKind::Missing, text).with_problems(problems))
    }
}

impl Missing {
    /// Converts it to a problem of the backup in `own`.
    pub(crate) fn problem(&self, own: &str) -> Problem {
        let Self { size, holder, .. } = self;
        let dir = match holder {
            Holder::Backup(dir) | Holder::Missing { dir, .. } => dir,
            Holder::Between { .. } => own,
        };
        let path = join(&join(dir, TAE), &self.path);
        match self.found {
            Some(found) => {
                let text = format!("it has {found} bytes where the list says {size}");
                Problem::new(path, ProblemKind::Size, text)
            }
            None => {
                let text = format!("it is missing; {holder} should have it with {size} bytes");
                Problem::new(path, ProblemKind::Missing, text)
            }
        }
    }
}

/// Compares the list with the noted digest; false if there is none.
fn compare_list(archive: &Archive, backup: &ArchiveBackup, list: &ListFacts) -> Result<bool> {
    let path = backup.path(TAE_LIST);
    match archive.noted(&path) {
        Some(noted) if noted != list.digest => {
            let text = format!(
                "its SHA-256 is {}, not {noted} as recorded when it was made",
                list.digest
            );
            Err(Error::damaged(text).at(path))
        }
        noted => Ok(noted.is_some()),
    }
}

/// The complete backups that may have files of this one, the latest first. Archives without points in time have no incremental backups.
fn earlier<'a>(
    archive: &'a Archive,
    backup: &'a ArchiveBackup,
) -> impl DoubleEndedIterator<Item = &'a ArchiveBackup> {
    let all = archive.backups().iter().rev();
    all.filter(move |other| {
        let before = other
            .backup_ts
            .zip(backup.backup_ts)
            .is_some_and(|(a, b)| a <= b);
        before && other.dir != backup.dir
    })
}

/// True for errors of a list that other backups may not need.
fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Refused)
}

/// True for files below `tae/` that are in no list but belong there.
fn is_known_beside(path: &str) -> bool {
    let path = path.strip_suffix(super::sha256::SUFFIX).unwrap_or(path);
    matches!(path, "tae_list" | "tae_sum" | "file_list")
        || super::file_index::index_ts(path).is_some()
}
