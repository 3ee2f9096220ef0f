//! Blocking storage access for the engine's threads, with the repository's keys.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use br_storage::{Creation, ObjectInfo, Storage};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::Mutex as AsyncMutex;

use super::damage::{self, DamageNotes};
use super::pages::Pages;
use super::{Cache, Layout, Repository, worker};
use crate::error::{Error, Result};
use crate::format::{
    self, Cipher, FormatError, Keyring, ObjectKind, PackContent, PackEntry, PackSeal, SealedObject,
    limits,
};
use crate::model::Backup;
use crate::model::{BackupId, ObjectId, PackId, References};
use crate::progress::{Context, Event};
use crate::warning::Warning;

/// Longer packs are never copied as a whole.
const MAX_COPIED_PACK: u64 = 80 << 20;
/// Fetching this many bytes takes hardly longer than fetching a part of them.
const SHORT_PACK: u64 = 1 << 20;

/// Blocking access to a repository's objects, for threads outside the async runtime.
#[derive(Clone, Debug)]
pub(crate) struct Io {
    pub(crate) repository: Repository,
    pub(crate) context: Context,
    handle: Handle,
    cache: Option<Arc<Cache>>,
    /// Packs from which parts were fetched, each with the lock for fetching the whole pack.
    partly: Arc<Mutex<HashMap<PackId, Arc<AsyncMutex<()>>>>>,
    /// Parts of tree packs in memory, for a snapshot.
    pages: Option<Arc<Pages>>,
    /// Damage found by this operation, to be recorded in the log at the end.
    pub(crate) damage: DamageNotes,
}

impl Io {
    /// Must be called within a tokio runtime; the methods of the result must be called from threads outside of it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) outside a tokio runtime.
    pub(crate) fn new(repository: &Repository, context: &Context) -> Result<Self> {
        let handle = Handle::try_current().map_err(|error| {
            let message =
                "this needs a tokio runtime: run it with `br_core::blocking`, or inside of one";
            Error::invalid(message).with_source(error)
        })?;
        Ok(Self {
            repository: repository.clone(),
            context: context.clone(),
            handle,
            cache: repository.cache(),
            partly: Arc::default(),
            pages: None,
            damage: DamageNotes::default(),
        })
    }

    /// Access to another repository, in the same operation.
    pub(crate) fn to(&self, repository: &Repository) -> Self {
        Self {
            repository: repository.clone(),
            context: self.context.clone(),
            handle: self.handle.clone(),
            cache: repository.cache(),
            partly: Arc::default(),
            pages: None,
            damage: DamageNotes::default(),
        }
    }

    /// The same access, for a snapshot: it keeps parts of tree packs in memory.
    pub(crate) fn lasting(&self) -> Self {
        Self {
            pages: Some(Arc::default()),
            ..self.clone()
        }
    }

    /// The same access for another call, with the runtime and the token of that call.
    pub(crate) fn again(&self, context: &Context) -> Result<Self> {
        Ok(Self {
            partly: Arc::clone(&self.partly),
            pages: self.pages.clone(),
            damage: self.damage.clone(),
            ..Self::new(&self.repository, context)?
        })
    }

