//! Keys, and sealing with them (sections 2 and 3).
//!
//! A [`Keyring`] holds the master keys of a repository. Invariant: key 0 alone gives chunk ids and the Gear table, so deduplication
//! continues when the master key changes. A repository with reading keys has one for each master key, or none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use blake3::Hasher;
use zeroize::Zeroizing;

use super::envelope::{ObjectKind, TAG_LEN};
use super::{Cipher, FormatError, ReadingKey};
use crate::model::{ChunkId, ObjectId};

/// Maximum master keys of a repository.
pub(crate) const MAX_MASTER_KEYS: usize = 16;

/// The header bytes that say which master key an object was written with: the number of the key, and its check value.
pub(super) const KEY_MARK_LEN: usize = 4;

/// All master keys of a repository, and the number of the current one. Clones share the current number.
#[derive(Clone)]
pub(crate) struct Keyring {
    keys: Arc<[MasterKey]>,
    /// The reading key of each master key; empty in a repository without them.
    reading: Arc<[ReadingKey]>,
    current: Arc<AtomicU8>,
    /// The newest log entry has at least this key number.
    floor: u8,
    /// A person who knows only the recipient may have made the key slot.
    of_recipient: bool,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// A ring of 1 to [`MAX_MASTER_KEYS`] keys, key 0 first, and the reading key of each or none at all. Key 0 is current, until an object is
    /// read that says otherwise.
    pub(crate) fn new(keys: Vec<MasterKey>, reading: Vec<ReadingKey>) -> Result<Self, FormatError> {
        if keys.is_empty() || keys.len() > MAX_MASTER_KEYS {
            return Err(FormatError::Limit {
                what: "master keys",
                limit: MAX_MASTER_KEYS as u64,
            });
        }
        if !reading.is_empty() && reading.len() != keys.len() {
            return Err(FormatError::Malformed("a master key has no reading key"));
        }
        Ok(Self {
            keys: keys.into(),
            reading: reading.into(),
            current: Arc::default(),
            floor: 0,
            of_recipient: false,
        })
    }

    /// The ring of a repository without reading keys whose master key was never changed.
    pub(crate) fn single(key: MasterKey) -> Self {
        Self {
            keys: Arc::new([key]),
            reading: Arc::default(),
            current: Arc::default(),
            floor: 0,
            of_recipient: false,
        }
    }

    /// Marks the ring as that of a recipient.
    pub(super) fn with_recipient(mut self) -> Self {
        self.of_recipient = true;
        self
    }

    /// Whether anyone who knows the recipient may have made the key slot, with master keys of their own.
    pub(crate) const fn is_of_recipient(&self) -> bool {
        self.of_recipient
    }

    /// The same ring, without the secret halves of the reading keys.
    pub(crate) fn write_only(&self) -> Self {
        let reading = self.reading.iter().map(ReadingKey::public_only);
        Self {
            reading: reading.collect(),
            ..self.clone()
        }
    }

    /// Whether the content of files cannot be read with this ring.
    pub(crate) fn is_write_only(&self) -> bool {
        self.reading.iter().any(|key| key.secret().is_none())
    }

    /// The reading keys, one for each master key, or none.
    pub(crate) fn reading_keys(&self) -> &[ReadingKey] {
        &self.reading
    }

    pub(super) fn reading_key(&self, number: u8) -> Option<&ReadingKey> {
        self.reading.get(usize::from(number))
    }

    /// Sets the smallest key number that the newest log entry can have.
    pub(super) fn with_floor(mut self, number: usize) -> Self {
        self.floor = u8::try_from(number).unwrap_or(u8::MAX);
        self
    }

    /// The smallest key number that the newest log entry can have.
    pub(crate) const fn floor(&self) -> u8 {
        self.floor
    }

    /// The ring of an unencrypted repository.
    pub(crate) fn public() -> Self {
        Self::single(MasterKey::public())
    }

    /// The keys in use, and `new` after them as the current one. The reading key is used only if the ring has reading keys.
    pub(crate) fn changed_to(
        &self,
        new: MasterKey,
        new_reading: ReadingKey,
    ) -> Result<Self, FormatError> {
        let used = self.in_use()?;
        let (mut keys, mut reading) = (used.keys.to_vec(), used.reading.to_vec());
        keys.push(new);
        if !reading.is_empty() {
            reading.push(new_reading);
        }
        let ring = Self::new(keys, reading)?;
        ring.advance_to(self.current() + 1);
        Ok(ring)
    }

    /// The keys in use, without one that an unfinished change added.
    pub(crate) fn in_use(&self) -> Result<Self, FormatError> {
        let used = usize::from(self.current()) + 1;
        let reading = self.reading.iter().take(used).cloned().collect();
        let ring = Self::new(self.keys[..used].to_vec(), reading)?;
        ring.advance_to(self.current());
        Ok(ring)
    }

    pub(crate) fn keys(&self) -> &[MasterKey] {
        &self.keys
    }

    /// Key 0, which gives chunk ids and the Gear table.
    pub(crate) fn first(&self) -> &MasterKey {
        &self.keys[0]
    }

    /// The number of the key for new objects.
    pub(crate) fn current(&self) -> u8 {
        self.current.load(Ordering::Relaxed)
    }

    /// Uses this key for new objects, because a log entry was written with it. Never returns to an earlier key.
    pub(crate) fn advance_to(&self, number: u8) {
        if usize::from(number) < self.keys.len() {
            self.current.fetch_max(number, Ordering::Relaxed);
        }
    }

