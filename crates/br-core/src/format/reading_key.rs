//! Reading keys: key pairs that encrypt and decrypt the content of files (section 2).
//!
//! The public half of a [`ReadingKey`] encrypts, the secret half decrypts. Invariant: a key without its secret half opens no content, not
//! even the content that it encrypted.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use blake3::Hasher;
use zeroize::Zeroizing;

use super::envelope::ObjectKind;
use super::keyring::{ObjectKey, aes_key};
use super::{Cipher, FormatError};
use crate::model::{ObjectId, PackId};

/// Length of each half of a reading key.
pub(super) const READING_KEY_LEN: usize = 32;

/// The public half of a key pair that was made for one pack, and whose secret half no longer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SenderKey(pub(crate) [u8; READING_KEY_LEN]);

/// What a reader needs to find the key of a pack's groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PackSeal {
    pub(crate) id: PackId,
    /// Present if the groups are encrypted for a reading key.
    pub(crate) sender: Option<SenderKey>,
}

impl PackSeal {
    /// For the footer of a pack, which is never encrypted for a reading key.
    pub(crate) const fn of_footer(id: PackId) -> Self {
        Self { id, sender: None }
    }
}

/// A key pair for the content of files. The secret half may be missing.
#[derive(Clone)]
pub(crate) struct ReadingKey {
    public: [u8; READING_KEY_LEN],
    secret: Option<Zeroizing<[u8; READING_KEY_LEN]>>,
}

impl std::fmt::Debug for ReadingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadingKey(..)")
    }
}

impl ReadingKey {
    /// The key pair with this secret half: 32 random bytes.
    pub(crate) fn of_secret(secret: [u8; READING_KEY_LEN]) -> Self {
        let secret = Zeroizing::new(secret);
        Self {
            public: public_half(&private_key(&secret)),
            secret: Some(secret),
        }
    }

    /// The public half of a key pair.
    pub(crate) const fn of_public(public: [u8; READING_KEY_LEN]) -> Self {
        Self {
            public,
            secret: None,
        }
    }

    /// The key without its secret half.
    pub(crate) const fn public_only(&self) -> Self {
        Self::of_public(self.public)
    }

    pub(crate) const fn public(&self) -> &[u8; READING_KEY_LEN] {
        &self.public
    }

    pub(crate) fn secret(&self) -> Option<&[u8; READING_KEY_LEN]> {
        self.secret.as_deref()
    }

    /// Makes the key for the groups of a new pack. `random` must be fresh random bytes.
    pub(super) fn seal(
        &self,
        id: ObjectId,
        random: [u8; READING_KEY_LEN],
    ) -> Result<(ObjectKey, SenderKey), FormatError> {
        let own = private_key(&Zeroizing::new(random));
        let sender = SenderKey(public_half(&own));
        let key = self.content_key(&own, &self.public, sender, id)?;
        Ok((key, sender))
    }

    /// Finds the key for the groups of a pack.
    pub(super) fn open(&self, id: ObjectId, sender: SenderKey) -> Result<ObjectKey, FormatError> {
        let secret = self.secret.as_ref().ok_or(FormatError::WriteOnly)?;
        self.content_key(&private_key(secret), &sender.0, sender, id)
    }

    fn content_key(
        &self,
        own: &PrivateKey,
        other: &[u8; READING_KEY_LEN],
        sender: SenderKey,
        id: ObjectId,
    ) -> Result<ObjectKey, FormatError> {
        let refused = FormatError::Malformed("its sender key is unusable");
        agreement::agree(
            own,
            UnparsedPublicKey::new(&X25519, other),
            refused,
            |shared| {
                let mut hasher = Hasher::new_derive_key("br repository v1 content key");
                hasher
                    .update(shared)
                    .update(&sender.0)
                    .update(&self.public)
                    .update(&[ObjectKind::Pack.byte()])
                    .update(id.as_bytes());
                let key = Zeroizing::new(*hasher.finalize().as_bytes());
                Ok(ObjectKey::Aes256Gcm(Box::new(aes_key(&key))))
            },
        )
    }
}

/// Refuses a pack for readers in an unencrypted repository.
pub(super) fn check_cipher(cipher: Cipher) -> Result<(), FormatError> {
    match cipher {
        Cipher::Aes256Gcm => Ok(()),
        Cipher::None => Err(FormatError::Malformed(
            "it is encrypted for readers, and the repository is not encrypted",
        )),
    }
}

fn private_key(secret: &[u8; READING_KEY_LEN]) -> PrivateKey {
    PrivateKey::from_private_key(&X25519, secret).expect("any 32 bytes are a key of X25519")
}

fn public_half(key: &PrivateKey) -> [u8; READING_KEY_LEN] {
    let public = key
        .compute_public_key()
        .expect("every private key of X25519 has a public key");
    let mut out = [0; READING_KEY_LEN];
    out.copy_from_slice(public.as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ObjectId = ObjectId([9; 16]);

    fn opened(reader: &ReadingKey, sender: SenderKey, sealed: &[u8]) -> Option<Vec<u8>> {
        let key = reader.open(ID, sender).ok()?;
        key.open(0, b"aad", sealed).ok().map(Into::into)
    }

    #[test]
    fn only_the_secret_half_opens_what_the_public_half_sealed() {
        let reader = ReadingKey::of_secret([1; 32]);
        let writer = ReadingKey::of_public(*reader.public());
        let (key, sender) = writer.seal(ID, [7; 32]).unwrap();
        let mut sealed = b"content".to_vec();
        let tag = key.seal(0, b"aad", &mut sealed);
        sealed.extend_from_slice(&tag);
        assert_eq!(opened(&reader, sender, &sealed).unwrap(), b"content");
        assert_eq!(
            opened(&ReadingKey::of_secret([2; 32]), sender, &sealed),
            None
        );
        assert!(matches!(
            writer.open(ID, sender),
            Err(FormatError::WriteOnly)
        ));
        assert!(reader.public_only().secret().is_none());
    }

    #[test]
    fn a_sender_key_that_gives_no_secret_is_refused() {
        let reader = ReadingKey::of_secret([1; 32]);
        // The point of order one: every secret half gives zero with it.
        let opened = reader.open(ID, SenderKey([0; 32]));
        assert!(matches!(opened, Err(FormatError::Malformed(_))));
    }

    /// The other program is the age crate: the key is that of a recipient in its tests.
    #[test]
    fn the_public_half_is_the_one_that_another_program_computes() {
        let public = "132c442be010fbd57e72603328aa76e71fccc1503aae219327d14d9c9993f472";
        let key = ReadingKey::of_secret([0x42; 32]);
        assert_eq!(crate::model::hex(key.public()), public);
    }
}
