//! Paths in a backup, as users type them.
//!
//! [`PathInBackup`] is such a path. Invariant: a path that exists in the backup is found as typed; otherwise br reads it as `br
//! ls` shows paths.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use br_core::model::{Backup, EntryPath, unescape};
use br_core::{BackupSelector, Repository};

use crate::context::CommandContext;
use crate::error::CommandError;

/// A path in a backup, as typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathInBackup {
    /// The path as typed.
    exact: EntryPath,
    /// The path as `br ls` would show it, if that is different.
    shown: Option<EntryPath>,
}

impl PathInBackup {
    /// Parses a path; ignores a leading slash, `./` and trailing slashes.
    pub(super) fn parse(typed: &OsStr) -> Result<Self, CommandError> {
        let exact = entry_path(typed)?;
        let text = typed.to_str().filter(|text| text.contains('\\'));
        let bytes = text.and_then(unescape);
        let shown = bytes.and_then(|bytes| entry_path(OsStr::from_bytes(&bytes)).ok());
        let shown = shown.filter(|shown| *shown != exact);
        Ok(Self { exact, shown })
    }

    /// The one path of a restore into a server: that of `ID:PATH`, or the only one that is typed. `example` is a correct command line.
    pub(super) fn only(
        of_id: Option<Self>,
        typed: &[OsString],
        example: &str,
    ) -> Result<Self, CommandError> {
        match (of_id, typed) {
            (Some(path), _) => Ok(path),
            (None, [path]) => Self::parse(path),
            (None, _) => {
                let hint = format!("for example, write `{example}`");
                Err(CommandError::usage("write one path to restore", hint))
            }
        }
    }

    /// Opens the repository, and finds the backup and the path in it.
    pub(super) async fn open(
        self,
        id: &BackupSelector,
        context: &CommandContext,
    ) -> Result<(Repository, Backup, EntryPath), CommandError> {
        let repository = context.open().await?;
        let backup = context.find(&repository, id).await?;
        let path = self.find(&repository, &backup, context).await?;
        Ok((repository, backup, path))
    }

    /// Finds the path in a backup.
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

/// Parses several paths. No path means everything.
pub(super) fn paths_in_backup(typed: &[OsString]) -> Result<Vec<PathInBackup>, CommandError> {
    let paths = typed.iter().map(|path| PathInBackup::parse(path));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    let is_all = paths.iter().any(|path| path.exact.is_root());
    Ok(if is_all { Vec::new() } else { paths })
}

/// Finds the paths in a backup.
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

/// The error about a pattern for entries of a backup.
pub(super) fn bad_pattern(error: br_core::Error) -> CommandError {
    let hint = "write patterns as in a shell, such as '*.jpg' or 'src/**/*.rs'";
    CommandError::from(error).with_hint(hint)
}

/// Parses one path as typed.
pub(super) fn entry_path(typed: &OsStr) -> Result<EntryPath, CommandError> {
    if typed.is_empty() {
        // Often an unset variable; it must not mean everything.
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
        let message = format!("`{}` is not a valid path in a backup", typed.display());
        CommandError::usage(message, "give a path as `br ls` shows it").because(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_and_trailing_slashes_are_ignored() {
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
    fn path_with_escapes_has_two_readings() {
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