    /// The numbers of all keys, the current one first.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u8> {
        let current = self.current();
        let others = (0..self.keys.len() as u8).rev();
        std::iter::once(current).chain(others.filter(move |number| *number != current))
    }

    /// The header bytes for objects of this key.
    pub(super) fn mark(&self, number: u8) -> [u8; KEY_MARK_LEN] {
        let mut mark = [number, 0, 0, 0];
        if number > 0 {
            mark[1..].copy_from_slice(&self.keys[usize::from(number)].check_value());
        }
        mark
    }

    /// The key that header bytes name.
    pub(super) fn find(&self, mark: [u8; KEY_MARK_LEN]) -> Result<&MasterKey, FormatError> {
        let number = mark[0];
        if usize::from(number) >= MAX_MASTER_KEYS || (number == 0 && mark[1..] != [0; 3]) {
            return Err(FormatError::Unknown("flags"));
        }
        let key = self.keys.get(usize::from(number));
        key.filter(|_| self.mark(number) == mark)
            .ok_or(FormatError::OutdatedKey)
    }

    pub(super) fn key(&self, number: u8) -> &MasterKey {
        &self.keys[usize::from(number)]
    }
}

/// A key from which other keys are derived. All zeros in an unencrypted repository.
#[derive(Clone)]
pub(crate) struct MasterKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key of an unencrypted repository.
    pub(crate) fn public() -> Self {
        Self::new([0; 32])
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Distinguishes keys with the same number. Reveals nothing about the key.
    fn check_value(&self) -> [u8; 3] {
        let digest = blake3::derive_key("br repository v1 key check", &*self.0);
        [digest[0], digest[1], digest[2]]
    }

    pub(crate) fn chunk_id_key(&self) -> ChunkIdKey {
        ChunkIdKey(Zeroizing::new(blake3::derive_key(
            "br repository v1 chunk id",
            &*self.0,
        )))
    }

    pub(crate) fn gear_table(&self) -> [u64; 256] {
        let mut bytes = [0; 2048];
        let mut hasher = Hasher::new_derive_key("br repository v1 gear table");
        hasher.update(&*self.0);
        hasher.finalize_xof().fill(&mut bytes);
        let mut table = [0; 256];
        for (slot, value) in table.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *slot = u64::from_le_bytes(*value);
        }
        table
    }

    pub(super) fn object_key(&self, cipher: Cipher, kind: ObjectKind, id: ObjectId) -> ObjectKey {
        let mut hasher = Hasher::new_derive_key("br repository v1 object key");
        hasher
            .update(&*self.0)
            .update(&[kind.byte()])
            .update(id.as_bytes());
        let key = Zeroizing::new(*hasher.finalize().as_bytes());
        match cipher {
            Cipher::None => ObjectKey::Checksum(key),
            Cipher::Aes256Gcm => ObjectKey::Aes256Gcm(Box::new(aes_key(&key))),
        }
    }
}

/// The key that turns chunks into chunk ids.
#[derive(Clone)]
pub(crate) struct ChunkIdKey(Zeroizing<[u8; 32]>);

impl ChunkIdKey {
    pub(crate) fn id(&self, chunk: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.0, chunk).as_bytes())
    }
}

impl std::fmt::Debug for ChunkIdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkIdKey(..)")
    }
}

pub(super) fn aes_key(key: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes keys of 32 bytes");
    LessSafeKey::new(key)
}

/// The key of one object.
pub(super) enum ObjectKey {
    /// Not encrypted: tags are keyed checksums.
    Checksum(Zeroizing<[u8; 32]>),
    /// AES-256-GCM.
    Aes256Gcm(Box<LessSafeKey>),
}

impl ObjectKey {
    /// Seals `data` in place and returns its tag.
    pub(super) fn seal(&self, number: u32, aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        match self {
            Self::Checksum(key) => checksum(key, number, aad, data),
            Self::Aes256Gcm(key) => {
                let tag = key
                    .seal_in_place_separate_tag(nonce(number), Aad::from(aad), data)
                    .expect("pieces are far below AES-GCM's limit of 64 GiB");
                let mut out = [0; TAG_LEN];
                out.copy_from_slice(tag.as_ref());
                out
            }
        }
    }

    /// Checks `sealed`, which ends with its tag, and returns the data: borrowed if nothing had to be decrypted.
    pub(super) fn open<'a>(
        &self,
        number: u32,
        aad: &[u8],
        sealed: &'a [u8],
    ) -> Result<std::borrow::Cow<'a, [u8]>, FormatError> {
        let (data, tag) = sealed
            .split_last_chunk::<TAG_LEN>()
            .ok_or(FormatError::Length)?;
        match self {
            Self::Checksum(key) => {
                if checksum(key, number, aad, data) == *tag {
                    Ok(data.into())
                } else {
                    Err(FormatError::Checksum)
                }
            }
            Self::Aes256Gcm(key) => {
                let mut out = sealed.to_vec();
                let len = key
                    .open_in_place(nonce(number), Aad::from(aad), &mut out)
                    .map_err(|_| FormatError::Checksum)?
                    .len();
                out.truncate(len);
                Ok(out.into())
            }
        }
    }
}

fn nonce(number: u32) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn checksum(key: &[u8; 32], number: u32, aad: &[u8], data: &[u8]) -> [u8; TAG_LEN] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&number.to_le_bytes());
    let mut hasher = Hasher::new_keyed(key);
    hasher
        .update(&nonce)
        .update(&(aad.len() as u64).to_le_bytes())
        .update(aad)
        .update(data);
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(&hasher.finalize().as_bytes()[..TAG_LEN]);
    tag
}
