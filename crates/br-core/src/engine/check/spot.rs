//! Comparison of a random part of the source with its newest backup.
//!
//! A check of the repository finds data that was damaged there. [`spot`] finds what a check cannot find: files that a backup should have and does not
//! have, and files whose content differs from that in the backup although nothing says that they changed. [`SpotOptions`] says how many files br
//! compares, [`SpotReport`] has the result. Invariant: a file that changed after the backup began is no problem.

use std::iter::Peekable;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::engine::backup::{BackupOptions, FileDigest, newest_of};
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Backup, Content, Entry, EntryKind, EntryPath, FileContent};
use crate::progress::{Context, Event};
use crate::repository::{Io, Repository, TreeReader};
use crate::source::{ContentReader, Details, Source, SourceItem};

/// Times of files may be rounded, and may be behind the clock.
const SLACK: SignedDuration = SignedDuration::from_secs(2);
/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;

/// How a spot check works.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SpotOptions {
    /// Name of the machine whose backup is compared.
    pub host: String,
    /// The paths as typed for the backup.
    pub paths: Vec<Vec<u8>>,
    /// The folder that relative paths start from.
    pub folder: Vec<u8>,
    /// How many files are compared.
    pub sample: Sample,
    /// The number of files that may be missing in the backup.
    pub max_missing: u64,
    /// The number of files that may differ from the backup.
    pub max_different: u64,
}

/// How many files a spot check compares.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Sample {
    /// About this part of all files, and at least about [`SpotOptions::MIN_FILES`] files.
    Fraction(f64),
    /// About this number of files; all if there are not more.
    Files(u64),
}

impl SpotOptions {
    /// The number of files that every spot check compares, approximately.
    pub const MIN_FILES: u64 = 20;

    /// Compares about 1,000 files with the newest backup of a host and of these paths.
    #[must_use]
    pub fn new(host: impl Into<String>, paths: Vec<Vec<u8>>) -> Self {
        Self {
            host: host.into(),
            paths,
            folder: Vec::new(),
            sample: Sample::Files(1000),
            max_missing: 0,
            max_different: 0,
        }
    }

    /// Sets the folder that relative paths start from.
    #[must_use]
    pub fn with_folder(mut self, folder: Vec<u8>) -> Self {
        self.folder = folder;
        self
    }

    /// Sets how many files are compared.
    #[must_use]
    pub const fn with_sample(mut self, sample: Sample) -> Self {
        self.sample = sample;
        self
    }

    /// Sets how many files may be missing in the backup.
    #[must_use]
    pub const fn with_max_missing(mut self, files: u64) -> Self {
        self.max_missing = files;
        self
    }

    /// Sets how many files may differ from the backup.
    #[must_use]
    pub const fn with_max_different(mut self, files: u64) -> Self {
        self.max_different = files;
        self
    }

    /// The probability with which a file is compared, by the number of files in the backup.
    fn probability(&self, files: u64) -> f64 {
        let all = files.max(1) as f64;
        let least = Self::MIN_FILES as f64 / all;
        match self.sample {
            Sample::Fraction(share) => share.max(least),
            Sample::Files(many) => many as f64 / all,
        }
    }
}

/// The result of a spot check.
#[derive(Debug, Clone, Serialize)]
#[must_use = "it says whether the backup has the files"]
#[non_exhaustive]
pub struct SpotReport {
    /// The backup that was compared.
    pub backup: Backup,
    /// The files of the source.
    pub files: u64,
    /// The files of the source that were chosen. Each of them counts once below.
    pub sampled: u64,
    /// Files that are equal in the backup.
    pub same: u64,
    /// Files that changed after the backup began, or are newer than it.
    pub changed_since: u64,
    /// Files of which the backup has no sum, because of very large holes: only size and time are equal.
    pub not_compared: u64,
    /// Files that the backup does not have although they are older.
    pub missing: SpotFiles,
    /// Files that differ from the backup although nothing says that they changed after it.
    pub different: SpotFiles,
    /// Files and folders of the source that could not be read. Folders count even if no file was chosen in them.
    pub unreadable: SpotFiles,
    /// Bytes read from the source.
    pub bytes_read: u64,
    max_missing: u64,
    max_different: u64,
}

/// Files of one kind.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct SpotFiles {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<SpotFile>,
}

/// A file that a spot check names.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SpotFile {
    /// Its path in the backup.
    pub path: EntryPath,
    /// What was found.
    pub reason: String,
}

