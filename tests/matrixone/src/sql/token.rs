//! Text as words.
//!
//! [`Token`] is one, [`tokens`] finds them all. Invariant: a token knows where in the text it stands, so that errors and
//! masks can point there.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or name, as it was written.
    Word(String),
    /// What was between quotes.
    Text(String),
    /// Digits.
    Number(String),
    /// A variable of the server, without the `@@`.
    Variable(String),
    /// Anything else.
    Symbol(char),
}

/// A word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: Range<usize>,
}

/// Finds all tokens. The error is where a quote or comment begins that does not end.
pub(super) fn tokens(sql: &str) -> Result<Vec<Token>, usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if let Some(length) = comment(rest).ok_or(at)? {
            at += length;
            continue;
        }
        let (kind, length) = token(rest, first).ok_or(at)?;
        found.push(Token {
            kind,
            at: at..at + length,
        });
        at += length;
    }
    Ok(found)
}

/// How long the comment is that begins here; none when it has no end.
#[expect(
    clippy::option_option,
    reason = "no comment, and no end of one, are different"
)]
fn comment(rest: &str) -> Option<Option<usize>> {
    if rest.starts_with("/*") {
        return rest.find("*/").map(|end| Some(end + 2));
    }
    let line = rest.starts_with('#') || rest.starts_with("-- ") || rest == "--";
    Some(line.then(|| rest.find('\n').unwrap_or(rest.len())))
}

fn token(rest: &str, first: char) -> Option<(Kind, usize)> {
    if first == '\'' || first == '"' {
        let (text, length) = quoted(rest, first)?;
        return Some((Kind::Text(text), length));
    }
    if first == '`' {
        let (text, length) = quoted(rest, first)?;
        return Some((Kind::Word(text), length));
    }
    if let Some(name) = rest.strip_prefix("@@") {
        let length = name_length(name, |c| is_name(c) || c == '.');
        return Some((Kind::Variable(name[..length].to_owned()), length + 2));
    }
    if first.is_ascii_digit() {
        let length = name_length(rest, |c| c.is_ascii_digit());
        return Some((Kind::Number(rest[..length].to_owned()), length));
    }
    if is_name(first) {
        let length = name_length(rest, is_name);
        return Some((Kind::Word(rest[..length].to_owned()), length));
    }
    Some((Kind::Symbol(first), first.len_utf8()))
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn name_length(text: &str, part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !part(c)).unwrap_or(text.len())
}

/// What stands between quotes, and how long it is with them.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.next_if(|(_, next)| *next == quote).is_none() {
                return Some((text, at + 1));
            }
            text.push(quote);
        } else if c == '\\' && quote != '`' {
            text.push(escaped(chars.next()?.1));
        } else {
            text.push(c);
        }
    }
    None
}

fn escaped(c: char) -> char {
    match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        '0' => '\0',
        'b' => '\u{8}',
        'Z' => '\u{1a}',
        other => other,
    }
}
