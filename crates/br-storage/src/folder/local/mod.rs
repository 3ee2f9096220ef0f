//! Folders on local disk.
//!
//! [`LocalFolder`] opens every file by walking from the folder that the user named, one name of the path at a
//! time. Invariant: only the path to that folder may contain symbolic links. Below it a link is an error,
//! even one that another process makes during the walk.

mod listing;
mod writer;

use std::{
    fmt,
    fs::{File, TryLockError},
    io::{self, Seek as _, SeekFrom},
    ops::Range,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, mkdirat, openat, unlinkat},
    io::Errno,
};

use listing::{Kind, Names};

pub(super) use listing::LocalListing;
pub(super) use writer::LocalWriter;

use super::{
    FileInfo, FileReader, FolderContents,
    file::Source,
    path::{MAX_DEPTH, join, split, unfinished},
};
use crate::error::{Error, ErrorKind, Operation, Result};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// Other programs read these files, so the umask decides who may read them.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

#[derive(Clone)]
pub(in crate::folder) struct LocalFolder {
    /// The folder that the user named.
    root: Arc<Path>,
    /// The path of a folder below it; empty for the root.
    below: String,
}

impl LocalFolder {
    pub(in crate::folder) fn new(root: &Path) -> Self {
        let root = if root.as_os_str().is_empty() {
            Path::new(".")
        } else {
            root
        };
        Self {
            root: root.into(),
            below: String::new(),
        }
    }

    fn path(&self) -> PathBuf {
        match self.below.as_str() {
            "" => self.root.to_path_buf(),
            below => self.root.join(below),
        }
    }

    pub(in crate::folder) fn folder(&self, path: &str) -> Self {
        Self {
            root: Arc::clone(&self.root),
            below: join(&self.below, path),
        }
    }

    pub(in crate::folder) fn parent(&self) -> Option<(Self, String)> {
        if self.below.is_empty() {
            let name = self.root.file_name()?.to_str()?.to_owned();
            return Some((Self::new(self.root.parent()?), name));
        }
        let (above, name) = split(&self.below);
        let above = Self {
            root: Arc::clone(&self.root),
            below: above.to_owned(),
        };
        Some((above, name.to_owned()))
    }

    fn error(&self, operation: Operation, path: &str, cause: io::Error) -> Error {
        let place = self.to_string();
        // Only `irregular` returns this kind.
        if cause.kind() == io::ErrorKind::InvalidData {
            return Error::new(ErrorKind::NotAFile, operation, Some(path), &place, cause);
        }
        Error::from_io(operation, Some(path), &place, cause)
    }

