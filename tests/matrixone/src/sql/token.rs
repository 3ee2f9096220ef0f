//! Tokens of SQL text.
//!
//! [`tokens`] splits a text into [`Token`]s. Invariant: a token has its position in the text, so that errors and masks can refer to it.

use std::ops::Range;

/// The kind of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or name, as written.
    Word(String),
    /// The text between quotes.
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

/// Finds all tokens. The error is the position of an unclosed quote or comment.
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

/// The length of a comment that begins here; `None` if it is not closed.
#[expect(
    clippy::option_option,
    reason = "no comment and an unclosed comment are different"
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

/// The text between quotes, and its length including them.
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
