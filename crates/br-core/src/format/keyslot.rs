//! Key slots: the master keys wrapped by a password (section 2).
//!
//! [`KeySlot`] is a slot as stored. Invariant: the label and the cost of a slot of version 2 are authenticated, so a slot that opens has
//! the label it was made with.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{Aad, Nonce};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::config::{with_checksum, without_checksum};
use super::keyring::{MAX_MASTER_KEYS, aes_key};
use super::{FormatError, Keyring, MasterKey};
use crate::model::{KeyId, hex, unhex};

/// Version 1: one master key, and the password in any Unicode form.
const V1: u32 = 1;
/// Version 2: several master keys, all fields authenticated, and the password in Normalization Form C.
const V2: u32 = 2;
const AAD: &[u8] = b"br key slot v";
/// Begins what the name of a slot is derived from.
const NAME: &[u8] = b"key slot name";
const DIGEST_LEN: usize = 32;
const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Maximum length of a label.
pub(crate) const MAX_LABEL_LEN: usize = 256;

/// The cost of one password guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KdfCost {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
}

impl KdfCost {
    /// Almost no cost: for tests only.
    const WEAK: Self = Self {
        memory_kib: 64,
        passes: 1,
    };

    /// The usual cost, or almost none.
    pub(crate) fn new(weak: bool) -> Self {
        if weak { Self::WEAK } else { Self::default() }
    }
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
    pub(crate) created: Timestamp,
    /// The master key is being changed, so the last key of the slot may not be in use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unfinished: bool,
    pub(crate) kdf: Kdf,
    nonce: String,
    wrapped: String,
}

/// The key derivation of a slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kdf {
    name: String,
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    lanes: u32,
    salt: String,
}

