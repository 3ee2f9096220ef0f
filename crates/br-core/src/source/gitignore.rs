//! Translation of git's patterns into the syntax of the crate `ignore`.
//!
//! `ignore` reads braces as alternatives and has no named classes such as `[:alpha:]`. Git reads braces as ordinary characters and
//! has named classes. [`translate`] rewrites a pattern so that `ignore` matches what git would match. Invariant: a pattern without
//! braces and named classes stays unchanged.

use std::borrow::Cow;

/// Named classes of characters and their members. No list begins with `!`, because that would negate the class.
const CLASSES: [(&str, &str); 12] = [
    ("alnum", "0-9A-Za-z"),
    ("alpha", "A-Za-z"),
    ("blank", " \t"),
    ("cntrl", "\u{1}-\u{1f}\u{7f}"),
    ("digit", "0-9"),
    ("graph", "\"-~!"),
    ("lower", "a-z"),
    ("print", " -~"),
    ("punct", ":-@!-/[-`{-~"),
    ("space", " \t\u{b}\u{c}"),
    ("upper", "A-Z"),
    ("xdigit", "0-9A-Fa-f"),
];

/// Rewrites a pattern so that the matcher reads it as git does.
pub(super) fn translate(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains(['{', '}']) && !pattern.contains("[:") {
        return Cow::Borrowed(pattern);
    }
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let len = match c {
            '\\' => escaped_len(rest),
            '[' => {
                let class = class_len(rest);
                out.push_str(&translate_class(&rest[..class]));
                rest = &rest[class..];
                continue;
            }
            '{' | '}' => {
                out.push('\\');
                1
            }
            c => c.len_utf8(),
        };
        out.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    Cow::Owned(out)
}

/// Length in bytes of the bracketed class at the start of a text; 1 when the bracket is never closed.
fn class_len(text: &str) -> usize {
    let mut at = 1;
    if text[at..].starts_with(['!', '^']) {
        at += 1;
    }
    // A bracket in the first place is a member.
    if text[at..].starts_with(']') {
        at += 1;
    }
    while let Some(c) = text[at..].chars().next() {
        match c {
            ']' => return at + 1,
            '[' => at += named_len(&text[at..]).unwrap_or(1),
            '\\' => at += escaped_len(&text[at..]),
            c => at += c.len_utf8(),
        }
    }
    1
}

/// Length in bytes of the backslash at the start of a text and the character after it.
fn escaped_len(text: &str) -> usize {
    text.chars().take(2).map(char::len_utf8).sum()
}

/// Length in bytes of the `[:name:]` at the start of a text.
fn named_len(text: &str) -> Option<usize> {
    let (name, _) = text.strip_prefix("[:")?.split_once(":]")?;
    let is_known = CLASSES.iter().any(|(known, _)| *known == name);
    is_known.then_some(name.len() + 4)
}

fn translate_class(class: &str) -> String {
    let mut out = class.to_owned();
    if class.len() > 1 {
        for (name, members) in CLASSES {
            out = out.replace(&format!("[:{name}:]"), members);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use ignore::gitignore::GitignoreBuilder;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let mut builder = GitignoreBuilder::new("");
        builder.add_line(None, &translate(pattern)).unwrap();
        let built = builder.build().unwrap();
        built.matched(name, false).is_ignore()
    }

    #[test]
    fn braces_are_characters() {
        for (pattern, name) in [
            ("{a,b}", "{a,b}"),
            ("a{1,2}", "a{1,2}"),
            ("a{", "a{"),
            ("*}", "x}"),
            ("\\{a", "{a"),
            ("[{]x", "{x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("{a,b}", "a"), ("{a,b}", "b"), ("a{1,2}", "a1")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn named_classes_have_their_members() {
        for (pattern, yes, no) in [
            ("[[:alpha:]]", "x", "1"),
            ("[[:digit:]]", "7", "x"),
            ("[![:digit:]]", "x", "7"),
            ("a[[:upper:]_]z", "a_z", "abz"),
            ("[[:space:]]x", " x", "yx"),
            ("[[:punct:]]", "]", "a"),
            ("[]{]", "]", "a"),
            ("[[:xdigit:]-]", "-", "g"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn patterns_without_braces_and_named_classes_stay_unchanged() {
        for pattern in ["*.o", "a/**/b/", "!x", "[a-z]", "[z", "\\#x", ""] {
            assert_eq!(translate(pattern), pattern);
        }
        assert_eq!(translate("[:x"), "[:x");
        assert_eq!(translate("{\\"), "\\{\\");
    }
}
