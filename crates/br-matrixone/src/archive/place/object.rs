//! Prefixes of object stores.
//!
//! [`ObjectPlace`] makes the futures of an [`ObjectStore`] into calls that block. Invariant: an object appears in one request, made only if
//! there is none of its name, as far as the store can; otherwise it is looked for just before.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};
use tokio::runtime::Handle;

use super::super::error::{Error, ErrorKind, Result};
use super::super::path::join;
use super::{Children, Entry};

/// The smallest part of an upload, in bytes.
const PART_BYTES: usize = 8 << 20;
/// More parts than this no store takes, with a reserve for sizes that were not known exactly.
const PARTS: u64 = 9_000;

#[derive(Clone)]
pub(super) struct ObjectPlace {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    handle: Handle,
    /// What the store is called in messages.
    name: String,
}

impl ObjectPlace {
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: &str, handle: Handle) -> Self {
        Self {
            store,
            prefix: prefix.to_owned(),
            handle,
            name: String::new(),
        }
    }

    pub(super) fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// Where it is, in words.
    pub(super) fn shown(&self) -> String {
        match (self.name.as_str(), self.prefix.as_str()) {
            ("", prefix) => format!("/{prefix}"),
            (name, "") => name.to_owned(),
            (name, prefix) => format!("{prefix} in {name}"),
        }
    }

    /// An error about the place as a whole.
    fn failed(&self, what: &str, error: object_store::Error) -> Error {
        Error::store(format!("{what} {}", self.shown()), error)
    }

    pub(super) fn below(&self, dir: &str) -> Self {
        Self {
            prefix: join(&self.prefix, dir),
            ..self.clone()
        }
    }

    pub(super) fn parent(&self) -> Option<(Self, String)> {
        if self.prefix.is_empty() {
            return None;
        }
        let (parent, name) = self.prefix.rsplit_once('/').unwrap_or(("", &self.prefix));
        let above = Self {
            prefix: parent.to_owned(),
            ..self.clone()
        };
        Some((above, name.to_owned()))
    }

    /// The key of a path.
    fn key(&self, path: &str) -> Result<Path> {
        let key = Path::parse(join(&self.prefix, path));
        key.map_err(|error| Error::refused("the object store has no such names").because(error))
    }

    pub(super) fn list(&self, dir: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        let under = self.key(dir)?;
        let mut objects = self.store.list(Some(&under));
        while let Some(object) = self.handle.block_on(objects.next()) {
            let object = object.map_err(|error| self.failed("cannot list", error))?;
            if let Some(path) = below(&under, &object.location) {
                each(Entry {
                    path: path.to_owned(),
                    size: object.size,
                    is_regular: true,
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn children(&self, dir: &str) -> Result<Children> {
        let under = self.key(dir)?;
        let listed = self
            .handle
            .block_on(self.store.list_with_delimiter(Some(&under)));
        let listed = listed.map_err(|error| self.failed("cannot list", error))?;
        let dirs = listed.common_prefixes.iter();
        let files = listed.objects.iter().filter_map(|object| {
            Some(Entry {
                path: below(&under, &object.location)?.to_owned(),
                size: object.size,
                is_regular: true,
            })
        });
        Ok(Children {
            dirs: dirs
                .filter_map(|dir| Some(below(&under, dir)?.to_owned()))
                .collect(),
            files: files.collect(),
        })
    }

    pub(super) fn size(&self, path: &str) -> Result<Option<u64>> {
        match self.handle.block_on(self.store.head(&self.key(path)?)) {
            Ok(object) => Ok(Some(object.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("cannot look for it in", error)),
        }
    }

    pub(super) fn open(&self, path: &str) -> Result<(ObjectReader, u64)> {
        let key = self.key(path)?;
        // The runtime must be entered: some stores begin with a task of theirs.
        let opened = self.handle.block_on(async {
            let object = self.store.get(&key).await?;
            let size = object.meta.size;
            Ok((object.into_stream(), size))
        });
        let (stream, size) = opened.map_err(|error| self.failed("cannot open it in", error))?;
        let reader = ObjectReader {
            stream,
            now: Bytes::new(),
            handle: self.handle.clone(),
        };
        Ok((reader, size))
    }

    pub(super) fn create(&self, path: &str, size: u64) -> Result<ObjectWriter> {
        let part = usize::try_from(size / PARTS).unwrap_or(PART_BYTES);
        Ok(ObjectWriter {
            place: self.clone(),
            key: self.key(path)?,
            part: part.max(PART_BYTES),
            buffer: Vec::new(),
            upload: None,
        })
    }

    pub(super) fn delete(&self, path: &str) -> Result<()> {
        match self.handle.block_on(self.store.delete(&self.key(path)?)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("cannot delete from", error)),
        }
    }
}

/// What is left of a key below a prefix.
fn below<'k>(prefix: &Path, key: &'k Path) -> Option<&'k str> {
    let rest = key.as_ref().strip_prefix(prefix.as_ref())?;
    match prefix.as_ref() {
        "" => Some(rest),
        _ => rest.strip_prefix('/'),
    }
}

/// Reads an object.
pub(super) struct ObjectReader {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    now: Bytes,
    handle: Handle,
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.handle.block_on(self.stream.next()) {
                Some(Ok(bytes)) => self.now = bytes,
                Some(Err(error)) => return Err(Error::store("cannot read", error).into()),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.now.len());
        buffer[..count].copy_from_slice(&self.now.split_to(count));
        Ok(count)
    }
}

/// Writes an object: small ones in one request, others in parts.
pub(super) struct ObjectWriter {
    place: ObjectPlace,
    key: Path,
    part: usize,
    buffer: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl fmt::Debug for ObjectWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectWriter").finish_non_exhaustive()
    }
}

