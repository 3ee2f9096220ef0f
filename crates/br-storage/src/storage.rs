//! Objects by their keys.
//!
//! [`Storage`] gives the operations of every backend one meaning. Opening is here, its other
//! methods are in the modules `write`, `read`, `list`, `delete`, `sweep` and `probe`. Invariant:
//! an object is written once, whole, and never changed.

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
    /// The store is known not to refuse a second object of one key.
    overwrites: AtomicBool,
}

impl Storage {
    /// Opens a storage which exists. Memory is always new and empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LocationNotFound`] if there is no such directory, [`ErrorKind::Invalid`] if it
    /// is something else than a directory, or if the options do not suit the location. No request
    /// is made to a server yet: whether it is there shows with the first operation.
    pub fn open(location: &Location, options: &StorageOptions) -> Result<Self> {
        let backend = Backend::open(location, options)?;
        Ok(Self::with_backend(backend, location.to_string()))
    }

    /// Makes a storage and opens it; one which exists is opened as it is.
    ///
    /// On local disk this makes the directory, with access for its owner only unless it is to be
    /// shared ([`StorageOptions::with_shared`]), and all that are missing above it, durably. A bucket is not made: its owner decides where it lies and who may
    /// use it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] if there is no space, [`ErrorKind::Invalid`] if the path is something
    /// else than a directory.
    pub fn create(location: &Location, options: &StorageOptions) -> Result<Self> {
        let backend = Backend::create(location, options)?;
        Ok(Self::with_backend(backend, location.to_string()))
    }

    /// Makes an empty storage in the memory of this process.
    #[must_use]
    pub fn memory() -> Self {
        Self::with_backend(memory::open(), Location::Memory.to_string())
    }

    /// Wraps a store of `object_store`, for tests and for wrappers which count or inject faults.
    ///
    /// `name` is shown in errors as the location. What this crate adds for local disk is missing:
    /// use [`Storage::open`] for that. The storage counts as local, also when the store asks a
    /// server: [`Storage::is_remote`] is false, [`Storage::connections`] is 0, and
    /// [`Storage::traffic`] is `None`.
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

    /// Returns the store of `object_store` below, for wrappers. On local disk it lacks what this
    /// crate adds.
    #[must_use]
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner.backend.store)
    }

    /// Tells this storage, and all its clones, that the store does not refuse a second object of
    /// one key ([`Storage::probe`] finds out). Creating then looks first and writes after, which
    /// is safe only while nobody else writes.
    pub fn assume_single_writer(&self) {
        self.inner.overwrites.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_single_writer(&self) -> bool {
        self.inner.overwrites.load(Ordering::Relaxed)
    }

    /// Returns whether objects are on a server, where every request takes its time.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.connections() > 0
    }

    /// Returns whether objects are files on a disk of this machine, which may be full.
    #[must_use]
    pub fn is_local_disk(&self) -> bool {
        self.disk().is_some()
    }

    /// Returns how many requests may be under way at once; 0 if there is no server to ask.
    #[must_use]
    pub fn connections(&self) -> usize {
        #[cfg(feature = "network")]
        if let Some(link) = &self.inner.backend.link {
            return link.connections;
        }
        0
    }

    /// Returns what went over the network so far; `None` if there is no server.
    #[must_use]
    pub fn traffic(&self) -> Option<Traffic> {
        #[cfg(feature = "network")]
        if let Some(link) = &self.inner.backend.link {
            return Some(link.counters.read());
        }
        None
    }

    /// Finds out whether the location still leads to what was opened.
    ///
    /// A folder on local disk is held open, so that what is written goes into the folder that was
    /// opened even when it was renamed or unmounted. Who is about to say that something was stored
    /// *there* asks first. A server has no such difference.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] when a folder was renamed, replaced, removed or unmounted.
    pub async fn check_place(&self) -> Result<()> {
        match self.disk() {
            Some(disk) => disk
                .check_place()
                .await
                .map_err(|error| self.io_error(Operation::Write, "", error)),
            None => Ok(()),
        }
    }

    /// Returns whether what this process writes belongs to the owner of the storage: a file that root
    /// made in a folder of another user would be out of its owner's reach.
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
