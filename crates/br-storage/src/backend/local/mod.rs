//! Objects as files on a local disk.
//!
//! A [`Disk`] keeps the folder open ([`Root`]) and does what only disks need: durable folders, strict
//! listings and the removal of leftovers. `store` and `upload` read and write. Only these modules and
//! `folder::local` use the operating system. Invariant: when a write returns, the object, its name, and the
//! names of all folders above it are on the device.
//!
//! # How an object is written
//!
//! The bytes are written to a staging file next to the final name: `name#` and a random number. The staging
//! file is flushed, linked to the final name and then unlinked. A link fails if its name is taken, so no
//! object is ever replaced. Before the link, br checks that the staging name still leads to the file that was
//! written. If a sweep removed it, br writes the object again. Then br flushes the folder. The file system
//! must support hard links; FAT and some network file systems do not.
//!
//! A killed writer leaves its staging file, with some or all of the bytes, possibly next to the finished
//! object. Keys must not contain `#`, so such files are never listed and cannot be read. [`Disk::sweep`]
//! removes them.
//!
//! # Who may read it
//!
//! Files get mode 0600 and folders 0700, whatever the umask. If the folder has the set-gid bit and its group
//! may read, write and search (mode 2770), everything that is made in it gets the same group bits; others
//! never get access. Files that root makes in the folder of another user get that user as their owner.
//!
//! # What is flushed
//!
//! Each write flushes the folder of the object. That is not enough if the folder is new: this process, or
//! another one that was killed, may have made it without flushing the folder above. Therefore
//! [`Disk::settle`] flushes the chain of folders above an object, the first time this process writes to each
//! of them.
//!
//! Deletions are not flushed. A crash may restore a deleted object, which takes space until it is deleted
//! again. No reported write depends on its absence.

mod root;
mod store;
mod upload;

use std::{
    collections::HashSet,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use root::{FolderItem, Root, is_absent};
use rustix::fs::FileType;
use store::{DiskStore, folder_of};

use super::Backend;
use crate::{key, list::ObjectInfo, options::StorageOptions};

/// Opens an existing directory.
pub(crate) fn open(path: &Path, options: &StorageOptions) -> io::Result<Backend> {
    if !fs::metadata(path)?.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a directory",
        ));
    }
    let disk = Arc::new(Disk {
        root: Root::open(path)?,
        fsync: options.fsync,
        settled: Mutex::default(),
        #[cfg(test)]
        meddle: Mutex::default(),
    });
    let store = Arc::new(DiskStore(Arc::clone(&disk)));
    Ok(Backend {
        disk: Some(disk),
        ..Backend::new(store)
    })
}

/// Makes a directory and all missing ones above it, durably, and opens it.
pub(crate) fn create(path: &Path, options: &StorageOptions) -> io::Result<Backend> {
    let path = std::path::absolute(path)?;
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.exists())
        .collect();
    // On a read-only disk, even a request to make an existing directory could fail.
    if !missing.is_empty() {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match create_private(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            // `open` checks that it is a directory.
            _ => {}
        }
    }
    if options.shared {
        share(&path)?;
    }
    if options.fsync {
        for parent in missing.iter().filter_map(|made| made.parent()) {
            sync_dir(parent)?;
        }
        // The process that made the directory may have been killed before it flushed its name. Errors are
        // ignored: the folder above may belong to another user and be unreadable.
        if let (true, Some(parent)) = (missing.is_empty(), path.parent()) {
            sync_dir(parent).ok();
        }
    }
    open(&path, options)
}

/// Makes a directory that only its owner may enter: names and sizes of files are private, too.
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    fs::DirBuilder::new().mode(0o700).create(path)?;
    // The directory may inherit the set-gid bit, and the umask may have removed bits.
    if fs::metadata(path)?.permissions().mode() & 0o777 != 0o700 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Lets the group of a directory read and write its present and future files.
fn share(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    let wanted = 0o2770;
    if mode == wanted {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(wanted))?;
    if fs::metadata(path)?.permissions().mode() & 0o7777 != wanted {
        let message = "the folder cannot be shared: its owner is not in its group, or the file system has no modes";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    Ok(())
}

/// Flushes the entries of a directory.
fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| at(path, &error))
}

