//! Locations of MatrixOne backups, from the command line and the catalogue.
//!
//! A [`Source`] is one selected backup, or all backups at a location. Invariant: arguments are used or refused, and a location on
//! the command line takes precedence over the catalogue.

use std::path::Path;

use br_core::{Location, S3Location};
use br_matrixone::archive::{self, Archive, ArchiveBackup, Limits};
use br_matrixone::catalogue::{BackupLocation, CatalogueEntry, S3BackupLocation};
use br_matrixone::sql::S3Keys;

use clap::Args;

use super::CatalogueArgs;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::storage::{BucketKeys, parse_location, refuse};

/// The location of backups.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LocationArgs {
    /// Location of the backups: a folder, or s3://BUCKET/FOLDER
    ///
    /// The storage options also apply to this bucket. A folder must be the same for the server and for br.
    #[arg(long, value_name = "URL|PATH")]
    location: Option<String>,
}

/// The backups that a command uses.
#[derive(Debug)]
pub(super) struct Source {
    /// The root.
    pub(super) folder: archive::Folder,
    /// The location for output.
    pub(super) shown: String,
    /// Which backup at this location.
    pub(super) wanted: Wanted,
    /// The entry in the catalogue; `None` when the location came from the command line.
    pub(super) entry: Option<CatalogueEntry>,
}

/// Selects a backup below a root.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// The backup in this folder.
    Directory(String),
    /// The backup of a catalogue entry without a folder: in old releases the root was the backup.
    Noted(Box<CatalogueEntry>),
    /// The backup whose id starts with this text.
    Prefix(String),
    /// The only backup, or the one in the given folder.
    Only,
}

impl Source {
    /// Finds the backup by id, or the backups at the location on the command line.
    pub(super) fn find(
        id: Option<&str>,
        location: &LocationArgs,
        catalogue: &CatalogueArgs,
        context: &CommandContext,
    ) -> Result<Self, CommandError> {
        if let Some(place) = location.place(context)? {
            let wanted = id.map_or(Wanted::Only, |id| Wanted::Prefix(id.to_owned()));
            return Ok(Self {
                shown: place.to_string(),
                folder: open(&place, context)?,
                wanted,
                entry: None,
            });
        }
        match id {
            Some(id) => Self::of(catalogue.find(id, context)?, context),
            None => Err(CommandError::usage(
                "no backup is named",
                "give the id of a backup in the catalogue, or name a folder or a bucket with --location",
            )),
        }
    }

    /// A backup in the catalogue.
    pub(super) fn of(
        entry: CatalogueEntry,
        context: &CommandContext,
    ) -> Result<Self, CommandError> {
        let wanted = match &entry.sub_directory {
            Some(directory) => Wanted::Directory(directory.clone()),
            None => Wanted::Noted(Box::new(entry.clone())),
        };
        Ok(Self {
            folder: open(&entry.place, context)?,
            shown: entry.place.to_string(),
            wanted,
            entry: Some(entry),
        })
    }

    /// Opens the root.
    pub(super) fn archive(&self) -> archive::Result<Archive> {
        let noted = self.entry.as_ref().map(|entry| entry.digests.clone());
        let archive = Archive::open(&self.folder, &Limits::default())?;
        Ok(archive.with_digests(noted.unwrap_or_default()))
    }

    /// Opens the root; `None` if it no longer exists.
    pub(super) fn archive_if_any(&self) -> archive::Result<Option<Archive>> {
        match self.archive() {
            Ok(archive) => Ok(Some(archive)),
            Err(error) if error.kind() == archive::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Wanted {
    /// Finds the backup in an archive.
    pub(super) fn pick<'a>(&self, archive: &'a Archive) -> archive::Result<&'a ArchiveBackup> {
        match self {
            Self::Directory(name) => archive.find(name),
            Self::Noted(entry) => {
                let mut backups = archive.backups().iter();
                let found = backups.find(|backup| entry.is_about(backup));
                found.map_or_else(|| archive.find(&entry.id.to_string()), Ok)
            }
            Self::Prefix(prefix) => {
                let wanted = prefix.to_ascii_lowercase();
                let all = archive.backups().iter().chain(archive.unfinished());
                let ids = all.filter_map(|backup| backup.id.as_deref());
                let mut found = ids.filter(|id| id.to_ascii_lowercase().starts_with(&wanted));
                match (found.next(), found.next()) {
                    (Some(id), None) => archive.find(id),
                    (Some(_), Some(_)) => {
                        let text = format!("several backups have ids that start with {prefix}");
                        Err(archive::Error::new(archive::ErrorKind::Invalid, text))
                    }
                    (None, _) => archive.find(prefix),
                }
            }
            Self::Only => archive.only(),
        }
    }
}

impl LocationArgs {
    /// The location on the command line.
    pub(super) fn place(
        &self,
        context: &CommandContext,
    ) -> Result<Option<BackupLocation>, CommandError> {
        let Some(text) = &self.location else {
            return Ok(None);
        };
        match parse_location(text, "--location")? {
            Location::Local(path) => {
                refuse_bucket_options(context)?;
                Ok(Some(folder(&path)?))
            }
            Location::S3(bucket) => {
                let bucket = context.complete_bucket(&bucket)?;
                let keys = context.bucket_keys();
                let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
                Ok(Some(BackupLocation::S3(S3BackupLocation {
                    endpoint: text(bucket.endpoint()),
                    bucket: bucket.bucket().to_owned(),
                    filepath: bucket.prefix().to_owned(),
                    region: text(bucket.region()),
                    is_minio: keys.is_path_style,
                    role_arn: keys.role_arn,
                })))
            }
            other => Err(CommandError::usage(
                format!("MatrixOne cannot back up to {other}"),
                "name a folder, or s3://BUCKET/FOLDER?endpoint=https://HOST",
            )),
        }
    }

