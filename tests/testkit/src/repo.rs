//! A repository, in memory unless the environment says otherwise, and operations that many tests need.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::faulty::FaultyStore;
use crate::handle::Handle;
use crate::source::MemorySource;
use crate::store::{StoreKind, TestStore};
use br_core::engine::backup::{BackupOptions, BackupReport, backup};
use br_core::engine::check::{CheckOptions, CheckReport, ReadData, check};
use br_core::engine::prune::{PruneOptions, PruneReport};
use br_core::engine::{delete, prune};
use br_core::model::{Backup, BackupId};
use br_core::{Context, InitOptions, NewKey, Repository, Result, Storage};

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

/// A repository in a [`FaultyStore`].
#[derive(Debug, Clone)]
pub struct TestRepo {
    /// The store of the objects. Operations on it are not counted.
    pub store: TestStore,
    /// The fault layer below the repository.
    pub faults: Arc<FaultyStore>,
    /// The repository.
    pub repository: Repository,
    /// A context whose time and randomness repeat.
    pub context: Context,
    password: Option<&'static [u8]>,
}

impl TestRepo {
    /// The password of encrypted test repositories.
    pub const PASSWORD: &[u8] = b"open sesame";

    /// Creates an unencrypted repository.
    #[must_use]
    pub fn new() -> Self {
        Self::init(None, 1)
    }

    /// Creates an encrypted repository.
    #[must_use]
    pub fn encrypted() -> Self {
        Self::init(Some(Self::PASSWORD), 1)
    }

    /// Creates an encrypted repository that can have write-only keys.
    #[must_use]
    pub fn with_write_only_keys(seed: u64) -> Self {
        let options = InitOptions::default().with_write_only_keys();
        Self::init_with(Some(Self::PASSWORD), options, seed)
    }

    /// Creates a repository with other random numbers: repositories of the same seed have the same id and the same key.
    #[must_use]
    pub fn init(password: Option<&'static [u8]>, seed: u64) -> Self {
        Self::init_with(password, InitOptions::default(), seed)
    }

    fn init_with(password: Option<&'static [u8]>, options: InitOptions, seed: u64) -> Self {
        let store = TestStore::chosen_or(StoreKind::Memory);
        let faults = FaultyStore::new(store.objects());
        let context = crate::context(seed);
        let mut options = options;
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

    /// Opens the repository in a store, like another process, with different random numbers.
    ///
    /// # Errors
    /// As [`Repository::open_storage`].
    pub fn open(store: TestStore, password: Option<&'static [u8]>, seed: u64) -> Result<Self> {
        let faults = FaultyStore::new(store.objects());
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

    /// The same repository, opened by a write-only key. Adds the key if there is none.
    ///
    /// # Errors
    /// As [`Repository::add_key`] and [`Repository::open_storage`].
    pub async fn write_only(&self) -> Result<Self> {
        const WRITER: &[u8] = b"only writes";
        let keys = self.repository.keys().await?;
        if !keys.iter().any(|key| key.write_only) {
            let new = NewKey::new(WRITER, "writer").with_weak_key_derivation();
            let new = new.with_write_only();
            let _ = self.repository.add_key(&new, &self.context).await?;
        }
        let storage = Self::storage_of(&self.faults);
        Ok(Self {
            repository: Repository::open_storage(storage, Some(WRITER)).await?,
            password: Some(WRITER),
            ..self.clone()
        })
    }

    /// Opens the same objects again, as another process would.
    #[must_use]
    pub fn reopen(&self, seed: u64) -> Self {
        Self::open(self.store.clone(), self.password, seed).unwrap()
    }

    /// A copy of the repository in its current state.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        Self::open(self.store.fork(), self.password, seed).unwrap()
    }

    /// As [`TestRepo::fork`], but the copy may fail to open.
    ///
    /// # Errors
    /// As [`Repository::open_storage`].
    pub fn try_reopen(&self, seed: u64) -> Result<Self> {
        Self::open(self.store.clone(), self.password, seed)
    }

    /// Options for a backup by `host`, on one thread, so that every run does the same.
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

    /// Checks everything and reads all data.
    ///
    /// # Errors
    /// As [`check`].
    pub fn check(&self) -> Result<CheckReport> {
        let options = CheckOptions::default().with_data(ReadData::All);
        block_on(check(&self.repository, &options, &self.context))
    }

    /// As [`TestRepo::check`], and records which backups are proven.
    ///
    /// # Errors
    /// As [`check`].
    pub fn prove(&self) -> Result<CheckReport> {
        let options = CheckOptions::default()
            .with_data(ReadData::All)
            .with_record_proof(true);
        block_on(check(&self.repository, &options, &self.context))
    }

    /// Removes backups from the backup list.
    ///
    /// # Errors
    /// As [`delete::delete`].
    pub fn delete(&self, ids: &[BackupId]) -> Result<()> {
        let ids = ids.iter().copied();
        block_on(async {
            let plan = delete::plan(&self.repository, ids, &self.context).await?;
            delete::delete(&self.repository, &plan, &self.context).await
        })
    }

    /// Prunes with no tolerated waste and no grace period.
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
        self.prune_with(Self::thorough()).await
    }

    /// As [`TestRepo::prune_async`], but keeps the data of backups that were deleted within a year.
    ///
    /// # Errors
    /// As [`prune::prune`].
    pub async fn prune_keeping_deleted(&self) -> Result<PruneReport> {
        let year = Duration::from_secs(365 * 24 * 3600);
        self.prune_with(Self::thorough().with_keep_deleted(year))
            .await
    }

    async fn prune_with(&self, options: PruneOptions) -> Result<PruneReport> {
        let plan = prune::plan(&self.repository, &options, &self.context).await?;
        prune::prune(&self.repository, &plan, &self.context).await
    }

    /// Options for a prune without tolerated waste and without grace period.
    #[must_use]
    pub fn thorough() -> PruneOptions {
        PruneOptions::default()
            .with_max_unused(0.0)
            .with_grace(Duration::ZERO)
    }
}

impl Default for TestRepo {
    fn default() -> Self {
        Self::new()
    }
}
