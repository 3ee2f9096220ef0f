//! Decoder of the external term format.

use std::io::Read as _;

use flate2::bufread::ZlibDecoder;

use super::{
    BitString, Float, MAX_ATOM_CHARS, MAX_COPIED_DEPTH, MAX_DEPTH, MAX_INFLATED_BYTES, MAX_TERMS,
    Opaque, OpaqueKind, Term, TermError, VERSION, encode_into, tag,
};

/// Most elements of a term for which memory is allocated before they are read, because counts in the input are not trusted.
const MAX_RESERVED: usize = 1024;

/// Decodes one term with its version byte.
///
/// # Errors
/// If the bytes are not exactly one term, or the term exceeds a limit of this module.
pub fn decode(bytes: &[u8]) -> Result<Term, TermError> {
    let Some((&VERSION, rest)) = bytes.split_first() else {
        return Err(TermError::Version);
    };
    match rest.split_first() {
        Some((&tag::COMPRESSED, packed)) => whole(&inflate(packed)?),
        _ => whole(rest),
    }
}

/// Decodes a term without version byte that ends with the bytes.
fn whole(bytes: &[u8]) -> Result<Term, TermError> {
    let mut decoder = Decoder {
        rest: bytes,
        terms_left: MAX_TERMS,
        copies_left: MAX_COPIED_DEPTH,
    };
    let term = decoder.term(MAX_DEPTH)?;
    if decoder.rest.is_empty() {
        Ok(term)
    } else {
        Err(TermError::TrailingBytes)
    }
}

fn inflate(packed: &[u8]) -> Result<Vec<u8>, TermError> {
    let (size, stream) = packed.split_first_chunk().ok_or(TermError::Truncated)?;
    let size = u32::from_be_bytes(*size);
    if size > MAX_INFLATED_BYTES {
        return Err(TermError::Inflated);
    }
    // Reads one byte more than the stated size to detect a longer term; memory grows with the actual output.
    let mut decoder = ZlibDecoder::new(stream).take(u64::from(size) + 1);
    let mut bytes = Vec::new();
    decoder
        .read_to_end(&mut bytes)
        .map_err(|_| TermError::Compressed)?;
    let decoder = decoder.into_inner();
    if bytes.len() as u64 != u64::from(size) {
        return Err(TermError::Compressed);
    }
    if decoder.total_in() != stream.len() as u64 {
        return Err(TermError::TrailingBytes);
    }
    Ok(bytes)
}

struct Decoder<'a> {
    rest: &'a [u8],
    terms_left: u32,
    /// Number of further levels that may be re-encoded while they are decoded.
    copies_left: u16,
}

impl<'a> Decoder<'a> {
    /// Decodes one term of at most this depth.
    fn term(&mut self, depth: u16) -> Result<Term, TermError> {
        let inner = depth.checked_sub(1).ok_or(TermError::Depth)?;
        self.spend(1)?;
        let tag = self.u8()?;
        Ok(match tag {
            tag::SMALL_INTEGER => Term::Integer(self.u8()?.into()),
            tag::INTEGER => Term::Integer(self.array().map(i32::from_be_bytes)?.into()),
            tag::SMALL_BIG => {
                let len = self.u8()?;
                self.big(len.into())?
            }
            tag::LARGE_BIG => {
                let len = self.u32()?;
                self.big(len)?
            }
            tag::NEW_FLOAT => float(self.array().map(f64::from_be_bytes)?)?,
            tag::FLOAT => self.old_float()?,
            tag::ATOM | tag::SMALL_ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8 => {
                Term::Atom(self.atom_of(tag)?)
            }
            tag::SMALL_TUPLE => {
                let count = self.u8()?;
                Term::Tuple(self.terms(count.into(), inner)?)
            }
            tag::LARGE_TUPLE => {
                let count = self.u32()?;
                Term::Tuple(self.terms(count, inner)?)
            }
            tag::NIL => Term::List(Vec::new()),
            tag::STRING => Term::List(self.string()?),
            tag::LIST => self.list(inner)?,
            tag::MAP => self.map(inner)?,
            tag::BINARY => {
                let len = self.u32()?;
                Term::Binary(self.take(len)?.into())
            }
            tag::BIT_BINARY => self.bit_string()?,
            tag::NEW_PID | tag::PID => self.pid(tag)?,
            tag::V4_PORT | tag::NEW_PORT | tag::PORT => self.port(tag)?,
            tag::NEWER_REFERENCE | tag::NEW_REFERENCE | tag::REFERENCE => self.reference(tag)?,
            tag::NEW_FUN => self.fun(inner)?,
            tag::EXPORT => self.export(inner)?,
            _ => return Err(TermError::Tag(tag)),
        })
    }

