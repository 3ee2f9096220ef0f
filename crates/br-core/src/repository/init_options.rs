//! How a new repository is made: [`InitOptions`]. Invariant: an empty password is refused before anything is made.

use std::fmt;

use br_storage::StorageOptions;

use crate::error::{Error, Result};

/// How a new repository is made.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct InitOptions {
    /// With a password the repository is encrypted; without one it is in the clear.
    pub password: Option<Vec<u8>>,
    /// How the store is used.
    pub storage: StorageOptions,
    /// A password guess may be cheap: for tests only.
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

    /// Says how the store is used.
    #[must_use]
    pub fn with_storage(mut self, storage: StorageOptions) -> Self {
        self.storage = storage;
        self
    }

    /// An empty password protects nothing; most likely it comes from a variable that was not set.
    pub(super) fn check(&self) -> Result<()> {
        match &self.password {
            Some(password) if password.is_empty() => Err(Error::invalid(
                "the password of a new repository must not be empty",
            )),
            _ => Ok(()),
        }
    }

    /// Makes a password guess cheap: for tests only.
    #[must_use]
    pub const fn with_weak_key_derivation(mut self) -> Self {
        self.weak_key_derivation = true;
        self
    }
}
