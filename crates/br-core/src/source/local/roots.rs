//! Converts typed paths to the starting points of the walk.
//!
//! [`Plan`] lists the paths to walk, [`Stop`] is one entry that the walk begins with, [`Way`] opens its folder. Invariant: the paths of
//! the stops ascend strictly, and none is below a stop that is walked.

use std::borrow::Cow;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::SourceError;
use super::named::NamedPaths;
use super::unix::{Folder, Links};
use crate::model::{EntryPath, PathError};
use crate::source::exclude::Anchor;

/// The paths to walk.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In path order.
    pub(super) stops: Vec<Stop>,
    /// The typed paths below other ones.
    pub(super) named: NamedPaths,
    /// The typed paths that are symbolic links.
    pub(super) symlinked: Vec<PathBuf>,
    /// The devices that the paths are on.
    pub(super) devices: Vec<u64>,
    /// The paths that cannot be examined.
    pub(super) missing: Vec<Missing>,
}

/// A typed path that cannot be examined.
#[derive(Debug)]
pub(super) struct Missing {
    /// Its path in the backup.
    pub(super) path: EntryPath,
    pub(super) error: io::Error,
}

/// A typed path, or a folder that leads to one.
#[derive(Debug)]
pub(super) struct Stop {
    /// Its path in the backup.
    pub(super) path: EntryPath,
    /// The folder that `path` starts from.
    pub(super) base: Arc<Base>,
    /// True for a typed path, false for a folder that leads to one.
    pub(super) walked: bool,
}

/// A folder that stored paths start from: `/`, `.`, `..`, `../..` and so on.
#[derive(Debug)]
pub(super) struct Base {
    path: PathBuf,
    folder: Folder,
    id: (u64, u64),
}

struct Root<'a> {
    typed: &'a Path,
    base: Arc<Base>,
    path: EntryPath,
    is_link: bool,
}

impl Plan {
    pub(super) fn new(paths: &[PathBuf]) -> Result<Self, SourceError> {
        if paths.is_empty() {
            return Err(SourceError::NoPath);
        }
        let mut plan = Self::default();
        let mut roots = plan.look_at(paths)?;
        roots.sort_by(|a, b| a.path.cmp(&b.path));
        let mut kept: Option<Root<'_>> = None;
        for root in roots {
            if let Some(outer) = &kept
                && root.path.is_within(&outer.path)
            {
                check_nested(outer, &root)?;
                plan.named.push(root.path);
                continue;
            }
            plan.add_stops(&root, kept.as_ref());
            if root.is_link {
                plan.symlinked.push(root.typed.to_owned());
            }
            kept = Some(root);
        }
        Ok(plan)
    }

    fn look_at<'a>(&mut self, paths: &'a [PathBuf]) -> Result<Vec<Root<'a>>, SourceError> {
        let mut bases: Vec<Arc<Base>> = Vec::new();
        let mut way = Way::default();
        let mut roots = Vec::with_capacity(paths.len());
        let mut missing = Vec::new();
        for typed in paths {
            let failed = |source| SourceError::Path {
                path: typed.clone(),
                source,
            };
            let (base, path) = reduce(&settle(typed)).map_err(failed)?;
            let base = match bases.iter().find(|known| known.path == base) {
                Some(known) => Arc::clone(known),
                None => {
                    let base = Arc::new(Base::open(base).map_err(failed)?);
                    bases.push(Arc::clone(&base));
                    base
                }
            };
            match look_at(&mut way, &base, &path) {
                Ok((is_link, device)) => {
                    if !self.devices.contains(&device) {
                        self.devices.push(device);
                    }
                    roots.push(Root {
                        typed,
                        base,
                        path,
                        is_link,
                    });
                }
                Err(source) => missing.push((failed(source), path)),
            }
        }
        if roots.is_empty()
            && let Some((error, _)) = missing.drain(..).next()
        {
            return Err(error);
        }
        self.missing = missing.into_iter().map(Missing::new).collect();
        Ok(roots)
    }

    /// Adds a root and the folders that lead to it, except those that also lead to the previous root.
    fn add_stops(&mut self, root: &Root<'_>, before: Option<&Root<'_>>) {
        let bytes = root.path.as_bytes();
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (end, _) in ends {
            let path = EntryPath::new(&bytes[..end]).expect("the start of a path is a path");
            if !before.is_some_and(|before| before.path.is_within(&path)) {
                self.stops.push(Stop {
                    path,
                    base: Arc::clone(&root.base),
                    walked: false,
                });
            }
        }
        let base = Arc::clone(&root.base);
        self.stops.push(Stop {
            path: root.path.clone(),
            base,
            walked: true,
        });
    }
}

/// Returns whether a typed path is a link, and the device of its target.
fn look_at(way: &mut Way, base: &Arc<Base>, path: &EntryPath) -> io::Result<(bool, u64)> {
    let (folder, name) = way.to(base, path)?;
    let is_link = folder.look(name, Links::Keep)?.is_link();
    Ok((is_link, folder.look(name, Links::Follow)?.device()))
}

