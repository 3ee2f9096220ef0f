//! Where archives lie, and where they are restored to.
//!
//! A [`Place`] is a local folder or a prefix of an object store; both list, read, write and delete files by paths that are separated by
//! slashes. Invariant: below the folder that the user named no symbolic link is followed, and a file that is written appears whole, under a
//! name that was free, or not at all.

mod local;
mod object;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use tokio::runtime::Handle;

use super::error::{Error, Result};
use super::path;
use local::{LocalPlace, LocalWriter, Lock};
use object::{ObjectPlace, ObjectReader, ObjectWriter};

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its path below what was listed.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// False for symbolic links, devices and the like, which are never read.
    pub is_regular: bool,
}

/// What lies directly in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Children {
    /// The names of folders, sorted.
    pub dirs: Vec<String>,
    /// Everything else, sorted by name.
    pub files: Vec<Entry>,
}

/// A local folder or a prefix of an object store.
///
/// The methods block. On an object store they drive its futures with [`Handle::block_on`]: call them from threads that are not the
/// runtime's own, and let the runtime be one with threads of its own.
#[derive(Clone)]
pub struct Place(Inner);

#[derive(Clone)]
enum Inner {
    Local(LocalPlace),
    Object(ObjectPlace),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

impl fmt::Display for Place {
    /// The folder, or the prefix in the object store.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Local(place) => write!(f, "{}", place.folder().display()),
            Inner::Object(place) => f.write_str(&place.shown()),
        }
    }
}

impl Place {
    /// A local folder. It need not exist.
    #[must_use]
    pub fn local(root: &Path) -> Self {
        Self(Inner::Local(LocalPlace::new(root)))
    }

    /// All that lies below `prefix` in an object store. Slashes at both ends of the prefix do not matter.
    ///
    /// # Errors
    /// When the prefix is no path of an object store.
    pub fn object(store: Arc<dyn ObjectStore>, prefix: &str, handle: Handle) -> Result<Self> {
        let prefix = prefix.trim_matches('/');
        if !prefix.is_empty() {
            path::check(prefix).map_err(|error| Error::invalid(error.to_string()))?;
        }
        Ok(Self(Inner::Object(ObjectPlace::new(store, prefix, handle))))
    }

