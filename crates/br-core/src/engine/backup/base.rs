//! Choice of the base: the earlier backup that a new one is compared with.
//!
//! [`choose`] finds the base; [`normalise`] rewrites typed paths so that the same folder always has the same path, wherever it was typed.
//! Invariant: paths are handled as text. This module does not access the file system and does not follow links.

use std::collections::BTreeSet;

use super::options::{BackupOptions, Base};
use crate::error::Result;
use crate::model::{Backup, EntryPath, normal_path};
use crate::repository::LogPosition;
use crate::source::stored_path;

/// Finds the base that the options select.
pub(super) fn choose(position: &LogPosition, options: &BackupOptions) -> Result<Option<Backup>> {
    Ok(match &options.base {
        Base::None => None,
        Base::Auto => newest_of(position, options),
        Base::Backup(selector) => Some(position.state.find(selector)?.clone()),
        Base::Tagged(tags) => {
            let has = |backup: &Backup, tag: &String| backup.tags.contains(tag);
            let backups = position.state.backups.values();
            let tagged = backups.filter(|backup| tags.first().is_some_and(|tag| has(backup, tag)));
            let shared = |backup: &Backup| tags.iter().filter(|tag| has(backup, tag)).count();
            // If several backups share the same number of tags, `max_by_key` returns the last one, which is the newest.
            tagged.max_by_key(|backup| shared(backup)).cloned()
        }
    })
}

/// The newest backup of the same host and paths.
pub(in crate::engine) fn newest_of(
    position: &LogPosition,
    options: &BackupOptions,
) -> Option<Backup> {
    let (paths, folder) = normalise(&options.paths, &options.folder);
    let wanted = Roots::new(&paths, &folder);
    let same = |backup: &&Backup| {
        backup.host == options.host && Roots::new(&backup.paths, &backup.folder) == wanted
    };
    let mut newest_first = position.state.backups.values().rev();
    newest_first.find(same).cloned()
}

/// The folders that were backed up and their paths in the backup, as a set: order and repetition do not matter.
#[derive(Debug, PartialEq, Eq)]
struct Roots(BTreeSet<(Vec<u8>, Option<EntryPath>)>);

impl Roots {
    fn new(paths: &[Vec<u8>], folder: &[u8]) -> Self {
        let root = |path: &Vec<u8>| (normal_path(path, folder), stored_path(path));
        Self(paths.iter().map(root).collect())
    }
}

/// A typed path without `.` and `..`.
struct Typed<'a> {
    is_absolute: bool,
    /// Number of levels above the current folder at which a relative path starts.
    up: usize,
    parts: Vec<&'a [u8]>,
}

impl<'a> Typed<'a> {
    /// Resolves `..` by removing the part before it, as the walk does.
    fn read(path: &'a [u8]) -> Self {
        let is_absolute = path.starts_with(b"/");
        let (mut up, mut parts) = (0, Vec::new());
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    if parts.pop().is_none() && !is_absolute {
                        up += 1;
                    }
                }
                part => parts.push(part),
            }
        }
        Self {
            is_absolute,
            up,
            parts,
        }
    }

    fn relative(&self) -> Vec<u8> {
        match self.parts.as_slice() {
            [] => b".".to_vec(),
            parts => parts.join(&b'/'),
        }
    }
}

/// Removes `.` and `..` from paths and adapts the folder that relative paths start from: `../src` typed in `/home/anna/x` becomes `src` in
/// `/home/anna`. Paths without `.` and `..` stay unchanged. If relative paths start at different levels, those that start above the given
/// folder become absolute.
pub(super) fn normalise(paths: &[Vec<u8>], folder: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let has_dots = |path: &[u8]| {
        let mut parts = path.split(|byte| *byte == b'/');
        path != b"." && parts.any(|part| part == b"." || part == b"..")
    };
    if !paths.iter().any(|path| has_dots(path)) {
        return (paths.to_vec(), folder.to_vec());
    }
    let base = Typed::read(folder);
    let typed: Vec<_> = paths.iter().map(|path| Typed::read(path)).collect();
    let relative = || typed.iter().filter(|typed| !typed.is_absolute);
    let first = relative().next().map_or(0, |typed| typed.up);
    let is_one_folder = relative().all(|typed| typed.up == first);
    let above = |up: usize| &base.parts[..base.parts.len().saturating_sub(up)];
    let absolute = |parts: &[&[u8]]| [b"/", parts.join(&b'/').as_slice()].concat();
    let write = |(path, typed): (&Vec<u8>, &Typed<'_>)| {
        if !has_dots(path) {
            return path.clone();
        }
        if typed.is_absolute {
            return absolute(&typed.parts);
        }
        if typed.up == 0 || (is_one_folder && base.is_absolute) {
            return typed.relative();
        }
        if base.is_absolute {
            return absolute(&[above(typed.up), &typed.parts].concat());
        }
        // The current folder is unknown, so keep the leading `..`.
        let mut parts = vec![&b".."[..]; typed.up];
        parts.extend(&typed.parts);
        parts.join(&b'/')
    };
    let out = paths.iter().zip(&typed).map(write).collect();
    let folder = if is_one_folder && first > 0 && base.is_absolute {
        absolute(above(first))
    } else {
        folder.to_vec()
    };
    (out, folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(paths: &[&str], folder: &str) -> (Vec<String>, String) {
        let paths: Vec<_> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        let (paths, folder) = normalise(&paths, folder.as_bytes());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (paths.into_iter().map(text).collect(), text(folder))
    }

    #[test]
    fn paths_are_written_without_dots() {
        for (typed, folder, paths, start) in [
            (&["../src"][..], "/x/sub", &["src"][..], "/x"),
            (&["../../a/b", "../../c"], "/x/y", &["a/b", "c"], "/"),
            (&["..", "../b"], "/x/y", &[".", "b"], "/x"),
            (&["../src", "b"], "/x/sub", &["/x/src", "b"], "/x/sub"),
            (&["./a", "b/../c/"], "/x", &["a", "c"], "/x"),
            (&["/a/./b/../c", "d"], "/x", &["/a/c", "d"], "/x"),
            (&["../../../a"], "/x", &["a"], "/"),
            (&["."], "/x", &["."], "/x"),
            (
                &["a//b/", "s3://bucket/c"],
                "/x",
                &["a//b/", "s3://bucket/c"],
                "/x",
            ),
            (&["../a"], "", &["../a"], ""),
        ] {
            let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
            assert_eq!(
                normal(typed, folder),
                (paths, start.to_owned()),
                "{typed:?}"
            );
        }
    }

    #[test]
    fn same_folders_give_same_set_from_any_current_folder() {
        let roots = |paths: &[&str], folder: &str| {
            let paths: Vec<_> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
            Roots::new(&paths, folder.as_bytes())
        };
        let src = roots(&["src"], "/x");
        assert_eq!(roots(&["../src"], "/x/sub"), src);
        assert_eq!(roots(&["./src/", "src"], "/x"), src);
        assert_eq!(roots(&["b", "a"], "/x"), roots(&["a", "b", "a"], "/x"));
        assert_eq!(roots(&["/b", "/a"], ""), roots(&["/a", "/b"], ""));
        // These have other paths in the backup, so the base would have no matching entries.
        assert_ne!(roots(&["/x/src"], ""), src);
        assert_ne!(roots(&["src"], "/y"), src);
    }
}
