//! New files on local disk.
//!
//! [`LocalWriter`] writes a file under a temporary name. Invariant: it never replaces a file that has the
//! final name.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    fs::{AtFlags, statat, unlinkat},
    io::Errno,
};

use super::LocalFolder;
use crate::{
    error::{Error, Operation, Result},
    write::Creation,
};

/// Writes a file under a temporary name in its final folder.
pub(in crate::folder) struct LocalWriter {
    pub(super) file: File,
    pub(super) folder: OwnedFd,
    pub(super) temporary: String,
    pub(super) name: String,
    pub(super) is_done: bool,
    pub(super) place: LocalFolder,
    pub(super) path: String,
}

impl LocalWriter {
    pub(in crate::folder) fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.file.write(bytes);
        written.map_err(|error| self.failed(error))
    }

    pub(in crate::folder) fn finish(mut self) -> Result<Creation> {
        match self.publish() {
            Ok(()) => {
                self.is_done = true;
                Ok(Creation::Created)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(Creation::AlreadyExists)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        self.place.error(Operation::Write, &self.path, error)
    }

    fn publish(&self) -> io::Result<()> {
        // On Linux, one later call of `sync` flushes all files together.
        #[cfg(not(target_os = "linux"))]
        self.file.sync_all()?;
        let (folder, from, to) = (self.folder.as_fd(), &self.temporary, &self.name);
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        {
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(folder, from, folder, to, flags) {
                // Not every file system supports this.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
                other => return Ok(other?),
            }
        }
        match statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(rustix::fs::renameat(folder, from, folder, to)?),
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        if !self.is_done {
            // The next writer of the file replaces a leftover.
            let _ = unlinkat(&self.folder, &self.temporary, AtFlags::empty());
        }
    }
}
