//! What is known of one backup.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::archive::{ArchiveBackup, Digest};
use crate::{BackupKind, BackupTs};

/// A backup in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// Whether it needs others.
    pub kind: BackupKind,
    /// Where it is, without any key.
    pub place: Place,
    /// Its folder in that place, such as `full-01942b54-…`; `None` when its files lie there directly.
    pub sub_directory: Option<String>,
    /// When it was begun.
    pub at_time: Timestamp,
    /// How long it took.
    pub duration: Option<Duration>,
    /// When it ended.
    pub complete_time: Option<Timestamp>,
    /// The moment of the cluster that it holds.
    pub backup_ts: Option<BackupTs>,
    /// Bytes of all files that a restore would write.
    pub logical_size: Option<u64>,
    /// Bytes that were stored for it, without what is in earlier backups.
    pub stored_size: Option<u64>,
    /// The backup it was made on.
    pub base: Option<Uuid>,
    /// How far it got.
    pub state: State,
    /// The server that made it, as it names itself.
    pub server_version: Option<String>,
    /// Digests of files that have none in the archive, by path below the root: what they had when the backup was found whole.
    pub digests: BTreeMap<String, Digest>,
    /// Who noted it.
    pub origin: Origin,
}

/// Where a backup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a folder.
    FileSystem {
        /// The folder that was given as `--path`.
        path: String,
    },
    /// In a bucket.
    S3(S3Place),
    /// In a repository of ours.
    Repository {
        /// Its URL or path.
        url: String,
        /// The id of the backup in it.
        backup: String,
    },
}

/// A place in a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Place {
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

/// How far a backup got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was begun. Its process may be gone.
    Running,
    /// It was finished and found whole.
    Complete,
    /// It was not finished. Its files are of no use.
    Failed,
    /// Its files were removed.
    Deleted,
}

/// Who noted a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This program.
    Own,
    /// The original tool, in its own file.
    MoBr,
}

impl Entry {
    /// Notes a backup that is just begun.
    #[must_use]
    pub fn new(id: Uuid, kind: BackupKind, place: Place, at_time: Timestamp) -> Self {
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

impl Entry {
    /// True when this is the note of a backup that was found in its place. One that lies directly there has no id: then its moment, or the day
    /// on which it was made, must be the same where both are known.
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

impl Entry {
    /// True when this says less than what was found.
    pub(super) fn is_outdated_by(&self, found: &Self) -> bool {
        let was_lost = matches!(self.state, State::Failed | State::Deleted);
        let was_copy = matches!(self.place, Place::Repository { .. })
            && !matches!(found.place, Place::Repository { .. });
        found.state == State::Complete && (was_lost || was_copy)
    }
}

impl Place {
    /// True for the same place, also when it is spelled otherwise: slashes at the end, and around the folder in a bucket, do not matter.
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
    /// Returns the word for it.
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

/// As the original tool shows it in its list.
impl fmt::Display for Place {
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
