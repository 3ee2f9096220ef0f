//! A backup of one byte stream, such as a pipe.
//!
//! [`StreamSource`] yields one file entry with the stream as its content. Invariant: a backup reads the stream once and never
//! skips it, because it is not known whether it is the same stream as last time. If reading the stream fails, the backup fails.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use super::{ContentReader, Details, Source, SourceItem};
use crate::model::{Entry, EntryKind, EntryPath, FileContent, FileTime, Owner};

/// One regular file whose content is a byte stream. The folders above it have no entries.
pub struct StreamSource {
    file: Option<(Entry, Box<StreamDetails>)>,
}

impl StreamSource {
    /// Creates a file entry at `path`, which must not be the root. Only its owner may read it. Its size is 0 until the stream was
    /// read; its modification time is `time`.
    #[must_use]
    pub fn new(
        path: EntryPath,
        reader: impl Read + Send + 'static,
        time: FileTime,
        owner: Owner,
    ) -> Self {
        let entry = Entry {
            path,
            kind: EntryKind::File(FileContent::default()),
            mode: 0o600,
            owner: Arc::new(owner),
            mtime: time,
            ctime: time,
            inode: 0,
            xattrs: Vec::new(),
            link_group: None,
        };
        Self {
            file: Some((entry, Box::new(StreamDetails(Box::new(reader))))),
        }
    }
}

impl Source for StreamSource {
    fn next(&mut self) -> Option<SourceItem> {
        let (entry, details) = self.file.take()?;
        Some(SourceItem::Entry { entry, details })
    }

    fn needs_everything(&self) -> bool {
        true
    }
}

impl fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.file.as_ref().map(|(entry, _)| entry);
        f.debug_struct("StreamSource")
            .field("entry", &entry)
            .finish_non_exhaustive()
    }
}

struct StreamDetails(Box<dyn Read + Send>);

impl Details for StreamDetails {
    fn complete(&mut self, _entry: &mut Entry) -> io::Result<()> {
        Ok(())
    }

    fn open(self: Box<Self>, _entry: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        Ok(self)
    }
}

impl Read for StreamDetails {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl ContentReader for StreamDetails {
    fn finish(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_one_file() {
        let path = EntryPath::new("db/dump.sql".as_bytes()).unwrap();
        let owner = Owner {
            uid: 7,
            ..Owner::default()
        };
        let mut source = StreamSource::new(path.clone(), &b"text"[..], FileTime::default(), owner);
        assert!(!source.can_skip_unchanged() && source.needs_everything());
        let Some(SourceItem::Entry { mut entry, details }) = source.next() else {
            panic!()
        };
        assert_eq!(
            (&entry.path, entry.mode, entry.owner.uid),
            (&path, 0o600, 7)
        );
        let mut reader = details.open(&mut entry).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert!(reader.finish().unwrap() && source.next().is_none());
    }
}
