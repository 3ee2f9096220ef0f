//! Paths inside of a backup, as people type them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use br_core::model::EntryPath;

use crate::error::CommandError;

/// Takes paths inside of a backup as people type them: a slash in front, `./` and slashes at the end do not matter. None
/// stands for everything.
pub(super) fn entry_paths(typed: &[OsString]) -> Result<Vec<EntryPath>, CommandError> {
    let paths = typed
        .iter()
        .map(|path| entry_path(path))
        .collect::<Result<Vec<_>, _>>()?;
    if paths.iter().any(EntryPath::is_root) {
        Ok(Vec::new())
    } else {
        Ok(paths)
    }
}

/// Takes one path inside of a backup.
pub(super) fn entry_path(typed: &OsStr) -> Result<EntryPath, CommandError> {
    let parts = typed.as_bytes().split(|byte| *byte == b'/');
    let parts: Vec<_> = parts
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    EntryPath::new(parts.join(&b'/')).map_err(|error| {
        let message = format!("`{}` is no path in a backup", typed.display());
        CommandError::usage(message, "give a path as `br ls` shows it").because(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_people_type_them() {
        for typed in ["/home/u", "home/u", "./home/u/", "home//u/."] {
            assert_eq!(
                entry_path(typed.as_ref()).unwrap().as_bytes(),
                b"home/u",
                "{typed}"
            );
        }
        assert!(entry_path("home/../u".as_ref()).is_err());
        assert!(entry_paths(&["a".into(), "/".into()]).unwrap().is_empty());
    }
}
