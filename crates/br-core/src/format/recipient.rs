//! Recipients of the age format: people who open a key slot with a file instead of a password (section 2).
//!
//! Without the feature `age`, br accepts no recipient and opens no slot of one. Invariant: an opened slot proves nothing about its origin,
//! because anyone who knows a recipient can encrypt for it.

use super::FormatError;

#[cfg(feature = "age")]
pub(super) use with_age::{open, recipient_of, seal};
#[cfg(not(feature = "age"))]
pub(super) use without_age::{open, recipient_of, seal};

/// Begins the secret key of a recipient.
const IDENTITY: &str = "AGE-SECRET-KEY-1";
/// Begins a recipient.
const RECIPIENT: &str = "age1";

/// True if a password is the secret key of a recipient.
pub(crate) fn is_identity(password: &[u8]) -> bool {
    let start = password.get(..IDENTITY.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(IDENTITY.as_bytes()))
}

/// True for the text of a recipient.
pub(crate) fn is_recipient(text: &str) -> bool {
    text.starts_with(RECIPIENT) && seal(text, b"").is_ok()
}

#[cfg(feature = "age")]
mod with_age {
    use std::str::FromStr as _;

    use age::x25519::{Identity, Recipient};
    use zeroize::Zeroizing;

    use super::FormatError;

    /// The recipient of a secret key.
    pub(in crate::format) fn recipient_of(identity: &[u8]) -> Option<String> {
        Some(identity_of(identity)?.to_public().to_string())
    }

    /// Encrypts a secret for a recipient. The age crate takes random bytes from the system.
    pub(in crate::format) fn seal(recipient: &str, secret: &[u8]) -> Result<Vec<u8>, FormatError> {
        let wrong = |_| FormatError::Malformed("its recipient is wrong");
        let recipient = Recipient::from_str(recipient).map_err(wrong)?;
        age::encrypt(&recipient, secret)
            .map_err(|_| FormatError::Malformed("the secret cannot be encrypted for its recipient"))
    }

    /// Decrypts a secret.
    pub(in crate::format) fn open(
        identity: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, FormatError> {
        let identity = identity_of(identity).ok_or(FormatError::Password)?;
        match age::decrypt(&identity, sealed) {
            Ok(secret) => Ok(Zeroizing::new(secret)),
            Err(age::DecryptError::NoMatchingKeys) => Err(FormatError::Password),
            Err(_) => Err(FormatError::Checksum),
        }
    }

    fn identity_of(text: &[u8]) -> Option<Identity> {
        Identity::from_str(std::str::from_utf8(text).ok()?.trim()).ok()
    }
}

#[cfg(not(feature = "age"))]
mod without_age {
    use zeroize::Zeroizing;

    use super::FormatError;

    const UNSUPPORTED: FormatError =
        FormatError::Malformed("this program was built without the feature `age`");

    /// There are no recipients.
    pub(in crate::format) fn recipient_of(_: &[u8]) -> Option<String> {
        None
    }

    /// Fails.
    pub(in crate::format) fn seal(_: &str, _: &[u8]) -> Result<Vec<u8>, FormatError> {
        Err(UNSUPPORTED)
    }

    /// Fails.
    pub(in crate::format) fn open(_: &[u8], _: &[u8]) -> Result<Zeroizing<Vec<u8>>, FormatError> {
        Err(UNSUPPORTED)
    }
}

/// A new secret key and its recipient.
#[cfg(all(test, feature = "age"))]
pub(super) fn sample() -> (String, String) {
    use age::secrecy::ExposeSecret as _;

    let identity = age::x25519::Identity::generate();
    let text = identity.to_string().expose_secret().to_owned();
    (text, identity.to_public().to_string())
}
