//! Keys, and sealing with them (sections 2 and 3).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use blake3::Hasher;
use zeroize::Zeroizing;

use super::envelope::{ObjectKind, TAG_LEN};
use super::{Cipher, FormatError};
use crate::model::{ChunkId, ObjectId};

/// The key from which all other keys are derived. All zeros in an unencrypted repository.
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