    /// Runs blocking work on its own thread. Dropping the future cancels the work.
    ///
    /// # Errors
    /// Those of the work, and when no thread can be started.
    pub(crate) async fn run<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.context.cancel = self.context.cancel.child_token();
        let guard = self.context.cancel.clone().drop_guard();
        let mut running = worker::start(move || {
            let result = work(&self);
            damage::remember(&self);
            result
        })?;
        let result = worker::finish(&mut running).await;
        drop(guard);
        result
    }

    /// The same access with a separate cache that is empty at first and deleted at the end: every object is read from the store, and only
    /// once.
    pub(crate) fn with_fresh_cache(&self) -> Self {
        Self {
            cache: self
                .cache()
                .and_then(|cache| cache.fresh().ok())
                .map(Arc::new),
            partly: Arc::default(),
            ..self.clone()
        }
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref()
    }

    pub(crate) fn storage(&self) -> &Storage {
        self.repository.storage()
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        self.repository.keyring()
    }

    pub(crate) fn cipher(&self) -> Cipher {
        self.repository.config().cipher
    }

    /// When the repository was created.
    pub(crate) fn created(&self) -> Timestamp {
        self.repository.config().created
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Reports a problem that does not stop the operation.
    pub(crate) fn warn(&self, warning: &Warning) {
        self.context.progress.event(Event::Warning(warning));
    }

    /// True if an operation that only reads may add a log entry with what it found: damage, or proof.
    pub(crate) fn may_take_notes(&self) -> bool {
        let config = self.repository.config();
        let is_writable = config.version.check_writable().is_ok();
        let is_proven = !self.keyring().is_of_recipient();
        is_writable && is_proven && config.store.exclusive_create && self.storage().is_own()
    }

    pub(crate) fn check_cancelled(&self) -> Result<()> {
        if self.context.cancel.is_cancelled() {
            Err(Error::interrupted())
        } else {
            Ok(())
        }
    }

    /// Runs a future to completion, unless the operation is cancelled.
    pub(crate) fn block<T, E: Into<Error>>(
        &self,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T> {
        let cancel = &self.context.cancel;
        self.handle.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Error::interrupted()),
                result = future => result.map_err(Into::into),
            }
        })
    }

    /// As [`Io::block`], for reads of small objects only. On a disk this thread reads the files: that takes less time than to
    /// wait for another thread.
    pub(crate) fn block_on_read<T, E: Into<Error>>(
        &self,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T> {
        if !self.storage().is_local_disk() {
            return self.block(future);
        }
        self.check_cancelled()?;
        futures::executor::block_on(future).map_err(Into::into)
    }

    /// Reads a range of a pack. Packs of tree nodes are read often, and finally in full, so the second request for such a pack copies the
    /// whole pack to this machine.
    pub(crate) async fn pack_range(&self, pack: &PackEntry, range: Range<u64>) -> Result<Bytes> {
        let key = Layout::pack(pack.id);
        let is_tree = pack.table.content == PackContent::Tree;
        let may_copy =
            |cache: &&Cache| is_tree && pack.len <= MAX_COPIED_PACK && cache.is_writable();
        let Some(cache) = self.cache().filter(may_copy) else {
            return match self.pages.as_ref().filter(|_| is_tree) {
                Some(pages) => pages.range(self.storage(), pack, range).await,
                None => Ok(self.storage().get_range(&key, range).await?),
            };
        };
        if let Some(bytes) = cache.range(&key, pack.len, range.clone()) {
            return Ok(bytes);
        }
        let Some(right) = self.fetch_whole(pack) else {
            return Ok(self.storage().get_range(&key, range).await?);
        };
        let _right = right.lock().await;
        if let Some(bytes) = cache.range(&key, pack.len, range.clone()) {
            return Ok(bytes);
        }
        let whole = self.storage().get(&key, pack.len).await?;
        let part = whole.get(range.start as usize..range.end as usize);
        let Some(part) = part.filter(|_| whole.len() as u64 == pack.len) else {
            return Err(Error::damaged(format!("{key} is shorter than it must be")));
        };
        cache.put(&key, std::slice::from_ref(&whole));
        // Copy the part: a slice would keep the whole pack in memory.
        Ok(Bytes::copy_from_slice(part))
    }

    /// Deletes the local copy of a pack. True if there was one: a damaged copy may be the reason for an error.
    pub(crate) fn drop_copy(&self, pack: PackId) -> bool {
        let key = Layout::pack(pack);
        let pages = self.pages.as_ref();
        let had_pages = pages.is_some_and(|pages| pages.drop_pack(pack));
        self.cache().is_some_and(|cache| cache.remove(&key)) || had_pages
    }

    /// Returns the lock for fetching a whole pack if the pack is short or was read before; otherwise `None`.
    fn fetch_whole(&self, pack: &PackEntry) -> Option<Arc<AsyncMutex<()>>> {
        let mut partly = self.partly.lock().ok()?;
        let was_read = partly.contains_key(&pack.id);
        let right = Arc::clone(partly.entry(pack.id).or_default());
        (was_read || pack.len <= SHORT_PACK).then_some(right)
    }

    pub(crate) fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>> {
        self.block(self.storage().list(folder))
    }

    pub(crate) fn delete_all(&self, keys: Vec<String>) -> Result<Vec<(String, br_storage::Error)>> {
        self.block(async { Ok::<_, Error>(self.storage().delete_all(keys).await) })
    }

    /// Stores an object. Its key must be unique.
    pub(crate) fn create(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let bytes = Bytes::from(bytes);
        match self.block(self.storage().create_new(key, bytes.clone().into()))? {
            Creation::Created => {
                self.keep(key, &[bytes]);
                Ok(())
            }
            Creation::AlreadyExists => Err(Error::internal(format!("{key} exists already"))),
        }
    }

    /// Copies an object that was just read or written to this machine, if its kind is cached.
    pub(crate) fn keep(&self, key: &str, pieces: &[Bytes]) {
        if let Some(cache) = self.cache().filter(|_| Cache::keeps(key)) {
            cache.put(key, pieces);
        }
    }

    /// Creates the header of a new object.
    pub(crate) fn new_object(&self, kind: ObjectKind, id: ObjectId) -> SealedObject {
        SealedObject::new(self.keyring(), self.cipher(), kind, id)
    }

    /// Tries `open` with each header that the pack can have, one for each master key and the current one first, until one fits. Returns
    /// the first error if none does.
    pub(crate) fn open_in_pack<T>(
        &self,
        pack: PackSeal,
        mut open: impl FnMut(&SealedObject) -> Result<T, FormatError>,
    ) -> Result<T, FormatError> {
        let mut first = None;
        let (keys, cipher) = (self.keyring(), self.cipher());
        for number in keys.numbers() {
            let object = SealedObject::of_pack(keys, number, cipher, pack);
            match object.and_then(|object| open(&object)) {
                Err(error) => drop(first.get_or_insert(error)),
                opened => return opened,
            }
        }
        Err(first.unwrap_or(FormatError::Checksum))
    }

    /// Reads an object of `N` frames and checks its kind.
    pub(crate) fn read_object<const N: usize>(
        &self,
        key: &str,
        kind: ObjectKind,
        limit: u64,
    ) -> Result<(ObjectId, [Vec<u8>; N])> {
        let read =
            |bytes: &[u8]| format::read_object(self.keyring(), self.cipher(), kind, bytes, limit);
        let cache = self.cache().filter(|_| Cache::keeps(key));
        if let Some(bytes) = cache.and_then(|cache| cache.get(key, limit)) {
            match read(&bytes) {
                Ok(object) => return Ok(object),
                // The copy is damaged, or the object was repaired in the store.
                Err(_) => drop(cache.map(|cache| cache.remove(key))),
            }
        }
        let bytes = self.block_on_read(self.storage().get(key, limit))?;
        let object = read(&bytes).map_err(|error| Error::format(key, error))?;
        self.keep(key, &[bytes]);
        Ok(object)
    }

    /// Stores a backup's manifest and returns its length.
    pub(crate) fn create_manifest(&self, backup: &Backup, references: &References) -> Result<u64> {
        let object = self.new_object(ObjectKind::Manifest, self.context.runtime.object_id());
        let frames = [
            format::backup_to_json(backup),
            format::encode_references(references),
        ];
        let bytes = format::write_object(&object, &[&frames[0], &frames[1]]);
        let len = bytes.len() as u64;
        self.create(&Layout::manifest(backup.id), bytes)?;
        Ok(len)
    }

    /// Reads a backup's manifest.
    pub(crate) fn read_manifest(&self, id: BackupId) -> Result<(Backup, References)> {
        let (description, references) = self.read_manifest_frames(id)?;
        let backup = format::backup_from_json(&description);
        let backup = backup.map_err(|error| Error::format(&Layout::manifest(id), error))?;
        check_manifest(id, backup.id)?;
        Ok((backup, references))
    }

    /// Reads the reference set in a backup's manifest.
    pub(crate) fn read_references(&self, id: BackupId) -> Result<References> {
        let (description, references) = self.read_manifest_frames(id)?;
        let found = format::backup_id_from_json(&description);
        let found = found.map_err(|error| Error::format(&Layout::manifest(id), error))?;
        check_manifest(id, found)?;
        Ok(references)
    }

    /// Reads the description in a manifest, as JSON, and its reference set.
    fn read_manifest_frames(&self, id: BackupId) -> Result<(Vec<u8>, References)> {
        let key = Layout::manifest(id);
        let (_, [description, references]) =
            self.read_object(&key, ObjectKind::Manifest, limits::MANIFEST)?;
        let references =
            format::decode_references(&references).map_err(|error| Error::format(&key, error))?;
        Ok((description, references))
    }
}

fn check_manifest(id: BackupId, found: BackupId) -> Result<()> {
    if found == id {
        return Ok(());
    }
    let key = Layout::manifest(id);
    Err(Error::damaged(format!(
        "{key} describes another backup, {found}"
    )))
}
