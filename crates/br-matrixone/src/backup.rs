//! Backups: from the statement to the entry in the catalogue.
//!
//! [`backup`] takes a backup, [`BackupOptions`] has its options. Invariant: the catalogue records a backup as
//! running before the server gets the statement, and as complete only after all its files were read and
//! verified. If the backup ends before that, the catalogue records it as failed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::archive::{self, Archive, CheckOptions, CheckReport, Digest, Limits, Problem, check};
use super::catalogue::{BackupLocation, Catalogue, CatalogueEntry, CatalogueError, State};
use super::client::{Client, ClientError, ConnectOptions};
use super::sql::{BackupRequest, BackupTarget, Extent, S3Keys, S3Target, StatementError};
use super::{BackupKind, BackupTs};

/// The maximum number of recorded digests of files for which the archive has none. MatrixOne leaves out the
/// digests of a few files.
const DIGESTS: usize = 250;
/// The suffix of lock files.
const LOCK: &str = ".lock";

/// The options of a backup.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// The backup's id.
    pub id: Uuid,
    /// The archive root below which the server writes the backup.
    pub place: BackupLocation,
    /// The keys with which the server accesses a bucket; `None` for the server's own.
    pub keys: Option<S3Keys>,
    /// How many files the server copies at once; `None` lets the server choose.
    pub parallelism: Option<u16>,
    /// The base of an incremental backup.
    pub base: Option<CatalogueEntry>,
}

impl BackupOptions {
    /// Makes the options of a full backup.
    #[must_use]
    pub const fn new(id: Uuid, place: BackupLocation) -> Self {
        Self {
            id,
            place,
            keys: None,
            parallelism: None,
            base: None,
        }
    }

    /// Sets the keys that the server uses.
    #[must_use]
    pub fn with_keys(mut self, keys: Option<S3Keys>) -> Self {
        self.keys = keys;
        self
    }

    /// Sets how many files the server copies at once.
    #[must_use]
    pub const fn with_parallelism(mut self, parallelism: Option<u16>) -> Self {
        self.parallelism = parallelism;
        self
    }

    /// Makes the backup incremental with this base.
    #[must_use]
    pub fn with_base(mut self, base: Option<CatalogueEntry>) -> Self {
        self.base = base;
        self
    }

    fn kind(&self) -> BackupKind {
        match self.base {
            Some(_) => BackupKind::Incremental,
            None => BackupKind::Full,
        }
    }

    /// Returns the folder of this backup below the root.
    fn directory(&self) -> String {
        format!("{}-{}", self.kind(), self.id)
    }
}

/// Makes an id from a time, in milliseconds since 1970, and random bytes: a UUIDv7, as in `mo_br`.
#[must_use]
pub fn new_id(unix_millis: u64, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid()
}

/// The result of a backup.
#[derive(Debug)]
#[non_exhaustive]
pub struct BackupReport {
    /// The entry in the catalogue.
    pub entry: CatalogueEntry,
    /// The result of reading all files.
    pub check: CheckReport,
}

/// Why a backup could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The server did not take the backup, or it is unknown whether it did.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The request cannot be written as a statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The catalogue cannot be read or changed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The files that the server wrote cannot be read.
    #[error("the server reports the backup as finished, but it cannot be read")]
    Archive(#[source] archive::Error),
    /// Files that the server wrote are missing or damaged.
    #[error("the server reports the backup as finished, but {count} of its files are missing or damaged: {}", first(.problems))]
    Unsound {
        /// The first problems.
        problems: Vec<Problem>,
        /// The number of problems.
        count: u64,
    },
    /// The backup cannot be used as a base.
    #[error("{0}")]
    Base(String),
    /// Another backup of this cluster runs. The cluster can delay its garbage collection for one backup only.
    #[error("another backup of this cluster runs on this machine: wait for its end")]
    Busy,
    /// The lock cannot be taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

fn first(problems: &[Problem]) -> String {
    problems
        .first()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// The environment of a backup.
pub struct BackupContext<'a> {
    /// The catalogue that records the backup.
    pub catalogue: &'a Catalogue,
    /// The clock.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// Receives the progress of reading the files.
    pub progress: Arc<dyn archive::ArchiveProgress + Send>,
    /// Cancels the backup.
    pub cancel: &'a CancellationToken,
}

impl std::fmt::Debug for BackupContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupContext")
            .field("catalogue", &self.catalogue.path())
            .finish_non_exhaustive()
    }
}

