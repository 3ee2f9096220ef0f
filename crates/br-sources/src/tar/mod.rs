//! A part of a backup as a tar archive, for programs that read nothing else.
//!
//! [`TarSink`] writes it. Invariant: an archive that ends with two empty blocks is complete; after an error it lacks them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;

use br_core::model::{Entry, EntryKind, EntryPath, FileTime};
use br_core::sink::Sink;
use tar::{Builder, EntryType, Header};

/// Maximum length of a link target in a header.
const MAX_LINK: usize = 100;

/// Writes entries as a tar archive in the form of POSIX (pax), with owners, nanosecond times and extended attributes. Holes are zeros.
/// Sockets have no place in an archive: they are left out and reported.
pub struct TarSink<W: Write> {
    /// `None` only while the sink is taken apart.
    builder: Option<Builder<Gate<W>>>,
    /// The first name of each file with several names.
    links: HashMap<u64, EntryPath>,
    left_out: Vec<EntryPath>,
}

/// A writer that takes nothing once it is closed: `Builder` writes the end of an archive also when it is dropped after an error.
#[derive(Debug)]
struct Gate<W> {
    to: W,
    is_closed: bool,
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Err(io::Error::other("the archive is incomplete"));
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> std::fmt::Debug for TarSink<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TarSink")
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}

impl<W: Write> Drop for TarSink<W> {
    fn drop(&mut self) {
        if let Some(builder) = &mut self.builder {
            builder.get_mut().is_closed = true;
        }
    }
}

impl<W: Write> TarSink<W> {
    /// Writes the archive to `to`, in blocks of 512 bytes and more: a pipe or a file needs no buffer for large files.
    pub fn new(to: W) -> Self {
        Self {
            builder: Some(Builder::new(Gate {
                to,
                is_closed: false,
            })),
            links: HashMap::new(),
            left_out: Vec::new(),
        }
    }

    /// Writes the end of the archive. Returns the writer, and the entries that were left out.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn finish(mut self) -> io::Result<(W, Vec<EntryPath>)> {
        let builder = self.builder.take().ok_or_else(taken)?;
        let Gate { mut to, .. } = builder.into_inner()?;
        to.flush()?;
        Ok((to, std::mem::take(&mut self.left_out)))
    }

    fn builder(&mut self) -> io::Result<&mut Builder<Gate<W>>> {
        self.builder.as_mut().ok_or_else(taken)
    }

    /// Writes what the header of an entry cannot hold.
    fn extensions(&mut self, entry: &Entry) -> io::Result<()> {
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        let FileTime { secs, nanos } = entry.mtime;
        if nanos != 0 || secs < 0 {
            records.push(("mtime".to_owned(), seconds(entry.mtime).into_bytes()));
        }
        for xattr in &entry.xattrs {
            // Names of attributes are text in an archive.
            if let Ok(name) = std::str::from_utf8(&xattr.name) {
                records.push((format!("SCHILY.xattr.{name}"), xattr.value.to_vec()));
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        let records = records.iter();
        self.builder()?
            .append_pax_extensions(records.map(|(key, value)| (key.as_str(), value.as_slice())))
    }

    fn link(&mut self, header: &mut Header, path: &EntryPath, target: &[u8]) -> io::Result<()> {
        if target.len() <= MAX_LINK {
            // The other function would change `a//b` and `./a`.
            header.set_link_name_literal(target)?;
            return self.builder()?.append_data(header, os(path), io::empty());
        }
        let target = OsStr::from_bytes(target);
        self.builder()?.append_link(header, os(path), target)
    }
}

impl<W: Write + Send> Sink for TarSink<W> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let path = &entry.path;
        if path.is_root() {
            return Ok(());
        }
        let (kind, size) = match &entry.kind {
            EntryKind::File(file) => (EntryType::Regular, file.size),
            EntryKind::Directory => (EntryType::Directory, 0),
            EntryKind::Symlink(_) => (EntryType::Symlink, 0),
            EntryKind::Fifo => (EntryType::Fifo, 0),
            EntryKind::CharDevice(_) => (EntryType::Char, 0),
            EntryKind::BlockDevice(_) => (EntryType::Block, 0),
            _ => {
                self.left_out.push(path.clone());
                return Ok(());
            }
        };
        let mut header = header(entry);
        header.set_entry_type(kind);
        header.set_size(size);
        let first = entry.link_group.and_then(|group| self.links.get(&group));
        if let Some(first) = first.cloned() {
            header.set_entry_type(EntryType::Link);
            header.set_size(0);
            return self.link(&mut header, path, first.as_bytes());
        }
        if let Some(group) = entry.link_group {
            self.links.insert(group, path.clone());
        }
        self.extensions(entry)?;
        match &entry.kind {
            EntryKind::Symlink(target) => self.link(&mut header, path, target),
            EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => {
                header.set_device_major(device.major)?;
                header.set_device_minor(device.minor)?;
                self.builder()?
                    .append_data(&mut header, os(path), io::empty())
            }
            EntryKind::File(_) => self.builder()?.append_data(&mut header, os(path), content),
            _ => self
                .builder()?
                .append_data(&mut header, os(path), io::empty()),
        }
    }
}

fn taken() -> io::Error {
    io::Error::other("the archive is finished")
}

fn header(entry: &Entry) -> Header {
    let mut header = Header::new_ustar();
    let owner = &entry.owner;
    header.set_mode(entry.mode);
    header.set_mtime(u64::try_from(entry.mtime.secs).unwrap_or(0));
    header.set_uid(owner.uid.into());
    header.set_gid(owner.gid.into());
    // A name that is too long is left out; readers use the number.
    let _ = header.set_username(&owner.user);
    let _ = header.set_groupname(&owner.group);
    header
}

/// A time as decimal seconds: `-0.5` is half a second before 1970.
fn seconds(time: FileTime) -> String {
    let nanos = i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    format!(
        "{sign}{}.{:09}",
        nanos / 1_000_000_000,
        nanos % 1_000_000_000
    )
}

fn os(path: &EntryPath) -> &OsStr {
    OsStr::from_bytes(path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_decimal_seconds() {
        for (secs, nanos, expected) in [
            (0, 0, "0.000000000"),
            (12, 5, "12.000000005"),
            (-1, 500_000_000, "-0.500000000"),
            (-2, 0, "-2.000000000"),
        ] {
            assert_eq!(seconds(FileTime { secs, nanos }), expected);
        }
    }
}
