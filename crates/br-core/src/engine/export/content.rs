//! The content of one entry as a stream.
//!
//! [`ContentStream`] inserts zeros for holes between the bytes of chunks, and hashes the file. Invariant: it returns the last byte of a
//! file only if the SHA-256 of the file is the one in the backup.

use std::io::{self, Read};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::ahead::Step;
use super::hand_over::Steps;
use crate::error::{Error, ErrorKind, Result, in_one_line};
use crate::model::{Content, Entry, EntryKind, FileContent};
use crate::progress::Event;
use crate::repository::Io;

/// Report progress each time this number of bytes was read, and at the end of every entry.
const TELL_EVERY: u64 = 1 << 20;

/// Reads a file's bytes, holes as zeros; nothing for other entries.
pub(super) struct ContentStream<'a> {
    io: &'a Io,
    entry: &'a Entry,
    file: Option<&'a FileContent>,
    steps: &'a mut Steps,
    /// Bytes of the current chunk that were not read yet.
    ready: Bytes,
    chunks_left: usize,
    position: u64,
    /// The first hole that does not end at or before the position.
    next_hole: usize,
    /// `None` after the comparison, and for a file without SHA-256.
    sha: Option<Sha256>,
    told: u64,
    failed: Option<Error>,
}

impl<'a> ContentStream<'a> {
    pub(super) fn new(io: &'a Io, entry: &'a Entry, steps: &'a mut Steps) -> Self {
        let file = match &entry.kind {
            EntryKind::File(file) => Some(file),
            _ => None,
        };
        let (ready, chunks_left) = match file.map(|file| &file.content) {
            Some(Content::Inline(bytes)) => (Bytes::copy_from_slice(bytes), 0),
            Some(Content::Chunks(chunks)) => (Bytes::new(), chunks.len()),
            None => (Bytes::new(), 0),
        };
        Self {
            io,
            entry,
            file,
            steps,
            ready,
            chunks_left,
            position: 0,
            next_hole: 0,
            sha: file.and_then(|file| file.sha256).map(|_| Sha256::new()),
            told: 0,
            failed: None,
        }
    }

    /// Ends the entry; `taken` is the result of the sink. Returns whether the sink read the whole content.
    pub(super) fn finish(self, taken: Result<()>) -> Result<bool> {
        // An error of this stream takes precedence: the sink may have ignored it, or may report less.
        if let Some(error) = self.failed {
            return Err(error);
        }
        taken?;
        self.io.context.progress.event(Event::Advance {
            bytes: self.entry.size() - self.told,
            entries: 1,
        });
        Ok(self.chunks_left == 0)
    }

    /// The length of the next data or hole, and whether it is a hole.
    fn stretch(&mut self, file: &FileContent) -> (u64, bool) {
        while let Some(hole) = file.holes.get(self.next_hole) {
            let end = hole.offset + hole.len;
            if self.position < hole.offset {
                return (hole.offset - self.position, false);
            }
            if self.position < end {
                return (end - self.position, true);
            }
            self.next_hole += 1;
        }
        (file.size - self.position, false)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.io.check_cancelled()?;
        let Some(file) = self.file else {
            return Ok(0);
        };
        let (stretch, is_hole) = self.stretch(file);
        let mut len = stretch.min(buffer.len() as u64) as usize;
        if is_hole {
            buffer[..len].fill(0);
        } else if len > 0 {
            while self.ready.is_empty() {
                self.ready = self.next_chunk()?;
            }
            len = len.min(self.ready.len());
            buffer[..len].copy_from_slice(&self.ready.split_to(len));
        }
        self.position += len as u64;
        if let Some(sha) = &mut self.sha {
            sha.update(&buffer[..len]);
        }
        if self.position == file.size {
            self.compare(file)?;
        }
        self.tell();
        Ok(len)
    }

    fn next_chunk(&mut self) -> Result<Bytes> {
        let Some(left) = self.chunks_left.checked_sub(1) else {
            let message = format!("{} has fewer bytes than it should", self.entry.path);
            return Err(Error::damaged(message));
        };
        self.chunks_left = left;
        match self.steps.next()? {
            Some(Step::Chunk(Ok(bytes))) => Ok(bytes),
            Some(Step::Chunk(Err(error))) => Err(error),
            _ => Err(Error::internal("the next chunk was not planned")),
        }
    }

