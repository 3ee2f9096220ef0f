//! Metadata and content that the walk does not read itself.
//!
//! [`LocalDetails`] reads them through the folder and the entry's name. Invariant: attributes are those of the entry itself. A link is
//! followed only if the user typed it.

use std::io;
use std::os::fd::AsRawFd;

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use super::content::FileReader;
use super::xattr::{self, Attributes, XattrTarget};
use super::{Folder, Links};
use crate::model::{Entry, EntryKind};
use crate::source::{ContentReader, Details};

/// Reads the details of an entry.
pub(in crate::source::local) struct LocalDetails {
    folder: Folder,
    links: Links,
    missing: Option<String>,
}

impl Details for LocalDetails {
    fn complete(&mut self, entry: &mut Entry) -> io::Result<()> {
        let is_folder = entry.kind == EntryKind::Directory;
        let attributes = self.xattrs(name_of(entry), is_folder)?;
        // A folder without read permission is already reported as unreadable.
        let is_told = is_folder && attributes.unlisted == Some(Errno::ACCESS);
        self.missing = attributes.missing().filter(|_| !is_told);
        entry.xattrs = attributes.found;
        Ok(())
    }

    fn incomplete(&self) -> Option<String> {
        self.missing.clone()
    }

    fn open(self: Box<Self>, entry: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        Ok(Box::new(FileReader::open(
            self.folder.as_fd(),
            self.links,
            entry,
        )?))
    }
}

impl LocalDetails {
    pub(in crate::source::local) const fn new(folder: Folder, links: Links) -> Self {
        Self {
            folder,
            links,
            missing: None,
        }
    }

    /// Reads attributes by path, because links and special files cannot be opened.
    fn xattrs(&self, name: &[u8], is_folder: bool) -> io::Result<Attributes> {
        let handle = format!("/proc/self/fd/{}", self.folder.as_fd().as_raw_fd());
        let path = [handle.as_bytes(), b"/", name].concat();
        let place = match self.links {
            Links::Keep => XattrTarget::Kept(&path),
            Links::Follow => XattrTarget::Followed(&path),
        };
        match xattr::read(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let flags = AtFlags::empty();
        if !matches!(
            rustix::fs::statat(CWD, handle.as_str(), flags),
            Err(Errno::NOENT)
        ) {
            return Err(io::ErrorKind::NotFound.into());
        }
        // `/proc` is not mounted.
        if is_folder {
            let folder = self.folder.open(name, self.links, false)?;
            return xattr::read(XattrTarget::Open(folder.as_fd()));
        }
        Ok(Attributes::default())
    }
}

/// The name of an entry in its folder; `.` for the root of a backup.
pub(super) fn name_of(entry: &Entry) -> &[u8] {
    if entry.path.is_root() {
        b"."
    } else {
        entry.path.name()
    }
}
