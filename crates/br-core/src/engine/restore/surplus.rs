//! What lies in restored folders and is not in the backup.

use std::collections::HashSet;

use crate::model::{Backup, Entry, EntryKind, EntryPath};
use crate::source::stored_path;
use crate::target::Cursor;

/// Follows the entries and compares each folder, once all of it is known, with what is there.
#[derive(Default)]
pub(super) struct SurplusFinder {
    /// The folders on the way to the current entry, with the names that belong into them.
    open: Vec<(EntryPath, HashSet<Vec<u8>>)>,
    found: Vec<EntryPath>,
}

impl SurplusFinder {
    /// Takes the next entry. Paths come in order: a folder is complete when an entry outside of it comes.
    pub(super) fn visit(&mut self, entry: &Entry, cursor: &mut Cursor) {
        self.close_until(Some(&entry.path), cursor);
        if let Some((_, names)) = self.open.last_mut() {
            names.insert(entry.path.name().to_vec());
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
            // A folder that is not there yet holds nothing that is not in the backup.
            for name in cursor.list(folder).unwrap_or_default() {
                if !names.contains(&name) {
                    self.found.extend(folder.join(&name));
                }
            }
            self.open.pop();
        }
    }

    /// Returns what is surplus in folders that were backed up and selected. Folders that merely lead there hold much that the
    /// backup never was about.
    pub(super) fn finish(
        mut self,
        cursor: &mut Cursor,
        backup: &Backup,
        selection: &[EntryPath],
    ) -> Vec<EntryPath> {
        self.close_until(None, cursor);
        let roots: Vec<_> = backup
            .paths
            .iter()
            .filter_map(|path| stored_path(path))
            .collect();
        let within = |path: &EntryPath, folders: &[EntryPath]| {
            folders
                .iter()
                .any(|folder| path.is_within(folder) && path != folder)
        };
        self.found.retain(|path| {
            within(path, &roots) && (selection.is_empty() || within(path, selection))
        });
        self.found
    }
}
