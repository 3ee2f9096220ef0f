//! Folders with files of any name.
//!
//! A [`Folder`] is a folder on local disk or a prefix of a [`Storage`]. It is for files that other programs
//! write or read: a [`Storage`] takes only the keys of a repository. Invariant: on disk, no link below the
//! folder is followed. A new file appears completely, under a name that was free, or not at all.

mod file;
mod local;
mod path;
mod store;

use std::{fmt, ops::Range};

use tokio::runtime::Handle;

pub use file::{FileReader, FileWriter};
pub use local::FolderLock;

use crate::{
    error::{Error, ErrorKind, Operation, Result},
    storage::Storage,
};
use local::{LocalFolder, LocalListing};
use store::{StoreFolder, StoreListing};

/// A file in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// Its path below the folder that was listed.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// False for symbolic links, devices and other files that cannot be opened.
    pub is_regular: bool,
}

/// The contents of one folder, without the contents of its subfolders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderContents {
    /// The names of the folders, sorted.
    pub folders: Vec<String>,
    /// All other entries, sorted by name.
    pub files: Vec<FileInfo>,
}

/// A folder on local disk or in an object store; cloning gives another handle to the same folder.
///
/// Paths are names joined by single slashes. A name is any UTF-8 text except `.` and `..`, without control characters and
/// backslashes, of at most 255 bytes; a path has at most 1,024 bytes and 64 names. Every method refuses others with
/// [`ErrorKind::Invalid`]. Listings and [`Folder::folder`] also take the empty path, which means the folder itself.
///
/// The methods block. In an object store they drive its futures with [`Handle::block_on`]: call them from threads outside the
/// runtime, such as those of `spawn_blocking`, and pass a handle to a multi-threaded runtime.
///
/// Any method may fail with [`ErrorKind::Denied`], [`ErrorKind::Unavailable`] or [`ErrorKind::Other`]. On disk a method fails with
/// [`ErrorKind::NotAFile`] if a link is on the path, or if the path leads to anything but a regular file.
#[derive(Clone)]
pub struct Folder(Inner);

#[derive(Clone)]
enum Inner {
    Local(LocalFolder),
    Store(StoreFolder),
}

impl Folder {
    /// Returns a folder on local disk. It need not exist; the path to it may contain links.
    ///
    /// Files get mode 0644 and folders 0755, less the umask.
    #[must_use]
    pub fn local(path: &std::path::Path) -> Self {
        Self(Inner::Local(LocalFolder::new(path)))
    }

    /// Returns all objects of a storage below a prefix. Slashes at both ends of the prefix do not matter.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the prefix is malformed; [`ErrorKind::Unsupported`] if the storage is on
    /// local disk: use [`Folder::local`] there.
    pub fn in_storage(storage: &Storage, prefix: &str, runtime: Handle) -> Result<Self> {
        StoreFolder::new(storage, prefix.trim_matches('/'), runtime)
            .map(|folder| Self(Inner::Store(folder)))
    }

