//! The entry with one name.
//!
//! [`Existing`] describes an existing entry; the functions create folders, links and special files, or open existing entries. Invariant:
//! links are examined, never followed.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::apply;
use super::folders::Folder;
use crate::model::{Device, EntryKind, FileContent, FileTime};

/// An existing entry in a target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Existing {
    /// Its kind. Files have their size and no content.
    pub kind: EntryKind,
    /// The twelve permission bits.
    pub mode: u32,
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Modification time.
    pub mtime: FileTime,
    /// Change time of the inode.
    pub ctime: FileTime,
    /// Device of the inode. Only device and inode together identify a file.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Number of hard links.
    pub links: u64,
}

impl Existing {
    pub(super) fn new(folder: &Folder, name: &[u8], stat: &Stat) -> io::Result<Self> {
        let device = Device {
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File(FileContent {
                size,
                ..FileContent::default()
            }),
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
                EntryKind::Symlink(target.into_bytes().into())
            }
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket => EntryKind::Socket,
            FileType::CharacterDevice => EntryKind::CharDevice(device),
            FileType::BlockDevice => EntryKind::BlockDevice(device),
            FileType::Unknown => return Err(io::Error::other("it is of an unknown type")),
        };
        // Nanoseconds are below 10⁹, so `u32` is wide enough on every system.
        Ok(Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: FileTime {
                secs: stat.st_mtime,
                nanos: stat.st_mtime_nsec as u32,
            },
            ctime: FileTime {
                secs: stat.st_ctime,
                nanos: stat.st_ctime_nsec as u32,
            },
            device: stat.st_dev,
            inode: stat.st_ino,
            links: stat.st_nlink,
        })
    }

    /// Device and inode: the same for all names of one file.
    #[must_use]
    pub const fn id(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// The file's length in bytes; 0 for other kinds.
    #[must_use]
    pub const fn size(&self) -> u64 {
        if let EntryKind::File(file) = &self.kind {
            file.size
        } else {
            0
        }
    }
}

/// Creates a folder unless it exists. Another kind of entry is kept and is an error.
pub(super) fn ensure_dir(folder: &Folder, name: &[u8]) -> io::Result<bool> {
    match rustix::fs::mkdirat(folder, name, Mode::RWXU) {
        Ok(()) => {
            if folder.inherits_acl {
                apply::drop_acl(folder, name)?;
            }
            Ok(true)
        }
        Err(Errno::EXIST) => {
            let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Ok(false),
                _ => Err(Errno::NOTDIR.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Creates a folder; deletes another kind of entry at that name first.
pub(super) fn make_dir(folder: &Folder, name: &[u8]) -> io::Result<bool> {
    // One attempt is enough unless another process writes here at the same time.
    for _ in 0..8 {
        match ensure_dir(folder, name) {
            Err(error) if is_no_folder(&error) => {}
            other => return other,
        }
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::EXIST.into())
}

/// Creates a link or a special file.
pub(super) fn make(folder: &Folder, name: &[u8], kind: &EntryKind) -> Result<(), Errno> {
    let (file_type, device) = match kind {
        EntryKind::Symlink(target) => return rustix::fs::symlinkat(&**target, folder, name),
        EntryKind::Fifo => (FileType::Fifo, 0),
        EntryKind::Socket => (FileType::Socket, 0),
        EntryKind::CharDevice(Device { major, minor }) => (
            FileType::CharacterDevice,
            rustix::fs::makedev(*major, *minor),
        ),
        EntryKind::BlockDevice(Device { major, minor }) => {
            (FileType::BlockDevice, rustix::fs::makedev(*major, *minor))
        }
        EntryKind::File(_) | EntryKind::Directory => return Err(Errno::INVAL),
    };
    rustix::fs::mknodat(folder, name, file_type, Mode::RUSR | Mode::WUSR, device)
}

/// Opens a file or a folder to set its metadata; `None` if it cannot be opened. The existing entry must be of this kind.
pub(super) fn open(folder: &Folder, name: &[u8], kind: &EntryKind) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let extra = match kind {
        EntryKind::Directory => Some(OFlags::DIRECTORY),
        EntryKind::File(_) => Some(OFlags::empty()),
        _ => None,
    };
    let file = match extra {
        Some(extra) => {
            let flags = flags | extra | OFlags::CLOEXEC;
            match rustix::fs::openat(folder, name, flags, Mode::empty()) {
                Err(Errno::ACCESS) => None,
                other => Some(other?),
            }
        }
        None => None,
    };
    let stat = match &file {
        Some(file) => rustix::fs::fstat(file)?,
        None => rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?,
    };
    if FileType::from_raw_mode(stat.st_mode) != file_type(kind) {
        return Err(io::Error::other("it is of another kind"));
    }
    Ok(file)
}

/// True when a part of a path is missing or is not a folder.
pub(in crate::target) fn is_no_folder(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

fn file_type(kind: &EntryKind) -> FileType {
    match kind {
        EntryKind::File(_) => FileType::RegularFile,
        EntryKind::Directory => FileType::Directory,
        EntryKind::Symlink(_) => FileType::Symlink,
        EntryKind::Fifo => FileType::Fifo,
        EntryKind::Socket => FileType::Socket,
        EntryKind::CharDevice(_) => FileType::CharacterDevice,
        EntryKind::BlockDevice(_) => FileType::BlockDevice,
    }
}