impl Missing {
    fn new((error, path): (SourceError, EntryPath)) -> Self {
        let text = crate::error::in_one_line(&error);
        let kind = match &error {
            SourceError::Path { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        };
        let error = io::Error::new(kind, text);
        Self { path, error }
    }
}

impl Base {
    /// The position of this folder relative to the current folder.
    pub(super) fn anchor(&self) -> Anchor {
        let parts = self.path.components();
        if self.path.is_absolute() {
            Anchor::Root
        } else {
            Anchor::Above(
                parts
                    .filter(|part| matches!(part, Component::ParentDir))
                    .count(),
            )
        }
    }

    fn open(path: PathBuf) -> io::Result<Self> {
        let folder = Folder::base(&path)?;
        let id = folder.id()?;
        Ok(Self { path, folder, id })
    }
}

/// Opens the parent folders of paths and keeps the last one open, because neighbouring paths often follow each other.
#[derive(Debug, Default)]
pub(super) struct Way {
    last: Option<(Arc<Base>, Box<[u8]>, Folder)>,
}

impl Way {
    /// Returns the folder that contains `path`, and the path's name in it. Follows links on the way, because the user typed them.
    pub(super) fn to<'p>(
        &mut self,
        base: &Arc<Base>,
        path: &'p EntryPath,
    ) -> io::Result<(Folder, &'p [u8])> {
        let Some(parent) = path.parent() else {
            return Ok((base.folder.clone(), b"."));
        };
        if let Some((last_base, last_parent, folder)) = &self.last
            && Arc::ptr_eq(last_base, base)
            && **last_parent == *parent
        {
            return Ok((folder.clone(), path.name()));
        }
        let mut folder = base.folder.clone();
        for part in parent.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
            folder = folder.below(part, Links::Follow)?;
        }
        self.last = Some((Arc::clone(base), parent.into(), folder.clone()));
        Ok((folder, path.name()))
    }
}

/// Returns a path to the same location without a `..` after a symbolic link, because the system follows the link first. Returns other
/// paths unchanged.
pub(super) fn settle(typed: &Path) -> Cow<'_, Path> {
    let mut has_changed = false;
    let mut settled = PathBuf::new();
    for component in typed.components() {
        let ends_with_name = settled.file_name().is_some();
        match component {
            Component::ParentDir if ends_with_name => {
                let target = if settled.is_symlink() {
                    settled.canonicalize().ok()
                } else {
                    None
                };
                has_changed |= target.is_some();
                settled = target.unwrap_or(settled);
                settled.pop();
            }
            component => settled.push(component),
        }
    }
    if !has_changed {
        return Cow::Borrowed(typed);
    }
    Cow::Owned(settled)
}

/// Splits a typed path into its starting folder and its path in the backup.
pub(super) fn reduce(typed: &Path) -> io::Result<(PathBuf, EntryPath)> {
    if typed.as_os_str().is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    let mut base = PathBuf::from(".");
    for component in typed.components() {
        match component {
            Component::RootDir | Component::Prefix(_) => base = PathBuf::from("/"),
            Component::CurDir => {}
            Component::ParentDir => {
                if parts.pop().is_none() && base.is_relative() {
                    base.push("..");
                }
            }
            Component::Normal(part) => parts.push(part.as_encoded_bytes()),
        }
    }
    let invalid = |error: PathError| io::Error::new(io::ErrorKind::InvalidInput, error);
    Ok((base, EntryPath::new(parts.join(&b'/')).map_err(invalid)?))
}

/// Refuses a root inside another one if walking the outer root does not reach it.
fn check_nested(outer: &Root<'_>, inner: &Root<'_>) -> Result<(), SourceError> {
    if outer.base.id != inner.base.id {
        return Err(SourceError::Conflict {
            first: outer.typed.to_owned(),
            second: inner.typed.to_owned(),
            stored: inner.path.clone(),
        });
    }
    let (Some(parent), false) = (inner.path.parent(), inner.path == outer.path) else {
        return Ok(());
    };
    let failed = |source| SourceError::Path {
        path: inner.typed.to_owned(),
        source,
    };
    let (mut folder, name) = Way::default()
        .to(&outer.base, &outer.path)
        .map_err(failed)?;
    folder = folder.below(name, Links::Follow).map_err(failed)?;
    let rest = &parent[outer.path.as_bytes().len()..];
    for part in rest.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
        if folder.look(part, Links::Keep).map_err(failed)?.is_link() {
            let (path, root) = (inner.typed.to_owned(), outer.typed.to_owned());
            return Err(SourceError::BehindLink { path, root });
        }
        folder = folder.below(part, Links::Keep).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_stored_as_typed() {
        for (typed, base, stored) in [
            ("/etc/ssh", "/", "etc/ssh"),
            ("/", "/", ""),
            (".", ".", ""),
            ("./a/../b", ".", "b"),
            ("a/..", ".", ""),
            ("../x", "./..", "x"),
            ("../../x//y/", "./../..", "x/y"),
            ("a/../../b", "./..", "b"),
            ("/../etc", "/", "etc"),
        ] {
            let (got, path) = reduce(Path::new(typed)).unwrap();
            assert_eq!(
                (got.as_path(), path.as_bytes()),
                (Path::new(base), stored.as_bytes())
            );
        }
        assert!(reduce(Path::new("")).is_err() && reduce(Path::new("a\0b")).is_err());
    }
}
