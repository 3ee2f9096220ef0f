//! Reading extended attributes.
//!
//! [`XattrTarget`] is the file to read from, [`Attributes`] is the result. Invariant: a file without attributes, the usual case, needs one
//! system call.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::model::{Xattr, escape};

/// Maximum length of a list of names and of a value on Linux.
const LARGEST: usize = 64 * 1024;

/// The file whose attributes are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum XattrTarget<'a> {
    /// An open file.
    Open(BorrowedFd<'a>),
    /// The file at a path; a link itself.
    Kept(&'a [u8]),
    /// The file at a path; for a link, its target.
    Followed(&'a [u8]),
}

impl XattrTarget<'_> {
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

/// The extended attributes of one file, as far as they are readable.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Sorted by name.
    pub(super) found: Vec<Xattr>,
    /// Why the names cannot be listed.
    pub(super) unlisted: Option<Errno>,
    /// Names whose value cannot be read.
    unread: Vec<(Vec<u8>, Errno)>,
}

impl Attributes {
    /// A description of the missing attributes.
    pub(super) fn missing(&self) -> Option<String> {
        let mut reasons = Vec::new();
        if let Some(errno) = self.unlisted {
            let error = io::Error::from(errno);
            reasons.push(format!(
                "its extended attributes cannot be listed and may not all be stored: {error}"
            ));
        }
        for (name, errno) in &self.unread {
            let (name, error) = (escape(name), io::Error::from(*errno));
            reasons.push(format!(
                "its attribute {name} cannot be read and is not stored: {error}"
            ));
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// Attributes that are read by name when the names cannot be listed, because they control access.
const WELL_KNOWN: [&[u8]; 4] = [
    b"security.capability",
    b"security.selinux",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
];

/// Reads all attributes.
///
/// # Errors
/// When the file does not exist.
pub(super) fn read(place: XattrTarget<'_>) -> io::Result<Attributes> {
    collect(with_room(|buffer| place.list(buffer)), |name| {
        with_room(|buffer| place.get(name, buffer))
    })
}

/// Combines the names and the values. An unreadable value affects neither the other values nor the file itself.
fn collect(
    names: Result<Vec<u8>, Errno>,
    mut get: impl FnMut(&[u8]) -> Result<Vec<u8>, Errno>,
) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    let names = match names {
        Ok(names) => names,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(attributes),
        Err(error @ (Errno::NOENT | Errno::NOTDIR)) => return Err(error.into()),
        Err(error) => {
            attributes.unlisted = Some(error);
            WELL_KNOWN.join(&0)
        }
    };
    let names = names.split(|byte| *byte == 0);
    for name in names.filter(|name| !name.is_empty()) {
        match get(name) {
            Ok(value) => attributes.found.push(Xattr {
                name: name.to_vec(),
                value,
            }),
            // The attribute was removed since it was listed, or is listed although it has no value.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            // It is unknown whether the attribute exists.
            Err(_) if attributes.unlisted.is_some() => {}
            Err(error) => attributes.unread.push((name.to_vec(), error)),
        }
    }
    attributes.found.sort_unstable();
    Ok(attributes)
}

/// Calls with a small buffer first and, if that is too small, with the largest possible one.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(attributes: &Attributes) -> Vec<&[u8]> {
        let found = attributes.found.iter();
        found.map(|xattr| xattr.name.as_slice()).collect()
    }

    #[test]
    fn one_value_that_fails_costs_only_itself() {
        let list = Ok(b"user.c\0user.b\0user.gone\0user.a\0".to_vec());
        let get = |name: &[u8]| match name {
            b"user.b" => Err(Errno::IO),
            b"user.gone" => Err(Errno::NODATA),
            name => Ok(name.to_vec()),
        };
        let attributes = collect(list, get).unwrap();
        assert_eq!(names(&attributes), [b"user.a", b"user.c"]);
        let missing = attributes.missing().unwrap();
        assert!(
            missing.contains("user.b") && !missing.contains("user.gone"),
            "{missing}"
        );
    }

    #[test]
    fn names_that_cannot_be_listed_leave_the_known_ones() {
        let get = |name: &[u8]| match name {
            b"system.posix_acl_access" => Ok(vec![1]),
            _ => Err(Errno::INVAL),
        };
        let attributes = collect(Err(Errno::TOOBIG), get).unwrap();
        assert_eq!(names(&attributes), [b"system.posix_acl_access"]);
        assert!(attributes.missing().is_some());
        assert!(collect(Err(Errno::NOENT), get).is_err());
        let none = collect(Err(Errno::OPNOTSUPP), get).unwrap();
        assert!(none.found.is_empty() && none.missing().is_none());
    }
}
