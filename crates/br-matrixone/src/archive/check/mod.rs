//! Check of a backup.
//!
//! [`check`] checks everything that a restore needs, including files in earlier backups, and returns a [`CheckReport`]. Invariant: a file
//! counts as proven only if all its bytes were read and match the digest that was recorded when the backup was made.

mod metas;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;

use super::chain::{Resolution, ResolvedFile, Use};
use super::error::{Error, ErrorKind, Result};
use super::files;
use super::layout::{Archive, ArchiveBackup, TAE_LIST, TAE_SUM};
use super::parallel::{default_threads, for_each};
use super::path::join;
use super::problem::{Problem, ProblemKind, Problems};
use super::progress::{ArchiveProgress, Event};
use super::scan::{ScanError, scan};
use super::sha256::Digest;
use super::tae_sum::TaeSum;

/// How much to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckLevel {
    /// Check that all files exist and have the right sizes. Reads only lists and small files.
    Existence,
    /// Read every byte of every file.
    Full,
}

/// Options of a check.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CheckOptions {
    /// How much to check.
    pub level: CheckLevel,
    /// Number of files that are read at once. More than the number of processors helps if the archive is remote.
    pub threads: NonZeroUsize,
    /// Whether to read only files in the backup's own folder, and to check only that files in other backups exist. Use it to check all
    /// backups of a root one after the other.
    pub own_only: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            level: CheckLevel::Full,
            threads: default_threads(),
            own_only: false,
        }
    }
}

impl CheckOptions {
    /// Sets how much to check.
    #[must_use]
    pub const fn with_level(mut self, level: CheckLevel) -> Self {
        self.level = level;
        self
    }

    /// Sets how many files are read at once.
    #[must_use]
    pub const fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets whether to read only the own folder.
    #[must_use]
    pub const fn with_own_only(mut self, own_only: bool) -> Self {
        self.own_only = own_only;
        self
    }
}

/// The result of a check.
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckReport {
    /// How much was checked.
    pub level: CheckLevel,
    /// Number of files that were checked.
    pub files: u64,
    /// The bytes of content of all files of the backup, in all folders.
    pub logical_bytes: u64,
    /// The bytes in the backup's own folder below `tae/`.
    pub stored_bytes: u64,
    /// Bytes that were read, as stored.
    pub read_bytes: u64,
    /// Number of files that match a digest recorded in the archive or by an earlier reader.
    pub proven: u64,
    /// Number of files for which no digest is recorded.
    pub unproven_count: u64,
    /// These files by path below the root, with their current digests; at most 10,000. Their sizes, frames and headers were checked.
    pub unproven: BTreeMap<String, Digest>,
    /// Number of problems.
    pub problem_count: u64,
    /// The problems, sorted by path; at most 10,000.
    pub problems: Vec<Problem>,
    /// The backups that have the files, the own folder first.
    pub uses: Vec<Use>,
    /// Files below the backup's folder that do not belong to the backup; at most 1,000.
    pub strays: Vec<String>,
}

impl CheckReport {
    /// True if there are no problems.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.problem_count == 0
    }
}

/// The findings of all threads so far.
#[derive(Debug, Default)]
struct Findings {
    problems: Problems,
    files: u64,
    read_bytes: u64,
    proven: u64,
    unproven_count: u64,
    unproven: BTreeMap<String, Digest>,
}

/// A running check.
struct Check<'a> {
    archive: &'a Archive,
    backup: &'a ArchiveBackup,
    options: CheckOptions,
    progress: &'a dyn ArchiveProgress,
    found: Mutex<Findings>,
}

/// Checks one backup.
///
/// The report contains problems of the archive; they are not errors.
///
/// # Errors
/// If the storage does not answer, a list exceeds a limit, or the caller cancels.
pub fn check(
    archive: &Archive,
    backup: &ArchiveBackup,
    options: &CheckOptions,
    progress: &dyn ArchiveProgress,
) -> Result<CheckReport> {
    let check = Check {
        archive,
        backup,
        options: *options,
        progress,
        found: Mutex::default(),
    };
    let sum = check.metas()?;
    let resolution = match Resolution::of(archive, backup, progress) {
        Ok(resolution) => Some(resolution),
        // If the list is damaged, other files can still be checked.
        Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Refused) => {
            check.list_is_bad(&error);
            None
        }
        Err(error) => return Err(error),
    };
    if let Some(resolution) = &resolution {
        check.list(resolution, sum.as_ref());
        check.tae(resolution)?;
    }
    Ok(check.report(resolution))
}

