//! Reading regular files.
//!
//! [`FileReader`] gives a file's bytes outside of its holes. Invariant: it gives at most as many as the file had when it
//! was opened, and says at the end whether the file stayed as it was.

use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::vec;

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::details::name_of;
use super::xattr::{self, Place};
use super::{Links, Look};
use crate::model::{Entry, EntryKind, Extent, FileTime};
use crate::source::ContentReader;

/// More holes than that are read as the zeros they stand for.
const MAX_HOLES: usize = 1 << 16;

/// Reads one file.
pub(super) struct FileReader {
    file: OwnedFd,
    /// What is read now, and what comes then.
    current: Extent,
    following: vec::IntoIter<Extent>,
    ended_early: bool,
    opened_as: (u64, FileTime, FileTime),
}

impl FileReader {
    /// Opens the file of an entry and brings the entry up to date.
    pub(super) fn open(
        folder: BorrowedFd<'_>,
        links: Links,
        entry: &mut Entry,
    ) -> io::Result<Self> {
        let (file, look) = open_file(folder, name_of(entry), links)?;
        entry.xattrs = xattr::read(Place::Open(rustix::fd::AsFd::as_fd(&file)))?;
        entry.mtime = look.mtime();
        entry.ctime = look.ctime();
        entry.inode = look.0.st_ino;
        entry.mode = look.mode();
        let EntryKind::File(content) = &mut entry.kind else {
            return Err(io::Error::other("is no regular file"));
        };
        content.size = look.size();
        content.holes = match u64::try_from(look.0.st_blocks) {
            Ok(blocks) if blocks.saturating_mul(512) < content.size => holes(&file, content.size)?,
            _ => Vec::new(),
        };
        let mut following = content.data_extents().collect::<Vec<_>>().into_iter();
        Ok(Self {
            file,
            current: following.next().unwrap_or(Extent { offset: 0, len: 0 }),
            following,
            ended_early: false,
            opened_as: (look.size(), look.mtime(), look.ctime()),
        })
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.len == 0 {
            match self.following.next() {
                Some(next) if !self.ended_early => self.current = next,
                _ => return Ok(0),
            }
        }
        let most = usize::try_from(self.current.len)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let len = loop {
            match rustix::io::pread(&self.file, &mut buffer[..most], self.current.offset) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
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
        if self.ended_early {
            return Ok(false);
        }
        let look = Look(rustix::fs::fstat(&self.file)?);
        Ok(self.opened_as == (look.size(), look.mtime(), look.ctime()))
    }
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
    let look = Look(rustix::fs::fstat(&file)?);
    if look.file_type() != rustix::fs::FileType::RegularFile {
        return Err(changed());
    }
    Ok((file, look))
}

/// Finds the holes of a file; none where the file system does not tell.
fn holes(file: &OwnedFd, size: u64) -> io::Result<Vec<Extent>> {
    let mut holes: Vec<Extent> = Vec::new();
    let mut offset = 0;
    while offset < size && holes.len() < MAX_HOLES {
        let data = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
            Ok(data) => data.min(size),
            // No data from here on.
            Err(Errno::NXIO) => size,
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::SPIPE) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
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
            // Cut meanwhile; reading ends early and tells.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(holes)
}
