//! Files that are being read or written.
//!
//! [`FileReader`] and [`FileWriter`] are streams: neither keeps a whole file in memory. Invariant: a reader returns exactly the bytes
//! that were requested, or an error.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Write},
};

use super::{
    local::LocalWriter,
    store::{StoreReader, StoreWriter},
};
use crate::{
    error::{Error, ErrorKind, Operation, Result},
    write::Creation,
};

/// Reads a file or a range of a file. Its I/O errors contain an [`Error`].
pub struct FileReader {
    from: Source,
    size: u64,
    /// The number of unread bytes.
    left: u64,
    path: String,
    place: String,
}

pub(super) enum Source {
    Local(File),
    Store(StoreReader),
}

impl FileReader {
    pub(super) fn new(from: Source, size: u64, left: u64, path: &str, place: String) -> Self {
        let path = path.to_owned();
        Self {
            from,
            size,
            left,
            path,
            place,
        }
    }

    /// Returns how many bytes the whole file had when it was opened.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Reads all remaining bytes, unless there are more than `max_len`.
    pub(super) fn read_all(mut self, max_len: u64) -> Result<Vec<u8>> {
        if self.left > max_len {
            let cause = format!(
                "the file has {} bytes, more than the {max_len} allowed",
                self.left
            );
            return Err(self.error(ErrorKind::TooLarge, cause));
        }
        let mut bytes = Vec::new();
        match self.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(error
                .downcast::<Error>()
                .unwrap_or_else(|error| self.failed(error))),
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::from_io(Operation::Read, Some(&self.path), &self.place, error)
    }

    fn error(&self, kind: ErrorKind, cause: String) -> Error {
        Error::new(kind, Operation::Read, Some(&self.path), &self.place, cause)
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let buffer = &mut buffer[..most];
        let count = match &mut self.from {
            Source::Local(file) => file.read(buffer).map_err(|error| self.failed(error).into()),
            Source::Store(reader) => reader.read(buffer).map_err(io::Error::from),
        }?;
        if count == 0 {
            let cause = format!("the file ends {} bytes too early", self.left);
            return Err(self.error(ErrorKind::Truncated, cause).into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

impl fmt::Debug for FileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileReader")
            .field("path", &self.path)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Writes a new file. If it is dropped before [`FileWriter::finish`], no file appears. Its I/O errors contain
/// an [`Error`].
pub struct FileWriter(Target);

enum Target {
    Local(LocalWriter),
    Store(Box<StoreWriter>),
}

impl FileWriter {
    pub(super) fn local(writer: LocalWriter) -> Self {
        Self(Target::Local(writer))
    }

    pub(super) fn store(writer: StoreWriter) -> Self {
        Self(Target::Store(Box::new(writer)))
    }

    /// Publishes the file, unless its name is taken. On disk it is durable after [`Folder::sync`](super::Folder::sync).
    ///
    /// In an object store, an existing file with the same bytes may count as [`Creation::Created`]: if a
    /// response was lost, the stored object decides. For an object of more than 8 MiB, the store is asked
    /// whether the name is free before the write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] if there is no space.
    pub fn finish(self) -> Result<Creation> {
        match self.0 {
            Target::Local(writer) => writer.finish(),
            Target::Store(writer) => writer.finish(),
        }
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Target::Local(writer) => writer.write(bytes),
            Target::Store(writer) => writer.write(bytes),
        }
        .map_err(io::Error::from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriter").finish_non_exhaustive()
    }
}

/// Wraps the error and keeps the kind that the operating system reported.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.io_kind().unwrap_or(io::ErrorKind::Other), error)
    }
}
