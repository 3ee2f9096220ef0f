//! Where backups of MatrixOne lie: from what was typed, and from the catalogue.
//!
//! A [`Source`] is a backup that a command is about, or all that are at a place. Invariant: what was typed is used or refused, and a place
//! that was typed comes before what the catalogue says.

use std::path::Path;

use br_core::{Location, S3Location};
use br_matrixone::archive::{self, Archive, ArchiveBackup, Limits};
use br_matrixone::catalog::{Entry, Place, S3Place};
use br_matrixone::sql::S3Keys;

use clap::Args;

use super::CatalogArgs;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::storage::{BucketKeys, parse_location, refuse};

/// Says where backups lie.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LocationArgs {
    /// Where the backups lie: a folder, or s3://BUCKET/FOLDER
    ///
    /// The storage options are about this bucket, too. For a folder the server must see the same one.
    #[arg(long, value_name = "URL|PATH")]
    location: Option<String>,
}

/// What a command is about.
#[derive(Debug)]
pub(super) struct Source {
    /// The root.
    pub(super) folder: archive::Folder,
    /// What to call it.
    pub(super) shown: String,
    /// Which backup there.
    pub(super) wanted: Wanted,
    /// What the catalogue has of it; `None` when the place was typed.
    pub(super) entry: Option<Entry>,
}

/// Which backup below a root.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// The one of this folder.
    Directory(String),
    /// The one that a note without a folder is about: before ids had folders the root was the backup.
    Noted(Box<Entry>),
    /// The one whose id begins so.
    Prefix(String),
    /// The only one, or that of the folder that was named.
    Only,
}

impl Source {
    /// The backup of an id, or what is at the place that was typed.
    pub(super) fn find(
        id: Option<&str>,
        location: &LocationArgs,
        catalog: &CatalogArgs,
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
            Some(id) => Self::of(catalog.find(id, context)?, context),
            None => Err(CommandError::usage(
                "no backup was named",
                "give the id of one in the catalogue, or name a folder or a bucket with --location",
            )),
        }
    }

    /// A backup of the catalogue.
    pub(super) fn of(entry: Entry, context: &CommandContext) -> Result<Self, CommandError> {
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

    /// Opens the root; `None` when nothing is there any more.
    pub(super) fn archive_if_any(&self) -> archive::Result<Option<Archive>> {
        match self.archive() {
            Ok(archive) => Ok(Some(archive)),
            Err(error) if error.kind() == archive::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Wanted {
    /// The backup in an archive.
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
                        let text = format!("several backups have ids that begin with {prefix}");
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
    /// The place that was named.
    pub(super) fn place(&self, context: &CommandContext) -> Result<Option<Place>, CommandError> {
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
                Ok(Some(Place::S3(S3Place {
                    endpoint: text(bucket.endpoint()),
                    bucket: bucket.bucket().to_owned(),
                    filepath: bucket.prefix().to_owned(),
                    region: text(bucket.region()),
                    is_minio: keys.is_path_style,
                    role_arn: keys.role_arn,
                })))
            }
            other => Err(CommandError::usage(
                format!("MatrixOne makes no backups in {other}"),
                "name a folder, or s3://BUCKET/FOLDER?endpoint=https://HOST",
            )),
        }
    }

    /// The place that was named; there must be one.
    pub(super) fn required(&self, context: &CommandContext) -> Result<Place, CommandError> {
        let place = self.place(context)?;
        place.ok_or_else(|| {
            CommandError::usage(
                "there is no place to back up to",
                "name a folder or a bucket with --location",
            )
        })
    }
}

fn refuse_bucket_options(context: &CommandContext) -> Result<(), CommandError> {
    match context.idle_bucket_option() {
        None => Ok(()),
        Some(option) => Err(CommandError::usage(
            format!("{option} is for a bucket, and a folder was named"),
            "leave it out, or name the bucket as s3://BUCKET/FOLDER",
        )),
    }
}

/// The keys that were typed, for the server.
pub(super) fn typed_keys(context: &CommandContext) -> Result<Option<S3Keys>, CommandError> {
    let keys = context.typed_s3_keys()?;
    Ok(keys.map(|(access_key_id, secret_access_key)| S3Keys {
        access_key_id,
        secret_access_key,
    }))
}

/// Opens a place.
pub(super) fn open(
    place: &Place,
    context: &CommandContext,
) -> Result<archive::Folder, CommandError> {
    match place {
        Place::FileSystem { path } => Ok(archive::Folder::local(path.as_ref())),
        Place::S3(bucket) => open_bucket(bucket, context),
        Place::Repository { url, backup } => Err(CommandError::usage(
            format!("this backup lies in the repository {url}"),
            format!(
                "restore it from there: `br -r {url} restore {backup} --target FOLDER`; `br -r {url} delete {backup}` deletes it, and \
                 `br matrixone delete ID --not-delete-data` forgets it"
            ),
        )),
    }
}

/// Opens a bucket with the keys that were typed or that the environment has.
fn open_bucket(
    bucket: &S3Place,
    context: &CommandContext,
) -> Result<archive::Folder, CommandError> {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    // The folder of one backup is seen together with those next to it.
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

/// A folder that was typed, as a place.
fn folder(path: &Path) -> Result<Place, CommandError> {
    let path = absolute(path)?;
    Ok(Place::FileSystem { path })
}

/// The server and this program must mean the same folder.
fn absolute(path: &Path) -> Result<String, CommandError> {
    let path = std::path::absolute(path).map_err(|error| {
        CommandError::usage("the folder has no absolute path", "name another one").because(&error)
    })?;
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("{} is not valid UTF-8", path.display());
        CommandError::usage(message, "name a folder that MatrixOne can be told")
    })
}
