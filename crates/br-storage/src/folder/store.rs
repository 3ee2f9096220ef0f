//! Prefixes of object stores.
//!
//! [`StoreFolder`] uses the operations of [`Storage`] with any path, and blocks on their futures. Invariant:
//! an object appears with one request. The store refuses the request if the name is taken; if the store
//! cannot do that, br checks the name just before.

use std::{fmt, ops::Range};

use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    Error as StoreError, GetResult, MultipartUpload, ObjectMeta, ObjectStoreExt as _, PutMode,
    PutPayload, path::Path,
};
use tokio::runtime::Handle;

use super::{
    FileInfo, FileReader, FolderContents,
    file::Source,
    path::{check, join, split},
};
use crate::{
    error::{Error, ErrorKind, Operation, Result},
    payload::Payload,
    storage::Storage,
    write::Creation,
};

/// The smallest part of an upload, in bytes.
const PART_LEN: usize = 8 << 20;
/// The maximum number of parts of an upload. Stores accept 10,000, and the size is not known exactly.
const MAX_PARTS: u64 = 9_000;

#[derive(Clone)]
pub(super) struct StoreFolder {
    storage: Storage,
    prefix: String,
    runtime: Handle,
}

impl StoreFolder {
    pub(super) fn new(storage: &Storage, prefix: &str, runtime: Handle) -> Result<Self> {
        let refuse = |kind, cause: String| {
            let place = storage.location_text();
            Error::new(kind, Operation::Open, Some(prefix), place, cause)
        };
        if storage.is_local_disk() {
            let cause = "it is on local disk, where a folder is opened by its path";
            return Err(refuse(ErrorKind::Unsupported, cause.to_owned()));
        }
        if !prefix.is_empty() {
            check(prefix).map_err(|cause| refuse(ErrorKind::Invalid, cause.to_string()))?;
        }
        Ok(Self {
            storage: storage.clone(),
            prefix: prefix.to_owned(),
            runtime,
        })
    }

    pub(super) fn folder(&self, path: &str) -> Self {
        Self {
            prefix: join(&self.prefix, path),
            ..self.clone()
        }
    }

    pub(super) fn parent(&self) -> Option<(Self, String)> {
        if self.prefix.is_empty() {
            return None;
        }
        let (above, name) = split(&self.prefix);
        let above = Self {
            prefix: above.to_owned(),
            ..self.clone()
        };
        Some((above, name.to_owned()))
    }

    /// The path in the store.
    fn key(&self, operation: Operation, path: &str) -> Result<Path> {
        let key = join(&self.prefix, path);
        Path::parse(&key).map_err(|cause| {
            let place = self.storage.location_text();
            Error::new(ErrorKind::Invalid, operation, Some(&key), place, cause)
        })
    }

    fn list_error(&self, under: &Path, error: &StoreError) -> Error {
        self.storage
            .store_error(Operation::List, under.as_ref(), error)
    }

    pub(super) fn list(&self, path: &str) -> Result<StoreListing> {
        let under = self.key(Operation::List, path)?;
        // The runtime must be entered, because some stores spawn a task first.
        let _entered = self.runtime.enter();
        let objects = self.storage.store().list(Some(&under));
        Ok(StoreListing {
            folder: self.clone(),
            under,
            objects: Some(objects),
        })
    }

    pub(super) fn contents(&self, path: &str) -> Result<FolderContents> {
        let under = self.key(Operation::List, path)?;
        let list = async || {
            let listed = self.storage.store().list_with_delimiter(Some(&under)).await;
            listed.map_err(|error| self.list_error(&under, &error))
        };
        let listed = self.runtime.block_on(self.storage.repeat(list))?;
        let objects = listed.objects.iter();
        let folders = listed.common_prefixes.iter();
        Ok(FolderContents {
            folders: folders
                .filter_map(|folder| Some(below(&under, folder)?.to_owned()))
                .collect(),
            files: objects.filter_map(|object| file(&under, object)).collect(),
        })
    }

    pub(super) fn size(&self, path: &str) -> Result<u64> {
        let key = self.key(Operation::Read, path)?;
        let size = self.storage.repeat(|| self.storage.size_at(&key));
        self.runtime.block_on(size)
    }

    pub(super) fn read(&self, path: &str, max_len: u64) -> Result<Vec<u8>> {
        let key = self.key(Operation::Read, path)?;
        let read = self.storage.get_at(&key, max_len);
        Ok(self.runtime.block_on(read)?.into())
    }

    pub(super) fn open(&self, path: &str, range: Option<&Range<u64>>) -> Result<FileReader> {
        let key = self.key(Operation::Read, path)?;
        let len = range.map(|range| range.end.saturating_sub(range.start));
        let open = async || match range {
            Some(range) => self.storage.fetch_range(&key, range.clone()).await,
            None => {
                let result = self.storage.fetch(&key, None).await?;
                Ok((result.meta.size, Some(result)))
            }
        };
        let (size, stream) = self.runtime.block_on(async {
            let (size, result) = self.storage.repeat(open).await?;
            let stream = result.map(GetResult::into_stream);
            Ok::<_, Error>((size, stream.unwrap_or(futures::stream::empty().boxed())))
        })?;
        let place = self.storage.location_text().to_owned();
        let name = key.to_string();
        let reader = StoreReader {
            stream,
            now: Bytes::new(),
            folder: self.clone(),
            key,
        };
        let left = len.unwrap_or(size);
        let from = Source::Store(reader);
        Ok(FileReader::new(from, size, left, &name, place))
    }

