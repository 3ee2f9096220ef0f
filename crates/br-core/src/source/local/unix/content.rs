//! Reading regular files.
//!
//! [`FileReader`] gives a file's bytes outside of its holes. Invariant: it gives at most as many as the file had when it
//! was opened, unless the system's word about its size is worth nothing, and says at the end whether the file stayed as it was.

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

/// More holes than that are read as the zeros they represent.
const MAX_HOLES: usize = 1 << 16;

/// Most bytes of a file that come after its announced end. Some files of `/proc` say that they are empty and have many
/// gigabytes.
const MAX_UNANNOUNCED: u64 = 64 << 20;

/// Reads one file.
pub(super) struct FileReader {
    file: OwnedFd,
    /// What is read now, and what comes then.
    current: Extent,
    following: vec::IntoIter<Extent>,
    ended_early: bool,
    /// Nothing is looked for after the announced end any more.
    is_done: bool,
    /// Bytes after the announced end.
    unannounced: u64,
    /// The size says something about the content.
    is_size_reliable: bool,
    opened_as: (u64, FileTime, FileTime),
    missing: Option<String>,
}

impl FileReader {
    /// Opens the file of an entry and brings the entry up to date.
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
            return Err(io::Error::other("is no regular file"));
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

    /// Looks once more at the announced end. What comes there although the size stayed the same belongs to the file: `/proc`
    /// and some FUSE file systems announce too little. What was appended meanwhile belongs to the next backup.
    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_done || self.ended_early || buffer.is_empty() {
            return Ok(0);
        }
        let (announced, ..) = self.opened_as;
        let offset = announced.saturating_add(self.unannounced);
        let len = match pread(&self.file, buffer, offset) {
            // All that was announced is there.
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
                "it says that it has {announced} bytes, and gives more than {MAX_UNANNOUNCED} more"
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
        // The content is there, whatever the system says now.
        let Ok(look) = Look::of(&self.file) else {
            return Ok(false);
        };
        let is_same = self.opened_as == (look.size(), look.mtime(), look.ctime());
        // The kernel gives such files new times whenever it likes.
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

/// True for file systems whose files the kernel writes while they are read, such as `/sys`, where every file says that it has
/// 4,096 bytes.
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

/// Opens what must be a regular file. Nothing else is harmed by the attempt: a FIFO does not block, a link is refused.
pub(super) fn open_file(
    folder: BorrowedFd<'_>,
    name: &[u8],
    links: Links,
) -> io::Result<(OwnedFd, Look)> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    flags.set(OFlags::NOFOLLOW, links == Links::Keep);
    let open = |flags| rustix::fs::openat(folder, name, flags, Mode::empty());
    // Only the owner may ask that the time of the last access stays.
    let opened = match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        other => other,
    };
    let changed = || io::Error::other("is no longer a regular file");
    let file = opened.map_err(|error| match error {
        // A link where the file was; a socket or a device without a driver cannot be opened at all.
        Errno::LOOP | Errno::NXIO => changed(),
        other => other.into(),
    })?;
    let look = Look::of(&file)?;
    if look.file_type() != rustix::fs::FileType::RegularFile {
        return Err(changed());
    }
    Ok((file, look))
}

/// Finds the holes of a file; none where the file system does not tell. Then they are read as the zeros they represent.
fn holes(file: &OwnedFd, size: u64) -> Vec<Extent> {
    let mut holes: Vec<Extent> = Vec::new();
    let mut offset = 0;
    while offset < size && holes.len() < MAX_HOLES {
        let data = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
            Ok(data) => data.min(size),
            // No data from here on.
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
            // Cut meanwhile, for one: then reading ends early and tells.
            Err(_) => break,
        };
    }
    holes
}
