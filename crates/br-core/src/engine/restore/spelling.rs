//! Names that a target may treat as equal.
//!
//! [`fold`] removes case from a name, [`Spellings`] finds names in one folder that differ only in case. Invariant: on a target that
//! ignores case, no entry of a backup overwrites another.

use std::collections::HashMap;

use crate::model::EntryPath;

/// A name without case. In a name that is not UTF-8, only ASCII letters change.
pub(super) fn fold(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => name.to_ascii_lowercase(),
    }
}

/// Names by their folded form.
type ByFolded = HashMap<Vec<u8>, Vec<u8>>;

/// The names found so far in the folders on the way to the current entry.
#[derive(Default)]
pub(super) struct Spellings {
    /// Each folder with its names.
    open: Vec<(EntryPath, ByFolded)>,
}

impl Spellings {
    /// Adds the path of the next entry; paths must come in order. Returns an earlier name in the same folder that differs only in case.
    pub(super) fn clash(&mut self, path: &EntryPath) -> Option<Vec<u8>> {
        let folder = EntryPath::new(path.parent()?).ok()?;
        while self
            .open
            .last()
            .is_some_and(|(open, _)| !folder.is_within(open))
        {
            self.open.pop();
        }
        if self.open.last().is_none_or(|(open, _)| *open != folder) {
            self.open.push((folder, ByFolded::new()));
        }
        let (_, names) = self.open.last_mut()?;
        let name = path.name();
        let met = names.entry(fold(name)).or_insert_with(|| name.to_vec());
        (*met != name).then(|| met.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_folder_that_differ_in_case_clash() {
        let mut spellings = Spellings::default();
        let mut clash = |path: &str| {
            let met = spellings.clash(&EntryPath::new(path.as_bytes()).unwrap());
            met.map(|met| String::from_utf8(met).unwrap())
        };
        assert_eq!(clash(""), None);
        assert_eq!(clash("File"), None);
        assert_eq!(clash("a"), None);
        assert_eq!(clash("a/FILE"), None, "of another folder");
        assert_eq!(clash("a/b/file"), None);
        assert_eq!(clash("a/file").as_deref(), Some("FILE"));
        assert_eq!(clash("file").as_deref(), Some("File"));
        assert_eq!(clash("\u{c4}rger"), None);
        assert_eq!(clash("\u{e4}rger").as_deref(), Some("\u{c4}rger"));
        assert_eq!(clash("other"), None);
    }

    #[test]
    fn names_that_are_not_utf8_are_folded_as_ascii() {
        assert_eq!(fold(b"A\xffB"), b"a\xffb");
    }
}
