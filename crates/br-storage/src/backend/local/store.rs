//! Access to the files of a local disk through the interface of `object_store`.
//!
//! [`DiskStore`] reads, writes and deletes below a [`Root`]. Invariant: a file has all of its bytes when its
//! name appears.

use std::{
    collections::hash_map::RandomState,
    fmt,
    fs::File,
    hash::{BuildHasher as _, Hasher as _},
    io,
    io::Write as _,
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, path::Path,
};

use super::{Disk, blocking, root::is_absent, upload::Upload};

/// The longest range that is read at once; longer ones are read in parts of this length.
const PART_LEN: u64 = 8 << 20;
/// How many random staging names are tried.
const MAX_STAGED: u32 = 100;
/// How many times a file is written if a sweep removes its staging file each time.
const MAX_WRITES: u32 = 3;

/// Reads, writes and deletes files below a folder.
#[derive(Debug)]
pub(super) struct DiskStore(pub(super) Arc<Disk>);

impl fmt::Display for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.root.path().display())
    }
}

impl Disk {
    /// Writes a file under a staging name and then publishes it. If a sweep removes the staging file, writes
    /// it again: a `prune` whose clock is ahead takes the file for a leftover.
    fn write(&self, key: &str, payload: &PutPayload, replace: bool) -> io::Result<()> {
        for _ in 0..MAX_WRITES {
            let (staged, mut file) = self.stage(key)?;
            payload
                .iter()
                .try_for_each(|piece| file.write_all(piece))
                .inspect_err(|_| self.discard(&staged))?;
            #[cfg(test)]
            self.before_publish(&staged);
            match self.publish(&staged, &file, key, replace) {
                Err(error) if is_swept(&error) => {}
                published => return published,
            }
        }
        Err(swept())
    }

    /// Gives a complete file its final name. The staging name is gone afterwards, also after an error.
    ///
    /// Fails with an error that [`is_swept`] recognises if the staging name no longer leads to this file.
    pub(super) fn publish(
        &self,
        staged: &str,
        file: &File,
        key: &str,
        replace: bool,
    ) -> io::Result<()> {
        let synced = if self.fsync { file.sync_all() } else { Ok(()) };
        let is_there = synced.and_then(|()| self.root.is_file(staged, file));
        if let Ok(false) = is_there {
            // The file of this name belongs to another writer, and stays.
            return Err(swept());
        }
        let published = is_there.and_then(|_| {
            if replace {
                self.root.rename(staged, key)
            } else {
                self.root.link(staged, key)
            }
        });
        let published = published.map_err(|error| {
            if is_absent(&error) {
                // It was removed between the check and the link.
                swept()
            } else {
                error
            }
        });
        if !replace || published.is_err() {
            self.discard(staged);
        }
        published?;
        if self.fsync {
            self.root.sync_folder(folder_of(key))?;
        }
        Ok(())
    }

    /// Removes a staging file. Ignores errors: such files are never listed, and a sweep removes them later.
    fn discard(&self, staged: &str) {
        let _ = self.root.remove_file(staged);
    }

