//! Local folders.
//!
//! [`LocalPlace`] walks to every file from the folder that the user named, one part of the path at a time. Invariant: only that folder may be
//! reached by a symbolic link; below it a link is an error, even one that somebody puts there in between.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::super::error::{Error, ErrorKind, Result};
use super::super::limits::Limits;
use super::super::path::{RESERVED, join};
use super::{Children, Entry};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW);
/// What MatrixOne gives its own files and folders.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

#[derive(Clone)]
pub(super) struct LocalPlace {
    /// What the user named.
    root: Arc<Path>,
    /// A folder below it; empty for itself.
    dir: String,
}

impl LocalPlace {
    pub(super) fn new(root: &Path) -> Self {
        let root = match root.as_os_str().is_empty() {
            true => Path::new("."),
            false => root,
        };
        Self {
            root: root.into(),
            dir: String::new(),
        }
    }

    pub(super) fn folder(&self) -> PathBuf {
        match self.dir.as_str() {
            "" => self.root.to_path_buf(),
            dir => self.root.join(dir),
        }
    }

    pub(super) fn below(&self, dir: &str) -> Self {
        Self {
            root: Arc::clone(&self.root),
            dir: join(&self.dir, dir),
        }
    }

    pub(super) fn parent(&self) -> Option<(Self, String)> {
        if self.dir.is_empty() {
            let name = self.root.file_name()?.to_str()?.to_owned();
            return Some((Self::new(self.root.parent()?), name));
        }
        let (parent, name) = self.dir.rsplit_once('/').unwrap_or(("", &self.dir));
        let place = Self {
            root: Arc::clone(&self.root),
            dir: parent.to_owned(),
        };
        Some((place, name.to_owned()))
    }

