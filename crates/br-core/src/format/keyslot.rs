//! Key slots: the master keys wrapped by a password, or for a recipient (section 2).
//!
//! [`KeySlot`] is a slot as stored. Invariant: all fields of a slot are authenticated from version 2 on, so a slot that opens has the label and
//! the rights it was made with.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{Aad, Nonce};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::config::{with_checksum, without_checksum};
use super::keyring::{MAX_MASTER_KEYS, aes_key};
use super::reading_key::READING_KEY_LEN;
use super::{FormatError, Keyring, MasterKey, ReadingKey, recipient};
use crate::model::{KeyId, hex, unhex};

/// Version 1: one master key, and the password in any Unicode form.
const V1: u32 = 1;
/// Version 2: several master keys, all fields authenticated, and the password in Normalization Form C.
const V2: u32 = 2;
/// Version 3: also reading keys, or a recipient in place of the password.
const V3: u32 = 3;
const AAD: &[u8] = b"br key slot v";
/// Begins what the name of a slot is derived from.
const NAME: &[u8] = b"key slot name";
const DIGEST_LEN: usize = 32;
const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Longest secret of a slot, with room for the digest or the tag after it: the secret must not move in memory.
const MAX_SECRET_LEN: usize =
    MAX_MASTER_KEYS * (KEY_LEN + READING_KEY_LEN) + 2 * DIGEST_LEN + TAG_LEN;
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

const WRONG_FIELD: FormatError = FormatError::Malformed("a field of the key slot is wrong");

/// A key slot as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeySlot {
    version: u32,
    pub(crate) label: String,
    pub(crate) created: Timestamp,
    /// The master key is being changed, so the last key of the slot may not be in use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unfinished: bool,
    /// Which halves of the reading keys the slot has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reading: Option<ReadingHalf>,
    /// Number of master keys, from version 3 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kdf: Option<Kdf>,
    /// Who opens the slot instead of a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recipient: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    nonce: String,
    wrapped: String,
}

/// A half of each reading key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReadingHalf {
    /// Decrypts the content of files, and encrypts it.
    Secret,
    /// Only encrypts it.
    Public,
}

