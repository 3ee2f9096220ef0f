//! Files that cannot be restored, each with the backups it is in.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use crate::model::BackupId;

/// The maximum number of files that are named.
const MAX_FILES: usize = 1_000;

/// A file that cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedFile {
    /// Its path in the backups.
    pub path: String,
    /// The backups in which it is damaged, oldest first.
    pub backups: Vec<BackupId>,
}

/// Collects damaged files. A path is named once, whatever it lacks and in however many backups.
#[derive(Debug, Default)]
pub(super) struct Files {
    named: BTreeMap<String, BTreeSet<BackupId>>,
    /// All of them, by a hash of their path.
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Files {
    pub(super) fn add(&mut self, path: &str, backup: BackupId) {
        self.seen.insert(self.hasher.hash_one(path));
        if let Some(backups) = self.named.get_mut(path) {
            backups.insert(backup);
        } else if self.named.len() < MAX_FILES {
            self.named.insert(path.to_owned(), [backup].into());
        }
    }

    /// Those that are named, by path, and how many there are in all.
    pub(super) fn finish(self) -> (Vec<DamagedFile>, u64) {
        let file = |(path, backups): (String, BTreeSet<BackupId>)| DamagedFile {
            path,
            backups: backups.into_iter().collect(),
        };
        let files = self.named.into_iter().map(file).collect();
        (files, self.seen.len() as u64)
    }
}
