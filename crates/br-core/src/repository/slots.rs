//! Stores and lists the key slots of an encrypted repository, and tries a password on them.
//!
//! [`unlock`] finds the slot that a password opens. Invariant: no key is derived on a thread of the async runtime.

use br_storage::{Creation, ErrorKind as StorageError, Payload, Storage};
use bytes::Bytes;
use zeroize::Zeroizing;

use super::open::object;
use super::{Layout, worker};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{FormatError, KdfCost, KeySlot, Keyring, limits};
use crate::model::{KeyId, escape};
use crate::runtime::Runtime;

/// Stores a key slot under the fixed name of the first one, or, if that exists, for example after an interrupted `init`, under a random
/// name. Returns the name.
pub(super) async fn store_first(
    storage: &Storage,
    slot: Vec<u8>,
    runtime: &Runtime,
) -> Result<KeyId> {
    let payload = Payload::from(slot.clone());
    let first = Layout::key_slot(Layout::FIRST_KEY);
    match storage.create_new(&first, payload).await? {
        Creation::Created => Ok(Layout::FIRST_KEY),
        Creation::AlreadyExists => store(storage, slot, runtime).await,
    }
}

/// Stores a key slot under a random name, and returns the name.
pub(super) async fn store(storage: &Storage, slot: Vec<u8>, runtime: &Runtime) -> Result<KeyId> {
    let id = KeyId(runtime.bytes());
    let key = Layout::key_slot(id);
    match storage.create_new(&key, Payload::from(slot)).await? {
        Creation::Created => Ok(id),
        Creation::AlreadyExists => Err(Error::internal(format!("{key} exists already"))),
    }
}

/// A key slot and its name. The inner error says why the slot is unusable.
pub(super) type Found = (KeyId, Result<KeySlot, FormatError>);

/// Reads all key slots except `known`, those with the most master keys first: they are the newest.
pub(super) async fn read_all(storage: &Storage, known: Option<KeyId>) -> Result<Vec<Found>> {
    let objects = storage.list(Layout::KEYS).await?;
    if objects.len() > limits::KEY_SLOTS {
        let (what, limit) = ("key slots", limits::KEY_SLOTS as u64);
        let place = object(storage, Layout::KEYS);
        return Err(Error::format(&place, FormatError::Limit { what, limit }));
    }
    let ids = objects
        .iter()
        .filter_map(|object| Layout::id::<KeyId>(&object.key))
        .filter(|id| Some(*id) != known);
    let mut found = Vec::new();
    for id in ids {
        match storage.get(&Layout::key_slot(id), limits::DOCUMENT).await {
            Ok(bytes) => found.push((id, KeySlot::from_bytes(&bytes))),
            // Another process removed it after the listing.
            Err(error) if error.kind() == StorageError::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let keys = |slot: &Result<KeySlot, _>| slot.as_ref().map_or(0, KeySlot::key_count);
    found.sort_by_key(|(_, slot)| std::cmp::Reverse(keys(slot)));
    Ok(found)
}

/// Runs `work`, which derives a key from the password. Key derivation is slow on purpose, so it runs on a thread outside the async
/// runtime.
pub(super) async fn derive<T: Send + 'static>(
    config: &[u8],
    password: &[u8],
    work: impl FnOnce(&[u8], &[u8]) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (config, password) = (config.to_vec(), Zeroizing::new(password.to_vec()));
    worker::finish(&mut worker::start(move || work(&config, &password))?).await
}

/// Makes a slot with these master keys. Derives a key, so it must not run on a thread of the async runtime.
pub(super) fn make(
    keys: &Keyring,
    config: &[u8],
    password: &[u8],
    (label, unfinished): (&str, bool),
    cost: KdfCost,
    runtime: &Runtime,
) -> Result<KeySlot> {
    let made = (label, runtime.clock.now(), unfinished);
    let random = (runtime.bytes(), runtime.bytes());
    let slot = KeySlot::wrap(keys, config, password, made, random, cost);
    slot.map_err(|error| Error::format("a new key slot", error))
}

/// Opens a slot with a password. The inner error says that the password does not open it, or why it is unusable.
pub(super) async fn open(
    slot: KeySlot,
    config: &[u8],
    password: &[u8],
) -> Result<Result<Keyring, FormatError>> {
    let work = move |config: &[u8], password: &[u8]| Ok(slot.unwrap_keys(config, password));
    derive(config, password, work).await
}

/// The first key slot, as `open` fetched it.
pub(super) type FirstSlot = Option<br_storage::Result<Bytes>>;

/// Tries the password on the first key slot, which the caller fetched already, and then on all others. Returns the slot's name and the
/// master keys.
pub(super) async fn unlock(
    storage: &Storage,
    first: FirstSlot,
    config: &[u8],
    password: &[u8],
) -> Result<(KeyId, Keyring)> {
    let mut attempt = Attempt::new(storage, config, password);
    match first {
        Some(Ok(bytes)) => {
            let slot = (Layout::FIRST_KEY, KeySlot::from_bytes(&bytes));
            if let Some(opened) = attempt.try_slot(slot).await? {
                return Ok(opened);
            }
        }
        Some(Err(error)) if error.kind() != StorageError::NotFound => return Err(error.into()),
        _ => {}
    }
    for slot in read_all(storage, Some(Layout::FIRST_KEY)).await? {
        if let Some(opened) = attempt.try_slot(slot).await? {
            return Ok(opened);
        }
    }
    Err(attempt.failed())
}

/// A password that is tried on one slot after the other.
struct Attempt<'a> {
    storage: &'a Storage,
    config: &'a [u8],
    password: &'a [u8],
    /// Labels of the slots that another password opens.
    labels: Vec<String>,
    /// Why a slot is unusable.
    unusable: Option<Error>,
}

impl<'a> Attempt<'a> {
    const fn new(storage: &'a Storage, config: &'a [u8], password: &'a [u8]) -> Self {
        Self {
            storage,
            config,
            password,
            labels: Vec::new(),
            unusable: None,
        }
    }

    async fn try_slot(&mut self, (id, slot): Found) -> Result<Option<(KeyId, Keyring)>> {
        let opened = match slot {
            Ok(slot) => {
                let label = slot.label.clone();
                let opened = open(slot, self.config, self.password).await?;
                if matches!(opened, Err(FormatError::Password)) {
                    self.labels.push(label);
                }
                opened
            }
            Err(error) => Err(error),
        };
        match opened {
            Ok(keys) => return Ok(Some((id, keys))),
            Err(FormatError::Password) => {}
            // Report a damaged slot rather than a wrong password.
            Err(error) => {
                let key = object(self.storage, &Layout::key_slot(id));
                self.unusable = Some(Error::format(&key, error));
            }
        }
        Ok(None)
    }

    fn failed(self) -> Error {
        if let Some(error) = self.unusable {
            return error;
        }
        if self.labels.is_empty() {
            let place = object(self.storage, Layout::KEYS);
            return Error::damaged(format!("there is no key slot below {place}"));
        }
        let mut message = format!(
            "cannot open the repository at {}",
            self.storage.location_text()
        );
        if self.labels.len() > 1 {
            let label = |label: &String| format!("`{}`", escape(label.as_bytes()));
            let labels: Vec<String> = self.labels.iter().map(label).collect();
            message.push_str(", which has the keys ");
            message.push_str(&labels.join(", "));
        }
        Error::new(ErrorKind::Password, message).with_source(FormatError::Password)
    }
}
