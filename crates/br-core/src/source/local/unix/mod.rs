//! Folders on Unix.
//!
//! [`Folder`] is an open folder and examines its entries, [`Look`] has the metadata of one of them, [`Describer`] converts it to an entry.
//! Invariant: a link is followed only with [`Links::Follow`].

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::names::Names;
use crate::model::{Entry, EntryKind, EntryPath, FileContent, FileTime};

mod content;
mod details;
mod look;
mod owners;
mod xattr;

pub(super) use details::LocalDetails;
pub(super) use look::{Attribute, Look};

use owners::Owners;

/// Buffer size for one system call that lists a folder.
const LISTING_SIZE: usize = 256 * 1024;

/// What to do if the last part of a path is a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Follow,
    Keep,
}

/// An open folder.
#[derive(Debug, Clone)]
pub(super) struct Folder(Arc<OwnedFd>);

impl Folder {
    /// Opens a folder as a base for examining its entries by name.
    pub(super) fn base(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(Arc::new(rustix::fs::openat(
            CWD,
            path,
            flags,
            Mode::empty(),
        )?)))
    }

    /// Opens a subfolder as a base for examining its entries by name.
    pub(super) fn below(&self, name: &[u8], links: Links) -> io::Result<Self> {
        self.open_folder(name, OFlags::PATH, links)
    }

    /// Opens a subfolder for listing.
    pub(super) fn open(&self, name: &[u8], links: Links, is_own: bool) -> io::Result<Self> {
        if is_own {
            // Only the owner may open a folder without changing its access time.
            match self.open_folder(name, OFlags::NOATIME, links) {
                Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {}
                other => return other,
            }
        }
        self.open_folder(name, OFlags::empty(), links)
    }

    fn open_folder(&self, name: &[u8], flags: OFlags, links: Links) -> io::Result<Self> {
        let mut flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, links == Links::Keep);
        Ok(Self(Arc::new(rustix::fs::openat(
            &self.0,
            name,
            flags,
            Mode::empty(),
        )?)))
    }

    /// Examines an entry of this folder, or with `.` the folder itself.
    pub(super) fn look(&self, name: &[u8], links: Links) -> io::Result<Look> {
        let mut flags = AtFlags::empty();
        flags.set(AtFlags::SYMLINK_NOFOLLOW, links == Links::Keep);
        Look::at(self.as_fd(), name, flags)
    }

    /// Device and inode of this folder.
    pub(super) fn id(&self) -> io::Result<(u64, u64)> {
        Ok(Look::of(&self.0)?.id())
    }

    /// Reads the names of all entries in the folder, sorted.
    pub(super) fn list(&self, buffer: &mut ListBuffer) -> io::Result<Names> {
        let mut names = Names::default();
        let mut listing = RawDir::new(&self.0, &mut buffer.0);
        while let Some(item) = listing.next() {
            let item = item?;
            let name = item.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads the first `limit` bytes of a regular file.
    pub(super) fn read_start(&self, name: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let file = content::open_file(self.as_fd(), name, Links::Keep)?.0;
        let mut bytes = vec![0; limit];
        let mut len = 0;
        while len < limit {
            match rustix::io::pread(&file, &mut bytes[len..], len as u64) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A reusable buffer for listing folders.
#[derive(Debug)]
pub(super) struct ListBuffer(Box<[MaybeUninit<u8>]>);

impl Default for ListBuffer {
    fn default() -> Self {
        Self(Box::new_uninit_slice(LISTING_SIZE))
    }
}

/// The effective user of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Me(u32);

impl Me {
    pub(super) fn get() -> Self {
        Self(rustix::process::geteuid().as_raw())
    }
}

/// Converts metadata to entries, and shares owners and link groups between them.
#[derive(Debug, Default)]
pub(super) struct Describer {
    owners: Owners,
    /// The link group of each inode with several names.
    links: HashMap<(u64, u64), u64>,
    /// For each device, whether an unchanged change time proves that a file is unchanged.
    has_change_times: HashMap<u64, bool>,
}

impl Describer {
    /// Creates the entry for `name` in `folder` from its metadata.
    pub(super) fn describe(
        &mut self,
        folder: &Folder,
        name: &[u8],
        path: EntryPath,
        look: &Look,
    ) -> io::Result<Entry> {
        let kind = match look.file_type() {
            FileType::RegularFile => EntryKind::File(FileContent {
                size: look.size(),
                ..FileContent::default()
            }),
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&folder.0, name, Vec::new())?;
                EntryKind::Symlink(target.into_bytes().into_boxed_slice())
            }
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket => EntryKind::Socket,
            FileType::CharacterDevice => EntryKind::CharDevice(look.node()),
            FileType::BlockDevice => EntryKind::BlockDevice(look.node()),
            FileType::Unknown => return Err(io::Error::other("is of an unknown type")),
        };
        let link_group = (look.links() > 1 && kind != EntryKind::Directory).then(|| {
            *self
                .links
                .entry(look.id())
                .or_insert_with(|| link_group(&path))
        });
        let ctime = if self.has_change_times(folder, look)? {
            look.ctime()
        } else {
            FileTime::UNKNOWN
        };
        Ok(Entry {
            path,
            kind,
            mode: look.mode(),
            owner: self.owners.get(look.uid(), look.gid()),
            mtime: look.mtime(),
            ctime,
            inode: look.id().1,
            xattrs: Vec::new(),
            link_group,
        })
    }
}

impl Describer {
    /// Whether an unchanged change time proves that a file is unchanged. Determined once per device.
    fn has_change_times(&mut self, folder: &Folder, look: &Look) -> io::Result<bool> {
        if let Some(known) = self.has_change_times.get(&look.device()) {
            return Ok(*known);
        }
        if folder.id()?.0 != look.device() {
            // A mount point. Entries on the mounted file system are checked separately.
            return Ok(true);
        }
        let has = !is_image(folder);
        self.has_change_times.insert(look.device(), has);
        Ok(has)
    }
}

/// The link group whose first path this is.
fn link_group(path: &EntryPath) -> u64 {
    let hash = blake3::hash(path.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The kernel's number for the type of a file's file system.
fn file_system_type(of: impl AsFd) -> Option<u64> {
    let stat = rustix::fs::fstatfs(of).ok()?;
    // The type of the field differs between systems; truncated to 32 bits, the number is the same on all of them.
    Some(u64::from(stat.f_type as u32))
}

/// True for file systems that are created as whole images. A file in another image may have the same size, times and inode, because
/// programs that create images often set all times to the same value.
fn is_image(folder: &Folder) -> bool {
    const IMAGES: [u64; 6] = [
        0x7371_7368, // squashfs
        0xe0f5_e1e2, // erofs
        0x28cd_3d45, // cramfs
        0x0000_7275, // romfs
        0x0000_9660, // iso9660
        0x1501_3346, // udf
    ];
    file_system_type(&folder.0).is_some_and(|kind| IMAGES.contains(&kind))
}

/// Device and inode of the folder at a path. Follows links.
pub(super) fn folder_id(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::stat(path).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// A path as raw bytes.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Bytes as an `OsStr`.
pub(super) fn os_str(bytes: &[u8]) -> &OsStr {
    OsStrExt::from_bytes(bytes)
}
