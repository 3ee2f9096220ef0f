//! Printer: writes text as EMQX's own printer does.
//!
//! Keys are sorted, levels are indented by two spaces, maps of one or two simple values are on one line, and text with quotes, backslashes
//! or line breaks is in triple quotes. Invariant: the printer uses triple quotes only if the text reads back unchanged, because EMQX's
//! printer gets some texts wrong; other text gets escapes.

use std::fmt::Write as _;

use super::lex::{TRIPLE, unindent};
use super::parse::stands_alone;
use super::{Object, Value};

const STEP: usize = 2;
/// The longest text, in bytes, in an object on one line.
const SHORT: usize = 40;

/// Writes an object as the text of a file.
#[must_use]
pub fn print(object: &Object) -> String {
    let mut out = String::new();
    fields(&mut out, object, 0);
    out
}

/// Writes fields, each on a separate line.
fn fields(out: &mut String, object: &Object, indent: usize) {
    for (key, value) in sorted(object) {
        spaces(out, indent);
        field(out, key, value, indent);
        out.push('\n');
    }
}

fn field(out: &mut String, key: &str, item: &Value, indent: usize) {
    print_key(out, key);
    out.push_str(if item.as_object().is_some() {
        " "
    } else {
        " = "
    });
    value(out, item, indent);
}

fn value(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(object) => map(out, object, indent),
        Value::Array(items) => list(out, items, indent),
        Value::Raw(text) if stands_alone(text) => out.push_str(text),
        Value::String(text) | Value::Raw(text) => quoted(out, text, indent),
    }
}

fn map(out: &mut String, object: &Object, indent: usize) {
    if object.len() < 3 && object.iter().all(|(_, value)| is_simple(value)) {
        out.push('{');
        for (at, (key, value)) in sorted(object).into_iter().enumerate() {
            out.push_str(if at == 0 { "" } else { ", " });
            field(out, key, value, indent);
        }
    } else {
        out.push_str("{\n");
        fields(out, object, indent + STEP);
        spaces(out, indent);
    }
    out.push('}');
}

fn list(out: &mut String, items: &[Value], indent: usize) {
    let on_one_line = items.iter().all(is_simple);
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if on_one_line {
            out.push_str(if at == 0 { "" } else { ", " });
            value(out, item, indent);
        } else {
            out.push_str(if at == 0 { "\n" } else { ",\n" });
            spaces(out, indent + STEP);
            value(out, item, indent + STEP);
        }
    }
    if !on_one_line {
        out.push('\n');
        spaces(out, indent);
    }
    out.push(']');
}

/// True if a value may be in an object on one line.
fn is_simple(value: &Value) -> bool {
    match value {
        Value::Raw(text) => text.len() <= SHORT && !text.contains(is_special),
        _ => {
            let mut flat = String::new();
            flatten(&mut flat, value).is_some()
                && flat.len() <= SHORT
                && !flat.starts_with(|c: char| c.is_ascii_digit())
                && !flat.contains(|c| is_special(c) || matches!(c, '.' | '-'))
        }
    }
}

/// Flattens a value as Erlang does with text: numbers in lists are characters. `None` if it cannot be text, or is longer than the limit.
fn flatten(flat: &mut String, value: &Value) -> Option<()> {
    match value {
        Value::Object(_) => None,
        Value::Array(items) => items.iter().try_for_each(|item| match item {
            Value::Raw(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
                flat.push(text.parse().ok().and_then(char::from_u32)?);
                (flat.len() <= SHORT).then_some(())
            }
            Value::Raw(text) if matches!(text.as_str(), "true" | "false" | "null") => None,
            item => flatten(flat, item),
        }),
        Value::String(text) | Value::Raw(text) => {
            if flat.len() + text.len() > SHORT {
                return None;
            }
            flat.push_str(text);
            Some(())
        }
    }
}

const fn is_special(c: char) -> bool {
    matches!(
        c,
        '$' | '"'
            | '{'
            | '}'
            | '['
            | ']'
            | ':'
            | '='
            | ','
            | '+'
            | '#'
            | '`'
            | '^'
            | '?'
            | '!'
            | '@'
            | '*'
            | '&'
            | ' '
            | '\\'
            | '\n'
    )
}

fn quoted(out: &mut String, text: &str, indent: usize) {
    if text.contains(needs_escape)
        && let Some(content) = in_triple_quotes(text, indent)
    {
        out.push_str(TRIPLE);
        out.push_str(&content);
        out.push_str(TRIPLE);
        return;
    }
    escaped(out, text);
}

/// The content for triple quotes, or `None` if the text cannot be in triple quotes.
fn in_triple_quotes(text: &str, indent: usize) -> Option<String> {
    // In EMQX before hocon 0.45, a backslash at the end escapes the quotes after it.
    if text.contains(TRIPLE) || text.ends_with('\\') {
        return None;
    }
    if text.contains(|c: char| c.is_control() && !needs_escape(c)) {
        return None;
    }
    let needs_lines = text.contains('\n') || text.starts_with('"') || text.ends_with('"');
    let content = if needs_lines {
        indented(text, indent)
    } else {
        text.to_owned()
    };
    (unindent(&content) == text).then_some(content)
}

fn indented(text: &str, indent: usize) -> String {
    let mut out = String::from("~");
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        out.push('\n');
        match (line, lines.peek().is_none()) {
            // The closing quotes are below the key.
            ("" | "\r", true) => spaces(&mut out, indent),
            ("" | "\r", false) => out.push_str(line),
            _ => {
                spaces(&mut out, indent + STEP);
                out.push_str(line);
            }
        }
    }
    out.push('~');
    out
}

fn print_key(out: &mut String, key: &str) {
    let starts_plain = key.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    // As a key, these words have a special meaning.
    let is_word = matches!(key, "include" | "true" | "false" | "null");
    if starts_plain && key.chars().all(is_plain) && !is_word {
        out.push_str(key);
    } else {
        escaped(out, key);
    }
}

const fn needs_escape(c: char) -> bool {
    matches!(c, '\u{8}'..='\r' | '\u{1b}' | '\u{7f}' | '"' | '\\')
}

fn escaped(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..'\u{20}' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn sorted(object: &Object) -> Vec<(&str, &Value)> {
    let mut fields: Vec<_> = object.iter().collect();
    fields.sort_unstable_by_key(|(key, _)| *key);
    fields
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}