impl KeySlot {
    /// Wraps the master keys. `salt` and `nonce` must be fresh random bytes.
    pub(crate) fn wrap(
        keys: &Keyring,
        config: &[u8],
        password: &[u8],
        (label, created, unfinished): (&str, Timestamp, bool),
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
        let mut slot = Self {
            version: V2,
            label: label.to_owned(),
            created,
            unfinished,
            kdf,
            nonce: hex(&nonce),
            wrapped: String::new(),
        };
        let mut secret = Zeroizing::new(Vec::new());
        for key in keys.keys() {
            secret.extend_from_slice(key.as_bytes());
        }
        secret.extend_from_slice(blake3::hash(config).as_bytes());
        // The encrypted copy replaces the secret in place; the tag must not move it to another place in memory.
        secret.reserve_exact(TAG_LEN);
        aes_key(&*slot.kdf.derive(&composed(password))?)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(slot.associated_data()),
                &mut *secret,
            )
            .expect("a few hundred bytes are within AES-GCM's limit");
        slot.wrapped = hex(&secret);
        Ok(slot)
    }

    /// Unwraps the master keys and checks that `config`, the bytes of `br.json`, are those they were wrapped with.
    pub(crate) fn unwrap_keys(
        &self,
        config: &[u8],
        password: &[u8],
    ) -> Result<Keyring, FormatError> {
        let malformed = || FormatError::Malformed("a field of the key slot is wrong");
        let nonce: [u8; 12] = unhex(&self.nonce).ok_or_else(malformed)?;
        let wrapped = hex_bytes(&self.wrapped).ok_or_else(malformed)?;
        if self.key_count() <= usize::from(self.unfinished) || self.key_count() > MAX_MASTER_KEYS {
            return Err(malformed());
        }
        for form in self.forms(password) {
            let mut opened = Zeroizing::new(wrapped.clone());
            let secret = aes_key(&*self.kdf.derive(&form)?).open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.associated_data()),
                &mut opened[..],
            );
            if let Ok(secret) = secret {
                let keys = read_secret(secret, config)?;
                let unused = usize::from(self.unfinished);
                return Ok(keys.with_floor(self.key_count() - 1 - unused));
            }
        }
        Err(FormatError::Password)
    }

    /// The name of its object. A copy of the slot under another name is found by it.
    pub(crate) fn name(&self) -> KeyId {
        let mut hasher = blake3::Hasher::new();
        let _ = hasher.update(NAME);
        for field in [&self.nonce, &self.wrapped] {
            let _ = hasher.update(field.as_bytes());
        }
        let mut name = [0; 16];
        hasher.finalize_xof().fill(&mut name);
        KeyId(name)
    }

    /// Number of master keys in the slot.
    pub(crate) fn key_count(&self) -> usize {
        (self.wrapped.len() / 2).saturating_sub(DIGEST_LEN + TAG_LEN) / KEY_LEN
    }

    /// The forms of the password that may open the slot.
    fn forms(&self, password: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
        let mut forms = vec![composed(password)];
        if self.version == V1 {
            let text = std::str::from_utf8(password).unwrap_or_default();
            let decomposed = text.nfd().collect::<String>().into_bytes();
            for form in [password.to_vec(), decomposed].map(Zeroizing::new) {
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        forms
    }

    fn associated_data(&self) -> Vec<u8> {
        let mut data = AAD.to_vec();
        data.extend_from_slice(self.version.to_string().as_bytes());
        if self.version != V1 {
            let mut document = serde_json::to_value(self).expect("plain values become JSON");
            if let Some(fields) = document.as_object_mut() {
                fields.remove("wrapped");
            }
            data.extend_from_slice(document.to_string().as_bytes());
        }
        data
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        with_checksum(serde_json::to_value(self).expect("plain values become JSON"))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let value: Value =
            serde_json::from_slice(bytes).map_err(|_| FormatError::Kind("a key slot"))?;
        let version = value.get("version").and_then(Value::as_u64);
        if ![Some(V1.into()), Some(V2.into())].contains(&version) {
            return Err(FormatError::Unknown("version of key slot"));
        }
        let slot: Self = serde_json::from_value(without_checksum(value)?)
            .map_err(|_| FormatError::Malformed("a field is missing or wrong"))?;
        if slot.label.len() > MAX_LABEL_LEN {
            let (what, limit) = ("bytes in a label", MAX_LABEL_LEN as u64);
            return Err(FormatError::Limit { what, limit });
        }
        Ok(slot)
    }
}

/// A password in Unicode's Normalization Form C: the same word typed on another system gives the same bytes.
fn composed(password: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match std::str::from_utf8(password) {
        Ok(text) => text.nfc().collect::<String>().into_bytes(),
        Err(_) => password.to_vec(),
    })
}

/// The master keys of an opened slot.
fn read_secret(secret: &[u8], config: &[u8]) -> Result<Keyring, FormatError> {
    let (keys, digest) = secret
        .split_last_chunk::<DIGEST_LEN>()
        .ok_or(FormatError::Length)?;
    if digest != blake3::hash(config).as_bytes() {
        return Err(FormatError::Malformed(
            "br.json was replaced since the key was made",
        ));
    }
    let (keys, rest) = keys.as_chunks::<KEY_LEN>();
    if !rest.is_empty() {
        return Err(FormatError::Length);
    }
    Keyring::new(keys.iter().map(|key| MasterKey::new(*key)).collect())
}

