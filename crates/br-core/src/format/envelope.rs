//! The header of every stored object, and the sealed pieces that follow (section 3).

use std::borrow::Cow;

use super::bytes::Decoder;
use super::codec::{self, Codec};
use super::keyring::{KEY_MARK_LEN, ObjectKey};
use super::reading_key::{PackSeal, SenderKey, check_cipher};
use super::{Cipher, FORMAT_VERSION, FormatError, FormatVersion, Keyring};
use crate::model::ObjectId;

/// Length of an object's header.
pub(crate) const HEADER_LEN: usize = 32;
/// Length of the tag after every sealed piece.
pub(crate) const TAG_LEN: usize = 16;
/// Length of a frame's head.
pub(crate) const FRAME_HEAD_LEN: usize = 12;
/// Offset in the header of the number of the master key.
const KEY_NUMBER: usize = 24;
/// Length of the header bytes that are authenticated with each piece: all but the header's checksum.
const AAD_LEN: usize = 28;
/// A frame decompresses to at most this many times its stored length …
const MOST_UNPACKED: u64 = 256;
/// … plus this many bytes.
const ALWAYS_UNPACKED: u64 = 16 << 20;
const MAGIC: [u8; 4] = [0x89, b'B', b'R', b'\n'];

/// The type of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Pack,
    Segment,
    Manifest,
    Log,
    Journal,
}

impl ObjectKind {
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Pack => b'P',
            Self::Segment => b'I',
            Self::Manifest => b'M',
            Self::Log => b'L',
            Self::Journal => b'J',
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Pack => "a pack",
            Self::Segment => "an index segment",
            Self::Manifest => "a manifest",
            Self::Log => "a log entry",
            Self::Journal => "a journal",
        }
    }
}

/// An object's header, and the key derived for the object.
pub(crate) struct SealedObject {
    header: [u8; HEADER_LEN],
    id: ObjectId,
    key: ObjectKey,
}

