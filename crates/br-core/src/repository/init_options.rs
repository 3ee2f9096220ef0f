//! [`InitOptions`]: the options of a new repository. Invariant: an empty password is refused before anything is created.

use std::fmt;

use br_storage::StorageOptions;

use super::keys::check_new_password;
use crate::error::{Error, Result};

/// The options of a new repository.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct InitOptions {
    /// The password. Without one, the repository is not encrypted.
    pub password: Option<Vec<u8>>,
    /// Options of the store.
    pub storage: StorageOptions,
    /// Allow keys that only write. Needs a password.
    pub write_only_keys: bool,
    /// Use a fast key derivation, which makes password guesses cheap: for tests only.
    pub weak_key_derivation: bool,
}

impl fmt::Debug for InitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitOptions")
            .field("encrypted", &self.password.is_some())
            .finish()
    }
}

impl InitOptions {
    /// Encrypts the repository.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<Vec<u8>>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the options of the store.
    #[must_use]
    pub fn with_storage(mut self, storage: StorageOptions) -> Self {
        self.storage = storage;
        self
    }

    /// Refuses an empty password: it protects nothing and probably comes from an unset variable.
    pub(super) fn check(&self) -> Result<()> {
        match &self.password {
            Some(password) if password.is_empty() => Err(Error::invalid(
                "the password of a new repository must not be empty",
            )),
            Some(password) => check_new_password(password),
            None if self.write_only_keys => Err(Error::invalid(
                "a repository with write-only keys needs a password",
            )),
            None => Ok(()),
        }
    }

    /// Allows keys that only write ([`NewKey::with_write_only`](crate::NewKey::with_write_only)). Then the content of every file is encrypted for
    /// those who hold a full key, and none is stored in the entries.
    #[must_use]
    pub const fn with_write_only_keys(mut self) -> Self {
        self.write_only_keys = true;
        self
    }

    /// Uses a fast key derivation, which makes password guesses cheap: for tests only.
    #[must_use]
    pub const fn with_weak_key_derivation(mut self) -> Self {
        self.weak_key_derivation = true;
        self
    }
}
