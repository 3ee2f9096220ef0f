//! Terms in Erlang's syntax, for display.

use std::fmt::{self, Display, Formatter, Write};

use super::{BigInteger, BitString, Float, Opaque, OpaqueKind, Term};

/// Largest size, in bytes, of a big integer that is shown in decimal; the conversion takes quadratic time.
const MAX_DECIMAL_BYTES: usize = 64;

/// Reserved words, which are atoms only in quotes.
const RESERVED: [&str; 28] = [
    "after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case",
    "catch", "cond", "div", "else", "end", "fun", "if", "let", "maybe", "not", "of", "or",
    "orelse", "receive", "rem", "try", "when",
];

/// A term in at most this number of characters; a longer one is cut and ends in `…`.
#[must_use]
pub(crate) fn brief(term: &Term, max_chars: usize) -> String {
    let mut out = Brief {
        text: String::new(),
        chars_left: max_chars,
    };
    // The error only means that the text was cut.
    if write!(out, "{term}").is_err() {
        out.text.push('…');
    }
    out.text
}

/// A writer that fails when it is full, so that displaying a huge term costs no more than a small one.
struct Brief {
    text: String,
    chars_left: usize,
}

impl Write for Brief {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.chars_left = self.chars_left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::BigInteger(value) => big(f, value),
            Self::Float(value) => float(f, *value),
            Self::Atom(text) => AtomText(text).fmt(f),
            Self::Tuple(elements) => {
                f.write_char('{')?;
                separated(f, elements)?;
                f.write_char('}')
            }
            Self::List(elements) => list(f, elements),
            Self::ImproperList(elements, tail) => {
                f.write_char('[')?;
                separated(f, elements)?;
                write!(f, "|{tail}]")
            }
            Self::Map(pairs) => {
                f.write_str("#{")?;
                for (number, (key, value)) in pairs.iter().enumerate() {
                    let comma = if number == 0 { "" } else { "," };
                    write!(f, "{comma}{key} => {value}")?;
                }
                f.write_char('}')
            }
            Self::Binary(bytes) => binary(f, bytes),
            Self::BitString(string) => bit_string(f, string),
            Self::Opaque(value) => opaque(f, value),
        }
    }
}

fn separated<T: Display>(f: &mut Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    for (number, item) in items.into_iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

/// An atom as in source code: quoted if necessary.
pub(crate) struct AtomText<'a>(pub(crate) &'a str);

impl Display for AtomText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@');
        if self.0.starts_with(|c: char| c.is_ascii_lowercase())
            && self.0.chars().all(plain)
            && !RESERVED.contains(&self.0)
        {
            return f.write_str(self.0);
        }
        quoted(f, '\'', self.0)
    }
}

fn quoted(f: &mut Formatter<'_>, quote: char, text: &str) -> fmt::Result {
    f.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\\' => f.write_str("\\\\")?,
            c if c == quote => write!(f, "\\{c}")?,
            c if is_printable(c) => f.write_char(c)?,
            c => write!(f, "\\x{{{:x}}}", u32::from(c))?,
        }
    }
    f.write_char(quote)
}

/// True if a terminal can show a character.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\t' | '\\' | '\'' | '"') || c.escape_debug().len() == 1
}

fn list(f: &mut Formatter<'_>, elements: &[Term]) -> fmt::Result {
    let printable = |term: &Term| {
        let value = term.as_integer().and_then(|value| u8::try_from(value).ok());
        value.is_some_and(|byte| byte.is_ascii() && is_printable(byte.into()))
    };
    // Erlang shows every list that could be text as text.
    if !elements.is_empty()
        && elements.iter().all(printable)
        && let Some(text) = Term::text_of(elements)
    {
        return quoted(f, '"', &text);
    }
    f.write_char('[')?;
    separated(f, elements)?;
    f.write_char(']')
}

fn binary(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("<<")?;
    match str::from_utf8(bytes) {
        Ok("") => {}
        Ok(text) if text.chars().all(is_printable) => {
            quoted(f, '"', text)?;
            if !text.is_ascii() {
                f.write_str("/utf8")?;
            }
        }
        _ => separated(f, bytes)?,
    }
    f.write_str(">>")
}

fn bit_string(f: &mut Formatter<'_>, string: &BitString) -> fmt::Result {
    let (last, bytes) = string.bytes().split_last().unwrap_or((&0, &[]));
    let bits = string.last_bits();
    f.write_str("<<")?;
    separated(f, bytes)?;
    let comma = if bytes.is_empty() { "" } else { "," };
    let value = last.checked_shr(8 - u32::from(bits)).unwrap_or(0);
    write!(f, "{comma}{value}:{bits}>>")
}

fn float(f: &mut Formatter<'_>, value: Float) -> fmt::Result {
    let text = format!("{:?}", value.get());
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            write!(f, "{mantissa}.0e{exponent}")
        }
        _ => f.write_str(&text),
    }
}

fn opaque(f: &mut Formatter<'_>, value: &Opaque) -> fmt::Result {
    f.write_str(match value.kind() {
        OpaqueKind::Pid => "#Pid<",
        OpaqueKind::Port => "#Port<",
        OpaqueKind::Reference => "#Ref<",
        OpaqueKind::Fun => "#Fun<",
    })?;
    for byte in value.bytes() {
        write!(f, "{byte:02x}")?;
    }
    f.write_char('>')
}

fn big(f: &mut Formatter<'_>, value: &BigInteger) -> fmt::Result {
    if value.is_negative() {
        f.write_char('-')?;
    }
    let bytes = value.magnitude();
    if bytes.len() > MAX_DECIMAL_BYTES {
        f.write_str("16#")?;
        return bytes
            .iter()
            .rev()
            .try_for_each(|byte| write!(f, "{byte:02X}"));
    }
    let mut rest = bytes.to_vec();
    let mut digits = Vec::new();
    while rest.iter().any(|byte| *byte != 0) {
        let mut carry = 0_u16;
        for byte in rest.iter_mut().rev() {
            let value = carry << 8 | u16::from(*byte);
            *byte = (value / 10) as u8;
            carry = value % 10;
        }
        digits.push(carry);
    }
    digits
        .iter()
        .rev()
        .try_for_each(|digit| write!(f, "{digit}"))
}
