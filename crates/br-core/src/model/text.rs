//! Raw bytes as text, without loss: names on Unix need not be UTF-8.

/// Writes bytes as text: UTF-8 stays as it is, a backslash becomes `\\`, a control character or a byte that is not
/// UTF-8 becomes `\xHH`. [`unescape`] reads it back.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let hex = |out: &mut String, bytes: &[u8]| {
        for byte in bytes {
            out.push_str("\\x");
            out.push_str(&super::id::hex(&[*byte]));
        }
    };
    for part in bytes.utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if c.is_control() => hex(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        hex(&mut out, part.invalid());
    }
    out
}

/// Reads what [`escape`] wrote; `None` when a backslash stands before anything else.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        if let Some(tail) = rest.strip_prefix(b"\\") {
            out.push(b'\\');
            rest = tail;
        } else {
            let digits = rest.strip_prefix(b"x")?.get(..2)?;
            let [value] = super::id::unhex::<1>(std::str::from_utf8(digits).ok()?)?;
            out.push(value);
            rest = &rest[3..];
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn readable_text_stays_readable() {
        assert_eq!(escape("naïve.txt".as_bytes()), "naïve.txt");
        assert_eq!(escape(b"a\nb\\c\xff"), "a\\x0ab\\\\c\\xff");
        assert_eq!(unescape("\\x0"), None);
        assert_eq!(unescape("\\n"), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&bytes)), Some(bytes));
        }
    }
}
