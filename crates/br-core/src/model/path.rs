//! Paths inside a backup.

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::text::escape;

/// Why bytes are not an entry path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path starts with a slash.
    #[error("the path is absolute")]
    Absolute,
    /// A part is empty, `.` or `..`.
    #[error("the path has an empty, `.` or `..` part")]
    Part,
    /// A NUL byte.
    #[error("the path has a NUL byte")]
    Nul,
    /// Longer than [`EntryPath::MAX_LEN`].
    #[error("the path is longer than 65,535 bytes")]
    TooLong,
}

/// A path inside a backup: raw bytes, relative, `/` between its parts, no part empty, `.` or `..`, no NUL. The empty path
/// is the root.
///
/// Paths are ordered byte-wise with `/` below every other byte: a folder, then all that is in it, then its next sibling.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct EntryPath(Box<[u8]>);

impl EntryPath {
    /// The longest path, in bytes.
    pub const MAX_LEN: usize = 65_535;

    /// The empty path.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Takes bytes as a path.
    ///
    /// # Errors
    /// When they break one of the rules above.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Result<Self, PathError> {
        let bytes = bytes.into();
        if bytes.len() > Self::MAX_LEN {
            return Err(PathError::TooLong);
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul);
        }
        if bytes.first() == Some(&b'/') {
            return Err(PathError::Absolute);
        }
        let bad = |part: &[u8]| part.is_empty() || part == b"." || part == b"..";
        if !bytes.is_empty() && bytes.split(|b| *b == b'/').any(bad) {
            return Err(PathError::Part);
        }
        Ok(Self(bytes))
    }

    /// The path's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for the root of the backup.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last part; empty for the root.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().unwrap_or_default()
    }

    /// The bytes of the folder the path is in; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<&[u8]> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(&self.0[..end])
    }

    /// The parts, first to last; none for the root.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|part| !part.is_empty())
    }

    /// The path of something in this folder.
    ///
    /// # Errors
    /// When `name` is not a single valid part, or the path would be too long.
    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let name = name.as_ref();
        if name.contains(&b'/') || name.is_empty() {
            return Err(PathError::Part);
        }
        if self.is_root() {
            return Self::new(name);
        }
        Self::new([&self.0, b"/".as_slice(), name].concat())
    }

    /// True when the path is `folder` or is below it. The root contains everything.
    #[must_use]
    pub fn is_within(&self, folder: &Self) -> bool {
        folder.is_root()
            || self
                .0
                .strip_prefix(&*folder.0)
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }
}

impl AsRef<[u8]> for EntryPath {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl FromStr for EntryPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text.as_bytes())
    }
}

impl TryFrom<&str> for EntryPath {
    type Error = PathError;

    fn try_from(text: &str) -> Result<Self, PathError> {
        Self::new(text.as_bytes())
    }
}

impl TryFrom<String> for EntryPath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::new(text.into_bytes())
    }
}

/// Takes the bytes of the path as they are: an absolute path is refused, and so is one with `.` or `..` in it.
impl TryFrom<&Path> for EntryPath {
    type Error = PathError;

    fn try_from(path: &Path) -> Result<Self, PathError> {
        Self::new(path.as_os_str().as_encoded_bytes())
    }
}

impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A path of a machine in one spelling: `./a//b/` is `a/b`, and `..` removes the part before it. With a `folder` a
/// relative path starts there. Links are not followed. The path without parts is `/` or `.`.
pub(crate) fn normal_path(path: &[u8], folder: &[u8]) -> Vec<u8> {
    let is_absolute = path.starts_with(b"/") || folder.starts_with(b"/");
    let from = if path.starts_with(b"/") {
        &[][..]
    } else {
        folder
    };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in from.split(|b| *b == b'/').chain(path.split(|b| *b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    if is_absolute {
        [b"/", parts.join(&b'/').as_slice()].concat()
    } else if parts.is_empty() {
        b".".to_vec()
    } else {
        parts.join(&b'/')
    }
}

/// The order of paths: byte-wise, `/` below every other byte.
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let same = a.iter().zip(b).position(|(x, y)| x != y);
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    match same {
        Some(at) => rank(a[at]).cmp(&rank(b[at])),
        None => a.len().cmp(&b.len()),
    }
}

/// The text of the path.
impl Serialize for EntryPath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            f.write_str(".")
        } else {
            f.write_str(&escape(&self.0))
        }
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryPath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn paths_that_could_leave_the_target_are_refused() {
        for (bad, why) in [
            ("/etc", PathError::Absolute),
            ("..", PathError::Part),
            ("a/../b", PathError::Part),
            ("a/..", PathError::Part),
            ("./a", PathError::Part),
            ("a//b", PathError::Part),
            ("a/", PathError::Part),
            ("a\0b", PathError::Nul),
        ] {
            assert_eq!(EntryPath::new(bad.as_bytes()), Err(why), "{bad}");
        }
        assert!(EntryPath::new("...".as_bytes()).is_ok());
    }

    #[test]
    fn texts_and_paths_convert() {
        assert_eq!("a/b".parse(), Ok(path("a/b")));
        assert_eq!(EntryPath::try_from("a/b"), Ok(path("a/b")));
        assert_eq!(EntryPath::try_from(Path::new("a/b")), Ok(path("a/b")));
        let absolute = EntryPath::try_from(Path::new("/a"));
        assert_eq!(absolute, Err(PathError::Absolute));
        assert_eq!(AsRef::<[u8]>::as_ref(&path("a/b")), b"a/b");
    }

    #[test]
    fn spellings_of_one_path_become_one() {
        for (typed, folder, normal) in [
            ("/a/b/", "", "/a/b"),
            ("./a//b/.", "", "a/b"),
            ("", "", "."),
            ("/", "", "/"),
            ("a", "/home/u", "/home/u/a"),
            (".", "/home/u/", "/home/u"),
            ("../x", "/home/u", "/home/x"),
            ("/../x", "/home/u", "/x"),
            ("../../x", "", "../../x"),
            ("a/../..", "", ".."),
            ("/x/sub/../src", "", "/x/src"),
        ] {
            let got = normal_path(typed.as_bytes(), folder.as_bytes());
            assert_eq!(
                String::from_utf8(got).unwrap(),
                normal,
                "{typed} in {folder}"
            );
        }
    }

    #[test]
    fn a_folder_comes_before_its_content_and_its_content_before_siblings() {
        let mut paths = ["a.txt", "a/b", "b", "a", "a-b/c", "a-b", ""].map(path);
        paths.sort();
        assert_eq!(
            paths.map(|p| p.to_string()),
            [".", "a", "a/b", "a-b", "a-b/c", "a.txt", "b"]
        );
    }

    #[test]
    fn parents_names_and_containment() {
        assert_eq!(path("a/b/c").parent(), Some(&b"a/b"[..]));
        assert_eq!(path("a").parent(), Some(&b""[..]));
        assert_eq!(EntryPath::root().parent(), None);
        assert_eq!(path("a/b/c").name(), b"c");
        assert!(path("a/b").is_within(&path("a")) && path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert_eq!(EntryPath::root().join(b"x").unwrap(), path("x"));
        assert!(path("a").join(b"..").is_err() && path("a").join(b"b/c").is_err());
    }
}
