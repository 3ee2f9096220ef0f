//! Entries of a backup: files, directories, links and their metadata.

use std::sync::Arc;

use super::{ChunkRef, EntryPath, FileTime};

/// One item in a backup, with its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is in the backup.
    pub path: EntryPath,
    /// What it is, with its content.
    pub kind: EntryKind,
    /// The twelve permission bits (`07777`).
    pub mode: u32,
    /// Who owns it.
    pub owner: Arc<Owner>,
    /// Last change of the content.
    pub mtime: FileTime,
    /// Last change of the inode; used to notice changes, never restored. [`FileTime::UNKNOWN`] when nothing can be concluded
    /// from it: then the next backup reads the entry again.
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
#[non_exhaustive]
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
    /// Ranges that read as zeros and take no space, in ascending order. They neither overlap nor touch.
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

    /// The ranges outside of holes, in ascending order: the bytes of the content belong there.
    pub fn data_extents(&self) -> impl Iterator<Item = Extent> {
        let end = |hole: &Extent| hole.offset.saturating_add(hole.len);
        let ends = self.holes.iter().map(move |hole| (hole.offset, end(hole)));
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
#[non_exhaustive]
pub enum Content {
    /// The bytes themselves, if they are few.
    Inline(Box<[u8]>),
    /// The chunks that contain the bytes, in order.
    Chunks(Vec<ChunkRef>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Inline(Box::default())
    }
}

/// A range of a file, in bytes.
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

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Name with its namespace, such as `user.comment` or `system.posix_acl_access`.
    pub name: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

impl Owner {
    /// The longest name, in bytes.
    pub const MAX_NAME: usize = 4096;

    /// Takes numbers and names.
    ///
    /// # Errors
    /// When a name is longer than [`Owner::MAX_NAME`].
    pub fn new(
        uid: u32,
        gid: u32,
        user: impl Into<String>,
        group: impl Into<String>,
    ) -> Result<Self, EntryError> {
        let (user, group) = (user.into(), group.into());
        let owner = Self {
            uid,
            gid,
            user,
            group,
        };
        owner.check().map(|()| owner)
    }

    pub(crate) const fn check(&self) -> Result<(), EntryError> {
        if self.user.len() <= Self::MAX_NAME && self.group.len() <= Self::MAX_NAME {
            Ok(())
        } else {
            Err(EntryError::OwnerName)
        }
    }
}

impl Xattr {
    /// The longest name, in bytes.
    pub const MAX_NAME: usize = 255;
    /// The longest value, in bytes.
    pub const MAX_VALUE: usize = 65_536;
    /// The most bytes of all names and values of one entry.
    pub const MAX_SUM: usize = 1 << 20;

    /// Takes a name and a value.
    ///
    /// # Errors
    /// When the name is empty or has a NUL byte, or either is too long.
    pub fn new(name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Result<Self, EntryError> {
        let (name, value) = (name.into(), value.into());
        let xattr = Self { name, value };
        xattr.check().map(|()| xattr)
    }

    pub(crate) fn check(&self) -> Result<(), EntryError> {
        if self.name.is_empty() || self.name.contains(&0) {
            return Err(EntryError::XattrName);
        }
        if self.name.len() <= Self::MAX_NAME && self.value.len() <= Self::MAX_VALUE {
            Ok(())
        } else {
            Err(EntryError::XattrLength)
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.name.len() + self.value.len()
    }
}

/// The rule of the format that an entry breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// The mode has more than the twelve permission bits.
    Mode,
    /// A time has a thousand million nanoseconds or more.
    Time,
    /// A name of the owner is longer than [`Owner::MAX_NAME`].
    OwnerName,
    /// The name of an extended attribute is empty or has a NUL byte.
    XattrName,
    /// The name or the value of an extended attribute is too long.
    XattrLength,
    /// All extended attributes together are longer than [`Xattr::MAX_SUM`].
    XattrSum,
    /// The target of a symbolic link is empty or has a NUL byte.
    Target,
    /// The target of a symbolic link is longer than 65,535 bytes.
    TargetLength,
    /// A hole is empty, overlaps or touches the one before, or ends behind the file.
    Holes,
    /// There are more than 131,072 holes.
    HoleCount,
    /// The content and the holes are not as long as the file.
    Size,
    /// The root of the backup is not a folder.
    Root,
}

impl EntryError {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Mode => "its mode has more than the twelve permission bits",
            Self::Time => "one of its times has a thousand million nanoseconds or more",
            Self::OwnerName => "the name of its owner is too long",
            Self::XattrName => "the name of an extended attribute is empty or has a NUL byte",
            Self::XattrLength => "an extended attribute is too long",
            Self::XattrSum => "its extended attributes are too long",
            Self::Target => "its target is empty or has a NUL byte",
            Self::TargetLength => "its target is too long",
            Self::Holes => "its holes overlap, are empty or end after the end of the file",
            Self::HoleCount => "it has too many holes",
            Self::Size => "its content and its holes are not as long as the file",
            Self::Root => "the root of a backup must be a folder",
        }
    }
}

impl std::fmt::Display for EntryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for EntryError {}

