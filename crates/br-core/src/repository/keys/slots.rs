//! Stores and lists the key slots of an encrypted repository, and tries a password on them.
//!
//! [`unlock`] finds the slot that a password opens. Invariant: no key is derived on a thread of the async runtime.

use br_storage::{Creation, ErrorKind as StorageError, Payload, Storage};
use bytes::Bytes;
use futures::StreamExt as _;
use zeroize::Zeroizing;

use super::super::open::object;
use super::super::{Layout, worker};
use crate::error::{Error, ErrorKind, Result, in_one_line};
use crate::format::{
    Cipher, FormatError, KeySlot, Keyring, ObjectKind, SlotLock, is_identity, limits, read_object,
};
use crate::model::{KeyId, escape};
use crate::runtime::Runtime;

/// Maximum slots that are fetched in parallel.
const PARALLEL: usize = 8;
/// Maximum labels in an error.
const MAX_NAMED: usize = 16;

/// Stores a key slot under the fixed name of the first one, or, if that exists, for example after an interrupted `init`, under its own
/// name. Returns the name.
pub(in crate::repository) async fn store_first(storage: &Storage, slot: &KeySlot) -> Result<KeyId> {
    let payload = Payload::from(slot.to_bytes());
    let first = Layout::key_slot(Layout::FIRST_KEY);
    match storage.create_new(&first, payload).await? {
        Creation::Created => Ok(Layout::FIRST_KEY),
        Creation::AlreadyExists => store(storage, slot).await,
    }
}

/// Stores a key slot under its name, and returns the name.
pub(in crate::repository) async fn store(storage: &Storage, slot: &KeySlot) -> Result<KeyId> {
    let id = slot.name();
    let key = Layout::key_slot(id);
    match storage
        .create_new(&key, Payload::from(slot.to_bytes()))
        .await?
    {
        Creation::Created => Ok(id),
        Creation::AlreadyExists => Err(Error::internal(format!("{key} exists already"))),
    }
}

/// A key slot and its name. The inner error says why the slot is unusable.
pub(crate) type Found = (KeyId, Result<KeySlot, FormatError>);

/// The key slots in the store, the oldest first. A person who may only create objects cannot put one before the owner's slots.
///
/// Ignores all but the oldest thousand.
pub(in crate::repository) async fn list(storage: &Storage) -> Result<Vec<KeyId>> {
    let mut objects = storage.list(Layout::KEYS).await?;
    // Of the same age, the first slot comes last: it may have been put back.
    objects.sort_by(|one, other| (one.modified, &other.key).cmp(&(other.modified, &one.key)));
    let ids = objects
        .iter()
        .filter_map(|object| Layout::id::<KeyId>(&object.key));
    Ok(ids.take(limits::LISTED_KEY_SLOTS).collect())
}

/// Reads all key slots except `known`, the oldest first.
pub(super) async fn read_all(storage: &Storage, known: Option<KeyId>) -> Result<Vec<Found>> {
    read(storage, list(storage).await?, known).await
}

/// Reads these key slots except `known`.
pub(crate) async fn read(
    storage: &Storage,
    ids: Vec<KeyId>,
    known: Option<KeyId>,
) -> Result<Vec<Found>> {
    let ids = ids.into_iter().filter(|id| Some(*id) != known);
    let requests = futures::stream::iter(ids).map(|id| async move {
        let key = Layout::key_slot(id);
        (id, storage.get(&key, limits::DOCUMENT).await)
    });
    let mut fetched = requests.buffered(PARALLEL);
    let mut found = Vec::new();
    while let Some((id, fetched)) = fetched.next().await {
        // Another process may have removed it after the listing.
        found.extend(slot_of(fetched)?.map(|slot| (id, slot)));
    }
    Ok(found)
}

/// The slot in an object; `None` if there is no object. One that is too large is unusable, and does not fail the operation.
fn slot_of(fetched: br_storage::Result<Bytes>) -> Result<Option<Result<KeySlot, FormatError>>> {
    match fetched {
        Ok(bytes) => Ok(Some(KeySlot::from_bytes(&bytes))),
        Err(error) if error.kind() == StorageError::NotFound => Ok(None),
        Err(error) if error.kind() == StorageError::TooLarge => {
            let (what, limit) = ("bytes in a key slot", limits::DOCUMENT);
            Ok(Some(Err(FormatError::Limit { what, limit })))
        }
        Err(error) => Err(error.into()),
    }
}

