//! Objects by their keys.
//!
//! [`Storage`] gives the operations of every backend the same meaning. This module opens storages; the other
//! methods are in the modules `write`, `read`, `list`, `delete`, `sweep` and `probe`. Invariant: an object is
//! written once, completely, and never changed.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use object_store::{Error as StoreError, ObjectStore, path::Path};

use crate::{
    backend::{Backend, local::Disk, memory},
    error::{Error, ErrorKind, Operation, Result},
    key,
    location::Location,
    options::StorageOptions,
    traffic::Traffic,
};

/// Objects under a location; cloning gives another handle to the same storage.
///
/// Keys are segments of `a-z 0-9 . _ -` joined by single slashes, at most 512 bytes long, and no segment is
/// `.` or `..`; every method refuses other keys with [`ErrorKind::Invalid`]. A segment should not exceed 200
/// bytes, because file systems limit names to 255. The part before a slash is a folder. A folder exists while
/// objects are below it, and a key cannot be both a folder and an object.
///
/// Any method may fail with [`ErrorKind::Denied`], [`ErrorKind::Unavailable`] or [`ErrorKind::Other`]. The
/// methods list the kinds with a specific meaning.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Backend,
    location: String,
    /// The store does not refuse a second object of one key.
    overwrites: AtomicBool,
}

impl Storage {
    /// Opens an existing storage. Memory is always new and empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LocationNotFound`] if the directory does not exist; [`ErrorKind::Invalid`] if the path is
    /// not a directory, or if the options do not suit the location. No request is sent to a server: only the
    /// first operation shows whether it can be reached.
    pub fn open(location: &Location, options: &StorageOptions) -> Result<Self> {
        let backend = Backend::open(location, options)?;
        Ok(Self::with_backend(backend, location.to_string()))
    }

    /// Makes a storage and opens it. An existing one is opened unchanged.
    ///
    /// On local disk this makes the directory and all missing ones above it, durably. Only the owner has
    /// access, unless it is shared ([`StorageOptions::with_shared`]). Buckets are not made: their owner
    /// chooses the region and the permissions.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] if there is no space; [`ErrorKind::Invalid`] if the path is not a directory.
    pub fn create(location: &Location, options: &StorageOptions) -> Result<Self> {
        let backend = Backend::create(location, options)?;
        Ok(Self::with_backend(backend, location.to_string()))
    }

    /// Makes an empty storage in the memory of this process.
    #[must_use]
    pub fn memory() -> Self {
        Self::with_backend(memory::open(), Location::Memory.to_string())
    }

    /// Wraps a store of `object_store`, for tests and for wrappers that count requests or inject faults.
    ///
    /// Errors show `name` as the location. The additions of this crate for local disk are missing: use
    /// [`Storage::open`] there. The storage counts as local, even if the store sends requests to a server:
    /// [`Storage::is_remote`] is false, [`Storage::connections`] is 0, and [`Storage::traffic`] is `None`.
    pub fn from_object_store(store: Arc<dyn ObjectStore>, name: impl Into<String>) -> Self {
        Self::with_backend(Backend::new(store), name.into())
    }

    fn with_backend(backend: Backend, location: String) -> Self {
        Self {
            inner: Arc::new(Inner {
                backend,
                location,
                overwrites: AtomicBool::new(false),
            }),
        }
    }

    /// Returns the underlying store of `object_store`, for wrappers. On local disk it lacks the additions of
    /// this crate.
    #[must_use]
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner.backend.store)
    }

    /// Configures this storage and all its clones for a store that does not refuse a second object of one key
    /// ([`Storage::probe`] finds out). A create then checks whether the object exists before it writes, which
    /// is safe only while there is no other writer.
    pub fn assume_single_writer(&self) {
        self.inner.overwrites.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_single_writer(&self) -> bool {
        self.inner.overwrites.load(Ordering::Relaxed)
    }

    /// Returns whether objects are on a server, so that every request has network latency.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.connections() > 0
    }

    /// Returns whether objects are files on a disk of this machine, which may be full.
    #[must_use]
    pub fn is_local_disk(&self) -> bool {
        self.disk().is_some()
    }

    /// Returns the maximum number of concurrent requests; 0 without a server.
    #[must_use]
    pub fn connections(&self) -> usize {
        #[cfg(feature = "network")]
        if let Some(link) = &self.inner.backend.link {
            return link.connections;
        }
        0
    }

    /// Returns the network traffic so far; `None` without a server.
    #[must_use]
    pub fn traffic(&self) -> Option<Traffic> {
        #[cfg(feature = "network")]
        if let Some(link) = &self.inner.backend.link {
            return Some(link.counters.read());
        }
        None
    }

    /// Checks whether the location still leads to the folder that was opened.
    ///
    /// A folder on local disk is held open: writes go to the folder that was opened, even if it was renamed
    /// or unmounted. Call this before you report that something was stored at the location. For a server the
    /// check always succeeds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if the folder was renamed, replaced, removed or unmounted.
    pub async fn check_place(&self) -> Result<()> {
        match self.disk() {
            Some(disk) => disk
                .check_place()
                .await
                .map_err(|error| self.io_error(Operation::Write, "", error)),
            None => Ok(()),
        }
    }

    /// Returns whether the files that this process writes belong to the owner of the storage. The owner could
    /// not read a file that root made in their folder.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.disk().is_none_or(|disk| disk.is_own())
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.inner.backend
    }

    /// Returns the location as text, which never holds a secret.
    #[must_use]
    pub fn location_text(&self) -> &str {
        &self.inner.location
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
