//! The limits of a restore.
//!
//! [`Scope`] distinguishes folders that only lead to restored entries from restored folders, and finds protected folders. Invariant: an
//! existing folder that only leads to restored entries is used unchanged, and such a folder never replaces an existing entry.

use std::path::{Path, PathBuf};

use super::RestoreOptions;
use super::place::Places;
use super::select::Selection;
use crate::error::{Error, Result, Site};
use crate::model::{Backup, EntryPath};
use crate::source::stored_path;

/// The limits of a restore.
pub(super) struct Scope {
    /// Where the target gets the entries. Unless a function says that a path is in the target, it is in the backup.
    places: Places,
    /// The requested entries; empty means all.
    selected: Vec<EntryPath>,
    /// The patterns of the entries.
    selection: Selection,
    /// The paths that were backed up, in path order: there may be very many. Folders above them are in the backup only because they lead to
    /// them.
    roots: Vec<EntryPath>,
    /// Those of them that are not below another one.
    outer_roots: Vec<EntryPath>,
    /// Folders in which nothing may be written or deleted, with links resolved.
    protected: Vec<PathBuf>,
}

impl Scope {
    pub(super) fn new(backup: &Backup, options: &RestoreOptions, places: Places) -> Self {
        let mut roots: Vec<_> = backup
            .paths
            .iter()
            .filter_map(|path| stored_path(path))
            .collect();
        roots.sort();
        roots.dedup();
        let mut outer_roots: Vec<EntryPath> = Vec::new();
        for root in &roots {
            // In path order, what is below a path comes directly after it.
            if !outer_roots
                .last()
                .is_some_and(|outer| root.is_within(outer))
            {
                outer_roots.push(root.clone());
            }
        }
        let protected = options.protected.iter();
        Self {
            places,
            selected: options.wanted(),
            selection: options.selection.clone(),
            roots,
            outer_roots,
            protected: protected
                .filter_map(|path| path.canonicalize().ok())
                .collect(),
        }
    }

    pub(super) const fn places(&self) -> &Places {
        &self.places
    }

    /// The requested entries; empty means all.
    pub(super) fn selected(&self) -> &[EntryPath] {
        &self.selected
    }

    /// True for a folder that only leads to restored entries.
    pub(super) fn leads(&self, path: &EntryPath) -> bool {
        let is_requested = self.selected.is_empty()
            || self
                .selected
                .iter()
                .any(|selected| path.is_within(selected));
        !is_requested || !self.selection.takes(path) || self.is_implied(path)
    }

    /// True for a folder that was not backed up itself, but leads to a path that was. Every other folder with an entry was backed up.
    pub(super) fn is_implied(&self, path: &EntryPath) -> bool {
        let at = self.outer_roots.partition_point(|root| root < path);
        let (before, after) = self.outer_roots.split_at(at);
        let leads = after
            .first()
            .is_some_and(|root| root.is_within(path) && root != path);
        leads && !before.last().is_some_and(|root| path.is_within(root))
    }

    /// True for a path in the target that the backup was given. If the path was a link, the backup followed it.
    pub(super) fn is_root(&self, path: &EntryPath) -> bool {
        let path = self.places.in_backup(path);
        self.roots.binary_search(&path).is_ok()
    }

    /// The paths in the target whose links the restore follows: the paths that were backed up, and the folders that lead to them. The backup followed
    /// these links, too.
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
        if !self.places.are_unchanged() {
            let places = links.iter().filter_map(|path| self.places.of(path));
            links = places.filter(|path| !path.is_root()).collect();
        }
        links.sort();
        links.dedup();
        links
    }

    /// The folders in the target that lead to all restored entries, the target itself first. Every restore of the same paths has the same list; the list
    /// for a part of them starts with these folders.
    pub(super) fn leading_folders(&self) -> Vec<EntryPath> {
        let wanted = if self.selected.is_empty() {
            &self.roots
        } else {
            &self.selected
        };
        let mut folders = vec![EntryPath::root()];
        let Some((first, others)) = wanted.split_first() else {
            return folders;
        };
        let on_the_way = above(first).into_iter().chain([first.clone()]);
        let on_the_way = on_the_way
            .take_while(|path| !path.is_root() && others.iter().all(|other| other.is_within(path)));
        let places = on_the_way.filter_map(|path| self.places.of(&path));
        folders.extend(places.filter(|path| !path.is_root()));
        folders
    }

    /// Refuses a target inside a folder where br keeps its own data.
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

    /// True when nothing may be written at this location.
    pub(super) fn is_protected(&self, place: Option<PathBuf>) -> bool {
        !self.protected.is_empty()
            && place.is_some_and(|place| self.protected.iter().any(|kept| place.starts_with(kept)))
    }

    /// True when the entry at this location is protected, or contains or is inside a protected folder, and must not be deleted.
    pub(super) fn must_stay(&self, place: Option<PathBuf>) -> bool {
        let touches = |place: PathBuf| {
            let mut protected = self.protected.iter();
            protected.any(|kept| kept.starts_with(&place) || place.starts_with(kept))
        };
        // If the real path is unknown, assume that it is protected.
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

/// The path of a folder that may not exist yet, with links resolved.
fn resolve(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut upper = path.as_path();
    loop {
        if let Ok(real) = upper.canonicalize() {
            let rest = path.strip_prefix(upper).ok()?;
            return Some(if rest.as_os_str().is_empty() {
                real
            } else {
                real.join(rest)
            });
        }
        upper = upper.parent()?;
    }
}
