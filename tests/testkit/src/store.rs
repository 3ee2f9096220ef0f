//! Where tests keep their repositories.
//!
//! The behaviour of br does not depend on where its objects are, so the same tests run on every kind of store:
//! [`StoreKind`] says which. Invariant: every [`TestStore`] is empty and apart from all others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use br_core::{
    Addressing, Location, NetworkOptions, S3Location, S3Options, Storage, StorageOptions,
};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _};
use tempfile::TempDir;

use crate::repo::block_on;
use crate::s3::S3Server;

/// The kind of store that has the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// The memory of this process.
    Memory,
    /// A folder on local disk.
    Local,
    /// The S3 server of this crate, in this process.
    S3,
    /// The S3 server that the environment names.
    Endpoint,
}

impl StoreKind {
    /// The variable that chooses a kind for a whole run of tests.
    pub const VARIABLE: &'static str = "BR_TEST_STORE";

    /// The kind that the environment chooses, if it does.
    ///
    /// # Panics
    /// When there is no such kind.
    #[must_use]
    pub fn chosen() -> Option<Self> {
        let name = std::env::var(Self::VARIABLE).ok()?;
        let kind = [Self::Memory, Self::Local, Self::S3, Self::Endpoint]
            .into_iter()
            .find(|kind| kind.name() == name);
        Some(kind.unwrap_or_else(|| panic!("{}={name} is no kind of store", Self::VARIABLE)))
    }

    /// The name of the kind in the environment.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Local => "local",
            Self::S3 => "s3",
            Self::Endpoint => "endpoint",
        }
    }
}

/// The points at which a test interrupts an operation, or the kinds of damage that it tries: those that [`every_nth`] leaves.
pub fn steps<I: IntoIterator>(all: I) -> impl Iterator<Item = I::Item> {
    all.into_iter().step_by(every_nth())
}

/// True when tests try all their cases on every store: for a run at night.
#[must_use]
pub fn tries_all_steps() -> bool {
    std::env::var_os("BR_TEST_ALL_STEPS").is_some()
}

/// Which part of its cases a test with many cases tries: one of this number.
///
/// In memory these are all. The other stores behave the same above `Storage`, and one operation takes up to a thousand times as long.
/// With `BR_TEST_ALL_STEPS` they are all on every store.
#[must_use]
pub fn every_nth() -> usize {
    match StoreKind::chosen() {
        _ if tries_all_steps() => 1,
        None | Some(StoreKind::Memory) => 1,
        Some(StoreKind::Local) => 5,
        Some(StoreKind::S3) => 11,
        Some(StoreKind::Endpoint) => 29,
    }
}

/// An S3 server that the environment names.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// URL of the server.
    pub url: String,
    /// Id of the access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// An existing bucket; tests write to separate folders in it.
    pub bucket: String,
    /// The region.
    pub region: String,
}

impl Endpoint {
    /// Reads `BR_TEST_S3_ENDPOINT`, `…_ACCESS_KEY_ID`, `…_SECRET_ACCESS_KEY`, `…_BUCKET` and `…_REGION`.
    ///
    /// # Panics
    /// When the first is set but the keys or the bucket are not.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let get = |name: &str| std::env::var(format!("BR_TEST_S3_{name}")).ok();
        let need = |name: &str| get(name).unwrap_or_else(|| panic!("BR_TEST_S3_{name} is missing"));
        Some(Self {
            url: get("ENDPOINT")?,
            access_key: need("ACCESS_KEY_ID"),
            secret_key: need("SECRET_ACCESS_KEY"),
            bucket: need("BUCKET"),
            region: get("REGION").unwrap_or_else(|| "us-east-1".to_owned()),
        })
    }

    /// The location of a folder in the bucket.
    #[must_use]
    pub fn location(&self, folder: &str) -> Location {
        let location = S3Location::new(&self.bucket, folder).unwrap();
        let location = location.with_endpoint(&self.url).unwrap();
        Location::S3(location.with_region(&self.region))
    }

    /// Options to open it.
    #[must_use]
    pub fn options(&self) -> StorageOptions {
        let s3 = S3Options::default()
            .with_keys(&self.access_key, self.secret_key.clone())
            .with_addressing(Addressing::Path);
        let network = NetworkOptions::default().with_allow_http(true);
        StorageOptions::default().with_s3(s3).with_network(network)
    }
}