/// Adds the path to an error of the operating system, which does not contain it.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The functions of a local directory beyond reading, writing and deleting.
#[derive(Debug)]
pub(crate) struct Disk {
    root: Root,
    fsync: bool,
    /// The folders that are known to be durable, together with all folders above them.
    settled: Mutex<HashSet<String>>,
    /// Changes that a test makes to a staging file before it is published.
    #[cfg(test)]
    meddle: Mutex<Option<Meddle>>,
}

/// A change that a test makes to the staging file of this name.
#[cfg(test)]
struct Meddle(Box<MeddleFn>);

#[cfg(test)]
type MeddleFn = dyn FnMut(&Disk, &str) + Send;

#[cfg(test)]
impl std::fmt::Debug for Meddle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meddle")
    }
}

impl Disk {
    #[cfg(test)]
    fn before_publish(&self, staged: &str) {
        if let Some(meddle) = &mut *self.meddle.lock().unwrap() {
            meddle.0(self, staged);
        }
    }

    /// Fails if the path no longer leads to the open folder.
    pub(crate) async fn check_place(self: &Arc<Self>) -> io::Result<()> {
        let disk = Arc::clone(self);
        blocking(move || disk.root.check_place()).await
    }

    /// Returns whether the folder belongs to this user or is shared with a group.
    pub(crate) fn is_own(&self) -> bool {
        self.root.is_own().unwrap_or(false)
    }

    /// Removes a folder if it is empty.
    pub(crate) fn remove_empty(&self, folder: &str) {
        let _ = self.root.remove_folder(folder);
    }

    /// Makes the names of the folders above a written object durable. Also flushes the object's name if it
    /// `existed`, because its writer may not have done so yet.
    pub(crate) async fn settle(self: &Arc<Self>, key: &str, existed: bool) -> io::Result<()> {
        if !self.fsync || (!existed && self.unsettled(key).is_empty()) {
            return Ok(());
        }
        let (disk, key) = (Arc::clone(self), key.to_owned());
        blocking(move || {
            if existed {
                disk.sync(folder_of(&key))?;
            }
            let folders = disk.unsettled(&key);
            for folder in &folders {
                disk.sync(folder_of(folder))?;
            }
            // Not earlier: a settled folder implies that everything above it is durable.
            disk.settled
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(folders);
            Ok(())
        })
        .await
    }

    fn sync(&self, folder: &str) -> io::Result<()> {
        let synced = self.root.sync_folder(folder);
        synced.map_err(|error| self.in_folder(folder, &error))
    }

    fn in_folder(&self, folder: &str, error: &io::Error) -> io::Error {
        at(&self.root.path().join(folder), error)
    }

    /// Returns the folders above an object, below the root, that are not known to be durable.
    fn unsettled(&self, key: &str) -> Vec<String> {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::successors(Some(folder_of(key)), |folder| Some(folder_of(folder)))
            .take_while(|folder| !folder.is_empty() && !settled.contains(*folder))
            .map(str::to_owned)
            .collect()
    }

    /// Returns all objects below a folder, in no particular order; a missing folder has none.
    ///
    /// Any error fails the listing. Files whose names are not keys are ignored.
    pub(crate) async fn list(self: &Arc<Self>, folder: &str) -> io::Result<Vec<ObjectInfo>> {
        let (disk, folder) = (Arc::clone(self), folder.to_owned());
        blocking(move || {
            let mut objects = Vec::new();
            disk.walk(&folder, &key::is_segment, &mut |key, item| {
                if key::is_key(&key)
                    && let Some(stat) = item.stat()?
                {
                    objects.push(ObjectInfo {
                        key,
                        size: stat.st_size.try_into().unwrap_or(0),
                        modified: modified(&stat),
                    });
                }
                Ok(())
            })?;
            Ok(objects)
        })
        .await
    }

