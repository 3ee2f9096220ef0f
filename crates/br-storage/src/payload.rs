//! The bytes of an object to be written.
//!
//! A [`Payload`] is a list of pieces, so that a large object made of many parts is written
//! without being copied into one buffer first. Invariant: the object is the concatenation of the
//! pieces in their order.

use bytes::Bytes;
use object_store::PutPayload;

/// The bytes of an object, in one piece or in many; cloning does not copy them.
#[derive(Clone, Debug, Default)]
pub struct Payload(Vec<Bytes>);

impl Payload {
    /// Returns the length of the object in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Returns whether the object has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(vec![bytes])
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(vec![bytes.into()])
    }
}

impl From<Vec<Bytes>> for Payload {
    fn from(pieces: Vec<Bytes>) -> Self {
        Self(pieces)
    }
}

impl From<Payload> for PutPayload {
    fn from(payload: Payload) -> Self {
        payload.0.into_iter().collect()
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
}
