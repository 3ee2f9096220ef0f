//! Objects as files on a local disk.
//!
//! Reading, writing and deleting is done by `object_store`'s `LocalFileSystem`. A [`Disk`] adds
//! what that leaves open: durable folders, strict listings and the removal of leftovers. It is
//! the only module which knows the operating system. Invariant: once a write is reported, the
//! object, its name, and the names of all folders above it are on the device.
//!
//! # How an object comes into being
//!
//! The bytes are written to a staging file next to the final name, `name#1` (or `#2`, … if that
//! exists), which is flushed, closed, linked to the final name and then unlinked; a link fails if
//! its name is taken, whence nothing is ever replaced. Then the folder is flushed. The file
//! system must support hard links, which FAT and some network file systems do not.
//!
//! A writer which is killed leaves its staging file, with some or all of the bytes, possibly next
//! to the finished object. `#` is not allowed in keys, so such files are never listed and cannot
//! be read; [`Disk::sweep`] removes them.
//!
//! # What is flushed
//!
//! `LocalFileSystem` flushes the folders it had to make, each together with the one above it.
//! That is not enough when the folder was made by somebody else a moment ago: another task or
//! process which has not flushed the folder above yet, or one which was killed before it could.
//! [`Disk::settle`] therefore flushes the chain of folders above an object, the first time this
//! process writes to each of them.
//!
//! Deletions are not flushed. A crash may bring a deleted object back, which costs space until it
//! is deleted again; nothing that was reported as written depends on its absence.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use object_store::local::LocalFileSystem;

use super::Backend;
use crate::{key, list::ObjectInfo, options::StorageOptions};

/// Opens a directory which exists.
pub(crate) fn open(path: &Path, options: &StorageOptions) -> io::Result<Backend> {
    if !fs::metadata(path)?.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a directory",
        ));
    }
    let root = path.canonicalize()?;
    let store = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?;
    let disk = Disk {
        root,
        fsync: options.fsync,
        settled: Mutex::default(),
    };
    Ok(Backend {
        disk: Some(Arc::new(disk)),
        ..Backend::new(Arc::new(store.with_fsync(options.fsync)))
    })
}

/// Makes a directory and those above it, durably, and opens it.
pub(crate) fn create(path: &Path, options: &StorageOptions) -> io::Result<Backend> {
    let path = std::path::absolute(path)?;
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.exists())
        .collect();
    // Not even asking to make what exists, for on a read-only disk that might be refused.
    if !missing.is_empty() {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match create_private(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            // `open` finds out whether that is a directory.
            _ => {}
        }
    }
    if options.fsync {
        for parent in missing.iter().filter_map(|made| made.parent()) {
            sync_dir(parent)?;
        }
        // One who made the directory before may have been killed before flushing its name. It may
        // also have been made by somebody else in a folder which is not ours to open.
        if let (true, Some(parent)) = (missing.is_empty(), path.parent()) {
            sync_dir(parent).ok();
        }
    }
    open(&path, options)
}

/// Makes one directory which only its owner may enter: file names and sizes are private, too.
fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Flushes the entries of a directory; elsewhere than on Unix there is no way to do so.
fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        fs::File::open(path)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| at(path, &error))?;
    }
    Ok(())
}

/// Adds the path to an error of the operating system, which does not tell it by itself.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What a directory on local disk needs beyond reading, writing and deleting.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    fsync: bool,
    /// The folders whose names, and those of all folders above them, are known to be durable.
    settled: Mutex<HashSet<PathBuf>>,
}

impl Disk {
    /// Removes a folder if there is nothing in it.
    pub(crate) fn remove_empty(&self, folder: &str) {
        let _ = fs::remove_dir(self.root.join(folder));
    }

    /// Makes the names of the folders above an object durable after it was written, and also
    /// its own name if it `existed`, for then its writer may not have come that far yet.
    pub(crate) async fn settle(self: &Arc<Self>, key: &str, existed: bool) -> io::Result<()> {
        let object = self.root.join(key);
        if !self.fsync || (!existed && self.unsettled(&object).is_empty()) {
            return Ok(());
        }
        let disk = Arc::clone(self);
        blocking(move || {
            if let (true, Some(folder)) = (existed, object.parent()) {
                sync_dir(folder)?;
            }
            let folders = disk.unsettled(&object);
            for folder in &folders {
                if let Some(parent) = folder.parent() {
                    sync_dir(parent)?;
                }
            }
            // Only now, as a folder counts as settled together with everything above it.
            disk.settled
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(folders);
            Ok(())
        })
        .await
    }

