//! Files that cannot be restored, with the backups that contain them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use serde::Serialize;

use crate::model::BackupId;

/// Maximum number of files that the report names.
const MAX_FILES: usize = 1_000;

/// A file that cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DamagedFile {
    /// The file's path in the backups.
    pub path: String,
    /// The backups in which it is damaged, oldest first.
    pub backups: Vec<BackupId>,
}

/// Collects damaged files. Each path is recorded once, even if several chunks or backups of it are damaged.
#[derive(Debug, Default)]
pub(super) struct Files {
    named: BTreeMap<String, BTreeSet<BackupId>>,
    /// Hashes of the paths of all damaged files, including those that are not named.
    seen: HashSet<u64>,
    /// All backups with a damaged file, tree or manifest.
    affected: BTreeSet<BackupId>,
    hasher: RandomState,
}

impl Files {
    pub(super) fn add(&mut self, path: &str, backup: BackupId) {
        self.seen.insert(self.hasher.hash_one(path));
        self.affected.insert(backup);
        if let Some(backups) = self.named.get_mut(path) {
            backups.insert(backup);
        } else if self.named.len() < MAX_FILES {
            self.named.insert(path.to_owned(), [backup].into());
        }
    }

    /// Records that a backup cannot be restored in full, whichever files it concerns.
    pub(super) fn mark(&mut self, backup: BackupId) {
        self.affected.insert(backup);
    }

    /// All backups that cannot be restored in full.
    pub(super) fn affected(&self) -> Vec<BackupId> {
        self.affected.iter().copied().collect()
    }

    /// Returns the named files by path, and the number of all damaged files.
    pub(super) fn finish(self) -> (Vec<DamagedFile>, u64) {
        let file = |(path, backups): (String, BTreeSet<BackupId>)| DamagedFile {
            path,
            backups: backups.into_iter().collect(),
        };
        let files = self.named.into_iter().map(file).collect();
        (files, self.seen.len() as u64)
    }
}
