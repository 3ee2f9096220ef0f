//! Paths inside an archive.
//!
//! [`check`] checks every path from a list or a user before it is used. Invariant: a checked path stays below the folder it is joined to,
//! on every system, and is not a reserved name of this module.

use super::error::{Error, Result};
use super::limits::Limits;

/// The prefix of reserved names: of incomplete files, and of the marker of a restore.
pub(crate) const RESERVED: &str = ".br-";

/// Refuses paths that could lead out of a folder.
pub(crate) fn check(path: &str) -> Result<()> {
    let refuse = |why: &str| {
        let mut shown = path;
        if let Some((at, _)) = path.char_indices().nth(120) {
            shown = &path[..at];
        }
        Err(Error::refused(format!("not a path inside an archive, {why}")).at(shown))
    };
    if path.is_empty() {
        return refuse("it is empty");
    }
    if path.len() > Limits::PATH_BYTES {
        return refuse("it is too long");
    }
    let is_bad = |byte: u8| byte.is_ascii_control() || byte == b'\\';
    if path.bytes().any(is_bad) {
        return refuse("it has a backslash or a control character");
    }
    let mut parts = 0;
    for part in path.split('/') {
        parts += 1;
        match part {
            "" => return refuse("it is absolute or has an empty part"),
            "." | ".." => return refuse("it has `.` or `..`"),
            _ if part.len() > Limits::NAME_BYTES => return refuse("a part of it is too long"),
            _ if part.starts_with(RESERVED) => return refuse("`.br-` is reserved"),
            _ => {}
        }
    }
    if parts > Limits::PATH_PARTS {
        refuse("it has too many parts")
    } else {
        Ok(())
    }
}

/// `dir/path`, or `path` if `dir` is empty.
pub(crate) fn join(dir: &str, path: &str) -> String {
    match (dir, path) {
        ("", path) => path.to_owned(),
        (dir, "") => dir.to_owned(),
        (dir, path) => format!("{dir}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_accepts_only_paths_inside() {
        for good in ["a", "ckp/meta_0-0_1-0.ckp", "a/b/c", "...", "018f_00000"] {
            check(good).unwrap();
        }
        let long = "x".repeat(241);
        let deep = "a/".repeat(16) + "a";
        let longest = "abc/".repeat(300);
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "a\\b",
            "a\0b",
            "a\nb",
            ".br-x",
            "a/.br-restore",
            &long,
            &deep,
            &longest,
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
