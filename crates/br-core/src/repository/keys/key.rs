//! Keys as values: listed, new, and changed.

use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::slots::Found;
use crate::error::{Error, Result};
use crate::format::{
    FormatError, KdfCost, KeySlot, MAX_LABEL_LEN, ReadingHalf, SlotLock, is_identity, is_recipient,
};
use crate::model::KeyId;

/// A key of a repository: one password, or one recipient, that opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Key {
    /// The key's name in the store.
    pub id: KeyId,
    /// Who uses the key. Chosen by a user, so escape it before it is printed.
    pub label: String,
    /// When the key was added. `None` if the key is unreadable.
    pub created: Option<Timestamp>,
    /// Memory for one password guess, in KiB; 0 for a recipient.
    pub memory_kib: u32,
    /// Passes over this memory for one password guess; 0 for a recipient.
    pub passes: u32,
    /// The recipient of the age format who opens the repository instead of a password.
    pub recipient: Option<String>,
    /// Whether the key only writes: it makes backups and cannot read the content of files.
    pub write_only: bool,
    /// Whether this key opened the repository.
    pub current: bool,
    /// Whether a change of the master key was interrupted after it added this key.
    pub unfinished: bool,
    /// Why the key is unusable.
    pub problem: Option<String>,
}

/// A key to add.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewKey {
    pub(super) opened_by: OpenedBy,
    pub(super) label: String,
    pub(super) write_only: bool,
    weak: bool,
}

/// What opens a new key.
#[derive(Clone)]
pub(super) enum OpenedBy {
    Password(Zeroizing<Vec<u8>>),
    Recipient(String),
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
            opened_by: OpenedBy::Password(Zeroizing::new(password.into())),
            label: label.into(),
            write_only: false,
            weak: false,
        }
    }

    /// A recipient of the age format, `age1…`, whose secret key opens the repository in place of a password, and a label. Such a key only reads:
    /// anyone who knows a recipient and may write to the store can make one, with master keys of their own.
    #[must_use]
    pub fn for_recipient(recipient: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            opened_by: OpenedBy::Recipient(recipient.into()),
            label: label.into(),
            write_only: false,
            weak: false,
        }
    }

    /// Makes a key that only writes. The repository must have reading keys ([`InitOptions::with_write_only_keys`](crate::InitOptions::with_write_only_keys)).
    #[must_use]
    pub const fn with_write_only(mut self) -> Self {
        self.write_only = true;
        self
    }

    /// Uses a fast key derivation, which makes password guesses cheap: for tests only.
    #[must_use]
    pub const fn with_weak_key_derivation(mut self) -> Self {
        self.weak = true;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        match &self.opened_by {
            OpenedBy::Password(password) => check_new_password(password)?,
            OpenedBy::Recipient(_) if self.write_only => {
                let message = "a key for a recipient cannot be write-only: it only reads";
                return Err(Error::invalid(message));
            }
            OpenedBy::Recipient(recipient) if is_recipient(recipient) => {}
            OpenedBy::Recipient(_) => {
                let message =
                    "a recipient is a public key that `age-keygen` printed, such as age1…";
                return Err(Error::invalid(message));
            }
        }
        if self.label.is_empty() || self.label.len() > MAX_LABEL_LEN {
            let message = format!("a label has 1 to {MAX_LABEL_LEN} bytes");
            return Err(Error::invalid(message));
        }
        Ok(())
    }

    /// Fails if the key has fewer rights than the key in use, which it is to replace.
    pub(super) fn check_replacement(&self, is_write_only: bool) -> Result<()> {
        let lost = match &self.opened_by {
            OpenedBy::Recipient(_) => {
                "a key for a recipient cannot replace a password: it only reads"
            }
            OpenedBy::Password(_) if self.write_only && !is_write_only => {
                "a write-only key cannot replace a full one: then no key could read the content of files"
            }
            OpenedBy::Password(_) => return Ok(()),
        };
        Err(Error::invalid(format!("{lost}; add it as a further key")))
    }

    /// What opens the slot.
    pub(super) fn lock(&self) -> SlotLock<'_> {
        match &self.opened_by {
            OpenedBy::Password(password) => SlotLock::Password(password, KdfCost::new(self.weak)),
            OpenedBy::Recipient(recipient) => SlotLock::Recipient(recipient),
        }
    }
}

/// Refuses an empty password, and a secret key in place of a recipient.
pub(in crate::repository) fn check_new_password(password: &[u8]) -> Result<()> {
    if password.is_empty() {
        return Err(Error::invalid("the new password must not be empty"));
    }
    if is_identity(password) {
        let message = "this is the secret key of a recipient, not a password: add a key for its recipient, age1…";
        return Err(Error::invalid(message));
    }
    Ok(())
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
            memory_kib: slot.kdf.as_ref().map_or(0, |kdf| kdf.memory_kib),
            passes: slot.kdf.as_ref().map_or(0, |kdf| kdf.passes),
            write_only: slot.reading == Some(ReadingHalf::Public),
            recipient: slot.recipient,
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
            recipient: None,
            write_only: false,
            current,
            unfinished: false,
            problem: Some(error.to_string()),
        },
    }
}
