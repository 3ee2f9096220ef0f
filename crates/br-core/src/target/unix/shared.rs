//! Files written by several threads.
//!
//! [`SharedFile`] is an unfinished file, [`OpenFiles`] holds the files that are currently open. Invariant: at most [`MAX_OPEN`] unfinished
//! files are open; the others are opened again for their next write.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::apply::{Subject, Surplus, apply};
use super::file;
use super::folders::{Beneath, Folder, TemporaryName};
use crate::model::{Entry, EntryPath};
use crate::target::{MetadataOptions, MetadataWarning, TargetError};

/// Maximum number of shared files that stay open.
const MAX_OPEN: usize = 64;

/// An unfinished file with a temporary name that several threads can write. Dropping it before [`SharedFile::finish`] deletes it.
#[derive(Debug)]
pub struct SharedFile {
    beneath: Arc<Beneath>,
    path: EntryPath,
    temporary: TemporaryName,
    /// Device and inode. A different file with the temporary name is not written to.
    id: (u64, u64),
    is_finished: AtomicBool,
}

impl SharedFile {
    pub(super) fn create(
        beneath: &Arc<Beneath>,
        folder: &Arc<Folder>,
        path: EntryPath,
    ) -> io::Result<Self> {
        let (temporary, file) = file::create(beneath, folder)?;
        let stat = rustix::fs::fstat(&file)?;
        let temporary = temporary.release();
        let id = (stat.st_dev, stat.st_ino);
        beneath.open_files.insert(id, &Arc::new(file));
        let beneath = Arc::clone(beneath);
        Ok(Self {
            beneath,
            path,
            temporary,
            id,
            is_finished: AtomicBool::new(false),
        })
    }

    /// Writes bytes at an offset. Parts that are never written read as zeros and use no space.
    ///
    /// # Errors
    /// When the system refuses, or the file was replaced by another.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        let written = self
            .open()
            .and_then(|file| file::write_all(file.as_fd(), offset, bytes));
        written.map_err(TargetError::entry(&self.path, "write the file"))
    }

    /// Sets the file's length. Needed for a file that ends with a hole.
    ///
    /// # Errors
    /// As for [`SharedFile::write_at`].
    pub fn set_len(&self, len: u64) -> Result<(), TargetError> {
        let set = self
            .open()
            .and_then(|file| Ok(rustix::fs::ftruncate(&*file, len)?));
        set.map_err(TargetError::entry(&self.path, "write the file"))
    }

    /// Sets the entry's metadata and gives the file its name. Replaces an existing file, link or empty folder. Call it once, after the
    /// last write.
    ///
    /// # Errors
    /// When the system refuses, a folder that is not empty is in the way, or the file is already finished.
    pub fn finish(
        &self,
        entry: &Entry,
        options: &MetadataOptions,
    ) -> Result<Vec<MetadataWarning>, TargetError> {
        self.finish_inner(entry, options)
            .map_err(TargetError::entry(&self.path, "finish the file"))
    }

    fn finish_inner(
        &self,
        entry: &Entry,
        options: &MetadataOptions,
    ) -> io::Result<Vec<MetadataWarning>> {
        if self.is_finished.load(Ordering::Acquire) {
            return Err(io::Error::other("the file is already finished"));
        }
        let file = self.open()?;
        let folder = self.folder()?;
        let surplus = Surplus::in_new(&folder);
        let warnings = apply(Subject::Open(file.as_fd()), entry, options, surplus)?;
        self.beneath
            .publish(&folder, &self.temporary, self.path.name())?;
        self.is_finished.store(true, Ordering::Release);
        self.beneath.open_files.remove(self.id);
        Ok(warnings)
    }

    fn folder(&self) -> io::Result<Folder> {
        self.beneath.folder(self.path.parent().unwrap_or_default())
    }

    fn open(&self) -> io::Result<Arc<OwnedFd>> {
        if let Some(file) = self.beneath.open_files.get(self.id) {
            return Ok(file);
        }
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let folder = self.folder()?;
        let file = rustix::fs::openat(&folder, &self.temporary[..], flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if (stat.st_dev, stat.st_ino) != self.id {
            return Err(io::Error::other(
                "the unfinished file was replaced by another",
            ));
        }
        let file = Arc::new(file);
        self.beneath.open_files.insert(self.id, &file);
        Ok(file)
    }
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        if !*self.is_finished.get_mut() {
            self.beneath.open_files.remove(self.id);
            // It is too late to report an error. The name shows that the file is unfinished.
            if let Ok(folder) = self.folder() {
                rustix::fs::unlinkat(&folder, &self.temporary[..], AtFlags::empty()).ok();
            }
        }
    }
}

type Id = (u64, u64);

/// Open files by device and inode, least recently used first.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(Mutex<Vec<(Id, Arc<OwnedFd>)>>);

impl OpenFiles {
    fn get(&self, id: Id) -> Option<Arc<OwnedFd>> {
        let mut files = self.lock();
        let at = files.iter().rposition(|(other, _)| *other == id)?;
        files[at..].rotate_left(1);
        files.last().map(|(_, file)| Arc::clone(file))
    }

    fn insert(&self, id: Id, file: &Arc<OwnedFd>) {
        let mut files = self.lock();
        if !files.iter().any(|(other, _)| *other == id) {
            if files.len() == MAX_OPEN {
                files.remove(0);
            }
            files.push((id, Arc::clone(file)));
        }
    }

    fn remove(&self, id: Id) {
        self.lock().retain(|(other, _)| *other != id);
    }

    /// Locks the list. Ignores poisoning, because a thread that panics leaves the list intact.
    fn lock(&self) -> MutexGuard<'_, Vec<(Id, Arc<OwnedFd>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
