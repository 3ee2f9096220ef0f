//! Reader of tar archives.

use std::io::{self, Read};
use std::mem;

use tar::{EntryType, Header};

use super::pax::Pax;
use super::{BLOCK, MemberKind, TarHeader, padding};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// The bytes of a header that contain the size.
const SIZE: std::ops::Range<usize> = 124..136;

/// Reads members in order. The next call skips content that was not read.
#[derive(Debug)]
pub(crate) struct TarReader<R> {
    inner: R,
    /// Bytes of the content that are not read yet.
    remaining: u64,
    /// Bytes of padding between the content and the next header.
    padding: u64,
    ended: bool,
    /// The name of the current member, for errors.
    name: String,
}

impl<R: Read> TarReader<R> {
    pub(crate) const fn new(inner: R) -> Self {
        Self {
            inner,
            remaining: 0,
            padding: 0,
            ended: false,
            name: String::new(),
        }
    }

    /// Moves to the next member. After the last one the input was read and checked to the end.
    pub(crate) fn next(&mut self) -> Result<Option<TarHeader>> {
        if self.ended {
            return Ok(None);
        }
        self.skip()?;
        let mut pax = Pax::default();
        let mut long_name = None;
        for _ in 0..=Limits::EXTENSIONS {
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let kind = header.entry_type();
            match kind {
                EntryType::XHeader => pax = Pax::parse(&self.extension(&header)?)?,
                EntryType::XGlobalHeader => {
                    Pax::parse(&self.extension(&header)?)?;
                }
                EntryType::GNULongName => {
                    let mut name = self.extension(&header)?;
                    while name.pop_if(|byte| *byte == 0).is_some() {}
                    long_name = Some(name);
                }
                EntryType::GNULongLink => {
                    self.extension(&header)?;
                }
                _ => return self.member(&header, pax, long_name).map(Some),
            }
        }
        Err(Error::refused(
            "too many extended headers follow each other",
        ))
    }

    /// Combines the header with its extended headers.
    fn member(
        &mut self,
        header: &Header,
        pax: Pax,
        long_name: Option<Vec<u8>>,
    ) -> Result<TarHeader> {
        let name = pax.path.or(long_name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let name = String::from_utf8(name).map_err(|error| {
            let name = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Error::refused("the path is not valid UTF-8").in_member(name)
        })?;
        let kind = if pax.is_sparse {
            Err(Error::refused("sparse members have no place in a bundle"))
        } else {
            kind(header.entry_type(), &name)
        };
        let kind = kind.map_err(|error| error.in_member(&name))?;
        let size = match pax.size {
            Some(size) => size,
            None => size(header).map_err(|error| error.in_member(&name))?,
        };
        // Some writers set a size for directories, but write no content.
        self.remaining = match kind {
            MemberKind::File => size,
            MemberKind::Directory => 0,
        };
        if self.remaining > u64::MAX - BLOCK {
            return Err(Error::damaged("Unrecognized tar header format").in_member(name));
        }
        self.padding = padding(self.remaining);
        let text = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => String::new(),
        };
        let trimmed = name.trim_end_matches('/');
        self.name = trimmed.to_owned();
        Ok(TarHeader {
            name: trimmed.to_owned(),
            kind,
            size: self.remaining,
            mode: header.mode().unwrap_or(0o644) & 0o7777,
            mtime: pax.mtime.unwrap_or_else(|| header.mtime().unwrap_or(0)),
            uid: pax.uid.unwrap_or_else(|| header.uid().unwrap_or(0)),
            gid: pax.gid.unwrap_or_else(|| header.gid().unwrap_or(0)),
            user: pax.user.unwrap_or_else(|| text(header.username_bytes())),
            group: pax.group.unwrap_or_else(|| text(header.groupname_bytes())),
        })
    }

