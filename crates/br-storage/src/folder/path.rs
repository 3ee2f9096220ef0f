//! Paths below a folder.
//!
//! [`check`] validates every path before it is used. Invariant: a valid path stays below the folder to which
//! it is joined.

/// The length limit of a path in bytes.
const MAX_LEN: usize = 1024;
/// The length limit of a name in bytes; file systems have the same limit.
const MAX_NAME_LEN: usize = 255;
/// The maximum number of names in a path, and of nested folders.
pub(super) const MAX_DEPTH: usize = 64;

const UNFINISHED_START: &str = ".br-";
const UNFINISHED_END: &str = ".tmp";

/// Why a path was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidPath {
    #[error("a path must not be longer than {MAX_LEN} bytes, a name in it than {MAX_NAME_LEN}")]
    TooLong,
    #[error("a path must not have more than {MAX_DEPTH} names")]
    TooDeep,
    #[error(
        "a path must consist of names other than `.` and `..`, without backslashes and control characters, joined by single slashes"
    )]
    Malformed,
}

/// Refuses a path that could lead out of a folder.
pub(super) fn check(path: &str) -> Result<(), InvalidPath> {
    let names = || path.split('/');
    if path.len() > MAX_LEN || names().any(|name| name.len() > MAX_NAME_LEN) {
        return Err(InvalidPath::TooLong);
    }
    let is_bad = |byte: u8| byte.is_ascii_control() || byte == b'\\';
    if path.bytes().any(is_bad) || names().any(|name| matches!(name, "" | "." | "..")) {
        return Err(InvalidPath::Malformed);
    }
    if names().count() > MAX_DEPTH {
        Err(InvalidPath::TooDeep)
    } else {
        Ok(())
    }
}

/// Returns `folder/path`. If one of them is empty, returns the other one.
pub(super) fn join(folder: &str, path: &str) -> String {
    match (folder, path) {
        ("", path) => path.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, path) => format!("{folder}/{path}"),
    }
}

/// Returns the path of the parent folder and the last name.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Returns the name of a file while it is being written.
pub(super) fn unfinished(name: &str) -> String {
    format!("{UNFINISHED_START}{name}{UNFINISHED_END}")
}

pub(super) fn is_unfinished(path: &str) -> bool {
    let (_, name) = split(path);
    name.starts_with(UNFINISHED_START) && name.ends_with(UNFINISHED_END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_folder_are_accepted() {
        for good in ["a", "A b/ä%41?#1", "a/b/c", "...", ".br-restore", "C:"] {
            check(good).unwrap();
        }
        let deepest = "a/".repeat(MAX_DEPTH - 1) + "a";
        check(&deepest).unwrap();
        let deep = format!("{deepest}/a");
        let long = "x".repeat(MAX_NAME_LEN + 1);
        let longest = "abc/".repeat(300);
        for bad in [
            "", "/", "/etc", "..", "../x", "a/../b", "a//b", "a/", "./a", "a\\b", "a\0b", "a\nb",
            &long, &deep, &longest,
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn unfinished_names_are_recognised() {
        assert!(is_unfinished(&format!("a/{}", unfinished("b"))));
        assert!(!is_unfinished(".br-restore"));
        assert!(!is_unfinished(".br-a.tmp/b"));
    }
}
