//! What this machine keeps about a repository: copies of small objects, the newest log entry it saw, when it verified which pack, and what it
//! locked.
//!
//! Invariant: all of it may be deleted. Then br reads more from the store, and this machine no longer notices a rollback.

use std::path::Path;
use std::sync::Arc;

use super::{Cache, CacheOptions, LockMemory, LogMemory, Repository, VerifiedPacks};
use crate::error::{Error, Result, Site};
use crate::progress::Context;

/// The folder in a cache where newest log entries are remembered.
const KNOWN: &str = "known";
/// Folder of [`VerifiedPacks`] in the cache's folder.
const VERIFIED: &str = "verified";
/// Folder of [`LockMemory`] in the cache's folder.
const LOCKED: &str = "locked";

impl Repository {
    /// Keeps copies of small objects on this machine, so that they are not fetched repeatedly. Useful for a repository on a server
    /// (`Storage::is_remote`). Later calls have no effect.
    ///
    /// # Errors
    /// When the folder cannot be created. The repository still works without it.
    pub fn use_cache(&self, options: &CacheOptions, context: &Context) -> Result<()> {
        let cache = Cache::open(options, self.config().id, &context.runtime).map_err(|error| {
            Error::io(
                format!("cannot use the cache {}", options.folder.display()),
                error,
            )
            .at(Site::Cache)
        })?;
        let _ = self.inner.cache.set(Arc::new(cache));
        self.remember_log(&options.folder.join(KNOWN), context)?;
        self.remember_checks(&options.folder.join(VERIFIED), context)?;
        self.remember_locks(&options.folder.join(LOCKED), context)
    }

    /// Remembers in a folder of this machine when a check verified which pack, for
    /// [`ReadData::Due`](crate::engine::check::ReadData::Due). [`Repository::use_cache`] does this as well, in the cache's folder. Later
    /// calls have no effect.
    ///
    /// # Errors
    /// When the folder cannot be created. The repository still works without it.
    pub fn remember_checks(&self, folder: &Path, context: &Context) -> Result<()> {
        let verified = VerifiedPacks::open(folder, &self.local_name(), &context.runtime);
        let verified = verified.map_err(|error| no_folder(folder, error))?;
        let _ = self.inner.verified.set(verified);
        Ok(())
    }

    /// Remembers in a folder of this machine until when [`lock::extend`](crate::engine::lock::extend) locked which object, so that the next
    /// extension leaves out objects that stay locked. [`Repository::use_cache`] does this as well, in the cache's folder. Later calls have
    /// no effect.
    ///
    /// # Errors
    /// When the folder cannot be created. The repository still works without it.
    pub fn remember_locks(&self, folder: &Path, context: &Context) -> Result<()> {
        let locks = LockMemory::open(folder, &self.local_name(), &context.runtime);
        let locks = locks.map_err(|error| no_folder(folder, error))?;
        let _ = self.inner.locks.set(locks);
        Ok(())
    }

    /// Remembers the newest entry of the commit log in a folder of this machine, and refuses the repository when it lacks that
    /// entry later: then it was rolled back, or has lost entries. [`Repository::use_cache`] does this as well, in the cache's
    /// folder. Later calls have no effect.
    ///
    /// # Errors
    /// When the folder cannot be created. The repository still works without it.
    pub fn remember_log(&self, folder: &Path, context: &Context) -> Result<()> {
        let memory = LogMemory::open(folder, &self.local_name(), &context.runtime);
        let memory = memory.map_err(|error| no_folder(folder, error))?;
        let _ = self.inner.memory.set(memory);
        Ok(())
    }

    /// The name of files on this machine about this repository. It depends on the location, because a copy of a repository has the same
    /// id but separate objects.
    fn local_name(&self) -> String {
        let text = self.location();
        let place = if self.storage().is_remote() {
            text.to_owned()
        } else {
            // One folder may be named in several ways.
            std::fs::canonicalize(text)
                .map_or_else(|_| text.to_owned(), |path| path.display().to_string())
        };
        let place = blake3::hash(place.as_bytes()).to_hex();
        format!("{}-{}", self.config().id, &place[..16])
    }

    pub(crate) fn verified_packs(&self) -> Option<&VerifiedPacks> {
        self.inner.verified.get()
    }

    pub(crate) fn lock_memory(&self) -> Option<&LockMemory> {
        self.inner.locks.get()
    }

    pub(crate) fn log_memory(&self) -> Option<&LogMemory> {
        self.inner.memory.get()
    }

    pub(crate) fn cache(&self) -> Option<Arc<Cache>> {
        self.inner.cache.get().cloned()
    }
}

fn no_folder(folder: &Path, error: std::io::Error) -> Error {
    Error::io(format!("cannot use {}", folder.display()), error).at(Site::Cache)
}
