//! A backup of one byte stream, such as a pipe.
//!
//! [`StreamSource`] yields one file entry with the stream as its content. Invariant: a backup reads the stream once and never
//! skips it, because it is not known whether it is the same stream as last time. If reading the stream fails, or the stream breaks its
//! [`StreamRules`], the backup fails; beside a source of files in a [`CombinedSource`](super::CombinedSource), it is incomplete instead.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use super::stream_check::{StreamCheck, StreamRules};
use super::{ContentReader, Details, Source, SourceItem, SourcePaths};
use crate::model::{Entry, EntryKind, EntryPath, FileContent, FileTime, Owner, StreamRecord};

/// One regular file whose content is a byte stream. The folders above it have no entries.
///
/// Nobody can see from the bytes of a pipe whether the program that wrote them failed. For the output of a program, use
/// [`CommandSource`](super::CommandSource).
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
        let details = StreamDetails {
            path: path.clone(),
            reader: Box::new(reader),
            check: StreamCheck::new(StreamRules::default()),
            server: None,
            record: None,
        };
        Self {
            file: Some((stream_entry(path, time, owner), Box::new(details))),
        }
    }

    /// Sets what the stream must be like.
    #[must_use]
    pub fn with_rules(mut self, rules: StreamRules) -> Self {
        if let Some((_, details)) = &mut self.file {
            details.check = StreamCheck::new(rules);
        }
        self
    }

    /// Sets the server that the stream is a dump of, for [`StreamRecord::server`].
    #[must_use]
    pub fn with_server(mut self, server: Option<String>) -> Self {
        if let Some((_, details)) = &mut self.file {
            details.server = server;
        }
        self
    }
}

/// The entry of a stream: only its owner may read it, and its size is not known yet.
pub(super) fn stream_entry(path: EntryPath, time: FileTime, owner: Owner) -> Entry {
    Entry {
        path,
        kind: EntryKind::File(FileContent::default()),
        mode: 0o600,
        owner: Arc::new(owner),
        mtime: time,
        ctime: time,
        inode: 0,
        xattrs: Vec::new(),
        link_group: None,
    }
}

impl Source for StreamSource {
    fn next(&mut self) -> Option<SourceItem> {
        let (entry, details) = self.file.take()?;
        Some(SourceItem::Entry { entry, details })
    }

    fn take_first(&mut self) -> Vec<SourceItem> {
        self.next().into_iter().collect()
    }

    fn paths(&self) -> SourcePaths {
        let paths = self
            .file
            .iter()
            .map(|(entry, _)| entry.path.as_bytes().to_vec());
        SourcePaths {
            paths: paths.collect(),
            folder: Vec::new(),
        }
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

struct StreamDetails {
    path: EntryPath,
    reader: Box<dyn Read + Send>,
    check: StreamCheck,
    server: Option<String>,
    record: Option<StreamRecord>,
}

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
        let len = self.reader.read(buffer)?;
        self.check.update(buffer.get(..len).unwrap_or_default());
        Ok(len)
    }
}

impl ContentReader for StreamDetails {
    fn finish(&mut self) -> io::Result<bool> {
        let checked = self.check.finish()?;
        let record = StreamRecord::new(self.path.as_bytes())
            .with_server(self.server.take())
            .with_end_mark(checked.end_mark)
            .with_position(checked.position)
            .with_compression(checked.compression.map(str::to_owned));
        self.record = Some(record);
        Ok(true)
    }

    fn record(&mut self) -> Option<StreamRecord> {
        self.record.take()
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