/// What opens a new slot.
#[derive(Clone, Copy)]
pub(crate) enum SlotLock<'a> {
    /// A password, and the cost of a guess.
    Password(&'a [u8], KdfCost),
    /// A recipient of the age format.
    Recipient(&'a str),
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
        lock: SlotLock<'_>,
        (label, created, unfinished): (&str, Timestamp, bool),
        (salt, nonce): ([u8; 16], [u8; 12]),
    ) -> Result<Self, FormatError> {
        let reading = match keys.reading_keys() {
            [] => None,
            _ if keys.is_write_only() => Some(ReadingHalf::Public),
            _ => Some(ReadingHalf::Secret),
        };
        let (kdf, recipient) = match lock {
            SlotLock::Password(_, cost) => (Some(Kdf::new(cost, salt)), None),
            SlotLock::Recipient(recipient) => (None, Some(recipient.to_owned())),
        };
        let is_new = reading.is_some() || recipient.is_some();
        let mut slot = Self {
            version: if is_new { V3 } else { V2 },
            label: label.to_owned(),
            created,
            unfinished,
            reading,
            keys: is_new.then_some(keys.keys().len() as u8),
            nonce: kdf.as_ref().map(|_| hex(&nonce)).unwrap_or_default(),
            kdf,
            recipient,
            wrapped: String::new(),
        };
        let mut secret = secret_of(keys, config);
        match lock {
            SlotLock::Password(password, _) => slot.seal(&mut secret, password, nonce)?,
            SlotLock::Recipient(recipient) => {
                secret.extend_from_slice(blake3::hash(&slot.associated_data()).as_bytes());
                slot.wrapped = hex(&recipient::seal(recipient, &secret)?);
            }
        }
        Ok(slot)
    }

    /// Encrypts the secret with a password.
    fn seal(
        &mut self,
        secret: &mut Zeroizing<Vec<u8>>,
        password: &[u8],
        nonce: [u8; 12],
    ) -> Result<(), FormatError> {
        let kdf = self.kdf.as_ref().ok_or(WRONG_FIELD)?;
        aes_key(&*kdf.derive(&composed(password))?)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.associated_data()),
                &mut **secret,
            )
            .expect("a few hundred bytes are within AES-GCM's limit");
        self.wrapped = hex(secret);
        Ok(())
    }

    /// Unwraps the master keys and checks that `config`, the bytes of `br.json`, are those they were wrapped with. The password may be the
    /// secret key of a recipient.
    pub(crate) fn unwrap_keys(
        &self,
        config: &[u8],
        password: &[u8],
    ) -> Result<Keyring, FormatError> {
        let count = self.key_count();
        if count <= usize::from(self.unfinished) || count > MAX_MASTER_KEYS {
            return Err(WRONG_FIELD);
        }
        let secret = if self.recipient.is_some() {
            self.open_as_recipient(password)?
        } else {
            self.open_with_password(password)?
        };
        let keys = read_secret(&secret, config, self.reading)?;
        if keys.keys().len() != count {
            return Err(FormatError::Length);
        }
        let keys = keys.with_floor(count - 1 - usize::from(self.unfinished));
        Ok(match &self.recipient {
            Some(_) => keys.with_recipient(),
            None => keys,
        })
    }

    fn open_with_password(&self, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, FormatError> {
        // br accepts no such password for a new key, so it need not be tried.
        if recipient::is_identity(password) {
            return Err(FormatError::Password);
        }
        let kdf = self.kdf.as_ref().ok_or(WRONG_FIELD)?;
        let nonce: [u8; 12] = unhex(&self.nonce).ok_or(WRONG_FIELD)?;
        let wrapped = hex_bytes(&self.wrapped).ok_or(WRONG_FIELD)?;
        for form in self.forms(password) {
            let mut opened = Zeroizing::new(wrapped.clone());
            let secret = aes_key(&*kdf.derive(&form)?).open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.associated_data()),
                &mut opened[..],
            );
            if let Ok(secret) = secret {
                let len = secret.len();
                opened.truncate(len);
                return Ok(opened);
            }
        }
        Err(FormatError::Password)
    }

    /// Opens the slot of a recipient. The last bytes of the secret are the digest of the other fields.
    fn open_as_recipient(&self, identity: &[u8]) -> Result<Zeroizing<Vec<u8>>, FormatError> {
        if !recipient::is_identity(identity) {
            return Err(FormatError::Password);
        }
        let is_of_another = |own| Some(own) != self.recipient;
        if recipient::recipient_of(identity).is_some_and(is_of_another) {
            return Err(FormatError::Password);
        }
        let wrapped = hex_bytes(&self.wrapped).ok_or(WRONG_FIELD)?;
        let mut secret = recipient::open(identity, &wrapped)?;
        let (_, digest) = secret
            .split_last_chunk::<DIGEST_LEN>()
            .ok_or(FormatError::Length)?;
        if digest != blake3::hash(&self.associated_data()).as_bytes() {
            return Err(FormatError::Checksum);
        }
        let len = secret.len() - DIGEST_LEN;
        secret.truncate(len);
        Ok(secret)
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

    /// True if the slot was probably made in place of another one, which an interrupted change left: it has the same label, and is newer. The
    /// slot with the fixed name of the first key is older than any other, whatever the clocks say.
    pub(crate) fn replaces(&self, other: &Self, other_is_first: bool) -> bool {
        let is_copy = self.name() == other.name();
        let is_newer = other_is_first || self.created > other.created;
        self.label == other.label && !is_copy && is_newer
    }

    /// Number of master keys in the slot.
    pub(crate) fn key_count(&self) -> usize {
        if let Some(keys) = self.keys {
            return keys.into();
        }
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
        if ![V1, V2, V3]
            .map(|known| Some(known.into()))
            .contains(&version)
        {
            return Err(FormatError::Unknown("version of key slot"));
        }
        let slot: Self = serde_json::from_value(without_checksum(value)?)
            .map_err(|_| FormatError::Malformed("a field is missing or wrong"))?;
        slot.check_fields()?;
        if slot.label.len() > MAX_LABEL_LEN {
            let (what, limit) = ("bytes in a label", MAX_LABEL_LEN as u64);
            return Err(FormatError::Limit { what, limit });
        }
        Ok(slot)
    }

    /// Checks that the slot has the fields of its version.
    fn check_fields(&self) -> Result<(), FormatError> {
        let is_new = self.version == V3;
        let has_one_lock = self.kdf.is_some() != self.recipient.is_some();
        let has_new = self.recipient.is_some() || self.reading.is_some();
        if has_one_lock && has_new == is_new && self.keys.is_some() == is_new {
            Ok(())
        } else {
            Err(WRONG_FIELD)
        }
    }
}

