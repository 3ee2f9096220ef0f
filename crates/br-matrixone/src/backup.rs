//! Taking a backup: from a statement to a backup in the catalogue.
//!
//! [`backup`] does it, [`BackupOptions`] say how. Invariant: a backup is noted as begun before the server is asked for it, and as complete
//! only after all its files were read and found right; whatever ends in between is noted as failed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::archive::{self, Archive, CheckOptions, CheckReport, Digest, Limits, Problem, check};
use super::catalog::{Catalog, CatalogError, Entry, Place, State};
use super::client::{Client, ClientError, ConnectOptions};
use super::sql::{BackupRequest, BackupTarget, Extent, S3Keys, S3Target, StatementError};
use super::{BackupKind, BackupTs};

/// So many digests of files that have none in the archive are noted: MatrixOne leaves a handful without.
const DIGESTS: usize = 250;
/// How the names of locks end.
const LOCK: &str = ".lock";

/// How a backup is taken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// The id it gets.
    pub id: Uuid,
    /// The root that the server writes it below.
    pub place: Place,
    /// The keys that the server uses for a bucket; its own when there are none.
    pub keys: Option<S3Keys>,
    /// How many files the server copies at once; it chooses when `None`.
    pub parallelism: Option<u16>,
    /// The backup that an incremental one builds on.
    pub base: Option<Entry>,
}

impl BackupOptions {
    /// A full backup.
    #[must_use]
    pub const fn new(id: Uuid, place: Place) -> Self {
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

    /// Makes it an incremental backup.
    #[must_use]
    pub fn with_base(mut self, base: Option<Entry>) -> Self {
        self.base = base;
        self
    }

    fn kind(&self) -> BackupKind {
        match self.base {
            Some(_) => BackupKind::Incremental,
            None => BackupKind::Full,
        }
    }

    /// The folder of this backup below the root.
    fn directory(&self) -> String {
        format!("{}-{}", self.kind(), self.id)
    }
}

/// Makes an id of a moment, in milliseconds since 1970, and random bytes: a UUIDv7, as the original tool gives them.
#[must_use]
pub fn new_id(unix_millis: u64, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid()
}

/// A backup that was taken.
#[derive(Debug)]
#[non_exhaustive]
pub struct BackupReport {
    /// What the catalogue has of it.
    pub entry: Entry,
    /// What reading all its files found.
    pub check: CheckReport,
}

/// Why a backup could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The server did not do it, or it is unknown whether it did.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It cannot be said in a statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The catalogue cannot be read or changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// What the server wrote cannot be read.
    #[error("the server calls the backup finished, but it cannot be read")]
    Archive(#[source] archive::Error),
    /// What the server wrote is not whole.
    #[error("the server calls the backup finished, but {count} of its files are missing or damaged: {}", first(.problems))]
    Unsound {
        /// The first of them.
        problems: Vec<Problem>,
        /// How many there are.
        count: u64,
    },
    /// The base cannot be one.
    #[error("{0}")]
    Base(String),
    /// Another backup of this cluster runs: it has one slot that keeps its garbage collection away.
    #[error("another backup of this cluster runs on this machine: wait for its end")]
    Busy,
    /// The lock cannot be taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system says.
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

/// What a backup needs besides its options.
pub struct BackupContext<'a> {
    /// Where it is noted.
    pub catalog: &'a Catalog,
    /// What time it is.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// Is told how far reading the files is.
    pub progress: Arc<dyn archive::Progress + Send>,
    /// Cancels it.
    pub cancel: &'a CancellationToken,
}

impl std::fmt::Debug for BackupContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupContext")
            .field("catalog", &self.catalog.path())
            .finish_non_exhaustive()
    }
}