    /// Opens the folder of a file, and returns the name of the file in it.
    fn walk<'p>(&self, path: &'p str, make: bool) -> io::Result<(OwnedFd, &'p str)> {
        let (folder, name) = split(path);
        Ok((self.walk_folder(folder, make)?, name))
    }

    /// Opens a folder, and makes it if `make`.
    fn walk_folder(&self, path: &str, make: bool) -> io::Result<OwnedFd> {
        if make {
            std::fs::create_dir_all(&self.root)?;
        }
        let mut folder = OwnedFd::from(File::open(&self.root)?);
        let names = self.below.split('/').chain(path.split('/'));
        for name in names.filter(|name| !name.is_empty()) {
            let mut next = openat(&folder, name, FOLDER, Mode::empty());
            if make && matches!(next, Err(Errno::NOENT)) {
                match mkdirat(&folder, name, FOLDER_MODE) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                next = openat(&folder, name, FOLDER, Mode::empty());
            }
            folder = match next {
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(irregular(&format!("{name} is not a folder")));
                }
                next => next?,
            };
        }
        Ok(folder)
    }

    pub(in crate::folder) fn list(&self, path: &str) -> LocalListing {
        LocalListing {
            folder: self.clone(),
            path: path.to_owned(),
            left: vec![String::new()],
            now: None,
        }
    }

    pub(in crate::folder) fn contents(&self, path: &str, limit: usize) -> Result<FolderContents> {
        let mut contents = FolderContents::default();
        let Some(mut names) = self.names(path)? else {
            return Ok(contents);
        };
        while let Some((path, kind)) = names.next().map_err(|error| self.list_error(path, error))? {
            match kind {
                Kind::Folder => contents.folders.push(path),
                Kind::File { size, is_regular } => contents.files.push(FileInfo {
                    path,
                    size,
                    is_regular,
                }),
            }
            // One entry over the limit is enough for the caller to return an error.
            if contents.folders.len() + contents.files.len() > limit {
                break;
            }
        }
        Ok(contents)
    }

    fn list_error(&self, path: &str, error: io::Error) -> Error {
        self.error(Operation::List, path, error)
    }

    /// Opens a folder to list it; `None` if there is none.
    fn names(&self, path: &str) -> Result<Option<Names>> {
        let folder = match self.walk_folder(path, false) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.list_error(path, error)),
        };
        let entries = Dir::read_from(&folder);
        let entries = entries.map_err(|error| self.list_error(path, error.into()))?;
        Ok(Some(Names { folder, entries }))
    }

    pub(in crate::folder) fn size(&self, path: &str) -> Result<u64> {
        let opened = self.open_file(path);
        opened
            .map(|(_, size)| size)
            .map_err(|error| self.error(Operation::Read, path, error))
    }

    pub(in crate::folder) fn open(
        &self,
        path: &str,
        range: Option<&Range<u64>>,
    ) -> Result<FileReader> {
        let failed = |error| self.error(Operation::Read, path, error);
        let refuse = |kind, cause: String| {
            let place = self.to_string();
            Err(Error::new(kind, Operation::Read, Some(path), &place, cause))
        };
        let (mut file, size) = self.open_file(path).map_err(failed)?;
        let range = range.cloned().unwrap_or(0..size);
        let Some(len) = range.end.checked_sub(range.start) else {
            let cause = format!("the range {range:?} ends before it begins");
            return refuse(ErrorKind::Invalid, cause);
        };
        if range.end > size {
            let cause = format!(
                "the file has {size} bytes, and bytes up to {} were requested",
                range.end
            );
            return refuse(ErrorKind::Truncated, cause);
        }
        if range.start > 0 {
            file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        }
        let from = Source::Local(file);
        Ok(FileReader::new(from, size, len, path, self.to_string()))
    }

    fn open_file(&self, path: &str) -> io::Result<(File, u64)> {
        let (folder, name) = self.walk(path, false)?;
        // `NONBLOCK` keeps the call from waiting for the other end of a pipe.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&folder, name, flags, Mode::empty()) {
            Err(Errno::LOOP) => return Err(irregular("it is a symbolic link")),
            // The error for a socket.
            Err(Errno::NXIO) => return Err(irregular("it is not a regular file")),
            file => File::from(file?),
        };
        let metadata = file.metadata()?;
        if metadata.is_file() {
            Ok((file, metadata.len()))
        } else {
            Err(irregular("it is not a regular file"))
        }
    }

    pub(in crate::folder) fn create(&self, path: &str) -> Result<LocalWriter> {
        let failed = |error| self.error(Operation::Write, path, error);
        let (folder, name) = self.walk(path, true).map_err(failed)?;
        let temporary = unfinished(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let open = || openat(&folder, &temporary, flags | OFlags::CLOEXEC, FILE_MODE);
        let file = match open() {
            // A killed run left it. A lock prevents two runs at once.
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
            place: self.clone(),
            path: path.to_owned(),
        })
    }

    pub(in crate::folder) fn delete(&self, path: &str) -> Result<()> {
        let deleted = self.walk(path, false).and_then(|(folder, name)| {
            unlinkat(&folder, name, AtFlags::empty()).map_err(io::Error::from)
        });
        match deleted {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.error(Operation::Delete, path, error))
            }
            _ => Ok(()),
        }
    }

    pub(in crate::folder) fn remove_empty_folders(&self, path: &str) -> Result<()> {
        for name in self.contents(path, usize::MAX)?.folders {
            self.remove_empty_folders(&join(path, &name))?;
        }
        let removed = self.walk(path, false).and_then(|(folder, name)| {
            unlinkat(&folder, name, AtFlags::REMOVEDIR).map_err(io::Error::from)
        });
        match removed {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(self.error(Operation::Delete, path, error))
            }
            _ => Ok(()),
        }
    }

    pub(in crate::folder) fn lock(&self) -> Result<FolderLock> {
        let failed = |error| self.error(Operation::Open, "", error);
        let folder = File::from(self.walk_folder("", true).map_err(failed)?);
        match folder.try_lock() {
            Ok(()) => Ok(FolderLock(Some(folder))),
            Err(TryLockError::WouldBlock) => Err(failed(io::Error::new(
                io::ErrorKind::WouldBlock,
                "another process has locked it",
            ))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub(in crate::folder) fn sync(&self) -> Result<()> {
        let synced = self.walk_folder("", false).and_then(|folder| {
            #[cfg(target_os = "linux")]
            rustix::fs::syncfs(&folder)?;
            #[cfg(not(target_os = "linux"))]
            rustix::fs::fsync(&folder)?;
            Ok(())
        });
        synced.map_err(|error| self.error(Operation::Write, "", error))
    }

    pub(in crate::folder) fn free_bytes(&self) -> Option<u64> {
        let folder = self.path();
        let mut folders = folder.ancestors().map(|folder| {
            if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            }
        });
        let stat = folders.find_map(|folder| rustix::fs::statvfs(folder).ok())?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl fmt::Display for LocalFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path().display())
    }
}

/// The error for a file of another type than expected.
fn irregular(text: &str) -> io::Error {
    let text = format!("{text}; links and devices are not followed");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A locked folder.
#[derive(Debug)]
pub struct FolderLock(Option<File>);

impl FolderLock {
    pub(in crate::folder) fn none() -> Self {
        Self(None)
    }
}

impl Drop for FolderLock {
    /// Closing the file is not enough: a child process that is just starting may also have it open.
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            // The folder is unlocked at the latest when the process ends.
            drop(folder.unlock());
        }
    }
}
