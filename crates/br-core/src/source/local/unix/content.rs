//! Reading regular files.
//!
//! [`FileReader`] reads a file's bytes outside of its holes. Invariant: it reads at most as many bytes as the file had when it was opened,
//! unless the size reported by the system is unreliable, and `finish` says whether the file stayed unchanged.

use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::vec;

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::details::name_of;
use super::xattr::{self, XattrTarget};
use super::{Links, Look, file_system_type};
use crate::model::{Entry, EntryKind, Extent, FileTime};
use crate::source::ContentReader;

/// If a file has more holes than this, the rest are read as zeros.
const MAX_HOLES: usize = 1 << 16;

/// Maximum bytes read after the announced end of a file. Some files of `/proc` report a size of zero and have many gigabytes.
const MAX_UNANNOUNCED: u64 = 64 << 20;

/// Reads one file.
pub(super) struct FileReader {
    file: OwnedFd,
    /// The extent that is being read, and the extents after it.
    current: Extent,
    following: vec::IntoIter<Extent>,
    ended_early: bool,
    /// True when there is nothing more to read after the announced end.
    is_done: bool,
    /// Bytes after the announced end.
    unannounced: u64,
    /// False when the file has more or fewer bytes than its size says although it did not change.
    is_size_reliable: bool,
    opened_as: (u64, FileTime, FileTime),
    missing: Option<String>,
}

impl FileReader {
    /// Opens an entry's file and updates the entry's metadata.
    pub(super) fn open(
        folder: BorrowedFd<'_>,
        links: Links,
        entry: &mut Entry,
    ) -> io::Result<Self> {
        let (file, look) = open_file(folder, name_of(entry), links)?;
        let attributes = xattr::read(XattrTarget::Open(rustix::fd::AsFd::as_fd(&file)))?;
        let missing = attributes.missing();
        entry.xattrs = attributes.found;
        entry.mtime = look.mtime();
        if entry.ctime != FileTime::UNKNOWN {
            entry.ctime = look.ctime();
        }
        entry.inode = look.id().1;
        entry.mode = look.mode();
        let EntryKind::File(content) = &mut entry.kind else {
            return Err(io::Error::other("is not a regular file"));
        };
        content.size = look.size();
        if look.blocks().saturating_mul(512) < content.size {
            content.holes = holes(&file, content.size);
        }
        let mut following = content.data_extents().collect::<Vec<_>>().into_iter();
        Ok(Self {
            file,
            current: following.next().unwrap_or(Extent { offset: 0, len: 0 }),
            following,
            ended_early: false,
            is_done: false,
            unannounced: 0,
            is_size_reliable: true,
            opened_as: (look.size(), look.mtime(), look.ctime()),
            missing,
        })
    }

    /// Reads after the announced end. If there is data although the size stayed the same, it belongs to the file: `/proc` and some FUSE
    /// file systems report sizes that are too small. Data that was appended since the file was opened belongs to the next backup.
    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_done || self.ended_early || buffer.is_empty() {
            return Ok(0);
        }
        let (announced, ..) = self.opened_as;
        let offset = announced.saturating_add(self.unannounced);
        let len = match pread(&self.file, buffer, offset) {
            // Ignore the error: all announced bytes were read.
            Err(_) if announced > 0 && self.unannounced == 0 => 0,
            other => other?,
        };
        if len > 0 && self.unannounced == 0 {
            let look = Look::of(&self.file)?;
            self.is_done = look.size() != announced;
        }
        if len == 0 || self.is_done {
            self.is_done = true;
            return Ok(0);
        }
        self.is_size_reliable = false;
        self.unannounced += len as u64;
        if self.unannounced > MAX_UNANNOUNCED {
            let text = format!(
                "its reported size is {announced} bytes, but it has more than {MAX_UNANNOUNCED} bytes after that"
            );
            return Err(io::Error::other(text));
        }
        Ok(len)
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.len == 0 {
            match self.following.next() {
                Some(next) if !self.ended_early => self.current = next,
                _ => return self.read_on(buffer),
            }
        }
        let most = usize::try_from(self.current.len)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let len = pread(&self.file, &mut buffer[..most], self.current.offset)?;
        if len == 0 && most > 0 {
            self.ended_early = true;
            self.current.len = 0;
        }
        self.current.offset += len as u64;
        self.current.len -= (len as u64).min(self.current.len);
        Ok(len)
    }
}

