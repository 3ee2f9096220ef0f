//! Creating and opening repositories.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use br_storage::{Creation, ErrorKind as StorageError, Location, Payload, Storage, StorageOptions};
use bytes::Bytes;

use super::keys::slots;
use super::{Cache, InitOptions, Io, Layout, LockMemory, LogMemory, LogPosition, VerifiedPacks};
use crate::error::{Error, ErrorKind, ObjectKind, Result, Site};
use crate::format::{
    Cipher, Config, KdfCost, Keyring, MasterKey, ReadingKey, SlotLock, StoreConfig, limits,
};
use crate::model::KeyId;
use crate::progress::{Context, Event};
use crate::runtime::Runtime;
use crate::warning::Warning;

/// An open repository. Clones share everything and are cheap; operations may run at the same time, also in several processes.
///
/// It keeps the configuration and the key, but no content: each operation reads the commit log again.
#[derive(Clone)]
pub struct Repository {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    storage: Storage,
    config: Config,
    /// `br.json` as it was read.
    config_bytes: Bytes,
    keys: Keyring,
    /// The key slot that the password opened.
    opened_by: Option<KeyId>,
    pub(super) cache: OnceLock<Arc<Cache>>,
    pub(super) memory: OnceLock<LogMemory>,
    pub(super) verified: OnceLock<VerifiedPacks>,
    pub(super) locks: OnceLock<LockMemory>,
    /// True once warnings about the whole log were reported.
    warned: AtomicBool,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("location", &self.inner.storage.location_text())
            .field("id", &self.inner.config.id)
            .finish()
    }
}

impl Repository {
    /// Creates a repository at a location. Requests: about 16, most of them to find out what the store guarantees.
    ///
    /// # Errors
    /// [`ErrorKind::RepositoryExists`] when there is one, [`ErrorKind::Invalid`] when the folder holds something else or the
    /// password is empty.
    pub async fn init(
        location: &Location,
        options: &InitOptions,
        context: &Context,
    ) -> Result<Self> {
        options.check()?;
        let storage = Storage::create(location, &options.storage)?;
        Self::init_storage(storage, options, context).await
    }