/// Lets the server take a backup below `root`, which is where `options.place` lies as seen from here, and reads all of it.
///
/// # Errors
/// When the server cannot be reached or refuses, when it is cancelled, and when what it wrote is not whole. Unless the server was never
/// asked, the catalogue has the backup as failed then; its files stay until they are deleted.
pub async fn backup(
    server: &ConnectOptions,
    lock_name: &str,
    root: archive::Folder,
    options: &BackupOptions,
    context: &BackupContext<'_>,
) -> Result<BackupReport, BackupError> {
    let BackupContext {
        catalog,
        clock,
        progress,
        cancel,
    } = context;
    let base = options.base.as_ref();
    let extent = match base {
        None => Extent::Full,
        Some(base) => Extent::Since(check_base(base, &options.place)?),
    };
    let _lock = lock(catalog, lock_name)?;
    let mut client = Client::connect(server).await?;
    let request = BackupRequest {
        label: options.id.to_string(),
        target: target(options),
        parallelism: options.parallelism,
        extent,
    };
    let statement = request.statement(client.version())?;
    let mut entry = Entry::new(options.id, options.kind(), options.place.clone(), clock());
    entry.sub_directory = Some(options.directory());
    entry.base = base.map(|base| base.id);
    entry.server_version = Some(client.version().to_string());
    let begun = entry.at_time;
    catalog.add(entry)?;
    let done = async {
        client.backup(&statement, cancel).await?;
        client.close().await;
        let noted = noted(catalog, &options.place)?;
        verify(root, options.directory(), noted, Arc::clone(progress)).await
    };
    match done.await {
        Ok((found, check)) => {
            let now = clock();
            let entry = catalog.update(options.id, |entry| {
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
            // The first error is the one to tell.
            drop(catalog.update(options.id, |entry| entry.state = State::Failed));
            Err(error)
        }
    }
}

/// The moment that an incremental backup starts from.
fn check_base(base: &Entry, place: &Place) -> Result<BackupTs, BackupError> {
    let id = base.id;
    if base.state != State::Complete {
        let text = format!("{id} is {} and cannot be a base", base.state);
        return Err(BackupError::Base(text));
    }
    let in_repository = matches!(base.place, Place::Repository { .. });
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

/// Where the server is to write: below the root, in a folder of this backup.
fn target(options: &BackupOptions) -> BackupTarget {
    let directory = options.directory();
    let below = |root: &str| match root.trim_end_matches('/') {
        "" if root.is_empty() => directory.clone(),
        root => format!("{root}/{directory}"),
    };
    match &options.place {
        Place::S3(place) => BackupTarget::S3(S3Target {
            endpoint: place.endpoint.clone(),
            bucket: place.bucket.clone(),
            filepath: below(&place.filepath),
            region: place.region.clone(),
            role_arn: place.role_arn.clone(),
            is_minio: place.is_minio,
            keys: options.keys.clone(),
        }),
        Place::FileSystem { path } | Place::Repository { url: path, .. } => {
            BackupTarget::FileSystem { path: below(path) }
        }
    }
}

/// What is known of files below the root that the server leaves without a digest: the new backup may share them.
fn noted(catalog: &Catalog, place: &Place) -> Result<BTreeMap<String, Digest>, CatalogError> {
    let entries = catalog.list()?.entries.into_iter();
    let there = entries.filter(|entry| entry.place.is_same(place));
    Ok(there.flat_map(|entry| entry.digests).collect())
}

/// Reads everything that the server wrote, and the moment that it holds.
async fn verify(
    root: archive::Folder,
    directory: String,
    noted: BTreeMap<String, Digest>,
    progress: Arc<dyn archive::Progress + Send>,
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

/// Held as long as a backup of the cluster runs.
fn lock(catalog: &Catalog, name: &str) -> Result<File, BackupError> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let mut path = catalog.path().as_os_str().to_owned();
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

/// Whether a process of this machine takes a backup that comes into this catalogue, of whatever cluster.
#[must_use]
pub fn is_running(catalog: &Catalog) -> bool {
    let path = catalog.path();
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let items = std::fs::read_dir(folder.unwrap_or_else(|| ".".as_ref()));
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    items.into_iter().flatten().flatten().any(|item| {
        let name = item.file_name();
        let name = name.to_string_lossy();
        // The lock of the catalogue itself has no name of a server.
        let server = name.strip_prefix(&*own);
        let server = server.and_then(|rest| rest.strip_suffix(LOCK));
        let is_held =
            |file: File| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock));
        server.is_some_and(|server| server.len() > 1) && File::open(item.path()).is_ok_and(is_held)
    })
}
