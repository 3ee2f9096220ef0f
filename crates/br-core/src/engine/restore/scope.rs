//! What a restore may touch.
//!
//! [`Scope`] knows which folders only lead to what is restored, and where nothing may be written. Invariant: a folder that is
//! there and only leads on is used as it is, and nothing that is there is replaced by it.

use std::path::{Path, PathBuf};

use super::RestoreOptions;
use crate::error::{Error, Result, Site};
use crate::model::{Backup, EntryPath};
use crate::source::stored_path;

/// What a restore may touch.
pub(super) struct Scope {
    /// What was asked for; everything when empty.
    selected: Vec<EntryPath>,
    /// What was backed up. Folders above are in the backup only because they lead there.
    roots: Vec<EntryPath>,
    /// Folders in which nothing may be written or deleted, links resolved.
    protected: Vec<PathBuf>,
}

impl Scope {
    pub(super) fn new(backup: &Backup, options: &RestoreOptions) -> Self {
        let roots = backup.paths.iter().filter_map(|path| stored_path(path));
        let protected = options.protected.iter();
        Self {
            selected: options.paths.clone(),
            roots: roots.collect(),
            protected: protected
                .filter_map(|path| path.canonicalize().ok())
                .collect(),
        }
    }

    /// True for a folder that only leads to what is restored.
    pub(super) fn leads(&self, path: &EntryPath) -> bool {
        let is_asked_for = self.selected.is_empty()
            || self
                .selected
                .iter()
                .any(|selected| path.is_within(selected));
        !is_asked_for || self.is_implied(path)
    }

    /// True for a folder that was not backed up itself, but leads to something that was. Every other folder that has an entry was
    /// backed up, whatever the paths of the backup say.
    pub(super) fn is_implied(&self, path: &EntryPath) -> bool {
        self.roots.iter().any(|root| root.is_within(path))
            && !self.roots.iter().any(|root| path.is_within(root))
    }

    /// True for a path that was named for the backup, and was followed then if it was a link.
    pub(super) fn is_root(&self, path: &EntryPath) -> bool {
        self.roots.contains(path)
    }

    /// The paths whose links are followed when they are links: the paths that were backed up, and what leads to them. The backup
    /// followed their links, too.
    pub(super) fn links_to_follow(&self) -> Vec<EntryPath> {
        let mut links = Vec::new();
        for root in &self.roots {
            let mut selected = self.selected.iter();
            let is_wanted = self.selected.is_empty()
                || selected.any(|path| path.is_within(root) || root.is_within(path));
            if is_wanted {
                links.extend(above(root).into_iter().filter(|path| self.is_implied(path)));
                links.push(root.clone());
            }
        }
        links.sort();
        links.dedup();
        links
    }

    /// The folders that lead to everything that is restored, the target itself first. They are the same for every restore of the
    /// same paths, and start with the same ones for one of a part.
    pub(super) fn leading_folders(&self) -> Vec<EntryPath> {
        let wanted = match self.selected.is_empty() {
            true => &self.roots,
            false => &self.selected,
        };
        let mut folders = vec![EntryPath::root()];
        let Some((first, others)) = wanted.split_first() else {
            return folders;
        };
        let on_the_way = above(first).into_iter().chain([first.clone()]);
        folders.extend(on_the_way.take_while(|path| {
            !path.is_root() && others.iter().all(|other| other.is_within(path))
        }));
        folders
    }

    /// Refuses a target in a folder where br keeps its own data.
    pub(super) fn refuse_target(&self, target: &Path) -> Result<()> {
        let Some(real) = resolve(target) else {
            return Ok(());
        };
        match self.protected.iter().find(|kept| real.starts_with(kept)) {
            Some(kept) => {
                let message = format!(
                    "the target {} is inside {}, where br keeps its own data: name another folder",
                    target.display(),
                    kept.display()
                );
                Err(Error::invalid(message).at(Site::Target))
            }
            None => Ok(()),
        }
    }

    /// True when nothing may be written at this place.
    pub(super) fn is_protected(&self, place: Option<PathBuf>) -> bool {
        !self.protected.is_empty()
            && place.is_some_and(|place| self.protected.iter().any(|kept| place.starts_with(kept)))
    }

    /// True when what is at this place may not be deleted, for what it is or holds.
    pub(super) fn must_stay(&self, place: Option<PathBuf>) -> bool {
        let touches = |place: PathBuf| {
            let mut protected = self.protected.iter();
            protected.any(|kept| kept.starts_with(&place) || place.starts_with(kept))
        };
        // Where the system does not tell the place, nothing is known to be safe.
        !self.protected.is_empty() && place.is_none_or(touches)
    }
}

/// The folders above a path, without the root.
fn above(path: &EntryPath) -> Vec<EntryPath> {
    let bytes = path.as_bytes();
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.filter_map(|(end, _)| EntryPath::new(&bytes[..end]).ok())
        .collect()
}

/// The path of a folder that may not exist yet, links resolved.
fn resolve(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut upper = path.as_path();
    loop {
        if let Ok(real) = upper.canonicalize() {
            let rest = path.strip_prefix(upper).ok()?;
            return Some(match rest.as_os_str().is_empty() {
                true => real,
                false => real.join(rest),
            });
        }
        upper = upper.parent()?;
    }
}
