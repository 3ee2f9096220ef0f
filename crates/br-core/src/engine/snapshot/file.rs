//! Reading a file of a backup at any offset.
//!
//! [`FileReader`] fetches only the groups that have the requested bytes. Invariant: it verifies each chunk with its id before it
//! returns bytes of the chunk.

use std::sync::Arc;

use bytes::Bytes;

use super::file_map::{FileMap, Part};
use super::{FileStream, Snapshot};
use crate::error::{Error, Result};
use crate::model::{ChunkRef, Content, Entry, EntryKind, FileContent};
use crate::repository::ChunkReader;

/// Bytes of chunks that are fetched together.
const BATCH: u64 = 16 << 20;

/// A file of a [`Snapshot`], read at any offset. Clones share everything and are cheap; several reads may run at once.
///
/// Holes read as zeros. Each chunk is verified before its bytes are returned. A reader does not compare the SHA-256 of the whole file;
/// [`Snapshot::dump`] does.
///
/// Requests of a read: none for holes, for small files, and for data that was read last; otherwise one for each run of nearby
/// groups. A group has about 1 MiB before compression, and at most 16 MiB. A delta also needs requests for its bases.
#[derive(Debug, Clone)]
pub struct FileReader {
    snapshot: Snapshot,
    file: Arc<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    entry: Entry,
    map: FileMap,
}

impl FileReader {
    /// Maximum bytes of one read.
    pub const MAX_READ: usize = 256 << 20;

    pub(super) fn new(snapshot: Snapshot, entry: Entry) -> Result<Self> {
        let EntryKind::File(content) = &entry.kind else {
            return Err(Error::internal("this entry is not a file"));
        };
        let map = FileMap::new(content);
        let file = Arc::new(OpenFile { entry, map });
        Ok(Self { snapshot, file })
    }

    /// The file's entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.file.entry
    }

    /// The file's length in bytes, holes included.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.file.entry.size()
    }

    /// True when the file has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads `len` bytes from `offset` on: fewer if the file ends earlier, none if `offset` is at or after the end.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for more than [`FileReader::MAX_READ`] bytes.
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) when data is missing or altered, and
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if a prune may be the cause: open the snapshot again.
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let left = self.len().saturating_sub(offset);
        let len = usize::try_from(left).map_or(len, |left| left.min(len));
        if len > Self::MAX_READ {
            let most = Self::MAX_READ;
            let message = format!("at most {most} bytes can be read at once, not {len}");
            return Err(Error::invalid(message));
        }
        if len == 0 {
            return Ok(Bytes::new());
        }
        let parts = self.file.map.parts(offset..offset + len as u64);
        let Content::Chunks(_) = &self.file.content()?.content else {
            return self.file.read_inline(len, &parts).map(Bytes::from);
        };
        if parts.is_empty() {
            return Ok(vec![0; len].into());
        }
        let file = Arc::clone(&self.file);
        let work = self
            .snapshot
            .run(move |view| file.read_chunks(&view.reader, len, &parts));
        work.await.map(Bytes::from)
    }

    /// Fills a buffer from `offset` on, and returns the number of bytes: less than the buffer's length if the file ends earlier.
    ///
    /// # Errors
    /// As [`FileReader::read_at`].
    pub async fn read_into(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let bytes = self.read_at(offset, buffer.len()).await?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// The file as `Read` and `Seek`, for code without an async runtime. The stream has its own runtime with one thread, works inside
    /// and outside of other runtimes, and blocks the calling thread.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn into_stream(self) -> Result<FileStream> {
        FileStream::new(self)
    }
}

impl OpenFile {
    fn content(&self) -> Result<&FileContent> {
        match &self.entry.kind {
            EntryKind::File(content) => Ok(content),
            _ => Err(Error::internal("this entry is not a file")),
        }
    }

    fn read_inline(&self, len: usize, parts: &[Part]) -> Result<Vec<u8>> {
        let Content::Inline(bytes) = &self.content()?.content else {
            return Err(Error::internal("the content is not in the entry"));
        };
        let mut out = vec![0; len];
        for part in parts {
            self.copy(part, 0, bytes, &mut out)?;
        }
        Ok(out)
    }

    fn read_chunks(&self, reader: &ChunkReader, len: usize, parts: &[Part]) -> Result<Vec<u8>> {
        let Content::Chunks(chunks) = &self.content()?.content else {
            return Err(Error::internal("the content is not in chunks"));
        };
        let mut out = vec![0; len];
        let mut pieces = self.pieces(chunks, parts)?.into_iter().peekable();
        while pieces.peek().is_some() {
            reader.io().check_cancelled()?;
            // Collect pieces of several chunks, and each of these chunks once.
            let (mut batch, mut wanted, mut raw) = (Vec::new(), Vec::<usize>::new(), 0);
            while let Some((chunk, start, part)) = pieces.next_if(|_| raw < BATCH) {
                if wanted.last() != Some(&chunk) {
                    wanted.push(chunk);
                    raw += u64::from(chunks[chunk].len);
                }
                batch.push((wanted.len() - 1, start, part));
            }
            let refs: Vec<ChunkRef> = wanted.iter().map(|chunk| chunks[*chunk]).collect();
            let bytes: Vec<Vec<u8>> = reader
                .read_many(&refs)
                .into_iter()
                .collect::<Result<_>>()
                .map_err(|error| self.named(error))?;
            for (at, start, part) in batch {
                self.copy(&part, start, &bytes[at], &mut out)?;
            }
        }
        Ok(out)
    }

    /// Cuts parts of the content where chunks end: number and start of the chunk, and the part of the content.
    fn pieces(&self, chunks: &[ChunkRef], parts: &[Part]) -> Result<Vec<(usize, u64, Part)>> {
        let mut pieces = Vec::new();
        for part in parts {
            let mut rest = *part;
            while rest.len > 0 {
                let found = self.map.chunk(rest.from);
                let found = found.map(|(at, start)| (at, start, start + u64::from(chunks[at].len)));
                let Some((at, start, end)) = found.filter(|(_, _, end)| rest.from < *end) else {
                    return Err(self.too_short());
                };
                let len = (end - rest.from).min(rest.len as u64) as usize;
                pieces.push((at, start, Part { len, ..rest }));
                rest.to += len;
                rest.from += len as u64;
                rest.len -= len;
            }
        }
        Ok(pieces)
    }

    /// Copies a part from bytes of the content that begin at `start`.
    fn copy(&self, part: &Part, start: u64, bytes: &[u8], out: &mut [u8]) -> Result<()> {
        let from = (part.from - start) as usize;
        let bytes = bytes.get(from..from + part.len);
        let bytes = bytes.ok_or_else(|| self.too_short())?;
        out[part.to..part.to + part.len].copy_from_slice(bytes);
        Ok(())
    }

    fn named(&self, error: Error) -> Error {
        if !error.is_damage() {
            return error;
        }
        let message = format!("cannot read {}", self.entry.path);
        Error::new(error.kind(), message).with_source(error)
    }

    fn too_short(&self) -> Error {
        let path = &self.entry.path;
        Error::damaged(format!("{path} has fewer bytes than it should"))
    }
}
