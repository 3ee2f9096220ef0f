//! A repository in memory, and what tests do with it all the time.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use br_core::engine::backup::{BackupOptions, BackupReport, backup};
use br_core::engine::check::{CheckOptions, CheckReport, ReadData, check};
use br_core::engine::prune::{PruneOptions, PruneReport};
use br_core::engine::{delete, dump, ls, prune};
use br_core::model::{Backup, BackupId, Entry, EntryKind, EntryPath};
use br_core::{BackupSelector, Context, InitOptions, Repository, Result, Storage};
use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use crate::faulty::{FaultyStore, Handle};
use crate::source::MemorySource;

/// Runs a future to its end on a runtime that all tests share.
///
/// # Panics
/// When the system gives no threads.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let make = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(4).enable_all().build().unwrap()
    };
    RUNTIME.get_or_init(make).block_on(future)
}

/// The password of encrypted test repositories.
pub(crate) const PASSWORD: &[u8] = b"open sesame";

/// A repository in a [`FaultyStore`] in memory.
#[derive(Debug, Clone)]
pub struct TestRepo {
    /// Where the objects are; using it directly is not counted.
    pub store: Arc<InMemory>,
    /// What the repository goes through.
    pub faults: Arc<FaultyStore>,
    /// The repository.
    pub repository: Repository,
    /// A context whose time and randomness repeat.
    pub context: Context,
    password: Option<&'static [u8]>,
}

impl TestRepo {
    /// Makes one in the clear.
    #[must_use]
    pub fn new() -> Self {
        Self::init(None)
    }

    /// Makes an encrypted one.
    #[must_use]
    pub fn encrypted() -> Self {
        Self::init(Some(PASSWORD))
    }

    fn init(password: Option<&'static [u8]>) -> Self {
        let store = Arc::new(InMemory::new());
        let faults = FaultyStore::new(Arc::clone(&store));
        let context = crate::context(1);
        let mut options = InitOptions::default();
        if let Some(password) = password {
            options = options.with_password(password).with_weak_key_derivation();
        }
        let storage = Self::storage_of(&faults);
        let repository = Repository::init_storage(storage, &options, &context);
        let repository = block_on(repository).unwrap();
        faults.reset();
        Self {
            store,
            faults,
            repository,
            context,
            password,
        }
    }

    /// The storage that goes through a store.
    #[must_use]
    pub fn storage_of(faults: &Arc<FaultyStore>) -> Storage {
        Storage::from_object_store(Arc::new(Handle(Arc::clone(faults))), "test")
    }

    /// Opens what a store holds, as another process would, with other randomness.
    ///
    /// # Errors
    /// As [`Repository::open_storage`].
    pub fn open(store: Arc<InMemory>, password: Option<&'static [u8]>, seed: u64) -> Result<Self> {
        let faults = FaultyStore::new(Arc::clone(&store));
        let opened = Repository::open_storage(Self::storage_of(&faults), password);
        let repository = block_on(opened)?;
        faults.reset();
        let context = crate::context(seed);
        Ok(Self {
            store,
            faults,
            repository,
            context,
            password,
        })
    }

    /// Opens the same objects again, as another process would.
    #[must_use]
    pub fn reopen(&self, seed: u64) -> Self {
        Self::open(Arc::clone(&self.store), self.password, seed).unwrap()
    }

    /// A copy of everything, as it is now.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        Self::open(Arc::new(self.store.fork()), self.password, seed).unwrap()
    }

    /// As [`TestRepo::fork`], when the copy may not open.
    ///
    /// # Errors
    /// As [`Repository::open_storage`].
    pub fn try_reopen(&self, seed: u64) -> Result<Self> {
        Self::open(Arc::clone(&self.store), self.password, seed)
    }

    /// Options for a backup by `host`, on one thread, so that it does the same each time.
    #[must_use]
    pub fn options(host: &str) -> BackupOptions {
        BackupOptions::new(host, "user", vec![b"/".to_vec()]).with_threads(Some(1))
    }

    /// Backs up a source as host `host`.
    ///
    /// # Errors
    /// As [`backup`].
    pub fn backup(&self, source: &MemorySource) -> Result<BackupReport> {
        self.backup_with(source, &Self::options("host"))
    }

    /// Backs up a source.
    ///
    /// # Errors
    /// As [`backup`].
    pub fn backup_with(
        &self,
        source: &MemorySource,
        options: &BackupOptions,
    ) -> Result<BackupReport> {
        block_on(backup(
            &self.repository,
            source.clone(),
            options,
            &self.context,
        ))
    }

    /// All backups, oldest first.
    ///
    /// # Errors
    /// As [`Repository::backups`].
    pub fn backups(&self) -> Result<Vec<Backup>> {
        block_on(self.repository.backups(&self.context))
    }

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
    /// When anything of it cannot be read.
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

    /// Checks everything and reads all data.
    ///
    /// # Errors
    /// As [`check`].
    pub fn check(&self) -> Result<CheckReport> {
        let options = CheckOptions::default().with_data(ReadData::All);
        block_on(check(&self.repository, &options, &self.context))
    }

    /// Takes backups out of the catalog.
    ///
    /// # Errors
    /// As [`delete::delete`].
    pub fn delete(&self, ids: &[BackupId]) -> Result<()> {
        let prefix = |id: &BackupId| BackupSelector::Prefix(id.to_string());
        let selectors = ids.iter().map(prefix).collect();
        block_on(async {
            let plan = delete::plan(&self.repository, selectors, &self.context).await?;
            delete::delete(&self.repository, &plan, &self.context).await
        })
    }

    /// Prunes without tolerating waste or sparing what is young.
    ///
    /// # Errors
    /// As [`prune::prune`].
    pub fn prune(&self) -> Result<PruneReport> {
        block_on(self.prune_async())
    }

    /// As [`TestRepo::prune`], for use inside of a hook.
    ///
    /// # Errors
    /// As [`prune::prune`].
    pub async fn prune_async(&self) -> Result<PruneReport> {
        let options = Self::thorough();
        let plan = prune::plan(&self.repository, &options, &self.context).await?;
        prune::prune(&self.repository, &plan, &self.context).await
    }

    /// Options for a prune that tolerates no waste and spares nothing.
    #[must_use]
    pub fn thorough() -> PruneOptions {
        PruneOptions::default()
            .with_max_unused(0.0)
            .with_grace(Duration::ZERO)
    }

    /// Asserts that nothing is damaged, that every backup restores, and that each holds what it should.
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
                    "{what}: {path} of {id} is what was backed up"
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
        block_on(async { self.store.get(&Path::from(key)).await?.bytes().await }).unwrap()
    }

    /// Replaces an object, or removes it.
    pub fn set_object(&self, key: &str, bytes: Option<Vec<u8>>) {
        let key = Path::from(key);
        block_on(async {
            match bytes {
                Some(bytes) => self.store.put(&key, bytes.into()).await.map(drop),
                None => self.store.delete(&key).await,
            }
        })
        .unwrap();
    }
}

impl Default for TestRepo {
    fn default() -> Self {
        Self::new()
    }
}

fn sorted(mut ids: Vec<BackupId>) -> Vec<BackupId> {
    ids.sort();
    ids
}

/// Collects what is written.
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
