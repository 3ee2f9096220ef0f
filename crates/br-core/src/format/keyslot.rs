//! Key slots: the master key wrapped by a passphrase (section 2).

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{Aad, Nonce};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::config::{with_checksum, without_checksum};
use super::keys::aes_key;
use super::{FormatError, MasterKey};
use crate::model::{hex, unhex};

const AAD: &[u8] = b"br key slot v1";
const SLOT_VERSION: u32 = 1;

/// The cost of one passphrase guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KdfCost {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
}

impl Default for KdfCost {
    /// 64 MiB and two passes: twice OWASP's recommendation for argon2id, about a tenth of a second.
    fn default() -> Self {
        Self {
            memory_kib: 64 << 10,
            passes: 2,
        }
    }
}

/// Maximum cost that a reader accepts, because an attacker may have written the slot.
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 8;

/// A key slot as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeySlot {
    version: u32,
    pub(crate) label: String,
    created: Timestamp,
    kdf: Kdf,
    nonce: String,
    wrapped: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kdf {
    name: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
}

impl KeySlot {
    /// Wraps the master key. `salt` and `nonce` must be fresh random bytes.
    pub(crate) fn wrap(
        master: &MasterKey,
        config: &[u8],
        password: &[u8],
        label: &str,
        created: Timestamp,
        (salt, nonce): ([u8; 16], [u8; 12]),
        cost: KdfCost,
    ) -> Result<Self, FormatError> {
        let kdf = Kdf {
            name: "argon2id".to_owned(),
            memory_kib: cost.memory_kib,
            passes: cost.passes,
            lanes: 1,
            salt: hex(&salt),
        };
        let mut secret = master.as_bytes().to_vec();
        secret.extend_from_slice(blake3::hash(config).as_bytes());
        aes_key(&*kdf.derive(password)?)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(AAD),
                &mut secret,
            )
            .expect("64 bytes are within AES-GCM's limit");
        Ok(Self {
            version: SLOT_VERSION,
            label: label.to_owned(),
            created,
            kdf,
            nonce: hex(&nonce),
            wrapped: hex(&secret),
        })
    }

    /// Unwraps the master key and checks that `config`, the bytes of `br.json`, are those it was wrapped with.
    pub(crate) fn unwrap_key(
        &self,
        config: &[u8],
        password: &[u8],
    ) -> Result<MasterKey, FormatError> {
        let malformed = FormatError::Malformed("a field of the key slot is wrong");
        let nonce = unhex(&self.nonce).ok_or_else(|| malformed.clone())?;
        let wrapped: [u8; 80] = unhex(&self.wrapped).ok_or(malformed)?;
        let mut wrapped = Zeroizing::new(wrapped);
        let secret = aes_key(&*self.kdf.derive(password)?)
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(AAD),
                &mut wrapped[..],
            )
            .map_err(|_| FormatError::Password)?;
        let (master, digest) = secret.split_first_chunk().ok_or(FormatError::Length)?;
        if *digest != blake3::hash(config).as_bytes()[..] {
            return Err(FormatError::Malformed(
                "br.json was replaced since the key was made",
            ));
        }
        Ok(MasterKey::new(*master))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        with_checksum(serde_json::to_value(self).expect("plain values become JSON"))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let value: Value =
            serde_json::from_slice(bytes).map_err(|_| FormatError::Kind("a key slot"))?;
        if value.get("version").and_then(Value::as_u64) != Some(SLOT_VERSION.into()) {
            return Err(FormatError::Unknown("version of key slot"));
        }
        serde_json::from_value(without_checksum(value)?)
            .map_err(|_| FormatError::Malformed("a field is missing or wrong"))
    }
}

impl Kdf {
    fn derive(&self, password: &[u8]) -> Result<Zeroizing<[u8; 32]>, FormatError> {
        if self.name != "argon2id" {
            return Err(FormatError::Unknown("key derivation"));
        }
        let too_much = |what, limit| FormatError::Limit {
            what,
            limit: u64::from(limit),
        };
        if self.memory_kib > MAX_MEMORY_KIB {
            return Err(too_much("KiB of memory for a password", MAX_MEMORY_KIB));
        }
        if self.passes > MAX_PASSES || self.lanes > MAX_LANES {
            return Err(too_much("passes for a password", MAX_PASSES));
        }
        let malformed = |_| FormatError::Malformed("the cost of the key derivation is wrong");
        let salt: [u8; 16] =
            unhex(&self.salt).ok_or(FormatError::Malformed("the salt is wrong"))?;
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(malformed)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password, &salt, &mut *key)
            .map_err(malformed)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: KdfCost = KdfCost {
        memory_kib: 64,
        passes: 1,
    };

    fn slot() -> KeySlot {
        let master = MasterKey::new([5; 32]);
        let random = ([1; 16], [2; 12]);
        KeySlot::wrap(
            &master,
            b"config",
            b"secret",
            "first",
            Timestamp::UNIX_EPOCH,
            random,
            CHEAP,
        )
        .unwrap()
    }

    #[test]
    fn only_the_password_and_the_same_configuration_open_a_slot() {
        let slot = KeySlot::from_bytes(&slot().to_bytes()).unwrap();
        assert_eq!(
            slot.unwrap_key(b"config", b"secret").unwrap().as_bytes(),
            &[5; 32]
        );
        assert_eq!(
            slot.unwrap_key(b"config", b"Secret").unwrap_err(),
            FormatError::Password
        );
        assert!(matches!(
            slot.unwrap_key(b"other", b"secret"),
            Err(FormatError::Malformed(_))
        ));
    }

    #[test]
    fn key_slot_with_excessive_cost_is_refused() {
        for (memory_kib, passes, lanes) in [(u32::MAX, 1, 1), (64, u32::MAX, 1), (64, 1, 1 << 20)] {
            let mut slot = slot();
            slot.kdf = Kdf {
                memory_kib,
                passes,
                lanes,
                ..slot.kdf
            };
            assert!(matches!(
                slot.unwrap_key(b"config", b""),
                Err(FormatError::Limit { .. })
            ));
        }
    }
}