    /// Sets what the object store is called in messages, such as `s3://bucket/folder`.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        match self.0 {
            Inner::Object(place) => Self(Inner::Object(place.named(name.into()))),
            local @ Inner::Local(_) => Self(local),
        }
    }

    /// True for a local folder.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.0, Inner::Local(_))
    }

    /// A folder below this one.
    ///
    /// # Errors
    /// When the path leads elsewhere.
    pub fn below(&self, dir: &str) -> Result<Self> {
        if dir.is_empty() {
            return Ok(self.clone());
        }
        path::check(dir)?;
        Ok(Self(match &self.0 {
            Inner::Local(place) => Inner::Local(place.below(dir)),
            Inner::Object(place) => Inner::Object(place.below(dir)),
        }))
    }

    /// The folder that this one lies in, and its name there; `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<(Self, String)> {
        let (inner, name) = match &self.0 {
            Inner::Local(place) => {
                let (place, name) = place.parent()?;
                (Inner::Local(place), name)
            }
            Inner::Object(place) => {
                let (place, name) = place.parent()?;
                (Inner::Object(place), name)
            }
        };
        Some((Self(inner), name))
    }

    /// Gives all files below `dir`, at any depth, to `each`, in no particular order. Nothing when there is no such folder.
    ///
    /// # Errors
    /// What listing and `each` fail with.
    pub fn list(&self, dir: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        check_dir(dir)?;
        let listed = match &self.0 {
            Inner::Local(place) => place.list(dir, each),
            Inner::Object(place) => place.list(dir, each),
        };
        listed.map_err(|error| error.at(dir))
    }

    /// What lies directly in `dir`; nothing when there is no such folder.
    ///
    /// # Errors
    /// What listing fails with, and when more than `limit` things lie there.
    pub fn children(&self, dir: &str, limit: usize) -> Result<Children> {
        check_dir(dir)?;
        let children = match &self.0 {
            Inner::Local(place) => place.children(dir, limit),
            Inner::Object(place) => place.children(dir),
        };
        let mut out = children.map_err(|error| error.at(dir))?;
        if out.dirs.len() + out.files.len() > limit {
            let text = format!("more than {limit} files and folders lie there");
            return Err(Error::refused(text).at(dir));
        }
        out.dirs.sort_unstable();
        out.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(out)
    }

    /// The bytes of a file; `None` when there is none, or something else of that name.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub fn size(&self, path: &str) -> Result<Option<u64>> {
        path::check(path)?;
        let size = match &self.0 {
            Inner::Local(place) => place.size(path),
            Inner::Object(place) => place.size(path),
        };
        size.map_err(|error| error.at(path))
    }

    /// Opens a file to read it from its beginning.
    ///
    /// # Errors
    /// When there is no such file, it is none, or a symbolic link is on the way.
    pub fn open(&self, path: &str) -> Result<PlaceReader> {
        path::check(path)?;
        let reader = match &self.0 {
            Inner::Local(place) => place.open(path).map(|(file, size)| PlaceReader {
                from: Source::Local(file),
                size,
            }),
            Inner::Object(place) => place.open(path).map(|(reader, size)| PlaceReader {
                from: Source::Object(reader),
                size,
            }),
        };
        reader.map_err(|error| error.at(path))
    }

    /// Reads a whole file of at most `limit` bytes; `None` when there is none.
    ///
    /// # Errors
    /// When it has more, or cannot be read.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let reader = match self.open(path) {
            Ok(reader) => reader,
            Err(error) if error.kind() == super::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut out = Vec::new();
        let read = reader.take(limit.saturating_add(1)).read_to_end(&mut out);
        read.map_err(|error| Error::io("cannot read", error).at(path))?;
        match out.len() as u64 > limit {
            true => Err(Error::refused(format!("it has more than {limit} bytes")).at(path)),
            false => Ok(Some(out)),
        }
    }

    /// Begins a new file of about `size` bytes. It appears when [`PlaceWriter::finish`] says so.
    ///
    /// # Errors
    /// When a folder cannot be made, or there is no space. A name that is taken is found out at the end.
    pub fn create(&self, path: &str, size: u64) -> Result<PlaceWriter> {
        path::check(path)?;
        self.create_reserved(path, size)
    }

    /// The same for a path that may have a name of our own in it.
    pub(crate) fn create_reserved(&self, path: &str, size: u64) -> Result<PlaceWriter> {
        let writer = match &self.0 {
            Inner::Local(place) => place.create(path).map(Target::Local),
            Inner::Object(place) => place.create(path, size).map(Target::Object),
        };
        Ok(PlaceWriter {
            to: writer.map_err(|error| error.at(path))?,
            path: path.to_owned(),
        })
    }

    /// Reads a small file of our own; `None` when there is none.
    pub(crate) fn read_reserved(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let mut out = Vec::new();
        let opened = match &self.0 {
            Inner::Local(place) => place.open(path).map(|(file, _)| Source::Local(file)),
            Inner::Object(place) => place.open(path).map(|(reader, _)| Source::Object(reader)),
        };
        let mut from = match opened {
            Ok(from) => from,
            Err(error) if error.kind() == super::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.at(path)),
        };
        let read = (&mut from).take(4096).read_to_end(&mut out);
        read.map_err(|error| Error::io("cannot read", error).at(path))?;
        Ok(Some(out))
    }

    /// Deletes a file; all is well when there is none.
    ///
    /// # Errors
    /// When the storage refuses.
    pub fn delete(&self, path: &str) -> Result<()> {
        path::check(path)?;
        self.delete_reserved(path)
    }

    /// The same for a path that may have a name of our own in it.
    pub(crate) fn delete_reserved(&self, path: &str) -> Result<()> {
        let deleted = match &self.0 {
            Inner::Local(place) => place.delete(path),
            Inner::Object(place) => place.delete(path),
        };
        deleted.map_err(|error| error.at(path))
    }

    /// Removes a folder and those in it, as far as nothing but folders is left there. Object stores have no folders.
    ///
    /// # Errors
    /// When the system refuses for another reason than that something is left.
    pub fn prune(&self, dir: &str) -> Result<()> {
        path::check(dir)?;
        match &self.0 {
            Inner::Local(place) => place.prune(dir).map_err(|error| error.at(dir)),
            Inner::Object(_) => Ok(()),
        }
    }

    /// Makes the folder, and keeps others who ask for the same lock out of it until the guard is dropped. Object stores have no locks.
    pub(crate) fn lock(&self) -> Result<Option<Lock>> {
        match &self.0 {
            Inner::Local(place) => place.lock().map(Some),
            Inner::Object(_) => Ok(None),
        }
    }

    /// Makes sure that all that was written is on disk. An object store has it when it says so.
    pub(crate) fn sync(&self) -> Result<()> {
        match &self.0 {
            Inner::Local(place) => place.sync(),
            Inner::Object(_) => Ok(()),
        }
    }

    /// How many bytes fit; `None` when it is unknown.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        match &self.0 {
            Inner::Local(place) => place.free_bytes(),
            Inner::Object(_) => None,
        }
    }
}

fn check_dir(dir: &str) -> Result<()> {
    match dir {
        "" => Ok(()),
        dir => path::check(dir),
    }
}

/// Reads a file from its beginning.
pub struct PlaceReader {
    from: Source,
    size: u64,
}

enum Source {
    Local(File),
    Object(ObjectReader),
}

impl PlaceReader {
    /// How many bytes the file had when it was opened.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }
}

impl fmt::Debug for PlaceReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("PlaceReader");
        out.field("size", &self.size).finish_non_exhaustive()
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(file) => file.read(buffer),
            Self::Object(reader) => reader.read(buffer),
        }
    }
}

impl Read for PlaceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.read(buffer)
    }
}

/// Writes a new file. Dropped before [`PlaceWriter::finish`], it leaves nothing behind.
pub struct PlaceWriter {
    to: Target,
    path: String,
}

enum Target {
    Local(LocalWriter),
    Object(ObjectWriter),
}

impl PlaceWriter {
    /// Lets the file appear.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`](super::ErrorKind::Exists) when something of that name is there, and what the storage fails with.
    pub fn finish(self) -> Result<()> {
        let finished = match self.to {
            Target::Local(writer) => writer.finish(),
            Target::Object(writer) => writer.finish(),
        };
        finished.map_err(|error| error.at(self.path))
    }
}

impl fmt::Debug for PlaceWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("PlaceWriter");
        out.field("path", &self.path).finish_non_exhaustive()
    }
}

impl Write for PlaceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            Target::Local(writer) => writer.write(bytes),
            Target::Object(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