    /// The location on the command line; required.
    pub(super) fn required(
        &self,
        context: &CommandContext,
    ) -> Result<BackupLocation, CommandError> {
        let place = self.place(context)?;
        place.ok_or_else(|| {
            CommandError::usage(
                "no location to back up to is given",
                "name a folder or a bucket with --location",
            )
        })
    }
}

fn refuse_bucket_options(context: &CommandContext) -> Result<(), CommandError> {
    match context.idle_bucket_option() {
        None => Ok(()),
        Some(option) => Err(CommandError::usage(
            format!("{option} is for a bucket, but a folder is named"),
            "leave it out, or name the bucket as s3://BUCKET/FOLDER",
        )),
    }
}

/// The keys from the command line, to pass on to the server.
pub(super) fn typed_keys(context: &CommandContext) -> Result<Option<S3Keys>, CommandError> {
    let keys = context.typed_s3_keys()?;
    Ok(keys.map(|(access_key_id, secret_access_key)| S3Keys {
        access_key_id,
        secret_access_key,
    }))
}

/// Opens a location.
pub(super) fn open(
    place: &BackupLocation,
    context: &CommandContext,
) -> Result<archive::Folder, CommandError> {
    match place {
        BackupLocation::FileSystem { path } => Ok(archive::Folder::local(path.as_ref())),
        BackupLocation::S3(bucket) => open_bucket(bucket, context),
        BackupLocation::Repository { url, backup } => Err(CommandError::usage(
            format!("this backup is in the repository {url}"),
            format!(
                "restore it from there: `br -r {url} restore {backup} --target FOLDER`; `br -r {url} delete {backup}` deletes it, and \
                 `br matrixone delete ID --not-delete-data` removes the catalogue entry"
            ),
        )),
    }
}

/// Opens a bucket with the keys from the command line or the environment.
fn open_bucket(
    bucket: &S3BackupLocation,
    context: &CommandContext,
) -> Result<archive::Folder, CommandError> {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    // Open the parent of a backup's folder, because the backup may need others next to it.
    let filepath = bucket.filepath.trim_end_matches('/');
    let (above, name) = filepath.rsplit_once('/').unwrap_or(("", filepath));
    let (filepath, below) = match archive::split_dir(name) {
        Some(_) => (above, name),
        None => (filepath, ""),
    };
    let hint = "correct the bucket and the folder in it";
    let mut there = S3Location::new(bucket.bucket.trim_end_matches('/'), filepath)
        .map_err(|error| refuse(error, hint))?;
    if let Some(endpoint) = some(&bucket.endpoint) {
        there = there
            .with_endpoint(&endpoint)
            .map_err(|error| refuse(error, hint))?;
    }
    if let Some(region) = some(&bucket.region) {
        there = there.with_region(region);
    }
    let keys = BucketKeys {
        role_arn: bucket.role_arn.clone(),
        is_path_style: bucket.is_minio,
        ..BucketKeys::default()
    };
    let storage = context.open_bucket(&there, &keys)?;
    let handle = tokio::runtime::Handle::current();
    let root = archive::Folder::in_storage(&storage, "", handle).map_err(archive::Error::from)?;
    Ok(root.folder(below).map_err(archive::Error::from)?)
}

/// A folder from the command line, as a location.
fn folder(path: &Path) -> Result<BackupLocation, CommandError> {
    let path = absolute(path)?;
    Ok(BackupLocation::FileSystem { path })
}

/// Makes the path absolute: it must be the same folder for the server and for br.
fn absolute(path: &Path) -> Result<String, CommandError> {
    let path = std::path::absolute(path).map_err(|error| {
        CommandError::usage("the folder has no absolute path", "name another one").because(&error)
    })?;
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("{} is not valid UTF-8", path.display());
        CommandError::usage(
            message,
            "name a folder with a valid UTF-8 path, which MatrixOne requires",
        )
    })
}