/// Runs `work`, which derives a key from the password. Key derivation is slow on purpose, so it runs on a thread outside the async
/// runtime.
pub(in crate::repository) async fn derive<T: Send + 'static>(
    config: &[u8],
    password: &[u8],
    work: impl FnOnce(&[u8], &[u8]) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (config, password) = (config.to_vec(), Zeroizing::new(password.to_vec()));
    worker::finish(&mut worker::start(move || work(&config, &password))?).await
}

/// Makes a slot with these master keys. With a password it derives a key, so it must not run on a thread of the async runtime.
pub(in crate::repository) fn make(
    keys: &Keyring,
    config: &[u8],
    lock: SlotLock<'_>,
    (label, unfinished): (&str, bool),
    runtime: &Runtime,
) -> Result<KeySlot> {
    let made = (label, runtime.clock.now(), unfinished);
    let random = (runtime.bytes(), runtime.bytes());
    let slot = KeySlot::wrap(keys, config, lock, made, random);
    slot.map_err(|error| Error::format("a new key slot", error))
}

/// Opens a slot with a password. The inner error says that the password does not open it, or why it is unusable.
pub(in crate::repository) async fn open(
    slot: KeySlot,
    config: &[u8],
    password: &[u8],
) -> Result<Result<Keyring, FormatError>> {
    let work = move |config: &[u8], password: &[u8]| Ok(slot.unwrap_keys(config, password));
    derive(config, password, work).await
}

/// The first key slot, as `open` fetched it.
pub(in crate::repository) type FirstSlot = br_storage::Result<Bytes>;

/// Finds the slot that a password opens. Returns its name and the master keys. The caller fetched the first slot and the list already.
///
/// The password may open several slots: interrupted changes of the master key leave some, and a removed slot can be put back. The one with
/// the most master keys is current. Of several unfinished ones, each with another newest master key, the log decides; so it does of several
/// slots of a recipient, because anyone can make one with invented keys.
pub(in crate::repository) async fn unlock(
    storage: &Storage,
    first: FirstSlot,
    listed: Vec<KeyId>,
    (cipher, config): (Cipher, &[u8]),
    password: &[u8],
) -> Result<(KeyId, Keyring)> {
    let is_identity = is_identity(password);
    let mut attempt = Attempt::new(storage, config, password);
    let mut tried = None;
    // If there is no other slot, it is current. The age says nothing: on a disk, a person with write access can set it.
    if let Some(slot) = slot_of(first)?
        && listed.iter().all(|id| *id == Layout::FIRST_KEY)
    {
        if let Some(opened) = attempt.try_slot((Layout::FIRST_KEY, slot)).await? {
            return Ok(opened);
        }
        tried = Some(Layout::FIRST_KEY);
    }
    let mut best: Vec<(KeyId, Keyring)> = Vec::new();
    // The best slot, if it is finished.
    let mut finished: Option<KeySlot> = None;
    for (id, slot) in read(storage, listed, tried).await? {
        let found = slot.as_ref().ok();
        let count = found.map_or(0, KeySlot::key_count);
        let found = found.filter(|slot| !slot.unfinished).cloned();
        let most = best.first().map_or(0, |(_, keys)| keys.keys().len());
        let is_first = best.first().is_some_and(|(id, _)| *id == Layout::FIRST_KEY);
        let replaces = |best: &KeySlot| {
            let found = found.as_ref();
            found.is_some_and(|found| found.replaces(best, is_first))
        };
        let is_older = count < most
            || (count == most && finished.as_ref().is_some_and(|best| !replaces(best)));
        if is_older && !is_identity {
            continue;
        }
        if attempt.labels.len() >= limits::TRIED_KEY_SLOTS {
            break;
        }
        if let Some(opened) = attempt.try_slot((id, slot)).await? {
            // A finished slot was stored after the log had its newest master key.
            if !is_identity && (count > most || found.is_some()) {
                best.clear();
            }
            finished = found;
            best.push(opened);
        }
    }
    if best.len() > 1 {
        return of_log(storage, cipher, best).await;
    }
    best.pop().ok_or_else(|| attempt.failed())
}