    fn compare(&mut self, file: &FileContent) -> Result<()> {
        let Some(sha) = self.sha.take() else {
            return Ok(());
        };
        let digest: [u8; 32] = sha.finalize().into();
        if file.sha256 == Some(digest) {
            Ok(())
        } else {
            Err(Error::damaged("its content has another SHA-256"))
        }
    }

    fn tell(&mut self) {
        let bytes = self.position - self.told;
        if bytes >= TELL_EVERY {
            let event = Event::Advance { bytes, entries: 0 };
            self.io.context.progress.event(event);
            self.told = self.position;
        }
    }
}

impl Read for ContentStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed.is_none() {
            match self.fill(buffer) {
                Ok(len) => return Ok(len),
                Err(error) if error.kind() == ErrorKind::Interrupted => self.failed = Some(error),
                Err(error) => {
                    let message = format!("cannot read {}", self.entry.path);
                    self.failed = Some(Error::new(error.kind(), message).with_source(error));
                }
            }
        }
        // Not `io::ErrorKind::Interrupted`: callers retry after that.
        let error = self.failed.as_ref();
        let text = error.map_or_else(String::new, |error| in_one_line(error));
        Err(io::Error::other(text))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use br_storage::Storage;

    use super::super::hand_over;
    use super::*;
    use crate::model::{EntryPath, FileTime, Owner};
    use crate::progress::Context;
    use crate::repository::{ChunkReader, Index, InitOptions, Repository};

    /// Reads a file whose bytes are in its entry, in pieces of `step`.
    async fn read(file: FileContent, step: usize) -> (Vec<u8>, Result<()>) {
        let entry = Entry {
            path: EntryPath::new("file".as_bytes()).unwrap(),
            kind: EntryKind::File(file),
            mode: 0o600,
            owner: Arc::new(Owner::default()),
            mtime: FileTime::default(),
            ctime: FileTime::default(),
            inode: 0,
            xattrs: Vec::new(),
            link_group: None,
        };
        let context = Context::system();
        let options = InitOptions::default();
        let repository = Repository::init_storage(Storage::memory(), &options, &context);
        let work = move |io: &Io| {
            let reader = Arc::new(ChunkReader::new(io, Arc::new(Index::default())));
            let (mut all, mut buffer) = (Vec::new(), vec![1; step]);
            let result = hand_over(&reader, std::iter::once(Ok(entry)), |_, content| {
                while let Ok(len @ 1..) = content.read(&mut buffer) {
                    all.extend_from_slice(&buffer[..len]);
                }
                Ok(())
            });
            Ok((all, result))
        };
        repository.await.unwrap().run(&context, work).await.unwrap()
    }

    fn file() -> FileContent {
        let hole = |offset, len| crate::model::Extent { offset, len };
        let whole = b"\0\0\0abc\0\0de\0";
        FileContent {
            size: whole.len() as u64,
            content: Content::Inline(b"abcde".as_slice().into()),
            holes: vec![hole(0, 3), hole(6, 2), hole(10, 1)],
            sha256: Some(Sha256::digest(whole).into()),
            torn: false,
        }
    }

    #[tokio::test]
    async fn holes_are_zeros_wherever_they_are() {
        for step in 1..13 {
            let (bytes, result) = read(file(), step).await;
            result.unwrap();
            assert_eq!(bytes, b"\0\0\0abc\0\0de\0", "in pieces of {step}");
        }
        let (bytes, result) = read(FileContent::default(), 1).await;
        assert_eq!((bytes, result.is_ok()), (Vec::new(), true));
    }

    #[tokio::test]
    async fn last_byte_is_returned_only_if_the_digest_matches() {
        for step in 1..13 {
            let wrong = FileContent {
                sha256: Some([1; 32]),
                ..file()
            };
            let (bytes, result) = read(wrong, step).await;
            assert!(bytes.len() < 11, "{} bytes were returned", bytes.len());
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged);
            assert!(error.to_string().contains("file"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_without_the_bytes_it_should_have_is_damaged() {
        let short = FileContent {
            size: 100,
            sha256: None,
            ..file()
        };
        let (_, result) = read(short, 7).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Damaged);
    }
}