impl SpotFiles {
    /// The number of files that a report names.
    pub const MAX_NAMED: usize = 1_000;

    fn add(&mut self, path: &EntryPath, reason: impl Into<String>) {
        self.count += 1;
        if self.first.len() < Self::MAX_NAMED {
            self.first.push(SpotFile {
                path: path.clone(),
                reason: reason.into(),
            });
        }
    }
}

impl SpotReport {
    /// True when no more files are missing or different than the options allow.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.missing.count <= self.max_missing && self.different.count <= self.max_different
    }
}

/// Compares a random part of a source with the newest backup of the same host and paths. The source must leave out the same files as the source
/// of the backup did. It is walked completely, but only the chosen files are read; nothing is written.
///
/// # Errors
/// [`ErrorKind::NoBackup`] when there is no such backup. [`ErrorKind::Damaged`] when the tree of the backup cannot be read. When the store does
/// not answer.
pub async fn spot(
    repository: &Repository,
    source: impl Source + 'static,
    options: &SpotOptions,
    context: &Context,
) -> Result<SpotReport> {
    let options = options.clone();
    let work = move |io: &Io| run(io, Box::new(source), &options);
    repository.run(context, work).await
}

fn run(io: &Io, mut source: Box<dyn Source>, options: &SpotOptions) -> Result<SpotReport> {
    let view = View::open(io)?;
    let wanted = BackupOptions::new(&*options.host, "", options.paths.clone())
        .with_folder(options.folder.clone());
    let Some(backup) = newest_of(&view.position, &wanted) else {
        let message = format!(
            "there is no backup of these paths on host `{}`",
            options.host
        );
        return Err(Error::new(ErrorKind::NoBackup, message));
    };
    let probability = options.probability(backup.totals.files);
    let mut spot = Spot {
        io,
        entries: TreeReader::new(&view.reader, &backup).peekable(),
        older_than: backup.started.checked_sub(SLACK).unwrap_or(Timestamp::MIN),
        new_folder: None,
        report: SpotReport {
            backup,
            files: 0,
            sampled: 0,
            same: 0,
            changed_since: 0,
            not_compared: 0,
            missing: SpotFiles::default(),
            different: SpotFiles::default(),
            unreadable: SpotFiles::default(),
            bytes_read: 0,
            max_missing: options.max_missing,
            max_different: options.max_different,
        },
    };
    while let Some(item) = source.next() {
        io.check_cancelled()?;
        match item {
            SourceItem::Entry { entry, details } => {
                let stored = spot.stored(&entry.path)?;
                if !matches!(entry.kind, EntryKind::File(_)) {
                    spot.note_folder(&entry, stored.is_some());
                    continue;
                }
                spot.report.files += 1;
                if is_chosen(io, probability) {
                    spot.compare(entry, details, stored);
                }
            }
            SourceItem::Unreadable { path, error } => {
                spot.report.unreadable.add(&path, error.to_string());
            }
            SourceItem::Warning(warning) => io.warn(&warning),
            // The output of a program differs each time.
            SourceItem::Folder { .. } | SourceItem::Note(_) | SourceItem::LeftOut { .. } => {}
        }
    }
    Ok(spot.report)
}

fn is_chosen(io: &Io, probability: f64) -> bool {
    let random = u64::from_le_bytes(io.context.runtime.bytes());
    // 53 bits are exact in a floating-point number.
    let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
    share < probability
}

struct Spot<'a> {
    io: &'a Io,
    entries: Peekable<TreeReader>,
    /// What changed before this time was in the source when the backup began.
    older_than: Timestamp,
    /// A folder that is newer than the backup: everything in it may be moved there.
    new_folder: Option<EntryPath>,
    report: SpotReport,
}

