//! SHA-256 digests, and their files.
//!
//! Next to `<file>` is `<file>.sha256` with the 32 bytes of the [`Digest`] of the content without frames. It is framed if `<file>` is.
//! Invariant: a digest file of any other format is an error, never an empty digest.

use std::fmt;
use std::str::FromStr;

use super::error::{Error, Result};
use super::frame::{Framing, unframe};

/// The suffix of the names of digest files.
pub(crate) const SUFFIX: &str = ".sha256";

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Reads the content of a digest file: 32 bytes, or 36 with a frame. Also 64 hexadecimal digits, as in the digest of `mo_br.meta`.
    ///
    /// # Errors
    /// If it is none of these, or the frame is damaged.
    pub fn of_file(bytes: &[u8]) -> Result<(Self, Framing)> {
        if let Ok(digest) = bytes.try_into() {
            return Ok((Self(digest), Framing::Raw));
        }
        let wrong = || Error::damaged(format!("{} bytes are not a SHA-256", bytes.len()));
        if bytes.len() == 36 {
            let digest = unframe(bytes)?.as_slice().try_into().map_err(|_| wrong())?;
            return Ok((Self(digest), Framing::Framed));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
        let digest = text.trim_end().parse().map_err(|_| wrong())?;
        Ok((digest, Framing::Raw))
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self> {
        let mut out = [0; 32];
        let wrong = || Error::damaged("it is not 64 hexadecimal digits");
        if text.len() != 64 {
            return Err(wrong());
        }
        for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or_else(wrong);
            let value = digit(0)? * 16 + digit(1)?;
            *byte = u8::try_from(value).map_err(|_| wrong())?;
        }
        Ok(Self(out))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_forms_of_digest_files_are_read() {
        let digest = Digest::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), hex);
        let framed = super::super::frame::frame(&digest.0);
        assert_eq!(Digest::of_file(&digest.0).unwrap(), (digest, Framing::Raw));
        assert_eq!(Digest::of_file(&framed).unwrap(), (digest, Framing::Framed));
        assert_eq!(Digest::of_file(hex.as_bytes()).unwrap().0, digest);
        let mut bad = framed;
        bad[9] ^= 1;
        assert!(Digest::of_file(&bad).is_err());
        for bad in [&b""[..], b"x", &[0; 31], &[b'g'; 64], &[0xff; 64]] {
            assert!(Digest::of_file(bad).is_err());
        }
    }
}