/// The longest target of a symbolic link, in bytes.
const MAX_TARGET: usize = 65_535;
/// Most holes of one file.
const MAX_HOLES: usize = 1 << 17;

impl Entry {
    /// Checks that the entry follows every rule of the format. Readers and writers use this function, so readers accept what writers store.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), EntryError> {
        self.check_metadata()?;
        self.check_kind()?;
        match &self.kind {
            EntryKind::File(file) => file.check_size(),
            _ => Ok(()),
        }
    }

    /// The rules about what is known of every entry.
    pub(crate) fn check_metadata(&self) -> Result<(), EntryError> {
        if self.mode > 0o7777 {
            return Err(EntryError::Mode);
        }
        self.mtime.check()?;
        self.ctime.check()?;
        self.owner.check()?;
        self.xattrs.iter().try_for_each(Xattr::check)?;
        if self.xattrs.iter().map(Xattr::len).sum::<usize>() <= Xattr::MAX_SUM {
            Ok(())
        } else {
            Err(EntryError::XattrSum)
        }
    }

    /// The rules about links and holes, and about what may be the root.
    pub(crate) fn check_kind(&self) -> Result<(), EntryError> {
        if self.path.is_root() && self.kind != EntryKind::Directory {
            return Err(EntryError::Root);
        }
        match &self.kind {
            EntryKind::Symlink(target) if target.is_empty() || target.contains(&0) => {
                Err(EntryError::Target)
            }
            EntryKind::Symlink(target) if target.len() > MAX_TARGET => {
                Err(EntryError::TargetLength)
            }
            EntryKind::File(file) => file.hole_bytes().map(drop),
            _ => Ok(()),
        }
    }
}

impl FileContent {
    /// Bytes of all holes, which must be in order, apart from each other and within the file.
    pub(crate) fn hole_bytes(&self) -> Result<u64, EntryError> {
        if self.holes.len() > MAX_HOLES {
            return Err(EntryError::HoleCount);
        }
        let (mut end, mut sum) = (0, 0);
        for (nth, hole) in self.holes.iter().enumerate() {
            let touches = nth > 0 && hole.offset == end;
            if hole.len == 0 || hole.offset < end || touches {
                return Err(EntryError::Holes);
            }
            end = hole.offset.checked_add(hole.len).ok_or(EntryError::Holes)?;
            sum += hole.len;
        }
        if end <= self.size {
            Ok(sum)
        } else {
            Err(EntryError::Holes)
        }
    }

    /// Content and holes must be as long as the file.
    pub(crate) fn check_size(&self) -> Result<(), EntryError> {
        if self.data_len().checked_add(self.hole_bytes()?) == Some(self.size) {
            Ok(())
        } else {
            Err(EntryError::Size)
        }
    }
}

impl Entry {
    /// A regular file of `size` bytes whose content a source gives. Mode 0644, owner 0, modified in 1970: set what is known. Every backup reads
    /// it, unless [`Entry::with_change_time`] is set and [`Source::can_skip_unchanged`](crate::source::Source::can_skip_unchanged) is true.
    #[must_use]
    pub fn file(path: EntryPath, size: u64) -> Self {
        let file = FileContent {
            size,
            ..FileContent::default()
        };
        Self::new(path, EntryKind::File(file), 0o644)
    }

    /// A folder. Mode 0755, owner 0, modified in 1970: set what is known.
    #[must_use]
    pub fn directory(path: EntryPath) -> Self {
        Self::new(path, EntryKind::Directory, 0o755)
    }

    /// A symbolic link. Mode 0777, owner 0, modified in 1970: set what is known.
    #[must_use]
    pub fn symlink(path: EntryPath, target: impl Into<Box<[u8]>>) -> Self {
        Self::new(path, EntryKind::Symlink(target.into()), 0o777)
    }

    /// Sets when the content and the metadata changed last, for a source that knows it. A backup does not read a file again that has the
    /// same time and size as before, if [`Source::can_skip_unchanged`](crate::source::Source::can_skip_unchanged) is true.
    #[must_use]
    pub fn with_change_time(mut self, time: impl Into<FileTime>) -> Self {
        self.mtime = time.into();
        self.ctime = self.mtime;
        self
    }

    fn new(path: EntryPath, kind: EntryKind, mode: u32) -> Self {
        Self {
            path,
            kind,
            mode,
            owner: Arc::default(),
            mtime: FileTime::default(),
            ctime: FileTime::UNKNOWN,
            inode: 0,
            xattrs: Vec::new(),
            link_group: None,
        }
    }

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
    fn entries_made_from_a_path_keep_the_rules() {
        let path = || EntryPath::new(*b"a").unwrap();
        assert_eq!(Entry::directory(path()).check(), Ok(()));
        assert_eq!(Entry::symlink(path(), *b"b").check(), Ok(()));
        assert_eq!(Entry::file(path(), 0).check(), Ok(()));
        assert_eq!(Entry::file(path(), 7).size(), 7);
    }

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
        // The fields are public, so a caller can make a hole that no file can have.
        let odd = FileContent {
            size: 5,
            holes: vec![extent(u64::MAX, 2)],
            ..FileContent::default()
        };
        assert_eq!(odd.data_extents().count(), 1);
    }
}
