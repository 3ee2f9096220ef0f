//! A source without a disk.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use br_core::model::{Entry, EntryKind, EntryPath, FileContent, FileTime, Owner};
use br_core::source::{ContentReader, Details, Source, SourceItem};
use bytes::Bytes;

/// Something to back up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A file with this content.
    File(Bytes),
    /// A folder.
    Folder,
    /// A symbolic link.
    Link(Vec<u8>),
    /// An entry that the walk cannot examine.
    Unreadable,
}

/// How a file behaves when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// It yields its content.
    #[default]
    Honest,
    /// It cannot be opened.
    Vanishes,
    /// Reading fails after this number of bytes.
    FailsAfter(usize),
    /// It ends after this number of bytes, regardless of its announced size.
    Shrinks(usize),
    /// It continues with this number of zeros after its announced size.
    Grows(usize),
    /// It changed while it was read.
    Torn,
    /// Its extended attributes cannot be read.
    LacksAttributes,
}

#[derive(Debug, Clone)]
struct Item {
    thing: Thing,
    time: i64,
    behaviour: Behaviour,
}

/// Entries from a list, in path order.
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    items: BTreeMap<EntryPath, Item>,
}

/// The default modification time: long before the clock of any test.
const TIME: i64 = 1_500_000_000;

impl MemorySource {
    /// An empty source.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, or replaces it.
    #[must_use]
    pub fn with(mut self, path: &str, thing: Thing) -> Self {
        self.insert(path, thing, TIME, Behaviour::Honest);
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, path: &str, content: impl Into<Bytes>) -> Self {
        self.with(path, Thing::File(content.into()))
    }

    /// Adds a folder.
    #[must_use]
    pub fn folder(self, path: &str) -> Self {
        self.with(path, Thing::Folder)
    }

    /// Adds a file that misbehaves.
    #[must_use]
    pub fn odd(mut self, path: &str, content: impl Into<Bytes>, behaviour: Behaviour) -> Self {
        self.insert(path, Thing::File(content.into()), TIME, behaviour);
        self
    }

    /// Adds a folder that misbehaves.
    #[must_use]
    pub fn odd_folder(mut self, path: &str, behaviour: Behaviour) -> Self {
        self.insert(path, Thing::Folder, TIME, behaviour);
        self
    }

    /// Adds a file that was changed this number of seconds after 1970.
    pub fn insert(&mut self, path: &str, thing: Thing, time: i64, behaviour: Behaviour) {
        let path = EntryPath::new(path.as_bytes()).unwrap();
        self.items.insert(
            path,
            Item {
                thing,
                time,
                behaviour,
            },
        );
    }

    /// Removes an entry.
    pub fn remove(&mut self, path: &str) {
        self.items.remove(&EntryPath::new(path.as_bytes()).unwrap());
    }

    /// The files with their content.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Bytes> {
        let files = self
            .items
            .iter()
            .filter_map(|(path, item)| match &item.thing {
                Thing::File(bytes) => Some((path.to_string(), bytes.clone())),
                _ => None,
            });
        files.collect()
    }
}

impl Source for MemorySource {
    fn next(&mut self) -> Option<SourceItem> {
        let (path, item) = self.items.pop_first()?;
        let kind = match &item.thing {
            Thing::File(bytes) => EntryKind::File(FileContent {
                size: bytes.len() as u64,
                ..FileContent::default()
            }),
            Thing::Folder => EntryKind::Directory,
            Thing::Link(to) => EntryKind::Symlink(to.as_slice().into()),
            Thing::Unreadable => {
                let error = io::Error::from(io::ErrorKind::PermissionDenied);
                return Some(SourceItem::Unreadable { path, error });
            }
        };
        let time = FileTime {
            secs: item.time,
            nanos: 7,
        };
        let digest = blake3::hash(path.as_bytes());
        let entry = Entry {
            kind,
            mode: if item.thing == Thing::Folder {
                0o755
            } else {
                0o644
            },
            owner: Arc::new(Owner::default()),
            mtime: time,
            ctime: time,
            inode: u64::from_le_bytes(*digest.as_bytes().first_chunk().unwrap()) >> 8,
            xattrs: Vec::new(),
            link_group: None,
            path,
        };
        Some(SourceItem::Entry {
            entry,
            details: Box::new(MemoryDetails(item)),
        })
    }

    /// Tests change the time of a file that they change.
    fn can_skip_unchanged(&self) -> bool {
        true
    }
}

struct MemoryDetails(Item);

impl Details for MemoryDetails {
    fn complete(&mut self, _: &mut Entry) -> io::Result<()> {
        Ok(())
    }

    fn incomplete(&self) -> Option<String> {
        lacks(self.0.behaviour)
    }

    fn open(self: Box<Self>, _: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        let Item {
            thing, behaviour, ..
        } = self.0;
        let Thing::File(mut bytes) = thing else {
            return Err(io::Error::other("is no file"));
        };
        match behaviour {
            Behaviour::Vanishes => return Err(io::Error::from(io::ErrorKind::NotFound)),
            Behaviour::Shrinks(len) => bytes.truncate(len),
            Behaviour::Grows(more) => bytes = [&bytes[..], &vec![0; more]].concat().into(),
            _ => {}
        }
        Ok(Box::new(MemoryReader {
            bytes,
            position: 0,
            behaviour,
        }))
    }
}

struct MemoryReader {
    bytes: Bytes,
    position: usize,
    behaviour: Behaviour,
}

impl Read for MemoryReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut end = self.bytes.len();
        if let Behaviour::FailsAfter(len) = self.behaviour {
            if self.position >= len {
                return Err(io::Error::other("the disk is on fire"));
            }
            end = end.min(len);
        }
        let len = buffer.len().min(end - self.position);
        buffer[..len].copy_from_slice(&self.bytes[self.position..self.position + len]);
        self.position += len;
        Ok(len)
    }
}

impl ContentReader for MemoryReader {
    fn finish(&mut self) -> io::Result<bool> {
        Ok(matches!(
            self.behaviour,
            Behaviour::Honest | Behaviour::FailsAfter(_) | Behaviour::LacksAttributes
        ))
    }

    fn incomplete(&self) -> Option<String> {
        lacks(self.behaviour)
    }
}

fn lacks(behaviour: Behaviour) -> Option<String> {
    (behaviour == Behaviour::LacksAttributes).then(|| "its attributes cannot be read".to_owned())
}
