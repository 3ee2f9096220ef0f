//! Surplus: entries that restored folders contain and the backup does not.

use std::collections::{HashMap, HashSet};

use super::scope::Scope;
use super::spelling::fold;
use crate::model::{Backup, Entry, EntryKind, EntryPath};
use crate::target::{Cursor, TargetError};

/// Visits the entries in order and collects the names that belong into each folder.
#[derive(Default)]
pub(super) struct SurplusFinder {
    /// The folders on the way to the current entry, with the names that belong into them.
    open: Vec<(EntryPath, HashSet<Vec<u8>>)>,
    found: Vec<EntryPath>,
    /// Mount points that contain entries although the backup has none for them.
    mounted: Vec<EntryPath>,
    /// Folders that cannot be listed.
    unlisted: Vec<(EntryPath, TargetError)>,
}

/// Entries that restored folders contain and the backup does not.
pub(super) struct Surplus {
    pub(super) found: Vec<EntryPath>,
    /// Mount points whose contents are not in the backup.
    pub(super) mounted: Vec<EntryPath>,
    /// Folders whose contents are unknown because they cannot be listed.
    pub(super) unlisted: Vec<(EntryPath, TargetError)>,
}

impl SurplusFinder {
    /// Visits the next entry. Paths come in order, so a folder is complete when the first entry outside of it comes.
    pub(super) fn visit(&mut self, entry: &Entry, cursor: &mut Cursor) {
        self.close_until(Some(&entry.path), cursor);
        if let Some((folder, names)) = self.open.last_mut() {
            names.extend(name_in(folder, &entry.path));
        }
        if let EntryKind::Directory = entry.kind {
            self.open.push((entry.path.clone(), HashSet::new()));
        }
    }

    fn close_until(&mut self, path: Option<&EntryPath>, cursor: &mut Cursor) {
        while let Some((folder, names)) = self.open.last() {
            if path.is_some_and(|path| path.is_within(folder)) {
                return;
            }
            let listed = cursor.list(folder).unwrap_or_else(|error| {
                // A folder that does not exist yet has no surplus.
                if !error.leads_nowhere() {
                    self.unlisted.push((folder.clone(), error));
                }
                Vec::new()
            });
            // A backup of one file system has an entry for a mount point, but none for its contents.
            if names.is_empty() && !listed.is_empty() && cursor.is_mounted(folder) {
                self.mounted.push(folder.clone());
                self.open.pop();
                continue;
            }
            // Workers are still writing these temporary files.
            let is_temporary = |name: &[u8]| name.starts_with(b".br-") && name.len() == 20;
            let others: Vec<_> = listed
                .into_iter()
                .filter(|name| !names.contains(name) && !is_temporary(name))
                .collect();
            for name in without_twins(folder, names, others, cursor) {
                self.found.extend(folder.join(&name));
            }
            self.open.pop();
        }
    }

    /// Returns the surplus of folders that were backed up and selected. Excludes folders that only lead to these, because the backup never
    /// covered their contents, and entries that the backup could not read.
    pub(super) fn finish(mut self, cursor: &mut Cursor, backup: &Backup, scope: &Scope) -> Surplus {
        self.close_until(None, cursor);
        let unread: Vec<_> = backup
            .unread
            .iter()
            .filter_map(|u| EntryPath::new(u.path.as_slice()).ok())
            .collect();
        let within = |path: &EntryPath, folders: &[EntryPath]| {
            folders.iter().any(|folder| path.is_within(folder))
        };
        let selection = scope.selected();
        let is_meant = |folder: &EntryPath| {
            let folder = &scope.places().in_backup(folder);
            !scope.is_implied(folder)
                && (selection.is_empty() || within(folder, selection))
                && !within(folder, &unread)
        };
        self.found.retain(|path| {
            let in_backup = &scope.places().in_backup(path);
            let folder = path.parent().and_then(|parent| EntryPath::new(parent).ok());
            folder.is_some_and(|folder| is_meant(&folder))
                && !within(in_backup, &unread)
                && !unread.iter().any(|unread| unread.is_within(in_backup))
        });
        self.unlisted.retain(|(folder, _)| is_meant(folder));
        self.mounted.retain(is_meant);
        Surplus {
            found: self.found,
            mounted: self.mounted,
            unlisted: self.unlisted,
        }
    }
}

/// Removes names that denote the same file as a name in the backup and differ only in case: the file system treats both as equal, so
/// deleting one would delete both.
fn without_twins(
    folder: &EntryPath,
    wanted: &HashSet<Vec<u8>>,
    mut others: Vec<Vec<u8>>,
    cursor: &mut Cursor,
) -> Vec<Vec<u8>> {
    if others.is_empty() {
        return others;
    }
    let folded: HashMap<_, _> = wanted.iter().map(|name| (fold(name), name)).collect();
    others.retain(|name| {
        let twin = folded.get(&fold(name));
        !twin.is_some_and(|twin| cursor.folds_case() || is_one_file(folder, twin, name, cursor))
    });
    others
}

fn is_one_file(folder: &EntryPath, one: &[u8], other: &[u8], cursor: &mut Cursor) -> bool {
    let mut id = |name| {
        let found = cursor.inspect(&folder.join(name).ok()?);
        found.ok().flatten().map(|found| found.id())
    };
    let one = id(one);
    one.is_some() && one == id(other)
}

/// The name in `folder` that is on the way to `path`, at any depth: the folders between them may have no entries.
fn name_in(folder: &EntryPath, path: &EntryPath) -> Option<Vec<u8>> {
    let depth = folder.parts().count();
    path.parts().nth(depth).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_without_entry_is_found_by_its_contents() {
        let path = |text: &str| EntryPath::new(text.as_bytes()).unwrap();
        assert_eq!(name_in(&path("a"), &path("a/b/c")).unwrap(), b"b");
        assert_eq!(name_in(&path(""), &path("a/b")).unwrap(), b"a");
        assert_eq!(name_in(&path("a"), &path("a")), None);
    }
}
