//! Objects by their keys.
//!
//! [`Storage`] gives the operations of every backend one meaning. Opening and writing are here,
//! its other methods are in the modules `read`, `list` and `delete`. Invariant: an object is
//! written once, whole, and never changed.

use std::{fmt, sync::Arc, time::SystemTime};

use object_store::{Error as StoreError, ObjectStore, PutMode, PutOptions, path::Path};

use crate::{
    backend::{Backend, local::Disk, memory},
    error::{Error, ErrorKind, Operation, Result},
    key,
    location::Location,
    options::StorageOptions,
    payload::Payload,
};

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "an object which existed may hold other bytes"]
pub enum Creation {
    /// The object is new, and holds the given bytes.
    Created,
    /// An object of this key existed and is unchanged; read it to learn whether it is the same.
    AlreadyExists,
}

/// Objects under a location; cloning gives another handle to the same storage.
///
/// Keys are segments of `a-z 0-9 . _ -` joined by single slashes, at most 512 bytes long, and no
/// segment is `.` or `..`; every method refuses others with [`ErrorKind::Invalid`]. A segment
/// should not exceed 200 bytes, for file systems limit names to 255. Everything up to a slash is
/// a folder; folders exist as long as there are objects below them, and a key cannot be a folder
/// and an object at once.
///
/// Any method may fail with [`ErrorKind::Denied`], [`ErrorKind::Unavailable`] or
/// [`ErrorKind::Other`]; the kinds named below are those with a meaning of their own.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Backend,
    location: String,
}

impl Storage {
    /// Opens a storage which exists. Memory is always new and empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such directory, [`ErrorKind::Invalid`] if it is
    /// something else than a directory.
    pub fn open(location: &Location, options: &StorageOptions) -> Result<Self> {
        let place = location.to_string();
        let backend = Backend::open(location, options)
            .map_err(|error| Error::from_io(Operation::Open, None, &place, error))?;
        Ok(Self::with_backend(backend, place))
    }

    /// Makes a storage and opens it; one which exists is opened as it is.
    ///
    /// On local disk this makes the directory, with access for its owner only, and all that are
    /// missing above it, durably.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] if there is no space, [`ErrorKind::Invalid`] if the path is something
    /// else than a directory.
    pub fn create(location: &Location, options: &StorageOptions) -> Result<Self> {
        let place = location.to_string();
        let backend = Backend::create(location, options)
            .map_err(|error| Error::from_io(Operation::Create, None, &place, error))?;
        Ok(Self::with_backend(backend, place))
    }

    /// Makes an empty storage in the memory of this process.
    #[must_use]
    pub fn memory() -> Self {
        Self::with_backend(memory::open(), Location::Memory.to_string())
    }

    /// Wraps a store of `object_store`, for tests and for wrappers which count or inject faults.
    ///
    /// `name` is shown in errors as the location. What this crate adds for local disk is missing:
    /// use [`Storage::open`] for that.
    pub fn from_object_store(store: Arc<dyn ObjectStore>, name: impl Into<String>) -> Self {
        Self::with_backend(Backend { store, disk: None }, name.into())
    }

    fn with_backend(backend: Backend, location: String) -> Self {
        Self {
            inner: Arc::new(Inner { backend, location }),
        }
    }

    /// Returns the location as text, which never holds a secret.
    #[must_use]
    pub fn location_text(&self) -> &str {
        &self.inner.location
    }

    /// Writes an object, whole and durable before this returns, unless its key is taken.
    ///
    /// Of several writers of one key exactly one is told [`Creation::Created`]. After an error,
    /// or if the future is dropped, the object may exist or come to exist, whole: repeat the
    /// write, and compare the bytes if the answer is [`Creation::AlreadyExists`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] if there is no space.
    pub async fn create_new(&self, key: &str, payload: Payload) -> Result<Creation> {
        let path = self.path(Operation::Write, key)?;
        let options = PutOptions::from(PutMode::Create);
        let creation = match self.store().put_opts(&path, payload.into(), options).await {
            Ok(_) => Creation::Created,
            Err(StoreError::AlreadyExists { .. }) => Creation::AlreadyExists,
            Err(error) => return Err(self.store_error(Operation::Write, key, &error)),
        };
        if let Some(disk) = self.disk() {
            disk.settle(key, creation == Creation::AlreadyExists)
                .await
                .map_err(|error| self.io_error(Operation::Write, key, error))?;
        }
        Ok(creation)
    }

    /// Removes what writers left behind which were killed, if they last wrote before
    /// `older_than`, and returns how many files that were.
    ///
    /// Only local disks have such leftovers. They do no harm but take space. A writer which is
    /// alive but has been stuck for so long gets an error.
    ///
    /// # Errors
    ///
    /// The first one ends the sweep; it may be repeated.
    pub async fn sweep_staging(&self, older_than: SystemTime) -> Result<usize> {
        match self.disk() {
            Some(disk) => disk
                .sweep(older_than)
                .await
                .map_err(|error| self.io_error(Operation::Sweep, "", error)),
            None => Ok(0),
        }
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        &*self.inner.backend.store
    }

    pub(crate) fn disk(&self) -> Option<&Arc<Disk>> {
        self.inner.backend.disk.as_ref()
    }

    pub(crate) fn path(&self, operation: Operation, key: &str) -> Result<Path> {
        key::parse(key).map_err(|cause| {
            Error::new(
                ErrorKind::Invalid,
                operation,
                Some(key),
                self.location_text(),
                cause,
            )
        })
    }

    pub(crate) fn store_error(&self, operation: Operation, key: &str, cause: &StoreError) -> Error {
        Error::from_store(operation, Some(key), self.location_text(), cause)
    }

    pub(crate) fn io_error(&self, operation: Operation, key: &str, cause: std::io::Error) -> Error {
        Error::from_io(operation, Some(key), self.location_text(), cause)
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.location_text())
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Storage")
            .field(&self.location_text())
            .finish()
    }
}
