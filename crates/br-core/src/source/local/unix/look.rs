//! Metadata of one file, folder or link, as the system reports it.
//!
//! [`Look`] is the result of one call of `statx`, or of `stat` if the system or a sandbox lacks `statx`. Invariant: all values are from
//! the same moment.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Stat, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::Me;
use crate::model::{Device, FileTime};

/// Metadata of one file, folder or link.
#[derive(Debug)]
pub(in crate::source::local) struct Look {
    device: u64,
    inode: u64,
    /// Type and permissions.
    mode: u32,
    links: u64,
    uid: u32,
    gid: u32,
    /// The device that a special file represents.
    node: Device,
    size: u64,
    /// Number of 512-byte blocks in use.
    blocks: u64,
    mtime: FileTime,
    ctime: FileTime,
    attributes: StatxAttributes,
}

/// An attribute that `chattr` sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::source::local) enum Attribute {
    AppendOnly,
    Compressed,
    NoDump,
    Immutable,
}

impl Attribute {
    const ALL: [Self; 4] = [
        Self::AppendOnly,
        Self::Compressed,
        Self::NoDump,
        Self::Immutable,
    ];

    /// The letter that `chattr` and `lsattr` use.
    pub(in crate::source::local) const fn letter(self) -> char {
        match self {
            Self::AppendOnly => 'a',
            Self::Compressed => 'c',
            Self::NoDump => 'd',
            Self::Immutable => 'i',
        }
    }

    const fn bit(self) -> StatxAttributes {
        match self {
            Self::AppendOnly => StatxAttributes::APPEND,
            Self::Compressed => StatxAttributes::COMPRESSED,
            Self::NoDump => StatxAttributes::NODUMP,
            Self::Immutable => StatxAttributes::IMMUTABLE,
        }
    }
}

impl Look {
    /// Examines a name in a folder.
    pub(super) fn at(folder: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> io::Result<Self> {
        match rustix::fs::statx(folder, name, flags, StatxFlags::BASIC_STATS) {
            Ok(found) => Ok(found.into()),
            // Some sandboxes refuse unknown system calls.
            Err(Errno::NOSYS | Errno::PERM) => Ok(rustix::fs::statat(folder, name, flags)?.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Examines an open file.
    pub(super) fn of(open: impl AsFd) -> io::Result<Self> {
        Ok(rustix::fs::fstat(open)?.into())
    }

    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    pub(in crate::source::local) fn is_folder(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    pub(in crate::source::local) fn is_file(&self) -> bool {
        self.file_type() == FileType::RegularFile
    }

    pub(in crate::source::local) fn is_link(&self) -> bool {
        self.file_type() == FileType::Symlink
    }

    pub(in crate::source::local) fn device(&self) -> u64 {
        self.device
    }

    /// Device and inode.
    pub(in crate::source::local) fn id(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// True when this process has the owner's rights.
    pub(in crate::source::local) fn is_own(&self, me: Me) -> bool {
        me.0 == 0 || me.0 == self.uid
    }

    /// The `chattr` attributes that are set and that the file system reports.
    pub(in crate::source::local) fn attributes(&self) -> impl Iterator<Item = Attribute> {
        let set = self.attributes;
        let all = Attribute::ALL.into_iter();
        all.filter(move |attribute| set.contains(attribute.bit()))
    }

    pub(super) fn links(&self) -> u64 {
        self.links
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    pub(super) fn gid(&self) -> u32 {
        self.gid
    }

    pub(super) fn node(&self) -> Device {
        self.node
    }

    pub(in crate::source::local) fn size(&self) -> u64 {
        self.size
    }

    /// Number of 512-byte blocks in use.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The permissions.
    pub(super) fn mode(&self) -> u32 {
        self.mode & 0o7777
    }

    pub(super) fn mtime(&self) -> FileTime {
        self.mtime
    }

    pub(super) fn ctime(&self) -> FileTime {
        self.ctime
    }
}

impl From<Statx> for Look {
    fn from(found: Statx) -> Self {
        let time = |time: rustix::fs::StatxTimestamp| FileTime {
            secs: time.tv_sec,
            nanos: time.tv_nsec,
        };
        Self {
            device: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            mode: found.stx_mode.into(),
            links: found.stx_nlink.into(),
            uid: found.stx_uid,
            gid: found.stx_gid,
            node: Device {
                major: found.stx_rdev_major,
                minor: found.stx_rdev_minor,
            },
            size: found.stx_size,
            blocks: found.stx_blocks,
            mtime: time(found.stx_mtime),
            ctime: time(found.stx_ctime),
            attributes: found.stx_attributes & found.stx_attributes_mask,
        }
    }
}

impl From<Stat> for Look {
    fn from(found: Stat) -> Self {
        // Nanoseconds are below 10⁹, so `u32` is wide enough on every system.
        let time = |secs, nanos| FileTime {
            secs,
            nanos: nanos as u32,
        };
        Self {
            device: found.st_dev,
            inode: found.st_ino,
            mode: found.st_mode,
            links: found.st_nlink,
            uid: found.st_uid,
            gid: found.st_gid,
            node: Device {
                major: rustix::fs::major(found.st_rdev),
                minor: rustix::fs::minor(found.st_rdev),
            },
            size: u64::try_from(found.st_size).unwrap_or(0),
            blocks: u64::try_from(found.st_blocks).unwrap_or(u64::MAX),
            mtime: time(found.st_mtime, found.st_mtime_nsec),
            ctime: time(found.st_ctime, found.st_ctime_nsec),
            attributes: StatxAttributes::empty(),
        }
    }
}
