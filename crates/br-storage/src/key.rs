//! The names of objects.
//!
//! [`parse`] converts a key to the path type of `object_store`; [`parse_folder`] does so for the folder of a
//! listing. Invariant: a valid key is used byte for byte, as a file name, in a URL and as an object key; it
//! is never encoded, case-folded or resolved.

use object_store::path::Path;

/// The length limit of a key in bytes. Object stores allow 1024, which leaves room for a prefix.
pub(crate) const MAX_KEY_LEN: usize = 512;

/// Why a key was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidKey {
    #[error("a key must not be longer than {MAX_KEY_LEN} bytes")]
    TooLong,
    #[error("a key must consist of segments of a-z 0-9 . _ - joined by single slashes")]
    Malformed,
}

/// Returns the path of the object with this key.
pub(crate) fn parse(key: &str) -> Result<Path, InvalidKey> {
    if key.len() > MAX_KEY_LEN {
        return Err(InvalidKey::TooLong);
    }
    if !key.split('/').all(is_segment) {
        return Err(InvalidKey::Malformed);
    }
    let path = Path::parse(key).map_err(|_| InvalidKey::Malformed)?;
    // The check above makes this impossible; the comparison is cheap.
    if path.as_ref() != key {
        return Err(InvalidKey::Malformed);
    }
    Ok(path)
}

/// Returns the path of a folder; `None` for the empty prefix, which means everything.
pub(crate) fn parse_folder(prefix: &str) -> Result<Option<Path>, InvalidKey> {
    if prefix.is_empty() {
        Ok(None)
    } else {
        parse(prefix).map(Some)
    }
}

/// Returns whether an object may have this key.
pub(crate) fn is_key(key: &str) -> bool {
    parse(key).is_ok()
}

/// Returns whether the text is a valid segment of a key.
pub(crate) fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_accepted_unchanged() {
        for key in [
            "a",
            "config",
            "packs/ab/abcd",
            "x.y_z-0",
            "...",
            "a/.hidden",
            "-",
        ] {
            assert_eq!(parse(key).unwrap().as_ref(), key);
        }
        assert!(is_key(&"k".repeat(MAX_KEY_LEN)));
    }

    #[test]
    fn anything_else_is_refused() {
        for key in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "A", "ä", "a b", "a%2fb",
            "a#1", "a\\b", "a\0", "a\n", "a:b", "a~", "a*", "a?",
        ] {
            assert!(!is_key(key), "{key:?} was accepted");
        }
        assert!(matches!(
            parse(&"k".repeat(MAX_KEY_LEN + 1)),
            Err(InvalidKey::TooLong)
        ));
    }
}
