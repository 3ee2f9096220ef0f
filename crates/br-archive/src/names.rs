//! The names in one bundle: each occurs once, no file is also a folder, and their number is limited.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::path::MemberPath;
use crate::tar::MemberKind;

/// Where a name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    /// A directory that so far is only part of other names.
    Parent,
}

/// All names so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    seen: HashMap<Box<str>, Kind>,
    members: u64,
    /// Estimated memory of the names, in bytes.
    bytes: u64,
}

/// Estimated memory of a name in addition to its bytes.
const ENTRY_BYTES: u64 = 64;
/// Memory that names may use in every case, in bytes.
const MIN_BYTES: u64 = 1 << 20;

impl Names {
    /// Adds a member's name.
    pub(crate) fn add(
        &mut self,
        path: &MemberPath,
        kind: MemberKind,
        limits: &Limits,
    ) -> Result<()> {
        self.members += 1;
        if self.members > limits.members {
            let text = format!("the bundle has more than {} members", limits.members);
            return Err(Error::refused(text).in_member(path.as_str()));
        }
        let taken = |text: &str| Err(Error::refused(text).in_member(path.as_str()));
        for parent in path.parents() {
            match self.seen.get(parent) {
                Some(Kind::File) => return taken("its parent is a file"),
                Some(_) => {}
                None => {
                    self.bytes += parent.len() as u64 + ENTRY_BYTES;
                    self.seen.insert(parent.into(), Kind::Parent);
                }
            }
        }
        self.bytes += path.as_str().len() as u64 + ENTRY_BYTES;
        let allowed = limits.members.saturating_mul(Limits::NAMES_BYTES);
        if self.bytes > allowed.max(MIN_BYTES) {
            return taken("the names of the bundle's members are too long altogether");
        }
        let new = match kind {
            MemberKind::File => Kind::File,
            MemberKind::Directory => Kind::Directory,
        };
        match self.seen.insert(path.as_str().into(), new) {
            None => Ok(()),
            Some(Kind::Parent) if new == Kind::Directory => Ok(()),
            Some(Kind::File) if new == Kind::File => taken("it is in the archive twice"),
            Some(Kind::Directory) if new == Kind::Directory => taken("it is in the archive twice"),
            Some(_) => taken("it is a file and a directory"),
        }
    }

    /// True if a file of that name was added.
    pub(crate) fn has_file(&self, path: &str) -> bool {
        self.seen.get(path) == Some(&Kind::File)
    }

    /// Number of members that were added.
    pub(crate) const fn members(&self) -> u64 {
        self.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn add_refuses_conflicting_names() {
        let add = |names: &mut Names, path: &str, kind| {
            let path = MemberPath::new(path).unwrap();
            names.add(&path, kind, &Limits::default().with_members(8))
        };
        let (file, directory) = (MemberKind::File, MemberKind::Directory);
        let mut names = Names::default();
        add(&mut names, "a/b", file).unwrap();
        add(&mut names, "a", directory).unwrap();
        for (path, kind, text) in [
            ("a/b", file, "a/b: it is in the archive twice"),
            ("a/b/c", file, "a/b/c: its parent is a file"),
            ("a", file, "a: it is a file and a directory"),
        ] {
            let error = add(&mut names, path, kind).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
        add(&mut names, "c", file).unwrap();
        assert!(names.has_file("c") && !names.has_file("d"));
        add(&mut names, "d", file).unwrap();
        add(&mut names, "e", file).unwrap();
        let error = add(&mut names, "f", file).unwrap_err();
        assert_eq!(error.to_string(), "f: the bundle has more than 8 members");
    }
}