impl Check<'_> {
    fn found<R>(&self, change: impl FnOnce(&mut Findings) -> R) -> R {
        // Use it even if a thread panicked: each change is complete.
        let mut found = self
            .found
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut found)
    }

    fn problem(&self, path: impl Into<String>, kind: ProblemKind, text: impl Into<String>) {
        self.found(|found| found.problems.add(Problem::new(path, kind, text)));
    }

    /// Reports a list that cannot be used.
    fn list_is_bad(&self, error: &Error) {
        let path = error
            .path()
            .map_or_else(|| self.backup.path(TAE_LIST), str::to_owned);
        self.problem(path, ProblemKind::Format, error.message());
        self.checked(TAE_LIST, false);
    }

    fn checked(&self, path: &str, good: bool) {
        self.found(|found| found.files += 1);
        let dir = &self.backup.dir;
        self.progress.event(Event::Checked { dir, path, good });
    }

    /// Checks the list as a whole.
    fn list(&self, resolution: &Resolution, sum: Option<&TaeSum>) {
        let path = self.backup.path(TAE_LIST);
        let list = &resolution.list;
        self.found(|found| {
            if list.is_proven {
                found.proven += 1;
            } else {
                found.count_unproven(&path, list.digest);
            }
        });
        for conflict in &resolution.conflicts {
            let text = format!(
                "{} is listed twice with different values",
                conflict.escape_debug()
            );
            self.problem(path.as_str(), ProblemKind::Conflict, text);
        }
        // A damaged list of another backup matters only if files are missing.
        let is_short = !resolution.missing.is_empty();
        for problem in resolution.unusable.iter().filter(|_| is_short) {
            self.found(|found| found.problems.add(problem.clone()));
        }
        for link in &resolution.irregular {
            let path = self.backup.path(&join("tae", link));
            let text = "it is a link or a device, which is not followed";
            self.problem(path, ProblemKind::Irregular, text);
        }
        for missing in &resolution.missing {
            self.found(|found| found.problems.add(missing.problem(&self.backup.dir)));
        }
        for file in resolution
            .files
            .iter()
            .filter(|file| file.row.need_copy && file.dir != 0)
        {
            let dir = resolution.dirs.get(file.dir as usize);
            let text = format!(
                "it is missing; only {} has the same file, so this backup depends on it",
                dir.map_or("another backup", String::as_str)
            );
            let path = self.backup.path(&join("tae", &file.row.path));
            self.problem(path, ProblemKind::Missing, text);
        }
        self.checked(TAE_LIST, resolution.conflicts.is_empty());
        let totals = [resolution.sum, resolution.bytes];
        if let Some(sum) = sum.filter(|sum| !totals.contains(&sum.bytes)) {
            let text = format!(
                "it says {} bytes, the list has {}",
                sum.bytes, resolution.bytes
            );
            self.problem(self.backup.path(TAE_SUM), ProblemKind::Total, text);
        }
    }

    /// Checks all files below `tae/`.
    fn tae(&self, resolution: &Resolution) -> Result<()> {
        let files = resolution.files.len() as u64;
        let bytes = resolution
            .files
            .iter()
            .fold(0u64, |sum, file| sum.saturating_add(file.row.size));
        self.progress.event(Event::Begun { files, bytes });
        for_each(
            &resolution.files,
            self.options.threads,
            self.progress,
            |file| {
                let path = resolution.path(file);
                let skip = self.options.own_only && file.dir != 0;
                let good = match self.options.level {
                    CheckLevel::Full if !skip => self.file(file, &path)?,
                    _ => true,
                };
                self.found(|found| found.files += 1);
                let dir = resolution
                    .dirs
                    .get(file.dir as usize)
                    .map_or("", String::as_str);
                let path = path
                    .strip_prefix(dir)
                    .unwrap_or(&path)
                    .trim_start_matches('/');
                self.progress.event(Event::Checked { dir, path, good });
                Ok(())
            },
        )
    }

    /// Reads one file; false if it has a problem.
    fn file(&self, file: &ResolvedFile, path: &str) -> Result<bool> {
        let bad = |kind, text: String| {
            self.problem(path, kind, text);
            Ok(false)
        };
        let from = match files::open(self.archive.folder(), path) {
            Ok(from) => from,
            Err(error) => return bad(kind_of(&error), describe(&error)),
        };
        let (row, known) = (&file.row, file.digest());
        let scanned = scan(from, file.framing, row.size, self.progress, &mut |_| Ok(()));
        let scanned = match scanned {
            Ok(scanned) => scanned,
            Err(ScanError::Bad(kind, text)) => return bad(kind, text),
            Err(ScanError::Cancelled) => return Err(Error::cancelled()),
            Err(ScanError::Sink(error)) => return bad(ProblemKind::Unreadable, error.to_string()),
        };
        self.found(|found| {
            found.read_bytes = found.read_bytes.saturating_add(file.physical);
            if scanned.fault(row.size, known, false).is_none() {
                match known {
                    Some(_) => found.proven += 1,
                    None => found.count_unproven(path, scanned.digest),
                }
            }
        });
        match scanned.fault(row.size, known, true) {
            Some((kind, text)) => bad(kind, text),
            None => Ok(true),
        }
    }

    fn report(self, resolution: Option<Resolution>) -> CheckReport {
        let found = self.found.into_inner();
        let found = found.unwrap_or_else(std::sync::PoisonError::into_inner);
        let uses = resolution
            .as_ref()
            .map(Resolution::uses)
            .unwrap_or_default();
        let own = |resolution: &Resolution| {
            let own = resolution.files.iter().filter(|file| file.dir == 0);
            own.fold(0u64, |sum, file| sum.saturating_add(file.physical))
        };
        CheckReport {
            level: self.options.level,
            files: found.files,
            logical_bytes: resolution.as_ref().map_or(0, |resolution| resolution.bytes),
            stored_bytes: resolution.as_ref().map_or(0, own),
            read_bytes: found.read_bytes,
            proven: found.proven,
            unproven_count: found.unproven_count,
            unproven: found.unproven,
            problem_count: found.problems.count(),
            problems: found.problems.into_named(),
            uses,
            strays: resolution
                .map(|resolution| resolution.strays)
                .unwrap_or_default(),
        }
    }
}

impl Findings {
    fn count_unproven(&mut self, path: &str, digest: Digest) {
        self.unproven_count += 1;
        if self.unproven.len() < Problems::NAMED {
            self.unproven.insert(path.to_owned(), digest);
        }
    }
}

/// The kind of problem for an error.
pub(crate) fn kind_of(error: &Error) -> ProblemKind {
    match error.kind() {
        ErrorKind::NotFound => ProblemKind::Missing,
        ErrorKind::Refused => ProblemKind::Irregular,
        ErrorKind::Damaged => ProblemKind::Format,
        _ => ProblemKind::Unreadable,
    }
}

/// The text of an error, with its cause.
pub(crate) fn describe(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{}: {cause}", error.message()),
        None => error.message().to_owned(),
    }
}