impl std::fmt::Debug for SealedObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedObject")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SealedObject {
    /// Creates the header of a new object, under the current master key.
    pub(crate) fn new(keys: &Keyring, cipher: Cipher, kind: ObjectKind, id: ObjectId) -> Self {
        Self::with_key(keys, keys.current(), cipher, kind, id)
    }

    /// Creates the header that an object under the master key `number` has.
    pub(crate) fn with_key(
        keys: &Keyring,
        number: u8,
        cipher: Cipher,
        kind: ObjectKind,
        id: ObjectId,
    ) -> Self {
        let mut header = [0; HEADER_LEN];
        header[..4].copy_from_slice(&MAGIC);
        header[4] = kind.byte();
        header[5] = FORMAT_VERSION.major;
        header[6] = FORMAT_VERSION.minor;
        header[7] = cipher.byte();
        header[8..24].copy_from_slice(id.as_bytes());
        header[KEY_NUMBER..AAD_LEN].copy_from_slice(&keys.mark(number));
        let sum = header_sum(&header);
        header[28..].copy_from_slice(&sum);
        Self {
            header,
            id,
            key: keys.key(number).object_key(cipher, kind, id),
        }
    }

    /// The same new pack with the key for its groups, if the repository has reading keys. `random` gives fresh random bytes.
    pub(crate) fn for_readers(
        &self,
        keys: &Keyring,
        random: impl FnOnce() -> [u8; 32],
    ) -> Result<Option<(Self, SenderKey)>, FormatError> {
        let Some(reading) = keys.reading_key(self.header[KEY_NUMBER]) else {
            return Ok(None);
        };
        let (key, sender) = reading.seal(self.id, random())?;
        let object = Self {
            header: self.header,
            id: self.id,
            key,
        };
        Ok(Some((object, sender)))
    }

    /// The header that a pack under the master key `number` has, with the key for its groups.
    pub(crate) fn of_pack(
        keys: &Keyring,
        number: u8,
        cipher: Cipher,
        pack: PackSeal,
    ) -> Result<Self, FormatError> {
        let id = ObjectId(pack.id.0);
        let object = Self::with_key(keys, number, cipher, ObjectKind::Pack, id);
        let Some(sender) = pack.sender else {
            return Ok(object);
        };
        check_cipher(cipher)?;
        let reading = keys.reading_key(number).ok_or(FormatError::Malformed(
            "it is encrypted for readers, and the repository has no reading keys",
        ))?;
        let key = reading.open(id, sender)?;
        Ok(Self { key, ..object })
    }

    /// Reads a header.
    pub(crate) fn read(
        keys: &Keyring,
        cipher: Cipher,
        kind: ObjectKind,
        bytes: &[u8],
    ) -> Result<Self, FormatError> {
        let header: [u8; HEADER_LEN] = *bytes.first_chunk().ok_or(FormatError::Length)?;
        if header[..4] != MAGIC {
            return Err(FormatError::Kind(kind.name()));
        }
        if header[28..] != header_sum(&header) {
            return Err(FormatError::Checksum);
        }
        FormatVersion {
            major: header[5],
            minor: header[6],
        }
        .check_readable()?;
        if header[4] != kind.byte() {
            return Err(FormatError::Kind(kind.name()));
        }
        // All objects of a repository use its cipher. An object with another one does not belong to it.
        if header[7] != cipher.byte() {
            return Err(FormatError::Malformed("its cipher is not the repository's"));
        }
        let mut mark = [0; KEY_MARK_LEN];
        mark.copy_from_slice(&header[KEY_NUMBER..AAD_LEN]);
        let master = keys.find(mark)?;
        let mut id = [0; 16];
        id.copy_from_slice(&header[8..24]);
        let id = ObjectId(id);
        Ok(Self {
            header,
            id,
            key: master.object_key(cipher, kind, id),
        })
    }

    pub(crate) const fn id(&self) -> ObjectId {
        self.id
    }

    pub(crate) const fn header(&self) -> &[u8; HEADER_LEN] {
        &self.header
    }

    /// Seals a piece without a head: encrypts it in place and appends its tag.
    pub(crate) fn seal(&self, number: u32, piece: &mut Vec<u8>) {
        let tag = self.key.seal(number, &self.aad(), piece);
        piece.extend_from_slice(&tag);
    }

    /// Checks and opens a piece without a head.
    pub(crate) fn open<'a>(
        &self,
        number: u32,
        sealed: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, FormatError> {
        self.key.open(number, &self.aad(), sealed)
    }

    /// Appends a frame, compressed if that makes it shorter.
    pub(crate) fn write_frame(&self, number: u32, payload: &[u8], out: &mut Vec<u8>) {
        let (mut codec, mut stored) = codec::compress_frame(payload);
        if payload.len() as u64 > most_unpacked(stored.len()) {
            (codec, stored) = (Codec::Raw, payload.to_vec());
        }
        let mut head = [0; FRAME_HEAD_LEN];
        head[0] = codec.byte();
        head[4..8].copy_from_slice(&len_u32(payload.len()).to_le_bytes());
        head[8..12].copy_from_slice(&len_u32(stored.len()).to_le_bytes());
        self.seal_frame(number, &head, stored, out);
    }

    /// Appends a frame with this head.
    pub(super) fn seal_frame(
        &self,
        number: u32,
        head: &[u8; FRAME_HEAD_LEN],
        mut stored: Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let tag = self.key.seal(number, &self.frame_aad(head), &mut stored);
        out.extend_from_slice(head);
        out.extend_from_slice(&stored);
        out.extend_from_slice(&tag);
    }

    /// Reads a frame from the front of `bytes`; returns its payload and the bytes after it.
    pub(crate) fn read_frame<'a>(
        &self,
        number: u32,
        bytes: &'a [u8],
        limit: u64,
    ) -> Result<(Vec<u8>, &'a [u8]), FormatError> {
        let mut read = Decoder::new(bytes);
        let head: [u8; FRAME_HEAD_LEN] = read.array()?;
        let mut fields = Decoder::new(&head[4..]);
        let (raw_len, stored_len) = (fields.u32()?, fields.u32()?);
        let sealed = read.take((stored_len as usize).saturating_add(TAG_LEN))?;
        // The head is authenticated with the piece, so its numbers can be trusted from here on.
        let stored = self.key.open(number, &self.frame_aad(&head), sealed)?;
        if head[1..4] != [0; 3] {
            return Err(FormatError::Unknown("frame flags"));
        }
        let limit = limit.min(most_unpacked(stored.len()));
        if u64::from(raw_len) > limit {
            return Err(FormatError::Limit {
                what: "bytes",
                limit,
            });
        }
        let payload = match Codec::from_byte(head[0])? {
            Codec::Raw if stored.len() == raw_len as usize => stored.into_owned(),
            Codec::Zstd => codec::decompress(&stored, raw_len as usize)?,
            _ => return Err(FormatError::Malformed("a frame's codec or length is wrong")),
        };
        Ok((payload, read.rest()))
    }

    /// The authenticated data of a piece: the header with its minor version set to zero. So a reader can open a group without fetching the
    /// pack's header.
    fn aad(&self) -> [u8; AAD_LEN] {
        let mut aad = [0; AAD_LEN];
        aad.copy_from_slice(&self.header[..AAD_LEN]);
        aad[6] = 0;
        aad
    }

    fn frame_aad(&self, head: &[u8; FRAME_HEAD_LEN]) -> [u8; AAD_LEN + FRAME_HEAD_LEN] {
        let mut aad = [0; AAD_LEN + FRAME_HEAD_LEN];
        aad[..AAD_LEN].copy_from_slice(&self.aad());
        aad[AAD_LEN..].copy_from_slice(head);
        aad
    }
}