    const fn spend(&mut self, terms: u32) -> Result<(), TermError> {
        match self.terms_left.checked_sub(terms) {
            Some(left) => {
                self.terms_left = left;
                Ok(())
            }
            None => Err(TermError::TooManyTerms),
        }
    }

    fn take(&mut self, len: u32) -> Result<&'a [u8], TermError> {
        let len = usize::try_from(len).map_err(|_| TermError::Truncated)?;
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(TermError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TermError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(TermError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, TermError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn u16(&mut self) -> Result<u16, TermError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, TermError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Allocates a vector for `count` elements, each of which takes at least this number of bytes in the input.
    fn room<T>(&self, count: u32, bytes_each: usize) -> Result<Vec<T>, TermError> {
        let count = usize::try_from(count).map_err(|_| TermError::Truncated)?;
        if count > self.rest.len() / bytes_each {
            return Err(TermError::Truncated);
        }
        Ok(Vec::with_capacity(count.min(MAX_RESERVED)))
    }

    fn terms(&mut self, count: u32, depth: u16) -> Result<Vec<Term>, TermError> {
        let mut terms = self.room(count, 1)?;
        for _ in 0..count {
            terms.push(self.term(depth)?);
        }
        Ok(terms)
    }

    /// Decodes terms that are then re-encoded.
    fn copied<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, TermError>,
    ) -> Result<T, TermError> {
        self.copies_left = self.copies_left.checked_sub(1).ok_or(TermError::Depth)?;
        let read = read(self)?;
        self.copies_left += 1;
        Ok(read)
    }

    /// A tail that is a list adds its elements without a further level, as in Erlang.
    fn list(&mut self, depth: u16) -> Result<Term, TermError> {
        let count = self.u32()?;
        let mut elements = self.terms(count, depth)?;
        while let Some((&tag::LIST, rest)) = self.rest.split_first() {
            self.rest = rest;
            self.spend(1)?;
            let count = self.u32()?;
            elements.append(&mut self.terms(count, depth)?);
        }
        let tail = self.term(depth)?;
        Ok(Term::list(elements, tail))
    }

    fn string(&mut self) -> Result<Vec<Term>, TermError> {
        let len = self.u16()?;
        self.spend(len.into())?;
        let bytes = self.take(len.into())?;
        Ok(bytes.iter().map(|b| Term::Integer((*b).into())).collect())
    }

    fn map(&mut self, depth: u16) -> Result<Term, TermError> {
        let count = self.u32()?;
        let mut pairs = self.room(count, 2)?;
        for _ in 0..count {
            let key = self.copied(|decoder| decoder.term(depth))?;
            pairs.push((key, self.term(depth)?));
        }
        Term::map(pairs)
    }

    fn big(&mut self, len: u32) -> Result<Term, TermError> {
        let is_negative = self.u8()? != 0;
        Ok(Term::integer(is_negative, self.take(len)?))
    }

    /// Decodes text such as `1.50000000000000000000e+00`, padded with zero bytes.
    fn old_float(&mut self) -> Result<Term, TermError> {
        let bytes = self.take(31)?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = str::from_utf8(text).map_err(|_| TermError::Float)?;
        float(text.parse().map_err(|_| TermError::Float)?)
    }

    fn bit_string(&mut self) -> Result<Term, TermError> {
        let len = self.u32()?;
        let bits = self.u8()?;
        let mut bytes = self.take(len)?.to_vec();
        match (bytes.last_mut(), bits) {
            (None, 0) | (Some(_), 8) => Ok(Term::Binary(bytes)),
            (Some(last), 1..=7) => {
                *last &= 0xff << (8 - bits);
                Ok(Term::BitString(BitString {
                    bytes: bytes.into(),
                    last_bits: bits,
                }))
            }
            _ => Err(TermError::BitString),
        }
    }

    fn atom(&mut self) -> Result<Box<str>, TermError> {
        let tag = self.u8()?;
        self.atom_of(tag)
    }

    fn atom_of(&mut self, tag: u8) -> Result<Box<str>, TermError> {
        let len = match tag {
            tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8 => self.u8()?.into(),
            tag::ATOM | tag::ATOM_UTF8 => self.u16()?,
            _ => return Err(TermError::Atom),
        };
        let bytes = self.take(len.into())?;
        let text: Box<str> = if matches!(tag, tag::ATOM | tag::SMALL_ATOM) && !bytes.is_ascii() {
            bytes.iter().copied().map(char::from).collect()
        } else {
            str::from_utf8(bytes).map_err(|_| TermError::Atom)?.into()
        };
        if text.chars().count() > MAX_ATOM_CHARS {
            return Err(TermError::Atom);
        }
        Ok(text)
    }

    /// Decodes the number that distinguishes incarnations of a node: one byte in the old encodings.
    fn creation(&mut self, is_short: bool) -> Result<u32, TermError> {
        if is_short {
            Ok((self.u8()? & 3).into())
        } else {
            self.u32()
        }
    }

    fn pid(&mut self, tag: u8) -> Result<Term, TermError> {
        let node = self.atom()?;
        let numbers: [u8; 8] = self.array()?;
        let creation = self.creation(tag == tag::PID)?;
        let fields = [numbers.as_slice(), &creation.to_be_bytes()].concat();
        Ok(opaque(OpaqueKind::Pid, &[tag::NEW_PID], node, &fields))
    }

    fn port(&mut self, tag: u8) -> Result<Term, TermError> {
        let node = self.atom()?;
        let id = if tag == tag::V4_PORT {
            self.array().map(u64::from_be_bytes)?
        } else {
            self.u32()?.into()
        };
        let creation = self.creation(tag == tag::PORT)?.to_be_bytes();
        // Only releases from 24 on have the long form, and they use it only for long numbers.
        Ok(match u32::try_from(id) {
            Ok(id) => {
                let fields = [id.to_be_bytes(), creation].concat();
                opaque(OpaqueKind::Port, &[tag::NEW_PORT], node, &fields)
            }
            Err(_) => {
                let fields = [id.to_be_bytes().as_slice(), &creation].concat();
                opaque(OpaqueKind::Port, &[tag::V4_PORT], node, &fields)
            }
        })
    }

    fn reference(&mut self, tag: u8) -> Result<Term, TermError> {
        let words = match tag {
            tag::REFERENCE => 1,
            _ => self.u16()?,
        };
        if !(1..=5).contains(&words) {
            return Err(TermError::Opaque);
        }
        let node = self.atom()?;
        let (creation, ids) = if tag == tag::REFERENCE {
            let ids = self.take(4)?;
            (self.creation(true)?, ids)
        } else {
            let creation = self.creation(tag == tag::NEW_REFERENCE)?;
            (creation, self.take(u32::from(words) * 4)?)
        };
        let [high, low] = words.to_be_bytes();
        let fields = [creation.to_be_bytes().as_slice(), ids].concat();
        let head = [tag::NEWER_REFERENCE, high, low];
        Ok(opaque(OpaqueKind::Reference, &head, node, &fields))
    }

    /// Decodes an anonymous function: its size, fixed fields, four terms and the captured values.
    fn fun(&mut self, depth: u16) -> Result<Term, TermError> {
        let before = self.rest.len();
        let size = self.u32()?;
        // Arity, a digest of the module and the number of the function in it.
        let fixed = self.take(21)?;
        let captured = self.u32()?;
        let parts = captured.checked_add(4).ok_or(TermError::Truncated)?;
        let mut body = [fixed, &captured.to_be_bytes()].concat();
        for part in self.copied(|decoder| decoder.terms(parts, depth))? {
            encode_into(&part, &mut body);
        }
        if before - self.rest.len() != usize::try_from(size).map_err(|_| TermError::Truncated)? {
            return Err(TermError::Opaque);
        }
        let size = u32::try_from(body.len() + 4).map_err(|_| TermError::Opaque)?;
        Ok(Term::Opaque(Opaque {
            kind: OpaqueKind::Fun,
            bytes: [&[tag::NEW_FUN], size.to_be_bytes().as_slice(), &body]
                .concat()
                .into(),
        }))
    }

    /// Decodes a function of a module: module, name and arity.
    fn export(&mut self, depth: u16) -> Result<Term, TermError> {
        let mut bytes = vec![tag::EXPORT];
        for part in self.copied(|decoder| decoder.terms(3, depth))? {
            encode_into(&part, &mut bytes);
        }
        Ok(Term::Opaque(Opaque {
            kind: OpaqueKind::Fun,
            bytes: bytes.into(),
        }))
    }
}

fn float(value: f64) -> Result<Term, TermError> {
    Float::new(value).map(Term::Float).ok_or(TermError::Float)
}

fn opaque(kind: OpaqueKind, head: &[u8], node: Box<str>, fields: &[u8]) -> Term {
    let mut bytes = head.to_vec();
    encode_into(&Term::Atom(node), &mut bytes);
    bytes.extend_from_slice(fields);
    Term::Opaque(Opaque {
        kind,
        bytes: bytes.into(),
    })
}
