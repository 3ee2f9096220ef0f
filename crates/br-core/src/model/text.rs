//! Raw bytes as text, without loss: names on Unix need not be UTF-8.

use serde::Serializer;

/// Writes bytes as text: UTF-8 stays as it is, a backslash becomes `\\`, a character for which [`is_hidden`] is true and a
/// byte that is not UTF-8 become `\xHH`. [`unescape`] reads it back.
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
                c if is_hidden(c) => hex(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        hex(&mut out, part.invalid());
    }
    out
}

/// Serialises bytes as [`escape`] writes them.
pub(super) fn escaped<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&escape(bytes))
}

/// Serialises a list of bytes as [`escape`] writes them.
pub(super) fn escaped_list<S: Serializer>(list: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(list.iter().map(|bytes| escape(bytes)))
}

/// True for characters that cannot be seen, or that change the order or the place of others: control characters, line
/// separators, marks of direction, characters without width, tags. Printed, they make a name look like another one.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

/// Reads what [`escape`] wrote; `None` when a backslash is before anything else.
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
        for (hidden, shown) in [
            ("txt.\u{202e}gpj", "txt.\\xe2\\x80\\xaegpj"),
            ("a\u{200b}b", "a\\xe2\\x80\\x8bb"),
            ("\u{feff}", "\\xef\\xbb\\xbf"),
            ("\u{2028}", "\\xe2\\x80\\xa8"),
            ("\u{e0041}", "\\xf3\\xa0\\x81\\x81"),
            ("\u{85}", "\\xc2\\x85"),
        ] {
            assert_eq!(escape(hidden.as_bytes()), shown);
        }
        for seen in ["日本語", "e\u{301}", "עברית", "👍🏽", "\u{a0}"] {
            assert_eq!(escape(seen.as_bytes()), seen);
        }
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
