//! Things inside a backup: files, directories, links and their metadata.

use std::sync::Arc;

use super::{ChunkRef, EntryPath};

/// One thing inside a backup with its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies in the backup.
    pub path: EntryPath,
    /// What it is, with its content.
    pub kind: EntryKind,
    /// The twelve permission bits (`07777`).
    pub mode: u32,
    /// Who owns it.
    pub owner: Arc<Owner>,
    /// Last change of the content.
    pub mtime: FileTime,
    /// Last change of the inode; used to notice changes, never restored.
    pub ctime: FileTime,
    /// Inode number; used to notice changes, never restored.
    pub inode: u64,
    /// Extended attributes, POSIX ACLs among them, sorted by name.
    pub xattrs: Vec<Xattr>,
    /// Entries of one backup with the same group are hard links of one inode.
    pub link_group: Option<u64>,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File(FileContent),
    /// A directory.
    Directory,
    /// A symbolic link and the bytes it points to.
    Symlink(Box<[u8]>),
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
}

impl EntryKind {
    /// One word for people and for JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Directory => "directory",
            Self::Symlink(_) => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::CharDevice(_) => "char-device",
            Self::BlockDevice(_) => "block-device",
        }
    }
}

/// The numbers of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The content of a regular file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileContent {
    /// Length in bytes, holes included.
    pub size: u64,
    /// The bytes outside of holes.
    pub content: Content,
    /// Stretches that read as zeros and take no space, ascending, not touching each other.
    pub holes: Vec<Extent>,
    /// SHA-256 of all `size` bytes. Absent for inline content and for files with very large holes.
    pub sha256: Option<[u8; 32]>,
    /// The file changed while it was read: the content may mix two states.
    pub torn: bool,
}

impl FileContent {
    /// Bytes outside of holes.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        match &self.content {
            Content::Inline(bytes) => bytes.len() as u64,
            Content::Chunks(chunks) => chunks.iter().map(|c| u64::from(c.len)).sum(),
        }
    }

    /// The stretches outside of holes, ascending: where the content's bytes go, in order.
    pub fn data_extents(&self) -> impl Iterator<Item = Extent> {
        let ends = self.holes.iter().map(|h| (h.offset, h.offset + h.len));
        let mut from = 0;
        ends.chain([(self.size, self.size)])
            .filter_map(move |(start, end)| {
                let extent = Extent {
                    offset: from,
                    len: start.saturating_sub(from),
                };
                from = end;
                (extent.len > 0).then_some(extent)
            })
    }
}

/// The bytes of a file outside of its holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Few enough bytes to stand in the entry.
    Inline(Box<[u8]>),
    /// Pieces stored apart, in order.
    Chunks(Vec<ChunkRef>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Inline(Box::default())
    }
}

/// A stretch of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts.
    pub offset: u64,
    /// How long it is.
    pub len: u64,
}

/// The owner and group of an entry: numbers, and names where the system knew them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Owner {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// User name; empty when unknown.
    pub user: String,
    /// Group name; empty when unknown.
    pub group: String,
}

/// A time in a file's metadata: any that a file system can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileTime {
    /// Seconds since 1970, negative before.
    pub secs: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanos: u32,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Name with its namespace, such as `user.comment` or `system.posix_acl_access`.
    pub name: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

impl Entry {
    /// The file's length in bytes, 0 for everything else.
    #[must_use]
    pub fn size(&self) -> u64 {
        if let EntryKind::File(file) = &self.kind {
            file.size
        } else {
            0
        }
    }

    /// True when `base`, an entry of an earlier backup, is a regular file whose content must still be this one's: same
    /// size, times and inode.
    #[must_use]
    pub fn is_unchanged_since(&self, base: &Self) -> bool {
        let (EntryKind::File(now), EntryKind::File(then)) = (&self.kind, &base.kind) else {
            return false;
        };
        now.size == then.size
            && self.mtime == base.mtime
            && self.ctime == base.ctime
            && self.inode == base.inode
            && !then.torn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lies_between_holes() {
        let extent = |offset, len| Extent { offset, len };
        let file = FileContent {
            size: 100,
            holes: vec![extent(0, 10), extent(20, 30), extent(90, 10)],
            ..FileContent::default()
        };
        assert_eq!(
            file.data_extents().collect::<Vec<_>>(),
            [extent(10, 10), extent(50, 40)]
        );
        let whole = FileContent {
            size: 5,
            ..FileContent::default()
        };
        assert_eq!(whole.data_extents().collect::<Vec<_>>(), [extent(0, 5)]);
        assert_eq!(FileContent::default().data_extents().count(), 0);
    }
}
