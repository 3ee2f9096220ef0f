//! The contents of an object to write.
//!
//! A [`Payload`] is a list of pieces, so that a large object can be written without copying its parts into
//! one buffer. Invariant: the object is the concatenation of the pieces in their order.

use bytes::Bytes;
use object_store::PutPayload;

/// The bytes of an object, in one piece or in many; cloning does not copy them.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    pieces: Vec<Bytes>,
    rare_reads: bool,
    unique_key: bool,
}

impl Payload {
    /// Returns the length of the object in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Returns whether the object has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(Bytes::is_empty)
    }

    /// Sets whether the object will rarely be read. If so, a store may keep it in a class with cheap storage
    /// and expensive reads ([`S3Options::storage_class`](crate::S3Options::storage_class)).
    #[must_use]
    pub fn with_rare_reads(mut self, rare_reads: bool) -> Self {
        self.rare_reads = rare_reads;
        self
    }

    /// Sets whether no other writer can use the object's key, because it is random. If so, a large object may
    /// be sent to a server in parts; such uploads cannot be conditional.
    #[must_use]
    pub fn with_unique_key(mut self, unique_key: bool) -> Self {
        self.unique_key = unique_key;
        self
    }

    pub(crate) fn has_unique_key(&self) -> bool {
        self.unique_key
    }

    pub(crate) fn is_read_rarely(&self) -> bool {
        self.rare_reads
    }

    /// Splits the payload into parts of `part_len` bytes; the last one may be shorter.
    pub(crate) fn parts(&self, part_len: usize) -> Vec<Self> {
        let mut parts = vec![Self::default()];
        let mut room = part_len;
        for piece in &self.pieces {
            let mut piece = piece.clone();
            while !piece.is_empty() {
                if room == 0 {
                    parts.push(Self::default());
                    room = part_len;
                }
                let now = piece.split_to(room.min(piece.len()));
                room -= now.len();
                if let Some(part) = parts.last_mut() {
                    part.pieces.push(now);
                }
            }
        }
        parts
    }

    /// Returns whether the payload has these bytes.
    pub(crate) fn is(&self, mut bytes: &[u8]) -> bool {
        for piece in &self.pieces {
            match bytes.split_at_checked(piece.len()) {
                Some((same, rest)) if same == piece => bytes = rest,
                _ => return false,
            }
        }
        bytes.is_empty()
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        vec![bytes].into()
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<Vec<Bytes>> for Payload {
    fn from(pieces: Vec<Bytes>) -> Self {
        Self {
            pieces,
            rare_reads: false,
            unique_key: false,
        }
    }
}

impl From<Payload> for PutPayload {
    fn from(payload: Payload) -> Self {
        payload.pieces.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_all_pieces() {
        let payload = Payload::from(vec![Bytes::from_static(b"ab"), Bytes::from_static(b"c")]);
        assert_eq!(payload.len(), 3);
        assert!(!payload.is_empty());
        assert!(Payload::default().is_empty());
        assert!(Payload::from(vec![Bytes::new(), Bytes::new()]).is_empty());
    }

    #[test]
    fn parts_together_equal_the_payload() {
        let pieces = [&b"abc"[..], b"", b"defghij", b"k"].map(Bytes::from_static);
        let payload = Payload::from(pieces.to_vec());
        for len in 1..12 {
            let parts = payload.parts(len);
            let (last, full) = parts.split_last().unwrap();
            assert!(full.iter().all(|part| part.len() == len as u64), "{len}");
            assert!((1..=len as u64).contains(&last.len()), "{len}");
            let all: Vec<Bytes> = parts.into_iter().flat_map(|part| part.pieces).collect();
            assert_eq!(all.concat(), b"abcdefghijk");
        }
        assert_eq!(Payload::default().parts(5).len(), 1);
    }

    #[test]
    fn bytes_are_compared_across_pieces() {
        let payload = Payload::from(vec![Bytes::from_static(b"ab"), Bytes::from_static(b"c")]);
        assert!(payload.is(b"abc"));
        for other in [&b"ab"[..], b"abcd", b"abd", b""] {
            assert!(!payload.is(other));
        }
    }
}
