//! Restoring only entries that patterns select.
//!
//! [`Selection`] has the patterns, [`Selected`] drops the other entries. Invariant: a folder that no pattern selects is restored only if it
//! leads to a selected entry.

use std::collections::VecDeque;

use super::super::pattern::PathPattern;
use crate::model::{Entry, EntryKind, EntryPath};
use crate::repository::Gap;

/// Patterns of entries to restore, and of entries to leave out.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    pub(super) includes: Vec<PathPattern>,
    pub(super) excludes: Vec<PathPattern>,
}

impl Selection {
    pub(super) fn is_everything(&self) -> bool {
        self.includes.is_empty() && self.excludes.is_empty()
    }

    /// Whether the entry itself is selected, by a pattern for it or for a folder that it is in.
    pub(super) fn takes(&self, path: &EntryPath) -> bool {
        (self.includes.is_empty() || matches(&self.includes, path))
            && !matches(&self.excludes, path)
    }
}

/// Whether a pattern matches a path, or a folder above it.
fn matches(patterns: &[PathPattern], path: &EntryPath) -> bool {
    let bytes = path.as_bytes();
    let ends = bytes.iter().enumerate();
    let ends = ends.filter_map(|(at, byte)| (*byte == b'/').then_some(at));
    let mut prefixes = ends.chain([bytes.len()]).map(|end| &bytes[..end]);
    prefixes.any(|prefix| patterns.iter().any(|pattern| pattern.matches(prefix)))
}

/// The selected entries, and the folders that lead to them.
pub(super) struct Selected<'a, I> {
    entries: I,
    selection: &'a Selection,
    /// Folders that are not selected: they are returned before the first selected entry in them.
    held: Vec<Entry>,
    ready: VecDeque<Entry>,
}

impl<'a, I> Selected<'a, I> {
    pub(super) const fn new(entries: I, selection: &'a Selection) -> Self {
        Self {
            entries,
            selection,
            held: Vec::new(),
            ready: VecDeque::new(),
        }
    }
}

impl<I: Iterator<Item = Result<Entry, Gap>>> Iterator for Selected<'_, I> {
    type Item = Result<Entry, Gap>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(Ok(entry));
            }
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                gap => return Some(gap),
            };
            while let Some(folder) = self.held.last()
                && !entry.path.is_within(&folder.path)
            {
                self.held.pop();
            }
            if self.selection.takes(&entry.path) {
                self.ready.extend(self.held.drain(..));
                self.ready.push_back(entry);
            } else if matches!(entry.kind, EntryKind::Directory) {
                self.held.push(entry);
            }
        }
    }
}