/// Reads lower-case hexadecimal digits of any number.
fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| unhex::<1>(std::str::from_utf8(pair).ok()?).map(|[byte]| byte))
        .collect()
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

    fn ring(keys: u8) -> Keyring {
        Keyring::new((0..keys).map(|byte| MasterKey::new([byte; 32])).collect()).unwrap()
    }

    fn slot(keys: &Keyring, password: &str) -> KeySlot {
        let (made, random) = (("first", Timestamp::UNIX_EPOCH, false), ([1; 16], [2; 12]));
        let slot = KeySlot::wrap(
            keys,
            b"config",
            password.as_bytes(),
            made,
            random,
            KdfCost::WEAK,
        );
        slot.unwrap()
    }

    fn open(slot: &KeySlot, config: &str, password: &str) -> Result<Vec<[u8; 32]>, FormatError> {
        let ring = slot.unwrap_keys(config.as_bytes(), password.as_bytes())?;
        Ok(ring.keys().iter().map(|key| *key.as_bytes()).collect())
    }

    #[test]
    fn only_the_password_and_the_same_configuration_open_a_slot() {
        for keys in [1, 2, 16] {
            let slot = KeySlot::from_bytes(&slot(&ring(keys), "secret").to_bytes()).unwrap();
            assert_eq!(slot.key_count(), usize::from(keys));
            let expected: Vec<[u8; 32]> = (0..keys).map(|byte| [byte; 32]).collect();
            assert_eq!(open(&slot, "config", "secret").unwrap(), expected);
            assert_eq!(
                open(&slot, "config", "Secret").unwrap_err(),
                FormatError::Password
            );
            assert!(matches!(
                open(&slot, "other", "secret"),
                Err(FormatError::Malformed(_))
            ));
        }
    }

    #[test]
    fn password_opens_slot_in_every_unicode_form() {
        let (composed, decomposed) = ("pässwörd Å", "pa\u{308}sswo\u{308}rd \u{212b}");
        for (made, typed) in [(composed, decomposed), (decomposed, composed)] {
            assert!(open(&slot(&ring(1), made), "config", typed).is_ok());
        }
        let compatible = slot(&ring(1), "\u{fb01}");
        assert!(
            open(&compatible, "config", "fi").is_err(),
            "a ligature is another word"
        );
    }

    #[test]
    fn password_of_version_1_is_tried_in_every_unicode_form() {
        for stored in ["K\u{e4}se", "Ka\u{308}se"] {
            let mut old = slot(&ring(1), "replaced below");
            old.version = V1;
            let mut secret = [[0; 32], *blake3::hash(b"config").as_bytes()].concat();
            let key = old.kdf.derive(stored.as_bytes()).unwrap();
            let nonce = Nonce::assume_unique_for_key(unhex(&old.nonce).unwrap());
            let aad = Aad::from(b"br key slot v1");
            aes_key(&key)
                .seal_in_place_append_tag(nonce, aad, &mut secret)
                .unwrap();
            old.wrapped = hex(&secret);
            let old = KeySlot::from_bytes(&old.to_bytes()).unwrap();
            for typed in ["K\u{e4}se", "Ka\u{308}se"] {
                assert_eq!(open(&old, "config", typed).unwrap(), [[0; 32]]);
            }
            assert!(open(&old, "config", "Kase").is_err());
        }
    }

    #[test]
    fn altered_label_or_cost_makes_the_slot_unusable() {
        let sound = slot(&ring(1), "secret");
        let mut label = sound.clone();
        label.label = "second".to_owned();
        let mut cost = sound.clone();
        cost.kdf.passes = 2;
        let mut created = sound;
        created.created = Timestamp::from_second(1).unwrap();
        for altered in [label, cost, created] {
            let altered = KeySlot::from_bytes(&altered.to_bytes()).unwrap();
            assert_eq!(
                open(&altered, "config", "secret").unwrap_err(),
                FormatError::Password
            );
        }
    }

    #[test]
    fn slot_without_keys_or_with_too_many_is_refused() {
        for keys in [0, 17] {
            let mut slot = slot(&ring(1), "secret");
            slot.wrapped = "00".repeat(48 + 32 * keys);
            let result = open(&slot, "config", "secret");
            assert!(matches!(result, Err(FormatError::Malformed(_))), "{keys}");
        }
    }

    #[test]
    fn key_slot_with_excessive_cost_is_refused() {
        for (memory_kib, passes, lanes) in [(u32::MAX, 1, 1), (64, u32::MAX, 1), (64, 1, 1 << 20)] {
            let mut slot = slot(&ring(1), "secret");
            slot.kdf = Kdf {
                memory_kib,
                passes,
                lanes,
                ..slot.kdf
            };
            assert!(matches!(
                open(&slot, "config", ""),
                Err(FormatError::Limit { .. })
            ));
        }
    }
}