/// Maximum payload of a frame with `stored` bytes. Useful data does not compress better, and a few bytes must not fill the reader's
/// memory.
const fn most_unpacked(stored: usize) -> u64 {
    stored as u64 * MOST_UNPACKED + ALWAYS_UNPACKED
}

/// Writes an object that consists of a header and frames.
pub(crate) fn write_object(object: &SealedObject, frames: &[&[u8]]) -> Vec<u8> {
    let mut out = object.header.to_vec();
    for (number, frame) in (0..).zip(frames) {
        object.write_frame(number, frame, &mut out);
    }
    out
}

/// Reads an object that consists of a header and exactly `N` frames of at most `limit` bytes each.
pub(crate) fn read_object<const N: usize>(
    keys: &Keyring,
    cipher: Cipher,
    kind: ObjectKind,
    bytes: &[u8],
    limit: u64,
) -> Result<(ObjectId, [Vec<u8>; N]), FormatError> {
    let object = SealedObject::read(keys, cipher, kind, bytes)?;
    let mut rest = &bytes[HEADER_LEN..];
    let mut frames = [const { Vec::new() }; N];
    for (number, frame) in (0..).zip(&mut frames) {
        (*frame, rest) = object.read_frame(number, rest, limit)?;
    }
    if rest.is_empty() {
        Ok((object.id, frames))
    } else {
        Err(FormatError::Length)
    }
}

/// Number of the master key that an object was written with, from its first bytes. The object must have been read successfully.
pub(crate) fn key_number(object: &[u8]) -> u8 {
    object.get(KEY_NUMBER).copied().unwrap_or_default()
}

fn header_sum(header: &[u8; HEADER_LEN]) -> [u8; 4] {
    let mut sum = [0; 4];
    sum.copy_from_slice(&blake3::hash(&header[..28]).as_bytes()[..4]);
    sum
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len)
        .expect("writers keep every piece below its limit, all limits are below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::MasterKey;

    fn object(cipher: Cipher) -> (Keyring, Vec<u8>) {
        let keys = Keyring::single(MasterKey::new([7; 32]));
        let object = SealedObject::new(&keys, cipher, ObjectKind::Log, ObjectId([1; 16]));
        let bytes = write_object(&object, &[b"one", &[b'x'; 5000]]);
        (keys, bytes)
    }

    fn read(keys: &Keyring, cipher: Cipher, bytes: &[u8]) -> Result<[Vec<u8>; 2], FormatError> {
        read_object(keys, cipher, ObjectKind::Log, bytes, 10_000).map(|(_, frames)| frames)
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        for cipher in [Cipher::None, Cipher::Aes256Gcm] {
            let (keys, bytes) = object(cipher);
            assert_eq!(read(&keys, cipher, &bytes).unwrap()[0], b"one");
            for bit in 0..bytes.len() * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&keys, cipher, &bad).is_err(), "{cipher:?} bit {bit}");
            }
            for len in 0..bytes.len() {
                assert!(
                    read(&keys, cipher, &bytes[..len]).is_err(),
                    "{cipher:?} cut at {len}"
                );
            }
            assert!(read(&keys, cipher, &[&bytes[..], b"x"].concat()).is_err());
        }
    }

    #[test]
    fn extremely_compressible_data_is_stored_uncompressed() {
        let keys = Keyring::single(MasterKey::new([7; 32]));
        let object = SealedObject::new(&keys, Cipher::None, ObjectKind::Log, ObjectId([1; 16]));
        for (len, is_raw) in [(15 << 20, false), (30 << 20, true)] {
            let payload = vec![b'x'; len];
            let bytes = write_object(&object, &[&payload]);
            assert_eq!(bytes.len() > len, is_raw);
            let read = read_object::<1>(&keys, Cipher::None, ObjectKind::Log, &bytes, 1 << 30);
            assert!(read.unwrap().1[0] == payload);
        }
    }

    #[test]
    fn an_encrypted_object_shows_nothing_and_needs_its_key() {
        let (_, bytes) = object(Cipher::Aes256Gcm);
        assert!(!bytes.windows(3).any(|w| w == b"one"));
        let other = Keyring::single(MasterKey::new([8; 32]));
        assert_eq!(
            read(&other, Cipher::Aes256Gcm, &bytes),
            Err(FormatError::Checksum)
        );
    }

    #[test]
    fn limits_hold_before_anything_is_unpacked() {
        let (keys, bytes) = object(Cipher::None);
        let result = read_object::<2>(&keys, Cipher::None, ObjectKind::Log, &bytes, 4999);
        assert!(
            matches!(result, Err(FormatError::Limit { .. })),
            "{result:?}"
        );
    }
}