/// Makes the server take a backup below `root`, which is the path of `options.place` on this machine, and
/// reads all its files.
///
/// # Errors
/// If the server cannot be reached or refuses, if the backup is cancelled, or if its files are incomplete. If
/// the server was sent the statement, the catalogue records the backup as failed; its files stay until they
/// are deleted.
pub async fn backup(
    server: &ConnectOptions,
    lock_name: &str,
    root: archive::Folder,
    options: &BackupOptions,
    context: &BackupContext<'_>,
) -> Result<BackupReport, BackupError> {
    let BackupContext {
        catalogue,
        clock,
        progress,
        cancel,
    } = context;
    let base = options.base.as_ref();
    let extent = match base {
        None => Extent::Full,
        Some(base) => Extent::Since(check_base(base, &options.place)?),
    };
    let _lock = lock(catalogue, lock_name)?;
    let mut client = Client::connect(server).await?;
    let request = BackupRequest {
        label: options.id.to_string(),
        target: target(options),
        parallelism: options.parallelism,
        extent,
    };
    let statement = request.statement(client.version())?;
    let mut entry = CatalogueEntry::new(options.id, options.kind(), options.place.clone(), clock());
    entry.sub_directory = Some(options.directory());
    entry.base = base.map(|base| base.id);
    entry.server_version = Some(client.version().to_string());
    let begun = entry.at_time;
    catalogue.add(entry)?;
    let done = async {
        client.backup(&statement, cancel).await?;
        client.close().await;
        let noted = noted(catalogue, &options.place)?;
        verify(root, options.directory(), noted, Arc::clone(progress)).await
    };
    match done.await {
        Ok((found, check)) => {
            let now = clock();
            let entry = catalogue.update(options.id, |entry| {
                entry.state = State::Complete;
                entry.complete_time = Some(now);
                entry.duration = now.duration_since(begun).try_into().ok();
                entry.backup_ts = found;
                entry.logical_size = Some(check.logical_bytes);
                entry.stored_size = Some(check.stored_bytes);
                entry.digests = check.unproven.clone().into_iter().take(DIGESTS).collect();
            })?;
            Ok(BackupReport { entry, check })
        }
        Err(error) => {
            // The first error is the one to report.
            drop(catalogue.update(options.id, |entry| entry.state = State::Failed));
            Err(error)
        }
    }
}

/// Returns the time stamp from which an incremental backup starts.
fn check_base(base: &CatalogueEntry, place: &BackupLocation) -> Result<BackupTs, BackupError> {
    let id = base.id;
    if base.state != State::Complete {
        let text = format!("{id} is {} and cannot be a base", base.state);
        return Err(BackupError::Base(text));
    }
    let in_repository = matches!(base.place, BackupLocation::Repository { .. });
    if !in_repository && !base.place.is_same(place) {
        let text = format!(
            "{id} lies elsewhere ({}): an incremental backup must lie below the same root as its base",
            base.place
        );
        return Err(BackupError::Base(text));
    }
    base.backup_ts.ok_or_else(|| {
        let text =
            format!("it is not known which moment of the cluster {id} holds: make a full backup");
        BackupError::Base(text)
    })
}

/// Returns where the server must write: below the root, in the folder of this backup.
fn target(options: &BackupOptions) -> BackupTarget {
    let directory = options.directory();
    let below = |root: &str| match root.trim_end_matches('/') {
        "" if root.is_empty() => directory.clone(),
        root => format!("{root}/{directory}"),
    };
    match &options.place {
        BackupLocation::S3(place) => BackupTarget::S3(S3Target {
            endpoint: place.endpoint.clone(),
            bucket: place.bucket.clone(),
            filepath: below(&place.filepath),
            region: place.region.clone(),
            role_arn: place.role_arn.clone(),
            is_minio: place.is_minio,
            keys: options.keys.clone(),
        }),
        BackupLocation::FileSystem { path } | BackupLocation::Repository { url: path, .. } => {
            BackupTarget::FileSystem { path: below(path) }
        }
    }
}

/// Returns the recorded digests of files below the root for which the server writes none. The new backup may
/// share these files.
fn noted(
    catalogue: &Catalogue,
    place: &BackupLocation,
) -> Result<BTreeMap<String, Digest>, CatalogueError> {
    let entries = catalogue.list()?.entries.into_iter();
    let there = entries.filter(|entry| entry.place.is_same(place));
    Ok(there.flat_map(|entry| entry.digests).collect())
}

/// Reads all files of the backup and its time stamp.
async fn verify(
    root: archive::Folder,
    directory: String,
    noted: BTreeMap<String, Digest>,
    progress: Arc<dyn archive::ArchiveProgress + Send>,
) -> Result<(Option<BackupTs>, CheckReport), BackupError> {
    let work = move || {
        let archive = Archive::open(&root, &Limits::default())?.with_digests(noted);
        let backup = archive.find(&directory)?;
        let report = check(&archive, backup, &CheckOptions::default(), &*progress)?;
        Ok((backup.backup_ts, report))
    };
    let (found, report) = tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| archive::Error::new(archive::ErrorKind::Io, error.to_string()))
        .and_then(|result| result)
        .map_err(BackupError::Archive)?;
    if report.is_good() {
        return Ok((found, report));
    }
    Err(BackupError::Unsound {
        count: report.problem_count,
        problems: report.problems,
    })
}

/// Takes the lock that is held while a backup of the cluster runs.
fn lock(catalogue: &Catalogue, name: &str) -> Result<File, BackupError> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let mut path = catalogue.path().as_os_str().to_owned();
    path.push(format!(".{name}{LOCK}"));
    let path = PathBuf::from(path);
    let failed = |source| BackupError::Lock {
        path: path.clone(),
        source,
    };
    let mut options = File::options();
    let file = options.create(true).append(true).open(&path);
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(BackupError::Busy),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Returns whether a process on this machine is taking a backup of any cluster that this catalogue will
/// record.
#[must_use]
pub fn is_running(catalogue: &Catalogue) -> bool {
    let path = catalogue.path();
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let items = std::fs::read_dir(folder.unwrap_or_else(|| ".".as_ref()));
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    items.into_iter().flatten().flatten().any(|item| {
        let name = item.file_name();
        let name = name.to_string_lossy();
        // The lock of the catalogue has no server name.
        let server = name.strip_prefix(&*own);
        let server = server.and_then(|rest| rest.strip_suffix(LOCK));
        let is_held =
            |file: File| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock));
        server.is_some_and(|server| server.len() > 1) && File::open(item.path()).is_ok_and(is_held)
    })
}
