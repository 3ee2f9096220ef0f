//! Lists, adds, removes and replaces keys.

use br_storage::{Location, StorageOptions};

use super::super::{
    Append, Io, Layout, LogPosition, MAX_COMMIT_RACES, Repository, conflict, give_up_reserve,
};
use super::key::{OpenedBy, describe, key};
use super::slots::{self, Found};
use super::{Key, NewKey};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{KeySlot, LogEntry, ReadingHalf, limits};
use crate::model::{KeyId, escape};
use crate::progress::Context;

/// Room for the keys that changes add at the same time.
const ROOM: usize = 8;

impl Repository {
    /// Lists the keys of the repository at a location, oldest first, without a password.
    ///
    /// Requests: one for `br.json`, a listing, and one for each key.
    ///
    /// # Errors
    /// As [`Repository::open`] without a password, but [`ErrorKind::NotEncrypted`] when the repository is not encrypted.
    pub async fn list_keys(location: &Location, options: &StorageOptions) -> Result<Vec<Key>> {
        let (storage, config) = Self::read_config(location, options).await?;
        if config.cipher == crate::format::Cipher::None {
            return Err(without_keys(storage.location_text()));
        }
        Ok(describe(slots::read_all(&storage, None).await?, None))
    }

    /// The keys of this repository, oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::NotEncrypted`], and errors of the store.
    pub async fn keys(&self) -> Result<Vec<Key>> {
        let own = self.own_key()?;
        Ok(describe(
            slots::read_all(self.storage(), None).await?,
            Some(own),
        ))
    }

    /// Adds a password. The label must be unused.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the password is empty or another key has it, the recipient is wrong or another key has it, the label is empty, too long or used, the repository has 32 usable
    /// keys already, or it can have no write-only keys; [`ErrorKind::KeyRights`] when a write-only key opened the repository and the new key is none;
    /// [`ErrorKind::Conflict`] when another process changed the master key meanwhile; [`ErrorKind::NotEncrypted`]; [`ErrorKind::Password`] when another process removed the key that opened this repository.
    pub async fn add_key(&self, new: &NewKey, context: &Context) -> Result<Key> {
        new.check()?;
        let own = self.writable_key(context)?;
        let new = new.clone();
        let work = move |io: &Io| {
            let position = begin(io, own)?;
            check_rights(io, &new)?;
            let found = io.block(slots::read_all(io.storage(), None))?;
            check_room(&found, limits::KEY_SLOTS)?;
            check_label(&found, &new.label)?;
            check_other_passwords(io, found, &new)?;
            let key = store(io, &new, false)?;
            check_in_use(io, position, key.id)?;
            Ok(key)
        };
        self.run(context, work).await
    }

    /// Removes a key, given by its label or the start of its id: its password no longer opens the repository. An earlier copy of the
    /// key slot still opens it; [`Repository::change_master_key`] makes the copy useless for later backups.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when there is no such key, there are several, or it is the key that opened this repository;
    /// [`ErrorKind::KeyRights`] when a write-only key opened the repository and this key is none.
    pub async fn remove_key(&self, which: &str, context: &Context) -> Result<Key> {
        let own = self.writable_key(context)?;
        let which = which.to_owned();
        let work = move |io: &Io| {
            let mut position = begin(io, own)?;
            let found = io.block(slots::read_all(io.storage(), None))?;
            let key = find(describe(found, Some(own)), &which)?;
            if key.current {
                let message = format!("`{which}` is the key that opened the repository");
                return Err(Error::invalid(message));
            }
            if io.keyring().is_write_only() && !key.write_only {
                return Err(rights("a key that only writes can remove only such keys"));
            }
            log_removal(io, &mut position, own, &[key.id])??;
            delete_slots(io, &[key.id])?;
            Ok(key)
        };
        self.run(context, work).await
    }