    /// Creates a repository in a store.
    ///
    /// # Errors
    /// As [`Repository::init`].
    pub async fn init_storage(
        storage: Storage,
        options: &InitOptions,
        context: &Context,
    ) -> Result<Self> {
        options.check()?;
        let exists = || {
            let place = storage.location_text();
            Error::new(
                ErrorKind::RepositoryExists,
                format!("{place} is a repository already"),
            )
        };
        let names = storage.top_level().await?;
        if names.iter().any(|name| name == Layout::CONFIG) {
            return Err(exists());
        }
        // The folder may contain key slots of an interrupted init and files that file systems create. Refuse anything else.
        let is_harmless =
            |name: &String| [Layout::KEYS, Layout::PROBE, "lost+found"].contains(&name.as_str());
        let is_probe = |key: &str| {
            let name = key.strip_prefix("probe/").and_then(|name| name.get(..16));
            name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        // Leftover objects of a killed probe, but no other files in a folder of that name.
        let probed = if names.iter().any(|name| name == Layout::PROBE) {
            storage.list(Layout::PROBE).await?
        } else {
            Vec::new()
        };
        let is_ours = probed.iter().all(|object| is_probe(&object.key));
        if !is_ours || !names.iter().all(is_harmless) {
            let place = storage.location_text();
            let message = format!("{place} is neither empty nor a repository");
            return Err(Error::invalid(message).at(Site::Repository));
        }
        let runtime = &context.runtime;
        let cipher = if options.password.is_some() {
            Cipher::Aes256Gcm
        } else {
            Cipher::None
        };
        let store = probe(&storage, runtime).await?;
        let mut config = Config::new(runtime.repository_id(), runtime.clock.now(), cipher, store);
        if options.write_only_keys {
            // Entries are not encrypted for readers, so they must not hold content.
            config.chunker.inline = 0;
        }
        let bytes = config.to_bytes();
        let (keys, opened_by) = match &options.password {
            None => (Keyring::public(), None),
            Some(password) => {
                let keys = new_keys(options, runtime)?;
                let cost = KdfCost::new(options.weak_key_derivation);
                let (ring, clock) = (keys.clone(), runtime.clone());
                let make = move |config: &[u8], password: &[u8]| {
                    let lock = SlotLock::Password(password, cost);
                    slots::make(&ring, config, lock, ("first", false), &clock)
                };
                let slot = slots::derive(&bytes, password, make).await?;
                let id = slots::store_first(&storage, &slot).await?;
                (keys, Some(id))
            }
        };
        match storage
            .create_new(Layout::CONFIG, Payload::from(bytes.clone()))
            .await?
        {
            Creation::Created => {
                let unlocked = (keys, opened_by);
                Ok(Self::from_parts(storage, config, bytes.into(), unlocked))
            }
            Creation::AlreadyExists => Err(exists()),
        }
    }

    /// Opens the repository at a location. It cannot be cancelled: with a password a key is derived, which takes some tenths of a
    /// second on a separate thread, and continues when the future is dropped.
    ///
    /// Requests: one, or three with a password, in parallel, and one for each key slot unless the password opens the first one. The commit log is read by each operation, not by opening.
    ///
    /// # Errors
    /// [`ErrorKind::RepositoryNotFound`], [`ErrorKind::Password`], [`ErrorKind::NotEncrypted`],
    /// [`ErrorKind::UnsupportedFormat`], [`ErrorKind::Damaged`] when only `br.json` is missing, and errors of the store.
    pub async fn open(
        location: &Location,
        options: &StorageOptions,
        password: Option<&[u8]>,
    ) -> Result<Self> {
        Self::open_storage(open_store(location, options)?, password).await
    }

    /// Opens a store and reads `br.json`.
    pub(super) async fn read_config(
        location: &Location,
        options: &StorageOptions,
    ) -> Result<(Storage, Config)> {
        let storage = open_store(location, options)?;
        let config = storage.get(Layout::CONFIG, limits::DOCUMENT).await;
        let (config, _) = parse_config(&storage, config).await?;
        Ok((storage, config))
    }

    /// Opens the repository in a store.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub async fn open_storage(storage: Storage, password: Option<&[u8]>) -> Result<Self> {
        // Request all in parallel to save round trips.
        let slots = async {
            let key = Layout::key_slot(Layout::FIRST_KEY);
            password?;
            let first = storage.get(&key, limits::DOCUMENT);
            Some(futures::future::join(first, slots::list(&storage)).await)
        };
        let config = storage.get(Layout::CONFIG, limits::DOCUMENT);
        let (config, slots) = futures::future::join(config, slots).await;
        let (config, bytes) = parse_config(&storage, config).await?;
        let unlocked = match (config.cipher, password) {
            (Cipher::None, None) => (Keyring::public(), None),
            (Cipher::None, Some(_)) => {
                let message = format!(
                    "a password was given, and the repository at {} is not encrypted",
                    storage.location_text()
                );
                return Err(Error::new(ErrorKind::NotEncrypted, message));
            }
            (_, None) => {
                let message = format!("the repository at {} is encrypted", storage.location_text());
                return Err(Error::new(ErrorKind::Password, message));
            }
            (_, Some(password)) => {
                let (first, listed) =
                    slots.ok_or_else(|| Error::internal("no key slot was read"))?;
                let (id, keys) =
                    slots::unlock(&storage, first, listed?, (config.cipher, &bytes), password)
                        .await?;
                (keys, Some(id))
            }
        };
        Ok(Self::from_parts(storage, config, bytes, unlocked))
    }

