//! Inspects the content of a repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use br_core::Result;
use br_core::engine::{dump, ls};
use br_core::model::{BackupId, Entry, EntryKind, EntryPath};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use crate::repo::{TestRepo, block_on};
use crate::source::MemorySource;

impl TestRepo {
    /// All entries of a backup.
    ///
    /// # Errors
    /// As [`ls::ls`].
    pub fn entries(&self, id: BackupId) -> Result<Vec<Entry>> {
        block_on(async {
            let mut feed = ls::ls(&self.repository, id, Vec::new(), &self.context);
            let mut all = Vec::new();
            while let Some(entry) = feed.next().await {
                all.push(entry?);
            }
            Ok(all)
        })
    }

    /// The content of one file.
    ///
    /// # Errors
    /// As [`dump::dump`].
    pub fn dump(&self, id: BackupId, path: &EntryPath) -> Result<Vec<u8>> {
        let out = Collect::default();
        let dumped = dump::dump(
            &self.repository,
            id,
            path.clone(),
            out.clone(),
            &self.context,
        );
        block_on(dumped)?;
        let bytes = out.0.lock().unwrap().clone();
        Ok(bytes)
    }

    /// The files of a backup with their contents.
    ///
    /// # Errors
    /// When a part of it cannot be read.
    pub fn files(&self, id: BackupId) -> Result<BTreeMap<String, Bytes>> {
        let mut files = BTreeMap::new();
        for entry in self.entries(id)? {
            if let EntryKind::File(_) = entry.kind {
                let bytes = self.dump(id, &entry.path)?;
                files.insert(entry.path.to_string(), bytes.into());
            }
        }
        Ok(files)
    }

    /// Asserts that nothing is damaged, that every backup restores, and that each has the expected content.
    ///
    /// # Panics
    /// When something is wrong.
    pub fn assert_holds(&self, what: &str, expected: &BTreeMap<BackupId, MemorySource>) {
        let report = self
            .check()
            .unwrap_or_else(|error| panic!("{what}: check: {error}"));
        assert!(
            report.is_sound(),
            "{what}: check finds {:#?}",
            report.findings
        );
        let listed = self
            .backups()
            .unwrap_or_else(|error| panic!("{what}: list: {error}"));
        let ids: Vec<_> = listed.iter().map(|backup| backup.id).collect();
        let wanted: Vec<_> = expected.keys().copied().collect();
        assert_eq!(
            sorted(ids),
            wanted,
            "{what}: exactly the complete backups are listed"
        );
        for (id, source) in expected {
            let files = self
                .files(*id)
                .unwrap_or_else(|error| panic!("{what}: {id}: {error}"));
            let want = source.files();
            assert!(
                files.keys().eq(want.keys()),
                "{what}: {id} has the files it should"
            );
            for (path, content) in &want {
                assert!(
                    files[path] == content,
                    "{what}: {path} of {id} has the content that was backed up"
                );
            }
        }
    }

    /// The keys of all objects, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.sizes().into_keys().collect()
    }

    /// All objects with their sizes.
    #[must_use]
    pub fn sizes(&self) -> BTreeMap<String, u64> {
        use futures::TryStreamExt as _;
        let listing = self
            .store
            .objects()
            .list(None)
            .map_ok(|meta| (meta.location.into(), meta.size));
        block_on(listing.try_collect()).unwrap()
    }

    /// Bytes of all objects.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.sizes().values().sum()
    }

    /// An object's bytes.
    #[must_use]
    pub fn object(&self, key: &str) -> Bytes {
        block_on(async {
            self.store
                .objects()
                .get(&Path::from(key))
                .await?
                .bytes()
                .await
        })
        .unwrap()
    }

    /// Replaces an object, or removes it.
    pub fn set_object(&self, key: &str, bytes: Option<Vec<u8>>) {
        let key = Path::from(key);
        block_on(async {
            match bytes {
                Some(bytes) => self.store.objects().put(&key, bytes.into()).await.map(drop),
                None => self.store.objects().delete(&key).await,
            }
        })
        .unwrap();
    }
}

fn sorted(mut ids: Vec<BackupId>) -> Vec<BackupId> {
    ids.sort();
    ids
}

/// Collects written bytes.
#[derive(Debug, Clone, Default)]
struct Collect(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Collect {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
