//! Metadata that the walk finds but a backup does not keep.
//!
//! [`NotKept`] counts it. Invariant: a single line reports all of it.

use std::collections::BTreeSet;

use super::unix::{Attribute, Look};
use crate::model::EntryPath;

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

    /// One line about all of them; `None` when the count is zero.
    pub(super) fn message(&self) -> Option<String> {
        let letters: Vec<_> = self
            .attributes
            .iter()
            .map(|a| format!("+{}", a.letter()))
            .collect();
        let (letters, first) = (letters.join(", "), &self.first);
        match self.count {
            0 => None,
            1 => Some(format!(
                "{first} has attributes of chattr ({letters}), which are not kept"
            )),
            count => Some(format!(
                "{count} files and folders have attributes of chattr ({letters}), which are not kept; the first is {first}"
            )),
        }
    }
}