    /// Replaces the password that opened this repository by another one. Removes all keys with the old key's label. The new password works
    /// before the old one stops working.
    ///
    /// Returns the repository, opened with the new password. With this value, backups continue to work, and changes of keys fail with
    /// [`ErrorKind::Password`].
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the password is empty or that of another key, or the new key would have fewer rights; [`ErrorKind::KeyRights`] when the secret key of a recipient opened the repository,
    /// [`ErrorKind::NotEncrypted`], and [`ErrorKind::Password`] as [`Repository::add_key`].
    pub async fn change_password(&self, new: &NewKey, context: &Context) -> Result<(Self, Key)> {
        let own = self.writable_key(context)?;
        new.check()?;
        new.check_replacement(self.is_write_only())?;
        let new = new.clone();
        let work = move |io: &Io| {
            let mut position = begin(io, own)?;
            let mut others = io.block(slots::read_all(io.storage(), None))?;
            let replaced = same_label(io, own)?;
            // The key may be there already, after an interrupted change.
            let is_write_only = io.keyring().is_write_only();
            let is_same = |slot: &KeySlot| {
                slot.label == new.label
                    && (slot.reading == Some(ReadingHalf::Public)) == is_write_only
            };
            others.retain(|(id, slot)| !replaced.contains(id) && !slot.as_ref().is_ok_and(is_same));
            check_other_passwords(io, others, &new)?;
            replace(io, &mut position, own, &new)
        };
        let key = self.run(context, work).await?;
        Ok((self.with_keys(self.keyring().clone(), key.id), key))
    }

    fn own_key(&self) -> Result<KeyId> {
        self.opened_by()
            .ok_or_else(|| without_keys(self.location()))
    }

    pub(super) fn writable_key(&self, context: &Context) -> Result<KeyId> {
        let own = self.own_key()?;
        self.check_writable(context)?;
        Ok(own)
    }
}

fn without_keys(location: &str) -> Error {
    let message = format!("the repository at {location} is not encrypted, so it has no keys");
    Error::new(ErrorKind::NotEncrypted, message)
}

pub(super) fn rights(message: &str) -> Error {
    Error::new(ErrorKind::KeyRights, message)
}

/// Fails if the new key would have rights that the key in use lacks, or that no key of the repository can have.
fn check_rights(io: &Io, new: &NewKey) -> Result<()> {
    let keys = io.keyring();
    if new.write_only && keys.reading_keys().is_empty() {
        return Err(Error::invalid(
            "the repository cannot have write-only keys: only `init` can allow them, so copy the backups into a new repository",
        ));
    }
    if keys.is_write_only() && !new.write_only {
        return Err(rights("a key that only writes can add only such keys"));
    }
    Ok(())
}

/// Reads the log for a change of the keys, and deletes removed keys that are still there.
pub(super) fn begin(io: &Io, own: KeyId) -> Result<LogPosition> {
    let position = LogPosition::read(io)?;
    let has_write_only_keys = !io.keyring().reading_keys().is_empty();
    if has_write_only_keys {
        // Before the deletion: a write-only key can write that all others are removed. The last full key must stay.
        check_own(own, &position)?;
    }
    let objects = io.list(Layout::KEYS)?;
    let ids = objects
        .iter()
        .filter_map(|object| Layout::id::<KeyId>(&object.key));
    let left: Vec<KeyId> = ids
        .filter(|id| position.state.keys_removed.contains(id))
        .collect();
    if io.keyring().is_write_only() {
        let left = describe(io.block(slots::read(io.storage(), left, None))?, None);
        let write_only = left.iter().filter(|key| key.write_only);
        delete_slots(io, &write_only.map(|key| key.id).collect::<Vec<_>>())?;
    } else {
        delete_slots(io, &left)?;
    }
    // After the deletion: another key may have the same password, and the next attempt opens that one.
    check_own(own, &position)?;
    Ok(position)
}

/// Fails if the key that opened the repository was removed: to continue could remove the last key.
pub(super) fn check_own(own: KeyId, position: &LogPosition) -> Result<()> {
    if position.state.keys_removed.contains(&own) {
        let message = "the key that opened the repository was removed or replaced since";
        return Err(Error::new(ErrorKind::Password, message));
    }
    Ok(())
}

/// Fails if there are too many keys. Also fails if there are too many other objects: readers look at the oldest thousand only, and a new key
/// would come after them.
fn check_room(found: &[Found], limit: usize) -> Result<()> {
    if found.len() >= limits::LISTED_KEY_SLOTS - ROOM {
        let message = format!(
            "there are too many objects below {} for a new key: remove those that are no keys",
            Layout::KEYS
        );
        return Err(Error::invalid(message));
    }
    let usable = found.iter().filter(|(_, slot)| slot.is_ok()).count();
    if usable >= limit {
        let message = format!(
            "the repository has {usable} keys, and {} is the limit: remove keys that are not needed",
            limits::KEY_SLOTS
        );
        return Err(Error::invalid(message));
    }
    Ok(())
}