    /// Makes a staging file. Its number is random, so that two writers of one key do not get the same name,
    /// even if the file of the first writer is swept.
    pub(super) fn stage(&self, key: &str) -> io::Result<(String, File)> {
        let mut made_folders = false;
        for _ in 0..MAX_STAGED {
            let name = format!("{key}#{}", staging_number());
            loop {
                match self.root.create_file(&name) {
                    Ok(file) => return Ok((name, file)),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound && !made_folders => {
                        self.create_folders(key)?;
                        made_folders = true;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn create_folders(&self, key: &str) -> io::Result<()> {
        for (at, _) in key.match_indices('/') {
            self.root.create_folder(&key[..at])?;
        }
        Ok(())
    }

    /// Opens a file and reads the first part of a range. The inner error is about the requested range.
    fn read(&self, key: &str, options: &GetOptions) -> io::Result<Result<Found>> {
        let (file, metadata) = self.root.open_file(key)?;
        let meta = ObjectMeta {
            location: Path::from(key),
            last_modified: metadata.modified()?.into(),
            size: metadata.len(),
            e_tag: None,
            version: None,
        };
        let wanted = options.check_preconditions(&meta).and_then(|()| {
            let Some(range) = &options.range else {
                return Ok(0..meta.size);
            };
            range.as_range(meta.size).map_err(|error| Error::Generic {
                store: "local",
                source: Box::new(error),
            })
        });
        let range = match wanted {
            Ok(range) => range,
            Err(error) => return Ok(Err(error)),
        };
        let first = if options.head {
            Bytes::new()
        } else {
            read_part(&file, &range)?
        };
        Ok(Ok(Found {
            file,
            meta,
            range,
            first,
        }))
    }
}

/// A file that is open for reading.
struct Found {
    file: File,
    meta: ObjectMeta,
    range: Range<u64>,
    first: Bytes,
}

/// Reads a range, at most one part of it. Returns fewer bytes only if the file ends earlier.
fn read_part(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let len = (range.end - range.start).min(PART_LEN);
    let mut part = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < part.len() {
        match file.read_at(&mut part[filled..], range.start + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    part.truncate(filled);
    Ok(part.into())
}

/// Streams the rest of a range in parts.
fn parts(file: File, range: Range<u64>, location: Path) -> BoxStream<'static, Result<Bytes>> {
    let file = Arc::new(file);
    futures::stream::try_unfold(range, move |range| {
        let (file, location) = (Arc::clone(&file), location.clone());
        async move {
            if range.is_empty() {
                return Ok(None);
            }
            let wanted = range.clone();
            let part = blocking(move || read_part(&file, &wanted)).await;
            let part = part.map_err(|error| store_error(&location, error))?;
            let next = if part.is_empty() {
                range.end
            } else {
                range.start + part.len() as u64
            };
            Ok(Some((part, next..range.end)))
        }
    })
    .boxed()
}

/// A random number for a staging name.
///
/// It protects no secret and names no object, so the seed that the standard library draws for its hash maps
/// is enough: it comes from the system, differs between processes, and each call gets another one.
fn staging_number() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 32) as u32
}

/// The staging file was removed while its object was being written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the file was removed while it was being written: see that the clocks of all machines that run prune are right"
)]
struct Swept;

/// Not a "not found" error: the caller did not look for an object.
fn swept() -> io::Error {
    io::Error::other(Swept)
}

fn is_swept(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Swept>())
        .is_some()
}

/// The folder of a key; empty if the key is in the root.
pub(super) fn folder_of(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn store_error(path: &Path, error: io::Error) -> Error {
    let path = path.to_string();
    match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists {
            path,
            source: error.into(),
        },
        _ if is_absent(&error) => Error::NotFound {
            path,
            source: error.into(),
        },
        _ => Error::Generic {
            store: "local",
            source: error.into(),
        },
    }
}

/// Converts an error of a write. It never becomes "not found": a write does not look for an object.
pub(super) fn put_error(path: &Path, error: io::Error) -> Error {
    if is_absent(&error) {
        return Error::Generic {
            store: "local",
            source: error.into(),
        };
    }
    store_error(path, error)
}

pub(super) fn put_result() -> PutResult {
    PutResult {
        e_tag: None,
        version: None,
        extensions: object_store::Extensions::default(),
    }
}

fn unsupported(operation: &str) -> Error {
    Error::NotSupported {
        source: format!("a local disk has no {operation}").into(),
    }
}

#[async_trait::async_trait]
impl ObjectStore for DiskStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let replace = match options.mode {
            PutMode::Create => false,
            PutMode::Overwrite => true,
            PutMode::Update(_) => return Err(unsupported("updates")),
        };
        let (disk, key) = (Arc::clone(&self.0), location.to_string());
        let written = blocking(move || disk.write(&key, &payload, replace)).await;
        written.map_err(|error| put_error(location, error))?;
        Ok(put_result())
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = Upload::start(&self.0, location).await;
        let upload = upload.map_err(|error| put_error(location, error))?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (disk, key) = (Arc::clone(&self.0), location.to_string());
        let found = blocking(move || disk.read(&key, &options)).await;
        let Found {
            file,
            meta,
            range,
            first,
        } = found.map_err(|error| store_error(location, error))??;
        let rest = range.start + first.len() as u64..range.end;
        // If the file has become shorter, the stream ends early, and the caller notices.
        let has_rest = first.len() as u64 == PART_LEN && !rest.is_empty();
        let first = futures::stream::once(async move { Ok(first) });
        let payload = if has_rest {
            first.chain(parts(file, rest, location.clone())).boxed()
        } else {
            first.boxed()
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta,
            range,
            attributes: Attributes::default(),
            extensions: object_store::Extensions::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let disk = Arc::clone(&self.0);
        locations
            .map(move |location| {
                let disk = Arc::clone(&disk);
                async move {
                    let location = location?;
                    let key = location.to_string();
                    let removed = blocking(move || disk.root.remove_file(&key)).await;
                    removed.map_err(|error| store_error(&location, error))?;
                    Ok(location)
                }
            })
            .buffered(10)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let disk = Arc::clone(&self.0);
        let folder = prefix.map(Path::to_string).unwrap_or_default();
        let listing = async move {
            let objects = disk.list(&folder).await;
            let objects = objects.map_err(|error| store_error(&Path::from(folder), error));
            match objects {
                Ok(objects) => objects
                    .into_iter()
                    .map(|object| Ok(object.into()))
                    .collect(),
                Err(error) => vec![Err(error)],
            }
        };
        futures::stream::once(listing)
            .flat_map(futures::stream::iter)
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let children = self.0.children(prefix.as_ref()).await;
        let children = children.map_err(|error| store_error(&prefix, error))?;
        let mut listed = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: object_store::Extensions::default(),
        };
        for child in children {
            let location = prefix.clone().join(child.name);
            if child.is_folder {
                listed.common_prefixes.push(location);
            } else {
                listed.objects.push(ObjectMeta {
                    location,
                    last_modified: child.modified.into(),
                    size: child.size,
                    e_tag: None,
                    version: None,
                });
            }
        }
        Ok(listed)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unsupported("copies"))
    }
}

impl From<crate::ObjectInfo> for ObjectMeta {
    fn from(object: crate::ObjectInfo) -> Self {
        Self {
            location: Path::from(object.key),
            last_modified: object.modified.into(),
            size: object.size,
            e_tag: None,
            version: None,
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
