//! Changes the master key.

use super::super::{Append, Io, Layout, LogPosition, MAX_COMMIT_RACES, Repository, conflict};
use super::change::{
    add, begin, check_own, check_password, delete_slots, names_to_remove, replace, rights,
    withdraw_if_refused,
};
use super::key::describe;
use super::slots;
use super::{Key, MasterKeyChange, NewKey};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{LogEntry, MasterKey, ReadingKey};
use crate::model::KeyId;
use crate::progress::Context;

impl Repository {
    /// Encrypts everything that is written from now on with a new master key, and removes all keys but the one with this password.
    /// Existing data stays unchanged and readable.
    ///
    /// Returns the repository with the new master key. This value can no longer be used, and neither can other processes that opened
    /// the repository before: their operations fail with [`ErrorKind::Password`], and nothing is lost.
    ///
    /// # Errors
    /// [`ErrorKind::Password`] when the password is not the one that opened this repository, [`ErrorKind::Conflict`] when another process
    /// changed the master key meanwhile, [`ErrorKind::Invalid`] when the repository has 16 master keys already or the key is write-only or for
    /// a recipient, and
    /// [`ErrorKind::KeyRights`] when a write-only key or the secret key of a recipient opened the repository.
    pub async fn change_master_key(
        &self,
        new: &NewKey,
        context: &Context,
    ) -> Result<(Self, MasterKeyChange)> {
        let own = self.writable_key(context)?;
        new.check()?;
        if !self.is_write_only() {
            new.check_replacement(false)?;
        }
        let (repository, new, cloned) = (self.clone(), new.clone(), context.clone());
        let work = move |io: &Io| change_master_key(&repository, io, own, &new, &cloned);
        self.run(context, work).await
    }
}

fn change_master_key(
    repository: &Repository,
    io: &Io,
    own: KeyId,
    new: &NewKey,
    context: &Context,
) -> Result<(Repository, MasterKeyChange)> {
    let mut position = begin(io, own)?;
    if io.keyring().is_write_only() {
        return Err(rights(
            "a key that only writes cannot change the master key",
        ));
    }
    check_password(io, own, new)?;
    let runtime = &io.context.runtime;
    let master = MasterKey::new(runtime.bytes());
    let reading = ReadingKey::of_secret(runtime.bytes());
    let keys = io.keyring().changed_to(master, reading).map_err(|_| {
        Error::invalid(
            "the repository has 16 master keys, which is the limit: copy it into a new one",
        )
    })?;
    let own = leave_first_slot(io, &mut position, own, new)?;
    let changed = repository.with_keys(keys, own);
    let new_io = Io::new(&changed, context)?;
    let unfinished = add(&new_io, new, true)?;
    let logged = log_change(io, &new_io, &mut position, own, unfinished.id)?;
    let removed = withdraw_if_refused(io, unfinished.id, logged)?;
    let key = add(&new_io, new, false)?;
    let mut surplus: Vec<KeyId> = removed.iter().map(|key| key.id).collect();
    surplus.push(unfinished.id);
    delete_slots(&new_io, &surplus)?;
    delete_slots(&new_io, &outdated(&new_io)?)?;
    let report = MasterKeyChange {
        removed: removed.into_iter().filter(|key| key.id != own).collect(),
        master_keys: changed.keyring().keys().len(),
        key: Key {
            current: true,
            ..key
        },
    };
    let keys = changed.keyring().clone();
    Ok((changed.with_keys(keys, report.key.id), report))
}

/// Keys that lack the newest master key: other processes added them after the log entry was written.
fn outdated(io: &Io) -> Result<Vec<KeyId>> {
    let count = io.keyring().keys().len();
    let found = io.block(slots::read_all(io.storage(), None))?;
    let is_outdated =
        |(_, slot): &slots::Found| slot.as_ref().is_ok_and(|slot| slot.key_count() < count);
    let outdated = found.iter().filter(|found| is_outdated(found));
    Ok(outdated.map(|(id, _)| *id).collect())
}

/// Gives the key in use another name if it has the fixed name of the first key: readers try that name before they look for newer keys.
fn leave_first_slot(
    io: &Io,
    position: &mut LogPosition,
    own: KeyId,
    new: &NewKey,
) -> Result<KeyId> {
    if own != Layout::FIRST_KEY {
        return Ok(own);
    }
    let found = describe(io.block(slots::read_all(io.storage(), None))?, Some(own));
    let current = found.into_iter().find(|key| key.current);
    // With the same label: if the change is interrupted, a reader sees which of the two is the newer one.
    let mut new = new.clone();
    if let Some(current) = current {
        new.label = current.label;
    }
    Ok(replace(io, position, own, &new)?.id)
}

/// Writes the log entry that puts the new master key into use, and returns the keys that it removes. Errors as in [`log_removal`].
fn log_change(
    io: &Io,
    new_io: &Io,
    position: &mut LogPosition,
    own: KeyId,
    unfinished: KeyId,
) -> Result<Result<Vec<Key>>> {
    position.begin(io)?;
    for _ in 0..MAX_COMMIT_RACES {
        let found = io.block(slots::read_all(io.storage(), Some(unfinished)))?;
        let removed = describe(found, Some(own));
        let ids: Vec<KeyId> = removed.iter().map(|key| key.id).collect();
        let entry = LogEntry::remove_keys(names_to_remove(io, &ids)?);
        let refused = match position.append_on_full_disk(new_io, &entry) {
            Ok(Append::Done) => return Ok(Ok(removed)),
            Ok(Append::Lost(_)) => check_own(own, position).err(),
            // Another process wrote an entry that this one cannot read.
            Err(error) if error.kind() == ErrorKind::Password => {
                let message = "another process changed the master key meanwhile";
                Some(Error::new(ErrorKind::Conflict, message))
            }
            Err(error) => return Err(error),
        };
        // A checkpoint before the entry puts the new master key into use as well.
        let is_in_use = position.key_number() == new_io.keyring().current();
        match refused {
            Some(refused) if is_in_use => return Err(refused),
            Some(refused) => return Ok(Err(refused)),
            None => {}
        }
    }
    Err(conflict())
}