fn check_label(found: &[Found], label: &str) -> Result<()> {
    let is_used = |(_, slot): &Found| slot.as_ref().is_ok_and(|slot| slot.label == label);
    if found.iter().any(is_used) {
        let label = escape(label.as_bytes());
        return Err(Error::invalid(format!(
            "there is a key with the label `{label}`: choose another label, or remove that key first"
        )));
    }
    Ok(())
}

/// Fails if a key has this password already: the removal of one of the two keys would not make the password useless.
fn check_other_passwords(io: &Io, found: Vec<Found>, new: &NewKey) -> Result<()> {
    let config = io.repository.config_bytes();
    for slot in found.into_iter().filter_map(|(_, slot)| slot.ok()) {
        let label = slot.label.clone();
        let (is_same, what) = match &new.opened_by {
            OpenedBy::Recipient(one) => (slot.recipient.as_ref() == Some(one), "recipient"),
            OpenedBy::Password(password) => {
                let opened = io.block(slots::open(slot, config, password))?;
                (opened.is_ok(), "password")
            }
        };
        if is_same {
            let label = escape(label.as_bytes());
            return Err(Error::invalid(format!(
                "the key `{label}` has this {what} already"
            )));
        }
    }
    Ok(())
}

/// Fails if another process changed the master key since the position was read, and deletes the new key: it has only the old master keys.
fn check_in_use(io: &Io, mut position: LogPosition, new: KeyId) -> Result<()> {
    match position.refresh(io) {
        Err(error) if error.kind() == ErrorKind::Password => {
            delete_slots(io, &[new])?;
            let message = "another process changed the master key meanwhile: the key was not added";
            Err(Error::new(ErrorKind::Conflict, message).with_source(error))
        }
        other => other.map(drop),
    }
}

/// Stores a key for a change that removes others. Readers try the oldest keys, so it must not come after too many others.
pub(super) fn add(io: &Io, new: &NewKey, unfinished: bool) -> Result<Key> {
    let found = io.block(slots::read_all(io.storage(), None))?;
    check_room(&found, limits::TRIED_KEY_SLOTS - ROOM)?;
    store(io, new, unfinished)
}

/// Stores a key with the master keys in use, and makes sure that its password opens it. The caller must have checked that there is room.
fn store(io: &Io, new: &NewKey, unfinished: bool) -> Result<Key> {
    let keys = if unfinished {
        io.keyring().clone()
    } else {
        let in_use = io.keyring().in_use();
        in_use.map_err(|error| Error::format("a new key slot", error))?
    };
    let keys = if new.write_only {
        keys.write_only()
    } else {
        keys
    };
    let runtime = &io.context.runtime;
    let (config, made) = (io.repository.config_bytes(), (&*new.label, unfinished));
    let slot = slots::make(&keys, config, new.lock(), made, runtime)?;
    let create = || io.block(slots::store(io.storage(), &slot));
    let id = match create() {
        Err(error) if error.kind() == ErrorKind::Full && give_up_reserve(io) => create(),
        stored => stored,
    }?;
    match new.opened_by {
        OpenedBy::Password(_) => check_password(io, id, new)?,
        OpenedBy::Recipient(_) => check_stored(io, id, &slot)?,
    }
    Ok(key(id, Ok(slot), None))
}

/// Adds a key and removes the one that opened the repository, with all keys that have its label: an interrupted change of the password may have left one.
pub(super) fn replace(
    io: &Io,
    position: &mut LogPosition,
    own: KeyId,
    new: &NewKey,
) -> Result<Key> {
    let key = add(io, new, false)?;
    let old = same_label(io, own)?;
    let old: Vec<KeyId> = old.into_iter().filter(|id| *id != key.id).collect();
    let logged = log_removal(io, position, own, &old)?;
    withdraw_if_refused(io, key.id, logged)?;
    delete_slots(io, &old)?;
    Ok(Key {
        current: true,
        ..key
    })
}

