//! Storage as the engine's own threads see it: blocking calls, with the repository's keys.

use std::future::Future;

use br_storage::{Creation, ObjectInfo, Payload, Storage};
use bytes::Bytes;
use tokio::runtime::Handle;

use super::{Layout, Repository};
use crate::error::{Error, Result};
use crate::format::{self, Cipher, MasterKey, ObjectKind, SealedObject, limits};
use crate::model::Backup;
use crate::model::{BackupId, ObjectId, PackId, References};
use crate::progress::Context;

/// Blocking access to a repository's objects, for threads outside the async runtime.
#[derive(Clone, Debug)]
pub(crate) struct Io {
    pub(crate) repository: Repository,
    pub(crate) context: Context,
    handle: Handle,
}

impl Io {
    /// Must be called within a tokio runtime; the calls of the result must be made from other threads.
    pub(crate) fn new(repository: &Repository, context: &Context) -> Self {
        Self {
            repository: repository.clone(),
            context: context.clone(),
            handle: Handle::current(),
        }
    }

    pub(crate) fn storage(&self) -> &Storage {
        self.repository.storage()
    }

    pub(crate) fn master(&self) -> &MasterKey {
        self.repository.master()
    }

    pub(crate) fn cipher(&self) -> Cipher {
        self.repository.config().cipher
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn check_cancelled(&self) -> Result<()> {
        if self.context.cancel.is_cancelled() {
            Err(Error::interrupted())
        } else {
            Ok(())
        }
    }

    /// Runs a future to its end, unless the caller cancels.
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

    pub(crate) fn get(&self, key: &str, limit: u64) -> Result<Bytes> {
        self.block(self.storage().get(key, limit))
    }

    pub(crate) fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>> {
        self.block(self.storage().list(folder))
    }

    pub(crate) fn delete_all(&self, keys: Vec<String>) -> Result<Vec<(String, br_storage::Error)>> {
        self.block(async { Ok::<_, Error>(self.storage().delete_all(keys).await) })
    }

    /// Stores an object under a name that nobody else can have. One that is there already is our own, from a request whose
    /// answer was lost.
    pub(crate) fn create(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let bytes = Bytes::from(bytes);
        let payload = Payload::from(bytes.clone());
        match self.block(self.storage().create_new(key, payload))? {
            Creation::Created => Ok(()),
            Creation::AlreadyExists if self.get(key, bytes.len() as u64)? == bytes => Ok(()),
            Creation::AlreadyExists => Err(Error::internal(format!("{key} exists already"))),
        }
    }

    /// Makes the header of a new object.
    pub(crate) fn new_object(&self, kind: ObjectKind, id: ObjectId) -> SealedObject {
        SealedObject::new(self.master(), self.cipher(), kind, id)
    }

    /// The header of a pack as its name says it must be.
    pub(crate) fn pack_object(&self, id: PackId) -> SealedObject {
        self.new_object(ObjectKind::Pack, ObjectId(id.0))
    }

    /// Reads an object of `N` frames and checks that it is of the kind that belongs there.
    pub(crate) fn read_object<const N: usize>(
        &self,
        key: &str,
        kind: ObjectKind,
        limit: u64,
    ) -> Result<(ObjectId, [Vec<u8>; N])> {
        let bytes = self.get(key, limit)?;
        format::read_object(self.master(), self.cipher(), kind, &bytes, limit)
            .map_err(|error| Error::format(key, error))
    }

    /// Stores a backup's manifest and returns how long it is.
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
        let key = Layout::manifest(id);
        let (_, [description, references]) =
            self.read_object(&key, ObjectKind::Manifest, limits::MANIFEST)?;
        let named = |error| Error::format(&key, error);
        let backup = format::backup_from_json(&description).map_err(named)?;
        let references = format::decode_references(&references).map_err(named)?;
        if backup.id == id {
            Ok((backup, references))
        } else {
            Err(Error::damaged(format!(
                "{key} describes another backup, {}",
                backup.id
            )))
        }
    }
}
