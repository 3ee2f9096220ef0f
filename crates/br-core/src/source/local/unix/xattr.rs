//! Reading extended attributes.
//!
//! [`Place`] says of what. Invariant: one call when there are none, which is nearly always.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::model::Xattr;

/// No list of names and no value is longer on Linux.
const LARGEST: usize = 64 * 1024;

/// What to read the attributes of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// Something open.
    Open(BorrowedFd<'a>),
    /// What lies at a path; a link itself.
    Kept(&'a [u8]),
    /// What lies at a path; what a link leads to.
    Followed(&'a [u8]),
}

impl Place<'_> {
    fn list(self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd, buffer),
            Self::Kept(path) => rustix::fs::llistxattr(path, buffer),
            Self::Followed(path) => rustix::fs::listxattr(path, buffer),
        }
    }

    fn get(self, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fgetxattr(fd, name, buffer),
            Self::Kept(path) => rustix::fs::lgetxattr(path, name, buffer),
            Self::Followed(path) => rustix::fs::getxattr(path, name, buffer),
        }
    }
}

/// Reads all attributes, sorted by name.
pub(super) fn read(place: Place<'_>) -> io::Result<Vec<Xattr>> {
    let names = match with_room(|buffer| place.list(buffer)) {
        Ok(names) => names,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut xattrs = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        match with_room(|buffer| place.get(name, buffer)) {
            Ok(value) => xattrs.push(Xattr {
                name: name.to_vec(),
                value,
            }),
            // It went away since it was listed, or is listed without having a value.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    xattrs.sort_unstable();
    Ok(xattrs)
}

/// Calls with a small buffer, and with the largest that can be needed when it is too small.
fn with_room(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 512];
    match call(&mut small) {
        Ok(len) => return Ok(small[..len].to_vec()),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    let mut large = vec![0; LARGEST];
    let len = call(&mut large)?;
    large.truncate(len);
    large.shrink_to_fit();
    Ok(large)
}