/// Of several keyrings, the one that reads the newest log entry.
async fn of_log(
    storage: &Storage,
    cipher: Cipher,
    mut found: Vec<(KeyId, Keyring)>,
) -> Result<(KeyId, Keyring)> {
    let log = storage.keys_after(Layout::LOG, "").await?;
    let newest = log.iter().filter_map(|key| Layout::log_seq(key)).max();
    let mut at = 0;
    if let Some(newest) = newest {
        let entry = storage.get(&Layout::log(newest), limits::LOG_ENTRY).await?;
        let reads = |(_, keys): &(KeyId, Keyring)| {
            let (kind, limit) = (ObjectKind::Log, limits::LOG_ENTRY);
            read_object::<1>(keys, cipher, kind, &entry, limit).is_ok()
        };
        // If none reads it, reading the log returns the reason.
        at = found.iter().position(reads).unwrap_or_default();
    }
    Ok(found.swap_remove(at))
}

/// A password that is tried on one slot after the other.
struct Attempt<'a> {
    storage: &'a Storage,
    config: &'a [u8],
    password: &'a [u8],
    /// Labels of the slots that another password opens.
    labels: Vec<String>,
    /// Why a slot is unusable: the first reason.
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
            Err(error) => {
                let key = object(self.storage, &Layout::key_slot(id));
                self.unusable
                    .get_or_insert_with(|| Error::format(&key, error));
            }
        }
        Ok(None)
    }

    fn failed(self) -> Error {
        let place = self.storage.location_text();
        if self.labels.is_empty() {
            return self.unusable.unwrap_or_else(|| {
                let place = object(self.storage, Layout::KEYS);
                Error::damaged(format!("there is no key slot below {place}"))
            });
        }
        let mut message = format!("cannot open the repository at {place}");
        if self.labels.len() > 1 {
            let mut labels: Vec<&String> = Vec::new();
            for label in &self.labels {
                if !labels.contains(&label) {
                    labels.push(label);
                }
            }
            let named = labels.iter().take(MAX_NAMED);
            let named = named.map(|label| format!("`{}`", escape(label.as_bytes())));
            let many = if labels.len() == 1 { "label" } else { "labels" };
            message.push_str(&format!(", which has keys with the {many} "));
            message.push_str(&named.collect::<Vec<_>>().join(", "));
            if let Some(more @ 1..) = labels.len().checked_sub(MAX_NAMED) {
                message.push_str(&format!(" and {more} more"));
            }
        }
        if self.labels.len() >= limits::TRIED_KEY_SLOTS {
            let tried = limits::TRIED_KEY_SLOTS;
            message.push_str(&format!("; br tried only the {tried} oldest keys"));
        }
        // It may be the slot of this password.
        if let Some(unusable) = self.unusable {
            message.push_str(&format!("; a key is unusable: {}", in_one_line(&unusable)));
        }
        Error::new(ErrorKind::Password, message).with_source(FormatError::Password)
    }
}

#[cfg(all(test, feature = "age"))]
mod tests {
    use super::*;
    use crate::format::MasterKey;
    use crate::progress::Context;
    use crate::repository::{InitOptions, Io, LogPosition, Repository};

    const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    const IDENTITY: &[u8] =
        b"AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

    /// A person who knows the recipient and may create objects makes slots with other master keys.
    #[tokio::test(flavor = "multi_thread")]
    async fn identity_opens_the_slot_that_reads_the_log_among_forged_ones() {
        let context = Context::system();
        let mut options = InitOptions::default().with_password(*b"password");
        options.weak_key_derivation = true;
        let storage = Storage::memory();
        let repository = Repository::init_storage(storage.clone(), &options, &context).await;
        let repository = repository.unwrap();
        let config = storage.get(Layout::CONFIG, limits::DOCUMENT).await.unwrap();
        let add = async |keys: &Keyring| {
            let lock = SlotLock::Recipient(RECIPIENT);
            let slot = make(keys, &config, lock, ("safe", false), &context.runtime);
            store(&storage, &slot.unwrap()).await.unwrap()
        };
        let invented = |count| {
            let keys = (0..count).map(|_| MasterKey::new(context.runtime.bytes()));
            Keyring::new(keys.collect(), Vec::new()).unwrap()
        };
        add(&invented(1)).await;
        add(&invented(2)).await;
        let genuine = add(repository.keyring()).await;
        add(&invented(1)).await;
        add(&invented(2)).await;
        let begin = |io: &Io| LogPosition::read(io)?.begin(io);
        repository.run(&context, begin).await.unwrap();
        let opened = Repository::open_storage(storage.clone(), Some(IDENTITY)).await;
        let opened = opened.unwrap();
        assert_eq!(opened.opened_by(), Some(genuine));
        assert!(opened.backups(&context).await.unwrap().is_empty());
    }
}
