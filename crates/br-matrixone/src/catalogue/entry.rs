//! One backup in the catalogue.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::archive::{ArchiveBackup, Digest};
use crate::{BackupKind, BackupTs};

/// An entry of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogueEntry {
    /// The backup's id.
    pub id: Uuid,
    /// Whether the backup needs earlier ones.
    pub kind: BackupKind,
    /// Where the backup is. Contains no keys.
    pub place: BackupLocation,
    /// The backup's folder in that place, such as `full-01942b54-…`; `None` if its files are directly in the
    /// place.
    pub sub_directory: Option<String>,
    /// The start time.
    pub at_time: Timestamp,
    /// The duration.
    pub duration: Option<Duration>,
    /// The end time.
    pub complete_time: Option<Timestamp>,
    /// The time stamp of the cluster up to which the backup is complete.
    pub backup_ts: Option<BackupTs>,
    /// The bytes of all files that a restore would write.
    pub logical_size: Option<u64>,
    /// The bytes that were stored for the backup, without files in earlier backups.
    pub stored_size: Option<u64>,
    /// The base of the backup.
    pub base: Option<Uuid>,
    /// The state of the backup.
    pub state: State,
    /// The version of the server, as the server reports it.
    pub server_version: Option<String>,
    /// Digests of files for which the archive has none, by path below the root, computed when the backup was
    /// found complete.
    pub digests: BTreeMap<String, Digest>,
    /// The program that recorded the backup.
    pub origin: Origin,
}

/// Where a backup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupLocation {
    /// In a folder.
    FileSystem {
        /// The folder that was given as `--path`.
        path: String,
    },
    /// In a bucket.
    S3(S3BackupLocation),
    /// In a repository of br.
    Repository {
        /// The repository's URL or path.
        url: String,
        /// The id of the backup in it.
        backup: String,
    },
}

/// A place in a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3BackupLocation {
    /// URL of the service.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The folder that was given as `--filepath`.
    pub filepath: String,
    /// The region; empty where there is none.
    pub region: String,
    /// Whether it is MinIO.
    pub is_minio: bool,
    /// The role that was assumed.
    pub role_arn: Option<String>,
}

/// The state of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The backup has started. Its process may have ended.
    Running,
    /// The backup has finished and was verified.
    Complete,
    /// The backup did not finish. Its files cannot be used.
    Failed,
    /// The backup's files were removed.
    Deleted,
}

/// The program that recorded a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This program.
    Own,
    /// The original tool, in its own file.
    MoBr,
}

impl CatalogueEntry {
    /// Makes the entry of a backup that has just started.
    #[must_use]
    pub fn new(id: Uuid, kind: BackupKind, place: BackupLocation, at_time: Timestamp) -> Self {
        Self {
            id,
            kind,
            place,
            sub_directory: None,
            at_time,
            duration: None,
            complete_time: None,
            backup_ts: None,
            logical_size: None,
            stored_size: None,
            base: None,
            state: State::Running,
            server_version: None,
            digests: BTreeMap::new(),
            origin: Origin::Own,
        }
    }
}

impl CatalogueEntry {
    /// Returns whether this entry describes a backup that was found in its place. A backup directly in the
    /// place has no id: then the time stamps must be equal, or, if one of them is unknown, the start times
    /// must be less than 24 hours apart.
    #[must_use]
    pub fn is_about(&self, backup: &ArchiveBackup) -> bool {
        match (&self.sub_directory, &backup.id) {
            (Some(directory), _) => *directory == backup.dir,
            (None, Some(id)) => Uuid::try_parse(id).is_ok_and(|id| id == self.id),
            (None, None) => match (self.backup_ts, backup.backup_ts) {
                (Some(noted), Some(found)) => noted == found,
                _ => backup.made_at().is_none_or(|made| {
                    let apart = made.duration_since(self.at_time);
                    apart.as_hours().abs() < 24
                }),
            },
        }
    }
}

impl CatalogueEntry {
    /// Returns whether a found entry must replace this one.
    pub(super) fn is_outdated_by(&self, found: &Self) -> bool {
        let was_lost = matches!(self.state, State::Failed | State::Deleted);
        let was_copy = matches!(self.place, BackupLocation::Repository { .. })
            && !matches!(found.place, BackupLocation::Repository { .. });
        found.state == State::Complete && (was_lost || was_copy)
    }
}

impl BackupLocation {
    /// Returns whether two places are the same, even if they are spelled differently: trailing slashes, and
    /// slashes around the folder in a bucket, are ignored.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::FileSystem { path }, Self::FileSystem { path: other }) => Path::new(path)
                .components()
                .eq(Path::new(other).components()),
            (Self::S3(place), Self::S3(other)) => {
                let trim = |text: &str| text.trim_matches('/').to_owned();
                trim(&place.endpoint) == trim(&other.endpoint)
                    && place.bucket == other.bucket
                    && trim(&place.filepath) == trim(&other.filepath)
            }
            (place, other) => place == other,
        }
    }
}

impl State {
    /// Returns the word for the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Has the format of the original tool's list.
impl fmt::Display for BackupLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileSystem { path } => write!(f, "BackupDir: filesystem  Path: {path}"),
            Self::S3(place) => write!(
                f,
                "BackupDir: s3  Endpoint: {} Bucket: {} FilePath: {}",
                place.endpoint, place.bucket, place.filepath
            ),
            Self::Repository { url, .. } => write!(f, "BackupDir: repository  Path: {url}"),
        }
    }
}
