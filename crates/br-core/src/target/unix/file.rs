//! Files written by one thread.
//!
//! [`NewFile`] is an unfinished file. Invariant: a file gets its final name only with all its bytes and metadata.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::apply::{Subject, Surplus, apply};
use super::folders::{Beneath, Folder, Temporary};
use crate::model::{Entry, EntryPath};
use crate::target::{MetadataOptions, MetadataWarning, TargetError};

/// An unfinished file with a temporary name. Dropping it before [`NewFile::finish`] deletes it.
#[derive(Debug)]
pub struct NewFile {
    beneath: Arc<Beneath>,
    path: EntryPath,
    file: OwnedFd,
    temporary: Temporary,
}

impl NewFile {
    pub(super) fn create(
        beneath: &Arc<Beneath>,
        folder: &Arc<Folder>,
        path: EntryPath,
    ) -> io::Result<Self> {
        let (temporary, file) = create(beneath, folder)?;
        Ok(Self {
            beneath: Arc::clone(beneath),
            path,
            file,
            temporary,
        })
    }

    /// Writes bytes at an offset. Parts that are never written read as zeros and use no space.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        write_all(self.file.as_fd(), offset, bytes)
            .map_err(TargetError::entry(&self.path, "write the file"))
    }

    /// Sets the file's length. Needed for a file that ends with a hole.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_len(&self, len: u64) -> Result<(), TargetError> {
        rustix::fs::ftruncate(&self.file, len)
            .map_err(|error| TargetError::entry(&self.path, "write the file")(error.into()))
    }

    /// Sets the entry's metadata and gives the file its name. Replaces an existing file, link or empty folder.
    ///
    /// # Errors
    /// When the system refuses, or a folder that is not empty is in the way.
    pub fn finish(
        self,
        entry: &Entry,
        options: &MetadataOptions,
    ) -> Result<Vec<MetadataWarning>, TargetError> {
        let Self {
            beneath,
            path,
            file,
            temporary,
        } = self;
        finish(
            &beneath,
            file.as_fd(),
            temporary,
            path.name(),
            entry,
            options,
        )
        .map_err(TargetError::entry(&path, "finish the file"))
    }
}

/// Creates an empty file with a temporary name.
pub(super) fn create(beneath: &Beneath, folder: &Arc<Folder>) -> io::Result<(Temporary, OwnedFd)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    beneath.temporary(folder, |folder, name| {
        rustix::fs::openat(folder, name, flags, mode)
    })
}

/// Sets the metadata and gives the file its name.
pub(super) fn finish(
    beneath: &Beneath,
    file: BorrowedFd<'_>,
    temporary: Temporary,
    name: &[u8],
    entry: &Entry,
    options: &MetadataOptions,
) -> io::Result<Vec<MetadataWarning>> {
    let surplus = Surplus::in_new(&temporary.folder);
    let warnings = apply(Subject::Open(file), entry, options, surplus)?;
    temporary.publish(beneath, name)?;
    Ok(warnings)
}

/// Writes all bytes at an offset.
pub(super) fn write_all(file: BorrowedFd<'_>, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => {
                offset += len as u64;
                bytes = &bytes[len..];
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