impl ObjectWriter {
    pub(super) fn finish(mut self) -> Result<()> {
        let place = self.place.clone();
        let finished = match self.upload.is_some() {
            true => self.complete(),
            false => self.put(),
        };
        finished.map_err(|error| match error {
            object_store::Error::AlreadyExists { .. } => {
                Error::new(ErrorKind::Exists, "an object of that name is there already")
            }
            error => place.failed("cannot write to", error),
        })
    }

    fn put(&mut self) -> object_store::Result<()> {
        let payload = PutPayload::from(std::mem::take(&mut self.buffer));
        let ObjectPlace { store, handle, .. } = &self.place;
        handle.block_on(async {
            let create = PutOptions::from(PutMode::Create);
            match store.put_opts(&self.key, payload.clone(), create).await {
                Err(
                    object_store::Error::NotImplemented { .. }
                    | object_store::Error::NotSupported { .. },
                ) => {}
                other => return other.map(drop),
            }
            absent(store.as_ref(), &self.key).await?;
            store.put(&self.key, payload).await.map(drop)
        })
    }

    fn complete(&mut self) -> object_store::Result<()> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        let ObjectPlace { store, handle, .. } = &self.place;
        let Some(mut upload) = self.upload.take() else {
            return Ok(());
        };
        handle.block_on(async {
            let completed = match absent(store.as_ref(), &self.key).await {
                Ok(()) => upload.complete().await.map(drop),
                Err(error) => Err(error),
            };
            if completed.is_err() {
                // Parts that stay behind cost money; what is wrong is told by the first error.
                drop(upload.abort().await);
            }
            completed
        })
    }

    /// Sends what is in the buffer as one part.
    fn send(&mut self) -> object_store::Result<()> {
        let part = PutPayload::from(std::mem::take(&mut self.buffer));
        let ObjectPlace { store, handle, .. } = &self.place;
        handle.block_on(async {
            let upload = match &mut self.upload {
                Some(upload) => upload,
                none => none.insert(store.put_multipart(&self.key).await?),
            };
            upload.put_part(part).await
        })
    }
}

/// Fails when there is an object.
async fn absent(store: &dyn ObjectStore, key: &Path) -> object_store::Result<()> {
    match store.head(key).await {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(object_store::Error::AlreadyExists {
            path: key.to_string(),
            source: "it was there before".into(),
        }),
    }
}

impl Write for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = bytes.len().min(self.part - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..now]);
        if self.buffer.len() == self.part {
            let sent = self.send();
            sent.map_err(|error| self.place.failed("cannot write to", error))?;
        }
        Ok(now)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            // What stays is for the store's own rules about uploads that were not completed.
            drop(self.place.handle.block_on(upload.abort()));
        }
    }
}
