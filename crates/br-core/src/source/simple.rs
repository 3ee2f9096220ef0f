//! Items of sources whose entries are complete when they are yielded.
//!
//! [`SourceItem::with_content`] and [`SourceItem::without_content`] make them. Invariant: content is opened at most once, and only
//! when the backup reads it.

use std::io::{self, Read};

use super::{ContentReader, Details, SourceItem};
use crate::model::Entry;

impl SourceItem {
    /// An entry that has no content, such as a folder or a symbolic link. Its extended attributes are in the entry.
    #[must_use]
    pub fn without_content(entry: Entry) -> Self {
        let details = Box::new(Complete);
        Self::Entry { entry, details }
    }

    /// A file whose extended attributes and holes are in the entry. `open` is called on a worker thread, and only if the backup
    /// reads the file; the reader yields the bytes outside of holes. If it yields fewer or more bytes than the entry says, the
    /// backup says that the file changed while it was read.
    #[must_use]
    pub fn with_content<R: Read + Send + 'static>(
        entry: Entry,
        open: impl FnOnce() -> io::Result<R> + Send + 'static,
    ) -> Self {
        let details = Box::new(Open(open));
        Self::Entry { entry, details }
    }
}

struct Complete;

impl Details for Complete {
    fn complete(&mut self, _entry: &mut Entry) -> io::Result<()> {
        Ok(())
    }

    fn open(self: Box<Self>, _entry: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        Err(io::Error::other("this entry was yielded without content"))
    }
}

struct Open<F>(F);

impl<R, F> Details for Open<F>
where
    R: Read + Send + 'static,
    F: FnOnce() -> io::Result<R> + Send,
{
    fn complete(&mut self, _entry: &mut Entry) -> io::Result<()> {
        Ok(())
    }

    fn open(self: Box<Self>, _entry: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        Ok(Box::new(Plain((self.0)()?)))
    }
}

/// The content reader for a plain `Read`.
struct Plain<R>(R);

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read + Send> ContentReader for Plain<R> {
    fn finish(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}