    /// Returns the keys of all objects below a folder, as [`Disk::list`], without reading the metadata of each file.
    pub(crate) async fn keys(self: &Arc<Self>, folder: &str) -> io::Result<Vec<String>> {
        let (disk, folder) = (Arc::clone(self), folder.to_owned());
        blocking(move || {
            let mut keys = Vec::new();
            disk.walk(&folder, &key::is_segment, &mut |key, _| {
                keys.extend(Some(key).filter(|key| key::is_key(key)));
                Ok(())
            })?;
            Ok(keys)
        })
        .await
    }

    /// Returns the names in a folder, including foreign files, but without staging files. A missing folder is
    /// empty.
    pub(crate) async fn children(self: &Arc<Self>, folder: &str) -> io::Result<Vec<Child>> {
        let (disk, folder) = (Arc::clone(self), folder.to_owned());
        blocking(move || {
            let mut children = Vec::new();
            let add = &mut |item: FolderItem<'_>| {
                let name = item.name().to_string_lossy().into_owned();
                if !is_staging_name(&name)
                    && let Some(stat) = item.stat()?
                {
                    children.push(Child {
                        name,
                        is_folder: FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
                        size: stat.st_size.try_into().unwrap_or(0),
                        modified: modified(&stat),
                    });
                }
                Ok(())
            };
            disk.root.check_exists()?;
            match disk.root.read_folder(&folder, add) {
                Err(error) if is_absent(&error) => {}
                read => read.map_err(|error| disk.in_folder(&folder, &error))?,
            }
            Ok(children)
        })
        .await
    }

    /// Removes the staging files that were last written before `older_than`. Returns their number.
    pub(crate) async fn sweep(self: &Arc<Self>, older_than: SystemTime) -> io::Result<usize> {
        let disk = Arc::clone(self);
        blocking(move || {
            let mut removed = 0;
            disk.walk("", &is_staging_name, &mut |name, item| {
                let stat = item.stat()?;
                if stat.is_some_and(|stat| modified(&stat) < older_than) {
                    match disk.root.remove_file(&name) {
                        Ok(()) => removed += 1,
                        // Its writer has finished, or another process sweeps at the same time.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(disk.in_folder(&name, &error)),
                    }
                }
                Ok(())
            })?;
            Ok(removed)
        })
        .await
    }

    /// Calls back for the files below a folder whose names are `wanted`.
    fn walk(
        &self,
        folder: &str,
        wanted: &dyn Fn(&str) -> bool,
        visit: &mut dyn FnMut(String, &FolderItem<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.root.check_exists()?;
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let read = self.root.read_folder(&folder, &mut |item| {
                let Ok(name) = item.name().into_string() else {
                    return Ok(());
                };
                let key = if folder.is_empty() {
                    name.clone()
                } else {
                    format!("{folder}/{name}")
                };
                // A longer name is not a key. The limit also ends a cycle of symbolic links.
                if key.len() > key::MAX_KEY_LEN + STAGING_SUFFIX_LEN {
                    return Ok(());
                }
                match item.kind()? {
                    Some(FileType::Directory) if key::is_segment(&name) => folders.push(key),
                    Some(FileType::RegularFile) if wanted(&name) => visit(key, &item)?,
                    _ => {}
                }
                Ok(())
            });
            match read {
                Err(error) if is_absent(&error) => {}
                read => read.map_err(|error| self.in_folder(&folder, &error))?,
            }
        }
        Ok(())
    }
}

/// A name in a folder of the disk.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) is_folder: bool,
    size: u64,
    modified: SystemTime,
}

/// When a file was last written to. Times before 1970 count as 1970.
fn modified(stat: &rustix::fs::Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// The length of the longest suffix of a staging file: `#` and a 32-bit number.
const STAGING_SUFFIX_LEN: usize = 11;

/// Returns whether this is the name of a staging file.
fn is_staging_name(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(object, number)| {
        key::is_segment(object)
            && (1..STAGING_SUFFIX_LEN).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Runs blocking disk operations on a thread for blocking work if there is a runtime.
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
    fn staging_names_are_distinguished_from_object_names() {
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