/// An empty place for objects, which is deleted with the last handle.
#[derive(Debug, Clone)]
pub struct TestStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: StoreKind,
    location: Location,
    options: StorageOptions,
    storage: Storage,
    /// The bucket on the server of this process.
    bucket: String,
    _folder: Option<TempDir>,
}

impl TestStore {
    /// A store of the given kind.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(kind: StoreKind) -> Self {
        let mut options = StorageOptions::default().with_fsync(false);
        let (mut folder, mut bucket) = (None, String::new());
        let location = match kind {
            StoreKind::Memory => Location::Memory,
            StoreKind::Local => {
                let dir = tempfile::tempdir().unwrap();
                Location::Local(folder.insert(dir).path().join("repository"))
            }
            StoreKind::S3 => {
                bucket = unique("test");
                let server = server();
                server.create_bucket(&bucket);
                let here = server_endpoint(&bucket);
                options = here.options();
                here.location("some/folder")
            }
            StoreKind::Endpoint => {
                let there = Endpoint::from_env().expect("BR_TEST_S3_ENDPOINT is set");
                options = there.options();
                there.location(&unique(&format!("test-{}", std::process::id())))
            }
        };
        Self::with(kind, location, options, bucket, folder)
    }

    /// A store of the kind that the environment chooses, or else of this kind.
    #[must_use]
    pub fn chosen_or(kind: StoreKind) -> Self {
        Self::new(StoreKind::chosen().unwrap_or(kind))
    }

    fn with(
        kind: StoreKind,
        location: Location,
        options: StorageOptions,
        bucket: String,
        folder: Option<TempDir>,
    ) -> Self {
        // Clients live as long as the runtime that all tests share.
        let storage = block_on(async { Storage::create(&location, &options) }).unwrap();
        let inner = Inner {
            kind,
            location,
            options,
            storage,
            bucket,
            _folder: folder,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> StoreKind {
        self.inner.kind
    }

    /// Its location.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.inner.location
    }

    /// The options to open it.
    #[must_use]
    pub fn options(&self) -> &StorageOptions {
        &self.inner.options
    }

    /// The storage, as programs use it.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.inner.storage.clone()
    }

    /// The store below the storage, for wrappers, and for operations that no program performs.
    #[must_use]
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        self.inner.storage.object_store()
    }

    /// A copy of the store in its current state.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    pub fn fork(&self) -> Self {
        let other = Self::new(self.inner.kind);
        if self.inner.kind == StoreKind::S3 {
            server().fork_bucket(&self.inner.bucket, &other.inner.bucket);
            return other;
        }
        let (from, to) = (self.objects(), other.objects());
        let copied = from.list(None).map_ok(|meta| {
            let (from, to) = (Arc::clone(&from), Arc::clone(&to));
            async move {
                let bytes = from.get(&meta.location).await?.bytes().await?;
                to.put(&meta.location, bytes.into()).await.map(drop)
            }
        });
        block_on(copied.try_buffer_unordered(16).try_collect::<()>()).unwrap();
        other
    }

    /// Bytes of all objects.
    ///
    /// # Panics
    /// When they cannot be listed.
    #[must_use]
    pub fn size(&self) -> u64 {
        let objects = block_on(self.inner.storage.list("")).unwrap();
        objects.iter().map(|object| object.size).sum()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let there = self.storage.object_store();
        match self.kind {
            // The memory is freed with the process, but there may be thousands of stores.
            StoreKind::S3 => {
                let server = server();
                for key in server.keys(&self.bucket) {
                    server.set_object(&self.bucket, &key, None);
                }
            }
            StoreKind::Endpoint => drop(std::thread::spawn(move || {
                let all = there.list(None).map_ok(|meta| meta.location).boxed();
                let _ = block_on(there.delete_stream(all).try_collect::<Vec<_>>());
            })),
            StoreKind::Memory | StoreKind::Local => {}
        }
    }
}

/// The server that all tests of this process share.
fn server() -> &'static S3Server {
    static SERVER: OnceLock<S3Server> = OnceLock::new();
    SERVER.get_or_init(S3Server::start)
}

fn server_endpoint(bucket: &str) -> Endpoint {
    let server = server();
    Endpoint {
        url: server.endpoint(),
        access_key: server.access_key().to_owned(),
        secret_key: server.secret_key().to_owned(),
        bucket: bucket.to_owned(),
        region: "us-east-1".to_owned(),
    }
}

fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