    /// Opens the folder that `path` lies in, and gives the last part of the path.
    fn walk<'p>(&self, path: &'p str, make: bool) -> io::Result<(OwnedFd, &'p str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.walk_dir(parent, make)?, name))
    }

    /// Opens a folder, and makes it if `make`.
    fn walk_dir(&self, path: &str, make: bool) -> io::Result<OwnedFd> {
        if make {
            std::fs::create_dir_all(&self.root)?;
        }
        let mut folder = OwnedFd::from(File::open(&self.root)?);
        let parts = self.dir.split('/').chain(path.split('/'));
        for part in parts.filter(|part| !part.is_empty()) {
            let next = match openat(&folder, part, FOLDER | OFlags::CLOEXEC, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    match mkdirat(&folder, part, FOLDER_MODE) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    openat(&folder, part, FOLDER | OFlags::CLOEXEC, Mode::empty())
                }
                other => other,
            };
            folder = match next {
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(irregular(&format!("{part} is no folder")).into());
                }
                other => other?,
            };
        }
        Ok(folder)
    }

    pub(super) fn list(&self, dir: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        let mut folders = vec![String::new()];
        while let Some(below) = folders.pop() {
            let depth = below.split('/').count();
            self.entries(&join(dir, &below), &mut |name, kind| {
                let path = join(&below, name);
                match kind {
                    Kind::Folder if depth > Limits::PATH_PARTS => {
                        Err(Error::refused("too many folders within each other").at(path))
                    }
                    Kind::Folder => {
                        folders.push(path);
                        Ok(())
                    }
                    Kind::File { size, is_regular } => each(Entry {
                        path,
                        size,
                        is_regular,
                    }),
                }
            })?;
        }
        Ok(())
    }

    pub(super) fn children(&self, dir: &str, limit: usize) -> Result<Children> {
        let mut out = Children::default();
        self.entries(dir, &mut |name, kind| {
            match kind {
                // One over the limit is enough for the caller to refuse it.
                _ if out.dirs.len() + out.files.len() > limit => {}
                Kind::Folder => out.dirs.push(name.to_owned()),
                Kind::File { size, is_regular } => out.files.push(Entry {
                    path: name.to_owned(),
                    size,
                    is_regular,
                }),
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Looks at what lies in a folder. Names that are not UTF-8 are none of MatrixOne's, but they are in the way.
    fn entries(&self, dir: &str, each: &mut dyn FnMut(&str, Kind) -> Result<()>) -> Result<()> {
        let failed = |error| Error::io("cannot list", error);
        let folder = match self.walk_dir(dir, false) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let entries = rustix::fs::Dir::read_from(&folder).map_err(|error| failed(error.into()))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed(error.into()))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // It was removed meanwhile.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(failed(error.into())),
            };
            let kind = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
                rustix::fs::FileType::Directory => Kind::Folder,
                kind => Kind::File {
                    size: u64::try_from(stat.st_size).unwrap_or(0),
                    is_regular: kind == rustix::fs::FileType::RegularFile,
                },
            };
            each(&name.to_string_lossy(), kind)?;
        }
        Ok(())
    }

    pub(super) fn size(&self, path: &str) -> Result<Option<u64>> {
        match self.open(path) {
            Ok((_, size)) => Ok(Some(size)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn open(&self, path: &str) -> Result<(File, u64)> {
        let failed = |error| Error::io("cannot open", error);
        let (folder, name) = self.walk(path, false).map_err(failed)?;
        // Without waiting for the other end of a pipe.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&folder, name, flags, Mode::empty()) {
            Err(Errno::LOOP) => return Err(irregular("it is a symbolic link")),
            file => File::from(file.map_err(|error| failed(error.into()))?),
        };
        let metadata = file.metadata().map_err(failed)?;
        match metadata.is_file() {
            true => Ok((file, metadata.len())),
            false => Err(irregular("it is no file")),
        }
    }

    pub(super) fn create(&self, path: &str) -> Result<LocalWriter> {
        let failed = |error| Error::io("cannot create", error);
        let (folder, name) = self.walk(path, true).map_err(failed)?;
        let temporary = format!("{RESERVED}{name}.tmp");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let open = || openat(&folder, &temporary, flags | OFlags::CLOEXEC, FILE_MODE);
        let file = match open() {
            // Of a run that was killed; two at once are kept apart by a lock.
            Err(Errno::EXIST) => {
                unlinkat(&folder, &temporary, AtFlags::empty()).and_then(|()| open())
            }
            file => file,
        };
        let file = File::from(file.map_err(|error| failed(error.into()))?);
        Ok(LocalWriter {
            file,
            folder,
            temporary,
            name: name.to_owned(),
            is_done: false,
        })
    }

    pub(super) fn delete(&self, path: &str) -> Result<()> {
        let deleted = self.walk(path, false).and_then(|(folder, name)| {
            unlinkat(&folder, name, AtFlags::empty()).map_err(io::Error::from)
        });
        match deleted {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("cannot delete", error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn prune(&self, dir: &str) -> Result<()> {
        for name in self.children(dir, usize::MAX)?.dirs {
            self.prune(&join(dir, &name))?;
        }
        let removed = self.walk(dir, false).and_then(|(folder, name)| {
            unlinkat(&folder, name, AtFlags::REMOVEDIR).map_err(io::Error::from)
        });
        match removed {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(Error::io("cannot remove the folder", error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn lock(&self) -> Result<Lock> {
        let failed = |error| Error::io(format!("cannot use {}", self.folder().display()), error);
        let folder = File::from(self.walk_dir("", true).map_err(failed)?);
        match folder.try_lock() {
            Ok(()) => Ok(Lock(folder)),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Exists,
                format!("another restore into {} runs", self.folder().display()),
            )),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub(super) fn sync(&self) -> Result<()> {
        let synced = self.walk_dir("", false).and_then(|folder| {
            #[cfg(target_os = "linux")]
            rustix::fs::syncfs(&folder)?;
            #[cfg(not(target_os = "linux"))]
            rustix::fs::fsync(&folder)?;
            Ok(())
        });
        synced.map_err(|error| Error::io("cannot make sure that it is on disk", error))
    }

    pub(super) fn free_bytes(&self) -> Option<u64> {
        let folder = self.folder();
        let mut folders = folder
            .ancestors()
            .map(|folder| match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            });
        let stat = folders.find_map(|folder| rustix::fs::statvfs(folder).ok())?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Keeps others out of a folder.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// Closing the file would not do: a process that is being started just now has it open too, for a moment.
    fn drop(&mut self) {
        // It is gone with the process at the latest.
        drop(self.0.unlock());
    }
}

enum Kind {
    Folder,
    File { size: u64, is_regular: bool },
}

/// Something that is no file, where one should be.
fn irregular(text: &str) -> Error {
    Error::refused(format!("{text}; links and devices are not followed"))
}

/// Writes beside where the file will be.
pub(super) struct LocalWriter {
    file: File,
    folder: OwnedFd,
    temporary: String,
    name: String,
    is_done: bool,
}

impl LocalWriter {
    pub(super) fn finish(mut self) -> Result<()> {
        let finished = self.publish();
        self.is_done = finished.is_ok();
        finished.map_err(|error| Error::io("cannot give the file its name", error))
    }

    fn publish(&self) -> io::Result<()> {
        // On Linux one call at the end of a restore is for all files together.
        #[cfg(not(target_os = "linux"))]
        self.file.sync_all()?;
        let (folder, from, to) = (self.folder.as_fd(), &self.temporary, &self.name);
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        {
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(folder, from, folder, to, flags) {
                // Not every file system can.
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

impl Write for LocalWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        if !self.is_done {
            // What stays is replaced by the next run.
            let _ = unlinkat(&self.folder, &self.temporary, AtFlags::empty());
        }
    }
}