    fn from_parts(
        storage: Storage,
        config: Config,
        config_bytes: Bytes,
        (keys, opened_by): (Keyring, Option<KeyId>),
    ) -> Self {
        if !config.store.exclusive_create {
            storage.assume_single_writer();
        }
        Self {
            inner: Arc::new(Inner {
                storage,
                config,
                config_bytes,
                keys,
                opened_by,
                cache: OnceLock::new(),
                memory: OnceLock::new(),
                verified: OnceLock::new(),
                locks: OnceLock::new(),
                warned: AtomicBool::new(false),
            }),
        }
    }

    /// Returns true on the first call only, so that a warning about the whole repository is reported once.
    pub(crate) fn is_first_warning(&self) -> bool {
        !self.inner.warned.swap(true, Ordering::Relaxed)
    }

    /// The repository's configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// True when it can only be read with a password.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.config().cipher != Cipher::None
    }

    /// The location, without secrets.
    #[must_use]
    pub fn location(&self) -> &str {
        self.inner.storage.location_text()
    }

    /// The store it is in.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.inner.storage
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.inner.keys
    }

    /// The key slot that the password opened; `None` when the repository is not encrypted.
    pub(super) fn opened_by(&self) -> Option<KeyId> {
        self.inner.opened_by
    }

    /// The bytes of `br.json`.
    pub(super) fn config_bytes(&self) -> &Bytes {
        &self.inner.config_bytes
    }

    /// The same repository with other master keys, opened by another key slot.
    pub(super) fn with_keys(&self, keys: Keyring, opened_by: KeyId) -> Self {
        let (config, bytes) = (self.config().clone(), self.inner.config_bytes.clone());
        let unlocked = (keys, Some(opened_by));
        let other = Self::from_parts(self.storage().clone(), config, bytes, unlocked);
        if let Some(cache) = self.cache() {
            let _ = other.inner.cache.set(cache);
        }
        if let Some(memory) = self.log_memory() {
            let _ = other.inner.memory.set(memory.clone());
        }
        other
    }

    /// Whether the key that opened the repository only writes: it makes backups, lists and checks them, and cannot read the content of files.
    #[must_use]
    pub fn is_write_only(&self) -> bool {
        self.inner.keys.is_write_only()
    }

    /// Whether the repository can have write-only keys: [`InitOptions::write_only_keys`](super::InitOptions) decides it once.
    #[must_use]
    pub fn allows_write_only_keys(&self) -> bool {
        !self.inner.keys.reading_keys().is_empty()
    }

    /// Fails if the key that opened the repository cannot read the content of files. For operations that read it: they must not take content
    /// that this key cannot read for damaged.
    pub(crate) fn check_reads_content(&self, what: &str) -> Result<()> {
        if self.is_write_only() {
            let message = format!(
                "{what} needs the content of files, and the key that opened the repository only writes"
            );
            return Err(Error::new(ErrorKind::KeyRights, message));
        }
        Ok(())
    }

    /// Fails if the path no longer leads to the folder that was opened, or if that folder holds another repository. Does nothing for a
    /// repository on a server.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] and [`ErrorKind::Conflict`].
    pub(crate) async fn check_place(&self) -> Result<()> {
        let storage = self.storage();
        if storage.is_remote() {
            return Ok(());
        }
        storage.check_place().await?;
        match storage.get(Layout::CONFIG, limits::DOCUMENT).await {
            Ok(bytes) if bytes == self.inner.config_bytes => Ok(()),
            Err(error) if error.kind() != StorageError::NotFound => Err(error.into()),
            _ => {
                let message = format!(
                    "{} was replaced or removed since this run opened the repository: nothing was added to it",
                    object(storage, Layout::CONFIG)
                );
                Err(Error::new(ErrorKind::Conflict, message))
            }
        }
    }

    /// Refuses to change a repository that a recipient opened, or whose format has features this program does not know, and warns when no other writer may
    /// write at the same time.
    pub(crate) fn check_writable(&self, context: &Context) -> Result<()> {
        if self.inner.keys.is_of_recipient() {
            let message = "the secret key of a recipient only reads: anyone who knows the recipient may have made the key, for data of their own";
            return Err(Error::new(ErrorKind::KeyRights, message));
        }
        let config = self.config();
        config
            .version
            .check_writable()
            .map_err(|error| Error::format(Layout::CONFIG, error))?;
        if !config.store.exclusive_create {
            let warning = Warning::NoExclusiveCreate;
            context.progress.event(Event::Warning(&warning));
        }
        Ok(())
    }

    /// Runs blocking work on a separate thread. Dropping the future cancels the work.
    ///
    /// # Errors
    /// Those of the work, and when there is no async runtime or no thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl FnOnce(&Io) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        Io::new(self, context)?.run(work).await
    }

    /// The newest position in the log, for operations that only read.
    pub(crate) async fn position(&self, context: &Context) -> Result<LogPosition> {
        let read = |io: &Io| Ok(LogPosition::read_or_rebuild(io)?.0);
        self.run(context, read).await
    }
}

