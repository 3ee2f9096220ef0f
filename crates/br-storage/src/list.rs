//! Listing objects.
//!
//! The methods of [`Storage`] that list a folder, and [`ObjectInfo`], an entry of a listing. Invariant: a
//! listing is complete and sorted by key, or it is an error.

use std::{io, time::SystemTime};

use futures::TryStreamExt;
use object_store::path::Path;

use crate::{
    error::{Error, ErrorKind, Operation, Result, io_kind_within},
    key::{self, InvalidKey},
    storage::Storage,
};

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// The whole key, including the folder that was listed.
    pub key: String,
    /// The length in bytes.
    pub size: u64,
    /// When the object was written, by the clock of the backend.
    pub modified: SystemTime,
}

impl Storage {
    /// Returns all objects below a folder and its subfolders, sorted by the bytes of the key.
    ///
    /// The empty prefix means everything. A missing folder has no objects. Unfinished files, and foreign
    /// files whose names are not keys, are left out. Objects that are written or deleted during the call may
    /// or may not appear.
    ///
    /// # Errors
    ///
    /// If a part of the folder cannot be read: a listing is never incomplete.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.repeat(|| self.list_from(prefix, None)).await
    }

    /// Returns the keys of the objects below a folder that are greater than `after`, sorted by their bytes.
    ///
    /// On a disk this is several times as fast as [`Storage::list`]. `after` is compared with whole keys; an object of
    /// that key need not exist.
    ///
    /// # Errors
    ///
    /// As for [`Storage::list`].
    pub async fn keys_after(&self, prefix: &str, after: &str) -> Result<Vec<String>> {
        let after = key::parse_folder(after).map_err(|error| self.key_error(after, error))?;
        self.repeat(|| self.keys_from(prefix, after.clone())).await
    }

    /// Returns the names of all entries directly in the location, including folders and foreign files,
    /// sorted. The cost does not depend on the contents of the folders.
    ///
    /// # Errors
    ///
    /// As for [`Storage::list`].
    pub async fn top_level(&self) -> Result<Vec<String>> {
        let mut names = match self.disk() {
            Some(disk) => disk
                .children("")
                .await
                .map_err(|error| self.io_error(Operation::List, "", error))?
                .into_iter()
                .map(|child| child.name)
                .collect::<Vec<_>>(),
            None => {
                let listing = self
                    .store()
                    .list_with_delimiter(None)
                    .await
                    .map_err(|error| self.store_error(Operation::List, "", &error))?;
                let objects = listing.objects.into_iter().map(|meta| meta.location);
                let paths = listing.common_prefixes.into_iter().chain(objects);
                paths.map(String::from).collect()
            }
        };
        names.sort();
        Ok(names)
    }

    async fn keys_from(&self, prefix: &str, after: Option<Path>) -> Result<Vec<String>> {
        let Some(disk) = self.disk() else {
            let objects = self.list_from(prefix, after).await?;
            return Ok(objects.into_iter().map(|object| object.key).collect());
        };
        let _ = key::parse_folder(prefix).map_err(|error| self.key_error(prefix, error))?;
        let mut keys = disk
            .keys(prefix)
            .await
            .map_err(|error| self.io_error(Operation::List, prefix, error))?;
        let after = after.as_ref().map_or("", Path::as_ref);
        keys.retain(|key| key.as_str() > after);
        keys.sort_unstable();
        Ok(keys)
    }

    async fn list_from(&self, prefix: &str, after: Option<Path>) -> Result<Vec<ObjectInfo>> {
        let folder = key::parse_folder(prefix).map_err(|error| self.key_error(prefix, error))?;
        let mut objects = match self.disk() {
            Some(disk) => disk
                .list(prefix)
                .await
                .map_err(|error| self.io_error(Operation::List, prefix, error))?,
            None => {
                let listing = match &after {
                    Some(after) => self.store().list_with_offset(folder.as_ref(), after),
                    None => self.store().list(folder.as_ref()),
                };
                let listing = listing
                    .map_ok(|meta| ObjectInfo {
                        key: meta.location.into(),
                        size: meta.size,
                        modified: meta.last_modified.into(),
                    })
                    .try_collect()
                    .await;
                match listing {
                    Ok(objects) => objects,
                    // The prefix contains the key of an object, so no object is below it.
                    Err(error) if io_kind_within(&error) == Some(io::ErrorKind::NotADirectory) => {
                        Vec::new()
                    }
                    Err(error) => return Err(self.store_error(Operation::List, prefix, &error)),
                }
            }
        };
        let after = after.as_ref().map_or("", Path::as_ref);
        objects.retain(|object| object.key.as_str() > after && key::is_key(&object.key));
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    fn key_error(&self, prefix: &str, cause: InvalidKey) -> Error {
        let place = self.location_text();
        Error::new(
            ErrorKind::Invalid,
            Operation::List,
            Some(prefix),
            place,
            cause,
        )
    }
}