impl Spot<'_> {
    /// The entry of the backup at a path. Paths must ascend.
    fn stored(&mut self, path: &EntryPath) -> Result<Option<Entry>> {
        loop {
            match self.entries.peek() {
                Some(Ok(entry)) if entry.path > *path => return Ok(None),
                Some(Ok(entry)) if entry.path == *path => {
                    return Ok(self.entries.next().and_then(Result::ok));
                }
                Some(Ok(_)) => drop(self.entries.next()),
                None => return Ok(None),
                Some(Err(_)) => {
                    let gap = self.entries.next().and_then(Result::err);
                    return gap.map_or(Ok(None), |gap| Err(gap.error));
                }
            }
        }
    }

    /// Remembers a folder that was moved to its place after the backup: the times of the files in it do not show that.
    fn note_folder(&mut self, entry: &Entry, is_stored: bool) {
        if !is_stored && !self.is_in_new_folder(&entry.path) && self.is_newer(entry) {
            self.new_folder = Some(entry.path.clone());
        }
    }

    fn is_in_new_folder(&self, path: &EntryPath) -> bool {
        let folder = self.new_folder.as_ref();
        folder.is_some_and(|folder| path.is_within(folder))
    }

    /// True when the entry changed after the backup began, or when that cannot be known.
    fn is_newer(&self, entry: &Entry) -> bool {
        let limit = &self.older_than;
        let limit = (limit.as_second(), limit.subsec_nanosecond().unsigned_abs());
        entry.ctime == crate::model::FileTime::UNKNOWN
            || (entry.ctime.secs, entry.ctime.nanos) >= limit
    }

    /// Compares a chosen file.
    fn compare(&mut self, mut entry: Entry, details: Box<dyn Details>, stored: Option<Entry>) {
        self.report.sampled += 1;
        let path = entry.path.clone();
        let Some(stored) = stored else {
            if self.is_newer(&entry) || self.is_in_new_folder(&path) {
                self.report.changed_since += 1;
            } else {
                let reason = "the backup does not have it, although it is older than the backup";
                self.report.missing.add(&path, reason);
            }
            return;
        };
        let EntryKind::File(known) = &stored.kind else {
            let reason = format!("it is a {} in the backup", stored.kind.name());
            return self.differs(&entry, &reason);
        };
        if known.torn {
            // The backup says itself that the file changed meanwhile.
            self.report.changed_since += 1;
            return;
        }
        if let Some(reason) = other_version(&entry, &stored) {
            return self.differs(&entry, &reason);
        }
        let mut reader = match details.open(&mut entry) {
            Ok(reader) => reader,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.report.changed_since += 1;
                return;
            }
            Err(error) => return self.report.unreadable.add(&path, error.to_string()),
        };
        // The file may have changed since the walk.
        if let Some(reason) = other_version(&entry, &stored) {
            return self.differs(&entry, &reason);
        }
        let EntryKind::File(found) = &entry.kind else {
            return self.differs(&entry, "it is no file any more");
        };
        let Some(expected) = sum_of(known) else {
            self.report.not_compared += 1;
            return;
        };
        match self.sum(found, &mut *reader) {
            Ok(Some(sum)) if sum == expected => self.report.same += 1,
            Ok(Some(_)) => {
                let reason = "its content differs from the backup, with the same size and time";
                self.report.different.add(&path, reason);
            }
            Ok(None) => self.report.changed_since += 1,
            Err(error) => self.report.unreadable.add(&path, error.to_string()),
        }
    }

    /// Counts a file that is another version than the one in the backup.
    fn differs(&mut self, entry: &Entry, reason: &str) {
        if self.is_newer(entry) {
            self.report.changed_since += 1;
        } else {
            let reason = format!("{reason}, although it did not change after the backup began");
            self.report.different.add(&entry.path, reason);
        }
    }

    /// SHA-256 of a file; `None` if it changed while it was read.
    fn sum(
        &mut self,
        found: &FileContent,
        reader: &mut dyn ContentReader,
    ) -> std::io::Result<Option<[u8; 32]>> {
        let mut digest = FileDigest::new(found);
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = reader.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            digest.update(&buffer[..read]);
            self.report.bytes_read += read as u64;
            let (bytes, entries) = (read as u64, 0);
            self.io
                .context
                .progress
                .event(Event::Advance { bytes, entries });
            if self.io.context.cancel.is_cancelled() {
                // The next entry ends the operation.
                return Ok(None);
            }
        }
        Ok(reader.finish()?.then(|| digest.finish()))
    }
}

/// Why a file is another version than the one in the backup.
fn other_version(entry: &Entry, stored: &Entry) -> Option<String> {
    let (size, known) = (entry.size(), stored.size());
    if size != known {
        return Some(format!("it has {size} bytes, and {known} in the backup"));
    }
    (entry.mtime != stored.mtime).then(|| "it has another time than in the backup".to_owned())
}

/// SHA-256 of a file in the backup. Files that are stored in their entry have no sum there.
fn sum_of(file: &FileContent) -> Option<[u8; 32]> {
    match &file.content {
        Content::Inline(bytes) => {
            let mut digest = FileDigest::new(file);
            digest.update(bytes);
            Some(digest.finish())
        }
        Content::Chunks(_) => file.sha256,
    }
}
