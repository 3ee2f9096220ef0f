//! Reading extended attributes.
//!
//! [`XattrTarget`] says of what, [`Attributes`] what came of it. Invariant: one call when there are none, which is nearly always.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::model::{Xattr, escape};

/// No list of names and no value is longer on Linux.
const LARGEST: usize = 64 * 1024;

/// What to read the attributes of.
#[derive(Debug, Clone, Copy)]
pub(super) enum XattrTarget<'a> {
    /// Something open.
    Open(BorrowedFd<'a>),
    /// What is at a path; a link itself.
    Kept(&'a [u8]),
    /// What is at a path; what a link leads to.
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

/// What could be read of the extended attributes of one thing.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Sorted by name.
    pub(super) found: Vec<Xattr>,
    /// Why their names cannot be listed.
    pub(super) unlisted: Option<Errno>,
    /// Names whose value cannot be read.
    unread: Vec<(Vec<u8>, Errno)>,
}

impl Attributes {
    /// What is missing, in words.
    pub(super) fn missing(&self) -> Option<String> {
        let mut reasons = Vec::new();
        if let Some(errno) = self.unlisted {
            let error = io::Error::from(errno);
            reasons.push(format!(
                "its extended attributes cannot be listed and are not all there: {error}"
            ));
        }
        for (name, errno) in &self.unread {
            let (name, error) = (escape(name), io::Error::from(*errno));
            reasons.push(format!(
                "its attribute {name} cannot be read and is not there: {error}"
            ));
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// Attributes that are read by name when the names cannot be listed: they decide who may do what.
const WELL_KNOWN: [&[u8]; 4] = [
    b"security.capability",
    b"security.selinux",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
];

/// Reads all attributes.
///
/// # Errors
/// When nothing is there.
pub(super) fn read(place: XattrTarget<'_>) -> io::Result<Attributes> {
    collect(with_room(|buffer| place.list(buffer)), |name| {
        with_room(|buffer| place.get(name, buffer))
    })
}

/// Puts together what the system says about names and about values. A value that cannot be read costs neither the others nor
/// the thing itself.
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
            // It went away since it was listed, or is listed without having a value.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            // Nothing says that it is there.
            Err(_) if attributes.unlisted.is_some() => {}
            Err(error) => attributes.unread.push((name.to_vec(), error)),
        }
    }
    attributes.found.sort_unstable();
    Ok(attributes)
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
