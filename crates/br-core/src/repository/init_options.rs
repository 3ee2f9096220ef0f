//! [`InitOptions`]: the options of a new repository. Invariant: an empty password is refused before anything is created.

use std::fmt;

use br_storage::StorageOptions;

use crate::error::{Error, Result};

/// The options of a new repository.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct InitOptions {
    /// The password. Without one, the repository is not encrypted.
    pub password: Option<Vec<u8>>,
    /// Options of the store.
    pub storage: StorageOptions,
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
            _ => Ok(()),
        }
    }

    /// Uses a fast key derivation, which makes password guesses cheap: for tests only.
    #[must_use]
    pub const fn with_weak_key_derivation(mut self) -> Self {
        self.weak_key_derivation = true;
        self
    }
}
