//! Where backups of MatrixOne lie: from what was typed, and from the catalogue.
//!
//! A [`Source`] is a backup that a command is about, or all that lie at a place. Invariant: what was typed is used or refused, and a place
//! that was typed comes before what the catalogue says.

use std::path::Path;

use br_matrixone::archive::{self, Archive, ArchiveBackup, Limits};
use br_matrixone::catalog::{Entry, Place, S3Place};
use br_matrixone::sql::S3Keys;

use super::CatalogArgs;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::storage::{BucketTarget, MoBrPlace};

/// What a command is about.
#[derive(Debug)]
pub(super) struct Source {
    /// The root.
    pub(super) place: archive::Place,
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
    /// The backup of an id, or what lies at the place that was typed.
    pub(super) fn find(
        id: Option<&str>,
        catalog: &CatalogArgs,
        context: &CommandContext,
    ) -> Result<Self, CommandError> {
        if let Some(place) = typed(context)? {
            let wanted = id.map_or(Wanted::Only, |id| Wanted::Prefix(id.to_owned()));
            return Ok(Self {
                shown: place.to_string(),
                place: open(&place, context)?,
                wanted,
                entry: None,
            });
        }
        match id {
            Some(id) => Self::of(catalog.find(id, context)?, context),
            None => Err(no_place("the backup lies")),
        }
    }

    /// A backup of the catalogue.
    pub(super) fn of(entry: Entry, context: &CommandContext) -> Result<Self, CommandError> {
        let wanted = match &entry.sub_directory {
            Some(directory) => Wanted::Directory(directory.clone()),
            None => Wanted::Noted(Box::new(entry.clone())),
        };
        Ok(Self {
            place: open(&entry.place, context)?,
            shown: entry.place.to_string(),
            wanted,
            entry: Some(entry),
        })
    }

    /// Opens the root.
    pub(super) fn archive(&self) -> archive::Result<Archive> {
        let noted = self.entry.as_ref().map(|entry| entry.digests.clone());
        let archive = Archive::open(&self.place, &Limits::default())?;
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

/// The root that was typed with `--backup_dir` and what belongs to it.
pub(super) fn typed(context: &CommandContext) -> Result<Option<Place>, CommandError> {
    Ok(match context.mo_br_place()? {
        Some(MoBrPlace::Folder(path)) => {
            refuse_bucket_options(context)?;
            Some(folder(&path)?)
        }
        Some(MoBrPlace::Bucket(bucket)) => Some(Place::S3(S3Place {
            endpoint: bucket.endpoint.unwrap_or_default(),
            bucket: bucket.bucket,
            filepath: bucket.filepath,
            region: bucket.region.unwrap_or_default(),
            is_minio: bucket.is_minio,
            role_arn: bucket.role_arn,
        })),
        None => None,
    })
}

/// The folder of `--path` alone, or the root that was typed.
pub(super) fn typed_root(
    path: Option<&Path>,
    context: &CommandContext,
) -> Result<Place, CommandError> {
    let root = typed(context)?;
    match (path, root) {
        (None, Some(root)) => Ok(root),
        (None, None) => Err(no_place("the backup is to lie")),
        (Some(path), None) => {
            refuse_bucket_options(context)?;
            folder(path)
        }
        (Some(_), Some(_)) => Err(CommandError::usage(
            "--path and --backup_path name two places",
            "leave one of them out",
        )),
    }
}

/// Refuses a place where the catalogue says it.
pub(super) fn refuse_place(context: &CommandContext) -> Result<(), CommandError> {
    match context.mo_br_place()? {
        None => Ok(()),
        Some(_) => Err(CommandError::usage(
            "the catalogue says where a backup lies, and --backup_dir something else",
            "leave --backup_dir and what belongs to it out; --meta-path names another catalogue",
        )),
    }
}

fn refuse_bucket_options(context: &CommandContext) -> Result<(), CommandError> {
    match context.idle_bucket_option() {
        None => Ok(()),
        Some(option) => Err(CommandError::usage(
            format!("{option} is for --backup_dir s3, and a folder was named"),
            "leave it out, or give --backup_dir s3 with --bucket",
        )),
    }
}

fn no_place(what: &str) -> CommandError {
    CommandError::usage(
        format!("it is not said where {what}"),
        "give --backup_dir filesystem --path FOLDER, or --backup_dir s3 with --endpoint and --bucket",
    )
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
) -> Result<archive::Place, CommandError> {
    match place {
        Place::FileSystem { path } => Ok(archive::Place::local(path.as_ref())),
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
fn open_bucket(bucket: &S3Place, context: &CommandContext) -> Result<archive::Place, CommandError> {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    // The folder of one backup is seen together with those beside it.
    let filepath = bucket.filepath.trim_end_matches('/');
    let (above, name) = filepath.rsplit_once('/').unwrap_or(("", filepath));
    let (filepath, below) = match archive::split_dir(name) {
        Some(_) => (above, name),
        None => (filepath, ""),
    };
    let storage = context.open_bucket(&BucketTarget {
        endpoint: some(&bucket.endpoint),
        bucket: bucket.bucket.clone(),
        filepath: filepath.to_owned(),
        region: some(&bucket.region),
        role_arn: bucket.role_arn.clone(),
        is_minio: bucket.is_minio,
        ..BucketTarget::default()
    })?;
    let handle = tokio::runtime::Handle::current();
    let root = archive::Place::object(storage.object_store(), "", handle)?;
    let root = root.named(storage.location_text());
    Ok(root.below(below)?)
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