    /// Returns whether the folder is on local disk.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.0, Inner::Local(_))
    }

    /// Returns a folder below this one. It need not exist.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`].
    pub fn folder(&self, path: &str) -> Result<Self> {
        self.check_folder(Operation::Open, path)?;
        Ok(Self(match &self.0 {
            Inner::Local(folder) => Inner::Local(folder.folder(path)),
            Inner::Store(folder) => Inner::Store(folder.folder(path)),
        }))
    }

    /// Returns the folder above and the name of this one in it; `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<(Self, String)> {
        match &self.0 {
            Inner::Local(folder) => folder
                .parent()
                .map(|(above, name)| (Self(Inner::Local(above)), name)),
            Inner::Store(folder) => folder
                .parent()
                .map(|(above, name)| (Self(Inner::Store(above)), name)),
        }
    }

    /// Lists all files below a folder, at any depth, in no particular order. A missing folder has none.
    ///
    /// Unfinished files of other writers are listed (see [`Folder::is_unfinished`]). In names on disk that
    /// are not UTF-8, the invalid bytes are replaced.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] if folders are nested more than 64 levels deep.
    pub fn list(&self, path: &str) -> Result<Listing> {
        self.check_folder(Operation::List, path)?;
        Ok(Listing(match &self.0 {
            Inner::Local(folder) => Files::Local(folder.list(path)),
            Inner::Store(folder) => Files::Store(folder.list(path)?),
        }))
    }

    /// Lists one folder. A missing folder has no contents.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] if there are more than `limit` files and folders.
    pub fn contents(&self, path: &str, limit: usize) -> Result<FolderContents> {
        self.check_folder(Operation::List, path)?;
        let mut contents = match &self.0 {
            Inner::Local(folder) => folder.contents(path, limit)?,
            Inner::Store(folder) => folder.contents(path)?,
        };
        if contents.folders.len().saturating_add(contents.files.len()) > limit {
            let cause = format!("there are more than {limit} files and folders");
            return Err(self.error(ErrorKind::TooLarge, Operation::List, path, cause));
        }
        contents.folders.sort_unstable();
        contents.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(contents)
    }

    /// Returns the size of a file in bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub fn size(&self, path: &str) -> Result<u64> {
        self.check(Operation::Read, path)?;
        match &self.0 {
            Inner::Local(folder) => folder.size(path),
            Inner::Store(folder) => folder.size(path),
        }
    }

    /// Opens a file to read all of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub fn open(&self, path: &str) -> Result<FileReader> {
        self.check(Operation::Read, path)?;
        self.open_part(path, None)
    }

    /// Opens a file to read the bytes of a range.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Truncated`] if the file ends before the range does; [`ErrorKind::Invalid`] if the
    /// range ends before it begins.
    pub fn open_range(&self, path: &str, range: Range<u64>) -> Result<FileReader> {
        self.check(Operation::Read, path)?;
        self.open_part(path, Some(&range))
    }

    fn open_part(&self, path: &str, range: Option<&Range<u64>>) -> Result<FileReader> {
        match &self.0 {
            Inner::Local(folder) => folder.open(path, range),
            Inner::Store(folder) => folder.open(path, range),
        }
    }

    /// Reads a whole file of at most `max_len` bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::TooLarge`] if the file has more than `max_len` bytes.
    pub fn read(&self, path: &str, max_len: u64) -> Result<Vec<u8>> {
        self.check(Operation::Read, path)?;
        match &self.0 {
            Inner::Local(folder) => folder.open(path, None)?.read_all(max_len),
            Inner::Store(folder) => folder.read(path, max_len),
        }
    }

    /// Starts a new file of about `size` bytes, and makes the folders above it. The file appears when
    /// [`FileWriter::finish`] succeeds; that call also reports a name that is taken.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] if there is no space; [`ErrorKind::Invalid`] for a name of an unfinished file.
    pub fn create(&self, path: &str, size: u64) -> Result<FileWriter> {
        self.check(Operation::Write, path)?;
        if Self::is_unfinished(path) {
            let cause = "the name is reserved for unfinished files";
            return Err(self.error(ErrorKind::Invalid, Operation::Write, path, cause));
        }
        match &self.0 {
            Inner::Local(folder) => folder.create(path).map(FileWriter::local),
            Inner::Store(folder) => folder.create(path, size).map(FileWriter::store),
        }
    }

    /// Returns whether the path is that of a file that is being written on disk, or that a killed writer left: its name is
    /// `.br-NAME.tmp`. The next writer of the file replaces it.
    #[must_use]
    pub fn is_unfinished(path: &str) -> bool {
        path::is_unfinished(path)
    }

    /// Deletes a file. Succeeds if there is none.
    ///
    /// # Errors
    ///
    /// Only the errors that any method may return.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.check(Operation::Delete, path)?;
        match &self.0 {
            Inner::Local(folder) => folder.delete(path),
            Inner::Store(folder) => folder.delete(path),
        }
    }

    /// Removes a folder and the folders in it, except those with files. An object store has no empty folders.
    ///
    /// # Errors
    ///
    /// Only the errors that any method may return.
    pub fn remove_empty_folders(&self, path: &str) -> Result<()> {
        self.check(Operation::Delete, path)?;
        match &self.0 {
            Inner::Local(folder) => folder.remove_empty_folders(path),
            Inner::Store(_) => Ok(()),
        }
    }

    /// Makes the folder and locks it against other callers of this method until the lock is dropped. An
    /// object store has no locks; the call succeeds there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] with [`Error::io_kind`] `WouldBlock` if the folder is locked.
    pub fn lock(&self) -> Result<FolderLock> {
        match &self.0 {
            Inner::Local(folder) => folder.lock(),
            Inner::Store(_) => Ok(FolderLock::none()),
        }
    }

    /// Makes all files in this folder and below it durable. In an object store they are durable already.
    ///
    /// # Errors
    ///
    /// Only the errors that any method may return.
    pub fn sync(&self) -> Result<()> {
        match &self.0 {
            Inner::Local(folder) => folder.sync(),
            Inner::Store(_) => Ok(()),
        }
    }

    /// Returns the free space in bytes; `None` if it is unknown.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        match &self.0 {
            Inner::Local(folder) => folder.free_bytes(),
            Inner::Store(_) => None,
        }
    }

    fn check_folder(&self, operation: Operation, path: &str) -> Result<()> {
        match path {
            "" => Ok(()),
            path => self.check(operation, path),
        }
    }

    fn check(&self, operation: Operation, path: &str) -> Result<()> {
        path::check(path).map_err(|cause| self.error(ErrorKind::Invalid, operation, path, cause))
    }

    fn error(
        &self,
        kind: ErrorKind,
        operation: Operation,
        path: &str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::new(kind, operation, Some(path), &self.to_string(), cause)
    }
}

impl fmt::Display for Folder {
    /// Writes the path, or the location of the storage and the prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Local(folder) => write!(f, "{folder}"),
            Inner::Store(folder) => write!(f, "{folder}"),
        }
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folder").field(&self.to_string()).finish()
    }
}

/// The iterator of [`Folder::list`]. It ends after an error.
pub struct Listing(Files);

enum Files {
    Local(LocalListing),
    Store(StoreListing),
}

impl Iterator for Listing {
    type Item = Result<FileInfo>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Files::Local(files) => files.next(),
            Files::Store(files) => files.next(),
        }
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing").finish_non_exhaustive()
    }
}