/// A password in Unicode's Normalization Form C: the same word typed on another system gives the same bytes.
fn composed(password: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match std::str::from_utf8(password) {
        Ok(text) => text.nfc().collect::<String>().into_bytes(),
        Err(_) => password.to_vec(),
    })
}

/// What a slot wraps.
fn secret_of(keys: &Keyring, config: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut secret = Zeroizing::new(Vec::with_capacity(MAX_SECRET_LEN));
    for (number, key) in keys.keys().iter().enumerate() {
        secret.extend_from_slice(key.as_bytes());
        if let Some(reading) = keys.reading_keys().get(number) {
            // A ring that lacks a secret half gives a slot with public halves only.
            let secret_half = reading.secret().filter(|_| !keys.is_write_only());
            secret.extend_from_slice(secret_half.unwrap_or_else(|| reading.public()));
        }
    }
    secret.extend_from_slice(blake3::hash(config).as_bytes());
    secret
}

/// The master keys of an opened slot.
fn read_secret(
    secret: &[u8],
    config: &[u8],
    reading: Option<ReadingHalf>,
) -> Result<Keyring, FormatError> {
    let (keys, digest) = secret
        .split_last_chunk::<DIGEST_LEN>()
        .ok_or(FormatError::Length)?;
    if digest != blake3::hash(config).as_bytes() {
        return Err(FormatError::Malformed(
            "br.json was replaced since the key was made",
        ));
    }
    let (parts, rest) = keys.as_chunks::<KEY_LEN>();
    if !rest.is_empty() {
        return Err(FormatError::Length);
    }
    let Some(half) = reading else {
        let keys = parts.iter().map(|key| MasterKey::new(*key));
        return Keyring::new(keys.collect(), Vec::new());
    };
    let (pairs, rest) = parts.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(FormatError::Length);
    }
    let reading = pairs.iter().map(|[_, key]| match half {
        ReadingHalf::Secret => ReadingKey::of_secret(*key),
        ReadingHalf::Public => ReadingKey::of_public(*key),
    });
    let keys = pairs.iter().map(|[key, _]| MasterKey::new(*key));
    Keyring::new(keys.collect(), reading.collect())
}

/// Reads lower-case hexadecimal digits of any number.
fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| unhex::<1>(std::str::from_utf8(pair).ok()?).map(|[byte]| byte))
        .collect()
}

