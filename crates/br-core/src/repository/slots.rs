//! The key slots of an encrypted repository: stored by `init`, tried by `open`.
//!
//! [`unlock`] finds the slot that a password opens. Invariant: no key is derived on a thread of the async runtime.

use br_storage::{Creation, ErrorKind as StorageError, Payload, Storage};
use bytes::Bytes;
use zeroize::Zeroizing;

use super::open::object;
use super::{Layout, worker};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{FormatError, KeySlot, MasterKey, limits};
use crate::runtime::Runtime;

/// Stores a key slot. The first slot has a fixed name; if that exists, for example after an interrupted `init`, the slot gets a random
/// name.
pub(super) async fn store(storage: &Storage, slot: Vec<u8>, runtime: &Runtime) -> Result<()> {
    let payload = Payload::from(slot);
    let first = Layout::key_slot(Layout::FIRST_KEY);
    if storage.create_new(&first, payload.clone()).await? == Creation::AlreadyExists {
        let other = Layout::key_slot(runtime.bytes());
        let _ = storage.create_new(&other, payload).await?;
    }
    Ok(())
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

/// Tries the password on the first key slot, which the caller fetched already, and then on all others.
pub(super) async fn unlock(
    storage: &Storage,
    first: Option<br_storage::Result<Bytes>>,
    config: &[u8],
    password: &[u8],
) -> Result<MasterKey> {
    let open = |slot: Bytes| {
        derive(config, password, move |config, password| {
            let slot = KeySlot::from_bytes(&slot);
            Ok(slot.and_then(|slot| slot.unwrap_key(config, password)))
        })
    };
    let mut reason = None;
    // Report a damaged slot rather than a wrong password.
    let mut note = |key: &str, error: FormatError| {
        if error != FormatError::Password {
            reason = Some(Error::format(&object(storage, key), error));
        }
    };
    let first_key = Layout::key_slot(Layout::FIRST_KEY);
    match first {
        Some(Ok(bytes)) => match open(bytes).await? {
            Ok(master) => return Ok(master),
            Err(error) => note(&first_key, error),
        },
        Some(Err(error)) if error.kind() != StorageError::NotFound => return Err(error.into()),
        _ => {}
    }
    let slots = storage.list(Layout::KEYS).await?;
    if slots.is_empty() {
        let place = object(storage, Layout::KEYS);
        return Err(Error::damaged(format!(
            "there is no key slot below {place}"
        )));
    }
    if slots.len() > limits::KEY_SLOTS {
        let (what, limit) = ("key slots", limits::KEY_SLOTS as u64);
        let place = object(storage, Layout::KEYS);
        return Err(Error::format(&place, FormatError::Limit { what, limit }));
    }
    for slot in slots.iter().filter(|slot| slot.key != first_key) {
        let bytes = storage.get(&slot.key, limits::DOCUMENT).await?;
        match open(bytes).await? {
            Ok(master) => return Ok(master),
            Err(error) => note(&slot.key, error),
        }
    }
    Err(reason.unwrap_or_else(|| {
        let message = format!("cannot open the repository at {}", storage.location_text());
        Error::new(ErrorKind::Password, message).with_source(FormatError::Password)
    }))
}
