//! What the walk leaves out of an entry.
//!
//! [`LocalDetails`] finds it by the folder and the entry's name. Invariant: attributes come from the thing itself, never
//! from what a link leads to, unless the link was typed.

use std::io;
use std::os::fd::AsRawFd;

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use super::content::FileReader;
use super::xattr::{self, Place};
use super::{Folder, Links};
use crate::model::{Entry, EntryKind, Xattr};
use crate::source::{ContentReader, Details};

/// Access to an entry of a walk.
pub(in crate::source::local) struct LocalDetails {
    pub(in crate::source::local) folder: Folder,
    pub(in crate::source::local) links: Links,
}

impl Details for LocalDetails {
    fn complete(&mut self, entry: &mut Entry) -> io::Result<()> {
        let is_folder = entry.kind == EntryKind::Directory;
        entry.xattrs = match self.xattrs(name_of(entry), is_folder) {
            // Its content is reported as unreadable; what is known of the folder itself is still worth keeping.
            Err(error) if is_folder && error.kind() == io::ErrorKind::PermissionDenied => {
                Vec::new()
            }
            other => other?,
        };
        Ok(())
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
    /// Reads attributes by a path, as links and special files cannot be opened.
    fn xattrs(&self, name: &[u8], is_folder: bool) -> io::Result<Vec<Xattr>> {
        let handle = format!("/proc/self/fd/{}", self.folder.as_fd().as_raw_fd());
        let path = [handle.as_bytes(), b"/", name].concat();
        let place = match self.links {
            Links::Keep => Place::Kept(&path),
            Links::Follow => Place::Followed(&path),
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
            return xattr::read(Place::Open(folder.as_fd()));
        }
        Ok(Vec::new())
    }
}

/// The name of an entry in its folder; the root of a backup is its own folder.
pub(super) fn name_of(entry: &Entry) -> &[u8] {
    if entry.path.is_root() {
        b"."
    } else {
        entry.path.name()
    }
}