/// A key, and all others with its label.
fn same_label(io: &Io, own: KeyId) -> Result<Vec<KeyId>> {
    let found = describe(io.block(slots::read_all(io.storage(), None))?, Some(own));
    let label = found
        .iter()
        .find(|key| key.current)
        .map(|key| key.label.clone());
    // A write-only key may have taken the label of a full one.
    let may_remove = |key: &Key| key.write_only || !io.keyring().is_write_only();
    let has_label =
        |key: &Key| key.problem.is_none() && Some(&key.label) == label.as_ref() && may_remove(key);
    let others = found.iter().filter(|key| !key.current && has_label(key));
    Ok([own].into_iter().chain(others.map(|key| key.id)).collect())
}

/// Writes the log entry that removes keys. The inner error means that the entry was certainly not written. After the outer error that is
/// unknown.
fn log_removal(
    io: &Io,
    position: &mut LogPosition,
    own: KeyId,
    keys: &[KeyId],
) -> Result<Result<()>> {
    let names = names_to_remove(io, keys)?;
    position.begin(io)?;
    for _ in 0..MAX_COMMIT_RACES {
        let entry = LogEntry::remove_keys(names.clone());
        if let Append::Done = position.append_on_full_disk(io, &entry)? {
            return Ok(Ok(()));
        }
        if let Err(refused) = check_own(own, position) {
            return Ok(Err(refused));
        }
    }
    Ok(Err(conflict()))
}

/// The names that the log must say are removed. The first slot can be put back under its own name, too.
pub(super) fn names_to_remove(io: &Io, keys: &[KeyId]) -> Result<Vec<KeyId>> {
    let mut names = keys.to_vec();
    if keys.contains(&Layout::FIRST_KEY) {
        let found = io.block(slots::read(io.storage(), vec![Layout::FIRST_KEY], None))?;
        names.extend(found.iter().flat_map(|(_, slot)| slot).map(KeySlot::name));
    }
    Ok(names)
}

/// Deletes a key that was added for a change that the log refused. Best effort: the key opens nothing that its password does not open
/// already. Not after other errors: if the entry was written, this may be the only usable key.
pub(super) fn withdraw_if_refused<T>(io: &Io, key: KeyId, logged: Result<T>) -> Result<T> {
    if logged.is_err() {
        let _ = delete_slots(io, &[key]);
    }
    logged
}

pub(super) fn delete_slots(io: &Io, keys: &[KeyId]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let keys = keys.iter().map(|key| Layout::key_slot(*key)).collect();
    match io.delete_all(keys)?.into_iter().next() {
        None => Ok(()),
        Some((_, error)) => Err(error.into()),
    }
}

/// Makes sure that a stored key opens with this password.
pub(super) fn check_password(io: &Io, id: KeyId, new: &NewKey) -> Result<()> {
    let key = Layout::key_slot(id);
    let stored = match io.block(io.storage().get(&key, limits::DOCUMENT)) {
        Ok(stored) => stored,
        Err(error) => {
            // Another process may have removed the key since the log was read.
            check_own(id, &LogPosition::read(io)?)?;
            return Err(error);
        }
    };
    let OpenedBy::Password(password) = &new.opened_by else {
        return Err(rights("the key in use needs a password"));
    };
    let opened = KeySlot::from_bytes(&stored)
        .and_then(|slot| slot.unwrap_keys(io.repository.config_bytes(), password));
    opened.map(drop).map_err(|error| Error::format(&key, error))
}

/// Makes sure that the store has the slot of a recipient, which only the recipient can open.
fn check_stored(io: &Io, id: KeyId, slot: &KeySlot) -> Result<()> {
    let key = Layout::key_slot(id);
    let stored = io.block(io.storage().get(&key, limits::DOCUMENT))?;
    if stored == slot.to_bytes() {
        return Ok(());
    }
    Err(Error::damaged(format!("{key} is not as it was written")))
}

/// The key with this label, or whose id begins with these digits.
fn find(keys: Vec<Key>, which: &str) -> Result<Key> {
    let shown = escape(which.as_bytes());
    let has_id = |key: &Key| which.len() >= 4 && key.id.to_string().starts_with(which);
    let mut found: Vec<Key> = keys
        .into_iter()
        .filter(|key| (key.problem.is_none() && key.label == which) || has_id(key))
        .collect();
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(Error::invalid(format!("there is no key `{shown}`"))),
        _ => Err(Error::invalid(format!(
            "there are several keys `{shown}`: use an id"
        ))),
    }
}
