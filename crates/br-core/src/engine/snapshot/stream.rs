//! A file of a backup as `Read` and `Seek`.
//!
//! [`FileStream`] runs the reads of a [`FileReader`] on its own runtime. Invariant: on any thread, it neither panics nor waits for the
//! runtime of the caller.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::mpsc;

use bytes::Bytes;
use tokio::runtime::Runtime;

use super::FileReader;
use crate::error::{Error, Result, in_one_line};

/// Minimum bytes of a fetch, for callers that read little at a time.
const AHEAD: usize = 1 << 20;

/// A [`FileReader`] for blocking code. [`FileReader::into_stream`] creates it.
///
/// It fetches at least 1 MiB at a time. Errors are `io::Error`s that have the [`Error`] of this library as their inner error.
pub struct FileStream {
    reader: FileReader,
    /// `None` only during the drop.
    runtime: Option<Runtime>,
    position: u64,
    /// Bytes that were fetched, and their offset in the file.
    ready: Bytes,
    ready_at: u64,
}

impl FileStream {
    pub(super) fn new(reader: FileReader) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Error::lack_of_threads().with_source(error))?;
        Ok(Self {
            reader,
            runtime: Some(runtime),
            position: 0,
            ready: Bytes::new(),
            ready_at: 0,
        })
    }

    /// The reader of the file.
    #[must_use]
    pub fn reader(&self) -> &FileReader {
        &self.reader
    }

    fn fetch(&mut self, len: usize) -> Result<()> {
        let gone = || Error::internal("the thread that reads ended unexpectedly");
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let (reader, offset) = (self.reader.clone(), self.position);
        runtime.spawn(async move {
            // The receiver waits below.
            let _ = sender.send(reader.read_at(offset, len).await);
        });
        let bytes = receiver
            .recv()
            .map_err(|error| gone().with_source(error))??;
        (self.ready, self.ready_at) = (bytes, offset);
        Ok(())
    }

    /// The fetched bytes at the position.
    fn at_position(&self) -> &[u8] {
        let from = self.position.checked_sub(self.ready_at);
        let from = from.and_then(|from| usize::try_from(from).ok());
        from.and_then(|from| self.ready.get(from..))
            .unwrap_or_default()
    }
}

impl Read for FileStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.position >= self.reader.len() {
            return Ok(0);
        }
        if self.at_position().is_empty() {
            let len = buffer.len().clamp(AHEAD, FileReader::MAX_READ);
            self.fetch(len).map_err(to_io)?;
        }
        let bytes = self.at_position();
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for FileStream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.reader.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let outside = || io::Error::from(io::ErrorKind::InvalidInput);
        self.position = position.ok_or_else(outside)?;
        Ok(self.position)
    }
}

impl Drop for FileStream {
    fn drop(&mut self) {
        // Inside another runtime, waiting for this one would panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for FileStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStream")
            .field("path", &self.reader.entry().path)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Never `io::ErrorKind::Interrupted`, because callers retry after it.
fn to_io(error: Error) -> io::Error {
    let kind = error.io_kind().unwrap_or(io::ErrorKind::Other);
    match kind {
        io::ErrorKind::Interrupted => io::Error::other(in_one_line(&error)),
        kind => io::Error::new(kind, error),
    }
}
