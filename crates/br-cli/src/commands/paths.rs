//! Paths inside of a backup, as people type them.
//!
//! [`PathInBackup`] is one. Invariant: a name that the backup has is found as it is. What is no such name is read as
//! `br ls` shows names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use br_core::Repository;
use br_core::model::{Backup, EntryPath, unescape};

use crate::context::CommandContext;
use crate::error::CommandError;

/// A path inside of a backup as it was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathInBackup {
    /// As it is.
    exact: EntryPath,
    /// As `br ls` would show it, when that is another path.
    shown: Option<EntryPath>,
}

impl PathInBackup {
    /// Takes a path as people type it: a slash in front, `./` and slashes at the end do not matter.
    pub(super) fn parse(typed: &OsStr) -> Result<Self, CommandError> {
        let exact = entry_path(typed)?;
        let text = typed.to_str().filter(|text| text.contains('\\'));
        let bytes = text.and_then(unescape);
        let shown = bytes.and_then(|bytes| entry_path(OsStr::from_bytes(&bytes)).ok());
        let shown = shown.filter(|shown| *shown != exact);
        Ok(Self { exact, shown })
    }

    /// The path that is meant in a backup.
    pub(super) async fn find(
        self,
        repository: &Repository,
        backup: &Backup,
        context: &CommandContext,
    ) -> Result<EntryPath, CommandError> {
        let found = find_paths(&[self], repository, backup, context).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }
}

/// Takes several paths. None represents everything.
pub(super) fn paths_in_backup(typed: &[OsString]) -> Result<Vec<PathInBackup>, CommandError> {
    let paths = typed.iter().map(|path| PathInBackup::parse(path));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    let is_all = paths.iter().any(|path| path.exact.is_root());
    Ok(if is_all { Vec::new() } else { paths })
}

/// The paths that are meant in a backup.
pub(super) async fn find_paths(
    typed: &[PathInBackup],
    repository: &Repository,
    backup: &Backup,
    context: &CommandContext,
) -> Result<Vec<EntryPath>, CommandError> {
    let unsure: Vec<_> = typed.iter().filter(|path| path.shown.is_some()).collect();
    let mut has_exact = Vec::new();
    if !unsure.is_empty() {
        let paths = unsure.iter().map(|path| path.exact.clone()).collect();
        let engine = context.engine();
        has_exact = br_core::engine::ls::has_paths(repository, backup.id, paths, &engine).await?;
    }
    let mut has_exact = has_exact.into_iter();
    let choose = |path: &PathInBackup| match &path.shown {
        Some(shown) if has_exact.next() == Some(false) => shown.clone(),
        _ => path.exact.clone(),
    };
    Ok(typed.iter().map(choose).collect())
}

/// Takes one path as it is.
pub(super) fn entry_path(typed: &OsStr) -> Result<EntryPath, CommandError> {
    if typed.is_empty() {
        // Often a variable without a value; it must not mean everything.
        return Err(CommandError::usage(
            "the path is empty",
            "give a path as `br ls` shows it, `/` for everything, or leave it out",
        ));
    }
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
        assert!(
            paths_in_backup(&["a".into(), "/".into()])
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_looks_like_a_shown_name_has_two_readings() {
        let read = |typed: &str| PathInBackup::parse(typed.as_ref()).unwrap();
        let shown = |typed: &str| read(typed).shown.map(|path| path.as_bytes().to_vec());
        assert_eq!(shown(r"d/bad\xff").as_deref(), Some(&b"d/bad\xff"[..]));
        assert_eq!(shown(r"back\\slash").as_deref(), Some(&br"back\slash"[..]));
        assert_eq!(read(r"back\\slash").exact.as_bytes(), br"back\\slash");
        for plain in ["a/b", r"back\slash", r"a\x0"] {
            assert_eq!(shown(plain), None, "{plain}");
        }
    }
}