/// The master keys of a new repository.
fn new_keys(options: &InitOptions, runtime: &Runtime) -> Result<Keyring> {
    let master = MasterKey::new(runtime.bytes());
    let reading = options
        .write_only_keys
        .then(|| ReadingKey::of_secret(runtime.bytes()));
    Keyring::new(vec![master], reading.into_iter().collect())
        .map_err(|error| Error::format("a new key slot", error))
}

fn open_store(location: &Location, options: &StorageOptions) -> Result<Storage> {
    Storage::open(location, options).map_err(|error| match error.kind() {
        StorageError::LocationNotFound => not_found(&location.to_string()),
        _ => error.into(),
    })
}

async fn parse_config(
    storage: &Storage,
    answer: br_storage::Result<Bytes>,
) -> Result<(Config, Bytes)> {
    let bytes = match answer {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == StorageError::NotFound => {
            return Err(without_config(storage).await);
        }
        Err(error) => return Err(error.into()),
    };
    let config = Config::from_bytes(&bytes)
        .map_err(|error| Error::format(&object(storage, Layout::CONFIG), error))?;
    Ok((config, bytes))
}

/// Finds out what the store guarantees.
async fn probe(storage: &Storage, runtime: &Runtime) -> Result<StoreConfig> {
    let name = crate::model::hex(&runtime.bytes::<8>());
    let found = storage.probe(&name).await?;
    if !found.ranges {
        let place = storage.location_text();
        let message = format!("the store of {place} cannot read parts of objects");
        return Err(Error::invalid(message).at(Site::Repository));
    }
    if !found.exclusive_create {
        storage.assume_single_writer();
    }
    Ok(StoreConfig {
        exclusive_create: found.exclusive_create,
        fresh_lists: found.fresh_lists,
    })
}

pub(super) fn object(storage: &Storage, key: &str) -> String {
    format!("{key} in {}", storage.location_text())
}

fn not_found(place: &str) -> Error {
    Error::new(
        ErrorKind::RepositoryNotFound,
        format!("there is no repository at {place}"),
    )
}

/// Distinguishes "no repository" from "a repository without `br.json`". Leftovers of an interrupted `init` are no repository, and
/// neither is another program's folder with one matching name.
async fn without_config(storage: &Storage) -> Error {
    let absent = not_found(storage.location_text());
    // Ignore a failed listing: the error is already known.
    let Ok(names) = storage.top_level().await else {
        return absent;
    };
    let is_content = |name: &&String| {
        let content = [Layout::PACKS, Layout::INDEX, Layout::MANIFESTS, Layout::LOG];
        content.contains(&name.as_str())
    };
    let is_harmless = |name: &&String| {
        [Layout::KEYS, Layout::PROBE, Layout::RESERVE, "lost+found"].contains(&name.as_str())
    };
    let content = names.iter().filter(is_content).count();
    let ours = content + names.iter().filter(is_harmless).count();
    match content {
        0 => absent,
        1 if ours < names.len() => absent,
        _ => {
            let place = storage.location_text();
            let message =
                format!("br.json is missing in {place}, and there are objects of a repository");
            Error::damaged(message).about(ObjectKind::Config)
        }
    }
}
