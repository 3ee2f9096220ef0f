//! A source that reads a backup that MatrixOne wrote.
//!
//! [`ArchiveSource`] returns the files of one backup. Invariant: files come in the order of their paths, each
//! below the folder that it has in the archive root, so that a restore gives an archive again.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use br_core::model::{Entry, EntryKind, EntryPath, FileContent, FileTime, Owner};
use br_core::source::{ContentReader, Details, Source, SourceItem};

use br_matrixone::archive::{Error, ErrorKind, FileReader, Folder, Result};

/// The files of one MatrixOne backup, from disk or from object storage.
#[derive(Debug)]
pub struct ArchiveSource {
    entries: std::collections::btree_map::IntoIter<EntryPath, Option<(String, u64)>>,
    folder: Folder,
    time: FileTime,
}

impl ArchiveSource {
    /// Lists the folder `dir` below `root`. `secs`, in seconds since 1970, becomes the time of its files,
    /// because not every storage has file times.
    ///
    /// # Errors
    /// If the folder cannot be listed, or contains a name that a backup cannot hold.
    pub fn open(root: &Folder, dir: &str, secs: i64) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for file in root.list(dir)? {
            let file = file?;
            let path = match dir {
                "" => file.path,
                dir => format!("{dir}/{}", file.path),
            };
            for (at, _) in path.match_indices('/') {
                entries.entry(entry_path(&path[..at])?).or_insert(None);
            }
            entries.insert(entry_path(&path)?, Some((path, file.size)));
        }
        Ok(Self {
            entries: entries.into_iter(),
            folder: root.clone(),
            time: FileTime { secs, nanos: 0 },
        })
    }
}

fn entry_path(path: &str) -> Result<EntryPath> {
    EntryPath::new(path.as_bytes().to_vec())
        .map_err(|error| Error::new(ErrorKind::Refused, format!("{path}: {error}")))
}

impl Source for ArchiveSource {
    fn next(&mut self) -> Option<SourceItem> {
        let (path, file) = self.entries.next()?;
        let kind = match &file {
            None => EntryKind::Directory,
            Some((_, size)) => EntryKind::File(FileContent {
                size: *size,
                ..FileContent::default()
            }),
        };
        let mode = if file.is_some() { 0o640 } else { 0o750 };
        let entry = Entry {
            path,
            kind,
            mode,
            owner: Arc::new(Owner::default()),
            mtime: self.time,
            ctime: self.time,
            inode: 0,
            xattrs: Vec::new(),
            link_group: None,
        };
        let details = Box::new(ArchiveFile {
            folder: self.folder.clone(),
            size: file.as_ref().map_or(0, |(_, size)| *size),
            path: file.map(|(path, _)| path).unwrap_or_default(),
        });
        Some(SourceItem::Entry { entry, details })
    }

    /// An incomplete backup could not be restored.
    fn needs_everything(&self) -> bool {
        true
    }
}

/// Access to one file.
struct ArchiveFile {
    folder: Folder,
    path: String,
    size: u64,
}

impl Details for ArchiveFile {
    fn complete(&mut self, _entry: &mut Entry) -> io::Result<()> {
        Ok(())
    }

    fn open(self: Box<Self>, _entry: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        let reader = self.folder.open(&self.path).map_err(io::Error::other)?;
        Ok(Box::new(ArchiveContent {
            reader,
            size: self.size,
            read: 0,
        }))
    }
}

struct ArchiveContent {
    reader: FileReader,
    /// The size in the listing.
    size: u64,
    read: u64,
}

impl Read for ArchiveContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(buffer)?;
        self.read += len as u64;
        Ok(len)
    }
}

impl ContentReader for ArchiveContent {
    /// The server writes each file once, so a file of another length was not changed but damaged.
    fn finish(&mut self) -> io::Result<bool> {
        if self.read == self.size {
            Ok(true)
        } else {
            Err(io::Error::other(format!(
                "it has {} bytes, and the list says {}",
                self.read, self.size
            )))
        }
    }
}
