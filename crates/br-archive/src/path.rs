//! Paths of members.
//!
//! [`MemberPath`] is a path relative to the bundle's top directory. Invariant: it cannot leave that directory: it is not empty, not
//! absolute, has no `.` or `..`, no control characters, and is valid UTF-8 of bounded length.

use std::fmt;

use crate::limits::Limits;

/// Why a path is not valid for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It is empty or has an empty part.
    #[error("a part of the path is empty")]
    Empty,
    /// It starts with a slash.
    #[error("the path is absolute")]
    Absolute,
    /// It has a part `.` or `..`.
    #[error("the path points above the current working directory")]
    Dots,
    /// It has a control character.
    #[error("the path has a control character")]
    Control,
    /// It or a part of it is too long, or it has too many parts.
    #[error("the path is too long")]
    TooLong,
    /// It is not UTF-8.
    #[error("the path is not valid UTF-8")]
    NotUtf8,
}

/// The path of a member below the top directory, such as `mnesia/emqx_acl`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberPath(Box<str>);

impl MemberPath {
    /// Checks a path.
    ///
    /// # Errors
    /// If it could leave the top directory, or is not a valid path.
    pub fn new(path: &str) -> Result<Self, PathError> {
        if path.starts_with('/') {
            return Err(PathError::Absolute);
        }
        if path.len() > Limits::PATH_BYTES {
            return Err(PathError::TooLong);
        }
        if path.chars().any(char::is_control) {
            return Err(PathError::Control);
        }
        if path.split('/').count() > Limits::PATH_PARTS {
            return Err(PathError::TooLong);
        }
        for part in path.split('/') {
            match part {
                "" => return Err(PathError::Empty),
                "." | ".." => return Err(PathError::Dots),
                part if part.len() > Limits::NAME_BYTES => return Err(PathError::TooLong),
                _ => {}
            }
        }
        Ok(Self(path.into()))
    }

    /// The path, with `/` between its parts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The directories that contain it, the outermost first.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }

    /// True for `prefix` itself and every path below it.
    #[must_use]
    pub fn is_within(&self, prefix: &Self) -> bool {
        let rest = self.0.strip_prefix(prefix.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path of `name` in this directory.
    ///
    /// # Errors
    /// If `name` is not a single part of a path.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        Self::new(&format!("{self}/{name}"))
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for MemberPath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        Self::new(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_refuses_paths_that_leave_the_folder() {
        for (path, error) in [
            ("", PathError::Empty),
            ("a//b", PathError::Empty),
            ("a/", PathError::Empty),
            ("/etc/passwd", PathError::Absolute),
            ("..", PathError::Dots),
            ("a/../../b", PathError::Dots),
            ("./a", PathError::Dots),
            ("a\nb", PathError::Control),
            ("a\u{0}", PathError::Control),
        ] {
            assert_eq!(MemberPath::new(path), Err(error), "{path:?}");
        }
        assert_eq!(MemberPath::new(&"x".repeat(256)), Err(PathError::TooLong));
        assert_eq!(MemberPath::new(&"x/".repeat(3000)), Err(PathError::TooLong));
        assert_eq!(MemberPath::new(&"x/".repeat(128)), Err(PathError::TooLong));
        let path = MemberPath::new("mnesia/emqx_acl").unwrap();
        assert_eq!(path.file_name(), "emqx_acl");
        assert_eq!(path.parents().collect::<Vec<_>>(), ["mnesia"]);
        assert!(path.is_within(&MemberPath::new("mnesia").unwrap()));
        assert!(!path.is_within(&MemberPath::new("mnes").unwrap()));
        assert!(MemberPath::new("systemd/a\\x2db...").is_ok());
    }
}