impl Kdf {
    fn new(cost: KdfCost, salt: [u8; 16]) -> Self {
        Self {
            name: "argon2id".to_owned(),
            memory_kib: cost.memory_kib,
            passes: cost.passes,
            lanes: 1,
            salt: hex(&salt),
        }
    }

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
        let keys = (0..keys).map(|byte| MasterKey::new([byte; 32]));
        Keyring::new(keys.collect(), Vec::new()).unwrap()
    }

    /// A ring with reading keys.
    fn reading_ring(keys: u8) -> Keyring {
        let reading = (0..keys).map(|byte| ReadingKey::of_secret([100 + byte; 32]));
        Keyring::new(ring(keys).keys().to_vec(), reading.collect()).unwrap()
    }

    fn wrap(keys: &Keyring, lock: SlotLock<'_>) -> KeySlot {
        let (made, random) = (("first", Timestamp::UNIX_EPOCH, false), ([1; 16], [2; 12]));
        KeySlot::wrap(keys, b"config", lock, made, random).unwrap()
    }

    fn slot(keys: &Keyring, password: &str) -> KeySlot {
        wrap(keys, SlotLock::Password(password.as_bytes(), KdfCost::WEAK))
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
            let key = old.kdf.as_ref().unwrap().derive(stored.as_bytes()).unwrap();
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
        cost.kdf.as_mut().unwrap().passes = 2;
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
    fn a_slot_has_the_reading_keys_of_its_ring() {
        for count in [1, 2, 16] {
            let ring = reading_ring(count);
            for (ring, is_write_only) in [(ring.clone(), false), (ring.write_only(), true)] {
                let stored = KeySlot::from_bytes(&slot(&ring, "secret").to_bytes()).unwrap();
                assert_eq!((stored.version, stored.key_count()), (V3, count.into()));
                let opened = stored.unwrap_keys(b"config", b"secret").unwrap();
                assert_eq!(opened.is_write_only(), is_write_only);
                assert_eq!(opened.reading_keys().len(), usize::from(count));
                for (one, other) in opened.reading_keys().iter().zip(ring.reading_keys()) {
                    assert_eq!(one.public(), other.public());
                    assert_eq!(one.secret(), other.secret());
                }
            }
        }
    }

    #[test]
    fn a_write_only_slot_called_a_reading_one_does_not_open() {
        let mut slot = slot(&reading_ring(1).write_only(), "secret");
        slot.reading = Some(ReadingHalf::Secret);
        let slot = KeySlot::from_bytes(&slot.to_bytes()).unwrap();
        let opened = open(&slot, "config", "secret");
        assert_eq!(opened.unwrap_err(), FormatError::Password);
    }

    #[cfg(feature = "age")]
    #[test]
    fn only_the_identity_of_its_recipient_opens_a_slot() {
        let ((identity, recipient), (other, _)) = (recipient::sample(), recipient::sample());
        for ring in [ring(1), ring(16), reading_ring(16)] {
            let slot = wrap(&ring, SlotLock::Recipient(&recipient));
            let slot = KeySlot::from_bytes(&slot.to_bytes()).unwrap();
            let opened = slot.unwrap_keys(b"config", identity.as_bytes()).unwrap();
            assert!(opened.is_of_recipient());
            assert_eq!(opened.is_write_only(), ring.is_write_only());
            assert_eq!(opened.keys().len(), ring.keys().len());
            for wrong in [&*other, "secret"] {
                let error = open(&slot, "config", wrong).unwrap_err();
                assert_eq!(error, FormatError::Password);
            }
            assert!(open(&slot, "other", &identity).is_err());
            let mut altered = slot.clone();
            altered.label = "second".to_owned();
            assert_eq!(
                open(&altered, "config", &identity).unwrap_err(),
                FormatError::Checksum
            );
        }
    }

    #[test]
    fn a_slot_with_the_fields_of_another_version_is_refused() {
        let recipient = "age1".to_owned();
        let password = slot(&ring(1), "secret");
        let both = KeySlot {
            recipient: Some(recipient),
            ..password.clone()
        };
        let neither = KeySlot {
            kdf: None,
            ..password.clone()
        };
        let reading = KeySlot {
            reading: Some(ReadingHalf::Public),
            ..password
        };
        let counted = KeySlot {
            keys: None,
            ..slot(&reading_ring(1), "secret")
        };
        for wrong in [both, neither, reading, counted] {
            let read = KeySlot::from_bytes(&wrong.to_bytes());
            assert!(matches!(read, Err(FormatError::Malformed(_))));
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
            let kdf = slot.kdf.as_mut().unwrap();
            (kdf.memory_kib, kdf.passes, kdf.lanes) = (memory_kib, passes, lanes);
            assert!(matches!(
                open(&slot, "config", ""),
                Err(FormatError::Limit { .. })
            ));
        }
    }
}
