//! Patterns of git in the words of the matcher.
//!
//! The matcher takes braces for alternatives and knows no named classes; git does the opposite. [`translate`] makes a pattern
//! mean what it means to git. Invariant: a pattern without braces and named classes stays as it is.

use std::borrow::Cow;

/// Named classes of characters, and what is in them. None begins with `!`, which would turn a class into its opposite.
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

/// Makes a pattern mean what it means to git.
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

/// Bytes of the class in brackets that a text begins with; 1 when the bracket is never closed.
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

/// Bytes of the backslash that a text begins with, and of the character after it.
fn escaped_len(text: &str) -> usize {
    text.chars().take(2).map(char::len_utf8).sum()
}

/// Bytes of the `[:name:]` that a text begins with.
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
    fn what_needs_no_translation_stays_as_it_is() {
        for pattern in ["*.o", "a/**/b/", "!x", "[a-z]", "[z", "\\#x", ""] {
            assert_eq!(translate(pattern), pattern);
        }
        assert_eq!(translate("[:x"), "[:x");
        assert_eq!(translate("{\\"), "\\{\\");
    }
}