impl ContentReader for FileReader {
    fn finish(&mut self) -> io::Result<bool> {
        // The content was read, so a failure here only means that the file may have changed.
        let Ok(look) = Look::of(&self.file) else {
            return Ok(false);
        };
        let is_same = self.opened_as == (look.size(), look.mtime(), look.ctime());
        // The kernel may change the times of these files at any time.
        if self.ended_early && is_made_by_the_kernel(&self.file) {
            self.is_size_reliable = false;
            return Ok(true);
        }
        Ok(is_same && !self.ended_early)
    }

    fn incomplete(&self) -> Option<String> {
        self.missing.clone()
    }

    fn is_size_reliable(&self) -> bool {
        self.is_size_reliable
    }
}

fn pread(file: &OwnedFd, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pread(file, &mut *buffer, offset) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// True for file systems whose files the kernel generates on read, such as `/sys`, where every file reports a size of 4,096 bytes.
fn is_made_by_the_kernel(file: &OwnedFd) -> bool {
    const KERNEL: [u64; 13] = [
        0x0000_9fa0, // proc
        0x6265_6572, // sysfs
        0x6462_6720, // debugfs
        0x7472_6163, // tracefs
        0x7363_6673, // securityfs
        0x0027_e0eb, // cgroup
        0x6367_7270, // cgroup2
        0x6265_6570, // configfs
        0xde5e_81e4, // efivarfs
        0x6165_676c, // pstore
        0xf97c_ff8c, // selinuxfs
        0xcafe_4a11, // bpf
        0x4249_4e4d, // binfmt_misc
    ];
    file_system_type(file).is_some_and(|kind| KERNEL.contains(&kind))
}

/// Opens a regular file. Safe for other kinds of file: a FIFO does not block, and a link is refused.
pub(super) fn open_file(
    folder: BorrowedFd<'_>,
    name: &[u8],
    links: Links,
) -> io::Result<(OwnedFd, Look)> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    flags.set(OFlags::NOFOLLOW, links == Links::Keep);
    let open = |flags| rustix::fs::openat(folder, name, flags, Mode::empty());
    // Only the owner may open a file without changing its access time.
    let opened = match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        other => other,
    };
    let changed = || io::Error::other("is no longer a regular file");
    let file = opened.map_err(|error| match error {
        // The file was replaced by a link, or by a socket or a device without a driver, which cannot be opened.
        Errno::LOOP | Errno::NXIO => changed(),
        other => other.into(),
    })?;
    let look = Look::of(&file)?;
    if look.file_type() != rustix::fs::FileType::RegularFile {
        return Err(changed());
    }
    Ok((file, look))
}

/// Finds the holes of a file. Returns none if the file system does not report them; they are then read as zeros.
fn holes(file: &OwnedFd, size: u64) -> Vec<Extent> {
    let mut holes: Vec<Extent> = Vec::new();
    let mut offset = 0;
    while offset < size && holes.len() < MAX_HOLES {
        let data = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
            Ok(data) => data.min(size),
            // There is no data after this offset.
            Err(Errno::NXIO) => size,
            Err(_) => return Vec::new(),
        };
        match holes.last_mut() {
            Some(last) if last.offset + last.len == offset => last.len += data - offset,
            _ if data > offset => holes.push(Extent {
                offset,
                len: data - offset,
            }),
            _ => {}
        }
        if data >= size {
            break;
        }
        offset = match rustix::fs::seek(file, SeekFrom::Hole(data)) {
            Ok(hole) => hole,
            // For example, the file was truncated: reading then ends early and reports it.
            Err(_) => break,
        };
    }
    holes
}
