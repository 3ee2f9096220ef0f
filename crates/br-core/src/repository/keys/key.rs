//! Keys as values: listed, new, and changed.

use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::slots::Found;
use crate::error::{Error, Result};
use crate::format::{FormatError, KeySlot, MAX_LABEL_LEN};
use crate::model::KeyId;

/// A key of a repository: one password that opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Key {
    /// The key's name in the store.
    pub id: KeyId,
    /// Who uses the key. Chosen by a user, so escape it before it is printed.
    pub label: String,
    /// When the key was added. `None` if the key is unreadable.
    pub created: Option<Timestamp>,
    /// Memory for one password guess, in KiB.
    pub memory_kib: u32,
    /// Passes over this memory for one password guess.
    pub passes: u32,
    /// Whether this key opened the repository.
    pub current: bool,
    /// Whether a change of the master key was interrupted after it added this key.
    pub unfinished: bool,
    /// Why the key is unusable.
    pub problem: Option<String>,
}

/// A password to add.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewKey {
    pub(super) password: Zeroizing<Vec<u8>>,
    pub(super) label: String,
    pub(super) weak: bool,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

impl NewKey {
    /// A password, and a label that says who uses it. Valid UTF-8 is normalised, so that other keyboards can type the password; any other bytes
    /// are used as they are.
    #[must_use]
    pub fn new(password: impl Into<Vec<u8>>, label: impl Into<String>) -> Self {
        Self {
            password: Zeroizing::new(password.into()),
            label: label.into(),
            weak: false,
        }
    }

    /// Uses a fast key derivation, which makes password guesses cheap: for tests only.
    #[must_use]
    pub const fn with_weak_key_derivation(mut self) -> Self {
        self.weak = true;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.password.is_empty() {
            return Err(Error::invalid("the new password must not be empty"));
        }
        if self.label.is_empty() || self.label.len() > MAX_LABEL_LEN {
            let message = format!("a label has 1 to {MAX_LABEL_LEN} bytes");
            return Err(Error::invalid(message));
        }
        Ok(())
    }
}

/// What a change of the master key did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct MasterKeyChange {
    /// The only key that is left.
    pub key: Key,
    /// The keys that were removed. Their users need a new one.
    pub removed: Vec<Key>,
    /// The number of master keys in the repository, old ones included.
    pub master_keys: usize,
}

/// Keys in the order in which they were added.
pub(super) fn describe(found: Vec<Found>, own: Option<KeyId>) -> Vec<Key> {
    let mut keys: Vec<Key> = found
        .into_iter()
        .map(|(id, slot)| key(id, slot, own))
        .collect();
    keys.sort_by_key(|key| (key.created.is_none(), key.created, key.id));
    keys
}

/// A slot as a key.
pub(super) fn key(id: KeyId, slot: Result<KeySlot, FormatError>, own: Option<KeyId>) -> Key {
    let current = own == Some(id);
    match slot {
        Ok(slot) => Key {
            id,
            label: slot.label,
            created: Some(slot.created),
            memory_kib: slot.kdf.memory_kib,
            passes: slot.kdf.passes,
            current,
            unfinished: slot.unfinished,
            problem: None,
        },
        Err(error) => Key {
            id,
            label: String::new(),
            created: None,
            memory_kib: 0,
            passes: 0,
            current,
            unfinished: false,
            problem: Some(error.to_string()),
        },
    }
}
