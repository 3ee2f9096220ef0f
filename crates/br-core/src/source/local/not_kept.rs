//! Metadata that the walk finds but a backup does not keep.
//!
//! [`NotKept`] counts it. Invariant: a single line reports all of it.

use std::collections::BTreeSet;

use super::unix::{Attribute, Look};
use crate::model::EntryPath;
use crate::warning::Note;

/// Counts the files and folders with `chattr` attributes, which a backup does not keep.
#[derive(Debug, Default)]
pub(super) struct NotKept {
    count: u64,
    first: EntryPath,
    attributes: BTreeSet<Attribute>,
}

impl NotKept {
    pub(super) fn note(&mut self, path: &EntryPath, look: &Look) {
        let mut set = look.attributes().peekable();
        if set.peek().is_none() {
            return;
        }
        if self.count == 0 {
            self.first = path.clone();
        }
        self.count += 1;
        self.attributes.extend(set);
    }

    /// One note about all of them; `None` when the count is zero.
    pub(super) fn summary(&self) -> Option<Note> {
        (self.count > 0).then(|| Note::AttributesNotKept {
            count: self.count,
            first: self.first.clone(),
            letters: self.attributes.iter().map(|a| a.letter()).collect(),
        })
    }
}
