//! br's catalogue file: its name, its format, and how it is changed.
//!
//! The file is JSON with the name and version of the format, the list of backups, and the SHA-256 of that
//! list without white space. Invariant: only one process at a time replaces the file, always as a whole, so
//! that a reader sees all of a change or none of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::entry::{BackupLocation, CatalogueEntry, Origin, S3BackupLocation, State};
use super::error::{CatalogueError, Result};
use crate::BackupKind;

const FORMAT: &str = "br-matrixone";
const VERSION: u32 = 1;
/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// The attempts to take the lock and the pause between them: five seconds in all.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The fields that every version of the format has.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct CatalogueV1 {
    format: String,
    version: u32,
    sha256: String,
    backups: Vec<EntryV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryV1 {
    id: Uuid,
    #[serde(with = "KindV1")]
    kind: BackupKind,
    #[serde(with = "PlaceV1")]
    place: BackupLocation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub_directory: Option<String>,
    at_time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    complete_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backup_ts: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logical_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Uuid>,
    #[serde(with = "StateV1")]
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_version: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    digests: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "BackupKind", rename_all = "snake_case")]
enum KindV1 {
    Full,
    Incremental,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "State", rename_all = "snake_case")]
enum StateV1 {
    Running,
    Complete,
    Failed,
    Deleted,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "BackupLocation", tag = "type", rename_all = "snake_case")]
enum PlaceV1 {
    #[serde(rename = "filesystem")]
    FileSystem {
        path: String,
    },
    S3(#[serde(with = "S3PlaceV1")] S3BackupLocation),
    Repository {
        url: String,
        backup: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "S3BackupLocation", deny_unknown_fields)]
struct S3PlaceV1 {
    endpoint: String,
    bucket: String,
    filepath: String,
    region: String,
    is_minio: bool,
    role_arn: Option<String>,
}

/// Reads the file. A missing file has no entries.
pub(super) fn read(path: &Path) -> Result<Vec<CatalogueEntry>> {
    let damaged = |why: &str| CatalogueError::Damaged {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", path, error)),
    };
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed("read", path, error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(damaged("it is far too long"));
    }
    let head: Head = serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
    if head.format != FORMAT {
        return Err(damaged("it is something else"));
    }
    if head.version != VERSION {
        return Err(CatalogueError::Newer {
            path: path.to_owned(),
            version: head.version,
        });
    }
    let catalogue: CatalogueV1 =
        serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
    if digest(&catalogue.backups).ok() != Some(catalogue.sha256) {
        return Err(damaged("it does not match its checksum"));
    }
    let entries = catalogue.backups.into_iter().map(EntryV1::into_entry);
    entries
        .collect::<Option<_>>()
        .ok_or_else(|| damaged("a BACKUPTS in it is none"))
}

/// A lock on the file, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    /// Locked until it is closed.
    _file: File,
}

impl Lock {
    /// Takes the lock. Waits up to five seconds for other processes.
    pub(super) fn take(path: &Path) -> Result<Self> {
        let beside = with_suffix(path, ".lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&beside);
        let file = file.map_err(|error| failed("write", &beside, error))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(fs::TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(fs::TryLockError::Error(error)) => return Err(failed("lock", &beside, error)),
            }
        }
        Err(CatalogueError::Busy(path.to_owned()))
    }

    /// Replaces the file; it is on disk when this returns.
    pub(super) fn write(&self, path: &Path, entries: &[CatalogueEntry]) -> Result<()> {
        let write = || -> io::Result<()> {
            let backups: Vec<EntryV1> = entries.iter().map(EntryV1::of).collect();
            let catalogue = CatalogueV1 {
                format: FORMAT.to_owned(),
                version: VERSION,
                sha256: digest(&backups)?,
                backups,
            };
            // The name can be fixed because this process holds the lock. It overwrites the leftover of a
            // crash.
            let new = with_suffix(path, ".new");
            let mut file = File::create(&new)?;
            serde_json::to_writer_pretty(&mut file, &catalogue)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            sync_folder(path)
        };
        write().map_err(|error| failed("write", path, error))
    }

    /// Renames a damaged file, and replaces one that was renamed earlier.
    pub(super) fn set_aside(&self, path: &Path) -> Result<PathBuf> {
        let aside = with_suffix(path, ".damaged");
        match fs::rename(path, &aside) {
            Ok(()) => Ok(aside),
            Err(error) => Err(failed("rename", path, error)),
        }
    }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(unix) {
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> CatalogueError {
    CatalogueError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

fn digest(backups: &[EntryV1]) -> io::Result<String> {
    Ok(super::hex(&Sha256::digest(serde_json::to_vec(backups)?)))
}

impl EntryV1 {
    fn of(entry: &CatalogueEntry) -> Self {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            id: entry.id,
            kind: entry.kind,
            place: entry.place.clone(),
            sub_directory: entry.sub_directory.clone(),
            at_time: entry.at_time,
            duration_ns: entry.duration.map(nanos),
            complete_time: entry.complete_time,
            backup_ts: entry.backup_ts.map(|ts| ts.to_string()),
            logical_size: entry.logical_size,
            stored_size: entry.stored_size,
            base: entry.base,
            state: entry.state,
            server_version: entry.server_version.clone(),
            digests: entry
                .digests
                .iter()
                .map(|(path, digest)| (path.clone(), digest.to_string()))
                .collect(),
        }
    }

    fn into_entry(self) -> Option<CatalogueEntry> {
        let backup_ts = match self.backup_ts {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        let digests = self.digests.into_iter();
        let digests = digests.map(|(path, digest)| Some((path, digest.parse().ok()?)));
        Some(CatalogueEntry {
            id: self.id,
            kind: self.kind,
            place: self.place,
            sub_directory: self.sub_directory,
            at_time: self.at_time,
            duration: self.duration_ns.map(Duration::from_nanos),
            complete_time: self.complete_time,
            backup_ts,
            logical_size: self.logical_size,
            stored_size: self.stored_size,
            base: self.base,
            state: self.state,
            server_version: self.server_version,
            digests: digests.collect::<Option<_>>()?,
            origin: Origin::Own,
        })
    }
}