    /// Returns the folders above an object, below the root, which are not known to be durable.
    fn unsettled(&self, object: &Path) -> Vec<PathBuf> {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        object
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != self.root && !settled.contains(*folder))
            .map(Path::to_path_buf)
            .collect()
    }

    /// Returns all objects below a folder, in no order; a missing folder has none.
    ///
    /// `LocalFileSystem` leaves out files it cannot examine, and gives up on names it cannot
    /// represent. Here every error counts, and files which cannot be objects do not.
    pub(crate) async fn list(self: &Arc<Self>, folder: &str) -> io::Result<Vec<ObjectInfo>> {
        let (disk, folder) = (Arc::clone(self), folder.to_owned());
        blocking(move || {
            let mut objects = Vec::new();
            disk.walk(
                &folder,
                &|name| key::is_segment(name),
                &mut |key, _, metadata| {
                    if key::is_key(&key) {
                        let modified = metadata.modified()?;
                        objects.push(ObjectInfo {
                            key,
                            size: metadata.len(),
                            modified,
                        });
                    }
                    Ok(())
                },
            )?;
            Ok(objects)
        })
        .await
    }

    /// Removes the staging files last written to before `older_than`; returns how many.
    /// Returns the names in the root, whatever they are, but for files which are being staged.
    pub(crate) async fn top_level(self: &Arc<Self>) -> io::Result<Vec<String>> {
        let disk = Arc::clone(self);
        blocking(move || {
            let mut names = Vec::new();
            for item in fs::read_dir(&disk.root)? {
                let name = item?.file_name().to_string_lossy().into_owned();
                if !is_staging_name(&name) {
                    names.push(name);
                }
            }
            Ok(names)
        })
        .await
    }

    pub(crate) async fn sweep(self: &Arc<Self>, older_than: SystemTime) -> io::Result<usize> {
        let disk = Arc::clone(self);
        blocking(move || {
            let mut removed = 0;
            disk.walk("", &is_staging_name, &mut |_, path, metadata| {
                if metadata.modified()? < older_than {
                    match fs::remove_file(path) {
                        Ok(()) => removed += 1,
                        // Its writer has finished, or another process sweeps as well.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(at(path, &error)),
                    }
                }
                Ok(())
            })?;
            Ok(removed)
        })
        .await
    }

    /// Visits the files below a folder whose names are `wanted`.
    fn walk(
        &self,
        folder: &str,
        wanted: &dyn Fn(&str) -> bool,
        visit: &mut dyn FnMut(String, &Path, &fs::Metadata) -> io::Result<()>,
    ) -> io::Result<()> {
        // A root which has disappeared is not an empty storage.
        fs::metadata(&self.root).map_err(|error| at(&self.root, &error))?;
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let path = self.root.join(&folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(at(&path, &error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| at(&path, &error))?;
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let key = if folder.is_empty() {
                    name.clone()
                } else {
                    format!("{folder}/{name}")
                };
                // Long keys are not keys; the limit also ends a circle of symbolic links.
                if key.len() > key::MAX_KEY_LEN + STAGING_SUFFIX_LEN {
                    continue;
                }
                // Symbolic links are followed, so that folders may be on other disks.
                let path = entry.path();
                let metadata = match fs::metadata(&path) {
                    Ok(metadata) => metadata,
                    Err(error) if is_absent(&error) => continue,
                    Err(error) => return Err(at(&path, &error)),
                };
                if metadata.is_dir() && key::is_segment(&name) {
                    folders.push(key);
                } else if metadata.is_file() && wanted(&name) {
                    visit(key, &path, &metadata)?;
                }
            }
        }
        Ok(())
    }
}

/// The longest suffix of a staging file that is looked for: `#` and a number of 32 bits.
const STAGING_SUFFIX_LEN: usize = 11;

/// Returns whether a file of this name is one which `LocalFileSystem` is writing, or was.
fn is_staging_name(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(object, number)| {
        key::is_segment(object)
            && (1..STAGING_SUFFIX_LEN).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Returns whether there is nothing by that name, any more or at all.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Runs something that waits for the disk where it does not hold up other tasks, if there are any.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(work)
            .await
            .map_err(io::Error::other)?,
        Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_names_are_told_from_others() {
        for name in ["a#1", "pack.data#42", "a#0"] {
            assert!(is_staging_name(name), "{name}");
        }
        for name in [
            "a",
            "a#",
            "#1",
            "a#x",
            "A#1",
            "a#1#2",
            "a b#1",
            "a#12345678901",
        ] {
            assert!(!is_staging_name(name), "{name}");
        }
    }
}
