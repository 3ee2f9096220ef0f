//! Encoder of the external term format, with one form for each value.

use super::{BigInteger, Term, VERSION, tag};

/// Encodes a term with its version byte, with the tags that Erlang 26 uses.
///
/// Atoms of more than 65,535 bytes and terms of more than 2³² - 1 parts have no encoding: the output for them is invalid.
/// [`decode`](super::decode()) never returns such terms.
#[must_use]
pub fn encode(term: &Term) -> Vec<u8> {
    let mut out = vec![VERSION];
    encode_into(term, &mut out);
    out
}

/// Appends a term without the version byte.
pub(crate) fn encode_into(term: &Term, out: &mut Vec<u8>) {
    Encoder {
        out,
        floats: Floats::Distinct,
    }
    .term(term);
}

/// Appends bytes that are equal for two terms exactly if Erlang's `==` holds for them, as for the keys of an `ordered_set`.
pub(crate) fn encode_ordered_key_into(term: &Term, out: &mut Vec<u8>) {
    Encoder {
        out,
        floats: Floats::EqualIntegers,
    }
    .term(term);
}

/// Whether `1.0` and `1` are different values.
#[derive(Clone, Copy)]
enum Floats {
    Distinct,
    EqualIntegers,
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    floats: Floats,
}

impl Encoder<'_> {
    fn term(&mut self, term: &Term) {
        match term {
            Term::Integer(value) => self.integer(*value),
            Term::BigInteger(value) => self.big(value),
            Term::Float(float) => match (self.floats, whole(float.get())) {
                (Floats::EqualIntegers, Some(integer)) => self.term(&integer),
                _ => {
                    self.out.push(tag::NEW_FLOAT);
                    self.out.extend_from_slice(&float.get().to_be_bytes());
                }
            },
            Term::Atom(text) => {
                self.short(tag::SMALL_ATOM_UTF8, tag::ATOM_UTF8, text.len());
                self.out.extend_from_slice(text.as_bytes());
            }
            Term::Tuple(elements) => {
                match u8::try_from(elements.len()) {
                    Ok(len) => self.out.extend_from_slice(&[tag::SMALL_TUPLE, len]),
                    Err(_) => self.counted(tag::LARGE_TUPLE, elements.len()),
                }
                self.terms(elements);
            }
            Term::List(elements) => self.list(elements),
            Term::ImproperList(elements, tail) => {
                self.counted(tag::LIST, elements.len());
                self.terms(elements);
                self.term(tail);
            }
            Term::Map(pairs) => self.map(pairs),
            Term::Binary(bytes) => {
                self.counted(tag::BINARY, bytes.len());
                self.out.extend_from_slice(bytes);
            }
            Term::BitString(string) => {
                self.counted(tag::BIT_BINARY, string.bytes().len());
                self.out.push(string.last_bits());
                self.out.extend_from_slice(string.bytes());
            }
            Term::Opaque(opaque) => self.out.extend_from_slice(opaque.bytes()),
        }
    }

    fn terms(&mut self, terms: &[Term]) {
        for term in terms {
            self.term(term);
        }
    }

    fn counted(&mut self, tag: u8, count: usize) {
        self.out.push(tag);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.out.extend_from_slice(&count.to_be_bytes());
    }

    /// Appends the length of an atom, in one byte or two.
    fn short(&mut self, small: u8, large: u8, len: usize) {
        if let Ok(len) = u8::try_from(len) {
            self.out.extend_from_slice(&[small, len]);
        } else {
            self.out.push(large);
            let len = u16::try_from(len).unwrap_or(u16::MAX);
            self.out.extend_from_slice(&len.to_be_bytes());
        }
    }

    fn integer(&mut self, value: i64) {
        if let Ok(byte) = u8::try_from(value) {
            self.out.extend_from_slice(&[tag::SMALL_INTEGER, byte]);
        } else if let Ok(value) = i32::try_from(value) {
            self.out.push(tag::INTEGER);
            self.out.extend_from_slice(&value.to_be_bytes());
        } else {
            let magnitude = value.unsigned_abs().to_le_bytes();
            let zeros = magnitude
                .iter()
                .rev()
                .take_while(|byte| **byte == 0)
                .count();
            let magnitude = magnitude.get(..8 - zeros).unwrap_or(&magnitude);
            self.magnitude(value < 0, magnitude);
        }
    }

    fn big(&mut self, value: &BigInteger) {
        self.magnitude(value.is_negative(), value.magnitude());
    }

    fn magnitude(&mut self, is_negative: bool, magnitude: &[u8]) {
        match u8::try_from(magnitude.len()) {
            Ok(len) => self.out.extend_from_slice(&[tag::SMALL_BIG, len]),
            Err(_) => self.counted(tag::LARGE_BIG, magnitude.len()),
        }
        self.out.push(is_negative.into());
        self.out.extend_from_slice(magnitude);
    }

    /// Lists of bytes have a separate, shorter form. If `[1.0]` must equal `[1]`, both use the long form.
    fn list(&mut self, elements: &[Term]) {
        if elements.is_empty() {
            return self.out.push(tag::NIL);
        }
        let byte = |term: &Term| u8::try_from(term.as_integer()?).ok();
        if matches!(self.floats, Floats::Distinct)
            && let Ok(len) = u16::try_from(elements.len())
            && let Some(bytes) = elements.iter().map(byte).collect::<Option<Vec<u8>>>()
        {
            self.out.push(tag::STRING);
            self.out.extend_from_slice(&len.to_be_bytes());
            self.out.extend_from_slice(&bytes);
        } else {
            self.counted(tag::LIST, elements.len());
            self.terms(elements);
            self.out.push(tag::NIL);
        }
    }

    /// Sorted by the encoded keys. In Erlang the keys of a map differ in `1` and `1.0` even under `==`.
    fn map(&mut self, pairs: &[(Term, Term)]) {
        self.counted(tag::MAP, pairs.len());
        let mut keyed: Vec<(Vec<u8>, &Term)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let mut bytes = Vec::new();
            encode_into(key, &mut bytes);
            keyed.push((bytes, value));
        }
        keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, value) in keyed {
            self.out.extend_from_slice(&key);
            self.term(value);
        }
    }
}

/// The integer that a floating-point number equals.
fn whole(value: f64) -> Option<Term> {
    const MANTISSA_BITS: u32 = 52;
    if value.fract() != 0.0 {
        return None;
    }
    let bits = value.to_bits();
    let exponent = (bits >> MANTISSA_BITS & 0x7ff).saturating_sub(1023);
    let fraction = bits & ((1 << MANTISSA_BITS) - 1);
    let is_negative = value < 0.0;
    let Some(shift) = exponent.checked_sub(MANTISSA_BITS.into()) else {
        // Below 2^52 the conversion is exact.
        return Some(Term::Integer(value as i64));
    };
    let mut magnitude = vec![0; usize::try_from(shift / 8).ok()?];
    let mantissa = u128::from(fraction | 1 << MANTISSA_BITS) << (shift % 8);
    magnitude.extend_from_slice(&mantissa.to_le_bytes());
    Some(Term::integer(is_negative, &magnitude))
}