    /// Reads one header; `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        if !read_block(&mut self.inner, block)? {
            // Without the end marker the archive may have been truncated here.
            return Err(Error::damaged("Unexpected end of file"));
        }
        if block.iter().all(|byte| *byte == 0) {
            self.end()?;
            return Ok(None);
        }
        if !is_checksum_right(&header) {
            let text = if header.as_ustar().is_some() || header.as_gnu().is_some() {
                "Checksum failed"
            } else {
                "Unrecognized tar header format"
            };
            return Err(Error::damaged(text));
        }
        Ok(Some(header))
    }

    /// Checks that only zeros follow the first block of zeros.
    fn end(&mut self) -> Result<()> {
        let mut buffer = [0; 8192];
        loop {
            let n = self.inner.read(&mut buffer).map_err(Error::read)?;
            if n == 0 {
                self.ended = true;
                return Ok(());
            }
            let zeros = buffer.get(..n).unwrap_or_default();
            if zeros.iter().any(|byte| *byte != 0) {
                return Err(Error::damaged("Invalid end of archive"));
            }
        }
    }

    /// The content of an extended header.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = size(header)?;
        if size > Limits::EXTENSION_BYTES {
            let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
            return Err(Error::refused("an extended header is too long").in_member(name));
        }
        self.remaining = size;
        self.padding = padding(size);
        let mut out = Vec::new();
        self.read_to_end(&mut out).map_err(Error::read)?;
        self.skip()?;
        Ok(out)
    }

    /// Skips the rest of the current content and its padding.
    fn skip(&mut self) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        let mut left = self.remaining.saturating_add(self.padding);
        while left > 0 {
            let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let buffer = buffer.get_mut(..len).unwrap_or_default();
            let n = self.inner.read(buffer).map_err(Error::read)?;
            if n == 0 {
                return Err(Error::damaged("Unexpected end of file").in_member(&self.name));
            }
            left -= n as u64;
        }
        (self.remaining, self.padding) = (0, 0);
        mem::take(&mut self.name);
        Ok(())
    }
}

impl<R: Read> Read for TarReader<R> {
    /// Reads from the content of the current member.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.remaining).map_or(buffer.len(), |n| n.min(buffer.len()));
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        let n = self.inner.read(buffer)?;
        if n == 0 {
            let error = Error::damaged("Unexpected end of file").in_member(&self.name);
            return Err(error.into());
        }
        self.remaining -= n as u64;
        Ok(n)
    }
}

/// Reads a block; false if the input ends before it.
fn read_block(from: &mut impl Read, block: &mut [u8]) -> Result<bool> {
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest).map_err(Error::read)? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(Error::damaged("Unexpected end of file")),
            n => filled += n,
        }
    }
    Ok(true)
}

/// The size in a header: octal digits, or binary if the first bit is set.
fn size(header: &Header) -> Result<u64> {
    let malformed = || Error::damaged("Unrecognized tar header format");
    let field = header.as_bytes().get(SIZE).unwrap_or_default();
    // The tar crate reads only the last eight of the twelve binary bytes.
    let is_binary = field.first().is_some_and(|byte| byte & 0x80 != 0);
    if is_binary && !field.starts_with(&[0x80, 0, 0, 0]) {
        return Err(malformed());
    }
    header.entry_size().map_err(|_| malformed())
}

/// True if the checksum is right: the sum over the header with spaces in the checksum field. Some old programs summed signed bytes.
fn is_checksum_right(header: &Header) -> bool {
    const FIELD: std::ops::Range<usize> = 148..156;
    let Ok(stored) = header.cksum() else {
        return false;
    };
    let bytes = header.as_bytes().iter().enumerate();
    let bytes = bytes.map(|(at, byte)| if FIELD.contains(&at) { b' ' } else { *byte });
    let (mut unsigned, mut signed) = (0_u32, 0_i32);
    for byte in bytes {
        unsigned += u32::from(byte);
        signed += i32::from(byte.cast_signed());
    }
    stored == unsigned || i64::from(stored) == i64::from(signed)
}

/// Accepts files and directories. All other kinds could do harm or have no use in a bundle.
fn kind(kind: EntryType, name: &str) -> Result<MemberKind> {
    let refused = |what| Err(Error::refused(format!("{what} have no place in a bundle")));
    match kind {
        // V7 marks directories by a trailing slash.
        EntryType::Regular | EntryType::Continuous if name.ends_with('/') => {
            Ok(MemberKind::Directory)
        }
        EntryType::Regular | EntryType::Continuous => Ok(MemberKind::File),
        EntryType::Directory => Ok(MemberKind::Directory),
        EntryType::Symlink => refused("symbolic links"),
        EntryType::Link => refused("hard links"),
        EntryType::Char | EntryType::Block => refused("devices"),
        EntryType::Fifo => refused("named pipes"),
        EntryType::GNUSparse => refused("sparse members"),
        other => refused(&format!("members of type {:?}", char::from(other.as_byte())) as &str),
    }
}