    pub(super) fn create(&self, path: &str, size: u64) -> Result<StoreWriter> {
        let part = usize::try_from(size / MAX_PARTS).unwrap_or(PART_LEN);
        Ok(StoreWriter {
            key: self.key(Operation::Write, path)?,
            folder: self.clone(),
            part: part.max(PART_LEN),
            buffer: Vec::new(),
            upload: None,
        })
    }

    pub(super) fn delete(&self, path: &str) -> Result<()> {
        let key = self.key(Operation::Delete, path)?;
        let mut failed = self.runtime.block_on(self.storage.delete_at(vec![key]));
        match failed.pop() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

impl fmt::Display for StoreFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.storage.location_text())?;
        match self.prefix.as_str() {
            "" => Ok(()),
            prefix => write!(f, "/{prefix}"),
        }
    }
}

/// Returns the part of a key below a prefix.
fn below<'k>(prefix: &Path, key: &'k Path) -> Option<&'k str> {
    let rest = key.as_ref().strip_prefix(prefix.as_ref())?;
    match prefix.as_ref() {
        "" => Some(rest),
        _ => rest.strip_prefix('/'),
    }
}

fn file(under: &Path, object: &ObjectMeta) -> Option<FileInfo> {
    Some(FileInfo {
        path: below(under, &object.location)?.to_owned(),
        size: object.size,
        is_regular: true,
    })
}

/// An iterator over the objects of a listing.
pub(super) struct StoreListing {
    folder: StoreFolder,
    under: Path,
    /// `None` after an error.
    objects: Option<BoxStream<'static, object_store::Result<ObjectMeta>>>,
}

impl StoreListing {
    pub(super) fn next(&mut self) -> Option<Result<FileInfo>> {
        loop {
            let next = self.objects.as_mut()?.next();
            match self.folder.runtime.block_on(next)? {
                Ok(object) => {
                    if let Some(file) = file(&self.under, &object) {
                        return Some(Ok(file));
                    }
                }
                Err(error) => {
                    self.objects = None;
                    return Some(Err(self.folder.list_error(&self.under, &error)));
                }
            }
        }
    }
}

/// Reads an object.
pub(super) struct StoreReader {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    now: Bytes,
    folder: StoreFolder,
    key: Path,
}

impl StoreReader {
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.now.is_empty() {
            match self.folder.runtime.block_on(self.stream.next()) {
                Some(Ok(bytes)) => self.now = bytes,
                Some(Err(error)) => {
                    let storage = &self.folder.storage;
                    return Err(storage.store_error(Operation::Read, self.key.as_ref(), &error));
                }
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.now.len());
        buffer[..count].copy_from_slice(&self.now.split_to(count));
        Ok(count)
    }
}

/// Writes an object: a small one with one request, a larger one in parts.
pub(super) struct StoreWriter {
    folder: StoreFolder,
    key: Path,
    part: usize,
    buffer: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl StoreWriter {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let now = bytes.len().min(self.part - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..now]);
        if self.buffer.len() == self.part {
            self.send().map_err(|error| self.failed(&error))?;
        }
        Ok(now)
    }

    pub(super) fn finish(mut self) -> Result<Creation> {
        if self.upload.is_none() {
            return self.put();
        }
        let completed = self.complete();
        self.created(completed)
    }

    fn failed(&self, error: &StoreError) -> Error {
        let storage = &self.folder.storage;
        storage.store_error(Operation::Write, self.key.as_ref(), error)
    }

    fn created(&self, written: object_store::Result<()>) -> Result<Creation> {
        match written {
            Ok(()) => Ok(Creation::Created),
            Err(StoreError::AlreadyExists { .. }) => Ok(Creation::AlreadyExists),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn put(&mut self) -> Result<Creation> {
        let payload = Payload::from(std::mem::take(&mut self.buffer));
        let StoreFolder {
            storage, runtime, ..
        } = &self.folder;
        let created = storage.create_at(&self.key, payload.clone());
        match runtime.block_on(created) {
            // The store does not support conditional writes.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let written = runtime.block_on(async {
                    storage.check_absent(&self.key).await?;
                    let replace = PutMode::Overwrite;
                    storage.put_once(&self.key, &payload, replace).await
                });
                self.created(written)
            }
            created => created,
        }
    }

    fn complete(&mut self) -> object_store::Result<()> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        let StoreFolder {
            storage, runtime, ..
        } = &self.folder;
        let Some(mut upload) = self.upload.take() else {
            return Ok(());
        };
        runtime.block_on(async {
            let completed = match storage.check_absent(&self.key).await {
                Ok(()) => upload.complete().await.map(drop),
                Err(error) => Err(error),
            };
            if completed.is_err() {
                // Parts that remain cost money. The first error is the one to report.
                drop(upload.abort().await);
            }
            completed
        })
    }

    /// Sends the buffer as one part.
    fn send(&mut self) -> object_store::Result<()> {
        let part = PutPayload::from(std::mem::take(&mut self.buffer));
        let StoreFolder {
            storage, runtime, ..
        } = &self.folder;
        let (upload, key) = (&mut self.upload, &self.key);
        runtime.block_on(async {
            let upload = match upload {
                Some(upload) => upload,
                none => none.insert(storage.store().put_multipart(key).await?),
            };
            upload.put_part(part).await
        })
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            // If this fails, the rules of the store about unfinished uploads apply.
            drop(self.folder.runtime.block_on(upload.abort()));
        }
    }
}
